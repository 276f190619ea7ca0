"""Every operation and the block against PyTorch's autograd, in float64, to 1e-12 of the largest entry."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from support import (
    OPERATIONS,
    as_tuple,
    deviation,
    random_params,
    torch_gradients,
)
from torch.nn import functional as F

import cbam_np as cb
from cbam_np import ops
from cbam_np.reference import in_pytorch
from cbam_np.reference.operations import Shape

SHAPES: list[Shape] = [
    (2, 3, 5, 7),
    (1, 6, 9, 8),
    (3, 5, 1, 1),
    (4, 1, 2, 9),
    (5, 2, 6, 1),
    (3, 1, 1, 1),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", OPERATIONS)
def test_output_and_every_gradient_equal_autograd(name: str, shape: Shape) -> None:
    rng = np.random.default_rng(sum(shape))
    case = OPERATIONS[name]
    inputs = case.inputs(shape, rng)
    out, backward = case.op(*inputs)
    assert deviation(out, case.oracle(*map(torch.tensor, inputs)).numpy()) < 1e-12
    for _ in range(3):
        d_out = rng.normal(size=out.shape)
        got, expected = as_tuple(backward(d_out)), torch_gradients(case.oracle, inputs, d_out)
        for d_got, d_expected in zip(got[: len(expected)], expected, strict=True):
            assert deviation(d_got, d_expected) < 1e-12
        assert all(d is None for d in got[len(expected) :])  # biases that were not given


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_empty_batch_gives_empty_features_and_zero_gradients_of_the_weights(name: str) -> None:
    rng = np.random.default_rng(0)
    case = OPERATIONS[name]
    inputs = case.inputs((0, 3, 5, 4), rng)
    out, backward = case.op(*inputs)
    assert out.shape == case.oracle(*map(torch.tensor, inputs)).shape
    assert out.size == 0
    for x, d_x in zip(inputs, as_tuple(backward(np.zeros(out.shape))), strict=False):
        np.testing.assert_array_equal(d_x, np.zeros(x.shape), strict=True)


# Convolution


@pytest.mark.parametrize("padding", range(5))
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_conv2d_for_every_kernel_size_stride_and_padding(k: int, stride: int, padding: int) -> None:
    rng = np.random.default_rng(k)
    for N, C, O, H, W in [(2, 3, 4, 8, 11), (3, 1, 2, 7, 9)]:
        x, kernel, bias = (rng.normal(size=shape) for shape in ((N, C, H, W), (O, C, k, k), (O,)))
        out, backward = ops.conv2d(x, kernel, bias, stride, padding)

        def oracle(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
            return F.conv2d(x, kernel, bias, stride, padding)

        assert deviation(out, oracle(torch.tensor(x), torch.tensor(kernel), torch.tensor(bias)).numpy()) < 1e-12
        for _ in range(3):
            d_out = rng.normal(size=out.shape)
            for got, expected in zip(backward(d_out), torch_gradients(oracle, [x, kernel, bias], d_out), strict=True):
                assert deviation(got, expected) < 1e-12


WINDOWS = [  # H, W, k, stride, padding
    (5, 7, 3, 1, 1),
    (8, 5, 3, 2, 0),
    (4, 9, 2, 3, 1),
    (7, 8, 5, 2, 4),
    (2, 3, 7, 1, 3),
    (1, 1, 1, 3, 2),  # no window meets the one pixel
    (6, 6, 3, 1, 4),
]


@pytest.mark.parametrize(("H", "W", "k", "stride", "padding"), WINDOWS)
def test_im2col_equals_unfold(H: int, W: int, k: int, stride: int, padding: int) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 3, H, W))
    columns, backward = ops.im2col(x, k, stride, padding)
    np.testing.assert_array_equal(columns, F.unfold(torch.tensor(x), k, padding=padding, stride=stride).numpy())
    d_columns = rng.normal(size=columns.shape)
    expected = F.fold(torch.tensor(d_columns), (H, W), k, padding=padding, stride=stride)
    assert deviation(backward(d_columns), expected.numpy()) < 1e-12


@pytest.mark.parametrize(("H", "W", "k", "stride", "padding"), WINDOWS)
def test_col2im_equals_fold(H: int, W: int, k: int, stride: int, padding: int) -> None:
    rng = np.random.default_rng(2)
    windows = F.unfold(torch.zeros(1, 1, H, W), k, padding=padding, stride=stride).shape[-1]
    columns = rng.normal(size=(2, 3 * k * k, windows))
    x, backward = ops.col2im(columns, (H, W), k, stride, padding)
    expected = F.fold(torch.tensor(columns), (H, W), k, padding=padding, stride=stride)
    assert deviation(x, expected.numpy()) < 1e-12
    d_x = rng.normal(size=x.shape)
    expected = F.unfold(torch.tensor(d_x), k, padding=padding, stride=stride)
    np.testing.assert_array_equal(backward(d_x), expected.numpy())


@pytest.mark.parametrize(("H", "W", "k", "stride", "padding"), WINDOWS)
def test_im2col_and_col2im_are_adjoint(H: int, W: int, k: int, stride: int, padding: int) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 3, H, W))
    columns, _ = ops.im2col(x, k, stride, padding)
    y = rng.normal(size=columns.shape)
    image, _ = ops.col2im(y, (H, W), k, stride, padding)
    assert abs(np.vdot(columns, y) - np.vdot(x, image)) <= 1e-12 * np.linalg.norm(columns) * np.linalg.norm(y)


def test_col2im_of_an_empty_batch_is_empty() -> None:
    columns, backward = ops.im2col(np.zeros((0, 2, 4, 5)), 3, 1, 1)
    assert columns.shape == (0, 18, 20)
    assert backward(columns).shape == (0, 2, 4, 5)


@pytest.mark.parametrize(("stride", "padding"), [(1, 1), (2, 0), (3, 4)])
def test_input_gradient_of_conv2d_is_col2im_of_the_kernel_times_d_out(stride: int, padding: int) -> None:
    rng = np.random.default_rng(4)
    x, kernel = rng.normal(size=(2, 3, 8, 9)), rng.normal(size=(4, 3, 3, 3))
    out, backward = ops.conv2d(x, kernel, stride=stride, padding=padding)
    d_out = rng.normal(size=out.shape)
    d_columns = kernel.reshape(4, -1).T @ d_out.reshape(2, 4, -1)
    expected, _ = ops.col2im(d_columns, (8, 9), 3, stride, padding)
    assert deviation(backward(d_out)[0], expected) < 1e-12


# Each path of the gradient alone. A path that is missing changes the whole by a few per cent, sometimes less than
# one: here what remains of it after the other paths are taken away is compared with it, relative to its own size.

Paths = dict[str, np.ndarray]


def assert_each_path_is_there(total: np.ndarray, paths: Paths) -> None:
    for name, path in paths.items():
        others = sum(other for key, other in paths.items() if key != name)
        assert np.abs(path).max() > 1e-4 * np.abs(total).max(), f"{name}: too small to be seen missing"
        assert deviation(total - others, path) < 1e-8, name


# The block in PyTorch with an argument for each use of F and of the weights, so that autograd can tell the paths apart.

Weights = Sequence[torch.Tensor]


def channel_map_by_path(f_avg: torch.Tensor, f_max: torch.Tensor, w_avg: Weights, w_max: Weights) -> torch.Tensor:
    by_average = in_pytorch.mlp(in_pytorch.avg_pool_over_space(f_avg), *w_avg)
    by_maximum = in_pytorch.mlp(in_pytorch.max_pool_over_space(f_max), *w_max)
    return torch.sigmoid(by_average + by_maximum)[:, :, None, None]


def spatial_map_by_path(f1_avg: torch.Tensor, f1_max: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    pooled = in_pytorch.avg_pool_over_channels(f1_avg), in_pytorch.max_pool_over_channels(f1_max)
    return torch.sigmoid(in_pytorch.conv2d(torch.cat(pooled, dim=1), kernel))


def gradients_by_path(out: torch.Tensor, leaves: dict[str, torch.Tensor], d_out: np.ndarray) -> Paths:
    gradients = torch.autograd.grad(out, list(leaves.values()), torch.tensor(d_out))
    return {name: gradient.numpy() for name, gradient in zip(leaves, gradients, strict=True)}


def copies(x: np.ndarray, *names: str) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(x, requires_grad=True) for name in names}


@pytest.mark.parametrize("seed", range(3))
def test_each_path_to_f_in_channel_map_and_channel_attention(seed: int) -> None:
    rng = np.random.default_rng(seed)
    f, params = rng.normal(size=(2, 6, 5, 7)), random_params(6, rng, biases=True)
    w = tuple(torch.tensor(params[f"channel.{name}"]) for name in ("w1", "w2", "b1", "b2"))
    channel_params = {key: value for key, value in params.items() if key.startswith("channel")}

    m_c, backward = cb.channel_map(f, channel_params)
    d_m_c = rng.normal(size=m_c.shape)
    uses = copies(f, "average", "maximum")
    paths = gradients_by_path(channel_map_by_path(uses["average"], uses["maximum"], w, w), uses, d_m_c)
    assert_each_path_is_there(backward(d_m_c)[0], paths)

    f1, backward = cb.channel_attention(f, channel_params)
    d_f1 = rng.normal(size=f1.shape)
    uses = copies(f, "feature", "average", "maximum")
    paths = gradients_by_path(uses["feature"] * channel_map_by_path(uses["average"], uses["maximum"], w, w), uses, d_f1)
    assert_each_path_is_there(backward(d_f1)[0], paths)


@pytest.mark.parametrize("seed", range(3))
def test_each_path_to_f1_in_spatial_map_and_spatial_attention(seed: int) -> None:
    rng = np.random.default_rng(seed)
    f1, params = rng.normal(size=(2, 4, 5, 7)), random_params(4, rng)
    kernel = torch.tensor(params["spatial.kernel"])

    m_s, backward = cb.spatial_map(f1, params)
    d_m_s = rng.normal(size=m_s.shape)
    uses = copies(f1, "average", "maximum")
    paths = gradients_by_path(spatial_map_by_path(uses["average"], uses["maximum"], kernel), uses, d_m_s)
    assert_each_path_is_there(backward(d_m_s)[0], paths)

    f2, backward = cb.spatial_attention(f1, params)
    d_f2 = rng.normal(size=f2.shape)
    uses = copies(f1, "feature", "average", "maximum")
    paths = gradients_by_path(
        uses["feature"] * spatial_map_by_path(uses["average"], uses["maximum"], kernel), uses, d_f2
    )
    assert_each_path_is_there(backward(d_f2)[0], paths)


@pytest.mark.parametrize("seed", range(3))
def test_each_of_the_nine_paths_to_f_in_cbam(seed: int) -> None:
    """F″ uses F′ three times, and each F′ uses F three times."""
    rng = np.random.default_rng(seed)
    f, params = rng.normal(size=(2, 6, 5, 7)), random_params(6, rng)
    w1, w2, kernel = map(torch.tensor, params.values())
    w = (w1, w2)
    f2, backward = cb.cbam(f, params)
    d_f2 = rng.normal(size=f2.shape)
    uses = {name: copies(f, "feature", "average", "maximum") for name in ("feature", "average", "maximum")}
    f1 = [use["feature"] * channel_map_by_path(use["average"], use["maximum"], w, w) for use in uses.values()]
    leaves = {f"spatial {s}, channel {c}": leaf for s, use in uses.items() for c, leaf in use.items()}
    paths = gradients_by_path(f1[0] * spatial_map_by_path(f1[1], f1[2], kernel), leaves, d_f2)
    assert_each_path_is_there(backward(d_f2)[0], paths)


@pytest.mark.parametrize("name", ["w1", "w2", "b1", "b2"])
def test_each_of_the_two_paths_to_the_weights_of_the_shared_mlp(name: str) -> None:
    rng = np.random.default_rng(5)
    f, params = rng.normal(size=(3, 6, 5, 7)), random_params(6, rng, biases=True)
    params = {key: value for key, value in params.items() if key.startswith("channel")}
    m_c, backward = cb.channel_map(f, params)
    d_m_c = rng.normal(size=m_c.shape)
    order = ("w1", "w2", "b1", "b2")
    by_average, by_maximum = (
        {key: torch.tensor(params[f"channel.{key}"], requires_grad=True) for key in order} for _ in range(2)
    )
    f_torch = torch.tensor(f)
    out = channel_map_by_path(f_torch, f_torch, tuple(by_average.values()), tuple(by_maximum.values()))
    paths = gradients_by_path(out, {"average": by_average[name], "maximum": by_maximum[name]}, d_m_c)
    assert_each_path_is_there(backward(d_m_c)[1][f"channel.{name}"], paths)


def test_with_w2_zero_only_the_feature_path_of_channel_attention_is_left() -> None:
    rng = np.random.default_rng(6)
    f, d_f1 = rng.normal(size=(2, 2, 6, 5, 7))
    params = random_params(6, rng)
    params["channel.w2"] = np.zeros((6, 3))
    d_f, _ = cb.channel_attention(f, params)[1](d_f1)
    np.testing.assert_allclose(d_f, 0.5 * d_f1, rtol=1e-12)


def test_with_the_kernel_zero_only_the_feature_path_of_spatial_attention_is_left() -> None:
    rng = np.random.default_rng(7)
    f1, d_f2 = rng.normal(size=(2, 2, 6, 5, 7))
    d_f1, _ = cb.spatial_attention(f1, {"spatial.kernel": np.zeros((1, 2, 7, 7))})[1](d_f2)
    np.testing.assert_allclose(d_f1, 0.5 * d_f2, rtol=1e-12)


def test_a_block_that_pools_f_instead_of_f1_passes_the_gradient_check_and_differs_from_pytorch() -> None:
    """A wrong formula with the right gradient of that formula: only somebody who knows the formula can object."""

    def pools_f(f: np.ndarray, params: dict[str, np.ndarray]) -> Any:
        f1, channel_backward = cb.channel_attention(f, params)
        m_s, map_backward = cb.spatial_map(f, params)  # as (8) and (9) stand in the document
        f2, gate_backward = ops.gate(m_s, f1)

        def backward(d_f2: np.ndarray) -> Any:
            d_m_s, d_f1 = gate_backward(d_f2)
            d_f, channel_grads = channel_backward(d_f1)
            d_f_map, spatial_grads = map_backward(d_m_s)
            return d_f + d_f_map, channel_grads | spatial_grads

        return f2, backward

    rng = np.random.default_rng(11)
    f, params = rng.normal(size=(2, 4, 5, 6)), random_params(4, rng)
    assert cb.gradcheck(pools_f, f, params).ok
    expected = in_pytorch.cbam(torch.tensor(f), {key: torch.tensor(w) for key, w in params.items()}).numpy()
    assert deviation(pools_f(f, params)[0], expected) > 1e-2
    assert deviation(cb.cbam(f, params)[0], expected) < 1e-12


# Narrower floats


@pytest.mark.parametrize("name", OPERATIONS)
def test_float32_stays_float32_and_agrees_with_float64(name: str) -> None:
    rng = np.random.default_rng(8)
    case = OPERATIONS[name]
    inputs = [x.astype("float32") for x in case.inputs((3, 8, 9, 10), rng)]
    out, backward = case.op(*inputs)
    wide, wide_backward = case.op(*[x.astype("float64") for x in inputs])
    d_out = rng.normal(size=out.shape).astype("float32")
    got = out, *as_tuple(backward(d_out))
    expected = wide, *as_tuple(wide_backward(d_out.astype("float64")))
    for narrow, exact in zip(got, expected, strict=True):
        if exact is not None:
            assert narrow.dtype == np.float32
            assert deviation(narrow, exact) < 1e-5


def test_float32_mean_over_2048_channels_agrees_with_float64() -> None:
    f1 = np.random.default_rng(9).normal(loc=3, size=(2, 2048, 3, 5)).astype("float32")
    assert deviation(ops.avg_pool_over_channels(f1)[0], f1.astype("float64").mean(axis=1, keepdims=True)) < 1e-5


@pytest.mark.parametrize("name", OPERATIONS)
def test_float16_stays_float16_and_is_near_float64(name: str) -> None:
    rng = np.random.default_rng(10)
    case = OPERATIONS[name]
    inputs = [(x / 4).astype("float16") for x in case.inputs((3, 4, 5, 6), rng)]
    out, backward = case.op(*inputs)
    wide, wide_backward = case.op(*[x.astype("float64") for x in inputs])
    d_out = rng.normal(size=out.shape).astype("float16")
    got = out, *as_tuple(backward(d_out))
    expected = wide, *as_tuple(wide_backward(d_out.astype("float64")))
    for narrow, exact in zip(got, expected, strict=True):
        if exact is not None:
            assert narrow.dtype == np.float16
            assert deviation(narrow, exact) < 5e-3  # ten roundings to 11 bits


def half(*shape: int) -> Any:
    return np.ones(shape, dtype="float16")


def half_columns() -> np.ndarray:
    """2048 in the first column entry that reaches a pixel and 1 in the others: 2048 + 1 = 2048 in float16."""
    columns = half(1, 9, 25)
    columns[:, 0] = 2048
    return columns


SUMS_IN_FLOAT16: dict[str, Callable[[], tuple[Any, int]]] = {
    "avg_pool_over_space": lambda: (ops.avg_pool_over_space(half(1, 1, 4096, 2))[0], 1),
    "avg_pool_over_channels": lambda: (ops.avg_pool_over_channels(half(1, 4096, 1, 2))[0], 1),
    "mlp, hidden layer": lambda: (ops.mlp(half(1, 4096), half(1, 4096), half(4096, 1))[0], 4096),
    "mlp, d_w2": lambda: (ops.mlp(half(4096, 1), half(1, 1), half(1, 1))[1](half(4096, 1))[2], 4096),
    "mlp, d_b1": lambda: (
        ops.mlp(half(4096, 2), half(2, 2), half(2, 2), half(2), half(2))[1](half(4096, 2))[3],
        8192,
    ),
    "mlp, d_b2": lambda: (
        ops.mlp(half(4096, 2), half(2, 2), half(2, 2), half(2), half(2))[1](half(4096, 2))[4],
        4096,
    ),
    "gate (7), d_m": lambda: (ops.gate(half(1, 1, 1, 1), half(1, 1, 4096, 2))[1](half(1, 1, 4096, 2))[0], 8192),
    "gate (11), d_m": lambda: (ops.gate(half(1, 1, 1, 2), half(1, 4096, 1, 2))[1](half(1, 4096, 1, 2))[0], 4096),
    "conv2d": lambda: (ops.conv2d(half(1, 4096, 1, 1), half(1, 4096, 1, 1))[0], 4096),
    "conv2d, d_kernel over pixels": lambda: (
        ops.conv2d(half(1, 1, 64, 64), half(1, 1, 1, 1))[1](half(1, 1, 64, 64))[1],
        4096,
    ),
    "conv2d, d_kernel over samples": lambda: (
        ops.conv2d(half(4096, 1, 1, 1), half(3, 1, 1, 1))[1](half(4096, 3, 1, 1))[1],
        4096,
    ),
    "conv2d, d_bias": lambda: (
        ops.conv2d(half(4096, 1, 1, 1), half(3, 1, 1, 1), half(3))[1](half(4096, 3, 1, 1))[2],
        4096,
    ),
    "col2im": lambda: (ops.col2im(half_columns(), (5, 5), 3, padding=1)[0][:, :, 1:-1, 1:-1], 2056),
}


@pytest.mark.parametrize("name", SUMS_IN_FLOAT16)
def test_float16_sums_do_not_stall_at_2048(name: str) -> None:
    got, expected = SUMS_IN_FLOAT16[name]()
    assert got.dtype == np.float16
    assert np.all(got == expected)


@pytest.mark.parametrize("pool", [ops.avg_pool_over_space, partial(ops.max_pool_over_space, ties="split")])
def test_float16_gradient_survives_a_map_with_more_pixels_than_float16_can_count(pool: Any) -> None:
    _, backward = pool(half(1, 2, 256, 256))
    np.testing.assert_allclose(backward(half(1, 2)), 2.0**-16, rtol=1e-2)
