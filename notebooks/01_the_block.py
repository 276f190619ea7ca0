# %% [markdown]
r"""
# 1. The block, from the outside · 模块的整体结构

CBAM, the Convolutional Block Attention Module, takes **feature maps** (特征图) and gives back feature
maps of the same shape (形状), with some channels and some places turned down. This chapter looks at it
from the outside: what goes in, what comes out, and what happens to it on the way. The chapters after it
open the box.

The course follows a short Chinese tutorial, called *the document* here. It has eleven formulas,
numbered (1) to (11) in this course, in the document's order. This chapter is about the first two.

**What you will learn**

- to read formulas (1) and (2) with a shape on every symbol;
- what a *gate* (门控) does to an array, by hand, in loops, and in one line of NumPy;
- why the sigmoid here is not a normalisation, and why the order of the two gates matters;
- what the block does to a photograph;
- how to be sure that its gradient is right.

**What you need:** NumPy indexing. Broadcasting is explained where it comes up. How the exercises work
stands in [Start here](00_start_here.ipynb).
"""

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display

import cbam_np as cb
from cbam_np.commands import tour
from cbam_np.course.chapter_01 import exercise_1_1, exercise_1_2

plt.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110})
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
r"""
## The formulas

Section 1 of the document, *CBAM 的整体结构*, has two:

$$\mathbf{F'} = \text{CAM}(\mathbf{F}) \cdot \mathbf{F}$$

$$\mathbf{F''} = \text{SAM}(\mathbf{F'}) \cdot \mathbf{F'}$$

They have to be read like this, with $N$ pictures in a batch (批), $C$ channels (通道), $H$ rows and $W$
columns:

$$\underbrace{F'}_{N,C,H,W} = \underbrace{M_c(F)}_{N,C,1,1} \otimes \underbrace{F}_{N,C,H,W} \tag{1}$$

$$\underbrace{F''}_{N,C,H,W} = \underbrace{M_s(F')}_{N,1,H,W} \otimes \underbrace{F'}_{N,C,H,W} \tag{2}$$

Five things to know when you read the document:

1. $\text{CAM}(\mathbf{F})$ looks like the output of the channel attention module (通道注意力). It is
   only the **map** $M_c$ inside it: one number for each channel. The module's output is $F'$. Likewise
   $\text{SAM}(\mathbf{F'})$ is the map $M_s$ of spatial attention (空间注意力), one number for each
   place.
2. The dot is no dot product and no matrix product. It is entry-by-entry multiplication after
   **broadcasting** (广播), here written $\otimes$.
3. The document leaves out the batch, and gives $\mathbf{F}$ a shape but neither of the maps.
4. It calls the sigmoid *归一化*, normalisation. Nothing is normalised: every entry of a map is a number
   between 0 and 1 of its own, a **gate**.
5. In (2) the spatial map is computed from $F'$, not from $F$. The document's later formulas, (8) and
   (9), write $\mathbf{F}$; (2) is right.
"""

# %% mystnb={"image": {"alt": "F forks into the channel map and a product, F prime into the spatial map and another."}}
figure, ax = plt.subplots(figsize=(10, 3))
ax.set(xlim=(0, 10), ylim=(0, 3))
ax.axis("off")


def box(x, y, text, colour, shape="round,pad=0.5"):
    style = {"boxstyle": shape, "facecolor": colour, "edgecolor": "black"}
    return ax.text(x, y, text, ha="center", va="center", bbox=style)


def arrow(start, end, label=""):
    (x, y), (x2, y2) = start.get_position(), end.get_position()
    style = {"arrowstyle": "-|>", "color": "black", "patchA": start.get_bbox_patch(), "patchB": end.get_bbox_patch()}
    ax.annotate("", (x2, y2), (x, y), arrowprops=style)
    ax.text((x + x2) / 2 + 0.15, (y + y2) / 2, label, va="center")


f, f1, f2 = (box(x, 0.6, f"${name}$\nN, C, H, W", "#dbe9f6") for x, name in ((0.8, "F"), (5, "F'"), (9.2, "F''")))
for before, after, text, label in (
    (f, f1, "channel map\n(3) to (6)", "$M_c$   N, C, 1, 1"),
    (f1, f2, "spatial map\n(8) to (10)", "$M_s$   N, 1, H, W"),
):
    x = before.get_position()[0]
    the_map, product = box(x + 1.25, 2.4, text, "#fdebd0"), box(x + 2.5, 0.6, "⊗", "white", "circle,pad=0.4")
    arrow(before, the_map)
    arrow(the_map, product, label)
    arrow(before, product)
    arrow(product, after)
plt.show()

# %% [markdown]
r"""
Each stage uses its input **twice**: once to compute the map, once as the thing that the map is
multiplied onto. Remember the fork; on the way back it becomes a sum.
"""

# %% [markdown]
r"""
## On paper

One picture ($N=1$), two channels, two rows, two columns. Let somebody hand us the two maps; how they
are computed is no concern of formulas (1) and (2).

$$F_0 = \begin{pmatrix} 4 & 8 \\ 12 & 16 \end{pmatrix}\quad F_1 = \begin{pmatrix} 8 & 0 \\ 16 & 8 \end{pmatrix}$$

$$M_c = \left(\frac12,\ \frac14\right)\quad M_s = \begin{pmatrix} \frac12 & \frac12 \\ \frac14 & \frac34 \end{pmatrix}$$

Formula (1): all of channel 0 is halved, all of channel 1 is quartered.

$$F'_0 = \begin{pmatrix} 2 & 4 \\ 6 & 8 \end{pmatrix}\qquad F'_1 = \begin{pmatrix} 2 & 0 \\ 4 & 2 \end{pmatrix}$$

Formula (2): both channels are multiplied with the same $M_s$, place by place.

$$F''_0 = \begin{pmatrix} 1 & 2 \\ 1.5 & 6 \end{pmatrix}\qquad F''_1 = \begin{pmatrix} 1 & 0 \\ 1 & 1.5 \end{pmatrix}$$

Check one entry by yourself before you go on: where does the 6 come from?
"""

# %%
f = np.array([[[[4.0, 8.0], [12.0, 16.0]], [[8.0, 0.0], [16.0, 8.0]]]])
m_c = np.array([0.5, 0.25]).reshape(1, 2, 1, 1)
m_s = np.array([[0.5, 0.5], [0.25, 0.75]]).reshape(1, 1, 2, 2)

f1_on_paper = np.array([[[[2.0, 4.0], [6.0, 8.0]], [[2.0, 0.0], [4.0, 2.0]]]])
f2_on_paper = np.array([[[[1.0, 2.0], [1.5, 6.0]], [[1.0, 0.0], [1.0, 1.5]]]])
assert f2_on_paper[0, 0, 1, 1] == 16 * m_c[0, 0, 0, 0] * m_s[0, 0, 1, 1]  # the 6
for name, x in (("F", f), ("M_c", m_c), ("M_s", m_s), ("F′", f1_on_paper), ("F″", f2_on_paper)):
    print(f"{name:4}{x.shape}")

# %% [markdown]
r"""
## In loops

Each index of $F$ is visited once. The map is read **without** the indices that it does not have: $M_c$
knows nothing of $i, j$, and $M_s$ nothing of $c$. That is all there is to $\otimes$:

$$F'[n,c,i,j] = M_c[n,c]\; F[n,c,i,j] \qquad F''[n,c,i,j] = M_s[n,i,j]\; F'[n,c,i,j]$$
"""

# %%
N, C, H, W = f.shape
f1, f2 = np.zeros(f.shape), np.zeros(f.shape)
for n, c, i, j in np.ndindex(N, C, H, W):
    f1[n, c, i, j] = m_c[n, c, 0, 0] * f[n, c, i, j]  # (1)
    f2[n, c, i, j] = m_s[n, 0, i, j] * f1[n, c, i, j]  # (2)

assert np.array_equal(f1, f1_on_paper)
assert np.array_equal(f2, f2_on_paper)

# %% [markdown]
r"""
## In one line each

NumPy compares shapes from the right. Where one array has length 1 and the other has not, it behaves as
if the single entry were repeated. So `(1, 2, 1, 1) * (1, 2, 2, 2)` reads the gate of channel $c$ at
every place, and `(1, 1, 2, 2) * (1, 2, 2, 2)` reads the gate of a place in every channel.
"""

# %%
assert np.array_equal(m_c * f, f1)
assert np.array_equal(m_s * f1, f2)


# %% mystnb={"image": {"alt": "Two rows of number grids, one for each channel, from F to F double prime."}}
def grid(ax, values, title, **style):
    """A small matrix with its numbers written in; the larger, the darker."""
    ax.imshow(values, cmap="Blues", **style)
    for (i, j), value in np.ndenumerate(values):
        ax.text(j, i, f"{value:g}", ha="center", va="center", color="white" if value > 0.7 * style["vmax"] else "black")
    ax.set(xticks=[], yticks=[], title=title)


stages = (
    ("$F$", f, 16),
    ("$M_c$, repeated", np.broadcast_to(m_c, f.shape), 1),
    ("$F'$", f1, 16),
    ("$M_s$, repeated", np.broadcast_to(m_s, f.shape), 1),
    ("$F''$", f2, 16),
)
figure, axes = plt.subplots(C, len(stages), figsize=(9, 3.9), layout="constrained")
for column, (title, x, largest) in zip(axes.T, stages, strict=True):
    for c, ax in enumerate(column):
        grid(ax, x[0, c], title if c == 0 else "", vmin=0, vmax=largest)
for c, ax in enumerate(axes[:, 0]):
    ax.set_ylabel(f"channel {c}")
plt.show()

# %% [markdown]
r"""
Look at the second and the fourth column: the repeated $M_c$ is constant inside a channel and differs
between the rows of the figure; the repeated $M_s$ is the same in both rows and differs inside them.

Broadcasting is also a trap. Here is $M_c$ with the shape $(N, C)$, as an MLP hands it over. NumPy
aligns its last axis with **columns**, and because $C = W$ in this example it does not even complain:
"""

# %%
m_c_without_places = m_c.reshape(1, 2)
wrong = m_c_without_places * f
assert wrong.shape == f1.shape
assert not np.array_equal(wrong, f1)
print("gates ended up on the columns:\n", wrong[0])

# %% [markdown]
r"""
### Exercise 1.1 · Gates for channels

Now without the trap. You get the gates of shape $(N, C)$ and $F$ of shape $(N, C, H, W)$; return $F'$.
Replace the line that raises the error, and run the cell: the last line checks what you wrote.
"""


# %%
def gate_channels(m_c, f):
    """m_c: (N, C), numbers between 0 and 1; f: (N, C, H, W). Returns f1: (N, C, H, W)."""
    ### BEGIN SOLUTION
    return m_c[:, :, None, None] * f
    ### END SOLUTION


right = exercise_1_1.check(gate_channels)

# %% [markdown]
r"""
## In the package

The package has one function for (1) and (2), and it refuses the trap. This is its source, read from the
file that is running. `namespace` and the lines that begin with `check` only refuse what does not fit, and `total` is
a sum. The gradients in the docstring come at the end.
"""

# %%
print(inspect.getsource(cb.ops.gate))

# %%
assert np.array_equal(cb.ops.gate(m_c, f)[0], f1)
assert np.array_equal(cb.ops.gate(m_s, f1)[0], f2)
try:
    cb.ops.gate(m_c_without_places, f)
except ValueError as error:
    print("ValueError:", error)
else:
    raise AssertionError("gate took a map of the wrong shape")

# %% [markdown]
r"""
Like every operation here it returns two things: its output, and a function `backward` that turns the
gradient of the output into gradients of the inputs. We come to it at the end.

The whole block is the same pattern twice, with the maps no longer handed to us but computed. `cbam` is
formulas (1) and (2); everything inside `channel_attention` and `spatial_attention` is the matter of
later chapters.
"""

# %%
print(inspect.getsource(cb.cbam))

# %% [markdown]
r"""
Its parameters are three arrays: two matrices for the shared MLP (共享多层感知机), with the reduction
ratio $r$ (缩减比), and a convolution kernel (卷积核) of size $k$. The class `CBAM` holds them and adds
nothing else.
"""

# %%
block = cb.CBAM(channels=64, reduction=16, kernel_size=7, dtype="float64", seed=0)
print(block)
for name, value in block.params.items():
    print(f"{name:16}{value.shape}")

f = np.random.default_rng(1).standard_normal((2, 64, 14, 15))
f2 = block(f)
assert f2.shape == f.shape
for name, value in block.maps.items():
    print(f"M of {name:9}{value.shape!s:16} from {value.min():.3f} to {value.max():.3f}, mean {value.mean():.3f}")

# %% [markdown]
r"""
## A gate is not a normalisation

The document says *Sigmoid 归一化*. If $M_c$ were normalised, its entries would share something out: a
softmax would give a sum of 1. A sigmoid looks at one entry at a time, so opening one gate takes nothing
from another. What does hold: every gate lies strictly between 0 and 1 (in exact arithmetic; rounding
may reach the ends), and therefore no feature can grow,

$$|F''[n,c,i,j]| \le |F[n,c,i,j]|$$
"""

# %%
for name, m in block.maps.items():
    assert np.all((m > 0) & (m < 1)), name
    assert not np.isclose(m[0].sum(), 1), name
    assert 0.35 < m.mean() < 0.65, name
assert np.all(np.abs(f2) <= np.abs(f))

fresh = [cb.CBAM(channels=64, dtype="float64", seed=seed) for seed in range(20)]
left = [np.abs(block(f)).sum() / np.abs(f).sum() for block in fresh]
assert 0.2 < np.mean(left) < 0.3
print(f"Σ|F″| / Σ|F| for {len(left)} seeds: mean {np.mean(left):.2f}, from {min(left):.2f} to {max(left):.2f}")

# %% [markdown]
r"""
About a quarter of $F$ is left on average: on features like these the gates of an untrained block are
about one half on average, and there are two of them in a row. A fresh CBAM in a trained network begins by shrinking
the features about fourfold.

## The order matters, but not where it seems to

Multiplication commutes. If the maps were given, as in the example by hand, it would make no difference
which is applied first:
"""

# %%
m_c, m_s = block.maps["channel"], block.maps["spatial"]
assert np.allclose(m_s * (m_c * f), m_c * (m_s * f))
print("with given maps the order makes no difference")

# %% [markdown]
r"""
In the block the maps are computed, $M_c$ from $F$ and $M_s$ from $F'$. Swapping the stages changes
**what each map looks at**, and with it the result. The same holds for both maps computed from $F$ side
by side.
"""

# %%
channel_first = cb.spatial_attention(cb.channel_attention(f, block.params)[0], block.params)[0]
spatial_first = cb.channel_attention(cb.spatial_attention(f, block.params)[0], block.params)[0]
side_by_side = cb.spatial_map(f, block.params)[0] * cb.channel_map(f, block.params)[0] * f

assert np.array_equal(channel_first, f2)  # this is the block
for name, other in (("spatial first", spatial_first), ("side by side", side_by_side)):
    difference = np.abs(other - f2).max() / np.abs(f2).max()
    assert difference > 1e-3, name
    print(f"{name:15} differs by {difference:.1%} of the largest entry")

# %% [markdown]
r"""
## A photograph

Now something to look at: a cat, and sixteen fixed filters that turn its photograph into feature maps,
as the first layer of a network would. Every filter has a name, so that every channel means something.
`tour` is the module behind the command `cbam-np tour`.
"""

# %%
print(inspect.getsource(tour.features))

# %% mystnb={"image": {"alt": "Sixteen small grey images of a cat's face, one for each filter."}}
image = tour.photograph()
names = list(tour.filters())
f = tour.features(image)
print("photograph", image.shape, "  F", f.shape)
assert f.shape == (1, 16, 150, 225)

figure, axes = plt.subplots(4, 4, figsize=(10, 7.2), layout="constrained")
for ax, name, x in zip(axes.flat, names, f[0], strict=True):
    ax.imshow(x, cmap="gray", vmin=0, vmax=np.quantile(x, 0.99), interpolation="nearest")
    ax.set(xticks=[], yticks=[], title=name)
plt.show()

# %% [markdown]
r"""
White is a strong answer. *red* is strongest on the nose, *blue* on the pupils and the background; the
four *lines* answer to fur and whiskers that run in their direction, and hardly at all to the blurred
background.
"""

# %%
channel = dict(zip(names, f[0], strict=True))
nose, background, pupil = np.s_[110:130, 115:140], np.s_[5:45, 200:225], np.s_[50:58, 85:93]
assert channel["red"][nose].max() == channel["red"].max()
assert channel["blue"][background].mean() > 2 * channel["blue"].mean()
assert channel["blue"][pupil].mean() > 2 * channel["blue"].mean()
assert all(channel[name][background].mean() < 0.2 * channel[name].mean() for name in names if "line" in name)

# %% [markdown]
r"""
### Weights

A trained block would have weights that suit a task. Initial weights suit nothing: on these features
another seed is another opinion.
"""

# %%
fresh = [cb.CBAM(16, reduction=4, dtype="float64", seed=seed) for seed in range(5)]
gates = np.stack([cb.channel_map(f, block.params)[0].ravel() for block in fresh])
widest = gates.max(axis=0) - gates.min(axis=0)
c = int(widest.argmax())
print(f"M_c of {names[c]!r} for five seeds:", gates[:, c])
assert widest[c] > 0.5

# %% [markdown]
r"""
So the weights of this walk are **set by hand**, to make the gates say something; how weights are learnt
is another matter. Each of the four hidden units of the MLP asks one question about the whole picture.
If the first group of channels outweighs the second, it opens the first group and shuts the second:
"""

# %%
params = tour.weights_by_hand()
for question, (more, less) in tour.QUESTIONS.items():
    print(f"{question + '?':28} open {', '.join(more)};  shut {', '.join(less)}")
for name, value in params.items():
    print(f"{name:16}{value.shape}")

# %% [markdown]
r"""
And the $7\times7$ kernel opens a place where the maximum over the channels is large, while their average,
taken all around the place, is small.

### The walk

All eleven formulas on this one picture, in the document's order. (1) and (2) come first because they
are the outside; (3) to (7) are the inside of (1), and (8) to (11) the inside of (2).
"""

# %%
steps = tour.walk(f, params)
for step in steps:
    print(f"{f'({step.number})':>4}  {step.formula:40}{step.value.shape}")
    print("      " + step.remark.replace("\n", "\n      "))

value = {step.number: step.value for step in steps}
f2, backward = cb.cbam(f, params)
assert np.array_equal(f2, value[2])  # the outside
assert np.array_equal(f2, value[11])  # the inside

# %% mystnb={"image": {"alt": "The cat, M_s as a map, M_c as bars, five channels before and after."}}
figure = tour.draw(image, f, steps)
figure.set_dpi(90)
display(figure)

# %% [markdown]
r"""
Top: the spatial map is widest open on the rims of the eyes, the nose and the stripes of the forehead,
where one kind of answer stands out. Middle: *bright* and *dark* are shut, lines and spots are open,
warm colours are preferred to cold ones. Bottom: what is left of five channels; *dark* is gone, whatever
$M_s$ says about a place, because the gates multiply.

What the picture shows is also true in numbers:
"""

# %%
gate_of = dict(zip(names, value[6].ravel(), strict=True))
assert max(gate_of["bright"], gate_of["dark"]) < 0.05
assert min(gate_of[name] for name in names if "line" in name or "spot" in name) > 0.7
assert gate_of["red"] > gate_of["green"]
assert gate_of["yellow"] > gate_of["blue"]

m_s = value[10][0, 0]
wide_open = m_s > 0.9
places = {"eye": np.s_[40:80, 65:105], "nose": nose, "forehead": np.s_[3:30, 113:150], "cheek": np.s_[80:110, 20:60]}
share = {name: wide_open[place].mean() for name, place in places.items()}
print(f"gates above 0.9: {wide_open.mean():.1%} of all;", ", ".join(f"{name} {s:.1%}" for name, s in share.items()))
assert min(share["eye"], share["nose"], share["forehead"]) > 3 * wide_open.mean()
assert share["cheek"] < wide_open.mean()
assert not wide_open[background].any()

# %% [markdown]
r"""
One thing in the picture is a property of formula (10) and not of our weights. Where $F'$ is zero all
around, the convolution gives 0 whatever its kernel is, since it has no bias, and
$\sigma(0) = \tfrac12$. A spatial gate can only shut a place by looking at something that is there:
"""

# %%
empty = np.zeros((1, 16, 5, 6))
assert np.all(cb.spatial_map(empty, params)[0] == 0.5)
assert np.all(cb.channel_map(empty, params)[0] == 0.5)  # the same holds for M_c: the MLP has no bias

# %% [markdown]
r"""
## Backwards

Training needs the gradient (梯度) of a loss $L$ with respect to $F$ and to the parameters. A **backward
pass** (反向传播) starts from the upstream gradient (上游梯度) $dF'' = \partial L / \partial F''$, an
array of the shape of $F''$, and works back to $dF$. For one gate it takes three lines. Start from

$$F'[n,c,i,j] = M_c[n,c]\; F[n,c,i,j]$$

An entry $M_c[n,c]$ occurs in the $HW$ products of its channel. Each of them moves $L$ by its own share,
and the shares add:

$$dM_c[n,c] = \sum_{i,j} dF'[n,c,i,j]\; F[n,c,i,j]$$

An entry $F[n,c,i,j]$ occurs in one product as a factor:

$$dF[n,c,i,j] = M_c[n,c]\; dF'[n,c,i,j] \quad + \quad \text{what } dM_c \text{ sends back through the map}$$

The second part is the fork of the first figure: $M_c$ itself was computed from $F$. Leaving it out is
the classic mistake: nothing crashes, and all shapes are right.

With the numbers that we had by hand, and an upstream gradient that is not all ones (with ones, too many
wrong gradients look right):
"""

# %%
f_by_hand = np.array([[[[4.0, 8.0], [12.0, 16.0]], [[8.0, 0.0], [16.0, 8.0]]]])
m_c_by_hand = np.array([0.5, 0.25]).reshape(1, 2, 1, 1)
d_f1 = np.array([[[[1.0, 0.0], [0.0, -1.0]], [[0.0, 2.0], [1.0, 0.0]]]])

_, gate_backward = cb.ops.gate(m_c_by_hand, f_by_hand)
d_m_c, d_f = gate_backward(d_f1)
assert d_m_c.ravel().tolist() == [1 * 4 - 1 * 16, 2 * 0 + 1 * 16]
assert np.array_equal(d_f, m_c_by_hand * d_f1)
print("dM_c =", d_m_c.ravel())

# %% [markdown]
r"""
### Exercise 1.2 · Write the backward of the other gate

Above stand the gradients for $M_c$. Write them for formula (2), $F'' = M_s \otimes F'$, with $M_s$ handed
to you. Leave out what $dM_s$ sends back through the map: that is the matter of chapter
[8](08_the_whole_backward.ipynb). Ask first: in which products does $M_s[n,i,j]$ occur?
"""


# %%
def spatial_gate_backward(d_f2, m_s, f1):
    """d_f2: (N, C, H, W), the upstream gradient; m_s: (N, 1, H, W); f1: (N, C, H, W).

    Returns d_m_s: (N, 1, H, W) and d_f1: (N, C, H, W).
    """
    ### BEGIN SOLUTION
    d_m_s = (d_f2 * f1).sum(axis=1, keepdims=True)
    d_f1 = m_s * d_f2
    return d_m_s, d_f1
    ### END SOLUTION


right = exercise_1_2.check(spatial_gate_backward)

# %% [markdown]
r"""
For the whole block the same call gives all gradients at once, each in the shape of what it belongs to:
"""

# %%
d_f2 = np.random.default_rng(2).standard_normal(f2.shape)
d_f, grads = backward(d_f2)
assert d_f.shape == f.shape
for name, value in grads.items():
    assert value.shape == params[name].shape
    print(f"{name:16}{value.shape}")

# %% [markdown]
r"""
## And this is proved

How do we know that these numbers are the gradient? By **measuring** it. Move one entry a little, see
how much $L$ moves, compare: a gradient check (梯度检查). `cb.gradcheck` does it for single entries and
for random directions through all entries at once, in two independent ways (differences of two values,
and a step into the complex plane, which has no rounding error to speak of), under a random upstream
gradient. Chapter [9](09_checking_a_gradient.ipynb) explains both. Here is the block of this chapter, with
its weights, on every 18th row and column of the cat:
"""

# %%
report = cb.gradcheck(cb.cbam, f[:, :, ::18, ::18], params, seed=0)
assert report.ok
for row in report.rows:
    bound = {"differences": 1e-7, "complex step": 1e-12}[row.method]
    assert row.error < bound
    print(f"{row.input:24}{row.method:14}{row.compared:4} compared, largest error below {bound:g}: {row.verdict}")

# %% [markdown]
r"""
(`print(report)` shows the errors themselves, and where the worst one is. They are rounding errors, and
no two machines have quite the same.)
"""

# %% [markdown]
r"""
A check is worth something only if it can fail. Let us make the classic mistake and leave out what the
maps send back. The parameters' gradients stay right, $dF$ does not, and the report says what it looks
like:
"""


# %%
def cbam_without_the_fork(f, params):
    maps = {}
    out, backward = cb.cbam(f, params, maps=maps)

    def wrong_backward(d_out):
        _, grads = backward(d_out)
        return maps["channel"] * maps["spatial"] * d_out, grads

    return out, wrong_backward


report = cb.gradcheck(cbam_without_the_fork, f[:, :, ::40, ::40], params, seed=0)
assert not report.ok
for row in report.rows:
    error = f", largest error {row.error:.2f}\n      {row.note}" if row.verdict == "wrong" else ""
    print(f"{row.input:24}{row.method:14}{row.verdict}{error}")

# %% [markdown]
r"""
## What to remember

1. $F' = M_c \otimes F$, then $F'' = M_s \otimes F'$: two gates in a row, one number for each channel,
   then one for each place; shapes $(N,C,1,1)$ and $(N,1,H,W)$ tell you which.
2. Gates lie between 0 and 1, each by itself. They turn down and never up, and nothing sums to one.
3. Each stage uses its input twice, so its gradient has two paths, and a check with a random upstream
   gradient sees when one is missing.

**Next:** [2. Pooling over space](02_pooling_over_space.ipynb) ·
**Solutions:** [chapter 1, solved](solutions/01_the_block.ipynb)

**The code:** [gate.py](../cbam_np/ops/gating.py) · [cbam.py](../cbam_np/attention/block.py) ·
[channel.py](../cbam_np/attention/channel.py) · [spatial.py](../cbam_np/attention/spatial.py) ·
[gradcheck.py](../cbam_np/checking/thorough.py) · [tour.py](../cbam_np/commands/tour.py)

**The paper:** Woo, Park, Lee, Kweon,
[CBAM: Convolutional Block Attention Module](https://arxiv.org/abs/1807.06521), ECCV 2018, section 3.
"""
