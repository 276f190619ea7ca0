"""The stand-in for CuPy is a measuring instrument: here it is measured itself."""

import builtins
import inspect
import sys
from itertools import product
from types import ModuleType
from typing import Any

import array_api_compat as compat
import numpy as np
import pytest

import cbam_np as cb
from cbam_np.arrays import usable_cupy
from cbam_np.checking import cupy_standin
from cbam_np.checking.cupy_standin import MANIFEST, StandinError
from cbam_np.checking.cupy_standin.snippets import SNIPPETS, Snippet, host, inputs


def execute(code: str, cp: Any, arrays: dict[str, Any]) -> dict[str, Any]:
    """Every array after `code` has run, and `out` if it has set it."""
    scope = {"cp": cp, "np": np, "n": host(), **arrays}
    exec(code, scope)
    return {name: scope[name] for name in (*arrays, "n", "out") if name in scope}


def on_host(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: on_host(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [on_host(part) for part in value]
    return value.get() if hasattr(value, "get") else value


def same(a: Any, b: Any) -> bool:
    """Equal bit for bit, shapes and dtypes included."""
    if isinstance(a, dict | list):
        keys: Any = a if isinstance(a, dict) else range(len(a))
        return len(a) == len(b) and all(same(a[key], b[key]) for key in keys)
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def judge(snippet: Snippet) -> bool:
    """Whether the stand-in does with a snippet what its kind says."""
    with cupy_standin.installed() as cp:
        arrays = {name: cp.asarray(x) for name, x in inputs().items()}
        try:
            after = execute(snippet.code, cp, arrays)
        except StandinError:
            return snippet.kind in ("wrong", "hidden")
        except Exception as error:
            return snippet.kind == "refused" and isinstance(error, getattr(builtins, snippet.error))
        waited = bool(cupy_standin.syncs)
        after = on_host(after)
    if snippet.kind == "works":
        with np.errstate(all="ignore"):
            return not waited and same(after, on_host(execute(snippet.code, np, inputs())))
    if snippet.kind == "wrong":  # reading unwritten memory is no error, it gives NaN
        return bool(np.isnan(after["out"]).all())
    return snippet.kind == "waits" and waited


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda s: f"{s.kind}: {s.code}")
def test_every_snippet_is_judged_right(snippet: Snippet) -> None:
    assert judge(snippet)


def test_there_are_enough_snippets_of_both_sorts() -> None:
    kinds = [snippet.kind for snippet in SNIPPETS]
    assert kinds.count("refused") + kinds.count("wrong") >= 30
    assert kinds.count("works") >= 15
    assert len({snippet.code for snippet in SNIPPETS}) == len(SNIPPETS)


@pytest.mark.parametrize(
    "mislabelled",
    [
        Snippet("out = x + n", "works"),
        Snippet("out = x + n", "refused", "ValueError"),
        Snippet("out = x + 1", "refused", "TypeError"),
        Snippet("out = x + 1", "waits"),
        Snippet("out = x + 1", "wrong"),
        Snippet("out = float(s)", "works"),
        Snippet("out = np.exp(x)", "works"),
        Snippet("out = cp.where(b, x, 1.0) if cp is not np else x", "works"),  # another value
        Snippet("out = x.astype('float32') if cp is not np else x", "works"),  # another dtype
    ],
    ids=lambda s: f"{s.code} is not {s.kind} {s.error}",
)
def test_the_judge_can_say_no(mislabelled: Snippet) -> None:
    assert not judge(mislabelled)


def test_the_real_wheel_contradicts_no_snippet() -> None:
    answers = MANIFEST["answers"]
    assert list(answers) == [snippet.code for snippet in SNIPPETS], "run dump_manifest.py again"
    for snippet in SNIPPETS:
        expected = snippet.error if snippet.kind == "refused" else "ok"
        assert answers[snippet.code] in (expected, "device"), snippet.code
    refused = [snippet for snippet in SNIPPETS if snippet.kind == "refused"]
    assert sum(answers[snippet.code] == snippet.error for snippet in refused) > len(refused) / 2


def test_the_names_are_the_wheels_names() -> None:
    with cupy_standin.installed() as cp:
        assert {name for name in vars(cp) if not name.startswith("_")} == {*MANIFEST["cupy"]}
        methods = {name for name in dir(cp.ndarray) if not name.startswith("_")}
        assert methods - {*MANIFEST["ndarray"]} == set()
        assert str(inspect.signature(cp.sum)) == "(a, axis=None, dtype=None, out=None, keepdims=False)"


def test_where_cupy_has_a_dtype_loop_the_result_has_numpys_dtype() -> None:
    with cupy_standin.installed() as cp:
        ufuncs = [ufunc for ufunc in vars(cp).values() if isinstance(ufunc, cp.ufunc)]
    compared = 0
    for ufunc, char in product(ufuncs, "?bBhHiIqQefdFD"):
        dtypes = [np.dtype(char)] * ufunc.nin
        try:
            expected = getattr(np, ufunc.name).resolve_dtypes((*dtypes, *[None] * ufunc.nout))[ufunc.nin :]
            found = tuple(np.dtype(result) for result in ufunc.loop(dtypes))
        except (TypeError, AttributeError):  # no such loop in one of them; or no ufunc in NumPy
            continue
        assert found == expected, (ufunc.name, char)
        compared += 1
    assert compared > 700


def test_an_entry_stays_an_array_on_the_device() -> None:
    with cupy_standin.installed() as cp:
        x = cp.asarray(host())
        entry = x[1, 2]
        assert type(entry) is type(x.max()) is type(x.sum() + 1) is cp.ndarray
        entry[...] = 50.0
        assert x.get()[1, 2] == 50.0


def test_no_floating_point_warnings() -> None:
    with cupy_standin.installed() as cp, np.errstate(all="raise"):
        zero = cp.zeros(1)
        assert np.isnan((zero / zero).get()).all()
        assert np.isnan(cp.mean(cp.zeros(0)).get())


def test_what_the_standin_does_not_know_it_does_not_judge() -> None:
    with cupy_standin.installed() as cp, pytest.raises(NotImplementedError, match=r"CuPy has cupy\.kaiser"):
        cp.kaiser(5, 14.0)


def test_transfers_are_counted_one_by_one() -> None:
    with cupy_standin.installed() as cp:
        x = cp.asarray(host())
        float(x[0, 0])
        x[x > 3] = 0.0
        x[np.array([0])].get()
        x[cp.arange(2)] = [1.0, 2.0, 3.0, 4.0]
        assert cupy_standin.syncs == ["float", "boolean mask", "get"]
        assert cupy_standin.uploads == ["asarray", "index", "assigned values"]
    with cupy_standin.installed():
        assert cupy_standin.syncs == cupy_standin.uploads == []


def test_the_block_moves_to_it_and_back() -> None:
    block = cb.CBAM(6, 2, seed=1)
    with cupy_standin.installed() as cp:
        assert usable_cupy() is cp
        moved = block.to("cupy")
        assert "cupy float32 on <CUDA Device 0>" in repr(moved)
        assert all(type(value) is cp.ndarray for value in moved.params.values())
        back = moved.to("numpy")
        assert type(block.to(cp).params["channel.w1"]) is cp.ndarray
    assert same(back.params, block.params)


def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    real, real_adapter = ModuleType("cupy"), ModuleType("array_api_compat.cupy")
    vars(real)["ndarray"] = type("ndarray", (), {})
    monkeypatch.setitem(sys.modules, "cupy", real)
    monkeypatch.setitem(sys.modules, "array_api_compat.cupy", real_adapter)
    monkeypatch.setattr(compat, "cupy", real_adapter, raising=False)
    modules = dict(sys.modules)
    for _ in range(2):
        with cupy_standin.installed() as cp:
            x = cp.asarray(host())
            assert compat.is_cupy_array(x)
            assert compat.array_namespace(x) is not real_adapter
            assert not compat.is_cupy_array(real.ndarray())
        assert sys.modules == modules
        assert vars(compat)["cupy"] is real_adapter
        assert not compat.is_cupy_array(x)
        assert compat.is_cupy_array(real.ndarray())
        with pytest.raises(TypeError):
            compat.array_namespace(x)


def test_it_is_put_away_after_an_error() -> None:
    modules, adapter = dict(sys.modules), vars(compat).get("cupy")
    with pytest.raises(KeyError), cupy_standin.installed():
        raise KeyError
    assert sys.modules == modules
    assert vars(compat).get("cupy") is adapter
