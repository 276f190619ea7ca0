"""The appendix on CuPy: its GPU cells run on the stand-in, and its check knows what is not portable."""

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import array_api_compat as compat
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from test_notebook_tool import build

from cbam_np.checking import cupy_standin
from cbam_np.course import portable
from cbam_np.inputs import namespace

CHAPTER = Path(__file__).parents[1] / "notebooks" / "A1_numpy_to_cupy.py"


def test_with_a_gpu_every_cell_runs_and_nothing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in in the place of CuPy: not a pass on CuPy, but no name in the guarded cells is misspelt."""

    def interleaved(functions: list[Callable[[], Any]], rounds: int) -> list[float]:
        """Each runs once; the seconds are made up, growing from size to size."""
        for function in functions:
            function()
        seconds.append(1.4 * seconds[-1] if len(seconds) < 4 else 4 * seconds[-1])
        return [seconds[-1]] * len(functions)

    seconds = [0.001]
    matplotlib.use("agg")
    monkeypatch.setattr("cbam_np.commands.timing.interleaved", interleaved)
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("CBAM_NP_TIMINGS", raising=False)
    monkeypatch.chdir(CHAPTER.parent)
    variables: dict[str, Any] = {}
    printed = StringIO()
    with cupy_standin.installed(), plt.rc_context(), np.printoptions(), redirect_stdout(printed):
        for number, cell in enumerate(build.read_text(CHAPTER, solved=True).cells, 1):
            if cell.cell_type == "code":
                exec(compile(cell.source, f"<cell {number} of appendix A1>", "exec"), variables)
    assert variables["HAVE_GPU"] is True
    assert variables["left_out"] == []
    assert variables["timings"]["milliseconds"].keys() == {"numpy", "torch", "cupy"}
    for line in ("cupy float64 on <CUDA Device 0>", "clock read too early"):
        assert line in printed.getvalue()
    assert printed.getvalue().endswith("Nothing was left out: this machine has a GPU.\n")


# --- what the checker says to functions that only NumPy likes --------------------------------------------------------

AXES = (1, 2, 3)


def low_and_span(m: Any) -> Any:
    xp = namespace(m=m)
    low = xp.min(m, axis=AXES, keepdims=True)
    return xp, low, xp.max(m, axis=AXES, keepdims=True) - low


def numpys_function(m: Any) -> Any:
    _, low, span = low_and_span(m)
    return (m - low) / np.where(span > 0, span, 1.0)


def numpys_reduction(m: Any) -> Any:
    low, span = np.min(m, axis=AXES, keepdims=True), np.ptp(m, axis=AXES, keepdims=True)
    return (m - low) / np.where(span > 0, span, 1.0)


def asks_with_float(m: Any) -> Any:
    xp, low, span = low_and_span(m)
    return (m - low) / xp.where(span > 0, span, xp.ones_like(span)) + 0 * float(xp.max(span))


def asks_with_if(m: Any) -> Any:
    xp, low, span = low_and_span(m)
    return (m - low) / xp.where(span > 0, span, xp.ones_like(span)) if xp.any(span > 0) else m - low


def indexes_with_a_mask(m: Any) -> Any:
    _, low, span = low_and_span(m)
    span[span == 0] = 1.0
    return (m - low) / span


def calls_a_method(m: Any) -> Any:
    xp = namespace(m=m)
    low, span = m.min(axis=AXES, keepdims=True), m.max(axis=AXES, keepdims=True) - m.min(axis=AXES, keepdims=True)
    return (m - low) / xp.where(span > 0, span, xp.ones_like(span))


def multiplies_with_a_list(m: Any) -> Any:
    xp, low, span = low_and_span(m)
    return (m - low) / xp.where(span > 0, span, xp.ones_like(span)) * [1.0]


def right_on_any(d_max_c: Any, f: Any) -> Any:
    """The backward of the maximum over space, by comparing."""
    xp = namespace(d_max_c=d_max_c, f=f)
    N, C, H, W = f.shape
    winner = xp.argmax(xp.reshape(f, (N, C, H * W)), axis=2, keepdims=True)
    positions = xp.arange(H * W, dtype=winner.dtype, device=compat.device(f))
    d = d_max_c[:, :, None]
    return xp.reshape(xp.where(positions == winner, d, xp.zeros_like(d)), f.shape)


def goes_back_to_numpy(d_max_c: Any, f: Any) -> Any:
    return right_on_any(np.asarray(d_max_c), np.asarray(f))


def makes_an_array_elsewhere(d_max_c: Any, f: Any) -> Any:
    xp = namespace(d_max_c=d_max_c, f=f)
    N, C, H, W = f.shape
    winner = xp.argmax(xp.reshape(f, (N, C, H * W)), axis=2, keepdims=True)
    return xp.reshape(xp.where(xp.arange(H * W) == winner, d_max_c[:, :, None], 0.0), f.shape)


def writes_along_an_axis(d_max_c: Any, f: Any) -> Any:
    xp = namespace(d_max_c=d_max_c, f=f)
    N, C, H, W = f.shape
    d_f = xp.zeros((N, C, H * W), dtype=f.dtype, device=compat.device(f))
    winner = xp.argmax(xp.reshape(f, (N, C, H * W)), axis=2, keepdims=True)
    xp.put_along_axis(d_f, winner, d_max_c[:, :, None], 2)
    return xp.reshape(d_f, f.shape)


def writes_at_an_index(d_max_c: Any, f: Any) -> Any:
    xp = namespace(d_max_c=d_max_c, f=f)
    N, C, H, W = f.shape
    d_f = xp.zeros((N * C, H * W), dtype=f.dtype, device=compat.device(f))
    rows = xp.arange(N * C, device=compat.device(f))
    d_f[rows, xp.argmax(xp.reshape(f, (N * C, H * W)), axis=1)] = xp.reshape(d_max_c, (-1,))
    return xp.reshape(d_f, f.shape)


def a_map() -> tuple[Any, ...]:
    return (np.random.default_rng(0).normal(size=(2, 1, 5, 4)),)


def a_gradient_and_features() -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, 3)), rng.normal(size=(2, 3, 5, 4))


def stretch(m: Any) -> Any:
    xp, low, span = low_and_span(m)
    return (m - low) / xp.where(span > 0, span, xp.ones_like(span))


@pytest.mark.parametrize(("function", "inputs"), [(stretch, a_map()), (right_on_any, a_gradient_and_features())])
def test_what_runs_anywhere_is_accepted(function: Callable[..., Any], inputs: tuple[Any, ...]) -> None:
    assert portable.not_portable(function, inputs) == ""


@pytest.mark.parametrize(
    ("right", "function", "inputs", "hint"),
    [
        *(
            (stretch, function, a_map(), hint)
            for function, hint in (
                (numpys_function, portable.NUMPY),
                (numpys_reduction, portable.NUMPY),
                (asks_with_float, portable.ASKED),
                (asks_with_if, portable.ASKED),
                (indexes_with_a_mask, portable.MASK),
                (calls_a_method, portable.METHOD),
                (multiplies_with_a_list, portable.OPERAND),
            )
        ),
        *(
            (right_on_any, function, a_gradient_and_features(), hint)
            for function, hint in (
                (goes_back_to_numpy, portable.NUMPY),
                (makes_an_array_elsewhere, portable.ELSEWHERE),
                (writes_along_an_axis, portable.UNKNOWN),
                (writes_at_an_index, portable.WRITE),
            )
        ),
    ],
)
def test_what_is_right_on_numpy_only_gets_its_hint(
    right: Callable[..., Any], function: Callable[..., Any], inputs: tuple[Any, ...], hint: str
) -> None:
    assert np.allclose(function(*inputs), right(*inputs))
    problem = " ".join(portable.not_portable(function, inputs).split())
    assert problem.startswith("Right on NumPy, but not on other arrays. on ")
    assert problem.endswith(f"hint {hint}")
    assert " in line " in problem


def test_a_result_in_another_library_or_dtype_is_named() -> None:
    host = " ".join(portable.not_portable(lambda m: np.zeros(m.shape), a_map()).split())
    assert "expected torch float64 on meta got numpy float64 on cpu" in host
    assert host.endswith(portable.NUMPY)
    single = portable.not_portable(lambda m: namespace(m=m).zeros(m.shape, device=compat.device(m)), a_map())
    assert "torch float32 on meta" in single
    assert portable.ELSEWHERE in " ".join(single.split())
