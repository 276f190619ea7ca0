"""My CBAM.

Here you build the Convolutional Block Attention Module, function by function. The chapters tell you when. Every
function returns its output and its own backward:

    out, backward = op(x, w)
    d_x, d_w = backward(d_out)       # one gradient for each input, in their order; a single one comes without a tuple

d_out is the gradient of a loss L with respect to out, an array of the same shape. A backward that you haven't written
yet can be None: `return out, None`. Nothing may be changed in place, neither the inputs nor d_out. What you return may
be a view that can't be written to, but not one through which an input could be changed.

In a notebook `check("relu")` tells you how you are doing; in a terminal it is `cbam-np course`. This file is yours:
no update of the course writes over it.

Symbols: N samples, C channels, H rows, W columns, hidden = C/r units, k the kernel size, an odd number.
"""

import numpy as np

# --- Chapter 1: the gradient check -----------------------------------------------------------------------------------


def slopes(op, inputs, which, d_out):
    """1 · The slope of L = Σ d_out ⊙ out along every entry of one input, by central differences.

        slope at entry i = (L(that entry + ε) - L(that entry - ε)) / (2ε)          ε about 1e-5

    op: a function with out, backward = op(*inputs). inputs: a tuple of float64 arrays. which: which of them is moved.
    d_out: of the shape of out -> an array of the shape of inputs[which]. The inputs are the same afterwards, up to a
    rounding in the last digit.
    """
    raise NotImplementedError("not written yet")


def largest_error(op, *inputs, seed=0):
    """2 · The gradient check: how far the gradients of `op` are from the slopes.

    Draw a random d_out of the shape of out from the seed (not ones: why?), call backward, and measure the slopes of
    every input. The result is the largest difference of any entry of any gradient: without its sign, and not divided
    by anything.

    op: a function with out, backward = op(*inputs). inputs: float64 arrays of any shapes -> a number: 1e-7 or less if
    the gradients are right. There is no NaN to look for. If op has one input, its backward returns one array and not
    a tuple.
    """
    raise NotImplementedError("not written yet")


# --- Chapter 2: pooling ----------------------------------------------------------------------------------------------


def avg_pool_over_space(f):
    """3 · Formula (3): the average of each channel.

        F^c_avg[n, c] = 1/(H·W) Σ_{i,j} F[n, c, i, j]

    f: (N, C, H, W) -> avg_c: (N, C). backward(d_avg_c) returns d_f.
    """
    raise NotImplementedError("not written yet")


def max_pool_over_space(f):
    """4 · Formula (4): the largest entry of each channel.

        F^c_max[n, c] = max_{i,j} F[n, c, i, j]

    f: (N, C, H, W) -> max_c: (N, C). backward(d_max_c) returns d_f.
    Where several entries tie for the maximum, the first one wins, row by row.
    """
    raise NotImplementedError("not written yet")


def avg_pool_over_channels(f):
    """5 · Formula (8): the average at each pixel. (The block calls it with F′.)

        F^s_avg[n, 0, i, j] = 1/C Σ_c F[n, c, i, j]

    f: (N, C, H, W) -> avg_s: (N, 1, H, W). backward(d_avg_s) returns d_f.
    """
    raise NotImplementedError("not written yet")


def max_pool_over_channels(f):
    """6 · Formula (9): the largest entry at each pixel. (The block calls it with F′.)

        F^s_max[n, 0, i, j] = max_c F[n, c, i, j]

    f: (N, C, H, W) -> max_s: (N, 1, H, W). backward(d_max_s) returns d_f.
    Where several channels tie for the maximum, the first one wins.
    """
    raise NotImplementedError("not written yet")


# --- Chapter 3: the shared MLP ---------------------------------------------------------------------------------------


def relu(x):
    """7 · The activation of formula (5), entry by entry; its slope at 0 is 0.

        ReLU(x) = x if x > 0, else 0

    x: any shape -> out: the same shape. backward(d_out) returns d_x.
    """
    raise NotImplementedError("not written yet")


def mlp(x, w1, w2):
    """8 · Formula (5): two layers without biases. Each row of x is one sample.

        z = W1 x        h = ReLU(z)        MLP(x) = W2 h

    x: (N, C), w1: (hidden, C), w2: (C, hidden) -> out: (N, C). backward(d_out) returns d_x, d_w1, d_w2.
    """
    raise NotImplementedError("not written yet")


# --- Chapter 4: channel attention ------------------------------------------------------------------------------------


def sigmoid(x):
    """9 · The σ of formulas (6) and (10), entry by entry.

        σ(x) = 1 / (1 + e^{-x})

    x: any shape -> out: the same shape. backward(d_out) returns d_x.
    It must not overflow: σ(-1000) is 0 and σ(1000) is 1, without a warning. (You may silence one with np.errstate, if
    the numbers are right.) Absolute errors up to 1e-12 are fine.
    """
    raise NotImplementedError("not written yet")


def gate(m, f):
    """10 · Formulas (7) and (11): features times a map, which is broadcast along its axes of length 1.

        out = m ⊗ f

    m: (N, C, 1, 1) or (N, 1, H, W), f: (N, C, H, W) -> out: (N, C, H, W). backward(d_out) returns d_m, d_f.
    """
    raise NotImplementedError("not written yet")


def channel_attention(f, w1, w2):
    """11 · Formulas (1), (3) to (7): every channel scaled by its gate.

        s = MLP(F^c_avg) + MLP(F^c_max)        M_c = σ(s)        F′ = M_c ⊗ F

    f: (N, C, H, W), w1: (hidden, C), w2: (C, hidden) -> f1: (N, C, H, W). backward(d_f1) returns d_f, d_w1, d_w2.
    """
    raise NotImplementedError("not written yet")


# --- Chapter 5: the convolution --------------------------------------------------------------------------------------


def im2col(x, k):
    """12 · For formula (10): every k×k window of x as a column. A plain array comes out, no backward.

        columns[n, (c,a,b), (i,j)] = x_padded[n, c, i + a, j + b]

    x_padded has k // 2 rows and columns of zeros on every side of x, so there are as many windows as pixels. (c,a,b) is
    one axis, counted like the entries of an array of shape (C, k, k); (i,j) likewise, (H, W).

    x: (N, C, H, W) -> columns: (N, C·k², H·W).
    """
    raise NotImplementedError("not written yet")


def conv2d(x, kernel):
    """13 · The convolution of formula (10): stride 1, zeros around x, no bias. The backward is for chapter 6.

        out[n, o, i, j] = Σ_{c,a,b} kernel[o, c, a, b] · x_padded[n, c, i + a, j + b]

    x: (N, C, H, W), kernel: (O, C, k, k) -> out: (N, O, H, W). In CBAM C = 2 and O = 1.
    backward(d_out) returns d_x, d_kernel.
    """
    raise NotImplementedError("not written yet")


# --- Chapter 6: its gradient, and spatial attention ------------------------------------------------------------------


def col2im(columns, shape, k):
    """14 · The adjoint of im2col: every column is added back into the window it was copied from.

        x_padded[n, c, i + a, j + b] += columns[n, (c,a,b), (i,j)]       for all (a,b), (i,j)

    Then the padding is cut off. A plain array comes out, no backward.

    columns: (N, C·k², H·W), shape: (N, C, H, W) -> x: (N, C, H, W).
    """
    raise NotImplementedError("not written yet")


def spatial_attention(f1, kernel):
    """15 · Formulas (2), (8) to (11): every pixel scaled by its gate.

        u = Conv_{k×k}([F^s_avg; F^s_max])        M_s = σ(u)        F″ = M_s ⊗ F′

    f1: (N, C, H, W), kernel: (1, 2, k, k), for [avg; max] in this order -> f2: (N, C, H, W).
    backward(d_f2) returns d_f1, d_kernel.
    """
    raise NotImplementedError("not written yet")


# --- Chapter 7: the whole block --------------------------------------------------------------------------------------


def cbam(f, w1, w2, kernel):
    """16 · Formulas (1) to (11): channel attention, then spatial attention on its result.

        F′ = M_c(F) ⊗ F        F″ = M_s(F′) ⊗ F′

    f: (N, C, H, W), w1: (hidden, C), w2: (C, hidden), kernel: (1, 2, k, k) -> f2: (N, C, H, W).
    backward(d_f2) returns d_f, d_w1, d_w2, d_kernel.
    """
    raise NotImplementedError("not written yet")
