"""`cbam-np course`: how far the learner's file is, or how one of its functions is doing."""

import argparse
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from cbam_np.commands import terminal
from cbam_np.course import my_file, progress, solved
from cbam_np.course.exercises import EXERCISES
from cbam_np.course.judge import RIGHT, UNWRITTEN, Verdict

COLOURS = {RIGHT: "green", UNWRITTEN: "dim"}  # all else is yellow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "function", nargs="?", default="", help="judge this one in full; all of them in a table if none"
    )
    parser.add_argument("--hint", type=int, default=1, metavar="N", help="show hints up to this stage (default 1)")
    parser.add_argument("--file", type=Path, help="your file (default my_cbam.py, here or in my-course/)")
    parser.add_argument("--solutions", action="store_true", help="judge the course's own solutions")


def run(console: Console, function: str, hint: int, file: Path | None, solutions: bool) -> bool:
    """Print the table or one verdict; True if all functions are right, or the one that is asked for.

    Raises ValueError for a function that is not in the course, and for a file that can't be run.
    """
    if function and function not in EXERCISES:
        raise ValueError(f"function: expected one of {', '.join(EXERCISES)}, got {function}")
    path = Path(solved.__file__) if solutions else my_file.find(file)
    try:
        found = progress.verdicts(path)
    except progress.UnusableFileError as error:
        raise ValueError(str(error)) from None
    done = sum(verdict.done for verdict in found.values())
    if function:
        console.print(progress.report(found[function], done, hint), markup=False, highlight=False, soft_wrap=True)
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
    return f"{verdict.state}: {head}" if head and verdict.state not in (RIGHT, UNWRITTEN) else verdict.state
