"""The commands: what they print, and that their exit status tells the truth."""

import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import cbam_np as cb
from cbam_np import ops
from cbam_np.arrays import Array, Backward
from cbam_np.commands import bench, check, cli, doctor, gpu_test, timing, tour

METHODS = ("complex step", "differences")


def console() -> Console:
    return Console(file=StringIO(), width=80)


def printed(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.fixture(autouse=True)
def few_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands are tested here, not the gradients: random directions and a few entries are enough."""
    monkeypatch.setattr(check, "ENTRIES", 3)


def test_check_compares_every_operation_with_every_oracle_and_passes() -> None:
    screen = console()
    assert check.run(channels=3, size=4, console=screen)
    text = printed(screen)
    for name in ("avg_pool_over_space", "shared_mlp", "gate by M_c", "conv2d 7×7", "spatial_attention", "cbam"):
        assert name in text
    assert "all 108 checks passed" in text


def test_every_operation_agrees_with_the_complex_step_to_1e_13_and_with_differences_to_1e_7() -> None:
    for case in check.cases(5, 6, seed=4):
        report = cb.gradcheck(case.op, *case.inputs, max_entries=8)
        largest = {method: max(row.error for row in report.rows if row.method == method) for method in METHODS}
        assert largest["complex step"] < 1e-13, case.name
        assert largest["differences"] < 1e-7, case.name


def test_check_holds_the_complex_step_to_more_than_gradcheck_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def slightly_wrong(f: Array) -> tuple[Array, Backward]:
        out, backward = ops.avg_pool_over_space(f)
        return out, lambda d_out: backward(d_out) * (1 + 1e-10)

    f = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    assert cb.gradcheck(slightly_wrong, f).ok
    case = check.Case("avg_pool_over_space", "(3)", slightly_wrong, (f,))
    assert not check.check(case, "float64", "numpy", {}, seed=0)[1].ok


def test_check_has_a_pytorch_function_and_a_case_for_every_operation() -> None:
    cases = list(check.cases(3, 4, 0))
    assert set(check.torch_functions()) == {case.name for case in cases}
    checked = {case.op for case in cases}
    # im2col and col2im are parts of conv2d, and are checked on their own in the tests
    missing = {name for name in ops.__all__ if getattr(ops, name) not in checked}
    assert missing == {"im2col", "col2im"}


@pytest.mark.parametrize(("size", "channels"), [(1, 1), (1, 5), (8, 1)])
def test_check_works_at_the_smallest_sizes(size: int, channels: int) -> None:
    assert check.run(channels=channels, size=size, seed=3, console=console())


def test_check_fails_and_says_so_when_a_gradient_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def halved(f: Array) -> tuple[Array, Backward]:
        out, backward = ops.avg_pool_over_space(f)
        return out, lambda d_out: backward(d_out) / 2

    case = check.Case("avg_pool_over_space", "(3)", halved, (np.random.default_rng(0).standard_normal((2, 3, 4, 5)),))
    monkeypatch.setattr(check, "cases", lambda *_: iter([case]))
    screen = console()
    assert not check.run(console=screen)
    assert "0.5 times" in printed(screen)
    assert "6 of 6 checks failed" in printed(screen)


def test_check_on_another_library_leaves_out_only_what_the_library_cannot_do() -> None:
    screen = console()
    assert check.run("torch", channels=2, size=3, console=screen)
    assert "torch on cpu" in printed(screen)


def test_exit_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(check, "run", lambda *_: False)
    assert cli.main(["check"]) == 1
    monkeypatch.setattr(check, "run", lambda *_: True)
    assert cli.main(["check"]) == 0
    monkeypatch.undo()
    assert cli.main(["check", "--size", "0"]) == 2
    assert "size: expected a positive integer, got 0" in capsys.readouterr().err
    assert cli.main(["check", "--backend", "nosuch"]) == 2
    assert "nosuch" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "module", "expected"),
    [
        (["tour", "--output", "x.png", "--dark"], tour, {"args": (Path("x.png"),), "dark": True, "seed": 0}),
        (["bench", "--rounds", "4"], bench, {"args": (4, 0)}),
        (["doctor"], doctor, {"args": ()}),
        (["gpu-test", "--output", "x.json"], gpu_test, {"args": (Path("x.json"), 20)}),
    ],
)
def test_options_reach_the_command(
    arguments: list[str], module: Any, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    got: dict[str, Any] = {}

    def run(*args: Any, **options: Any) -> bool:
        got.update(options, args=tuple(x for x in args if not isinstance(x, Console)))
        got.pop("console", None)
        return True

    monkeypatch.setattr(module, "run", run)
    assert cli.main(arguments) == 0
    assert got == expected


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "cbam_np.commands.bench")
    monkeypatch.delattr("cbam_np.commands.bench")
    assert cli.main(["bench"]) == 2
    assert 'pip install -e ".[torch]"' in capsys.readouterr().err


def test_python_m_is_the_same_command() -> None:
    shown = subprocess.run([sys.executable, "-m", "cbam_np", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == cb.__version__


def test_bench_compares_results_before_it_times_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SIZES", ((1, 16, 8), (2, 32, 5)))
    screen = console()
    assert bench.run(rounds=1, console=screen)
    assert "geometric mean of the ratios" in printed(screen)

    def wrong(f: Array, params: Any) -> tuple[Array, Backward]:
        out, backward = cb.cbam(f, params)
        factor = 1 if f.dtype == np.float64 else 1.001
        return out, lambda d_out: (backward(d_out)[0] * np.float32(factor), backward(d_out)[1])

    monkeypatch.setattr(bench, "cbam", wrong)
    assert not bench.run(rounds=1, console=screen)
    with pytest.raises(ValueError, match="rounds: expected a positive integer, got 0"):
        bench.run(rounds=0)


def test_timings_take_turns() -> None:
    order: list[str] = []
    timing.interleaved([lambda: order.append("a"), lambda: order.append("b")], rounds=2)
    assert order == ["a", "b"] * (2 + timing.WARM_UP)


def test_gpu_test_without_a_gpu_says_what_is_missing_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert cli.main(["gpu-test", "--output", str(tmp_path / "results.json")]) == 2
    assert "CuPy is not installed" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_gpu_timings_compare_every_side_with_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_test, "SIZES", ((1, 16, 6), (2, 32, 5)))
    waits: list[int] = []
    rows = gpu_test.timings(
        {
            "numpy": lambda *data: gpu_test.block_on("numpy", lambda: waits.append(1), *data),
            "torch": lambda *data: gpu_test.torch_on("cpu", False, *data),
        },
        rounds=1,
    )
    assert [(row["size"], row["side"]) for row in rows] == [
        ([1, 16, 6], "numpy"),
        ([1, 16, 6], "torch"),
        ([2, 32, 5], "numpy"),
        ([2, 32, 5], "torch"),
    ]
    assert all(0 < row["error"] < 1e-5 for row in rows)
    assert waits  # a clock that does not wait for the device tells nothing


def test_doctor_tells_what_works_and_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = console()
    assert doctor.run(screen)
    text = printed(screen)
    assert cb.__version__ in text
    assert np.__version__ in text
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert "CuPy is not installed" in doctor.diagnosis("cupy")
    assert doctor.diagnosis("numpy") == ""
