"""`cbam-np gpu-test`: everything that needs a GPU, in one run, into one file of results.

It runs the test suite with CuPy required, checks the gradients on CuPy arrays, and times the block on NumPy, CuPy,
PyTorch eager and torch.compile.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import date
from functools import partial
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from cbam_np import __version__
from cbam_np.arrays import usable_cupy
from cbam_np.commands import check, sides, timing
from cbam_np.commands.files import output_file
from cbam_np.commands.whole_numbers import positive

OURS = "CuPy"
ENTRIES = {
    "NumPy": timing.Entry(partial(sides.ours, "numpy"), 1e-5),
    OURS: timing.Entry(partial(sides.ours, "cupy"), 1e-5),
}
ENTRIES_TORCH = {  # on a GPU, PyTorch convolves in TF32 unless it is told not to
    "PyTorch eager": timing.Entry(partial(sides.pytorch, "cuda"), 1e-2),
    "torch.compile": timing.Entry(partial(sides.pytorch, "cuda", compiled=True), 1e-2),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    path = Path("docs/gpu-results.json")
    parser.add_argument("--output", type=Path, default=path, help="file for the results (default %(default)s)")
    parser.add_argument(
        "--rounds", type=positive, default=20, help="timed rounds per size and run (default %(default)s)"
    )
    parser.add_argument("--runs", type=positive, default=3, help="runs over all sizes (default %(default)s)")


def run(console: Console, output: Path, rounds: int, runs: int) -> bool:
    """Run all of it, write `output` (JSON), print a table; True if tests, gradient checks and comparisons pass.

    Raises RuntimeError that says what is missing if CuPy cannot be used here, ValueError if there is no checkout of
    the project in the working directory or `output` cannot be written.
    """
    usable_cupy()
    if not Path("tests/conftest.py").exists():
        raise ValueError("working directory: expected a checkout of the project, whose tests are to run; change to it")
    with output_file(output) as file:
        results: dict[str, Any] = {"machine": machine()}
        console.print("running the test suite with CuPy required")
        results["tests"] = suite()
        console.print("checking every gradient on CuPy arrays")
        results["gradients"] = gradients()
        entries = dict(ENTRIES)
        if torch_on_cuda():
            entries |= ENTRIES_TORCH
        else:
            results["left out"] = "PyTorch: not installed, or this build has no CUDA"
        results |= timing.summary(timing.timings(entries, rounds, runs, seed=0, console=console), OURS)
        file.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    timing.show(console, results, f"{results['machine']['device']}, {results['machine']['date']}, milliseconds")
    console.print(f"tests: {' '.join(results['tests']['summary'])}")
    console.print(f"written: {output}", soft_wrap=True)
    right = all(row["ok"] for row in results["timings"])
    return bool(results["tests"]["passed"] and results["gradients"]["passed"] and right)


def torch_on_cuda() -> bool:
    """Whether PyTorch is installed and finds a GPU."""
    if not find_spec("torch"):
        return False
    import torch

    return torch.cuda.is_available()


def machine() -> dict[str, str]:
    """What the figures were measured on. Raises RuntimeError without a usable CuPy."""
    cupy = usable_cupy()
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
    found = {
        "date": date.today().isoformat(),
        "device": properties["name"].decode(),
        "driver": str(cupy.cuda.runtime.driverGetVersion()),
        "CUDA runtime": str(cupy.cuda.runtime.runtimeGetVersion()),
        "python": platform.python_version(),
        "cbam_np": __version__,
        "numpy": np.__version__,
        "cupy": cupy.__version__,
    }
    if find_spec("torch"):
        import torch

        found["torch"] = torch.__version__
    return found


def suite() -> dict[str, Any]:
    """The test suite of the checkout in the working directory, with CuPy required."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, env={**os.environ, "CBAM_NP_REQUIRE": "cupy"}, capture_output=True, text=True, check=False
    )
    return {
        "passed": done.returncode == 0,
        "summary": done.stdout.strip().splitlines()[-1:],
        "log": done.stdout[-4000:],
    }


def gradients() -> dict[str, Any]:
    """`cbam-np check --backend cupy`, with its other options as they are by default."""
    screen = Console(file=StringIO(), width=100)
    passed = check.run(screen, backend="cupy", channels=6, size=9, seed=0)
    assert isinstance(screen.file, StringIO)
    return {"passed": passed, "table": screen.file.getvalue().splitlines()}
