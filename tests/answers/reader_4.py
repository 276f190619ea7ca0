import math

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view

# --- slopes ----------------------------------------------------------------------------------------------------------


# right
def slopes__1(op, inputs, which, d_out):
    h = 1e-5
    result = np.zeros(inputs[which].shape)
    for index in np.ndindex(*inputs[which].shape):
        values = []
        for sign in (+1, -1):
            moved = [a.copy() for a in inputs]
            moved[which][index] += sign * h
            out, _ = op(*moved)
            values.append((d_out * out).sum())
        result[index] = (values[0] - values[1]) / (2 * h)
    return result


# right
def slopes__2(op, inputs, which, d_out):
    h = 1e-5
    x = inputs[which].copy()
    args = inputs[:which] + (x,) + inputs[which + 1 :]
    result = np.empty_like(x)
    it = np.nditer(x, flags=["multi_index"])
    for _ in it:
        i = it.multi_index
        old = inputs[which][i]
        x[i] = old + h
        up = np.vdot(d_out, op(*args)[0])
        x[i] = old - h
        down = np.vdot(d_out, op(*args)[0])
        x[i] = old
        result[i] = (up - down) / 2 / h
    return result


# right
def slopes__3(op, inputs, which, d_out):
    h = 2e-5
    x = inputs[which]

    def L(step):
        args = list(inputs)
        args[which] = x + step
        return float(np.sum(op(*args)[0] * d_out))

    steps = (h * np.eye(x.size)).reshape((x.size,) + x.shape)
    return np.array([(L(s) - L(-s)) / (2 * h) for s in steps]).reshape(x.shape)


# the return stands inside the loop, so that only the first entry gets its slope
def slopes__4(op, inputs, which, d_out):
    h = 1e-5
    result = np.zeros_like(inputs[which])
    for i in np.ndindex(inputs[which].shape):
        plus = [a.copy() for a in inputs]
        minus = [a.copy() for a in inputs]
        plus[which][i] += h
        minus[which][i] -= h
        result[i] = np.sum(d_out * (op(*plus)[0] - op(*minus)[0])) / (2 * h)
        return result


# x.flatten() is a copy: h is added to the copy, op never sees it, all slopes are 0
def slopes__5(op, inputs, which, d_out):
    h = 1e-5
    flat = inputs[which].flatten()
    result = np.zeros(flat.size)
    for i in range(flat.size):
        old = flat[i]
        flat[i] = old + h
        up = np.sum(op(*inputs)[0] * d_out)
        flat[i] = old - h
        down = np.sum(op(*inputs)[0] * d_out)
        flat[i] = old
        result[i] = (up - down) / (2 * h)
    return result.reshape(inputs[which].shape)


# list(inputs) copies the list but not the arrays, so the caller's array is moved by h - 2h = -h and stays so
def slopes__6(op, inputs, which, d_out):
    h = 1e-5
    moved = list(inputs)
    x = moved[which]
    result = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        x[i] += h
        up = (d_out * op(*moved)[0]).sum()
        x[i] -= 2 * h
        down = (d_out * op(*moved)[0]).sum()
        result[i] = (up - down) / (2 * h)
    return result


# the lambdas made in the loop all see the last index i (late binding), so every entry has the last one's slope
def slopes__7(op, inputs, which, d_out):
    h = 1e-5
    x = inputs[which]
    measures = []
    for i in np.ndindex(x.shape):

        def loss(step):
            moved = [a.copy() for a in inputs]
            moved[which][i] += step
            return np.sum(op(*moved)[0] * d_out)

        measures.append(lambda: (loss(h) - loss(-h)) / (2 * h))
    return np.array([m() for m in measures]).reshape(x.shape)


# / 2 * h multiplies by h instead of dividing by it (brackets missing around 2 * h)
def slopes__8(op, inputs, which, d_out):
    h = 1e-5
    x = inputs[which]
    g = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[i] = h
        args_up = [x + step if n == which else a for n, a in enumerate(inputs)]
        args_down = [x - step if n == which else a for n, a in enumerate(inputs)]
        g[i] = (np.sum(d_out * op(*args_up)[0]) - np.sum(d_out * op(*args_down)[0])) / 2 * h
    return g


# a tuple's entry is assigned (inputs[which] = ...): TypeError
def slopes__10(op, inputs, which, d_out):
    h = 1e-5
    x = inputs[which]
    result = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[i] = h
        inputs[which] = x + e
        up = np.sum(op(*inputs)[0] * d_out)
        inputs[which] = x - e
        down = np.sum(op(*inputs)[0] * d_out)
        inputs[which] = x
        result[i] = (up - down) / (2 * h)
    return result


# the copies are made once before the loop and an entry isn't moved back, so the moves pile up; h is 1e-2, much too large
def slopes__11(op, inputs, which, d_out):
    h = 1e-2
    up = [a.copy() for a in inputs]
    down = [a.copy() for a in inputs]
    result = np.zeros(inputs[which].shape)
    for i in np.ndindex(inputs[which].shape):
        up[which][i] += h
        down[which][i] -= h
        result[i] = np.sum(d_out * (op(*up)[0] - op(*down)[0])) / (2 * h)
    return result


# one-sided: L itself is subtracted, and it is divided by h, not a central difference
def slopes__13(op, inputs, which, d_out):
    h = 1e-5
    x = inputs[which]
    start = np.sum(op(*inputs)[0] * d_out)
    result = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        y = x.copy()
        y[i] += h
        args = list(inputs)
        args[which] = y
        result[i] = (np.sum(op(*args)[0] * d_out) - start) / h
    return result


# --- largest_error ---------------------------------------------------------------------------------------------------


# right
def largest_error__1(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    errors = []
    for which, grad in enumerate(grads):
        errors.append(np.max(np.abs(grad - slopes(op, inputs, which, d_out))))
    return max(errors)


# right
def largest_error__2(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.RandomState(seed).randn(*out.shape)
    grads = backward(d_out)
    grads = grads if isinstance(grads, tuple) else (grads,)
    numbers = [slopes(op, inputs, i, d_out) for i in range(len(inputs))]
    all_grads = np.concatenate([g.ravel() for g in grads])
    all_numbers = np.concatenate([s.ravel() for s in numbers])
    return float(np.linalg.norm(all_grads - all_numbers, np.inf))


# tuple(grads) of a single array cuts it into rows along its first axis instead of wrapping it
def largest_error__3(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if type(grads) is not tuple:
        grads = tuple(grads)
    worst = 0.0
    for i in range(len(inputs)):
        worst = max(worst, np.abs(grads[i] - slopes(op, inputs, i, d_out)).max())
    return worst


# return inside the loop: only the first input is compared
def largest_error__4(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = [grads]
    worst = 0
    for i, g in enumerate(grads):
        error = np.abs(g - slopes(op, inputs, i, d_out)).max()
        if error > worst:
            worst = error
        return worst


# backward and slopes get two different random d_out (the generator is asked twice)
def largest_error__5(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    grads = backward(rng.normal(size=out.shape))
    if len(inputs) == 1:
        grads = (grads,)
    return max(np.abs(g - slopes(op, inputs, i, rng.normal(size=out.shape))).max() for i, g in enumerate(grads))


# abs after max instead of before: an error that is only negative is missed or too small
def largest_error__6(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    worst = 0
    for i, g in enumerate(grads):
        worst = max(worst, abs(np.max(g - slopes(op, inputs, i, d_out))))
    return worst


# compares the largest gradient with the largest slope, instead of the largest difference entry by entry
def largest_error__7(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if not isinstance(grads, tuple):
        grads = (grads,)
    return max(abs(np.abs(g).max() - np.abs(slopes(op, inputs, i, d_out)).max()) for i, g in enumerate(grads))


# d_out is drawn in the shape of the first input instead of the shape of out
def largest_error__9(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=inputs[0].shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    return np.max([np.max(np.abs(g - slopes(op, inputs, i, d_out))) for i, g in enumerate(grads)])


# d_out is one random number times ones, so it has the same value everywhere
def largest_error__10(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal() * np.ones(out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    return max(np.abs(g - slopes(op, inputs, i, d_out)).max() for i, g in enumerate(grads))


# the errors of the inputs are overwritten in the loop, only the last input's error is returned
def largest_error__11(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    for i in range(len(inputs)):
        difference = np.abs(grads[i] - slopes(op, inputs, i, d_out))
    return difference.max()


# --- avg_pool_over_space ---------------------------------------------------------------------------------------------


# right
def avg_pool_over_space__1(f):
    N, C, H, W = f.shape
    avg_c = f.reshape(N, C, H * W).swapaxes(1, 2).mean(axis=1)

    def backward(d_avg_c):
        return np.repeat(d_avg_c / (H * W), H * W).reshape(N, C, H, W)

    return avg_c, backward


# right
def avg_pool_over_space__2(f):
    N, C, H, W = f.shape
    avg_c = np.zeros((N, C))
    for n in range(N):
        for c in range(C):
            total = 0
            for row in f[n, c]:
                for value in row:
                    total += value
            avg_c[n, c] = total / (H * W)

    def backward(d_avg_c):
        d_f = np.zeros((N, C, H, W))
        for n in range(N):
            for c in range(C):
                d_f[n, c, :, :] = d_avg_c[n, c] / (H * W)
        return d_f

    return avg_c, backward


# np.tile instead of np.repeat: the gradients land in the wrong channels after the reshape
def avg_pool_over_space__3(f):
    N, C, H, W = f.shape
    avg_c = f.mean(axis=(2, 3))

    def backward(d_avg_c):
        return np.tile(d_avg_c, H * W).reshape(N, C, H, W) / (H * W)

    return avg_c, backward


# integer division // rounds the averages down
def avg_pool_over_space__4(f):
    n, c, h, w = f.shape
    avg_c = f.sum(axis=(2, 3)) // (h * w)

    def backward(d_avg_c):
        return np.ones(f.shape) * d_avg_c[:, :, None, None] / (h * w)

    return avg_c, backward


# f is reshaped to (N, H·W, C), which isn't a transpose, so the average mixes channels
def avg_pool_over_space__6(f):
    N, C, H, W = f.shape
    avg_c = f.reshape(N, H * W, C).mean(axis=1)

    def backward(d_avg_c):
        return d_avg_c[:, :, None, None] * np.full((N, C, H, W), 1 / (H * W))

    return avg_c, backward


# backward divides by H + W instead of H·W
def avg_pool_over_space__7(f):
    N, C, H, W = f.shape
    out = np.einsum("nchw->nc", f) / (H * W)

    def backward(d_avg_c):
        return np.einsum("nc,hw->nchw", d_avg_c, np.ones((H, W))) / (H + W)

    return out, backward


# --- max_pool_over_space ---------------------------------------------------------------------------------------------


# right
def max_pool_over_space__1(f):
    N, C, H, W = f.shape
    flat = f.reshape(N, C, H * W)
    where = flat.argmax(axis=2)
    max_c = flat.max(axis=2)

    def backward(d_max_c):
        d_f = np.zeros((N * C, H * W))
        d_f[np.arange(N * C), where.ravel()] = d_max_c.ravel()
        return d_f.reshape(N, C, H, W)

    return max_c, backward


# right
def max_pool_over_space__2(f):
    N, C, H, W = f.shape
    max_c = np.zeros((N, C))
    positions = {}
    for n in range(N):
        for c in range(C):
            best, position = -np.inf, None
            for i in range(H):
                for j in range(W):
                    if f[n, c, i, j] > best:
                        best = f[n, c, i, j]
                        position = (n, c, i, j)
            max_c[n, c] = best
            positions[n, c] = position

    def backward(d_max_c):
        d_f = np.zeros(f.shape)
        for key in positions:
            d_f[positions[key]] = d_max_c[key]
        return d_f

    return max_c, backward


# the argmax is taken after swapaxes(2, 3), so with ties the first one column by column wins, not row by row
def max_pool_over_space__3(f):
    N, C, H, W = f.shape
    flat = f.swapaxes(2, 3).reshape(N, C, W * H)
    where = flat.argmax(axis=2)

    def backward(d_max_c):
        d_flat = np.zeros((N, C, W * H))
        np.put_along_axis(d_flat, where[..., None], d_max_c[..., None], axis=2)
        return d_flat.reshape(N, C, W, H).swapaxes(2, 3)

    return flat.max(axis=2), backward


# d_f.flatten() is a copy: the gradient is written into the copy and d_f stays zero
def max_pool_over_space__4(f):
    N, C, H, W = f.shape
    where = f.reshape(N * C, H * W).argmax(axis=1)
    max_c = f.max(axis=(2, 3))

    def backward(d_max_c):
        d_f = np.zeros(f.shape)
        d_f.flatten()[np.arange(N * C) * H * W + where] = d_max_c.ravel()
        return d_f

    return max_c, backward


# d_f is a default argument of backward, made once: gradients of earlier calls stay in it
def max_pool_over_space__5(f):
    N, C, H, W = f.shape
    where = f.reshape(N, C, -1).argmax(axis=2)
    max_c = f.max(axis=(2, 3))

    def backward(d_max_c, d_f=np.zeros((N, C, H, W))):
        for n in range(N):
            for c in range(C):
                d_f[n, c, where[n, c] // W, where[n, c] % W] += d_max_c[n, c]
        return d_f

    return max_c, backward


# d_f is built from multiplied lists, so all rows and channels are the same list
def max_pool_over_space__6(f):
    N, C, H, W = f.shape
    where = f.reshape(N, C, -1).argmax(axis=2)

    def backward(d_max_c):
        d_f = [[[[0.0] * W] * H] * C] * N
        for n in range(N):
            for c in range(C):
                i, j = divmod(int(where[n, c]), W)
                d_f[n][c][i][j] = d_max_c[n, c]
        return np.array(d_f)

    return f.max(axis=(2, 3)), backward


# the search starts with best = 0, so a channel of negative numbers has the maximum 0 and its gradient lands in the corner
def max_pool_over_space__7(f):
    N, C, H, W = f.shape
    max_c = np.zeros((N, C))
    rows = np.zeros((N, C), dtype=int)
    cols = np.zeros((N, C), dtype=int)
    for n in range(N):
        for c in range(C):
            best = 0
            for i in range(H):
                for j in range(W):
                    if f[n, c, i, j] > best:
                        best = f[n, c, i, j]
                        rows[n, c], cols[n, c] = i, j
            max_c[n, c] = best

    def backward(d_max_c):
        d_f = np.zeros_like(f)
        for n in range(N):
            for c in range(C):
                d_f[n, c, rows[n, c], cols[n, c]] = d_max_c[n, c]
        return d_f

    return max_c, backward


# d_f[:, :, i, j] with index arrays i, j writes every sample's and channel's position into every channel
def max_pool_over_space__8(f):
    N, C, H, W = f.shape
    i, j = np.unravel_index(f.reshape(N, C, -1).argmax(-1), (H, W))

    def backward(d_max_c):
        d_f = np.zeros(f.shape)
        d_f[:, :, i, j] = d_max_c
        return d_f

    return f.reshape(N, C, -1).max(-1), backward


# the flat position is taken apart with H instead of W (// H and % H)
def max_pool_over_space__9(f):
    N, C, H, W = f.shape
    where = f.reshape(N, C, -1).argmax(axis=-1)
    n, c = np.indices((N, C))
    out = f.max(axis=(2, 3))

    def backward(d_max_c):
        d_f = np.zeros((N, C, H, W))
        d_f[n, c, where // H, where % H] = d_max_c
        return d_f

    return out, backward


# right
def max_pool_over_space__11(f):
    max_c = np.max(np.max(f, axis=3), axis=2)
    hit = (f == max_c[..., None, None]).reshape(*f.shape[:2], -1)
    first = hit & (np.cumsum(hit, axis=-1) == 1)
    return max_c, lambda d: (first * d[..., None]).reshape(f.shape)


# the row comes from the row maxima and the column, separately, from the column maxima: with ties the two needn't belong to one entry
def max_pool_over_space__12(f):
    N, C, H, W = f.shape
    rows = f.max(axis=3).argmax(axis=2)
    cols = f.max(axis=2).argmax(axis=2)
    n, c = np.ogrid[:N, :C]

    def backward(d_max_c):
        d_f = np.zeros(f.shape)
        d_f[n, c, rows, cols] = d_max_c
        return d_f

    return f[n, c, rows, cols], backward


# --- avg_pool_over_channels ------------------------------------------------------------------------------------------


# right
def avg_pool_over_channels__1(f):
    N, C, H, W = f.shape
    avg_s = sum(f[:, c] for c in range(C)).reshape(N, 1, H, W) / C

    def backward(d_avg_s):
        return np.repeat(d_avg_s, C, axis=0).reshape(N, C, H, W) / C

    return avg_s, backward


# np.tile along the batch and a reshape: with N > 1 the samples' gradients get mixed up
def avg_pool_over_channels__2(f):
    N, C, H, W = f.shape
    avg_s = f.mean(axis=1, keepdims=True)

    def backward(d_avg_s):
        return np.tile(d_avg_s, (C, 1, 1, 1)).reshape(f.shape) / C

    return avg_s, backward


# reshaped to (N, H, W, C) to have the channels last, but a reshape doesn't move axes: neighbouring pixels are averaged
def avg_pool_over_channels__3(f):
    N, C, H, W = f.shape
    avg_s = f.reshape(N, H, W, C).mean(axis=3).reshape(N, 1, H, W)

    def backward(d_avg_s):
        return d_avg_s / C * np.ones((N, C, H, W))

    return avg_s, backward


# backward returns (N, 1, H, W): the gradient isn't spread over the channels
def avg_pool_over_channels__4(f):
    C = f.shape[1]
    return f.sum(1, keepdims=True) / C, lambda d_avg_s: d_avg_s / C


# the new axis is put last: avg_s is (N, H, W, 1)
def avg_pool_over_channels__5(f):
    avg_s = f.mean(axis=1)[..., None]

    def backward(d_avg_s):
        return np.zeros(f.shape) + d_avg_s / f.shape[1]

    return avg_s, backward


# the first axis' slice is used as the running sum (a view of f), so f is changed in place
def avg_pool_over_channels__6(f):
    N, C, H, W = f.shape
    total = f[:, 0:1]
    for c in range(1, C):
        total += f[:, c : c + 1]
    avg_s = total / C

    def backward(d_avg_s):
        return np.broadcast_to(d_avg_s / C, f.shape).copy()

    return avg_s, backward


# --- max_pool_over_channels ------------------------------------------------------------------------------------------


# right
def max_pool_over_channels__1(f):
    N, C, H, W = f.shape
    best = f[:, 0].copy()
    who = np.zeros((N, H, W), dtype=int)
    for c in range(1, C):
        larger = f[:, c] > best
        best[larger] = f[:, c][larger]
        who[larger] = c

    def backward(d_max_s):
        d_f = np.zeros((N, C, H, W))
        for c in range(C):
            d_f[:, c] = np.where(who == c, d_max_s[:, 0], 0)
        return d_f

    return best.reshape(N, 1, H, W), backward


# best = f[:, :1] is a view and np.maximum(..., out=best) writes into f's first channel
def max_pool_over_channels__2(f):
    who = f.argmax(axis=1)[:, None]
    best = f[:, :1]
    for c in range(1, f.shape[1]):
        np.maximum(best, f[:, c : c + 1], out=best)

    def backward(d_max_s):
        d_f = np.zeros(f.shape)
        np.put_along_axis(d_f, who, d_max_s, axis=1)
        return d_f

    return best, backward


# >= in the running maximum: the last of the tied channels wins
def max_pool_over_channels__3(f):
    N, C, H, W = f.shape
    best = np.full((N, 1, H, W), -np.inf)
    who = np.zeros((N, 1, H, W), dtype=int)
    for c in range(C):
        channel = f[:, c : c + 1]
        who = np.where(channel >= best, c, who)
        best = np.where(channel >= best, channel, best)

    def backward(d_max_s):
        return (np.arange(C).reshape(1, C, 1, 1) == who) * d_max_s

    return best, backward


# one-hot of shape (N, H, W, C) brought to (N, C, W, H) by swapaxes(1, 3): rows and columns are swapped
def max_pool_over_channels__4(f):
    C = f.shape[1]
    who = f.argmax(axis=1)
    one_hot = np.eye(C)[who].swapaxes(1, 3)

    def backward(d_max_s):
        return one_hot * d_max_s

    return f.max(axis=1, keepdims=True), backward


# one-hot of shape (N, H, W, C) is reshaped to f.shape instead of transposed
def max_pool_over_channels__5(f):
    who = f.argmax(axis=1)
    one_hot = np.eye(f.shape[1])[who].reshape(f.shape)

    def backward(d_max_s):
        return one_hot * d_max_s

    return f.max(axis=1, keepdims=True), backward


# d_f[:, who] = d_max_s indexes every pixel with all positions' channels: the gradient lands on all channels that ever win
def max_pool_over_channels__6(f):
    N, C, H, W = f.shape
    who = f.argmax(axis=1)

    def backward(d_max_s):
        d_f = np.zeros(f.shape)
        for n in range(N):
            d_f[n, who[n].ravel()] = d_max_s[n]
        return d_f

    return f.max(1).reshape(N, 1, H, W), backward


# right
def max_pool_over_channels__7(f):
    N, C, H, W = f.shape
    who = np.argmax(f, axis=1)
    n, i, j = np.meshgrid(np.arange(N), np.arange(H), np.arange(W), indexing="ij")
    max_s = f[n, who, i, j][:, np.newaxis]

    def backward(d_max_s):
        d_f = np.zeros_like(f)
        np.add.at(d_f, (n, who, i, j), d_max_s.squeeze(1))
        return d_f

    return max_s, backward


# --- relu ------------------------------------------------------------------------------------------------------------


# right
def relu__1(x):
    mask = x > 0
    x = np.where(mask, x, 0.0)
    return x, lambda d: np.where(mask, d, 0.0)


# right
def relu__2(x):
    out = (np.abs(x) + x) / 2

    def backward(d_out):
        d_x = d_out.copy()
        d_x[out == 0] = 0
        return d_x

    return out, backward


# x is a new name for the output before backward looks at x >= 0, which is then true everywhere: nothing is masked
def relu__3(x):
    x = np.maximum(x, 0)

    def backward(d_out):
        return d_out * (x >= 0)

    return x, backward


# ravel() gives a view, so the loop sets x's own entries to 0
def relu__4(x):
    negative = x < 0
    flat = x.ravel()
    for i in range(len(flat)):
        if flat[i] < 0:
            flat[i] = 0
    out = flat.reshape(x.shape)

    def backward(d_out):
        return d_out * (out > 0) * ~negative

    return out, backward


# out is made with dtype=int: the fractions are cut off
def relu__5(x):
    out = np.zeros(x.shape, dtype=int)
    out[x > 0] = x[x > 0]

    def backward(d_out):
        return d_out * (x > 0)

    return out, backward


# np.max(x, 0) takes the maximum along axis 0 instead of comparing with 0
def relu__6(x):
    out = np.max(x, 0)

    def backward(d_out):
        return d_out * (x > 0)

    return out, backward


# backward returns a tuple with one entry (a comma too many)
def relu__8(x):
    out = x.clip(min=0)

    def backward(d_out):
        d_x = (d_out * (out > 0),)
        return d_x

    return out, backward


# --- mlp -------------------------------------------------------------------------------------------------------------


# right
def mlp__1(x, w1, w2):
    z = np.einsum("nc,hc->nh", x, w1)
    h, relu_backward = relu(z)
    out = np.einsum("nh,ch->nc", h, w2)

    def backward(d_out):
        d_z = relu_backward(np.einsum("nc,ch->nh", d_out, w2))
        d_w2 = np.einsum("nc,nh->ch", d_out, h)
        d_w1 = np.einsum("nh,nc->hc", d_z, x)
        d_x = np.einsum("nh,hc->nc", d_z, w1)
        return d_x, d_w1, d_w2

    return out, backward


# right
def mlp__2(x, w1, w2):
    out = np.zeros(x.shape)
    zs = []
    for n, row in enumerate(x):
        z = w1 @ row
        zs.append(z)
        out[n] = w2 @ np.maximum(z, 0)

    def backward(d_out):
        d_x = np.zeros(x.shape)
        d_w1 = np.zeros(w1.shape)
        d_w2 = np.zeros(w2.shape)
        for n in range(len(x)):
            d_z = (w2.T @ d_out[n]) * (zs[n] > 0)
            d_w2 += np.outer(d_out[n], np.maximum(zs[n], 0))
            d_w1 += np.outer(d_z, x[n])
            d_x[n] = w1.T @ d_z
        return [d_x, d_w1, d_w2]

    return out, lambda d_out: tuple(backward(d_out))


# w1.reshape(C, hidden) instead of the transpose
def mlp__3(x, w1, w2):
    hidden, C = w1.shape
    h, relu_backward = relu(x @ w1.reshape(C, hidden))
    out = h @ w2.T

    def backward(d_out):
        d_z = relu_backward(d_out @ w2)
        return d_z @ w1, d_z.T @ x, d_out.T @ h

    return out, backward


# d_w1 is x.T @ d_z reshaped to w1's shape, instead of d_z.T @ x
def mlp__4(x, w1, w2):
    h, relu_backward = relu(x @ w1.T)

    def backward(d_out):
        d_z = relu_backward(d_out @ w2)
        d_w1 = (x.T @ d_z).reshape(w1.shape)
        d_w2 = d_out.T @ h
        return d_z @ w1, d_w1, d_w2

    return h @ w2.T, backward


# the loop over the samples assigns d_w1 and d_w2 with = instead of +=, only the last sample is left
def mlp__6(x, w1, w2):
    z = x @ w1.T
    h = z * (z > 0)

    def backward(d_out):
        d_x = np.zeros(x.shape)
        for n in range(x.shape[0]):
            d_z = d_out[n] @ w2 * (z[n] > 0)
            d_w2 = np.outer(d_out[n], h[n])
            d_w1 = np.outer(d_z, x[n])
            d_x[n] = d_z @ w1
        return d_x, d_w1, d_w2

    return h @ w2.T, backward


# relu gives back two things and h is the pair: the product with w2 stops with an error
def mlp__7(x, w1, w2):
    h = relu(x @ w1.T)
    out = h @ w2.T

    def backward(d_out):
        d_z = (d_out @ w2) * (h > 0)
        return d_z @ w1, d_z.T @ x, d_out.T @ h

    return out, backward


# d_x skips the ReLU: d_out @ w2 @ w1 without the mask (d_w1 has it)
def mlp__8(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)

    def backward(d_out):
        d_h = d_out @ w2
        d_x = d_h @ w1
        d_w1 = (d_h * (z > 0)).T @ x
        d_w2 = d_out.T @ h
        return d_x, d_w1, d_w2

    return h @ w2.T, backward


# the mask is h >= 0 instead of z > 0, which lets everything through
def mlp__9(x, w1, w2):
    z = (w1 @ x.T).T
    h = np.maximum(z, 0)

    def backward(d_out):
        d_z = (d_out @ w2) * (h >= 0)
        return d_z @ w1, d_z.T @ x, d_out.T @ h

    return (w2 @ h.T).T, backward


# the output (C, N) is reshaped to (N, C) instead of transposed
def mlp__10(x, w1, w2):
    h, relu_backward = relu(w1 @ x.T)
    out = (w2 @ h).reshape(x.shape)

    def backward(d_out):
        d_z = relu_backward(w2.T @ d_out.T)
        return (w1.T @ d_z).T, d_z @ x, d_out.T @ h.T

    return out, backward


# --- sigmoid ---------------------------------------------------------------------------------------------------------


# right
def sigmoid__1(x):
    out = 0.5 + 0.5 * np.tanh(0.5 * x)

    def backward(d_out):
        return d_out * (out - out**2)

    return out, backward


# right
def sigmoid__2(x):
    out = np.exp(-np.logaddexp(0, -x))
    return out, lambda d_out: d_out * out * (1 - out)


# right
def sigmoid__3(x):
    def one(v):
        if v < 0:
            e = math.exp(v)
            return e / (e + 1)
        return 1 / (1 + math.exp(-v))

    out = np.array([one(v) for v in x.ravel()], dtype=float).reshape(x.shape)

    def backward(d_out):
        return out * (1 - out) * d_out

    return out, backward


# x is clipped to -20 ... 20, and σ(-20) is still 2e-9, so the error is larger than 1e-12
def sigmoid__4(x):
    out = 1 / (1 + np.exp(-np.clip(x, -20, 20)))

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# np.where computes both branches, and exp overflows in the one that isn't chosen: a warning
def sigmoid__5(x):
    out = np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# the two masks are x > 0 and x < 0, an x of exactly 0 keeps the value 0 instead of 1/2
def sigmoid__6(x):
    out = np.zeros(x.shape)
    out[x > 0] = 1 / (1 + np.exp(-x[x > 0]))
    out[x < 0] = np.exp(x[x < 0]) / (1 + np.exp(x[x < 0]))

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# backward changes out in place (grad = out isn't a copy), so out is spoilt and a second call is wrong
def sigmoid__7(x):
    e = np.exp(-np.abs(x))
    out = np.where(x >= 0, 1, e) / (1 + e)

    def backward(d_out):
        grad = out
        grad *= 1 - out
        return d_out * grad

    return out, backward


# math.exp in a loop stops with an OverflowError at -1000
def sigmoid__8(x):
    out = np.empty(x.shape)
    for i in np.ndindex(x.shape):
        out[i] = 1 / (1 + math.exp(-x[i]))

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# the forward is safe, but backward uses e^{-x} / (1 + e^{-x})², which overflows at -1000
def sigmoid__9(x):
    t = np.exp(-np.abs(x))
    out = np.where(x < 0, t / (1 + t), 1 / (1 + t))

    def backward(d_out):
        return d_out * np.exp(-x) / (1 + np.exp(-x)) ** 2

    return out, backward


# tanh(x) instead of tanh(x / 2), so it is σ(2x)
def sigmoid__11(x):
    t = np.tanh(x)
    out = (1 + t) / 2
    return out, lambda d_out: d_out * (1 - t * t) / 2


# out is float32, which is wrong by 1e-8
def sigmoid__13(x):
    out = np.empty(x.shape, dtype=np.float32)
    pos = x >= 0
    out[pos] = 1 / (1 + np.exp(-x[pos]))
    out[~pos] = 1 - 1 / (1 + np.exp(x[~pos]))

    def backward(d_out):
        return d_out * out * (1 - out)

    return out, backward


# --- gate ------------------------------------------------------------------------------------------------------------


# right
def gate__1(m, f):
    def backward(d_out):
        d_m = d_out * f
        for axis in range(4):
            if m.shape[axis] == 1:
                d_m = d_m.sum(axis=axis, keepdims=True)
        return d_m, d_out * m

    return m * f, backward


# right
def gate__2(m, f):
    N, C, H, W = f.shape
    out = np.empty(f.shape)
    full = np.empty(f.shape)
    for c in range(C):
        full[:, c] = m[:, c if m.shape[1] == C else 0]
        out[:, c] = full[:, c] * f[:, c]

    def backward(d_out):
        if m.shape[2:] == (1, 1) and m.shape[1] == C:
            d_m = np.einsum("nchw,nchw->nc", d_out, f).reshape(N, C, 1, 1)
        else:
            d_m = np.einsum("nchw,nchw->nhw", d_out, f).reshape(N, 1, H, W)
        return d_m, d_out * full

    return out, backward


# the return is in the loop over the axes: a channel gate is summed over the rows only, d_m is (N, C, 1, W)
def gate__3(m, f):
    def backward(d_out):
        d_m = d_out * f
        for axis in (1, 2, 3):
            if m.shape[axis] == 1:
                d_m = d_m.sum(axis=axis, keepdims=True)
                return d_m, d_out * m

    return m * f, backward


# d_m is reshaped to m.shape + (-1,) and summed over the last axis: right for a channel gate, wrong entries for a map (N, 1, H, W)
def gate__4(m, f):
    def backward(d_out):
        d_m = (d_out * f).reshape(m.shape + (-1,)).sum(axis=-1)
        return d_m, d_out * m

    return m * f, backward


# out = f is no copy and out *= m changes f in place
def gate__5(m, f):
    out = f
    out *= m

    def backward(d_out):
        axes = tuple(a for a in range(1, 4) if m.shape[a] == 1)
        return (d_out * f).sum(axis=axes, keepdims=True), d_out * m

    return out, backward


# summing axis by axis without keepdims: after the first sum the axes have moved up, and a channel gate stops with an AxisError
def gate__8(m, f):
    def backward(d_out):
        d_m = d_out * f
        for axis in range(4):
            if m.shape[axis] == 1 and f.shape[axis] != 1:
                d_m = d_m.sum(axis=axis)
        return d_m.reshape(m.shape), d_out * m

    return m * f, backward


# m is summed before d_out is multiplied: Σ d_out · Σ f instead of Σ d_out · f
def gate__9(m, f):
    axes = tuple(i for i in range(4) if m.shape[i] == 1)

    def backward(d_out):
        d_m = d_out.sum(axis=axes, keepdims=True) * f.sum(axis=axes, keepdims=True)
        return d_m, m * d_out

    return m * f, backward


# d_f is summed over the broadcast axes as well and has m's shape
def gate__10(m, f):
    def reduce(a):
        for axis, length in enumerate(m.shape):
            if length == 1:
                a = a.sum(axis, keepdims=True)
        return a

    def backward(d_out):
        return reduce(d_out * f), reduce(d_out * m)

    return m * f, backward


# the sum's result is thrown away in the loop (d_m.sum(...) isn't assigned), d_m keeps f's shape
def gate__11(m, f):
    out = np.multiply(m, f)

    def backward(d_out):
        d_m = d_out * f
        for axis in range(1, 4):
            if m.shape[axis] == 1:
                d_m.sum(axis=axis, keepdims=True)
        return d_m, d_out * m

    return out, backward


# --- channel_attention -----------------------------------------------------------------------------------------------


# right
def channel_attention__1(f, w1, w2):
    N, C = f.shape[:2]
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    both, mlp_back = mlp(np.concatenate([avg, mx]), w1, w2)
    m, sigmoid_back = sigmoid(both.reshape(2, N, C).sum(axis=0))
    f1, gate_back = gate(m.reshape(N, C, 1, 1), f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_s = sigmoid_back(d_m.reshape(N, C))
        d_both, d_w1, d_w2 = mlp_back(np.concatenate([d_s, d_s]))
        return d_f + avg_back(d_both[:N]) + max_back(d_both[N:]), d_w1, d_w2

    return f1, backward


# right
def channel_attention__2(f, w1, w2):
    pools = [avg_pool_over_space(f), max_pool_over_space(f)]
    layers = [mlp(p, w1, w2) for p, _ in pools]
    m, sigmoid_back = sigmoid(layers[0][0] + layers[1][0])
    f1 = f * m[:, :, None, None]

    def backward(d_f1):
        d_f = d_f1 * m[:, :, None, None]
        d_s = sigmoid_back(np.sum(d_f1 * f, axis=(2, 3)))
        d_w1, d_w2 = 0, 0
        for (_, pool_back), (_, mlp_back) in zip(pools, layers):
            d_pooled, a, b = mlp_back(d_s)
            d_f = d_f + pool_back(d_pooled)
            d_w1 = d_w1 + a
            d_w2 = d_w2 + b
        return d_f, d_w1, d_w2

    return f1, backward


# both pools go through the MLP as one batch of 2N, but the result is summed with reshape(N, 2, C), which pairs wrong rows
def channel_attention__3(f, w1, w2):
    N, C = f.shape[:2]
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    both, mlp_back = mlp(np.concatenate([avg, mx]), w1, w2)
    m, sigmoid_back = sigmoid(both.reshape(N, 2, C).sum(axis=1))
    f1, gate_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_s = sigmoid_back(d_m[:, :, 0, 0])
        d_both, d_w1, d_w2 = mlp_back(np.repeat(d_s, 2, axis=0))
        return d_f + avg_back(d_both[:N]) + max_back(d_both[N:]), d_w1, d_w2

    return f1, backward


# the second mlp call overwrites the name mlp_back, so avg's gradient goes through max's backward
def channel_attention__4(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    s_avg, mlp_back = mlp(avg, w1, w2)
    s_max, mlp_back = mlp(mx, w1, w2)
    m, sigmoid_back = sigmoid(s_avg + s_max)
    f1, gate_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_s = sigmoid_back(d_m[:, :, 0, 0])
        d_avg, d_w1_a, d_w2_a = mlp_back(d_s)
        d_max, d_w1_b, d_w2_b = mlp_back(d_s)
        return d_f + avg_back(d_avg) + max_back(d_max), d_w1_a + d_w1_b, d_w2_a + d_w2_b

    return f1, backward


# the tuples of the two MLP backwards are added, which makes one tuple of six: unpacking stops with ValueError
def channel_attention__5(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    s_a, mlp_back_a = mlp(avg, w1, w2)
    s_m, mlp_back_m = mlp(mx, w1, w2)
    m, sigmoid_back = sigmoid(s_a + s_m)
    f1, gate_back = gate(m[..., None, None], f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_s = sigmoid_back(d_m[..., 0, 0])
        d_pool, d_w1, d_w2 = mlp_back_a(d_s) + mlp_back_m(d_s)
        return d_f + avg_back(d_pool) + max_back(d_pool), d_w1, d_w2

    return f1, backward


# lambdas collected in a loop over the two pools see the last pool's backwards only (late binding): the max path is counted twice
def channel_attention__6(f, w1, w2):
    s = 0
    backs = []
    for pool in (avg_pool_over_space, max_pool_over_space):
        p, pool_back = pool(f)
        o, mlp_back = mlp(p, w1, w2)
        s = s + o

        def back(d_s):
            d_p, d_w1, d_w2 = mlp_back(d_s)
            return pool_back(d_p), d_w1, d_w2

        backs.append(back)
    m, sigmoid_back = sigmoid(s)
    f1, gate_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_s = sigmoid_back(d_m[:, :, 0, 0])
        grads = [b(d_s) for b in backs]
        return d_f + grads[0][0] + grads[1][0], grads[0][1] + grads[1][1], grads[0][2] + grads[1][2]

    return f1, backward


# one MLP on the sum avg + max instead of the sum of two MLPs
def channel_attention__7(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    s, mlp_back = mlp(avg + mx, w1, w2)
    m, sigmoid_back = sigmoid(s)
    f1, gate_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_pool, d_w1, d_w2 = mlp_back(sigmoid_back(d_m[:, :, 0, 0]))
        return d_f + avg_back(d_pool) + max_back(d_pool), d_w1, d_w2

    return f1, backward


# d_s is halved between the two paths in backward, as if a sum shared its gradient out
def channel_attention__9(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    s_a, back_a = mlp(avg, w1, w2)
    s_m, back_m = mlp(mx, w1, w2)
    m, sigmoid_back = sigmoid(s_a + s_m)
    f1, gate_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_s = sigmoid_back(d_m[:, :, 0, 0]) / 2
        d_avg, d_w1a, d_w2a = back_a(d_s)
        d_max, d_w1m, d_w2m = back_m(d_s)
        return d_f + avg_back(d_avg) + max_back(d_max), d_w1a + d_w1m, d_w2a + d_w2m

    return f1, backward


# sigmoid's backward gets d_m of shape (N, C, 1, 1) while the gate's map was (N, C): it broadcasts and stops with an error
def channel_attention__11(f, w1, w2):
    avg, avg_back = avg_pool_over_space(f)
    mx, max_back = max_pool_over_space(f)
    s_a, back_a = mlp(avg, w1, w2)
    s_m, back_m = mlp(mx, w1, w2)
    m, sigmoid_back = sigmoid(s_a + s_m)
    f1, gate_back = gate(np.expand_dims(m, (2, 3)), f)

    def backward(d_f1):
        d_m, d_f = gate_back(d_f1)
        d_s = sigmoid_back(d_m)
        d_avg, d_w1a, d_w2a = back_a(d_s)
        d_max, d_w1m, d_w2m = back_m(d_s)
        return d_f + avg_back(d_avg) + max_back(d_max), d_w1a + d_w1m, d_w2a + d_w2m

    return f1, backward


# --- im2col ----------------------------------------------------------------------------------------------------------


# right
def im2col__1(x, k):
    N, C, H, W = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    windows = sliding_window_view(padded, (k, k), axis=(2, 3))
    return windows.swapaxes(2, 4).swapaxes(3, 5).reshape(N, C * k * k, H * W)


# right
def im2col__2(x, k):
    N, C, H, W = x.shape
    p = k // 2
    columns = np.zeros((N, C * k * k, H * W))
    for c in range(C):
        for a in range(k):
            for b in range(k):
                row = c * k * k + a * k + b
                for i in range(H):
                    for j in range(W):
                        y, z = i + a - p, j + b - p
                        if 0 <= y < H and 0 <= z < W:
                            columns[:, row, i * W + j] = x[:, c, y, z]
    return columns


# right
def im2col__3(x, k):
    N, C, H, W = x.shape
    p = k // 2
    padded = np.zeros((N, C, H + 2 * p, W + 2 * p), dtype=x.dtype)
    padded[:, :, p : p + H, p : p + W] = x
    sn, sc, sh, sw = padded.strides
    view = as_strided(padded, (N, C, k, k, H, W), (sn, sc, sh, sw, sh, sw))
    return view.reshape(N, C * k * k, H * W)


# swapaxes(2, 5) and (3, 4): the windows' rows and columns are swapped, (b, a) and (j, i)
def im2col__4(x, k):
    N, C, H, W = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    windows = sliding_window_view(padded, (k, k), axis=(2, 3))
    return windows.swapaxes(2, 5).swapaxes(3, 4).reshape(N, C * k * k, H * W)


# the padding is (k - 1) / 2, a float: TypeError
def im2col__5(x, k):
    N, C, H, W = x.shape
    p = (k - 1) / 2
    padded = np.pad(x, [(0, 0), (0, 0), (p, p), (p, p)])
    columns = np.zeros((N, C, k, k, H, W))
    for a in range(k):
        for b in range(k):
            columns[:, :, a, b] = padded[:, :, a : a + H, b : b + W]
    return columns.reshape(N, C * k * k, H * W)


# padded[:, :, p:-p, p:-p] = x is empty for p = 0: stops with an error for k = 1
def im2col__6(x, k):
    N, C, H, W = x.shape
    p = k // 2
    padded = np.zeros((N, C, H + 2 * p, W + 2 * p))
    padded[:, :, p:-p, p:-p] = x
    columns = [padded[:, :, a : a + H, b : b + W].reshape(N, C, H * W) for a in range(k) for b in range(k)]
    return np.stack(columns, axis=2).reshape(N, C * k * k, H * W)


# the row is counted as c·k + a·k + b instead of c·k² + a·k + b, so rows overwrite each other
def im2col__7(x, k):
    N, C, H, W = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    columns = np.zeros((N, C * k * k, H * W))
    for c in range(C):
        for a in range(k):
            for b in range(k):
                columns[:, c * k + a * k + b] = padded[:, c, a : a + H, b : b + W].reshape(N, H * W)
    return columns


# the patches are collected pixel by pixel as (N, H·W, C·k²) and then reshaped instead of transposed
def im2col__8(x, k):
    N, C, H, W = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    patches = []
    for i in range(H):
        for j in range(W):
            patches.append(padded[:, :, i : i + k, j : j + k].reshape(N, -1))
    return np.stack(patches, axis=1).reshape(N, C * k * k, H * W)


# the patch's list is reused for every pixel (append of the same list after clear), so all columns are the last patch
def im2col__10(x, k):
    N, C, H, W = x.shape
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    result = []
    for n in range(N):
        sample = []
        patch = []
        for i in range(H):
            for j in range(W):
                patch.clear()
                patch.extend(padded[n, :, i : i + k, j : j + k].ravel())
                sample.append(patch)
        result.append(np.array(sample).T)
    return np.array(result)


# no padding: indices i + a - p below 0 count from the end, so the image's other side comes in instead of zeros
def im2col__12(x, k):
    N, C, H, W = x.shape
    p = k // 2
    columns = np.zeros((N, C, k, k, H, W))
    for a in range(k):
        for b in range(k):
            for i in range(H):
                for j in range(W):
                    if i + a - p < H and j + b - p < W:
                        columns[:, :, a, b, i, j] = x[:, :, max(i + a - p, -H), max(j + b - p, -W)]
    return columns.reshape(N, C * k * k, H * W)


# --- col2im ----------------------------------------------------------------------------------------------------------


# right
def col2im__1(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    windows = columns.reshape(N, C, k, k, H, W)
    padded = np.zeros((N, C, H + k - 1, W + k - 1))
    for a in range(k):
        for b in range(k):
            padded[:, :, a : a + H, b : b + W] = padded[:, :, a : a + H, b : b + W] + windows[:, :, a, b]
    return padded[:, :, p : p + H, p : p + W]


# right
def col2im__2(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    n, c, a, b, i, j = np.ogrid[:N, :C, :k, :k, :H, :W]
    x_padded = np.zeros((N, C, H + 2 * p, W + 2 * p))
    np.add.at(x_padded, (n, c, i + a, j + b), columns.reshape(N, C, k, k, H, W))
    return x_padded[:, :, p : H + p, p : W + p].copy()


# x_padded[index arrays] += adds only once where an index occurs several times
def col2im__3(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    n, c, a, b, i, j = np.ogrid[:N, :C, :k, :k, :H, :W]
    x_padded = np.zeros((N, C, H + 2 * p, W + 2 * p))
    x_padded[n, c, i + a, j + b] += columns.reshape(N, C, k, k, H, W)
    return x_padded[:, :, p : H + p, p : W + p]


# the padding is cut with [p:-p], which leaves nothing for k = 1
def col2im__4(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    windows = columns.reshape(N, C, k, k, H, W)
    padded = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a in range(k):
        for b in range(k):
            padded[:, :, a : a + H, b : b + W] += windows[:, :, a, b]
    return padded[:, :, p:-p, p:-p]


# no padding: negative indices aren't left out and are added on the other side of the image
def col2im__5(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    windows = columns.reshape(N, C, k, k, H, W)
    x = np.zeros(shape)
    for a in range(k):
        for b in range(k):
            for i in range(H):
                for j in range(W):
                    y, z = i + a - p, j + b - p
                    if -H <= y < H and -W <= z < W:
                        x[:, :, y, z] += windows[:, :, a, b, i, j]
    return x


# the columns are reshaped to (N, H, W, C, k, k) as if the pixels came first, without a transpose
def col2im__7(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    patches = columns.reshape(N, H, W, C, k, k)
    padded = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for i in range(H):
        for j in range(W):
            padded[:, :, i : i + k, j : j + k] += patches[:, i, j]
    return padded[:, :, p : p + H, p : p + W]


# window = window + ... makes a new array instead of adding into padded, which stays zero
def col2im__9(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    c = columns.reshape(N, C, k, k, H, W)
    padded = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a in range(k):
        for b in range(k):
            window = padded[:, :, a : a + H, b : b + W]
            window = window + c[:, :, a, b]
    return padded[:, :, p : p + H, p : p + W]


# the padding is cut off at the bottom and right only ([:H, :W]), the result is shifted
def col2im__10(columns, shape, k):
    N, C, H, W = shape
    cols = columns.reshape(N, C, k, k, H, W)
    padded = np.zeros((N, C, H + 2 * (k // 2), W + 2 * (k // 2)))
    for a in range(k):
        for b in range(k):
            padded[:, :, a : a + H, b : b + W] += cols[:, :, a, b]
    return padded[:, :, :H, :W]


# the row counter is c + a·k + b, without c·k²: channels read each other's rows
def col2im__11(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    padded = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for c in range(C):
        for a in range(k):
            for b in range(k):
                padded[:, c, a : a + H, b : b + W] += columns[:, c + a * k + b].reshape(N, H, W)
    return padded[:, :, p : p + H, p : p + W]


# --- conv2d ----------------------------------------------------------------------------------------------------------


# right
def conv2d__1(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    columns = im2col(x, k).swapaxes(0, 1).reshape(C * k * k, N * H * W)
    w = kernel.reshape(O, -1)
    out = (w @ columns).reshape(O, N, H, W).swapaxes(0, 1)

    def backward(d_out):
        d = d_out.swapaxes(0, 1).reshape(O, N * H * W)
        d_kernel = (d @ columns.T).reshape(kernel.shape)
        d_columns = (w.T @ d).reshape(C * k * k, N, H * W).swapaxes(0, 1)
        return col2im(d_columns, x.shape, k), d_kernel

    return out, backward


# right
def conv2d__2(x, kernel):
    N, C, H, W = x.shape
    O, C, k, k = kernel.shape
    p = k // 2
    x_padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    out = np.zeros((N, O, H, W))
    for a in range(k):
        for b in range(k):
            out += np.einsum("oc,nchw->nohw", kernel[:, :, a, b], x_padded[:, :, a : a + H, b : b + W])

    def backward(d_out):
        d_padded = np.zeros(x_padded.shape)
        d_kernel = np.zeros(kernel.shape)
        for a in range(k):
            for b in range(k):
                d_padded[:, :, a : a + H, b : b + W] += np.einsum("oc,nohw->nchw", kernel[:, :, a, b], d_out)
                d_kernel[:, :, a, b] = np.einsum("nohw,nchw->oc", d_out, x_padded[:, :, a : a + H, b : b + W])
        return d_padded[:, :, p : p + H, p : p + W], d_kernel

    return out, backward


# right
def conv2d__3(x, kernel):
    k = kernel.shape[-1]
    p = k // 2

    def correlate(a, b):
        padded = np.pad(a, ((0, 0), (0, 0), (p, p), (p, p)))
        return np.einsum("nchwab,ocab->nohw", sliding_window_view(padded, (k, k), axis=(2, 3)), b)

    def backward(d_out):
        d_x = correlate(d_out, kernel[:, :, ::-1, ::-1].swapaxes(0, 1))
        padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        d_kernel = np.einsum("nchwab,nohw->ocab", sliding_window_view(padded, (k, k), axis=(2, 3)), d_out)
        return d_x, d_kernel

    return correlate(x, kernel), backward


# d_x is a convolution of d_out with the kernel's O and C swapped, but the kernel isn't flipped
def conv2d__4(x, kernel):
    O, C, k, _ = kernel.shape
    N, _, H, W = x.shape
    columns = im2col(x, k)
    out = (kernel.reshape(O, -1) @ columns).reshape(N, O, H, W)

    def backward(d_out):
        swapped = kernel.swapaxes(0, 1).reshape(C, O * k * k)
        d_x = (swapped @ im2col(d_out, k)).reshape(x.shape)
        d_kernel = np.einsum("nop,nkp->ok", d_out.reshape(N, O, -1), columns).reshape(kernel.shape)
        return d_x, d_kernel

    return out, backward


# backward assigns kernel = kernel[..., ::-1, ::-1], which makes kernel a local name: UnboundLocalError
def conv2d__5(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    columns = im2col(x, k)
    out = (kernel.reshape(O, -1) @ columns).reshape(N, O, H, W)

    def backward(d_out):
        d_kernel = (d_out.reshape(N, O, -1) @ columns.swapaxes(1, 2)).sum(axis=0).reshape(kernel.shape)
        kernel = kernel[:, :, ::-1, ::-1]
        d_x = (kernel.swapaxes(0, 1).reshape(C, -1) @ im2col(d_out, k)).reshape(x.shape)
        return d_x, d_kernel

    return out, backward


# kernel.reshape(C·k², O) and kernel.reshape(O, C·k²) are used as each other's transpose in backward: d_columns is wrong for O > 1
def conv2d__6(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    columns = im2col(x, k)
    out = (kernel.reshape(O, C * k * k) @ columns).reshape(N, O, H, W)

    def backward(d_out):
        d = d_out.reshape(N, O, H * W)
        d_kernel = np.einsum("nop,nqp->oq", d, columns).reshape(kernel.shape)
        d_columns = kernel.reshape(C * k * k, O) @ d
        return col2im(d_columns, x.shape, k), d_kernel

    return out, backward


# d_kernel's loop over the samples overwrites instead of adding, only the last sample counts
def conv2d__7(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    columns = im2col(x, k)
    w = kernel.reshape(O, -1)
    out = np.array([w @ columns[n] for n in range(N)]).reshape(N, O, H, W)

    def backward(d_out):
        d_columns = np.zeros(columns.shape)
        for n in range(N):
            d = d_out[n].reshape(O, H * W)
            d_kernel = d @ columns[n].T
            d_columns[n] = w.T @ d
        return col2im(d_columns, x.shape, k), d_kernel.reshape(kernel.shape)

    return out, backward


# the batch's columns are reshaped to (C·k², N·H·W) without moving the batch axis first, samples and rows are mixed
def conv2d__8(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    columns = im2col(x, k).reshape(C * k * k, N * H * W)
    w = kernel.reshape(O, -1)
    out = (w @ columns).reshape(N, O, H, W)

    def backward(d_out):
        d = d_out.reshape(O, N * H * W)
        d_kernel = (d @ columns.T).reshape(kernel.shape)
        d_columns = (w.T @ d).reshape(N, C * k * k, H * W)
        return col2im(d_columns, x.shape, k), d_kernel

    return out, backward


# no col2im: d_x is only the middle row (a, b) of each window in d_columns, the neighbours' shares are missing
def conv2d__9(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    columns = im2col(x, k)
    w = kernel.reshape(O, -1)

    def backward(d_out):
        d = d_out.reshape(N, O, -1)
        d_columns = w.T @ d
        d_x = d_columns.reshape(N, C, k * k, H, W)[:, :, k * k // 2]
        d_kernel = np.einsum("nop,nqp->oq", d, columns).reshape(kernel.shape)
        return d_x, d_kernel

    return np.einsum("oq,nqp->nop", w, columns).reshape(N, O, H, W), backward


# d_x isn't summed over the output channels, only the first one (o = 0) is used
def conv2d__12(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    columns = im2col(x, k)
    out = (kernel.reshape(O, -1) @ columns).reshape(N, O, H, W)

    def backward(d_out):
        p = k // 2
        padded = np.pad(d_out, ((0, 0), (0, 0), (p, p), (p, p)))
        d_x = np.zeros(x.shape)
        for c in range(C):
            for a in range(k):
                for b in range(k):
                    d_x[:, c] += kernel[0, c, a, b] * padded[:, 0, k - 1 - a : k - 1 - a + H, k - 1 - b : k - 1 - b + W]
        d_kernel = np.einsum("nop,nqp->oq", d_out.reshape(N, O, -1), columns).reshape(kernel.shape)
        return d_x, d_kernel

    return out, backward


# --- spatial_attention -----------------------------------------------------------------------------------------------


# right
def spatial_attention__1(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.hstack([avg, mx]), kernel)
    m, sigmoid_back = sigmoid(u)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = gate_back(d_f2)
        d_maps, d_kernel = conv_back(sigmoid_back(d_m))
        d_avg, d_max = np.split(d_maps, 2, axis=1)
        return d_f1 + avg_back(d_avg) + max_back(d_max), d_kernel

    return f2, backward


# right
def spatial_attention__2(f1, kernel):
    N, C, H, W = f1.shape
    pools = [pool(f1) for pool in (avg_pool_over_channels, max_pool_over_channels)]
    maps = np.stack([p[0] for p in pools]).swapaxes(0, 1).reshape(N, 2, H, W)
    u, conv_back = conv2d(maps, kernel)
    m, sigmoid_back = sigmoid(u)

    def backward(d_f2):
        d_m = np.einsum("nchw,nchw->nhw", d_f2, f1)[:, None]
        d_maps, d_kernel = conv_back(sigmoid_back(d_m))
        d_f1 = d_f2 * m
        for i in range(2):
            d_f1 = d_f1 + pools[i][1](d_maps[:, i].reshape(N, 1, H, W))
        return d_f1, d_kernel

    return m * f1, backward


# np.stack of the two maps is reshaped to (N, 2, H, W) without moving the new axis: with N > 1 samples and maps are mixed
def spatial_attention__3(f1, kernel):
    N, C, H, W = f1.shape
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.stack([avg, mx]).reshape(N, 2, H, W), kernel)
    m, sigmoid_back = sigmoid(u)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = gate_back(d_f2)
        d_maps, d_kernel = conv_back(sigmoid_back(d_m))
        d_avg, d_max = d_maps.reshape(2, N, 1, H, W)
        return d_f1 + avg_back(d_avg) + max_back(d_max), d_kernel

    return f2, backward


# d_maps[:, 0] loses the channel axis, the pools' backwards get (N, H, W): wrong shapes or an error
def spatial_attention__4(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, sigmoid_back = sigmoid(u)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = gate_back(d_f2)
        d_maps, d_kernel = conv_back(sigmoid_back(d_m))
        return d_f1 + avg_back(d_maps[:, 0]) + max_back(d_maps[:, 1]), d_kernel

    return f2, backward


# the loop over the pools assigns d_f1 = d_f1_gate + ... anew every time, so the avg path gets lost
def spatial_attention__5(f1, kernel):
    pools = [avg_pool_over_channels(f1), max_pool_over_channels(f1)]
    u, conv_back = conv2d(np.concatenate([out for out, _ in pools], axis=1), kernel)
    m, sigmoid_back = sigmoid(u)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_gate = gate_back(d_f2)
        d_maps, d_kernel = conv_back(sigmoid_back(d_m))
        for i, (_, back) in enumerate(pools):
            d_f1 = d_gate + back(d_maps[:, i : i + 1])
        return d_f1, d_kernel

    return f2, backward


# the slices are [:, :1] for avg and [:, 0:1] again for max: max's gradient is avg's (off by one)
def spatial_attention__6(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, sigmoid_back = sigmoid(u)
    f2, gate_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = gate_back(d_f2)
        d_maps, d_kernel = conv_back(sigmoid_back(d_m))
        return d_f1 + avg_back(d_maps[:, :1]) + max_back(d_maps[:, 0:1]), d_kernel

    return f2, backward


# gate is called with f1 and the map in the wrong order, so d_m and d_f1 are mixed up in backward
def spatial_attention__8(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, sigmoid_back = sigmoid(u)
    f2, gate_back = gate(f1, m)

    def backward(d_f2):
        d_m, d_f1 = gate_back(d_f2)
        d_maps, d_kernel = conv_back(sigmoid_back(d_m))
        return d_f1 + avg_back(d_maps[:, :1]) + max_back(d_maps[:, 1:]), d_kernel

    return f2, backward


# the map is squeezed to (N, H, W) and multiplied: it lines up with the channels instead of the samples, an error or wrong numbers
def spatial_attention__11(f1, kernel):
    avg, avg_back = avg_pool_over_channels(f1)
    mx, max_back = max_pool_over_channels(f1)
    u, conv_back = conv2d(np.concatenate([avg, mx], axis=1), kernel)
    m, sigmoid_back = sigmoid(u)
    f2 = f1 * m.squeeze()

    def backward(d_f2):
        d_m = (d_f2 * f1).sum(axis=1, keepdims=True)
        d_maps, d_kernel = conv_back(sigmoid_back(d_m))
        return d_f2 * m + avg_back(d_maps[:, :1]) + max_back(d_maps[:, 1:]), d_kernel

    return f2, backward


# --- cbam ------------------------------------------------------------------------------------------------------------


# right
def cbam__1(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        return *channel_back(d_f1), d_kernel

    return f2, backward


# right
def cbam__2(f, w1, w2, kernel):
    steps = []
    x = f
    for layer, params in ((channel_attention, (w1, w2)), (spatial_attention, (kernel,))):
        x, back = layer(x, *params)
        steps.append(back)

    def backward(d):
        grads = ()
        for back in steps[::-1]:
            d, *d_params = back(d)
            grads = tuple(d_params) + grads
        return (d,) + grads

    return x, backward


# the inner function is named backward like the one it calls, so it calls itself: RecursionError
def cbam__3(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, backward = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = backward(d_f2)
        d_f, d_w1, d_w2 = channel_back(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# both attentions are called under the same name back, so the spatial one's backward is called twice: unpacking stops with an error
def cbam__4(f, w1, w2, kernel):
    out, back = channel_attention(f, w1, w2)
    out, back = spatial_attention(out, kernel)

    def backward(d_out):
        d_out, d_kernel = back(d_out)
        d_f, d_w1, d_w2 = back(d_out)
        return d_f, d_w1, d_w2, d_kernel

    return out, backward


# a nested tuple is returned: ((d_f, d_w1, d_w2), d_kernel)
def cbam__6(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        return channel_back(d_f1), d_kernel

    return f2, backward


# spatial attention first, channel attention on its result
def cbam__7(f, w1, w2, kernel):
    f1, spatial_back = spatial_attention(f, kernel)
    f2, channel_back = channel_attention(f1, w1, w2)

    def backward(d_f2):
        d_f1, d_w1, d_w2 = channel_back(d_f2)
        d_f, d_kernel = spatial_back(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# the spatial attention gets f instead of f1, and its output is multiplied with f1, so f comes in twice
def cbam__8(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    g, spatial_back = spatial_attention(f, kernel)
    out = f1 * g

    def backward(d_f2):
        d_f_a, d_w1, d_w2 = channel_back(d_f2 * g)
        d_f_b, d_kernel = spatial_back(d_f2 * f1)
        return d_f_a + d_f_b, d_w1, d_w2, d_kernel

    return out, backward


# the channel attention's backward gets d_f2 instead of d_f1
def cbam__11(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        _, d_kernel = spatial_back(d_f2)
        d_f, d_w1, d_w2 = channel_back(d_f2)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# the gradients are kept in a list that lives outside backward, so a second call returns more than four
def cbam__12(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)
    grads = []

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        grads.extend(channel_back(d_f1))
        grads.append(d_kernel)
        return tuple(grads)

    return f2, backward
