"""Exercises of chapter 4, channel attention: formulas (6) and (7)."""

from typing import Any

import numpy as np

from cbam_np.course.checker import SHAPES, Exercise, Function, Mistake
from cbam_np.ops import avg_pool_over_space, gate, max_pool_over_space, shared_mlp, sigmoid

# 4.1


def _sigmoid_inputs(seed: int) -> tuple[Any, ...]:
    """An upstream gradient and z, both (2, 3): moderate, moderate, in both tails, beyond what exp can represent."""
    rng = np.random.default_rng(40 + seed)
    tails = np.array([[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0]])
    z = (
        rng.normal(size=(2, 3)),
        3 * rng.normal(size=(2, 3)),
        tails * rng.uniform(40, 60, size=(2, 3)),
        tails * rng.uniform(800, 900, size=(2, 3)),
    )
    return rng.normal(size=(2, 3)), z[seed]


def _sigma(z: Any) -> Any:
    return sigmoid(z)[0]


def _sigmoid_backward(d_out: Any, z: Any) -> Any:
    return sigmoid(z)[1](d_out)


def _overflowing(d_out: Any, z: Any) -> Any:
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.exp(-z)
        return d_out * e / (1 + e) ** 2


exercise_4_1 = Exercise(
    "4.1",
    "The sigmoid, backward",
    returns="d_z",
    inputs=_sigmoid_inputs,
    solution=_sigmoid_backward,
    mistakes=(
        Mistake(
            lambda d_out, z: d_out * _sigma(z) * (1 - _sigma(z)),
            "The formula is right and loses the upper tail: for large z, σ(z) rounds to 1, and 1 - 1 is 0. Which "
            "number is 1 - σ(z), written without a subtraction?",
        ),
        Mistake(
            _overflowing,
            "For z = -800 the number e^-z is too large, and infinity over infinity is nan. The slope is the same at z "
            "and at -z.",
        ),
        Mistake(
            lambda d_out, z: d_out * _sigma(z),
            "You multiplied by σ(z). Multiply by its slope, σ′(z).",
        ),
        Mistake(
            lambda d_out, z: _sigmoid_backward(np.ones_like(d_out), z),
            "This is σ′(z). It is not yet multiplied by the upstream gradient d_out.",
        ),
        Mistake(
            lambda d_out, z: d_out * z * (1 - z),
            "You used s·(1 - s) with s = z. The s in that formula is σ(z), and you were given z.",
        ),
        Mistake(
            lambda d_out, z: _sigmoid_backward(d_out, _sigma(z)),
            "You took the slope at σ(z). That is one sigmoid too many: take the slope at z.",
        ),
    ),
)

# 4.2


def _gate_inputs(seed: int) -> tuple[Any, ...]:
    """An upstream gradient (N, C, H, W), gates (N, C, 1, 1) and f (N, C, H, W)."""
    rng = np.random.default_rng(50 + seed)
    N, C, H, W = SHAPES[seed]
    return rng.normal(size=(N, C, H, W)), rng.uniform(0.1, 0.9, size=(N, C, 1, 1)), rng.normal(size=(N, C, H, W))


def _gate_backward(d_f1: Any, m_c: Any, f: Any) -> Any:
    return gate(m_c, f)[1](d_f1)


def _over_space(x: Any) -> Any:
    return x.sum(axis=(2, 3), keepdims=True)


exercise_4_2 = Exercise(
    "4.2",
    "The gate, backward",
    returns="d_m_c, d_f",
    inputs=_gate_inputs,
    solution=_gate_backward,
    mistakes=(
        Mistake(
            lambda d_f1, m_c, f: ((d_f1 * f).sum(axis=(2, 3)), m_c * d_f1),
            "The numbers are right, the shape is not: a gradient has the shape of what it belongs to.",
        ),
        Mistake(
            lambda d_f1, m_c, f: (d_f1 * f, m_c * d_f1),
            "d_m_c still has one entry for each pixel. One gate serves all pixels of its channel: what happens to "
            "their shares?",
        ),
        Mistake(
            lambda d_f1, m_c, f: ((d_f1 * f).mean(axis=(2, 3), keepdims=True), m_c * d_f1),
            "You took the mean over the pixels. Shares add up; nothing here divides by H·W.",
        ),
        Mistake(
            lambda d_f1, m_c, f: ((d_f1 * f).sum(axis=(0, 2, 3), keepdims=True), m_c * d_f1),
            "You summed over the samples, too. A weight serves all samples, but every sample has gates of its own.",
        ),
        Mistake(
            lambda d_f1, m_c, f: (_over_space(d_f1) * _over_space(f), m_c * d_f1),
            "You summed first and multiplied then. Each pixel's gradient belongs to that pixel's feature: multiply "
            "first.",
        ),
        Mistake(
            lambda d_f1, m_c, f: (_over_space(d_f1), m_c * d_f1),
            "d_f is right. In m·f the factor of m is f, and your d_m_c has no f in it.",
        ),
        Mistake(
            lambda d_f1, m_c, f: (_over_space(d_f1 * f), d_f1),
            "d_m_c is right. For d_f you passed the upstream gradient on as it was; in m·f the factor of f is m.",
        ),
        Mistake(
            lambda d_f1, m_c, f: (_over_space(d_f1 * m_c), f * d_f1),
            "Each factor of a product gets the upstream gradient times the other factor. You took the factor itself.",
        ),
    ),
)

# 4.3


def _inputs(seed: int) -> tuple[Any, ...]:
    """An upstream gradient and f, both (N, C, H, W), and weights for two hidden units."""
    rng = np.random.default_rng(60 + seed)
    N, C, H, W = SHAPES[seed]
    d_f1, f = rng.normal(size=(2, N, C, H, W))
    return d_f1, f + 0.5, rng.normal(scale=0.5, size=(2, C)), rng.normal(scale=0.5, size=(C, 2))


def _forget(*paths: str, slope_at: Any = lambda z: z, swap: bool = False) -> Function:
    """The backward of channel attention without some of the paths to d_f, or with another mistake."""

    def backward(d_f1: Any, f: Any, w1: Any, w2: Any) -> Any:
        avg_c, avg_backward = avg_pool_over_space(f)
        max_c, max_backward = max_pool_over_space(f)
        z, mlp_backward = shared_mlp(avg_c, max_c, w1, w2)
        m_c = _sigma(z)[:, :, None, None]
        d_m_c, through_gate = gate(m_c, f)[1](d_f1)
        d_z = d_m_c[:, :, 0, 0] if slope_at is None else _sigmoid_backward(d_m_c[:, :, 0, 0], slope_at(z))
        d_avg_c, d_max_c, d_w1, d_w2, *_ = mlp_backward(d_z)
        if swap:
            d_avg_c, d_max_c = d_max_c, d_avg_c
        parts = {"gate": through_gate, "avg": avg_backward(d_avg_c), "max": max_backward(d_max_c)}
        return sum(part for name, part in parts.items() if name not in paths), d_w1, d_w2

    return backward


def _channel_attention_backward(d_f1: Any, f: Any, w1: Any, w2: Any) -> Any:
    return _forget()(d_f1, f, w1, w2)


exercise_4_3 = Exercise(
    "4.3",
    "Channel attention, backward",
    returns="d_f, d_w1, d_w2",
    inputs=_inputs,
    solution=_channel_attention_backward,
    mistakes=(
        Mistake(
            _forget("avg", "max"),
            "The weights' gradients are right. f also made the map, and what d_m_c sends back to f is missing.",
        ),
        Mistake(
            _forget("gate"),
            "The weights' gradients are right. f is not only the input of the map, it is also what the map is "
            "multiplied with.",
        ),
        Mistake(
            _forget("avg"),
            "The weights' gradients are right. In d_f one of three ways is missing: the one through the average.",
        ),
        Mistake(
            _forget("max"),
            "The weights' gradients are right. In d_f one of three ways is missing: the one through the maximum.",
        ),
        Mistake(
            _forget(slope_at=None),
            "The gradient of m_c went into the MLP as it was. Between the MLP and m_c stands the sigmoid.",
        ),
        Mistake(
            _forget(slope_at=_sigma),
            "You took the slope of the sigmoid at m_c. Take it at z, before the sigmoid.",
        ),
        Mistake(
            _forget(swap=True),
            "The weights' gradients are right. The average and the maximum got each other's gradient: check the order "
            "of what the shared MLP returns.",
        ),
    ),
)
