"""The convolution of `ops.conv2d` once more, on NumPy and several times as fast.

`ops.conv2d` makes the columns of a whole batch, k² times as many numbers as x has, far more than a processor's cache
holds: most of its time goes into moving them to memory and back. The same sums can be had faster.

Lines. A few samples at a time are laid out so that the pixels of one channel lie in one line, sample after sample, row
after row, with p = (k-1)/2 zeros behind each row, and p rows of zeros behind each sample:

    line[c] = 0 … 0 | x[0,c,0,:] 0 … 0 | x[0,c,1,:] 0 … 0 | … | 0 … 0 | x[1,c,0,:] 0 … 0 | …

The zeros behind a row are also those in front of the next. So the window at (u,v) sees the line moved by u - p rows and
v - p pixels. What comes out where the zeros are means nothing, and is left out.

Columns in one direction. The line moved by v - p pixels is copied, for each v: k times as many numbers, not k². Moving
by rows waits until after the matrix product, where it is an addition of lines that start at different places:

    z[u,o] = Σ_{c,v} kernel[o,c,u,v] · (line[c] moved by v - p pixels)
    out[o] = Σ_u (z[u,o] moved by u - p rows)

Stride. The taps u, u + s, u + 2s, … of the kernel see only every s-th row of x, those from (u-p) mod s on. So a
convolution of stride s is one of stride 1 over several images, each with every s-th row and every s-th pixel of x, one
for each of the first min(k,s) taps in each direction:

    image[n, (u,v,c), i, j] = x[n, c, s·i + (u-p) mod s, s·j + (v-p) mod s]

There tap u of the kernel sees row i + ⌊(u-p)/s⌋. These are q rows, from `before` = ⌈p/s⌉ rows before i to `after` =
⌊p/s⌋ rows after it. At stride 1 the only image is x itself, and q is k.

Backward. The gradient of the images is a convolution of d_out with the kernel flipped, as in `ops.conv2d`. Its columns
serve d_kernel too, for moving d_out against an image gives the same sums as moving the image against d_out:

    d_kernel[o,c,u,v] = Σ_{n,i,j} d_out[n,o,i,j] · image[n, c, i + u - before, j + v - before]
                      = Σ_{n,i,j} d_out[n, o, i + before - u, j + before - v] · image[n,c,i,j]

There d_out is seen through the window at (q-1-u, q-1-v).
"""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cbam_np.nets import cores


def conv2d_in_lines(
    x: np.ndarray, kernel: np.ndarray, stride: int, out: np.ndarray
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """`ops.conv2d` with padding (k-1)/2 and without bias, on one core; see the top of the file.

    What comes out for each sample is written into arrays of the caller, so that several cores can fill one array.

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
    N, O, H, W = out.shape
    C, k = kernel.shape[1:3]
    images = images_of(k, stride)
    before, after = -(-(k // 2) // stride), k // 2 // stride
    q = before + 1 + after

    blocks = np.zeros((O, len(images), C, q, q), dtype=x.dtype)  # what the kernel is to the images
    for i, image in enumerate(images):
        blocks[:, i][image.places] = kernel[image.taps]
    channels = len(images) * C
    n = samples_at_a_time(q * (channels + O) * (H + before) * (W + before) * x.itemsize)
    pieces = [slice(first, min(first + n, N)) for first in range(0, N, n)]

    lines = Lines(min(n, N), channels, H, W, before, after, x.dtype)
    K = blocks.transpose(3, 0, 1, 2, 4).reshape(q * O, channels * q)
    for piece in pieces:
        columns = lines.columns([x[piece][image.pixels] for image in images])
        lines.cut(lines.add_rows(K @ columns), [out[piece]])

    def backward(d_out: np.ndarray, d_x: np.ndarray) -> np.ndarray:
        lines = Lines(min(n, N), channels, H, W, before, after, x.dtype)
        d_lines = Lines(min(n, N), O, H, W, after, before, x.dtype)
        flipped = blocks[..., ::-1, ::-1].transpose(3, 1, 2, 0, 4).reshape(q * channels, O * q)
        d_K = np.zeros((q, O * q, channels), dtype=x.dtype)
        if stride > k:
            d_x[...] = 0  # for there are pixels that no window sees
        for piece in pieces:
            d_columns = d_lines.columns([d_out[piece]])
            d_lines.cut(d_lines.add_rows(flipped @ d_columns), [d_x[piece][image.pixels] for image in images])
            line = lines.fill([x[piece][image.pixels] for image in images])
            for u in range(q):
                d_K[u] += d_lines.moved(d_columns, u) @ line.T

        d_blocks = d_K.reshape(q, O, q, len(images), C)[::-1, :, ::-1].transpose(1, 3, 4, 0, 2)
        d_kernel = np.empty_like(kernel)
        for i, image in enumerate(images):
            d_kernel[image.taps] = d_blocks[:, i][image.places]
        return d_kernel

    return backward


def samples_at_a_time(size: int) -> int:
    """How many samples take up `cores.CACHE`, if one of them takes up so many bytes; at least one."""
    return max(1, cores.CACHE // max(size, 1))


class Image(NamedTuple):
    """One of the images that a convolution with stride sees."""

    pixels: Any  # its entries in x
    taps: Any  # those of the kernel that see it
    places: Any  # where these stand in its own q×q kernel


def images_of(k: int, s: int) -> list[Image]:
    """One image for each of the first taps (u,v); the others that see it are s further, 2s further, …"""
    p = k // 2
    pixels = [slice((u - p) % s, None, s) for u in range(min(k, s))]
    taps = [slice(u, None, s) for u in range(min(k, s))]
    first = [-(-p // s) + (u - p) // s for u in range(min(k, s))]
    places = [slice(f, f + len(range(u, k, s))) for u, f in enumerate(first)]
    pairs = product(range(min(k, s)), repeat=2)
    return [Image(*((..., way[u], way[v]) for way in (pixels, taps, places))) for u, v in pairs]


class Lines:
    """Room for the lines of up to n samples (C, H, W), and for their columns. The zeros are written once.

    A window sees `before` rows and pixels before its own, and `after` after it.
    """

    def __init__(self, n: int, C: int, H: int, W: int, before: int, after: int, dtype: Any) -> None:
        zeros = max(before, after)
        self.H, self.W, self.q = H, W, before + 1 + after
        self.rows, self.row = H + zeros, W + zeros  # of a sample, and of a row, with the zeros behind
        front, length, back = before * (self.row + 1), n * self.rows * self.row, after * (self.row + 1)
        padded = np.zeros((C, front + length + back), dtype=dtype)
        self.line = padded[:, front : front + length]
        channel, pixel = padded.strides
        self.windows = as_strided(padded, (C, self.q, length + (self.q - 1) * self.row), (channel, pixel, pixel))
        self.room = np.empty(self.windows.size, dtype=dtype)

    def fill(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """The lines of all images (n, channels, h, w), without the zeros in front and at the end: (C, n·rows·row)."""
        places = self.line.reshape(len(images), len(self.line) // len(images), -1, self.rows, self.row)
        for place, image in zip(places, images, strict=True):
            n, _, h, w = image.shape
            place[:, :n, :h, :w] = image.transpose(1, 0, 2, 3)
        return self.line[:, : len(images[0]) * self.rows * self.row]

    def columns(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """The lines moved by each number of pixels, q - 1 rows longer: (C·q, n·rows·row + …)."""
        windows = self.windows[:, :, : self.fill(images).shape[1] + (self.q - 1) * self.row]
        columns = self.room[: windows.size].reshape(-1, windows.shape[2])
        columns.reshape(windows.shape)[...] = windows
        return columns

    def moved(self, lines: np.ndarray, u: int) -> np.ndarray:
        """Lines that are q - 1 rows longer, as seen u rows further: (..., n·rows·row)."""
        return lines[..., u * self.row : lines.shape[-1] - (self.q - 1 - u) * self.row]

    def add_rows(self, z: np.ndarray) -> np.ndarray:
        """Σ_u z[u] moved by u rows: (q·channels, n·rows·row + …) -> (channels, n·rows·row). Written over z[0]."""
        z = z.reshape(self.q, -1, z.shape[1])
        out = self.moved(z[0], 0)
        for u in range(1, self.q):
            out += self.moved(z[u], u)
        return out

    def cut(self, lines: np.ndarray, images: Sequence[np.ndarray]) -> None:
        """Write what means something into the images (n, channels, h, w), one after the other."""
        places = lines.reshape(len(images), len(lines) // len(images), -1, self.rows, self.row)
        for place, image in zip(places, images, strict=True):
            image[...] = place[:, :, : image.shape[2], : image.shape[3]].transpose(1, 0, 2, 3)
