# %% [markdown]
r"""
# 2. Pooling, over space and over channels · 池化

> **How does a whole feature map become one number, and which of its pixels get the gradient afterwards?**
"""

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np

import cbam_np as cb
from cbam_np.course import answer, check, pictures_a
from cbam_np.course.learned_maps import numbers
from cbam_np.ops import avg_pool_over_channels, avg_pool_over_space, max_pool_over_channels, max_pool_over_space

plt.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110})
np.set_printoptions(precision=3, suppress=True)

# %% mystnb={"image": {"alt": "Over space, one whole channel becomes a number; over channels, one pixel does."}}
pictures_a.two_directions()

# %% [markdown]
r"""
Channel attention needs one number for each **channel**, so it pools (池化) over space: left. Spatial attention needs one
number for each **pixel** (像素), so it pools over channels: right. Both do it twice, by average pooling (平均池化) and by max
pooling (最大池化). The average says how much there is on the whole; the maximum says how strong the strongest response is.

| | |
|---|---|
| **Time** | 75 minutes |
| **You need** | chapter [1](01_the_block.ipynb), the derivative of a sum |
| **You build** | four poolings, forward and backward |

## The formulas

Over space, for channel attention:

$$\underbrace{F^c_{\text{avg}}[n,c]}_{N,C}
= \frac{1}{HW} \sum_{i=1}^{H} \sum_{j=1}^{W} \underbrace{F[n,c,i,j]}_{N,C,H,W} \tag{3}$$

$$\underbrace{F^c_{\text{max}}[n,c]}_{N,C}
= \max_{1 \le i \le H,\; 1 \le j \le W} \underbrace{F[n,c,i,j]}_{N,C,H,W} \tag{4}$$

Over channels, for spatial attention, which works on $F'$:

$$\underbrace{F^s_{\text{avg}}[n,i,j]}_{N,1,H,W}
= \frac{1}{C} \sum_{c=1}^{C} \underbrace{F'[n,c,i,j]}_{N,C,H,W} \tag{8}$$

$$\underbrace{F^s_{\text{max}}[n,i,j]}_{N,1,H,W}
= \max_{1 \le c \le C} \underbrace{F'[n,c,i,j]}_{N,C,H,W} \tag{9}$$

The results of (8) and (9) keep an axis of length 1 where the channels were, so they are pictures with one channel.

<details><summary>The document's own form</summary>

Section 2, *通道注意力机制(Channel Attention)*, 计算步骤, for (3) and (4):

$$\mathbf{F}{\text{avg}}^c = \frac{1}{H \times W} \sum{i=1}^{H} \sum_{j=1}^{W} \mathbf{F}(i,j)$$

$$\mathbf{F}{\text{max}}^c = \max{i \in H, j \in W} \mathbf{F}(i,j)$$

Section 3, *空间注意力机制(Spatial Attention)*, 计算步骤, for (8) and (9):

$$\mathbf{F}{\text{avg}}^s = \frac{1}{C} \sum{k=1}^{C} \mathbf{F}k$$

$$\mathbf{F}{\text{max}}^s = \max_{k \in C} \mathbf{F}_k$$

What differs, and how we know: [the appendix on misprints](A3_misprints.ipynb).
</details>

## On paper

One sample, two channels, two rows, three columns:

$$F[0,0] = \begin{pmatrix} 1 & 5 & 2 \\ 0 & 3 & 1 \end{pmatrix} \qquad
F[0,1] = \begin{pmatrix} -2 & 0 & -1 \\ -4 & -3 & 4 \end{pmatrix}$$

Take a pencil. What are the average and the maximum of each channel? And at each pixel?

<details><summary>Compare</summary>

Over space: channel 0 adds up to 12, so its average is 2; its maximum is 5. Channel 1 adds up to −6: average −1, maximum 4.

Over channels:

$$F^s_{\text{avg}}[0] = \begin{pmatrix} -0.5 & 2.5 & 0.5 \\ -2 & 0 & 2.5 \end{pmatrix} \qquad
F^s_{\text{max}}[0] = \begin{pmatrix} 1 & 5 & 2 \\ 0 & 3 & 4 \end{pmatrix}$$
</details>
"""

# %%
f = np.array([[[[1.0, 5.0, 2.0], [0.0, 3.0, 1.0]], [[-2.0, 0.0, -1.0], [-4.0, -3.0, 4.0]]]])
assert np.allclose(avg_pool_over_space(f)[0], [[2, -1]])
assert np.allclose(max_pool_over_space(f)[0], [[5, 4]])
assert np.allclose(avg_pool_over_channels(f)[0][0, 0], [[-0.5, 2.5, 0.5], [-2, 0, 2.5]])
assert np.allclose(max_pool_over_channels(f)[0][0, 0], [[1, 5, 2], [0, 3, 4]])

# %% [markdown]
r"""
## The average, backward

The pooling doesn't know the loss $L$ (损失). It only knows what comes back to it: the gradient of its own output,
$dF^c_{\text{avg}}[n,c]$. The **chain rule** (链式法则) turns that into the gradient of its input. A pixel moves $L$ through every output
that it moves:

$$dF[n,c,i,j] = \sum_{n',c'} dF^c_{\text{avg}}[n',c'] \cdot \frac{\partial F^c_{\text{avg}}[n',c']}{\partial F[n,c,i,j]}$$

So we need just one thing: how much does each output move when one pixel moves? (In this chapter each pooling is by
itself: $F$ goes into it and nowhere else. Only question 2.1 looks ahead to chapter 4, where $F$ goes to several places and
the gradients add.)

**Step 1.** Does the pixel $F[n,c,i,j]$ occur in the sum for $F^c_{\text{avg}}[n',c']$? Only if it belongs to the same
sample and the same channel. Otherwise the derivative is 0.

**Step 2.** If it does, it occurs once, with the factor $\frac{1}{HW}$. So that is the derivative.

**Step 3.** One term of the whole sum over $n', c'$ is left:

$$\boxed{dF[n,c,i,j] = \frac{1}{HW}\; dF^c_{\text{avg}}[n,c]}$$

The right side doesn't depend on $i$ and $j$: every pixel of a channel gets the same share.

### Build 3 of 16 · `avg_pool_over_space`

You have the forward (3) and the gradient in the box. Two things to get right: the gradient must have the shape of `f`,
and the output of pooling has two axes fewer.
"""

# %%
check("avg_pool_over_space")

# %% [markdown]
r"""
## The maximum, backward

Let's try it before we think. Add a little to one pixel after another, and see how much the maximum of its channel moves.
"""

# %%
moved_by = np.zeros(f.shape)
for place in np.ndindex(f.shape):
    nudged = f.copy()
    nudged[place] += 0.001
    moved_by[place] = np.sum(max_pool_over_space(nudged)[0] - max_pool_over_space(f)[0]) / 0.001
print(moved_by)
assert np.allclose(moved_by, f == np.array([5, 4]).reshape(1, 2, 1, 1))

# %% [markdown]
r"""
One 1 in each channel, and zeros elsewhere. Here is why.

**Step 1.** Call the place of the largest entry $(i^*, j^*)$; each channel of each sample has its own. Then
$F^c_{\text{max}}[n,c] = F[n,c,i^*,j^*]$.

**Step 2.** Suppose all other entries are smaller, by a gap. Move one of them by less than the gap: it's still smaller, so
the maximum doesn't move. The derivative is 0.

**Step 3.** Move the largest entry by less than the gap: it's still the largest, so the maximum moves with it. The
derivative is 1.

$$\boxed{dF[n,c,i,j] =
\begin{cases} dF^c_{\text{max}}[n,c] & \text{if } (i,j) = (i^*,j^*) \\ 0 & \text{else} \end{cases}}$$

The maximum works like a switch. It connects one pixel to the output, and cuts off all the others.
"""

# %% mystnb={"image": {"alt": "F; the average sends 1 or -2 to every pixel, the maximum 6 or -12 to a single one."}}
d_pooled = np.array([[6.0, -12.0]])
d_f_avg = avg_pool_over_space(f)[1](d_pooled)
d_f_max = max_pool_over_space(f)[1](d_pooled)
pictures_a.where_it_goes(f[0], d_f_avg[0], d_f_max[0], d_pooled[0])
assert np.allclose(d_f_avg.sum(axis=(2, 3)), d_pooled)
assert np.allclose(d_f_max.sum(axis=(2, 3)), d_pooled)

# %% [markdown]
r"""
What to see: the average hands out the upstream gradient in small equal shares, the maximum gives all of it to one pixel.
In each channel both add up to the upstream gradient.

**2.1** In the block *both* poolings read the same $F$, and what they send back adds, as at the fork in chapter 0. Let the upstream gradient of channel 0 be 6 for the average and 12
for the maximum. What is the gradient of the pixel with the 5, and what is the gradient of the pixel with the 3? Type a
pair.
"""

# %%
answer("2.1", ...)  # solved: (13, 1)

# %% [markdown]
r"""
### Ties

In step 2 we supposed that all other entries are smaller. Two entries that are both the largest are a **tie** (并列), and
ties aren't rare: a ReLU sets many entries to exactly 0. Take $(3, 1, 3)$ and move only the first entry by $t$. Upwards, the
maximum moves along: slope 1. Downwards, the third entry takes over: slope 0. Such a corner is called a **kink** (尖点), and
at a kink there is no derivative. But now move *both* threes by $t$. They stay equal, they stay the largest, and the
maximum is $3 + t$ on both sides. Along this direction there is no kink, and the slope is 1.
"""

# %% mystnb={"image": {"alt": "Left: one of two equal entries moves, a kink. Right: both move; two conventions fit, one is too steep."}}
conventions = {"first": [1, 0, 0], "split": [1 / 2, 0, 1 / 2], "full to each": [1, 0, 1]}
both = np.array([1, 0, 1])
promised = {name: float(np.dot(gradient, both)) for name, gradient in conventions.items()}
pictures_a.tie(np.array([3.0, 1.0, 3.0]), both, promised)
assert promised == {"first": 1, "split": 1, "full to each": 2}

# %% [markdown]
r"""
A gradient promises a slope along every direction $v$, the sum of its products with $v$; it is called the **directional
derivative** (方向导数). Three conventions are in use. *First* gives everything to the first of the tied entries, *split* gives
each an equal share, and *full to each* gives the whole gradient to every one of them. What to see on the right: *first* and
*split* keep their promise when both entries move. *Full to each* promises twice the slope that is there.

The rule: the shares are a matter of choice, but they must add up to 1. Here we take **first**, counted row by row. That is
what `np.argmax` finds.

<details><summary>d_max_c[:, :, None, None] * (f == max_c[:, :, None, None]) is a line that you'll see in real code. When is it
right, and what does it do to a channel of 7×7 zeros?</summary>

It is right as long as there are no ties. It is *full to each*: in a channel of $7 \times 7$ zeros all 49 entries tie, and it
sends back 49 times too much.
</details>

### Build 4 of 16 · `max_pool_over_space`

- `np.argmax` searches along one axis, and here there are two. What does `f.reshape(N, C, H * W)` do for you?
- Once you know the places, loops are fine. Without loops, look at `np.put_along_axis`.
- The test inputs include ties, and channels in which every entry is negative.
"""

# %%
check("max_pool_over_space")

# %% [markdown]
r"""
## Over channels

Only the axis is new. For one pixel $[n,i,j]$ of the result, formula (8) adds up $C$ numbers, one from each channel.

<details><summary>Do the three steps for (8) yourself: in which outputs does F′[n,c,i,j] occur, and with which factor?</summary>

In one output only, that of its own sample and pixel, once, with the factor $\frac1C$. So

$$\boxed{dF'[n,c,i,j] = \frac{1}{C}\; dF^s_{\text{avg}}[n,i,j]}$$

It doesn't depend on $c$: all channels of a pixel get the same share.
</details>

<details><summary>And for (9)?</summary>

Call the channel of the largest entry $c^*$, the **winner** (胜出通道); every pixel of every sample has its own. Then

$$\boxed{dF'[n,c,i,j] =
\begin{cases} dF^s_{\text{max}}[n,i,j] & \text{if } c = c^* \\ 0 & \text{else} \end{cases}}$$
</details>

### Builds 5 and 6 of 16 · `avg_pool_over_channels`, `max_pool_over_channels`

They are shorter than the first two. `keepdims=True` keeps the axis of length 1.
"""

# %%
check("avg_pool_over_channels")
check("max_pool_over_channels")

# %% [markdown]
r"""
## In the trained block

Here are (8) and (9) for one picture of the trained block of chapter [1](01_the_block.ipynb). These two maps are all that
spatial attention ever sees of the 32 channels.
"""

# %% mystnb={"image": {"alt": "A digit; the average and the maximum over channels; pixels where the winner changes."}}
learned = numbers()
f = learned["f"].astype(float)
params = {name: learned[name].astype(float) for name in ("channel.w1", "channel.w2", "spatial.kernel")}
f1, _ = cb.channel_attention(f, params)
avg_s, max_s = avg_pool_over_channels(f1)[0], max_pool_over_channels(f1)[0]
changed = f.argmax(axis=1) != f1.argmax(axis=1)
pictures_a.pooled_over_channels(learned["scenes"][0], avg_s[0, 0], max_s[0, 0], changed[0])
print(f"another channel wins in F′ than in F at {changed.mean():.0%} of the pixels of all five pictures")
assert np.all(max_s >= avg_s)
assert 0.1 < changed.mean() < 0.9

# %% [markdown]
r"""
What to see: the maximum is large along the strokes, where a few channels respond strongly; the average mixes positive and
negative responses, so it looks different. On the right, the yellow pixels are those where the winner in $F'$ is not the
winner in $F$: channel attention has turned some channels down, and others take their place. That is why it matters that
(8) and (9) read $F'$.

**2.2** At one pixel two channels have the values $5$ and $4$ in $F$, and their gates are $\frac12$ and $\frac{9}{10}$.
Which channel, 0 or 1, gets the gradient of the maximum (9)?
"""

# %%
answer("2.2", ...)  # solved: 1

# %% [markdown]
r"""
The maximum sends gradient to one entry in $C$, and the average to all of them, a $C$-th each. For a single random upstream
gradient:
"""

# %%
d_s = np.random.default_rng(0).normal(size=max_s.shape)
reached_by_max = np.count_nonzero(max_pool_over_channels(f1)[1](d_s)) / f1.size
reached_by_avg = np.count_nonzero(avg_pool_over_channels(f1)[1](d_s)) / f1.size
print(f"the maximum reaches {reached_by_max:.4f} = 1/32 of the entries, the average {reached_by_avg:.0%}")
assert reached_by_max == 1 / 32
assert reached_by_avg == 1

# %% [markdown]
r"""
<details><summary>A gradient check at a tie: what does a central difference measure there, and whose fault is it?</summary>

The mean of both slopes, $(1+0)/2 = \frac12$, for each tied entry. With three tied entries that adds up to $\frac32$. No
convention gives that, and none is to blame: there is no derivative to measure. So a gradient check uses random inputs,
which have no ties. `check` knows this and compares ties with the convention instead.
</details>

## What you built

Four poolings. Backward, an average hands out equal shares and a maximum switches everything to one entry. Six of 16.

**Next:** [3. The shared MLP](03_the_shared_mlp.ipynb) · **The code:** [pooling.py](../cbam_np/ops/pooling.py), the same as
loops: [loops.py](../cbam_np/reference/loops.py)
"""
