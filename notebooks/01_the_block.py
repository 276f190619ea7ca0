# %% [markdown]
r"""
# 1. The block, from the outside · 模块的整体结构

> **What goes into CBAM, what comes out, and how will you know that a gradient is right?**
"""

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np

import cbam_np as cb
from cbam_np.checking.simple import simple_gradcheck
from cbam_np.course import answer, check, pictures_a
from cbam_np.course.learned_maps import numbers

plt.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110})
np.set_printoptions(precision=3, suppress=True)

# %% mystnb={"image": {"alt": "F forks into the channel map and a product; F prime into the spatial map and another."}}
pictures_a.block_diagram()

# %% [markdown]
r"""
CBAM takes feature maps (特征图) $F$ and returns feature maps $F''$ of the same shape (形状), with some channels and some
places turned down. It works in two stages of the same form: compute a map of gates from the input, then multiply the
input by it. Chapters 2 to 6 open the orange boxes. This one is about everything around them.

| | |
|---|---|
| **Time** | 70 minutes |
| **You need** | NumPy indexing, the slope of a function of one variable |
| **You build** | the gradient check: `slopes` and `largest_error` |

## The formulas

A batch (批) has $N$ pictures; each has $C$ channels (通道), $H$ rows and $W$ columns.

$$\underbrace{F'}_{N,C,H,W} = \underbrace{M_c(F)}_{N,C,1,1} \otimes \underbrace{F}_{N,C,H,W} \tag{1}$$

$$\underbrace{F''}_{N,C,H,W} = \underbrace{M_s(F')}_{N,1,H,W} \otimes \underbrace{F'}_{N,C,H,W} \tag{2}$$

$M_c$ is the map of **channel attention** (通道注意力): one gate (门控) for each channel of each picture. $M_s$ is the map of
**spatial attention** (空间注意力): one gate for each place of each picture. Note that $M_s$ is computed from $F'$, the result
of the first stage. $\otimes$ is entry-by-entry multiplication after **broadcasting** (广播): where a map has an axis of
length 1, its entry is used for the whole axis. With every index written out,

$$F'[n,c,i,j] = M_c[n,c]\; F[n,c,i,j] \qquad F''[n,c,i,j] = M_s[n,i,j]\; F'[n,c,i,j]$$

<details><summary>The document's own form</summary>

Section 1, *CBAM 的整体结构*:

$$\mathbf{F'} = \text{CAM}(\mathbf{F}) \cdot \mathbf{F}$$

$$\mathbf{F''} = \text{SAM}(\mathbf{F'}) \cdot \mathbf{F'}$$

Read $\text{CAM}(\mathbf{F})$ as the map $M_c$, $\text{SAM}(\mathbf{F'})$ as the map $M_s$, and the dot as $\otimes$. More about
this in [the appendix on misprints](A3_misprints.ipynb).
</details>

## On paper

One picture, two channels, two rows, two columns. Suppose the two maps are given.

$$F_0 = \begin{pmatrix} 4 & 8 \\ 12 & 16 \end{pmatrix}\quad F_1 = \begin{pmatrix} 8 & 0 \\ 16 & 8 \end{pmatrix} \qquad
M_c = \left(\tfrac12,\ \tfrac14\right)\quad M_s = \begin{pmatrix} \frac12 & \frac12 \\ \frac14 & \frac34 \end{pmatrix}$$

**1.1** Take a pencil. Formula (1) halves all of channel 0 and quarters all of channel 1; formula (2) then multiplies both
channels by the same $M_s$, place by place. What is the bottom right entry of $F''$ in channel 0, and in channel 1? Type a
pair.
"""

# %%
answer("1.1", ...)  # solved: (6, 1.5)

# %% [markdown]
r"""
NumPy lines up shapes from the right. So `(1, 2, 1, 1) * (1, 2, 2, 2)` uses the gate of a channel at every place, and
`(1, 1, 2, 2) * (1, 2, 2, 2)` uses the gate of a place in every channel.
"""

# %% mystnb={"image": {"alt": "Two rows of number grids, one for each channel: F, M_c, F prime, M_s, F double prime."}}
f = np.array([[[[4.0, 8.0], [12.0, 16.0]], [[8.0, 0.0], [16.0, 8.0]]]])
m_c = np.array([1 / 2, 1 / 4]).reshape(1, 2, 1, 1)
m_s = np.array([[1 / 2, 1 / 2], [1 / 4, 3 / 4]]).reshape(1, 1, 2, 2)
f1 = m_c * f
f2 = m_s * f1
pictures_a.stages(f[0], m_c[0], f1[0], m_s[0], f2[0])
for n, c, i, j in np.ndindex(*f.shape):
    assert f2[n, c, i, j] == m_s[n, 0, i, j] * m_c[n, c, 0, 0] * f[n, c, i, j]

# %% [markdown]
r"""
What to see: $M_c$ is constant inside a channel and differs between the two rows of the figure; $M_s$ is the same in both
rows and differs inside them.

<details><summary>An MLP returns the gates of channels with the shape (N, C). What does m_c * f do if m_c has the shape
(1, 2) and f has the shape (1, 2, 2, 2)?</summary>

No error: shapes are lined up from the right, so the two gates end up on the two *columns*, in every channel. That is wrong,
and nothing warns you, because here $C = W$. With $C \ne W$ there would be an error.
</details>
"""

# %%
wrong = m_c.reshape(1, 2) * f
assert wrong.shape == f1.shape
assert np.array_equal(wrong[0, 0], f[0, 0] * [1 / 2, 1 / 4])  # column by column

# %% [markdown]
r"""
## A trained block

This is the block from the moving picture of chapter 0, after training, on one of its five pictures. Its $F$ has 32
channels of $12 \times 12$. Six of them are drawn, from the most open gate to the most shut; red is positive, blue
negative.
"""

# %% mystnb={"image": {"alt": "A digit; 32 gates as bars; the spatial map; six channels of F, F prime, F double prime."}}
learned = numbers()
params = {name: learned[name].astype(float) for name in ("channel.w1", "channel.w2", "spatial.kernel")}
f = learned["f"].astype(float)
maps = {}
f2, _ = cb.cbam(f, params, maps=maps)
m_c, m_s = maps["channel"], maps["spatial"]
f1 = m_c * f
picture = 0
pictures_a.walk(learned["scenes"][picture], f[picture], m_c[picture], f1[picture], m_s[picture], f2[picture])
assert f.shape == f2.shape == (5, 32, 12, 12)
assert np.allclose(f2, m_s * f1)

# %% [markdown]
r"""
(Change `picture` above to see another one, 0 to 4.) What to see: from the first row to the second, whole channels fade,
by the factor above them. From the second row to the third, places beside the strokes fade, in every channel alike.

**A gate is not a normalisation.** If $M_c$ were normalised, its entries would add up to 1, as with a softmax. They don't:
each gate is a number between 0 and 1 of its own. So no feature can grow, $|F''[n,c,i,j]| \le |F[n,c,i,j]|$, and opening one gate takes nothing away from another.

**A fresh block turns everything down.** Before training the gates are near one half, and there are two in a row. So
about a quarter of $F$ is left. If you put a fresh CBAM into a trained network, its features shrink about fourfold.
"""

# %%
assert np.all(np.abs(f2) <= np.abs(f))
assert m_c[picture].sum() > 2
random_f = np.random.default_rng(1).normal(size=(2, 64, 14, 15))
fresh = [cb.CBAM(64, dtype="float64", seed=seed)(random_f) for seed in range(20)]
left = np.mean([np.abs(f2).sum() / np.abs(random_f).sum() for f2 in fresh])
print(f"the 32 gates of one picture add up to {m_c[picture].sum():.1f};  a fresh block leaves {left:.0%} of F")
assert 0.2 < left < 0.3

# %% [markdown]
r"""
<details><summary>Multiplication commutes, so M_s ⊗ (M_c ⊗ F) = M_c ⊗ (M_s ⊗ F). Then why does it matter which stage comes
first?</summary>

Because the maps are computed. If channel attention comes first, the spatial map is made from $F'$, in which some channels
are already turned down; if it comes second, the spatial map is made from $F$. The maps differ, so the result differs. The
next cell measures it.
</details>
"""

# %%
channel_first = cb.spatial_attention(cb.channel_attention(f, params)[0], params)[0]
spatial_first = cb.channel_attention(cb.spatial_attention(f, params)[0], params)[0]
difference = np.abs(channel_first - spatial_first).max() / np.abs(channel_first).max()
print(f"the other order changes the output by up to {difference:.0%} of its largest entry")
assert np.allclose(channel_first, m_s * m_c * f)
assert difference > 0.1

# %% [markdown]
r"""
## An operation and its backward

To train the block you need gradients (梯度). They come from a **backward pass** (反向传播), as in
chapter 0: each operation of yours will return its output *and* its backward. Here is one
that CBAM does not need, `cube`. For an array, $\text{out} = x^3$ entry by entry. One entry of $x$ moves one entry of the
output, with the slope $3x^2$. So

$$dx[i] = d_{\text{out}}[i] \cdot 3\, x[i]^2$$

where $d_{\text{out}}$ is the upstream gradient (上游梯度) from chapter 0, now an array of the shape of the output.
"""


# %%
def cube(x):
    def backward(d_out):
        return d_out * 3 * x**2

    return x**3, backward


out, backward = cube(np.array([1.0, 2.0, -3.0]))
print(out, backward(np.array([1.0, 10.0, -1.0])))
assert np.array_equal(backward(np.array([1.0, 10.0, -1.0])), [3, 120, -27])

# %% [markdown]
r"""
With two inputs, `backward` returns a tuple, one gradient for each, in the order of the inputs. Below, `scale` multiplies
a whole array by a single number $w$, so that $w$ moves **every** entry of the output, and all these movements add up:
"""


# %%
def scale(w, x):
    """w: shape (1,); x: any shape. Returns w x."""

    def backward(d_out):
        d_w = np.array([np.sum(d_out * x)])
        d_x = d_out * w
        return d_w, d_x

    return w * x, backward


# %% [markdown]
r"""
## Measuring a gradient

Derivations can go wrong, and so can code. So from now on you **measure**. This is called a gradient check
(梯度检查), and you write it first, because it will judge all your other functions.

**Step 1: make one number out of the output.** `backward` is given $d_{\text{out}}$ and computes the gradient of some loss
$L$. Which one? The simplest $L$ with the upstream gradient $d_{\text{out}}$ is

$$L = \sum d_{\text{out}} \odot \text{out}$$

Indeed, if one entry of out moves by 1, this $L$ moves by the entry of $d_{\text{out}}$ at the same place.

**Step 2: move one entry of one input.** Add a small $\varepsilon$ to it and compute $L$; subtract $\varepsilon$ and compute
$L$ again. All other entries stay as they are. The slope of $L$ along this entry is about

$$\frac{L(\text{entry} + \varepsilon) - L(\text{entry} - \varepsilon)}{2\,\varepsilon}$$

Both sides are used because the curvature of $L$ cancels that way. $\varepsilon = 10^{-5}$ is a good choice for float64;
chapter [8](08_checking_a_gradient.ipynb) says why.

**Step 3: do this for every entry**, and put each slope where its entry is. The result has the shape of the input, just like
the gradient.

On paper, for `cube` with $x = (1, 2)$, $d_{\text{out}} = (5, -1)$ and a coarse $\varepsilon = 0.1$: moving the first
entry gives $5\,(1.1^3 - 0.9^3)/0.2 = 15.05$, and the gradient says $5 \cdot 3 \cdot 1^2 = 15$.
"""

# %%
coarse = 5 * (1.1**3 - 0.9**3) / 0.2
assert np.isclose(coarse, 15.05)
assert np.isclose(5 * (1 + 1e-5) ** 3 - 5 * (1 - 1e-5) ** 3, 15 * 2e-5)

# %% [markdown]
r"""
### Build 1 of 16 · `slopes`

Open `my_cbam.py` and write `slopes(op, inputs, which, d_out)`. `inputs` is a tuple of arrays, and `which` says which of
them to move. It must not use `backward`: it doesn't know what the derivation says. Three questions to ask yourself:

- How do you visit every entry of an array with any number of axes? (`np.ndindex`)
- After you have moved an entry, is it back where it was before the next one moves?
- Are the caller's arrays unchanged at the end?
"""

# %%
check("slopes")

# %% [markdown]
r"""
### Which upstream gradient?

The slopes and the gradient can be compared for any $d_{\text{out}}$. Ones are the obvious choice, and a bad one. Here is an
operation with a backward that is plainly wrong:
"""


# %%
def share(x):
    """Each entry divided by the sum of all. The backward is wrong."""

    def backward(d_out):
        return np.zeros_like(x)

    return x / x.sum(), backward


def measured(op, x, d_out):
    """The slope of L along every entry of a vector x."""
    steps = 1e-5 * np.eye(len(x))
    return np.array([np.sum(d_out * (op(x + step)[0] - op(x - step)[0])) / 2e-5 for step in steps])


x = np.array([1.0, 2.0, 5.0])
for d_out in (np.ones(3), np.array([0.3, -1.2, 0.8])):
    print("d_out", d_out, " backward", share(x)[1](d_out), " measured", measured(share, x, d_out) + 0.0)
assert np.allclose(measured(share, x, np.ones(3)), 0)
assert np.abs(measured(share, x, np.array([0.3, -1.2, 0.8]))).max() > 0.05

# %% [markdown]
r"""
With ones, $L$ is the sum of all shares. That is 1, whatever $x$ is, so the true gradient is zero and the wrong backward
passes. With $d_{\text{out}} = 1$ many true gradients are zero or symmetric, and wrong ones pass. So draw $d_{\text{out}}$
at random.

### Build 2 of 16 · `largest_error`

`largest_error(op, *inputs, seed=0)` is your gradient check. It draws a random $d_{\text{out}}$ from the seed, calls
`backward` once, measures the slopes of every input with `slopes`, and returns the largest difference that it finds
anywhere.

- What do you do when `backward` returns a single array and not a tuple?
- Nobody has told you the shape of `d_out`. Where do you get it from?
"""

# %%
check("largest_error")

# %% [markdown]
r"""
That was the whole check, in about 25 lines. Try it on `cube`, `scale` and `share`, in a cell of your own:

```python
from my_cbam import largest_error
largest_error(scale, np.array([2.0]), np.random.default_rng(0).normal(size=(3, 4)))
```

(Python doesn't reload a module that it has already imported. After you change the file, restart the kernel.)

For a right gradient, with numbers of about size 1, you get rounding errors: $10^{-7}$ or less. For a wrong one you get
something near the size of the gradient itself. There is rarely anything in between. The package has a check of the same
kind, `simple_gradcheck`, which divides by the largest slope. Here is what it says about our three operations, and about the
whole block:

> **The package's functions and yours.** They compute the same, but the package's take more: biases, padding, other array
> libraries. So the chapters call them a little differently. `cb.cbam(f, params)` takes the weights in one dictionary, and
> its backward returns `d_f` and a dictionary. `mlp` also takes biases, and its backward returns their gradients.
> `im2col(x, k, padding=1)` also returns a backward. In your file, keep to the stubs.
"""

# %%
some = np.random.default_rng(0).normal(size=(2, 4, 3, 3))
block = cb.CBAM(4, reduction=2, kernel_size=3, dtype="float64", seed=0).params
for name, error in {
    "cube": simple_gradcheck(cube, x),
    "scale": simple_gradcheck(scale, np.array([2.0]), some),
    "share": simple_gradcheck(share, x),
    "cbam": simple_gradcheck(cb.cbam, some, block),
}.items():
    print(f"{name:6}", "right" if error < 1e-6 else f"wrong, by {error:.0%} of the largest slope")
    assert (error < 1e-6) == (name != "share")

# %% [markdown]
r"""
<details><summary>Does a small error prove that a gradient is right?</summary>

It proves that the gradient is right *at this input*. If your function has a branch that this input never takes, such as a
tie in a maximum or a ReLU at exactly 0, the check says nothing about it. And it compares the backward with the forward:
if the forward computes the wrong thing, a backward that fits it passes. That is why `check` also compares your output with
what the formula says.
</details>

## What you built

A judge. `slopes` measures, `largest_error` compares, and neither knows any calculus. From here on, `check` runs your
functions through a check like yours, and you can call your own at any time.

**Next:** [2. Pooling](02_pooling.ipynb) · **The code:** [block.py](../cbam_np/attention/block.py),
[simple.py](../cbam_np/checking/simple.py) · **The paper:** [CBAM](https://arxiv.org/abs/1807.06521), section 3
"""
