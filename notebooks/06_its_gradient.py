# %% [markdown]
r"""
# 6. The gradient of the convolution, and spatial attention · 卷积的梯度

> **One pixel was in 49 windows, each time next to a different weight. Which weight goes with which window in the backward pass?**
"""

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np

import cbam_np as cb
from cbam_np.checking.simple import simple_gradcheck
from cbam_np.course import answer, check, pictures_a
from cbam_np.course import pictures_convolution as pictures
from cbam_np.ops import col2im, conv2d, gate, im2col

plt.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110})
np.set_printoptions(precision=3, suppress=True)

# %% mystnb={"image": {"alt": "A matrix of 3 by 5: a row reads K0 K1 K2; the column of x2 reads K2 K1 K0 from the top."}}
pictures.line_matrix()

# %% [markdown]
r"""
| | |
|---|---|
| **Time** | 90 minutes |
| **You need** | chapter [5](05_the_convolution.ipynb), matrix products and their transpose |
| **You build** | `col2im`, the backward of `conv2d`, `spatial_attention` |

Everything that is difficult here shows up in one dimension already. Five numbers, a kernel of three, no padding:

$$x = (1, 2, 0, 3, 1) \qquad K = (2, -1, 1) \qquad
\begin{aligned}
u_0 &= K_0 x_0 + K_1 x_1 + K_2 x_2 = 0 \\
u_1 &= K_0 x_1 + K_1 x_2 + K_2 x_3 = 7 \\
u_2 &= K_0 x_2 + K_1 x_3 + K_2 x_4 = -2
\end{aligned}$$

The picture shows the three lines as a matrix. Now let the upstream gradient be $du = (1, -2, 3)$.

**The kernel.** $K_0$ occurs in all three lines: next to $x_0$, next to $x_1$, next to $x_2$. So
$dK_0 = du_0 x_0 + du_1 x_1 + du_2 x_2 = 1 - 4 + 0 = -3$.

**6.1** What is $dK_1$?
"""

# %%
answer("6.1", ...)  # solved: 11

# %% [markdown]
r"""
**The input.** Now look for $x_2$. It occurs in all three lines too, but look at which weight is next to it: $K_2$ in the
first line, $K_1$ in the second, $K_0$ in the third. The order is **reversed**. In the picture: forward you read along a
row, $K_0, K_1, K_2$. Backward you read down a column, $K_2, K_1, K_0$.

$$dx_2 = K_2\, du_0 + K_1\, du_1 + K_0\, du_2 = 1 + 2 + 6 = 9$$

**6.2** What is $dx_3$?
"""

# %%
answer("6.2", ...)  # solved: -5

# %%
x_line, kernel_line, d_u_line = np.array([1.0, 2, 0, 3, 1]), np.array([2.0, -1, 1]), np.array([1.0, -2, 3])
T = np.zeros((3, 5))
for i, a in np.ndindex(3, 3):
    T[i, i + a] = kernel_line[a]
assert np.array_equal(T @ x_line, [0, 7, -2])
assert (T.T @ d_u_line)[2] == 9
assert d_u_line @ x_line[:3] == -3

# %% [markdown]
r"""
## The kernel, backward

The convolution of chapter 5, in full, and the upstream gradient (上游梯度) $du$ of the same shape as $u$:

$$u[n,i,j] = \sum_{c,a,b} K[c,a,b]\; x_{\text{pad}}[n,c,i+a,j+b]$$

**Step 1.** Which outputs does one weight $K[c,a,b]$ move? All of them: the kernel visits every place of every sample.
**Step 2.** In the sum for $u[n,i,j]$ it occurs once, next to $x_{\text{pad}}[n,c,i+a,j+b]$. **Step 3.** Add up:

$$dK[c,a,b] = \sum_{n,i,j} du[n,i,j]\; x_{\text{pad}}[n,c,i+a,j+b]$$

All signs are plus. Nothing is flipped here.
"""

# %% mystnb={"image": {"alt": "A frame on the padded x, times d_u, gives products; their sum is one entry of d_K."}}
x = np.array([[1.0, 2.0, 0.0, 1.0], [0.0, 3.0, 1.0, -1.0], [2.0, 0.0, 1.0, 2.0]])
d_u = np.array([[1.0, 0.0, -2.0, 1.0], [0.0, 3.0, 1.0, 0.0], [-1.0, 0.0, 2.0, 1.0]])
kernel = np.array([[1.0, 0.0, 2.0], [0.0, -1.0, 1.0], [3.0, 1.0, 0.0]])
_, d_kernel, _ = conv2d(x[None, None], kernel[None, None])[1](d_u[None, None])
pictures.gradient_of_one_weight(x, d_u, d_kernel[0, 0], place=(0, 2))
assert d_kernel[0, 0, 0, 2] == np.sum(np.pad(x, 1)[0:3, 2:6] * d_u)

# %% [markdown]
r"""
What to see: $K[0,2]$ always reads the pixel above and to the right. So its gradient is the whole picture, shifted by that
much, times $du$, added up. Every weight has its own shift.

<details><summary>You have seen that shifted picture before. Where? And how do you get all of dK as one matrix product for each
sample?</summary>

A shifted picture is a *row* of `columns`. $dK$ pairs each row with $du$: it sums over $(i,j)$, the *last* index of both. So write
$du[n]$ as one row of $HW$ numbers, and transpose the other one. Then add over the samples, because they all share the kernel.
</details>

## The input, backward, first way: hand out

Go back through $u = K\,\text{columns}$ first. The entry $\text{columns}[(c,a,b),(i,j)]$ occurs once, in $u[i,j]$, next to
$K[c,a,b]$. So its gradient is $K[c,a,b]\; du[n,i,j]$.

Then go back through `im2col`. It only **copies**: each pixel, into every window that contains it. When a number has
several copies, each copy moves the loss, and the shares add up. So every column has to be *added* back into the window
that it came from. That is `col2im`:

$$dx_{\text{pad}}[n,c,i+a,j+b] \mathrel{+}= d\text{columns}[n,(c,a,b),(i,j)] \qquad \text{for all } c,a,b,i,j$$

Here for a picture of $3 \times 3$ and windows of $2 \times 2$, without padding:
"""

# %% mystnb={"image": {"alt": "Four windows of two by two with their numbers, and the picture where they are added up."}}
four = np.array([[1.0, 2.0, -3.0, 4.0], [5.0, -2.0, 1.0, 3.0], [2.0, 6.0, -1.0, 2.0], [3.0, -4.0, 5.0, 1.0]])
pictures.windows_added_up(four, size=3, k=2)
added_up = col2im(four[None], (3, 3), 2)[0][0, 0]
assert added_up[1, 1] == 3 + 6 + 1 + 4 == 14

# %% [markdown]
r"""
What to see: the pixel in the middle is in all four windows and collects four numbers, $3 + 6 + 1 + 4 = 14$. A corner is
in one window and collects one.

**The padding is cut off at the end.** $dx_{\text{pad}}$ has entries for the zeros around the picture too. Nobody asks how
the loss would change if those zeros changed, so only the middle is left: $dx[n,c,i,j] = dx_{\text{pad}}[n,c,i+p,j+p]$.

### Build 14 of 16 · `col2im`

`col2im(columns, shape, k)` is the mirror image of your `im2col`. `im2col` copies slices *out of* the padded picture;
`col2im` adds them *into* it.

- Why is `+=` on a slice safe here? (For a fixed $(a,b)$, can two pixels $(i,j)$ hit the same target?)
- Which part of the padded picture do you return?
"""

# %%
check("col2im")

# %% [markdown]
r"""
### A test without any derivative

Write $\langle x, y \rangle = \sum x \odot y$ for the sum of all products of entries. For a matrix $A$, and any $x$ and $y$,

$$\langle A x,\, y \rangle = \langle x,\, A^{\top} y \rangle$$

im2col is linear (线性), so it is a matrix, too large to write down, and col2im is its transpose. Two operations with this
property are called **adjoint** (伴随), and you can test it with random numbers:
"""

# %%
rng = np.random.default_rng(0)
x = rng.normal(size=(2, 2, 5, 6))
y = rng.normal(size=(2, 2 * 9, 5 * 6))
left = np.sum(im2col(x, 3, padding=1)[0] * y)
right = np.sum(x * col2im(y, (5, 6), 3, padding=1)[0])
print(f"⟨im2col x, y⟩ = {left:.6f}     ⟨x, col2im y⟩ = {right:.6f}")
assert np.isclose(left, right)

# %% [markdown]
r"""
This is *why* the backward of a linear operation is its transpose: $L = \langle A x, d_{\text{out}} \rangle$ is the same as
$\langle x, A^{\top} d_{\text{out}} \rangle$, and now you can read off what $x$ is multiplied by.

<details><summary>Adjoint is not inverse. What is col2im(im2col(x)) for a picture of ones, with a 3 × 3 window and padding 1?</summary>

Each pixel comes back as many times as it was copied: 9 inside, 6 at an edge, 4 in a corner.
</details>
"""

# %%
back_and_forth = col2im(im2col(np.ones((1, 1, 4, 5)), 3, padding=1)[0], (4, 5), 3, padding=1)[0][0, 0]
assert back_and_forth[0, 0] == 4
assert back_and_forth[0, 1] == 6
assert back_and_forth[1, 1] == 9

# %% [markdown]
r"""
## The input, backward, second way: collect

Now ask from the other end. Take **one pixel** $x_{\text{pad}}[n,c,i,j]$ and collect everything that it gets. Which output
reads it next to $K[c,a,b]$? The one at $(i-a,\; j-b)$, because that output reads at $(i-a+a,\; j-b+b) = (i,j)$. So

$$\boxed{dK[c,a,b] = \sum_{n,i,j} du[n,i,j]\; x_{\text{pad}}[n,c,i+a,j+b] \qquad
dx_{\text{pad}}[n,c,i,j] = \sum_{a,b} K[c,a,b]\; du[n,i-a,j-b]}$$

Where $i-a$ or $j-b$ is outside $du$, there is no such window, and the term is 0. Compare the signs. Forward, one step
further in $K$ is one step further in $x$. Backward, one step further in $K$ is one step **back** in $du$. The minus flips
(翻转) the kernel, in both directions.
"""

# %% mystnb={"image": {"alt": "A kernel numbered 1 to 9; the nine outputs around a pixel used 9 to 1 for it."}}
numbered = np.arange(1.0, 10).reshape(3, 3)
met = np.array([[numbered[2 - i, 2 - j] for j in range(3)] for i in range(3)])
pictures.kernel_seen_from_a_pixel(numbered, met)
assert np.array_equal(met, numbered[::-1, ::-1])

# %% [markdown]
r"""
What to see: in the window of $u[0,0]$ the yellow pixel is at the bottom right, so it meets the last weight, 9. In the
window of $u[2,2]$ it is at the top left and meets the first one, 1. Seen from the pixel, the kernel is flipped, in both
directions.

Both ways are the same sum. col2im walks over the windows and **hands out**; the flipped kernel walks over the pixels and
**collects**. This second way is itself a convolution, of $du$ with $k-1$ zeros around it, with the flipped kernel.

### Build 13 of 16, second half · `conv2d`, backward

Return $dx$ and $d\text{kernel}$. Take either way for $dx$; hand out with your `col2im`, or collect.
"""

# %%
check("conv2d")

# %% [markdown]
r"""
<details><summary>The first way as matrix products (open it when yours works)</summary>

$$dK = \sum_n du[n]\; \text{columns}[n]^{\top} \qquad d\text{columns}[n] = K^{\top}\, du[n] \qquad
dx = \text{col2im}(d\text{columns})$$
</details>

<details><summary>You forget the flip, and your check says that all is well. Which kernel did you test with?</summary>

One that looks the same after the flip: a kernel of ones, a blur, a Laplacian. If the flip changes nothing, no check can see
whether it was done. So test with a random kernel, a random $d_{\text{out}}$, and $H \ne W$. The next cell shows it.
</details>
"""


# %%
def without_the_flip(x, kernel):
    """The convolution with a wrong d_x: the kernel isn't flipped."""
    out, backward = conv2d(x, kernel)
    _, wrong_backward = conv2d(x, kernel[:, :, ::-1, ::-1])
    return out, lambda d_out: (wrong_backward(d_out)[0], backward(d_out)[1])


blur = np.array([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) * np.ones((1, 2, 1, 1))
errors = {name: simple_gradcheck(without_the_flip, x, kernel)
          for name, kernel in {"a blur": blur, "a random kernel": rng.normal(size=(1, 2, 3, 3))}.items()}  # fmt: skip
for name, error in errors.items():
    print(f"without the flip, tested with {name:16}", "nothing found" if error < 1e-6 else f"wrong by {error:.0%}")
assert errors["a blur"] < 1e-6
assert errors["a random kernel"] > 0.1

# %% [markdown]
r"""
## Spatial attention

Now you have all the parts of the second stage.

$$\underbrace{F''}_{N,C,H,W} = \underbrace{M_s}_{N,1,H,W} \otimes \underbrace{F'}_{N,C,H,W} \tag{11}$$

<details><summary>The document's own form</summary>

Section 3, *空间注意力机制(Spatial Attention)*, *归一化并乘回原特征*:

$$\mathbf{F’’} = \mathbf{M}_s \cdot \mathbf{F’}$$
</details>
"""

# %% mystnb={"image": {"alt": "F prime goes to the product and to both poolings, which meet in the convolution."}}
pictures_a.branch("F'", "M_s", "F''", ("average (8)", "maximum (9)", "concat,\nconv (10)", "σ (10)"), "du")

# %% [markdown]
r"""
Compare it with the picture of chapter [4](04_channel_attention.ipynb). The shared MLP has become a convolution, and
everything else is the same. $F'$ is used three times, so three paths come back, the direct path, the average path and the maximum path, and they
add:

$$\boxed{dM_s[n,i,j] = \sum_{c} dF''[n,c,i,j]\, F'[n,c,i,j] \qquad
dF' = M_s \otimes dF'' + dF'_{\text{avg}} + dF'_{\text{max}}}$$

<details><summary>Only the concatenation is new. x[n,0,i,j] is the average map, x[n,1,i,j] the maximum map. What is its
backward?</summary>

Every entry was copied to exactly one place. So its gradient is read off at that place: channel 0 of $dx$ goes to the average,
channel 1 to the maximum. Cut where you glued.
</details>

### Build 15 of 16 · `spatial_attention`

Call your own functions forward and keep their backwards; then call those in the opposite order. Which order does the
concatenation have?
"""

# %%
check("spatial_attention")

# %% [markdown]
r"""
<details><summary>Suppose F′ is zero everywhere around a pixel. What is its gate, whatever the kernel is?</summary>

Both pooled maps are zero in its window, there is no bias, so $u = 0$ and the gate is $\sigma(0) = \frac12$. A spatial gate can only open
or shut a place by looking at something that is there.
</details>
"""

# %%
block = cb.CBAM(6, reduction=2, dtype="float64", seed=0).params
assert np.all(cb.spatial_map(np.zeros((1, 6, 8, 9)), block)[0] == 1 / 2)
f1, d_f2 = rng.normal(size=(2, 1, 6, 8, 9))
m_s, _ = cb.spatial_map(f1, block)
assert np.allclose(gate(m_s, f1)[1](d_f2)[0], np.sum(d_f2 * f1, axis=1, keepdims=True))

# %% [markdown]
r"""
## What you built

The backward of a convolution in both directions, and the second half of CBAM. Fifteen of 16: the last one puts the halves
together.

**Next:** [7. The whole backward pass](07_the_whole_backward.ipynb) · **The code:** [conv.py](../cbam_np/ops/conv.py),
[spatial.py](../cbam_np/attention/spatial.py), the same as loops: [loops.py](../cbam_np/reference/loops.py)
"""
