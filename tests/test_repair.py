"""The line in which one change makes a wrong function right: found where there is one, and never a guess."""

import ast
import linecache
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cbam_np.course import judge as judging
from cbam_np.course import repair, solved
from cbam_np.course.changes import all_changes
from cbam_np.course.exercises import EXERCISES
from cbam_np.course.judge import judge, right_results


def typed(name: str, *changes: str) -> Callable[..., Any]:
    """The course's own function `name`, typed with these mistakes: right, wrong, right, wrong, ..."""
    return of_source(name, changed(EXERCISES[name].source, *changes))


def changed(source: str, *changes: str) -> str:
    for right, wrong in zip(changes[::2], changes[1::2], strict=True):
        assert source.count(right) == 1
        source = source.replace(right, wrong)
    return source


def of_source(name: str, source: str, **more: Any) -> Callable[..., Any]:
    file = f"<{abs(hash(source))}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names = {**vars(solved), **more}
    exec(compile(source, file, "exec"), names)
    function: Callable[..., Any] = names[name]
    return function


def found(name: str, function: Callable[..., Any], least: int = 1) -> repair.Repair | None:
    exercise = EXERCISES[name]
    return repair.find(
        function, lambda f: right_results(exercise, f), len(exercise.results), exercise.uses, least=least
    )


@pytest.mark.parametrize(
    ("name", "right", "wrong", "question"),
    [
        ("mlp", "d_w2 = d_out.T @ h", "d_w2 = d_out.T * h", "operation in `d_out.T * h`"),
        ("mlp", "d_h = d_out @ w2", "d_h = d_out.T @ w2", "order are the axes of `d_out.T`"),
        ("mlp", "d_w1 = d_z.T @ x", "d_w1 = (x.T @ d_z).reshape(w1.shape)", "A reshape moves no entry"),
        ("mlp", "out = h @ w2.T", "out = (h + x.mean()) @ w2.T", "Does all of `h + x.mean()` belong there?"),
        ("mlp", "relu(z)", "relu(z - 1)", "Does all of `z - 1` belong there?"),
        ("sigmoid", "d_out * out * (1 - out)", "d_out * (out @ (1 - out))", "operation in `out @ (1 - out)`"),
        ("sigmoid", "d_out * out * (1 - out)", "d_out * out * 1 - out", "brackets"),
        ("relu", "on = x > 0", "on = x >= 0", "comparison"),
        ("gate", "keepdims=True", "keepdims=False", "what becomes of the axes"),
        ("avg_pool_over_space", "f.mean(axis=(2, 3))", "f.mean(axis=(1, 3))", "Over which axes does"),
        ("max_pool_over_channels", "f.argmax(axis=1)", "f.argmin(axis=1)", "the function that is needed there?"),
        ("im2col", "((0, 0), (0, 0), (p, p), (p, p))", "p", "Which axes are padded by `np.pad(x, p)`?"),
        ("im2col", "b : b + W]", "b : b + H]", "Is `H` what belongs there?"),
        ("col2im", "+= windows", "= windows", "write over what is there"),
        ("col2im", "p : p + H, p : p + W]", "p:H, p:W]", "Where does `x_padded[:, :, p:H, p:W]` begin"),
        ("conv2d", "kernel.reshape(O, C * k * k)", 'kernel.reshape((O, C * k * k), order="F")', "`order='F'`"),
        ("conv2d", "d_x = col2im", "d_x = -col2im", "Is the sign of `-col2im(d_columns, x.shape, k)` right?"),
        ("cbam", "= spatial_attention(f1,", "= spatial_attention(f,", "Is `f` what belongs there?"),
        ("cbam", "channel_backward(d_f1)", "channel_backward(d_f2)", "Is `d_f2` what belongs there?"),
        (
            "spatial_attention",
            "= max_pool_over_channels",
            "= avg_pool_over_channels",
            "Is `avg_pool_over_channels` what",
        ),
        (
            "channel_attention",
            "sigmoid_backward(d_m_c[:, :, 0, 0])",
            "sigmoid_backward(d_m_c)",
            "Which shape has `d_m_c`",
        ),
        ("gate", "d_f = d_out * m", "d_f = d_out.copy()", "what is missing"),
        ("spatial_attention", "d_pooled[:, 1:]", "d_pooled[:, 0:1]", "`d_pooled[:, 0:1]`"),
    ],
)
def test_the_line_of_a_mistake_is_found(name: str, right: str, wrong: str, question: str) -> None:
    function = typed(name, right, wrong)
    line = EXERCISES[name].source[: EXERCISES[name].source.index(right)].count("\n") + 1
    result = found(name, function)
    assert result is not None
    assert result.lines == (line,)
    assert wrong.partition("\n")[0] in result.text
    assert question in result.question


def test_the_same_slip_at_two_places_is_one_change() -> None:
    function = typed("mlp", "d_w2 = d_out.T @ h", "d_w2 = d_out.T * h", "d_w1 = d_z.T @ x", "d_w1 = d_z.T * x")
    result = found("mlp", function)
    assert result is not None
    assert (result.results, result.lines) == (4, (13, 16))
    assert "`d_out.T * h`" in result.question
    where = judge(EXERCISES["mlp"], function).finding.hints[0]
    assert where == "The same change in lines 13 and 16 makes your function right:  d_w2 = d_out.T * h"


def test_two_mistakes_are_told_one_after_the_other() -> None:
    function = typed("mlp", "d_w2 = d_out.T @ h", "d_w2 = -d_out.T @ h", "d_w1 = d_z.T @ x", "d_w1 = 2 * d_z.T @ x")
    result = found("mlp", function)
    assert result is not None
    assert (result.results, result.text) == (3, "d_w1 = 2 * d_z.T @ x")  # out, d_x and d_w1 are right then
    finding = judge(EXERCISES["mlp"], function).finding
    assert finding.hints[0].endswith("makes your d_w1 right:  d_w1 = 2 * d_z.T @ x") or "exactly" in finding.hints[0]


def test_a_change_that_only_takes_an_error_away_is_none() -> None:
    function = typed("mlp", "d_w2 = d_out.T @ h", "d_w2 = d_out @ h", "d_x = d_z @ w1", "d_x = 1 - d_z @ w1 ** 2")
    assert found("mlp", function, least=4) is None
    verdict = judge(EXERCISES["mlp"], function)
    assert verdict.finding.head == "backward stops with an error"
    assert not verdict.finding.named.startswith("one change")


def test_a_reshape_by_a_bare_name_or_of_nothing_is_no_obstacle() -> None:
    source = "def relu(x):\n    x.reshape()\n    return reshape(x, x.shape) * (x < 0), lambda d: d * (x > 0)\n"
    function = of_source("relu", source.replace("    x.reshape()\n", ""), reshape=np.reshape)
    result = found("relu", function)
    assert result is not None
    assert "comparison" in result.question
    assert found("relu", of_source("relu", source, reshape=np.reshape)) is None


def test_where_no_change_helps_nothing_is_said() -> None:
    assert found("relu", of_source("relu", "def relu(x):\n    return np.cos(x), lambda d: np.sin(d)\n")) is None


def test_a_repair_stands_before_the_questions_that_belong_to_the_exercise() -> None:
    function = typed(
        "cbam", "f2, spatial_backward = spatial_attention(f1,", "f2, spatial_backward = spatial_attention(-f1,"
    )
    verdict = judge(EXERCISES["cbam"], function)
    assert verdict.finding.named == "one change: sign"
    assert verdict.finding.hints[0] == (
        "One change in line 10 makes your function right:  f2, spatial_backward = spatial_attention(-f1, kernel)"
    )
    assert verdict.finding.hints[1] == "Is the sign of `-f1` right?"
    assert verdict.finding.hints[2:] == EXERCISES["cbam"].hints["f2"]


def test_what_is_known_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(*arguments: Any, **keywords: Any) -> None:
        raise AssertionError("nothing was to be looked for")

    monkeypatch.setattr(repair, "find", find)
    known = typed("relu", "np.where(on, d_out, 0.0)", "d_out.copy()")
    assert "exactly what you get" in judge(EXERCISES["relu"], known).finding.hints[0]
    for source in (
        "def relu(x):\n    raise NotImplementedError\n",
        "def relu(x):\n    return np.maximum(x, 0)\n",
        "def relu(x):\n    return np.maximum(y, 0)\n",
        "def relu(x):\n    return np.maximum(x, 0), lambda d: {'x': d}\n",
        "def relu(x):\n    x *= x > 0\n    return x, lambda d: d\n",
    ):
        judge(EXERCISES["relu"], of_source("relu", source))


@pytest.mark.parametrize(
    "source",
    [
        "def relu(x):\n    open('relu.txt')\n    return -x, lambda d: d * (x > 0)\n",
        "def relu(x):\n    import math\n    return -x, lambda d: d * (x > 0)\n",
        "def relu(x):\n    np.save('relu.npy', x)\n    return -x, lambda d: d * (x > 0)\n",
        "def relu(x):\n    if len(x) < 2:\n        exit()\n    return -x, lambda d: d * (x > 0)\n",
        "def relu(x):\n    os.getcwd()\n    return -x, lambda d: d * (x > 0)\n",
        "def relu(x):\n    global kept\n    kept = x\n    return -x, lambda d: d * (x > 0)\n",
    ],
)
def test_code_that_reaches_out_of_itself_is_never_run_changed(source: str) -> None:
    import os

    function = of_source("relu", source, os=os)
    assert repair.find(function, lambda changed: pytest.fail("it was run"), 2) is None


ENDLESS = (
    "def relu(x):\n    n = 0\n    while n < 2:\n        n += 1\n"
    "    return np.maximum(x, 0) * 2 / n + 3, lambda d: d * (x > 0)\n"
)


def test_a_change_without_end_is_stopped_and_the_others_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "ONE_TRY", 0.05)
    finding = judge(EXERCISES["relu"], of_source("relu", ENDLESS)).finding
    assert finding.hints[1] == "Does all of `np.maximum(x, 0) * 2 / n + 3` belong there?"


def test_where_nothing_can_be_stopped_only_what_ends_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "can_limit", lambda: False)
    assert not judge(EXERCISES["relu"], of_source("relu", ENDLESS)).finding.named.startswith("one change")
    ends = ENDLESS.replace("    while n < 2:\n        n += 1\n", "    n += 2\n")
    assert judge(EXERCISES["relu"], of_source("relu", ends)).finding.named == "one change: too much"
    grows = "def relu(x):\n    rows = []\n    rows.append(-x)\n    return rows[0], lambda d: d * (x > 0)\n"
    assert repair.may_not_end(of_source("relu", grows))
    assert not repair.may_not_end(of_source("relu", ends))


def test_the_search_ends_when_its_time_is_over() -> None:
    exercise = EXERCISES["relu"]
    function = typed("relu", "on = x > 0", "on = x >= 0")
    arguments = function, lambda f: right_results(exercise, f), 2, exercise.uses
    assert repair.find(*arguments) is not None
    assert repair.find(*arguments, seconds=-1.0) is None


@pytest.mark.parametrize("name", EXERCISES)
def test_every_change_has_a_line_and_a_question_and_is_undone(name: str) -> None:
    exercise = EXERCISES[name]
    tree = ast.parse(exercise.source)
    before = ast.dump(tree, include_attributes=True)
    count = 0
    for change in all_changes(tree, exercise.uses):
        assert "{" not in repair.QUESTIONS[change.kind].format(ast.unparse(change.about)) or "{" in exercise.source
        assert 1 <= change.about.lineno <= len(exercise.source.splitlines())
        if (count := count + 1) % 20 == 0:
            repair._made(tree, change, name, vars(solved))
    assert count > 100
    assert ast.dump(tree, include_attributes=True) == before


@pytest.mark.parametrize("name", EXERCISES)
def test_all_results_of_a_right_function_count_and_none_of_one_that_returns_nothing(name: str) -> None:
    exercise = EXERCISES[name]
    assert right_results(exercise, exercise.solution) == len(exercise.results)
    assert right_results(exercise, lambda *arguments: None) == 0


def test_results_count_up_to_the_first_wrong_one() -> None:
    exercise = EXERCISES["mlp"]
    for right, wrong, count in (
        ("out = h @ w2.T", "out = h @ w2.T + 1", 0),
        ("d_x = d_z @ w1", "d_x = d_z @ w1 + 1", 1),
        ("d_w1 = d_z.T @ x", "d_w1 = d_z.T @ x + 1", 2),
        ("d_w2 = d_out.T @ h", "d_w2 = d_out.T @ h + 1", 3),
        ("return d_x, d_w1, d_w2", "return d_x, d_w1", 1),
        ("return d_x, d_w1, d_w2", "raise ValueError", 1),
        ("out = h @ w2.T", "out = (h @ w2.T).astype(np.float32)", 0),
    ):
        assert right_results(exercise, typed("mlp", right, wrong)) == count
    assert right_results(EXERCISES["relu"], lambda x: (np.maximum(x, 0).astype(str), None)) == 0


def test_the_page_for_teachers_says_what_is_tried() -> None:
    page = (Path(__file__).parents[1] / "docs" / "teaching.md").read_text(encoding="utf-8")
    assert f"up to {repair.MOST:,} small changes" in page
    assert "More than 500 wrong versions" in page
    assert 500 < sum(len(exercise.mistakes) for exercise in EXERCISES.values()) < 600
    measured = (Path(__file__).parent / "test_answers.py").read_text(encoding="utf-8")
    assert "readers 8 and 9   309     91.9 %    6.1 %    1.6 % (5)    0.3 % (1)          none" in measured
    for figure in ("309 of them wrong", "91.9 %", "6.1 %", "1.6 %", "one was accepted", "No right one was refused"):
        assert figure in page
