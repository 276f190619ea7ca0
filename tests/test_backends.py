"""The same source on every array library: equal to NumPy, and everything stays where its inputs are."""

from types import SimpleNamespace
from typing import Any

import array_api_compat as compat
import conftest
import numpy as np
import pytest
from backends import ALWAYS, CASES, Backend, compare, opened, run
from support import deviation

import cbam_np as cb
from cbam_np import ops
from cbam_np.arrays import asarray, describe, library_name, to_numpy
from cbam_np.checking import cupy_standin
from cbam_np.reference.operations import leaves


@pytest.mark.parametrize("name", CASES)
def test_every_operation_equals_numpy(name: str, backend: Backend) -> None:
    compare(CASES[name], backend)


def test_every_public_operation_is_in_the_table() -> None:
    tested = {case.row.function for case in CASES.values()}
    assert {f"ops.{name}" for name in ops.__all__} <= tested
    assert {"channel_map", "channel_attention", "spatial_map", "spatial_attention", "cbam"} <= tested


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("ties", ["first", "split"])
def test_the_class_equals_numpy(backend: Backend, ties: Any, dtype: str) -> None:
    rng = np.random.default_rng(1)
    f, d_out = rng.standard_normal((2, 2, 6, 5, 4)).astype(dtype)
    block = cb.CBAM(6, reduction=2, dtype=dtype, seed=3, ties=ties)
    expected = {"out": block(f), "d_f": block.backward(d_out), "grads": block.grads, "maps": block.maps}

    block.params = {key: backend.array(value) for key, value in block.params.items()}
    f, d_out = backend.array(f), backend.array(d_out)
    cupy_standin.syncs.clear()
    cupy_standin.uploads.clear()
    got = {"out": block(f), "d_f": block.backward(d_out), "grads": block.grads, "maps": block.maps}
    assert cupy_standin.syncs == cupy_standin.uploads == []

    assert library_name(f) == backend.library
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    for (place, leaf), (_, reference) in zip(leaves(got), leaves(expected), strict=True):
        assert describe(leaf) == describe(f), place
        assert deviation(backend.host(leaf), reference) < tolerance, place


def test_parameters_move_to_a_library_and_back(backend: Backend) -> None:
    block = cb.CBAM(6, reduction=2, dtype="float64", seed=3)
    moved = block.to(backend.library)
    assert {library_name(value) for value in moved.params.values()} == {backend.library}
    back = moved.to("numpy")
    assert all(np.array_equal(back.params[key], value) for key, value in block.params.items())


def test_arrays_come_back_from_every_library(backend: Backend) -> None:
    if backend.name == "array-api-strict:device1":
        with pytest.raises(RuntimeError, match="Can't convert"):  # the point of that device
            to_numpy(backend.array(np.ones(2)))
        return
    for x in (np.linspace(0, 1, 6).reshape(2, 3), np.arange(3, dtype="float32"), np.zeros((0, 2)), np.ones(2, bool)):
        there = backend.array(x)
        back = to_numpy(there)
        assert type(back) is np.ndarray
        assert back.dtype == x.dtype
        assert np.array_equal(back, x)
        assert type(asarray(there, "numpy")) is np.ndarray
        assert asarray(there, backend.library) is there


def test_two_libraries_are_one_clear_error(backend: Backend) -> None:
    f, m = np.ones((2, 3, 4, 5)), np.ones((2, 3, 1, 1))
    other = np.float32 if backend.library == "numpy" else np.float64
    ours, theirs = backend.array(f), m.astype(other)
    with pytest.raises(TypeError) as caught:
        ops.gate(theirs, ours)
    expected = f"m: expected the library, dtype and device of f, {describe(ours)}, got {describe(theirs)}; "
    assert str(caught.value).startswith(expected)
    _, backward = ops.relu(ours)
    with pytest.raises(TypeError, match=r"d_out: expected .* got numpy float"):
        backward(f.astype(other))
    params = cb.CBAM(3, reduction=1, dtype=other).params
    with pytest.raises(TypeError, match=r"f: expected .* of channel.w1, numpy float"):
        cb.cbam(ours, params)


def test_two_devices_are_one_clear_error() -> None:
    with opened("array-api-strict") as here, opened("array-api-strict:device1") as there:
        f, m = here.array(np.ones((2, 3, 4, 5))), there.array(np.ones((2, 3, 1, 1)))
        with pytest.raises(
            TypeError, match=r"m: expected .* of f, .*CPU_DEVICE.* got array_api_strict float64 on .*device1"
        ):
            ops.gate(m, f)


# The comparison is a measuring instrument too


RELU = CASES["relu"]


def package_with(relu: Any) -> Any:
    return SimpleNamespace(ops=SimpleNamespace(relu=relu))


def _nearly(z: Any) -> Any:
    return z * (1 + 1e-9), lambda d_out: d_out


def _wrong_gradient(z: Any) -> Any:
    out, backward = ops.relu(z)
    return out, lambda d_out: backward(d_out) * (1 + 1e-9)


def _on_the_host(z: Any) -> Any:
    out, backward = ops.relu(z)
    return to_numpy(out), backward


def _narrow(z: Any) -> Any:
    out, backward = ops.relu(z)
    return out, lambda d_out: asarray(to_numpy(backward(d_out)).astype("float32"), library_name(z))


def _only_once(z: Any) -> Any:
    out, backward = ops.relu(z)
    gradients = [backward]
    return out, lambda d_out: gradients.pop()(d_out) if gradients else out * 0


@pytest.mark.parametrize("mistake", [_nearly, _wrong_gradient, _on_the_host, _narrow, _only_once])
@pytest.mark.parametrize("name", ["torch", "cupy-standin", "array-api-strict"])
def test_the_comparison_can_fail(name: str, mistake: Any) -> None:
    with opened(name) as backend:
        compare(RELU, backend, package_with(ops.relu))
        with pytest.raises(AssertionError):
            compare(RELU, backend, package_with(mistake))


def test_waiting_for_the_device_is_noticed() -> None:
    def waits(z: Any) -> Any:
        out, backward = ops.relu(z)
        return out, lambda d_out: backward(d_out * float(d_out[0, 0, 0, 0] / d_out[0, 0, 0, 0]))

    def uploads(z: Any) -> Any:
        out, backward = ops.relu(z + compat.array_namespace(z).asarray(np.zeros(4)))
        return out, backward

    with opened("cupy-standin") as backend:
        for op, event in ((waits, "float"), (uploads, "asarray")):
            with pytest.raises(AssertionError, match=rf"moves data between host and device: \['{event}'"):
                run(RELU, backend.array, package_with(op))


# CuPy is skipped only where nobody asked for it


def test_a_required_cupy_fails_instead_of_being_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "why_not_cupy", lambda: "no device")
    monkeypatch.delenv("CBAM_NP_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no device"):
        conftest.skip_without_cupy()
    monkeypatch.setenv("CBAM_NP_REQUIRE", "torch, cupy")
    with pytest.raises(pytest.fail.Exception, match="no device"):
        conftest.skip_without_cupy()
    monkeypatch.setattr(conftest, "why_not_cupy", lambda: None)
    conftest.skip_without_cupy()
    monkeypatch.setenv("CBAM_NP_REQUIRE", "cupi")
    with pytest.raises(pytest.UsageError, match="got cupi"):
        conftest.pytest_configure()


class _Marks:
    """In place of pytest's configuration: the option -m."""

    def __init__(self, marks: str) -> None:
        self.marks = marks

    def getoption(self, name: str) -> str:
        assert name == "markexpr"
        return self.marks


def test_the_header_says_which_ran_and_why_others_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def header(marks: str, reason: str | None) -> list[str]:
        monkeypatch.setattr(conftest, "why_not_cupy", lambda: reason)
        config: Any = _Marks(marks)
        return conftest.pytest_report_header(config)

    monkeypatch.delenv("CBAM_NP_REQUIRE", raising=False)
    always = f"array libraries: {', '.join(ALWAYS)}"
    standin = "  cupy-standin is NumPy behind CuPy's door: passing there is not passing on CuPy"
    no_jax = "  not jax: left out unless asked for with -m jax"
    assert header("", "no device") == [always, standin, no_jax, "  not cupy: no device"]
    assert header("not jax", None) == [f"{always}, cupy", standin, no_jax]
    assert header("jax", "no device") == ["array libraries: jax", "  not cupy: no device"]
    monkeypatch.setenv("CBAM_NP_REQUIRE", "cupy, jax")
    assert header("", None) == [f"{always}, jax, cupy", standin]
