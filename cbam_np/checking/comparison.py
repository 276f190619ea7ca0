"""One input of an operation: its gradient beside the slopes that are measured."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import array_api_compat as compat
import numpy as np

from cbam_np.arrays import describe, dtype_name
from cbam_np.checking.diagnosis import SAME, Evidence, diagnose, diagnose_shape, unexplained
from cbam_np.checking.operation import Arrays, Operation, in_words, is_real, on_host
from cbam_np.checking.report import Row
from cbam_np.checking.slopes import EPS, Slope, Terms, central, complex_step, refine_slope

# An entry may differ by relative · (|expected| + floor · largest |expected|).
TOLERANCES = {"differences": (1e-7, 1e-2), "complex step": (1e-9, 0.0), "float32": (1e-5, 1.0), "float16": (1e-2, 1.0)}
ROUNDED_AWAY = 100 * EPS  # of a typical slope: 1 - y² of tanh is as wrong as that, and 0 where y is nearly 1
RESOLUTION = 2e-4  # of the largest slope: if it is not measured better, an error of 0.05 % may hide
DIRECTIONS = 3  # random ones, in addition to single entries: they see every entry of a large input
DIAGNOSED_ENTRIES = 1024  # a wrong gradient of up to this size is measured in full, to say what is wrong
NEAR = 1e-4  # a kink: as many sizes of a typical entry
ELSEWHERE = 0.05  # of the jump at a kink: a slope nearby that is farther from both sides belongs to another kink

AT_KINKS = "op has a kink at every entry, where there is no derivative: choose inputs without ties"
ROUNDING = "rounding hides the slopes: the output is too large beside what this input changes in it"
ZERO = "the gradient is zero here, so a wrong factor would pass: choose other inputs"
TOGETHER = "wrong when all entries at kinks move together, as if each of several tied entries got the full gradient"


@dataclass(eq=False)
class Direction:
    """Some entries (flat indices) that move, each by its weight; and three slopes along that direction.

    got: of the gradient. slope: by differences; refined: whether by `refine_slope`. exact: by the complex step.
    """

    entries: np.ndarray
    weights: np.ndarray
    got: float
    slope: Slope
    exact: float
    refined: bool = False

    @property
    def single(self) -> bool:
        """Whether only one entry moves."""
        return self.entries.size == 1

    @property
    def length(self) -> float:
        """√Σ weights²."""
        return float(np.linalg.norm(self.weights))

    def expected(self, method: str) -> float:
        """The slope; at a kink the nearest value to `got` that a choice of side could give, or no side: 0."""
        if self.slope.kink:
            return float(np.clip(self.got, min(self.slope.low, 0.0), max(self.slope.high, 0.0)))
        return self.exact if method == "complex step" else self.slope.value


class Input:
    """One input: its gradient g beside the slopes that are measured, all in units of a typical slope."""

    def __init__(self, operation: Operation, name: str, max_entries: int, tolerance: float | None) -> None:
        self.operation, self.name, self.rng = operation, name, operation.rng
        self.max_entries, self.tolerance = max_entries, tolerance
        self.leaf, self.x, self.size = operation.leaves[name], operation.x[name], operation.size[name]
        self.scale = operation.change(name) / np.sqrt(self.x.size)
        self.unit = self.scale / self.size
        self.directions: list[Direction] = []
        self.largest = 0.0  # slope, per length; 0 if all are zero but for rounding
        self.no_complex = ""  # why there are no slopes by the complex step
        self.likely = ""  # what is likely wrong

    def rows(self) -> Iterator[Row]:
        """What is wrong before numbers are looked at, or the numbers: one row for each method."""
        if broken := self.operation.broken.get(self.name) or self.broken_contract():
            yield Row(self.name, "contract", "wrong", np.inf, note=broken)
            return
        self.g = self.operation.wide[self.name].ravel() / self.unit
        self.measure()
        yield self.compared("differences")
        yield self.compared("complex step")
        if dtype_name(self.leaf) != "float64":
            yield self.in_own_dtype()

    def broken_contract(self) -> str:
        """What is wrong with the gradient before its numbers are looked at; "" if nothing is."""
        g = self.operation.own.get(self.name)
        if g is None:
            return "backward returns no gradient for this input"
        if not is_real(g):
            return f"expected an array of {dtype_name(self.leaf)}, got {in_words(g)}"
        if tuple(g.shape) != self.x.shape:
            whole = self.x.size <= DIAGNOSED_ENTRIES
            measured = self.by_differences(np.arange(self.x.size)).reshape(self.x.shape) if whole else None
            return diagnose_shape(self.operation.wide[self.name], self.x.shape, measured)
        if describe(g) != describe(self.leaf):
            return f"expected library, dtype and device of the input, {describe(self.leaf)}, got {describe(g)}"
        return ""

    # slopes

    def terms(self, entries: np.ndarray, weights: np.ndarray, changed: Arrays | None = None) -> Terms:
        """t -> the terms of φ(t) - φ(0), where entries move by t · weights, away from x or from `changed` inputs."""
        start = self.operation.x | (changed or {})
        step = np.zeros_like(self.x)
        step.flat[entries] = self.size * weights

        def moved(t: complex) -> np.ndarray:
            return self.operation.terms(start | {self.name: start[self.name] + t * step}) / self.scale

        return moved

    def along(self, entries: np.ndarray, weights: np.ndarray) -> Direction:
        """That direction, measured once by each method."""
        terms = self.terms(entries, weights)
        slope, exact = central(terms), np.nan
        if not self.no_complex:
            try:
                exact = complex_step(terms)
                if not np.isfinite(exact):
                    raise FloatingPointError("the output is NaN or infinite")
            except Exception as error:
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                self.no_complex = f"op does not take complex numbers here ({reason})"
        got = float(self.g[entries] @ weights)
        return Direction(entries, weights, got, Slope(slope, slope, 0.0, slope, slope), exact)

    def alone(self, entry: int) -> Direction:
        """One entry, measured."""
        return self.along(np.array([entry]), np.ones(1))

    def by_differences(self, entries: np.ndarray) -> np.ndarray:
        """The slopes along single entries."""
        return self.unit * np.array([central(self.terms(entry, np.ones(1))) for entry in entries[:, None]])

    def measure(self) -> None:
        """Measure along single entries, then along many at once."""
        self.conditioning = self.operation.conditioning(self.name, EPS).ravel() / self.unit
        entries = np.arange(self.x.size)
        if self.x.size > self.max_entries:
            entries = np.sort(self.rng.choice(self.x.size, self.max_entries, replace=False))
        self.directions = [self.alone(int(entry)) for entry in entries]
        self.settle()
        self.directions += [self.along(entries, weights) for entries, weights in self.through_many() if weights.any()]
        self.settle()

    def through_many(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Random directions through all entries but those at kinks; then these, moved together in two ways.

        Every entry moves by 1/2 to 3/2, so that none escapes notice.
        """
        kinks = self.kinks()
        smooth = np.setdiff1d(np.arange(self.x.size), kinks)
        for _ in range(DIRECTIONS):
            yield smooth, self.rng.uniform(0.5, 1.5, smooth.size) * self.rng.choice([-1.0, 1.0], smooth.size)
        yield kinks, np.ones(kinks.size)
        yield kinks, self.x.flat[kinks] / self.size

    def kinks(self) -> np.ndarray:
        """The entries at kinks."""
        return np.array([d.entries[0] for d in self.directions if d.single and d.slope.kink], dtype=int)

    def settle(self) -> None:
        """Refine the slopes that are in doubt; do without the complex step if it contradicts them."""
        doubtful = self.directions
        while doubtful:
            steepest = max(d.slope.steepness / d.length for d in self.directions)
            self.largest = steepest if steepest > ROUNDED_AWAY else 0.0
            doubtful = [d for d in self.directions if not (d.refined or self.agreed(d))]
            for d in doubtful:
                d.slope = refine_slope(self.terms(d.entries, d.weights), self.operation.noise / self.scale)
                d.refined = True
                if d.slope.kink and d.single and self.surplus("differences", d) > 0 and self.several_kinks(d):
                    d.slope = replace(d.slope, low=-np.inf, high=np.inf)  # nothing can be said
        if not (self.no_complex or all(self.agreed(d) for d in self.directions if not d.slope.kink)):
            self.no_complex = "it contradicts the differences: op is not analytic in this input"

    def agreed(self, d: Direction) -> bool:
        """Whether the differences agree with the complex step; without that, with backward."""
        return abs((d.got if self.no_complex else d.exact) - d.slope.value) <= self.allowed("differences", d)

    def several_kinks(self, d: Direction) -> bool:
        """Whether several kinks meet here: op has other slopes close by than those to the left and to the right."""
        sides = np.array([d.slope.left, d.slope.right])
        nearby = self.operation.perturbed({name: NEAR * size for name, size in self.operation.size.items()})
        slopes = (central(self.terms(d.entries, d.weights, near), 1e-3 * NEAR) for near in nearby)
        return any(np.abs(slope - sides).min() > ELSEWHERE * np.ptp(sides) for slope in slopes)

    # verdicts

    def allowed(self, method: str, d: Direction) -> float:
        """How far the gradient's slope may be off."""
        relative, floor = TOLERANCES[method]
        steep = max(abs(d.expected(method)), float(np.linalg.norm(d.weights * self.g[d.entries])))
        allowed = (self.tolerance or relative) * (steep + floor * self.largest * d.length)
        return allowed + (d.slope.error if method == "differences" else ROUNDED_AWAY * d.length)

    def surplus(self, method: str, d: Direction) -> float:
        """By how much more it is off: above 0 it is wrong."""
        surplus = abs(d.got - d.expected(method)) - self.allowed(method, d)
        if surplus > 0 and not np.isin(d.entries, self.kinks()).any():
            surplus -= float(np.abs(d.weights) @ self.conditioning[d.entries])
        return surplus if np.isfinite(surplus) else np.inf

    def left_out(self, method: str, d: Direction) -> bool:
        """Whether there is nothing to compare with along `d`."""
        if d.slope.kink:
            return not d.single or self.surplus("differences", d) <= 0
        return method == "differences" and not d.slope.error <= RESOLUTION * self.largest * d.length

    def compared(self, method: str) -> Row:
        """The comparison of all slopes by one method; if it fails, what is wrong."""
        if method == "complex step" and self.no_complex:
            return Row(self.name, method, "not compared", note=self.no_complex)
        compared = [d for d in self.directions if not self.left_out(method, d)]
        singles = [d for d in compared if d.single]
        kinks = len({*self.kinks()} - {d.entries[0] for d in singles})
        surplus = {d: self.surplus(method, d) for d in compared}
        at = max(compared, key=lambda d: (surplus[d] > 0, d.single, surplus[d]), default=None)
        wrong = at is not None and surplus[at] > 0
        if at is None or not (wrong or at.single):
            return Row(self.name, method, "not compared", kinks=kinks, note=AT_KINKS if kinks else ROUNDING)
        note = self.caveat(compared)
        if wrong:
            at = self.located(at)
            note = self.likely = self.likely or (self.diagnosis(at) if at.single else TOGETHER)
        off = max(abs(d.got - d.expected(method)) / d.length for d in [*compared, at])
        row = Row(self.name, method, "wrong" if wrong else "ok", off / (self.largest or 1.0), len(compared), kinks)
        where = tuple(map(int, np.unravel_index(at.entries[0], self.x.shape))) if at.single else None
        return replace(row, where=where, got=at.got * self.unit, expected=at.expected(method) * self.unit, note=note)

    def caveat(self, compared: list[Direction]) -> str:
        """What limits the worth of a comparison that found nothing wrong."""
        if max(self.largest, np.abs(self.g).max()) <= ROUNDED_AWAY:
            return ZERO
        if all(d.single for d in compared) and len(compared) < self.x.size:
            count = f"only {len(compared)} of {self.x.size} entries could be compared"
            return f"{count}: along all other directions op has a kink, or no finite value"
        return ""

    def in_own_dtype(self) -> Row:
        """The gradient in the input's own dtype against the one in float64, at all entries."""
        dtype, got = dtype_name(self.leaf), on_host(self.operation.own)[self.name].ravel() / self.unit
        relative, floor = TOLERANCES.get(dtype, TOLERANCES["float16"])
        largest = np.abs(self.g).max() if self.largest else 1.0  # a zero is rounded as its terms are
        off = np.nan_to_num(np.abs(got - self.g), nan=np.inf, posinf=np.inf)
        surplus = off - (self.tolerance or relative) * (np.abs(self.g) + floor * largest)
        at, wrong = int(np.argmax(surplus)), bool(surplus.max() > 0)
        eps = float(compat.array_namespace(self.leaf).finfo(self.leaf.dtype).eps)
        if wrong and (surplus * self.unit <= self.operation.conditioning(self.name, eps).ravel()).all():
            note = f"rounding of the inputs to {dtype} moves the gradient as far: at a tie, or where digits cancel"
            return Row(self.name, dtype, "not compared", note=note)
        note = f"right in float64, wrong in {dtype}: look for overflow and for long sums" if wrong else ""
        row = Row(self.name, dtype, "wrong" if wrong else "ok", float(off.max() / (largest or 1.0)), got.size)
        where, there = tuple(map(int, np.unravel_index(at, self.x.shape))), self.unit * np.array([got[at], self.g[at]])
        return replace(row, where=where, got=float(there[0]), expected=float(there[1]), note=note)

    # what a failure needs

    def located(self, d: Direction) -> Direction:
        """One entry that is wrong, found by halving `d`; `d` itself if only all of its entries together are wrong."""
        if d.single or d.entries[0] in self.kinks():
            return d
        while not d.single:
            halves = zip(np.array_split(d.entries, 2), np.array_split(d.weights, 2), strict=True)
            d = max((self.along(*half) for half in halves), key=lambda half: abs(half.got - half.expected(self.best)))
        return self.alone(int(d.entries[0]))

    @property
    def best(self) -> str:
        """The more precise method of the two that can be used."""
        return "differences" if self.no_complex else "complex step"

    def diagnosis(self, at: Direction) -> str:
        """What is wrong: from the whole gradient if it is small, else from the entries that were checked."""
        known = {d.entries[0]: d for d in [*self.directions, at] if d.single}
        whole = self.x.size <= DIAGNOSED_ENTRIES
        entries = np.arange(self.x.size) if whole else np.sort(list(known))
        shape = self.x.shape if whole else entries.shape
        expected = [(known.get(entry) or self.alone(int(entry))).expected(self.best) for entry in entries]
        inputs = {name: x for name, x in self.operation.x.items() if name != self.name}
        alike = {name: Input(self.operation, name, 1, None) for name, x in inputs.items() if x.shape == self.x.shape}

        def part(values: np.ndarray) -> np.ndarray:
            return values.ravel()[entries].reshape(shape)

        evidence = Evidence(
            got=part(self.operation.wide[self.name]),
            expected=self.unit * np.reshape(expected, shape),
            x=part(self.x),
            d_out=self.operation.d_out,
            got_for_other_upstream=part(self.operation.wide_for_other[self.name]),
            others={name: other.by_differences(entries).reshape(shape) for name, other in alike.items()},
            shape=self.x.shape,
            accuracy=TOLERANCES[self.best][0],
            out=self.operation.reference,
            inputs=inputs,
            fits=self.fits,
        )
        return diagnose(evidence) or unexplained(evidence)

    def fits(self, name: str, y: np.ndarray) -> bool:
        """Whether the gradient would be right if another input were y."""
        entries, weights = np.arange(self.x.size), self.rng.standard_normal((DIRECTIONS, self.x.size))
        off = [self.g @ w - central(self.terms(entries, w, {name: y})) for w in weights]
        return bool((np.abs(off) <= SAME * np.linalg.norm(self.g) * np.linalg.norm(weights, axis=1)).all())
