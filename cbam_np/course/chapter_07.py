"""Exercises of chapter 7, the gradient of the convolution in formula (10)."""

from typing import Any

import numpy as np

from cbam_np.course.checker import SHAPES, Exercise, Mistake
from cbam_np.ops import conv2d


def _inputs(seed: int) -> tuple[Any, ...]:
    """An upstream gradient (N, 1, H, W), x (N, C, H, W) and a kernel (1, C, 3, 3)."""
    rng = np.random.default_rng(seed)
    N, C, H, W = SHAPES[seed]
    return rng.normal(size=(N, 1, H, W)), rng.normal(size=(N, C, H, W)), rng.normal(size=(1, C, 3, 3))


# 7.1


def _kernel_backward(d_z: Any, x: Any, kernel: Any) -> Any:
    return conv2d(x, kernel)[1](d_z)[1]


def _rows_in_another_order(d_z: Any, x: Any, kernel: Any) -> Any:
    """The C·k² numbers read as (u,v,c) where they are (c,u,v)."""
    _, C, k, _ = kernel.shape
    return _kernel_backward(d_z, x, kernel).reshape(1, k, k, C).transpose(0, 3, 1, 2)


def _last_output_wins(d_z: Any, x: Any, kernel: Any) -> Any:
    """Assigned instead of added."""
    last = np.zeros_like(d_z)
    last[-1, 0, -1, -1] = d_z[-1, 0, -1, -1]
    return _kernel_backward(last, x, kernel)


exercise_7_1 = Exercise(
    "7.1",
    "The kernel, backward",
    returns="d_kernel",
    inputs=_inputs,
    solution=_kernel_backward,
    mistakes=(
        Mistake(
            lambda d_z, x, kernel: _kernel_backward(d_z[:1], x[:1], kernel),
            "You used sample 0 only. Every sample of the batch is multiplied with the same kernel, so every one adds "
            "its share.",
        ),
        Mistake(
            lambda d_z, x, kernel: _kernel_backward(d_z, x, kernel) / len(x),
            "You took the mean over the batch. The formula has a sum over n; if the loss is a mean, that factor is in "
            "d_z already.",
        ),
        Mistake(
            lambda d_z, x, kernel: _kernel_backward(d_z, x, kernel)[:, :, ::-1, ::-1],
            "Your kernel gradient is flipped in both directions. In this sum the indices are i+u and j+v, with plus "
            "signs: no flip here.",
        ),
        Mistake(
            lambda d_z, x, kernel: _kernel_backward(d_z, x, kernel).swapaxes(2, 3),
            "u and v are swapped: the gradient is transposed. u counts rows, v counts columns.",
        ),
        Mistake(
            _rows_in_another_order,
            "The numbers are right but sit in the wrong places. The rows of the columns matrix are in the order "
            "(c, u, v): first C, then k, then k.",
        ),
        Mistake(
            lambda d_z, x, kernel: _kernel_backward(np.ones_like(d_z), x, kernel),
            "You added up the windows without weighing them. Each window counts as much as the d_z of its output.",
        ),
        Mistake(
            lambda d_z, x, kernel: kernel * _kernel_backward(d_z, x, kernel),
            "There is a factor kernel too many. The derivative of a·x with respect to x is a: the x is gone.",
        ),
        Mistake(
            _last_output_wins,
            "The last output has overwritten the others. A kernel entry collects from every place of every sample: "
            "add.",
        ),
    ),
)

# 7.2


def _input_backward(d_z: Any, x: Any, kernel: Any) -> Any:
    return conv2d(x, kernel)[1](d_z)[0]


def _padded(d_z: Any, x: Any, kernel: Any) -> Any:
    """The gradient before the padding is cut off."""
    (N, C, H, W), k = x.shape, kernel.shape[-1]
    return conv2d(np.zeros((N, C, H + k - 1, W + k - 1)), kernel, padding=0)[1](d_z)[0]


def _last_window_wins(d_z: Any, x: Any, kernel: Any) -> Any:
    """Assigned instead of added."""
    (N, C, H, W), k = x.shape, kernel.shape[-1]
    p = k // 2
    d_x_padded = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for i, j in np.ndindex(H, W):
        d_x_padded[:, :, i : i + k, j : j + k] = kernel * d_z[:, :, i : i + 1, j : j + 1]
    return d_x_padded[:, :, p : p + H, p : p + W]


def _counted_from_the_end(d_z: Any, x: Any, kernel: Any) -> Any:
    """Negative indices of d_z read from its end, as NumPy does."""
    p = kernel.shape[-1] // 2
    wrapped = np.pad(d_z, ((0, 0), (0, 0), (p, 0), (p, 0)), mode="wrap")
    d_z_pad = np.pad(wrapped, ((0, 0), (0, 0), (0, p), (0, p)))
    return conv2d(d_z_pad, kernel[:, :, ::-1, ::-1].transpose(1, 0, 2, 3), padding=0)[0]


def _ones_upstream(d_z: Any, x: Any, kernel: Any) -> Any:
    return _input_backward(np.ones_like(d_z), x, kernel)


def _channels_added(d_z: Any, x: Any, kernel: Any) -> Any:
    return np.broadcast_to(_input_backward(d_z, x, kernel).sum(axis=1, keepdims=True), x.shape)


exercise_7_2 = Exercise(
    "7.2",
    "The input, backward",
    returns="d_x",
    inputs=_inputs,
    solution=_input_backward,
    mistakes=(
        Mistake(
            lambda d_z, x, kernel: _input_backward(d_z, x, kernel[:, :, ::-1, ::-1]),
            "The kernel is not flipped. In d_z[a-u, b-v] both signs are minus: going forward in u means going back in "
            "d_z.",
        ),
        Mistake(
            lambda d_z, x, kernel: _input_backward(d_z, x, kernel[:, :, :, ::-1]),
            "The kernel is flipped up-down only. Both indices have a minus sign: a-u and b-v.",
        ),
        Mistake(
            lambda d_z, x, kernel: _input_backward(d_z, x, kernel[:, :, ::-1]),
            "The kernel is flipped left-right only. Both indices have a minus sign: a-u and b-v.",
        ),
        Mistake(
            lambda d_z, x, kernel: _input_backward(d_z, x, kernel.swapaxes(2, 3)),
            "Rows and columns of the kernel are swapped. A flip reverses each axis; a transpose exchanges the two.",
        ),
        Mistake(
            lambda d_z, x, kernel: _input_backward(d_z, x, kernel[:, :, ::-1, ::-1].swapaxes(2, 3)),
            "The kernel is transposed where it should be flipped. A flip reverses each axis; a transpose exchanges "
            "the two.",
        ),
        Mistake(
            _counted_from_the_end,
            "Where a-u or b-v is negative, NumPy counts from the end of d_z. There is no such window: skip the term.",
        ),
        Mistake(
            lambda d_z, x, kernel: _padded(d_z, x, kernel)[:, :, : x.shape[2], : x.shape[3]],
            "You cut the corner at the top left out of the padded gradient. The padding lies on all four sides: "
            "x begins at row p and column p.",
        ),
        Mistake(
            lambda d_z, x, kernel: _padded(d_z, x, kernel)[:, :, -x.shape[2] :, -x.shape[3] :],
            "You cut the corner at the bottom right out of the padded gradient. The padding lies on all four sides: "
            "x begins at row p and column p.",
        ),
        Mistake(
            _padded,
            "This is the gradient of the padded input. The padding is no part of x: cut it off, p on every side.",
        ),
        Mistake(
            _last_window_wins,
            "Where windows overlap, the last one has overwritten the others. A pixel collects from every window that "
            "contains it: add.",
        ),
        Mistake(
            _ones_upstream,
            "The upstream gradient is missing: your result is what comes out for a d_z of ones.",
        ),
        Mistake(
            _channels_added,
            "You added up the input channels. Each input channel c has its own kernel[0, c] and its own gradient.",
        ),
    ),
)
