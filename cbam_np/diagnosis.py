"""What is likely wrong with a wrong gradient: each typical mistake leaves its own trace.

`diagnose` tries the hypotheses below in order, the most specific first, and returns the first that fits.
A hypothesis looks at the evidence and returns a sentence, or "" if it does not fit.
"""

from dataclasses import dataclass, field
from itertools import combinations, permutations
from math import prod

import numpy as np


@dataclass(frozen=True)
class Evidence:
    """A wrong gradient and all that is known about it, in float64 on the host.

    got: from backward. expected: measured. x: the input. d_out: the upstream gradient.
    got_for_other_upstream: what backward returns for another d_out. others: the measured gradients of other inputs
    of the same shape, by name. tolerance: relative, below which two numbers count as equal.
    """

    got: np.ndarray
    expected: np.ndarray
    x: np.ndarray
    d_out: np.ndarray
    got_for_other_upstream: np.ndarray
    others: dict[str, np.ndarray] = field(default_factory=dict)
    tolerance: float = 1e-6

    @property
    def missing(self) -> np.ndarray:
        """expected - got."""
        return self.expected - self.got

    @property
    def wrong(self) -> np.ndarray:
        """Where got and expected differ."""
        return np.abs(self.missing) > self.tolerance * (np.abs(self.expected) + 0.1 * np.abs(self.expected).max())

    def alike(self, a: np.ndarray, b: np.ndarray) -> bool:
        """Whether two arrays are the same but for measuring errors."""
        return a.shape == b.shape and bool(np.abs(a - b).max() <= 10 * self.tolerance * np.abs(b).max())


def diagnose(e: Evidence) -> str:
    """One sentence that says what is likely wrong with `e.got`."""
    for hypothesis in (
        not_finite,
        zero,
        should_be_zero,
        upstream_ignored,
        constant_factor,
        rearranged,
        of_another_input,
        average_path,
        maximum_path,
        feature_path,
        wrong_place,
        mask_of_relu,
        border,
        one_entry,
        varying_factor,
    ):
        sentence = hypothesis(e)
        if sentence:
            return sentence
    part = np.linalg.norm(e.missing) / np.linalg.norm(e.expected)
    count = f"{int(e.wrong.sum())} of {e.got.size} entries are wrong"
    return f"{count}, by {part:.2g} of the gradient's norm: perhaps one of several paths is missing or counted twice"


def diagnose_shape(got: np.ndarray, expected_shape: tuple[int, ...], measured: np.ndarray | None) -> str:
    """What is likely wrong with a gradient whose shape is not that of its input."""
    sentence = f"expected the shape of the input, {expected_shape}, came {got.shape}"
    if measured is None:
        return sentence
    for count in range(1, got.ndim + 1):
        for axes in combinations(range(got.ndim), count):
            for keepdims in (False, True):
                summed = got.sum(axis=axes, keepdims=keepdims)
                if summed.shape == expected_shape and np.allclose(summed, measured, rtol=1e-4, atol=1e-6):
                    return f"{sentence}; a broadcast axis is not summed: sum over axis {_axes(axes)}"
    if got.ndim == len(expected_shape):
        for order in permutations(range(got.ndim)):
            turned = np.transpose(got, order)
            if turned.shape == expected_shape and np.allclose(turned, measured, rtol=1e-4, atol=1e-6):
                return f"{sentence}; it is transposed: permute its axes to {order}"
    return sentence


def not_finite(e: Evidence) -> str:
    """NaN or infinity, of a finite input."""
    bad = int(np.sum(~np.isfinite(e.got)))
    return f"{bad} of {e.got.size} entries are NaN or infinite" if bad else ""


def zero(e: Evidence) -> str:
    """Nothing comes back at all."""
    return "the gradient is zero everywhere: nothing flows back to this input" if not e.got.any() else ""


def should_be_zero(e: Evidence) -> str:
    """Something comes back where nothing should."""
    return "the gradient has to be zero: the output does not depend on this input" if not e.expected.any() else ""


def upstream_ignored(e: Evidence) -> str:
    """The same gradient for every d_out."""
    if e.alike(e.got, e.got_for_other_upstream):
        return "the upstream gradient is ignored: another d_out gives the same gradient (as if d_out were all ones)"
    return ""


def constant_factor(e: Evidence) -> str:
    """got = c · expected: a sign, a sum in place of a mean, a path counted twice."""
    c = float(np.sum(e.got * e.expected) / np.sum(e.expected**2)) if e.expected.any() else 0.0
    if c == 0.0 or not e.alike(e.got, c * e.expected):
        return ""
    if np.isclose(c, -1, rtol=1e-4):
        return "the sign is wrong: the gradient is -1 times what it should be"
    sentence = f"a constant factor: the gradient is {c:.6g} times what it should be"
    sizes = dict(enumerate(e.x.shape))
    for count in range(1, len(sizes) + 1):
        for axes in combinations(sizes, count):
            size = prod(sizes[axis] for axis in axes)
            if size > 1 and np.isclose(c, size, rtol=1e-4):
                return f"{sentence}, the size of axis {_axes(axes)}: a sum where a mean is meant, divide by {size}"
            if size > 1 and np.isclose(c, 1 / size, rtol=1e-4):
                return f"{sentence}, one over the size of axis {_axes(axes)}: a mean where a sum is meant"
    return sentence


def rearranged(e: Evidence) -> str:
    """The right numbers, transposed, flipped or shifted."""
    ndim = e.got.ndim
    for first, second in combinations(range(ndim), 2):
        if e.alike(np.swapaxes(e.got, first, second), e.expected):
            return f"transposed: axes {first} and {second} are swapped"
    for count in range(1, ndim + 1):
        for axes in combinations(range(ndim), count):
            if e.alike(np.flip(e.got, axes), e.expected):
                return (
                    f"flipped along axis {_axes(axes)}: a kernel that should be flipped is not, or the other way round"
                )
    for axis in range(ndim):
        for shift in (-1, 1):
            if e.alike(np.roll(e.got, shift, axis), e.expected):
                return f"shifted by one along axis {axis}"
    return ""


def of_another_input(e: Evidence) -> str:
    """Gradients returned in the wrong order."""
    for name, gradient in e.others.items():
        if e.alike(e.got, gradient):
            return f"this is the gradient of {name}: gradients are returned in the wrong order"
    return ""


def average_path(e: Evidence) -> str:
    """What is missing is constant along some axes, as all that comes back through an average is."""
    for axes in _axis_groups(e.missing):
        spread = np.ptp(e.missing, axis=axes).max()
        if spread <= 10 * e.tolerance * np.abs(e.expected).max() and e.wrong.mean() > 0.5:
            return f"a path is missing: what is missing is constant along axis {_axes(axes)}, as through an average"
    return ""


def maximum_path(e: Evidence) -> str:
    """What is missing has one entry in each line, as all that comes back through a maximum has."""
    for axes in _axis_groups(e.missing):
        others = tuple(axis for axis in range(e.got.ndim) if axis not in axes)
        counts = e.wrong.sum(axis=axes)
        if others and e.got.size > counts.size and counts.max() == 1 and counts.mean() > 0.5:
            return f"a path is missing: one entry in each line along axis {_axes(axes)} is off, as through a maximum"
    return ""


def feature_path(e: Evidence) -> str:
    """What is missing is d_out times a map, as in the direct path of a gate."""
    if e.d_out.shape != e.got.shape:
        return ""
    ratio = e.missing / np.where(e.d_out == 0, 1.0, e.d_out)
    for axes in _axis_groups(e.missing):
        if np.ptp(ratio, axis=axes).max() <= 1e-3 * np.abs(ratio).max():
            return f"a path is missing: d_out times a map constant along axis {_axes(axes)}, the direct path of a gate"
    return ""


def wrong_place(e: Evidence) -> str:
    """The right amounts at the wrong entries of a sparse gradient."""
    got, expected = e.got[e.got != 0], e.expected[np.abs(e.expected) > e.tolerance * np.abs(e.expected).max()]
    if got.size == expected.size < e.got.size and np.allclose(np.sort(got), np.sort(expected), rtol=1e-4):
        return "the right numbers at the wrong entries: an index (of a maximum, of a window) is wrong"
    return ""


def mask_of_relu(e: Evidence) -> str:
    """Wrong exactly where the input is negative."""
    if e.wrong.any() and (e.x[e.wrong] <= 0).all() and e.wrong[e.x < 0].mean() > 0.9 and not e.expected[e.wrong].any():
        return (
            "wrong exactly where the input is negative, where nothing should come back: the mask of a ReLU is missing"
        )
    return ""


def border(e: Evidence) -> str:
    """Wrong in the outer rows and columns only."""
    if e.got.ndim < 2 or min(e.got.shape[-2:]) < 3:
        return ""
    for width in range(1, (min(e.got.shape[-2:]) - 1) // 2 + 1):
        inner = e.wrong[..., width:-width, width:-width]
        if not inner.any() and e.wrong.sum() > 1:
            return f"only the border is wrong (the outer {width} rows and columns): look at the padding"
    return ""


def one_entry(e: Evidence) -> str:
    """A single entry."""
    if int(e.wrong.sum()) == 1 and e.got.size > 1:
        where = tuple(int(i) for i in np.argwhere(e.wrong)[0])
        return f"one entry of {e.got.size} is wrong, {where}; all others are right"
    return ""


def varying_factor(e: Evidence) -> str:
    """Zero where it should be zero and of the right sign, but scaled differently from entry to entry."""
    nonzero = np.abs(e.expected) > e.tolerance * np.abs(e.expected).max()
    if not nonzero.any() or (np.sign(e.got[nonzero]) != np.sign(e.expected[nonzero])).any() or e.wrong[~nonzero].any():
        return ""
    ratio = np.where(nonzero, e.got / np.where(nonzero, e.expected, 1.0), 1.0)
    for axes in _axis_groups(ratio):
        if nonzero.all() and np.ptp(ratio, axis=axes).max() <= 1e-3 * np.ptp(ratio):
            return f"a factor that does not vary along axis {_axes(axes)} is missing or wrong, as the map of a gate"
    low, high = ratio[nonzero].min(), ratio[nonzero].max()
    return f"right in sign, off by factors from {low:.3g} to {high:.3g}: an elementwise derivative is missing or wrong"


def _axis_groups(values: np.ndarray) -> list[tuple[int, ...]]:
    """Groups of axes longer than one, the largest groups first."""
    long = [axis for axis in range(values.ndim) if values.shape[axis] > 1]
    return [axes for count in range(len(long) - 1, 0, -1) for axes in combinations(long, count)]


def _axes(axes: tuple[int, ...]) -> str:
    return str(axes[0]) if len(axes) == 1 else str(axes)
