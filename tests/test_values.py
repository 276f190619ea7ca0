"""Awkward values and sizes: both tails of the sigmoid, NaN, infinities, one pixel, one channel, all zeros."""

from collections.abc import Callable
from decimal import Decimal, localcontext

import numpy as np
import pytest
import torch
from support import OPERATIONS, as_tuple, deviation, random_params, torch_gradients

import cbam_np as cb
from cbam_np import ops
from cbam_np.reference import in_pytorch
from cbam_np.reference.operations import Shape

# The sigmoid


def exact_sigmoid(z: float) -> Decimal:
    return 1 / (1 + (-Decimal(z)).exp())


def exact_derivative(z: float) -> Decimal:
    return (-abs(Decimal(z))).exp() / (1 + (-abs(Decimal(z))).exp()) ** 2


@pytest.mark.parametrize(
    ("dtype", "reach", "tolerance"), [("float64", 700, 1e-15), ("float32", 80, 1e-6), ("float16", 9, 4e-3)]
)
@pytest.mark.parametrize("sign", [1, -1])
def test_sigmoid_and_its_derivative_are_precise_in_both_tails(
    sign: int, dtype: str, reach: float, tolerance: float
) -> None:
    """Relative to each value by itself: a tail that is cut to zero is off by 1."""
    z = (sign * np.append(np.linspace(0, reach, 57), [1e-5, 0.3, 5.5, 8.25])).astype(dtype)
    out, backward = ops.sigmoid(z)
    derivative = backward(np.ones_like(z))
    with localcontext(prec=400):
        for value, s, d in zip(z.tolist(), out.tolist(), derivative.tolist(), strict=True):
            assert abs(Decimal(s) / exact_sigmoid(value) - 1) < tolerance, value
            assert abs(Decimal(d) / exact_derivative(value) - 1) < tolerance, value


def test_sigmoid_at_minus_40_is_not_zero() -> None:
    out, backward = ops.sigmoid(np.array([-40.0, 40.0]))
    np.testing.assert_allclose(out, [4.248354255291589e-18, 1], rtol=1e-15)
    np.testing.assert_allclose(backward(np.ones(2)), [4.248354255291589e-18] * 2, rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("z", [40.0, 1000.0, 1e4, 6e4, np.inf])
def test_sigmoid_is_silent_and_exact_far_out(z: float, dtype: str) -> None:
    """Nothing overflows, on the way there and back. (Underflow to 0 is right, and silent unless asked for.)"""
    zs = np.array([-z, z] * 8, dtype=dtype)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        out, backward = ops.sigmoid(zs)
        d_z = backward(np.ones_like(zs))
    np.testing.assert_array_equal(out[1::2], 1)
    if z > 40:
        np.testing.assert_array_equal(out[::2], 0)
        np.testing.assert_array_equal(d_z, 0)


def test_sigmoid_of_small_numbers_raises_no_floating_point_error_at_all() -> None:
    zs = np.array([-40.0, -1.0, -0.0, 0.0, 1.0, 40.0])
    with np.errstate(all="raise"):
        ops.sigmoid(zs)[1](np.ones(6))


@pytest.mark.parametrize("scale", [40.0, 1000.0, 1e4])
def test_the_block_is_silent_where_its_gates_saturate(scale: float) -> None:
    rng = np.random.default_rng(0)
    f, d_f2 = rng.normal(size=(2, 2, 4, 5, 6))
    params = {key: scale * value for key, value in random_params(4, rng).items()}
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        f2, backward = cb.cbam(f, params)
        d_f, grads = backward(d_f2)
    for x in (f2, d_f, *grads.values()):
        assert np.isfinite(x).all()


def test_relu_has_derivative_zero_at_zero() -> None:
    z = np.array([-1.0, -0.0, 0.0, 1e-300, np.nan])
    out, backward = ops.relu(z)
    np.testing.assert_array_equal(out, [0, 0, 0, 1e-300, np.nan])
    np.testing.assert_array_equal(backward(np.full(5, 3.0)), [0, 0, 0, 3, 3])
    (expected,) = torch_gradients(torch.relu, [z], np.full(5, 3.0))
    np.testing.assert_array_equal(backward(np.full(5, 3.0)), expected)


# NaN and infinities


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", OPERATIONS)
def test_nan_and_infinities_go_where_they_go_in_torch(name: str, value: float) -> None:
    rng = np.random.default_rng(1)
    case = OPERATIONS[name]
    inputs = case.inputs((2, 4, 5, 6), rng)
    inputs[0].reshape(-1)[3] = value
    with np.errstate(invalid="ignore"):  # inf - inf and 0 · inf are NaN, and NumPy says so
        out, backward = case.op(*inputs)
        d_out = rng.normal(size=out.shape)
        gradients = as_tuple(backward(d_out))
    expected = case.oracle(*map(torch.tensor, inputs)).numpy()
    np.testing.assert_allclose(out, expected, rtol=1e-10, atol=1e-12)
    for gradient, d_expected in zip(gradients[: len(inputs)], torch_gradients(case.oracle, inputs, d_out), strict=True):
        np.testing.assert_allclose(gradient, d_expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_other_samples_of_a_batch_keep_their_values(value: float) -> None:
    rng = np.random.default_rng(2)
    f, d_f2 = rng.normal(size=(2, 3, 4, 5, 6))
    params = random_params(4, rng)
    broken = f.copy()
    broken[1, 2, 3, 4] = value
    with np.errstate(invalid="ignore"):
        f2, backward = cb.cbam(broken, params)
        d_f, _ = backward(d_f2)
    expected, expected_backward = cb.cbam(f, params)
    assert np.isnan(f2[1]).any()
    assert np.isnan(d_f[1]).any()
    assert deviation(f2[[0, 2]], expected[[0, 2]]) < 1e-12
    assert deviation(d_f[[0, 2]], expected_backward(d_f2)[0][[0, 2]]) < 1e-12


# Sizes


def test_on_one_pixel_average_and_maximum_are_the_pixel_and_both_paths_count() -> None:
    f = np.random.default_rng(3).normal(size=(2, 3, 1, 1))
    avg_c, avg_backward = ops.avg_pool_over_space(f)
    max_c, max_backward = ops.max_pool_over_space(f)
    np.testing.assert_array_equal(avg_c, f[:, :, 0, 0])
    np.testing.assert_array_equal(max_c, f[:, :, 0, 0])
    d = np.random.default_rng(4).normal(size=(2, 3))
    np.testing.assert_array_equal(avg_backward(d) + max_backward(d), 2 * d[:, :, None, None])


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 16, 6, 3), (3, 17, 1, 9), (0, 16, 7, 7)], ids=str)
def test_output_and_maps_have_their_shapes_and_gates_only_shrink(shape: Shape) -> None:
    N, C, H, W = shape
    rng = np.random.default_rng(5)
    f = rng.normal(size=shape)
    block = cb.CBAM(C, reduction=min(C, 16), dtype="float64")
    f2 = block(f)
    assert f2.shape == shape
    assert block.maps["channel"].shape == (N, C, 1, 1)
    assert block.maps["spatial"].shape == (N, 1, H, W)
    for m in block.maps.values():
        assert ((m > 0) & (m < 1)).all()
    assert (np.abs(f2) <= np.abs(f)).all()
    d_f = block.backward(rng.normal(size=shape))
    assert d_f.shape == shape


@pytest.mark.parametrize(("channels", "reduction", "hidden"), [(10, 4, 2), (17, 16, 1), (31, 16, 1), (64, 16, 4)])
def test_channels_that_r_does_not_divide_are_rounded_down(channels: int, reduction: int, hidden: int) -> None:
    block = cb.CBAM(channels, reduction, dtype="float64")
    assert block.params["channel.w1"].shape == (hidden, channels)
    assert block.params["channel.w2"].shape == (channels, hidden)
    f = np.random.default_rng(6).normal(size=(2, channels, 3, 4))
    expected = in_pytorch.cbam(torch.tensor(f), {key: torch.tensor(w) for key, w in block.params.items()})
    assert deviation(block(f), expected.numpy()) < 1e-12


@pytest.mark.parametrize(
    "zeros", [lambda f: f, lambda f: f[:, :1], lambda f: f[..., :1, :1]], ids=["block", "one channel", "one pixel"]
)
def test_all_zero_features_stay_zero_and_the_gradient_is_a_quarter(zeros: Callable[[np.ndarray], np.ndarray]) -> None:
    """Without biases every gate of a zero is 1/2, and the maps do not matter: the gradient is 1/2 · 1/2."""
    f = zeros(np.zeros((2, 4, 5, 6)))
    d_f2 = np.random.default_rng(7).normal(size=f.shape)
    f2, backward = cb.cbam(f, random_params(f.shape[1], np.random.default_rng(8)))
    np.testing.assert_array_equal(f2, 0)
    d_f, grads = backward(d_f2)
    np.testing.assert_allclose(d_f, d_f2 / 4, rtol=1e-12)
    for grad in grads.values():
        np.testing.assert_array_equal(grad, 0)
