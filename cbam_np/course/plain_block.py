"""The whole block in one short file of plain NumPy, for chapter 10: right as it stands here, broken in `bugs`.

The symbols are those of the package. A map is computed in a loop over its two poolings: what a loop adds up going
forward it sends back one by one.
"""

import numpy as np

from cbam_np.arrays import Array, Backward, Params


def relu(z: Array) -> tuple[Array, Backward]:
    """z if z > 0, else 0."""
    h = np.where(z.real > 0, z, 0)

    def backward(d_h: Array) -> Array:
        return d_h * (h > 0)

    return h, backward


def sigmoid(z: Array) -> tuple[Array, Backward]:
    """One gate in (0, 1) for each entry."""
    m = 1 / (1 + np.exp(-z))

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
    """(4), (9): the maximum along one axis, which is kept with length 1; a tie belongs to its first entry."""
    largest = x.max(axis=axis, keepdims=True)
    place = x.real.argmax(axis=axis, keepdims=True)

    def backward(d_max: Array) -> Array:
        d_x = np.zeros(x.shape)
        np.put_along_axis(d_x, place, d_max, axis)
        return d_x

    return largest, backward


def convolution(x: Array, kernel: Array) -> tuple[Array, Backward]:
    """(10): x (N, 2, H, W), kernel (1, 2, k, k), zeros around x -> (N, 1, H, W)."""
    N, _, H, W = x.shape
    k = kernel.shape[-1]
    p = k // 2
    x_pad = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    out = np.zeros((N, 1, H, W), dtype=x.dtype)
    for u, v in np.ndindex(k, k):
        out += np.sum(kernel[:, :, u, v, None, None] * x_pad[:, :, u : u + H, v : v + W], axis=1, keepdims=True)

    def backward(d_out: Array) -> tuple[Array, Array]:
        d_x, d_kernel = np.zeros(x.shape), np.zeros(kernel.shape)
        d_pad = np.pad(d_out, ((0, 0), (0, 0), (p, p), (p, p)))
        flipped = kernel[:, :, ::-1, ::-1]
        for u, v in np.ndindex(k, k):
            d_x += flipped[:, :, u, v, None, None] * d_pad[:, :, u : u + H, v : v + W]
            d_kernel[0, :, u, v] = np.sum(d_out * x_pad[:, :, u : u + H, v : v + W], axis=(0, 2, 3))
        return d_x, d_kernel

    return out, backward


def channel_map(f: Array, w1: Array, w2: Array) -> tuple[Array, Backward]:
    """(6): f (N, C, H, W) -> m_c (N, C, 1, 1)."""
    N, C, H, W = f.shape
    z, ways_back = np.zeros((N, C)), []
    for pool in (average, maximum):  # (3), (4)
        pooled, pool_backward = pool(f.reshape(N, C, H * W), axis=2)
        z_pool, mlp_backward = mlp(pooled[:, :, 0], w1, w2)
        z = z + z_pool
        ways_back.append((pool_backward, mlp_backward))
    m_c, sigmoid_backward = sigmoid(z)

    def backward(d_m_c: Array) -> tuple[Array, Array, Array]:
        d_z = sigmoid_backward(d_m_c[:, :, 0, 0])
        d_f, d_w1, d_w2 = np.zeros(f.shape), np.zeros(w1.shape), np.zeros(w2.shape)
        for pool_backward, mlp_backward in ways_back:
            d_pooled, d_w1_pool, d_w2_pool = mlp_backward(d_z)
            d_f += pool_backward(d_pooled[:, :, None]).reshape(f.shape)
            d_w1 += d_w1_pool
            d_w2 += d_w2_pool
        return d_f, d_w1, d_w2

    return m_c[:, :, None, None], backward


def spatial_map(f1: Array, kernel: Array) -> tuple[Array, Backward]:
    """(10): f1 (N, C, H, W) -> m_s (N, 1, H, W)."""
    maps, ways_back = [], []
    for pool in (average, maximum):  # (8), (9)
        pooled, pool_backward = pool(f1, axis=1)
        maps.append(pooled)
        ways_back.append(pool_backward)
    z, convolution_backward = convolution(np.concatenate(maps, axis=1), kernel)
    m_s, sigmoid_backward = sigmoid(z)

    def backward(d_m_s: Array) -> tuple[Array, Array]:
        d_maps, d_kernel = convolution_backward(sigmoid_backward(d_m_s))
        d_f1 = np.zeros(f1.shape)
        for i, pool_backward in enumerate(ways_back):
            d_f1 += pool_backward(d_maps[:, i : i + 1])
        return d_f1, d_kernel

    return m_s, backward


def cbam(f: Array, params: Params, maps: Params | None = None) -> tuple[Array, Backward]:
    """(1), (2): f (N, C, H, W) -> f2, same shape. The two maps are stored in `maps`, if it is given."""
    m_c, channel_backward = channel_map(f, params["channel.w1"], params["channel.w2"])
    f1 = m_c * f
    m_s, spatial_backward = spatial_map(f1, params["spatial.kernel"])
    f2 = m_s * f1
    if maps is not None:
        maps.update(channel=m_c, spatial=m_s)

    def backward(d_f2: Array) -> tuple[Array, Params]:
        d_m_s = np.sum(d_f2 * f1, axis=1, keepdims=True)
        d_f1_map, d_kernel = spatial_backward(d_m_s)
        d_f1 = m_s * d_f2 + d_f1_map
        d_m_c = np.sum(d_f1 * f, axis=(2, 3), keepdims=True)
        d_f_map, d_w1, d_w2 = channel_backward(d_m_c)
        d_f = m_c * d_f1 + d_f_map
        return d_f, {"channel.w1": d_w1, "channel.w2": d_w2, "spatial.kernel": d_kernel}

    return f2, backward
