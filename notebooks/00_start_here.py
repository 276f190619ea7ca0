# %% [markdown]
r"""
# 0. Start here · 从这里开始

> **Where should a network look, and can it learn to decide that by itself?**
"""

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown, display

import cbam_np as cb
from cbam_np.course import answer, check, pictures_a
from cbam_np.course.glossary import GLOSSARY
from cbam_np.course.learned_maps import moving_maps, numbers
from cbam_np.course.tables import formula_table, glossary_table

plt.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110})
np.set_printoptions(precision=3, suppress=True)
learned = numbers()
moving_maps()

# %% [markdown]
r"""
Each of these five pictures holds one handwritten digit, among scraps of other digits. A small convolutional network
(卷积神经网络) learns to say which digit it is. Nobody tells it where the digit is.

Look at the middle row. It is a map of **gates** (门控): one number between 0 (dark, shut) and 1 (yellow, open) for
every place. The network computes this map from the picture, and multiplies what it sees by it. At the start all
gates are about one half. After 752 steps they are open on the digit, and often on scraps that touch it, and dark beside
the strokes. The bottom row lays the map over the picture. This is called **attention** (注意力).

The block that does it is **CBAM**, the Convolutional Block Attention Module. It computes two such maps: one says
*which place* matters; the other one, which you can't see here, says *which channel* matters. A channel (通道) is one of
the network's feature maps (特征图): one may respond to upright strokes, another to dark spots.

How good is the map? Here is its mean gate on the digit's ink, and elsewhere, over 600 pictures that the network was not
trained on.
"""

# %% tags=["hide-input"] mystnb={"image": {"alt": "A map at four moments of the training; the gates on the digit rise and part from the others."}}
pictures_a.learning(learned, scene=1)
before, after = 0, -1
for name, t in (("before", before), ("after", after)):
    on, off = learned["on"][t], learned["off"][t]
    print(
        f"{name} training: gates on the digit {on:.2f}, elsewhere {off:.2f}; {learned['accuracy'][t]:.0%} read correctly"
    )
assert learned["step"][after] == 752
assert abs(learned["on"][before] - 0.5) < 0.01
assert abs(learned["off"][before] - 0.5) < 0.01
assert learned["on"][after] > 0.9
assert 0.5 < learned["off"][after] < 0.65
assert learned["accuracy"][after] > 0.9

# %% [markdown]
r"""
On the digit the gates are nearly open, elsewhere they average a little more than one half. A word of caution: this is
one network, and one run, the clearest of several that we tried. In another run, with a higher learning rate, the gates ended up open almost everywhere, and the
network read nearly as well.
Whether attention *helps* is a different question; chapter 11 reports what was measured.

| | |
|---|---|
| **Time** | 40 minutes |
| **You need** | NumPy arrays and their axes; derivatives (导数) from school: the sum, the product, the chain rule. Chapter 3 uses matrix products. Each chapter says at the top what else it needs. No GPU. No knowledge of PyTorch before chapter 12. |
| **You build** | nothing yet: you take a backward pass apart, on a single number |

## What you will have at the end

You will write this block yourself: a file, `my_cbam.py`, with sixteen functions, none of them longer than twenty lines.
No deep-learning library, nothing but NumPy. Forward, and **backward**: every gradient (梯度) derived by hand, and checked
by a gradient check that you also write yourself. In chapter 10 your block goes into a network, the network trains, and
you watch *its* maps learn.

| | chapter | time | you build |
|---|---|---|---|
| 0 | Start here | 40 min | |
| 1 | [The block, from the outside](01_the_block.ipynb) · 模块的整体结构 | 70 min | the gradient check |
| 2 | [Pooling](02_pooling.ipynb) · 池化 | 75 min | four poolings |
| 3 | [The shared MLP](03_the_shared_mlp.ipynb) · 共享多层感知机 | 70 min | ReLU and MLP |
| 4 | [Channel attention](04_channel_attention.ipynb) · 通道注意力 | 75 min | sigmoid, gate, channel attention |
| 5 | [The 7×7 convolution](05_the_convolution.ipynb) · 7×7 卷积 | 70 min | im2col, the convolution forward |
| 6 | [Its gradient](06_its_gradient.ipynb) · 卷积的梯度 | 90 min | col2im, its backward, spatial attention |
| 7 | [The whole backward pass](07_the_whole_backward.ipynb) · 完整的反向传播 | 50 min | **your CBAM** |
| 8 | [Checking a gradient](08_checking_a_gradient.ipynb) · 梯度检查 | 60 min | a test of your own check |
| 9 | [Bug hunt](09_bug_hunt.ipynb) · 找错 | 60 min | repairs of seven blocks |
| 10 | [Training](10_training.ipynb) · 训练 | 45 min | a network with your block in it |
| 11 | [What was measured](11_what_was_measured.ipynb) · 实验结果 | 45 min | a judgement |
| 12 | [CBAM in PyTorch](12_cbam_in_pytorch.ipynb) · 用 PyTorch 实现 CBAM | 45 min | your backward inside PyTorch |
| | **together** | **about 800 min** | two long days, or two weekends |

Four appendices: [from NumPy to CuPy](A1_numpy_to_cupy.ipynb), [path statistics](A2_paths.ipynb),
[the document's misprints](A3_misprints.ipynb), and [why the derivation pays](A4_fused.ipynb).

**The document.** The course follows a short Chinese tutorial on CBAM, called *the document*. It has eleven formulas and
not a word on gradients. Each formula is shown as it must be read; the document's own form is folded away beside it.

## How my_cbam.py works

`make learn` opens a folder of your own, `my-course/`, with these notebooks and the file `my_cbam.py`. Open it beside the
notebook. It holds sixteen functions like this one:

```python
def relu(x):
    ...the formula, the shapes...
    raise NotImplementedError("not written yet")
```

When a chapter asks for one, replace its last line with your own code, save the file, and run the cell with
`check`:
"""

# %%
check("relu")

# %% [markdown]
r"""
`check` rereads your file each time, runs your function on several inputs, and says what differs: the shape, or
which entry, with the value it expected and the value it got. If one small change would make your function right, it says
in which line. `check("relu", hint=2)` goes one hint further. You can try as often as you like, and no update of the course ever touches your file. In a terminal, `cbam-np course` shows how far
you are.

Twelve of the sixteen functions follow one rule, and so do the operations of the package. (The other four are the two of
the gradient check, and two that only copy numbers.)

> An operation returns its output **and** a function `backward`. `backward` takes the gradient of the output and returns
> the gradients of the inputs.

Stuck for more than twenty minutes? A complete file is in [solutions](solutions/my_cbam.py). Type it rather than copy it.

An `assert` in a cell states a fact, and stops the chapter if the fact is wrong. So if a chapter runs to its end, its
numbers are right. You will also meet questions like this one. Think first, then open:

<details><summary>Why can't a gate of 0 simply delete a channel for good?</summary>

Because gates are computed anew for every picture. A channel that is shut for one picture may be open for the next one.
</details>

And sometimes a short answer to type in place of the three dots:

**0.1** Let `f` have the shape $(2, 64, 14, 15)$: two pictures, 64 channels, 14 rows, 15 columns. How many numbers are
there in $M_c$, one gate for each channel of each picture? And in $M_s$, one gate for each place of each picture? Type a
pair, such as `(10, 20)`.
"""

# %%
answer("0.1", ...)  # solved: (128, 420)

# %% [markdown]
r"""
## A backward pass, on a single number

Here is the smallest CBAM there is. One number $x$, one weight $w$. The number makes its own gate:

$$s = w\,x \qquad g = \sigma(s) = \frac{1}{1 + e^{-s}} \qquad y = g\,x$$

$x$ is used **twice**: it is multiplied by the gate, and it decides how far the gate opens. That is what makes CBAM's
gradient interesting, and here it fits on a few lines.

**Forward, on paper.** Let $x = 3$ and $w = \frac13 \ln 3 \approx 0.366$. Then $s = \ln 3$, so $e^{-s} = \frac13$, and
$g = \frac{1}{1 + 1/3} = \frac34$. The output is $y = \frac34 \cdot 3 = 2.25$.

**What we want.** After $y$ the network goes on, and at its very end there is one number $L$, the **loss** (损失). If $x$
moves a little, how much does $L$ move? That slope is the gradient of $x$, and we write it $dx = \partial L / \partial x$.
Likewise $dw$.

We don't know what comes after $y$, and we don't have to. All we need is one number that comes back from there:
$dy = \partial L / \partial y$, the **upstream gradient** (上游梯度). Say it is 16. A **backward pass** (反向传播) turns it into
$dx$ and $dw$, one step at a time, last step first.

1. The product $y = g\,x$. If $g$ moves by 1, $y$ moves by $x$; if $x$ moves by 1 while $g$ is held fixed, $y$ moves by
   $g$. So $dg = dy \cdot x = 48$. And $x$ gets its first part, $dy \cdot g = 12$, on the **direct path**, through the
   product itself.
2. The sigmoid. Its slope is $g\,(1-g) = \frac{3}{16}$ (chapter [4](04_channel_attention.ipynb) derives it). So
   $ds = 48 \cdot \frac{3}{16} = 9$.
3. The product $s = w\,x$. As in step 1, $dw = ds \cdot x = 27$. And $x$ gets its second part, $ds \cdot w \approx 3.296$, on
   the **map path**: through the gate, which is the whole map here.
4. Two paths have arrived at $x$. Both movements happen at once, so they **add**: $dx = 12 + 3.296 = 15.296$.
"""

# %% mystnb={"image": {"alt": "x and w lead to s, g and y; red arrows lead back, and two of them end at x."}}
pictures_a.scalar_graph()

# %% [markdown]
r"""
Two arrows leave $x$, so two red ones come back, and $dx$ is their sum. *Where the forward pass forks, the backward
pass adds.* If you remember one sentence from this course, make it this one.

In code it is one function with another one inside. `backward` can see `x`, `w` and `g`, because Python lets an inner
function use the variables around it.
"""


# %%
def scalar_gate(x, w):
    g = 1 / (1 + np.exp(-w * x))
    y = g * x

    def backward(d_y):
        d_g = d_y * x
        d_s = d_g * g * (1 - g)
        d_x = d_y * g + d_s * w
        d_w = d_s * x
        return d_x, d_w

    return y, backward


x, w, d_y = 3.0, np.log(3) / 3, 16.0
y, backward = scalar_gate(x, w)
d_x, d_w = backward(d_y)
print(f"y {y:.3f}   d_x {d_x:.3f}   d_w {d_w:.3f}")
assert np.allclose([y, d_x, d_w], [2.25, 15.296, 27], atol=5e-4)

# %% [markdown]
r"""
### Is it right? Measure

Move $x$ a little up and a little down, and see what $L$ does. All we know about $L$ is its slope $dy$, so let $L = 16\,y$.
"""

# %%
eps = 1e-5
measured = 16 * (scalar_gate(x + eps, w)[0] - scalar_gate(x - eps, w)[0]) / (2 * eps)
print(f"measured {measured:.6f}, derived {d_x:.6f}")
assert np.isclose(measured, d_x, rtol=1e-8)

# %% [markdown]
r"""
And if you forget the map path? Nothing crashes and the shape is right. But $dx$ is 12 instead of 15.296, more than a
fifth too small. This is the classic mistake in CBAM.
"""

# %% mystnb={"image": {"alt": "The curve y of x. The line with both paths touches it; the line with one path cuts it."}}
pictures_a.two_tangents(lambda t: scalar_gate(t, w)[0], x, right=d_x / d_y, wrong=12 / d_y)
assert 1 - 12 / d_x > 0.2

# %% [markdown]
r"""
**0.2** Your turn, with a pencil: $x = 1$, $w = -\ln 3$, and again $dy = 16$. What is $dx$? (To two decimals.)
"""

# %%
answer("0.2", ...)  # solved: 0.70

# %% [markdown]
r"""
In CBAM, $x$ becomes an array with four axes, and $w$ becomes two matrices and a kernel. Only two things change. A gradient
has the **shape** of the array it belongs to: `d_f` that of `f`, `d_w1` that of `w1`. And one entry of the input moves
many entries of the output, so their contributions add up, and sums appear. The rest is what you just did.

## The symbols

A symbol nearly always has one meaning in the whole course. Where a chapter needs one of them for something else, it says
so.

| symbol | code | shape | what it is | 中文 |
|---|---|---|---|---|
| $N$; $n$ | `N`; `n` | | samples in the batch; one of them | 批大小 |
| $C$; $c$ | `C`; `c` | | channels; one of them | 通道数 |
| $H, W$; $i, j$ | `H, W`; `i, j` | | rows, columns; the row and column of a pixel | 高, 宽 |
| $r$; $q$ | `reduction`; `q` | | reduction ratio: the MLP has $C/r$ hidden units; one of them | 缩减比 |
| $k$; $a, b$ | `k`; `a, b` | | kernel size, 7; a place in the $k \times k$ window | 卷积核大小 |
| $F$ | `f` | $N, C, H, W$ | the features that go into the block | 输入特征图 |
| $F'$ | `f1` | $N, C, H, W$ | after channel attention | 经过通道注意力的特征图 |
| $F''$ | `f2` | $N, C, H, W$ | after spatial attention: the output of the block | 输出特征图 |
| $M_c$ | `m_c` | $N, C, 1, 1$ | the gates for channels | 通道注意力图 |
| $M_s$ | `m_s` | $N, 1, H, W$ | the gates for places | 空间注意力图 |
| $F^c_{\text{avg}}$, $F^c_{\text{max}}$ | `avg_c`, `max_c` | $N, C$ | average, maximum of each channel | 空间池化结果 |
| $F^s_{\text{avg}}$, $F^s_{\text{max}}$ | `avg_s`, `max_s` | $N, 1, H, W$ | average, maximum at each pixel | 通道池化结果 |
| $W_1$, $W_2$ | `w1`, `w2` | $C/r, C$; $C, C/r$ | the two matrices of the MLP | 两层的权重 |
| $z$, $h$ | `z`, `h` | $N, C/r$ | the hidden layer of the MLP, before and after the ReLU | 隐藏层 |
| $K$ | `kernel` | $1, 2, k, k$ | the convolution kernel | 卷积核 |
| $s$, $u$ | `s`, `u` | $N, C$; $N, 1, H, W$ | what goes into the sigmoid, for channels and for places | |
| $\sigma$ | `sigmoid` | any | $1/(1+e^{-s})$, entry by entry | S 型函数 |
| $x$; out | `x`; `out` | | the input and the output of the operation at hand | |
| $\otimes$, $\odot$ | `*` | | multiplication with broadcasting; of equal shapes | 广播乘法 |
| $L$ | | one number | the loss, at the end of the network | 损失 |
| $dF$ | `d_f` | as $F$ | $\partial L / \partial F$, the gradient of $F$; $dW_1$, $dM_c$, … likewise | 梯度 |
| $dF_{\text{direct}}$, $dF_{\text{map}}$ | `d_f_direct`, `d_f_map` | as $F$ | the two parts of $dF$: on the direct path and on the map path | |
| | `d_out` | as the output | the upstream gradient of an operation | 上游梯度 |

The prime in $F'$ is not a derivative: $F'$ is what $F$ has become. On a function, the prime means the derivative: $\sigma'$ is the slope
of $\sigma$. The small $c$ and $s$ at the top of $F^c_{\text{avg}}$ and $F^s_{\text{avg}}$ are names, "for channels" and
"for space", not powers. The next cell checks the shapes.
"""

# %%
N, C, H, W, r, k = 2, 12, 5, 4, 3, 7
block = cb.CBAM(C, reduction=r, kernel_size=k, dtype="float64", seed=0)
f = np.random.default_rng(0).normal(size=(N, C, H, W))
assert block(f).shape == (N, C, H, W)
assert block.maps["channel"].shape == (N, C, 1, 1)
assert block.maps["spatial"].shape == (N, 1, H, W)
assert cb.ops.max_pool_over_space(f)[0].shape == (N, C)
assert cb.ops.max_pool_over_channels(f)[0].shape == (N, 1, H, W)
assert block.params["channel.w1"].shape == (C // r, C)
assert block.params["channel.w2"].shape == (C, C // r)
assert block.params["spatial.kernel"].shape == (1, 2, k, k)
print("all shapes as in the table")

# %% [markdown]
r"""
## The eleven formulas

Come back to this table later; you don't need to understand it now.
"""

# %%
display(Markdown(formula_table()))

# %% [markdown]
r"""
## Glossary · 术语表

The terms of the course, each with the chapter where it first occurs. (Chapter 0 is given only for terms that no other chapter
uses.)
"""

# %%
display(Markdown(glossary_table()))
print(len(GLOSSARY), "terms")

# %% [markdown]
r"""
## What you built

So far, only a backward pass for one number, by hand, and a measurement that shows it is right. You will do both again
for arrays, twelve times.

**Next:** [1. The block, from the outside](01_the_block.ipynb)

**The paper:** Woo, Park, Lee, Kweon,
[CBAM: Convolutional Block Attention Module](https://arxiv.org/abs/1807.06521), ECCV 2018.
"""
