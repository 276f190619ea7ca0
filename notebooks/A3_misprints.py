# %% [markdown]
r"""
# A3. Reading the document · 原文勘误

> **The tutorial that this course follows is short and friendly. Where must you read it with a pencil?**

Its eleven formulas have lost characters in rendering, some of its sentences can be read in two ways, and one of its claims is
false. The chapters use each formula as it must be read. This page gathers everything else: what the document has, in which
section, how to read it, and how we know.

| | |
|---|---|
| **Time** | 20 minutes, or whenever a line of the document puzzles you |
| **You need** | chapter [1](01_the_block.ipynb) |
| **You build** | nothing: you learn to read the document with a pencil |

## All formulas, side by side
"""

# %% tags=["hide-input"]
import numpy as np
from IPython.display import Markdown, display

import cbam_np as cb
from cbam_np.course import pictures_b
from cbam_np.reference.formulas import FORMULAS

rows = [f"| ({x.number}) | ${x.document}$ | ${x.as_read}$ | {', '.join(x.shape)} |" for x in FORMULAS]
display(Markdown("\n".join(["| no. | the document | as it must be read | shape |", "|---|---|---|---|", *rows])))

# %% [markdown]
r"""
## Section 1 · CBAM 的整体结构

**The dot, (1), (2), (7), (11).** It isn't a matrix product and not a scalar product. It multiplies entry by entry, with
broadcasting (广播), and is written $\otimes$ here. *How we know:* the shapes allow nothing else.

**CAM and SAM, (1), (2).** In the formulas $\text{CAM}(F)$ is the map $M_c$; in the text CAM is the whole module, which includes
the multiplication. Taken both ways at once, $F$ would be multiplied in twice. *How we know:* (7) says $F' = M_c \cdot F$.

## Section 2 · 通道注意力机制(Channel Attention)

**"通道维度上的全局特征".** Pooling (池化) is said to give global features "over the channel dimension". It runs over rows and
columns and leaves one number **for each channel**. *How we know:* the result is in $\mathbb{R}^C$.

**Lost underscores, (3), (4), (6).** `\mathbf{F}{\text{avg}}^c`, `\sum{i=1}`, `\max{i \in H}`, `\mathbf{M}c` are
$F^c_{\text{avg}}$, $\sum_{i=1}$, $\max_{i}$, $M_c$. In (6) the superscript $c$ is missing from both pooled vectors.

**Sizes as sets, (4), (9).** $i \in H$ and $k \in C$ treat numbers as sets. The indices run from 1 to $H$, and from 1 to $C$.

**Two kinds of index, (3), (4) against (8), (9).** $\mathbf{F}(i,j)$ is a vector of $C$ numbers at one pixel (像素). So the maximum
in (4) is taken **for each channel**, and not over all. $\mathbf{F}_k$ in (8) and (9) is a slice of $H \times W$ numbers. With all
indices written, $F[n,c,i,j]$, nothing is left to guess. (In this course the index over channels is $c$; $k$ is the size of the
kernel.)

**$\sigma$, (5) against (6) and (10).** In (5) it's the ReLU, in (6) and (10) the sigmoid; the document explains neither. In the
paper $\sigma$ is always the sigmoid, and the ReLU is named in words. It matters:
"""

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two curves: the ReLU has a corner and no bound, the sigmoid runs between 0 and 1."}}
z = np.linspace(-4, 4, 200)
pictures_b.two_curves(z, {"σ of (5): the ReLU": np.maximum(z, 0), "σ of (6), (10): the sigmoid": 1 / (1 + np.exp(-z))})

# %% [markdown]
r"""
**The MLP without shapes, (5).** No shapes, no reduction ratio, no word on biases. $W_1$ is $(C/r, C)$ and $W_2$ is $(C, C/r)$, with
$r = 16$ in the paper and no bias. The paper calls the same two matrices $W_0$ and $W_1$; this course keeps the document's names.

**A step that isn't shown, between (6) and (7).** The map lies in $\mathbb{R}^C$, and then it multiplies an array of $C \times H \times
W$. The paper has $\mathbb{R}^{C\times1\times1}$ and reshapes. Without the reshape NumPy would line the channels up with the columns.

**"归一化", (7), (11).** The sigmoid is called a normalisation. It doesn't normalise: it looks at one entry and not at the others, and
nothing adds up to 1. It **gates**. Each gate (门控) lies between 0 and 1, so the block can only shrink: $|F''| \le |F|$.
"""

# %%
rng = np.random.default_rng(0)
f = rng.normal(size=(2, 6, 5, 7))
block = cb.CBAM(6, reduction=2, dtype="float64", seed=0)
f2 = block(f)
m_c, m_s = block.maps["channel"], block.maps["spatial"]
print("the channel gates of sample 0 add up to", f"{m_c[0].sum():.2f}")
assert abs(m_c[0].sum() - 1) > 1
assert (np.abs(f2) <= np.abs(f)).all()

# %% [markdown]
r"""
## Section 3 · 空间注意力机制(Spatial Attention)

**"通道注意力增强了通道之间的相关性".** Channel attention is said to strengthen the correlation (相关性) between channels. It *uses* relations
between them to compute the gates. A gate multiplies a channel by one positive number, and that doesn't change a correlation at all:
"""

# %%
f1, _ = cb.channel_attention(f, block.params)
before, after = (np.corrcoef(x[0].reshape(6, -1)) for x in (f, f1))
print("largest change of a correlation between two channels:", "0" if np.abs(before - after).max() < 1e-12 else "more")
assert np.abs(before - after).max() < 1e-12

# %% [markdown]
r"""
**"在空间维度上进行", GAP and GMP along the channels.** Here, too, the axes have changed places in the text: (8) and (9) reduce
**channels** and leave one number for each pixel. Nothing in this section is *global* (全局) pooling.

**$F$ for $F'$, (8), (9).** The formulas pool $\mathbf{F}$; they must pool $F'$, as (2) says. The shapes allow both, and a gradient
check can't decide: if forward and backward both use $F$, they agree with each other. Block F of the [bug hunt](09_bug_hunt.ipynb)
is exactly this. *How we know:* from (2), from the list at the end of section 3 that begins with *输入:F′*, and from the paper.

**A lost subscript, (8).** `\mathbf{F}k` is $\mathbf{F}_k$, and `\sum{k=1}` is $\sum_{k=1}$.

**The convolution, (10).** `\text{Conv}{7 \times 7}` is $\text{Conv}_{7\times7}$; and padding, stride and bias are missing. Padding
3 and stride 1, since otherwise $M_s$ wouldn't fit $F'$; no bias.

**The order of the concatenation (拼接), (10).** The document and the paper's text have [avg; max]. The code that the authors released
has [max; avg], a batch norm after the convolution (卷积), and biases in the MLP. Chapter [12](12_cbam_in_pytorch.ipynb) loads
its weights: swap the kernel's two channels **and** fold the batch norm.

## Section 4 · CBAM 的优点

**"CBAM 计算量更小" is false.** CBAM does all that SE does, and more: $2C^2/r + 2k^2$ parameters against $2C^2/r$, and
$4C^2/r + 2k^2HW$ multiply-adds (乘加) against $2C^2/r$. What is true: both are small compared with the network around them. Chapter
[11](11_what_was_measured.ipynb) counts it.

**Stronger features; better at classification, detection and so on.** These are claims about experiments. Chapter 11 says what
was measured here, and what wasn't.

## Section 5 · PyTorch 实现 CBAM

**Empty.** Below the title there is `| |`. Chapter 12 supplies the code.

## What the document doesn't mention

| left out | what this course does |
|---|---|
| the backward pass (反向传播) | chapters 2 to 7 |
| how the weights start | uniform in $\pm1/\sqrt{\text{number of inputs}}$, as PyTorch's linear layers |
| ties (并列) in a maximum | the first entry gets the gradient, as in the authors' code |
| where the block goes in a residual network | in the branch, after the last batch norm, before the addition |
| that a fresh block shrinks its input to about a quarter | chapter 12 |

**The code:** [formulas.py](../cbam_np/reference/formulas.py), both forms of each formula

**The paper:** Woo, Park, Lee, Kweon,
[CBAM: Convolutional Block Attention Module](https://arxiv.org/abs/1807.06521).
"""
