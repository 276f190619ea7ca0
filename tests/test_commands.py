"""The commands: what they print, and that their exit status tells the truth."""

import ast
import inspect
import io
import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from backends import jax_in
from rich.console import Console

import cbam_np as cb
from cbam_np import ops
from cbam_np.arrays import Array, Backward
from cbam_np.attention.block import CBAM
from cbam_np.checking import cupy_standin
from cbam_np.commands import (
    audit,
    bench,
    check,
    cli,
    doctor,
    extras,
    files,
    gpu_test,
    growth,
    memory,
    peers,
    sides,
    terminal,
    timing,
    tour,
)
from cbam_np.commands.files import RESULTS
from cbam_np.reference.operations import OPERATIONS

ROOT = Path(__file__).parents[1]
METHODS = ("complex step", "differences")
SMALL: dict[str, Any] = {"backend": "numpy", "channels": 2, "size": 3, "seed": 0}
TINY_SIZES = ((1, 16, 6), (2, 32, 5))


def screen(width: int = 100) -> Console:
    return Console(file=StringIO(), width=width)


def printed(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def words(console: Console) -> str:
    """What was printed, without line breaks."""
    return " ".join(printed(console).split())


@pytest.fixture(autouse=True)
def few_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands are tested here, not the gradients: random directions and a few entries are enough."""
    monkeypatch.setattr(check, "ENTRIES", 3)


# --- the command line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_command_is_a_row_and_a_file_with_two_functions(name: str) -> None:
    positional = {"inspect": ["weights.npz"], "audit": ["a:B"]}.get(name, [])
    options = vars(cli.parser([name]).parse_args([name, *positional]))
    parameters = inspect.signature(cli.module_of(name).run).parameters
    assert {"console", *options} - {"command"} == set(parameters)


def test_every_file_of_a_command_has_its_row() -> None:
    commands = {
        path.stem for path in (ROOT / "cbam_np" / "commands").glob("*.py") if "def add_arguments" in path.read_text()
    }
    assert commands == {name.replace("-", "_") for name in cli.COMMANDS}


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in cli.COMMANDS)])
def test_help_imports_no_optional_library(arguments: list[str]) -> None:
    code = f"""
import sys
for name in ("torch", "matplotlib", "skimage", "sklearn", "safetensors", "jax", "cupy", "scipy"):
    sys.modules[name] = None  # importing it fails
from cbam_np.commands.cli import main
sys.exit(main({arguments}))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: cbam-np")


def test_python_m_is_the_same_command() -> None:
    shown = subprocess.run([sys.executable, "-m", "cbam_np", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == cb.__version__


@pytest.mark.parametrize(("ok", "status"), [(True, 0), (False, 1)])
def test_the_status_is_the_verdict(ok: bool, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "run", lambda **_: ok)
    assert cli.main(["check"]) == status


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "--backend", "nosuch"], "--backend: expected an installed array library such as numpy, got nosuch"),
        (["check", "--channels", "0"], "--channels: expected a positive integer, got 0"),
        (["check", "--size", "-3"], "--size: expected a positive integer, got -3"),
        (["bench", "--rounds", "0"], "--rounds: expected a positive integer, got 0"),
        (["bench", "--threads", "0"], "--threads: expected a positive integer, got 0"),
        (["bench", "--dtypes", "float16"], "--dtypes: invalid choice: 'float16'"),
        (["bench", "--runs", "many"], "--runs: expected a positive integer, got many"),
        (["gpu-test", "--rounds", "1.5"], "--rounds: expected a positive integer, got 1.5"),
        (["gpu-test", "--runs", "0"], "--runs: expected a positive integer, got 0"),
        *((name, "--seed: expected an integer of at least 0, got -1") for name in ("check", "bench", "tour")),
        (["nosuch"], "cbam-np: argument COMMAND: invalid choice: 'nosuch'"),
        ([], "cbam-np: the following arguments are required: COMMAND"),
    ],
)
def test_what_cannot_be_run_is_one_line(
    arguments: list[str] | str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([arguments, "--seed", "-1"] if isinstance(arguments, str) else arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("error", [ValueError, RuntimeError, OSError, MemoryError])
def test_an_error_of_a_command_is_one_line_too(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(**_: Any) -> bool:
        raise error("two\nlines")

    monkeypatch.setattr(doctor, "run", run)
    assert cli.main(["doctor"]) == 2
    assert capsys.readouterr().err == "cbam-np doctor: two lines\n"


@pytest.mark.parametrize(
    ("arguments", "module", "expected"),
    [
        (["tour", "--output", "x.png", "--dark"], tour, {"output": Path("x.png"), "dark": True, "seed": 0}),
        (["check", "--backend", "torch"], check, {"backend": "torch", "channels": 6, "size": 9, "seed": 0}),
        (
            ["bench", "--rounds", "4", "--threads", "1", "3", "--dtypes", "float64"],
            bench,
            {"rounds": 4, "runs": 3, "seed": 0, "threads": [1, 3], "dtypes": ["float64"], "output": RESULTS / "bench"},
        ),
        (["doctor"], doctor, {}),
        (
            ["audit", "a:B", "--call", "channels, 8"],
            audit,
            {"target": "a:B", "channels": 64, "reduction": None, "kernel_size": 7, "call": "channels, 8", "seed": 0},
        ),
        (["gpu-test", "--output", "x.json"], gpu_test, {"output": Path("x.json"), "rounds": 20, "runs": 3}),
    ],
)
def test_options_reach_the_command(
    arguments: list[str], module: Any, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    got: dict[str, Any] = {}

    def run(**options: Any) -> bool:
        got.update(options)
        return True

    monkeypatch.setattr(module, "run", run)
    assert cli.main(arguments) == 0
    assert isinstance(got.pop("console"), Console)
    assert got == expected


@pytest.mark.parametrize(("command", "library", "extra"), [("tour", "matplotlib", "tour")])
def test_a_missing_extra_is_named(
    command: str,
    library: str,
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [library, *(name for name in sys.modules if name.startswith(f"{library}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.chdir(tmp_path)
    assert cli.main([command]) == 2
    assert f'In the folder of your clone: pip install -e ".[{extra}]"\n' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "module", "missing"), [("bench", bench, "cbam_np.nosuch"), ("check", check, "os.nosuch")]
)
def test_a_mistake_of_ours_is_not_taken_for_a_missing_extra(
    command: str, module: Any, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(**_: Any) -> bool:
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr(module, "run", run)
    with pytest.raises(ModuleNotFoundError):
        cli.main([command])


# --- a bench that takes a moment ------------------------------------------------------------------------------------


@pytest.fixture
def small_bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tiny sizes, without torch.compile and JAX, which take seconds to compile; memory is made up."""
    monkeypatch.setattr(timing, "SIZES", TINY_SIZES)
    monkeypatch.setattr(growth, "FACTORS", (1, 2))
    monkeypatch.setattr(growth, "START", {"N": 1, "C": 16, "H·W": 28})
    entries = {name: entry for name, entry in peers.ENTRIES.items() if name not in ("torch.compile", "JAX jit")}
    monkeypatch.setattr(peers, "ENTRIES", entries)
    monkeypatch.setattr(peers, "NEEDS", {name: peers.NEEDS[name] for name in entries if name in peers.NEEDS})
    monkeypatch.setattr(
        memory, "peaks", lambda names, seed: {"size": [8, 256, 56], "peaks": dict.fromkeys(names, 0.25)}
    )
    monkeypatch.chdir(tmp_path)


def run_bench(console: Console, **options: Any) -> bool:
    given: dict[str, Any] = {
        "rounds": 1,
        "runs": 1,
        "seed": 0,
        "threads": [1],
        "dtypes": ["float32"],
        "output": Path("out"),
    } | options
    return bench.run(console, **given)


# --- the terminal ---------------------------------------------------------------------------------------------------


BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command in a process of its own, stopped at the latest when the `with` ends."""
    command = [sys.executable, "-m", "cbam_np", *arguments]
    process = subprocess.Popen(command, env=BUFFERED, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_ctrl_c_ends_a_command_quietly(tmp_path: Path) -> None:
    with started("tour", "--output", str(tmp_path / "x.png")) as process:
        assert process.stdout is not None
        process.stdout.readline()  # from here on it is at work
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (130, b"")
    assert not list(tmp_path.iterdir())


def test_a_closed_pipe_ends_a_command_quietly(tmp_path: Path) -> None:
    with started("tour", "--output", str(tmp_path / "x.png")) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()  # as `| head -1` does
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["--help"], ["tour", "--help"]])
def test_a_pipe_that_was_closed_before_is_no_error_either(arguments: list[str]) -> None:
    nobody, pipe = os.pipe()
    os.close(nobody)
    command = [sys.executable, "-m", "cbam_np", *arguments]
    done = subprocess.run(command, env=BUFFERED, stdout=pipe, stderr=subprocess.PIPE, check=False)
    os.close(pipe)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize(
    "arguments", [["check", "--channels", "2", "--size", "3"], ["doctor"], ["bench", "--rounds=1"]]
)
@pytest.mark.usefixtures("small_bench")
def test_every_encoding_gets_what_it_can_show(
    arguments: list[str], encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "LIBRARIES", ("numpy",))
    monkeypatch.setenv("COLUMNS", "100")
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    assert cli.main(arguments) == 0
    stream.seek(0)
    text = stream.read()
    assert ("────" in text) == (encoding == "utf-8")
    assert ("----" in text) == (encoding != "utf-8")
    if arguments[0] == "check":
        assert ("conv2d 7x7" if encoding == "ascii" else "conv2d 7×7") in text


def test_the_environment_variable_for_the_encoding_is_enough() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "40"}
    command = [sys.executable, "-m", "cbam_np", "check", "--channels", "1", "--size", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode("ascii")
    assert "conv2d 7x7" in text
    assert max(map(len, text.splitlines())) <= 40


def strings(source: str) -> Iterator[str]:
    """The texts in some code that can get printed: all but the docstrings."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@pytest.mark.parametrize("folder", ["commands", "checking", "attention", "ops"])
def test_every_character_that_is_printed_has_a_plain_form(folder: str) -> None:
    codecs_errors = {}
    for path in (ROOT / "cbam_np" / folder).rglob("*.py"):
        for character in {c for text in strings(path.read_text(encoding="utf-8")) for c in text if not c.isascii()}:
            form, _ = terminal.plain(UnicodeEncodeError("ascii", character, 0, 1, ""))
            if "?" in form or not form.isascii():
                codecs_errors[character] = path.name
    assert codecs_errors == {}


def test_a_character_without_a_plain_form_becomes_a_question_mark_and_an_accent_is_dropped() -> None:
    terminal.fall_back_to_plain_characters()
    assert "Stéfan 卷 7×7 → x²".encode("ascii", "plain") == b"Stefan ? 7x7 -> x2"


def numbers(text: str) -> list[str]:
    """The errors in a table of `check`, in order."""
    return [word for word in text.split() if word[0].isdigit() and "e-" in word]


def test_check_at_40_columns_shows_every_number() -> None:
    wide, narrow = screen(100), screen(40)
    for console in (wide, narrow):
        assert check.run(console, **SMALL)
    assert numbers(printed(wide)) == numbers(printed(narrow)) != []
    assert max(map(len, printed(narrow).splitlines())) <= 40


@pytest.mark.parametrize("width", [80, 40])
@pytest.mark.usefixtures("small_bench")
def test_the_other_tables_fit_their_screen(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LIBRARIES", ("numpy", "cupy"))
    for run in (doctor.run, run_bench):
        console = screen(width)
        assert run(console)
        lines = printed(console).splitlines()
        assert max(len(line) for line in lines if "pip install" not in line) <= width
        assert "…" not in printed(console)


# --- files ----------------------------------------------------------------------------------------------------------


def ran_too_early(*_: Any, **__: Any) -> Any:
    raise AssertionError("the output has to be tried before the work")


@pytest.mark.parametrize("path", ["nosuch/x{}", "file/x{}", "folder{}", "link{}"])
@pytest.mark.parametrize("command", ["tour", "gpu-test"])
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    command: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ending = ".png" if command == "tour" else ".json"
    (tmp_path / "file").touch()
    (tmp_path / f"folder{ending}").mkdir()
    (tmp_path / f"link{ending}").symlink_to(tmp_path / "nowhere" / "x")
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(tour, "photograph", ran_too_early)
    monkeypatch.setattr(gpu_test, "usable_cupy", lambda: None)
    monkeypatch.setattr(gpu_test, "machine", ran_too_early)
    output = str(tmp_path / path.format(ending))
    assert cli.main([command, "--output", output]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"cbam-np {command}: --output: ")
    assert output in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_that_must_not_be_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")

    def refused(*_: Any, **__: Any) -> Any:  # what root, who may run the tests, is never told
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(ValueError, match=r"x\.txt cannot be written: Permission denied"), files.output_file(path):
        ran_too_early()


def test_an_output_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")

    def work(file: Path) -> None:
        file.write_text("half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), files.output_file(path) as file:
        work(file)
    assert path.read_text() == "old"
    link = tmp_path / "link.txt"
    link.symlink_to(path)
    with files.output_file(link) as file:
        file.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert sorted(tmp_path.iterdir()) == [link, path]
    with pytest.raises(ValueError, match="expected a file"), files.output_file(Path(os.devnull)):
        ran_too_early()


def test_the_results_folder_is_hidden_from_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    for text in ("first", "second"):
        with files.output_file(files.RESULTS / "x.txt") as file:
            file.write_text(text)
        assert (tmp_path / files.RESULTS / "x.txt").read_text() == text
        status = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True)
        assert status.stdout == ""


# --- check ----------------------------------------------------------------------------------------------------------


def test_check_compares_every_operation_with_every_oracle_and_passes() -> None:
    console = screen()
    assert check.run(console, backend="numpy", channels=3, size=4, seed=0)
    text = printed(console)
    cases = list(check.cases(3, 4, 0))
    for case in cases:
        assert case.name in text
    assert f"all {6 * len(cases)} checks passed" in text
    for limit in ("f64 diff 1e-07", "f64 cplx 1e-12", "f64 torch 1e-12", "f32 1e-05"):
        assert limit in text


def test_every_operation_agrees_with_the_complex_step_to_1e_13_and_with_differences_to_1e_7() -> None:
    for case in check.cases(5, 6, seed=4):
        report = cb.gradcheck(case.op, *case.inputs, max_entries=8)
        largest = {method: max(row.error for row in report.rows if row.method == method) for method in METHODS}
        assert largest["complex step"] < 1e-13, case.name
        assert largest["differences"] < 1e-7, case.name


def scaled(factor: float) -> check.Case:
    """A case whose gradient is too large by a factor."""

    def op(f: Array) -> tuple[Array, Backward]:
        out, backward = ops.avg_pool_over_space(f)
        return out, lambda d_out: backward(d_out) * factor

    return check.Case("avg_pool_over_space", "(3)", op, (np.random.default_rng(0).standard_normal((2, 3, 4, 5)),))


def test_check_holds_the_complex_step_to_more_than_gradcheck_does() -> None:
    case = scaled(1 + 1e-10)
    assert cb.gradcheck(case.op, *case.inputs).ok
    assert not check.check(case, "float64", "numpy", {}, seed=0)[1].ok


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-12), ("float32", 1e-5)])
def test_check_holds_the_gradient_to_pytorch_s(dtype: str, limit: float) -> None:
    for factor, ok in ((0.8, True), (1.3, False)):
        cell = check.check(scaled(1 + factor * limit), dtype, "numpy", check.torch_functions(), seed=0)[2]
        assert cell.ok == ok, (factor, cell)
    assert "PyTorch" in cell.note


def test_check_takes_in_every_operation_of_the_table() -> None:
    functions = {row.function for row in OPERATIONS}
    assert {case.name for case in check.cases(3, 4, 0)} == set(check.torch_functions()) == {r.name for r in OPERATIONS}
    assert {f"ops.{name}" for name in ops.__all__} <= functions


@pytest.mark.parametrize(("size", "channels"), [(1, 1), (1, 5), (8, 1)])
def test_check_works_at_the_smallest_sizes(size: int, channels: int) -> None:
    assert check.run(screen(), backend="numpy", channels=channels, size=size, seed=3)


def test_check_fails_and_says_so_when_a_gradient_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "cases", lambda *_: iter([scaled(0.5)]))
    console = screen()
    assert not check.run(console, **SMALL)
    assert "0.5 times" in words(console)
    assert "6 of 6 checks failed" in words(console)


@pytest.mark.long
def test_check_on_another_library_says_what_the_library_cannot_do() -> None:
    console = screen()
    assert check.run(console, **{**SMALL, "backend": "torch"})
    assert "torch on cpu" in words(console)
    assert "could not be compared: op does not take complex numbers here" in words(console)


def test_check_without_pytorch_leaves_its_columns_out_and_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "find_spec", lambda _: None)
    console = screen()
    assert check.run(console, **SMALL)
    assert 'To compare with PyTorch: pip install -e ".[torch]"' in words(console)
    assert f"{2 * len(OPERATIONS)} of {6 * len(OPERATIONS)} could not be compared: PyTorch is not installed" in words(
        console
    )


def in_32_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make NumPy a library without float64, for `check`."""
    monkeypatch.setattr(check, "has_float64", lambda _: False)
    monkeypatch.setitem(check.SWITCHES, "numpy", "SWITCH=1")


def test_check_in_32_bits_checks_what_can_be_checked_and_names_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    in_32_bits(monkeypatch)
    console = screen()
    assert check.run(console, **SMALL)
    text = words(console)
    assert f"{3 * len(OPERATIONS)} of {6 * len(OPERATIONS)} could not be compared: numpy has no float64 here" in text
    assert "numpy is in 32-bit mode: float64 can't be had." in text
    assert "To check float64 too: SWITCH=1 cbam-np check --backend numpy" in text
    assert text.endswith(f"all {3 * len(OPERATIONS)} checks passed")


def only_in_float32(change: Any) -> check.Case:
    """A case whose float32 gradient is changed."""

    def op(f: Array) -> tuple[Array, Backward]:
        out, backward = ops.avg_pool_over_space(f)
        return out, lambda d_out: backward(d_out) if f.dtype == np.float64 else change(backward(d_out))

    return check.Case("avg_pool_over_space", "(3)", op, (np.random.default_rng(0).standard_normal((2, 3, 4, 5)),))


@pytest.mark.parametrize(
    ("change", "ok"),
    [
        (lambda d_f: d_f * np.float32(1 + 0.8e-5), True),
        (lambda d_f: d_f * np.float32(1 + 1.3e-5), False),
        (lambda d_f: d_f * np.float32("nan"), False),
        (lambda d_f: d_f[:, :, :1], False),
        (lambda d_f: d_f.astype(np.float64), False),
    ],
)
def test_check_in_32_bits_finds_a_wrong_gradient(change: Any, ok: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    in_32_bits(monkeypatch)
    cells = check.check(only_in_float32(change), "float32", "numpy", {}, seed=0)
    assert [cell.ok for cell in cells] == [ok, ok, True]
    assert ok or "NumPy's in float64" in cells[0].note
    assert not check.check(scaled(1.001), "float32", "numpy", {}, seed=0)[0].ok  # found by the slopes


@pytest.mark.jax
@pytest.mark.parametrize("bits", [32, 64])
def test_check_on_jax(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    some = list(check.cases(2, 3, 0))[::5]  # test_backends.py runs them all
    monkeypatch.setattr(check, "cases", lambda *_: iter(some))
    console = screen()
    with jax_in(bits):
        assert check.run(console, **{**SMALL, "backend": "jax"})
    assert words(console).endswith(f"all {len(some) * (3 if bits == 32 else 6)} checks passed")
    assert ("JAX_ENABLE_X64=1 cbam-np check --backend jax" in words(console)) == (bits == 32)


# --- timings --------------------------------------------------------------------------------------------------------


def test_the_sides_take_turns_and_change_their_order() -> None:
    order: list[str] = []
    seconds = timing.interleaved([lambda: order.append("a"), lambda: order.append("b")], rounds=3)
    assert seconds.shape == (2, 3)
    assert (seconds > 0).all()
    assert order == ["a", "b", "b", "a"] * ((3 + timing.WARM_UP) // 2)


def test_bench_and_gpu_test_share_the_makers_of_sides() -> None:
    for entry in (*peers.ENTRIES.values(), *gpu_test.ENTRIES.values(), *gpu_test.ENTRIES_TORCH.values()):
        make: Any = entry.make
        assert getattr(make, "func", make) in (sides.ours, sides.fused, sides.pytorch, sides.jax, sides.copy)


def data(C: int = 16) -> tuple[CBAM, np.ndarray, np.ndarray]:
    f, d_out = np.random.default_rng(0).standard_normal((2, 1, C, 6, 6), dtype=np.float32)
    return CBAM(C), f, d_out


def test_a_side_on_a_gpu_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []
    device = SimpleNamespace(synchronize=lambda: waits.append(1))
    monkeypatch.setattr(sides, "usable_cupy", lambda: SimpleNamespace(cuda=SimpleNamespace(Device=lambda: device)))
    with cupy_standin.installed():
        side = sides.ours("cupy", *data())
        side.forward()
        assert len(waits) == 1
        side.both()
        assert len(waits) == 2


def test_a_compiled_side_is_compiled_anew_for_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    called: list[Any] = []
    monkeypatch.setattr(torch.compiler, "reset", lambda: called.append("reset"))

    def not_compiled(module: Any, **options: Any) -> Any:
        called.append(options)
        return module

    monkeypatch.setattr(torch, "compile", not_compiled)
    for _ in range(2):
        sides.pytorch("cpu", *data(), compiled=True).both()
    # without reset, torch.compile gives up after eight sizes and passes, and runs eagerly without an error
    assert called == ["reset", {"fullgraph": True}] * 2


@pytest.mark.parametrize(("off", "ok"), [(0.8e-5, True), (1.3e-5, False), (np.nan, False)])
@pytest.mark.parametrize("which", ["forward", "both"])
def test_results_are_compared_with_float64_before_they_are_timed(
    which: str, off: float, ok: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slightly_off(*given: Any) -> sides.Side:
        out, gradients = timing.in_float64(*given)[:1], timing.in_float64(*given)[1:]
        changed = [out[0] * (1 + off)] if which == "forward" else [*gradients[:-1], gradients[-1] * (1 + off)]
        side = {"forward": out, "both": gradients} | {which: changed}
        return sides.Side(lambda: side["forward"], lambda: side["both"])

    monkeypatch.setattr(timing, "SIZES", TINY_SIZES)
    found = timing.timings({"x": timing.Entry(slightly_off, 1e-5)}, rounds=1, runs=1, seed=0, console=screen())
    assert [timing.ok for timing in found] == [ok] * len(TINY_SIZES)


@pytest.mark.usefixtures("small_bench")
def test_bench_fails_when_a_side_computes_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    console = screen()
    assert run_bench(console)

    def wrong(f: Array, params: Any) -> tuple[Array, Backward]:
        out, backward = cb.cbam(f, params)
        return out, lambda d_out: (backward(d_out)[0] * np.float32(1.001), backward(d_out)[1])

    monkeypatch.setattr(sides, "cbam", wrong)
    assert not run_bench(console)
    assert "wrong: cbam_np at [1, 16, 6]; its times mean nothing" in words(console)


@pytest.mark.usefixtures("small_bench")
def test_runs_are_kept_apart() -> None:
    found = timing.timings(peers.ENTRIES, rounds=2, runs=3, seed=0, console=screen())
    assert [(t.size, t.side) for t in found] == [(size, side) for size in TINY_SIZES for side in peers.ENTRIES]
    assert all(t.forward.shape == t.both.shape == (3, 2) for t in found)


def made_up(side: str, size: timing.Size, seconds: list[list[float]]) -> timing.Timing:
    return timing.Timing(size, side, np.array(seconds), 2 * np.array(seconds), 1e-7, True)


def test_a_summary_gives_the_ratio_with_its_spread_over_rounds_and_runs() -> None:
    # in the second run both sides are ten times slower: the ratios within a round don't notice
    found = [
        made_up("we", (1, 2, 3), [[1, 2, 3], [10, 20, 50]]),
        made_up("they", (1, 2, 3), [[2, 2, 2], [20, 20, 20]]),
        made_up("we", (4, 5, 6), [[8, 8, 8], [8, 8, 8]]),
        made_up("they", (4, 5, 6), [[1, 1, 1], [1, 1, 1]]),
    ]
    summary = timing.summary(found, "we")
    assert (summary["runs"], summary["rounds"]) == (2, 3)
    row = summary["timings"][1]
    assert (row["size"], row["side"], row["forward ms"]) == ([1, 2, 3], "they", 11000)
    ratios = [0.5, 1, 1.5, 0.5, 1, 2.5]
    assert row["forward ratio"] == [float(np.quantile(ratios, q)) for q in (0.25, 0.5, 0.75)]
    assert row["forward + backward ratio"] == row["forward ratio"]
    assert summary["means"] == {"they": dict.fromkeys(timing.PASSES.values(), [round(8**0.5, 4)] * 2)}
    assert json.loads(json.dumps(summary)) == summary

    console = screen(80)
    timing.show(console, summary, "a title")
    assert "1.00 (0.62–1.38)" in printed(console)
    assert "forward 2.83, 2.83; forward + backward 2.83, 2.83" in words(console)
    assert "trust" not in printed(console)


def test_milliseconds_have_three_digits() -> None:
    times = {
        0.01234: "0.0123",
        0.1: "0.100",
        12.345: "12.3",
        123.4: "123",
        999.4: "999",
        999.6: "1000",
        12345.6: "12346",
    }
    assert {time: timing.milliseconds(time) for time in times} == times


# --- gpu-test -------------------------------------------------------------------------------------------------------


def test_gpu_test_without_a_gpu_says_what_is_missing_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert cli.main(["gpu-test", "--output", str(tmp_path / "results.json")]) == 2
    assert "CuPy is not installed" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("failing", [None, "suite", "gradients", "timings"])
def test_gpu_test_writes_what_it_found_and_fails_if_any_part_does(
    failing: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything but the GPU: NumPy computes in its place."""
    numpy = timing.Entry(partial(sides.ours, "numpy"), 0.0 if failing == "timings" else 1e-5)
    monkeypatch.setattr(gpu_test, "ENTRIES", {gpu_test.OURS: numpy})
    monkeypatch.setattr(gpu_test, "usable_cupy", lambda: None)
    monkeypatch.setattr(gpu_test, "machine", lambda: {"device": "none", "date": "2000-01-01"})
    monkeypatch.setattr(gpu_test, "torch_on_cuda", lambda: False)
    monkeypatch.setattr(gpu_test, "suite", lambda: {"passed": failing != "suite", "summary": ["1 passed"]})
    monkeypatch.setattr(gpu_test, "gradients", lambda: {"passed": failing != "gradients", "table": []})
    monkeypatch.setattr(timing, "SIZES", TINY_SIZES)
    output = tmp_path / "results.json"
    assert gpu_test.run(screen(), output, rounds=1, runs=2) == (failing is None)
    found = json.loads(output.read_text(encoding="utf-8"))
    assert {"machine", "tests", "gradients", "left out", "timings", "means", "runs", "rounds"} <= found.keys()
    assert [row["size"] for row in found["timings"]] == [list(size) for size in TINY_SIZES]


def test_gpu_test_needs_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_test, "usable_cupy", lambda: None)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["gpu-test", "--output", "x.json"]) == 2
    assert "working directory: expected a checkout of the project" in capsys.readouterr().err


def test_the_gradients_of_gpu_test_are_those_of_check_on_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = vars(cli.parser(["check"]).parse_args(["check", "--backend", "cupy"]))
    got: dict[str, Any] = {}

    def run(console: Console, **options: Any) -> bool:
        console.print("a table")
        got.update(options)
        return True

    monkeypatch.setattr(check, "run", run)
    assert gpu_test.gradients() == {"passed": True, "table": ["a table"]}
    assert got == {name: value for name, value in defaults.items() if name != "command"}


# --- doctor ---------------------------------------------------------------------------------------------------------


def test_doctor_tells_what_works_and_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LIBRARIES", ("numpy", "torch"))  # importing them all takes seconds
    console = screen()
    assert doctor.run(console)
    assert cb.__version__ in printed(console)
    assert f"numpy {np.__version__}" in words(console)
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert "CuPy is not installed" in doctor.diagnosis("cupy")
    assert doctor.diagnosis("numpy") == ""


def test_doctor_gives_the_line_that_installs_each_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {
        "": ["numpy"],
        "tour": ["numpy", "nosuch"],
        "torch": ["numpy"],
        "cupy12x": ["absent"],
        "cupy13x": ["gone"],
    }
    monkeypatch.setattr(extras, "packages", lambda: wanted)
    console = screen(40)
    doctor.show_extras(console)
    text = printed(console)
    for extra in ("tour", "cupy12x", "cupy13x"):
        assert f'To install {extra}: pip install -e ".[{extra}]"\n' in text  # in one line, to be copied
    assert "missing: nosuch" in words(console)
    assert "[torch]" not in text

    monkeypatch.setattr(extras, "packages", lambda: wanted | {"cupy13x": ["numpy"]})
    console = screen()
    doctor.show_extras(console)
    assert "[cupy12x]" not in printed(console)  # CuPy is there already

    monkeypatch.setattr(extras, "packages", dict)
    console = screen()
    doctor.show_extras(console)
    assert "its extras are not known" in printed(console)


def test_the_extras_are_those_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extras.PURPOSES.keys() == project["optional-dependencies"].keys()
    assert {"numpy", "rich"} <= set(extras.packages()[""])
    monkeypatch.setattr(extras, "requires", lambda _: ["a.b>=2", 'c-d>=1,<3; extra == "x"', "e_f; extra == 'x-y'"])
    assert extras.packages() == {"": ["a.b"], "x": ["c-d"], "x-y": ["e_f"]}


# --- the peers of bench ---------------------------------------------------------------------------------------------


def test_every_installed_peer_takes_part_and_a_missing_one_is_named(
    small_bench: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = screen()
    assert run_bench(console, threads=[1, 2], dtypes=["float32", "float64"])
    found = json.loads(Path("out/bench.json").read_text(encoding="utf-8"))
    assert [(c["dtype"], c["threads"], c["ours"]) for c in found["comparisons"]] == [
        (dtype, threads, "cbam_np, fused") for dtype in ("float32", "float64") for threads in (1, 2)
    ]
    for comparison in found["comparisons"]:
        assert list(dict.fromkeys(row["side"] for row in comparison["timings"])) == [*peers.ENTRIES]
        assert max(row["error"] for row in comparison["timings"]) < (
            1e-4 if comparison["dtype"] == "float32" else 1e-10
        )
    assert found["left out"] == {}
    names = {f"bench_{name}_{page}.png" for name in ("bars", "roofline") for page in ("light", "dark")}
    assert {path.name for path in Path("out").iterdir()} == names | {"bench.json"}

    real = peers.importable
    monkeypatch.setattr(peers, "importable", lambda package: package not in ("numba", "matplotlib") and real(package))
    assert run_bench(console, output=Path("without"))
    found = json.loads(Path("without/bench.json").read_text(encoding="utf-8"))
    assert found["comparisons"][0]["ours"] == "cbam_np"
    assert found["left out"]["cbam_np, fused"] == 'which needs numba: pip install -e ".[fast]"'
    assert 'left out: cbam_np, fused, which needs numba: pip install -e ".[fast]"' in words(console)
    assert [path.name for path in Path("without").iterdir()] == ["bench.json"]


def test_without_pytorch_and_jax_our_own_sides_are_timed(small_bench: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "jax"):
        monkeypatch.setitem(sys.modules, name, None)
    assert not peers.importable("torch")
    assert peers.available() == ["cbam_np", "cbam_np, fused", "a copy of F"]
    assert run_bench(screen())


@pytest.mark.parametrize(
    ("got", "expected", "error"),
    [
        ([2.0, -3.0], [2.0, -4.0], 0.25),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.0, 1e-30], [0.0, 0.0], np.inf),
        ([0.0, np.nan], [0.0, 1.0], np.inf),
        ([0.0, np.nan], [0.0, 0.0], np.inf),
    ],
)
def test_an_error_is_a_fraction_and_where_all_is_zero_nothing_else_will_do(
    got: list[float], expected: list[float], error: float
) -> None:
    right = np.ones(2)
    assert timing.largest_error([right, np.array(got)], [right, np.array(expected)]) == error


@pytest.mark.jax
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_side_in_jax_computes_the_block(dtype: str) -> None:
    found = timing.one_run({"JAX jit": peers.ENTRIES["JAX jit"]}, (2, 16, 9), 1, 0, dtype)
    assert found[0].ok


def test_threads_are_limited_and_set_back() -> None:
    import numba
    import torch

    before = torch.get_num_threads(), numba.get_num_threads()
    with peers.limited_threads(1):
        assert (torch.get_num_threads(), numba.get_num_threads()) == (1, 1)
        assert os.environ.get("NPROC") == ("1" if find_spec("jax") else None)  # JAX's number of threads
    assert (torch.get_num_threads(), numba.get_num_threads()) == before
    assert "NPROC" not in os.environ
    with peers.limited_threads(1000):
        assert torch.get_num_threads() == 1000


@pytest.mark.skipif(not memory.CLEAR.exists(), reason="only Linux counts a process's peak")
def test_memory_is_what_a_side_holds_at_most_beyond_inputs_and_results() -> None:
    found = memory.peaks(["cbam_np, fused"], seed=0, size=(8, 64, 56))
    assert 0.05 < found["peaks"]["cbam_np, fused"] <= 0.3


def test_a_side_whose_memory_cannot_be_measured_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(RuntimeError, match="memory of nosuch: expected a number"):
        memory.peaks(["nosuch"], seed=0)


def test_elsewhere_memory_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CLEAR", Path("/nosuch"))
    console = screen()
    memory.show(console, memory.peaks(["cbam_np"], seed=0))
    assert "Linux only" in words(console)


@pytest.mark.parametrize("power", [0.5, 1.0, 1.5])
def test_the_exponent_of_growth_is_found(power: float) -> None:
    assert growth.exponent([2, 4, 8, 16], np.array([2.0, 4, 8, 16]) ** power) == pytest.approx(power)
