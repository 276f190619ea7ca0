"""The nine routes on which a gradient comes from F″ back to F, one by one: for chapter 8 and the appendix on paths."""

import numpy as np

from cbam_np import ops
from cbam_np.arrays import Array, Params
from cbam_np.attention.channel import channel_attention

PATHS = ("direct", "average", "maximum")


def spatial_parts(d_f2: Array, f1: Array, kernel: Array) -> dict[str, Array]:
    """The three parts of dF′, one for each path from F″ to F′; dF′ is their sum."""
    avg_s, avg_backward = ops.avg_pool_over_channels(f1)
    max_s, max_backward = ops.max_pool_over_channels(f1)
    pooled, concat_backward = ops.concat(avg_s, max_s)
    u, conv_backward = ops.conv2d(pooled, kernel)
    m_s, sigmoid_backward = ops.sigmoid(u)
    d_m_s, d_f1_direct = ops.gate(m_s, f1)[1](d_f2)
    d_pooled, _, _ = conv_backward(sigmoid_backward(d_m_s))
    d_avg_s, d_max_s = concat_backward(d_pooled)
    return dict(zip(PATHS, (d_f1_direct, avg_backward(d_avg_s), max_backward(d_max_s)), strict=True))


def channel_parts(d_f1: Array, f: Array, w1: Array, w2: Array) -> dict[str, Array]:
    """The three parts of dF, one for each path from F′ to F; dF is their sum."""
    avg_c, avg_backward = ops.avg_pool_over_space(f)
    max_c, max_backward = ops.max_pool_over_space(f)
    s, mlp_backward = ops.shared_mlp(avg_c, max_c, w1, w2)
    m_c, sigmoid_backward = ops.sigmoid(s[:, :, None, None])
    d_m_c, d_f_direct = ops.gate(m_c, f)[1](d_f1)
    d_avg_c, d_max_c, *_ = mlp_backward(sigmoid_backward(d_m_c)[:, :, 0, 0])
    return dict(zip(PATHS, (d_f_direct, avg_backward(d_avg_c), max_backward(d_max_c)), strict=True))


def routes(f: Array, params: Params, d_f2: Array) -> Array:
    """All nine parts of dF, (3, 3, N, C, H, W): the path from F″ to F′ first, then the one from F′ to F."""
    f1, _ = channel_attention(f, params)
    weights = params["channel.w1"], params["channel.w2"]
    parts = spatial_parts(d_f2, f1, params["spatial.kernel"]).values()
    return np.array([list(channel_parts(d_f1, f, *weights).values()) for d_f1 in parts])


def length(x: Array) -> Array:
    """The root of the sum of squares over the last four axes."""
    return np.sqrt(np.sum(x**2, axis=(-4, -3, -2, -1)))


def lost(nine: Array) -> dict[str, float]:
    """How wrong dF is, relative to its length, if one path through a pooling is dropped from the backward pass."""
    whole = length(nine.sum(axis=(0, 1)))
    found = {}
    for stage, axis in (("channel", 0), ("spatial", 1)):  # sum over the other stage's three paths
        for path in (1, 2):
            part = nine.sum(axis=axis)[path]
            found[f"{stage} {PATHS[path]}"] = float(length(part) / whole)
    return found
