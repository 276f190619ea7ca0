import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view

# ---------------------------------------------------------------- slopes


# right
def slopes__1(op, inputs, which, d_out):
    h = 1e-5
    x = inputs[which]
    result = np.zeros(x.shape)
    for i in np.ndindex(*x.shape):
        plus, minus = x.copy(), x.copy()
        plus[i] += h
        minus[i] -= h
        args_p = [plus if j == which else a for j, a in enumerate(inputs)]
        args_m = [minus if j == which else a for j, a in enumerate(inputs)]
        result[i] = np.sum(d_out * (op(*args_p)[0] - op(*args_m)[0])) / (2 * h)
    return result


# right
def slopes__2(op, inputs, which, d_out):
    h = 1e-5
    x = inputs[which]

    def loss(moved):
        out, _ = op(*inputs[:which], moved, *inputs[which + 1 :])
        return np.vdot(d_out, out)

    steps = h * np.eye(x.size).reshape((x.size,) + x.shape)
    return np.array([(loss(x + e) - loss(x - e)) / (2 * h) for e in steps]).reshape(x.shape)


# all entries are moved at once and the elementwise difference of out is returned, so there are no slopes one entry at a time
def slopes__3(op, inputs, which, d_out):
    h = 1e-5
    plus = list(inputs)
    minus = list(inputs)
    plus[which] = inputs[which] + h
    minus[which] = inputs[which] - h
    return d_out * (op(*plus)[0] - op(*minus)[0]) / (2 * h)


# divided by 2 and then multiplied by h, the brackets around 2 * h are missing
def slopes__4(op, inputs, which, d_out):
    h = 1e-5
    x = inputs[which]

    def loss(moved):
        out, _ = op(*inputs[:which], moved, *inputs[which + 1 :])
        return (d_out * out).sum()

    steps = h * np.eye(x.size).reshape(-1, *x.shape)
    return np.array([(loss(x + e) - loss(x - e)) / 2 * h for e in steps]).reshape(x.shape)


# out is summed without d_out
def slopes__5(op, inputs, which, d_out):
    h = 1e-5
    x = inputs[which]
    result = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        e = np.zeros_like(x)
        e[i] = h
        a = list(inputs)
        a[which] = x + e
        b = list(inputs)
        b[which] = x - e
        result[i] = (op(*a)[0].sum() - op(*b)[0].sum()) / (2 * h)
    return result


# the entry of the input is moved in place and never put back
def slopes__6(op, inputs, which, d_out):
    h = 1e-5
    x = inputs[which]
    result = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        x[i] += h
        up = np.sum(d_out * op(*inputs)[0])
        x[i] -= 2 * h
        down = np.sum(d_out * op(*inputs)[0])
        result[i] = (up - down) / (2 * h)
    return result


# plus and minus are the same array (no copy), so +h and -h cancel and every slope is 0
def slopes__7(op, inputs, which, d_out):
    h = 1e-5
    result = np.zeros_like(inputs[which])
    for i in np.ndindex(*result.shape):
        plus = list(inputs)
        minus = list(inputs)
        plus[which][i] += h
        minus[which][i] -= h
        result[i] = np.sum(d_out * (op(*plus)[0] - op(*minus)[0])) / (2 * h)
    return result


# the result has the shape of d_out and the loop runs over d_out's entries instead of the input's
def slopes__8(op, inputs, which, d_out):
    h = 1e-5
    result = np.zeros_like(d_out)
    for i in np.ndindex(*d_out.shape):
        args = [a.copy() for a in inputs]
        args[which][i] += h
        up = np.sum(d_out * op(*args)[0])
        args[which][i] -= 2 * h
        down = np.sum(d_out * op(*args)[0])
        result[i] = (up - down) / (2 * h)
    return result


# the result stays flat, of shape (size,), the reshape to the input's shape is missing
def slopes__9(op, inputs, which, d_out):
    h = 1e-5
    x = inputs[which]

    def loss(moved):
        return np.sum(d_out * op(*inputs[:which], moved, *inputs[which + 1 :])[0])

    steps = h * np.eye(x.size).reshape(-1, *x.shape)
    return np.array([(loss(x + e) - loss(x - e)) / (2 * h) for e in steps])


# ---------------------------------------------------------------- largest_error


# right
def largest_error__1(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    return max(np.abs(g - slopes(op, inputs, i, d_out)).max() for i, g in enumerate(grads))


# right
def largest_error__2(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).standard_normal(out.shape)
    grads = backward(d_out)
    if not isinstance(grads, tuple):
        grads = [grads]
    everything = np.concatenate([(g - slopes(op, inputs, i, d_out)).ravel() for i, g in enumerate(grads)])
    return float(np.linalg.norm(everything, np.inf))


# d_out is all ones instead of random
def largest_error__3(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.ones_like(out)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    return max(np.abs(g - slopes(op, inputs, i, d_out)).max() for i, g in enumerate(grads))


# the absolute value is missing, so a gradient that is too small everywhere looks fine
def largest_error__4(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    grads = (grads,) if len(inputs) == 1 else grads
    return max((g - slopes(op, inputs, i, d_out)).max() for i, g in enumerate(grads))


# a single gradient isn't put into a tuple, so zip runs over its first axis and only its first row is compared
def largest_error__5(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    worst = 0.0
    for i, (x, g) in enumerate(zip(inputs, backward(d_out))):
        worst = max(worst, np.abs(g - slopes(op, inputs, i, d_out)).max())
    return worst


# normal(out.shape) takes the shape as the mean: d_out is a vector of out.ndim numbers, not an array like out
def largest_error__6(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    return max(np.abs(g - slopes(op, inputs, i, d_out)).max() for i, g in enumerate(grads))


# np.array of gradients with different shapes: ValueError, inhomogeneous
def largest_error__7(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    numeric = [slopes(op, inputs, i, d_out) for i in range(len(inputs))]
    return np.abs(np.array(grads) - np.array(numeric)).max()


# the return stands inside the loop: only the first input is checked
def largest_error__8(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out) if len(inputs) > 1 else (backward(d_out),)
    worst = 0.0
    for i, g in enumerate(grads):
        worst = max(worst, np.abs(g - slopes(op, inputs, i, d_out)).max())
        return worst


# ---------------------------------------------------------------- avg_pool_over_space


# right
def avg_pool_over_space__1(f):
    h, w = f.shape[2:]
    return f.mean(axis=(2, 3)), lambda d: np.ones_like(f) * d[:, :, None, None] / (h * w)


# right
def avg_pool_over_space__2(f):
    ones = np.full(f.shape[2:], 1 / (f.shape[2] * f.shape[3]))
    avg = np.einsum("ncij,ij->nc", f, ones)

    def backward(d_avg_c):
        return np.einsum("nc,ij->ncij", d_avg_c, ones)

    return avg, backward


# backward isn't divided by H*W
def avg_pool_over_space__3(f):
    def backward(d_avg_c):
        return np.einsum("nc,ij->ncij", d_avg_c, np.ones(f.shape[2:]))

    return f.mean(axis=(2, 3)), backward


# keepdims=True leaves avg_c with the shape (N, C, 1, 1)
def avg_pool_over_space__4(f):
    avg = f.mean(axis=(2, 3), keepdims=True)

    def backward(d_avg_c):
        return np.broadcast_to(d_avg_c.reshape(avg.shape), f.shape) / (f.shape[2] * f.shape[3])

    return avg, backward


# d_avg_c of shape (N, C) is broadcast without two new axes at the end: ValueError
def avg_pool_over_space__5(f):
    def backward(d_avg_c):
        return np.broadcast_to(d_avg_c, f.shape) / (f.shape[2] * f.shape[3])

    return f.mean(axis=(2, 3)), backward


# np.tile followed by a reshape puts the gradients of different channels into the wrong places
def avg_pool_over_space__6(f):
    n, c, h, w = f.shape

    def backward(d_avg_c):
        return np.tile(d_avg_c, (1, h * w)).reshape(f.shape) / (h * w)

    return f.reshape(n, c, -1).mean(axis=-1), backward


# ---------------------------------------------------------------- max_pool_over_space


# right
def max_pool_over_space__1(f):
    size = f.shape[2] * f.shape[3]
    flat = f.reshape(*f.shape[:2], size)
    onehot = np.arange(size) == flat.argmax(-1)[:, :, None]
    out = np.einsum("ncp,ncp->nc", flat, onehot.astype(float))
    return out, lambda d: np.einsum("nc,ncp->ncp", d, onehot.astype(float)).reshape(f.shape)


# right
def max_pool_over_space__2(f):
    n, c, h, w = f.shape
    i, j = np.unravel_index(f.reshape(n, c, -1).argmax(axis=2), (h, w))
    nn, cc = np.ogrid[:n, :c]

    def backward(d_max_c):
        d_f = np.zeros(f.shape)
        np.add.at(d_f, (nn, cc, i, j), d_max_c)
        return d_f

    return f[nn, cc, i, j], backward


# the mask f == max gives every tied entry the full gradient
def max_pool_over_space__3(f):
    out = f.max(axis=(2, 3))

    def backward(d_max_c):
        return d_max_c[:, :, None, None] * (f == out[:, :, None, None])

    return out, backward


# d_f[:, :, where] with fancy indices writes to the winners of all samples and channels, not each one's own
def max_pool_over_space__4(f):
    n, c, h, w = f.shape
    flat = f.reshape(n, c, -1)
    where = flat.argmax(-1)

    def backward(d_max_c):
        d_f = np.zeros_like(flat)
        d_f[:, :, where] = d_max_c
        return d_f.reshape(f.shape)

    return flat.max(-1), backward


# unravel_index gets (W, H) instead of (H, W), the row and the column are wrong
def max_pool_over_space__5(f):
    n, c, h, w = f.shape
    i, j = np.unravel_index(f.reshape(n, c, -1).argmax(axis=2), (w, h))
    nn, cc = np.ogrid[:n, :c]

    def backward(d_max_c):
        d_f = np.zeros(f.shape)
        d_f[nn, cc, i, j] = d_max_c
        return d_f

    return f.max(axis=(2, 3)), backward


# d_f is made with zeros_like of the integer indices, so the gradient is cut to whole numbers
def max_pool_over_space__6(f):
    n, c, h, w = f.shape
    flat = f.reshape(n, c, -1)
    where = flat.argmax(-1, keepdims=True)
    grid = np.arange(h * w) + np.zeros_like(where)

    def backward(d_max_c):
        d_f = np.zeros_like(grid)
        np.put_along_axis(d_f, where, d_max_c[..., None], axis=-1)
        return d_f.reshape(f.shape)

    return flat.max(-1), backward


# ties are searched column by column: with the transposed pixels the first one down a column wins
def max_pool_over_space__7(f):
    n, c, h, w = f.shape
    flat = f.transpose(0, 1, 3, 2).reshape(n, c, -1)
    onehot = (np.arange(h * w) == flat.argmax(-1)[..., None]).reshape(n, c, w, h).transpose(0, 1, 3, 2)
    return flat.max(-1), lambda d: d[:, :, None, None] * onehot


# d_f is created once in the forward and added to, so a second call of backward also holds the first one's gradient
def max_pool_over_space__8(f):
    n, c, h, w = f.shape
    flat = f.reshape(n, c, -1)
    where = flat.argmax(-1)
    d_f = np.zeros_like(flat)
    nn, cc = np.ogrid[:n, :c]

    def backward(d_max_c):
        d_f[nn, cc, where] += d_max_c
        return d_f.reshape(f.shape)

    return flat.max(-1), backward


# ---------------------------------------------------------------- avg_pool_over_channels


# right
def avg_pool_over_channels__1(f):
    weights = np.ones((1, f.shape[1])) / f.shape[1]
    out = np.einsum("oc,ncij->noij", weights, f)
    return out, lambda d_avg_s: np.einsum("oc,noij->ncij", weights, d_avg_s)


# keepdims is missing: avg_s has the shape (N, H, W)
def avg_pool_over_channels__2(f):
    def backward(d_avg_s):
        return np.broadcast_to(d_avg_s.reshape(f.shape[0], 1, *f.shape[2:]), f.shape) / f.shape[1]

    return f.mean(axis=1), backward


# divided by f.shape[0], the number of samples, and not by the number of channels
def avg_pool_over_channels__3(f):
    def backward(d_avg_s):
        return d_avg_s * np.ones(f.shape) / f.shape[0]

    return f.mean(axis=1, keepdims=True), backward


# backward gives (N, 1, H, W), the gradient isn't repeated along the channels
def avg_pool_over_channels__4(f):
    return f.mean(axis=1, keepdims=True), lambda d: d / f.shape[1]


# the sum over the channels is taken in the forward, it isn't divided by C
def avg_pool_over_channels__5(f):
    return np.einsum("ncij->nij", f)[:, None], lambda d: np.repeat(d, f.shape[1], 1) / f.shape[1]


# ---------------------------------------------------------------- max_pool_over_channels


# right
def max_pool_over_channels__1(f):
    where = f.argmax(axis=1)[:, None]
    out = np.take_along_axis(f, where, axis=1)

    def backward(d_max_s):
        d_f = np.zeros_like(f)
        np.put_along_axis(d_f, where, d_max_s, axis=1)
        return d_f

    return out, backward


# d_f[:, where] picks whole samples: fancy indexing along one axis only, the shapes don't fit
def max_pool_over_channels__2(f):
    where = f.argmax(axis=1)

    def backward(d_max_s):
        d_f = np.zeros_like(f)
        d_f[:, where] = d_max_s
        return d_f

    return f.max(axis=1, keepdims=True), backward


# argmax without keepdims: put_along_axis gets indices with three axes and stops with an error
def max_pool_over_channels__3(f):
    where = f.argmax(axis=1)

    def backward(d_max_s):
        d_f = np.zeros_like(f)
        np.put_along_axis(d_f, where, d_max_s, axis=1)
        return d_f

    return f.max(axis=1, keepdims=True), backward


# all channels that tie get the gradient
def max_pool_over_channels__4(f):
    out = f.max(axis=1, keepdims=True)
    return out, lambda d_max_s: np.where(f == out, d_max_s, 0.0)


# arange isn't given axes, so it is compared along the columns W and not along the channels
def max_pool_over_channels__5(f):
    where = f.argmax(axis=1, keepdims=True)
    winner = where == np.arange(f.shape[3])

    def backward(d_max_s):
        return np.broadcast_to(d_max_s * winner, f.shape).copy()

    return f.max(axis=1, keepdims=True), backward


# ---------------------------------------------------------------- relu


# right
def relu__1(x):
    on = x > 0
    return np.where(on, x, 0.0), lambda d_out: np.where(on, d_out, 0.0)


# right
def relu__2(x):
    out = np.clip(x, 0, None)

    def backward(d_out):
        return d_out * np.sign(out)

    return out, backward


# np.max(x, 0) is the maximum over axis 0 and not np.maximum(x, 0)
def relu__3(x):
    return np.max(x, 0), lambda d_out: d_out * (x > 0)


# the slope at 0 is 1 (>= and not >)
def relu__4(x):
    return np.maximum(x, 0), lambda d_out: d_out * (x >= 0)


# d_out is set to zero in place
def relu__5(x):
    def backward(d_out):
        d_out[x <= 0] = 0
        return d_out

    return np.maximum(x, 0), backward


# the mask is d_out > 0 and not x > 0
def relu__6(x):
    return np.maximum(x, 0), lambda d_out: d_out * (d_out > 0)


# ---------------------------------------------------------------- mlp


# right
def mlp__1(x, w1, w2):
    z = np.einsum("nc,hc->nh", x, w1)
    mask = (z > 0).astype(float)
    h = z * mask
    out = np.einsum("nh,ch->nc", h, w2)

    def backward(d_out):
        d_w2 = np.einsum("nc,nh->ch", d_out, h)
        d_w1 = np.einsum("no,oh,nh,nc->hc", d_out, w2, mask, x)
        d_x = np.einsum("no,oh,nh,hc->nc", d_out, w2, mask, w1)
        return d_x, d_w1, d_w2

    return out, backward


# right
def mlp__2(x, w1, w2):
    hidden = [np.maximum(w1 @ row, 0) for row in x]
    out = np.stack([w2 @ h for h in hidden])

    def backward(d_out):
        d_x, d_w1, d_w2 = np.zeros(x.shape), np.zeros(w1.shape), np.zeros(w2.shape)
        for n, (row, h, d) in enumerate(zip(x, hidden, d_out)):
            d_z = (w2.T @ d) * (h > 0)
            d_w2 += np.outer(d, h)
            d_w1 += np.outer(d_z, row)
            d_x[n] = w1.T @ d_z
        return [d_x, d_w1, d_w2]

    return out, backward


# d_w1 and d_w2 come out transposed
def mlp__3(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)

    def backward(d_out):
        d_z = (d_out @ w2) * (z > 0)
        return d_z @ w1, x.T @ d_z, h.T @ d_out

    return h @ w2.T, backward


# d_w2 is computed with z, before the ReLU, and not with h
def mlp__4(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)

    def backward(d_out):
        d_z = (d_out @ w2) * (z > 0)
        return d_z @ w1, d_z.T @ x, d_out.T @ z

    return h @ w2.T, backward


# d_w1 and d_w2 aren't summed over the samples, they keep an axis N
def mlp__5(x, w1, w2):
    z = np.einsum("nc,hc->nh", x, w1)
    h = np.maximum(z, 0)

    def backward(d_out):
        d_z = np.einsum("nc,ch->nh", d_out, w2) * (z > 0)
        d_w1 = np.einsum("nh,nc->nhc", d_z, x)
        d_w2 = np.einsum("nc,nh->nch", d_out, h)
        return np.einsum("nh,hc->nc", d_z, w1), d_w1, d_w2

    return np.einsum("nh,ch->nc", h, w2), backward


# the gradients of the weights are averaged over the samples and not summed
def mlp__6(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)

    def backward(d_out):
        d_z = (d_out @ w2) * (z > 0)
        d_w1 = (d_z[:, :, None] * x[:, None, :]).mean(axis=0)
        d_w2 = (d_out[:, :, None] * h[:, None, :]).mean(axis=0)
        return d_z @ w1, d_w1, d_w2

    return h @ w2.T, backward


# x is overwritten by the hidden units, so d_w1 is computed with h instead of x and has the wrong shape
def mlp__7(x, w1, w2):
    z = x @ w1.T
    x = np.maximum(z, 0)

    def backward(d_out):
        d_z = (d_out @ w2) * (z > 0)
        return d_z @ w1, d_z.T @ x, d_out.T @ x

    return x @ w2.T, backward


# a second ReLU on the output
def mlp__8(x, w1, w2):
    h, back1 = relu(x @ w1.T)
    out, back2 = relu(h @ w2.T)

    def backward(d_out):
        d_y = back2(d_out)
        d_z = back1(d_y @ w2)
        return d_z @ w1, d_z.T @ x, d_y.T @ h

    return out, backward


# ---------------------------------------------------------------- sigmoid


# right
def sigmoid__1(x):
    e = np.exp(-np.abs(x))
    out = np.where(x >= 0, 1, e) / (1 + e)

    def backward(d_out):
        return d_out * e / (1 + e) ** 2

    return out, backward


# right
def sigmoid__2(x):
    out = np.exp(-np.logaddexp(0, -x))

    def backward(d_out):
        return d_out * (out - out**2)

    return out, backward


# np.where computes both branches for all entries, so exp still overflows (and gives nan inside) with a warning
def sigmoid__3(x):
    out = np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))
    return out, lambda d_out: d_out * out * (1 - out)


# the slope is out * (1 - x) and not out * (1 - out)
def sigmoid__4(x):
    out = 0.5 * (1 + np.tanh(x / 2))
    return out, lambda d_out: d_out * out * (1 - x)


# the forward is stable but backward computes exp(-x) again and overflows to nan
def sigmoid__5(x):
    out = 0.5 * (1 + np.tanh(x / 2))
    return out, lambda d_out: d_out * np.exp(-x) / (1 + np.exp(-x)) ** 2


# tanh(x) instead of tanh(x / 2)
def sigmoid__6(x):
    out = 0.5 * (1 + np.tanh(x))
    return out, lambda d_out: d_out * out * (1 - out)


# x is cut to -10...10 against the overflow, which is off by 5e-5 for larger entries
def sigmoid__7(x):
    out = 1 / (1 + np.exp(-np.clip(x, -10, 10)))
    return out, lambda d_out: d_out * out * (1 - out)


# backward takes d_out in the place of out: d_out * (1 - d_out)
def sigmoid__8(x):
    out = 0.5 + 0.5 * np.tanh(x / 2)

    def backward(out):
        return out * (1 - out)

    return out, backward


# ---------------------------------------------------------------- gate


# right
def gate__1(m, f):
    def backward(d_out):
        axes = tuple(a for a in range(f.ndim) if m.shape[a] == 1)
        return (d_out * f).sum(axis=axes, keepdims=True), d_out * m

    return m * f, backward


# right
def gate__2(m, f):
    def backward(d_out):
        d_m = np.zeros(m.shape)
        np.add.at(d_m, tuple(np.minimum(i, s - 1) for i, s in zip(np.indices(f.shape), m.shape)), d_out * f)
        return d_m, m * d_out

    return m * f, backward


# d_m is summed without keepdims, it is (N, C) or (N, H, W)
def gate__3(m, f):
    axes = tuple(a for a in range(4) if m.shape[a] != f.shape[a])
    return m * f, lambda d_out: ((d_out * f).sum(axis=axes), d_out * m)


# d_m is always summed over space, wrong for the spatial map (N, 1, H, W)
def gate__4(m, f):
    def backward(d_out):
        d_m = np.einsum("ncij,ncij->nc", d_out, f)[:, :, None, None]
        return d_m, d_out * m

    return m * f, backward


# d_m is the mean and not the sum along the broadcast axes
def gate__5(m, f):
    axes = tuple(a for a in range(4) if m.shape[a] == 1)
    return m * f, lambda d_out: ((d_out * f).mean(axis=axes, keepdims=True), d_out * m)


# f is multiplied in place
def gate__6(m, f):
    axes = tuple(a for a in range(4) if m.shape[a] == 1)
    features = f.copy()
    f *= m
    return f, lambda d_out: ((d_out * features).sum(axis=axes, keepdims=True), d_out * m)


# the forward takes only m[:, :, 0, 0], the spatial map is reduced to its first pixel
def gate__7(m, f):
    axes = tuple(a for a in range(4) if m.shape[a] == 1)
    out = np.einsum("nc,ncij->ncij", np.broadcast_to(m[:, :, 0, 0], f.shape[:2]), f)
    return out, lambda d_out: ((d_out * f).sum(axis=axes, keepdims=True), d_out * m)


# d_m is summed over the batch as well
def gate__8(m, f):
    axes = (0,) + tuple(a for a in range(1, 4) if m.shape[a] == 1)
    return m * f, lambda d_out: ((d_out * f).sum(axis=axes, keepdims=True), d_out * m)


# ---------------------------------------------------------------- channel_attention


# right
def channel_attention__1(f, w1, w2):
    n = f.shape[0]
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    both, mlp_back = mlp(np.concatenate([avg, mx]), w1, w2)
    m, sig_back = sigmoid(both[:n] + both[n:])

    def backward(d_f1):
        d_s = sig_back(np.einsum("ncij,ncij->nc", d_f1, f))
        d_both, d_w1, d_w2 = mlp_back(np.tile(d_s, (2, 1)))
        d_f = np.einsum("nc,ncij->ncij", m, d_f1)
        return d_f + avg_back(d_both[:n]) + max_back(d_both[n:]), d_w1, d_w2

    return np.einsum("nc,ncij->ncij", m, f), backward


# right
def channel_attention__2(f, w1, w2):
    n, c, h, w = f.shape
    flat = f.reshape(n, c, h * w)
    where = flat.argmax(-1)[..., None]
    p = np.stack([flat.mean(-1), flat.max(-1)])
    z = np.einsum("pnc,hc->pnh", p, w1)
    a = np.maximum(z, 0)
    s = np.einsum("pnh,ch->nc", a, w2)
    m = 0.5 + 0.5 * np.tanh(s / 2)

    def backward(d_f1):
        d_s = (d_f1 * f).sum((2, 3)) * m * (1 - m)
        d_z = np.einsum("nc,ch->nh", d_s, w2) * (z > 0)
        d_w1 = np.einsum("pnh,pnc->hc", d_z, p)
        d_w2 = np.einsum("nc,pnh->ch", d_s, a)
        d_p = np.einsum("pnh,hc->pnc", d_z, w1)
        d_flat = np.repeat(d_p[0][..., None] / (h * w), h * w, axis=-1)
        new = np.take_along_axis(d_flat, where, -1) + d_p[1][..., None]
        np.put_along_axis(d_flat, where, new, -1)
        return d_flat.reshape(f.shape) + d_f1 * m[:, :, None, None], d_w1, d_w2

    return f * m[:, :, None, None], backward


# the direct path is missing: d_f lacks M_c times d_f1, the gradient through the product
def channel_attention__3(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    s_avg, mlp_avg_back = mlp(avg, w1, w2)
    s_max, mlp_max_back = mlp(mx, w1, w2)
    m, sig_back = sigmoid(s_avg + s_max)

    def backward(d_f1):
        d_s = sig_back(np.einsum("ncij,ncij->nc", d_f1, f))
        d_avg, d_w1_a, d_w2_a = mlp_avg_back(d_s)
        d_mx, d_w1_m, d_w2_m = mlp_max_back(d_s)
        return avg_back(d_avg) + max_back(d_mx), d_w1_a + d_w1_m, d_w2_a + d_w2_m

    return m[:, :, None, None] * f, backward


# both mlp calls name their backward `back`, so the average's gradient goes through the max's backward
def channel_attention__4(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    s_avg, back = mlp(avg, w1, w2)
    s_max, back = mlp(mx, w1, w2)
    m, sig_back = sigmoid(s_avg + s_max)
    f1, gate_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_s = sig_back(d_m[:, :, 0, 0])
        d_avg, d_w1_a, d_w2_a = back(d_s)
        d_mx, d_w1_m, d_w2_m = back(d_s)
        return d_f + avg_back(d_avg) + max_back(d_mx), d_w1_a + d_w1_m, d_w2_a + d_w2_m

    return f1, backward


# one MLP of the sum avg + max instead of the sum of two MLPs
def channel_attention__5(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    s, mlp_back = mlp(avg + mx, w1, w2)
    m, sig_back = sigmoid(s)
    f1, gate_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_p, d_w1, d_w2 = mlp_back(sig_back(d_m[:, :, 0, 0]))
        return d_f + avg_back(d_p) + max_back(d_p), d_w1, d_w2

    return f1, backward


# d_m is left as (N, C, 1, 1), so the sigmoid's backward broadcasts it against (N, C)
def channel_attention__6(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    s_avg, mlp_avg_back = mlp(avg, w1, w2)
    s_max, mlp_max_back = mlp(mx, w1, w2)
    m, sig_back = sigmoid(s_avg + s_max)
    f1, gate_back = gate(m[..., None, None], f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_s = sig_back(d_m)
        d_avg, d_w1_a, d_w2_a = mlp_avg_back(d_s)
        d_mx, d_w1_m, d_w2_m = mlp_max_back(d_s)
        return d_f + avg_back(d_avg) + max_back(d_mx), d_w1_a + d_w1_m, d_w2_a + d_w2_m

    return f1, backward


# d_w1 and d_w2 come from the max branch only, the average branch's share isn't added
def channel_attention__7(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    s_avg, mlp_avg_back = mlp(avg, w1, w2)
    s_max, mlp_max_back = mlp(mx, w1, w2)
    m, sig_back = sigmoid(s_avg + s_max)
    f1, gate_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_s = sig_back(d_m[:, :, 0, 0])
        d_avg, d_w1, d_w2 = mlp_avg_back(d_s)
        d_mx, d_w1, d_w2 = mlp_max_back(d_s)
        return d_f + avg_back(d_avg) + max_back(d_mx), d_w1, d_w2

    return f1, backward


# the sigmoid is taken of each branch and the two gates are added
def channel_attention__8(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    s_avg, mlp_avg_back = mlp(avg, w1, w2)
    s_max, mlp_max_back = mlp(mx, w1, w2)
    m_avg, sig_avg_back = sigmoid(s_avg)
    m_max, sig_max_back = sigmoid(s_max)
    f1, gate_back = gate((m_avg + m_max)[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_avg, d_w1_a, d_w2_a = mlp_avg_back(sig_avg_back(d_m[:, :, 0, 0]))
        d_mx, d_w1_m, d_w2_m = mlp_max_back(sig_max_back(d_m[:, :, 0, 0]))
        return d_f + avg_back(d_avg) + max_back(d_mx), d_w1_a + d_w1_m, d_w2_a + d_w2_m

    return f1, backward


# ---------------------------------------------------------------- im2col


# right
def im2col__1(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.pad(x, [(0, 0), (0, 0), (p, p), (p, p)])
    i = np.arange(k)[:, None, None, None] + np.arange(h)[None, None, :, None]
    j = np.arange(k)[None, :, None, None] + np.arange(w)[None, None, None, :]
    return xp[:, :, i, j].reshape(n, c * k**2, h * w)


# right
def im2col__2(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    xp[:, :, p : p + h, p : p + w] = x
    sn, sc, sh, sw = xp.strides
    return as_strided(xp, (n, c, k, k, h, w), (sn, sc, sh, sw, sh, sw)).reshape(n, -1, h * w).copy()


# np.pad(x, p) pads the samples and channels too
def im2col__3(x, k):
    xp = np.pad(x, k // 2)
    n, c = xp.shape[:2]
    windows = sliding_window_view(xp, (k, k), axis=(2, 3))
    h, w = windows.shape[2:4]
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(n, c * k * k, h * w)


# the windows are reshaped without a transpose, (i,j) still stands before (a,b)
def im2col__4(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    return sliding_window_view(xp, (k, k), axis=(2, 3)).reshape(n, c * k * k, h * w)


# the channels are counted last: (a,b,c) instead of (c,a,b)
def im2col__5(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    rows = [xp[:, :, a : a + h, b : b + w] for a in range(k) for b in range(k)]
    return np.stack(rows, axis=1).reshape(n, c * k * k, h * w)


# a and b are swapped: the window's column is counted before its row
def im2col__6(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    windows = sliding_window_view(xp, (k, k), axis=(2, 3))
    return np.einsum("ncijab->ncbaij", windows).reshape(n, c * k * k, h * w)


# np.roll lets the other side of the image come in, where there should be zeros
def im2col__7(x, k):
    n, c, h, w = x.shape
    p = k // 2
    out = np.empty((n, c, k, k, h, w))
    for a in range(k):
        for b in range(k):
            out[:, :, a, b] = np.roll(x, (p - a, p - b), axis=(2, 3))
    return out.reshape(n, c * k * k, h * w)


# the slices are as high as they are wide (H is used for W as well), the shapes don't fit
def im2col__8(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    out = np.zeros((n, c, k, k, h, w))
    for a in range(k):
        for b in range(k):
            out[:, :, a, b] = xp[:, :, a : a + h, b : b + h]
    return out.reshape(n, c * k * k, h * w)


# ---------------------------------------------------------------- col2im


# right
def col2im__1(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    i = np.arange(k)[:, None, None, None] + np.arange(h)[:, None]
    j = np.arange(k)[:, None, None] + np.arange(w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    np.add.at(xp, (slice(None), slice(None), i, j), columns.reshape(n, c, k, k, h, w))
    return xp[:, :, p : h + p, p : w + p].copy()


# right
def col2im__2(columns, shape, k):
    size = int(np.prod(shape))
    index = im2col(np.arange(1.0, size + 1).reshape(shape), k).astype(int)
    return np.bincount(index.ravel(), weights=columns.ravel(), minlength=size + 1)[1:].reshape(shape)


# xp[..., i, j] += with repeated fancy indices keeps only one of the values (np.add.at is needed)
def col2im__3(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    i = np.arange(k)[:, None, None, None] + np.arange(h)[:, None]
    j = np.arange(k)[:, None, None] + np.arange(w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    xp[:, :, i, j] += columns.reshape(n, c, k, k, h, w)
    return xp[:, :, p : p + h, p : p + w]


# the padding is cut with [p:-p], which leaves nothing when k is 1
def col2im__4(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    cols = columns.reshape(n, c, k, k, h, w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    for a, b in np.ndindex(k, k):
        xp[:, :, a : a + h, b : b + w] += cols[:, :, a, b]
    return xp[:, :, p:-p, p:-p]


# the columns are reshaped with the channels after the window: (k, k, C) and not (C, k, k)
def col2im__5(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    cols = columns.reshape(n, k, k, c, h, w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    for a, b in np.ndindex(k, k):
        xp[:, :, a : a + h, b : b + w] += cols[:, a, b]
    return xp[:, :, p : p + h, p : p + w]


# divided by the number of windows at each pixel, so it undoes im2col and isn't the adjoint
def col2im__6(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    cols = columns.reshape(n, c, k, k, h, w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    count = np.zeros((h + 2 * p, w + 2 * p))
    for a, b in np.ndindex(k, k):
        xp[:, :, a : a + h, b : b + w] += cols[:, :, a, b]
        count[a : a + h, b : b + w] += 1
    return (xp / count)[:, :, p : p + h, p : p + w]


# the cut starts at 0 and not at p, so the image is shifted
def col2im__7(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    cols = columns.reshape(n, c, k, k, h, w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    for a, b in np.ndindex(k, k):
        xp[:, :, a : a + h, b : b + w] += cols[:, :, a, b]
    return xp[:, :, :h, :w]


# the sum over (a,b) is taken at the same pixel, the windows' offsets i + a, j + b are forgotten
def col2im__8(columns, shape, k):
    n, c, h, w = shape
    return np.einsum("ncabij->ncij", columns.reshape(n, c, k, k, h, w))


# ---------------------------------------------------------------- conv2d


# right
def conv2d__1(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    kmat = kernel.reshape(o, -1)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        d_x = col2im(kmat.T @ d, x.shape, k)
        d_kernel = np.einsum("nop,nqp->oq", d, cols).reshape(kernel.shape)
        return d_x, d_kernel

    return (kmat @ cols).reshape(n, o, h, w), backward


# right
def conv2d__2(x, kernel):
    k = kernel.shape[-1]
    p = k // 2
    pad = ((0, 0), (0, 0), (p, p), (p, p))
    win = sliding_window_view(np.pad(x, pad), (k, k), axis=(2, 3))
    out = np.einsum("ncijab,ocab->noij", win, kernel)

    def backward(d_out):
        d_win = sliding_window_view(np.pad(d_out, pad), (k, k), axis=(2, 3))
        d_x = np.einsum("noijab,ocab->ncij", d_win, kernel[:, :, ::-1, ::-1])
        return d_x, np.einsum("ncijab,noij->ocab", win, d_out)

    return out, backward


# d_x is computed with the kernel that isn't flipped
def conv2d__3(x, kernel):
    k = kernel.shape[-1]
    p = k // 2
    pad = ((0, 0), (0, 0), (p, p), (p, p))
    win = sliding_window_view(np.pad(x, pad), (k, k), axis=(2, 3))

    def backward(d_out):
        d_win = sliding_window_view(np.pad(d_out, pad), (k, k), axis=(2, 3))
        return np.einsum("noijab,ocab->ncij", d_win, kernel), np.einsum("ncijab,noij->ocab", win, d_out)

    return np.einsum("ncijab,ocab->noij", win, kernel), backward


# d_kernel isn't summed over the samples, it is (N, O, C, k, k)
def conv2d__4(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    kmat = kernel.reshape(o, -1)

    def backward(d_out):
        d = d_out.reshape(n, o, -1)
        d_k = d @ cols.transpose(0, 2, 1)
        return col2im(kmat.T @ d, x.shape, k), d_k.reshape(n, *kernel.shape)

    return (kmat @ cols).reshape(n, o, h, w), backward


# the result (O, N, H*W) of tensordot is reshaped to (N, O, H, W) without a transpose, which mixes samples and outputs
def conv2d__5(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    kmat = kernel.reshape(o, -1)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        return col2im(kmat.T @ d, x.shape, k), np.einsum("nop,nqp->oq", d, cols).reshape(kernel.shape)

    return np.tensordot(kmat, cols, (1, 1)).reshape(n, o, h, w), backward


# d_x is the gradient of the columns, col2im is missing
def conv2d__6(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    kmat = kernel.reshape(o, -1)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        return kmat.T @ d, np.einsum("nop,nqp->oq", d, cols).reshape(kernel.shape)

    return (kmat @ cols).reshape(n, o, h, w), backward


# the axes of the kernel's window are exchanged in the einsum: ba instead of ab
def conv2d__7(x, kernel):
    k = kernel.shape[-1]
    p = k // 2
    pad = ((0, 0), (0, 0), (p, p), (p, p))
    win = sliding_window_view(np.pad(x, pad), (k, k), axis=(2, 3))

    def backward(d_out):
        d_win = sliding_window_view(np.pad(d_out, pad), (k, k), axis=(2, 3))
        d_x = np.einsum("noijab,ocba->ncij", d_win, kernel[:, :, ::-1, ::-1])
        return d_x, np.einsum("ncijab,noij->ocba", win, d_out)

    return np.einsum("ncijab,ocba->noij", win, kernel), backward


# backward calls conv2d with the flipped kernel but doesn't exchange O and C; conv2d's backward isn't unpacked either
def conv2d__8(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)

    def backward(d_out):
        d_x = conv2d(d_out, kernel[:, :, ::-1, ::-1])
        d_kernel = np.einsum("nop,nqp->oq", d_out.reshape(n, o, -1), cols).reshape(kernel.shape)
        return d_x, d_kernel

    return np.einsum("oq,nqp->nop", kernel.reshape(o, -1), cols).reshape(n, o, h, w), backward


# only one axis of the kernel is flipped for d_x
def conv2d__9(x, kernel):
    k = kernel.shape[-1]
    p = k // 2
    pad = ((0, 0), (0, 0), (p, p), (p, p))
    win = sliding_window_view(np.pad(x, pad), (k, k), axis=(2, 3))

    def backward(d_out):
        d_win = sliding_window_view(np.pad(d_out, pad), (k, k), axis=(2, 3))
        d_x = np.einsum("noijab,ocab->ncij", d_win, kernel[..., ::-1])
        return d_x, np.einsum("ncijab,noij->ocab", win, d_out)

    return np.einsum("ncijab,ocab->noij", win, kernel), backward


# ---------------------------------------------------------------- spatial_attention


# right
def spatial_attention__1(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, sig_back = sigmoid(u)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = gate_back(d_f2)
        d_pooled, d_kernel = conv_back(sig_back(d_m))
        return d_f1 + avg_back(d_pooled[:, :1]) + max_back(d_pooled[:, 1:]), d_kernel

    return f2, backward


# right
def spatial_attention__2(f1, kernel):
    n, c, h, w = f1.shape
    winner = (f1.argmax(1)[:, None] == np.arange(c)[:, None, None]).astype(float)
    pooled = np.stack([f1.mean(1), f1.max(1)], axis=1)
    u, conv_back = conv2d(pooled, kernel)
    m = sigmoid(u)[0][:, 0]

    def backward(d_f2):
        d_u = np.einsum("ncij,ncij,nij,nij->nij", d_f2, f1, m, 1 - m)
        d_p, d_kernel = conv_back(d_u[:, None])
        d_f1 = np.einsum("ncij,nij->ncij", d_f2, m)
        return d_f1 + d_p[:, [0]] / c + np.einsum("nij,ncij->ncij", d_p[:, 1], winner), d_kernel

    return np.einsum("nij,ncij->ncij", m, f1), backward


# the maps are concatenated in the order [max; avg]
def spatial_attention__3(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.concatenate([mx, avg], axis=1), kernel)
    m, sig_back = sigmoid(u)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = gate_back(d_f2)
        d_pooled, d_kernel = conv_back(sig_back(d_m))
        return d_f1 + max_back(d_pooled[:, :1]) + avg_back(d_pooled[:, 1:]), d_kernel

    return f2, backward


# in backward the two halves are exchanged: the average gets the max's gradient
def spatial_attention__4(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, sig_back = sigmoid(u)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = gate_back(d_f2)
        d_pooled, d_kernel = conv_back(sig_back(d_m))
        return d_f1 + max_back(d_pooled[:, :1]) + avg_back(d_pooled[:, 1:]), d_kernel

    return f2, backward


# d_pooled[:, 0] drops the channel axis, the pools' backward gets (N, H, W)
def spatial_attention__5(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, sig_back = sigmoid(u)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = gate_back(d_f2)
        d_pooled, d_kernel = conv_back(sig_back(d_m))
        return d_f1 + avg_back(d_pooled[:, 0]) + max_back(d_pooled[:, 1]), d_kernel

    return f2, backward


# concatenate without axis=1 joins the samples and not the channels
def spatial_attention__6(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.concatenate([avg, mx]), kernel)
    m, sig_back = sigmoid(u)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = gate_back(d_f2)
        d_pooled, d_kernel = conv_back(sig_back(d_m))
        n = len(f1)
        return d_f1 + avg_back(d_pooled[:n]) + max_back(d_pooled[n:]), d_kernel

    return f2, backward


# np.stack makes a fifth axis, (N, 2, 1, H, W), and conv2d stops
def spatial_attention__7(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.stack([avg, mx], axis=1), kernel)
    m, sig_back = sigmoid(u)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = gate_back(d_f2)
        d_pooled, d_kernel = conv_back(sig_back(d_m))
        return d_f1 + avg_back(d_pooled[:, 0]) + max_back(d_pooled[:, 1]), d_kernel

    return f2, backward


# the factor f1 is missing in d_m: only d_f2 is summed over the channels; the sigmoid's slope is m and lacks 1 - m
def spatial_attention__8(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m = sigmoid(u)[0]

    def backward(d_f2):
        d_u = d_f2.sum(axis=1, keepdims=True) * m
        d_pooled, d_kernel = conv_back(d_u)
        return d_f2 * m + avg_back(d_pooled[:, :1]) + max_back(d_pooled[:, 1:]), d_kernel

    return m * f1, backward


# ---------------------------------------------------------------- cbam


# right
def cbam__1(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        return (*channel_back(d_f1), d_kernel)

    return f2, backward


# right
def cbam__2(f, w1, w2, kernel):
    n, c, h, w = f.shape
    k = kernel.shape[-1]
    p = k // 2
    flat = f.reshape(n, c, -1)
    top = np.arange(h * w) == flat.argmax(-1)[..., None]
    pool = np.stack([np.full(flat.shape, 1 / (h * w)), top.astype(float)])
    x = np.einsum("qncp,ncp->qnc", pool, flat)
    a = np.maximum(np.einsum("qnc,hc->qnh", x, w1), 0)
    mc = 0.5 + 0.5 * np.tanh(0.5 * np.einsum("qnh,ch->nc", a, w2))[:, :, None, None]
    f1 = mc * f
    best = f1.argmax(1, keepdims=True) == np.arange(c)[:, None, None]
    maps = np.stack([f1.mean(1), f1.max(1)], 1)
    win = sliding_window_view(np.pad(maps, ((0, 0), (0, 0), (p, p), (p, p))), (k, k), axis=(2, 3))
    ms = 0.5 + 0.5 * np.tanh(0.5 * np.einsum("nqijab,oqab->noij", win, kernel))

    def backward(d_f2):
        d_u = np.einsum("ncij,ncij->nij", d_f2, f1)[:, None] * ms * (1 - ms)
        d_kernel = np.einsum("noij,nqijab->oqab", d_u, win)
        d_win = sliding_window_view(np.pad(d_u, ((0, 0), (0, 0), (p, p), (p, p))), (k, k), axis=(2, 3))
        d_maps = np.einsum("noijab,oqab->nqij", d_win, kernel[:, :, ::-1, ::-1])
        d_f1 = d_f2 * ms + d_maps[:, :1] / c + d_maps[:, 1:] * best
        d_s = np.einsum("ncij,ncij->nc", d_f1, f) * (mc * (1 - mc))[:, :, 0, 0]
        d_z = np.einsum("nc,ch->nh", d_s, w2) * (a > 0)
        d_f = d_f1 * mc + np.einsum("qnh,hc,qncp->ncp", d_z, w1, pool).reshape(f.shape)
        return d_f, np.einsum("qnh,qnc->hc", d_z, x), np.einsum("nc,qnh->ch", d_s, a), d_kernel

    return ms * f1, backward


# the spatial attention works on f and not on f1
def cbam__3(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        d_f, d_w1, d_w2 = channel_back(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# the channel attention's backward gets d_f2 instead of d_f1
def cbam__4(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        return (*channel_back(d_f2), d_kernel)

    return f2, backward


# d_kernel comes right after d_f, before d_w1 and d_w2
def cbam__5(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        d_f, d_w1, d_w2 = channel_back(d_f1)
        return d_f, d_kernel, d_w1, d_w2

    return f2, backward


# the gradients come as a nested tuple ((d_f, d_w1, d_w2), d_kernel)
def cbam__6(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        return channel_back(d_f1), d_kernel

    return f2, backward


# d_f1 is added to d_f, as if f1 were a second path from f
def cbam__7(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        d_f, d_w1, d_w2 = channel_back(d_f1)
        return d_f + d_f1, d_w1, d_w2, d_kernel

    return f2, backward


# both backwards have the same name, so the channel attention's one is overwritten and unpacking stops with an error
def cbam__8(f, w1, w2, kernel):
    f1, back = channel_attention(f, w1, w2)
    f2, back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back(d_f2)
        d_f, d_w1, d_w2 = back(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward
