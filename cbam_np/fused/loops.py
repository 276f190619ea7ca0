"""The block as loops, each with the number of its formula; and why so few passes over F are enough.

The loops see one sample: F[c,p], where p counts the P = H·W pixels row by row. On the blackboard:

    forward                                                              reads     writes
    (3) (4)      F^c_avg[c], F^c_max[c]  from row c of F                 F
    (5) (6)      M_c                     from these 2C numbers
    (7) (8) (9)  F^s_avg[p], F^s_max[p]  from F′[c,p] = M_c[c] F[c,p]    F
    (10)         M_s                     from these 2P numbers
    (7) (11)     F″[c,p] = M_s[p] F′[c,p]                                F         F″

F′ is never stored: one product makes it again. Backward, write a = dF^s_avg / C and b = dF^s_max, and c*(p) for the
channel that wins pixel p. Then

    dF′[c,p] = M_s[p] dF″[c,p] + a[p] + b[p] · [c = c*(p)]                         (11) (8) (9)

But a and b come back through (10), which needs all of dM_s first:

    dM_s[p] = Σ_c dF″[c,p] F′[c,p]                                                 (11)
    dM_c[c] = Σ_p dF′[c,p] F[c,p]                                                  (7)

So dF′ has to wait for a pass, and dM_c with it? Not all of it. Put dF′ in, and the sum falls into three:

    dM_c[c] = Σ_p M_s[p] dF″[c,p] F[c,p]  +  Σ_p a[p] F[c,p]  +  Σ_{p: c*(p)=c} b[p] F[c,p]

The first needs neither a nor b: it shares its pass with dM_s. The third has P terms in all, not C·P. Once dM_c is
known, (6) and (5) give dF^c_avg and dF^c_max, and with p*(c) for the pixel that wins channel c

    dF[c,p] = M_c[c] dF′[c,p] + dF^c_avg[c] / P + dF^c_max[c] · [p = p*(c)]        (7) (3) (4)

    backward                                                             reads     writes
    (11) (7)     dM_s, first part of dM_c; c*                            F, dF″
    (10)         a, b
    (7) (8)      second part of dM_c; p*                                 F
    (7) (9)      third part of dM_c
    (6) (5)      dF^c_avg, dF^c_max
    all others   dF                                                      dF″       dF

All passes over one sample follow each other, so most of them find it in the cache. (Only for short rows the weights
of (5) are larger than a sample; then a few samples share one reading of the weights.)

With ties="split", every entry that ties for a maximum counts as a winner, for an equal share of b or dF^c_max.
Where a maximum is NaN, so are all gradients around it, and any winner will do.
"""

from typing import NamedTuple

import numpy as np

from cbam_np.arrays import Array
from cbam_np.fused.compiling import compiled, maximum, zero


class Weights(NamedTuple):
    """The parameters; a bias that isn't given is zero.

    w1: (C/r, C), w2: (C, C/r), b1: (C/r,), b2: (C,), kernel: (2, k, k), bias: (1,).
    """

    w1: Array
    w2: Array
    b1: Array
    b2: Array
    kernel: Array
    bias: Array


class Kept(NamedTuple):
    """What forward leaves for backward, besides F: the two maps, σ′ at each of their entries, and what made them.

    pooled_c: (N, 2, C), first the average, then the maximum; hidden: (N, 2, C/r), of both; m_c, slope_c: (N, C);
    pooled_s: (N, 2, P), first the average, then the maximum; m_s, slope_s: (N, P).
    """

    pooled_c: Array
    hidden: Array
    m_c: Array
    slope_c: Array
    pooled_s: Array
    m_s: Array
    slope_s: Array


class Gradients(NamedTuple):
    """What backward fills in besides dF: for every sample the gradients of z, h, K and the bias.

    d_z_c: (N, C), d_hidden: (N, 2, C/r), d_kernel: (N, 2, k, k), d_bias: (N,).
    """

    d_z_c: Array
    d_hidden: Array
    d_kernel: Array
    d_bias: Array


# Forward


@compiled
def forward(f: Array, W: int, weights: Weights, kept: Kept, f2: Array) -> None:
    """F″ for samples F (N, C, P) with rows of W pixels; fills `kept` and f2."""
    N, _, P = f.shape
    H, k = P // W, weights.kernel.shape[1]
    row = W + k - 1
    padded = np.zeros((2, (H + k - 1) * row), f.dtype)
    z = np.empty((H - 1) * row + W, f.dtype)
    together = samples_together(P, weights)
    for start in range(0, N, together):
        some = slice(start, min(start + together, N))
        for n in range(some.start, some.stop):
            pool_over_space(f[n], kept.pooled_c[n])
        channel_gates(kept.pooled_c[some], weights, kept.hidden[some], kept.m_c[some], kept.slope_c[some])
        for n in range(some.start, some.stop):
            pool_over_channels(f[n], kept.m_c[n], kept.pooled_s[n])
            for i in range(2):
                pad(kept.pooled_s[n, i], H, W, k, padded[i])
            convolve(padded, weights.kernel, weights.bias[0], row, z)
            copy_rows(z, row, kept.m_s[n], W, H, W)
            sigmoid(kept.m_s[n], kept.slope_s[n])
            gate(f[n], kept.m_c[n], kept.m_s[n], f2[n])


@compiled
def samples_together(P: int, weights: Weights) -> int:
    """How many samples share one reading of W1 and W2: together they have at least as many entries as the weights."""
    units = len(weights.w1)
    return 1 + 2 * units // P  # 2 units · C entries against C · P


@compiled
def pool_over_space(f: Array, pooled: Array) -> None:
    """(3), (4): F^c_avg and F^c_max of each channel."""
    C, P = f.shape
    for c in range(C):
        total, largest = zero(f), f[c, 0]
        for p in range(P):
            total += f[c, p]
            largest = maximum(largest, f[c, p])
        pooled[0, c] = total / P
        pooled[1, c] = largest


@compiled
def channel_gates(pooled: Array, weights: Weights, hidden: Array, m_c: Array, slope_c: Array) -> None:
    """(5): h = ReLU(W1 x + b1) for both x; (6): z = W2 h_avg + W2 h_max + 2 b2, M_c = σ(z); for some samples."""
    N, _, C = pooled.shape
    w1, w2, b1, b2 = weights.w1, weights.w2, weights.b1, weights.b2
    for j in range(len(w1)):
        for n in range(N):
            for i in range(2):
                z = zero(w1)
                for c in range(C):
                    z += w1[j, c] * pooled[n, i, c]
                z += b1[j]
                hidden[n, i, j] = 0 if z <= 0 else z
    for c in range(C):
        for n in range(N):
            z_avg = z_max = zero(w2)
            for j in range(len(w1)):
                z_avg += w2[c, j] * hidden[n, 0, j]
                z_max += w2[c, j] * hidden[n, 1, j]
            m_c[n, c] = z_avg + z_max + 2 * b2[c]
    for n in range(N):
        sigmoid(m_c[n], slope_c[n])


@compiled
def sigmoid(z: Array, slope: Array) -> None:
    """(6), (10): z becomes σ(z), slope σ′(z). Only e^{-|z|} is computed, as in `cbam_np.ops.sigmoid`."""
    one = z.dtype.type(1)
    for i in range(z.size):
        slope[i] = np.exp(-abs(z[i]))
    for i in range(z.size):
        e = slope[i]
        z[i] = (one if z[i] >= 0 else e) / (one + e)
        slope[i] = e / ((one + e) * (one + e))


@compiled
def pool_over_channels(f: Array, m_c: Array, pooled: Array) -> None:
    """(7), (8), (9): F^s_avg and F^s_max of each pixel, from F′ = M_c ⊗ F."""
    C, P = f.shape
    for p in range(P):
        pooled[0, p] = pooled[1, p] = m_c[0] * f[0, p]
    for c in range(1, C):
        for p in range(P):
            f1 = m_c[c] * f[c, p]
            pooled[0, p] += f1
            pooled[1, p] = maximum(pooled[1, p], f1)
    for p in range(P):
        pooled[0, p] /= C


@compiled
def pad(x: Array, H: int, W: int, k: int, padded: Array) -> None:
    """A map with room around it for the window, k // 2 pixels on every side: rows of W + k - 1 entries."""
    row = W + k - 1
    copy_rows(x, W, padded[k // 2 * (row + 1) :], row, H, W)


@compiled
def copy_rows(x: Array, x_row: int, out: Array, out_row: int, H: int, W: int) -> None:
    """H rows of W entries, which begin every x_row entries in x and every out_row in out."""
    for i in range(H):
        for j in range(W):
            out[i * out_row + j] = x[i * x_row + j]


@compiled
def convolve(padded: Array, kernel: Array, bias: float, row: int, z: Array) -> None:
    """(10): z[q] = bias + Σ_{i,u,v} K[i,u,v] x_i[q + u·row + v]: each place (u,v) of the window shifts the whole map.

    z has rows of `row` entries as well; those at the ends of its rows are of no use.
    """
    z[:] = bias
    k = kernel.shape[1]
    for u in range(k):
        for v in range(k):
            avg_s, max_s = padded[0, u * row + v :], padded[1, u * row + v :]
            k_avg, k_max = kernel[0, u, v], kernel[1, u, v]
            for q in range(z.size):
                z[q] += k_avg * avg_s[q] + k_max * max_s[q]


@compiled
def gate(f: Array, m_c: Array, m_s: Array, f2: Array) -> None:
    """(7), (11): F″[c,p] = M_s[p] · M_c[c] F[c,p]."""
    C, P = f.shape
    for c in range(C):
        for p in range(P):
            f2[c, p] = m_s[p] * (m_c[c] * f[c, p])


# Backward


@compiled
def backward(
    f: Array, d_f2: Array, W: int, weights: Weights, kept: Kept, split: bool, gradients: Gradients, d_f: Array
) -> None:
    """dF for samples F (N, C, P) with rows of W pixels; fills `gradients` and d_f."""
    N, C, P = f.shape
    H, k = P // W, weights.kernel.shape[1]
    row = W + k - 1
    padded = np.zeros((2, (H + k - 1) * row), f.dtype)
    d_z_s = np.zeros((H + k - 1) * row, f.dtype)
    d_x = np.empty((2, (H - 1) * row + W), f.dtype)
    d_m_s = np.empty(P, f.dtype)
    d_m_c = np.empty((N, C), f.dtype)
    d_pooled_c = np.empty((N, 2, C), f.dtype)
    d_pooled_s = np.empty((N, 2, P), f.dtype)
    winner_c = np.empty((N, C), np.int32)
    winner_s = np.empty((N, P), np.int32)
    together = samples_together(P, weights)
    for start in range(0, N, together):
        some = slice(start, min(start + together, N))
        for n in range(some.start, some.stop):
            m_c, m_s, max_s, a, b = kept.m_c[n], kept.m_s[n], kept.pooled_s[n, 1], d_pooled_s[n, 0], d_pooled_s[n, 1]
            gates_backward(f[n], d_f2[n], m_c, m_s, max_s, d_m_c[n], d_m_s, winner_s[n])
            gradients.d_bias[n] = sigmoid_backward(d_m_s, kept.slope_s[n])
            pad(d_m_s, H, W, k, d_z_s)
            for i in range(2):
                pad(kept.pooled_s[n, i], H, W, k, padded[i])
            convolve_backward(padded, weights.kernel, row, d_z_s, d_x, gradients.d_kernel[n])
            for i in range(2):
                copy_rows(d_x[i], row, d_pooled_s[n, i], W, H, W)
            average_backward(f[n], a, kept.pooled_c[n, 1], d_m_c[n], winner_c[n])
            if split:
                share_among_ties(f[n], m_c, max_s, b)
                ties_to_gates(f[n], m_c, max_s, b, d_m_c[n])
            else:
                winners_to_gates(f[n], b, winner_s[n], d_m_c[n])
        d_z_c, d_hidden = gradients.d_z_c[some], gradients.d_hidden[some]
        channel_gates_backward(
            d_m_c[some], kept.slope_c[some], weights, kept.hidden[some], d_z_c, d_hidden, d_pooled_c[some]
        )
        for n in range(some.start, some.stop):
            m_c, m_s, max_s, a, b = kept.m_c[n], kept.m_s[n], kept.pooled_s[n, 1], d_pooled_s[n, 0], d_pooled_s[n, 1]
            features_backward(d_f2[n], m_c, m_s, a, d_pooled_c[n, 0], d_f[n])
            if split:
                ties_to_features(f[n], m_c, max_s, b, kept.pooled_c[n, 1], d_pooled_c[n, 1], d_f[n])
            else:
                winners_to_features(m_c, b, winner_s[n], d_pooled_c[n, 1], winner_c[n], d_f[n])


@compiled
def gates_backward(
    f: Array, d_f2: Array, m_c: Array, m_s: Array, max_s: Array, d_m_c: Array, d_m_s: Array, winner: Array
) -> None:
    """(11): dM_s[p] = Σ_c dF″ F′; (7): first part of dM_c[c] = Σ_p M_s dF″ F; (9): the winner c* of each pixel."""
    C, P = f.shape
    last = np.int32(C - 1)  # wins if nobody else does
    d_m_s[:] = 0
    winner[:] = last
    for c in range(C):
        total, k = zero(f), np.int32(c)
        for p in range(P):
            f1 = m_c[c] * f[c, p]
            d_m_s[p] += d_f2[c, p] * f1
            total += m_s[p] * d_f2[c, p] * f[c, p]
            winner[p] = min(winner[p], last if f1 < max_s[p] else k)
        d_m_c[c] = total


@compiled
def sigmoid_backward(d_m: Array, slope: Array) -> float:
    """(10): dM becomes dz = dM σ′(z). Returns the gradient of the bias, Σ dz."""
    total = zero(d_m)
    for i in range(d_m.size):
        d_m[i] *= slope[i]
        total += d_m[i]
    return total


@compiled
def convolve_backward(padded: Array, kernel: Array, row: int, d_z: Array, d_x: Array, d_kernel: Array) -> None:
    """(10): dK[i,u,v] = Σ_q dz[q] x_i[q + u·row + v], and dx_i is dz convolved with K_i flipped in both directions.

    d_z: laid out like one map of `padded`, zeros around and between its rows; d_x: (2, ...), each like z in `convolve`.
    """
    d_x[:] = 0
    k = kernel.shape[1]
    inside = d_z[k // 2 * (row + 1) :]
    for u in range(k):
        for v in range(k):
            avg_s, max_s = padded[0, u * row + v :], padded[1, u * row + v :]
            d_k_avg = d_k_max = zero(d_z)
            for q in range(d_x.shape[1]):
                d_k_avg += inside[q] * avg_s[q]
                d_k_max += inside[q] * max_s[q]
            d_kernel[0, u, v], d_kernel[1, u, v] = d_k_avg, d_k_max
            d_avg_s, d_max_s, around = d_x[0], d_x[1], d_z[u * row + v :]
            k_avg, k_max = kernel[0, k - 1 - u, k - 1 - v], kernel[1, k - 1 - u, k - 1 - v]
            for q in range(d_x.shape[1]):
                d_avg_s[q] += k_avg * around[q]
                d_max_s[q] += k_max * around[q]


@compiled
def average_backward(f: Array, a: Array, max_c: Array, d_m_c: Array, winner: Array) -> None:
    """(8): a, so far dF^s_avg, is divided by C; (7): second part of dM_c[c], Σ_p a F; (4): each channel's winner p*."""
    C, P = f.shape
    last = np.int32(P - 1)
    for p in range(P):
        a[p] /= C
    for c in range(C):
        total, first = zero(f), last
        for p in range(P):
            total += a[p] * f[c, p]
            first = min(first, last if f[c, p] < max_c[c] else np.int32(p))
        d_m_c[c] += total
        winner[c] = first


@compiled
def channel_gates_backward(
    d_m_c: Array, slope_c: Array, weights: Weights, hidden: Array, d_z: Array, d_hidden: Array, d_pooled: Array
) -> None:
    """(6): dz = dM_c σ′(z); (5): dh = W2ᵀ dz where h is not 0, dx = W1ᵀ dh for both vectors x; for some samples."""
    N, C = d_m_c.shape
    w1, w2 = weights.w1, weights.w2
    d_hidden[:] = 0
    d_pooled[:] = 0
    for c in range(C):
        for n in range(N):
            d_z[n, c] = d_m_c[n, c] * slope_c[n, c]
            d, w, d_h = d_z[n, c], w2[c], d_hidden[n, 0]
            for j in range(len(w1)):
                d_h[j] += d * w[j]
    for j in range(len(w1)):
        for n in range(N):
            d_hidden[n, 1, j] = d_hidden[n, 0, j]
            for i in range(2):
                if hidden[n, i, j] == 0:
                    d_hidden[n, i, j] = 0
                d, w, d_x = d_hidden[n, i, j], w1[j], d_pooled[n, i]
                for c in range(C):
                    d_x[c] += d * w[c]


@compiled
def weights_backward(d_z: Array, d_hidden: Array, pooled: Array, hidden: Array, d_w1: Array, d_w2: Array) -> None:
    """(5), (6), all samples: dW1 = Σ dh xᵀ and dW2 = Σ dz hᵀ, over both vectors x of each sample."""
    N, C = d_z.shape
    for j in range(len(d_w1)):
        d_w1[j] = 0
        for n in range(N):
            d_avg, d_max, avg_c, max_c, row = d_hidden[n, 0, j], d_hidden[n, 1, j], pooled[n, 0], pooled[n, 1], d_w1[j]
            for c in range(C):
                row[c] += d_avg * avg_c[c] + d_max * max_c[c]
    for c in range(C):
        d_w2[c] = 0
        for n in range(N):
            for i in range(2):
                d, h, row = d_z[n, c], hidden[n, i], d_w2[c]
                for j in range(len(row)):
                    row[j] += d * h[j]


@compiled
def features_backward(d_f2: Array, m_c: Array, m_s: Array, a: Array, d_avg_c: Array, d_f: Array) -> None:
    """(7), (11), (8): dF without what winners get, M_c[c] (M_s[p] dF″[c,p] + a[p]); (3): dF^c_avg[c] / P."""
    C, P = d_f2.shape
    for c in range(C):
        share = d_avg_c[c] / d_avg_c.dtype.type(P)
        for p in range(P):
            d_f[c, p] = m_c[c] * (m_s[p] * d_f2[c, p] + a[p]) + share


# What winners get: one for each maximum, or with ties="split" all entries that tie


@compiled
def winners_to_gates(f: Array, b: Array, winner_s: Array, d_m_c: Array) -> None:
    """(7), (9): third part of dM_c: b[p] F[c*,p] for each pixel."""
    for p in range(b.size):
        d_m_c[winner_s[p]] += b[p] * f[winner_s[p], p]


@compiled
def winners_to_features(m_c: Array, b: Array, winner_s: Array, d_max_c: Array, winner_c: Array, d_f: Array) -> None:
    """(7), (9): M_c[c*] b[p] to the winner of each pixel; (4): dF^c_max[c] to the winner of each channel."""
    for p in range(b.size):
        d_f[winner_s[p], p] += m_c[winner_s[p]] * b[p]
    for c in range(d_max_c.size):
        d_f[c, winner_c[c]] += d_max_c[c]


@compiled
def share_among_ties(f: Array, m_c: Array, max_s: Array, b: Array) -> None:
    """(9): b[p] becomes the share of each of the channels that tie for pixel p."""
    C, P = f.shape
    for p in range(P):
        ties = 0
        for c in range(C):
            ties += not m_c[c] * f[c, p] < max_s[p]
        b[p] /= ties


@compiled
def ties_to_gates(f: Array, m_c: Array, max_s: Array, b: Array, d_m_c: Array) -> None:
    """(7), (9): third part of dM_c: b[p] F[c,p] for each channel that ties for pixel p."""
    C, P = f.shape
    for c in range(C):
        for p in range(P):
            d_m_c[c] += b[p] * (not m_c[c] * f[c, p] < max_s[p]) * f[c, p]


@compiled
def ties_to_features(f: Array, m_c: Array, max_s: Array, b: Array, max_c: Array, d_max_c: Array, d_f: Array) -> None:
    """(7), (9): M_c[c] b[p] to each channel that ties for pixel p; (4): a share of dF^c_max[c] to each tied pixel."""
    C, P = f.shape
    for c in range(C):
        ties = 0
        for p in range(P):
            ties += not f[c, p] < max_c[c]
        for p in range(P):
            d_f[c, p] += m_c[c] * b[p] * (not m_c[c] * f[c, p] < max_s[p])
            d_f[c, p] += d_max_c[c] / ties * (not f[c, p] < max_c[c])
