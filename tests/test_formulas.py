"""Every formula has its function, its gradient test and its chapter, and no docstring names one that doesn't exist."""

import ast
import re
from importlib import import_module
from inspect import getdoc
from pathlib import Path
from typing import Any

import pytest
from support import OPERATIONS

from cbam_np.reference.formulas import FORMULAS, Formula

ROOT = Path(__file__).parents[1]
NUMBERS = range(1, 12)

each = pytest.mark.parametrize("formula", FORMULAS, ids=lambda formula: f"({formula.number})")


def without_space(text: str) -> str:
    return re.sub(r"\s+", "", text)


UNDERBRACE = re.compile(r"\\underbrace\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}_\{[^{}]*\}")
SPACING = re.compile(r"\\[,;:! ]|\\q?quad")


def bare(latex: str) -> str:
    """LaTeX without what may differ between two places: spacing, shapes in underbraces, the sort of apostrophe."""
    return without_space(SPACING.sub("", UNDERBRACE.sub(r"\1", latex))).replace("’", "'")


def test_bare_formulas_differ_in_nothing_but_looks() -> None:
    assert bare(r"\underbrace{F^c_{\text{avg}}}_{N,C}\; = x’ \qquad \le") == r"F^c_{\text{avg}}=x'\le"


def function(dotted: str) -> Any:
    module, name = dotted.rsplit(".", maxsplit=1)
    return getattr(import_module(module), name)


def chapter(name: str) -> str:
    return (ROOT / "notebooks" / f"{name}.py").read_text(encoding="utf-8")


def test_there_are_eleven_in_order() -> None:
    assert [formula.number for formula in FORMULAS] == list(NUMBERS)


@each
def test_the_gradient_stands_in_the_docstring_of_a_function_that_names_the_formula(formula: Formula) -> None:
    docstrings = [getdoc(function(dotted)) or "" for dotted in formula.functions]
    assert formula.number in formula_numbers(docstrings[0])
    assert formula.in_docstring
    for line in formula.in_docstring:
        assert any(without_space(line) in without_space(docstring) for docstring in docstrings), line


@each
def test_the_gradient_is_tested(formula: Formula) -> None:
    node = re.fullmatch(r"(?P<file>.+)::(?P<function>\w+)\[(?P<case>.+)-\(.+?\)\]", formula.test)
    assert node is not None
    tree = ast.parse((ROOT / node["file"]).read_text(encoding="utf-8"))
    assert node["function"] in {item.name for item in tree.body if isinstance(item, ast.FunctionDef)}
    row = OPERATIONS[node["case"]].row
    first, *_, last = (*formula_numbers(row.formula), *formula_numbers(row.formula))  # "(5)" or "(3)-(6)"
    assert first <= formula.number <= last
    assert formula.functions[0].rsplit(".", maxsplit=1)[1] == row.function.rsplit(".", maxsplit=1)[-1]


@each
def test_it_is_tagged_and_its_gradient_boxed_in_its_chapters(formula: Formula) -> None:
    first, *_ = sources = [bare(chapter(name)) for name in formula.chapters]
    assert bare(formula.document) in first
    assert rf"{bare(formula.as_read)}\tag{{{formula.number}}}" in first
    boxed = rf"\boxed{{{bare(formula.gradient)}}}"
    assert any(boxed in source for source in sources), formula.gradient


def test_no_number_is_tagged_twice_or_unknown() -> None:
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "notebooks").glob("[0-9]*.py"))]
    tags = [int(number) for text in texts for number in re.findall(r"\\tag\{(\d+)\}", text)]
    assert len(tags) == len(set(tags))
    assert set(tags) <= set(NUMBERS)


def formula_numbers(docstring: str) -> list[int]:
    """Numbers alone in parentheses, as in "formulas (1), (2)" and "(3)-(7)", but not in "(4,)" or "ReLU′(0)"."""
    return [int(number) for number in re.findall(r"(?<![^\s(,–-])\((\d+)\)", docstring)]


def test_numbers_are_found_where_formulas_are_named() -> None:
    text = "Formula (3), with (4) inside; (8)–(10), ((11)-(12)). (2, 3) σ(0) ReLU′(0) (5,) x[(7)]"
    assert formula_numbers(text) == [3, 4, 8, 10, 11, 12]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "cbam_np").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT / "cbam_np"))
)
def test_docstrings_name_formulas_that_exist(path: Path) -> None:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, documented):
            assert set(formula_numbers(ast.get_docstring(node) or "")) <= set(NUMBERS)
