"""Every number that decides a verdict, on both sides: just inside passes, just outside fails."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import pytest

from cbam_np import gradcheck, ops
from cbam_np.checking.comparison import TOLERANCES
from cbam_np.checking.report import Report, Row
from cbam_np.checking.slopes import Slope, refine_slope

Op = Callable[..., Any]
EPS = float(np.finfo(np.float64).eps)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape)


def real_only(op: Op) -> Op:
    @wraps(op)
    def refusing(*inputs: Any) -> Any:
        if any(np.iscomplexobj(x) for x in inputs):
            raise TypeError("real numbers only")
        return op(*inputs)

    return refusing


def row(report: Report, method: str) -> Row:
    (found,) = [row for row in report.rows if row.method == method]
    return found


def verdicts(report: Report) -> list[str]:
    return [row.verdict for row in report.rows]


# tolerances


def linear(spoil: Callable[[Any, Any], Any], dtype: str = "float64") -> Op:
    """x, but 0 · x at its last entry; in one dtype its gradient g is spoil(g, d_out)."""

    def op(x: Any) -> Any:
        slopes = np.ones_like(x)
        slopes[-1] = 0

        def backward(d_out: Any) -> Any:
            g = d_out * slopes
            return spoil(g, d_out).astype(g.dtype) if x.dtype == dtype else g

        return slopes * x, backward

    return op


def steepest_off_by(relative: float) -> Callable[[Any, Any], Any]:
    return lambda g, d_out: g * (1 + relative * (np.abs(g) == np.abs(g).max()))


def zero_off_by(absolute: float) -> Callable[[Any, Any], Any]:
    """Relative to the largest entry."""
    return lambda g, d_out: g + absolute * np.abs(g).max() * (np.arange(g.size) == g.size - 1)


X = np.array([1.0, 0.75, 1.25])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("method", "relative", "absolute"),
    [("differences", 1e-7, 1e-9), ("complex step", 1e-9, 0), ("float32", 2e-5, 1e-5), ("float16", 2e-2, 1e-2)],
)
def test_an_error_just_inside_the_tolerance_passes_and_one_outside_fails(
    method: str, relative: float, absolute: float, seed: int
) -> None:
    dtype = method if method in ("float32", "float16") else "float64"
    for spoil, largest in ((steepest_off_by, relative), (zero_off_by, absolute)):
        for factor, verdict in ((0.85, "ok"), (1.6, "wrong")) if largest else ():
            op = linear(spoil(factor * largest), dtype)
            op = real_only(op) if method == "differences" else op
            assert row(gradcheck(op, X.astype(dtype), seed=seed), method).verdict == verdict
    assert method in TOLERANCES
    assert len(TOLERANCES) == 4


@pytest.mark.parametrize(("error", "verdict"), [(70, "ok"), (150, "wrong")])
def test_a_slope_that_is_rounded_away(error: float, verdict: str) -> None:
    """By a hundred times the precision of a typical slope, which is √mean(d_out²) here."""

    def spoil(g: Any, d_out: Any) -> Any:
        typical = np.sqrt(np.mean(d_out**2))
        return g + error * EPS * typical * (np.arange(g.size) == g.size - 1)

    x = np.random.default_rng(0).uniform(0.5, 1.5, 400)
    for seed in range(3):
        report = gradcheck(linear(spoil), x, max_entries=400, seed=seed)
        assert verdicts(report) == ["ok", verdict]


def test_flat_but_not_zero() -> None:
    """tanh far out: where 1 - y² has no digits left it passes; where cosh⁻² has them the complex step asks for them."""

    def tanh(derivative: Callable[[Any], Any], factor: float) -> Op:
        return lambda x: (np.tanh(x), lambda d: factor * d * derivative(x))

    def lost(x: Any) -> Any:
        return 1 - np.tanh(x) ** 2

    def kept(x: Any) -> Any:
        return np.cosh(x) ** -2

    for seed in range(5):
        for far in (13.0, 15.0, 17.0):
            x = np.random.default_rng(seed).uniform(far, far + 0.5, 40) * np.random.default_rng(1).choice([-1, 1], 40)
            assert gradcheck(tanh(lost, 1), x, seed=seed).ok
            report = gradcheck(tanh(kept, 1), x, seed=seed)
            assert row(report, "complex step").verdict == "ok"
            assert "zero" not in " ".join(report.notes())
            if far < 15:
                assert row(gradcheck(tanh(kept, 1.0005), x, seed=seed), "complex step").verdict == "wrong"
        x = np.random.default_rng(seed).uniform(25, 26, 40)
        assert "the gradient is zero here" in gradcheck(tanh(lost, 1), np.append(x, -x), seed=seed).notes()[-1]


@pytest.mark.parametrize("seed", range(4))
def test_what_is_compared_is_compared_to_half_a_thousandth(seed: int) -> None:
    """The larger a constant that is added, the fewer digits are left of the slopes; then nothing is claimed."""
    compared = {}
    for exponent in np.arange(5, 14, 0.25):

        def op(x: Any, factor: float, constant: float = 10**exponent) -> Any:
            wrong = np.where(np.arange(x.size) == np.abs(x).argmax(), factor, 1)
            return x * x + constant, lambda d: (2 * x * d * wrong, None)

        x = np.array([1.0, 0.9, 1.1, 1.5])
        right = gradcheck(real_only(op), x, 1.0, seed=seed)
        compared[float(exponent)] = right.ok
        assert "wrong" not in verdicts(right)
        assert not gradcheck(real_only(op), x, 1.0005, seed=seed).ok
    assert {exponent for exponent in compared if exponent <= 7.5} <= {e for e in compared if compared[e]}
    assert not any(compared[exponent] for exponent in compared if exponent >= 9)


def layer_norm(x: Any, wrong: float = 0.0) -> Any:
    centred = x - x.mean(axis=1, keepdims=True)
    deviation = np.sqrt((centred * centred).mean(axis=1, keepdims=True) + 1e-5)
    y = centred / deviation

    def backward(d_y: Any) -> Any:
        along = (d_y * y).mean(axis=1, keepdims=True)
        d_x = (d_y - d_y.mean(axis=1, keepdims=True) - y * along) / deviation
        d_x[2, 3] += wrong * np.abs(d_x).max()
        return d_x, None

    return y, backward


def test_no_more_digits_are_asked_for_than_the_inputs_have() -> None:
    for seed in range(5):
        for offset in (1e5, 1e7):
            x = np.random.default_rng(seed).standard_normal((4, 6)) + offset
            assert gradcheck(layer_norm, x, 0.0, seed=seed).ok
            # one rounding of the inputs moves the gradient by about offset · EPS
            assert not gradcheck(layer_norm, x, 1e3 * offset * EPS, seed=seed).ok


# kinks


@pytest.mark.parametrize(("jump", "kink"), [(1.9, False), (2.1, True)])
def test_a_jump_is_a_kink_if_it_is_larger_than_the_errors_of_both_sides(jump: float, kink: bool) -> None:
    assert Slope(0.0, jump, 1.0, 0.0, jump).kink == kink
    assert Slope(5.0, 5.0 - jump, 1.0, 5.0 - jump, 5.0).kink == kink


@pytest.mark.parametrize("constant", [0.0, 1.0, 1e4])
def test_kinks_of_any_size_are_no_error_and_smooth_functions_have_none(constant: float) -> None:
    """x² + k |x| at 0, where the gradient may be anything from -k to k; the constant adds rounding errors."""
    for exponent in range(-16, 1):
        for share in (-1.0, 0.0, 1.0):

            def op(x: Any, k: float = 10.0**exponent, share: float = share) -> Any:
                sign = np.where(x == 0, share, np.sign(x))
                return constant + x + x * x + k * np.abs(x), lambda d: d * (1 + 2 * x + k * sign)

            report = gradcheck(real_only(op), np.array([0.0, 1.0, -0.5]))
            assert "wrong" not in verdicts(report), (exponent, share, str(report))
    smooth = gradcheck(real_only(lambda x: (constant + np.sin(3 * x), lambda d: 3 * d * np.cos(3 * x))), normal(20))
    assert smooth.rows[0].kinks == 0
    assert smooth.ok


def curved_relu(derivative_at_zero: float, curvature: float, constant: float = 0.0) -> Op:
    def op(x: Any) -> Any:
        slope = np.where(x > 0, 1, np.where(x == 0, derivative_at_zero, 0))
        return np.maximum(x, 0) + curvature * x * x + constant, lambda d: d * (slope + 2 * curvature * x)

    return real_only(op)


@pytest.mark.parametrize(("curvature", "constant"), [(0, 0), (20, 0), (-20, 0), (0, 100)])
def test_curvature_and_rounding_are_not_taken_for_a_second_kink(curvature: float, constant: float) -> None:
    x = np.array([0.0, 1.0, -1.5, 0.8])
    for seed in range(8):
        for at_zero, verdict in ((0, "ok"), (0.5, "ok"), (1, "ok"), (1.01, "wrong"), (-0.01, "wrong")):
            report = gradcheck(curved_relu(at_zero, curvature, constant), x, seed=seed)
            assert report.rows[0].verdict == verdict


@pytest.mark.parametrize("count", [2, 3])
def test_several_kinks_at_one_place(count: int) -> None:
    """Σ relu(w x) inside one output at x = 0, with all mixtures of 0 and 1 for the derivatives of ReLU."""
    w = np.array([[1.0, -0.3, 0.7], [0.2, 0.9, -1.1]])[:, :count].T

    for seed in range(5):
        for chosen in np.ndindex(*(2,) * count):

            def op(x: Any, chosen: Any = chosen) -> Any:
                z = w @ x
                slope = np.where(z > 0, 1, np.where(z == 0, chosen, 0))
                return np.sum(np.maximum(z, 0), keepdims=True), lambda d: d * (w.T @ slope)

            assert "wrong" not in verdicts(gradcheck(real_only(op), np.zeros(2), seed=seed))


# the operation


@pytest.mark.parametrize(("jitter", "steady"), [(1, True), (20, False), (1e4, False), (1e7, False)])
def test_the_same_output_but_for_rounding(jitter: float, steady: bool) -> None:
    calls = iter(range(10**6))

    def op(x: Any) -> Any:
        return x * (1 + jitter * EPS * (-1) ** next(calls)), lambda d: d

    if steady:
        assert gradcheck(op, 1 + np.abs(normal(5))).ok
    else:
        with pytest.raises(ValueError, match="op: expected the same output for the same inputs, got another one"):
            gradcheck(op, 1 + np.abs(normal(5)))


def test_the_upstream_gradient_has_both_signs() -> None:
    """With positive numbers only, these would pass."""
    for spoil in (np.abs, lambda d: np.maximum(d, 0)):
        for seed in range(5):
            z = normal(3, 4)
            assert not gradcheck(
                lambda z, s=spoil: (ops.sigmoid(z)[0], lambda d: ops.sigmoid(z)[1](s(d))), z, seed=seed
            ).ok
    assert not gradcheck(lambda z: (ops.sigmoid(z)[0], lambda d: ops.sigmoid(z)[1](abs(d))), np.ones(1), seed=2).ok


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_nan_in_float32_alone(dtype: str, wrong: float) -> None:
    x = normal(3, 4).astype(dtype)
    op = linear(lambda g, d: np.where(np.arange(g.size).reshape(g.shape) == 5, wrong, g), dtype)
    found = row(
        gradcheck(
            lambda x: (lambda out, b: (out.reshape(3, 4), lambda d: b(d.ravel()).reshape(3, 4)))(*op(x.ravel())), x
        ),
        dtype,
    )
    assert (found.verdict, found.where, found.error) == ("wrong", (1, 1), np.inf)


@pytest.mark.parametrize(("size", "looked_at"), [(1024, 1024), (1025, 7)])
def test_how_large_a_gradient_is_diagnosed_in_full(size: int, looked_at: int) -> None:
    def op(x: Any) -> Any:
        return x * x, lambda d: 2 * x * d * (1 + (np.arange(size) == 0))

    x = 1 + np.abs(normal(size))
    report = gradcheck(op, x, max_entries=6)
    assert report.rows[0].note == f"1 of {looked_at} entries is wrong, all others are right"
    assert report.rows[0].where == (0,)


@pytest.mark.parametrize(("size", "entries"), [(256, 256), (257, 256), (1000, 256)])
def test_how_many_entries_are_looked_at(size: int, entries: int) -> None:
    report = gradcheck(ops.sigmoid, normal(size))
    assert {row.compared for row in report.rows} == {entries + 3}


# slopes


def test_the_error_of_a_refined_slope_is_neither_too_small_nor_much_too_large() -> None:
    """For functions with rounding errors of a known size."""
    rng = np.random.default_rng(0)
    ratios = []
    for noise in (1e-15, 1e-12, 1e-9, 1e-6):
        for _ in range(50):
            a, b, c = rng.uniform(0.2, 3, 3)

            def terms(t: complex, a: float = a, b: float = b, c: float = c, noise: float = noise) -> np.ndarray:
                return np.array([a * np.sin(b * t.real + c) - a * np.sin(c) + noise * rng.uniform(-1, 1)])

            found = refine_slope(terms, noise)
            assert not found.kink
            ratios.append(abs(found.value - a * b * np.cos(c)) / found.error)
    assert max(ratios) <= 1
    assert np.median(ratios) > 0.005
