"""`cbam-np bench`: the block beside its peers, in turns, in several runs, on one thread and on all cores.

Whatever is installed takes part, and what isn't is named. Besides the times: the memory that each side needs, how the
time grows with N, C and H·W, and two pictures.
"""

import argparse
import json
import os
import platform
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from cbam_np import __version__
from cbam_np.commands import extras, growth, memory, peers, timing
from cbam_np.commands.files import RESULTS, make_folder
from cbam_np.commands.whole_numbers import add_seed, positive

DTYPES = ("float32", "float64")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "--rounds", type=positive, default=7, help="timed rounds per size and run (default %(default)s)"
    )
    parser.add_argument("--runs", type=positive, default=3, help="runs over all sizes (default %(default)s)")
    add_seed(parser, "the inputs")
    cores = len(cores_here())
    parser.add_argument(
        "--threads",
        type=positive,
        nargs="+",
        default=sorted({1, cores}),
        help="numbers of threads (default 1 and all cores, here %(default)s)",
    )
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=["float32"], help="default %(default)s")
    parser.add_argument(
        "--output", type=Path, default=RESULTS / "bench", help="folder for JSON and pictures (default %(default)s)"
    )


def run(
    console: Console, rounds: int, runs: int, seed: int, threads: list[int], dtypes: list[str], output: Path
) -> bool:
    """Time all sizes, print tables, write JSON and pictures; True if every side computed the right results."""
    make_folder(output)
    found = measured(console, rounds, runs, seed, threads, dtypes)
    path = output / "bench.json"
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if peers.importable("matplotlib"):
        from cbam_np.commands import bench_pictures

        bench_pictures.draw(found, output)
    else:
        console.print(f"no pictures without matplotlib: {extras.install_line('tour')}", markup=False, soft_wrap=True)
    console.print(f"{versions()}, {platform.machine()}, {date.today()}", highlight=False)
    console.print(f"written: {output}", soft_wrap=True, highlight=False)
    return all(row["ok"] for comparison in found["comparisons"] for row in comparison["timings"])


def measured(
    console: Console, rounds: int, runs: int, seed: int, threads: list[int], dtypes: list[str]
) -> dict[str, Any]:
    """Everything that the command measures, printed as it comes."""
    missing = peers.missing()
    for side, reason in missing.items():
        console.print(f"left out: {side}, {reason}", highlight=False, markup=False, soft_wrap=True)
    found: dict[str, Any] = {"machine": machine(), "left out": missing, "comparisons": []}
    for dtype in dtypes:
        for count in threads:
            comparison = compare(console, rounds, runs, seed, count, dtype)
            found["comparisons"].append(comparison)
            timing.show(console, comparison, f"CBAM, {dtype}, {threads_in_words(count)}, milliseconds (median)")
    found["memory"] = memory.peaks([name for name in peers.available() if name != peers.COPY], seed)
    memory.show(console, found["memory"])
    with peers.limited_threads(1):
        ours = [name for name in (peers.COMPOSED, peers.FUSED) if name in peers.available()]
        found["growth"] = growth.measured({name: peers.ENTRIES[name] for name in ours})
    growth.show(console, found["growth"])
    return found


def compare(
    console: Console, rounds: int, runs: int, seed: int, threads: int = 1, dtype: str = "float32"
) -> dict[str, Any]:
    """The summary of all timings, see `timing.summary`, with "threads" and "dtype"."""
    entries = {name: peers.ENTRIES[name] for name in peers.available()}
    with peers.limited_threads(threads):
        found = timing.timings(entries, rounds, runs, seed, console, dtype, timing.PAUSE if threads > 1 else 0)
    ours = peers.FUSED if peers.FUSED in entries else peers.COMPOSED
    return {"threads": threads, "dtype": dtype, **timing.summary(found, ours)}


# what is written


def cores_here() -> set[int]:
    """The cores that this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def threads_in_words(threads: int) -> str:
    """ "one thread", "2 threads"."""
    return "one thread" if threads == 1 else f"{threads} threads"


def machine() -> dict[str, Any]:
    """What was timed, and where. load: how many programs wanted the processor in the minute before."""
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    return {"date": date.today().isoformat(), "cores": len(cores_here()), "load": load, "versions": versions()}


def versions() -> str:
    """The versions of what was timed."""
    packages = {"PyTorch": "torch", "JAX": "jax", "Numba": "numba"}
    found = {name: extras.installed(package) for name, package in packages.items()}
    others = "".join(f", {name} {version}" for name, version in found.items() if version)
    return f"cbam_np {__version__}, NumPy {np.__version__}{others}, Python {platform.python_version()}"
