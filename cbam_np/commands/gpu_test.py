"""`cbam-np gpu-test`: everything that needs a GPU, in one run, into one results file.

The test suite with CuPy required, the gradient checks on CuPy arrays, and a first timing of the block on NumPy,
CuPy, PyTorch eager and torch.compile. A GPU works on while the host goes ahead, so a clock is read only after
waiting for the device.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from cbam_np import __version__
from cbam_np.arrays import asarray, to_numpy, usable_cupy
from cbam_np.attention.block import CBAM, cbam
from cbam_np.commands import check
from cbam_np.commands.timing import SIZES, in_float64, interleaved, largest_error

Side = Callable[[], Any]
TOLERANCE = 1e-5  # of float32 results against float64, relative to the largest entry


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
    """The test suite with CuPy required; needs a checkout of the project as the working directory."""
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
    """`cbam-np check --backend cupy`."""
    screen = Console(file=StringIO(), width=100)
    passed = check.run("cupy", console=screen)
    assert isinstance(screen.file, StringIO)
    return {"passed": passed, "table": screen.file.getvalue().splitlines()}


def block_on(
    library: str, wait: Callable[[], None], f: np.ndarray, d_out: np.ndarray, block: CBAM
) -> tuple[Side, Side]:
    """Forward, and forward + backward, on arrays of one library; both return when the device is done."""
    params = block.to(library).params
    f, d_out = asarray(f, library), asarray(d_out, library)

    def forward() -> Any:
        out, _ = cbam(f, params)
        wait()
        return out

    def both() -> Any:
        _, backward = cbam(f, params)
        d_f, grads = backward(d_out)
        wait()
        return d_f, *grads.values()

    return forward, both


def torch_on(device: str, compiled: bool, f: np.ndarray, d_out: np.ndarray, block: CBAM) -> tuple[Side, Side]:
    """The same for the PyTorch module on a device, eager or compiled."""
    import torch

    from cbam_np.pytorch import from_arrays

    module = from_arrays(block).to(device)
    run: Any = torch.compile(module) if compiled else module
    torch_f = torch.from_numpy(f).to(device).requires_grad_()
    torch_d_out = torch.from_numpy(d_out).to(device)
    leaves = [torch_f, *module.parameters()]

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    def forward() -> Any:
        with torch.no_grad():
            out = run(torch_f)
        wait()
        return out

    def both() -> Any:
        grads = torch.autograd.grad(run(torch_f), leaves, torch_d_out)
        wait()
        return grads

    return forward, both


def timings(sides: dict[str, Callable[..., tuple[Side, Side]]], rounds: int, seed: int = 0) -> list[dict[str, Any]]:
    """For each size and side the median milliseconds, and the largest error against the block in float64."""
    rows = []
    for N, C, H in SIZES:
        f, d_out = np.random.default_rng(seed).standard_normal((2, N, C, H, H), dtype=np.float32)
        block = CBAM(C, seed=seed)
        exact = in_float64(block, f, d_out)
        pairs = {name: make(f, d_out, block) for name, make in sides.items()}
        forward = interleaved([pair[0] for pair in pairs.values()], rounds)
        both = interleaved([pair[1] for pair in pairs.values()], rounds)
        for (name, pair), forward_s, both_s in zip(pairs.items(), forward, both, strict=True):
            got = [to_numpy(x) for x in (pair[0](), *pair[1]())]
            rows.append(
                {
                    "size": [N, C, H],
                    "side": name,
                    "forward ms": round(1e3 * forward_s, 4),
                    "forward + backward ms": round(1e3 * both_s, 4),
                    "error": largest_error(got, exact),
                }
            )
    return rows


def run(output: Path, rounds: int = 20, console: Console | None = None) -> bool:
    """Run all of it, write `output` (JSON), print a table; True if tests, checks and comparisons pass.

    Raises RuntimeError that says what is missing if CuPy cannot be used here.
    """
    console = console or Console()
    cupy = usable_cupy()
    results: dict[str, Any] = {"machine": machine()}
    console.print("running the test suite with CuPy required")
    results["tests"] = suite()
    console.print("checking every gradient on CuPy arrays")
    results["gradients"] = gradients()
    sides: dict[str, Callable[..., tuple[Side, Side]]] = {
        "NumPy": lambda *data: block_on("numpy", lambda: None, *data),
        "CuPy": lambda *data: block_on("cupy", cupy.cuda.Device().synchronize, *data),
    }
    if find_spec("torch"):
        import torch

        if torch.cuda.is_available():
            sides["PyTorch eager"] = lambda *data: torch_on("cuda", False, *data)
            sides["torch.compile"] = lambda *data: torch_on("cuda", True, *data)
        else:
            results["left out"] = "PyTorch: this build has no CUDA"
    console.print("timing")
    results["timings"] = timings(sides, rounds)
    output.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    table = Table(title=f"{results['machine']['device']}, {results['machine']['date']}", box=box.SIMPLE_HEAD)
    for column in ("N, C, H=W", "side", "forward ms", "forward + backward ms", "error"):
        table.add_column(column, justify="right")
    for row in results["timings"]:
        times = (f"{row[column]:.3f}" for column in ("forward ms", "forward + backward ms"))
        table.add_row(", ".join(map(str, row["size"])), row["side"], *times, f"{row['error']:.0e}")
    console.print(table)
    console.print(f"tests: {' '.join(results['tests']['summary'])}; written to {output}")
    close = all(row["error"] <= TOLERANCE for row in results["timings"] if not row["side"].startswith(("Py", "torch")))
    return bool(results["tests"]["passed"] and results["gradients"]["passed"] and close)
