"""What networks are made of, as plain loops, one index at a time: the twins of `batch_norm` and those after it.

As in `loops.py`: slow, NumPy only, float64. Forward `y += a * b`; backward `d_a += d_y * b`, `d_b += d_y * a`.
"""

from collections.abc import Callable, Iterator
from math import exp, log
from typing import TypeAlias

import numpy as np

Gradients: TypeAlias = Callable[[np.ndarray], tuple[np.ndarray, ...]]


def batch_norm_loops(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float = 1e-5
) -> tuple[np.ndarray, Gradients]:
    """Batch norm in training, `cbam_np.ops.batch_norm`: forward step by step, and back through every step.

    Parameters
    ----------
    x : floats (N, C, H, W)
    gamma, beta : floats (C,)
    eps : float
    """
    N, C, H, W = x.shape
    M = N * H * W
    mu, v = np.zeros(C), np.zeros(C)
    for n, c, i, j in np.ndindex(N, C, H, W):
        mu[c] += x[n, c, i, j] / M
    for n, c, i, j in np.ndindex(N, C, H, W):
        v[c] += (x[n, c, i, j] - mu[c]) ** 2 / M
    out, x_hat = np.zeros(x.shape), np.zeros(x.shape)
    for n, c, i, j in np.ndindex(N, C, H, W):
        x_hat[n, c, i, j] = (x[n, c, i, j] - mu[c]) / (v[c] + eps) ** 0.5
        out[n, c, i, j] = gamma[c] * x_hat[n, c, i, j] + beta[c]

    def backward(d_out: np.ndarray) -> tuple[np.ndarray, ...]:
        d_x, d_gamma, d_beta = np.zeros(x.shape), np.zeros(C), np.zeros(C)
        d_mu, d_v = np.zeros(C), np.zeros(C)
        for n, c, i, j in np.ndindex(N, C, H, W):
            d_beta[c] += d_out[n, c, i, j]
            d_gamma[c] += d_out[n, c, i, j] * x_hat[n, c, i, j]
            d_x_hat = d_out[n, c, i, j] * gamma[c]
            d_x[n, c, i, j] += d_x_hat / (v[c] + eps) ** 0.5
            d_mu[c] -= d_x_hat / (v[c] + eps) ** 0.5
            d_v[c] -= d_x_hat * (x[n, c, i, j] - mu[c]) / (v[c] + eps) ** 1.5 / 2
        for n, c, i, j in np.ndindex(N, C, H, W):
            d_x[n, c, i, j] += d_v[c] * 2 * (x[n, c, i, j] - mu[c]) / M
            d_mu[c] -= d_v[c] * 2 * (x[n, c, i, j] - mu[c]) / M
        for n, c, i, j in np.ndindex(N, C, H, W):
            d_x[n, c, i, j] += d_mu[c] / M
        return d_x, d_gamma, d_beta

    return out, backward


def batch_norm_evaluation_loops(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, variance: np.ndarray, eps: float = 1e-5
) -> tuple[np.ndarray, Gradients]:
    """Batch norm in evaluation, `cbam_np.ops.batch_norm_evaluation`. `backward` returns all five gradients.

    Parameters
    ----------
    x : floats (N, C, H, W)
    gamma, beta, mean, variance : floats (C,)
    eps : float
    """
    out = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(x.shape):
        out[n, c, i, j] = gamma[c] * (x[n, c, i, j] - mean[c]) / (variance[c] + eps) ** 0.5 + beta[c]

    def backward(d_out: np.ndarray) -> tuple[np.ndarray, ...]:
        d_x = np.zeros(x.shape)
        d_gamma, d_beta, d_mean, d_variance = np.zeros((4, x.shape[1]))
        for n, c, i, j in np.ndindex(x.shape):
            d, root = d_out[n, c, i, j], (variance[c] + eps) ** 0.5
            d_x[n, c, i, j] += d * gamma[c] / root
            d_gamma[c] += d * (x[n, c, i, j] - mean[c]) / root
            d_beta[c] += d
            d_mean[c] -= d * gamma[c] / root
            d_variance[c] -= d * gamma[c] * (x[n, c, i, j] - mean[c]) / root**3 / 2
        return d_x, d_gamma, d_beta, d_mean, d_variance

    return out, backward


def max_pool2d_loops(x: np.ndarray, k: int, stride: int, padding: int = 0) -> tuple[np.ndarray, Gradients]:
    """The maximum of every window, `cbam_np.ops.max_pool2d`; of tied entries the first. What is outside x can't win.

    Parameters
    ----------
    x : floats (N, C, H, W)
    k, stride, padding : int
    """
    N, C, H_out, W_out = _size(x, k, stride, padding)
    out, winner = np.full((N, C, H_out, W_out), -np.inf), {}
    for n, c, i, j in np.ndindex(out.shape):
        for row, column in _window(x, i, j, k, stride, padding):
            if x[n, c, row, column] > out[n, c, i, j]:
                out[n, c, i, j], winner[n, c, i, j] = x[n, c, row, column], (row, column)

    def backward(d_out: np.ndarray) -> tuple[np.ndarray, ...]:
        d_x = np.zeros(x.shape)
        for n, c, i, j in np.ndindex(out.shape):
            row, column = winner[n, c, i, j]
            d_x[n, c, row, column] += d_out[n, c, i, j]
        return (d_x,)

    return out, backward


def avg_pool2d_loops(x: np.ndarray, k: int, stride: int, padding: int = 0) -> tuple[np.ndarray, Gradients]:
    """The average of every window, `cbam_np.ops.avg_pool2d`; what is outside x counts as zero.

    Parameters
    ----------
    x : floats (N, C, H, W)
    k, stride, padding : int
    """
    out = np.zeros(_size(x, k, stride, padding))
    for n, c, i, j in np.ndindex(out.shape):
        for row, column in _window(x, i, j, k, stride, padding):
            out[n, c, i, j] += x[n, c, row, column] / k**2

    def backward(d_out: np.ndarray) -> tuple[np.ndarray, ...]:
        d_x = np.zeros(x.shape)
        for n, c, i, j in np.ndindex(out.shape):
            for row, column in _window(x, i, j, k, stride, padding):
                d_x[n, c, row, column] += d_out[n, c, i, j] / k**2
        return (d_x,)

    return out, backward


def _size(x: np.ndarray, k: int, stride: int, padding: int) -> tuple[int, int, int, int]:
    N, C, H, W = x.shape
    return N, C, (H + 2 * padding - k) // stride + 1, (W + 2 * padding - k) // stride + 1


def _window(x: np.ndarray, i: int, j: int, k: int, stride: int, padding: int) -> Iterator[tuple[int, int]]:
    """The pixels of x in the window at (i,j), row by row."""
    for u, v in np.ndindex(k, k):
        row, column = stride * i + u - padding, stride * j + v - padding
        if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
            yield row, column


def add_loops(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, Gradients]:
    """The addition of a residual block, `cbam_np.ops.add`.

    Parameters
    ----------
    a, b : floats (N, C, H, W)
    """
    out = np.zeros(a.shape)
    for n, c, i, j in np.ndindex(a.shape):
        out[n, c, i, j] = a[n, c, i, j] + b[n, c, i, j]

    def backward(d_out: np.ndarray) -> tuple[np.ndarray, ...]:
        d_a, d_b = np.zeros(a.shape), np.zeros(b.shape)
        for n, c, i, j in np.ndindex(a.shape):
            d_a[n, c, i, j] += d_out[n, c, i, j]
            d_b[n, c, i, j] += d_out[n, c, i, j]
        return d_a, d_b

    return out, backward


def linear_loops(x: np.ndarray, w: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, Gradients]:
    """A linear layer, `cbam_np.ops.linear`.

    Parameters
    ----------
    x : floats (N, C)
    w : floats (O, C)
    bias : floats (O,)
    """
    (N, C), O = x.shape, len(w)
    out = np.zeros((N, O))
    for n, o in np.ndindex(N, O):
        out[n, o] += bias[o]
        for c in range(C):
            out[n, o] += w[o, c] * x[n, c]

    def backward(d_out: np.ndarray) -> tuple[np.ndarray, ...]:
        d_x, d_w, d_bias = np.zeros(x.shape), np.zeros(w.shape), np.zeros(O)
        for n, o in np.ndindex(N, O):
            d_bias[o] += d_out[n, o]
            for c in range(C):
                d_w[o, c] += d_out[n, o] * x[n, c]
                d_x[n, c] += d_out[n, o] * w[o, c]
        return d_x, d_w, d_bias

    return out, backward


def squeeze_excitation_loops(
    f: np.ndarray, w1: np.ndarray, w2: np.ndarray, b1: np.ndarray, b2: np.ndarray
) -> tuple[np.ndarray, Gradients]:
    """SE, `cbam_np.ops.squeeze_excitation` .

    Parameters
    ----------
    f : floats (N, C, H, W)
    w1 : floats (C/r, C)
    w2 : floats (C, C/r)
    b1 : floats (C/r,)
    b2 : floats (C,)
    """
    N, C, H, W = f.shape
    hidden = len(w1)
    average, z, s = np.zeros((N, C)), np.zeros((N, hidden)), np.zeros((N, C))
    for n, c, i, j in np.ndindex(N, C, H, W):
        average[n, c] += f[n, c, i, j] / (H * W)
    for n, h in np.ndindex(N, hidden):
        z[n, h] = b1[h] + sum(w1[h, c] * average[n, c] for c in range(C))
    for n, c in np.ndindex(N, C):
        s[n, c] = 1 / (1 + exp(-b2[c] - sum(w2[c, h] * max(z[n, h], 0) for h in range(hidden))))
    out = np.zeros(f.shape)
    for n, c, i, j in np.ndindex(N, C, H, W):
        out[n, c, i, j] = s[n, c] * f[n, c, i, j]

    def backward(d_out: np.ndarray) -> tuple[np.ndarray, ...]:
        d_f, d_s = np.zeros(f.shape), np.zeros((N, C))
        d_w1, d_w2, d_b1, d_b2 = np.zeros(w1.shape), np.zeros(w2.shape), np.zeros(hidden), np.zeros(C)
        d_h, d_average = np.zeros((N, hidden)), np.zeros((N, C))
        for n, c, i, j in np.ndindex(N, C, H, W):
            d_f[n, c, i, j] += d_out[n, c, i, j] * s[n, c]
            d_s[n, c] += d_out[n, c, i, j] * f[n, c, i, j]
        for n, c in np.ndindex(N, C):
            d_z2 = d_s[n, c] * s[n, c] * (1 - s[n, c])
            d_b2[c] += d_z2
            for h in range(hidden):
                d_w2[c, h] += d_z2 * max(z[n, h], 0)
                d_h[n, h] += d_z2 * w2[c, h]
        for n, h in np.ndindex(N, hidden):
            if z[n, h] > 0:
                d_b1[h] += d_h[n, h]
                for c in range(C):
                    d_w1[h, c] += d_h[n, h] * average[n, c]
                    d_average[n, c] += d_h[n, h] * w1[h, c]
        for n, c, i, j in np.ndindex(N, C, H, W):
            d_f[n, c, i, j] += d_average[n, c] / (H * W)
        return d_f, d_w1, d_w2, d_b1, d_b2

    return out, backward


def softmax_cross_entropy_loops(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, Gradients]:
    """The loss of a classifier, `cbam_np.ops.softmax_cross_entropy` .

    Parameters
    ----------
    logits, labels : floats (N, K)
    """
    N, K = logits.shape
    p, loss = np.zeros((N, K)), np.zeros(N)
    for n, k in np.ndindex(N, K):
        p[n, k] = exp(logits[n, k]) / sum(exp(logits[n, other]) for other in range(K))
        loss[n] -= labels[n, k] * log(p[n, k])

    def backward(d_out: np.ndarray) -> tuple[np.ndarray, ...]:
        d_logits, d_labels = np.zeros((N, K)), np.zeros((N, K))
        for n, k in np.ndindex(N, K):
            d_labels[n, k] -= d_out[n] * log(p[n, k])
            for other in range(K):  # log p[k] = z[k] - log Σ e^z
                d_logits[n, other] -= d_out[n] * labels[n, k] * ((k == other) - p[n, other])
        return d_logits, d_labels

    return loss, backward


def smooth_l1_loops(predictions: np.ndarray, targets: np.ndarray, beta: float = 1.0) -> tuple[np.ndarray, Gradients]:
    """The loss of boxes, `cbam_np.ops.smooth_l1`.

    Parameters
    ----------
    predictions, targets : floats of any shape, the same for both
    beta : float
    """
    loss = np.zeros(predictions.shape)
    for at in np.ndindex(predictions.shape):
        e = predictions[at] - targets[at]
        loss[at] = e**2 / (2 * beta) if -beta < e < beta else max(e, -e) - beta / 2

    def backward(d_out: np.ndarray) -> tuple[np.ndarray, ...]:
        d_predictions, d_targets = np.zeros(predictions.shape), np.zeros(targets.shape)
        for at in np.ndindex(predictions.shape):
            slope = min(max((predictions[at] - targets[at]) / beta, -1), 1)
            d_predictions[at] += d_out[at] * slope
            d_targets[at] -= d_out[at] * slope
        return d_predictions, d_targets

    return loss, backward


def binary_cross_entropy_loops(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, Gradients]:
    """The loss of masks, `cbam_np.ops.binary_cross_entropy`.

    Parameters
    ----------
    logits, targets : floats of any shape, the same for both
    """
    loss, p = np.zeros(logits.shape), np.zeros(logits.shape)
    for at in np.ndindex(logits.shape):
        p[at] = 1 / (1 + exp(-logits[at]))
        loss[at] = -targets[at] * log(p[at]) - (1 - targets[at]) * log(1 - p[at])

    def backward(d_out: np.ndarray) -> tuple[np.ndarray, ...]:
        d_logits, d_targets = np.zeros(logits.shape), np.zeros(targets.shape)
        for at in np.ndindex(logits.shape):
            d_p = d_out[at] * ((1 - targets[at]) / (1 - p[at]) - targets[at] / p[at])
            d_logits[at] += d_p * p[at] * (1 - p[at])
            d_targets[at] += d_out[at] * (log(1 - p[at]) - log(p[at]))
        return d_logits, d_targets

    return loss, backward
