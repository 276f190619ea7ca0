# %% [markdown]
r"""
# 4. Channel attention · 通道注意力

> **The features decide their own gates. Along how many paths does the gradient come back?**
"""

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np

import cbam_np as cb
from cbam_np.course import answer, check, pictures_a
from cbam_np.course.learned_maps import numbers
from cbam_np.course.paths import channel_parts
from cbam_np.ops import gate, sigmoid

plt.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110})
np.set_printoptions(precision=3, suppress=True)

# %% mystnb={"image": {"alt": "Three arrows leave F: to both poolings and to the product. Three red ones return."}}
pictures_a.channel_branch()

# %% [markdown]
r"""
The red arrows go backward, the others forward. Three arrows leave $F$, so three red ones come back to it. You already have both
poolings and the MLP. What is missing is the sigmoid (S 型函数), which turns numbers into gates, and the product.

| | |
|---|---|
| **Time** | 75 minutes |
| **You need** | chapters [2](02_pooling.ipynb) and [3](03_the_shared_mlp.ipynb), the derivative of one over something |
| **You build** | `sigmoid`, `gate`, `channel_attention` |

## The formulas

$$\underbrace{M_c}_{N,C \,\to\, N,C,1,1} = \sigma\left(\underbrace{\text{MLP}(F^c_{\text{avg}})}_{N,C}
+ \underbrace{\text{MLP}(F^c_{\text{max}})}_{N,C}\right) \tag{6}$$

$$\underbrace{F'}_{N,C,H,W} = \underbrace{M_c}_{N,C,1,1} \otimes \underbrace{F}_{N,C,H,W} \tag{7}$$

The sum in the bracket is called $s$, with the shape $(N, C)$, so $M_c = \sigma(s)$. Between (6) and (7) the shape
changes: the MLP gives $(N, C)$, and the product needs $(N, C, 1, 1)$. No number changes, so backward the gradient simply
takes its old shape again.

<details><summary>The document's own form</summary>

Section 2, *通道注意力机制(Channel Attention)*, *计算两个池化特征的注意力权重* and *Sigmoid 归一化 并与原特征相乘*:

$$\mathbf{M}c = \sigma(\text{MLP}(\mathbf{F}{\text{avg}}) + \text{MLP}(\mathbf{F}_{\text{max}}))$$

$$\mathbf{F’} = \mathbf{M}_c \cdot \mathbf{F}$$

$\sigma$ is the sigmoid here. *归一化* means normalisation, and it isn't one. See
[the appendix on misprints](A3_misprints.ipynb).
</details>

## The sigmoid

$$\sigma(s) = \frac{1}{1 + e^{-s}}$$

On paper: $\sigma(0) = \frac12$. For $s = \ln 3$ we have $e^{-s} = \frac13$, so $\sigma(\ln 3) = \frac34$; and
$\sigma(-\ln 3) = \frac{1}{1 + 3} = \frac14$. The two add up to 1, and that holds for every $s$. Multiply above and below by
$e^{s}$:

$$\sigma(s) = \frac{1}{1 + e^{-s}} = \frac{e^{s}}{e^{s} + 1} = 1 - \frac{1}{1 + e^{s}} = 1 - \sigma(-s)$$

**Its slope.** The derivative of one over something is minus the derivative of that something, over its square. Here the
something is $1 + e^{-s}$, and its derivative is $-e^{-s}$:

$$\sigma'(s) = \frac{e^{-s}}{(1 + e^{-s})^2} = \frac{1}{1 + e^{-s}} \cdot \frac{e^{-s}}{1 + e^{-s}} = \sigma(s)\,\sigma(-s)
= \sigma(s)\,(1 - \sigma(s))$$
"""

# %% mystnb={"image": {"alt": "The sigmoid rises from 0 to 1; its slope is a bell, at most a quarter."}}
s = np.linspace(-8, 8, 401)
gates, sigmoid_backward = sigmoid(s)
slope = sigmoid_backward(np.ones_like(s))
pictures_a.sigmoid_and_slope(s, gates, slope)
assert np.allclose(slope, gates * (1 - gates))
assert np.isclose(slope.max(), 1 / 4)
assert np.allclose(sigmoid(np.array([np.log(3), -np.log(3)]))[0], [3 / 4, 1 / 4])

# %% [markdown]
r"""
What to see: the slope is never more than $\frac14$, and nearly 0 where the gate is nearly shut or nearly open. A gate out
there is **saturated** (饱和): it hardly learns any more.

**Overflow.** For $s = -1000$ the formula as it stands computes $e^{1000}$, which is too large for a float: an overflow
(溢出), and NumPy warns. You have two forms of $\sigma$ above, one with $e^{-s}$ and one with $e^{s}$.

<details><summary>Which of the two overflows for which sign of s? And how do you get an array that uses the right one for every
entry, without computing a single exponential that is too large?</summary>

The form with $e^{-s}$ overflows for very negative $s$, the form with $e^{s}$ for very positive $s$. `np.where` chooses between
two arrays, but it computes *both* of them first, so the one that isn't used can still overflow. An exponential of something
that is never positive can't: which number made from $s$ is never positive? Clipping $s$ to $\pm 500$ works as well.
</details>

<details><summary>Is σ(1 − σ) as good as σ(s) σ(−s)?</summary>

For learning, yes, and PyTorch uses it. Numerically, $1 - \sigma(40)$ is exactly 0, because $\sigma(40)$ has been rounded to 1,
while $\sigma(-40)$ is about $4.2 \cdot 10^{-18}$. So $\sigma(1 - \sigma)$ loses the upper tail (尾部). Slopes that small don't
matter here, and `check` accepts both.
</details>

### Build 9 of 16 · `sigmoid`

It serves arrays of any shape: you will use it for $M_c$, and again for $M_s$.
"""

# %%
check("sigmoid")
with np.errstate(over="raise"):
    assert np.array_equal(sigmoid(np.array([-1000.0, 1000.0]))[0], [0, 1])
assert 1 - 1 / (1 + np.exp(-40.0)) == 0
assert np.isclose(sigmoid(np.array([-40.0]))[0].item(), 4.2e-18, rtol=0.02)

# %% [markdown]
r"""
<details><summary>Each gate depends on its own s only. How would the backward change if the gates were a softmax
instead, so that they add up to 1?</summary>

If $s[c]$ moves under a softmax, *all* gates move. So the gradient of $s[c]$ would be a sum over all gates. Under the sigmoid that
sum has one term, and the backward is a product entry by entry. That is the difference between a gate and a normalisation
(归一化).
</details>

## The gate

$$F'[n,c,i,j] = M_c[n,c]\; F[n,c,i,j]$$

Where does $M_c[n,c]$ occur? In the $HW$ products of its own channel, one for each pixel, with the factor $F[n,c,i,j]$.
Each of them moves $L$ by its own share, and the shares add up. And $F[n,c,i,j]$, as a factor? In one product, with the
factor $M_c[n,c]$. So

$$dM_c[n,c] = \sum_{i,j} dF'[n,c,i,j]\; F[n,c,i,j] \qquad
\text{and, through the product,} \quad M_c[n,c]\; dF'[n,c,i,j]$$

*Forward, broadcasting repeats a number. Backward, the shares of all its copies are added.*

**4.1** For the other stage, $F'' = M_s \otimes F'$ with $M_s$ of shape $(N, 1, H, W)$: over which axis of a
`(N, C, H, W)` array do you have to sum for $dM_s$? Type its number.
"""

# %%
answer("4.1", ...)  # solved: 1

# %% [markdown]
r"""
### Build 10 of 16 · `gate`

One function for both stages: $m$ has the shape $(N, C, 1, 1)$ or $(N, 1, H, W)$, and you find out from the shape which
one it is. Here `gate` is given the map, so `d_f` is only what comes back on the direct path.

- How can you tell over which axes `m` was repeated?
- `d_m` must have exactly the shape of `m`. What does `keepdims` do for you?
"""

# %%
check("gate")

# %% [markdown]
r"""
## The whole branch, on paper

Take the $F$ of chapter [2](02_pooling.ipynb), with two channels, $r = 2$, and so one hidden unit. For nice gates let
$a = \frac{\ln 3}{4} \approx 0.275$, $W_1 = (a, -a)$, and $W_2$ the column $(1, -1)$.

| | average | maximum |
|---|---|---|
| pooled, (3) and (4) | $(2, -1)$ | $(5, 4)$ |
| $z = W_1 x$ | $2a + a = 3a$ | $5a - 4a = a$ |
| out, (5) | $(3a, -3a)$ | $(a, -a)$ |

The sum is $s = (4a, -4a) = (\ln 3, -\ln 3)$, so $M_c = (\frac34, \frac14)$: three quarters of channel 0 are left, and one
quarter of channel 1. Now backward. Let the upstream gradient be

$$dF'[0,0] = \begin{pmatrix} 1 & 3 & 0 \\ 0 & 0 & 0 \end{pmatrix} \qquad
dF'[0,1] = \begin{pmatrix} 0 & 0 & 0 \\ 4 & 0 & 0 \end{pmatrix}$$

**4.2** What is $dM_c$? Type a pair.
"""

# %%
answer("4.2", ...)  # solved: (16, -16)

# %% [markdown]
r"""
<details><summary>The rest, step by step: do it yourself first</summary>

- $\sigma' = \frac34 \cdot \frac14 = \frac{3}{16}$ for both gates, so $ds = (3, -3)$.
- $dh = 3 \cdot 1 + (-3) \cdot (-1) = 6$, and the hidden unit is on both times.
- $dW_2$: $(3, -3)$ times $3a$ for the average, plus $(3, -3)$ times $a$ for the maximum: $(12a, -12a)$.
- $dW_1 = 6 \cdot (2, -1) + 6 \cdot (5, 4) = (42, 18)$.
- Each pooled vector gets $6\,W_1 = (6a, -6a)$. The average gives each of its six pixels $a$, or $-a$; the maximum gives $6a$ to
  the 5, and $-6a$ to the 4.
</details>
"""

# %% mystnb={"image": {"alt": "d_f is the sum of the direct path, the constant average path and the one-pixel maximum path."}}
f = np.array([[[[1.0, 5.0, 2.0], [0.0, 3.0, 1.0]], [[-2.0, 0.0, -1.0], [-4.0, -3.0, 4.0]]]])
d_f1 = np.array([[[[1.0, 3.0, 0.0], [0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0], [4.0, 0.0, 0.0]]]])
a = np.log(3) / 4
w1, w2 = np.array([[a, -a]]), np.array([[1.0], [-1.0]])
f1, backward = cb.channel_attention(f, {"channel.w1": w1, "channel.w2": w2})
d_f, grads = backward(d_f1)
paths = channel_parts(d_f1, f, w1, w2)
pictures_a.sum_of_paths({f"{name} path": path[0] for name, path in paths.items()})
assert np.allclose(f1[0, 0], f[0, 0] * 3 / 4)
assert np.allclose(f1[0, 1], f[0, 1] / 4)
assert np.allclose(grads["channel.w1"], [[42, 18]])
assert np.allclose(grads["channel.w2"], [[12 * a], [-12 * a]])
assert np.allclose(paths["average"][0], np.array([a, -a])[:, None, None])
assert np.isclose(paths["maximum"][0, 0, 0, 1], 6 * a)
assert np.allclose(sum(paths.values()), d_f)
assert np.array_equal(gate(np.array([3 / 4, 1 / 4]).reshape(1, 2, 1, 1), f)[1](d_f1)[0].ravel(), [16, -16])

# %% [markdown]
r"""
What to see: the direct path is nonzero only where the upstream gradient is. The average path puts the same small number on
every pixel of a channel. The maximum path puts one larger number on one pixel.

## The backward pass: three paths

$F$ is used three times, so by the total derivative of chapter [3](03_the_shared_mlp.ipynb) three gradients arrive at it,
and they add. We call them **paths** (路径). The **direct path** goes through the product $F \otimes M_c$ itself. The **average
path** and the **maximum path** go through the two poolings; together they are the **map path** of chapter 0.

$$\boxed{dM_c[n,c] = \sum_{i,j} dF'[n,c,i,j]\, F[n,c,i,j] \qquad
dF = M_c \otimes dF' + dF_{\text{avg}} + dF_{\text{max}}}$$

Where do $dF_{\text{avg}}$ and $dF_{\text{max}}$ come from? Follow the red arrows backward from $dM_c$: through the
sigmoid, through both calls of the MLP, through each pooling. You have already built everything along the way.

$$\boxed{ds = dM_c \odot \sigma'(s) \qquad dW_1 = dW_1^{\text{avg}} + dW_1^{\text{max}} \qquad
dW_2 = dW_2^{\text{avg}} + dW_2^{\text{max}}}$$

### Build 11 of 16 · `channel_attention`

Forward: call your own functions in the order of the picture, and keep every `backward` that they return. Backward: call
those in the opposite order. This is where the rule `out, backward = op(...)` pays off: the function contains no calculus
at all.

- The MLP is called twice, so it returns two different backwards. Which upstream gradient does each of them get?
- Before you return: did every use of `f`, and every use of `w1`, contribute?
"""

# %%
check("channel_attention")

# %% [markdown]
r"""
## If you drop a path

Nothing crashes. All shapes are right. The gradients of $W_1$ and $W_2$ are right too, so this block learns as it should.
Only $dF$ is wrong, and that is what the layers *before* the block learn from. How wrong?
"""

# %%
rng = np.random.default_rng(1)
f, d_f1 = rng.normal(size=(2, 3, 8, 5, 4))
w1, w2 = (cb.CBAM(8, reduction=4, dtype="float64", seed=1).params[name] for name in ("channel.w1", "channel.w2"))
paths = channel_parts(d_f1, f, w1, w2)
d_f = sum(paths.values())
wrong_by = {name: np.linalg.norm(path) / np.linalg.norm(d_f) for name, path in paths.items()}
for name, share in wrong_by.items():
    print(f"without the {name:7} path d_f is wrong by {share:.0%}")
assert wrong_by["average"] < 0.1 < wrong_by["direct"]

# %% [markdown]
r"""
On random numbers the average path is small: a gradient spread over $HW$ pixels is thin everywhere. So a check with a loose
tolerance wouldn't see that it is missing, but your `largest_error` does. On other data other paths are large;
[an appendix](A2_paths.ipynb) measures it.

## In the trained block

The gates of all 32 channels, for the five pictures.
"""

# %% mystnb={"image": {"alt": "Five rows of 32 gates: some channels are shut for every picture, some for one only."}}
learned = numbers()
params = {name: learned[name].astype(float) for name in ("channel.w1", "channel.w2")}
m_c = cb.channel_map(learned["f"].astype(float), params)[0][:, :, 0, 0]
pictures_a.gates_of_pictures(m_c, learned["labels"])
spread = m_c.max(axis=0) - m_c.min(axis=0)
print(
    f"{np.sum(m_c.max(axis=0) < 0.3)} channels are shut for all five, {np.sum(spread > 0.5)} change by more than one half"
)
assert np.sum(m_c.max(axis=0) < 0.3) >= 1
assert np.sum(spread > 0.5) >= 1

# %% [markdown]
r"""
What to see: some channels are open, or shut, for all five pictures; others depend on the picture. Only those that depend
on the picture are *attention*. A constant gate is just one more weight.

## What you built

The first half of CBAM, forward and backward. $F$ is used three times, so $dF$ is a sum of three paths. Eleven of 16.

**Next:** [5. The 7×7 convolution](05_the_convolution.ipynb) · **The code:** [channel.py](../cbam_np/attention/channel.py),
[gating.py](../cbam_np/ops/gating.py), the same as loops: [loops.py](../cbam_np/reference/loops.py)
"""
