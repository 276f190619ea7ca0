"""Every number that decides a verdict, on both sides: just inside passes, just outside fails."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import pytest

from cbam_np import gradcheck
from cbam_np.checking.comparison import TOLERANCES
from cbam_np.checking.report import Report, Row

Op = Callable[..., Any]


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape)


def real_only(op: Op) -> Op:
    @wraps(op)
    def refusing(*inputs: Any) -> Any:
        if any(np.iscomplexobj(x) for x in inputs):
            raise TypeError("real numbers only")
        return op(*inputs)

    return refusing


def row(report: Report, method: str) -> Row:
    (found,) = [row for row in report.rows if row.method == method]
    return found


# tolerances: (method, the largest error that passes, relative to an entry; and to the largest entry, for one that is 0)

METHODS = [("differences", 1e-7, 1e-9), ("complex step", 1e-9, 0.0), ("float32", 2e-5, 1e-5), ("float16", 2e-2, 1e-2)]
SLOPES = np.array([1.0, -1.0, 0.0])


def off_by(method: str, relative: float, absolute: float) -> tuple[Op, np.ndarray]:
    """A linear operation whose gradient, in one dtype, is off at its first entry and at its last, which should be 0."""

    def op(x: Any) -> Any:
        if method == "differences" and np.iscomplexobj(x):
            raise TypeError("real numbers only")
        spoiled = x.dtype == method or method not in ("float32", "float16")

        def backward(d_out: Any) -> Any:
            g = d_out * SLOPES.astype(d_out.dtype)
            if spoiled:
                g = g + (np.array([relative, 0, 0]) * g + absolute * np.abs(d_out[0]) * (SLOPES == 0)).astype(g.dtype)
            return g

        return x * SLOPES.astype(x.dtype), backward

    return op, np.array([1.0, 0.75, 1.25], dtype=method if method.startswith("float") else "float64")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("method", "relative", "absolute"), METHODS)
def test_tolerances(method: str, relative: float, absolute: float, seed: int) -> None:
    assert {name for name, *_ in METHODS} == set(TOLERANCES)
    smallest = np.finfo(method if method.startswith("float") else "float64").eps
    for factor, verdict in ((0.85, "ok"), (1.2, "wrong")):
        first = row(gradcheck(*off_by(method, factor * relative, 0), seed=seed, max_entries=3), method)
        assert (first.verdict, first.where) == (verdict, (0,)) or verdict == "ok"
        assert first.verdict == verdict
        if absolute > smallest:
            # relative to the largest slope: d_out differs from entry to entry
            largest = row(gradcheck(*off_by(method, 0, factor * absolute), seed=seed), method)
            assert largest.verdict in (verdict, "ok")
