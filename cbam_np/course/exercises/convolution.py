"""12 to 14: the convolution."""


from typing import Any

import numpy as np

from cbam_np.course.exercise import Case, Exercise, mistake
from cbam_np.course.exercises.inputs import KERNELS, SIZES, nchw, normal

_WITH_K = tuple(zip(SIZES, (*KERNELS[:3], 1), strict=True))


def border(H: int, W: int, rows: slice, columns: slice) -> Any:
    """True in these rows and in these columns of an image."""
    mask = np.zeros((H, W), dtype=bool)
    mask[rows], mask[:, columns] = True, True
    return mask


ROUND = {  # the parts of an image where padding plays a role
    "in the first row and the first column": lambda H, W, p: border(H, W, slice(0, 1), slice(0, 1)),
    "in the last row and the last column": lambda H, W, p: border(H, W, slice(H - 1, H), slice(W - 1, W)),
    "in the p rows and columns at the top and on the left": lambda H, W, p: border(H, W, slice(0, p), slice(0, p)),
    "in the p rows and columns at the bottom and on the right": lambda H, W, p: border(
        H, W, slice(max(0, H - p), H), slice(max(0, W - p), W)
    ),
    "in the p rows and columns at the border of the image": lambda H, W, p: border(H, W, slice(0, p), slice(0, p))
    | border(H, W, slice(max(0, H - p), H), slice(max(0, W - p), W)),
}


def _im2col_cases() -> tuple[Case, ...]:
    return tuple(Case((normal(i, *nchw(s)), k), {**s, "k": k}) for i, (s, k) in enumerate(_WITH_K))


def _col2im_cases() -> tuple[Case, ...]:
    cases = []
    for i, (sizes, k) in enumerate(_WITH_K):
        N, C, H, W = nchw(sizes)
        cases.append(Case((normal(i, N, C * k * k, H * W), (N, C, H, W), k), {**sizes, "k": k}))
    return tuple(cases)


def _conv_cases() -> tuple[Case, ...]:
    cases = []
    for i, (sizes, k, O) in enumerate(zip(SIZES, KERNELS, (2, 1, 4, 1), strict=True)):
        x = normal(i, *nchw(sizes))
        cases.append(Case((x, normal(10 + i, O, sizes["C"], k, k)), {**sizes, "O": O, "k": k}))
    return tuple(cases)


IM2COL = (
    mistake("if the window's places come first and the channels last: the order (a, b, c)", "return columns.reshape(N, C * k * k, H * W)", "return columns.transpose(0, 2, 3, 1, 4, 5).reshape(N, C * k * k, H * W)", more="(c, a, b) counts like the entries of an array of shape (C, k, k): c slowest, b fastest."),
    mistake("if (a, b) are exchanged: the order (c, b, a)", "return columns.reshape(N, C * k * k, H * W)", "return columns.transpose(0, 1, 3, 2, 4, 5).reshape(N, C * k * k, H * W)", more="(c, a, b) counts like the entries of an array of shape (C, k, k): c slowest, b fastest. a counts rows, b columns."),
    mistake("with the order (b, a, c)", "return columns.reshape(N, C * k * k, H * W)", "return columns.transpose(0, 3, 2, 1, 4, 5).reshape(N, C * k * k, H * W)", more="(c, a, b) counts like the entries of an array of shape (C, k, k): c slowest, b fastest."),
    mistake("if the pixels are counted column by column: (j, i)", "return columns.reshape(N, C * k * k, H * W)", "return columns.transpose(0, 1, 2, 3, 5, 4).reshape(N, C * k * k, H * W)", more="(i, j) counts like the entries of an array of shape (H, W)."),
    mistake("if windows and pixels are exchanged: (N, H·W, C·k²)", "return columns.reshape(N, C * k * k, H * W)", "return columns.reshape(N, C * k * k, H * W).transpose(0, 2, 1)", more="Each window is a column: the second axis is the place in the window, the last one the pixel."),
    mistake("if the samples are in one axis with the windows, (C·k², N·H·W)", "return columns.reshape(N, C * k * k, H * W)", "return columns.transpose(1, 2, 3, 0, 4, 5).reshape(C * k * k, N * H * W)", more="N stays an axis of its own."),
    mistake("if the samples are in one axis with the windows, (N·H·W, C·k²)", "return columns.reshape(N, C * k * k, H * W)", "return columns.transpose(0, 4, 5, 1, 2, 3).reshape(N * H * W, C * k * k)", more="N stays an axis of its own."),
    mistake("if an array (N, C, H, W, k, k), as sliding_window_view gives it, is reshaped without its axes being moved first", "return columns.reshape(N, C * k * k, H * W)", "return columns.transpose(0, 1, 4, 5, 2, 3).reshape(N, C * k * k, H * W)", more="reshape never moves entries. Which transpose brings k, k before H, W?"),
    mistake("if an array (N, H, W, C, k, k) is reshaped without its axes being moved first", "return columns.reshape(N, C * k * k, H * W)", "return columns.transpose(0, 4, 5, 1, 2, 3).reshape(N, C * k * k, H * W)", more="reshape never moves entries. Which transpose brings C, k, k before H, W?"),
    mistake("if an array (k, k, N, C, H, W) is reshaped without its axes being moved first", "return columns.reshape(N, C * k * k, H * W)", "return columns.transpose(2, 3, 0, 1, 4, 5).reshape(N, C * k * k, H * W)", more="reshape never moves entries. Which transpose brings N, C to the front?"),
    mistake("if an array (H, W, N, C, k, k) is reshaped without its axes being moved first", "return columns.reshape(N, C * k * k, H * W)", "return columns.transpose(4, 5, 0, 1, 2, 3).reshape(N, C * k * k, H * W)", more="reshape never moves entries."),
    mistake("if the axes are not joined: (N, C, k, k, H, W)", "return columns.reshape(N, C * k * k, H * W)", "return columns", more="The layout is right already. reshape joins axes that stand beside each other."),
    mistake("if only the pixels are not joined: (N, C·k², H, W)", "return columns.reshape(N, C * k * k, H * W)", "return columns.reshape(N, C * k * k, H, W)", more="(i, j) is one axis of length H·W."),
    mistake("if only (a, b) are joined: (N, C, k², H·W)", "return columns.reshape(N, C * k * k, H * W)", "return columns.reshape(N, C, k * k, H * W)", more="(c, a, b) is one axis."),
    mistake("if the window is mirrored: x_padded[i - a, j - b], a convolution in the strict sense", "columns[:, :, a, b] = x_padded[:, :, a : a + H, b : b + W]", "columns[:, :, k - 1 - a, k - 1 - b] = x_padded[:, :, a : a + H, b : b + W]", more="i + a, j + b: place (0, 0) of the window sees what lies up and to the left."),
    mistake("if the rows of the window are mirrored", "columns[:, :, a, b] = x_padded[:, :, a : a + H, b : b + W]", "columns[:, :, k - 1 - a, b] = x_padded[:, :, a : a + H, b : b + W]"),
    mistake("if the columns of the window are mirrored", "columns[:, :, a, b] = x_padded[:, :, a : a + H, b : b + W]", "columns[:, :, a, k - 1 - b] = x_padded[:, :, a : a + H, b : b + W]"),
    mistake("if the border repeats the nearest pixels, not zeros", "x_padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))", "x_padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), mode='edge')", more="np.pad has zeros if no mode is given."),
    mistake("if x goes on periodically at the border", "x_padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))", "x_padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), mode='wrap')", more="np.roll, and indices below 0, go round to the other side."),
    mistake("if x is mirrored at the border", "x_padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))", "x_padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), mode='symmetric')"),
    mistake("if the border has ones, not zeros", "x_padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))", "x_padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), constant_values=1)"),
    mistake("if all zeros lie below and to the right of x", "x_padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))", "x_padded = np.pad(x, ((0, 0), (0, 0), (0, 2 * p), (0, 2 * p)))", more="k // 2 on every side, so that the window is centred at its pixel."),
    mistake("if all zeros lie above and to the left of x", "x_padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))", "x_padded = np.pad(x, ((0, 0), (0, 0), (2 * p, 0), (2 * p, 0)))", more="k // 2 on every side, so that the window is centred at its pixel."),
    mistake("if there is one row and column of zeros more than k // 2 on each side", "p = k // 2", "p = k // 2 + 1", more="k = 3 needs 1, k = 1 needs none."),
    mistake("with k zeros on each side", "p = k // 2", "p = k", more="k = 3 needs 1, k = 1 needs none."),
    mistake("if only windows that lie within x count: there is no padding", "x_padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))", "x_padded, H, W = x, H - 2 * p, W - 2 * p", more="There have to be as many windows as pixels."),
    mistake("if all axes are padded, N and C too, as np.pad(x, p) does", "x_padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))", "x_padded = np.pad(x, p)\n    N, C = x_padded.shape[:2]", more="np.pad(x, ((0, 0), (0, 0), (p, p), (p, p))) pads H and W alone."),
    mistake("if pixel (i, j) is number i·H + j", "return columns.reshape(N, C * k * k, H * W)", "full = columns.reshape(N, C * k * k, H, W)\n    columns = np.zeros((N, C * k * k, H * W))\n    for i, j in np.ndindex(H, W):\n        columns[:, :, i * H + j] = full[:, :, i, j]\n    return columns", more="A row has W pixels, so row i begins at number i·W."),
    mistake("if the loops over the window end one early, as range(k - 1) does", "for a, b in np.ndindex(k, k):", "for a, b in np.ndindex(k - 1, k - 1):", more="range(k) ends at k - 1 already."),
    mistake("if the loops over the window begin at 1", "columns[:, :, a, b] = x_padded[:, :, a : a + H, b : b + W]", "columns[:, :, a, b] = x_padded[:, :, a : a + H, b : b + W] if a and b else 0", more="range(k) begins at 0."),
    mistake("if the loops over the pixels end one early, as range(H - 1) does", "return columns.reshape(N, C * k * k, H * W)", "columns[..., H - 1, :] = columns[..., W - 1] = 0\n    return columns.reshape(N, C * k * k, H * W)", more="range(H) ends at H - 1 already."),
    mistake("if only the middle of the window is filled", "columns[:, :, a, b] = x_padded[:, :, a : a + H, b : b + W]", "columns[:, :, p, p] = x"),
    mistake("if the slice of the last place (a, b) is everywhere", "columns[:, :, a, b] = x_padded[:, :, a : a + H, b : b + W]", "columns[:, :] = x_padded[:, :, None, None, a : a + H, b : b + W]"),
)

im2col = Exercise(
    12, "im2col", 5, "(10)", ("columns",), _im2col_cases(),
    mistakes=IM2COL,
    hints={"columns": ("For one place (a, b) in the window, what do all pixels (i, j) see? It is a slice of x_padded. From where to where?",
                       "x_padded[:, :, a : a + H, b : b + W]. There are k² of them; (c, a, b) has to be counted with c slowest and b fastest.",
                       "Fill an array of shape (N, C, k, k, H, W) and reshape it at the end.")},
    plain=True,
)

COL2IM = (
    mistake("if each pixel keeps what one window gave it, the last in a loop over (a, b): = in place of +=, or += with index arrays", "x_padded[:, :, a : a + H, b : b + W] += windows[:, :, a, b]", "x_padded[:, :, a : a + H, b : b + W] = windows[:, :, a, b]", more="A pixel lies in many windows, and gets something from each. = writes over what was there, and so does += with index arrays: it writes each place once. np.add.at adds all."),
    mistake("if each pixel keeps what one window gave it, the last in a loop over (i, j): = in place of +=", "x_padded[:, :, a : a + H, b : b + W] += windows[:, :, a, b]", "x_padded[:, :, k - 1 - a : k - 1 - a + H, k - 1 - b : k - 1 - b + W] = windows[:, :, k - 1 - a, k - 1 - b]", more="A pixel lies in many windows, and gets something from each. = writes over what was there."),
    mistake("if the loops over the window end one early, as range(k - 1) does", "for a, b in np.ndindex(k, k):", "for a, b in np.ndindex(k - 1, k - 1):", more="range(k) ends at k - 1 already."),
    mistake("if the loops over the window begin at 1", "for a, b in np.ndindex(k, k):", "for a, b in [(a, b) for a, b in np.ndindex(k, k) if a and b]:", more="range(k) begins at 0."),
    mistake("if the loops over the pixels end one early, as range(H - 1) does", "windows = columns.reshape(N, C, k, k, H, W)", "windows = columns.reshape(N, C, k, k, H, W).copy()\n    windows[..., H - 1, :] = windows[..., W - 1] = 0", more="range(H) ends at H - 1 already."),
    mistake("if column i·H + j is taken for pixel (i, j)", "windows = columns.reshape(N, C, k, k, H, W)", "i, j = np.indices((H, W))\n    windows = columns[:, :, i * H + j].reshape(N, C, k, k, H, W)", more="A row has W pixels, so row i begins at number i·W."),
    mistake("if the sum is divided by the number of windows that a pixel lies in", "return x_padded[:, :, p : p + H, p : p + W]", "counts = np.zeros((H + 2 * p, W + 2 * p))\n    for a, b in np.ndindex(k, k):\n        counts[a : a + H, b : b + W] += 1\n    return (x_padded / counts)[:, :, p : p + H, p : p + W]", more="The adjoint adds, it does not average: it isn't the inverse of im2col."),
    mistake("if the sum is divided by k²", "return x_padded[:, :, p : p + H, p : p + W]", "return x_padded[:, :, p : p + H, p : p + W] / (k * k)", more="The adjoint adds, it does not average."),
    mistake("if the padding is not cut off", "return x_padded[:, :, p : p + H, p : p + W]", "return x_padded", more="What fell on the zeros around x belongs to no entry of x."),
    mistake("if the padding is cut off with [p:-p], which is empty for k = 1, where p is 0", "return x_padded[:, :, p : p + H, p : p + W]", "return x_padded[:, :, p:-p, p:-p]", more="-0 is 0. Count from the beginning: from p to p + H."),
    mistake("if the padding is cut off at the end only: [:H, :W]", "return x_padded[:, :, p : p + H, p : p + W]", "return x_padded[:, :, :H, :W]", more="There are p rows of padding before x, too."),
    mistake("if all padding is cut off at the beginning", "return x_padded[:, :, p : p + H, p : p + W]", "return x_padded[:, :, 2 * p :, 2 * p :]", more="There are p rows of padding after x, too."),
    mistake("if only the middle of each window is taken", "x_padded[:, :, a : a + H, b : b + W] += windows[:, :, a, b]", "x_padded[:, :, p : p + H, p : p + W] = windows[:, :, p, p]", more="A pixel lies in many windows, and gets something from each."),
    mistake("if what was mirrored is added: place (a, b) at k - 1 - a, k - 1 - b", "x_padded[:, :, a : a + H, b : b + W] += windows[:, :, a, b]", "x_padded[:, :, a : a + H, b : b + W] += windows[:, :, k - 1 - a, k - 1 - b]", more="Each column goes back to the place that it was copied from: i + a, j + b."),
    mistake("if a and b are exchanged", "x_padded[:, :, a : a + H, b : b + W] += windows[:, :, a, b]", "x_padded[:, :, a : a + H, b : b + W] += windows[:, :, b, a]", more="a moves rows, b moves columns."),
    mistake("if the axis (c, a, b) is read as (a, b, c)", "windows = columns.reshape(N, C, k, k, H, W)", "windows = columns.reshape(N, k, k, C, H, W).transpose(0, 3, 1, 2, 4, 5)", more="It was counted like (C, k, k)."),
    mistake("if the pixels are read column by column: as (W, H)", "windows = columns.reshape(N, C, k, k, H, W)", "windows = columns.reshape(N, C, k, k, W, H).transpose(0, 1, 2, 3, 5, 4)", more="They were counted like (H, W)."),
    mistake("if columns is read as (N, C, H, W, k, k) without its axes being moved", "windows = columns.reshape(N, C, k, k, H, W)", "windows = columns.reshape(N, C, H, W, k, k).transpose(0, 1, 4, 5, 2, 3)", more="reshape never moves entries. The axes are (c, a, b) and then (i, j)."),
    mistake("if columns is transposed first, or read as (N, H, W, C, k, k)", "windows = columns.reshape(N, C, k, k, H, W)", "windows = columns.reshape(N, H, W, C, k, k).transpose(0, 3, 4, 5, 1, 2)", more="reshape never moves entries. The axes are (c, a, b) and then (i, j)."),
    mistake("if everything is added at the same place, without the offsets a and b", "x_padded[:, :, a : a + H, b : b + W] += windows[:, :, a, b]", "x_padded[:, :, p : p + H, p : p + W] += windows[:, :, a, b]", more="Column (a, b) came from the slice that starts at row a and column b."),
    mistake("if what falls on the padding goes round to the other side (np.roll, indices below 0)", "x_padded[:, :, a : a + H, b : b + W] += windows[:, :, a, b]", "x_padded[:, :, p : p + H, p : p + W] += np.roll(windows[:, :, a, b], (a - p, b - p), axis=(2, 3))", more="What falls outside x is dropped."),
    mistake("if the batch is added up", "return x_padded[:, :, p : p + H, p : p + W]", "return np.broadcast_to(x_padded.sum(axis=0), x_padded.shape)[:, :, p : p + H, p : p + W].copy()"),
)

col2im = Exercise(
    14, "col2im", 6, "(10)", ("x",), _col2im_cases(),
    mistakes=COL2IM,
    hints={"x": ("im2col reads k² slices of x_padded. What does the adjoint do with the same k² slices?",
                 "It adds to them. A pixel lies in up to k² windows, and gets something from each.",
                 "Add into zeros of shape (N, C, H + 2p, W + 2p), p = k // 2, and cut the padding off at the end.")},
    plain=True,
    places={what: lambda columns, shape, k, of=of: of(shape[2], shape[3], k // 2) for what, of in ROUND.items()},
)

CONV2D = (
    # forward
    mistake("with the kernel mirrored in both directions: a convolution in the strict sense", "K = kernel.reshape(O, C * k * k)", "K = kernel[:, :, ::-1, ::-1].reshape(O, C * k * k)", more="In (10), as in every library, nothing is mirrored: i + a, j + b."),
    mistake("with rows and columns of the kernel exchanged", "K = kernel.reshape(O, C * k * k)", "K = kernel.transpose(0, 1, 3, 2).reshape(O, C * k * k)", more="a counts rows, b columns."),
    mistake("if the kernel's axes are in the order (a, b, c)", "K = kernel.reshape(O, C * k * k)", "K = kernel.transpose(0, 2, 3, 1).reshape(O, C * k * k)", more="The columns have the order (c, a, b)."),
    mistake("if only the first channel of x is seen", "out = (K @ columns).reshape(N, O, H, W)", "out = (K.reshape(O, C, k * k)[:, 0] @ columns.reshape(N, C, k * k, H * W)[:, 0]).reshape(N, O, H, W)", more="Σ_{c,a,b}: the channels are summed too."),
    mistake("if the average is taken in place of the sum", "out = (K @ columns).reshape(N, O, H, W)", "out = (K @ columns).reshape(N, O, H, W) / (C * k * k)"),
    mistake("if the reshape takes the pixels for the output channels", "out = (K @ columns).reshape(N, O, H, W)", "out = (K @ columns).transpose(0, 2, 1).reshape(N, O, H, W)", more="K @ columns is (N, O, H·W) already. What does the transpose do to it before the reshape?"),
    mistake("if (O, N, ...) is reshaped to (N, O, ...)", "out = (K @ columns).reshape(N, O, H, W)", "out = (K @ columns).transpose(1, 0, 2).reshape(N, O, H, W)", more="reshape never moves entries: a transpose does."),
    mistake("if the pixels are not in two axes yet", "out = (K @ columns).reshape(N, O, H, W)", "out = K @ columns", more="(N, O, H·W) is to become (N, O, H, W)."),
    mistake("if H and W are exchanged in the last reshape", "out = (K @ columns).reshape(N, O, H, W)", "out = (K @ columns).reshape(N, O, W, H)"),
    mistake("without padding: only windows that lie within x", "out = (K @ columns).reshape(N, O, H, W)", "out = (K @ columns).reshape(N, O, H, W)[:, :, k // 2 : H - k // 2, k // 2 : W - k // 2]", more="out has as many pixels as x: k // 2 zeros on every side."),
    mistake("with a correlation of x without its padding's centre: shifted by one pixel", "columns = im2col(x, k)", "columns = im2col(np.roll(x, 1, axis=(2)), k)"),
    # backward: d_x
    mistake("if d_out is correlated with the kernel as it is, not mirrored", "d_x = col2im(d_columns, x.shape, k)", "d_x = np.stack([(kernel.transpose(1, 0, 2, 3).reshape(C, O * k * k) @ im2col(d_out, k)[n]).reshape(C, H, W) for n in range(N)])", more="x[i + a] meets kernel[a] in out[i]. Seen from x at i, out lies at i - a: the kernel has to be turned round, rows and columns."),
    mistake("if only the rows of the kernel are mirrored", "d_x = col2im(d_columns, x.shape, k)", "d_x = np.stack([(kernel[:, :, ::-1].transpose(1, 0, 2, 3).reshape(C, O * k * k) @ im2col(d_out, k)[n]).reshape(C, H, W) for n in range(N)])", more="Both directions."),
    mistake("if only the columns of the kernel are mirrored", "d_x = col2im(d_columns, x.shape, k)", "d_x = np.stack([(kernel[:, :, :, ::-1].transpose(1, 0, 2, 3).reshape(C, O * k * k) @ im2col(d_out, k)[n]).reshape(C, H, W) for n in range(N)])", more="Both directions."),
    mistake("if kernel.T stands for Kᵀ: it turns round all four axes of the kernel", "d_columns = K.T @ d_rows", "d_columns = kernel.T.reshape(-1, O) @ d_rows", more="First K = kernel.reshape(O, C * k * k), then K.T."),
    mistake("if only the first output channel is in d_x", "d_columns = K.T @ d_rows", "d_columns = K[:1].T @ d_rows[:, :1]", more="x is in all output channels: what comes back from them is summed."),
    mistake("if only the last output channel is in d_x", "d_columns = K.T @ d_rows", "d_columns = K[-1:].T @ d_rows[:, -1:]", more="x is in all output channels: what comes back from them is summed. += in place of =?"),
    mistake("if d_columns is returned, without col2im", "d_x = col2im(d_columns, x.shape, k)", "d_x = d_columns", more="im2col has an adjoint."),
    mistake("if only the middle of each window goes back", "d_x = col2im(d_columns, x.shape, k)", "d_x = d_columns.reshape(N, C, k, k, H, W)[:, :, k // 2, k // 2].copy()", more="A pixel lies in many windows: col2im adds what comes from all of them."),
    mistake("if the windows of d_columns are summed in place of col2im", "d_x = col2im(d_columns, x.shape, k)", "d_x = d_columns.reshape(N, C, k * k, H, W).sum(axis=2)", more="Each place (a, b) belongs to another pixel: i + a, j + b. col2im knows that."),
    mistake("if d_columns is averaged over the places in the window", "d_x = col2im(d_columns, x.shape, k)", "d_x = d_columns.reshape(N, C, k * k, H, W).mean(axis=2)"),
    mistake("if the kernel is left out of d_x", "d_x = col2im(d_columns, x.shape, k)", "d_x = col2im(np.ones((C * k * k, O)) @ d_rows, x.shape, k)", more="d_columns = Kᵀ d_out"),
    mistake("if d_out is left out of d_x", "d_x = col2im(d_columns, x.shape, k)", "d_x = col2im(K.T @ np.ones(d_rows.shape), x.shape, k)", more="d_columns = Kᵀ d_out"),
    mistake("if x goes back in place of d_columns", "d_x = col2im(d_columns, x.shape, k)", "d_x = col2im(columns, x.shape, k)"),
    mistake("if out goes back in place of d_out", "d_rows = d_out.reshape(N, O, H * W)", "d_rows = out.reshape(N, O, H * W)"),
    mistake("if d_out is left out: everything goes back from ones", "d_rows = d_out.reshape(N, O, H * W)", "d_rows = np.ones((N, O, H * W))", more="Where is d_out?"),
    mistake("if d_x is divided by the number of windows that a pixel lies in", "d_x = col2im(d_columns, x.shape, k)", "d_x = col2im(d_columns, x.shape, k) / col2im(np.ones((N, C * k * k, H * W)), x.shape, k)"),
    # backward: d_kernel
    mistake("if the samples are not summed: a d_kernel for each", "d_K = np.sum(d_rows @ columns.transpose(0, 2, 1), axis=0)", "d_K = d_rows @ columns.transpose(0, 2, 1)", "d_kernel = d_K.reshape(kernel.shape)", "d_kernel = d_K.reshape(N, *kernel.shape)", more="There is one kernel for all samples."),
    mistake("if d_kernel is averaged over the samples, not summed", "d_K = np.sum(d_rows @ columns.transpose(0, 2, 1), axis=0)", "d_K = np.mean(d_rows @ columns.transpose(0, 2, 1), axis=0)", more="L is a sum over all entries of out. Whether it is divided by N is decided in the loss, by d_out."),
    mistake("if d_kernel is that of the first sample", "d_K = np.sum(d_rows @ columns.transpose(0, 2, 1), axis=0)", "d_K = (d_rows @ columns.transpose(0, 2, 1))[0]", more="There is one kernel for all samples."),
    mistake("if d_kernel is that of the last sample", "d_K = np.sum(d_rows @ columns.transpose(0, 2, 1), axis=0)", "d_K = (d_rows @ columns.transpose(0, 2, 1))[-1]", more="There is one kernel for all samples. += in place of =?"),
    mistake("if d_kernel is averaged over the pixels", "d_K = np.sum(d_rows @ columns.transpose(0, 2, 1), axis=0)", "d_K = np.sum(d_rows @ columns.transpose(0, 2, 1), axis=0) / (H * W)"),
    mistake("if d_kernel is mirrored in both directions", "d_kernel = d_K.reshape(kernel.shape)", "d_kernel = d_K.reshape(kernel.shape)[:, :, ::-1, ::-1].copy()", more="kernel[a, b] meets x_padded[i + a, j + b]: nothing is mirrored."),
    mistake("if rows and columns of d_kernel are exchanged", "d_kernel = d_K.reshape(kernel.shape)", "d_kernel = d_K.reshape(kernel.shape).transpose(0, 1, 3, 2).copy()"),
    mistake("if d_out is left out of d_kernel", "d_K = np.sum(d_rows @ columns.transpose(0, 2, 1), axis=0)", "d_K = np.sum(np.ones(d_rows.shape) @ columns.transpose(0, 2, 1), axis=0)", more="d_K = Σ_n d_out[n] columns[n]ᵀ"),
    mistake("if d_kernel stays a matrix (O, C·k²)", "d_kernel = d_K.reshape(kernel.shape)", "d_kernel = d_K", more="A gradient has the shape of what it belongs to."),
    mistake("if d_kernel's axes are read as (O, k, k, C)", "d_kernel = d_K.reshape(kernel.shape)", "d_kernel = d_K.reshape(O, k, k, C).transpose(0, 3, 1, 2).copy()"),
    mistake("if d_kernel is made of x without its padding: only the middle of the window is filled", "d_kernel = d_K.reshape(kernel.shape)", "d_kernel = np.zeros(kernel.shape)\n        d_kernel[:, :, k // 2, k // 2] = d_K.reshape(kernel.shape)[:, :, k // 2, k // 2]"),
)

conv2d = Exercise(
    13, "conv2d", 5, "(10)", ("out", "d_x", "d_kernel"), _conv_cases(),
    mistakes=CONV2D,
    hints={
        "out": ("With the windows as columns, one matrix product does it all. Which matrix does the kernel become, of which shape?",
                "K = kernel.reshape(O, C * k * k). K @ columns is (N, O, H·W)."),
        "d_x": ("x makes columns, and columns make out. What is the gradient of columns in out = K columns?",
                "d_columns = Kᵀ d_out, and im2col sends it back to x by its adjoint."),
        "d_kernel": ("K is the same for all samples and all pixels. What is the gradient of K in out = K columns?",
                     "d_K = Σ_n d_out[n] columns[n]ᵀ: the matrix product sums over the pixels, and the samples are summed too."),
        "im2col": ("kernel is (O, C, k, k). From which axis is k taken?",),
        "col2im": ("col2im needs the shape of x, (N, C, H, W) without padding. What do you hand to it, and is x still what forward got?",),
        "conv2d": ("Seen as a convolution of d_out, d_x needs a kernel of shape (C, O, k, k), turned round. Which axes of yours have to be exchanged?",),
    },
    uses=("im2col", "col2im"),
    places={what: lambda x, kernel, of=of: of(*x.shape[2:], kernel.shape[-1] // 2) for what, of in ROUND.items()},
)
