"""`cbam-np study`: the document's claims about networks, each put to the test. Needs the extra "study".

Each run is one file of results, so a study can be stopped and called again. Under mpirun the first process hands out
runs to all others.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console

from cbam_np.commands.files import RESULTS, make_folder
from cbam_np.nets import mpi
from cbam_np.nets.studies import plan, store
from cbam_np.nets.studies.plan import Run

Mapped: TypeAlias = Callable[[Callable[[Run], dict[str, Any]], list[Run]], Iterator[dict[str, Any]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "studies",
        nargs="*",
        metavar="STUDY",
        help=f"{', '.join(plan.STUDIES)} (default all)",
    )
    parser.add_argument("--quick", action="store_true", help="a few minutes, to see it work; says nothing for sure")
    parser.add_argument(
        "--output", type=Path, default=RESULTS / "study", help="the folder for the results (default %(default)s)"
    )
    parser.add_argument("--pictures", type=Path, help="the folder for the pictures (default that of the results)")
    parser.add_argument("--only-show", action="store_true", help="run nothing; show the results so far")


def run(
    console: Console, studies: list[str], quick: bool, output: Path, pictures: Path | None, only_show: bool
) -> bool:
    """Run what has not been run yet, then show all there is; True. Raises ValueError for an unknown study."""
    for name in studies:
        if name not in plan.STUDIES:
            raise ValueError(f"STUDY: expected {', '.join(plan.STUDIES)}, got {name!r}")
    from cbam_np.nets.studies import figures, summary  # SciPy and Matplotlib: not for --help

    chosen = studies or list(plan.STUDIES)
    folder = output / "quick" if quick else output
    world = mpi.world()
    with world.all_or_none(), executor(world) as mapped:
        if mapped is None:  # this process has worked for the first one until all was done
            return True
        make_folder(folder)
        if not only_show:
            for name in chosen:
                make_runs(console, name, quick, folder, mapped)
        results = store.read(folder)
        for name in chosen:
            console.print(summary.report(name, results, quick), markup=False, highlight=False, soft_wrap=True)
        written = figures.write_all(results, pictures or folder)
        console.print(f"The results and {len(written)} pictures: {folder.resolve()}", markup=False, soft_wrap=True)
    return True


def make_runs(console: Console, study: str, quick: bool, folder: Path, mapped: Mapped) -> None:
    """Stage by stage: first the runs that choose learning rates, then those that they are chosen for."""
    for searches, runs in plan.stages(study, quick):
        make(console, store.missing(folder, searches), folder, mapped)
        make(console, store.missing(folder, with_best_peaks(runs, folder) if searches else runs), folder, mapped)


def with_best_peaks(runs: list[Run], folder: Path) -> list[Run]:
    """The runs with the learning rates that did best on the validation split."""
    from cbam_np.nets.studies import summary

    best = summary.best_peaks(store.read(folder))
    return [replace(run, peak=best.get(summary.cell_of(run), run.peak)) for run in runs]


def make(console: Console, runs: list[Run], folder: Path, mapped: Mapped) -> None:
    """Make these runs, and keep each result as soon as it is there."""
    from cbam_np.nets.studies.running import run_one

    for number, (run, found) in enumerate(zip(runs, mapped(run_one, runs), strict=True), start=1):
        store.save(folder, run, found)
        scores = ", ".join(f"{name} {value:.3f}" for name, value in found.get("scores", {}).items())
        console.print(f"{number} of {len(runs)}: {run.study}, {run.name} {scores}", markup=False, highlight=False)


@contextmanager
def executor(world: mpi.World) -> Iterator[Mapped | None]:
    """What spreads runs over processes: here, one after the other; under mpirun, over all but the first."""
    if world.size == 1:
        yield map
        return
    from mpi4py.futures import MPICommExecutor

    with MPICommExecutor() as pool:
        chosen: Any = pool  # mpi4py's types don't say that it is an executor, or None
        yield None if chosen is None else chosen.map
