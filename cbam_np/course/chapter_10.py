"""Exercises of chapter 10, the bug hunt: ten blocks to be mended, each by one line.

This file names every mistake. If you want to find them yourself, read it afterwards.
"""

from typing import Any

import numpy as np

from cbam_np.attention.block import CBAM, cbam
from cbam_np.course.bugs import BLOCKS, PARAMETERS, broken
from cbam_np.course.checker import SHAPES, Exercise, Mistake


def _inputs(seed: int) -> tuple[Any, ...]:
    """f, parameters of a block, and an upstream gradient."""
    rng = np.random.default_rng(seed)
    shape = SHAPES[seed]
    params = CBAM(shape[1], reduction=1, kernel_size=3, dtype="float64", seed=seed).params
    return rng.normal(size=shape), params, rng.normal(size=shape)


def _inputs_with_ties(seed: int) -> tuple[Any, ...]:
    """As before, but f has few values, so that most maxima are attained more than once."""
    f, params, d_f2 = _inputs(seed)
    return np.random.default_rng(seed).choice([-0.5, 1.25, 2.0], size=f.shape), params, d_f2


def _solution(f: Any, params: Any, d_f2: Any) -> Any:
    f2, backward = cbam(f, params)
    d_f, grads = backward(d_f2)
    return f2, d_f, *(grads[name] for name in PARAMETERS)


def _exercise(number: int, original: str, as_it_was: str, *wrong: tuple[str, str], inputs: Any = _inputs) -> Exercise:
    """Block `number` to be mended. as_it_was: the hint for no change. wrong: what is put for `original`, and a hint."""
    return Exercise(
        f"10.{number}",
        f"Block {number}, forward and backward",
        returns="f2, d_f, d_w1, d_w2, d_kernel",
        inputs=inputs,
        solution=_solution,
        mistakes=(
            Mistake(BLOCKS[number - 1].run, f"This does the same as block {number} as it was. {as_it_was}"),
            *(Mistake(broken(original, line).run, hint) for line, hint in wrong),
        ),
    )


exercise_10_1 = _exercise(
    1,
    "m_s, sigmoid_backward = sigmoid(z)",
    "M_s is below 0 in places. What makes a number a gate, and where is it made into one?",
    (
        "m_s, sigmoid_backward = relu(z)",
        "Nothing is negative any more, but a ReLU has no upper end. A gate lies between 0 and 1.",
    ),
    (
        "m_s, sigmoid_backward = np.clip(z, 0, 1), lambda d_m_s: d_m_s",
        "These lie between 0 and 1, but those that were negative are all 0. Formula (10) has a function for this.",
    ),
    (
        "m_s, sigmoid_backward = sigmoid(z)[0], lambda d_m_s: d_m_s",
        "Forward it is right. Backward, the gradient passes by the new function as if it weren't there.",
    ),
    (
        "m_s, sigmoid_backward = sigmoid(-z)",
        "These are gates, but they open where they should shut. Look at the sign.",
    ),
)

exercise_10_2 = _exercise(
    2,
    "m_c, sigmoid_backward = sigmoid(z)",
    "All gates of M_c are above one half. Which numbers does a sigmoid turn into gates above one half, and who hands "
    "it only those?",
    (
        "m_c, sigmoid_backward = z, lambda d_m_c: d_m_c",
        "Now there is no sigmoid left. One is right.",
    ),
    (
        "m_c, sigmoid_backward = sigmoid(z)[0], sigmoid(sigmoid(z)[0])[1]",
        "Forward it is right. Backward, the derivative is still taken at the wrong place.",
    ),
    (
        "m_c, sigmoid_backward = relu(z)",
        "This is the other function that the document calls σ. Formula (6) means the sigmoid.",
    ),
)

exercise_10_3 = _exercise(
    3,
    "return d_h * (h > 0)",
    "d_w2 is right and d_w1 is not. What lies between the two layers of the MLP, and for which h is its mask False?",
    (
        "return d_h * (h < 0)",
        "The mask is the wrong way round, and h is never negative: now nothing comes back.",
    ),
    (
        "return d_h * h",
        "You multiplied by h itself. The slope of ReLU is 1 or 0.",
    ),
    (
        "return d_h * (d_h > 0)",
        "You took the mask from the gradient that comes in. Which way it goes was decided by z, on the way forward.",
    ),
    (
        "return 1.0 * (h > 0)",
        "This is the slope of ReLU alone. It is not yet multiplied by the upstream gradient.",
    ),
)

exercise_10_4 = _exercise(
    4,
    "d_f = m_c * d_f1 + d_f_map",
    "All parameters have the right gradient, so everything up to their lines is right. What comes after, on the way to "
    "d_f? F enters formula (1) in two places.",
    (
        "d_f = d_f_map",
        "Now the other path is missing, the one through the features.",
    ),
    (
        "d_f = d_f1 + d_f_map",
        "Both paths are there, but the one through the features passes the gate without being multiplied by it.",
    ),
    (
        "d_f = m_c * (d_f1 + d_f_map)",
        "Both paths are there. But what comes back through the map is already a gradient by F. The gate multiplies "
        "only what comes along the features.",
    ),
)

exercise_10_5 = _exercise(
    5,
    "flipped = kernel[:, :, ::-1, ::-1]",
    "d_kernel is right and all that comes after it is wrong. Who computes both, and what does the second one need?",
    (
        "flipped = kernel[:, :, ::-1, :]",
        "The rows are in order now. A kernel has two directions.",
    ),
    (
        "flipped = kernel[:, :, :, ::-1]",
        "The columns are in order now. A kernel has two directions.",
    ),
    (
        "flipped = kernel[:, ::-1, ::-1, ::-1]",
        "The windows are right, but now the two input channels, average and maximum, are swapped as well.",
    ),
)

exercise_10_6 = _exercise(
    6,
    "d_w1 += d_w1_pool",
    "Only d_w1 is wrong. The MLP runs once for each pooling, with the same weights. What happens to the first of the "
    "two gradients?",
    (
        "d_w1 += d_w1_pool / 2",
        "This is the mean of both gradients. Each use moves z by its own share, and the shares add.",
    ),
    (
        "d_w1 = 2 * d_w1_pool",
        "This counts the last gradient twice, and the first one not at all.",
    ),
    (
        "d_w1 += d_w2_pool.T",
        "This adds up the gradients of the other matrix.",
    ),
)

exercise_10_7 = _exercise(
    7,
    "d_f1 = m_s * d_f2 + d_f1_map",
    "d_kernel is right, and the check with ones is content. Which line would not notice if d_f2 were all ones?",
    (
        "d_f1 = d_f2 + d_f1_map",
        "The upstream gradient is back, but now the gate is gone: the derivative of m · f by f is m.",
    ),
    (
        "d_f1 = m_s * d_f2",
        "The first path is right now. The second one is missing, the one through the map.",
    ),
    (
        "d_f1 = m_s * (d_f2 + d_f1_map)",
        "Both paths are there. But what comes back through the map is already a gradient by F′. The gate multiplies "
        "only what comes along the features.",
    ),
)

exercise_10_8 = _exercise(
    8,
    "for pool in (average, maximum):  # (3), (4)",
    "Forward and backward agree, so look at the forward pass alone. M_c is wrong already. Which two numbers of each "
    "channel does formula (6) ask for?",
    (
        "for pool in (maximum, maximum):",
        "Now the maximum is there twice, and the average is missing.",
    ),
    (
        "for pool in (maximum,):",
        "Now only the maximum is left. Formula (6) adds two.",
    ),
    (
        "for pool in (average,):",
        "Now the average is counted once, which is what SE does. CBAM adds something to it.",
    ),
)

exercise_10_9 = _exercise(
    9,
    "for pool in (average, maximum):  # (8), (9)",
    "Forward and backward agree, so look at the forward pass alone. M_c is right and M_s is not. What does formula "
    "(10) say about order?",
    (
        "for pool in (average, average):",
        "The average is where it should be. The maximum is missing now.",
    ),
    (
        "for pool in (maximum, maximum):",
        "The maximum is where it should be. The average is missing now.",
    ),
    (
        "for pool in (lambda x, axis: average(x, axis), lambda x, axis: maximum(-x, axis)):",
        "The order is right. But the sign of the features changed on the way to the maximum.",
    ),
)

exercise_10_10 = _exercise(
    10,
    "np.put_along_axis(d_x, place, d_max, axis)",
    "Without ties it is right. Where several entries are the largest, how much do their gradients add up to?",
    (
        "d_x += d_max * (x == largest) / (x == largest).sum(axis=axis, keepdims=True)",
        "An equal share to each is a fair convention, and PyTorch's amax has it. Here, and in PyTorch's max along an "
        "axis, the first one gets it all.",
    ),
    (
        "np.put_along_axis(d_x, x.shape[axis] - 1 - np.flip(x, axis).argmax(axis, keepdims=True), d_max, axis)",
        "One entry gets it all, which is right. But it is the last one of those that tie; here it is the first.",
    ),
    (
        "np.put_along_axis(d_x, place, 1.0, axis)",
        "The place is right. But the gradient that came in is gone.",
    ),
    inputs=_inputs_with_ties,
)
