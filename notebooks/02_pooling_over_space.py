# %% [markdown]
r"""
# 2. Pooling over space · 空间池化

Channel attention has to give one number to each channel (通道). So the first thing it does is to
replace each channel, a whole map of $H \times W$ numbers, by one number. This is called **pooling**
(池化). It is done twice: once with the average (平均池化), once with the maximum (最大池化).

**What you will learn**

- to read formulas (3) and (4), and to compute them by hand, in loops, and in one line;
- to derive both gradients (梯度), index by index;
- where the gradient goes: to every pixel (像素), or to a single one;
- what happens when two entries are both the largest, and which of three answers is wrong.

**What you need:** NumPy indexing, and the derivative of a sum. Chapter [1](01_the_block.ipynb) shows
where the pooling sits in the block.
"""

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np
import torch

import cbam_np as cb
from cbam_np.course.chapter_02 import exercise_2_1, exercise_2_2, exercise_2_3
from cbam_np.ops import avg_pool_over_space, max_pool_over_space
from cbam_np.ops.pooling import _max_along

plt.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110})
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
r"""
## The formulas, as the document has them

Section 2, *通道注意力机制(Channel Attention)*, under *计算步骤*, has these two. They are shown as they are
printed there, with what was lost in the printing:

$$\mathbf{F}{\text{avg}}^c = \frac{1}{H \times W} \sum{i=1}^{H} \sum_{j=1}^{W} \mathbf{F}(i,j)$$

$$\mathbf{F}{\text{max}}^c = \max{i \in H, j \in W} \mathbf{F}(i,j)$$

Three subscripts have slipped down to the line: "avg" and "max" belong below the $\mathbf{F}$, "$i=1$"
belongs below the first sum, and "$i \in H, j \in W$" belongs below the max.

## The formulas, as they must be read

$$\underbrace{F^c_{\text{avg}}[n,c]}_{N,C}
= \frac{1}{HW} \sum_{i=1}^{H} \sum_{j=1}^{W} \underbrace{F[n,c,i,j]}_{N,C,H,W} \tag{3}$$

$$\underbrace{F^c_{\text{max}}[n,c]}_{N,C}
= \max_{1 \le i \le H,\; 1 \le j \le W} \underbrace{F[n,c,i,j]}_{N,C,H,W} \tag{4}$$

Under each symbol stands its shape (形状): $N$ samples in the batch (批), $C$ channels, $H$ rows, $W$
columns. The small $c$ above $F$ is no index. It only says "for channel attention".

Four things in the document need a second look.

1. The document says that the pooling is over the channel dimension. It is over **space**: over the rows
   $i$ and the columns $j$. The channels remain, one number each.
2. $\mathbf{F}(i,j)$ has no index for the channel. It means all $C$ numbers at pixel $(i,j)$, and the
   sum and the max are taken for each channel by itself.
3. "$i \in H$" uses the size $H$ as if it were a set. It means $i = 1, \dots, H$.
4. The document has no batch. In code there always is one, and every sample is pooled by itself.
"""

# %% [markdown]
r"""
## On paper

One sample, two channels, two rows and three columns:

$$F[0,0] = \begin{pmatrix} 1 & 5 & 2 \\ 0 & 3 & 1 \end{pmatrix} \qquad
F[0,1] = \begin{pmatrix} -2 & 0 & -1 \\ -4 & -3 & 4 \end{pmatrix}$$

Take a pencil: what is the average and what is the maximum of each channel?

Channel 0: the sum is $1+5+2+0+3+1 = 12$, the average is $12/6 = 2$, the maximum is $5$.

Channel 1: the sum is $-2+0-1-4-3+4 = -6$, the average is $-6/6 = -1$, the maximum is $4$.
"""

# %%
f = np.array([[[[1.0, 5.0, 2.0], [0.0, 3.0, 1.0]], [[-2.0, 0.0, -1.0], [-4.0, -3.0, 4.0]]]])
by_hand_avg = np.array([[2.0, -1.0]])
by_hand_max = np.array([[5.0, 4.0]])

# %% [markdown]
r"""
## As loops

The formula says it: for each sample and each channel, walk over all pixels. The average adds up. The
maximum keeps the largest entry so far, and begins with one that is smaller than all others.
"""


# %%
def avg_loops(f):
    """Formula (3), one number at a time."""
    N, C, H, W = f.shape
    avg_c = np.zeros((N, C))
    for n, c, i, j in np.ndindex(N, C, H, W):
        avg_c[n, c] += f[n, c, i, j] / (H * W)
    return avg_c


def max_loops(f):
    """Formula (4), one number at a time."""
    N, C, H, W = f.shape
    max_c = np.full((N, C), -np.inf)
    for n, c, i, j in np.ndindex(N, C, H, W):
        if f[n, c, i, j] > max_c[n, c]:
            max_c[n, c] = f[n, c, i, j]
    return max_c


assert np.allclose(avg_loops(f), by_hand_avg)
assert np.allclose(max_loops(f), by_hand_max)

# %% [markdown]
r"""
## As one line

NumPy counts axes from 0. In $(N, C, H, W)$ the rows are axis 2 and the columns are axis 3. Those two
disappear, and $(N, C)$ remains.
"""

# %%
avg_c = f.mean(axis=(2, 3))
max_c = f.max(axis=(2, 3))
print("average", avg_c, "  shape", avg_c.shape)
print("maximum", max_c, "  shape", max_c.shape)
assert np.allclose(avg_c, by_hand_avg)
assert np.allclose(max_c, by_hand_max)

# %% [markdown]
r"""
## In the package

Every operation of the package is one function. It returns its output, and with it a function `backward`
that does the way back. Here is the average, as it stands in the file. Read the code for now; the lines
in the docstring are derived below. In all these functions `xp` is the array library, here NumPy, and `namespace` and
the lines that begin with `check` only refuse what does not fit.
"""

# %%
print(inspect.getsource(avg_pool_over_space))

avg_c, avg_backward = avg_pool_over_space(f)
max_c, max_backward = max_pool_over_space(f)
assert np.allclose(avg_c, by_hand_avg)
assert np.allclose(max_c, by_hand_max)

# %% [markdown]
r"""
## What the way back has to find

Somewhere at the end of a network stands one number $L$, the loss (损失). It depends on everything
before it. We ask: if one entry of $F$ grows a little, how much does $L$ grow? The answer for each entry is
the gradient,

$$dF[n,c,i,j] = \frac{\partial L}{\partial F[n,c,i,j]}$$

We write $d$ and the symbol for it; in code it is `d_f`. It always has the shape of $F$.

The pooling does not know $L$. It only knows what comes back to it: the gradient of its own output,
$dF^c_{\text{avg}}[n,c]$. This is called the **upstream gradient** (上游梯度). The **chain rule**
(链式法则) makes one out of the other:

$$dF[n,c,i,j] = \sum_{n',c'} dF^c_{\text{avg}}[n',c']
\cdot \frac{\partial F^c_{\text{avg}}[n',c']}{\partial F[n,c,i,j]}$$

In words: a pixel moves $L$ through every output that it moves. So we need one thing: how much each
output moves when one pixel moves.

## The average, backward

Write out the formula for one output, with indices of its own so that nothing is mixed up:

$$F^c_{\text{avg}}[n',c'] = \frac{1}{HW} \left( F[n',c',1,1] + F[n',c',1,2] + \dots + F[n',c',H,W] \right)$$

**Step 1.** Does the pixel $F[n,c,i,j]$ occur in this sum? Only if it is of the same sample and the same
channel, $n'=n$ and $c'=c$. Otherwise the derivative is 0.

**Step 2.** If it occurs, it occurs once, with the factor $\frac{1}{HW}$. So the derivative is $\frac{1}{HW}$:

$$\frac{\partial F^c_{\text{avg}}[n',c']}{\partial F[n,c,i,j]}
= \begin{cases} \frac{1}{HW} & \text{if } n'=n \text{ and } c'=c \\ 0 & \text{else} \end{cases}$$

**Step 3.** Put it into the chain rule. Of the whole sum over $n',c'$ one term is left:

$$\boxed{dF[n,c,i,j] = \frac{1}{HW}\; dF^c_{\text{avg}}[n,c]}$$

The right side does not depend on $i$ and $j$: every pixel of a channel gets the same share.

On paper: let the upstream gradient be $6$ for channel 0 and $-12$ for channel 1. There are six pixels,
so each pixel of channel 0 gets $6/6 = 1$, and each pixel of channel 1 gets $-12/6 = -2$.
"""

# %%
d_avg_c = np.array([[6.0, -12.0]])
d_f_avg = avg_backward(d_avg_c)
print(d_f_avg)
assert np.allclose(d_f_avg[0, 0], 1.0)
assert np.allclose(d_f_avg[0, 1], -2.0)

# %% [markdown]
r"""
### Exercise 2.1 · Write the backward of the average

Replace the line that raises the error, and run the cell. The last line checks what you wrote, and says
what is wrong with it. You may try as often as you like. In the package `backward` remembers `f`; here you
are given it.
"""


# %%
def average_backward(d_avg_c, f):
    """d_avg_c: (N, C), the upstream gradient; f: (N, C, H, W). Returns d_f: (N, C, H, W)."""
    ### BEGIN SOLUTION
    N, C, H, W = f.shape
    share = d_avg_c / (H * W)
    return np.ones((N, C, H, W)) * share[:, :, None, None]
    ### END SOLUTION


right = exercise_2_1.check(average_backward)

# %% [markdown]
r"""
## The maximum, backward

How much does the maximum move when one pixel moves? Let us try it out before we think. We add a little,
$0.001$, to one pixel after the other, and look at what the maximum of its channel does.
"""

# %%
h = 0.001
moved_by = np.zeros(f.shape)
for n, c, i, j in np.ndindex(*f.shape):
    nudged = f.copy()
    nudged[n, c, i, j] += h
    moved_by[n, c, i, j] = (nudged.max(axis=(2, 3)) - f.max(axis=(2, 3)))[n, c] / h
print(moved_by)
assert np.allclose(moved_by, f == max_c[:, :, None, None])

# %% [markdown]
r"""
All zeros and one 1 in each channel: the maximum moves exactly as the largest entry moves, and the other
entries do not matter. That is what we now derive.

**Step 1.** Call the place of the largest entry $(i^*, j^*)$. Every sample and every channel has its own.
Then

$$F^c_{\text{max}}[n,c] = F[n,c,i^*,j^*]$$

**Step 2.** Suppose that all other entries are smaller, by a gap. Move one of them by less than the gap: it
is still smaller, the maximum has not moved. The derivative is $0$.

**Step 3.** Move the largest entry by less than the gap: it is still the largest, so the maximum has
moved with it, by the same amount. The derivative is $1$.

**Step 4.** Entries of other channels and samples do not occur. Put this into the chain rule, and one term is left:

$$\boxed{dF[n,c,i,j] =
\begin{cases} dF^c_{\text{max}}[n,c] & \text{if } (i,j) = (i^*,j^*) \\ 0 & \text{else} \end{cases}}$$

The maximum works like a switch. It connects one pixel with the output, and cuts off all others.

As loops: on the way forward remember the place; on the way back put the upstream gradient there.
"""


# %%
def max_backward_loops(d_max_c, f):
    """The boxed line, one channel at a time."""
    N, C, H, W = f.shape
    d_f = np.zeros(f.shape)
    for n, c in np.ndindex(N, C):
        i_star, j_star = 0, 0
        for i, j in np.ndindex(H, W):
            if f[n, c, i, j] > f[n, c, i_star, j_star]:
                i_star, j_star = i, j
        d_f[n, c, i_star, j_star] = d_max_c[n, c]
    return d_f


d_max_c = np.array([[6.0, -12.0]])
d_f_max = max_backward_loops(d_max_c, f)
print(d_f_max)

# %% [markdown]
r"""
Without loops there is one difficulty: `np.argmax` knows one axis, and we have two. So lay the rows of a
channel one behind the other, which makes them one axis of length $HW$. Then `np.put_along_axis` writes into
fresh zeros, at the places found.
"""

# %%
N, C, H, W = f.shape
place = f.reshape(N, C, H * W).argmax(axis=2, keepdims=True)
flat = np.zeros((N, C, H * W))
np.put_along_axis(flat, place, d_max_c[:, :, None], axis=2)
print("places in a row of six:", place.ravel())
assert np.array_equal(flat.reshape(f.shape), d_f_max)

# %% [markdown]
r"""
The package does the same, in two functions: `max_pool_over_space` lays the rows one behind the other, and
`_max_along` takes the maximum along one axis. The second will be used again for the channels. What
`backward_split` is for comes below.
"""

# %%
print(inspect.getsource(max_pool_over_space))
print(inspect.getsource(_max_along))
assert np.array_equal(max_backward(d_max_c), d_f_max)

# %% [markdown]
r"""
## Where the gradient goes

One small function draws a matrix with its numbers written in; then both gradients, side by side.
"""


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


# %% mystnb={"image": {"alt": "F; the average sends 1 or -2 to every pixel, the maximum 6 or -12 to a single one."}}
figure, axes = plt.subplots(2, 3, figsize=(7.5, 3.6), layout="constrained")
for c, row in enumerate(axes):
    draw(row[0], f[0, c], f"channel {c} of F", "viridis", 5)
    draw(row[1], d_f_avg[0, c], f"d_f through the average\n(upstream {d_avg_c[0, c]:g})", "RdBu_r", 12)
    draw(row[2], d_f_max[0, c], f"d_f through the maximum\n(upstream {d_max_c[0, c]:g})", "RdBu_r", 12)
plt.show()
assert np.allclose(d_f_avg.sum(axis=(2, 3)), d_avg_c)
assert np.allclose(d_f_max.sum(axis=(2, 3)), d_max_c)

# %% [markdown]
r"""
What to see: the average hands out the upstream gradient in equal small shares, and the maximum gives all of it to
the one largest pixel; the sum over each channel is the same in both.

### Exercise 2.2 · Write the backward of the maximum

Loops or no loops, as you like. If several entries are the largest, give everything to the first of them,
counted row by row. (`np.argmax` finds the first one, and so does `>` in the loop.)
"""


# %%
def maximum_backward(d_max_c, f):
    """d_max_c: (N, C), the upstream gradient; f: (N, C, H, W). Returns d_f: (N, C, H, W)."""
    ### BEGIN SOLUTION
    N, C, H, W = f.shape
    place = f.reshape(N, C, H * W).argmax(axis=2, keepdims=True)
    d_f = np.zeros((N, C, H * W))
    np.put_along_axis(d_f, place, d_max_c[:, :, None], axis=2)
    return d_f.reshape(f.shape)
    ### END SOLUTION


right = exercise_2_2.check(maximum_backward)

# %% [markdown]
r"""
## Ties: two entries are both the largest

In step 2 we supposed that all other entries are smaller. What if they are not? Two entries that are both
the largest are called a **tie** (并列). This is not rare: a ReLU sets many entries to exactly 0, and an
overexposed sky has the same value at every pixel.

Here is a channel with three entries, two of them the largest.
"""

# %%
tied = np.array([3.0, 1.0, 3.0]).reshape(1, 1, 1, 3)
d_out = np.array([[12.0]])
largest = tied.max(axis=(2, 3))
print(tied.ravel(), "maximum", largest.item())

# %% [markdown]
r"""
Move only the first entry by $t$. Upwards, the maximum goes along: it is $3+t$. Downwards, the third entry
takes over: it stays $3$. The slope is 1 on the right and 0 on the left. Such a corner is called a
**kink** (尖点). At a kink there is no derivative.

Now move **both** of the largest entries together by $t$. They stay equal, they stay the largest, and the
maximum is $3+t$ on both sides. Along this direction there is no kink. The slope is 1, and nobody can
choose another.
"""

# %%
t = np.linspace(-1, 1, 201)
first = np.array([1.0, 0.0, 0.0]).reshape(tied.shape)
both = np.array([1.0, 0.0, 1.0]).reshape(tied.shape)
along_first = np.array([(tied + step * first).max() for step in t])
along_both = np.array([(tied + step * both).max() for step in t])
assert np.allclose(along_first, np.maximum(3 + t, 3))
assert np.allclose(along_both, 3 + t)

# %% mystnb={"image": {"alt": "While one entry moves the maximum has a kink at 0, while both move it is a line."}}
figure, axes = plt.subplots(1, 2, figsize=(7.5, 2.8), sharey=True, layout="constrained")
axes[0].plot(t, along_first, linewidth=2)
axes[0].set_title("one of the two moves: a kink", fontsize=10)
axes[1].plot(t, along_both, linewidth=2)
axes[1].set_title("both move together: slope 1, no kink", fontsize=10)
for ax in axes:
    ax.axvline(0, color="grey", linewidth=0.8, linestyle=":")
    ax.set_xlabel("t, added to what moves")
axes[0].set_ylabel("maximum")
plt.show()

# %% [markdown]
r"""
What to see: on the left the slope jumps from 0 to 1 at $t=0$; on the right it is 1 everywhere, at
$t=0$ too.

## Three conventions, one of them wrong

Programs have to return something at a tie. Three answers are in use. Let $k$ be the number of entries that
tie.

- **first**: all of it to the first one, nothing to the others.
- **split**: an equal share to each, $1/k$ of it.
- **full to each**: the whole gradient to each of them. It is what `d_out * (f == maximum)` gives, a
  line that is written often.
"""

# %%
ties = tied == largest[:, :, None, None]
conventions = {
    "first": max_pool_over_space(tied, ties="first")[1](d_out),
    "split": max_pool_over_space(tied, ties="split")[1](d_out),
    "full to each": d_out[:, :, None, None] * ties,
}
for name, d_tied in conventions.items():
    print(f"{name:13}", d_tied.ravel())

# %% [markdown]
r"""
We can test them. A gradient promises a slope along every direction $v$, the **directional derivative**
(方向导数). If the input moves by $t\,v$, then $L$ moves by $t$ times

$$\langle dF, v \rangle = \sum_{i,j} dF[i,j]\; v[i,j]$$

At a kink there are two slopes, and no promise can be right on both sides. But where there is no kink, there
is one slope, and a gradient has to give it. So we take the direction in which both largest entries move
together. Let $L$ be 12 times the maximum; then the upstream gradient is 12, and the slope of $L$ along
this direction is 12. We measure it as well.
"""

# %%
slope = 12 * (along_both[-1] - along_both[0]) / (t[-1] - t[0])
promised = {name: np.sum(d_tied * both) for name, d_tied in conventions.items()}
print("measured     ", round(slope, 6))
for name, value in promised.items():
    print(f"{name:13}", value)
assert np.isclose(slope, 12)
assert promised == {"first": 12, "split": 12, "full to each": 24}

dead = np.zeros((1, 1, 7, 7))  # a channel without any signal: all 49 pixels tie
assert np.isclose(max_pool_over_space(dead, ties="first")[1](d_out).sum(), 12)
assert np.isclose(max_pool_over_space(dead, ties="split")[1](d_out).sum(), 12)
assert np.isclose((d_out[:, :, None, None] * (dead == 0)).sum(), 12 * 49)

# %% mystnb={"image": {"alt": "Three gradients at a tie and what each promises: full to each is twice too steep."}}
figure, axes = plt.subplots(2, 3, figsize=(7.5, 4.2), height_ratios=[1, 2.6], sharey="row", layout="constrained")
for (top, bottom), (name, d_tied) in zip(axes.T, conventions.items(), strict=True):
    draw(top, d_tied[0, 0], f"d_f: {name}", "RdBu_r", 12)
    wrong = not np.isclose(promised[name], slope)
    bottom.plot(t, 12 * along_both, linewidth=5, color="lightgrey", label="L, measured")
    line = 12 * 3 + t * promised[name]
    bottom.plot(t, line, "--", color="crimson" if wrong else "black", label="what d_f promises")
    bottom.set_title("wrong: twice too steep" if wrong else "right", fontsize=9, color="crimson" if wrong else "black")
    bottom.set_xlabel("t, added to both")
    bottom.legend(fontsize=7, loc="upper left")
axes[1, 0].set_ylabel("L")
plt.show()

# %% [markdown]
r"""
What to see: *first* and *split* promise exactly the slope that is there; *full to each* promises twice as much, and
with $k$ tied entries it would be $k$ times as much.

The rule behind it: the shares may be chosen, but they add up to 1, and each lies between 0 and 1, the two slopes of a
single entry. In a channel of $7 \times 7$ zeros, *full to each* sends back 49 times too much.

Which of the two good ones? This package takes **first**, and offers `ties="split"`. PyTorch has both, under
different names.
"""

# %%
x = torch.tensor(tied, requires_grad=True)
(d_first,) = torch.autograd.grad(torch.nn.functional.adaptive_max_pool2d(x, 1).sum(), x)
(d_split,) = torch.autograd.grad(x.amax(dim=(2, 3)).sum(), x)
print("adaptive_max_pool2d", 12 * d_first.numpy().ravel())
print("amax               ", 12 * d_split.numpy().ravel())
assert np.allclose(12 * d_first, conventions["first"])
assert np.allclose(12 * d_split, conventions["split"])

# %% [markdown]
r"""
### Never compare with differences at a tie

A usual way to check a gradient is to move one entry by $+h$ and by $-h$, and to divide the difference of
the two results by $2h$. At a tie this gives the mean of both slopes, $(1+0)/2 = \frac12$, for each tied
entry. With three tied entries that adds up to $\frac32$. No convention gives that, and none is to blame.
"""

# %%
three = np.array([3.0, 3.0, 3.0, 1.0])
steps = 0.001 * np.eye(4)
differences = np.array([((three + step).max() - (three - step).max()) / 0.002 for step in steps])
print(differences, "sum", differences.sum().round(3))
assert np.allclose(differences, [0.5, 0.5, 0.5, 0])

# %% [markdown]
r"""
### Exercise 2.3 · Write the backward that splits ties

Each of the largest entries of a channel gets an equal share of that channel's upstream gradient.
"""


# %%
def split_backward(d_max_c, f):
    """d_max_c: (N, C), the upstream gradient; f: (N, C, H, W). Returns d_f: (N, C, H, W)."""
    ### BEGIN SOLUTION
    tied = f == f.max(axis=(2, 3), keepdims=True)
    share = tied / tied.sum(axis=(2, 3), keepdims=True)
    return d_max_c[:, :, None, None] * share
    ### END SOLUTION


right = exercise_2_3.check(split_backward)

# %% [markdown]
r"""
## Is it right?

We have derived two gradients. The package checks any function that returns its output and its backward: it moves
the entries of `f` and compares what happens with what the gradient promises, with a random upstream
gradient. Chapter 9 explains how. The input must have no ties, and numbers drawn at random have none.
"""

# %%
f_random = np.random.default_rng(0).standard_normal((2, 3, 5, 4))
for pool in (avg_pool_over_space, max_pool_over_space):
    report = cb.gradcheck(pool, f_random)
    print(f"{pool.__name__}: {'ok' if report.ok else 'wrong'}")
    assert report.ok

# %% [markdown]
r"""
## What to remember

- Pooling over space makes $(N, C)$ from $(N, C, H, W)$: one average (3) and one maximum (4) for each channel.
- Backward, the average gives $\frac{1}{HW}$ of the upstream gradient to every pixel; the maximum gives all
  of it to one.
- At a tie the shares may be chosen, but they add up to 1: first or split, never full to each.

**Next:** [3. The shared MLP](03_the_shared_mlp.ipynb) ·
**Solutions:** [chapter 2, solved](solutions/02_pooling_over_space.ipynb)

**The code:** [pooling.py](../cbam_np/ops/pooling.py), the same as loops: [loops.py](../cbam_np/reference/loops.py)

**The paper:** Woo, Park, Lee, Kweon,
[CBAM: Convolutional Block Attention Module](https://arxiv.org/abs/1807.06521), section 3.
"""
