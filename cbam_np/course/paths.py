"""The paths of the gradient in channel attention, kept apart; `channel_attention` adds them up."""

from cbam_np.arrays import Array
from cbam_np.ops import avg_pool_over_space, gate, max_pool_over_space, shared_mlp, sigmoid


def paths_to_f(f: Array, w1: Array, w2: Array, d_f1: Array) -> dict[str, Array]:
    """What reaches f (N, C, H, W) through the product, through the average, and through the maximum; their sum is d_f.

    w1: (hidden, C), w2: (C, hidden), d_f1: the upstream gradient, of the shape of f.
    """
    avg_c, avg_backward = avg_pool_over_space(f)
    max_c, max_backward = max_pool_over_space(f)
    s, mlp_backward = shared_mlp(avg_c, max_c, w1, w2)
    m_c, sigmoid_backward = sigmoid(s)
    _, gate_backward = gate(m_c[:, :, None, None], f)
    d_m_c, d_f_gate = gate_backward(d_f1)
    d_avg_c, d_max_c, *_ = mlp_backward(sigmoid_backward(d_m_c[:, :, 0, 0]))
    return {"gate path": d_f_gate, "average path": avg_backward(d_avg_c), "max path": max_backward(d_max_c)}
