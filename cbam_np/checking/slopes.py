"""The slope of a function at a point, measured in two ways that have nothing in common.

    central difference   (φ(h) - φ(-h)) / 2h     for any function; errors about h² and 1e-16/h
    complex step         Im φ(ih) / h            for analytic ones; no subtraction, so h = 1e-20, and no error

φ(t) is the sum of an array of terms, one for each output of an operation: at a kink every one of them may
have two slopes of its own, one to each side. φ and t are relative: both of about size 1 (see `Operation` and `Input`).
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Terms = Callable[[complex], np.ndarray]  # t -> the terms of φ(t) - φ(0)

EPS = float(np.finfo(np.float64).eps)
STEP = EPS ** (1 / 3)  # where both errors of a central difference balance
COMPLEX_STEP = 1e-20  # its square vanishes beside 1, so the error of this method does


@dataclass(frozen=True)
class Slope:
    """The slopes to the left and to the right, each ± error.

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
    def steepness(self) -> float:
        """The steeper of both sides is at least that steep."""
        return max(0.0, max(abs(self.left), abs(self.right)) - self.error)

    @property
    def kink(self) -> bool:
        """Whether left and right differ by more than their errors.

        If not, either one lies within `error` of `value`: a kink that is not noticed does no harm.
        """
        return abs(self.right - self.left) > 2 * self.error


def central(terms: Terms, h: float = STEP) -> float:
    """(φ(h) - φ(-h)) / 2h."""
    return float(np.sum(terms(h) - terms(-h)) / (2 * h))


def complex_step(terms: Terms, h: float = COMPLEX_STEP) -> float:
    """Im φ(ih) / h. Raises whatever `terms` raises if it cannot take a complex number, or drops its imaginary part."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        return float(np.sum(terms(1j * h).imag) / h)


def refine_slope(terms: Terms, noise: float) -> Slope:
    """The slopes to both sides from ever smaller steps t = 1, 1/10, 1/100, ..., and how far they can be trusted.

    One-sided quotients are φ(t)/t = φ′ + t φ″/2 + ...; two of them, at t and t/10, get rid of the φ″ term:

        φ′ ≈ (10 φ(t/10)/(t/10) - φ(t)/t) / 9

    The spread of three such estimates in a row tells the error: large steps suffer from curvature and from kinks
    nearby, small ones from rounding, which moves φ by up to `noise`. The best in between is taken; but where a later
    estimate contradicts it, the smaller steps are right, for the larger ones may have jumped over what is there.
    """
    best = Slope(np.nan, np.nan, np.inf, np.nan, np.nan)
    quotients: list[np.ndarray] = []
    estimates: list[np.ndarray] = []
    t = 1.0
    while t > EPS and noise / t < best.error:
        quotients.append(np.stack([terms(-t) / -t, terms(t) / t]))
        if len(quotients) > 1:
            sides = (10 * quotients[-1] - quotients[-2]) / 9
            estimates.append(sides.reshape(2, -1).sum(axis=1))
        if len(estimates) > 2:
            left, right = estimates[-1]
            error = 2 * float(np.ptp(estimates[-3:], axis=0).max() + 2 * noise / t)
            if error < best.error or max(abs(left - best.left), abs(right - best.right)) > error + best.error:
                low, high = sides.min(axis=0).sum(), sides.max(axis=0).sum()
                best = Slope(float(left), float(right), error, float(low), float(high))
        t /= 10
    return best
