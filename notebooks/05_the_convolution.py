# %% [markdown]
r"""
# 6. The 7×7 convolution · 7×7 卷积

For each pixel (像素) we now have two numbers, an average and a maximum. Spatial attention (空间注意力)
makes one gate (门控) of them. It looks at more than the pixel itself: at a window (窗口) of
$7 \times 7$ pixels around it. The weights of the window are the same everywhere. This is a **convolution**
(卷积), and the weights are its **kernel** (卷积核).

This chapter goes forward only. The way back is chapter 7.

**What you will learn**

- to read formula (10), and to fill in the four things that it leaves open;
- to compute a convolution by hand and in loops, and why its name is not quite right;
- what happens if average and maximum change places, and why nobody notices;
- how `im2col` turns the convolution into one matrix product, index by index, and what that costs.

**What you need:** chapter [5](05_pooling_over_channels.ipynb), and the product of two matrices.
"""

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np
import torch

import cbam_np as cb
from cbam_np.commands import tour
from cbam_np.course.chapter_06 import exercise_6_1, exercise_6_2, exercise_6_3
from cbam_np.ops import avg_pool_over_channels, concat, conv2d, im2col, max_pool_over_channels
from cbam_np.reference.loops import conv2d_loops

plt.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110})
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
r"""
## The formula, as the document has it

Section 3, *空间注意力机制(Spatial Attention)*, says that the two features are put together, *拼接(Concat)*,
and go through a $7 \times 7$ convolution layer, *卷积层*. The formula is shown as it is printed there:

$$\mathbf{M}s = \sigma(\text{Conv}{7 \times 7}([\mathbf{F}{\text{avg}}^s; \mathbf{F}{\text{max}}^s]))$$

The $s$ belongs below the $\mathbf{M}$, $7 \times 7$ below "Conv", and "avg" and "max" below their $\mathbf{F}$.

## The formula, as it must be read

$$\underbrace{M_s}_{N,1,H,W} = \sigma\left(\text{Conv}_{7 \times 7}\left(
[\underbrace{F^s_{\text{avg}}}_{N,1,H,W};\, \underbrace{F^s_{\text{max}}}_{N,1,H,W}]\right)\right) \tag{10}$$

$\sigma$ is the sigmoid here, not the ReLU of (5). The brackets $[\,;\,]$ are the **concatenation** (拼接):
the two maps become the two channels of one array. We call it $x$. "Conv" is

$$z[n,i,j] = \sum_{c=0}^{1} \sum_{u=0}^{k-1} \sum_{v=0}^{k-1} K[c,u,v]\; x_{\text{pad}}[n,c,i+u,j+v]$$

and $M_s = \sigma(z)$. From here on we count from 0, as in code.

| symbol | what it is | shape |
|---|---|---|
| $x$ | the concatenation | $N, 2, H, W$ |
| $k$ | kernel size, 7 | |
| $K$ | the kernel, `kernel` | $1, 2, k, k$ |
| $p$ | padding (填充): rows and columns of zeros on each side | |
| $x_{\text{pad}}$ | $x$ with its padding | $N, 2, H+2p, W+2p$ |
| $n;\ i, j$ | which sample; which pixel of the result | |
| $c;\ u, v$ | which channel; which place in the window | |
| $z$ | the result, before the sigmoid | $N, 1, H, W$ |

The index of $z$ and $K$ that is always 0 is left out.
"""

# %% [markdown]
r"""
## On paper

One sample, one channel, a kernel of $3 \times 3$, and one row or column of zeros around:

$$x = \begin{pmatrix} 1 & 2 & 0 \\ 0 & 3 & 1 \\ 2 & 0 & 1 \end{pmatrix} \qquad
K = \begin{pmatrix} 0 & 1 & 0 \\ 0 & 0 & 2 \\ 0 & 0 & 0 \end{pmatrix}$$

Lay the middle of $K$ on a pixel, multiply what lies on each other, and add. This kernel has only two entries that
are not 0. It says: *the number above, plus twice the number to the right*. Outside is 0.

- At the top left: above is the padding, 0. To the right is 2. That makes $0 + 2 \cdot 2 = 4$.
- At the bottom, in the middle: above is 3, to the right is 1. That makes $3 + 2 \cdot 1 = 5$.

Take a pencil and find the rest.

$$z = \begin{pmatrix} 4 & 0 & 0 \\ 7 & 4 & 0 \\ 0 & 5 & 1 \end{pmatrix}$$
"""

# %%
x_small = np.array([[[[1.0, 2.0, 0.0], [0.0, 3.0, 1.0], [2.0, 0.0, 1.0]]]])
kernel_small = np.array([[[[0.0, 1.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]]]])
z_by_hand = np.array([[[[4.0, 0.0, 0.0], [7.0, 4.0, 0.0], [0.0, 5.0, 1.0]]]])


# %%
def grid(ax, values, title, grey=None, marked=()):
    """Numbers in boxes; `grey` ones are padding, windows in `marked` get a frame: (row, column, size, colour)."""
    ax.imshow(np.zeros(values.shape), cmap="Greys", vmin=0, vmax=1)
    for (i, j), value in np.ndenumerate(values):
        padding = grey is not None and grey[i, j]
        colour = "#e4e4e4" if padding else "white"
        ax.add_patch(plt.Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=colour, edgecolor="grey"))
        ax.text(j, i, f"{value:g}", ha="center", va="center", color="grey" if padding else "black")
    for i, j, size, colour in marked:
        ax.add_patch(
            plt.Rectangle((j - 0.46, i - 0.46), size - 0.08, size - 0.08, fill=False, edgecolor=colour, lw=3, zorder=3)
        )
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=10)


# %% mystnb={"image": {"alt": "A red window at the top left of the padded input makes the red entry; blue likewise."}}
x_pad = np.pad(x_small, ((0, 0), (0, 0), (1, 1), (1, 1)))
outside = np.pad(np.zeros((3, 3)), 1, constant_values=1)
figure, axes = plt.subplots(1, 3, figsize=(8.5, 3), layout="constrained", width_ratios=[5, 3, 3])
windows = ((0, 0, 3, "crimson"), (2, 1, 3, "royalblue"))
grid(axes[0], x_pad[0, 0], "x, padded (p = 1)", outside, windows)
grid(axes[1], kernel_small[0, 0], "K")
grid(axes[2], z_by_hand[0, 0], "z", marked=[(i, j, 1, colour) for i, j, _, colour in windows])
plt.show()
for i, j, size, _ in windows:
    assert np.sum(kernel_small[0, 0] * x_pad[0, 0, i : i + size, j : j + size]) == z_by_hand[0, 0, i, j]

# %% [markdown]
r"""
What to see: the window whose top left corner is at $(i,j)$ of the padded input makes the entry $(i,j)$ of $z$. Windows
overlap: most pixels lie in several of them.

## As loops

The formula has six indices, so there are six loops: three for the place of the result, three for the sum.
"""


# %%
def convolution_loops(x, kernel, p):
    """The sum of formula (10), one number at a time; stride 1."""
    N, C, H, W = x.shape
    k = kernel.shape[-1]
    x_pad = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    H_out, W_out = H + 2 * p - k + 1, W + 2 * p - k + 1
    z = np.zeros((N, 1, H_out, W_out))
    for n, i, j in np.ndindex(N, H_out, W_out):
        for c, u, v in np.ndindex(C, k, k):
            z[n, 0, i, j] += kernel[0, c, u, v] * x_pad[n, c, i + u, j + v]
    return z


assert np.array_equal(convolution_loops(x_small, kernel_small, p=1), z_by_hand)

# %% [markdown]
r"""
The package has this loop too, with its backward, in [loops.py](../cbam_np/reference/loops.py). There the padding is never built:
terms that lie outside are left out. And it has the fast function `conv2d`, which we build in this chapter. PyTorch
computes the same.
"""

# %%
assert np.array_equal(conv2d_loops(x_small, kernel_small)[0], z_by_hand)
assert np.array_equal(conv2d(x_small, kernel_small)[0], z_by_hand)

rng = np.random.default_rng(0)
x = rng.standard_normal((2, 2, 9, 8))
kernel = rng.standard_normal((1, 2, 7, 7))
z = convolution_loops(x, kernel, p=3)
assert np.allclose(conv2d_loops(x, kernel)[0], z)
assert np.allclose(conv2d(x, kernel)[0], z)
assert np.allclose(torch.nn.functional.conv2d(torch.tensor(x), torch.tensor(kernel), padding=3), z)
print("x", x.shape, "  kernel", kernel.shape, "  z", z.shape)

# %% [markdown]
r"""
## Four things the document leaves open

**Stride and padding.** The window may move by more than one pixel; this is the stride (步幅), $s$. With stride $s$
and padding $p$ the result has

$$H_{\text{out}} = \left\lfloor \frac{H + 2p - k}{s} \right\rfloor + 1$$

rows. $M_s$ is multiplied onto $F'$ pixel by pixel, so it has to have $H$ rows. For $k = 7$ that leaves $s = 1$ and
$p = 3$. (For other sizes $p = \frac{k-1}{2}$, and $k$ is odd so that the window has a middle.)
"""

# %%
for p in (0, 1, 2, 3):
    z_p, _ = conv2d(x, kernel, padding=p)
    print(f"padding {p}: {x.shape[2:]} becomes {z_p.shape[2:]}")
assert z_p.shape[2:] == x.shape[2:]
assert conv2d(x, kernel, stride=2, padding=3)[0].shape[2:] == (5, 4)

# %% [markdown]
r"""
The zeros of the padding are numbers like all others, and near the border the window is full of them. With a
picture of ones and a kernel of ones the convolution counts the real pixels in each window:
"""

# %%
counts, _ = conv2d(np.ones((1, 1, 7, 7)), np.ones((1, 1, 7, 7)))
print(counts[0, 0].astype(int))
assert counts[0, 0, 0, 0] == 16
assert np.count_nonzero(counts == 49) == 1

# %% [markdown]
r"""
On a map of $7 \times 7$, the size of a ResNet's last stage, one single window is complete. At the corners 33 of
49 entries are padding.

**Bias** (偏置). A convolution layer often adds a number $b$ to each $z$. CBAM has none here. In the package
`bias` is optional, and the class `CBAM` leaves it out.

**The order of the concatenation** is the dangerous one. It gets a section of its own below.

## The name

In mathematics, a convolution reads the input backwards: $x[i-u]$, with a minus. Formula (10) has a plus. With
the plus it is called **cross-correlation** (互相关). Every deep-learning library computes the cross-correlation
and calls it convolution; so do we. The two differ by one flip (翻转) of the kernel, in both directions.

A picture with a single 1 shows it. It marks where each kernel entry is used.
"""

# %% mystnb={"image": {"alt": "From a point, convolution gives the kernel, cross-correlation the kernel turned round."}}
point = np.zeros((1, 1, 5, 5))
point[0, 0, 2, 2] = 1
numbered = np.arange(1.0, 10).reshape(1, 1, 3, 3)
correlated, _ = conv2d(point, numbered)
convolved, _ = conv2d(point, numbered[:, :, ::-1, ::-1])
figure, axes = plt.subplots(1, 4, figsize=(9.5, 2.6), layout="constrained", width_ratios=[3, 5, 5, 5])
grid(axes[0], numbered[0, 0], "K")
grid(axes[1], point[0, 0], "x: a point", marked=[(2, 2, 1, "crimson")])
grid(axes[2], correlated[0, 0], "cross-correlation (ours)", marked=[(1, 1, 3, "crimson")])
grid(axes[3], convolved[0, 0], "convolution", marked=[(1, 1, 3, "crimson")])
plt.show()
assert np.array_equal(convolved[0, 0, 1:4, 1:4], numbered[0, 0])
assert np.array_equal(correlated[0, 0, 1:4, 1:4], numbered[0, 0, ::-1, ::-1])

# %% [markdown]
r"""
What to see: the convolution prints the kernel as it is; the cross-correlation prints it turned by half a turn.

For training it makes no difference: if the formula is flipped, the network learns the flipped kernel. But the
flip comes back in chapter 7, so remember the picture.

## The order of the concatenation

`concat` is as simple as an operation can be: the average is channel 0, the maximum is channel 1. Its backward
cuts the upstream gradient (上游梯度) at the same place.
"""

# %%
print(inspect.getsource(concat))

# %% [markdown]
r"""
The document and the paper write $[\text{avg}; \text{max}]$. The code that the authors published puts the **maximum
first**: $[\text{max}; \text{avg}]$. Each is fine by itself: a network learns the kernel that suits its order. But
take a kernel that was trained in one order, and use it in the other. Then the weights of the average meet the maximum.
The shapes are the same. There is no error.

How wrong is it? We take ten blocks with initial weights, and ten random inputs, and swap the two channels of
the kernel. The error of an array is
$\lVert \text{wrong} - \text{right} \rVert \,/\, \lVert \text{right} \rVert$.
"""


# %%
def swapped(params):
    """The same parameters, with the two input channels of the kernel in the other order."""
    return params | {"spatial.kernel": params["spatial.kernel"][:, ::-1]}


def error(wrong, right):
    """The relative error of a whole array."""
    return np.linalg.norm(wrong - right) / np.linalg.norm(right)


errors = {"output F″": [], "gradient d_f": [], "gradient d_w1": [], "gradient d_w2": []}
for seed in range(10):
    rng = np.random.default_rng(seed)
    f, d_f2 = rng.standard_normal((2, 2, 64, 14, 14))
    params = cb.CBAM(channels=64, dtype="float64", seed=seed).params
    results = []
    for p in (params, swapped(params)):
        f2, backward = cb.cbam(f, p)
        d_f, grads = backward(d_f2)
        results.append((f2, d_f, grads["channel.w1"], grads["channel.w2"]))
    for name, right, wrong in zip(errors, *results, strict=True):
        errors[name].append(error(wrong, right))

for name, values in errors.items():
    print(f"{name:14} wrong by {np.mean(values):.0%} on average, from {min(values):.0%} to {max(values):.0%}")
    assert 0.25 < np.mean(values) < 0.4
assert max(errors["gradient d_f"]) > 0.5

# %% [markdown]
r"""
Everything is wrong by about a third, up to more than a half, and every number still looks reasonable. Here are
the maps on the cat: above with the initial kernel of a fresh block, below with the kernel set by hand, which
weighs the maximum with a plus and the average with a minus.
"""

# %% mystnb={"image": {"alt": "Maps of the cat, right and with swapped kernel channels: above opposites, below shut."}}
by_hand = tour.weights_by_hand()
f1, _ = cb.channel_attention(tour.features(tour.photograph()), by_hand)
figure, axes = plt.subplots(2, 2, figsize=(8.5, 5.4), layout="constrained")
fresh = cb.CBAM(channels=16, dtype="float64", seed=1).params
maps = []
for row, (name, params) in zip(axes, {"initial kernel": fresh, "kernel by hand": by_hand}.items(), strict=True):
    for ax, p, order in ((row[0], params, "right"), (row[1], swapped(params), "channels swapped")):
        m_s, _ = cb.spatial_map(f1, p)
        maps.append(m_s)
        shown = ax.imshow(m_s[0, 0], vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
        ax.set(xticks=[], yticks=[], title=f"$M_s$: {name}, {order}")
figure.colorbar(shown, ax=axes, shrink=0.6)
plt.show()
assert np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1] < -0.5
assert np.mean(maps[3] < 0.01) > 0.99

# %% [markdown]
r"""
What to see: above, either map looks like something that a network might do, and yet where the right one is closed
most, the wrong one is open most; below, the wrong one is shut almost everywhere.

How to be safe: when you load weights from elsewhere, compare one output with theirs. If the order differs, swap
the two input channels of the kernel, once: `kernel[:, ::-1]`. Swapping both, the order and the kernel, changes
nothing:
"""

# %%
avg_s, _ = avg_pool_over_channels(f1)
max_s, _ = max_pool_over_channels(f1)
ours, _ = conv2d(concat(avg_s, max_s)[0], by_hand["spatial.kernel"])
authors, _ = conv2d(concat(max_s, avg_s)[0], swapped(by_hand)["spatial.kernel"])
assert np.allclose(ours, authors)
assert np.allclose(1 / (1 + np.exp(-ours)), maps[2])  # with the sigmoid it is formula (10)

# %% [markdown]
r"""
## im2col: every window becomes a column

Six loops in Python are slow. There is a trick: copy each window into one column of a big matrix, once. What is
left is a matrix product, and those are fast. The copying is called **im2col**, image to columns.

Take a picture of $3 \times 4$ pixels with one channel. Number its pixels from 1 to 12, so that each number names its
place. The kernel has $3 \times 3$ entries, the padding is 1.

The matrix has a row for each place $(u,v)$ in the window, and a column for each place $(i,j)$ of the result:

$$\text{columns}[(u,v),\, (i,j)] = x_{\text{pad}}[i+u,\, j+v]$$
"""

# %%
H, W, k, p = 3, 4, 3, 1
picture = np.arange(1.0, H * W + 1).reshape(1, 1, H, W)
picture_pad = np.pad(picture, ((0, 0), (0, 0), (p, p), (p, p)))
columns, _ = im2col(picture, k, padding=p)
print("columns", columns.shape)
for u, v, i, j in np.ndindex(k, k, H, W):
    assert columns[0, u * k + v, i * W + j] == picture_pad[0, 0, i + u, j + v]

# %% mystnb={"image": {"alt": "The padded picture and the matrix of 9 by 12: a window is a column, a row is a shift."}}
figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained", width_ratios=[6, 13])
outside = np.pad(np.zeros((H, W)), p, constant_values=1)
grid(axes[0], picture_pad[0, 0], "the picture, padded", outside, [(1, 1, 3, "crimson")])
axes[0].add_patch(plt.Rectangle((0.54, -0.4), 3.92, 2.92, fill=False, edgecolor="royalblue", lw=3, ls="--", zorder=3))
grid(axes[1], columns[0], "columns", columns[0] == 0)
axes[1].add_patch(plt.Rectangle((4.54, -0.46), 0.92, 8.92, fill=False, edgecolor="crimson", lw=3, zorder=3))
axes[1].add_patch(plt.Rectangle((-0.46, 1.54), 11.92, 0.92, fill=False, edgecolor="royalblue", lw=3, ls="--", zorder=3))
for row, column in np.argwhere(columns[0] == 7):
    axes[1].add_patch(plt.Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="#ffd92f", edgecolor="grey"))
    axes[1].text(column, row, "7", ha="center", va="center")
axes[0].add_patch(plt.Rectangle((2.5, 1.5), 1, 1, facecolor="#ffd92f", edgecolor="grey"))
axes[0].text(3, 2, "7", ha="center", va="center")
axes[1].set_xticks(range(H * W), [f"{i},{j}" for i, j in np.ndindex(H, W)], fontsize=8)
axes[1].set_yticks(range(k * k), [f"{u},{v}" for u, v in np.ndindex(k, k)], fontsize=8)
axes[1].set_xlabel("i, j: which pixel of the result")
axes[1].set_ylabel("u, v: which place in the window")
for ax in axes:
    ax.tick_params(length=0)
plt.show()
assert np.array_equal(columns[0, :, 1 * W + 1], picture_pad[0, 0, 1:4, 1:4].ravel())  # red
assert np.array_equal(columns[0, 0 * k + 2], picture_pad[0, 0, 0:3, 2:6].ravel())  # blue
assert np.count_nonzero(columns[0] == 7) == 9

# %% [markdown]
r"""
What to see: a **column** (red) is one window, written from top to bottom. A **row** (blue, dashed) is the whole
picture, shifted: for the place $(0,2)$ of the window, each result pixel reads the pixel above it and to the
right. The pixel 7 (yellow) lies in nine windows, and so it stands in nine columns, each time in another row.

Where does a pixel land? Let $(a,b)$ be its place in the picture without padding. In $x_{\text{pad}}$ it is at
$(a+p, b+p)$. It is copied wherever $i+u = a+p$ and $j+v = b+p$. So in the row of $(u,v)$ it lands in the column
of

$$(i,j) = (a + p - u,\; b + p - v)$$

if that is a place of the result. Note the minus: as $u$ grows, $i$ falls. The yellow line runs down to the left.

With several channels the rows of channel 1 stand below those of channel 0. The full address is

$$\text{columns}[n,\; (c \cdot k + u) \cdot k + v,\; i \cdot W_{\text{out}} + j] = x_{\text{pad}}[n, c, i+u, j+v]$$

That is the order in which the kernel $(1, 2, k, k)$ lies in memory: $c$, then $u$, then $v$. It has to be, because a
row of the matrix will meet one entry of the kernel.

To fill the matrix quickly, do not go column by column. Go row by row: there are only $k^2$ places $(u,v)$, and
each of them is one slice of $x_{\text{pad}}$, the shifted picture. The package does that:
"""

# %%
a, b = 1, 2  # the pixel 7
for u, v in np.ndindex(k, k):
    i, j = a + p - u, b + p - v
    assert columns[0, u * k + v, i * W + j] == picture[0, 0, a, b] == 7

print(inspect.getsource(im2col))

# %% [markdown]
r"""
### Exercise 6.1 · Write im2col

Stride 1, any number of channels. The padding is zeros. $k$ and $p$ are given, and the result may have another size
than the picture: $H_{\text{out}} = H + 2p - k + 1$. Loops are welcome: the address above is all you need.
"""


# %%
def my_im2col(x, k, p):
    """x: (N, C, H, W); k: kernel size; p: padding. Returns columns: (N, C·k·k, H_out·W_out)."""
    ### BEGIN SOLUTION
    N, C, H, W = x.shape
    H_out, W_out = H + 2 * p - k + 1, W + 2 * p - k + 1
    x_pad = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    columns = np.zeros((N, C * k * k, H_out * W_out))
    for c, u, v in np.ndindex(C, k, k):
        shifted = x_pad[:, c, u : u + H_out, v : v + W_out]
        columns[:, (c * k + u) * k + v] = shifted.reshape(N, H_out * W_out)
    return columns
    ### END SOLUTION


right = exercise_6_1.check(my_im2col)

# %% [markdown]
r"""
## The matrix product

Write the kernel as one row with $2k^2$ entries. Then the sum over $c, u, v$ is the sum in a matrix product:

$$\underbrace{z[n]}_{1,\,HW} = \underbrace{K}_{1,\,2k^2} \; \underbrace{\text{columns}[n]}_{2k^2,\,HW}$$

Each entry of $z$ is the row $K$ times one column, that is, the kernel times one window. At the end the row of
$HW$ numbers is laid out as a picture again.
"""

# %%
columns, _ = im2col(x, 7, padding=3)
K = kernel.reshape(1, 2 * 7 * 7)
z_product = (K @ columns).reshape(z.shape)
print("K", K.shape, "  columns", columns.shape, "  K @ columns", (K @ columns).shape)
assert np.allclose(z_product, z)
assert np.allclose(z_product, conv2d(x, kernel)[0])

# %% [markdown]
r"""
This is the forward half of `conv2d`. `O` is the number of output channels: 1 here, but other layers have more. The
lines under `backward`, and most of the docstring, are the matter of chapter 7.
"""

# %%
forward, _ = inspect.getsource(conv2d).split("    def backward")
print(forward[forward.index("    columns, _") :].rstrip())

# %% [markdown]
r"""
## What it costs

**Time.** Each pixel of the result needs $2k^2 = 98$ multiply-adds (乘加), so it is $98\,HW$ for each sample.
im2col does not save any. It only puts them into one product.

**Memory.** Each number of $x$ is copied into up to $k^2 = 49$ windows. The matrix is 49 times as large as $x$.
That is the price of the trick.
"""

# %%
N, H, W = 32, 56, 56
numbers_in_x = N * 2 * H * W
numbers_in_columns = N * 2 * 7 * 7 * H * W
multiply_adds = 2 * 7 * 7 * H * W
print(f"multiply-adds for each sample: {multiply_adds}")
print(f"x:       {4 * numbers_in_x / 1e6:.1f} MB in float32, for a batch of {N}")
print(f"columns: {4 * numbers_in_columns / 1e6:.1f} MB")
one_sample, _ = im2col(np.zeros((1, 2, H, W), dtype=np.float32), 7, padding=3)
assert one_sample.size == multiply_adds == numbers_in_columns / N  # each number is multiplied once
assert numbers_in_columns == 49 * numbers_in_x

# %% [markdown]
r"""
For CBAM this is bearable, because $x$ has only two channels.

## One more view: the convolution is a matrix

Keep the kernel fixed. Then $z$ depends on $x$ **linearly** (线性): double $x$, and $z$ doubles; add two pictures,
and their results add. Every linear map is a matrix. Lay $x$ out as one long vector of $2HW$ numbers, and $z$ as
a vector of $HW$ numbers; then there is a matrix $T$ with

$$z = T x$$

A column of $T$ belongs to a pixel of $x$: it is what the convolution makes of a picture with a single 1 there. A
row belongs to a pixel of $z$: it is that pixel's window, with the kernel in it. Nobody computes with $T$: for a
large picture it is nearly all zeros. But chapter 7 needs only this one fact, because the way back through a matrix
is its transpose, $dx = T^{\top} dz$.

Here is $T$ for one channel of $3 \times 4$ pixels and the kernel with the numbers 1 to 9.
"""

# %%
H, W = 3, 4
unit_pictures = np.eye(H * W).reshape(H * W, 1, H, W)
T = conv2d(unit_pictures, numbered)[0].reshape(H * W, H * W).T
u_random, w_random = np.random.default_rng(1).standard_normal((2, 1, 1, H, W))
assert np.allclose(T @ u_random.ravel(), conv2d(u_random, numbered)[0].ravel())
both, _ = conv2d(2 * u_random + w_random, numbered)
assert np.allclose(both, 2 * conv2d(u_random, numbered)[0] + conv2d(w_random, numbered)[0])

# %% mystnb={"image": {"alt": "A 12 by 12 matrix with bands of kernel entries; a row reads 1 to 9, a column 9 to 1."}}
figure, ax = plt.subplots(figsize=(5.6, 5.6), layout="constrained")
grid(ax, T, "T: the convolution as a matrix", grey=T == 0)
ax.add_patch(plt.Rectangle((-0.46, 4.54), 11.92, 0.92, fill=False, edgecolor="crimson", lw=2.5))
ax.add_patch(plt.Rectangle((5.54, -0.46), 0.92, 11.92, fill=False, edgecolor="royalblue", lw=2.5, linestyle="--"))
places = [f"{i},{j}" for i, j in np.ndindex(H, W)]
ax.set_xticks(range(H * W), places, fontsize=8)
ax.set_yticks(range(H * W), places, fontsize=8)
ax.tick_params(length=0)
ax.set(xlabel="pixel of x", ylabel="pixel of z")
plt.show()
assert np.array_equal(T[5][T[5] > 0], np.arange(1, 10))
assert np.array_equal(T[:, 6][T[:, 6] > 0], np.arange(9, 0, -1))

# %% [markdown]
r"""
What to see: a row (red) reads the kernel forwards, 1 to 9; a column (blue, dashed) reads it backwards, 9 to 1.
That is the flip of the point picture again.

## Three small ways back

The big gradient (梯度) waits for chapter 7. Three small ones stand around it, and each takes two lines.

**Concatenation.** $x[n,0,i,j] = F^s_{\text{avg}}[n,i,j]$: an entry is copied to one place, with the factor 1. So its
gradient is read off at that place, $dF^s_{\text{avg}}[n,i,j] = dx[n,0,i,j]$, and for the maximum it is $dx[n,1,i,j]$.

**Padding.** A pixel is copied to one place, $x_{\text{pad}}[n,c,i+p,j+p] = x[n,c,i,j]$. So

$$\boxed{dx[n,c,i,j] = dx_{\text{pad}}[n,c,i+p,j+p]}$$

The zeros around it are constants. What comes back to them goes nowhere.

**Bias.** If there is one, $z[n,o,i,j] = b[o] + \dots$ for each output channel $o$. The same $b[o]$ occurs in
$N \cdot H \cdot W$ outputs, each time with the factor 1. The chain rule (链式法则) adds over everything that it
moves:

$$\boxed{db[o] = \sum_{n,i,j} dz[n,o,i,j]}$$

### Exercise 6.2 · Write the backward of the padding
"""


# %%
def padding_backward(d_x_pad, p):
    """d_x_pad: (N, C, H + 2p, W + 2p), the upstream gradient; p: 1 or more. Returns d_x: (N, C, H, W)."""
    ### BEGIN SOLUTION
    return d_x_pad[:, :, p:-p, p:-p]
    ### END SOLUTION


right = exercise_6_2.check(padding_backward)

# %% [markdown]
r"""
### Exercise 6.3 · Write the backward of the bias
"""


# %%
def bias_backward(d_z):
    """d_z: (N, O, H, W), the upstream gradient. Returns d_bias: (O,)."""
    ### BEGIN SOLUTION
    return d_z.sum(axis=(0, 2, 3))
    ### END SOLUTION


right = exercise_6_3.check(bias_backward)

# %% [markdown]
r"""
## What to remember

- Formula (10) slides one $7 \times 7$ window over two maps, with padding 3, stride 1, no bias. It is a
  cross-correlation.
- The order is $[\text{avg}; \text{max}]$ here and $[\text{max}; \text{avg}]$ in the authors' code; a swapped
  kernel is wrong and silent.
- `im2col` makes each window a column. Then the convolution is a matrix product, for 49 times the memory.

**Next:** [7. Its gradient](07_its_gradient.ipynb) ·
**Solutions:** [chapter 6, solved](solutions/06_the_convolution.ipynb)

**The code:** [conv.py](../cbam_np/ops/conv.py), [concat.py](../cbam_np/ops/joining.py), the same as loops:
[loops.py](../cbam_np/reference/loops.py)

**The paper:** Woo, Park, Lee, Kweon,
[CBAM: Convolutional Block Attention Module](https://arxiv.org/abs/1807.06521), section 3.
"""
