"""The one table of operations: the formula each computes, sample inputs, and its counterpart in PyTorch.

Everything that needs all operations reads it: `cbam-np check`, the tests, every array library, the run on a GPU, the
planted mistakes, the site. A new operation is one more row.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from math import prod
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Shape: TypeAlias = tuple[int, ...]
Shapes: TypeAlias = Mapping[str, Any]  # name of an argument -> its shape; for `params` a dict of such
Op: TypeAlias = Callable[..., tuple[Any, Callable[[Any], Any]]]


class Operation(NamedTuple):
    """One row.

    Parameters
    ----------
    name : str
        What reports call it.
    function : str
        Where the operation is in this package; the last part is also its name in `reference.in_pytorch`.
    formula : str
        Its number in the document, "" if it has none.
    shapes : function of N, C, H, W
        Gives the shapes of its arguments, in order, for features of shape (N, C, H, W).
    options : dict
        Other arguments to call it with.
    kinks : bool
        Whether there are places without a derivative, where a maximum changes hands or a ReLU opens.
    positive : tuple of str
        The arguments that have to be.
    """

    name: str
    function: str
    formula: str
    shapes: Callable[[int, int, int, int], Shapes]
    options: Mapping[str, Any] = MappingProxyType({})
    kinks: bool = False
    positive: tuple[str, ...] = ()

    def op(self, package: Any = None) -> Op:
        """The operation with its options.

        Parameters
        ----------
        package : module, optional
            Where to take it from; it may be cbam_np with a mistake planted in it.
        """
        package = package or import_module("cbam_np")
        return partial(attrgetter(self.function)(package), **self.options)

    def in_pytorch(self) -> Callable[..., Any]:
        """The same in PyTorch's functions, forward only. Raises ImportError without PyTorch."""
        module = import_module("cbam_np.reference.in_pytorch")
        return partial(getattr(module, self.function.rsplit(".", maxsplit=1)[-1]), **self.options)

    def sample(self, shape: Shape, seed: int | np.random.Generator = 0, tied: bool = False) -> dict[str, Any]:
        """Random float64 inputs by name.

        Weights are of moderate size: in a gate near 1 PyTorch's σ′ = σ(1 - σ) loses digits, and ours doesn't.

        Parameters
        ----------
        shape : (N, C, H, W)
            Of the features.
        seed : int or NumPy generator
        tied : bool
            The first input is standard normal, or if tied small integers, so that several entries tie for a maximum.
        """
        rng = np.random.default_rng(seed)

        def draw(size: Shape) -> np.ndarray:
            return rng.normal(size=size) / prod(size[1:]) ** 0.5 / 2

        (name, first), *others = self.shapes(*shape).items()
        inputs: dict[str, Any] = {name: rng.integers(-2, 3, first) * 1.0 if tied else rng.normal(size=first)}
        for name, size in others:
            if isinstance(size, Mapping):
                inputs[name] = {key: draw(part) for key, part in size.items()}
            else:
                inputs[name] = abs(draw(size)) + 0.5 if name in self.positive else draw(size)
        return inputs


def _channel(C: int, biases: bool = False) -> dict[str, Shape]:
    hidden = max(C // 2, 1)
    weights: dict[str, Shape] = {"channel.w1": (hidden, C), "channel.w2": (C, hidden)}
    return weights | ({"channel.b1": (hidden,), "channel.b2": (C,)} if biases else {})


def _spatial(bias: bool = False) -> dict[str, Shape]:
    kernel: dict[str, Shape] = {"spatial.kernel": (1, 2, 7, 7)}
    return kernel | ({"spatial.bias": (1,)} if bias else {})


def _mlp(C: int, biases: bool = False) -> dict[str, Shape]:
    """As many hidden units as channels, so that a transposed gradient of a weight has the right shape by mistake."""
    weights: dict[str, Shape] = {"w1": (C, C), "w2": (C, C)}
    return weights | ({"b1": (C,), "b2": (C,)} if biases else {})


def _f(N: int, C: int, H: int, W: int) -> Shapes:
    return {"f": (N, C, H, W)}


def _f1(N: int, C: int, H: int, W: int) -> Shapes:
    return {"f1": (N, C, H, W)}


def _z(N: int, C: int, H: int, W: int) -> Shapes:
    return {"z": (N, C, H, W)}


OPERATIONS: tuple[Operation, ...] = (
    Operation("avg_pool_over_space", "ops.avg_pool_over_space", "(3)", _f),
    Operation("max_pool_over_space", "ops.max_pool_over_space", "(4)", _f, kinks=True),
    Operation("relu", "ops.relu", "(5)", _z, kinks=True),
    Operation("mlp", "ops.mlp", "(5)", lambda N, C, H, W: {"x": (N, C), **_mlp(C)}, kinks=True),
    Operation("mlp, biases", "ops.mlp", "(5)", lambda N, C, H, W: {"x": (N, C), **_mlp(C, True)}, kinks=True),
    Operation(
        "shared_mlp",
        "ops.shared_mlp",
        "(5) (6)",
        lambda N, C, H, W: {"avg_c": (N, C), "max_c": (N, C), **_mlp(C)},
        kinks=True,
    ),
    Operation(
        "shared_mlp, biases",
        "ops.shared_mlp",
        "(5) (6)",
        lambda N, C, H, W: {"avg_c": (N, C), "max_c": (N, C), **_mlp(C, True)},
        kinks=True,
    ),
    Operation("sigmoid", "ops.sigmoid", "(6) (10)", _z),
    Operation(
        "channel_map",
        "channel_map",
        "(3)-(6)",
        lambda N, C, H, W: {"f": (N, C, H, W), "params": _channel(C)},
        kinks=True,
    ),
    Operation("gate by M_c", "ops.gate", "(7)", lambda N, C, H, W: {"m": (N, C, 1, 1), "f": (N, C, H, W)}),
    Operation(
        "channel_attention",
        "channel_attention",
        "(3)-(7)",
        lambda N, C, H, W: {"f": (N, C, H, W), "params": _channel(C)},
        kinks=True,
    ),
    Operation(
        "channel_attention, biases",
        "channel_attention",
        "(3)-(7)",
        lambda N, C, H, W: {"f": (N, C, H, W), "params": _channel(C, True)},
        kinks=True,
    ),
    Operation("avg_pool_over_channels", "ops.avg_pool_over_channels", "(8)", _f1),
    Operation("max_pool_over_channels", "ops.max_pool_over_channels", "(9)", _f1, kinks=True),
    Operation("concat", "ops.concat", "(10)", lambda N, C, H, W: {"a": (N, C, H, W), "b": (N, C + 1, H, W)}),
    Operation(
        "im2col", "ops.im2col", "(10)", lambda N, C, H, W: {"x": (N, C, H, W)}, {"k": 3, "stride": 2, "padding": 1}
    ),
    Operation(
        "col2im",
        "ops.col2im",
        "(10)",
        lambda N, C, H, W: {"columns": (N, 9 * C, 12)},
        {"size": (5, 7), "k": 3, "stride": 2, "padding": 1},
    ),
    Operation("conv2d 7×7", "ops.conv2d", "(10)", lambda N, C, H, W: {"x": (N, C, H, W), "kernel": (1, C, 7, 7)}),
    Operation(
        "conv2d 3×3, bias",
        "ops.conv2d",
        "",
        lambda N, C, H, W: {"x": (N, C, H, W), "kernel": (4, C, 3, 3), "bias": (4,)},
    ),
    Operation(
        "conv2d 3×3, stride 2",
        "ops.conv2d",
        "",
        lambda N, C, H, W: {"x": (N, C, H, W), "kernel": (3, C, 3, 3), "bias": (3,)},
        {"stride": 2},
    ),
    Operation(
        "conv2d 5×5, stride 3",
        "ops.conv2d",
        "",
        lambda N, C, H, W: {"x": (N, C, H, W), "kernel": (3, C, 5, 5)},
        {"stride": 3, "padding": 2},
    ),
    Operation(
        "spatial_map",
        "spatial_map",
        "(8)-(10)",
        lambda N, C, H, W: {"f1": (N, C, H, W), "params": _spatial()},
        kinks=True,
    ),
    Operation("gate by M_s", "ops.gate", "(11)", lambda N, C, H, W: {"m": (N, 1, H, W), "f": (N, C, H, W)}),
    Operation(
        "spatial_attention",
        "spatial_attention",
        "(8)-(11)",
        lambda N, C, H, W: {"f1": (N, C, H, W), "params": _spatial()},
        kinks=True,
    ),
    Operation(
        "spatial_attention, bias",
        "spatial_attention",
        "(8)-(11)",
        lambda N, C, H, W: {"f1": (N, C, H, W), "params": _spatial(True)},
        kinks=True,
    ),
    Operation(
        "cbam",
        "cbam",
        "(1)-(11)",
        lambda N, C, H, W: {"f": (N, C, H, W), "params": _channel(C) | _spatial()},
        kinks=True,
    ),
    Operation(
        "cbam, biases",
        "cbam",
        "(1)-(11)",
        lambda N, C, H, W: {"f": (N, C, H, W), "params": _channel(C, True) | _spatial(True)},
        kinks=True,
    ),
    # what networks are made of besides
    Operation(
        "squeeze_excitation",
        "ops.squeeze_excitation",
        "",
        lambda N, C, H, W: {"f": (N, C, H, W), **_mlp(C)},
        kinks=True,
    ),
    Operation(
        "squeeze_excitation, biases",
        "ops.squeeze_excitation",
        "",
        lambda N, C, H, W: {"f": (N, C, H, W), **_mlp(C, True)},
        kinks=True,
    ),
    Operation(
        "batch_norm", "ops.batch_norm", "", lambda N, C, H, W: {"x": (N, C, H + 2, W), "gamma": (C,), "beta": (C,)}
    ),
    Operation(
        "batch_norm_evaluation",
        "ops.batch_norm_evaluation",
        "",
        lambda N, C, H, W: {"x": (N, C, H, W), **dict.fromkeys(("gamma", "beta", "mean", "variance"), (C,))},
        positive=("variance",),
    ),
    Operation(
        "max_pool2d 3×3, stride 2",
        "ops.max_pool2d",
        "",
        lambda N, C, H, W: {"x": (N, C, H, W)},
        {"k": 3, "stride": 2, "padding": 1},
        kinks=True,
    ),
    Operation(
        "avg_pool2d 3×3, stride 2",
        "ops.avg_pool2d",
        "",
        lambda N, C, H, W: {"x": (N, C, H, W)},
        {"k": 3, "stride": 2, "padding": 1},
    ),
    Operation("add", "ops.add", "", lambda N, C, H, W: {"a": (N, C, H, W), "b": (N, C, H, W)}),
    Operation("linear", "ops.linear", "", lambda N, C, H, W: {"x": (N, C), "w": (C, C)}),
    Operation("linear, bias", "ops.linear", "", lambda N, C, H, W: {"x": (N, C), "w": (C, C), "bias": (C,)}),
    Operation(
        "softmax_cross_entropy",
        "ops.softmax_cross_entropy",
        "",
        lambda N, C, H, W: {"logits": (N, C), "labels": (N, C)},
    ),
    Operation("smooth_l1", "ops.smooth_l1", "", lambda N, C, H, W: {"predictions": (N, 4), "targets": (N, 4)}),
    Operation(
        "binary_cross_entropy",
        "ops.binary_cross_entropy",
        "",
        lambda N, C, H, W: {"logits": (N, H, W), "targets": (N, H, W)},
    ),
)


# Inputs may be dicts of arrays; their leaves are the arrays.


def leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every array in dicts, tuples and lists, with its name: the last key or argument on the way to it.

    Parameters
    ----------
    tree : dicts, tuples and lists, nested
    name : str
        Of the tree itself.
    """
    if isinstance(tree, Mapping):
        for key, part in tree.items():
            yield from leaves(part, str(key))
    elif isinstance(tree, tuple | list):
        for i, part in enumerate(tree):
            yield from leaves(part, f"{name}[{i}]")
    else:
        yield name, tree


def converted(tree: Any, convert: Callable[[Any], Any]) -> Any:
    """`tree` with every array in it converted.

    Parameters
    ----------
    tree : dicts, tuples and lists, nested
    convert : function of an array
    """
    if isinstance(tree, Mapping):
        return {key: converted(part, convert) for key, part in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(converted(part, convert) for part in tree)
    return None if tree is None else convert(tree)
