"""Training a small ResNet on NumPy against PyTorch eager: `python -m cbam_np.commands.bench_nets`.

Both sides take turns, on the same cores; what counts is their ratio. Where our time goes is measured on one core.
"""

import argparse
import cProfile
import os
import pstats
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from types import CodeType
from typing import Any

import numpy as np
import torch
from rich.console import Console
from threadpoolctl import threadpool_limits
from torch.nn import functional as F

from cbam_np import nets
from cbam_np.nets import on_numpy
from cbam_np.reference.nets_in_pytorch import ResNet, copy_into_torch

WARM_UP = 2
TOLERANCE = 1e-4  # of the logits in float32, relative to the largest
IMAGES = 60_000  # an epoch of Fashion-MNIST, whose size the images have


@dataclass(frozen=True)
class Timing:
    """Seconds of each round for a batch, forward + loss + backward; and shares of our time by part, on one core."""

    attention: str
    cores: int
    batch: int
    ours: list[float]
    torch: list[float]
    error: float
    shares: dict[str, float]

    @property
    def ratios(self) -> list[float]:
        """Of each round, in order of size."""
        return sorted(a / b for a, b in zip(self.ours, self.torch, strict=True))


def measure(attention: str = "none", rounds: int = 15, batch: int = 128, cores: int = 1, seed: int = 0) -> Timing:
    """Time ResNet-8 of width 16 in float32 on images of 28×28; the logits of both sides are compared first."""
    net = nets.resnet(8, attention, classes=10, channels=1, seed=seed)
    module = ResNet([1, 1, 1], False, False, 16, 1, 10, attention)
    copy_into_torch(net.state(), module)
    rng = np.random.default_rng(seed)
    images, labels = rng.standard_normal((batch, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, batch)
    torch_images, torch_labels = torch.from_numpy(images), torch.from_numpy(labels)

    def ours() -> Any:
        logits = net(images)
        net.backward(nets.class_loss(logits, labels)[1])
        return logits

    def theirs() -> Any:
        module.zero_grad()
        logits = module(torch_images)
        F.cross_entropy(logits, torch_labels).backward()  # type: ignore[no-untyped-call]
        return logits.detach().numpy()

    threads = torch.get_num_threads()
    torch.set_num_threads(cores)
    try:
        with threadpool_limits(limits=cores, user_api="blas"):
            expected = theirs()
            error = float(np.abs(ours() - expected).max() / np.abs(expected).max())
            seconds: list[tuple[float, float]] = []
            for _ in range(WARM_UP + rounds):
                seconds.append((_seconds(ours), _seconds(theirs)))
        with threadpool_limits(limits=1, user_api="blas"):
            shares = where_time_goes(ours)
    finally:
        torch.set_num_threads(threads)
    times = list(zip(*seconds[WARM_UP:], strict=True))
    return Timing(attention, cores, batch, list(times[0]), list(times[1]), error, shares)


def where_time_goes(step: Callable[[], Any]) -> dict[str, float]:
    """The share of a step that convolutions, batch norm and ReLU take, forward and backward."""
    profile = cProfile.Profile()
    profile.runcall(lambda: [step() for _ in range(3)])
    stats: Any = pstats.Stats(profile)
    found = {}
    for function in (on_numpy.conv2d, on_numpy.batch_norm_in_pieces, on_numpy.relu):
        inner = [c for c in function.__code__.co_consts if isinstance(c, CodeType) and c.co_name == "backward"]
        places = [(code.co_filename, code.co_firstlineno, code.co_name) for code in (function.__code__, *inner)]
        found[function.__name__] = sum(stats.stats[place][3] for place in places if place in stats.stats)
    return {name: seconds / stats.total_tt for name, seconds in found.items()}


def _seconds(function: Callable[[], Any]) -> float:
    start = perf_counter()
    function()
    return perf_counter() - start


def run(rounds: int = 15, cores: int | None = None, console: Console | None = None) -> bool:
    """Time ResNet-8 without attention and with CBAM, and say so; True if both sides computed the same."""
    console = console or Console()
    cores = cores or os.cpu_count() or 1
    timings = [measure(attention, rounds, cores=cores) for attention in ("none", "cbam")]
    for t in timings:
        epochs = [median(times) * IMAGES / t.batch for times in (t.ours, t.torch)]
        console.print(
            f"ResNet-8, width 16, attention {t.attention}, cores: {t.cores}, batches of {t.batch}, float32: "
            f"{median(t.ratios):.2f} times PyTorch eager ({t.ratios[0]:.2f} to {t.ratios[-1]:.2f} in {rounds} rounds); "
            f"{IMAGES:,} images take {epochs[0]:.0f} s, PyTorch {epochs[1]:.0f} s; logits differ by {t.error:.0e}"
        )
        console.print("   of our time: " + ", ".join(f"{name} {share:.0%}" for name, share in t.shares.items()))
    return all(t.error <= TOLERANCE for t in timings)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cores", type=int, default=None)
    options = parser.parse_args()
    raise SystemExit(0 if run(options.rounds, options.cores) else 1)
