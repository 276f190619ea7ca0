# %% [markdown]
r"""
# 12. CBAM in PyTorch · 用 PyTorch 实现 CBAM

> **PyTorch finds all these gradients by itself. What does it do that you did by hand, and can it use what you wrote?**
"""

# %% tags=["hide-input"] mystnb={"image": {"alt": "Autograd's graph, each node with our step in it; three arrows end at dF."}}
import numpy as np
import torch
from torch import nn
from torch.nn import functional

import cbam_np as cb
from cbam_np.course import answer, pictures_b
from cbam_np.course.own_function import own_function
from cbam_np.pytorch import from_arrays


def apart(a, b):
    """The largest difference, relative to the largest entry."""
    a, b = np.asarray(a), np.asarray(b)
    return np.abs(a - b).max() / np.abs(b).max()


rng = np.random.default_rng(1)
f, d_f2 = rng.normal(size=(2, 2, 12, 9, 8))
block = cb.CBAM(12, reduction=3, kernel_size=7, dtype="float64", seed=0)
module = from_arrays(block)
arrows = pictures_b.autograd_graph(module(torch.tensor(f, requires_grad=True)))
assert arrows == {"dF": 3, "dW1": 2, "dW2": 2, "dK": 1}

# %% [markdown]
r"""
This is PyTorch's computational graph (计算图) of CBAM. While it computes forward, it writes down what it does: each result
keeps a node, and each node knows the nodes before it. The first line of a box is PyTorch's name for the node, the second is
your name for it. Each end is a **leaf** (叶子节点), an input or a parameter. The arrows are the backward pass. Three of them end at $dF$, two at $dW_1$ and $dW_2$ each, one at $dK$.

It's your chain of chapter [7](07_the_whole_backward.ipynb), node for node. Autograd (自动微分) isn't any cleverer; a machine
just does the writing.

| | |
|---|---|
| **Time** | about 45 minutes |
| **You need** | chapter 7, and to have seen a PyTorch module before |
| **You build** | nothing new in your file: you see your backward work inside PyTorch, and read a loader for the authors' weights |

<details><summary>What the document has</summary>

Its section 5 is called *PyTorch 实现 CBAM*. Below the title there is `| |`, an empty table: the code was lost. So there is
no formula to quote in this chapter, and the code has to be supplied. Here it is.

</details>

## The block, once more

The numbers are those of the formulas. `F.linear`, here `functional.linear(x, w)`, computes $x\,w^\top$, so the matrices have the
same shapes as yours.
"""


# %%
class CBAM(nn.Module):
    """The eleven formulas."""

    def __init__(self, w1, w2, kernel):
        super().__init__()
        self.w1, self.w2, self.kernel = (nn.Parameter(torch.tensor(w)) for w in (w1, w2, kernel))

    def mlp(self, x):
        return functional.linear(functional.relu(functional.linear(x, self.w1)), self.w2)  # (5)

    def forward(self, f):
        avg_c, max_c = f.mean(dim=(2, 3)), f.flatten(2).max(dim=2).values  # (3), (4)
        m_c = torch.sigmoid(self.mlp(avg_c) + self.mlp(max_c))  # (6)
        f1 = m_c[:, :, None, None] * f  # (7), (1)
        avg_s, max_s = f1.mean(dim=1, keepdim=True), f1.max(dim=1, keepdim=True).values  # (8), (9)
        pooled = torch.cat([avg_s, max_s], dim=1)
        m_s = torch.sigmoid(functional.conv2d(pooled, self.kernel, padding=self.kernel.shape[-1] // 2))  # (10)
        return m_s * f1  # (11), (2)


f2 = block(f)
d_f = block.backward(d_f2)

module = CBAM(*block.params.values())
f_torch = torch.tensor(f, requires_grad=True)
f2_torch = module(f_torch)
f2_torch.backward(torch.tensor(d_f2))

pairs = {"F″": (f2, f2_torch.detach()), "dF": (d_f, f_torch.grad)}
pairs |= {f"d {name}": (grad, p.grad) for (name, grad), p in zip(block.grads.items(), module.parameters(), strict=True)}
for name, (ours, theirs) in pairs.items():
    assert apart(ours, theirs) < 1e-12
    print(f"{name:18} equal to 1e-12")

# %% [markdown]
r"""
One difference in behaviour: PyTorch **adds** each new gradient to what is in `.grad` already; yours gives the same again. If
you forget `zero_grad()` in a training loop, you train on a sum of old gradients.
"""

# %%
once = [p.grad.clone() for p in module.parameters()]
module(torch.tensor(f)).backward(torch.tensor(d_f2))
assert all(apart(p.grad, 2 * first) < 1e-12 for p, first in zip(module.parameters(), once, strict=True))
assert np.array_equal(block.backward(d_f2), d_f)
print("PyTorch, second time: twice as much. Ours: the same.")

# %% [markdown]
r"""
## Your block inside PyTorch

Autograd doesn't know every operation. A new one is given to it as a `torch.autograd.Function` with two parts, forward and
backward; `ctx` is where forward leaves what backward needs. That's your `out, backward` in another form, so
your `cbam` fits as it is:
"""

# %%
mine = own_function("cbam")


class MyCBAM(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *inputs):
        out, ctx.my_backward = mine(*(x.detach().numpy() for x in inputs))
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx, d_out):
        return tuple(torch.from_numpy(np.array(d)) for d in ctx.my_backward(d_out.numpy()))


leaves = [torch.tensor(x, requires_grad=True) for x in (f, *block.params.values())]
gradients = torch.autograd.grad(MyCBAM.apply(*leaves), leaves, torch.tensor(d_f2))
for name, d, right in zip(("f", *block.params), gradients, (d_f, *block.grads.values()), strict=True):
    assert apart(d, right) < 1e-12
    print(f"d {name:15} came back through PyTorch")

# %% [markdown]
r"""
<details><summary>Suppose the backward of a gate forgets to sum over the pixels and returns d_m with the shape of f. What would PyTorch do?</summary>

If a gradient is too large because its input was broadcast (广播), PyTorch sums it for you, silently. That is convenient, but it
hides the mistake. In arrays of your own nobody does it for you: shapes are part of your check.

</details>

## Ties: max and amax

The module takes its maxima with `max(dim)` and not with `amax`. Forward they are the same. Backward they aren't: at a
tie (并列), `max` gives everything to the first entry, and `amax` gives equal shares. Both conventions are accepted; a full share
for every entry would be wrong. So if you compare two CBAMs, and one uses `amax`, you'll see differences wherever a ReLU has left
several equal entries, and there is no mistake to be found.
"""

# %%
tied = np.array([3.0, 1.0, 3.0, 0.0, 3.0, 2.0]).reshape(1, 1, 2, 3)
maxima = {"max": ("first", lambda x: x.flatten(2).max(dim=2).values), "amax": ("split", lambda x: x.amax(dim=(2, 3)))}
for name, (ties, maximum) in maxima.items():
    x = torch.tensor(tied, requires_grad=True)
    (d_x,) = torch.autograd.grad(maximum(x), x, torch.tensor([[12.0]]))
    assert np.array_equal(cb.ops.max_pool_over_space(tied, ties=ties)[1](np.array([[12.0]])), d_x.numpy())
    print(f"{name:5}", d_x.numpy().ravel())

# %% [markdown]
r"""
## The authors' weights

The paper's authors have released their code, and weights trained with it. Their block isn't quite the one of the paper. Three
things have to be done before their weights fit formulas (1) to (11), and if you leave one out, everything still runs.

| in the released code | what to do |
|---|---|
| the maximum comes first: $[F^s_{\max};\, F^s_{\text{avg}}]$ | swap the two input channels of the kernel |
| a batch norm (批归一化) after the $7\times7$ convolution, before the sigmoid | fold it into the kernel; it leaves a bias |
| both layers of the MLP have a bias | take $b_1$ and $b_2$ over; $b_2$ is added twice, once for each pooled vector |

**Folding.** When a network is used and no longer trained, its batch norm works with fixed numbers: mean $\mu$,
variance $v$, and the learned $\gamma$ and $\beta$. (In chapter 10, $\mu$ and $v$ were something else.)

$$\gamma\, \frac{\text{Conv}(x, K) - \mu}{\sqrt{v + \epsilon}} + \beta = \text{Conv}(x, gK) + (\beta - g\mu) \qquad
g = \frac{\gamma}{\sqrt{v+\epsilon}}$$

So the kernel is multiplied by $g$, and $\beta - g\mu$ is a bias. A convolution (卷积) may have one, although (10) has none.

**12.1** $\gamma = 3$, $v = 4$, $\mu = 3$, $\beta = 1$, and $\epsilon$ is so small that you can leave it out. A kernel entry is
0.5. What does it become, and what is the bias? Type a pair.
"""

# %%
answer("12.1", ...)  # solved: (0.75, -3.5)

# %% [markdown]
r"""
Here is a block of the released kind with random weights, as it would come from a file, and a loader that leaves steps out on
request.
"""


# %%
def released_block(f, p):
    """The forward pass of the released code, in use and not in training; keys as in its files."""
    f = torch.tensor(f)

    def mlp(x):
        hidden = functional.relu(functional.linear(x, p["ChannelGate.mlp.1.weight"], p["ChannelGate.mlp.1.bias"]))
        return functional.linear(hidden, p["ChannelGate.mlp.3.weight"], p["ChannelGate.mlp.3.bias"])

    f1 = torch.sigmoid(mlp(f.mean(dim=(2, 3))) + mlp(f.amax(dim=(2, 3))))[:, :, None, None] * f
    pooled = torch.cat([f1.amax(dim=1, keepdim=True), f1.mean(dim=1, keepdim=True)], dim=1)
    u = functional.conv2d(pooled, p["SpatialGate.spatial.conv.weight"], padding=3)
    bn = [p[f"SpatialGate.spatial.bn.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
    return (torch.sigmoid(functional.batch_norm(u, *bn)) * f1).numpy()


def load(p, swap=True, fold=True):
    """The parameters of our block out of a file of theirs."""
    p = {key: value.numpy() for key, value in p.items()}
    kernel, bias = p["SpatialGate.spatial.conv.weight"], np.zeros(1)
    if swap:
        kernel = kernel[:, [1, 0]].copy()
    if fold:
        mu, v, gamma, beta = (
            p[f"SpatialGate.spatial.bn.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
        )
        g = gamma / np.sqrt(v + 1e-5)
        kernel, bias = g * kernel, beta - g * mu
    mlp = {
        f"channel.{ours}": p[f"ChannelGate.mlp.{theirs}"]
        for ours, theirs in (("w1", "1.weight"), ("b1", "1.bias"), ("w2", "3.weight"), ("b2", "3.bias"))
    }
    return mlp | {"spatial.kernel": kernel, "spatial.bias": bias}


C, hidden = 12, 4
shapes = {
    "ChannelGate.mlp.1.weight": (hidden, C),
    "ChannelGate.mlp.1.bias": (hidden,),
    "ChannelGate.mlp.3.weight": (C, hidden),
    "ChannelGate.mlp.3.bias": (C,),
    "SpatialGate.spatial.conv.weight": (1, 2, 7, 7),
    "SpatialGate.spatial.bn.running_mean": (1,),
    "SpatialGate.spatial.bn.weight": (1,),
    "SpatialGate.spatial.bn.bias": (1,),
}
theirs = {key: torch.tensor(rng.normal(size=shape) / 2) for key, shape in shapes.items()}
theirs["SpatialGate.spatial.bn.running_var"] = torch.tensor([0.3], dtype=torch.float64)

expected = released_block(f, theirs)
for swap in (True, False):
    for fold in (True, False):
        got, _ = cb.cbam(f, load(theirs, swap, fold))
        error = np.linalg.norm(got - expected) / np.linalg.norm(expected)
        print(
            f"channels {'swapped' if swap else 'as they are':12} batch norm {'folded ' if fold else 'ignored'}: "
            + ("equal to 1e-12" if error < 1e-12 else f"F″ off by {error:.0%}")
        )
        assert (error < 1e-12) == (swap and fold)
        assert error < 1e-12 or error > 0.05

# %% [markdown]
r"""
All four run. Only one is right: **swap and fold**. No error message tells you; only a comparison with the original does.

One more thing about the released code: its batch norm starts with $\gamma = 0$. So every spatial gate starts at exactly
$\sigma(0) = \frac12$, whatever the kernel is, and in the first step the kernel's gradient is exactly zero.

<details><summary>Why zero?</summary>

$u$ reaches the gate only as $\gamma \cdot (\dots)$. With $\gamma = 0$ nothing that the kernel does can be seen behind it, so the
slope along each of its entries is 0. $\gamma$ itself has a gradient, and after one step it's no longer 0.

</details>

## Where CBAM goes in a ResNet

A **residual block** (残差块) computes a branch and adds its own input to it: the **shortcut** (跳跃连接). CBAM is the last thing
in the branch, after the last batch norm and **before** the addition. So it turns down what the branch has found, and never the
shortcut.
"""

# %% tags=["hide-input"] mystnb={"image": {"alt": "x, two convolutions with batch norms, CBAM, plus, relu; the shortcut passes above."}}
pictures_b.residual_block()

# %% [markdown]
r"""
**A fresh CBAM shrinks the branch.** Its gates are near one half, and there are two in a row: $\frac12\cdot\frac12=\frac14$.
"""

# %%
branch, d_branch = rng.normal(size=(2, 2, 64, 14, 14))
left, back = [], []
for seed in range(20):
    fresh = cb.CBAM(64, dtype="float64", seed=seed)
    left.append(np.abs(fresh(branch)).sum() / np.abs(branch).sum())
    back.append(np.abs(fresh.backward(d_branch)).sum() / np.abs(d_branch).sum())
for name, share in (("forward", left), ("backward", back)):
    print(f"{name:9} left on average {np.mean(share):.2f}, from {min(share):.2f} to {max(share):.2f}")
    assert 0.2 < np.mean(share) < 0.3

# %% [markdown]
r"""
About a quarter, both ways. In a network that is trained from the start, the weights can make up for it. In one that is
trained **already**, every branch is suddenly four times weaker, and what comes after it was never trained on that. So after
inserting CBAM, train again.

## What you built

- The block in PyTorch, equal to yours to twelve digits, and a name for each node of its graph.
- Your own backward inside autograd.
- You have read a loader that knows the three differences between the paper's formulas and the authors' code.

**This is the end of the core track.** You began with an empty file. You've written sixteen functions, the
block with all its gradients and the check that judges them; found seven bugs that others had made, and one that wasn't there; trained the block and watched its
maps learn; and you know what it was measured to do, and what it wasn't. Tell a friend.

**If you want to go on:** [A1. From NumPy to CuPy](A1_numpy_to_cupy.ipynb) · [A2. Nine paths](A2_paths.ipynb) ·
[A3. Reading the document](A3_misprints.ipynb)

**The code:** [module.py](../cbam_np/pytorch/module.py)

**The paper:** Woo, Park, Lee, Kweon,
[CBAM: Convolutional Block Attention Module](https://arxiv.org/abs/1807.06521), sections 3 and 4.
"""
