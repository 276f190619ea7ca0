# %% [markdown]
r"""
# 8. Spatial attention and the whole backward pass · 空间注意力与完整的反向传播

All parts are there: the poolings (池化), the MLP, the sigmoid, the convolution (卷积), each with its way back.
This chapter puts the last gate on, formula (11), and then joins everything: from $dF''$ back to $dF$ and to the
three parameters, on one page, in sixteen lines.

**What you will learn**

- formula (11), and why $F'$ gets gradient (梯度) on two paths (路径);
- how far one entry of the gradient spreads on each of them;
- the complete backward pass (反向传播) of CBAM, each line numbered, beside its line of code;
- to check it against the package, and four others who computed it in a different way;
- how much of $dF$ each path carries.

**What you need:** chapters 2 to 7. If one line of the long page puzzles you, go back to its chapter; the page says
which.
"""

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np
import torch

import cbam_np as cb
from cbam_np.commands import tour
from cbam_np.course.chapter_08 import exercise_8_1, exercise_8_2
from cbam_np.ops import (
    avg_pool_over_channels,
    avg_pool_over_space,
    concat,
    conv2d,
    gate,
    max_pool_over_channels,
    max_pool_over_space,
    shared_mlp,
    sigmoid,
)
from cbam_np.pytorch import from_arrays
from cbam_np.reference.loops import cbam_loops

plt.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110})
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
r"""
## The formula, as the document has it

Section 3, *空间注意力机制(Spatial Attention)*, ends with the line *归一化并乘回原特征*:

$$\mathbf{F''} = \mathbf{M}_s \cdot \mathbf{F'}$$

## The formula, as it must be read

$$\underbrace{F''}_{N,C,H,W} = \underbrace{M_s}_{N,1,H,W} \otimes \underbrace{F'}_{N,C,H,W} \tag{11}$$

or, index by index, $F''[n,c,i,j] = M_s[n,i,j]\; F'[n,c,i,j]$.

Three things to know.

1. No subscript was lost here. But the dot is again $\otimes$: multiplication entry by entry, with $M_s$ broadcast
   (广播) over the channels. All channels of a pixel get the same factor.
2. It is the same as formula (2), $F'' = M_s(F') \otimes F'$. Only, (2) says that $M_s$ is computed from $F'$. For the
   way back this is the important half: $F'$ enters **twice**.
3. *归一化*, normalisation, is the sigmoid inside $M_s$. It normalises nothing; chapter
   [1](01_the_block.ipynb) shows it.
"""

# %% [markdown]
r"""
## On paper

One sample, two channels, one row of two pixels. For now somebody hands us $M_s$:

$$F'[0,0] = \begin{pmatrix} 2 & 4 \end{pmatrix} \quad F'[0,1] = \begin{pmatrix} 1 & -2 \end{pmatrix} \quad
M_s = \begin{pmatrix} \frac12 & \frac14 \end{pmatrix}$$

Then $F''[0,0] = (1,\; 1)$ and $F''[0,1] = (\frac12,\; -\frac12)$. Let the upstream gradient (上游梯度) be

$$dF''[0,0] = \begin{pmatrix} 1 & 2 \end{pmatrix} \quad dF''[0,1] = \begin{pmatrix} -4 & 2 \end{pmatrix}$$

What does the gate of the first pixel get? It was multiplied with 2 in channel 0 and with 1 in channel 1:
$dM_s[0,0,0] = 1 \cdot 2 + (-4) \cdot 1 = -2$. And the second: $dM_s[0,0,1] = 2 \cdot 4 + 2 \cdot (-2) = 4$.

And what does the feature $F'[0,1,0,0]$ get? It was multiplied with $\frac12$, so $\frac12 \cdot (-4) = -2$.
"""

# %%
f1 = np.array([[[[2.0, 4.0]], [[1.0, -2.0]]]])
m_s = np.array([[[[0.5, 0.25]]]])
d_f2 = np.array([[[[1.0, 2.0]], [[-4.0, 2.0]]]])
f2_by_hand = np.array([[[[1.0, 1.0]], [[0.5, -0.5]]]])
d_m_s_by_hand = np.array([[[[-2.0, 4.0]]]])
d_f1_gate_by_hand = np.array([[[[0.5, 0.5]], [[-2.0, 0.5]]]])

# %% [markdown]
r"""
## As loops, as one line, in the package

Forward is one product. Backward, the product sends its share to both factors. The one-line versions stand
beneath. In the package it is the same `gate` that the channel stage uses; `gate` finds the axes to sum over by
itself.
"""

# %%
N, C, H, W = f1.shape
f2, d_m_s, d_f1_gate = np.zeros(f1.shape), np.zeros(m_s.shape), np.zeros(f1.shape)
for n, c, i, j in np.ndindex(N, C, H, W):
    f2[n, c, i, j] = m_s[n, 0, i, j] * f1[n, c, i, j]
    d_m_s[n, 0, i, j] += d_f2[n, c, i, j] * f1[n, c, i, j]
    d_f1_gate[n, c, i, j] += d_f2[n, c, i, j] * m_s[n, 0, i, j]

assert np.array_equal(f2, f2_by_hand)
assert np.array_equal(d_m_s, d_m_s_by_hand)
assert np.array_equal(d_f1_gate, d_f1_gate_by_hand)

assert np.array_equal(m_s * f1, f2)
assert np.array_equal((d_f2 * f1).sum(axis=1, keepdims=True), d_m_s)
assert np.array_equal(m_s * d_f2, d_f1_gate)

out, gate_backward = gate(m_s, f1)
assert np.array_equal(out, f2)
assert all(np.array_equal(got, right) for got, right in zip(gate_backward(d_f2), (d_m_s, d_f1_gate), strict=True))

# %% [markdown]
r"""
## The two paths

Now nobody hands us $M_s$: it is computed from $F'$.

**Step 1.** Give the two uses different names. Let $A$ be the features that are gated and $B$ the features that
the map is computed from:

$$F''[n,c,i,j] = M_s(B)[n,i,j]\; A[n,c,i,j]$$

**Step 2, the map.** $M_s[n,i,j]$ occurs in $C$ products, one for each channel, next to $A[n,c,i,j]$:

$$dM_s[n,i,j] = \sum_{c} dF''[n,c,i,j]\; A[n,c,i,j]$$

**Step 3, the gate's path.** $A[n,c,i,j]$ occurs in one product, next to $M_s[n,i,j]$. So $dA = M_s \otimes dF''$.

**Step 4, the map's path.** $B$ moves the loss only through $M_s$. The chain rule (链式法则) sums over all entries of
$M_s$:

$$dB[n,c,i,j] = \sum_{i',j'} dM_s[n,i',j'] \cdot \frac{\partial M_s[n,i',j']}{\partial B[n,c,i,j]}$$

This sum is written $\left(\frac{\partial M_s}{\partial B}\right)^{\!\top} dM_s$, for short. It is a name. Nobody
builds that matrix: chapters 4, 5 and 7 go back step by step instead, through the sigmoid, the convolution and the
poolings.

**Step 5.** Both $A$ and $B$ are $F'$. If an entry of $F'$ moves, it moves in both places, and the shares add:
$dF' = dA + dB$. With $F'$ for $A$ and $B$:

$$\boxed{dM_s[n,i,j] = \sum_{c} dF''[n,c,i,j]\, F'[n,c,i,j] \qquad
dF' = M_s \otimes dF'' + \left(\frac{\partial M_s}{\partial F'}\right)^{\!\top} dM_s}$$
"""

# %%
C, H, W = 64, 56, 56
print(f"that matrix for one sample of {C} x {H} x {W}: {H * W} x {C * H * W} = {H * W * C * H * W:,} entries")
assert H * W * C * H * W == 629_407_744

# %% [markdown]
r"""
### Exercise 8.1 · Write the backward of spatial attention

The forward lines are given, each with its own backward. `sigmoid_backward(d_m_s)` gives `d_z`;
`conv_backward(d_z)` gives three results, the last one is None; `avg_backward` and `max_backward` take one channel
of `d_pooled` each. All three maps have the shape (N, 1, H, W): keep the axis of length 1. You write the way back.
"""


# %%
def spatial_attention_backward(d_f2, f1, kernel):
    """d_f2, f1: (N, C, H, W); kernel: (1, 2, k, k). Returns d_f1: (N, C, H, W), d_kernel: (1, 2, k, k)."""
    avg_s, avg_backward = avg_pool_over_channels(f1)
    max_s, max_backward = max_pool_over_channels(f1)
    pooled = np.concatenate([avg_s, max_s], axis=1)
    z, conv_backward = conv2d(pooled, kernel)
    m_s, sigmoid_backward = sigmoid(z)
    ### BEGIN SOLUTION
    d_m_s = (d_f2 * f1).sum(axis=1, keepdims=True)
    d_pooled, d_kernel, _ = conv_backward(sigmoid_backward(d_m_s))
    d_f1_map = avg_backward(d_pooled[:, :1]) + max_backward(d_pooled[:, 1:])
    return m_s * d_f2 + d_f1_map, d_kernel
    ### END SOLUTION


right = exercise_8_1.check(spatial_attention_backward)

# %% [markdown]
r"""
This is how the package writes it. `spatial_map` is formula (10) with its backward, `gate` is (11), and the last
lines add both paths.
"""

# %%
print(inspect.getsource(cb.spatial_attention))

# %% [markdown]
r"""
## How far one entry spreads

Take three channels of $11 \times 11$ pixels, and an upstream gradient that is 1 at one entry, channel 1 in the
middle, and 0 everywhere else. Where in $F'$ does it arrive? We compute the parts by themselves: the gate's path,
the map's path through the average, and the map's path through the maximum.
"""


# %%
def spatial_parts(d_f2, f1, kernel):
    """The three parts of d_f1."""
    avg_s, avg_backward = avg_pool_over_channels(f1)
    max_s, max_backward = max_pool_over_channels(f1)
    pooled, concat_backward = concat(avg_s, max_s)
    z_s, conv_backward = conv2d(pooled, kernel)
    m_s, sigmoid_backward = sigmoid(z_s)
    d_m_s, d_f1_gate = gate(m_s, f1)[1](d_f2)
    d_pooled, _, _ = conv_backward(sigmoid_backward(d_m_s))
    d_avg_s, d_max_s = concat_backward(d_pooled)
    return {"gate": d_f1_gate, "average": avg_backward(d_avg_s), "maximum": max_backward(d_max_s)}


rng = np.random.default_rng(0)
f1 = rng.normal(size=(1, 3, 11, 11))
kernel = rng.normal(size=(1, 2, 7, 7)) / 7
one = np.zeros(f1.shape)
one[0, 1, 5, 5] = 1.0
parts = spatial_parts(one, f1, kernel)
d_f1, _ = cb.spatial_attention(f1, {"spatial.kernel": kernel})[1](one)
assert np.allclose(sum(parts.values()), d_f1)

reached = {name: part[0] != 0 for name, part in parts.items()}
for name, where in reached.items():
    print(f"{name:8} reaches {where.sum():3} of {where.size} entries, channels {where.any(axis=(1, 2)).nonzero()[0]}")
assert reached["gate"].sum() == 1
assert reached["average"].sum() == 3 * 7 * 7
assert reached["maximum"].sum() == 7 * 7
assert not reached["average"][:, :2].any()  # three pixels up is as far as a 7×7 kernel goes

# %% mystnb={"image": {"alt": "One entry on the gate's path, a seven by seven patch on both others."}}
figure, axes = plt.subplots(3, 3, figsize=(7.5, 7.6), layout="constrained")
for column, (name, part) in zip(axes.T, parts.items(), strict=True):
    limit = np.abs(part).max()
    for c, ax in enumerate(column):
        picture = ax.imshow(part[0, c], cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        ax.set(xticks=[], yticks=[])
    column[0].set_title(f"{name}", fontsize=10)
    figure.colorbar(picture, ax=list(column), orientation="horizontal", shrink=0.8, aspect=15)
for c, ax in enumerate(axes[:, 0]):
    ax.set_ylabel(f"d_f1, channel {c}")
plt.show()

# %% [markdown]
r"""
What to see: on the gate's path the gradient stays where it was. On the map's path it spreads over a $7 \times 7$
patch: in all channels alike through the average, and at each pixel in the one largest channel through the
maximum. (Each column has its own colour scale.)
"""

# %% [markdown]
r"""
## The block

Formulas (1) and (2) put the two stages one behind the other:

$$F' = M_c(F) \otimes F \qquad\qquad F'' = M_s(F') \otimes F'$$

$F''$ depends on $F$ only through $F'$. So the way back is a chain (链): the spatial stage makes $dF'$ out of
$dF''$, and the channel stage makes $dF$ out of $dF'$.

$$\boxed{dF'' \;\to\; dF' \;\to\; dF}$$

Both arrows have the same form, a gate's path plus a map's path:

$$dF' = M_s \otimes dF'' + \left(\frac{\partial M_s}{\partial F'}\right)^{\!\top} dM_s \qquad\qquad
dF = M_c \otimes dF' + \left(\frac{\partial M_c}{\partial F}\right)^{\!\top} dM_c$$

The second one starts from the **whole** $dF'$, with both of its paths added. Whoever starts it too early loses a
part.

### Exercise 8.2 · Write the backward of the block

The two maps are given, with their backwards. `spatial_map_backward(d_m_s)` returns what comes back to `f1`, and a
dict with the gradient `"spatial.kernel"`; `channel_map_backward(d_m_c)` likewise for `f`, with `"channel.w1"` and
`"channel.w2"`. A map's gradient has the shape of the map: keep the axes of length 1.
"""


# %%
def block_backward(d_f2, f, w1, w2, kernel):
    """d_f2, f: (N, C, H, W). Returns d_f, d_w1, d_w2, d_kernel."""
    params = {"channel.w1": w1, "channel.w2": w2, "spatial.kernel": kernel}
    m_c, channel_map_backward = cb.channel_map(f, params)
    f1 = m_c * f
    m_s, spatial_map_backward = cb.spatial_map(f1, params)
    ### BEGIN SOLUTION
    d_m_s = (d_f2 * f1).sum(axis=1, keepdims=True)
    d_f1_map, spatial_grads = spatial_map_backward(d_m_s)
    d_f1 = m_s * d_f2 + d_f1_map
    d_m_c = (d_f1 * f).sum(axis=(2, 3), keepdims=True)
    d_f_map, channel_grads = channel_map_backward(d_m_c)
    d_f = m_c * d_f1 + d_f_map
    return d_f, channel_grads["channel.w1"], channel_grads["channel.w2"], spatial_grads["spatial.kernel"]
    ### END SOLUTION


right = exercise_8_2.check(block_backward)

# %% [markdown]
r"""
## The whole way back on one page

Now without any of the package's functions. First the names, in the order of the forward pass:

| forward | of | shape |
|---|---|---|
| $F^c_{\text{avg}},\; F^c_{\text{max}}$ | (3), (4) | $N, C$ |
| $z_{\text{avg}} = F^c_{\text{avg}} W_1^{\top}$, likewise $z_{\text{max}}$ | (5) | $N, C/r$ |
| $h_{\text{avg}} = \text{ReLU}(z_{\text{avg}})$, likewise $h_{\text{max}}$ | (5) | $N, C/r$ |
| $z_c = (h_{\text{avg}} + h_{\text{max}})\, W_2^{\top}$, $\;M_c = \sigma(z_c)$ | (5), (6) | $N, C$ |
| $F' = M_c \otimes F$ | (7), (1) | $N, C, H, W$ |
| $x = [F^s_{\text{avg}};\, F^s_{\text{max}}]$ | (8), (9) | $N, 2, H, W$ |
| $z_s = \text{Conv}(x, K)$, $\;M_s = \sigma(z_s)$ | (10) | $N, 1, H, W$ |
| $F'' = M_s \otimes F'$ | (11), (2) | $N, C, H, W$ |

And the way back. $[\dots]$ is 1 where the condition holds, else 0. "$+\!=$" adds to what is there already. $k^*$ is
the largest channel of a pixel, $(i^*,j^*)$ the largest pixel of a channel.

| line | | of | chapter |
|---|---|---|---|
| 1 | $dM_s[n,i,j] = \sum_c dF''[n,c,i,j]\, F'[n,c,i,j]$ | (11), (2) | 8 |
| 2 | $dF' = M_s \otimes dF''$ | (11), (2) | 8 |
| 3 | $dz_s = dM_s \odot M_s \odot (1 - M_s)$ | (10) | 4 |
| 4 | $dK[c,u,v] = \sum_{n,i,j} dz_s[n,i,j]\, x_{\text{pad}}[n,c,i+u,j+v]$ | (10) | 7 |
| 5 | $dx_{\text{pad}}[n,c,i+u,j+v] \mathrel{+}= K[c,u,v]\, dz_s[n,i,j]$, then cut off the padding | (10) | 7 |
| 6 | $dF'[n,k,i,j] \mathrel{+}= \frac1C\, dx[n,0,i,j]$ | (8) | 5 |
| 7 | $dF'[n,k,i,j] \mathrel{+}= dx[n,1,i,j]\, [k = k^*]$ | (9) | 5 |
| 8 | $dM_c[n,c] = \sum_{i,j} dF'[n,c,i,j]\, F[n,c,i,j]$ | (7), (1) | 4 |
| 9 | $dF = M_c \otimes dF'$ | (7), (1) | 4 |
| 10 | $dz_c = dM_c \odot M_c \odot (1 - M_c)$ | (6) | 4 |
| 11 | $dW_2 = dz_c^{\top} (h_{\text{avg}} + h_{\text{max}})$ | (5), (6) | 3 |
| 12 | $dz_{\text{avg}} = (dz_c W_2) \odot [z_{\text{avg}} > 0]$, likewise $dz_{\text{max}}$ | (5), (6) | 3 |
| 13 | $dW_1 = dz_{\text{avg}}^{\top} F^c_{\text{avg}} + dz_{\text{max}}^{\top} F^c_{\text{max}}$ | (5), (6) | 3 |
| 14 | $dF^c_{\text{avg}} = dz_{\text{avg}} W_1$, likewise $dF^c_{\text{max}}$ | (5) | 3 |
| 15 | $dF[n,c,i,j] \mathrel{+}= \frac{1}{HW}\, dF^c_{\text{avg}}[n,c]$ | (3) | 2 |
| 16 | $dF[n,c,i,j] \mathrel{+}= dF^c_{\text{max}}[n,c]\, [(i,j) = (i^*,j^*)]$ | (4) | 2 |

The gradients of the three parameters come out on the way, in lines 4, 11 and 13. Lines 2, 6 and 7 together are $dF'$;
lines 9, 15 and 16 together are $dF$.
"""

# %% mystnb={"image": {"alt": "Both stages as graphs: black arrows forward, red arrows backward with numbers 1 to 16."}}
figure, axes = plt.subplots(2, 1, figsize=(10, 8), layout="constrained")


def node(ax, x, y, text, colour):
    style = {"boxstyle": "round,pad=0.4", "facecolor": colour, "edgecolor": "black"}
    return ax.text(x, y, text, ha="center", va="center", fontsize=11, bbox=style, zorder=3)


def both_ways(ax, start, end, line):
    """A black arrow forward, and beside it a red one backward with the number of its line."""
    a, b = np.array(start.get_position()), np.array(end.get_position())
    dx, dy = b - a
    aside = 0.11 * np.array([-dy, dx]) / np.hypot(dx, dy)
    for tail, head, colour, shift in ((a, b, "black", aside), (b, a, "crimson", -aside)):
        patches = (start, end) if colour == "black" else (end, start)
        style = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
        style |= {"patchA": patches[0].get_bbox_patch(), "patchB": patches[1].get_bbox_patch()}
        ax.annotate("", head + shift, tail + shift, arrowprops=style)
    circle = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": "crimson"}
    ax.text(*((a + b) / 2 - aside), line, color="crimson", ha="center", va="center", fontsize=9, bbox=circle, zorder=4)


stages = (
    ("channel attention", "F", "c", "F'", "3 4 6 7", {"avg": "15", "max": "16", "in": "14", "z": "10", "m": "8"}, "9"),
    ("spatial attention", "F'", "s", "F''", "8 9 10 11", {"avg": "6", "max": "7", "in": "5", "z": "3", "m": "1"}, "2"),
)
for ax, (title, before, s, after, numbers, lines, gate_line) in zip(axes, stages, strict=True):
    avg_no, max_no, map_no, gate_no = numbers.split()
    ax.set(xlim=(-0.5, 11), ylim=(-0.6, 4.6), aspect="equal")
    ax.axis("off")
    ax.set_title(title, fontsize=11, loc="left")
    features, result = node(ax, 0, 0, f"\n    ${before}$    \n", "#dbe9f6"), node(ax, 10.4, 0, f"${after}$", "#dbe9f6")
    times = node(ax, 8.6, 0, f"⊗\n({gate_no})", "white")
    avg = node(ax, 1.5, 3.2, f"$F^{s}_{{avg}}$\n({avg_no})", "#fdebd0")
    largest = node(ax, 2.3, 1.5, f"$F^{s}_{{max}}$\n({max_no})", "#fdebd0")
    z, m = node(ax, 6.2, 2.3, f"$z_{s}$", "#fdebd0"), node(ax, 8.6, 2.3, f"$M_{s}$\n({map_no})", "#fdebd0")
    if s == "c":
        hidden = node(ax, 4.2, 2.3, "$h$\n(5)", "#fdebd0")
        both_ways(ax, hidden, z, "12")
        both_ways(ax, node(ax, 4.2, 4.1, "$W_1$", "#d5f0dc"), hidden, "13")
        both_ways(ax, node(ax, 6.2, 4.1, "$W_2$", "#d5f0dc"), z, "11")
    else:
        hidden = z
        both_ways(ax, node(ax, 6.2, 4.1, "$K$", "#d5f0dc"), z, "4")
    for pooled, line in ((avg, lines["avg"]), (largest, lines["max"])):
        both_ways(ax, features, pooled, line)
        both_ways(ax, pooled, hidden, lines["in"])
    both_ways(ax, z, m, lines["z"])
    both_ways(ax, m, times, lines["m"])
    both_ways(ax, features, times, gate_line)
    both_ways(ax, times, result, f"$d{after}$")
plt.show()

# %% [markdown]
r"""
What to see: black is forward, red is backward. A number in a circle is a line of the table, a number in parentheses
a formula. Where several red arrows end in one box, the gradients add: three of them at $F'$ below, three at $F$
above. The $dF'$ that leaves the lower graph on the left enters the upper one on the right. ($h$ stands for both
hidden vectors.)

Now the code. Each line of `backward` has the number of the line in the table.
"""


# %%
def cbam_by_hand(f, params):
    """CBAM in NumPy alone: f2, backward; backward(d_f2) returns d_f and a dict of the parameters' gradients."""
    w1, w2, kernel = params["channel.w1"], params["channel.w2"], params["spatial.kernel"]
    N, C, H, W = f.shape
    k = kernel.shape[-1]
    p = (k - 1) // 2

    avg_c = f.mean(axis=(2, 3))  # (3)
    max_c = f.max(axis=(2, 3))  # (4)
    z_avg, z_max = avg_c @ w1.T, max_c @ w1.T  # (5)
    h_avg, h_max = z_avg * (z_avg.real > 0), z_max * (z_max.real > 0)  # (5); real, for the complex step below
    m_c = 1 / (1 + np.exp(-(h_avg + h_max) @ w2.T))  # (6)
    f1 = m_c[:, :, None, None] * f  # (7)

    x = np.stack([f1.mean(axis=1), f1.max(axis=1)], axis=1)  # (8), (9)
    x_pad = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    slices = {(u, v): np.s_[:, :, u : u + H, v : v + W] for u, v in np.ndindex(k, k)}
    z_s = sum((kernel[:, :, u, v, None, None] * x_pad[at]).sum(axis=1, keepdims=True) for (u, v), at in slices.items())
    m_s = 1 / (1 + np.exp(-z_s))  # (10)
    f2 = m_s * f1  # (11)

    def backward(d_f2):
        d_m_s = (d_f2 * f1).sum(axis=1, keepdims=True)  # 1
        d_f1 = m_s * d_f2  # 2
        d_z_s = d_m_s * m_s * (1 - m_s)  # 3
        d_kernel, d_x_pad = np.zeros(kernel.shape), np.zeros(x_pad.shape)
        for (u, v), at in slices.items():
            d_kernel[0, :, u, v] = (d_z_s * x_pad[at]).sum(axis=(0, 2, 3))  # 4
            d_x_pad[at] += kernel[:, :, u, v, None, None] * d_z_s  # 5
        d_x = d_x_pad[:, :, p : p + H, p : p + W]  # 5
        d_f1 += d_x[:, :1] / C  # 6
        d_f1 += d_x[:, 1:] * (np.arange(C)[:, None, None] == f1.argmax(axis=1, keepdims=True))  # 7

        d_m_c = (d_f1 * f).sum(axis=(2, 3))  # 8
        d_f = m_c[:, :, None, None] * d_f1  # 9
        d_z_c = d_m_c * m_c * (1 - m_c)  # 10
        d_w2 = d_z_c.T @ (h_avg + h_max)  # 11
        d_z_avg, d_z_max = (d_z_c @ w2) * (z_avg > 0), (d_z_c @ w2) * (z_max > 0)  # 12
        d_w1 = d_z_avg.T @ avg_c + d_z_max.T @ max_c  # 13
        d_avg_c, d_max_c = d_z_avg @ w1, d_z_max @ w1  # 14
        d_f += d_avg_c[:, :, None, None] / (H * W)  # 15
        winner = f.reshape(N, C, H * W).argmax(axis=2, keepdims=True)
        d_f += d_max_c[:, :, None, None] * (np.arange(H * W) == winner).reshape(f.shape)  # 16
        return d_f, {"channel.w1": d_w1, "channel.w2": d_w2, "spatial.kernel": d_kernel}

    return f2, backward


# %% [markdown]
r"""
About line 11: $z_c$ is the sum of two products with the same $W_2$, so $dW_2 = dz_c^{\top} h_{\text{avg}} +
dz_c^{\top} h_{\text{max}}$, and $dz_c^{\top}$ can be taken out. Lines 7 and 16 build a mask from `argmax`, which
finds the first of the largest entries. So a tie (并列) goes to the first, as in chapter
[2](02_pooling_over_space.ipynb).

## Five who have to agree

First the package. Then four who know nothing of our table:

- the **loops** of the package, one index at a time;
- **differences** (有限差分): move one number by $\pm h$ and divide the change of the loss by $2h$;
- the **complex step** (复步法): move it by $\mathrm{i}h$ with $\mathrm{i}^2 = -1$, and divide the imaginary part of
  the loss by $h$. No difference, so next to no rounding error;
- PyTorch's **autograd** (自动微分), on a module that has the forward pass only.

Chapter [9](09_checking_a_gradient.ipynb) explains the second and the third. The upstream gradient is random.
"""

# %%
rng = np.random.default_rng(3)
f = rng.normal(size=(2, 4, 5, 6))
block = cb.CBAM(4, reduction=2, dtype="float64", seed=7)
params = block.params
d_f2 = rng.normal(size=f.shape)

f2, backward = cbam_by_hand(f, params)
d_f, grads = backward(d_f2)
ours = {"f": d_f, **grads}

f2_package, backward = cb.cbam(f, params)
d_f, grads = backward(d_f2)
package = {"f": d_f, **grads}
assert np.allclose(f2, f2_package)

d_f, grads = cbam_loops(f, params)[1](d_f2)
loops = {"f": d_f, **grads}

module = from_arrays(block)
leaves = [torch.tensor(f, requires_grad=True), *module.parameters()]
autograd = dict(zip(ours, torch.autograd.grad(module(leaves[0]), leaves, torch.tensor(d_f2)), strict=True))
for pooled in (f.mean(axis=(2, 3)), f.max(axis=(2, 3))):
    opened = pooled @ params["channel.w1"].T > 0
    assert opened.any()  # else nothing goes back through this vector, and a mistake there would not show
    assert not opened.all()


# %%
inputs = {"f": f, **params}


def loss(name, nudge):
    """L = ⟨f2, d_f2⟩, with the nudge added to one of the inputs."""
    moved = inputs | {name: inputs[name] + nudge}
    return np.sum(d_f2 * cbam_by_hand(moved["f"], moved)[0])


def measure(step, slope):
    """The gradient of L, one entry of f, W1, W2 and K after the other."""
    measured = {name: np.zeros(x.shape) for name, x in inputs.items()}
    for name, gradient in measured.items():
        for place in np.ndindex(*gradient.shape):
            nudge = np.zeros(gradient.shape, dtype=type(step))
            nudge[place] = step
            gradient[place] = slope(name, nudge)
    return measured


h = 1e-5
differences = measure(h, lambda name, nudge: (loss(name, nudge) - loss(name, -nudge)) / (2 * h))
complex_step = measure(1e-20j, lambda name, nudge: loss(name, nudge).imag / 1e-20)

# %%
others = {
    "the package": (package, 1e-12),
    "loops": (loops, 1e-12),
    "differences": (differences, 1e-8),
    "complex step": (complex_step, 1e-12),
    "autograd": (autograd, 1e-12),
}
print(f"{'':14}" + "".join(f"d_{name:17}" for name in ours))
for who, (theirs, bound) in others.items():
    for name in ours:
        assert np.abs(ours[name] - np.asarray(theirs[name])).max() < bound * np.abs(ours[name]).max(), (who, name)
    print(f"{who:14}" + f"within {bound:<12g}" * len(ours))

# %% [markdown]
r"""
All gradients agree, relative to the largest entry. Differences cannot do much better (chapter 9 says why); all the
others reach the rounding error.

## How much each path carries

Would you notice if a path was missing? $dF$ is a sum. On the way back from $F''$ to $F'$ there are three paths:
gate, average, maximum. From $F'$ to $F$ there are three again. That makes nine routes. Every step back is linear
in the gradient that it is given, so we can send the three parts of $dF'$ on one by one, and add up at the end.
"""


# %%
def channel_parts(d_f1, f, w1, w2):
    """The three parts of d_f."""
    avg_c, avg_backward = avg_pool_over_space(f)
    max_c, max_backward = max_pool_over_space(f)
    z_c, mlp_backward = shared_mlp(avg_c, max_c, w1, w2)
    m_c, sigmoid_backward = sigmoid(z_c[:, :, None, None])
    d_m_c, d_f_gate = gate(m_c, f)[1](d_f1)
    d_avg_c, d_max_c, *_ = mlp_backward(sigmoid_backward(d_m_c)[:, :, 0, 0])
    return {"gate": d_f_gate, "average": avg_backward(d_avg_c), "maximum": max_backward(d_max_c)}


def routes(f, params, d_f2):
    """The nine parts of d_f: shape (3, 3, N, C, H, W), the spatial stage first."""
    f1, _ = cb.channel_attention(f, params)
    d_f1_parts = spatial_parts(d_f2, f1, params["spatial.kernel"]).values()
    weights = params["channel.w1"], params["channel.w2"]
    return np.array([list(channel_parts(d_f1, f, *weights).values()) for d_f1 in d_f1_parts])


nine = routes(f, params, d_f2)
assert np.allclose(nine.sum(axis=(0, 1)), ours["f"])

# %% [markdown]
r"""
That was exact. Now the size of each route: its norm (范数), the root of the sum of squares, as a share of the norm
of $dF$. We take 20 fresh blocks with 16 channels, on random features.
"""


# %%
def norm(x):
    return np.sqrt(np.sum(x**2, axis=(-4, -3, -2, -1)))


shares, missing = [], []
for seed in range(20):
    rng = np.random.default_rng(seed)
    features, upstream = rng.normal(size=(2, 2, 16, 7, 9))
    fresh = cb.CBAM(16, reduction=4, dtype="float64", seed=seed)
    nine = routes(features, fresh.params, upstream)
    whole = norm(nine.sum(axis=(0, 1)))
    shares.append(norm(nine) / whole)
    missing.append([norm(nine.sum(axis=1)) / whole, norm(nine.sum(axis=0)) / whole])
shares, missing = np.array(shares), np.array(missing)

cat = tour.features(tour.photograph())[:, :, ::3, ::3]
nine = routes(cat, tour.weights_by_hand(), np.random.default_rng(0).normal(size=cat.shape))
by_hand = norm(nine) / norm(nine.sum(axis=(0, 1)))

# %% mystnb={"image": {"alt": "Two tables, three by three: the two gates carry nearly all in a fresh block."}}
names = ["gate", "average", "maximum"]
median = np.median(shares, axis=0)
figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
titles = "20 fresh blocks, random features (median)", "weights set by hand, the cat"
for ax, title, table in zip(axes, titles, (median, by_hand), strict=True):
    picture = ax.imshow(table, cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
    for (row, column), value in np.ndenumerate(table):
        ax.text(column, row, f"{value:.2%}", ha="center", va="center", color="black" if value > 0.6 else "white")
    ax.set_xticks(range(3), names)
    ax.set_yticks(range(3), names)
    ax.set_xlabel("then from F' to F")
    ax.set_title(title, fontsize=10)
axes[0].set_ylabel("first from F'' to F'")
figure.colorbar(picture, ax=axes, label="norm of the route / norm of d_f")
plt.show()
assert median[0, 0] > 0.9
assert np.sort(median.ravel())[-2] < 0.2
assert by_hand[0, 0] > 0.8
assert by_hand[:, 2].min() > 0.2

# %% [markdown]
r"""
What to see: in a fresh block nearly all of $dF$ goes through both gates, and the paths through the maps carry some
percent. With weights that make the maps work (the cat of chapter [1](01_the_block.ipynb)) they carry a good part.
(The shares do not add up to 1: the routes are vectors, and in part they cancel.)

So how wrong is $dF$ if one of the map's paths is forgotten?
"""

# %%
print("error of d_f if one path is missing, smallest and largest of 20 fresh blocks")
for stage, which in zip(("F'' to F'", "F' to F"), missing.transpose(1, 2, 0), strict=True):
    for name, values in zip(names[1:], which[1:], strict=True):
        print(f"{stage:10} {name:8} {values.min():6.1%} {values.max():6.1%}")
unseen = int(np.sum(missing[:, 1, 1] < 0.01))
print(f"the channel average is worth less than 1% in {unseen} of 20 blocks")
assert missing[:, :, 1].max() < 0.03
assert 0.1 < missing[:, :, 2].max() < 0.2
assert 5 <= unseen <= 9

# %% [markdown]
r"""
A test with a tolerance of 1% does not notice a forgotten channel average in a third of the blocks. This is why
gradients are compared to $10^{-7}$ and better, never by eye.

One entry of that table is zero: there is a block in which the maximum's path of the channel stage carries
**nothing**. Its ReLU shuts all hidden units for the maximum, in both samples. On that block no test whatsoever
can find the path missing. Test with several seeds.
"""

# %%
(dead,) = np.flatnonzero(missing[:, 1, 2] == 0)
features = np.random.default_rng(dead).normal(size=(2, 2, 16, 7, 9))[0]
fresh = cb.CBAM(16, reduction=4, dtype="float64", seed=int(dead))
z_max = features.max(axis=(2, 3)) @ fresh.params["channel.w1"].T
print("seed", dead, "z_max:\n" + str(z_max))
assert (z_max < 0).all()

# %% [markdown]
r"""
## What to remember

- Each stage is a gate, and its input enters twice: the gradient is the gate's path plus the map's path.
- The block is a chain, $dF'' \to dF' \to dF$; add both paths of $dF'$ before you go on.
- The gate's path is most of $dF$ and easy to get right. In a fresh block the rest is small: a rough
  test does not notice when it is missing.

**Next:** [9. How to check a gradient](09_checking_a_gradient.ipynb) ·
**Solutions:** [chapter 8, solved](solutions/08_the_whole_backward.ipynb)

**The code:** [spatial.py](../cbam_np/attention/spatial.py), [channel.py](../cbam_np/attention/channel.py),
[cbam.py](../cbam_np/attention/block.py), the same as loops: [loops.py](../cbam_np/reference/loops.py)

**The paper:** Woo, Park, Lee, Kweon,
[CBAM: Convolutional Block Attention Module](https://arxiv.org/abs/1807.06521), section 3.
"""
