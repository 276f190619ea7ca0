"""The convolution and the whole block as plain loops, one index at a time, so that you can see that they are right.

Slow on purpose, NumPy only, float64: for tests and notebooks. A sum in a formula is a `+=` in a loop. In the backward
pass the same loop runs again and sends each term's share of the gradient to the two numbers it was made of:

    forward    y += a * b
    backward   d_a += d_y * b,   d_b += d_y * a

`for n, c in np.ndindex(N, C)` is short for `for n in range(N): for c in range(C)`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np


def conv2d_loops(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None, stride: int = 1, padding: int | None = None
) -> tuple[np.ndarray, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """The convolution of formula (10), as `cbam_np.ops.conv2d`.

        out[n,o,i,j] = bias[o] + Σ_{c,u,v} kernel[o,c,u,v] · x[n, c, s·i + u - p, s·j + v - p]

    Outside x is the padding, which is zero, so those terms are left out.

    Parameters
    ----------
    x : floats (N, C, H, W)
    kernel : floats (O, C, k, k), k odd
    bias : floats (O,), optional
    stride : int
    padding : int, optional
        None means (k-1)/2.

    Returns
    -------
    out : float64 (N, O, H_out, W_out)
    backward : d_out -> d_x, d_kernel, d_bias
        d_bias also if there was no bias.
    """
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    s = stride
    p = (k - 1) // 2 if padding is None else padding
    H_out = (H + 2 * p - k) // s + 1
    W_out = (W + 2 * p - k) // s + 1

    out = np.zeros((N, O, H_out, W_out))
    for n, o, i, j in np.ndindex(N, O, H_out, W_out):
        if bias is not None:
            out[n, o, i, j] += bias[o]
        for c, u, v in np.ndindex(C, k, k):
            row, column = s * i + u - p, s * j + v - p
            if 0 <= row < H and 0 <= column < W:
                out[n, o, i, j] += kernel[o, c, u, v] * x[n, c, row, column]

    def backward(d_out: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        d_x, d_kernel, d_bias = np.zeros(x.shape), np.zeros(kernel.shape), np.zeros(O)
        for n, o, i, j in np.ndindex(N, O, H_out, W_out):
            d_bias[o] += d_out[n, o, i, j]
            for c, u, v in np.ndindex(C, k, k):
                row, column = s * i + u - p, s * j + v - p
                if 0 <= row < H and 0 <= column < W:
                    d_kernel[o, c, u, v] += d_out[n, o, i, j] * x[n, c, row, column]
                    d_x[n, c, row, column] += d_out[n, o, i, j] * kernel[o, c, u, v]
        return d_x, d_kernel, d_bias

    return out, backward


def cbam_loops(
    f: np.ndarray, params: dict[str, np.ndarray]
) -> tuple[np.ndarray, Callable[[np.ndarray], tuple[np.ndarray, dict[str, np.ndarray]]]]:
    """Formulas (1) to (11), as `cbam_np.cbam` without biases; a tied maximum belongs to its first entry.

    Parameters
    ----------
    f : floats (N, C, H, W)
    params : dict of floats
        "channel.w1" (C/r, C), "channel.w2" (C, C/r), "spatial.kernel" (1, 2, k, k).

    Returns
    -------
    f2 : float64 (N, C, H, W)
    backward : d_f2 -> d_f, grads
        grads is a dict of the parameters' gradients.
    """
    w1, w2, kernel = params["channel.w1"], params["channel.w2"], params["spatial.kernel"]
    N, C, H, W = f.shape
    hidden = w1.shape[0]

    # (3), (4): the average and the maximum of every channel
    avg_c, max_c, argmax_c = np.zeros((N, C)), np.full((N, C), -np.inf), {}
    for n, c, i, j in np.ndindex(N, C, H, W):
        avg_c[n, c] += f[n, c, i, j] / (H * W)
        if f[n, c, i, j] > max_c[n, c]:
            max_c[n, c], argmax_c[n, c] = f[n, c, i, j], (i, j)

    # (5): the hidden layer of the shared MLP, for both vectors
    h_avg, h_max = np.zeros((N, hidden)), np.zeros((N, hidden))
    for n, h in np.ndindex(N, hidden):
        for c in range(C):
            h_avg[n, h] += w1[h, c] * avg_c[n, c]
            h_max[n, h] += w1[h, c] * max_c[n, c]
        h_avg[n, h] = _relu(h_avg[n, h])
        h_max[n, h] = _relu(h_max[n, h])

    # (5), (6): its second layer, and the sum of both results in the sigmoid
    z_c, m_c = np.zeros((N, C)), np.zeros((N, C))
    for n, c in np.ndindex(N, C):
        for h in range(hidden):
            z_c[n, c] += w2[c, h] * h_avg[n, h] + w2[c, h] * h_max[n, h]
        m_c[n, c] = _sigmoid(z_c[n, c])

    # (1), (7): every channel times its gate
    f1 = np.zeros((N, C, H, W))
    for n, c, i, j in np.ndindex(N, C, H, W):
        f1[n, c, i, j] = m_c[n, c] * f[n, c, i, j]

    # (8), (9): the average and the maximum at every pixel; pooled is [avg_s; max_s]
    avg_s, max_s, argmax_s = np.zeros((N, H, W)), np.full((N, H, W), -np.inf), {}
    for n, k, i, j in np.ndindex(N, C, H, W):
        avg_s[n, i, j] += f1[n, k, i, j] / C
        if f1[n, k, i, j] > max_s[n, i, j]:
            max_s[n, i, j], argmax_s[n, i, j] = f1[n, k, i, j], k
    pooled = np.stack([avg_s, max_s], axis=1)

    # (10): the convolution of both, and the sigmoid
    z_s, conv_backward = conv2d_loops(pooled, kernel)
    m_s = np.zeros((N, H, W))
    for n, i, j in np.ndindex(N, H, W):
        m_s[n, i, j] = _sigmoid(z_s[n, 0, i, j])

    # (2), (11): every pixel times its gate
    f2 = np.zeros((N, C, H, W))
    for n, c, i, j in np.ndindex(N, C, H, W):
        f2[n, c, i, j] = m_s[n, i, j] * f1[n, c, i, j]

    def backward(d_f2: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        d_f, d_f1 = np.zeros(f.shape), np.zeros(f.shape)
        d_w1, d_w2 = np.zeros(w1.shape), np.zeros(w2.shape)

        # (11): to the gate of the pixel, and to the feature
        d_m_s = np.zeros((N, H, W))
        for n, c, i, j in np.ndindex(N, C, H, W):
            d_m_s[n, i, j] += d_f2[n, c, i, j] * f1[n, c, i, j]
            d_f1[n, c, i, j] += d_f2[n, c, i, j] * m_s[n, i, j]

        # (10): σ′ = σ(1 - σ), then the convolution
        d_z_s = np.zeros((N, 1, H, W))
        for n, i, j in np.ndindex(N, H, W):
            d_z_s[n, 0, i, j] = d_m_s[n, i, j] * m_s[n, i, j] * (1 - m_s[n, i, j])
        d_pooled, d_kernel, _ = conv_backward(d_z_s)

        # (8): an equal share to every channel, (9): all to the largest
        for n, i, j in np.ndindex(N, H, W):
            for k in range(C):
                d_f1[n, k, i, j] += d_pooled[n, 0, i, j] / C
            d_f1[n, argmax_s[n, i, j], i, j] += d_pooled[n, 1, i, j]

        # (7): to the gate of the channel, and to the feature
        d_m_c = np.zeros((N, C))
        for n, c, i, j in np.ndindex(N, C, H, W):
            d_m_c[n, c] += d_f1[n, c, i, j] * f[n, c, i, j]
            d_f[n, c, i, j] += d_f1[n, c, i, j] * m_c[n, c]

        # (6): σ′ = σ(1 - σ); (5): the second layer
        d_h = np.zeros((N, hidden))
        for n, c, h in np.ndindex(N, C, hidden):
            d_z_c = d_m_c[n, c] * m_c[n, c] * (1 - m_c[n, c])
            d_w2[c, h] += d_z_c * h_avg[n, h] + d_z_c * h_max[n, h]
            d_h[n, h] += d_z_c * w2[c, h]

        # (5): the ReLU lets through where it was positive, then the first layer
        d_avg_c, d_max_c = np.zeros((N, C)), np.zeros((N, C))
        for n, h, c in np.ndindex(N, hidden, C):
            if h_avg[n, h] > 0:
                d_w1[h, c] += d_h[n, h] * avg_c[n, c]
                d_avg_c[n, c] += d_h[n, h] * w1[h, c]
            if h_max[n, h] > 0:
                d_w1[h, c] += d_h[n, h] * max_c[n, c]
                d_max_c[n, c] += d_h[n, h] * w1[h, c]

        # (3): an equal share to every pixel, (4): all to the largest
        for n, c in np.ndindex(N, C):
            for i, j in np.ndindex(H, W):
                d_f[n, c, i, j] += d_avg_c[n, c] / (H * W)
            i, j = argmax_c[n, c]
            d_f[n, c, i, j] += d_max_c[n, c]

        return d_f, {"channel.w1": d_w1, "channel.w2": d_w2, "spatial.kernel": d_kernel}

    return f2, backward


def _relu(z: Any) -> Any:
    return z if z > 0 else 0.0


def _sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))
