"""The shared MLP, formula (5)."""

from typing import Any

from cbam_np.arrays import Array, Backward, total
from cbam_np.inputs import check_shape, checked, given, namespace
from cbam_np.ops.activation import relu


def _vectors_and_weights(x: Array, w1: Array, w2: Array, b1: Array | None = None, b2: Array | None = None) -> None:
    namespace(x=x, w1=w1, w2=w2, **given(b1=b1, b2=b2))
    if x.ndim != 2 or w1.ndim != 2 or w1.shape[1] != x.shape[1]:
        raise ValueError(f"w1: expected (hidden, C) for x (N, C), got w1 {tuple(w1.shape)}, x {tuple(x.shape)}")
    hidden, C = w1.shape
    if hidden == 0:  # the gate would be constant, and nothing would say so
        raise ValueError(f"w1: expected at least one hidden unit, got {tuple(w1.shape)}")
    check_shape("w2", w2, (C, hidden))
    for name, b, size in (("b1", b1, hidden), ("b2", b2, C)):
        if b is not None:
            check_shape(name, b, (size,))


@checked(_vectors_and_weights)
def mlp(x: Array, w1: Array, w2: Array, b1: Array | None = None, b2: Array | None = None) -> tuple[Array, Backward]:
    """Formula (5): two layers, without biases in the document; trained weights often have them.

        MLP(x) = W2 ReLU(W1 x + b1) + b2

    With z = W1 x + b1, h = ReLU(z), and one sample in each row of x:

        d_w2 = d_outᵀ h      d_b2 = Σ_n d_out      d_h = d_out W2
        d_w1 = d_zᵀ x        d_b1 = Σ_n d_z        d_x = d_z W1        d_z = d_h where z > 0, else 0

    Parameters
    ----------
    x : floats (N, C)
    w1 : floats (C/r, C)
    w2 : floats (C, C/r)
    b1 : floats (C/r,), optional
    b2 : floats (C,), optional

    Returns
    -------
    out : floats (N, C)
    backward : d_out -> d_x, d_w1, d_w2, d_b1, d_b2
        None for a bias that is None.
    """
    z = x @ w1.T if b1 is None else x @ w1.T + b1
    h, relu_backward = relu(z)
    out = h @ w2.T if b2 is None else h @ w2.T + b2

    def backward(d_out: Array) -> tuple[Any, ...]:
        d_w2 = d_out.T @ h
        d_z = relu_backward(d_out @ w2)
        d_w1 = d_z.T @ x
        d_x = d_z @ w1
        d_b1 = None if b1 is None else total(d_z, axis=0)
        d_b2 = None if b2 is None else total(d_out, axis=0)
        return d_x, d_w1, d_w2, d_b1, d_b2

    return out, backward


def _two_vectors_and_weights(
    avg_c: Array, max_c: Array, w1: Array, w2: Array, b1: Array | None = None, b2: Array | None = None
) -> None:
    namespace(avg_c=avg_c, max_c=max_c, w1=w1, w2=w2, **given(b1=b1, b2=b2))
    check_shape("max_c", max_c, avg_c.shape)
    _vectors_and_weights(avg_c, w1, w2, b1, b2)


@checked(_two_vectors_and_weights)
def shared_mlp(
    avg_c: Array, max_c: Array, w1: Array, w2: Array, b1: Array | None = None, b2: Array | None = None
) -> tuple[Array, Backward]:
    """The argument of the sigmoid in formula (6): one MLP, used for both pooled vectors.

        z = MLP(F^c_avg) + MLP(F^c_max)

    A weight that is used twice moves z in two ways, and its gradient is the sum of both:

        d_w1 = d_w1 through avg + d_w1 through max        (likewise d_w2, d_b1, d_b2; b2 enters z twice)

    Parameters
    ----------
    avg_c, max_c : floats (N, C)
    w1 : floats (C/r, C)
    w2 : floats (C, C/r)
    b1 : floats (C/r,), optional
    b2 : floats (C,), optional

    Returns
    -------
    z : floats (N, C)
    backward : d_z -> d_avg_c, d_max_c, d_w1, d_w2, d_b1, d_b2
        None for a bias that is None.
    """
    z_avg, avg_backward = mlp(avg_c, w1, w2, b1, b2)
    z_max, max_backward = mlp(max_c, w1, w2, b1, b2)

    def backward(d_z: Array) -> tuple[Any, ...]:
        d_avg_c, *through_avg = avg_backward(d_z)
        d_max_c, *through_max = max_backward(d_z)
        d_weights = [None if a is None else a + m for a, m in zip(through_avg, through_max, strict=True)]
        return d_avg_c, d_max_c, *d_weights

    return z_avg + z_max, backward
