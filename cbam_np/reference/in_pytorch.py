"""Every operation again, in PyTorch's own functions and forward only: autograd says what the gradient has to be.

The names are those of the operations; `reference.operations` pairs them. Needs the extra "torch".
"""

from __future__ import annotations  # the site is built without PyTorch, where types can't be joined by |

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cbam_np.inputs import Ties
from cbam_np.reference.operations import converted, leaves

Params = dict[str, Tensor]

relu = F.relu
sigmoid = torch.sigmoid
gate = torch.mul
add = torch.add
linear = F.linear


def avg_pool_over_space(f: Tensor) -> Tensor:
    """Formula (3)."""
    return f.mean(dim=(2, 3))


def max_pool_over_space(f: Tensor, ties: Ties = "first") -> Tensor:
    """Formula (4). At a tie, `max` along an axis gives the gradient to the first entry, `amax` the same to each."""
    return f.flatten(2).max(dim=2).values if ties == "first" else f.amax(dim=(2, 3))


def mlp(x: Tensor, w1: Tensor, w2: Tensor, b1: Tensor | None = None, b2: Tensor | None = None) -> Tensor:
    """Formula (5)."""
    return F.linear(F.relu(F.linear(x, w1, b1)), w2, b2)


def shared_mlp(avg_c: Tensor, max_c: Tensor, *weights: Tensor) -> Tensor:
    """The argument of the sigmoid in formula (6)."""
    return mlp(avg_c, *weights) + mlp(max_c, *weights)


def channel_map(f: Tensor, params: Params, ties: Ties = "first") -> Tensor:
    """Formula (6)."""
    weights = [params[key] for key in ("channel.w1", "channel.w2", "channel.b1", "channel.b2") if key in params]
    z = shared_mlp(avg_pool_over_space(f), max_pool_over_space(f, ties), *weights)
    return torch.sigmoid(z)[:, :, None, None]


def channel_attention(f: Tensor, params: Params, ties: Ties = "first") -> Tensor:
    """Formula (7)."""
    return channel_map(f, params, ties) * f


def avg_pool_over_channels(f1: Tensor) -> Tensor:
    """Formula (8)."""
    return f1.mean(dim=1, keepdim=True)


def max_pool_over_channels(f1: Tensor, ties: Ties = "first") -> Tensor:
    """Formula (9)."""
    return f1.max(dim=1, keepdim=True).values if ties == "first" else f1.amax(dim=1, keepdim=True)


def concat(a: Tensor, b: Tensor) -> Tensor:
    """[a; b] of formula (10)."""
    return torch.cat([a, b], dim=1)


def im2col(x: Tensor, k: int, stride: int = 1, padding: int = 0) -> Tensor:
    """All windows as columns."""
    return F.unfold(x, k, padding=padding, stride=stride)


def col2im(columns: Tensor, size: tuple[int, int], k: int, stride: int = 1, padding: int = 0) -> Tensor:
    """The adjoint of `im2col`."""
    return F.fold(columns, size, k, padding=padding, stride=stride)


def conv2d(
    x: Tensor, kernel: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int | None = None
) -> Tensor:
    """The convolution of formula (10)."""
    return F.conv2d(x, kernel, bias, stride, kernel.shape[-1] // 2 if padding is None else padding)


def spatial_map(f1: Tensor, params: Params, ties: Ties = "first") -> Tensor:
    """Formula (10)."""
    pooled = concat(avg_pool_over_channels(f1), max_pool_over_channels(f1, ties))
    return torch.sigmoid(conv2d(pooled, params["spatial.kernel"], params.get("spatial.bias")))


def spatial_attention(f1: Tensor, params: Params, ties: Ties = "first") -> Tensor:
    """Formula (11)."""
    return spatial_map(f1, params, ties) * f1


def cbam(f: Tensor, params: Params, ties: Ties = "first") -> Tensor:
    """Formulas (1) and (2)."""
    return spatial_attention(channel_attention(f, params, ties), params, ties)


def squeeze_excitation(f: Tensor, *weights: Tensor) -> Tensor:
    """SE."""
    return torch.sigmoid(mlp(avg_pool_over_space(f), *weights))[:, :, None, None] * f


def batch_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-5) -> Tensor:
    """In training."""
    return F.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)


def batch_norm_evaluation(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor, eps: float = 1e-5
) -> Tensor:
    """In evaluation. `F.batch_norm` does the same, but takes no gradients with respect to mean and variance."""
    per_channel = (value[:, None, None] for value in (gamma, beta, mean, variance))
    gamma, beta, mean, variance = per_channel
    return gamma * (x - mean) / torch.sqrt(variance + eps) + beta


def max_pool2d(x: Tensor, k: int, stride: int, padding: int = 0) -> Tensor:
    """The maximum of every window."""
    return F.max_pool2d(x, k, stride, padding)


def avg_pool2d(x: Tensor, k: int, stride: int, padding: int = 0) -> Tensor:
    """The average of every window."""
    return F.avg_pool2d(x, k, stride, padding)


def softmax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """One number a sample; labels are numbers of classes, or probabilities."""
    return F.cross_entropy(logits, labels, reduction="none")


def smooth_l1(predictions: Tensor, targets: Tensor, beta: float = 1.0) -> Tensor:
    """One number a coordinate."""
    return F.smooth_l1_loss(predictions, targets, reduction="none", beta=beta)


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """One number a pixel."""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def output_and_gradients(
    function: Callable[..., Tensor], inputs: Sequence[Any], d_out: Callable[[tuple[int, ...]], np.ndarray]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The output of `function` for NumPy inputs, and the gradients of Σ d_out ⊙ output by autograd, as NumPy arrays.

    inputs: arrays, or dicts of them. d_out: makes the upstream gradient for the shape of the output. Returns one
    gradient for each array in `inputs`, in order; zeros for one that the output doesn't depend on.
    """
    tensors = converted(tuple(inputs), lambda x: torch.tensor(x, requires_grad=True))
    out = function(*tensors)
    upstream = torch.from_numpy(d_out(tuple(out.shape)))
    every = [tensor for _, tensor in leaves(tensors) if tensor is not None]
    found = torch.autograd.grad(out, every, upstream, materialize_grads=True)
    return out.detach().numpy(), [gradient.numpy() for gradient in found]
