"""Exercises of chapter 5, pooling over channels: formulas (8) and (9)."""

from typing import Any

import numpy as np

from cbam_np.course.checker import SHAPES, Exercise, Mistake
from cbam_np.ops import avg_pool_over_channels, max_pool_over_channels

# 5.1


def _memory(seed: int) -> tuple[Any, ...]:
    """One sample as it lies in memory, (C·H·W,), and its sizes."""
    _, C, H, W = SHAPES[seed]
    return np.random.default_rng(seed).normal(size=C * H * W), C, H, W


def _average_from_memory(memory: Any, C: int, H: int, W: int) -> Any:
    return memory.reshape(C, H, W).mean(axis=0)


exercise_5_1 = Exercise(
    "5.1",
    "The average, straight from memory",
    returns="avg_s",
    inputs=_memory,
    solution=_average_from_memory,
    mistakes=(
        Mistake(
            lambda memory, C, H, W: memory.reshape(H, W, C).mean(axis=2),
            "You averaged C neighbours in memory. Neighbours are pixels of one channel. How far apart are two channels "
            "of one pixel?",
        ),
        Mistake(
            lambda memory, C, H, W: memory.reshape(C, H, W).sum(axis=0),
            "This is the sum over the channels. An average also divides.",
        ),
        Mistake(
            lambda memory, C, H, W: memory.reshape(C, H, W).sum(axis=0) / (H * W),
            "You divided by the number of pixels. How many numbers were added up for one pixel?",
        ),
        Mistake(
            lambda memory, C, H, W: memory.reshape(C, H, W).mean(axis=(1, 2)),
            "This is one number for each channel, as in chapter 2. Here there is one number for each pixel.",
        ),
        Mistake(
            lambda memory, C, H, W: memory.reshape(C, W, H).mean(axis=0).T,
            "Rows and columns are mixed up. From one row to the next it is W numbers, from one column to the next "
            "it is 1.",
        ),
    ),
)

# 5.2


def _max_inputs(seed: int) -> tuple[Any, ...]:
    """An upstream gradient (N, 1, H, W), and f1 (N, C, H, W) with few values, so that channels tie."""
    rng = np.random.default_rng(seed)
    N, C, H, W = SHAPES[seed]
    d_max_s = rng.normal(size=(N, 1, H, W))
    if seed == 0:
        return d_max_s, np.array([[[[1.0, 3.0, 2.0], [-3.0, 0.0, -2.0]], [[2.0, 3.0, 0.0], [1.0, 0.0, -1.0]]]])
    return d_max_s, rng.choice([-3.0, -0.5, 1.25, 2.0], size=(N, C, H, W))


def _max_backward(d_max_s: Any, f1: Any) -> Any:
    return max_pool_over_channels(f1)[1](d_max_s)


def _largest(f1: Any) -> Any:
    return f1 == f1.max(axis=1, keepdims=True)


def _one_for_each_map(d_max_s: Any, f1: Any) -> Any:
    """All pixels of a sample to the channel that wins at most of them."""
    d_f1 = np.zeros_like(f1)
    for n, winners in enumerate(f1.argmax(axis=1)):
        d_f1[n, np.bincount(winners.ravel()).argmax()] = d_max_s[n, 0]
    return d_f1


exercise_5_2 = Exercise(
    "5.2",
    "The maximum over channels, backward",
    returns="d_f1",
    inputs=_max_inputs,
    solution=_max_backward,
    mistakes=(
        Mistake(
            lambda d_max_s, f1: d_max_s * _largest(f1),
            "Without ties this would be right. Where several channels are the largest, you gave the whole gradient to "
            "each of them; here only the first one gets it.",
        ),
        Mistake(
            lambda d_max_s, f1: max_pool_over_channels(f1, ties="split")[1](d_max_s),
            "You split the gradient equally between the channels that tie. That is a fair convention, but here the "
            "first one gets it all.",
        ),
        Mistake(
            lambda d_max_s, f1: _max_backward(d_max_s, f1[:, ::-1])[:, ::-1],
            "Where several channels are the largest you took the last one. Does your comparison say >= where it should "
            "say >?",
        ),
        Mistake(
            lambda d_max_s, f1: d_max_s * (f1 == f1.max(axis=(2, 3), keepdims=True)),
            "You looked for the largest pixel of each channel, as in chapter 2. Here you need the largest channel of "
            "each pixel.",
        ),
        Mistake(
            lambda d_max_s, f1: _max_backward(np.ones_like(d_max_s), f1),
            "You marked the winners with 1, but did not multiply by the upstream gradient d_max_s.",
        ),
        Mistake(
            lambda d_max_s, f1: _max_backward(d_max_s, np.abs(f1)),
            "You took the entry with the largest absolute value. -3 is smaller than 1.",
        ),
        Mistake(
            lambda d_max_s, f1: _max_backward(d_max_s, np.maximum(f1, 0)),
            "Your search begins with 0, so it finds nothing where all channels are negative. Begin with the entry of "
            "channel 0.",
        ),
        Mistake(
            _one_for_each_map,
            "You gave all pixels of a sample to one channel. Every pixel has a winner of its own.",
        ),
    ),
)

# 5.3


def _both_inputs(seed: int) -> tuple[Any, ...]:
    """Two upstream gradients (N, 1, H, W), and f1 (N, C, H, W) without ties."""
    rng = np.random.default_rng(seed)
    N, C, H, W = SHAPES[seed]
    return rng.normal(size=(N, 1, H, W)), rng.normal(size=(N, 1, H, W)), rng.normal(size=(N, C, H, W))


def _average_backward(d_avg_s: Any, f1: Any) -> Any:
    return avg_pool_over_channels(f1)[1](d_avg_s)


def _both_backward(d_avg_s: Any, d_max_s: Any, f1: Any) -> Any:
    return _average_backward(d_avg_s, f1) + _max_backward(d_max_s, f1)


def _mixed(d_avg_s: Any, d_max_s: Any, f1: Any) -> Any:
    """The maximum's gradient in place of the average's share, not on top of it."""
    return np.where(_largest(f1), d_max_s, d_avg_s / f1.shape[1])


exercise_5_3 = Exercise(
    "5.3",
    "Both poolings, backward",
    returns="d_f1",
    inputs=_both_inputs,
    solution=_both_backward,
    mistakes=(
        Mistake(
            lambda d_avg_s, d_max_s, f1: _average_backward(d_avg_s, f1).copy(),
            "Only the average came back. F′ also moves L through the maximum.",
        ),
        Mistake(
            lambda d_avg_s, d_max_s, f1: _max_backward(d_max_s, f1),
            "Only the maximum came back. F′ also moves L through the average.",
        ),
        Mistake(
            _mixed,
            "The winner got the maximum's gradient in place of its share of the average. The winner moves both, so it "
            "gets the sum.",
        ),
        Mistake(
            lambda d_avg_s, d_max_s, f1: _both_backward(d_max_s, d_avg_s, f1),
            "The two upstream gradients are swapped.",
        ),
        Mistake(
            lambda d_avg_s, d_max_s, f1: _both_backward(d_avg_s, d_max_s, f1) / 2,
            "You took the mean of the two paths. Gradients of two paths are added, not averaged.",
        ),
        Mistake(
            lambda d_avg_s, d_max_s, f1: _both_backward(d_avg_s * f1.shape[1], d_max_s, f1),
            "Every channel got the whole gradient of the average. How much does the average of C numbers move when one "
            "of them moves by 1?",
        ),
        Mistake(
            lambda d_avg_s, d_max_s, f1: _both_backward(
                d_avg_s * f1.shape[1] / (f1.shape[2] * f1.shape[3]), d_max_s, f1
            ),
            "You divided the average's gradient by the number of pixels, as in chapter 2. Here the average is over "
            "channels.",
        ),
    ),
)
