"""Spatial attention, formulas (8) to (11): which places matter?"""

from cbam_np.arrays import Array, Backward, Params
from cbam_np.attention.checks import check_spatial, check_spatial_map
from cbam_np.inputs import SPATIAL, Ties, checked
from cbam_np.ops import avg_pool_over_channels, concat, conv2d, gate, max_pool_over_channels, sigmoid


@checked(check_spatial_map)
def spatial_map(f1: Array, params: Params, ties: Ties = "first") -> tuple[Array, Backward]:
    """Formula (10), with (8) and (9) inside: one gate in (0, 1) per pixel.

        M_s = σ(Conv_{7×7}([F^s_avg; F^s_max]))

    The gradient goes back through the sigmoid, the convolution and both poolings, whose gradients add up at F′:

        dF′ = avg pool's dF′ + max pool's dF′

    Parameters
    ----------
    f1 : floats (N, C, H, W)
    params : dict of floats
        "spatial.kernel" (1, 2, k, k), input channels in the order [avg, max], optional "spatial.bias" (1,).
    ties : "first" or "split"
        See `max_pool_over_channels`.

    Returns
    -------
    m_s : floats (N, 1, H, W)
    backward : d_m_s -> d_f1, grads
        grads is a dict of the parameters' gradients.
    """
    avg_s, avg_backward = avg_pool_over_channels(f1)
    max_s, max_backward = max_pool_over_channels(f1, ties)
    pooled, concat_backward = concat(avg_s, max_s)
    z, conv_backward = conv2d(pooled, params["spatial.kernel"], params.get("spatial.bias"))
    m_s, sigmoid_backward = sigmoid(z)

    def backward(d_m_s: Array) -> tuple[Array, Params]:
        d_pooled, d_kernel, d_bias = conv_backward(sigmoid_backward(d_m_s))
        d_avg_s, d_max_s = concat_backward(d_pooled)
        d_f1 = avg_backward(d_avg_s) + max_backward(d_max_s)
        return d_f1, {key: d for key, d in zip(SPATIAL, (d_kernel, d_bias), strict=True) if d is not None}

    return m_s, backward


@checked(check_spatial)
def spatial_attention(
    f1: Array, params: Params, ties: Ties = "first", maps: Params | None = None
) -> tuple[Array, Backward]:
    """Formula (11): every pixel scaled by its gate.

        F″ = M_s ⊗ F′

    F′ is used twice, as the features and in the map, so its gradient is the sum of two paths:

        dF′ = M_s ⊗ dF″  +  (dM_s sent back through spatial_map)

    Parameters
    ----------
    f1 : floats (N, C, H, W)
    params : dict of floats
        As in `spatial_map`.
    ties : "first" or "split"
        See `max_pool_over_channels`.
    maps : dict, optional
        M_s (N, 1, H, W) is stored in it as "spatial".

    Returns
    -------
    f2 : floats (N, C, H, W)
    backward : d_f2 -> d_f1, grads
        grads is a dict of the parameters' gradients.
    """
    m_s, map_backward = spatial_map(f1, params, ties)
    f2, gate_backward = gate(m_s, f1)
    if maps is not None:
        maps["spatial"] = m_s

    def backward(d_f2: Array) -> tuple[Array, Params]:
        d_m_s, d_f1_direct = gate_backward(d_f2)
        d_f1_map, grads = map_backward(d_m_s)
        return d_f1_direct + d_f1_map, grads

    return f2, backward
