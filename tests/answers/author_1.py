import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


# right
def slopes__1(op, inputs, which, d_out):
    h = 1e-5
    x = inputs[which]
    g = np.empty_like(x)
    it = np.nditer(x, flags=["multi_index"])
    while not it.finished:
        i = it.multi_index
        old = x[i]
        x[i] = old + h
        p = (op(*inputs)[0] * d_out).sum()
        x[i] = old - h
        m = (op(*inputs)[0] * d_out).sum()
        x[i] = old
        g[i] = (p - m) / (2 * h)
        it.iternext()
    return g


# right
def slopes__2(op, inputs, which, d_out):
    h = 1e-6
    out = []
    x = inputs[which]
    for j in range(x.size):
        e = np.zeros(x.size)
        e[j] = h
        e = e.reshape(x.shape)
        up = list(inputs)
        up[which] = x + e
        dn = list(inputs)
        dn[which] = x - e
        out.append(np.sum(d_out * (op(*up)[0] - op(*dn)[0])) / (2 * h))
    return np.array(out).reshape(x.shape)


# moves only the first axis: loops over range(len(x))
def slopes__3(op, inputs, which, d_out):
    x = inputs[which].copy()
    h = 1e-5
    g = np.zeros_like(x)
    for i in range(len(x)):
        x[i] += h
        a = np.sum(op(*inputs)[0] * d_out)
        x[i] -= 2 * h
        b = np.sum(op(*inputs)[0] * d_out)
        x[i] += h
        g[i] = (a - b) / (2 * h)
    return g


# op returns a tuple, forgot [0]
def slopes__4(op, inputs, which, d_out):
    x = inputs[which]
    h = 1e-5
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        x[i] += h
        a = np.sum(op(*inputs) * d_out)
        x[i] -= 2 * h
        b = np.sum(op(*inputs) * d_out)
        x[i] += h
        g[i] = (a - b) / (2 * h)
    return g


# returns slopes of each output: not summed
def slopes__5(op, inputs, which, d_out):
    x = inputs[which]
    h = 1e-5
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        x[i] += h
        a = op(*inputs)[0] * d_out
        x[i] -= 2 * h
        b = op(*inputs)[0] * d_out
        x[i] += h
        g[i] = (a - b) / (2 * h)
    return g


# restores only once: x ends at x - h
def slopes__6(op, inputs, which, d_out):
    x = inputs[which]
    h = 1e-5
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        x[i] += h
        a = np.sum(op(*inputs)[0] * d_out)
        x[i] -= 2 * h
        b = np.sum(op(*inputs)[0] * d_out)
        g[i] = (a - b) / (2 * h)
    return g


# iterates op(inputs) without star
def slopes__7(op, inputs, which, d_out):
    x = inputs[which]
    h = 1e-5
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        x[i] += h
        a = np.sum(op(inputs)[0] * d_out)
        x[i] -= 2 * h
        b = np.sum(op(inputs)[0] * d_out)
        x[i] += h
        g[i] = (a - b) / (2 * h)
    return g


# does not return
def slopes__8(op, inputs, which, d_out):
    x = inputs[which]
    g = np.zeros_like(x)


# right
def largest_error__1(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    d = rng.standard_normal(out.shape)
    gs = backward(d)
    if len(inputs) == 1:
        gs = [gs]
    worst = 0.0
    for i, g in enumerate(gs):
        s = slopes(op, inputs, i, d)
        worst = max(worst, np.abs(s - g).max())
    return worst


# only one input: the tuple is not handled
def largest_error__2(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    d = rng.standard_normal(out.shape)
    gs = backward(d)
    worst = 0.0
    for i, g in enumerate(gs):
        s = slopes(op, inputs, i, d)
        worst = max(worst, np.abs(s - g).max())
    return worst


# returns per-input list
def largest_error__3(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    d = rng.standard_normal(out.shape)
    gs = backward(d)
    if len(inputs) == 1:
        gs = [gs]
    return [np.abs(slopes(op, inputs, i, d) - g).max() for i, g in enumerate(gs)]


# different d_out for backward and slopes
def largest_error__4(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    gs = backward(rng.standard_normal(out.shape))
    if len(inputs) == 1:
        gs = [gs]
    return max(np.abs(slopes(op, inputs, i, rng.standard_normal(out.shape)) - g).max() for i, g in enumerate(gs))


# right: relative, and with the old way to draw numbers
def largest_error__5(op, *inputs, seed=0):
    np.random.seed(seed)
    out, backward = op(*inputs)
    d = np.random.randn(*out.shape)
    gs = backward(d)
    gs = gs if type(gs) is tuple else (gs,)
    return max([np.max(np.abs(slopes(op, inputs, i, d) - g)) / np.max(np.abs(g)) for i, g in enumerate(gs)])


# right
def avg_pool_over_space__1(f):
    N, C, H, W = f.shape
    out = np.zeros((N, C))
    for n in range(N):
        for c in range(C):
            for i in range(H):
                for j in range(W):
                    out[n, c] += f[n, c, i, j] / (H * W)

    def backward(d):
        return np.einsum("nc,ij->ncij", d, np.ones((H, W))) / (H * W)

    return out, backward


# keepdims left in
def avg_pool_over_space__2(f):
    return f.mean(axis=(2, 3), keepdims=True), lambda d: np.broadcast_to(d, f.shape) / f[0, 0].size


# d not reshaped: d * ones(f.shape)
def avg_pool_over_space__3(f):
    return f.mean(axis=(2, 3)), lambda d: d * np.ones(f.shape) / f[0, 0].size


# average of averages forward is right, but backward divides by shape[1]*shape[2]
def avg_pool_over_space__4(f):
    def backward(d):
        return np.broadcast_to(d[..., None, None], f.shape) / (f.shape[1] * f.shape[2])

    return f.mean(axis=(2, 3)), backward


# right
def max_pool_over_space__1(f):
    N, C, H, W = f.shape
    flat = f.reshape(N * C, -1)
    idx = flat.argmax(1)

    def backward(d):
        g = np.zeros_like(flat)
        g[np.arange(N * C), idx] = d.ravel()
        return g.reshape(f.shape)

    return flat.max(1).reshape(N, C), backward


# right
def max_pool_over_space__2(f):
    N, C, H, W = f.shape
    out = np.full((N, C), -np.inf)
    place = {}
    for n, c, i, j in np.ndindex(*f.shape):
        if f[n, c, i, j] > out[n, c]:
            out[n, c] = f[n, c, i, j]
            place[n, c] = i, j

    def backward(d):
        g = np.zeros(f.shape)
        for (n, c), (i, j) in place.items():
            g[n, c, i, j] = d[n, c]
        return g

    return out, backward


# mask without None axes
def max_pool_over_space__3(f):
    m = f.max(axis=(2, 3))

    def backward(d):
        return d[:, :, None, None] * (f == m)

    return m, backward


# argmax over two axes: TypeError
def max_pool_over_space__4(f):
    m = f.max(axis=(2, 3))

    def backward(d):
        i = f.argmax(axis=(2, 3))
        g = np.zeros(f.shape)
        g[i] = d
        return g

    return m, backward


# argmax flat index used with put on the whole array
def max_pool_over_space__5(f):
    N, C, H, W = f.shape
    idx = f.reshape(N, C, -1).argmax(-1)

    def backward(d):
        g = np.zeros(f.shape)
        np.put(g, idx, d)
        return g

    return f.max((2, 3)), backward


# unravel with wrong shape (C, H): index error
def max_pool_over_space__6(f):
    N, C, H, W = f.shape
    idx = f.reshape(N, C, -1).argmax(-1)

    def backward(d):
        g = np.zeros(f.shape)
        i, j = np.unravel_index(idx, (W, H))
        for n in range(N):
            for c in range(C):
                g[n, c, i[n, c], j[n, c]] = d[n, c]
        return g

    return f.max((2, 3)), backward


# right
def mlp__1(x, w1, w2):
    z = np.einsum("nc,qc->nq", x, w1)
    h = z.clip(0)

    def backward(d):
        dz = (d @ w2) * (z > 0)
        return [dz @ w1, np.einsum("nq,nc->qc", dz, x), np.einsum("nc,nq->cq", d, h)]

    return h @ w2.T, backward


# relu returns two things
def mlp__2(x, w1, w2):
    h = relu(x @ w1.T)
    out = h @ w2.T

    def backward(d):
        return d, d, d

    return out, backward


# forgets to call backward of relu with d: uses relu(d)
def mlp__3(x, w1, w2):
    z = x @ w1.T
    h, rb = relu(z)

    def backward(d):
        dz, _ = relu(d @ w2)
        return dz @ w1, dz.T @ x, d.T @ h

    return h @ w2.T, backward


# name error: w_1
def mlp__4(x, w1, w2):
    h, rb = relu(x @ w_1.T)
    return h @ w2.T, None


# d_h = w2 @ d_out
def mlp__5(x, w1, w2):
    h, rb = relu(x @ w1.T)

    def backward(d):
        dz = rb(w2 @ d)
        return dz @ w1, dz.T @ x, d.T @ h

    return h @ w2.T, backward


# gradients are returned in order w1, w2, x
def mlp__6(x, w1, w2):
    h, rb = relu(x @ w1.T)

    def backward(d):
        dz = rb(d @ w2)
        return dz.T @ x, d.T @ h, dz @ w1

    return h @ w2.T, backward


# += on outer variable
def mlp__7(x, w1, w2):
    h, rb = relu(x @ w1.T)
    d_w1 = np.zeros(w1.shape)

    def backward(d):
        dz = rb(d @ w2)
        d_w1 += dz.T @ x
        return dz @ w1, d_w1, d.T @ h

    return h @ w2.T, backward


# accumulates over calls
def mlp__8(x, w1, w2):
    h, rb = relu(x @ w1.T)
    d_w1 = np.zeros(w1.shape)

    def backward(d):
        dz = rb(d @ w2)
        d_w1[:] += dz.T @ x
        return dz @ w1, d_w1, d.T @ h

    return h @ w2.T, backward


# right
def sigmoid__1(x):
    s = 1 / (1 + np.exp(-np.clip(x, -500, 500)))
    return s, lambda d: d * s * (1 - s)


# right
def sigmoid__2(x):
    s = 0.5 * (1 + np.tanh(0.5 * x))
    return s, lambda d: s * (1 - s) * d


# np.where computes both branches
def sigmoid__3(x):
    s = np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))
    return s, lambda d: s * (1 - s) * d


# right
def sigmoid__4(x):
    s = np.empty_like(x)
    p = x >= 0
    s[p] = 1 / (1 + np.exp(-x[p]))
    e = np.exp(x[~p])
    s[~p] = e / (1 + e)
    return s, lambda d: s * (1 - s) * d


# math.exp on an array
def sigmoid__5(x):
    import math

    s = 1 / (1 + math.exp(-x))
    return s, lambda d: s * (1 - s) * d


# if on an array
def sigmoid__6(x):
    if x >= 0:
        s = 1 / (1 + np.exp(-x))
    else:
        s = np.exp(x) / (1 + np.exp(x))
    return s, lambda d: s * (1 - s) * d


# overflow in the backward: exp(-x)/(1+exp(-x))**2
def sigmoid__7(x):
    s = 0.5 * (1 + np.tanh(0.5 * x))
    return s, lambda d: d * np.exp(-x) / (1 + np.exp(-x)) ** 2


# right
def gate__1(m, f):
    def backward(d):
        ax = (2, 3) if m.shape[2:] == (1, 1) and m.shape[1] == f.shape[1] else (1,)
        return (d * f).sum(ax, keepdims=True), d * m

    return f * m, backward


# keepdims forgotten
def gate__2(m, f):
    def backward(d):
        ax = (2, 3) if m.shape[1] > 1 else 1
        return (d * f).sum(ax), d * m

    return f * m, backward


# right
def channel_attention__1(f, w1, w2):
    N, C, H, W = f.shape
    a, m = f.mean((2, 3)), f.max((2, 3))
    h = lambda v: np.maximum(v @ w1.T, 0)
    s = (h(a) + h(m)) @ w2.T
    g = 1 / (1 + np.exp(-s))

    def backward(d):
        dg = (d * f).sum((2, 3))
        ds = dg * g * (1 - g)
        dh = ds @ w2
        dza, dzm = dh * (h(a) > 0), dh * (h(m) > 0)
        flat = f.reshape(N, C, -1)
        dm = np.zeros_like(flat)
        np.put_along_axis(dm, flat.argmax(-1)[..., None], (dzm @ w1)[..., None], -1)
        d_f = d * g[..., None, None] + ((dza @ w1) / (H * W))[..., None, None] + dm.reshape(f.shape)
        return d_f, dza.T @ a + dzm.T @ m, ds.T @ (h(a) + h(m))

    return f * g[..., None, None], backward


# backward of gate unpacked in the wrong order
def channel_attention__2(f, w1, w2):
    a, ab = avg_pool_over_space(f)
    m, mb = max_pool_over_space(f)
    sa, mab = mlp(a, w1, w2)
    sm, mmb = mlp(m, w1, w2)
    mc, sb = sigmoid(sa + sm)
    f1, gb = gate(mc[:, :, None, None], f)

    def backward(d):
        df, dmc = gb(d)
        ds = sb(dmc[:, :, 0, 0])
        da, w1a, w2a = mab(ds)
        dm, w1m, w2m = mmb(ds)
        return df + ab(da) + mb(dm), w1a + w1m, w2a + w2m

    return f1, backward


# sigmoid backward on a (N, C, 1, 1) gradient
def channel_attention__3(f, w1, w2):
    a, ab = avg_pool_over_space(f)
    m, mb = max_pool_over_space(f)
    sa, mab = mlp(a, w1, w2)
    sm, mmb = mlp(m, w1, w2)
    mc, sb = sigmoid(sa + sm)
    f1, gb = gate(mc[:, :, None, None], f)

    def backward(d):
        dmc, df = gb(d)
        ds = sb(dmc)
        da, w1a, w2a = mab(ds)
        dm, w1m, w2m = mmb(ds)
        return df + ab(da) + mb(dm), w1a + w1m, w2a + w2m

    return f1, backward


# overwrites d_w1 instead of adding
def channel_attention__4(f, w1, w2):
    a, ab = avg_pool_over_space(f)
    m, mb = max_pool_over_space(f)
    sa, mab = mlp(a, w1, w2)
    sm, mmb = mlp(m, w1, w2)
    mc, sb = sigmoid(sa + sm)
    f1, gb = gate(mc[:, :, None, None], f)

    def backward(d):
        dmc, df = gb(d)
        ds = sb(dmc[:, :, 0, 0])
        da, dw1, dw2 = mab(ds)
        dm, dw1, dw2 = mmb(ds)
        return df + ab(da) + mb(dm), dw1, dw2

    return f1, backward


# right
def im2col__1(x, k):
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    v = sliding_window_view(xp, (k, k), axis=(2, 3))
    N, C, H, W = x.shape
    return v.transpose(0, 1, 4, 5, 2, 3).reshape(N, C * k * k, H * W)


# no padding
def im2col__2(x, k):
    v = sliding_window_view(x, (k, k), axis=(2, 3))
    N, C = x.shape[:2]
    return v.transpose(0, 1, 4, 5, 2, 3).reshape(N, C * k * k, -1)


# np.pad with p on all axes
def im2col__3(x, k):
    p = k // 2
    xp = np.pad(x, p)
    v = sliding_window_view(xp, (k, k), axis=(2, 3))
    N, C, H, W = x.shape
    return v.transpose(0, 1, 4, 5, 2, 3).reshape(N, C * k * k, H * W)


# slices run beyond: range wrong, off by one
def im2col__4(x, k):
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    N, C, H, W = x.shape
    cols = np.zeros((N, C, k, k, H, W))
    for a in range(k):
        for b in range(k):
            cols[:, :, a, b] = xp[:, :, a:H, b:W]
    return cols.reshape(N, C * k * k, H * W)


# right
def col2im__1(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    out = np.zeros((N, C, H + 2 * p, W + 2 * p))
    cols = columns.reshape(N, C, k, k, H, W)
    for i in range(H):
        for j in range(W):
            out[:, :, i : i + k, j : j + k] += cols[..., i, j]
    return out[:, :, p : H + p, p : W + p]


# out[:, :, p:-p, p:-p] fails for k = 1
def col2im__2(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    out = np.zeros((N, C, H + 2 * p, W + 2 * p))
    cols = columns.reshape(N, C, k, k, H, W)
    for i in range(H):
        for j in range(W):
            out[:, :, i : i + k, j : j + k] += cols[..., i, j]
    return out[:, :, p:-p, p:-p]


# np.add.at ... treats shape as (H, W)
def col2im__3(columns, shape, k):
    H, W = shape
    return columns


# right
def conv2d__1(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    out = np.zeros((N, O, H, W))
    for a in range(k):
        for b in range(k):
            out += np.einsum("oc,ncij->noij", kernel[:, :, a, b], xp[:, :, a : a + H, b : b + W])

    def backward(d):
        dk = np.zeros_like(kernel)
        dxp = np.zeros_like(xp)
        for a in range(k):
            for b in range(k):
                dk[:, :, a, b] = np.einsum("noij,ncij->oc", d, xp[:, :, a : a + H, b : b + W])
                dxp[:, :, a : a + H, b : b + W] += np.einsum("oc,noij->ncij", kernel[:, :, a, b], d)
        return dxp[:, :, p : p + H, p : p + W], dk

    return out, backward


# K @ d_rows not transposed
def conv2d__2(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    K = kernel.reshape(O, -1)

    def backward(d):
        d = d.reshape(N, O, -1)
        return col2im(K @ d, x.shape, k), (d @ cols.transpose(0, 2, 1)).sum(0).reshape(kernel.shape)

    return (K @ cols).reshape(N, O, H, W), backward


# no transpose of columns
def conv2d__3(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    K = kernel.reshape(O, -1)

    def backward(d):
        d = d.reshape(N, O, -1)
        return col2im(K.T @ d, x.shape, k), (d @ cols).sum(0).reshape(kernel.shape)

    return (K @ cols).reshape(N, O, H, W), backward


# reshape without sum
def conv2d__4(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    K = kernel.reshape(O, -1)

    def backward(d):
        d = d.reshape(N, O, -1)
        return col2im(K.T @ d, x.shape, k), (d @ cols.transpose(0, 2, 1)).reshape(kernel.shape)

    return (K @ cols).reshape(N, O, H, W), backward


# concatenates along the wrong axis
def spatial_attention__1(f1, kernel):
    a, ab = avg_pool_over_channels(f1)
    m, mb = max_pool_over_channels(f1)
    p = np.concatenate([a, m])
    u, cb = conv2d(p, kernel)
    ms, sb = sigmoid(u)
    return gate(ms, f1)


# d_pooled[:, 0] loses the axis
def spatial_attention__2(f1, kernel):
    a, ab = avg_pool_over_channels(f1)
    m, mb = max_pool_over_channels(f1)
    p = np.concatenate([a, m], axis=1)
    u, cb = conv2d(p, kernel)
    ms, sb = sigmoid(u)
    f2, gb = gate(ms, f1)

    def backward(d):
        dms, df = gb(d)
        dp, dk = cb(sb(dms))
        return df + ab(dp[:, 0]) + mb(dp[:, 1]), dk

    return f2, backward


# returns gate's result: backward gives d_m, d_f
def cbam__1(f, w1, w2, kernel):
    f1, cb = channel_attention(f, w1, w2)
    return spatial_attention(f1, kernel)


# calls spatial_attention without kernel
def cbam__2(f, w1, w2, kernel):
    f1, cb = channel_attention(f, w1, w2)
    f2, sb = spatial_attention(f1)
    return f2, None


# returns backward called
def cbam__3(f, w1, w2, kernel):
    f1, cb = channel_attention(f, w1, w2)
    f2, sb = spatial_attention(f1, kernel)

    def backward(d):
        d1, dk = sb(d)
        return cb(d1) + (dk,)

    return f2, backward(np.ones(f2.shape))


# cb(d1), dk nested tuple
def cbam__4(f, w1, w2, kernel):
    f1, cb = channel_attention(f, w1, w2)
    f2, sb = spatial_attention(f1, kernel)

    def backward(d):
        d1, dk = sb(d)
        return cb(d1), dk

    return f2, backward


# right
def cbam__5(f, w1, w2, kernel):
    f1, cb = channel_attention(f, w1, w2)
    f2, sb = spatial_attention(f1, kernel)

    def backward(d):
        d1, dk = sb(d)
        return (*cb(d1), dk)

    return f2, backward
