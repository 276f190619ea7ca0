"""The operation that is checked: forward, backward, and its output for inputs that were changed."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import array_api_compat as compat
import numpy as np

from cbam_np.arrays import Array, Backward, describe, dtype_name, to_numpy
from cbam_np.checking.forms import Op
from cbam_np.checking.slopes import EPS

Arrays = dict[str, np.ndarray]  # by name

SMALLEST, LARGEST = 1e-150, 1e150  # between them sums of squares neither vanish nor overflow in float64
ROUNDINGS = 4  # of them in a row: a number is off by so many times its precision
NEIGHBOURS = 16  # perturbed copies of the inputs: a tie, or a corner, then falls to either side

ACCUMULATES = "a second backward with the same d_out gives another gradient: it accumulates, or changes what it needs"
REUSED = "a later backward overwrites the gradient that an earlier one returned: return a new array each time"
UNDECLARED = "backward returns a gradient for it, but op has no such input"


class Operation:
    """`op` with its inputs: forward, backward, and the output on the host for inputs that were changed.

    leaves: the arrays to differentiate, by name; x: the same, reference: the output, wide: the gradients,
    wide_for_other: those for another d_out, all in float64 on the host. own: the gradients as backward returns them.
    size: of a typical entry of each leaf. noise: how far rounding moves L. broken: what is wrong before any numbers
    are looked at, by the name of the array.
    """

    def __init__(self, op: Op, inputs: tuple[Any, ...], rng: np.random.Generator) -> None:
        self.op, self.inputs, self.rng = op, inputs, rng
        self.name = str(getattr(getattr(op, "func", op), "__name__", type(op).__name__))  # also of a partial
        self.names = _names(op, len(inputs))
        given = self.flat(inputs)
        self.leaves = _leaves(given)
        self.x = on_host(self.leaves)
        self.size = {name: _size(name, x) for name, x in self.leaves.items()}
        watched = [(name, x, to_numpy(x).copy()) for name, x in given.items() if compat.is_array_api_obj(x)]

        out, backward = self.forward(inputs)
        d_out, other = rng.standard_normal((2, *out.shape)).astype(to_numpy(out).dtype)
        upstream = _upload(d_out, out)
        watched += [("out", out, to_numpy(out).copy()), ("d_out", upstream, d_out)]
        self.own = self.gradients(backward, upstream)
        first, second = on_host(self.own), on_host(self.gradients(backward, _upload(d_out, out)))
        self.gradients(backward, _upload(other, out))
        later = on_host(self.own)
        self.broken = dict.fromkeys(sorted(self.own.keys() - given.keys()), UNDECLARED)
        self.broken |= {name: REUSED for name, g in first.items() if not _same(g, later[name])}
        self.broken |= {name: ACCUMULATES for name, g in first.items() if not _same(g, second.get(name))}
        changed = [name for name, x, before in watched if not _same(to_numpy(x), before)]
        self.broken |= {name: f"op or backward changes {name} in place" for name in changed}

        if any(dtype_name(x) != "float64" for x in self.leaves.values()):
            out, backward = self.forward_in_float64()
        self.d_out, other = d_out.astype(np.float64), other.astype(np.float64)
        self.wide = on_host(self.gradients(backward, _upload(self.d_out, out)))
        self.wide_for_other = on_host(self.gradients(backward, _upload(other, out)))
        self.reference = self.output({})
        self.noise = ROUNDINGS * EPS * float(np.linalg.norm(self.d_out * self.reference))
        if np.linalg.norm(self.d_out * (self.output({}) - self.reference)) > self.noise:
            raise ValueError("op: expected the same output for the same inputs, got another one; fix its random seed")

    def forward(self, inputs: Any) -> tuple[Array, Backward]:
        """op(*inputs), if that can be checked."""
        result = self.op(*inputs)
        if not (isinstance(result, tuple) and len(result) == 2 and callable(result[1])):
            raise TypeError(f"op: expected it to return (out, backward), got {in_words(result)}")
        out = result[0]
        if not is_real(out):
            raise TypeError(f"op: expected a floating-point array as output, got {in_words(out)}")
        _size("output of op", out)
        return result

    def forward_in_float64(self) -> tuple[Array, Backward]:
        """The same forward for float64 copies of the inputs."""
        try:
            return self.forward(self.replaced({}, np.float64))
        except Exception as error:
            why = f"{type(error).__name__}: {error} (an array of another dtype inside op has to be passed as an input)"
            raise ValueError(f"op: expected to work in float64 too, where slopes are measured, got {why}") from error

    def gradients(self, backward: Backward, upstream: Array) -> dict[str, Any]:
        """What backward returns for `upstream`, by name of the input; without those that are None."""
        result = backward(upstream)
        of_one_list = len(self.inputs) == 1 and isinstance(self.inputs[0], tuple | list)
        if not isinstance(result, tuple | list) or (of_one_list and not isinstance(result[0], tuple | list)):
            result = (result,)
        if any(x is not None for x in result[len(self.names) :]):
            raise TypeError(f"backward: expected one gradient for each of {self.names}, got {len(result)}")
        return {name: g for name, g in self.flat(result).items() if g is not None}

    def flat(self, trees: Any) -> dict[str, Any]:
        """All that is in `trees`, one for each input, by name."""
        found: dict[str, Any] = {}
        for name, tree in zip(self.names, trees, strict=False):
            _mapped(found.__setitem__, name, tree)
        return found

    def replaced(self, changed: Arrays, dtype: Any) -> list[Any]:
        """The inputs of op, all leaves in `dtype`, some of them changed."""

        def new(name: str, x: Any) -> Any:
            return _upload(changed.get(name, self.x[name]).astype(dtype), x) if name in self.x else x

        return [_mapped(new, name, tree) for name, tree in zip(self.names, self.inputs, strict=True)]

    def output(self, changed: Arrays) -> np.ndarray:
        """The output of op on the host, with some leaves changed; in complex numbers if one of them is complex."""
        with np.errstate(all="ignore"):  # a step may leave the domain of op; a shorter one follows
            dtype = np.result_type(np.float64, *changed.values())
            return to_numpy(self.op(*self.replaced(changed, dtype))[0])

    def terms(self, changed: Arrays) -> np.ndarray:
        """The terms of L(changed) - L(x)."""
        return self.d_out * (self.output(changed) - self.reference)

    def change(self, name: str) -> float:
        """How far L moves where a leaf moves by about its own size; or L's own size, if that is smaller or hides it."""
        elsewhere = self.x[name] + self.size[name] * self.rng.standard_normal(self.x[name].shape)
        terms, own = self.terms({name: elsewhere}), self.noise / EPS
        with np.errstate(over="ignore"):
            change = float(np.linalg.norm(terms[np.isfinite(terms)]))
        return (min(change, own or change) if change > self.noise else own) or 1.0

    def perturbed(self, by: dict[str, Any]) -> Iterator[Arrays]:
        """The leaves, moved at random by about so much, several times."""
        for _ in range(NEIGHBOURS):
            yield {name: x + by[name] * self.rng.standard_normal(x.shape) for name, x in self.x.items()}

    def conditioning(self, name: str, eps: float) -> np.ndarray:
        """How far the gradient of a leaf moves when rounding with precision `eps` moves all leaves."""
        moved = []
        for near in self.perturbed({name: ROUNDINGS * eps * x for name, x in self.x.items()}):
            out, backward = self.op(*self.replaced(near, np.float64))
            moved.append(on_host(self.gradients(backward, _upload(self.d_out, out)))[name])
        return ROUNDINGS * np.abs(np.array(moved) - self.wide[name]).max(axis=0)


def _names(op: Op, count: int) -> list[str]:
    """The names of the first `count` parameters of `op`."""
    try:
        parameters = [p.name for p in inspect.signature(op).parameters.values() if p.kind <= p.POSITIONAL_OR_KEYWORD]
    except (TypeError, ValueError):
        parameters = []
    return [parameters[i] if i < len(parameters) else f"input {i}" for i in range(count)]


def _mapped(function: Callable[[str, Any], Any], name: str, tree: Any) -> Any:
    """`tree`, made of dicts, lists and tuples, with function("name[key][0]", x) for every x in it."""
    if isinstance(tree, dict):
        return {key: _mapped(function, f"{name}[{key}]", x) for key, x in tree.items()}
    if isinstance(tree, list | tuple):
        items = [_mapped(function, f"{name}[{i}]", x) for i, x in enumerate(tree)]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)  # a namedtuple takes them singly
    return function(name, tree)


def _leaves(given: dict[str, Any]) -> dict[str, Array]:
    """The arrays to differentiate."""
    arrays = {name: x for name, x in given.items() if compat.is_array_api_obj(x)}
    for name, x in arrays.items():
        if compat.array_namespace(x).isdtype(x.dtype, "complex floating"):
            raise TypeError(f"{name}: expected real numbers, got {in_words(x)}")
    leaves = {name: x for name, x in arrays.items() if is_real(x)}
    if not leaves:
        got = ", ".join(in_words(x) for x in given.values()) or "none"
        raise TypeError(f"inputs: expected at least one floating-point array, got {got}")
    return leaves


def _size(name: str, x: Array) -> float:
    """√mean(x²), of a typical entry; 1 if all are zero. Raises ValueError for numbers that cannot be judged."""
    if 0 in x.shape:
        raise ValueError(f"{name}: expected at least one entry, got shape {tuple(x.shape)}")
    entries = np.abs(to_numpy(x).astype(np.float64))
    if not np.isfinite(entries).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    largest = float(entries.max())
    if largest and not SMALLEST <= largest <= LARGEST:
        limits = f"expected its largest entry to lie between {SMALLEST:.0e} and {LARGEST:.0e}, got {largest:.0e}"
        raise ValueError(f"{name}: {limits}; rescale it, for float64 has no room for the squares of such numbers")
    return float(np.sqrt(np.mean(entries**2))) or 1.0


def on_host(arrays: dict[str, Any]) -> Arrays:
    """Copies of the floating-point arrays among them, as float64 NumPy arrays."""
    return {name: np.array(to_numpy(x), dtype=np.float64) for name, x in arrays.items() if is_real(x)}


def is_real(x: Any) -> bool:
    """Whether `x` is an array of real floating-point numbers."""
    return compat.is_array_api_obj(x) and compat.array_namespace(x).isdtype(x.dtype, "real floating")


def in_words(x: Any) -> str:
    """What `x` is, for an error message."""
    return describe(x) if compat.is_array_api_obj(x) else type(x).__name__


def _upload(host: np.ndarray, like: Array) -> Array:
    """A copy of `host` in the library and on the device of `like`."""
    return compat.array_namespace(like).asarray(host.copy(), device=compat.device(like))


def _same(a: np.ndarray, b: np.ndarray | None) -> bool:
    """Whether two arrays are equal, NaN for NaN."""
    return b is not None and bool(np.array_equal(a, b, equal_nan=True))
