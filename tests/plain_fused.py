"""The compiled block as plain Python, as it is or with a mistake planted in it: what coverage and the mutants run."""

import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import numba

import cbam_np

FOLDER = Path(cbam_np.__file__).parent / "fused"
FILES = ("compiling", "loops", "block")  # in this order each imports only what comes before it


def loaded(sources: dict[str, str], names: dict[str, str]) -> ModuleType:
    """The module `block` of these sources, file -> source; no loop is compiled. names: those that tracebacks show."""
    modules = {f"cbam_np.fused.{file}": ModuleType(f"cbam_np.fused.{file}") for file in FILES}
    with patch.object(numba.config, "DISABLE_JIT", True), patch.dict(sys.modules, modules):
        for file, module in zip(FILES, modules.values(), strict=True):
            exec(compile(sources[file], names[file], "exec"), module.__dict__)
    block = modules["cbam_np.fused.block"]
    block.compiled_loops = lambda: modules["cbam_np.fused.loops"]  # type: ignore[attr-defined]
    return block


@cache
def source(file: str) -> str:
    return (FOLDER / f"{file}.py").read_text(encoding="utf-8")


@cache
def plain() -> ModuleType:
    """`cbam_np.fused.block` in plain Python; its lines count as lines of the real files."""
    return loaded({file: source(file) for file in FILES}, {file: str(FOLDER / f"{file}.py") for file in FILES})


def mutated(file: str, original: str, replacement: str) -> ModuleType:
    """The same with `original`, which must occur once in `file`, replaced; its lines count for nothing."""
    if source(file).count(original) != 1:
        raise ValueError(f"expected {original!r} once in {file}.py, got {source(file).count(original)} times")
    changed = {file: source(file).replace(original, replacement)}
    return loaded({file: source(file) for file in FILES} | changed, {file: f"<{file}>" for file in FILES})
