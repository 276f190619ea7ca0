"""Layers: an operation, with the names that its parameters have in the network.

    out, backward = layer(x, net)        d_x, grads = backward(d_out)

That is the protocol of the operations, with a dict for the gradients of parameters, as in `cbam_np.cbam`. A layer holds
no arrays, so it cannot get out of step with them: parameters and buffers are the network's (`net`), by name. What
forward knows and backward needs is in the closure that comes back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, Protocol, TypeAlias

import numpy as np
from array_api_compat import array_namespace

from cbam_np import ops
from cbam_np.arrays import Array, Backward, Params
from cbam_np.nets.on_numpy import add, batch_norm, conv2d, relu

LayerBackward: TypeAlias = Callable[[Array], tuple[Array, Params]]  # d_out -> d_x, gradients of parameters by name
Start: TypeAlias = Literal["he", "uniform"]


class Arrays(Protocol):
    """What a layer sees of the network it is in."""

    params: Params
    buffers: Params
    maps: dict[str, Params]
    training: bool


class Layer(Protocol):
    """Anything that can be called like this, and knows its first parameters and buffers, float64 on NumPy."""

    def __call__(self, x: Array, net: Arrays, /) -> tuple[Array, LayerBackward]:
        """Forward; and backward, which may be called more than once."""

    def first_params(self, seed: int) -> Params:
        """Parameters by name, as training starts with them.

        Parameters
        ----------
        seed : int
        """

    def first_buffers(self) -> Params:
        """What is neither trained nor input: running means and variances."""


class Bare:
    """A layer without parameters and buffers, to begin with."""

    def first_params(self, seed: int) -> Params:
        """None."""
        return {}

    def first_buffers(self) -> Params:
        """None."""
        return {}


def random_numbers(seed: int, name: str) -> np.random.Generator:
    """A generator for one parameter, which starts alike whatever other layers there are."""
    return np.random.default_rng([seed, *name.encode()])


def uniform(shape: Sequence[int], seed: int, name: str) -> np.ndarray:
    """Uniform in ±1/√fan_in, PyTorch's default for linear layers; fan_in is the number of inputs of one output.

    Parameters
    ----------
    shape : sequence of ints
        Inputs from the second axis on.
    seed : int
    name : str
        Of the parameter; each has its own numbers.
    """
    bound = prod(shape[1:]) ** -0.5
    return random_numbers(seed, name).uniform(-bound, bound, shape)


def he(shape: Sequence[int], seed: int, name: str) -> np.ndarray:
    """Normal with variance 2 / fan_out, fan_out = O·k² for a kernel (O, C, k, k).

    Going back through a convolution of stride 1 each d_x adds up O·k² products, half of which a ReLU has switched off:
    with this variance gradients keep their size from layer to layer. Source: He, Zhang, Ren, Sun, "Delving Deep into
    Rectifiers", ICCV 2015, section 2.2.

    Parameters
    ----------
    shape : (O, C, k, k)
    seed : int
    name : str
        Of the parameter; each has its own numbers.
    """
    fan_out = shape[0] * prod(shape[2:])
    return random_numbers(seed, name).normal(0.0, (2 / fan_out) ** 0.5, shape)


@dataclass(frozen=True)
class Plain(Bare):
    """An operation of one input without parameters: ReLU, a pooling, the sigmoid."""

    op: Callable[[Array], tuple[Array, Backward]]

    def __call__(self, x: Array, net: Arrays) -> tuple[Array, LayerBackward]:
        """See `Layer`."""
        out, op_backward = self.op(x)
        return out, lambda d_out: (op_backward(d_out), {})


@dataclass(frozen=True)
class Conv(Bare):
    """A convolution that keeps H and W at stride 1. Starts from `he` or `uniform`, the bias from 0."""

    name: str
    channels: int
    out_channels: int
    k: int
    stride: int = 1
    bias: bool = False
    weight: str = "weight"  # what the kernel is called
    start: Start = "he"

    def first_params(self, seed: int) -> Params:
        """The kernel (O, C, k, k), and a bias (O,) if there is one."""
        name = f"{self.name}.{self.weight}"
        shape = (self.out_channels, self.channels, self.k, self.k)
        kernel = he(shape, seed, name) if self.start == "he" else uniform(shape, seed, name)
        return {name: kernel} | ({f"{self.name}.bias": np.zeros(self.out_channels)} if self.bias else {})

    def __call__(self, x: Array, net: Arrays) -> tuple[Array, LayerBackward]:
        """See `Layer`."""
        names = f"{self.name}.{self.weight}", f"{self.name}.bias"
        out, conv_backward = conv2d(x, net.params[names[0]], net.params.get(names[1]), self.stride)

        def backward(d_out: Array) -> tuple[Array, Params]:
            d_x, *d_params = conv_backward(d_out)
            return d_x, {name: d for name, d in zip(names, d_params, strict=True) if d is not None}

        return out, backward


@dataclass(frozen=True)
class BatchNorm(Bare):
    """Batch norm. In training it also keeps running averages of mean and variance, for evaluation.

    running = (1 - momentum) · running + momentum · batch, the variance with M - 1 for M, as in PyTorch.
    """

    name: str
    channels: int
    momentum: float = 0.1
    gamma: float = 1.0  # at the start

    def first_params(self, seed: int) -> Params:
        """γ and β, which PyTorch calls weight and bias."""
        return {
            f"{self.name}.weight": np.full(self.channels, self.gamma),
            f"{self.name}.bias": np.zeros(self.channels),
        }

    def first_buffers(self) -> Params:
        """Mean 0 and variance 1."""
        return {
            f"{self.name}.running_mean": np.zeros(self.channels),
            f"{self.name}.running_var": np.ones(self.channels),
        }

    def __call__(self, x: Array, net: Arrays) -> tuple[Array, LayerBackward]:
        """See `Layer`. Raises ValueError in training if a channel has a single entry."""
        names = f"{self.name}.weight", f"{self.name}.bias"
        gamma, beta = (net.params[name] for name in names)
        if net.training:
            statistics: Params = {}
            out, norm_backward = batch_norm(x, gamma, beta, statistics)
            self._remember(statistics, x, net.buffers)
        else:
            running = (net.buffers[f"{self.name}.{key}"] for key in ("running_mean", "running_var"))
            out, norm_backward = ops.batch_norm_evaluation(x, gamma, beta, *running)

        def backward(d_out: Array) -> tuple[Array, Params]:
            d_x, *d_params = norm_backward(d_out)
            return d_x, dict(zip(names, d_params, strict=False))

        return out, backward

    def _remember(self, statistics: Params, x: Array, buffers: Params) -> None:
        M = x.shape[0] * x.shape[2] * x.shape[3]
        if M == 1:
            raise ValueError(
                f"x: expected more than one sample in training, got {x.shape[0]}: at {self.name} the feature map has "
                "one pixel, and one number has no variance; use larger batches or images, or net.eval()"
            )
        batch = {"running_mean": statistics["mean"], "running_var": statistics["variance"] * (M / max(M - 1, 1))}
        for key, value in batch.items():
            name = f"{self.name}.{key}"
            if M:
                buffers[name] = (1 - self.momentum) * buffers[name] + self.momentum * value


@dataclass(frozen=True)
class Linear(Bare):
    """A linear layer with bias. Starts from `uniform`, the bias from 0."""

    name: str
    channels: int
    out_channels: int

    def first_params(self, seed: int) -> Params:
        """The weight (O, C) and the bias (O,)."""
        name = f"{self.name}.weight"
        weight = uniform((self.out_channels, self.channels), seed, name)
        return {name: weight, f"{self.name}.bias": np.zeros(self.out_channels)}

    def __call__(self, x: Array, net: Arrays) -> tuple[Array, LayerBackward]:
        """See `Layer`."""
        names = f"{self.name}.weight", f"{self.name}.bias"
        out, linear_backward = ops.linear(x, *(net.params[name] for name in names))

        def backward(d_out: Array) -> tuple[Array, Params]:
            d_x, *d_params = linear_backward(d_out)
            return d_x, dict(zip(names, d_params, strict=True))

        return out, backward


@dataclass(frozen=True)
class Chain:
    """Layers one after the other. The chain of none is the identity, a residual block's plain shortcut.

    Parameters
    ----------
    layers : tuple of layers
    """

    layers: tuple[Layer, ...]

    def first_params(self, seed: int) -> Params:
        """Those of all layers.

        Parameters
        ----------
        seed : int
        """
        return {name: value for layer in self.layers for name, value in layer.first_params(seed).items()}

    def first_buffers(self) -> Params:
        """Those of all layers."""
        return {name: value for layer in self.layers for name, value in layer.first_buffers().items()}

    def __call__(self, x: Array, net: Arrays) -> tuple[Array, LayerBackward]:
        """See `Layer`."""
        backwards: list[LayerBackward] = []
        for layer in self.layers:
            x, layer_backward = layer(x, net)
            backwards.append(layer_backward)

        def backward(d_out: Array) -> tuple[Array, Params]:
            grads: Params = {}
            for layer_backward in reversed(backwards):
                d_out, layer_grads = layer_backward(d_out)
                grads |= layer_grads
            return d_out, grads

        return x, backward


@dataclass(frozen=True)
class Residual:
    """A residual block: out = ReLU(branch(x) + shortcut(x)).

    Parameters
    ----------
    branch, shortcut : Chain
    """

    branch: Chain
    shortcut: Chain

    def first_params(self, seed: int) -> Params:
        """Those of the branch, then those of the shortcut.

        Parameters
        ----------
        seed : int
        """
        return self.branch.first_params(seed) | self.shortcut.first_params(seed)

    def first_buffers(self) -> Params:
        """Those of the branch, then those of the shortcut."""
        return self.branch.first_buffers() | self.shortcut.first_buffers()

    def __call__(self, x: Array, net: Arrays) -> tuple[Array, LayerBackward]:
        """See `Layer`."""
        f, branch_backward = self.branch(x, net)
        s, shortcut_backward = self.shortcut(x, net)
        z, add_backward = add(f, s)
        out, relu_backward = relu(z)

        def backward(d_out: Array) -> tuple[Array, Params]:
            d_f, d_s = add_backward(relu_backward(d_out))
            d_x_branch, branch_grads = branch_backward(d_f)
            d_x_shortcut, shortcut_grads = shortcut_backward(d_s)
            return add(d_x_branch, d_x_shortcut)[0], branch_grads | shortcut_grads

        return out, backward


def flatten(x: Array) -> tuple[Array, Backward]:
    """(N, C, H, W) -> (N, C·H·W), an operation. The same numbers, so its gradient is the same numbers too."""
    xp = array_namespace(x)
    return xp.reshape(x, (x.shape[0], prod(x.shape[1:]))), lambda d_out: xp.reshape(d_out, x.shape)
