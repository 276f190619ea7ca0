"""A small change in the learner's own code that makes a function right: in which line, and of what kind.

No list has every mistake. But if one change in one line makes a wrong function right on all inputs, then there is the
mistake, and that is no guess. So changes are tried, simple ones first: another operator, another axis, another name, a
factor more or less. The learner isn't told the change, only its line, and a question about the part to be changed.
"""

import ast
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from types import ModuleType
from typing import Any

from cbam_np.course.changes import Change, Slot, all_changes, syntax_tree
from cbam_np.course.exercise import Function

MOST = 4000  # changes that are tried

QUESTIONS = {  # {} is the part of the line that would be changed
    "operator": "Is the operation in `{}` the one that is needed? (* and + work entry by entry, @ sums over an axis.)",
    "order": "Is the order right in `{}`?",
    "brackets": "What does Python work out first in `{}`? Are brackets missing, or in the wrong place?",
    "sign": "Is the sign of `{}` right?",
    "comparison": "Is `{}` the right comparison, also where both sides are equal?",
    "number": "Is the number right in `{}`?",
    "keyword": "What does `{}` do in this call, and is it wanted?",
    "keepdims": "Which shape has `{}`: what becomes of the axes that it goes over?",
    "axis": "Over which axes does `{}` go, and which are to be left?",
    "function": "Is `{}` the function that is needed there?",
    "transpose": "In which order are the axes of `{}`, and in which order are they needed?",
    "index": "Which part is picked in `{}`, and which one is needed?",
    "product": "Which axis is summed over in `{}`, and which one in the formula?",
    "taken apart": "Along which axis does this line take its right side apart?",
    "reshape": "A reshape moves no entry, a transpose does. Which of them is needed in `{}`, and with which axes?",
    "pad": "Which axes are padded by `{}`?",
    "several": "What does `{}` hold: one array, or several things?",
    "ones": "Which shape has `{}`, and which shape is needed there?",
    "slice": "Where does `{}` begin, and where does it end?",
    "too much": "Does all of `{}` belong there?",
    "sum": "Which axes has `{}`, and which are to be left?",
    "name": "Is `{}` what belongs there?",
    "missing": "Compare `{}` with the formula, factor by factor and term by term: what is missing?",
    "line": "What would happen without this line?",
    "place": "When does this line run: in every round of the loop, or once, after it?",
    "assignment": "Does this line write over what is there, or add to it? Which of them is wanted?",
}

OF_SHAPES = ("several", "ones", "keepdims", "axis", "sum", "transpose", "product", "reshape", "pad", "slice")  # kinds

TOUCHING = {  # what lies outside of a function
    *("open", "exec", "eval", "input", "print", "breakpoint", "exit", "quit", "globals", "setattr", "__import__"),
    *("load", "save", "savez", "savez_compressed", "savetxt", "tofile", "fromfile", "memmap", "dump"),
}


@dataclass(frozen=True)
class Repair:
    """lines: their numbers in the learner's file; several if the same change is needed at several places.

    text: the first of them. question: about the part that would be changed. results: how many are right with the
    change, from the first to the first wrong one.
    """

    lines: tuple[int, ...]
    text: str
    kind: str
    question: str
    results: int


def find(
    function: Function,
    right: Callable[[Function], int],
    count: int,
    operations: Collection[str] = (),
    least: int = 0,
    seconds: float = 60.0,
) -> Repair | None:
    """The simplest change of `function` that makes it right, or more of its results; None if none of those tried does.

    right: how many results of a function are right, counted from the first to the first wrong one. count: of all
    results. operations: names of functions that may be called in place of others. least: so many have to be right.
    seconds: no change is tried later than that.
    """
    tree = syntax_tree(function)
    if not tree or not isinstance(tree.body[0], ast.FunctionDef) or not _harmless(tree, function):
        return None
    lines, start = inspect.getsourcelines(function)
    name = tree.body[0].name
    until = monotonic() + seconds
    best, most_right = None, max(right(function), least - 1)
    for change in islice(all_changes(tree, operations), MOST):
        results = right(made) if (made := _made(tree, change, name, function.__globals__)) else 0
        if results > most_right:
            row = change.about.lineno
            rows = sorted({row, *(_line(slot, row) for slot, _ in change.parts[1:])})
            question = QUESTIONS[change.kind].format(_short(ast.unparse(change.about)))
            numbers = tuple(start + r - 1 for r in rows)
            best = Repair(numbers, lines[row - 1].strip(), change.kind, question, results)
            most_right = results
        if most_right == count or monotonic() > until:
            break
    return best


def _line(slot: Slot, otherwise: int) -> int:
    """In which line of the function it is."""
    return getattr(slot.node, "lineno", getattr(slot.parent, "lineno", otherwise))


def _harmless(tree: ast.AST, function: Function) -> bool:
    """Whether changed code can do nothing but compute: no file, no module but NumPy and math, nothing from outside."""
    words = {getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(tree)}
    modules = {value.__name__ for word in words if isinstance(value := function.__globals__.get(word), ModuleType)}
    imports = any(isinstance(node, (ast.Import, ast.ImportFrom, ast.Global)) for node in ast.walk(tree))
    return not (words & TOUCHING or modules - {"numpy", "math", "itertools"} or imports or function.__closure__)


def may_not_end(function: Function) -> bool:
    """Whether a change could make a loop of it that doesn't end: one with `while`, or over a list that grows."""
    tree, grows = syntax_tree(function), ("append", "extend", "insert")
    return not tree or any(isinstance(node, ast.While) or getattr(node, "attr", "") in grows for node in ast.walk(tree))


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 2] + " …"


def _made(tree: ast.Module, change: Change, name: str, names: Mapping[str, Any]) -> Function | None:
    """The function `name` with a change, among these other names; the tree is left as it was."""
    before = [(slot, slot.node) for slot, _ in change.parts]
    for slot, new in change.parts:
        for node in new if isinstance(new, list) else [new]:
            if isinstance(node, (ast.expr, ast.stmt, ast.keyword)):
                located = node if hasattr(node, "lineno") else ast.copy_location(node, change.about)
                ast.fix_missing_locations(located)
        slot.put(new)
    namespace = dict(names)
    try:
        exec(compile(tree, "<changed>", "exec"), namespace)
    except (SyntaxError, ValueError, TypeError, NameError):
        return None
    finally:
        for slot, old in before:
            slot.put(old)
    made: Function = namespace[name]
    return made
