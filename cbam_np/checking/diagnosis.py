"""What is wrong with a wrong gradient, where it can be told: each typical mistake leaves its own trace.

`diagnose` tries the hypotheses below in order and returns what the first that fits has to say. A hypothesis looks at
the evidence and returns a sentence, or "" if it does not fit. It has to be right or silent: entries that are wrong at
random fit none of them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations, permutations, product
from math import comb, prod

import numpy as np

SAME = 1e-5  # relative: numbers closer than that are the same, but for measuring errors
CHANCE = 1e-3  # a pattern that random entries would show more often than that tells nothing


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
        return np.abs(self.missing) > SAME / 10 * np.abs(self.expected) + self.accuracy * largest

    @property
    def nearly_zero(self) -> float:
        """What counts as zero beside the largest entry."""
        return SAME * float(np.abs(self.expected).max())

    @property
    def nothing(self) -> np.ndarray:
        """Where nothing should come back."""
        return np.abs(self.expected) <= self.nearly_zero

    def wrong_at(self, entries: np.ndarray) -> bool:
        """Whether exactly these entries are wrong, and that is no coincidence."""
        return bool((self.wrong == entries).all()) and comb(entries.size, int(entries.sum())) > 1 / CHANCE


def diagnose(e: Evidence) -> str:
    """One sentence that says what is wrong with `e.got`; "" if nothing can be told."""
    hypotheses = (not_finite, should_be_zero, upstream_ignored, constant_factor, one_place, nearly_right, mask)
    hypotheses += (
        lookalike,
        weight_decay,
        pooling_path,
        gate_path,
        product_rule,
        wrong_place,
        shifted,
        border,
        other_input_changed,
        varying_factor,
    )
    with np.errstate(all="ignore"):
        return next(filter(None, (hypothesis(e) for hypothesis in hypotheses)), "")


def unexplained(e: Evidence) -> str:
    """What can be said in any case."""
    part = np.linalg.norm(e.missing) / np.linalg.norm(e.expected)
    return f"{int(e.wrong.sum())} of {e.got.size} entries are wrong, by {part:.2g} of the gradient's norm"


def diagnose_shape(got: np.ndarray, shape: tuple[int, ...], measured: np.ndarray | None) -> str:
    """What is wrong with a gradient whose shape is not that of its input."""
    sentence = f"expected the shape of the input, {shape}, got {got.shape}"
    if measured is None:
        return sentence
    for order in permutations(range(got.ndim)):
        if _alike(np.transpose(got, order), measured):
            return f"{sentence}; it is transposed: permute its axes to {order}"
    if got.size == measured.size and _alike(got.reshape(shape), measured):
        return f"{sentence}; the numbers are right: reshape it"
    for keepdims in (False, True):
        for axes in _groups(range(got.ndim)):
            if _alike(got.sum(axis=axes, keepdims=keepdims), measured):
                return f"{sentence}; a broadcast axis is not summed: sum over {_axes(axes)}"
        for axes in _groups(range(measured.ndim)):
            if _alike(got, measured.sum(axis=axes, keepdims=keepdims)):
                return f"{sentence}; {_summed_too(axes)}"
    return sentence


def not_finite(e: Evidence) -> str:
    """NaN or infinity, of finite inputs."""
    bad = int(np.sum(~np.isfinite(e.got)))
    return f"{bad} of {e.got.size} entries are NaN or infinite" if bad else ""


def should_be_zero(e: Evidence) -> str:
    """Something comes back where nothing should."""
    return "" if e.expected.any() else "the gradient has to be zero: the output does not depend on this input"


def upstream_ignored(e: Evidence) -> str:
    """The same gradient for every d_out."""
    ignored = e.got.any() and _alike(e.got_for_other_upstream, e.got)
    return "the upstream gradient is ignored: another d_out gives the same" if ignored else ""


def constant_factor(e: Evidence) -> str:
    """got = c · expected: nothing at all, a sign, a sum in place of a mean, a path counted twice."""
    c = float(np.sum(e.got * e.expected) / np.sum(e.expected**2))
    if not e.got.any():
        return "the gradient is zero everywhere: nothing flows back to this input"
    if not _alike(e.got, c * e.expected) or _near(c, 1):
        return ""
    if _near(c, -1):
        return "the sign is wrong: the gradient is -1 times what it should be"
    sentence = f"a constant factor: the gradient is {c:.6g} times what it should be"
    for shape, whose in ((e.shape or e.x.shape, ""), (e.d_out.shape, " of d_out")):
        for axes in _groups(range(len(shape))):
            size = prod(shape[axis] for axis in axes)
            if size > 1 and _near(c, size):
                return f"{sentence}, the size of {_axes(axes)}{whose}: a sum where a mean is meant?"
            if size > 1 and _near(c, 1 / size):
                return f"{sentence}, one over the size of {_axes(axes)}{whose}: a mean where a sum is meant?"
    return sentence


def one_place(e: Evidence) -> str:
    """A single entry, or a single index along some axis."""
    if e.wrong.sum() == 1:
        return f"1 of {e.got.size} entries is wrong, all others are right"
    for axis, size in enumerate(e.got.shape if e.got.ndim > 1 else ()):
        lines = np.moveaxis(e.wrong, axis, 0).reshape(size, -1)
        (indices,) = np.nonzero(lines.any(axis=1))
        if len(indices) == 1 < size and lines[indices[0]].mean() > 0.5:
            return f"wrong only at index {indices[0]} of axis {axis}, which has {size}"
    return ""


def nearly_right(e: Evidence) -> str:
    """All entries are a little off."""
    if not _alike(e.got, e.expected):
        return ""
    off = np.abs(e.missing)
    sentence = f"nearly right, off by {off.max() / np.abs(e.expected).max():.1g}"
    everywhere = np.mean(off > off.max() / 100) > 0.5
    return sentence + (": digits get lost, or an epsilon is not the same forward and backward" if everywhere else "")


def mask(e: Evidence) -> str:
    """Wrong exactly where nothing should come back, or zero exactly where something should."""
    if e.wrong_at(e.nothing):
        negative = "the input is negative and " if (e.x[e.wrong] < 0).all() else ""
        return f"wrong exactly where {negative}nothing should come back: the mask of a ReLU or of a maximum is missing"
    if ((e.got == 0) != e.nothing).all():
        return "zero exactly where something should come back, and the other way round: a mask is inverted"
    return ""


def lookalike(e: Evidence) -> str:
    """The right numbers rearranged, or the numbers of something else."""
    candidates = [*_rearranged(e), *(_of_the_output(e) if e.out is not None and e.out.shape == e.got.shape else ())]
    return next((sentence for sentence, array in candidates if _alike(e.got, array)), "")


def _rearranged(e: Evidence) -> Iterator[tuple[str, np.ndarray]]:
    """The right gradient with its axes, or its entries, in disorder; and gradients of something else."""
    yield "this is d_out, passed on unchanged: the derivative of op is missing", e.d_out
    for name, gradient in e.others.items():
        yield f"this is the gradient of {name}: gradients are returned in the wrong order", gradient
    for first, second in combinations(range(e.got.ndim), 2):
        yield f"transposed: axes {first} and {second} are swapped", np.swapaxes(e.expected, first, second)
    for axes in _groups(range(e.got.ndim)):
        yield (
            f"flipped along {_axes(axes)}: a kernel is flipped where it should not be, or not where it should",
            np.flip(e.expected, axes),
        )
        yield _summed_too(axes), np.broadcast_to(np.sum(e.expected, axis=axes, keepdims=True), e.got.shape)


def _of_the_output(e: Evidence) -> Iterator[tuple[str, np.ndarray]]:
    """What comes out if the output y of an elementwise operation, or of a softmax, is not used as it should be."""
    x, y, d, groups = e.x, e.out, e.d_out, _groups(range(e.got.ndim))
    p = np.linalg.lstsq(np.vander(y.ravel(), 4), (e.expected / d).ravel())[0]  # 1 - y², y (1 - y), y, ...
    if _alike(d * np.polyval(p, y), e.expected):
        yield "x stands where the output should: its derivative is 1 - y² for tanh, not 1 - x²", d * np.polyval(p, x)

    softmax = lambda q, axes: q * (d - np.sum(d * q, axis=axes, keepdims=True))
    log_softmax = lambda q, axes: d - q * np.sum(d, axis=axes, keepdims=True)
    for formula, q in ((softmax, y), (log_softmax, np.exp(y))):
        for right in (axes for axes in groups if _alike(formula(q, axes), e.expected)):
            for axes in groups:
                sentence = f"a softmax over {_axes(axes)}, and forward is one over {_axes(right)}"
                yield sentence, formula(q, axes)
                yield sentence, formula(np.exp(x) / np.sum(np.exp(x), axis=axes, keepdims=True), axes)


def weight_decay(e: Evidence) -> str:
    """The input itself is added."""
    c = np.sum(e.missing * e.x) / np.sum(e.x**2)
    fits = e.x.size > 2 and np.ptp(e.x) and _alike(e.missing, c * e.x)
    return f"{-c:.3g} times the input is added: is that a weight decay?" if fits else ""


def gate_path(e: Evidence) -> str:
    """What is off is d_out times a map, as in the direct path of a gate."""
    for axes in _some_axes(e.missing) if e.d_out.shape == e.got.shape else ():
        m = np.sum(e.missing * e.d_out, axis=axes, keepdims=True) / np.sum(e.d_out**2, axis=axes, keepdims=True)
        if _alike(m * e.d_out, e.missing):
            return f"a path is missing or wrong: off by d_out times a map that is constant along {_axes(axes)}"
    return ""


def product_rule(e: Evidence) -> str:
    """One of the two terms for out = x · m(x)."""
    if e.out is not None and e.out.shape == e.got.shape:
        if _alike(e.got * e.x, e.d_out * e.out):
            return "a path is missing: only d_out · out / x is left, as for out = x · m with a constant m"
        if _alike(e.missing * e.x, e.d_out * e.out):
            return "a path is missing: d_out · out / x, as for out = x · m with a constant m"
    return ""


def pooling_path(e: Evidence) -> str:
    """What is off is constant along some axes, as through an average, or one entry in each, as through a maximum."""
    for axes in _some_axes(e.missing):
        level = np.median(e.missing, axis=axes, keepdims=True)
        peaks = np.abs(e.missing - level) > e.nearly_zero
        largest = e.x == e.x.max(axis=axes, keepdims=True)
        average = bool((np.abs(level) > e.nearly_zero).any())
        maximum = not peaks[~largest].any() and bool(np.mean(largest) ** peaks.sum() < CHANCE)
        scaled = not e.expected[~e.wrong].any() and e.got[e.wrong].all()  # sparse, and only the factors are wrong
        if not (peaks.any() and not maximum) and (average or (maximum and not scaled)):
            poolings = " and ".join(["an average"] * average + ["a maximum"] * maximum)
            return f"a path is missing or wrong: what is off looks as if it came through {poolings} over {_axes(axes)}"
    return ""


def wrong_place(e: Evidence) -> str:
    """The right amounts at the wrong entries of a sparse gradient."""
    here, there = np.abs(e.got) > e.nearly_zero, ~e.nothing
    if (here != there).any() and _alike(np.sort(e.got[here]), np.sort(e.expected[there])):
        return "the right numbers at the wrong entries: an index (of a maximum, of a window) is wrong"
    return ""


def shifted(e: Evidence) -> str:
    """By one entry, along the last axes."""
    for shift in product((0, -1, 1), repeat=min(e.got.ndim, 2)):
        if any(shift) and all(size > 2 for size in e.got.shape[-2:]):
            ahead = tuple(slice(max(s, 0), min(s, 0) or None) for s in shift)
            behind = tuple(slice(max(-s, 0), min(-s, 0) or None) for s in shift)
            got, here, there = e.got[..., *ahead], e.expected[..., *ahead], e.expected[..., *behind]
            if _alike(got, there) and not _alike(got, here):
                return f"shifted by {shift} along the last axes: look at the padding and at where windows begin"
    return ""


def border(e: Evidence) -> str:
    """Wrong in the outer entries of the last axes, and only there."""
    for count in range(1, min(e.got.ndim, 2) + 1):
        sizes = e.got.shape[-count:]
        depth = np.min([np.minimum(i, size - 1 - i) for i, size in zip(np.indices(sizes), sizes, strict=True)], axis=0)
        depth = np.broadcast_to(depth, e.got.shape)
        width = 1 + int(depth[e.wrong].max(initial=-1))
        if e.wrong_at(depth < width):
            return f"only the border is wrong, {width} deep: look at the padding"
    return ""


def other_input_changed(e: Evidence) -> str:
    """Right for another input that is transposed, or flipped."""
    for name, y in e.inputs.items():
        for first, second in combinations(range(y.ndim), 2):
            if y.shape[first] == y.shape[second] > 1 and e.fits(name, np.swapaxes(y, first, second)):
                return f"right for {name} with axes {first} and {second} swapped: is it transposed in backward as in forward?"
        for axes in _groups(axis for axis in range(y.ndim) if y.shape[axis] > 1):
            if e.fits(name, np.flip(y, axes)):
                return f"right for {name} flipped along {_axes(axes)}: flip it in backward, or don't"
    return ""


def varying_factor(e: Evidence) -> str:
    """Zero where it should be zero and of the right sign, but scaled differently from entry to entry."""
    ratio = e.got[~e.nothing] / e.expected[~e.nothing]
    if (ratio <= 0).any() or (e.wrong == e.nothing).any():
        return ""
    return f"right in sign, off by factors from {ratio.min():.3g} to {ratio.max():.3g}"


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are the same but for measuring errors."""
    return a.shape == b.shape and a.size > 0 and bool(np.abs(a - b).max() <= SAME * np.abs(b).max())


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= SAME * abs(b)


def _groups(axes: Iterable[int]) -> list[tuple[int, ...]]:
    """All groups of the axes, small ones first."""
    every = list(axes)
    return [group for count in range(1, len(every) + 1) for group in combinations(every, count)]


def _some_axes(values: np.ndarray) -> list[tuple[int, ...]]:
    """Groups of axes longer than one, the largest first, but not all of them."""
    return _groups(axis for axis in range(values.ndim) if values.shape[axis] > 1)[-2::-1]


def _axes(axes: tuple[int, ...]) -> str:
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {axes}"


def _summed_too(axes: tuple[int, ...]) -> str:
    return f"summed over {_axes(axes)} too: sum over those axes only that the input was broadcast along"
