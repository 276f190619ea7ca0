import numpy as np


# max pool gradient uses np.where(f == max) without d
def max_pool_over_channels__1(f):
    m = f.max(axis=1, keepdims=True)
    return m, lambda d: np.where(f == m, 1.0, 0.0)


# argmax without expanding dims: put_along_axis wrong ndim
def max_pool_over_channels__2(f):
    m = f.max(axis=1, keepdims=True)

    def backward(d):
        g = np.zeros_like(f)
        np.put_along_axis(g, f.argmax(axis=1), d, axis=1)
        return g

    return m, backward


# indexes g[:, idx] = d
def max_pool_over_channels__3(f):
    m = f.max(axis=1, keepdims=True)

    def backward(d):
        g = np.zeros_like(f)
        g[:, f.argmax(axis=1)] = d
        return g

    return m, backward


# squeezed d
def max_pool_over_channels__4(f):
    m = f.max(axis=1, keepdims=True)

    def backward(d):
        N, C, H, W = f.shape
        idx = f.argmax(axis=1)
        g = np.zeros_like(f)
        for n in range(N):
            for i in range(H):
                for j in range(W):
                    g[n, idx[n, i, j], i, j] = d[n, i, j]
        return g

    return m, backward


# d /(C) uses f.shape[0]
def avg_pool_over_channels__1(f):
    return f.mean(1, keepdims=True), lambda d: np.repeat(d, f.shape[1], axis=1) / len(f)


# repeats along the wrong axis
def avg_pool_over_channels__2(f):
    return f.mean(1, keepdims=True), lambda d: np.repeat(d, f.shape[1], axis=0) / f.shape[1]


# right: with tile
def avg_pool_over_channels__3(f):
    return f.mean(1)[:, None], lambda d: np.tile(d / f.shape[1], (1, f.shape[1], 1, 1))


# uses integer division
def avg_pool_over_channels__4(f):
    return f.mean(1)[:, None], lambda d: np.tile(d // f.shape[1], (1, f.shape[1], 1, 1))


# relu in place with out=
def relu__1(x):
    return np.maximum(x, 0, out=x), lambda d: d * (x > 0)


# mask inverted by mistake
def relu__2(x):
    return np.maximum(x, 0), lambda d: d * (x < 0)


# returns mask only
def relu__3(x):
    return x * (x > 0), lambda d: x > 0


# x*(x>0) forward, backward returns x>0 times out
def relu__4(x):
    out = x * (x > 0)
    return out, lambda d: out * d


# forgot the argument of backward
def relu__5(x):
    def backward():
        return x > 0

    return np.maximum(x, 0), backward


# uses dout instead of d_out: name error
def relu__6(x):
    def backward(d_out):
        return dout * (x > 0)

    return np.maximum(x, 0), backward


# np.maximum(x) missing argument
def relu__7(x):
    return np.maximum(x), None


# max(x, 0) python builtin
def relu__8(x):
    return max(x, 0), None


# backward is not nested: indentation error puts return in backward
def relu__9(x):
    out = np.maximum(x, 0)

    def backward(d_out):
        d_x = d_out * (x > 0)
        return d_x
        return out, backward


# returns tuple in backward (d_x,)
def relu__10(x):
    return np.maximum(x, 0), lambda d: (d * (x > 0),)


# d_w2 = h.T @ d_out.T
def mlp__1(x, w1, w2):
    h, rb = relu(x @ w1.T)

    def backward(d):
        dz = rb(d @ w2)
        return dz @ w1, dz.T @ x, h.T @ d.T

    return h @ w2.T, backward


# w2 and w1 swapped, forward
def mlp__2(x, w1, w2):
    h, rb = relu(x @ w2)

    def backward(d):
        dz = rb(d @ w1.T)
        return dz @ w2.T, x.T @ dz, h.T @ d

    return h @ w1, backward


# d_w2 built with d_z
def mlp__3(x, w1, w2):
    h, rb = relu(x @ w1.T)

    def backward(d):
        dz = rb(d @ w2)
        return dz @ w1, dz.T @ x, dz.T @ h

    return h @ w2.T, backward


# returns None for d_x
def mlp__4(x, w1, w2):
    h, rb = relu(x @ w1.T)

    def backward(d):
        dz = rb(d @ w2)
        return None, dz.T @ x, d.T @ h

    return h @ w2.T, backward


# elementwise * instead of @
def mlp__5(x, w1, w2):
    h, rb = relu(x * w1)
    return h * w2, None


# np.dot(w1, x)
def mlp__6(x, w1, w2):
    h, rb = relu(np.dot(w1, x))
    return np.dot(w2, h), None


# right: works on w1 @ x.T
def mlp__7(x, w1, w2):
    h, rb = relu(w1 @ x.T)

    def backward(d):
        dz = rb(w2.T @ d.T)
        return (w1.T @ dz).T, dz @ x, d.T @ h.T

    return (w2 @ h).T, backward


# sum over hidden of d_z missing...: uses d_h = d * w2 sum
def mlp__8(x, w1, w2):
    z = x @ w1.T
    h, rb = relu(z)

    def backward(d):
        dh = d.sum(axis=1, keepdims=True) * w2.sum(axis=0)
        dz = rb(dh)
        return dz @ w1, dz.T @ x, d.T @ h

    return h @ w2.T, backward


# uses z > 0 where z is not defined in backward (name)
def mlp__9(x, w1, w2):
    h, rb = relu(x @ w1.T)

    def backward(d):
        dz = (d @ w2) * (z > 0)
        return dz @ w1, dz.T @ x, d.T @ h

    return h @ w2.T, backward


# right: for N = 1 it also sums over the only sample
def gate__1(m, f):
    def backward(d):
        ax = tuple(i for i in range(4) if m.shape[i] == 1)
        return (d * f).sum(axis=ax, keepdims=True), d * m

    return m * f, backward


# gate: sums only over last axis
def gate__2(m, f):
    def backward(d):
        return (d * f).sum(axis=-1, keepdims=True), d * m

    return m * f, backward


# gate: d_m = sum(d) * f
def gate__3(m, f):
    def backward(d):
        ax = (2, 3) if m.shape[1] > 1 else (1,)
        return (d.sum(ax, keepdims=True) * f).mean(ax, keepdims=True), d * m

    return m * f, backward


# gate: multiplies by gate twice in d_f
def gate__4(m, f):
    def backward(d):
        ax = (2, 3) if m.shape[1] > 1 else (1,)
        return (d * f).sum(ax, keepdims=True), d * m * m

    return m * f, backward


# right: the axes from the number of channels
def gate__5(m, f):
    def backward(d):
        if m.shape[1] == 1:
            return (d * f).sum(axis=1, keepdims=True), d * m
        return (d * f).sum(axis=(2, 3), keepdims=True), d * m

    return m * f, backward


# col2im: forgets reshape
def col2im__1(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + H, b : b + W] += columns[:, :, a, b]
    return xp[:, :, p : p + H, p : p + W]


# right: in loops over pixels
def col2im__2(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    x = np.zeros(shape)
    idx = 0
    for c in range(C):
        for a in range(k):
            for b in range(k):
                col = columns[:, idx].reshape(N, H, W)
                for i in range(H):
                    for j in range(W):
                        y, z = i + a - p, j + b - p
                        if 0 <= y < H and 0 <= z < W:
                            x[:, c, y, z] += col[:, i, j]
                idx += 1
    return x


# col2im: bounds check wrong, <= 0 excludes first row
def col2im__3(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    x = np.zeros(shape)
    cols = columns.reshape(N, C, k, k, H, W)
    for a in range(k):
        for b in range(k):
            for i in range(H):
                for j in range(W):
                    y, z = i + a - p, j + b - p
                    if 0 < y < H and 0 < z < W:
                        x[:, :, y, z] += cols[:, :, a, b, i, j]
    return x


# im2col: for loops with an off by one in the offset
def im2col__1(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    cols = np.zeros((N, C, k, k, H, W))
    for a in range(k):
        for b in range(k):
            cols[:, :, a, b] = np.roll(xp, (-a - 1, -b - 1), axis=(2, 3))[:, :, :H, :W]
    return cols.reshape(N, C * k * k, H * W)


# conv2d: forgets padding via own conv
def conv2d__1(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    out = np.zeros((N, O, H - k + 1, W - k + 1))
    for i in range(H - k + 1):
        for j in range(W - k + 1):
            out[:, :, i, j] = np.tensordot(x[:, :, i : i + k, j : j + k], kernel, axes=((1, 2, 3), (1, 2, 3)))
    return out, None


# d_x = conv2d(d_out, kernel)[0] directly
def conv2d__2(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    K = kernel.reshape(O, -1)

    def backward(d):
        dr = d.reshape(N, O, -1)
        dk = np.einsum("nop,nqp->oq", dr, cols).reshape(kernel.shape)
        dx = (K.T.reshape(C, -1) @ im2col(d, k)).reshape(x.shape)
        return dx, dk

    return (K @ cols).reshape(N, O, H, W), backward


# right: d_x by flipped kernel
def conv2d__3(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    K = kernel.reshape(O, -1)

    def backward(d):
        dr = d.reshape(N, O, -1)
        dk = np.einsum("nop,nqp->oq", dr, cols).reshape(kernel.shape)
        flipped = kernel[:, :, ::-1, ::-1].transpose(1, 0, 2, 3).reshape(C, -1)
        return (flipped @ im2col(d, k)).reshape(x.shape), dk

    return (K @ cols).reshape(N, O, H, W), backward


# spatial: m_s from max and avg swapped only in backward split
def spatial_attention__1(f1, kernel):
    a, ab = avg_pool_over_channels(f1)
    m, mb = max_pool_over_channels(f1)
    u, cb = conv2d(np.concatenate([a, m], axis=1), kernel)
    ms, sb = sigmoid(u)
    f2, gb = gate(ms, f1)

    def backward(d):
        dms, df = gb(d)
        dp, dk = cb(sb(dms))
        dm, da = np.split(dp, 2, axis=1)
        return df + ab(da) + mb(dm), dk

    return f2, backward


# right: adds to what the gate's backward gave
def spatial_attention__2(f1, kernel):
    a, ab = avg_pool_over_channels(f1)
    m, mb = max_pool_over_channels(f1)
    u, cb = conv2d(np.concatenate([a, m], axis=1), kernel)
    ms, sb = sigmoid(u)
    f2, gb = gate(ms, f1)

    def backward(d):
        dms, df = gb(d)
        dp, dk = cb(sb(dms))
        df += ab(dp[:, :1])
        df += mb(dp[:, 1:])
        return df, dk

    return f2, backward


# in place on a broadcast view: read-only error
def spatial_attention__3(f1, kernel):
    a, ab = avg_pool_over_channels(f1)
    m, mb = max_pool_over_channels(f1)
    u, cb = conv2d(np.concatenate([a, m], axis=1), kernel)
    ms, sb = sigmoid(u)
    f2, gb = gate(ms, f1)

    def backward(d):
        dms, df = gb(d)
        dp, dk = cb(sb(dms))
        g = ab(dp[:, :1])
        g += df
        g += mb(dp[:, 1:])
        return g, dk

    return f2, backward


# cbam: uses d_f2 for both
def cbam__1(f, w1, w2, kernel):
    f1, cb = channel_attention(f, w1, w2)
    f2, sb = spatial_attention(f1, kernel)

    def backward(d):
        d1, dk = sb(d)
        df, a, b = cb(d)
        return df, a, b, dk

    return f2, backward


# cbam: order d_w2, d_w1
def cbam__2(f, w1, w2, kernel):
    f1, cb = channel_attention(f, w1, w2)
    f2, sb = spatial_attention(f1, kernel)

    def backward(d):
        d1, dk = sb(d)
        df, b, a = cb(d1)
        return df, a, b, dk

    return f2, backward


# cbam: kernel passed to channel
def cbam__3(f, w1, w2, kernel):
    f1, cb = channel_attention(f, w1, kernel)
    f2, sb = spatial_attention(f1, w2)
    return f2, None
