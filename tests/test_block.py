"""The class CBAM: parameters, gradients and maps, seeds, moving between array libraries; and threads."""

import copy
import pickle
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace
from typing import Any

import array_api_compat.torch
import numpy as np
import pytest
import torch
from support import deviation, random_params

import cbam_np as cb
from cbam_np import ops

KEYS = ["channel.w1", "channel.w2", "spatial.kernel"]


def features(seed: int = 0, dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, 8, 5, 6)).astype(dtype)


# Parameters, gradients, maps


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_params_grads_and_maps_have_the_documented_keys_shapes_and_dtype(dtype: str) -> None:
    block = cb.CBAM(channels=8, reduction=4, kernel_size=5, dtype=dtype, seed=1)
    shapes = [(2, 8), (8, 2), (1, 2, 5, 5)]
    assert [(key, value.shape) for key, value in block.params.items()] == list(zip(KEYS, shapes, strict=True))
    assert block.grads == {}
    assert block.maps == {}
    out = block(features(0, dtype))
    d_f = block.backward(features(1, dtype))
    assert {key: value.shape for key, value in block.grads.items()} == dict(zip(KEYS, shapes, strict=True))
    assert {key: value.shape for key, value in block.maps.items()} == {
        "channel": (2, 8, 1, 1),
        "spatial": (2, 1, 5, 6),
    }
    for x in (out, d_f, *block.params.values(), *block.grads.values(), *block.maps.values()):
        assert x.dtype == dtype


def test_the_defaults_are_r_16_k_7_float32_seed_0() -> None:
    block = cb.CBAM(64)
    assert [value.shape for value in block.params.values()] == [(4, 64), (64, 4), (1, 2, 7, 7)]
    explicit = cb.CBAM(channels=64, reduction=16, kernel_size=7, dtype="float32", seed=0)
    for key in KEYS:
        np.testing.assert_array_equal(block.params[key], explicit.params[key], strict=True)


def test_the_class_computes_what_the_function_computes() -> None:
    block = cb.CBAM(8, 2, dtype="float64")
    maps: dict[str, np.ndarray] = {}
    out, backward = cb.cbam(features(0), block.params, maps=maps)
    np.testing.assert_array_equal(block.forward(features(0)), out)
    np.testing.assert_array_equal(block(features(0)), out)
    d_f, grads = backward(features(1))
    np.testing.assert_array_equal(block.backward(features(1)), d_f)
    for key in KEYS:
        np.testing.assert_array_equal(block.grads[key], grads[key])
    for key in ("channel", "spatial"):
        np.testing.assert_array_equal(block.maps[key], maps[key])


def test_the_maps_are_the_gates_of_the_output() -> None:
    block = cb.CBAM(8, 2, dtype="float64")
    f = features()
    f2 = block(f)
    np.testing.assert_allclose(f2, block.maps["spatial"] * block.maps["channel"] * f, rtol=1e-12)
    m_c, _ = cb.channel_map(f, block.params)
    m_s, _ = cb.spatial_map(m_c * f, block.params)
    np.testing.assert_array_equal(block.maps["channel"], m_c)
    np.testing.assert_array_equal(block.maps["spatial"], m_s)


def test_backward_may_be_called_again_with_the_same_result() -> None:
    block = cb.CBAM(8, 2, dtype="float64")
    block(features(0))
    d_f, grads = block.backward(features(1)), block.grads
    block.backward(features(2))
    np.testing.assert_array_equal(block.backward(features(1)), d_f)
    for key in KEYS:
        np.testing.assert_array_equal(block.grads[key], grads[key])


def test_backward_is_of_the_last_forward() -> None:
    block, fresh = cb.CBAM(8, 2, dtype="float64"), cb.CBAM(8, 2, dtype="float64")
    block(features(0))
    block(features(3))
    fresh(features(3))
    np.testing.assert_array_equal(block.backward(features(1)), fresh.backward(features(1)))


def test_a_forward_that_fails_leaves_the_last_one_in_place() -> None:
    block = cb.CBAM(8, 2, dtype="float64")
    block(features(0))
    d_f, maps = block.backward(features(1)), block.maps
    with pytest.raises(ValueError, match=re.escape("f: expected (N, C, H, W)")):
        block(features(0)[0])
    assert block.maps is maps
    np.testing.assert_array_equal(block.backward(features(1)), d_f)


def test_biases_may_be_added_to_the_parameters() -> None:
    block = cb.CBAM(8, 2, dtype="float64")
    block.params = random_params(8, np.random.default_rng(0), biases=True)
    block(features(0))
    block.backward(features(1))
    assert {key: value.shape for key, value in block.grads.items()} == {
        key: value.shape for key, value in block.params.items()
    }


def test_repr_says_sizes_number_of_parameters_library_and_dtype() -> None:
    block = cb.CBAM(64)
    assert repr(block) == "CBAM(channels=64, reduction=16, kernel_size=7): 610 parameters, numpy float32 on cpu"
    assert repr(block.to("torch")).endswith("610 parameters, torch float32 on cpu")


def test_a_step_against_the_gradient_lowers_a_loss() -> None:
    block = cb.CBAM(8, 2, dtype="float64")
    f, target = features(0), features(1)

    def loss() -> float:
        return float(((block(f) - target) ** 2).sum() / 2)

    before = loss()
    block.backward(block(f) - target)
    for key in KEYS:
        block.params[key] = block.params[key] - 1e-3 * block.grads[key]
    assert loss() < before


# Seeds


def test_the_same_seed_gives_the_same_weights_in_every_dtype_up_to_rounding() -> None:
    exact = cb.CBAM(64, dtype="float64", seed=5).params
    for dtype in ("float32", "float16"):
        rounded = cb.CBAM(64, dtype=dtype, seed=5).params
        for key in KEYS:
            np.testing.assert_array_equal(rounded[key], exact[key].astype(dtype), strict=True)


def test_numbers_may_come_as_numpy_integers() -> None:
    sizes: dict[str, Any] = {"channels": 64, "reduction": 8, "kernel_size": 3, "seed": 5}
    block = cb.CBAM(**{name: np.int64(size) for name, size in sizes.items()})  # type: ignore[arg-type]
    for key, value in cb.CBAM(64, 8, 3, seed=5).params.items():
        np.testing.assert_array_equal(block.params[key], value, strict=True)


def test_different_seeds_give_different_weights() -> None:
    first, second = (cb.CBAM(64, seed=seed).params for seed in (0, 1))
    for key in KEYS:
        assert not np.isclose(first[key], second[key]).any()


@pytest.mark.parametrize(("key", "fan_in"), [("channel.w1", 256), ("channel.w2", 16), ("spatial.kernel", 98)])
def test_weights_are_uniform_within_one_over_the_root_of_fan_in(key: str, fan_in: int) -> None:
    weights = cb.CBAM(256, dtype="float64").params[key]
    bound = fan_in**-0.5
    assert np.abs(weights).max() <= bound
    assert np.abs(weights).max() > 0.95 * bound
    assert np.std(weights) == pytest.approx(bound / 3**0.5, rel=0.15)
    assert abs(weights.mean()) < 0.2 * bound


# Moving


def test_to_torch_and_back_keeps_every_bit_and_gives_the_same_results() -> None:
    block = cb.CBAM(8, 2, dtype="float64", seed=2)
    moved = block.to("torch")
    for key in KEYS:
        assert isinstance(moved.params[key], torch.Tensor)
    out, d_f = moved(torch.tensor(features(0))), moved.backward(torch.tensor(features(1)))
    assert isinstance(out, torch.Tensor)
    assert deviation(out, block(features(0))) < 1e-12
    assert deviation(d_f, block.backward(features(1))) < 1e-12
    for key in KEYS:
        assert deviation(moved.grads[key], block.grads[key]) < 1e-12
    back = moved.to("numpy")
    for key in KEYS:
        assert isinstance(back.params[key], np.ndarray)
        np.testing.assert_array_equal(back.params[key], block.params[key], strict=True)


@pytest.mark.parametrize(
    ("module", "array"), [(np, np.ndarray), (torch, torch.Tensor), (array_api_compat.torch, torch.Tensor)]
)
def test_to_takes_an_array_module(module: ModuleType, array: type) -> None:
    assert all(isinstance(value, array) for value in cb.CBAM(8, 2).to(module).params.values())


def test_the_block_that_was_moved_from_is_unchanged_and_shares_nothing() -> None:
    block = cb.CBAM(8, 2, dtype="float64", ties="split")
    before = {key: value.copy() for key, value in block.params.items()}
    block(features(0))
    d_f = block.backward(features(1))
    moved = block.to("torch")
    assert (moved.grads, moved.maps, moved.ties) == ({}, {}, "split")
    assert (moved.channels, moved.reduction, moved.kernel_size) == (8, 2, 7)
    for value in moved.params.values():
        value.zero_()
    for key in KEYS:
        np.testing.assert_array_equal(block.params[key], before[key])
    np.testing.assert_array_equal(block.backward(features(1)), d_f)


@pytest.mark.parametrize("library", ["no_such_library", "math"])
def test_to_something_that_is_no_array_library_is_refused(library: str) -> None:
    message = f'library: expected an installed array library such as "numpy" or "cupy", got \'{library}\''
    with pytest.raises(ValueError, match=re.escape(message)):
        cb.CBAM(8, 2).to(library)


def test_asarray_takes_reversed_and_read_only_views() -> None:
    x = np.broadcast_to(np.arange(3.0)[::-1], (2, 3))
    np.testing.assert_array_equal(cb.asarray(x, "torch").numpy(), x)
    np.testing.assert_array_equal(cb.to_numpy(cb.asarray(x, "torch")), x)
    assert cb.asarray(x, "numpy") is x


# Moving to CuPy where it cannot be used. A module of that name is planted that does what CuPy is known to do on
# such a machine; it says nothing about CuPy on a GPU.


def planted_cupy(devices: int | Exception, product: Exception) -> ModuleType:
    """A `cupy` that imports, counts `devices` and fails in a matrix product."""

    class Device2x2:
        def __matmul__(self, other: Any) -> Any:
            raise product

    def count() -> int:
        if isinstance(devices, Exception):
            raise devices
        return devices

    module = ModuleType("cupy")
    contents = {
        "__version__": "14.2.0",
        "cuda": SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=count)),
        "eye": lambda n, dtype: Device2x2(),
        "ndarray": Device2x2,
    }
    vars(module).update(contents)
    return module


NO_DRIVER = RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version")
NO_CUBLAS = RuntimeError("libcublas.so.13: cannot open shared object file")

UNUSABLE: dict[str, tuple[ModuleType | None, list[str]]] = {
    "not installed": (
        None,
        ["CuPy is not installed", "pip install cupy-cuda13x", "pip install cupy-cuda12x"],
    ),
    "no driver": (
        planted_cupy(NO_DRIVER, NO_CUBLAS),
        ["CuPy 14.2.0 is installed", "no NVIDIA driver or device", str(NO_DRIVER), "nvidia-smi"],
    ),
    "no device": (planted_cupy(0, NO_CUBLAS), ["CuPy 14.2.0 is installed", "lists no device"]),
    "no cuBLAS": (
        planted_cupy(1, NO_CUBLAS),
        ["CuPy 14.2.0 finds a GPU", "2×2 matrix product fails", str(NO_CUBLAS), 'pip install "cupy-cuda13x[ctk]"'],
    ),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_to_cupy_says_what_is_missing_and_what_to_do(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, parts = UNUSABLE[case]
    block = cb.CBAM(8, 2)
    monkeypatch.setitem(sys.modules, "cupy", module)  # None makes the import fail
    with pytest.raises(RuntimeError) as error:
        block.to("cupy")
    for part in parts:
        assert part in str(error.value)
    others = {part for name, (_, other) in UNUSABLE.items() if name != case for part in other} - set(parts)
    assert not any(part in str(error.value) for part in others - {"nvidia-smi"})
    if module is not None:
        with pytest.raises(RuntimeError, match=re.escape(str(error.value))):
            block.to(module)


# Threads


@pytest.mark.parametrize("op", [cb.cbam, cb.channel_attention, cb.spatial_attention])
def test_threads_that_use_one_function_at_once_get_what_each_gets_alone(op: Any) -> None:
    params = random_params(8, np.random.default_rng(0))

    def run(seed: int) -> list[np.ndarray]:
        out, backward = op(features(seed), params)
        d_f, grads = backward(features(seed + 100))
        return [out, d_f, *grads.values()]

    alone = [run(seed) for seed in range(20)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, range(20)))
    for first, second in zip(alone, together, strict=True):
        for x, y in zip(first, second, strict=True):
            np.testing.assert_array_equal(x, y)


def test_two_threads_between_the_halves_of_one_operation_do_not_meet() -> None:
    """Forward in one thread, another input's forward and backward in between, backward in a third."""
    kernel = np.random.default_rng(0).normal(size=(2, 8, 3, 3))
    out, backward = ops.conv2d(features(0), kernel)
    d_out = np.random.default_rng(1).normal(size=out.shape)
    expected = backward(d_out)
    with ThreadPoolExecutor(2) as pool:
        _, mine = pool.submit(ops.conv2d, features(0), kernel).result()
        _, other = pool.submit(ops.conv2d, features(2), kernel).result()
        pool.submit(other, d_out).result()
        got = pool.submit(mine, d_out).result()
    for x, y in zip(got, expected, strict=True):
        np.testing.assert_array_equal(x, y)


# Copies


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda block: pickle.loads(pickle.dumps(block))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_block_that_has_run_can_be_copied_and_the_copy_says_that_it_has_not(duplicate: Callable[[Any], Any]) -> None:
    rng = np.random.default_rng(0)
    f, d_out = rng.normal(size=(2, 2, 4, 5, 6))
    block = cb.CBAM(4, 2, dtype="float64", ties="split")
    f2, d_f = block(f), block.backward(d_out)

    other = duplicate(block)
    with pytest.raises(RuntimeError, match=r"forward pass of this very block .* call block\(f\) first"):
        other.backward(d_out)
    np.testing.assert_array_equal(other(f), f2)
    np.testing.assert_array_equal(other.backward(d_out), d_f)
    assert other.ties == "split"
    np.testing.assert_array_equal(block.backward(d_out), d_f)  # the original still has its own


def test_parameters_that_are_where_they_should_be_are_shared_by_to() -> None:
    block = cb.CBAM(4, 2)
    moved = block.to("numpy")
    assert moved is not block
    assert all(moved.params[key] is value for key, value in block.params.items())
    assert not any(np.shares_memory(cb.to_numpy(w), block.params[key]) for key, w in block.to("torch").params.items())


def test_initial_weights_in_float64_have_all_their_digits() -> None:
    wide, narrow = cb.CBAM(8, 2, dtype="float64", seed=3).params, cb.CBAM(8, 2, dtype="float32", seed=3).params
    for key, w in wide.items():
        np.testing.assert_array_equal(narrow[key], w.astype("float32"))
        assert (w != w.astype("float32")).any()
