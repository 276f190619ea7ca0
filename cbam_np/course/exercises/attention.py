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
    mistake("with the slope σ (1 - x)", "d_out * out * (1 - out)", "d_out * out * (1 - x)", more="σ′ = σ (1 - σ), with the output both times."),
    mistake("if the bracket is missing: d_out * σ - σ²", "d_out * out * (1 - out)", "d_out * out - out**2", more="d_out multiplies the whole slope."),
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
        Case((np.array([[-1000.0, -750.0, -40.0, 0.5, 40.0, 750.0, 1000.0]]),), {"N": 1, "C": 7}, "x from -1000 to 1000"),
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
    mistake("if m is squared in d_f", "d_f = d_out * m", "d_f = d_out * m * m", more="f stands in out with the factor m, once."),
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

CHANNEL_ATTENTION = (
    # forward
    mistake("without the maximum: σ(MLP(F^c_avg))", "m_c, sigmoid_backward = sigmoid(s_avg + s_max)", "m_c, sigmoid_backward = sigmoid(s_avg)", more="Formula (6) has two terms."),
    mistake("without the average: σ(MLP(F^c_max))", "m_c, sigmoid_backward = sigmoid(s_avg + s_max)", "m_c, sigmoid_backward = sigmoid(s_max)", more="Formula (6) has two terms."),
    mistake("without the sigmoid: F is multiplied by s", "m_c, sigmoid_backward = sigmoid(s_avg + s_max)", "m_c, sigmoid_backward = s_avg + s_max, lambda d: d", more="A gate lies between 0 and 1."),
    mistake("with σ of each term, and then the sum", "m_c, sigmoid_backward = sigmoid(s_avg + s_max)", "m_c, sigmoid_backward = sigmoid(s_avg)[0] + sigmoid(s_max)[0], lambda d: d", more="First the sum, then one sigmoid."),
    mistake("with the product of two gates, σ(MLP(avg)) · σ(MLP(max))", "m_c, sigmoid_backward = sigmoid(s_avg + s_max)", "m_c, sigmoid_backward = sigmoid(s_avg)[0] * sigmoid(s_max)[0], lambda d: d", more="First the sum, then one sigmoid."),
    mistake("with the average of both terms, (a + b) / 2", "m_c, sigmoid_backward = sigmoid(s_avg + s_max)", "m_c, sigmoid_backward = sigmoid((s_avg + s_max) / 2)", more="In (6) they are added."),
    mistake("if the pixels are summed in place of averaged", "s_avg, mlp_avg_backward = mlp(avg_c, w1, w2)", "s_avg, mlp_avg_backward = mlp(f.sum(axis=(2, 3)), w1, w2)", more="(3) is an average."),
    mistake("with the product of both terms", "m_c, sigmoid_backward = sigmoid(s_avg + s_max)", "m_c, sigmoid_backward = sigmoid(s_avg * s_max)", more="In (6) they are added."),
    mistake("with the difference of both terms", "m_c, sigmoid_backward = sigmoid(s_avg + s_max)", "m_c, sigmoid_backward = sigmoid(s_avg - s_max)", more="In (6) they are added."),
    mistake("with the larger of both terms", "m_c, sigmoid_backward = sigmoid(s_avg + s_max)", "m_c, sigmoid_backward = sigmoid(np.maximum(s_avg, s_max))", more="In (6) they are added."),
    mistake("if one MLP gets the sum of both pooled vectors: MLP(avg + max)", "s_avg, mlp_avg_backward = mlp(avg_c, w1, w2)", "s_avg, mlp_avg_backward = mlp(avg_c + max_c, w1, w2)", "m_c, sigmoid_backward = sigmoid(s_avg + s_max)", "m_c, sigmoid_backward = sigmoid(s_avg)", more="The ReLU in between makes a difference: each vector goes through the MLP by itself."),
    mistake("if the average goes through the MLP twice, and the maximum not at all", "s_max, mlp_max_backward = mlp(max_c, w1, w2)", "s_max, mlp_max_backward = mlp(avg_c, w1, w2)", more="Which vector is the second one?"),
    mistake("if the maximum goes through the MLP twice, and the average not at all", "s_avg, mlp_avg_backward = mlp(avg_c, w1, w2)", "s_avg, mlp_avg_backward = mlp(max_c, w1, w2)", more="Which vector is the first one?"),
    mistake("if each MLP's result goes through a sigmoid, and their sum through another", "m_c, sigmoid_backward = sigmoid(s_avg + s_max)", "m_c, sigmoid_backward = sigmoid(sigmoid(s_avg)[0] + sigmoid(s_max)[0])", more="There is one sigmoid in (6), after the sum."),
    mistake("with two sigmoids, one after the other", "m_c, sigmoid_backward = sigmoid(s_avg + s_max)", "m_c, sigmoid_backward = sigmoid(sigmoid(s_avg + s_max)[0])", more="There is one sigmoid in (6)."),
    mistake("with a softmax over the channels in place of the sigmoid", "m_c, sigmoid_backward = sigmoid(s_avg + s_max)", "m_c, sigmoid_backward = np.exp(s_avg + s_max - np.max(s_avg + s_max, axis=1, keepdims=True)) / np.exp(s_avg + s_max - np.max(s_avg + s_max, axis=1, keepdims=True)).sum(axis=1, keepdims=True), lambda d: d", more="Channels don't compete here: every one has a gate of its own."),
    mistake("with the ReLU in place of the sigmoid", "m_c, sigmoid_backward = sigmoid(s_avg + s_max)", "m_c, sigmoid_backward = relu(s_avg + s_max)", more="In (6) σ is the sigmoid."),
    mistake("with tanh in place of the sigmoid", "m_c, sigmoid_backward = sigmoid(s_avg + s_max)", "m_c, sigmoid_backward = np.tanh(s_avg + s_max), lambda d: d"),
    mistake("if the map M_c is returned, not F′", "f1, gate_backward = gate(m_c[:, :, None, None], f)", "f1, gate_backward = m_c[:, :, None, None], gate(m_c[:, :, None, None], f)[1]", more="Formula (7) comes last: F′ = M_c ⊗ F."),
    mistake("if the map M_c is returned as (N, C), not F′", "f1, gate_backward = gate(m_c[:, :, None, None], f)", "f1, gate_backward = m_c, gate(m_c[:, :, None, None], f)[1]", more="Formula (7) comes last: F′ = M_c ⊗ F."),
    mistake("if F is added: F + M_c ⊗ F", "f1, gate_backward = gate(m_c[:, :, None, None], f)", "_, gate_backward = gate(m_c[:, :, None, None], f)\n    f1 = f + m_c[:, :, None, None] * f", more="In (7) there is the product alone."),
    mistake("if M_c is added to F", "f1, gate_backward = gate(m_c[:, :, None, None], f)", "_, gate_backward = gate(m_c[:, :, None, None], f)\n    f1 = f + m_c[:, :, None, None]", more="(7) is a product."),
    mistake("if F is returned as it is", "f1, gate_backward = gate(m_c[:, :, None, None], f)", "_, gate_backward = gate(m_c[:, :, None, None], f)\n    f1 = f.copy()"),
    mistake("if M_c is averaged over the samples", "m_c, sigmoid_backward = sigmoid(s_avg + s_max)", "m_c, sigmoid_backward = sigmoid(s_avg + s_max)\n    m_c = np.broadcast_to(m_c.mean(axis=0), m_c.shape)"),
    mistake("if the gate is applied twice", "f1, gate_backward = gate(m_c[:, :, None, None], f)", "_, gate_backward = gate(m_c[:, :, None, None], f)\n    f1 = m_c[:, :, None, None] ** 2 * f"),
    # backward: d_f
    mistake("without the map's path: F as features only, M_c as a constant", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)", "d_f = d_f_gate", more="M_c is made of F too. " + "F reaches F′ on three ways: as the features, through the average, through the maximum."),
    mistake("without the gate's path: only what comes back through the map", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)", "d_f = avg_backward(d_avg_c) + max_backward(d_max_c)", more="F reaches F′ on three ways: as the features, through the average, through the maximum."),
    mistake("without the way back through the average", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)", "d_f = d_f_gate + max_backward(d_max_c)", more="F reaches F′ on three ways: as the features, through the average, through the maximum."),
    mistake("without the way back through the maximum", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)", "d_f = d_f_gate + avg_backward(d_avg_c)", more="F reaches F′ on three ways: as the features, through the average, through the maximum."),
    mistake("with the way back through the average alone", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)", "d_f = avg_backward(d_avg_c)", more="F reaches F′ on three ways: as the features, through the average, through the maximum."),
    mistake("with the way back through the maximum alone", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)", "d_f = max_backward(d_max_c)", more="F reaches F′ on three ways: as the features, through the average, through the maximum."),
    mistake("if the three paths are multiplied, not added", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)", "d_f = d_f_gate * (avg_backward(d_avg_c) + max_backward(d_max_c))", more="What is used several times gets the sum."),
    mistake("if the paths are averaged: a factor 1/2", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)", "d_f = (d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)) / 2", more="What is used several times gets the sum."),
    mistake("if the two poolings are averaged: their sum is halved", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)", "d_f = d_f_gate + (avg_backward(d_avg_c) + max_backward(d_max_c)) / 2", more="What is used several times gets the sum."),
    mistake("if the gradients of the two poolings are exchanged", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)", "d_f = d_f_gate + avg_backward(d_max_c) + max_backward(d_avg_c)", more="Which gradient belongs to which pooling?"),
    mistake("if the average's gradient goes back through both poolings", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_avg_c)", more="Which gradient belongs to which pooling?"),
    mistake("if the maximum's gradient goes back through both poolings", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)", "d_f = d_f_gate + avg_backward(d_max_c) + max_backward(d_max_c)", more="Which gradient belongs to which pooling?"),
    mistake("if the map's path is weighted with M_c once more", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)", "d_f = d_f_gate + m_c[:, :, None, None] * (avg_backward(d_avg_c) + max_backward(d_max_c))"),
    mistake("if the gate's path is counted twice", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)", "d_f = 2 * d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)"),
    mistake("if M_c is missing in the gate's path: d_f1 itself is added", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)", "d_f = d_f1 + avg_backward(d_avg_c) + max_backward(d_max_c)", more="F′ = M_c ⊗ F: with which factor does F stand there?"),
    mistake("if the gate's path is d_f1 alone, and the map's is missing", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)", "d_f = d_f1.copy()", more="F′ = M_c ⊗ F: with which factor does F stand there?"),
    mistake("if the average's share 1/(H·W) is missing", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)", "d_f = d_f_gate + d_avg_c[:, :, None, None] + max_backward(d_max_c)", more="If one pixel grows by 1, by how much does its channel's average grow?"),
    mistake("if the maximum's gradient goes to all pixels", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)", "d_f = d_f_gate + avg_backward(d_avg_c) + d_max_c[:, :, None, None]", more="Which pixel moves the maximum?"),
    mistake("if the maximum is sent back like an average", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)", "d_f = d_f_gate + avg_backward(d_avg_c) + avg_backward(d_max_c)", more="Which pixel moves the maximum?"),
    mistake("if the average is sent back like a maximum", "d_f = d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c)", "d_f = d_f_gate + max_backward(d_avg_c) + max_backward(d_max_c)", more="Which pixels move the average?"),
    # backward: the map
    mistake("if the two results of the gate's backward are exchanged", "d_m_c, d_f_gate = gate_backward(d_f1)", "d_f_gate, d_m_c = gate_backward(d_f1)", more="gate(m, f) has m first, and so has its backward."),
    mistake("without the derivative of the sigmoid", "d_s = sigmoid_backward(d_m_c[:, :, 0, 0])", "d_s = d_m_c[:, :, 0, 0]", more="Between M_c and s stands σ."),
    mistake("if the derivative of the sigmoid is applied twice", "d_s = sigmoid_backward(d_m_c[:, :, 0, 0])", "d_s = sigmoid_backward(sigmoid_backward(d_m_c[:, :, 0, 0]))", more="Between M_c and s stands one σ. Is its slope in two places?"),
    mistake("with the slope M_c of the sigmoid: the factor 1 - M_c is missing", "d_s = sigmoid_backward(d_m_c[:, :, 0, 0])", "d_s = d_m_c[:, :, 0, 0] * m_c", more="σ′ = σ (1 - σ)"),
    mistake("with the slope 1 - M_c of the sigmoid: the factor M_c is missing", "d_s = sigmoid_backward(d_m_c[:, :, 0, 0])", "d_s = d_m_c[:, :, 0, 0] * (1 - m_c)", more="σ′ = σ (1 - σ)"),
    mistake("with the slope s (1 - s): of the sigmoid's input, not its output", "d_s = sigmoid_backward(d_m_c[:, :, 0, 0])", "d_s = d_m_c[:, :, 0, 0] * (s_avg + s_max) * (1 - s_avg - s_max)", more="σ′ = σ (1 - σ)"),
    mistake("if σ is applied to M_c once more for the slope", "d_s = sigmoid_backward(d_m_c[:, :, 0, 0])", "d_s = sigmoid(m_c)[1](d_m_c[:, :, 0, 0])", more="M_c is σ(s) already."),
    mistake("if F is missing in d_m_c: d_f1 is summed alone", "d_s = sigmoid_backward(d_m_c[:, :, 0, 0])", "d_s = sigmoid_backward(d_f1.sum(axis=(2, 3)))", more="F′ = M_c ⊗ F: with which factor does M_c stand there?"),
    mistake("if d_m_c is averaged over the pixels, not summed", "d_s = sigmoid_backward(d_m_c[:, :, 0, 0])", "d_s = sigmoid_backward((d_f1 * f).mean(axis=(2, 3)))", more="One gate is used for all pixels of its channel: the gradients of many uses are added."),
    mistake("if F′ stands in place of F in d_m_c (or d_m_c is made of M_c ⊗ d_f1)", "d_s = sigmoid_backward(d_m_c[:, :, 0, 0])", "d_s = sigmoid_backward((d_f1 * f1).sum(axis=(2, 3)))", more="F′ = M_c ⊗ F: with which factor does M_c stand there?"),
    mistake("if d_f1 is missing in d_m_c: F is summed alone", "d_s = sigmoid_backward(d_m_c[:, :, 0, 0])", "d_s = sigmoid_backward(f.sum(axis=(2, 3)))", more="Where is d_f1?"),
    mistake("if d_m_c is summed over the samples too", "d_s = sigmoid_backward(d_m_c[:, :, 0, 0])", "d_s = sigmoid_backward(np.broadcast_to(d_m_c[:, :, 0, 0].sum(axis=0), m_c.shape))", more="Every sample has gates of its own."),
    mistake("if d_s is halved, one half for each MLP", "d_s = sigmoid_backward(d_m_c[:, :, 0, 0])", "d_s = sigmoid_backward(d_m_c[:, :, 0, 0]) / 2", more="s is a sum: each term gets all of d_s."),
    mistake("if d_f1 is left out: everything goes back from ones", "def backward(d_f1):", "def backward(d_f1):\n        d_f1 = np.ones(d_f1.shape)", more="Where is d_f1?"),
    # backward: weights
    mistake("if d_w1 and d_w2 are those of the average alone", "d_w1 = d_w1_avg + d_w1_max", "d_w1 = d_w1_avg", "d_w2 = d_w2_avg + d_w2_max", "d_w2 = d_w2_avg", more="The MLP is used twice with the same weights: both uses move L."),
    mistake("if d_w1 and d_w2 are those of the maximum alone", "d_w1 = d_w1_avg + d_w1_max", "d_w1 = d_w1_max", "d_w2 = d_w2_avg + d_w2_max", "d_w2 = d_w2_max", more="The MLP is used twice with the same weights: both uses move L."),
    mistake("if d_w1 is that of the average alone", "d_w1 = d_w1_avg + d_w1_max", "d_w1 = d_w1_avg", more="The MLP is used twice with the same weights: both uses move L."),
    mistake("if d_w1 is that of the maximum alone", "d_w1 = d_w1_avg + d_w1_max", "d_w1 = d_w1_max", more="The MLP is used twice with the same weights: both uses move L."),
    mistake("if d_w2 is that of the average alone", "d_w2 = d_w2_avg + d_w2_max", "d_w2 = d_w2_avg", more="The MLP is used twice with the same weights: both uses move L."),
    mistake("if d_w2 is that of the maximum alone", "d_w2 = d_w2_avg + d_w2_max", "d_w2 = d_w2_max", more="The MLP is used twice with the same weights: both uses move L."),
    mistake("if the two gradients of the weights are averaged", "d_w1 = d_w1_avg + d_w1_max", "d_w1 = (d_w1_avg + d_w1_max) / 2", "d_w2 = d_w2_avg + d_w2_max", "d_w2 = (d_w2_avg + d_w2_max) / 2", more="What is used twice gets the sum."),
    mistake("if the average's gradient of the weights is counted twice, and the maximum's not at all", "d_w1 = d_w1_avg + d_w1_max", "d_w1 = 2 * d_w1_avg", "d_w2 = d_w2_avg + d_w2_max", "d_w2 = 2 * d_w2_avg", more="The MLP is used twice with the same weights: both uses move L."),
    mistake("if the maximum's gradient of the weights is counted twice, and the average's not at all", "d_w1 = d_w1_avg + d_w1_max", "d_w1 = 2 * d_w1_max", "d_w2 = d_w2_avg + d_w2_max", "d_w2 = 2 * d_w2_max", more="The MLP is used twice with the same weights: both uses move L."),
    mistake("if the two gradients of the weights are multiplied", "d_w1 = d_w1_avg + d_w1_max", "d_w1 = d_w1_avg * d_w1_max", "d_w2 = d_w2_avg + d_w2_max", "d_w2 = d_w2_avg * d_w2_max", more="What is used twice gets the sum."),
    mistake("if one MLP of the sum avg + max is sent back", "d_avg_c, d_w1_avg, d_w2_avg = mlp_avg_backward(d_s)", "d_avg_c, d_w1_avg, d_w2_avg = mlp(avg_c + max_c, w1, w2)[1](d_s)", "d_max_c, d_w1_max, d_w2_max = mlp_max_backward(d_s)", "d_max_c, d_w1_max, d_w2_max = d_avg_c, 0, 0", more="The two go through the ReLU apart, each with a mask of its own."),
    mistake("if the backward of the average's MLP is used for both", "d_max_c, d_w1_max, d_w2_max = mlp_max_backward(d_s)", "d_max_c, d_w1_max, d_w2_max = mlp_avg_backward(d_s)", more="Each call of mlp gave a backward of its own: they remember different inputs."),
    mistake("if the backward of the maximum's MLP is used for both", "d_avg_c, d_w1_avg, d_w2_avg = mlp_avg_backward(d_s)", "d_avg_c, d_w1_avg, d_w2_avg = mlp_max_backward(d_s)", more="Each call of mlp gave a backward of its own: they remember different inputs."),
    mistake("without the ReLU's mask in the MLP", "d_avg_c, d_w1_avg, d_w2_avg = mlp_avg_backward(d_s)", "d_avg_c, d_w1_avg, d_w2_avg = d_s @ w2 @ w1, (d_s @ w2).T @ avg_c, d_s.T @ relu(avg_c @ w1.T)[0]", "d_max_c, d_w1_max, d_w2_max = mlp_max_backward(d_s)", "d_max_c, d_w1_max, d_w2_max = d_s @ w2 @ w1, (d_s @ w2).T @ max_c, d_s.T @ relu(max_c @ w1.T)[0]", more="What does the ReLU do to the gradient?"),
)

channel_attention = Exercise(
    11, "channel_attention", 4, "(1), (3)–(7)", ("f1", "d_f", "d_w1", "d_w2"), block_inputs("f", "w1", "w2"),
    mistakes=CHANNEL_ATTENTION,
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

SPATIAL_ATTENTION = (
    # forward
    mistake("with [max; avg] in place of [avg; max]", "pooled = np.concatenate([avg_s, max_s], axis=1)", "pooled = np.concatenate([max_s, avg_s], axis=1)", more="Which channel of the kernel belongs to which map?"),
    mistake("if the average is in both channels", "pooled = np.concatenate([avg_s, max_s], axis=1)", "pooled = np.concatenate([avg_s, avg_s], axis=1)", more="[avg; max]"),
    mistake("if the maximum is in both channels", "pooled = np.concatenate([avg_s, max_s], axis=1)", "pooled = np.concatenate([max_s, max_s], axis=1)", more="[avg; max]"),
    mistake("if avg and max are added to one map before the convolution", "u, conv_backward = conv2d(pooled, kernel)", "u, conv_backward = conv2d(np.concatenate([avg_s + max_s] * 2, axis=1), kernel)", more="[avg; max] are two channels, and the kernel has weights for each."),
    mistake("without the sigmoid: F′ is multiplied by u", "m_s, sigmoid_backward = sigmoid(u)", "m_s, sigmoid_backward = u, lambda d: d", more="A gate lies between 0 and 1."),
    mistake("with two sigmoids, one after the other", "m_s, sigmoid_backward = sigmoid(u)", "m_s, sigmoid_backward = sigmoid(sigmoid(u)[0])", more="There is one sigmoid in (10)."),
    mistake("with the ReLU in place of the sigmoid", "m_s, sigmoid_backward = sigmoid(u)", "m_s, sigmoid_backward = relu(u)", more="In (10) σ is the sigmoid."),
    mistake("with the sigmoid before the convolution, not after it", "u, conv_backward = conv2d(pooled, kernel)", "u, conv_backward = conv2d(sigmoid(pooled)[0], kernel)", "m_s, sigmoid_backward = sigmoid(u)", "m_s, sigmoid_backward = u, lambda d: d", more="In (10) σ comes last."),
    mistake("with a sigmoid before the convolution too", "u, conv_backward = conv2d(pooled, kernel)", "u, conv_backward = conv2d(sigmoid(pooled)[0], kernel)", more="There is one σ in (10), and it comes last."),
    mistake("if the map M_s is returned, not F″", "f2, gate_backward = gate(m_s, f1)", "f2, gate_backward = m_s, gate(m_s, f1)[1]", more="Formula (11) comes last: F″ = M_s ⊗ F′."),
    mistake("if F′ is added: F′ + M_s ⊗ F′", "f2, gate_backward = gate(m_s, f1)", "_, gate_backward = gate(m_s, f1)\n    f2 = f1 + m_s * f1", more="In (11) there is the product alone."),
    mistake("if M_s is added to F′", "f2, gate_backward = gate(m_s, f1)", "_, gate_backward = gate(m_s, f1)\n    f2 = f1 + m_s", more="(11) is a product."),
    mistake("if the gate is applied twice", "f2, gate_backward = gate(m_s, f1)", "_, gate_backward = gate(m_s, f1)\n    f2 = m_s**2 * f1"),
    mistake("with the kernel flipped", "u, conv_backward = conv2d(pooled, kernel)", "u, conv_backward = conv2d(pooled, kernel[:, :, ::-1, ::-1])", more="(10) is a cross-correlation: no flip."),
    mistake("without the maximum: its half of the convolution is missing", "pooled = np.concatenate([avg_s, max_s], axis=1)", "pooled = np.concatenate([avg_s, 0 * max_s], axis=1)", more="[avg; max]"),
    mistake("without the average: its half of the convolution is missing", "pooled = np.concatenate([avg_s, max_s], axis=1)", "pooled = np.concatenate([0 * avg_s, max_s], axis=1)", more="[avg; max]"),
    # backward: d_f1
    mistake("without the map's path: F′ as features only, M_s as a constant", "d_f1 = d_f1_gate + avg_backward(d_avg_s) + max_backward(d_max_s)", "d_f1 = d_f1_gate", more="M_s is made of F′ too. " + "F′ reaches F″ on three ways: as the features, through the average, through the maximum."),
    mistake("without the gate's path: only what comes back through the map", "d_f1 = d_f1_gate + avg_backward(d_avg_s) + max_backward(d_max_s)", "d_f1 = avg_backward(d_avg_s) + max_backward(d_max_s)", more="F′ reaches F″ on three ways: as the features, through the average, through the maximum."),
    mistake("without the way back through the average", "d_f1 = d_f1_gate + avg_backward(d_avg_s) + max_backward(d_max_s)", "d_f1 = d_f1_gate + max_backward(d_max_s)", more="F′ reaches F″ on three ways: as the features, through the average, through the maximum."),
    mistake("without the way back through the maximum", "d_f1 = d_f1_gate + avg_backward(d_avg_s) + max_backward(d_max_s)", "d_f1 = d_f1_gate + avg_backward(d_avg_s)", more="F′ reaches F″ on three ways: as the features, through the average, through the maximum."),
    mistake("with the way back through the average alone", "d_f1 = d_f1_gate + avg_backward(d_avg_s) + max_backward(d_max_s)", "d_f1 = avg_backward(d_avg_s) + 0.0", more="F′ reaches F″ on three ways: as the features, through the average, through the maximum."),
    mistake("with the way back through the maximum alone", "d_f1 = d_f1_gate + avg_backward(d_avg_s) + max_backward(d_max_s)", "d_f1 = max_backward(d_max_s)", more="F′ reaches F″ on three ways: as the features, through the average, through the maximum."),
    mistake("if the paths are multiplied, not added", "d_f1 = d_f1_gate + avg_backward(d_avg_s) + max_backward(d_max_s)", "d_f1 = d_f1_gate * (avg_backward(d_avg_s) + max_backward(d_max_s))", more="What is used several times gets the sum."),
    mistake("if the paths are averaged: a factor 1/2", "d_f1 = d_f1_gate + avg_backward(d_avg_s) + max_backward(d_max_s)", "d_f1 = (d_f1_gate + avg_backward(d_avg_s) + max_backward(d_max_s)) / 2", more="What is used several times gets the sum."),
    mistake("if the two poolings are averaged: their sum is halved", "d_f1 = d_f1_gate + avg_backward(d_avg_s) + max_backward(d_max_s)", "d_f1 = d_f1_gate + (avg_backward(d_avg_s) + max_backward(d_max_s)) / 2", more="What is used several times gets the sum."),
    mistake("if the gradients of the two poolings are exchanged", "d_avg_s, d_max_s = d_pooled[:, :1], d_pooled[:, 1:]", "d_max_s, d_avg_s = d_pooled[:, :1], d_pooled[:, 1:]", more="In [avg; max] the first channel is the average: so is the first channel of its gradient."),
    mistake("if the first channel of d_pooled goes back through both poolings", "d_avg_s, d_max_s = d_pooled[:, :1], d_pooled[:, 1:]", "d_avg_s, d_max_s = d_pooled[:, :1], d_pooled[:, :1]", more="Channel 0 belongs to the average, channel 1 to the maximum."),
    mistake("if the second channel of d_pooled goes back through both poolings", "d_avg_s, d_max_s = d_pooled[:, :1], d_pooled[:, 1:]", "d_avg_s, d_max_s = d_pooled[:, 1:], d_pooled[:, 1:]", more="Channel 0 belongs to the average, channel 1 to the maximum."),
    mistake("if both channels of d_pooled are added, and the sum goes back through both poolings", "d_avg_s, d_max_s = d_pooled[:, :1], d_pooled[:, 1:]", "d_avg_s = d_max_s = d_pooled.sum(axis=1, keepdims=True)", more="Channel 0 belongs to the average, channel 1 to the maximum."),
    mistake("if d_f2 itself is added besides", "d_f1 = d_f1_gate + avg_backward(d_avg_s) + max_backward(d_max_s)", "d_f1 = d_f2 + d_f1_gate + avg_backward(d_avg_s) + max_backward(d_max_s)", more="There are three paths. Which one would this be?"),
    mistake("if M_s is missing in the gate's path: d_f2 itself is added", "d_f1 = d_f1_gate + avg_backward(d_avg_s) + max_backward(d_max_s)", "d_f1 = d_f2 + avg_backward(d_avg_s) + max_backward(d_max_s)", more="F″ = M_s ⊗ F′: with which factor does F′ stand there?"),
    mistake("if the gate's path is counted twice", "d_f1 = d_f1_gate + avg_backward(d_avg_s) + max_backward(d_max_s)", "d_f1 = 2 * d_f1_gate + avg_backward(d_avg_s) + max_backward(d_max_s)"),
    mistake("if the average's share 1/C is missing", "d_f1 = d_f1_gate + avg_backward(d_avg_s) + max_backward(d_max_s)", "d_f1 = d_f1_gate + d_avg_s + max_backward(d_max_s)", more="If one channel grows by 1, by how much does the average grow?"),
    mistake("if the maximum's gradient goes to all channels", "d_f1 = d_f1_gate + avg_backward(d_avg_s) + max_backward(d_max_s)", "d_f1 = d_f1_gate + avg_backward(d_avg_s) + d_max_s", more="Which channel moves the maximum?"),
    mistake("if the maximum is sent back like an average", "d_f1 = d_f1_gate + avg_backward(d_avg_s) + max_backward(d_max_s)", "d_f1 = d_f1_gate + avg_backward(d_avg_s) + avg_backward(d_max_s)", more="Which channel moves the maximum?"),
    mistake("if the average is sent back like a maximum", "d_f1 = d_f1_gate + avg_backward(d_avg_s) + max_backward(d_max_s)", "d_f1 = d_f1_gate + max_backward(d_avg_s) + max_backward(d_max_s)", more="Which channels move the average?"),
    # backward: the map
    mistake("without the derivative of the sigmoid", "d_u = sigmoid_backward(d_m_s)", "d_u = d_m_s", more="Between M_s and u stands σ."),
    mistake("if the derivative of the sigmoid is applied twice", "d_u = sigmoid_backward(d_m_s)", "d_u = sigmoid_backward(sigmoid_backward(d_m_s))", more="Between M_s and u stands one σ. Is its slope in two places?"),
    mistake("with the slope M_s of the sigmoid: the factor 1 - M_s is missing", "d_u = sigmoid_backward(d_m_s)", "d_u = d_m_s * m_s", more="σ′ = σ (1 - σ)"),
    mistake("with the slope 1 - M_s of the sigmoid: the factor M_s is missing", "d_u = sigmoid_backward(d_m_s)", "d_u = d_m_s * (1 - m_s)", more="σ′ = σ (1 - σ)"),
    mistake("with the slope u (1 - u): of the sigmoid's input, not its output", "d_u = sigmoid_backward(d_m_s)", "d_u = d_m_s * u * (1 - u)", more="σ′ = σ (1 - σ)"),
    mistake("if σ is applied to M_s once more for the slope", "d_u = sigmoid_backward(d_m_s)", "d_u = sigmoid(m_s)[1](d_m_s)", more="M_s is σ(u) already."),
    mistake("if F′ is missing in d_m_s: d_f2 is summed alone", "d_u = sigmoid_backward(d_m_s)", "d_u = sigmoid_backward(d_f2.sum(axis=1, keepdims=True))", more="F″ = M_s ⊗ F′: with which factor does M_s stand there?"),
    mistake("if d_m_s is averaged over the channels, not summed", "d_u = sigmoid_backward(d_m_s)", "d_u = sigmoid_backward((d_f2 * f1).mean(axis=1, keepdims=True))", more="One gate is used for all channels of its pixel: the gradients of many uses are added."),
    mistake("if F″ stands in place of F′ in d_m_s (or d_m_s is made of M_s ⊗ d_f2)", "d_u = sigmoid_backward(d_m_s)", "d_u = sigmoid_backward((d_f2 * f2).sum(axis=1, keepdims=True))", more="F″ = M_s ⊗ F′: with which factor does M_s stand there?"),
    mistake("if d_f2 is missing in d_m_s: F′ is summed alone", "d_u = sigmoid_backward(d_m_s)", "d_u = sigmoid_backward(f1.sum(axis=1, keepdims=True))", more="Where is d_f2?"),
    mistake("if d_f2 is left out: everything goes back from ones", "def backward(d_f2):", "def backward(d_f2):\n        d_f2 = np.ones(d_f2.shape)", more="Where is d_f2?"),
    mistake("if d_kernel is made of d_m_s, before the sigmoid's derivative", "d_pooled, d_kernel = conv_backward(d_u)", "d_pooled, _ = conv_backward(d_u)\n        _, d_kernel = conv_backward(d_m_s)", more="The convolution makes u, so it needs the gradient of u."),
    mistake("if d_pooled is made of d_m_s, before the sigmoid's derivative", "d_pooled, d_kernel = conv_backward(d_u)", "_, d_kernel = conv_backward(d_u)\n        d_pooled, _ = conv_backward(d_m_s)", more="The convolution makes u, so it needs the gradient of u."),
    mistake("if the two channels of d_kernel are exchanged", "return d_f1, d_kernel", "return d_f1, d_kernel[:, ::-1].copy()", more="[avg; max]"),
    mistake("if d_kernel is mirrored in both directions", "return d_f1, d_kernel", "return d_f1, d_kernel[:, :, ::-1, ::-1].copy()"),
    mistake("if d_kernel is averaged over the samples", "return d_f1, d_kernel", "return d_f1, d_kernel / len(f1)", more="L is a sum over all entries of F″."),
)

spatial_attention = Exercise(
    15, "spatial_attention", 6, "(2), (8)–(11)", ("f2", "d_f1", "d_kernel"), block_inputs("f", "kernel"),
    mistakes=SPATIAL_ATTENTION,
    hints={
        "f2": ("Go through the formulas in order: two poolings over channels, [avg; max] as two channels, the convolution, the sigmoid, the product.",
               "np.concatenate([avg_s, max_s], axis=1) has the shape (N, 2, H, W)."),
        "d_f1": ("F′ is used more than once. On how many ways does it reach F″, and what comes back on each of them?",
                 "Three: as the features in the gate, through the average, through the maximum. Their gradients are added."),
        "d_kernel": ("What is the upstream gradient of the convolution? Follow d_f2 back: gate, sigmoid, convolution.",),
    },
    uses=("avg_pool_over_channels", "max_pool_over_channels", "sigmoid", "gate", "im2col", "col2im", "conv2d"),
)
