"""The checker checked: it fails on a small error in one entry, and right gradients pass, whatever their size."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import numpy as np
import pytest
import torch
from backends import ALWAYS, opened
from hypothesis import given, settings
from hypothesis import strategies as st
from support import as_tuple

import cbam_np as cb
from cbam_np import gradcheck, ops
from cbam_np.checking.slopes import central, complex_step, refine_slope
from cbam_np.checking.thorough import Report

Op = Callable[..., Any]


def elementwise(f: Callable[[Any], Any], derivative: Callable[[Any], Any]) -> Op:
    """The operation f, entry by entry."""
    return lambda x: (f(x), lambda d_out: d_out * derivative(x))


def real_only(op: Op) -> Op:
    """`op`, refusing complex numbers: differences are all there is."""

    @wraps(op)
    def refusing(*inputs: Any) -> Any:
        if any(np.iscomplexobj(x) for x in inputs):
            raise TypeError("real numbers only")
        return op(*inputs)

    return refusing


def one_entry_off(op: Op, which: int, entry: int, factor: float = 1.0005) -> Op:
    """`op`, with one entry of one gradient 0.05 % too large."""

    @wraps(op)
    def wrong(*inputs: Any) -> Any:
        out, backward = op(*inputs)

        def wrong_backward(d_out: Any) -> Any:
            gradients = list(as_tuple(backward(d_out)))
            wrong = np.array(gradients[which])
            wrong.flat[entry] *= wrong.dtype.type(factor)
            gradients[which] = wrong
            return tuple(gradients)

        return out, wrong_backward

    return wrong


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape)


def at(entry: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(entry, shape))


def said(report: Report) -> str:
    return " ".join(report.notes())


# a small error in one entry is found

SMALL: dict[str, tuple[Any, ...]] = {
    "sigmoid": (ops.sigmoid, normal(2, 3)),
    "gate": (ops.gate, normal(1, 2, 1, 1), normal(1, 2, 3, 1)),
    "conv2d": (ops.conv2d, normal(1, 1, 2, 3), normal(1, 1, 3, 3), normal(1)),
    "mlp": (ops.mlp, normal(1, 3), normal(2, 3), normal(3, 2)),
}


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("methods", ["both methods", "differences only"])
@pytest.mark.parametrize("name", SMALL)
def test_every_entry_counts(name: str, methods: str, dtype: str) -> None:
    op, *inputs = SMALL[name]
    inputs = [x.astype(dtype) for x in inputs]
    op = op if methods == "both methods" else real_only(op)
    out, backward = op(*inputs)
    gradients = as_tuple(backward(np.ones_like(out)))
    assert gradcheck(op, *inputs).ok
    for which, x in enumerate(inputs):
        for entry in np.flatnonzero(gradients[which]).tolist():
            report = gradcheck(one_entry_off(op, which, entry), *inputs)
            wrong = {row.where for row in report.rows if row.verdict == "wrong"}
            assert wrong == {at(entry, x.shape)}


@pytest.mark.parametrize(("methods", "smallest"), [("both methods", 1e-7), ("differences only", 1e-3)])
def test_small_entries_count(methods: str, smallest: float) -> None:
    weights = np.array([1.0, smallest, 0.5])
    op = elementwise(lambda x: weights * x * x, lambda x: 2 * weights * x)
    op = op if methods == "both methods" else real_only(op)
    x = np.array([1.0, -0.5, 0.3])
    assert gradcheck(op, x).ok
    assert not gradcheck(one_entry_off(op, 0, 1), x).ok


LARGE = normal(2, 10, 20, 50)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("methods", ["both methods", "differences only"])
def test_one_entry_of_twenty_thousand_is_found_and_located(methods: str, dtype: str) -> None:
    op, x = ops.sigmoid, LARGE.astype(dtype)
    op = op if methods == "both methods" else real_only(op)
    assert gradcheck(op, x, max_entries=16).ok
    for entry in (12345, LARGE.size - 1):
        report = gradcheck(one_entry_off(op, 0, entry), x, max_entries=16)
        wrong = [row for row in report.rows if row.verdict == "wrong"]
        assert len(wrong) == (2 if methods == "both methods" else 1)
        for row in wrong:
            assert row.where == at(entry, LARGE.shape)
            assert abs(row.got / row.expected - 1.0005) < 1e-6


def test_an_error_in_float32_alone_is_found_in_every_entry() -> None:
    def op(x: Any) -> Any:
        out, backward = ops.sigmoid(x)
        return (
            out,
            lambda d: backward(d) * (1 if x.dtype == np.float64 else np.where(x == x.max(), 1.1, 1).astype(x.dtype)),
        )

    report = gradcheck(op, LARGE.astype("float32"), max_entries=4)
    assert [row.verdict for row in report.rows] == ["ok", "ok", "wrong"]
    assert report.rows[2].where == at(int(LARGE.argmax()), LARGE.shape)


def test_the_upstream_gradient_is_not_what_a_caller_draws_from_the_same_seed() -> None:
    """With d_out = x a backward that takes one for the other would pass."""
    for seed in range(3):
        z = np.random.default_rng(seed).standard_normal((3, 4))
        _, derivative = ops.sigmoid(z)
        assert not gradcheck(lambda z, g=derivative: (ops.sigmoid(z)[0], lambda d: g(z.real) + 0 * d), z, seed=seed).ok


# right gradients pass

CURVES = {
    "exp(5x)": (elementwise(lambda x: np.exp(5 * x), lambda x: 5 * np.exp(5 * x)), 1.0),
    "sin": (elementwise(np.sin, np.cos), 1e6),
    "x²": (elementwise(lambda x: x * x, lambda x: 2 * x), 1e6),
    "x³": (elementwise(lambda x: x**3, lambda x: 3 * x**2), 1e6),
    "1/x": (elementwise(lambda x: 1 / x, lambda x: -1 / x**2), 1e6),
    "log": (elementwise(lambda x: np.log(x * x), lambda x: 2 / x), 1e6),
    "relu": (ops.relu, 1e6),
    "sigmoid": (ops.sigmoid, 1.0),
    "constant": (elementwise(lambda x: 1 + 0 * x, lambda x: 0 * x), 1e6),
}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(sorted(CURVES)),
    exponent=st.integers(-6, 6),
    seed=st.integers(0, 10**6),
    dtype=st.sampled_from(["float64", "float64", "float32"]),
    takes_complex=st.booleans(),
)
def test_steep_and_flat_functions_pass(name: str, exponent: int, seed: int, dtype: str, takes_complex: bool) -> None:
    op, largest = CURVES[name]
    rng = np.random.default_rng(seed)
    x = min(10.0**exponent, largest) * rng.choice([-1, 1], (2, 3)) * rng.uniform(0.1, 2, (2, 3))
    x = x.astype(dtype if abs(exponent) < 6 else "float64")  # 1e-6³ is out of float32's range
    op = op if takes_complex else real_only(op)
    report = gradcheck(op, x, seed=seed)
    assert report.ok, str(report)


def layer_norm(x: Any) -> Any:
    centred = x - x.mean(axis=1, keepdims=True)
    deviation = np.sqrt((centred * centred).mean(axis=1, keepdims=True) + 1e-5)
    y = centred / deviation

    def backward(d_y: Any) -> Any:
        along = (d_y * y).mean(axis=1, keepdims=True)
        return (d_y - d_y.mean(axis=1, keepdims=True) - y * along) / deviation

    return y, backward


@pytest.mark.parametrize("offset", [0, 1e3, 1e6])
@pytest.mark.parametrize("methods", ["both methods", "differences only"])
def test_cancellation_inside_an_operation_is_no_error(methods: str, offset: float) -> None:
    op = layer_norm if methods == "both methods" else real_only(layer_norm)
    for seed in range(4):
        x = np.random.default_rng(seed).standard_normal((4, 6)) + offset
        report = gradcheck(op, x, seed=seed)
        assert report.ok, str(report)
        assert not gradcheck(one_entry_off(op, 0, 7), x, seed=seed).ok


def test_small_inputs_of_large_outputs() -> None:
    op = real_only(elementwise(np.exp, np.exp))
    x = 1e-7 * normal(2, 3)
    assert gradcheck(op, x).ok
    assert not gradcheck(one_entry_off(op, 0, 1, 1.01), x).ok


@pytest.mark.parametrize("methods", ["both methods", "differences only"])
def test_an_entry_at_the_edge_of_the_domain_does_not_spoil_the_others(methods: str) -> None:
    op = elementwise(np.sqrt, lambda x: 0.5 / np.sqrt(x))
    op = op if methods == "both methods" else real_only(op)
    x = np.array([1e-14, 1, 4])
    report = gradcheck(op, x)
    assert report.ok
    assert "only 2 of 3 entries could be compared" in said(report)
    assert not gradcheck(one_entry_off(op, 0, 1), x).ok


def drawn(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Values without ties, with many, or with dead channels."""
    values = rng.standard_normal(shape)
    if kind == "ties":
        return rng.integers(-1, 2, shape).astype(float)
    if kind == "dead channels":
        values[:, :-1:2] = 0
    return values


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(["no ties", "ties", "dead channels"]),
    shape=st.tuples(st.integers(1, 4), st.integers(2, 4), st.integers(1, 4), st.integers(1, 4)),
    dtype=st.sampled_from(["float64", "float32", "float16"]),
    seed=st.integers(0, 10**6),
)
def test_the_operations_pass_with_and_without_ties(
    kind: str, shape: tuple[int, int, int, int], dtype: str, seed: int
) -> None:
    C = shape[1]
    rng = np.random.default_rng(seed)
    f = drawn(kind, shape, rng).astype(dtype)
    w1, w2, kernel = (rng.standard_normal(size).astype(dtype) for size in ((2, C), (C, 2), (1, 2, 3, 3)))
    params = {"channel.w1": w1, "channel.w2": w2, "spatial.kernel": kernel}
    for op, *inputs in (
        (ops.relu, f),
        (ops.max_pool_over_space, f),
        (partial(ops.max_pool_over_channels, ties="split"), f),
        (ops.mlp, f[:, :, 0, 0], w1, w2),
        (cb.cbam, f, params),
    ):
        report = gradcheck(op, *inputs, seed=seed, max_entries=8)
        assert all(row.verdict != "wrong" for row in report.rows), str(report)
        assert report.ok or all("kink" in row.note for row in report.rows if row.verdict == "not compared")


def test_a_tie_that_rounding_makes_is_no_error() -> None:
    """(1+e)(1+e) and 1+2e are the same in float16 only: there the first wins, in float64 the second."""

    def op(x: Any, w: Any) -> Any:
        largest, backward = ops.max_pool_over_channels(x * w)
        return largest, lambda d: (backward(d) * w, backward(d) * x)

    e = 2.0**-10
    x, w = np.array([1, 1 + e, 0.5]), np.array([1 + 2 * e, 1 + e, 1])
    x, w = (v.astype("float16").reshape(1, 3, 1, 1) for v in (x, w))
    report = gradcheck(op, x, w)
    assert report.ok
    assert "rounding of the inputs to float16 moves the gradient as far" in said(report)


# kinks

TIES = np.array([[[[1.0, 3, 3], [0, 2, 3]], [[5, 4, 3], [2, 1, 5]]]])
CORNERS = np.array([-1.0, 0, 0, 2, -0.5])


def relu_with(derivative_at_zero: float) -> Op:
    return lambda z: (ops.relu(z)[0], lambda d: d * np.where(z > 0, 1, np.where(z == 0, derivative_at_zero, 0)))


def every_tied_entry(f: Any) -> Any:
    out, _ = ops.max_pool_over_space(f)
    return out, lambda d: d[:, :, None, None] * (f == out[:, :, None, None])


@pytest.mark.parametrize("methods", ["both methods", "differences only"])
class TestKinks:
    def check(self, methods: str, op: Op, *x: np.ndarray) -> Report:
        return gradcheck(op if methods == "both methods" else real_only(op), *x)

    @pytest.mark.parametrize("ties", ["first", "split"])
    def test_either_choice_at_a_tie_passes_and_is_counted(self, methods: str, ties: Any) -> None:
        report = self.check(methods, partial(ops.max_pool_over_space, ties=ties), TIES)
        assert report.ok
        # in the middle between two slopes differences alone see no kink
        assert report.rows[0].kinks == (3 if (methods, ties) == ("differences only", "split") else 5)
        assert "at kinks" in str(report)
        if (methods, ties) != ("differences only", "split"):
            assert report.rows[0].compared == 7 + 3 + 2, (
                "all other entries, three directions, ties moved together twice"
            )

    def test_the_full_gradient_to_every_tied_entry_fails(self, methods: str) -> None:
        for f in (TIES, np.ones((1, 2, 2, 3)), np.zeros((1, 2, 2, 3))):
            report = self.check(methods, every_tied_entry, f)
            assert not report.ok
            assert "kinks together" in str(report)

    @pytest.mark.parametrize("derivative", [0, 0.5, 1])
    def test_a_choice_between_both_slopes_passes_at_a_corner(self, methods: str, derivative: float) -> None:
        assert self.check(methods, relu_with(derivative), CORNERS).ok

    @pytest.mark.parametrize("derivative", [2, 1.001, -0.001, -1])
    def test_a_gradient_outside_both_slopes_fails(self, methods: str, derivative: float) -> None:
        report = self.check(methods, relu_with(derivative), CORNERS)
        assert {row.where for row in report.rows if row.verdict == "wrong"} <= {(1,), (2,)}
        assert not report.ok

    @pytest.mark.parametrize("near", [1e-5, 1e-7, 1e-9, 1e-12])
    def test_a_near_tie_and_a_near_corner_pass(self, methods: str, near: float) -> None:
        assert self.check(methods, ops.relu, np.array([1, near, -near, -2])).ok
        assert self.check(methods, ops.max_pool_over_space, np.array([[[[1, 1 + near, 0.3]]]])).ok

    @pytest.mark.parametrize("near", [1e-5, 1e-7])
    def test_a_missing_mask_is_found_near_the_corner(self, methods: str, near: float) -> None:
        report = self.check(methods, relu_with(0), np.array([1, near, -near]))
        assert report.ok
        assert report.rows[0].kinks == 0
        assert not self.check(methods, lambda z: (ops.relu(z)[0], lambda d: d), np.array([1, near, -near])).ok

    def test_nothing_is_claimed_where_every_entry_is_a_kink(self, methods: str) -> None:
        report = self.check(methods, ops.max_pool_over_space, np.ones((1, 1, 2, 3)))
        assert not report.ok
        assert report.max_error == np.inf
        assert report.rows[0].verdict == "not compared"
        assert report.rows[0].kinks == 6
        assert "choose inputs without ties" in said(report)

    def test_where_several_corners_meet_there_are_more_than_two_slopes(self, methods: str) -> None:
        """All hidden units of an MLP without bias are at their corner for x = 0; ReLU′(0) = 0 takes none."""

        def residual(x: Any, w1: Any, w2: Any) -> Any:
            out, backward = ops.mlp(x, w1, w2)

            def with_shortcut(d_out: Any) -> Any:
                d_x, *d_weights = backward(d_out)
                return d_x + d_out, *d_weights

            return out + x, with_shortcut

        rng = np.random.default_rng(0)
        for op in (ops.mlp, residual):
            for _ in range(20):
                w1, w2 = rng.standard_normal((2, 4, 3))
                x = np.stack([np.zeros(3), rng.standard_normal(3)])
                report = self.check(methods, op, x, w1, w2.T.copy())
                assert report.ok, str(report)


@pytest.mark.parametrize("seed", [7, 10, 11, 17, 19])
def test_ties_that_are_crossed_by_chance_are_no_error(seed: int) -> None:
    """Few entries are looked at one by one, and random directions break all the ties among the others."""
    f = np.random.default_rng(seed).integers(0, 3, (2, 6, 4, 4)).astype(float)
    params = {"channel.w1": normal(3, 6), "channel.w2": normal(6, 3)}
    for report in (
        gradcheck(cb.channel_map, f, params, seed=seed, max_entries=3),
        gradcheck(cb.spatial_map, f, {"spatial.kernel": normal(1, 2, 3, 3)}, seed=seed, max_entries=3),
    ):
        assert all(row.verdict != "wrong" for row in report.rows), str(report)


def test_every_output_makes_its_own_choice_at_a_kink() -> None:
    """relu(w x) for several w at x = 0: with ReLU′(0) = 1 the gradient is Σ d w, between neither pair of sums."""
    w, relu = np.array([1.0, -2, 3, -1.5]), relu_with(1)

    def op(x: Any) -> Any:
        return relu(w * x)[0], lambda d_out: np.sum(w * d_out, keepdims=True)

    for seed in range(5):
        report = gradcheck(op, np.zeros(1), seed=seed)
        assert {row.verdict for row in report.rows} == {"not compared"}, str(report)


def test_where_random_directions_cross_kinks_the_report_says_how_little_was_compared() -> None:
    f = np.random.default_rng(0).standard_normal((1, 40, 10, 10))
    f[:, :, 3, 3] = 0
    report = gradcheck(ops.max_pool_over_channels, f, max_entries=5)
    assert report.ok
    assert "only 5 of 4000 entries could be compared" in said(report)


# which method decides


def absolute(x: Any) -> Any:
    return np.sqrt((x * x.conj()).real), lambda d: d * np.sign(x)


def partly_absolute(x: Any) -> Any:
    return x * x + 1e-3 * np.abs(x), lambda d: d * (2 * x + 1e-3 * np.sign(x))


def imaginary_part_dropped(x: Any) -> Any:
    return np.real(x) ** 2, lambda d: 2 * x * d


def imaginary_part_dropped_with_a_warning(x: Any) -> Any:
    out = np.empty(x.shape)
    out[...] = x**2
    return out, lambda d: 2 * x * d


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (absolute, "not analytic"),
        (elementwise(np.abs, np.sign), "not analytic"),
        (partly_absolute, "not analytic"),
        (imaginary_part_dropped, "not analytic"),
        (imaginary_part_dropped_with_a_warning, "ComplexWarning"),
        (real_only(ops.sigmoid), "TypeError: real numbers only"),
    ],
)
def test_differences_decide_where_the_complex_step_cannot(op: Op, reason: str) -> None:
    x = np.array([1.0, -2, 0.3])
    report = gradcheck(op, x)
    assert [row.verdict for row in report.rows] == ["ok", "not compared"]
    assert reason in said(report)
    assert report.ok
    assert not gradcheck(one_entry_off(op, 0, 1), x).ok


def test_both_zero_is_no_proof() -> None:
    """The complex step of an operation that drops the imaginary part is 0, and so is this gradient."""
    report = gradcheck(lambda x: (np.real(x) ** 2, lambda d: 0 * x * d), np.array([1.0, -2, 0.3]))
    assert [row.verdict for row in report.rows] == ["wrong", "not compared"]


def test_the_complex_step_decides_where_rounding_hides_the_differences() -> None:
    def op(x: Any) -> Any:
        return x * x + 1e6, lambda d: 2 * x * d

    x = 1e-3 * normal(2, 3)
    report = gradcheck(op, x)
    assert [row.verdict for row in report.rows] == ["not compared", "ok"]
    assert "rounding hides the slopes" in said(report)
    assert report.ok
    assert not gradcheck(one_entry_off(op, 0, 1), x).ok
    assert not gradcheck(real_only(op), x).ok, "nothing was compared"


def test_a_gradient_of_zero_passes_and_is_pointed_out() -> None:
    def share(x: Any) -> Any:
        e = np.exp(x)
        return (e / e.sum(axis=1, keepdims=True)).sum(axis=1), lambda d: 0 * x

    report = gradcheck(share, normal(3, 4))
    assert report.ok
    assert "the gradient is zero here" in said(report)
    assert not gradcheck(lambda x: (share(x)[0], lambda d: 0 * x + 1e-6), normal(3, 4)).ok


# what can be checked


def test_dicts_none_partial_and_lambdas() -> None:
    f, kernel = normal(2, 3, 4, 5), normal(2, 3, 3, 3)
    params = {"channel.w1": normal(2, 3), "channel.w2": normal(3, 2)}
    report = gradcheck(cb.channel_attention, f, params)
    assert report.ok
    assert [row.input for row in report.rows[::2]] == ["f", "params[channel.w1]", "params[channel.w2]"]
    assert gradcheck(ops.conv2d, f, kernel, None, 2).ok
    assert gradcheck(partial(ops.conv2d, stride=2), f, kernel).name == "conv2d"
    assert gradcheck(lambda x: ops.max_pool_over_space(x, ties="split"), f).rows[0].input == "x"
    assert gradcheck(lambda *x: ops.gate(*x), normal(2, 3, 1, 1), f).rows[2].input == "input 1"


def test_inputs_without_names() -> None:
    class Silent:
        __signature__ = "none"

        def __call__(self, x: Any) -> Any:
            return ops.sigmoid(x)

    report = gradcheck(Silent(), normal(2))
    assert (report.name, report.rows[0].input) == ("Silent", "input 0")


def test_labels_are_passed_on() -> None:
    def chosen(x: Any, labels: Any) -> Any:
        return x[labels], lambda d: np.eye(len(x))[labels].T @ d

    report = gradcheck(chosen, normal(4), np.array([0, 2, 2]))
    assert report.ok
    assert {row.input for row in report.rows} == {"x"}


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1)])
def test_a_single_number(shape: tuple[int, ...]) -> None:
    op = elementwise(np.tanh, lambda x: 1 - np.tanh(x) ** 2)
    assert gradcheck(op, np.full(shape, 0.5)).ok
    assert not gradcheck(one_entry_off(op, 0, 0), np.full(shape, 0.5)).ok


def test_a_layer_that_remembers_its_last_forward() -> None:
    block = cb.CBAM(4, reduction=2, kernel_size=3, dtype="float64")
    assert gradcheck(lambda f: (block(f), block.backward), normal(2, 4, 3, 3)).ok


def test_views() -> None:
    x = normal(3, 4)
    for view in (x.T, x[::2, ::-1], np.broadcast_to(x[0], (3, 4))):
        assert gradcheck(ops.sigmoid, view).ok
        assert not gradcheck(one_entry_off(ops.sigmoid, 0, 1), view).ok


@pytest.mark.parametrize("library", [name for name in ALWAYS if ":" not in name])
def test_every_library(library: str) -> None:
    def wrong(z: Any) -> Any:
        out, backward = ops.sigmoid(z)
        return out, lambda d_out: backward(d_out) * 1.0005

    with opened(library) as backend:
        z = backend.array(normal(2, 3))
        assert gradcheck(ops.sigmoid, z).ok
        assert not gradcheck(wrong, z).ok


def test_the_gradient_has_to_stay_in_the_library_of_the_input() -> None:
    report = gradcheck(lambda z: (ops.sigmoid(z)[0], lambda d: d.numpy()), torch.ones(2, dtype=torch.float64))
    assert "torch float64 on cpu, got numpy float64 on cpu" in said(report)


def test_a_gradient_has_to_be_an_array() -> None:
    report = gradcheck(lambda z: (ops.sigmoid(z)[0], lambda d: 1.5), normal(2))
    assert "expected an array of float64, got float" in said(report)


# what cannot


@pytest.mark.parametrize(
    ("error", "message", "arguments", "options"),
    [
        (TypeError, "op: expected a function, got int", (3, normal(2)), {}),
        (TypeError, "inputs: expected at least one floating-point array, got none", (ops.relu,), {}),
        (TypeError, "inputs: .* got numpy int64 on cpu, str", (ops.relu, np.arange(3), "first"), {}),
        (TypeError, "z: expected real numbers, got numpy complex128 on cpu", (ops.relu, 1j * normal(2)), {}),
        (ValueError, r"z: expected at least one entry, got shape \(0, 3\)", (ops.relu, np.ones((0, 3))), {}),
        (ValueError, "z: expected finite numbers, got NaN or infinity", (ops.relu, np.array([1, np.nan])), {}),
        (ValueError, "seed: expected an integer of at least 0, got -1", (ops.relu, normal(2)), {"seed": -1}),
        (ValueError, "seed: expected an integer", (ops.relu, normal(2)), {"seed": 0.5}),
        (
            ValueError,
            "max_entries: expected an integer of at least 1, got 0",
            (ops.relu, normal(2)),
            {"max_entries": 0},
        ),
        *(
            (
                ValueError,
                f"tolerance: expected a positive number .*, got {wrong!r}",
                (ops.relu, normal(2)),
                {"tolerance": wrong},
            )
            for wrong in (0, np.inf, np.nan, True, "1e-7")
        ),
        (ValueError, "seed: expected an integer of at least 0, got True", (ops.relu, normal(2)), {"seed": True}),
        (TypeError, r"op: expected it to return \(out, backward\), got numpy float64", (lambda x: x, normal(2)), {}),
        (TypeError, "op: expected it to return", (lambda x: (x, x), normal(2)), {}),
        (
            TypeError,
            "op: expected a floating-point array as output, got numpy bool",
            (lambda x: (x > 0, abs), normal(2)),
            {},
        ),
        (
            ValueError,
            r"output of op: expected at least one entry, got shape \(0,\)",
            (lambda x: (x[:0], abs), normal(2)),
            {},
        ),
        (
            ValueError,
            "output of op: expected finite numbers, got NaN or infinity",
            (lambda x: (x * np.inf, abs), normal(2)),
            {},
        ),
        (
            TypeError,
            "backward: expected one gradient for each of .'x'., got 2",
            (lambda x: (x, lambda d: (d, d)), normal(2)),
            {},
        ),
    ],
)
def test_bad_usage_is_named(error: type[Exception], message: str, arguments: Any, options: Any) -> None:
    with pytest.raises(error, match=message):
        gradcheck(*arguments, **options)


def test_an_operation_has_to_give_the_same_every_time() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="op: expected the same output for the same inputs"):
        gradcheck(lambda x: (x * rng.random(), lambda d: d), normal(3))


def test_an_operation_has_to_work_in_float64() -> None:
    f = normal(1, 2, 3, 3).astype("float32")

    def op(m: Any) -> Any:
        out, backward = ops.gate(m, f)
        return out, lambda d_out: backward(d_out)[0]

    with pytest.raises(ValueError, match=r"op: expected to work in float64 too.*has to be passed as an input"):
        gradcheck(op, f[:, :, :1, :1])


# the report


def test_the_same_seed_gives_the_same_report_and_another_seed_another() -> None:
    f, params = normal(2, 4, 3, 3), cb.CBAM(4, reduction=2, kernel_size=3, dtype="float64").params
    first, again, other = (str(gradcheck(cb.cbam, f, params, seed=seed, max_entries=9)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_global_random_numbers_are_left_alone() -> None:
    before = np.random.get_state(legacy=False)["state"]["key"].tolist()  # noqa: NPY002
    gradcheck(ops.relu, normal(3))
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == before  # noqa: NPY002


def test_nothing_is_changed_in_the_inputs() -> None:
    x = normal(3, 4)
    x.flags.writeable = False
    assert gradcheck(ops.sigmoid, x).ok


def test_a_looser_tolerance_can_be_asked_for() -> None:
    wrong = one_entry_off(ops.sigmoid, 0, 0)
    assert not gradcheck(wrong, normal(3)).ok
    assert gradcheck(wrong, normal(3), tolerance=1e-2).ok
    assert not gradcheck(one_entry_off(ops.sigmoid, 0, 0, 1.1), normal(3), tolerance=1e-2).ok


def test_report_of_what_is_right() -> None:
    f = normal(2, 4, 3, 3)
    report = gradcheck(cb.cbam, f, cb.CBAM(4, reduction=2, kernel_size=3, dtype="float64").params)
    text = str(report)
    assert text.startswith("gradient check of cbam: ok\n")
    assert text.rstrip().endswith("┘"), "nothing to say below the table"
    assert max(map(len, text.splitlines())) <= 120
    assert report.max_error == max(row.error for row in report.rows) < 1e-8
    assert max(row.error for row in report.rows if row.method == "complex step") < 1e-14
    for row in report.rows:
        assert row.input in text
        assert abs(row.got - row.expected) <= row.error * 100


def test_names_are_printed_as_they_are() -> None:
    text = str(gradcheck(elementwise(np.tanh, lambda x: 1 - np.tanh(x) ** 2), normal(2)))
    assert "<lambda>" in text
    long = {"[red]a very long name of a parameter that goes on[/red]" * 3: normal(2)}
    report = gradcheck(lambda p: (next(iter(p.values())) * 1, lambda d: {next(iter(p)): 2 * d}), long)
    text = str(report)
    assert max(map(len, text.splitlines())) <= 120
    assert "[red]" in text
    assert "2 times" in said(report)


def test_in_a_notebook_str_is_text_and_displays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def displayed(*_: Any) -> None:
        raise AssertionError("displayed")

    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("rich.jupyter.display", displayed)
    assert "sigmoid" in str(gradcheck(ops.sigmoid, normal(2)))


# slopes

AT = [(np.exp, 0.3, np.exp(0.3)), (np.sin, 2.0, np.cos(2.0)), (lambda x: 1 / (x + 3), 0.1, -1 / 3.1**2)]


@pytest.mark.parametrize(("f", "x", "slope"), AT)
def test_slopes(f: Callable[[Any], Any], x: float, slope: float) -> None:
    def terms(t: complex) -> np.ndarray:
        return np.array([f(x + t) - f(x)])

    assert central(terms) == pytest.approx(slope, rel=1e-8)
    assert complex_step(terms) == pytest.approx(slope, rel=1e-15)
    found = refine_slope(terms, 1e-15)
    assert not found.kink
    assert abs(found.value - slope) <= found.error <= 1e-5 * abs(slope)


@pytest.mark.parametrize("frequency", [1e-3, 1.0, 1e3, 1e6])
def test_a_refined_slope_knows_how_far_it_can_be_trusted(frequency: float) -> None:
    """Also where the function oscillates within the first steps, and where a corner is near."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        phase, corner = rng.uniform(0.5, 2), 10 ** rng.uniform(-7, -4) * rng.choice([-1, 1])

        def cosine(t: complex, phase: float = phase) -> np.ndarray:
            return np.array([np.cos(phase + frequency * t.real) - np.cos(phase)])

        def near_corner(t: complex, c: float = corner) -> np.ndarray:
            return np.array([max(c + t.real, 0) - max(c, 0)])

        for terms, slope in ((cosine, -frequency * np.sin(phase)), (near_corner, float(corner > 0))):
            found = refine_slope(terms, 4e-16)
            assert not found.kink
            assert abs(found.value - slope) <= found.error <= 1e-3 * max(frequency, 1)


def test_steps_longer_than_a_period_do_not_mislead() -> None:
    """Over long steps a sine looks flat, and more surely so than it looks steep over short ones, with these digits."""
    for phase in np.linspace(0.1, 1.4, 20):

        def terms(t: complex, phase: float = phase) -> np.ndarray:
            return np.round((np.sin(1e6 * t.real + phase) - np.sin(phase)) * np.ones(1) * 1e6) * 1e-12

        found = refine_slope(terms, 1e-12)
        assert abs(found.value - np.cos(phase)) <= found.error


def test_both_slopes_at_a_corner() -> None:
    found = refine_slope(lambda t: np.array([max(3 * t.real, -t.real), 2 * abs(t.real), t.real]), 1e-16)
    assert found.kink
    assert (found.left, found.right) == pytest.approx((-1 - 2 + 1, 3 + 2 + 1))
    assert (found.low, found.high) == pytest.approx((-1 - 2 + 1, 3 + 2 + 1))
    crossed = refine_slope(lambda t: np.array([abs(t.real), -abs(t.real)]), 1e-16)
    assert not crossed.kink
    assert (crossed.low, crossed.high) == pytest.approx((-2, 2))
