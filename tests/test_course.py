"""The course's exercises: the solution is right, every mistake gets its own name, and what is said about it is true."""

import ast
import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_notebook_tool import build

from cbam_np import nets, ops
from cbam_np.attention.block import cbam as block
from cbam_np.commands import cli
from cbam_np.course import answer, answers, check, my_file, own_block, progress, solved
from cbam_np.course.exercise import Case, Exercise
from cbam_np.course.exercises import EXERCISES
from cbam_np.course.judge import FORWARD, RIGHT, UNWRITTEN, WAITS, WRONG, Verdict, judge
from cbam_np.course.own_function import own_function, package_cbam

ROOT = Path(__file__).parents[1]
STUBS, SOLUTION = ROOT / "notebooks" / "my_cbam.py", ROOT / "notebooks" / "solutions" / "my_cbam.py"
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9A][0-9]_*.py"))
each_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)


def words(verdict: Verdict, stage: int = 9) -> str:
    """What `check` prints, without line breaks."""
    return " ".join(progress.report(verdict, 0, stage).split())


# --- the learner's file ---------------------------------------------------------------------------------------------


def test_both_files_are_made_from_the_solution() -> None:
    assert build.untidy(ROOT / "notebooks") == []


def test_a_stub_is_its_docstring_and_nothing_more() -> None:
    stubs = my_file.functions(STUBS.read_text(encoding="utf-8"))
    assert list(stubs) == list(EXERCISES)
    for (name, stub), exercise in zip(stubs.items(), EXERCISES.values(), strict=True):
        assert (ast.get_docstring(stub) or "").startswith(f"{exercise.number} · "), name
        assert [type(node) for node in stub.body] == [ast.Expr, ast.Raise]
        assert name == exercise.name
        assert tuple(argument.arg for argument in stub.args.args) == exercise.arguments


def test_the_solution_computes_what_the_package_computes() -> None:
    rng = np.random.default_rng(0)
    f, m = rng.normal(size=(2, 6, 5, 4)), rng.normal(size=(2, 1, 5, 4))
    x, w1, w2 = rng.normal(size=(2, 6)), rng.normal(size=(3, 6)), rng.normal(size=(6, 3))
    kernel, pooled = rng.normal(size=(1, 2, 3, 3)), rng.normal(size=(2, 2, 5, 4))
    for name, inputs in {
        "avg_pool_over_space": (f,),
        "max_pool_over_space": (np.round(f),),
        "avg_pool_over_channels": (f,),
        "max_pool_over_channels": (np.round(f),),
        "relu": (np.round(x),),
        "mlp": (x, w1, w2),
        "sigmoid": (20 * x,),
        "gate": (m, f),
        "conv2d": (pooled, kernel),
    }.items():
        (out, backward), (right, right_backward) = (getattr(where, name)(*inputs) for where in (solved, ops))
        d_out = rng.normal(size=out.shape)
        got, expected = backward(d_out), right_backward(d_out)
        expected = tuple(d for d in expected if d is not None) if isinstance(expected, tuple) else (expected,)
        for a, b in zip((out, *(got if isinstance(got, tuple) else (got,))), (right, *expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14, err_msg=name)
    np.testing.assert_array_equal(solved.im2col(f, 3), ops.im2col(f, 3, 1, 1)[0])
    columns = rng.normal(size=(2, 54, 20))
    np.testing.assert_allclose(solved.col2im(columns, f.shape, 3), ops.col2im(columns, (5, 4), 3, 1, 1)[0], rtol=1e-12)


def test_the_solved_block_and_its_check_agree_with_the_package() -> None:
    rng = np.random.default_rng(1)
    f, w1, w2, kernel = (rng.normal(size=shape) for shape in ((2, 4, 3, 5), (2, 4), (4, 2), (1, 2, 3, 3)))
    out, backward = solved.cbam(f, w1, w2, kernel)
    right, right_backward = block(f, {"channel.w1": w1, "channel.w2": w2, "spatial.kernel": kernel})
    np.testing.assert_allclose(out, right, rtol=1e-12)
    d_out = rng.normal(size=out.shape)
    d_f, grads = right_backward(d_out)
    for a, b in zip(backward(d_out), (d_f, *grads.values()), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)
    assert solved.largest_error(solved.cbam, f, w1, w2, kernel) < 1e-7


def test_stubs_that_are_missing_come_to_the_end_and_nothing_is_lost() -> None:
    mine = "import numpy as np\n\n\ndef relu(x):\n    return mine  # my own\n\n\nplot = 1\n"
    content, added = my_file.with_missing_stubs(mine, my_file.source_of_solution())
    assert content.startswith(mine.rstrip("\n"))
    assert added == [name for name in EXERCISES if name != "relu"]
    assert my_file.with_missing_stubs(content, my_file.source_of_solution()) == (content, [])
    assert ast.parse(content)


# --- the chapters ---------------------------------------------------------------------------------------------------


def checked(path: Path) -> list[str]:
    """The functions that a chapter asks for."""
    code = [cell.source for cell in build.read_text(path).cells if cell.cell_type == "code"]
    return re.findall(r"^check\(\"(\w+)\"", "\n".join(code), flags=re.MULTILINE)


# --- the verdicts ---------------------------------------------------------------------------------------------------


@each_exercise
def test_the_solution_is_right_and_the_stub_is_not_written_yet(exercise: Exercise) -> None:
    stubs = my_file.load(STUBS)
    assert judge(exercise, exercise.solution).state == RIGHT
    assert judge(exercise, getattr(stubs, exercise.name)).state == UNWRITTEN


@each_exercise
def test_every_mistake_is_called_by_its_own_name(exercise: Exercise) -> None:
    assert len({m.what for m in exercise.mistakes}) == len(exercise.mistakes)
    for mistake in exercise.mistakes:
        assert mistake.what.split()[0] in ("if", "with", "without"), "goes on after: exactly what you get ..."
        verdict = judge(exercise, exercise.mistaken(mistake))
        assert (verdict.state, verdict.finding.named) == (WRONG, mistake.what)
        assert f"exactly what you get {mistake.what}." in verdict.finding.hints[0]


@each_exercise
def test_a_mistake_is_not_named_if_it_gives_other_numbers(exercise: Exercise) -> None:
    """Some of the same mistakes, a little off: nothing may be called by a name that doesn't fit exactly."""
    for mistake in exercise.mistakes[::5]:
        wrong = exercise.mistaken(mistake)

        def almost(*inputs: Any, wrong: Any = wrong) -> Any:
            result = wrong(*inputs)
            if exercise.plain:
                return result * (1 + 1e-5) + 1e-5
            out, backward = result

            def backward_almost(d_out: Any) -> Any:
                d = backward(d_out)
                return tuple(x * (1 + 1e-5) + 1e-5 for x in d) if isinstance(d, tuple) else d * (1 + 1e-5) + 1e-5

            return out * (1 + 1e-5) + 1e-5, backward_almost

        assert not judge(exercise, almost).finding.named.startswith(("if ", "with ", "without ")), mistake.what


@each_exercise
def test_no_case_is_trivial(exercise: Exercise) -> None:
    for case in exercise.cases:
        for result in exercise.all_results(exercise.solution, case):
            assert np.abs(result).max() > 0.01


def test_at_least_three_mistakes_have_a_name_and_every_result_has_questions() -> None:
    for exercise in EXERCISES.values():
        assert len(exercise.mistakes) >= 3 or exercise.look
        assert set(exercise.results) <= set(exercise.hints)


# --- answers that are right in another form -------------------------------------------------------------------------


def relu_with_lambda(x: Any) -> Any:
    return np.maximum(x, 0), lambda d_out: d_out * (x > 0)


def clipped_sigmoid(x: Any) -> Any:
    out = 1 / (1 + np.exp(-np.clip(x, -500, 500)))
    return out, lambda d_out: d_out * out * (1 - out)


def tanh_sigmoid(x: Any) -> Any:
    out = (1 + np.tanh(x / 2)) / 2
    return out, lambda d_out: d_out * out * (1 - out)


def silent_sigmoid(x: Any) -> Any:
    with np.errstate(over="ignore"):
        out = 1 / (1 + np.exp(-x))
    return out, lambda d_out: d_out * out * (1 - out)


def mlp_with_a_list(x: Any, w1: Any, w2: Any) -> Any:
    z = np.einsum("nc,qc->nq", x, w1)
    h = np.clip(z, 0, None)

    def backward(d_out: Any) -> Any:
        d_z = (d_out @ w2) * (z > 0)
        return [d_z @ w1, np.einsum("nq,nc->qc", d_z, x), np.einsum("nc,nq->cq", d_out, h)]

    return h @ w2.T, backward


def max_pool_in_loops(f: Any) -> Any:
    N, C, H, W = f.shape
    out, place = np.full((N, C), -np.inf), {}
    for n, c, i, j in np.ndindex(*f.shape):
        if f[n, c, i, j] > out[n, c]:
            out[n, c], place[n, c] = f[n, c, i, j], (i, j)

    def backward(d_out: Any) -> Any:
        d_f = np.zeros(f.shape)
        for (n, c), (i, j) in place.items():
            d_f[n, c, i, j] = d_out[n, c]
        return d_f

    return out, backward


def im2col_with_a_view(x: Any, k: int) -> Any:
    p = k // 2
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (0, 0), (p, p), (p, p))), (k, k), axis=(2, 3))
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(len(x), -1, x.shape[2] * x.shape[3])


def slopes_in_place(op: Any, inputs: Any, which: int, d_out: Any) -> Any:
    """Without restoring the last digit: x + h - 2h + h is not always x."""
    x, h, result = inputs[which], 1e-5, []
    for i in np.ndindex(*x.shape):
        x[i] += h
        above = op(*inputs)[0]
        x[i] -= 2 * h
        below = op(*inputs)[0]
        x[i] += h
        result.append(np.sum((above - below) * d_out) / (2 * h))
    return np.array(result).reshape(x.shape)


def relative_error(op: Any, *inputs: Any, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    d_out = rng.standard_normal(out.shape)
    gradients = backward(d_out) if len(inputs) > 1 else [backward(d_out)]
    slopes = [solved.slopes(op, inputs, i, d_out) for i in range(len(inputs))]
    return max(np.abs(g - s).max() / np.abs(s).max() for g, s in zip(gradients, slopes, strict=True))


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("relu", relu_with_lambda),
        ("sigmoid", clipped_sigmoid),
        ("sigmoid", tanh_sigmoid),
        ("sigmoid", silent_sigmoid),
        ("mlp", mlp_with_a_list),
        ("max_pool_over_space", max_pool_in_loops),
        ("im2col", im2col_with_a_view),
        ("slopes", slopes_in_place),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_another_form_of_the_right_answer_is_right(name: str, function: Callable[..., Any]) -> None:
    verdict = judge(EXERCISES[name], function)
    assert verdict.state == RIGHT, words(verdict)


# --- both sides of every number that decides ------------------------------------------------------------------------


def shifted(name: str, by: float) -> Callable[..., Any]:
    """The solution, a little off everywhere."""
    exercise = EXERCISES[name]

    def function(*inputs: Any, **options: Any) -> Any:
        result = exercise.solution(*inputs, **options)
        return result + by if exercise.plain else (result[0] + by, result[1])

    return function


@pytest.mark.parametrize(
    ("name", "within", "beyond"),
    [
        ("mlp", 1e-10, 1e-7),
        ("sigmoid", 5e-13, 3e-12),
        ("slopes", 1e-6, 1e-3),
        ("largest_error", 0.9e-6, 1.1e-6),
    ],
)
def test_tolerances(name: str, within: float, beyond: float) -> None:
    assert judge(EXERCISES[name], shifted(name, within)).state == RIGHT
    assert judge(EXERCISES[name], shifted(name, beyond)).state == WRONG


def slopes_with(h: float) -> Callable[..., Any]:
    def slopes(op: Any, inputs: Any, which: int, d_out: Any) -> Any:
        inputs = [x.copy() for x in inputs]
        x, result = inputs[which], np.zeros(inputs[which].shape)
        for i in np.ndindex(*x.shape):
            x_i = x[i]
            x[i] = x_i + h
            result[i] += np.sum(d_out * op(*inputs)[0]) / (2 * h)
            x[i] = x_i - h
            result[i] -= np.sum(d_out * op(*inputs)[0]) / (2 * h)
            x[i] = x_i
        return result

    return slopes


@pytest.mark.parametrize("h", [2e-4, 1e-5, 1e-8])
def test_a_step_that_gives_the_slopes_is_right(h: float) -> None:
    assert judge(EXERCISES["slopes"], slopes_with(h)).state == RIGHT


@pytest.mark.parametrize(
    ("h", "named"), [(1e-2, "h is too large"), (1e-3, "h is too large"), (1e-11, "h is too small")]
)
def test_a_step_that_does_not_is_named(h: float, named: str) -> None:
    assert judge(EXERCISES["slopes"], slopes_with(h)).finding.named == named


@pytest.mark.parametrize(("factor", "right"), [(1.0, True), (0.995, True), (0.98, False), (1.005, True), (1.02, False)])
def test_the_largest_error_is_the_largest_difference(factor: float, right: bool) -> None:
    def largest_error(op: Any, *inputs: Any, seed: int = 0) -> Any:
        return factor * solved.largest_error(op, *inputs, seed=seed)

    assert (judge(EXERCISES["largest_error"], largest_error).state == RIGHT) == right
    assert judge(EXERCISES["largest_error"], relative_error).finding.named == "a relative error"


@pytest.mark.parametrize(("by", "right"), [(1e-13, True), (1e-9, False)])
def test_an_input_may_be_off_by_rounding_afterwards(by: float, right: bool) -> None:
    def relu(x: Any) -> Any:
        out, backward = solved.relu(x)
        x *= 1 + by
        return out, backward

    assert (judge(EXERCISES["relu"], relu).state == RIGHT) == right


# --- what is said about answers that are wrong in other ways ---------------------------------------------------------


def source(code: str) -> Callable[[Path], Any]:
    """A function that makes a module of `code`, with the solved functions in it, as a learner's file would have."""

    def load(folder: Path) -> Any:
        path = folder / "my_cbam.py"
        path.write_text("from cbam_np.course.solved import *\nimport numpy as np\n" + code, encoding="utf-8")
        return my_file.load(path)

    return load


SAID = {
    "a gate without its axes": (
        "channel_attention",
        "def channel_attention(f, w1, w2):\n"
        "    m_c = sigmoid(mlp(f.mean(axis=(2, 3)), w1, w2)[0])[0]\n    return m_c * f, None",
        [
            "forward stops with an error",
            "in line 5: return m_c * f, None",
            "m_c has the shape (N, C)",
            "(N, C) against (N, C, H, W): lined up from the right, N meets H and C meets W",
            "Which axes is (N, C) missing",
        ],
    ),
    "a factor not transposed": (
        "mlp",
        "def mlp(x, w1, w2):\n    return relu(x @ w1)[0] @ w2, None",
        ["x has the shape (N, C); w1 has the shape (hidden, C)", "C and hidden, not the same"],
    ),
    "an operation's two results": (
        "mlp",
        "def mlp(x, w1, w2):\n    h = relu(x @ w1.T)\n    return h @ w2.T, None",
        ["h is a tuple, what an operation returns: its output and its backward", "Which one do you need here"],
    ),
    "a local name": (
        "relu",
        "def relu(x):\n    d_x = 0\n    def backward(d_out):\n        d_x += d_out\n        return d_x\n"
        "    return np.maximum(x, 0), backward",
        ["backward stops with an error", "UnboundLocalError", "belongs to that function"],
    ),
    "x changed in place": (
        "relu",
        "def relu(x):\n    x[x < 0] = 0\n    return x, None",
        ["forward changes x in place", "The caller still needs x as it was"],
    ),
    "d_out changed in place": (
        "relu",
        "def relu(x):\n    def backward(d_out):\n        d_out[x <= 0] = 0\n        return d_out\n"
        "    return np.maximum(x, 0), backward",
        ["backward changes d_out in place"],
    ),
    "backward called": (
        "relu",
        "def relu(x):\n    backward = lambda d: d * (x > 0)\n    return np.maximum(x, 0), backward(np.ones(x.shape))",
        ["the second is an array of shape", "Return the function backward itself"],
    ),
    "nothing returned": ("relu", "def relu(x):\n    np.maximum(x, 0)", ["got None", "Which line returns something?"]),
    "the wrong order of the two": (
        "relu",
        "def relu(x):\n    return (lambda d: d * (x > 0)), np.maximum(x, 0)",
        ["first a function", "The output comes first"],
    ),
    "the output alone": (
        "relu",
        "def relu(x):\n    return np.maximum(x, 0)",
        ["forward right, backward not written yet", "from now on return two things"],
    ),
    "no backward yet": ("relu", "def relu(x):\n    return np.maximum(x, 0), None", ["forward right, backward not"]),
    "gradients in another order": (
        "mlp",
        "def mlp(x, w1, w2):\n    from cbam_np.course import solved\n    out, backward = solved.mlp(x, w1, w2)\n"
        "    return out, lambda d: backward(d)[::-1]",
        ["all gradients are right, but in another order: return d_x, d_w1, d_w2"],
    ),
    "a gradient missing": (
        "mlp",
        "def mlp(x, w1, w2):\n    from cbam_np.course import solved\n    out, backward = solved.mlp(x, w1, w2)\n"
        "    return out, lambda d: backward(d)[0]",
        ["expected 3 gradients: d_x, d_w1, d_w2", "Which gradients are missing?"],
    ),
    "another dtype": (
        "relu",
        "def relu(x):\n    return np.maximum(x, 0).astype('float32'), None",
        ["out in float64, as the inputs are", "got float32"],
    ),
    "a sum that keeps no axis": (
        "gate",
        "def gate(m, f):\n    axes = tuple(a for a in (1, 2, 3) if m.shape[a] == 1)\n"
        "    return m * f, lambda d: ((d * f).sum(axis=axes), d * m)",
        ["d_m of shape (N, C, 1, 1)", "got shape (N, C)", "keepdims=True is missing"],
    ),
    "what is remembered globally": (
        "relu",
        "def relu(x):\n    global last\n    last = x\n    return np.maximum(x, 0), lambda d: d * (last > 0)",
        ["backward is right, but only until forward is called again", "not in a global variable"],
    ),
    "an array that collects": (
        "relu",
        "def relu(x):\n    d_x = np.zeros(x.shape)\n    def backward(d):\n        d_x[...] += d * (x > 0)\n"
        "        return d_x\n    return np.maximum(x, 0), backward",
        ["backward gives something else when it is called a second time"],
    ),
    "an overflow": (
        "sigmoid",
        "def sigmoid(x):\n    out = 1 / (1 + np.exp(-x))\n    return out, lambda d: d * out * (1 - out)",
        ["the numbers are right, but NumPy warns", "overflow encountered in exp", "larger than any float64"],
    ),
    "both branches computed": (
        "sigmoid",
        "def sigmoid(x):\n    out = np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))\n"
        "    return out, lambda d: d * out * (1 - out)",
        ["NumPy warns", "np.where computes both of its branches"],
    ),
    "one-sided slopes": (
        "slopes",
        "def slopes(op, inputs, which, d_out):\n    x, h = inputs[which], 1e-5\n    s = np.zeros(x.shape)\n"
        "    for i in np.ndindex(x.shape):\n        a = np.sum(d_out * op(*inputs)[0])\n        x[i] += h\n"
        "        s[i] = (np.sum(d_out * op(*inputs)[0]) - a) / h\n        x[i] -= h\n    return s",
        ["every entry is moved to one side only, by 1e-05"],
    ),
    "one-sided slopes that are nearly right": (
        "slopes",
        "def slopes(op, inputs, which, d_out):\n    x, h = inputs[which], 1e-8\n    s = np.zeros(x.shape)\n"
        "    for i in np.ndindex(x.shape):\n        a = np.sum(d_out * op(*inputs)[0])\n        x[i] += h\n"
        "        s[i] = (np.sum(d_out * op(*inputs)[0]) - a) / h\n        x[i] -= h\n    return s",
        ["moved to one side only, by 1e-08"],
    ),
    "a large step": (
        "slopes",
        "def slopes(op, inputs, which, d_out):\n    x, h = inputs[which], 1e-2\n    s = np.zeros(x.shape)\n"
        "    for i in np.ndindex(x.shape):\n        x[i] += h\n        a = np.sum(d_out * op(*inputs)[0])\n"
        "        x[i] -= 2 * h\n        s[i] = (a - np.sum(d_out * op(*inputs)[0])) / 2 / h\n        x[i] += h\n"
        "    return s",
        ["the step is h = 0.01", "its error grows like h²"],
    ),
    "ones for d_out": (
        "largest_error",
        "def largest_error(op, *inputs, seed=0):\n    out, backward = op(*inputs)\n    d = np.ones(out.shape)\n"
        "    g = backward(d)\n    g = g if isinstance(g, tuple) else (g,)\n"
        "    return max(abs(g[i] - slopes(op, inputs, i, d)).max() for i in range(len(g)))",
        ["all entries of your d_out are the same: 1", "Every entry needs a random number of its own"],
    ),
    "the mean of the errors": (
        "largest_error",
        "def largest_error(op, *inputs, seed=0):\n    out, backward = op(*inputs)\n"
        "    d = np.random.default_rng(seed).normal(size=out.shape)\n"
        "    g = backward(d)\n    g = g if isinstance(g, tuple) else (g,)\n"
        "    return max(abs(g[i] - slopes(op, inputs, i, d)).mean() for i in range(len(g)))",
        ["for a gradient that is wrong at two entries only the error is too small"],
    ),
    "the sign of the errors": (
        "largest_error",
        "def largest_error(op, *inputs, seed=0):\n    out, backward = op(*inputs)\n"
        "    d = np.random.default_rng(seed).normal(size=out.shape)\n"
        "    g = backward(d)\n    g = g if isinstance(g, tuple) else (g,)\n"
        "    return max(0, max((g[i] - slopes(op, inputs, i, d)).max() for i in range(len(g))))",
        ["for a gradient that is too small at nearly all entries the error is too small"],
    ),
    "the last input only": (
        "largest_error",
        "def largest_error(op, *inputs, seed=0):\n    out, backward = op(*inputs)\n"
        "    d = np.random.default_rng(seed).normal(size=out.shape)\n"
        "    g = backward(d)\n    g = g if isinstance(g, tuple) else (g,)\n"
        "    for i in range(len(g)):\n        error = abs(g[i] - slopes(op, inputs, i, d)).max()\n    return error",
        ["a gradient that is wrong for the first of two inputs passes"],
    ),
    "no tuple for one input": (
        "largest_error",
        "def largest_error(op, *inputs, seed=0):\n    out, backward = op(*inputs)\n"
        "    d = np.random.default_rng(seed).normal(size=out.shape)\n    g = backward(d)\n"
        "    return max(abs(g[i] - slopes(op, inputs, i, d)).max() for i in range(len(g)))",
        ["stops with an error for an operation with one input", "backward returns the array itself"],
    ),
    "the seed not used": (
        "largest_error",
        "def largest_error(op, *inputs, seed=0):\n    out, backward = op(*inputs)\n"
        "    d = np.random.normal(size=out.shape)\n    g = backward(d)\n    g = g if isinstance(g, tuple) else (g,)\n"
        "    return max(abs(g[i] - slopes(op, inputs, i, d)).max() for i in range(len(g)))",
        ["two calls with the same seed give two results"],
    ),
    "a fact without a name: a factor": (
        "avg_pool_over_space",
        "def avg_pool_over_space(f):\n    N, C, H, W = f.shape\n    def backward(d):\n"
        "        return np.broadcast_to(d[:, :, None, None] / (C * H), f.shape)\n"
        "    return f.mean(axis=(2, 3)), backward",
        ["your d_f is W/C times the expected one, at every entry"],
    ),
    "a fact without a name: places": (
        "relu",
        "def relu(x):\n    return np.maximum(x, 0), lambda d: d * np.where(x > 0, 1, np.where(x == 0, 0.25, 0))",
        ["your d_x is wrong only where x is 0, and right everywhere else"],
    ),
    "calling itself": ("relu", "def relu(x):\n    return relu(x)", ["calls itself without end"]),
}  # fmt: skip


@pytest.mark.parametrize("what", SAID)
def test_what_is_said(what: str, tmp_path: Path) -> None:
    name, code, parts = SAID[what]
    module = source(code)(tmp_path)
    text = words(progress.verdict_on(name, module, {}))
    assert [part for part in parts if part not in text] == [], text


def test_a_loop_without_end_is_stopped_even_if_every_exception_is_caught() -> None:
    def endless(x: Any) -> Any:
        while True:
            with suppress(Exception):
                x = x + 0

    verdict = judge(EXERCISES["relu"], endless, seconds=0.2)
    assert (verdict.state, verdict.finding.head) == (WRONG, "not finished after 0.2 seconds")


def test_a_view_of_an_input_is_not_an_output() -> None:
    case = Case((np.arange(6.0).reshape(2, 3),), {"N": 2, "C": 3})
    exercise = Exercise(0, "im2col", 0, "", ("columns",), (case,), plain=True)
    object.__setattr__(exercise, "name", "copy_of")
    solved_copy: Any = lambda x: x.copy()  # noqa: E731
    solved.copy_of = solved_copy  # type: ignore[attr-defined]
    try:
        assert judge(exercise, solved_copy).state == RIGHT
        verdict = judge(exercise, lambda x: x[:])
        assert "shares its memory with x" in verdict.finding.head
    finally:
        del solved.copy_of  # type: ignore[attr-defined]


# --- hints in stages ------------------------------------------------------------------------------------------------


def test_hints_come_in_stages_and_facts_with_all_of_them() -> None:
    exercise = EXERCISES["relu"]
    mistake = exercise.mistakes[-1]
    verdict = judge(exercise, exercise.mistaken(mistake))
    texts = [words(verdict, stage) for stage in range(len(verdict.finding.hints) + 1)]
    assert all("where d_x[" in text and "expected" in text and "got" in text for text in texts)
    assert [text.count(" hint ") for text in texts] == list(range(len(texts)))
    assert 'for more: check("relu", hint=1)' in texts[0]
    assert "for more:" not in texts[-1]
    assert "no further hint" not in texts[-1]
    assert words(verdict, len(texts)).endswith("no further hint")
    assert "--hint 1" in progress.report(verdict, 0, 0, "cbam-np course {name} --hint {stage}")


def test_how_many_hints_are_shown_unasked(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_function(mine, "relu", "def relu(x):\n    return np.maximum(x, 0), lambda d: d * (x >= 0)")
    check("relu")
    assert " hint 1 " in capsys.readouterr().out
    monkeypatch.setenv(progress.HINTS, "0")
    check("relu")
    assert " hint 1 " not in capsys.readouterr().out
    check("relu", hint=1)
    assert " hint 1 " in capsys.readouterr().out
    monkeypatch.setenv(progress.HINTS, "none")
    with pytest.raises(ValueError, match="CBAM_NP_HINTS: expected a whole number from 0, got 'none'"):
        check("relu")


# --- the whole file -------------------------------------------------------------------------------------------------


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A learner's file in the working directory, with stubs."""
    monkeypatch.delenv(my_file.VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / my_file.NAME
    path.write_text(STUBS.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def with_function(path: Path, name: str, code: str) -> None:
    """Write a function in place of its stub."""
    text = path.read_text(encoding="utf-8")
    stub = my_file.stubs(my_file.source_of_solution())[name]
    assert stub in text
    path.write_text(text.replace(stub, code), encoding="utf-8")


def test_check_reads_the_file_as_it_is_now(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check("relu")
    assert capsys.readouterr().out == "relu: not written yet · 0 of 16 functions are right\n"
    with_function(mine, "relu", "def relu(x):\n    return np.maximum(x, 0), lambda d: d * (x > 0)")
    check("relu")
    assert capsys.readouterr().out == "relu: right · 1 of 16 functions are right\n"


def test_the_variable_names_another_file(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(my_file.VARIABLE, str(SOLUTION))
    check("cbam")
    assert capsys.readouterr().out == "cbam: right · 16 of 16 functions are right\n"


def test_a_function_that_waits_for_another_is_right_by_itself(mine: Path) -> None:
    code = my_file.functions(my_file.source_of_solution())
    lines = my_file.source_of_solution().splitlines()
    with_function(mine, "cbam", "\n".join(lines[code["cbam"].lineno - 1 : code["cbam"].end_lineno]))
    verdict = progress.verdicts(mine)["cbam"]
    assert verdict.state == WAITS
    assert verdict.finding.head.startswith("right by itself; it waits for avg_pool_over_space, ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no file"),
        ("def relu(x)\n    return x", "not valid Python: line 1: def relu(x) SyntaxError: expected ':'"),
        ("def relu(x):\nreturn x", "IndentationError"),
        (
            "import numpy as np\nx = np.zeros(3)[7]\n",
            "stops while it is loaded in line 2: x = np.zeros(3)[7] IndexError",
        ),
        ("import no_such_module\n", "ModuleNotFoundError"),
        (b"\xff\xfe", "not a text in UTF-8"),
        ("", "there is no function relu in the file"),
        ("relu = 3", "there is no function relu in the file"),
    ],
)
def test_a_file_that_cannot_be_run(
    text: str | bytes | None, said: str, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine.unlink()
    if text is not None:
        mine.write_bytes(text if isinstance(text, bytes) else text.encode())
    check("relu")
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.startswith("relu: not")
    assert said in printed


def test_check_says_which_functions_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    check("softmax")
    assert capsys.readouterr().out.startswith("softmax: there is no such function in the course; there are slopes, ")


def test_what_a_function_prints_is_not_shown_while_it_is_judged(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_function(mine, "relu", "def relu(x):\n    print('here')\n    return np.maximum(x, 0), lambda d: d * (x > 0)")
    check("relu")
    assert "here" not in capsys.readouterr().out


def test_a_forward_without_its_backward_is_not_done(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_function(mine, "relu", "def relu(x):\n    return np.maximum(x, 0), None")
    check("relu")
    assert capsys.readouterr().out == "relu: forward right, backward not written yet · 0 of 16 functions are right\n"
    assert progress.verdicts(mine)["relu"].state == FORWARD


# --- cbam-np course -------------------------------------------------------------------------------------------------


def test_the_command_shows_all_or_one(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["course"]) == 1
    printed = capsys.readouterr().out
    assert "0 of 16 functions are right" in printed
    assert all(name in printed for name in EXERCISES)
    assert "cbam-np course slopes" in printed
    with_function(mine, "relu", "def relu(x):\n    return np.maximum(x, 0), lambda d: d * (x >= 0)")
    assert cli.main(["course", "relu", "--hint", "2"]) == 1
    assert "as x >= 0 does" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["course", "--solutions"]) == 0
    assert "16 of 16 functions are right" in capsys.readouterr().out
    assert cli.main(["course", "relu", "--file", str(SOLUTION)]) == 0


def test_the_table_names_the_half_that_is_missing_and_a_hint_says_how_to_get_the_next(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_function(mine, "relu", "def relu(x):\n    return np.maximum(x, 0), None")
    assert cli.main(["course"]) == 1
    assert "forward right, backward not written yet" in " ".join(capsys.readouterr().out.split())
    mine.write_text(STUBS.read_text(encoding="utf-8"), encoding="utf-8")
    with_function(mine, "relu", "def relu(x):\n    return np.maximum(x, 0), lambda d: d * (x >= 0)")
    assert cli.main(["course", "relu"]) == 1
    assert "for more: cbam-np course relu --hint 2" in capsys.readouterr().out


def test_the_states_as_json(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_function(mine, "relu", "print('loaded')\n\n\ndef relu(x):\n    return np.maximum(x, 0), lambda d: d * (x > 0)")
    mine.with_name("other.py").write_text("raise RuntimeError", encoding="utf-8")  # another submission beside it
    assert cli.main(["course", "--json", "--file", str(mine)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["error"], found["right"], found["of"]) == (None, 1, len(EXERCISES))
    assert [row["name"] for row in found["functions"]] == list(EXERCISES)
    assert [row["name"] for row in found["functions"] if row["state"] == RIGHT] == ["relu"]
    assert cli.main(["course", "relu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["functions"][0]["formula"] == EXERCISES["relu"].formula
    mine.write_text("def", encoding="utf-8")
    assert cli.main(["course", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert "not valid Python" in found["error"]
    assert (found["right"], found["of"], found["functions"]) == (0, 16, [])


def test_the_command_says_why_it_cannot_run(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["course", "softmax"]) == 2
    assert "function: expected one of slopes" in capsys.readouterr().err
    mine.write_text("def", encoding="utf-8")
    assert cli.main(["course"]) == 2
    assert "not valid Python" in capsys.readouterr().err


# --- short answers --------------------------------------------------------------------------------------------------


def test_short_answers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def half(value: Any) -> str | None:
        return None if value == 0.5 else "σ(0)?" if abs(value) else "no"

    monkeypatch.setattr(answers, "registered", lambda: {"4.1": half})
    for value in (..., 0.5, 1.0, "text"):
        answer("4.1", value)
    answer("4.2", 1)
    assert capsys.readouterr().out.splitlines() == [
        "4.1: not answered yet",
        "4.1: right",
        "4.1: not right yet. σ(0)?",
        "4.1: not right yet. this can't be compared with the answer (TypeError: bad operand type for abs(): 'str')",
        "4.2: there is no such question; there are 4.1",
    ]


# --- the block in a network -----------------------------------------------------------------------------------------


def small_network(attention: str = "cbam") -> Any:
    options: dict[str, Any] = {"reduction": 2} if attention == "cbam" else {}
    return nets.resnet(8, attention=attention, channels=1, classes=3, width=4, dtype="float64", **options)


def test_the_learners_block_trains_in_a_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(my_file.VARIABLE, str(SOLUTION))
    net = small_network()
    own = own_block(net)
    assert capsys.readouterr().out == "Your cbam is in 3 places: layer1.0, layer2.0, layer3.0\n"
    rng = np.random.default_rng(0)
    x, d_logits = rng.normal(size=(2, 1, 8, 8)), rng.normal(size=(2, 3))
    np.testing.assert_allclose(own(x), net(x), rtol=1e-10)
    np.testing.assert_allclose(own.backward(d_logits), net.backward(d_logits), rtol=1e-9, atol=1e-12)
    assert own.grads.keys() == net.grads.keys()
    for name, grad in net.grads.items():
        np.testing.assert_allclose(own.grads[name], grad, rtol=1e-8, atol=1e-12)
    own.eval()(x)
    net.eval()(x)
    for where, maps in net.maps.items():
        for kind, values in maps.items():
            np.testing.assert_allclose(own.maps[where][kind], values, rtol=1e-10)


def test_a_block_that_is_not_right_is_not_put_in(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = small_network()
    assert own_block(net) is net
    assert capsys.readouterr().out.startswith("Your cbam: not written yet. Until it is right, the package's takes")
    mine.unlink()
    assert own_block(net) is net
    assert "there is no file" in capsys.readouterr().out


def test_another_function_is_put_in_unjudged(capsys: pytest.CaptureFixture[str]) -> None:
    def nothing_comes_back(f: Any, w1: Any, w2: Any, kernel: Any) -> Any:
        f2, backward = solved.cbam(f, w1, w2, kernel)
        return f2, lambda d_f2: (0 * f, *backward(d_f2)[1:])

    net = small_network()
    own = own_block(net, nothing_comes_back)
    assert capsys.readouterr().out.startswith("Your nothing_comes_back is in 3 places")
    rng = np.random.default_rng(0)
    x, d_logits = rng.normal(size=(2, 1, 8, 8)), rng.normal(size=(2, 3))
    np.testing.assert_allclose(own(x), net(x), rtol=1e-10)
    assert np.abs(own.backward(d_logits) - net.backward(d_logits)).max() > 1e-3 * np.abs(own.backward(d_logits)).max()


def test_the_learners_function_is_called_where_it_is_right(
    monkeypatch: pytest.MonkeyPatch, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert own_function("largest_error") is solved.largest_error
    assert own_function("cbam") is package_cbam
    assert capsys.readouterr().out.count("Until it is right, the package's takes its place.\n") == 2
    monkeypatch.setenv(my_file.VARIABLE, str(SOLUTION))
    assert own_function("largest_error").__code__.co_filename == str(SOLUTION)
    assert not capsys.readouterr().out


def test_a_network_without_cbam_has_no_place_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(my_file.VARIABLE, str(SOLUTION))
    with pytest.raises(ValueError, match='net: expected a network with attention="cbam"'):
        own_block(small_network("none"))
