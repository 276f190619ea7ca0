"""CBAM in the wild: audit the modules of docs/wild.toml and write docs/_generated/wild.json.

    python docs/wild.py --repositories FOLDER --packages FOLDER

FOLDER of repositories: a clone of each, bare or not, as owner+name. FOLDER of packages: what `pip download --no-deps`
left. Only the one file of each module is read, at the commit or in the version that is named, and of it only classes,
functions and imports of PyTorch, NumPy and the standard library: nothing else at its top is run. What a class takes
from other files of its project is replaced by the few stand-ins below. Each module runs in a process of its own, which
has no environment, little memory and little time, and no network where the system allows to take it away (`unshare` on
Linux); the results say whether it did. Nothing of these files is kept but the results.
"""

import argparse
import ast
import hashlib
import io
import json
import resource
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CHANNELS = 64
SECONDS, BYTES = 120, 8 << 30
ALLOWED = {"torch", "numpy", "math", "typing", "collections", "functools", "copy", "abc", "dataclasses", "__future__"}

# Written for this script: what some of the files take from their projects, as it is documented there.
STAND_INS = """
import torch as _torch
from torch import nn as _nn
from typing import Any as OptMultiConfig


def gated(*gates):
    '''A block that multiplies its input by each gate in turn.'''
    class Gated(_nn.Module):
        def __init__(self):
            super().__init__()
            self.gates = _nn.ModuleList(gates)
        def forward(self, x):
            for gate in self.gates:
                x = gate(x) * x
            return x
    return Gated()


def first(module):
    '''The first of several results.'''
    class First(_nn.Module):
        def __init__(self):
            super().__init__()
            self.module = module
        def forward(self, x):
            return self.module(x)[0]
    return First()


class BaseModule(_nn.Module):  # of mmengine
    def __init__(self, init_cfg=None):
        super().__init__()


class MODELS:  # a registry of mmyolo
    @staticmethod
    def register_module():
        return lambda c: c


def ConvModule(in_channels, out_channels, kernel_size, stride=1, padding=0, conv_cfg=None, act_cfg=None):  # of mmcv
    layers = [_nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)]
    return _nn.Sequential(*layers, *([getattr(_nn, act_cfg["type"])()] if act_cfg else []))


def ConvNormAct(in_chs, out_chs, kernel_size, apply_act=True, device=None, dtype=None):  # of timm
    conv = _nn.Conv2d(in_chs, out_chs, kernel_size, padding=kernel_size // 2, bias=False)
    return _nn.Sequential(conv, _nn.BatchNorm2d(out_chs), *([_nn.ReLU()] if apply_act else []))


def create_act_layer(name):  # of timm
    return {"sigmoid": _nn.Sigmoid}[name]()


def make_divisible(v, divisor=8, min_value=None, round_limit=0.9):  # of timm
    return max(divisor, int(v + divisor / 2) // divisor * divisor)


def conv7x7_block(in_channels, out_channels, activation=None):  # of pytorchcv
    conv = _nn.Conv2d(in_channels, out_channels, 7, padding=3, bias=False)
    return _nn.Sequential(conv, _nn.BatchNorm2d(out_channels))
"""


# Prints "no network" if not even a datagram can be sent.
REACHES_OUT = """
import socket
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("192.0.2.1", 9))
except OSError:
    print("no network")
"""


# --- one module -----------------------------------------------------------------------------------------------------


def reduced(source: str, make: str) -> str:
    """The harmless imports of a file, and the classes and functions that `make` needs; all else is left out."""
    kept = [node for node in ast.parse(source).body if is_kept(node)]
    wanted, seen = names_in(ast.parse(make)), set()
    while wanted - seen:
        seen |= wanted
        wanted |= {name for node in kept if getattr(node, "name", "") in seen for name in names_in(node)}
    return ast.unparse(ast.Module([node for node in kept if getattr(node, "name", None) in {None, *wanted}], []))


def names_in(node: ast.AST) -> set[str]:
    """The names that are used in some code."""
    return {x.id for x in ast.walk(node) if isinstance(x, ast.Name)}


def is_kept(node: ast.stmt) -> bool:
    """Whether a statement at the top is run."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return True
    if isinstance(node, ast.Import):
        return all(alias.name.split(".")[0] in ALLOWED for alias in node.names)
    return isinstance(node, ast.ImportFrom) and not node.level and str(node.module).split(".")[0] in ALLOWED


def audit_one(file: Path, make: str) -> dict[str, Any]:
    """The audit of one module, in this process. The file is run."""
    sys.path.insert(0, str(ROOT))
    import torch

    from cbam_np.pytorch.auditing import audit

    torch.set_num_threads(1)
    names: dict[str, Any] = {"__name__": "audited"}
    exec(STAND_INS, names)
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), names)

    def made(channels: int) -> Any:
        return eval(make, names | {"channels": channels})

    report = audit(made, CHANNELS)
    return {
        "ok": report.ok,
        "cbam": report.cbam,
        "found": [deviation.__dict__ for deviation in report.found],
        "unsure": list(report.unsure),
        "agreement": [None if x != x else x for x in report.agreement] if report.agreement else None,
    }


@cache
def without_network() -> list[str]:
    """What to put before a command so that it has no network, no loopback either; nothing if the system refuses."""
    command = ["unshare", "--map-root-user", "--net"]
    try:
        worked = subprocess.run([*command, sys.executable, "-I", "-c", REACHES_OUT], capture_output=True, check=False)
    except FileNotFoundError:
        return []
    return command if worked.stdout.strip() == b"no network" else []


def in_its_own_process(source: str, make: str) -> dict[str, Any]:
    """The audit of one module, in another process."""

    def limits() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "module.py"
        file.write_text(reduced(source, make), encoding="utf-8")
        command = [*without_network(), sys.executable, "-I", str(Path(__file__).resolve()), "--one", str(file), make]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=3 * SECONDS,
            env={"OMP_NUM_THREADS": "1", "HOME": folder}, preexec_fn=limits,
        )  # fmt: skip
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        return {
            "ok": False,
            "cbam": None,
            "found": [],
            "unsure": [f"it could not be run: {reason[:200]}"],
            "agreement": None,
        }
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# --- where it is ----------------------------------------------------------------------------------------------------


def source_of(row: dict[str, Any], repositories: Path, packages: Path) -> str:
    """The text of the one file."""
    if "package" in row:
        return in_package(row["package"], row["path"], packages)
    folder = repositories / row["repository"].replace("/", "+")
    git = next(
        x for x in (folder / ".git", folder / "repo" / ".git", folder / "repo", folder) if (x / "HEAD").is_file()
    )
    command = ["git", f"--git-dir={git}", "show", f"{row['commit']}:{row['path']}"]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8", errors="replace")


def in_package(package: str, path: str, packages: Path) -> str:
    """A file of a wheel or of a source archive, which is not installed."""
    name, version = package.split("==")
    stem = f"{name.replace('-', '_')}-{version}"
    for file in sorted(packages.iterdir()):
        if file.name.lower().replace("-", "_").startswith(stem.replace("-", "_")):
            content = file.read_bytes()
            if file.suffix == ".whl":
                return zipfile.ZipFile(io.BytesIO(content)).read(path).decode()
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                member = next(m for m in archive.getmembers() if m.name.endswith(f"/{path}"))
                extracted = archive.extractfile(member)
                assert extracted is not None
                return extracted.read().decode()
    raise FileNotFoundError(f"{package} is not in {packages}: pip download --no-deps {package}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repositories", type=Path, help="folder of clones")
    parser.add_argument("--packages", type=Path, help="folder of downloaded packages")
    parser.add_argument("--one", nargs=2, metavar=("FILE", "MAKE"), help="audit one file in this process: it is run")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(audit_one(Path(options.one[0]), options.one[1])))
        return
    from measure import FOLDER, machine

    rows = []
    for row in tomllib.loads((ROOT / "docs" / "wild.toml").read_text(encoding="utf-8"))["module"]:
        source = source_of(row, options.repositories, options.packages)
        result = in_its_own_process(source, row["make"])
        digest = hashlib.sha256(source.encode()).hexdigest()
        rows.append({**row, "sha256": digest, **result})
        print(
            row.get("repository", row.get("package")),
            row["make"],
            [x["name"] for x in result["found"]],
            result["unsure"],
        )
    path = FOLDER / "wild.json"
    found = {"machine": machine(), "channels": CHANNELS, "network": not without_network(), "modules": rows}
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
