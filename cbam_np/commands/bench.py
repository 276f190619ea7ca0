"""`cbam-np bench`: the block beside PyTorch eager on one thread, in turns, in several runs."""

import argparse
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from typing import Any

import numpy as np
from rich.console import Console

from cbam_np import __version__
from cbam_np.commands import sides, timing
from cbam_np.commands.whole_numbers import add_seed, positive

OURS = "cbam_np"
ENTRIES = {
    OURS: timing.Entry(partial(sides.ours, "numpy"), 1e-5),
    "PyTorch eager": timing.Entry(partial(sides.pytorch, "cpu"), 1e-4),  # less precise in the gradient of the kernel
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "--rounds", type=positive, default=7, help="timed rounds per size and run (default %(default)s)"
    )
    parser.add_argument("--runs", type=positive, default=3, help="runs over all sizes (default %(default)s)")
    add_seed(parser, "the inputs")


def run(console: Console, rounds: int, runs: int, seed: int) -> bool:
    """Time all sizes and print a table; True if every side computed the right results."""
    found = compare(console, rounds, runs, seed)
    timing.show(console, found, "CBAM, float32, one thread, milliseconds (median)")
    console.print(f"{versions()}, {platform.machine()}, {date.today()}", highlight=False)
    return all(row["ok"] for row in found["timings"])


def compare(console: Console, rounds: int, runs: int, seed: int) -> dict[str, Any]:
    """The summary of all timings, see `timing.summary`. ImportError without the extra "torch"."""
    with one_thread():
        return timing.summary(timing.timings(ENTRIES, rounds, runs, seed, console), OURS)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for NumPy and for PyTorch; afterwards as many as before."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(threads)


def versions() -> str:
    """What was timed."""
    import torch

    python = platform.python_version()
    return f"cbam_np {__version__}, NumPy {np.__version__}, PyTorch {torch.__version__}, Python {python}"
