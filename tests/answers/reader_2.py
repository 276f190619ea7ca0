import numpy as np


# ---------------------------------------------------------------- 1 slopes


# right
def slopes__1(op, inputs, which, d_out):
    h = 1e-5
    x = inputs[which]
    result = np.zeros(x.shape)
    for idx in np.ndindex(*x.shape):
        x_plus = x.copy()
        x_plus[idx] += h
        x_minus = x.copy()
        x_minus[idx] -= h
        args_plus = list(inputs)
        args_plus[which] = x_plus
        args_minus = list(inputs)
        args_minus[which] = x_minus
        out_plus, _ = op(*args_plus)
        out_minus, _ = op(*args_minus)
        result[idx] = (np.sum(d_out * out_plus) - np.sum(d_out * out_minus)) / (2 * h)
    return result


# right
def slopes__2(op, inputs, which, d_out):
    h = 1e-5
    base = inputs[which]

    def loss(moved):
        return np.sum(op(*inputs[:which], moved, *inputs[which + 1 :])[0] * d_out)

    values = []
    for i in range(base.size):
        step = np.zeros(base.size)
        step[i] = h
        step = step.reshape(base.shape)
        values.append((loss(base + step) - loss(base - step)) / (2 * h))
    return np.array(values).reshape(base.shape)


# right
def slopes__3(op, inputs, which, d_out):
    eps = 1e-5
    args = [a.copy() for a in inputs]
    flat = args[which].reshape(-1)
    grad = np.empty(flat.size)
    for i in range(flat.size):
        old = flat[i]
        flat[i] = old + eps
        up = (op(*args)[0] * d_out).sum()
        flat[i] = old - eps
        down = (op(*args)[0] * d_out).sum()
        flat[i] = old
        grad[i] = (up - down) / (2 * eps)
    return grad.reshape(args[which].shape)


# forgets that op gives back two things: d_out is multiplied with the pair (out, backward), which stops with an error
def slopes__4(op, inputs, which, d_out):
    h = 1e-5
    grad = np.zeros_like(inputs[which])
    for idx in np.ndindex(*inputs[which].shape):
        args = [a.copy() for a in inputs]
        args[which][idx] += h
        up = np.sum(d_out * op(*args))
        args[which][idx] -= 2 * h
        down = np.sum(d_out * op(*args))
        grad[idx] = (up - down) / (2 * h)
    return grad


# d_out isn't used: the slope of the plain sum of out is taken
def slopes__5(op, inputs, which, d_out):
    h = 1e-5
    grad = np.zeros_like(inputs[which])
    for idx in np.ndindex(*inputs[which].shape):
        args = [a.copy() for a in inputs]
        args[which][idx] += h
        up, _ = op(*args)
        args[which][idx] -= 2 * h
        down, _ = op(*args)
        grad[idx] = (up.sum() - down.sum()) / (2 * h)
    return grad


# the difference is divided by h and not by 2h
def slopes__6(op, inputs, which, d_out):
    h = 1e-5
    grad = np.zeros_like(inputs[which])
    for idx in np.ndindex(*inputs[which].shape):
        args = [a.copy() for a in inputs]
        args[which][idx] += h
        up, _ = op(*args)
        args[which][idx] -= 2 * h
        down, _ = op(*args)
        grad[idx] = ((up * d_out).sum() - (down * d_out).sum()) / h
    return grad


# plus and minus are the same array because copy() was forgotten, so every slope is 0
def slopes__7(op, inputs, which, d_out):
    h = 1e-5
    grad = np.zeros_like(inputs[which])
    for idx in np.ndindex(*inputs[which].shape):
        plus = list(inputs)
        minus = list(inputs)
        plus[which][idx] += h
        minus[which][idx] -= h
        up, _ = op(*plus)
        down, _ = op(*minus)
        grad[idx] = (np.sum(up * d_out) - np.sum(down * d_out)) / (2 * h)
    return grad


# the inputs are changed in place and the entry is never put back (it stays at -h)
def slopes__8(op, inputs, which, d_out):
    h = 1e-5
    x = inputs[which]
    grad = np.zeros_like(x)
    for idx in np.ndindex(*x.shape):
        x[idx] += h
        up, _ = op(*inputs)
        x[idx] -= 2 * h
        down, _ = op(*inputs)
        grad[idx] = (np.sum(up * d_out) - np.sum(down * d_out)) / (2 * h)
    return grad


# `which` is ignored: always the first input is moved
def slopes__9(op, inputs, which, d_out):
    h = 1e-5
    x = inputs[0]
    grad = np.zeros_like(x)
    for idx in np.ndindex(*x.shape):
        plus = x.copy()
        plus[idx] += h
        minus = x.copy()
        minus[idx] -= h
        up, _ = op(plus, *inputs[1:])
        down, _ = op(minus, *inputs[1:])
        grad[idx] = (np.sum(up * d_out) - np.sum(down * d_out)) / (2 * h)
    return grad


# all entries are moved by h at once, so every entry gets the slope of the whole array
def slopes__10(op, inputs, which, d_out):
    h = 1e-5
    plus = list(inputs)
    minus = list(inputs)
    plus[which] = inputs[which] + h
    minus[which] = inputs[which] - h
    up, _ = op(*plus)
    down, _ = op(*minus)
    return np.ones(inputs[which].shape) * np.sum(d_out * (up - down)) / (2 * h)


# the slopes come back as one flat row, not in the shape of inputs[which]
def slopes__11(op, inputs, which, d_out):
    h = 1e-5
    grad = []
    for idx in np.ndindex(*inputs[which].shape):
        args = [a.copy() for a in inputs]
        args[which][idx] += h
        up, _ = op(*args)
        args[which][idx] -= 2 * h
        down, _ = op(*args)
        grad.append(np.sum((up - down) * d_out) / (2 * h))
    return np.array(grad)


# the brackets around the difference are missing, only `down` is divided by 2h
def slopes__12(op, inputs, which, d_out):
    h = 1e-5
    grad = np.zeros_like(inputs[which])
    for idx in np.ndindex(*inputs[which].shape):
        args = [a.copy() for a in inputs]
        args[which][idx] += h
        up = np.sum(op(*args)[0] * d_out)
        args[which][idx] -= 2 * h
        down = np.sum(op(*args)[0] * d_out)
        grad[idx] = up - down / (2 * h)
    return grad


# h is 1e-12, far too small: the difference drowns in rounding
def slopes__13(op, inputs, which, d_out):
    h = 1e-12
    grad = np.zeros_like(inputs[which])
    for idx in np.ndindex(*inputs[which].shape):
        args = [a.copy() for a in inputs]
        args[which][idx] = inputs[which][idx] + h
        up = np.sum(op(*args)[0] * d_out)
        args[which][idx] = inputs[which][idx] - h
        down = np.sum(op(*args)[0] * d_out)
        grad[idx] = (up - down) / (2 * h)
    return grad


# ---------------------------------------------------------------- 2 largest_error


# right
def largest_error__1(op, *inputs, seed=0):
    out, backward = op(*inputs)
    rng = np.random.default_rng(seed)
    d_out = rng.normal(size=out.shape)
    grads = backward(d_out)
    if not isinstance(grads, tuple):
        grads = (grads,)
    worst = 0.0
    for i in range(len(inputs)):
        s = slopes(op, inputs, i, d_out)
        err = np.abs(grads[i] - s).max()
        if err > worst:
            worst = err
    return worst


# right
def largest_error__2(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.RandomState(seed).randn(*out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = [grads]
    return max(np.max(np.abs(g - slopes(op, inputs, i, d_out))) for i, g in enumerate(grads))


# d_out is all ones and not random
def largest_error__3(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.ones_like(out)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    return max(np.abs(g - slopes(op, inputs, i, d_out)).max() for i, g in enumerate(grads))


# an op with one input: its gradient isn't put into a tuple, so grads[0] is only its first sample
def largest_error__4(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    worst = 0.0
    for i in range(len(inputs)):
        worst = max(worst, np.abs(grads[i] - slopes(op, inputs, i, d_out)).max())
    return worst


# no absolute value: gradients that are too small count as negative errors
def largest_error__5(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if not isinstance(grads, tuple):
        grads = (grads,)
    errors = []
    for i in range(len(inputs)):
        errors.append((grads[i] - slopes(op, inputs, i, d_out)).max())
    return max(errors)


# the error is overwritten in the loop, so only the last input counts
def largest_error__6(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if not isinstance(grads, tuple):
        grads = (grads,)
    for i in range(len(inputs)):
        error = np.abs(grads[i] - slopes(op, inputs, i, d_out)).max()
    return error


# the mean of the differences and not the largest
def largest_error__7(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if not isinstance(grads, tuple):
        grads = (grads,)
    return max(np.abs(g - slopes(op, inputs, i, d_out)).mean() for i, g in enumerate(grads))


# gives back a list with one error per input and not one number
def largest_error__8(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if not isinstance(grads, tuple):
        grads = (grads,)
    return [np.abs(g - slopes(op, inputs, i, d_out)).max() for i, g in enumerate(grads)]


# d_out has the shape of the first input and not of out (an error, or wrong, as soon as they differ)
def largest_error__9(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=inputs[0].shape)
    grads = backward(d_out)
    if not isinstance(grads, tuple):
        grads = (grads,)
    return max(np.abs(g - slopes(op, inputs, i, d_out)).max() for i, g in enumerate(grads))


# backward and slopes get two different random d_out
def largest_error__10(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    grads = backward(rng.normal(size=out.shape))
    if not isinstance(grads, tuple):
        grads = (grads,)
    worst = 0
    for i, g in enumerate(grads):
        worst = max(worst, np.abs(g - slopes(op, inputs, i, rng.normal(size=out.shape))).max())
    return worst


# gives back True or False (np.allclose) and not the size of the error
def largest_error__11(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if not isinstance(grads, tuple):
        grads = (grads,)
    return all(np.allclose(g, slopes(op, inputs, i, d_out)) for i, g in enumerate(grads))


# every gradient is compared with the slopes of input 0 (copied and `which` not changed)
def largest_error__12(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if not isinstance(grads, tuple):
        grads = (grads,)
    worst = 0
    for g in grads:
        worst = max(worst, np.abs(g - slopes(op, inputs, 0, d_out)).max())
    return worst


# the random numbers don't come from the seed, every call draws another d_out
def largest_error__13(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.randn(*out.shape)
    grads = backward(d_out)
    if not isinstance(grads, tuple):
        grads = (grads,)
    return max(np.abs(g - slopes(op, inputs, i, d_out)).max() for i, g in enumerate(grads))


# right
def largest_error__14(op, *inputs, seed=0):
    np_rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    d_out = np_rng.uniform(-1, 1, out.shape)
    grads = backward(d_out)
    grads = list(grads) if type(grads) is tuple else [grads]
    diffs = []
    for which in range(len(inputs)):
        numeric = slopes(op, inputs, which, d_out)
        for idx in np.ndindex(*numeric.shape):
            diffs.append(abs(float(grads[which][idx]) - float(numeric[idx])))
    return max(diffs)


# ---------------------------------------------------------------- 3 avg_pool_over_space


# right
def avg_pool_over_space__1(f):
    n, c, h, w = f.shape
    out = f.mean(axis=(2, 3))

    def backward(d_avg_c):
        return np.ones((n, c, h, w)) * d_avg_c[:, :, None, None] / (h * w)

    return out, backward


# right
def avg_pool_over_space__2(f):
    N, C, H, W = f.shape
    out = np.zeros((N, C))
    for n in range(N):
        for c in range(C):
            total = 0.0
            for i in range(H):
                for j in range(W):
                    total += f[n, c, i, j]
            out[n, c] = total / (H * W)

    def backward(d_avg_c):
        d_f = np.zeros((N, C, H, W))
        for n in range(N):
            for c in range(C):
                for i in range(H):
                    for j in range(W):
                        d_f[n, c, i, j] = d_avg_c[n, c] / (H * W)
        return d_f

    return out, backward


# only the rows are averaged (axis=2), W is still there
def avg_pool_over_space__3(f):
    h = f.shape[2]
    out = f.mean(axis=2)

    def backward(d_avg_c):
        return np.repeat(np.expand_dims(d_avg_c, 2), h, axis=2) / h

    return out, backward


# backward lacks the factor 1/(H·W)
def avg_pool_over_space__4(f):
    out = f.mean(axis=(2, 3))

    def backward(d_avg_c):
        return np.ones_like(f) * d_avg_c[:, :, None, None]

    return out, backward


# backward: d_avg_c (N, C) isn't given the axes of length 1, so it doesn't broadcast and stops with an error
def avg_pool_over_space__5(f):
    n, c, h, w = f.shape
    out = f.mean(axis=(2, 3))

    def backward(d_avg_c):
        return np.ones_like(f) * d_avg_c / (h * w)

    return out, backward


# torch's dim= given to np.mean, which has only axis=: stops with a TypeError
def avg_pool_over_space__6(f):
    n, c, h, w = f.shape
    out = np.mean(f, dim=(2, 3))

    def backward(d_avg_c):
        return np.ones_like(f) * d_avg_c[:, :, None, None] / (h * w)

    return out, backward


# like AdaptiveAvgPool2d(1): keepdims makes out (N, C, 1, 1) and not (N, C)
def avg_pool_over_space__7(f):
    n, c, h, w = f.shape
    out = f.mean(axis=(2, 3), keepdims=True)

    def backward(d_avg_c):
        return np.ones_like(f) * d_avg_c.reshape(n, c, 1, 1) / (h * w)

    return out, backward


# gives back only the output, no backward
def avg_pool_over_space__8(f):
    return f.mean(axis=(2, 3))


# ---------------------------------------------------------------- 4 max_pool_over_space


# right
def max_pool_over_space__1(f):
    n, c, h, w = f.shape
    flat = f.reshape(n, c, h * w)
    idx = flat.argmax(axis=2)
    out = flat.max(axis=2)

    def backward(d_max_c):
        d_flat = np.zeros((n, c, h * w))
        d_flat[np.arange(n)[:, None], np.arange(c)[None, :], idx] = d_max_c
        return d_flat.reshape(n, c, h, w)

    return out, backward


# right
def max_pool_over_space__2(f):
    N, C, H, W = f.shape
    out = np.zeros((N, C))
    where = {}
    for n in range(N):
        for c in range(C):
            best = -np.inf
            for i in range(H):
                for j in range(W):
                    if f[n, c, i, j] > best:
                        best = f[n, c, i, j]
                        where[n, c] = (i, j)
            out[n, c] = best

    def backward(d_max_c):
        d_f = np.zeros((N, C, H, W))
        for (n, c), (i, j) in where.items():
            d_f[n, c, i, j] = d_max_c[n, c]
        return d_f

    return out, backward


# right
def max_pool_over_space__3(f):
    out = np.amax(f, axis=(-2, -1))
    mask = (f == out[:, :, None, None]).reshape(f.shape[0], f.shape[1], -1)
    mask = mask & (np.cumsum(mask, axis=-1) == 1)
    return out, lambda d: mask.reshape(f.shape) * d[:, :, None, None]


# ties: every entry equal to the maximum gets the gradient, not only the first one
def max_pool_over_space__4(f):
    out = f.max(axis=(2, 3))
    mask = f == out[:, :, None, None]

    def backward(d_max_c):
        return mask * d_max_c[:, :, None, None]

    return out, backward


# the gradient is divided by H·W (copied from the average)
def max_pool_over_space__5(f):
    n, c, h, w = f.shape
    flat = f.reshape(n, c, -1)
    idx = flat.argmax(-1)
    out = flat.max(-1)

    def backward(d_max_c):
        d_flat = np.zeros_like(flat)
        np.put_along_axis(d_flat, idx[:, :, None], d_max_c[:, :, None] / (h * w), axis=2)
        return d_flat.reshape(n, c, h, w)

    return out, backward


# d_max_c isn't used, a 1 is written at the maximum
def max_pool_over_space__6(f):
    N, C, H, W = f.shape
    out = f.max(axis=(2, 3))

    def backward(d_max_c):
        d_f = np.zeros_like(f)
        for n in range(N):
            for c in range(C):
                i, j = np.unravel_index(f[n, c].argmax(), (H, W))
                d_f[n, c, i, j] = 1
        return d_f

    return out, backward


# ties: >= lets the last maximum win and not the first
def max_pool_over_space__7(f):
    N, C, H, W = f.shape
    out = np.full((N, C), -np.inf)
    pos = np.zeros((N, C, 2), dtype=int)
    for n in range(N):
        for c in range(C):
            for i in range(H):
                for j in range(W):
                    if f[n, c, i, j] >= out[n, c]:
                        out[n, c] = f[n, c, i, j]
                        pos[n, c] = i, j

    def backward(d_max_c):
        d_f = np.zeros_like(f)
        for n in range(N):
            for c in range(C):
                d_f[n, c, pos[n, c, 0], pos[n, c, 1]] = d_max_c[n, c]
        return d_f

    return out, backward


# d_f stays flat (N, C, H·W), the reshape at the end is forgotten
def max_pool_over_space__8(f):
    n, c, h, w = f.shape
    flat = f.reshape(n, c, -1)
    idx = flat.argmax(-1)[:, :, None]
    out = flat.max(-1)

    def backward(d_max_c):
        d_f = np.zeros_like(flat)
        np.put_along_axis(d_f, idx, d_max_c[:, :, None], axis=2)
        return d_f

    return out, backward


# the search starts at 0, so a channel with only negative entries gets the maximum 0
def max_pool_over_space__9(f):
    N, C, H, W = f.shape
    out = np.zeros((N, C))
    pos = np.zeros((N, C, 2), dtype=int)
    for n in range(N):
        for c in range(C):
            for i in range(H):
                for j in range(W):
                    if f[n, c, i, j] > out[n, c]:
                        out[n, c] = f[n, c, i, j]
                        pos[n, c] = i, j

    def backward(d_max_c):
        d_f = np.zeros_like(f)
        for n in range(N):
            for c in range(C):
                d_f[n, c, pos[n, c, 0], pos[n, c, 1]] = d_max_c[n, c]
        return d_f

    return out, backward


# torch's habit: values and indices are unpacked from max, NumPy gives only the values (an error; with N = 2 silently the two samples)
def max_pool_over_space__10(f):
    n, c, h, w = f.shape
    out, idx = np.max(f.reshape(n, c, -1), axis=2)

    def backward(d_max_c):
        d_f = np.zeros((n, c, h * w))
        np.put_along_axis(d_f, idx[:, :, None], d_max_c[:, :, None], axis=2)
        return d_f.reshape(f.shape)

    return out, backward


# d_f[:, :, idx] writes every sample and channel at the maxima of all the others
def max_pool_over_space__11(f):
    n, c, h, w = f.shape
    flat = f.reshape(n, c, -1)
    idx = flat.argmax(axis=2)
    out = flat.max(axis=2)

    def backward(d_max_c):
        d_f = np.zeros_like(flat)
        d_f[:, :, idx] = d_max_c[:, :, None, None]
        return d_f.reshape(f.shape)

    return out, backward


# the flat index is divided by H and not by W to get the row (an IndexError or the wrong pixel unless H = W)
def max_pool_over_space__12(f):
    N, C, H, W = f.shape
    out = f.max(axis=(2, 3))

    def backward(d_max_c):
        d_f = np.zeros_like(f)
        for n in range(N):
            for c in range(C):
                idx = f[n, c].argmax()
                d_f[n, c, idx // H, idx % H] = d_max_c[n, c]
        return d_f

    return out, backward


# ties: the gradient is shared out equally among the maxima
def max_pool_over_space__13(f):
    out = f.max(axis=(2, 3))
    mask = (f == out[:, :, None, None]).astype(float)
    mask = mask / mask.sum(axis=(2, 3), keepdims=True)

    def backward(d_max_c):
        return mask * d_max_c[:, :, None, None]

    return out, backward


# ---------------------------------------------------------------- 5 avg_pool_over_channels


# right
def avg_pool_over_channels__1(f):
    C = f.shape[1]
    out = f.mean(axis=1, keepdims=True)

    def backward(d_avg_s):
        return np.repeat(d_avg_s, C, axis=1) / C

    return out, backward


# right
def avg_pool_over_channels__2(f):
    N, C, H, W = f.shape
    out = np.zeros((N, 1, H, W))
    for c in range(C):
        out[:, 0] += f[:, c] / C

    def backward(d_avg_s):
        d_f = np.zeros((N, C, H, W))
        for c in range(C):
            d_f[:, c] = d_avg_s[:, 0] / C
        return d_f

    return out, backward


# out is (N, H, W), the channel axis of length 1 is lost (no keepdims)
def avg_pool_over_channels__3(f):
    C = f.shape[1]
    out = f.mean(axis=1)

    def backward(d_avg_s):
        return np.ones_like(f) * d_avg_s.reshape(f.shape[0], 1, f.shape[2], f.shape[3]) / C

    return out, backward


# backward divides by H·W and not by C (copied from the pooling over space)
def avg_pool_over_channels__4(f):
    n, c, h, w = f.shape
    out = f.mean(axis=1, keepdims=True)

    def backward(d_avg_s):
        return np.ones((n, c, h, w)) * d_avg_s / (h * w)

    return out, backward


# axis=0: the average over the samples and not over the channels
def avg_pool_over_channels__5(f):
    n = f.shape[0]
    out = np.mean(f, axis=0, keepdims=True)

    def backward(d_avg_s):
        return np.ones_like(f) * d_avg_s / n

    return out, backward


# d_f keeps the shape (N, 1, H, W), it isn't spread over the C channels
def avg_pool_over_channels__6(f):
    C = f.shape[1]
    out = f.mean(axis=1, keepdims=True)

    def backward(d_avg_s):
        return d_avg_s / C

    return out, backward


# out is the sum over the channels, the 1/C is only in backward
def avg_pool_over_channels__7(f):
    C = f.shape[1]
    out = f.sum(axis=1, keepdims=True)

    def backward(d_avg_s):
        return np.ones_like(f) * d_avg_s / C

    return out, backward


# ---------------------------------------------------------------- 6 max_pool_over_channels


# right
def max_pool_over_channels__1(f):
    idx = np.expand_dims(f.argmax(axis=1), 1)
    out = np.take_along_axis(f, idx, axis=1)

    def backward(d_max_s):
        d_f = np.zeros(f.shape)
        np.put_along_axis(d_f, idx, d_max_s, axis=1)
        return d_f

    return out, backward


# right
def max_pool_over_channels__2(f):
    N, C, H, W = f.shape
    out = np.zeros((N, 1, H, W))
    winner = np.zeros((N, H, W), dtype=int)
    for n in range(N):
        for i in range(H):
            for j in range(W):
                best = 0
                for c in range(1, C):
                    if f[n, c, i, j] > f[n, best, i, j]:
                        best = c
                winner[n, i, j] = best
                out[n, 0, i, j] = f[n, best, i, j]

    def backward(d_max_s):
        d_f = np.zeros((N, C, H, W))
        for n in range(N):
            for i in range(H):
                for j in range(W):
                    d_f[n, winner[n, i, j], i, j] = d_max_s[n, 0, i, j]
        return d_f

    return out, backward


# ties: all channels that equal the maximum get the gradient
def max_pool_over_channels__3(f):
    out = f.max(axis=1, keepdims=True)

    def backward(d_max_s):
        return (f == out) * d_max_s

    return out, backward


# out is the index of the largest channel (argmax) and not its value
def max_pool_over_channels__4(f):
    idx = np.argmax(f, axis=1, keepdims=True)

    def backward(d_max_s):
        d_f = np.zeros_like(f)
        np.put_along_axis(d_f, idx, d_max_s, axis=1)
        return d_f

    return idx, backward


# backward is the one of the average: each channel gets d/C (copied and not changed)
def max_pool_over_channels__5(f):
    C = f.shape[1]
    out = f.max(axis=1, keepdims=True)

    def backward(d_max_s):
        return np.ones_like(f) * d_max_s / C

    return out, backward


# d_f is made with the shape of out (one channel), so writing at channel idx stops with an IndexError
def max_pool_over_channels__6(f):
    idx = np.argmax(f, axis=1, keepdims=True)
    out = f.max(axis=1, keepdims=True)

    def backward(d_max_s):
        d_f = np.zeros_like(out)
        np.put_along_axis(d_f, idx, d_max_s, axis=1)
        return d_f

    return out, backward


# np.max(f, 1) loses the channel axis: out is (N, H, W)
def max_pool_over_channels__7(f):
    idx = np.argmax(f, axis=1)[:, None]
    out = np.max(f, 1)

    def backward(d_max_s):
        d_f = np.zeros_like(f)
        np.put_along_axis(d_f, idx, d_max_s.reshape(idx.shape), axis=1)
        return d_f

    return out, backward


# ---------------------------------------------------------------- 7 relu


# right
def relu__1(x):
    out = np.where(x > 0, x, 0.0)

    def backward(d_out):
        d_x = np.zeros_like(d_out)
        d_x[x > 0] = d_out[x > 0]
        return d_x

    return out, backward


# right
def relu__2(x):
    out = np.zeros(x.shape)
    for idx in np.ndindex(x.shape):
        if x[idx] > 0:
            out[idx] = x[idx]

    def backward(d_out):
        d_x = np.zeros(x.shape)
        for idx in np.ndindex(x.shape):
            if x[idx] > 0:
                d_x[idx] = d_out[idx]
        return d_x

    return out, backward


# the mask is made from d_out and not from x
def relu__3(x):
    out = np.maximum(x, 0)

    def backward(d_out):
        return d_out * (d_out > 0)

    return out, backward


# >= : the slope at 0 is 1 and not 0
def relu__4(x):
    out = np.maximum(0, x)
    mask = x >= 0

    def backward(d_out):
        return d_out * mask

    return out, backward


# x is changed in place
def relu__5(x):
    mask = x > 0
    x[x < 0] = 0

    def backward(d_out):
        return d_out * mask

    return x, backward


# d_out is changed in place
def relu__6(x):
    out = np.maximum(x, 0)

    def backward(d_out):
        d_out[x <= 0] = 0
        return d_out

    return out, backward


# Python's max(x, 0) on an array: stops with 'truth value is ambiguous'
def relu__7(x):
    out = max(x, 0)

    def backward(d_out):
        return d_out * (x > 0)

    return out, backward


# backward multiplies with x (with out) and not with the slope 1
def relu__8(x):
    out = np.maximum(x, 0)

    def backward(d_out):
        return d_out * out

    return out, backward


# ---------------------------------------------------------------- 8 mlp


# right
def mlp__1(x, w1, w2):
    z = x @ w1.T
    h, back_relu = relu(z)
    out = h @ w2.T

    def backward(d_out):
        d_h = d_out @ w2
        d_w2 = d_out.T @ h
        d_z = back_relu(d_h)
        d_x = d_z @ w1
        d_w1 = d_z.T @ x
        return d_x, d_w1, d_w2

    return out, backward


# right
def mlp__2(x, w1, w2):
    N = x.shape[0]
    out = np.zeros((N, w2.shape[0]))
    zs = []
    for n in range(N):
        z = w1 @ x[n]
        zs.append(z)
        out[n] = w2 @ np.maximum(z, 0)

    def backward(d_out):
        d_x = np.zeros(x.shape)
        d_w1 = np.zeros(w1.shape)
        d_w2 = np.zeros(w2.shape)
        for n in range(N):
            h = np.maximum(zs[n], 0)
            d_w2 += np.outer(d_out[n], h)
            d_h = w2.T @ d_out[n]
            d_z = d_h * (zs[n] > 0)
            d_w1 += np.outer(d_z, x[n])
            d_x[n] = w1.T @ d_z
        return d_x, d_w1, d_w2

    return out, backward


# right
def mlp__3(x, w1, w2):
    h = np.maximum(np.einsum("nc,hc->nh", x, w1), 0)
    out = np.einsum("nh,ch->nc", h, w2)

    def backward(d_out):
        d_z = np.einsum("nc,ch->nh", d_out, w2) * (h > 0)
        return (np.einsum("nh,hc->nc", d_z, w1), np.einsum("nh,nc->hc", d_z, x), np.einsum("nc,nh->ch", d_out, h))

    return out, backward


# W1 x typed as in the formula, w1 @ x, though the samples are rows: shapes don't fit
def mlp__4(x, w1, w2):
    z = w1 @ x
    h, back_relu = relu(z)
    out = w2 @ h

    def backward(d_out):
        d_h = w2.T @ d_out
        d_z = back_relu(d_h)
        return w1.T @ d_z, d_z @ x.T, d_out @ h.T

    return out, backward


# the ReLU's mask is missing in backward
def mlp__5(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)
    out = h @ w2.T

    def backward(d_out):
        d_w2 = d_out.T @ h
        d_h = d_out @ w2
        d_w1 = d_h.T @ x
        d_x = d_h @ w1
        return d_x, d_w1, d_w2

    return out, backward


# the ReLU's mask is made from the gradient d_h and not from z
def mlp__6(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)
    out = h @ w2.T

    def backward(d_out):
        d_w2 = d_out.T @ h
        d_h = d_out @ w2
        d_z = d_h * (d_h > 0)
        return d_z @ w1, d_z.T @ x, d_w2

    return out, backward


# d_w2 is transposed: (hidden, C) and not (C, hidden)
def mlp__7(x, w1, w2):
    z = x @ w1.T
    h, back_relu = relu(z)
    out = h @ w2.T

    def backward(d_out):
        d_w2 = h.T @ d_out
        d_z = back_relu(d_out @ w2)
        d_w1 = d_z.T @ x
        return d_z @ w1, d_w1, d_w2

    return out, backward


# forgets that relu gives back (out, backward): the pair is multiplied with w2, which stops with an error
def mlp__8(x, w1, w2):
    z = x @ w1.T
    h = relu(z)
    out = h @ w2.T

    def backward(d_out):
        d_w2 = d_out.T @ h
        d_z = (d_out @ w2) * (z > 0)
        return d_z @ w1, d_z.T @ x, d_w2

    return out, backward


# the gradients come in the order d_w1, d_w2, d_x
def mlp__9(x, w1, w2):
    z = x @ w1.T
    h, back_relu = relu(z)
    out = h @ w2.T

    def backward(d_out):
        d_w2 = d_out.T @ h
        d_z = back_relu(d_out @ w2)
        d_w1 = d_z.T @ x
        d_x = d_z @ w1
        return d_w1, d_w2, d_x

    return out, backward


# d_w1 and d_w2 are divided by N, as if the loss were a mean over the batch
def mlp__10(x, w1, w2):
    N = x.shape[0]
    z = x @ w1.T
    h, back_relu = relu(z)
    out = h @ w2.T

    def backward(d_out):
        d_w2 = d_out.T @ h / N
        d_z = back_relu(d_out @ w2)
        d_w1 = d_z.T @ x / N
        return d_z @ w1, d_w1, d_w2

    return out, backward


# = and not += in the loop over samples: d_w1 and d_w2 are those of the last sample only
def mlp__11(x, w1, w2):
    N = x.shape[0]
    z = x @ w1.T
    h = np.maximum(z, 0)
    out = h @ w2.T

    def backward(d_out):
        d_x = np.zeros_like(x)
        d_w1 = np.zeros_like(w1)
        d_w2 = np.zeros_like(w2)
        for n in range(N):
            d_w2 = np.outer(d_out[n], h[n])
            d_z = (w2.T @ d_out[n]) * (z[n] > 0)
            d_w1 = np.outer(d_z, x[n])
            d_x[n] = w1.T @ d_z
        return d_x, d_w1, d_w2

    return out, backward


# d_w2 is made with z (before the ReLU) and not with h
def mlp__12(x, w1, w2):
    z = x @ w1.T
    h, back_relu = relu(z)
    out = h @ w2.T

    def backward(d_out):
        d_w2 = d_out.T @ z
        d_z = back_relu(d_out @ w2)
        d_w1 = d_z.T @ x
        return d_z @ w1, d_w1, d_w2

    return out, backward


# a second ReLU after the second layer
def mlp__13(x, w1, w2):
    z = x @ w1.T
    h, back_relu = relu(z)
    y = h @ w2.T
    out, back_relu2 = relu(y)

    def backward(d_out):
        d_y = back_relu2(d_out)
        d_w2 = d_y.T @ h
        d_z = back_relu(d_y @ w2)
        d_w1 = d_z.T @ x
        return d_z @ w1, d_w1, d_w2

    return out, backward


# d_x goes round the ReLU (d_h and not d_z times w1), d_w1 has the mask
def mlp__14(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)
    out = h @ w2.T

    def backward(d_out):
        d_h = d_out @ w2
        d_w2 = d_out.T @ h
        d_z = d_h * (z > 0)
        d_w1 = d_z.T @ x
        d_x = d_h @ w1
        return d_x, d_w1, d_w2

    return out, backward


# ---------------------------------------------------------------- 9 sigmoid


# right
def sigmoid__1(x):
    out = np.zeros(x.shape)
    pos = x >= 0
    neg = ~pos
    out[pos] = 1 / (1 + np.exp(-x[pos]))
    e = np.exp(x[neg])
    out[neg] = e / (1 + e)

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# right
def sigmoid__2(x):
    out = 0.5 * (np.tanh(0.5 * x) + 1)
    return out, lambda d_out: d_out * (out - out**2)


# right
def sigmoid__3(x):
    e = np.exp(-np.clip(x, -500, 500))
    out = 1.0 / (1.0 + e)

    def backward(d_out):
        return d_out * e * out**2

    return out, backward


# overflow: exp(-x) of x = -1000 is too large and warns
def sigmoid__4(x):
    out = 1 / (1 + np.exp(-x))

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# overflow: np.where computes both sides for all entries, so exp still warns
def sigmoid__5(x):
    out = np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# d_out is forgotten in backward
def sigmoid__6(x):
    out = 0.5 * (1 + np.tanh(x / 2))

    def backward(d_out):
        return out * (1 - out)

    return out, backward


# the slope is computed from x, x·(1 - x), and not from out
def sigmoid__7(x):
    out = 0.5 * (1 + np.tanh(x / 2))

    def backward(d_out):
        return d_out * x * (1 - x)

    return out, backward


# brackets missing around 1 - out
def sigmoid__8(x):
    out = 0.5 * (1 + np.tanh(x / 2))

    def backward(d_out):
        return d_out * out * 1 - out

    return out, backward


# the sign of the exponent is wrong: e^x, this is σ(-x)
def sigmoid__9(x):
    out = 1 / (1 + np.exp(np.clip(x, -500, 500)))

    def backward(d_out):
        return -d_out * out * (1 - out)

    return out, backward


# x is clipped to [-10, 10], too narrow: σ(-1000) is 4.5e-5 and not 0
def sigmoid__10(x):
    x = np.clip(x, -10, 10)
    out = 1 / (1 + np.exp(-x))

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# the slope is taken at d_out: σ(d_out)(1 - σ(d_out))
def sigmoid__11(x):
    out = 0.5 * (1 + np.tanh(x / 2))

    def backward(d_out):
        s = 0.5 * (1 + np.tanh(d_out / 2))
        return s * (1 - s)

    return out, backward


# `if x >= 0` on a whole array: stops with 'truth value is ambiguous'
def sigmoid__12(x):
    if x >= 0:
        out = 1 / (1 + np.exp(-x))
    else:
        out = np.exp(x) / (1 + np.exp(x))

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# tanh's slope, 1 - out², and not out(1 - out)
def sigmoid__13(x):
    out = 0.5 * (1 + np.tanh(x / 2))

    def backward(d_out):
        return d_out * (1 - out**2)

    return out, backward


# ---------------------------------------------------------------- 10 gate


# right
def gate__1(m, f):
    out = m * f
    axes = tuple(a for a in range(4) if m.shape[a] == 1)

    def backward(d_out):
        d_m = np.sum(d_out * f, axis=axes, keepdims=True)
        d_f = d_out * m
        return d_m, d_f

    return out, backward


# right
def gate__2(m, f):
    M = np.broadcast_to(m, f.shape)

    def backward(d_out):
        d_m = np.zeros(m.shape)
        N, C, H, W = f.shape
        for n in range(N):
            for c in range(C):
                for i in range(H):
                    for j in range(W):
                        cc = c if m.shape[1] > 1 else 0
                        ii = i if m.shape[2] > 1 else 0
                        jj = j if m.shape[3] > 1 else 0
                        d_m[n, cc, ii, jj] += d_out[n, c, i, j] * f[n, c, i, j]
        return d_m, d_out * M

    return M * f, backward


# right
def gate__3(m, f):
    def backward(d_out):
        d_m = d_out * f
        for axis in (1, 2, 3):
            if m.shape[axis] == 1:
                d_m = d_m.sum(axis=axis, keepdims=True)
        return d_m, m * d_out

    return np.multiply(m, f), backward


# d_m isn't summed over the broadcast axes, it has the shape of f
def gate__4(m, f):
    out = m * f

    def backward(d_out):
        return d_out * f, d_out * m

    return out, backward


# d_m is summed but without keepdims, the axes of length 1 are lost
def gate__5(m, f):
    out = m * f

    def backward(d_out):
        axes = (2, 3) if m.shape[1] != 1 else 1
        d_m = (d_out * f).sum(axis=axes)
        return d_m, d_out * m

    return out, backward


# d_m is always summed over (2, 3), right for the channel map only and not for (N, 1, H, W)
def gate__6(m, f):
    out = m * f

    def backward(d_out):
        d_m = (d_out * f).sum(axis=(2, 3), keepdims=True)
        return d_m, d_out * m

    return out, backward


# d_m is summed over the samples too
def gate__7(m, f):
    out = m * f

    def backward(d_out):
        axes = (0,) + tuple(a for a in (1, 2, 3) if m.shape[a] == 1)
        d_m = (d_out * f).sum(axis=axes, keepdims=True)
        return d_m, d_out * m

    return out, backward


# m and f are mixed up: d_m uses m and d_f uses f
def gate__8(m, f):
    out = m * f
    axes = tuple(a for a in range(4) if m.shape[a] == 1)

    def backward(d_out):
        d_m = (d_out * m).sum(axis=axes, keepdims=True)
        d_f = d_out * f
        return d_m, d_f

    return out, backward


# the order is d_f, d_m
def gate__9(m, f):
    out = m * f
    axes = tuple(a for a in range(4) if m.shape[a] == 1)

    def backward(d_out):
        d_f = d_out * m
        d_m = (d_out * f).sum(axis=axes, keepdims=True)
        return d_f, d_m

    return out, backward


# the mean over the broadcast axes and not the sum
def gate__10(m, f):
    out = m * f
    axes = tuple(a for a in range(4) if m.shape[a] == 1)

    def backward(d_out):
        d_m = (d_out * f).mean(axis=axes, keepdims=True)
        return d_m, d_out * m

    return out, backward


# d_f is d_out alone, without the factor m
def gate__11(m, f):
    out = m * f
    axes = tuple(a for a in range(4) if m.shape[a] == 1)

    def backward(d_out):
        d_m = (d_out * f).sum(axis=axes, keepdims=True)
        return d_m, d_out

    return out, backward


# d_out is forgotten in d_m, it is only the sum of f
def gate__12(m, f):
    out = m * f
    axes = tuple(a for a in range(4) if m.shape[a] == 1)

    def backward(d_out):
        d_m = f.sum(axis=axes, keepdims=True)
        d_f = d_out * m
        return d_m, d_f

    return out, backward


# out is m + f and not m * f (a skip connection in mind); backward is the one of the product
def gate__13(m, f):
    out = m + f
    axes = tuple(a for a in range(4) if m.shape[a] == 1)

    def backward(d_out):
        return (d_out * f).sum(axis=axes, keepdims=True), d_out * m

    return out, backward


# ---------------------------------------------------------------- 11 channel_attention


# right
def channel_attention__1(f, w1, w2):
    avg, back_avg = avg_pool_over_space(f)
    mx, back_max = max_pool_over_space(f)
    a, back_mlp_a = mlp(avg, w1, w2)
    b, back_mlp_b = mlp(mx, w1, w2)
    m, back_sig = sigmoid(a + b)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = back_sig(d_m[:, :, 0, 0])
        d_avg, d_w1_a, d_w2_a = back_mlp_a(d_s)
        d_mx, d_w1_b, d_w2_b = back_mlp_b(d_s)
        d_f = d_f + back_avg(d_avg) + back_max(d_mx)
        return d_f, d_w1_a + d_w1_b, d_w2_a + d_w2_b

    return f1, backward


# right
def channel_attention__2(f, w1, w2):
    N, C, H, W = f.shape
    flat = f.reshape(N, C, H * W)
    idx = flat.argmax(axis=2)
    avg = flat.mean(axis=2)
    mx = flat.max(axis=2)
    z_a = avg @ w1.T
    z_m = mx @ w1.T
    h_a = np.maximum(z_a, 0)
    h_m = np.maximum(z_m, 0)
    s = h_a @ w2.T + h_m @ w2.T
    g = 0.5 * (1 + np.tanh(s / 2))
    f1 = f * g.reshape(N, C, 1, 1)

    def backward(d_f1):
        d_f = d_f1 * g.reshape(N, C, 1, 1)
        d_g = np.sum(d_f1 * f, axis=(2, 3))
        d_s = d_g * g * (1 - g)
        d_w2 = d_s.T @ h_a + d_s.T @ h_m
        d_za = (d_s @ w2) * (z_a > 0)
        d_zm = (d_s @ w2) * (z_m > 0)
        d_w1 = d_za.T @ avg + d_zm.T @ mx
        d_avg = d_za @ w1
        d_mx = d_zm @ w1
        for n in range(N):
            for c in range(C):
                d_f[n, c] += d_avg[n, c] / (H * W)
                d_f[n, c, idx[n, c] // W, idx[n, c] % W] += d_mx[n, c]
        return d_f, d_w1, d_w2

    return f1, backward


# right
def channel_attention__3(f, w1, w2):
    N = f.shape[0]
    avg, back_avg = avg_pool_over_space(f)
    mx, back_max = max_pool_over_space(f)
    both, back_mlp = mlp(np.concatenate([avg, mx], axis=0), w1, w2)
    m, back_sig = sigmoid(both[:N] + both[N:])
    f1, back_gate = gate(np.expand_dims(m, (2, 3)), f)

    def backward(d_f1):
        d_m, d_direct = back_gate(d_f1)
        d_s = back_sig(d_m.squeeze((2, 3)))
        d_both, d_w1, d_w2 = back_mlp(np.concatenate([d_s, d_s], axis=0))
        return d_direct + back_avg(d_both[:N]) + back_max(d_both[N:]), d_w1, d_w2

    return f1, backward


# d_w1 and d_w2 come from the average's MLP only, the max's part is missing
def channel_attention__4(f, w1, w2):
    avg, back_avg = avg_pool_over_space(f)
    mx, back_max = max_pool_over_space(f)
    a, back_mlp_a = mlp(avg, w1, w2)
    b, back_mlp_b = mlp(mx, w1, w2)
    m, back_sig = sigmoid(a + b)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = back_sig(d_m[:, :, 0, 0])
        d_avg, d_w1, d_w2 = back_mlp_a(d_s)
        d_mx, _, _ = back_mlp_b(d_s)
        return d_f + back_avg(d_avg) + back_max(d_mx), d_w1, d_w2

    return f1, backward


# d_f lacks the direct path through the gate
def channel_attention__5(f, w1, w2):
    avg, back_avg = avg_pool_over_space(f)
    mx, back_max = max_pool_over_space(f)
    a, back_mlp_a = mlp(avg, w1, w2)
    b, back_mlp_b = mlp(mx, w1, w2)
    m, back_sig = sigmoid(a + b)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, _ = back_gate(d_f1)
        d_s = back_sig(d_m[:, :, 0, 0])
        d_avg, d_w1_a, d_w2_a = back_mlp_a(d_s)
        d_mx, d_w1_b, d_w2_b = back_mlp_b(d_s)
        d_f = back_avg(d_avg) + back_max(d_mx)
        return d_f, d_w1_a + d_w1_b, d_w2_a + d_w2_b

    return f1, backward


# d_f lacks the path through the maximum
def channel_attention__6(f, w1, w2):
    avg, back_avg = avg_pool_over_space(f)
    mx, back_max = max_pool_over_space(f)
    a, back_mlp_a = mlp(avg, w1, w2)
    b, back_mlp_b = mlp(mx, w1, w2)
    m, back_sig = sigmoid(a + b)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = back_sig(d_m[:, :, 0, 0])
        d_avg, d_w1_a, d_w2_a = back_mlp_a(d_s)
        d_mx, d_w1_b, d_w2_b = back_mlp_b(d_s)
        d_f = d_f + back_avg(d_avg)
        return d_f, d_w1_a + d_w1_b, d_w2_a + d_w2_b

    return f1, backward


# the map (N, C) goes into the gate without its two axes of length 1: shapes don't fit
def channel_attention__7(f, w1, w2):
    avg, back_avg = avg_pool_over_space(f)
    mx, back_max = max_pool_over_space(f)
    a, back_mlp_a = mlp(avg, w1, w2)
    b, back_mlp_b = mlp(mx, w1, w2)
    m, back_sig = sigmoid(a + b)
    f1, back_gate = gate(m, f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = back_sig(d_m)
        d_avg, d_w1_a, d_w2_a = back_mlp_a(d_s)
        d_mx, d_w1_b, d_w2_b = back_mlp_b(d_s)
        return d_f + back_avg(d_avg) + back_max(d_mx), d_w1_a + d_w1_b, d_w2_a + d_w2_b

    return f1, backward


# torch's m.unsqueeze(2), which NumPy's arrays don't have: AttributeError
def channel_attention__8(f, w1, w2):
    avg, back_avg = avg_pool_over_space(f)
    mx, back_max = max_pool_over_space(f)
    a, back_mlp_a = mlp(avg, w1, w2)
    b, back_mlp_b = mlp(mx, w1, w2)
    m, back_sig = sigmoid(a + b)
    f1, back_gate = gate(m.unsqueeze(2).unsqueeze(3), f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = back_sig(d_m.reshape(d_m.shape[0], d_m.shape[1]))
        d_avg, d_w1_a, d_w2_a = back_mlp_a(d_s)
        d_mx, d_w1_b, d_w2_b = back_mlp_b(d_s)
        return d_f + back_avg(d_avg) + back_max(d_mx), d_w1_a + d_w1_b, d_w2_a + d_w2_b

    return f1, backward


# backward skips the sigmoid: d_m goes into the MLPs as it is
def channel_attention__9(f, w1, w2):
    avg, back_avg = avg_pool_over_space(f)
    mx, back_max = max_pool_over_space(f)
    a, back_mlp_a = mlp(avg, w1, w2)
    b, back_mlp_b = mlp(mx, w1, w2)
    m, _ = sigmoid(a + b)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = d_m[:, :, 0, 0]
        d_avg, d_w1_a, d_w2_a = back_mlp_a(d_s)
        d_mx, d_w1_b, d_w2_b = back_mlp_b(d_s)
        return d_f + back_avg(d_avg) + back_max(d_mx), d_w1_a + d_w1_b, d_w2_a + d_w2_b

    return f1, backward


# the sigmoid is applied to each MLP's output and then summed, not to the sum
def channel_attention__10(f, w1, w2):
    avg, back_avg = avg_pool_over_space(f)
    mx, back_max = max_pool_over_space(f)
    a, back_mlp_a = mlp(avg, w1, w2)
    b, back_mlp_b = mlp(mx, w1, w2)
    ma, back_sig_a = sigmoid(a)
    mb, back_sig_b = sigmoid(b)
    f1, back_gate = gate((ma + mb)[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_m = d_m[:, :, 0, 0]
        d_avg, d_w1_a, d_w2_a = back_mlp_a(back_sig_a(d_m))
        d_mx, d_w1_b, d_w2_b = back_mlp_b(back_sig_b(d_m))
        return d_f + back_avg(d_avg) + back_max(d_mx), d_w1_a + d_w1_b, d_w2_a + d_w2_b

    return f1, backward


# back_mlp is overwritten by the second call, so the max's backward is used for the average too
def channel_attention__11(f, w1, w2):
    avg, back_avg = avg_pool_over_space(f)
    mx, back_max = max_pool_over_space(f)
    a, back_mlp = mlp(avg, w1, w2)
    b, back_mlp = mlp(mx, w1, w2)
    m, back_sig = sigmoid(a + b)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = back_sig(d_m[:, :, 0, 0])
        d_avg, d_w1_a, d_w2_a = back_mlp(d_s)
        d_mx, d_w1_b, d_w2_b = back_mlp(d_s)
        return d_f + back_avg(d_avg) + back_max(d_mx), d_w1_a + d_w1_b, d_w2_a + d_w2_b

    return f1, backward


# the max's gradient goes through the average's backward (copied line, back_avg not changed)
def channel_attention__12(f, w1, w2):
    avg, back_avg = avg_pool_over_space(f)
    mx, back_max = max_pool_over_space(f)
    a, back_mlp_a = mlp(avg, w1, w2)
    b, back_mlp_b = mlp(mx, w1, w2)
    m, back_sig = sigmoid(a + b)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = back_sig(d_m[:, :, 0, 0])
        d_avg, d_w1_a, d_w2_a = back_mlp_a(d_s)
        d_mx, d_w1_b, d_w2_b = back_mlp_b(d_s)
        return d_f + back_avg(d_avg) + back_avg(d_mx), d_w1_a + d_w1_b, d_w2_a + d_w2_b

    return f1, backward


# forgets that the pooling gives back (out, backward): the pair goes into mlp, which stops with an error
def channel_attention__13(f, w1, w2):
    avg = avg_pool_over_space(f)
    mx = max_pool_over_space(f)
    a = mlp(avg, w1, w2)
    b = mlp(mx, w1, w2)
    m = sigmoid(a + b)
    return gate(m[:, :, None, None], f), None


# one MLP on the sum of the two poolings, not the sum of two MLPs
def channel_attention__14(f, w1, w2):
    avg, back_avg = avg_pool_over_space(f)
    mx, back_max = max_pool_over_space(f)
    s, back_mlp = mlp(avg + mx, w1, w2)
    m, back_sig = sigmoid(s)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_p, d_w1, d_w2 = back_mlp(back_sig(d_m[:, :, 0, 0]))
        return d_f + back_avg(d_p) + back_max(d_p), d_w1, d_w2

    return f1, backward


# gives back the map M_c (N, C, 1, 1) and not M_c ⊗ F, as the ChannelAttention class of many PyTorch tutorials; backward None
def channel_attention__15(f, w1, w2):
    avg, _ = avg_pool_over_space(f)
    mx, _ = max_pool_over_space(f)
    a, _ = mlp(avg, w1, w2)
    b, _ = mlp(mx, w1, w2)
    m, _ = sigmoid(a + b)
    return m[:, :, None, None], None


# ---------------------------------------------------------------- 12 im2col


# right
def im2col__1(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    cols = np.zeros((n, c, k, k, h, w))
    for a in range(k):
        for b in range(k):
            cols[:, :, a, b] = xp[:, :, a : a + h, b : b + w]
    return cols.reshape(n, c * k * k, h * w)


# right
def im2col__2(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    xp[:, :, p : p + H, p : p + W] = x
    columns = np.zeros((N, C * k * k, H * W))
    for c in range(C):
        for a in range(k):
            for b in range(k):
                row = c * k * k + a * k + b
                for i in range(H):
                    for j in range(W):
                        columns[:, row, i * W + j] = xp[:, c, i + a, j + b]
    return columns


# right
def im2col__3(x, k):
    p = k // 2
    xp = np.pad(x, [(0, 0), (0, 0), (p, p), (p, p)], mode="constant")
    win = np.lib.stride_tricks.sliding_window_view(xp, (k, k), axis=(2, 3))
    return win.transpose(0, 1, 4, 5, 2, 3).reshape(x.shape[0], -1, x.shape[2] * x.shape[3])


# no padding: there are only (H-k+1)(W-k+1) windows
def im2col__4(x, k):
    n, c, h, w = x.shape
    oh, ow = h - k + 1, w - k + 1
    cols = np.zeros((n, c, k, k, oh, ow))
    for a in range(k):
        for b in range(k):
            cols[:, :, a, b] = x[:, :, a : a + oh, b : b + ow]
    return cols.reshape(n, c * k * k, oh * ow)


# the border is repeated (mode="edge") and not filled with zeros
def im2col__5(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), mode="edge")
    cols = np.zeros((n, c, k, k, h, w))
    for a in range(k):
        for b in range(k):
            cols[:, :, a, b] = xp[:, :, a : a + h, b : b + w]
    return cols.reshape(n, c * k * k, h * w)


# the rows are counted (a,b,c) and not (c,a,b)
def im2col__6(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    rows = []
    for a in range(k):
        for b in range(k):
            rows.append(xp[:, :, a : a + h, b : b + w].reshape(n, c, h * w))
    return np.concatenate(rows, axis=1)


# padded by k and not by k // 2, so the windows are shifted
def im2col__7(x, k):
    n, c, h, w = x.shape
    xp = np.pad(x, ((0, 0), (0, 0), (k, k), (k, k)))
    cols = np.zeros((n, c, k, k, h, w))
    for a in range(k):
        for b in range(k):
            cols[:, :, a, b] = xp[:, :, a : a + h, b : b + w]
    return cols.reshape(n, c * k * k, h * w)


# each window is a row and not a column: (N, H·W, C·k²)
def im2col__8(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    columns = np.zeros((N, H * W, C * k * k))
    for n in range(N):
        for i in range(H):
            for j in range(W):
                columns[n, i * W + j] = xp[n, :, i : i + k, j : j + k].reshape(-1)
    return columns


# np.pad(x, p) pads samples and channels too, so the shapes don't fit
def im2col__9(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.pad(x, p)
    cols = np.zeros((n, c, k, k, h, w))
    for a in range(k):
        for b in range(k):
            cols[:, :, a, b] = xp[:, :, a : a + h, b : b + w]
    return cols.reshape(n, c * k * k, h * w)


# gives back (columns, None), though here only an array is wanted
def im2col__10(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    cols = np.zeros((n, c, k, k, h, w))
    for a in range(k):
        for b in range(k):
            cols[:, :, a, b] = xp[:, :, a : a + h, b : b + w]
    return cols.reshape(n, c * k * k, h * w), None


# the pixel (i,j) is counted i·H + j and not i·W + j
def im2col__11(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    columns = np.zeros((N, C * k * k, H * W))
    for i in range(H):
        for j in range(W):
            columns[:, :, i * H + j] = xp[:, :, i : i + k, j : j + k].reshape(N, -1)
    return columns


# a and b are mixed up: the window comes transposed
def im2col__12(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    cols = np.zeros((n, c, k, k, h, w))
    for a in range(k):
        for b in range(k):
            cols[:, :, b, a] = xp[:, :, a : a + h, b : b + w]
    return cols.reshape(n, c * k * k, h * w)


# the loops over a and b stop one too early, the last row and column of each window stay 0
def im2col__13(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    cols = np.zeros((n, c, k, k, h, w))
    for a in range(k - 1):
        for b in range(k - 1):
            cols[:, :, a, b] = xp[:, :, a : a + h, b : b + w]
    return cols.reshape(n, c * k * k, h * w)


# ---------------------------------------------------------------- 13 col2im


# right
def col2im__1(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    cols = columns.reshape(n, c, k, k, h, w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + h, b : b + w] += cols[:, :, a, b]
    return xp[:, :, p : p + h, p : p + w]


# right
def col2im__2(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    x = np.zeros(shape)
    for c in range(C):
        for a in range(k):
            for b in range(k):
                row = c * k * k + a * k + b
                for i in range(H):
                    for j in range(W):
                        r, s = i + a - p, j + b - p
                        if 0 <= r < H and 0 <= s < W:
                            x[:, c, r, s] += columns[:, row, i * W + j]
    return x


# right
def col2im__3(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    a, b, i, j = np.meshgrid(np.arange(k), np.arange(k), np.arange(h), np.arange(w), indexing="ij")
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    np.add.at(xp, (slice(None), slice(None), i + a, j + b), columns.reshape(n, c, k, k, h, w))
    return xp[:, :, p : h + p, p : w + p].copy()


# = and not +=: overlapping windows overwrite each other
def col2im__4(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    cols = columns.reshape(n, c, k, k, h, w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + h, b : b + w] = cols[:, :, a, b]
    return xp[:, :, p : p + h, p : p + w]


# the padding isn't cut off
def col2im__5(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    cols = columns.reshape(n, c, k, k, h, w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + h, b : b + w] += cols[:, :, a, b]
    return xp


# the padding is cut with [p:-p], which gives an empty array for k = 1
def col2im__6(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    cols = columns.reshape(n, c, k, k, h, w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + h, b : b + w] += cols[:, :, a, b]
    return xp[:, :, p:-p, p:-p]


# every pixel is divided by the number of windows it lies in (an average, to undo im2col, and not the adjoint)
def col2im__7(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    cols = columns.reshape(n, c, k, k, h, w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    count = np.zeros_like(xp)
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + h, b : b + w] += cols[:, :, a, b]
            count[:, :, a : a + h, b : b + w] += 1
    return (xp / count)[:, :, p : p + h, p : p + w]


# the rows are read as (a,b,c) and not as (c,a,b)
def col2im__8(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    cols = columns.reshape(n, k, k, c, h, w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + h, b : b + w] += cols[:, a, b]
    return xp[:, :, p : p + h, p : p + w]


# only the middle entry of every window is taken back
def col2im__9(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    return columns.reshape(n, c, k, k, h, w)[:, :, p, p]


# += with index arrays adds repeated indices only once (np.add.at was needed)
def col2im__10(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    a, b, i, j = np.meshgrid(np.arange(k), np.arange(k), np.arange(h), np.arange(w), indexing="ij")
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    xp[:, :, i + a, j + b] += columns.reshape(n, c, k, k, h, w)
    return xp[:, :, p : p + h, p : p + w]


# adds into an array without padding, so the slices at the border don't fit and it stops with an error
def col2im__11(columns, shape, k):
    n, c, h, w = shape
    cols = columns.reshape(n, c, k, k, h, w)
    x = np.zeros(shape)
    for a in range(k):
        for b in range(k):
            x[:, :, a : a + h, b : b + w] += cols[:, :, a, b]
    return x


# cut from the corner [:H, :W] and not from p on
def col2im__12(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    cols = columns.reshape(n, c, k, k, h, w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + h, b : b + w] += cols[:, :, a, b]
    return xp[:, :, :h, :w]


# the sum is kept in an array of integers: stops with a casting error
def col2im__13(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    cols = columns.reshape(n, c, k, k, h, w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p), dtype=int)
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + h, b : b + w] += cols[:, :, a, b]
    return xp[:, :, p : p + h, p : p + w]


# ---------------------------------------------------------------- 14 conv2d


# right
def conv2d__1(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    wmat = kernel.reshape(o, -1)
    out = (wmat @ cols).reshape(n, o, h, w)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        d_kernel = np.zeros((o, c * k * k))
        for i in range(n):
            d_kernel += d[i] @ cols[i].T
        d_x = col2im(wmat.T @ d, x.shape, k)
        return d_x, d_kernel.reshape(kernel.shape)

    return out, backward


# right
def conv2d__2(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    out = np.zeros((N, O, H, W))
    for i in range(H):
        for j in range(W):
            for o in range(O):
                out[:, o, i, j] = (xp[:, :, i : i + k, j : j + k] * kernel[o]).sum(axis=(1, 2, 3))

    def backward(d_out):
        d_xp = np.zeros(xp.shape)
        d_kernel = np.zeros(kernel.shape)
        for n in range(N):
            for o in range(O):
                for i in range(H):
                    for j in range(W):
                        d_xp[n, :, i : i + k, j : j + k] += d_out[n, o, i, j] * kernel[o]
                        d_kernel[o] += d_out[n, o, i, j] * xp[n, :, i : i + k, j : j + k]
        return d_xp[:, :, p : p + H, p : p + W], d_kernel

    return out, backward


# right
def conv2d__3(x, kernel):
    k = kernel.shape[-1]
    p = k // 2
    view = np.lib.stride_tricks.sliding_window_view
    pad = ((0, 0), (0, 0), (p, p), (p, p))
    win = view(np.pad(x, pad), (k, k), axis=(2, 3))
    out = np.einsum("ncijab,ocab->noij", win, kernel)

    def backward(d_out):
        d_win = view(np.pad(d_out, pad), (k, k), axis=(2, 3))
        d_x = np.einsum("noijab,ocab->ncij", d_win, kernel[:, :, ::-1, ::-1])
        return d_x, np.einsum("noij,ncijab->ocab", d_out, win)

    return out, backward


# d_x is the convolution of d_out with the kernel, but the kernel isn't flipped
def conv2d__4(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    out = (kernel.reshape(o, -1) @ cols).reshape(n, o, h, w)

    def backward(d_out):
        d_cols = im2col(d_out, k)
        d_x = (kernel.transpose(1, 0, 2, 3).reshape(c, -1) @ d_cols).reshape(x.shape)
        d_kernel = np.einsum("nol,nql->oq", d_out.reshape(n, o, -1), cols).reshape(kernel.shape)
        return d_x, d_kernel

    return out, backward


# d_kernel isn't summed over the samples, it has an axis N too many
def conv2d__5(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    wmat = kernel.reshape(o, -1)
    out = (wmat @ cols).reshape(n, o, h, w)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        d_kernel = d @ cols.transpose(0, 2, 1)
        return col2im(wmat.T @ d, x.shape, k), d_kernel.reshape(n, o, c, k, k)

    return out, backward


# the forward flips the kernel (the convolution of the maths book), backward doesn't
def conv2d__6(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    wmat = kernel.reshape(o, -1)
    out = (kernel[:, :, ::-1, ::-1].reshape(o, -1) @ cols).reshape(n, o, h, w)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        d_kernel = (d @ cols.transpose(0, 2, 1)).sum(axis=0).reshape(kernel.shape)
        return col2im(wmat.T @ d, x.shape, k), d_kernel

    return out, backward


# d_x is only reshaped, col2im is forgotten: stops with an error about sizes
def conv2d__7(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    wmat = kernel.reshape(o, -1)
    out = (wmat @ cols).reshape(n, o, h, w)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        d_kernel = (d @ cols.transpose(0, 2, 1)).sum(axis=0).reshape(kernel.shape)
        d_x = (wmat.T @ d).reshape(x.shape)
        return d_x, d_kernel

    return out, backward


# d_kernel is the mean over the samples and not the sum
def conv2d__8(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    wmat = kernel.reshape(o, -1)
    out = (wmat @ cols).reshape(n, o, h, w)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        d_kernel = np.mean(d @ cols.transpose(0, 2, 1), axis=0).reshape(kernel.shape)
        return col2im(wmat.T @ d, x.shape, k), d_kernel

    return out, backward


# the order is d_kernel, d_x
def conv2d__9(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    wmat = kernel.reshape(o, -1)
    out = (wmat @ cols).reshape(n, o, h, w)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        d_kernel = (d @ cols.transpose(0, 2, 1)).sum(axis=0).reshape(kernel.shape)
        d_x = col2im(wmat.T @ d, x.shape, k)
        return d_kernel, d_x

    return out, backward


# d_kernel stays a matrix (O, C·k²), not reshaped to the kernel's shape
def conv2d__10(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    wmat = kernel.reshape(o, -1)
    out = (wmat @ cols).reshape(n, o, h, w)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        d_kernel = (d @ cols.transpose(0, 2, 1)).sum(axis=0)
        return col2im(wmat.T @ d, x.shape, k), d_kernel

    return out, backward


# np.dot(wmat, cols) gives (O, N, H·W), the reshape to (N, O, H, W) mixes samples and outputs when O > 1
def conv2d__11(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    wmat = kernel.reshape(o, -1)
    out = np.dot(wmat, cols).reshape(n, o, h, w)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        d_kernel = (d @ cols.transpose(0, 2, 1)).sum(axis=0).reshape(kernel.shape)
        return col2im(wmat.T @ d, x.shape, k), d_kernel

    return out, backward


# kernel.T turns round all four axes before the reshape, so the entries in d_x are in the wrong order
def conv2d__12(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    out = (kernel.reshape(o, -1) @ cols).reshape(n, o, h, w)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        d_kernel = (d @ cols.transpose(0, 2, 1)).sum(axis=0).reshape(kernel.shape)
        d_x = col2im(kernel.T.reshape(-1, o) @ d, x.shape, k)
        return d_x, d_kernel

    return out, backward


# only the first output channel's kernel is used in d_x, the sum over o is missing
def conv2d__13(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    wmat = kernel.reshape(o, -1)
    out = (wmat @ cols).reshape(n, o, h, w)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        d_kernel = (d @ cols.transpose(0, 2, 1)).sum(axis=0).reshape(kernel.shape)
        d_x = col2im(wmat[:1].T @ d[:, :1], x.shape, k)
        return d_x, d_kernel

    return out, backward


# d_out is forgotten in d_kernel, it is the sum of the windows
def conv2d__14(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    wmat = kernel.reshape(o, -1)
    out = (wmat @ cols).reshape(n, o, h, w)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        d_kernel = np.ones((o, 1)) * cols.sum(axis=(0, 2))
        return col2im(wmat.T @ d, x.shape, k), d_kernel.reshape(kernel.shape)

    return out, backward


# ---------------------------------------------------------------- 15 spatial_attention


# right
def spatial_attention__1(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_u = back_sig(d_m)
        d_cat, d_kernel = back_conv(d_u)
        d_f1 = d_f1 + back_avg(d_cat[:, 0:1]) + back_max(d_cat[:, 1:2])
        return d_f1, d_kernel

    return f2, backward


# right
def spatial_attention__2(f1, kernel):
    N, C, H, W = f1.shape
    cat = np.zeros((N, 2, H, W))
    cat[:, 0] = f1.mean(axis=1)
    cat[:, 1] = f1.max(axis=1)
    idx = f1.argmax(axis=1)
    u, back_conv = conv2d(cat, kernel)
    m = 0.5 * (1 + np.tanh(u / 2))

    def backward(d_f2):
        d_f1 = d_f2 * m
        d_m = np.sum(d_f2 * f1, axis=1, keepdims=True)
        d_cat, d_kernel = back_conv(d_m * m * (1 - m))
        for c in range(C):
            d_f1[:, c] += d_cat[:, 0] / C
            d_f1[:, c] += d_cat[:, 1] * (idx == c)
        return d_f1, d_kernel

    return m * f1, backward


# the order is [max; avg] and not [avg; max]
def spatial_attention__3(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([mx, avg], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_cat, d_kernel = back_conv(back_sig(d_m))
        return d_f1 + back_max(d_cat[:, :1]) + back_avg(d_cat[:, 1:]), d_kernel

    return f2, backward


# np.concatenate without axis=1 joins the samples, then the convolution's shapes don't fit
def spatial_attention__4(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx]), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_cat, d_kernel = back_conv(back_sig(d_m))
        return d_f1 + back_avg(d_cat[:, :1]) + back_max(d_cat[:, 1:]), d_kernel

    return f2, backward


# d_f1 lacks the direct path through the gate
def spatial_attention__5(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_cat, d_kernel = back_conv(back_sig(d_m))
        d_f1 = back_avg(d_cat[:, :1])
        d_f1 += back_max(d_cat[:, 1:])
        return d_f1, d_kernel

    return f2, backward


# d_f1 is only the gate's part, both paths through the map are missing
def spatial_attention__6(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_cat, d_kernel = back_conv(back_sig(d_m))
        return d_f1, d_kernel

    return f2, backward


# both poolings get channel 0 of the convolution's gradient (copied, the slice not changed for the max)
def spatial_attention__7(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_cat, d_kernel = back_conv(back_sig(d_m))
        d_avg = back_avg(d_cat[:, 0:1])
        d_mx = back_max(d_cat[:, 0:1])
        return d_f1 + d_avg + d_mx, d_kernel

    return f2, backward


# backward skips the sigmoid
def spatial_attention__8(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_cat, d_kernel = back_conv(d_m)
        return d_f1 + back_avg(d_cat[:, :1]) + back_max(d_cat[:, 1:]), d_kernel

    return f2, backward


# d_cat[:, 0] and d_cat[:, 1] lose the channel axis, (N, H, W) goes into the poolings' backward (usually an error)
def spatial_attention__9(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_cat, d_kernel = back_conv(back_sig(d_m))
        return d_f1 + back_avg(d_cat[:, 0]) + back_max(d_cat[:, 1]), d_kernel

    return f2, backward


# the gate is called with f1 first and the map second, so its gradients come back swapped and don't fit
def spatial_attention__10(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(f1, m)

    def backward(d_f2):
        d_f1, d_m = back_gate(d_f2)
        d_cat, d_kernel = back_conv(back_sig(d_m))
        return d_f1 + back_avg(d_cat[:, :1]) + back_max(d_cat[:, 1:]), d_kernel

    return f2, backward


# backward gives back only d_f1, d_kernel is forgotten
def spatial_attention__11(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_cat, _ = back_conv(back_sig(d_m))
        return d_f1 + back_avg(d_cat[:, :1]) + back_max(d_cat[:, 1:])

    return f2, backward


# the poolings over space, copied from channel_attention, and not those over channels: joining them and conv2d fails
def spatial_attention__12(f1, kernel):
    avg, back_avg = avg_pool_over_space(f1)
    mx, back_max = max_pool_over_space(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_cat, d_kernel = back_conv(back_sig(d_m))
        return d_f1 + back_avg(d_cat[:, :1]) + back_max(d_cat[:, 1:]), d_kernel

    return f2, backward


# torch.cat's name used on NumPy (np.cat with dim=1): AttributeError
def spatial_attention__13(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.cat([avg, mx], dim=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_cat, d_kernel = back_conv(back_sig(d_m))
        return d_f1 + back_avg(d_cat[:, :1]) + back_max(d_cat[:, 1:]), d_kernel

    return f2, backward


# the sigmoid is forgotten altogether, forward and backward: u itself is the gate
def spatial_attention__14(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    f2, back_gate = gate(u, f1)

    def backward(d_f2):
        d_u, d_f1 = back_gate(d_f2)
        d_cat, d_kernel = back_conv(d_u)
        return d_f1 + back_avg(d_cat[:, :1]) + back_max(d_cat[:, 1:]), d_kernel

    return f2, backward


# the average is used twice and the maximum never (the line was copied and not changed)
def spatial_attention__15(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = avg_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_cat, d_kernel = back_conv(back_sig(d_m))
        return d_f1 + back_avg(d_cat[:, :1]) + back_max(d_cat[:, 1:]), d_kernel

    return f2, backward


# right
def spatial_attention__16(f1, kernel):
    pools = [avg_pool_over_channels(f1), max_pool_over_channels(f1)]
    u, back_conv = conv2d(np.stack([p[0][:, 0] for p in pools], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_cat, d_kernel = back_conv(back_sig(d_m))
        for d, (_, back) in zip(np.split(d_cat, 2, axis=1), pools):
            d_f1 = d_f1 + back(d)
        return (d_f1, d_kernel)

    return f2, backward


# ---------------------------------------------------------------- 16 cbam


# right
def cbam__1(f, w1, w2, kernel):
    f1, back_channel = channel_attention(f, w1, w2)
    f2, back_spatial = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_spatial(d_f2)
        d_f, d_w1, d_w2 = back_channel(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# right
def cbam__2(f, w1, w2, kernel):
    steps = []
    out, back = channel_attention(f, w1, w2)
    steps.append(back)
    out, back = spatial_attention(out, kernel)
    steps.append(back)

    def backward(d_f2):
        grads = []
        d = d_f2
        for step in reversed(steps):
            d, *rest = step(d)
            grads = rest + grads
        return tuple([d] + grads)

    return out, backward


# right
def cbam__3(f, w1, w2, kernel):
    N, C, H, W = f.shape
    a, back_a = avg_pool_over_space(f)
    b, back_b = max_pool_over_space(f)
    ya, back_ya = mlp(a, w1, w2)
    yb, back_yb = mlp(b, w1, w2)
    mc, back_mc = sigmoid(ya + yb)
    f1, back_gate1 = gate(mc.reshape(N, C, 1, 1), f)
    f2, back_spatial = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_spatial(d_f2)
        d_mc, d_f = back_gate1(d_f1)
        d_s = back_mc(d_mc.reshape(N, C))
        ga = back_ya(d_s)
        gb = back_yb(d_s)
        d_f = d_f + back_a(ga[0]) + back_b(gb[0])
        return d_f, ga[1] + gb[1], ga[2] + gb[2], d_kernel

    return f2, backward


# the spatial attention is applied to f and not to f1 (the channel attention's result is thrown away)
def cbam__4(f, w1, w2, kernel):
    f1, back_channel = channel_attention(f, w1, w2)
    f2, back_spatial = spatial_attention(f, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_spatial(d_f2)
        d_f, d_w1, d_w2 = back_channel(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# the order is turned round: spatial attention first, then channel attention
def cbam__5(f, w1, w2, kernel):
    f1, back_spatial = spatial_attention(f, kernel)
    f2, back_channel = channel_attention(f1, w1, w2)

    def backward(d_f2):
        d_f1, d_w1, d_w2 = back_channel(d_f2)
        d_f, d_kernel = back_spatial(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# the channel attention's backward gets d_f2 and not d_f1
def cbam__6(f, w1, w2, kernel):
    f1, back_channel = channel_attention(f, w1, w2)
    f2, back_spatial = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_spatial(d_f2)
        d_f, d_w1, d_w2 = back_channel(d_f2)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# the order of the gradients is d_f, d_kernel, d_w1, d_w2
def cbam__7(f, w1, w2, kernel):
    f1, back_channel = channel_attention(f, w1, w2)
    f2, back_spatial = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_spatial(d_f2)
        d_f, d_w1, d_w2 = back_channel(d_f1)
        return d_f, d_kernel, d_w1, d_w2

    return f2, backward


# a residual connection is added, f2 + f, as in ResNet's block, and to d_f as well
def cbam__8(f, w1, w2, kernel):
    f1, back_channel = channel_attention(f, w1, w2)
    f2, back_spatial = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_spatial(d_f2)
        d_f, d_w1, d_w2 = back_channel(d_f1)
        return d_f + d_f2, d_w1, d_w2, d_kernel

    return f2 + f, backward


# d_f1 is added to d_f, a path that doesn't exist
def cbam__9(f, w1, w2, kernel):
    f1, back_channel = channel_attention(f, w1, w2)
    f2, back_spatial = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_spatial(d_f2)
        d_f, d_w1, d_w2 = back_channel(d_f1)
        return d_f + d_f1, d_w1, d_w2, d_kernel

    return f2, backward


# the pair (d_f1, d_kernel) isn't unpacked and goes whole into the channel attention's backward, which stops with an error
def cbam__10(f, w1, w2, kernel):
    f1, back_channel = channel_attention(f, w1, w2)
    f2, back_spatial = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1 = back_spatial(d_f2)
        d_f, d_w1, d_w2 = back_channel(d_f1)
        return d_f, d_w1, d_w2, d_f1[1]

    return f2, backward


# the inner backwards and the new one have the same name, so backward calls itself for ever (RecursionError)
def cbam__11(f, w1, w2, kernel):
    f1, backward = channel_attention(f, w1, w2)
    f2, backward = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = backward(d_f2)
        d_f, d_w1, d_w2 = backward(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# backward runs in the forward's order: first through the channel attention, then through the spatial attention
def cbam__12(f, w1, w2, kernel):
    f1, back_channel = channel_attention(f, w1, w2)
    f2, back_spatial = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_w1, d_w2 = back_channel(d_f2)
        d_f, d_kernel = back_spatial(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# forgets that channel_attention gives back (out, backward): the pair goes into spatial_attention and stops with an error
def cbam__13(f, w1, w2, kernel):
    f1 = channel_attention(f, w1, w2)
    f2, back_spatial = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_spatial(d_f2)
        d_f, d_w1, d_w2 = f1[1](d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# f is overwritten in place with f1 (to save memory), so the caller's features are changed
def cbam__14(f, w1, w2, kernel):
    f1, back_channel = channel_attention(f.copy(), w1, w2)
    f[:] = f1
    f2, back_spatial = spatial_attention(f, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_spatial(d_f2)
        d_f, d_w1, d_w2 = back_channel(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward
