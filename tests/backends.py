"""The array libraries that every operation runs on, and what is compared on each of them.

The operations are those of `reference.operations`.
The fixture `backend` (conftest.py) gives a test each library in turn.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from inspect import signature
from types import MappingProxyType
from typing import Any, NamedTuple

import array_api_compat as compat
import numpy as np

import cbam_np as cb
from cbam_np.arrays import library_name, to_numpy, usable_cupy
from cbam_np.checking import cupy_standin
from cbam_np.reference.operations import OPERATIONS, Operation, converted, leaves

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


class Case(NamedTuple):
    """A row of the table, and how to call it: with what options more, and whether maxima tie."""

    row: Operation
    options: Mapping[str, Any] = MappingProxyType({})
    tied: bool = False


def cases() -> Iterator[tuple[str, Case]]:
    """Every row, and what has a choice at ties also with tied maxima, both ways."""
    for row in OPERATIONS:
        yield row.name, Case(row)
        if "ties" in signature(row.op()).parameters:
            for ties in ("first", "split"):
                yield f"{row.name}, ties {ties}", Case(row, {"ties": ties}, tied=True)


CASES = dict(cases())


# The comparison


def run(case: Case, array: Callable[[np.ndarray], Any], package: Any = cb) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs, and output and gradients, of a case: the same numbers for every library. The gradient comes twice."""
    inputs = converted(case.row.sample((2, 6, 5, 4), tied=case.tied), array)
    cupy_standin.syncs.clear()
    cupy_standin.uploads.clear()
    out, backward = case.row.op(package)(**inputs, **case.options)
    before = [*cupy_standin.syncs, *cupy_standin.uploads]
    d_out = array(np.random.default_rng(1).standard_normal(out.shape))
    cupy_standin.uploads.clear()
    result = {"out": out, "gradients": backward(d_out), "once more": backward(d_out)}
    transfers = before + cupy_standin.syncs + cupy_standin.uploads
    assert transfers == [], f"forward or backward moves data between host and device: {transfers}"
    return inputs, result


def compare(case: Case, backend: Backend, package: Any = cb) -> None:
    """Raise AssertionError unless a case gives the same on `backend` as the real package gives on NumPy.

    Same numbers (on NumPy bit for bit), and every result in the library, on the device and
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
        tolerance = {"numpy": 0.0, "cupy-standin": 1e-14}.get(backend.name, 1e-12) * np.abs(reference).max()
        error = np.abs(host - reference).max()
        assert error <= tolerance, f"{place}: differs from NumPy by {error:.1e}"
