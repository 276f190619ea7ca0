"""What can be handed to the gradient check, in which form, and what it refuses; nothing that is not looked at is ok."""

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from cbam_np import gradcheck, ops
from cbam_np.checking.report import Report
from cbam_np.testing import assert_gradients

Op = Callable[..., Any]
Layer = namedtuple("Layer", ["w", "b"])


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape)


def wrong_inputs(report: Report) -> set[str]:
    return {row.input for row in report.rows if row.verdict == "wrong"}


def title(report: Report) -> str:
    return str(report).splitlines()[0]


X, W, B = normal(5, 3), normal(3, 4), normal(4)

# trees of arrays

TREES: dict[str, tuple[Any, Callable[[Any], Any], Callable[[Any, Any], Any], str]] = {
    # the inputs; how w and b are taken from them; how their gradients are returned; the name of b
    "list": ([W, B], lambda p: p, lambda d_w, d_b: [d_w, d_b], "p[1]"),
    "tuple": ((W, B), lambda p: p, lambda d_w, d_b: (d_w, d_b), "p[1]"),
    "gradients of a list as a tuple": ([W, B], lambda p: p, lambda d_w, d_b: (d_w, d_b), "p[1]"),
    "named tuple": (Layer(W, B), lambda p: (p.w, p.b), lambda d_w, d_b: Layer(d_w, d_b), "p[1]"),
    "dict": ({"w": W, "b": B}, lambda p: (p["w"], p["b"]), lambda d_w, d_b: {"b": d_b, "w": d_w}, "p[b]"),
    "nested": (
        {"a": [W, {"b": (B, None, 3)}]},
        lambda p: (p["a"][0], p["a"][1]["b"][0]),
        lambda d_w, d_b: {"a": [d_w, {"b": (d_b,)}]},
        "p[a][1][b][0]",
    ),
}


@pytest.mark.parametrize("alone", [False, True], ids=["with others", "as the only input"])
@pytest.mark.parametrize("name", TREES)
def test_arrays_in_trees_are_checked_each_of_them(name: str, alone: bool) -> None:
    tree, parts, together, name_of_b = TREES[name]

    def op(p: Any, x: Any = X, factor: float = 1.0) -> Any:
        w, b = parts(p)

        def backward(d_out: Any) -> Any:
            d_p = together(x.T @ d_out, factor * d_out.sum(axis=0))
            return d_p if alone else (d_p, d_out @ w.T)

        return x @ w + b, backward

    inputs = (tree,) if alone else (tree, X)
    report = gradcheck(op, *inputs)
    assert report.ok, str(report)
    assert {row.input for row in report.rows} >= {name_of_b}
    assert len(report.rows) == (4 if alone else 6)
    assert wrong_inputs(gradcheck(lambda p, x=X: op(p, x, 1.0005), *inputs)) == {name_of_b}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_the_gradients_of_a_single_list_need_no_tuple(count: int, wrapped: bool) -> None:
    def op(p: Any) -> Any:
        def backward(d_out: Any) -> Any:
            gradients = [2 * d_out * x for x in p]
            return (gradients,) if wrapped else gradients

        return sum(x * x for x in p), backward

    assert gradcheck(op, [normal(3), normal(1, 3)[0]][:count]).ok


@pytest.mark.parametrize(
    ("returned", "about"),
    [
        (lambda d: {"a": d, "typo": d}, {"p[typo]"}),
        (lambda d: {"typo": d}, {"p[typo]", "p[a]"}),
        (lambda d: d, {"p", "p[a]"}),
        (lambda d: [d], {"p", "p[a]"}),
        (lambda d: {}, {"p[a]"}),
        (lambda d: {"a": None}, {"p[a]"}),
    ],
)
def test_gradients_under_other_names_are_wrong(returned: Any, about: set[str]) -> None:
    assert gradcheck(lambda p: (p["a"] * 1, lambda d: {"a": d}), {"a": B}).ok
    report = gradcheck(lambda p: (p["a"] * 1, returned), {"a": B})
    assert wrong_inputs(report) == about
    assert not report.ok


# the forms of an operation


class Scaled(torch.autograd.Function):
    """exp(k x)"""

    @staticmethod
    def forward(ctx: Any, x: Any, k: float) -> Any:
        y = torch.exp(k * x)
        ctx.save_for_backward(y)
        ctx.k = k
        return y

    @staticmethod
    def backward(ctx: Any, d_out: Any) -> Any:
        (y,) = ctx.saved_tensors
        return d_out * y * ctx.k, None


class ScaledWrong(Scaled):
    @staticmethod
    def backward(ctx: Any, d_out: Any) -> Any:
        return 1.0005 * Scaled.backward(ctx, d_out)[0], None


class Product(torch.autograd.Function):
    """With a context of its own, as newer code has it."""

    @staticmethod
    def forward(a: Any, b: Any) -> Any:
        return a * b

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, d_out: Any) -> Any:
        a, b = ctx.saved_tensors
        return d_out * b, d_out * a


def with_cache(x: Any, w: Any) -> Any:
    return x @ w, (x, w)


FORMS: dict[str, tuple[Any, Any, tuple[Any, ...], list[str]]] = {
    # right, wrong, inputs, names of the inputs that are differentiated
    "pair": (
        (np.tanh, lambda d, x: d * (1 - np.tanh(x) ** 2)),
        (np.tanh, lambda d, x: d * (1 - np.tanh(x) ** 2) * 1.0005),
        (X,),
        ["x"],
    ),
    "pair of two inputs": (
        (np.matmul, lambda d, x, w: (d @ w.T, x.T @ d)),
        (np.matmul, lambda d, x, w: (d @ w.T, x.T @ d * 1.0005)),
        (X, W),
        ["x1", "x2"],
    ),
    "pair with a cache": (
        (with_cache, lambda d, cache: (d @ cache[1].T, cache[0].T @ d)),
        (with_cache, lambda d, cache: (d @ cache[1].T, cache[0].T @ d * 1.0005)),
        (X, W),
        ["x", "w"],
    ),
    "autograd.Function": (Scaled, ScaledWrong, (torch.from_numpy(B), 0.5), ["x"]),
    "in float32": (Scaled, ScaledWrong, (torch.from_numpy(B).float(), 0.5), ["x"]),
    "that requires a gradient": (Scaled, ScaledWrong, (torch.from_numpy(B).requires_grad_(), 0.5), ["x"]),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_an_operation(form: str) -> None:
    right, wrong, inputs, names = FORMS[form]
    report = gradcheck(right, *inputs)
    assert report.ok, str(report)
    assert list(dict.fromkeys(row.input for row in report.rows)) == names
    assert {"differences", "complex step"} <= {row.method for row in report.rows if row.verdict == "ok"}
    assert not gradcheck(wrong, *inputs).ok


def test_a_function_with_setup_context() -> None:
    a, b = torch.from_numpy(B), torch.arange(4.0, dtype=torch.float64)
    report = gradcheck(Product, a, b)
    assert report.ok
    assert (report.name, {row.input for row in report.rows}) == ("Product", {"a", "b"})
    assert {row.input for row in gradcheck(Product, a, torch.tensor([1, 2, 3, 4])).rows} == {"a"}, "not of integers"


def test_a_function_takes_tensors() -> None:
    with pytest.raises(TypeError, match=r"inputs: expected PyTorch tensors, .* got ndarray, float"):
        gradcheck(Scaled, B, 0.5)


@pytest.mark.parametrize("op", [3, (np.tanh,), (np.tanh, 3), (np.tanh, np.tanh, np.tanh)])
def test_anything_else_is_no_operation(op: Any) -> None:
    with pytest.raises(TypeError, match=r"op: expected a function, got (int|tuple); a pair \(forward, backward\)"):
        gradcheck(op, B)


# numbers that float64 has no room for

LIMITS = [(0.9e-150, False), (1.1e-150, True), (0.9e150, True), (1.1e150, False)]


@pytest.mark.parametrize(("size", "judged"), LIMITS)
@pytest.mark.parametrize("what", ["x", "output of op"])
def test_numbers_whose_squares_have_no_room_are_refused(what: str, size: float, judged: bool) -> None:
    x = np.array([1.0, -0.5, 0.25]) * (size if what == "x" else 1)
    slope = 1.0 if what == "x" else size

    def op(x: Any, factor: float) -> Any:
        return slope * x, lambda d_out: (factor * slope * d_out, None)

    if judged:
        assert gradcheck(op, x, 1.0).ok
        assert not gradcheck(op, x, 1.0005).ok
    else:
        for factor in (1.0, 1.0005):
            with pytest.raises(
                ValueError, match=rf"{what}: expected its largest entry to lie between 1e-150 and 1e\+150"
            ):
                gradcheck(op, x, factor)


@pytest.mark.parametrize("exponent", [-300, -200, -170, 155, 200, 300])
def test_huge_and_tiny_numbers_are_never_ok(exponent: int) -> None:
    """Once they passed with any gradient, and mean(x²) = ∞ hung."""
    for x, slope in ((10.0**exponent * B, 1.0), (B, 10.0**exponent)):
        with pytest.raises(ValueError, match="rescale it"):
            gradcheck(lambda x, s=slope: (s * x, lambda d: 2 * s * d), x)


@pytest.mark.parametrize("offset", [-300.0, -30, 30, 300])
def test_steps_and_slopes_are_relative(offset: float) -> None:
    """exp(300) = 1e130, and a hundred times as much, or as little, at the next entry."""
    x = offset + B
    assert gradcheck(lambda x: (np.exp(x), lambda d: d * np.exp(x)), x).ok
    report = gradcheck(lambda x: (np.exp(x), lambda d: 1.0005 * d * np.exp(x)), x)
    assert {row.verdict for row in report.rows} == {"wrong"}


# what a backward must not do


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_a_buffer_that_is_handed_out_twice(library: str) -> None:
    def op(x: Any) -> Any:
        buffer = x * 0

        def backward(d_out: Any) -> Any:
            buffer[...] = 2 * x * d_out
            return buffer

        return x * x, backward

    x = B if library == "numpy" else torch.from_numpy(B)
    report = gradcheck(op, x)
    assert wrong_inputs(report) == {"x"}
    assert "overwrites the gradient that an earlier one returned" in report.notes()[0]


def test_the_output_and_labels_are_not_to_be_changed() -> None:
    def into_out(x: Any) -> Any:
        out, backward = ops.sigmoid(x)
        return out, lambda d_out: (backward(d_out), out.fill(0))[0]

    assert wrong_inputs(gradcheck(into_out, B)) == {"out"}

    def sorting(x: Any, labels: Any) -> Any:
        labels.sort()
        return x[labels], lambda d: (np.eye(4)[labels].T @ d, None)

    assert wrong_inputs(gradcheck(sorting, B, np.array([2, 0, 3]))) == {"labels"}


# the first line


def test_the_first_line_says_if_something_was_not_compared() -> None:
    def real_only(x: Any) -> Any:
        if np.iscomplexobj(x):
            raise TypeError("real numbers only")
        return ops.sigmoid(x)

    partly = "ok, but not everything was compared"
    assert title(gradcheck(ops.sigmoid, B)) == "gradient check of sigmoid: ok"
    assert title(gradcheck(real_only, B)) == f"gradient check of real_only: {partly}"
    assert title(gradcheck(ops.relu, np.array([1.0, 0, -1]))) == f"gradient check of relu: {partly}"
    assert title(gradcheck(ops.relu, np.array([-1.0, -2]))) == f"gradient check of relu: {partly}", "a gradient of zero"
    nothing = gradcheck(ops.relu, np.zeros(3))
    assert title(nothing) == "gradient check of relu: NOT OK, because too little was compared"
    wrong = gradcheck(lambda x: (ops.sigmoid(x)[0], lambda d: d), B)
    assert title(wrong) == "gradient check of <lambda>: NOT OK"
    assert [report.ok for report in (nothing, wrong)] == [False, False]


# in tests of your own


def test_assert_gradients() -> None:
    assert assert_gradients(ops.sigmoid, B, seed=3).ok
    with pytest.raises(AssertionError, match=r"(?s)NOT OK.*the sign is wrong") as raised:
        assert_gradients((lambda z: ops.sigmoid(z)[0], lambda d, z: -ops.sigmoid(z)[1](d)), B)
    assert raised.traceback[-1].name == "assert_gradients"
    with pytest.raises(AssertionError, match="because too little was compared"):
        assert_gradients(ops.relu, np.zeros(3))
    assert_gradients(lambda x: (x * x, lambda d: 2.001 * x * d), B, tolerance=1e-2)
