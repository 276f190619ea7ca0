"""What is wrong with a wrong gradient, where it can be told: each typical mistake leaves its own trace.

A trace is a condition on the evidence, and a sentence. `diagnose` goes through all of them and returns the first
sentence whose condition holds. It has to be right or silent: entries that are wrong at random must fit no condition.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, combinations, permutations, product
from math import comb, isclose, prod
from typing import Any, TypeAlias

import numpy as np

Traces: TypeAlias = Iterator[tuple[Any, str]]

SAME = 1e-5  # relative: numbers closer than that are the same, but for measuring errors
CHANCE = 1e-3  # what random entries would show more often than that is no trace


@dataclass(frozen=True)
class Evidence:
    """A wrong gradient and all that is known about it, in float64 on the host.

    got: from backward. expected: measured. x: the input. These have the input's shape, or one axis if the gradient is
    so large that only some entries were measured; `shape` is then the input's.
    d_out: the upstream gradient. got_for_other_upstream: what backward returns for another d_out. others: the measured
    gradients of other inputs of the same shape, by name. accuracy: of expected, beside its largest entry. If forward
    can be asked: out, its output; inputs: the other inputs; fits(name, y): whether got is right for y in place of one.
    """

    got: np.ndarray
    expected: np.ndarray
    x: np.ndarray
    d_out: np.ndarray
    got_for_other_upstream: np.ndarray
    others: dict[str, np.ndarray] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None
    accuracy: float = 1e-9
    out: np.ndarray | None = None
    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    fits: Callable[[str, np.ndarray], bool] = lambda name, y: False

    @property
    def missing(self) -> np.ndarray:
        """expected - got."""
        return self.expected - self.got

    @property
    def wrong(self) -> np.ndarray:
        """Where got and expected differ."""
        largest = np.abs(self.expected).max()
        return np.abs(self.missing) > SAME * np.abs(self.expected) + self.accuracy * largest

    def zero(self, values: np.ndarray) -> np.ndarray:
        """Where values are zero, beside the largest entry of the gradient."""
        return np.abs(values) <= SAME * np.abs(self.expected).max()

    def wrong_exactly(self, where: np.ndarray) -> bool:
        """Whether the wrong entries are these, and that is no coincidence."""
        return bool((self.wrong == where).all()) and comb(where.size, int(where.sum())) > 1 / CHANCE


def diagnose(e: Evidence) -> str:
    """One sentence that says what is wrong with `e.got`; "" if that cannot be told."""
    kinds = (of_nothing, of_a_factor, of_places, of_another_order, of_paths, of_the_output, of_inputs)
    with np.errstate(all="ignore"):
        traces = chain.from_iterable(kind(e) for kind in kinds)
        return next((sentence for fits, sentence in traces if fits), "")


def unexplained(e: Evidence) -> str:
    """What can be said in any case."""
    part = np.linalg.norm(e.missing) / np.linalg.norm(e.expected)
    return f"{int(e.wrong.sum())} of {e.got.size} entries are wrong, by {part:.2g} of the gradient's norm"


def diagnose_shape(got: np.ndarray, shape: tuple[int, ...], measured: np.ndarray | None) -> str:
    """What is wrong with a gradient whose shape is not that of its input."""
    traces = () if measured is None else of_shapes(got, measured)
    what = next((f"; {sentence}" for fits, sentence in traces if fits), "")
    return f"expected the shape of the input, {shape}, got {got.shape}{what}"


def of_shapes(got: np.ndarray, expected: np.ndarray) -> Traces:
    """The right numbers in another shape, or summed over too few axes, or too many."""
    for order in permutations(range(got.ndim)):
        yield alike(np.transpose(got, order), expected), f"it is transposed: permute its axes to {order}"
    yield alike(got.ravel(), expected.ravel()), "the numbers are right: reshape it"
    for keepdims in (False, True):
        for axes in groups(range(got.ndim)):
            summed = np.sum(got, axis=axes, keepdims=keepdims)
            yield alike(summed, expected), f"a broadcast axis is not summed: sum over {in_words(axes)}"
        for axes in groups(range(expected.ndim)):
            yield alike(got, np.sum(expected, axis=axes, keepdims=keepdims)), summed_too(axes)


def of_nothing(e: Evidence) -> Traces:
    """NaN, or zeros; or d_out plays no part."""
    bad = np.sum(~np.isfinite(e.got))
    yield bad, f"{bad} of {e.got.size} entries are NaN or infinite"
    yield not e.expected.any(), "the gradient has to be zero: the output does not depend on this input"
    yield not e.got.any(), "the gradient is zero everywhere: nothing flows back to this input"
    yield alike(e.got_for_other_upstream, e.got), "the upstream gradient is ignored: another d_out gives the same"


def of_a_factor(e: Evidence) -> Traces:
    """got = c · expected: a sign, a sum in place of a mean, a path counted twice."""
    c = np.sum(e.got * e.expected) / np.sum(e.expected**2)
    if alike(e.got, c * e.expected) and not isclose(c, 1, rel_tol=SAME):
        yield isclose(c, -1, rel_tol=SAME), "the sign is wrong: the gradient is -1 times what it should be"
        factor = f"a constant factor: the gradient is {c:.6g} times what it should be"
        for shape, whose in ((e.shape or e.x.shape, ""), (e.d_out.shape, " of d_out")):
            for axes in groups(axis for axis, size in enumerate(shape) if size > 1):
                size, name = prod(shape[axis] for axis in axes), in_words(axes) + whose
                yield isclose(c, size, rel_tol=SAME), f"{factor}, the size of {name}: a sum where a mean is meant?"
                inverse = f"{factor}, one over the size of {name}: a mean where a sum is meant?"
                yield isclose(c, 1 / size, rel_tol=SAME), inverse
        yield True, factor


def of_places(e: Evidence) -> Traces:
    """Which entries are wrong."""
    yield e.wrong.sum() == 1, f"1 of {e.got.size} entries is wrong, all others are right"
    for axis, size in enumerate(e.got.shape if e.got.ndim > 1 else ()):
        lines = np.moveaxis(e.wrong, axis, 0).reshape(size, -1).mean(axis=1)
        alone = size > 1 and np.count_nonzero(lines) == 1 and lines.max() > 0.5
        yield alone, f"wrong only at index {lines.argmax()} of axis {axis}, which has {size}"

    off = np.abs(e.missing) / np.abs(e.expected).max()
    everywhere = bool(np.median(off) > e.accuracy)
    why = ": digits get lost, or an epsilon is not the same forward and backward" * everywhere
    yield alike(e.got, e.expected), f"nearly right, off by {off.max():.1g}{why}"

    nothing = e.zero(e.expected)
    negative = "the input is negative and " if (e.x[e.wrong] < 0).all() else ""
    mask = f"wrong exactly where {negative}nothing should come back: the mask of a ReLU or of a maximum is missing"
    yield e.wrong_exactly(nothing), mask
    inverted = ((e.got == 0) != nothing).all()
    yield inverted, "zero exactly where something should come back, and the other way round: a mask is inverted"


def of_another_order(e: Evidence) -> Traces:
    """The right numbers at the wrong places, or the numbers of something else."""
    yield alike(e.got, e.d_out), "this is d_out, passed on unchanged: the derivative of op is missing"
    for name, gradient in e.others.items():
        yield alike(e.got, gradient), f"this is the gradient of {name}: gradients are returned in the wrong order"
    axes_of_got = range(e.got.ndim)
    for first, second in combinations(axes_of_got, 2):
        swapped = np.swapaxes(e.expected, first, second)
        yield alike(e.got, swapped), f"transposed: axes {first} and {second} are swapped"
    for axes in groups(axes_of_got):
        flipped, summed = np.flip(e.expected, axes), np.sum(e.expected, axis=axes, keepdims=True)
        yield alike(e.got, flipped), f"flipped along {in_words(axes)}: flip the kernel in backward, or don't"
        yield alike(e.got, np.broadcast_to(summed, e.got.shape)), summed_too(axes)

    last = axes_of_got[-2:]
    inside: Any = (..., *(slice(1, -1) for _ in last))
    for shift in product((0, -1, 1), repeat=len(last)):
        moved = np.roll(e.expected, shift, last)[inside]
        shifted = alike(e.got[inside], moved) and np.count_nonzero(moved) > 2 and not alike(moved, e.expected[inside])
        yield shifted, f"shifted by {shift} along the last axes: look at the padding and at where windows begin"

    here, there = ~e.zero(e.got), ~e.zero(e.expected)
    misplaced = (here != there).any() and alike(np.sort(e.got[here]), np.sort(e.expected[there]))
    yield misplaced, "the right numbers at the wrong entries: an index (of a maximum, of a window) is wrong"

    for sizes in (e.got.shape[-1:], e.got.shape[-2:]):
        inwards = [np.minimum(i, size - 1 - i) for i, size in zip(np.indices(sizes), sizes, strict=True)]
        depth = np.broadcast_to(np.min(inwards, axis=0, initial=e.got.size), e.got.shape)
        width = 1 + depth[e.wrong].max(initial=-1)
        yield e.wrong_exactly(depth < width), f"only the border is wrong, {width} deep: look at the padding"


def of_paths(e: Evidence) -> Traces:
    """What is off has a form of its own: something was added, or a path is missing."""
    x, d, missing = e.x, e.d_out, e.missing
    c = np.sum(missing * x) / np.sum(x**2)
    decay = x.size > 2 and np.ptp(x) and alike(missing, c * x)
    yield decay, f"{-c:.3g} times the input is added: is that a weight decay?"

    path = "a path is missing or wrong: what is off looks as if it came through"
    some_axes = groups(axis for axis, size in enumerate(missing.shape) if size > 1)[-2::-1]  # not all of them
    for axes in some_axes:
        level = np.median(missing, axis=axes, keepdims=True)
        peaks = ~e.zero(missing - level)
        largest = x == x.max(axis=axes, keepdims=True)
        average = not e.zero(level).all()
        maximum = not peaks[~largest].any() and np.mean(largest) ** peaks.sum() < CHANCE
        sparse = not e.expected[~e.wrong].any() and e.got[e.wrong].all()  # then only the factors are wrong
        pooling = " and ".join(["an average"] * average + ["a maximum"] * bool(maximum))
        through = (maximum or not peaks.any()) and (average or (maximum and not sparse))
        yield through, f"{path} {pooling} over {in_words(axes)}"
    for axes in some_axes if d.shape == missing.shape else ():
        gate = np.sum(missing * d, axis=axes, keepdims=True) / np.sum(d**2, axis=axes, keepdims=True)
        yield alike(gate * d, missing), f"{path} a gate: d_out times a map that is constant along {in_words(axes)}"


def of_the_output(e: Evidence) -> Traces:
    """The output y of a product, of a function of single entries or of a softmax is not used as it should be."""
    if e.out is None or e.out.shape != e.got.shape or not np.isfinite(e.expected).all():
        return
    x, y, d = e.x, e.out, e.d_out
    yield alike(e.got * x, d * y), "a path is missing: this is d_out · out / x, as if out = x · m with a constant m"
    yield alike(e.missing * x, d * y), "a path is missing: d_out · out / x, as if out = m with a constant factor x"

    unit = np.abs(y).max() or 1.0
    p = np.linalg.lstsq(np.vander((y / unit).ravel(), 4), (e.expected / d).ravel())[0]  # 1 - y², y (1 - y), y, ...
    x_for_y = alike(d * np.polyval(p, y / unit), e.expected) and alike(d * np.polyval(p, x / unit), e.got)
    yield x_for_y, "the input is used where the output should be: the derivative of tanh is 1 - y², not 1 - x²"

    def softmax_backward(y: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        return y * (d - np.sum(d * y, axis=axes, keepdims=True))

    for right, wrong in permutations(groups(range(y.ndim)), 2):
        if alike(softmax_backward(y, right), e.expected):
            again = np.exp(x) / np.sum(np.exp(x), axis=wrong, keepdims=True)
            over = alike(softmax_backward(y, wrong), e.got) or alike(softmax_backward(again, wrong), e.got)
            yield over, f"a softmax over {in_words(wrong)}, but forward is one over {in_words(right)}"


def of_inputs(e: Evidence) -> Traces:
    """It would be right if another input were transposed, or flipped; or it is right but for positive factors."""
    for name, w in e.inputs.items():
        transpose = f"{name} should or should not be transposed in backward"
        for i, j in combinations(range(w.ndim), 2):
            if w.shape[i] == w.shape[j] > 1:
                yield e.fits(name, np.swapaxes(w, i, j)), f"{transpose}: right with its axes {i} and {j} swapped"
        if w.ndim == 2 and w.shape[0] == w.shape[1]:
            for axis, a in product(range(e.got.ndim), (w, w.T)):  # expected = z a, got = z aᵀ
                if e.got.shape[axis] == len(a):
                    got, expected = np.moveaxis(e.got, axis, -1), np.moveaxis(e.expected, axis, -1)
                    yield alike(got, expected @ np.linalg.pinv(a) @ a.T), transpose
        for axes in groups(axis for axis, size in enumerate(w.shape) if size > 1):
            flip = f"right for {name} flipped along {in_words(axes)}: flip it in backward, or don't"
            yield e.fits(name, np.flip(w, axes)), flip
    nothing = e.zero(e.expected)
    ratio = e.got[~nothing] / e.expected[~nothing]
    factors = f"right in sign, off by factors from {ratio.min():.3g} to {ratio.max():.3g}"
    yield (ratio > 0).all() and (e.wrong != nothing).all(), factors


def alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are the same but for measuring errors."""
    return a.shape == b.shape and a.size > 0 and bool(np.abs(a - b).max() <= SAME * np.abs(b).max())


def groups(axes: Iterable[int]) -> list[tuple[int, ...]]:
    """All groups of the axes, small ones first."""
    every = list(axes)
    return [group for count in range(1, len(every) + 1) for group in combinations(every, count)]


def in_words(axes: tuple[int, ...]) -> str:
    """Axes, for a sentence."""
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {axes}"


def summed_too(axes: tuple[int, ...]) -> str:
    """What to say about a sum over too many axes."""
    return f"summed over {in_words(axes)} too: sum only over axes that the input was broadcast along"
