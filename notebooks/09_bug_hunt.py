# %% [markdown]
r"""
# 9. Bug hunt · 找错

> **Four networks were trained. One of them had the right gradient. Which one?**
"""

# %% tags=["hide-input"] mystnb={"image": {"alt": "Four panels of falling losses, one line a seed; three of the panels come from wrong gradients."}}
import numpy as np

from cbam_np.course import hunt, measured, pictures_b

pictures_b.which_is_right()

# %% [markdown]
r"""
The loss falls in all four. You can't tell, and neither can anybody who only looks at a loss. (The answer is at the
end of the chapter.)

So here is the hunt. Eight people have each written a whole CBAM in plain NumPy, forward and backward. All eight run, all
shapes fit. Some of them are wrong. You have your own gradient check, the formulas, and your eyes.

| | |
|---|---|
| **Time** | about 60 minutes |
| **You need** | chapters [2](02_pooling.ipynb) to [8](08_checking_a_gradient.ipynb) |
| **You build** | nothing: you repair what others have built |

## The tools

A block is called like yours: `out, backward = block(f, w1, w2, kernel)`. And it can do more:

| call | what it does |
|---|---|
| `block.check()` | compares its gradients with the slopes of its **own** forward pass; `check(ones=True)` with $dF''=1$ |
| `block.compare()` | compares everything with PyTorch; `compare(tied=True)` on features whose maxima tie (并列) |
| `block.read()` | prints its source; `block.read("mlp")` one function of it |
| `block.repair({17: "return d_h"})` | replaces line 17, or several lines, and says whether the block is right now |
| `block.repair({})` | says that there is nothing to repair |

Here is what the tools say about a block that is right. `check` measures with slopes of its own; if you have written
`slopes` in chapter 1, pass it on: `block.check(slopes)`.
"""

# %%
hunt.RIGHT.check()
hunt.RIGHT.compare()

# %% [markdown]
r"""
**How to read a report.** A backward pass (反向传播) runs from the end of the block to its beginning and leaves a gradient
at each parameter that it passes:

$$dF'' \;\to\; \text{(11)} \;\to\; dK \;\to\; \text{(9), (8)} \;\to\; \text{(7)} \;\to\; \text{(6)} \;\to\; dW_2 \;\to\;
dW_1 \;\to\; \text{(4), (3)} \;\to\; dF$$

A mistake spoils what comes **after** it. So read in the order kernel, `w2`, `w1`, `f`, and look between the last right
gradient and the first wrong one.

**The rules.** Run the tools first. Then say, aloud or on paper, where you'd look and why. Only then read. For each block
there are hints, from a nudge to the answer: `hunt.hint("A")`, `hunt.hint("A", 2)`,
`hunt.hint("A", 3)`, `hunt.hint("A", 4)`.

## Block A

*"It trains. But hidden units that are off keep on learning."*
"""

# %%
a = hunt.block("A")
a.check()

# %%
# a.read()
a.repair(...)  # solved: {16: "return d_h * (h > 0)"}

# %% [markdown]
r"""
## Block B

*"My block learns well on its own. Put a network in front of it, and that network learns badly."*
"""

# %%
b = hunt.block("B")
b.check()

# %%
b.repair(...)  # solved: {135: "return m_c * d_f1 + d_f_map, d_w1, d_w2, d_kernel"}

# %% [markdown]
r"""
## Block C

*"I have a gradient check. I add up all outputs and differentiate that. It's perfect."*
"""

# %%
c = hunt.block("C")
c.check(ones=True)
c.check()

# %%
c.repair(...)  # solved: {132: "d_f1 = m_s * d_f2 + d_f1_map"}

# %% [markdown]
r"""
## Block D

*"Look at line 107! They take the maximum first. The formula says [avg; max]. Please fix."*
"""

# %%
d = hunt.block("D")
d.read("spatial_map")

# %%
d.repair(...)  # solved: {}

# %% [markdown]
r"""
## Block E

*"Both branches are there, all shapes fit, and every gradient is right to nine digits."*
"""

# %%
e = hunt.block("E")
e.check()
e.compare()

# %% [markdown]
r"""
This is new: all gradients pass, and PyTorch disagrees with everything, the output included. Think before you read:

<details><summary>What does it mean if a gradient check passes and the output is wrong?</summary>

A gradient check compares the backward pass with slopes of the block's own forward pass. It never sees the formula. If it
passes, the backward pass is the right gradient of whatever the forward pass computes. So the mistake is in the forward
pass, and the backward pass follows it faithfully. Read the forward lines only, beside formulas (1) to (11).

</details>

A part of a block is an operation, too. `e.part("channel_map")(x, w1, w2)` and `hunt.RIGHT.part("channel_map")(x, w1, w2)`
should return the same gates, and `part("spatial_map")(x, kernel)` as well: so you can tell in which half to read.
`hunt.example()` returns features and weights to try.
"""

# %%
e.repair(...)  # solved: hunt.CASES["E"].answer

# %% [markdown]
r"""
## Block F

*"I did it exactly as the tutorial says."*
"""

# %%
f = hunt.block("F")
f.check()
f.compare()

# %%
f.repair(...)  # solved: hunt.CASES["F"].answer

# %% [markdown]
r"""
## Block G

*"Equal to PyTorch on random numbers. Not equal on our images."*
"""

# %%
g = hunt.block("G")
g.check()
g.compare()

# %%
g.repair(...)  # solved: {58: "np.put_along_axis(d_x, winner, d_max, axis)"}

# %% [markdown]
r"""
## Block H

*"Our own training is fine. With the weights that we downloaded it's useless."*
"""

# %%
h = hunt.block("H")
h.check()
h.compare()

# %%
h.repair(...)  # solved: {107: "for pool in (average, maximum):"}

# %% [markdown]
r"""
## Which tool sees which block

When you have been through all eight, look at the whole table. (It names the mistakes.)

<details><summary>Before you open it: is there a tool that sees all seven mistakes? Is there one that sees none?</summary>

A check of shapes sees none: every block passes. A comparison with another implementation, output and gradients, on
random features **and** on features with ties, sees all seven. No other tool does.

</details>
"""

# %% tags=["hide-input"] mystnb={"image": {"alt": "A table of eight blocks and five tools; a filled dot says that the tool sees the mistake."}}
seen = {name: pictures_b.sees(hunt.block(name)) for name in hunt.CASES}
pictures_b.who_sees_what(seen)

by_tool = {tool: {name for name, row in seen.items() if row[tool]} for tool in seen["A"]}
assert by_tool["shapes"] == set()
assert by_tool["gradient check, $dF''$ = 1"] == {"A", "B"}
assert by_tool["gradient check"] == {"A", "B", "C"}
assert by_tool["output, PyTorch"] == {"E", "F", "H"}
assert by_tool["gradients, PyTorch"] == {"A", "B", "C", "E", "F", "H"}
assert by_tool["gradients, PyTorch, ties"] == set("ABCEFGH")

# %% [markdown]
r"""
What to see: a filled dot means that the tool says "wrong".

- A **gradient check** with a random $dF''$ sees three of the seven: those whose backward pass doesn't fit their forward
  pass. With ones it sees two.
- The **output** of another implementation sees the other kind: a forward pass that computes something else.
- **Ties** show only if you plant them.

So a gradient check and a comparison do different work. The check says *where*, and needs nothing but the block. The
comparison says *that*, and it's the only one that knows the formula.

## What is out there

Do people make such mistakes? The page [CBAM in the wild](../docs/wild.md) compares modules from packages and from public
repositories with the formulas. Here is what they differ from the paper in, and how many do. Some differ on purpose, and
to differ is not to be wrong.
"""

# %%
modules = measured.in_the_wild()
counts = measured.deviations(modules)
same = sum(module["ok"] and not module["found"] for module in modules)
print(f"of {len(modules)} modules {same} are the formulas; and of the others")
for name, count in counts.most_common():
    print(f"{count:4} {name}")

assert not [name for name in counts if "detached" in name or "backward" in name]  # no gradient is lost
assert not [line for module in modules for line in module["unsure"] if "gradient" in line]  # and none is wrong
assert counts.most_common(2)[1][0] == "concat order"  # block H
assert counts["no max branch"] + counts["no max branch (the average twice)"] > 1  # block E is one of several
assert counts["F instead of F′ into the spatial branch"] == 1  # block F
assert not {"ReLU missing", "sigmoid missing (M_c)", "sigmoid missing (M_s)"} & counts.keys()

# %% [markdown]
r"""
What to see: every line is a matter of the **forward** pass, or of what happens at ties. PyTorch derives the gradients of
these modules, so none is lost, and each is the right gradient of what the module computes, as in E, F and H. A gradient
check on random features would pass them all. Most differences are choices: a bias, batch norm after the convolution, [max; avg] (block H)
as in the authors' release, a residual $F''+F$ around the block. They matter when weights go from one module to another.
A few take the average alone, and one takes it twice (block E); one pools $F$ (block F), as the document says.

## What a mistake leaves behind

The error of a gradient has a shape of its own. Here is wrong minus right for one channel of $dF$.
"""

# %% tags=["hide-input"] mystnb={"image": {"alt": "Four signed maps of the error in dF: constants with single pixels, and patterns."}}
error = {name: hunt_error for name in "ABCG" if (hunt_error := pictures_b.error_of_d_f(name)) is not None}
pictures_b.errors_of_d_f(error)

for name in "AB":  # a constant, and another number at one pixel
    _, counts = np.unique(error[name].round(12), return_counts=True)
    assert sorted(counts) == [1, error[name].size - 1]
assert error["C"].round(12).all()
assert 0 < np.count_nonzero(error["G"].round(12)) < error["G"].size

# %% [markdown]
r"""
What to see: A and B are off by a constant, plus something at one pixel. A constant over a channel comes through its average,
one pixel through its maximum: both errors come through the poolings (3) and (4). That says which **path** the error took,
and not where it was made: in A it was made before the poolings, in the ReLU's backward, and in B after them, where what
had come through them was thrown away. C is off everywhere, G only where entries tie.

<details><summary>Could an error of this shape, a constant and one pixel, also come from the convolution's gradient?</summary>

No. What the spatial map sends back differs from pixel to pixel. It passes the gate (7) on its way to $F$ pixel by
pixel. It does change $dM_c$, and through it a constant and one pixel of each channel, but never these alone.

</details>

## Which of the four?

The networks at the top of this chapter come from a study of what wrong gradients cost; chapter
[11](11_what_was_measured.ipynb) has all of it.

<details><summary>The answer</summary>

The second panel has the right gradient. In the first, the path through both maps was dropped (block B's mistake, in both
stages). In the third, the spatial maximum sent nothing back. In the fourth, the kernel wasn't flipped in the backward
pass. After training, none of the three scored measurably worse than the right one. This is why you check gradients
instead of just trying them out.

</details>

## What you built

Nothing new, and that's the point: you took apart blocks that you hadn't written, with a check that you had.

- Up to the mistake the gradients are right, after it they are wrong: kernel, `w2`, `w1`, `f`.
- A gradient check compares a program with itself. A wrong forward pass needs the formula, or another implementation.
- A test covers only what you put into it: random $dF''$, unequal sizes, ties.
- A suspicion isn't a finding. Block D was right.

**Next:** [10. Training](10_training.ipynb), where your own block learns.

**The code:** the right block, [hunt_block.py](../cbam_np/course/hunt_block.py), and what was done to it,
[hunt.py](../cbam_np/course/hunt.py)
"""
