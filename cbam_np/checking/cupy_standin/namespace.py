"""The stand-in's module `cupy`: every public name that the manifest lists, and no other."""

from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from cbam_np.checking.cupy_standin.device_array import (
    UFUNCS,
    Device,
    Scalar,
    StandinError,
    Ufunc,
    check_places,
    lower,
    ndarray,
    poisoned,
    quietly,
    raise_device,
    syncs,
    uploads,
)
from cbam_np.checking.cupy_standin.manifest import MANIFEST, checked, unknown_to_the_standin

# fmt: off
SAME_FUNCTIONS = {
    "cupy": (
        "all", "allclose", "amax", "amin", "any", "arange", "argmax", "argmin", "argsort", "around", "array_equal",
        "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "broadcast_to", "can_cast", "column_stack",
        "concat", "concatenate", "copy", "count_nonzero", "cross", "cumprod", "cumsum", "diag", "diagonal", "diff",
        "dot", "dstack", "einsum", "expand_dims", "eye", "flip", "fliplr", "flipud", "full", "full_like", "hstack",
        "identity", "inner", "isclose", "isscalar", "kron", "linspace", "max", "mean", "meshgrid", "min", "moveaxis",
        "ndim", "ones", "ones_like", "outer", "pad", "permute_dims", "prod", "ravel", "repeat", "reshape",
        "result_type", "roll", "rot90", "round", "shape", "size", "sort", "split", "squeeze", "stack", "std", "sum",
        "swapaxes", "tensordot", "tile", "trace", "transpose", "tri", "tril", "triu", "var", "vdot", "vstack", "zeros",
        "zeros_like", "matrix_transpose",
    ),
    "cupy.linalg": ("norm",),
    "cupy.lib.stride_tricks": ("as_strided", "sliding_window_view"),
}
# fmt: on
ON_ARRAYS = {"a", "arr", "array", "m", "x", "x1"}  # first parameters that mean a device array


def _same_as_numpy(name: str, parameters: str | None, twin: Callable[..., Any]) -> Callable[..., Any]:
    """NumPy's function on the arrays under the device arrays."""
    of_an_array = parameters is not None and parameters.split(",")[0].split("=")[0] in ON_ARRAYS

    def function(*args: Any, **kwargs: Any) -> Any:
        if of_an_array and isinstance(args[0], np.ndarray):
            raise StandinError(f"{name} of a NumPy array: where CuPy doesn't refuse it, it computes on the host")
        if of_an_array and isinstance(args[0], list | tuple):
            raise AttributeError(f"{type(args[0]).__name__!r} object has no attribute {name!r}")
        return raise_device(quietly(twin, *lower(args), **{key: lower(value) for key, value in kwargs.items()}))

    return function


# Functions that are not just NumPy's


def array(obj: Any, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
    return asarray(obj, dtype, **kwargs).copy()


def asarray(a: Any, dtype: Any = None, order: Any = None, **kwargs: Any) -> Any:
    if isinstance(a, ndarray):
        return a if dtype in (None, a.dtype) else raise_device(a._host.astype(dtype))
    if isinstance(a, list | tuple) and any(isinstance(part, ndarray) for part in a):
        return raise_device(np.asarray(lower(a), dtype))
    uploads.append("asarray")
    return raise_device(np.array(a, dtype))


def asnumpy(a: Any, *args: Any, **kwargs: Any) -> Any:
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def ascontiguousarray(a: Any, dtype: Any = None) -> Any:
    return raise_device(np.ascontiguousarray(asarray(a, dtype)._host))


def astype(x: Any, dtype: Any, /, *, copy: bool = True) -> Any:
    return x.astype(dtype, copy=copy)


def empty(shape: Any, dtype: Any = float, order: str = "C") -> Any:
    return raise_device(poisoned(shape, dtype))


def empty_like(prototype: Any, dtype: Any = None, *args: Any, shape: Any = None, **kwargs: Any) -> Any:
    return empty(prototype.shape if shape is None else shape, dtype or prototype.dtype)


def clip(a: Any, a_min: Any, a_max: Any, out: Any = None) -> Any:
    return a.clip(a_min, a_max, out)


def matmul(*args: Any, out: Any = None, **kwargs: Any) -> Any:
    if not all(isinstance(x, ndarray) for x in args):
        raise TypeError(f"matmul takes CuPy arrays, got {[type(x).__name__ for x in args]}")
    return raise_device(quietly(np.matmul, *lower(args), out=lower(out), **kwargs))


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None and y is None:
        return nonzero(condition)
    for operand in (condition, x, y):
        if not isinstance(operand, ndarray | Scalar):
            raise TypeError(f"Unsupported type {type(operand)}: where takes CuPy arrays and scalars")
    return raise_device(np.where(*lower((condition, x, y))))


def nonzero(a: Any) -> Any:
    return a.nonzero()


def argwhere(a: Any) -> Any:
    return raise_device(np.argwhere(a._wait("argwhere")))


def flatnonzero(a: Any) -> Any:
    return raise_device(np.flatnonzero(a._wait("flatnonzero")))


def unique(ar: Any, *args: Any, **kwargs: Any) -> Any:
    return raise_device(np.unique(ar._wait("unique"), *args, **kwargs))


def take(a: Any, indices: Any, axis: int | None = None, out: Any = None) -> Any:
    return a.take(indices, axis, out)


def take_along_axis(a: Any, indices: Any, axis: int) -> Any:
    check_places(a.shape, lambda places: np.take_along_axis(places, lower(indices), axis), write=False)
    return raise_device(np.take_along_axis(a._host, lower(indices), axis))


def put_along_axis(arr: Any, indices: Any, values: Any, axis: int) -> None:
    check_places(arr.shape, lambda places: np.take_along_axis(places, lower(indices), axis), write=True)
    np.put_along_axis(arr._host, lower(indices), lower(values), axis)


def copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = None) -> None:
    if isinstance(src, np.ndarray) and src.ndim > 0:
        raise ValueError("non-scalar numpy.ndarray cannot be used for copyto")
    np.copyto(dst._host, lower(src), casting, True if where is None else lower(where))


def get_array_module(*args: Any) -> ModuleType:
    return MODULES["cupy"] if any(isinstance(x, ndarray) for x in args) else np


OWN: dict[str, Any] = {
    function.__name__: function
    for function in (
        *(array, asarray, asnumpy, ascontiguousarray, astype, empty, empty_like, clip, matmul, where, nonzero),
        *(argwhere, flatnonzero, unique, take, take_along_axis, put_along_axis, copyto, get_array_module),
    )
}


def _cuda() -> dict[str, ModuleType]:
    cuda: Any = ModuleType("cupy.cuda")
    device: Any = ModuleType("cupy.cuda.device")
    cuda.Device = device.Device = Device
    cuda.is_available = lambda: True
    cuda.runtime = SimpleNamespace(getDeviceCount=lambda: 1, CUDARuntimeError=RuntimeError)
    cuda.get_current_stream = lambda: SimpleNamespace(synchronize=lambda: syncs.append("synchronize"))
    return {"cupy.cuda": cuda, "cupy.cuda.device": device}


def _contents(module: str, twin: Any) -> Iterator[tuple[str, Any]]:
    """Every name that the manifest lists for `module`; `twin` is NumPy's module of that name."""
    for name, entry in MANIFEST[module].items():
        if isinstance(entry, dict):
            yield name, UFUNCS[name]
        elif entry == "numpy":
            yield name, getattr(twin, name)
        elif module == "cupy" and name in OWN:
            yield name, checked(name, entry, OWN[name])
        elif name in SAME_FUNCTIONS.get(module, ()):
            yield name, checked(name, entry, _same_as_numpy(name, entry, getattr(twin, name)))
        else:
            yield name, unknown_to_the_standin(f"{module}.{name}")


def _modules() -> dict[str, ModuleType]:
    """sys.modules' part: "cupy", "cupy.linalg", ..., each hung into its parent."""
    modules: dict[str, ModuleType] = {**_cuda(), "cupy.lib": ModuleType("cupy.lib")}
    twins = {
        "cupy": np,
        "cupy.linalg": np.linalg,
        "cupy.fft": np.fft,
        "cupy.random": np.random,
        "cupy.lib.stride_tricks": np.lib.stride_tricks,
    }
    for name, twin in twins.items():
        modules[name] = ModuleType(name, "Stands for CuPy in tests: NumPy arithmetic behind CuPy's door.")
        vars(modules[name]).update(_contents(name, twin))
    vars(modules["cupy"]).update(ndarray=ndarray, ufunc=Ufunc, __version__=f"{MANIFEST['version']}+standin")
    for name in sorted(modules, key=len):
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, modules[name])
    return modules


MODULES = _modules()
