"""The files with the formulas compute through `xp` and through nothing else, also on lines that no test runs."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cbam_np

ROOT = Path(cbam_np.__file__).parent
FORMULAS = sorted([*ROOT.glob("ops/*.py"), ROOT / "attention/channel.py", ROOT / "attention/spatial.py"])

# What a formula may use besides xp. None of it touches the entries of an array: no float(), no sum(), no np.
IMPORTS = {
    "array_api_compat": {"array_namespace", "device", "is_cupy_array", "is_numpy_array"},
    "collections.abc": None,
    "functools": {"reduce", "partial"},
    "itertools": None,
    "math": {"prod"},  # of shapes
    "operator": {"add"},
    "types": None,
    "typing": None,
}
BUILTINS = {
    "TypeError",
    "ValueError",
    "dict",
    "enumerate",
    "isinstance",
    "len",
    "list",
    "min",
    "range",
    "slice",
    "tuple",
    "zip",
}
DICT_METHODS = {"get", "items", "keys", "update", "values"}


def violations(source: str) -> Iterator[str]:
    """What in a formula's file is not `xp`: an import, a name, a call of something else, a method of an array."""
    tree = ast.parse(source)
    known = {*BUILTINS}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            known |= {node.name, *(argument.arg for argument in node.args.args)}
        elif isinstance(node, ast.Assign | ast.For | ast.comprehension):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            known |= {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
        elif isinstance(node, ast.Import):
            yield from (f"line {node.lineno}: import {alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            allowed = None if (node.module or "").split(".")[0] == "cbam_np" else IMPORTS.get(node.module or "", set())
            known |= {alias.name for alias in node.names}
            for alias in node.names:
                if alias.asname is not None or not (allowed is None or alias.name in allowed):
                    yield f"line {node.lineno}: from {node.module} import {alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in ("np", "numpy", "cupy", "cp", "torch"):
            yield f"line {node.lineno}: {node.id}"
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id not in known:
                yield f"line {node.lineno}: {called.id}()"
            elif isinstance(called, ast.Attribute):
                through_xp = isinstance(called.value, ast.Name) and called.value.id == "xp"
                on_a_string = isinstance(called.value, ast.Constant | ast.JoinedStr)
                if not (through_xp or on_a_string or called.attr in DICT_METHODS):
                    yield f"line {node.lineno}: .{called.attr}()"


@pytest.mark.parametrize("file", FORMULAS, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_formulas_compute_through_xp_only(file: Path) -> None:
    assert list(violations(file.read_text("utf-8"))) == []


PLANTED = {
    "import numpy as np": "import numpy",
    "from numpy import exp": "from numpy import exp",
    "from math import exp": "from math import exp",
    "from scipy.special import expit": "from scipy.special import expit",
    "out = np.exp(z)": "np",
    "out = numpy.pi * z": "numpy",
    "out = np.where(off, 0, z)": "np",
    "out = float(z)": "float()",
    "out = z * bool(off)": "bool()",
    "out = sum(z)": "sum()",
    "out = abs(z)": "abs()",
    "out = z.item()": ".item()",
    "out = z.sum(axis=1)": ".sum()",
    "out = (z > 0).astype(z.dtype)": ".astype()",
    "out = xp.linalg.norm(z)": ".norm()",
    "out = xp.add.reduce(z)": ".reduce()",
}


@pytest.mark.parametrize("line", PLANTED)
def test_the_check_notices(line: str) -> None:
    source = (ROOT / "ops/activation.py").read_text("utf-8")
    place = "    positive = real(z) >= 0\n"
    assert source.count(place) == 1
    found = [violation.split(": ")[1] for violation in violations(source.replace(place, f"{place}    {line}\n"))]
    assert PLANTED[line] in found
