"""The linear layer, of which a classifier is made."""

from cbam_np.arrays import Array, Backward, total
from cbam_np.inputs import check_shape, checked, given, namespace


def _vectors_and_weight(x: Array, w: Array, bias: Array | None = None) -> None:
    namespace(x=x, w=w, **given(bias=bias))
    if x.ndim != 2 or w.ndim != 2 or w.shape[1] != x.shape[1]:
        raise ValueError(f"w: expected (O, C) for x (N, C), got w {tuple(w.shape)}, x {tuple(x.shape)}")
    if bias is not None:
        check_shape("bias", bias, (w.shape[0],))


@checked(_vectors_and_weight)
def linear(x: Array, w: Array, bias: Array | None = None) -> tuple[Array, Backward]:
    """One layer of weights, one sample a row of x.

        out[n,o] = bias[o] + Σ_c w[o,c] x[n,c]

        d_w[o,c] = Σ_n d_out[n,o] x[n,c]      d_bias[o] = Σ_n d_out[n,o]      d_x[n,c] = Σ_o d_out[n,o] w[o,c]

    Parameters
    ----------
    x : floats (N, C)
    w : floats (O, C)
    bias : floats (O,), optional

    Returns
    -------
    out : floats (N, O)
    backward : d_out -> d_x, d_w, d_bias
        d_bias is None if bias is None.
    """
    z = x @ w.T
    out = z if bias is None else z + bias

    def backward(d_out: Array) -> tuple[Array, Array, Array | None]:
        d_w = d_out.T @ x
        d_bias = None if bias is None else total(d_out, axis=0)
        d_x = d_out @ w
        return d_x, d_w, d_bias

    return out, backward
