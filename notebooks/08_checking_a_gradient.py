# %% [markdown]
r"""
# 8. Checking a gradient · 梯度检查

> **You have trusted your check since chapter 1. Why this step, and not a smaller one? And how do you know that the check can fail?**
"""

# %% tags=["hide-input"] mystnb={"image": {"alt": "Log-log plot of error over step: two V shapes, and a line that falls and stays down."}}
from fractions import Fraction

import numpy as np

import cbam_np as cb
from cbam_np.course import answer, paths, pictures_b
from cbam_np.course.hunt import slopes


def function(x):
    return x * x * x / (1 + x * x)


x = 1.1
exact = Fraction(x)  # the very number that the computer has for 1.1
slope = (3 * exact**2 + exact**4) / (1 + exact**2) ** 2
steps = [10.0 ** (-i / 4) for i in range(2, 61)]


def errors(measure):
    """The relative error of measure(eps), for all steps; 1e-17 where there is none."""
    return [max(float(abs(Fraction(measure(eps)) - slope) / slope), 1e-17) for eps in steps]


one_sided = errors(lambda eps: (function(x + eps) - function(x)) / eps)
central = errors(lambda eps: (function(x + eps) - function(x - eps)) / (2 * eps))
imaginary = errors(lambda eps: function(x + 1j * eps).imag / eps)
pictures_b.errors_over_steps(
    steps, {"one-sided difference": one_sided, "central difference": central, "complex step": imaginary}
)

# %% [markdown]
r"""
Three ways to measure one slope whose true value is known, with steps (步长) from large on the right to tiny on the left.
Two of them get better and then worse. By the end of this chapter you can explain every part of this picture.

| | |
|---|---|
| **Time** | about 60 minutes |
| **You need** | your `slopes` and `largest_error` of chapter [1](01_the_block.ipynb); the Taylor series (泰勒级数); that $\mathrm i^2=-1$ |
| **You build** | nothing new in your file: you find out what your check can see |

The document has no backward pass (反向传播) and says nothing about checking one, so this chapter has no formula of its own.

## Two errors

What a check measures is the slope (斜率) of one number, $L(x) = \sum d_{\text{out}} \odot \text{op}(x)$. Take a function of
one number, and write down its Taylor series to the right and to the left of $x$, with the derivatives as coefficients:

$$f(x \pm \varepsilon) = f(x) \pm \varepsilon f'(x) + \frac{\varepsilon^2}{2} f''(x) \pm \frac{\varepsilon^3}{6} f'''(x) + \dots$$

Subtract $f(x)$ from the first and divide by $\varepsilon$: the **one-sided** difference. Subtract one line from the
other and divide by $2\varepsilon$: the **central** difference (中心差分). There the terms with $\varepsilon^2$ cancel.

$$\frac{f(x+\varepsilon) - f(x)}{\varepsilon} = f'(x) + \frac{\varepsilon}{2} f''(x) + \dots \qquad\qquad
\frac{f(x+\varepsilon) - f(x-\varepsilon)}{2\varepsilon} = f'(x) + \frac{\varepsilon^2}{6} f'''(x) + \dots$$

Both are called **finite differences** (有限差分). What is cut off is the **truncation error** (截断误差). A smaller step makes it smaller, and that of the central difference shrinks much faster.

But a computer keeps about 16 digits. $f(x+\varepsilon)$ is wrong by about $2.2\cdot10^{-16}\,|f|$, and this is then divided
by $\varepsilon$. So the **rounding error** (舍入误差) *grows* as $\varepsilon$ shrinks.

<details><summary>Where is the best step of the central difference? Set both errors equal and leave out the factors that depend on f.</summary>

$\varepsilon^2 = 2.2\cdot10^{-16}/\varepsilon$, so $\varepsilon = \sqrt[3]{2.2\cdot10^{-16}} = 6\cdot10^{-6}$. The $10^{-5}$ of
chapter 1 is close to it. For the one-sided difference, $\varepsilon = \sqrt{2.2\cdot10^{-16}} = 1.5\cdot10^{-8}$.

</details>

**8.1** Read the lowest points of both V shapes in the picture. About how many times as exact is the central difference at its
best as the one-sided one at its best? Type the nearest power of ten: 10, 100, 1000, ...
"""

# %%
answer("8.1", ...)  # solved: 1000

assert 300 < min(one_sided) / min(central) < 3000
best = {name: steps[int(np.argmin(e))] for name, e in (("one-sided", one_sided), ("central", central))}
assert 1e-9 < best["one-sided"] < 1e-7
assert 1e-6 < best["central"] < 1e-4
near = {eps: int(np.argmin(np.abs(np.log10(steps) - np.log10(eps)))) for eps in (1e-8, 1e-5)}
assert one_sided[near[1e-8]] > 100 * central[near[1e-5]]
assert central[near[1e-5]] < 1e-9
assert np.isclose(np.finfo(float).eps ** (1 / 3), 6e-6, rtol=0.02)
assert np.isclose(np.finfo(float).eps ** (1 / 2), 1.5e-8, rtol=0.02)

# %% [markdown]
r"""
## A step to the side

Rounding hurts because two nearly equal numbers are subtracted. There is a way without a subtraction (复步法). Step in the
**imaginary** direction, $\mathrm i\varepsilon$:

$$f(x+\mathrm i\varepsilon) = f(x) + \mathrm i\varepsilon f'(x) - \frac{\varepsilon^2}{2} f''(x) -
\frac{\mathrm i\varepsilon^3}{6} f'''(x) + \dots \qquad\Rightarrow\qquad
\frac{\text{Im}\, f(x+\mathrm i\varepsilon)}{\varepsilon} = f'(x) - \frac{\varepsilon^2}{6} f'''(x) + \dots$$

$f(x)$ is real. It isn't in the imaginary part (虚部), so nobody has to subtract it. $\varepsilon$ can be $10^{-20}$, and
only the rounding of $f$ itself remains: the third curve.
"""

# %%
eps = 1e-20
print("x + 1e-20 == x:", x + eps == x)
print(f"Im f(x + i 1e-20) / 1e-20 = {function(x + 1j * eps).imag / eps:.12f}")
print(f"the exact slope           = {float(slope):.12f}")
assert abs(Fraction(function(x + 1j * eps).imag / eps) - slope) / slope < 1e-15

# %% [markdown]
r"""
**What it needs.** The series must hold for complex numbers. Sums, products, `exp` and convolutions are fine. The absolute
value is not: $|x+\mathrm i\varepsilon|$ is a real number, and its imaginary part is 0, whatever the slope is. And a comparison has to look at the
**real part**: that's why the sources of this package have `z.real > 0`.

**8.2** What does the complex step find for the slope of `np.abs` at $x = 2$? (The true slope is 1.)
"""

# %%
answer("8.2", ...)  # solved: 0

# %% [markdown]
r"""
**PyTorch's autograd** (自动微分) is the third way to get a gradient to compare with. It's exact and fast, but it differentiates
a *second program*, the one you wrote in PyTorch. If both have the same mistake, they agree. And at a corner, where there is no
slope, it returns one of its own choice and says nothing.

## Four ways to ruin a check

Here is the kind of check that you find in many projects. It accepts whatever you give it. Find the faults before you unfold.

```python
def useless_check(op, x):
    out, backward = op(x)
    d_out = np.ones(out.shape)
    measured = backward(d_out)
    got = backward(d_out)
    return np.abs(got - measured).max() <= 1e-2 * np.abs(measured).max()
```

<details><summary>What is wrong with it?</summary>

It compares the gradient with itself; it takes ones for $d_{\text{out}}$; and a tolerance of $10^{-2}$ is far too wide. (And
if everything is NaN, what does `<=` say? Here it says False, which is right. `not (error > tolerance)` would say True.)

</details>

### 1. Ones

With $d_{\text{out}} = 1$ everywhere, $L$ is the sum of the output. For a softmax that sum is always 1; for a batch norm
(批归一化), which subtracts the mean of a batch and divides by its standard deviation, it's always 0. So the true gradient of $L$ is **zero**, and a backward
that returns nothing but zeros passes. The same goes for one that forgets to multiply by $d_{\text{out}}$. The remedy
costs nothing: draw it at random.
"""


# %%
def batch_norm(x):
    return (x - x.mean(axis=0)) / x.std(axis=0), None


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True), None


rng = np.random.default_rng(0)
x_small, d_out = rng.normal(size=(2, 4, 3))
for op in (batch_norm, softmax):
    with_ones, with_random = (np.abs(slopes(op, (x_small,), 0, d)).max() for d in (np.ones((4, 3)), d_out))
    assert with_ones < 1e-9
    print(f"{op.__name__:11} largest slope with ones 0, with a random d_out {with_random:.2f}")
    assert with_random > 0.1

# %% [markdown]
r"""
### 2. Kinks

At a tie (并列) in a maximum, or at ReLU's corner, the slope to the left differs from the slope to the right. The central
difference takes their mean. It goes wrong **next to** the corner, too: as soon as $x+\varepsilon$ and $x-\varepsilon$ are on
different sides.
"""

# %% tags=["hide-input"] mystnb={"image": {"alt": "The slope of ReLU near 0, a step, and two ramps that differences see instead."}}
places = 1e-6 * np.arange(-200, 201)
seen = {eps: (np.maximum(places + eps, 0) - np.maximum(places - eps, 0)) / (2 * eps) for eps in (1e-4, 1e-5)}
pictures_b.slopes_at_a_corner(places, seen)
for eps, measured in seen.items():
    between = np.abs(places) < 0.99 * eps
    assert np.isclose(measured[len(places) // 2], 0.5)
    assert np.allclose(measured[between], 0.5 + places[between] / (2 * eps))

# %% [markdown]
r"""
What to see: within $\varepsilon$ of the corner (尖点), differences see a ramp in place of a step. A smaller step makes the
ramp narrower and never removes it. So don't compare at a kink, and keep away from it by more than $\varepsilon$: for tests,
take numbers that keep their distance, such as a shuffled $1, 2, 3, \dots$ Test ties against another implementation.

### 3. A tolerance (容差) that is too wide

$10^{-2}$ looks strict. In CBAM it isn't. Here one path through a pooling is left out of the backward pass: twenty fresh
blocks with 16 channels of $14\times14$ pixels and $r = 2$. How wrong does $dF$ become?
"""

# %% mystnb={"image": {"alt": "For each path twenty dots on a logarithmic axis, with the tolerance 0.01 as a line."}}
lost = {}
for seed in range(20):
    rng = np.random.default_rng(seed)
    params = cb.CBAM(16, reduction=2, dtype="float64", seed=seed).params
    f, d_f2 = rng.normal(size=(2, 2, 16, 14, 14))
    for path, error in paths.lost(paths.routes(f, params, d_f2)).items():
        lost.setdefault(path, []).append(error)

pictures_b.lost_paths(lost)
for path, values in lost.items():
    print(f"without the {path}: below 1 % in {sum(value < 0.01 for value in values)} of {len(values)} blocks")
unseen = {path: sum(value < 0.01 for value in values) for path, values in lost.items()}
assert unseen["channel average"] > 10
assert [unseen[path] for path in ("channel maximum", "spatial average", "spatial maximum")] == [0, 0, 0]
assert min(lost["channel average"]) > 1e-3

# %% [markdown]
r"""
What to see: left of the dashed line nobody notices. The **channel average could be missing from the backward pass of most of
these blocks**, and a tolerance of 1 % would accept them. How many depends on the size: the larger the map, the less its
average says about one pixel.

The right tolerance isn't a matter of taste. It's a little above the error of the method: differences reach $10^{-9}$, so
take $10^{-6}$ or $10^{-7}$; the complex step reaches $10^{-15}$, so take $10^{-12}$. If a gradient misses by more, there is a
reason. Find it; don't widen the tolerance.

### 4. A check that was never seen to fail

Here are six backwards of $x\,\sigma(x)$; one of them is right.
"""


# %%
def swish(change):
    """x σ(x), whose gradient is changed to change(gradient, d_out)."""

    def op(x):
        s = 1 / (1 + np.exp(-x))
        return x * s, lambda d_out: change(d_out * (s + x * s * (1 - s)), d_out)

    return op


SUSPECTS = {
    "a": swish(lambda d_x, d_out: 1.003 * d_x),
    "b": swish(lambda d_x, d_out: d_x / d_out),
    "c": swish(lambda d_x, d_out: np.flip(d_x)),
    "d": swish(lambda d_x, d_out: d_x),
    "e": swish(lambda d_x, d_out: np.abs(d_x)),
    "f": swish(lambda d_x, d_out: d_x + 1e-3 * (d_x == d_x.max())),
}

# %% [markdown]
r"""
**8.3** Which of them does **your** check accept? In a new cell: `from my_cbam import largest_error`, and then
`largest_error(SUSPECTS["a"], x_small)` and so on. Type the letters of those below $10^{-6}$, such as `"bf"`. If there is
more than one, what is your check missing?
"""

# %%
answer("8.3", ...)  # solved: "d"

# %% [markdown]
r"""
## Large inputs

Entry by entry, a feature map of ordinary size takes hundreds of thousands of evaluations. A **random direction** (随机方向)
$v$ moves all entries at once and takes two:

$$\frac{L(x + \varepsilon v) - L(x - \varepsilon v)}{2\varepsilon} \approx \sum_i g_i v_i$$

If one entry of the gradient $g$ is wrong by $\delta$, the right side is wrong by $\delta v_i$, and $v_i$ is hardly ever
zero. A direction says *that* something is wrong, and not *where*.
"""

# %%
rng = np.random.default_rng(0)
large, d_large, v = rng.normal(size=(3, 2, 16, 56, 56))
for name in ("d", "f"):
    op, eps = SUSPECTS[name], 6e-6
    g = op(large)[1](d_large)
    measured = np.sum(d_large * (op(large + eps * v)[0] - op(large - eps * v)[0])) / (2 * eps)
    off = abs(np.sum(g * v) - measured) / np.linalg.norm(g)
    print(f"{name}: {large.size:,} entries, one direction: {'nothing seen' if off < 1e-8 else 'wrong'}")
    assert (off < 1e-8) == (name == "d")

# %% [markdown]
r"""
In "f" one entry of 100,352 is wrong, by 0.001, and two evaluations have found it.

## `cb.gradcheck` does all of this

It draws a random $d_{\text{out}}$; measures by central differences and by the complex step; takes single entries and random
directions; leaves out entries that sit at a kink, and counts them; looks at shapes and dtypes, at whether inputs were
changed, and at whether a second backward gives the same. If something is wrong it says what it may be.
"""


# %%
def swish_half(x):
    """x σ(x); the derivative of σ is forgotten."""
    s = 1 / (1 + np.exp(-x))
    return x * s, lambda d_out: d_out * s


report = cb.gradcheck(swish_half, np.array([[-2.0, 0.5, 1.0], [3.0, -1.5, 2.5]]))
print(report)
assert not report.ok
assert not cb.gradcheck(cb.ops.relu, np.zeros(3)).ok  # nothing but corners: a check that couldn't look is no check

# %% [markdown]
r"""
| | error | needs | can't see |
|---|---|---|---|
| central differences | $10^{-9}$ | only values | at or next to a kink |
| complex step | $10^{-15}$ | an analytic function (解析函数) | what `abs` and the like swallow |
| autograd | $10^{-15}$ | the function again, in PyTorch | a mistake that both have |
| **all three** | | a random $d_{\text{out}}$ | **that your function is the wrong one** |

The last line is where the next chapter begins.

## What you built

- A reason for every number in your check: the step, the random $d_{\text{out}}$, the tolerance.
- A test of your check, on five wrong gradients and a right one.
- Two more ways to measure a slope: to the side, and along a random direction.

**Next:** [9. Bug hunt](09_bug_hunt.ipynb)

**The code:** [simple.py](../cbam_np/checking/simple.py), the check that you wrote; [thorough.py](../cbam_np/checking/thorough.py)
and [diagnosis.py](../cbam_np/checking/diagnosis.py), the long one
"""
