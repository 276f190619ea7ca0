"""How far the learner's file is: each of its functions judged, and what is printed about one."""

import os
import textwrap
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from cbam_np.course import my_file
from cbam_np.course.exercise import Finding
from cbam_np.course.exercises import EXERCISES
from cbam_np.course.judge import FORWARD, RIGHT, UNWRITTEN, WAITS, WRONG, OutOfTimeError, Verdict, judge, limited

WIDTH = 100
SECONDS_TO_LOAD = 20
HINTS = "CBAM_NP_HINTS"  # the environment variable that says how many hints are shown unasked


def hints_unasked() -> int:
    """1, or what the variable says. Raises ValueError."""
    text = os.environ.get(HINTS, "1")
    if not text.isdecimal():
        raise ValueError(f"{HINTS}: expected a whole number from 0, got {text!r}")
    return int(text)


class UnusableFileError(Exception):
    """The learner's file can't be run; the message says why, and where."""


def read(path: Path) -> ModuleType:
    """The learner's file. Raises UnusableFileError with the reason in words."""
    try:
        with limited(SECONDS_TO_LOAD):
            return my_file.load(path)
    except FileNotFoundError:
        raise UnusableFileError(
            f"there is no file {path}. `make learn` makes one in my-course/. Run this in its folder, or name the file: "
            f"`cbam-np course --file ...`, or in the variable {my_file.VARIABLE}"
        ) from None
    except UnicodeDecodeError:
        raise UnusableFileError(f"{path.name} is not a text in UTF-8; save it again with this encoding") from None
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise UnusableFileError(
            f"{path.name} is not valid Python: line {error.lineno}: {line}\n{type(error).__name__}: {error.msg}. If "
            "the line looks right, look at the one before: a bracket may be open there"
        ) from None
    except OutOfTimeError:
        raise UnusableFileError(f"{path.name} did not finish loading in {SECONDS_TO_LOAD} seconds") from None
    except Exception as error:
        rows = [row for row in traceback.extract_tb(error.__traceback__) if row.filename == str(path)]
        where = f" in line {rows[-1].lineno}: {rows[-1].line}" if rows else ""
        raise UnusableFileError(
            f"{path.name} stops while it is loaded{where}\n{type(error).__name__}: {error}. Functions are checked only "
            "if the file can be loaded from top to bottom"
        ) from None


def verdict_on(name: str, module: ModuleType, known: dict[str, Verdict]) -> Verdict:
    """The verdict on one function, and in `known` those on all that it may call.

    Where one of these isn't right, the function is judged with the course's own in its place: it may be right itself.
    """
    if name in known:
        return known[name]
    exercise = EXERCISES[name]
    function = getattr(module, name, None)
    if not callable(function):
        known[name] = Verdict(name, WRONG, Finding(f"there is no function {name} in the file"))
        return known[name]
    files = (str(module.__file__),)
    verdict = judge(exercise, function, files)
    if verdict.state in (WRONG, WAITS, FORWARD):
        faulty = [other for other in exercise.uses if not verdict_on(other, module, known).done]
        if faulty:
            with replaced(module, faulty):
                alone = judge(exercise, function, files)
            if alone.state == RIGHT:
                verdict = Verdict(name, WAITS, Finding(f"right by itself; it waits for {', '.join(faulty)}"))
            else:
                verdict = alone
    known[name] = verdict
    return verdict


@contextmanager
def replaced(module: ModuleType, names: list[str]) -> Iterator[None]:
    """Within this block the functions of the file call the right ones under these names."""
    missing = object()
    before = {name: module.__dict__.get(name, missing) for name in names}
    module.__dict__.update({name: EXERCISES[name].solution for name in names})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is missing:
                del module.__dict__[name]
            else:
                module.__dict__[name] = value


def verdicts(path: Path) -> dict[str, Verdict]:
    """On all functions of the file. Raises UnusableFileError."""
    module, known = read(path), dict[str, Verdict]()
    return {name: verdict_on(name, module, known) for name in EXERCISES}


def report(verdict: Verdict, done: int, stage: int, more: str = 'check("{name}", hint={stage})') -> str:
    """What `check` prints. stage: up to which of the hints, from 1; 0 for none. more: how to ask for the next one."""
    name, finding = verdict.name, verdict.finding
    state = f"{finding.head}" if verdict.state in (WRONG, FORWARD, WAITS) and finding.head else verdict.state
    if verdict.state == WRONG:
        state = f"not right yet. {finding.head}"
    elif verdict.state == FORWARD:
        state = f"forward right, {finding.head}"
    lines = [f"{name}: {state} · {done} of {len(EXERCISES)} functions are right"]
    if verdict.state == UNWRITTEN:
        return lines[0]
    rows = list(finding.lines) + [("remark", text) for text in verdict.remarks]
    rows += [(f"hint {i + 1}", text) for i, text in enumerate(finding.hints[: max(0, stage)])]
    lines += _rows(rows)
    if stage < len(finding.hints):
        lines.append(f"  for more: {more.format(name=name, stage=max(0, stage) + 1)}")
    elif stage > max(1, len(finding.hints)):
        lines.append("  no further hint")
    return "\n".join(lines)


def _rows(rows: list[tuple[str, str]]) -> Iterator[str]:
    """Labels on the left, texts on the right, wrapped."""
    width = max((len(label) for label, _ in rows), default=0)
    for label, text in rows:
        parts = textwrap.wrap(text, WIDTH - width - 4, break_long_words=False) or [""]
        yield f"  {label:<{width}}  {parts[0]}"
        yield from (f"  {'':<{width}}  {part}" for part in parts[1:])


def check(name: str, hint: int | None = None) -> None:
    """Judge one function of your my_cbam.py, as the file is saved now, and print what comes out.

    hint: how many stages of hints are shown, if there are any to give; 0 shows facts only; 1 if nothing else is said in
    the environment variable CBAM_NP_HINTS. The file is the one beside the notebook, or the one that the environment
    variable CBAM_NP_MY_CBAM names. Nothing is raised for a wrong answer.
    """
    if name not in EXERCISES:
        print(f"{name}: there is no such function in the course; there are {', '.join(EXERCISES)}")
        return
    try:
        found = verdicts(my_file.find())
    except UnusableFileError as error:
        print(f"{name}: not judged. {error}")
        return
    stage = hints_unasked() if hint is None else hint
    print(report(found[name], sum(verdict.done for verdict in found.values()), stage))
