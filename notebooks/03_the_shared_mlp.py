# %% [markdown]
r"""
# 3. The shared MLP · 共享多层感知机

> **How does a network look at all channels together, and what happens to the gradient of a weight that is used twice?**
"""

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np

from cbam_np.course import answer, check, pictures_a
from cbam_np.course.learned_maps import numbers
from cbam_np.ops import avg_pool_over_space, max_pool_over_space, mlp, shared_mlp

plt.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110})
np.set_printoptions(precision=3, suppress=True)

# %% mystnb={"image": {"alt": "Four inputs, two hidden units, four outputs, twice; one hidden unit is off on the left."}}
avg_c = np.array([[1.0, 0.0, 2.0, -1.0]])
max_c = np.array([[3.0, 3.0, 4.0, 0.0]])
w1 = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 2.0, -1.0, 1.0]])
w2 = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0], [-1.0, 2.0]])
pictures_a.mlp_forward({"average": avg_c[0], "maximum": max_c[0]}, w1, w2)

# %% [markdown]
r"""
Pooling has made two vectors for each sample: the averages of its channels, and their maxima. A small network, an **MLP**
(多层感知机), short for multi-layer perceptron, turns each of them into one number per channel. It first squeezes the $C$
numbers into a few **hidden units** (隐藏单元), so every channel's result depends on all channels. The MLP is **shared** (共享):
the same weights (权重), drawn as the same lines, serve both vectors. (A weight of 0 has no line.)

| | |
|---|---|
| **Time** | 70 minutes |
| **You need** | matrix products, chapter [2](02_pooling.ipynb) |
| **You build** | `relu` and `mlp` |

## The formula

$$\underbrace{\text{MLP}(x)}_{C} = \underbrace{W_2}_{C,\,C/r}\, \text{ReLU}(\underbrace{W_1}_{C/r,\,C}\;
\underbrace{x}_{C}) \tag{5}$$

$x$ is the pooled vector of one sample. The **ReLU** (线性整流) is $\max(x, 0)$, entry by entry. The number $r$ is the
**reduction ratio** (缩减比): there are $C/r$ hidden units, rounded down. Step by step, with an index $q$ for the hidden units,

$$z[q] = \sum_c W_1[q,c]\; x[c] \qquad h[q] = \text{ReLU}(z[q]) \qquad \text{out}[c] = \sum_q W_2[c,q]\; h[q]$$

<details><summary>The document's own form</summary>

Section 2, *通道注意力机制(Channel Attention)*, *共享 MLP(Multi-Layer Perceptron) 进行特征融合*:

$$MLP(x) = W_2 \sigma(W_1 x)$$

$\sigma$ means the ReLU here. In (6) and (10) the document uses the same letter for the sigmoid; see
[the appendix on misprints](A3_misprints.ipynb). The paper calls the two matrices $W_0$ and $W_1$, so *its* $W_1$ is our
$W_2$. Neither the document nor the paper has a bias.
</details>

**3.1** Why squeeze? A single full matrix from $C$ to $C$ has $C^2$ weights. With $C = 64$ that is 4096. How many weights do
$W_1$ and $W_2$ have together, if $r = 16$?
"""

# %%
answer("3.1", ...)  # solved: 512

# %% [markdown]
r"""
## On paper

The picture shows this example: four channels, $r = 2$, two hidden units.

$$x_{\text{avg}} = (1, 0, 2, -1) \qquad x_{\text{max}} = (3, 3, 4, 0) \qquad
W_1 = \begin{pmatrix} 1 & 0 & 1 & 0 \\ 0 & 2 & -1 & 1 \end{pmatrix} \qquad
W_2 = \begin{pmatrix} 1 & 0 \\ 0 & 1 \\ 1 & -1 \\ -1 & 2 \end{pmatrix}$$

| | $z = W_1 x$ | $h = \text{ReLU}(z)$ | $W_2 h$ |
|---|---|---|---|
| average | $(3, -3)$ | $(3, 0)$ | $(3, 0, 3, -3)$ |
| maximum | $(7, 2)$ | $(7, 2)$ | $(7, 2, 5, -3)$ |

Keep one thing in mind: for the average the second hidden unit is **off**, for the maximum it is **on**.

<details><summary>On paper x is a column, and W1 multiplies it from the left. In code the samples are the rows of an array of shape
(N, C). How do you write z then?</summary>

$z[n,q] = \sum_c W_1[q,c]\, x[n,c]$ sums over the *last* index of both arrays. A matrix product `A @ B` sums over the last index
of `A` and the *first* of `B`. So one of the two has to be transposed (转置), and the sample index must come out first. Try both
orders and look at the shapes: only one gives $(N, C/r)$.
</details>
"""

# %%
out_avg, avg_backward = mlp(avg_c, w1, w2)
out_max, max_backward = mlp(max_c, w1, w2)
assert np.array_equal(w1 @ avg_c[0], [3, -3])
assert np.array_equal(w1 @ max_c[0], [7, 2])
assert np.array_equal(out_avg, [[3, 0, 3, -3]])
assert np.array_equal(out_max, [[7, 2, 5, -3]])

# %% [markdown]
r"""
## The ReLU

Its slope is 1 where the input is positive, and 0 where it is negative. So the gradient passes where the unit was on, and
stops where it was off:

$$dx[q] = d_{\text{out}}[q] \cdot [x[q] > 0]$$

The bracket $[x > 0]$ stands for an array of ones and zeros, a **mask** (掩码). At exactly 0 the ReLU has a kink. Programs
have to choose a slope there, and 0 is the usual choice, in PyTorch too.

<details><summary>Is z ever exactly 0?</summary>

Yes. There is no bias, so an input of zeros gives $z = 0$ in every hidden unit, and a picture without any signal gives an
input of zeros. With $[z \ge 0]$ instead of $[z > 0]$ you would get a different gradient there.
</details>

### Build 7 of 16 · `relu`

- The mask asks for the sign of the *input*. The sign of `d_out` doesn't matter.
- Some of the inputs are exactly 0. Which slope do they get?
"""

# %%
check("relu")

# %% [markdown]
r"""
## The MLP, backward

You are given $d_{\text{out}}[n,c]$ and want the gradients of $W_2$, $W_1$ and $x$. Go from back to front, and ask the same
question each time: **where does this number occur, and with which factor?** Then add up over all the places.

Take $W_2[c,q]$. It occurs in $\text{out}[n,c]$, for its own $c$ and for **every** sample $n$, each time with the factor
$h[n,q]$. So

$$dW_2[c,q] = \sum_n d_{\text{out}}[n,c]\; h[n,q]$$

That is a sum over the *first* index of both arrays. Which of the two must be transposed to make it a matrix product?

The other four are yours. Take a pencil, then compare.

<details><summary>h[n,q]</summary>

It occurs in $\text{out}[n,c]$ for every $c$, with the factor $W_2[c,q]$: $\quad dh[n,q] = \sum_c d_{\text{out}}[n,c]\; W_2[c,q]$.
</details>

<details><summary>z[n,q]</summary>

It occurs in one place only, $h[n,q] = \text{ReLU}(z[n,q])$: $\quad dz[n,q] = dh[n,q] \cdot [z[n,q] > 0]$. You have just built that.
</details>

<details><summary>W1[q,c]</summary>

It occurs in $z[n,q]$ for every $n$, with the factor $x[n,c]$: $\quad dW_1[q,c] = \sum_n dz[n,q]\; x[n,c]$.
</details>

<details><summary>x[n,c]</summary>

It occurs in $z[n,q]$ for every $q$, with the factor $W_1[q,c]$: $\quad dx[n,c] = \sum_q dz[n,q]\; W_1[q,c]$.
</details>

**3.2** With numbers: the *average* of the example, and $d_{\text{out}} = (1, 0, 2, -1)$. What is $dx$? Type four numbers
in a list. (Which unit is off?)
"""

# %%
answer("3.2", ...)  # solved: [4, 0, 4, 0]

# %% [markdown]
r"""
### Build 8 of 16 · `mlp`

`mlp(x, w1, w2)` takes the whole batch, $x$ of shape $(N, C)$. Call your own `relu` in the forward, and its `backward` in the
backward. No loop is needed.

A quick check when you are unsure about a product: a gradient has the shape of what it belongs to. $dW_1$ has the shape
$(C/r, C)$, and from $dz$, $(N, C/r)$, and $x$, $(N, C)$, there is just one matrix product with that shape.
"""

# %%
check("mlp")

# %% [markdown]
r"""
<details><summary>All five as matrix products (open it when yours works)</summary>

$$\boxed{dW_2 = d_{\text{out}}^{\top} h \quad\; dh = d_{\text{out}} W_2 \quad\; dz = dh \odot [z > 0] \quad\;
dW_1 = dz^{\top} x \quad\; dx = dz\, W_1}$$
</details>

<details><summary>With r = 1 both matrices are C × C. What happens if you load weights from the paper's notation and mix up the
two?</summary>

Nothing complains: the shapes fit. The result is simply wrong. With $r > 1$ the shapes would tell you.
</details>

## One set of weights, used twice

Formula (6), in the next chapter, adds the results of both vectors:

$$s = \text{MLP}(F^c_{\text{avg}}) + \text{MLP}(F^c_{\text{max}})$$

The MLP of the sum would be something else, because of the ReLU: on paper
$x_{\text{avg}} + x_{\text{max}} = (4, 3, 6, -1)$ gives $(10, 0, 10, -10)$, while the sum of both results is
$(10, 2, 8, -6)$. So the MLP runs twice. What is the gradient of $W_1$?

Take one weight $w$ that is used in two places. Imagine for a moment that the two places had a weight each, $w_a$ and
$w_b$. Then $L$ has two slopes, $\partial L/\partial w_a$ and $\partial L/\partial w_b$. Move $w_a$ by a small
$\varepsilon$, and $w_b$ by the same $\varepsilon$: $L$ moves by about

$$\frac{\partial L}{\partial w_a}\, \varepsilon + \frac{\partial L}{\partial w_b}\, \varepsilon$$

But moving both by the same amount is exactly what happens when there is only one $w$. So

$$\frac{dL}{dw} = \frac{\partial L}{\partial w_a} + \frac{\partial L}{\partial w_b} \qquad \text{at } w_a = w_b = w$$

This is the **total derivative** (全导数), and whenever something is used twice, it is the reason for a plus sign in the
backward pass. Here it says $dW_1 = dW_1^{\text{avg}} + dW_1^{\text{max}}$, and the same for $W_2$. The upstream gradient
$ds$ arrives at a sum, so **both** calls get all of it.
"""

# %% mystnb={"image": {"alt": "d_w1 through the average has a row of zeros, through the maximum none; their sum."}}
d_s = np.array([[1.0, 0.0, 2.0, -1.0]])
d_w1_avg = avg_backward(d_s)[1]  # the package's backward returns d_x, d_w1, d_w2, and two more for biases
d_w1_max = max_backward(d_s)[1]
pictures_a.sum_of_two(d_w1_avg, d_w1_max)
assert np.array_equal(mlp(avg_c + max_c, w1, w2)[0], [[10, 0, 10, -10]])
assert np.array_equal(out_avg + out_max, [[10, 2, 8, -6]])

# %% [markdown]
r"""
What to see: through the average, hidden unit 1 gets nothing, because it was off. Through the maximum both get something. If
you keep only one of the two, nothing crashes and the shape is right. So measure: move each weight of $W_1$ up and down.
"""

# %%
measured = np.zeros(w1.shape)
for q, c in np.ndindex(*w1.shape):
    for sign in (1, -1):
        nudged = w1.copy()
        nudged[q, c] += sign * 1e-4
        s = mlp(avg_c, nudged, w2)[0] + mlp(max_c, nudged, w2)[0]
        measured[q, c] += sign * np.sum(d_s * s) / 2e-4
print(measured.round(3) + 0.0)
assert np.allclose(measured, d_w1_avg + d_w1_max)
assert not np.allclose(measured, d_w1_avg)

# %% [markdown]
r"""
<details><summary>You met this plus sign before, in the sum over n. Can you get both calls of the MLP, and their sum of gradients,
out of one call?</summary>

Stack both vectors into one batch of $2N$ rows. A weight is used once for each row, and the sum over the rows adds everything
up. This is also how the block can be made a little faster.
</details>

<details><summary>With a bias: the authors' released weights have b1 and b2, W2 ReLU(W1 x + b1) + b2. How often does b2 count
in s?</summary>

Twice, because the MLP runs twice and nothing comes after $b_2$:
$s = W_2 (h_{\text{avg}} + h_{\text{max}}) + 2\,b_2$, and $db_2 = 2 \sum_n ds[n]$. If you forget the 2, you get different gates
from the same weights. For $b_1$ there is no factor 2: each of its two uses goes through a mask of its own. The next cell
checks both.
</details>
"""

# %%
b1, b2 = np.array([0.5, -1.0]), np.array([0.1, 0.2, -0.3, 0.4])
s, backward = shared_mlp(avg_c, max_c, w1, w2, b1, b2)
h_both = np.maximum(avg_c @ w1.T + b1, 0) + np.maximum(max_c @ w1.T + b1, 0)
*_, d_b1, d_b2 = backward(d_s)
assert np.allclose(s, h_both @ w2.T + 2 * b2)
assert np.array_equal(d_b2, 2 * d_s.sum(axis=0))
assert np.array_equal(d_b1, [4 + 4, 0 - 4])  # unit 0 is on twice, unit 1 once

# %% [markdown]
r"""
## In the trained block

Eight hidden units, fed with the averages and with the maxima of the 32 channels, for all five pictures:
"""

# %% mystnb={"image": {"alt": "Two 5 by 8 maps of hidden values: different units are on for averages and for maxima."}}
learned = numbers()
f = learned["f"].astype(float)
w1_learned = learned["channel.w1"].astype(float)
h_avg = np.maximum(avg_pool_over_space(f)[0] @ w1_learned.T, 0)
h_max = np.maximum(max_pool_over_space(f)[0] @ w1_learned.T, 0)
pictures_a.hidden_units(h_avg, h_max, learned["labels"])
on_avg, on_max = np.mean(h_avg > 0), np.mean(h_max > 0)
print(f"units that are on: {on_avg:.0%} for the averages, {on_max:.0%} for the maxima")
assert h_max.max() > 3 * h_avg.max()

# %% [markdown]
r"""
What to see: the same weights, and yet the two inputs switch on different units, and the maxima, being larger numbers,
give much larger values. (Mind the two colour scales: they differ.)

## What you built

A ReLU and a two-layer network, forward and backward, and you know why gradients of shared weights add. Eight of 16: half
of your file.

**Next:** [4. Channel attention](04_channel_attention.ipynb) · **The code:** [perceptron.py](../cbam_np/ops/perceptron.py),
[activation.py](../cbam_np/ops/activation.py), the same as loops: [loops.py](../cbam_np/reference/loops.py)
"""
