"""Exercises of chapter 6, the convolution of formula (10), forward; and the way back through what surrounds it."""

from typing import Any

import numpy as np

from cbam_np.course.checker import SHAPES, Exercise, Mistake
from cbam_np.ops import conv2d, im2col

# 6.1

K_AND_P = ((3, 1), (3, 0), (1, 0), (5, 2))  # the kernel size and the padding for each of SHAPES


def _windows_inputs(seed: int) -> tuple[Any, ...]:
    """x (N, C, H, W), k, p; the small one is counted through, so that every number names its place."""
    k, p = K_AND_P[seed]
    if seed == 0:
        return np.arange(1.0, 5.0).reshape(1, 1, 2, 2), k, p
    return np.random.default_rng(seed).normal(size=SHAPES[seed]), k, p


def _im2col(x: Any, k: int, p: int) -> Any:
    return im2col(x, k, padding=p)[0]


def _rows(x: Any, k: int, p: int) -> Any:
    """The columns with the axes of their rows apart: (N, C, k, k, H_out·W_out)."""
    columns = _im2col(x, k, p)
    return columns.reshape(x.shape[0], x.shape[1], k, k, columns.shape[2])


def _offset_first(x: Any, k: int, p: int) -> Any:
    return np.moveaxis(_rows(x, k, p), 1, 3).reshape(_im2col(x, k, p).shape)


def _with_edges_repeated(x: Any, k: int, p: int) -> Any:
    return im2col(np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), mode="edge"), k)[0]


def _shifted_the_wrong_way(x: Any, k: int, p: int) -> Any:
    return _rows(x, k, p)[:, :, ::-1, ::-1].reshape(_im2col(x, k, p).shape)


exercise_6_1 = Exercise(
    "6.1",
    "im2col",
    returns="columns",
    inputs=_windows_inputs,
    solution=_im2col,
    mistakes=(
        Mistake(
            lambda x, k, p: _im2col(x, k, p).transpose(0, 2, 1),
            "The matrix is transposed: every window is a row. Here every window is a column.",
        ),
        Mistake(
            lambda x, k, p: _rows(x, k, p).swapaxes(2, 3).reshape(_im2col(x, k, p).shape),
            "In the row number u and v are swapped. v runs faster.",
        ),
        Mistake(
            _offset_first,
            "The row number has the channel running fastest, (u, v, c). The kernel is laid out as (c, u, v).",
        ),
        Mistake(
            _shifted_the_wrong_way,
            "The windows are flipped in both directions: you read at i - u, or counted u and v downwards. That is "
            "a true convolution; formula (10) reads at i + u.",
        ),
        Mistake(
            _with_edges_repeated,
            "You padded with copies of the border. Here the padding is zeros.",
        ),
        Mistake(
            lambda x, k, p: im2col(x, k, padding=p + 1)[0],
            "There is one row and one column of zeros too many on each side.",
        ),
        Mistake(
            lambda x, k, p: im2col(np.pad(x, p), k)[0],
            "You padded all four axes, the batch and the channels too. Only the rows and the columns get zeros.",
        ),
    ),
)

# 6.2


def _padding_inputs(seed: int) -> tuple[Any, ...]:
    """The upstream gradient (N, C, H + 2p, W + 2p), and p from 1 to 3."""
    N, C, H, W = SHAPES[seed]
    p = (1, 2, 3, 1)[seed]
    if seed == 0:
        N, C = 1, 1
    return np.random.default_rng(seed).normal(size=(N, C, H + 2 * p, W + 2 * p)), p


def _padding_backward(d_x_pad: Any, p: int) -> Any:
    return d_x_pad[:, :, p:-p, p:-p]


def _fold(d_x_pad: Any, p: int) -> Any:
    """The border added to the outermost pixels, as after padding with copies of the border."""
    d_x = _padding_backward(d_x_pad, p)
    H, W = d_x.shape[2:]
    rows, columns = (np.clip(np.arange(size + 2 * p) - p, 0, size - 1) for size in (H, W))
    folded = np.zeros_like(d_x)
    for a, b in np.ndindex(H + 2 * p, W + 2 * p):
        folded[:, :, rows[a], columns[b]] += d_x_pad[:, :, a, b]
    return folded


def _inside_zeros(d_x_pad: Any, p: int) -> Any:
    """The right numbers, still inside an array of the padded size."""
    d_x = np.zeros_like(d_x_pad)
    d_x[:, :, p:-p, p:-p] = d_x_pad[:, :, p:-p, p:-p]
    return d_x


exercise_6_2 = Exercise(
    "6.2",
    "Padding, backward",
    returns="d_x",
    inputs=_padding_inputs,
    solution=_padding_backward,
    mistakes=(
        Mistake(
            lambda d_x_pad, p: d_x_pad.copy(),
            "You returned all of d_x_pad. d_x has the shape of x, without the padding.",
        ),
        Mistake(
            _inside_zeros,
            "You set the border to zero. It has to be cut off: d_x has the shape of x.",
        ),
        Mistake(
            lambda d_x_pad, p: d_x_pad[:, :, : -2 * p, : -2 * p],
            "You cut off everything at the bottom and on the right. Where does the pixel (0, 0) of x lie in x_pad?",
        ),
        Mistake(
            lambda d_x_pad, p: d_x_pad[:, :, 2 * p :, 2 * p :],
            "You cut off everything at the top and on the left. Where does the pixel (0, 0) of x lie in x_pad?",
        ),
        Mistake(
            _fold,
            "You added the border to the outermost pixels. That is the backward of a padding with copies of the "
            "border. Here the border is zeros, which no pixel moves.",
        ),
        Mistake(
            lambda d_x_pad, p: d_x_pad[p:-p, p:-p],
            "You cut the first two axes, the batch and the channels. Rows and columns are the last two.",
        ),
    ),
)

# 6.3


def _bias_inputs(seed: int) -> tuple[Any, ...]:
    """The upstream gradient (N, O, H, W) of a convolution with O output channels."""
    return (np.random.default_rng(seed).normal(size=SHAPES[seed]),)


def _bias_backward(d_z: Any) -> Any:
    N, O, H, W = d_z.shape
    _, backward = conv2d(np.zeros((N, 1, H, W)), np.zeros((O, 1, 1, 1)), np.zeros(O))
    return backward(d_z)[2]


exercise_6_3 = Exercise(
    "6.3",
    "The bias, backward",
    returns="d_bias",
    inputs=_bias_inputs,
    solution=_bias_backward,
    mistakes=(
        Mistake(
            lambda d_z: d_z.mean(axis=(0, 2, 3)),
            "You took the mean. The bias enters each output with the factor 1, so the gradients add, and nothing "
            "divides them.",
        ),
        Mistake(
            lambda d_z: d_z.sum(axis=(2, 3)),
            "The samples are still apart. All samples use the same bias, so add over the batch too.",
        ),
        Mistake(
            lambda d_z: d_z.mean(axis=0).sum(axis=(1, 2)),
            "The sum over the pixels is right, but over the batch you took the mean. Samples add too. If a loss takes "
            "the mean over the batch, its 1/N is in the upstream gradient already.",
        ),
        Mistake(
            lambda d_z: d_z.sum(axis=0),
            "There is one number for each pixel left. All pixels use the same bias.",
        ),
        Mistake(
            lambda d_z: d_z[0].sum(axis=(1, 2)),
            "Only the first sample of the batch is counted.",
        ),
        Mistake(
            lambda d_z: d_z.sum(axis=(1, 2, 3)),
            "There is one number for each sample. It has to be one for each output channel, axis 1.",
        ),
        Mistake(
            lambda d_z: d_z.sum(),
            "You added up everything. Each output channel has a bias of its own.",
        ),
        Mistake(
            lambda d_z: np.full(d_z.shape[1], float(d_z[:, 0].size)),
            "You counted how often a bias is used. Each use counts with its upstream gradient d_z.",
        ),
    ),
)
