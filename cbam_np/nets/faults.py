"""Where a computation went wrong: the first layer whose output is not finite."""

from collections.abc import Generator
from copy import copy

from array_api_compat import array_namespace

from cbam_np.arrays import Array
from cbam_np.nets.attention import Gated
from cbam_np.nets.layers import Arrays, Chain, Layer, Residual
from cbam_np.nets.network import Network


def all_finite(*arrays: Array) -> bool:
    """Whether no entry is NaN or infinite. On a GPU this waits for the device, once.

    Parameters
    ----------
    *arrays : floats of any shape
    """
    xp = array_namespace(*arrays)
    return bool(xp.all(xp.stack([xp.all(xp.isfinite(x)) for x in arrays])))


def first_fault(net: Network, x: Array) -> str:
    """The name of the first layer of `net` whose output for `x` is not finite, or "" if there is none.

    Parameters
    ----------
    net : Network
    x : floats (N, channels, H, W)
    """
    if not all_finite(x):
        return "the input"
    trial = copy(net)
    trial.buffers, trial.maps = dict(net.buffers), {}  # a forward pass moves them
    last = "the input"
    for layer, out in outputs(net.layers, x, trial):
        name = f"{layer.block}, {layer.kind} attention" if isinstance(layer, Gated) else getattr(layer, "name", "")
        if not all_finite(out):
            return name or f"what follows {last}"
        last = name or last
    return ""


def outputs(layer: Layer, x: Array, net: Arrays) -> Generator[tuple[Layer, Array], None, Array]:
    """Every innermost layer in the order of the forward pass, with its output; returns the last of them.

    Parameters
    ----------
    layer : Layer
    x : floats (N, channels, H, W)
    net : Network
    """
    match layer:
        case Chain(layers):
            for inner in layers:
                x = yield from outputs(inner, x, net)
            return x
        case Residual(branch, shortcut):
            yield from outputs(branch, x, net)
            yield from outputs(shortcut, x, net)
    out, _ = layer(x, net)
    yield layer, out
    return out
