"""The slope of a function at a point, measured in two ways that have nothing in common.

    central differences   (φ(h) - φ(-h)) / 2h     for any function; errors about h² and 1e-16/h
    complex step          Im φ(ih) / h            for analytic ones; no subtraction, so h = 1e-20, and no error

φ(t) is the sum of an array of terms, one for each output of an operation: at a kink every one of them may
have two slopes of its own, one to each side.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Terms = Callable[[complex], np.ndarray]  # t -> the terms of φ(t) - φ(0)

STEP = 6e-6  # near the cube root of float64's rounding, where both errors of a central difference balance
COMPLEX_STEP = 1e-20
LARGEST_STEP, SMALLEST_STEP = 1e5, 1e-7  # where a close look begins and ends, in multiples of the step
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Slope:
    """What a close look has found: the slopes to the left and to the right, each ± error.

    low, high: between them lies any gradient that makes a choice at a kink, output by output.
    """

    left: float
    right: float
    error: float
    low: float
    high: float

    @property
    def value(self) -> float:
        """The slope, where there is one."""
        return (self.left + self.right) / 2

    @property
    def kink(self) -> bool:
        """Whether the slopes to the left and to the right differ by more than measuring errors."""
        return abs(self.right - self.left) > 10 * self.error


def central(terms: Terms, h: float) -> float:
    """(φ(h) - φ(-h)) / 2h."""
    return float(np.sum(terms(h) - terms(-h)) / (2 * h))


def complex_step(terms: Terms, h: float) -> float:
    """Im φ(ih) / h. Raises whatever `terms` raises if it cannot take a complex number, or drops its imaginary part."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        return float(np.sum(terms(1j * h).imag) / h)


def closely(terms: Terms, h: float, noise: float, got: float) -> Slope:
    """The slopes to both sides from a series of ever smaller steps, and how far they can be trusted.

    One-sided quotients are φ(t)/t = φ′ + t φ″/2 + ...; two of them, at t and t/10, get rid of the φ″ term:

        φ′ ≈ (10 φ(t/10)/(t/10) - φ(t)/t) / 9

    Three such estimates in a row that agree, on both sides, tell the error. Large steps suffer from
    curvature and from kinks nearby, small ones from rounding; the best in between is taken. `noise` is how far
    rounding moves φ. The search ends early when it is clear enough whether the slope is `got`.
    """
    best = Slope(np.nan, np.nan, np.inf, np.nan, np.nan)
    quotients: list[np.ndarray] = []
    estimates: list[np.ndarray] = []
    t = h * LARGEST_STEP
    while t >= h * SMALLEST_STEP and noise / t < best.error:
        quotients.append(np.stack([terms(-t) / -t, terms(t) / t]))
        if len(quotients) > 1:
            sides = (10 * quotients[-1] - quotients[-2]) / 9
            estimates.append(sides.reshape(2, -1).sum(axis=1))
        if len(estimates) > 2:
            error = float(np.ptp(estimates[-3:], axis=0).max() + 2 * noise / t)
            moved = float(np.abs(estimates[-1] - (best.left, best.right)).max())
            if error < best.error or moved > 3 * (error + best.error):  # the nearer look is the truer one
                left, right = estimates[-1]
                low, high = sides.min(axis=0).sum(), sides.max(axis=0).sum()
                best = Slope(float(left), float(right), error, float(low), float(high))
                if t <= h and error < 1e-4 * abs(got - best.value):
                    break  # clear enough
        t /= 10
    return best
