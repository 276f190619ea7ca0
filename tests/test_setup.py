"""Promises of the project's set-up: one version, pinned dependencies, light imports that run one way, a small block."""

import ast
import importlib
import io
import re
import subprocess
import sys
import tarfile
import tokenize
import tomllib
import zipfile
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import cbam_np

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


# --- one version, everywhere ----------------------------------------------------------------------------------------


def test_pyproject_reads_the_version_from_the_package() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "cbam_np/__init__.py"


@pytest.mark.parametrize(
    ("file", "pattern"), [("CITATION.cff", r"^version: (.+)$"), ("CHANGELOG.md", r"^## \[(.+?)\]")]
)
def test_the_newest_version_named_is_the_package_s(file: str, pattern: str) -> None:
    found = re.search(pattern, (ROOT / file).read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert found is not None
    assert found[1] == cbam_np.__version__


# --- pinned dependencies --------------------------------------------------------------------------------------------


def direct_dependencies() -> list[Requirement]:
    """Everything that pyproject.toml asks for, except what needs a GPU (CuPy)."""
    extras = PROJECT["project"]["optional-dependencies"]
    tested = [lines for name, lines in extras.items() if name not in ("cupy12x", "cupy13x")]
    requirements = map(Requirement, sum(tested, PROJECT["project"]["dependencies"]))
    return [requirement for requirement in requirements if requirement.name != PROJECT["project"]["name"]]


@pytest.mark.parametrize("requirement", direct_dependencies(), ids=lambda requirement: requirement.name)
def test_constraints_pin_a_version_that_pyproject_allows(requirement: Requirement) -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pins[canonicalize_name(requirement.name)] in requirement.specifier


# --- the package ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a wheel and an sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def files(*folders: str) -> set[str]:
    """The files in these folders, as the archives name them."""
    found = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    names = {path.relative_to(ROOT).as_posix() for path in found}
    return {name for name in names if not re.search(r"__pycache__|/\.", name)}


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {"cbam_np/py.typed", "cbam_np/checking/cupy_standin/manifest.json"} <= names
    assert names == files("cbam_np")


def test_the_sdist_has_the_sources_and_no_outputs_of_notebooks(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    made = ".ipynb", ".mo"  # while notebooks run, and while the site is built
    sources = {name for name in files("cbam_np", "tests", "docs", "notebooks") if not name.endswith(made)}
    assert {name for name in sources if not name.startswith("notebooks/dark/")} <= names
    assert not {name for name in names if name.endswith(".ipynb") or name.startswith(("my-course", "notebooks/dark"))}


def test_the_classifiers_name_the_oldest_python_that_the_package_takes() -> None:
    lines = PROJECT["project"]["classifiers"]
    minors = [int(line.rpartition(".")[2]) for line in lines if re.fullmatch(r"Programming .* 3\.\d+", line)]
    assert PROJECT["project"]["requires-python"] == f">=3.{min(minors)}"
    assert f"Programming Language :: Python :: 3.{sys.version_info.minor}" in lines
    assert "Typing :: Typed" in lines


def installs(text: str) -> list[str]:
    """What `text` tells pip to install, to the end of the line or of the code."""
    return re.findall(r"(?:pip install|\$\(PIP\))([^`\n]*)", text.replace("\\[", "["))  # rich has a backslash there


def problems_of(install: str) -> list[str]:
    """What keeps somebody with a clone from installing this: the package is on no index, and an extra must exist."""
    known = PROJECT["project"]["optional-dependencies"]
    named = re.findall(r"\.\[([\w,-]+)\]", install)
    problems = [f"no extra {extra}" for extras in named for extra in extras.split(",") if extra not in known]
    return problems + ["on no index"] * bool(re.search(r"cbam[-_]np", install))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('pip install "cbam-np[torch]"', ["on no index"]),
        ("`pip install cbam_np`", ["on no index"]),
        ('$(PIP) -e ".[nowhere,test]"', ["no extra nowhere"]),
        ('pip install -e ".\\[nowhere]"', ["no extra nowhere"]),
        ('pip install -c constraints.txt -e ".[test]"', []),
        ("pip install cupy-cuda13x` for cbam_np", []),
    ],
)
def test_what_is_wrong_with_an_install_line(text: str, problem: list[str]) -> None:
    assert [problem for install in installs(text) for problem in problems_of(install)] == problem


def test_every_install_line_works_from_a_clone() -> None:
    names = files("cbam_np", "docs", "notebooks") | {"README.md", "CHANGELOG.md", "Makefile", "constraints.txt"}
    texts = {name: (ROOT / name).read_text("utf-8") for name in names if re.search(r"\.(py|md|txt)$|file$", name)}
    lines = [(name, line) for name, text in texts.items() for line in installs(text)]
    assert {"README.md", "Makefile", "cbam_np/commands/extras.py"} <= {name for name, _ in lines}
    assert [(name, line) for name, line in lines if problems_of(line)] == []


# --- imports --------------------------------------------------------------------------------------------------------


def test_importing_the_package_imports_no_optional_library() -> None:
    code = "import cbam_np, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "cbam_np.attention.block" in loaded.split()
    assert not {"torch", "matplotlib", "cupy", "jax", "skimage", "numba"} & set(loaded.split())


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = [
    path for path in (ROOT / "cbam_np").rglob("*.py") if ".ipynb_checkpoints" not in path.parts
]  # Jupyter's copies
SOURCES = {module_name(path): path.read_text(encoding="utf-8") for path in FILES}


def imports(source: str) -> set[str]:
    """The modules of this package that `source` imports, at its top or inside a function."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports in this package are absolute"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= inner & SOURCES.keys() or {str(node.module)}
    return names & SOURCES.keys()


FLOORS = (
    ("arrays", "inputs"),
    ("ops",),
    ("attention",),
    ("fused",),
    ("reference",),
    ("checking", "testing"),
    ("pytorch",),
    ("nets",),
    ("course",),
    ("commands",),
)


def floor(module: str) -> int:
    """The floor of the house that a module stands on; the package itself, its roof, imports from any of them."""
    parts = module.split(".")
    if len(parts) == 1 or parts[1] == "__main__":
        return len(FLOORS)
    return next(level for level, rooms in enumerate(FLOORS) if parts[1] in rooms)


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_a_module_imports_from_its_own_floor_and_those_below(module: str) -> None:
    for other in imports(SOURCES[module]) - {"cbam_np"}:  # the package's name and version, known from the start
        assert floor(other) <= floor(module), other


def test_no_import_runs_in_a_circle() -> None:
    TopologicalSorter({module: imports(source) for module, source in SOURCES.items()}).prepare()


# --- size -----------------------------------------------------------------------------------------------------------


def lines_of_code(source: str) -> int:
    """The number of lines that hold something besides docstrings, comments and white space."""
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in layout:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # a docstring
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def test_lines_of_code_counts_code_only() -> None:
    source = '"""One\n\ntwo."""\n\n# three\nx = """\nfour"""  # five\n'
    source += '\ndef f():\n    """Six."""\n    return (\n        x\n    )\n'
    assert lines_of_code(source) == 2 + 1 + 3


ONE_SITTING = 150  # lines of code; today's longest, conv, has about two thirds of that


@pytest.mark.parametrize("module", [name for name in sorted(SOURCES) if floor(name) in (1, 2)])
def test_a_file_with_formulas_can_be_read_in_one_sitting(module: str) -> None:
    assert lines_of_code(SOURCES[module]) <= ONE_SITTING


# --- names ----------------------------------------------------------------------------------------------------------


def test_no_module_has_the_name_of_a_public_function() -> None:
    """`import cbam_np.ops.conv as m` must yield a module, whatever `cbam_np.ops` exports."""
    packages = {module_name(path) for path in FILES if path.name == "__init__.py"}
    assert "cbam_np.ops" in packages
    for package in packages:
        exported = set(vars(importlib.import_module(package)).get("__all__", ()))
        modules = {name.removeprefix(f"{package}.") for name in SOURCES if name.startswith(f"{package}.")}
        assert not exported & modules, package


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("notebooks/*.py"), *ROOT.glob("docs/**/*.py")]), ids=lambda p: p.name
)
def test_notebooks_and_scripts_import_nothing_from_the_tests(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tests = {file.stem for file in (ROOT / "tests").glob("*.py")}
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not imported & {"tests", *tests}
    assert not re.search(r"sys\.path.*tests", text)
