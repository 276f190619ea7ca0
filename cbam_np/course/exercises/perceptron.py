"""7 and 8: ReLU and the shared MLP."""

import numpy as np

from cbam_np.course.exercise import Case, Exercise, mistake
from cbam_np.course.exercises.inputs import normal

RELU = (
    # forward
    mistake("if the mask x > 0 is returned, not x where it is true", "np.where(on, x, 0.0)", "np.where(on, 1.0, 0.0)", more="ReLU(2) is 2, not 1."),
    mistake("if the absolute value is taken", "np.where(on, x, 0.0)", "np.abs(x)", more="What is ReLU(-2)?"),
    mistake("if the minimum of x and 0 is taken", "np.where(on, x, 0.0)", "np.minimum(x, 0.0)", more="What is ReLU(2)?"),
    mistake("if x is compared with 1 in place of 0", "np.where(on, x, 0.0)", "np.maximum(x, 1.0)", more="What is ReLU(0.5)?"),
    mistake("if negative entries keep a hundredth (leaky ReLU)", "np.where(on, x, 0.0)", "np.where(on, x, 0.01 * x)", more="What is ReLU(-2)?"),
    mistake("if the result is cut off at 1", "np.where(on, x, 0.0)", "np.clip(x, 0.0, 1.0)"),
    mistake("if x itself is returned", "np.where(on, x, 0.0)", "x.copy()", more="What is ReLU(-2)?"),
    mistake("if the largest entry of all is taken: np.max in place of np.maximum", "np.where(on, x, 0.0)", "np.max(x)", more="np.maximum compares entry by entry."),
    mistake("if np.max(x, 0) takes the maximum over axis 0", "np.where(on, x, 0.0)", "np.max(x, 0)", more="In np.max the second argument is an axis. np.maximum compares entry by entry."),
    mistake("with the sigmoid, the other σ", "np.where(on, x, 0.0)", "1 / (1 + np.exp(-x))"),
    # backward
    mistake("if the mask lets the gradient through where x is 0 too, as x >= 0 does", "np.where(on, d_out, 0.0)", "d_out * (x >= 0)", more="The slope at 0 is 0 by convention."),
    mistake("if d_out comes back as it is, without a mask, or with one that is always true, such as out >= 0", "np.where(on, d_out, 0.0)", "d_out.copy()", more="Where x is negative, out doesn't move when x does. (No entry of out is negative, so out >= 0 is always true.)"),
    mistake("if d_out is left out: the mask alone", "np.where(on, d_out, 0.0)", "np.where(on, 1.0, 0.0)", more="The mask is the slope. The chain rule multiplies it with d_out."),
    mistake("if d_out is left out: the mask x >= 0 alone", "np.where(on, d_out, 0.0)", "np.where(x >= 0, 1.0, 0.0)", more="The mask is the slope. The chain rule multiplies it with d_out."),
    mistake("if ReLU is applied to the gradient: it asks for the sign of d_out", "np.where(on, d_out, 0.0)", "np.maximum(d_out, 0.0)", more="What counts is whether x was positive on the way forward; a gradient may well be negative."),
    mistake("if both x and d_out have to be positive", "np.where(on, d_out, 0.0)", "np.where(on, np.maximum(d_out, 0.0), 0.0)", more="A gradient may well be negative."),
    mistake("if d_out is multiplied by out", "np.where(on, d_out, 0.0)", "d_out * out", more="Multiply with the slope: 1 or 0."),
    mistake("if d_out is multiplied by x", "np.where(on, d_out, 0.0)", "d_out * x", more="Multiply with the slope: 1 or 0."),
    mistake("if x comes back where it is positive, not d_out", "np.where(on, d_out, 0.0)", "np.where(on, x, 0.0)", more="What comes back is the gradient, not the value."),
    mistake("if the mask is the wrong way round: x < 0", "np.where(on, d_out, 0.0)", "np.where(x < 0, d_out, 0.0)", more="Where does out move when x does?"),
    mistake("if the mask is the wrong way round: x <= 0", "np.where(on, d_out, 0.0)", "np.where(x <= 0, d_out, 0.0)", more="Where does out move when x does?"),
    mistake("if the sign of x is the slope", "np.where(on, d_out, 0.0)", "d_out * np.sign(x)", more="That is the slope of |x|."),
    mistake("if the slope at 0 is taken as 1/2", "np.where(on, d_out, 0.0)", "d_out * (on + 0.5 * (x == 0))", more="The slope at 0 is 0 by convention."),
    mistake("with the slope of the sigmoid", "np.where(on, d_out, 0.0)", "d_out * np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))) ** 2"),
)

relu = Exercise(
    7, "relu", 3, "(5)", ("out", "d_x"),
    (
        Case((normal(0, 3, 8),), {"N": 3, "C": 8}),
        Case((np.array([[-1.5, 0.0, 2.0]]),), {"N": 1, "C": 3}, "with a 0"),
        Case((normal(1, 2, 3, 5, 4),), {"N": 2, "C": 3, "H": 5, "W": 4}),
    ),
    mistakes=RELU,
    hints={
        "out": ("What is ReLU of 2, of -2, of 0?",),
        "d_x": ("For which x does out move if x moves a little, and how much?", "The slope is 1 where x > 0 and 0 elsewhere, at 0 too. The chain rule multiplies it with d_out."),
    },
    places={"where x is 0": lambda x: x == 0, "where x is negative": lambda x: x < 0, "where x is positive": lambda x: x > 0},
)


def _mlp_cases() -> tuple[Case, ...]:
    cases = []
    for i, (N, C, hidden) in enumerate(((3, 8, 4), (1, 3, 2), (4, 5, 1))):
        x = normal(i, N, C)
        if N > 3:
            x[0] = 0  # so that some z is exactly 0
        w1 = normal((10, 11, 10)[i], hidden, C)  # chosen so that some hidden units are on and some are off
        cases.append(Case((x, w1, normal(20 + i, C, hidden)), {"N": N, "C": C, "hidden": hidden}))
    return tuple(cases)


MLP = (
    # forward
    mistake("without the ReLU", "h, relu_backward = relu(z)", "h, relu_backward = z, lambda d: d", more="What stands between the two matrices in (5)?"),
    mistake("if the ReLU comes after W2, not between the matrices", "out = h @ w2.T", "out = np.maximum(z @ w2.T, 0)", more="σ stands between W1 and W2."),
    mistake("if there is a second ReLU after W2", "out = h @ w2.T", "out = np.maximum(h @ w2.T, 0)", more="There is one ReLU in (5), between W1 and W2."),
    mistake("with the sigmoid in place of the ReLU", "h, relu_backward = relu(z)", "h, relu_backward = sigmoid(z)", more="In (5) σ is the ReLU."),
    mistake("with tanh in place of the ReLU", "h, relu_backward = relu(z)", "h, relu_backward = np.tanh(z), lambda d: d * (1 - np.tanh(z) ** 2)", more="In (5) σ is the ReLU."),
    mistake("with the absolute value in place of the ReLU", "h, relu_backward = relu(z)", "h, relu_backward = np.abs(z), lambda d: d * np.sign(z)"),
    mistake("with a leaky ReLU (0.01)", "h, relu_backward = relu(z)", "h, relu_backward = np.where(z > 0, z, 0.01 * z), lambda d: d * np.where(z > 0, 1, 0.01)"),
    mistake("if the ReLU is applied to x before W1", "z = x @ w1.T", "z = np.maximum(x, 0) @ w1.T", more="σ stands between W1 and W2."),
    mistake("if the ReLU is applied to x, and not between the matrices", "h, relu_backward = relu(z)", "h, relu_backward = np.maximum(x, 0) @ w1.T, lambda d: d", more="σ stands between W1 and W2."),
    mistake("if W1 is used in both layers", "out = h @ w2.T", "out = h @ w1", more="The second layer has weights of its own: w2 is (C, hidden)."),
    mistake("if W2 is used in both layers", "z = x @ w1.T", "z = x @ w2", more="The first layer has weights of its own: w1 is (hidden, C)."),
    mistake("with the two matrices exchanged", "z = x @ w1.T", "z = x @ w2", "out = h @ w2.T", "out = h @ w1", more="x meets W1 first."),
    mistake("if h is returned: the second layer is missing", "out = h @ w2.T", "out = h", more="(N, hidden) is on the way; out is (N, C)."),
    mistake("if x is added to the result", "out = h @ w2.T", "out = x + h @ w2.T", more="There is no sum in (5)."),
    mistake("if the result is transposed, samples in columns", "out = h @ w2.T", "out = w2 @ h.T", more="The rows of out are samples, as those of x."),
    # backward: the mask
    mistake("without the ReLU's mask: the gradient passes hidden units that were off", "d_z = relu_backward(d_h)", "d_z = d_h", more="What does the ReLU do to the gradient on its way from h to z? (A mask such as h >= 0 is always true.)"),
    mistake("if d_w1 is made of d_h, the gradient before the ReLU's mask", "d_w1 = d_z.T @ x", "d_w1 = d_h.T @ x", more="W1 makes z, so it needs the gradient of z."),
    mistake("if d_x is made of d_h, the gradient before the ReLU's mask", "d_x = d_z @ w1", "d_x = d_h @ w1", more="x makes z, so it needs the gradient of z."),
    mistake("if the mask asks z >= 0: one sample is all zeros, so its z is exactly 0", "d_z = relu_backward(d_h)", "d_z = d_h * (z >= 0)", more="ReLU′(0) is 0 here."),
    mistake("if ReLU is applied to the gradient: it asks for the sign of d_h", "d_z = relu_backward(d_h)", "d_z = np.maximum(d_h, 0)", more="What counts is the sign of z, on the way forward."),
    mistake("if the mask asks for the sign of the gradient too", "d_z = relu_backward(d_h)", "d_z = np.maximum(relu_backward(d_h), 0)", more="What counts is the sign of z, on the way forward."),
    mistake("if d_h is multiplied by h, not by the ReLU's slope", "d_z = relu_backward(d_h)", "d_z = d_h * h", more="The slope is 1 where z > 0, and else 0."),
    mistake("if d_h is multiplied by z", "d_z = relu_backward(d_h)", "d_z = d_h * z", more="The slope is 1 where z > 0, and else 0."),
    mistake("if the mask is the wrong way round: z < 0", "d_z = relu_backward(d_h)", "d_z = d_h * (z < 0)"),
    mistake("if the mask stands in place of the gradient: d_h is left out", "d_z = relu_backward(d_h)", "d_z = (z > 0) * 1.0", more="The mask is the slope of the ReLU. The chain rule multiplies it with d_h."),
    mistake("if the mask is put on d_out (where out > 0), not on d_h", "d_h = d_out @ w2\n        d_z = relu_backward(d_h)", "d_z = (d_out * (out > 0)) @ w2", more="The ReLU sits between h and z. Which of the gradients has that shape?"),
    mistake("if there is a mask out > 0 on d_out besides", "d_h = d_out @ w2", "d_h = (d_out * (out > 0)) @ w2", more="There is one ReLU, between z and h."),
    mistake("if the slope of the sigmoid stands for the ReLU's", "d_z = relu_backward(d_h)", "d_z = d_h * sigmoid(z)[0] * (1 - sigmoid(z)[0])"),
    # backward: d_w2
    mistake("if d_w2 is made of z, before the ReLU, not of h", "d_w2 = d_out.T @ h", "d_w2 = d_out.T @ z", more="W2 is multiplied with h."),
    mistake("if there is a ReLU's mask in d_w2: on d_out, where out > 0", "d_w2 = d_out.T @ h", "d_w2 = (d_out * (out > 0)).T @ h", more="Nothing comes after W2."),
    mistake("if d_w2 is made of ReLU(d_out)", "d_w2 = d_out.T @ h", "d_w2 = np.maximum(d_out, 0).T @ h", more="Nothing comes after W2."),
    mistake("if d_w2 is made of the ReLU's mask, not of h", "d_w2 = d_out.T @ h", "d_w2 = d_out.T @ (h > 0)", more="W2 is multiplied with h."),
    mistake("if d_w2 is made of out, not of d_out", "d_w2 = d_out.T @ h", "d_w2 = out.T @ h", more="Which gradient arrives at W2?"),
    mistake("if d_out is left out of d_w2", "d_w2 = d_out.T @ h", "d_w2 = np.ones(out.shape).T @ h", more="Which gradient arrives at W2?"),
    mistake("if d_w2 is made of d_z, not of d_out", "d_w2 = d_out.T @ h", "d_w2 = relu_backward(d_out @ w2).T @ h", more="Which gradient arrives at W2?"),
    mistake("if d_w1 is made of d_out, not of d_z", "d_w1 = d_z.T @ x", "d_w1 = d_out.T @ x", more="W1 makes z, so it needs the gradient of z."),
    mistake("if d_w2 is made of the gradient of z", "d_w2 = d_out.T @ h", "d_w2 = (x.T @ relu_backward(d_out @ w2))", more="Which two things meet at W2: what goes in on the way forward, and what comes back?"),
    # backward: d_w1
    mistake("if d_w1 is made of z, not of d_z", "d_w1 = d_z.T @ x", "d_w1 = z.T @ x", more="Which gradient arrives at W1?"),
    mistake("if d_w1 is made of h, not of d_z", "d_w1 = d_z.T @ x", "d_w1 = h.T @ x", more="Which gradient arrives at W1?"),
    mistake("if d_w1 is made of d_h times h", "d_w1 = d_z.T @ x", "d_w1 = (d_h * h).T @ x", more="The slope of the ReLU is 1 where z > 0, and else 0."),
    mistake("if W2 is left out on the way to d_w1: d_out and w2 meet in d_h", "d_w1 = d_z.T @ x", "d_w1 = ((np.ones(out.shape) @ w2) * (z > 0)).T @ x", more="d_h = d_out @ w2. Where is d_out?"),
    mistake("if d_w1 is made of ReLU(x)", "d_w1 = d_z.T @ x", "d_w1 = d_z.T @ np.maximum(x, 0)", more="W1 is multiplied with x."),
    mistake("if d_w1 and d_w2 are averaged over the samples, not summed", "d_w2 = d_out.T @ h", "d_w2 = d_out.T @ h / len(x)", "d_w1 = d_z.T @ x", "d_w1 = d_z.T @ x / len(x)", more="L is a sum over all entries of out. Whether it is divided by N is decided in the loss, by d_out."),
    mistake("if d_w1 is averaged over the samples, not summed", "d_w1 = d_z.T @ x", "d_w1 = d_z.T @ x / len(x)", more="L is a sum over all entries of out. Whether it is divided by N is decided in the loss, by d_out."),
    mistake("if d_w2 is averaged over the samples, not summed", "d_w2 = d_out.T @ h", "d_w2 = d_out.T @ h / len(x)", more="L is a sum over all entries of out. Whether it is divided by N is decided in the loss, by d_out."),
    mistake("if h stands in place of x in d_w1", "d_w1 = d_z.T @ x", "d_w1 = d_z.T @ h", more="W1 is multiplied with x. Is x still what forward got?"),
    mistake("if d_w1 and d_w2 are those of the last sample only", "d_w2 = d_out.T @ h", "d_w2 = d_out[-1:].T @ h[-1:]", "d_w1 = d_z.T @ x", "d_w1 = d_z[-1:].T @ x[-1:]", more="The same weights are used for every sample. In a loop over the samples: += in place of =?"),
    mistake("if d_w1 is made of the last sample only", "d_w1 = d_z.T @ x", "d_w1 = d_z[-1:].T @ x[-1:]", more="The same weights are used for every sample. In a loop over the samples: += in place of =?"),
    mistake("if d_w2 is made of the last sample only", "d_w2 = d_out.T @ h", "d_w2 = d_out[-1:].T @ h[-1:]", more="The same weights are used for every sample. In a loop over the samples: += in place of =?"),
    mistake("if d_w1 and d_w2 are those of the first sample only", "d_w2 = d_out.T @ h", "d_w2 = d_out[:1].T @ h[:1]", "d_w1 = d_z.T @ x", "d_w1 = d_z[:1].T @ x[:1]", more="The same weights are used for every sample. Is there a return within a loop?"),
    mistake("if d_w1 is made of the first sample only", "d_w1 = d_z.T @ x", "d_w1 = d_z[:1].T @ x[:1]"),
    mistake("if d_w2 is made of the first sample only", "d_w2 = d_out.T @ h", "d_w2 = d_out[:1].T @ h[:1]"),
    mistake("if d_w1 keeps the samples apart: the sum over n is missing", "d_w1 = d_z.T @ x", "d_w1 = d_z[:, :, None] * x[:, None, :]", more="The same w1[q, c] is used for every sample."),
    mistake("if d_w2 keeps the samples apart: the sum over n is missing", "d_w2 = d_out.T @ h", "d_w2 = d_out[:, :, None] * h[:, None, :]", more="The same w2[c, q] is used for every sample."),
    mistake("if both weight gradients are transposed", "d_w2 = d_out.T @ h", "d_w2 = h.T @ d_out", "d_w1 = d_z.T @ x", "d_w1 = x.T @ d_z", more="A gradient has the shape of what it belongs to. Which factor has to be transposed?"),
    mistake("if d_w1 is transposed", "d_w1 = d_z.T @ x", "d_w1 = x.T @ d_z", more="A gradient has the shape of what it belongs to. Which factor has to be transposed?"),
    mistake("if d_w2 is transposed", "d_w2 = d_out.T @ h", "d_w2 = h.T @ d_out", more="A gradient has the shape of what it belongs to. Which factor has to be transposed?"),
    # backward: d_x
    mistake("if the mask is put on d_x (where x > 0), and none on d_z", "d_z = relu_backward(d_h)", "d_z = d_h", "d_x = d_z @ w1", "d_x = (d_z @ w1) * (x > 0)", more="The ReLU sits between z and h."),
    mistake("if d_x is made of w2 transposed in place of w1", "d_x = d_z @ w1", "d_x = d_z @ w2.T", more="x is multiplied with W1."),
    mistake("if d_x stops at z: W1 is missing on the way back", "d_x = d_z @ w1", "d_x = d_z", more="x makes z through W1."),
    mistake("if d_x stops at h: W1 and the ReLU are missing on the way back", "d_x = d_z @ w1", "d_x = d_h", more="h, z, x: two more steps."),
    mistake("if the slope of a ReLU on x is put on d_x", "d_x = d_z @ w1", "d_x = (d_z @ w1) * (x > 0)", more="The ReLU sits between z and h."),
    mistake("if d_out is left out: everything goes back from ones", "def backward(d_out):", "def backward(d_out):\n        d_out = np.ones(d_out.shape)", more="Where is d_out?"),
    mistake("if d_h is made of w1 transposed in place of w2", "d_h = d_out @ w2", "d_h = d_out @ w1.T", more="h makes out through W2."),
)

mlp = Exercise(
    8, "mlp", 3, "(5)", ("out", "d_x", "d_w1", "d_w2"), _mlp_cases(),
    mistakes=MLP,
    hints={
        "out": ("Which shapes have x, z, h and out? Each row of x is one sample, so W1 x is, for all rows at once, ...?",
                "z is (N, hidden), h too, out is (N, C). A row times a matrix from the right: x @ w1.T."),
        "d_x": ("In which numbers does x occur, and with which factor? Go back step by step: out, h, z, x.",
                "d_h = d_out @ w2, of shape (N, hidden). What does ReLU do to it on the way to d_z? And x makes z."),
        "d_w1": ("W1 makes z out of x. Where does w1[q, c] occur, in how many samples, and with which factor?",
                 "w1[q, c] occurs in z[n, q], for every n, with the factor x[n, c]. So d_w1[q, c] is a sum over n."),
        "d_w2": ("W2 makes out out of h. Where does w2[c, q] occur, in how many samples, and with which factor?",
                 "w2[c, q] occurs in out[n, c], for every n, with the factor h[n, q]: h after the ReLU."),
    },
    uses=("relu",),
)
