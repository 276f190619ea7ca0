import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

# ---------------------------------------------------------------- slopes


# right
def slopes__1(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    g = np.zeros(x.shape)
    for ind in np.ndindex(*x.shape):
        xp = x.copy()
        xm = x.copy()
        xp[ind] = xp[ind] + eps
        xm[ind] = xm[ind] - eps
        inp = list(inputs)
        inp[which] = xp
        out1, _ = op(*inp)
        inp[which] = xm
        out2, _ = op(*inp)
        g[ind] = (np.sum(d_out * out1) - np.sum(d_out * out2)) / (2 * eps)
    return g


# right
def slopes__2(op, inputs, which, d_out):
    x = inputs[which]
    e = 1e-5
    res = []
    for i in range(x.size):
        d = np.zeros(x.size)
        d[i] = e
        d = d.reshape(x.shape)
        Lp = (op(*inputs[:which], x + d, *inputs[which + 1 :])[0] * d_out).sum()
        Lm = (op(*inputs[:which], x - d, *inputs[which + 1 :])[0] * d_out).sum()
        res.append((Lp - Lm) / (2 * e))
    return np.array(res).reshape(x.shape)


# right
def slopes__3(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    g = np.zeros_like(x)
    it = np.nditer(x, flags=["multi_index"])
    while not it.finished:
        k = it.multi_index
        old = x[k].copy()
        x[k] = old + eps
        Lp = np.sum(op(*inputs)[0] * d_out)
        x[k] = old - eps
        Lm = np.sum(op(*inputs)[0] * d_out)
        x[k] = old
        g[k] = (Lp - Lm) / (2 * eps)
        it.iternext()
    return g


# x_plus and x_minus are both x itself (no copy), so the two losses are equal and all slopes are 0
def slopes__4(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    g = np.zeros(x.shape)
    for ind in np.ndindex(*x.shape):
        x_plus = x
        x_minus = x
        x_plus[ind] += eps
        x_minus[ind] -= eps
        a = list(inputs)
        a[which] = x_plus
        b = list(inputs)
        b[which] = x_minus
        g[ind] = (np.sum(d_out * op(*a)[0]) - np.sum(d_out * op(*b)[0])) / (2 * eps)
    return g


# flatten() makes a copy, so the op never sees the moved entry
def slopes__5(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    xf = x.flatten()
    g = np.zeros(x.size)
    for i in range(x.size):
        old = xf[i]
        xf[i] = old + eps
        Lp = (d_out * op(*inputs)[0]).sum()
        xf[i] = old - eps
        Lm = (d_out * op(*inputs)[0]).sum()
        xf[i] = old
        g[i] = (Lp - Lm) / (2 * eps)
    return g.reshape(x.shape)


# after + eps it only subtracts eps once, so L(x - eps) is really L(x), and still divides by 2 eps
def slopes__6(op, inputs, which, d_out):
    eps = 1e-5
    inputs = [np.array(a) for a in inputs]
    x = inputs[which]
    g = np.zeros(x.shape)
    for ind in np.ndindex(*x.shape):
        x[ind] += eps
        Lp = np.sum(op(*inputs)[0] * d_out)
        x[ind] -= eps
        Lm = np.sum(op(*inputs)[0] * d_out)
        g[ind] = (Lp - Lm) / (2 * eps)
    return g


# divides by 2 and then multiplies by eps: (Lp - Lm) / 2 * eps, the brackets are missing
def slopes__7(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    g = np.zeros(x.shape)
    for ind in np.ndindex(*x.shape):
        d = np.zeros(x.shape)
        d[ind] = eps
        args_p = [x + d if i == which else inputs[i] for i in range(len(inputs))]
        args_m = [x - d if i == which else inputs[i] for i in range(len(inputs))]
        g[ind] = (np.sum(op(*args_p)[0] * d_out) - np.sum(op(*args_m)[0] * d_out)) / 2 * eps
    return g


# the moved entries are counted column by column (order F), so the slopes are in the wrong places
def slopes__8(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    v = x.flatten(order="F")
    g = np.zeros(v.shape)
    for i in range(len(v)):
        vp = v.copy()
        vm = v.copy()
        vp[i] += eps
        vm[i] -= eps
        a = list(inputs)
        a[which] = vp.reshape(x.shape, order="F")
        b = list(inputs)
        b[which] = vm.reshape(x.shape, order="F")
        g[i] = np.sum(d_out * (op(*a)[0] - op(*b)[0])) / (2 * eps)
    return g.reshape(x.shape)


# the moved entry isn't put back, it stays at x - eps
def slopes__9(op, inputs, which, d_out):
    h = 1e-5
    x = inputs[which]
    g = np.zeros(x.shape)
    for ind in np.ndindex(*x.shape):
        x[ind] = x[ind] + h
        Lp = np.sum(d_out * op(*inputs)[0])
        x[ind] = x[ind] - 2 * h
        Lm = np.sum(d_out * op(*inputs)[0])
        g[ind] = (Lp - Lm) / (2 * h)
    return g


# assigns into the tuple inputs, which Python doesn't allow (TypeError)
def slopes__11(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    g = np.zeros(x.shape)
    for ind in np.ndindex(*x.shape):
        x1 = x.copy()
        x1[ind] += eps
        inputs[which] = x1
        Lp = np.sum(d_out * op(*inputs)[0])
        x1[ind] -= 2 * eps
        inputs[which] = x1
        Lm = np.sum(d_out * op(*inputs)[0])
        inputs[which] = x
        g[ind] = (Lp - Lm) / (2 * eps)
    return g


# four nested loops over N, C, H, W: only works for inputs with four axes (ValueError for the others)
def slopes__12(op, inputs, which, d_out):
    eps = 1e-5
    inputs = list(inputs)
    x = inputs[which]
    N, C, H, W = x.shape
    g = np.zeros((N, C, H, W))
    for n in range(N):
        for c in range(C):
            for i in range(H):
                for j in range(W):
                    xp = x.copy()
                    xp[n, c, i, j] += eps
                    xm = x.copy()
                    xm[n, c, i, j] -= eps
                    inputs[which] = xp
                    Lp = np.sum(op(*inputs)[0] * d_out)
                    inputs[which] = xm
                    Lm = np.sum(op(*inputs)[0] * d_out)
                    inputs[which] = x
                    g[n, c, i, j] = (Lp - Lm) / (2 * eps)
    return g


# all entries are moved at once, so every entry gets the same number, the sum of the slopes
def slopes__13(op, inputs, which, d_out):
    eps = 1e-5
    inputs = list(inputs)
    x = inputs[which]
    inputs[which] = x + eps
    Lp = np.sum(op(*inputs)[0] * d_out)
    inputs[which] = x - eps
    Lm = np.sum(op(*inputs)[0] * d_out)
    return np.ones(x.shape) * (Lp - Lm) / (2 * eps)


# eps = 1e-12 is far too small, the difference drowns in rounding
def slopes__14(op, inputs, which, d_out):
    eps = 1e-12
    inputs = [a.copy() for a in inputs]
    x = inputs[which]
    g = np.zeros(x.shape)
    for ind in np.ndindex(*x.shape):
        old = x[ind]
        x[ind] = old + eps
        Lp = np.sum(op(*inputs)[0] * d_out)
        x[ind] = old - eps
        Lm = np.sum(op(*inputs)[0] * d_out)
        x[ind] = old
        g[ind] = (Lp - Lm) / (2 * eps)
    return g


# ---------------------------------------------------------------- largest_error


# right
def largest_error__1(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    d_out = rng.normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    m = 0.0
    for i in range(len(inputs)):
        s = slopes(op, inputs, i, d_out)
        e = np.max(np.abs(s - grads[i]))
        if e > m:
            m = e
    return m


# right
def largest_error__2(op, *inputs, seed=0):
    out, back = op(*inputs)
    d_out = np.random.RandomState(seed).randn(*np.shape(out))
    g = back(d_out)
    if not isinstance(g, (tuple, list)):
        g = [g]
    errs = [abs(gi - slopes(op, inputs, i, d_out)).max() for i, gi in enumerate(g)]
    return max(errs)


# right
def largest_error__3(op, *inputs, seed=0):
    out, back = op(*inputs)
    d_out = np.random.default_rng(seed).standard_normal(out.shape)
    g = back(d_out)
    g = g if type(g) is tuple else (g,)
    diff = [np.ravel(g[i] - slopes(op, inputs, i, d_out)) for i in range(len(g))]
    return float(np.linalg.norm(np.concatenate(diff), np.inf))


# abs is taken of each of the two before subtracting, so a gradient with the wrong sign passes
def largest_error__4(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    d_out = rng.normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    err = 0
    for i in range(len(inputs)):
        err = max(err, np.max(np.abs(np.abs(grads[i]) - np.abs(slopes(op, inputs, i, d_out)))))
    return err


# abs is taken after the max, so a large negative difference is lost
def largest_error__5(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    d_out = rng.normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    err = 0
    for i in range(len(inputs)):
        err = max(err, abs(np.max(grads[i] - slopes(op, inputs, i, d_out))))
    return err


# err is overwritten in the loop, only the last input counts
def largest_error__6(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    d_out = rng.normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = [grads]
    for i, x in enumerate(inputs):
        num = slopes(op, inputs, i, d_out)
        err = np.abs(num - grads[i]).max()
    return err


# the return is inside the loop, so only the first input is looked at
def largest_error__7(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    d_out = rng.normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = [grads]
    err = 0
    for i in range(len(inputs)):
        num = slopes(op, inputs, i, d_out)
        err = max(err, np.abs(num - grads[i]).max())
        return err


# with one input grads isn't put into a tuple, so grads[0] is only the first row of the array
def largest_error__8(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    d_out = rng.normal(size=out.shape)
    grads = backward(d_out)
    err = 0
    for i in range(len(inputs)):
        num = slopes(op, inputs, i, d_out)
        err = max(err, np.abs(num - grads[i]).max())
    return err


# slopes gets another random d_out than backward
def largest_error__10(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    grads = backward(rng.normal(size=out.shape))
    if len(inputs) == 1:
        grads = (grads,)
    err = 0
    for i in range(len(inputs)):
        num = slopes(op, inputs, i, rng.normal(size=out.shape))
        err = max(err, np.abs(num - grads[i]).max())
    return err


# returns the list of the errors of all inputs, not one number
def largest_error__11(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    d_out = rng.normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    errs = []
    for i in range(len(inputs)):
        errs.append(np.max(np.abs(grads[i] - slopes(op, inputs, i, d_out))))
    return errs


# Python's own max of two arrays: ValueError, the truth value of an array is ambiguous
def largest_error__12(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    d_out = rng.normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    err = 0
    for i in range(len(inputs)):
        err = max(err, abs(grads[i] - slopes(op, inputs, i, d_out)))
    return err


# the range stops one input too early, the last input is never checked
def largest_error__14(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    d_out = rng.normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        return np.max(np.abs(grads - slopes(op, inputs, 0, d_out)))
    err = 0
    for i in range(0, len(inputs) - 1):
        err = max(err, np.max(np.abs(grads[i] - slopes(op, inputs, i, d_out))))
    return err


# the inputs are unpacked in the call of slopes, which then has too many arguments or the wrong ones
def largest_error__15(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    d_out = rng.normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    err = 0
    for i in range(len(inputs)):
        err = max(err, np.max(np.abs(grads[i] - slopes(op, *inputs, i, d_out))))
    return err


# the seed is never used, every call draws another d_out
def largest_error__16(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.randn(*out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    err = 0
    for i in range(len(inputs)):
        err = max(err, np.max(np.abs(grads[i] - slopes(op, inputs, i, d_out))))
    return err


# d_out is all ones, so a backward that forgets d_out passes
def largest_error__17(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.ones_like(out)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    err = 0
    for i in range(len(inputs)):
        err = max(err, np.max(np.abs(grads[i] - slopes(op, inputs, i, d_out))))
    return err


# ---------------------------------------------------------------- avg_pool_over_space


# right
def avg_pool_over_space__1(f):
    N, C, H, W = f.shape
    avg_c = np.zeros((N, C))
    for n in range(N):
        for c in range(C):
            avg_c[n, c] = np.sum(f[n, c, :, :]) / (H * W)

    def backward(d_avg_c):
        d_f = np.zeros((N, C, H, W))
        for n in range(N):
            for c in range(C):
                d_f[n, c, :, :] = d_avg_c[n, c] / (H * W)
        return d_f

    return avg_c, backward


# right
def avg_pool_over_space__2(f):
    H, W = f.shape[2:]
    return np.einsum("ncij->nc", f) / (H * W), lambda d: np.einsum("nc,ij->ncij", d, np.ones((H, W)) / (H * W))


# the number of pixels is taken from the wrong axes: N*C instead of H*W
def avg_pool_over_space__3(f):
    H, W = f.shape[:2]
    avg_c = f.sum(axis=(2, 3)) / (H * W)

    def backward(d_avg_c):
        return np.ones(f.shape) * d_avg_c[:, :, None, None] / (H * W)

    return avg_c, backward


# d * 1 / H * W is (d / H) * W, so the gradient is multiplied by W instead of divided
def avg_pool_over_space__4(f):
    N, C, H, W = f.shape
    avg_c = f.mean(axis=(2, 3))

    def backward(d_avg_c):
        return np.tile(d_avg_c[:, :, None, None], (1, 1, H, W)) * 1 / H * W

    return avg_c, backward


# the new axes are put in front: d_avg_c[None, None] instead of behind, the shapes don't fit
def avg_pool_over_space__5(f):
    N, C, H, W = f.shape
    avg_c = f.mean(axis=(2, 3))

    def backward(d_avg_c):
        return np.broadcast_to(d_avg_c[None, None, :, :], f.shape) / (H * W)

    return avg_c, backward


# backward doesn't spread the gradient, it stays at (N, C, 1, 1)
def avg_pool_over_space__7(f):
    N, C, H, W = f.shape
    avg_c = f.mean(axis=3).mean(axis=2)

    def backward(d_avg_c):
        return d_avg_c.reshape(N, C, 1, 1) / (H * W)

    return avg_c, backward


# ---------------------------------------------------------------- max_pool_over_space


# right
def max_pool_over_space__1(f):
    N, C, H, W = f.shape
    max_c = np.zeros((N, C))
    ii = np.zeros((N, C), dtype=int)
    jj = np.zeros((N, C), dtype=int)
    for n in range(N):
        for c in range(C):
            best = -np.inf
            for i in range(H):
                for j in range(W):
                    if f[n, c, i, j] > best:
                        best = f[n, c, i, j]
                        ii[n, c] = i
                        jj[n, c] = j
            max_c[n, c] = best

    def backward(d_max_c):
        d_f = np.zeros((N, C, H, W))
        for n in range(N):
            for c in range(C):
                d_f[n, c, ii[n, c], jj[n, c]] = d_max_c[n, c]
        return d_f

    return max_c, backward


# right
def max_pool_over_space__2(f):
    N, C, H, W = f.shape
    ind = f.reshape(N, C, -1).argmax(axis=2)

    def backward(d_max_c):
        onehot = np.arange(H * W) == ind[:, :, None]
        return np.where(onehot, d_max_c[:, :, None], 0.0).reshape(N, C, H, W)

    return f.max(axis=(2, 3)), backward


# right
def max_pool_over_space__3(f):
    N, C, H, W = f.shape
    i, j = np.unravel_index(np.argmax(f.reshape(N, C, H * W), axis=2), (H, W))
    n = np.arange(N)[:, None]
    c = np.arange(C)[None, :]

    def backward(d):
        d_f = np.zeros(f.shape)
        np.add.at(d_f, (n, c, i, j), d)
        return d_f

    return f[n, c, i, j], backward


# the flattening is column by column (order F), so of tied entries the first one down the column wins
def max_pool_over_space__4(f):
    N, C, H, W = f.shape
    max_c = np.zeros((N, C))
    where = {}
    for n in range(N):
        for c in range(C):
            v = f[n, c].flatten(order="F")
            k = np.argmax(v)
            max_c[n, c] = v[k]
            where[n, c] = (k % H, k // H)

    def backward(d_max_c):
        d_f = np.zeros((N, C, H, W))
        for n in range(N):
            for c in range(C):
                i, j = where[n, c]
                d_f[n, c, i, j] = d_max_c[n, c]
        return d_f

    return max_c, backward


# fancy indexing with slices: d_f[:, :, i, j] writes every sample's positions into every sample and channel
def max_pool_over_space__5(f):
    N, C, H, W = f.shape
    ind = f.reshape(N, C, -1).argmax(axis=2)
    i, j = np.unravel_index(ind, (H, W))

    def backward(d_max_c):
        d_f = np.zeros((N, C, H, W))
        d_f[:, :, i, j] = d_max_c
        return d_f

    return f.max(axis=(2, 3)), backward


# the flat index is split with H instead of W: i = k // H, j = k % H
def max_pool_over_space__6(f):
    N, C, H, W = f.shape
    ind = f.reshape(N, C, -1).argmax(axis=2)

    def backward(d_max_c):
        d_f = np.zeros((N, C, max(H, W), max(H, W)))
        for n in range(N):
            for c in range(C):
                k = ind[n, c]
                d_f[n, c, k // H, k % H] = d_max_c[n, c]
        return d_f[:, :, :H, :W]

    return f.max(axis=(2, 3)), backward


# the search starts at 0, so a channel of negative numbers gets 0 as its maximum
def max_pool_over_space__7(f):
    N, C, H, W = f.shape
    max_c = np.zeros((N, C))
    pos = np.zeros((N, C, 2), dtype=int)
    for n in range(N):
        for c in range(C):
            for i in range(H):
                for j in range(W):
                    if f[n, c, i, j] > max_c[n, c]:
                        max_c[n, c] = f[n, c, i, j]
                        pos[n, c] = (i, j)

    def backward(d_max_c):
        d_f = np.zeros((N, C, H, W))
        for n in range(N):
            for c in range(C):
                d_f[n, c, pos[n, c, 0], pos[n, c, 1]] = d_max_c[n, c]
        return d_f

    return max_c, backward


# >= in the search, so the last of the tied entries wins
def max_pool_over_space__8(f):
    N, C, H, W = f.shape
    max_c = np.full((N, C), -np.inf)
    pos = np.zeros((N, C, 2), dtype=int)
    for n in range(N):
        for c in range(C):
            for i in range(H):
                for j in range(W):
                    if f[n, c, i, j] >= max_c[n, c]:
                        max_c[n, c] = f[n, c, i, j]
                        pos[n, c, :] = [i, j]

    def backward(d_max_c):
        d_f = np.zeros((N, C, H, W))
        for n in range(N):
            for c in range(C):
                i, j = pos[n, c]
                d_f[n, c, i, j] = d_max_c[n, c]
        return d_f

    return max_c, backward


# the row is the argmax of the first column and the column the argmax of the first row, which together aren't the maximum's place
def max_pool_over_space__9(f):
    N, C, H, W = f.shape
    max_c = f.max(axis=2).max(axis=2)

    def backward(d_max_c):
        d_f = np.zeros((N, C, H, W))
        for n in range(N):
            for c in range(C):
                i = np.argmax(f[n, c, :, 0])
                j = np.argmax(f[n, c, 0, :])
                d_f[n, c, i, j] = d_max_c[n, c]
        return d_f

    return max_c, backward


# put_along_axis works in place and returns None, and None is what backward returns in the end (AttributeError)
def max_pool_over_space__10(f):
    N, C, H, W = f.shape
    ind = f.reshape(N, C, H * W).argmax(axis=2)[:, :, None]
    max_c = np.take_along_axis(f.reshape(N, C, H * W), ind, axis=2)[:, :, 0]

    def backward(d_max_c):
        d_f = np.zeros((N, C, H * W))
        d_f = np.put_along_axis(d_f, ind, d_max_c[:, :, None], axis=2)
        return d_f.reshape(N, C, H, W)

    return max_c, backward


# d_f is made with zeros_like of the integer indices' one-hot array, so the gradient is cut to integers
def max_pool_over_space__11(f):
    N, C, H, W = f.shape
    ind = f.reshape(N, C, -1).argmax(axis=2)
    hot = np.zeros((N, C, H * W), dtype=int)
    np.put_along_axis(hot, ind[:, :, None], 1, axis=2)

    def backward(d_max_c):
        d_f = np.zeros_like(hot)
        for n in range(N):
            for c in range(C):
                d_f[n, c, ind[n, c]] = d_max_c[n, c]
        return d_f.reshape(N, C, H, W)

    return f.max(axis=(2, 3)), backward


# d_f.flatten()[...] = writes into a copy, the gradient is all zeros
def max_pool_over_space__12(f):
    N, C, H, W = f.shape
    ind = f.reshape(N * C, H * W).argmax(axis=1)

    def backward(d_max_c):
        d_f = np.zeros((N, C, H, W))
        d_f.flatten()[np.arange(N * C) * H * W + ind] = d_max_c.flatten()
        return d_f

    return f.max(axis=(2, 3)), backward


# unlike MATLAB's max, f.max doesn't return the index as a second result: too many values to unpack
def max_pool_over_space__14(f):
    N, C, H, W = f.shape
    max_c, ind = np.max(f.reshape(N, C, H * W), axis=2)

    def backward(d_max_c):
        d_f = np.zeros((N, C, H * W))
        d_f[:, :, ind] = d_max_c
        return d_f.reshape(N, C, H, W)

    return max_c, backward


# ---------------------------------------------------------------- avg_pool_over_channels


# right
def avg_pool_over_channels__1(f):
    N, C, H, W = f.shape
    s = np.zeros((N, 1, H, W))
    for c in range(C):
        s[:, 0] += f[:, c]
    s = s / C

    def backward(d_avg_s):
        return np.concatenate([d_avg_s / C for c in range(C)], axis=1)

    return s, backward


# right
def avg_pool_over_channels__2(f):
    C = f.shape[1]

    def backward(d):
        return np.repeat(d, C, axis=1) / C

    return f.mean(1, keepdims=True), backward


# the axis isn't kept and put back at the end: (N, H, W, 1)
def avg_pool_over_channels__3(f):
    C = f.shape[1]
    avg_s = f.mean(axis=1)[..., None]

    def backward(d_avg_s):
        return np.repeat(d_avg_s, C, axis=1) / C

    return avg_s, backward


# np.tile has the repetitions (C, 1, 1, 1), so the samples are copied instead of the channels
def avg_pool_over_channels__4(f):
    N, C, H, W = f.shape
    avg_s = f.mean(axis=1, keepdims=True)

    def backward(d_avg_s):
        return np.tile(d_avg_s, (C, 1, 1, 1)) / C

    return avg_s, backward


# the MATLAB-like axis 2, counted from 1: the average is over the rows H
def avg_pool_over_channels__5(f):
    C = f.shape[1]
    avg_s = f.mean(axis=2, keepdims=True)

    def backward(d_avg_s):
        return np.ones(f.shape) * d_avg_s / C

    return avg_s, backward


# d_avg_s is divided in place (d_avg_s /= C), so the caller's array is changed
def avg_pool_over_channels__6(f):
    C = f.shape[1]
    avg_s = f.mean(axis=1, keepdims=True)

    def backward(d_avg_s):
        d_avg_s /= C
        return d_avg_s * np.ones(f.shape)

    return avg_s, backward


# only the first channel gets the gradient, the others stay zero
def avg_pool_over_channels__7(f):
    C = f.shape[1]
    avg_s = f.sum(axis=1, keepdims=True) / C

    def backward(d_avg_s):
        d_f = np.zeros(f.shape)
        d_f[:, 0:1] = d_avg_s / C
        return d_f

    return avg_s, backward


# ---------------------------------------------------------------- max_pool_over_channels


# right
def max_pool_over_channels__1(f):
    N, C, H, W = f.shape
    max_s = f[:, 0:1].copy()
    ind = np.zeros((N, 1, H, W), dtype=int)
    for c in range(1, C):
        better = f[:, c : c + 1] > max_s
        max_s[better] = f[:, c : c + 1][better]
        ind[better] = c

    def backward(d_max_s):
        d_f = np.zeros((N, C, H, W))
        for c in range(C):
            d_f[:, c : c + 1] = np.where(ind == c, d_max_s, 0)
        return d_f

    return max_s, backward


# right
def max_pool_over_channels__2(f):
    ind = np.argmax(f, axis=1)[:, None]
    C = f.shape[1]
    return f.max(axis=1)[:, np.newaxis], lambda d: d * (ind == np.arange(C).reshape(1, C, 1, 1))


# max_s starts as a view of f's first channel and not a copy, so f itself is overwritten
def max_pool_over_channels__3(f):
    N, C, H, W = f.shape
    max_s = f[:, 0:1]
    ind = np.zeros((N, 1, H, W), dtype=int)
    for c in range(1, C):
        better = f[:, c : c + 1] > max_s
        max_s[better] = f[:, c : c + 1][better]
        ind[better] = c

    def backward(d_max_s):
        return d_max_s * (ind == np.arange(C)[None, :, None, None])

    return max_s, backward


# indexing d_f[:, ind] with the argmax array: d_f has too many axes there, the shapes don't broadcast
def max_pool_over_channels__5(f):
    ind = f.argmax(axis=1)

    def backward(d_max_s):
        d_f = np.zeros(f.shape)
        d_f[:, ind] = d_max_s
        return d_f

    return f.max(axis=1, keepdims=True), backward


# the channel axis is reversed before argmax, so the last of the tied channels wins
def max_pool_over_channels__6(f):
    N, C, H, W = f.shape
    ind = C - 1 - np.argmax(f[:, ::-1], axis=1)
    n, i, j = np.meshgrid(range(N), range(H), range(W), indexing="ij")

    def backward(d_max_s):
        d_f = np.zeros((N, C, H, W))
        d_f[n, ind, i, j] = d_max_s[:, 0]
        return d_f

    return f.max(axis=1, keepdims=True), backward


# backward puts the maximum itself at its place, not the gradient
def max_pool_over_channels__7(f):
    ind = f.argmax(axis=1)[:, None]
    max_s = np.take_along_axis(f, ind, axis=1)

    def backward(d_max_s):
        d_f = np.zeros_like(f)
        np.put_along_axis(d_f, ind, max_s, axis=1)
        return d_f

    return max_s, backward


# returns the index of the maximum as the output, not its value
def max_pool_over_channels__8(f):
    max_s = np.argmax(f, axis=1)[:, None, :, :]

    def backward(d_max_s):
        d_f = np.zeros(f.shape)
        np.put_along_axis(d_f, max_s, d_max_s, axis=1)
        return d_f

    return max_s, backward


# ---------------------------------------------------------------- relu


# right
def relu__1(x):
    out = x.copy()
    out[out < 0] = 0

    def backward(d_out):
        d_x = d_out.copy()
        d_x[x <= 0] = 0
        return d_x

    return out, backward


# right
def relu__2(x):
    m = (np.sign(x) + 1) // 2 * (x != 0)
    return (x + np.abs(x)) / 2, lambda d: m * d


# np.max instead of np.maximum: the 0 is taken as the axis
def relu__3(x):
    out = np.max(x, 0)

    def backward(d_out):
        return d_out * (x > 0)

    return out, backward


# out = x is no copy, so x itself is changed
def relu__4(x):
    out = x
    out[out < 0] = 0

    def backward(d_out):
        return d_out * (out > 0)

    return out, backward


# the slope at 0 is one half (np.heaviside with 0.5)
def relu__6(x):
    out = x * (x > 0)

    def backward(d_out):
        return d_out * np.heaviside(x, 0.5)

    return out, backward


# an if about a whole array: the truth value is ambiguous (ValueError)
def relu__7(x):
    if x > 0:
        out = x
    else:
        out = 0

    def backward(d_out):
        if x > 0:
            return d_out
        return 0 * d_out

    return out, backward


# only the entries that pass are returned: x[x > 0] is a flat list and the shape is lost
def relu__8(x):
    out = x[x > 0]

    def backward(d_out):
        return d_out * (x > 0)

    return out, backward


# ---------------------------------------------------------------- mlp


# right
def mlp__1(x, w1, w2):
    N, C = x.shape
    hidden = w1.shape[0]
    z = np.zeros((N, hidden))
    out = np.zeros((N, C))
    for n in range(N):
        z[n] = np.dot(w1, x[n])
        out[n] = np.dot(w2, np.maximum(z[n], 0))

    def backward(d_out):
        d_x = np.zeros((N, C))
        d_w1 = np.zeros((hidden, C))
        d_w2 = np.zeros((C, hidden))
        for n in range(N):
            h = np.maximum(z[n], 0)
            d_w2 += np.outer(d_out[n], h)
            d_h = np.dot(w2.T, d_out[n])
            d_z = d_h * (z[n] > 0)
            d_w1 += np.outer(d_z, x[n])
            d_x[n] = np.dot(w1.T, d_z)
        return d_x, d_w1, d_w2

    return out, backward


# right
def mlp__2(x, w1, w2):
    h, relu_back = relu(np.einsum("nc,hc->nh", x, w1))

    def backward(d_out):
        d_z = relu_back(np.einsum("nc,ch->nh", d_out, w2))
        return np.einsum("nh,hc->nc", d_z, w1), np.einsum("nh,nc->hc", d_z, x), np.einsum("nc,nh->ch", d_out, h)

    return np.einsum("nh,ch->nc", h, w2), backward


# right
def mlp__3(x, w1, w2):
    X = x.T
    Z = w1 @ X
    on = (Z > 0) * 1.0
    Hh = Z * on

    def backward(d_out):
        D = d_out.T
        dZ = (w2.T @ D) * on
        return (w1.T @ dZ).T, dZ @ X.T, D @ Hh.T

    return (w2 @ Hh).T, backward


# h = z is the same array and is cut at 0 in place, then the mask z >= 0 lets everything through
def mlp__4(x, w1, w2):
    z = x @ w1.T
    h = z
    h[h < 0] = 0
    out = h @ w2.T

    def backward(d_out):
        d_w2 = d_out.T @ h
        d_z = (d_out @ w2) * (z >= 0)
        return d_z @ w1, d_z.T @ x, d_w2

    return out, backward


# w1.reshape(C, hidden) is not the transpose, the weights are mixed up
def mlp__5(x, w1, w2):
    hidden, C = w1.shape
    w1t = w1.reshape(C, hidden)
    z = x @ w1t
    h = np.maximum(z, 0)
    out = h @ w2.T

    def backward(d_out):
        d_z = (d_out @ w2) * (z > 0)
        return d_z @ w1t.T, (x.T @ d_z).reshape(hidden, C), d_out.T @ h

    return out, backward


# d_w1 is the outer product of the last sample only (= instead of += in the loop)
def mlp__6(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)
    out = h @ w2.T

    def backward(d_out):
        d_z = d_out @ w2 * (z > 0)
        d_w1 = np.zeros(w1.shape)
        d_w2 = np.zeros(w2.shape)
        for n in range(len(x)):
            d_w1 = np.outer(d_z[n], x[n])
            d_w2 += np.outer(d_out[n], h[n])
        return d_z @ w1, d_w1, d_w2

    return out, backward


# elementwise * instead of the matrix product @, the shapes don't broadcast
def mlp__7(x, w1, w2):
    z = x * w1.T
    h = np.maximum(z, 0)
    out = h * w2.T

    def backward(d_out):
        d_z = (d_out * w2) * (z > 0)
        return d_z * w1, d_z.T * x, d_out.T * h

    return out, backward


# d_w2 is made with z, the values before the ReLU, instead of h
def mlp__8(x, w1, w2):
    z = x @ w1.T
    out = np.maximum(z, 0) @ w2.T

    def backward(d_out):
        d_w2 = d_out.T @ z
        d_h = d_out @ w2
        d_z = np.where(z > 0, d_h, 0)
        d_w1 = d_z.T @ x
        d_x = d_z @ w1
        return d_x, d_w1, d_w2

    return out, backward


# relu returns two things, the tuple itself is multiplied with w2.T
def mlp__10(x, w1, w2):
    z = x @ w1.T
    h = relu(z)
    out = h @ w2.T

    def backward(d_out):
        d_z = (d_out @ w2) * (z > 0)
        return d_z @ w1, d_z.T @ x, d_out.T @ h

    return out, backward


# the ReLU's mask is asked of d_h, not of z
def mlp__11(x, w1, w2):
    z = x @ w1.T
    h, _ = relu(z)
    out = h @ w2.T

    def backward(d_out):
        d_h = d_out @ w2
        d_z = d_h * (d_h > 0)
        return d_z @ w1, d_z.T @ x, d_out.T @ h

    return out, backward


# there is a second ReLU on the output
def mlp__12(x, w1, w2):
    h, back1 = relu(x @ w1.T)
    out, back2 = relu(h @ w2.T)

    def backward(d_out):
        d_o = back2(d_out)
        d_z = back1(d_o @ w2)
        return d_z @ w1, d_z.T @ x, d_o.T @ h

    return out, backward


# ---------------------------------------------------------------- sigmoid


# right
def sigmoid__1(x):
    s = 0.5 * (np.tanh(x / 2) + 1)
    return s, lambda d_out: d_out * (s - s**2)


# right
def sigmoid__2(x):
    out = np.zeros(x.shape)
    p = x >= 0
    out[p] = 1 / (1 + np.exp(-x[p]))
    e = np.exp(x[~p])
    out[~p] = e / (1 + e)

    def backward(d_out):
        return out * (1 - out) * d_out

    return out, backward


# right
def sigmoid__3(x):
    out = 1.0 / (1.0 + np.exp(-np.clip(x, -300, 300)))

    def backward(d_out):
        return d_out * out * (1.0 - out)

    return out, backward


# right
def sigmoid__4(x):
    e = np.exp(-abs(x))
    s = np.where(x < 0, e, 1) / (1 + e)

    def backward(d_out):
        return d_out * e / (1 + e) ** 2

    return s, backward


# np.where computes both branches, so exp overflows all the same and warns
def sigmoid__5(x):
    out = np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# 1 / 1 + exp(-x): the brackets around the denominator are missing
def sigmoid__6(x):
    x = np.clip(x, -500, 500)
    out = 1 / 1 + np.exp(-x)

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# x is clipped at ±20, which is off by 2e-9 for large numbers
def sigmoid__7(x):
    xc = np.minimum(np.maximum(x, -20), 20)
    out = 1 / (1 + np.exp(-xc))

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# x is clipped in place, the caller's array is changed
def sigmoid__8(x):
    x[x < -500] = -500
    x[x > 500] = 500
    out = 1 / (1 + np.exp(-x))

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# forward is stable but backward takes exp(-x) again, which overflows for -1000 and gives NaN
def sigmoid__10(x):
    out = 0.5 * (1 + np.tanh(0.5 * x))

    def backward(d_out):
        return d_out * np.exp(-x) / (1 + np.exp(-x)) ** 2

    return out, backward


# exp(x) / (1 + exp(x)) with the warnings silenced: for 1000 it is inf/inf, NaN
def sigmoid__12(x):
    with np.errstate(all="ignore"):
        e = np.exp(x)
        out = e / (1 + e)

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# tanh(x) in place of tanh(x / 2)
def sigmoid__13(x):
    out = (1 + np.tanh(x)) / 2

    def backward(d_out):
        return 2 * d_out * out * (1 - out)

    return out, backward


# ^ is not the power in Python (TypeError for floats)
def sigmoid__14(x):
    out = np.exp(-np.logaddexp(0, -x))

    def backward(d_out):
        return d_out * (out - out ^ 2)

    return out, backward


# the sigmoid is applied a second time in backward: sigmoid(out) * (1 - sigmoid(out))
def sigmoid__15(x):
    def sig(t):
        return 0.5 + 0.5 * np.tanh(t / 2)

    out = sig(x)

    def backward(d_out):
        return d_out * sig(out) * (1 - sig(out))

    return out, backward


# ---------------------------------------------------------------- gate


# right
def gate__1(m, f):
    def backward(d_out):
        d_m = d_out * f
        for ax in range(4):
            if m.shape[ax] == 1:
                d_m = np.sum(d_m, axis=ax, keepdims=True)
        return d_m, d_out * m

    return m * f, backward


# right
def gate__2(m, f):
    N, C, H, W = f.shape
    out = np.zeros(f.shape)
    a, b, c, d = m.shape
    for n in range(N):
        for ch in range(C):
            for i in range(H):
                for j in range(W):
                    out[n, ch, i, j] = m[n, ch % b, i % c, j % d] * f[n, ch, i, j]

    def backward(d_out):
        d_m = np.zeros(m.shape)
        d_f = np.zeros(f.shape)
        for n in range(N):
            for ch in range(C):
                for i in range(H):
                    for j in range(W):
                        d_m[n, ch % b, i % c, j % d] += d_out[n, ch, i, j] * f[n, ch, i, j]
                        d_f[n, ch, i, j] = d_out[n, ch, i, j] * m[n, ch % b, i % c, j % d]
        return d_m, d_f

    return out, backward


# d_m is summed over H and W only, right for the channel map but not for the spatial map
def gate__3(m, f):
    out = m * f

    def backward(d_out):
        return (d_out * f).sum(axis=(2, 3), keepdims=True), d_out * m

    return out, backward


# m.shape[1] == 1 is taken for "spatial map", which fails for a channel map with C = 1
def gate__4(m, f):
    out = m * f

    def backward(d_out):
        d_m = d_out * f
        if m.shape[1] == 1:
            d_m = d_m.sum(axis=1, keepdims=True)
        else:
            d_m = d_m.sum(axis=(2, 3), keepdims=True)
        return d_m, d_out * m

    return out, backward


# m.shape[2] == 1 is taken for "channel map", which fails for a spatial map of images with one row
def gate__5(m, f):
    def backward(d_out):
        if m.shape[2] == 1:
            d_m = np.einsum("ncij,ncij->nc", d_out, f)[:, :, None, None]
        else:
            d_m = np.einsum("ncij,ncij->nij", d_out, f)[:, None]
        return d_m, m * d_out

    return np.multiply(m, f), backward


# without keepdims: d_m loses the axes of length 1
def gate__6(m, f):
    out = m * f

    def backward(d_out):
        axes = tuple(i for i in range(4) if m.shape[i] == 1)
        d_m = np.sum(d_out * f, axis=axes)
        return d_m, d_out * m

    return out, backward


# f is multiplied in place (f *= m), so the input is changed and d_m is made with the output
def gate__7(m, f):
    f *= m

    def backward(d_out):
        axes = tuple(i for i in range(4) if m.shape[i] == 1)
        return np.sum(d_out * f, axis=axes, keepdims=True), d_out * m

    return f, backward


# d_out and f are summed one by one and then multiplied, a product of sums and not the sum of the products
def gate__9(m, f):
    out = m * f

    def backward(d_out):
        axes = tuple(i for i in range(4) if m.shape[i] == 1)
        d_m = d_out.sum(axis=axes, keepdims=True) * f.sum(axis=axes, keepdims=True)
        return d_m, d_out * m

    return out, backward


# @ in place of *: a matrix product of the last two axes, and the shapes don't fit
def gate__11(m, f):
    out = m @ f

    def backward(d_out):
        axes = tuple(i for i in range(4) if m.shape[i] == 1)
        return np.sum(d_out @ f, axis=axes, keepdims=True), m @ d_out

    return out, backward


# ---------------------------------------------------------------- channel_attention


# right
def channel_attention__1(f, w1, w2):
    avg, b_avg = avg_pool_over_space(f)
    mx, b_max = max_pool_over_space(f)
    a, b_mlp1 = mlp(avg, w1, w2)
    b, b_mlp2 = mlp(mx, w1, w2)
    m, b_sig = sigmoid(a + b)
    f1, b_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = b_gate(d_f1)
        d_s = b_sig(d_m[:, :, 0, 0])
        d_avg, d_w1a, d_w2a = b_mlp1(d_s)
        d_max, d_w1b, d_w2b = b_mlp2(d_s)
        return d_f + b_avg(d_avg) + b_max(d_max), d_w1a + d_w1b, d_w2a + d_w2b

    return f1, backward


# right
def channel_attention__2(f, w1, w2):
    N, C, H, W = f.shape
    avg, b_avg = avg_pool_over_space(f)
    mx, b_max = max_pool_over_space(f)
    both, b_mlp = mlp(np.vstack([avg, mx]), w1, w2)
    s = both[:N] + both[N:]
    M, b_sig = sigmoid(s)
    f1 = np.einsum("nc,ncij->ncij", M, f)

    def backward(d_f1):
        d_M = np.einsum("ncij,ncij->nc", d_f1, f)
        d_s = b_sig(d_M)
        d_x, d_w1, d_w2 = b_mlp(np.vstack([d_s, d_s]))
        d_f = d_f1 * M[:, :, None, None]
        d_f = d_f + b_avg(d_x[:N])
        d_f = d_f + b_max(d_x[N:])
        return d_f, d_w1, d_w2

    return f1, backward


# the second mlp's backward overwrites the first one's (same name), so both branches go through the max's MLP
def channel_attention__3(f, w1, w2):
    avg, b_avg = avg_pool_over_space(f)
    mx, b_max = max_pool_over_space(f)
    a, b_mlp = mlp(avg, w1, w2)
    b, b_mlp = mlp(mx, w1, w2)
    m, b_sig = sigmoid(a + b)
    f1, b_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = b_gate(d_f1)
        d_s = b_sig(d_m[:, :, 0, 0])
        d_avg, d_w1a, d_w2a = b_mlp(d_s)
        d_max, d_w1b, d_w2b = b_mlp(d_s)
        return d_f + b_avg(d_avg) + b_max(d_max), d_w1a + d_w1b, d_w2a + d_w2b

    return f1, backward


# average and maximum are added before one single MLP, but the ReLU is in between
def channel_attention__4(f, w1, w2):
    avg, b_avg = avg_pool_over_space(f)
    mx, b_max = max_pool_over_space(f)
    s, b_mlp = mlp(avg + mx, w1, w2)
    m, b_sig = sigmoid(s)
    f1, b_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = b_gate(d_f1)
        d_x, d_w1, d_w2 = b_mlp(b_sig(d_m[:, :, 0, 0]))
        return d_f + b_avg(d_x) + b_max(d_x), d_w1, d_w2

    return f1, backward


# the sigmoid is taken of each MLP's output and then they are added
def channel_attention__5(f, w1, w2):
    avg, b_avg = avg_pool_over_space(f)
    mx, b_max = max_pool_over_space(f)
    a, b_mlp1 = mlp(avg, w1, w2)
    b, b_mlp2 = mlp(mx, w1, w2)
    sa, b_sa = sigmoid(a)
    sb, b_sb = sigmoid(b)
    f1, b_gate = gate((sa + sb)[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = b_gate(d_f1)
        d_m = d_m[:, :, 0, 0]
        d_avg, d_w1a, d_w2a = b_mlp1(b_sa(d_m))
        d_max, d_w1b, d_w2b = b_mlp2(b_sb(d_m))
        return d_f + b_avg(d_avg) + b_max(d_max), d_w1a + d_w1b, d_w2a + d_w2b

    return f1, backward


# M_c is (N, C) and not brought to (N, C, 1, 1), so it can't be multiplied with f
def channel_attention__6(f, w1, w2):
    avg, b_avg = avg_pool_over_space(f)
    mx, b_max = max_pool_over_space(f)
    a, b_mlp1 = mlp(avg, w1, w2)
    b, b_mlp2 = mlp(mx, w1, w2)
    m, b_sig = sigmoid(a + b)
    f1, b_gate = gate(m, f)

    def backward(d_f1):
        d_m, d_f = b_gate(d_f1)
        d_s = b_sig(d_m)
        d_avg, d_w1a, d_w2a = b_mlp1(d_s)
        d_max, d_w1b, d_w2b = b_mlp2(d_s)
        return d_f + b_avg(d_avg) + b_max(d_max), d_w1a + d_w1b, d_w2a + d_w2b

    return f1, backward


# the pools' backwards are swapped: the average's gradient goes to the maximum and the other way round
def channel_attention__8(f, w1, w2):
    avg, back1 = avg_pool_over_space(f)
    mx, back2 = max_pool_over_space(f)
    a, back3 = mlp(avg, w1, w2)
    b, back4 = mlp(mx, w1, w2)
    m, back5 = sigmoid(a + b)
    f1, back6 = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = back6(d_f1)
        d_s = back5(d_m[:, :, 0, 0])
        d_avg, d_w1a, d_w2a = back3(d_s)
        d_max, d_w1b, d_w2b = back4(d_s)
        d_f = d_f + back2(d_avg) + back1(d_max)
        return d_f, d_w1a + d_w1b, d_w2a + d_w2b

    return f1, backward


# d_f1 is multiplied by the gate in place, the caller's gradient is changed
def channel_attention__9(f, w1, w2):
    avg, b_avg = avg_pool_over_space(f)
    mx, b_max = max_pool_over_space(f)
    a, b_mlp1 = mlp(avg, w1, w2)
    b, b_mlp2 = mlp(mx, w1, w2)
    m, b_sig = sigmoid(a + b)
    M = m[:, :, None, None]

    def backward(d_f1):
        d_m = (d_f1 * f).sum(axis=(2, 3))
        d_f = d_f1
        d_f *= M
        d_s = b_sig(d_m)
        d_avg, d_w1a, d_w2a = b_mlp1(d_s)
        d_max, d_w1b, d_w2b = b_mlp2(d_s)
        return d_f + b_avg(d_avg) + b_max(d_max), d_w1a + d_w1b, d_w2a + d_w2b

    return M * f, backward


# d_w1 and d_w2 come only from the max branch, the avg branch's are thrown away with _
def channel_attention__10(f, w1, w2):
    avg, b_avg = avg_pool_over_space(f)
    mx, b_max = max_pool_over_space(f)
    a, b_mlp1 = mlp(avg, w1, w2)
    b, b_mlp2 = mlp(mx, w1, w2)
    m, b_sig = sigmoid(a + b)
    f1, b_gate = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = b_gate(d_f1)
        d_s = b_sig(d_m[:, :, 0, 0])
        d_avg, _, _ = b_mlp1(d_s)
        d_max, d_w1, d_w2 = b_mlp2(d_s)
        return d_f + b_avg(d_avg) + b_max(d_max), d_w1, d_w2

    return f1, backward


# ---------------------------------------------------------------- im2col


# right
def im2col__1(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    xp[:, :, p : p + H, p : p + W] = x
    col = np.zeros((N, C * k * k, H * W))
    for c in range(C):
        for a in range(k):
            for b in range(k):
                r = c * k * k + a * k + b
                for i in range(H):
                    for j in range(W):
                        col[:, r, i * W + j] = xp[:, c, i + a, j + b]
    return col


# right
def im2col__2(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    v = sliding_window_view(xp, (k, k), axis=(2, 3))
    return v.transpose(0, 1, 4, 5, 2, 3).reshape(N, C * k**2, H * W)


# right
def im2col__3(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, [(0, 0), (0, 0), (p, p), (p, p)])
    L = []
    for a in range(k):
        for b in range(k):
            L.append(xp[:, :, a : a + H, b : b + W])
    return np.stack(L, axis=2).reshape(N, C * k * k, H * W)


# np.pad(x, p) pads all four axes, the samples and channels too
def im2col__4(x, k):
    p = k // 2
    N, C, H, W = x.shape
    xp = np.pad(x, p)
    cols = []
    for a in range(k):
        for b in range(k):
            cols.append(xp[:, :, a : a + H, b : b + W])
    cols = np.stack(cols, axis=2)
    return cols.reshape(cols.shape[0], -1, H * W)


# np.roll instead of padding: the border wraps around to the other side
def im2col__5(x, k):
    N, C, H, W = x.shape
    p = k // 2
    cols = np.zeros((N, C, k, k, H, W))
    for a in range(k):
        for b in range(k):
            cols[:, :, a, b] = np.roll(x, (p - a, p - b), axis=(2, 3))
    return cols.reshape(N, C * k * k, H * W)


# the column's number is i * H + j instead of i * W + j
def im2col__6(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    col = np.zeros((N, C * k * k, H * W))
    for i in range(H):
        for j in range(W):
            q = i * H + j
            col[:, :, q] = xp[:, :, i : i + k, j : j + k].reshape(N, -1)
    return col


# the reshape comes straight after sliding_window_view without a transpose, so the axes are mixed up
def im2col__7(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    v = sliding_window_view(xp, (k, k), axis=(2, 3))
    return v.reshape(N, C * k * k, H * W)


# each window is flattened column by column (order F), so a and b change places and c isn't outermost
def im2col__8(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    col = np.zeros((N, C * k * k, H * W))
    for n in range(N):
        for i in range(H):
            for j in range(W):
                col[n, :, i * W + j] = xp[n, :, i : i + k, j : j + k].flatten(order="F")
    return col


# the loops stop one pixel early (H - 1 and W - 1 as in a 1-based end), the last row and column of windows stay zero
def im2col__9(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    col = np.zeros((N, C * k * k, H * W))
    for i in range(0, H - 1):
        for j in range(0, W - 1):
            col[:, :, i * W + j] = xp[:, :, i : i + k, j : j + k].reshape(N, C * k * k)
    return col


# k / 2 is a float, np.zeros with such a shape stops with a TypeError
def im2col__10(x, k):
    N, C, H, W = x.shape
    p = k / 2
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    xp[:, :, p : p + H, p : p + W] = x
    cols = [xp[:, :, a : a + H, b : b + W] for a in range(k) for b in range(k)]
    return np.stack(cols, 2).reshape(N, C * k * k, H * W)


# concatenate along the channels: the rows are in the order (a,b,c) and not (c,a,b)
def im2col__11(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    cols = np.concatenate([xp[:, :, a : a + H, b : b + W] for a in range(k) for b in range(k)], axis=1)
    return cols.reshape(N, C * k * k, H * W)


# ---------------------------------------------------------------- conv2d


# right
def conv2d__1(x, kernel):
    N, C, H, W = x.shape
    O, C2, k, k2 = kernel.shape
    p = k // 2
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    xp[:, :, p : p + H, p : p + W] = x
    out = np.zeros((N, O, H, W))
    for a in range(k):
        for b in range(k):
            out += np.einsum("oc,ncij->noij", kernel[:, :, a, b], xp[:, :, a : a + H, b : b + W])

    def backward(d_out):
        d_xp = np.zeros(xp.shape)
        d_k = np.zeros(kernel.shape)
        for a in range(k):
            for b in range(k):
                d_k[:, :, a, b] = np.einsum("noij,ncij->oc", d_out, xp[:, :, a : a + H, b : b + W])
                d_xp[:, :, a : a + H, b : b + W] += np.einsum("oc,noij->ncij", kernel[:, :, a, b], d_out)
        return d_xp[:, :, p : p + H, p : p + W], d_k

    return out, backward


# right
def conv2d__2(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    wmat = kernel.reshape(O, -1)
    out = (wmat @ cols).reshape(N, O, H, W)

    def backward(d_out):
        D = d_out.reshape(N, O, H * W)
        d_kernel = np.zeros(wmat.shape)
        for n in range(N):
            d_kernel = d_kernel + D[n] @ cols[n].T
        return col2im(wmat.T @ D, x.shape, k), d_kernel.reshape(kernel.shape)

    return out, backward


# right
def conv2d__3(x, kernel):
    k = kernel.shape[-1]
    p = k // 2
    pad = ((0, 0), (0, 0), (p, p), (p, p))
    win = sliding_window_view(np.pad(x, pad), (k, k), axis=(2, 3))
    out = np.einsum("ncijab,ocab->noij", win, kernel)

    def backward(d_out):
        dwin = sliding_window_view(np.pad(d_out, pad), (k, k), axis=(2, 3))
        d_x = np.einsum("noijab,ocab->ncij", dwin, kernel[:, :, ::-1, ::-1])
        return d_x, np.einsum("ncijab,noij->ocab", win, d_out)

    return out, backward


# the kernel is flipped in the forward (a true convolution like MATLAB's conv2)
def conv2d__4(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    flipped = kernel[:, :, ::-1, ::-1]
    cols = im2col(x, k)
    out = (flipped.reshape(O, -1) @ cols).reshape(N, O, H, W)

    def backward(d_out):
        D = d_out.reshape(N, O, H * W)
        d_k = np.einsum("nop,nqp->oq", D, cols).reshape(O, C, k, k)[:, :, ::-1, ::-1]
        d_x = col2im(np.einsum("oq,nop->nqp", flipped.reshape(O, -1), D), x.shape, k)
        return d_x, d_k

    return out, backward


# kernel.reshape(C*k*k, O) in place of the transpose: right only for O = 1
def conv2d__5(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    w = kernel.reshape(C * k * k, O)
    out = np.einsum("qo,nqp->nop", w, cols).reshape(N, O, H, W)

    def backward(d_out):
        D = d_out.reshape(N, O, H * W)
        d_w = np.einsum("nop,nqp->qo", D, cols)
        d_cols = np.einsum("qo,nop->nqp", w, D)
        return col2im(d_cols, x.shape, k), d_w.reshape(kernel.shape)

    return out, backward


# d_x is conv2d of d_out with the kernel's O and C swapped but the kernel isn't flipped
def conv2d__6(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    out = np.matmul(kernel.reshape(O, -1), cols).reshape(N, O, H, W)

    def backward(d_out):
        kT = kernel.transpose(1, 0, 2, 3)
        d_x = np.matmul(kT.reshape(C, -1), im2col(d_out, k)).reshape(x.shape)
        d_k = np.einsum("nop,nqp->oq", d_out.reshape(N, O, -1), cols).reshape(kernel.shape)
        return d_x, d_k

    return out, backward


# k is read from kernel.shape[1], which is the number of channels
def conv2d__8(x, kernel):
    N, C, H, W = x.shape
    O, k = kernel.shape[0], kernel.shape[1]
    cols = im2col(x, k)
    out = (kernel.reshape(O, -1) @ cols).reshape(N, O, H, W)

    def backward(d_out):
        D = d_out.reshape(N, O, H * W)
        d_k = (D @ cols.transpose(0, 2, 1)).sum(axis=0).reshape(kernel.shape)
        d_x = col2im(kernel.reshape(O, -1).T @ D, x.shape, k)
        return d_x, d_k

    return out, backward


# the input channels aren't summed in the loop, each one overwrites the one before (= instead of +=)
def conv2d__9(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    out = np.zeros((N, O, H, W))
    for o in range(O):
        for c in range(C):
            for i in range(H):
                for j in range(W):
                    out[:, o, i, j] = np.sum(xp[:, c, i : i + k, j : j + k] * kernel[o, c], axis=(1, 2))

    def backward(d_out):
        cols = im2col(x, k)
        D = d_out.reshape(N, O, H * W)
        d_k = np.einsum("nop,nqp->oq", D, cols).reshape(kernel.shape)
        return col2im(kernel.reshape(O, -1).T @ D, x.shape, k), d_k

    return out, backward


# d_x is returned with its padding, (N, C, H + 2p, W + 2p)
def conv2d__10(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    out = np.zeros((N, O, H, W))
    for i in range(H):
        for j in range(W):
            out[:, :, i, j] = np.einsum("ncab,ocab->no", xp[:, :, i : i + k, j : j + k], kernel)

    def backward(d_out):
        d_x = np.zeros_like(xp)
        d_kernel = np.zeros_like(kernel)
        for i in range(H):
            for j in range(W):
                d_x[:, :, i : i + k, j : j + k] += np.einsum("no,ocab->ncab", d_out[:, :, i, j], kernel)
                d_kernel += np.einsum("no,ncab->ocab", d_out[:, :, i, j], xp[:, :, i : i + k, j : j + k])
        return d_x, d_kernel

    return out, backward


# the output's axes are never brought in order: (N, H·W, O) is reshaped to (N, O, H, W) without a transpose, wrong for O > 1
def conv2d__12(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    w = kernel.reshape(O, -1)
    out = (cols.transpose(0, 2, 1) @ w.T).reshape(N, O, H, W)

    def backward(d_out):
        D = d_out.reshape(N, H * W, O)
        d_k = np.einsum("npo,nqp->oq", D, cols).reshape(kernel.shape)
        return col2im(np.einsum("oq,npo->nqp", w, D), x.shape, k), d_k

    return out, backward


# the letters a and b of the kernel are swapped in every einsum, so the kernel is used transposed
def conv2d__13(x, kernel):
    k = kernel.shape[2]
    p = k // 2
    pad = ((0, 0), (0, 0), (p, p), (p, p))
    win = sliding_window_view(np.pad(x, pad), (k, k), axis=(2, 3))
    out = np.einsum("ncijab,ocba->noij", win, kernel)

    def backward(d_out):
        dwin = sliding_window_view(np.pad(d_out, pad), (k, k), axis=(2, 3))
        d_x = np.einsum("noijab,ocba->ncij", dwin, kernel[:, :, ::-1, ::-1])
        return d_x, np.einsum("ncijab,noij->ocba", win, d_out)

    return out, backward


# ---------------------------------------------------------------- col2im


# right
def col2im__1(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for n in range(N):
        for c in range(C):
            for a in range(k):
                for b in range(k):
                    row = columns[n, (c * k + a) * k + b]
                    xp[n, c, a : a + H, b : b + W] += row.reshape(H, W)
    return xp[:, :, p : p + H, p : p + W]


# right
def col2im__2(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    xp = np.zeros((N, C, H + k - 1, W + k - 1))
    c, a, b, i, j = np.ogrid[:C, :k, :k, :H, :W]
    vals = columns.reshape(N, C, k, k, H, W)
    for n in range(N):
        np.add.at(xp[n], (c, i + a, j + b), vals[n])
    return xp[:, :, p : H + p, p : W + p].copy()


# right
def col2im__3(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    t = columns.reshape(N, C, k, k, H, W)
    x = np.zeros(shape)
    for a in range(k):
        for b in range(k):
            full = np.pad(t[:, :, a, b], ((0, 0), (0, 0), (a, k - 1 - a), (b, k - 1 - b)))
            x = x + full[:, :, p : p + H, p : p + W]
    return x


# the crop is [p:-p], which is empty for k = 1
def col2im__4(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, C, k, k, H, W)
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + H, b : b + W] += cols[:, :, a, b]
    return xp[:, :, p:-p, p:-p]


# += with fancy indices adds only once where indices repeat, the overlaps are lost
def col2im__5(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    c, a, b, i, j = np.ogrid[:C, :k, :k, :H, :W]
    xp[:, c, i + a, j + b] += columns.reshape(N, C, k, k, H, W)
    return xp[:, :, p : p + H, p : p + W]


# the crop ends at H and W instead of p + H and p + W, so the result is too small
def col2im__6(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, C, k, k, H, W)
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, a : H + a, b : W + b] += cols[:, :, a, b]
    return xp[:, :, p:H, p:W]


# the columns are reshaped in the order (k, k, C), but C is the outermost
def col2im__8(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, k, k, C, H, W)
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, a : H + a, b : W + b] += cols[:, a, b]
    return xp[:, :, p : p + H, p : p + W]


# the shape of columns itself is set to six axes, so the caller's array has another shape afterwards
def col2im__10(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    columns.shape = (N, C, k, k, H, W)
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, a : a + H, b : b + W] += columns[:, :, a, b]
    return xp[:, :, p : p + H, p : p + W]


# takes only the middle entry of each window, the inverse of im2col instead of the sum
def col2im__11(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    return columns.reshape(N, C, k, k, H, W)[:, :, p, p].copy()


# a and b are swapped where the window is placed
def col2im__12(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, C, k, k, H, W)
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a in range(k):
        for b in range(k):
            xp[:, :, b : b + H, a : a + W] += cols[:, :, a, b]
    return xp[:, :, p : p + H, p : p + W]


# the pixel is found with q // H and q % H, rows and columns as if the image were counted by its height
def col2im__13(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    big = max(H, W) + max(H, W) + 2 * p
    xp = np.zeros((N, C, big, big))
    for q in range(H * W):
        i = q // H
        j = q % H
        xp[:, :, i : i + k, j : j + k] += columns[:, :, q].reshape(N, C, k, k)
    return xp[:, :, p : p + H, p : p + W]


# ---------------------------------------------------------------- spatial_attention


# right
def spatial_attention__1(f1, kernel):
    avg, b_avg = avg_pool_over_channels(f1)
    mx, b_max = max_pool_over_channels(f1)
    u, b_conv = conv2d(np.concatenate((avg, mx), axis=1), kernel)
    m, b_sig = sigmoid(u)
    f2, b_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_direct = b_gate(d_f2)
        d_cat, d_kernel = b_conv(b_sig(d_m))
        d_avg, d_max = np.split(d_cat, 2, axis=1)
        return d_direct + b_avg(d_avg) + b_max(d_max), d_kernel

    return f2, backward


# right
def spatial_attention__2(f1, kernel):
    N, C, H, W = f1.shape
    two = np.zeros((N, 2, H, W))
    a, ba = avg_pool_over_channels(f1)
    b, bb = max_pool_over_channels(f1)
    two[:, 0] = a[:, 0]
    two[:, 1] = b[:, 0]
    u, bc = conv2d(two, kernel)
    m = 0.5 + 0.5 * np.tanh(u / 2)

    def backward(d_f2):
        d_u = np.sum(d_f2 * f1, axis=1, keepdims=True) * m * (1 - m)
        d_two, d_kernel = bc(d_u)
        d_f1 = np.zeros(f1.shape)
        d_f1 += m * d_f2
        d_f1 += ba(d_two[:, [0]])
        d_f1 += bb(d_two[:, [1]])
        return d_f1, d_kernel

    return m * f1, backward


# max comes before avg in the concatenation
def spatial_attention__3(f1, kernel):
    avg, b_avg = avg_pool_over_channels(f1)
    mx, b_max = max_pool_over_channels(f1)
    u, b_conv = conv2d(np.concatenate((mx, avg), axis=1), kernel)
    m, b_sig = sigmoid(u)
    f2, b_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = b_gate(d_f2)
        d_cat, d_kernel = b_conv(b_sig(d_m))
        return d_f1 + b_max(d_cat[:, :1]) + b_avg(d_cat[:, 1:]), d_kernel

    return f2, backward


# concatenated along axis 0, the samples, and not along the channels
def spatial_attention__4(f1, kernel):
    avg, b_avg = avg_pool_over_channels(f1)
    mx, b_max = max_pool_over_channels(f1)
    u, b_conv = conv2d(np.concatenate((avg, mx)), kernel)
    m, b_sig = sigmoid(u)
    f2, b_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = b_gate(d_f2)
        d_cat, d_kernel = b_conv(b_sig(d_m))
        n = len(f1)
        return d_f1 + b_avg(d_cat[:n]) + b_max(d_cat[n:]), d_kernel

    return f2, backward


# d_cat[1:] slices the samples, not the channels, the max's half isn't found
def spatial_attention__5(f1, kernel):
    avg, b_avg = avg_pool_over_channels(f1)
    mx, b_max = max_pool_over_channels(f1)
    u, b_conv = conv2d(np.concatenate((avg, mx), axis=1), kernel)
    m, b_sig = sigmoid(u)
    f2, b_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = b_gate(d_f2)
        d_cat, d_kernel = b_conv(b_sig(d_m))
        return d_f1 + b_avg(d_cat[:1]) + b_max(d_cat[1:]), d_kernel

    return f2, backward


# both pools get the whole sum of the two channels' gradients
def spatial_attention__7(f1, kernel):
    avg, b_avg = avg_pool_over_channels(f1)
    mx, b_max = max_pool_over_channels(f1)
    u, b_conv = conv2d(np.concatenate((avg, mx), axis=1), kernel)
    m, b_sig = sigmoid(u)
    f2, b_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = b_gate(d_f2)
        d_cat, d_kernel = b_conv(b_sig(d_m))
        d_s = np.sum(d_cat, axis=1, keepdims=True)
        return d_f1 + b_avg(d_s) + b_max(d_s), d_kernel

    return f2, backward


# the sigmoid's backward gets d_f2 summed over the channels, without the factor f1
def spatial_attention__8(f1, kernel):
    avg, b_avg = avg_pool_over_channels(f1)
    mx, b_max = max_pool_over_channels(f1)
    u, b_conv = conv2d(np.concatenate((avg, mx), axis=1), kernel)
    m, b_sig = sigmoid(u)

    def backward(d_f2):
        d_u = b_sig(np.sum(d_f2, axis=1, keepdims=True))
        d_cat, d_kernel = b_conv(d_u)
        return d_f2 * m + b_avg(d_cat[:, 0:1]) + b_max(d_cat[:, 1:2]), d_kernel

    return m * f1, backward


# b_avg is used for both halves, the max's backward is never called
def spatial_attention__10(f1, kernel):
    avg, b_avg = avg_pool_over_channels(f1)
    mx, b_max = max_pool_over_channels(f1)
    u, b_conv = conv2d(np.concatenate((avg, mx), axis=1), kernel)
    m, b_sig = sigmoid(u)
    f2, b_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = b_gate(d_f2)
        d_cat, d_kernel = b_conv(b_sig(d_m))
        return d_f1 + b_avg(d_cat[:, :1]) + b_avg(d_cat[:, 1:]), d_kernel

    return f2, backward


# MATLAB brackets: np.array([avg, mx]) makes a new first axis of length 2, five axes in all, and conv2d stops
def spatial_attention__11(f1, kernel):
    avg, b_avg = avg_pool_over_channels(f1)
    mx, b_max = max_pool_over_channels(f1)
    u, b_conv = conv2d(np.array([avg, mx]), kernel)
    m, b_sig = sigmoid(u)
    f2, b_gate = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = b_gate(d_f2)
        d_cat, d_kernel = b_conv(b_sig(d_m))
        return d_f1 + b_avg(d_cat[0]) + b_max(d_cat[1]), d_kernel

    return f2, backward


# the output of the gate is returned as a tuple inside the tuple: f2 is (out, backward) of gate
def spatial_attention__12(f1, kernel):
    avg, b_avg = avg_pool_over_channels(f1)
    mx, b_max = max_pool_over_channels(f1)
    u, b_conv = conv2d(np.concatenate((avg, mx), axis=1), kernel)
    m, b_sig = sigmoid(u)
    f2 = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = f2[1](d_f2)
        d_cat, d_kernel = b_conv(b_sig(d_m))
        return d_f1 + b_avg(d_cat[:, :1]) + b_max(d_cat[:, 1:]), d_kernel

    return f2, backward


# ---------------------------------------------------------------- cbam


# right
def cbam__1(f, w1, w2, kernel):
    f1, back_c = channel_attention(f, w1, w2)
    f2, back_s = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_s(d_f2)
        d_f, d_w1, d_w2 = back_c(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# right
def cbam__2(f, w1, w2, kernel):
    f1, bc = channel_attention(f, w1, w2)
    f2, bs = spatial_attention(f1, kernel)

    def backward(d):
        g = bs(d)
        return bc(g[0]) + (g[1],)

    return f2, backward


# right
def cbam__3(f, w1, w2, kernel):
    def backward(d_f2):
        f1, bc = channel_attention(f, w1, w2)
        d_f1, d_kernel = spatial_attention(f1, kernel)[1](d_f2)
        return (*bc(d_f1), d_kernel)

    return spatial_attention(channel_attention(f, w1, w2)[0], kernel)[0], backward


# the spatial attention gets f and not f1, so the channel attention's result is never used
def cbam__4(f, w1, w2, kernel):
    f1, back_c = channel_attention(f, w1, w2)
    f2, back_s = spatial_attention(f, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_s(d_f2)
        d_f, d_w1, d_w2 = back_c(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# first spatial, then channel attention: the order is turned round
def cbam__5(f, w1, w2, kernel):
    f1, back_s = spatial_attention(f, kernel)
    f2, back_c = channel_attention(f1, w1, w2)

    def backward(d_f2):
        d_f1, d_w1, d_w2 = back_c(d_f2)
        d_f, d_kernel = back_s(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# backward goes forwards: channel's backward first and then the spatial one
def cbam__7(f, w1, w2, kernel):
    f1, back_c = channel_attention(f, w1, w2)
    f2, back_s = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_w1, d_w2 = back_c(d_f2)
        d_f, d_kernel = back_s(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# d_f1 from the spatial attention is added to d_f once more
def cbam__8(f, w1, w2, kernel):
    f1, back_c = channel_attention(f, w1, w2)
    f2, back_s = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back_s(d_f2)
        d_f, d_w1, d_w2 = back_c(d_f1)
        return d_f + d_f1, d_w1, d_w2, d_kernel

    return f2, backward


# both backwards are called back, so the second one overwrites the first, and back gives only two things where three are unpacked
def cbam__10(f, w1, w2, kernel):
    f1, back = channel_attention(f, w1, w2)
    f2, back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back(d_f2)
        d_f, d_w1, d_w2 = back(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# back_s's tuple isn't unpacked, the whole tuple is handed to back_c
def cbam__11(f, w1, w2, kernel):
    f1, back_c = channel_attention(f, w1, w2)
    f2, back_s = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1 = back_s(d_f2)
        d_f, d_w1, d_w2 = back_c(d_f1)
        return d_f, d_w1, d_w2, d_f1[1]

    return f2, backward
