import numpy as np

# --- slopes ----------------------------------------------------------------------------------------------------------


# right
def slopes__1(op, inputs, which, d_out):
    x, eps = inputs[which], 1e-5

    def L(v):
        return np.sum(d_out * op(*inputs[:which], v.reshape(x.shape), *inputs[which + 1 :])[0])

    v = x.ravel()
    return np.array([(L(v + eps * e) - L(v - eps * e)) / (2 * eps) for e in np.eye(x.size)]).reshape(x.shape)


# right
def slopes__2(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    g = np.empty_like(x)
    for i in np.ndindex(*x.shape):
        plus, minus = [a.copy() for a in inputs], [a.copy() for a in inputs]
        plus[which][i] += eps
        minus[which][i] -= eps
        d = op(*plus)[0] - op(*minus)[0]
        g[i] = np.tensordot(d_out, d, axes=d_out.ndim) / (2 * eps)
    return g


# right
def slopes__3(op, inputs, which, d_out):
    # J[p, q] = d out_p / d x_q, then g_q = sum_p d_out_p J[p, q]
    eps = 1e-5
    x = inputs[which]
    with_x = lambda v: op(*[v if t == which else a for t, a in enumerate(inputs)])[0].ravel()
    J = np.stack([(with_x(x + s) - with_x(x - s)) / (2 * eps) for s in eps * np.eye(x.size).reshape(-1, *x.shape)], 1)
    return (d_out.ravel() @ J).reshape(x.shape)


# the list of slopes is put back into the shape column by column (order="F")
def slopes__4(op, inputs, which, d_out):
    x, eps = inputs[which], 1e-5

    def L(v):
        return np.sum(d_out * op(*inputs[:which], v.reshape(x.shape), *inputs[which + 1 :])[0])

    v = x.ravel()
    return np.array([(L(v + eps * e) - L(v - eps * e)) / (2 * eps) for e in np.eye(x.size)]).reshape(x.shape, order="F")


# L is the sum of d_out times the sum of out: two sums over two indices instead of one over the products
def slopes__5(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    L = lambda v: d_out.sum() * op(*[v if t == which else a for t, a in enumerate(inputs)])[0].sum()
    g = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        e = np.zeros_like(x)
        e[i] = eps
        g[i] = (L(x + e) - L(x - e)) / (2 * eps)
    return g


# the second point is the input itself and not the one at -eps (only one eps is taken off again), but the division is by 2 eps
def slopes__6(op, inputs, which, d_out):
    eps = 1e-5
    args = [a.copy() for a in inputs]
    x = args[which]
    g = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        x[i] += eps
        up = np.vdot(d_out, op(*args)[0])
        x[i] -= eps
        down = np.vdot(d_out, op(*args)[0])
        g[i] = (up - down) / (2 * eps)
    return g


# works on a view of the input and never moves the entry back, so the input stays changed by -eps
def slopes__7(op, inputs, which, d_out):
    eps = 1e-5
    v = inputs[which].reshape(-1)
    g = np.zeros(v.size)
    for q in range(v.size):
        v[q] += eps
        up = np.sum(d_out * op(*inputs)[0])
        v[q] -= 2 * eps
        down = np.sum(d_out * op(*inputs)[0])
        g[q] = (up - down) / (2 * eps)
    return g.reshape(inputs[which].shape)


# the einsum that forms L has letters for exactly four axes, so an output with two axes stops with an error
def slopes__8(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    L = lambda v: np.einsum("ncij,ncij->", d_out, op(*inputs[:which], v, *inputs[which + 1 :])[0])
    g = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        e = np.zeros_like(x)
        e[i] = eps
        g[i] = (L(x + e) - L(x - e)) / (2 * eps)
    return g


# all entries are moved together, so each slope is the derivative along (1, ..., 1), the sum of all slopes
def slopes__9(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    L = lambda v: np.sum(d_out * op(*inputs[:which], v, *inputs[which + 1 :])[0])
    g = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        g[i] = (L(x + eps) - L(x - eps)) / (2 * eps)
    return g


# the result stays a flat vector, it isn't brought to the shape of the input
def slopes__10(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    with_x = lambda v: op(*[v if t == which else a for t, a in enumerate(inputs)])[0].ravel()
    J = np.stack([(with_x(x + s) - with_x(x - s)) / (2 * eps) for s in eps * np.eye(x.size).reshape(-1, *x.shape)])
    return J @ d_out.ravel()


# the step is eps times the entry, but the division is by 2 eps: entry times slope
def slopes__11(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    g = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        scale = np.ones_like(x)
        scale[i] += eps
        up = np.sum(d_out * op(*inputs[:which], x * scale, *inputs[which + 1 :])[0])
        scale[i] -= 2 * eps
        down = np.sum(d_out * op(*inputs[:which], x * scale, *inputs[which + 1 :])[0])
        g[i] = (up - down) / (2 * eps)
    return g


# the step is put into an array of integers, where it becomes 0: all slopes are 0
def slopes__12(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    L = lambda v: np.sum(d_out * op(*inputs[:which], v, *inputs[which + 1 :])[0])
    g = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        delta = np.zeros(x.shape, dtype=int)
        delta[i] = eps
        g[i] = (L(x + delta) - L(x - delta)) / (2 * eps)
    return g


# the moved input is always put in the first place, whatever `which` says, and Python stops where the shapes don't fit
def slopes__13(op, inputs, which, d_out):
    eps = 1e-5
    x = inputs[which]
    L = lambda v: np.sum(d_out * op(v, *inputs[1:])[0])
    g = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        e = np.zeros_like(x)
        e[i] = eps
        g[i] = (L(x + e) - L(x - e)) / (2 * eps)
    return g


# --- largest_error ---------------------------------------------------------------------------------------------------


# right
def largest_error__1(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    grads = grads if isinstance(grads, tuple) else (grads,)
    return max(np.abs(g - slopes(op, inputs, t, d_out)).max() for t, g in enumerate(grads))


# right
def largest_error__2(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.RandomState(seed).uniform(-1, 1, out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = [grads]
    g = np.concatenate([a.ravel() for a in grads])
    s = np.concatenate([slopes(op, inputs, t, d_out).ravel() for t in range(len(inputs))])
    return np.linalg.norm(g - s, ord=np.inf)


# right
def largest_error__3(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    d_out = rng.standard_normal(out.shape)
    grads = backward(d_out)
    worst = 0.0
    for which in range(len(inputs)):
        g = grads[which] if len(inputs) > 1 else grads
        diff = g - slopes(op, inputs, which, d_out)
        worst = max(worst, float(diff.max()), float(-diff.min()))
    return worst


# with one input the loop runs over the rows of the gradient, as if they were the gradients of several inputs, and Python stops at the second one
def largest_error__4(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    return max(np.abs(g - slopes(op, inputs, t, d_out)).max() for t, g in enumerate(backward(d_out)))


# d_out is drawn in the shape of the first input instead of the shape of out, so Python stops where the two differ
def largest_error__5(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=inputs[0].shape)
    grads = backward(d_out)
    grads = grads if isinstance(grads, tuple) else (grads,)
    return max(np.abs(g - slopes(op, inputs, t, d_out)).max() for t, g in enumerate(grads))


# the slopes are measured for another d_out than the gradients: it is drawn anew for each input
def largest_error__6(op, *inputs, seed=0):
    rng = np.random.default_rng(seed)
    out, backward = op(*inputs)
    grads = backward(rng.normal(size=out.shape))
    grads = grads if isinstance(grads, tuple) else (grads,)
    return max(np.abs(g - slopes(op, inputs, t, rng.normal(size=out.shape))).max() for t, g in enumerate(grads))


# compares the largest gradient with the largest slope (difference of the maxima, not maximum of the differences)
def largest_error__7(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    grads = grads if isinstance(grads, tuple) else (grads,)
    return max(abs(np.abs(g).max() - np.abs(slopes(op, inputs, t, d_out)).max()) for t, g in enumerate(grads))


# the Euclidean norm of the differences instead of the largest one
def largest_error__8(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    grads = grads if isinstance(grads, tuple) else (grads,)
    return max(np.linalg.norm((g - slopes(op, inputs, t, d_out)).ravel()) for t, g in enumerate(grads))


# every gradient entry is compared with every slope (outer difference), not with its own
def largest_error__9(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    grads = grads if isinstance(grads, tuple) else (grads,)
    return max(
        np.abs(g.reshape(-1, 1) - slopes(op, inputs, t, d_out).reshape(1, -1)).max() for t, g in enumerate(grads)
    )


# the worst difference is overwritten in each round, so only the last input counts
def largest_error__10(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    if len(inputs) == 1:
        grads = (grads,)
    for t, g in enumerate(grads):
        worst = np.max(np.abs(g - slopes(op, inputs, t, d_out)))
    return worst


# the differences of all inputs are put into one array, which stops with an error when their shapes differ
def largest_error__11(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    grads = grads if isinstance(grads, tuple) else (grads,)
    return np.abs(np.array([g - slopes(op, inputs, t, d_out) for t, g in enumerate(grads)])).max()


# the absolute value is taken of the largest signed difference, so differences below zero are missed
def largest_error__12(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    grads = grads if isinstance(grads, tuple) else (grads,)
    return max(abs((g - slopes(op, inputs, t, d_out)).max()) for t, g in enumerate(grads))


# the difference of the absolute values, so a gradient with the wrong sign passes
def largest_error__13(op, *inputs, seed=0):
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).normal(size=out.shape)
    grads = backward(d_out)
    grads = grads if isinstance(grads, tuple) else (grads,)
    return max(np.abs(np.abs(g) - np.abs(slopes(op, inputs, t, d_out))).max() for t, g in enumerate(grads))


# --- avg_pool_over_space ---------------------------------------------------------------------------------------------


# right
def avg_pool_over_space__1(f):
    N, C, H, W = f.shape
    a = np.full((H, W), 1 / (H * W))
    return np.einsum("ncij,ij->nc", f, a), lambda d_avg_c: np.einsum("nc,ij->ncij", d_avg_c, a)


# right
def avg_pool_over_space__2(f):
    N, C, H, W = f.shape
    P = H * W
    avg_c = f.reshape(N, C, P) @ np.ones(P) / P

    def backward(d_avg_c):
        return np.broadcast_to((d_avg_c / P)[..., None, None], f.shape)

    return avg_c, backward


# the derivative of the average is multiplied by f, as if it were quadratic
def avg_pool_over_space__3(f):
    N, C, H, W = f.shape
    avg_c = np.einsum("ncij->nc", f) / (H * W)

    def backward(d_avg_c):
        return np.einsum("nc,ncij->ncij", d_avg_c, f) / (H * W)

    return avg_c, backward


# a Kronecker delta too many in the Jacobian: only the pixels with i = j get a gradient
def avg_pool_over_space__4(f):
    N, C, H, W = f.shape
    avg_c = np.einsum("ncij->nc", f) / (H * W)

    def backward(d_avg_c):
        return np.einsum("nc,ij->ncij", d_avg_c, np.eye(H, W)) / (H * W)

    return avg_c, backward


# np.tile repeats the row of channels instead of each entry, so the gradients land in the wrong channels
def avg_pool_over_space__5(f):
    N, C, H, W = f.shape
    avg_c = f.mean(axis=(2, 3))

    def backward(d_avg_c):
        return np.tile(d_avg_c / (H * W), H * W).reshape(N, C, H, W)

    return avg_c, backward


# the wrong letters are kept: the sum runs over n and c, and (H, W) comes out
def avg_pool_over_space__6(f):
    N, C, H, W = f.shape
    avg_c = np.einsum("ncij->ij", f) / (H * W)

    def backward(d_avg_c):
        return np.einsum("nc,ij->ncij", d_avg_c, np.ones((H, W))) / (H * W)

    return avg_c, backward


# divides by C·H instead of H·W, forward and backward
def avg_pool_over_space__7(f):
    count = np.prod(f.shape[1:3])
    avg_c = f.sum(axis=(-1, -2)) / count

    def backward(d_avg_c):
        return np.multiply.outer(d_avg_c, np.ones(f.shape[2:])) / count

    return avg_c, backward


# --- max_pool_over_space ---------------------------------------------------------------------------------------------


# right
def max_pool_over_space__1(f):
    N, C, H, W = f.shape
    flat = f.reshape(N, C, -1)
    e = np.eye(H * W)[flat.argmax(-1)]

    def backward(d_max_c):
        return np.einsum("nc,ncp->ncp", d_max_c, e).reshape(f.shape)

    return np.einsum("ncp,ncp->nc", flat, e), backward


# right
def max_pool_over_space__2(f):
    N, C, H, W = f.shape
    p = f.reshape(N * C, H * W).argmax(axis=1)
    rows = np.arange(N * C)

    def backward(d_max_c):
        d = np.zeros((N * C, H * W))
        np.add.at(d, (rows, p), d_max_c.ravel())
        return d.reshape(f.shape)

    return f.reshape(N * C, H * W)[rows, p].reshape(N, C), backward


# right
def max_pool_over_space__3(f):
    flat = f.reshape(*f.shape[:2], -1)
    top = flat.max(axis=-1)
    hit = flat == top[..., None]
    hit = hit & (np.cumsum(hit, axis=-1) == 1)

    def backward(d_max_c):
        return np.where(hit, d_max_c[..., None], 0.0).reshape(f.shape)

    return top, backward


# where entries tie, each of them gets the full gradient
def max_pool_over_space__4(f):
    top = f.max(axis=(2, 3))
    delta = (f == top[:, :, None, None]).astype(float)
    return top, lambda d_max_c: np.einsum("nc,ncij->ncij", d_max_c, delta)


# where entries tie, the gradient is divided among them (a subgradient, but not the first one's)
def max_pool_over_space__5(f):
    top = f.max(axis=(2, 3))
    delta = (f == top[:, :, None, None]).astype(float)
    delta = delta / np.einsum("ncij->nc", delta)[:, :, None, None]
    return top, lambda d_max_c: np.einsum("nc,ncij->ncij", d_max_c, delta)


# the first of the ties is looked for column by column instead of row by row
def max_pool_over_space__6(f):
    N, C, H, W = f.shape
    p = f.transpose(0, 1, 3, 2).reshape(N, C, W * H).argmax(-1)
    j, i = np.divmod(p, H)
    n, c = np.indices((N, C))

    def backward(d_max_c):
        d_f = np.zeros_like(f)
        d_f[n, c, i, j] = d_max_c
        return d_f

    return f[n, c, i, j], backward


# the flat position is split by H instead of W, so the gradient lands on another pixel or outside, where Python stops
def max_pool_over_space__7(f):
    N, C, H, W = f.shape
    p = f.reshape(N, C, -1).argmax(-1)
    i, j = np.divmod(p, H)
    n, c = np.ogrid[:N, :C]

    def backward(d_max_c):
        d_f = np.zeros(f.shape)
        d_f[n, c, i, j] = d_max_c
        return d_f

    return f.max(axis=(2, 3)), backward


# another letter for the sample in the one-hot factor: it is summed over all samples
def max_pool_over_space__8(f):
    N, C, H, W = f.shape
    e = np.eye(H * W)[f.reshape(N, C, -1).argmax(-1)]

    def backward(d_max_c):
        return np.einsum("nc,mcp->ncp", d_max_c, e).reshape(f.shape)

    return f.max(axis=(2, 3)), backward


# the flat positions lack the offset of sample and channel, so everything is added into the first channel of the first sample
def max_pool_over_space__9(f):
    N, C = f.shape[:2]
    p = f.reshape(N, C, -1).argmax(-1)

    def backward(d_max_c):
        d_f = np.zeros(f.size)
        np.add.at(d_f, p.ravel(), d_max_c.ravel())
        return d_f.reshape(f.shape)

    return f.max(axis=(2, 3)), backward


# the maximum is taken over j, then over i, but backward goes through the first step alone: every row's maximum gets the gradient
def max_pool_over_space__10(f):
    rows = f.max(axis=3)
    top = rows.max(axis=2)
    first = np.arange(f.shape[3]) == f.argmax(axis=3)[..., None]

    def backward(d_max_c):
        return d_max_c[:, :, None, None] * first

    return top, backward


# slices for n and c next to index arrays for i and j: every channel gets entries at the places of all others
def max_pool_over_space__11(f):
    N, C, H, W = f.shape
    i, j = np.unravel_index(f.reshape(N, C, -1).argmax(-1), (H, W))

    def backward(d_max_c):
        d_f = np.zeros(f.shape)
        d_f[:, :, i, j] = d_max_c
        return d_f

    return f.max(axis=(2, 3)), backward


# the gradient is multiplied by the maximum itself (the factor f stayed in front of the delta)
def max_pool_over_space__12(f):
    N, C, H, W = f.shape
    e = np.eye(H * W)[f.reshape(N, C, -1).argmax(-1)].reshape(f.shape)
    return np.einsum("ncij,ncij->nc", f, e), lambda d_max_c: np.einsum("nc,ncij,ncij->ncij", d_max_c, f, e)


# --- avg_pool_over_channels ------------------------------------------------------------------------------------------


# right
def avg_pool_over_channels__1(f):
    c = np.full(f.shape[1], 1 / f.shape[1])
    avg_s = np.tensordot(f, c, axes=(1, 0))[:, None]
    return avg_s, lambda d_avg_s: np.einsum("nzij,c->ncij", d_avg_s, c)


# right
def avg_pool_over_channels__2(f):
    N, C, H, W = f.shape

    def backward(d_avg_s):
        return np.repeat(d_avg_s, C, axis=1) / C

    return sum(f[:, c : c + 1] for c in range(C)) / C, backward


# the axis of length 1 is missing, (N, H, W) comes out
def avg_pool_over_channels__3(f):
    C = f.shape[1]
    avg_s = np.einsum("ncij->nij", f) / C

    def backward(d_avg_s):
        return np.einsum("nij,c->ncij", d_avg_s, np.ones(C)) / C

    return avg_s, backward


# backward averages over the channel axis again instead of spreading (the operator, not its adjoint)
def avg_pool_over_channels__4(f):
    avg = lambda a: a.mean(axis=1, keepdims=True)
    return avg(f), avg


# np.resize repeats the whole flat gradient, so samples and channels get mixed
def avg_pool_over_channels__5(f):
    C = f.shape[1]

    def backward(d_avg_s):
        return np.resize(d_avg_s / C, f.shape)

    return f.mean(axis=1, keepdims=True), backward


# i and j are swapped in the result of the einsum, so the map is transposed
def avg_pool_over_channels__6(f):
    N, C, H, W = f.shape
    avg_s = np.einsum("ncij->nji", f).reshape(N, 1, H, W) / C

    def backward(d_avg_s):
        return np.broadcast_to(d_avg_s / C, f.shape)

    return avg_s, backward


# backward divides by H (shape[2]) where it should divide by C
def avg_pool_over_channels__7(f):
    avg_s = f.mean(1)[:, np.newaxis]
    return avg_s, lambda d_avg_s: np.ones_like(f) * d_avg_s / f.shape[2]


# --- max_pool_over_channels ------------------------------------------------------------------------------------------


# right
def max_pool_over_channels__1(f):
    C = f.shape[1]
    delta = np.arange(C)[:, None, None] == f.argmax(axis=1)[:, None]
    return f.max(axis=1, keepdims=True), lambda d_max_s: delta * d_max_s


# right
def max_pool_over_channels__2(f):
    best, who = f[:, 0].copy(), np.zeros((f.shape[0], *f.shape[2:]), dtype=int)
    for c in range(1, f.shape[1]):
        better = f[:, c] > best
        best[better] = f[:, c][better]
        who[better] = c

    def backward(d_max_s):
        return np.stack([d_max_s[:, 0] * (who == c) for c in range(f.shape[1])], axis=1)

    return best[:, None], backward


# of several channels with the same maximum the last one wins
def max_pool_over_channels__3(f):
    C = f.shape[1]
    last = C - 1 - f[:, ::-1].argmax(axis=1)[:, None]

    def backward(d_max_s):
        d_f = np.zeros_like(f)
        np.put_along_axis(d_f, last, d_max_s, axis=1)
        return d_f

    return np.take_along_axis(f, last, axis=1), backward


# the one-hot axis is the last one and is reshaped into the place of the channels instead of moved there
def max_pool_over_channels__4(f):
    N, C, H, W = f.shape
    e = np.eye(C)[f.argmax(axis=1)].reshape(N, C, H, W)
    return f.max(axis=1, keepdims=True), lambda d_max_s: e * d_max_s


# all channels that tie for the maximum get the gradient
def max_pool_over_channels__5(f):
    top = f.max(axis=1, keepdims=True)
    return top, lambda d_max_s: np.einsum("nzij,ncij->ncij", d_max_s, f == top)


# the aranges for n, i and j lack the extra axes, so the index arrays don't broadcast and Python stops
def max_pool_over_channels__6(f):
    N, C, H, W = f.shape
    c = f.argmax(axis=1)

    def backward(d_max_s):
        d_f = np.zeros(f.shape)
        np.add.at(d_f, (np.arange(N), c, np.arange(H), np.arange(W)), d_max_s[:, 0])
        return d_f

    return f.max(axis=1, keepdims=True), backward


# the derivative of a channel which isn't the largest is taken as -1 (delta minus one), as for the distance to the maximum
def max_pool_over_channels__7(f):
    C = f.shape[1]
    delta = np.moveaxis(np.eye(C)[f.argmax(axis=1)], -1, 1)
    return f.max(axis=1, keepdims=True), lambda d_max_s: (2 * delta - 1) * d_max_s


# --- relu ------------------------------------------------------------------------------------------------------------


# right
def relu__1(x):
    return np.clip(x, 0, None), lambda d_out: np.heaviside(x, 0.0) * d_out


# right
def relu__2(x):
    positive = x > 0

    def backward(d_out):
        d_x = np.zeros_like(d_out)
        d_x[positive] = d_out[positive]
        return d_x

    return np.where(positive, x, 0.0), backward


# the slope at 0 is 1/2, from the formula (x + |x|)/2
def relu__3(x):
    return (x + np.abs(x)) / 2, lambda d_out: d_out * (1 + np.sign(x)) / 2


# backward is the ReLU of d_out: a non-linear function of d_out, without the mask of x
def relu__4(x):
    phi = lambda t: t * (t > 0)
    return phi(x), phi


# the Jacobian is formed with np.diag, which takes the diagonal out of a matrix, and Python stops
def relu__5(x):
    def backward(d_out):
        return d_out @ np.diag(x > 0)

    return np.maximum(x, 0), backward


# the slope is calculated as out / x, which is 0/0 and NaN at x = 0
def relu__6(x):
    out = np.maximum(x, 0)

    def backward(d_out):
        with np.errstate(invalid="ignore"):
            return d_out * (out / x)

    return out, backward


# d_out is changed in place, the entries outside of the mask are set to 0
def relu__7(x):
    out = np.where(x > 0, x, 0)

    def backward(d_out):
        np.putmask(d_out, x <= 0, 0)
        return d_out

    return out, backward


# --- mlp -------------------------------------------------------------------------------------------------------------


# right
def mlp__1(x, w1, w2):
    z = np.einsum("hc,nc->nh", w1, x)
    theta = (z > 0).astype(float)
    h = theta * z
    out = np.einsum("ch,nh->nc", w2, h)

    def backward(d_out):
        d_x = np.einsum("nk,kh,nh,hc->nc", d_out, w2, theta, w1)
        d_w1 = np.einsum("nk,kh,nh,nc->hc", d_out, w2, theta, x)
        d_w2 = np.einsum("nc,nh->ch", d_out, h)
        return d_x, d_w1, d_w2

    return out, backward


# right
def mlp__2(x, w1, w2):
    X = x.T
    Z = w1 @ X
    Hd = Z.clip(min=0)

    def backward(d_out):
        D = d_out.T
        dZ = np.where(Z > 0, w2.T @ D, 0)
        return (w1.T @ dZ).T, dZ @ X.T, D @ Hd.T

    return (w2 @ Hd).T, backward


# right
def mlp__3(x, w1, w2):
    h, back = relu(x @ w1.T)

    def backward(d_out):
        d_x, d_w1, d_w2 = np.zeros(x.shape), np.zeros(w1.shape), np.zeros(w2.shape)
        d_z = back(d_out @ w2)
        for n in range(len(x)):
            d_x[n] = w1.T @ d_z[n]
            d_w1 += np.outer(d_z[n], x[n])
            d_w2 += np.outer(d_out[n], h[n])
        return d_x, d_w1, d_w2

    return np.array([w2 @ row for row in h]), backward


# d_w2 comes out transposed, (hidden, C): the letters of the result are in the wrong order
def mlp__4(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)

    def backward(d_out):
        d_z = (d_out @ w2) * (z > 0)
        return d_z @ w1, np.einsum("nh,nc->hc", d_z, x), np.einsum("nc,nh->hc", d_out, h)

    return h @ w2.T, backward


# the ReLU's mask is taken from the gradient (d_h > 0) instead of from z
def mlp__5(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)

    def backward(d_out):
        d_h = d_out @ w2
        d_z = d_h * (d_h > 0)
        return d_z @ w1, d_z.T @ x, d_out.T @ h

    return h @ w2.T, backward


# d_x goes back through w2 once more instead of through w1
def mlp__6(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)

    def backward(d_out):
        d_z = (d_out @ w2) * (z > 0)
        return d_z @ w2.T, d_z.T @ x, d_out.T @ h

    return h @ w2.T, backward


# the samples of d_out and h have different letters in d_w2, so each is summed on its own
def mlp__7(x, w1, w2):
    z = np.einsum("hc,nc->nh", w1, x)
    h = z * (z > 0)

    def backward(d_out):
        d_z = np.einsum("nc,ch->nh", d_out, w2) * (z > 0)
        d_x = np.einsum("nh,hc->nc", d_z, w1)
        d_w1 = np.einsum("nh,nc->hc", d_z, x)
        d_w2 = np.einsum("nc,mh->ch", d_out, h)
        return d_x, d_w1, d_w2

    return np.einsum("ch,nh->nc", w2, h), backward


# d_w2 is formed with z, the value before the ReLU
def mlp__8(x, w1, w2):
    z = np.tensordot(x, w1, axes=(1, 1))
    out = np.tensordot(np.maximum(z, 0), w2, axes=(1, 1))

    def backward(d_out):
        d_z = np.tensordot(d_out, w2, axes=(1, 0)) * (z > 0)
        return (
            np.tensordot(d_z, w1, axes=(1, 0)),
            np.tensordot(d_z, x, axes=(0, 0)),
            np.tensordot(d_out, z, axes=(0, 0)),
        )

    return out, backward


# einsum without "->" sorts the letters of the result, so d_h is (hidden, N) and Python stops at the mask (or it is wrong, if hidden = N)
def mlp__9(x, w1, w2):
    z = np.einsum("nc,hc->nh", x, w1)
    h, back = relu(z)
    out = np.einsum("ch,nh->nc", w2, h)

    def backward(d_out):
        d_z = back(np.einsum("nc,ch", d_out, w2))
        return d_z @ w1, d_z.T @ x, d_out.T @ h

    return out, backward


# the second layer uses the transpose of w1 (tied weights) instead of w2
def mlp__10(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)

    def backward(d_out):
        d_z = (d_out @ w2) * (z > 0)
        return d_z @ w1, d_z.T @ x, d_out.T @ h

    return h @ w1, backward


# the ReLU's mask is in d_x but was left out of d_w1
def mlp__11(x, w1, w2):
    z = x @ w1.T
    theta = z > 0

    def backward(d_out):
        d_x = np.einsum("nk,kh,nh,hc->nc", d_out, w2, theta.astype(float), w1)
        d_w1 = np.einsum("nk,kh,nc->hc", d_out, w2, x)
        return d_x, d_w1, d_out.T @ (z * theta)

    return (z * theta) @ w2.T, backward


# the result of the matrix product isn't transposed back: out is (C, N)
def mlp__12(x, w1, w2):
    X = x.T
    Z = w1 @ X
    Hd = Z.clip(min=0)

    def backward(d_out):
        dZ = (Z > 0) * (w2.T @ d_out)
        return (w1.T @ dZ).T, dZ @ x, d_out @ Hd.T

    return w2 @ Hd, backward


# d_x carries a mask of x: the ReLU's slope is evaluated at the wrong argument, x instead of z
def mlp__13(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)

    def backward(d_out):
        d_h = d_out @ w2
        d_z = d_h * (z > 0)
        return (d_h @ w1) * (x > 0), d_z.T @ x, d_out.T @ h

    return h @ w2.T, backward


# relu's pair isn't taken apart, so a tuple is multiplied and Python stops
def mlp__14(x, w1, w2):
    z = x @ w1.T
    h = relu(z)
    out = np.einsum("ch,nh->nc", w2, h)

    def backward(d_out):
        d_z = (d_out @ w2) * (z > 0)
        return d_z @ w1, d_z.T @ x, d_out.T @ h

    return out, backward


# d_w1 is the outer product of the gradient with z, not with x, so it has the shape (hidden, hidden)
def mlp__15(x, w1, w2):
    z = x @ w1.T
    h = np.maximum(z, 0)

    def backward(d_out):
        d_z = (d_out @ w2) * (z > 0)
        return d_z @ w1, d_z.T @ z, d_out.T @ h

    return h @ w2.T, backward


# --- sigmoid ---------------------------------------------------------------------------------------------------------


# right
def sigmoid__1(x):
    t = np.tanh(x / 2)
    return (1 + t) / 2, lambda d_out: d_out * (1 - t) * (1 + t) / 4


# right
def sigmoid__2(x):
    s = np.exp(-np.logaddexp(0, -x))

    def backward(d_out):
        return d_out * (s - s**2)

    return s, backward


# right
def sigmoid__3(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1 + e), lambda d_out: d_out * e / (1 + e) ** 2


# right
def sigmoid__4(x):
    with np.errstate(over="ignore"):
        s = 1 / (1 + np.exp(-x))

    def backward(d_out):
        return np.einsum("...,...,...->...", d_out, s, 1 - s)

    return s, backward


# e^{-|x|} is used with the formula for positive x on both sides, so σ(-x) = σ(x)
def sigmoid__5(x):
    e = np.exp(-np.abs(x))
    s = 1 / (1 + e)
    return s, lambda d_out: d_out * s * (1 - s)


# the chain rule's 1/2 of tanh(x/2) is missing: the gradient is twice as large
def sigmoid__6(x):
    t = np.tanh(x / 2)
    return (1 + t) / 2, lambda d_out: d_out * (1 - t**2) / 2


# one of the two minus signs of the derivative was lost, so the gradient has the wrong sign
def sigmoid__7(x):
    e = np.exp(-np.abs(x))
    s = np.where(x >= 0, 1, e) / (1 + e)

    def backward(d_out):
        return -d_out * e / (1 + e) ** 2

    return s, backward


# the square stands at e and not at the whole denominator
def sigmoid__8(x):
    e = np.exp(-np.abs(x))
    s = np.where(x >= 0, 1, e) / (1 + e)

    def backward(d_out):
        return d_out * e / (1 + e**2)

    return s, backward


# backward is the derivative of log σ, 1 - σ: the factor σ is missing
def sigmoid__9(x):
    s = np.exp(-np.logaddexp(0.0, -x))
    return s, lambda d_out: d_out * (1 - s)


# x = 0 belongs to neither half, so σ(0) is 0 instead of 1/2
def sigmoid__10(x):
    s = np.zeros(x.shape)
    s[x > 0] = 1 / (1 + np.exp(-x[x > 0]))
    s[x < 0] = np.exp(x[x < 0]) / (1 + np.exp(x[x < 0]))
    return s, lambda d_out: d_out * s * (1 - s)


# x is clipped to ±20 against the overflow, which is too coarse: σ(-1000) is 2e-9
def sigmoid__11(x):
    s = 1 / (1 + np.exp(-np.clip(x, -20, 20)))
    return s, lambda d_out: d_out * s * (1 - s)


# e^x / (1 + e^x) is inf/inf for large x, so σ(1000) is NaN
def sigmoid__12(x):
    with np.errstate(all="ignore"):
        s = np.exp(x) / (1 + np.exp(x))
    return s, lambda d_out: d_out * s * (1 - s)


# np.where calculates both halves everywhere, so the overflow's warning still comes
def sigmoid__13(x):
    s = np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))
    return s, lambda d_out: d_out * s * (1 - s)


# the derivative is evaluated at σ(x) instead of at x: the sigmoid is applied once more in backward
def sigmoid__14(x):
    sig = lambda t: (1 + np.tanh(t / 2)) / 2
    s = sig(x)
    return s, lambda d_out: d_out * sig(s) * (1 - sig(s))


# --- gate ------------------------------------------------------------------------------------------------------------


# right
def gate__1(m, f):
    def backward(d_out):
        summed = tuple(a for a in range(4) if m.shape[a] == 1)
        return np.sum(d_out * f, axis=summed, keepdims=True), d_out * m

    return m * f, backward


# right
def gate__2(m, f):
    by_channel = m.shape == f.shape[:2] + (1, 1)

    def backward(d_out):
        d_m = np.einsum("ncij,ncij->nc" if by_channel else "ncij,ncij->nij", d_out, f)
        return d_m.reshape(m.shape), np.einsum("ncij,ncij->ncij", d_out, np.broadcast_to(m, f.shape))

    return np.multiply(m, f), backward


# right
def gate__3(m, f):
    # every entry of f looks up its entry of m; the adjoint of looking up is adding
    idx = tuple(np.minimum(i, s - 1) for i, s in zip(np.indices(f.shape), m.shape))

    def backward(d_out):
        d_m = np.zeros(m.shape)
        np.add.at(d_m, idx, d_out * f)
        return d_m, d_out * m[idx]

    return m[idx] * f, backward


# d_m lacks the sum over the axes along which m was broadcast
def gate__4(m, f):
    return m * f, lambda d_out: (d_out * f, d_out * m)


# the sum for d_m always runs over the space, so it doesn't fit a map (N, 1, H, W)
def gate__5(m, f):
    def backward(d_out):
        d_m = np.einsum("ncij,ncij->nc", d_out, f)[:, :, None, None]
        return d_m, d_out * m

    return m * f, backward


# d_out and f have their own letters for the pixel, so d_m is a product of two sums
def gate__6(m, f):
    def backward(d_out):
        if m.shape[1] == f.shape[1]:
            d_m = np.einsum("ncij,nckl->nc", d_out, f)[:, :, None, None]
        else:
            d_m = np.einsum("ncij,nkij->nij", d_out, f)[:, None]
        return d_m, m * d_out

    return m * f, backward


# the partners are swapped: d_m is formed with m and d_f with f
def gate__7(m, f):
    axes = tuple(a for a, s in enumerate(m.shape) if s == 1)

    def backward(d_out):
        return (d_out * m).sum(axis=axes, keepdims=True), d_out * f

    return m * f, backward


# d_f also gets the gradient of m, as if m depended on f here
def gate__8(m, f):
    axes = tuple(a for a, s in enumerate(m.shape) if s == 1)

    def backward(d_out):
        d_m = (d_out * f).sum(axis=axes, keepdims=True)
        return d_m, d_out * m + d_m

    return m * f, backward


# the sum for d_m runs over the axes that m has, not over those of length 1
def gate__9(m, f):
    axes = tuple(a for a, s in enumerate(m.shape) if s != 1)

    def backward(d_out):
        return (d_out * f).sum(axis=axes, keepdims=True), d_out * m

    return m * f, backward


# d_m is formed with out instead of f, so there is a factor m too many
def gate__10(m, f):
    out = m * f
    axes = tuple(a for a, s in enumerate(m.shape) if s == 1)

    def backward(d_out):
        return (d_out * out).sum(axis=axes, keepdims=True), d_out * m

    return out, backward


# d_m has lost its axes of length 1
def gate__11(m, f):
    axes = tuple(a for a, s in enumerate(m.shape) if s == 1)

    def backward(d_out):
        return np.sum(d_out * f, axis=axes), d_out * m

    return m * f, backward


# m ⊗ f is taken for a matrix product, and Python stops for (N, C, 1, 1)
def gate__12(m, f):
    out = m @ f

    def backward(d_out):
        return d_out @ np.swapaxes(f, -1, -2), np.swapaxes(m, -1, -2) @ d_out

    return out, backward


# the axes are summed one after the other without keepdims, so their numbers are no longer right and Python stops
def gate__13(m, f):
    def backward(d_out):
        d_m = d_out * f
        for a in [a for a in range(4) if m.shape[a] == 1]:
            d_m = d_m.sum(axis=a)
        return d_m.reshape(m.shape), d_out * m

    return m * f, backward


# --- channel_attention -----------------------------------------------------------------------------------------------


# right
def channel_attention__1(f, w1, w2):
    N, C = f.shape[:2]
    a, a_back = avg_pool_over_space(f)
    b, b_back = max_pool_over_space(f)
    s, s_back = mlp(np.concatenate([a, b]), w1, w2)  # 2N samples
    m, m_back = sigmoid(s[:N] + s[N:])
    f1, g_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = g_back(d_f1)
        d_s = m_back(d_m[:, :, 0, 0])
        d_ab, d_w1, d_w2 = s_back(np.concatenate([d_s, d_s]))
        return d_f + a_back(d_ab[:N]) + b_back(d_ab[N:]), d_w1, d_w2

    return f1, backward


# right
def channel_attention__2(f, w1, w2):
    N, C, H, W = f.shape
    flat = f.reshape(N, C, -1)
    avg = np.full(flat.shape, 1 / (H * W))
    top = np.eye(H * W)[flat.argmax(-1)]
    P = np.stack([avg, top])  # the two pools as linear forms: t n c p
    x = np.einsum("tncp,ncp->tnc", P, flat)
    z = np.einsum("hc,tnc->tnh", w1, x)
    h = np.maximum(z, 0)
    s = np.einsum("ch,tnh->nc", w2, h)
    m = (1 + np.tanh(s / 2)) / 2
    f1 = np.einsum("nc,ncij->ncij", m, f)

    def backward(d_f1):
        d_s = np.einsum("ncij,ncij->nc", d_f1, f) * m * (1 - m)
        d_z = np.einsum("nc,ch->nh", d_s, w2) * (z > 0)  # t n h
        d_x = np.einsum("tnh,hc->tnc", d_z, w1)
        d_w1 = np.einsum("tnh,tnc->hc", d_z, x)
        d_w2 = np.einsum("nc,tnh->ch", d_s, h)
        d_f = np.einsum("nc,ncij->ncij", m, d_f1) + np.einsum("tnc,tncp->ncp", d_x, P).reshape(f.shape)
        return d_f, d_w1, d_w2

    return f1, backward


# right
def channel_attention__3(f, w1, w2):
    pools = [avg_pool_over_space(f), max_pool_over_space(f)]
    nets = [mlp(x, w1, w2) for x, _ in pools]
    m, m_back = sigmoid(sum(s for s, _ in nets)[..., None, None])
    f1, g_back = gate(m, f)

    def backward(d_f1):
        d_m, d_f = g_back(d_f1)
        d_s = m_back(d_m)[..., 0, 0]
        d_w1, d_w2 = 0, 0
        for (_, pool_back), (_, net_back) in zip(pools, nets):
            d_x, d1, d2 = net_back(d_s)
            d_f, d_w1, d_w2 = d_f + pool_back(d_x), d_w1 + d1, d_w2 + d2
        return d_f, d_w1, d_w2

    return f1, backward


# the name of the MLP's backward is overwritten, so both branches go back through the one of the maxima
def channel_attention__4(f, w1, w2):
    a, a_back = avg_pool_over_space(f)
    s, mlp_back = mlp(a, w1, w2)
    b, b_back = max_pool_over_space(f)
    t, mlp_back = mlp(b, w1, w2)
    m, m_back = sigmoid(s + t)
    f1, g_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = g_back(d_f1)
        d_s = m_back(d_m[:, :, 0, 0])
        d_a, u1, u2 = mlp_back(d_s)
        d_b, v1, v2 = mlp_back(d_s)
        return d_f + a_back(d_a) + b_back(d_b), u1 + v1, u2 + v2

    return f1, backward


# d_s is split in halves between the two branches, as if s were their average
def channel_attention__5(f, w1, w2):
    a, a_back = avg_pool_over_space(f)
    b, b_back = max_pool_over_space(f)
    s, s_back = mlp(a, w1, w2)
    t, t_back = mlp(b, w1, w2)
    m, m_back = sigmoid(s + t)
    f1, g_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = g_back(d_f1)
        d_s = m_back(d_m[:, :, 0, 0]) / 2
        d_a, u1, u2 = s_back(d_s)
        d_b, v1, v2 = t_back(d_s)
        return d_f + a_back(d_a) + b_back(d_b), u1 + v1, u2 + v2

    return f1, backward


# the MLP is applied once to avg + max, as if it were linear
def channel_attention__6(f, w1, w2):
    a, a_back = avg_pool_over_space(f)
    b, b_back = max_pool_over_space(f)
    s, s_back = mlp(a + b, w1, w2)
    m, m_back = sigmoid(s)
    f1, g_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = g_back(d_f1)
        d_x, d_w1, d_w2 = s_back(m_back(d_m[:, :, 0, 0]))
        return d_f + a_back(d_x) + b_back(d_x), d_w1, d_w2

    return f1, backward


# the gradients of the two branches are exchanged: the average's goes into the max pool's backward and the other way round
def channel_attention__7(f, w1, w2):
    a, a_back = avg_pool_over_space(f)
    b, b_back = max_pool_over_space(f)
    s, s_back = mlp(a, w1, w2)
    t, t_back = mlp(b, w1, w2)
    m, m_back = sigmoid(s + t)
    f1, g_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = g_back(d_f1)
        d_s = m_back(d_m[:, :, 0, 0])
        d_a, u1, u2 = s_back(d_s)
        d_b, v1, v2 = t_back(d_s)
        return d_f + a_back(d_b) + b_back(d_a), u1 + v1, u2 + v2

    return f1, backward


# the direct path of the gate is counted twice in d_f
def channel_attention__8(f, w1, w2):
    a, a_back = avg_pool_over_space(f)
    b, b_back = max_pool_over_space(f)
    s, s_back = mlp(a, w1, w2)
    t, t_back = mlp(b, w1, w2)
    m, m_back = sigmoid(s + t)
    m4 = m[:, :, None, None]
    f1, g_back = gate(m4, f)

    def backward(d_f1):
        d_m, d_f = g_back(d_f1)
        d_s = m_back(d_m[:, :, 0, 0])
        d_a, u1, u2 = s_back(d_s)
        d_b, v1, v2 = t_back(d_s)
        return d_f1 * m4 + d_f + a_back(d_a) + b_back(d_b), u1 + v1, u2 + v2

    return f1, backward


# the sigmoid is applied to each branch and the two are added: σ(a) + σ(b) instead of σ(a + b)
def channel_attention__9(f, w1, w2):
    a, a_back = avg_pool_over_space(f)
    b, b_back = max_pool_over_space(f)
    s, s_back = mlp(a, w1, w2)
    t, t_back = mlp(b, w1, w2)
    p, p_back = sigmoid(s)
    q, q_back = sigmoid(t)
    f1, g_back = gate((p + q)[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = g_back(d_f1)
        d_m = d_m[:, :, 0, 0]
        d_a, u1, u2 = s_back(p_back(d_m))
        d_b, v1, v2 = t_back(q_back(d_m))
        return d_f + a_back(d_a) + b_back(d_b), u1 + v1, u2 + v2

    return f1, backward


# d_w1 has the gradient of the ReLU of one branch with the input of both: (z_avg's mask) times (avg + max)
def channel_attention__10(f, w1, w2):
    a, a_back = avg_pool_over_space(f)
    b, b_back = max_pool_over_space(f)
    s, s_back = mlp(a, w1, w2)
    t, t_back = mlp(b, w1, w2)
    m, m_back = sigmoid(s + t)
    f1, g_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = g_back(d_f1)
        d_s = m_back(d_m[:, :, 0, 0])
        d_a, _, u2 = s_back(d_s)
        d_b, _, v2 = t_back(d_s)
        d_z = (d_s @ w2) * (a @ w1.T > 0)
        return d_f + a_back(d_a) + b_back(d_b), np.einsum("nh,nc->hc", d_z, a + b), u2 + v2

    return f1, backward


# the scores are transposed before the reshape to (N, C, 1, 1), so the gates stand at the wrong samples and channels
def channel_attention__11(f, w1, w2):
    N, C = f.shape[:2]
    a, a_back = avg_pool_over_space(f)
    b, b_back = max_pool_over_space(f)
    s, s_back = mlp(a, w1, w2)
    t, t_back = mlp(b, w1, w2)
    m, m_back = sigmoid((s + t).T.reshape(N, C, 1, 1))
    f1, g_back = gate(m, f)

    def backward(d_f1):
        d_m, d_f = g_back(d_f1)
        d_s = m_back(d_m).reshape(C, N).T
        d_a, u1, u2 = s_back(d_s)
        d_b, v1, v2 = t_back(d_s)
        return d_f + a_back(d_a) + b_back(d_b), u1 + v1, u2 + v2

    return f1, backward


# d_m goes into the sigmoid's backward without dropping its two axes of length 1, so it's broadcast against (N, C) and Python stops
def channel_attention__12(f, w1, w2):
    a, a_back = avg_pool_over_space(f)
    b, b_back = max_pool_over_space(f)
    s, s_back = mlp(a, w1, w2)
    t, t_back = mlp(b, w1, w2)
    m, m_back = sigmoid(s + t)
    f1, g_back = gate(m[:, :, None, None], f)

    def backward(d_f1):
        d_m, d_f = g_back(d_f1)
        d_s = m_back(d_m)
        d_a, u1, u2 = s_back(d_s)
        d_b, v1, v2 = t_back(d_s)
        return d_f + a_back(d_a) + b_back(d_b), u1 + v1, u2 + v2

    return f1, backward


# d_f has only the two paths through the gate's map, the direct one (m times d_f1) is missing
def channel_attention__13(f, w1, w2):
    (a, a_back), (b, b_back) = avg_pool_over_space(f), max_pool_over_space(f)
    (s, s_back), (t, t_back) = mlp(a, w1, w2), mlp(b, w1, w2)
    m, m_back = sigmoid(s + t)

    def backward(d_f1):
        d_s = m_back(np.einsum("ncij,ncij->nc", d_f1, f))
        d_a, u1, u2 = s_back(d_s)
        d_b, v1, v2 = t_back(d_s)
        return a_back(d_a) + b_back(d_b), u1 + v1, u2 + v2

    return np.einsum("nc,ncij->ncij", m, f), backward


# --- im2col ----------------------------------------------------------------------------------------------------------


# right
def im2col__1(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    win = np.lib.stride_tricks.sliding_window_view(xp, (k, k), axis=(2, 3))  # n c i j a b
    return np.einsum("ncijab->ncabij", win).reshape(N, C * k * k, H * W)


# right
def im2col__2(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    xp[:, :, p : p + H, p : p + W] = x
    return np.stack(
        [xp[:, c, a : a + H, b : b + W].reshape(N, H * W) for c in range(C) for a in range(k) for b in range(k)], axis=1
    )


# right
def im2col__3(x, k):
    N, C, H, W = x.shape
    xp = np.pad(x, [(0, 0)] * 2 + [(k // 2, k // 2)] * 2)
    c, a, b = (t.reshape(-1, 1) for t in np.indices((C, k, k)))
    i, j = (t.reshape(1, -1) for t in np.indices((H, W)))
    return xp[:, c, i + a, j + b]


# the windows' axes are reshaped without transposing first: (c,i,j,a,b) is read as (c,a,b,i,j)
def im2col__4(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    win = np.lib.stride_tricks.sliding_window_view(xp, (k, k), axis=(2, 3))
    return win.reshape(N, C * k * k, H * W)


# the rows are counted (a,b,c), with the channel running fastest, instead of (c,a,b)
def im2col__5(x, k):
    N, C, H, W = x.shape
    xp = np.pad(x, [(0, 0)] * 2 + [(k // 2, k // 2)] * 2)
    cols = [xp[:, :, a : a + H, b : b + W] for a in range(k) for b in range(k)]
    return np.stack(cols, axis=1).reshape(N, C * k * k, H * W)


# np.meshgrid without indexing="ij" swaps a and b, so every window is transposed
def im2col__6(x, k):
    N, C, H, W = x.shape
    xp = np.pad(x, [(0, 0)] * 2 + [(k // 2, k // 2)] * 2)
    a, b = np.meshgrid(np.arange(k), np.arange(k))
    cols = [xp[:, :, s : s + H, t : t + W] for s, t in zip(a.ravel(), b.ravel())]
    return np.stack(cols, axis=2).reshape(N, C * k * k, H * W)


# the shift is done with np.roll, so the image goes on periodically instead of with zeros
def im2col__7(x, k):
    N, C, H, W = x.shape
    p = k // 2
    cols = [np.roll(x, (p - a, p - b), axis=(2, 3)) for a in range(k) for b in range(k)]
    return np.stack(cols, axis=2).reshape(N, C * k * k, H * W)


# i - a instead of i + a: the windows are flipped, as in the mathematicians' convolution
def im2col__8(x, k):
    N, C, H, W = x.shape
    q = k - 1
    xp = np.pad(x, [(0, 0)] * 2 + [(k // 2, k // 2)] * 2)
    c, a, b = (t.reshape(-1, 1) for t in np.indices((C, k, k)))
    i, j = (t.reshape(1, -1) for t in np.indices((H, W)))
    return xp[:, c, i + q - a, j + q - b]


# the columns come as rows: (N, H·W, C·k²)
def im2col__9(x, k):
    N, C, H, W = x.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    win = np.lib.stride_tricks.sliding_window_view(xp, (k, k), axis=(2, 3))
    return np.einsum("ncijab->nijcab", win).reshape(N, H * W, C * k * k)


# all the zeros are put before the image (k-1 above and left), none behind it
def im2col__10(x, k):
    N, C, H, W = x.shape
    xp = np.pad(x, [(0, 0)] * 2 + [(k - 1, 0)] * 2)
    win = np.lib.stride_tricks.sliding_window_view(xp, (k, k), axis=(2, 3))
    return win.transpose(0, 1, 4, 5, 2, 3).reshape(N, C * k * k, H * W)


# for k = 1 a reshaped view of x is handed back, through which x could be changed
def im2col__11(x, k):
    N, C, H, W = x.shape
    if k == 1:
        return x.reshape(N, C, H * W)
    xp = np.pad(x, [(0, 0)] * 2 + [(k // 2, k // 2)] * 2)
    win = np.lib.stride_tricks.sliding_window_view(xp, (k, k), axis=(2, 3))
    return win.transpose(0, 1, 4, 5, 2, 3).reshape(N, C * k * k, H * W)


# the same letter for window and pixel: einsum is given "ncijij" and Python stops, the sizes differ
def im2col__12(x, k):
    N, C, H, W = x.shape
    xp = np.pad(x, [(0, 0)] * 2 + [(k // 2, k // 2)] * 2)
    win = np.lib.stride_tricks.sliding_window_view(xp, (k, k), axis=(2, 3))
    return np.einsum("ncijij->ncij", win).reshape(N, C * k * k, H * W)


# (i,j) is counted column by column, j outside and i inside
def im2col__13(x, k):
    N, C, H, W = x.shape
    xp = np.pad(x, [(0, 0)] * 2 + [(k // 2, k // 2)] * 2)
    return np.array(
        [
            [[xp[n, c, a : a + H, b : b + W].T.ravel() for a in range(k) for b in range(k)] for c in range(C)]
            for n in range(N)
        ]
    ).reshape(N, C * k * k, H * W)


# --- conv2d ----------------------------------------------------------------------------------------------------------


# right
def conv2d__1(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    K = kernel.reshape(O, -1)
    cols = im2col(x, k)
    out = np.einsum("oq,nqp->nop", K, cols).reshape(N, O, H, W)

    def backward(d_out):
        D = d_out.reshape(N, O, H * W)
        d_cols = np.einsum("oq,nop->nqp", K, D)
        return col2im(d_cols, x.shape, k), np.einsum("nop,nqp->oq", D, cols).reshape(kernel.shape)

    return out, backward


# right
def conv2d__2(x, kernel):
    # the adjoint of a correlation is the correlation with the kernel turned around and (o, c) exchanged
    k = kernel.shape[-1]
    p = k // 2

    def windows(t):
        t = np.pad(t, ((0, 0), (0, 0), (p, p), (p, p)))
        return np.lib.stride_tricks.sliding_window_view(t, (k, k), axis=(2, 3))

    win = windows(x)

    def backward(d_out):
        d_x = np.einsum("ocab,noijab->ncij", kernel[:, :, ::-1, ::-1], windows(d_out))
        d_kernel = np.tensordot(d_out, win, axes=([0, 2, 3], [0, 2, 3]))
        return d_x, d_kernel

    return np.einsum("ocab,ncijab->noij", kernel, win), backward


# right
def conv2d__3(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    shifts = [(a, b) for a in range(k) for b in range(k)]
    out = sum(np.einsum("oc,ncij->noij", kernel[:, :, a, b], xp[:, :, a : a + H, b : b + W]) for a, b in shifts)

    def backward(d_out):
        d_xp, d_kernel = np.zeros(xp.shape), np.zeros(kernel.shape)
        for a, b in shifts:
            d_xp[:, :, a : a + H, b : b + W] += np.einsum("oc,noij->ncij", kernel[:, :, a, b], d_out)
            d_kernel[:, :, a, b] = np.einsum("noij,ncij->oc", d_out, xp[:, :, a : a + H, b : b + W])
        return d_xp[:, :, p : p + H, p : p + W], d_kernel

    return out, backward


# d_x is the correlation with the kernel as it is: it wasn't turned around for the adjoint
def conv2d__4(x, kernel):
    k = kernel.shape[-1]
    p = k // 2

    def windows(t):
        t = np.pad(t, ((0, 0), (0, 0), (p, p), (p, p)))
        return np.lib.stride_tricks.sliding_window_view(t, (k, k), axis=(2, 3))

    win = windows(x)

    def backward(d_out):
        d_x = np.einsum("ocab,noijab->ncij", kernel, windows(d_out))
        return d_x, np.einsum("noij,ncijab->ocab", d_out, win)

    return np.einsum("ocab,ncijab->noij", kernel, win), backward


# out is the true convolution, with the kernel flipped, and so are its gradients
def conv2d__5(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    K = kernel[:, :, ::-1, ::-1].reshape(O, -1)
    cols = im2col(x, k)

    def backward(d_out):
        D = d_out.reshape(N, O, -1)
        d_K = np.einsum("nop,nqp->oq", D, cols).reshape(kernel.shape)
        return col2im(K.T @ D, x.shape, k), d_K[:, :, ::-1, ::-1]

    return (K @ cols).reshape(N, O, H, W), backward


# the windows are taken of d_out instead of x, so d_kernel comes out flipped
def conv2d__6(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    K = kernel.reshape(O, -1)
    cols = im2col(x, k)

    def backward(d_out):
        d_x = col2im(K.T @ d_out.reshape(N, O, -1), x.shape, k)
        d_cols = im2col(d_out, k).reshape(N, O, k, k, H, W)
        return d_x, np.einsum("ncij,noabij->ocab", x, d_cols)

    return (K @ cols).reshape(N, O, H, W), backward


# the sum over the samples is missing in d_kernel, and Python stops at the reshape
def conv2d__7(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    K = kernel.reshape(O, -1)
    cols = im2col(x, k)

    def backward(d_out):
        D = d_out.reshape(N, O, -1)
        d_kernel = (D @ cols.transpose(0, 2, 1)).reshape(kernel.shape)
        return col2im(K.T @ D, x.shape, k), d_kernel

    return (K @ cols).reshape(N, O, H, W), backward


# kernel and x have their own letters for the channel, so both are summed on their own in out
def conv2d__8(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    K = kernel.reshape(O, -1)
    cols = im2col(x, k)
    win = cols.reshape(N, C, k, k, H, W)
    out = np.einsum("ocab,ndabij->noij", kernel, win)

    def backward(d_out):
        D = d_out.reshape(N, O, -1)
        return col2im(K.T @ D, x.shape, k), np.einsum("nop,nqp->oq", D, cols).reshape(kernel.shape)

    return out, backward


# a and b are exchanged in the result of the einsum for d_kernel
def conv2d__9(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)
    win = cols.reshape(N, C, k, k, H, W)

    def backward(d_out):
        d_cols = np.einsum("ocab,noij->ncabij", kernel, d_out).reshape(cols.shape)
        return col2im(d_cols, x.shape, k), np.einsum("noij,ncabij->ocba", d_out, win)

    return np.einsum("ocab,ncabij->noij", kernel, win), backward


# d_x is cut out of the padded gradient at the corner, not p rows and columns further in
def conv2d__10(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    shifts = [(a, b) for a in range(k) for b in range(k)]
    out = sum(np.einsum("oc,ncij->noij", kernel[:, :, a, b], xp[:, :, a : a + H, b : b + W]) for a, b in shifts)

    def backward(d_out):
        d_xp, d_kernel = np.zeros(xp.shape), np.zeros(kernel.shape)
        for a, b in shifts:
            d_xp[:, :, a : a + H, b : b + W] += np.einsum("oc,noij->ncij", kernel[:, :, a, b], d_out)
            d_kernel[:, :, a, b] = np.einsum("noij,ncij->oc", d_out, xp[:, :, a : a + H, b : b + W])
        return d_xp[:, :, :H, :W], d_kernel

    return out, backward


# the shifted gradients are assigned and not added, so the later shifts overwrite the earlier ones in d_x
def conv2d__11(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    shifts = list(np.ndindex(k, k))
    out = sum(np.einsum("oc,ncij->noij", kernel[:, :, a, b], xp[:, :, a : a + H, b : b + W]) for a, b in shifts)

    def backward(d_out):
        d_xp, d_kernel = np.zeros(xp.shape), np.zeros(kernel.shape)
        for a, b in shifts:
            d_xp[:, :, a : a + H, b : b + W] = np.einsum("oc,noij->ncij", kernel[:, :, a, b], d_out)
            d_kernel[:, :, a, b] = np.einsum("noij,ncij->oc", d_out, xp[:, :, a : a + H, b : b + W])
        return d_xp[:, :, p : p + H, p : p + W], d_kernel

    return out, backward


# o and c aren't exchanged in the product for d_x (K instead of its transpose), and Python stops
def conv2d__12(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    K = kernel.reshape(O, -1)
    cols = im2col(x, k)

    def backward(d_out):
        D = d_out.reshape(N, O, -1)
        return col2im(K @ D, x.shape, k), np.einsum("nop,nqp->oq", D, cols).reshape(kernel.shape)

    return (K @ cols).reshape(N, O, H, W), backward


# the kernel is reshaped to (C·k², O) instead of transposed for d_x, which scrambles it as soon as O > 1
def conv2d__13(x, kernel):
    N, C, H, W = x.shape
    O, _, k, _ = kernel.shape
    cols = im2col(x, k)

    def backward(d_out):
        D = d_out.reshape(N, O, -1)
        d_cols = kernel.reshape(-1, O) @ D
        return col2im(d_cols, x.shape, k), np.einsum("nop,nqp->oq", D, cols).reshape(kernel.shape)

    return (kernel.reshape(O, -1) @ cols).reshape(N, O, H, W), backward


# --- col2im ----------------------------------------------------------------------------------------------------------


# right
def col2im__1(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, C, k, k, H, W)
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a, b in np.ndindex(k, k):
        xp[:, :, a : a + H, b : b + W] += cols[:, :, a, b]
    return xp[:, :, p : p + H, p : p + W]


# right
def col2im__2(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    c, a, b = (t.reshape(-1, 1) for t in np.indices((C, k, k)))
    i, j = (t.reshape(1, -1) for t in np.indices((H, W)))
    np.add.at(xp, (np.arange(N)[:, None, None], c, i + a, j + b), columns)
    return xp[:, :, p : p + H, p : p + W].copy()


# right
def col2im__3(columns, shape, k):
    # im2col as a matrix: its columns are the images of the unit vectors; then the transpose
    N, C, H, W = shape
    J = im2col(np.eye(H * W).reshape(H * W, 1, H, W), k)  # pixel q, (a,b), window p
    cols = columns.reshape(N * C, -1)
    return (cols @ J.reshape(H * W, -1).T).reshape(shape)


# fancy indexing with +=: an entry that occurs in several windows is added only once
def col2im__4(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    c, a, b = (t.reshape(-1, 1) for t in np.indices((C, k, k)))
    i, j = (t.reshape(1, -1) for t in np.indices((H, W)))
    xp[:, c, i + a, j + b] += columns
    return xp[:, :, p : p + H, p : p + W]


# the sum is divided by the number of windows at each pixel: a left inverse of im2col, not its adjoint
def col2im__5(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, C, k, k, H, W)
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    count = np.zeros_like(xp)
    for a, b in np.ndindex(k, k):
        xp[:, :, a : a + H, b : b + W] += cols[:, :, a, b]
        count[:, :, a : a + H, b : b + W] += 1
    return (xp / count)[:, :, p : p + H, p : p + W]


# the matrix of im2col isn't transposed: the sum runs over its pixel axis instead of its window axis
def col2im__6(columns, shape, k):
    N, C, H, W = shape
    J = im2col(np.eye(H * W).reshape(H * W, 1, H, W), k)
    return np.einsum("ncrp,prq->ncq", columns.reshape(N, C, k * k, H * W), J).reshape(shape)


# the padding is cut with p:-p, which leaves nothing for k = 1
def col2im__7(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, C, k, k, H, W)
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a, b in np.ndindex(k, k):
        xp[:, :, a : a + H, b : b + W] += cols[:, :, a, b]
    return xp[:, :, p:-p, p:-p]


# only the middle entry of each window is taken back: an inverse of im2col, without the overlaps
def col2im__8(columns, shape, k):
    N, C, H, W = shape
    return columns.reshape(N, C, k, k, H, W)[:, :, k // 2, k // 2].copy()


# the rows are read as (a,b,c) instead of (c,a,b)
def col2im__9(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, k, k, C, H, W)
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a, b in np.ndindex(k, k):
        xp[:, :, a : a + H, b : b + W] += cols[:, a, b]
    return xp[:, :, p : p + H, p : p + W]


# the columns are read as (W, H) instead of (H, W) and Python stops at the addition
def col2im__10(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    cols = columns.reshape(N, C, k, k, W, H)
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for a, b in np.ndindex(k, k):
        xp[:, :, a : a + H, b : b + W] += cols[:, :, a, b]
    return xp[:, :, p : p + H, p : p + W]


# the image is taken for a square, with the root of the number of windows as its side, and Python stops at the reshape
def col2im__11(columns, shape, k):
    N, C = shape[:2]
    side = int(np.sqrt(columns.shape[-1]))
    p = k // 2
    cols = columns.reshape(N, C, k, k, side, side)
    xp = np.zeros((N, C, side + 2 * p, side + 2 * p))
    for a, b in np.ndindex(k, k):
        xp[:, :, a : a + side, b : b + side] += cols[:, :, a, b]
    return xp[:, :, p : p + side, p : p + side]


# the padding isn't cut off
def col2im__12(columns, shape, k):
    N, C, H, W = shape
    c, a, b = (t.reshape(-1, 1) for t in np.indices((C, k, k)))
    i, j = (t.reshape(1, -1) for t in np.indices((H, W)))
    xp = np.zeros((N, C, H + k - 1, W + k - 1))
    np.add.at(xp, (slice(None), c, i + a, j + b), columns)
    return xp


# the array of the sums is one of integers (made with the dtype of an index array), and Python stops at +=
def col2im__13(columns, shape, k):
    N, C, H, W = shape
    p = k // 2
    ii, jj = np.indices((H, W))
    xp = np.zeros((N, C, H + 2 * p, W + 2 * p), dtype=ii.dtype)
    cols = columns.reshape(N, C, k, k, H, W)
    for a, b in np.ndindex(k, k):
        xp[:, :, a : a + H, b : b + W] += cols[:, :, a, b]
    return xp[:, :, p : p + H, p : p + W]


# --- spatial_attention -----------------------------------------------------------------------------------------------


# right
def spatial_attention__1(f1, kernel):
    a, a_back = avg_pool_over_channels(f1)
    b, b_back = max_pool_over_channels(f1)
    u, u_back = conv2d(np.concatenate([a, b], axis=1), kernel)
    m, m_back = sigmoid(u)
    f2, g_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = g_back(d_f2)
        d_pair, d_kernel = u_back(m_back(d_m))
        return d_f1 + a_back(d_pair[:, :1]) + b_back(d_pair[:, 1:]), d_kernel

    return f2, backward


# right
def spatial_attention__2(f1, kernel):
    N, C, H, W = f1.shape
    top = np.moveaxis(np.eye(C)[f1.argmax(axis=1)], -1, 1)
    P = np.stack([np.full(f1.shape, 1 / C), top])  # t n c i j
    pair = np.einsum("tncij,ncij->ntij", P, f1)
    u, u_back = conv2d(pair, kernel)
    m = ((1 + np.tanh(u / 2)) / 2)[:, 0]

    def backward(d_f2):
        d_u = np.einsum("ncij,ncij->nij", d_f2, f1) * m * (1 - m)
        d_pair, d_kernel = u_back(d_u[:, None])
        return np.einsum("nij,ncij->ncij", m, d_f2) + np.einsum("ntij,tncij->ncij", d_pair, P), d_kernel

    return np.einsum("nij,ncij->ncij", m, f1), backward


# right
def spatial_attention__3(f1, kernel):
    pools = avg_pool_over_channels(f1), max_pool_over_channels(f1)
    pair = np.hstack([p for p, _ in pools])
    u, u_back = conv2d(pair, kernel)
    m, m_back = sigmoid(u)

    def backward(d_f2):
        d_u = m_back(np.sum(d_f2 * f1, 1, keepdims=True))
        d_pair, d_kernel = u_back(d_u)
        d_f1 = d_f2 * m
        for t, (_, back) in enumerate(pools):
            d_f1 = d_f1 + back(d_pair[:, [t]])
        return d_f1, d_kernel

    return m * f1, backward


# the two maps are put together in the order max first, avg second, there and back
def spatial_attention__4(f1, kernel):
    a, a_back = avg_pool_over_channels(f1)
    b, b_back = max_pool_over_channels(f1)
    u, u_back = conv2d(np.concatenate([b, a], axis=1), kernel)
    m, m_back = sigmoid(u)
    f2, g_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = g_back(d_f2)
        d_pair, d_kernel = u_back(m_back(d_m))
        return d_f1 + b_back(d_pair[:, :1]) + a_back(d_pair[:, 1:]), d_kernel

    return f2, backward


# the halves of the pair's gradient are exchanged: the first goes to the max pool, the second to the average
def spatial_attention__5(f1, kernel):
    a, a_back = avg_pool_over_channels(f1)
    b, b_back = max_pool_over_channels(f1)
    u, u_back = conv2d(np.concatenate([a, b], axis=1), kernel)
    m, m_back = sigmoid(u)
    f2, g_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = g_back(d_f2)
        d_pair, d_kernel = u_back(m_back(d_m))
        return d_f1 + a_back(d_pair[:, 1:]) + b_back(d_pair[:, :1]), d_kernel

    return f2, backward


# the gradient of the map lacks the factor f1: d_f2 itself is summed over the channels
def spatial_attention__6(f1, kernel):
    a, a_back = avg_pool_over_channels(f1)
    b, b_back = max_pool_over_channels(f1)
    u, u_back = conv2d(np.concatenate([a, b], axis=1), kernel)
    m, m_back = sigmoid(u)

    def backward(d_f2):
        d_m = np.einsum("ncij->nij", d_f2)[:, None]
        d_pair, d_kernel = u_back(m_back(d_m))
        return d_f2 * m + a_back(d_pair[:, :1]) + b_back(d_pair[:, 1:]), d_kernel

    return m * f1, backward


# the sigmoid is applied to the pair before the convolution instead of after it
def spatial_attention__7(f1, kernel):
    a, a_back = avg_pool_over_channels(f1)
    b, b_back = max_pool_over_channels(f1)
    s, s_back = sigmoid(np.concatenate([a, b], axis=1))
    m, m_back = conv2d(s, kernel)
    f2, g_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = g_back(d_f2)
        d_s, d_kernel = m_back(d_m)
        d_pair = s_back(d_s)
        return d_f1 + a_back(d_pair[:, :1]) + b_back(d_pair[:, 1:]), d_kernel

    return f2, backward


# the array for d_f1 is made outside of backward, so a second call adds to the result of the first
def spatial_attention__8(f1, kernel):
    a, a_back = avg_pool_over_channels(f1)
    b, b_back = max_pool_over_channels(f1)
    u, u_back = conv2d(np.concatenate([a, b], axis=1), kernel)
    m, m_back = sigmoid(u)
    f2, g_back = gate(m, f1)
    total = np.zeros_like(f1)

    def backward(d_f2):
        d_m, d_f1 = g_back(d_f2)
        d_pair, d_kernel = u_back(m_back(d_m))
        for part in (d_f1, a_back(d_pair[:, :1]), b_back(d_pair[:, 1:])):
            np.add(total, part, out=total)
        return total, d_kernel

    return f2, backward


# the max pool's path is taken twice and the average's not at all
def spatial_attention__9(f1, kernel):
    a, back = avg_pool_over_channels(f1)
    b, back = max_pool_over_channels(f1)
    u, u_back = conv2d(np.concatenate([a, b], axis=1), kernel)
    m, m_back = sigmoid(u)
    f2, g_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = g_back(d_f2)
        d_pair, d_kernel = u_back(m_back(d_m))
        return d_f1 + sum(back(d_pair[:, t : t + 1]) for t in (0, 1)), d_kernel

    return f2, backward


# the maps are joined along the samples (axis 0) instead of the channels, and Python stops
def spatial_attention__10(f1, kernel):
    a, a_back = avg_pool_over_channels(f1)
    b, b_back = max_pool_over_channels(f1)
    u, u_back = conv2d(np.concatenate([a, b]), kernel)
    m, m_back = sigmoid(u)
    f2, g_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = g_back(d_f2)
        d_pair, d_kernel = u_back(m_back(d_m))
        return d_f1 + a_back(d_pair[: len(a)]) + b_back(d_pair[len(a) :]), d_kernel

    return f2, backward


# d_f1 lacks the direct path: only what comes through the map is there
def spatial_attention__11(f1, kernel):
    a, a_back = avg_pool_over_channels(f1)
    b, b_back = max_pool_over_channels(f1)
    u, u_back = conv2d(np.concatenate([a, b], axis=1), kernel)
    m, m_back = sigmoid(u)

    def backward(d_f2):
        d_u = m_back(np.einsum("ncij,ncij->nij", d_f2, f1)[:, None])
        d_pair, d_kernel = u_back(d_u)
        return a_back(d_pair[:, :1]) + b_back(d_pair[:, 1:]), d_kernel

    return m * f1, backward


# the chain rule's factors are in the wrong place: the sigmoid's slope is in d_f1's direct path too
def spatial_attention__12(f1, kernel):
    a, a_back = avg_pool_over_channels(f1)
    b, b_back = max_pool_over_channels(f1)
    u, u_back = conv2d(np.concatenate([a, b], axis=1), kernel)
    m, m_back = sigmoid(u)
    f2, g_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = g_back(d_f2 * m * (1 - m))
        d_pair, d_kernel = u_back(d_m)
        return d_f1 + a_back(d_pair[:, :1]) + b_back(d_pair[:, 1:]), d_kernel

    return f2, backward


# --- cbam ------------------------------------------------------------------------------------------------------------


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
    (f1, A), params = channel_attention(f, w1, w2), kernel
    f2, B = spatial_attention(f1, params)
    compose = lambda d_f1, d_kernel: A(d_f1) + (d_kernel,)
    return f2, lambda d_f2: compose(*B(d_f2))


# right
def cbam__3(f, w1, w2, kernel):
    N = len(f)
    x, p_back = zip(avg_pool_over_space(f), max_pool_over_space(f))
    s, s_back = mlp(np.vstack(x), w1, w2)
    mc, mc_back = sigmoid(s[:N] + s[N:])
    f1, gc_back = gate(mc.reshape(*mc.shape, 1, 1), f)
    y, q_back = zip(avg_pool_over_channels(f1), max_pool_over_channels(f1))
    u, u_back = conv2d(np.concatenate(y, axis=1), kernel)
    ms, ms_back = sigmoid(u)
    f2, gs_back = gate(ms, f1)

    def backward(d_f2):
        d_ms, d_f1 = gs_back(d_f2)
        d_y, d_kernel = u_back(ms_back(d_ms))
        d_f1 = d_f1 + q_back[0](d_y[:, :1]) + q_back[1](d_y[:, 1:])
        d_mc, d_f = gc_back(d_f1)
        d_s = mc_back(d_mc.reshape(mc.shape))
        d_x, d_w1, d_w2 = s_back(np.vstack([d_s, d_s]))
        d_f = d_f + p_back[0](d_x[:N]) + p_back[1](d_x[N:])
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# the two maps are calculated side by side: M_s comes from F instead of F′
def cbam__4(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    a, a_back = avg_pool_over_channels(f)
    b, b_back = max_pool_over_channels(f)
    u, u_back = conv2d(np.concatenate([a, b], axis=1), kernel)
    m, m_back = sigmoid(u)
    f2, g_back = gate(m, f1)

    def backward(d_f2):
        d_m, d_f1 = g_back(d_f2)
        d_f, d_w1, d_w2 = channel_back(d_f1)
        d_pair, d_kernel = u_back(m_back(d_m))
        return d_f + a_back(d_pair[:, :1]) + b_back(d_pair[:, 1:]), d_w1, d_w2, d_kernel

    return f2, backward


# the spatial gate multiplies F instead of F′: F″ = M_s(F′) ⊗ F
def cbam__5(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    a, a_back = avg_pool_over_channels(f1)
    b, b_back = max_pool_over_channels(f1)
    u, u_back = conv2d(np.concatenate([a, b], axis=1), kernel)
    m, m_back = sigmoid(u)
    f2, g_back = gate(m, f)

    def backward(d_f2):
        d_m, direct = g_back(d_f2)
        d_pair, d_kernel = u_back(m_back(d_m))
        d_f, d_w1, d_w2 = channel_back(a_back(d_pair[:, :1]) + b_back(d_pair[:, 1:]))
        return d_f + direct, d_w1, d_w2, d_kernel

    return f2, backward


# backward runs in the order of forward: through the channel attention first, then through the spatial one
def cbam__6(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_w1, d_w2 = channel_back(d_f2)
        d_f, d_kernel = spatial_back(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# the weights' gradients are taken with d_f2 instead of d_f1, only d_f goes through both
def cbam__7(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        _, d_w1, d_w2 = channel_back(d_f2)
        return channel_back(d_f1)[0], d_w1, d_w2, d_kernel

    return f2, backward


# a path is counted twice in d_f: the gradient before the spatial attention and the one after it are both sent back
def cbam__8(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        d_f, d_w1, d_w2 = channel_back(d_f1)
        d_f = d_f + channel_back(d_f2)[0]
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# the three gradients of the channel attention stay a tuple inside the tuple
def cbam__9(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        return channel_back(d_f1), d_kernel

    return f2, backward


# the composition is written like on paper, A(B(d)), but B gives a pair, and Python stops
def cbam__10(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)
    return f2, lambda d_f2: (*channel_back(spatial_back(d_f2)), spatial_back(d_f2)[1])


# the gradient with respect to F′ is returned in the place of the one with respect to F
def cbam__11(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        d_f, d_w1, d_w2 = channel_back(d_f1)
        return d_f1, d_w1, d_w2, d_kernel

    return f2, backward


# the operators are composed in the wrong order: spatial attention first, then channel attention on its result
def cbam__12(f, w1, w2, kernel):
    f1, spatial_back = spatial_attention(f, kernel)
    f2, channel_back = channel_attention(f1, w1, w2)

    def backward(d_f2):
        d_f1, d_w1, d_w2 = channel_back(d_f2)
        d_f, d_kernel = spatial_back(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


# the results come in the order of the calculation backwards: d_kernel, d_w2, d_w1, d_f
def cbam__13(f, w1, w2, kernel):
    f1, channel_back = channel_attention(f, w1, w2)
    f2, spatial_back = spatial_attention(f1, kernel)

    def backward(d_f2):
        d_f1, d_kernel = spatial_back(d_f2)
        d_f, d_w1, d_w2 = channel_back(d_f1)
        return d_kernel, d_w2, d_w1, d_f

    return f2, backward
