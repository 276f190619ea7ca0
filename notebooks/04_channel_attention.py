# %% [markdown]
r"""
# 4. Channel attention · 通道注意力

Everything is there now: the two pooled vectors of chapter 2, and the shared MLP of chapter 3. What is
missing is the sigmoid (S 型函数), which turns numbers into gates (门控), and the multiplication with $F$.
Then the whole channel branch stands, forward and backward.

**What you will learn**

- to compute the sigmoid and its slope so that nothing overflows (溢出) and nothing gets lost;
- why a gate is no normalisation (归一化), and what this means for the gradient;
- the reshape from $(N, C)$ to $(N, C, 1, 1)$, which the document never shows;
- the three paths (路径) on which the gradient comes back to $F$, how large each is, and what happens
  if one is dropped.

**What you need:** chapters [2](02_pooling_over_space.ipynb) and [3](03_the_shared_mlp.ipynb), and the
derivative of $1/q$.
"""

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np
import torch

import cbam_np as cb
from cbam_np.course.chapter_04 import exercise_4_1, exercise_4_2, exercise_4_3
from cbam_np.ops import avg_pool_over_space, gate, max_pool_over_space, shared_mlp, sigmoid

plt.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110})
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
r"""
## The formulas, as the document has them

Section 2, *通道注意力机制(Channel Attention)*, under *计算两个池化特征的注意力权重* and
*Sigmoid 归一化 并与原特征相乘*:

$$\mathbf{M}c = \sigma(\text{MLP}(\mathbf{F}{\text{avg}}) + \text{MLP}(\mathbf{F}_{\text{max}}))$$

$$\mathbf{F’} = \mathbf{M}_c \cdot \mathbf{F}$$

In the first one two subscripts have slipped down to the line: the $c$ of $\mathbf{M}$, and the first "avg".
The small $c$ above both $\mathbf{F}$ is gone.

## The formulas, as they must be read

$$\underbrace{M_c}_{N,C \,\to\, N,C,1,1} = \sigma\left(\underbrace{\text{MLP}(F^c_{\text{avg}})}_{N,C}
+ \underbrace{\text{MLP}(F^c_{\text{max}})}_{N,C}\right) \tag{6}$$

$$\underbrace{F'}_{N,C,H,W} = \underbrace{M_c}_{N,C,1,1} \otimes \underbrace{F}_{N,C,H,W} \tag{7}$$

1. $\sigma$ is the **sigmoid** here. In (5) the same letter was the ReLU.
2. *归一化*, normalisation, is the wrong word. Nothing sums to one.
3. The shape changes in the middle: the MLP gives $(N, C)$, and (7) needs $(N, C, 1, 1)$.
4. The dot in (7) is $\otimes$: multiplication with broadcasting (广播), see chapter [1](01_the_block.ipynb).
5. Section 3 of the document says that channel attention strengthens the correlation (相关性) between
   channels. It does not. It **uses** how channels go together. We check this below.

We write $z$ for what is in the bracket, so that $M_c = \sigma(z)$. Chapter 3 called it $z_c$.
"""

# %% [markdown]
r"""
## The sigmoid

$$\sigma(z) = \frac{1}{1 + e^{-z}}$$

On paper: $\sigma(0) = \frac{1}{1+1} = \frac12$. For $z = \ln 3$ we have $e^{-z} = \frac13$, so
$\sigma(\ln 3) = \frac{1}{1 + 1/3} = \frac34$. And $\sigma(-\ln 3) = \frac{1}{1+3} = \frac14$.

Did you notice $\frac34 + \frac14 = 1$? It holds for every $z$. Multiply above and below by $e^{z}$:

$$\sigma(z) = \frac{1}{1 + e^{-z}} = \frac{e^{z}}{e^{z} + 1} = 1 - \frac{1}{1 + e^{z}} = 1 - \sigma(-z)$$
"""


# %%
def naive_sigmoid(z):
    """The formula as it stands."""
    return 1 / (1 + np.exp(-z))


z = np.array([0, np.log(3), -np.log(3)])
print(naive_sigmoid(z))
assert np.allclose(naive_sigmoid(z), [1 / 2, 3 / 4, 1 / 4])
assert np.allclose(naive_sigmoid(z) + naive_sigmoid(-z), 1)

# %% [markdown]
r"""
### Both tails

Far from 0, in the **tails** (尾部), this line has two weaknesses.

- For $z = -1000$ it computes $e^{1000}$. That is too large for a float: NumPy warns of an overflow.
- Compute $1 - \sigma(z)$ at $z = 40$, and you get exactly 0. The truth is $\sigma(-40) \approx 4.2 \cdot 10^{-18}$,
  but $\sigma(40)$ has been rounded to 1, and the rest is lost.

The cure is to compute $e^{-|z|}$ only. It lies between 0 and 1 and cannot overflow. For $z \ge 0$ use the
first form from above, for $z < 0$ the second one:

$$\sigma(z) = \frac{1}{1 + e^{-|z|}} \;\text{ if } z \ge 0 \qquad
\sigma(z) = \frac{e^{-|z|}}{1 + e^{-|z|}} \;\text{ if } z < 0$$
"""

# %%
with np.errstate(over="raise"):
    try:
        naive_sigmoid(np.array(-1000.0))
    except FloatingPointError as error:
        print("FloatingPointError:", error)
    else:
        raise AssertionError("no overflow at -1000")

    far = np.array([-1000.0, -40.0, 40.0, 1000.0])
    stable, sigmoid_backward = sigmoid(far)
assert np.array_equal(stable[[0, 3]], [0, 1])
print(f"1 - σ(40) = {1 - naive_sigmoid(40.0)},  σ(-40) = {stable[1]:.1e}")
assert 1 - naive_sigmoid(40.0) == 0
assert np.isclose(stable[1], 4.248354255291589e-18, rtol=1e-12)

# %% [markdown]
r"""
### Its slope

Write $q = 1 + e^{-z}$, so that $\sigma = 1/q$.

**Step 1.** $\dfrac{d\sigma}{dq} = -\dfrac{1}{q^2}$ and $\dfrac{dq}{dz} = -e^{-z}$. The chain rule (链式法则)
multiplies them:

$$\sigma'(z) = \frac{e^{-z}}{(1 + e^{-z})^2}$$

**Step 2.** Take it apart into two factors. Multiply the second one by $e^{z}$, above and below:

$$\sigma'(z) = \frac{1}{1 + e^{-z}} \cdot \frac{e^{-z}}{1 + e^{-z}} = \sigma(z) \cdot \frac{1}{e^{z} + 1}
= \sigma(z)\, \sigma(-z)$$

**Step 3.** Since $\sigma(-z) = 1 - \sigma(z)$, this is also the well-known $\sigma (1 - \sigma)$. But there is the
subtraction again that loses the upper tail. $\sigma(z)\,\sigma(-z)$ does not change when $z$ becomes
$-z$, so in step 1 we may put $|z|$ for $z$, and that is how the package computes it.

Every gate sees its own $z$ only. So the backward is one product, entry by entry:

$$dz[n,c] = dM_c[n,c] \cdot \sigma'(z[n,c])$$
"""

# %%
print(inspect.getsource(sigmoid))

# %% mystnb={"image": {"alt": "The sigmoid rises from 0 to 1; its slope is a bell with its top 0.25 at z = 0."}}
z = np.linspace(-8, 8, 401)
s, s_backward = sigmoid(z)
slope = s_backward(np.ones_like(z))
assert np.allclose(slope, s * (1 - s))
assert np.isclose(slope.max(), 0.25)

figure, axes = plt.subplots(1, 2, figsize=(8, 2.6), layout="constrained")
for ax, values, title in ((axes[0], s, "gate: σ(z)"), (axes[1], slope, "slope: σ′(z)")):
    ax.plot(z, values, linewidth=2)
    ax.axvline(0, color="grey", linewidth=0.8, linestyle=":")
    ax.set(xlabel="z", title=title, ylim=(-0.02, 1.02), xticks=range(-8, 9, 4))
plt.show()

# %% [markdown]
r"""
What to see: the slope is nowhere more than $\frac14$, and nearly 0 where the gate is nearly shut or nearly open. A
gate out there hardly learns any more; it is **saturated** (饱和).

How much is lost by $\sigma(1-\sigma)$? In float32 the upper tail is gone from about $z = 17$. PyTorch
uses this form, by the way.
"""

# %%
for z, dtype in ((17, "float32"), (40, "float64")):
    s, s_backward = sigmoid(np.array([z], dtype))
    z_t = torch.tensor([z], dtype=getattr(torch, dtype), requires_grad=True)
    torch.sigmoid(z_t).backward()
    slope = s_backward(np.ones(1, dtype)).item()
    print(f"z = {z}, {dtype}: package {slope:.1e}, σ(1 - σ) {(s * (1 - s)).item():g}, PyTorch {z_t.grad.item():g}")
    assert np.isclose(slope, np.exp(-z), rtol=1e-6, atol=0)
    assert (s * (1 - s)).item() == z_t.grad.item() == 0

# %% [markdown]
r"""
### Exercise 4.1 · Write the backward of the sigmoid

It has to be right in both tails: the checker tries $z$ about $\pm 50$, and $\pm 800$, too.
"""


# %%
def sigmoid_backward(d_out, z):
    """d_out and z: any shape, the same. Returns d_z of this shape."""
    ### BEGIN SOLUTION
    e = np.exp(-np.abs(z))
    return d_out * e / (1 + e) ** 2
    ### END SOLUTION


right = exercise_4_1.check(sigmoid_backward)

# %% [markdown]
r"""
## A gate, not a normalisation

What would a normalisation be? The softmax, for example: $e^{z[c]}$ divided by the sum of all $e^{z[k]}$. Its entries
sum to one, so opening one gate shuts the others. Let us ask each of the two: if $z[k]$ moves, which gates move? The
answers make a matrix with one row for each gate and one column for each $z$, the **Jacobian** (雅可比矩阵).
"""


# %%
def softmax(z):
    return np.exp(z) / np.exp(z).sum()


def jacobian(function, z):
    """Column k: how the outputs move when z[k] moves. Measured."""
    steps = 1e-5 * np.eye(len(z))
    return np.array([(function(z + step) - function(z - step)) / 2e-5 for step in steps]).T


z = np.array([0.0, 1.0, -1.0, 2.0])
of_sigmoid, of_softmax = jacobian(naive_sigmoid, z), jacobian(softmax, z)
print("sum of the gates: sigmoid", naive_sigmoid(z).sum().round(3), " softmax", softmax(z).sum().round(3))
assert np.isclose(softmax(z).sum(), 1)
assert np.allclose(of_sigmoid, np.diag(sigmoid(z)[1](np.ones(4))))
assert np.all(of_softmax[~np.eye(4, dtype=bool)] < 0)


# %% mystnb={"image": {"alt": "Jacobian of the sigmoid: a diagonal. Of the softmax: all entries, negative off it."}}
def draw(ax, values, title, limit):
    """A small matrix with its numbers written in; the colours go from -limit to limit."""
    ax.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    for (i, j), value in np.ndenumerate(values.round(3) + 0.0):
        colour = "white" if abs(value) > 0.6 * limit else "black"
        ax.text(j, i, f"{value:.3g}", ha="center", va="center", color=colour)
    ax.set(xticks=range(values.shape[1]), yticks=range(values.shape[0]))
    ax.set_title(title, fontsize=10)


figure, axes = plt.subplots(1, 2, figsize=(6.5, 3.2), layout="constrained")
draw(axes[0], of_sigmoid, "sigmoid", 0.25)
draw(axes[1], of_softmax, "softmax", 0.25)
for ax in axes:
    ax.set(xlabel="z of channel k", ylabel="gate of channel c")
plt.show()

# %% [markdown]
r"""
What to see: under the sigmoid each $z$ moves its own gate and no other; under the softmax every $z$ moves every
gate. The zeros are why the backward of the sigmoid needs no sum.

The other wrong word was correlation. A gate multiplies a whole channel by one positive number. The correlation of two
channels of a sample, taken over the pixels, does not change by that at all:
"""

# %%
rng = np.random.default_rng(0)
N, C, H, W = 2, 6, 5, 7
f = rng.standard_normal((N, C, H, W))
params = cb.CBAM(C, reduction=2, dtype="float64", seed=0).params
f1, _ = cb.channel_attention(f, params)
for n in range(N):
    assert np.allclose(np.corrcoef(f1[n].reshape(C, H * W)), np.corrcoef(f[n].reshape(C, H * W)))
assert not np.allclose(f1, f)
print("the correlations are the same before and after")

# %% [markdown]
r"""
## The step that is not shown

The MLP works on $(N, C)$; formula (7) multiplies with $(N, C, H, W)$. NumPy compares shapes **from the right**. So
$(N, C)$ would put the samples on the rows and the channels on the columns. If the lengths differ, there is an
error. If they happen to agree, there is none, and the result is nonsense: the gates sit on the pixels.

So two axes of length 1 have to be put behind: $(N, C) \to (N, C, 1, 1)$.

And back? No number has changed, only how they are laid out. So the gradient is laid out back again, from
$(N, C, 1, 1)$ to $(N, C)$.
"""

# %%
gates = rng.uniform(size=(N, C))
try:
    gates * f
except ValueError as error:
    print("ValueError:", error)
else:
    raise AssertionError("(N, C) times (N, C, H, W) went through")

m_c = gates[:, :, None, None]
print(gates.shape, "->", m_c.shape, " times", f.shape, "->", (m_c * f).shape)
assert np.array_equal(m_c[:, :, 0, 0], gates)
square = f[:1, :, :, :C]  # one sample and W = C: no error, and nonsense
assert (gates[:1] * square).shape == square.shape
assert not np.allclose(gates[:1] * square, m_c[:1] * square)

# %% [markdown]
r"""
## On paper: the whole branch

We take the $F$ of chapter 2, one sample with two channels:

$$F[0,0] = \begin{pmatrix} 1 & 5 & 2 \\ 0 & 3 & 1 \end{pmatrix} \qquad
F[0,1] = \begin{pmatrix} -2 & 0 & -1 \\ -4 & -3 & 4 \end{pmatrix}$$

and $r = 2$, so there is one hidden unit. For nice gates let $a = \frac{\ln 3}{4} \approx 0.275$ and

$$W_1 = \begin{pmatrix} a & -a \end{pmatrix} \qquad W_2 = \begin{pmatrix} 1 \\ -1 \end{pmatrix}$$

| step | average | maximum |
|---|---|---|
| (3), (4) | $(2, -1)$ | $(5, 4)$ |
| $W_1 x$ | $2a + a = 3a$ | $5a - 4a = a$ |
| ReLU | $3a$ | $a$ |
| (5) | $(3a, -3a)$ | $(a, -a)$ |

Their sum is $z = (4a, -4a) = (\ln 3, -\ln 3)$. Formula (6): $M_c = (\frac34, \frac14)$. Formula (7): three quarters
of channel 0 are left, and one quarter of channel 1.
"""

# %%
f = np.array([[[[1.0, 5.0, 2.0], [0.0, 3.0, 1.0]], [[-2.0, 0.0, -1.0], [-4.0, -3.0, 4.0]]]])
a = np.log(3) / 4
w1, w2 = np.array([[a, -a]]), np.array([[1.0], [-1.0]])

m_c_by_hand = np.array([3 / 4, 1 / 4]).reshape(1, 2, 1, 1)
f1_by_hand = np.stack([f[:, 0] * 3 / 4, f[:, 1] / 4], axis=1)

# %% [markdown]
r"""
## As loops, and as one line

Formulas (6) and (7), given the two results of the MLP, entry by entry:

$$M_c[n,c] = \sigma\left(\text{out}_{\text{avg}}[n,c] + \text{out}_{\text{max}}[n,c]\right) \qquad
F'[n,c,i,j] = M_c[n,c]\; F[n,c,i,j]$$
"""

# %%
out_avg, out_max = np.array([[3 * a, -3 * a]]), np.array([[a, -a]])
N, C, H, W = f.shape
m_c, f1 = np.zeros((N, C)), np.zeros(f.shape)
for n, c in np.ndindex(N, C):
    m_c[n, c] = naive_sigmoid(out_avg[n, c] + out_max[n, c])
for n, c, i, j in np.ndindex(*f.shape):
    f1[n, c, i, j] = m_c[n, c] * f[n, c, i, j]
assert np.allclose(m_c, m_c_by_hand[:, :, 0, 0])
assert np.allclose(f1, f1_by_hand)

assert np.allclose(naive_sigmoid(out_avg + out_max)[:, :, None, None] * f, f1_by_hand)

# %% [markdown]
r"""
## The way back: $F$ is used three times

Follow $F$ forward, and count where it goes.
"""

# %% mystnb={"image": {"alt": "F goes to the product directly, and through both poolings, the MLP and the sigmoid."}}
figure, ax = plt.subplots(figsize=(10, 3.2), layout="constrained")
ax.set(xlim=(0.3, 10.7), ylim=(-0.1, 3.3))
ax.axis("off")


def box(x, y, text, colour, shape="round,pad=0.45"):
    style = {"boxstyle": shape, "facecolor": colour, "edgecolor": "black"}
    return ax.text(x, y, text, ha="center", va="center", bbox=style, zorder=3)


def both_ways(start, end, label=""):
    """Black from start to end; red, beside it, back."""
    (x, y), (x2, y2) = start.get_position(), end.get_position()
    length = np.hypot(x2 - x, y2 - y)
    aside, up = 0.09 * (y - y2) / length, 0.09 * (x2 - x) / length
    patches = start.get_bbox_patch(), end.get_bbox_patch()
    style = {"arrowstyle": "-|>", "linewidth": 1.5, "shrinkA": 3, "shrinkB": 3}
    for (tail, head), (a, b), sign, colour in (
        (((x, y), (x2, y2)), patches, 1, "black"),
        (((x2, y2), (x, y)), patches[::-1], -1, "crimson"),
    ):
        shifted = [(px + sign * aside, py + sign * up) for px, py in (head, tail)]
        ax.annotate("", *shifted, arrowprops={**style, "color": colour, "patchA": a, "patchB": b})
    ax.text((x + x2) / 2, (y + y2) / 2 - 0.2, label, color="crimson", ha="center", va="top")


features, product = box(0.9, 0.35, "$F$", "#dbe9f6"), box(9, 0.35, "⊗", "white", "circle,pad=0.4")
avg, maximum = box(2.1, 2.9, "average (3)", "#fdebd0"), box(3.1, 1.5, "maximum (4)", "#fdebd0")
mlp_box, sigma = box(5.2, 2.25, "shared MLP (5)", "#fdebd0"), box(7.2, 2.25, "σ (6)", "#fdebd0")
m_c_box, f1_box = box(9, 2.25, "$M_c$", "#dbe9f6"), box(10.3, 0.35, "$F'$", "#dbe9f6")
for start, end in ((features, avg), (features, maximum), (avg, mlp_box), (maximum, mlp_box), (mlp_box, sigma)):
    both_ways(start, end)
for start, end in ((sigma, m_c_box), (m_c_box, product), (product, f1_box)):
    both_ways(start, end)
both_ways(features, product, "the gate path:  $M_c \\otimes dF'$")
ax.text(8.75, 1.35, "$dM_c$", color="crimson", va="center", ha="right")
plt.show()

# %% [markdown]
r"""
What to see: three black arrows leave $F$, and three red ones come back to it. The total derivative of chapter 3
says: add them.

### Through the product

$$F'[n,c,i,j] = M_c[n,c]\; F[n,c,i,j]$$

**Step 1: $M_c[n,c]$.** Where does it occur? In the $HW$ products of its own channel, one for each pixel, with the
factor $F[n,c,i,j]$. So its gradient is a sum over the pixels. (Forward, broadcasting repeats a number; backward, the
shares of all its copies are added.)

**Step 2: $F[n,c,i,j]$, as a factor.** It occurs in one product, with the factor $M_c[n,c]$. This is the **gate
path**, $M_c \otimes dF'$.

**Step 3: $F$ as the input of the map.** $F$ has also moved $M_c$. Write $\partial M_c / \partial F$ for all slopes of
the map. An entry of $F$ moves $L$ through every gate that it moves. So for each entry of $F$ we sum slope times $dM_c$
over the gates; the small $\top$ stands for this sum. Steps 1 to 3 together:

$$\boxed{dM_c[n,c] = \sum_{i,j} dF'[n,c,i,j]\, F[n,c,i,j] \qquad
dF = M_c \otimes dF' + \left(\frac{\partial M_c}{\partial F}\right)^{\!\top} dM_c}$$

### Through the map

We need not write down $\partial M_c / \partial F$. We go back through the map, step by step, with what we have.

**Step 1: the sigmoid.** $dz = dM_c \odot \sigma'(z)$, after the reshape to $(N, C)$.

**Step 2: the shared MLP** (chapter 3). Both calls get all of $dz$. The shares of the weights are added. The two
pooled vectors get a gradient each.

**Step 3: the poolings** (chapter 2). Each sends its gradient to the pixels, and both arrive at the same $F$.
We write $dF_{\text{avg}}$ and $dF_{\text{max}}$ for what they send: the **average path** and the **max path**. In this
box $dF$ is what comes back through the map alone.

$$\boxed{dz = dM_c \odot \sigma'(z) \quad\; dW_1 = dW_1^{\text{avg}} + dW_1^{\text{max}} \quad\;
dW_2 = dW_2^{\text{avg}} + dW_2^{\text{max}} \quad\; dF = dF_{\text{avg}} + dF_{\text{max}}}$$

### On paper, backward

Let the upstream gradient be

$$dF'[0,0] = \begin{pmatrix} 1 & 3 & 0 \\ 0 & 0 & 0 \end{pmatrix} \qquad
dF'[0,1] = \begin{pmatrix} 0 & 0 & 0 \\ 4 & 0 & 0 \end{pmatrix}$$

- $dM_c = (1 \cdot 1 + 3 \cdot 5,\; 4 \cdot (-4)) = (16, -16)$
- $\sigma' = \frac34 \cdot \frac14 = \frac{3}{16}$ for both gates, so $dz = (3, -3)$
- hidden unit: $dh = 3 \cdot 1 + (-3) \cdot (-1) = 6$, and it is on both times
- $dW_2 = (3, -3)$ times $(3a + a)$, that is $(12a, -12a)$; $\;dW_1 = 6 \cdot (2 + 5,\; -1 + 4) = (42, 18)$
- to each pooled vector: $6\, W_1 = (6a, -6a)$. The average gives each of its six pixels $a$, or $-a$; the maximum gives
  $6a$ to the 5, and $-6a$ to the 4.
"""

# %%
d_f1 = np.array([[[[1.0, 3.0, 0.0], [0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0], [4.0, 0.0, 0.0]]]])
d_m_c, d_f_gate = gate(m_c_by_hand, f)[1](d_f1)
d_z = sigmoid(np.array([[4 * a, -4 * a]]))[1](d_m_c[:, :, 0, 0])
_, mlp_backward = shared_mlp(f.mean(axis=(2, 3)), f.max(axis=(2, 3)), w1, w2)
d_avg_c, d_max_c, d_w1, d_w2, *_ = mlp_backward(d_z)
d_f_avg = avg_pool_over_space(f)[1](d_avg_c)
d_f_max = max_pool_over_space(f)[1](d_max_c)
d_f_by_hand = d_f_gate + d_f_avg + d_f_max

assert np.allclose(d_m_c.ravel(), [16, -16])
assert np.allclose(d_z, [[3, -3]])
assert np.allclose(d_w1, [[42, 18]])
assert np.allclose(d_w2.ravel(), [12 * a, -12 * a])
assert np.allclose(d_avg_c, [[6 * a, -6 * a]])
assert np.allclose(d_max_c, [[6 * a, -6 * a]])

# %% mystnb={"image": {"alt": "d_f is the sum of the gate path, the constant average path and the one-pixel max path."}}
figure, axes = plt.subplots(2, 4, figsize=(10, 3.7), layout="constrained")
parts = {
    "gate path": d_f_gate,
    "+  average path": d_f_avg,
    "+  max path": d_f_max,
    "=  d_f": d_f_by_hand,
}
for column, (title, values) in zip(axes.T, parts.items(), strict=True):
    for c, ax in enumerate(column):
        draw(ax, values[0, c], title if c == 0 else "", 4)
        ax.set(xticks=[], yticks=[])
for c, ax in enumerate(axes[:, 0]):
    ax.set_ylabel(f"channel {c}")
plt.show()

# %% [markdown]
r"""
What to see: the gate path goes where the upstream gradient was not 0; the average path puts the same small number
on every pixel of a channel; the max path puts one large number on one pixel.

### Exercise 4.2 · Write the backward of the gate

`m_c` is handed to you. So `d_f` is the gate path alone: steps 1 and 2 of *Through the product*.
"""


# %%
def gate_backward(d_f1, m_c, f):
    """d_f1 and f: (N, C, H, W); m_c: (N, C, 1, 1). Returns d_m_c: (N, C, 1, 1) and d_f: (N, C, H, W)."""
    ### BEGIN SOLUTION
    d_m_c = (d_f1 * f).sum(axis=(2, 3), keepdims=True)
    d_f = m_c * d_f1
    return d_m_c, d_f
    ### END SOLUTION


right = exercise_4_2.check(gate_backward)

# %% [markdown]
r"""
## Assembled by hand

Five operations forward, and the same five in reverse order backward. We keep the three paths apart, so that we can
look at them later.
"""


# %%
def channel_branch(f, w1, w2):
    """Formulas (3) to (7). Its backward returns the three paths to f, and d_w1, d_w2."""
    avg_c, avg_backward = avg_pool_over_space(f)  # (3)
    max_c, max_backward = max_pool_over_space(f)  # (4)
    z, mlp_backward = shared_mlp(avg_c, max_c, w1, w2)  # (5)
    gates, sigmoid_backward = sigmoid(z)  # (6)
    f1, gate_backward = gate(gates[:, :, None, None], f)  # (7)

    def backward(d_f1):
        d_m_c, gate_path = gate_backward(d_f1)
        d_z = sigmoid_backward(d_m_c[:, :, 0, 0])
        d_avg_c, d_max_c, d_w1, d_w2, *_ = mlp_backward(d_z)
        return (gate_path, avg_backward(d_avg_c), max_backward(d_max_c)), d_w1, d_w2

    return f1, backward


f1, backward = channel_branch(f, w1, w2)
paths, d_w1, d_w2 = backward(d_f1)
assert np.allclose(f1, f1_by_hand)
assert np.allclose(sum(paths), d_f_by_hand)

# %% [markdown]
r"""
The package has the same in two functions, the map and the module. They keep the weights in a dict.
"""

# %%
print(inspect.getsource(cb.channel_map))
print(inspect.getsource(cb.channel_attention))

rng = np.random.default_rng(1)
f, d_f1 = rng.standard_normal((2, 3, 8, 5, 4))  # two arrays of shape (3, 8, 5, 4)
params = cb.CBAM(8, reduction=4, dtype="float64", seed=1).params
ours, our_backward = channel_branch(f, params["channel.w1"], params["channel.w2"])
theirs, their_backward = cb.channel_attention(f, params)

paths, d_w1, d_w2 = our_backward(d_f1)
d_f, grads = their_backward(d_f1)
assert np.allclose(ours, theirs, rtol=1e-12)
assert np.allclose(sum(paths), d_f, rtol=1e-12, atol=1e-14)
assert np.allclose(d_w1, grads["channel.w1"], rtol=1e-12, atol=1e-14)
assert np.allclose(d_w2, grads["channel.w2"], rtol=1e-12, atol=1e-14)
print("forward and backward agree with the package")

# %% [markdown]
r"""
### Exercise 4.3 · Write the backward of channel attention

All of it. You may call the five operations that are imported at the top, and their `backward`, but not
`channel_branch`.
"""


# %%
def channel_attention_backward(d_f1, f, w1, w2):
    """d_f1 and f: (N, C, H, W). Returns d_f, d_w1, d_w2."""
    ### BEGIN SOLUTION
    avg_c, avg_backward = avg_pool_over_space(f)
    max_c, max_backward = max_pool_over_space(f)
    z, mlp_backward = shared_mlp(avg_c, max_c, w1, w2)
    gates, from_gates = sigmoid(z)
    _, from_product = gate(gates[:, :, None, None], f)

    d_m_c, d_f_gate = from_product(d_f1)
    d_z = from_gates(d_m_c[:, :, 0, 0])
    d_avg_c, d_max_c, d_w1, d_w2, *_ = mlp_backward(d_z)
    return d_f_gate + avg_backward(d_avg_c) + max_backward(d_max_c), d_w1, d_w2
    ### END SOLUTION


right = exercise_4_3.check(channel_attention_backward)

# %% [markdown]
r"""
## How large is each path?

If a path is forgotten, $dF$ is wrong by exactly this path. So we measure its **share**: the norm (范数) of the path,
divided by the norm of $dF$. (The norm is the root of the sum of all squares. The shares need not add up to 100 %.)

There are two cases. In the first both $F$ and the upstream gradient are random, as in a gradient check. In the second
$F$ has been through a ReLU, and the upstream gradient is the same at all pixels of a channel; a global average that
follows sends back such a gradient. 64 channels, $r = 16$, initial weights, mean over five seeds.
"""


# %%
def shares(size, after_relu):
    """The share of each of the three paths."""
    measured = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        f = rng.standard_normal((1, 64, size, size))
        d_f1 = rng.standard_normal((1, 64, size, size))
        if after_relu:
            f = np.maximum(f, 0)
            d_f1 = np.broadcast_to(d_f1[:, :, :1, :1], f.shape)
        weights = list(cb.CBAM(64, dtype="float64", seed=seed).params.values())[:2]
        paths, *_ = channel_branch(f, *weights)[1](d_f1)
        measured.append([np.linalg.norm(path) / np.linalg.norm(sum(paths)) for path in paths])
    return np.mean(measured, axis=0)


sizes = (7, 14, 28, 56)
cases = {"random": False, "after a ReLU, same upstream at all pixels": True}
share = {case: np.array([shares(size, after_relu) for size in sizes]) for case, after_relu in cases.items()}
for case, table in share.items():
    print(f"{case}\n{'H = W':>8}{'gate':>8}{'average':>9}{'max':>7}")
    for size, row in zip(sizes, table, strict=True):
        print(f"{size:>8}{row[0]:>8.1%}{row[1]:>9.1%}{row[2]:>7.1%}")

random, after_relu = share.values()
assert np.all(random[:, 0] > 0.98)
assert np.all(random[:, 1] < 0.013)
assert np.all(random[1:, 1] < 0.01)
assert after_relu[-1].argmax() == 2
d_avg_c = np.array([[3.0]])
spread = avg_pool_over_space(np.zeros((1, 1, 4, 9)))[1](d_avg_c)
assert np.isclose(np.linalg.norm(spread), 3 / np.sqrt(4 * 9))

# %% mystnb={"image": {"alt": "Shares of the paths against H: random, gate 99 %, max 10 %, average below 1.3 %."}}
figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.2), sharey=True, layout="constrained")
for ax, (case, table) in zip(axes, share.items(), strict=True):
    for values, name, marker in zip(table.T, ("gate path", "average path", "max path"), "os^", strict=True):
        ax.plot(sizes, values, marker=marker, label=name)
    ax.set(xscale="log", yscale="log", ylim=(5e-4, 2), xlabel="H = W")
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.set_yticks([0.001, 0.01, 0.1, 1], ["0.1 %", "1 %", "10 %", "100 %"])
    ax.minorticks_off()
    ax.grid(alpha=0.3)
    ax.set_title(case, fontsize=10)
axes[0].set_ylabel("norm of the path / norm of d_f")
axes[1].legend(fontsize=8, loc="lower left")
plt.show()

# %% [markdown]
r"""
What to see: on random numbers the gate path is nearly everything, and the average path is down at about one percent or
less; in the second case, at $56 \times 56$, the max path is the largest of the three.

Two lessons:

- From $14 \times 14$ on, a check with a tolerance of one percent does not see a missing average path. A number
  $d$ that is spread over $HW$ pixels has the norm $\sqrt{HW \cdot (d/HW)^2} = |d| / \sqrt{HW}$.
- "It is small anyway" is no excuse. It is small on random numbers.

## What happens when one is dropped?

Nothing crashes. All shapes are right. Even the gradients of $W_1$ and $W_2$ are right, so this block learns as it
should; what is wrong is what the layers **before** it get. Only a comparison shows it. `cb.gradcheck` compares to seven
digits and under a random upstream gradient, and it finds each of the three.
"""


# %%
def without(dropped):
    """Channel attention with one path missing on the way back."""

    def op(f, w1, w2):
        f1, backward = channel_branch(f, w1, w2)

        def wrong_backward(d_f1):
            paths, d_w1, d_w2 = backward(d_f1)
            return sum(path for k, path in enumerate(paths) if k != dropped), d_w1, d_w2

        return f1, wrong_backward

    return op


weights = params["channel.w1"], params["channel.w2"]
for dropped, name in enumerate(("gate path", "average path", "max path", "nothing")):
    report = cb.gradcheck(without(dropped), f[:1, :, :3, :3], *weights)
    verdict = {row.input: row.verdict for row in report.rows}
    print(f"{name + ' dropped:':24}", ", ".join(f"d_{key} {value}" for key, value in verdict.items()))
    assert list(verdict.values()) == ["wrong" if name != "nothing" else "ok", "ok", "ok"]

# %% [markdown]
r"""
## What to remember

- The $\sigma$ of (6) is the sigmoid: one gate for each channel, each by itself. Its slope is
  $\sigma(z)\,\sigma(-z)$, computed from $e^{-|z|}$.
- $F$ is used three times, so $dF$ is a sum of three: gate path, average path, max path.
- Dropping one crashes nothing and may change little. Only a sharp check shows it.

**Next:** [5. Pooling over channels](05_pooling_over_channels.ipynb) ·
**Solutions:** [chapter 4, solved](solutions/04_channel_attention.ipynb)

**The code:** [channel.py](../cbam_np/attention/channel.py), [activation.py](../cbam_np/ops/activation.py) and
[gate.py](../cbam_np/ops/gating.py), the same as loops: [loops.py](../cbam_np/reference/loops.py)

**The paper:** Woo, Park, Lee, Kweon,
[CBAM: Convolutional Block Attention Module](https://arxiv.org/abs/1807.06521), section 3.
"""
