"""`cbam-np course`: how far the learner's file is, or how one of its functions is doing."""

import argparse
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from cbam_np.commands import terminal
from cbam_np.course import my_file, progress, solved
from cbam_np.course.exercises import EXERCISES
from cbam_np.course.judge import FORWARD, RIGHT, UNWRITTEN, Verdict

COLOURS = {RIGHT: "green", UNWRITTEN: "dim"}  # all else is yellow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "function", nargs="?", default="", help="judge this one in full; all of them in a table if none"
    )
    parser.add_argument("--hint", type=int, metavar="N", help="show hints up to this stage, 0 for none (default 1)")
    parser.add_argument("--file", type=Path, help="your file (default my_cbam.py, here or in my-course/)")
    parser.add_argument("--solutions", action="store_true", help="judge the course's own solutions")
    parser.add_argument(
        "--json", action="store_true", dest="as_json", help="print the states as JSON; this runs the code in the file"
    )


def run(console: Console, function: str, hint: int | None, file: Path | None, solutions: bool, as_json: bool) -> bool:
    """Print the table, one verdict or JSON; True if all functions are right, or the one that is asked for.

    Raises ValueError for a function that is not in the course, and for a file that can't be run.
    """
    if function and function not in EXERCISES:
        raise ValueError(f"function: expected one of {', '.join(EXERCISES)}, got {function}")
    path = Path(solved.__file__) if solutions else my_file.find(file)
    if as_json:
        with redirect_stdout(sys.stderr):  # what the file prints while it is loaded
            states = in_json(path, function)
        print(json.dumps(states, indent=1, ensure_ascii=False))
        return bool(states["right"] == states["of"])
    stage = progress.hints_unasked() if hint is None else hint
    try:
        found = progress.verdicts(path)
    except progress.UnusableFileError as error:
        raise ValueError(str(error)) from None
    done = sum(verdict.done for verdict in found.values())
    if function:
        more = "cbam-np course {name} --hint {stage}"
        said = progress.report(found[function], done, stage, more)
        console.print(said, markup=False, highlight=False, soft_wrap=True)
        return found[function].done
    console.print(f"The block in {path}", markup=False, highlight=False, soft_wrap=True)
    table = terminal.new_table(console)
    for head in ("", "function", "formula", "chapter", "state"):
        table.add_column(head, no_wrap=head != "state")
    for exercise in EXERCISES.values():
        verdict = found[exercise.name]
        colour = COLOURS.get(verdict.state, "yellow")
        row = str(exercise.number), exercise.name, exercise.formula, str(exercise.chapter)
        table.add_row(*row, f"[{colour}]{escape(state(verdict))}")
    terminal.show(console, table)
    console.print(f"{done} of {len(EXERCISES)} functions are right")
    following = next((name for name, verdict in found.items() if not verdict.done), None)
    if following:
        console.print(f"For more about the next one: cbam-np course {following}", highlight=False)
    return done == len(EXERCISES)


def state(verdict: Verdict) -> str:
    """In a few words."""
    head = verdict.finding.head
    if not head or verdict.state in (RIGHT, UNWRITTEN):
        return verdict.state
    return f"{verdict.state}{',' if verdict.state == FORWARD else ':'} {head}"


def in_json(path: Path, function: str = "") -> dict[str, Any]:
    """The state of every function, or of one, for programs. error: why the file can't be run at all; else None.

    It runs the code in this file, in this process, and that of nothing else but what the file itself imports.
    """
    asked = [exercise for exercise in EXERCISES.values() if function in ("", exercise.name)]
    rows, right, reason = [], 0, None
    try:
        found = progress.verdicts(path)
    except progress.UnusableFileError as error:
        reason = str(error)
    else:
        for e in asked:
            verdict = found[e.name]
            right += verdict.done
            row = {"number": e.number, "name": e.name, "formula": e.formula, "chapter": e.chapter}
            rows.append({**row, "state": verdict.state, "finding": verdict.finding.head})
    return {"file": str(path), "error": reason, "right": right, "of": len(asked), "functions": rows}
