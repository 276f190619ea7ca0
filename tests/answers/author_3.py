import numpy as np


# the base value is computed once and divided by 2h: (L(x + h) - L(x)) / 2h
def slopes__1(op, inputs, which, d_out):
    x = inputs[which]
    h = 1e-5
    base = np.sum(op(*inputs)[0] * d_out)
    out = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        x[i] += h
        out[i] = (np.sum(op(*inputs)[0] * d_out) - base) / (2 * h)
        x[i] -= h
    return out


# d_out is added, not multiplied
def slopes__2(op, inputs, which, d_out):
    x = inputs[which]
    h = 1e-5
    out = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        old = x[i]
        x[i] = old + h
        a = np.sum(op(*inputs)[0] + d_out)
        x[i] = old - h
        b = np.sum(op(*inputs)[0] + d_out)
        x[i] = old
        out[i] = (a - b) / (2 * h)
    return out


# iterates over the flattened copy: x.flatten() is moved, not x
def slopes__3(op, inputs, which, d_out):
    x = inputs[which]
    flat = x.flatten()
    h = 1e-5
    out = np.zeros(flat.shape)
    for i in range(flat.size):
        flat[i] += h
        a = np.sum(op(*inputs)[0] * d_out)
        flat[i] -= 2 * h
        b = np.sum(op(*inputs)[0] * d_out)
        flat[i] += h
        out[i] = (a - b) / (2 * h)
    return out.reshape(x.shape)


# the result stays flat
def slopes__4(op, inputs, which, d_out):
    x = inputs[which]
    h = 1e-5
    out = []
    for i in np.ndindex(x.shape):
        old = x[i]
        x[i] = old + h
        a = np.sum(op(*inputs)[0] * d_out)
        x[i] = old - h
        b = np.sum(op(*inputs)[0] * d_out)
        x[i] = old
        out.append((a - b) / (2 * h))
    return np.array(out)


# returns inside the loop
def slopes__5(op, inputs, which, d_out):
    x = inputs[which]
    h = 1e-5
    out = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        old = x[i]
        x[i] = old + h
        a = np.sum(op(*inputs)[0] * d_out)
        x[i] = old - h
        b = np.sum(op(*inputs)[0] * d_out)
        x[i] = old
        out[i] = (a - b) / (2 * h)
        return out


# compares with out, not with the slopes
def largest_error__1(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if not isinstance(grads, tuple):
        grads = (grads,)
    return max(np.abs(g - out).max() for g in grads)


# always slopes of input 0
def largest_error__2(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if not isinstance(grads, tuple):
        grads = (grads,)
    return max(np.abs(g - slopes(op, inputs, 0, d_out)).max() for g in grads)


# only the first gradient is checked
def largest_error__3(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    g = grads[0] if isinstance(grads, tuple) else grads
    return np.abs(g - slopes(op, inputs, 0, d_out)).max()


# returns a bool
def largest_error__4(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    grads = grads if isinstance(grads, tuple) else (grads,)
    return all(np.allclose(g, slopes(op, inputs, i, d_out)) for i, g in enumerate(grads))


# errors are summed
def largest_error__5(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    grads = grads if isinstance(grads, tuple) else (grads,)
    return float(sum(np.abs(g - slopes(op, inputs, i, d_out)).sum() for i, g in enumerate(grads)))


# reshape puts N last
def avg_pool_over_space__1(f):
    N, C, H, W = f.shape
    return f.reshape(H * W, N, C).mean(axis=0), lambda d: d[:, :, None, None] * np.ones(f.shape) / (H * W)


# the gradient is divided by the wrong name: W * W
def avg_pool_over_space__2(f):
    N, C, H, W = f.shape
    return f.mean((2, 3)), lambda d: d[:, :, None, None] * np.ones(f.shape) / (W * W)


# one None too few
def avg_pool_over_space__3(f):
    N, C, H, W = f.shape
    return f.mean((2, 3)), lambda d: d[:, :, None] * np.ones(f.shape) / (H * W)


# right
def max_pool_over_space__1(f):
    N, C, H, W = f.shape
    out = f.max(axis=(2, 3))

    def backward(d):
        g = np.zeros(f.shape)
        for n in range(N):
            for c in range(C):
                i, j = np.unravel_index(np.argmax(f[n, c]), (H, W))
                g[n, c, i, j] = d[n, c]
        return g

    return out, backward


# argmax per sample, not per channel
def max_pool_over_space__2(f):
    N, C, H, W = f.shape
    out = f.max(axis=(2, 3))

    def backward(d):
        g = np.zeros(f.shape)
        for n in range(N):
            c, i, j = np.unravel_index(np.argmax(f[n]), (C, H, W))
            g[n, c, i, j] = d[n, c]
        return g

    return out, backward


# the loop writes d[n, c] to all channels: g[n, :, i, j]
def max_pool_over_space__3(f):
    N, C, H, W = f.shape
    out = f.max(axis=(2, 3))

    def backward(d):
        g = np.zeros(f.shape)
        for n in range(N):
            for c in range(C):
                i, j = np.unravel_index(np.argmax(f[n, c]), (H, W))
                g[n, :, i, j] = d[n, c]
        return g

    return out, backward


# np.max(f, axis=2).max(axis=2) is right forward; the mask uses >= mean
def max_pool_over_space__4(f):
    out = f.max(2).max(2)
    return out, lambda d: d[:, :, None, None] * (f >= f.mean((2, 3), keepdims=True))


# d_f is summed over channels instead of spread
def avg_pool_over_channels__1(f):
    return f.mean(1, keepdims=True), lambda d: d.sum(axis=1, keepdims=True) / f.shape[1]


# the winner's one-hot is taken from the gradient's argmax
def max_pool_over_channels__1(f):
    def backward(d):
        g = np.zeros(f.shape)
        g[:, 0:1] = d
        return g

    return f.max(1, keepdims=True), backward


# right
def relu__1(x):
    mask = (x > 0).astype(float)
    return x * mask, lambda d: mask * d


# backward takes the mask of d_out after masking x in place of a copy
def relu__2(x):
    out = x
    out[out < 0] = 0
    return out, lambda d: d * (out > 0)


# bias of 1 in the hidden layer
def mlp__1(x, w1, w2):
    h, rb = relu(x @ w1.T + 1)

    def backward(d):
        dz = rb(d @ w2)
        return dz @ w1, dz.T @ x, d.T @ h

    return h @ w2.T, backward


# the mask is applied to d_x instead of d_z
def mlp__2(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)

    def backward(d):
        dh = d @ w2
        return (dh @ w1) * (x > 0), dh.T @ x, d.T @ h

    return h @ w2.T, backward


# forgets that relu's backward needs d_h, gives it h
def mlp__3(x, w1, w2):
    z = x @ w1.T
    h, rb = relu(z)

    def backward(d):
        dz = rb(h)
        return dz @ w1, dz.T @ x, d.T @ h

    return h @ w2.T, backward


# backward returns d_w1 and d_w2 only
def mlp__4(x, w1, w2):
    z = x @ w1.T
    h, rb = relu(z)

    def backward(d):
        dz = rb(d @ w2)
        return dz.T @ x, d.T @ h

    return h @ w2.T, backward


# the sigmoid's derivative uses out * (1 - x)
def sigmoid__1(x):
    e = np.exp(-np.abs(x))
    out = np.where(x >= 0, 1 / (1 + e), e / (1 + e))
    return out, lambda d: d * out * (1 - x)


# no derivative: d_out * out * 1 - out**2 precedence
def sigmoid__2(x):
    e = np.exp(-np.abs(x))
    out = np.where(x >= 0, 1 / (1 + e), e / (1 + e))
    return out, lambda d: d * out - out**2


# float32
def sigmoid__3(x):
    x = x.astype(np.float32)
    out = 1 / (1 + np.exp(-np.clip(x, -80, 80)))
    return out, lambda d: d * out * (1 - out)


# exp(x)/(1+exp(x)) overflows
def sigmoid__4(x):
    out = np.exp(x) / (1 + np.exp(x))
    return out, lambda d: d * out * (1 - out)


# d_m is not reduced but averaged over the channels only
def gate__1(m, f):
    return m * f, lambda d: ((d * f).mean(axis=1, keepdims=True), d * m)


# the order of the gradients is d_f, d_m
def gate__2(m, f):
    def backward(d):
        ax = tuple(a for a in (1, 2, 3) if m.shape[a] == 1)
        return d * m, (d * f).sum(ax, keepdims=True)

    return m * f, backward


# the branch of the average is scaled by H*W (sum pooling)
def channel_attention__1(f, w1, w2):
    s = mlp(f.sum(axis=(2, 3)), w1, w2)[0] + mlp(f.max(axis=(2, 3)), w1, w2)[0]
    return sigmoid(s)[0][:, :, None, None] * f, None


# mlp called without w2
def channel_attention__2(f, w1, w2):
    a, ab = avg_pool_over_space(f)
    s, mb = mlp(a, w1)
    return f, None


# d_f lacks both pooling paths but d_w right
def channel_attention__3(f, w1, w2):
    a, ab = avg_pool_over_space(f)
    m, mb = max_pool_over_space(f)
    sa, b1 = mlp(a, w1, w2)
    sm, b2 = mlp(m, w1, w2)
    mc, sb = sigmoid(sa + sm)
    f1, gb = gate(mc[:, :, None, None], f)

    def backward(d):
        dm, df = gb(d)
        ds = sb(dm[:, :, 0, 0])
        _, w1a, w2a = b1(ds)
        _, w1m, w2m = b2(ds)
        return df, w1a + w1m, w2a + w2m

    return f1, backward


# the backwards of average and maximum are swapped
def channel_attention__4(f, w1, w2):
    a, ab = avg_pool_over_space(f)
    m, mb = max_pool_over_space(f)
    sa, b1 = mlp(a, w1, w2)
    sm, b2 = mlp(m, w1, w2)
    mc, sb = sigmoid(sa + sm)
    f1, gb = gate(mc[:, :, None, None], f)

    def backward(d):
        dm, df = gb(d)
        ds = sb(dm[:, :, 0, 0])
        da, w1a, w2a = b1(ds)
        dx, w1m, w2m = b2(ds)
        return df + mb(da) + ab(dx), w1a + w1m, w2a + w2m

    return f1, backward


# d_s is summed over the samples
def channel_attention__5(f, w1, w2):
    a, ab = avg_pool_over_space(f)
    m, mb = max_pool_over_space(f)
    sa, b1 = mlp(a, w1, w2)
    sm, b2 = mlp(m, w1, w2)
    mc, sb = sigmoid(sa + sm)
    f1, gb = gate(mc[:, :, None, None], f)

    def backward(d):
        dm, df = gb(d)
        ds = sb(dm[:, :, 0, 0]).sum(axis=0, keepdims=True)
        da, w1a, w2a = b1(ds)
        dx, w1m, w2m = b2(ds)
        return df + ab(da) + mb(dx), w1a + w1m, w2a + w2m

    return f1, backward


# the padding is k, not k // 2
def im2col__1(x, k):
    N, C, H, W = x.shape
    xp = np.pad(x, ((0, 0), (0, 0), (k, k), (k, k)))
    out = np.zeros((N, C, k, k, H, W))
    for a in range(k):
        for b in range(k):
            out[:, :, a, b] = xp[:, :, a : a + H, b : b + W]
    return out.reshape(N, C * k * k, H * W)


# x instead of x_padded in the slice
def im2col__2(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    out = np.zeros((N, C, k, k, H, W))
    for a in range(k):
        for b in range(k):
            out[:, :, a, b] = x[:, :, a : a + H, b : b + W]
    return out.reshape(N, C * k * k, H * W)


# appends windows pixel by pixel: (N, H*W, C*k*k) without a transpose at the end
def im2col__3(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    cols = []
    for i in range(H):
        for j in range(W):
            cols.append(xp[:, :, i : i + k, j : j + k].reshape(N, -1))
    return np.stack(cols, axis=1)


# stacks the pixels first: (H*W, N, C*k*k), then reshapes
def im2col__4(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    cols = []
    for i in range(H):
        for j in range(W):
            cols.append(xp[:, :, i : i + k, j : j + k].reshape(N, -1))
    return np.array(cols).reshape(N, C * k * k, H * W)


# no += : each window overwrites
def col2im__1(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    out = np.zeros((N, C, H + 2 * p, W + 2 * p))
    w = columns.reshape(N, C, k, k, H, W)
    for a in range(k):
        for b in range(k):
            out[:, :, a : a + H, b : b + W] = w[:, :, a, b]
    return out[:, :, p : p + H, p : p + W]


# the accumulator is x-sized, no padding: the slice at the border is too short
def col2im__2(columns, shape, k):
    N, C, H, W = shape
    out = np.zeros(shape)
    w = columns.reshape(N, C, k, k, H, W)
    for a in range(k):
        for b in range(k):
            out[:, :, a : a + H, b : b + W] += w[:, :, a, b]
    return out


# im2col's inverse: takes the centre of every window
def col2im__3(columns, shape, k):
    N, C, H, W = shape
    return columns.reshape(N, C, k, k, H, W)[:, :, k // 2, k // 2].copy()


# the kernel's gradient uses x, not the columns: einsum over pixels without the window
def conv2d__1(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    K = kernel.reshape(O, -1)

    def backward(d):
        dk = np.einsum("noij,ncij->oc", d, x)[:, :, None, None] * np.ones(kernel.shape)
        return col2im(K.T @ d.reshape(N, O, -1), x.shape, k), dk

    return (K @ cols).reshape(N, O, H, W), backward


# forgets the transpose of the kernel's matrix and uses K.reshape
def conv2d__2(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    K = kernel.reshape(O, -1)

    def backward(d):
        dr = d.reshape(N, O, -1)
        dk = (dr @ cols.transpose(0, 2, 1)).sum(0).reshape(kernel.shape)
        return col2im(K.reshape(-1, O) @ dr, x.shape, k), dk

    return (K @ cols).reshape(N, O, H, W), backward


# d_kernel is only the last sample's: = in the loop
def conv2d__3(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    K = kernel.reshape(O, -1)

    def backward(d):
        dr = d.reshape(N, O, -1)
        for n in range(N):
            dk = dr[n] @ cols[n].T
        return col2im(K.T @ dr, x.shape, k), dk.reshape(kernel.shape)

    return (K @ cols).reshape(N, O, H, W), backward


# col2im gets (H, W) in place of x.shape
def conv2d__4(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    K = kernel.reshape(O, -1)

    def backward(d):
        dr = d.reshape(N, O, -1)
        dk = (dr @ cols.transpose(0, 2, 1)).sum(0).reshape(kernel.shape)
        return col2im(K.T @ dr, (H, W), k), dk

    return (K @ cols).reshape(N, O, H, W), backward


# [max; avg]
def spatial_attention__1(f1, kernel):
    p = np.concatenate([f1.max(1, keepdims=True), f1.mean(1, keepdims=True)], axis=1)
    return sigmoid(conv2d(p, kernel)[0])[0] * f1, None


# the maximum's path is forgotten
def spatial_attention__2(f1, kernel):
    a, ab = avg_pool_over_channels(f1)
    m, mb = max_pool_over_channels(f1)
    u, cb = conv2d(np.concatenate([a, m], axis=1), kernel)
    ms, sb = sigmoid(u)
    f2, gb = gate(ms, f1)

    def backward(d):
        dm, df = gb(d)
        dp, dk = cb(sb(dm))
        return df + ab(dp[:, :1]), dk

    return f2, backward


# conv_backward gets d_f2's d_m_s without the sigmoid
def spatial_attention__3(f1, kernel):
    a, ab = avg_pool_over_channels(f1)
    m, mb = max_pool_over_channels(f1)
    u, cb = conv2d(np.concatenate([a, m], axis=1), kernel)
    ms, sb = sigmoid(u)
    f2, gb = gate(ms, f1)

    def backward(d):
        dm, df = gb(d)
        dp, dk = cb(dm)
        return df + ab(dp[:, :1]) + mb(dp[:, 1:]), dk

    return f2, backward


# adds d_f2 to d_f1 as for a shortcut
def spatial_attention__4(f1, kernel):
    a, ab = avg_pool_over_channels(f1)
    m, mb = max_pool_over_channels(f1)
    u, cb = conv2d(np.concatenate([a, m], axis=1), kernel)
    ms, sb = sigmoid(u)
    f2, gb = gate(ms, f1)

    def backward(d):
        dm, df = gb(d)
        dp, dk = cb(sb(dm))
        return d + df + ab(dp[:, :1]) + mb(dp[:, 1:]), dk

    return f2, backward


# spatial attention is applied first
def cbam__1(f, w1, w2, kernel):
    g, sb = spatial_attention(f, kernel)
    f2, cb = channel_attention(g, w1, w2)

    def backward(d):
        dg, a, b = cb(d)
        df, dk = sb(dg)
        return df, a, b, dk

    return f2, backward


# returns a dict of gradients
def cbam__2(f, w1, w2, kernel):
    f1, cb = channel_attention(f, w1, w2)
    f2, sb = spatial_attention(f1, kernel)

    def backward(d):
        d1, dk = sb(d)
        df, a, b = cb(d1)
        return {"f": df, "w1": a, "w2": b, "kernel": dk}

    return f2, backward


# d_f misses: returns d1 + df
def cbam__3(f, w1, w2, kernel):
    f1, cb = channel_attention(f, w1, w2)
    f2, sb = spatial_attention(f1, kernel)

    def backward(d):
        d1, dk = sb(d)
        df, a, b = cb(d1)
        return df + d1, a, b, dk

    return f2, backward


# the forward functions are called in backward with d
def cbam__4(f, w1, w2, kernel):
    f1, cb = channel_attention(f, w1, w2)
    f2, sb = spatial_attention(f1, kernel)

    def backward(d):
        d1, dk = spatial_attention(d, kernel)
        return channel_attention(d1, w1, w2)

    return f2, backward
