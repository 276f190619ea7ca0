import math

import numpy as np

# ---------------------------------------------------------------------------------------------------------- 1 slopes


# right
def slopes__1(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    result = np.zeros_like(x)
    for idx in np.ndindex(*x.shape):
        values = []
        for sign in (+1, -1):
            moved = [a.copy() for a in inputs]
            moved[which][idx] += sign * eps
            out, _ = op(*moved)
            values.append(np.sum(out * d_out))
        result[idx] = (values[0] - values[1]) / (2 * eps)
    return result


# right
def slopes__2(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]

    def loss(candidate):
        args = list(inputs)
        args[which] = candidate
        return float(np.vdot(op(*args)[0], d_out))

    steps = np.eye(x.size).reshape((x.size,) + x.shape) * eps
    return np.array([(loss(x + s) - loss(x - s)) / (2 * eps) for s in steps]).reshape(x.shape)


# right
def slopes__3(op, inputs, which, d_out, eps=2e-5):
    x = inputs[which]
    grad = np.zeros(x.shape)
    it = np.nditer(x, flags=["multi_index"])
    while not it.finished:
        i = it.multi_index
        old = x[i]
        x[i] = old + eps
        up = (op(*inputs)[0] * d_out).sum()
        x[i] = old - eps
        down = (op(*inputs)[0] * d_out).sum()
        x[i] = old
        grad[i] = (up - down) / eps / 2
        it.iternext()
    return grad


# no copy is made and the entry isn't moved back after the second evaluation: the inputs have changed by epsilon afterwards
def slopes__4(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    grad = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        x[i] += eps
        up = (op(*inputs)[0] * d_out).sum()
        x[i] -= 2 * eps
        down = (op(*inputs)[0] * d_out).sum()
        grad[i] = (up - down) / (2 * eps)
    return grad


# the second evaluation is at the starting point instead of at minus epsilon, still divided by 2 epsilon
def slopes__5(op, inputs, which, d_out):
    eps = 1e-5
    args = [a.copy() for a in inputs]
    x = args[which]
    grad = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        x[i] += eps
        up = (op(*args)[0] * d_out).sum()
        x[i] -= eps
        down = (op(*args)[0] * d_out).sum()
        grad[i] = (up - down) / (2 * eps)
    return grad


# the copies are cast to float32, where a step of 1e-5 drowns in rounding
def slopes__6(op, inputs, which, d_out):
    eps = 1e-5
    args = [a.astype(np.float32) for a in inputs]
    x = args[which]
    grad = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        old = x[i]
        x[i] = old + eps
        up = (op(*args)[0] * d_out).sum()
        x[i] = old - eps
        down = (op(*args)[0] * d_out).sum()
        x[i] = old
        grad[i] = (up - down) / (2 * eps)
    return grad


# np.zeros gets the sizes as separate arguments like torch.zeros, which stops with a TypeError
def slopes__7(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which].copy()
    grad = np.zeros(*x.shape)
    for i in np.ndindex(x.shape):
        old = x[i]
        args = list(inputs)
        args[which] = x
        x[i] = old + eps
        up = (op(*args)[0] * d_out).sum()
        x[i] = old - eps
        down = (op(*args)[0] * d_out).sum()
        x[i] = old
        grad[i] = (up - down) / (2 * eps)
    return grad


# assigns into the tuple inputs, which stops with a TypeError
def slopes__8(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    grad = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        moved = x.copy()
        moved[i] += eps
        inputs[which] = moved
        up = (op(*inputs)[0] * d_out).sum()
        moved[i] -= 2 * eps
        down = (op(*inputs)[0] * d_out).sum()
        inputs[which] = x
        grad[i] = (up - down) / (2 * eps)
    return grad


# the return is indented into the loop, so only the first entry has a slope and the others stay 0
def slopes__9(op, inputs, which, d_out):
    eps = 1e-5
    grad = np.zeros_like(inputs[which])
    for i in np.ndindex(grad.shape):
        plus = [a.copy() for a in inputs]
        minus = [a.copy() for a in inputs]
        plus[which][i] += eps
        minus[which][i] -= eps
        up, _ = op(*plus)
        down, _ = op(*minus)
        grad[i] = ((up - down) * d_out).sum() / (2 * eps)
        return grad


# loops over the first axis only, so a whole row is moved at once and all its entries get the same number
def slopes__10(op, inputs, which, d_out):
    eps = 1e-5
    args = [a.copy() for a in inputs]
    x = args[which]
    grad = np.zeros_like(x)
    for i in range(len(x)):
        old = x[i].copy()
        x[i] = old + eps
        up = (op(*args)[0] * d_out).sum()
        x[i] = old - eps
        down = (op(*args)[0] * d_out).sum()
        x[i] = old
        grad[i] = (up - down) / (2 * eps)
    return grad


# nothing is measured: the gradient of op's own backward is returned
def slopes__11(op, inputs, which, d_out):
    out, backward = op(*inputs)
    grads = backward(d_out)
    if len(inputs) == 1:
        return grads
    return grads[which]


# op's result is not unpacked, so the pair of out and backward is multiplied by d_out, which stops with an error
def slopes__12(op, inputs, which, d_out):
    eps = 1e-5
    args = [a.copy() for a in inputs]
    x = args[which]
    grad = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        old = x[i]
        x[i] = old + eps
        up = np.sum(op(*args) * d_out)
        x[i] = old - eps
        down = np.sum(op(*args) * d_out)
        x[i] = old
        grad[i] = (up - down) / (2 * eps)
    return grad


# L is the mean of d_out * out instead of the sum
def slopes__13(op, inputs, which, d_out):
    eps = 1e-5
    args = [a.copy() for a in inputs]
    x = args[which]
    grad = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        old = x[i]
        x[i] = old + eps
        up = (op(*args)[0] * d_out).mean()
        x[i] = old - eps
        down = (op(*args)[0] * d_out).mean()
        x[i] = old
        grad[i] = (up - down) / (2 * eps)
    return grad


# --------------------------------------------------------------------------------------------------- 2 largest_error


# right
def largest_error__1(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    worst = 0.0
    for which, grad in enumerate(grads):
        diff = np.abs(grad - slopes(op, inputs, which, d_out))
        worst = max(worst, diff.max())
    return worst


# right
def largest_error__2(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.RandomState(seed).randn(*out.shape)
    grads = backward(d_out)
    grads = grads if isinstance(grads, (tuple, list)) else [grads]
    diffs = [(g - slopes(op, inputs, i, d_out)).ravel() for i, g in enumerate(grads)]
    return float(np.linalg.norm(np.concatenate(diffs), np.inf))


# right
def largest_error__3(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).uniform(-1, 1, out.shape)
    if len(inputs) == 1:
        diff = backward(d_out) - slopes(op, inputs, 0, d_out)
        return max(diff.max(), -diff.min())
    return max(np.max(np.abs(g - slopes(op, inputs, i, d_out))) for i, g in enumerate(backward(d_out)))


# with one input the gradient is not put into a tuple, so only its first row is compared with the slopes
def largest_error__4(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    worst = 0.0
    for i in range(len(inputs)):
        worst = max(worst, np.abs(grads[i] - slopes(op, inputs, i, d_out)).max())
    return worst


# draws a fresh d_out for the slopes, another one than backward was given
def largest_error__5(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    grads = backward(rng.normal(size=out.shape))
    if len(inputs) == 1:
        grads = (grads,)
    worst = 0.0
    for i, g in enumerate(grads):
        s = slopes(op, inputs, i, rng.normal(size=out.shape))
        worst = max(worst, np.abs(g - s).max())
    return worst


# every input overwrites the result of the one before, so only the last input's error is returned
def largest_error__6(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    for i, g in enumerate(grads):
        worst = np.abs(g - slopes(op, inputs, i, d_out)).max()
    return worst


# passes the shape to normal as the mean (the first argument), so d_out has the wrong shape
def largest_error__7(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    d_out = rng.normal(out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    return max(np.abs(g - slopes(op, inputs, i, d_out)).max() for i, g in enumerate(grads))


# returns np.allclose's True or False instead of the error
def largest_error__8(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if not isinstance(grads, tuple):
        grads = (grads,)
    return all(np.allclose(g, slopes(op, inputs, i, d_out), atol=1e-7) for i, g in enumerate(grads))


# np.max over a list of arrays of different shapes, which stops with a ValueError
def largest_error__9(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if not isinstance(grads, tuple):
        grads = (grads,)
    return np.max([np.abs(g - slopes(op, inputs, i, d_out)) for i, g in enumerate(grads)])


# the error is printed and not returned
def largest_error__10(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = [grads]
    worst = 0
    for i in range(len(inputs)):
        worst = max(worst, np.abs(grads[i] - slopes(op, inputs, i, d_out)).max())
    print("largest error:", worst)


# compares the sums of gradient and slopes, so errors of opposite sign cancel
def largest_error__11(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = [grads]
    worst = 0
    for i in range(len(inputs)):
        worst = max(worst, abs(grads[i].sum() - slopes(op, inputs, i, d_out).sum()))
    return worst


# the maximum is taken of the signed differences, and the absolute value only of that maximum
def largest_error__12(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = [grads]
    worst = 0
    for i in range(len(inputs)):
        worst = max(worst, abs((grads[i] - slopes(op, inputs, i, d_out)).max()))
    return worst


# ---------------------------------------------------------------------------------------------- 3 avg_pool_over_space


# right
def avg_pool_over_space__1(f):
    N, C, H, W = f.shape
    avg_c = f.reshape(N, C, H * W).mean(axis=2)

    def backward(d_avg_c):
        return np.broadcast_to(d_avg_c[:, :, None, None] / (H * W), f.shape)

    return avg_c, backward


# right
def avg_pool_over_space__2(f):
    n, c, h, w = f.shape
    weights = np.full((h, w), 1.0 / (h * w))
    return np.einsum("ncij,ij->nc", f, weights), lambda d: np.einsum("nc,ij->ncij", d, weights)


# np.tile instead of np.repeat: the samples' and channels' gradients are shuffled over the pixels
def avg_pool_over_space__3(f):
    N, C, H, W = f.shape
    avg_c = f.mean(axis=(2, 3))

    def backward(d_avg_c):
        return np.tile(d_avg_c, H * W).reshape(f.shape) / (H * W)

    return avg_c, backward


# keeps the two axes of length 1, like AdaptiveAvgPool2d
def avg_pool_over_space__4(f):
    N, C, H, W = f.shape
    avg_c = f.mean(axis=(2, 3), keepdims=True)

    def backward(d_avg_c):
        return np.ones_like(f) * d_avg_c / (H * W)

    return avg_c, backward


# torch's keyword dim instead of axis, which stops with a TypeError
def avg_pool_over_space__5(f):
    N, C, H, W = f.shape
    avg_c = f.mean(dim=(2, 3))

    def backward(d_avg_c):
        return np.ones_like(f) * d_avg_c[:, :, None, None] / (H * W)

    return avg_c, backward


# the gradient is not spread over the pixels: d_f has shape (N, C, 1, 1)
def avg_pool_over_space__6(f):
    H, W = f.shape[2:]
    avg_c = f.sum(axis=(2, 3)) / (H * W)

    def backward(d_avg_c):
        return d_avg_c[:, :, np.newaxis, np.newaxis] / (H * W)

    return avg_c, backward


# backward divides by the size of the whole array instead of by H*W
def avg_pool_over_space__7(f):
    avg_c = f.mean((2, 3))

    def backward(d_avg_c):
        d_f = np.zeros(f.shape)
        d_f += d_avg_c[..., None, None] / f.size
        return d_f

    return avg_c, backward


# ---------------------------------------------------------------------------------------------- 4 max_pool_over_space


# right
def max_pool_over_space__1(f):
    N, C, H, W = f.shape
    flat = f.reshape(N, C, -1)
    idx = flat.argmax(axis=2)[:, :, None]
    max_c = np.take_along_axis(flat, idx, axis=2)[:, :, 0]

    def backward(d_max_c):
        d_flat = np.zeros((N, C, H * W))
        np.put_along_axis(d_flat, idx, d_max_c[:, :, None], axis=2)
        return d_flat.reshape(f.shape)

    return max_c, backward


# right
def max_pool_over_space__2(f):
    max_c = f.max(axis=(2, 3))

    def backward(d_max_c):
        d_f = np.zeros_like(f)
        for n in range(f.shape[0]):
            for c in range(f.shape[1]):
                i, j = np.unravel_index(np.argmax(f[n, c]), f[n, c].shape)
                d_f[n, c, i, j] = d_max_c[n, c]
        return d_f

    return max_c, backward


# right
def max_pool_over_space__3(f):
    n, c, h, w = f.shape
    winner = np.argmax(f.reshape(n * c, h * w), axis=1)
    one_hot = np.eye(h * w)[winner].reshape(n, c, h, w)
    return np.amax(f, axis=(-2, -1)), lambda d: one_hot * d.reshape(n, c, 1, 1)


# all ties get the full gradient: the mask is f == max
def max_pool_over_space__4(f):
    max_c = f.max(axis=(2, 3))
    mask = f == max_c[:, :, None, None]

    def backward(d_max_c):
        return mask * d_max_c[:, :, None, None]

    return max_c, backward


# ties share the gradient evenly, like torch.amax
def max_pool_over_space__5(f):
    max_c = f.max(axis=(2, 3), keepdims=True)
    mask = (f == max_c).astype(float)
    mask = mask / mask.sum(axis=(2, 3), keepdims=True)

    def backward(d_max_c):
        return mask * d_max_c[:, :, None, None]

    return max_c[:, :, 0, 0], backward


# unpacks max into values and indices as in torch, which stops with a ValueError
def max_pool_over_space__6(f):
    N, C, H, W = f.shape
    values, idx = f.reshape(N, C, -1).max(axis=2)

    def backward(d_max_c):
        d_f = np.zeros((N, C, H * W))
        np.put_along_axis(d_f, idx[:, :, None], d_max_c[:, :, None], axis=2)
        return d_f.reshape(f.shape)

    return values, backward


# the winners' rows and columns are indexed with colons for n and c, so every channel gets the entries of all the others
def max_pool_over_space__7(f):
    N, C, H, W = f.shape
    idx = f.reshape(N, C, H * W).argmax(axis=2)
    max_c = f.max(axis=(2, 3))

    def backward(d_max_c):
        d_f = np.zeros_like(f)
        d_f[:, :, idx // W, idx % W] = d_max_c
        return d_f

    return max_c, backward


# the gradient array is an integer array, so the gradients are cut to whole numbers
def max_pool_over_space__8(f):
    N, C, H, W = f.shape
    idx = f.reshape(N, C, H * W).argmax(axis=-1)
    n, c = np.indices((N, C))

    def backward(d_max_c):
        d_f = np.zeros(f.shape, dtype=int)
        d_f[n, c, idx // W, idx % W] = d_max_c
        return d_f

    return f.max(axis=(2, 3)), backward


# one winner per column instead of per channel: the argmax is taken over the rows only
def max_pool_over_space__9(f):
    max_c = f.max(axis=2).max(axis=2)
    idx = f.argmax(axis=2)[:, :, None, :]

    def backward(d_max_c):
        d_f = np.zeros_like(f)
        d = np.broadcast_to(d_max_c[:, :, None, None], idx.shape)
        np.put_along_axis(d_f, idx, d, axis=2)
        return d_f

    return max_c, backward


# backward reuses f as the gradient array and zeroes it: the input is changed in place
def max_pool_over_space__10(f):
    N, C, H, W = f.shape
    flat = f.reshape(N, C, H * W)
    idx = flat.argmax(axis=2)[..., None]
    max_c = flat.max(axis=2)

    def backward(d_max_c):
        d_f = flat
        d_f[:] = 0
        np.put_along_axis(d_f, idx, d_max_c[..., None], axis=2)
        return d_f.reshape(N, C, H, W)

    return max_c, backward


# row and column of the winner are swapped when it is looked up from the flat index (% for the row, // for the column)
def max_pool_over_space__11(f):
    N, C, H, W = f.shape
    max_c = f.max(axis=(2, 3))

    def backward(d_max_c):
        d_f = np.zeros_like(f)
        for n in range(N):
            for c in range(C):
                k = f[n, c].argmax()
                d_f[n, c, k % W, k // W] = d_max_c[n, c]
        return d_f

    return max_c, backward


# the last of the ties wins: the running maximum is replaced with >=
def max_pool_over_space__12(f):
    N, C, H, W = f.shape
    best = np.full((N, C), -np.inf)
    where = np.zeros((N, C, 2), dtype=int)
    for n in range(N):
        for c in range(C):
            for i in range(H):
                for j in range(W):
                    if f[n, c, i, j] >= best[n, c]:
                        best[n, c] = f[n, c, i, j]
                        where[n, c] = i, j

    def backward(d_max_c):
        d_f = np.zeros_like(f)
        for n in range(N):
            for c in range(C):
                i, j = where[n, c]
                d_f[n, c, i, j] += d_max_c[n, c]
        return d_f

    return best, backward


# ------------------------------------------------------------------------------------------- 5 avg_pool_over_channels


# right
def avg_pool_over_channels__1(f):
    C = f.shape[1]

    def backward(d_avg_s):
        return np.repeat(d_avg_s, C, axis=1) / C

    return f.mean(axis=1, keepdims=True), backward


# right
def avg_pool_over_channels__2(f):
    channels = f.shape[1]
    avg_s = sum(f[:, c : c + 1] for c in range(channels)) / channels

    def backward(d_avg_s):
        d_f = np.zeros_like(f)
        for c in range(channels):
            d_f[:, c] = d_avg_s[:, 0] / channels
        return d_f

    return avg_s, backward


# the axis of length 1 is lost: avg_s has shape (N, H, W)
def avg_pool_over_channels__3(f):
    N, C, H, W = f.shape
    avg_s = f.mean(axis=1)

    def backward(d_avg_s):
        return np.broadcast_to(d_avg_s.reshape(N, 1, H, W) / C, f.shape)

    return avg_s, backward


# backward divides by H*W, copied from the pooling over space
def avg_pool_over_channels__4(f):
    N, C, H, W = f.shape
    avg_s = f.mean(axis=1, keepdims=True)

    def backward(d_avg_s):
        return np.broadcast_to(d_avg_s / (H * W), f.shape)

    return avg_s, backward


# torch's repeat(1, C, 1, 1) on an array, which stops with a TypeError
def avg_pool_over_channels__5(f):
    N, C, H, W = f.shape
    avg_s = f.mean(axis=1, keepdims=True)

    def backward(d_avg_s):
        return d_avg_s.repeat(1, C, 1, 1) / C

    return avg_s, backward


# the whole gradient goes to channel 0 and the others get nothing
def avg_pool_over_channels__6(f):
    avg_s = f.mean(axis=1, keepdims=True)

    def backward(d_avg_s):
        d_f = np.zeros_like(f)
        d_f[:, :1] += d_avg_s
        return d_f

    return avg_s, backward


# divides by f.shape[0], the number of samples, in both directions
def avg_pool_over_channels__7(f):
    C = f.shape[0]
    avg_s = f.sum(axis=1, keepdims=True) / C

    def backward(d_avg_s):
        return np.ones(f.shape) * d_avg_s / C

    return avg_s, backward


# ------------------------------------------------------------------------------------------- 6 max_pool_over_channels


# right
def max_pool_over_channels__1(f):
    idx = np.argmax(f, axis=1, keepdims=True)
    max_s = np.take_along_axis(f, idx, axis=1)

    def backward(d_max_s):
        d_f = np.zeros_like(f)
        np.put_along_axis(d_f, idx, d_max_s, axis=1)
        return d_f

    return max_s, backward


# right
def max_pool_over_channels__2(f):
    C = f.shape[1]
    max_s = f[:, :1].copy()
    who = np.zeros(max_s.shape, dtype=int)
    for c in range(1, C):
        better = f[:, c : c + 1] > max_s
        max_s[better] = f[:, c : c + 1][better]
        who[better] = c
    mask = who == np.arange(C).reshape(1, C, 1, 1)
    return max_s, lambda d: np.where(mask, d, 0.0)


# torch's keepdim instead of keepdims, which stops with a TypeError
def max_pool_over_channels__3(f):
    idx = f.argmax(axis=1)[:, None]
    max_s = f.max(axis=1, keepdim=True)

    def backward(d_max_s):
        d_f = np.zeros_like(f)
        np.put_along_axis(d_f, idx, d_max_s, axis=1)
        return d_f

    return max_s, backward


# the argmax has lost its axis, so put_along_axis stops with an error about the dimensions
def max_pool_over_channels__4(f):
    max_s = f.max(axis=1, keepdims=True)
    idx = f.argmax(axis=1)

    def backward(d_max_s):
        d_f = np.zeros_like(f)
        np.put_along_axis(d_f, idx, d_max_s, axis=1)
        return d_f

    return max_s, backward


# each sample's winning channels get the whole gradient map, not only the pixels at which they win
def max_pool_over_channels__5(f):
    max_s = f.max(axis=1, keepdims=True)
    idx = f.argmax(axis=1)

    def backward(d_max_s):
        d_f = np.zeros_like(f)
        for n in range(len(f)):
            d_f[n, idx[n]] = d_max_s[n]
        return d_f

    return max_s, backward


# the running maximum starts at 0, so pixels at which all channels are negative give 0
def max_pool_over_channels__6(f):
    N, C, H, W = f.shape
    max_s = np.zeros((N, 1, H, W))
    for c in range(C):
        max_s = np.maximum(max_s, f[:, c : c + 1])
    first = f.argmax(axis=1)[:, None] == np.arange(C)[None, :, None, None]

    def backward(d_max_s):
        return first * d_max_s

    return max_s, backward


# where channels tie, every one of them gets the gradient
def max_pool_over_channels__7(f):
    max_s = np.amax(f, axis=1, keepdims=True)

    def backward(d_max_s):
        d_f = np.repeat(d_max_s, f.shape[1], axis=1)
        d_f[f < max_s] = 0
        return d_f

    return max_s, backward


# backward puts the largest value itself at the winner instead of d_max_s
def max_pool_over_channels__8(f):
    idx = f.argmax(axis=1)[:, None]
    max_s = np.take_along_axis(f, idx, axis=1)

    def backward(d_max_s):
        d_f = np.zeros_like(f)
        np.put_along_axis(d_f, idx, max_s, axis=1)
        return d_f

    return max_s, backward


# ------------------------------------------------------------------------------------------------------------- 7 relu


# right
def relu__1(x):
    mask = x > 0

    def backward(d_out):
        d_x = d_out.copy()
        d_x[~mask] = 0
        return d_x

    return np.where(mask, x, 0.0), backward


# right
def relu__2(x):
    return (x + np.abs(x)) / 2, lambda d_out: d_out * np.heaviside(x, 0.0)


# torch's clamp, which arrays don't have: stops with an AttributeError
def relu__3(x):
    out = x.clamp(min=0)

    def backward(d_out):
        return d_out * (out > 0)

    return out, backward


# zeroes entries of d_out in place in backward
def relu__4(x):
    out = np.maximum(x, 0)

    def backward(d_out):
        d_out[x <= 0] = 0
        return d_out

    return out, backward


# np.max(x, 0) takes the maximum along axis 0 instead of comparing with 0
def relu__5(x):
    out = np.max(x, 0)

    def backward(d_out):
        return d_out * (x > 0)

    return out, backward


# backward clips the gradient itself: the sign of d_out decides and not that of x
def relu__6(x):
    out = np.maximum(x, 0)

    def backward(d_out):
        return np.maximum(d_out, 0)

    return out, backward


# the input is changed in place: its negative entries are set to 0
def relu__7(x):
    x[x < 0] = 0

    def backward(d_out):
        return d_out * (x > 0)

    return x.copy(), backward


# the slope at exactly 0 is 1: the mask is built from x < 0
def relu__8(x):
    dead = x < 0
    out = np.where(dead, 0, x)

    def backward(d_out):
        return np.where(dead, 0, d_out)

    return out, backward


# -------------------------------------------------------------------------------------------------------------- 8 mlp


# right
def mlp__1(x, w1, w2):
    z = x @ w1.T
    h, relu_backward = relu(z)
    out = h @ w2.T

    def backward(d_out):
        d_h = d_out @ w2
        d_w2 = d_out.T @ h
        d_z = relu_backward(d_h)
        return d_z @ w1, d_z.T @ x, d_w2

    return out, backward


# right
def mlp__2(x, w1, w2):
    z = np.einsum("nc,hc->nh", x, w1)
    h = z * (z > 0)
    out = np.einsum("nh,ch->nc", h, w2)

    def backward(d_out):
        d_z = np.einsum("nc,ch,nh->nh", d_out, w2, 1.0 * (z > 0))
        d_x = np.einsum("nh,hc->nc", d_z, w1)
        d_w1 = np.einsum("nh,nc->hc", d_z, x)
        d_w2 = np.einsum("nc,nh->ch", d_out, h)
        return [d_x, d_w1, d_w2]

    return out, backward


# right
def mlp__3(x, w1, w2):
    hs = [np.maximum(w1 @ row, 0) for row in x]
    out = np.stack([w2 @ h for h in hs])

    def backward(d_out):
        d_x = np.zeros(x.shape)
        d_w1, d_w2 = np.zeros(w1.shape), np.zeros(w2.shape)
        for n, h in enumerate(hs):
            d_w2 += np.outer(d_out[n], h)
            d_z = (w2.T @ d_out[n]) * (h > 0)
            d_w1 += np.outer(d_z, x[n])
            d_x[n] = w1.T @ d_z
        return d_x, d_w1, d_w2

    return out, backward


# relu's pair is not unpacked: h is a tuple and the product stops with an error
def mlp__4(x, w1, w2):
    h = relu(x @ w1.T)
    out = h @ w2.T

    def backward(d_out):
        d_z = (d_out @ w2) * (h > 0)
        return d_z @ w1, d_z.T @ x, d_out.T @ h

    return out, backward


# x is overwritten in the forward pass, so d_w1 is built with the hidden layer instead of the input
def mlp__5(x, w1, w2):
    inp_shape = x.shape
    x = x @ w1.T
    x = np.maximum(x, 0)
    out = x @ w2.T

    def backward(d_out):
        d_w2 = d_out.T @ x
        d_z = (d_out @ w2) * (x > 0)
        d_w1 = d_z.T @ x
        d_x = (d_z @ w1).reshape(inp_shape)
        return d_x, d_w1, d_w2

    return out, backward


# the gradients of the weights add up over the calls of backward, like .grad without zero_grad
def mlp__6(x, w1, w2):
    h, relu_back = relu(x @ w1.T)
    d_w1 = np.zeros_like(w1)
    d_w2 = np.zeros_like(w2)

    def backward(d_out):
        nonlocal d_w1, d_w2
        d_z = relu_back(d_out @ w2)
        d_w1 += d_z.T @ x
        d_w2 += d_out.T @ h
        return d_z @ w1, d_w1, d_w2

    return h @ w2.T, backward


# d_w2 is built from z, before the ReLU, instead of h
def mlp__7(x, w1, w2):
    z = x @ w1.T
    h, relu_back = relu(z)

    def backward(d_out):
        d_z = relu_back(d_out @ w2)
        return d_z @ w1, d_z.T @ x, d_out.T @ z

    return h @ w2.T, backward


# the mask of the ReLU is applied to d_out before W2, which stops with an error as the shapes don't fit
def mlp__8(x, w1, w2):
    h, relu_back = relu(x @ w1.T)

    def backward(d_out):
        d_h = relu_back(d_out)
        d_z = d_h @ w2
        return d_z @ w1, d_z.T @ x, d_out.T @ h

    return h @ w2.T, backward


# a second ReLU is put on the output
def mlp__9(x, w1, w2):
    h, back1 = relu(x @ w1.T)
    out, back2 = relu(h @ w2.T)

    def backward(d_out):
        d_y = back2(d_out)
        d_z = back1(d_y @ w2)
        return d_z @ w1, d_z.T @ x, d_y.T @ h

    return out, backward


# d_w1 is not summed over the samples: it has shape (N, hidden, C)
def mlp__10(x, w1, w2):
    h, relu_back = relu(x @ w1.T)

    def backward(d_out):
        d_z = relu_back(d_out @ w2)
        d_w2 = d_out.T @ h
        d_w1 = d_z[:, :, None] * x[:, None, :]
        d_x = d_z @ w1
        return d_x, d_w1, d_w2

    return h @ w2.T, backward


# the weights' gradients are transposed: shapes (C, hidden) for d_w1 and (hidden, C) for d_w2
def mlp__11(x, w1, w2):
    h, relu_back = relu(x @ w1.T)

    def backward(d_out):
        d_z = relu_back(d_out @ w2)
        return d_z @ w1, x.T @ d_z, h.T @ d_out

    return h @ w2.T, backward


# the gradients come out from the last layer to the first: d_w2, d_w1, d_x
def mlp__12(x, w1, w2):
    h, relu_back = relu(x @ w1.T)

    def backward(d_out):
        d_w2 = d_out.T @ h
        d_z = relu_back(d_out @ w2)
        d_w1 = d_z.T @ x
        d_x = d_z @ w1
        return d_w2, d_w1, d_x

    return h @ w2.T, backward


# ---------------------------------------------------------------------------------------------------------- 9 sigmoid


# right
def sigmoid__1(x):
    out = 0.5 * (1 + np.tanh(x / 2))
    return out, lambda d_out: d_out * out * (1 - out)


# right
def sigmoid__2(x):
    e = np.exp(-np.abs(x))
    out = np.where(x >= 0, 1.0, e) / (1.0 + e)

    def backward(d_out):
        return d_out * e / (1 + e) ** 2

    return out, backward


# right
def sigmoid__3(x):
    with np.errstate(over="ignore"):
        out = 1 / (1 + np.exp(-x))

    def backward(d_out):
        return (out - out**2) * d_out

    return out, backward


# right
def sigmoid__4(x):
    out = np.zeros(x.shape)
    pos = x >= 0
    out[pos] = 1 / (1 + np.exp(-x[pos]))
    t = np.exp(x[~pos])
    out[~pos] = t / (1 + t)

    def backward(d_out):
        d_x = d_out * out
        d_x -= d_x * out
        return d_x

    return out, backward


# np.where computes both branches, so the one that isn't used overflows with a warning
def sigmoid__5(x):
    out = np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# backward does out *= (1 - out), which makes out a local name and stops with an UnboundLocalError
def sigmoid__6(x):
    out = np.exp(-np.logaddexp(0, -x))

    def backward(d_out):
        out *= 1 - out
        return d_out * out

    return out, backward


# the brackets around 1 - out are missing, so out is subtracted from the product
def sigmoid__7(x):
    out = 1 / (1 + np.exp(-np.clip(x, -50, 50)))

    def backward(d_out):
        return d_out * out * 1 - out

    return out, backward


# backward uses x * (1 - x), as if x were the output
def sigmoid__8(x):
    out = (1 + np.tanh(x / 2)) / 2

    def backward(d_out):
        return d_out * x * (1 - x)

    return out, backward


# e^x / (1 + e^x) with the warning silenced: NaN where e^x overflows
def sigmoid__9(x):
    with np.errstate(all="ignore"):
        out = np.exp(x) / (1 + np.exp(x))

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# x is clipped to -10 ... 10, so far out the values stop at 4.5e-5
def sigmoid__10(x):
    x = np.clip(x, -10, 10)
    out = 1 / (1 + np.exp(-x))

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# math.exp on an array, which stops with a TypeError
def sigmoid__11(x):
    out = 1 / (1 + math.exp(-x))

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# computed in float32, so only about seven digits are right
def sigmoid__12(x):
    x32 = np.clip(x.astype(np.float32), -80, 80)
    out = 1 / (1 + np.exp(-x32))

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# a softmax over the whole array is computed instead of the sigmoid
def sigmoid__13(x):
    e = np.exp(x - x.max())
    out = e / e.sum()

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# ------------------------------------------------------------------------------------------------------------ 10 gate


# right
def gate__1(m, f):
    axes = tuple(a for a in range(4) if m.shape[a] == 1)

    def backward(d_out):
        d_m = (d_out * f).sum(axis=axes, keepdims=True)
        return d_m, d_out * m

    return m * f, backward


# right
def gate__2(m, f):
    is_channel_map = m.shape[:2] == f.shape[:2] and m.shape[2:] == (1, 1)

    def backward(d_out):
        if is_channel_map:
            d_m = np.einsum("ncij,ncij->nc", d_out, f)[:, :, None, None]
        else:
            d_m = np.einsum("ncij,ncij->nij", d_out, f)[:, None]
        return d_m, np.multiply(m, d_out)

    return np.multiply(m, f), backward


# right
def gate__3(m, f):
    big = np.broadcast_to(m, f.shape)
    out = big * f

    def backward(d_out):
        d_m = d_out * f
        for axis, size in enumerate(m.shape):
            if size != f.shape[axis]:
                d_m = np.add.reduce(d_m, axis=axis, keepdims=True)
        return d_m, d_out * big

    return out, backward


# d_m is not summed over the axes along which m was broadcast
def gate__4(m, f):
    def backward(d_out):
        return d_out * f, d_out * m

    return m * f, backward


# f is overwritten by the output, so d_m is built with m * f instead of f
def gate__5(m, f):
    f = m * f

    def backward(d_out):
        d_f = d_out * m
        d_m = d_out * f
        axes = tuple(a for a in range(4) if m.shape[a] == 1)
        return d_m.sum(axis=axes, keepdims=True), d_f

    return f, backward


# the product of the two sums instead of the sum of the products for d_m
def gate__6(m, f):
    axes = tuple(a for a in range(4) if m.shape[a] == 1)

    def backward(d_out):
        d_m = d_out.sum(axis=axes, keepdims=True) * f.sum(axis=axes, keepdims=True)
        return d_m, d_out * m

    return m * f, backward


# sums without keepdims one axis after the other, so the second axis isn't there any more, or the axis of length 1 is lost
def gate__7(m, f):
    def backward(d_out):
        d_m = d_out * f
        for a in range(4):
            if m.shape[a] == 1:
                d_m = d_m.sum(axis=a)
        return d_m, d_out * m

    return m * f, backward


# d_m is always summed over the rows and columns, also for a map of pixels
def gate__8(m, f):
    out = m * f

    def backward(d_out):
        d_m = (d_out * f).sum(axis=(2, 3), keepdims=True)
        d_f = d_out * m
        return d_m, d_f

    return out, backward


# d_out is multiplied by f in place before d_f is computed from it
def gate__9(m, f):
    out = m * f
    axes = tuple(a for a in range(4) if m.shape[a] == 1)

    def backward(d_out):
        d_out *= f
        d_m = d_out.sum(axis=axes, keepdims=True)
        return d_m, d_out * m

    return out, backward


# the two gradients are returned in the wrong order, d_f first
def gate__10(m, f):
    out = m * f
    axes = tuple(np.where(np.array(m.shape) == 1)[0])

    def backward(d_out):
        d_f = d_out * m
        d_m = (d_out * f).sum(axis=axes, keepdims=True)
        return d_f, d_m

    return out, backward


# the matrix product @ instead of the product entry by entry, which stops with an error
def gate__11(m, f):
    out = m @ f
    axes = tuple(a for a in range(4) if m.shape[a] == 1)

    def backward(d_out):
        return (d_out * f).sum(axis=axes, keepdims=True), d_out * m

    return out, backward


# d_f is summed along the broadcast axes as well, so it has the shape of m
def gate__12(m, f):
    axes = tuple(a for a in range(4) if m.shape[a] == 1)

    def backward(d_out):
        d_m = d_out * f
        d_f = d_out * m
        return d_m.sum(axis=axes, keepdims=True), d_f.sum(axis=axes, keepdims=True)

    return m * f, backward


# ----------------------------------------------------------------------------------------------- 11 channel_attention


# right
def channel_attention__1(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    a, mlp_back_a = mlp(avg, w1, w2)
    b, mlp_back_b = mlp(mx, w1, w2)
    m, sig_back = sigmoid(a + b)
    f1, gate_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_s = sig_back(d_m[:, :, 0, 0])
        d_avg, d_w1_a, d_w2_a = mlp_back_a(d_s)
        d_max, d_w1_b, d_w2_b = mlp_back_b(d_s)
        d_f = d_f + avg_back(d_avg) + max_back(d_max)
        return d_f, d_w1_a + d_w1_b, d_w2_a + d_w2_b

    return f1, backward


# right
def channel_attention__2(f, w1, w2):
    N, C = f.shape[:2]
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    both, mlp_back = mlp(np.concatenate([avg, mx]), w1, w2)
    m, sig_back = sigmoid(both[:N] + both[N:])
    f1, gate_back = gate(m.reshape(N, C, 1, 1), f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_s = sig_back(d_m.reshape(N, C))
        d_both, d_w1, d_w2 = mlp_back(np.concatenate([d_s, d_s]))
        return d_f + avg_back(d_both[:N]) + max_back(d_both[N:]), d_w1, d_w2

    return f1, backward


# right
def channel_attention__3(f, w1, w2):
    pooled = [avg_pool_over_space(f), max_pool_over_space(f)]
    layers = [mlp(p, w1, w2) for p, _ in pooled]
    s = layers[0][0] + layers[1][0]
    m = sigmoid(s)[0]

    def backward(d_f1):
        grads = [d_f1 * m[..., None, None], 0, 0]
        d_s = (d_f1 * f).sum((2, 3)) * m * (1 - m)
        for (_, pool_back), (_, mlp_back) in zip(pooled, layers):
            d_p, g1, g2 = mlp_back(d_s)
            grads[0] = grads[0] + pool_back(d_p)
            grads[1] = grads[1] + g1
            grads[2] = grads[2] + g2
        return tuple(grads)

    return f * m[..., None, None], backward


# the second call of mlp overwrites the first one's backward, so the average's way back goes through the maximum's
def channel_attention__4(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    a, mlp_back = mlp(avg, w1, w2)
    b, mlp_back = mlp(mx, w1, w2)
    m, sig_back = sigmoid(a + b)
    f1, gate_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_s = sig_back(d_m[:, :, 0, 0])
        d_avg, d_w1_a, d_w2_a = mlp_back(d_s)
        d_max, d_w1_b, d_w2_b = mlp_back(d_s)
        return d_f + avg_back(d_avg) + max_back(d_max), d_w1_a + d_w1_b, d_w2_a + d_w2_b

    return f1, backward


# returns the map M_c and not F' = M_c * F, as the usual torch module does
def channel_attention__5(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    a, back_a = mlp(avg, w1, w2)
    b, back_b = mlp(mx, w1, w2)
    m, sig_back = sigmoid(a + b)

    def backward(d_m):
        d_s = sig_back(d_m[:, :, 0, 0])
        d_avg, d_w1_a, d_w2_a = back_a(d_s)
        d_max, d_w1_b, d_w2_b = back_b(d_s)
        return avg_back(d_avg) + max_back(d_max), d_w1_a + d_w1_b, d_w2_a + d_w2_b

    return m[:, :, None, None], backward


# the average and the maximum are added before the MLP, which runs once on their sum
def channel_attention__6(f, w1, w2):
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


# the map has shape (N, C) when it is handed to gate, which stops with an error
def channel_attention__7(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    a, back_a = mlp(avg, w1, w2)
    b, back_b = mlp(mx, w1, w2)
    m, sig_back = sigmoid(a + b)
    f1, gate_back = gate(m, f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_s = sig_back(d_m)
        d_avg, d_w1_a, d_w2_a = back_a(d_s)
        d_max, d_w1_b, d_w2_b = back_b(d_s)
        return d_f + avg_back(d_avg) + max_back(d_max), d_w1_a + d_w1_b, d_w2_a + d_w2_b

    return f1, backward


# in backward the maximum's gradient goes through the average pooling and the average's through the maximum pooling
def channel_attention__8(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    a, back_a = mlp(avg, w1, w2)
    b, back_b = mlp(mx, w1, w2)
    m, sig_back = sigmoid(a + b)
    f1, gate_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_s = sig_back(d_m[:, :, 0, 0])
        d_avg, d_w1_a, d_w2_a = back_a(d_s)
        d_max, d_w1_b, d_w2_b = back_b(d_s)
        return d_f + avg_back(d_max) + max_back(d_avg), d_w1_a + d_w1_b, d_w2_a + d_w2_b

    return f1, backward


# a sigmoid is taken of each MLP's output and the two are added
def channel_attention__9(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    a, back_a = mlp(avg, w1, w2)
    b, back_b = mlp(mx, w1, w2)
    ma, sig_a = sigmoid(a)
    mb, sig_b = sigmoid(b)
    f1, gate_back = gate((ma + mb)[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_m = d_m[:, :, 0, 0]
        d_avg, d_w1_a, d_w2_a = back_a(sig_a(d_m))
        d_max, d_w1_b, d_w2_b = back_b(sig_b(d_m))
        return d_f + avg_back(d_avg) + max_back(d_max), d_w1_a + d_w1_b, d_w2_a + d_w2_b

    return f1, backward


# a residual is added: f1 = f + M_c * f
def channel_attention__10(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    a, back_a = mlp(avg, w1, w2)
    b, back_b = mlp(mx, w1, w2)
    m, sig_back = sigmoid(a + b)
    scaled, gate_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_s = sig_back(d_m[:, :, 0, 0])
        d_avg, d_w1_a, d_w2_a = back_a(d_s)
        d_max, d_w1_b, d_w2_b = back_b(d_s)
        return d_f1 + d_f + avg_back(d_avg) + max_back(d_max), d_w1_a + d_w1_b, d_w2_a + d_w2_b

    return f + scaled, backward


# the sigmoid's backward is skipped: d_m goes straight into the MLPs
def channel_attention__11(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    a, back_a = mlp(avg, w1, w2)
    b, back_b = mlp(mx, w1, w2)
    m, _ = sigmoid(a + b)
    f1, gate_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_m = d_m.squeeze(axis=(2, 3))
        d_avg, d_w1_a, d_w2_a = back_a(d_m)
        d_max, d_w1_b, d_w2_b = back_b(d_m)
        return d_f + avg_back(d_avg) + max_back(d_max), d_w1_a + d_w1_b, d_w2_a + d_w2_b

    return f1, backward


# the weights' gradients are those of the maximum's MLP only
def channel_attention__12(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    a, back_a = mlp(avg, w1, w2)
    b, back_b = mlp(mx, w1, w2)
    m, sig_back = sigmoid(a + b)
    f1, gate_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_s = sig_back(d_m[:, :, 0, 0])
        d_avg, d_w1, d_w2 = back_a(d_s)
        d_max, d_w1, d_w2 = back_b(d_s)
        return d_f + avg_back(d_avg) + max_back(d_max), d_w1, d_w2

    return f1, backward


# the map is treated as a constant: d_f has only the gate's path, nothing through the two poolings
def channel_attention__13(f, w1, w2):
    avg, _ = avg_pool_over_space(f)
    mx, _ = max_pool_over_space(f)
    a, back_a = mlp(avg, w1, w2)
    b, back_b = mlp(mx, w1, w2)
    m, sig_back = sigmoid(a + b)
    f1, gate_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_s = sig_back(d_m[:, :, 0, 0])
        _, d_w1_a, d_w2_a = back_a(d_s)
        _, d_w1_b, d_w2_b = back_b(d_s)
        return d_f, d_w1_a + d_w1_b, d_w2_a + d_w2_b

    return f1, backward


# ---------------------------------------------------------------------------------------------------------- 12 im2col


# right
def im2col__1(x, k):
    N, C, H, W = x.shape
    p = k // 2
    padded = np.zeros((N, C, H + 2 * p, W + 2 * p))
    padded[:, :, p : p + H, p : p + W] = x
    columns = np.zeros((N, C, k, k, H, W))
    for a in range(k):
        for b in range(k):
            columns[:, :, a, b] = padded[:, :, a : a + H, b : b + W]
    return columns.reshape(N, C * k * k, H * W)


# right
def im2col__2(x, k):
    N, C, H, W = x.shape
    p = k // 2
    padded = np.pad(x, [(0, 0), (0, 0), (p, p), (p, p)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))
    out = windows.transpose(0, 1, 4, 5, 2, 3).reshape(N, C * k**2, H * W)
    return out.copy()


# right
def im2col__3(x, k):
    n, c, h, w = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    cc, aa, bb = (g.reshape(-1, 1) for g in np.indices((c, k, k)))
    ii, jj = (g.reshape(1, -1) for g in np.indices((h, w)))
    return padded[:, cc, ii + aa, jj + bb]


# the windows are reshaped without moving the axes (a,b) in front of (i,j)
def im2col__4(x, k):
    N, C, H, W = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))
    return windows.reshape(N, C * k * k, H * W)


# np.pad with a plain number pads the samples and the channels too
def im2col__5(x, k):
    p = k // 2
    padded = np.pad(x, p)
    N, C = padded.shape[:2]
    H, W = x.shape[2:]
    columns = np.zeros((N, C, k, k, H, W))
    for a in range(k):
        for b in range(k):
            columns[:, :, a, b] = padded[:, :, a : a + H, b : b + W]
    return columns.reshape(N, C * k * k, H * W)


# np.pad gets (p, p, p, p) as F.pad does, which stops with an error
def im2col__6(x, k):
    N, C, H, W = x.shape
    p = k // 2
    padded = np.pad(x, (p, p, p, p))
    columns = np.zeros((N, C, k, k, H, W))
    for a in range(k):
        for b in range(k):
            columns[:, :, a, b] = padded[:, :, a : a + H, b : b + W]
    return columns.reshape(N, C * k * k, H * W)


# one window is one row instead of one column: the last two axes are swapped
def im2col__7(x, k):
    N, C, H, W = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    columns = np.empty((N, H * W, C * k * k))
    for i in range(H):
        for j in range(W):
            columns[:, i * W + j] = padded[:, :, i : i + k, j : j + k].reshape(N, -1)
    return columns


# the row (c,a,b) is counted with the channel as the fastest axis instead of the slowest
def im2col__8(x, k):
    N, C, H, W = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    rows = []
    for a in range(k):
        for b in range(k):
            for c in range(C):
                rows.append(padded[:, c, a : a + H, b : b + W].reshape(N, H * W))
    return np.stack(rows, axis=1)


# all 2p zeros are put before the first row and column and none behind the last
def im2col__9(x, k):
    N, C, H, W = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (2 * p, 0), (2 * p, 0)))
    columns = np.zeros((N, C, k, k, H, W))
    for a in range(k):
        for b in range(k):
            columns[:, :, a, b] = padded[:, :, a : a + H, b : b + W]
    return columns.reshape(N, C * k * k, H * W)


# a pair comes out, with None for a backward
def im2col__10(x, k):
    N, C, H, W = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    rows = [padded[:, c, a : a + H, b : b + W].reshape(N, 1, -1) for c in range(C) for a in range(k) for b in range(k)]
    return np.concatenate(rows, axis=1), None


# the pixels are counted column by column: i + j*H instead of i*W + j
def im2col__11(x, k):
    N, C, H, W = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    columns = np.zeros((N, C * k * k, H * W))
    for i in range(H):
        for j in range(W):
            columns[:, :, i + j * H] = padded[:, :, i : i + k, j : j + k].reshape(N, -1)
    return columns


# the border is repeated instead of filled with zeros: mode="edge"
def im2col__12(x, k):
    N, C, H, W = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), mode="edge")
    columns = np.zeros((N, C, k, k, H, W))
    for a in range(k):
        for b in range(k):
            columns[:, :, a, b] = padded[:, :, a : a + H, b : b + W]
    return columns.reshape(N, C * k * k, H * W)


# ---------------------------------------------------------------------------------------------------------- 13 conv2d


# right
def conv2d__1(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    w = kernel.reshape(O, -1)
    out = (w @ cols).reshape(N, O, H, W)

    def backward(d_out):
        d = d_out.reshape(N, O, H * W)
        d_kernel = (d @ cols.transpose(0, 2, 1)).sum(axis=0).reshape(kernel.shape)
        d_x = col2im(w.T @ d, x.shape, k)
        return d_x, d_kernel

    return out, backward


# right
def conv2d__2(x, kernel):
    n, c, h, w = x.shape
    k = kernel.shape[-1]
    p = (k - 1) // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    out = np.zeros((n, kernel.shape[0], h, w))
    for a in range(k):
        for b in range(k):
            out += np.einsum("oc,ncij->noij", kernel[:, :, a, b], xp[:, :, a : a + h, b : b + w])

    def backward(d_out):
        d_xp = np.zeros_like(xp)
        d_kernel = np.zeros_like(kernel)
        for a in range(k):
            for b in range(k):
                part = (slice(None), slice(None), slice(a, a + h), slice(b, b + w))
                d_xp[part] += np.einsum("oc,noij->ncij", kernel[:, :, a, b], d_out)
                d_kernel[:, :, a, b] = np.einsum("noij,ncij->oc", d_out, xp[part])
        return d_xp[:, :, p : p + h, p : p + w], d_kernel

    return out, backward


# right
def conv2d__3(x, kernel):
    k = kernel.shape[2]
    p = k // 2
    pad = ((0, 0), (0, 0), (p, p), (p, p))
    win = np.lib.stride_tricks.sliding_window_view(np.pad(x, pad), (k, k), axis=(2, 3))
    out = np.tensordot(win, kernel, axes=([1, 4, 5], [1, 2, 3])).transpose(0, 3, 1, 2)

    def backward(d_out):
        d_win = np.lib.stride_tricks.sliding_window_view(np.pad(d_out, pad), (k, k), axis=(2, 3))
        d_x = np.einsum("noijab,ocab->ncij", d_win, kernel[:, :, ::-1, ::-1])
        d_kernel = np.einsum("noij,ncijab->ocab", d_out, win)
        return d_x, d_kernel

    return out, backward


# the kernel is flipped, as in a true convolution
def conv2d__4(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    w = kernel[:, :, ::-1, ::-1].reshape(O, -1)
    out = (w @ cols).reshape(N, O, H, W)

    def backward(d_out):
        d = d_out.reshape(N, O, -1)
        d_w = np.einsum("nop,nqp->oq", d, cols)
        d_kernel = d_w.reshape(kernel.shape)[:, :, ::-1, ::-1]
        return col2im(w.T @ d, x.shape, k), d_kernel

    return out, backward


# np.dot puts the axis O before N, and the reshape to (N, O, H, W) mixes samples and output channels
def conv2d__5(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    w = kernel.reshape(O, -1)
    out = np.dot(w, cols).reshape(N, O, H, W)

    def backward(d_out):
        d = d_out.reshape(N, O, H * W)
        d_kernel = np.einsum("nop,nqp->oq", d, cols).reshape(kernel.shape)
        return col2im(w.T @ d, x.shape, k), d_kernel

    return out, backward


# d_x is a convolution of d_out with the kernel that isn't flipped, only its two channel axes are swapped
def conv2d__6(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    out = (kernel.reshape(O, -1) @ cols).reshape(N, O, H, W)

    def backward(d_out):
        d_kernel = np.einsum("nop,nqp->oq", d_out.reshape(N, O, -1), cols).reshape(kernel.shape)
        swapped = kernel.transpose(1, 0, 2, 3).reshape(C, -1)
        d_x = (swapped @ im2col(d_out, k)).reshape(x.shape)
        return d_x, d_kernel

    return out, backward


# the columns are turned with reshape instead of transpose for d_kernel
def conv2d__7(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    w = kernel.reshape(O, -1)

    def backward(d_out):
        d = d_out.reshape(N, O, H * W)
        d_kernel = (d @ cols.reshape(N, H * W, C * k * k)).sum(0).reshape(kernel.shape)
        return col2im(w.T @ d, x.shape, k), d_kernel

    return (w @ cols).reshape(N, O, H, W), backward


# d_kernel is not summed over the samples, and the reshape to the kernel's shape stops with an error
def conv2d__8(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    w = kernel.reshape(O, -1)

    def backward(d_out):
        d = d_out.reshape(N, O, H * W)
        d_x = col2im(w.T @ d, x.shape, k)
        d_kernel = (d @ cols.swapaxes(1, 2)).reshape(kernel.shape)
        return d_x, d_kernel

    return (w @ cols).reshape(N, O, H, W), backward


# out keeps the pixels in one axis: (N, O, H*W)
def conv2d__9(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    w = kernel.reshape(O, -1)
    out = w @ cols

    def backward(d_out):
        d = d_out.reshape(N, O, H * W)
        d_kernel = np.einsum("nop,nqp->oq", d, cols).reshape(kernel.shape)
        return col2im(w.T @ d, x.shape, k), d_kernel

    return out, backward


# d_x is returned with the padding still around it
def conv2d__10(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    out = np.zeros((N, O, H, W))
    for i in range(H):
        for j in range(W):
            out[:, :, i, j] = np.einsum("ocab,ncab->no", kernel, xp[:, :, i : i + k, j : j + k])

    def backward(d_out):
        d_xp = np.zeros_like(xp)
        d_kernel = np.zeros_like(kernel)
        for i in range(H):
            for j in range(W):
                d_kernel += np.einsum("no,ncab->ocab", d_out[:, :, i, j], xp[:, :, i : i + k, j : j + k])
                d_xp[:, :, i : i + k, j : j + k] += np.einsum("no,ocab->ncab", d_out[:, :, i, j], kernel)
        return d_xp, d_kernel

    return out, backward


# the windows' gradients overwrite each other in d_x: = instead of +=
def conv2d__11(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    p = k // 2
    cols = im2col(x, k)
    out = (kernel.reshape(O, -1) @ cols).reshape(N, O, H, W)

    def backward(d_out):
        d_kernel = np.einsum("nop,nqp->oq", d_out.reshape(N, O, -1), cols).reshape(kernel.shape)
        d_xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
        for i in range(H):
            for j in range(W):
                d_xp[:, :, i : i + k, j : j + k] = np.einsum("no,ocab->ncab", d_out[:, :, i, j], kernel)
        return d_xp[:, :, p : p + H, p : p + W], d_kernel

    return out, backward


# the channels aren't summed: the loop assigns out with = so only the last input channel counts
def conv2d__12(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    per_channel = cols.reshape(N, C, k * k, H * W)
    out = np.zeros((N, O, H, W))
    for o in range(O):
        for c in range(C):
            out[:, o] = (kernel[o, c].ravel() @ per_channel[:, c]).reshape(N, H, W)

    def backward(d_out):
        d = d_out.reshape(N, O, -1)
        d_kernel = np.einsum("nop,nqp->oq", d, cols).reshape(kernel.shape)
        return col2im(kernel.reshape(O, -1).T @ d, x.shape, k), d_kernel

    return out, backward


# ---------------------------------------------------------------------------------------------------------- 14 col2im


# right
def col2im__1(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, C, k, k, H, W)
    padded = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a in range(k):
        for b in range(k):
            padded[:, :, a : a + H, b : b + W] += cols[:, :, a, b]
    return padded[:, :, p : p + H, p : p + W]


# right
def col2im__2(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    padded = np.zeros((n, c, h + 2 * p, w + 2 * p))
    cc, aa, bb = (g.reshape(-1, 1) for g in np.indices((c, k, k)))
    ii, jj = (g.reshape(1, -1) for g in np.indices((h, w)))
    np.add.at(padded, (slice(None), cc, ii + aa, jj + bb), columns)
    return padded[:, :, p : h + p, p : w + p].copy()


# right
def col2im__3(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    x = np.zeros(shape)
    cols = columns.reshape(N, C, k * k, H, W)
    for a in range(-p, p + 1):
        for b in range(-p, p + 1):
            part = cols[:, :, (a + p) * k + b + p]
            for i in range(max(0, -a), min(H, H - a)):
                lo, hi = max(0, -b), min(W, W - b)
                if lo < hi:
                    x[:, :, i + a, lo + b : hi + b] += part[:, :, i, lo:hi]
    return x


# fancy indexing with += : entries that occur several times are added only once
def col2im__4(columns, shape, k):
    n, c, h, w = shape
    p = k // 2
    padded = np.zeros((n, c, h + 2 * p, w + 2 * p))
    cc, aa, bb = (g.reshape(-1, 1) for g in np.indices((c, k, k)))
    ii, jj = (g.reshape(1, -1) for g in np.indices((h, w)))
    padded[:, cc, ii + aa, jj + bb] += columns
    return padded[:, :, p : p + h, p : p + w]


# the padding is cut off with p:-p, which leaves nothing for k = 1
def col2im__5(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, C, k, k, H, W)
    padded = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a in range(k):
        for b in range(k):
            padded[:, :, a : a + H, b : b + W] += cols[:, :, a, b]
    return padded[:, :, p:-p, p:-p]


# every pixel is divided by the number of windows that it is in
def col2im__6(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, C, k, k, H, W)
    padded = np.zeros((N, C, H + 2 * p, W + 2 * p))
    count = np.zeros_like(padded)
    for a in range(k):
        for b in range(k):
            padded[:, :, a : a + H, b : b + W] += cols[:, :, a, b]
            count[:, :, a : a + H, b : b + W] += 1
    return (padded / count)[:, :, p : p + H, p : p + W]


# the columns are reshaped with the pixels before the window: (N, C, H, W, k, k)
def col2im__7(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, C, H, W, k, k)
    padded = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for i in range(H):
        for j in range(W):
            padded[:, :, i : i + k, j : j + k] += cols[:, :, i, j]
    return padded[:, :, p : p + H, p : p + W]


# the upper left corner is kept instead of the middle when the padding is cut off
def col2im__8(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, C, k, k, H, W)
    padded = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a in range(k):
        for b in range(k):
            padded[:, :, a : a + H, b : b + W] += cols[:, :, a, b]
    return padded[:, :, :H, :W]


# no padded array is made: the sums go into an array of the shape of x, which stops with an error
def col2im__9(columns, shape, k):
    N, C, H, W = shape
    cols = columns.reshape(N, C, k, k, H, W)
    x = np.zeros(shape)
    for a in range(k):
        for b in range(k):
            x[:, :, a : a + H, b : b + W] += cols[:, :, a, b]
    return x


# without padding, the indices below zero wrap around to the other side of the image
def col2im__10(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, C, k, k, H, W)
    x = np.zeros(shape)
    for a in range(k):
        for b in range(k):
            for i in range(H):
                for j in range(W):
                    if i + a - p < H and j + b - p < W:
                        x[:, :, i + a - p, j + b - p] += cols[:, :, a, b, i, j]
    return x


# the gradient array is made with dtype=int, and adding floats to it stops with an error
def col2im__11(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, C, k, k, H, W)
    padded = np.zeros((N, C, H + 2 * p, W + 2 * p), dtype=int)
    for a in range(k):
        for b in range(k):
            padded[:, :, a : a + H, b : b + W] += cols[:, :, a, b]
    return padded[:, :, p : p + H, p : p + W]


# the return is indented into the loop over a, so only the first row of the window is added
def col2im__12(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, C, k, k, H, W)
    padded = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a in range(k):
        for b in range(k):
            padded[:, :, a : a + H, b : b + W] += cols[:, :, a, b]
        return padded[:, :, p : p + H, p : p + W]


# ----------------------------------------------------------------------------------------------- 15 spatial_attention


# right
def spatial_attention__1(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, sig_back = sigmoid(u)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = gate_back(d_f2)
        d_p, d_kernel = conv_back(sig_back(d_m))
        return d_f1 + avg_back(d_p[:, :1]) + max_back(d_p[:, 1:]), d_kernel

    return f2, backward


# right
def spatial_attention__2(f1, kernel):
    N, C, H, W = f1.shape
    pooled = np.empty((N, 2, H, W))
    pooled[:, 0] = f1.mean(axis=1)
    pooled[:, 1] = f1.max(axis=1)
    winner = np.expand_dims(f1.argmax(axis=1), 1) == np.arange(C).reshape(-1, 1, 1)
    u, conv_back = conv2d(pooled, kernel)
    m = sigmoid(u)[0]

    def backward(d_f2):
        d_u = (d_f2 * f1).sum(axis=1, keepdims=True) * m * (1 - m)
        d_pooled, d_kernel = conv_back(d_u)
        d_avg, d_max = np.split(d_pooled, 2, axis=1)
        return d_f2 * m + d_avg / C + winner * d_max, d_kernel

    return m * f1, backward


# the pooled maps are concatenated in the wrong order, maximum first
def spatial_attention__3(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.concatenate([mx, avg], axis=1), kernel)
    m, sig_back = sigmoid(u)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = gate_back(d_f2)
        d_p, d_kernel = conv_back(sig_back(d_m))
        return d_f1 + max_back(d_p[:, :1]) + avg_back(d_p[:, 1:]), d_kernel

    return f2, backward


# np.concatenate without axis joins along the samples, and the convolution stops with an error
def spatial_attention__4(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.concatenate([avg, mx]), kernel)
    m, sig_back = sigmoid(u)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = gate_back(d_f2)
        d_p, d_kernel = conv_back(sig_back(d_m))
        return d_f1 + avg_back(d_p[:, :1]) + max_back(d_p[:, 1:]), d_kernel

    return f2, backward


# in backward the two channels of the pooled map's gradient go to the wrong poolings
def spatial_attention__5(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, sig_back = sigmoid(u)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = gate_back(d_f2)
        d_p, d_kernel = conv_back(sig_back(d_m))
        d_max, d_avg = d_p[:, 0:1], d_p[:, 1:2]
        return d_f1 + avg_back(d_avg) + max_back(d_max), d_kernel

    return f2, backward


# gate gets its arguments the wrong way round, so what comes back as the map's gradient is not summed and backward stops
def spatial_attention__6(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, sig_back = sigmoid(u)
    f2, gate_back = gate(f1, m)

    def backward(d_f2):
        d_f1, d_m = gate_back(d_f2)
        d_p, d_kernel = conv_back(sig_back(d_m))
        return d_f1 + avg_back(d_p[:, :1]) + max_back(d_p[:, 1:]), d_kernel

    return f2, backward


# np.stack instead of np.concatenate makes an array of five axes, and the convolution stops with an error
def spatial_attention__7(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.stack([avg, mx], axis=1), kernel)
    m, sig_back = sigmoid(u)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = gate_back(d_f2)
        d_p, d_kernel = conv_back(sig_back(d_m))
        return d_f1 + avg_back(d_p[:, 0]) + max_back(d_p[:, 1]), d_kernel

    return f2, backward


# the gate's own path is left out of d_f1
def spatial_attention__8(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, sig_back = sigmoid(u)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, _ = gate_back(d_f2)
        d_p, d_kernel = conv_back(sig_back(d_m))
        d_f1 = avg_back(d_p[:, :1]) + max_back(d_p[:, 1:])
        return d_f1, d_kernel

    return f2, backward


# a ReLU is put between the convolution and the sigmoid
def spatial_attention__9(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    r, relu_back = relu(u)
    m, sig_back = sigmoid(r)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = gate_back(d_f2)
        d_p, d_kernel = conv_back(relu_back(sig_back(d_m)))
        return d_f1 + avg_back(d_p[:, :1]) + max_back(d_p[:, 1:]), d_kernel

    return f2, backward


# only d_f1 is returned, d_kernel is forgotten
def spatial_attention__10(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, sig_back = sigmoid(u)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = gate_back(d_f2)
        d_p, _ = conv_back(sig_back(d_m))
        d_f1 = d_f1 + avg_back(d_p[:, :1]) + max_back(d_p[:, 1:])
        return d_f1

    return f2, backward


# the poolings run over space instead of over the channels, and the convolution stops with an error
def spatial_attention__11(f1, kernel):
    avg, avg_back = avg_pool_over_space(f1)
    mx, max_back = max_pool_over_space(f1)
    u, conv_back = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, sig_back = sigmoid(u)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = gate_back(d_f2)
        d_p, d_kernel = conv_back(sig_back(d_m))
        return d_f1 + avg_back(d_p[:, :1]) + max_back(d_p[:, 1:]), d_kernel

    return f2, backward


# the map's gradient d_f2 * f1 is not summed over the channels before it goes through sigmoid and convolution, which stops
def spatial_attention__12(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, sig_back = sigmoid(u)

    def backward(d_f2):
        d_m = d_f2 * f1
        d_p, d_kernel = conv_back(sig_back(d_m))
        return d_f2 * m + avg_back(d_p[:, :1]) + max_back(d_p[:, 1:]), d_kernel

    return m * f1, backward


# the paths are multiplied instead of added: the gate's d_f1 times the sum of the poolings' gradients
def spatial_attention__13(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, sig_back = sigmoid(u)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = gate_back(d_f2)
        d_p, d_kernel = conv_back(sig_back(d_m))
        return d_f1 * (avg_back(d_p[:, :1]) + max_back(d_p[:, 1:])), d_kernel

    return f2, backward


# ------------------------------------------------------------------------------------------------------------ 16 cbam


# right
def cbam__1(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        d_f, d_w1, d_w2 = channel_back(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# right
def cbam__2(f, w1, w2, kernel):
    tape = []
    out = f
    for op, params in ((channel_attention, (w1, w2)), (spatial_attention, (kernel,))):
        out, back = op(out, *params)
        tape.append(back)

    def backward(d):
        param_grads = []
        for back in reversed(tape):
            d, *g = back(d)
            param_grads = g + param_grads
        return (d, *param_grads)

    return out, backward


# both backwards have the same name, so the channel attention's is lost and backward stops with an error
def cbam__3(f, w1, w2, kernel):
    f1, back = channel_attention(f, w1, w2)
    f2, back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = back(d_f2)
        d_f, d_w1, d_w2 = back(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# the channel attention's backward is given d_f2 instead of d_f1
def cbam__4(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        d_f, d_w1, d_w2 = channel_back(d_f2)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# the backwards run in the order of the forward pass, the channel attention's first
def cbam__5(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_w1, d_w2 = channel_back(d_f2)
        d_f, d_kernel = spatial_back(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# the spatial attention is computed from f instead of f1
def cbam__6(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        return *channel_back(d_f1), d_kernel

    return f2, backward


# d_kernel stands second in the result instead of last
def cbam__7(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        d_f, d_w1, d_w2 = channel_back(d_f1)
        return d_f, d_kernel, d_w1, d_w2

    return f2, backward


# the gradients come nested: the channel attention's tuple inside a tuple with d_kernel
def cbam__8(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        return channel_back(d_f1), d_kernel

    return f2, backward


# returns the gradients for a d_f2 of ones instead of the function backward
def cbam__9(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        d_f, d_w1, d_w2 = channel_back(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward(np.ones_like(f2))


# the spatial attention comes first and the channel attention on its result
def cbam__10(f, w1, w2, kernel):
    f1, spatial_back = spatial_attention(f, kernel)
    f2, channel_back = channel_attention(f1, w1, w2)

    def backward(d_f2):
        d_f1, d_w1, d_w2 = channel_back(d_f2)
        d_f, d_kernel = spatial_back(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# channel_attention's pair is not unpacked, and the spatial attention stops with an error
def cbam__11(f, w1, w2, kernel):
    f1 = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        d_f, d_w1, d_w2 = f1[1](d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# d_f1 is added to d_f once more, as if F' were only F plus something
def cbam__12(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        d_f, d_w1, d_w2 = channel_back(d_f1)
        return d_f + d_f1, d_w1, d_w2, d_kernel

    return f2, backward
