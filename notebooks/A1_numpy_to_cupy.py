# %% [markdown]
r"""
# A1. From NumPy to CuPy · 从 NumPy 到 CuPy

> **Your block runs on NumPy arrays. What does it take to run the same lines on a GPU, and how can you test that without one?**
"""

# %% tags=["hide-input"] mystnb={"image": {"alt": "Host and device as boxes; parameters and F cross once, F double prime and dF stay."}}
import json
import os
import platform
import time
from datetime import date
from pathlib import Path

import array_api_compat
import array_api_strict
import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch.utils._python_dispatch import TorchDispatchMode

import cbam_np as cb
from cbam_np.arrays import describe, library_name, usable_cupy
from cbam_np.checking import cupy_standin as standin
from cbam_np.commands import sides
from cbam_np.commands.timing import interleaved
from cbam_np.course import answer, pictures_b
from cbam_np.inputs import namespace

here = (Path.cwd(), *Path.cwd().parents)
root = next(folder for folder in here if (folder / "notebooks" / "timings").is_dir())  # of the project

N, C, H, W = 8, 64, 56, 56
bytes_f = N * C * H * W * 4
bytes_params = sum(value.nbytes for value in cb.CBAM(C).params.values())
pictures_b.host_and_device(bytes_params, bytes_f)
assert 2600 < bytes_f / bytes_params < 2700

# %% [markdown]
r"""
A GPU (图形处理器), the device (设备), has a memory of its own. Whatever it works on has to cross a bus first. What to see: the
parameters cross once, a batch $F$ crosses once, and everything that forward and backward make stays there.

| | |
|---|---|
| **Time** | about 50 minutes |
| **You need** | chapters [1](01_the_block.ipynb) and [2](02_pooling.ipynb), and **no GPU** |
| **You build** | a function that runs on the arrays of any library |

CuPy is an array library (数组库) that looks like NumPy and computes on an NVIDIA GPU. The block of the package runs on both, from the
same source. **Nothing that you see here has run on CuPy**: the outputs come from a machine without a GPU. What is said
about CuPy is from its documentation and its source, version 14.2. If you have a GPU, run the notebook again: the cells that need one will run
too, and the last one will say that nothing was left out.
"""

# %%
left_out = []  # what this run could not do
try:
    cupy = usable_cupy()  # multiplies two small matrices: that the import succeeds proves nothing
    HAVE_GPU = True
except RuntimeError as reason:
    HAVE_GPU = False
    print(reason)
print("HAVE_GPU =", HAVE_GPU)

# %% [markdown]
r"""
## Write or compare

Take the backward pass (反向传播) of a maximum, formula (9). The winner gets the gradient, all others get 0:
$dF'[n,c,i,j] = dF^s_{\max}[n,i,j]\,[c = c^*]$. As code there are two ways to say this. You can **write** the gradient at the
winner's index into an array of zeros, in place (原地). Or you can **compare** each channel's number with the winner's, and choose:
"""


# %%
def backward_by_writing(d_max_s, f1):
    winner = np.argmax(f1, axis=1, keepdims=True)
    d_f1 = np.zeros(f1.shape)
    np.put_along_axis(d_f1, winner, d_max_s, axis=1)
    return d_f1


def backward_by_comparing(d_max_s, f1):
    xp = namespace(d_max_s=d_max_s, f1=f1)  # which library do these arrays belong to?
    winner = xp.argmax(f1, axis=1, keepdims=True)
    channels = xp.arange(f1.shape[1], dtype=winner.dtype, device=array_api_compat.device(f1))
    return xp.where(xp.reshape(channels, (-1, 1, 1)) == winner, d_max_s, xp.zeros_like(d_max_s))


rng = np.random.default_rng(0)
f1, d_max_s = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(2, 1, 4, 5))
written = backward_by_writing(d_max_s, f1)
for library in ("numpy", "torch", "array_api_strict"):
    compared = backward_by_comparing(cb.asarray(d_max_s, library), cb.asarray(f1, library))
    assert np.array_equal(cb.to_numpy(compared), written)
    print(f"{library:17} the same, on {type(compared).__module__.split('.')[0]}'s arrays")

# %% [markdown]
r"""
The first works on libraries whose arrays can be written to at an index, and there it's several times as fast. The second works
on any. The line that matters is `xp = namespace(...)`: it asks the arrays which library they belong to. After it, every function is taken from
`xp`, and `np` doesn't occur any more. Choosing the library by looking at the arguments is called **dispatch** (分派).

## The same block on several libraries

Only three functions move arrays: `cb.asarray(x, "cupy")` gives `x` as an array of that library,
`cb.to_numpy(x)` brings it back, and `block.to("cupy")` gives a block with the same parameters, moved. This is the whole switch:
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
The same class and the same lines, and each result is an array of the library that came in. Output and gradient agree with NumPy to
$10^{-12}$. (*array_api_strict* is a library for tests: it offers what the **array-API standard** (数组 API 标准) promises and refuses the
rest.)

Libraries have the same functions under different names, or one name with different meanings. **array-api-compat** is a small
package that wraps them so that they follow the standard; a tensor stays a tensor. For example, in PyTorch:
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
## Why nothing is global

There's another way, and you'll often see it: a variable somewhere holds the "current backend" (后端), and a function sets it.
`heatmap` stands for a function of somebody else's library. It prefers PyTorch and forgets to put things back.
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
The same line gives two different things, and nothing on that line tells you why: it depends on **what ran before it**. Putting
it back doesn't help as soon as there are two threads (线程): each sets the backend that it wants, and the later one wins for
both. With dispatch there's nothing to set and nothing to forget. And it allows the most useful check of all: the same computation on two
libraries, side by side.

## A mixture is one clear error

What if half of the arrays have moved and half haven't? Left alone, `np.concatenate` silently goes back to NumPy, and a product
complains deep inside somebody's formula. The package looks first, and says which two arguments don't fit.
"""

# %%
assert type(np.concatenate([np.ones(3), torch.ones(3)])) is np.ndarray


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
Why doesn't it just move the array for you? Because a move costs, and a cost that nobody wrote down is a cost that nobody finds.

CBAM does little arithmetic: what takes time is reading and writing $F$. How often? PyTorch's tensors on the device "meta" have a shape and a
dtype and **no values**. So we can count without computing:
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


N, C, H, W = 8, 64, 56, 56
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
Forward makes 8 passes over $F$, and the same calls for any size. You can find them in the formulas: (3) and (4) read $F$; the gate
(7) reads $F$ and writes $F'$; (8) and (9) read $F'$; the gate (11) reads $F'$ and writes $F''$. A bus is many times slower than a
device's own memory. So the rule isn't "use the GPU". The rule is: **cross once, then stay**.

## Where the host waits

A GPU works while Python goes on. `xp.exp(x)` doesn't compute: it puts an order into a queue (队列), called a **stream** (流), and returns
at once. When Python needs a **number**, it has to wait until the queue has got that far: **synchronisation** (同步).
"""

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two lanes: the host launches at once and then waits; the device works all the time."}}
pictures_b.host_waits()

# %% [markdown]
r"""
What to see: the host (主机) has launched three kernels (核函数) before the first one is done. If you read the clock there, you see only the launches, and
`float` gets the blame for everything, although it only waits. So a timing on a GPU needs three things: a few warm-up
calls that don't count (they compile), then the work, then **wait for the device before you read the clock**.
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
Which lines wait? Those that need to **know a value**: for a Python number, for a decision, for the shape of a result. Tensors without
values answer this exactly, since a line that asks for a value can't run on them.
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
The boolean mask is the one that surprises people: the result has as many entries as the mask has `True`s, and somebody has to count them
before it can have a shape. And the count above has already shown something: the whole block ran on tensors without values, so
**no line of it asks for one**.

## What is different on CuPy

These facts are about CuPy 14.2, and were not measured on a GPU. The last column says how each is known. **D**: CuPy's documentation.
**S**: its source. **W**: CuPy itself was installed without a GPU and asked; it refuses before it touches a device. `x` is a CuPy array, `n` a NumPy array.

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

What to keep: **ask the inputs for `xp`; keep numbers in arrays; choose with `where`; give new arrays a `dtype` and a `device`;
cross once.**

## A stand-in for CuPy

Most machines that run this project's tests have no GPU. And NumPy is no judge: most of the table above is
**right on NumPy**. So the tests have a **stand-in** (替身): NumPy's arithmetic behind CuPy's door. It refuses what
CuPy refuses, and it notes whatever would make the host wait and whatever would be copied to the device. Its code is in
[cbam_np/checking/cupy_standin](../cbam_np/checking/cupy_standin/__init__.py). Its list of names and parameters was dumped from the
real CuPy, with what CuPy itself answered to a list of lines of code, as far as it gets without a GPU:
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
**A pass on the stand-in is not a pass on CuPy.** Nothing is compiled and no driver is loaded; sums are added in NumPy's order; nothing is
asynchronous; and what its authors misread in CuPy's documentation, it misjudges. On a machine with a GPU, `make gpu-test` runs
everything there.

## How long does it take?

Forward and backward over growing sizes, a line for each library, on one thread of the CPU. A timing is never the same twice, so
the picture is drawn from a stored file of measurements. (`CBAM_NP_TIMINGS=1 python notebooks/A1_numpy_to_cupy.py` writes it again; where
there's a GPU, it's always measured anew.)
"""

# %% tags=["hide-input"]
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

# %% tags=["hide-input"] mystnb={"image": {"alt": "Milliseconds over the number of entries of F: flat at the left, then rising."}}
entries = np.array([N * C * H * H for N, C, H in timings["sizes"]])
pictures_b.timings(entries, timings["milliseconds"], f"{timings['machine']}, {timings['date']}")

on_numpy = timings["milliseconds"]["numpy"]
assert np.all(entries[1:] / entries[:-1] == 4)
assert on_numpy[1] < 1.5 * on_numpy[0]  # 4 times the entries
assert on_numpy[-1] > 10 * on_numpy[3]  # 64 times the entries

# %% [markdown]
r"""
What to see: at the right the time grows with the number of entries. At the left, four times the entries take hardly longer: there the
time goes into the calls, and their number is the same for any size. On a GPU the right end should come down, since its memory is faster, and the left end
shouldn't, since each call has to be launched. Where the two lines cross on *your* machine, only a measurement can tell.

## Write one that runs anywhere

To look at a map it helps to stretch it: the darkest pixel of each sample to 0, the brightest to 1, a constant map to 0. Here it is as you'd write
it without thinking of GPUs. It's right, and it has five habits in it that don't survive the switch. Find them first.
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


# %% [markdown]
r"""
**A1.1** Write `stretch` so that it runs on any array and never asks for a value. You need no loop: `axis=(1, 2, 3)` with
`keepdims=True` reduces each sample by itself.
"""


# %%
def stretch(m):
    """m: (N, 1, H, W), any library. Returns out: same shape, each sample stretched to [0, 1], 0 if constant."""
    xp = namespace(m=m)
    ### BEGIN SOLUTION
    low = xp.min(m, axis=(1, 2, 3), keepdims=True)
    span = xp.max(m, axis=(1, 2, 3), keepdims=True) - low
    return (m - low) / xp.where(span > 0, span, xp.ones_like(span))
    ### END SOLUTION


answer("A1.1", stretch)

# %% [markdown]
r"""
<details><summary>The five habits</summary>

`np.zeros` makes an array on the host, and float64 whatever came in; `float(...)` waits; `np.max` is NumPy's; `if high > low` waits; and
the loop gives its orders once for every sample.

</details>

## What was left out
"""

# %%
for part in left_out:
    print("left out:", part)
if not left_out:
    print("Nothing was left out: this machine has a GPU.")
assert bool(left_out) is not HAVE_GPU

# %% [markdown]
r"""
## What you built

- A function that asks its inputs where they live. Nothing is global, and a mixture is one error that names both sides.
- An eye for lines that wait: `float`, `if`, a mask, printing.
- A rule: cross once, then stay.

What runs without a GPU is evidence about the code, not about the GPU. Only a run on CuPy is a run on CuPy.

**The code:** [arrays.py](../cbam_np/arrays.py) · [gpu_test.py](../cbam_np/commands/gpu_test.py) ·
[timing.py](../cbam_np/commands/timing.py) · [the stand-in](../cbam_np/checking/cupy_standin/__init__.py)

**Elsewhere:** CuPy's own page on [differences from NumPy](https://docs.cupy.dev/en/stable/user_guide/difference.html) ·
[the array-API standard](https://data-apis.org/array-api/latest/)
"""
