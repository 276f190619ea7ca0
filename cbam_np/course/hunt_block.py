"""The whole block in one short file of plain NumPy, for the bug hunt of chapter 9: right here, broken in `hunt`.

It has the symbols and the protocol of the course: out, backward = cbam(f, w1, w2, kernel).
"""

import numpy as np

from cbam_np.arrays import Array, Backward


def relu(z: Array) -> tuple[Array, Backward]:
    """z if z > 0, else 0."""
    h = np.where(z.real > 0, z, 0)

    def backward(d_h: Array) -> Array:
        return d_h * (h > 0)

    return h, backward


def sigmoid(x: Array) -> tuple[Array, Backward]:
    """One gate in (0, 1) for each entry."""
    m = 1 / (1 + np.exp(-x))

    def backward(d_m: Array) -> Array:
        return d_m * m * (1 - m)

    return m, backward


def mlp(x: Array, w1: Array, w2: Array) -> tuple[Array, Backward]:
    """(5): x (N, C) -> (N, C)."""
    h, relu_backward = relu(x @ w1.T)

    def backward(d_out: Array) -> tuple[Array, Array, Array]:
        d_z = relu_backward(d_out @ w2)
        return d_z @ w1, d_z.T @ x, d_out.T @ h

    return h @ w2.T, backward


def average(x: Array, axis: int) -> tuple[Array, Backward]:
    """(3), (8): the average along one axis, which is kept with length 1."""

    def backward(d_avg: Array) -> Array:
        return np.broadcast_to(d_avg / x.shape[axis], x.shape)

    return x.mean(axis=axis, keepdims=True), backward


def maximum(x: Array, axis: int) -> tuple[Array, Backward]:
    """(4), (9): the maximum along one axis, which is kept with length 1."""
    largest = x.max(axis=axis, keepdims=True)
    winner = x.real.argmax(axis=axis, keepdims=True)

    def backward(d_max: Array) -> Array:
        d_x = np.zeros(x.shape)
        np.put_along_axis(d_x, winner, d_max, axis)
        return d_x

    return largest, backward


def conv2d(x: Array, kernel: Array) -> tuple[Array, Backward]:
    """(10): x (N, 2, H, W), kernel (1, 2, k, k), zeros around x -> (N, 1, H, W)."""
    N, _, H, W = x.shape
    k = kernel.shape[-1]
    p = k // 2
    x_pad = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    out = np.zeros((N, 1, H, W), dtype=x.dtype)
    for a, b in np.ndindex(k, k):
        out += np.sum(kernel[:, :, a, b, None, None] * x_pad[:, :, a : a + H, b : b + W], axis=1, keepdims=True)

    def backward(d_out: Array) -> tuple[Array, Array]:
        d_x_pad, d_kernel = np.zeros(x_pad.shape), np.zeros(kernel.shape)
        for a, b in np.ndindex(k, k):
            d_x_pad[:, :, a : a + H, b : b + W] += kernel[:, :, a, b, None, None] * d_out
            d_kernel[0, :, a, b] = np.sum(d_out * x_pad[:, :, a : a + H, b : b + W], axis=(0, 2, 3))
        return d_x_pad[:, :, p : p + H, p : p + W], d_kernel

    return out, backward


def channel_map(f: Array, w1: Array, w2: Array) -> tuple[Array, Backward]:
    """(6): f (N, C, H, W) -> m_c (N, C, 1, 1)."""
    N, C, H, W = f.shape
    pixels = f.reshape(N, C, H * W)
    avg_c, average_backward = average(pixels, axis=2)
    max_c, maximum_backward = maximum(pixels, axis=2)
    s_avg, mlp_avg_backward = mlp(avg_c[:, :, 0], w1, w2)
    s_max, mlp_max_backward = mlp(max_c[:, :, 0], w1, w2)
    m_c, sigmoid_backward = sigmoid(s_avg + s_max)

    def backward(d_m_c: Array) -> tuple[Array, Array, Array]:
        d_s = sigmoid_backward(d_m_c[:, :, 0, 0])
        d_avg_c, d_w1_avg, d_w2_avg = mlp_avg_backward(d_s)
        d_max_c, d_w1_max, d_w2_max = mlp_max_backward(d_s)
        d_pixels = average_backward(d_avg_c[:, :, None]) + maximum_backward(d_max_c[:, :, None])
        return d_pixels.reshape(f.shape), d_w1_avg + d_w1_max, d_w2_avg + d_w2_max

    return m_c[:, :, None, None], backward


def spatial_map(f1: Array, kernel: Array) -> tuple[Array, Backward]:
    """(10): f1 (N, C, H, W) -> m_s (N, 1, H, W)."""
    maps, ways_back = [], []
    for pool in (average, maximum):
        pooled, pool_backward = pool(f1, axis=1)
        maps.append(pooled)
        ways_back.append(pool_backward)
    u, conv2d_backward = conv2d(np.concatenate(maps, axis=1), kernel)
    m_s, sigmoid_backward = sigmoid(u)

    def backward(d_m_s: Array) -> tuple[Array, Array]:
        d_maps, d_kernel = conv2d_backward(sigmoid_backward(d_m_s))
        first, second = ways_back
        return first(d_maps[:, :1]) + second(d_maps[:, 1:]), d_kernel

    return m_s, backward


def cbam(f: Array, w1: Array, w2: Array, kernel: Array) -> tuple[Array, Backward]:
    """(1), (2): f (N, C, H, W) -> f2, same shape."""
    m_c, channel_map_backward = channel_map(f, w1, w2)
    f1 = m_c * f
    m_s, spatial_map_backward = spatial_map(f1, kernel)
    f2 = m_s * f1

    def backward(d_f2: Array) -> tuple[Array, Array, Array, Array]:
        d_m_s = np.sum(d_f2 * f1, axis=1, keepdims=True)
        d_f1_map, d_kernel = spatial_map_backward(d_m_s)
        d_f1 = m_s * d_f2 + d_f1_map
        d_m_c = np.sum(d_f1 * f, axis=(2, 3), keepdims=True)
        d_f_map, d_w1, d_w2 = channel_map_backward(d_m_c)
        return m_c * d_f1 + d_f_map, d_w1, d_w2, d_kernel

    return f2, backward
