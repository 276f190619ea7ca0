import numpy as np

# --- 1 slopes ---


# right
def slopes__1(op, inputs, which, d_out):
    x = inputs[which]
    h = 1e-5
    g = np.zeros(x.shape)
    for i in np.ndindex(*x.shape):
        args = list(inputs)
        args[which] = x.copy()
        args[which][i] = x[i] + h
        up = np.sum(d_out * op(*args)[0])
        args[which] = x.copy()
        args[which][i] = x[i] - h
        down = np.sum(d_out * op(*args)[0])
        g[i] = (up - down) / (2 * h)
    return g


# right
def slopes__2(op, inputs, which, d_out):
    h = 1e-5
    base = np.array(inputs[which], dtype=float)

    def loss(x):
        out, _ = op(*inputs[:which], x, *inputs[which + 1 :])
        return np.vdot(d_out, out)

    result = []
    for j in range(base.size):
        e = np.zeros(base.size)
        e[j] = h
        e = e.reshape(base.shape)
        result.append((loss(base + e) - loss(base - e)) / 2 / h)
    return np.array(result).reshape(base.shape)


# the difference is one-sided, (L(x+h) - L(x)) / h
def slopes__3(op, inputs, which, d_out):
    h = 1e-5
    args = [a.copy() for a in inputs]
    x = args[which]
    L0 = (d_out * op(*args)[0]).sum()
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        keep = x[i]
        x[i] = keep + h
        g[i] = ((d_out * op(*args)[0]).sum() - L0) / h
        x[i] = keep
    return g


# / 2 * h multiplies by h where it should divide, as the brackets around 2h are missing
def slopes__4(op, inputs, which, d_out):
    h = 1e-5
    args = [a.copy() for a in inputs]
    x = args[which]
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        keep = x[i]
        x[i] = keep + h
        up = (d_out * op(*args)[0]).sum()
        x[i] = keep - h
        down = (d_out * op(*args)[0]).sum()
        x[i] = keep
        g[i] = (up - down) / 2 * h
    return g


# h is 1e-13, so that rounding swamps the difference
def slopes__5(op, inputs, which, d_out):
    h = 1e-13
    args = [a.copy() for a in inputs]
    x = args[which]
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        keep = x[i]
        x[i] = keep + h
        up = (d_out * op(*args)[0]).sum()
        x[i] = keep - h
        down = (d_out * op(*args)[0]).sum()
        x[i] = keep
        g[i] = (up - down) / (2 * h)
    return g


# plus and minus are the same array (no copy), so the two losses are equal and the slopes are 0
def slopes__6(op, inputs, which, d_out):
    h = 1e-5
    g = np.zeros_like(inputs[which])
    for i in np.ndindex(g.shape):
        args = list(inputs)
        plus = minus = inputs[which].copy()
        plus[i] += h
        minus[i] -= h
        args[which] = plus
        up = (d_out * op(*args)[0]).sum()
        args[which] = minus
        down = (d_out * op(*args)[0]).sum()
        g[i] = (up - down) / (2 * h)
    return g


# L is the plain sum of out, d_out is not used
def slopes__7(op, inputs, which, d_out):
    h = 1e-5
    args = [a.copy() for a in inputs]
    x = args[which]
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        keep = x[i]
        x[i] = keep + h
        up = op(*args)[0].sum()
        x[i] = keep - h
        down = op(*args)[0].sum()
        x[i] = keep
        g[i] = (up - down) / (2 * h)
    return g


# the entry is moved in the caller's array and stays at x - h afterwards
def slopes__8(op, inputs, which, d_out):
    h = 1e-5
    x = inputs[which]
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        x[i] += h
        up = (d_out * op(*inputs)[0]).sum()
        x[i] -= 2 * h
        down = (d_out * op(*inputs)[0]).sum()
        g[i] = (up - down) / (2 * h)
    return g


# flatten() makes a copy, so the array that op sees is never moved and the slopes are 0
def slopes__9(op, inputs, which, d_out):
    h = 1e-5
    args = [a.copy() for a in inputs]
    flat = args[which].flatten()
    g = np.zeros(flat.size)
    for j in range(flat.size):
        keep = flat[j]
        flat[j] = keep + h
        up = (d_out * op(*args)[0]).sum()
        flat[j] = keep - h
        down = (d_out * op(*args)[0]).sum()
        flat[j] = keep
        g[j] = (up - down) / (2 * h)
    return g.reshape(args[which].shape)


# all entries of the input are moved at once, so every entry gets the sum of all slopes
def slopes__10(op, inputs, which, d_out):
    h = 1e-5
    up = list(inputs)
    down = list(inputs)
    up[which] = inputs[which] + h
    down[which] = inputs[which] - h
    d = (d_out * op(*up)[0]).sum() - (d_out * op(*down)[0]).sum()
    return np.full(inputs[which].shape, d / (2 * h))


# the result is a dictionary keyed by the index and not an array
def slopes__11(op, inputs, which, d_out):
    h = 1e-5
    args = [a.copy() for a in inputs]
    x = args[which]
    g = {}
    for i in np.ndindex(x.shape):
        keep = x[i]
        x[i] = keep + h
        up = (d_out * op(*args)[0]).sum()
        x[i] = keep - h
        down = (d_out * op(*args)[0]).sum()
        x[i] = keep
        g[i] = (up - down) / (2 * h)
    return g


# the moved input is turned into float32, too coarse for h = 1e-5
def slopes__12(op, inputs, which, d_out):
    h = 1e-5
    args = list(inputs)
    x = args[which] = inputs[which].astype(np.float32)
    g = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        keep = x[i]
        x[i] = keep + h
        up = (d_out * op(*args)[0]).sum()
        x[i] = keep - h
        down = (d_out * op(*args)[0]).sum()
        x[i] = keep
        g[i] = (up - down) / (2 * h)
    return g


# --- 2 largest_error ---


# right
def largest_error__1(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    d_out = rng.normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    worst = 0.0
    for i, g in enumerate(grads):
        worst = max(worst, np.abs(g - slopes(op, inputs, i, d_out)).max())
    return worst


# right
def largest_error__2(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.RandomState(seed).uniform(-1, 1, out.shape)
    g = backward(d_out)
    g = g if isinstance(g, tuple) else (g,)
    errors = [(g[i] - slopes(op, inputs, i, d_out)).ravel() for i in range(len(inputs))]
    return float(np.linalg.norm(np.concatenate(errors), ord=np.inf))


# the sign is kept: the largest of gradient - slope, without abs
def largest_error__3(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    return max((g - slopes(op, inputs, i, d_out)).max() for i, g in enumerate(grads))


# (grads) without a comma is no tuple, so with one input the array's first row is compared with all slopes
def largest_error__4(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = grads
    worst = 0.0
    for i in range(len(inputs)):
        worst = max(worst, np.abs(grads[i] - slopes(op, inputs, i, d_out)).max())
    return worst


# worst is overwritten in the loop, so only the last input counts
def largest_error__5(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    for i, g in enumerate(grads):
        worst = np.abs(g - slopes(op, inputs, i, d_out)).max()
    return worst


# d_out is all ones and not random
def largest_error__6(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.ones_like(out)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    return max(np.abs(g - slopes(op, inputs, i, d_out)).max() for i, g in enumerate(grads))


# the error is divided by the size of the slopes (a relative error)
def largest_error__7(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    worst = 0.0
    for i, g in enumerate(grads):
        s = slopes(op, inputs, i, d_out)
        worst = max(worst, np.max(np.abs(g - s)) / (np.max(np.abs(s)) + np.max(np.abs(g)) + 1e-12))
    return worst


# d_out is drawn a second time for the slopes, so the two sides use different losses
def largest_error__8(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    grads = backward(rng.normal(size=out.shape))
    if len(inputs) == 1:
        grads = (grads,)
    d_out = rng.normal(size=out.shape)
    return max(np.abs(g - slopes(op, inputs, i, d_out)).max() for i, g in enumerate(grads))


# d_out is drawn in the shape of the first input and not of out
def largest_error__9(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=inputs[0].shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    return max(np.abs(g - slopes(op, inputs, i, d_out)).max() for i, g in enumerate(grads))


# the lambdas of the loop all see the last i, so every gradient is compared with the last input's slopes
def largest_error__10(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    measure = []
    for i in range(len(inputs)):
        measure.append(lambda: slopes(op, inputs, i, d_out))
    return max(np.abs(g - m()).max() for g, m in zip(grads, measure))


# the mean of the differences is returned and not the largest
def largest_error__11(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    return max(np.abs(g - slopes(op, inputs, i, d_out)).mean() for i, g in enumerate(grads))


# --- 3 avg_pool_over_space ---


# right
def avg_pool_over_space__1(f):
    n, c, h, w = f.shape
    out = np.einsum("ncij->nc", f) / (h * w)

    def backward(d_avg_c):
        return np.einsum("nc,ij->ncij", d_avg_c, np.full((h, w), 1 / (h * w)))

    return out, backward


# right
def avg_pool_over_space__2(f):
    area = f.shape[2] * f.shape[3]
    return f.mean(axis=(-2, -1)), lambda d: np.broadcast_to((d / area)[..., None, None], f.shape)


# the factor 1/(H·W) is missing in backward
def avg_pool_over_space__3(f):
    out = f.mean(axis=(2, 3))

    def backward(d_avg_c):
        return d_avg_c[:, :, None, None] * np.ones_like(f)

    return out, backward


# H and W are unpacked in the wrong order, so d_f has the shape (N, C, W, H)
def avg_pool_over_space__4(f):
    n, c, w, h = f.shape
    out = f.sum(axis=(2, 3)) / (h * w)

    def backward(d_avg_c):
        d_f = np.zeros((n, c, h, w))
        d_f += d_avg_c[:, :, None, None] / (h * w)
        return d_f

    return out, backward


# backward divides by H² and not by H·W
def avg_pool_over_space__5(f):
    out = f.mean(axis=(2, 3))

    def backward(d_avg_c):
        return np.ones(f.shape) * d_avg_c[:, :, None, None] / f.shape[2] ** 2

    return out, backward


# backward divides with // and so rounds down to whole numbers
def avg_pool_over_space__6(f):
    h, w = f.shape[2:]
    out = f.mean(axis=(2, 3))

    def backward(d_avg_c):
        return np.ones(f.shape) * (d_avg_c[:, :, None, None] // (h * w))

    return out, backward


# only one axis is appended to d_avg_c, (N, C, 1) doesn't fit (N, C, H, W)
def avg_pool_over_space__7(f):
    h, w = f.shape[2:]
    out = f.mean(axis=(2, 3))

    def backward(d_avg_c):
        return np.ones(f.shape) * d_avg_c[..., None] / (h * w)

    return out, backward


# --- 4 max_pool_over_space ---


# right
def max_pool_over_space__1(f):
    n, c, h, w = f.shape
    flat = f.reshape(n, c, h * w)
    where = flat.argmax(axis=2)[:, :, None]
    out = np.take_along_axis(flat, where, axis=2)[:, :, 0]

    def backward(d_max_c):
        d = np.zeros((n, c, h * w))
        np.put_along_axis(d, where, d_max_c[:, :, None], axis=2)
        return d.reshape(n, c, h, w)

    return out, backward


# right
def max_pool_over_space__2(f):
    n, c, h, w = f.shape
    out = np.empty((n, c))
    pos = {}
    for s in range(n):
        for ch in range(c):
            best = -np.inf
            for i in range(h):
                for j in range(w):
                    if f[s, ch, i, j] > best:
                        best = f[s, ch, i, j]
                        pos[s, ch] = (i, j)
            out[s, ch] = best

    def backward(d_max_c):
        d_f = np.zeros(f.shape)
        for (s, ch), (i, j) in pos.items():
            d_f[s, ch, i, j] = d_max_c[s, ch]
        return d_f

    return out, backward


# right
def max_pool_over_space__3(f):
    n, c = f.shape[:2]
    out = f.max(axis=(2, 3))
    hit = (f == out[:, :, None, None]).reshape(n, c, -1)
    first = (hit & (np.cumsum(hit, axis=-1) == 1)).reshape(f.shape)
    return out, lambda d: first * d[:, :, None, None]


# every tied entry gets the whole gradient
def max_pool_over_space__4(f):
    out = f.max(axis=(2, 3))

    def backward(d_max_c):
        return (f == out[:, :, None, None]) * d_max_c[:, :, None, None]

    return out, backward


# the gradient is shared equally among tied entries
def max_pool_over_space__5(f):
    out = f.max(axis=(2, 3), keepdims=True)
    mask = (f == out).astype(float)
    mask /= mask.sum(axis=(2, 3), keepdims=True)

    def backward(d_max_c):
        return mask * d_max_c[:, :, None, None]

    return out[:, :, 0, 0], backward


# ties are broken column by column, as the map is transposed before argmax
def max_pool_over_space__6(f):
    n, c, h, w = f.shape
    where = f.transpose(0, 1, 3, 2).reshape(n, c, -1).argmax(axis=2)
    j, i = np.divmod(where, h)
    a, b = np.ogrid[:n, :c]
    out = f[a, b, i, j]

    def backward(d_max_c):
        d_f = np.zeros_like(f)
        d_f[a, b, i, j] = d_max_c
        return d_f

    return out, backward


# the flat position is split into row and column with H and not with W
def max_pool_over_space__7(f):
    n, c, h, w = f.shape
    where = f.reshape(n, c, -1).argmax(axis=2)
    out = f.max(axis=(2, 3))

    def backward(d_max_c):
        d_f = np.zeros_like(f)
        for s in range(n):
            for ch in range(c):
                d_f[s, ch, where[s, ch] // h, where[s, ch] % h] = d_max_c[s, ch]
        return d_f

    return out, backward


# the search for the maximum begins at 0, so a channel with only negative entries gives 0
def max_pool_over_space__8(f):
    n, c, h, w = f.shape
    out = np.zeros((n, c))
    pos = np.zeros((n, c, 2), dtype=int)
    for s in range(n):
        for ch in range(c):
            for i in range(h):
                for j in range(w):
                    if f[s, ch, i, j] > out[s, ch]:
                        out[s, ch] = f[s, ch, i, j]
                        pos[s, ch] = i, j

    def backward(d_max_c):
        d_f = np.zeros_like(f)
        for s in range(n):
            for ch in range(c):
                d_f[s, ch, pos[s, ch, 0], pos[s, ch, 1]] = d_max_c[s, ch]
        return d_f

    return out, backward


# f is overwritten by its flattened form, so d_f comes back in the shape (N, C, H·W)
def max_pool_over_space__9(f):
    n, c, h, w = f.shape
    f = f.reshape(n, c, h * w)
    where = f.argmax(axis=2)
    out = f.max(axis=2)

    def backward(d_max_c):
        d_f = np.zeros_like(f)
        np.put_along_axis(d_f, where[..., None], d_max_c[..., None], axis=2)
        return d_f

    return out, backward


# d_f[:, :, where] writes to every sample's and channel's maximum in every map, the arange indices are missing
def max_pool_over_space__10(f):
    n, c, h, w = f.shape
    where = f.reshape(n, c, -1).argmax(axis=2)
    out = f.max(axis=(2, 3))

    def backward(d_max_c):
        d_f = np.zeros((n, c, h * w))
        d_f[:, :, where] = d_max_c
        return d_f.reshape(f.shape)

    return out, backward


# the gradient is written into the copy that flatten() makes, d_f stays 0
def max_pool_over_space__11(f):
    n, c, h, w = f.shape
    where = f.reshape(n * c, -1).argmax(axis=1) + np.arange(n * c) * h * w
    out = f.max(axis=(2, 3))

    def backward(d_max_c):
        d_f = np.zeros(f.shape)
        d_f.flatten()[where] = d_max_c.reshape(-1)
        return d_f

    return out, backward


# --- 5 avg_pool_over_channels ---


# right
def avg_pool_over_channels__1(f):
    c = f.shape[1]
    out = np.add.reduce(f, axis=1)[:, None] / c

    def backward(d_avg_s):
        return np.concatenate([d_avg_s / c for _ in range(c)], axis=1)

    return out, backward


# the channel axis is dropped, avg_s is (N, H, W)
def avg_pool_over_channels__2(f):
    c = f.shape[1]
    out = f.mean(axis=1)

    def backward(d_avg_s):
        return np.repeat(d_avg_s.reshape(f.shape[0], 1, *f.shape[2:]), c, axis=1) / c

    return out, backward


# backward divides by N (shape[0]) and not by C
def avg_pool_over_channels__3(f):
    out = f.mean(axis=1, keepdims=True)

    def backward(d_avg_s):
        return np.repeat(d_avg_s, f.shape[1], axis=1) / f.shape[0]

    return out, backward


# d_f keeps the single channel of d_avg_s, it isn't copied to the C channels
def avg_pool_over_channels__4(f):
    out = f.mean(axis=1, keepdims=True)

    def backward(d_avg_s):
        return d_avg_s / f.shape[1]

    return out, backward


# backward repeats along axis 0 (the samples) and not along the channels
def avg_pool_over_channels__5(f):
    n, c, h, w = f.shape
    out = f.mean(axis=1, keepdims=True)

    def backward(d_avg_s):
        return np.repeat(d_avg_s / c, c, axis=0)

    return out, backward


# backward has the sum of d_avg_s over the pixels in every entry
def avg_pool_over_channels__6(f):
    c = f.shape[1]
    out = f.sum(axis=1, keepdims=True) / c

    def backward(d_avg_s):
        return np.ones_like(f) * d_avg_s.sum(axis=(2, 3), keepdims=True) / c

    return out, backward


# --- 6 max_pool_over_channels ---


# right
def max_pool_over_channels__1(f):
    best = f.argmax(axis=1)
    one_hot = np.arange(f.shape[1])[None, :, None, None] == best[:, None]
    return f.max(axis=1, keepdims=True), lambda d_max_s: np.where(one_hot, d_max_s, 0.0)


# right
def max_pool_over_channels__2(f):
    n, c, h, w = f.shape
    best = np.argmax(f, axis=1)
    s, i, j = np.indices((n, h, w))
    out = f[s, best, i, j][:, np.newaxis]

    def backward(d_max_s):
        d_f = np.zeros_like(f)
        np.add.at(d_f, (s, best, i, j), d_max_s[:, 0])
        return d_f

    return out, backward


# the running maximum is replaced with >=, so the last of tied channels wins
def max_pool_over_channels__3(f):
    n, c, h, w = f.shape
    out = f[:, 0].copy()
    best = np.zeros((n, h, w), dtype=int)
    for ch in range(1, c):
        better = f[:, ch] >= out
        out[better] = f[:, ch][better]
        best[better] = ch

    def backward(d_max_s):
        d_f = np.zeros_like(f)
        np.put_along_axis(d_f, best[:, None], d_max_s, axis=1)
        return d_f

    return out[:, None], backward


# all tied channels get the gradient
def max_pool_over_channels__4(f):
    out = f.max(axis=1, keepdims=True)
    return out, lambda d_max_s: d_max_s * (f >= out)


# argmax has lost the channel axis, so put_along_axis stops (3 dimensions against 4)
def max_pool_over_channels__5(f):
    best = f.argmax(axis=1)
    out = f.max(axis=1, keepdims=True)

    def backward(d_max_s):
        d_f = np.zeros_like(f)
        np.put_along_axis(d_f, best, d_max_s, axis=1)
        return d_f

    return out, backward


# backward also divides by C, as for the average
def max_pool_over_channels__6(f):
    best = f.argmax(axis=1)[:, None]
    out = np.take_along_axis(f, best, axis=1)

    def backward(d_max_s):
        d_f = np.zeros_like(f)
        np.put_along_axis(d_f, best, d_max_s / f.shape[1], axis=1)
        return d_f

    return out, backward


# --- 7 relu ---


# right
def relu__1(x):
    out = (x + np.abs(x)) / 2

    def backward(d_out):
        return np.where(out > 0, d_out, 0.0)

    return out, backward


# right
def relu__2(x):
    on = np.heaviside(x, 0.0)
    return x * on, lambda d: d * on


# the slope at 0 is 1/2, from (1 + sign x)/2
def relu__3(x):
    out = np.maximum(x, 0)

    def backward(d_out):
        return d_out * (1 + np.sign(x)) / 2

    return out, backward


# x is overwritten by the output and the mask asks x >= 0, which is true everywhere
def relu__4(x):
    x = np.maximum(x, 0)

    def backward(d_out):
        return d_out * (x >= 0)

    return x, backward


# np.max(x, 0) takes the maximum over axis 0, it should be np.maximum
def relu__5(x):
    out = np.max(x, 0)

    def backward(d_out):
        return d_out * (x > 0)

    return out, backward


# d_out is set to 0 in place
def relu__6(x):
    out = np.maximum(x, 0)

    def backward(d_out):
        d_out[x <= 0] = 0
        return d_out

    return out, backward


# x is set to 0 in place, the output is the input's memory
def relu__7(x):
    mask = x > 0
    out = x
    out[~mask] = 0

    def backward(d_out):
        return d_out * mask

    return out, backward


# backward multiplies d_out by the output and not by the slope
def relu__8(x):
    out = np.maximum(x, 0)
    return out, lambda d_out: d_out * out


# --- 8 mlp ---


# right
def mlp__1(x, w1, w2):
    z = x @ w1.T
    h, relu_back = relu(z)
    out = h @ w2.T

    def backward(d_out):
        d_z = relu_back(d_out @ w2)
        return d_z @ w1, d_z.T @ x, d_out.T @ h

    return out, backward


# right
def mlp__2(x, w1, w2):
    out = np.zeros((len(x), w2.shape[0]))
    for n in range(len(x)):
        out[n] = w2 @ np.maximum(w1 @ x[n], 0)

    def backward(d_out):
        d_x, d_w1, d_w2 = np.zeros(x.shape), np.zeros(w1.shape), np.zeros(w2.shape)
        for n in range(len(x)):
            z = w1 @ x[n]
            d_w2 += np.outer(d_out[n], np.maximum(z, 0))
            d_z = (w2.T @ d_out[n]) * (z > 0)
            d_w1 += np.outer(d_z, x[n])
            d_x[n] = w1.T @ d_z
        return d_x, d_w1, d_w2

    return out, backward


# d_w2 is made with z, before the ReLU, and not with h
def mlp__3(x, w1, w2):
    z = x @ w1.T
    h, relu_back = relu(z)
    out = h @ w2.T

    def backward(d_out):
        d_z = relu_back(d_out @ w2)
        return d_z @ w1, d_z.T @ x, d_out.T @ z

    return out, backward


# d_w1 lacks the ReLU's mask
def mlp__4(x, w1, w2):
    z = x @ w1.T
    h, relu_back = relu(z)
    out = h @ w2.T

    def backward(d_out):
        d_h = d_out @ w2
        return relu_back(d_h) @ w1, d_h.T @ x, d_out.T @ h

    return out, backward


# the ReLU's mask is taken from d_h and not from z
def mlp__5(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)
    out = h @ w2.T

    def backward(d_out):
        d_h = d_out @ w2
        d_z = d_h * (d_h > 0)
        return d_z @ w1, d_z.T @ x, d_out.T @ h

    return out, backward


# d_w1 and d_w2 are assigned for each sample and not summed, only the last sample is left
def mlp__6(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)
    out = h @ w2.T

    def backward(d_out):
        d_x = np.zeros_like(x)
        for n in range(x.shape[0]):
            d_z = (w2.T @ d_out[n]) * (z[n] > 0)
            d_x[n] = w1.T @ d_z
            d_w1 = np.outer(d_z, x[n])
            d_w2 = np.outer(d_out[n], h[n])
        return d_x, d_w1, d_w2

    return out, backward


# d_w1 and d_w2 are divided by N
def mlp__7(x, w1, w2):
    z = x @ w1.T
    h, relu_back = relu(z)
    n = x.shape[0]

    def backward(d_out):
        d_z = relu_back(d_out @ w2)
        return d_z @ w1, d_z.T @ x / n, d_out.T @ h / n

    return h @ w2.T, backward


# d_w2 and d_w1 come in the wrong order, as they were derived from back to front
def mlp__8(x, w1, w2):
    z = x @ w1.T
    h, relu_back = relu(z)

    def backward(d_out):
        d_w2 = d_out.T @ h
        d_z = relu_back(d_out @ w2)
        d_w1 = d_z.T @ x
        d_x = d_z @ w1
        return d_x, d_w2, d_w1

    return h @ w2.T, backward


# each sample's lambda sees the last sample's relu_back, so all use the last mask
def mlp__9(x, w1, w2):
    hs, backs = [], []
    for n in range(x.shape[0]):
        h_n, relu_back = relu(w1 @ x[n])
        hs.append(h_n)
        backs.append(lambda d: relu_back(d))
    h = np.array(hs)

    def backward(d_out):
        d_h = d_out @ w2
        d_z = np.array([backs[n](d_h[n]) for n in range(x.shape[0])])
        return d_z @ w1, d_z.T @ x, d_out.T @ h

    return h @ w2.T, backward


# both weight gradients are transposed
def mlp__10(x, w1, w2):
    z = x @ w1.T
    h, relu_back = relu(z)

    def backward(d_out):
        d_z = relu_back(d_out @ w2)
        return d_z @ w1, x.T @ d_z, h.T @ d_out

    return h @ w2.T, backward


# W1 x is typed as on paper, w1 @ x, which doesn't fit rows of samples
def mlp__11(x, w1, w2):
    z = w1 @ x
    h, relu_back = relu(z)
    out = w2 @ h

    def backward(d_out):
        d_z = relu_back(w2.T @ d_out)
        return w1.T @ d_z, d_z @ x.T, d_out @ h.T

    return out, backward


# --- 9 sigmoid ---


# right
def sigmoid__1(x):
    t = np.tanh(x / 2)

    def backward(d_out):
        return d_out * (1 - t * t) / 4

    return (1 + t) / 2, backward


# right
def sigmoid__2(x):
    e = np.exp(-np.abs(x))
    s = np.where(x >= 0, 1 / (1 + e), e / (1 + e))
    return s, lambda d_out: d_out * e / (1 + e) ** 2


# right
def sigmoid__3(x):
    s = np.exp(-np.logaddexp(0, -x))

    def backward(d_out):
        return d_out * s * (1 - s)

    return s, backward


# e^{-x} overflows for -1000
def sigmoid__4(x):
    s = 1 / (1 + np.exp(-x))
    return s, lambda d_out: d_out * s * (1 - s)


# e^x / (1 + e^x) gives inf/inf = nan for 1000
def sigmoid__5(x):
    e = np.exp(x)
    s = e / (1 + e)
    return s, lambda d_out: d_out * s * (1 - s)


# np.where computes both branches for all x, so that exp still overflows
def sigmoid__6(x):
    s = np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))

    def backward(d_out):
        return d_out * s * (1 - s)

    return s, backward


# the slope is x (1 - x), made with the input and not with the output
def sigmoid__7(x):
    s = (1 + np.tanh(x / 2)) / 2

    def backward(d_out):
        return d_out * x * (1 - x)

    return s, backward


# σ is applied to s once more before the slope is made
def sigmoid__8(x):
    def value(t):
        return (1 + np.tanh(t / 2)) / 2

    s = value(x)

    def backward(d_out):
        return d_out * value(s) * (1 - value(s))

    return s, backward


# the slope is 1 - tanh², the factor 1/4 (half outside, half inside) is missing
def sigmoid__9(x):
    t = np.tanh(x / 2)

    def backward(d_out):
        return d_out * (1 - t**2)

    return (1 + t) / 2, backward


# the slope has a minus sign, the inner derivative of -x is forgotten
def sigmoid__10(x):
    e = np.exp(-np.abs(x))
    s = np.where(x >= 0, 1, e) / (1 + e)

    def backward(d_out):
        return -d_out * s * (1 - s)

    return s, backward


# x is clipped to ±10, an error of 5e-5 for large x
def sigmoid__11(x):
    s = 1 / (1 + np.exp(-np.clip(x, -10, 10)))

    def backward(d_out):
        return d_out * s * (1 - s)

    return s, backward


# x is clipped in place
def sigmoid__12(x):
    np.clip(x, -500, 500, out=x)
    s = 1 / (1 + np.exp(-x))
    return s, lambda d_out: d_out * s * (1 - s)


# d_out is put inside the derivative, s'(x · d_out), and not multiplied
def sigmoid__13(x):
    def value(t):
        return (1 + np.tanh(t / 2)) / 2

    def backward(d_out):
        s = value(x * d_out)
        return s * (1 - s)

    return value(x), backward


# --- 10 gate ---


# right
def gate__1(m, f):
    axes = tuple(a for a in range(4) if m.shape[a] == 1)

    def backward(d_out):
        return (d_out * f).sum(axis=axes, keepdims=True), d_out * m

    return m * f, backward


# right
def gate__2(m, f):
    def backward(d_out):
        d_m = d_out * f
        for axis in range(f.ndim):
            if m.shape[axis] != f.shape[axis]:
                d_m = np.expand_dims(d_m.sum(axis), axis)
        return d_m, np.multiply(d_out, m)

    return np.multiply(m, f), backward


# d_m isn't summed over the axes along which m was broadcast
def gate__3(m, f):
    def backward(d_out):
        return d_out * f, d_out * m

    return m * f, backward


# d_m is always summed over the pixels, also when m is the spatial map
def gate__4(m, f):
    def backward(d_out):
        return (d_out * f).sum(axis=(2, 3), keepdims=True), d_out * m

    return m * f, backward


# d_m is the sum of d_out times the sum of f and not the sum of the products
def gate__5(m, f):
    axes = tuple(a for a in range(4) if m.shape[a] != f.shape[a])

    def backward(d_out):
        d_m = d_out.sum(axis=axes, keepdims=True) * f.sum(axis=axes, keepdims=True)
        return d_m, d_out * m

    return m * f, backward


# d_f comes first and d_m second
def gate__6(m, f):
    axes = tuple(a for a in range(4) if m.shape[a] != f.shape[a])

    def backward(d_out):
        return d_out * m, (d_out * f).sum(axis=axes, keepdims=True)

    return m * f, backward


# f is multiplied in place, so the input is changed and d_m is made with the output
def gate__7(m, f):
    axes = tuple(a for a in range(4) if m.shape[a] != f.shape[a])
    f *= m

    def backward(d_out):
        return (d_out * f).sum(axis=axes, keepdims=True), d_out * m

    return f, backward


# keepdims is missing, d_m loses its axes of length 1
def gate__8(m, f):
    axes = tuple(a for a in range(4) if m.shape[a] != f.shape[a])

    def backward(d_out):
        return (d_out * f).sum(axis=axes), d_out * m

    return m * f, backward


# d_m is the mean over the broadcast axes and not the sum
def gate__9(m, f):
    axes = tuple(a for a in range(4) if m.shape[a] != f.shape[a])

    def backward(d_out):
        return np.mean(d_out * f, axis=axes, keepdims=True), d_out * m

    return m * f, backward


# the product rule is taken with the wrong factors: d_f has f and d_m has m
def gate__10(m, f):
    axes = tuple(a for a in range(4) if m.shape[a] != f.shape[a])

    def backward(d_out):
        return (d_out * m).sum(axis=axes, keepdims=True), d_out * f

    return m * f, backward


# the axes are counted from 1, d_m is summed over (1, 2) for the channel map and over 0 for the spatial one
def gate__11(m, f):
    def backward(d_out):
        if m.shape[2] == 1:
            d_m = (d_out * f).sum(axis=(1, 2), keepdims=True)
        else:
            d_m = (d_out * f).sum(axis=0, keepdims=True)
        return d_m, d_out * m

    return m * f, backward


# --- 11 channel_attention ---


# right
def channel_attention__1(f, w1, w2):
    avg, back_avg = avg_pool_over_space(f)
    mx, back_max = max_pool_over_space(f)
    a, back_a = mlp(avg, w1, w2)
    b, back_b = mlp(mx, w1, w2)
    m, back_sig = sigmoid(a + b)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = back_sig(d_m[:, :, 0, 0])
        d_avg, d_w1, d_w2 = back_a(d_s)
        d_mx, e_w1, e_w2 = back_b(d_s)
        return d_f + back_avg(d_avg) + back_max(d_mx), d_w1 + e_w1, d_w2 + e_w2

    return f1, backward


# right
def channel_attention__2(f, w1, w2):
    n, c, h, w = f.shape
    flat = f.reshape(n, c, -1)
    rows = np.concatenate([flat.mean(2), flat.max(2)])
    z = rows @ w1.T
    hid = np.maximum(z, 0)
    both = hid @ w2.T
    m = 0.5 + 0.5 * np.tanh(0.5 * (both[:n] + both[n:]))

    def backward(d_f1):
        d_s = np.einsum("ncij,ncij->nc", d_f1, f) * m * (1 - m)
        d_both = np.concatenate([d_s, d_s])
        d_z = (d_both @ w2) * (z > 0)
        d_rows = d_z @ w1
        d = np.repeat(d_rows[:n, :, None] / (h * w), h * w, axis=2)
        a, b = np.ogrid[:n, :c]
        d[a, b, flat.argmax(2)] += d_rows[n:]
        return d.reshape(f.shape) + d_f1 * m[:, :, None, None], d_z.T @ rows, d_both.T @ hid

    return m[:, :, None, None] * f, backward


# d_w1 and d_w2 come from the average's MLP only, the other use of the shared weights is forgotten
def channel_attention__3(f, w1, w2):
    avg, back_avg = avg_pool_over_space(f)
    mx, back_max = max_pool_over_space(f)
    a, back_a = mlp(avg, w1, w2)
    b, back_b = mlp(mx, w1, w2)
    m, back_sig = sigmoid(a + b)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = back_sig(d_m[:, :, 0, 0])
        d_avg, d_w1, d_w2 = back_a(d_s)
        d_mx, _, _ = back_b(d_s)
        return d_f + back_avg(d_avg) + back_max(d_mx), d_w1, d_w2

    return f1, backward


# the weights' gradients of the average's MLP are doubled, as if both uses gave the same
def channel_attention__4(f, w1, w2):
    avg, back_avg = avg_pool_over_space(f)
    mx, back_max = max_pool_over_space(f)
    a, back_a = mlp(avg, w1, w2)
    b, back_b = mlp(mx, w1, w2)
    m, back_sig = sigmoid(a + b)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = back_sig(d_m[:, :, 0, 0])
        d_avg, d_w1, d_w2 = back_a(d_s)
        d_mx = back_b(d_s)[0]
        return d_f + back_avg(d_avg) + back_max(d_mx), 2 * d_w1, 2 * d_w2

    return f1, backward


# back_mlp is overwritten by the second MLP, so both branches go back through the maximum's
def channel_attention__5(f, w1, w2):
    avg, back_avg = avg_pool_over_space(f)
    a, back_mlp = mlp(avg, w1, w2)
    mx, back_max = max_pool_over_space(f)
    b, back_mlp = mlp(mx, w1, w2)
    m, back_sig = sigmoid(a + b)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = back_sig(d_m[:, :, 0, 0])
        d_avg, d_w1, d_w2 = back_mlp(d_s)
        d_mx, e_w1, e_w2 = back_mlp(d_s)
        return d_f + back_avg(d_avg) + back_max(d_mx), d_w1 + e_w1, d_w2 + e_w2

    return f1, backward


# update() overwrites the average's gradients in the dictionary by the maximum's, where they should be added
def channel_attention__6(f, w1, w2):
    avg, back_avg = avg_pool_over_space(f)
    mx, back_max = max_pool_over_space(f)
    a, back_a = mlp(avg, w1, w2)
    b, back_b = mlp(mx, w1, w2)
    m, back_sig = sigmoid(a + b)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = back_sig(d_m[:, :, 0, 0])
        grads = {}
        grads.update(zip(["x", "w1", "w2"], back_a(d_s)))
        d_f = d_f + back_avg(grads["x"])
        grads.update(zip(["x", "w1", "w2"], back_b(d_s)))
        d_f = d_f + back_max(grads["x"])
        return d_f, grads["w1"], grads["w2"]

    return f1, backward


# d_f lacks the direct path through the gate, d_f1 times M_c
def channel_attention__7(f, w1, w2):
    avg, back_avg = avg_pool_over_space(f)
    mx, back_max = max_pool_over_space(f)
    a, back_a = mlp(avg, w1, w2)
    b, back_b = mlp(mx, w1, w2)
    m, back_sig = sigmoid(a + b)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, _ = back_gate(d_f1)
        d_s = back_sig(d_m[:, :, 0, 0])
        d_avg, d_w1, d_w2 = back_a(d_s)
        d_mx, e_w1, e_w2 = back_b(d_s)
        return back_avg(d_avg) + back_max(d_mx), d_w1 + e_w1, d_w2 + e_w2

    return f1, backward


# the MLP is applied once to avg + max, but it isn't linear
def channel_attention__8(f, w1, w2):
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


# the sigmoid's slope is left out in backward, d_m is handed to the MLPs as d_s
def channel_attention__9(f, w1, w2):
    avg, back_avg = avg_pool_over_space(f)
    mx, back_max = max_pool_over_space(f)
    a, back_a = mlp(avg, w1, w2)
    b, back_b = mlp(mx, w1, w2)
    m, _ = sigmoid(a + b)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = d_m[:, :, 0, 0]
        d_avg, d_w1, d_w2 = back_a(d_s)
        d_mx, e_w1, e_w2 = back_b(d_s)
        return d_f + back_avg(d_avg) + back_max(d_mx), d_w1 + e_w1, d_w2 + e_w2

    return f1, backward


# d_m is handed on as (N, C, 1, 1) to a sigmoid that was (N, C), the shapes don't fit
def channel_attention__10(f, w1, w2):
    avg, back_avg = avg_pool_over_space(f)
    mx, back_max = max_pool_over_space(f)
    a, back_a = mlp(avg, w1, w2)
    b, back_b = mlp(mx, w1, w2)
    m, back_sig = sigmoid(a + b)
    f1, back_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back_gate(d_f1)
        d_s = back_sig(d_m)
        d_avg, d_w1, d_w2 = back_a(d_s)
        d_mx, e_w1, e_w2 = back_b(d_s)
        return d_f + back_avg(d_avg) + back_max(d_mx), d_w1 + e_w1, d_w2 + e_w2

    return f1, backward


# --- 12 im2col ---


# right
def im2col__1(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    columns = np.empty((n, c, k, k, h, w))
    for a in range(k):
        for b in range(k):
            columns[:, :, a, b] = xp[:, :, a : a + h, b : b + w]
    return columns.reshape(n, c * k * k, h * w)


# right
def im2col__2(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.zeros((n, c, h + k - 1, w + k - 1))
    xp[:, :, p : p + h, p : p + w] = x
    win = np.lib.stride_tricks.sliding_window_view(xp, (k, k), axis=(2, 3))
    return np.einsum("ncijab->ncabij", win).reshape(n, c * k**2, h * w)


# right
def im2col__3(x, k):
    n, c, h, w = x.shape
    p = k // 2
    out = np.zeros((n, c * k * k, h * w))
    for row in range(c * k * k):
        ch, a, b = np.unravel_index(row, (c, k, k))
        for col in range(h * w):
            i, j = divmod(col, w)
            y, z = i + a - p, j + b - p
            if 0 <= y < h and 0 <= z < w:
                out[:, row, col] = x[:, ch, y, z]
    return out


# the rows are ordered (a,b,c) and not (c,a,b)
def im2col__4(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    parts = []
    for a in range(k):
        for b in range(k):
            parts.append(xp[:, :, a : a + h, b : b + w].reshape(n, c, h * w))
    return np.concatenate(parts, axis=1)


# a and b are swapped, the windows come transposed
def im2col__5(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    columns = np.empty((n, c, k, k, h, w))
    for a in range(k):
        for b in range(k):
            columns[:, :, b, a] = xp[:, :, a : a + h, b : b + w]
    return columns.reshape(n, c * k * k, h * w)


# the windows are flipped, x_padded is read at i + k-1-a, j + k-1-b
def im2col__6(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    columns = np.empty((n, c, k, k, h, w))
    for a in range(k):
        for b in range(k):
            columns[:, :, k - 1 - a, k - 1 - b] = xp[:, :, a : a + h, b : b + w]
    return columns.reshape(n, c * k * k, h * w)


# np.roll lets the windows wrap around the edges, there are no zeros
def im2col__7(x, k):
    n, c, h, w = x.shape
    p = k // 2
    columns = np.empty((n, c, k, k, h, w))
    for a in range(k):
        for b in range(k):
            columns[:, :, a, b] = np.roll(x, (p - a, p - b), axis=(2, 3))
    return columns.reshape(n, c * k * k, h * w)


# all k-1 zeros stand above and to the left, none below and to the right
def im2col__8(x, k):
    n, c, h, w = x.shape
    xp = np.pad(x, ((0, 0), (0, 0), (k - 1, 0), (k - 1, 0)))
    columns = np.empty((n, c, k, k, h, w))
    for a in range(k):
        for b in range(k):
            columns[:, :, a, b] = xp[:, :, a : a + h, b : b + w]
    return columns.reshape(n, c * k * k, h * w)


# the loops over i and j stop one early, the last row and column of windows stay 0
def im2col__9(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    columns = np.zeros((n, c * k * k, h * w))
    for i in range(h - 1):
        for j in range(w - 1):
            columns[:, :, i * w + j] = xp[:, :, i : i + k, j : j + k].reshape(n, -1)
    return columns


# the pixel's column is numbered i·H + j and not i·W + j
def im2col__10(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    columns = np.zeros((n, c * k * k, h * w))
    for i in range(h):
        for j in range(w):
            columns[:, :, i * h + j] = xp[:, :, i : i + k, j : j + k].reshape(n, -1)
    return columns


# the columns are made in float32
def im2col__11(x, k):
    n, c, h, w = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    columns = np.empty((n, c, k, k, h, w), dtype=np.float32)
    for a in range(k):
        for b in range(k):
            columns[:, :, a, b] = xp[:, :, a : a + h, b : b + w]
    return columns.reshape(n, c * k * k, h * w)


# --- 13 col2im ---


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
    n, c, h, w = shape
    p = k // 2
    a, b, i, j = np.ogrid[:k, :k, :h, :w]
    xp = np.zeros((n, c, h + k - 1, w + k - 1))
    np.add.at(xp, (slice(None), slice(None), a + i, b + j), columns.reshape(n, c, k, k, h, w))
    return xp[:, :, p : p + h, p : p + w].copy()


# fancy indices with +=: places that occur several times are added only once
def col2im__3(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    a, b, i, j = np.ogrid[:k, :k, :h, :w]
    xp = np.zeros((n, c, h + k - 1, w + k - 1))
    xp[:, :, a + i, b + j] += columns.reshape(n, c, k, k, h, w)
    return xp[:, :, p : p + h, p : p + w]


# the padding is cut with p:-p, which leaves nothing for k = 1
def col2im__4(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    cols = columns.reshape(n, c, k, k, h, w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + h, b : b + w] += cols[:, :, a, b]
    return xp[:, :, p:-p, p:-p]


# the padding is cut off at the end only, [:h, :w], so everything is shifted by k // 2
def col2im__5(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    cols = columns.reshape(n, c, k, k, h, w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + h, b : b + w] += cols[:, :, a, b]
    return xp[:, :, :h, :w]


# the columns are split as (k, k, C) and not as (C, k, k)
def col2im__6(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    cols = columns.reshape(n, k, k, c, h, w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + h, b : b + w] += cols[:, a, b]
    return xp[:, :, p : p + h, p : p + w]


# the sum is divided by the number of windows that cover a pixel
def col2im__7(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    cols = columns.reshape(n, c, k, k, h, w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    count = np.zeros((h + 2 * p, w + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + h, b : b + w] += cols[:, :, a, b]
            count[a : a + h, b : b + w] += 1
    return (xp / count)[:, :, p : p + h, p : p + w]


# the array of zeros has dtype int, so += stops with a casting error
def col2im__8(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    cols = columns.reshape(n, c, k, k, h, w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p), dtype=int)
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + h, b : b + w] += cols[:, :, a, b]
    return xp[:, :, p : p + h, p : p + w]


# H and W of the shape are swapped, so the pixels are regrouped and x comes out as (N, C, W, H)
def col2im__9(columns, shape, k):
    n, c, w, h = shape
    p = k // 2
    cols = columns.reshape(n, c, k, k, h, w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + h, b : b + w] += cols[:, :, a, b]
    return xp[:, :, p : p + h, p : p + w]


# columns are written with = and not added with +=
def col2im__10(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    cols = columns.reshape(n, c * k * k, h * w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    for i in range(h):
        for j in range(w):
            xp[:, :, i : i + k, j : j + k] = cols[:, :, i * w + j].reshape(n, c, k, k)
    return xp[:, :, p : p + h, p : p + w]


# the loops over a and b run from 1 to k-1, so the windows' first row and column are left out
def col2im__11(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    cols = columns.reshape(n, c, k, k, h, w)
    xp = np.zeros((n, c, h + 2 * p, w + 2 * p))
    for a in range(1, k):
        for b in range(1, k):
            xp[:, :, a : a + h, b : b + w] += cols[:, :, a, b]
    return xp[:, :, p : p + h, p : p + w]


# --- 14 conv2d ---


# right
def conv2d__1(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    rows = kernel.reshape(o, -1)
    out = (rows @ cols).reshape(n, o, h, w)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        d_kernel = np.einsum("nop,nqp->oq", d, cols).reshape(kernel.shape)
        return col2im(rows.T @ d, x.shape, k), d_kernel

    return out, backward


# right
def conv2d__2(x, kernel):
    n, c, h, w = x.shape
    k = kernel.shape[-1]
    p = k // 2
    pad = ((0, 0), (0, 0), (p, p), (p, p))
    xp = np.pad(x, pad)
    out = np.zeros((n, kernel.shape[0], h, w))
    for a in range(k):
        for b in range(k):
            out += np.einsum("oc,ncij->noij", kernel[:, :, a, b], xp[:, :, a : a + h, b : b + w])

    def backward(d_out):
        d_xp = np.zeros_like(xp)
        d_kernel = np.zeros_like(kernel)
        for a in range(k):
            for b in range(k):
                d_kernel[:, :, a, b] = np.tensordot(d_out, xp[:, :, a : a + h, b : b + w], ([0, 2, 3], [0, 2, 3]))
                d_xp[:, :, a : a + h, b : b + w] += np.einsum("oc,noij->ncij", kernel[:, :, a, b], d_out)
        return d_xp[:, :, p : p + h, p : p + w], d_kernel

    return out, backward


# right
def conv2d__3(x, kernel):
    k = kernel.shape[2]
    p = k // 2

    def windows(t):
        t = np.pad(t, [(0, 0), (0, 0), (p, p), (p, p)])
        return np.lib.stride_tricks.sliding_window_view(t, (k, k), (2, 3))

    def backward(d_out):
        flipped = kernel[:, :, ::-1, ::-1]
        d_x = np.einsum("ocab,noijab->ncij", flipped, windows(d_out))
        return d_x, np.einsum("noij,ncijab->ocab", d_out, windows(x))

    return np.einsum("ocab,ncijab->noij", kernel, windows(x)), backward


# d_x is the correlation of d_out with the kernel as it is, without the flip
def conv2d__4(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    out = (kernel.reshape(o, -1) @ cols).reshape(n, o, h, w)

    def backward(d_out):
        d_kernel = np.einsum("nop,nqp->oq", d_out.reshape(n, o, -1), cols).reshape(kernel.shape)
        swapped = kernel.transpose(1, 0, 2, 3).reshape(c, -1)
        d_x = (swapped @ im2col(d_out, k)).reshape(x.shape)
        return d_x, d_kernel

    return out, backward


# the kernel is flipped only along its rows for d_x, not along its columns
def conv2d__5(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    out = (kernel.reshape(o, -1) @ cols).reshape(n, o, h, w)

    def backward(d_out):
        d_kernel = np.einsum("nop,nqp->oq", d_out.reshape(n, o, -1), cols).reshape(kernel.shape)
        flipped = kernel[:, :, ::-1].transpose(1, 0, 2, 3).reshape(c, -1)
        d_x = (flipped @ im2col(d_out, k)).reshape(x.shape)
        return d_x, d_kernel

    return out, backward


# the forward flips the kernel, a convolution as in the mathematics book
def conv2d__6(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    rows = kernel[:, :, ::-1, ::-1].reshape(o, -1)
    out = (rows @ cols).reshape(n, o, h, w)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        d_kernel = np.einsum("nop,nqp->oq", d, cols).reshape(kernel.shape)
        return col2im(rows.T @ d, x.shape, k), d_kernel[:, :, ::-1, ::-1]

    return out, backward


# d_kernel isn't summed over the samples, only the last one is left in the loop
def conv2d__7(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    rows = kernel.reshape(o, -1)
    out = (rows @ cols).reshape(n, o, h, w)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        for s in range(n):
            d_kernel = (d[s] @ cols[s].T).reshape(kernel.shape)
        return col2im(rows.T @ d, x.shape, k), d_kernel

    return out, backward


# x is overwritten by the padded x, so col2im in backward gets the padded shape and stops
def conv2d__8(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    p = k // 2
    cols = im2col(x, k)
    x = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    rows = kernel.reshape(o, -1)
    out = (rows @ cols).reshape(n, o, h, w)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        d_kernel = np.einsum("nop,nqp->oq", d, cols).reshape(kernel.shape)
        return col2im(rows.T @ d, x.shape, k), d_kernel

    return out, backward


# d_x is made with the first output channel only, right for O = 1 alone
def conv2d__9(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    rows = kernel.reshape(o, -1)
    out = (rows @ cols).reshape(n, o, h, w)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        d_kernel = np.einsum("nop,nqp->oq", d, cols).reshape(kernel.shape)
        d_cols = rows[0][:, None] * d[:, :1]
        return col2im(d_cols, x.shape, k), d_kernel

    return out, backward


# k is read from kernel.shape[1], which is C
def conv2d__10(x, kernel):
    n, c, h, w = x.shape
    o, k = kernel.shape[:2]
    cols = im2col(x, k)
    rows = kernel.reshape(o, -1)
    out = (rows @ cols).reshape(n, o, h, w)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        d_kernel = np.einsum("nop,nqp->oq", d, cols).reshape(kernel.shape)
        return col2im(rows.T @ d, x.shape, k), d_kernel

    return out, backward


# d_kernel stays a matrix (O, C·k²), it isn't reshaped to the kernel's shape
def conv2d__11(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    rows = kernel.reshape(o, -1)
    out = (rows @ cols).reshape(n, o, h, w)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        return col2im(rows.T @ d, x.shape, k), np.einsum("nop,nqp->oq", d, cols)

    return out, backward


# the product has the axes (O, N, H·W) and is reshaped to (N, O, H, W) without swapping them, right for O = 1 alone
def conv2d__12(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    rows = kernel.reshape(o, -1)
    out = np.einsum("oq,nqp->onp", rows, cols).reshape(n, o, h, w)

    def backward(d_out):
        d = d_out.reshape(n, o, h * w)
        d_kernel = np.einsum("nop,nqp->oq", d, cols).reshape(kernel.shape)
        return col2im(rows.T @ d, x.shape, k), d_kernel

    return out, backward


# --- 15 spatial_attention ---


# right
def spatial_attention__1(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_pair, d_kernel = back_conv(back_sig(d_m))
        return d_f1 + back_avg(d_pair[:, :1]) + back_max(d_pair[:, 1:]), d_kernel

    return f2, backward


# right
def spatial_attention__2(f1, kernel):
    n, c, h, w = f1.shape
    pair = np.stack([f1.mean(1), f1.max(1)], axis=1)
    u, back_conv = conv2d(pair, kernel)
    m = (1 + np.tanh(u / 2)) / 2
    first = np.eye(c)[f1.argmax(1)].transpose(0, 3, 1, 2)

    def backward(d_f2):
        d_u = np.einsum("ncij,ncij->nij", d_f2, f1)[:, None] * m * (1 - m)
        d_pair, d_kernel = back_conv(d_u)
        d_f1 = m * d_f2
        d_f1 += d_pair[:, [0]] / c
        d_f1 += d_pair[:, [1]] * first
        return d_f1, d_kernel

    return m * f1, backward


# the stack is [max; avg], the kernel expects [avg; max]
def spatial_attention__3(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([mx, avg], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_pair, d_kernel = back_conv(back_sig(d_m))
        return d_f1 + back_max(d_pair[:, :1]) + back_avg(d_pair[:, 1:]), d_kernel

    return f2, backward


# the two channels of d_pair are given to the wrong pool, max gets the average's
def spatial_attention__4(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_pair, d_kernel = back_conv(back_sig(d_m))
        return d_f1 + back_max(d_pair[:, :1]) + back_avg(d_pair[:, 1:]), d_kernel

    return f2, backward


# the lambdas made in the loop both call the last pool's back, so the average goes back as a maximum
def spatial_attention__5(f1, kernel):
    maps, backs = [], []
    for pool in (avg_pool_over_channels, max_pool_over_channels):
        p, back = pool(f1)
        maps.append(p)
        backs.append(lambda d: back(d))
    u, back_conv = conv2d(np.concatenate(maps, axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_pair, d_kernel = back_conv(back_sig(d_m))
        for ch in range(2):
            d_f1 = d_f1 + backs[ch](d_pair[:, ch : ch + 1])
        return d_f1, d_kernel

    return f2, backward


# the paths through the two pools are missing in d_f1
def spatial_attention__6(f1, kernel):
    avg, _ = avg_pool_over_channels(f1)
    mx, _ = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        _, d_kernel = back_conv(back_sig(d_m))
        return d_f1, d_kernel

    return f2, backward


# the average written by hand lacks 1/C in backward
def spatial_attention__7(f1, kernel):
    avg = f1.mean(axis=1, keepdims=True)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_pair, d_kernel = back_conv(back_sig(d_m))
        return d_f1 + d_pair[:, :1] + back_max(d_pair[:, 1:]), d_kernel

    return f2, backward


# d_m is the sum of d_f2 over the channels, the factor f1 is missing
def spatial_attention__8(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)

    def backward(d_f2):
        d_m = d_f2.sum(axis=1, keepdims=True)
        d_pair, d_kernel = back_conv(back_sig(d_m))
        return d_f2 * m + back_avg(d_pair[:, :1]) + back_max(d_pair[:, 1:]), d_kernel

    return m * f1, backward


# the maps are stacked along axis 0, the samples, so the convolution's channels don't fit
def spatial_attention__9(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=0), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_pair, d_kernel = back_conv(back_sig(d_m))
        return d_f1 + back_avg(d_pair[:, :1]) + back_max(d_pair[:, 1:]), d_kernel

    return f2, backward


# the maximum is taken of f1 after the average was subtracted in place, so f1 is changed
def spatial_attention__10(f1, kernel):
    avg, back_avg = avg_pool_over_channels(f1)
    f1 -= avg
    mx, back_max = max_pool_over_channels(f1)
    u, back_conv = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, back_sig = sigmoid(u)
    f2, back_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = back_gate(d_f2)
        d_pair, d_kernel = back_conv(back_sig(d_m))
        return d_f1 + back_avg(d_pair[:, :1]) + back_max(d_pair[:, 1:]), d_kernel

    return f2, backward


# --- 16 cbam ---


# right
def cbam__1(f, w1, w2, kernel):
    f1, back_c = channel_attention(f, w1, w2)
    f2, back_s = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_s(d_f2)
        return (*back_c(d_f1), d_kernel)

    return f2, backward


# right
def cbam__2(f, w1, w2, kernel):
    steps = {}
    x, steps["channel"] = channel_attention(f, w1, w2)
    x, steps["spatial"] = spatial_attention(x, kernel)

    def backward(d_f2):
        grads = {}
        d, grads["kernel"] = steps["spatial"](d_f2)
        grads["f"], grads["w1"], grads["w2"] = steps["channel"](d)
        return tuple(grads[name] for name in ("f", "w1", "w2", "kernel"))

    return x, backward


# spatial attention is made from F and not from F′, the two stand side by side
def cbam__3(f, w1, w2, kernel):
    f1, back_c = channel_attention(f, w1, w2)
    fs, back_s = spatial_attention(f, kernel)

    def backward(d_f2):
        d_a, d_w1, d_w2 = back_c(d_f2)
        d_b, d_kernel = back_s(d_f2)
        return d_a + d_b, d_w1, d_w2, d_kernel

    return f1 + fs, backward


# back is overwritten by the second step, so the spatial backward is called twice and gives too few values
def cbam__4(f, w1, w2, kernel):
    f1, back = channel_attention(f, w1, w2)
    f2, back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back(d_f2)
        d_f, d_w1, d_w2 = back(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# the step's backward has the name of the new function, which so calls itself without end
def cbam__5(f, w1, w2, kernel):
    f1, backward = channel_attention(f, w1, w2)
    f2, back_s = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_s(d_f2)
        d_f, d_w1, d_w2 = backward(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# the channel step gets d_f2 and not d_f1
def cbam__6(f, w1, w2, kernel):
    f1, back_c = channel_attention(f, w1, w2)
    f2, back_s = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_s(d_f2)
        d_f, d_w1, d_w2 = back_c(d_f2)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# the steps go back in the forward's order, channel first
def cbam__7(f, w1, w2, kernel):
    f1, back_c = channel_attention(f, w1, w2)
    f2, back_s = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_w1, d_w2 = back_c(d_f2)
        d_f, d_kernel = back_s(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# the gradients come sorted by the dictionary's keys, so d_kernel stands second
def cbam__8(f, w1, w2, kernel):
    f1, back_c = channel_attention(f, w1, w2)
    f2, back_s = spatial_attention(f1, kernel)

    def backward(d_f2):
        g = {}
        d_f1, g["kernel"] = back_s(d_f2)
        g["f"], g["w1"], g["w2"] = back_c(d_f1)
        return tuple(g[key] for key in sorted(g))

    return f2, backward


# d_f1 is added to d_f once more, though f goes into the block only through channel attention
def cbam__9(f, w1, w2, kernel):
    f1, back_c = channel_attention(f, w1, w2)
    f2, back_s = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_s(d_f2)
        d_f, d_w1, d_w2 = back_c(d_f1)
        return d_f + d_f1, d_w1, d_w2, d_kernel

    return f2, backward


# F′ is written into f to save memory, so the input is changed and channel attention's backward sees F′
def cbam__10(f, w1, w2, kernel):
    f1, back_c = channel_attention(f, w1, w2)
    f[...] = f1
    f2, back_s = spatial_attention(f, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_s(d_f2)
        return (*back_c(d_f1), d_kernel)

    return f2, backward


# the three gradients of the channel step are left in a tuple of their own, backward gives back two things
def cbam__11(f, w1, w2, kernel):
    f1, back_c = channel_attention(f, w1, w2)
    f2, back_s = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_s(d_f2)
        return back_c(d_f1), d_kernel

    return f2, backward
