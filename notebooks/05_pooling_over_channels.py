# %% [markdown]
r"""
# 5. Pooling over channels · 通道池化

Channel attention (通道注意力) is done: we have $F'$. Spatial attention (空间注意力) comes next, and it
has to give one number to each **pixel** (像素). So it begins by replacing the $C$ numbers of a pixel by
their average and by their maximum. That is pooling (池化) once more, along another axis.

**What you will learn**

- to read formulas (8) and (9), although the words around them point the wrong way;
- where the $C$ numbers of one pixel lie in memory;
- to derive both gradients (梯度), and to draw which channel (通道) gets the gradient at each pixel;
- why this pooling takes $F'$, and not $F$.

**What you need:** chapter [2](02_pooling_over_space.ipynb). The steps are the same; we go faster here.
"""

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch, Polygon

import cbam_np as cb
from cbam_np.commands import tour
from cbam_np.course.chapter_05 import exercise_5_1, exercise_5_2, exercise_5_3
from cbam_np.ops import avg_pool_over_channels, max_pool_over_channels

plt.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110})
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
r"""
## The formulas, as the document has them

Section 3, *空间注意力机制(Spatial Attention)*, under *计算步骤*, has these two. They are shown as they are
printed there, with what was lost in the printing:

$$\mathbf{F}{\text{avg}}^s = \frac{1}{C} \sum{k=1}^{C} \mathbf{F}k$$

$$\mathbf{F}{\text{max}}^s = \max_{k \in C} \mathbf{F}_k$$

"avg", "max" and "$k=1$" have slipped down to the line, as in chapter 2. So has the $k$ of $\mathbf{F}k$: it
is the index $\mathbf{F}_k$.

## The formulas, as they must be read

$$\underbrace{F^s_{\text{avg}}[n,i,j]}_{N,1,H,W}
= \frac{1}{C} \sum_{k=1}^{C} \underbrace{F'[n,k,i,j]}_{N,C,H,W} \tag{8}$$

$$\underbrace{F^s_{\text{max}}[n,i,j]}_{N,1,H,W}
= \max_{1 \le k \le C} \underbrace{F'[n,k,i,j]}_{N,C,H,W} \tag{9}$$

The small $s$ is no index. It says "for spatial attention". The shape on the left has a 1 where $C$ was: the
result is a picture with one channel. That channel is not written as an index, because it is always the first.

## Six places where the document misleads

1. It says that the pooling is done *在空间维度上*, "on the spatial dimension". It is done along the
   **channels**. The rows and the columns remain.
2. It calls the two poolings *GAP* and *GMP*, global average and global maximum pooling. "Global" (全局) means
   over the whole picture. Nothing here is global: each pixel is pooled by itself.
3. It writes $\mathbf{F}$. It is $F'$, the result of channel attention, as its own formula (2) says.
4. "$k \in C$" uses the size $C$ as if it were a set. It means $k = 1, \dots, C$.
5. In (3) and (4), $\mathbf{F}(i,j)$ is one pixel with all its channels. Here $\mathbf{F}_k$ is one channel with all its
   pixels. The sum in (8) adds whole maps, and the max in (9) is taken pixel by pixel.
6. $k$ counts channels here. In the next chapter $k$ is the size of the kernel. These are two different things.
"""

# %% mystnb={"image": {"alt": "Over space, one whole channel becomes a number; over channels, one pixel does."}}
H, W, C = 3, 4, 3


def plane(ax, level, coloured, label, colour):
    """One map of H x W cells, seen from the side."""
    for i, j in np.ndindex(H, W):
        corners = [(j + v + 0.5 * (H - i - u), 0.4 * (H - i - u) + level) for u, v in ((0, 0), (0, 1), (1, 1), (1, 0))]
        ax.add_patch(Polygon(corners, facecolor=colour if coloured(i, j) else "white", edgecolor="black"))
    ax.text(-0.2, level + 0.2, label, ha="right", va="center")


figure, axes = plt.subplots(1, 2, figsize=(9, 4.3), layout="constrained")
for ax, colour in zip(axes, ("#f4a261", "#4a90c2"), strict=True):
    over_space = ax is axes[0]
    for k in range(C):
        level = 1.7 * (C - k)
        all_of_it = (lambda i, j, k=k: k == 1) if over_space else (lambda i, j: (i, j) == (1, 2))
        plane(ax, level, all_of_it, f"channel {k}", colour)
    if over_space:
        for k in range(C):
            box = {"boxstyle": "round", "facecolor": colour if k == 1 else "white"}
            ax.text(7.8, 1.7 * (C - k) + 0.6, "one\nnumber", ha="center", va="center", bbox=box, fontsize=8)
            ax.annotate("", (7.0, 1.7 * (C - k) + 0.6), (5.4, 1.7 * (C - k) + 0.6), arrowprops={"arrowstyle": "-|>"})
    else:
        plane(ax, -0.6, lambda i, j: (i, j) == (1, 2), "result", colour)
        ax.annotate("", (3.25, 0.1), (3.25, 1.7 * C + 0.6), arrowprops={"arrowstyle": "-|>", "linewidth": 1.5})
    ax.set(xlim=(-1.6, 8.6), ylim=(-0.8, 6.6))
    ax.set_title("chapter 2: over space, (N, C)" if over_space else "here: over channels, (N, 1, H, W)", fontsize=11)
    ax.axis("off")
plt.show()

# %% [markdown]
r"""
What to see: on the left one whole map becomes one number; on the right one pixel, read through all maps, becomes
one number, and the numbers make a new map.

## On paper

One sample, three channels, two rows and two columns:

$$F'[0,0] = \begin{pmatrix} 0 & 5 \\ 2 & -3 \end{pmatrix} \qquad
F'[0,1] = \begin{pmatrix} 4 & -2 \\ -1 & 1 \end{pmatrix} \qquad
F'[0,2] = \begin{pmatrix} 2 & 0 \\ 8 & -1 \end{pmatrix}$$

The pixel at the top left has the numbers $0, 4, 2$. The average is $2$, the maximum is $4$, and
it is in channel 1. Take a pencil and do the other three.

$$F^s_{\text{avg}}[0] = \begin{pmatrix} 2 & 1 \\ 3 & -1 \end{pmatrix} \qquad
F^s_{\text{max}}[0] = \begin{pmatrix} 4 & 5 \\ 8 & 1 \end{pmatrix} \qquad
k^*[0] = \begin{pmatrix} 1 & 0 \\ 2 & 1 \end{pmatrix}$$

$k^*$ is the channel of the maximum, counted from 0. We call it the **winner** of the pixel (胜出通道).
"""

# %%
f1 = np.array([[[[0.0, 5.0], [2.0, -3.0]], [[4.0, -2.0], [-1.0, 1.0]], [[2.0, 0.0], [8.0, -1.0]]]])
by_hand_avg = np.array([[[[2.0, 1.0], [3.0, -1.0]]]])
by_hand_max = np.array([[[[4.0, 5.0], [8.0, 1.0]]]])
by_hand_winner = np.array([[[[1, 0], [2, 1]]]])

# %% [markdown]
r"""
## As loops

The same loops as in chapter 2. Only the index on the left side has changed: $n, i, j$ stay, $k$ goes.
"""


# %%
def avg_loops(f1):
    """Formula (8), one number at a time."""
    N, C, H, W = f1.shape
    avg_s = np.zeros((N, 1, H, W))
    for n, k, i, j in np.ndindex(N, C, H, W):
        avg_s[n, 0, i, j] += f1[n, k, i, j] / C
    return avg_s


def max_loops(f1):
    """Formula (9), one number at a time."""
    N, C, H, W = f1.shape
    max_s = np.full((N, 1, H, W), -np.inf)
    for n, k, i, j in np.ndindex(N, C, H, W):
        if f1[n, k, i, j] > max_s[n, 0, i, j]:
            max_s[n, 0, i, j] = f1[n, k, i, j]
    return max_s


assert np.allclose(avg_loops(f1), by_hand_avg)
assert np.allclose(max_loops(f1), by_hand_max)

# %% [markdown]
r"""
## As one line

The channels are axis 1. With `keepdims=True` the axis stays, with length 1. The result is again an
array of four axes, as the convolution (卷积) of the next chapter needs it.
"""

# %%
avg_s = f1.mean(axis=1, keepdims=True)
max_s = f1.max(axis=1, keepdims=True)
winner = f1.argmax(axis=1, keepdims=True)
assert np.allclose(avg_s, by_hand_avg)
assert np.allclose(max_s, by_hand_max)
assert np.array_equal(winner, by_hand_winner)
print("with keepdims   ", avg_s.shape)
print("without keepdims", f1.mean(axis=1).shape)

# %% [markdown]
r"""
## In the package

Read the code for now; the gradients in the docstrings are derived below. `_max_along` takes the maximum along
one axis. You saw it in chapter 2.
"""

# %%
print(inspect.getsource(avg_pool_over_channels))
print(inspect.getsource(max_pool_over_channels))

avg_s, avg_backward = avg_pool_over_channels(f1)
max_s, max_backward = max_pool_over_channels(f1)
assert np.allclose(avg_s, by_hand_avg)
assert np.allclose(max_s, by_hand_max)

# %% [markdown]
r"""
## In memory

Memory is one long row of numbers. From one number to the next, NumPy counts up the last index, $j$. When a row of the
picture is through, $i$ moves on by one; then $k$, then $n$. So the entry $[n,k,i,j]$ lies at the position

$$n \cdot CHW + k \cdot HW + i \cdot W + j$$

The factor of an index is its **stride** (步长): how far to jump in memory when the index grows by 1.
The stride of the channel is $HW$. The numbers of one pixel do not lie side by side.
"""

# %%
N, C, H, W = f1.shape
memory = f1.ravel()
for n, k, i, j in np.ndindex(N, C, H, W):
    assert memory[n * C * H * W + k * H * W + i * W + j] == f1[n, k, i, j]
strides = tuple(bytes_ // f1.itemsize for bytes_ in f1.strides)  # NumPy counts them in bytes
assert strides == (C * H * W, H * W, W, 1)
print("strides of n, k, i, j:", strides)

# %% mystnb={"image": {"alt": "Twelve numbers in a row: a channel is four neighbours, a pixel is every fourth number."}}
figure, axes = plt.subplots(2, 1, figsize=(9, 2.6), layout="constrained")
channel_1, pixel_01 = range(H * W, 2 * H * W), range(1, C * H * W, H * W)
for ax, places, title, colour in (
    (axes[0], channel_1, "channel 1 (pooled in chapter 2): neighbours", "#f4a261"),
    (axes[1], pixel_01, "pixel (0, 1) (pooled here): every HW-th number", "#4a90c2"),
):
    for position, number in enumerate(memory):
        face = colour if position in places else "white"
        ax.add_patch(plt.Rectangle((position, 0), 1, 1, facecolor=face, edgecolor="grey"))
        ax.text(position + 0.5, 0.5, f"{number:g}", ha="center", va="center")
    for k in range(C):
        ax.plot([k * H * W, k * H * W], [-0.15, 1.15], color="black", linewidth=2)
        ax.text((k + 0.5) * H * W, -0.45, f"channel {k}", ha="center", va="center", fontsize=9)
    ax.set(xlim=(-0.1, C * H * W + 0.1), ylim=(-0.7, 1.2))
    ax.set_title(title, fontsize=10)
    ax.axis("off")
plt.show()
assert np.array_equal(memory[channel_1], f1[0, 1].ravel())
assert np.array_equal(memory[pixel_01], f1[0, :, 0, 1])

# %% [markdown]
r"""
What to see: a channel is one piece of memory, a pixel is scattered over all of it.

Some libraries store a picture as $(N, H, W, C)$, *channels last*. There the $C$ numbers of a pixel are
neighbours. If memory is read with the wrong layout, the result is wrong and there is no error.

### Exercise 5.1 · The average, straight from memory

You are given one sample as it lies in memory, `memory` with $C \cdot H \cdot W$ numbers, in the order $k, i, j$. Return
$F^s_{\text{avg}}$ with the shape $(H, W)$. Loops or no loops, as you like.
"""


# %%
def average_from_memory(memory, C, H, W):
    """memory: (C·H·W,), one sample in the order k, i, j. Returns avg_s: (H, W)."""
    ### BEGIN SOLUTION
    avg_s = np.zeros((H, W))
    for k, i, j in np.ndindex(C, H, W):
        avg_s[i, j] += memory[k * H * W + i * W + j] / C
    return avg_s
    ### END SOLUTION


right = exercise_5_1.check(average_from_memory)

# %% [markdown]
r"""
## The average, backward

Given is the upstream gradient (上游梯度) $dF^s_{\text{avg}}[n,i,j]$. Wanted is $dF'[n,k,i,j]$. The chain rule
(链式法则) adds up over everything that the entry moves:

$$dF'[n,k,i,j] = \sum_{n',i',j'} dF^s_{\text{avg}}[n',i',j']
\cdot \frac{\partial F^s_{\text{avg}}[n',i',j']}{\partial F'[n,k,i,j]}$$

**Step 1.** Write out one output:

$$F^s_{\text{avg}}[n',i',j'] = \frac1C \left( F'[n',1,i',j'] + \dots + F'[n',C,i',j'] \right)$$

**Step 2.** Does the entry $F'[n,k,i,j]$ occur in it? Only if it is of the same sample and of the same pixel:
$n'=n$, $i'=i$, $j'=j$. Then it occurs once, with the factor $\frac1C$.

**Step 3.** So of the sum over $n',i',j'$ one term is left:

$$\boxed{dF'[n,k,i,j] = \frac{1}{C}\; dF^s_{\text{avg}}[n,i,j]}$$

The right side does not depend on $k$: every channel of a pixel gets the same share. In chapter 2 it did not
depend on $i$ and $j$.

## The maximum, backward

**Step 1.** Call the winner of a pixel $k^*$. Every pixel of every sample has its own, so it is an array:
$k^*[n,i,j]$. Then $F^s_{\text{max}}[n,i,j] = F'[n,k^*,i,j]$.

**Step 2.** Suppose that all other channels are smaller, by a gap. Move one of them by less than the gap: the
maximum does not move. The derivative is $0$.

**Step 3.** Move the winner by less than the gap: the maximum moves with it. The derivative is $1$.

**Step 4.** Other pixels and other samples do not occur. In the chain rule one term is left:

$$\boxed{dF'[n,k,i,j] =
\begin{cases} dF^s_{\text{max}}[n,i,j] & \text{if } k = k^* \\ 0 & \text{else} \end{cases}}$$

At a tie (并列) all that chapter 2 says holds again. Here the first channel gets the gradient.

On paper: let the upstream gradient be the same for both,

$$dF^s_{\text{avg}}[0] = dF^s_{\text{max}}[0] = \begin{pmatrix} 3 & -6 \\ 9 & 6 \end{pmatrix}$$

Through the average each channel gets a third of it. Through the maximum the 3 goes to channel 1, the $-6$ to
channel 0, the 9 to channel 2 and the 6 to channel 1.
"""

# %%
d_s = np.array([[[[3.0, -6.0], [9.0, 6.0]]]])
d_f1_avg = avg_backward(d_s)
d_f1_max = max_backward(d_s)
assert np.allclose(d_f1_avg, np.array([[1.0, -2.0], [3.0, 2.0]]))  # the same for every channel
assert np.array_equal(d_f1_max[0, 0], [[0, -6], [0, 0]])
assert np.array_equal(d_f1_max[0, 1], [[3, 0], [0, 6]])
assert np.array_equal(d_f1_max[0, 2], [[0, 0], [9, 0]])


# %%
def draw(ax, values, title, cmap, limit):
    """A small matrix with its numbers written in; the colours go from -limit to limit."""
    image = ax.imshow(values, cmap=cmap, vmin=-limit, vmax=limit, interpolation="nearest")
    for (i, j), value in np.ndenumerate(values):
        red, green, blue, _ = image.cmap(image.norm(value))
        dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5
        ax.text(j, i, f"{value:.3g}", ha="center", va="center", color="white" if dark else "black")
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=9)


# %% mystnb={"image": {"alt": "The average sends a third to each channel, the maximum all of it to one."}}
figure, axes = plt.subplots(3, 4, figsize=(8.5, 5.2), layout="constrained", width_ratios=[1, 1, 1, 1.1])
rows = (
    ("F′", f1[0], "viridis", 8),
    ("d_f1 through the average", d_f1_avg[0], "RdBu_r", 9),
    ("d_f1 through the maximum", d_f1_max[0], "RdBu_r", 9),
)
for row, (name, maps, cmap, limit) in zip(axes, rows, strict=True):
    for k, ax in enumerate(row[:C]):
        draw(ax, maps[k], f"{name}\nchannel {k}", cmap, limit)
draw(axes[0, 3], winner[0, 0], "k*, the winner's channel", "Greys", 6)
draw(axes[1, 3], d_f1_avg[0].sum(axis=0), "sum over the channels\n= upstream", "RdBu_r", 9)
draw(axes[2, 3], d_f1_max[0].sum(axis=0), "sum over the channels\n= upstream", "RdBu_r", 9)
plt.show()
assert np.allclose(d_f1_avg.sum(axis=1, keepdims=True), d_s)
assert np.array_equal(d_f1_max.sum(axis=1, keepdims=True), d_s)

# %% [markdown]
r"""
What to see: in the last row each pixel has one number that is not 0, in the channel that $k^*$ names; the sum over
the channels gives the upstream gradient back, both times.

### Exercise 5.2 · Write the backward of the maximum

If several channels are the largest, give everything to the first of them. `np.put_along_axis` may help, and
loops are just as right.
"""


# %%
def maximum_backward(d_max_s, f1):
    """d_max_s: (N, 1, H, W), the upstream gradient; f1: (N, C, H, W). Returns d_f1: (N, C, H, W)."""
    ### BEGIN SOLUTION
    winner = f1.argmax(axis=1, keepdims=True)
    d_f1 = np.zeros(f1.shape)
    np.put_along_axis(d_f1, winner, d_max_s, axis=1)
    return d_f1
    ### END SOLUTION


right = exercise_5_2.check(maximum_backward)

# %% [markdown]
r"""
### Exercise 5.3 · Write the backward of both

$F'$ goes into both poolings, so it moves $L$ on two paths. By the chain rule the gradients of the two paths **add**.
You may call your `maximum_backward`.
"""


# %%
def both_backward(d_avg_s, d_max_s, f1):
    """d_avg_s, d_max_s: (N, 1, H, W), the upstream gradients; f1: (N, C, H, W). Returns d_f1: (N, C, H, W)."""
    ### BEGIN SOLUTION
    C = f1.shape[1]
    return d_avg_s / C + maximum_backward(d_max_s, f1)
    ### END SOLUTION


right = exercise_5_3.check(both_backward)

# %% [markdown]
r"""
## On a photograph

The cat of chapter 1: sixteen filters make $F$, with $C = 16$, and channel attention with weights set by hand
makes $F'$. First the two pooled maps.

They look alike. What does the maximum add? Divide it by the average. No entry of this $F'$ is negative, so the
quotient lies between 1 (all channels equal) and 16 (one channel alone, all others 0).
"""

# %%
image = tour.photograph()
names = list(tour.filters())
f = tour.features(image)
params = tour.weights_by_hand()
f1, _ = cb.channel_attention(f, params)
avg_s, _ = avg_pool_over_channels(f1)
max_s, max_backward = max_pool_over_channels(f1)
print("F′", f1.shape, "  avg_s", avg_s.shape, "  max_s", max_s.shape)

# %% mystnb={"image": {"alt": "The average and the maximum map of the cat look alike; their quotient does not."}}
quotient = max_s / avg_s
figure, axes = plt.subplots(2, 2, figsize=(9, 5.2), layout="constrained")
axes[0, 0].imshow(image)
axes[0, 0].set_title("photograph")
for ax, m, low, high, title in (
    (axes[0, 1], avg_s, 0, np.quantile(avg_s, 0.99), "average over channels (8)"),
    (axes[1, 0], max_s, 0, np.quantile(max_s, 0.99), "maximum over channels (9)"),
    (axes[1, 1], quotient, 1, 16, "maximum / average"),
):
    shown = ax.imshow(m[0, 0], vmin=low, vmax=high, cmap="viridis", interpolation="nearest")
    figure.colorbar(shown, cax=ax.inset_axes((1.02, 0, 0.03, 1)))
    ax.set_title(title)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
plt.show()
assert f1.min() == 0
assert quotient.min() > 2
assert 15 < quotient.max() < 16
alone = f1.argmax(axis=1, keepdims=True)[quotient > 12]
share = np.mean(alone == names.index("dark spot"))
print(f"quotient above 12: {alone.size} pixels, dark spot is the largest in {share:.0%} of them")
assert share > 0.9

# %% [markdown]
r"""
What to see: bottom right, thin bright lines around the eyes and bright dots in the fur, where one channel is nearly
alone, most often *dark spot*. The average cannot tell a lot of one thing from a little of everything; the quotient can.
"""

# %% [markdown]
r"""
## Which channel wins

Each pixel has one winner, and the maximum sends the whole gradient there. Let us draw the winners. On the left for $F$,
as the document writes; on the right for $F'$, as it must be.
"""

# %%
winner_f, winner_f1 = f[0].argmax(axis=0), f1[0].argmax(axis=0)
won = {name: (np.mean(winner_f == k), np.mean(winner_f1 == k)) for k, name in enumerate(names)}
changed = np.mean(winner_f != winner_f1)
print(f"another winner: {changed:.0%} of the pixels")
print("bright wins {:.0%} in F, {:.0%} in F′".format(*won["bright"]))
print("dark   wins {:.0%} in F, {:.0%} in F′".format(*won["dark"]))
assert 0.39 < changed < 0.41
assert won["bright"] == (max(before for before, _ in won.values()), 0)
assert won["dark"][1] == 0

# %% mystnb={"image": {"alt": "The winning channel of each pixel as a colour; white and black vanish in F′."}}
colours = ["#f0f0f0", "#1a1a1a", "#d62728", "#2ca02c", "#ffd92f", "#1f77b4"]  # bright, dark, red, green, yellow, blue
colours += ["#3f007d", "#6a51a3", "#9e9ac8", "#cbc9e2"]  # lines
colours += ["#7f2704", "#d94801", "#fd8d3c", "#fdbe85"]  # edges
colours += ["#40e0d0", "#e377c2"]  # spots
figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
for ax, winners, title in ((axes[0], winner_f, "winner of each pixel in F"), (axes[1], winner_f1, "in F′ = $M_c$ ⊗ F")):
    ax.imshow(winners, cmap=ListedColormap(colours), vmin=-0.5, vmax=15.5, interpolation="nearest")
    ax.set(xticks=[], yticks=[], title=title)
patches = [Patch(facecolor=c, edgecolor="grey", label=name) for c, name in zip(colours, names, strict=True)]
figure.legend(handles=patches, loc="outside lower center", ncols=8, fontsize=9)
plt.show()

# %% [markdown]
r"""
What to see: the white and black patches (*bright* and *dark*) are gone on the right, because channel attention has
shut these two; lines, spots and colours have taken their pixels.

This is what changes between $F$ and $F'$. Take one pixel with the numbers $5$ and $4$, and gates (门控) of
$\frac12$ and $\frac{9}{10}$. Before, channel 0 wins, $5 > 4$. After, channel 1 wins, $2.5 < 3.6$. If all gates are
equal, every winner stays.
"""

# %%
pixel, gates = np.array([5.0, 4.0]), np.array([0.5, 0.9])
assert pixel.argmax() == 0
assert (gates * pixel).argmax() == 1
assert np.array_equal((0.5 * f)[0].argmax(axis=0), winner_f)

# %% [markdown]
r"""
So the order of the two stages has a meaning: channel attention decides **which channels have a say**, and then this
pooling asks, at each pixel, the channels that are left. Whoever takes the document literally and pools $F$ gets no
error. The shapes are the same. The map is another one:
"""

# %%
m_s, _ = cb.spatial_map(f1, params)
m_s_literal, _ = cb.spatial_map(f, params)
difference = np.abs(m_s - m_s_literal)
print(f"gates of the wrong map are off by {difference.mean():.2f} on average, at most by {difference.max():.2f}")
assert m_s.shape == m_s_literal.shape
assert difference.mean() > 0.1

# %% [markdown]
r"""
## How little the maximum sends back

For each pixel the maximum gives gradient to one entry of sixteen. All other entries get exactly 0. The average
makes up for it: it reaches every channel, with a sixteenth.
"""

# %%
d_max_s = np.random.default_rng(0).standard_normal(max_s.shape)
d_f1 = max_backward(d_max_s)
reached = np.count_nonzero(d_f1) / d_f1.size
print(f"{reached:.4f} of the entries get gradient, 1/C = {1 / f1.shape[1]:.4f}")
assert reached == 1 / 16
assert np.array_equal(np.abs(d_f1[0]).argmax(axis=0), winner_f1)

# %% [markdown]
r"""
## Is it right?

The same check as in chapter 2, with numbers drawn at random, which have no ties.
"""

# %%
f1_random = np.random.default_rng(0).standard_normal((2, 3, 5, 4))
for pool in (avg_pool_over_channels, max_pool_over_channels):
    report = cb.gradcheck(pool, f1_random)
    print(f"{pool.__name__}: {'ok' if report.ok else 'wrong'}")
    assert report.ok

# %% [markdown]
r"""
## What to remember

- Pooling over channels makes $(N, 1, H, W)$ from $F'$: one average (8) and one maximum (9) for each pixel.
- Backward, the average gives $\frac1C$ of the upstream gradient to every channel; the maximum gives all of it to
  the winner.
- Channel attention changes the winner. So (8) and (9) take $F'$, not $F$.

**Next:** [6. The 7×7 convolution](06_the_convolution.ipynb) ·
**Solutions:** [chapter 5, solved](solutions/05_pooling_over_channels.ipynb)

**The code:** [pooling.py](../cbam_np/ops/pooling.py), the same as loops: [loops.py](../cbam_np/reference/loops.py)

**The paper:** Woo, Park, Lee, Kweon,
[CBAM: Convolutional Block Attention Module](https://arxiv.org/abs/1807.06521), section 3.
"""
