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
    inputs = [np.array(x) for x in inputs]
    x = inputs[which]
    h = 6e-6
    result = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        x_i = x[i]
        x[i] = x_i + h
        above = np.sum(d_out * op(*inputs)[0])
        x[i] = x_i - h
        below = np.sum(d_out * op(*inputs)[0])
        x[i] = x_i
        result[i] = (above - below) / (2 * h)
    return result


def largest_error(op, *inputs, seed=0):
    """2 · The gradient check: how far the gradients of `op` are from the slopes.

    Draw a random d_out of the shape of out from the seed (not ones: why?), call backward, and measure the slopes of
    every input. The result is the largest difference of any entry of any gradient: without its sign, and not divided
    by anything.

    op: a function with out, backward = op(*inputs). inputs: float64 arrays of any shapes -> a number: 1e-7 or less if
    the gradients are right. There is no NaN to look for. If op has one input, its backward returns one array and not
    a tuple.
    """
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    gradients = backward(d_out)
    if not isinstance(gradients, tuple):
        gradients = (gradients,)
    errors = []
    for which, gradient in enumerate(gradients):
        difference = gradient - slopes(op, inputs, which, d_out)
        errors.append(np.max(np.abs(difference)))
    return float(np.max(errors))


# --- Chapter 2: pooling ----------------------------------------------------------------------------------------------


def avg_pool_over_space(f):
    """3 · Formula (3): the average of each channel.

        F^c_avg[n, c] = 1/(H·W) Σ_{i,j} F[n, c, i, j]

    f: (N, C, H, W) -> avg_c: (N, C). backward(d_avg_c) returns d_f.
    """
    N, C, H, W = f.shape
    avg_c = f.mean(axis=(2, 3))

    def backward(d_avg_c):
        share = d_avg_c[:, :, None, None] / (H * W)
        return np.broadcast_to(share, f.shape).copy()

    return avg_c, backward


def max_pool_over_space(f):
    """4 · Formula (4): the largest entry of each channel.

        F^c_max[n, c] = max_{i,j} F[n, c, i, j]

    f: (N, C, H, W) -> max_c: (N, C). backward(d_max_c) returns d_f.
    Where several entries tie for the maximum, the first one wins, row by row.
    """
    N, C, H, W = f.shape
    pixels = f.reshape(N, C, H * W)
    winner = pixels.argmax(axis=2)[:, :, None]
    max_c = np.take_along_axis(pixels, winner, axis=2)[:, :, 0]

    def backward(d_max_c):
        d_pixels = np.zeros((N, C, H * W))
        np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)
        return d_pixels.reshape(f.shape)

    return max_c, backward


def avg_pool_over_channels(f):
    """5 · Formula (8): the average at each pixel. (The block calls it with F′.)

        F^s_avg[n, 0, i, j] = 1/C Σ_c F[n, c, i, j]

    f: (N, C, H, W) -> avg_s: (N, 1, H, W). backward(d_avg_s) returns d_f.
    """
    N, C, H, W = f.shape
    avg_s = f.mean(axis=1, keepdims=True)

    def backward(d_avg_s):
        return np.broadcast_to(d_avg_s / C, f.shape).copy()

    return avg_s, backward


def max_pool_over_channels(f):
    """6 · Formula (9): the largest entry at each pixel. (The block calls it with F′.)

        F^s_max[n, 0, i, j] = max_c F[n, c, i, j]

    f: (N, C, H, W) -> max_s: (N, 1, H, W). backward(d_max_s) returns d_f.
    Where several channels tie for the maximum, the first one wins.
    """
    winner = f.argmax(axis=1)[:, None]
    max_s = np.take_along_axis(f, winner, axis=1)

    def backward(d_max_s):
        d_f = np.zeros(f.shape)
        np.put_along_axis(d_f, winner, d_max_s, axis=1)
        return d_f

    return max_s, backward


# --- Chapter 3: the shared MLP ---------------------------------------------------------------------------------------


def relu(x):
    """7 · The activation of formula (5), entry by entry; its slope at 0 is 0.

        ReLU(x) = x if x > 0, else 0

    x: any shape -> out: the same shape. backward(d_out) returns d_x.
    """
    on = x > 0
    out = np.where(on, x, 0.0)

    def backward(d_out):
        return np.where(on, d_out, 0.0)

    return out, backward


def mlp(x, w1, w2):
    """8 · Formula (5): two layers without biases. Each row of x is one sample.

        z = W1 x        h = ReLU(z)        MLP(x) = W2 h

    x: (N, C), w1: (hidden, C), w2: (C, hidden) -> out: (N, C). backward(d_out) returns d_x, d_w1, d_w2.
    """
    z = x @ w1.T
    h, relu_backward = relu(z)
    out = h @ w2.T

    def backward(d_out):
        d_w2 = d_out.T @ h
        d_h = d_out @ w2
        d_z = relu_backward(d_h)
        d_w1 = d_z.T @ x
        d_x = d_z @ w1
        return d_x, d_w1, d_w2

    return out, backward


# --- Chapter 4: channel attention ------------------------------------------------------------------------------------


def sigmoid(x):
    """9 · The σ of formulas (6) and (10), entry by entry.

        σ(x) = 1 / (1 + e^{-x})

    x: any shape -> out: the same shape. backward(d_out) returns d_x.
    It must not overflow: σ(-1000) is 0 and σ(1000) is 1, without a warning. (You may silence one with np.errstate, if
    the numbers are right.) Absolute errors up to 1e-12 are fine.
    """
    e = np.exp(-np.abs(x))
    out = np.where(x >= 0, 1.0, e) / (1 + e)

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


def gate(m, f):
    """10 · Formulas (7) and (11): features times a map, which is broadcast along its axes of length 1.

        out = m ⊗ f

    m: (N, C, 1, 1) or (N, 1, H, W), f: (N, C, H, W) -> out: (N, C, H, W). backward(d_out) returns d_m, d_f.
    """
    out = m * f
    axes = tuple(axis for axis in (1, 2, 3) if m.shape[axis] == 1)

    def backward(d_out):
        d_m = np.sum(d_out * f, axis=axes, keepdims=True)
        d_f = d_out * m
        return d_m, d_f

    return out, backward


def channel_attention(f, w1, w2):
    """11 · Formulas (1), (3) to (7): every channel scaled by its gate.

        s = MLP(F^c_avg) + MLP(F^c_max)        M_c = σ(s)        F′ = M_c ⊗ F

    f: (N, C, H, W), w1: (hidden, C), w2: (C, hidden) -> f1: (N, C, H, W). backward(d_f1) returns d_f, d_w1, d_w2.
    """
    avg_c, avg_backward = avg_pool_over_space(f)
    max_c, max_backward = max_pool_over_space(f)
    s_avg, mlp_avg_backward = mlp(avg_c, w1, w2)
    s_max, mlp_max_backward = mlp(max_c, w1, w2)
    m_c, sigmoid_backward = sigmoid(s_avg + s_max)
    f1, gate_backward = gate(m_c[:, :, None, None], f)

    def backward(d_f1):
        d_m_c, d_f_direct = gate_backward(d_f1)
        d_s = sigmoid_backward(d_m_c[:, :, 0, 0])
        d_avg_c, d_w1_avg, d_w2_avg = mlp_avg_backward(d_s)
        d_max_c, d_w1_max, d_w2_max = mlp_max_backward(d_s)
        d_f = d_f_direct + avg_backward(d_avg_c) + max_backward(d_max_c)
        d_w1 = d_w1_avg + d_w1_max
        d_w2 = d_w2_avg + d_w2_max
        return d_f, d_w1, d_w2

    return f1, backward


# --- Chapter 5: the convolution --------------------------------------------------------------------------------------


def im2col(x, k):
    """12 · For formula (10): every k×k window of x as a column. A plain array comes out, no backward.

        columns[n, (c,a,b), (i,j)] = x_padded[n, c, i + a, j + b]

    x_padded has k // 2 rows and columns of zeros on every side of x, so there are as many windows as pixels. (c,a,b) is
    one axis, counted like the entries of an array of shape (C, k, k); (i,j) likewise, (H, W).

    x: (N, C, H, W) -> columns: (N, C·k², H·W).
    """
    N, C, H, W = x.shape
    p = k // 2
    x_padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    columns = np.zeros((N, C, k, k, H, W))
    for a, b in np.ndindex(k, k):
        columns[:, :, a, b] = x_padded[:, :, a : a + H, b : b + W]
    return columns.reshape(N, C * k * k, H * W)


def conv2d(x, kernel):
    """13 · The convolution of formula (10): stride 1, zeros around x, no bias. The backward is for chapter 6.

        out[n, o, i, j] = Σ_{c,a,b} kernel[o, c, a, b] · x_padded[n, c, i + a, j + b]

    x: (N, C, H, W), kernel: (O, C, k, k) -> out: (N, O, H, W). In CBAM C = 2 and O = 1.
    backward(d_out) returns d_x, d_kernel.
    """
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    columns = im2col(x, k)
    K = kernel.reshape(O, C * k * k)
    out = (K @ columns).reshape(N, O, H, W)

    def backward(d_out):
        d_rows = d_out.reshape(N, O, H * W)
        d_K = np.sum(d_rows @ columns.transpose(0, 2, 1), axis=0)
        d_columns = K.T @ d_rows
        d_x = col2im(d_columns, x.shape, k)
        d_kernel = d_K.reshape(kernel.shape)
        return d_x, d_kernel

    return out, backward


# --- Chapter 6: its gradient, and spatial attention ------------------------------------------------------------------


def col2im(columns, shape, k):
    """14 · The adjoint of im2col: every column is added back into the window it was copied from.

        x_padded[n, c, i + a, j + b] += columns[n, (c,a,b), (i,j)]       for all (a,b), (i,j)

    Then the padding is cut off. A plain array comes out, no backward.

    columns: (N, C·k², H·W), shape: (N, C, H, W) -> x: (N, C, H, W).
    """
    N, C, H, W = shape
    p = k // 2
    windows = columns.reshape(N, C, k, k, H, W)
    x_padded = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a, b in np.ndindex(k, k):
        x_padded[:, :, a : a + H, b : b + W] += windows[:, :, a, b]
    return x_padded[:, :, p : p + H, p : p + W]


def spatial_attention(f1, kernel):
    """15 · Formulas (2), (8) to (11): every pixel scaled by its gate.

        u = Conv_{k×k}([F^s_avg; F^s_max])        M_s = σ(u)        F″ = M_s ⊗ F′

    f1: (N, C, H, W), kernel: (1, 2, k, k), for [avg; max] in this order -> f2: (N, C, H, W).
    backward(d_f2) returns d_f1, d_kernel.
    """
    avg_s, avg_backward = avg_pool_over_channels(f1)
    max_s, max_backward = max_pool_over_channels(f1)
    pooled = np.concatenate([avg_s, max_s], axis=1)
    u, conv_backward = conv2d(pooled, kernel)
    m_s, sigmoid_backward = sigmoid(u)
    f2, gate_backward = gate(m_s, f1)

    def backward(d_f2):
        d_m_s, d_f1_direct = gate_backward(d_f2)
        d_u = sigmoid_backward(d_m_s)
        d_pooled, d_kernel = conv_backward(d_u)
        d_avg_s, d_max_s = d_pooled[:, :1], d_pooled[:, 1:]
        d_f1 = d_f1_direct + avg_backward(d_avg_s) + max_backward(d_max_s)
        return d_f1, d_kernel

    return f2, backward


# --- Chapter 7: the whole block --------------------------------------------------------------------------------------


def cbam(f, w1, w2, kernel):
    """16 · Formulas (1) to (11): channel attention, then spatial attention on its result.

        F′ = M_c(F) ⊗ F        F″ = M_s(F′) ⊗ F′

    f: (N, C, H, W), w1: (hidden, C), w2: (C, hidden), kernel: (1, 2, k, k) -> f2: (N, C, H, W).
    backward(d_f2) returns d_f, d_w1, d_w2, d_kernel.
    """
    f1, channel_backward = channel_attention(f, w1, w2)
    f2, spatial_backward = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_backward(d_f2)
        d_f, d_w1, d_w2 = channel_backward(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward
