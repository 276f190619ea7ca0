"""Means with their uncertainty, and differences with a test, from SciPy. Scores are dicts: seed -> score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from scipy import stats

LIMIT = 0.05  # of p, for all comparisons of a table together
ENOUGH = 5  # pairs of runs; with fewer, a comparison is incomplete and nothing is said of it


@dataclass(frozen=True)
class Interval:
    """A mean, and the half width of its 95 % interval; NaN for fewer than two values."""

    mean: float
    half: float
    n: int


@dataclass(frozen=True)
class Difference:
    """The mean of b - a over the seeds that both have, its interval, and the p of a paired t-test."""

    mean: float
    half: float
    n: int
    p: float


def interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % interval by Student's t, which supposes values from a normal distribution."""
    n = len(values)
    if n < 2:
        return Interval(float(values[0]) if n else nan, nan, n)
    half = stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / sqrt(n)
    return Interval(float(np.mean(values)), float(half), n)


def difference(a: Mapping[int, float], b: Mapping[int, float]) -> Difference:
    """b - a, seed by seed: scenes, batches and most initial weights are the same in a pair."""
    both = sorted(a.keys() & b.keys())
    found = interval([b[seed] - a[seed] for seed in both])
    if found.n < 2:
        return Difference(found.mean, nan, found.n, nan)
    if found.half == 0:  # all differences are equal: there is no spread to compare with
        return Difference(found.mean, 0.0, found.n, 1.0 if found.mean == 0 else 0.0)
    p = stats.ttest_rel([b[seed] for seed in both], [a[seed] for seed in both]).pvalue
    return Difference(found.mean, found.half, found.n, float(p))


def against(values: Sequence[float], chance: float) -> float:
    """The p of a t-test of the values against one number; NaN for fewer than two, or values that are all equal."""
    return float(stats.ttest_1samp(values, chance).pvalue) if len(values) > 1 and np.ptp(values) > 0 else nan


def verdict(found: Difference, comparisons: int = 1, higher_is_better: bool = True) -> str:
    """ "better", "worse", "no difference shown", or "too few runs" for fewer than `ENOUGH` pairs.

    comparisons: how many the table makes. p has to be below `LIMIT` / comparisons (Bonferroni), so that among
    variants that all do the same, 95 tables in 100 show no difference at all.
    """
    if found.n < ENOUGH:
        return "too few runs"
    if not found.p < LIMIT / comparisons:
        return "no difference shown"
    return "better" if (found.mean > 0) == higher_is_better else "worse"
