"""The array form equals the loops, which follow the formulas index by index."""

import numpy as np
import pytest
from support import deviation, random_params

import cbam_np as cb
from cbam_np import ops
from cbam_np.reference.loops import cbam_loops, conv2d_loops
from cbam_np.reference.operations import Shape


@pytest.mark.parametrize("shape", [(2, 4, 3, 5), (1, 3, 8, 2), (3, 5, 1, 1), (2, 1, 4, 3), (0, 2, 3, 4)], ids=str)
@pytest.mark.parametrize("k", [1, 3, 7])
def test_cbam_equals_the_loops_forward_and_backward(shape: Shape, k: int) -> None:
    rng = np.random.default_rng(k)
    f, params = rng.normal(size=shape), random_params(shape[1], rng, k)
    out, backward = cb.cbam(f, params)
    loops, loops_backward = cbam_loops(f, params)
    assert deviation(out, loops) < 1e-12
    d_f2 = rng.normal(size=shape)
    (d_f, grads), (loops_d_f, loops_grads) = backward(d_f2), loops_backward(d_f2)
    assert deviation(d_f, loops_d_f) < 1e-12
    assert grads.keys() == loops_grads.keys() == params.keys()
    for key in params:
        assert deviation(grads[key], loops_grads[key]) < 1e-12


@pytest.mark.parametrize("tied_axes", [(1,), (2, 3), (1, 2, 3)], ids=str)
def test_cbam_equals_the_loops_where_maxima_tie(tied_axes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    f, params = rng.normal(size=(2, 4, 3, 5)), random_params(4, rng)
    if 1 in tied_axes:
        params["channel.w2"][:] = 0  # every gate exactly 1/2, so that equal channels of F tie in F′
    f = np.broadcast_to(f.max(axis=tied_axes, keepdims=True), f.shape)
    d_f2 = rng.normal(size=f.shape)
    d_f, grads = cb.cbam(f, params)[1](d_f2)
    loops_d_f, loops_grads = cbam_loops(f, params)[1](d_f2)
    assert deviation(d_f, loops_d_f) < 1e-12
    for key in params:
        assert deviation(grads[key], loops_grads[key]) < 1e-12


@pytest.mark.parametrize("padding", [None, 0, 1, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 3])
def test_conv2d_equals_the_loops_forward_and_backward(k: int, stride: int, padding: int | None) -> None:
    rng = np.random.default_rng(4)
    x, kernel, bias = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(2, 3, k, k)), rng.normal(size=2)
    for b in (bias, None):
        out, backward = ops.conv2d(x, kernel, b, stride, padding)
        loops, loops_backward = conv2d_loops(x, kernel, b, stride, padding)
        assert deviation(out, loops) < 1e-12
        d_out = rng.normal(size=out.shape)
        d_x, d_kernel, d_bias = backward(d_out)
        loops_d_x, loops_d_kernel, loops_d_bias = loops_backward(d_out)
        assert deviation(d_x, loops_d_x) < 1e-12
        assert deviation(d_kernel, loops_d_kernel) < 1e-12
        assert d_bias is None if b is None else deviation(d_bias, loops_d_bias) < 1e-12
