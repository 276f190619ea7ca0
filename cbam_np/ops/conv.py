"""The convolution of formula (10), as im2col and one matrix product.

`im2col` copies every window that the kernel will see into one column of a matrix; after that a
convolution is a matrix product. `col2im` is its adjoint: it adds every column back into its window.

    ⟨im2col(x), columns⟩ = ⟨x, col2im(columns)⟩   for all x and columns

Symbols: k kernel size, s stride, p padding (zeros on every side), O output channels,
H_out = (H + 2p - k) // s + 1, W_out likewise.
"""

from array_api_compat import device

from cbam_np.arrays import Array, Backward, check_gradient, check_nchw, check_shape, namespace, total


def im2col(x: Array, k: int, stride: int = 1, padding: int = 0) -> tuple[Array, Backward]:
    """All k×k windows of `x`, each as a column.

        columns[n, (c,u,v), (i,j)] = x_padded[n, c, s·i + u, s·j + v]

    For a fixed (u,v) that is a shifted slice of x_padded, so k² slices are stacked.

    x: (N, C, H, W) -> columns: (N, C·k², H_out·W_out). `backward` is `col2im`.
    """
    xp = namespace(x=x)
    check_nchw("x", x)
    N, C, H, W = x.shape
    H_out, W_out = _output_size(H, W, k, stride, padding)
    x_padded = _pad(x, padding, padding, padding, padding)
    bottom, right = stride * (H_out - 1) + 1, stride * (W_out - 1) + 1
    windows = [x_padded[:, :, u : u + bottom : stride, v : v + right : stride] for u in range(k) for v in range(k)]
    columns = xp.reshape(xp.stack(windows, axis=2), (N, C * k * k, H_out * W_out))

    def backward(d_columns: Array) -> Array:
        check_gradient(d_columns, columns)
        return col2im(d_columns, (H, W), k, stride, padding)[0]

    return columns, backward


def col2im(columns: Array, size: tuple[int, int], k: int, stride: int = 1, padding: int = 0) -> tuple[Array, Backward]:
    """The adjoint of `im2col`: every column added back into the window it came from.

        x_padded[n, c, a, b] = Σ_{u,v} columns[n, (c,u,v), ((a-u)/s, (b-v)/s)]   where that index exists

    im2col reads the slice that starts at (u,v); col2im adds a slice shifted by -(u,v). With k-1 zeros
    around the columns' image no index leaves it, and with s-1 zeros between its entries s is 1.

    columns: (N, C·k², H_out·W_out), size: (H, W) -> x: (N, C, H, W). `backward` is `im2col`.
    """
    xp = namespace(columns=columns)
    H, W = size
    H_out, W_out = _output_size(H, W, k, stride, padding)
    if columns.ndim != 3 or columns.shape[1] % (k * k) or columns.shape[2] != H_out * W_out:
        raise ValueError(f"columns: expected (N, C·{k * k}, {H_out * W_out}), got {tuple(columns.shape)}")
    N, C = columns.shape[0], columns.shape[1] // (k * k)
    H_padded, W_padded = H + 2 * padding, W + 2 * padding
    image = xp.reshape(columns, (N, C * k * k, H_out, W_out))
    image = xp.reshape(_spread(image, H, W, k, stride, padding), (N, C, k, k, H_padded + k - 1, W_padded + k - 1))
    rows = [slice(k - 1 - u, k - 1 - u + H_padded) for u in range(k)]
    cols = [slice(k - 1 - v, k - 1 - v + W_padded) for v in range(k)]
    slices = [image[:, :, u, v, rows[u], cols[v]] for u in range(k) for v in range(k)]
    x = total(xp.stack(slices), axis=0)[:, :, padding : padding + H, padding : padding + W]

    def backward(d_x: Array) -> Array:
        check_gradient(d_x, x)
        return im2col(d_x, k, stride, padding)[0]

    return x, backward


def conv2d(
    x: Array, kernel: Array, bias: Array | None = None, stride: int = 1, padding: int | None = None
) -> tuple[Array, Backward]:
    """Conv_{k×k} of formula (10); there k = 7, stride 1, padding 3, one output channel, no bias.

        out[n,o,i,j] = bias[o] + Σ_{c,u,v} kernel[o,c,u,v] · x_padded[n, c, s·i + u, s·j + v]

    (a cross-correlation, as in every deep-learning library). With the windows in columns it is

        out = K columns,   K = kernel as an (O, C·k²) matrix

    Kernel gradient: the same product rule as for any matrix, summed over the batch,

        d_K = Σ_n d_out[n] columns[n]ᵀ        d_bias[o] = Σ_{n,i,j} d_out[n,o,i,j]

    Input gradient: x_padded[a,b] meets kernel[u,v] where s·i = a - u and s·j = b - v, so

        d_x_padded[n,c,a,b] = Σ_{o,u,v} kernel[o,c,u,v] · d_out[n, o, (a-u)/s, (b-v)/s]

    The minus signs make it a convolution of d_out with the kernel flipped in both directions; k-1 zeros
    around d_out and s-1 between its entries make every index exist. Cutting off the padding gives d_x,
    the same as col2im(Kᵀ d_out) with far less memory.

    x: (N, C, H, W), kernel: (O, C, k, k) with odd k, bias: (O,) -> out: (N, O, H_out, W_out).
    padding=None means (k-1)/2, which at stride 1 keeps H and W.
    `backward(d_out)` returns d_x, d_kernel, d_bias, with d_bias None if bias is None.
    """
    xp = namespace(x=x, kernel=kernel, bias=bias)
    check_nchw("x", x)
    N, C, H, W = x.shape
    if kernel.ndim != 4:
        raise ValueError(f"kernel: expected (O, {C}, k, k), got {tuple(kernel.shape)}")
    O, _, k, _ = kernel.shape
    check_shape("kernel", kernel, (O, C, k, k))
    if k % 2 == 0:
        raise ValueError(f"kernel: expected an odd size k×k, so that a window has a centre, got {tuple(kernel.shape)}")
    if bias is not None:
        check_shape("bias", bias, (O,))
    p = (k - 1) // 2 if padding is None else padding
    H_out, W_out = _output_size(H, W, k, stride, p)

    columns, _ = im2col(x, k, stride, p)
    K = xp.reshape(kernel, (O, C * k * k))
    z = xp.reshape(K @ columns, (N, O, H_out, W_out))
    out = z if bias is None else z + bias[:, None, None]

    def backward(d_out: Array) -> tuple[Array, Array, Array | None]:
        check_gradient(d_out, out)
        d_out_matrix = xp.reshape(d_out, (N, O, H_out * W_out))
        d_K = total(d_out_matrix @ xp.matrix_transpose(columns), axis=0)
        d_kernel = xp.reshape(d_K, kernel.shape)
        d_bias = None if bias is None else total(d_out, axis=(0, 2, 3))

        flipped = xp.permute_dims(xp.flip(kernel, axis=(2, 3)), (1, 0, 2, 3))
        windows, _ = im2col(_spread(d_out, H, W, k, stride, p), k)
        d_x_padded = xp.reshape(xp.reshape(flipped, (C, O * k * k)) @ windows, (N, C, H + 2 * p, W + 2 * p))
        d_x = d_x_padded[:, :, p : p + H, p : p + W]
        return d_x, d_kernel, d_bias

    return out, backward


def _output_size(H: int, W: int, k: int, stride: int, padding: int) -> tuple[int, int]:
    """(H_out, W_out); ValueError if the window does not fit or an argument is no sensible integer."""
    for name, value, least in (("k", k, 1), ("stride", stride, 1), ("padding", padding, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name}: expected an integer of at least {least}, got {value!r}")
    if min(H, W) + 2 * padding < k:
        raise ValueError(f"k: expected a window that fits into {(H, W)} with padding {padding}, got {k}")
    return (H + 2 * padding - k) // stride + 1, (W + 2 * padding - k) // stride + 1


def _pad(x: Array, top: int, bottom: int, left: int, right: int) -> Array:
    """`x` with that many rows and columns of zeros around its last two axes."""
    xp = namespace(x=x)
    N, C, H, W = x.shape
    rows = [xp.zeros((N, C, size, W), dtype=x.dtype, device=device(x)) for size in (top, bottom)]
    x = xp.concat([rows[0], x, rows[1]], axis=2)
    columns = [xp.zeros((N, C, H + top + bottom, size), dtype=x.dtype, device=device(x)) for size in (left, right)]
    return xp.concat([columns[0], x, columns[1]], axis=3)


def _spread(y: Array, H: int, W: int, k: int, s: int, p: int) -> Array:
    """`y` (N, O, H_out, W_out) with s-1 zeros between its entries and k-1 around them.

    Rows and columns of x_padded that no window reaches (they exist when s does not divide
    H + 2p - k) get zeros as well. Shape (N, O, H + 2p + k - 1, W + 2p + k - 1).
    """
    xp = namespace(y=y)
    N, O, H_out, W_out = y.shape
    if s > 1:
        zeros = xp.zeros((N, O, H_out, s - 1, W_out), dtype=y.dtype, device=device(y))
        y = xp.reshape(xp.concat([y[:, :, :, None, :], zeros], axis=3), (N, O, H_out * s, W_out))
        zeros = xp.zeros((N, O, H_out * s, W_out, s - 1), dtype=y.dtype, device=device(y))
        y = xp.reshape(xp.concat([y[:, :, :, :, None], zeros], axis=4), (N, O, H_out * s, W_out * s))
        y = y[:, :, : (H_out - 1) * s + 1, : (W_out - 1) * s + 1]
    bottom, right = H + 2 * p - y.shape[2], W + 2 * p - y.shape[3]
    return _pad(y, k - 1, bottom, k - 1, right)
