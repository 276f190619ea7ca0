"""CBAM as a PyTorch module, to be read next to the files of `cbam_np/attention`.

The forward lines are the same formulas; the backward is left to autograd, unless you ask for ours. Parameters have the
same names and shapes as in the NumPy block and go both ways without loss. Needs the extra "torch".
"""

from __future__ import annotations  # the site is built without PyTorch, where types can't be joined by |

from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cbam_np.arrays import Params, asarray, to_numpy
from cbam_np.attention.block import CBAM as ArrayCBAM
from cbam_np.inputs import Ties, check_ties
from cbam_np.pytorch import by_hand
from cbam_np.pytorch.by_hand import GRADIENTS, Gradient


class ChannelAttention(nn.Module):
    """F′ = M_c ⊗ F, formulas (3) to (7).

    Parameters
    ----------
    w1 : tensor (C/r, C)
    w2 : tensor (C, C/r)
    b1 : tensor (C/r,), optional
    b2 : tensor (C,), optional
        Biases, if they were trained.
    ties : "first" or "split"
    """

    def __init__(
        self, w1: Tensor, w2: Tensor, b1: Tensor | None = None, b2: Tensor | None = None, ties: Ties = "first"
    ) -> None:
        super().__init__()
        self.w1 = nn.Parameter(w1)
        self.w2 = nn.Parameter(w2)
        self.b1 = None if b1 is None else nn.Parameter(b1)
        self.b2 = None if b2 is None else nn.Parameter(b2)
        self.ties = ties

    def mlp(self, x: Tensor) -> Tensor:
        """The shared MLP.

        Parameters
        ----------
        x : tensor (N, C)

        Returns
        -------
        out : tensor (N, C)
        """
        return F.linear(F.relu(F.linear(x, self.w1, self.b1)), self.w2, self.b2)  # (5)

    def forward(self, f: Tensor) -> Tensor:
        """F′.

        Parameters
        ----------
        f : tensor (N, C, H, W)

        Returns
        -------
        f1 : tensor (N, C, H, W)
        """
        avg_c = f.mean(dim=(2, 3))  # (3)
        max_c = maximum(f.flatten(2), 2, self.ties).flatten(1)  # (4)
        m_c = torch.sigmoid(self.mlp(avg_c) + self.mlp(max_c))  # (6)
        return m_c[:, :, None, None] * f  # (7)


class SpatialAttention(nn.Module):
    """F″ = M_s ⊗ F′, formulas (8) to (11).

    Parameters
    ----------
    kernel : tensor (1, 2, k, k)
        Input channels [avg, max].
    bias : tensor (1,), optional
    ties : "first" or "split"
    """

    def __init__(self, kernel: Tensor, bias: Tensor | None = None, ties: Ties = "first") -> None:
        super().__init__()
        self.kernel = nn.Parameter(kernel)
        self.bias = None if bias is None else nn.Parameter(bias)
        self.ties = ties

    def forward(self, f1: Tensor) -> Tensor:
        """F″.

        Parameters
        ----------
        f1 : tensor (N, C, H, W)

        Returns
        -------
        f2 : tensor (N, C, H, W)
        """
        avg_s = f1.mean(dim=1, keepdim=True)  # (8)
        max_s = maximum(f1, 1, self.ties)  # (9)
        pooled = torch.cat([avg_s, max_s], dim=1)
        m_s = torch.sigmoid(F.conv2d(pooled, self.kernel, self.bias, padding=self.kernel.shape[-1] // 2))  # (10)
        return m_s * f1  # (11)


def maximum(x: Tensor, axis: int, ties: Ties) -> Tensor:
    """The maximum along an axis, which is kept. At a tie `max` gives its gradient to the first, `amax` to all alike."""
    return x.max(dim=axis, keepdim=True).values if ties == "first" else x.amax(dim=axis, keepdim=True)


class CBAM(nn.Module):
    """F″ for F of shape (N, C, H, W), formulas (1) and (2).

    The same initial weights as `cbam_np.CBAM` for the same seed; `state_dict()` has the keys "channel.w1", "channel.w2"
    and "spatial.kernel". Biases come with `from_arrays` alone.

    Raises ValueError for sizes that don't make a block or another `gradient`, RuntimeError for "fused" without Numba.

    Parameters
    ----------
    channels, reduction, kernel_size : int
        C, r and k.
    dtype : "float64", "float32" or "float16"
    seed : int
        Of the initial weights.
    gradient : "autograd", "hand" or "fused"
        Who computes it. "autograd": PyTorch, from the formulas above. "hand": `cbam_np.cbam`. "fused":
        `cbam_np.fused.cbam`, the fastest; float32 and float64 on the CPU, on `numba.get_num_threads()` threads. Nothing
        is copied on the way, torch.compile compiles what is around the block, and a second derivative is an error.
    ties : "first" or "split"
        See `max_pool_over_space`.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        kernel_size: int = 7,
        dtype: Any = "float32",
        seed: int = 0,
        gradient: Gradient = "autograd",
        ties: Ties = "first",
    ) -> None:
        super().__init__()
        check_ties(ties)
        if gradient not in GRADIENTS:
            raise ValueError(f'gradient: expected "autograd", "hand" or "fused", got {gradient!r}')
        if gradient == "fused":
            import_module("cbam_np.fused.block").check_usable(dtype)
        self.gradient: Gradient = gradient
        self.ties: Ties = ties
        start = ArrayCBAM(channels, reduction, kernel_size, dtype, seed)
        self.channel, self.spatial = halves(start.params, ties)

    def forward(self, f: Tensor) -> Tensor:
        """F″.

        Parameters
        ----------
        f : tensor (N, C, H, W)

        Returns
        -------
        f2 : tensor (N, C, H, W)
        """
        if self.gradient != "autograd":
            return by_hand.block(self.gradient, f, dict(self.named_parameters()), self.ties)
        f1: Tensor = self.channel(f)  # (1)
        f2: Tensor = self.spatial(f1)  # (2)
        return f2

    def extra_repr(self) -> str:
        """What the module prints besides its parts."""
        return f"gradient={self.gradient!r}" + (f", ties={self.ties!r}" if self.ties != "first" else "")


def halves(params: Params, ties: Ties) -> tuple[ChannelAttention, SpatialAttention]:
    """The two halves of the module with copies of these arrays."""
    of: dict[str, Any] = {key: asarray(value, "torch").detach().clone() for key, value in params.items()}
    channel = ChannelAttention(of["channel.w1"], of["channel.w2"], of.get("channel.b1"), of.get("channel.b2"), ties)
    return channel, SpatialAttention(of["spatial.kernel"], of.get("spatial.bias"), ties)


def from_arrays(block: ArrayCBAM, gradient: Gradient = "autograd") -> CBAM:
    """The PyTorch module with the parameters of `block`, copied, in their dtype, biases included, and with its ties.

    So what `load_weights` returns can be trained on with a gradient of ours.

    Parameters
    ----------
    block : `cbam_np.CBAM`
    gradient : "autograd", "hand" or "fused"
        See `CBAM`.

    Returns
    -------
    module : CBAM
    """
    dtype = to_numpy(block.params["channel.w1"]).dtype
    module = CBAM(block.channels, block.reduction, block.kernel_size, dtype, gradient=gradient, ties=block.ties)
    module.channel, module.spatial = halves(block.params, block.ties)
    return module


def to_arrays(module: CBAM) -> dict[str, Any]:
    """The parameters of `module` as NumPy arrays, copied, under the keys of `cbam_np.CBAM.params`.

    Parameters
    ----------
    module : CBAM

    Returns
    -------
    params : dict of NumPy arrays
    """
    return {key: to_numpy(value).copy() for key, value in module.state_dict().items()}
