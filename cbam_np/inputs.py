"""The checks of inputs, and the door where they are made: once for each call from outside.

    @checked(_gate_inputs)
    def gate(m, f): ...

A call of `gate` first calls `_gate_inputs(m, f)`, which raises an error that names the argument and says what was
expected and what it got. The backward that `gate` returns checks its `d_out` in the same way. An operation that is
called *by* another operation gets arrays that are right by construction, so they aren't checked again: the block checks
twice, once forward and once backward, not once for each of its parts.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from functools import wraps
from numbers import Integral
from typing import Any, Literal, ParamSpec, TypeAlias, TypeVar

import array_api_compat as compat
import numpy as np

from cbam_np.arrays import Array, Backward, Params, describe, dtype_name, library_name

Ties: TypeAlias = Literal["first", "split"]  # which entry gets the gradient where several tie for the maximum

P = ParamSpec("P")
T = TypeVar("T")
_inside = ContextVar("_inside", default=False)  # whether an operation is running, in this thread or task

CHANNEL = ("channel.w1", "channel.w2", "channel.b1", "channel.b2")  # the parameters of channel attention, biases last
SPATIAL = ("spatial.kernel", "spatial.bias")
OPTIONAL = ("channel.b1", "channel.b2", "spatial.bias")


# The door


def checked(
    check: Callable[P, None],
) -> Callable[[Callable[P, tuple[Array, Backward]]], Callable[P, tuple[Array, Backward]]]:
    """A decorator for operations: `check` gets the arguments first, and d_out is compared with the output later.

    Parameters
    ----------
    check : function of the operation's arguments
        Raises an error if one of them doesn't fit.
    """

    def decorate(op: Callable[P, tuple[Array, Backward]]) -> Callable[P, tuple[Array, Backward]]:
        @wraps(op)
        def door(*args: P.args, **kwargs: P.kwargs) -> tuple[Array, Backward]:
            if _inside.get():
                return op(*args, **kwargs)
            check(*args, **kwargs)
            with _entered():
                out, backward = op(*args, **kwargs)
            return out, _checked_backward(backward, out)

        return door

    return decorate


def _checked_backward(backward: Backward, out: Array) -> Backward:
    shape = tuple(out.shape)
    # the library, dtype and device of out, without keeping its entries
    like = compat.array_namespace(out).empty((0,), dtype=out.dtype, device=compat.device(out))

    @wraps(backward)
    def door(d_out: Array) -> Any:
        if _inside.get():
            return backward(d_out)
        check_gradient(d_out, like, shape)
        with _entered():
            return backward(d_out)

    return door


@contextmanager
def _entered() -> Iterator[None]:
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


# The checks


def namespace(**arrays: Array) -> Any:
    """The array library that all `arrays` belong to, as an array-API namespace.

    Raises TypeError if an argument is not a plain array of floating point (complex floating point is allowed, because
    the complex step needs it), or if two arguments differ in library, device or dtype.

    Parameters
    ----------
    **arrays : floats of any shape
        By name, so that an error can name them; optional ones through `given`.
    """
    first_name, first = next(iter(arrays.items()))
    xp = check_array(first_name, first)
    for name, x in arrays.items():
        if x is not first and not _alike(xp, first, check_array(name, x), x):
            raise TypeError(
                f"{first_name}: expected the library, dtype and device of {name}, {describe(x)}, "
                f"got {describe(first)}; {_remedy(first_name, first, x)}"
            )
    return xp


def given(**optional: Array | None) -> dict[str, Array]:
    """The optional arguments that are there, that is, are not None.

    Parameters
    ----------
    **optional : floats of any shape, or None
    """
    return {name: x for name, x in optional.items() if x is not None}


def check_array(name: str, x: Array) -> Any:
    """The library of `x`. Raises TypeError unless `x` is a plain array of floating point, of any library.

    Parameters
    ----------
    name : str
        What an error calls it, here and below.
    x : anything
    """
    try:
        xp = compat.array_namespace(x)
    except TypeError:
        raise TypeError(f"{name}: expected an array (NumPy, CuPy, ...), got {type(x).__name__}") from None
    if not xp.isdtype(x.dtype, ("real floating", "complex floating")):
        raise TypeError(
            f"{name}: expected floating point, got {describe(x)}; cast it first: {_cast(name, x, 'float32')}"
        )
    if isinstance(x, np.ndarray):
        if isinstance(x, np.matrix | np.ma.MaskedArray):  # their * and their axes have other meanings
            raise TypeError(f"{name}: expected a plain array, got numpy.{type(x).__name__}; use np.asarray({name})")
        if not x.dtype.isnative:
            raise TypeError(
                f"{name}: expected this machine's byte order, got dtype {x.dtype.str!r}; "
                f"{_cast(name, x, x.dtype.newbyteorder('=').name)} has it"
            )
    return xp


def check_nchw(name: str, f: Array) -> None:
    """Raise ValueError unless `f` has the four axes (N, C, H, W), with C, H and W at least 1.

    Parameters
    ----------
    name : str
    f : array
    """
    if f.ndim == 3:
        raise ValueError(
            f"{name}: expected (N, C, H, W), got {tuple(f.shape)}; add the batch axis with {name}[None, ...]"
        )
    if f.ndim != 4:
        raise ValueError(f"{name}: expected four axes (N, C, H, W), got {f.ndim}: {tuple(f.shape)}")
    for axis, size in zip("NCHW", f.shape, strict=True):
        if size == 0 and axis != "N":
            raise ValueError(f"{name}: expected at least one entry along {axis}, got {tuple(f.shape)}")


def check_channels(name: str, f: Array, channels: int, because: str) -> None:
    """Raise ValueError unless `f` has that many channels.

    Parameters
    ----------
    name : str
    f : floats (N, C, H, W)
    channels : int
    because : str
        What needs them.
    """
    if f.shape[1] != channels:
        last = f"; are the channels last? np.moveaxis({name}, -1, 1) turns (N, H, W, C) into (N, C, H, W)"
        raise ValueError(
            f"{name}: expected {channels} channels, {because}, got {f.shape[1]}: (N, C, H, W) = {tuple(f.shape)}"
            + (last if f.shape[3] == channels else "")
        )


def check_shape(name: str, x: Array, expected: tuple[int, ...]) -> None:
    """Raise ValueError unless `x` has the shape `expected`.

    Parameters
    ----------
    name : str
    x : array
    expected : tuple of ints
    """
    if tuple(x.shape) != tuple(expected):
        raise ValueError(f"{name}: expected shape {tuple(expected)}, got {tuple(x.shape)}")


def check_integer(name: str, value: Any, least: int) -> None:
    """Raise ValueError unless `value` is an integer, Python's or NumPy's but not a bool, and at least `least`.

    Parameters
    ----------
    name : str
    value : anything
    least : int
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: expected an integer of at least {least}, got {value!r}")


def check_ties(ties: Any) -> None:
    """Raise ValueError unless `ties` is "first" or "split".

    Parameters
    ----------
    ties : anything
    """
    if not isinstance(ties, str) or ties not in ("first", "split"):
        raise ValueError(f'ties: expected "first" or "split", got {ties!r}')


def check_maps(maps: Any) -> None:
    """Raise TypeError unless `maps` is None or a dict to store maps in.

    Parameters
    ----------
    maps : anything
    """
    if not (maps is None or isinstance(maps, dict)):
        raise TypeError(f"maps: expected a dict to store the maps in, or None, got {type(maps).__name__}")


def check_params(params: Any, needed: tuple[str, ...]) -> Params:
    """The entries of `params` with the keys `needed`, without those that are None.

    Raises TypeError if `params` isn't a dict, ValueError if a key that isn't optional is missing or if no part of the
    block has a parameter of that name.

    Parameters
    ----------
    params : anything
    needed : tuple of str
    """
    if not isinstance(params, dict):
        raise TypeError(f"params: expected a dict of arrays, got {type(params).__name__}")
    for key in params:
        if key not in CHANNEL + SPATIAL:
            near = get_close_matches(str(key), CHANNEL + SPATIAL, n=1, cutoff=0.5)
            advice = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"params: expected keys among {[*CHANNEL, *SPATIAL]}, got {key!r}{advice}")
    for key in needed:
        if key not in OPTIONAL and params.get(key) is None:
            raise ValueError(f"params: expected the key {key!r}, got {sorted(params)}")
    return {key: params[key] for key in needed if params.get(key) is not None}


def check_gradient(d_out: Array, out: Array, shape: tuple[int, ...] | None = None) -> None:
    """Raise TypeError or ValueError unless `d_out` can be the gradient with respect to `out`.

    Parameters
    ----------
    d_out : anything
    out : array
    shape : tuple of ints, optional
        The shape of the output, if `out` only shows its library, dtype and device.
    """
    xp = check_array("d_out", d_out)
    if not _alike(xp, d_out, compat.array_namespace(out), out):
        raise TypeError(
            f"d_out: expected the library, dtype and device of the output, {describe(out)}, got {describe(d_out)}; "
            f"{_remedy('d_out', d_out, out)}"
        )
    check_shape("d_out", d_out, tuple(out.shape) if shape is None else shape)


def _alike(xp: Any, x: Array, library: Any, y: Array) -> bool:
    return library is xp and x.dtype == y.dtype and bool(compat.device(x) == compat.device(y))


def _remedy(name: str, x: Array, like: Array) -> str:
    """How to turn `x` into an array like `like`."""
    if library_name(x) != library_name(like):
        return f'move one of them: cbam_np.asarray({name}, "{library_name(like)}"), or block.to("{library_name(x)}")'
    if x.dtype != like.dtype:
        return f"cast it: {_cast(name, x, dtype_name(like))}"
    return "move one of them to the other's device"


def _cast(name: str, x: Array, dtype: str) -> str:
    return f"{name}.to(torch.{dtype})" if compat.is_torch_array(x) else f'{name}.astype("{dtype}")'
