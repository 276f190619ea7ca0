"""`cbam-np bench`: the block beside its peers, in turns, in several runs, on one thread and on all cores.

Whatever is installed takes part, and what isn't is named. Besides the times: the memory that each side needs, how the
time grows with N, C and H·W, and two pictures.
"""

import argparse
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from cbam_np import __version__
from cbam_np.commands import extras, growth, memory, sides, timing
from cbam_np.commands.files import RESULTS, make_folder
from cbam_np.commands.whole_numbers import add_seed, positive

COMPOSED, FUSED, COPY = "cbam_np", "cbam_np, fused", "a copy of F"
ENTRIES = {
    COMPOSED: timing.Entry(partial(sides.ours, "numpy"), 1e-5),
    FUSED: timing.Entry(sides.fused, 1e-5),
    "PyTorch eager": timing.Entry(partial(sides.pytorch, "cpu"), 1e-4),  # less precise in the gradient of the kernel
    "torch.compile": timing.Entry(partial(sides.pytorch, "cpu", compiled=True), 1e-4),
    "fused in PyTorch": timing.Entry(partial(sides.pytorch, "cpu", gradient="fused"), 1e-5),
    "JAX jit": timing.Entry(sides.jax, 1e-4),
    COPY: timing.Entry(sides.copy, None),
}
NEEDS = {  # the packages that a side needs, each with the extra that brings it
    FUSED: {"numba": "fast"},
    "PyTorch eager": {"torch": "torch"},
    "torch.compile": {"torch": "torch"},
    "fused in PyTorch": {"numba": "fast", "torch": "torch"},
    "JAX jit": {"jax": "jax"},
}
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
    for side, reason in missing().items():
        console.print(f"left out: {side}, {reason}", highlight=False, markup=False, soft_wrap=True)
    found: dict[str, Any] = {"machine": machine(), "left out": missing(), "comparisons": []}
    for dtype in dtypes:
        for count in threads:
            comparison = compare(console, rounds, runs, seed, count, dtype)
            found["comparisons"].append(comparison)
            timing.show(console, comparison, f"CBAM, {dtype}, {threads_in_words(count)}, milliseconds (median)")
    found["memory"] = memory.peaks([name for name in available() if name != COPY], seed)
    memory.show(console, found["memory"])
    with limited_threads(1):
        found["growth"] = growth.measured({name: ENTRIES[name] for name in available() if name in (COMPOSED, FUSED)})
    growth.show(console, found["growth"])
    path = output / "bench.json"
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if not importable("matplotlib"):
        console.print(
            f"no pictures, which need matplotlib: {extras.install_line('tour')}", markup=False, soft_wrap=True
        )
    pictures(found, output)
    console.print(f"{versions()}, {platform.machine()}, {date.today()}", highlight=False)
    console.print(f"written: {output}", soft_wrap=True, highlight=False)
    return all(row["ok"] for comparison in found["comparisons"] for row in comparison["timings"])


def compare(
    console: Console, rounds: int, runs: int, seed: int, threads: int = 1, dtype: str = "float32"
) -> dict[str, Any]:
    """The summary of all timings, see `timing.summary`, with "threads" and "dtype"; ours is the fused block if it can
    be had."""
    entries = {name: ENTRIES[name] for name in available()}
    with limited_threads(threads):
        found = timing.timings(entries, rounds, runs, seed, console, dtype, timing.PAUSE if threads > 1 else 0)
    return {"threads": threads, "dtype": dtype, **timing.summary(found, FUSED if FUSED in entries else COMPOSED)}


# who takes part


def available() -> list[str]:
    """The sides whose packages are installed."""
    return [name for name in ENTRIES if name not in missing()]


def missing() -> dict[str, str]:
    """The sides that can't take part: name -> what is missing, and how to install it."""
    found = {}
    for name, packages in NEEDS.items():
        lacking = [package for package in packages if not importable(package)]
        if lacking:
            lines = " and ".join(extras.install_line(packages[package]) for package in lacking)
            found[name] = f"which needs {' and '.join(lacking)}: {lines}"
    return found


def importable(package: str) -> bool:
    """Whether a package is installed."""
    try:
        return find_spec(package) is not None
    except ValueError:  # Python's word for a module that was kept from being imported
        return False


# threads


def cores_here() -> set[int]:
    """The cores that this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def threads_in_words(threads: int) -> str:
    """ "one thread", "2 threads"."""
    return "one thread" if threads == 1 else f"{threads} threads"


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """So many threads for NumPy, Numba, PyTorch and JAX; afterwards as many as before."""
    from threadpoolctl import threadpool_limits

    lacking = [package for package in ("torch", "numba", "jax") if not importable(package)]
    before: list[Any] = []
    if "torch" not in lacking:
        import torch

        before.append(partial(torch.set_num_threads, torch.get_num_threads()))
        torch.set_num_threads(threads)
    if "numba" not in lacking:
        import numba

        before.append(partial(numba.set_num_threads, numba.get_num_threads()))
        config: Any = numba.config
        numba.set_num_threads(min(threads, config.NUMBA_NUM_THREADS))
    if "jax" not in lacking:
        import jax.extend

        before.append(jax.extend.backend.clear_backends)
        os.environ["NPROC"] = str(threads)  # read by JAX when it starts its threads, that is, anew after this line
        before[-1]()
    try:
        with threadpool_limits(limits=threads):
            yield
    finally:
        os.environ.pop("NPROC", None)
        for undo in before:
            undo()


# what is written


def pictures(found: dict[str, Any], folder: Path) -> None:
    """The pictures, for a light and for a dark page, if there is Matplotlib to draw them."""
    if importable("matplotlib"):
        from cbam_np.commands import bench_pictures

        bench_pictures.draw(found, folder)


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
