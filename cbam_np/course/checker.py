"""Exercises that check themselves, and say what is wrong.

How to write one. In `cbam_np/course/chapter_NN.py`:

    def _inputs(seed: int) -> tuple[Any, ...]:
        rng = np.random.default_rng(seed)
        N, C, H, W = SHAPES[seed]
        return rng.normal(size=(N, C)), rng.normal(size=(N, C, H, W))

    def _solution(d_avg_c: Any, f: Any) -> Any: ...

    exercise_2_1 = Exercise(
        "2.1", "The average, backward", returns="d_f", inputs=_inputs, solution=_solution,
        mistakes=(Mistake(lambda d_avg_c, f: ..., "What to think of, in a sentence."), ...),
    )

In the chapter, in one cell:

    def average_backward(d_avg_c, f):
        ### BEGIN SOLUTION
        ...
        ### END SOLUTION

    right = exercise_2_1.check(average_backward)

- The name is `exercise_` + the number. A title with the word "backward" says that a gradient is to be written.
- Arguments and results are named as in the package; `returns` names the results, "d_w1, d_w2" means a tuple of two.
- `inputs(seed)` is called with 0, 1, 2, ... for every shape in `SHAPES`; seed 0 is the one that is printed. Upstream
  gradients are random, and inputs without ties unless ties are the subject.
- Three mistakes or more, the ones that people make. Each returns something wrong, and no two return the same.
  A hint says what was done and what to think of; it doesn't give the line of code away.
- A mistake that is not listed gets a hint from `checking.diagnosis`, if a gradient d_x is wrong, x is an argument, and
  exactly one argument is an upstream gradient.
"""

import inspect
import textwrap
import traceback
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import permutations
from typing import Any, TypeAlias

import numpy as np

from cbam_np.checking.diagnosis import Evidence, diagnose, diagnose_shape

Function: TypeAlias = Callable[..., Any]
Arrays: TypeAlias = tuple[Any, ...]

SHAPES = ((1, 2, 2, 3), (2, 3, 5, 4), (3, 2, 7, 1), (1, 5, 1, 1))  # (N, C, H, W), the first small enough to print
TOLERANCE = 1e-9  # relative to the largest entry
PRINTED = 24  # arrays with more entries are not printed


@dataclass(frozen=True)
class Mistake:
    """Something that people write in place of the solution, and what to say to them."""

    function: Function
    hint: str


@dataclass(frozen=True)
class Exercise:
    """A function to be written: its inputs, what is right, and what often goes wrong. See the module's docstring."""

    number: str
    title: str
    returns: str
    inputs: Callable[[int], Arrays]
    solution: Function
    mistakes: tuple[Mistake, ...]

    def check(self, function: Function) -> bool:
        """Run `function` on all inputs, print one block that says what is wrong with it, or that it is right."""
        problem = self.problem(function)
        print(f"{self.number} {problem or 'right'}")
        return not problem

    def problem(self, function: Function) -> str:
        """What is wrong with `function`, in words; "" if nothing is."""
        cases = [self.inputs(seed) for seed in range(len(SHAPES))]
        results: list[Arrays] = []
        for inputs in cases:
            given = deepcopy(inputs)
            try:
                results.append(_as_tuple(function(*given)))
            except NotImplementedError:
                return "not written yet"
            except Exception as error:
                return _stopped(error, function)
            for name, before, after in zip(self.arguments, inputs, given, strict=True):
                if not _same(before, after):
                    return f"not right yet: your function changes its input {name}\n" + _block(
                        ("hint", "Whoever passed the array still needs it as it was. Make a new one, or copy it first.")
                    )
        expected = [_as_tuple(self.solution(*deepcopy(inputs))) for inputs in cases]
        wrong = [i for i in range(len(cases)) if _first_wrong(results[i], expected[i]) is not None]
        if not wrong:
            return ""
        hint = self.hint(cases, results) or self.another_order(results, expected)
        hint = hint or self.diagnosis(function, cases, results, expected, wrong)
        first = wrong[0]
        lines = [*self.what_is_wrong(results[first], expected[first]), *([("hint", hint)] if hint else [])]
        lines += self.small_arrays(cases[first], results[first], expected[first])
        return "not right yet\n" + _block(*lines)

    @property
    def arguments(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(inspect.signature(self.solution).parameters)

    @property
    def names(self) -> list[str]:
        """Of the results."""
        return self.returns.split(", ")

    def hint(self, cases: list[Arrays], results: list[Arrays]) -> str:
        """Of the mistake that gives the same results; "" if none does."""
        for mistake in self.mistakes:
            if all(
                _first_wrong(result, _as_tuple(mistake.function(*deepcopy(inputs)))) is None
                for inputs, result in zip(cases, results, strict=True)
            ):
                return mistake.hint
        return ""

    def another_order(self, results: list[Arrays], expected: list[Arrays]) -> str:
        """A hint if all results are right but for their order; "" if not."""
        count = len(self.names)
        for order in permutations(range(count)):
            turned = [tuple(result[i] for i in order) if len(result) == count else () for result in results]
            if all(_first_wrong(t, e) is None for t, e in zip(turned, expected, strict=True)):
                return f"All results are right, but in another order. Return {self.returns}."
        return ""

    def what_is_wrong(self, results: Arrays, expected: Arrays) -> Iterator[tuple[str, str]]:
        """Labelled lines: where, expected, got."""
        i = _first_wrong(results, expected)
        if i is None or len(results) != len(expected):
            yield "expected", self.returns if len(expected) == 1 else f"a tuple of {len(expected)}: {self.returns}"
            yield "got", "a single result" if len(results) == 1 else f"a tuple of {len(results)}"
            return
        name, got, right = self.names[i], results[i], expected[i]
        if not _is_numeric(got):
            yield "expected", f"{name} as a NumPy array of shape {np.shape(right)}"
            yield "got", "None: is the line with return missing?" if got is None else f"{type(got).__name__}"
        elif np.shape(got) != np.shape(right):
            yield "expected", f"{name} of shape {np.shape(right)}"
            yield "got", f"shape {np.shape(got)}"
        elif np.ndim(right) and got.dtype != right.dtype:
            yield "expected", f"{name} of dtype {right.dtype}"
            yield "got", f"{got.dtype}"
        else:
            off = ~_close(got, right)
            distance = np.where(off, np.nan_to_num(np.abs(np.subtract(got, right)), nan=np.inf), -1.0)
            worst = tuple(int(k) for k in np.unravel_index(np.argmax(distance), distance.shape))
            place = f"{name}[{', '.join(map(str, worst))}]" if worst else name
            yield "where", f"{place} ({int(off.sum())} of {off.size} entries are wrong, this one most)"
            digits = 6 if np.abs(np.subtract(got, right))[worst] > 1e-4 * np.abs(right).max() else 12
            yield "expected", f"{np.asarray(right)[worst]:.{digits}g}"
            yield "got", f"{np.asarray(got)[worst]:.{digits}g}"

    def small_arrays(self, inputs: Arrays, results: Arrays, expected: Arrays) -> Iterator[tuple[str, str]]:
        """The inputs, and what should come and what came, if they are small enough to be looked at."""
        i = _first_wrong(results, expected)
        if i is None or len(results) != len(expected) or not _is_numeric(results[i]):
            return
        shown = {**dict(zip(self.arguments, inputs, strict=True)), "expected": expected[i], "got": results[i]}
        if all(_is_numeric(x) and np.size(x) <= PRINTED for x in shown.values()):
            yield "", ""
            for name, x in shown.items():
                if np.ndim(x):
                    yield name, np.array2string(np.add(x, 0), precision=3)  # -0 + 0 is 0

    def diagnosis(
        self, function: Function, cases: list[Arrays], results: list[Arrays], expected: list[Arrays], wrong: list[int]
    ) -> str:
        """What `cbam_np.checking.diagnosis` makes of a wrong gradient; "" for anything else."""
        case = max(wrong, key=lambda i: sum(map(np.size, expected[i])))  # the more entries, the fewer coincidences
        i = _first_wrong(results[case], expected[case])
        if i is None or len(results[case]) != len(expected[case]):
            return ""
        arguments = dict(zip(self.arguments, cases[case], strict=True))
        upstream = [name for name in arguments if name.startswith("d_")]
        name, got, right = self.names[i], results[case][i], expected[case][i]
        x = arguments.get(name.removeprefix("d_")) if name.startswith("d_") else None
        if x is None or len(upstream) != 1 or not _is_numeric(got) or not right.any():
            return ""
        if np.shape(got) != right.shape:
            _, _, likely = diagnose_shape(np.asarray(got, np.float64), right.shape, right).partition("; ")
            return f"perhaps {likely}" if likely else ""
        if got.dtype != right.dtype:
            return ""
        other = np.random.default_rng(0).normal(size=arguments[upstream[0]].shape)
        with np.errstate(all="ignore"):
            again = _as_tuple(function(*deepcopy(tuple((arguments | {upstream[0]: other}).values()))))[i]
            alike = {n: e for n, e in zip(self.names, expected[case], strict=True) if n != name}
            others = {n: e for n, e in alike.items() if np.shape(e) == right.shape}
            evidence = Evidence(
                got=got,
                expected=right,
                x=x,
                d_out=arguments[upstream[0]],
                got_for_other_upstream=again,
                others=others,
            )
            return f"perhaps {diagnose(evidence).replace('perhaps ', '')}"


def _as_tuple(result: Any) -> Arrays:
    return result if isinstance(result, tuple) else (result,)


def _is_numeric(x: Any) -> bool:
    return isinstance(x, (np.ndarray, np.generic, int, float)) and np.asarray(x).dtype.kind in "biufc"


def _close(got: Any, expected: Any) -> np.ndarray:
    """Entry by entry, for two arrays of the same shape."""
    largest = np.abs(np.nan_to_num(expected)).max(initial=0.0)
    return np.asarray(np.isclose(got, expected, rtol=TOLERANCE, atol=TOLERANCE * largest, equal_nan=True))


def _same(got: Any, expected: Any) -> bool:
    """Shape, numbers, and the dtype of an array; anything that isn't numeric has to be equal."""
    if isinstance(expected, dict):
        return got.keys() == expected.keys() and all(_same(got[key], value) for key, value in expected.items())
    if not _is_numeric(expected):
        return bool(got == expected)
    if not _is_numeric(got) or np.shape(got) != np.shape(expected) or not _close(got, expected).all():
        return False
    return np.ndim(expected) == 0 or got.dtype == expected.dtype


def _first_wrong(results: Arrays, expected: Arrays) -> int | None:
    """The index of the first result that is not as expected; None if all are."""
    if len(results) != len(expected):
        return 0
    return next((i for i, pair in enumerate(zip(results, expected, strict=True)) if not _same(*pair)), None)


def _stopped(error: Exception, function: Function) -> str:
    """An exception, and the line of the learner's own code that it went through last."""
    code = getattr(function, "__code__", None)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if code and f.filename == code.co_filename]
    where = [("in line", f"{frames[-1].lineno}:  {frames[-1].line}")] if frames else []
    return "stopped by an error\n" + _block((type(error).__name__, str(error)), *where)


def _block(*lines: tuple[str, str]) -> str:
    """Labels on the left, texts on the right, long ones wrapped."""
    width = max(len(label) for label, _ in lines)
    rows = []
    for label, text in lines:
        parts = [part for line in text.split("\n") for part in (textwrap.wrap(line, 88) if len(line) > 88 else [line])]
        rows.append(f"  {label:<{width}}  " + f"\n{'':{width + 4}}".join(parts))
    return "\n".join(line.rstrip() for row in rows for line in row.split("\n"))
