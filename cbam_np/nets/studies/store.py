"""Results of runs: one JSON file each, whole or not there at all."""

import json
import os
import platform
import re
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from cbam_np.nets.checkpoints import put
from cbam_np.nets.studies.plan import Run


class Result(NamedTuple):
    """A run that was made, what came out, and where and when."""

    run: Run
    found: dict[str, Any]
    machine: dict[str, Any]


def path_of(folder: Path, run: Run) -> Path:
    """Where the result of a run is kept."""
    return folder / run.study / f"{run.name}.json"


def save(folder: Path, run: Run, found: dict[str, Any]) -> None:
    """Keep a result. A study that is killed meanwhile leaves no half of it."""
    path = path_of(folder, run)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"run": vars(run), "machine": machine(), "found": found}
    put(path, json.dumps(content, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def read(folder: Path) -> list[Result]:
    """All results in a folder. Raises ValueError that names a file which is none."""
    return [_read(path) for path in sorted(folder.glob("*/*.json"))]


def _read(path: Path) -> Result:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Result(Run(**content["run"]), content["found"], content["machine"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"--output: expected results of runs, got {path} ({error}); move it away") from error


def missing(folder: Path, runs: list[Run]) -> list[Run]:
    """The runs without a result, each once."""
    return [run for run in dict.fromkeys(runs) if not path_of(folder, run).exists()]


def machine() -> dict[str, Any]:
    """Where and when. load: how many programs wanted the processor in the minute before; threads: as allowed here."""
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"^model name\s*: (.+)$", cpuinfo.read_text() if cpuinfo.exists() else "", flags=re.MULTILINE)
    return {
        "date": date.today().isoformat(),
        "processor": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "numpy": version("numpy"),
    }
