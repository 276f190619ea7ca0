# %% [markdown]
r"""
# 3. The shared MLP · 共享多层感知机

Chapter 2 made two numbers out of every channel (通道): its average and its maximum. Now a small network
looks at all averages together, and then at all maxima together. It is an **MLP**, a multi-layer
perceptron (多层感知机), and it is **shared** (共享): the same weights (权重) are used both times.

**What you will learn**

- to read formula (5): which function its $\sigma$ is, and which shapes its matrices have;
- to derive the gradient (梯度) of a matrix, index by index, up to the line $dW_1 = dz^{\top} x$;
- why the gradients **add** when a weight is used twice;
- why a bias (偏置) of the second layer counts double.

**What you need:** matrix products, and chapter [2](02_pooling_over_space.ipynb) for what an upstream
gradient (上游梯度) is.
"""

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np
import torch

import cbam_np as cb
from cbam_np.course.chapter_03 import exercise_3_1, exercise_3_2, exercise_3_3
from cbam_np.ops import mlp, relu, shared_mlp

plt.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110})
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
r"""
## The formula, as the document has it

Section 2, *通道注意力机制(Channel Attention)*, under *共享 MLP(Multi-Layer Perceptron) 进行特征融合*:

$$MLP(x) = W_2 \sigma(W_1 x)$$

Nothing was lost in printing this time. But much was never said.

## The formula, as it must be read

$$\underbrace{\text{MLP}(x)}_{C} = \underbrace{W_2}_{C,\,C/r}\, \text{ReLU}(\underbrace{W_1}_{C/r,\,C}\;
\underbrace{x}_{C}) \tag{5}$$

Here $x$ is the pooled vector of one sample, first $F^c_{\text{avg}}[n]$ and then $F^c_{\text{max}}[n]$.

1. **$\sigma$ is the ReLU** (线性整流), $\max(z, 0)$. The document uses the same letter for the sigmoid in
   (6) and (10). These are two functions. In the paper $\sigma$ is always the sigmoid, and the ReLU is
   named in words.
2. **No shapes, no $r$.** The first matrix shrinks $C$ numbers to $C/r$, the second goes back to $C$. The
   number $r$ is the **reduction ratio** (缩减比). The $C/r$ numbers between are the **hidden units**
   (隐藏单元). If $r$ does not divide $C$, round down.
3. **Other names in the paper.** The paper calls the matrices $W_0$ and $W_1$. So the paper's $W_1$ is
   the document's $W_2$. We use the document's names.
4. **No bias.** Neither has the document one, nor the paper. Trained weights often do; see below.
5. **Shared.** There is one $W_1$ and one $W_2$, not one for each vector.

Why shrink? One full matrix has $C^2$ weights; the two thin ones have $2C^2/r$. With $C=64$ and $r=16$ that
is 512 in place of 4096.

## On paper

Four channels, $r=2$, so two hidden units. Two pooled vectors:

$$x_{\text{avg}} = (1, 0, 2, -1) \qquad x_{\text{max}} = (3, 3, 4, 0)$$

$$W_1 = \begin{pmatrix} 1 & 0 & 1 & 0 \\ 0 & 2 & -1 & 1 \end{pmatrix} \qquad
W_2 = \begin{pmatrix} 1 & 0 \\ 0 & 1 \\ 1 & -1 \\ -1 & 2 \end{pmatrix}$$

Take a pencil. Three steps for each vector: $z = W_1 x$, then $h = \text{ReLU}(z)$, then $W_2 h$.

| | $z$ | $h$ | $W_2 h$ |
|---|---|---|---|
| average | $(3, -3)$ | $(3, 0)$ | $(3, 0, 3, -3)$ |
| maximum | $(7, 2)$ | $(7, 2)$ | $(7, 2, 5, -3)$ |

Keep one thing in mind: for the average the second hidden unit is **off**, for the maximum it is **on**.
"""

# %%
avg_c = np.array([[1.0, 0.0, 2.0, -1.0]])
max_c = np.array([[3.0, 3.0, 4.0, 0.0]])
w1 = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 2.0, -1.0, 1.0]])
w2 = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0], [-1.0, 2.0]])

out_avg_by_hand = np.array([[3.0, 0.0, 3.0, -3.0]])
out_max_by_hand = np.array([[7.0, 2.0, 5.0, -3.0]])
assert cb.CBAM(64, reduction=16).params["channel.w1"].size * 2 == 512
assert cb.CBAM(10, reduction=4).params["channel.w1"].shape == (2, 10)  # rounded down

# %% [markdown]
r"""
## As loops

We need a name for the index of a hidden unit: $u$. With the batch index $n$, the three steps are

$$z[n,u] = \sum_c W_1[u,c]\; x[n,c]$$

$$h[n,u] = \text{ReLU}(z[n,u])$$

$$\text{out}[n,c] = \sum_u W_2[c,u]\; h[n,u]$$
"""


# %%
def mlp_loops(x, w1, w2):
    """Formula (5), one product at a time."""
    N, C = x.shape
    hidden = len(w1)
    z, out = np.zeros((N, hidden)), np.zeros((N, C))
    for n, u, c in np.ndindex(N, hidden, C):
        z[n, u] += w1[u, c] * x[n, c]
    h = np.maximum(z, 0)
    for n, c, u in np.ndindex(N, C, hidden):
        out[n, c] += w2[c, u] * h[n, u]
    return out


assert np.array_equal(mlp_loops(avg_c, w1, w2), out_avg_by_hand)
assert np.array_equal(mlp_loops(max_c, w1, w2), out_max_by_hand)

# %% [markdown]
r"""
## As one line

On paper $x$ is a column, and $W_1$ stands on its left. In code a sample is a **row** of an array of shape
$(N, C)$. Look at the first sum: the index $c$ that is summed is the last one of both arrays. A matrix
product sums the last index of the left with the first of the right. So the right one has to be
transposed (转置), and the order turns around:

$$z = x\, W_1^{\top} \qquad \text{out} = h\, W_2^{\top}$$
"""

# %%
z_avg = avg_c @ w1.T
h_avg = np.maximum(z_avg, 0)
print("z  ", z_avg, z_avg.shape)
print("h  ", h_avg, h_avg.shape)
print("out", h_avg @ w2.T, (h_avg @ w2.T).shape)
assert np.array_equal(h_avg @ w2.T, out_avg_by_hand)
assert np.array_equal(np.maximum(max_c @ w1.T, 0) @ w2.T, out_max_by_hand)

# %% [markdown]
r"""
## In the package

The ReLU first, then the MLP. Read the forward lines for now; the gradients in the docstrings are derived
below. It agrees with our pencil, and with PyTorch's linear layers with a ReLU between them.
"""

# %%
print(inspect.getsource(relu))
print(inspect.getsource(mlp))

out_avg, avg_backward = mlp(avg_c, w1, w2)
out_max, max_backward = mlp(max_c, w1, w2)
assert np.array_equal(out_avg, out_avg_by_hand)
assert np.array_equal(out_max, out_max_by_hand)

linear = torch.nn.functional.linear
x_t, w1_t, w2_t = (torch.tensor(x) for x in (avg_c, w1, w2))
assert np.array_equal(linear(torch.relu(linear(x_t, w1_t)), w2_t).numpy(), out_avg)

# %% [markdown]
r"""
A trap with the paper's names: somebody's `W1` may be our $W_2$. With $r > 1$ the shapes notice. With
$r = 1$ both matrices are $C \times C$, and nothing does.
"""

# %%
try:
    mlp(avg_c, w2, w1)
except ValueError as error:
    print("ValueError:", error)
else:
    raise AssertionError("the matrices were swapped and nobody noticed")

a, b = np.random.default_rng(0).standard_normal((2, 4, 4))  # r = 1
assert not np.allclose(mlp(avg_c, a, b)[0], mlp(avg_c, b, a)[0])

# %% [markdown]
r"""
## The MLP, backward

Given the upstream gradient $d_{\text{out}}[n,c]$, we want the gradients of $W_2$, $W_1$ and $x$. We ask the
question of chapter 2 each time: **where does this number occur, and with which factor?** Then we add up
over all places. We go back to front.

**Step 1: $W_2[c,u]$.** Look at the third sum. This weight occurs in $\text{out}[n,c]$, for its own $c$ and
for **every** sample $n$, each time with the factor $h[n,u]$. So

$$dW_2[c,u] = \sum_n d_{\text{out}}[n,c]\; h[n,u]$$

Is that a matrix product? The sum is over $n$, the **first** index of both arrays. It has to be the last
one of the left array, so we transpose the left: $d_{\text{out}}[n,c] = d_{\text{out}}^{\top}[c,n]$.

$$dW_2[c,u] = \sum_n d_{\text{out}}^{\top}[c,n]\; h[n,u] = (d_{\text{out}}^{\top} h)[c,u]$$

**Step 2: $h[n,u]$.** It occurs in $\text{out}[n,c]$ for its own $n$ and for every $c$, with the factor
$W_2[c,u]$. The sum over $c$ already fits: last index on the left, first on the right.

$$dh[n,u] = \sum_c d_{\text{out}}[n,c]\; W_2[c,u] = (d_{\text{out}} W_2)[n,u]$$

**Step 3: $z[n,u]$.** It occurs in one place only, $h[n,u] = \text{ReLU}(z[n,u])$. The slope of the ReLU is 1
where $z > 0$, else 0. Write $[z > 0]$ for this array of ones and zeros. It is called a **mask** (掩码).

$$dz[n,u] = dh[n,u] \cdot [z[n,u] > 0]$$

**Step 4: $W_1[u,c]$.** The first sum has the same form as the third. $W_1[u,c]$ occurs in $z[n,u]$ for every
$n$, with the factor $x[n,c]$:

$$dW_1[u,c] = \sum_n dz[n,u]\; x[n,c] = (dz^{\top} x)[u,c]$$

**Step 5: $x[n,c]$.** It occurs in $z[n,u]$ for every $u$, with the factor $W_1[u,c]$:

$$dx[n,c] = \sum_u dz[n,u]\; W_1[u,c] = (dz\, W_1)[n,c]$$

All five together, with $\odot$ for the product entry by entry:

$$\boxed{dW_2 = d_{\text{out}}^{\top} h \quad\; dh = d_{\text{out}} W_2 \quad\; dz = dh \odot [z > 0] \quad\;
dW_1 = dz^{\top} x \quad\; dx = dz\, W_1}$$

A check for the tired: a gradient has the shape of what it belongs to. $dW_1$ is $(C/r, C)$. From $dz$,
$(N, C/r)$, and $x$, $(N, C)$, there is one matrix product with that shape: $dz^{\top} x$.

On paper, for the average, with $d_{\text{out}} = (1, 0, 2, -1)$ and one sample:

- $dh = d_{\text{out}} W_2 = (1+2+1,\; -2-2) = (4, -4)$
- $dz = (4, 0)$, because $z = (3, -3)$: the second unit is off.
- $dx = dz\, W_1 = 4 \cdot (1, 0, 1, 0) = (4, 0, 4, 0)$
- $dW_1$: the first row is $4\, x = (4, 0, 8, -4)$, the second is 0.
- $dW_2$: the first column is $3\, d_{\text{out}} = (3, 0, 6, -3)$, the second is 0.
"""

# %%
d_out = np.array([[1.0, 0.0, 2.0, -1.0]])
d_x, d_w1, d_w2, *_ = avg_backward(d_out)
assert np.array_equal(d_x, [[4, 0, 4, 0]])
assert np.array_equal(d_w1, [[4, 0, 8, -4], [0, 0, 0, 0]])
assert np.array_equal(d_w2, np.array([[3, 0, 6, -3], [0, 0, 0, 0]]).T)

# %% [markdown]
r"""
The five steps as loops are the forward loops once more. Each product `y += a * b` becomes two lines: `a` gets
`d_y * b`, and `b` gets `d_y * a`.
"""


# %%
def mlp_backward_loops(d_out, x, w1, w2):
    """The boxed line, one product at a time."""
    N, C = x.shape
    hidden = len(w1)
    z = x @ w1.T
    h = np.maximum(z, 0)
    d_x, d_w1, d_w2, d_h = np.zeros(x.shape), np.zeros(w1.shape), np.zeros(w2.shape), np.zeros(h.shape)
    for n, c, u in np.ndindex(N, C, hidden):  # out[n, c] += w2[c, u] * h[n, u]
        d_w2[c, u] += d_out[n, c] * h[n, u]
        d_h[n, u] += d_out[n, c] * w2[c, u]
    d_z = d_h * (z > 0)
    for n, u, c in np.ndindex(N, hidden, C):  # z[n, u] += w1[u, c] * x[n, c]
        d_w1[u, c] += d_z[n, u] * x[n, c]
        d_x[n, c] += d_z[n, u] * w1[u, c]
    return d_x, d_w1, d_w2


for ours, theirs in zip(mlp_backward_loops(d_out, avg_c, w1, w2), (d_x, d_w1, d_w2), strict=True):
    assert np.array_equal(ours, theirs)

# %% [markdown]
r"""
### Exercise 3.1 · Write the backward of the MLP

No loops needed: you will have to compute $z$ and $h$ again, and then write the boxed line.
"""


# %%
def mlp_backward(d_out, x, w1, w2):
    """d_out, x: (N, C); w1: (C/r, C); w2: (C, C/r). Returns d_x, d_w1, d_w2."""
    ### BEGIN SOLUTION
    z = x @ w1.T
    h = np.maximum(z, 0)
    d_w2 = d_out.T @ h
    d_z = (d_out @ w2) * (z > 0)
    return d_z @ w1, d_z.T @ x, d_w2
    ### END SOLUTION


right = exercise_3_1.check(mlp_backward)

# %% [markdown]
r"""
## The ReLU at 0

At $z = 0$ the ReLU has a kink (尖点): slope 0 on the left, 1 on the right. There is no derivative, and a
program has to choose. The usual choice, here and in PyTorch, is

$$\text{ReLU}'(0) = 0$$

which is why the mask says $z > 0$ and not $z \ge 0$. Is $z$ ever exactly 0? Yes: without a bias an input of
zeros gives $z = 0$ in every hidden unit. An input of zeros is what a sample without any signal has.
"""

# %%
zeros = np.zeros((1, 4))
assert np.all(zeros @ w1.T == 0)
assert np.all(mlp(zeros, w1, w2)[1](d_out)[0] == 0)

x_t = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
linear(torch.relu(linear(x_t, w1_t)), w2_t).backward(torch.tensor(d_out))
assert np.all(x_t.grad.numpy() == 0)
d_h = d_out @ w2
print("d_x with z > 0: ", (d_h * (zeros @ w1.T > 0) @ w1)[0])
print("d_x with z >= 0:", (d_h * (zeros @ w1.T >= 0) @ w1)[0])

# %% [markdown]
r"""
## One set of weights, used twice

Formula (6) adds the two results, and this sum goes into the sigmoid:

$$z_c = \text{MLP}(F^c_{\text{avg}}) + \text{MLP}(F^c_{\text{max}})$$

The small $c$ says "for channel attention" again. $z_c$ has the shape $(N, C)$. The $z$ of the hidden units is
another array.

A first look at it: the MLP of the sum is something else, because of the ReLU. On paper
$x_{\text{avg}} + x_{\text{max}} = (4, 3, 6, -1)$ gives $z = (10, -1)$, and the result is $(10, 0, 10, -10)$.
The sum of both results is $(10, 2, 8, -6)$.
"""

# %%
sum_of_both = mlp(avg_c, w1, w2)[0] + mlp(max_c, w1, w2)[0]
of_the_sum = mlp(avg_c + max_c, w1, w2)[0]
assert np.array_equal(sum_of_both, [[10, 2, 8, -6]])
assert np.array_equal(of_the_sum, [[10, 0, 10, -10]])

# %% [markdown]
r"""
### Why the gradients add

Take one weight $w$, which is used in two places. Imagine for a moment that the two places had **a weight
each**, $w_a$ and $w_b$. Then $L$ is a function of two variables, and there are two slopes, one for each:

$$\frac{\partial L}{\partial w_a} \qquad \frac{\partial L}{\partial w_b}$$

Move $w_a$ by a small $\varepsilon$, and $w_b$ by the same $\varepsilon$. As long as it is small, $L$ moves by about

$$\frac{\partial L}{\partial w_a}\, \varepsilon + \frac{\partial L}{\partial w_b}\, \varepsilon$$

But moving both by the same amount is just what happens when there is only one $w$. Divide by $\varepsilon$:

$$\frac{dL}{dw} = \frac{\partial L}{\partial w_a} + \frac{\partial L}{\partial w_b}
\qquad \text{at } w_a = w_b = w$$

This is called the **total derivative** (全导数). Every time something is used twice, this line is the reason
for a plus sign in the backward. In CBAM it comes again and again.

With numbers: let $L = a \cdot b$ with $a = 2w$ and $b = 5w$, at $w = 1$. Through $a$: the slope is
$2 \cdot b = 10$. Through $b$: it is $5 \cdot a = 10$. Together 20. Check: $L = 10 w^2$, and its derivative is
$20 w$.
"""


# %%
def product(w_a, w_b):
    return (2 * w_a) * (5 * w_b)


e = 1e-6
through_a = (product(1 + e, 1) - product(1 - e, 1)) / (2 * e)
through_b = (product(1, 1 + e) - product(1, 1 - e)) / (2 * e)
together = (product(1 + e, 1 + e) - product(1 - e, 1 - e)) / (2 * e)
print(f"through a {through_a:.3f}, through b {through_b:.3f}, both at once {together:.3f}")
assert np.allclose([through_a, through_b, together], [10, 10, 20])

# %% [markdown]
r"""
Now for the MLP. The upstream gradient $dz_c$ arrives at a sum, $z_c = \text{out}_{\text{avg}} +
\text{out}_{\text{max}}$. Each summand has the factor 1, so **both** get all of $dz_c$. Each of them then goes
back through its own MLP, with its own $x$ and its own mask; and at the weights the results are added:

$$dW_1 = dW_1^{\text{avg}} + dW_1^{\text{max}} \qquad dW_2 = dW_2^{\text{avg}} + dW_2^{\text{max}}$$

The two inputs are not shared. Each of them has one way to $z_c$, and gets what comes along that way.
"""

# %% mystnb={"image": {"alt": "Two lanes, avg and max, pass W1, ReLU, W2; red arrows from both meet at W1 and W2."}}
figure, ax = plt.subplots(figsize=(10, 3.8), layout="constrained")
ax.set(xlim=(0, 10), ylim=(-0.15, 3.9))
ax.axis("off")


def box(x, y, text, colour, shape="round,pad=0.45"):
    style = {"boxstyle": shape, "facecolor": colour, "edgecolor": "black"}
    return ax.text(x, y, text, ha="center", va="center", bbox=style, zorder=3)


def both_ways(start, end, label="", along_x=0.0, along_y=0.12):
    """Black from start to end, red back, side by side; the label belongs to the red one."""
    (x, y), (x2, y2) = start.get_position(), end.get_position()
    style = {"arrowstyle": "-|>", "linewidth": 1.5, "shrinkA": 24, "shrinkB": 24}
    ax.annotate("", (x2 - along_x, y2 + along_y), (x - along_x, y + along_y), arrowprops={**style, "color": "black"})
    ax.annotate("", (x + along_x, y - along_y), (x2 + along_x, y2 - along_y), arrowprops={**style, "color": "crimson"})
    ax.text((x + x2) / 2 + 0.25, 0.6 * y + 0.4 * y2, label, color="crimson", va="center", fontsize=11)


w1_box, w2_box = box(3, 1.85, "$W_1$", "#fdebd0"), box(6.2, 1.85, "$W_2$", "#fdebd0")
the_sum = box(8.4, 1.85, "+", "white", "circle,pad=0.4")
z_box = box(9.6, 1.85, "$z_c$", "#dbe9f6")
both_ways(the_sum, z_box)
for y, name in ((3.4, "avg"), (0.3, "max")):
    x_box = box(1, y, rf"$F^c_{{\mathrm{{{name}}}}}$", "#dbe9f6")
    first, middle, second = (box(x, y, text, "white") for x, text in ((3, "$W_1 x$"), (4.6, "ReLU"), (6.2, "$W_2 h$")))
    for start, end in ((x_box, first), (first, middle), (middle, second), (second, the_sum)):
        both_ways(start, end)
    for weights, node, symbol in ((w1_box, first, "W_1"), (w2_box, second, "W_2")):
        both_ways(weights, node, rf"$d{symbol}^{{\mathrm{{{name}}}}}$", along_x=0.12, along_y=0)
plt.show()

# %% [markdown]
r"""
What to see: two lanes, one set of weights. Black goes forward, red comes back: at $W_1$ and at $W_2$ two red arrows
meet, and where arrows meet on the way back, gradients add.

On paper, with $dz_c = (1, 0, 2, -1)$. For the average we have it already. For the maximum $dh$ is
again $(4, -4)$, but now both units are on, so $dz = (4, -4)$:

$$dW_1^{\text{max}} = \begin{pmatrix} 4 \\ -4 \end{pmatrix} (3, 3, 4, 0)
= \begin{pmatrix} 12 & 12 & 16 & 0 \\ -12 & -12 & -16 & 0 \end{pmatrix}$$
"""

# %%
d_z_c = d_out
_, d_w1_avg, d_w2_avg, *_ = avg_backward(d_z_c)
_, d_w1_max, d_w2_max, *_ = max_backward(d_z_c)
assert np.array_equal(d_w1_max, [[12, 12, 16, 0], [-12, -12, -16, 0]])
d_w1_by_hand = np.array([[16.0, 12.0, 24.0, -4.0], [-12.0, -12.0, -16.0, 0.0]])
assert np.array_equal(d_w1_avg + d_w1_max, d_w1_by_hand)


# %% mystnb={"image": {"alt": "d_w1 through the average has one row of zeros, through the maximum none; the sum."}}
def draw(ax, values, title, limit):
    """A small matrix with its numbers written in; the colours go from -limit to limit."""
    ax.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    for (i, j), value in np.ndenumerate(values):
        ax.text(j, i, f"{value:g}", ha="center", va="center", color="white" if abs(value) > 0.6 * limit else "black")
    ax.set(xticks=range(values.shape[1]), yticks=range(values.shape[0]), xlabel="channel c")
    ax.set_title(title, fontsize=10)


figure, axes = plt.subplots(1, 3, figsize=(9, 2.1), layout="constrained")
parts = {"d_w1 through the average": d_w1_avg, "+  d_w1 through the maximum": d_w1_max, "=  d_w1": d_w1_avg + d_w1_max}
for ax, (title, values) in zip(axes, parts.items(), strict=True):
    draw(ax, values, title, 24)
axes[0].set_ylabel("hidden unit u")
plt.show()

# %% [markdown]
r"""
What to see: through the average only hidden unit 0 gets something, because unit 1 was off; through the maximum both
do. If you keep only one of the two, nothing crashes and the shape is right.

So we measure: move each weight of $W_1$ up and down, and watch $L = \sum dz_c \odot z_c$.
"""

# %%
measured = np.zeros(w1.shape)
for u, c in np.ndindex(*w1.shape):
    for sign in (1, -1):
        nudged = w1.copy()
        nudged[u, c] += sign * 1e-4
        z_c = mlp(avg_c, nudged, w2)[0] + mlp(max_c, nudged, w2)[0]
        measured[u, c] += sign * np.sum(d_z_c * z_c) / 2e-4
print(measured.round(3) + 0.0)
assert np.allclose(measured, d_w1_by_hand)

# %% [markdown]
r"""
### In the package

`shared_mlp` calls `mlp` twice with the same weights, and adds what comes back.
"""

# %%
print(inspect.getsource(shared_mlp))

z_c, backward = shared_mlp(avg_c, max_c, w1, w2)
_, _, d_w1, d_w2, *_ = backward(d_z_c)
assert np.array_equal(z_c, sum_of_both)
assert np.array_equal(d_w1, d_w1_by_hand)
assert np.array_equal(d_w2, d_w2_avg + d_w2_max)

# %% [markdown]
r"""
You have met the same plus sign before, in $dW_1[u,c] = \sum_n dz[n,u]\, x[n,c]$. There the weight is used once for
each of the $N$ samples. So one may as well lay both vectors into one batch of $2N$ rows: the sum over the rows
then does all the adding.
"""

# %%
_, stacked_backward = mlp(np.concatenate([avg_c, max_c]), w1, w2)
_, d_w1_stacked, d_w2_stacked, *_ = stacked_backward(np.concatenate([d_z_c, d_z_c]))
assert np.allclose(d_w1_stacked, d_w1)
assert np.allclose(d_w2_stacked, d_w2)

# %% [markdown]
r"""
### Exercise 3.2 · Write the backward of the shared MLP

`d_z` is $dz_c$. If you have solved 3.1, you may call `mlp_backward`.
"""


# %%
def shared_mlp_backward(d_z, avg_c, max_c, w1, w2):
    """d_z, avg_c, max_c: (N, C). Returns d_avg_c, d_max_c, d_w1, d_w2."""
    ### BEGIN SOLUTION
    d_avg_c, d_w1_avg, d_w2_avg = mlp_backward(d_z, avg_c, w1, w2)
    d_max_c, d_w1_max, d_w2_max = mlp_backward(d_z, max_c, w1, w2)
    return d_avg_c, d_max_c, d_w1_avg + d_w1_max, d_w2_avg + d_w2_max
    ### END SOLUTION


right = exercise_3_2.check(shared_mlp_backward)

# %% [markdown]
r"""
## With a bias

The weights that the authors published have biases, so whoever loads them needs

$$\text{MLP}(x) = W_2\, \text{ReLU}(W_1 x + b_1) + b_2$$

with $b_1$ of shape $(C/r)$ and $b_2$ of shape $(C)$. The question is the same as ever. Where does $b_2[c]$ occur? In
$\text{out}[n,c]$ for every $n$, with the factor 1. And $b_1[u]$? In $z[n,u]$ for every $n$, with the factor 1:

$$db_2[c] = \sum_n d_{\text{out}}[n,c] \qquad db_1[u] = \sum_n dz[n,u]$$

In the shared MLP both are used twice. Now $b_2$ has no ReLU after it, and so its two ways are the same:

$$z_c = W_2 h_{\text{avg}} + b_2 + W_2 h_{\text{max}} + b_2 = W_2 (h_{\text{avg}} + h_{\text{max}}) + 2\, b_2$$

It enters **twice**, and $db_2 = 2 \sum_n dz_c[n]$. The right side of this line saves a matrix product, and
many write it. Who then forgets the 2 gets other gates from the same weights.

The factor 2 is not for $b_1$. Its two ways go through the ReLU, each with its own mask. In the example $dh = (4, -4)$;
unit 0 is on both times and gives $4 + 4$, unit 1 is on for the maximum only and gives $0 - 4$.
"""

# %%
b1, b2 = np.array([0.5, -1.0]), np.array([0.1, 0.2, -0.3, 0.4])
z_c, backward = shared_mlp(avg_c, max_c, w1, w2, b1, b2)
h_both = np.maximum(avg_c @ w1.T + b1, 0) + np.maximum(max_c @ w1.T + b1, 0)
assert np.allclose(z_c, h_both @ w2.T + 2 * b2)
assert not np.allclose(z_c, h_both @ w2.T + b2)

*_, d_b1, d_b2 = backward(d_z_c)
print("dz_c", d_z_c[0])
print("d_b2", d_b2)
print("d_b1", d_b1)
assert np.array_equal(d_b2, 2 * d_z_c.sum(axis=0))
assert np.array_equal(d_b1, [8, -4])

# %% [markdown]
r"""
### Exercise 3.3 · Write the backward of both biases

`d_z` is $dz_c$ again. `b2` itself is not needed, only its gradient.
"""


# %%
def biases_backward(d_z, avg_c, max_c, w1, w2, b1):
    """d_z, avg_c, max_c: (N, C); b1: (C/r,). Returns d_b1: (C/r,) and d_b2: (C,)."""
    ### BEGIN SOLUTION
    d_h = d_z @ w2
    d_z_avg = d_h * (avg_c @ w1.T + b1 > 0)
    d_z_max = d_h * (max_c @ w1.T + b1 > 0)
    return (d_z_avg + d_z_max).sum(axis=0), 2 * d_z.sum(axis=0)
    ### END SOLUTION


right = exercise_3_3.check(biases_backward)

# %% [markdown]
r"""
## Is it right?

The package's check moves the entries of all six inputs and compares. The numbers are random, so no $z$ is
exactly 0.
"""

# %%
rng = np.random.default_rng(0)
N, C, hidden = 3, 6, 2
shapes = {"avg_c": (N, C), "max_c": (N, C), "w1": (hidden, C), "w2": (C, hidden), "b1": hidden, "b2": C}
report = cb.gradcheck(shared_mlp, *(rng.standard_normal(shape) for shape in shapes.values()))
for name, row in zip(shapes, report.rows[::2], strict=True):
    print(f"{name:6} {row.verdict}")
assert report.ok

# %% [markdown]
r"""
## What to remember

- In (5) $\sigma$ is the ReLU; $W_1$ is $(C/r, C)$, $W_2$ is $(C, C/r)$, and the paper calls them $W_0$ and $W_1$.
- To find a gradient, ask where the number occurs and with which factor. Sums over $n$ become $dW_1 = dz^{\top} x$.
- Used twice, the gradients add: $dW_1 = dW_1^{\text{avg}} + dW_1^{\text{max}}$, and $b_2$ counts double.

**Next:** [4. Channel attention](04_channel_attention.ipynb) ·
**Solutions:** [chapter 3, solved](solutions/03_the_shared_mlp.ipynb)

**The code:** [mlp.py](../cbam_np/ops/perceptron.py) and [activation.py](../cbam_np/ops/activation.py), the same as
loops: [loops.py](../cbam_np/reference/loops.py)

**The paper:** Woo, Park, Lee, Kweon,
[CBAM: Convolutional Block Attention Module](https://arxiv.org/abs/1807.06521), section 3.
"""
