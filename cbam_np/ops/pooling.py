"""Pooling, formulas (3), (4), (8), (9): the channel branch pools over space, the spatial branch over channels."""

from array_api_compat import array_namespace

from cbam_np.arrays import Array, Backward, accumulator, mean, put_along_axis, real
from cbam_np.inputs import Ties, check_nchw, check_ties, checked, namespace


def _f(f: Array) -> None:
    namespace(f=f)
    check_nchw("f", f)


def _f_and_ties(f: Array, ties: Ties = "first") -> None:
    _f(f)
    check_ties(ties)


def _f1(f1: Array) -> None:
    namespace(f1=f1)
    check_nchw("f1", f1)


def _f1_and_ties(f1: Array, ties: Ties = "first") -> None:
    _f1(f1)
    check_ties(ties)


@checked(_f)
def avg_pool_over_space(f: Array) -> tuple[Array, Backward]:
    """Formula (3): one average per channel.

        F^c_avg[n,c] = 1/(HW) Σ_{i,j} F[n,c,i,j]

    Every pixel enters its channel's average with weight 1/(HW), so each gets that share back:

        dF[n,c,i,j] = 1/(HW) · dF^c_avg[n,c]

    Parameters
    ----------
    f : floats (N, C, H, W)

    Returns
    -------
    avg_c : floats (N, C)
    backward : d_avg_c -> d_f
        d_f is a read-only broadcast view.
    """
    xp = array_namespace(f)
    _, _, H, W = f.shape
    avg_c = mean(f, axis=(2, 3))

    def backward(d_avg_c: Array) -> Array:
        return xp.broadcast_to(d_avg_c[:, :, None, None] / H / W, f.shape)  # H·W may be out of float16's range

    return avg_c, backward


@checked(_f_and_ties)
def max_pool_over_space(f: Array, ties: Ties = "first") -> tuple[Array, Backward]:
    """Formula (4): the largest entry of each channel.

        F^c_max[n,c] = max_{i,j} F[n,c,i,j] = F[n,c,i*,j*]

    The output depends on the entry at (i*, j*) and on no other:

        dF[n,c,i,j] = dF^c_max[n,c]  if (i,j) = (i*,j*),  else 0

    NaN counts as the largest value.

    Parameters
    ----------
    f : floats (N, C, H, W)
    ties : "first" or "split"
        Where several entries tie for the maximum, "first" gives the gradient to the first of them in row-major order,
        "split" gives each an equal share.

    Returns
    -------
    max_c : floats (N, C)
    backward : d_max_c -> d_f
    """
    xp = array_namespace(f)
    N, C, H, W = f.shape
    largest, max_backward = _max_along(xp.reshape(f, (N, C, H * W)), 2, ties)
    max_c = xp.reshape(largest, (N, C))

    def backward(d_max_c: Array) -> Array:
        return xp.reshape(max_backward(d_max_c[:, :, None]), f.shape)

    return max_c, backward


@checked(_f1)
def avg_pool_over_channels(f1: Array) -> tuple[Array, Backward]:
    """Formula (8): one average per pixel.

        F^s_avg[n,i,j] = 1/C Σ_c F′[n,c,i,j]

        dF′[n,c,i,j] = 1/C · dF^s_avg[n,i,j]

    Parameters
    ----------
    f1 : floats (N, C, H, W)

    Returns
    -------
    avg_s : floats (N, 1, H, W)
    backward : d_avg_s -> d_f1
        d_f1 is a read-only broadcast view.
    """
    xp = array_namespace(f1)
    C = f1.shape[1]
    avg_s = mean(f1, axis=(1,), keepdims=True)

    def backward(d_avg_s: Array) -> Array:
        return xp.broadcast_to(d_avg_s / C, f1.shape)

    return avg_s, backward


@checked(_f1_and_ties)
def max_pool_over_channels(f1: Array, ties: Ties = "first") -> tuple[Array, Backward]:
    """Formula (9): the largest entry at each pixel.

        F^s_max[n,i,j] = max_c F′[n,c,i,j] = F′[n,c*,i,j]

        dF′[n,c,i,j] = dF^s_max[n,i,j]  if c = c*,  else 0

    Parameters
    ----------
    f1 : floats (N, C, H, W)
    ties : "first" or "split"
        Ties and NaN as in `max_pool_over_space`.

    Returns
    -------
    max_s : floats (N, 1, H, W)
    backward : d_max_s -> d_f1
    """
    return _max_along(f1, 1, ties)


def _max_along(x: Array, axis: int, ties: Ties) -> tuple[Array, Backward]:
    """The maximum along one axis, which is kept with length 1, and its gradient."""
    xp = array_namespace(x)
    largest = xp.max(x, axis=axis, keepdims=True)

    def backward_first(d_largest: Array) -> Array:
        winner = xp.argmax(real(x), axis=axis, keepdims=True)
        return put_along_axis(d_largest, winner, x.shape[axis], axis)

    def backward_split(d_largest: Array) -> Array:
        tied = (x == largest) | (xp.isnan(x) & xp.isnan(largest))
        share = xp.astype(tied, accumulator(x))
        share = share / xp.sum(share, axis=axis, keepdims=True)
        return d_largest * xp.astype(share, x.dtype, copy=False)

    return largest, backward_first if ties == "first" else backward_split
