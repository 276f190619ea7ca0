"""Training by several processes: what it costs, measured on this machine, and a model for others.

`python docs/measure.py scaling` runs this file under mpirun and draws the picture of the site.
"""

import json
import subprocess
import sys
from math import prod
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cbam_np.nets import mpi, resnet  # noqa: E402
from cbam_np.nets.faults import outputs  # noqa: E402
from cbam_np.nets.network import Network  # noqa: E402
from cbam_np.nets.training import gradient  # noqa: E402

BATCH = 64
MEGABYTE = 10**6


def step_seconds(n: int, flops: float, message: float, rate: float, latency: float, bandwidth: float) -> float:
    """The time of a step that n processes share.

        T(n) = flops / (n · rate)  +  2 (n - 1) · (latency + message / (n · bandwidth))

    The first term is the arithmetic of the whole batch. The second is an Allreduce in a ring: the message is cut
    into n pieces, and in 2 (n - 1) rounds each process passes one of them on; after half of the rounds every piece is
    summed up somewhere, after the other half everybody has it. So every process sends 2 (n - 1)/n messages' worth of
    bytes, hardly more for many processes than for two.

    flops: of the batch, forward and backward. message: bytes. rate: flops a second of one process. bandwidth: bytes a
    second between two. Source: Patarasu, Yuan, "Bandwidth optimal all-reduce algorithms", JPDC 69 (2009).
    """
    return flops / (n * rate) + 2 * (n - 1) * (latency + message / (n * bandwidth))


def multiply_adds(net: Network, x: np.ndarray) -> int:
    """Of the forward pass of one picture x (1, C, H, W), in convolutions and linear layers; the rest is small."""
    count = 0
    for layer, out in outputs(net.eval().layers, x, net):
        name = f"{getattr(layer, 'name', '')}.weight"
        if name in net.params and net.params[name].ndim > 1:
            count += prod(net.params[name].shape) * prod(out.shape[2:])
    return count


def small() -> Network:
    """What `cbam-np train` trains by default."""
    return resnet(8, "cbam", channels=1, classes=10, width=16, reduction=4)


def steps(rounds: int) -> dict[str, Any]:
    """Run by each process: the median seconds of a step of the batch, and of summing up messages."""
    world, net = mpi.world(), small()
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((BATCH, 1, 24, 24), dtype=np.float32), rng.integers(10, size=BATCH)
    messages = {size: {"x": np.zeros(size // 4, np.float32)} for size in (4, 32 * MEGABYTE)}
    seconds: dict[str, list[float]] = {"step": [], **{f"sum of {size} bytes": [] for size in messages}}
    for _ in range(rounds):
        start = perf_counter()
        gradient(net, x, labels, world.size, world)
        seconds["step"].append(perf_counter() - start)
        for size, message in messages.items():
            start = perf_counter()
            world.total(message)
            seconds[f"sum of {size} bytes"].append(perf_counter() - start)
    return {what: median(times[2:]) for what, times in seconds.items()}


def measured(rounds: int, runs: int) -> dict[str, Any]:
    """One process and two take turns; medians over the runs. And the sizes that the model needs."""
    found: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    for _ in range(runs):
        for n, results in found.items():
            command = [Path(sys.executable).with_name("mpiexec"), "-n", str(n), sys.executable, __file__, str(rounds)]
            results.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    seconds = {n: {what: median(r[what] for r in results) for what in results[0]} for n, results in found.items()}
    net = small()
    arrays = {**net.params, **net.buffers}
    return {
        "rounds": rounds,
        "runs": runs,
        "batch": BATCH,
        "seconds": {str(n): times for n, times in seconds.items()},
        "speedups": [a["step"] / b["step"] for a, b in zip(found[1], found[2], strict=True)],
        "message": sum(x.nbytes for x in arrays.values()) + 4,
        "multiply-adds": multiply_adds(net, np.zeros((1, 1, 24, 24), np.float32)),
    }


# What the model is asked about: CBAM-ResNet-50 at 224×224, on processors and links that are assumed, not measured
MULTIPLY_ADDS, PARAMETERS, PICTURES = 4.089e9, 28_073_544, 32  # of a picture; of the network; of each process in a step
RATE = 10e12  # flops a second
LINKS = {  # seconds to start a message, bytes a second
    "1 Gbit/s": (50e-6, 0.125e9),
    "10 Gbit/s": (50e-6, 1.25e9),
    "100 Gbit/s": (2e-6, 12.5e9),
}


def efficiency(n: int, latency: float, bandwidth: float) -> float:
    """Of n times the speed of one process, what n processes reach by the model, each with its own `PICTURES`."""
    flops = 6 * MULTIPLY_ADDS * PICTURES  # two for a multiply-add, and backward makes two products for one of forward
    return flops / RATE / step_seconds(n, n * flops, 4 * PARAMETERS, RATE, latency, bandwidth)


def draw(found: dict[str, Any], dark: bool) -> "Figure":
    """Left: pictures a second on this machine. Right: the model's efficiency for many machines."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    paper, ink = ("#131416", "#cfd0d0") if dark else ("#ffffff", "#1f2328")
    style: dict[Any, Any] = dict.fromkeys(
        ["text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"], ink
    )
    style |= {"figure.facecolor": paper, "axes.facecolor": paper, "axes.titlesize": 11}
    with mpl.rc_context(style):
        figure = Figure(figsize=(10, 3.6), dpi=110, layout="constrained")
        left, right = figure.subplots(1, 2)
        one = found["batch"] / found["seconds"]["1"]["step"]
        low, *_, high = sorted(found["speedups"])
        middle = median(found["speedups"])
        left.plot([1, 2], [one, 2 * one], "--", color=ink, alpha=0.5, label="twice as fast")
        spread = [[0, one * (middle - low)], [0, one * (high - middle)]]
        left.errorbar([1, 2], [one, one * middle], spread, color="#3b82c4", marker="o", capsize=4, label="measured")
        left.set(title="This machine: pictures a second", xlabel="processes", xticks=[1, 2], ylim=(0, None))
        left.legend(frameon=False, loc="lower right")

        many = [2**i for i in range(9)]
        for (name, link), colour in zip(LINKS.items(), ("#d97706", "#3b82c4", "#059669"), strict=True):
            right.plot(many, [efficiency(n, *link) for n in many], "o-", markersize=4, color=colour, label=name)
        right.set_xscale("log", base=2)
        right.set(title="The model: efficiency for CBAM-ResNet-50", xlabel="processes", ylim=(0, 1.05))
        right.set_xticks(many, [str(n) for n in many])
        right.legend(frameon=False, loc="upper right", ncols=3)
        for ax in (left, right):
            ax.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    result = steps(int(sys.argv[1]))
    if mpi.world().rank == 0:
        print(json.dumps(result))
