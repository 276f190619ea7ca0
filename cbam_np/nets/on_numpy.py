"""Where training on NumPy spends its time, faster: `ops.conv2d`, `ops.batch_norm`, `ops.relu`, `ops.add` once more.

They give the same numbers up to rounding, and take arrays of any library; what isn't float32 or float64 on NumPy goes
to the readable operation. Most of the time of those is spent writing every step down for a whole batch, and reading it
again. Here a few samples go through all steps at a time, on each core, and stay in its cache.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
from array_api_compat import is_numpy_array

from cbam_np import ops
from cbam_np.arrays import Array, Backward, Params
from cbam_np.nets import cores
from cbam_np.nets.convolution import conv2d_in_lines, conv2d_in_pieces
from cbam_np.nets.cores import side_by_side

R = TypeVar("R")


def conv2d(x: Array, kernel: Array, bias: Array | None, stride: int) -> tuple[Array, Backward]:
    """`ops.conv2d` with padding (k-1)/2, for arrays of any library; on NumPy in float32 and float64 the faster way.

    Parameters
    ----------
    x : floats (N, C, H, W)
    kernel : floats (O, C, k, k), k odd
    bias : floats (O,), or None
    stride : int
    """
    if not _is_ours(x) or not x.size:
        return ops.conv2d(x, kernel, bias, stride)
    N, _, H, W = x.shape
    out = np.empty((N, len(kernel), -(-H // stride), -(-W // stride)), dtype=x.dtype)
    parts = cores.shares(N)
    one = conv2d_in_lines if stride == 1 else partial(conv2d_in_pieces, stride=stride)
    backwards = side_by_side(lambda part: one(x[part], kernel, out=out[part]), parts)
    if bias is not None:
        out += bias[:, None, None]

    def backward(d_out: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        d_x = np.empty(x.shape, dtype=x.dtype)
        d_kernels = side_by_side(lambda i: backwards[i](d_out[parts[i]], d_x[parts[i]]), range(len(parts)))
        return d_x, np.add.reduce(d_kernels), None if bias is None else d_out.sum(axis=(0, 2, 3))

    return out, backward


def relu(z: Array) -> tuple[Array, Backward]:
    """`ops.relu`, for arrays of any library; on NumPy in float32 and float64 without `where`.

    A processor guesses which way a `where` goes. Here it guesses wrong every second time, and waits.

    Parameters
    ----------
    z : floats of any shape
    """
    if not _is_ours(z) or not z.ndim:
        return ops.relu(z)
    out = np.empty(z.shape, dtype=z.dtype)
    on_each_piece(lambda piece: np.maximum(z[piece], 0, out=out[piece]), z)

    def backward(d_out: np.ndarray) -> np.ndarray:
        d_z = np.empty(z.shape, dtype=z.dtype)
        on_each_piece(lambda piece: np.multiply(d_out[piece], ~(out[piece] <= 0), out=d_z[piece]), z)
        return d_z

    return out, backward


def add(f: Array, s: Array) -> tuple[Array, Backward]:
    """`ops.add`, for arrays of any library; on NumPy in float32 and float64 on all cores.

    Parameters
    ----------
    f, s : floats (N, ...), the same shape for both
    """
    if not (_is_ours(f) and _is_ours(s)) or f.shape != s.shape:
        return ops.add(f, s)
    z = np.empty(f.shape, dtype=f.dtype)
    on_each_piece(lambda piece: np.add(f[piece], s[piece], out=z[piece]), z)
    return z, lambda d_out: (d_out, d_out)


def batch_norm(x: Array, gamma: Array, beta: Array, statistics: Params) -> tuple[Array, Backward]:
    """`ops.batch_norm` with ε = 1e-5, for arrays of any library; on NumPy in float32 and float64 the faster way.

    Parameters
    ----------
    x : floats (N, C, H, W)
    gamma, beta : floats (C,)
    statistics : dict
        As in `ops.batch_norm`.
    """
    if not _is_ours(x) or not x.size:
        return ops.batch_norm(x, gamma, beta, statistics=statistics)
    return batch_norm_in_pieces(x, gamma, beta, statistics=statistics)


def _is_ours(x: Array) -> bool:
    return is_numpy_array(x) and x.dtype in (np.float32, np.float64)


# Batch norm


def batch_norm_in_pieces(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float = 1e-5, statistics: Params | None = None
) -> tuple[np.ndarray, Backward]:
    """`ops.batch_norm`, a few samples at a time, so that what lies between x and out never leaves the cache.

    x is read once for μ and v. Each piece of the batch has its own mean and variance, and with share = (samples in it)
    / N the batch has

        μ = Σ_piece share · mean          v = Σ_piece share · (variance + (mean - μ)²)

    x̂ is not kept: backward makes it once more of x. Its d_x is written as

        d_x = γ s d_out - γ s² d_γ/M (x - μ) - γ s d_β/M        with one factor for each channel in each term

    Arguments and results as those of `ops.batch_norm`; there must be a sample.
    """
    N, _, H, W = x.shape
    M = N * H * W

    def moments(piece: slice) -> tuple[float, np.ndarray, np.ndarray]:
        share = (piece.stop - piece.start) / N
        mean = np.einsum("nchw->c", x[piece]) / (share * M)
        centred = x[piece] - mean[:, None, None]
        return share, mean, np.einsum("nchw,nchw->c", centred, centred) / (share * M)

    share, mean, variance = map(np.array, zip(*on_each_piece(moments, x), strict=True))
    share = share.astype(x.dtype)
    mu = share @ mean
    v = share @ (variance + (mean - mu) ** 2)
    s = 1 / np.sqrt(v + x.dtype.type(eps))

    out = np.empty(x.shape, dtype=x.dtype)

    def normalise(piece: slice) -> None:
        np.subtract(x[piece], mu[:, None, None], out=out[piece])
        out[piece] *= (s * gamma)[:, None, None]
        out[piece] += beta[:, None, None]

    on_each_piece(normalise, x)
    if statistics is not None:
        statistics["mean"], statistics["variance"] = mu, v

    def backward(d_out: np.ndarray) -> tuple[np.ndarray, ...]:
        def both_sums(piece: slice) -> tuple[np.ndarray, np.ndarray]:
            centred = x[piece] - mu[:, None, None]
            return np.einsum("nchw->c", d_out[piece]), np.einsum("nchw,nchw->c", d_out[piece], centred)

        d_beta, d_gamma = np.add.reduce(on_each_piece(both_sums, x))
        d_gamma *= s
        of_d_out, of_centred, alone = ((gamma * s * f)[:, None, None] for f in (1, -s * d_gamma / M, -d_beta / M))
        d_x = np.empty(x.shape, dtype=x.dtype)

        def send_back(piece: slice) -> None:
            np.subtract(x[piece], mu[:, None, None], out=d_x[piece])
            d_x[piece] *= of_centred
            d_x[piece] += alone
            d_x[piece] += d_out[piece] * of_d_out

        on_each_piece(send_back, x)
        return d_x, d_gamma, d_beta

    return out, backward


# Pieces


def on_each_piece(work: Callable[[slice], R], x: np.ndarray) -> list[R]:
    """work(piece) for all pieces of the samples of x, on all cores; or on one, if they are a single piece."""
    size = 4 * x[:1].nbytes  # for x, what comes of it, and what lies between
    parts = cores.shares(len(x)) if len(x) * size > cores.CACHE else [slice(0, len(x))]
    done = side_by_side(lambda part: [work(piece) for piece in cores.pieces(part, size)], parts)
    return [result for of_part in done for result in of_part]
