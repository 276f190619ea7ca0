"""A network: layers, and the arrays they work with."""

from copy import copy
from math import prod
from types import ModuleType
from typing import Any

import array_api_compat as compat
import numpy as np

from cbam_np.arrays import Array, Backward, Params, asarray, describe, dtype_name, library_name
from cbam_np.inputs import check_channels, check_integer, check_nchw, check_shape, checked, namespace
from cbam_np.nets.layers import Layer


def _input(net: "Network", x: Array, /) -> None:
    name, param = next(iter(net.params.items()))
    namespace(x=x, **{name: param})
    check_nchw("x", x)
    check_channels("x", x, net.channels, "as the network was made for")
    if net.size is not None:
        check_shape("x", x, (x.shape[0], net.channels, net.size, net.size))


class Network:
    """What `resnet` and `vgg` return; used like the block `cbam_np.CBAM`, with arrays of any library.

        logits = net(x)               # (N, channels, H, W) -> whatever its head gives
        d_x = net.backward(d_logits)  # fills net.grads

    A new network is in training, as in PyTorch.

    Parameters
    ----------
    layers : Layer
        The whole network, a chain.
    description : str
        What it is, in `repr`.
    channels : int
        Of the images.
    size : int, or None
        H = W of the images, if the network takes no other.
    seed : int
        Of the initial weights.
    dtype : "float32" or "float64"

    Attributes
    ----------
    params : dict of arrays
        The trainable ones; an optimiser replaces or changes them in place.
    grads : dict of arrays
        Of the last backward.
    buffers : dict of arrays
        Running means and variances.
    maps : dict of dicts
        Attention maps of the last forward: {block: {"channel": (N, C, 1, 1), "spatial": (N, 1, H, W)}}, what there is
        of them.
    training : bool
        Whether batch norm uses the batch, and moves its running averages.
    """

    def __init__(self, layers: Layer, description: str, channels: int, size: int | None, seed: int, dtype: Any) -> None:
        check_integer("channels", channels, least=1)
        check_integer("seed", seed, least=0)
        if dtype is None or dtype not in map(np.dtype, ("float64", "float32")):
            raise ValueError(f"dtype: expected float64 or float32, got {dtype!r}")
        self.layers, self.description = layers, description
        self.channels, self.size = channels, size
        self.params: Params = {name: value.astype(dtype) for name, value in layers.first_params(seed).items()}
        self.buffers: Params = {name: value.astype(dtype) for name, value in layers.first_buffers().items()}
        self.grads: Params = {}
        self.maps: dict[str, Params] = {}
        self.training = True
        self._backward: Backward | None = None

    @checked(_input)
    def _run(self, x: Array, /) -> tuple[Array, Backward]:
        return self.layers(x, self)

    def forward(self, x: Array) -> Array:
        """The output for x. Raises TypeError or ValueError if x does not fit the network.

        Parameters
        ----------
        x : floats (N, channels, H, W)
        """
        self.maps = {}
        self._backward = None  # what the last forward kept is given back before this one needs memory
        out, self._backward = self._run(x)
        return out

    __call__ = forward

    def backward(self, d_out: Array) -> Array:
        """The gradient of the last forward; fills `grads`. Calling it again gives the same again.

        Parameters
        ----------
        d_out : floats, the shape of the output

        Returns
        -------
        d_x : floats (N, channels, H, W)
        """
        if self._backward is None:
            raise RuntimeError("backward: expected a forward pass before it; call net(x) first")
        d_x, self.grads = self._backward(d_out)
        return d_x

    def train(self) -> "Network":
        """From now on batch norm uses the batch. Returns the network."""
        self.training = True
        return self

    def eval(self) -> "Network":
        """From now on batch norm uses its running averages, and leaves them alone. Returns the network."""
        self.training = False
        return self

    def to(self, library: str | ModuleType) -> "Network":
        """A new network with the same numbers as arrays of another library; see `cbam_np.CBAM.to`.

        Parameters
        ----------
        library : "cupy", "numpy", ..., or an array module
        """
        moved = copy(self)
        moved.params = {name: asarray(value, library) for name, value in self.params.items()}
        moved.buffers = {name: asarray(value, library) for name, value in self.buffers.items()}
        moved.grads, moved.maps, moved._backward = {}, {}, None
        return moved

    def state(self) -> Params:
        """A copy of all parameters and buffers by name: a checkpoint. Names as in PyTorch, where it has the layer."""
        return {
            name: compat.array_namespace(x).asarray(x, copy=True) for name, x in (self.params | self.buffers).items()
        }

    def load_state(self, state: Params) -> None:
        """Take over what `state()` gave, here or on another array library. Copies; in one go, or not at all.

        Raises ValueError if a name or a shape differs, TypeError if a dtype does.

        Parameters
        ----------
        state : dict of arrays
        """
        own = self.params | self.buffers
        missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if missing or unknown:
            raise ValueError(
                f"state: expected the names of this network, got {len(missing)} missing, such as "
                f"{missing[:3]}, and {len(unknown)} unknown, such as {unknown[:3]}"
            )
        new: Params = {}
        for name, x in own.items():
            check_shape(f"state[{name!r}]", state[name], tuple(x.shape))
            if dtype_name(state[name]) != dtype_name(x):
                raise TypeError(
                    f"state[{name!r}]: expected {dtype_name(x)}, got {dtype_name(state[name])}; cast it first"
                )
            value = asarray(state[name], library_name(x))
            new[name] = compat.array_namespace(value).asarray(value, copy=True)
        self.params = {name: new[name] for name in self.params}
        self.buffers = {name: new[name] for name in self.buffers}

    def __repr__(self) -> str:
        count = sum(prod(value.shape) for value in self.params.values())
        return f"{self.description}: {count} parameters, {describe(next(iter(self.params.values())))}"
