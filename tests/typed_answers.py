"""Answers as people type them, in tests/answers/: read, and judged as `check` would.

    python tests/typed_answers.py [FILE ...]       prints what was done and what the checker says, side by side

A file holds attempts: functions with the name of the learner's function, two underscores and a number, each under a
comment that says in plain words what was done wrong, or "right". The other functions are there, and right.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from cbam_np.course import solved
from cbam_np.course.exercises import EXERCISES
from cbam_np.course.judge import Verdict, judge

FOLDER = Path(__file__).parent / "answers"


@dataclass(frozen=True)
class Attempt:
    """One of them. said: the comment above it."""

    file: Path
    label: str
    said: str
    function: Any

    @property
    def name(self) -> str:
        """Of the learner's function."""
        return self.label.rpartition("__")[0]

    @property
    def id(self) -> str:
        """For tables and tests."""
        return f"{self.file.stem}:{self.label}"

    def verdict(self) -> Verdict:
        """What the checker makes of it."""
        return judge(EXERCISES[self.name], self.function, (str(self.file),))


def attempts(files: list[Path]) -> Iterator[Attempt]:
    """All of them, in order."""
    for path in files:
        source = path.read_text(encoding="utf-8")
        lines = source.splitlines()
        module = ModuleType(path.stem)
        module.__dict__.update({name: value for name, value in vars(solved).items() if not name.startswith("__")})
        exec(compile(source, str(path), "exec"), module.__dict__)
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef) and node.name.rpartition("__")[0] in EXERCISES:
                above: list[str] = []
                row = (node.decorator_list[0].lineno if node.decorator_list else node.lineno) - 2
                while row >= 0 and lines[row].startswith("#"):
                    above.insert(0, lines[row].lstrip("# "))
                    row -= 1
                yield Attempt(path, node.name, " ".join(above), getattr(module, node.name))


def main(names: list[str]) -> None:
    """Print attempt by attempt: what was done, and what the checker says."""
    for attempt in attempts([Path(name).resolve() for name in names] or sorted(FOLDER.glob("*.py"))):
        verdict = attempt.verdict()
        print(f"\n=== {attempt.id}: {attempt.said}")
        finding = verdict.finding
        print(f"    {verdict.state} {finding.head} [{finding.named}]")
        for label, text in finding.lines:
            if label in ("note", "that is", "stopped", "got", "warning"):
                print(f"    {label}: {text}")
        if finding.hints:
            print(f"    hint: {finding.hints[0]} || {finding.hints[1:2]}")


if __name__ == "__main__":
    main(sys.argv[1:])
