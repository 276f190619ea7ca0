"""One input of an operation: its gradient beside the slopes that are measured."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import array_api_compat as compat
import numpy as np

from cbam_np.arrays import describe, dtype_name
from cbam_np.checking.diagnosis import Evidence, diagnose, diagnose_shape
from cbam_np.checking.operation import SHAKES, Operation, in_words, is_real, same
from cbam_np.checking.report import Row
from cbam_np.checking.slopes import COMPLEX_STEP, EPS, STEP, Slope, Terms, central, closely, complex_step

# An entry may differ by relative · (|expected| + floor · largest |expected|).
TOLERANCES = {
    "differences": (1e-7, 1e-2),
    "complex step": (1e-9, 1e-4),
    "float32": (1e-5, 1.0),
    "float16": (1e-2, 1.0),
}
RESOLUTION = 1e-4  # of the largest slope: a slope that cannot be measured better than that tells nothing
DIRECTIONS = 3  # random directions in addition to single entries: they see every entry of a large input
DIAGNOSED_ENTRIES = 1024  # a wrong gradient of up to this size is measured in full, to say what is wrong
NEAR = 1e-4  # of the size of an entry: how far to go for slopes close to a kink
TINY = float(np.finfo(np.float64).tiny)

AT_KINKS = "op has a kink at every entry, where there is no derivative: choose inputs without ties"
ROUNDING = "rounding hides the slopes: the output is too large beside what this input changes in it"
ZERO = "the gradient is zero here, so a wrong factor would pass: choose other inputs"
TOGETHER = "wrong when all entries at kinks move together, as if each of several tied entries got the full gradient"


@dataclass(eq=False)
class Direction:
    """A direction v of an input, and three slopes along it: of the gradient, by differences, by the complex step.

    v is a flat index where only one entry moves. close: whether `slope` comes from a close look.
    """

    v: int | np.ndarray
    got: float
    slope: Slope
    exact: float
    close: bool = False

    @property
    def single(self) -> bool:
        """Whether only one entry moves."""
        return isinstance(self.v, int)

    @property
    def length(self) -> float:
        """‖v‖."""
        return 1.0 if isinstance(self.v, int) else float(np.linalg.norm(self.v))

    def expected(self, method: str) -> float:
        """The slope; at a kink the nearest value to `got` that a choice of side could give, or no side: 0."""
        if self.slope.kink:
            return float(np.clip(self.got, min(self.slope.low, 0.0), max(self.slope.high, 0.0)))
        return self.exact if method == "complex step" else self.slope.value


class Input:
    """One input: its gradient g beside the slopes that are measured."""

    def __init__(
        self, operation: Operation, name: str, rng: np.random.Generator, max_entries: int, tolerance: float | None
    ) -> None:
        self.operation, self.name, self.rng = operation, name, rng
        self.max_entries, self.tolerance = max_entries, tolerance
        self.leaf, self.x = operation.leaves[name], operation.x[name]
        self.size = float(np.sqrt(np.mean(self.x**2))) or 1.0  # of a typical entry: steps are small beside it
        # slopes up to this are zero but for rounding, beside those that op has at other places
        elsewhere = operation.output({name: self.x + self.size * rng.standard_normal(self.x.shape)})
        change = float(np.linalg.norm(operation.d_out * (elsewhere - operation.reference)))
        self.zero = 1000 * (operation.noise if change <= 100 * operation.noise else EPS * change) / self.size
        self.no_complex = ""  # why there are no slopes by the complex step
        self.likely = ""  # what is likely wrong
        self.directions: list[Direction] = []
        self.scale = 0.0  # the largest slope, per length of its direction

    def rows(self) -> Iterator[Row]:
        """What is wrong before numbers are looked at, or the numbers: one row for each method."""
        broken = self.broken_contract()
        if broken:
            yield Row(self.name, "contract", "wrong", np.inf, note=broken)
            return
        self.g = self.operation.wide[self.name]
        self.measure()
        yield self.row("differences")
        if self.no_complex:
            yield Row(self.name, "complex step", "not compared", note=self.no_complex)
        else:
            yield self.row("complex step")
        if dtype_name(self.leaf) != "float64":
            yield self.rounding()

    def broken_contract(self) -> str:
        """What is wrong with the gradient before its numbers are looked at; "" if nothing is."""
        g = self.operation.returned.get(self.name)
        if g is None:
            return "backward returns no gradient for this input"
        if not is_real(g):
            return f"expected an array of {dtype_name(self.leaf)}, got {in_words(g)}"
        if tuple(g.shape) != self.x.shape:
            whole = self.x.size <= DIAGNOSED_ENTRIES
            measured = self.first_sight(range(self.x.size)).reshape(self.x.shape) if whole else None
            return diagnose_shape(self.operation.wide[self.name], self.x.shape, measured)
        if describe(g) != describe(self.leaf):
            return f"expected library, dtype and device of the input, {describe(self.leaf)}, got {describe(g)}"
        if not same(self.operation.own[self.name], self.operation.again[self.name]):
            return "a second backward with the same d_out gives another gradient: it accumulates or reuses a buffer"
        return ""

    # slopes

    def vector(self, v: int | np.ndarray) -> np.ndarray:
        """The direction `v` as an array."""
        if not isinstance(v, int):
            return v
        unit = np.zeros_like(self.x)
        unit.flat[v] = 1.0
        return unit

    def terms(self, v: int | np.ndarray, at: dict[str, np.ndarray] | None = None) -> Terms:
        """t -> the terms of φ(t) - φ(0), where the input moves along v, away from x or from other inputs `at`."""
        x = self.x if at is None else at[self.name]
        direction = self.vector(v)

        def moved(t: complex) -> np.ndarray:
            dtype = np.complex128 if isinstance(t, complex) else np.float64
            out = self.operation.output({**(at or {}), self.name: x + t * direction}, dtype)
            return self.operation.d_out * (out - self.operation.reference)

        return moved

    def along(self, v: int | np.ndarray) -> Direction:
        """The direction `v`, measured at first sight."""
        got = float(np.sum(self.g * self.vector(v)))
        slope, exact = central(self.terms(v), STEP * self.size), np.nan
        if not self.no_complex:
            try:
                exact = complex_step(self.terms(v), COMPLEX_STEP * self.size)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                self.no_complex = f"op does not take complex numbers here ({reason})"
        return Direction(v, got, Slope(slope, slope, 0.0, slope, slope), exact)

    def measure(self) -> None:
        """Measure along single entries, then along many at once."""
        entries = np.arange(self.x.size)
        if self.x.size > self.max_entries:
            entries = np.sort(self.rng.choice(self.x.size, self.max_entries, replace=False))
        self.directions = [self.along(int(entry)) for entry in entries]
        self.settle()
        self.directions += [self.along(v) for v in map(np.asarray, self.through_many()) if v.any()]
        self.settle()

    def through_many(self) -> Iterator[np.ndarray]:
        """Random directions through all entries but those at kinks; then these, moved together in two ways.

        Every entry moves by 1/2 to 3/2, so that none escapes notice.
        """
        together = np.zeros_like(self.x)
        together.flat[self.kinks()] = 1.0
        for _ in range(DIRECTIONS):
            size = self.rng.uniform(0.5, 1.5, self.x.shape)
            yield (1 - together) * size * self.rng.choice([-1.0, 1.0], self.x.shape)
        yield together
        yield together * self.x / self.size

    def kinks(self) -> list[int]:
        """The entries at kinks."""
        return [d.v for d in self.directions if isinstance(d.v, int) and d.slope.kink]

    def settle(self) -> None:
        """Look closely where the first sight is not enough; do without the complex step if it turns out wrong."""
        while True:
            self.scale = max((self.steepness(d) for d in self.directions), default=0.0)
            doubtful = [d for d in self.directions if not d.close and not self.clear(d)]
            if not doubtful:
                break
            for d in doubtful:
                d.slope = closely(self.terms(d.v), STEP * self.size, self.operation.noise, d.got)
                d.close = True
                if d.slope.kink and d.single and self.excess("differences", d) > 1 and self.several_kinks(d):
                    d.slope = replace(d.slope, low=-np.inf, high=np.inf)  # nothing can be said
        for d in self.directions:
            if not d.slope.kink and abs(d.exact - d.slope.value) > self.allowed("differences", d):
                self.no_complex = "it contradicts the differences: op is not analytic in this input"

    def several_kinks(self, d: Direction) -> bool:
        """Whether several kinks meet here: op has other slopes close by than those to the left and to the right."""
        left, right = d.slope.left, d.slope.right
        for _ in range(4 * SHAKES):
            step = NEAR * self.size
            near = {name: x + step * self.rng.standard_normal(x.shape) for name, x in self.operation.x.items()}
            slope = central(self.terms(d.v, near), 1e-3 * step)
            if min(abs(slope - left), abs(slope - right)) > 0.05 * abs(right - left):
                return True
        return False

    def steepness(self, d: Direction) -> float:
        """The measured slope per length; 0 if it is too uncertain to be a standard for others."""
        slope = max(abs(d.slope.left), abs(d.slope.right))
        return slope / d.length if d.slope.error <= 0.1 * slope else 0.0

    def clear(self, d: Direction) -> bool:
        """Whether both methods see the same; if there is only one, whether it sees what backward says."""
        other = d.got if self.no_complex else d.exact
        return abs(other - d.slope.value) <= self.allowed("differences", d)

    # verdicts

    def allowed(self, method: str, d: Direction) -> float:
        """How far the gradient's slope may be off."""
        if self.scale <= self.zero:
            allowed = self.zero * d.length
        else:
            relative, floor = TOLERANCES[method]
            allowed = (self.tolerance or relative) * (abs(d.expected(method)) + floor * self.scale * d.length)
        return allowed + (2 * d.slope.error if method == "differences" else 0.0)

    def excess(self, method: str, d: Direction) -> float:
        """How far the gradient's slope is off, as a multiple of what is allowed: above 1 it is wrong."""
        off, allowed = abs(d.got - d.expected(method)), self.allowed(method, d)
        if method == "complex step" and off > allowed:
            allowed += float(np.sum(np.abs(self.vector(d.v)) * self.conditioning))
        return off / max(allowed, TINY) if np.isfinite(off) else np.inf

    @cached_property
    def conditioning(self) -> np.ndarray:
        """How far rounding of the inputs moves the gradient: no gradient is more precise (left out where ties are)."""
        return np.zeros_like(self.x) if self.kinks() else self.operation.shaken(self.name, EPS, self.rng)

    def left_out(self, method: str, d: Direction) -> bool:
        """Whether there is nothing to compare with along `d`."""
        if d.slope.kink:
            return not d.single or self.excess("differences", d) <= 1
        return method == "differences" and not d.slope.error <= RESOLUTION * self.scale * d.length

    def row(self, method: str) -> Row:
        """The comparison of all slopes by one method; if it fails, what is likely wrong."""
        compared = [d for d in self.directions if not self.left_out(method, d)]
        kinks = sum(d.single and d.slope.kink and d not in compared for d in self.directions)
        excess = {d: self.excess(method, d) for d in compared}
        worst = max(compared, key=lambda d: (excess[d] > 1, d.single, excess[d]), default=None)
        if worst is None or not (worst.single or excess[worst] > 1):
            return Row(self.name, method, "not compared", kinks=kinks, note=AT_KINKS if kinks else ROUNDING)
        wrong = excess[worst] > 1
        at, note = worst, self.caveat(compared)
        if wrong:
            at = self.located(worst)
            self.likely = self.likely or (self.diagnosis(at) if at.single else TOGETHER)
            note = self.likely
        off = max(abs(d.got - d.expected(method)) / d.length for d in [*compared, at])
        return Row(
            self.name,
            method,
            "wrong" if wrong else "ok",
            off / (self.scale if self.scale > self.zero else 1.0),
            len(compared),
            kinks,
            tuple(int(i) for i in np.unravel_index(at.v, self.x.shape)) if isinstance(at.v, int) else None,
            at.got,
            at.expected(method),
            note,
        )

    def caveat(self, compared: list[Direction]) -> str:
        """What limits the worth of a comparison that found nothing wrong."""
        if self.scale <= self.zero:
            return ZERO
        if all(d.single for d in compared) and len(compared) < self.x.size:
            count = f"only {len(compared)} of {self.x.size} entries could be compared"
            return f"{count}: along all other directions op has a kink, or no finite value"
        return ""

    def rounding(self) -> Row:
        """The gradient in the input's own dtype against the one in float64, at all entries."""
        dtype, got = dtype_name(self.leaf), self.operation.own[self.name]
        relative, floor = TOLERANCES.get(dtype, TOLERANCES["float16"])
        largest = float(np.abs(self.g).max())
        scale = largest if largest > self.zero else self.zero / EPS / 1000  # a zero is rounded as its terms are
        off = np.abs(got - self.g)
        off[np.isnan(off)] = np.inf
        allowed = (self.tolerance or relative) * (np.abs(self.g) + floor * scale) + TINY
        excess = off / allowed
        eps = float(compat.array_namespace(self.leaf).finfo(self.leaf.dtype).eps)
        if (excess > 1).any() and (off <= allowed + self.operation.shaken(self.name, eps, self.rng)).all():
            return Row(self.name, dtype, "not compared", note=f"rounding to {dtype} moves op across a kink (a tie?)")
        where = np.unravel_index(int(np.argmax(excess)), got.shape)
        wrong = bool(excess[where] > 1)
        return Row(
            self.name,
            dtype,
            "wrong" if wrong else "ok",
            float(off.max() / (largest or 1.0)),
            got.size,
            0,
            tuple(int(i) for i in where),
            float(got[where]),
            float(self.g[where]),
            f"right in float64, wrong in {dtype}: look for overflow and for long sums" if wrong else "",
        )

    # what a failure needs

    def located(self, d: Direction) -> Direction:
        """One entry that is wrong, found by halving `d`: the half along which the gradient is farther off goes on.

        `d` itself if only all of its entries together are wrong.
        """
        if isinstance(d.v, int):
            return d
        entries, off = np.flatnonzero(d.v), d.got - self.best(d)
        while len(entries) > 1:
            first, second = np.array_split(entries, 2)
            part = np.zeros_like(self.x)
            part.flat[first] = d.v.flat[first]
            half = self.along(part)
            off_first = half.got - self.best(half)
            go_on = abs(off_first) > abs(off - off_first)
            entries, off = (first, off_first) if go_on else (second, off - off_first)
        entry = int(entries[0])
        return d if entry in self.kinks() else self.along(entry)

    @property
    def best_method(self) -> str:
        """The more precise method of the two, if it can be used."""
        return "differences" if self.no_complex else "complex step"

    def best(self, d: Direction) -> float:
        """The slope along `d`, by the better method."""
        return d.expected(self.best_method)

    def first_sight(self, entries: Iterable[int]) -> np.ndarray:
        """The slopes along single entries, by differences."""
        return np.array([central(self.terms(entry), STEP * self.size) for entry in entries])

    def diagnosis(self, at: Direction) -> str:
        """What is likely wrong: from the whole gradient if it is small, else from the entries that were checked."""
        known = {d.v: d for d in [*self.directions, at] if isinstance(d.v, int)}
        whole = self.x.size <= DIAGNOSED_ENTRIES
        entries = list(range(self.x.size)) if whole else sorted(known)
        singles = [known.get(entry) or self.along(entry) for entry in entries]
        shape = self.x.shape if whole else (len(entries),)
        others = [name for name, x in self.operation.x.items() if x.shape == self.x.shape and name != self.name]

        def part(values: np.ndarray) -> np.ndarray:
            return values.ravel()[entries].reshape(shape)

        return diagnose(
            Evidence(
                got=part(self.g),
                expected=np.array([self.best(d) for d in singles]).reshape(shape),
                x=part(self.x),
                d_out=self.operation.d_out,
                got_for_other_upstream=part(self.operation.wide_for_other[self.name]),
                others={name: self.beside(name).first_sight(entries).reshape(shape) for name in others},
                shape=self.x.shape,
                accuracy=1e-7 if self.no_complex else 1e-12,
            )
        )

    def beside(self, name: str) -> "Input":
        """Another input of the same operation."""
        return Input(self.operation, name, self.rng, self.max_entries, self.tolerance)
