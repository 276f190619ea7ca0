# %% [markdown]
r"""
# 7. The whole backward pass · 完整的反向传播

> **A gradient arrives at the end of the block. How does it get back to $F$ and to all three parameters, and by how many routes?**
"""

# %% tags=["hide-input"] mystnb={"image": {"alt": "Both stages as graphs: plain arrows forward, coloured arrows backward with the numbers 1 to 16."}}
import numpy as np
import torch

import cbam_np as cb
from cbam_np.course import answer, check, pictures_b
from cbam_np.course.own_function import own_function
from cbam_np.pytorch import from_arrays
from cbam_np.reference.loops import cbam_loops

pictures_b.whole_backward()

# %% [markdown]
r"""
What to see: plain arrows are the forward pass (前向传播), coloured ones the backward pass. A number in parentheses is a formula, a
number in a circle is a line of the table below. Where several coloured arrows end in one box, their gradients (梯度) add up:
three at $F'$ in the lower graph, three at $F$ in the upper one. ($h$ stands for both hidden vectors.)

| | |
|---|---|
| **Time** | about 50 minutes |
| **You need** | chapters [2](02_pooling.ipynb) to [6](06_its_gradient.ipynb): each of the table's lines comes from one of them |
| **You build** | `cbam`, the last of the sixteen functions |

## The two formulas

$$F' = M_c(F) \otimes F \qquad (1)$$

$$F'' = M_s(F') \otimes F' \qquad (2)$$

<details><summary>The document's own form, and how to read it</summary>

Section 1, *CBAM 的整体结构*: $\mathbf{F’} = \text{CAM}(\mathbf{F}) \cdot \mathbf{F}$ and $\mathbf{F’’} = \text{SAM}(\mathbf{F’})
\cdot \mathbf{F’}$. CAM and SAM are the two maps here, and the dot is $\otimes$, multiplication entry by entry with
broadcasting (广播). All such points are on [one page](A3_misprints.ipynb).

</details>

$F''$ depends on $F$ through $F'$ alone. So the backward pass is a chain (链):

$$\boxed{dF'' \;\to\; dF' \;\to\; dF}$$

Both arrows have the same form. A product has two factors, so the gradient has two paths (路径). The **direct path** goes
through the product itself, with the map as a factor. The **map path** goes through the map; it is the average path and the
maximum path together.

$$dF' = \underbrace{M_s \otimes dF''}_{dF'_{\text{direct}}} +
\underbrace{\left(\frac{\partial M_s}{\partial F'}\right)^{\!\top} dM_s}_{dF'_{\text{map}}} \qquad\qquad
dF = \underbrace{M_c \otimes dF'}_{dF_{\text{direct}}} +
\underbrace{\left(\frac{\partial M_c}{\partial F}\right)^{\!\top} dM_c}_{dF_{\text{map}}}$$

The second arrow starts from the **whole** $dF'$. Add both of its paths first, or part of it is lost.

**7.1** That fraction with the $\top$ is only a name. Nobody builds this matrix; you go back step by step instead. How many
entries would it have? For one sample of $64 \times 56 \times 56$, $\partial M_s / \partial F'$ has a row for each pixel of the map and a
column for each entry of $F'$.
"""

# %%
answer("7.1", ...)  # solved: 629_407_744

# %% [markdown]
r"""
## Write the block

Open `my_cbam.py` and write `cbam(f, w1, w2, kernel)`. You have `channel_attention` and `spatial_attention`, each with its
backward. What's left is to call them in order, and to think about the order in the backward.
"""

# %%
check("cbam")

# %% [markdown]
r"""
Now let **your** check judge **your** block. (Other features and weights will do as well.)
"""

# %% tags=["varies"]
block = cb.CBAM(4, reduction=2, dtype="float64", seed=7)
some = np.random.default_rng(7).normal(size=(2, 4, 5, 6))
my_cbam, my_check = own_function("cbam"), own_function("largest_error")
error = my_check(my_cbam, some, *block.params.values())
print(f"largest error {error:.0e}")
assert error < 1e-7

# %% [markdown]
r"""
That is rounding: anything from $10^{-10}$ to $10^{-7}$ is fine, depending on your step. If a gradient were wrong, it would be
far more.

<details><summary>Think first: why does your backward need neither M_c nor M_s by name?</summary>

Because the two stages keep what they need. Each backward is a closure: it remembers the arrays of its own forward pass. The
block only passes gradients on.

</details>

## All of it on one page

Now unfold everything. The names, in the order of the forward pass:

| forward | of | shape |
|---|---|---|
| $F^c_{\text{avg}},\; F^c_{\text{max}}$ | (3), (4) | $N, C$ |
| $z_{\text{avg}} = F^c_{\text{avg}} W_1^{\top}$, likewise $z_{\text{max}}$ | (5) | $N, C/r$ |
| $h_{\text{avg}} = \text{ReLU}(z_{\text{avg}})$, likewise $h_{\text{max}}$ | (5) | $N, C/r$ |
| $s = (h_{\text{avg}} + h_{\text{max}})\, W_2^{\top}$, $\;M_c = \sigma(s)$ | (5), (6) | $N, C$ |
| $F' = M_c \otimes F$ | (7), (1) | $N, C, H, W$ |
| $x = [F^s_{\text{avg}};\, F^s_{\text{max}}]$ | (8), (9) | $N, 2, H, W$ |
| $u = \text{Conv}(x, K)$, $\;M_s = \sigma(u)$ | (10) | $N, 1, H, W$ |
| $F'' = M_s \otimes F'$ | (11), (2) | $N, C, H, W$ |

And the backward pass, line by line. $[\dots]$ is 1 where the condition holds, else 0; "$+\!=$" adds to what is there.
$c^*$ is the largest channel of a pixel, $(i^*,j^*)$ the largest pixel of a channel.

| line | | of | chapter |
|---|---|---|---|
| 1 | $dM_s[n,i,j] = \sum_c dF''[n,c,i,j]\, F'[n,c,i,j]$ | (11), (2) | 6 |
| 2 | $dF' = M_s \otimes dF''$ | (11), (2) | 6 |
| 3 | $du = dM_s \odot M_s \odot (1 - M_s)$ | (10) | 6 |
| 4 | $dK[c,a,b] = \sum_{n,i,j} du[n,i,j]\, x_{\text{pad}}[n,c,i+a,j+b]$ | (10) | 6 |
| 5 | $dx_{\text{pad}}[n,c,i+a,j+b] \mathrel{+}= K[c,a,b]\, du[n,i,j]$, then cut off the padding | (10) | 6 |
| 6 | $dF'[n,c,i,j] \mathrel{+}= \frac1C\, dx[n,0,i,j]$ | (8) | 2 |
| 7 | $dF'[n,c,i,j] \mathrel{+}= dx[n,1,i,j]\, [c = c^*]$ | (9) | 2 |
| 8 | $dM_c[n,c] = \sum_{i,j} dF'[n,c,i,j]\, F[n,c,i,j]$ | (7), (1) | 4 |
| 9 | $dF = M_c \otimes dF'$ | (7), (1) | 4 |
| 10 | $ds = dM_c \odot M_c \odot (1 - M_c)$ | (6) | 4 |
| 11 | $dW_2 = ds^{\top} (h_{\text{avg}} + h_{\text{max}})$ | (5), (6) | 3 |
| 12 | $dz_{\text{avg}} = (ds\, W_2) \odot [z_{\text{avg}} > 0]$, likewise $dz_{\text{max}}$ | (5), (6) | 3 |
| 13 | $dW_1 = dz_{\text{avg}}^{\top} F^c_{\text{avg}} + dz_{\text{max}}^{\top} F^c_{\text{max}}$ | (5), (6) | 3 |
| 14 | $dF^c_{\text{avg}} = dz_{\text{avg}} W_1$, likewise $dF^c_{\text{max}}$ | (5) | 3 |
| 15 | $dF[n,c,i,j] \mathrel{+}= \frac{1}{HW}\, dF^c_{\text{avg}}[n,c]$ | (3) | 2 |
| 16 | $dF[n,c,i,j] \mathrel{+}= dF^c_{\text{max}}[n,c]\, [(i,j) = (i^*,j^*)]$ | (4) | 2 |

Lines 2, 6 and 7 are the direct, the average and the maximum path to $dF'$; lines 9, 15 and 16 are the three to $dF$. The
parameters' gradients come out on the way, in lines 4, 11 and 13.

**7.2** A path leads through one stage. A **route** leads all the way from $F''$ to $F$: first through one of the lines 2, 6,
7, and then through one of 9, 15, 16. How many routes are there?
"""

# %%
answer("7.2", ...)  # solved: 9

# %% [markdown]
r"""
<details><summary>Line 11 has one product, line 13 has two. Why?</summary>

Both hidden vectors go through the same $W_2$ and meet the **same** gradient $ds$, since $s$ is their sum:
$ds^{\top} h_{\text{avg}} + ds^{\top} h_{\text{max}}$, and $ds^{\top}$ can be taken out. On the way to $W_1$ each vector has
passed its own ReLU. So $dz_{\text{avg}}$ and $dz_{\text{max}}$ differ, and nothing can be taken out.

</details>

<details><summary>Which lines would be missing if the maps were constants?</summary>

All but lines 2 and 9. Then $dF = M_c \otimes M_s \otimes dF''$, and no parameter would learn anything.

</details>

Here is the same table in code. Compare it with what you've built from your parts.
"""


# %%
def cbam_on_one_page(f, w1, w2, kernel):
    """CBAM without any function of ours: f2, and a backward that returns d_f, d_w1, d_w2, d_kernel."""
    N, C, H, W = f.shape
    k = kernel.shape[-1]
    p = (k - 1) // 2

    avg_c, max_c = f.mean(axis=(2, 3)), f.max(axis=(2, 3))  # (3), (4)
    z_avg, z_max = avg_c @ w1.T, max_c @ w1.T  # (5)
    h_avg, h_max = np.maximum(z_avg, 0), np.maximum(z_max, 0)  # (5)
    m_c = 1 / (1 + np.exp(-(h_avg + h_max) @ w2.T))  # (6)
    f1 = m_c[:, :, None, None] * f  # (7)
    x = np.stack([f1.mean(axis=1), f1.max(axis=1)], axis=1)  # (8), (9)
    x_pad = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    windows = {(a, b): np.s_[:, :, a : a + H, b : b + W] for a, b in np.ndindex(k, k)}
    u = sum((kernel[:, :, a, b, None, None] * x_pad[at]).sum(axis=1, keepdims=True) for (a, b), at in windows.items())
    m_s = 1 / (1 + np.exp(-u))  # (10)

    def backward(d_f2):
        d_m_s = (d_f2 * f1).sum(axis=1, keepdims=True)  # 1
        d_f1 = m_s * d_f2  # 2
        d_u = d_m_s * m_s * (1 - m_s)  # 3
        d_kernel, d_x_pad = np.zeros(kernel.shape), np.zeros(x_pad.shape)
        for (a, b), at in windows.items():
            d_kernel[0, :, a, b] = (d_u * x_pad[at]).sum(axis=(0, 2, 3))  # 4
            d_x_pad[at] += kernel[:, :, a, b, None, None] * d_u  # 5
        d_x = d_x_pad[:, :, p : p + H, p : p + W]  # 5
        d_f1 += d_x[:, :1] / C  # 6
        d_f1 += d_x[:, 1:] * (np.arange(C)[:, None, None] == f1.argmax(axis=1, keepdims=True))  # 7
        d_m_c = (d_f1 * f).sum(axis=(2, 3))  # 8
        d_f = m_c[:, :, None, None] * d_f1  # 9
        d_s = d_m_c * m_c * (1 - m_c)  # 10
        d_w2 = d_s.T @ (h_avg + h_max)  # 11
        d_z_avg, d_z_max = (d_s @ w2) * (z_avg > 0), (d_s @ w2) * (z_max > 0)  # 12
        d_w1 = d_z_avg.T @ avg_c + d_z_max.T @ max_c  # 13
        d_avg_c, d_max_c = d_z_avg @ w1, d_z_max @ w1  # 14
        d_f += d_avg_c[:, :, None, None] / (H * W)  # 15
        winner = f.reshape(N, C, H * W).argmax(axis=2, keepdims=True)
        d_f += d_max_c[:, :, None, None] * (np.arange(H * W) == winner).reshape(f.shape)  # 16
        return d_f, d_w1, d_w2, d_kernel

    return m_s * f1, backward  # (11)


# %% [markdown]
r"""
## Who agrees?

Three others compute the same gradients and know nothing of this table: the package, a version made of loops with one
index at a time, and PyTorch's autograd (自动微分), which is given the forward pass only.
"""

# %%
rng = np.random.default_rng(3)
f, d_f2 = rng.normal(size=(2, 2, 4, 5, 6))
names, arrays = list(block.params), list(block.params.values())

f2, backward = cbam_on_one_page(f, *arrays)
ours = dict(zip(["f", *names], backward(d_f2), strict=True))


def gradients(out, backward):
    """What a block of the package's kind gives, in the same form."""
    assert np.allclose(out, f2)
    d_f, grads = backward(d_f2)
    return {"f": d_f, **grads}


module = from_arrays(block)
leaves = [torch.tensor(f, requires_grad=True), *module.parameters()]
others = {
    "the package": gradients(*cb.cbam(f, block.params)),
    "loops": gradients(*cbam_loops(f, block.params)),
    "autograd": dict(zip(ours, torch.autograd.grad(module(leaves[0]), leaves, torch.tensor(d_f2)), strict=True)),
}
for who, theirs in others.items():
    for name, d in ours.items():
        assert np.abs(d - np.asarray(theirs[name])).max() < 1e-12 * np.abs(d).max()
    print(f"{who:12} agrees in dF, dW1, dW2 and dK to 1e-12")

# %% [markdown]
r"""
Would you notice if one of the lines was missing? That depends on the line, and on how closely you look. [The appendix on
paths](A2_paths.ipynb) follows all nine routes; chapter 8 says which tolerance sees them.

## What you built

- `cbam`, the sixteenth function. Your file now holds the whole block, forward and backward, and a check that agrees with it.
- The chain $dF'' \to dF' \to dF$: add both paths of $dF'$ before you go on.
- A table in which you can derive each line, and trace it to its chapter.

**Next:** [8. Checking a gradient](08_checking_a_gradient.ipynb)

**The code:** [block.py](../cbam_np/attention/block.py), [channel.py](../cbam_np/attention/channel.py),
[spatial.py](../cbam_np/attention/spatial.py), the same as loops: [loops.py](../cbam_np/reference/loops.py)
"""
