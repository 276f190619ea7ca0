# %% [markdown]
r"""
# 5. The 7×7 convolution · 7×7 卷积

> **A gate for one place is decided by what is around it. What exactly does the convolution compute, and how does it become one matrix product?**
"""

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np

import cbam_np as cb
from cbam_np.course import answer, check
from cbam_np.course import pictures_convolution as pictures
from cbam_np.course.learned_maps import numbers
from cbam_np.ops import avg_pool_over_channels, conv2d, im2col, max_pool_over_channels

plt.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110})
np.set_printoptions(precision=3, suppress=True)

# %% mystnb={"image": {"alt": "Two pooled maps, the 7 by 7 window of one pixel in each, times the learned kernel, summed."}}
learned = numbers()
params = {name: learned[name].astype(float) for name in ("channel.w1", "channel.w2", "spatial.kernel")}
f1, _ = cb.channel_attention(learned["f"].astype(float), params)
avg_s, max_s = avg_pool_over_channels(f1)[0], max_pool_over_channels(f1)[0]
m_s, _ = cb.spatial_map(f1, params)
kernel = params["spatial.kernel"]
pictures.one_pixel(avg_s[0, 0], max_s[0, 0], kernel[0], m_s[0, 0], place=(6, 4))
across = kernel[0, 1].sum(axis=0)  # of the maximum's weights, one sum a column
assert np.all(across[2:5] > 0.9)
assert np.all(across[[0, 6]] < -1.4)
assert m_s[0, 0, 6, 8] < 0.05
assert conv2d(max_s, kernel[:, 1:], padding=3)[0].std() > 10 * conv2d(avg_s, kernel[:, :1], padding=3)[0].std()

# %% [markdown]
r"""
This is how the trained block makes the gate (门控) of **one** pixel (像素). From both pooled maps it takes the window (窗口) of
$7 \times 7$ pixels around it, multiplies each by its own $7 \times 7$ weights, and adds everything up. The sigmoid of
this one number is the gate. Then the window moves to the next pixel, with the same weights. That is a **convolution**
(卷积), and the weights are its **kernel** (卷积核). Red is positive, blue is negative. Change `place` above, to `(6, 8)` for
instance, and run the cell again: what makes a gate shut?

<details><summary>One answer, for this kernel</summary>

Its weights for the maximum are red in the middle columns and blue in the outer ones. So a gate opens on a stroke, where large
maxima meet the red weights, and shuts about three columns beside it, where the same maxima meet the blue ones. The average
hardly counts here.
</details>

| | |
|---|---|
| **Time** | 70 minutes |
| **You need** | chapter [2](02_pooling.ipynb), matrix products |
| **You build** | `im2col`, and `conv2d` forward |

## The formula

$$\underbrace{M_s}_{N,1,H,W} = \sigma\left(\text{Conv}_{7 \times 7}\left(
[\underbrace{F^s_{\text{avg}}}_{N,1,H,W};\, \underbrace{F^s_{\text{max}}}_{N,1,H,W}]\right)\right) \tag{10}$$

The brackets $[\,;\,]$ are the **concatenation** (拼接): both maps become the two channels of one array $x$ of shape
$(N, 2, H, W)$, the average first. The result before the sigmoid is called $u$:

$$u[n,i,j] = \sum_{c=0}^{1} \sum_{a=0}^{k-1} \sum_{b=0}^{k-1} K[c,a,b]\; x_{\text{pad}}[n,c,i+a,j+b] \qquad M_s = \sigma(u)$$

From here on indices start at 0, as in code. $x_{\text{pad}}$ is $x$ with $p = \frac{k-1}{2} = 3$ rows and columns of
zeros on every side: the **padding** (填充). The window moves by one pixel at a time, so the **stride** (步幅) is 1, and $u$
has $H$ rows and $W$ columns again. There is no **bias** (偏置).

<details><summary>The document's own form</summary>

Section 3, *空间注意力机制(Spatial Attention)*; *拼接(Concat)* is the concatenation, *卷积层* a convolution layer:

$$\mathbf{M}s = \sigma(\text{Conv}{7 \times 7}([\mathbf{F}{\text{avg}}^s; \mathbf{F}{\text{max}}^s]))$$

It leaves open padding, stride and bias; the rest is in [the appendix on misprints](A3_misprints.ipynb).
</details>

<details><summary>Why must the padding be 3? What would happen with none?</summary>

$F'$ is multiplied by $M_s$ pixel by pixel, so $M_s$ needs $H$ rows. A window of 7 rows fits into $H + 2p$ rows at
$H + 2p - 6$ places. That is $H$ for $p = 3$; with $p = 0$ six rows would be missing.
</details>

<details><summary>In mathematics a convolution has a minus, x[i − a]. What is the name of the one with the plus?</summary>

Cross-correlation (互相关). All deep-learning libraries compute it and call it convolution, and so do we. The two differ by a
flip of the kernel. Remember this: the minus will come back in chapter 6.
</details>

## On paper

One channel, a kernel of $3 \times 3$, so $p = 1$:

$$x = \begin{pmatrix} 1 & 2 & 0 \\ 0 & 3 & 1 \\ 2 & 0 & 1 \end{pmatrix} \qquad
K = \begin{pmatrix} 0 & 1 & 0 \\ 0 & 0 & 2 \\ 0 & 0 & 0 \end{pmatrix}$$

Put the middle of $K$ on a pixel, multiply the numbers that lie on top of each other, and add. This kernel has only two entries that
aren't 0. It says: *the number above, plus twice the number to the right*. Outside there are zeros.

**5.1** What is $u$ at the top left, and what is it in the middle of the bottom row? Type a pair.
"""

# %%
answer("5.1", ...)  # solved: (4, 5)

# %% mystnb={"image": {"alt": "A red window at the top left of the padded input makes the red entry of u; blue likewise."}}
x = np.array([[1.0, 2.0, 0.0], [0.0, 3.0, 1.0], [2.0, 0.0, 1.0]])
kernel = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
u, _ = conv2d(x[None, None], kernel[None, None])
pictures.windows(x, kernel, u[0, 0])
assert np.array_equal(u[0, 0], [[4, 0, 0], [7, 4, 0], [0, 5, 1]])

# %% [markdown]
r"""
What to see: the window whose top left corner is at $(i,j)$ of the *padded* input makes the entry $(i,j)$ of $u$. Windows
overlap, so most pixels are in several of them.

## The order of the concatenation

The document and the paper write $[\text{avg}; \text{max}]$. The code that the authors published puts the **maximum first**.
Each order is fine by itself, because a network learns the kernel that suits it. But take a kernel that was trained with one
order and use it with the other: the weights for the average meet the maximum. All shapes fit, and there is no error.
"""

# %% mystnb={"image": {"alt": "A digit; its spatial map with the trained kernel, and with the kernel's channels swapped."}}
swapped = params | {"spatial.kernel": params["spatial.kernel"][:, ::-1]}
m_s_swapped, _ = cb.spatial_map(f1, swapped)
pictures.right_and_swapped(learned["scenes"][0], m_s[0, 0], m_s_swapped[0, 0])
off = np.abs(m_s_swapped - m_s).mean()
print(f"the gates are off by {off:.2f} on average")
assert off > 0.2

# %% [markdown]
r"""
What to see: the map on the right looks plausible, but it is wrong.

If you load weights from elsewhere, compare one output with theirs. In the authors' weights, the two input channels of the
kernel have to be swapped, `kernel[:, ::-1]`. That isn't all; chapter [12](12_cbam_in_pytorch.ipynb) loads them.

## im2col: every window becomes a column

The formula has six indices, so it could be six loops. They would be slow. Instead, copy every window into one column of a
big matrix, once; what is left is a single matrix product, and those are fast. The copying is called **im2col**, image to
columns.

Here is a picture of $3 \times 4$ pixels, numbered from 1 to 12 so that each number names its place. The kernel has
$3 \times 3$ entries. The matrix has a row for each place $(a,b)$ in the window and a column for each pixel $(i,j)$ of the
result:

$$\text{columns}[(a,b),\, (i,j)] = x_{\text{pad}}[i+a,\, j+b]$$
"""

# %% mystnb={"image": {"alt": "The padded picture and a matrix of 9 by 12: a window is a column, a row is a shifted picture."}}
H, W, k = 3, 4, 3
numbered = np.arange(1.0, H * W + 1).reshape(H, W)
columns, _ = im2col(numbered[None, None], k, padding=1)
pictures.every_window_a_column(numbered, columns[0], k, pixel=7)
assert np.count_nonzero(columns == 7) == 9

# %% [markdown]
r"""
What to see: a **column** (red) is one window, read row by row. A **row** (blue, dashed) is the whole picture, shifted:
for the place $(0,2)$ in the window, every pixel of the result reads the pixel above it and to its right. The pixel 7
(yellow) is in nine windows, so it occurs in nine columns.

With several channels, the rows of channel 1 come below those of channel 0. The full address is

$$\text{columns}[n,\; (c \cdot k + a) \cdot k + b,\; i \cdot W + j] = x_{\text{pad}}[n, c, i+a, j+b]$$

**5.2** The pixel 7 is at row 1, column 2 of the picture without padding. In the row of the matrix for $(a,b) = (0,2)$, in
which column, counted from 0, does it appear? Compute it before you look: $i + a = 1 + p$ and $j + b = 2 + p$.
"""

# %%
answer("5.2", ...)  # solved: 9

# %% [markdown]
r"""
<details><summary>As a in the address grows by 1, the pixel 7 moves in the matrix. Which way, and why is there a minus?</summary>

To the left, by a whole row of the picture: $i = 1 + p - a$. The further down in the window a pixel is, the further up the
window is. The yellow line in the picture runs down to the left.
</details>

### Build 12 of 16 · `im2col`

It returns a plain array, without a backward: chapter 6 builds that separately.

- You could fill the matrix column by column, one window at a time. How many windows are there? And how many *rows* does the
  matrix have? Which of the two would you rather loop over?
- A row of the matrix, laid out as a picture, is a slice of $x_{\text{pad}}$. From where to where?
- Get the order of the axes right before you flatten them: $(c, a, b)$ becomes one axis, and $(i, j)$ becomes one.
"""

# %%
check("im2col")

# %% [markdown]
r"""
## One matrix product

Write the kernel as a single row of $2k^2$ entries, in the order $c$, $a$, $b$, in which it is stored anyway. Then the sum
over $c, a, b$ in the formula *is* the sum in a matrix product, for each sample $n$:

$$\underbrace{u[n]}_{1,\,HW} = \underbrace{K}_{1,\,2k^2} \; \underbrace{\text{columns}[n]}_{2k^2,\,HW}$$

### Build 13 of 16, first half · `conv2d`, forward

`conv2d(x, kernel)`: reshape, multiply, reshape. NumPy's `@` multiplies a matrix with a whole stack of matrices, so you
don't need a loop over the samples. The kernel may have several output channels, shape $(O, C, k, k)$; with $O = 1$ it is
our formula. Return `out, None` for now: the second half comes in the next chapter.
"""

# %%
check("conv2d")

# %% [markdown]
r"""
## What it costs

**Time:** every pixel of the result needs $2k^2 = 98$ multiply-adds (乘加). im2col doesn't save a single one; it only lets
NumPy do them all at once. **Memory:** every number is copied into up to $k^2 = 49$ windows, so the matrix is 49 times as
large as $x$. With only two channels that is bearable: for a batch of 32 and $56 \times 56$ pixels in float32, 0.8 MB
become 39 MB.
"""

# %%
x = np.zeros((1, 2, 56, 56), dtype=np.float32)
columns, _ = im2col(x, 7, padding=3)
print(f"x {32 * x.nbytes / 1e6:.1f} MB, columns {32 * columns.nbytes / 1e6:.0f} MB")
assert columns.shape == (1, 98, 56 * 56)
assert columns.size == 49 * x.size
assert round(32 * x.nbytes / 1e6, 1) == 0.8
assert round(32 * columns.nbytes / 1e6) == 39

# %% [markdown]
r"""
<details><summary>The zeros of the padding are numbers like any others. On a map of 7 × 7, the size of the last stage of a ResNet, how
many windows contain no padding? And how many real pixels does the window of a corner contain?</summary>

Only one, that of the middle pixel. At a corner 16 of the 49 entries are real, the other 33 are zeros. On small maps spatial
attention sees mostly border. The next cell counts.
</details>
"""

# %%
real_pixels, _ = conv2d(np.ones((1, 1, 7, 7)), np.ones((1, 1, 7, 7)))
print(real_pixels[0, 0].astype(int))
assert real_pixels[0, 0, 0, 0] == 16
assert np.count_nonzero(real_pixels == 49) == 1

# %% [markdown]
r"""
## What you built

`im2col`, and with it the convolution forward, as one matrix product. Twelve of 16, and half of the thirteenth.

**Next:** [6. Its gradient](06_its_gradient.ipynb) · **The code:** [conv.py](../cbam_np/ops/conv.py),
[joining.py](../cbam_np/ops/joining.py), the same as loops: [loops.py](../cbam_np/reference/loops.py)
"""
