# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
r"""
# A4. Why the derivation pays · 推导的回报

> **PyTorch's compiler sees every operation of the block. How can loops that you derive on paper be several times faster?**
"""

# %% tags=["hide-input"] mystnb={"image": {"alt": "Bars: how many times each large array is read or written, forward and backward."}}
import time

import matplotlib.pyplot as plt
import numba
import numpy as np

import cbam_np as cb
from cbam_np import fused
from cbam_np.commands.timing import interleaved
from cbam_np.course.passes import passes

N, C, H, W = 8, 256, 56, 56
P = H * W
rng = np.random.default_rng(0)
f, d_f2 = rng.standard_normal((2, N, C, H, W), dtype=np.float32)
block = cb.CBAM(C)
numba.set_num_threads(1)

found = passes()
figure, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
colours = {"F": "#3d8bb5", "F″": "#5fa777", "dF″": "#edae49", "dF": "#d1495b"}
for y, direction in enumerate(("backward", "forward")):
    left = 0.0
    for array, colour in colours.items():
        width = sum(
            p.read + p.written
            for p in found
            if (p.direction, p.array) == (direction, array) and p.read + p.written >= 1
        )
        ax.barh(y, width, left=left, color=colour, label=array if y == 0 or array == "F″" else None, edgecolor="white")
        if width:
            ax.text(left + width / 2, y, f"{array}: {width:.0f}", ha="center", va="center")
        left += width
ax.set_yticks([0, 1], ["backward", "forward"])
ax.set_xlabel("passes over an array of the size of F")
ax.set_title("The compiled loops: four passes forward, five backward")
plt.show()

# %% [markdown]
r"""
The block computes little and reads a lot: for each number of $F$ there are about twenty multiplications, and a processor does them while
it waits for the next number. So the time is the number of **passes** (遍历): how often an array of the size of $F$ is read from memory or written to it.
Chapter [7](07_the_whole_backward.ipynb) has the sixteen lines that these passes come from.

| | |
|---|---|
| **Time** | about 40 minutes |
| **You need** | chapter 7, the whole backward; the extra `fast`, which brings Numba |
| **You build** | one loop that does the work of two, and is faster for it |

## How many passes does the readable form make?

Count them for the gate (7), $F' = M_c \otimes F$, the way chapter 4 writes it. Forward reads $F$ and writes $F'$: two passes. Backward
reads $dF'$ and $F$ for $dM_c$, reads $dF'$ again and writes $M_c \otimes dF'$: four more. Then come the two poolings, forward and
backward, and the sum of the three paths. The second half of the block does all that again.

<details><summary><b>Think first, then open:</b> how many passes does the whole block make at least, whatever you do?</summary>

Forward has to read $F$ and write $F''$. Backward has to read $dF''$ and $F$, and write $dF$. That makes five, but five
isn't enough: $M_c$ needs all of a sample before the first entry of $F'$ is known, and $M_s$ needs all of $F'$.

</details>

## Forward: three readings, one writing

$M_c$ needs the averages (3) and maxima (4): one pass over $F$. $M_s$ needs the average (8) and maximum (9) of $F'$, and
$F' = M_c \otimes F$ takes one product for each entry. To multiply again is cheaper than to store $F'$ and read it back:

$$F''[c,p] = M_s[p]\,M_c[c]\,F[c,p] \qquad (7)\ (11)$$

So $F'$ is never stored. Forward reads $F$ three times and writes $F''$ once.

## Backward: what has to wait, and what doesn't

Write $a = dF^s_{avg}/C$ and $b = dF^s_{max}$, and $c^*(p)$ for the channel that wins pixel $p$. From (11), (8) and (9):

$$dF'[c,p] = M_s[p]\,dF''[c,p] + a[p] + b[p]\,[c = c^*(p)]$$

The two products of the gates ask for

$$dM_s[p] = \sum_c dF''[c,p]\,F'[c,p] \quad (11) \qquad\qquad dM_c[c] = \sum_p dF'[c,p]\,F[c,p] \quad (7)$$

$a$ and $b$ come back through the convolution, which needs all of $dM_s$. So it looks as if $dM_c$, which is made of $dF'$, has to wait for a pass
of its own. Substitute $dF'$:

$$dM_c[c] = \underbrace{\sum_p M_s[p]\,dF''[c,p]\,F[c,p]}_{\text{needs neither } a \text{ nor } b} + \sum_p a[p]\,F[c,p] + \sum_{p:\,c^*(p)=c} b[p]\,F[c,p]$$

The first sum reads exactly what $dM_s$ reads, and they share one pass. The third has one term for each pixel, not one for each entry. No compiler
does this for you. It would have to know that the sum can be split, and that one of its parts doesn't have to wait.

## Counted in the code

The loops of `cbam_np.fused` are plain Python that Numba compiles. Run as Python, on arrays that record every entry that is read or
written, they show how many passes they make:
"""

# %%
print(f"{'':9} {'formula':16} {'loop':20} {'array':5} {'read':>5} {'written':>8}")
for p in found:
    print(f"{p.direction:9} {p.formula:16} {p.loop:20} {p.array:5} {p.read:5.2f} {p.written:8.2f}")
whole = sum(round(p.read) + round(p.written) for p in found)
print(f"whole passes: {whole}")
assert whole == 9

# %% [markdown]
r"""
Nine whole passes. What is left are the winners, one for each pixel.

## Fuse two passes yourself

Here are two loops over one sample, $F$ as $(C, P)$. The first computes $dM_s$, the second the first part of $dM_c$. Each reads $F$ and $dF''$:
four passes together.
"""

# %%
SUMS = {"reassoc", "contract"}  # a sum may be added up in any order, or it couldn't run over many entries at a time


@numba.njit(fastmath=SUMS)
def gradient_of_m_s(f, d_f2, m_c):
    C, P = f.shape
    d_m_s = np.zeros(P, f.dtype)
    for c in range(C):
        for p in range(P):
            d_m_s[p] += d_f2[c, p] * (m_c[c] * f[c, p])  # (11)
    return d_m_s


@numba.njit(fastmath=SUMS)
def first_part_of_d_m_c(f, d_f2, m_s):
    C, P = f.shape
    d_m_c = np.zeros(C, f.dtype)
    for c in range(C):
        total = d_m_c[c]
        for p in range(P):
            total += m_s[p] * d_f2[c, p] * f[c, p]  # (7), without a and b
        d_m_c[c] = total
    return d_m_c


def separate(f, d_f2, m_c, m_s):
    return gradient_of_m_s(f, d_f2, m_c), first_part_of_d_m_c(f, d_f2, m_s)


# %% [markdown]
r"""
Write one loop that returns both. It may look at each entry of $F$ and $dF''$ once.

<details><summary><b>Think first, then open</b></summary>

Both loops have the channel outside and the pixels inside, so put the two lines into one inner loop, as the next cell does.

</details>
"""


# %% tags=["varies"]
@numba.njit(fastmath=SUMS)
def together(f, d_f2, m_c, m_s):
    C, P = f.shape
    d_m_s, d_m_c = np.zeros(P, f.dtype), np.zeros(C, f.dtype)
    for c in range(C):
        total = d_m_c[c]
        for p in range(P):
            d_m_s[p] += d_f2[c, p] * (m_c[c] * f[c, p])
            total += m_s[p] * d_f2[c, p] * f[c, p]
        d_m_c[c] = total
    return d_m_s, d_m_c


samples = [(f[n].reshape(C, P), d_f2[n].reshape(C, P)) for n in range(N)]
m_c, m_s = rng.random(C, dtype=np.float32), rng.random(P, dtype=np.float32)
for one, other in zip(separate(*samples[0], m_c, m_s), together(*samples[0], m_c, m_s), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def for_all(op):
    return lambda: [op(*sample, m_c, m_s) for sample in samples]


seconds = interleaved([for_all(separate), for_all(together)], rounds=15)
ratios = seconds[0] / seconds[1]
print(f"two passes {1e3 * np.median(seconds[0]):.1f} ms, one pass {1e3 * np.median(seconds[1]):.1f} ms")
print(f"one pass is {np.median(ratios):.2f} times as fast")

# %% [markdown]
r"""
Same numbers, half the reading. How much faster that is depends on the machine, and on what else it is doing. On a quiet one the gain stays below 2: one sample fits into the cache (缓存) of many processors, and the second loop
finds it there. That is the other trick of the compiled block: all passes over one sample follow each other, so most of them don't go to memory at all.

## All of it

The whole block, forward and backward, in turns: the readable form, the compiled loops, and a copy of $F$, which is two passes.
"""

# %% tags=["varies"]
out = np.empty_like(f)


def both(op):
    return lambda: op(f, block.params)[1](d_f2)


start = time.perf_counter()
d_f, _ = both(fused.cbam)()
print(f"the first call, which compiles or fetches what was compiled before: {time.perf_counter() - start:.1f} s")
expected, _ = both(cb.cbam)()
assert abs(d_f - expected).max() < 1e-4 * abs(expected).max()

readable, compiled, copy = interleaved([both(cb.cbam), both(fused.cbam), lambda: np.copyto(out, f)], rounds=7)
print(
    f"readable {1e3 * np.median(readable):.0f} ms, compiled {1e3 * np.median(compiled):.0f} ms, a copy {1e3 * np.median(copy):.1f} ms"
)
print(
    f"compiled: {np.median(readable / compiled):.1f} times as fast, and worth {np.median(2 * compiled / copy):.0f} passes"
)

# %% [markdown]
r"""
`cbam-np bench` puts PyTorch, torch.compile and JAX beside them on your machine, with a picture.

## When does it not pay?

- When the features are small: then a call costs more than its passes.
- When you need another dtype or a GPU: these loops have one purpose. The readable form takes both. For a second derivative you need PyTorch's
  autograd: neither form of this package can be differentiated twice.
- When nobody reads the loops. A mistake in a fused loop is harder to see, so it is checked in the same way as the readable form: against
  PyTorch, against differences, and with mistakes planted in it.

## What you built

A loop that computes two gradients in one pass, and the reason it works: a sum that seems to have to wait splits into parts, and only some of them do.
"""
