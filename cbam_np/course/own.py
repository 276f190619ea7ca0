"""The learner's own block in a network."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

from cbam_np.arrays import Array, Params
from cbam_np.attention.block import cbam
from cbam_np.course.own_function import own_function, package_cbam
from cbam_np.nets.attention import Gated
from cbam_np.nets.layers import Arrays, Chain, Layer, LayerBackward, Residual
from cbam_np.nets.network import Network

NAMES = ("channel.w1", "channel.w2", "spatial.kernel")


@dataclass(frozen=True)
class OwnBlock:
    """A layer that calls `function(f, w1, w2, kernel)` where the network had its own channel and spatial attention."""

    block: str
    channel: Gated
    spatial: Gated
    function: Callable[..., Any]

    def first_params(self, seed: int) -> Params:
        """Those of the layers that it replaces."""
        return self.channel.first_params(seed) | self.spatial.first_params(seed)

    def first_buffers(self) -> Params:
        """None."""
        return {}

    def __call__(self, f: Array, net: Arrays) -> tuple[Array, LayerBackward]:
        """See `Layer`. Out of training the maps are computed too, for `net.maps`."""
        names = [f"{self.block}.cbam.{name}" for name in NAMES]
        weights = [net.params[name] for name in names]
        f2, own_backward = self.function(f, *weights)
        if not net.training:
            cbam(f, dict(zip(NAMES, weights, strict=True)), maps=net.maps.setdefault(self.block, {}))

        def backward(d_f2: Array) -> tuple[Array, Params]:
            d_f, *d_weights = own_backward(d_f2)
            return d_f.astype(f.dtype), {name: d.astype(f.dtype) for name, d in zip(names, d_weights, strict=True)}

        return f2.astype(f.dtype), backward


def own_block(net: Network, function: Callable[..., Any] | None = None) -> Network:
    """The network with your `cbam` of my_cbam.py in place of the package's, in every block; same parameters.

    net: NumPy arrays, `attention="cbam"` with the options it comes with. As long as your cbam isn't right, that is
    said, and the network comes back as it is. Another `function(f, w1, w2, kernel)` is put in unjudged, right or wrong.
    """
    function = function or own_function("cbam")
    if function is package_cbam:
        return net
    blocks: list[str] = []
    own = copy(net)
    own.layers = _with(net.layers, function, blocks)
    if not blocks:
        raise ValueError(f'net: expected a network with attention="cbam", got {net.description}')
    count = "one place" if len(blocks) == 1 else f"{len(blocks)} places"
    print(f"Your {function.__name__} is in {count}: {', '.join(blocks)}")
    return own


def _with(layer: Layer, function: Callable[..., Any], blocks: list[str]) -> Layer:
    """The layer with own blocks in it, wherever a spatial attention follows a channel attention."""
    if isinstance(layer, Residual):
        branch, shortcut = (_with(part, function, blocks) for part in (layer.branch, layer.shortcut))
        assert isinstance(branch, Chain)
        assert isinstance(shortcut, Chain)
        return replace(layer, branch=branch, shortcut=shortcut)
    if not isinstance(layer, Chain):
        return layer
    layers: list[Layer] = []
    for part in layer.layers:
        before = layers[-1] if layers else None
        if (
            isinstance(part, Gated)
            and part.kind == "spatial"
            and isinstance(before, Gated)
            and before.kind == "channel"
        ):
            layers[-1] = OwnBlock(part.block, before, part, function)
            blocks.append(part.block)
        else:
            layers.append(_with(part, function, blocks))
    return Chain(tuple(layers))
