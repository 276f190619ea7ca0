"""Squeeze-and-Excitation (SE), CBAM's predecessor: channel attention with the average alone."""

from typing import Any

from cbam_np.arrays import Array, Backward
from cbam_np.inputs import check_channels, check_nchw, check_shape, checked, given, namespace
from cbam_np.ops.activation import sigmoid
from cbam_np.ops.gating import gate
from cbam_np.ops.perceptron import mlp
from cbam_np.ops.pooling import avg_pool_over_space


def _features_and_weights(f: Array, w1: Array, w2: Array, b1: Array | None = None, b2: Array | None = None) -> None:
    namespace(f=f, w1=w1, w2=w2, **given(b1=b1, b2=b2))
    check_nchw("f", f)
    if w1.ndim != 2 or w1.shape[0] == 0:
        raise ValueError(f"w1: expected (C/r, C) with at least one hidden unit, got {tuple(w1.shape)}")
    hidden, C = w1.shape
    check_channels("f", f, C, f"as w1 {(hidden, C)} has")
    check_shape("w2", w2, (C, hidden))
    for name, b, size in (("b1", b1, hidden), ("b2", b2, C)):
        if b is not None:
            check_shape(name, b, (size,))


@checked(_features_and_weights)
def squeeze_excitation(
    f: Array, w1: Array, w2: Array, b1: Array | None = None, b2: Array | None = None
) -> tuple[Array, Backward]:
    """SE: squeeze each channel to its average, and excite it by a gate that the MLP makes of all averages.

        s = σ(MLP(F^c_avg))        out = s ⊗ F

    That is formula (6) without the maximum, and (7). F enters twice, as in (7):

        dF = s ⊗ d_out  +  (ds sent back through the sigmoid, the MLP and the average)

    Source: Hu, Shen, Sun, "Squeeze-and-Excitation Networks", CVPR 2018, section 3.

    Parameters
    ----------
    f : floats (N, C, H, W)
    w1 : floats (C/r, C)
    w2 : floats (C, C/r)
    b1 : floats (C/r,), optional
    b2 : floats (C,), optional

    Returns
    -------
    out : floats (N, C, H, W)
    backward : d_out -> d_f, d_w1, d_w2, d_b1, d_b2
        None for a bias that is None.
    """
    avg_c, avg_backward = avg_pool_over_space(f)
    z, mlp_backward = mlp(avg_c, w1, w2, b1, b2)
    s, sigmoid_backward = sigmoid(z)
    out, gate_backward = gate(s[:, :, None, None], f)

    def backward(d_out: Array) -> tuple[Any, ...]:
        d_s, d_f_direct = gate_backward(d_out)
        d_avg_c, *d_weights = mlp_backward(sigmoid_backward(d_s[:, :, 0, 0]))
        return d_f_direct + avg_backward(d_avg_c), *d_weights

    return out, backward
