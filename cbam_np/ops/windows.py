"""Pooling over windows, which makes feature maps smaller: the maximum or the average of every k×k window.

Symbols as in `conv.py`: k window size, s stride, p padding, H_out = (H + 2p - k) // s + 1, W_out likewise.
"""

from array_api_compat import array_namespace

from cbam_np.arrays import Array, Backward
from cbam_np.inputs import check_nchw, checked, namespace
from cbam_np.ops.conv import check_windows, im2col, output_size, pad
from cbam_np.ops.pooling import avg_pool_over_channels, max_pool_over_channels


def _image_and_windows(x: Array, k: int, stride: int, padding: int = 0) -> None:
    namespace(x=x)
    check_nchw("x", x)
    check_windows(x.shape[2], x.shape[3], k, stride, padding)
    if 2 * padding > k:
        raise ValueError(f"padding: expected at most half of k={k}, so that every window sees x, got {padding}")


@checked(_image_and_windows)
def max_pool2d(x: Array, k: int, stride: int, padding: int = 0) -> tuple[Array, Backward]:
    """The largest entry of every window.

        out[n,c,i,j] = max_{u,v} x_padded[n, c, s·i + u, s·j + v]

    im2col makes the entries of a window the channels of one pixel, and what is left is formula (9). The gradient goes
    to the entry (u*,v*) that won; one that won in several windows collects from all of them:

        d_x_padded[n, c, s·i + u*, s·j + v*] += d_out[n,c,i,j]

    Around x lies -∞, which never wins. If there were zeros, negative features would lose at the border.

    A tied maximum belongs to its first entry in row-major order. NaN counts as the largest value.

    Parameters
    ----------
    x : floats (N, C, H, W)
    k : int
        Size of the windows.
    stride : int
        From one window to the next.
    padding : int
        Rows and columns around x, which never win.

    Returns
    -------
    out : floats (N, C, H_out, W_out)
    backward : d_out -> d_x
    """
    xp = array_namespace(x)
    N, C, H, W = x.shape
    p = padding
    H_out, W_out = output_size(H, W, k, stride, p)
    columns, columns_backward = im2col(pad(x, p, p, p, p, -xp.inf), k, stride)
    largest, max_backward = max_pool_over_channels(xp.reshape(columns, (N * C, k * k, H_out, W_out)))

    def backward(d_out: Array) -> Array:
        d_windows = max_backward(xp.reshape(d_out, largest.shape))
        d_x_padded = columns_backward(xp.reshape(d_windows, columns.shape))
        return d_x_padded[:, :, p : p + H, p : p + W]

    return xp.reshape(largest, (N, C, H_out, W_out)), backward


@checked(_image_and_windows)
def avg_pool2d(x: Array, k: int, stride: int, padding: int = 0) -> tuple[Array, Backward]:
    """The average of every window.

        out[n,c,i,j] = 1/k² Σ_{u,v} x_padded[n, c, s·i + u, s·j + v]

    im2col makes the entries of a window the channels of one pixel, and what is left is formula (8). Every entry gets
    the same share back from each window that it is in:

        d_x_padded[n, c, s·i + u, s·j + v] += d_out[n,c,i,j] / k²      for all (u,v)

    Parameters
    ----------
    x : floats (N, C, H, W)
    k : int
        Size of the windows.
    stride : int
        From one window to the next.
    padding : int
        Rows and columns of zeros around x. They are counted, as in PyTorch.

    Returns
    -------
    out : floats (N, C, H_out, W_out)
    backward : d_out -> d_x
    """
    xp = array_namespace(x)
    N, C, H, W = x.shape
    H_out, W_out = output_size(H, W, k, stride, padding)
    columns, columns_backward = im2col(x, k, stride, padding)
    average, avg_backward = avg_pool_over_channels(xp.reshape(columns, (N * C, k * k, H_out, W_out)))

    def backward(d_out: Array) -> Array:
        d_windows = avg_backward(xp.reshape(d_out, average.shape))
        return columns_backward(xp.reshape(d_windows, columns.shape))

    return xp.reshape(average, (N, C, H_out, W_out)), backward
