"""The learner's file, my_cbam.py: where it is, what it defines, and the stubs it starts from."""

import ast
import linecache
import os
from pathlib import Path
from types import ModuleType

from cbam_np.course import solved

NAME = "my_cbam.py"
VARIABLE = "CBAM_NP_MY_CBAM"  # names another file
NOT_WRITTEN = 'raise NotImplementedError("not written yet")'


def find(file: str | Path | None = None) -> Path:
    """The file that is named, or else the one that `CBAM_NP_MY_CBAM` names, or the one here or in my-course/."""
    named = file or os.environ.get(VARIABLE)
    places = [Path(named)] if named else [Path(NAME), Path("my-course", NAME)]
    return next((place for place in places if place.exists()), places[0]).resolve()


def load(path: Path) -> ModuleType:
    """The module in the file as it is now; never an older one, whatever was imported before.

    Raises FileNotFoundError, UnicodeDecodeError, SyntaxError, and whatever the file raises.
    """
    source = path.read_text(encoding="utf-8")
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    linecache.checkcache(str(path))
    exec(compile(source, str(path), "exec"), module.__dict__)
    return module


def source_of_solution() -> str:
    """The solved file."""
    return Path(solved.__file__).read_text(encoding="utf-8")


def functions(source: str) -> dict[str, ast.FunctionDef]:
    """The functions that a file defines at its top. Raises SyntaxError."""
    return {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


def stubs(source: str) -> dict[str, str]:
    """The functions of the solved file by name, each with its docstring and without its body."""
    lines = source.splitlines()
    return {
        name: "\n".join([*lines[node.lineno - 1 : node.body[0].end_lineno], f"    {NOT_WRITTEN}"])
        for name, node in functions(source).items()
    }


def without_answers(source: str) -> str:
    """The file that a learner starts from: the solved one with a stub in place of every function."""
    lines = source.splitlines()
    for node in reversed(functions(source).values()):
        lines[node.body[0].end_lineno : node.end_lineno] = [f"    {NOT_WRITTEN}"]
    return "\n".join(lines) + "\n"


def with_missing_stubs(mine: str, edition: str) -> tuple[str, list[str]]:
    """`mine` with the functions of the new `edition` that it lacks at its end, and their names. Raises SyntaxError."""
    new = stubs(edition)
    missing = [name for name in new if name not in functions(mine)]
    if not missing:
        return mine, []
    return "\n\n\n".join([mine.rstrip("\n"), *(new[name] for name in missing)]) + "\n", missing
