"""Channel attention, formulas (3) to (7): which channels matter?"""

from array_api_compat import array_namespace

from cbam_np.arrays import Array, Backward, Params
from cbam_np.attention.checks import check_channel, check_channel_map
from cbam_np.inputs import CHANNEL, Ties, checked
from cbam_np.ops import avg_pool_over_space, gate, max_pool_over_space, shared_mlp, sigmoid


@checked(check_channel_map)
def channel_map(f: Array, params: Params, ties: Ties = "first") -> tuple[Array, Backward]:
    """Formula (6), with (3), (4) and (5) inside: one gate in (0, 1) per channel.

        M_c = σ(MLP(F^c_avg) + MLP(F^c_max))

    The gradient goes back the same way: through the sigmoid, through the shared MLP once for each pooled
    vector, and through both poolings, whose gradients add up at F:

        dF = avg pool's dF + max pool's dF

    Parameters
    ----------
    f : floats (N, C, H, W)
    params : dict of floats
        "channel.w1" (C/r, C), "channel.w2" (C, C/r), optional "channel.b1" (C/r,) and "channel.b2" (C,).
    ties : "first" or "split"
        See `max_pool_over_space`.

    Returns
    -------
    m_c : floats (N, C, 1, 1)
    backward : d_m_c -> d_f, grads
        grads is a dict of the parameters' gradients.
    """
    xp = array_namespace(f)
    avg_c, avg_backward = avg_pool_over_space(f)
    max_c, max_backward = max_pool_over_space(f, ties)
    z, mlp_backward = shared_mlp(avg_c, max_c, *(params.get(key) for key in CHANNEL))
    gates, sigmoid_backward = sigmoid(z)
    m_c = gates[:, :, None, None]

    def backward(d_m_c: Array) -> tuple[Array, Params]:
        d_z = sigmoid_backward(xp.reshape(d_m_c, gates.shape))
        d_avg_c, d_max_c, *d_weights = mlp_backward(d_z)
        d_f = avg_backward(d_avg_c) + max_backward(d_max_c)
        return d_f, {key: d for key, d in zip(CHANNEL, d_weights, strict=True) if d is not None}

    return m_c, backward


@checked(check_channel)
def channel_attention(
    f: Array, params: Params, ties: Ties = "first", maps: Params | None = None
) -> tuple[Array, Backward]:
    """Formula (7): every channel scaled by its gate.

        F′ = M_c ⊗ F

    F is used twice, as the features and in the map, so its gradient is the sum of two paths:

        dF = M_c ⊗ dF′  +  (dM_c sent back through channel_map)

    Parameters
    ----------
    f : floats (N, C, H, W)
    params : dict of floats
        As in `channel_map`.
    ties : "first" or "split"
        See `max_pool_over_space`.
    maps : dict, optional
        M_c (N, C, 1, 1) is stored in it as "channel".

    Returns
    -------
    f1 : floats (N, C, H, W)
    backward : d_f1 -> d_f, grads
        grads is a dict of the parameters' gradients.
    """
    m_c, map_backward = channel_map(f, params, ties)
    f1, gate_backward = gate(m_c, f)
    if maps is not None:
        maps["channel"] = m_c

    def backward(d_f1: Array) -> tuple[Array, Params]:
        d_m_c, d_f_direct = gate_backward(d_f1)
        d_f_map, grads = map_backward(d_m_c)
        return d_f_direct + d_f_map, grads

    return f1, backward
