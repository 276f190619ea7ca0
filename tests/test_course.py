"""Every exercise of the course: the stub isn't written yet, the solution is right, each mistake gets its own hint."""

import ast
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from test_notebook_tool import build

from cbam_np.course.checker import SHAPES, Exercise, Mistake

ROOT = Path(__file__).parents[1]
CHAPTERS = {path.name[:2]: path for path in sorted((ROOT / "notebooks").glob("[0-9]*.py"))}
MODULES = {path.stem[-2:] for path in (ROOT / "cbam_np" / "course").glob("chapter_*.py")}
WITHOUT_BACKWARD = {"00", "09", "11"}


def exercises(chapter: str) -> dict[str, Exercise]:
    """All that are defined for a chapter, by the names they have there."""
    module = import_module(f"cbam_np.course.chapter_{chapter}") if chapter in MODULES else None
    return {name: value for name, value in vars(module).items() if isinstance(value, Exercise)} if module else {}


EXERCISES = {
    exercise.number: (chapter, name, exercise)
    for chapter in sorted(MODULES)
    for name, exercise in exercises(chapter).items()
}
each_exercise = pytest.mark.parametrize("number", EXERCISES)
each_chapter = pytest.mark.parametrize("chapter", sorted(CHAPTERS.keys() | MODULES))


# --- the notebooks ---------------------------------------------------------------------------------------------------


class Check(NamedTuple):
    """A cell that ends in `... = exercise.check(function)`."""

    exercise: str
    function: str
    cell: ast.Module


def trees(chapter: str, solved: bool) -> list[ast.Module]:
    """The code cells."""
    cells = build.read_text(CHAPTERS[chapter], solved).cells
    return [ast.parse(cell.source) for cell in cells if cell.cell_type == "code"]


def checks(cells: list[ast.Module]) -> list[Check]:
    """In order."""
    found = []
    for cell in cells:
        for node in ast.walk(cell):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "check":
                assert isinstance(node.func.value, ast.Name)
                assert isinstance(node.args[0], ast.Name)
                found.append(Check(node.func.value.id, node.args[0].id, cell))
    return found


def written(chapter: str, exercise: str, solved: bool) -> Callable[..., Any]:
    """The function that stands in the notebook; of all other cells only imports and functions are executed."""
    cells = trees(chapter, solved)
    (check,) = (check for check in checks(cells) if check.exercise == exercise)
    definitions = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    namespace: dict[str, Any] = {}
    for cell in [*cells, check.cell]:
        body: list[ast.stmt] = [node for node in cell.body if isinstance(node, definitions)]
        exec(compile(ast.Module(body, type_ignores=[]), str(CHAPTERS[chapter]), "exec"), namespace)
    function: Callable[..., Any] = namespace[check.function]
    return function


@each_chapter
def test_a_chapter_uses_every_exercise_of_its_module_once_and_in_order(chapter: str) -> None:
    assert chapter in CHAPTERS, f"chapter_{chapter} has exercises and no notebook"
    used = [check.exercise for check in checks(trees(chapter, solved=False))]
    assert used == list(exercises(chapter))
    assert "### " not in "".join(
        cell.source for cell in build.read_text(CHAPTERS[chapter]).cells if cell.cell_type == "code"
    )


@each_chapter
def test_a_chapter_has_two_exercises_and_a_backward_among_them(chapter: str) -> None:
    titles = [exercise.title for exercise in exercises(chapter).values()]
    assert len(titles) >= 2
    assert chapter in WITHOUT_BACKWARD or any("backward" in title for title in titles)


# --- the exercises ---------------------------------------------------------------------------------------------------


@each_exercise
def test_the_stub_is_not_written_yet(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    chapter, name, exercise = EXERCISES[number]
    assert not exercise.check(written(chapter, name, solved=False))
    assert capsys.readouterr().out == f"{number} not written yet\n"


@each_exercise
def test_the_solution_in_the_notebook_is_right(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    chapter, name, exercise = EXERCISES[number]
    assert exercise.check(written(chapter, name, solved=True)), capsys.readouterr().out
    assert capsys.readouterr().out == f"{number} right\n"


@each_exercise
def test_every_mistake_is_wrong_and_gets_its_own_hint(number: str) -> None:
    _, _, exercise = EXERCISES[number]
    assert len(exercise.mistakes) >= 3
    assert len({mistake.hint for mistake in exercise.mistakes}) == len(exercise.mistakes)
    for mistake in exercise.mistakes:
        problem = " ".join(exercise.problem(mistake.function).split())
        assert problem.startswith("not right yet expected ") or problem.startswith("not right yet where "), problem
        assert f"hint {mistake.hint}" in problem


@each_exercise
def test_name_number_and_results_agree(number: str) -> None:
    chapter, name, exercise = EXERCISES[number]
    assert name == "exercise_" + number.replace(".", "_")
    assert number.split(".")[0] == str(int(chapter))
    result = exercise.solution(*exercise.inputs(0))
    assert len(exercise.names) == (len(result) if isinstance(result, tuple) else 1)


# --- the checker -----------------------------------------------------------------------------------------------------


def product(d_out: Any, x: Any, y: Any) -> Any:
    """The gradient of x · y."""
    return d_out * y, d_out * x


def inputs(seed: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=(3, *SHAPES[seed])))


EXERCISE = Exercise(
    "0.1",
    "A product, backward",
    returns="d_x, d_y",
    inputs=inputs,
    solution=product,
    mistakes=(
        Mistake(lambda d_out, x, y: (y, x), "Where is d_out?"),
        Mistake(lambda d_out, x, y: (np.zeros_like(x).sum(axis=0), d_out * x), "Not along the batch."),
    ),
)


def in_place(d_out: Any, x: Any, y: Any) -> Any:
    y *= d_out
    x *= d_out
    return y, x


def impossible(d_out: Any, x: Any, y: Any) -> Any:
    both = np.concatenate([x, y[0]])
    return both, both


@pytest.mark.parametrize(
    ("answer", "messages"),
    [
        (product, ["0.1 right\n"]),
        (in_place, ["your function changes its input x"]),
        (impossible, ["stopped by an error", "ValueError", "both = np.concatenate([x, y[0]])"]),
        (lambda d_out, x: (d_out, x), ["stopped by an error", "TypeError", "2 positional arguments but 3 were given"]),
        (lambda d_out, x, y: None, ["expected  a tuple of 2: d_x, d_y", "got       a single result"]),
        (
            lambda d_out, x, y: (d_out * y, None),
            ["d_y as a NumPy array of shape (1, 2, 2, 3)", "None: is the line with"],
        ),
        (lambda d_out, x, y: (d_out * y, [1.0]), ["d_y as a NumPy array of shape (1, 2, 2, 3)", "got       list"]),
        (lambda d_out, x, y: (d_out * y, d_out[0] * x[0]), ["d_y of shape (1, 2, 2, 3)", "got       shape (2, 2, 3)"]),
        (lambda d_out, x, y: (d_out * y, (d_out * x).astype("float32")), ["d_y of dtype float64", "float32"]),
        (lambda d_out, x, y: (d_out * y, d_out * np.nan), ["12 of 12 entries are wrong", "got       nan"]),
        (lambda d_out, x, y: (y, x), ["where     d_x[0,", "hint      Where is d_out?"]),
        (lambda d_out, x, y: (np.zeros_like(x).sum(axis=0), d_out * x), ["of shape", "hint      Not along the batch."]),
        (lambda d_out, x, y: (d_out * y, -d_out * x), ["where     d_y[0,", "hint      perhaps the sign is wrong"]),
        (
            lambda d_out, x, y: (d_out * x, d_out * y),
            ["hint      All results are right, but in another order. Return d_x, d_y."],
        ),
    ],
)
def test_the_checker_says_what_is_wrong(
    answer: Callable[..., Any], messages: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert EXERCISE.check(answer) is (answer is product)
    printed = capsys.readouterr().out
    assert all(message in printed for message in messages), printed
    assert max(map(len, printed.splitlines())) <= 120


def test_an_answer_that_is_wrong_on_a_large_input_only_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """Here: on all but the first, by a little, and the numbers show it."""
    assert not EXERCISE.check(lambda d_out, x, y: (d_out * y * (1 + 1e-6 * (len(x) - 1)), d_out * x))
    numbers = re.search(r"where     d_x\[.+\n  expected  (.+)\n  got       (.+)\n", capsys.readouterr().out)
    assert numbers is not None
    assert float(numbers[2]) == pytest.approx(float(numbers[1]) * (1 + 1e-6), rel=1e-9)
