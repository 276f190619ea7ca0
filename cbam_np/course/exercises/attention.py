"""9, 10, 11 and 15: the sigmoid, the gate, and both attentions."""

import numpy as np

from cbam_np.course.exercise import Case, Exercise
from cbam_np.course.exercises.inputs import SIZES, block_inputs, nchw, normal

sigmoid = Exercise(
    9, "sigmoid", 4, "(6), (10)", ("out", "d_x"),
    (
        Case((normal(0, 3, 8) * 3,), {"N": 3, "C": 8}),
        Case((np.array([[-2.0, 0.0, 1.0]]),), {"N": 1, "C": 3}),
        Case((np.array([[-1000.0, -750.0, -40.0, 40.0, 750.0, 1000.0]]),), {"N": 1, "C": 6}, "x = -1000, -750, -40, 40, 750, 1000"),
        Case((normal(1, 2, 1, 5, 4) * 3,), {"N": 2, "H": 5, "W": 4}),
    ),
    mistakes=(),
    hints={
        "out": ("What should σ(0) be, and σ of a large number, positive and negative?",),
        "d_x": ("What is the derivative of 1 / (1 + e^{-x})? It can be written with σ(x) alone.", "σ′ = σ (1 - σ). The chain rule multiplies it with d_out."),
        "warning": ("For which x does e^{-x} become larger than any float64? Is there a form of σ that needs only e to a negative number?",
                    "Multiply numerator and denominator by e^x: σ(x) = e^x / (1 + e^x). One form is safe for x > 0, the other for x < 0. "
                    "np.where computes both of its branches for every x, so the exponent has to be safe in each: -|x|."),
    },
    quiet=True, tolerance=1e-12,
)


def _gate_cases() -> tuple[Case, ...]:
    cases = []
    for i, sizes in enumerate(SIZES):
        N, C, H, W = nchw(sizes)
        for j, shape in enumerate(((N, C, 1, 1), (N, 1, H, W))):
            cases.append(Case((normal(10 * j + i, *shape), normal(20 + i, N, C, H, W)), sizes, ("M_c", "M_s")[j]))
    return tuple(cases)


gate = Exercise(
    10, "gate", 4, "(7), (11)", ("out", "d_m", "d_f"), _gate_cases(),
    mistakes=(),
    hints={
        "out": ("Entry by entry: out[n, c, i, j] = m[...] · f[n, c, i, j]. What does NumPy do with axes of length 1?",),
        "d_m": ("In how many entries of out does one entry of m occur, and with which factor?",
                "m[n, c] gates all pixels of its channel, so it collects from all of them: a sum over the axes along which m has length 1.",
                "np.sum(..., axis=..., keepdims=True), with the axes found from m.shape, as the function is called with both kinds of map."),
        "d_f": ("In how many entries of out does one entry of f occur, and with which factor?", "In one, with the factor m."),
    },
)

channel_attention = Exercise(
    11, "channel_attention", 4, "(1), (3)–(7)", ("f1", "d_f", "d_w1", "d_w2"), block_inputs("f", "w1", "w2"),
    mistakes=(),
    hints={
        "f1": ("Go through the formulas in order: two poolings, the MLP of each, one sum, one sigmoid, one product. Which shape has each?",
               "m_c comes as (N, C) from the sigmoid and gates (N, C, H, W)."),
        "d_f": ("F is used more than once. On how many ways does it reach F′, and what comes back on each of them?",
                "Three: as the features in the gate, through the average, through the maximum. Their gradients are added."),
        "d_w1": ("The MLP is used twice with the same weights. What becomes of the two gradients?", "They are added."),
        "d_w2": ("The MLP is used twice with the same weights. What becomes of the two gradients?", "They are added."),
    },
    uses=("avg_pool_over_space", "max_pool_over_space", "relu", "mlp", "sigmoid", "gate"),
)

spatial_attention = Exercise(
    15, "spatial_attention", 6, "(2), (8)–(11)", ("f2", "d_f1", "d_kernel"), block_inputs("f", "kernel"),
    mistakes=(),
    hints={
        "f2": ("Go through the formulas in order: two poolings over channels, [avg; max] as two channels, the convolution, the sigmoid, the product.",
               "np.concatenate([avg_s, max_s], axis=1) has the shape (N, 2, H, W)."),
        "d_f1": ("F′ is used more than once. On how many ways does it reach F″, and what comes back on each of them?",
                 "Three: as the features in the gate, through the average, through the maximum. Their gradients are added."),
        "d_kernel": ("What is the upstream gradient of the convolution? Follow d_f2 back: gate, sigmoid, convolution.",),
    },
    uses=("avg_pool_over_channels", "max_pool_over_channels", "sigmoid", "gate", "im2col", "col2im", "conv2d"),
)
