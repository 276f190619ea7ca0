"""CBAM as a PyTorch module, to be read next to the files of `cbam_np/attention`.

The forward lines are the same formulas; the backward is left to autograd, unless you ask for ours. Parameters have the
same names and shapes as in the NumPy block and go both ways without loss. Needs the extra "torch".
"""

from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cbam_np.arrays import asarray, to_numpy
from cbam_np.attention.block import CBAM as ArrayCBAM
from cbam_np.pytorch import by_hand
from cbam_np.pytorch.by_hand import GRADIENTS, Gradient


class ChannelAttention(nn.Module):
    """F′ = M_c ⊗ F, formulas (3) to (7). No biases.

    Parameters
    ----------
    w1 : tensor (C/r, C)
    w2 : tensor (C, C/r)
    """

    def __init__(self, w1: Tensor, w2: Tensor) -> None:
        super().__init__()
        self.w1 = nn.Parameter(w1)
        self.w2 = nn.Parameter(w2)

    def mlp(self, x: Tensor) -> Tensor:
        """The shared MLP.

        Parameters
        ----------
        x : tensor (N, C)

        Returns
        -------
        out : tensor (N, C)
        """
        return F.linear(F.relu(F.linear(x, self.w1)), self.w2)  # (5)

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
        max_c = f.flatten(2).max(dim=2).values  # (4); unlike amax, a tie gives its gradient to the first entry
        m_c = torch.sigmoid(self.mlp(avg_c) + self.mlp(max_c))  # (6)
        return m_c[:, :, None, None] * f  # (7)


class SpatialAttention(nn.Module):
    """F″ = M_s ⊗ F′, formulas (8) to (11).

    Parameters
    ----------
    kernel : tensor (1, 2, k, k)
        Input channels [avg, max].
    """

    def __init__(self, kernel: Tensor) -> None:
        super().__init__()
        self.kernel = nn.Parameter(kernel)

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
        max_s = f1.max(dim=1, keepdim=True).values  # (9)
        pooled = torch.cat([avg_s, max_s], dim=1)
        m_s = torch.sigmoid(F.conv2d(pooled, self.kernel, padding=self.kernel.shape[-1] // 2))  # (10)
        return m_s * f1  # (11)


class CBAM(nn.Module):
    """F″ for F of shape (N, C, H, W), formulas (1) and (2).

    The same initial weights as `cbam_np.CBAM` for the same seed; `state_dict()` has the keys "channel.w1", "channel.w2"
    and "spatial.kernel".

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
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        kernel_size: int = 7,
        dtype: Any = "float32",
        seed: int = 0,
        gradient: Gradient = "autograd",
    ) -> None:
        super().__init__()
        if gradient not in GRADIENTS:
            raise ValueError(f'gradient: expected "autograd", "hand" or "fused", got {gradient!r}')
        if gradient == "fused":
            import_module("cbam_np.fused.block").check_usable(dtype)
        self.gradient: Gradient = gradient
        start = ArrayCBAM(channels, reduction, kernel_size, dtype, seed).to("torch").params
        self.channel = ChannelAttention(start["channel.w1"], start["channel.w2"])
        self.spatial = SpatialAttention(start["spatial.kernel"])

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
            return by_hand.block(self.gradient, f, dict(self.named_parameters()))
        f1: Tensor = self.channel(f)  # (1)
        f2: Tensor = self.spatial(f1)  # (2)
        return f2

    def extra_repr(self) -> str:
        """What the module prints besides its parts."""
        return f"gradient={self.gradient!r}"


def from_arrays(block: ArrayCBAM, gradient: Gradient = "autograd") -> CBAM:
    """The PyTorch module with the parameters of `block`, copied, in their dtype.

    Raises ValueError for ties="split", which the module cannot do.

    Parameters
    ----------
    block : `cbam_np.CBAM`
    gradient : "autograd", "hand" or "fused"
        See `CBAM`.

    Returns
    -------
    module : CBAM
    """
    if block.ties != "first":
        raise ValueError(f'block: expected ties="first", as in PyTorch\'s max along an axis, got {block.ties!r}')
    dtype = to_numpy(block.params["channel.w1"]).dtype
    module = CBAM(block.channels, block.reduction, block.kernel_size, dtype, gradient=gradient)
    module.load_state_dict({key: asarray(value, "torch") for key, value in block.params.items()})
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
