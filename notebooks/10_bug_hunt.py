# %% [markdown]
r"""
# 10. Bug hunt · 找错

Here are ten CBAMs. Each is the whole block in plain NumPy, forward and backward, and in each **one line is
wrong**. None of them crashes. All shapes are right. The mistakes are not invented: each has been made in code
that people use or learn from.

You find the line and mend it. The tools of chapter 9 tell you where to look.

**What you will learn**

- to read from the report of a gradient check (梯度检查) in which part of the code the mistake is;
- what a wrong **forward pass** (前向传播) looks like to a gradient check: like nothing at all;
- which tool sees which mistake, in one table.

**What you need:** chapters [2](02_pooling_over_space.ipynb) to [8](08_the_whole_backward.ipynb) for the parts of the
block, and chapter [9](09_checking_a_gradient.ipynb) for the tools.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

import cbam_np as cb
from cbam_np.course.bugs import (
    BLOCKS,
    RIGHT,
    block_1,
    block_2,
    block_3,
    block_4,
    block_5,
    block_6,
    block_7,
    block_8,
    block_9,
    block_10,
)
from cbam_np.course.chapter_10 import (
    exercise_10_1,
    exercise_10_2,
    exercise_10_3,
    exercise_10_4,
    exercise_10_5,
    exercise_10_6,
    exercise_10_7,
    exercise_10_8,
    exercise_10_9,
    exercise_10_10,
)
from cbam_np.pytorch import from_arrays

plt.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110})
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
r"""
(The blocks come from `bugs.py` in `cbam_np/course`. Do not open it yet: it names every mistake.)

## How the hunt works

A block is called like `cb.cbam`. Its method `show` prints its source with line numbers, all of it or the parts that
you name. Here is a part; `block_1.show()` shows the whole.
"""

# %%
block_1.show("cbam")

# %% [markdown]
r"""
The method `mended` makes a new block with another text in one line. So an answer looks like this, with a number and
a line of your own:

`return block_1.mended(line=17, to="return d_h").run(f, params, d_f2)`

The `run` at the end computes what the exercise compares: the output and all gradients.

One input is used in the whole chapter: two samples, four channels, three rows and five columns. `f_tied` is a second
one. It has only four different values, so its maxima tie (并列).
"""

# %%
rng = np.random.default_rng(0)
model = cb.CBAM(channels=4, reduction=2, kernel_size=3, dtype="float64", seed=0)
params = model.params
f = rng.normal(size=(2, 4, 3, 5))
f_tied = rng.choice([-0.5, 0.5, 1.25, 2.0], size=f.shape)
d_f2 = rng.normal(size=f.shape)

# %% [markdown]
r"""
## The tools

**1. The range of the gates.** A gate (门控) is a number between 0 and 1.

**2. The gradient check.** It measures slopes of the block's own forward pass, and compares the backward pass with
them. It is `cb.gradcheck` of chapter 9. To keep the output short, we print one line for each input.
"""


# %%
def gates(block):
    maps = {}
    block(f, params, maps)
    for name, m in maps.items():
        print(f"M of {name:8} from {m.min():.2f} to {m.max():.2f}")


def check(block):
    for row in cb.gradcheck(block, f, params, max_entries=30).rows:
        if row.method == "differences":
            print(f"{row.input:24}{row.verdict}")


gates(RIGHT)
check(RIGHT)

# %% [markdown]
r"""
**3. Another implementation.** The same formulas, written by somebody else: PyTorch with its autograd. It is the only
tool here that knows the **formulas**. The others know nothing but the block.
"""


# %%
NAMES = ("f2", "d_f", "d_w1", "d_w2", "d_kernel")


def pytorch_results(f):
    """f2, d_f, d_w1, d_w2, d_kernel, from autograd."""
    module, x = from_arrays(model), torch.tensor(f, requires_grad=True)
    f2 = module(x)
    return [y.detach().numpy() for y in (f2, *torch.autograd.grad(f2, [x, *module.parameters()], torch.tensor(d_f2)))]


def errors(block, f):
    """The largest difference from PyTorch, as a part of the largest entry, for each result."""
    pairs = zip(block.run(f, params, d_f2), pytorch_results(f), strict=True)
    return [float(np.abs(got - expected).max() / np.abs(expected).max()) for got, expected in pairs]


def compare(block, f):
    for name, error in zip(NAMES, errors(block, f), strict=True):
        print(f"{name:9}", "equal" if error < 1e-12 else f"off by {error:.0%}")


compare(RIGHT, f)

# %% [markdown]
r"""
## How to read a report

A backward pass (反向传播) runs through the block from the end to the beginning, and drops a gradient at each
parameter it passes:

$$dF'' \;\to\; \text{(11)} \;\to\; d\text{kernel} \;\to\; \text{(8), (9)} \;\to\; \text{(7)} \;\to\; dW_2
\;\to\; dW_1 \;\to\; \text{(3), (4)} \;\to\; dF$$

A mistake spoils what comes **after** it. So read the report in this order: kernel, $W_2$, $W_1$, $F$. The mistake is
**after the last right gradient and before, or at, the first wrong one**. If a single gradient is wrong and the ones
after it are right, it was spoilt on its own side road.

If nothing is wrong at all, then either the block is right, or its forward pass is wrong and its backward pass is
the right gradient of the wrong thing.

The hunt begins. After each report, stop and say where you would look, before you look.
"""

# %% [markdown]
r"""
## Block 1

**Symptom.** "Training runs, but some pixels come out with their sign changed."
"""

# %%
gates(block_1)
check(block_1)

# %% [markdown]
r"""
Every gradient is right. But look at $M_s$. Which line should have kept it between 0 and 1?

### Exercise 10.1 · Mend block 1
"""

# %%
block_1.show("spatial_map")


# %%
def mended_1(f, params, d_f2):
    """Block 1 with one line mended: block_1.mended(line=..., to="...").run(f, params, d_f2)."""
    ### BEGIN SOLUTION
    # Without the sigmoid, M_s is what the convolution gives, any number. The backward of the new line is the identity,
    # which is right for it: so the gradient check is content. Only the range gives it away, or another implementation.
    return block_1.mended(line=119, to="m_s, sigmoid_backward = sigmoid(z)").run(f, params, d_f2)
    ### END SOLUTION


right = exercise_10_1.check(mended_1)

# %% [markdown]
r"""
## Block 2

**Symptom.** "My channel gates hardly differ from each other."
"""

# %%
gates(block_2)
check(block_2)

# %% [markdown]
r"""
All gates of $M_c$ are above one half. A sigmoid (S 型函数) gives more than one half if its input is positive. And the
kernel's gradient is right, $dW_2$ is wrong. What lies between?

### Exercise 10.2 · Mend block 2
"""

# %%
block_2.show("sigmoid", "channel_map")


# %%
def mended_2(f, params, d_f2):
    """Block 2 with one line mended: block_2.mended(line=..., to="...").run(f, params, d_f2)."""
    ### BEGIN SOLUTION
    # The first sigmoid gives numbers in (0, 1), and the second one makes (0.5, 0.73) of them. It happens when a module
    # returns a map that is gated already, and its caller gates it again. Backward, one derivative is missing.
    return block_2.mended(line=96, to="m_c, sigmoid_backward = sigmoid(z)").run(f, params, d_f2)
    ### END SOLUTION


right = exercise_10_2.check(mended_2)

# %% [markdown]
r"""
## Block 3

**Symptom.** "Hidden units that are off still learn."
"""

# %%
check(block_3)

# %% [markdown]
r"""
$dW_2$ is right, $dW_1$ is wrong. One function lies between them.

### Exercise 10.3 · Mend block 3
"""

# %%
block_3.show("relu", "mlp")


# %%
def mended_3(f, params, d_f2):
    """Block 3 with one line mended: block_3.mended(line=..., to="...").run(f, params, d_f2)."""
    ### BEGIN SOLUTION
    # h is the output of the ReLU, and no output of a ReLU is negative: h >= 0 is always true and stops nothing.
    # With z >= 0 it would have been a matter of taste at z = 0. With h >= 0 it is wrong at every unit that is off.
    return block_3.mended(line=17, to="return d_h * (h > 0)").run(f, params, d_f2)
    ### END SOLUTION


right = exercise_10_3.check(mended_3)

# %% [markdown]
r"""
## Block 4

**Symptom.** "It trains, only a bit worse than theirs."
"""

# %%
check(block_4)

# %% [markdown]
r"""
All parameters are right. What is left is the way to $F$ behind them.

### Exercise 10.4 · Mend block 4
"""

# %%
block_4.show("cbam")


# %%
def mended_4(f, params, d_f2):
    """Block 4 with one line mended: block_4.mended(line=..., to="...").run(f, params, d_f2)."""
    ### BEGIN SOLUTION
    # F is used twice in (1): as features, and to compute M_c. The line kept the first path only, as if the map were a
    # constant. It is the classic mistake: nothing crashes, and all parameters of this block get the right gradient.
    return block_4.mended(line=146, to="d_f = m_c * d_f1 + d_f_map").run(f, params, d_f2)
    ### END SOLUTION


right = exercise_10_4.check(mended_4)

# %% [markdown]
r"""
## Block 5

**Symptom.** "The spatial branch alone learns well. What is in front of it does not."
"""

# %%
check(block_5)

# %% [markdown]
r"""
The kernel's gradient is right, and everything after it is wrong. Much lies between the kernel and $W_2$. So we check
the parts **one by one**: `part` gives a function of the block, and `cb.gradcheck` takes any function.

### Exercise 10.5 · Mend block 5
"""

# %%
x = rng.normal(size=(2, 2, 3, 5))
for name, inputs in (("convolution", (x, params["spatial.kernel"])), ("sigmoid", (x,))):
    for row in cb.gradcheck(block_5.part(name), *inputs).rows:
        if row.method == "differences":
            print(f"{name:12}{row.input:8}{row.verdict}")
block_5.show("convolution")


# %%
def mended_5(f, params, d_f2):
    """Block 5 with one line mended: block_5.mended(line=..., to="...").run(f, params, d_f2)."""
    ### BEGIN SOLUTION
    # Pixel (i, j) meets kernel entry (u, v) on its way to output (i-u, j-v). The minus sign flips the kernel in both
    # directions. With a symmetric kernel nobody would have noticed: test with random ones.
    return block_5.mended(line=78, to="flipped = kernel[:, :, ::-1, ::-1]").run(f, params, d_f2)
    ### END SOLUTION


right = exercise_10_5.check(mended_5)

# %% [markdown]
r"""
## Block 6

**Symptom.** "With the same seed, $W_1$ drifts away from the PyTorch run after a few steps."
"""

# %%
check(block_6)

# %% [markdown]
r"""
Only $dW_1$ is wrong, and $dF$ behind it is right. So the way through is sound, and $dW_1$ was spoilt on its own side
road.

### Exercise 10.6 · Mend block 6
"""

# %%
block_6.show("channel_map")


# %%
def mended_6(f, params, d_f2):
    """Block 6 with one line mended: block_6.mended(line=..., to="...").run(f, params, d_f2)."""
    ### BEGIN SOLUTION
    # The MLP is shared: the same W1 is used for the average and for the maximum, and its gradient is the sum of both.
    # The line kept only the last one, as if there were two MLPs. The error is small here, and still it is an error.
    return block_6.mended(line=104, to="d_w1 += d_w1_pool").run(f, params, d_f2)
    ### END SOLUTION


right = exercise_10_6.check(mended_6)

# %% [markdown]
r"""
## Block 7

**Symptom.** "My own gradient check says it's right. I sum up the output and differentiate that."
"""


# %%
def with_ones(block):
    """The sum of the block's output as an operation: its gradient is the block's for an upstream of ones."""

    def summed(f, params):
        out, backward = block(f, params)
        d_f, grads = backward(np.ones(out.shape))
        return out.sum(), lambda d_sum: (d_sum * d_f, {name: d_sum * grad for name, grad in grads.items()})

    return summed


print("upstream gradient of ones")
check(with_ones(block_7))
print("random upstream gradient")
check(block_7)

# %% [markdown]
r"""
Both checks ran on the same block. With an upstream gradient (上游梯度) of ones all is right. With a random one, the
kernel's gradient is right and everything after it is wrong.

### Exercise 10.7 · Mend block 7
"""

# %%
block_7.show("cbam")


# %%
def mended_7(f, params, d_f2):
    """Block 7 with one line mended: block_7.mended(line=..., to="...").run(f, params, d_f2)."""
    ### BEGIN SOLUTION
    # The line multiplied by nothing where it should multiply by d_f2. If d_f2 is ones, m_s * d_f2 is m_s.
    # This is why an upstream gradient in a check is random, never ones.
    return block_7.mended(line=143, to="d_f1 = m_s * d_f2 + d_f1_map").run(f, params, d_f2)
    ### END SOLUTION


right = exercise_10_7.check(mended_7)

# %% [markdown]
r"""
## Block 8

**Symptom.** "The gradients are perfect. I checked them twice. It is no better than the older block, SE."
"""

# %%
gates(block_8)
check(block_8)
compare(block_8, f)

# %% [markdown]
r"""
This is a new situation: every gradient passes, the gates are gates, and PyTorch disagrees with **everything**, the
output $F''$ included. When the output is wrong, do not look at the backward pass at all. So which map is wrong?
Compare both with the package's. $M_s$ is computed from $F'$, so a wrong $M_c$ spoils it too: the **first** map that
differs counts.

### Exercise 10.8 · Mend block 8
"""

# %%
maps, package_maps = {}, {}
block_8(f, params, maps)
cb.cbam(f, params, maps=package_maps)
for name in maps:
    print(f"M of {name:8}", "equal" if np.allclose(maps[name], package_maps[name]) else "differs")
block_8.show("channel_map")


# %%
def mended_8(f, params, d_f2):
    """Block 8 with one line mended: block_8.mended(line=..., to="...").run(f, params, d_f2)."""
    ### BEGIN SOLUTION
    # A copied line: the branch of the maximum got the average. The loop sends back what it did going forward, so the
    # backward pass is the right gradient of the wrong block. A gradient check compares a program with itself.
    return block_8.mended(line=91, to="for pool in (average, maximum):").run(f, params, d_f2)
    ### END SOLUTION


right = exercise_10_8.check(mended_8)

# %% [markdown]
r"""
## Block 9

**Symptom.** "Our own training is fine. The weights that we downloaded make it stupid."
"""

# %%
gates(block_9)
check(block_9)
compare(block_9, f)

# %% [markdown]
r"""
Again the gradients pass and the output differs. As before, look for the first map that differs. Here $M_c$ is
equal, and $M_s$ is not.

### Exercise 10.9 · Mend block 9
"""

# %%
maps, package_maps = {}, {}
block_9(f, params, maps)
cb.cbam(f, params, maps=package_maps)
assert np.allclose(maps["channel"], package_maps["channel"])
assert not np.allclose(maps["spatial"], package_maps["spatial"])
block_9.show("spatial_map")


# %%
def mended_9(f, params, d_f2):
    """Block 9 with one line mended: block_9.mended(line=..., to="...").run(f, params, d_f2)."""
    ### BEGIN SOLUTION
    # [max; avg] in place of [avg; max]. Trained from the start it is as good a block as ours: the two channels of its
    # kernel are swapped. The authors' released code has this order. With weights of the other order it is wrong.
    return block_9.mended(line=114, to="for pool in (average, maximum):").run(f, params, d_f2)
    ### END SOLUTION


right = exercise_10_9.check(mended_9)

# %% [markdown]
r"""
## Block 10

**Symptom.** "Equal to PyTorch on random numbers. Not equal on our images."
"""

# %%
check(block_10)
print("random f")
compare(block_10, f)
print("f with ties")
compare(block_10, f_tied)

# %% [markdown]
r"""
The images have something that random numbers never have: entries that are exactly equal. Differences are no judge
there, because a tie is a kink (尖点) (chapter [2](02_pooling_over_space.ipynb)). PyTorch is.

### Exercise 10.10 · Mend block 10
"""

# %%
block_10.show("maximum")


# %%
def mended_10(f, params, d_f2):
    """Block 10 with one line mended: block_10.mended(line=..., to="...").run(f, params, d_f2)."""
    ### BEGIN SOLUTION
    # Each of the tied entries got the full gradient. Their shares have to add up to it. Dark or overexposed images and
    # features behind a ReLU are full of ties, random test inputs have none: a test has to plant them.
    return block_10.mended(line=59, to="np.put_along_axis(d_x, place, d_max, axis)").run(f, params, d_f2)
    ### END SOLUTION


right = exercise_10_10.check(mended_10)

# %% [markdown]
r"""
## What a mistake leaves behind

A mistake in a backward pass has a shape. Subtract the right $dF$ from the wrong one and look at it as a picture. Here
is one channel, for four of the blocks. (If you have not mended blocks 3, 4, 5 and 10 yet, do that first.)
"""

# %% mystnb={"image": {"alt": "Four signed maps of the error in d_f, each with a pattern of its own."}}
shown = (
    (block_3, f, "block 3"),
    (block_4, f, "block 4"),
    (block_5, f, "block 5"),
    (block_10, f_tied, "block 10, f with ties"),
)
figure, axes = plt.subplots(1, 4, figsize=(10.5, 2.1), layout="constrained")
for ax, (block, x, title) in zip(axes, shown, strict=True):
    error = (block.run(x, params, d_f2)[1] - RIGHT.run(x, params, d_f2)[1])[0, 0]
    limit = np.abs(error).max()
    image = ax.imshow(error, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=10)
    figure.colorbar(image, ax=ax, shrink=0.9)
axes[0].set_ylabel("error of $dF[0, 0]$")
plt.show()

# %% [markdown]
r"""
What to see: blocks 3 and 4 are wrong by a **constant** and by one pixel more. What is constant came through the
average, the one pixel is the maximum: so the mistake is before the pooling (池化) of the channel branch. Block 5 is
wrong all over. Block 10 is wrong only at entries that tie.

`print(cb.gradcheck(block, f, params))` looks at such patterns for you, and writes below its table what is likely
wrong. Try it on a block.
"""

# %%
error_3, error_4, error_5 = (
    (block.run(f, params, d_f2)[1] - RIGHT.run(f, params, d_f2)[1])[0, 0] for block in (block_3, block_4, block_5)
)
for error in (error_3, error_4):
    values, counts = np.unique(error.round(12), return_counts=True)
    assert sorted(counts) == [1, f[0, 0].size - 1]
assert error_5.round(12).all()
error_10 = (block_10.run(f_tied, params, d_f2)[1] - RIGHT.run(f_tied, params, d_f2)[1])[0, 0]
assert 0 < np.count_nonzero(error_10.round(12)) < error_10.size

# %% [markdown]
r"""
## Which tool sees which mistake

Now all tools on all blocks, and on the right one, where none of them may say anything.
"""


# %%
def sees(block):
    """For each tool, whether it says that the block is wrong."""
    maps = {}
    out, backward = block(f, params, maps)
    d_f, grads = backward(d_f2)
    rows = cb.gradcheck(block, f, params, max_entries=4).rows
    ones = cb.gradcheck(with_ones(block), f, params, max_entries=4)
    random, tied = errors(block, f), errors(block, f_tied)
    return {
        "shapes": [x.shape for x in (out, d_f, *grads.values())] != [x.shape for x in (f, f, *params.values())],
        "gates in (0, 1)": not all(m.min() > 0 and m.max() < 1 for m in maps.values()),
        "differences, $d_{out}=1$": not ones.ok,
        "differences": any(row.verdict == "wrong" for row in rows if row.method == "differences"),
        "complex step": any(row.verdict == "wrong" for row in rows if row.method == "complex step"),
        "output, PyTorch": random[0] > 1e-12,
        "gradients, PyTorch": max(random[1:]) > 1e-12,
        "gradients, PyTorch, ties": max(tied[1:]) > 1e-12,
    }


seen = [sees(block) for block in BLOCKS]
assert not any(sees(RIGHT).values())
tools = list(seen[0])
by_tool = {tool: {i for i, row in enumerate(seen, 1) if row[tool]} for tool in tools}

# %% mystnb={"image": {"alt": "A table of ten mistakes and eight tools; a dot says that the tool sees the mistake."}}
MISTAKES = (
    "1  spatial sigmoid missing",
    "2  sigmoid twice",
    "3  ReLU mask always true",
    "4  path through the map dropped",
    "5  kernel not flipped",
    "6  one branch of the shared MLP dropped",
    "7  upstream gradient forgotten",
    "8  maximum branch fed the average",
    "9  order of the concatenation swapped",
    "10  ties counted fully",
)
figure, ax = plt.subplots(figsize=(9, 5), layout="constrained")
for y, row in enumerate(seen):
    for x, found in enumerate(row.values()):
        ax.plot(x, y, "o", markersize=13, color="#1a7f37" if found else "none", markeredgecolor="#888888")
ax.set_xticks(range(len(tools)), tools, rotation=30, ha="left")
ax.set_yticks(range(len(MISTAKES)), MISTAKES)
ax.xaxis.tick_top()
ax.tick_params(length=0)
ax.set(xlim=(-0.6, len(tools) - 0.4), ylim=(len(MISTAKES) - 0.4, -0.6))
ax.spines[:].set_visible(False)
plt.show()

# %% [markdown]
r"""
What to see: a green dot means that the tool sees the mistake. The first column is empty, and only the last one is full.

- **Shapes** see nothing. That nothing crashes proves nothing.
- **Differences** and the **complex step** see six of ten, the same six. They miss 1, 8 and 9, where forward and
  backward agree on the wrong thing, and 10, because the input had no ties.
- With an upstream gradient of **ones**, 7 is missed as well.
- The **output** of another implementation sees 1, 2, 8 and 9: exactly those whose forward pass is wrong.
- Output and gradients of another implementation, on random numbers **and** on ties, see all ten.

So a gradient check and a comparison do different work. The check says *where*, and needs no second
implementation. The comparison says *that*, and it is the only one that knows the formula.
"""

# %%
assert by_tool["shapes"] == set()
assert by_tool["gates in (0, 1)"] == {1}
assert by_tool["differences"] == by_tool["complex step"] == {2, 3, 4, 5, 6, 7}
assert by_tool["differences, $d_{out}=1$"] == {2, 3, 4, 5, 6}
assert by_tool["output, PyTorch"] == {1, 2, 8, 9}
assert by_tool["gradients, PyTorch"] == set(range(1, 10))
assert by_tool["gradients, PyTorch, ties"] == set(range(1, 11))

# %% [markdown]
r"""
## What to remember

- The gradients are right up to the mistake and wrong after it: kernel, $W_2$, $W_1$, $F$, in this order.
- A gradient check compares a program with itself. A wrong forward pass needs the formula, or another implementation.
- Random upstream gradient, random weights, unequal sizes, and ties planted on purpose: what a test does not have, it
  does not test.

**Next:** [11. From NumPy to CuPy](11_numpy_to_cupy.ipynb) ·
**Solutions:** [chapter 10, solved](solutions/10_bug_hunt.ipynb)

**The code:** the right block, [plain_block.py](../cbam_np/course/plain_block.py), and what was done to it,
[bugs.py](../cbam_np/course/bugs.py)

**The paper:** Woo, Park, Lee, Kweon,
[CBAM: Convolutional Block Attention Module](https://arxiv.org/abs/1807.06521).
"""
