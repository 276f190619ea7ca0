"""What chapter 11 does with the results of the studies: the intervals are Student's, and runs are chosen as it says."""

import numpy as np
import pytest
from scipy import stats

from cbam_np.course import measured
from cbam_np.course.paths import lost, routes


def test_an_interval_is_students() -> None:
    for n, t in measured.T.items():
        assert t == pytest.approx(stats.t.ppf(0.975, n - 1), abs=1e-4)
        values = np.random.default_rng(n).normal(size=n)
        low, high = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
        assert measured.interval(list(values)) == pytest.approx(((low + high) / 2, (high - low) / 2), rel=1e-4)


def test_a_difference_is_taken_seed_by_seed() -> None:
    a, b = {0: 1.0, 1: 5.0, 2: 3.0}, {1: 6.0, 2: 5.0, 3: 100.0}
    assert measured.difference(a, b) == measured.interval([1.0, 2.0])


def test_runs_are_chosen_by_their_options() -> None:
    runs = measured.chosen("bugs", mistake="kernel not flipped")
    assert [r["run"]["seed"] for r in runs] == list(range(5))
    assert {r["run"]["mistake"] for r in runs} == {"kernel not flipped"}
    assert measured.accuracies("bugs", mistake="sigmoid's derivative forgotten") == {}  # they diverged


def test_results_that_are_not_there_are_named() -> None:
    with pytest.raises(FileNotFoundError, match="expected studies/nothing in docs/_generated"):
        measured.results("nothing")


def test_lost_is_what_dropping_a_path_does() -> None:
    rng = np.random.default_rng(0)
    f, d_f2 = rng.normal(size=(2, 2, 4, 5, 6))
    params = {
        name: rng.normal(size=shape)
        for name, shape in (("channel.w1", (2, 4)), ("channel.w2", (4, 2)), ("spatial.kernel", (1, 2, 3, 3)))
    }
    nine = routes(f, params, d_f2)
    whole = nine.sum(axis=(0, 1))
    without = nine[:, :2].sum(axis=(0, 1))  # no channel maximum
    assert lost(nine)["channel maximum"] == pytest.approx(np.linalg.norm(without - whole) / np.linalg.norm(whole))
