# %% [markdown]
r"""
# 9. How to check a gradient · 梯度检查

A wrong gradient (梯度) does not crash. Shapes are right, the loss goes down, only not as far as it could. So a
gradient has to be **checked**: compared with one that was found in another way. This chapter shows three such ways,
what each of them cannot see, and how a check is ruined.

**What you will learn**

- finite differences (有限差分), and why a smaller step is not always better;
- the complex step (复步法), which has no such problem, and what it needs;
- what autograd (自动微分) cannot tell you;
- why an upstream gradient (上游梯度) of ones hides mistakes: derived on paper, and measured;
- what to do at a kink (尖点), which tolerance (容差) to take, and how to check a large input.

**What you need:** the Taylor series (it writes $f(x+h)$ as a sum of powers of $h$; the derivatives of $f$ at $x$
stand before them), and what a backward pass is (chapter [2](02_pooling_over_space.ipynb)). The
document says nothing about checking. It has no backward pass at all, so this chapter has no formula of its own.
"""

# %%
from fractions import Fraction

import matplotlib.pyplot as plt
import numpy as np
import torch

import cbam_np as cb
from cbam_np.checking import mutants
from cbam_np.course.bugs import RIGHT, line_of
from cbam_np.course.chapter_09 import (
    central_differences,
    complex_step,
    exercise_9_1,
    exercise_9_2,
    exercise_9_3,
    swish,
    with_mistake,
)

plt.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110})
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
r"""
## What is compared

A backward pass (反向传播) gets an upstream gradient $d_{\text{out}}$, an array of the shape of the output. It returns
the gradient of one number; "op" is the forward pass:

$$L(x) = \sum d_{\text{out}} \odot \text{op}(x)$$

The gradient says how much $L$ moves when an entry of $x$ moves. That can be **measured**: move the entry, compute $L$
again. So in this chapter a function takes an array and gives one number, and everything is about the slope (斜率) of
such a function.

## Finite differences

On paper, for a function of one number. The Taylor series at $x$, to the right and to the left:

$$f(x+h) = f(x) + h f'(x) + \frac{h^2}{2} f''(x) + \frac{h^3}{6} f'''(x) + \dots$$

$$f(x-h) = f(x) - h f'(x) + \frac{h^2}{2} f''(x) - \frac{h^3}{6} f'''(x) + \dots$$

**One-sided difference.** Take the first line, subtract $f(x)$, divide by $h$:

$$\frac{f(x+h) - f(x)}{h} = f'(x) + \frac{h}{2} f''(x) + \dots$$

**Central difference** (中心差分). Subtract the second line from the first, divide by $2h$. The terms with $h^2$ are
equal and cancel:

$$\frac{f(x+h) - f(x-h)}{2h} = f'(x) + \frac{h^2}{6} f'''(x) + \dots$$

What was cut off is called the **truncation error** (截断误差). It is proportional to $h$ in one case and to $h^2$
in the other. So take $h$ very small?

A computer keeps about 16 digits. So $f(x+h)$ is wrong by about $\varepsilon |f(x)|$ with
$\varepsilon = 2.2 \cdot 10^{-16}$. The difference of two such numbers is wrong by as much, and then it is divided by
$h$. This **rounding error** (舍入误差) is about $\varepsilon |f(x)| / h$: it **grows** when $h$ shrinks.

Two errors, two ends. Let us look at both, on a function whose slope is known exactly:

$$f(x) = \frac{x^3}{1+x^2} \qquad f'(x) = \frac{3x^2 + x^4}{(1+x^2)^2}$$
"""


# %%
def function(x):
    return x * x * x / (1 + x * x)


x = 1.3
exact = Fraction(x)  # the very number that the computer has for 1.3
slope = (3 * exact**2 + exact**4) / (1 + exact**2) ** 2
steps = [10.0 ** (-k / 4) for k in range(2, 61)]


def errors(measure):
    """The relative error of measure(h), for all steps; 1e-17 where there is none."""
    return [max(float(abs(Fraction(measure(h)) - slope) / slope), 1e-17) for h in steps]


one_sided = errors(lambda h: (function(x + h) - function(x)) / h)
central = errors(lambda h: (function(x + h) - function(x - h)) / (2 * h))
imaginary = errors(lambda h: function(x + 1j * h).imag / h)

# %% mystnb={"image": {"alt": "Log-log plot of error over step: two V shapes, and a line that falls and stays down."}}
figure, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
ax.loglog(steps, one_sided, "o-", markersize=4, label="one-sided difference")
ax.loglog(steps, central, "s-", markersize=4, label="central difference")
ax.loglog(steps, imaginary, "^-", markersize=4, label="complex step (next section)")
ax.loglog(steps, [2.2e-16 / h for h in steps], ":", color="black", label="rounding, ε / h")
ax.set(xlabel="step h", ylabel="relative error of the slope", ylim=(3e-18, 1e4))
ax.annotate("truncation ~ h", (1e-4, 6e-5), (3e-6, 3e-3), arrowprops={"arrowstyle": "->"})
ax.annotate("truncation ~ h²", (1e-4, 3e-9), (2e-3, 2e-11), arrowprops={"arrowstyle": "->"})
ax.legend(fontsize=8, loc="upper center", ncol=2)
ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
r"""
What to see: read from right to left, as $h$ shrinks. Both differences get better, then worse. The left part is
rounding and is the same for both. (Single points far below their neighbours are luck.) The best step is near
$10^{-8}$ for the one-sided difference and near $10^{-5}$ for the central one. There the central
one is more than a hundred times better. The third curve starts on the
second one and never turns up again; we come to it next.

The best step can be found on paper: it is where both errors are equal. Leave out the factors that depend on $f$. For
the central difference $h^2 = \varepsilon/h$, so $h = \sqrt[3]{\varepsilon} = 6 \cdot 10^{-6}$. For the one-sided one
$h = \varepsilon/h$, so $h = \sqrt{\varepsilon} = 1.5 \cdot 10^{-8}$.
"""

# %%
best = {name: steps[int(np.argmin(e))] for name, e in (("one-sided", one_sided), ("central", central))}
assert 1e-9 < best["one-sided"] < 1e-7
assert 1e-6 < best["central"] < 1e-4
at = {h: int(np.argmin(np.abs(np.log10(steps) - np.log10(h)))) for h in (1e-8, 1e-5, 1e-3)}
assert one_sided[at[1e-8]] > 100 * central[at[1e-5]]
assert central[at[1e-5]] < 1e-9
assert 4 < np.log10(one_sided[at[1e-3]]) - np.log10(one_sided[at[1e-8]]) < 6.5  # five decades of h
assert np.isclose(np.finfo(float).eps ** (1 / 3), 6e-6, rtol=0.02)

# %% [markdown]
r"""
### Exercise 9.1 · Write the central difference

For a function of an array, move **one entry at a time**. The result has the shape of $x$. Leave $x$ itself as it was.
"""


# %%
def my_central_differences(function, x, h):
    """The gradient of `function` (array -> number) at the array x, measured with step h. Returns d_x."""
    ### BEGIN SOLUTION
    d_x = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[place] = h
        d_x[place] = (function(x + e) - function(x - e)) / (2 * h)
    return d_x
    ### END SOLUTION


right = exercise_9_1.check(my_central_differences)

# %% [markdown]
r"""
From here on we use one that is in the course's own files, `central_differences(function, x, h)`. It does the same.

**What differences cannot see.** They have an error of $10^{-10}$ or so, and all that is smaller than that. They
cannot see across a kink (below). And in float32, where $\varepsilon = 10^{-7}$, the best that they can do is
$\varepsilon^{2/3}$, four or five digits: so compute the reference in float64.

## The complex step

The rounding error came from a subtraction. The complex step has none. Take a step $ih$, with $i^2 = -1$. The Taylor
series at $x$ again, with $ih$ in place of $h$:

$$f(x+ih) = f(x) + ih f'(x) - \frac{h^2}{2} f''(x) - \frac{i h^3}{6} f'''(x) + \dots$$

Now look at the imaginary part (虚部) only. $f(x)$ is real and is **not in it**, so it need not be subtracted:

$$\text{Im} f(x+ih) = h f'(x) - \frac{h^3}{6} f'''(x) + \dots \qquad\Rightarrow\qquad
\frac{\text{Im} f(x+ih)}{h} = f'(x) - \frac{h^2}{6} f'''(x) + \dots$$

Nothing is subtracted, so $h$ can be $10^{-20}$. Then the next term is $10^{-40}$, and what remains is the rounding of
$f$ itself. This is the third curve of the picture.
"""

# %%
assert function(x + 1e-20) == function(x)  # a real step of this size is lost
tiny = function(x + 1j * 1e-20).imag / 1e-20
assert abs(Fraction(tiny) - slope) / slope < 1e-15
print(f"Im f(x + ih) / h with h = 1e-20: {tiny:.12f}")
print(f"the exact slope:                 {float(slope):.12f}")

# %% [markdown]
r"""
### Exercise 9.2 · Write the complex step

One entry at a time, as before; choose $h = 10^{-20}$. (`x + 1j * e` makes a complex array. Written **into** a real
array, the imaginary part is lost.)
"""


# %%
def my_complex_step(function, x):
    """The gradient of `function` (array -> number) at the real array x. Returns d_x, real."""
    ### BEGIN SOLUTION
    h = 1e-20
    d_x = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[place] = h
        d_x[place] = function(x + 1j * e).imag / h
    return d_x
    ### END SOLUTION


right = exercise_9_2.check(my_complex_step)

# %% [markdown]
r"""
**What the complex step needs.** The Taylor series must hold for complex numbers as well: the function has to be
**analytic** (解析函数). Sums, products, `exp`, matrix products and convolutions are. The **absolute value** is not:
$|x + ih|$ is $\sqrt{x^2+h^2}$, a real number. Its imaginary part is 0, whatever the slope is:
"""

# %%
a = np.array([2.0, -3.0])
print("np.abs      ", complex_step(lambda x: np.sum(np.abs(x) + 0j), a))
print("sqrt(x * x) ", complex_step(lambda x: np.sum(np.sqrt(x * x)), a))
print("differences ", central_differences(lambda x: np.sum(np.abs(x)), a, 1e-5))
assert not complex_step(lambda x: np.sum(np.abs(x) + 0j), a).any()
assert np.allclose(complex_step(lambda x: np.sum(np.sqrt(x * x)), a), [1, -1])

# %% [markdown]
r"""
And a **comparison** is a question about size, which complex numbers do not have. So ReLU and the maximum have
to ask it about the **real part**. In the package the helper `real` does that; it returns a real array
unchanged. Then the imaginary part rides along on the entry that won:
"""

# %%
z = np.array([-1.0, 2.0])
assert np.allclose(complex_step(lambda x: np.sum(cb.ops.relu(x)[0]), z), [0, 1])
assert np.allclose(complex_step(lambda x: np.sum(x[np.argmax(x.real)]), z), [0, 1])
print("ReLU at", z, "has the slopes", complex_step(lambda x: np.sum(cb.ops.relu(x)[0]), z))

# %% [markdown]
r"""
**What the complex step cannot see.** It says nothing about a function that calls `abs`, `real` or a library that takes
no complex numbers; worse, it may answer zero. So compare it with differences once: two methods with different
weaknesses.

## Autograd

PyTorch records which operations ran and applies its own, well-tested backward to each. As a reference it is exact and
fast. But it differentiates the **program**, not the formula:

- it needs the function a second time, written in PyTorch. If both have the same mistake, both agree;
- at a kink it returns one of the possible answers and says nothing;
- a branch that was not taken can still spoil the gradient. Below, the square root has the slope $\infty$ at 0. `where`
  does not take that branch there and multiplies its slope by 0. But $0 \cdot \infty$ is NaN.
"""

# %%
t = torch.tensor([-1.0, 0.0, 4.0], dtype=torch.float64, requires_grad=True)
(d_t,) = torch.autograd.grad(torch.where(t > 0, torch.sqrt(t.clamp(min=0)), 0).sum(), t)
print("where(t > 0, sqrt(t), 0):", d_t.numpy())
(d_relu,) = torch.autograd.grad(torch.relu(t).sum(), t)
print("relu:                    ", d_relu.numpy())
assert torch.isnan(d_t[1])
assert d_relu[1] == 0

# %% [markdown]
r"""
## How to ruin a check: an upstream gradient of ones

Many checks take $d_{\text{out}} = 1$ everywhere. It is convenient: $L$ is the sum of the output. Two classic examples
show what it does.

**Batch norm** (批归一化). Within a batch of $n$ numbers, with mean $\mu$ and standard deviation $s$,
$y_i = (x_i - \mu)/s$. Add up all outputs:

$$L = \sum_i y_i = \frac{\sum_i x_i - n\mu}{s} = \frac{n\mu - n\mu}{s} = 0$$

for **every** $x$. So the true gradient of $L$ is zero. A backward that returns nothing but zeros passes the check.

**Softmax.** $p_i = e^{x_i} / \sum_j e^{x_j}$. Add up all outputs:

$$L = \sum_i p_i = \frac{\sum_i e^{x_i}}{\sum_j e^{x_j}} = 1$$

for every $x$. The same again.
"""


# %%
def batch_norm(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)


rng = np.random.default_rng(0)
x_small, ones, d_out = rng.normal(size=(4, 3)), np.ones((4, 3)), rng.normal(size=(4, 3))
for op in (batch_norm, softmax):
    d_ones = central_differences(lambda x, op=op: np.sum(ones * op(x)), x_small, 1e-5)
    d_random = central_differences(lambda x, op=op: np.sum(d_out * op(x)), x_small, 1e-5)
    assert np.abs(d_ones).max() < 1e-9
    assert np.abs(d_random).max() > 0.1
    print(f"{op.__name__:11} largest entry with ones 0, with random d_out {np.abs(d_random).max():.2f}")

# %% [markdown]
r"""
These are extreme. But any backward that **forgets to multiply** by its upstream gradient passes too, and so
does one that mixes up entries of it: with ones, all entries are alike.

How many? The tests of this package plant mistakes, one at a time: they change one fragment of the source, which
makes a **mutant** (变异体), and look whether the check notices. Here we do it for a part of them, once with a random
upstream gradient and once with ones.
"""

# %%
groups = {
    "ReLU and sigmoid": ("relu", "sigmoid"),
    "gate": ("gate by M_c", "gate by M_s"),
    "concatenation": ("concat, alike",),
    "convolution": ("im2col", "conv2d 3×3, bias"),
}
found = {
    name: mutants.verdicts(mutant for mutant in mutants.MUTANTS if mutant.check in checks)
    for name, checks in groups.items()
}

# %%
missed_with_ones = []
for name, verdicts in found.items():
    missed = [v.mutant.name for v in verdicts if not v.killed_with_ones]
    missed_with_ones += missed
    assert all(v.killed for v in verdicts)
    assert missed
    print(f"{name:17} {len(verdicts):3} mistakes, missed by a random upstream 0, missed by ones {len(missed)}")
print("\nmissed by ones:", *missed_with_ones, sep="\n  ")
assert {name.split(": ")[1] for name in missed_with_ones} > {"upstream ignored", "order swapped"}

# %% [markdown]
r"""
A random upstream gradient missed none of these. With ones, every operation is allowed to ignore its upstream,
the two parts of a concatenation may be swapped, and rows and columns may be mixed up. The cure costs nothing:
**draw it at random**.

## Kinks

At a tie (并列) in a maximum, or at ReLU's corner, there is a slope to the left and another to the right. The central
difference takes the mean of both. But it also goes wrong **next to** the kink: as soon as $x+h$ and $x-h$ are on
different sides. Here is ReLU, whose slope is 0 or 1, seen by central differences with two steps.
"""


# %%
def relu(x):
    return np.maximum(x, 0)


places = 1e-6 * np.arange(-200, 201)
seen = {h: (relu(places + h) - relu(places - h)) / (2 * h) for h in (1e-4, 1e-5)}
middle = len(places) // 2
assert places[middle] == 0
for h, slopes in seen.items():
    assert np.isclose(slopes[middle], 0.5)
    assert np.allclose(slopes[places > 1.01 * h], 1)
    assert np.allclose(slopes[places < -1.01 * h], 0)
    between = np.abs(places) < 0.99 * h
    assert np.allclose(slopes[between], 0.5 + places[between] / (2 * h))

# %% mystnb={"image": {"alt": "The slope of ReLU near 0, a step, and two ramps that differences see instead."}}
figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.plot(places, places > 0, color="black", linewidth=3, alpha=0.3, label="the slope of ReLU")
for (h, slopes), style in zip(seen.items(), ("-", "--"), strict=True):
    ax.plot(places, slopes, style, label=f"central difference, h = {h:g}")
ax.set(xlabel="x", ylabel="slope", xticks=[-2e-4, -1e-4, 0, 1e-4, 2e-4])
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
r"""
What to see: within a distance $h$ of the corner the difference is neither 0 nor 1 but on a ramp, and exactly at
the corner it is one half. A smaller step makes the ramp narrower, but never removes it.

So: **do not compare at a kink, and stay farther away from it than $h$.** Random inputs are never exactly at
one, but sometimes near. For a test take numbers that keep their distance, such as a shuffled row
$1, 2, 3, \dots$. And test ties with another implementation, because differences cannot (chapter
[2](02_pooling_over_space.ipynb)).

The complex step does not go to the left or right, so it has no trouble next to a kink. At a tie it follows whatever
the comparison picks.
"""

# %%
near = np.array([3e-5, -3e-5])
print("complex step", complex_step(lambda x: np.sum(cb.ops.relu(x)[0]), near))
print("differences ", central_differences(lambda x: np.sum(relu(x)), near, 1e-4))
assert np.allclose(complex_step(lambda x: np.sum(cb.ops.relu(x)[0]), near), [1, 0])
assert np.allclose(central_differences(lambda x: np.sum(relu(x)), near, 1e-4), [0.65, 0.35])

# %% [markdown]
r"""
## The tolerance

How far apart may the two gradients be? A tolerance of $10^{-2}$ looks strict. In CBAM it is not. Four of the
paths by which a gradient comes back to $F$ go through a pooling: average and maximum of channel attention,
average and maximum of spatial attention. We drop one of them and see how much $dF$ changes. Twenty random
blocks, 16 channels, 14 by 14 pixels.

(`RIGHT` is the block in plain NumPy that chapter [10](10_bug_hunt.ipynb) works with. `mended` replaces one of its
lines; here it takes the way back out of one pooling.)
"""

# %%
CUT = "lambda x, axis: ({}(x, axis)[0], lambda d_out: 0 * x)"  # the pooling, and nothing on the way back
WHERE = {"channel": line_of("for pool in (average, maximum):  # (3), (4)")}
WHERE["spatial"] = line_of("for pool in (average, maximum):  # (8), (9)")
without = {
    "channel, average": (WHERE["channel"], f"for pool in ({CUT.format('average')}, maximum):"),
    "channel, maximum": (WHERE["channel"], f"for pool in (average, {CUT.format('maximum')}):"),
    "spatial, average": (WHERE["spatial"], f"for pool in ({CUT.format('average')}, maximum):"),
    "spatial, maximum": (WHERE["spatial"], f"for pool in (average, {CUT.format('maximum')}):"),
}
changes = {path: [] for path in without}
for seed in range(20):
    rng = np.random.default_rng(seed)
    params = cb.CBAM(16, reduction=2, dtype="float64", seed=seed).params
    f, d_f2 = rng.normal(size=(2, 2, 16, 14, 14))
    _, d_f, *_ = RIGHT.run(f, params, d_f2)
    for path, (line, text) in without.items():
        _, d_f_cut, *_ = RIGHT.mended(line, text).run(f, params, d_f2)
        changes[path].append(np.linalg.norm(d_f - d_f_cut) / np.linalg.norm(d_f))

# %% mystnb={"image": {"alt": "For each path twenty dots on a logarithmic axis, with the tolerance 0.01 as a line."}}
figure, ax = plt.subplots(figsize=(8, 2.8), layout="constrained")
for y, values in enumerate(changes.values()):
    ax.semilogx(values, np.full(len(values), y), "o", alpha=0.5)
ax.axvline(1e-2, color="crimson", linestyle="--")
ax.text(1.05e-2, -0.75, "tolerance 0.01", color="crimson", fontsize=9)
ax.set_yticks(range(len(changes)), changes)
ax.set(xlabel="how much dF changes when the path is dropped, relative", ylim=(3.5, -1), xlim=(1e-3, 1))
plt.show()

# %%
for path, values in changes.items():
    below = sum(value < 1e-2 for value in values)
    print(f"{path}: {min(values):.2%} to {max(values):.2%}, below 1 % in {below} of {len(values)} blocks")

# %% [markdown]
r"""
What to see: left of the red line nobody notices. With a tolerance of $10^{-2}$ the **average of channel
attention could be missing** from the backward pass in nearly all blocks. The next one, the average of spatial
attention, is only just right of the line.

The right tolerance is not a matter of taste. It stands just above the error of the method: central differences in
float64 have $10^{-9}$ or less, so take $10^{-6}$ or $10^{-7}$; the complex step has $10^{-15}$, so take
$10^{-12}$. If a gradient misses by more than that, there is a reason. Find it, do not loosen the tolerance.
"""

# %%
low = {path: min(values) for path, values in changes.items()}
assert sum(value < 1e-2 for value in changes["channel, average"]) > len(changes["channel, average"]) / 2
assert low["channel, average"] > 1e-3  # a tolerance of 1e-6 sees it easily
assert low["spatial, average"] < 0.02
assert all(0.01 < low[path] < 0.1 for path in low if path != "channel, average")


# %% [markdown]
r"""
### Exercise 9.3 · Repair a check that cannot fail

Here is a check as it is often written. It has three faults. It is given six operations (each returns `out,
backward`), one of them right and five wrong, and it accepts them all.
"""


# %%
def useless_check(ops, x):
    verdicts = []
    for op in ops:
        out, backward = op(x)
        d_out = np.ones(out.shape)
        measured = backward(d_out)
        got = backward(d_out)
        verdicts.append(int(np.abs(got - measured).max() <= 1e-2 * np.abs(measured).max()))
    return np.array(verdicts)


ops, x, _ = exercise_9_3.inputs(1)
print("accepted:", useless_check(ops, x))
assert useless_check(ops, x).all()

# %% [markdown]
r"""
Write one that can fail. The upstream gradient comes as an argument, it is random.
`central_differences(function, x, 1e-5)` is at hand. Return an array of integers, 1 for each operation that you
accept.
"""


# %%
def accepted(ops, x, d_out):
    """For each op in `ops` 1 if its backward is right at x for the upstream gradient d_out, else 0."""
    ### BEGIN SOLUTION
    verdicts = []
    for op in ops:
        _, backward = op(x)
        measured = central_differences(lambda x, op=op: np.sum(d_out * op(x)[0]), x, 1e-5)
        verdicts.append(int(np.abs(backward(d_out) - measured).max() <= 1e-6 * np.abs(measured).max()))
    return np.array(verdicts)
    ### END SOLUTION


right = exercise_9_3.check(accepted)

# %% [markdown]
r"""
## Large inputs: random directions

Entry by entry, a check evaluates the function twice for each entry: two hundred thousand times for a feature
map of ordinary size. A **random direction** (随机方向) $v$ moves all entries at once, and takes two evaluations.
The gradient $g$ promises the slope along it,

$$\frac{L(x + hv) - L(x - hv)}{2h} \approx \sum_i g_i v_i$$

If one entry of $g$ is wrong by $\delta$, the right side is wrong by $\delta\, v_i$, and $v_i$ is hardly ever
zero. We try it on `swish`, which is $x\,\sigma(x)$ for each entry, with 100 352 entries. In
the wrong version a single entry of the gradient is changed, by a tenth of the largest.
"""


# %%
def one_entry_wrong(d_x, d_out):
    d_x = d_x.copy()
    d_x[1, 3, 20, 40] += 0.1 * np.abs(d_x).max()
    return d_x


rng = np.random.default_rng(0)
large, d_large = rng.normal(size=(2, 2, 16, 56, 56))
h = 6e-6
for name, op in (("right", swish), ("one entry wrong", with_mistake(one_entry_wrong))):
    g = op(large)[1](d_large)
    for _ in range(3):
        v = rng.normal(size=large.shape)
        measured = np.sum(d_large * (op(large + h * v)[0] - op(large - h * v)[0])) / (2 * h)
        off = abs(np.sum(g * v) - measured) / np.linalg.norm(g)
        assert (off < 1e-8) == (name == "right")
    print(f"{name}: {'seen' if off > 1e-8 else 'nothing seen'} along each of three directions")

# %% [markdown]
r"""
**What a direction cannot see:** where the mistake is. And the error of one entry is small beside the whole sum,
so the tolerance must be tight. Random directions together with a few single entries are a good mixture.

## `cb.gradcheck` does all of this

It takes an operation and its inputs, and then

- draws a **random** upstream gradient;
- measures with central differences **and** with the complex step, in float64, and compares both;
- goes through single entries (all of a small input, some of a large one) and three random directions;
- leaves out the entries that sit at a kink, and **counts** them;
- looks at shapes and dtypes, whether inputs were changed, and whether a second backward gives the same;
- says what is likely wrong if something is.

Here is an operation whose author forgot that the second factor of the product has a derivative as well.
"""


# %%
def swish_half(x):
    """x σ(x); the derivative of σ(x) is forgotten."""
    s = 1 / (1 + np.exp(-x))
    return x * s, lambda d_out: d_out * s


report = cb.gradcheck(swish_half, np.array([[-2.0, 0.5, 1.0], [3.0, -1.5, 2.5]]))
assert not report.ok
assert "path" in str(report)
print(report)

# %% [markdown]
r"""
How to read it. One line for each input and method. *compared*: six entries and three directions. *max error*:
the largest difference, relative to the largest entry. *worst at*: where, with what came (*got*) and what was
measured (*expected*). Below the table: a guess at the reason. Here it is a good one:
$x$ moves the output on two paths, and one is missing.

`report.ok` is the verdict for a program; `report.rows` has the numbers. If nothing could be compared, `ok` is
false: a check that did not look is no check. And kinks are counted. Below,
one entry of three sits at one; the directions do not move it:
"""

# %%
x_with_corner = np.array([-1.0, 0.0, 2.0])
for row in cb.gradcheck(cb.ops.relu, x_with_corner).rows:
    print(f"{row.input} {row.method:13} compared {row.compared}, kinks left out {row.kinks}: {row.verdict}")
    assert (row.compared, row.kinks) == (2 + 3, 1)
report = cb.gradcheck(cb.ops.relu, np.zeros(3))
assert not report.ok  # nothing but corners
print("only corners:", {row.verdict for row in report.rows})

# %% [markdown]
r"""
## Who sees what

| | error | needs | cannot see |
|---|---|---|---|
| central differences | $10^{-9}$ | only values | at or next to a kink, very small errors |
| complex step | $10^{-15}$ | analytic, comparisons on the real part | what `abs` and the like swallow |
| autograd | $10^{-15}$ | the function again, in PyTorch | a mistake that both have |
| **all three** | | a random upstream gradient | **that the function is the wrong one** |

The last line is the subject of the next chapter. The first two measure slopes of your own forward pass (前向传播).
If it computes the wrong formula, its gradient is right, for the wrong formula.

## What to remember

- Central differences with $h = 6 \cdot 10^{-6}$, the complex step with $h = 10^{-20}$; both in float64.
- A random upstream gradient, never ones; no kinks within reach; a tolerance just above the error of the method.
- A check that has never failed has not been tested: plant a mistake and see that it is found.

**Next:** [10. Bug hunt](10_bug_hunt.ipynb) ·
**Solutions:** [chapter 9, solved](solutions/09_checking_a_gradient.ipynb)

**The code:** [gradcheck.py](../cbam_np/checking/thorough.py), the guesses: [diagnosis.py](../cbam_np/checking/diagnosis.py), the
planted mistakes: [mutants.py](../cbam_np/checking/mutants.py)

**The paper:** Woo, Park, Lee, Kweon,
[CBAM: Convolutional Block Attention Module](https://arxiv.org/abs/1807.06521).
"""
