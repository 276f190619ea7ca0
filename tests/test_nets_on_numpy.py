"""The faster convolution, batch norm and ReLU on NumPy equal the readable ones, however a batch is taken apart."""

from functools import partial
from itertools import product
from time import sleep
from typing import Any

import numpy as np
import pytest
from support import as_tuple, deviation
from threadpoolctl import threadpool_limits

from cbam_np import ops
from cbam_np.commands import bench_nets
from cbam_np.nets import cores, on_numpy

SHAPES = [(5, 3, 4, 6, 7), (2, 1, 3, 1, 1), (3, 4, 2, 2, 5), (4, 2, 5, 9, 1), (0, 2, 3, 4, 4), (1, 16, 16, 3, 8)]
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


def shares_of(N: int, count: int) -> list[slice]:
    count = max(1, min(N, count))
    return [slice(i * N // count, (i + 1) * N // count) for i in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("cache", [1, 5000, 2**20], ids=lambda cache: f"{cache} bytes")
@pytest.mark.parametrize("k", [1, 3, 7])
def test_conv2d_equals_the_readable_one(k: int, cache: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "CACHE", cache)
    monkeypatch.setattr(cores, "COLUMNS", min(cache, cores.COLUMNS))
    monkeypatch.setattr(cores, "shares", partial(shares_of, count=count))
    rng = np.random.default_rng(k)
    for (N, C, O, H, W), stride, dtype in product(SHAPES, (1, 2, 3), TOLERANCE):
        x = rng.normal(size=(N, W, C, H)).astype(dtype).transpose(0, 2, 3, 1)  # not contiguous
        kernel, bias = rng.normal(size=(O, C, k, k)).astype(dtype), rng.normal(size=O).astype(dtype)
        before = x.copy()
        for b in (bias, None):
            out, backward = on_numpy.conv2d(x, kernel, b, stride)
            expected, readable_backward = ops.conv2d(x, kernel, b, stride)
            d_out = rng.normal(size=out.shape).astype(dtype)
            pairs = [(out, expected), *zip(backward(d_out), readable_backward(d_out), strict=True)]
            for got, wanted in pairs:
                if wanted is None:
                    assert got is None
                else:
                    assert got.dtype == dtype
                    assert deviation(got, wanted) < TOLERANCE[dtype]
            for first, again in zip(backward(d_out), backward(d_out), strict=True):
                assert first is None or np.array_equal(first, again)
        np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("cache", [1, 500, 2**20], ids=lambda cache: f"{cache} bytes")
def test_batch_norm_equals_the_readable_one(cache: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "CACHE", cache)
    monkeypatch.setattr(cores, "shares", partial(shares_of, count=count))
    rng = np.random.default_rng(count)
    for shape, dtype in product([(5, 3, 6, 7), (7, 2, 1, 1), (3, 1, 2, 5), (0, 2, 3, 4)], TOLERANCE):
        x = rng.normal(3, 2, (*shape[2:], *shape[:2])).astype(dtype).transpose(2, 3, 0, 1)  # not contiguous
        gamma, beta = rng.normal(size=(2, shape[1])).astype(dtype)
        before = x.copy()
        ours: dict[str, Any] = {}
        readable: dict[str, Any] = {}
        out, backward = on_numpy.batch_norm(x, gamma, beta, ours)
        expected, readable_backward = ops.batch_norm(x, gamma, beta, statistics=readable)
        d_out = rng.normal(size=shape).astype(dtype)
        pairs = [(out, expected), *zip(backward(d_out), readable_backward(d_out), strict=True)]
        pairs += [(ours[key], readable[key]) for key in readable]
        for got, wanted in pairs:
            assert got.dtype == dtype
            assert deviation(got, wanted) < TOLERANCE[dtype]
        for first, again in zip(backward(d_out), backward(d_out), strict=True):
            np.testing.assert_array_equal(first, again)
        np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("count", [1, 3])
def test_relu_equals_the_readable_one_nan_included(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "CACHE", 1)
    monkeypatch.setattr(cores, "shares", partial(shares_of, count=count))
    rng = np.random.default_rng(0)
    special = np.array([-1.0, -0.0, 0.0, 1e-300, 2.0, np.nan, -np.inf, np.inf])
    for z in (special, rng.normal(size=(3, 4, 2, 5)).transpose(3, 1, 0, 2), np.zeros((0, 2)), np.array(-3.0)):
        (out, backward), (expected, readable_backward) = on_numpy.relu(z), ops.relu(z)
        np.testing.assert_array_equal(out, expected)
        d_out = rng.normal(size=z.shape)
        np.testing.assert_array_equal(backward(d_out), readable_backward(d_out))


@pytest.mark.parametrize("count", [1, 3])
def test_add_equals_the_readable_one(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "CACHE", 1)
    monkeypatch.setattr(cores, "shares", partial(shares_of, count=count))
    f, s, d_out = np.random.default_rng(1).normal(size=(3, 5, 4, 2, 3)).transpose(0, 1, 3, 4, 2)
    (out, backward), (expected, readable_backward) = on_numpy.add(f, s), ops.add(f, s)
    for got, wanted in zip((out, *backward(d_out)), (expected, *readable_backward(d_out)), strict=True):
        np.testing.assert_array_equal(got, wanted)
    with pytest.raises(ValueError, match="b: expected"):
        on_numpy.add(f, s[:1])


@pytest.mark.parametrize("dtype", ["float16", "complex128"])
def test_what_is_neither_float32_nor_float64_goes_the_readable_way(dtype: str) -> None:
    rng = np.random.default_rng(1)
    x, kernel = rng.normal(size=(2, 3, 5, 4)).astype(dtype), rng.normal(size=(4, 3, 3, 3)).astype(dtype)
    (out, backward), (expected, readable) = on_numpy.conv2d(x, kernel, None, 1), ops.conv2d(x, kernel)
    np.testing.assert_array_equal(out, expected)
    for got, wanted in zip(as_tuple(backward(out)), as_tuple(readable(out)), strict=True):
        np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(on_numpy.relu(x)[0], ops.relu(x)[0])


def test_shares_follow_the_limit_on_cores_and_cover_every_sample_once() -> None:
    with threadpool_limits(limits=1):
        assert cores.shares(7) == [slice(0, 7)]
    with threadpool_limits(limits=3):
        parts = cores.shares(7)
        assert 1 <= len(parts) <= 3
        assert [i for part in parts for i in range(7)[part]] == list(range(7))
        assert cores.shares(0) == [slice(0, 0)]


def test_work_side_by_side_warns_of_what_the_caller_wants_to_hear() -> None:
    def overflows(x: np.ndarray) -> np.ndarray:
        return x * x

    with np.errstate(over="ignore"):
        assert np.isinf(cores.side_by_side(overflows, [np.full(1, 1e200)] * 2)).all()
    with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow"):
        cores.side_by_side(overflows, [np.full(1, 1e200)] * 2)


def test_work_side_by_side_keeps_its_order_and_its_errors() -> None:
    assert cores.side_by_side(lambda i: i * i, range(4)) == [0, 1, 4, 9]
    for items in ((0, 1), (1, 0)):  # the caller's own thread has the first
        with pytest.raises(ZeroDivisionError):
            cores.side_by_side(lambda i: 1 / i, items)


def test_work_side_by_side_is_over_when_an_error_comes_out() -> None:
    done: list[int] = []

    def work(i: int) -> None:
        if i == 0:
            raise ZeroDivisionError
        sleep(0.05)
        done.append(i)

    with pytest.raises(ZeroDivisionError):
        cores.side_by_side(work, range(3))
    assert sorted(done) == [1, 2]


def test_the_benchmark_compares_both_sides_and_says_where_the_time_goes() -> None:
    timing = bench_nets.measure("cbam", rounds=2, batch=4)
    assert timing.error < bench_nets.TOLERANCE
    assert len(timing.ours) == len(timing.torch) == len(timing.ratios) == 2
    assert timing.ratios[0] == min(a / b for a, b in zip(timing.ours, timing.torch, strict=True))
    assert timing.shares.keys() == {"conv2d", "batch_norm_in_pieces", "relu"}
    assert all(share > 0 for share in timing.shares.values())
    assert sum(timing.shares.values()) < 1
