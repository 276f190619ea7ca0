# %% [markdown]
r"""
# 7. The gradient of the convolution · 卷积的梯度

The convolution (卷积) has two inputs: the picture $x$ and the kernel (卷积核) $K$. So the way back has two
results. The gradient (梯度) of the kernel is one matrix product. The gradient of the picture is where most
mistakes are made: something has to be flipped (翻转), and something has to be cut off.

**What you will learn**

- to derive both gradients, index by index;
- to compute the input gradient in two ways that look quite different, and why they are the same;
- where the minus signs come from that flip the kernel;
- what an adjoint (伴随) is, and how to test it with random numbers;
- what stride and padding do on the way back;
- which mistakes people make here, and which of them a symmetric kernel hides.

**What you need:** chapter [6](06_the_convolution.ipynb), for the convolution forward, padding (填充) and
`im2col`; chapter [2](02_pooling_over_space.ipynb), for the chain rule (链式法则).
"""

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np
import torch
from cbam_np.course.chapter_07 import exercise_7_1, exercise_7_2

import cbam_np as cb
from cbam_np.ops import col2im, conv2d, im2col
from cbam_np.reference.loops import conv2d_loops

plt.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110})
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
r"""
## The formula, as the document has it

Section 3, *空间注意力机制(Spatial Attention)*, with its lost subscripts:

$$\mathbf{M}s = \sigma(\text{Conv}{7 \times 7}([\mathbf{F}{\text{avg}}^s; \mathbf{F}{\text{max}}^s]))$$

The $s$ belongs below the $\mathbf{M}$, and $7 \times 7$ below "Conv"; "avg" and "max" belong below their
$\mathbf{F}$. The document says nothing of the way back.

## The formula, as it must be read

Chapter 6 took it apart: formula (10) is a convolution and then a sigmoid. This chapter is about the convolution
only, on the left.

$$\underbrace{z[n,i,j]}_{N,1,H,W} = \sum_{c=0}^{1} \sum_{u=0}^{k-1} \sum_{v=0}^{k-1}
\underbrace{K[c,u,v]}_{1,2,k,k}\; \underbrace{x_{\text{pad}}[n,c,i+u,j+v]}_{N,2,H+2p,W+2p}
\qquad\qquad \underbrace{M_s}_{N,1,H,W} = \sigma(z)$$

Here $x = [F^s_{\text{avg}};\, F^s_{\text{max}}]$ has two channels. $x_{\text{pad}}$ is $x$ with
$p = \frac{k-1}{2}$ rows or columns of zeros on every side. We count from 0, as in code, and leave out the
index of $z$ and $K$ that is always 0.

The sigmoid goes back as in chapter [4](04_channel_attention.ipynb). What it hands to the convolution is
$dz$, in code `d_z`: the upstream gradient (上游梯度) of this chapter. We look for $dK$ and $dx$.
"""

# %% [markdown]
r"""
## On paper

Everything that is difficult shows up in one dimension already. Five numbers, a kernel of three, no padding:

$$x = (1, 2, 0, 3, 1) \qquad K = (2, -1, 1)$$

$$\begin{aligned}
z_0 &= K_0 x_0 + K_1 x_1 + K_2 x_2 = 2 - 2 + 0 = 0 \\
z_1 &= K_0 x_1 + K_1 x_2 + K_2 x_3 = 4 - 0 + 3 = 7 \\
z_2 &= K_0 x_2 + K_1 x_3 + K_2 x_4 = 0 - 3 + 1 = -2
\end{aligned}$$

Let the upstream gradient be $dz = (1, -2, 3)$.

**The kernel.** $K_0$ occurs in all three lines: next to $x_0$, next to $x_1$ and next to $x_2$. So
$dK_0 = dz_0 x_0 + dz_1 x_1 + dz_2 x_2 = 1 - 4 + 0 = -3$.

**The input.** Now look for $x_2$. It occurs in all three lines too, but read which kernel entry stands next to
it: $K_2$ in the first line, $K_1$ in the second, $K_0$ in the third. The order is **reversed**:

$$dx_2 = K_2\, dz_0 + K_1\, dz_1 + K_0\, dz_2 = 1 + 2 + 6 = 9$$

Take a pencil and find the rest: $dK_1$, $dK_2$, and the other four entries of $dx$.
"""

# %%
x_line = np.array([1.0, 2.0, 0.0, 3.0, 1.0])
kernel_line = np.array([2.0, -1.0, 1.0])
d_z_line = np.array([1.0, -2.0, 3.0])
by_hand_d_kernel = np.array([-3.0, 11.0, -3.0])
by_hand_d_x = np.array([2.0, -5.0, 9.0, -5.0, 3.0])

# %% [markdown]
r"""
The three lines are a matrix times $x$. Call it $T$: row $i$ holds the kernel, moved $i$ places to the right.
Then $z = T x$. What $x_a$ was multiplied with stands in **column** $a$ of $T$, so $dx = T^{\top} dz$.
"""

# %%
T = np.zeros((3, 5))
for i, u in np.ndindex(3, 3):
    T[i, i + u] = kernel_line[u]
assert np.allclose(T @ x_line, [0, 7, -2])
assert np.allclose(T.T @ d_z_line, by_hand_d_x)
windows_line = np.array([x_line[i : i + 3] for i in range(3)])
assert np.allclose(d_z_line @ windows_line, by_hand_d_kernel)
assert np.array_equal(T[:, 2], kernel_line[::-1])  # a column reads the kernel backwards

# %% mystnb={"image": {"alt": "The matrix T: a row reads K0 K1 K2, the column of x2 reads K2 K1 K0 from the top."}}
figure, ax = plt.subplots(figsize=(6.4, 3.3), layout="constrained")
ax.set(xlim=(-0.5, 4.5), ylim=(2.5, -0.5), aspect="equal")
for i, a in np.ndindex(3, 5):
    u = a - i
    inside = 0 <= u <= 2
    colour = ("#fdebd0", "#d5f0dc", "#dbe9f6")[u] if inside else "white"
    ax.add_patch(plt.Rectangle((a - 0.5, i - 0.5), 1, 1, facecolor=colour, edgecolor="lightgrey"))
    ax.text(a, i, f"$K_{u}$" if inside else "0", ha="center", va="center", color="black" if inside else "grey")
ax.add_patch(plt.Rectangle((-0.45, -0.45), 2.9, 0.9, fill=False, edgecolor="black", linewidth=2.5))
ax.add_patch(plt.Rectangle((1.55, -0.4), 0.9, 2.8, fill=False, edgecolor="crimson", linewidth=2.5))
ax.xaxis.tick_top()
ax.set_xticks(range(5), [f"$x_{a}$" for a in range(5)])
ax.set_yticks(range(3), [f"$z_{i}$" for i in range(3)])
ax.tick_params(length=0)
ax.set_title("forward: read along a row (black)   ·   backward: read down a column (red)", fontsize=10)
plt.show()

# %% [markdown]
r"""
What to see: the row of $z_0$ reads $K_0, K_1, K_2$. The column of $x_2$ reads $K_2, K_1, K_0$. This is the
whole secret of the flip.

## As loops

Now two dimensions, channels and a batch. Forward is a loop over all indices with one line in it, of the sort
`y += a * b`. Backward is the **same loop**, and each product sends its share to both of its factors:
`d_a += d_y * b` and `d_b += d_y * a`.
"""


# %%
def conv_backward_loops(d_z, x_pad, kernel):
    """d_z (N, 1, H, W), x_pad (N, C, H+2p, W+2p), kernel (1, C, k, k). Returns d_x_pad, d_kernel."""
    N, _, H, W = d_z.shape
    _, C, k, _ = kernel.shape
    d_x_pad, d_kernel = np.zeros(x_pad.shape), np.zeros(kernel.shape)
    for n, i, j, c, u, v in np.ndindex(N, H, W, C, k, k):
        # forward:   z[n, 0, i, j] += kernel[0, c, u, v] * x_pad[n, c, i + u, j + v]
        d_kernel[0, c, u, v] += d_z[n, 0, i, j] * x_pad[n, c, i + u, j + v]
        d_x_pad[n, c, i + u, j + v] += d_z[n, 0, i, j] * kernel[0, c, u, v]
    return d_x_pad, d_kernel


# %% [markdown]
r"""
An example to compare everything with: two samples, two channels, five rows, six columns, a $3 \times 3$
kernel. After the loops the padding is cut off. More about that below.
"""

# %%
rng = np.random.default_rng(0)
N, C, H, W, k = 2, 2, 5, 6, 3
p = (k - 1) // 2
x = rng.normal(size=(N, C, H, W))
kernel = rng.normal(size=(1, C, k, k))
d_z = rng.normal(size=(N, 1, H, W))

x_pad = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
d_x_pad, d_kernel = conv_backward_loops(d_z, x_pad, kernel)
d_x = d_x_pad[:, :, p : p + H, p : p + W]
print("d_kernel", d_kernel.shape, "  d_x_pad", d_x_pad.shape, "  d_x", d_x.shape)

# %% [markdown]
r"""
## The kernel, backward

**Step 1.** Which outputs does one entry $K[c,u,v]$ move? All of them: the kernel visits every place of every
sample. So the chain rule sums over $n$, $i$ and $j$:

$$dK[c,u,v] = \sum_{n,i,j} dz[n,i,j] \cdot \frac{\partial z[n,i,j]}{\partial K[c,u,v]}$$

**Step 2.** In the sum for $z[n,i,j]$ the entry $K[c,u,v]$ occurs once, next to
$x_{\text{pad}}[n,c,i+u,j+v]$. A product $K \cdot x$ has the derivative $x$ with respect to $K$:

$$\frac{\partial z[n,i,j]}{\partial K[c,u,v]} = x_{\text{pad}}[n,c,i+u,j+v]$$

**Step 3.** Put it in:

$$dK[c,u,v] = \sum_{n,i,j} dz[n,i,j]\; x_{\text{pad}}[n,c,i+u,j+v]$$

All signs are plus. Nothing is flipped here.

**As a matrix product.** `im2col` of chapter 6 wrote the windows into a matrix, one for each sample:
$\text{columns}[n]$ has $C k^2$ rows, one for each $(c,u,v)$, and $HW$ columns, one for each $(i,j)$. Its entry is
exactly the $x_{\text{pad}}[n,c,i+u,j+v]$ above. Write $dz[n]$ as one row of $HW$ numbers. Then the sum
over $(i,j)$ is a row times a transposed matrix, and the sum over $n$ stays:

$$\underbrace{dK}_{1,\,Ck^2} = \sum_n \underbrace{dz[n]}_{1,\,HW}\; \underbrace{\text{columns}[n]^{\top}}_{HW,\,Ck^2}$$
"""

# %%
columns, _ = im2col(x, k, padding=p)
d_z_rows = d_z.reshape(N, 1, H * W)
per_sample = d_z_rows @ columns.transpose(0, 2, 1)
print("d_z", d_z_rows.shape, "  columns transposed", columns.transpose(0, 2, 1).shape, "  product", per_sample.shape)

assert np.allclose(per_sample.sum(axis=0).reshape(kernel.shape), d_kernel)
assert not np.allclose(per_sample[0].reshape(kernel.shape), d_kernel)  # without the sum over the batch

# %% [markdown]
r"""
The product is made for each sample by itself. The kernel is shared by the batch (批), as the weights of chapter
[3](03_the_shared_mlp.ipynb) are shared by two vectors: what is used several times adds up its gradients.

### Exercise 7.1 · Write the backward of the kernel

With loops or with `im2col(x, k, padding=p)[0]`, as you like. Stride is 1, and $p = \frac{k-1}{2}$.
"""


# %%
def kernel_backward(d_z, x, kernel):
    """d_z: (N, 1, H, W); x: (N, C, H, W); kernel: (1, C, k, k). Returns d_kernel: (1, C, k, k)."""
    ### BEGIN SOLUTION
    N, C, H, W = x.shape
    k = kernel.shape[-1]
    columns, _ = im2col(x, k, padding=(k - 1) // 2)
    d_K = (d_z.reshape(N, 1, H * W) @ columns.transpose(0, 2, 1)).sum(axis=0)
    return d_K.reshape(1, C, k, k)
    ### END SOLUTION


right = exercise_7_1.check(kernel_backward)

# %% [markdown]
r"""
## The input, backward, first way: col2im

Go back through the matrix product first. $z = K\,\text{columns}$, and the entry
$\text{columns}[(c,u,v),(i,j)]$ occurs once: in $z[i,j]$, next to $K[c,u,v]$. So

$$d\text{columns}[n,(c,u,v),(i,j)] = K[c,u,v]\; dz[n,i,j] \qquad\text{that is}\qquad
d\text{columns}[n] = K^{\top} dz[n]$$

Then go back through `im2col`. It only **copies**: one pixel, into every window that contains it. If one
number has several copies, each copy moves the loss, and the shares add. So each column has to be added back
into the window that it came from. This is called `col2im`:

$$dx_{\text{pad}}[n,c,i+u,j+v] \mathrel{+}= d\text{columns}[n,(c,u,v),(i,j)] \qquad \text{for all } c,u,v,i,j$$

One small function draws a matrix with its numbers written in. Then the picture: a $3 \times 3$ image and windows
of $2 \times 2$, four of them.
"""


# %%
def draw(ax, values, title, limit, shown=None):
    """A small matrix with its numbers written in; the colours go from -limit to limit. Not shown: white."""
    shown = np.ones(values.shape, dtype=bool) if shown is None else shown
    ax.imshow(np.ma.array(values, mask=~shown), cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    for (i, j), value in np.ndenumerate(values):
        if shown[i, j]:
            dark = abs(value) > 0.6 * limit
            ax.text(j, i, f"{value:.3g}", ha="center", va="center", color="white" if dark else "black")
    rows, width = values.shape
    ax.set_xticks(np.arange(width + 1) - 0.5, [])
    ax.set_yticks(np.arange(rows + 1) - 0.5, [])
    ax.grid(color="lightgrey")
    ax.tick_params(length=0)
    ax.set_title(title, fontsize=9)


def frame(ax, i, j, size, colour="black"):
    """A square around size·size cells, the first of them (i, j)."""
    corner, side = (j - 0.45, i - 0.45), size - 0.1
    ax.add_patch(plt.Rectangle(corner, side, side, fill=False, edgecolor=colour, linewidth=2.5, zorder=3))


# %% mystnb={"image": {"alt": "Four windows of two by two with their numbers, and the image where they are added up."}}
d_columns_small = np.array([[[1.0, 2.0, -3.0, 4.0], [5.0, -2.0, 1.0, 3.0], [2.0, 6.0, -1.0, 2.0], [3.0, -4.0, 5.0, 1]]])
figure, axes = plt.subplots(1, 5, figsize=(10, 2.5), layout="constrained")
summed = np.zeros((3, 3))
for ax, (place, (i, j)) in zip(axes, enumerate(np.ndindex(2, 2)), strict=False):
    added = np.zeros((3, 3))
    added[i : i + 2, j : j + 2] = d_columns_small[0, :, place].reshape(2, 2)
    inside = np.zeros((3, 3), dtype=bool)
    inside[i : i + 2, j : j + 2] = True
    draw(ax, added, f"column {place}\ninto the window at ({i}, {j})", 14, inside)
    summed += added
draw(axes[4], summed, "the sum of the four:\ncol2im", 14)
plt.show()

assert np.allclose(col2im(d_columns_small, (3, 3), 2)[0][0, 0], summed)
assert summed[1, 1] == 3 + 6 + 1 + 4

# %% [markdown]
r"""
What to see: all four windows contain the pixel in the middle, so it collects four numbers, $3+6+1+4 = 14$.
A corner lies in one window only and collects one.

As loops this is one line. Without most of the loops: for a fixed $(u,v)$ the targets $(i+u, j+v)$ are a slice,
and no target occurs twice in it. So $k^2$ slices are added.
"""


# %%
def col2im_slices(d_columns, C, H, W, k):
    """d_columns (N, C·k², H·W) -> d_x_pad (N, C, H+k-1, W+k-1)."""
    pieces = d_columns.reshape(-1, C, k, k, H, W)
    d_x_pad = np.zeros((len(pieces), C, H + k - 1, W + k - 1))
    for u, v in np.ndindex(k, k):
        d_x_pad[:, :, u : u + H, v : v + W] += pieces[:, :, u, v]
    return d_x_pad


K = kernel.reshape(1, C * k * k)
d_columns = K.T @ d_z_rows
assert d_columns.shape == columns.shape
first_way = col2im_slices(d_columns, C, H, W, k)
assert np.allclose(first_way, d_x_pad)

# %% [markdown]
r"""
## The input, backward, second way: a convolution with the flipped kernel

Now ask the question from the other end. Take one pixel $x_{\text{pad}}[n,c,a,b]$, and collect all that
it gets.

**Step 1.** Chain rule, over all outputs of its sample:

$$dx_{\text{pad}}[n,c,a,b] = \sum_{i,j} dz[n,i,j] \cdot \frac{\partial z[n,i,j]}{\partial x_{\text{pad}}[n,c,a,b]}$$

**Step 2.** In $z[n,i,j]$ stand the pixels at $(i+u, j+v)$. Ours is among them if there is a $u$ with
$a = i + u$ and a $v$ with $b = j + v$, both from $0$ to $k-1$. Then it stands next to $K[c,u,v]$, and the
derivative is $K[c,u,v]$. If not, the derivative is 0.

**Step 3.** For a given $i$ there is only one candidate, $u = a - i$. Instead of walking over $i$ and asking for $u$,
walk over $u$ and ask for $i$: it is $i = a - u$. Likewise $j = b - v$. So the sum over $(i,j)$ becomes a
sum over $(u,v)$:

$$dx_{\text{pad}}[n,c,a,b] = \sum_{u,v} K[c,u,v]\; dz[n,a-u,b-v]$$

Where $a-u$ or $b-v$ is no index of $dz$, there is no such window, and the term is 0.

Together with the kernel's gradient, this is the whole way back through the convolution:

$$\boxed{dK[c,u,v] = \sum_{n,i,j} dz[n,i,j]\; x_{\text{pad}}[n,c,i+u,j+v] \qquad
dx_{\text{pad}}[n,c,a,b] = \sum_{u,v} K[c,u,v]\; dz[n,a-u,b-v]}$$

Compare the signs. Forward we read at $i+u$: one step further in $K$ is one step further in $x$. Backward we
read at $a-u$: one step further in $K$ is one step **back** in $dz$. The minus flips the kernel, in both directions.
"""

# %% mystnb={"image": {"alt": "A kernel numbered 1 to 9; the outputs around a pixel used 9 to 1 for it."}}
numbered = np.arange(1.0, 10.0).reshape(3, 3)
a, b = 2, 2
met = np.zeros((3, 3))
for i, j in np.ndindex(3, 3):
    met[i, j] = numbered[a - i, b - j]
assert np.array_equal(met, numbered[::-1, ::-1])

figure, axes = plt.subplots(1, 3, figsize=(8.5, 3.2), width_ratios=[3, 5, 3], layout="constrained")
draw(axes[0], numbered, "the kernel K[u, v]", 16)
title = "x_pad: nine windows contain pixel (2, 2);\nthe first and the last are drawn"
draw(axes[1], np.zeros((5, 5)), title, 16, shown=np.zeros((5, 5), dtype=bool))
axes[1].add_patch(plt.Rectangle((1.5, 1.5), 1, 1, facecolor="#f5b7b1"))
frame(axes[1], 0, 0, 3, "tab:blue")
frame(axes[1], 2, 2, 3, "tab:green")
axes[1].text(0.5, 0.5, "window\nof z[0, 0]", ha="center", va="center", color="tab:blue", fontsize=9)
axes[1].text(3.5, 3.5, "window\nof z[2, 2]", ha="center", va="center", color="tab:green", fontsize=9)
draw(axes[2], met, "what z[i, j] multiplied\npixel (2, 2) with", 16)
plt.show()

# %% [markdown]
r"""
What to see: in the window of $z[0,0]$ the red pixel is at the bottom right, so it meets the last kernel entry, 9. In
the window of $z[2,2]$ it is at the top left and meets the first, 1. Seen from the pixel, the kernel is
turned upside down and left to right.

To compute it with the tools we have, put $k-1$ zeros around $dz$, so that $a-u$ always exists, and call
the result $dz_{\text{pad}}$. Its indices are larger by $k-1$. Now count backwards, $u = k-1-u'$ and
$v = k-1-v'$. The index of $dz_{\text{pad}}$ becomes $a-u+(k-1) = a+u'$:

$$\sum_{u,v} K[c,u,v]\; dz[n,a-u,b-v] = \sum_{u',v'} K[c,\,k{-}1{-}u',\,k{-}1{-}v']\; dz_{\text{pad}}[n,a+u',b+v']$$

On the right stands a convolution as in (10), with plus signs, of $dz_{\text{pad}}$ with the **flipped** kernel. So
`im2col` can do it.
"""

# %%
flipped = kernel[:, :, ::-1, ::-1]
d_z_pad = np.pad(d_z, ((0, 0), (0, 0), (k - 1, k - 1), (k - 1, k - 1)))
windows, _ = im2col(d_z_pad, k)
second_way = (flipped.reshape(C, k * k) @ windows).reshape(x_pad.shape)
assert np.allclose(second_way, d_x_pad)
assert np.allclose(second_way, first_way)

# %% [markdown]
r"""
Both ways are the same sum. col2im walks over the windows and **hands out**; the flipped kernel walks over
the pixels and **collects**.

By the way: the forward pass is a cross-correlation (互相关), as chapter 6 says. The true convolution, with the minus
signs, is the one you just met, on the way back.

## The padding is cut off

We have $dx_{\text{pad}}$, with the gradient of the zeros around. They are no part of $x$, and nobody asks how the
loss would change if they changed. What is left is the middle:

$$dx[n,c,i,j] = dx_{\text{pad}}[n,c,i+p,j+p]$$

The same amount goes away on all four sides.
"""

# %%
assert np.allclose(d_x_pad[:, :, p : p + H, p : p + W], d_x)
share_cut = np.abs(d_x_pad).sum() - np.abs(d_x).sum()
print(f"cut off with the padding: {share_cut / np.abs(d_x_pad).sum():.0%} of Σ|d_x_pad|")
assert share_cut > 0  # there was a gradient, and it isn't an error to drop it

# %% [markdown]
r"""
### Exercise 7.2 · Write the backward of the input

Any way you like: loops, slices, col2im or the flipped kernel. Stride is 1, and $p = \frac{k-1}{2}$.
"""


# %%
def input_backward(d_z, x, kernel):
    """d_z: (N, 1, H, W); x: (N, C, H, W); kernel: (1, C, k, k). Returns d_x: (N, C, H, W)."""
    ### BEGIN SOLUTION
    N, C, H, W = x.shape
    k = kernel.shape[-1]
    p = (k - 1) // 2
    d_x_pad = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for u, v in np.ndindex(k, k):
        d_x_pad[:, :, u : u + H, v : v + W] += kernel[:, :, u : u + 1, v : v + 1] * d_z
    return d_x_pad[:, :, p : p + H, p : p + W]
    ### END SOLUTION


right = exercise_7_2.check(input_backward)

# %% [markdown]
r"""
## Adjointness: a test without any derivative

`im2col` and `col2im` belong together like a matrix $A$ and its transpose $A^{\top}$. Write
$\langle a, b \rangle = \sum a \cdot b$ for the sum of all products of entries. For every matrix, and all $x$ and $y$,

$$\langle A x,\, y \rangle = \sum_r \sum_s A_{rs}\, x_s\, y_r = \langle x,\, A^{\top} y \rangle$$

Two operations with this property are called **adjoint** (伴随). And this is the reason why the backward of a
linear operation is its adjoint: let $L = \langle A x, d_{\text{out}} \rangle$. It is equal to
$\langle x, A^{\top} d_{\text{out}} \rangle$, and in this form one can read off the gradient with respect to $x$. It is
$A^{\top} d_{\text{out}}$.

So here is a test. Draw $x$ and $y$ at random and compare two numbers:

$$\langle \text{im2col}(x),\, y \rangle = \langle x,\, \text{col2im}(y) \rangle$$

A col2im that assigns where it should add fails at once.
"""


# %%
def col2im_assigning(columns, size, k, padding):
    """The mistake: = in place of +=."""
    H, W = size
    pieces = columns.reshape(len(columns), -1, k, k, H, W)
    x_pad = np.zeros((*pieces.shape[:2], H + 2 * padding, W + 2 * padding))
    for u, v in np.ndindex(k, k):
        x_pad[:, :, u : u + H, v : v + W] = pieces[:, :, u, v]
    return x_pad[:, :, padding : padding + H, padding : padding + W]


for _ in range(5):
    y = rng.normal(size=columns.shape)
    x_random = rng.normal(size=x.shape)
    left = np.sum(im2col(x_random, k, padding=p)[0] * y)
    right_side = np.sum(x_random * col2im(y, (H, W), k, padding=p)[0])
    assigned = np.sum(x_random * col2im_assigning(y, (H, W), k, p))
    print(f"⟨im2col x, y⟩ {left:9.4f}    ⟨x, col2im y⟩ {right_side:9.4f}    assigned {assigned:9.4f}")
    assert np.isclose(left, right_side)
    assert not np.isclose(left, assigned)

# %% [markdown]
r"""
A warning: adjoint is not inverse. `col2im(im2col(x))` is not `x`. Each pixel comes back as many times as it was
copied.
"""

# %%
ones = np.ones((1, 1, 4, 5))
counts = col2im(im2col(ones, 3, padding=1)[0], (4, 5), 3, padding=1)[0][0, 0]
print(counts)
assert counts[0, 0] == 4  # of the 9 windows around a corner, 5 are centred outside the image and do not exist
assert counts[1, 1] == 9

# %% [markdown]
r"""
## Stride: zeros between the entries

CBAM has stride (步幅) 1. With stride $s$ the window jumps: $z[i,j]$ reads at $(s\,i+u,\; s\,j+v)$. Now
$a = s\,i + u$, so $i = \frac{a-u}{s}$, and only those $u$ count for which this is a whole number:

$$dx_{\text{pad}}[n,c,a,b] = \sum_{u,v} K[c,u,v]\; dz\left[n,\tfrac{a-u}{s},\tfrac{b-v}{s}\right]$$

There is a trick. Put $s-1$ zeros **between** the entries of $dz$. Entry $i$ is then at place $s\,i$, the places in
between give 0, and the formula for stride 1 is right again. The $k-1$ zeros **around** are the same as before. The
kernel's gradient needs nothing new: `im2col` with stride $s$ has the right windows in its columns.
"""

# %% mystnb={"image": {"alt": "A three by three gradient, spread to nine by nine with zeros, and the input gradient."}}
x_5 = rng.normal(size=(1, 1, 5, 5))
kernel_5 = np.array([[[[1.0, 0.0, 2.0], [0.0, -1.0, 1.0], [3.0, 1.0, 0.0]]]])
d_z_5 = np.array([[[[1.0, -2.0, 3.0], [4.0, 2.0, -1.0], [-3.0, 1.0, 2.0]]]])
spread = np.zeros((1, 1, 9, 9))
spread[:, :, 2:7:2, 2:7:2] = d_z_5
windows_5, _ = im2col(spread, 3)
d_x_pad_5 = (kernel_5[:, :, ::-1, ::-1].reshape(1, 9) @ windows_5).reshape(7, 7)

figure, axes = plt.subplots(1, 3, figsize=(10, 3.9), width_ratios=[3, 9, 7], layout="constrained")
draw(axes[0], d_z_5[0, 0], "d_z", 12)
draw(axes[1], spread[0, 0], "1 zero between, 2 zeros around", 12, spread[0, 0] != 0)
frame(axes[1], 0, 0, 3)
axes[1].text(0.5, 0.5, "flipped\nkernel →", ha="center", va="center", fontsize=9)
draw(axes[2], d_x_pad_5, "d_x_pad; d_x inside the black frame", 12)
frame(axes[2], 1, 1, 5)
plt.show()

d_x_5, _, _ = conv2d_loops(x_5, kernel_5, stride=2, padding=1)[1](d_z_5)
assert np.allclose(d_x_pad_5[1:6, 1:6], d_x_5[0, 0])

# %% [markdown]
r"""
What to see: the nine numbers of `d_z` have been pulled apart, the white cells are zeros, and the flipped kernel
slides over the result in steps of 1. The frame on the right is what remains after cutting off the padding.

## In the package

`conv2d` takes the second way. It is used elsewhere too, so it allows $O$ output channels, a bias and a stride,
and calls the upstream gradient `d_out`. With $O = 1$ and stride 1 it is our box. Read the docstring slowly: you have
derived every line of it.
"""

# %%
print(inspect.getsource(conv2d))

z, backward = conv2d(x, kernel)
d_x_package, d_kernel_package, d_bias = backward(d_z)
assert np.allclose(d_x_package, d_x)
assert np.allclose(d_kernel_package, d_kernel)
assert d_bias is None  # there was no bias

# %% [markdown]
r"""
And with the real size, $7 \times 7$, against two others who do not know our derivation: the package's loops, and
PyTorch's autograd.
"""

# %%
x_7, kernel_7, d_z_7 = rng.normal(size=(2, 2, 9, 8)), rng.normal(size=(1, 2, 7, 7)), rng.normal(size=(2, 1, 9, 8))
d_x_7, d_kernel_7, _ = conv2d(x_7, kernel_7)[1](d_z_7)

d_x_loops, d_kernel_loops, _ = conv2d_loops(x_7, kernel_7)[1](d_z_7)
assert np.allclose(d_x_7, d_x_loops)
assert np.allclose(d_kernel_7, d_kernel_loops)

leaves = [torch.tensor(value, requires_grad=True) for value in (x_7, kernel_7)]
z_torch = torch.nn.functional.conv2d(*leaves, padding=3)
d_x_torch, d_kernel_torch = torch.autograd.grad(z_torch, leaves, torch.tensor(d_z_7))
assert np.allclose(d_x_7, d_x_torch)
assert np.allclose(d_kernel_7, d_kernel_torch)

# %% [markdown]
r"""
## The mistakes that people make

Here are seven versions of `d_x`, six of them wrong. All have the right shape, and none of them crashes. The judge is a
**measured** slope: move $x$ a little along a random direction $v$. The loss $L = \langle z, dz \rangle$ has to
move by $\langle dx, v \rangle$. The convolution is linear in $x$, so the difference quotient is exact up to rounding.
"""


# %%
def with_kernel(turned):
    """d_x_pad by the second way, with `turned` in place of the flipped kernel."""
    return (turned.reshape(C, k * k) @ windows).reshape(x_pad.shape)


def versions(kernel):
    """d_x, right and wrong."""
    flipped = kernel[:, :, ::-1, ::-1]
    right = with_kernel(flipped)
    middle = np.s_[:, :, p : p + H, p : p + W]
    return {
        "right": right[middle],
        "not flipped": with_kernel(kernel)[middle],
        "flipped up-down only": with_kernel(kernel[:, :, ::-1])[middle],
        "flipped left-right only": with_kernel(kernel[:, :, :, ::-1])[middle],
        "transposed, not flipped": with_kernel(kernel.swapaxes(2, 3))[middle],
        "cropped at the top left": right[:, :, :H, :W],
        "cropped at the bottom right": right[:, :, -H:, -W:],
    }


def off(kernel):
    """How far the slope that each version says is from the measured one, relative to it."""
    v = np.random.default_rng(1).normal(size=x.shape)
    h = 1e-3
    slope = np.sum(d_z * (conv2d(x + h * v, kernel)[0] - conv2d(x - h * v, kernel)[0])) / (2 * h)
    return {name: abs(np.sum(value * v) - slope) / abs(slope) for name, value in versions(kernel).items()}


symmetric = np.array([[1.0, 2.0, 1.0], [2.0, -3.0, 2.0], [1.0, 2.0, 1.0]]) * np.array([1.0, 0.5])[None, :, None, None]
errors, hidden = off(kernel), off(symmetric)
print(f"{'':30}random kernel   symmetric kernel")
for name in errors:
    print(f"{name:30}{errors[name]:13.0%}{hidden[name]:19.0%}")
for name, error in errors.items():
    assert error < 1e-9 if name == "right" else error > 0.1, name
invisible = {name for name, error in hidden.items() if error < 1e-9} - {"right"}
assert invisible == {"not flipped", "flipped up-down only", "flipped left-right only", "transposed, not flipped"}

# %% [markdown]
r"""
On the left every mistake is caught. On the right, with a kernel that looks the same from all sides, four of the six
mistakes have disappeared: if a flip changes nothing, nobody can see whether it was done. A kernel of ones, or a
blur, is a bad test.

An upstream gradient of ones hides things too. Away from the border every pixel then gets $\sum_{u,v} K[c,u,v]$, and
a sum does not mind the order:
"""

# %%
d_x_ones = conv2d(x, kernel)[1](np.ones_like(d_z))[0]
not_flipped_ones = conv2d(x, flipped)[1](np.ones_like(d_z))[0]  # flipped twice is not flipped
inside = np.s_[:, :, 1:-1, 1:-1]
assert np.allclose(d_x_ones[inside], not_flipped_ones[inside])
assert np.allclose(d_x_ones[0, 0, 1:-1, 1:-1], kernel[0, 0].sum())
assert not np.allclose(d_x_ones, not_flipped_ones)  # only the border gives it away

# %% [markdown]
r"""
So: a random kernel, a random upstream gradient, and $H \ne W$. The package's check takes a random upstream gradient by
itself, and we give it the rest. Chapter [9](09_checking_a_gradient.ipynb) explains how it works.
"""

# %%
report = cb.gradcheck(conv2d, x, kernel)
print("conv2d:", "ok" if report.ok else "wrong")
assert report.ok

# %% [markdown]
r"""
## What to remember

- The kernel's gradient is the upstream gradient times the transposed columns, summed over the batch. No flip.
- The input's gradient: hand out with col2im, or collect with the kernel flipped in **both** directions. It is the same
  sum; then cut off the padding.
- The backward of a linear operation is its adjoint: $\langle A x, y \rangle = \langle x, A^{\top} y \rangle$ for
  random $x$ and $y$.

**Next:** [8. Spatial attention and the whole backward pass](08_the_whole_backward.ipynb) ·
**Solutions:** [chapter 7, solved](solutions/07_its_gradient.ipynb)

**The code:** [conv.py](../cbam_np/ops/conv.py), the same as loops: [loops.py](../cbam_np/reference/loops.py)

**The paper:** Woo, Park, Lee, Kweon,
[CBAM: Convolutional Block Attention Module](https://arxiv.org/abs/1807.06521), section 3.
"""
