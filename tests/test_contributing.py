"""The guide to a new operation in docs/contributing.md, followed to the letter in a copy of the project.

With all of its steps the operation is found and checked everywhere. Without any one of them a test fails: the one that
the guide names.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from test_setup import FLOORS, ONE_SITTING

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
NAME = "softplus"  # the guide's example


class Step(NamedTuple):
    """What to change in `file`, as the hunks of a diff, and the test that fails otherwise."""

    file: str
    hunks: list[str]
    test: str


def steps() -> list[Step]:
    found = []
    for text in re.findall(r"^### \d\. .+?$(.*?)(?=^###|^That is all)", GUIDE, flags=re.DOTALL | re.MULTILINE):
        diff = re.search(r"^````diff\n\+\+\+ (\S+)\n(.*?)^````$", text, flags=re.DOTALL | re.MULTILINE)
        (test,) = re.findall(r"^Leave this out, and `(\S+)` fails\.$", text, flags=re.MULTILINE)
        file, hunks = (diff[1], diff[2].split("@@\n")) if diff else ("docs/_generated/proof.json", [])
        found.append(Step(file, hunks, test))
    return found


def changed(text: str, hunk: str) -> str:
    lines = [line if line.strip() else " \n" for line in hunk.splitlines(keepends=True)]
    before = "".join(line[1:] for line in lines if not line.startswith("+"))
    after = "".join(line[1:] for line in lines if not line.startswith("-"))
    assert text.count(before) == 1, f"the guide shows a place that is there {text.count(before)} times:\n{before}"
    return text.replace(before, after)


def copy_of_the_project(folder: Path) -> Path:
    for part in ("cbam_np", "tests", "docs"):
        left_out = shutil.ignore_patterns("__pycache__", "_vendor", "images")
        shutil.copytree(ROOT / part, folder / part, ignore=left_out)
    for name in ("pyproject.toml", "Makefile"):
        shutil.copy(ROOT / name, folder)
    return folder


# What takes long to import is no part of the project: it is imported once, and each program runs in a fork.
RUNNER = """
import multiprocessing, os, sys
import array_api_strict, hypothesis, numpy, pytest, torch

def run(folder, program, output):
    file = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(file, sys.stdout.fileno())
    os.dup2(file, sys.stderr.fileno())
    os.chdir(folder)
    exec(program, {"__name__": "__main__"})

for job in eval(sys.stdin.read()):
    process = multiprocessing.get_context("fork").Process(target=run, args=job)
    process.start()
    process.join()
    print(process.exitcode)
"""


def run(tmp_path: Path, *jobs: tuple[Path, str]) -> list[tuple[int, str]]:
    """Exit status of each program in its folder, and what it printed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "COV"))}
    env |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
    outputs = [tmp_path / f"{i}.txt" for i, _ in enumerate(jobs)]
    source = repr(
        [(str(folder), program, str(output)) for (folder, program), output in zip(jobs, outputs, strict=True)]
    )
    command = [sys.executable, "-c", RUNNER]
    done = subprocess.run(command, input=source, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [
        (int(status), output.read_text(encoding="utf-8"))
        for status, output in zip(done.stdout.split(), outputs, strict=True)
    ]


def pytest_with(*arguments: str) -> str:
    return f"import pytest, sys; sys.exit(pytest.main({['-p', 'no:cacheprovider', *arguments]}))"


@pytest.mark.long
def test_an_operation_added_by_the_guide_is_checked_everywhere_and_no_step_can_be_left_out(tmp_path: Path) -> None:
    whole = copy_of_the_project(tmp_path / "whole")
    for step in STEPS:
        for hunk in step.hunks:
            file = whole / step.file
            file.write_text(changed(file.read_text(encoding="utf-8"), hunk), encoding="utf-8")
    without = [shutil.copytree(whole, tmp_path / f"without step {i}") for i, _ in enumerate(STEPS, start=1)]
    for folder, step in zip(without, STEPS, strict=True):
        shutil.copy(ROOT / step.file, folder / step.file)

    measured, checked, tested, *left_out = run(
        tmp_path,
        (whole, MEASURE),
        (whole, "import sys; from cbam_np.commands.cli import main; sys.exit(main(['check', '--size', '2']))"),
        (whole, pytest_with("-v", *FILES, "tests/test_cupy_mistakes.py", "-k", " or ".join(SELECTED))),
        *((folder, pytest_with("-x", step.test)) for folder, step in zip(without, STEPS, strict=True)),
    )

    assert measured[0] == 0, measured[1]
    assert checked[0] == 0, checked[1]
    assert re.search(rf"^ *{NAME} .*e-", checked[1], flags=re.MULTILINE)
    assert tested[0] == 0, tested[1]
    for name in FILES:
        assert re.search(rf"^{name}::.*{NAME}.* PASSED", tested[1], flags=re.MULTILINE), f"{name} has no test of it"
    for lint in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *lint, "--no-cache", "cbam_np"]
        assert subprocess.run(command, cwd=whole, capture_output=True, check=False).returncode == 0
    for step, (status, printed) in zip(STEPS, left_out, strict=True):
        assert status != 0, f"nothing fails without {step.file}"
        assert NAME in printed, printed


STEPS = steps()
FILES = sorted({step.test.partition("::")[0] for step in STEPS} | {"tests/test_errors.py", "tests/test_properties.py"})
NAMED = [name for step in STEPS if (name := step.test.partition("::")[2])]
SELECTED = [NAME, "operations.md", *NAMED, "standin_notices"]  # the last has other mistakes in the same file

# docs/measure.py proof, but for the rows and the mistakes of the new operation only: the others are there already
MEASURE = f"""
import json, sys
sys.path.insert(0, "docs")
import measure
from cbam_np.checking import mutants
from cbam_np.commands import check

rows, planted = check.OPERATIONS, mutants.MUTANTS
for mutant in planted:
    assert mutants.sources()[mutant.file].count(mutant.original) == 1, mutant.name
check.OPERATIONS = [row for row in rows if row.name == "{NAME}"]
mutants.MUTANTS = [mutant for mutant in planted if mutant.check == "{NAME}"]
with open("docs/_generated/proof.json") as file:
    found = json.load(file)
order = [row.name for row in rows]
found["gradients"] = sorted(found["gradients"] + measure.gradients(), key=lambda row: order.index(row["operation"]))
order = [mutant.name for mutant in planted]
name = lambda mutant: mutant["check"] + ": " + mutant["mistake"]
found["mutants"] = sorted(found["mutants"] + measure.mutants(), key=lambda mutant: order.index(name(mutant)))
with open("docs/_generated/proof.json", "w") as file:
    json.dump(found, file)
"""


def test_the_guide_has_steps_for_all_that_an_operation_needs() -> None:
    assert [step.file for step in STEPS] == [
        "cbam_np/ops/activation.py",
        "cbam_np/ops/__init__.py",
        "cbam_np/reference/in_pytorch.py",
        "cbam_np/reference/operations.py",
        "cbam_np/checking/mutants.py",
        "docs/reference/operations.md",
        "docs/_generated/proof.json",
    ]


def test_the_guide_shows_every_floor_from_the_ground_up() -> None:
    named = re.findall(r"^\| `cbam_np/(\w+)", GUIDE, flags=re.MULTILINE)
    there = {path.stem for path in (ROOT / "cbam_np").iterdir() if path.is_dir() or path.suffix == ".py"}
    assert {name for name in there if not name.startswith("_")} <= {*named, "inputs", "testing"}
    levels = [level for name in named for level, rooms in enumerate(FLOORS) if name in rooms]
    assert levels == sorted(set(levels))
    assert len(levels) == len(named)
    assert f"below {ONE_SITTING} lines of code" in GUIDE
