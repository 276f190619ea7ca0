"""Exercises of chapter 0, start here: the shapes of the two maps, and the backward of a scalar."""

from typing import Any

import numpy as np

from cbam_np.course.checker import SHAPES, Exercise, Mistake

# 0.1


def _features(seed: int) -> tuple[Any, ...]:
    """f (N, C, H, W)."""
    return (np.random.default_rng(seed).normal(size=SHAPES[seed]),)


def _number_of_gates(f: Any) -> Any:
    N, C, H, W = f.shape
    return N * C, N * H * W


exercise_0_1 = Exercise(
    "0.1",
    "How many gates?",
    returns="in_m_c, in_m_s",
    inputs=_features,
    solution=_number_of_gates,
    mistakes=(
        Mistake(
            lambda f: (f.shape[1], f.shape[2] * f.shape[3]),
            "This is right for one sample. There are N of them, and each has gates of its own.",
        ),
        Mistake(
            lambda f: _number_of_gates(f)[::-1],
            "The two are swapped. M_c asks which channel, M_s asks which place.",
        ),
        Mistake(
            lambda f: (f.size, f.size),
            "So many numbers has F itself. M_c has one gate for a whole channel, M_s one for a pixel in all channels.",
        ),
        Mistake(
            lambda f: (f.shape[0] * f.shape[1], f.size),
            "M_c is right. M_s has no axis of channels: all channels of a pixel get the same gate.",
        ),
        Mistake(
            lambda f: (f.shape[0] * f.shape[1], f.shape[0] * (f.shape[2] + f.shape[3])),
            "H rows and W columns: how many pixels are that? Draw 2 rows and 3 columns, and count.",
        ),
    ),
)

# 0.2


def _scalars(seed: int) -> tuple[Any, ...]:
    """An upstream gradient, x and w: a few scalars at once."""
    d_y, x, w = np.random.default_rng(seed).normal(size=(3, 3 + seed))
    return d_y, x, w


def _exponential_backward(d_y: Any, x: Any, w: Any) -> Any:
    g = np.exp(w * x)
    return d_y * (g + x * g * w), d_y * x * g * x


def _slope_of_the_sigmoid(d_y: Any, x: Any, w: Any) -> Any:
    g = np.exp(w * x)
    d_z = d_y * x * g * (1 - g)
    return d_y * g + d_z * w, d_z * x


exercise_0_2 = Exercise(
    "0.2",
    "A scalar with two paths, backward",
    returns="d_x, d_w",
    inputs=_scalars,
    solution=_exponential_backward,
    mistakes=(
        Mistake(
            lambda d_y, x, w: (d_y * np.exp(w * x), d_y * x**2 * np.exp(w * x)),
            "In d_x only the direct path is there. x also moves z, z moves g, and g moves y.",
        ),
        Mistake(
            lambda d_y, x, w: (d_y * x * w * np.exp(w * x), d_y * x**2 * np.exp(w * x)),
            "In d_x only the path through g is there. x is also the second factor of y.",
        ),
        Mistake(
            lambda d_y, x, w: (d_y * (1 + x) * np.exp(w * x), d_y * x**2 * np.exp(w * x)),
            "In d_x the path through g lacks a factor: how much does z = w·x move when x moves by 1?",
        ),
        Mistake(
            lambda d_y, x, w: (_exponential_backward(d_y, x, w)[0], d_y * x * np.exp(w * x)),
            "In d_w an x is missing. w moves z by x, and then g moves y by x once more.",
        ),
        Mistake(
            _slope_of_the_sigmoid,
            "g (1 - g) is the slope of the sigmoid. Here g is e^z. What is its slope?",
        ),
        Mistake(
            lambda d_y, x, w: (d_y * (1 + w) * np.exp(w * x), d_y * x * np.exp(w * x)),
            "Look at step 1: when g moves by 1, how much does y move? This factor is missing on the way through g.",
        ),
        Mistake(
            lambda d_y, x, w: _exponential_backward(np.ones_like(d_y), x, w),
            "The derivatives of y are right. But L is asked for: what comes back from behind is d_y.",
        ),
        Mistake(
            lambda d_y, x, w: _exponential_backward(d_y, x, w)[::-1],
            "The two results are swapped: first d_x, then d_w.",
        ),
    ),
)
