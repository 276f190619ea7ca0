"""Exercises of chapter 2, pooling over space: formulas (3) and (4)."""

from typing import Any

import numpy as np

from cbam_np.course.checker import SHAPES, Exercise, Mistake
from cbam_np.ops import avg_pool_over_space, max_pool_over_space

# 2.1


def _inputs(seed: int) -> tuple[Any, ...]:
    """An upstream gradient (N, C) and f (N, C, H, W)."""
    rng = np.random.default_rng(seed)
    N, C, H, W = SHAPES[seed]
    return rng.normal(size=(N, C)), rng.normal(size=(N, C, H, W))


def _average_backward(d_avg_c: Any, f: Any) -> Any:
    return avg_pool_over_space(f)[1](d_avg_c)


def _spread(d_out: Any, f: Any) -> Any:
    """`d_out` at every pixel."""
    return np.broadcast_to(d_out[:, :, None, None], f.shape)


exercise_2_1 = Exercise(
    "2.1",
    "The average, backward",
    returns="d_f",
    inputs=_inputs,
    solution=_average_backward,
    mistakes=(
        Mistake(
            _spread,
            "Every pixel got the whole gradient of its channel. How much does the average move "
            "when one of its H·W pixels moves by 1?",
        ),
        Mistake(
            lambda d_avg_c, f: _spread(d_avg_c, f) / f.size,
            "You divided by the number of entries of all of f. An average is over the H·W pixels of one channel "
            "of one sample.",
        ),
        Mistake(
            lambda d_avg_c, f: d_avg_c[:, :, None, None] / f.shape[2] / f.shape[3],
            "There is one number for each channel, and it is right. Every pixel gets it: d_f has the shape of f.",
        ),
        Mistake(
            lambda d_avg_c, f: _spread(d_avg_c, f) / 6,
            "You divided by 6. That was the number of pixels on paper; here it is H·W, and f has other sizes, too.",
        ),
        Mistake(
            lambda d_avg_c, f: _spread(d_avg_c, f) / f.shape[2],
            "You divided by H alone. How many pixels does one channel have?",
        ),
        Mistake(
            lambda d_avg_c, f: np.ones_like(f) / f.shape[2] / f.shape[3],
            "You returned the derivative of the average, 1/(HW). It is not yet multiplied by the upstream gradient "
            "d_avg_c.",
        ),
        Mistake(
            lambda d_avg_c, f: _spread(d_avg_c, f) * f / f.shape[2] / f.shape[3],
            "There is a factor f too many. The derivative of a·x with respect to x is a: the x is gone.",
        ),
    ),
)

# 2.2


def _inputs_with_ties(seed: int) -> tuple[Any, ...]:
    """As before, but f has few values. In the small one channel 0 has two largest entries; channel 1 has four, -1."""
    d_max_c, f = _inputs(seed)
    if seed == 0:
        return d_max_c, np.array([[[[1.0, 3.0, 2.0], [3.0, 0.0, 1.0]], [[-2.0, -1.0, -1.0], [-3.0, -1.0, -1.0]]]])
    return d_max_c, np.random.default_rng(seed).choice([-3.0, -0.5, 1.25, 2.0], size=f.shape)


def _max_backward(d_max_c: Any, f: Any) -> Any:
    return max_pool_over_space(f)[1](d_max_c)


def _largest(f: Any) -> Any:
    return f == f.max(axis=(2, 3), keepdims=True)


def _last(d_max_c: Any, f: Any) -> Any:
    return _max_backward(d_max_c, f[:, :, ::-1, ::-1])[:, :, ::-1, ::-1]


def _one_for_each_sample(d_max_c: Any, f: Any) -> Any:
    """The place of the largest entry over all channels."""
    N, _, H, W = f.shape
    place = f.reshape(N, -1).argmax(axis=1) % (H * W)
    d_f = np.zeros((*f.shape[:2], H * W))
    for n in range(N):
        d_f[n, :, place[n]] = d_max_c[n]
    return d_f.reshape(f.shape)


exercise_2_2 = Exercise(
    "2.2",
    "The maximum, backward",
    returns="d_f",
    inputs=_inputs_with_ties,
    solution=_max_backward,
    mistakes=(
        Mistake(
            lambda d_max_c, f: np.where(_largest(f), d_max_c[:, :, None, None], 0.0),
            "Without ties this would be right. Where several entries are the largest, you gave the whole gradient to "
            "each of them; here only the first one gets it.",
        ),
        Mistake(
            lambda d_max_c, f: max_pool_over_space(f, ties="split")[1](d_max_c),
            "You split the gradient equally between the entries that tie. That is a fair convention, but here the "
            "first one gets it all.",
        ),
        Mistake(
            _last,
            "Where several entries are the largest you took the last one. Does your comparison say >= where it should "
            "say >?",
        ),
        Mistake(
            lambda d_max_c, f: _max_backward(d_max_c, f.swapaxes(2, 3)).swapaxes(2, 3),
            "Of several largest entries you took the first one column by column. Count row by row.",
        ),
        Mistake(
            lambda d_max_c, f: _max_backward(np.ones_like(d_max_c), f),
            "You marked the right entries with 1, but did not multiply by the upstream gradient d_max_c.",
        ),
        Mistake(
            lambda d_max_c, f: _spread(d_max_c, f) / f.shape[2] / f.shape[3],
            "This is the gradient of the average: every pixel got a share. Only the largest pixel moves the maximum.",
        ),
        Mistake(
            lambda d_max_c, f: _max_backward(d_max_c, np.maximum(f, 0)),
            "Your search begins with 0, so it finds nothing in a channel of negative entries. Begin with an entry of "
            "the channel.",
        ),
        Mistake(
            lambda d_max_c, f: _max_backward(d_max_c, np.abs(f)),
            "You took the entry with the largest absolute value. -3 is smaller than -1.",
        ),
        Mistake(
            _one_for_each_sample,
            "You looked for one largest entry in a whole sample. Every channel has a largest entry of its own.",
        ),
    ),
)

# 2.3


def _split_backward(d_max_c: Any, f: Any) -> Any:
    return max_pool_over_space(f, ties="split")[1](d_max_c)


exercise_2_3 = Exercise(
    "2.3",
    "Ties split equally, backward",
    returns="d_f",
    inputs=_inputs_with_ties,
    solution=_split_backward,
    mistakes=(
        Mistake(
            lambda d_max_c, f: np.where(_largest(f), d_max_c[:, :, None, None], 0.0),
            "Each of the largest entries got the whole gradient. Their shares have to add up to d_max_c.",
        ),
        Mistake(
            _max_backward,
            "The first of the largest entries got everything. Here all of them get an equal share.",
        ),
        Mistake(
            lambda d_max_c, f: np.where(_largest(f), d_max_c[:, :, None, None], 0.0) / f.shape[2] / f.shape[3],
            "You divided by the number of all pixels. Divide by the number of those that tie.",
        ),
        Mistake(
            lambda d_max_c, f: np.where(_largest(f), d_max_c[:, :, None, None], 0.0) / _largest(f).sum(),
            "You counted the ties of all channels together. Each channel has a count of its own.",
        ),
        Mistake(
            lambda d_max_c, f: _largest(f) / _largest(f).sum(axis=(2, 3), keepdims=True),
            "The shares are right, but they are not multiplied by the upstream gradient d_max_c.",
        ),
    ),
)
