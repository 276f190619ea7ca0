"""The block, formulas (1) and (2), and a thin class that holds its parameters."""

from copy import copy
from importlib import import_module
from math import prod
from types import ModuleType
from typing import Any

import numpy as np

from cbam_np.arrays import Array, Backward, Params, asarray, describe
from cbam_np.attention.channel import channel_attention
from cbam_np.attention.checks import check_block
from cbam_np.attention.spatial import spatial_attention
from cbam_np.inputs import Ties, check_integer, check_ties, checked


@checked(check_block)
def cbam(f: Array, params: Params, ties: Ties = "first", maps: Params | None = None) -> tuple[Array, Backward]:
    """Formulas (1) and (2): channel attention, then spatial attention on its result.

        F′ = M_c(F) ⊗ F
        F″ = M_s(F′) ⊗ F′

    The gradient goes back in reverse order: dF″ → dF′ → dF.

    `backward` reads f and params when it is called, so don't change them in place in between.
    A NaN or ±inf in f gives NaN in its own sample, in f2 or d_f, and in the parameters' gradients, as in PyTorch.
    Source: Woo, Park, Lee, Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018, section 3.

    Parameters
    ----------
    f : floats (N, C, H, W)
    params : dict of floats
        "channel.w1" (C/r, C), "channel.w2" (C, C/r), "spatial.kernel" (1, 2, k, k) in the order [avg, max], and
        optional biases "channel.b1" (C/r,), "channel.b2" (C,), "spatial.bias" (1,).
    ties : "first" or "split"
        Which entry gets the gradient where several tie for a maximum, see `max_pool_over_space`.
    maps : dict, optional
        M_c (N, C, 1, 1) and M_s (N, 1, H, W) are stored in it as "channel" and "spatial".

    Returns
    -------
    f2 : floats (N, C, H, W)
        In the array library and dtype of f.
    backward : d_f2 -> d_f, grads
        grads is a dict with the gradient of every parameter.
    """
    f1, channel_backward = channel_attention(f, params, ties, maps)
    f2, spatial_backward = spatial_attention(f1, params, ties, maps)

    def backward(d_f2: Array) -> tuple[Array, Params]:
        d_f1, spatial_grads = spatial_backward(d_f2)
        d_f, channel_grads = channel_backward(d_f1)
        return d_f, channel_grads | spatial_grads

    return f2, backward


class CBAM:
    """`cbam` as a layer: a block that keeps its parameters. It adds no mathematics.

    Initial weights are uniform in ±1/√fan_in, PyTorch's default for linear and convolution layers; fan_in is C
    for w1, C // r for w2 and 2k² for the kernel. They are drawn on the host in float64 and then rounded, so that every
    dtype and every array library starts from the same numbers.

    Raises ValueError if the sizes don't make a block; with `fused` also for float16, and RuntimeError if Numba can't be
    imported.

    Parameters
    ----------
    channels : int
        C of the input.
    reduction : int
        r; the hidden layer of the MLP has C // r units.
    kernel_size : int, odd
        k.
    dtype : "float64", "float32" or "float16"
        Sums in float16 are accumulated in float32.
    seed : int
        Of the initial weights.
    ties : "first" or "split"
        See `max_pool_over_space`.
    fused : bool
        Compute with `cbam_np.fused.cbam`, for NumPy arrays of float32 or float64.

    Attributes
    ----------
    params : dict of floats
        As in `cbam_np.cbam`.
    grads : dict of floats
        Of the last backward, under the same keys.
    maps : dict of floats
        Of the last forward: "channel" (N, C, 1, 1), "spatial" (N, 1, H, W).
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        kernel_size: int = 7,
        dtype: Any = "float32",
        seed: int = 0,
        ties: Ties = "first",
        fused: bool = False,
    ) -> None:
        sizes = ("channels", channels, 1), ("reduction", reduction, 1), ("kernel_size", kernel_size, 1)
        for name, value, least in (*sizes, ("seed", seed, 0)):
            check_integer(name, value, least)
        if reduction > channels:
            raise ValueError(f"reduction: expected at most {channels} for channels={channels}, got {reduction}")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size: expected an odd number, so that a window has a centre, got {kernel_size}")
        if dtype is None or dtype not in map(np.dtype, ("float64", "float32", "float16")):
            raise ValueError(f"dtype: expected float64, float32 or float16, got {dtype!r}")
        check_ties(ties)
        if not isinstance(fused, bool):
            raise ValueError(f"fused: expected True or False, got {fused!r}")
        if fused:  # one floor up: looked for only if somebody asks for it
            import_module("cbam_np.fused.block").check_usable(dtype)
        C, hidden, k = channels, channels // reduction, kernel_size
        rng = np.random.default_rng(seed)

        def uniform(shape: tuple[int, ...], fan_in: int) -> np.ndarray:
            return rng.uniform(-(fan_in**-0.5), fan_in**-0.5, shape).astype(dtype)

        self.channels, self.reduction, self.kernel_size = channels, reduction, kernel_size
        self.ties: Ties = ties
        self.fused = fused
        self.params: Params = {
            "channel.w1": uniform((hidden, C), fan_in=C),
            "channel.w2": uniform((C, hidden), fan_in=hidden),
            "spatial.kernel": uniform((1, 2, k, k), fan_in=2 * k * k),
        }
        self.grads: Params = {}
        self.maps: Params = {}
        self._backward: Backward | None = None

    def forward(self, f: Array) -> Array:
        """F″.

        Parameters
        ----------
        f : floats (N, C, H, W)

        Returns
        -------
        f2 : floats (N, C, H, W)
            In the array library and dtype of f.
        """
        maps: Params = {}
        op = import_module("cbam_np.fused").cbam if self.fused else cbam
        f2, self._backward = op(f, self.params, self.ties, maps)
        self.maps = maps
        return f2

    __call__ = forward

    def backward(self, d_out: Array) -> Array:
        """The gradient of the last forward; fills `grads`. Call it again and you get the same result.

        Parameters
        ----------
        d_out : floats (N, C, H, W)

        Returns
        -------
        d_f : floats (N, C, H, W)
        """
        if self._backward is None:
            raise RuntimeError(
                "backward: expected a forward pass of this very block before it; call block(f) first "
                "(a copy, also one by pickle or .to(), starts without)"
            )
        d_f, self.grads = self._backward(d_out)
        return d_f

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: everything but the backward of the last forward, which belongs to this block."""
        return self.__dict__ | {"_backward": None}

    def to(self, library: str | ModuleType) -> "CBAM":
        """A new block with the same parameters as arrays of another library.

        Parameters that are arrays of `library` already are shared with the new block, and all others are copied. Raises
        a RuntimeError that says what is missing if CuPy can't be used, ValueError if there is no such array library.

        Parameters
        ----------
        library : "cupy", "numpy", ..., or an array module

        Returns
        -------
        block : CBAM
        """
        moved = copy(self)
        moved.params = {key: asarray(value, library) for key, value in self.params.items()}
        moved.grads, moved.maps, moved._backward = {}, {}, None
        return moved

    def __repr__(self) -> str:
        count = sum(prod(value.shape) for value in self.params.values())
        return (
            f"CBAM(channels={self.channels}, reduction={self.reduction}, kernel_size={self.kernel_size}"
            f"{', fused=True' if self.fused else ''}): "
            f"{count} parameters, {describe(self.params['channel.w1'])}"
        )
