"""`cbam-np bench`: the block against PyTorch eager, one thread, interleaved in one run.

Machines are shared and noisy, so the two sides take turns and what counts is their ratio.
"""

import platform
from dataclasses import dataclass
from datetime import date
from math import exp, log
from statistics import fmean
from typing import Any

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from threadpoolctl import threadpool_limits

from cbam_np import __version__
from cbam_np.arrays import to_numpy
from cbam_np.attention.block import CBAM, cbam
from cbam_np.commands.timing import SIZES, in_float64, interleaved, largest_error
from cbam_np.pytorch import from_arrays

TOLERANCE = 1e-5  # of our float32 results, relative to the largest entry
TOLERANCE_TORCH = 1e-4  # its kernel gradient alone comes to 8e-6 at (8, 256, 56)


@dataclass(frozen=True)
class Timing:
    """Median seconds of one size, for both sides, forward alone and forward + backward.

    error, error_torch: largest relative error of the output or of any gradient, against the block in float64.
    """

    size: tuple[int, int, int]
    forward: float
    forward_torch: float
    both: float
    both_torch: float
    error: float
    error_torch: float


def measure(size: tuple[int, int, int], rounds: int, seed: int) -> Timing:
    """Time one size; the results of both sides are compared with float64 first."""
    N, C, H = size
    rng = np.random.default_rng(seed)
    f, d_out = rng.standard_normal((2, N, C, H, H), dtype=np.float32)
    block = CBAM(C, seed=seed)
    module = from_arrays(block)
    torch_f, torch_d_out = torch.from_numpy(f).requires_grad_(), torch.from_numpy(d_out)
    weights = list(module.parameters())

    def forward() -> tuple[Any, Any]:
        return cbam(f, block.params)

    def both() -> tuple[Any, Any]:
        return forward()[1](d_out)

    def forward_torch() -> Any:
        with torch.no_grad():
            return module(torch_f)

    def both_torch() -> Any:
        return torch.autograd.grad(module(torch_f), [torch_f, *weights], torch_d_out)

    out, (d_f, grads) = forward()[0], both()
    exact = in_float64(block, f, d_out)
    error = largest_error([out, d_f, *grads.values()], exact)
    error_torch = largest_error([to_numpy(x) for x in (forward_torch(), *both_torch())], exact)
    seconds = interleaved([forward, forward_torch, both, both_torch], rounds)
    return Timing(size, seconds[0], seconds[1], seconds[2], seconds[3], error, error_torch)


def geometric_mean(ratios: list[float]) -> float:
    """The mean that treats twice as fast and twice as slow alike."""
    return exp(fmean(log(ratio) for ratio in ratios))


def run(rounds: int = 15, seed: int = 0, console: Console | None = None) -> bool:
    """Time all of `SIZES` and print a table; True if both sides computed the same. Raises ValueError for rounds < 1."""
    if rounds < 1:
        raise ValueError(f"rounds: expected a positive integer, got {rounds}")
    console = console or Console()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            timings = [measure(size, rounds, seed) for size in track(SIZES, "timing", console=console, transient=True)]
    finally:
        torch.set_num_threads(threads)

    table = Table(
        box=box.SIMPLE_HEAD,
        title="CBAM, float32, one thread, milliseconds (median)",
        title_justify="left",
        padding=(0, 1, 0, 0),
    )
    for column in ("N, C, H=W", "forward", "torch", "ratio", "fwd+bwd", "torch", "ratio", "error", "torch"):
        table.add_column(column, justify="right", no_wrap=True)
    for t in timings:
        table.add_row(
            "{}, {}, {}".format(*t.size),
            f"{1e3 * t.forward:.1f}",
            f"{1e3 * t.forward_torch:.1f}",
            f"{t.forward / t.forward_torch:.2f}",
            f"{1e3 * t.both:.1f}",
            f"{1e3 * t.both_torch:.1f}",
            f"{t.both / t.both_torch:.2f}",
            f"{t.error:.0e}",
            f"{t.error_torch:.0e}",
        )
    console.print(table)
    console.print("error: largest relative error of the output or of any gradient, against the block in float64")
    forward = geometric_mean([t.forward / t.forward_torch for t in timings])
    both = geometric_mean([t.both / t.both_torch for t in timings])
    console.print(
        f"geometric mean of the ratios: forward {forward:.2f}, forward + backward {both:.2f} (below 1: faster)"
    )
    console.print(
        f"cbam_np {__version__}, NumPy {np.__version__}, PyTorch {torch.__version__} eager, "
        f"Python {platform.python_version()}, {platform.machine()}, {date.today()}"
    )
    wrong = [t for t in timings if not (t.error <= TOLERANCE and t.error_torch <= TOLERANCE_TORCH)]
    for t in wrong:
        console.print(f"[bold red]wrong[/] {t.size}: the two sides do not compute the same")
    return not wrong
