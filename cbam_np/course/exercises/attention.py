"""9, 10, 11 and 15: the sigmoid, the gate, and both attentions."""

import numpy as np

from cbam_np.course.exercise import Case, Exercise, mistake
from cbam_np.course.exercises.inputs import SIZES, block_inputs, nchw, normal

SIGMOID = (
    # forward
    mistake("with e^x in place of e^-x, or with the two branches exchanged: that is 1 - σ", "np.where(x >= 0, 1.0, e) / (1 + e)", "np.where(x >= 0, e, 1.0) / (1 + e)", more="What should σ of a large x be?"),
    mistake("if σ(|x|) is computed: the sign of x is lost", "np.where(x >= 0, 1.0, e) / (1 + e)", "1 / (1 + e)", more="σ(-2) is below 1/2. With e^-|x| there are two cases."),
    mistake("if σ(-|x|) is computed: the sign of x is lost", "np.where(x >= 0, 1.0, e) / (1 + e)", "e / (1 + e)", more="σ(2) is above 1/2. With e^-|x| there are two cases."),
    mistake("with tanh(x)", "np.where(x >= 0, 1.0, e) / (1 + e)", "np.tanh(x)", more="σ lies between 0 and 1, and σ(0) = 1/2."),
    mistake("with (1 + tanh(x)) / 2: the argument has to be halved", "np.where(x >= 0, 1.0, e) / (1 + e)", "(1 + np.tanh(x)) / 2", more="σ(x) = (1 + tanh(x/2)) / 2"),
    mistake("with tanh(x/2)", "np.where(x >= 0, 1.0, e) / (1 + e)", "np.tanh(x / 2)", more="σ(x) = (1 + tanh(x/2)) / 2"),
    mistake("with the ReLU, the other σ", "np.where(x >= 0, 1.0, e) / (1 + e)", "np.maximum(x, 0)"),
    mistake("with a softmax over the last axis", "np.where(x >= 0, 1.0, e) / (1 + e)", "np.exp(x - x.max(axis=-1, keepdims=True)) / np.exp(x - x.max(axis=-1, keepdims=True)).sum(axis=-1, keepdims=True)", more="σ works entry by entry."),
    mistake("if x is clipped to ±20 first: σ(20) is still 2e-9 away from 1", "np.where(x >= 0, 1.0, e) / (1 + e)", "1 / (1 + np.exp(-np.clip(x, -20, 20)))", more="How far may the clip be, so that nobody sees it in 1e-12? e^700 is no overflow yet."),
    mistake("if x is clipped to ±10 first: σ(10) is still 5e-5 away from 1", "np.where(x >= 0, 1.0, e) / (1 + e)", "1 / (1 + np.exp(-np.clip(x, -10, 10)))", more="How far may the clip be, so that nobody sees it in 1e-12? e^700 is no overflow yet."),
    mistake("if '1 / 1 + e' is computed: brackets are missing", "np.where(x >= 0, 1.0, e) / (1 + e)", "1 / 1 + np.exp(np.minimum(-x, 700))", more="Python divides before it adds."),
    # backward
    mistake("if d_out is left out: σ (1 - σ) alone", "d_out * out * (1 - out)", "out * (1 - out)", more="σ′ is the slope. The chain rule multiplies it with d_out."),
    mistake("with the slope σ: the factor 1 - σ is missing", "d_out * out * (1 - out)", "d_out * out", more="How does σ move when it is near 1 already?"),
    mistake("with the slope 1 - σ: the factor σ is missing", "d_out * out * (1 - out)", "d_out * (1 - out)", more="How does σ move when it is near 0?"),
    mistake("with the slope x (1 - x)", "d_out * out * (1 - out)", "d_out * x * (1 - x)", more="σ′ = σ (1 - σ), with the output, not the input."),
    mistake("with d_out (1 - d_out)", "d_out * out * (1 - out)", "d_out * (1 - d_out)", more="σ′ = σ (1 - σ) is the slope, and d_out is one more factor."),
    mistake("if σ is applied to out once more", "d_out * out * (1 - out)", "d_out * sigmoid(out)[0] * (1 - sigmoid(out)[0])", more="out is σ(x) already."),
    mistake("if the bracket is missing: d_out * σ * 1 - σ", "d_out * out * (1 - out)", "d_out * out * 1 - out", more="Python multiplies before it subtracts."),
    mistake("with the slope σ (1 + σ)", "d_out * out * (1 - out)", "d_out * out * (1 + out)"),
    mistake("with the slope σ²", "d_out * out * (1 - out)", "d_out * out * out"),
    mistake("with the slope (1 - σ)²", "d_out * out * (1 - out)", "d_out * (1 - out) ** 2"),
    mistake("with the slope 1 - σ², that of tanh", "d_out * out * (1 - out)", "d_out * (1 - out**2)"),
    mistake("with the slope σ²(1 - σ)", "d_out * out * (1 - out)", "d_out * out**2 * (1 - out)"),
    mistake("with the slope (σ (1 - σ))²", "d_out * out * (1 - out)", "d_out * (out * (1 - out)) ** 2"),
    mistake("if the square in e^-x / (1 + e^-x)² is missing", "d_out * out * (1 - out)", "d_out * e / (1 + e)"),
    mistake("if d_out comes back as it is", "d_out * out * (1 - out)", "d_out.copy()", more="σ isn't as steep everywhere: what is its slope at a large x?"),
    mistake("with the slope of the ReLU", "d_out * out * (1 - out)", "d_out * (x > 0)"),
    mistake("if σ is applied to d_out", "d_out * out * (1 - out)", "sigmoid(d_out)[0]", more="The backward multiplies d_out with a slope."),
    mistake("if σ′ is taken at d_out, not at x", "d_out * out * (1 - out)", "sigmoid(d_out)[0] * (1 - sigmoid(d_out)[0])", more="σ′ belongs to x."),
)

sigmoid = Exercise(
    9, "sigmoid", 4, "(6), (10)", ("out", "d_x"),
    (
        Case((normal(0, 3, 8) * 3,), {"N": 3, "C": 8}),
        Case((np.array([[-2.0, 0.0, 1.0]]),), {"N": 1, "C": 3}),
        Case((np.array([[-1000.0, -750.0, -40.0, 40.0, 750.0, 1000.0]]),), {"N": 1, "C": 6}, "x = -1000, -750, -40, 40, 750, 1000"),
        Case((normal(1, 2, 1, 5, 4) * 3,), {"N": 2, "H": 5, "W": 4}),
    ),
    mistakes=SIGMOID,
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


GATE = (
    # forward
    mistake("with + in place of the product", "out = m * f", "out = m + f"),
    mistake("if f is added: f + m ⊗ f", "out = m * f", "out = f + m * f", more="In (7) there is the product alone."),
    mistake("if σ is applied to m here", "out = m * f", "out = f / (1 + np.exp(-m))", more="m is a map already: the sigmoid has been applied to it."),
    mistake("if f is returned", "out = m * f", "out = f.copy()"),
    mistake("if f is divided by m", "out = m * f", "out = f / m"),
    # backward: d_m
    mistake("if nothing is summed in d_m", "np.sum(d_out * f, axis=axes, keepdims=True)", "d_out * f", more="m has one entry where f has many. What becomes of the gradients of its many uses?"),
    mistake("if d_m is summed over H and W for both kinds of map", "axes = tuple(axis for axis in (1, 2, 3) if m.shape[axis] == 1)", "axes = (2, 3)", more="The function is called with two kinds of map, (N, C, 1, 1) and (N, 1, H, W). Along which axes is m broadcast in each?"),
    mistake("if d_m is summed over C for both kinds of map", "axes = tuple(axis for axis in (1, 2, 3) if m.shape[axis] == 1)", "axes = (1,)", more="The function is called with two kinds of map, (N, C, 1, 1) and (N, 1, H, W). Along which axes is m broadcast in each?"),
    mistake("if d_m is summed over all of C, H and W", "axes = tuple(axis for axis in (1, 2, 3) if m.shape[axis] == 1)", "axes = (1, 2, 3)", more="Only along the axes where m has length 1."),
    mistake("if the summed axes are not kept: keepdims=True is missing", ", keepdims=True)", ")", more="A gradient has the shape of what it belongs to, here that of m."),
    mistake("if d_m is summed over the samples too", "np.sum(d_out * f, axis=axes, keepdims=True)", "np.sum(d_out * f, axis=(0, *axes), keepdims=True)", more="Every sample has a map of its own."),
    mistake("if d_m is summed over everything", "np.sum(d_out * f, axis=axes, keepdims=True)", "np.sum(d_out * f)"),
    mistake("if d_m is averaged, not summed", "np.sum(d_out * f, axis=axes, keepdims=True)", "np.mean(d_out * f, axis=axes, keepdims=True)", more="The gradients of many uses are added."),
    mistake("if d_m is averaged for M_c and summed for M_s, or the other way round", "np.sum(d_out * f, axis=axes, keepdims=True)", "(np.mean if m.shape[1] > 1 else np.sum)(d_out * f, axis=axes, keepdims=True)"),
    mistake("if f is missing in d_m: only d_out is summed", "np.sum(d_out * f, axis=axes, keepdims=True)", "np.sum(d_out, axis=axes, keepdims=True)", more="With which factor does m stand in out?"),
    mistake("if m stands in place of f in d_m", "np.sum(d_out * f, axis=axes, keepdims=True)", "np.sum(d_out * m, axis=axes, keepdims=True)", more="In m ⊗ f, the slope along m is the other factor."),
    mistake("if out stands in place of f in d_m", "np.sum(d_out * f, axis=axes, keepdims=True)", "np.sum(d_out * out, axis=axes, keepdims=True)", more="In m ⊗ f, the slope along m is the other factor."),
    mistake("if d_out is left out of d_m: only f is summed", "np.sum(d_out * f, axis=axes, keepdims=True)", "np.sum(f, axis=axes, keepdims=True)", more="f is the slope. The chain rule multiplies it with d_out."),
    mistake("if d_out and f are summed before they are multiplied", "np.sum(d_out * f, axis=axes, keepdims=True)", "np.sum(d_out, axis=axes, keepdims=True) * np.sum(f, axis=axes, keepdims=True)", more="A sum of products isn't a product of sums."),
    mistake("if the maximum is taken in place of the sum", "np.sum(d_out * f, axis=axes, keepdims=True)", "np.max(d_out * f, axis=axes, keepdims=True)"),
    mistake("if the slope of a sigmoid is a factor in d_m", "np.sum(d_out * f, axis=axes, keepdims=True)", "np.sum(d_out * f, axis=axes, keepdims=True) * m * (1 - m)", more="There is no sigmoid in this function."),
    mistake("if nothing is summed in d_m, and f is missing", "np.sum(d_out * f, axis=axes, keepdims=True)", "d_out.copy()"),
    # backward: d_f
    mistake("if m is missing in d_f", "d_f = d_out * m", "d_f = d_out.copy()", more="With which factor does f stand in out?"),
    mistake("if f stands in place of m in d_f", "d_f = d_out * m", "d_f = d_out * f", more="In m ⊗ f, the slope along f is the other factor."),
    mistake("if d_out is left out of d_f: m alone", "d_f = d_out * m", "d_f = np.broadcast_to(m, f.shape)", more="m is the slope. The chain rule multiplies it with d_out."),
    mistake("if d_out is left out of d_f, in the shape of m", "d_f = d_out * m", "d_f = m.copy()", more="m is the slope. The chain rule multiplies it with d_out."),
    mistake("if d_out is divided by m in d_f", "d_f = d_out * m", "d_f = d_out / m"),
    mistake("if out is a factor in d_f", "d_f = d_out * m", "d_f = d_out * out"),
    mistake("if d_f is summed like d_m", "d_f = d_out * m", "d_f = np.sum(d_out * m, axis=axes, keepdims=True)", more="Every entry of f is used once."),
    mistake("if what comes back through m is put into d_f here", "d_f = d_out * m", "d_f = d_out * m + d_m", more="m and f are two inputs here. What m sends back to F is added later, by whoever made m of F."),
)

gate = Exercise(
    10, "gate", 4, "(7), (11)", ("out", "d_m", "d_f"), _gate_cases(),
    mistakes=GATE,
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
