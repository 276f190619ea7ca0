"""Judging one function of the learner's file: right, or what differs, as facts, and hints in stages.

What is printed as a fact is one. A mistake is named only if it gives the very numbers that the learner got, on all
inputs where the two can be compared.
"""

import ast
import io
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, replace
from itertools import permutations
from types import FrameType
from typing import Any

import numpy as np

from cbam_np.course import calls, errors, facts, repair
from cbam_np.course.changes import syntax_tree
from cbam_np.course.exercise import Case, Exercise, Finding, Function, Mistake, copied

SECONDS = 20  # for one function; the solution takes a fraction of one
SEARCH, ONE_TRY = 8, 0.5  # seconds for a change that makes it right, and for one that is tried
SMALL = 12  # arrays with more entries are not printed

NOTHING = Finding("")

RIGHT, FORWARD, WAITS, UNWRITTEN, WRONG = "right", "forward right", "waits", "not written yet", "not right yet"


@dataclass(frozen=True)
class Verdict:
    """What came out. remarks: true and worth knowing, but nothing is wrong about them."""

    name: str
    state: str
    finding: Finding = NOTHING
    remarks: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether the function counts as written."""
        return self.state == RIGHT


class WrongError(Exception):
    """Carries a finding out of the judging."""

    def __init__(self, finding: Finding, state: str = WRONG) -> None:
        super().__init__(finding.head)
        self.finding, self.state = finding, state


class OutOfTimeError(BaseException):
    """Not an Exception, so that no `except Exception` of the learner's swallows it."""


def can_limit() -> bool:
    """Whether a function that takes too long can be stopped here."""
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise OutOfTimeError after that time, where signals can do it: on Unix, in the main thread."""
    if not can_limit():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Run:
    """The learner's function in one case."""

    case: Case
    inputs: tuple[Any, ...]
    out: Any
    backward: Any
    results: tuple[Any, ...] = ()


def judge(exercise: Exercise, function: Function, files: tuple[str, ...] = (), seconds: float = SECONDS) -> Verdict:
    """Try `function` on all cases. files: the names of the files whose lines may be shown; its own if none."""
    code = getattr(function, "__code__", None)
    files = files or ((code.co_filename,) if code else ())
    heard = io.StringIO()
    remarks: list[str] = []
    try:
        with limited(seconds), warnings.catch_warnings(record=True) as warned, redirect_stdout(heard):
            warnings.simplefilter("always")
            _Judge(exercise, function, files, warned).judge()
    except WrongError as wrong:
        return Verdict(exercise.name, wrong.state, with_repair(exercise, function, wrong.finding))
    except OutOfTimeError:
        head = f"not finished after {seconds:g} seconds"
        return Verdict(
            exercise.name,
            WRONG,
            Finding(
                head,
                hints=("Is there a loop that doesn't end, or one that does its work many times over?",),
                named=head,
            ),
        )
    messages = sorted({str(w.message) for w in warned if issubclass(w.category, RuntimeWarning)})
    remarks += [f"NumPy warned: {message}" for message in messages]
    return Verdict(exercise.name, RIGHT, remarks=tuple(remarks))


@dataclass
class _Judge:
    exercise: Exercise
    function: Function
    files: tuple[str, ...]
    warned: list[Any]

    def judge(self) -> None:
        """Raise WrongError unless all is right."""
        try:
            self.judge_results()
        except WrongError as wrong:
            try:
                numbers = wrong.finding.head.startswith("forward: ") or " changes " in wrong.finding.head
                seen = self.looked_at() if numbers and self.exercise.cases else None
            except WrongError:
                seen = None
            if seen:
                found = replace(seen, head=wrong.finding.head, lines=wrong.finding.lines + seen.lines)
                raise WrongError(found) from wrong
            if wrong.state == WRONG and (wrong.finding.head.endswith("an error") or not wrong.finding.named):
                self.blame_a_call(wrong.finding)
            raise
        if finding := self.looked_at():
            raise WrongError(finding)

    def looked_at(self) -> Finding | None:
        """What the exercise's own look at the function finds."""
        case = Case((), {})
        return self.call(self.exercise.look, (self.function,), case, "forward") if self.exercise.look else None

    def blame_a_call(self, finding: Finding) -> None:
        """Raise WrongError with `finding` and more, if a call of another operation doesn't fit."""
        fact, hints = calls.misuse(self.exercise, self.function)
        if fact:
            raise WrongError(replace(finding, lines=(*finding.lines, ("note", fact)), hints=hints, named=fact))

    def judge_results(self) -> None:
        """Raise WrongError unless outputs and gradients are right."""
        runs: list[Run] = []
        for case in self.exercise.cases:
            try:
                runs.append(self.forward(case))
            except WrongError:
                if runs:  # wrong numbers in an earlier case say more than an error in this one
                    self.compare_all(runs, ("forward", 0))
                raise
        if runs:
            self.compare_all(runs, ("forward", 0))
            self.not_shared(runs, "out" if not self.exercise.plain else "the result")
            self.quiet("forward")
        if runs and not self.exercise.plain:
            if any(run.backward is None for run in runs):
                raise WrongError(Finding("backward not written yet"), FORWARD)
            for i, run in enumerate(runs):
                try:
                    self.backward(run)
                except WrongError:
                    self.compare_gradients(runs[:i])
                    raise
            self.compare_gradients(runs)
            self.not_shared(runs, "a gradient")
            self.quiet("backward")

    # --- calling --------------------------------------------------------------------------------------------------

    def call(self, function: Function, arguments: tuple[Any, ...], case: Case, during: str) -> Any:
        """What the learner's function returns; WrongError if it stops."""
        try:
            return function(*arguments)
        except NotImplementedError as error:
            raise self.unwritten(error, during) from error
        except RecursionError as error:
            raise WrongError(Finding(f"{during} calls itself without end", named="recursion")) from error
        except Exception as error:
            finding = errors.finding(error, case, self.files, during)
            asked = self.exercise.hints.get("index", ()) if "out of bounds" in str(error) else ()
            raise WrongError(replace(finding, hints=asked or finding.hints or self.stages(during))) from error

    def unwritten(self, error: NotImplementedError, during: str) -> WrongError:
        """Whose NotImplementedError it is: the function's, its backward's, or that of another one it calls."""
        frames = [f for f, _ in errors._frames(error.__traceback__) if f.f_code.co_filename in self.files]
        last = frames[-1].f_code.co_name if frames else self.exercise.name
        if last in self.exercise.uses:
            return WrongError(Finding(f"calls {last}, which isn't written yet"), WAITS)
        if during == "forward":
            return WrongError(Finding(""), UNWRITTEN)
        return WrongError(Finding("backward not written yet"), FORWARD)

    def forward(self, case: Case) -> Run:
        """Call it, and take apart what it returns."""
        inputs = copied(case.inputs)
        result = self.call(self.function, inputs, case, "forward")
        self.unchanged(inputs, case, "forward", self.exercise.arguments)
        if self.exercise.plain:
            self.plain_array(result)
            return Run(case, inputs, result, None, (result,))
        out, backward = self.taken_apart(result, case)
        return Run(case, inputs, out, backward, (out,))

    def plain_array(self, result: Any) -> None:
        if isinstance(result, tuple):
            raise _wrong(
                "forward",
                "an array alone",
                "a tuple with a function in it" if any(map(callable, result)) else f"a tuple of {len(result)}",
                "This one has no backward of its own: return the array only.",
                "returns a tuple",
            )

    def taken_apart(self, result: Any, case: Case) -> tuple[Any, Any]:
        """out and backward."""
        want = "out, backward: the output, and the function that sends gradients back"
        if isinstance(result, tuple) and len(result) == 2:
            out, backward = result
            if backward is None or callable(backward):
                if callable(out):
                    raise _wrong("forward", want, "two functions", "What is the output, as an array?", "two functions")
                return out, backward
            if callable(out):
                raise _wrong(
                    "forward",
                    want,
                    "first a function, then something else",
                    "The output comes first, then the function.",
                    "output and backward in the wrong order",
                )
            raise _wrong(
                "forward",
                want,
                f"a tuple of two; the second is {_kind(backward)}, not a function",
                "Return the function backward itself: its name, without brackets after it.",
                "the second isn't a function",
            )
        if result is None:
            raise _wrong(
                "forward",
                want,
                "None",
                "Which line returns something? Is there a `return` at the end of the function "
                "itself, outside of backward?",
                "return is missing",
            )
        if callable(result):
            raise _wrong(
                "forward", want, "a function alone", "Return the output too: out, backward.", "out not returned"
            )
        if isinstance(result, np.ndarray) and facts.same(result, self.exercise.expected(case)[0]):
            raise WrongError(
                Finding(
                    "backward not written yet",
                    (("note", "the output is right and comes alone; from now on return two things: out, backward"),),
                    named="backward isn't returned",
                ),
                FORWARD,
            )
        kind = f"a tuple of {len(result)}" if isinstance(result, tuple) else _kind(result)
        raise _wrong("forward", want, kind, "Every operation returns exactly two things.", "not two things returned")

    def compare_gradients(self, runs: list[Run]) -> None:
        """Raise WrongError if any gradient is wrong in any of these cases."""
        if not runs:
            return
        if order := self.other_order(runs):
            lines = (("note", order),)
            raise WrongError(
                Finding(
                    "backward: the gradients come in another order",
                    lines,
                    (f"The stub says: {', '.join(self.exercise.results[1:])}.",),
                    "another order",
                )
            )
        self.compare_all(runs, *(("backward", index) for index in range(1, len(self.exercise.results))))

    def compare_all(self, runs: list[Run], *parts: tuple[str, int]) -> None:
        """Raise WrongError if any of these results is wrong: first in the usual cases, then in all."""
        usual = [run for run in runs if not run.case.corner]
        for some in (usual, runs):
            for part in parts:
                self.compare(some, part)

    def backward(self, run: Run) -> None:
        """Call it twice with a random d_out, after all forwards; fill run.results."""
        names = self.exercise.results[1:]
        upstream = self.exercise.upstream(run.case)
        d_out = upstream.copy()
        try:
            gradients = self.call(run.backward, (d_out,), run.case, "backward")
        except WrongError as wrong:
            self.blame_shared_state(run)
            raise wrong
        if not np.array_equal(d_out, upstream):
            raise _changed("backward", "d_out")
        self.unchanged(run.inputs, run.case, "backward", self.exercise.arguments)
        gradients = self.as_gradients(gradients, names)
        kept = tuple(np.array(g) for g in gradients)
        again = self.call(run.backward, (d_out,), run.case, "backward, called a second time,")
        again = again if isinstance(again, (tuple, list)) else (again,)
        count = f"number of gradients: {len(kept)}, then {len(again)}"
        other = [not facts.same(a, b) for a, b in zip(again, kept, strict=False) if _is_numeric(b)]
        if len(again) != len(kept) or any(other):
            raise WrongError(
                Finding(
                    "backward gives something else when it is called a second time",
                    (("got", count),) if len(again) != len(kept) else (),
                    (
                        "What does the first call leave changed that the second one finds: an array of the forward "
                        "pass, or something else that outlives the call?",
                    ),
                    "the second call differs from the first",
                )
            )
        expected = self.exercise.expected(run.case)
        if not all(facts.same(g, e) for g, e in zip(gradients, expected[1:], strict=True)):
            self.blame_shared_state(run)
        run.results = (run.out, *gradients)

    def blame_shared_state(self, run: Run) -> None:
        """Raise WrongError if backward is right as long as no other forward comes in between."""
        try:
            _, backward = self.function(*copied(run.case.inputs))
            gradients = backward(self.exercise.upstream(run.case))
            gradients = gradients if isinstance(gradients, tuple) else (gradients,)
            right = all(facts.same(g, e) for g, e in zip(gradients, self.exercise.expected(run.case)[1:], strict=True))
        except Exception:
            return
        if right:
            raise WrongError(
                Finding(
                    "backward is right, but only until forward is called again",
                    hints=(
                        "Where does backward find what it needs of the forward pass? It has to be in this very call, "
                        "not in a global variable or on the function.",
                    ),
                    named="what backward needs is global",
                )
            )

    def as_gradients(self, gradients: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
        """A tuple of as many as there should be."""
        want = ", ".join(names)
        if gradients is None:
            raise _wrong("backward", want, "None", "Is there a `return` in backward?", "return is missing in backward")
        if isinstance(gradients, list) and len(gradients) == len(names) > 1:
            gradients = tuple(gradients)  # asked for a tuple, but nobody is helped by insisting
        if len(names) == 1 and isinstance(gradients, tuple) and len(gradients) == 1:
            raise _wrong(
                "backward",
                f"{want} alone",
                "a tuple of one",
                "A comma makes a tuple, as in (x,). Return the array alone.",
                "tuple of one",
            )
        count = len(gradients) if isinstance(gradients, tuple) else 1
        if count != len(names):
            kind = f"a tuple of {count}" if isinstance(gradients, tuple) else _kind(gradients)
            given = gradients if isinstance(gradients, tuple) else (gradients,)
            nested = any(isinstance(gradient, tuple) for gradient in given)
            hint = "One gradient for each input of the function, in the same order."
            if nested:
                hint = "One of them is a tuple itself. (*a, b) makes one tuple of both."
            elif isinstance(gradients, np.ndarray) and len(names) > 1:
                hint = f"The function has {len(names)} inputs. Which gradients are missing?"
            named = "a tuple in the tuple" if nested else "wrong number of gradients"
            if not isinstance(gradients, (tuple, np.ndarray, float)):
                hint, named = f"backward is to return {'a tuple' if len(names) > 1 else 'an array'}.", f"returns {kind}"
            raise _wrong("backward", want if len(names) == 1 else f"{len(names)} gradients: {want}", kind, hint, named)
        return gradients if isinstance(gradients, tuple) else (gradients,)

    # --- looking at the results --------------------------------------------------------------------------------------

    def unchanged(self, inputs: tuple[Any, ...], case: Case, during: str, names: tuple[str, ...]) -> None:
        for name, before, after in zip(names, case.inputs, inputs, strict=False):
            befores, afters = (x if isinstance(x, tuple) else (x,) for x in (before, after))
            for a, b in zip(befores, afters, strict=True):
                if isinstance(a, np.ndarray) and not facts.same(b, a, 1e-12):
                    raise _changed(during, name)

    def not_shared(self, runs: list[Run], what: str) -> None:
        """No result may be a window on an input through which it can be changed."""
        for run in runs:
            arrays = {
                n: x for n, x in zip(self.exercise.arguments, run.inputs, strict=False) if isinstance(x, np.ndarray)
            }
            for result in run.results:
                for name, x in arrays.items():
                    if isinstance(result, np.ndarray) and result.flags.writeable and np.shares_memory(result, x):
                        raise WrongError(
                            Finding(
                                f"{what} shares its memory with {name}: if one is changed later, so is the other",
                                hints=(
                                    f"Is it {name} itself, or a view of it? Slices and reshape give views of the same "
                                    "memory; .copy() doesn't.",
                                ),
                                named=f"a view of {name}",
                            )
                        )

    def quiet(self, during: str) -> None:
        """Where a warning is a fault, say so."""
        for warning in self.warned if self.exercise.quiet else ():
            if issubclass(warning.category, RuntimeWarning):
                hints = self.about_overflow(written(self.function, during))
                line = (("in line", str(warning.lineno)),) if warning.filename in self.files else ()
                text = str(warning.message)
                head = f"{during}: the numbers are right, but NumPy warns"
                raise WrongError(Finding(head, (("warning", text), *line), hints, named=text))

    def compare(self, runs: list[Run], part: tuple[str, int]) -> None:
        """Raise WrongError if result number `index` is wrong in any case."""
        during, index = part
        exercise = self.exercise
        name = exercise.results[index]
        got = [run.results[index] for run in runs]
        expected = [self.exercise.expected(run.case)[index] for run in runs]
        wrong = [i for i in range(len(runs)) if not self.is_right(got[i], expected[i])]
        if not wrong:
            return
        lines: list[tuple[str, str]] = []
        said: list[str] = []
        others = self.other_wrong_results(runs, index) if during == "backward" else []
        head = f"{during}: {' and '.join([name, *others])} {'are' if others else 'is'} wrong"
        i = wrong[0]
        if not _is_numeric(got[i]):
            hint, named = "Is every entry there, in one array?", _kind(got[i])
            if isinstance(got[i], tuple) and any(map(callable, got[i])):
                hint, named = f"{name} is an operation's output with its backward. Take them apart.", "not taken apart"
            if got[i] is None:
                hint = (
                    "Is the line with return missing?"
                    if exercise.plain
                    else "it is None. What is the gradient of this input?"
                )
                named = "return is missing" if exercise.plain else f"{name} is None"
            raise _wrong(during, f"{name} as a NumPy array", _kind(got[i]), hint, named)
        arrays = [np.asarray(x) for x in got]
        if arrays[i].shape != expected[i].shape:
            case = runs[i].case
            lines += [
                ("expected", f"{name} of shape {case.shape(expected[i].shape)}"),
                ("got", f"shape {case.shape(arrays[i].shape)}"),
            ]
            said += [facts.shape(name, arrays[i], expected[i], case)]
            said += [facts.contrast([run.case for run in runs], wrong)]
        elif arrays[i].dtype != np.float64 and (
            _is_right(arrays[i].astype(np.float64), expected[i], 1e-4)
            if arrays[i].dtype.kind == "f"
            else not self.named(runs, index, wrong)
        ):
            raise _wrong(
                during,
                f"{name} in float64, as the inputs are",
                str(arrays[i].dtype),
                "Where does the dtype change? np.zeros makes float64, and zeros_like takes the dtype of its model.",
                f"dtype {arrays[i].dtype}",
            )
        else:
            shown = min(wrong, key=lambda j: (arrays[j].shape != expected[j].shape, expected[j].size))
            lines += self.place(name, arrays[shown], expected[shown], runs[shown].case)
            said += self.sayings(runs, arrays, expected, index, wrong, shown)
        said = [text for text in said if text]
        mistake = self.named(runs, index, wrong)
        lines += [("note", text) for text in said]
        named = mistake.what if mistake else (said[0] if said else "")
        hints = self.stages(name)
        if runs[wrong[0]].case.corner:
            hints = (*exercise.hints.get("corner", ()), *hints)
        elif said and not mistake:
            words = written(self.function, "" if exercise.plain else during)
            asked = self.about_overflow(words) if "that are nan" in said[0] else ()
            hints = (*(asked or filter(None, [facts.question(said[0], name, words)])), *hints)
        if mistake:
            all_of_it = [name, *others] if self.explains_all(runs, mistake) else [name]
            verb = "are" if len(all_of_it) > 1 else "is"
            first = f"Your {' and '.join(all_of_it)} {verb} exactly what you get {mistake.what}."
            hints = (first, *([mistake.more] if mistake.more else []), *hints[1:])
        raise WrongError(Finding(head, tuple(lines), hints, named, open=not mistake))

    def is_right(self, got: Any, expected: Any) -> bool:
        return _is_right(got, expected, self.exercise.tolerance)

    def other_wrong_results(self, runs: list[Run], index: int) -> list[str]:
        names = self.exercise.results
        return [
            names[j]
            for j in range(index + 1, len(names))
            if not all(self.is_right(run.results[j], self.exercise.expected(run.case)[j]) for run in runs)
        ]

    def place(self, name: str, got: np.ndarray, expected: np.ndarray, case: Case) -> Iterator[tuple[str, str]]:
        """Where it is most wrong, and both arrays if they are small."""
        off = ~facts.close(got, expected, self.exercise.tolerance)
        distance = np.where(off, np.nan_to_num(np.abs(got - expected), nan=np.inf), -1.0)
        worst = tuple(int(k) for k in np.unravel_index(np.argmax(distance), distance.shape))
        place = f"{name}[{', '.join(map(str, worst))}]" if worst else name
        where = (
            f"{place}, and {int(off.sum()) - 1} more of {off.size} entries"
            if off.sum() > 1
            else f"{place}, 1 of {off.size} entries"
        )
        yield "where", f"{where} ({facts.sizes(case)})"
        a, b = expected[worst], got[worst]
        digits = 6 if not np.isfinite(b) or abs(a - b) > 1e-4 * np.abs(expected).max() else 14
        yield "expected", f"{a:.{digits}g}"
        yield "got", f"{b:.{digits}g}"
        if 1 < expected.size <= SMALL and off.sum() > 1:
            yield "all of it", f"expected {_short(expected)}"
            yield "", f"got      {_short(got)}"

    def sayings(
        self,
        runs: list[Run],
        got: list[np.ndarray],
        expected: list[np.ndarray],
        index: int,
        wrong: list[int],
        shown: int,
    ) -> Iterator[str]:
        """Facts about wrong numbers in the right shape. shown: the case of which the learner sees an entry."""
        name = self.exercise.results[index]
        cases = [run.case for run in runs]
        if all(g.shape == e.shape for g, e in zip(got, expected, strict=True)):
            if all(not g.any() for g, e in zip(got, expected, strict=True) if e.any()):
                yield f"your {name} is zero everywhere"
                return
            if any(np.isnan(g).any() and not np.isnan(e).any() for g, e in zip(got, expected, strict=True)):
                yield f"your {name} has entries that are nan{self.where_nan(runs, got)}"
            elif factor := facts.multiple(name, got, expected, cases):
                yield factor
                return
            if index and self.ignores_upstream(runs[wrong[0]], index):
                yield f"your {name} is the same for every d_out"
                return
            for what, mask_of in self.exercise.places.items():
                try:
                    masks = [
                        np.broadcast_to(mask_of(*run.inputs), e.shape) for run, e in zip(runs, expected, strict=True)
                    ]
                except ValueError:  # no such places in this result
                    continue
                offs = [~facts.close(g, e, self.exercise.tolerance) for g, e in zip(got, expected, strict=True)]
                if not any((off & ~mask).any() for off, mask in zip(offs, masks, strict=True)):
                    yield f"your {name} is wrong only {what}, and right everywhere else"
                    return
        notes = [{cases[i].note for i in range(len(runs)) if (i in wrong) == it} for it in (False, True)]
        if notes[0] == {""} and "" not in notes[1]:  # right but for what is special about a case, such as ties
            yield facts.contrast(cases, wrong)
            return
        said = 0
        largest = max(wrong, key=lambda i: expected[i].size)
        if got[largest].shape == expected[largest].shape:
            for text in facts.relations(name, got[largest], expected[largest], cases[largest]):
                said += 1
                yield text if largest == shown else f"{text} (with {facts.sizes(cases[largest])})"
        if not said:
            counted = [i for i in range(len(runs)) if expected[i].any()]
            yield facts.contrast([cases[i] for i in counted], [j for j, i in enumerate(counted) if i in wrong])

    def where_nan(self, runs: list[Run], got: list[np.ndarray]) -> str:
        """At which entries of x, if the function works entry by entry."""
        for run, out in zip(runs, got, strict=True):
            x = run.inputs[0]
            if np.isnan(out).any() and len(run.inputs) == 1 and np.shape(x) == out.shape:
                return f", where {self.exercise.arguments[0]} is {', '.join(f'{v:g}' for v in x[np.isnan(out)])}"
        return ""

    def about_overflow(self, words: set[str]) -> tuple[str, ...]:
        """Questions for code with e^x, if NumPy warned of an overflow."""
        key = "np.where" if "exp in where" in words else "exp"
        overflow = any("overflow" in str(warning.message) for warning in self.warned)
        return tuple(self.exercise.hints.get(key, ())) if overflow and "exp" in words else ()

    def ignores_upstream(self, run: Run, index: int) -> bool:
        try:
            other = run.backward(np.random.default_rng(99).normal(size=np.shape(run.out)))
        except Exception:
            return False
        other = other if isinstance(other, tuple) else (other,)
        return facts.same(np.asarray(other[index - 1]), np.asarray(run.results[index]))

    def other_order(self, runs: list[Run]) -> str:
        names = self.exercise.results[1:]
        for order in permutations(range(len(names))):
            if list(order) != sorted(order) and all(
                self.is_right(run.results[1 + j], self.exercise.expected(run.case)[1 + i])
                for run in runs
                for i, j in enumerate(order)
            ):
                return f"all gradients are right, but in another order: return {', '.join(names)}"
        return ""

    def named(self, runs: list[Run], index: int, wrong: list[int]) -> Mistake | None:
        """The mistake that gives these very results; if none gives all, one that gives this one."""
        fitting = [m for m in self.exercise.mistakes if self.explains(runs, m, index)]
        return next((m for m in fitting if self.explains_all(runs, m)), fitting[0] if fitting else None)

    def explains(self, runs: list[Run], mistake: Mistake, index: int) -> bool:
        tolerance = self.exercise.tolerance
        pairs = [(run.results[index], results_of(self.exercise, mistake, i)) for i, run in enumerate(runs)]
        if index and not self.explains(runs, mistake, 0):  # another mistake, that happens to have the same gradient
            return False
        if pairs[0][1] is None:  # it stops with an error where all sizes differ; in small cases it may
            return False
        return all(
            results is None or (index < len(results) and _is_numeric(got) and _alike(got, results[index], tolerance))
            for got, results in pairs
        )

    def explains_all(self, runs: list[Run], mistake: Mistake) -> bool:
        count = len(runs[0].results)
        return all(self.explains(runs, mistake, index) for index in range(count))

    def stages(self, name: str) -> tuple[str, ...]:
        """The questions that belong to a result."""
        if name == "forward":
            name = self.exercise.results[0]
        if name.startswith("backward"):
            name = self.exercise.results[min(1, len(self.exercise.results) - 1)]
        return tuple(self.exercise.hints.get(name, ()))


def with_repair(exercise: Exercise, function: Function, finding: Finding) -> Finding:
    """The same with the line in which one change makes it right, if there is one, in place of guesses."""
    if not finding.open:
        return finding
    if not can_limit() and repair.may_not_end(function):
        return finding
    names = exercise.results
    stopped = finding.head.endswith("an error")

    def right(changed: Function) -> int:
        with suppress(OutOfTimeError), limited(ONE_TRY), redirect_stdout(io.StringIO()):
            return right_results(exercise, changed)
        return 0

    least = len(names) if stopped else 1
    found = repair.find(function, right, len(names), exercise.uses, least, seconds=SEARCH)
    if not found:
        return finding
    what = "your function" if found.results == len(names) else f"your {names[found.results - 1]}"
    places = f"One change in line {found.lines[0]}"
    if len(found.lines) > 1:
        places = f"The same change in lines {', '.join(map(str, found.lines[:-1]))} and {found.lines[-1]}"
    where = f"{places} makes {what} right:  {found.text}"
    general = [hint for hints in exercise.hints.values() for hint in hints]
    kept = [hint for hint in finding.hints if hint in general or (stopped and found.kind in repair.OF_SHAPES)]
    return replace(finding, hints=(where, found.question, *kept), named=f"one change: {found.kind}")


def right_results(exercise: Exercise, function: Function) -> int:
    """How many results are right in all cases, counted from the first to the first wrong one."""
    count = len(exercise.results)
    for case in sorted(exercise.cases, key=_entries):  # quick ones first
        got: list[Any] = []
        with suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for result in exercise.each_result(function, case):
                got.append(result)
                if count == 1:
                    break
        if len(got) != len(exercise.results):  # too few gradients, or too many: none counts
            got = got[:1]
        pairs = zip(got, exercise.expected(case), strict=False)
        right = [_is_right(result, expected, exercise.tolerance) for result, expected in pairs][:count]
        if not (count := right.index(False) if False in right else len(right)):
            return 0
    if exercise.look:
        with suppress(Exception):
            return count if exercise.look(function) is None else 0
        return 0
    return count


def _entries(case: Case) -> int:
    """Of all inputs together."""
    return sum(np.size(x) for x in case.inputs if isinstance(x, np.ndarray))


def written(function: Function, during: str) -> set[str]:
    """What the learner's code has in forward, in backward (the functions inside), or in both, for "".

    The names of what is called; "for"; "[] =" where an entry is assigned to; "exp in where"; "return in for".
    """
    tree = syntax_tree(function)
    if not tree:
        return set()
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.Lambda))]
    inside = {node for f in functions[1:] for node in ast.walk(f)}
    words = set()
    for node in ast.walk(tree):
        if during and (node in inside) != (during == "backward"):
            continue
        called = _called(node)
        words.add(called)
        below = list(ast.walk(node))
        if called == "where" and "exp" in map(_called, below):
            words.add("exp in where")
        if isinstance(node, (ast.For, ast.While, ast.comprehension)):
            words.add("for")
        if isinstance(node, (ast.For, ast.While)) and any(isinstance(x, ast.Return) for x in below):
            words.add("return in for")
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            words.add("[] =")
    return words


def _called(node: ast.AST) -> str:
    """The name of the function that is called here."""
    function = node.func if isinstance(node, ast.Call) else None
    return getattr(function, "attr", getattr(function, "id", ""))


_RESULTS: dict[tuple[str, tuple[tuple[str, str], ...], int], tuple[Any, ...] | None] = {}


def results_of(exercise: Exercise, mistake: Mistake, index: int) -> tuple[Any, ...] | None:
    """What a mistaken function gives in case number `index`; None if it stops with an error."""
    key = exercise.name, mistake.changes, index
    if key not in _RESULTS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                _RESULTS[key] = exercise.all_results(exercise.mistaken(mistake), exercise.cases[index])
        except Exception:
            _RESULTS[key] = None
    return _RESULTS[key]


def _alike(got: Any, other: Any, tolerance: float) -> bool:
    return np.shape(got) == np.shape(other) and facts.same(np.asarray(got), np.asarray(other), tolerance)


def _wrong(during: str, expected: str, got: str, hint: str, named: str) -> WrongError:
    return WrongError(
        Finding(f"{during} returns something else", (("expected", expected), ("got", got)), (hint,), named)
    )


def _changed(during: str, name: str) -> WrongError:
    return WrongError(
        Finding(
            f"{during} changes {name} in place",
            hints=(
                f"The caller still needs {name} as it was. Which line writes to it, or to a view of it?",
                "+=, *= and x[...] = write into the array that is there, and so does a function with out=. A view (a "
                "slice, reshape, broadcast_to) has the same memory. Make a new array, or a .copy() first.",
            ),
            named=f"changes {name} in place",
        )
    )


def _is_right(got: Any, expected: Any, tolerance: float) -> bool:
    """A number or an array like the expected one, in float64 if it is an array."""
    if not _is_numeric(got) or np.shape(got) != np.shape(expected):
        return False
    if np.ndim(expected) and np.asarray(got).dtype != np.float64:
        return False
    return facts.same(np.asarray(got), np.asarray(expected), tolerance)


def _is_numeric(x: Any) -> bool:
    return isinstance(x, (np.ndarray, np.generic, int, float)) and np.asarray(x).dtype.kind in "biufc"


def _kind(x: Any) -> str:
    if x is None:
        return "None"
    return f"an array of shape {x.shape}" if isinstance(x, np.ndarray) else f"a {type(x).__name__}"


def _short(x: np.ndarray) -> str:
    return np.array2string(x + 0.0, precision=3, separator=", ").replace("\n", "").replace("  ", " ")
