"""The convolution of formula (10), as im2col and one matrix product.

`im2col` copies every window that the kernel will see into one column of a matrix; after that a
convolution is a matrix product. `col2im` is its adjoint: it adds every column back into its window.

    ⟨im2col(x), columns⟩ = ⟨x, col2im(columns)⟩   for all x and columns

Symbols: k kernel size, s stride, p padding (zeros on every side), O output channels,
H_out = (H + 2p - k) // s + 1, W_out likewise.
"""

from array_api_compat import array_namespace, device, is_cupy_array, is_numpy_array

from cbam_np.arrays import Array, Backward, accumulator, total
from cbam_np.inputs import check_channels, check_integer, check_nchw, check_shape, checked, given, namespace


def _image_and_windows(x: Array, k: int, stride: int = 1, padding: int = 0) -> None:
    namespace(x=x)
    check_nchw("x", x)
    check_windows(x.shape[2], x.shape[3], k, stride, padding)


@checked(_image_and_windows)
def im2col(x: Array, k: int, stride: int = 1, padding: int = 0) -> tuple[Array, Backward]:
    """All k×k windows of `x`, each as a column.

        columns[n, (c,u,v), (i,j)] = x_padded[n, c, s·i + u, s·j + v]

    For a fixed (u,v) this is a shifted slice of x_padded, so columns is a stack of k² slices.

    Parameters
    ----------
    x : floats (N, C, H, W)
    k, stride, padding : int
        As in `conv2d`; k may be even, and the padding is 0 by default.

    Returns
    -------
    columns : floats (N, C·k², H_out·W_out)
    backward : d_columns -> d_x
        It is `col2im`.
    """
    xp = array_namespace(x)
    N, C, H, W = x.shape
    H_out, W_out = output_size(H, W, k, stride, padding)
    x_padded = pad(x, padding, padding, padding, padding)
    windows = [x_padded[:, :, *window] for window in _windows(H_out, W_out, k, stride)]
    columns = xp.reshape(xp.stack(windows, axis=2), (N, C * k * k, H_out * W_out))

    def backward(d_columns: Array) -> Array:
        return col2im(d_columns, (H, W), k, stride, padding)[0]

    return columns, backward


def _columns_and_windows(columns: Array, size: tuple[int, int], k: int, stride: int = 1, padding: int = 0) -> None:
    namespace(columns=columns)
    check_windows(*size, k, stride, padding)
    H_out, W_out = output_size(*size, k, stride, padding)
    if columns.ndim != 3 or columns.shape[1] % (k * k) or columns.shape[2] != H_out * W_out:
        raise ValueError(f"columns: expected (N, C·{k * k}, {H_out * W_out}), got {tuple(columns.shape)}")


@checked(_columns_and_windows)
def col2im(columns: Array, size: tuple[int, int], k: int, stride: int = 1, padding: int = 0) -> tuple[Array, Backward]:
    """The adjoint of `im2col`: every column added back into the window it was copied from.

        x_padded[n, c, s·i + u, s·j + v] += columns[n, (c,u,v), (i,j)]      for all (u,v), (i,j)

    im2col reads k² shifted slices; col2im adds to the same k² slices. Then the padding is cut off.

    Parameters
    ----------
    columns : floats (N, C·k², H_out·W_out)
    size : (H, W)
        Of x, two ints.
    k, stride, padding : int
        As in `im2col`.

    Returns
    -------
    x : floats (N, C, H, W)
    backward : d_x -> d_columns
        It is `im2col`.
    """
    xp = array_namespace(columns)
    H, W = size
    p = padding
    H_out, W_out = output_size(H, W, k, stride, p)
    N, C = columns.shape[0], columns.shape[1] // (k * k)
    slices = xp.reshape(columns, (N, C, k * k, H_out, W_out))
    if is_numpy_array(columns) or is_cupy_array(columns):
        x_padded = xp.zeros((N, C, H + 2 * p, W + 2 * p), dtype=accumulator(columns))
        for i, window in enumerate(_windows(H_out, W_out, k, stride)):
            x_padded[:, :, *window] += slices[:, :, i]
        x_padded = xp.astype(x_padded, columns.dtype, copy=False)
    else:
        x_padded = _added_without_writing(slices, H + 2 * p, W + 2 * p, k, stride)
    x = x_padded[:, :, p : p + H, p : p + W]

    def backward(d_x: Array) -> Array:
        return im2col(d_x, k, stride, padding)[0]

    return x, backward


def _image_and_kernel(
    x: Array, kernel: Array, bias: Array | None = None, stride: int = 1, padding: int | None = None
) -> None:
    namespace(x=x, kernel=kernel, **given(bias=bias))
    check_nchw("x", x)
    if kernel.ndim != 4:
        raise ValueError(f"kernel: expected (O, {x.shape[1]}, k, k), got {tuple(kernel.shape)}")
    O, C, k, _ = kernel.shape
    check_channels("x", x, C, f"as kernel {tuple(kernel.shape)} has")
    check_shape("kernel", kernel, (O, C, k, k))
    if k % 2 == 0:
        raise ValueError(f"kernel: expected an odd size k×k, so that a window has a centre, got {tuple(kernel.shape)}")
    if bias is not None:
        check_shape("bias", bias, (O,))
    check_windows(x.shape[2], x.shape[3], k, stride, (k - 1) // 2 if padding is None else padding)


@checked(_image_and_kernel)
def conv2d(
    x: Array, kernel: Array, bias: Array | None = None, stride: int = 1, padding: int | None = None
) -> tuple[Array, Backward]:
    """Conv_{k×k} of formula (10); there k = 7, stride 1, padding 3, one output channel, no bias.

        out[n,o,i,j] = bias[o] + Σ_{c,u,v} kernel[o,c,u,v] · x_padded[n, c, s·i + u, s·j + v]

    (a cross-correlation, as in every deep-learning library). With the windows as columns, it is

        out = K columns,   K = kernel as an (O, C·k²) matrix

    The gradient of a matrix product, summed over the batch for the kernel:

        d_K = Σ_n d_out[n] columns[n]ᵀ        d_bias[o] = Σ_{n,i,j} d_out[n,o,i,j]
        d_columns = Kᵀ d_out                  d_x = col2im(d_columns)

    At stride 1 there is no need to make d_columns only to add them up: x_padded[a,b] is multiplied by kernel[u,v]
    at i = a - u, j = b - v, so

        d_x_padded[n,c,a,b] = Σ_{o,u,v} kernel[o,c,u,v] · d_out[n, o, a-u, b-v]

    The minus signs make this a convolution of d_out with the kernel flipped in both directions; with k-1 zeros
    around d_out every index exists. It takes far less memory if fewer channels come out than go in.

    Parameters
    ----------
    x : floats (N, C, H, W)
    kernel : floats (O, C, k, k), k odd
    bias : floats (O,), optional
    stride : int
        From one window to the next.
    padding : int, optional
        Rows and columns of zeros around x. None means (k-1)/2, which at stride 1 keeps H and W.

    Returns
    -------
    out : floats (N, O, H_out, W_out)
    backward : d_out -> d_x, d_kernel, d_bias
        d_bias is None if bias is None.
    """
    xp = array_namespace(x)
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    p = (k - 1) // 2 if padding is None else padding
    H_out, W_out = output_size(H, W, k, stride, p)

    columns, _ = im2col(x, k, stride, p)
    K = xp.reshape(kernel, (O, C * k * k))
    z = xp.reshape(K @ columns, (N, O, H_out, W_out))
    out = z if bias is None else z + bias[:, None, None]

    def backward(d_out: Array) -> tuple[Array, Array, Array | None]:
        d_out_matrix = xp.reshape(d_out, (N, O, H_out * W_out))
        d_K = total(d_out_matrix @ xp.matrix_transpose(columns), axis=0)
        d_kernel = xp.reshape(d_K, kernel.shape)
        d_bias = None if bias is None else total(d_out, axis=(0, 2, 3))
        if stride == 1:
            flipped = xp.permute_dims(xp.flip(kernel, axis=(2, 3)), (1, 0, 2, 3))
            windows, _ = im2col(pad(d_out, k - 1, k - 1, k - 1, k - 1), k)
            d_x_padded = xp.reshape(xp.reshape(flipped, (C, O * k * k)) @ windows, (N, C, H + 2 * p, W + 2 * p))
            d_x = d_x_padded[:, :, p : p + H, p : p + W]
        else:
            d_x, _ = col2im(xp.matrix_transpose(K) @ d_out_matrix, (H, W), k, stride, p)
        return d_x, d_kernel, d_bias

    return out, backward


def check_windows(H: int, W: int, k: int, stride: int, padding: int) -> None:
    """Raise ValueError unless windows of k×k fit into an image of that size."""
    check_integer("k", k, least=1)
    check_integer("stride", stride, least=1)
    check_integer("padding", padding, least=0)
    if min(H, W) + 2 * padding < k:
        raise ValueError(f"k: expected a window that fits into {(H, W)} with padding {padding}, got {k}")


def output_size(H: int, W: int, k: int, stride: int, padding: int) -> tuple[int, int]:
    """(H_out, W_out): how often the window fits."""
    return (H + 2 * padding - k) // stride + 1, (W + 2 * padding - k) // stride + 1


def _windows(H_out: int, W_out: int, k: int, s: int) -> list[tuple[slice, slice]]:
    """For each place (u,v) in the window, row by row: the rows and columns of x_padded that are seen there."""
    rows = [slice(u, u + s * (H_out - 1) + 1, s) for u in range(k)]
    columns = [slice(v, v + s * (W_out - 1) + 1, s) for v in range(k)]
    return [(row, column) for row in rows for column in columns]


def pad(x: Array, top: int, bottom: int, left: int, right: int, value: float = 0.0) -> Array:
    """`x` with that many rows and columns around its last two axes: of zeros, or of another value."""
    xp = array_namespace(x)
    *front, H, W = x.shape

    def around(*size: int) -> Array:
        return xp.full((*front, *size), value, dtype=x.dtype, device=device(x))

    x = xp.concat([around(top, W), x, around(bottom, W)], axis=-2)
    return xp.concat([around(H + top + bottom, left), x, around(H + top + bottom, right)], axis=-1)


def _added_without_writing(slices: Array, H_padded: int, W_padded: int, k: int, s: int) -> Array:
    """What `col2im` adds up, for libraries whose arrays can't be written to: each slice padded to its place.

    slices: (N, C, k², H_out, W_out) -> x_padded: (N, C, H_padded, W_padded).
    """
    xp = array_namespace(slices)
    N, C, _, H_out, W_out = slices.shape
    if s > 1:  # s - 1 zeros after each entry
        zeros = xp.zeros((N, C, k * k, H_out, W_out, s - 1), dtype=slices.dtype, device=device(slices))
        slices = xp.reshape(xp.concat([slices[..., None], zeros], axis=-1), (N, C, k * k, H_out, W_out * s))
        zeros = xp.zeros((N, C, k * k, H_out, s - 1, W_out * s), dtype=slices.dtype, device=device(slices))
        slices = xp.reshape(xp.concat([slices[..., None, :], zeros], axis=-2), (N, C, k * k, H_out * s, W_out * s))
        slices = slices[..., : s * (H_out - 1) + 1, : s * (W_out - 1) + 1]
    bottom, right = H_padded - slices.shape[-2], W_padded - slices.shape[-1]
    placed = [pad(slices[:, :, i, ...], i // k, bottom - i // k, i % k, right - i % k) for i in range(k * k)]
    return total(xp.stack(placed), axis=0)
