import math

import numpy as np

# ---------------------------------------------------------------------------------------------------------- slopes


# right
def slopes__1(op, inputs, which, d_out):
    eps = 1e-5

    def loss(arr):
        args = list(inputs)
        args[which] = arr
        y, _ = op(*args)
        return (y * d_out).sum()

    base = inputs[which]
    grad = np.zeros(base.shape)
    for pos in np.ndindex(*base.shape):
        up, down = base.copy(), base.copy()
        up[pos] += eps
        down[pos] -= eps
        grad[pos] = (loss(up) - loss(down)) / (2 * eps)
    return grad


# right
def slopes__2(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    before, after = inputs[:which], inputs[which + 1 :]
    steps = eps * np.eye(x.size).reshape((x.size,) + x.shape)
    f = lambda v: float(np.vdot(op(*before, v, *after)[0], d_out))
    return np.array([f(x + s) - f(x - s) for s in steps]).reshape(x.shape) / (2 * eps)


# right
def slopes__3(op, inputs, which, d_out, h=2e-5):
    work = [np.array(a, dtype=float) for a in inputs]
    target = work[which]
    result = np.empty_like(target)
    it = np.nditer(target, flags=["multi_index"])
    while not it.finished:
        i = it.multi_index
        keep = target[i]
        total = 0.0
        for sign in (1, -1):
            target[i] = keep + sign * h
            total += sign * np.sum(op(*work)[0] * d_out)
        target[i] = keep
        result[i] = total / (2 * h)
        it.iternext()
    return result


# L is the plain sum of out, d_out isn't used
def slopes__4(op, inputs, which, d_out):
    eps = 1e-5

    def loss(arr):
        args = list(inputs)
        args[which] = arr
        return op(*args)[0].sum()

    base = inputs[which]
    grad = np.zeros(base.shape)
    for pos in np.ndindex(*base.shape):
        up, down = base.copy(), base.copy()
        up[pos] += eps
        down[pos] -= eps
        grad[pos] = (loss(up) - loss(down)) / (2 * eps)
    return grad


# op's result is used as if it were the array out alone, but it is the pair (out, backward): stops with an error
def slopes__5(op, inputs, which, d_out):
    eps = 1e-5

    def loss(arr):
        args = list(inputs)
        args[which] = arr
        return np.sum(op(*args) * d_out)

    base = inputs[which]
    grad = np.zeros(base.shape)
    for pos in np.ndindex(*base.shape):
        up, down = base.copy(), base.copy()
        up[pos] += eps
        down[pos] -= eps
        grad[pos] = (loss(up) - loss(down)) / (2 * eps)
    return grad


# all entries are moved at once, so every entry gets the slope of the whole array
def slopes__6(op, inputs, which, d_out):
    eps = 1e-5
    args_up, args_dn = list(inputs), list(inputs)
    args_up[which] = inputs[which] + eps
    args_dn[which] = inputs[which] - eps
    diff = np.sum(d_out * op(*args_up)[0]) - np.sum(d_out * op(*args_dn)[0])
    return np.full(inputs[which].shape, diff / (2 * eps))


# flatten() makes a copy: the entries of the copy are moved and op never sees it, so all slopes are 0
def slopes__7(op, inputs, which, d_out):
    eps = 1e-5
    flat = inputs[which].flatten()
    out = np.zeros(flat.size)
    for i in range(flat.size):
        old = flat[i]
        flat[i] = old + eps
        hi = np.sum(op(*inputs)[0] * d_out)
        flat[i] = old - eps
        lo = np.sum(op(*inputs)[0] * d_out)
        flat[i] = old
        out[i] = (hi - lo) / (2 * eps)
    return out.reshape(inputs[which].shape)


# list(inputs) shares the arrays: + and - are done on the same array, so both losses are the same and the slope is 0
def slopes__8(op, inputs, which, d_out):
    eps = 1e-5
    res = np.zeros(inputs[which].shape)
    for ix in np.ndindex(res.shape):
        plus, minus = list(inputs), list(inputs)
        plus[which][ix] += eps
        minus[which][ix] -= eps
        l_plus = np.sum(op(*plus)[0] * d_out)
        l_minus = np.sum(op(*minus)[0] * d_out)
        res[ix] = (l_plus - l_minus) / (2 * eps)
    return res


# the entry isn't put back after the second step: the input stays ε lower everywhere
def slopes__9(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    res = np.zeros_like(x)
    for ix in np.ndindex(x.shape):
        x[ix] += eps
        hi = np.sum(op(*inputs)[0] * d_out)
        x[ix] -= 2 * eps
        lo = np.sum(op(*inputs)[0] * d_out)
        res[ix] = (hi - lo) / (2 * eps)
    return res


# ε is 1e-14: the difference is nothing but rounding
def slopes__10(op, inputs, which, d_out):
    eps = 1e-14
    x = inputs[which]
    res = np.zeros_like(x)

    def L(v):
        return np.sum(op(*[v if i == which else a for i, a in enumerate(inputs)])[0] * d_out)

    for ix in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[ix] = eps
        res[ix] = (L(x + step) - L(x - step)) / (2 * eps)
    return res


# the moved input is cast to float32, where a step of 1e-5 drowns in the rounding
def slopes__11(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which].astype(np.float32)
    res = np.zeros(x.shape)

    def L(v):
        return np.sum(op(*[v if i == which else a for i, a in enumerate(inputs)])[0] * d_out)

    for ix in np.ndindex(x.shape):
        up, dn = x.copy(), x.copy()
        up[ix] += eps
        dn[ix] -= eps
        res[ix] = (L(up) - L(dn)) / (2 * eps)
    return res


# the result is flat, not of the shape of the input
def slopes__12(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]

    def L(v):
        return np.sum(op(*[v if i == which else a for i, a in enumerate(inputs)])[0] * d_out)

    res = []
    for i in range(x.size):
        step = np.zeros(x.size)
        step[i] = eps
        step = step.reshape(x.shape)
        res.append((L(x + step) - L(x - step)) / (2 * eps))
    return np.array(res)


# return is indented into the loop: only the first entry gets a slope
def slopes__13(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    res = np.zeros_like(x)

    def L(v):
        return np.sum(op(*[v if i == which else a for i, a in enumerate(inputs)])[0] * d_out)

    for ix in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[ix] = eps
        res[ix] = (L(x + step) - L(x - step)) / (2 * eps)
        return res


# no differences at all: op's own backward is called and its answer is returned as the slopes
def slopes__14(op, inputs, which, d_out):
    _, backward = op(*inputs)
    grads = backward(d_out)
    if not isinstance(grads, tuple):
        grads = (grads,)
    return grads[which]


# L is the mean of d_out * out and not the sum
def slopes__15(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    res = np.zeros_like(x)

    def reduce_loss(v):
        args = list(inputs)
        args[which] = v
        return np.mean(op(*args)[0] * d_out)

    for ix in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[ix] = eps
        res[ix] = (reduce_loss(x + step) - reduce_loss(x - step)) / (2 * eps)
    return res


# the division is by 2 and then times ε, for lack of brackets around 2 * eps
def slopes__16(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    res = np.zeros_like(x)

    def L(v):
        args = list(inputs)
        args[which] = v
        return np.sum(op(*args)[0] * d_out)

    for ix in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[ix] = eps
        res[ix] = (L(x + step) - L(x - step)) / 2 * eps
    return res


# inputs is a tuple, and an entry of it is assigned: stops with an error
def slopes__17(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which].copy()
    res = np.zeros_like(x)
    for ix in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[ix] = eps
        inputs[which] = x + step
        hi = np.sum(op(*inputs)[0] * d_out)
        inputs[which] = x - step
        lo = np.sum(op(*inputs)[0] * d_out)
        res[ix] = (hi - lo) / (2 * eps)
    inputs[which] = x
    return res


# --------------------------------------------------------------------------------------------------- largest_error


# right
def largest_error__1(op, *inputs, seed=0):
    y, back = op(*inputs)
    dy = np.random.default_rng(seed).normal(size=y.shape)
    grads = back(dy)
    if len(inputs) == 1:
        grads = [grads]
    return max(np.abs(g - slopes(op, inputs, k, dy)).max() for k, g in enumerate(grads))


# right
def largest_error__2(op, *inputs, seed=0):
    y, back = op(*inputs)
    dy = np.random.RandomState(seed).uniform(-1, 1, y.shape)
    grads = back(dy)
    grads = grads if isinstance(grads, tuple) else (grads,)
    worst = 0.0
    for k in range(len(inputs)):
        gap = np.ravel(grads[k]) - np.ravel(slopes(op, inputs, k, dy))
        worst = max(worst, float(np.linalg.norm(gap, ord=np.inf)))
    return worst


# right
def largest_error__3(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    y, back = op(*inputs)
    dy = rng.random(y.shape) + 0.5
    flatten = lambda arrays: np.concatenate([np.ravel(a) for a in arrays])
    analytic = back(dy)
    if isinstance(analytic, np.ndarray):
        analytic = (analytic,)
    numeric = [slopes(op, inputs, i, dy) for i, _ in enumerate(inputs)]
    d = flatten(analytic) - flatten(numeric)
    return max(d.max(), -d.min())


# d_out is ones
def largest_error__4(op, *inputs, seed=0):
    y, back = op(*inputs)
    dy = np.ones_like(y)
    grads = back(dy)
    if len(inputs) == 1:
        grads = (grads,)
    return max(np.abs(g - slopes(op, inputs, k, dy)).max() for k, g in enumerate(grads))


# an op with a single input isn't thought of: its gradient isn't wrapped, so the zip takes the first row of it alone
def largest_error__5(op, *inputs, seed=0):
    y, back = op(*inputs)
    dy = np.random.default_rng(seed).normal(size=y.shape)
    errs = []
    for k, g in zip(range(len(inputs)), back(dy)):
        errs.append(np.abs(g - slopes(op, inputs, k, dy)).max())
    return max(errs)


# the differences keep their sign: a gradient that is too small isn't noticed
def largest_error__6(op, *inputs, seed=0):
    y, back = op(*inputs)
    dy = np.random.default_rng(seed).normal(size=y.shape)
    grads = back(dy)
    if not isinstance(grads, tuple):
        grads = (grads,)
    diffs = [g - slopes(op, inputs, k, dy) for k, g in enumerate(grads)]
    return max(d.max() for d in diffs)


# the difference is divided by the size of the two (a relative error)
def largest_error__7(op, *inputs, seed=0):
    y, back = op(*inputs)
    dy = np.random.default_rng(seed).normal(size=y.shape)
    grads = back(dy)
    if not isinstance(grads, tuple):
        grads = (grads,)

    def rel(a, b):
        return np.max(np.abs(a - b) / (np.abs(a) + np.abs(b) + 1e-8))

    return max(rel(g, slopes(op, inputs, k, dy)) for k, g in enumerate(grads))


# only the last input's error is returned: the variable is overwritten in each round
def largest_error__8(op, *inputs, seed=0):
    y, back = op(*inputs)
    dy = np.random.default_rng(seed).normal(size=y.shape)
    grads = back(dy)
    if not isinstance(grads, tuple):
        grads = (grads,)
    for k, g in enumerate(grads):
        err = np.abs(g - slopes(op, inputs, k, dy)).max()
    return err


# two different d_out: backward gets one draw, the slopes get the next one
def largest_error__9(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    y, back = op(*inputs)
    noise = lambda: rng.normal(size=y.shape)
    grads = back(noise())
    if len(inputs) == 1:
        grads = (grads,)
    return max(np.abs(g - slopes(op, inputs, k, noise())).max() for k, g in enumerate(grads))


# the maxima are compared with each other instead of the entries
def largest_error__10(op, *inputs, seed=0):
    y, back = op(*inputs)
    dy = np.random.default_rng(seed).normal(size=y.shape)
    grads = back(dy)
    if len(inputs) == 1:
        grads = (grads,)
    return max(abs(np.abs(g).max() - np.abs(slopes(op, inputs, k, dy)).max()) for k, g in enumerate(grads))


# the mean absolute difference instead of the largest
def largest_error__11(op, *inputs, seed=0):
    y, back = op(*inputs)
    dy = np.random.default_rng(seed).normal(size=y.shape)
    grads = back(dy)
    if len(inputs) == 1:
        grads = (grads,)
    return max(np.abs(g - slopes(op, inputs, k, dy)).mean() for k, g in enumerate(grads))


# gradients of different shapes are put into one np.array: stops with an error
def largest_error__12(op, *inputs, seed=0):
    y, back = op(*inputs)
    dy = np.random.default_rng(seed).normal(size=y.shape)
    grads = back(dy)
    if len(inputs) == 1:
        grads = (grads,)
    num = [slopes(op, inputs, k, dy) for k in range(len(inputs))]
    return np.abs(np.array(grads) - np.array(num)).max()


# d_out has the shape of the first input, not that of out: stops with an error or broadcasts
def largest_error__13(op, *inputs, seed=0):
    y, back = op(*inputs)
    dy = np.random.default_rng(seed).normal(size=inputs[0].shape)
    grads = back(dy)
    if len(inputs) == 1:
        grads = (grads,)
    return max(np.abs(g - slopes(op, inputs, k, dy)).max() for k, g in enumerate(grads))


# returns whether they are close (a bool) and not how far they are apart
def largest_error__14(op, *inputs, seed=0):
    y, back = op(*inputs)
    dy = np.random.default_rng(seed).normal(size=y.shape)
    grads = back(dy)
    if len(inputs) == 1:
        grads = (grads,)
    return all(np.allclose(g, slopes(op, inputs, k, dy)) for k, g in enumerate(grads))


# the input array itself is handed to slopes as `which`, not its number: stops with an error
def largest_error__15(op, *inputs, seed=0):
    y, back = op(*inputs)
    dy = np.random.default_rng(seed).normal(size=y.shape)
    grads = back(dy)
    if len(inputs) == 1:
        grads = (grads,)
    return max(np.abs(g - slopes(op, inputs, x, dy)).max() for x, g in zip(inputs, grads))


# the largest squared difference
def largest_error__16(op, *inputs, seed=0):
    y, back = op(*inputs)
    dy = np.random.default_rng(seed).normal(size=y.shape)
    grads = back(dy)
    if len(inputs) == 1:
        grads = (grads,)
    return max(((g - slopes(op, inputs, k, dy)) ** 2).max() for k, g in enumerate(grads))


# --------------------------------------------------------------------------------------------- avg_pool_over_space


# right
def avg_pool_over_space__1(f):
    n, c, h, w = f.shape
    pooled = np.einsum("nchw->nc", f) / (h * w)
    return pooled, lambda d: np.einsum("nc,hw->nchw", d, np.full((h, w), 1 / (h * w)))


# right
def avg_pool_over_space__2(f):
    flat = f.reshape(*f.shape[:2], -1)
    area = flat.shape[-1]

    def spread(d):
        return np.repeat(d, area).reshape(f.shape) / area

    return flat.mean(-1), spread


# channels-last axes: the average is over axes 1 and 2
def avg_pool_over_space__3(f):
    n, h, w, c = f.shape
    out = f.mean(axis=(1, 2))

    def backward(d):
        return np.broadcast_to(d[:, None, None, :] / (h * w), f.shape)

    return out, backward


# the gradient keeps length-1 axes for space and isn't spread over the pixels
def avg_pool_over_space__4(f):
    area = f.shape[2] * f.shape[3]
    out = f.mean(axis=(2, 3))

    def backward(d):
        return d[:, :, np.newaxis, np.newaxis] / area

    return out, backward


# the mean over axis 2 is followed by a mean over axis 1, but after the first one that's the channels: stays (N, W)
def avg_pool_over_space__5(f):
    area = f.shape[2] * f.shape[3]
    out = f.mean(axis=2).mean(axis=1)

    def backward(d):
        return np.ones(f.shape) * d[:, :, None, None] / area

    return out, backward


# floor division: d // (h * w) rounds the gradient down to whole numbers
def avg_pool_over_space__6(f):
    h, w = f.shape[-2:]
    out = f.mean((-2, -1))

    def backward(d):
        return np.zeros_like(f) + (d // (h * w))[..., None, None]

    return out, backward


# the gradient is filled in by reshaping a tiled array: tile repeats the whole (N, C) block, so pixels get other channels' d
def avg_pool_over_space__7(f):
    h, w = f.shape[-2:]
    out = f.mean((-2, -1))

    def backward(d):
        return np.tile(d / (h * w), h * w).reshape(f.shape)

    return out, backward


# out keeps the two axes of length 1 (keepdims), so it is (N, C, 1, 1)
def avg_pool_over_space__8(f):
    h, w = f.shape[-2:]
    out = np.mean(f, axis=(2, 3), keepdims=True)

    def backward(d):
        return np.broadcast_to(d.reshape(f.shape[0], f.shape[1], 1, 1), f.shape) / (h * w)

    return out, backward


# np.reduce_mean doesn't exist (a TensorFlow name): stops with an error
def avg_pool_over_space__9(f):
    h, w = f.shape[-2:]
    out = np.reduce_mean(f, axis=(2, 3))

    def backward(d):
        return np.broadcast_to(d[..., None, None], f.shape) / (h * w)

    return out, backward


# --------------------------------------------------------------------------------------------- max_pool_over_space


# right
def max_pool_over_space__1(f):
    flat = f.reshape(*f.shape[:2], -1)
    winner = flat.argmax(-1)[..., None]

    def scatter(d):
        g = np.zeros(flat.shape)
        np.put_along_axis(g, winner, d[..., None], axis=-1)
        return g.reshape(f.shape)

    return np.take_along_axis(flat, winner, -1)[..., 0], scatter


# right
def max_pool_over_space__2(f):
    n, c, h, w = f.shape
    flat = f.reshape(n, c, h * w)
    one_hot = np.arange(h * w) == flat.argmax(2)[:, :, None]
    return flat.max(2), lambda d: (d[:, :, None] * one_hot).reshape(n, c, h, w)


# right
def max_pool_over_space__3(f):
    best = f.max(axis=(2, 3))

    def backward(d):
        d_f = np.zeros(f.shape)
        for n in range(f.shape[0]):
            for c in range(f.shape[1]):
                i, j = np.argwhere(f[n, c] == best[n, c])[0]
                d_f[n, c, i, j] += d[n, c]
        return d_f

    return best, backward


# right
def max_pool_over_space__4(f):
    n, c, h, w = f.shape
    hits = (f == f.max(axis=(2, 3), keepdims=True)).reshape(n, c, -1)
    first = hits & (np.cumsum(hits, axis=-1) == 1)
    mask = first.reshape(f.shape)
    return f.max(axis=3).max(axis=2), lambda d: np.where(mask, d[:, :, None, None], 0.0)


# every pixel that ties for the maximum gets the gradient
def max_pool_over_space__5(f):
    out = f.max(axis=(2, 3))
    mask = f == out[:, :, None, None]
    return out, lambda d: mask * d[:, :, None, None]


# the flat index is split with h instead of w
def max_pool_over_space__6(f):
    n, c, h, w = f.shape
    idx = f.reshape(n, c, -1).argmax(-1)

    def backward(d):
        d_f = np.zeros(f.shape)
        rows, cols = (idx // h) % h, idx % h
        ns, cs = np.indices((n, c))
        d_f[ns, cs, rows, cols] = d
        return d_f

    return f.max((2, 3)), backward


# the gradient is written into flatten(), which is a copy: the zeros are returned as they were
def max_pool_over_space__7(f):
    n, c, h, w = f.shape
    idx = f.reshape(n, c, -1).argmax(-1).ravel()

    def backward(d):
        d_f = np.zeros((n * c, h * w))
        d_f.flatten()[np.arange(n * c) * h * w + idx] = d.ravel()
        return d_f.reshape(f.shape)

    return f.max((2, 3)), backward


# argmax over two axes at once, which argmax can't: stops with an error
def max_pool_over_space__8(f):
    idx = f.argmax(axis=(2, 3))
    out = f.max(axis=(2, 3))

    def backward(d):
        d_f = np.zeros(f.shape)
        np.put_along_axis(d_f, idx, d, axis=2)
        return d_f

    return out, backward


# n and c are slices in the fancy index, so each channel's gradient is written to the maxima of all channels and samples
def max_pool_over_space__9(f):
    n, c, h, w = f.shape
    i, j = np.unravel_index(f.reshape(n, c, -1).argmax(-1), (h, w))

    def backward(d):
        d_f = np.zeros(f.shape)
        d_f[:, :, i, j] = d[:, :, None, None]
        return d_f

    return f.max((2, 3)), backward


# the row and the column of the maximum are looked up separately: with ties that may be a pixel that is no maximum
def max_pool_over_space__10(f):
    n, c, h, w = f.shape
    row = f.max(axis=3).argmax(axis=2)
    col = f.max(axis=2).argmax(axis=2)
    ns, cs = np.indices((n, c))

    def backward(d):
        d_f = np.zeros(f.shape)
        d_f[ns, cs, row, col] = d
        return d_f

    return f[ns, cs, row, col], backward


# the positions of the maxima are returned as out instead of the values
def max_pool_over_space__11(f):
    flat = f.reshape(f.shape[0], f.shape[1], -1)
    idx = flat.argmax(axis=-1)

    def backward(d):
        g = np.zeros_like(flat)
        np.put_along_axis(g, idx[..., None], d[..., None], -1)
        return g.reshape(f.shape)

    return idx, backward


# the space is flattened channels-last, (N, H*W, C) by reshape, so the maxima are over mixed-up channels
def max_pool_over_space__12(f):
    n, c, h, w = f.shape
    flat = f.reshape(n, h * w, c)
    idx = flat.argmax(axis=1)

    def backward(d):
        g = np.zeros_like(flat)
        np.put_along_axis(g, idx[:, None, :], d[:, None, :], 1)
        return g.reshape(f.shape)

    return flat.max(axis=1), backward


# the ties share the gradient: it is divided by their number
def max_pool_over_space__13(f):
    best = f.max(axis=(2, 3), keepdims=True)
    mask = (f == best).astype(float)
    share = mask / mask.sum(axis=(2, 3), keepdims=True)
    return best[:, :, 0, 0], lambda d: share * d[:, :, None, None]


# on ties the last pixel wins: the search runs with >=
def max_pool_over_space__14(f):
    n, c, h, w = f.shape
    out = np.full((n, c), -np.inf)
    pos = {}
    for a in range(n):
        for b in range(c):
            for i in range(h):
                for j in range(w):
                    if f[a, b, i, j] >= out[a, b]:
                        out[a, b] = f[a, b, i, j]
                        pos[a, b] = i, j

    def backward(d):
        g = np.zeros(f.shape)
        for (a, b), (i, j) in pos.items():
            g[a, b, i, j] = d[a, b]
        return g

    return out, backward


# the running maximum starts at 0, so a channel of negative numbers has the maximum 0
def max_pool_over_space__15(f):
    n, c, h, w = f.shape
    out = np.zeros((n, c))
    for i in range(h):
        for j in range(w):
            out = np.maximum(out, f[:, :, i, j])
    flat = f.reshape(n, c, -1)
    pick = flat.argmax(-1)

    def backward(d):
        g = np.zeros((n, c, h * w))
        np.put_along_axis(g, pick[..., None], d[..., None], -1)
        return g.reshape(f.shape)

    return out, backward


# ------------------------------------------------------------------------------------------ avg_pool_over_channels


# right
def avg_pool_over_channels__1(f):
    depth = f.shape[1]
    return np.add.reduce(f, axis=1, keepdims=True) / depth, lambda d: np.repeat(d / depth, depth, axis=1)


# right
def avg_pool_over_channels__2(f):
    c = f.shape[1]
    weights = np.ones((1, c)) / c
    out = np.einsum("oc,nchw->nohw", weights, f)

    def backward(d):
        return np.einsum("oc,nohw->nchw", weights, d)

    return out, backward


# the channel axis is dropped: out is (N, H, W)
def avg_pool_over_channels__3(f):
    c = f.shape[1]
    return f.mean(axis=1), lambda d: np.repeat(d.reshape(f.shape[0], 1, *f.shape[2:]), c, axis=1) / c


# channels-last: the mean is over axis -1, the columns
def avg_pool_over_channels__4(f):
    c = f.shape[-1]
    return f.mean(axis=-1, keepdims=True), lambda d: np.repeat(d, c, axis=-1) / c


# the gradient is tiled along the first axis (the samples), (C*N, 1, H, W)
def avg_pool_over_channels__5(f):
    c = f.shape[1]
    out = f.mean(1, keepdims=True)

    def backward(d):
        return np.tile(d / c, (c, 1, 1, 1))

    return out, backward


# backward divides by H·W, as in the pooling over space, and not by C
def avg_pool_over_channels__6(f):
    n, c, h, w = f.shape
    out = f.mean(1, keepdims=True)

    def backward(d):
        return np.ones((n, c, h, w)) * d / (h * w)

    return out, backward


# backward multiplies by f, as if the average's slope were the input
def avg_pool_over_channels__7(f):
    c = f.shape[1]
    out = f.mean(1, keepdims=True)

    def backward(d):
        return d * f / c

    return out, backward


# ------------------------------------------------------------------------------------------ max_pool_over_channels


# right
def max_pool_over_channels__1(f):
    top = np.argmax(f, axis=1)
    one_hot = np.moveaxis(np.eye(f.shape[1])[top], -1, 1)
    return (f * one_hot).sum(axis=1, keepdims=True), lambda d: d * one_hot


# right
def max_pool_over_channels__2(f):
    n, c, h, w = f.shape
    best, owner = f[:, 0].copy(), np.zeros((n, h, w), int)
    for k in range(1, c):
        better = f[:, k] > best
        best[better] = f[:, k][better]
        owner[better] = k

    def backward(d):
        return np.stack([np.where(owner == k, d[:, 0], 0) for k in range(c)], axis=1)

    return best[:, None], backward


# right
def max_pool_over_channels__3(f):
    n, c, h, w = f.shape
    a, i, j = np.ogrid[:n, :h, :w]
    k = f.argmax(1)

    def backward(d):
        g = np.zeros(f.shape)
        np.add.at(g, (a, k, i, j), d[:, 0])
        return g

    return f[a, k, i, j].reshape(n, 1, h, w), backward


# the one-hot mask has the channels last and isn't moved to axis 1: the gradient is (N, H, W, C)
def max_pool_over_channels__4(f):
    top = np.argmax(f, axis=1)
    one_hot = np.eye(f.shape[1])[top]
    return f.max(axis=1, keepdims=True), lambda d: d[:, 0, :, :, None] * one_hot


# the loop takes over with >=, so on ties the last channel wins
def max_pool_over_channels__5(f):
    n, c, h, w = f.shape
    best, owner = f[:, 0].copy(), np.zeros((n, h, w), int)
    for k in range(1, c):
        better = f[:, k] >= best
        best[better] = f[:, k][better]
        owner[better] = k

    def backward(d):
        return np.stack([np.where(owner == k, d[:, 0], 0) for k in range(c)], axis=1)

    return best[:, None], backward


# argmax without keepdims is handed to take_along_axis, a 3-d index for a 4-d array: stops with an error
def max_pool_over_channels__6(f):
    top = f.argmax(axis=1)
    out = np.take_along_axis(f, top, axis=1)

    def backward(d):
        g = np.zeros_like(f)
        np.put_along_axis(g, top, d, axis=1)
        return g

    return out, backward


# the sign is lost: it is the maximum of the absolute values
def max_pool_over_channels__7(f):
    top = np.abs(f).argmax(axis=1)[:, None]
    out = np.abs(f).max(axis=1, keepdims=True)

    def backward(d):
        g = np.zeros_like(f)
        np.put_along_axis(g, top, d, axis=1)
        return g

    return out, backward


# the mask marks all channels that tie, not the first one only
def max_pool_over_channels__8(f):
    out = np.amax(f, 1, keepdims=True)
    is_max = np.isclose(f, out)

    def backward(d):
        return d * is_max

    return out, backward


# the max is over the pixels of each channel, not over the channels at each pixel
def max_pool_over_channels__9(f):
    out = f.max(axis=(2, 3), keepdims=True)
    mask = f == out

    def backward(d):
        return d * mask

    return out, backward


# ------------------------------------------------------------------------------------------------------------ relu


# right
def relu__1(x):
    return np.where(x > 0, x, 0), lambda g: np.where(x > 0, g, 0)


# right
def relu__2(x):
    gate_open = np.heaviside(x, 0)

    def pull_back(g):
        return np.multiply(g, gate_open)

    return (x + np.abs(x)) / 2, pull_back


# right
def relu__3(x):
    out = x.copy()
    out[out < 0] = 0

    def backward(g):
        d_x = np.array(g)
        d_x[out == 0] = 0
        return d_x

    return out, backward


# x itself is overwritten with zeros (in place)
def relu__4(x):
    dead = x <= 0
    x[dead] = 0
    return x, lambda g: g * ~dead


# d_out itself is overwritten with zeros (in place)
def relu__5(x):
    dead = x <= 0

    def backward(g):
        g[dead] = 0
        return g

    return np.maximum(x, 0), backward


# np.max(x, 0) takes the maximum along axis 0 instead of comparing with 0
def relu__6(x):
    return np.max(x, 0), lambda g: g * (x > 0)


# backward applies the ReLU to d_out: it looks at d_out's sign and not at x's
def relu__7(x):
    f = lambda v: np.maximum(v, 0)
    return f(x), f


# the gradient comes in a tuple of one
def relu__8(x):
    def backward(g):
        return (g * (x > 0),)

    return np.maximum(x, 0), backward


# np.sign as the slope: it is -1 where x is negative
def relu__9(x):
    slope = np.sign(x)
    return np.maximum(x, 0), lambda g: slope * g


# the slope at 0 is taken as a half
def relu__10(x):
    slope = np.heaviside(x, 0.5)
    return x * (x > 0), lambda g: g * slope


# Python's max on an array: stops with an error
def relu__11(x):
    return max(0, x), lambda g: g * (x > 0)


# ------------------------------------------------------------------------------------------------------------- mlp


# right
def mlp__1(x, w1, w2):
    dense = lambda a, w: a @ w.T
    hid, hid_back = relu(dense(x, w1))
    y = dense(hid, w2)

    def backward(dy):
        dz = hid_back(dy @ w2)
        return dz @ w1, dz.T @ x, dy.T @ hid

    return y, backward


# right
def mlp__2(x, w1, w2):
    z = np.einsum("nc,hc->nh", x, w1)
    act = z * (z > 0)

    def backward(dy):
        dz = np.einsum("nc,ch,nh->nh", dy, w2, z > 0)
        return np.einsum("nh,hc->nc", dz, w1), np.einsum("nh,nc->hc", dz, x), np.einsum("nc,nh->ch", dy, act)

    return np.einsum("nh,ch->nc", act, w2), backward


# right
def mlp__3(x, w1, w2):
    def forward_one(v):
        z = w1 @ v
        return z, np.maximum(z, 0)

    cache = [forward_one(v) for v in x]
    out = np.stack([w2 @ h for _, h in cache])

    def backward(d):
        d_x, d_w1, d_w2 = np.zeros(x.shape), np.zeros(w1.shape), np.zeros(w2.shape)
        for n, (z, h) in enumerate(cache):
            d_w2 += np.outer(d[n], h)
            dz = (w2.T @ d[n]) * (z > 0)
            d_w1 += np.outer(dz, x[n])
            d_x[n] = w1.T @ dz
        return d_x, d_w1, d_w2

    return out, backward


# right
def mlp__4(x, w1, w2):
    xt = x.T
    z = w1 @ xt
    h = np.clip(z, 0, None)

    def backward(d):
        dt = d.T
        dz = np.where(z > 0, w2.T @ dt, 0)
        return [(w1.T @ dz).T, dz @ xt.T, dt @ h.T]

    return (w2 @ h).T, backward


# the weights aren't transposed, x @ w1 as in Keras: stops with an error
def mlp__5(x, w1, w2):
    z = x @ w1
    h = np.maximum(z, 0)
    out = h @ w2

    def backward(d):
        dz = (d @ w2.T) * (z > 0)
        return dz @ w1.T, x.T @ dz, h.T @ d

    return out, backward


# the weights are reshaped into (C, hidden) and (hidden, C) instead of transposed
def mlp__6(x, w1, w2):
    hidden, c = w1.shape
    k1, k2 = w1.reshape(c, hidden), w2.reshape(hidden, c)
    z = x @ k1
    h = np.maximum(z, 0)

    def backward(d):
        dz = (d @ k2.T) * (z > 0)
        return dz @ k1.T, (x.T @ dz).reshape(w1.shape), (h.T @ d).reshape(w2.shape)

    return h @ k2, backward


# d_w1 and d_w2 are in Keras' layout (in, out): transposed
def mlp__7(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)

    def backward(d):
        dz = (d @ w2) * (z > 0)
        return dz @ w1, x.T @ dz, h.T @ d

    return h @ w2.T, backward


# relu's pair (out, backward) is used as the array h: stops with an error
def mlp__8(x, w1, w2):
    z = x @ w1.T
    h = relu(z)

    def backward(d):
        dz = (d @ w2) * (z > 0)
        return dz @ w1, dz.T @ x, d.T @ h

    return h @ w2.T, backward


# d_w2 uses z, the values before the ReLU, instead of h
def mlp__9(x, w1, w2):
    z = x @ w1.T
    h, mask_back = relu(z)

    def backward(d):
        dz = mask_back(d @ w2)
        return dz @ w1, dz.T @ x, d.T @ z

    return h @ w2.T, backward


# the mask is taken from d_h > 0 and not from z > 0 (relu is run forward on the gradient)
def mlp__10(x, w1, w2):
    z = x @ w1.T
    h, _ = relu(z)

    def backward(d):
        dz = relu(d @ w2)[0]
        return dz @ w1, dz.T @ x, d.T @ h

    return h @ w2.T, backward


# d_x lacks the ReLU's mask, d_w1 has it
def mlp__11(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)

    def backward(d):
        d_h = d @ w2
        dz = d_h * (z > 0)
        return d_h @ w1, dz.T @ x, d.T @ h

    return h @ w2.T, backward


# the gradients of the weights are averaged over the samples
def mlp__12(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)

    def backward(d):
        batch = len(x)
        dz = (d @ w2) * (z > 0)
        return dz @ w1, dz.T @ x / batch, d.T @ h / batch

    return h @ w2.T, backward


# the sample loop assigns d_w1 and d_w2 with = and not +=, so the last sample's remain
def mlp__13(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)

    def backward(d):
        d_x = np.zeros_like(x)
        for n in range(len(x)):
            dz = (w2.T @ d[n]) * (z[n] > 0)
            d_w2 = np.outer(d[n], h[n])
            d_w1 = np.outer(dz, x[n])
            d_x[n] = w1.T @ dz
        return d_x, d_w1, d_w2

    return h @ w2.T, backward


# a ReLU after the second layer too
def mlp__14(x, w1, w2):
    def layer(a, w):
        y, act_back = relu(a @ w.T)

        def back(g):
            g = act_back(g)
            return g @ w, g.T @ a

        return y, back

    h, back1 = layer(x, w1)
    out, back2 = layer(h, w2)

    def backward(d):
        d_h, d_w2 = back2(d)
        d_x, d_w1 = back1(d_h)
        return d_x, d_w1, d_w2

    return out, backward


# the results are in the order of Keras' weights first: d_w1, d_w2, d_x
def mlp__15(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)

    def backward(d):
        dz = (d @ w2) * (z > 0)
        return dz.T @ x, d.T @ h, dz @ w1

    return h @ w2.T, backward


# the weights are updated in place by backward, as a training step would do
def mlp__16(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)

    def backward(d, lr=0.01):
        dz = (d @ w2) * (z > 0)
        d_x, d_w1, d_w2 = dz @ w1, dz.T @ x, d.T @ h
        w1[...] -= lr * d_w1
        w2[...] -= lr * d_w2
        return d_x, d_w1, d_w2

    return h @ w2.T, backward


# d_w1 is the outer product of the sums over the samples, not the sum of the outer products
def mlp__17(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)

    def backward(d):
        dz = (d @ w2) * (z > 0)
        return dz @ w1, np.outer(dz.sum(0), x.sum(0)), d.T @ h

    return h @ w2.T, backward


# --------------------------------------------------------------------------------------------------------- sigmoid


# right
def sigmoid__1(x):
    p = 0.5 + 0.5 * np.tanh(x / 2)
    return p, lambda g: g * p * (1 - p)


# right
def sigmoid__2(x):
    small = np.exp(-np.abs(x))
    p = np.where(x < 0, small, 1) / (1 + small)

    def backward(g):
        return g * small / (1 + small) ** 2

    return p, backward


# right
def sigmoid__3(x):
    with np.errstate(over="ignore"):
        p = 1 / (1 + np.exp(-x))
    return p, lambda g: (p - p**2) * g


# right
def sigmoid__4(x):
    p = np.exp(-np.logaddexp(0, -x))
    return p, lambda g: p * (1.0 - p) * g


# e^{-x} overflows at -1000
def sigmoid__5(x):
    p = 1 / (1 + np.exp(-x))
    return p, lambda g: g * p * (1 - p)


# e^x / (1 + e^x) with the NaN at large x turned into 0 by nan_to_num: σ(1000) is 0
def sigmoid__6(x):
    with np.errstate(all="ignore"):
        e = np.exp(x)
        p = np.nan_to_num(e / (1 + e))
    return p, lambda g: g * p * (1 - p)


# np.where computes both branches for all x, so e^x overflows in the one that isn't used
def sigmoid__7(x):
    p = np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))
    return p, lambda g: g * p * (1 - p)


# x is clipped to ±10, which is too narrow: σ(-1000) comes out as 4.5e-5
def sigmoid__8(x):
    p = 1 / (1 + np.exp(-np.clip(x, -10, 10)))
    return p, lambda g: g * p * (1 - p)


# the masks are x > 0 and x < 0: x = 0 belongs to neither and σ(0) stays 0
def sigmoid__9(x):
    p = np.zeros_like(x)
    pos, neg = x > 0, x < 0
    p[pos] = 1 / (1 + np.exp(-x[pos]))
    p[neg] = np.exp(x[neg]) / (1 + np.exp(x[neg]))
    return p, lambda g: g * p * (1 - p)


# backward uses x (1 - x) with the input instead of out
def sigmoid__10(x):
    p = (1 + np.tanh(x / 2)) / 2
    return p, lambda g: g * x * (1 - x)


# the brackets are missing, d_out * p - p²: p² isn't multiplied by d_out
def sigmoid__11(x):
    p = (1 + np.tanh(x / 2)) / 2

    def backward(d_out):
        return d_out * p - p**2

    return p, backward


# tanh(x) where it should be tanh(x / 2): a sigmoid twice as steep (its backward fits the right one)
def sigmoid__12(x):
    p = (1 + np.tanh(x)) / 2
    return p, lambda g: g * p * (1 - p)


# Keras' hard sigmoid, a straight line clipped to 0..1
def sigmoid__13(x):
    p = np.clip(0.2 * x + 0.5, 0, 1)
    return p, lambda g: g * 0.2 * ((p > 0) & (p < 1))


# math.exp on an array: stops with an error
def sigmoid__14(x):
    p = 1 / (1 + math.exp(-x))
    return p, lambda g: g * p * (1 - p)


# an `if x >= 0` on the whole array: stops with an error
def sigmoid__15(x):
    if x >= 0:
        p = 1 / (1 + np.exp(-x))
    else:
        p = np.exp(x) / (1 + np.exp(x))
    return p, lambda g: g * p * (1 - p)


# the sigmoid is computed in float32 to save memory
def sigmoid__16(x):
    p = 0.5 + 0.5 * np.tanh(0.5 * x.astype(np.float32))
    return p, lambda g: g * p * (1 - p)


# ------------------------------------------------------------------------------------------------------------ gate


# right
def gate__1(m, f):
    def unbroadcast(g, like):
        axes = tuple(ax for ax, size in enumerate(like.shape) if size == 1)
        return g.sum(axis=axes, keepdims=True)

    return m * f, lambda d: (unbroadcast(d * f, m), d * m)


# right
def gate__2(m, f):
    per_channel = m.shape[-2:] == (1, 1) and f.shape[-2:] != (1, 1)

    def backward(d):
        if per_channel:
            d_m = np.einsum("nchw,nchw->nc", d, f)[:, :, None, None]
        elif m.shape == f.shape:
            d_m = d * f
        else:
            d_m = np.einsum("nchw,nchw->nhw", d, f)[:, None]
        return d_m, np.multiply(d, m)

    return np.multiply(m, f), backward


# right
def gate__3(m, f):
    big = np.broadcast_to(m, f.shape)

    def backward(d):
        grad = d * f
        for ax in range(4):
            if m.shape[ax] == 1 and f.shape[ax] > 1:
                grad = np.add.reduce(grad, axis=ax, keepdims=True)
        return grad, d * big

    return big * f, backward


# d_m is always summed over space, also for a map (N, 1, H, W)
def gate__4(m, f):
    def backward(d):
        return (d * f).sum(axis=(2, 3), keepdims=True), d * m

    return m * f, backward


# d_m is the mean over the broadcast axes, not the sum
def gate__5(m, f):
    ax = (2, 3) if m.shape[2:] == (1, 1) else 1

    def backward(d):
        return np.mean(d * f, axis=ax, keepdims=True), d * m

    return m * f, backward


# the two cases are swapped: a map of one number per channel is summed over channels, a map of pixels over space
def gate__6(m, f):
    channel_map = m.shape[1] == 1

    def backward(d):
        axes = (2, 3) if channel_map else (1,)
        return (d * f).sum(axis=axes, keepdims=True), d * m

    return m * f, backward


# d_f is d_out times out instead of d_out times m
def gate__7(m, f):
    out = m * f
    axes = tuple(np.flatnonzero(np.array(m.shape) == 1))

    def backward(d):
        return (d * f).sum(axis=axes, keepdims=True), d * out

    return out, backward


# a matrix product (@) instead of a product entry by entry: stops with an error or has the wrong numbers
def gate__8(m, f):
    axes = tuple(np.flatnonzero(np.array(m.shape) == 1))

    def backward(d):
        return (d * f).sum(axis=axes, keepdims=True), d * m

    return m @ f, backward


# the sum has no keepdims, d_m has lost its axes of length 1
def gate__9(m, f):
    axes = tuple(np.flatnonzero(np.array(m.shape) == 1))

    def backward(d):
        return (d * f).sum(axis=axes), d * m

    return m * f, backward


# f is multiplied in place (f *= m), so the caller's features are changed
def gate__10(m, f):
    orig = f.copy()
    axes = tuple(np.flatnonzero(np.array(m.shape) == 1))
    f *= m

    def backward(d):
        return (d * orig).sum(axis=axes, keepdims=True), d * m

    return f, backward


# d_m is summed over the samples too
def gate__11(m, f):
    axes = (0, 2, 3) if m.shape[-1] == 1 else (0, 1)

    def backward(d):
        s = (d * f).sum(axis=axes, keepdims=True)
        return np.broadcast_to(s, m.shape), d * m

    return m * f, backward


# d_m is reshaped to m's shape without a sum: stops with an error
def gate__12(m, f):
    def backward(d):
        return (d * f).reshape(m.shape), (d * m).reshape(f.shape)

    return m * f, backward


# d_m is d_out summed, f is missing from it
def gate__13(m, f):
    def reduce_to(g, shape):
        return g.sum(axis=tuple(i for i in range(4) if shape[i] == 1), keepdims=True)

    def backward(d):
        return reduce_to(d, m.shape), d * m

    return m * f, backward


# ----------------------------------------------------------------------------------------------- channel_attention


# right
def channel_attention__1(f, w1, w2):
    n, c = f.shape[:2]
    avg, avg_bwd = avg_pool_over_space(f)
    mx, mx_bwd = max_pool_over_space(f)
    both, mlp_bwd = mlp(np.concatenate([avg, mx]), w1, w2)
    att, att_bwd = sigmoid(both[:n] + both[n:])
    out, gate_bwd = gate(att.reshape(n, c, 1, 1), f)

    def backward(d):
        d_att, d_direct = gate_bwd(d)
        d_s = att_bwd(d_att.reshape(n, c))
        d_pooled, d_w1, d_w2 = mlp_bwd(np.concatenate([d_s, d_s]))
        return d_direct + avg_bwd(d_pooled[:n]) + mx_bwd(d_pooled[n:]), d_w1, d_w2

    return out, backward


# right
def channel_attention__2(f, w1, w2):
    branches = []
    score = 0
    for pool in (avg_pool_over_space, max_pool_over_space):
        p, p_back = pool(f)
        y, y_back = mlp(p, w1, w2)
        score = score + y
        branches.append((p_back, y_back))
    att, att_back = sigmoid(score[:, :, None, None])
    f1, gate_back = gate(att, f)

    def backward(d_f1):
        d_att, d_f = gate_back(d_f1)
        d_score = att_back(d_att)[:, :, 0, 0]
        d_w1, d_w2 = np.zeros(w1.shape), np.zeros(w2.shape)
        for p_back, y_back in branches:
            d_p, g1, g2 = y_back(d_score)
            d_f = d_f + p_back(d_p)
            d_w1 = d_w1 + g1
            d_w2 = d_w2 + g2
        return d_f, d_w1, d_w2

    return f1, backward


# right
def channel_attention__3(f, w1, w2):
    n, c, h, w = f.shape
    flat = f.reshape(n, c, h * w)
    who = flat.argmax(2)
    p = [flat.mean(2), flat.max(2)]
    z = [q @ w1.T for q in p]
    hid = [np.maximum(q, 0) for q in z]
    s = (hid[0] + hid[1]) @ w2.T
    m = 0.5 * (1 + np.tanh(s / 2))

    def backward(d):
        d = d.reshape(n, c, h * w)
        ds = (d * flat).sum(2) * m * (1 - m)
        dz = [(ds @ w2) * (q > 0) for q in z]
        d_w2 = ds.T @ (hid[0] + hid[1])
        d_w1 = dz[0].T @ p[0] + dz[1].T @ p[1]
        g = d * m[:, :, None] + (dz[0] @ w1)[:, :, None] / (h * w)
        np.add.at(g, (np.arange(n)[:, None], np.arange(c), who), dz[1] @ w1)
        return g.reshape(f.shape), d_w1, d_w2

    return (flat * m[:, :, None]).reshape(f.shape), backward


# the map stays (N, C) and isn't given axes for the pixels before the gate: stops with an error
def channel_attention__4(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, mx_back = max_pool_over_space(f)
    a, a_back = mlp(avg, w1, w2)
    b, b_back = mlp(mx, w1, w2)
    m, m_back = sigmoid(a + b)
    f1, g_back = gate(m, f)

    def backward(d):
        d_m, d_f = g_back(d)
        d_s = m_back(d_m)
        da, da1, da2 = a_back(d_s)
        db, db1, db2 = b_back(d_s)
        return d_f + avg_back(da) + mx_back(db), da1 + db1, da2 + db2

    return f1, backward


# the map is given its axes channels-last, (N, 1, 1, C): stops with an error, as it doesn't fit f
def channel_attention__5(f, w1, w2):
    n, c = f.shape[:2]
    avg, avg_back = avg_pool_over_space(f)
    mx, mx_back = max_pool_over_space(f)
    a, a_back = mlp(avg, w1, w2)
    b, b_back = mlp(mx, w1, w2)
    m, m_back = sigmoid(a + b)
    f1, g_back = gate(m.reshape(n, 1, 1, c), f)

    def backward(d):
        d_m, d_f = g_back(d)
        d_s = m_back(d_m.reshape(n, c))
        da, da1, da2 = a_back(d_s)
        db, db1, db2 = b_back(d_s)
        return d_f + avg_back(da) + mx_back(db), da1 + db1, da2 + db2

    return f1, backward


# the pooled vectors are added before the MLP, one MLP(avg + max)
def channel_attention__6(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, mx_back = max_pool_over_space(f)
    s, s_back = mlp(avg + mx, w1, w2)
    m, m_back = sigmoid(s)
    f1, g_back = gate(m[:, :, None, None], f)

    def backward(d):
        d_m, d_f = g_back(d)
        d_p, d_w1, d_w2 = s_back(m_back(d_m[:, :, 0, 0]))
        return d_f + avg_back(d_p) + mx_back(d_p), d_w1, d_w2

    return f1, backward


# each branch has its own sigmoid, and the two maps are added
def channel_attention__7(f, w1, w2):
    def branch(pool):
        p, p_back = pool(f)
        y, y_back = mlp(p, w1, w2)
        m, m_back = sigmoid(y)

        def back(g):
            d_p, g1, g2 = y_back(m_back(g))
            return p_back(d_p), g1, g2

        return m, back

    m_a, back_a = branch(avg_pool_over_space)
    m_b, back_b = branch(max_pool_over_space)
    f1, g_back = gate((m_a + m_b)[:, :, None, None], f)

    def backward(d):
        d_m, d_f = g_back(d)
        d_m = d_m[:, :, 0, 0]
        fa, a1, a2 = back_a(d_m)
        fb, b1, b2 = back_b(d_m)
        return d_f + fa + fb, a1 + b1, a2 + b2

    return f1, backward


# the second MLP's backward overwrites the first one's name: the average's gradients go through the max's backward
def channel_attention__8(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, mx_back = max_pool_over_space(f)
    a, mlp_back = mlp(avg, w1, w2)
    b, mlp_back = mlp(mx, w1, w2)
    m, m_back = sigmoid(a + b)
    f1, g_back = gate(m[:, :, None, None], f)

    def backward(d):
        d_m, d_f = g_back(d)
        d_s = m_back(d_m[:, :, 0, 0])
        da, da1, da2 = mlp_back(d_s)
        db, db1, db2 = mlp_back(d_s)
        return d_f + avg_back(da) + mx_back(db), da1 + db1, da2 + db2

    return f1, backward


# the gate's own gradient for f is left out, d_f has only the two pooling paths
def channel_attention__9(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, mx_back = max_pool_over_space(f)
    a, a_back = mlp(avg, w1, w2)
    b, b_back = mlp(mx, w1, w2)
    m, m_back = sigmoid(a + b)
    f1, g_back = gate(m[:, :, None, None], f)

    def backward(d):
        d_m, _ = g_back(d)
        d_s = m_back(d_m[:, :, 0, 0])
        da, da1, da2 = a_back(d_s)
        db, db1, db2 = b_back(d_s)
        return avg_back(da) + mx_back(db), da1 + db1, da2 + db2

    return f1, backward


# d_w1 and d_w2 are taken from the max branch alone, the average branch's are thrown away
def channel_attention__10(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, mx_back = max_pool_over_space(f)
    a, a_back = mlp(avg, w1, w2)
    b, b_back = mlp(mx, w1, w2)
    m, m_back = sigmoid(a + b)
    f1, g_back = gate(m[:, :, None, None], f)

    def backward(d):
        d_m, d_f = g_back(d)
        d_s = m_back(d_m[:, :, 0, 0])
        d_avg, d_w1, d_w2 = a_back(d_s)
        d_max, d_w1, d_w2 = b_back(d_s)
        return d_f + avg_back(d_avg) + mx_back(d_max), d_w1, d_w2

    return f1, backward


# the gate's gradients are unpacked in the wrong order, d_f before d_m
def channel_attention__11(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, mx_back = max_pool_over_space(f)
    a, a_back = mlp(avg, w1, w2)
    b, b_back = mlp(mx, w1, w2)
    m, m_back = sigmoid((a + b)[:, :, None, None])
    f1, g_back = gate(m, f)

    def backward(d):
        d_f, d_m = g_back(d)
        d_s = m_back(d_m)[:, :, 0, 0]
        da, da1, da2 = a_back(d_s)
        db, db1, db2 = b_back(d_s)
        return d_f + avg_back(da) + mx_back(db), da1 + db1, da2 + db2

    return f1, backward


# d_s is halved between the two branches, but each of them gets the whole gradient of a sum
def channel_attention__12(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, mx_back = max_pool_over_space(f)
    a, a_back = mlp(avg, w1, w2)
    b, b_back = mlp(mx, w1, w2)
    m, m_back = sigmoid(a + b)
    f1, g_back = gate(m[:, :, None, None], f)

    def backward(d):
        d_m, d_f = g_back(d)
        half = m_back(d_m[:, :, 0, 0]) / 2
        da, da1, da2 = a_back(half)
        db, db1, db2 = b_back(half)
        return d_f + avg_back(da) + mx_back(db), da1 + db1, da2 + db2

    return f1, backward


# the sigmoid's backward is skipped, d_m goes straight into the MLPs
def channel_attention__13(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, mx_back = max_pool_over_space(f)
    a, a_back = mlp(avg, w1, w2)
    b, b_back = mlp(mx, w1, w2)
    m, _ = sigmoid(a + b)
    f1, g_back = gate(m[:, :, None, None], f)

    def backward(d):
        d_m, d_f = g_back(d)
        d_s = np.squeeze(d_m, axis=(2, 3))
        da, da1, da2 = a_back(d_s)
        db, db1, db2 = b_back(d_s)
        return d_f + avg_back(da) + mx_back(db), da1 + db1, da2 + db2

    return f1, backward


# the pooling backwards are swapped: the average's gradient goes to the maximum's pixel and the other way round
def channel_attention__14(f, w1, w2):
    (avg, avg_back), (mx, mx_back) = avg_pool_over_space(f), max_pool_over_space(f)
    (a, a_back), (b, b_back) = mlp(avg, w1, w2), mlp(mx, w1, w2)
    m, m_back = sigmoid(a + b)
    f1, g_back = gate(m[..., None, None], f)

    def backward(d):
        d_m, d_f = g_back(d)
        d_s = m_back(d_m[..., 0, 0])
        da, da1, da2 = a_back(d_s)
        db, db1, db2 = b_back(d_s)
        return d_f + mx_back(da) + avg_back(db), da1 + db1, da2 + db2

    return f1, backward


# d_m is squeezed of all axes of length 1, so with a single sample (N = 1) the sample axis goes too
def channel_attention__15(f, w1, w2):
    (avg, avg_back), (mx, mx_back) = avg_pool_over_space(f), max_pool_over_space(f)
    (a, a_back), (b, b_back) = mlp(avg, w1, w2), mlp(mx, w1, w2)
    m, m_back = sigmoid((a + b)[..., None, None])
    f1, g_back = gate(m, f)

    def backward(d):
        d_m, d_f = g_back(d)
        d_s = m_back(d_m).squeeze()
        da, da1, da2 = a_back(d_s)
        db, db1, db2 = b_back(d_s)
        return d_f + avg_back(da) + mx_back(db), da1 + db1, da2 + db2

    return f1, backward


# f1 is the attended features plus f (a residual connection)
def channel_attention__16(f, w1, w2):
    (avg, avg_back), (mx, mx_back) = avg_pool_over_space(f), max_pool_over_space(f)
    (a, a_back), (b, b_back) = mlp(avg, w1, w2), mlp(mx, w1, w2)
    m, m_back = sigmoid(a + b)
    f1, g_back = gate(m[..., None, None], f)

    def backward(d):
        d_m, d_f = g_back(d)
        d_s = m_back(d_m[..., 0, 0])
        da, da1, da2 = a_back(d_s)
        db, db1, db2 = b_back(d_s)
        return d + d_f + avg_back(da) + mx_back(db), da1 + db1, da2 + db2

    return f + f1, backward


# ---------------------------------------------------------------------------------------------------------- im2col


# right
def im2col__1(x, k):
    n, c, h, w = x.shape
    p = k // 2
    padded = np.pad(x, [(0, 0), (0, 0), (p, p), (p, p)])
    win = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))
    return win.transpose(0, 1, 4, 5, 2, 3).reshape(n, c * k * k, h * w)


# right
def im2col__2(x, k):
    n, c, h, w = x.shape
    p = k // 2
    padded = np.zeros((n, c, h + 2 * p, w + 2 * p))
    padded[:, :, p : p + h, p : p + w] = x
    shifted = [padded[:, :, a : a + h, b : b + w].reshape(n, c, -1) for a in range(k) for b in range(k)]
    return np.stack(shifted, axis=2).reshape(n, c * k * k, -1)


# right
def im2col__3(x, k):
    n, c, h, w = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    ch, a, b = [v.reshape(-1, 1) for v in np.indices((c, k, k))]
    i, j = [v.reshape(1, -1) for v in np.indices((h, w))]
    return padded[:, ch, i + a, j + b]


# the rows are counted (a,b,c), the channel last, and not (c,a,b)
def im2col__4(x, k):
    n, c, h, w = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    shifted = [padded[:, :, a : a + h, b : b + w] for a in range(k) for b in range(k)]
    return np.concatenate(shifted, axis=1).reshape(n, c * k * k, h * w)


# the padding is put on axes 1 and 2 (channels-last), channels and rows: stops with an error
def im2col__5(x, k):
    n, c, h, w = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    win = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))
    return win.transpose(0, 1, 4, 5, 2, 3).reshape(n, c * k * k, h * w)


# the window view is reshaped without moving the window axes in front of the pixel axes
def im2col__6(x, k):
    n, c, h, w = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    win = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))
    return win.reshape(n, c * k * k, h * w)


# windows as rows, (N, H·W, C·k²), the transpose of what was asked
def im2col__7(x, k):
    n, c, h, w = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    rows = [padded[:, :, i : i + k, j : j + k].reshape(n, -1) for i in range(h) for j in range(w)]
    return np.stack(rows, axis=1)


# the border is padded by repeating the edge and not by zeros
def im2col__8(x, k):
    n, c, h, w = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), mode="edge")
    rows = [padded[:, :, i : i + k, j : j + k].reshape(n, -1) for i in range(h) for j in range(w)]
    return np.stack(rows, axis=-1)


# all the zeros are put below and to the right, none above and to the left
def im2col__9(x, k):
    n, c, h, w = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (0, k - 1), (0, k - 1)))
    rows = [padded[:, :, i : i + k, j : j + k].reshape(n, -1) for i in range(h) for j in range(w)]
    return np.stack(rows, axis=-1)


# the loop over the pixels has the columns outside, so (i,j) is counted column by column
def im2col__10(x, k):
    n, c, h, w = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    rows = [padded[:, :, i : i + k, j : j + k].reshape(n, -1) for j in range(w) for i in range(h)]
    return np.stack(rows, axis=-1)


# np.roll instead of padding: what leaves the image on one side comes back in on the other
def im2col__11(x, k):
    n, c, h, w = x.shape
    p = k // 2
    cols = np.zeros((n, c, k, k, h, w))
    for a in range(k):
        for b in range(k):
            cols[:, :, a, b] = np.roll(x, (p - a, p - b), axis=(2, 3))
    return cols.reshape(n, c * k * k, h * w)


# the windows are turned by 180 degrees, as a mathematical convolution has them
def im2col__12(x, k):
    n, c, h, w = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    cols = np.zeros((n, c, k, k, h, w))
    for a in range(k):
        for b in range(k):
            cols[:, :, k - 1 - a, k - 1 - b] = padded[:, :, a : a + h, b : b + w]
    return cols.reshape(n, -1, h * w)


# the inner slice of the loop ends at h and w and not at a + h and b + w: stops with an error
def im2col__13(x, k):
    n, c, h, w = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    cols = np.zeros((n, c, k, k, h, w))
    for a in range(k):
        for b in range(k):
            cols[:, :, a, b] = padded[:, :, a:h, b:w]
    return cols.reshape(n, -1, h * w)


# H and W are mixed up in the unpacking (n, c, w, h), the windows get the wrong extent: stops with an error unless H = W
def im2col__14(x, k):
    n, c, w, h = x.shape
    p = k // 2
    padded = np.zeros((n, c, h + 2 * p, w + 2 * p))
    padded[:, :, p : p + h, p : p + w] = x
    cols = [padded[:, :, a : a + h, b : b + w] for a in range(k) for b in range(k)]
    return np.stack(cols, axis=2).reshape(n, c * k * k, h * w)


# ---------------------------------------------------------------------------------------------------------- conv2d


# right
def conv2d__1(x, kernel):
    n, c, h, w = x.shape
    o, k = kernel.shape[0], kernel.shape[-1]
    cols = im2col(x, k)
    weight = kernel.reshape(o, -1)

    def backward(d):
        flat = d.reshape(n, o, h * w)
        d_weight = np.matmul(flat, cols.transpose(0, 2, 1)).sum(axis=0)
        return col2im(weight.T @ flat, x.shape, k), d_weight.reshape(kernel.shape)

    return (weight @ cols).reshape(n, o, h, w), backward


# right
def conv2d__2(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    p = k // 2
    pad = lambda t: np.pad(t, ((0, 0), (0, 0), (p, p), (p, p)))
    shifts = [(a, b) for a in range(k) for b in range(k)]

    def correlate(t, ker):
        big = pad(t)
        return sum(np.einsum("oc,nchw->nohw", ker[:, :, a, b], big[:, :, a : a + h, b : b + w]) for a, b in shifts)

    def backward(d):
        d_x = correlate(d, kernel[:, :, ::-1, ::-1].swapaxes(0, 1))
        d_k = np.zeros(kernel.shape)
        big = pad(x)
        for a, b in shifts:
            d_k[:, :, a, b] = np.tensordot(d, big[:, :, a : a + h, b : b + w], axes=([0, 2, 3], [0, 2, 3]))
        return d_x, d_k

    return correlate(x, kernel), backward


# right
def conv2d__3(x, kernel):
    o, c, k, _ = kernel.shape
    p = k // 2
    n, _, h, w = x.shape
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    win = np.lib.stride_tricks.sliding_window_view(xp, (k, k), axis=(2, 3))
    out = np.einsum("ncijab,ocab->noij", win, kernel, optimize=True)

    def backward(d):
        dxp = np.zeros(xp.shape)
        for i in range(h):
            for j in range(w):
                dxp[:, :, i : i + k, j : j + k] += np.tensordot(d[:, :, i, j], kernel, axes=1)
        return dxp[:, :, p : p + h, p : p + w], np.einsum("noij,ncijab->ocab", d, win, optimize=True)

    return out, backward


# the kernel is turned by 180 degrees (a mathematical convolution)
def conv2d__4(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    weight = kernel[:, :, ::-1, ::-1].reshape(o, -1)

    def backward(d):
        flat = d.reshape(n, o, -1)
        d_k = np.einsum("nol,nml->om", flat, cols).reshape(kernel.shape)[:, :, ::-1, ::-1]
        return col2im(weight.T @ flat, x.shape, k), d_k

    return (weight @ cols).reshape(n, o, h, w), backward


# k and the channels are read from the kernel's shape as in Keras (k, k, C, O): stops with an error
def conv2d__5(x, kernel):
    n, c, h, w = x.shape
    k, _, _, o = kernel.shape
    cols = im2col(x, k)
    weight = kernel.reshape(-1, o).T

    def backward(d):
        flat = d.reshape(n, o, -1)
        d_k = np.einsum("nol,nml->om", flat, cols).T.reshape(kernel.shape)
        return col2im(weight.T @ flat, x.shape, k), d_k

    return (weight @ cols).reshape(n, o, h, w), backward


# d_out is reshaped to (O, N·H·W) without moving O to the front, so samples and output channels are mixed up
def conv2d__6(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    weight = kernel.reshape(o, -1)

    def backward(d):
        flat = d.reshape(o, -1)
        d_k = (flat @ cols.transpose(1, 0, 2).reshape(cols.shape[1], -1).T).reshape(kernel.shape)
        d_cols = weight.T @ d.reshape(n, o, -1)
        return col2im(d_cols, x.shape, k), d_k

    return (weight @ cols).reshape(n, o, h, w), backward


# d_x by the conv of d_out with the kernel, swapped but not turned by 180 degrees
def conv2d__7(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape

    def apply(t, ker):
        return (ker.reshape(len(ker), -1) @ im2col(t, k)).reshape(n, len(ker), h, w)

    def backward(d):
        d_k = np.einsum("nol,nml->om", d.reshape(n, o, -1), im2col(x, k)).reshape(kernel.shape)
        return apply(d, kernel.swapaxes(0, 1)), d_k

    return apply(x, kernel), backward


# d_kernel isn't summed over the samples: it is (N, O, C, k, k)
def conv2d__8(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    weight = kernel.reshape(o, -1)

    def backward(d):
        flat = d.reshape(n, o, -1)
        d_k = (flat @ cols.swapaxes(1, 2)).reshape(n, *kernel.shape)
        return col2im(weight.T @ flat, x.shape, k), d_k

    return (weight @ cols).reshape(n, o, h, w), backward


# only the first output channel of the kernel is used (kernel[0]), right for O = 1 alone
def conv2d__9(x, kernel):
    n, c, h, w = x.shape
    k = kernel.shape[-1]
    cols = im2col(x, k)
    row = kernel[0].reshape(1, -1)

    def backward(d):
        flat = d[:, :1].reshape(n, 1, -1)
        d_k = np.zeros(kernel.shape)
        d_k[0] = np.einsum("nol,nml->om", flat, cols).reshape(kernel.shape[1:])
        return col2im(row.T @ flat, x.shape, k), d_k

    return (row @ cols).reshape(n, 1, h, w), backward


# out stays flat, (N, O, H·W)
def conv2d__10(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    weight = kernel.reshape(o, -1)

    def backward(d):
        flat = d.reshape(n, o, -1)
        return col2im(weight.T @ flat, x.shape, k), np.einsum("nol,nml->om", flat, cols).reshape(kernel.shape)

    return weight @ cols, backward


# d_kernel stays flat, (O, C·k²)
def conv2d__11(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    weight = kernel.reshape(o, -1)

    def backward(d):
        flat = d.reshape(n, o, -1)
        return col2im(weight.T @ flat, x.shape, k), np.einsum("nol,nml->om", flat, cols)

    return (weight @ cols).reshape(n, o, h, w), backward


# d_x is assigned with = in the loop over the shifts, so the kernel positions overwrite each other
def conv2d__12(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    out = np.zeros((n, o, h, w))
    for a in range(k):
        for b in range(k):
            out += np.einsum("oc,nchw->nohw", kernel[:, :, a, b], xp[:, :, a : a + h, b : b + w])

    def backward(d):
        d_xp, d_k = np.zeros_like(xp), np.zeros_like(kernel)
        for a in range(k):
            for b in range(k):
                d_xp[:, :, a : a + h, b : b + w] = np.einsum("oc,nohw->nchw", kernel[:, :, a, b], d)
                d_k[:, :, a, b] = np.einsum("nohw,nchw->oc", d, xp[:, :, a : a + h, b : b + w])
        return d_xp[:, :, p : p + h, p : p + w], d_k

    return out, backward


# col2im is given d_out's shape and not x's: stops with an error
def conv2d__13(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    weight = kernel.reshape(o, -1)

    def backward(d):
        flat = d.reshape(n, o, -1)
        d_k = np.einsum("nol,nml->om", flat, cols).reshape(kernel.shape)
        return col2im(weight.T @ flat, d.shape, k), d_k

    return (weight @ cols).reshape(n, o, h, w), backward


# the samples are summed in d_x (np.tensordot sums N away), every sample gets the gradient of the whole batch
def conv2d__14(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    weight = kernel.reshape(o, -1)

    def backward(d):
        flat = d.reshape(n, o, -1)
        d_k = np.einsum("nol,nml->om", flat, cols).reshape(kernel.shape)
        one = np.tensordot(weight, flat.sum(axis=0), axes=(0, 0))
        return col2im(np.broadcast_to(one, cols.shape), x.shape, k), d_k

    return (weight @ cols).reshape(n, o, h, w), backward


# the results are swapped: d_kernel first, d_x second
def conv2d__15(x, kernel):
    n, c, h, w = x.shape
    o, _, k, _ = kernel.shape
    cols = im2col(x, k)
    weight = kernel.reshape(o, -1)

    def grad_kernel(flat):
        return np.einsum("nol,nml->om", flat, cols).reshape(kernel.shape)

    def grad_input(flat):
        return col2im(weight.T @ flat, x.shape, k)

    def backward(d):
        flat = d.reshape(n, o, -1)
        return grad_kernel(flat), grad_input(flat)

    return (weight @ cols).reshape(n, o, h, w), backward


# ---------------------------------------------------------------------------------------------------------- col2im


# right
def col2im__1(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    parts = columns.reshape(n, c, k, k, h, w)
    canvas = np.zeros((n, c, h + k - 1, w + k - 1))
    for a, b in np.ndindex(k, k):
        canvas[:, :, a : a + h, b : b + w] += parts[:, :, a, b]
    return canvas[:, :, p : p + h, p : p + w]


# right
def col2im__2(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    canvas = np.zeros((n, c, h + 2 * p, w + 2 * p))
    ch, a, b = [v.reshape(-1, 1) for v in np.indices((c, k, k))]
    i, j = [v.reshape(1, -1) for v in np.indices((h, w))]
    np.add.at(canvas, (slice(None), ch, i + a, j + b), columns)
    return canvas[:, :, p : h + p, p : w + p].copy()


# right
def col2im__3(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    parts = columns.reshape(n, c, k, k, h, w)

    def place(a, b):
        return np.pad(parts[:, :, a, b], ((0, 0), (0, 0), (a, k - 1 - a), (b, k - 1 - b)))

    total = sum(place(a, b) for a in range(k) for b in range(k))
    return total[:, :, p : total.shape[2] - p, p : total.shape[3] - p]


# += with an index array instead of np.add.at: a pixel that is in several windows gets only one of them
def col2im__4(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    canvas = np.zeros((n, c, h + 2 * p, w + 2 * p))
    ch, a, b = [v.reshape(-1, 1) for v in np.indices((c, k, k))]
    i, j = [v.reshape(1, -1) for v in np.indices((h, w))]
    canvas[:, ch, i + a, j + b] += columns
    return canvas[:, :, p : h + p, p : w + p]


# the padding is cut off with p:-p, which leaves nothing for k = 1 (p = 0)
def col2im__5(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    parts = columns.reshape(n, c, k, k, h, w)
    canvas = np.zeros((n, c, h + 2 * p, w + 2 * p))
    for a in range(k):
        for b in range(k):
            canvas[:, :, a : a + h, b : b + w] += parts[:, :, a, b]
    return canvas[:, :, p:-p, p:-p]


# the top left corner is cut out, [:h, :w], so the picture is moved by the padding
def col2im__6(columns, shape, k):
    n, c, h, w = shape
    parts = columns.reshape(n, c, k, k, h, w)
    canvas = np.zeros((n, c, h + k - 1, w + k - 1))
    for a in range(k):
        for b in range(k):
            canvas[:, :, a : a + h, b : b + w] += parts[:, :, a, b]
    return canvas[:, :, :h, :w]


# the columns are read as (k, k, C), the channel last, and not as (C, k, k)
def col2im__7(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    parts = columns.reshape(n, k, k, c, h, w)
    canvas = np.zeros((n, c, h + 2 * p, w + 2 * p))
    for a in range(k):
        for b in range(k):
            canvas[:, :, a : a + h, b : b + w] += parts[:, a, b]
    return canvas[:, :, p : p + h, p : p + w]


# the sums are divided by how many windows a pixel is in: it's the average, which undoes im2col
def col2im__8(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    parts = columns.reshape(n, c, k, k, h, w)
    canvas = np.zeros((n, c, h + 2 * p, w + 2 * p))
    count = np.zeros((h + 2 * p, w + 2 * p))
    for a in range(k):
        for b in range(k):
            canvas[:, :, a : a + h, b : b + w] += parts[:, :, a, b]
            count[a : a + h, b : b + w] += 1
    return (canvas / count)[:, :, p : p + h, p : p + w]


# only the centre of every window is read, the other entries of the columns are thrown away
def col2im__9(columns, shape, k):
    n, c, h, w = shape
    mid = k // 2
    return columns.reshape(n, c, k, k, h, w)[:, :, mid, mid]


# the padding isn't cut off
def col2im__10(columns, shape, k):
    n, c, h, w = shape
    parts = columns.reshape(n, c, k, k, h, w)
    canvas = np.zeros((n, c, h + k - 1, w + k - 1))
    for a in range(k):
        for b in range(k):
            canvas[:, :, a : a + h, b : b + w] += parts[:, :, a, b]
    return canvas


# the canvas has no room for the padding, it is (N, C, H, W): stops with an error at the first shift
def col2im__11(columns, shape, k):
    n, c, h, w = shape
    parts = columns.reshape(n, c, k, k, h, w)
    canvas = np.zeros(shape)
    for a in range(k):
        for b in range(k):
            canvas[:, :, a : a + h, b : b + w] += parts[:, :, a, b]
    return canvas


# the pixels run over windows (i,j) to H - k + 1, as without padding: the windows at the end of each axis are left out
def col2im__12(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    patches = columns.reshape(n, c, k, k, h, w)
    canvas = np.zeros((n, c, h + 2 * p, w + 2 * p))
    for i in range(h - k + 1):
        for j in range(w - k + 1):
            canvas[:, :, i : i + k, j : j + k] += patches[:, :, :, :, i, j]
    return canvas[:, :, p : p + h, p : p + w]


# the shifts go the other way: the offsets a and b are subtracted (window turned by 180 degrees)
def col2im__13(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    parts = columns.reshape(n, c, k, k, h, w)
    canvas = np.zeros((n, c, h + 2 * p, w + 2 * p))
    for a in range(k):
        for b in range(k):
            i, j = 2 * p - a, 2 * p - b
            canvas[:, :, i : i + h, j : j + w] += parts[:, :, a, b]
    return canvas[:, :, p : p + h, p : p + w]


# ----------------------------------------------------------------------------------------------- spatial_attention


# right
def spatial_attention__1(f1, kernel):
    avg, avg_bwd = avg_pool_over_channels(f1)
    mx, mx_bwd = max_pool_over_channels(f1)
    u, conv_bwd = conv2d(np.concatenate((avg, mx), axis=1), kernel)
    m, sig_bwd = sigmoid(u)
    f2, gate_bwd = gate(m, f1)

    def backward(d_f2):
        d_m, d_gate = gate_bwd(d_f2)
        d_maps, d_kernel = conv_bwd(sig_bwd(d_m))
        d_avg, d_max = np.split(d_maps, 2, axis=1)
        return d_gate + avg_bwd(d_avg) + mx_bwd(d_max), d_kernel

    return f2, backward


# right
def spatial_attention__2(f1, kernel):
    tape = []

    def run(op, *args):
        y, back = op(*args)
        tape.append(back)
        return y

    n, c, h, w = f1.shape
    maps = np.empty((n, 2, h, w))
    maps[:, :1] = run(avg_pool_over_channels, f1)
    maps[:, 1:] = run(max_pool_over_channels, f1)
    f2 = run(gate, run(sigmoid, run(conv2d, maps, kernel)), f1)

    def backward(g):
        b_avg, b_max, b_conv, b_sig, b_gate = tape
        g_m, g_f = b_gate(g)
        g_maps, g_kernel = b_conv(b_sig(g_m))
        return g_f + b_avg(g_maps[:, :1]) + b_max(g_maps[:, 1:]), g_kernel

    return f2, backward


# right
def spatial_attention__3(f1, kernel):
    n, c, h, w = f1.shape
    k = kernel.shape[-1]
    who = f1.argmax(axis=1)
    cols = im2col(np.stack([f1.mean(axis=1), f1.max(axis=1)], axis=1), k)
    u = np.einsum("m,nml->nl", kernel.ravel(), cols).reshape(n, 1, h, w)
    m = 0.5 * (1 + np.tanh(u / 2))

    def backward(d):
        du = (d * f1).sum(axis=1, keepdims=True) * m * (1 - m)
        line = du.reshape(n, h * w)
        d_kernel = np.einsum("nl,nml->m", line, cols).reshape(kernel.shape)
        dp = col2im(kernel.reshape(1, -1, 1) * line[:, None, :], (n, 2, h, w), k)
        winners = who[:, None] == np.arange(c).reshape(1, c, 1, 1)
        return d * m + dp[:, :1] / c + dp[:, 1:] * winners, d_kernel

    return f1 * m, backward


# the maps are stacked as [max; avg] instead of [avg; max]
def spatial_attention__4(f1, kernel):
    avg, avg_bwd = avg_pool_over_channels(f1)
    mx, mx_bwd = max_pool_over_channels(f1)
    u, conv_bwd = conv2d(np.concatenate((mx, avg), axis=1), kernel)
    m, sig_bwd = sigmoid(u)
    f2, gate_bwd = gate(m, f1)

    def backward(d_f2):
        d_m, d_gate = gate_bwd(d_f2)
        d_maps, d_kernel = conv_bwd(sig_bwd(d_m))
        return d_gate + avg_bwd(d_maps[:, 1:]) + mx_bwd(d_maps[:, :1]), d_kernel

    return f2, backward


# np.stack makes a new axis, (N, 2, 1, H, W), where concatenate was needed: stops with an error
def spatial_attention__5(f1, kernel):
    avg, avg_bwd = avg_pool_over_channels(f1)
    mx, mx_bwd = max_pool_over_channels(f1)
    u, conv_bwd = conv2d(np.stack((avg, mx), axis=1), kernel)
    m, sig_bwd = sigmoid(u)
    f2, gate_bwd = gate(m, f1)

    def backward(d_f2):
        d_m, d_gate = gate_bwd(d_f2)
        d_maps, d_kernel = conv_bwd(sig_bwd(d_m))
        return d_gate + avg_bwd(d_maps[:, 0]) + mx_bwd(d_maps[:, 1]), d_kernel

    return f2, backward


# the maps are concatenated along the last axis, as with channels last: stops with an error
def spatial_attention__6(f1, kernel):
    avg, avg_bwd = avg_pool_over_channels(f1)
    mx, mx_bwd = max_pool_over_channels(f1)
    u, conv_bwd = conv2d(np.concatenate((avg, mx), axis=-1), kernel)
    m, sig_bwd = sigmoid(u)
    f2, gate_bwd = gate(m, f1)

    def backward(d_f2):
        d_m, d_gate = gate_bwd(d_f2)
        d_maps, d_kernel = conv_bwd(sig_bwd(d_m))
        d_avg, d_max = np.split(d_maps, 2, axis=-1)
        return d_gate + avg_bwd(d_avg) + mx_bwd(d_max), d_kernel

    return f2, backward


# backward hands the first map's gradient to both poolings, the second one's isn't used
def spatial_attention__7(f1, kernel):
    avg, avg_bwd = avg_pool_over_channels(f1)
    mx, mx_bwd = max_pool_over_channels(f1)
    u, conv_bwd = conv2d(np.concatenate((avg, mx), axis=1), kernel)
    m, sig_bwd = sigmoid(u)
    f2, gate_bwd = gate(m, f1)

    def backward(d_f2):
        d_m, d_gate = gate_bwd(d_f2)
        d_maps, d_kernel = conv_bwd(sig_bwd(d_m))
        d_pool = d_maps[:, :1]
        return d_gate + avg_bwd(d_pool) + mx_bwd(d_pool), d_kernel

    return f2, backward


# the maps come from the pooling over space, (N, C), where the one over channels was asked for: stops with an error
def spatial_attention__8(f1, kernel):
    avg, avg_bwd = avg_pool_over_space(f1)
    mx, mx_bwd = max_pool_over_space(f1)
    u, conv_bwd = conv2d(np.concatenate((avg, mx), axis=1), kernel)
    m, sig_bwd = sigmoid(u)
    f2, gate_bwd = gate(m, f1)

    def backward(d_f2):
        d_m, d_gate = gate_bwd(d_f2)
        d_maps, d_kernel = conv_bwd(sig_bwd(d_m))
        d_avg, d_max = np.split(d_maps, 2, axis=1)
        return d_gate + avg_bwd(d_avg) + mx_bwd(d_max), d_kernel

    return f2, backward


# the path through the average map is forgotten in d_f1
def spatial_attention__9(f1, kernel):
    avg, _ = avg_pool_over_channels(f1)
    mx, mx_bwd = max_pool_over_channels(f1)
    u, conv_bwd = conv2d(np.concatenate((avg, mx), axis=1), kernel)
    m, sig_bwd = sigmoid(u)
    f2, gate_bwd = gate(m, f1)

    def backward(d_f2):
        d_m, d_gate = gate_bwd(d_f2)
        d_maps, d_kernel = conv_bwd(sig_bwd(d_m))
        return d_gate + mx_bwd(d_maps[:, 1:]), d_kernel

    return f2, backward


# the two results of the conv's backward aren't unpacked, the tuple is sliced like an array: stops with an error
def spatial_attention__10(f1, kernel):
    avg, avg_bwd = avg_pool_over_channels(f1)
    mx, mx_bwd = max_pool_over_channels(f1)
    u, conv_bwd = conv2d(np.concatenate((avg, mx), axis=1), kernel)
    m, sig_bwd = sigmoid(u)
    f2, gate_bwd = gate(m, f1)

    def backward(d_f2):
        d_m, d_gate = gate_bwd(d_f2)
        d_maps = conv_bwd(sig_bwd(d_m))
        return d_gate + avg_bwd(d_maps[:, :1]) + mx_bwd(d_maps[:, 1:]), d_maps[1]

    return f2, backward


# the sigmoid is left out in the forward and in the backward: u itself is the map
def spatial_attention__11(f1, kernel):
    avg, avg_bwd = avg_pool_over_channels(f1)
    mx, mx_bwd = max_pool_over_channels(f1)
    u, conv_bwd = conv2d(np.concatenate((avg, mx), axis=1), kernel)
    f2, gate_bwd = gate(u, f1)

    def backward(d_f2):
        d_u, d_gate = gate_bwd(d_f2)
        d_maps, d_kernel = conv_bwd(d_u)
        return d_gate + avg_bwd(d_maps[:, :1]) + mx_bwd(d_maps[:, 1:]), d_kernel

    return f2, backward


# the attention map M_s is returned instead of the gated features
def spatial_attention__12(f1, kernel):
    avg, avg_bwd = avg_pool_over_channels(f1)
    mx, mx_bwd = max_pool_over_channels(f1)
    u, conv_bwd = conv2d(np.concatenate((avg, mx), axis=1), kernel)
    m, sig_bwd = sigmoid(u)
    f2, gate_bwd = gate(m, f1)

    def backward(d_f2):
        d_m, d_gate = gate_bwd(d_f2)
        d_maps, d_kernel = conv_bwd(sig_bwd(d_m))
        return d_gate + avg_bwd(d_maps[:, :1]) + mx_bwd(d_maps[:, 1:]), d_kernel

    return m, backward


# the arguments of gate are in the wrong order, so its gradients come out swapped too: stops with an error in backward
def spatial_attention__13(f1, kernel):
    avg, avg_bwd = avg_pool_over_channels(f1)
    mx, mx_bwd = max_pool_over_channels(f1)
    u, conv_bwd = conv2d(np.concatenate((avg, mx), axis=1), kernel)
    m, sig_bwd = sigmoid(u)
    f2, gate_bwd = gate(f1, m)

    def backward(d_f2):
        d_m, d_gate = gate_bwd(d_f2)
        d_maps, d_kernel = conv_bwd(sig_bwd(d_m))
        return d_gate + avg_bwd(d_maps[:, :1]) + mx_bwd(d_maps[:, 1:]), d_kernel

    return f2, backward


# the sigmoid is applied twice in backward: its derivative is taken at the map m and not at u
def spatial_attention__14(f1, kernel):
    avg, avg_bwd = avg_pool_over_channels(f1)
    mx, mx_bwd = max_pool_over_channels(f1)
    u, conv_bwd = conv2d(np.concatenate((avg, mx), axis=1), kernel)
    m, _ = sigmoid(u)
    f2, gate_bwd = gate(m, f1)

    def backward(d_f2):
        d_m, d_gate = gate_bwd(d_f2)
        _, sig_bwd = sigmoid(m)
        d_maps, d_kernel = conv_bwd(sig_bwd(d_m))
        return d_gate + avg_bwd(d_maps[:, :1]) + mx_bwd(d_maps[:, 1:]), d_kernel

    return f2, backward


# the list of gradients is concatenated instead of added: d_f1 has 3C channels
def spatial_attention__15(f1, kernel):
    avg, avg_bwd = avg_pool_over_channels(f1)
    mx, mx_bwd = max_pool_over_channels(f1)
    u, conv_bwd = conv2d(np.concatenate((avg, mx), axis=1), kernel)
    m, sig_bwd = sigmoid(u)
    f2, gate_bwd = gate(m, f1)

    def backward(d_f2):
        d_m, d_gate = gate_bwd(d_f2)
        d_maps, d_kernel = conv_bwd(sig_bwd(d_m))
        paths = [d_gate, avg_bwd(d_maps[:, :1]), mx_bwd(d_maps[:, 1:])]
        return np.concatenate(paths, axis=1), d_kernel

    return f2, backward


# ------------------------------------------------------------------------------------------------------------ cbam


# right
def cbam__1(f, w1, w2, kernel):
    mid, ch_back = channel_attention(f, w1, w2)
    out, sp_back = spatial_attention(mid, kernel)

    def backward(d):
        d_mid, d_kernel = sp_back(d)
        return (*ch_back(d_mid), d_kernel)

    return out, backward


# right
def cbam__2(f, w1, w2, kernel):
    stages = [(channel_attention, (w1, w2)), (spatial_attention, (kernel,))]
    backs = []
    x = f
    for stage, params in stages:
        x, b = stage(x, *params)
        backs.append(b)

    def backward(d):
        param_grads = []
        for b in reversed(backs):
            d, *rest = b(d)
            param_grads = rest + param_grads
        return tuple([d] + param_grads)

    return x, backward


# right
def cbam__3(f, w1, w2, kernel):
    n, c, h, w = f.shape

    def pools(t, a, b):
        (x, x_back), (y, y_back) = a(t), b(t)
        return x, y, lambda dx, dy: x_back(dx) + y_back(dy)

    xa, xm, space_back = pools(f, avg_pool_over_space, max_pool_over_space)
    ya, ya_back = mlp(xa, w1, w2)
    ym, ym_back = mlp(xm, w1, w2)
    mc, mc_back = sigmoid((ya + ym).reshape(n, c, 1, 1))
    f1, g1_back = gate(mc, f)
    sa, sm, chan_back = pools(f1, avg_pool_over_channels, max_pool_over_channels)
    u, u_back = conv2d(np.concatenate([sa, sm], 1), kernel)
    ms, ms_back = sigmoid(u)
    f2, g2_back = gate(ms, f1)

    def backward(d):
        d_ms, d_f1 = g2_back(d)
        d_cat, d_kernel = u_back(ms_back(d_ms))
        d_f1 = d_f1 + chan_back(d_cat[:, :1], d_cat[:, 1:])
        d_mc, d_f = g1_back(d_f1)
        d_s = mc_back(d_mc).reshape(n, c)
        d_xa, a1, a2 = ya_back(d_s)
        d_xm, m1, m2 = ym_back(d_s)
        return d_f + space_back(d_xa, d_xm), a1 + m1, a2 + m2, d_kernel

    return f2, backward


# the spatial attention comes first and the channel attention second
def cbam__4(f, w1, w2, kernel):
    mid, sp_back = spatial_attention(f, kernel)
    out, ch_back = channel_attention(mid, w1, w2)

    def backward(d):
        d_mid, d_w1, d_w2 = ch_back(d)
        d_f, d_kernel = sp_back(d_mid)
        return d_f, d_w1, d_w2, d_kernel

    return out, backward


# the two attentions are run side by side on f and their results are added
def cbam__5(f, w1, w2, kernel):
    a, ch_back = channel_attention(f, w1, w2)
    b, sp_back = spatial_attention(f, kernel)

    def backward(d):
        d_a, d_w1, d_w2 = ch_back(d)
        d_b, d_kernel = sp_back(d)
        return d_a + d_b, d_w1, d_w2, d_kernel

    return a + b, backward


# the spatial attention is run on f, F′ isn't used any more
def cbam__6(f, w1, w2, kernel):
    f1, ch_back = channel_attention(f, w1, w2)
    f2, sp_back = spatial_attention(f, kernel)

    def backward(d):
        d_f1, d_kernel = sp_back(d)
        return (*ch_back(d_f1), d_kernel)

    return f2, backward


# d_f2 is handed to the channel attention's backward, and not the d_f1 that the spatial one returns
def cbam__7(f, w1, w2, kernel):
    f1, ch_back = channel_attention(f, w1, w2)
    f2, sp_back = spatial_attention(f1, kernel)

    def backward(d):
        _, d_kernel = sp_back(d)
        d_f, d_w1, d_w2 = ch_back(d)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# d_f1 is added to d_f, as though F′ and F were two paths to the input
def cbam__8(f, w1, w2, kernel):
    f1, ch_back = channel_attention(f, w1, w2)
    f2, sp_back = spatial_attention(f1, kernel)

    def backward(d):
        d_f1, d_kernel = sp_back(d)
        d_f, d_w1, d_w2 = ch_back(d_f1)
        return d_f + d_f1, d_w1, d_w2, d_kernel

    return f2, backward


# the results are nested, ((d_f, d_w1, d_w2), d_kernel), two things instead of four
def cbam__9(f, w1, w2, kernel):
    f1, ch_back = channel_attention(f, w1, w2)
    f2, sp_back = spatial_attention(f1, kernel)

    def backward(d):
        d_f1, d_kernel = sp_back(d)
        return ch_back(d_f1), d_kernel

    return f2, backward


# the results are in the order in which backward computes them, d_kernel first
def cbam__10(f, w1, w2, kernel):
    f1, ch_back = channel_attention(f, w1, w2)
    f2, sp_back = spatial_attention(f1, kernel)

    def backward(d):
        d_f1, *grads = sp_back(d)
        d_f, d_w1, d_w2 = ch_back(d_f1)
        grads += [d_w1, d_w2, d_f]
        return tuple(grads)

    return f2, backward


# f is added to the output, as in a residual block
def cbam__11(f, w1, w2, kernel):
    f1, ch_back = channel_attention(f, w1, w2)
    f2, sp_back = spatial_attention(f1, kernel)

    def backward(d):
        d_f1, d_kernel = sp_back(d)
        d_f, d_w1, d_w2 = ch_back(d_f1)
        return d + d_f, d_w1, d_w2, d_kernel

    return f + f2, backward


# channel_attention's pair goes into spatial_attention without being unpacked: stops with an error
def cbam__12(f, w1, w2, kernel):
    f1 = channel_attention(f, w1, w2)
    f2 = spatial_attention(f1, kernel)

    def backward(d):
        d_f1, d_kernel = f2[1](d)
        return (*f1[1](d_f1), d_kernel)

    return f2[0], backward


# the output is F′ times F″, though F″ has been multiplied with F′ already
def cbam__13(f, w1, w2, kernel):
    f1, ch_back = channel_attention(f, w1, w2)
    f2, sp_back = spatial_attention(f1, kernel)

    def backward(d):
        d_f1, d_kernel = sp_back(d * f1)
        d_f, d_w1, d_w2 = ch_back(d_f1 + d * f2)
        return d_f, d_w1, d_w2, d_kernel

    return f1 * f2, backward


# f1 and f2 are named the same, and backward takes the last `back` twice: stops with an error
def cbam__14(f, w1, w2, kernel):
    x, back = channel_attention(f, w1, w2)
    x, back = spatial_attention(x, kernel)

    def backward(d):
        d_f1, d_kernel = back(d)
        d_f, d_w1, d_w2 = back(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return x, backward


# the backward isn't returned, only out
def cbam__15(f, w1, w2, kernel):
    f1, ch_back = channel_attention(f, w1, w2)
    f2, sp_back = spatial_attention(f1, kernel)

    def backward(d):
        d_f1, d_kernel = sp_back(d)
        return (*ch_back(d_f1), d_kernel)

    return f2
