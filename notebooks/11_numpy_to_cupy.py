# %% [markdown]
r"""
# 11. From NumPy to CuPy · 从 NumPy 到 CuPy

CuPy is an array library (数组库) that looks like NumPy and computes on an NVIDIA GPU (图形处理器). The block
of this course runs on both, from the same source. This chapter shows what that takes.

**What you will learn**

- to run one function on the arrays of several libraries, in one process, without telling it which;
- why nothing here is global, and what goes wrong if something is;
- what moves between host (主机) and device (设备), and what it costs;
- where synchronisation (同步) hides, and why a stopwatch lies that does not know of it;
- the habits that survive the switch, and what a test without a GPU can say and cannot say.

**What you need:** chapters [1](01_the_block.ipynb) and [5](05_pooling_over_channels.ipynb). You need **no
GPU**. Where there is none, PyTorch tensors and the strict array-API library stand for "the other library".
Those cells really run. They show something about the code of this package; about CuPy itself they show
nothing.

**What you see here.** The stored outputs come from a machine without a GPU. Nothing in them has run on CuPy.
What is said about CuPy is taken from its documentation and its source, version 14.2, and is marked so. Cells
that need a GPU ask one flag, `HAVE_GPU`. If you have one, run the chapter again: they do their work, and the
last cell says that nothing was left out.
"""

# %%
import inspect
import json
import os
import platform
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import array_api_compat
import array_api_strict
import matplotlib.pyplot as plt
import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch.utils._python_dispatch import TorchDispatchMode

import cbam_np as cb
from cbam_np.arrays import describe, library_name, usable_cupy
from cbam_np.checking import cupy_standin as standin
from cbam_np.checking.cupy_standin import snippets
from cbam_np.commands import sides
from cbam_np.commands.timing import interleaved
from cbam_np.course.chapter_11 import exercise_11_1, exercise_11_2
from cbam_np.inputs import namespace

plt.rcParams.update({"figure.facecolor": "white", "figure.dpi": 110})
np.set_printoptions(precision=3, suppress=True)
here = (Path.cwd(), *Path.cwd().parents)
root = next(folder for folder in here if (folder / "notebooks" / "timings").is_dir())  # of the project

# %% [markdown]
r"""
## Is there a GPU?

`import cupy` also succeeds on a machine without a driver and without a GPU. So the import proves nothing.
`usable_cupy` multiplies two small matrices, and if that fails it says which of three things is missing.
"""

# %%
left_out = []  # what this run could not do
try:
    cupy = usable_cupy()
    HAVE_GPU = True
except RuntimeError as reason:
    HAVE_GPU = False
    print(reason)
print("HAVE_GPU =", HAVE_GPU)

# %% [markdown]
r"""
## One formula on the way: the maximum over channels

The document has no section on libraries. Its formulas do not know where their arrays live, and that is the
point: the code should not know it either. We take one formula along as a sample, from section 3,
*空间注意力机制(Spatial Attention)*. As the document has it:

$$\mathbf{F}{\text{max}}^s = \max_{k \in C} \mathbf{F}_k$$

The subscript "max" has slipped off the $\mathbf{F}$, $C$ is a number and is treated as a set, and
$\mathbf{F}$ should be $\mathbf{F'}$. As it must be read, this is formula (9) of chapter 5:

$$\underbrace{F^s_{\text{max}}[n,i,j]}_{N,1,H,W} = \max_{1 \le k \le C} \underbrace{F'[n,k,i,j]}_{N,C,H,W}$$

**On paper.** One sample, three channels, one row, two columns. The left pixel has the values $1, 5, 2$ in its
three channels, the right pixel $4, 0, 3$. The maxima are $5$, from channel 1, and $4$, from channel 0. Let
the upstream gradient (上游梯度) be $10$ and $-1$. Then $10$ goes to channel 1 of the left pixel, $-1$ to
channel 0 of the right pixel, and $0$ everywhere else.
"""


# %%
def backward_in_loops(d_max_s, f1):
    """One pixel at a time: find the winner, give it everything."""
    N, C, H, W = f1.shape
    d_f1 = np.zeros(f1.shape)
    for n, i, j in np.ndindex(N, H, W):
        winner = 0
        for k in range(C):
            if f1[n, k, i, j] > f1[n, winner, i, j]:
                winner = k
        d_f1[n, winner, i, j] = d_max_s[n, 0, i, j]
    return d_f1


f1 = np.array([[1.0, 4.0], [5.0, 0.0], [2.0, 3.0]]).reshape(1, 3, 1, 2)
d_max_s = np.array([10.0, -1.0]).reshape(1, 1, 1, 2)
on_paper = np.array([[0.0, -1.0], [10.0, 0.0], [0.0, 0.0]]).reshape(f1.shape)
assert np.array_equal(backward_in_loops(d_max_s, f1), on_paper)

# %% [markdown]
r"""
**Derived.** Call the winner $k^*$; every sample and every pixel has its own.

$$F^s_{\text{max}}[n,i,j] = F'[n,k^*,i,j]$$

Move one entry $F'[n,k,i,j]$ a little. If $k = k^*$ the output moves by as much. If not, the output does not
move. Other pixels and other samples do not occur. So the derivative is

$$\frac{\partial F^s_{\text{max}}[n,i,j]}{\partial F'[n,k,i,j]} = [\,k = k^*\,]$$

The bracket is $1$ if what stands in it is true, and $0$ if not. The chain rule multiplies with the upstream
gradient:

$$dF'[n,k,i,j] = dF^s_{\text{max}}[n,i,j] \; [\,k = k^*\,]$$

$$\boxed{dF'[n,k,i,j] = \begin{cases} dF^s_{\text{max}}[n,i,j] & \text{if } k = k^* \\ 0 & \text{else} \end{cases}}$$

The last two lines say the same. As code they are **two different programs**:

- The box can be read as *write*: make zeros, then put the gradient at the index $k^*$. This writes into an
  array, in place (原地).
- The line with the bracket can be read as *compare*: number the channels $0, 1, 2, \dots$, compare each
  number with $k^*$, choose. Nothing is written.
"""


# %%
def backward_by_writing(d_max_s, f1):
    """For libraries whose arrays can be written to at an index."""
    winner = np.argmax(f1, axis=1, keepdims=True)
    d_f1 = np.zeros(f1.shape)
    np.put_along_axis(d_f1, winner, d_max_s, axis=1)
    return d_f1


def backward_by_comparing(d_max_s, f1):
    """For any library."""
    xp = namespace(d_max_s=d_max_s, f1=f1)
    winner = xp.argmax(f1, axis=1, keepdims=True)
    channels = xp.arange(f1.shape[1], dtype=winner.dtype, device=array_api_compat.device(f1))
    return xp.where(xp.reshape(channels, (-1, 1, 1)) == winner, d_max_s, xp.zeros_like(d_max_s))


assert np.array_equal(backward_by_writing(d_max_s, f1), on_paper)
assert np.array_equal(backward_by_comparing(d_max_s, f1), on_paper)

# %% [markdown]
r"""
The first line of `backward_by_comparing` is the line that matters: `xp = namespace(...)`. It asks the arrays
which library they belong to. After it, every function is taken from `xp`, and `np` does not occur any more.

The package has both programs. NumPy and CuPy arrays can be written to, and on NumPy writing is several times
faster. The arrays of other libraries get the comparison:
"""

# %%
print(inspect.getsource(cb.arrays.put_along_axis))
for library in ("numpy", "torch", "array_api_strict"):
    there, d_there = cb.asarray(f1, library), cb.asarray(d_max_s, library)
    max_s, backward = cb.ops.max_pool_over_channels(there)
    assert np.array_equal(cb.to_numpy(backward(d_there)), on_paper)
    assert np.array_equal(cb.to_numpy(backward_by_comparing(d_there, there)), on_paper)

# %% [markdown]
r"""
## The same block on several libraries, in one process

Three functions move arrays, and there are no others:

- `cb.asarray(x, "cupy")` gives `x` as an array of that library;
- `cb.to_numpy(x)` brings it back;
- `block.to("cupy")` gives a block with the same parameters, moved.

Everything else stays as it is. This is the whole switch:
"""

# %%
libraries = ["numpy", "torch", "array_api_strict"]
if HAVE_GPU:
    libraries.append("cupy")
else:
    left_out.append("the block on CuPy arrays, forward and backward")

N, C, H, W = 2, 6, 5, 4
rng = np.random.default_rng(0)
f, d_f2 = rng.standard_normal((2, N, C, H, W))
block = cb.CBAM(C, reduction=2, dtype="float64", seed=0)

results = {}
for library in libraries:
    moved = block.to(library)
    f2 = moved(cb.asarray(f, library))
    d_f = moved.backward(cb.asarray(d_f2, library))
    results[library] = f2, d_f
    for x, reference in zip(results[library], results["numpy"], strict=True):
        assert library_name(x) == library
        assert np.abs(cb.to_numpy(x) - reference).max() < 1e-12
    print(f"{library:18}{describe(f2)}")

# %% [markdown]
r"""
The same class and the same lines, and each result is an array of the library that came in. Output and
gradient agree with NumPy to $10^{-12}$.

*array_api_strict* is a library for tests. It computes with NumPy inside, but it offers what the **array-API
standard** (数组 API 标准) promises, and refuses the rest. What runs on it does not lean on anything special.

## How a function knows: dispatch on the inputs

Choosing the library by looking at the arguments is called **dispatch** (分派). All of it is one function:
"""

# %%
print(inspect.getsource(namespace))
for f2, _ in results.values():
    print(namespace(f2=f2).__name__)

# %% [markdown]
r"""
### What is array-api-compat?

Libraries have the same functions under different names, or the same name with a different meaning. The
array-API standard settles one spelling for all. **array-api-compat** is a small package that wraps NumPy,
CuPy, PyTorch and others so that they follow it. It has no arrays of its own: a tensor stays a tensor. Two
examples, from PyTorch:
"""

# %%
tensor = torch.tensor([[1.0, 5.0], [7.0, 3.0]])
xp = namespace(tensor=tensor)

pair = torch.max(tensor, dim=1)  # PyTorch: the values and the indices
values = xp.max(tensor, axis=1)  # the standard: the values
assert type(pair) is torch.return_types.max
assert type(values) is torch.Tensor
assert values.tolist() == pair.values.tolist() == [5.0, 7.0]

assert not hasattr(torch, "permute_dims")  # there it is called permute
assert xp.permute_dims(tensor, (1, 0)).tolist() == [[1.0, 7.0], [5.0, 3.0]]

# %% [markdown]
r"""
CuPy needs the wrapper as well: its own `zeros` knows no `device=`, its `clip` knows no `min=`, and it has no
`vecdot` (we come to how this is known). The package writes `xp.zeros(..., device=...)`, and the wrapper makes
it work everywhere.

## Why nothing is global

There is another way that one often sees: a variable somewhere holds the "current backend" (后端), and a
function sets it. Here it is, in ten lines. `heatmap` stands for a function of somebody else's library. It
prefers PyTorch, and forgets to put things back.
"""

# %%
current = {"xp": np}  # somewhere in a module


def zeros(shape):
    return current["xp"].zeros(shape)


def heatmap(values):  # in somebody else's module
    current["xp"] = torch
    return zeros(values.shape)


before = type(zeros((2, 3)))
heatmap(f)
after = type(zeros((2, 3)))
print("the same line, before:", before)
print("               after: ", after)
assert (before, after) == (np.ndarray, torch.Tensor)

# %% [markdown]
r"""
`zeros((2, 3))` gives two different things, and nothing on that line tells you why. It depends on **what ran
before it**. A test that passes alone fails after another test. Tests in another order give another answer.

Putting it back does not help when there are two threads (线程). Each of these two sets the backend that it
wants, and then makes an array. The barrier makes both of them stop between these two lines, which may happen
at any time without it:
"""

# %%
made = {}
both_have_set = threading.Barrier(2)


def work(name, library):
    current["xp"] = library
    both_have_set.wait()
    made[name] = library_name(zeros((2, 3)))


threads = [threading.Thread(target=work, args=args) for args in (("wants numpy", np), ("wants torch", torch))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert made["wants numpy"] == made["wants torch"]
print("both threads got the same library; one of them did not want it")


def run_on(library):
    """The same with dispatch: nothing to set, nothing to forget."""
    f2, _ = cb.cbam(cb.asarray(f, library), block.to(library).params)
    return library_name(f2)


wanted = ["numpy", "torch"] * 10
with ThreadPoolExecutor(4) as pool:
    assert list(pool.map(run_on, wanted)) == wanted

# %% [markdown]
r"""
Whoever comes last wins. With dispatch there is nothing to set, so nobody can win: the last lines of the cell
run the block twenty times on two libraries, four runs at a time, and each result belongs to the library that
it should.

A global backend would also forbid the most useful check of all, the one that you have seen above: the same
computation on both libraries, side by side, compared.

## Mixing libraries is one clear error

What happens if half of the arrays have moved and half have not? Left alone, libraries do different things.
Here `np.concatenate` silently goes back to NumPy, and the product complains, deep inside somebody's formula,
and names nothing that you have written. The package looks first, and says which two arguments do not fit.
"""

# %%
array, tensor = np.ones((2, 3)), torch.ones((2, 3), dtype=torch.float64)
assert type(np.concatenate([array, tensor])) is np.ndarray
try:
    array * tensor
except TypeError as error:
    print(f"array * tensor\n   TypeError: {error}\n")


def complaint(f, params):
    """What cbam says to these arguments."""
    try:
        cb.cbam(f, params)
    except TypeError as error:
        return str(error)
    raise AssertionError("this should have been refused")


another_device = array_api_strict.Device("device1")  # two devices to play with, both of them in ordinary memory
mixed = {
    "two libraries": (cb.asarray(f, "torch"), block.params),
    "two dtypes": (f.astype("float32"), block.params),
    "two devices": (array_api_strict.asarray(f, device=another_device), block.to("array_api_strict").params),
    "no array": (f.tolist(), block.params),
}
if HAVE_GPU:
    mixed["NumPy and CuPy"] = (cb.asarray(f, "cupy"), block.params)
else:
    left_out.append("the message for a CuPy array with NumPy parameters")

for what, (some_f, params) in mixed.items():
    print(f"{what}\n   TypeError: {complaint(some_f, params)}\n")

# %% [markdown]
r"""
Why does the package not just move the array for you? Because a move costs, as we see next, and a cost that
nobody wrote down is a cost that nobody finds.

## What moves, and what it costs

A GPU has its own memory. To move an array means to copy all of its bytes over a bus. How many bytes are that?
Take a batch of 8 with 64 channels of 56 × 56 pixels, in float32, and its block.
"""

# %% mystnb={"image": {"alt": "Host and device as boxes; parameters and F cross once, F double prime and dF stay."}}
N, C, H, W = 8, 64, 56, 56
bytes_f = N * C * H * W * 4
bytes_params = sum(value.nbytes for value in cb.CBAM(C).params.values())
assert 2600 < bytes_f / bytes_params < 2700

figure, ax = plt.subplots(figsize=(10, 3.6))
ax.set(xlim=(0, 11), ylim=(0, 4))
ax.axis("off")
for x, width, colour, title in ((0.1, 2.6, "#fdebd0", "host (NumPy)"), (6.4, 4.5, "#dbe9f6", "device (CuPy)")):
    ax.add_patch(plt.Rectangle((x, 0.1), width, 3.8, facecolor=colour, edgecolor="black"))
    ax.text(x + width / 2, 3.5, title, ha="center", fontsize=11, weight="bold")
for x, y, text in (
    (1.4, 2.8, "parameters"),
    (1.4, 1.8, "a batch F"),
    (1.4, 0.5, "a number, a picture"),
    (7.2, 2.8, "parameters"),
    (7.2, 1.8, "F"),
):
    ax.text(x, y, text, ha="center", va="center")
stays = "forward: F′, M_c, M_s, F″\nbackward: dF, gradients\nupdate of the parameters\n\nall of this stays here"
ax.text(9.4, 1.8, stays, ha="center", va="center", bbox={"facecolor": "white", "boxstyle": "round,pad=0.5"})
ax.annotate("", (8.0, 1.8), (7.4, 1.8), arrowprops={"arrowstyle": "-|>"})
for y, start, end, width, text in (
    (2.8, 2.75, 6.35, 1, f'block.to("cupy"): once, {bytes_params / 1e3:.1f} kB'),
    (1.8, 2.75, 6.35, 5, f'asarray(f, "cupy"): once a batch, {bytes_f / 1e6:.1f} MB'),
    (0.5, 6.35, 2.75, 1, "to_numpy(x): as little as you can"),
):
    ax.annotate("", (end, y), (start, y), arrowprops={"arrowstyle": "-|>", "linewidth": width, "color": "#b03a2e"})
    ax.text(4.55, y + 0.22, text, ha="center", fontsize=8.5)
plt.show()

# %% [markdown]
r"""
What to see: three arrows cross, and the thick one is paid once for each batch; everything that forward and
backward make stays on the device.

How does a crossing compare with the computing itself? CBAM does little arithmetic: what takes time is reading
and writing $F$. So let us count how often an array of the size of $F$ is read or written. We count on
PyTorch, with tensors on the device "meta": they have a shape and a dtype, and **no values**, so this takes no
time whatever the size is.
"""


# %%
class Passes(TorchDispatchMode):
    """Looks over PyTorch's shoulder: counts its calls, and how often they read or write `size` numbers."""

    def __init__(self, size):
        super().__init__()
        self.size, self.calls, self.passes = size, 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if not function.is_view:  # a view reads nothing and writes nothing
            touched = [x for x in (*args, out) if isinstance(x, torch.Tensor)]
            self.calls += 1
            self.passes += sum(x.numel() == self.size for x in touched)
        return out


def without_values(params):
    """The shapes of a block's parameters, as PyTorch tensors without values."""
    return {key: cb.asarray(value, "torch").to("meta") for key, value in params.items()}


params_meta = without_values(cb.CBAM(C).params)
f_meta = torch.empty((N, C, H, W), device="meta")
with Passes(f_meta.numel()) as forward:
    f2, backward = cb.cbam(f_meta, params_meta)
with Passes(f_meta.numel()) as both_ways:
    backward(f2)
for name, count in (("forward", forward), ("backward", both_ways)):
    print(f"{name:9} {count.passes:3} passes over F, in {count.calls} calls that compute")
assert forward.passes == 8

small = torch.empty((1, C, 9, 9), device="meta")
with Passes(small.numel()) as on_little:
    cb.cbam(small, params_meta)
assert on_little.calls == forward.calls  # the same calls for any size

# %% [markdown]
r"""
Forward makes 8 passes, and the same calls for any size. You can find the passes in the formulas: average (3)
and maximum (4) read $F$; the gate (7) reads $F$ and writes $F'$; (8) and (9) read $F'$; the gate (11) reads
$F'$ and writes $F''$. (Backward has more. On NumPy and CuPy it has fewer than here, because those two write
where PyTorch compares.)

Now a reckoning, **not a measurement**. Take round numbers of the right size: a bus that moves 25 GB in a
second, and a device memory that moves 1000 GB in a second. (Your GPU's data sheet has yours.)
"""

# %%
BUS, MEMORY = 25e9, 1000e9  # bytes in a second, assumed
there_and_back = 2 * bytes_f / BUS
computing = forward.passes * bytes_f / MEMORY
print(f"F there and F″ back: {1e3 * there_and_back:.2f} ms, forward itself: {1e3 * computing:.2f} ms")
assert round(there_and_back / computing) == 10

# %% [markdown]
r"""
With these numbers the two crossings take ten times as long as the computing between them. So the rule is not
"use the GPU", the rule is: **cross once, then stay**. How to measure it on a GPU comes below: first one has
to know what a stopwatch sees.
"""

# %% [markdown]
r"""
## Where synchronisation hides

A GPU works while Python goes on. A call such as `xp.exp(x)` does not compute. It puts an order into a queue
(队列), called a **stream** (流), and comes back at once. The device works the queue off, in order. When
Python needs a **number**, it has to wait until the queue has come that far. This is called synchronisation.

You do not need a GPU to feel it. A pool with one worker is a queue that is worked off in order:
"""

# %%
device = ThreadPoolExecutor(max_workers=1)  # a toy, not a GPU


def kernel():
    time.sleep(0.2)  # the device works
    return 42.0


start = time.perf_counter()
answer = device.submit(kernel)  # like xp.sum(x): an order is put into the queue
launched = time.perf_counter() - start
number = answer.result()  # like float(...): wait until it is done
finished = time.perf_counter() - start
assert launched < 0.1 < 0.19 < finished

# %% mystnb={"image": {"alt": "Two lanes: the host launches at once and then waits; the device works all the time."}}
figure, ax = plt.subplots(figsize=(9.5, 2.9))
launches, kernels = [(0.0, 0.3), (0.35, 0.3), (0.7, 0.3)], [(0.3, 2.6), (2.95, 2.6), (5.6, 2.6)]
ax.broken_barh(launches, (1.6, 0.7), color="#b03a2e")
ax.broken_barh([(1.05, 7.2)], (1.6, 0.7), facecolor="white", edgecolor="#b03a2e", hatch="//")
ax.broken_barh(kernels, (0.4, 0.7), color=["#1f618d", "#2980b9", "#1f618d"])
ax.text(4.6, 1.95, "float(x): the host waits", ha="center", va="center", bbox={"facecolor": "white", "edgecolor": "w"})
for (start, length), text in zip(kernels, ("exp", "multiply", "sum"), strict=True):
    ax.text(start + length / 2, 0.75, text, ha="center", va="center", color="white")
for time_read, text in ((1.03, "clock read here:\n“it takes no time”"), (8.27, "clock read here:\nright")):
    ax.axvline(time_read, color="black", linestyle=":")
    ax.text(time_read + 0.06, 2.75, text, va="center", fontsize=9)
ax.set(xlim=(-0.05, 9.8), ylim=(0.2, 3.1), yticks=[0.75, 1.95], yticklabels=["device", "host"], xticks=[])
ax.set_xlabel("time →     (a drawing, not a measurement)")
plt.show()

# %% [markdown]
r"""
What to see: the host has launched three kernels (核函数) before the first one is done; a clock that is read
there sees only the launches. The line with `float` gets the blame for everything, though it does nothing but
wait.

So a timing on a GPU needs three things: some calls first that do not count (the first ones compile), then the
work, then **wait for the device before you read the clock**. On a GPU this cell shows both readings, and then
what a crossing costs:
"""

# %%
if HAVE_GPU:
    wait = cupy.cuda.get_current_stream().synchronize
    gpu_block, f_host = cb.CBAM(C).to("cupy"), np.ones((N, C, H, W), dtype="float32")
    f_there = cb.asarray(f_host, "cupy")
    cb.to_numpy(gpu_block(f_there))  # the first call compiles kernels, and does not count
    start = time.perf_counter()
    gpu_block(f_there)
    too_early = time.perf_counter() - start
    wait()
    staying = time.perf_counter() - start
    cb.to_numpy(gpu_block(cb.asarray(f_host, "cupy")))
    crossing = time.perf_counter() - start - staying
    print(f"clock read too early {1e3 * too_early:.2f} ms, after waiting {1e3 * staying:.2f} ms")
    print(f"the same with F there and F″ back {1e3 * crossing:.2f} ms")
else:
    left_out.append("the stopwatch that lies, and the cost of a transfer")

# %% [markdown]
r"""
Which lines wait? Those that need to **know a value**: for a Python number, for a decision, for the shape of a
result. The tensors without values answer the question exactly. A line that asks for a value cannot run on
them; a line that does not ask, runs.
"""

# %%
x = torch.empty((3, 4), device="meta")
lines = {
    "float(x.sum())": lambda: float(x.sum()),
    "x.sum().item()": lambda: x.sum().item(),
    "if x.sum() > 0": lambda: 1 if x.sum() > 0 else 0,
    "max(x[0])": lambda: max(x[0]),
    "x[x > 0]": lambda: x[x > 0],
    "torch.unique(x)": lambda: torch.unique(x),
    "np.exp(x)": lambda: np.exp(x),
    "cb.to_numpy(x)": lambda: cb.to_numpy(x),
    "x.shape, len(x)": lambda: (x.shape, len(x)),
    "x.sum()": lambda: x.sum(),
    "torch.where(x > 0, x, 0.0)": lambda: torch.where(x > 0, x, 0.0),
}
asks = {}
for text, line in lines.items():
    try:
        line()
        asks[text] = False
    except (RuntimeError, TypeError):
        asks[text] = True
    print(f"{text:28}{'asks for a value' if asks[text] else 'does not'}")
assert list(asks.values()) == [True] * 8 + [False] * 3

# %% [markdown]
r"""
Printing belongs to the first group as well (a tensor without values prints dots; a CuPy array has to fetch
its values). The boolean mask is the one that surprises people: the result has as many entries as the mask has
trues, and somebody has to count them before the result can have a shape. CuPy's source has a comment at such
a place, in the function behind `nonzero`: *synchronize!*

The counting above has already proved something. The whole block, forward and backward, ran on tensors without
values. So **no line of it asks for a value**. (On NumPy and CuPy one place is different, the writing in
`put_along_axis`. It is looked at below, with the stand-in. And whether a function of CuPy waits inside, only
CuPy knows.)

## What is different on CuPy

These facts are from CuPy 14.2, not measured on a GPU. The last column says how each is known. **D**: CuPy's
documentation, *Differences between CuPy and NumPy*. **S**: its source. **W**: the real CuPy was installed
without a GPU and was asked; it refuses before it touches a device. `x` is a CuPy array, `n` a NumPy array.

| you write | NumPy | CuPy | write instead | |
|---|---|---|---|---|
| `x + [1.0, 2.0]`, `x * n` | works | TypeError | `cb.asarray` first, both on one side | D |
| `x[...] = n` | works | ValueError | `cb.asarray` first | W |
| `np.asarray(x)` | works | TypeError | `cb.to_numpy(x)`, on purpose | W |
| `np.exp(x)` | works | works, silently, by CuPy | `xp.exp(x)`: it says what is meant | S |
| `sum(where=)`, `max(initial=)`, `var(correction=)` | works | TypeError | `xp.where` first | W |
| `clip(x, min=0)` | works | TypeError | `xp.where`, or array-api-compat | W |
| `maximum.reduce(x)` | works | NotImplementedError | `xp.max(x, axis=0)` | W |
| `zeros(3, device="cpu")` | works | TypeError | `xp` from array-api-compat | W |
| `x.sum()` | a scalar | an array without axes | leave it an array | D |
| `x[[1, 99]]` | IndexError | wraps around, silently | be sure of your indices | D |
| `x[[1, 1]] = values` | the last wins | undefined | add up, or compare | D |
| `add.at(x, i, v)` | in order | order of the sum varies | no scatter: compare, or a convolution | S |
| `x[mask]` | works | counts on the device, waits | `xp.where` | S |
| `with errstate(...)` | works | AttributeError | nothing: CuPy does not warn | W |

What to keep: **ask the inputs for `xp`; keep numbers in arrays; choose with `where`; give new arrays a
`dtype` and a `device`; cross once.**

## A stand-in for CuPy

Most machines that run this project's tests have no GPU. And NumPy is no judge: most of the table above is
**right on NumPy**. So the tests have a **stand-in** (替身): NumPy's arithmetic behind CuPy's door. It sits in
[cbam_np/checking/cupy_standin](../cbam_np/checking/cupy_standin/__init__.py). Its list of names and parameters was dumped from the
real CuPy, with what CuPy itself answered to a list of lines of code, as far as it gets without a GPU:
"""

# %%
answers = standin.MANIFEST["answers"]
print("asked:", standin.MANIFEST["wheel"])
for code, error in {
    "x[...] = n": "ValueError",
    "out = np.asarray(x)": "TypeError",
    "out = cp.sum(x, where=b)": "TypeError",
    "out = cp.max(x, initial=0.0)": "TypeError",
    "out = cp.var(x, correction=1)": "TypeError",
    "out = cp.clip(x, min=0.0)": "TypeError",
    "out = cp.maximum.reduce(x)": "NotImplementedError",
    'out = cp.zeros(3, device="cpu")': "TypeError",
    'out = cp.errstate(all="raise")': "AttributeError",
    "out = cp.vecdot(x, x)": "AttributeError",
}.items():
    assert answers[code] == error
    print(f"{code:34}{error}")

# %% [markdown]
r"""
These are the rows marked W. Now the block, on the stand-in. It notes in two lists whatever would make the
host wait, and whatever would be copied to the device:
"""

# %%
with standin.installed():
    moved, f_there, d_there = block.to("cupy"), cb.asarray(f, "cupy"), cb.asarray(d_f2, "cupy")
    print("moved:", len(standin.uploads), "arrays:", ", ".join(block.params), "and F, dF″")
    standin.syncs.clear()
    standin.uploads.clear()

    f2, d_f = moved(f_there), moved.backward(d_there)
    print("forward and backward: waits", standin.syncs, " copies", standin.uploads)
    assert standin.syncs == standin.uploads == []

    same = np.allclose(cb.to_numpy(f2), results["numpy"][0]) and np.allclose(cb.to_numpy(d_f), results["numpy"][1])
    print("bringing F″ and dF home: waits", standin.syncs)
assert same

# %% [markdown]
r"""
And here is what it is for. Its list of lines has those that CuPy refuses, those that it gets silently wrong,
and those that work but hide something. Who else notices them? Each line runs on NumPy, on PyTorch and on the
strict library; *noticed* means that an error is raised. (Two lines about memory that nobody has written to
are left out: they show in the values only.)
"""


# %% mystnb={"image": {"alt": "Four bars: NumPy notices few of the lines, the stand-in all."}}
def outcome(code, library, arrays):
    """The name of the error that a line of code raises, or "ok"."""
    scope = {"cp": library, "np": np, "n": snippets.host(), **arrays}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(code, scope)
    except Exception as error:
        return type(error).__name__
    return "ok"


def noticed(lines, library, array):
    """How many of these lines raise an error. Each gets fresh arrays."""
    fresh = ({name: array(x) for name, x in snippets.inputs().items()} for _ in lines)
    return sum(outcome(code, library, arrays) != "ok" for code, arrays in zip(lines, fresh, strict=True))


def strict_array(x):
    return array_api_strict.asarray(x.astype("float32") if x.dtype == "float16" else x)  # it has no float16


bad = [s.code for s in snippets.SNIPPETS if s.kind in ("refused", "wrong", "hidden") and "empty" not in s.code]
counts = {
    "NumPy": noticed(bad, np, np.array),
    "PyTorch": noticed(bad, namespace(tensor=tensor), torch.tensor),
    "strict array API": noticed(bad, array_api_strict, strict_array),
}
with standin.installed() as cp:
    counts["stand-in"] = noticed(bad, cp, cp.asarray)

figure, ax = plt.subplots(figsize=(8, 2.3), layout="constrained")
bars = ax.barh(list(counts), [len(bad)] * len(counts), color="#e5e7e9")
ax.barh(list(counts), list(counts.values()), color="#2980b9")
for bar, count in zip(bars, counts.values(), strict=True):
    ax.text(count - 0.6, bar.get_y() + bar.get_height() / 2, count, ha="right", va="center", color="white")
ax.set(xlim=(0, len(bad)), xlabel=f"noticed, of {len(bad)} lines that fail, go wrong or hide something on CuPy")
ax.invert_yaxis()
plt.show()
assert counts["NumPy"] < len(bad) / 5
assert counts["NumPy"] < counts["PyTorch"] < counts["strict array API"] < counts["stand-in"] == len(bad)

# %% [markdown]
r"""
What to see: NumPy lets most of these lines pass; the two other libraries notice more than half, for reasons
of their own; the stand-in notices all, because it was built for that.

**A pass on the stand-in is not a pass on CuPy.** The stand-in was written by people who read CuPy's
documentation and source. What they misread, it misjudges. And there is much that it cannot know at all:

- No kernel is compiled, no driver and no library of CUDA is loaded.
- Sums are added in NumPy's order. On a GPU the order is another one, so the last digits differ.
- Memory is that of the host. Nothing can run out on the device.
- Nothing is asynchronous, and nothing has a speed.

So the report of the tests always says which libraries it ran on, and lists the stand-in under its own name.
On a machine with a GPU `CBAM_NP_REQUIRE=cupy` makes it an error not to use it, and `make gpu-test` runs
everything there. Here, the real CuPy gives its own answer to the lines:
"""

# %%
if HAVE_GPU:
    listed = [s for s in snippets.SNIPPETS if s.kind in ("refused", "works")]
    others = []
    for snippet in listed:
        arrays = {name: cupy.asarray(value) for name, value in snippets.inputs().items()}
        if outcome(snippet.code, cupy, arrays) != (snippet.error or "ok"):
            others.append(snippet.code)
    print(f"{len(listed) - len(others)} of {len(listed)} lines behave as listed; otherwise: {others}")
else:
    left_out.append("the real CuPy's answers to the stand-in's list")

# %% [markdown]
r"""
## How long does it take?

The same function, forward and backward, over growing sizes, one line for each library. The package measures
like this: some calls that do not count, the libraries taking turns, the median; and `sides.ours` waits for the
device before the clock is read. One thread on the CPU. The line of torch is the source of this package on
torch tensors; it is not PyTorch's own convolution and not its autograd.

A timing is never the same twice, so it cannot be an output that is checked for equality. The picture is
therefore drawn from a file of measurements, with machine and date in its title. The next cell has written the
file: `CBAM_NP_TIMINGS=1 python notebooks/11_numpy_to_cupy.py` does it again. The machine was shared with
others, so another run may differ by half at the right end. Where there is a GPU, the cell always measures
anew.
"""

# %%
SIZES = [(1, 32, 4), (1, 32, 8), (1, 32, 16), (1, 32, 32), (1, 32, 64), (4, 32, 64), (16, 32, 64)]  # N, C, H = W
stored = root / "notebooks" / "timings" / "numpy_torch_cpu.json"


def measure(sizes):
    """Milliseconds of forward + backward, the median, for each library that can run here."""
    libraries = ["numpy", "torch", "cupy"] if HAVE_GPU else ["numpy", "torch"]
    milliseconds = {library: [] for library in libraries}
    for N, C, H in sizes:
        f, d_out = np.random.default_rng(0).standard_normal((2, N, C, H, H), dtype="float32")
        both = [sides.ours(library, cb.CBAM(C), f, d_out).both for library in libraries]
        for library, seconds in zip(libraries, interleaved(both, rounds=31), strict=True):
            milliseconds[library].append(round(1e3 * float(np.median(seconds)), 4))
    return milliseconds


if HAVE_GPU or os.environ.get("CBAM_NP_TIMINGS"):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(limits=1):
        milliseconds = measure(SIZES)
    torch.set_num_threads(threads)
    versions = [f"NumPy {np.__version__}", f"PyTorch {torch.__version__}"]
    gpu = [f"CuPy {cupy.__version__}"] if HAVE_GPU else ["no GPU"]
    timings = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, " + ", ".join(versions + gpu),
        "date": date.today().isoformat(),
        "sizes": SIZES,
        "milliseconds": milliseconds,
    }
    if os.environ.get("CBAM_NP_TIMINGS"):
        stored.write_text(json.dumps(timings) + "\n", encoding="utf-8")
else:
    timings = json.loads(stored.read_text(encoding="utf-8"))
if not HAVE_GPU:
    left_out.append("the line of CuPy in the timing plot")

# %% mystnb={"image": {"alt": "Milliseconds over the number of entries of F: flat at the left, then rising."}}
entries = np.array([N * C * H * H for N, C, H in timings["sizes"]])
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for (library, values), marker in zip(timings["milliseconds"].items(), "osD", strict=False):
    ax.loglog(entries, values, marker=marker, label=f"cbam_np on {library}")
    ax.text(entries[0] * 0.8, values[0], f"{values[0]:.2g}", ha="right", va="center", fontsize=8)
    ax.text(entries[-1] * 1.25, values[-1], f"{values[-1]:.3g}", va="center", fontsize=8)
slope = timings["milliseconds"]["numpy"][-1] / entries[-1] / 2
ax.loglog(entries[3:], slope * entries[3:], color="grey", linestyle=":", label="proportional to the size")
ax.set(xlabel="N·C·H·W, the entries of F", ylabel="milliseconds, forward + backward", xlim=(200, 6e6))
ax.set_title(f"float32, C = 32, one thread of the CPU, median\n{timings['machine']}, {timings['date']}", fontsize=9)
ax.legend()
plt.show()

on_numpy = timings["milliseconds"]["numpy"]
assert np.all(entries[1:] / entries[:-1] == 4)
assert on_numpy[1] < 1.5 * on_numpy[0]  # 4 times the entries
assert on_numpy[-1] > 10 * on_numpy[3]  # 64 times the entries

# %% [markdown]
r"""
What to see: at the right the time grows with the number of entries; at the left four times the entries take
hardly longer, because there the time goes into the calls, and their number is the same for any size.

What is to be expected on a GPU, and is not measured here: its memory is faster, so the right end comes down.
Each call is an order that has to be launched, so the left end does not come down with it. For small arrays
there may be nothing to gain. Where the two lines cross on *your* machine, only a measurement can tell.

## Exercises

### Exercise 11.1 · Mend a function that only NumPy likes

To look at a map it helps to stretch it: the darkest pixel of each sample to 0, the brightest to 1, a constant
map to 0. The next cell has it as one writes it without thinking of GPUs. It is right. It also has five habits
in it that do not survive the switch. Find them first.

Then write `stretch` in the cell after it, so that it runs on any array and never asks for a value. No loop
over samples is needed: `axis=(1, 2, 3)` with `keepdims=True` reduces each sample by itself.

The check runs your function on NumPy for the numbers. Then it runs it on tensors without values, and on the
strict library, and says what stopped it there.
"""


# %%
def stretch_for_numpy_only(m):
    out = np.zeros(m.shape)
    for n in range(len(m)):
        low, high = float(m[n].min()), np.max(m[n])
        if high > low:
            out[n] = (m[n] - low) / (high - low)
    return out


assert np.array_equal(stretch_for_numpy_only(np.array([[[[2.0, 4.0, 6.0]]]])), [[[[0.0, 0.5, 1.0]]]])


# %%
def stretch(m):
    """m: (N, 1, H, W), any library. Returns out: same shape, each sample stretched to [0, 1], 0 if constant."""
    xp = namespace(m=m)
    ### BEGIN SOLUTION
    low = xp.min(m, axis=(1, 2, 3), keepdims=True)
    span = xp.max(m, axis=(1, 2, 3), keepdims=True) - low
    return (m - low) / xp.where(span > 0, span, xp.ones_like(span))
    ### END SOLUTION


right = exercise_11_1.check(stretch)

# %% [markdown]
r"""
The habits were: `np.zeros` makes an array on the host, and float64 whatever came in; `float(...)` waits;
`np.max` is NumPy's; `if high > low` waits; and the loop gives its orders once for every sample.

### Exercise 11.2 · Write the backward of the maximum over space, without writing into an array

In exercise 2.2 you wrote the backward of formula (4). Most people put the gradient at an index of an array of
zeros. Write it again, so that it runs on any array: compare positions, and choose. If several entries are the
largest, the first one gets everything. One trap is in the numbers $0, 1, 2, \dots$ that you compare with:
they are a new array. What has a new array to be told? (`array_api_compat.device(f)` gives the device of `f`.)
"""


# %%
def max_over_space_backward(d_max_c, f):
    """d_max_c: (N, C), the upstream gradient; f: (N, C, H, W). Returns d_f: (N, C, H, W)."""
    xp = namespace(d_max_c=d_max_c, f=f)
    ### BEGIN SOLUTION
    N, C, H, W = f.shape
    winner = xp.argmax(xp.reshape(f, (N, C, H * W)), axis=2, keepdims=True)
    positions = xp.arange(H * W, dtype=winner.dtype, device=array_api_compat.device(f))
    d = d_max_c[:, :, None]
    return xp.reshape(xp.where(positions == winner, d, xp.zeros_like(d)), f.shape)
    ### END SOLUTION


right = exercise_11_2.check(max_over_space_backward)

# %% [markdown]
r"""
## What was left out

What this run could not do, and did not do:
"""

# %%
for part in left_out:
    print("left out:", part)
if not left_out:
    print("Nothing was left out: this machine has a GPU.")
assert bool(left_out) is not HAVE_GPU

# %% [markdown]
r"""
## What to remember

1. The first line of a function asks its inputs: `xp = namespace(...)`. Nothing is global, and a mixture is
   one error that names both sides.
2. Cross once, then stay. Whatever asks for a value (`float`, `if`, a mask, printing) waits for the device, so
   a clock that does not wait sees only orders.
3. What runs without a GPU is evidence about the code, not about the GPU. Only a run on CuPy is a run on CuPy.

**Next:** [12. CBAM in PyTorch](12_cbam_in_pytorch.ipynb)

**Code:** [arrays.py](../cbam_np/arrays.py) · [gpu.py](../cbam_np/commands/gpu_test.py) · [timing.py](../cbam_np/commands/timing.py)
· [the stand-in](../cbam_np/checking/cupy_standin/__init__.py)

**Paper:** Woo, Park, Lee, Kweon, [CBAM: Convolutional Block Attention
Module](https://arxiv.org/abs/1807.06521), ECCV 2018.

**Elsewhere:** CuPy's own page on [differences from
NumPy](https://docs.cupy.dev/en/stable/user_guide/difference.html) · [the array-API
standard](https://data-apis.org/array-api/latest/)
"""
