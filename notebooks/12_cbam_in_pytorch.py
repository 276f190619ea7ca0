# %% [markdown]
r"""
# 12. CBAM in PyTorch · 用 PyTorch 实现 CBAM

You have derived every gradient of CBAM by hand. PyTorch finds them by itself. This chapter puts both side
by side: the same block, the same numbers, and the two ways back laid over each other.

**What you will learn**

- the block in PyTorch, line by line beside ours;
- how to move parameters between the two, and that outputs and gradients agree to twelve digits;
- to read autograd's graph (计算图), and to name the formula behind each of its nodes;
- to put a backward of your own into autograd (自动微分);
- where CBAM goes in a ResNet block, and what a fresh CBAM does to it;
- which of the document's claims about CBAM hold.

**What you need:** chapter [8](08_the_whole_backward.ipynb), and having seen a PyTorch module before.
"""

# %%
import inspect
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Markdown, display
from torch import nn

import cbam_np as cb
from cbam_np.course.chapter_12 import exercise_12_1, exercise_12_2
from cbam_np.pytorch import CBAM, ChannelAttention, SpatialAttention, from_arrays, to_arrays
from cbam_np.reference.cost import cbam_cost, se_cost

plt.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110})
np.set_printoptions(precision=3, suppress=True)


def apart(a, b):
    """The largest difference, relative to the largest entry."""
    a, b = np.asarray(a), np.asarray(b)
    return np.abs(a - b).max() / np.abs(b).max()


# %% [markdown]
r"""
## What the document has

Its section 5 is called *PyTorch 实现 CBAM*. Below the title stands `| |`, an empty table: the code was lost. So
there is no formula to quote in this chapter, and the code has to be supplied. Here it is. The numbers in the
comments are those of the formulas.
"""

# %%
print(inspect.getsource(ChannelAttention))
print(inspect.getsource(SpatialAttention))
print(inspect.getsource(CBAM.forward))

# %% [markdown]
r"""
## Line by line

The table takes both sides from the files that are running.
"""


# %%
def line(function, piece):
    """The one line of a function's source that holds `piece`, without its comment."""
    (found,) = [text for text in inspect.getsource(function).splitlines() if piece in text and "`" not in text]
    return f"`{found.split('  # ')[0].strip()}`"


channel, spatial = ChannelAttention.forward, SpatialAttention.forward
pairs = (
    ("(3)", cb.channel_map, "= avg_pool", channel, "# (3)"),
    ("(4)", cb.channel_map, "= max_pool", channel, "# (4)"),
    ("(5)", cb.channel_map, "= shared_mlp(", ChannelAttention.mlp, "# (5)"),
    ("(6)", cb.channel_map, "= sigmoid(", channel, "# (6)"),
    ("(7)", cb.channel_attention, "= gate(", channel, "# (7)"),
    ("(8)", cb.spatial_map, "= avg_pool", spatial, "# (8)"),
    ("(9)", cb.spatial_map, "= max_pool", spatial, "# (9)"),
    ("[ ; ] of (10)", cb.spatial_map, "= concat(", spatial, "torch.cat("),
    ("Conv of (10)", cb.spatial_map, "= conv2d(", spatial, "# (10)"),
    ("σ of (10)", cb.spatial_map, "= sigmoid(", spatial, "# (10)"),
    ("(11)", cb.spatial_attention, "= gate(", spatial, "# (11)"),
    ("(1)", cb.cbam, "= channel_attention(", CBAM.forward, "# (1)"),
    ("(2)", cb.cbam, "= spatial_attention(", CBAM.forward, "# (2)"),
)
rows = [f"| {formula} | {line(ours, a)} | {line(theirs, b)} |" for formula, ours, a, theirs, b in pairs]
display(Markdown("\n".join(["| formula | ours | PyTorch |", "|---|---|---|", *rows])))

# %% [markdown]
r"""
Two differences. Ours hands back a second thing each time, the backward; PyTorch's lines do not. And `F.linear(x, w)`
computes $x\,w^{\top}$, so its matrices have the same shapes as ours. (This `F` is
`torch.nn.functional`, not the features.)

## On paper, once more

Chapter [0](00_start_here.ipynb) had the smallest CBAM: $y = \sigma(w\,x)\,x$ with $x=2$, $w = \frac12 \ln 3$ and the
upstream gradient $16$. By hand we found $dx = 15.296$ and $dw = 12$. In PyTorch you say which inputs you want
gradients for (`requires_grad`), compute forward, and hand the upstream gradient to `backward`.
"""

# %%
x = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
w = torch.tensor(np.log(3) / 2, requires_grad=True)
y = torch.sigmoid(w * x) * x
y.backward(torch.tensor(16.0, dtype=torch.float64))
print(f"d_x {x.grad:.3f}   d_w {w.grad:.3f}")
assert np.isclose(x.grad, 15.296, atol=5e-4)
assert np.isclose(w.grad, 12)

# %% [markdown]
r"""
## The same block, the same numbers

`from_arrays` makes the module from our block, and `to_arrays` goes back. The names and the shapes are the same,
and not a bit is lost.
"""

# %%
block = cb.CBAM(12, reduction=3, kernel_size=7, dtype="float64", seed=0)
module = from_arrays(block)
there_and_back = to_arrays(module)
for name, value in block.params.items():
    print(f"{name:16}{value.shape}")
    assert np.array_equal(there_and_back[name], value)
assert list(module.state_dict()) == list(block.params)

# %% [markdown]
r"""
Now one forward and one backward of each, in float64, with a random upstream gradient.
"""

# %%
rng = np.random.default_rng(1)
f, d_f2 = rng.normal(size=(2, 2, 12, 9, 8))

f2 = block(f)
d_f = block.backward(d_f2)

f_torch = torch.tensor(f, requires_grad=True)
f2_torch = module(f_torch)
f2_torch.backward(torch.tensor(d_f2))

pairs = {"F″": (f2, f2_torch.detach()), "dF": (d_f, f_torch.grad)}
pairs |= {f"d {name}": (block.grads[name], p.grad) for name, p in module.named_parameters()}
for name, (ours, theirs) in pairs.items():
    assert apart(ours, theirs) < 1e-12
    print(f"{name:18} equal to 1e-12")

# %% [markdown]
r"""
One difference in manners. PyTorch **adds** each new gradient to what is in `.grad` already. Our `backward` gives
the same again. Whoever forgets `zero_grad()` in a training loop trains on a sum of old gradients.
"""

# %%
once = {name: p.grad.clone() for name, p in module.named_parameters()}
module(torch.tensor(f)).backward(torch.tensor(d_f2))
assert all(apart(p.grad, 2 * once[name]) < 1e-12 for name, p in module.named_parameters())
assert np.array_equal(block.backward(d_f2), d_f)
print("PyTorch, second time: twice as much. Ours: the same.")

# %% [markdown]
r"""
## Autograd's graph, and our chain

While PyTorch computes forward, it writes down what it does: each result keeps a node `grad_fn`, and each node knows
the nodes that come before it, `next_functions`. That is its computational graph. A node's name says which operation it
undoes. Where the graph ends there is a **leaf** (叶子节点), an input or a parameter, whose node is called
`AccumulateGrad`.

We walk the graph from $F''$ backwards, and write our own step next to each node. Nodes that only reshape are passed
over. If one node were missing or out of place, the cell would stop.
"""

# %%
RESHAPES = {"ViewBackward0", "UnsqueezeBackward0", "TBackward0", "SliceBackward0", "AliasBackward0"}


def before(node):
    """The nodes that `node` sends gradient to, past those that only reshape."""
    for child, _ in node.next_functions:
        if child is not None:
            yield from before(child) if child.name() in RESHAPES else [child]


def walk(node, seen):
    """All nodes, each once: a node, then all that its first child leads to, then its second."""
    if node not in seen:
        seen.append(node)
        for child in before(node):
            walk(child, seen)
    return seen


LEAF = "AccumulateGrad"
STEPS = (  # autograd's name, ours, where to draw it
    ("Mul", "gate (11)", (0, 0)),
    ("Sigmoid", "sigmoid (10)", (1.4, 1.3)),
    ("Convolution", "conv2d (10)", (3.1, 1.3)),
    ("Cat", "concat (10)", (4.9, 1.3)),
    ("Mean", "avg pool (8)", (6.7, 1.9)),
    ("Mul", "gate (7)", (8.5, 3)),
    ("Sigmoid", "sigmoid (6)", (7.5, 4.6)),
    ("Add", "+ (6)", (6.1, 4.6)),
    ("Mm", "W2 (5)", (4.9, 5.4)),
    ("Relu", "relu (5)", (3.8, 5.4)),
    ("Mm", "W1 (5)", (2.7, 5.4)),
    ("Mean", "avg pool (3)", (1.35, 5.4)),
    (LEAF, "dF", (0, 3)),
    (LEAF, "dW1", (2.7, 4.6)),
    (LEAF, "dW2", (4.9, 4.6)),
    ("Mm", "W2 (5)", (4.9, 3.8)),
    ("Relu", "relu (5)", (3.8, 3.8)),
    ("Mm", "W1 (5)", (2.7, 3.8)),
    ("Max", "max pool (4)", (1.35, 3.8)),
    ("Max", "max pool (9)", (6.7, 0.75)),
    (LEAF, "dK", (3.1, 2.2)),
)
f2_torch = module(f_torch)
nodes = walk(f2_torch.grad_fn, [])
for node, (theirs, ours, _) in zip(nodes, STEPS, strict=True):
    assert theirs in node.name()
    print(f"{node.name().removeprefix('torch::autograd::'):22}{ours}")


# %% mystnb={"image": {"alt": "Autograd's graph, each node with our step in it; three arrows end at dF."}}
def canvas(width, height, xlim, ylim):
    """Axes without a frame."""
    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    ax.set(xlim=xlim, ylim=ylim)
    ax.axis("off")
    return ax


def box(ax, x, y, text, colour):
    style = {"boxstyle": "round,pad=0.35", "facecolor": colour, "edgecolor": "black"}
    return ax.text(x, y, text, ha="center", va="center", fontsize=9, bbox=style)


def arrow(ax, start, end, colour, route="arc3"):
    style = {"patchA": start.get_bbox_patch(), "patchB": end.get_bbox_patch(), "connectionstyle": route}
    style |= {"arrowstyle": "-|>", "color": colour, "shrinkA": 1, "shrinkB": 1}
    ax.annotate("", end.get_position(), start.get_position(), arrowprops=style)


ax = canvas(10, 6, (-0.6, 9.1), (-0.6, 5.8))
boxes = {}
for node, (theirs, ours, (x, y)) in zip(nodes, STEPS, strict=True):
    colour = "#e2efda" if theirs == LEAF else "#fdebd0" if y < 2 else "#dbe9f6"
    boxes[node] = box(ax, x, y, ours if theirs == LEAF else f"{theirs}\n{ours}", colour)
for node in nodes:
    for child in before(node):
        around = node is nodes[0] and child is nodes[5]  # from gate (11) straight to gate (7)
        route = "angle,angleA=0,angleB=90,rad=12" if around else "arc3"
        arrow(ax, boxes[node], boxes[child], "#c65911", route)
ends = [boxes[child].get_text() for node in nodes for child in before(node)]
assert [ends.count(name) for name in ("dF", "dW1", "dW2")] == [3, 2, 2]
ax.text(0, -0.5, "dF″ comes in here", ha="center", color="#c65911", fontsize=9)
plt.show()

# %% [markdown]
r"""
What to see: first line of a box, PyTorch's name; second line, ours with its formula (blue: channel attention, orange:
spatial, green: leaves). The arrows are the way back. $dF$ is the sum of three arrows, $dW_1$ and $dW_2$ of two each.

It is our chain, node for node. Nothing in autograd is cleverer than chapter 8; it is only written down by a
machine.

Not only the ends agree. A hook is a function that autograd calls with the gradient that arrives at a
node; here at gate (7), where $dF'$ comes in, and at sigmoid (6), where $dM_c$ comes in.
"""

# %%
f1, _ = cb.channel_attention(f, block.params)
d_f1, _ = cb.spatial_attention(f1, block.params)[1](d_f2)
d_m_c, _ = cb.ops.gate(block.maps["channel"], f)[1](d_f1)

arrived = {}
ours = [step for _, step, _ in STEPS]
for step in ("gate (7)", "sigmoid (6)"):
    nodes[ours.index(step)].register_prehook(lambda d, step=step: arrived.update({step: d[0].numpy()}))
f2_torch.backward(torch.tensor(d_f2))

assert apart(arrived["gate (7)"], d_f1) < 1e-12
assert apart(arrived["sigmoid (6)"], d_m_c[:, :, 0, 0]) < 1e-12
print("dF′ and dM_c: the same inside PyTorch as in our chain")

# %% [markdown]
r"""
## Your backward inside autograd

Autograd does not know every operation. A new one is given to it as a `torch.autograd.Function` with two parts, forward
and backward. `ctx` is the bag in which forward leaves what backward needs. It is our `out, backward` in other
clothes.

### Exercise 12.1 · Write the backward of the gate for autograd

`m` has the shape $(N, C, 1, 1)$ or $(N, 1, H, W)$: look where it has length 1. `d_out` has the shape of `f`. All
are PyTorch tensors; `x.sum(dim=axes, keepdim=True)` is what `axis` and `keepdims` are in NumPy. The function
below the class runs it.
"""


# %%
class Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, m, f):
        ctx.save_for_backward(m, f)
        return m * f

    @staticmethod
    def backward(ctx, d_out):
        m, f = ctx.saved_tensors
        ### BEGIN SOLUTION
        axes = [axis for axis in (1, 2, 3) if m.shape[axis] == 1]
        d_m = (d_out * f).sum(dim=axes, keepdim=True)
        d_f = m * d_out
        return d_m, d_f
        ### END SOLUTION


def gate_gradients(d_out, m, f):
    m, f = torch.tensor(m, requires_grad=True), torch.tensor(f, requires_grad=True)
    d_m, d_f = torch.autograd.grad(Gate.apply(m, f), (m, f), torch.tensor(d_out))
    return d_m.numpy(), d_f.numpy()


right = exercise_12_1.check(gate_gradients)

# %% [markdown]
r"""
Did you sum? If not, it was right all the same. If $dM$ is too large because $M$ was broadcast (广播) forward, PyTorch
sums it for you, without a word:
"""


# %%
class GateThatForgetsToSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, m, f):
        ctx.save_for_backward(m, f)
        return m * f

    @staticmethod
    def backward(ctx, d_out):
        m, f = ctx.saved_tensors
        return d_out * f, m * d_out


m_torch = torch.tensor(block.maps["channel"], requires_grad=True)
gated = GateThatForgetsToSum.apply(m_torch, torch.tensor(f))
(d_m_torch,) = torch.autograd.grad(gated, m_torch, torch.tensor(d_f1))
assert d_m_torch.shape == m_torch.shape
assert apart(d_m_torch, d_m_c) < 1e-12
print("dM_c without a sum in the backward: right, because PyTorch summed")

# %% [markdown]
r"""
That is kind, and it hides mistakes. In arrays of your own nobody does it for you.

## Ties: max and amax

The module takes its maxima with `max(dim)`, not with `amax`. Forward they are the same. Backward they are not:
at a tie (并列) `max` gives everything to the first entry, `amax` gives equal shares. Chapter
[2](02_pooling_over_space.ipynb) has the reasons. Here three of six entries are the largest:
"""

# %%
tied = np.array([3.0, 1.0, 3.0, 0.0, 3.0, 2.0]).reshape(1, 1, 2, 3)
gradients = {}
for name, maximum in (("max", lambda x: x.flatten(2).max(dim=2).values), ("amax", lambda x: x.amax(dim=(2, 3)))):
    x = torch.tensor(tied, requires_grad=True)
    out = maximum(x)
    assert out.item() == 3
    (d_x,) = torch.autograd.grad(out, x, torch.tensor([[12.0]]))
    gradients[name] = d_x.numpy()
    print(f"{name:5}", d_x.numpy().ravel())
for name, ties in (("max", "first"), ("amax", "split")):
    ours = cb.ops.max_pool_over_space(tied, ties=ties)[1](np.array([[12.0]]))
    assert np.array_equal(ours, gradients[name])

# %% [markdown]
r"""
So whoever compares two CBAMs, and one uses `amax`, sees differences wherever a ReLU has left several equal
entries, and no mistake is to be found.

## Weights of other people: [avg; max] or [max; avg]

Formula (10) concatenates (拼接) the average first. The paper's text does so, too. The code that the paper's authors
published puts the **maximum** first. The kernels have the same shape, so loading theirs into ours works. The result is
wrong, and nothing complains. How wrong? Three fresh blocks, each with the two input channels of its kernel swapped:
"""

# %%
big_f, big_d_f2 = np.random.default_rng(0).normal(size=(2, 2, 64, 14, 15))
for seed in range(3):
    right_block, swapped = (cb.CBAM(64, dtype="float64", seed=seed) for _ in range(2))
    swapped.params["spatial.kernel"] = swapped.params["spatial.kernel"][:, [1, 0]]
    f2s = right_block(big_f), swapped(big_f)
    d_fs = right_block.backward(big_d_f2), swapped.backward(big_d_f2)
    errors = [np.linalg.norm(bad - good) / np.linalg.norm(good) for good, bad in (f2s, d_fs)]
    assert all(0.15 < error < 0.6 for error in errors)
    print(f"seed {seed}: F″ is off by {errors[0]:.0%}, dF by {errors[1]:.0%}")

# %% [markdown]
r"""
### Exercise 12.2 · Load a kernel of the authors

You get a kernel of shape $(1, 2, k, k)$ whose first input channel belongs to the maximum. Return it in our order, as a
new array.
"""


# %%
def kernel_in_our_order(kernel):
    """kernel: (1, 2, k, k), input channels [max, avg]. Returns the same with input channels [avg, max]."""
    ### BEGIN SOLUTION
    return kernel[:, [1, 0]]
    ### END SOLUTION


right = exercise_12_2.check(kernel_in_our_order)

# %% [markdown]
r"""
## Where CBAM goes in a ResNet

A **residual block** (残差块) computes a branch and adds its own input to it: the **shortcut** (跳跃连接). CBAM goes
into the branch, behind the last batch normalisation (批归一化) and **before** the addition. So it turns down what the
branch has found, and never the shortcut.
"""

# %% mystnb={"image": {"alt": "x, two convolutions with batch norms, CBAM, plus, relu; the shortcut passes above."}}
ax = canvas(10, 1.7, (-0.4, 10.4), (-0.5, 1.5))
labels = ("x", "conv 3×3", "batch\nnorm", "relu", "conv 3×3", "batch\nnorm", "CBAM", "+", "relu", "out")
at = np.linspace(0, 10, len(labels))
colours = {"CBAM": "#fdebd0", "x": "white", "out": "white"}
boxes = [box(ax, x, 0, label, colours.get(label, "#dbe9f6")) for x, label in zip(at, labels, strict=True)]
for start, end in pairwise(boxes):
    arrow(ax, start, end, "black")
arrow(ax, boxes[0], boxes[7], "black", "bar,fraction=-0.11")
ax.text((at[0] + at[7]) / 2, 1.1, "shortcut: x, or a 1×1 convolution where the shape changes", ha="center", fontsize=9)
plt.show()

# %% [markdown]
r"""
What to see: CBAM is the last thing in the branch; the upper way does not pass through it.

In PyTorch:
"""


# %%
class BasicBlock(nn.Module):
    """The residual block of ResNet-18 and -34, with CBAM."""

    def __init__(self, c_in, c_out, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.cbam = CBAM(c_out)
        same = c_in == c_out and stride == 1
        shortcut = nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out)
        self.shortcut = nn.Identity() if same else nn.Sequential(*shortcut)

    def forward(self, x):
        branch = torch.relu(self.bn1(self.conv1(x)))
        branch = self.bn2(self.conv2(branch))
        return torch.relu(self.cbam(branch) + self.shortcut(x))


torch.manual_seed(0)
x = torch.randn(2, 64, 20, 18)
same, halved = BasicBlock(64, 64), BasicBlock(64, 128, stride=2)
assert same(x).shape == (2, 64, 20, 18)
assert halved(x).shape == (2, 128, 10, 9)
in_cbam = sum(p.numel() for p in same.cbam.parameters())
in_all = sum(p.numel() for p in same.parameters())
print(f"{in_cbam} of {in_all} parameters are in CBAM: {in_cbam / in_all:.1%}")
assert (in_cbam, in_all) == (610, 74594)

# %% [markdown]
r"""
### A fresh CBAM shrinks the branch

A new CBAM has gates near one half, and there are two in a row: $\frac12 \cdot \frac12 = \frac14$. How much of the
branch is left behind it, for twenty seeds? And how much gradient comes back through it?
"""

# %%
torch.manual_seed(0)
branch = same.bn2(same.conv2(torch.relu(same.bn1(same.conv1(x))))).detach().requires_grad_()
d_branch = torch.randn_like(branch)
left, back = [], []
for seed in range(20):
    out = CBAM(64, seed=seed)(branch)
    (d,) = torch.autograd.grad(out, branch, d_branch)
    left.append((out.abs().sum() / branch.abs().sum()).item())
    back.append((d.abs().sum() / d_branch.abs().sum()).item())
for name, share in (("forward", left), ("backward", back)):
    print(f"{name:9} left on average {np.mean(share):.2f}, from {min(share):.2f} to {max(share):.2f}")
    assert 0.2 < np.mean(share) < 0.3

# %% [markdown]
r"""
About a quarter, both ways. In a network that is trained from the start, the weights can make up for it. In a
network that is trained **already**, each branch is suddenly about four times weaker, and what comes after it was not
trained on that. So after inserting CBAM, train again.

## What the document claims

Its section 4, *CBAM 的优点*, names three merits.

**1. *轻量级*: it says that CBAM computes less than SE** (Squeeze-and-Excitation, the channel branch with the average
alone). Count. SE uses the MLP once, CBAM twice, and the convolution comes on top. With $C$ channels, $r = 16$:

| | parameters | multiply-adds (乘加) |
|---|---|---|
| SE | $2C^2/r$ | $2C^2/r$ |
| CBAM | $2C^2/r + 2k^2$ | $4C^2/r + 2k^2HW$ |
"""

# %%
print("   C  H=W  parameters SE, CBAM    multiply-adds SE, CBAM    CBAM / one 3×3 convolution")
for C, side in ((64, 56), (256, 56), (512, 28), (1024, 14), (2048, 7)):
    se, ours = se_cost(C), cbam_cost(C, side, side)
    assert ours.parameters == se.parameters + 98
    assert ours.multiply_adds > 2 * se.multiply_adds
    share = ours.multiply_adds / (9 * C * C * side * side)
    assert share < 0.003
    print(
        f"{C:4} {side:4}  {se.parameters:10,} {ours.parameters:9,}  {se.multiply_adds:12,} {ours.multiply_adds:12,}"
        f"  {share:17.2%}"
    )

# %% [markdown]
r"""
The claim is **false as written**: CBAM has 98 parameters more than SE, and more than twice the multiply-adds. What is
true: both are next to nothing. One $3\times3$ convolution of the network around it, from $C$ to $C$ channels, costs
at least 300 times as much.

**2. *更强的特征表达能力*, stronger features**, and **3. *容易嵌入 CNN 结构*, easy to put into a network, and
better at its tasks.** That it is easy to put in, you saw: what comes out has the shape of what went in. Whether
features and results get *better* cannot be derived. It has to be measured, by training with and without CBAM, with
several seeds each. **This chapter has not measured it**, so it says nothing about it.

## What to remember

- PyTorch's module has our lines, our shapes and our gradients, to twelve digits; its graph is our chain, node for node.
- Three things agree in shape and differ in value: `max` and `amax` at ties, [avg; max] and [max; avg], a first and a
  second `backward()` without `zero_grad()`.
- CBAM goes at the end of the branch, before the addition. Fresh, it shrinks the branch to about a quarter.

You have reached the end of the course. Back to [Start here](00_start_here.ipynb) for the formulas and the glossary.

**Solutions:** [chapter 12, solved](solutions/12_cbam_in_pytorch.ipynb)

**The code:** [pytorch.py](../cbam_np/pytorch/module.py), [cost.py](../cbam_np/reference/cost.py), the block in NumPy:
[channel.py](../cbam_np/attention/channel.py), [spatial.py](../cbam_np/attention/spatial.py), [cbam.py](../cbam_np/attention/block.py)

**The paper:** Woo, Park, Lee, Kweon,
[CBAM: Convolutional Block Attention Module](https://arxiv.org/abs/1807.06521), sections 3 and 4.
"""
