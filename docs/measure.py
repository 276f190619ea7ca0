"""The figures that the site shows: `make docs-figures`, or `python docs/measure.py` with one of its choices.

Each run writes one file in docs/_generated, with the date and the machine. The pages read these files; no figure is
typed by hand.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "_generated"
sys.path.insert(0, str(ROOT))


def machine() -> dict[str, Any]:
    """What the figures come from."""
    from cbam_np.nets.studies import store

    return store.machine() | {"torch": version("torch")}


def gradients() -> list[dict[str, Any]]:
    """The table of `cbam-np check`."""
    from cbam_np.commands.check import DTYPES, HEADS, cases, check, torch_functions

    functions, rows = torch_functions(), []
    for case in cases(channels=6, size=9, seed=0):
        cells = [cell for dtype in DTYPES for cell in check(case, dtype, "numpy", functions, seed=0)]
        names = [f"{dtype} {head}" for dtype in DTYPES for head in HEADS]
        cells_by_name = {name: asdict(cell) for name, cell in zip(names, cells, strict=True)}
        rows.append({"operation": case.name, "formula": case.formula, "cells": cells_by_name})
    return rows


def mutants() -> list[dict[str, Any]]:
    """Every planted mistake: who noticed it."""
    from cbam_np.checking.mutants import KINKS, verdicts

    return [
        {
            "file": verdict.mutant.file,
            "check": verdict.mutant.check,
            "mistake": verdict.mutant.name.removeprefix(f"{verdict.mutant.check}: "),
            "by": "PyTorch" if verdict.mutant.check in KINKS else "gradcheck",
            "killed": verdict.killed,
            "killed with ones": verdict.killed_with_ones,
        }
        for verdict in verdicts()
    ]


def suite() -> dict[str, str]:
    """The test suite's closing line, and the share of lines and branches of the package that it runs."""
    done = subprocess.run(["make", "coverage"], cwd=ROOT, capture_output=True, text=True, check=False)
    total = re.search(r"^TOTAL\s.*?(\d+%)", done.stdout, flags=re.MULTILINE)
    closing = re.findall(r"^=* ?(\d+ (?:passed|failed).*?) in ", done.stdout, flags=re.MULTILINE)
    if done.returncode or not total or not closing:
        sys.exit(f"the test suite does not pass, so there is nothing to show\n{done.stdout[-3000:]}")
    return {"summary": closing[-1], "coverage": total[1]}


def speed(rounds: int, runs: int) -> dict[str, Any]:
    """What `cbam-np bench` measures on one thread and on all cores, and its pictures."""
    from rich.console import Console

    from cbam_np.commands import bench, bench_pictures

    threads = sorted({1, len(bench.cores_here())})
    found = bench.measured(Console(), rounds, runs, 0, threads, ["float32"])
    bench_pictures.draw(found, ROOT / "docs" / "images")
    one, *others = found["comparisons"]
    return {**one, "all cores": others, "memory": found["memory"], "growth": found["growth"]}


def training(rounds: int) -> dict[str, Any]:
    """ResNet-8 on NumPy beside PyTorch eager: without attention and with CBAM, on one core and on all."""
    from cbam_np.commands.bench_nets import IMAGES, TOLERANCE, measure

    cores = sorted({1, os.cpu_count() or 1})
    timings = [measure(attention, rounds, cores=n) for attention in ("none", "cbam") for n in cores]
    if not all(t.error <= TOLERANCE for t in timings):
        sys.exit("the two sides don't compute the same, so there is nothing to show")
    return {"rounds": rounds, "images": IMAGES, "timings": [asdict(t) for t in timings]}


def inside(rounds: int) -> dict[str, Any]:
    """The block inside a PyTorch network, with each gradient, on one core."""
    from cbam_np.commands.bench_inside import TOLERANCE, measured

    found = measured(rounds)
    if not all(error <= TOLERANCE for error in found["errors"].values()):
        sys.exit("the gradients are not those of autograd, so there is nothing to show")
    return found


def scaling(rounds: int, runs: int) -> dict[str, Any]:
    """A step of training by one process and by two, and its picture."""
    from scaling import draw, measured

    found = measured(rounds, runs)
    for name in ("light", "dark"):
        draw(found, dark=name == "dark").savefig(ROOT / "docs" / "images" / f"scaling_{name}.png")
    return found


def weights() -> dict[str, Any]:
    """What `cbam-np inspect` prints for what `make train` leaves, its picture, and `cbam-np audit`."""
    from importlib.resources import files

    from cbam_np.pytorch.layouts import LAYOUTS

    checkpoint = ROOT / "cbam-np-results" / "train" / "checkpoint.safetensors"
    if not checkpoint.exists():
        printed("train", "--output", str(checkpoint.parent))
    inspect = ["inspect", str(checkpoint.relative_to(ROOT)), "--image", str(files("skimage") / "data" / "chelsea.png")]
    for name in ("light", "dark"):
        output = ROOT / "docs" / "images" / f"inspect_{name}.png"
        text = printed(*inspect, "--output", str(output), *(["--dark"] if name == "dark" else []))
    audit = printed("audit", "docs/examples/mine.py:MyCBAM", allowed=1, columns=80)
    return {"inspect": text.rpartition("The picture:")[0], "audit": audit, "layouts": [asdict(row) for row in LAYOUTS]}


def printed(*arguments: str, allowed: int = 0, columns: int = 100) -> str:
    """What a command of this package prints, so many columns wide."""
    environment = os.environ | {"COLUMNS": str(columns), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "cbam_np", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != allowed:
        sys.exit(done.stderr)
    return done.stdout


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=("proof", "suite", "speed", "training", "inside", "scaling", "weights"))
    parser.add_argument("--rounds", type=int, default=15, help="timed rounds per size and run (default %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="runs over all sizes (default %(default)s)")
    options = parser.parse_args()
    found: dict[str, Any] = {"machine": machine()}
    if options.what == "proof":
        from cbam_np.commands.check import limits

        found |= {"tolerances": limits(), "gradients": gradients(), "mutants": mutants()}
    elif options.what == "suite":
        found |= suite()
    elif options.what == "training":
        found |= training(options.rounds)
    elif options.what == "inside":
        found |= inside(options.rounds)
    elif options.what == "weights":
        found |= weights()
    elif options.what == "scaling":
        found |= scaling(options.rounds, options.runs)
    else:
        found |= speed(options.rounds, options.runs)
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{options.what}.json"
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
