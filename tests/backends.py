"""The array libraries that every operation runs on, and what is compared on each of them.

An operation joins by one line in `CASES`. The fixture `backend` (conftest.py) gives a test each library in turn.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple

import array_api_compat as compat
import numpy as np

import cbam_np as cb
from cbam_np.arrays import library_name, to_numpy, usable_cupy
from cbam_np.checking import cupy_standin

# The libraries


class Backend(NamedTuple):
    """`library` is the name that `cbam_np.arrays` knows it by; `array` moves a NumPy array to it, `host` back."""

    name: str
    library: str
    array: Callable[[np.ndarray], Any]
    host: Callable[[Any], np.ndarray] = to_numpy


ALWAYS = ("numpy", "array-api-strict", "array-api-strict:device1", "torch", "cupy-standin")
NAMES = (*ALWAYS, "jax", "cupy")


@contextmanager
def opened(name: str) -> Iterator[Backend]:
    """The backend of that name, for the length of a `with`. Raises if it cannot be had."""
    if name == "numpy":
        yield Backend(name, "numpy", np.array)
    elif name.startswith("array-api-strict"):
        import array_api_strict as strict

        # masks and nonzero are optional in the standard: a lazy or compiled library has none
        with strict.ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False):
            device = strict.Device(name.partition(":")[2] or "CPU_DEVICE")
            # np.from_dlpack: only the first of its devices lets np.asarray through
            yield Backend(name, "array_api_strict", lambda x: strict.asarray(x, device=device), np.from_dlpack)
    elif name == "torch":
        import torch

        yield Backend(name, "torch", torch.tensor)
    elif name == "jax":
        with jax_in(64) as jax:
            yield Backend(name, "jax", jax.numpy.asarray)
    elif name == "cupy-standin":
        with cupy_standin.installed() as standin:
            yield Backend(name, "cupy", standin.asarray)
    else:
        yield Backend(name, "cupy", usable_cupy().asarray)


@contextmanager
def jax_in(bits: int) -> Iterator[Any]:
    """JAX with float64 (64) or without (32, which it is unless told otherwise), for the length of a `with`."""
    jax: Any = import_module("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", bits == 64)
    try:
        yield jax
    finally:
        jax.config.update("jax_enable_x64", before)


@cache
def why_not_cupy() -> str | None:
    """The reason that CuPy cannot be used here; None if it can."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy warns that it finds no CUDA
        try:
            usable_cupy()
        except RuntimeError as error:
            return str(error)
    return None


def required() -> set[str]:
    """Backends that must not be skipped, from the environment variable CBAM_NP_REQUIRE: "cupy", "cupy,jax"."""
    names = {name.strip() for name in os.environ.get("CBAM_NP_REQUIRE", "").split(",")} - {""}
    if not names <= set(NAMES):
        raise ValueError(f"CBAM_NP_REQUIRE: expected names among {', '.join(NAMES)}, got {', '.join(sorted(names))}")
    return names


# The operations


Shapes = dict[str, Any]  # name of the argument -> shape, or a dict of such for `params`


class Case(NamedTuple):
    """op: where the operation is in the package. tied: the features are small integers, so that maxima tie."""

    op: str
    shapes: Shapes
    options: Mapping[str, Any] = MappingProxyType({})
    tied: bool = False


F = (2, 6, 5, 4)
CHANNEL = {"channel.w1": (3, 6), "channel.w2": (6, 3)}
SPATIAL = {"spatial.kernel": (1, 2, 7, 7)}
BIASES = {"channel.b1": (3,), "channel.b2": (6,), "spatial.bias": (1,)}
SPLIT = {"ties": "split"}

CASES = {
    "relu": Case("ops.relu", {"z": (3, 4)}),
    "sigmoid": Case("ops.sigmoid", {"z": (3, 4)}),
    "avg_pool_over_space": Case("ops.avg_pool_over_space", {"f": F}),
    "max_pool_over_space": Case("ops.max_pool_over_space", {"f": F}),
    "max_pool_over_space, ties first": Case("ops.max_pool_over_space", {"f": F}, tied=True),
    "max_pool_over_space, ties split": Case("ops.max_pool_over_space", {"f": F}, SPLIT, tied=True),
    "avg_pool_over_channels": Case("ops.avg_pool_over_channels", {"f1": F}),
    "max_pool_over_channels": Case("ops.max_pool_over_channels", {"f1": F}),
    "max_pool_over_channels, ties first": Case("ops.max_pool_over_channels", {"f1": F}, tied=True),
    "max_pool_over_channels, ties split": Case("ops.max_pool_over_channels", {"f1": F}, SPLIT, tied=True),
    "mlp": Case("ops.mlp", {"x": (2, 6), "w1": (3, 6), "w2": (6, 3)}),
    "mlp, biases": Case("ops.mlp", {"x": (2, 6), "w1": (3, 6), "w2": (6, 3), "b1": (3,), "b2": (6,)}),
    "shared_mlp": Case("ops.shared_mlp", {"avg_c": (2, 6), "max_c": (2, 6), "w1": (3, 6), "w2": (6, 3)}),
    "gate, channels": Case("ops.gate", {"m": (2, 6, 1, 1), "f": F}),
    "gate, pixels": Case("ops.gate", {"m": (2, 1, 5, 4), "f": F}),
    "concat": Case("ops.concat", {"a": F, "b": (2, 3, 5, 4)}),
    "im2col": Case("ops.im2col", {"x": F}, {"k": 3, "stride": 2, "padding": 1}),
    "col2im": Case("ops.col2im", {"columns": (2, 54, 6)}, {"size": (5, 4), "k": 3, "stride": 2, "padding": 1}),
    "conv2d": Case("ops.conv2d", {"x": (2, 2, 5, 4), "kernel": (1, 2, 7, 7)}),
    "conv2d, stride 2": Case("ops.conv2d", {"x": F, "kernel": (4, 6, 3, 3), "bias": (4,)}, {"stride": 2, "padding": 0}),
    "conv2d, stride 3": Case("ops.conv2d", {"x": (2, 2, 9, 8), "kernel": (3, 2, 5, 5)}, {"stride": 3}),
    "channel_map": Case("channel_map", {"f": F, "params": CHANNEL}),
    "channel_attention": Case("channel_attention", {"f": F, "params": CHANNEL}),
    "spatial_map": Case("spatial_map", {"f1": F, "params": SPATIAL}),
    "spatial_attention": Case("spatial_attention", {"f1": F, "params": SPATIAL}),
    "cbam": Case("cbam", {"f": F, "params": CHANNEL | SPATIAL}),
    "cbam, biases": Case("cbam", {"f": F, "params": CHANNEL | SPATIAL | BIASES}),
    "cbam, ties first": Case("cbam", {"f": F, "params": CHANNEL | SPATIAL}, tied=True),
    "cbam, ties split": Case("cbam", {"f": F, "params": CHANNEL | SPATIAL}, SPLIT, tied=True),
}


# The comparison


def leaves(tree: Any) -> Iterator[tuple[str, Any]]:
    """Every array in dicts and tuples, with its place; None, which stands for no gradient, included."""
    if isinstance(tree, dict | tuple | list):
        for key, part in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from ((f"[{key!r}]{place}", leaf) for place, leaf in leaves(part))
    else:
        yield "", tree


def draw(shapes: Shapes, rng: np.random.Generator, array: Callable[[np.ndarray], Any], tied: bool) -> dict[str, Any]:
    def numbers(shape: tuple[int, ...]) -> np.ndarray:
        return rng.integers(-2, 3, shape).astype(float) if tied else rng.standard_normal(shape)

    return {
        name: draw(shape, rng, array, tied=False) if isinstance(shape, dict) else array(numbers(shape))
        for name, shape in shapes.items()
    }


def run(case: Case, array: Callable[[np.ndarray], Any], package: Any = cb) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs, and output and gradients, of a case: the same numbers for every library. The gradient comes twice."""
    rng = np.random.default_rng(0)
    inputs = draw(case.shapes, rng, array, case.tied)
    cupy_standin.syncs.clear()
    cupy_standin.uploads.clear()
    out, backward = attrgetter(case.op)(package)(**inputs, **case.options)
    before = [*cupy_standin.syncs, *cupy_standin.uploads]
    d_out = array(rng.standard_normal(out.shape))
    cupy_standin.uploads.clear()
    result = {"out": out, "gradients": backward(d_out), "once more": backward(d_out)}
    transfers = before + cupy_standin.syncs + cupy_standin.uploads
    assert transfers == [], f"forward or backward moves data between host and device: {transfers}"
    return inputs, result


def compare(case: Case, backend: Backend, package: Any = cb) -> None:
    """Raise AssertionError unless a case gives the same on `backend` as the real package gives on NumPy.

    Same numbers (bit for bit where NumPy does the arithmetic), and every result in the library, on the device and
    of the dtype of the inputs.
    """
    _, expected = run(case, np.array)
    inputs, result = run(case, backend.array, package)
    home = next(leaf for _, leaf in leaves(inputs))
    for (place, leaf), (_, reference) in zip(leaves(result), leaves(expected), strict=True):
        if reference is None:
            assert leaf is None, place
            continue
        assert library_name(leaf) == backend.library, place
        assert compat.device(leaf) == compat.device(home), place
        host = backend.host(leaf)
        assert (host.dtype, host.shape) == (reference.dtype, reference.shape), place
        tolerance = 0 if backend.name in ("numpy", "cupy-standin") else 1e-12 * np.abs(reference).max()
        error = np.abs(host - reference).max()
        assert error <= tolerance, f"{place}: differs from NumPy by {error:.1e}"
