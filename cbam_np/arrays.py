"""Which array library an array belongs to, and the few things every operation asks of its inputs.

Nothing in this package has a "current backend". An operation looks at the arrays it is given,

    xp = namespace(f=f, w1=w1)

and computes with the functions of that library: NumPy in, NumPy out; CuPy in, CuPy out. The adapter
behind it is array-api-compat, so PyTorch tensors, JAX arrays and array-api-strict work as well.
Arrays move between libraries through one pair of functions only, `asarray` and `to_numpy`.
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
    """The name by which people know the library of `x`: "numpy", "cupy", "torch", ..."""
    return compat.array_namespace(x).__name__.removeprefix("array_api_compat.").split(".")[0]


def dtype_name(x: Array) -> str:
    """The dtype of `x` by the name that all libraries share: "float32", where PyTorch prints "torch.float32"."""
    return str(x.dtype).rsplit(".", maxsplit=1)[-1]


def describe(x: Array) -> str:
    """Library, dtype and device of `x` in words: "numpy float32 on cpu"."""
    return f"{library_name(x)} {dtype_name(x)} on {compat.device(x)}"


def namespace(**arrays: Array | None) -> Any:
    """The array library that all `arrays` belong to, as an array-API namespace.

    Arguments are passed by name so that an error can name them; None stands for an optional
    argument that was left out.

    Raises TypeError if an argument is not an array or not of floating point (complex floating
    point is allowed, the complex step needs it), or if two arguments differ in library, device or
    dtype.
    """
    given = {name: x for name, x in arrays.items() if x is not None}
    libraries = []
    for name, x in given.items():
        try:
            libraries.append(compat.array_namespace(x))
        except TypeError:
            raise TypeError(f"{name}: expected an array (NumPy, CuPy, ...), got {type(x).__name__}") from None
    xp = libraries[0]
    first_name, first = next(iter(given.items()))
    for (name, x), library in zip(given.items(), libraries, strict=True):
        alike = library is xp and x.dtype == first.dtype and compat.device(x) == compat.device(first)
        if (x is first or not alike) and not library.isdtype(x.dtype, ("real floating", "complex floating")):
            raise TypeError(f"{name}: expected floating point, got {describe(x)}; cast it first, e.g. to float32")
        if not alike:
            raise TypeError(
                "expected arrays of one library, dtype and device, "
                f"got {first_name}: {describe(first)} and {name}: {describe(x)}"
            )
    return xp


def check_nchw(name: str, f: Array) -> None:
    """Raise ValueError unless `f` has the four axes (N, C, H, W), with C, H and W at least 1."""
    if f.ndim == 3:
        raise ValueError(
            f"{name}: expected (N, C, H, W), got {tuple(f.shape)}; add the batch axis with {name}[None, ...]"
        )
    if f.ndim != 4:
        raise ValueError(f"{name}: expected four axes (N, C, H, W), got {f.ndim}: {tuple(f.shape)}")
    for axis, size in zip("NCHW", f.shape, strict=True):
        if size == 0 and axis != "N":
            raise ValueError(f"{name}: expected at least one entry along {axis}, got {tuple(f.shape)}")


def check_shape(name: str, x: Array, expected: tuple[int, ...]) -> None:
    """Raise ValueError unless `x` has the shape `expected`."""
    if tuple(x.shape) != tuple(expected):
        raise ValueError(f"{name}: expected shape {tuple(expected)}, got {tuple(x.shape)}")


def select(params: Params, prefix: str, required: tuple[str, ...], optional: tuple[str, ...]) -> Params:
    """The entries "prefix.name" of `params`, required ones first; None for an optional one that is not there.

    Raises ValueError if a required entry is missing, or if there is one with this prefix that is neither.
    """
    names = [f"{prefix}.{name}" for name in required + optional]
    for name in names[: len(required)]:
        if params.get(name) is None:
            raise ValueError(f"params: expected the key {name!r}, got {sorted(params)}")
    for name in params:
        if name.startswith(f"{prefix}.") and name not in names:
            raise ValueError(f"params: expected keys among {names}, got {name!r}")
    return {name: params.get(name) for name in names}


def check_gradient(d_out: Array, out: Array) -> None:
    """Raise TypeError or ValueError unless `d_out` can be the gradient with respect to `out`."""
    namespace(out=out, d_out=d_out)
    check_shape("d_out", d_out, out.shape)


def real(x: Array) -> Array:
    """The real part; `x` itself if it is real. Comparisons go through it: complex numbers have no order."""
    xp = compat.array_namespace(x)
    return xp.real(x) if xp.isdtype(x.dtype, "complex floating") else x


def accumulator(x: Array) -> Any:
    """The dtype to add up entries of `x` in: its own, but float32 for the 16-bit floats.

    NumPy's float16 sum of 4096 ones along the first axis stalls at 2048.
    """
    xp = compat.array_namespace(x)
    return xp.float32 if xp.finfo(x.dtype).bits == 16 else x.dtype


def total(x: Array, axis: int | tuple[int, ...], keepdims: bool = False) -> Array:
    """Σ of `x` along `axis`, added up in `accumulator(x)`, returned in the dtype of `x`."""
    xp = compat.array_namespace(x)
    return xp.astype(xp.sum(x, axis=axis, dtype=accumulator(x), keepdims=keepdims), x.dtype, copy=False)


def mean(x: Array, axis: tuple[int, ...], keepdims: bool = False) -> Array:
    """Σ of `x` along `axis`, divided by the number of entries; added up as in `total`."""
    xp = compat.array_namespace(x)
    count = prod(x.shape[i] for i in axis)
    return xp.astype(xp.sum(x, axis=axis, dtype=accumulator(x), keepdims=keepdims) / count, x.dtype, copy=False)


def put_along_axis(values: Array, index: Array, size: int, axis: int) -> Array:
    """Zeros of length `size` along `axis`, with `values` at `index`; both have length 1 along `axis`.

    The adjoint of `take_along_axis`. NumPy and CuPy write into fresh zeros. The array-API standard has no
    such function and arrays that cannot be written to; there a comparison gives the same, three to six times slower.
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

    `import cupy` succeeds without a GPU, so the import alone proves nothing. Raises RuntimeError that
    says which of three things is missing, and what to do: CuPy itself, a driver with a device, or
    the CUDA libraries that CuPy loads on first use. Once it has worked it is not tried again: trying waits for the GPU.
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
    """The array-API namespace for "numpy", "cupy", "torch", ..., or for a module such as `cupy`.

    Raises RuntimeError if CuPy is asked for and cannot be used (see `usable_cupy`), ValueError if
    the name is no array library that is installed here.
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
    """`x` as an array of `library`, same shape and dtype; a copy, unless it is one already."""
    xp = array_library(library)
    if compat.is_array_api_obj(x) and compat.array_namespace(x) is xp:
        return x
    return xp.asarray(to_numpy(x).copy())  # torch takes no reversed and no read-only view


def to_numpy(x: Array) -> np.ndarray:
    """`x` as a NumPy array, same shape and dtype. From a GPU this copies, and waits for the device."""
    if compat.is_cupy_array(x):
        return x.get()
    if compat.is_torch_array(x):
        return x.detach().cpu().numpy()
    return np.asarray(x)
