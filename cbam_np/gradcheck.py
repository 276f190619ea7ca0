"""Is this backward right? Finite differences, the complex step, and what is likely wrong if it is not.

A backward computes, for an upstream gradient d_out, the gradient g of the number

    L(x) = Σ d_out ⊙ op(x)

so along every direction v the slope of φ(t) = L(x + t v) at t = 0 has to be ⟨g, v⟩. Slopes are
measured in two independent ways:

    central differences   (φ(h) - φ(-h)) / 2h     error about h², and rounding error about 1e-16/h
    complex step          Im φ(ih) / h            no subtraction, so h = 1e-20 and no error to speak of

d_out is random: with d_out = 1 many true gradients are zero or symmetric, and wrong ones pass.

The reference is always computed in float64; a float32 or float16 op is compared with it at the tolerance of
its own dtype.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from typing import Any, Literal

import array_api_compat as compat
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cbam_np.arrays import Array, to_numpy
from cbam_np.diagnosis import Evidence, diagnose, diagnose_shape

Op = Callable[..., tuple[Array, Callable[[Array], Any]]]
Verdict = Literal["ok", "wrong", "not compared"]
COLOURED = {"ok": "[green]ok", "wrong": "[bold red]wrong", "not compared": "[yellow]not compared"}

STEP = 6e-6  # of central differences: near the cube root of float64's rounding, where both errors balance
COMPLEX_STEP = 1e-20
DIRECTIONS = 3  # random directions in addition to single entries: they see every entry of a large input
DIAGNOSED_ENTRIES = 4096  # a wrong gradient of up to this size is measured in full, to say what is wrong


@dataclass(frozen=True)
class Tolerance:
    """An entry may differ by `relative` · (|expected| + floor · largest |expected|)."""

    relative: float
    floor: float

    def allowed(self, expected: np.ndarray, scale: float) -> np.ndarray:
        """The largest difference allowed at each entry."""
        return self.relative * (np.abs(expected) + self.floor * scale)


TOLERANCES = {
    ("float64", "differences"): Tolerance(1e-7, 0.1),
    ("float64", "complex step"): Tolerance(1e-12, 0.1),
    ("float32", "differences"): Tolerance(1e-5, 1.0),
    ("float32", "complex step"): Tolerance(1e-5, 1.0),
    ("float16", "differences"): Tolerance(1e-2, 1.0),
    ("float16", "complex step"): Tolerance(1e-2, 1.0),
}


@dataclass(frozen=True)
class Row:
    """One input, checked by one method.

    error: largest |got - expected| as a fraction of the largest |expected|. compared: how many entries and
    directions; kinks: how many were left out because the op has a kink there. where, got, expected: of the
    worst entry. note: why nothing was compared, or what is likely wrong.
    """

    input: str
    method: str
    verdict: Verdict
    error: float = float("nan")
    compared: int = 0
    kinks: int = 0
    where: tuple[int, ...] | None = None
    got: float = float("nan")
    expected: float = float("nan")
    note: str = ""


@dataclass(frozen=True)
class Report:
    """What `gradcheck` found. `ok`, `max_error`, `rows`; `str(report)` is a table."""

    name: str
    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """True if nothing is wrong and every input was compared by at least one method."""
        compared = {row.input for row in self.rows if row.verdict == "ok"}
        return all(row.verdict != "wrong" for row in self.rows) and compared >= {row.input for row in self.rows}

    @property
    def max_error(self) -> float:
        """The largest error of any row that was compared; inf if a gradient could not be compared at all."""
        errors = [row.error for row in self.rows if row.verdict != "not compared"]
        return max(errors, default=float("inf"))

    def table(self) -> Table:
        """The rows as a rich table."""
        table = Table(title=f"gradient check of {self.name}", title_justify="left", caption_justify="left")
        for column in ("input", "method", "compared", "max error", "worst at", "got", "expected", "verdict"):
            table.add_column(column, justify="right" if column in ("compared", "got", "expected") else "left")
        for row in self.rows:
            seen = row.verdict != "not compared"
            kinks = f" ({row.kinks} kinks left out)" if row.kinks else ""
            table.add_row(
                escape(row.input),
                row.method,
                str(row.compared) if seen else "",
                f"{row.error:.1e}" if seen else "",
                "" if row.where is None else str(row.where),
                f"{row.got:.9g}" if seen and np.isfinite(row.expected) else "",
                f"{row.expected:.9g}" if seen and np.isfinite(row.expected) else "",
                COLOURED[row.verdict] + kinks,
            )
        notes = dict.fromkeys(f"{row.input}, {row.method}: {row.note}" for row in self.rows if row.note)
        table.caption = escape("\n".join(notes)) or None
        return table

    def __str__(self) -> str:
        console = Console(file=StringIO(), width=130, color_system=None, force_jupyter=False)
        with console.capture() as text:
            console.print(self.table())
        return "\n".join(line.rstrip() for line in text.get().splitlines())


def gradcheck(
    op: Op, *inputs: Any, seed: int = 0, max_entries: int = 256, tolerance: Tolerance | None = None
) -> Report:
    """Check the backward of any `out, backward = op(*inputs)`.

    inputs: floating-point arrays of any library, or dicts of them (their gradients come back as a dict with
    the same keys). Anything else (None, a number, a string) is passed on to `op` and not differentiated. Use a lambda
    or functools.partial for keyword arguments. `backward(d_out)` returns one gradient for each input, in order; a
    single gradient needs no tuple.

    seed: of d_out and of the random directions. max_entries: inputs up to this size are checked entry by entry,
    larger ones at that many random entries; random directions through all entries are added in both cases.
    tolerance: instead of the dtype's own (float64: 1e-7 by differences, 1e-12 by the complex step; float32: 1e-5).

    Also checked: shape, dtype and library of every gradient; that inputs are not modified; that a second
    backward gives the same. An entry at which op has a kink (a tie in a maximum, a corner of ReLU) within reach of the
    step has no derivative that differences could find; it is counted and left out, unless the gradient lies
    outside both one-sided slopes.

    Returns a `Report`. Raises TypeError if there is no floating-point input, ValueError if one is empty.
    """
    check = _Check(op, inputs, seed, max_entries, tolerance)
    return Report(check.name, tuple(check.rows()))


class _Check:
    """The arrays of one gradient check on the host, and the slopes measured from them."""

    def __init__(
        self, op: Op, inputs: tuple[Any, ...], seed: int, max_entries: int, tolerance: Tolerance | None
    ) -> None:
        self.op, self.inputs, self.max_entries, self.tolerance = op, inputs, max_entries, tolerance
        self.name = _name(op)
        self.rng = np.random.default_rng(seed)
        self.leaves = dict(_leaves(_names(op, inputs), inputs))
        if not self.leaves:
            raise TypeError("inputs: expected at least one floating-point array, came none")
        for name, x in self.leaves.items():
            if 0 in x.shape:
                raise ValueError(f"{name}: expected at least one entry, came shape {tuple(x.shape)}")
        self.host = {name: np.array(to_numpy(x), dtype=np.float64) for name, x in self.leaves.items()}
        self.dtype = str(next(iter(self.leaves.values())).dtype).rsplit(".", maxsplit=1)[-1]
        before = {name: to_numpy(x).copy() for name, x in self.leaves.items()}
        self.out, self.backward = op(*inputs)
        self.d_out = self.rng.standard_normal(self.out.shape).astype(to_numpy(self.out).dtype)
        self.grads = self.gradients(self.d_out)
        self.again = self.gradients(self.d_out)
        self.modified = [name for name, x in self.leaves.items() if not _same(to_numpy(x), before[name])]
        self.reference = self.evaluate({})
        self.scale_of_noise = float(np.abs(self.reference).max(initial=0) * np.linalg.norm(self.d_out))

    def gradients(self, d_out: np.ndarray) -> dict[str, Array]:
        """What backward returns for `d_out`, by name of the input."""
        result = self.backward(_upload(d_out, self.out))
        result = result if isinstance(result, tuple) else (result,)
        names = _names(self.op, self.inputs)
        surplus = [x for x in result[len(names) :] if x is not None]
        if len(result) < len(names) or surplus:
            raise TypeError(f"backward: expected {len(names)} gradients ({', '.join(names)}), came {len(result)}")
        return dict(_leaves(names, result))

    def evaluate(self, changed: dict[str, np.ndarray], dtype: type = np.float64) -> np.ndarray:
        """op(inputs) on the host, with some leaves replaced, all of them in float64 or complex128."""
        host = {**self.host, **changed}
        new = {name: _upload(host[name].astype(dtype), x) for name, x in self.leaves.items()}
        names = _names(self.op, self.inputs)
        rebuilt = []
        for name, x in zip(names, self.inputs, strict=True):
            if isinstance(x, dict):
                rebuilt.append({key: new.get(f"{name}[{key}]", value) for key, value in x.items()})
            else:
                rebuilt.append(new.get(name, x))
        return to_numpy(self.op(*rebuilt)[0])

    # the function of one number whose slope everything is about

    def phi(self, name: str, v: np.ndarray, t: complex) -> complex:
        """L(x + t v) - L(x)."""
        dtype = np.complex128 if isinstance(t, complex) else np.float64
        moved = self.evaluate({name: self.host[name] + t * v}, dtype)
        return complex(np.sum(self.d_out.astype(np.float64) * (moved - self.reference)))

    def central(self, name: str, v: np.ndarray, h: float) -> float:
        """(φ(h) - φ(-h)) / 2h."""
        return (self.phi(name, v, h) - self.phi(name, v, -h)).real / (2 * h)

    def complex_step(self, name: str, v: np.ndarray) -> float:
        """Im φ(ih) / h."""
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            return self.phi(name, v, 1j * COMPLEX_STEP).imag / COMPLEX_STEP

    def noise(self, h: float) -> float:
        """How far rounding alone can move a central difference with step h."""
        return 4 * np.finfo(np.float64).eps * self.scale_of_noise / h

    # the rows of the report

    def rows(self) -> Iterator[Row]:
        """The contract of every gradient first; then its numbers, by both methods."""
        if self.modified:
            yield Row(self.modified[0], "contract", "wrong", np.inf, note="op or backward changes its input in place")
        for name in self.leaves:
            broken = self.broken_contract(name)
            if broken:
                yield Row(name, "contract", "wrong", float("inf"), note=broken)
            else:
                yield from self.compare(name)

    def broken_contract(self, name: str) -> str:
        """What is wrong with the gradient before its numbers are looked at; "" if nothing is."""
        x, d_x = self.leaves[name], self.grads.get(name)
        if d_x is None:
            return "backward returns no gradient for this input"
        if tuple(d_x.shape) != tuple(x.shape):
            measured = self.measure_all(name) if x.ndim and self.host[name].size <= DIAGNOSED_ENTRIES else None
            return diagnose_shape(np.asarray(to_numpy(d_x), dtype=np.float64), self.host[name].shape, measured)
        if compat.array_namespace(d_x) is not compat.array_namespace(x) or d_x.dtype != x.dtype:
            return f"expected the library and dtype of the input, {x.dtype}, came {type(d_x).__name__} of {d_x.dtype}"
        if not _same(to_numpy(d_x), to_numpy(self.again[name])):
            return "a second backward with the same d_out gives another gradient: it accumulates or reuses a buffer"
        return ""

    def directions(self, name: str) -> tuple[np.ndarray, list[np.ndarray]]:
        """Flat indices of the entries to check, and random directions through all entries."""
        size = self.host[name].size
        entries = np.arange(size)
        if size > self.max_entries:
            entries = np.sort(self.rng.choice(size, self.max_entries, replace=False))
        return entries, [self.rng.standard_normal(self.host[name].shape) for _ in range(DIRECTIONS)]

    def unit(self, name: str, entry: int) -> np.ndarray:
        """The direction of one entry."""
        v = np.zeros(self.host[name].size)
        v[entry] = 1.0
        return v.reshape(self.host[name].shape)

    def compare(self, name: str) -> Iterator[Row]:
        """One row for each method."""
        g = np.array(to_numpy(self.grads[name]), dtype=np.float64)
        entries, random = self.directions(name)
        directions = [self.unit(name, entry) for entry in entries] + random
        got = np.array([np.sum(g * v) for v in directions])
        h = STEP * np.maximum(1.0, [np.abs(self.host[name][v != 0]).max() for v in directions])
        central = np.array([self.central(name, v, step) for v, step in zip(directions, h, strict=True)])
        kinks = [
            self.kink(name, v, slope, measured, step) if self.differ("differences", slope, measured, central) else ""
            for v, slope, measured, step in zip(directions, got, central, h, strict=True)
        ]
        exact, problem = self.exact(name, directions)
        if exact is not None:  # complex slopes may differ at a kink; look at those directions as well
            for i, v in enumerate(directions):
                if not kinks[i] and self.differ("complex step", got[i], exact[i], exact):
                    kinks[i] = self.kink(name, v, got[i], central[i], h[i])
            usable = np.array([kink != "at" for kink in kinks])
            if not np.isclose(exact[usable], central[usable], rtol=1e-5, atol=1e-5 * _largest(central)).all():
                exact, problem = None, "it contradicts the differences, so op is not analytic in this input"

        yield self.row(name, "differences", g, entries, got, central, np.array([not kink for kink in kinks]))
        if exact is None:
            yield Row(name, "complex step", "not compared", note=problem)
        else:
            yield self.row(name, "complex step", g, entries, got, exact, np.array([kink != "at" for kink in kinks]))

    def exact(self, name: str, directions: list[np.ndarray]) -> tuple[np.ndarray | None, str]:
        """Slopes by the complex step; None and the reason if op cannot be evaluated on complex numbers."""
        try:
            return np.array([self.complex_step(name, v) for v in directions]), ""
        except Exception as error:
            return None, f"op does not take complex numbers here ({type(error).__name__}: {str(error).splitlines()[0]})"

    def differ(self, method: str, got: float, expected: float, all_expected: np.ndarray) -> bool:
        """Whether a slope is farther off than the method's tolerance."""
        return not abs(got - expected) <= self.allowed(method, np.array(expected), _largest(all_expected))

    def allowed(self, method: str, expected: np.ndarray, scale: float) -> np.ndarray:
        """The tolerance, and for differences the rounding noise that no tolerance may undercut."""
        tolerance = self.tolerance or TOLERANCES.get((self.dtype, method), TOLERANCES["float16", method])
        return tolerance.allowed(expected, scale) + (self.noise(STEP) if method == "differences" else 1e-300)

    def kink(self, name: str, v: np.ndarray, got: float, central: float, h: float) -> str:
        """Why a central difference may be useless here: a kink "at" x, one "near" x, or "" if there is none.

        Near: with a smaller step the difference changes and then agrees with the gradient.
        At: the slopes to the left and to the right differ, by an amount that does not shrink with the step, and
        the gradient lies between them.
        """
        for step in (h / 10, h / 100):
            nearer = self.central(name, v, step)
            tolerance = 1e-5 * abs(nearer) + 2 * self.noise(step)
            if abs(nearer - central) > tolerance and abs(nearer - got) <= tolerance:
                return "near"
        jumps = []
        for step in (h, h / 10):
            right, left = self.phi(name, v, step).real / step, -self.phi(name, v, -step).real / step
            jumps.append(abs(right - left))
        slack = 1e-5 * max(abs(left), abs(right)) + 2 * self.noise(step)
        between = min(left, right) - slack <= got <= max(left, right) + slack
        return "at" if jumps[1] > 0.5 * jumps[0] and jumps[1] > 10 * slack and between else ""

    def row(
        self,
        name: str,
        method: str,
        g: np.ndarray,
        entries: np.ndarray,
        got: np.ndarray,
        expected: np.ndarray,
        usable: np.ndarray,
    ) -> Row:
        """The comparison of all slopes by one method; if it fails, what is likely wrong."""
        kinks = int(np.sum(~usable))
        if not usable[: len(entries)].any():
            note = "every entry sits at a kink, where there is no derivative: choose an input without ties"
            return Row(name, method, "not compared", kinks=kinks, note=note)
        scale = _largest(expected[usable])
        difference = np.where(usable, np.abs(got - expected), 0.0)
        difference[np.isnan(difference)] = np.inf
        wrong = difference > self.allowed(method, expected, scale)
        error = float(difference.max() / scale) if scale else float(difference.max())
        excess = difference / self.allowed(method, expected, scale)
        worst = int(np.argmax(excess[: len(entries)]))
        where = np.unravel_index(entries[worst], g.shape)
        note = ""
        if wrong.any():
            if not wrong[: len(entries)].any():  # seen along random directions only: find the entry
                where = self.locate(name, g)
            full = self.measure_all(name) if g.size <= DIAGNOSED_ENTRIES else None
            note = diagnose(self.evidence(name, g, full)) if full is not None else "too large to measure in full"
        at = self.unit(name, int(np.ravel_multi_index(where, g.shape)))
        return Row(
            name,
            method,
            "wrong" if wrong.any() else "ok",
            error,
            int(usable.sum()),
            kinks,
            tuple(int(i) for i in where),
            float(g[where]),
            float(expected[worst]) if not wrong.any() else self.slope(name, at),
            note,
        )

    # what a failure needs

    @cached_property
    def takes_complex(self) -> bool:
        """Whether the op can be evaluated on complex numbers at all."""
        name = next(iter(self.leaves))
        return self.exact(name, [self.unit(name, 0)])[0] is not None

    def slope(self, name: str, v: np.ndarray) -> float:
        """The best measurement there is along v."""
        central = self.central(name, v, STEP)
        exact = self.complex_step(name, v) if self.takes_complex else central
        return exact if np.isclose(exact, central, rtol=1e-4, atol=10 * self.noise(STEP)) else central

    def measure_all(self, name: str) -> np.ndarray:
        """The gradient, entry by entry."""
        size, shape = self.host[name].size, self.host[name].shape
        return np.array([self.slope(name, self.unit(name, entry)) for entry in range(size)]).reshape(shape)

    def locate(self, name: str, g: np.ndarray) -> tuple[Any, ...]:
        """An entry that is wrong, found by halving a random direction: the half that is farther off goes on."""
        entries = np.arange(g.size)
        v = self.rng.standard_normal(g.size)
        while len(entries) > 1:
            halves = np.array_split(entries, 2)
            errors = []
            for half in halves:
                part = np.zeros(g.size)
                part[half] = v[half]
                errors.append(abs(np.sum(g.ravel() * part) - self.slope(name, part.reshape(g.shape))))
            entries = halves[int(np.argmax(errors))]
        return tuple(np.unravel_index(int(entries[0]), g.shape))

    def evidence(self, name: str, g: np.ndarray, measured: np.ndarray) -> Evidence:
        """All that a diagnosis may look at."""
        other = self.rng.standard_normal(self.out.shape).astype(self.d_out.dtype)
        got_other = np.array(to_numpy(self.gradients(other)[name]), dtype=np.float64)
        same_shape = {n for n in self.leaves if n != name and self.host[n].shape == g.shape}
        return Evidence(
            got=g,
            expected=measured,
            x=self.host[name],
            d_out=self.d_out.astype(np.float64),
            got_for_other_upstream=got_other,
            others={n: self.measure_all(n) for n in same_shape},
            tolerance=max(
                1e-6, 10 * TOLERANCES.get((self.dtype, "differences"), TOLERANCES["float16", "differences"]).relative
            ),
        )


def _name(op: Op) -> str:
    """What to call `op` in a report; functools.partial has no name of its own."""
    return str(getattr(getattr(op, "func", op), "__name__", "op"))


def _names(op: Op, inputs: tuple[Any, ...]) -> list[str]:
    """The parameter names of `op`, one for each input."""
    try:
        parameters = [p.name for p in inspect.signature(op).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    except (TypeError, ValueError):
        parameters = []
    return [parameters[i] if i < len(parameters) else f"input {i}" for i in range(len(inputs))]


def _leaves(names: list[str], values: tuple[Any, ...]) -> Iterator[tuple[str, Array]]:
    """The floating-point arrays among `values`, dicts opened, with their names."""
    for name, value in zip(names, values, strict=False):
        items = ((f"{name}[{key}]", x) for key, x in value.items()) if isinstance(value, dict) else ((name, value),)
        for leaf, x in items:
            if compat.is_array_api_obj(x) and compat.array_namespace(x).isdtype(x.dtype, "real floating"):
                yield leaf, x


def _upload(host: np.ndarray, like: Array) -> Array:
    """`host` in the library and on the device of `like`."""
    return compat.array_namespace(like).asarray(host, device=compat.device(like))


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.array_equal(a, b, equal_nan=True))


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values).max(initial=0.0))
