"""Attention in a network: SE, the parts of CBAM, CBAM, and the variants that the paper and its authors' code try.

What the block's own functions do, they do here. The rest is put together from operations.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from cbam_np import ops
from cbam_np.arrays import Array, Backward, Params
from cbam_np.attention.channel import channel_map
from cbam_np.attention.spatial import spatial_map
from cbam_np.fused.block import compiled_loops
from cbam_np.inputs import CHANNEL, check_integer
from cbam_np.nets.layers import Arrays, Bare, BatchNorm, Chain, Conv, Layer, LayerBackward, Plain, Start, uniform

CHOICES = {
    "attention": ("none", "se", "channel", "spatial", "cbam"),
    "variant": ("document", "released"),
    "pooling": ("both", "avg", "max"),
    "spatial_pooling": ("both", "avg", "max", "conv"),
    "order": ("channel-spatial", "spatial-channel", "parallel"),
}


@dataclass(frozen=True)
class Attention:
    """Which attention every block of a network has: the options of `resnet` and `vgg`.

    Weights start uniform in ±1/√fan_in, as in `cbam_np.CBAM`, biases from 0; the convolutions of "released" start as
    all others do, from `he`. Raises ValueError for anything else, RuntimeError for `fused` without Numba.

    Parameters
    ----------
    attention : "none", "se", "channel", "spatial" or "cbam"
        "se": a channel map of the average alone; "channel", "spatial": one half of CBAM.
    variant : "document" or "released"
        The eleven formulas; or as in the authors' code: biases in the MLP, and batch norm after the k×k convolution,
        whose γ starts at 0, so that every spatial gate starts at exactly 1/2.
    reduction : int
        r of the MLP.
    kernel_size : int, odd
        k of the spatial convolution.
    pooling : "avg", "max" or "both"
        What the MLP sees of a channel: its average, its maximum, or both.
    spatial_pooling : "avg", "max", "both" or "conv"
        What the k×k convolution sees of a pixel; "conv" is a 1×1 convolution.
    order : "channel-spatial", "spatial-channel" or "parallel"
        Which half comes first; in parallel both maps are made of F and F″ = M_s(F) ⊗ M_c(F) ⊗ F.
    fused : bool
        Compute the block with `cbam_np.fused.cbam`, several times faster, on NumPy in float32 and float64. It knows the
        eleven formulas: attention="cbam", all other options as they are by default, but for reduction and kernel_size.
    """

    attention: str = "none"
    variant: str = "document"
    reduction: int = 16
    kernel_size: int = 7
    pooling: str = "both"
    spatial_pooling: str = "both"
    order: str = "channel-spatial"
    fused: bool = False

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {getattr(self, name)!r}")
        check_integer("reduction", self.reduction, least=1)
        check_integer("kernel_size", self.kernel_size, least=1)
        if self.kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size: expected an odd number, so that a window has a centre, got {self.kernel_size}"
            )
        if not isinstance(self.fused, bool):
            raise ValueError(f"fused: expected True or False, got {self.fused!r}")
        if self.fused:
            plain = Attention("cbam", reduction=self.reduction, kernel_size=self.kernel_size)
            if replace(self, fused=False) != plain:
                raise ValueError(f"fused: expected attention='cbam' without other options, got {self}; leave fused out")
            compiled_loops()

    def layers(self, block: str, channels: int) -> tuple[Layer, ...]:
        """The layers for one block; none for "none".

        Raises ValueError if `reduction` leaves the MLP without a hidden unit.

        Parameters
        ----------
        block : str
            Its name.
        channels : int
            How many it has.
        """
        if self.attention == "none":
            return ()
        spatial = Gated(block, "spatial", self._spatial_map(f"{block}.cbam", channels))
        if self.attention == "spatial":
            return (spatial,)
        if self.reduction > channels:
            raise ValueError(f"reduction: expected at most {channels}, the channels of {block}, got {self.reduction}")
        name = "se" if self.attention == "se" else "cbam"
        channel = Gated(block, "channel", self._channel_map(f"{block}.{name}", channels))
        if self.attention in ("se", "channel"):
            return (channel,)
        if self.fused:
            return (Fused(block, channel, spatial),)
        if self.order == "parallel":
            return (Parallel(channel, spatial),)
        return (channel, spatial) if self.order == "channel-spatial" else (spatial, channel)

    def _channel_map(self, name: str, channels: int) -> Layer:
        hidden = channels // self.reduction
        shapes: dict[str, tuple[int, ...]] = {"channel.w1": (hidden, channels), "channel.w2": (channels, hidden)}
        if self.variant == "released":
            shapes |= {"channel.b1": (hidden,), "channel.b2": (channels,)}
        if self.attention != "se" and self.pooling == "both":
            return MapOf(name, channel_map, shapes)
        pool = ops.max_pool_over_space if self.pooling == "max" else ops.avg_pool_over_space
        return MapOf(name, partial(channel_map_of_one, pool), shapes)

    def _spatial_map(self, name: str, channels: int) -> Layer:
        k, released = self.kernel_size, self.variant == "released"
        if self.spatial_pooling == "both" and not released:
            return MapOf(name, spatial_map, {"spatial.kernel": (1, 2, k, k)})
        start: Start = "he" if released else "uniform"
        pools: dict[str, Layer] = {
            "both": Plain(avg_and_max_over_channels),
            "avg": Plain(ops.avg_pool_over_channels),
            "max": Plain(ops.max_pool_over_channels),
            "conv": Conv(f"{name}.spatial", channels, 1, 1, weight="pool", start=start),
        }
        maps = 2 if self.spatial_pooling == "both" else 1
        conv = Conv(f"{name}.spatial", maps, 1, k, weight="kernel", start=start)
        norm = (BatchNorm(f"{name}.spatial.bn", 1, momentum=0.01, gamma=0.0),) if released else ()
        return Chain((pools[self.spatial_pooling], conv, *norm, Plain(ops.sigmoid)))


@dataclass(frozen=True)
class MapOf(Bare):
    """One of the block's own maps as a layer: a function of features and a dict of parameters."""

    name: str
    op: Callable[[Array, Params], tuple[Array, Backward]]
    shapes: Mapping[str, tuple[int, ...]]

    def first_params(self, seed: int) -> Params:
        """Weights from `uniform`, biases 0."""
        names = {f"{self.name}.{key}": shape for key, shape in self.shapes.items()}
        return {
            name: uniform(shape, seed, name) if len(shape) > 1 else np.zeros(shape) for name, shape in names.items()
        }

    def __call__(self, f: Array, net: Arrays) -> tuple[Array, LayerBackward]:
        """See `Layer`."""
        m, op_backward = self.op(f, {key: net.params[f"{self.name}.{key}"] for key in self.shapes})

        def backward(d_m: Array) -> tuple[Array, Params]:
            d_f, grads = op_backward(d_m)
            return d_f, {f"{self.name}.{key}": d for key, d in grads.items()}

        return m, backward


@dataclass(frozen=True)
class Gated:
    """Features gated by a map of themselves, formulas (7) and (11): m(F) ⊗ F. The map can be read in `net.maps`."""

    block: str
    kind: str
    map: Layer

    def first_params(self, seed: int) -> Params:
        """Those of the map."""
        return self.map.first_params(seed)

    def first_buffers(self) -> Params:
        """Those of the map."""
        return self.map.first_buffers()

    def read(self, f: Array, net: Arrays) -> tuple[Array, LayerBackward]:
        """The map alone."""
        m, map_backward = self.map(f, net)
        net.maps.setdefault(self.block, {})[self.kind] = m
        return m, map_backward

    def __call__(self, f: Array, net: Arrays) -> tuple[Array, LayerBackward]:
        """See `Layer`."""
        m, map_backward = self.read(f, net)
        out, gate_backward = ops.gate(m, f)

        def backward(d_out: Array) -> tuple[Array, Params]:
            d_m, d_f_direct = gate_backward(d_out)
            d_f_map, grads = map_backward(d_m)
            return d_f_direct + d_f_map, grads

        return out, backward


@dataclass(frozen=True)
class Fused(Bare):
    """Both halves by the compiled loops of `cbam_np.fused`: the same parameters, maps and gradients."""

    block: str
    channel: Gated
    spatial: Gated

    def first_params(self, seed: int) -> Params:
        """Those of both maps."""
        return self.channel.first_params(seed) | self.spatial.first_params(seed)

    def __call__(self, f: Array, net: Arrays) -> tuple[Array, LayerBackward]:
        """See `Layer`."""
        name = f"{self.block}.cbam"
        params = {key: net.params[f"{name}.{key}"] for key in ("channel.w1", "channel.w2", "spatial.kernel")}
        f2, op_backward = import_module("cbam_np.fused").cbam(f, params, maps=net.maps.setdefault(self.block, {}))

        def backward(d_f2: Array) -> tuple[Array, Params]:
            d_f, grads = op_backward(d_f2)
            return d_f, {f"{name}.{key}": d for key, d in grads.items()}

        return f2, backward


@dataclass(frozen=True)
class Parallel:
    """Features gated by two maps of themselves at once: M_s(F) ⊗ M_c(F) ⊗ F."""

    channel: Gated
    spatial: Gated

    def first_params(self, seed: int) -> Params:
        """Those of both maps."""
        return self.channel.first_params(seed) | self.spatial.first_params(seed)

    def first_buffers(self) -> Params:
        """Those of both maps."""
        return self.channel.first_buffers() | self.spatial.first_buffers()

    def __call__(self, f: Array, net: Arrays) -> tuple[Array, LayerBackward]:
        """See `Layer`."""
        m_c, channel_backward = self.channel.read(f, net)
        m_s, spatial_backward = self.spatial.read(f, net)
        f1, gate_c_backward = ops.gate(m_c, f)
        f2, gate_s_backward = ops.gate(m_s, f1)

        def backward(d_f2: Array) -> tuple[Array, Params]:
            d_m_s, d_f1 = gate_s_backward(d_f2)
            d_m_c, d_f_directs = gate_c_backward(d_f1)
            d_f_spatial, spatial_grads = spatial_backward(d_m_s)
            d_f_channel, channel_grads = channel_backward(d_m_c)
            return d_f_directs + d_f_spatial + d_f_channel, channel_grads | spatial_grads

        return f2, backward


def channel_map_of_one(
    pool: Callable[[Array], tuple[Array, Backward]], f: Array, params: Params
) -> tuple[Array, Backward]:
    """Formula (6) with one of its two vectors, σ(MLP(pool(F))): with the average it is SE. As `channel_map` else."""
    pooled, pool_backward = pool(f)
    z, mlp_backward = ops.mlp(pooled, *(params.get(key) for key in CHANNEL))
    gates, sigmoid_backward = ops.sigmoid(z)

    def backward(d_m_c: Array) -> tuple[Array, Params]:
        d_pooled, *d_weights = mlp_backward(sigmoid_backward(d_m_c[:, :, 0, 0]))
        return pool_backward(d_pooled), {key: d for key, d in zip(CHANNEL, d_weights, strict=True) if d is not None}

    return gates[:, :, None, None], backward


def avg_and_max_over_channels(f1: Array) -> tuple[Array, Backward]:
    """[F^s_avg; F^s_max], formulas (8) and (9), what the convolution of (10) sees: (N, C, H, W) -> (N, 2, H, W)."""
    avg_s, avg_backward = ops.avg_pool_over_channels(f1)
    max_s, max_backward = ops.max_pool_over_channels(f1)
    pooled, concat_backward = ops.concat(avg_s, max_s)

    def backward(d_pooled: Array) -> Any:
        d_avg_s, d_max_s = concat_backward(d_pooled)
        return avg_backward(d_avg_s) + max_backward(d_max_s)

    return pooled, backward
