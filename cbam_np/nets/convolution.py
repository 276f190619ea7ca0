"""The convolution of `ops.conv2d` at stride 1 once more, on NumPy and several times as fast.

`ops.conv2d` makes the columns of a whole batch, k² times as many numbers as x has, far more than a processor's cache
holds: most of its time goes into moving them to memory and back. The same sums can be had faster.

Lines. A few samples at a time are laid out so that the pixels of one channel lie in one line, sample after sample, row
after row, with p zeros behind each row, and p rows of zeros behind each sample:

    line[c] = 0 … 0 | x[0,c,0,:] 0 … 0 | x[0,c,1,:] 0 … 0 | … | 0 … 0 | x[1,c,0,:] 0 … 0 | …

The zeros behind a row are also those in front of the next. So the window at (u,v) sees the line moved by u - p rows and
v - p pixels, and a row of columns is copied in one piece. What comes out where the zeros are means nothing, and is
left out.

Backward. The columns of d_out serve both gradients. d_x is their product with the flipped kernel, as in `ops.conv2d`.
For d_kernel, moving d_out against x gives the same sums as moving x against d_out:

    d_kernel[o,c,u,v] = Σ_{n,i,j} d_out[n,o,i,j] · x[n, c, i + u - p, j + v - p]
                      = Σ_{n,i,j} d_out[n, o, i + p - u, j + p - v] · x[n,c,i,j]

There d_out is seen through the window at (k-1-u, k-1-v).
"""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cbam_np.arrays import Backward
from cbam_np.nets import cores


def conv2d_in_lines(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None) -> tuple[np.ndarray, Backward]:
    """`ops.conv2d` at stride 1 with padding (k-1)/2, on one core; see the top of the file.

    Parameters
    ----------
    x : float32 or float64 NumPy array (N, C, H, W)
    kernel : same dtype, (O, C, k, k), k odd
    bias : same dtype, (O,), optional

    Returns
    -------
    out : same dtype, (N, O, H, W)
    backward : d_out -> d_x, d_kernel, d_bias
        d_bias is None if bias is None.
    """
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    K = kernel.reshape(O, C * k * k)
    out = np.empty((N, O, H, W), dtype=x.dtype)

    n = samples_at_a_time(x, k)
    lines = Lines(n, C, H, W, k, x.dtype)
    for first in range(0, N, n):
        out[first : first + n] = lines.cut(K @ lines.columns(x[first : first + n]))
    if bias is not None:
        out += bias[:, None, None]

    def backward(d_out: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        flipped = kernel[:, :, ::-1, ::-1].transpose(1, 0, 2, 3).reshape(C, O * k * k)
        d_x = np.empty((N, C, H, W), dtype=x.dtype)
        d_K = np.zeros((C, O * k * k), dtype=x.dtype)

        n = samples_at_a_time(d_out, k)
        d_lines, x_lines = Lines(n, O, H, W, k, x.dtype), Lines(n, C, H, W, k, x.dtype)
        for first in range(0, N, n):
            part = slice(first, first + n)
            d_columns = d_lines.columns(d_out[part])
            d_x[part] = d_lines.cut(flipped @ d_columns)
            d_K += x_lines.fill(x[part]) @ d_columns.T

        d_kernel = d_K.reshape(C, O, k, k)[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        d_bias = None if bias is None else d_out.sum(axis=(0, 2, 3))
        return d_x, d_kernel, d_bias

    return out, backward


def samples_at_a_time(x: np.ndarray, k: int) -> int:
    """How many samples' columns take up `cores.CACHE`; at least one."""
    _, C, H, W = x.shape
    return max(1, cores.CACHE // (C * k * k * H * W * x.itemsize))


class Lines:
    """Room for the lines of up to n samples (C, H, W), and for their columns. The zeros are written once."""

    def __init__(self, n: int, C: int, H: int, W: int, k: int, dtype: Any) -> None:
        p = k // 2
        self.H, self.W, self.k = H, W, k
        self.rows, self.row = H + p, W + p  # of a sample, and of a row, with the zeros behind
        self.front = p * self.row + p
        self.padded = np.zeros((C, self.front + n * self.rows * self.row + self.front), dtype=dtype)
        self.room = np.empty(C * k * k * n * self.rows * self.row, dtype=dtype)

    def fill(self, x: np.ndarray) -> np.ndarray:
        """The lines of x (n, C, H, W), zeros in front left out: (C, n·rows·row)."""
        n, C, H, W = x.shape
        line = self.padded[:, self.front : self.front + n * self.rows * self.row]
        channel, pixel = line.strides
        places = as_strided(line, (C, n, H, W), (channel, self.rows * self.row * pixel, self.row * pixel, pixel))
        places[...] = x.transpose(1, 0, 2, 3)
        return line

    def columns(self, x: np.ndarray) -> np.ndarray:
        """All windows of x (n, C, H, W) as columns, and some that mean nothing: (C·k², n·rows·row)."""
        k, C = self.k, x.shape[1]
        length = self.fill(x).shape[1]
        channel, pixel = self.padded.strides
        windows = as_strided(self.padded, (C, k, k, length), (channel, self.row * pixel, pixel, pixel))
        columns = self.room[: windows.size].reshape(C * k * k, length)
        columns.reshape(windows.shape)[...] = windows
        return columns

    def cut(self, lines: np.ndarray) -> np.ndarray:
        """What means something: (channels, n·rows·row) -> (n, channels, H, W)."""
        images = lines.reshape(len(lines), -1, self.rows, self.row)
        return images[:, :, : self.H, : self.W].transpose(1, 0, 2, 3)
