"""What is likely wrong with a wrong gradient: each typical mistake leaves its own trace.

`diagnose` tries the hypotheses below in order and returns what the first that fits has to say. A hypothesis looks at
the evidence and returns a sentence, or "" if it does not fit.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations, permutations, product
from math import prod

import numpy as np

SAME = 1e-5  # relative: numbers closer than that are the same, but for measuring errors


@dataclass(frozen=True)
class Evidence:
    """A wrong gradient and all that is known about it, in float64 on the host.

    got: from backward. expected: measured. x: the input. These have the input's shape, or one axis if the gradient is
    so large that only some entries were measured; `shape` is then the input's.
    d_out: the upstream gradient. got_for_other_upstream: what backward returns for another d_out. others: the measured
    gradients of other inputs of the same shape, by name. accuracy: of expected, beside its largest entry.
    """

    got: np.ndarray
    expected: np.ndarray
    x: np.ndarray
    d_out: np.ndarray
    got_for_other_upstream: np.ndarray
    others: dict[str, np.ndarray] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None
    accuracy: float = 1e-9

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


def diagnose(e: Evidence) -> str:
    """One sentence that says what is likely wrong with `e.got`."""
    for hypothesis in (
        not_finite,
        zero,
        should_be_zero,
        upstream_ignored,
        constant_factor,
        imprecise,
        of_another_input,
        rearranged,
        one_place,
        no_mask,
        inverted_mask,
        passed_on,
        pooling_path,
        gate_path,
        wrong_place,
        border,
        varying_factor,
    ):
        sentence = hypothesis(e)
        if sentence:
            return sentence
    part = np.linalg.norm(e.missing) / np.linalg.norm(e.expected)
    return (
        f"{_count(e)} wrong, by {part:.2g} of the gradient's norm: "
        "perhaps one of several paths is missing or counted twice"
    )


def diagnose_shape(got: np.ndarray, shape: tuple[int, ...], measured: np.ndarray | None) -> str:
    """What is likely wrong with a gradient whose shape is not that of its input."""
    sentence = f"expected the shape of the input, {shape}, got {got.shape}"
    if measured is None:
        return sentence
    for axes in _groups(range(got.ndim)):
        for keepdims in (False, True):
            if _alike(got.sum(axis=axes, keepdims=keepdims), measured):
                return f"{sentence}; a broadcast axis is not summed: sum over {_axes(axes)}"
    for order in permutations(range(got.ndim)):
        if _alike(np.transpose(got, order), measured):
            return f"{sentence}; it is transposed: permute its axes to {order}"
    if got.size == measured.size and _alike(got.reshape(shape), measured):
        return f"{sentence}; the numbers are right: reshape it"
    return sentence


def not_finite(e: Evidence) -> str:
    """NaN or infinity, of finite inputs."""
    bad = int(np.sum(~np.isfinite(e.got)))
    return f"{bad} of {e.got.size} entries are NaN or infinite" if bad else ""


def zero(e: Evidence) -> str:
    """Nothing comes back at all."""
    return "" if e.got.any() else "the gradient is zero everywhere: nothing flows back to this input"


def should_be_zero(e: Evidence) -> str:
    """Something comes back where nothing should."""
    return "" if e.expected.any() else "the gradient has to be zero: the output does not depend on this input"


def upstream_ignored(e: Evidence) -> str:
    """The same gradient for every d_out."""
    return (
        "the upstream gradient is ignored: another d_out gives the same"
        if _alike(e.got_for_other_upstream, e.got)
        else ""
    )


def constant_factor(e: Evidence) -> str:
    """got = c · expected: a sign, a sum in place of a mean, a path counted twice."""
    c = float(np.sum(e.got * e.expected) / np.sum(e.expected**2))
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


def imprecise(e: Evidence) -> str:
    """Nearly right, and not only because a single small entry is wrong."""
    if not _alike(e.got, e.expected) or e.wrong.sum() == 1:
        return ""
    error = np.abs(e.missing).max() / np.abs(e.expected).max()
    return f"nearly right, off by {error:.1g}: digits get lost, or an epsilon is not the same forward and backward"


def of_another_input(e: Evidence) -> str:
    """Gradients returned in the wrong order."""
    for name, gradient in e.others.items():
        if _alike(e.got, gradient):
            return f"this is the gradient of {name}: gradients are returned in the wrong order"
    return ""


def rearranged(e: Evidence) -> str:
    """The right numbers, transposed, flipped or shifted."""
    ndim = e.got.ndim
    for first, second in combinations(range(ndim), 2):
        if _alike(np.swapaxes(e.got, first, second), e.expected):
            return f"transposed: axes {first} and {second} are swapped"
    for axes in _groups(range(ndim)):
        if _alike(np.flip(e.got, axes), e.expected):
            return f"flipped along {_axes(axes)}: a kernel is flipped where it should not be, or the other way round"
    for shift in product((0, -1, 1), repeat=min(ndim, 2)):
        if any(shift) and all(size > 2 for size in e.got.shape[-2:]):
            ahead = tuple(slice(max(s, 0), min(s, 0) or None) for s in shift)
            behind = tuple(slice(max(-s, 0), min(-s, 0) or None) for s in shift)
            if _alike(e.got[..., *ahead], e.expected[..., *behind]):
                return f"shifted by {shift} along the last axes: look at the padding and at where windows begin"
    return ""


def one_place(e: Evidence) -> str:
    """A single entry, or a single index along some axis."""
    if e.wrong.sum() == 1:
        return f"{_count(e)} wrong, all others are right"
    for axis, size in enumerate(e.got.shape):
        lines = np.moveaxis(e.wrong, axis, 0).reshape(size, -1)
        (indices,) = np.nonzero(lines.any(axis=1))
        if len(indices) == 1 < size and lines[indices[0]].mean() > 0.5 and e.got.ndim > 1:
            return f"wrong only at index {indices[0]} of axis {axis}, which has {size}"
    return ""


def no_mask(e: Evidence) -> str:
    """Right where something should come back, but something also comes back where nothing should."""
    nothing = np.abs(e.expected) <= e.nearly_zero
    if not e.wrong.any() or e.wrong[~nothing].any() or e.wrong.sum() < 2:
        return ""
    negative = "the input is negative and " if (e.x[e.wrong] < 0).all() else ""
    return f"wrong exactly where {negative}nothing should come back: the mask of a ReLU or of a maximum is missing"


def inverted_mask(e: Evidence) -> str:
    """Zero where something should come back, and the other way round."""
    if ((e.got == 0) == (np.abs(e.expected) > e.nearly_zero)).all():
        return "zero exactly where something should come back, and the other way round: a mask is inverted"
    return ""


def passed_on(e: Evidence) -> str:
    """d_out itself."""
    return "this is d_out, passed on unchanged: the derivative of op is missing" if _alike(e.got, e.d_out) else ""


def pooling_path(e: Evidence) -> str:
    """What is off is constant along some axes, as through an average, or one entry in each, as through a maximum."""
    for axes in _some_axes(e.got):
        level = np.median(e.missing, axis=axes, keepdims=True)
        peaks = (np.abs(e.missing - level) > e.nearly_zero).sum(axis=axes)
        through_average = bool(np.mean(np.abs(level) > e.nearly_zero) > 0.5)
        through_maximum = bool(np.mean(peaks == 1) > 0.5 and peaks.max() == 1)
        scaled = not e.expected[~e.wrong].any() and e.got[e.wrong].all()  # sparse, and only the factors are wrong
        if peaks.max() <= through_maximum and (through_average or (through_maximum and not scaled)):
            poolings = " and ".join(["an average"] * through_average + ["a maximum"] * through_maximum)
            return f"a path is missing or wrong: what is off looks as if it came through {poolings} over {_axes(axes)}"
    return ""


def gate_path(e: Evidence) -> str:
    """What is off is d_out times a map, as in the direct path of a gate."""
    if e.d_out.shape != e.got.shape or not e.d_out.all():
        return ""
    ratio = e.missing / e.d_out
    for axes in _some_axes(e.got):
        if np.ptp(ratio, axis=axes).max() <= 1e-3 * np.abs(ratio).max():
            return f"a path is missing or wrong: off by d_out times a map that is constant along {_axes(axes)}"
    return ""


def wrong_place(e: Evidence) -> str:
    """The right amounts at the wrong entries of a sparse gradient."""
    here, there = np.abs(e.got) > e.nearly_zero, np.abs(e.expected) > e.nearly_zero
    if (here != there).any() and _alike(np.sort(e.got[here]), np.sort(e.expected[there])):
        return "the right numbers at the wrong entries: an index (of a maximum, of a window) is wrong"
    return ""


def border(e: Evidence) -> str:
    """Wrong in the outer rows and columns only."""
    if e.got.ndim < 2:
        return ""
    for width in range(1, (min(e.got.shape[-2:]) + 1) // 2):
        if not e.wrong[..., width:-width, width:-width].any() and e.wrong.sum() > 1:
            return f"only the border is wrong, {width} deep: look at the padding"
    return ""


def varying_factor(e: Evidence) -> str:
    """Zero where it should be zero and of the right sign, but scaled differently from entry to entry."""
    nonzero = np.abs(e.expected) > e.nearly_zero
    if (np.sign(e.got) != np.sign(e.expected))[nonzero].any() or e.wrong[~nonzero].any():
        return ""
    ratio = e.got[nonzero] / e.expected[nonzero]
    return (
        f"right in sign, off by factors from {ratio.min():.3g} to {ratio.max():.3g}: "
        "an elementwise derivative, or a path, may be missing"
    )


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are the same but for measuring errors."""
    return a.shape == b.shape and a.size > 0 and bool(np.abs(a - b).max() <= SAME * np.abs(b).max())


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= SAME * abs(b)


def _count(e: Evidence) -> str:
    count = int(e.wrong.sum())
    return f"{count} of {e.got.size} entries {'is' if count == 1 else 'are'}"


def _groups(axes: Iterable[int]) -> list[tuple[int, ...]]:
    """All groups of the axes, small ones first."""
    every = list(axes)
    return [group for count in range(1, len(every) + 1) for group in combinations(every, count)]


def _some_axes(values: np.ndarray) -> list[tuple[int, ...]]:
    """Groups of axes longer than one, the largest first, but not all of them."""
    return _groups(axis for axis in range(values.ndim) if values.shape[axis] > 1)[-2::-1]


def _axes(axes: tuple[int, ...]) -> str:
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {axes}"
