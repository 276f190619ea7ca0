"""Which library an array belongs to, moving arrays between libraries, and a few functions that no library has.

This package has no "current backend". An operation looks at the array it is given,

    xp = array_namespace(f)

and computes with the functions of that library: NumPy in, NumPy out; CuPy in, CuPy out. The adapter
behind it is array-api-compat, so PyTorch tensors, JAX arrays and array-api-strict work as well.
Only `asarray` and `to_numpy` move arrays between libraries.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from math import prod
from types import ModuleType
from typing import Any, TypeAlias

import array_api_compat as compat
import numpy as np

Array: TypeAlias = Any  # an array of any library: no static type covers them all
Params: TypeAlias = dict[str, Array]  # the named parameters of a block, or their gradients
Backward: TypeAlias = Callable[[Array], Any]  # upstream gradient -> gradients of the inputs


def library_name(x: Array) -> str:
    """The usual name of the library of `x`: "numpy", "cupy", "torch", ...

    Parameters
    ----------
    x : array of any library
    """
    return compat.array_namespace(x).__name__.removeprefix("array_api_compat.").split(".")[0]


def dtype_name(x: Array) -> str:
    """The name of the dtype of `x`, the same in all libraries: "float32", where PyTorch prints "torch.float32".

    Parameters
    ----------
    x : array of any library
    """
    return str(x.dtype).rsplit(".", maxsplit=1)[-1]


def describe(x: Array) -> str:
    """Library, dtype and device of `x` in words: "numpy float32 on cpu".

    Parameters
    ----------
    x : array of any library
    """
    return f"{library_name(x)} {dtype_name(x)} on {compat.device(x)}"


def real(x: Array) -> Array:
    """The real part; `x` itself if it is real. Compare real parts only: complex numbers have no order.

    Parameters
    ----------
    x : floats or complex numbers, any shape
    """
    xp = compat.array_namespace(x)
    return xp.real(x) if xp.isdtype(x.dtype, "complex floating") else x


def accumulator(x: Array) -> Any:
    """The dtype in which to add up entries of `x`: its own, but float32 for the 16-bit floats.

    NumPy's float16 sum of 4096 ones along the first axis stalls at 2048.

    Parameters
    ----------
    x : floats of any shape
    """
    xp = compat.array_namespace(x)
    return xp.float32 if xp.finfo(x.dtype).bits == 16 else x.dtype


def total(x: Array, axis: int | tuple[int, ...], keepdims: bool = False) -> Array:
    """Σ of `x` along `axis`, added up in `accumulator(x)`, returned in the dtype of `x`.

    Parameters
    ----------
    x : floats of any shape
    axis : int or tuple of ints
    keepdims : bool
        Whether the axes are kept with length 1.
    """
    xp = compat.array_namespace(x)
    return xp.astype(xp.sum(x, axis=axis, dtype=accumulator(x), keepdims=keepdims), x.dtype, copy=False)


def total_of_products(a: Array, b: Array, axis: tuple[int, ...]) -> Array:
    """Σ of a·b along `axis`, which is kept with length 1; added up as in `total`.

    NumPy's einsum adds up the products without storing them first: a pass over memory and an array less.

    Parameters
    ----------
    a, b : floats of any shape, the same for both
    axis : tuple of ints
    """
    if compat.is_numpy_array(a) and accumulator(a) == a.dtype:
        letters = list(range(a.ndim))
        summed = np.einsum(a, letters, b, letters, [i for i in letters if i not in axis])
        return np.expand_dims(summed, axis)
    return total(a * b, axis=axis, keepdims=True)


def mean(x: Array, axis: tuple[int, ...], keepdims: bool = False) -> Array:
    """Σ of `x` along `axis`, divided by the number of entries; added up as in `total`.

    Parameters
    ----------
    x : floats of any shape
    axis : tuple of ints
    keepdims : bool
        Whether the axes are kept with length 1.
    """
    xp = compat.array_namespace(x)
    count = prod(x.shape[i] for i in axis)
    return xp.astype(xp.sum(x, axis=axis, dtype=accumulator(x), keepdims=keepdims) / count, x.dtype, copy=False)


def put_along_axis(values: Array, index: Array, size: int, axis: int) -> Array:
    """Zeros of length `size` along `axis`, with `values` at `index`; both have length 1 along `axis`.

    The adjoint of `take_along_axis`. NumPy and CuPy write into new zeros. The array-API standard has no such function,
    and some libraries have arrays that can't be written to. There a comparison gives the same result, more slowly.

    Parameters
    ----------
    values : floats of any shape
    index : integers, same shape
    size : int
    axis : int
    """
    xp = compat.array_namespace(values)
    if compat.is_numpy_array(values) or compat.is_cupy_array(values):
        shape = (*values.shape[:axis], size, *values.shape[axis + 1 :])
        out = xp.zeros(shape, dtype=values.dtype)
        xp.put_along_axis(out, index, values, axis)
        return out
    positions = xp.arange(size, dtype=index.dtype, device=compat.device(index))
    positions = xp.reshape(positions, (-1,) + (1,) * (values.ndim - axis - 1))
    return xp.where(positions == index, values, xp.zeros_like(values))


def usable_cupy() -> ModuleType:
    """The module `cupy`, if this machine can compute with it.

    `import cupy` succeeds without a GPU, so the import alone proves nothing. Raises a RuntimeError that says which of
    three things is missing, and what to do: CuPy itself, a driver with a device, or the CUDA libraries that CuPy loads
    on first use. Once it has worked, this isn't tried again, because trying waits for the GPU.
    """
    try:
        return _tried(import_module("cupy"))
    except ImportError as error:
        raise RuntimeError(
            "CuPy is not installed. Install the wheel for your CUDA version: "
            "pip install cupy-cuda13x (CUDA 13) or pip install cupy-cuda12x (CUDA 12)"
        ) from error


@cache
def _tried(cupy: ModuleType) -> ModuleType:
    try:
        devices = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        raise RuntimeError(
            f"CuPy {cupy.__version__} is installed, but there is no NVIDIA driver or device it can use ({error}). "
            "Check that `nvidia-smi` lists a GPU and that the driver is new enough for this CuPy"
        ) from error
    if devices == 0:
        raise RuntimeError(f"CuPy {cupy.__version__} is installed and the driver answers, but it lists no device")
    try:
        identity = cupy.eye(2, dtype="float32")
        (identity @ identity).get()
    except Exception as error:
        raise RuntimeError(
            f"CuPy {cupy.__version__} finds a GPU, but a 2×2 matrix product fails ({error}). "
            "A CUDA library is missing (cuBLAS or NVRTC): "
            'pip install "cupy-cuda13x[ctk]" (CUDA 13) or pip install "cupy-cuda12x[ctk]" (CUDA 12)'
        ) from error
    return cupy


def array_library(library: str | ModuleType) -> Any:
    """The array-API namespace of a library.

    Raises RuntimeError if you ask for CuPy and it can't be used (see `usable_cupy`), ValueError if no array library of
    that name is installed.

    Parameters
    ----------
    library : "numpy", "cupy", "torch", ..., or a module such as `cupy`
    """
    name = getattr(library, "__name__", str(library)).removeprefix("array_api_compat.")
    if name == "cupy":
        usable_cupy()
    try:
        module = import_module("jax.numpy" if name == "jax" else name)  # the arrays of jax live one level down
        zero = module.zeros(1) if hasattr(module, "zeros") else None
        return compat.array_namespace(zero)
    except (ImportError, TypeError, ValueError) as error:
        raise ValueError(
            f'library: expected an installed array library such as "numpy" or "cupy", got {name!r}'
        ) from error


def asarray(x: Array, library: str | ModuleType) -> Array:
    """`x` as an array of `library`, with the same shape and dtype: `x` itself if it is one already, or else a copy.

    Parameters
    ----------
    x : array of any library, shape and dtype
    library : "numpy", "cupy", "torch", ..., or a module such as `cupy`
    """
    xp = array_library(library)
    if compat.is_array_api_obj(x) and compat.array_namespace(x) is xp:
        return x
    return xp.asarray(to_numpy(x).copy())  # torch refuses reversed and read-only views


def to_numpy(x: Array) -> np.ndarray:
    """`x` as a NumPy array, with the same shape and dtype. From a GPU this copies, and waits for the device.

    Parameters
    ----------
    x : array of any library, shape and dtype
    """
    if compat.is_cupy_array(x):
        return x.get()
    if compat.is_torch_array(x):
        return x.detach().cpu().numpy()
    return np.asarray(x)
