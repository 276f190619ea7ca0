# %% [markdown]
r"""
# 0. Start here · 从这里开始

A convolutional network (卷积神经网络) turns a picture into many **feature maps** (特征图): one lights up
at edges, one at dark spots, one at red. Not all of them matter, and not everywhere. CBAM is a small block
that asks two questions: **which channel** (通道) matters, and **which place**? What matters less, it turns
down. This is called **attention** (注意力).

In this course you derive, write, check and mend the whole block, forward and backward, with arrays
alone.

**What you will learn in this chapter**

- what CBAM does, in one picture;
- how to work with these notebooks, and how the exercises answer you;
- the symbols, the formulas, and where to find each;
- what a backward pass (反向传播) is, on a single number.

**What you need:** NumPy indexing, and derivatives (导数) from school: the sum, the product, the chain.
"""

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown, display

import cbam_np as cb
from cbam_np.commands import tour
from cbam_np.course.chapter_00 import exercise_0_1, exercise_0_2
from cbam_np.course.glossary import GLOSSARY
from cbam_np.course.tables import formula_table, glossary_table
from cbam_np.reference.formulas import FORMULAS

plt.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110})
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
r"""
## CBAM in one picture

A photograph goes through 16 fixed filters. That gives 16 feature maps: $F$. CBAM makes two maps of
gates (门控), numbers between 0 and 1: one for each channel, one for each place. It multiplies both onto $F$.
The weights here are set by hand, so that there is something to see.
"""

# %%
image = tour.photograph()
f = tour.features(image)
maps = {}
f2, _ = cb.cbam(f, tour.weights_by_hand(), maps=maps)
assert f.shape == f2.shape == (1, 16, 150, 225)
assert np.allclose(f2, maps["spatial"] * maps["channel"] * f)


# %% mystnb={"image": {"alt": "A cat; 16 feature maps; 16 gates for channels; a map of gates for places; the rest."}}
def tiles(x):
    """16 maps as one picture of four rows; what is bright in F is white."""
    white = np.quantile(f[0], 0.99, axis=(1, 2), keepdims=True)
    x = np.pad(x / white, ((0, 0), (4, 4), (4, 4)), constant_values=0.5)
    return np.block([[x[4 * row + column] for column in range(4)] for row in range(4)])


figure, axes = plt.subplot_mosaic("PPPFFF;CCSSRR", figsize=(9, 5.6), height_ratios=[3, 2], layout="constrained")
gates = {"cmap": "viridis", "vmin": 0, "vmax": 1, "interpolation": "nearest"}
grey = {"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "nearest"}
pictures = {
    "P": ("a photograph", image, {}),
    "F": ("$F$: 16 channels", tiles(f[0]), grey),
    "C": ("which channel?  $M_c$", maps["channel"].reshape(4, 4), gates | {"aspect": 150 / 225}),
    "S": ("which place?  $M_s$", maps["spatial"][0, 0], gates),
    "R": ("$F'' = M_s \\otimes M_c \\otimes F$: what is left", tiles(f2[0]), grey),
}
for name, (title, picture, style) in pictures.items():
    axes[name].imshow(picture, **style)
    axes[name].set(xticks=[], yticks=[])
    axes[name].set_title(title, fontsize=10)
bar = figure.colorbar(plt.cm.ScalarMappable(plt.Normalize(0, 1), "viridis"), ax=axes["S"], shrink=0.8, ticks=[0, 1])
bar.ax.set_yticklabels(["0 shut", "1 open"])
plt.show()

# %% [markdown]
r"""
What to see: $M_c$ is one number for each of the 16 tiles of $F$, yellow for open and blue for shut; $M_s$ is one
number for each pixel; in $F''$ whole tiles have gone dark, and in the others only some places are left.

Chapter [1](01_the_block.ipynb) looks at this picture closely.

## The course

The course follows a short Chinese tutorial on CBAM, called *the document*. It has eleven formulas, and no word on
gradients. The chapters take the formulas in its order.

| | |
|---|---|
| [1. The block, from the outside](01_the_block.ipynb) | 模块的整体结构 |
| [2. Pooling over space](02_pooling_over_space.ipynb) | 空间池化 |
| [3. The shared MLP](03_the_shared_mlp.ipynb) | 共享多层感知机 |
| [4. Channel attention](04_channel_attention.ipynb) | 通道注意力 |
| [5. Pooling over channels](05_pooling_over_channels.ipynb) | 通道池化 |
| [6. The 7×7 convolution](06_the_convolution.ipynb) | 7×7 卷积 |
| [7. Its gradient](07_its_gradient.ipynb) | 卷积的梯度 |
| [8. Spatial attention and the whole backward pass](08_the_whole_backward.ipynb) | 空间注意力与完整的反向传播 |
| [9. How to check a gradient](09_checking_a_gradient.ipynb) | 如何检验梯度 |
| [10. Bug hunt](10_bug_hunt.ipynb) | 找错 |
| [11. From NumPy to CuPy](11_numpy_to_cupy.ipynb) | 从 NumPy 到 CuPy |
| [12. CBAM in PyTorch](12_cbam_in_pytorch.ipynb) | 用 PyTorch 实现 CBAM |

**A chapter goes like this.** A formula as the document prints it, then as it must be read. Small numbers on paper.
The same as loops, then as one line of NumPy, then as the package has it. Then the gradient, derived step by step; the
result stands in a box. At the end, three lines to remember.

**Run the cells in order**, with Shift+Enter. A line that begins with `assert` states something and stops if
it is false. So a chapter that runs to its end is right about its numbers.

**If you are tired**, read the text and the boxes, and do the exercises tomorrow.

## The symbols

| symbol | code | shape | what it is | 中文 |
|---|---|---|---|---|
| $N$ | `N` | | samples in the batch | 批大小 |
| $C$ | `C` | | channels | 通道数 |
| $H$, $W$ | `H`, `W` | | rows, columns | 高, 宽 |
| $r$ | `reduction` | | reduction ratio | 缩减比 |
| $k$ | `kernel_size` | | size of the kernel, 7 | 卷积核大小 |
| $F$ | `f` | $N, C, H, W$ | the features that go in | 输入特征图 |
| $F'$ | `f1` | $N, C, H, W$ | after channel attention | 经过通道注意力的特征图 |
| $F''$ | `f2` | $N, C, H, W$ | after spatial attention: what comes out | 输出特征图 |
| $M_c$ | `m_c` | $N, C, 1, 1$ | the gates for channels | 通道注意力图 |
| $M_s$ | `m_s` | $N, 1, H, W$ | the gates for places | 空间注意力图 |
| $F^c_{\text{avg}}$, $F^c_{\text{max}}$ | `avg_c`, `max_c` | $N, C$ | average, maximum per channel | 空间池化结果 |
| $F^s_{\text{avg}}$, $F^s_{\text{max}}$ | `avg_s`, `max_s` | $N, 1, H, W$ | average, maximum per pixel | 通道池化结果 |
| $W_1$ | `w1` | $C/r, C$ | first matrix of the MLP | 第一层权重 |
| $W_2$ | `w2` | $C, C/r$ | second matrix of the MLP | 第二层权重 |
| $K$ | `kernel` | $1, 2, k, k$ | the convolution kernel | 卷积核 |
| $\sigma$ | `sigmoid` | any | $1/(1+e^{-z})$, entry by entry | S 型函数 |
| $\otimes$ | `*` | | multiplication with broadcasting | 广播乘法 |
| $L$ | | one number | the loss, at the end of the network | 损失 |
| $dF$ | `d_f` | as $F$ | $\partial L / \partial F$, the gradient of $F$ | 梯度 |
| | `d_out` | as the output | the upstream gradient of an operation | 上游梯度 |

The prime in $F'$ is no derivative: $F'$ is what $F$ has become. On a function it is one: $\sigma'$ is the slope of
$\sigma$.

A cell that holds the shapes to their word:
"""

# %%
N, C, H, W, r, k = 2, 12, 5, 4, 3, 7
block = cb.CBAM(C, reduction=r, kernel_size=k, dtype="float64", seed=0)
x = np.random.default_rng(0).normal(size=(N, C, H, W))
assert block(x).shape == (N, C, H, W)
assert block.maps["channel"].shape == (N, C, 1, 1)
assert block.maps["spatial"].shape == (N, 1, H, W)
assert cb.ops.max_pool_over_space(x)[0].shape == (N, C)
assert cb.ops.max_pool_over_channels(x)[0].shape == (N, 1, H, W)
assert block.params["channel.w1"].shape == (C // r, C)
assert block.params["channel.w2"].shape == (C, C // r)
assert block.params["spatial.kernel"].shape == (1, 2, k, k)
print("all shapes as in the table")

# %% [markdown]
r"""
## How the exercises work

An exercise is a function with a stub: a line that raises an error. Put your own lines in its place and run the
cell. The last line of the cell, `exercise.check(...)`, tries your function on several inputs, with odd shapes
among them, and answers.

- `not written yet`: the stub is still there.
- `right`: done.
- `not right yet`: then it says *where* (which entry), what was *expected*, what it *got*, and often a *hint*.

Nothing is counted, nothing is stored. Try as often as you like. The solutions are in a
[notebook of their own](solutions/00_start_here.ipynb).

Here is what the checker says to a wrong answer of the exercise below. Somebody thought of one sample only:
"""


# %%
def one_sample_only(f):
    return f.shape[1], f.shape[2] * f.shape[3]


problem = exercise_0_1.problem(one_sample_only)
print(problem)
assert "hint" in problem

# %% [markdown]
r"""
### Exercise 0.1 · How many gates?

`f` has the shape $(N, C, H, W)$. How many numbers are in $M_c$, and how many in $M_s$? Look into the table of
symbols. Return two integers, `in_m_c` and `in_m_s`.
"""


# %%
def number_of_gates(f):
    """f: (N, C, H, W). Returns the number of entries of M_c and of M_s."""
    ### BEGIN SOLUTION
    N, C, H, W = f.shape
    return N * C, N * H * W
    ### END SOLUTION


right = exercise_0_1.check(number_of_gates)

# %% [markdown]
r"""
## The eleven formulas

This is a map to come back to; you need not understand it now. (In (8) and (9) $k$ counts channels.) Each formula has
a chapter, a function, and a test that compares its gradient with that of PyTorch.
"""

# %%
display(Markdown(formula_table()))
assert [formula.number for formula in FORMULAS] == list(range(1, 12))
root = Path(cb.__file__).parents[1]
for formula in FORMULAS:
    for file in (f"{formula.functions[0].rpartition('.')[0].replace('.', '/')}.py", formula.test.partition("::")[0]):
        assert (root / file).exists(), file

# %% [markdown]
r"""
## What a backward pass is

Take the smallest CBAM that there is. One number $x$, one weight $w$. The number makes its own gate:

$$z = w\,x \qquad g = \sigma(z) \qquad y = g\,x$$

$x$ occurs **twice**: it is gated, and it decides about the gate. That is what makes CBAM's gradient interesting, and
here it fits on a few lines.

### Forward, on paper

Let $x = 2$ and $w = \frac12 \ln 3 \approx 0.549$. Then $z = \ln 3$, so $e^{-z} = \frac13$:

$$g = \frac{1}{1 + \frac13} = \frac34 \qquad y = \frac34 \cdot 2 = 1.5$$

### What is asked

After $y$ the network goes on, and at its very end stands one number $L$, the loss (损失). We want to know: when $x$
moves a little, how much does $L$ move? And when $w$ does?

$$dx = \frac{\partial L}{\partial x} \qquad dw = \frac{\partial L}{\partial w}$$

We do not know what comes after $y$, and need not. Somebody tells us one number: how much $L$ moves when $y$
moves. This is the **upstream gradient** (上游梯度),

$$dy = \frac{\partial L}{\partial y}$$

Say that it is $dy = 16$. A **backward pass** turns it into $dx$ and $dw$, step by step, last step first.

### Backward, on paper

**Step 1: the product $y = g\,x$.** When $g$ moves by 1, $y$ moves by $x$. When $x$ moves by 1 and $g$ is held, $y$
moves by $g$. So

$$dg = dy \cdot x = 16 \cdot 2 = 32 \qquad dx_{\text{direct}} = dy \cdot g = 16 \cdot \tfrac34 = 12$$

**Step 2: the sigmoid $g = \sigma(z)$.** Its slope is $\sigma'(z) = g\,(1-g)$; chapter
[4](04_channel_attention.ipynb) derives it. Here it is $\frac34 \cdot \frac14 = \frac{3}{16}$:

$$dz = dg \cdot g\,(1-g) = 32 \cdot \tfrac{3}{16} = 6$$

**Step 3: the product $z = w\,x$.** As in step 1, both factors get their share:

$$dw = dz \cdot x = 6 \cdot 2 = 12 \qquad dx_{\text{gate}} = dz \cdot w = 6 \cdot 0.549 \approx 3.296$$

**Step 4: two paths meet.** $x$ moves $L$ in two ways, directly and through the gate. Both movements happen at
once, so they **add**:

$$\boxed{dx = dy\; g + dy\; x\; g\,(1-g)\; w \qquad dw = dy\; x\; g\,(1-g)\; x}$$

$$dx = 12 + 3.296 = 15.296$$

Remember step 4. *Where the forward pass forks, the backward pass adds.* It comes back in every chapter.

### In five lines

Every operation of this package has the same form. It returns its output **and** a function `backward`. That
function remembers what it needs from the way forward, takes the upstream gradient, and returns the gradients of the
inputs.
"""


# %%
def scalar_gate(x, w):
    g = 1 / (1 + np.exp(-w * x))

    def backward(d_y):
        d_z = d_y * x * g * (1 - g)
        return d_y * g + d_z * w, d_z * x

    return g * x, backward


x, w, d_y = 2.0, np.log(3) / 2, 16.0
y, backward = scalar_gate(x, w)
d_x, d_w = backward(d_y)
print(f"y {y:.3f}   d_x {d_x:.3f}   d_w {d_w:.3f}")
assert np.isclose(y, 1.5)
assert np.isclose(d_x, 15.296, atol=5e-4)
assert np.isclose(d_w, 12)

# %% mystnb={"image": {"alt": "x and w lead to z, g and y; orange arrows lead back, and two of them end at x."}}
figure, ax = plt.subplots(figsize=(8.6, 3.3), layout="constrained")
ax.set(xlim=(-0.4, 8.4), ylim=(-0.7, 3.3))
ax.axis("off")
places = {"x": (0, 0.5), "w": (0, 2.3), "z": (2.7, 2.3), "g": (5.3, 2.3), "y": (8, 0.5)}
values = {"x": "x = 2", "w": "w = 0.549", "z": "z = ln 3", "g": "g = 3/4", "y": "y = 1.5"}
for name, place in places.items():
    style = {"boxstyle": "round,pad=0.4", "facecolor": "#dbe9f6", "edgecolor": "black"}
    ax.text(*place, values[name], ha="center", va="center", bbox=style, zorder=3)
edges = (
    ("w", "z", "12", (1.35, 2.65), 0.06),
    ("x", "z", "3.296", (0.95, 1.6), 0.06),
    ("z", "g", "6", (4.0, 2.65), 0.06),
    ("g", "y", "32", (7.2, 1.75), 0.06),
    ("x", "y", "12", (4.0, 0.98), 0.06),
)
for start, end, gradient, where, bend in edges:
    for a, b, colour in ((start, end, "black"), (end, start, "#c65911")):
        arrow = {"arrowstyle": "-|>", "color": colour, "shrinkA": 32, "shrinkB": 32}
        ax.annotate("", places[b], places[a], arrowprops=arrow | {"connectionstyle": f"arc3,rad={bend}"})
    ax.text(*where, gradient, color="#c65911", ha="center", va="center", weight="bold")
ax.text(8, -0.25, "dy = 16", color="#c65911", ha="center", weight="bold")
ax.text(0, -0.25, "dx = 12 + 3.296", color="#c65911", ha="center", weight="bold")
ax.text(0, 2.9, "dw = 12", color="#c65911", ha="center", weight="bold")
ax.set_title("black: forward.  orange: the gradient that goes back along each arrow", fontsize=10)
plt.show()

# %% [markdown]
r"""
What to see: two black arrows leave $x$, so two orange ones come back to it, and $dx$ is their sum. Such a drawing
is called a **computational graph** (计算图).

### Is it right? Measure

Move $x$ a little up and a little down, and look at what $L$ does. As we know nothing of $L$ but its slope $dy$, let
$L = 16\,y$. If the derivation is right, the measured slope is $dx$.
"""

# %%
h = 1e-5
measured_x = 16 * (scalar_gate(x + h, w)[0] - scalar_gate(x - h, w)[0]) / (2 * h)
measured_w = 16 * (scalar_gate(x, w + h)[0] - scalar_gate(x, w - h)[0]) / (2 * h)
print(f"measured: {measured_x:.3f} and {measured_w:.3f}")
assert np.isclose(measured_x, d_x, rtol=1e-8)
assert np.isclose(measured_w, d_w, rtol=1e-8)

# %% [markdown]
r"""
Both agree to eight digits. And if the path through the gate is forgotten? Nothing crashes, the shape is right, and
$dx$ is 12 in place of 15.296. This is the classic mistake in CBAM.
"""

# %% mystnb={"image": {"alt": "The curve y of x; the line with both paths touches it, the line with one path cuts it."}}
t = np.linspace(0.6, 3.4, 200)
figure, ax = plt.subplots(figsize=(5.6, 3.2), layout="constrained")
ax.plot(t, scalar_gate(t, w)[0], linewidth=5, color="lightgrey", label="y")
ax.plot(t, y + (t - x) * d_x / d_y, "k--", label="slope with both paths: 0.956")
ax.plot(t, y + (t - x) * (d_y * 0.75) / d_y, "--", color="crimson", label="slope without the gate's path: 0.750")
ax.plot(x, y, "ko")
ax.set(xlabel="x", ylabel="y")
ax.legend(fontsize=8)
plt.show()
assert round(d_x / d_y, 3) == 0.956
assert 1 - 12 / d_x > 0.2

# %% [markdown]
r"""
What to see: only the line with both paths touches the curve at $x=2$; the other one is more than a fifth too flat.

### Exercise 0.2 · Write the backward of another scalar

Now $z = w\,x$, $g = e^{z}$, $y = g\,x$. Only step 2 has changed. (The derivative of $e^z$ is $e^z$.) You are given
several scalars at once, as arrays; NumPy does the same to each.
"""


# %%
def exponential_backward(d_y, x, w):
    """d_y: the upstream gradient; x, w: arrays of the same shape. Returns d_x, d_w."""
    ### BEGIN SOLUTION
    g = np.exp(w * x)
    d_g = d_y * x
    d_z = d_g * g
    return d_y * g + d_z * w, d_z * x
    ### END SOLUTION


right = exercise_0_2.check(exponential_backward)

# %% [markdown]
r"""
## From scalars to arrays

In CBAM $x$ becomes an array with four axes, $w$ becomes two matrices and a kernel. What changes?

- A gradient always has the **shape** of what it belongs to: `d_f` that of `f`, `d_w1` that of `w1`.
- One entry moves many entries of the output. All these movements add: a **sum** appears.

The rest is what you just did.

## Glossary · 术语表

All terms of the course, and the chapter where each comes first. This chapter (0) is named only where no other has
the term.
"""

# %%
display(Markdown(glossary_table()))
print(len(GLOSSARY), "terms")

# %% [markdown]
r"""
## What to remember

- CBAM multiplies two maps of gates onto the features: one gate for each channel, one for each place.
- An operation returns `out, backward`. `backward` takes the upstream gradient and returns the gradients of the inputs.
- Where the forward pass forks, the backward pass adds.

**Next:** [1. The block, from the outside](01_the_block.ipynb) ·
**Solutions:** [chapter 0, solved](solutions/00_start_here.ipynb)

**The code:** [the package](../cbam_np/__init__.py), from [arrays.py](../cbam_np/arrays.py) to
[cbam.py](../cbam_np/attention/block.py); the table of formulas is [formulas.py](../cbam_np/reference/formulas.py)

**The paper:** Woo, Park, Lee, Kweon,
[CBAM: Convolutional Block Attention Module](https://arxiv.org/abs/1807.06521), ECCV 2018.
"""
