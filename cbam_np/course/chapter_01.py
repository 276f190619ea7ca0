"""Exercises of chapter 1, the block from the outside: the gate of formulas (1) and (2)."""

from typing import Any

import numpy as np

from cbam_np.course.checker import SHAPES, Exercise, Mistake
from cbam_np.ops import gate

# 1.1


def _gates_and_f(seed: int) -> tuple[Any, ...]:
    """Gates (N, C), as an MLP and a sigmoid hand them over, and f (N, C, H, W)."""
    rng = np.random.default_rng(seed)
    N, C, H, W = SHAPES[seed]
    return rng.uniform(0.1, 0.9, size=(N, C)), rng.normal(size=(N, C, H, W))


def _gate_channels(m_c: Any, f: Any) -> Any:
    return gate(m_c[:, :, None, None], f)[0]


exercise_1_1 = Exercise(
    "1.1",
    "Gates for channels",
    returns="f1",
    inputs=_gates_and_f,
    solution=_gate_channels,
    mistakes=(
        Mistake(
            lambda m_c, f: f + _gate_channels(m_c, f),
            "You added f once more. A gate turns down: formula (1) is a product and nothing else.",
        ),
        Mistake(
            lambda m_c, f: _gate_channels(m_c / m_c.sum(axis=1, keepdims=True), f),
            "You divided the gates by their sum. Nothing is normalised here: each gate is used as it is.",
        ),
        Mistake(
            lambda m_c, f: _gate_channels(1 / (1 + np.exp(-m_c)), f),
            "You took the sigmoid. The gates you are given are between 0 and 1 already.",
        ),
        Mistake(
            lambda m_c, f: m_c[0][None, :, None, None] * f,
            "Every sample got the gates of sample 0. Each sample has gates of its own.",
        ),
        Mistake(
            lambda m_c, f: m_c[:, :1, None, None] * f,
            "Every channel got the gate of channel 0. Each channel has its own.",
        ),
        Mistake(
            lambda m_c, f: m_c[:, :, None, None],
            "You put the gates into the right shape and returned them. They are not yet multiplied onto f.",
        ),
    ),
)

# 1.2


def _spatial_inputs(seed: int) -> tuple[Any, ...]:
    """An upstream gradient (N, C, H, W), m_s (N, 1, H, W) and f1 (N, C, H, W)."""
    rng = np.random.default_rng(seed)
    N, C, H, W = SHAPES[seed]
    return rng.normal(size=(N, C, H, W)), rng.uniform(0.1, 0.9, size=(N, 1, H, W)), rng.normal(size=(N, C, H, W))


def _gate_backward(d_f2: Any, m_s: Any, f1: Any) -> Any:
    return gate(m_s, f1)[1](d_f2)


exercise_1_2 = Exercise(
    "1.2",
    "The gate for places, backward",
    returns="d_m_s, d_f1",
    inputs=_spatial_inputs,
    solution=_gate_backward,
    mistakes=(
        Mistake(
            lambda d_f2, m_s, f1: (d_f2 * f1, m_s * d_f2),
            "d_m_s has to have the shape of m_s. One gate stands in the products of all C channels: what happens to "
            "their shares?",
        ),
        Mistake(
            lambda d_f2, m_s, f1: ((d_f2 * f1).mean(axis=1, keepdims=True), m_s * d_f2),
            "You took the average over the channels. The shares of a gate add up; nobody divides them.",
        ),
        Mistake(
            lambda d_f2, m_s, f1: ((d_f2 * f1).sum(axis=(2, 3), keepdims=True), m_s * d_f2),
            "You summed over the places, as for M_c. Here there is one gate for each place: over which axis was it "
            "repeated?",
        ),
        Mistake(
            lambda d_f2, m_s, f1: ((d_f2 * f1).sum(axis=(0, 1), keepdims=True), m_s * d_f2),
            "You summed over the samples, too. Every sample has gates of its own.",
        ),
        Mistake(
            lambda d_f2, m_s, f1: ((d_f2 * f1).sum(axis=1), m_s * d_f2),
            "The sum is right, but its axis is gone. keepdims=True leaves it there with length 1.",
        ),
        Mistake(
            lambda d_f2, m_s, f1: (d_f2.sum(axis=1, keepdims=True), m_s * d_f2),
            "In d_m_s a factor is missing. How much does m·f move when m moves by 1?",
        ),
        Mistake(
            lambda d_f2, m_s, f1: (_gate_backward(d_f2, m_s, f1)[0], f1 * d_f2),
            "d_m_s is right. In m·f the factor of f is m: your d_f1 has f1 itself in it.",
        ),
        Mistake(
            lambda d_f2, m_s, f1: (_gate_backward(d_f2, m_s, f1)[0], d_f2),
            "In d_f1 the gate is missing. A feature behind a gate of 0.1 moves the loss by a tenth only.",
        ),
        Mistake(
            lambda d_f2, m_s, f1: _gate_backward(np.ones_like(d_f2), m_s, f1),
            "The derivatives are right, but the upstream gradient d_f2 does not occur.",
        ),
    ),
)
