"""Where a maximum is attained more than once: the first index, or an equal split if asked for; PyTorch has both."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support import deviation, random_params, torch_gradients
from torch.nn import functional as F

import cbam_np as cb
from cbam_np import ops
from cbam_np.inputs import Ties
from cbam_np.reference import in_pytorch

CHANNEL = ("channel.w1", "channel.w2")
TIES: list[Ties] = ["first", "split"]
SHAPE = (3, 4, 5, 6)


def few_values(rng: np.random.Generator) -> np.ndarray:
    """Three different values, none zero: nearly every maximum is tied."""
    return rng.choice([-0.5, 1.25, 2.0], size=SHAPE)


def all_equal(rng: np.random.Generator) -> np.ndarray:
    return np.full(SHAPE, 1.5)


def dead_channels(rng: np.random.Generator) -> np.ndarray:
    """Behind a ReLU: whole channels are zero in samples that are otherwise alive, and so are many entries."""
    f = np.maximum(rng.normal(size=SHAPE), 0)
    f[0, 1] = f[2, 0] = f[2, 3] = 0
    return f


def equal_channels(rng: np.random.Generator) -> np.ndarray:
    f = rng.normal(size=SHAPE)
    return np.broadcast_to(f[:, :1], SHAPE)


TIED = [few_values, all_equal, dead_channels, equal_channels]


POOLS: dict[str, tuple[Any, Any]] = {
    "over space (4)": (ops.max_pool_over_space, in_pytorch.max_pool_over_space),
    "over channels (9)": (ops.max_pool_over_channels, in_pytorch.max_pool_over_channels),
}


@pytest.mark.parametrize("tied", TIED)
@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("name", POOLS)
def test_max_pooling_gives_the_gradient_to_the_entries_that_torch_gives_it_to(
    name: str, ties: Ties, tied: Callable[[np.random.Generator], np.ndarray]
) -> None:
    rng = np.random.default_rng(0)
    pool, oracle = POOLS[name]
    f = tied(rng)
    out, backward = pool(f, ties=ties)
    for _ in range(3):
        d_out = rng.normal(size=out.shape)
        (expected,) = torch_gradients(lambda f: oracle(f, ties), [f], d_out)
        assert deviation(backward(d_out), expected) < 1e-12


@pytest.mark.parametrize("name", POOLS)
def test_first_is_the_default(name: str) -> None:
    pool, _ = POOLS[name]
    f = few_values(np.random.default_rng(1))
    out, backward = pool(f)
    d_out = np.random.default_rng(2).normal(size=out.shape)
    np.testing.assert_array_equal(backward(d_out), pool(f, ties="first")[1](d_out))
    assert deviation(backward(d_out), pool(f, ties="split")[1](d_out)) > 0.1


@pytest.mark.parametrize("tied", TIED)
def test_first_is_what_adaptive_max_pool2d_does(tied: Callable[[np.random.Generator], np.ndarray]) -> None:
    """The layer in the authors' implementation of channel attention."""
    rng = np.random.default_rng(3)
    f, d_out = tied(rng), rng.normal(size=SHAPE[:2])
    (expected,) = torch_gradients(lambda f: F.adaptive_max_pool2d(f, 1).flatten(1), [f], d_out)
    np.testing.assert_array_equal(ops.max_pool_over_space(f)[1](d_out), expected)


# Through the block. A tie within a channel of F reaches (4) as it is. A tie between channels reaches (9) in F′ only
# if the gates are equal, and if they are not exactly equal, rounding decides: w2 = 0 makes every gate 1/2.


@pytest.mark.parametrize("tied", [few_values, all_equal, dead_channels])
@pytest.mark.parametrize("ties", TIES)
def test_channel_attention_with_ties_equals_torch(
    ties: Ties, tied: Callable[[np.random.Generator], np.ndarray]
) -> None:
    rng = np.random.default_rng(5)
    f, params = tied(rng), random_params(4, rng)
    w1, w2 = (params[key] for key in CHANNEL)
    _, backward = cb.channel_attention(f, params, ties)
    d_f1 = rng.normal(size=SHAPE)

    def oracle(f: torch.Tensor, *w: torch.Tensor) -> torch.Tensor:
        return in_pytorch.channel_attention(f, dict(zip(CHANNEL, w, strict=True)), ties)

    d_f, grads = backward(d_f1)
    for got, expected in zip((d_f, *grads.values()), torch_gradients(oracle, [f, w1, w2], d_f1), strict=True):
        assert deviation(got, expected) < 1e-12


@pytest.mark.parametrize("tied", TIED)
@pytest.mark.parametrize("ties", TIES)
def test_spatial_attention_with_ties_equals_torch(
    ties: Ties, tied: Callable[[np.random.Generator], np.ndarray]
) -> None:
    rng = np.random.default_rng(6)
    f1, params = tied(rng), random_params(4, rng)
    _, backward = cb.spatial_attention(f1, params, ties)
    d_f2 = rng.normal(size=SHAPE)

    def oracle(f1: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return in_pytorch.spatial_attention(f1, {"spatial.kernel": kernel}, ties)

    d_f1, grads = backward(d_f2)
    inputs = [f1, params["spatial.kernel"]]
    for got, expected in zip((d_f1, *grads.values()), torch_gradients(oracle, inputs, d_f2), strict=True):
        assert deviation(got, expected) < 1e-12


@pytest.mark.parametrize("tied", TIED)
@pytest.mark.parametrize("ties", TIES)
def test_cbam_with_ties_equals_torch(ties: Ties, tied: Callable[[np.random.Generator], np.ndarray]) -> None:
    rng = np.random.default_rng(7)
    f, params = tied(rng), random_params(4, rng)
    if tied is not dead_channels:  # 0 times any gate is 0
        params["channel.w2"][:] = 0
    _, backward = cb.cbam(f, params, ties)
    d_f2 = rng.normal(size=SHAPE)

    def oracle(f: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        return in_pytorch.cbam(f, dict(zip(params, weights, strict=True)), ties)

    d_f, grads = backward(d_f2)
    expected = torch_gradients(oracle, [f, *params.values()], d_f2)
    for got, d_expected in zip((d_f, *grads.values()), expected, strict=True):
        assert deviation(got, d_expected) < 1e-12


@pytest.mark.parametrize("ties", TIES)
def test_the_class_passes_its_ties_on(ties: Ties) -> None:
    rng = np.random.default_rng(8)
    f, d_f2 = few_values(rng), rng.normal(size=SHAPE)
    block = cb.CBAM(4, 2, dtype="float64", ties=ties)
    block(f)
    d_f, _ = cb.cbam(f, block.params, ties)[1](d_f2)
    np.testing.assert_array_equal(block.backward(d_f2), d_f)
    other: Ties = "split" if ties == "first" else "first"
    assert deviation(d_f, cb.cbam(f, block.params, other)[1](d_f2)[0]) > 1e-4


def test_nan_wins_and_the_first_nan_gets_the_gradient() -> None:
    f = np.array([1.0, np.nan, 3.0, np.nan]).reshape(1, 1, 2, 2)
    max_c, backward = ops.max_pool_over_space(f)
    assert np.isnan(max_c).all()
    np.testing.assert_array_equal(backward(np.array([[2.0]])).ravel(), [0, 2, 0, 0])
    _, backward = ops.max_pool_over_space(f, ties="split")
    np.testing.assert_array_equal(backward(np.array([[2.0]])).ravel(), [0, 1, 0, 1])
