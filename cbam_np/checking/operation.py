"""The operation that is checked: forward, backward, and its output for inputs that were changed."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import array_api_compat as compat
import numpy as np

from cbam_np.arrays import Array, Backward, describe, dtype_name, to_numpy
from cbam_np.checking.slopes import EPS

Op = Callable[..., tuple[Array, Backward]]

SHAKES = 8  # times that inputs are moved a little: a tie, or a corner, then falls to either side


class Operation:
    """`op` with its inputs: forward, backward, and the output on the host for inputs that were changed.

    Leaves are the arrays to differentiate, by name. returned: their gradients as backward returns them; own, again:
    on the host, from two calls; wide: computed in float64; wide_for_other: for another d_out.
    """

    def __init__(self, op: Op, inputs: tuple[Any, ...], rng: np.random.Generator) -> None:
        if not callable(op):
            raise TypeError(f"op: expected a function, got {type(op).__name__}")
        self.op, self.inputs = op, inputs
        self.name, self.names = _name(op), _names(op, len(inputs))
        self.leaves = _leaves(self.names, inputs)
        self.x = {name: np.array(to_numpy(x), dtype=np.float64) for name, x in self.leaves.items()}

        before = {name: to_numpy(x).copy() for name, x in self.leaves.items()}
        out, backward = self.forward(inputs)
        d_out = rng.standard_normal(out.shape).astype(to_numpy(out).dtype)
        self.returned, d_out_after = self.gradients(backward, out, d_out)
        self.own = _on_host(self.returned)
        self.again = _on_host(self.gradients(backward, out, d_out)[0])
        changed = [name for name, x in self.leaves.items() if not same(to_numpy(x), before[name])]
        self.modified = dict.fromkeys(changed, "op or backward changes this input in place")
        if not same(d_out, d_out_after):
            self.modified["d_out"] = "backward changes d_out in place"

        if any(dtype_name(x) != "float64" for x in self.leaves.values()):
            out, backward = self.forward_in_float64()
        self.d_out = d_out.astype(np.float64)
        self.wide = _on_host(self.gradients(backward, out, self.d_out)[0])
        self.wide_for_other = _on_host(self.gradients(backward, out, rng.standard_normal(out.shape))[0])
        self.reference = self.output({})
        if not np.allclose(self.reference, self.output({}), rtol=1e-9, atol=0):
            raise ValueError("op: expected the same output for the same inputs, got another one; fix its random seed")
        self.noise = 4 * EPS * float(np.linalg.norm(self.d_out * self.reference))  # how far rounding may move L

    def forward(self, inputs: Any) -> tuple[Array, Backward]:
        """op(*inputs), if that can be checked."""
        result = self.op(*inputs)
        if not (isinstance(result, tuple) and len(result) == 2 and callable(result[1])):
            raise TypeError(f"op: expected it to return (out, backward), got {in_words(result)}")
        out = result[0]
        if not is_real(out):
            raise TypeError(f"op: expected a floating-point array as output, got {in_words(out)}")
        if 0 in out.shape:
            raise ValueError(f"op: expected an output with at least one entry, got shape {tuple(out.shape)}")
        if not np.isfinite(to_numpy(out)).all():
            raise ValueError("op: expected a finite output for these inputs, got NaN or infinity")
        return result

    def forward_in_float64(self) -> tuple[Array, Backward]:
        """The same forward for float64 copies of the inputs."""
        try:
            return self.forward(self.replaced({}, np.float64))
        except Exception as error:
            raise ValueError(
                f"op: expected to work in float64 too, where slopes are measured, got {type(error).__name__}: {error} "
                "(an array of another dtype inside op has to be passed as an input)"
            ) from error

    def gradients(self, backward: Backward, out: Array, d_out: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
        """What backward returns for `d_out`, by name of the input; and d_out as it is afterwards."""
        upstream = _upload(d_out.copy(), out)
        result = backward(upstream)
        result = tuple(result) if isinstance(result, tuple | list) else (result,)
        if any(x is not None for x in result[len(self.names) :]):
            raise TypeError(f"backward: expected one gradient for each of {self.names}, got {len(result)}")
        return dict(_opened(self.names, result)), to_numpy(upstream)

    def replaced(self, changed: dict[str, np.ndarray], dtype: type) -> list[Any]:
        """The inputs of op, all leaves in `dtype`, some of them changed."""
        leaves = {name: _upload(changed.get(name, self.x[name]).astype(dtype), x) for name, x in self.leaves.items()}
        return [
            {key: leaves.get(f"{name}[{key}]", value) for key, value in x.items()}
            if isinstance(x, dict)
            else leaves.get(name, x)
            for name, x in zip(self.names, self.inputs, strict=True)
        ]

    def shaken(self, name: str, eps: float, rng: np.random.Generator) -> np.ndarray:
        """How far the gradient of one input moves when all inputs move by a few times eps."""
        moved = []
        for _ in range(SHAKES):
            changed = {n: x * (1 + 4 * eps * rng.standard_normal(x.shape)) for n, x in self.x.items()}
            out, backward = self.op(*self.replaced(changed, np.float64))
            moved.append(_on_host(self.gradients(backward, out, self.d_out)[0])[name])
        return 4 * np.abs(np.array(moved) - self.wide[name]).max(axis=0)

    def output(self, changed: dict[str, np.ndarray], dtype: type = np.float64) -> np.ndarray:
        """The output of op on the host, with some leaves changed."""
        with np.errstate(all="ignore"):  # a step may leave the domain of op; a shorter one follows
            return to_numpy(self.op(*self.replaced(changed, dtype))[0])


def _name(op: Op) -> str:
    """What to call `op` in a report; functools.partial has no name of its own."""
    return str(getattr(getattr(op, "func", op), "__name__", type(op).__name__))


def _names(op: Op, count: int) -> list[str]:
    """The names of the first `count` parameters of `op`."""
    try:
        parameters = [p.name for p in inspect.signature(op).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    except (TypeError, ValueError):
        parameters = []
    return [parameters[i] if i < len(parameters) else f"input {i}" for i in range(count)]


def _opened(names: list[str], values: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """`values` with their names, dicts opened."""
    for name, value in zip(names, values, strict=False):
        yield from ((f"{name}[{key}]", x) for key, x in value.items()) if isinstance(value, dict) else ((name, value),)


def _leaves(names: list[str], inputs: tuple[Any, ...]) -> dict[str, Array]:
    """The arrays to differentiate, with their names."""
    arrays = {name: x for name, x in _opened(names, inputs) if compat.is_array_api_obj(x)}
    for name, x in arrays.items():
        if compat.array_namespace(x).isdtype(x.dtype, "complex floating"):
            raise TypeError(f"{name}: expected real numbers, got {in_words(x)}")
    leaves = {name: x for name, x in arrays.items() if is_real(x)}
    if not leaves:
        got = ", ".join(in_words(x) for x in inputs) or "none"
        raise TypeError(f"inputs: expected at least one floating-point array, got {got}")
    for name, x in leaves.items():
        if 0 in x.shape:
            raise ValueError(f"{name}: expected at least one entry, got shape {tuple(x.shape)}")
        if not np.isfinite(to_numpy(x)).all():
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    return leaves


def _on_host(gradients: dict[str, Any]) -> dict[str, np.ndarray]:
    """Copies of the gradients as float64 NumPy arrays."""
    return {name: np.array(to_numpy(g), dtype=np.float64) for name, g in gradients.items() if is_real(g)}


def is_real(x: Any) -> bool:
    """Whether `x` is an array of real floating-point numbers."""
    return compat.is_array_api_obj(x) and compat.array_namespace(x).isdtype(x.dtype, "real floating")


def in_words(x: Any) -> str:
    """What `x` is, for an error message."""
    return describe(x) if compat.is_array_api_obj(x) else type(x).__name__


def _upload(host: np.ndarray, like: Array) -> Array:
    """`host` in the library and on the device of `like`."""
    return compat.array_namespace(like).asarray(host, device=compat.device(like))


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are equal, NaN for NaN."""
    return bool(np.array_equal(a, b, equal_nan=True))
