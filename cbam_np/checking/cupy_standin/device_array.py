"""The stand-in's `cupy.ndarray`: a NumPy array that nothing gets at except through CuPy's door."""

import operator
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from cbam_np.checking.cupy_standin.manifest import MANIFEST, checked, unknown_to_the_standin

Scalar = bool | int | float | complex | np.bool_ | np.number[Any]

syncs: list[str] = []  # what made the host wait for the device
uploads: list[str] = []  # what was copied from the host to the device


class StandinError(AssertionError):
    """Raised for code that CuPy would run without complaint: with an undefined result, or hiding what it does."""


def quietly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a NumPy function; CuPy knows no floating-point warnings."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return function(*args, **kwargs)


def raise_device(result: Any) -> Any:
    """NumPy's result as CuPy would give it: arrays on the device, and a 0-d array where NumPy has a scalar."""
    if isinstance(result, np.ndarray | np.generic):
        x = object.__new__(ndarray)
        x._host = np.asarray(result)
        return x
    if isinstance(result, list | tuple):
        return type(result)(raise_device(part) for part in result)
    return result


def lower(value: Any) -> Any:
    """The NumPy arrays under device arrays, also inside lists and tuples. A NumPy array is refused."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {np.ndarray}: a NumPy array among CuPy arrays")
    if isinstance(value, list | tuple):
        return type(value)(lower(part) for part in value)
    return value


def check_places(shape: tuple[int, ...], places: Callable[[np.ndarray], np.ndarray], write: bool) -> None:
    """Refuse an index that leaves the array, or writes one entry twice. `places` picks from an array of `shape`."""
    try:
        picked = places(np.arange(np.prod(shape, dtype=int)).reshape(shape))
    except IndexError as error:
        raise StandinError(f"{error}: CuPy does not notice and wraps around") from error
    if write and len(np.unique(picked)) < picked.size:
        raise StandinError("one entry is written more than once: on CuPy any of the values may remain")


class ndarray:  # noqa: N801 (CuPy's name)
    """See `cupy.ndarray`. Attributes and parameters are those in the manifest; what is missing here refuses to work."""

    __array_priority__ = 100.0
    __hash__ = None  # type: ignore[assignment]
    _host: np.ndarray

    def __init__(self, shape: Any, dtype: Any = float) -> None:
        self._host = poisoned(shape, dtype)

    # What it is: read without touching the device

    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: self._host.flags)
    device = property(lambda self: Device(0))
    T = property(lambda self: raise_device(self._host.T))
    mT = property(lambda self: raise_device(self._host.mT))  # noqa: N815
    real = property(lambda self: raise_device(self._host.real))
    imag = property(lambda self: raise_device(self._host.imag))

    @property
    def shape(self) -> tuple[int, ...]:
        return self._host.shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        view = self._host.view()
        view.shape = shape
        self._host = view

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator["ndarray"]:
        return (self[i] for i in range(len(self)))

    # NumPy's ways of getting at an array

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct one")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, np.ndarray) for x in (*inputs, *kwargs.get("out", ()))):
            raise TypeError(f"Unsupported type {np.ndarray}: a NumPy array among CuPy arrays in {ufunc.__name__}")
        if method == "__call__" and isinstance(inputs[0], np.generic):  # np.float64(2) * x arrives here
            return UFUNCS[ufunc.__name__](*inputs, **kwargs)
        raise StandinError(f"np.{ufunc.__name__} of a CuPy array: CuPy takes over, and the np. stays hidden")

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        raise StandinError(f"np.{function.__name__} of a CuPy array: CuPy takes over, and the np. stays hidden")

    # To the host: the device is waited for

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> Any:
        return self._wait("get").copy()

    def item(self) -> Any:
        return self._wait("item").item()

    def tolist(self) -> Any:
        return self._wait("tolist").tolist()

    def __bool__(self) -> bool:
        return bool(self._wait("bool"))

    def __int__(self) -> int:
        return int(self._wait("int"))

    def __float__(self) -> float:
        return float(self._wait("float"))

    def __complex__(self) -> complex:
        return complex(self._wait("complex"))

    def __repr__(self) -> str:
        return repr(self._wait("repr"))

    def __str__(self) -> str:
        return str(self._wait("str"))

    def __format__(self, spec: str) -> str:
        return format(self._wait("format"), spec)

    def _wait(self, reason: str) -> np.ndarray:
        syncs.append(reason)
        return self._host

    # Indexing

    def __getitem__(self, key: Any) -> Any:
        parts, advanced = self._key(key)
        if advanced:
            check_places(self.shape, lambda places: places[parts], write=False)
        elif not any(part is Ellipsis for part in parts):
            parts = (*parts, ...)  # makes x[0] of a vector a view too
        return raise_device(self._host[parts])

    def __setitem__(self, key: Any, value: Any) -> None:
        parts, advanced = self._key(key)
        if advanced:
            several = np.ndim(getattr(value, "_host", value)) > 0
            check_places(self.shape, lambda places: places[parts], write=several)
            if isinstance(value, np.ndarray | list | tuple):
                uploads.append("assigned values")
        elif isinstance(value, np.ndarray | list | tuple) and np.ndim(value) > 0:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        quietly(operator.setitem, self._host, parts, getattr(value, "_host", value))

    def _key(self, key: Any) -> tuple[tuple[Any, ...], bool]:
        """The index for NumPy, and whether it is an advanced one (with an array or list in it)."""
        parts = []
        for part in key if isinstance(key, tuple) else (key,):
            if isinstance(part, np.ndarray | list):
                uploads.append("index")
            elif isinstance(part, ndarray) and part.dtype == bool:
                part._wait("boolean mask")
            parts.append(part._host if isinstance(part, ndarray) else part)
        return tuple(parts), any(isinstance(part, np.ndarray | list) for part in parts)

    # Methods that are not just NumPy's

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        uploads.append("set")
        self._host[...] = arr

    def fill(self, value: Any) -> None:
        self[...] = value

    def take(self, indices: Any, axis: int | None = None, out: Any = None) -> Any:
        index, _ = self._key(indices)
        check_places(self.shape, lambda places: np.take(places, index[0], axis), write=False)
        return raise_device(np.take(self._host, index[0], axis, out=lower(out)))

    def nonzero(self) -> Any:
        return raise_device(self._wait("nonzero").nonzero())

    def __matmul__(self, other: Any) -> Any:
        if not isinstance(other, ndarray):
            raise TypeError(f"Argument 'b' has incorrect type (expected cupy.ndarray, got {type(other)})")
        return raise_device(quietly(np.matmul, self._host, other._host))

    __rmatmul__ = __matmul__  # only reached with something that is no device array, and then it raises


# fmt: off
SAME_METHODS = (
    "all", "any", "argmax", "argmin", "argsort", "astype", "clip", "conj", "conjugate", "copy", "cumprod", "cumsum",
    "diagonal", "dot", "flatten", "max", "mean", "min", "prod", "ravel", "repeat", "reshape", "round", "squeeze", "std",
    "sum", "swapaxes", "trace", "transpose", "var", "view",
)
# fmt: on


def _same_as_numpy(name: str) -> Callable[..., Any]:
    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        kwargs = {key: lower(value) for key, value in kwargs.items()}
        return raise_device(quietly(getattr(self._host, name), *lower(args), **kwargs))

    return method


for _name, _parameters in MANIFEST["ndarray"].items():
    if _name in SAME_METHODS:
        _run = _same_as_numpy(_name)
    else:
        _run = vars(ndarray).get(_name) or unknown_to_the_standin(f"ndarray.{_name}")
    _with_self = None if _parameters is None else f"self, {_parameters}".rstrip(", ")
    setattr(ndarray, _name, checked(f"ndarray.{_name}", _with_self, _run))


def _strong(operands: list[Any]) -> list[Any]:
    """Those whose dtype counts when dtypes are mixed: all but Python's own numbers."""
    return [x for x in operands if isinstance(x, np.dtype | np.generic)]


class Ufunc:
    """See `cupy.ufunc`: NumPy's function, for the operands and dtypes that CuPy's takes."""

    def __init__(self, name: str, nin: int, loops: str, at: str | None) -> None:
        self.name = self.__name__ = name
        self.nin = nin
        self.nout = len(loops.split()[-1].split("->")[1])
        self.loops = [tuple(loop.split("->")) for loop in loops.split()]
        self.scatter = at

    def __call__(self, *args: Any, out: Any = None, dtype: Any = None, casting: Any = "same_kind") -> Any:
        inputs, outs = args[: self.nin], args[self.nin :] or (out if isinstance(out, tuple) else (out,))
        for x in (*inputs, *(o for o in outs if o is not None)):
            if not isinstance(x, ndarray | Scalar):
                raise TypeError(f"Unsupported type {type(x)}: {self.name} takes CuPy arrays and scalars")
        self.loop([x.dtype if isinstance(x, ndarray) else x for x in inputs])
        options = {} if dtype is None else {"dtype": dtype}
        results = quietly(getattr(np, self.name), *lower(inputs), **options)
        if outs[0] is None:
            return raise_device(results)
        for target, result in zip(outs, results if self.nout > 1 else (results,), strict=True):
            quietly(np.copyto, target._host, result, casting=casting)
        return outs if self.nout > 1 else outs[0]

    def loop(self, operands: list[Any]) -> str:
        """The result dtypes of the first loop that all operands, dtypes or scalars, can be cast to.

        Python scalars adapt to the dtypes. The results' dtypes are NumPy's as well, `test_standin.py` goes through all.
        """
        dtypes = [np.dtype(x) if isinstance(x, np.dtype) else np.result_type(x, *_strong(operands)) for x in operands]
        for ins, outs in self.loops:
            if all(np.can_cast(dtype, char) for dtype, char in zip(dtypes, ins, strict=True)):
                if outs:
                    return outs
                break
        raise TypeError(f"Wrong type ({dtypes}) of arguments for {self.name}")

    def reduce(self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        if self.name not in ("add", "multiply"):
            raise NotImplementedError(f"`cupy_{self.name}.reduce` is not supported yet")
        return (array.sum if self.name == "add" else array.prod)(axis, dtype, out, keepdims)

    def accumulate(self, array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        if self.name not in ("add", "multiply"):
            raise NotImplementedError(f"`cupy_{self.name}.accumulate` is not supported yet")
        return (array.cumsum if self.name == "add" else array.cumprod)(axis, dtype, out)

    def at(self, a: Any, indices: Any, b: Any = None) -> None:
        if self.scatter is None:
            raise NotImplementedError(f"`cupy_{self.name}.at` is not supported yet")
        if a.dtype.char not in {"add": "iIlLqQefd", "sub": "iI", "max": "iIlLqQfd", "min": "iIlLqQfd"}[self.scatter]:
            raise TypeError(f"{self.name}.at does not support {a.dtype}")
        parts, _ = a._key(indices)
        check_places(a.shape, lambda places: places[parts], write=False)
        getattr(np, self.name).at(a._host, parts, lower(b))


UFUNCS = {name: Ufunc(name, **entry) for name, entry in MANIFEST["cupy"].items() if isinstance(entry, dict)}

for _symbol, _ufunc in {
    **{"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide"},
    **{"mod": "remainder", "pow": "power", "divmod": "divmod", "lshift": "left_shift", "rshift": "right_shift"},
    **{"and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor"},
}.items():
    setattr(ndarray, f"__{_symbol}__", lambda self, other, f=UFUNCS[_ufunc]: f(self, other))
    setattr(ndarray, f"__r{_symbol}__", lambda self, other, f=UFUNCS[_ufunc]: f(other, self))
    setattr(ndarray, f"__i{_symbol}__", lambda self, other, f=UFUNCS[_ufunc]: f(self, other, out=self))
for _symbol, _ufunc in {
    **{"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"},
}.items():
    setattr(ndarray, f"__{_symbol}__", lambda self, other, f=UFUNCS[_ufunc]: f(self, other))
for _symbol, _ufunc in {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}.items():
    setattr(ndarray, f"__{_symbol}__", lambda self, f=UFUNCS[_ufunc]: f(self))


def poisoned(shape: Any, dtype: Any = float) -> np.ndarray:
    """What stands for memory that nobody has written to: NaN, or the largest integer, so that reading it shows."""
    dtype = np.dtype(dtype)
    value = {"b": True, "i": lambda: np.iinfo(dtype).max, "u": lambda: np.iinfo(dtype).max}.get(dtype.kind, np.nan)
    return np.full(shape, value() if callable(value) else value, dtype)


class Device:
    """See `cupy.cuda.Device`; there is one, number 0."""

    def __init__(self, number: int | None = None) -> None:
        self.id = 0 if number is None else number

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def synchronize(self) -> None:
        syncs.append("synchronize")
