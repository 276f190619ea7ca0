"""What the checker says of calls, sizes and gradient checks: both sides of each, what fits and what does not."""

import linecache
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
import pytest

from cbam_np.course import facts, solved
from cbam_np.course.calls import misfits, misuse
from cbam_np.course.exercise import Case
from cbam_np.course.exercises import EXERCISES
from cbam_np.course.judge import judge, written

CASE = EXERCISES["spatial_attention"].cases[0]  # N = 3, C = 8, H = 11, W = 14, k = 5
x, maps, kernel = np.zeros((3, 8, 11, 14)), np.zeros((3, 2, 11, 14)), np.zeros((1, 2, 5, 5))


def of_the_file(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as if it were in a file with all the others, right."""
    return FunctionType(function.__code__, {**vars(solved), "Any": Any}, function.__name__)


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_right_functions_call_others_as_these_are_made(exercise: Any) -> None:
    assert misuse(exercise, of_the_file(exercise.solution)) == ("", ())


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("conv2d", (maps, kernel), ""),
        ("conv2d", (x, kernel), "conv2d gets x: (N, C, H, W), kernel: (1, 2, k, k); it is made for x: (N, C, H, W)"),
        ("conv2d", (maps[:, :, None], kernel), "conv2d gets x: (N, 2, 1, H, W)"),
        ("gate", (maps[:, :1], x), ""),
        ("gate", (x[:, :, :1, :1], x), ""),
        ("gate", (x, maps[:, :1]), "gate gets m: (N, C, H, W), f: (N, 1, H, W)"),
        ("sigmoid", (np.zeros((3, 8, 1, 1)),), ""),
        ("relu", (np.zeros(2),), ""),
        ("im2col", (maps, 5), ""),
        ("im2col", (maps, 2), "im2col gets k = 2; here k is 5"),
        ("col2im", (np.zeros((3, 50, 154)), (3, 2, 11, 14), 5), ""),
        ("col2im", (np.zeros((3, 50, 154)), [3, 2, 11, 14], 5), ""),
        ("col2im", (np.zeros((3, 50, 154)), (3, 2, 15, 18), 5), "shape: (N, 2, 15, 18)"),
        ("mlp", ((x, misuse), kernel, kernel), "mlp gets a tuple for x: an output and its backward"),
    ],
)
def test_arguments_fit_by_their_shapes(name: str, arguments: tuple[Any, ...], said: str) -> None:
    facts = [fact for fact, _, _ in misfits(name, arguments, CASE)]
    assert said in facts[0] if said else facts == []


def overwritten(f: Any, w1: Any, w2: Any, kernel: Any) -> Any:
    f1, back = channel_attention(f, w1, w2)  # type: ignore[name-defined] # noqa: F821
    f2, back = spatial_attention(f1, kernel)  # type: ignore[name-defined] # noqa: F821

    def backward(d_f2: Any) -> Any:
        d_f1, d_kernel = back(d_f2)
        d_f, d_w1, d_w2 = back(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


def test_a_backward_that_is_called_twice_in_place_of_another_is_told() -> None:
    finding = judge(EXERCISES["cbam"], of_the_file(overwritten)).finding
    assert finding.named == "the backward of spatial_attention is called 2 times, that of channel_attention never"
    assert "writes over the first" in finding.hints[0]


def test_the_file_is_as_it_was_afterwards() -> None:
    function = of_the_file(overwritten)
    before = dict(function.__globals__)
    misuse(EXERCISES["cbam"], function)
    assert function.__globals__ == before


@pytest.mark.parametrize("exercise", [e for e in EXERCISES.values() if not e.plain], ids=lambda e: e.name)
def test_what_the_courses_own_functions_return_can_be_written_to(exercise: Any) -> None:
    for case in exercise.cases:
        assert all(result.flags.writeable for result in exercise.all_results(exercise.solution, case))


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_the_same_sizes_are_never_right_and_wrong(exercise: Any) -> None:
    for wrong in range(len(exercise.cases)):
        said = facts.contrast(exercise.cases, [wrong])
        right, _, other = said.removeprefix("right for ").partition(", wrong for ")
        assert right != other


def test_what_is_right_where_a_size_is_1_is_said_if_more_than_one_case_shows_it() -> None:
    cases = [Case((), {"O": O, "N": n}) for O, n in ((1, 2), (2, 1), (1, 3), (4, 5))]
    assert facts.contrast(cases, [1, 3]) == "right where O is 1, wrong where it is larger"
    assert facts.contrast(cases[:2], [1]) == "right for O = 1, N = 2, wrong for O = 2, N = 1"
    assert facts.contrast(cases, []) == facts.contrast(cases, [0, 1, 2, 3]) == ""
    kinds = [Case((), {"N": 2}, note) for note in ("m = M_c", "m = M_s")]
    assert facts.contrast(kinds, [1]) == "right for m = M_c, wrong for m = M_s"
    assert facts.contrast([Case((), {"N": 2}), Case((), {"N": 2})], [1]) == ""


def judged_by(differences: Callable[[Any, Any], Any]) -> str:
    """What is said of a gradient check that makes one number of a gradient and slopes in this way."""

    def largest_error(op: Any, *inputs: Any, seed: int = 0) -> Any:
        out, backward = op(*inputs)
        d_out = np.random.default_rng(seed).normal(size=out.shape)
        gradients = backward(d_out)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        return max(differences(g, solved.slopes(op, inputs, i, d_out)) for i, g in enumerate(gradients))

    verdict = judge(EXERCISES["largest_error"], largest_error)
    return verdict.finding.named or verdict.state


@pytest.mark.parametrize(
    ("differences", "named"),
    [
        (lambda g, s: np.abs(g - s).max(), "right"),
        (lambda g, s: (np.abs(g - s) / np.maximum(1, np.abs(s))).max(), "a relative error"),
        (lambda g, s: np.abs(g - s).max() / np.abs(s).max(), "a relative error"),
        (lambda g, s: abs((g - s).max()), "the sign isn't dropped"),
        (lambda g, s: abs((s - g).max()), "the sign isn't dropped"),
        (lambda g, s: np.abs(g - s).mean(), "the mean hides a wrong entry"),
        (lambda g, s: np.sqrt(np.mean((g - s) ** 2)), "the mean hides a wrong entry"),
        (lambda g, s: np.abs(g - s).sum(), "the error is too large"),
        (lambda g, s: np.median(np.abs(g - s)), "two wrong entries don't show"),
        (lambda g, s: abs(np.abs(g).max() - np.abs(s).max()), "two wrong entries don't show"),
        (lambda g, s: abs((g - s).mean()), "a gradient that is wrong for the second of two inputs passes"),
    ],
)
def test_only_the_largest_difference_is_the_largest_difference(differences: Any, named: str) -> None:
    assert judged_by(differences) == named


def question(code: str, fact: str, during: str = "backward") -> str:
    """What is asked about a fact if this is the learner's code."""
    names: dict[str, Any] = {"np": np}
    file = f"<{abs(hash(code))}>"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    exec(compile(code, file, "exec"), names)
    return facts.question(fact, "d_x", written(names["f"], during))


@pytest.mark.parametrize(
    ("fact", "said", "code", "other"),
    [  # a fact; what is asked only of code that gives a reason to; such code; the same without the reason
        ("right at index 2, the last, only", "write over", "for i in x: g = i", "g = x"),
        ("right at index 0, the first, only", "When does the loop return", "for i in x: return i", "for i in x: x + i"),
        ("wherever your d_x is wrong, it is 0", "written to", "g[0] = d", "g = d"),
        ("your d_x is zero everywhere", "flatten", "g[0] = d", "g = d"),
        ("your d_x is the expected one summed over", "not summed over", "return np.sum(d)", "return d[0]"),
        ("your d_x is the expected one averaged over", "no average", "return d.mean()", "return d[0]"),
    ],
)
def test_a_question_about_a_cause_needs_code_that_has_it(fact: str, said: str, code: str, other: str) -> None:
    inner = (
        'def f(x):\n    """for sum mean reshape"""\n    {}\n    def backward(d):\n        {}\n    return x, backward\n'
    )
    assert said in question(inner.format("x", code), fact)
    assert said not in question(inner.format("x", other), fact)
    assert said not in question(inner.format(code.replace("return ", "d = "), other), fact)  # it's in forward
    assert question(inner.format("x", other), fact) == question("f = max", fact)  # no source: the modest one


def test_e_to_the_x_within_where_is_told_from_one_beside_it() -> None:
    names: dict[str, Any] = {}
    code = "def f(x):\n    return np.where(x > 0, {}, 0), lambda d: {}\n"
    found = {}
    for at, parts in {"within": ("np.exp(x)", "d"), "beside": ("x", "np.exp(d)")}.items():
        text = code.format(*parts)
        linecache.cache[f"<{at}>"] = (len(text), None, text.splitlines(keepends=True), f"<{at}>")
        exec(compile(text, f"<{at}>", "exec"), names)
        found[at] = [
            word in written(names["f"], d) for d in ("forward", "backward") for word in ("exp", "exp in where")
        ]
    assert found == {"within": [True, True, False, False], "beside": [False, False, True, False]}


def test_a_second_call_of_backward_with_more_gradients_is_said_to_be_the_second() -> None:
    def relu(x: Any) -> Any:
        kept: list[Any] = []

        def backward(d_out: Any) -> Any:
            kept.append(d_out * (x > 0))
            return kept[0] if len(kept) == 1 else tuple(kept)

        return np.maximum(x, 0), backward

    finding = judge(EXERCISES["relu"], relu).finding
    assert finding.named == "the second call differs from the first"
    assert ("got", "number of gradients: 1, then 2") in finding.lines


def test_an_order_read_as_another_is_a_fact() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    case = Case((), {"N": 2, "C": 3, "W": 4})
    read = x.transpose(1, 0, 2).reshape(2, 3, 4)
    order = "the numbers in your y are right, but in the order of an array (C, N, W), read as (N, C, W)"
    assert list(facts.relations("y", read, x, case)) == [order]
    shuffled = np.random.default_rng(1).permutation(x.ravel()).reshape(x.shape)
    assert list(facts.relations("y", shuffled, x, case)) == ["the numbers in your y are right, but in other places"]


@pytest.mark.parametrize(
    ("entries", "named", "hint"),
    [
        (lambda shape: list(np.ndindex(shape)), "right", ""),
        (lambda shape: list(np.ndindex(shape))[:1], "some entries are never moved", "what ends it early"),
        (lambda shape: [list(np.ndindex(shape))[-1]] * int(np.prod(shape)), "some entries are never moved", "Which i"),
        (
            lambda shape: [i[:-1] for i in np.ndindex(shape)],
            "several entries are moved at once",
            "several move at once",
        ),
    ],
)
def test_what_is_said_of_the_entries_that_slopes_moves(entries: Any, named: str, hint: str) -> None:
    def slopes(op: Any, inputs: Any, which: int, d_out: Any) -> Any:
        x = inputs[which]
        result = np.zeros(x.shape)
        for i in entries(x.shape):
            ends = []
            for h in (1e-5, -1e-5):
                moved = [np.array(a) for a in inputs]
                moved[which][i] += h
                ends.append(np.sum(d_out * op(*moved)[0]))
            result[i] = (ends[0] - ends[1]) / 2e-5
        return result

    verdict = judge(EXERCISES["slopes"], slopes)
    assert (verdict.finding.named or verdict.state) == named
    assert hint in " ".join(verdict.finding.hints[:1])


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("np.zeros(4 / 2)", "/ gives a float"),
        ("np.pad(x, (5 - 1) / 2)", "/ gives a float"),
        ("x[0.0]", "/ gives a float"),
        ("x.argmax(axis=(0, 1))", "not a tuple"),
        ("x[np.ones(99, dtype=bool)]", "A mask picks"),
        ("x[9]", "Indices run"),
        ("np.array([x, x[0]])", "differ in their shapes"),
        ("np.concatenate([x, x[0]])", "differ in their shapes"),
        ("x.sum(axis=3)", "How many axes"),
    ],
)
def test_what_is_said_of_an_error_belongs_to_it(code: str, said: str) -> None:
    file = f"<{code}>"
    text = f"def relu(x):\n    return {code}, None\n"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    names: dict[str, Any] = {"np": np}
    exec(compile(text, file, "exec"), names)
    assert said in " ".join(judge(EXERCISES["relu"], names["relu"]).finding.hints)


def test_an_overflow_is_blamed_on_an_exponent_only_where_numpy_warned_of_one() -> None:
    def sigmoid(slope: Callable[[Any, Any], Any]) -> Any:
        def op(x: Any) -> Any:
            s = solved.sigmoid(x)[0]

            def backward(d_out: Any) -> Any:
                return d_out * slope(x, s) + 0 * np.exp(-np.abs(x))

            return s, backward

        return op

    overflow = judge(EXERCISES["sigmoid"], sigmoid(lambda x, s: np.exp(-x) / (1 + np.exp(-x)) ** 2)).finding.hints[0]
    zero = judge(EXERCISES["sigmoid"], sigmoid(lambda x, s: s * s * (1 / s - 1))).finding.hints[0]
    assert "Which exponent gets there" in overflow
    assert zero.startswith("nan comes from 0/0")
