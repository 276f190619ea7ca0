"""Concatenation along channels, the [ ; ] of formula (10)."""

from array_api_compat import array_namespace

from cbam_np.arrays import Array, Backward
from cbam_np.inputs import check_nchw, check_shape, checked, namespace


def _two_maps(a: Array, b: Array) -> None:
    namespace(a=a, b=b)
    check_nchw("a", a)
    check_nchw("b", b)
    N, _, H, W = a.shape
    check_shape("b", b, (N, b.shape[1], H, W))


@checked(_two_maps)
def concat(a: Array, b: Array) -> tuple[Array, Backward]:
    """[a; b] along the channel axis.

    Each entry is copied to one place, so its gradient is the one at that place:

        d_a = d_out[:, :A]        d_b = d_out[:, A:]

    Parameters
    ----------
    a : floats (N, A, H, W)
    b : floats (N, B, H, W)

    Returns
    -------
    out : floats (N, A+B, H, W)
    backward : d_out -> d_a, d_b
    """
    xp = array_namespace(a)
    A = a.shape[1]
    out = xp.concat([a, b], axis=1)

    def backward(d_out: Array) -> tuple[Array, Array]:
        return d_out[:, :A, ...], d_out[:, A:, ...]

    return out, backward
