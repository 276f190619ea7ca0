"""What every operation promises, whatever the memory layout: nothing modified or remembered, shape and dtype kept."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import OPERATIONS, as_tuple, deviation

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


def strided(x: np.ndarray) -> np.ndarray:
    """Every second entry of a larger array along each axis, the others NaN."""
    larger = np.full([2 * size for size in x.shape], np.nan, dtype=x.dtype)
    view = larger[tuple(slice(None, None, 2) for _ in x.shape)]
    view[...] = x
    return view


def permuted(x: np.ndarray) -> np.ndarray:
    return x.T.copy().T


def reversed_view(x: np.ndarray) -> np.ndarray:
    return np.flip(np.flip(x).copy())


def broadcast_along(axis: int, x: np.ndarray) -> np.ndarray:
    """Its first entry along one axis, repeated with stride 0 (other values than x, and tied ones)."""
    if x.ndim == 0 or x.size == 0:
        return x
    return np.broadcast_to(np.take(x, [0], axis=axis % x.ndim), x.shape)


VIEWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "contiguous": np.copy,
    "strided": strided,
    "permuted": permuted,
    "reversed": reversed_view,
    "second axis broadcast": lambda x: broadcast_along(1, x),
    "last axis broadcast": lambda x: broadcast_along(-1, x),
    "first axis broadcast": lambda x: broadcast_along(0, x),
}
# equal rows in w2 make equal gates up to rounding, and in a tie up to rounding anything may win
WEIGHT_VIEWS = [layout for layout in VIEWS if layout != "first axis broadcast"]


def read_only(x: np.ndarray) -> np.ndarray:
    x = x.view()
    x.flags.writeable = False
    return x


sizes = st.integers(1, 5)


@pytest.mark.parametrize("name", OPERATIONS)
@settings(derandomize=True, deadline=None, max_examples=12, database=None)
@given(
    shape=st.tuples(st.integers(0, 3), sizes, sizes, sizes),
    dtype=st.sampled_from(sorted(TOLERANCE)),
    layouts=st.tuples(*[st.sampled_from(list(VIEWS))] * 2, *[st.sampled_from(WEIGHT_VIEWS)] * 6),
    seed=st.integers(0, 99),
)
def test_any_layout_gives_what_a_contiguous_copy_gives(
    name: str, shape: tuple[int, ...], dtype: str, layouts: tuple[str, ...], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    op = OPERATIONS[name].op

    def view(x: np.ndarray, layout: str) -> np.ndarray:
        return read_only(VIEWS[layout](x.astype(dtype)))

    values = OPERATIONS[name].inputs(shape, rng)
    inputs = [view(x, layout) for x, layout in zip(values, layouts[1:], strict=False)]
    contiguous = [x.copy(order="C") for x in inputs]

    out, backward = op(*inputs)
    d_out = view(rng.normal(size=out.shape), layouts[0])
    d_out_before = d_out.copy(order="C")
    gradients, again = as_tuple(backward(d_out)), as_tuple(backward(d_out))
    expected, expected_backward = op(*contiguous)
    expected_gradients = as_tuple(expected_backward(d_out_before))

    assert out.dtype == dtype
    assert deviation(out, expected) < TOLERANCE[dtype]
    assert len(gradients) >= len(inputs)
    for x, gradient in zip(inputs, gradients, strict=False):
        assert (gradient.shape, gradient.dtype) == (x.shape, x.dtype)
    for gradient, repeated, other in zip(gradients, again, expected_gradients, strict=True):
        if gradient is not None:
            np.testing.assert_array_equal(gradient, repeated)
            assert deviation(gradient, other) < TOLERANCE[dtype]
    for x, before in zip([*inputs, d_out], [*contiguous, d_out_before], strict=True):
        np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("name", OPERATIONS)
def test_backward_belongs_to_its_own_forward(name: str) -> None:
    """Another call in between, of either direction, leaves a backward as it was: nothing is kept outside it."""
    rng = np.random.default_rng(0)
    case = OPERATIONS[name]
    out, backward = case.op(*case.inputs((2, 3, 5, 4), rng))
    d_out = rng.normal(size=out.shape)
    before = as_tuple(backward(d_out))
    other, other_backward = case.op(*case.inputs((2, 3, 5, 4), rng))
    other_backward(rng.normal(size=other.shape))
    backward(rng.normal(size=out.shape))
    for first, second in zip(before, as_tuple(backward(d_out)), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", OPERATIONS)
def test_backward_is_linear_in_the_upstream_gradient(name: str) -> None:
    rng = np.random.default_rng(1)
    case = OPERATIONS[name]
    out, backward = case.op(*case.inputs((2, 3, 5, 4), rng))
    a, b = rng.normal(size=out.shape), rng.normal(size=out.shape)
    parts: list[tuple[Any, ...]] = [as_tuple(backward(d)) for d in (a, b, 2 * a - 3 * b)]
    for from_a, from_b, from_both in zip(*parts, strict=True):
        if from_a is not None:
            assert deviation(from_both, 2 * from_a - 3 * from_b) < 1e-12
