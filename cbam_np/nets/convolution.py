"""The convolution of `ops.conv2d` once more, on NumPy and several times as fast.

`ops.conv2d` makes the columns of a whole batch, k² times as many numbers as x has, far more than a processor's cache
holds: most of its time goes into moving them to memory and back. `conv2d_in_pieces` calls it with a few samples at a
time. At stride 1 the same sums can be had with fewer columns, in `conv2d_in_lines`.

Lines. A few samples are laid out so that the pixels of one channel lie in one line, sample after sample, row after
row, with p = (k-1)/2 zeros behind each row, and p rows of zeros behind each sample:

    line[c] = 0 … 0 | x[0,c,0,:] 0 … 0 | x[0,c,1,:] 0 … 0 | … | 0 … 0 | x[1,c,0,:] 0 … 0 | …

The zeros behind a row are also those in front of the next. So the window at (u,v) sees the line moved by u - p rows and
v - p pixels. What comes out where the zeros are means nothing, and is left out.

Columns in one direction. The line moved by v - p pixels is copied, for each v: k times as many numbers, not k². Moving
by rows waits until after the matrix product, where it is an addition of lines that start at different places:

    z[u,o] = Σ_{c,v} kernel[o,c,u,v] · (line[c] moved by v - p pixels)
    out[o] = Σ_u (z[u,o] moved by u - p rows)

Backward. d_x is a convolution of d_out with the flipped kernel, as in `ops.conv2d`. Its columns serve d_kernel too, for
moving d_out against x gives the same sums as moving x against d_out:

    d_kernel[o,c,u,v] = Σ_{n,i,j} d_out[n,o,i,j] · x[n, c, i + u - p, j + v - p]
                      = Σ_{n,i,j} d_out[n, o, i + p - u, j + p - v] · x[n,c,i,j]

There d_out is seen through the window at (k-1-u, k-1-v).
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cbam_np import ops
from cbam_np.nets import cores

ShareBackward: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]  # d_out, d_x -> d_kernel; d_x is written to


def conv2d_in_pieces(x: np.ndarray, kernel: np.ndarray, stride: int, out: np.ndarray) -> ShareBackward:
    """`ops.conv2d` with padding (k-1)/2 and without bias, a few samples at a time, on one core.

    What comes out for each sample is written into arrays of the caller: so several cores can fill one array.

    Parameters
    ----------
    x : float32 or float64 NumPy array (N, C, H, W)
    kernel : same dtype, (O, C, k, k), k odd
    stride : int
    out : same dtype, (N, O, ⌈H/stride⌉, ⌈W/stride⌉)
        Is written to.

    Returns
    -------
    backward : d_out, d_x -> d_kernel
        d_x, same shape as x, is written to.
    """
    pieces = cores.pieces(slice(0, len(x)), size=kernel[0].size * out[0, 0].nbytes)  # of the columns
    backwards = []
    for piece in pieces:
        out[piece], conv_backward = ops.conv2d(x[piece], kernel, stride=stride)
        backwards.append(conv_backward)

    def backward(d_out: np.ndarray, d_x: np.ndarray) -> np.ndarray:
        d_kernel = np.zeros_like(kernel)
        for piece, conv_backward in zip(pieces, backwards, strict=True):
            d_x[piece], d_kernel_piece, _ = conv_backward(d_out[piece])
            d_kernel += d_kernel_piece
        return d_kernel

    return backward


def conv2d_in_lines(x: np.ndarray, kernel: np.ndarray, out: np.ndarray) -> ShareBackward:
    """`conv2d_in_pieces` at stride 1, in lines; see the top of the file.

    Parameters
    ----------
    x, kernel, out
        As in `conv2d_in_pieces`.

    Returns
    -------
    backward : as in `conv2d_in_pieces`
    """
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    rows, row = H + k // 2, W + k // 2
    size = (C + O) * k * rows * row * x.itemsize  # the columns, and what comes out of them
    pieces = cores.pieces(slice(0, N), size, least=cores.COLUMNS // (rows * row))
    n = len(x[pieces[0]])

    lines = Lines(n, C, H, W, k, x.dtype)
    K = kernel.transpose(2, 0, 3, 1).reshape(k * O, k * C)
    for piece in pieces:
        out[piece] = lines.cut(lines.add_rows(K @ lines.columns(x[piece])))

    def backward(d_out: np.ndarray, d_x: np.ndarray) -> np.ndarray:
        lines, d_lines = Lines(n, C, H, W, k, x.dtype), Lines(n, O, H, W, k, x.dtype)
        flipped = kernel[:, :, ::-1, ::-1].transpose(2, 1, 3, 0).reshape(k * C, k * O)
        d_K = np.zeros((k, k * O, C), dtype=x.dtype)
        for piece in pieces:
            d_columns = d_lines.columns(d_out[piece])
            d_x[piece] = d_lines.cut(d_lines.add_rows(flipped @ d_columns))
            line = lines.fill(x[piece])
            for u in range(k):
                d_K[u] += d_lines.moved(d_columns, u) @ line.T
        return d_K.reshape(k, k, O, C)[::-1, ::-1].transpose(2, 3, 0, 1)

    return backward


class Lines:
    """Room for the lines of up to n samples (C, H, W), and for their columns. The zeros are written once."""

    def __init__(self, n: int, C: int, H: int, W: int, k: int, dtype: Any) -> None:
        p = k // 2
        self.H, self.W, self.k = H, W, k
        self.rows, self.row = H + p, W + p  # of a sample, and of a row, with the zeros behind
        front, length = p * (self.row + 1), n * self.rows * self.row
        padded = np.zeros((C, front + length + front), dtype=dtype)
        self.line = padded[:, front : front + length]
        channel, pixel = padded.strides
        self.windows = as_strided(padded, (k, C, length + (k - 1) * self.row), (pixel, channel, pixel))
        self.room = np.empty(self.windows.size, dtype=dtype)

    def fill(self, x: np.ndarray) -> np.ndarray:
        """The lines of x (n, C, H, W), without the zeros in front: (C, n·rows·row)."""
        n, C, H, W = x.shape
        self.line.reshape(C, -1, self.rows, self.row)[:, :n, :H, :W] = x.transpose(1, 0, 2, 3)
        return self.line[:, : n * self.rows * self.row]

    def columns(self, x: np.ndarray) -> np.ndarray:
        """The lines of x (n, C, H, W) moved by each number of pixels, k-1 rows longer: (k·C, n·rows·row + …)."""
        windows = self.windows[:, :, : self.fill(x).shape[1] + (self.k - 1) * self.row]
        columns = self.room[: windows.size].reshape(-1, windows.shape[2])
        columns.reshape(windows.shape)[...] = windows
        return columns

    def moved(self, lines: np.ndarray, u: int) -> np.ndarray:
        """Lines that are k-1 rows longer, from row u on: (channels, n·rows·row)."""
        return lines[:, u * self.row : lines.shape[1] - (self.k - 1 - u) * self.row]

    def add_rows(self, z: np.ndarray) -> np.ndarray:
        """Σ_u z[u] moved by u rows: (k·channels, n·rows·row + …) -> (channels, n·rows·row). Written over z[0]."""
        z = z.reshape(self.k, -1, z.shape[1])
        out = self.moved(z[0], 0)
        for u in range(1, self.k):
            out += self.moved(z[u], u)
        return out

    def cut(self, lines: np.ndarray) -> np.ndarray:
        """What means something: (channels, n·rows·row) -> (n, channels, H, W)."""
        images = lines.reshape(len(lines), -1, self.rows, self.row)
        return images[:, :, : self.H, : self.W].transpose(1, 0, 2, 3)
