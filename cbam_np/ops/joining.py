"""Concatenation along channels, the [ ; ] of formula (10)."""

from cbam_np.arrays import Array, Backward, check_gradient, check_nchw, check_shape, namespace


def concat(a: Array, b: Array) -> tuple[Array, Backward]:
    """[a; b] along the channel axis.

    Each entry is copied to one place, so its gradient is read off at that place:

        d_a = d_out[:, :A]        d_b = d_out[:, A:]

    a: (N, A, H, W), b: (N, B, H, W) -> out: (N, A+B, H, W). `backward(d_out)` returns d_a, d_b.
    """
    xp = namespace(a=a, b=b)
    check_nchw("a", a)
    check_nchw("b", b)
    N, A, H, W = a.shape
    check_shape("b", b, (N, b.shape[1], H, W))
    out = xp.concat([a, b], axis=1)

    def backward(d_out: Array) -> tuple[Array, Array]:
        check_gradient(d_out, out)
        return d_out[:, :A, ...], d_out[:, A:, ...]

    return out, backward
