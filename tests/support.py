"""What several test files need: the operations in one table, each with a PyTorch function that says what is right."""

from collections.abc import Callable
from inspect import signature
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import cbam_np as cb
from cbam_np import ops

torch.set_num_threads(1)  # tests run side by side, and a fixed number keeps the order of sums fixed

Shape = tuple[int, ...]
Weights = tuple[Tensor, ...]

CHANNEL = ("channel.w1", "channel.w2")
CHANNEL_BIASES = ("channel.b1", "channel.b2")
SPATIAL = ("spatial.kernel",)
SPATIAL_BIAS = ("spatial.bias",)


def deviation(got: Any, expected: Any) -> float:
    """The largest difference, relative to the largest entry of `expected`; infinite if the shapes differ."""
    got, expected = np.asarray(got), np.asarray(expected)
    if got.shape != expected.shape:
        return np.inf
    if got.size == 0:
        return 0.0
    wide = np.float64
    largest = np.abs(expected.astype(wide)).max() or 1.0
    difference = np.abs(got.astype(wide) - expected.astype(wide)).max()
    return float(difference / largest) if np.isfinite(difference) else np.inf


def as_tuple(gradients: Any) -> tuple[Any, ...]:
    return gradients if isinstance(gradients, tuple) else (gradients,)


def torch_gradients(function: Callable[..., Tensor], inputs: list[np.ndarray], d_out: np.ndarray) -> list[np.ndarray]:
    """What autograd says; zeros for an input that the output doesn't depend on."""
    leaves = [torch.tensor(x, requires_grad=True) for x in inputs]
    gradients = torch.autograd.grad(function(*leaves), leaves, torch.tensor(d_out), materialize_grads=True)
    return [gradient.numpy() for gradient in gradients]


# The formulas in PyTorch. Where F is used several times each use is an argument of its own, so that autograd can
# tell the paths of the gradient apart.


def torch_max_over_space(f: Tensor, ties: str = "first") -> Tensor:
    return f.flatten(2).max(dim=2).values if ties == "first" else f.amax(dim=(2, 3))


def torch_max_over_channels(f1: Tensor, ties: str = "first") -> Tensor:
    return f1.max(dim=1, keepdim=True).values if ties == "first" else f1.amax(dim=1, keepdim=True)


def torch_mlp(x: Tensor, w1: Tensor, w2: Tensor, b1: Tensor | None = None, b2: Tensor | None = None) -> Tensor:
    return F.linear(F.relu(F.linear(x, w1, b1)), w2, b2)


def torch_channel_map(f_avg: Tensor, f_max: Tensor, w_avg: Weights, w_max: Weights, *, ties: str = "first") -> Tensor:
    z = torch_mlp(f_avg.mean(dim=(2, 3)), *w_avg) + torch_mlp(torch_max_over_space(f_max, ties), *w_max)
    return torch.sigmoid(z)[:, :, None, None]


def torch_channel(
    f: Tensor, f_avg: Tensor, f_max: Tensor, w_avg: Weights, w_max: Weights, *, ties: str = "first"
) -> Tensor:
    return torch_channel_map(f_avg, f_max, w_avg, w_max, ties=ties) * f


def torch_spatial_map(
    f1_avg: Tensor, f1_max: Tensor, kernel: Tensor, bias: Tensor | None = None, *, ties: str = "first"
) -> Tensor:
    pooled = torch.cat([f1_avg.mean(dim=1, keepdim=True), torch_max_over_channels(f1_max, ties)], dim=1)
    return torch.sigmoid(F.conv2d(pooled, kernel, bias, padding=kernel.shape[-1] // 2))


def torch_spatial(f1: Tensor, f1_avg: Tensor, f1_max: Tensor, *weights: Tensor, ties: str = "first") -> Tensor:
    return torch_spatial_map(f1_avg, f1_max, *weights, ties=ties) * f1


def torch_cbam(f: Tensor, w1: Tensor, w2: Tensor, kernel: Tensor, *biases: Tensor, ties: str = "first") -> Tensor:
    weights = (w1, w2, *biases[:2])
    f1 = torch_channel(f, f, f, weights, weights, ties=ties)
    return torch_spatial(f1, f1, f1, kernel, *biases[2:], ties=ties)


# The operations


def positional(op: Callable[..., Any], *keys: str) -> Callable[..., Any]:
    """`op(f, params)` as an operation on arrays: `flat(f, *values)`, whose backward returns a tuple."""

    def flat(f: Any, *values: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
        out, backward = op(f, dict(zip(keys, values, strict=True)))

        def flat_backward(d_out: Any) -> tuple[Any, ...]:
            d_f, grads = backward(d_out)
            assert grads.keys() == set(keys)
            return d_f, *(grads[key] for key in keys)

        return out, flat_backward

    flat.names = (next(iter(signature(op).parameters)), *keys)  # type: ignore[attr-defined]
    return flat


def argument_names(op: Callable[..., Any]) -> tuple[str, ...]:
    """The names under which an error speaks of the inputs of `op`."""
    names: tuple[str, ...] = getattr(op, "names", tuple(signature(op).parameters))
    return names


class Case(NamedTuple):
    """An operation, the same in PyTorch, and the shapes of its inputs for F of shape (N, C, H, W)."""

    op: Callable[..., Any]
    oracle: Callable[..., Tensor]
    shapes: Callable[[int, int, int, int], list[Shape]]

    def inputs(self, shape: Shape, rng: np.random.Generator) -> list[np.ndarray]:
        N, C, H, W = shape
        first, *others = self.shapes(N, C, H, W)
        return [rng.normal(size=first), *(scaled_normal(size, rng) / 2 for size in others)]


def scaled_normal(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Weights of moderate size. In a gate near 1 PyTorch's σ′ = σ(1 - σ) has lost digits, and ours has not."""
    return rng.normal(size=shape) / prod(shape[1:]) ** 0.5


def hidden(C: int) -> int:
    return max(C // 2, 1)


def _weights(C: int) -> list[Shape]:
    return [(hidden(C), C), (C, hidden(C))]


def _biases(C: int) -> list[Shape]:
    return [(hidden(C),), (C,)]


KERNEL: Shape = (1, 2, 7, 7)

OPERATIONS = {
    "avg_pool_over_space (3)": Case(
        ops.avg_pool_over_space, lambda f: f.mean(dim=(2, 3)), lambda N, C, H, W: [(N, C, H, W)]
    ),
    "max_pool_over_space (4)": Case(ops.max_pool_over_space, torch_max_over_space, lambda N, C, H, W: [(N, C, H, W)]),
    "mlp (5)": Case(ops.mlp, torch_mlp, lambda N, C, H, W: [(N, C), *_weights(C)]),
    "mlp (5), biases": Case(ops.mlp, torch_mlp, lambda N, C, H, W: [(N, C), *_weights(C), *_biases(C)]),
    "shared_mlp (6)": Case(
        ops.shared_mlp,
        lambda a, m, *w: torch_mlp(a, *w) + torch_mlp(m, *w),
        lambda N, C, H, W: [(N, C), (N, C), *_weights(C)],
    ),
    "shared_mlp (6), biases": Case(
        ops.shared_mlp,
        lambda a, m, *w: torch_mlp(a, *w) + torch_mlp(m, *w),
        lambda N, C, H, W: [(N, C), (N, C), *_weights(C), *_biases(C)],
    ),
    "relu (5)": Case(ops.relu, torch.relu, lambda N, C, H, W: [(N, C, H, W)]),
    "sigmoid (6), (10)": Case(ops.sigmoid, torch.sigmoid, lambda N, C, H, W: [(N, C, H, W)]),
    "gate (7)": Case(ops.gate, torch.mul, lambda N, C, H, W: [(N, C, 1, 1), (N, C, H, W)]),
    "avg_pool_over_channels (8)": Case(
        ops.avg_pool_over_channels, lambda f: f.mean(dim=1, keepdim=True), lambda N, C, H, W: [(N, C, H, W)]
    ),
    "max_pool_over_channels (9)": Case(
        ops.max_pool_over_channels, torch_max_over_channels, lambda N, C, H, W: [(N, C, H, W)]
    ),
    "concat (10)": Case(
        ops.concat, lambda a, b: torch.cat([a, b], dim=1), lambda N, C, H, W: [(N, C, H, W), (N, C + 1, H, W)]
    ),
    "conv2d (10)": Case(
        ops.conv2d, lambda x, kernel: F.conv2d(x, kernel, padding=3), lambda N, C, H, W: [(N, C, H, W), (2, C, 7, 7)]
    ),
    "conv2d (10), bias": Case(
        ops.conv2d,
        lambda x, kernel, bias: F.conv2d(x, kernel, bias, padding=1),
        lambda N, C, H, W: [(N, C, H, W), (4, C, 3, 3), (4,)],
    ),
    "gate (11)": Case(ops.gate, torch.mul, lambda N, C, H, W: [(N, 1, H, W), (N, C, H, W)]),
    "channel_map (6)": Case(
        positional(cb.channel_map, *CHANNEL),
        lambda f, *w: torch_channel_map(f, f, w, w),
        lambda N, C, H, W: [(N, C, H, W), *_weights(C)],
    ),
    "channel_attention (7)": Case(
        positional(cb.channel_attention, *CHANNEL),
        lambda f, *w: torch_channel(f, f, f, w, w),
        lambda N, C, H, W: [(N, C, H, W), *_weights(C)],
    ),
    "channel_attention (7), biases": Case(
        positional(cb.channel_attention, *CHANNEL, *CHANNEL_BIASES),
        lambda f, *w: torch_channel(f, f, f, w, w),
        lambda N, C, H, W: [(N, C, H, W), *_weights(C), *_biases(C)],
    ),
    "spatial_map (10)": Case(
        positional(cb.spatial_map, *SPATIAL),
        lambda f1, kernel: torch_spatial_map(f1, f1, kernel),
        lambda N, C, H, W: [(N, C, H, W), KERNEL],
    ),
    "spatial_attention (11)": Case(
        positional(cb.spatial_attention, *SPATIAL),
        lambda f1, kernel: torch_spatial(f1, f1, f1, kernel),
        lambda N, C, H, W: [(N, C, H, W), KERNEL],
    ),
    "spatial_attention (11), bias": Case(
        positional(cb.spatial_attention, *SPATIAL, *SPATIAL_BIAS),
        lambda f1, *w: torch_spatial(f1, f1, f1, *w),
        lambda N, C, H, W: [(N, C, H, W), KERNEL, (1,)],
    ),
    "cbam (1), (2)": Case(
        positional(cb.cbam, *CHANNEL, *SPATIAL), torch_cbam, lambda N, C, H, W: [(N, C, H, W), *_weights(C), KERNEL]
    ),
    "cbam (1), (2), biases": Case(
        positional(cb.cbam, *CHANNEL, *SPATIAL, *CHANNEL_BIASES, *SPATIAL_BIAS),
        torch_cbam,
        lambda N, C, H, W: [(N, C, H, W), *_weights(C), KERNEL, *_biases(C), (1,)],
    ),
}


def random_params(C: int, rng: np.random.Generator, k: int = 7, biases: bool = False) -> dict[str, np.ndarray]:
    """Parameters of a block for C channels, float64."""
    shapes: dict[str, Shape] = {
        "channel.w1": (hidden(C), C),
        "channel.w2": (C, hidden(C)),
        "spatial.kernel": (1, 2, k, k),
    }
    if biases:
        shapes |= {"channel.b1": (hidden(C),), "channel.b2": (C,), "spatial.bias": (1,)}
    return {key: scaled_normal(shape, rng) for key, shape in shapes.items()}
