"""The addition at the end of a residual block."""

from cbam_np.arrays import Array, Backward
from cbam_np.inputs import check_nchw, check_shape, checked, namespace


def _alike(a: Array, b: Array) -> None:
    namespace(a=a, b=b)
    check_nchw("a", a)
    check_nchw("b", b)
    check_shape("b", b, a.shape)


@checked(_alike)
def add(a: Array, b: Array) -> tuple[Array, Backward]:
    """The block's result and its shortcut, added.

        out = a + b

    Both move the output one to one, so both get the whole gradient:

        d_a = d_out        d_b = d_out

    The shortcut carries it past the block unchanged, which is why deep residual networks can be trained. Where a and b
    were made of the same x, the two gradients meet again at x, and are added.

    Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, section 3.2.

    Parameters
    ----------
    a, b : floats (N, C, H, W)

    Returns
    -------
    out : floats (N, C, H, W)
    backward : d_out -> d_a, d_b
        d_out itself, twice.
    """
    out = a + b

    def backward(d_out: Array) -> tuple[Array, Array]:
        return d_out, d_out

    return out, backward
