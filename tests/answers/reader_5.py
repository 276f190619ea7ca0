import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

# --- 1 · slopes ---


# right
def slopes__1(op, inputs, which, d_out):
    h = 1e-5
    x = inputs[which]
    g = np.zeros(x.size)
    for i in range(x.size):
        step = np.zeros(x.size)
        step[i] = h
        step = step.reshape(x.shape)
        args_p = [x + step if j == which else v for j, v in enumerate(inputs)]
        args_m = [x - step if j == which else v for j, v in enumerate(inputs)]
        g[i] = (np.vdot(d_out, op(*args_p)[0]) - np.vdot(d_out, op(*args_m)[0])) / (2 * h)
    return g.reshape(x.shape)


# right
def slopes__2(op, inputs, which, d_out):
    eps = 1e-5
    args = [a.copy() for a in inputs]
    X = args[which]
    res = np.empty_like(X)
    for idx in np.ndindex(*X.shape):
        old = X[idx]
        L = []
        for sgn in (1, -1):
            X[idx] = old + sgn * eps
            y, _ = op(*args)
            L.append((d_out * y).sum())
        X[idx] = old
        res[idx] = (L[0] - L[1]) / (2 * eps)
    return res


# L is summed along the first axis only (Python's sum, meant as MATLAB's), so it's no number
def slopes__3(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    args = list(inputs)
    g = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        args[which] = x.copy()
        args[which][i] += eps
        Lp = sum(d_out * op(*args)[0])
        args[which] = x.copy()
        args[which][i] -= eps
        Lm = sum(d_out * op(*args)[0])
        g[i] = (Lp - Lm) / (2 * eps)
    return g


# the loop starts at entry 1, so the slope of the first entry stays 0
def slopes__4(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    g = np.zeros(x.shape)
    numel = x.size
    for i in range(1, numel):
        xp = x.copy()
        xm = x.copy()
        xp.flat[i] = xp.flat[i] + eps
        xm.flat[i] = xm.flat[i] - eps
        ins_p = inputs[:which] + (xp,) + inputs[which + 1 :]
        ins_m = inputs[:which] + (xm,) + inputs[which + 1 :]
        yp, _ = op(*ins_p)
        ym, _ = op(*ins_m)
        g.flat[i] = np.sum(d_out * (yp - ym)) / (2 * eps)
    return g


# the input is flattened column by column but put back into shape row by row, so op sees shuffled entries
def slopes__5(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    v = x.flatten(order="F")
    g = np.zeros_like(v)

    def L(vec):
        args = list(inputs)
        args[which] = vec.reshape(x.shape)
        return np.sum(d_out * op(*args)[0])

    for i in range(v.size):
        e = np.zeros_like(v)
        e[i] = eps
        g[i] = (L(v + e) - L(v - e)) / (2 * eps)
    return g.reshape(x.shape)


# L is the mean of d_out * out instead of the sum
def slopes__6(op, inputs, which, d_out):
    eps = 1e-5
    inputs = [np.array(a) for a in inputs]
    x = inputs[which]
    grad = np.zeros_like(x)

    def loss():
        out, _ = op(*inputs)
        return np.mean(d_out * out)

    for i in np.ndindex(x.shape):
        keep = x[i]
        x[i] = keep + eps
        up = loss()
        x[i] = keep - eps
        down = loss()
        x[i] = keep
        grad[i] = (up - down) / (2 * eps)
    return grad


# the step of eps is taken back only once, so the lower value is the loss at x itself, but it's divided by 2 eps
def slopes__7(op, inputs, which, d_out):
    eps = 1e-5
    args = [a.copy() for a in inputs]
    x = args[which]
    g = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        x[i] = x[i] + eps
        Lp = np.sum(d_out * op(*args)[0])
        x[i] = x[i] - eps
        Lm = np.sum(d_out * op(*args)[0])
        g[i] = (Lp - Lm) / (2 * eps)
    return g


# the step is scaled with the size of the entry, but the difference is divided by 2 eps without that scale
def slopes__8(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    g = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        h = eps * max(1.0, 3 * abs(x[i]))
        a = [v.copy() for v in inputs]
        b = [v.copy() for v in inputs]
        a[which][i] += h
        b[which][i] -= h
        g[i] = (np.sum(d_out * op(*a)[0]) - np.sum(d_out * op(*b)[0])) / (2 * eps)
    return g


# plus and minus are one and the same array, so the two steps cancel
def slopes__9(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    g = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        plus = minus = x.copy()
        plus[i] += eps
        minus[i] -= eps
        ap, am = list(inputs), list(inputs)
        ap[which] = plus
        am[which] = minus
        g[i] = (np.sum(d_out * op(*ap)[0]) - np.sum(d_out * op(*am)[0])) / (2 * eps)
    return g


# --- 2 · largest_error ---


# right
def largest_error__1(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).standard_normal(out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = [grads]
    worst = 0.0
    for i in range(len(inputs)):
        worst = max(worst, np.max(np.abs(grads[i] - slopes(op, inputs, i, d_out))))
    return worst


# right
def largest_error__2(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.RandomState(seed).uniform(-1, 1, size=np.shape(out))
    g = backward(d_out)
    g = g if isinstance(g, tuple) else (g,)
    mine = np.concatenate([np.ravel(a) for a in g])
    ref = np.concatenate([np.ravel(slopes(op, inputs, w, d_out)) for w in range(len(inputs))])
    return float(np.linalg.norm(mine - ref, np.inf))


# the error is relative: divided by the norm of the gradients
def largest_error__3(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    g = backward(d_out)
    if len(inputs) == 1:
        g = (g,)
    errs = []
    for i, a in enumerate(g):
        s = slopes(op, inputs, i, d_out)
        errs.append(np.max(np.abs(a - s)) / (np.linalg.norm(a) + np.linalg.norm(s)))
    return max(errs)


# the root mean square of the differences instead of the largest
def largest_error__4(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    g = backward(d_out)
    if len(inputs) == 1:
        g = (g,)
    return max(np.sqrt(np.mean((a - slopes(op, inputs, i, d_out)) ** 2)) for i, a in enumerate(g))


# a new d_out is drawn for each input's slopes, so they don't belong to the d_out of backward
def largest_error__5(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    grads = backward(rng.normal(size=out.shape))
    if not isinstance(grads, tuple):
        grads = (grads,)
    err = 0
    for i in range(len(inputs)):
        s = slopes(op, inputs, i, rng.normal(size=out.shape))
        err = max(err, np.abs(grads[i] - s).max())
    return err


# d_out has the shape of the first input instead of the shape of out
def largest_error__6(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    d_out = rng.normal(size=inputs[0].shape)
    out, backward = op(*inputs)
    grads = backward(d_out)
    if not isinstance(grads, tuple):
        grads = (grads,)
    return max(np.abs(grads[i] - slopes(op, inputs, i, d_out)).max() for i in range(len(inputs)))


# the absolute value is taken of the largest difference, after the maximum: a large negative difference is lost
def largest_error__7(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    d_out = rng.normal(size=out.shape)
    grads = backward(d_out)
    if not isinstance(grads, tuple):
        grads = (grads,)
    e = [np.abs(np.max(grads[i] - slopes(op, inputs, i, d_out))) for i in range(len(inputs))]
    return np.max(e)


# backward gets d_out divided by its number of entries (as for a mean loss), the slopes get it undivided
def largest_error__8(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out / d_out.size)
    grads = grads if isinstance(grads, tuple) else (grads,)
    return max(np.abs(g - slopes(op, inputs, i, d_out)).max() for i, g in enumerate(grads))


# the gradients are stacked on top of each other, which needs them to have as many columns
def largest_error__9(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    A = np.vstack(grads)
    B = np.vstack([slopes(op, inputs, i, d_out) for i in range(len(inputs))])
    return np.abs(A - B).max()


# --- 3 · avg_pool_over_space ---


# right
def avg_pool_over_space__1(f):
    N, C, H, W = f.shape
    w = np.full(H * W, 1 / (H * W))
    return f.reshape(N, C, H * W) @ w, lambda d: np.multiply.outer(d, w).reshape(N, C, H, W)


# right
def avg_pool_over_space__2(f):
    avg = f.mean(axis=3).mean(axis=2)

    def backward(d_avg):
        n = f.shape[2] * f.shape[3]
        return np.tile(d_avg[:, :, None, None], (1, 1) + f.shape[2:]) / n

    return avg, backward


# mean(mean(f)) as in MATLAB: taken over the first two axes, samples and channels
def avg_pool_over_space__3(f):
    N, C, H, W = f.shape
    avg = f.mean(0).mean(0)

    def backward(d):
        return np.ones((N, C, 1, 1)) * d / (N * C)

    return avg, backward


# np.tile repeats d_avg without its two new axes, so it gets the shape (1, 1, N*H, C*W)
def avg_pool_over_space__4(f):
    N, C, H, W = f.shape
    avg = f.mean(axis=(2, 3))

    def backward(d):
        return np.tile(d, (1, 1, H, W)) / (H * W)

    return avg, backward


# the sizes are unpacked in MATLAB's order H, W, C, N, so backward divides by N*C
def avg_pool_over_space__5(f):
    avg = f.mean(axis=(-2, -1))

    def backward(d):
        H, W, C, N = f.shape
        return np.ones(f.shape) * d[:, :, None, None] / (H * W)

    return avg, backward


# the repeated gradient is put into shape column-major, so it ends up at other samples and channels
def avg_pool_over_space__6(f):
    N, C, H, W = f.shape
    avg = f.reshape(N, C, -1).mean(axis=-1)

    def backward(d):
        return (np.repeat(d.ravel(), H * W) / (H * W)).reshape(f.shape, order="F")

    return avg, backward


# --- 4 · max_pool_over_space ---


# right
def max_pool_over_space__1(f):
    N, C, H, W = f.shape
    flat = f.reshape(N * C, H * W)
    idx = flat.argmax(axis=1)
    out = flat[np.arange(N * C), idx].reshape(N, C)

    def backward(d):
        g = np.zeros((N * C, H * W))
        g[np.arange(N * C), idx] = d.reshape(-1)
        return g.reshape(f.shape)

    return out, backward


# right
def max_pool_over_space__2(f):
    N, C, H, W = f.shape
    out = np.max(np.max(f, axis=3), axis=2)

    def backward(d):
        hit = (f == out[:, :, None, None]).reshape(N, C, -1)
        first = hit & (np.cumsum(hit, axis=2) == 1)
        return (first * d[:, :, None]).reshape(N, C, H, W)

    return out, backward


# among ties the first one column by column gets the gradient, not row by row
def max_pool_over_space__3(f):
    N, C, H, W = f.shape
    v = f.transpose(0, 1, 3, 2).reshape(N, C, W * H)
    idx = v.argmax(axis=2)[:, :, None]
    out = v.max(axis=2)

    def backward(d):
        g = np.zeros_like(v)
        np.put_along_axis(g, idx, d[:, :, None], axis=2)
        return g.reshape(N, C, W, H).transpose(0, 1, 3, 2)

    return out, backward


# row and column of the maximum are searched independently; with ties they meet at an entry that isn't the first maximum
def max_pool_over_space__4(f):
    N, C, H, W = f.shape
    out = f.max(axis=(2, 3))
    row = f.max(axis=3).argmax(axis=2)
    col = f.max(axis=2).argmax(axis=2)

    def backward(d):
        g = np.zeros(f.shape)
        for n in range(N):
            for c in range(C):
                g[n, c, row[n, c], col[n, c]] = d[n, c]
        return g

    return out, backward


# max is expected to return value and index, as in MATLAB
def max_pool_over_space__5(f):
    N, C, H, W = f.shape
    m, idx = f.reshape(N, C, H * W).max(axis=2)

    def backward(d):
        g = np.zeros((N, C, H * W))
        for n in range(N):
            for c in range(C):
                g[n, c, idx[n, c]] = d[n, c]
        return g.reshape(f.shape)

    return m, backward


# g[:, :, idx] writes to the positions of all the maxima in every channel, not each channel's own
def max_pool_over_space__6(f):
    N, C, H, W = f.shape
    flat = f.reshape(N, C, H * W)
    idx = flat.argmax(axis=2)
    out = flat.max(axis=2)

    def backward(d):
        g = np.zeros((N, C, H * W))
        g[:, :, idx] = d
        return g.reshape(f.shape)

    return out, backward


# the linear index of the maximum is turned into row and column in column-major order
def max_pool_over_space__7(f):
    N, C, H, W = f.shape
    idx = f.reshape(N, C, -1).argmax(-1)
    i, j = np.unravel_index(idx, (H, W), order="F")
    out = f.max(axis=(2, 3))

    def backward(d):
        g = np.zeros(f.shape)
        n, c = np.ogrid[:N, :C]
        g[n, c, i, j] = d
        return g

    return out, backward


# 1 is subtracted from the argmax as if it counted from 1, so the neighbour before gets the gradient
def max_pool_over_space__8(f):
    N, C, H, W = f.shape
    flat = f.reshape(N, C, -1)
    idx = np.argmax(flat, axis=2) - 1
    out = np.max(flat, axis=2)

    def backward(d):
        g = np.zeros(flat.shape)
        for n in range(N):
            for c in range(C):
                g[n, c, idx[n, c]] = d[n, c]
        return g.reshape(f.shape)

    return out, backward


# the infinity norm is the largest absolute value, not the largest entry
def max_pool_over_space__9(f):
    N, C, H, W = f.shape
    flat = f.reshape(N, C, -1)
    out = np.linalg.norm(flat, np.inf, axis=2)
    idx = np.abs(flat).argmax(axis=2)[..., None]

    def backward(d):
        g = np.zeros_like(flat)
        np.put_along_axis(g, idx, d[..., None], axis=2)
        return (g * np.sign(flat)).reshape(f.shape)

    return out, backward


# --- 5 · avg_pool_over_channels ---


# right
def avg_pool_over_channels__1(f):
    C = f.shape[1]
    out = np.einsum("nchw->nhw", f)[:, np.newaxis] / C

    def backward(d):
        return np.concatenate([d / C] * C, axis=1)

    return out, backward


# right
def avg_pool_over_channels__2(f):
    out = np.average(f, axis=1)
    out = np.expand_dims(out, 1)
    return out, lambda d_avg: np.ones_like(f) * d_avg / f.shape[1]


# squeeze drops the channel axis of the output
def avg_pool_over_channels__3(f):
    C = f.shape[1]
    out = np.squeeze(f.mean(axis=1, keepdims=True))

    def backward(d):
        return np.repeat(d.reshape(len(f), 1, *f.shape[2:]), C, axis=1) / C

    return out, backward


# the channels are taken to be the last axis (features are columns)
def avg_pool_over_channels__4(f):
    C = f.shape[-1]
    out = f.mean(axis=-1, keepdims=True)

    def backward(d):
        return np.ones(f.shape) * d / C

    return out, backward


# np.tile(d, C) repeats along the last axis: it makes the rows C times as long
def avg_pool_over_channels__5(f):
    N, C, H, W = f.shape

    def backward(d):
        return np.tile(d / C, C)

    return f.mean(axis=1, keepdims=True), backward


# backward divides by the number of samples too
def avg_pool_over_channels__6(f):
    N, C, H, W = f.shape
    out = f.sum(axis=1, keepdims=True) / C

    def backward(d):
        return np.broadcast_to(d / (N * C), f.shape)

    return out, backward


# --- 6 · max_pool_over_channels ---


# right
def max_pool_over_channels__1(f):
    best = f[:, 0].copy()
    arg = np.zeros(best.shape, dtype=int)
    for c in range(1, f.shape[1]):
        better = f[:, c] > best
        best[better] = f[:, c][better]
        arg[better] = c

    def backward(d):
        g = np.zeros(f.shape)
        for c in range(f.shape[1]):
            g[:, c] = d[:, 0] * (arg == c)
        return g

    return best[:, None], backward


# right
def max_pool_over_channels__2(f):
    N, C, H, W = f.shape
    arg = f.argmax(axis=1)
    n, i, j = np.indices((N, H, W))

    def backward(d):
        g = np.zeros(f.shape)
        g[n, arg, i, j] = d[:, 0]
        return g

    return f[n, arg, i, j][:, None, :, :], backward


# the running maximum starts at 0, so pixels where all channels are negative give 0
def max_pool_over_channels__3(f):
    N, C, H, W = f.shape
    best = np.zeros((N, H, W))
    arg = np.zeros((N, H, W), dtype=int)
    for c in range(C):
        m = f[:, c] > best
        best = np.where(m, f[:, c], best)
        arg = np.where(m, c, arg)

    def backward(d):
        return d * (arg[:, None] == np.arange(C)[:, None, None])

    return best[:, None], backward


# the one-hot array (N, H, W, C) is reshaped to (N, C, H, W) instead of having its axes moved
def max_pool_over_channels__4(f):
    C = f.shape[1]
    out = f.max(axis=1, keepdims=True)
    onehot = np.eye(C)[f.argmax(axis=1)].reshape(f.shape)
    return out, lambda d: onehot * d


# the indices are used like a pandas column selection: f[:, idx] picks whole channels
def max_pool_over_channels__5(f):
    idx = f.argmax(axis=1)
    out = f.max(axis=1, keepdims=True)

    def backward(d):
        g = np.zeros(f.shape)
        g[:, idx] = d
        return g

    return out, backward


# the last of the sorted channels: among ties the last one wins
def max_pool_over_channels__6(f):
    order = np.argsort(f, axis=1, kind="stable")
    idx = order[:, -1:]
    out = np.take_along_axis(f, idx, axis=1)

    def backward(d):
        g = np.zeros_like(f)
        np.put_along_axis(g, idx, d, axis=1)
        return g

    return out, backward


# np.arange(C) lies along the last axis when it is compared with the winners, not along the channels
def max_pool_over_channels__7(f):
    C = f.shape[1]
    idx = f.argmax(axis=1, keepdims=True)
    out = f.max(axis=1, keepdims=True)
    return out, lambda d: d * (idx == np.arange(C))


# --- 7 · relu ---


# right
def relu__1(x):
    alive = 0 < x
    return x * alive, lambda d_out: alive * d_out


# right
def relu__2(x):
    out = (x + np.abs(x)) / 2

    def backward(d_out):
        g = d_out.copy()
        g[~(x > 0)] = 0
        return g

    return out, backward


# x is changed in place, as if a function had its own copy
def relu__3(x):
    x[x < 0] = 0

    def backward(d_out):
        return d_out * (x > 0)

    return x, backward


# np.max(x, 0) is the maximum along axis 0, not the larger of x and 0
def relu__4(x):
    out = np.max(x, 0)

    def backward(d_out):
        return d_out * (x > 0)

    return out, backward


# clipped at 1 too
def relu__5(x):
    out = np.clip(x, 0, 1)

    def backward(d_out):
        return d_out * ((x > 0) & (x < 1))

    return out, backward


# backward keeps only the entries with x > 0, as one long vector
def relu__6(x):
    def backward(d_out):
        return d_out[x > 0]

    return np.where(x > 0, x, 0), backward


# the slope at 0 is 1/2
def relu__7(x):
    def backward(d_out):
        return d_out * (np.sign(x) + 1) / 2

    return np.maximum(0, x), backward


# --- 8 · mlp ---


# right
def mlp__1(x, w1, w2):
    X = x.T
    Z = w1 @ X
    H = np.where(Z > 0, Z, 0)
    Y = w2 @ H

    def backward(d_out):
        D = d_out.T
        dW2 = D @ H.T
        dZ = (w2.T @ D) * (Z > 0)
        return (w1.T @ dZ).T, dZ @ X.T, dW2

    return Y.T, backward


# right
def mlp__2(x, w1, w2):
    z = np.tensordot(x, w1, axes=(1, 1))
    h, back_relu = relu(z)
    out = np.tensordot(h, w2, axes=(1, 1))

    def backward(d_out):
        d_w2 = np.einsum("nc,nh->ch", d_out, h)
        d_z = back_relu(np.einsum("nc,ch->nh", d_out, w2))
        d_w1 = np.einsum("nh,nc->hc", d_z, x)
        d_x = np.einsum("nh,hc->nc", d_z, w1)
        return [d_x, d_w1, d_w2]

    return out, lambda d_out: tuple(backward(d_out))


# x is reshaped to (C, N) instead of transposed
def mlp__3(x, w1, w2):
    N, C = x.shape
    z = w1 @ x.reshape(C, N)
    h, back = relu(z)
    out = (w2 @ h).T

    def backward(d_out):
        d_w2 = d_out.T @ h.T
        d_z = back(w2.T @ d_out.T)
        return (w1.T @ d_z).T, d_z @ x, d_w2

    return out, backward


# d_w1 and d_w2 have the shape (inputs, outputs), transposed
def mlp__4(x, w1, w2):
    h, back_relu = relu(x @ w1.T)

    def backward(d_out):
        d_w2 = h.T @ d_out
        d_z = back_relu(d_out @ w2)
        d_w1 = x.T @ d_z
        return d_z @ w1, d_w1, d_w2

    return h @ w2.T, backward


# the weights' gradients are averaged over the samples
def mlp__5(x, w1, w2):
    h, back_relu = relu(x @ w1.T)

    def backward(d_out):
        d_z = back_relu(d_out @ w2)
        n = x.shape[0]
        return d_z @ w1, d_z.T @ x / n, d_out.T @ h / n

    return h @ w2.T, backward


# the second result of relu is taken for its mask, but it's a function
def mlp__6(x, w1, w2):
    h, mask = relu(x @ w1.T)

    def backward(d_out):
        d_z = (d_out @ w2) * mask
        return d_z @ w1, d_z.T @ x, d_out.T @ h

    return h @ w2.T, backward


# the weights' gradients are written with *, which is entry by entry here and not the matrix product
def mlp__7(x, w1, w2):
    h, back_relu = relu(x @ w1.T)

    def backward(d_out):
        d_w2 = d_out.T * h
        d_z = back_relu(d_out @ w2)
        d_w1 = d_z.T * x
        return d_z @ w1, d_w1, d_w2

    return h @ w2.T, backward


# np.outer is used for the whole batch: it flattens, so d_w1 and d_w2 are (N*hidden, N*C) and (N*C, N*hidden)
def mlp__8(x, w1, w2):
    h, back_relu = relu(x @ w1.T)

    def backward(d_out):
        d_z = back_relu(d_out @ w2)
        return d_z @ w1, np.outer(d_z, x), np.outer(d_out, h)

    return h @ w2.T, backward


# the mask asks for h >= 0, which is true everywhere after a ReLU
def mlp__9(x, w1, w2):
    h, _ = relu(x @ w1.T)

    def backward(d_out):
        d_z = (d_out @ w2) * (h >= 0)
        return d_z @ w1, d_z.T @ x, d_out.T @ h

    return h @ w2.T, backward


# x is standardised over the batch before the first layer
def mlp__10(x, w1, w2):
    x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-8)
    h, back_relu = relu(x @ w1.T)

    def backward(d_out):
        d_z = back_relu(d_out @ w2)
        return d_z @ w1, d_z.T @ x, d_out.T @ h

    return h @ w2.T, backward


# --- 9 · sigmoid ---


# right
def sigmoid__1(x):
    t = np.tanh(0.5 * x)
    return 0.5 + 0.5 * t, lambda d_out: d_out * (1 - t * t) / 4


# right
def sigmoid__2(x):
    with np.errstate(over="ignore"):
        s = np.divide(1, np.add(1, np.exp(np.negative(x))))

    def backward(d_out):
        return d_out * (s - s**2)

    return s, backward


# right
def sigmoid__3(x):
    out = np.exp(-np.logaddexp(0, -x))
    return out, lambda d_out: d_out * out * (1.0 - out)


# softmax along the last axis instead of the sigmoid
def sigmoid__4(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    out = e / e.sum(axis=-1, keepdims=True)

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# x is clipped to [-20, 20]: σ(-1000) is 2e-9 and not 0
def sigmoid__5(x):
    out = 1 / (1 + np.exp(-np.clip(x, -20, 20)))

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# np.where computes both branches for every entry, so exp overflows and warns all the same
def sigmoid__6(x):
    out = np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# the right-hand sides aren't masked: out[x >= 0] gets all the entries
def sigmoid__7(x):
    out = np.zeros(x.shape)
    e = np.exp(-np.abs(x))
    out[x >= 0] = 1 / (1 + e)
    out[x < 0] = e / (1 + e)

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# backward is that of tanh with one factor 1/2: the inner derivative of x/2 is missing
def sigmoid__8(x):
    t = np.tanh(x / 2)

    def backward(d_out):
        return d_out * (1 - t**2) / 2

    return (1 + t) / 2, backward


# (1 + tanh(x)) / 2 is σ(2x)
def sigmoid__9(x):
    out = (1 + np.tanh(x)) / 2

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# the gradient of logistic regression (prediction minus target) instead of the sigmoid's slope
def sigmoid__10(x):
    with np.errstate(over="ignore"):
        out = 1 / (1 + np.exp(-x))

    def backward(d_out):
        return out - d_out

    return out, backward


# computed in float32, with an error of about 1e-8
def sigmoid__11(x):
    with np.errstate(over="ignore"):
        out = 1 / (1 + np.exp(-x.astype(np.float32)))

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# out @ (1 - out) is a matrix product
def sigmoid__12(x):
    with np.errstate(over="ignore"):
        out = 1 / (1 + np.exp(-x))

    def backward(d_out):
        return d_out * (out @ (1 - out))

    return out, backward


# --- 10 · gate ---


# right
def gate__1(m, f):
    def backward(d_out):
        d_m = d_out * f
        for ax in range(m.ndim):
            if m.shape[ax] == 1:
                d_m = d_m.sum(axis=ax, keepdims=True)
        return d_m, m * d_out

    return np.multiply(m, f), backward


# right
def gate__2(m, f):
    big = np.broadcast_to(m, f.shape)
    out = np.einsum("nchw,nchw->nchw", big, f)

    def backward(d_out):
        if m.shape[2:] == (1, 1) and m.shape[1] == f.shape[1]:
            d_m = np.einsum("nchw,nchw->nc", d_out, f)
        else:
            d_m = np.einsum("nchw,nchw->nhw", d_out, f)
        return d_m.reshape(m.shape), d_out * big

    return out, backward


# d_m is summed with Python's sum, along the samples
def gate__3(m, f):
    def backward(d_out):
        return sum(d_out * f), d_out * m

    return m * f, backward


# d_m is the mean over the broadcast axes instead of the sum
def gate__4(m, f):
    def backward(d_out):
        axes = tuple(a for a in range(4) if m.shape[a] == 1 and f.shape[a] > 1)
        return np.mean(d_out * f, axis=axes, keepdims=True), d_out * m

    return m * f, backward


# m is squeezed before the product, so that it can't be broadcast any more
def gate__5(m, f):
    m2 = np.squeeze(m)
    out = m2 * f

    def backward(d_out):
        axes = tuple(a for a in range(4) if m.shape[a] == 1)
        return (d_out * f).sum(axis=axes).reshape(m.shape), d_out * m2

    return out, backward


# d_m is summed over the samples too, as if m were a parameter shared by all
def gate__6(m, f):
    def backward(d_out):
        g = d_out * f
        if m.shape[1] == 1:
            d_m = g.sum(axis=(0, 1), keepdims=True)
        else:
            d_m = g.sum(axis=(0, 2, 3), keepdims=True)
        return d_m, d_out * m

    return m * f, backward


# the axes are summed one after the other without keepdims: after the first the others have moved
def gate__7(m, f):
    def backward(d_out):
        d_m = d_out * f
        for a in range(4):
            if m.shape[a] == 1:
                d_m = d_m.sum(a)
        return d_m.reshape(m.shape), d_out * m

    return m * f, backward


# the map is scaled to the range 0 to 1 first
def gate__8(m, f):
    m01 = (m - m.min()) / (m.max() - m.min())

    def backward(d_out):
        axes = tuple(a for a in range(4) if m.shape[a] == 1)
        return (d_out * f).sum(axis=axes, keepdims=True), d_out * m01

    return m01 * f, backward


# the product is written into the broadcast map, which can't be written to
def gate__9(m, f):
    out = np.broadcast_to(m, f.shape)
    out *= f

    def backward(d_out):
        axes = tuple(a for a in range(4) if m.shape[a] == 1)
        return (d_out * f).sum(axis=axes, keepdims=True), d_out * m

    return out, backward


# --- 11 · channel_attention ---


# right
def channel_attention__1(f, w1, w2):
    N = len(f)
    a, back_a = avg_pool_over_space(f)
    b, back_b = max_pool_over_space(f)
    both, back_mlp = mlp(np.vstack((a, b)), w1, w2)
    m, back_sig = sigmoid(both[:N] + both[N:])
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = back_sig(d_m.reshape(m.shape))
        d_ab, d_w1, d_w2 = back_mlp(np.vstack((d_s, d_s)))
        return d_f + back_a(d_ab[:N]) + back_b(d_ab[N:]), d_w1, d_w2

    return f1, backward


# right
def channel_attention__2(f, w1, w2):
    N, C, H, W = f.shape
    flat = f.reshape(N, C, H * W)
    arg = flat.argmax(2)
    avg, mx = flat.mean(2), flat.max(2)
    za, zm = avg @ w1.T, mx @ w1.T
    ha, hm = np.maximum(za, 0), np.maximum(zm, 0)
    s = (ha + hm) @ w2.T
    m = 0.5 * (1 + np.tanh(s / 2))

    def backward(d_f1):
        d = d_f1.reshape(N, C, H * W)
        d_s = (d * flat).sum(2) * m * (1 - m)
        d_h = d_s @ w2
        da, dm = d_h * (za > 0), d_h * (zm > 0)
        g = d * m[:, :, None] + (da @ w1)[:, :, None] / (H * W)
        n, c = np.ogrid[:N, :C]
        g[n, c, arg] += dm @ w1
        return g.reshape(f.shape), da.T @ avg + dm.T @ mx, d_s.T @ (ha + hm)

    return f * m[:, :, None, None], backward


# the MLP is applied once, to the sum of average and maximum, as if it were linear
def channel_attention__3(f, w1, w2):
    a, back_a = avg_pool_over_space(f)
    b, back_b = max_pool_over_space(f)
    s, back_mlp = mlp(a + b, w1, w2)
    m, back_sig = sigmoid(s)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_x, d_w1, d_w2 = back_mlp(back_sig(d_m[:, :, 0, 0]))
        return d_f + back_a(d_x) + back_b(d_x), d_w1, d_w2

    return f1, backward


# one name for two backwards: the MLP's backward for the average is overwritten by the one for the maximum
def channel_attention__4(f, w1, w2):
    a, back_a = avg_pool_over_space(f)
    b, back_b = max_pool_over_space(f)
    sa, back_mlp = mlp(a, w1, w2)
    sb, back_mlp = mlp(b, w1, w2)
    m, back_sig = sigmoid(sa + sb)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = back_sig(d_m[:, :, 0, 0])
        d_a, d_w1a, d_w2a = back_mlp(d_s)
        d_b, d_w1b, d_w2b = back_mlp(d_s)
        return d_f + back_a(d_a) + back_b(d_b), d_w1a + d_w1b, d_w2a + d_w2b

    return f1, backward


# average and maximum are put side by side as 2C features, which w1 doesn't fit
def channel_attention__5(f, w1, w2):
    C = f.shape[1]
    a, back_a = avg_pool_over_space(f)
    b, back_b = max_pool_over_space(f)
    s, back_mlp = mlp(np.hstack([a, b]), w1, w2)
    m, back_sig = sigmoid(s)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_x, d_w1, d_w2 = back_mlp(back_sig(d_m[:, :, 0, 0]))
        return d_f + back_a(d_x[:, :C]) + back_b(d_x[:, C:]), d_w1, d_w2

    return f1, backward


# the new axes of the map are put in front, (1, 1, N, C)
def channel_attention__6(f, w1, w2):
    a, back_a = avg_pool_over_space(f)
    b, back_b = max_pool_over_space(f)
    sa, back_ma = mlp(a, w1, w2)
    sb, back_mb = mlp(b, w1, w2)
    m, back_sig = sigmoid(sa + sb)
    f1, back_gate = gate(m[None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = back_sig(np.squeeze(d_m))
        d_a, d_w1a, d_w2a = back_ma(d_s)
        d_b, d_w1b, d_w2b = back_mb(d_s)
        return d_f + back_a(d_a) + back_b(d_b), d_w1a + d_w1b, d_w2a + d_w2b

    return f1, backward


# each of the two branches gets half of d_s
def channel_attention__7(f, w1, w2):
    a, back_a = avg_pool_over_space(f)
    b, back_b = max_pool_over_space(f)
    sa, back_ma = mlp(a, w1, w2)
    sb, back_mb = mlp(b, w1, w2)
    m, back_sig = sigmoid(sa + sb)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = back_sig(d_m[:, :, 0, 0]) / 2
        d_a, d_w1a, d_w2a = back_ma(d_s)
        d_b, d_w1b, d_w2b = back_mb(d_s)
        return d_f + back_a(d_a) + back_b(d_b), d_w1a + d_w1b, d_w2a + d_w2b

    return f1, backward


# the gates are divided by their sum over the channels, like weights
def channel_attention__8(f, w1, w2):
    a, back_a = avg_pool_over_space(f)
    b, back_b = max_pool_over_space(f)
    sa, back_ma = mlp(a, w1, w2)
    sb, back_mb = mlp(b, w1, w2)
    m, back_sig = sigmoid(sa + sb)
    weights = m / m.sum(axis=1, keepdims=True)
    f1, back_gate = gate(weights[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = back_sig(d_m[:, :, 0, 0])
        d_a, d_w1a, d_w2a = back_ma(d_s)
        d_b, d_w1b, d_w2b = back_mb(d_s)
        return d_f + back_a(d_a) + back_b(d_b), d_w1a + d_w1b, d_w2a + d_w2b

    return f1, backward


# the two tuples of the MLP's backwards are added, which strings them together to six
def channel_attention__9(f, w1, w2):
    a, back_a = avg_pool_over_space(f)
    b, back_b = max_pool_over_space(f)
    sa, back_ma = mlp(a, w1, w2)
    sb, back_mb = mlp(b, w1, w2)
    m, back_sig = sigmoid(sa + sb)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = back_sig(d_m[:, :, 0, 0])
        d_x, d_w1, d_w2 = back_ma(d_s) + back_mb(d_s)
        return d_f + back_a(d_x) + back_b(d_x), d_w1, d_w2

    return f1, backward


# the weights' gradients of the two branches are averaged instead of added
def channel_attention__10(f, w1, w2):
    a, back_a = avg_pool_over_space(f)
    b, back_b = max_pool_over_space(f)
    sa, back_ma = mlp(a, w1, w2)
    sb, back_mb = mlp(b, w1, w2)
    m, back_sig = sigmoid(sa + sb)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = back_sig(d_m[:, :, 0, 0])
        ga, gb = back_ma(d_s), back_mb(d_s)
        d_w1 = np.mean([ga[1], gb[1]], axis=0)
        d_w2 = np.mean([ga[2], gb[2]], axis=0)
        return d_f + back_a(ga[0]) + back_b(gb[0]), d_w1, d_w2

    return f1, backward


# --- 12 · im2col ---


# right
def im2col__1(x, k):
    N, C, H, W = x.shape
    p = (k - 1) // 2
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    xp[:, :, p : p + H, p : p + W] = x
    v = sliding_window_view(xp, (k, k), axis=(2, 3))
    return np.moveaxis(v, (4, 5), (2, 3)).reshape(N, C * k * k, H * W)


# right
def im2col__2(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, [(0, 0), (0, 0), (p, p), (p, p)])
    c, a, b = (v.reshape(-1, 1) for v in np.indices((C, k, k)))
    i, j = (v.reshape(1, -1) for v in np.indices((H, W)))
    return xp[:, c, i + a, j + b]


# each window is flattened column by column, as in MATLAB: (c,b,a)
def im2col__3(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    cols = np.zeros((N, C * k * k, H * W))
    for n in range(N):
        for i in range(H):
            for j in range(W):
                patch = [xp[n, c, i : i + k, j : j + k].flatten("F") for c in range(C)]
                cols[n, :, i * W + j] = np.concatenate(patch)
    return cols


# the windows are counted column by column: (j,i)
def im2col__4(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    cols = np.zeros((N, C * k * k, H * W))
    q = 0
    for j in range(W):
        for i in range(H):
            cols[:, :, q] = xp[:, :, i : i + k, j : j + k].reshape(N, -1)
            q += 1
    return cols


# one row for each pixel and one column for each feature: the last two axes are swapped
def im2col__5(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    rows = []
    for i in range(H):
        for j in range(W):
            rows.append(xp[:, :, i : i + k, j : j + k].reshape(N, C * k * k))
    return np.stack(rows, axis=1)


# all four axes are padded, samples and channels too
def im2col__6(x, k):
    N, C, H, W = x.shape
    xp = np.pad(x, k // 2)
    cols = np.zeros((N, C, k, k, H, W))
    for a in range(k):
        for b in range(k):
            cols[:, :, a, b] = xp[:N, :C, a : a + H, b : b + W]
    return cols.reshape(N, C * k * k, H * W)


# a and b run from 1 to k, so the last slices come out one short
def im2col__7(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    cols = np.zeros((N, C, k, k, H, W))
    for a in range(1, k + 1):
        for b in range(1, k + 1):
            cols[:, :, a - 1, b - 1] = xp[:, :, a : a + H, b : b + W]
    return cols.reshape(N, C * k * k, H * W)


# the border is filled with copies of the edge instead of zeros
def im2col__8(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), mode="edge")
    v = sliding_window_view(xp, (k, k), axis=(2, 3))
    return v.transpose(0, 1, 4, 5, 2, 3).reshape(N, C * k * k, H * W)


# the samples are put side by side in one matrix (C·k², N·H·W), without the axis of the samples
def im2col__9(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    v = sliding_window_view(xp, (k, k), axis=(2, 3))
    return v.transpose(1, 4, 5, 0, 2, 3).reshape(C * k * k, N * H * W)


# --- 13 · conv2d ---


# right
def conv2d__1(x, kernel):
    O, C, k, _ = kernel.shape
    N, _, H, W = x.shape
    cols = im2col(x, k)
    K = kernel.reshape(O, -1)
    out = (K @ cols).reshape(N, O, H, W)

    def backward(d_out):
        D = d_out.reshape(N, O, H * W)
        d_kernel = np.einsum("nop,nqp->oq", D, cols).reshape(kernel.shape)
        return col2im(K.T @ D, x.shape, k), d_kernel

    return out, backward


# right
def conv2d__2(x, kernel):
    O, C, k, _ = kernel.shape
    N, _, H, W = x.shape
    p = k // 2
    pad = ((0, 0), (0, 0), (p, p), (p, p))

    def windows(y):
        return sliding_window_view(np.pad(y, pad), (k, k), axis=(2, 3))

    out = np.tensordot(windows(x), kernel, axes=((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)

    def backward(d_out):
        d_kernel = np.tensordot(d_out, windows(x), axes=((0, 2, 3), (0, 2, 3)))
        rot = np.rot90(kernel, 2, axes=(2, 3))
        d_x = np.tensordot(windows(d_out), rot, axes=((1, 4, 5), (0, 2, 3))).transpose(0, 3, 1, 2)
        return d_x, d_kernel

    return out, backward


# the kernel is flipped in the forward pass as in conv2 (and its gradient flipped back)
def conv2d__3(x, kernel):
    O, C, k, _ = kernel.shape
    N, _, H, W = x.shape
    cols = im2col(x, k)
    K = kernel[:, :, ::-1, ::-1].reshape(O, -1)
    out = (K @ cols).reshape(N, O, H, W)

    def backward(d_out):
        D = d_out.reshape(N, O, H * W)
        g = np.einsum("nop,nqp->oq", D, cols).reshape(kernel.shape)
        return col2im(K.T @ D, x.shape, k), g[:, :, ::-1, ::-1]

    return out, backward


# for d_x the flipped kernel's axes O and C are swapped by a reshape, not by a transposition
def conv2d__4(x, kernel):
    O, C, k, _ = kernel.shape
    N, _, H, W = x.shape
    cols = im2col(x, k)
    out = (kernel.reshape(O, -1) @ cols).reshape(N, O, H, W)

    def backward(d_out):
        D = d_out.reshape(N, O, H * W)
        d_kernel = (D @ cols.transpose(0, 2, 1)).sum(axis=0).reshape(kernel.shape)
        flipped = np.flip(kernel, axis=(2, 3)).reshape(C, O * k * k)
        d_x = (flipped @ im2col(d_out, k)).reshape(x.shape)
        return d_x, d_kernel

    return out, backward


# the kernel is made a matrix with reshape(-1, O) instead of the transpose of reshape(O, -1)
def conv2d__5(x, kernel):
    O, C, k, _ = kernel.shape
    N, _, H, W = x.shape
    rows = im2col(x, k).transpose(0, 2, 1)
    coef = kernel.reshape(-1, O)
    out = (rows @ coef).transpose(0, 2, 1).reshape(N, O, H, W)

    def backward(d_out):
        D = d_out.reshape(N, O, H * W).transpose(0, 2, 1)
        d_coef = np.einsum("npq,npo->qo", rows, D)
        d_cols = (D @ coef.T).transpose(0, 2, 1)
        return col2im(d_cols, x.shape, k), d_coef.reshape(kernel.shape)

    return out, backward


# the kernel is flattened column-major
def conv2d__6(x, kernel):
    O, C, k, _ = kernel.shape
    N, _, H, W = x.shape
    cols = im2col(x, k)
    K = kernel.reshape((O, C * k * k), order="F")

    def backward(d_out):
        D = d_out.reshape(N, O, H * W)
        d_K = np.einsum("nop,nqp->oq", D, cols)
        return col2im(K.T @ D, x.shape, k), d_K.reshape(kernel.shape, order="F")

    return (K @ cols).reshape(N, O, H, W), backward


# the output (N, H·W, O) is reshaped to (N, O, H, W) without moving its last axis
def conv2d__7(x, kernel):
    O, C, k, _ = kernel.shape
    N, _, H, W = x.shape
    cols = im2col(x, k)
    out = np.einsum("nqp,oq->npo", cols, kernel.reshape(O, -1)).reshape(N, O, H, W)

    def backward(d_out):
        D = d_out.reshape(N, O, H * W)
        d_K = np.einsum("nop,nqp->oq", D, cols)
        return col2im(kernel.reshape(O, -1).T @ D, x.shape, k), d_K.reshape(kernel.shape)

    return out, backward


# k is taken from len(kernel), which is O
def conv2d__8(x, kernel):
    k = len(kernel)
    O = kernel.shape[0]
    N, C, H, W = x.shape
    cols = im2col(x, k)
    K = kernel.reshape(O, -1)
    out = (K @ cols).reshape(N, O, H, W)

    def backward(d_out):
        D = d_out.reshape(N, O, -1)
        d_K = np.einsum("nop,nqp->oq", D, cols)
        return col2im(K.T @ D, x.shape, k), d_K.reshape(kernel.shape)

    return out, backward


# for d_kernel the windows are taken from d_out instead of x, so it comes out flipped
def conv2d__9(x, kernel):
    O, C, k, _ = kernel.shape
    N, _, H, W = x.shape
    K = kernel.reshape(O, -1)
    out = (K @ im2col(x, k)).reshape(N, O, H, W)

    def backward(d_out):
        dcols = im2col(d_out, k).reshape(N, O, k, k, H * W)
        d_kernel = np.einsum("noabp,ncp->ocab", dcols, x.reshape(N, C, -1))
        d_x = col2im(K.T @ d_out.reshape(N, O, -1), x.shape, k)
        return d_x, d_kernel

    return out, backward


# --- 14 · col2im ---


# right
def col2im__1(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    c, a, b = (v.reshape(-1, 1) for v in np.indices((C, k, k)))
    i, j = (v.reshape(1, -1) for v in np.indices((H, W)))
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    np.add.at(xp, (slice(None), c, i + a, j + b), columns)
    return xp[:, :, p : H + p, p : W + p]


# right
def col2im__2(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    where = np.arange(1, N * C * H * W + 1, dtype=float).reshape(shape)
    where = im2col(where, k).astype(int).ravel()
    total = np.bincount(where, weights=columns.ravel(), minlength=N * C * H * W + 1)
    return total[1:].reshape(shape)


# fancy indexing with += counts every pixel once only
def col2im__3(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    c, a, b = (v.reshape(-1, 1) for v in np.indices((C, k, k)))
    i, j = (v.reshape(1, -1) for v in np.indices((H, W)))
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    xp[:, c, i + a, j + b] += columns
    return xp[:, :, p : p + H, p : p + W]


# every pixel is divided by the number of windows it lies in
def col2im__4(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, C, k, k, H, W)
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    count = np.zeros_like(xp)
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + H, b : b + W] += cols[:, :, a, b]
            count[:, :, a : a + H, b : b + W] += 1
    return (xp / count)[:, :, p : p + H, p : p + W]


# the padding is cut off with p:H and p:W, as if the image ended there
def col2im__5(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, C, k, k, H, W)
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + H, b : b + W] += cols[:, :, a, b]
    return xp[:, :, p:H, p:W]


# the cut is one too far up and left
def col2im__6(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, C, k, k, H, W)
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + H, b : b + W] += cols[:, :, a, b]
    return xp[:, :, p - 1 : p - 1 + H, p - 1 : p - 1 + W]


# the long axis is read as (a,b,c), not (c,a,b)
def col2im__7(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, k, k, C, H, W)
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + H, b : b + W] += cols[:, a, b]
    return xp[:, :, p : p + H, p : p + W]


# the columns are put into shape column-major
def col2im__8(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = np.reshape(columns, (N, C, k, k, H, W), order="F")
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + H, b : b + W] += cols[:, :, a, b]
    return xp[:, :, p : p + H, p : p + W]


# the inverse of im2col instead of its adjoint: only the middle of each window is taken
def col2im__9(columns, shape, k):
    N, C, H, W = shape
    cols = columns.reshape(N, C, k, k, H, W)
    return cols[:, :, k // 2, k // 2].copy()


# --- 15 · spatial_attention ---


# right
def spatial_attention__1(f1, kernel):
    avg, b_avg = avg_pool_over_channels(f1)
    mx, b_max = max_pool_over_channels(f1)
    u, b_conv = conv2d(np.concatenate((avg, mx), axis=1), kernel)
    m, b_sig = sigmoid(u)
    f2, b_gate = gate(m, f1)

    def backward(d_f2):
        d_m, direct = b_gate(d_f2)
        d_maps, d_kernel = b_conv(b_sig(d_m))
        d_avg, d_max = np.split(d_maps, 2, axis=1)
        return direct + b_avg(d_avg) + b_max(d_max), d_kernel

    return f2, backward


# right
def spatial_attention__2(f1, kernel):
    N, C, H, W = f1.shape
    k = kernel.shape[-1]
    maps = np.empty((N, 2, H, W))
    maps[:, 0] = f1.mean(1)
    maps[:, 1] = f1.max(1)
    cols = im2col(maps, k)
    u = np.einsum("q,nqp->np", kernel.ravel(), cols).reshape(N, 1, H, W)
    m = 0.5 + 0.5 * np.tanh(u / 2)

    def backward(d):
        d_u = (d * f1).sum(1, keepdims=True) * m * (1 - m)
        d_u = d_u.reshape(N, 1, H * W)
        d_kernel = (d_u * cols).sum(axis=(0, 2)).reshape(kernel.shape)
        d_maps = col2im(kernel.reshape(-1, 1) * d_u, maps.shape, k)
        winner = f1.argmax(1, keepdims=True) == np.arange(C).reshape(1, C, 1, 1)
        return d * m + d_maps[:, :1] / C + winner * d_maps[:, 1:], d_kernel

    return m * f1, backward


# the two maps are joined along axis 0, concatenate's default
def spatial_attention__3(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx]), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_p, d_kernel = back_conv(back_sig(d_m))
        return d_f1 + back_avg(d_p[: len(f1)]) + back_max(d_p[len(f1) :]), d_kernel

    return f2, backward


# d_avg, d_max = d_p unpacks the samples, not the two channels
def spatial_attention__4(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_p, d_kernel = back_conv(back_sig(d_m))
        d_avg, d_max = d_p
        return d_f1 + back_avg(d_avg) + back_max(d_max), d_kernel

    return f2, backward


# features and map are given to gate in the wrong order, and so are its gradients
def spatial_attention__5(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(f1, m)

    def backward(d_f2):
        d_f1, d_m = back_gate(d_f2)
        d_p, d_kernel = back_conv(back_sig(d_m))
        return d_f1 + back_avg(d_p[:, :1]) + back_max(d_p[:, 1:]), d_kernel

    return f2, backward


# u is standardised before the sigmoid
def spatial_attention__6(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    u = (u - u.mean()) / u.std()
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_p, d_kernel = back_conv(back_sig(d_m))
        return d_f1 + back_avg(d_p[:, :1]) + back_max(d_p[:, 1:]), d_kernel

    return f2, backward


# the three paths of d_f1 are averaged
def spatial_attention__7(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_direct = back_gate(d_f2)
        d_p, d_kernel = back_conv(back_sig(d_m))
        return np.mean([d_direct, back_avg(d_p[:, :1]), back_max(d_p[:, 1:])], axis=0), d_kernel

    return f2, backward


# squeeze takes the first axis away from d_kernel
def spatial_attention__8(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_p, d_kernel = back_conv(back_sig(d_m))
        return d_f1 + back_avg(d_p[:, :1]) + back_max(d_p[:, 1:]), np.squeeze(d_kernel)

    return f2, backward


# the second map's slice 1:1 (meant as "from 1 to 1") is empty
def spatial_attention__9(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_p, d_kernel = back_conv(back_sig(d_m))
        return d_f1 + back_avg(d_p[:, 0:1]) + back_max(d_p[:, 1:1]), d_kernel

    return f2, backward


# the two maps are stacked along a new first axis and reshaped to (N, 2, H, W), which mixes samples with maps
def spatial_attention__10(f1, kernel):
    N, C, H, W = f1.shape
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.array([avg, mx]).reshape(N, 2, H, W), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_p, d_kernel = back_conv(back_sig(d_m))
        d_avg, d_max = d_p.reshape(2, N, 1, H, W)
        return d_f1 + back_avg(d_avg) + back_max(d_max), d_kernel

    return f2, backward


# --- 16 · cbam ---


# right
def cbam__1(f, w1, w2, kernel):
    f1, b1 = channel_attention(f, w1, w2)
    f2, b2 = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = b2(d_f2)
        return b1(d_f1) + (d_kernel,)

    return f2, backward


# right
def cbam__2(f, w1, w2, kernel):
    x, tape = f, []
    for op, params in ((channel_attention, (w1, w2)), (spatial_attention, (kernel,))):
        x, back = op(x, *params)
        tape.append(back)

    def backward(d):
        grads = []
        for back in reversed(tape):
            d, *g = back(d)
            grads = g + grads
        return (d, *grads)

    return x, backward


# d_kernel is added to the tuple of the others instead of appended
def cbam__3(f, w1, w2, kernel):
    f1, back_c = channel_attention(f, w1, w2)
    f2, back_s = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_s(d_f2)
        return back_c(d_f1) + d_kernel

    return f2, backward


# the backwards run in the order of the forward pass: channel attention first
def cbam__4(f, w1, w2, kernel):
    f1, back_c = channel_attention(f, w1, w2)
    f2, back_s = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_w1, d_w2 = back_c(d_f2)
        d_f, d_kernel = back_s(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# backward has the same name as channel attention's backward, so it calls itself for ever
def cbam__5(f, w1, w2, kernel):
    f1, backward = channel_attention(f, w1, w2)
    f2, backward_s = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = backward_s(d_f2)
        d_f, d_w1, d_w2 = backward(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# the gradients come as a dictionary
def cbam__6(f, w1, w2, kernel):
    f1, back_c = channel_attention(f, w1, w2)
    f2, back_s = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_s(d_f2)
        d_f, d_w1, d_w2 = back_c(d_f1)
        return {"f": d_f, "w1": d_w1, "w2": d_w2, "kernel": d_kernel}

    return f2, backward


# d_f1 is added to d_f, though channel attention's backward has used it already
def cbam__7(f, w1, w2, kernel):
    f1, back_c = channel_attention(f, w1, w2)
    f2, back_s = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_s(d_f2)
        d_f, d_w1, d_w2 = back_c(d_f1)
        return d_f + d_f1, d_w1, d_w2, d_kernel

    return f2, backward


# the parameters' gradients are divided by the number of samples
def cbam__8(f, w1, w2, kernel):
    f1, back_c = channel_attention(f, w1, w2)
    f2, back_s = spatial_attention(f1, kernel)
    n_samples = f.shape[0]

    def backward(d_f2):
        d_f1, d_kernel = back_s(d_f2)
        d_f, d_w1, d_w2 = back_c(d_f1)
        return d_f, d_w1 / n_samples, d_w2 / n_samples, d_kernel / n_samples

    return f2, backward


# the whole result of channel attention, output and backward, is handed on as f1
def cbam__9(f, w1, w2, kernel):
    f1 = channel_attention(f, w1, w2)
    f2 = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = f2[1](d_f2)
        d_f, d_w1, d_w2 = f1[1](d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2[0], backward
