"""12 to 14: the convolution."""

import numpy as np

from cbam_np.course.exercise import Case, Exercise
from cbam_np.course.exercises.inputs import KERNELS, SIZES, nchw, normal

_WITH_K = tuple(zip(SIZES, (*KERNELS[:3], 1), strict=True))


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


im2col = Exercise(
    12, "im2col", 5, "(10)", ("columns",), _im2col_cases(),
    mistakes=(),
    hints={"columns": ("For one place (a, b) in the window, what do all pixels (i, j) see? It is a slice of x_padded. From where to where?",
                       "x_padded[:, :, a : a + H, b : b + W]. There are k² of them; (c, a, b) has to be counted with c slowest and b fastest.",
                       "Fill an array of shape (N, C, k, k, H, W) and reshape it at the end.")},
    plain=True,
)

col2im = Exercise(
    13, "col2im", 6, "(10)", ("x",), _col2im_cases(),
    mistakes=(),
    hints={"x": ("im2col reads k² slices of x_padded. What does the adjoint do with the same k² slices?",
                 "It adds to them. A pixel lies in up to k² windows, and gets something from each.",
                 "Add into zeros of shape (N, C, H + 2p, W + 2p), p = k // 2, and cut the padding off at the end.")},
    plain=True,
)

conv2d = Exercise(
    14, "conv2d", 5, "(10)", ("out", "d_x", "d_kernel"), _conv_cases(),
    mistakes=(),
    hints={
        "out": ("With the windows as columns, one matrix product does it all. Which matrix does the kernel become, of which shape?",
                "K = kernel.reshape(O, C * k * k). K @ columns is (N, O, H·W)."),
        "d_x": ("x makes columns, and columns make out. What is the gradient of columns in out = K columns?",
                "d_columns = Kᵀ d_out, and im2col sends it back to x by its adjoint."),
        "d_kernel": ("K is the same for all samples and all pixels. What is the gradient of K in out = K columns?",
                     "d_K = Σ_n d_out[n] columns[n]ᵀ: the matrix product sums over the pixels, and the samples are summed too."),
    },
    uses=("im2col", "col2im"),
)
