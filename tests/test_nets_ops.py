"""What networks are made of: equal to plain loops, right at their edges, and refusing what makes no sense."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from support import as_tuple, deviation
from torch.nn import functional as F

import cbam_np as cb
from cbam_np import ops
from cbam_np.reference import loops_nets as loops
from cbam_np.reference.operations import OPERATIONS

TWINS: dict[str, Callable[..., Any]] = {
    "squeeze_excitation, biases": loops.squeeze_excitation_loops,
    "batch_norm": loops.batch_norm_loops,
    "batch_norm_evaluation": loops.batch_norm_evaluation_loops,
    "max_pool2d 3×3, stride 2": partial(loops.max_pool2d_loops, k=3, stride=2, padding=1),
    "avg_pool2d 3×3, stride 2": partial(loops.avg_pool2d_loops, k=3, stride=2, padding=1),
    "add": loops.add_loops,
    "linear, bias": loops.linear_loops,
    "softmax_cross_entropy": loops.softmax_cross_entropy_loops,
    "smooth_l1": loops.smooth_l1_loops,
    "binary_cross_entropy": loops.binary_cross_entropy_loops,
}


@pytest.mark.parametrize("shape", [(2, 4, 3, 5), (3, 2, 6, 1), (1, 3, 8, 2)], ids=str)
@pytest.mark.parametrize("name", TWINS)
def test_operations_equal_the_loops(name: str, shape: tuple[int, int, int, int]) -> None:
    row = next(row for row in OPERATIONS if row.name == name)
    inputs = row.sample(shape, seed=3).values()
    (out, backward), (expected, loops_backward) = row.op()(*inputs), TWINS[name](*inputs)
    assert deviation(out, expected) < 1e-12
    d_out = np.random.default_rng(1).normal(size=out.shape)
    for got, wanted in zip(as_tuple(backward(d_out)), loops_backward(d_out), strict=True):
        assert deviation(got, wanted) < 1e-12


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_windowed_pooling_equals_torch_for_every_window_stride_and_padding(k: int, stride: int) -> None:
    rng = np.random.default_rng(k)
    x = rng.integers(-2, 3, (2, 3, 7, 8)) * 1.0  # many maxima are tied
    for padding in range(k // 2 + 1):
        for ours, theirs in ((ops.max_pool2d, F.max_pool2d), (ops.avg_pool2d, F.avg_pool2d)):
            out, backward = ours(x, k, stride, padding)
            t = torch.tensor(x, requires_grad=True)
            expected = theirs(t, k, stride, padding)
            assert deviation(out, expected.detach()) < 1e-12
            d_out = rng.normal(size=out.shape)
            (d_x,) = torch.autograd.grad(expected, t, torch.from_numpy(d_out))
            assert deviation(backward(d_out), d_x) < 1e-12


def test_padding_never_wins_a_maximum() -> None:
    out, backward = ops.max_pool2d(np.full((1, 1, 3, 3), -5.0), 3, 2, 1)
    np.testing.assert_array_equal(out, np.full((1, 1, 2, 2), -5.0))
    assert backward(np.ones_like(out)).sum() == 4


# Batch norm


def test_batch_norm_brings_every_channel_to_mean_beta_and_deviation_gamma() -> None:
    rng = np.random.default_rng(0)
    x, gamma, beta = rng.normal(3, 5, (4, 3, 5, 6)), rng.normal(size=3), rng.normal(size=3)
    statistics: dict[str, Any] = {}
    out, _ = ops.batch_norm(x, gamma, beta, statistics=statistics)
    np.testing.assert_allclose(out.mean(axis=(0, 2, 3)), beta, atol=1e-12)
    np.testing.assert_allclose(out.std(axis=(0, 2, 3)), np.abs(gamma), rtol=1e-5)
    np.testing.assert_allclose(statistics["mean"], x.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(statistics["variance"], x.var(axis=(0, 2, 3)))


def test_batch_norm_in_training_is_batch_norm_in_evaluation_with_its_own_statistics_and_another_gradient() -> None:
    rng = np.random.default_rng(1)
    x, gamma, beta, d_out = rng.normal(size=(4, 3, 5, 6)), *rng.normal(size=(2, 3)), rng.normal(size=(4, 3, 5, 6))
    statistics: dict[str, Any] = {}
    out, backward = ops.batch_norm(x, gamma, beta, statistics=statistics)
    same, fixed_backward = ops.batch_norm_evaluation(x, gamma, beta, **statistics)
    assert deviation(out, same) < 1e-12
    d_x, d_gamma, d_beta = backward(d_out)
    d_x_fixed, d_gamma_fixed, d_beta_fixed, d_mean, d_variance = fixed_backward(d_out)
    assert deviation(d_gamma, d_gamma_fixed) < 1e-12
    assert deviation(d_beta, d_beta_fixed) < 1e-12
    M = 4 * 5 * 6
    through = d_mean[:, None, None] / M + d_variance[:, None, None] * 2 * (x - x.mean((0, 2, 3), keepdims=True)) / M
    assert deviation(d_x, d_x_fixed + through) < 1e-12


def test_a_shift_or_a_scale_of_a_channel_is_not_seen_by_batch_norm() -> None:
    rng = np.random.default_rng(2)
    x, gamma, beta, d_out = rng.normal(size=(4, 3, 5, 6)), *rng.normal(size=(2, 3)), rng.normal(size=(4, 3, 5, 6))
    d_x, *_ = ops.batch_norm(x, gamma, beta, eps=1e-12)[1](d_out)
    np.testing.assert_allclose(d_x.sum(axis=(0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose((d_x * x).sum(axis=(0, 2, 3)), 0, atol=1e-10)


def test_batch_norm_of_large_means_keeps_its_digits_in_float32() -> None:
    x = np.random.default_rng(3).normal(1000, 1, (8, 2, 6, 5)).astype("float32")
    one, zero = np.ones(2, "float32"), np.zeros(2, "float32")
    out, _ = ops.batch_norm(x, one, zero)
    expected, _ = ops.batch_norm(x.astype("float64"), one.astype("float64"), zero.astype("float64"))
    assert deviation(out, expected) < 2e-4  # E[x²] - E[x]² would be off by 6 %


def test_float16_batch_norm_adds_up_in_float32() -> None:
    x = np.ones((64, 1, 64, 2), "float16")
    x[::2] = 3
    statistics: dict[str, Any] = {}
    out, _ = ops.batch_norm(x, np.ones(1, "float16"), np.zeros(1, "float16"), statistics=statistics)
    assert out.dtype == statistics["mean"].dtype == np.float16
    assert (statistics["mean"], statistics["variance"]) == (2, 1)


# Losses


def test_integer_labels_equal_their_probabilities_and_torch() -> None:
    rng = np.random.default_rng(4)
    logits, labels, d_out = rng.normal(size=(5, 4)), np.array([3, 0, 1, 1, 2]), rng.normal(size=5)
    loss, backward = ops.softmax_cross_entropy(logits, labels)
    same, same_backward = ops.softmax_cross_entropy(logits, np.eye(4)[labels])
    np.testing.assert_array_equal(loss, same)
    d_logits, d_labels = backward(d_out)
    assert d_labels is None
    np.testing.assert_array_equal(d_logits, same_backward(d_out)[0])
    t = torch.tensor(logits, requires_grad=True)
    expected = F.cross_entropy(t, torch.from_numpy(labels), reduction="none")
    assert deviation(loss, expected.detach()) < 1e-12
    assert deviation(d_logits, torch.autograd.grad(expected, t, torch.from_numpy(d_out))[0]) < 1e-12
    assert cb.gradcheck(ops.softmax_cross_entropy, logits, labels).ok


def test_losses_of_extreme_logits_are_finite_and_exact() -> None:
    loss, backward = ops.softmax_cross_entropy(np.array([[1e4, 0.0], [0.0, 1e4]]), np.array([0, 0]))
    np.testing.assert_array_equal(loss, [0, 1e4])
    np.testing.assert_array_equal(backward(np.ones(2))[0], [[0, 0], [-1, 1]])
    loss, backward = ops.binary_cross_entropy(np.array([1e4, -1e4, 1e4, -1e4]), np.array([1.0, 0.0, 0.0, 1.0]))
    np.testing.assert_array_equal(loss, [0, 0, 1e4, 1e4])
    np.testing.assert_array_equal(backward(np.ones(4))[0], [0, 0, 1, -1])


@pytest.mark.parametrize("beta", [0.1, 1.0, 2.5])
def test_smooth_l1_is_continuous_where_its_halves_meet(beta: float) -> None:
    e = np.array([beta - 1e-9, beta, -beta + 1e-9, -beta, 0.0])
    loss, backward = ops.smooth_l1(e, np.zeros(5), beta)
    np.testing.assert_allclose(loss, [beta / 2] * 4 + [0], atol=1e-8)
    np.testing.assert_allclose(backward(np.ones(5))[0], [1, 1, -1, -1, 0], atol=1e-7)
    expected = F.smooth_l1_loss(torch.tensor(e), torch.zeros(5, dtype=torch.float64), reduction="none", beta=beta)
    assert deviation(loss, expected) < 1e-12


# What is refused


X = np.ones((2, 3, 4, 5))
C = np.ones(3)
REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "one entry a channel": (
        lambda: ops.batch_norm(np.ones((1, 3, 1, 1)), C, C),
        ValueError,
        r"x: expected more than one entry for each channel in training, got \(1, 3, 1, 1\)",
    ),
    "gamma": (lambda: ops.batch_norm(X, np.ones(4), C), ValueError, r"gamma: expected shape \(3,\), got \(4,\)"),
    "eps": (lambda: ops.batch_norm(X, C, C, eps=0.0), ValueError, r"eps: expected a positive number, .* got 0.0"),
    "eps in evaluation": (lambda: ops.batch_norm_evaluation(X, C, C, C, C, -1.0), ValueError, "eps: .* got -1.0"),
    "statistics": (lambda: ops.batch_norm(X, C, C, 1e-5, []), TypeError, "statistics: expected a dict"),  # type: ignore[arg-type]
    "variance": (
        lambda: ops.batch_norm_evaluation(X, C, C, C, np.ones(2)),
        ValueError,
        r"variance: expected shape \(3,\), got \(2,\)",
    ),
    "padding": (lambda: ops.max_pool2d(X, 2, 2, 2), ValueError, "padding: expected at most half of k=2, .* got 2"),
    "window": (lambda: ops.avg_pool2d(X, 5, 1), ValueError, r"k: expected a window that fits into \(4, 5\)"),
    "stride": (lambda: ops.max_pool2d(X, 2, 0), ValueError, "stride: expected an integer of at least 1, got 0"),
    "shortcut": (lambda: ops.add(X, X[:, :1]), ValueError, r"b: expected shape \(2, 3, 4, 5\), got \(2, 1, 4, 5\)"),
    "weight": (lambda: ops.linear(C[None], np.ones((2, 4))), ValueError, r"w: expected \(O, C\) for x \(N, C\), got"),
    "label too large": (
        lambda: ops.softmax_cross_entropy(np.ones((2, 3)), np.array([0, 3])),
        ValueError,
        "labels: expected classes 0 to 2, got 0 to 3",
    ),
    "label negative": (
        lambda: ops.softmax_cross_entropy(np.ones((2, 3)), np.array([-1, 2])),
        ValueError,
        "labels: expected classes 0 to 2, got -1 to 2",
    ),
    "number of labels": (
        lambda: ops.softmax_cross_entropy(np.ones((2, 3)), np.array([1])),
        ValueError,
        r"labels: expected shape \(2,\), got \(1,\)",
    ),
    "labels elsewhere": (
        lambda: ops.softmax_cross_entropy(np.ones((2, 3)), torch.tensor([1, 2])),
        TypeError,
        "labels: expected the library and device of logits, numpy float64 on cpu, got torch int64 on cpu",
    ),
    "classes": (lambda: ops.softmax_cross_entropy(np.ones((2, 0)), np.ones((2, 0))), ValueError, "logits: expected"),
    "beta": (lambda: ops.smooth_l1(C, C, 0.0), ValueError, "beta: expected a positive number, got 0.0"),
    "targets": (lambda: ops.binary_cross_entropy(C, C[:2]), ValueError, r"targets: expected shape \(3,\), got \(2,\)"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_makes_no_sense_is_refused(what: str) -> None:
    call, error, message = REFUSED[what]
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(("shape", "axes"), [((3, 4, 5), "add the batch axis with x"), ((4, 5), "expected four axes")])
@pytest.mark.parametrize("op", [lambda x: ops.batch_norm(x, C, C), lambda x: ops.max_pool2d(x, 2, 2)])
def test_features_without_four_axes_are_refused(op: Callable[[Any], Any], shape: tuple[int, ...], axes: str) -> None:
    with pytest.raises(ValueError, match=axes):
        op(np.ones(shape))
