"""The compiled block is the block: against every oracle, for every shape, dtype, layout and number of threads."""

import itertools
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import torch
from plain_fused import plain
from support import OPERATIONS, deviation, random_params, torch_gradients

import cbam_np as cb
from cbam_np import fused
from cbam_np.course.passes import passes
from cbam_np.fused.block import WORTH_A_THREAD, compiled_loops
from cbam_np.inputs import Ties
from cbam_np.reference.loops import cbam_loops
from cbam_np.reference.operations import Shape

ROOT = Path(__file__).parents[1]
WHOLE = ("cbam", "cbam, biases")  # the rows of the table that are the whole block
TIES: list[Ties] = ["first", "split"]
SHAPES: list[Shape] = [
    (2, 3, 5, 7),
    (1, 6, 9, 8),
    (3, 5, 1, 1),
    (4, 1, 2, 9),
    (5, 2, 6, 1),
    (3, 1, 1, 1),
    (7, 9, 2, 2),  # P = 4 and 4 hidden units: three samples share one reading of the weights
    (2, 40, 11, 13),
]


@pytest.fixture(params=["compiled", "plain Python"])
def op(request: pytest.FixtureRequest) -> Any:
    """The loops as they are compiled, and as Python runs them: that is how coverage sees their lines."""
    return fused.cbam if request.param == "compiled" else plain().cbam


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets the number of threads, up to as many as there are cores; it is set back afterwards."""
    before = numba.get_num_threads()
    yield numba.set_num_threads
    numba.set_num_threads(before)


def everything(op: Any, f: Any, params: Any, d_f2: Any, ties: Ties = "first") -> dict[str, np.ndarray]:
    """Output, maps and gradients by name."""
    maps: dict[str, np.ndarray] = {}
    f2, backward = op(f, params, ties, maps)
    d_f, grads = backward(d_f2)
    gradients = {f"d {key}": d for key, d in grads.items()}
    return {"f2": f2, "d_f": d_f} | gradients | {f"M {key}": m for key, m in maps.items()}


def assert_alike(got: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float) -> None:
    """Each array to `tolerance` of its largest entry.

    The gradient of the bias is one number, a sum whose terms nearly cancel: it is measured beside that of the kernel.
    """
    assert list(got) == list(expected)
    for name in got:
        a, b = got[name], expected[name]
        assert a.dtype == b.dtype, name
        if name.endswith("spatial.bias"):
            kernel = name.replace("bias", "kernel")
            a, b = np.append(a, got[kernel]), np.append(b, expected[kernel])
        assert deviation(a, b) <= tolerance, name


def assert_same_bits(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name, strict=True)


# The composed form


@pytest.mark.parametrize("biases", [False, True], ids=["no biases", "biases"])
@pytest.mark.parametrize("k", [1, 3, 7, 9])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_equals_the_composed_form_to_1e_13(op: Any, shape: Shape, k: int, biases: bool) -> None:
    rng = np.random.default_rng(k)
    params = random_params(shape[1], rng, k, biases)
    for f, d_f2 in rng.normal(size=(3, 2, *shape)):
        assert_alike(everything(op, f, params, d_f2), everything(cb.cbam, f, params, d_f2), 1e-13)


@pytest.mark.parametrize("shape", [(4, 64, 28, 28), (3, 512, 7, 7), (2, 33, 40, 24)], ids=str)
def test_it_equals_the_composed_form_at_sizes_of_networks(shape: Shape) -> None:
    rng = np.random.default_rng(0)
    f, d_f2 = rng.normal(size=(2, *shape))
    params = cb.CBAM(shape[1], dtype="float64").params
    assert_alike(everything(fused.cbam, f, params, d_f2), everything(cb.cbam, f, params, d_f2), 1e-13)


@pytest.mark.parametrize("shape", [(3, 8, 9, 10), (2, 2048, 3, 5), (2, 16, 56, 56)], ids=str)
def test_float32_stays_float32_and_agrees_with_float64(shape: Shape) -> None:
    rng = np.random.default_rng(1)
    f, d_f2 = rng.normal(size=(2, *shape)).astype("float32")
    params = cb.CBAM(shape[1], reduction=8).params | {"spatial.bias": np.array([0.3], "float32")}
    exact = {key: w.astype("float64") for key, w in params.items()}
    got = everything(fused.cbam, f, params, d_f2)
    expected = everything(cb.cbam, f.astype("float64"), exact, d_f2.astype("float64"))
    for name in expected:
        assert got[name].dtype == np.float32, name
        assert deviation(got[name], expected[name]) < 1e-5, name


def test_float32_average_of_large_numbers_agrees_with_float64() -> None:
    C, P = 2048, 256
    f = np.random.default_rng(2).normal(loc=3, size=(C, P)).astype("float32")
    over_space, over_channels = np.empty((2, C), dtype="float32"), np.empty((2, P), dtype="float32")
    compiled_loops().pool_over_space(f, over_space)
    compiled_loops().pool_over_channels(f, np.ones(C, dtype="float32"), over_channels)
    assert deviation(over_space[0], f.mean(axis=1, dtype="float64")) < 5e-6
    assert deviation(over_channels[0], f.mean(axis=0, dtype="float64")) < 5e-6


# The other oracles


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", WHOLE)
def test_output_and_every_gradient_equal_autograd(op: Any, name: str, shape: Shape) -> None:
    rng = np.random.default_rng(sum(shape))
    case = OPERATIONS[name]
    inputs = case.inputs(shape, rng)
    f, params = case.nested(tuple(inputs))
    f2, backward = op(f, params)
    assert deviation(f2, case.oracle(*map(torch.tensor, inputs)).numpy()) < 1e-12
    for _ in range(3):
        d_f2 = rng.normal(size=shape)
        d_f, grads = backward(d_f2)
        assert list(grads) == list(params)
        for got, expected in zip((d_f, *grads.values()), torch_gradients(case.oracle, inputs, d_f2), strict=True):
            assert deviation(got, expected) < 1e-12


@pytest.mark.parametrize("shape", [(2, 4, 3, 5), (1, 3, 8, 2), (2, 1, 4, 3)], ids=str)
@pytest.mark.parametrize("k", [1, 5])
def test_it_equals_the_loops_that_follow_the_formulas(op: Any, shape: Shape, k: int) -> None:
    rng = np.random.default_rng(k)
    f, d_f2 = rng.normal(size=(2, *shape))
    params = random_params(shape[1], rng, k)
    (f2, backward), (loops, loops_backward) = op(f, params), cbam_loops(f, params)
    assert deviation(f2, loops) < 1e-12
    (d_f, grads), (loops_d_f, loops_grads) = backward(d_f2), loops_backward(d_f2)
    assert deviation(d_f, loops_d_f) < 1e-12
    for key in params:
        assert deviation(grads[key], loops_grads[key]) < 1e-12


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", WHOLE)
def test_the_gradient_check_passes(name: str, dtype: str) -> None:
    """The complex step cannot run through compiled loops, and the report says so; slopes by differences can."""
    inputs = OPERATIONS[name].nested(tuple(x.astype(dtype) for x in OPERATIONS[name].inputs((2, 4, 3, 5), 1)))
    report = cb.gradcheck(fused.cbam, *inputs)
    assert report.ok, str(report)
    words = " ".join(str(report).split())
    assert "expected float32 or float64 for the compiled loops, got numpy complex128" in words


def test_the_gradient_check_fails_for_a_gradient_that_is_a_little_wrong() -> None:
    f, params = OPERATIONS["cbam"].nested(tuple(OPERATIONS["cbam"].inputs((2, 4, 3, 5), 1)))

    def off(f: Any, params: Any) -> Any:
        f2, backward = fused.cbam(f, params)

        def wrong(d_f2: Any) -> Any:
            d_f, grads = backward(d_f2)
            d_f[1, 2, 1, 3] *= 1.0005
            return d_f, grads

        return f2, wrong

    assert not cb.gradcheck(off, f, params).ok


# Ties


def few_values(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return rng.choice([-0.5, 1.25, 2.0], size=shape)


def all_equal(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return np.full(shape, 1.5)


def dead_channels(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    f = np.maximum(rng.normal(size=shape), 0)
    f[0, 1] = f[2, 0] = f[2, 3] = 0
    return f


def equal_channels(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return np.broadcast_to(rng.normal(size=(shape[0], 1, *shape[2:])), shape)


@pytest.mark.parametrize("tied", [few_values, all_equal, dead_channels, equal_channels])
@pytest.mark.parametrize("ties", TIES)
def test_ties_go_where_the_composed_form_sends_them(
    op: Any, ties: Ties, tied: Callable[[np.random.Generator, Shape], np.ndarray]
) -> None:
    rng = np.random.default_rng(3)
    f, d_f2 = tied(rng, (3, 4, 5, 6)), rng.normal(size=(3, 4, 5, 6))
    params = random_params(4, rng)
    if tied is not dead_channels:  # equal channels tie in F′ only if their gates are equal: w2 = 0 makes all 1/2
        params["channel.w2"][:] = 0
    got = everything(op, f, params, d_f2, ties)
    assert_alike(got, everything(cb.cbam, f, params, d_f2, ties), 1e-13)
    other: Ties = "split" if ties == "first" else "first"
    assert deviation(got["d_f"], everything(cb.cbam, f, params, d_f2, other)["d_f"]) > 1e-4


# Values


SPECIAL = [np.nan, np.inf, -np.inf, 0.0]


@pytest.mark.parametrize("first_seed", range(0, 400, 100))
def test_nan_infinities_and_zeros_go_where_they_go_in_the_composed_form(op: Any, first_seed: int) -> None:
    """At a few random places of F, of the upstream gradient, and now and then of the weights."""
    for seed in range(first_seed, first_seed + (100 if op is fused.cbam else 10)):
        rng = np.random.default_rng(seed)
        shape = tuple(rng.integers(1, 6, size=4))
        f, d_f2 = rng.normal(size=(2, *shape))
        params = random_params(shape[1], rng, k=rng.choice([1, 3, 5]), biases=bool(rng.integers(2)))
        for x, chance in (f, 0.7), (d_f2, 0.3), *((w, 0.05) for w in params.values()):
            if rng.random() < chance:
                x.reshape(-1)[rng.integers(x.size, size=rng.integers(1, 4))] = rng.choice(SPECIAL)
        with np.errstate(invalid="ignore", over="ignore"):
            ties: Ties = TIES[rng.integers(2)]
            got, expected = (everything(which, f, params, d_f2, ties) for which in (op, cb.cbam))
        for name in expected:
            message = f"{name}, seed {seed}"
            np.testing.assert_allclose(got[name], expected[name], rtol=1e-9, atol=1e-11, err_msg=message)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [40.0, 1000.0, 1e4])
def test_both_tails_of_the_gates_keep_their_digits(scale: float, dtype: str) -> None:
    """Gates far below 1e-16 and, with the sign turned, that close to 1, where σ(1 - σ) would be 0."""
    rng = np.random.default_rng(6)
    f, d_f2 = rng.normal(size=(2, 2, 4, 5, 6)).astype(dtype)
    params = {key: (scale * w).astype(dtype) for key, w in random_params(4, rng).items()}
    got, expected = everything(fused.cbam, f, params, d_f2), everything(cb.cbam, f, params, d_f2)
    for name in ("M channel", "M spatial"):
        np.testing.assert_allclose(got[name], expected[name], rtol=scale * (1e-14 if dtype == "float64" else 1e-6))


# Sizes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_empty_batch_gives_empty_features_and_zero_gradients_of_the_weights(op: Any, dtype: str) -> None:
    f = np.zeros((0, 4, 5, 6), dtype=dtype)
    params = {key: w.astype(dtype) for key, w in random_params(4, np.random.default_rng(7), biases=True).items()}
    assert_same_bits(everything(op, f, params, f), everything(cb.cbam, f, params, f))


def test_it_equals_the_composed_form_for_a_window_far_larger_than_the_map(op: Any) -> None:
    rng = np.random.default_rng(8)
    f, d_f2 = rng.normal(size=(2, 2, 3, 2, 3))
    params = random_params(3, rng, k=31)
    assert_alike(everything(op, f, params, d_f2), everything(cb.cbam, f, params, d_f2), 1e-13)


# Layouts


def strided(x: np.ndarray) -> np.ndarray:
    larger = np.full([2 * size for size in x.shape], np.nan, dtype=x.dtype)
    view = larger[tuple(slice(None, None, 2) for _ in x.shape)]
    view[...] = x
    return view


def read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def misaligned(x: np.ndarray) -> np.ndarray:
    shifted = np.empty(x.nbytes + 1, dtype="uint8")[1:].view(x.dtype).reshape(x.shape)
    shifted[...] = x
    return shifted


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "strided": strided,
    "permuted": lambda x: x.T.copy().T,
    "reversed": lambda x: np.flip(np.flip(x).copy()),
    "read-only": read_only,
    "misaligned": misaligned,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_gives_the_bits_of_a_contiguous_copy(layout: str, dtype: str) -> None:
    rng = np.random.default_rng(9)
    f, d_f2 = rng.normal(size=(2, 2, 4, 5, 6)).astype(dtype)
    params = {key: w.astype(dtype) for key, w in random_params(4, rng, biases=True).items()}
    change = LAYOUTS[layout]
    views = change(f), {key: change(w) for key, w in params.items()}, change(d_f2)
    assert_same_bits(everything(fused.cbam, *views), everything(fused.cbam, f, params, d_f2))
    np.testing.assert_array_equal(views[0], f)
    np.testing.assert_array_equal(views[2], d_f2)
    for key, w in params.items():
        np.testing.assert_array_equal(views[1][key], w)


def test_broadcast_and_memory_mapped_arrays_are_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(10)
    f, params = rng.normal(size=(2, 4, 5, 6)), random_params(4, rng)
    upstream = np.broadcast_to(rng.normal(size=(2, 1, 1, 6)), f.shape)
    np.save(tmp_path / "f.npy", f)
    mapped = np.load(tmp_path / "f.npy", mmap_mode="r")
    got = everything(fused.cbam, mapped, params, upstream)
    assert type(got["f2"]) is np.ndarray
    assert_same_bits(got, everything(fused.cbam, f, params, upstream.copy()))


def test_the_loops_are_compiled_once_for_each_dtype_and_for_contiguous_arrays_only() -> None:
    """Another kind of array would take seconds more, and a strided one run several times slower."""
    test_any_layout_gives_the_bits_of_a_contiguous_copy("strided", "float32")
    test_any_layout_gives_the_bits_of_a_contiguous_copy("read-only", "float64")
    loops = compiled_loops()
    dispatchers = {name: loop for name, loop in vars(loops).items() if hasattr(loop, "signatures")}
    assert {"forward", "backward", "convolve", "gates_backward"} <= dispatchers.keys()
    for name, loop in dispatchers.items():
        if name in ("forward", "backward"):
            assert len(loop.signatures) == 2
        for signature in loop.signatures:
            for kind in signature:
                assert getattr(kind, "layout", "C") == "C", (name, signature)


# Passes


def test_the_loops_pass_over_the_features_as_often_as_their_docstring_says() -> None:
    C, H, W = 5, 4, 7
    found = passes(C, H, W)
    reads = {(p.direction, p.array): 0.0 for p in found}
    writes = dict(reads)
    for p in found:
        reads[p.direction, p.array] += p.read
        writes[p.direction, p.array] += p.written
    assert (reads["forward", "F"], writes["forward", "F″"]) == (3, 1)
    assert reads["backward", "dF″"] == 2
    assert 2 < reads["backward", "F"] <= 2 + 1 / C  # the winner of each pixel once more
    assert 1 < writes["backward", "dF"] <= 1 + 1 / C + 1 / (H * W)  # and to the winners of pixels and channels
    text = compiled_loops().__doc__ or ""
    assert [line.split()[-1] for line in text.splitlines() if line.endswith((" F", " F″", " dF"))] == [
        *("F", "F", "F″", "F", "dF")
    ]


# Calls


def test_backward_may_be_called_again_and_nothing_passed_in_is_changed() -> None:
    rng = np.random.default_rng(11)
    f, d_f2, other = rng.normal(size=(3, 2, 4, 5, 6))
    params = random_params(4, rng, biases=True)
    before = f.copy(), d_f2.copy(), {key: w.copy() for key, w in params.items()}
    _, backward = fused.cbam(f, params)
    d_f, grads = backward(d_f2)
    kept = d_f.copy(), {key: d.copy() for key, d in grads.items()}
    backward(other)
    fused.cbam(other, params)[1](d_f2)
    again, grads_again = backward(d_f2)
    assert_same_bits({"d_f": again, **grads_again}, {"d_f": kept[0], **kept[1]})
    assert_same_bits({"d_f": d_f, **grads}, {"d_f": kept[0], **kept[1]})
    assert_same_bits({"f": f, "d_f2": d_f2, **params}, {"f": before[0], "d_f2": before[1], **before[2]})


def test_features_that_are_changed_in_between_give_another_gradient_but_do_no_harm() -> None:
    rng = np.random.default_rng(12)
    f, d_f2 = rng.normal(size=(2, 2, 4, 5, 6))
    _, backward = fused.cbam(f, random_params(4, rng))
    f -= 100  # no entry is as large as the maximum was
    assert backward(d_f2)[0].shape == f.shape


# Threads


@pytest.mark.parametrize("shape", [(5, 64, 29, 31), (2, 64, 32, 32), (1, 64, 40, 40)], ids=str)
def test_any_number_of_threads_gives_the_same_bits(shape: Shape, threads: Callable[[int], None]) -> None:
    rng = np.random.default_rng(13)
    f, d_f2 = rng.normal(size=(2, *shape))
    assert f.size >= WORTH_A_THREAD
    params = random_params(64, rng, biases=True)
    threads(1)
    alone, config = everything(fused.cbam, f, params, d_f2), import_module("numba").config
    for count in range(1, config.NUMBA_NUM_THREADS + 1):
        threads(count)
        for _ in range(3):
            assert_same_bits(everything(fused.cbam, f, params, d_f2), alone)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
def test_samples_are_shared_out_among_threads_each_once(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba, "get_num_threads", lambda: count)
    for N in (0, 1, 2, 5, 8):
        for size, most in ((1, 1), (2**10, max(1, min(count, N)))):
            shares: list[slice] = []
            fused.block._share_out(shares.append, np.empty((N, size, 2**8)))
            assert len(shares) <= most
            assert sorted(n for some in shares for n in range(N)[some]) == list(range(N))


def test_an_error_in_a_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba, "get_num_threads", lambda: 2)

    def work(some: slice) -> None:
        if some.start > 0:
            raise MemoryError("no more")

    with pytest.raises(MemoryError, match="no more"):
        fused.block._share_out(work, np.empty((2, WORTH_A_THREAD)))


def test_threads_that_call_it_at_once_get_what_each_gets_alone(threads: Callable[[int], None]) -> None:
    params = random_params(8, np.random.default_rng(14))

    def run(seed: int) -> dict[str, np.ndarray]:
        f, d_f2 = np.random.default_rng(seed).normal(size=(2, 2, 8, 99, 101))
        return everything(fused.cbam, f, params, d_f2)

    alone = [run(seed) for seed in range(6)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, range(6)))
    for got, expected in zip(together, alone, strict=True):
        assert_same_bits(got, expected)


# Errors


def test_what_the_composed_form_refuses_is_refused_in_the_same_words() -> None:
    f, params = np.ones((2, 4, 5, 6)), random_params(4, np.random.default_rng(15))

    def ones(*shape: int) -> np.ndarray:
        return np.ones(shape)

    calls: list[tuple[Any, ...]] = [
        (f[0], params),
        (f[None], params),
        (ones(2, 3, 5, 6), params),
        (ones(2, 4, 0, 6), params),
        (ones(2, 5, 6, 4), params),
        (f.tolist(), params),
        (f.astype(int), params),
        (f.astype(">f8"), params),
        (f.astype("float32"), params),
        (torch.ones(2, 4, 5, 6), params),
        (np.ma.array(f), params),
        (f, list(params.values())),
        (f, {"channel.w1": params["channel.w1"]}),
        (f, params | {"channel.w3": ones(4)}),
        (f, params | {"channel.w1": ones(0, 4)}),
        (f, params | {"channel.w2": ones(2, 4)}),
        (f, params | {"channel.b1": ones(4)}),
        (f, params | {"spatial.kernel": ones(1, 2, 8, 8)}),
        (f, params | {"spatial.bias": ones(2)}),
        (f, params, "frist"),
        (f, params, "first", []),
    ]
    for call in calls:
        with pytest.raises((TypeError, ValueError)) as expected:
            cb.cbam(*call)
        with pytest.raises(expected.type) as got:
            fused.cbam(*call)
        assert str(got.value) == str(expected.value)


@pytest.mark.parametrize(
    "wrong", [np.ones((2, 4, 6, 5)), np.ones((2, 4, 5, 6), "float32"), torch.ones(2, 4, 5, 6), None], ids=repr
)
def test_an_upstream_gradient_that_does_not_fit_is_refused_in_the_same_words(wrong: Any) -> None:
    f, params = np.ones((2, 4, 5, 6)), random_params(4, np.random.default_rng(16))
    with pytest.raises((TypeError, ValueError)) as expected:
        cb.cbam(f, params)[1](wrong)
    with pytest.raises(expected.type) as got:
        fused.cbam(f, params)[1](wrong)
    assert str(got.value) == str(expected.value)


REMEDY = "take cbam_np.cbam, or CBAM(...) without fused=True"


def test_another_library_or_dtype_is_refused_with_a_remedy() -> None:
    params = random_params(4, np.random.default_rng(17))
    tensors = {key: torch.tensor(w) for key, w in params.items()}
    with pytest.raises(TypeError) as error:
        fused.cbam(torch.ones(2, 4, 5, 6, dtype=torch.float64), tensors)
    assert str(error.value) == f"f: expected NumPy arrays for the compiled loops, got torch float64 on cpu; {REMEDY}"
    for dtype in ("float16", "complex128", "longdouble"):
        with pytest.raises(TypeError) as error:
            fused.cbam(np.ones((2, 4, 5, 6), dtype), {key: w.astype(dtype) for key, w in params.items()})
        assert str(error.value) == (
            f"f: expected float32 or float64 for the compiled loops, got numpy {np.dtype(dtype).name} on cpu; "
            f'cast f and all parameters: f.astype("float32"), or {REMEDY}'
        )


def test_without_numba_there_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("cbam_np.fused.loops", "cbam_np.fused.compiling"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "numba", None)  # makes the import fail
    compiled_loops.cache_clear()
    calls: list[Callable[[], Any]] = [
        lambda: cb.CBAM(64, fused=True),
        lambda: fused.cbam(np.ones((2, 4, 5, 6)), random_params(4, np.random.default_rng(18))),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match=r"need Numba, which cannot be imported \(.*numba") as error:
            call()
        assert str(error.value).endswith(f': pip install -e ".[fast]", or {REMEDY}')
    assert cb.CBAM(64)(np.ones((1, 64, 2, 2), "float32")).shape == (1, 64, 2, 2)


# The class


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_class_with_fused_is_the_class(dtype: str, ties: Ties) -> None:
    rng = np.random.default_rng(19)
    f, d_f2 = rng.choice([-0.5, 1.25, 2.0], size=(2, 3, 16, 5, 6)).astype(dtype)
    fast = cb.CBAM(16, 4, 5, dtype, seed=3, ties=ties, fused=True)
    slow = cb.CBAM(16, 4, 5, dtype, seed=3, ties=ties)
    assert_same_bits(fast.params, slow.params)
    tolerance = 1e-13 if dtype == "float64" else 1e-5
    assert_alike({"f2": fast(f)}, {"f2": slow(f)}, tolerance)
    assert_alike({"d_f": fast.backward(d_f2)}, {"d_f": slow.backward(d_f2)}, tolerance)
    assert_alike(fast.grads, slow.grads, tolerance)
    assert_alike(fast.maps, slow.maps, tolerance)
    f2, backward = fused.cbam(f, fast.params, ties)
    assert_same_bits({"f2": fast(f), "d_f": fast.backward(d_f2)}, {"f2": f2, "d_f": backward(d_f2)[0]})


def test_the_class_says_that_it_is_fused_and_stays_so_when_it_moves() -> None:
    fast = cb.CBAM(64, fused=True)
    assert repr(fast) == (
        "CBAM(channels=64, reduction=16, kernel_size=7, fused=True): 610 parameters, numpy float32 on cpu"
    )
    assert fast.to("numpy").fused
    moved = fast.to("torch")
    with pytest.raises(TypeError, match="f: expected NumPy arrays for the compiled loops, got torch float32"):
        moved(torch.ones(1, 64, 2, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fused": "yes"}, "fused: expected True or False, got 'yes'"),
        ({"fused": 1}, "fused: expected True or False, got 1"),
        (
            {"fused": True, "dtype": "float16"},
            "dtype: expected float32 or float64 with fused=True, got 'float16'",
        ),
    ],
)
def test_what_the_class_cannot_fuse_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        cb.CBAM(64, **arguments)
    assert str(error.value) == message


# Memory, and the first call


@pytest.mark.parametrize("size", [(8, 64, 56), (8, 2048, 7)], ids=str)
def test_memory_beyond_inputs_and_results_is_at_most_0_3_times_f(size: tuple[int, int, int]) -> None:
    """What NumPy allocates, at the peak of forward and backward. The loops' own arrays are counted as they are made."""
    N, C, H = size
    rng = np.random.default_rng(20)
    f, d_f2 = rng.standard_normal((2, N, C, H, H), dtype="float32")
    params = cb.CBAM(C).params
    fused.cbam(f, params)[1](d_f2)
    tracemalloc.start()
    try:
        f2, backward = fused.cbam(f, params)
        d_f, grads = backward(d_f2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    results = sum(x.nbytes for x in (f2, d_f, *grads.values()))
    P, row = H * H, H + 6
    inside = N * (3 * C + 2 * P) * 4 + N * (C + P) * 4 + (5 * row * row + P) * 4
    assert peak - results + inside <= 0.3 * f.nbytes


FIRST = """
import sys
import numpy as np
import cbam_np as cb
assert "numba" not in sys.modules
f = np.ones((2, 16, 3, 3), "float32")
block = cb.CBAM(16, fused=True)
block(f)
from cbam_np.fused.loops import forward
print(sum(forward.stats.cache_hits.values()), sum(forward.stats.cache_misses.values()))
"""


def test_the_first_call_says_nothing_and_the_next_process_does_not_compile_again(tmp_path: Path) -> None:
    for hits, misses in ((0, 1), (1, 0)):
        command = [sys.executable, "-W", "error", "-c", FIRST]
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.stderr == ""
        assert done.stdout == f"{hits} {misses}\n"


def test_where_nothing_can_be_kept_on_disk_a_loop_is_compiled_all_the_same() -> None:
    compiling: Any = import_module("cbam_np.fused.compiling")
    names: dict[str, Any] = {"maximum": compiling.maximum}
    exec("def larger(x):\n    return maximum(x[0], x[1])", names)  # no file, so no place beside it
    loop = compiling.compiled(names["larger"])
    for a, b in itertools.product([1.5, -2, np.nan, np.inf, -np.inf], repeat=2):
        x = np.array([a, b], "float32")
        np.testing.assert_equal(loop(x), np.maximum(a, b))
    assert loop.signatures
