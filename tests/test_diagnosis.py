"""Mistakes planted in the package's own operations: each is found, and each gets its own diagnosis."""

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import numpy as np
import pytest
from support import as_tuple

from cbam_np import gradcheck, ops
from cbam_np.attention.channel import channel_attention, channel_map

Op = Callable[..., Any]


def spoiled(op: Op, spoil: Callable[..., Any]) -> Op:
    """`op` with a backward that returns `spoil(d_out, *gradients)` instead of the gradients."""

    @wraps(op)
    def wrong(*inputs: Any) -> tuple[Any, Callable[[Any], Any]]:
        out, backward = op(*inputs)
        return out, lambda d_out: spoil(d_out, *as_tuple(backward(d_out)))

    return wrong


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape)


N, C, H, W = 2, 3, 5, 6
F, M = normal(N, C, H, W), normal(N, C, 1, 1)
X, W1, W2 = normal(4, C), normal(C, C), normal(C, C)
KERNEL = normal(4, C, 3, 3)
PARAMS = {"channel.w1": normal(2, C), "channel.w2": normal(C, 2)}
TIED = np.random.default_rng(0).integers(1, 4, (N, C, H, W)).astype(float)

# wrong backward passes that are more than a changed gradient


def conv_without_borders(x: Any, kernel: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The input's gradient comes from whole windows of d_out only."""
    out, backward = ops.conv2d(x, kernel)

    def wrong(d_out: Any) -> Any:
        d_x, d_kernel, _ = backward(d_out)
        inner = np.zeros_like(d_x)
        inner[:, :, 1:-1, 1:-1] = d_x[:, :, 1:-1, 1:-1]
        return inner, d_kernel

    return out, wrong


def one_pooling_path(keep: str) -> Op:
    """Formula (6) whose gradient comes back through one of the two poolings only."""

    def wrong_channel_map(f: Any, params: Any) -> tuple[Any, Callable[[Any], Any]]:
        m_c, backward = channel_map(f, params)

        def wrong(d_m_c: Any) -> Any:
            d_f, grads = backward(d_m_c)
            through_average = np.median(d_f, axis=(2, 3), keepdims=True) + 0 * d_f
            return through_average if keep == "average" else d_f - through_average, grads

        return m_c, wrong

    return wrong_channel_map


def map_path_dropped(f: Any, params: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Formula (7) without what M_c sends back."""
    maps: dict[str, Any] = {}
    f1, backward = channel_attention(f, params, maps=maps)
    return f1, lambda d_f1: (maps["channel"] * d_f1, backward(d_f1)[1])


def gate_path_dropped(f: Any, params: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Formula (7) without the direct path."""
    maps: dict[str, Any] = {}
    f1, backward = channel_attention(f, params, maps=maps)
    return f1, lambda d_f1: (backward(d_f1)[0] - maps["channel"] * d_f1, backward(d_f1)[1])


def smallest_for_largest(f: Any) -> tuple[Any, Callable[[Any], Any]]:
    out, _ = ops.max_pool_over_channels(f)
    return out, ops.max_pool_over_channels(-f)[1]


def every_tied_entry(f: Any) -> tuple[Any, Callable[[Any], Any]]:
    out, _ = ops.max_pool_over_channels(f)
    return out, lambda d_out: d_out * (f == out)


def sigmoid_of_upstream_ones(z: Any) -> tuple[Any, Callable[[Any], Any]]:
    out, backward = ops.sigmoid(z)
    return out, lambda d_out: backward(np.ones_like(d_out))


def tanh_for_sigmoid(z: Any) -> tuple[Any, Callable[[Any], Any]]:
    out, _ = ops.sigmoid(z)
    return out, lambda d_out: d_out * (1 - out**2)


def accumulating(z: Any) -> tuple[Any, Callable[[Any], Any]]:
    out, backward = ops.sigmoid(z)
    d_z = np.zeros_like(z)

    def wrong(d_out: Any) -> Any:
        nonlocal d_z
        d_z += backward(d_out)
        return d_z

    return out, wrong


def in_place(z: Any) -> tuple[Any, Callable[[Any], Any]]:
    out, backward = ops.relu(z)
    if not np.iscomplexobj(z):
        z[z <= 0] = 0
    return out, backward


def in_place_on_d_out(z: Any) -> tuple[Any, Callable[[Any], Any]]:
    out, _ = ops.relu(z)

    def wrong(d_out: Any) -> Any:
        d_out[z <= 0] = 0
        return d_out

    return out, wrong


def other_epsilon(x: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Scaling to unit length, whose backward knows nothing of the epsilon."""
    length = np.sqrt((x * x).sum(axis=1, keepdims=True) + 1e-6)
    unit = x / length

    def wrong(d_out: Any) -> Any:
        u = x / np.sqrt((x * x).sum(axis=1, keepdims=True))
        return (d_out - u * (d_out * u).sum(axis=1, keepdims=True)) / length

    return unit, wrong


def overflowing(x: Any) -> tuple[Any, Callable[[Any], Any]]:
    """x², whose gradient takes a detour over a large number."""

    def wrong(d_out: Any) -> Any:
        with np.errstate(over="ignore"):
            return 1e38 * (2 * x) * d_out / 1e38

    return x * x, wrong


class Planted(NamedTuple):
    op: Op
    inputs: tuple[Any, ...]
    input: str  # the one whose gradient is wrong
    diagnosis: str


SCALES = np.linspace(1.01, 2, N * C * H * W).reshape(N, C, H, W)

PLANTED = {
    "sign": Planted(spoiled(ops.sigmoid, lambda d, g: -g), (F,), "z", "the sign is wrong"),
    "counted twice": Planted(spoiled(ops.sigmoid, lambda d, g: 2 * g), (F,), "z", "the gradient is 2 times what it"),
    "sum for mean": Planted(
        spoiled(ops.avg_pool_over_space, lambda d, g: g * H * W),
        (F,),
        "f",
        "30 times what it should be, the size of axes (2, 3): a sum where a mean is meant?",
    ),
    "mean for sum, over the batch": Planted(
        spoiled(ops.conv2d, lambda d, g, k, b: (g, k / N)),
        (F, KERNEL),
        "kernel",
        "0.5 times what it should be, one over the size of axis 0 of d_out: a mean where a sum is meant?",
    ),
    "transposed": Planted(
        spoiled(ops.mlp, lambda d, g, g1, g2, b1, b2: (g, g1.T, g2)),
        (X, W1, W2),
        "w1",
        "transposed: axes 0 and 1 are swapped",
    ),
    "only the border": Planted(
        conv_without_borders, (F, KERNEL), "x", "only the border is wrong, 1 deep: look at the padding"
    ),
    "average path": Planted(
        one_pooling_path("maximum"), (F, PARAMS), "f", "as if it came through an average over axes (2, 3)"
    ),
    "maximum path": Planted(
        one_pooling_path("average"), (F, PARAMS), "f", "as if it came through a maximum over axes (2, 3)"
    ),
    "path through the map": Planted(
        map_path_dropped, (F, PARAMS), "f", "as if it came through an average and a maximum over axes (2, 3)"
    ),
    "path through the gate": Planted(
        gate_path_dropped, (F, PARAMS), "f", "as if it came through a gate: d_out times a map that is constant along axes (2, 3)"
    ),
    "broadcast axis not summed": Planted(
        spoiled(ops.gate, lambda d, g, f: (d * F, f)),
        (M, F),
        "m",
        "a broadcast axis is not summed: sum over axes (2, 3)",
    ),
    "shape transposed": Planted(
        spoiled(ops.mlp, lambda d, g, g1, g2, b1, b2: (g, g1.T, g2)),
        (X, W1[:2], W2[:, :2]),
        "w1",
        "it is transposed: permute its axes to (1, 0)",
    ),
    "axis dropped": Planted(
        spoiled(ops.gate, lambda d, g, f: (g[:, :, 0, 0], f)), (M, F), "m", "the numbers are right: reshape it"
    ),
    "upstream ignored": Planted(sigmoid_of_upstream_ones, (F,), "z", "the upstream gradient is ignored"),
    "zero": Planted(spoiled(ops.gate, lambda d, m, f: (m, 0 * f)), (M, F), "f", "the gradient is zero everywhere"),
    "should be zero": Planted(
        spoiled(lambda x, y: ops.sigmoid(x), lambda d, g: (g, g)), (F, SCALES), "y", "the gradient has to be zero"
    ),
    "kernel flipped": Planted(
        spoiled(ops.conv2d, lambda d, g, k, b: (g, k[:, :, ::-1, ::-1])),
        (F, KERNEL),
        "kernel",
        "flipped along axes (2, 3)",
    ),
    "shifted": Planted(
        spoiled(ops.conv2d, lambda d, g, k, b: (np.pad(g, ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :-1], k)),
        (F, KERNEL),
        "x",
        "shifted by (1, 0) along the last axes",
    ),
    "wrong order": Planted(
        spoiled(ops.concat, lambda d, a, b: (b, a)),
        (F, SCALES),
        "a",
        "this is the gradient of b: gradients are returned",
    ),
    "ReLU without mask": Planted(
        spoiled(ops.relu, lambda d, g: d), (F,), "z", "wrong exactly where the input is negative and nothing should"
    ),
    "maximum without mask": Planted(
        spoiled(ops.max_pool_over_channels, lambda d, g: d + 0 * g),
        (F,),
        "f1",
        "wrong exactly where nothing should come back",
    ),
    "mask inverted": Planted(spoiled(ops.relu, lambda d, g: d - g), (F,), "z", "a mask is inverted"),
    "index of the maximum": Planted(
        smallest_for_largest, (F,), "f", "the right numbers at the wrong entries: an index (of a maximum"
    ),
    "full gradient at ties": Planted(
        every_tied_entry, (TIED,), "f", "as if each of several tied entries got the full gradient"
    ),
    "derivative missing": Planted(
        spoiled(ops.sigmoid, lambda d, g: d), (F,), "z", "this is d_out, passed on unchanged"
    ),
    "another derivative": Planted(tanh_for_sigmoid, (F,), "z", "right in sign, off by factors from"),
    "one entry": Planted(
        spoiled(ops.sigmoid, lambda d, g: g * (1 + 5e-4 * (F[1, 0, 2, 3] == F))), (F,), "z", "1 of 180 entries is wrong"
    ),
    "one channel": Planted(
        spoiled(ops.sigmoid, lambda d, g: g * np.array([1, 0, 1])[:, None, None]),
        (F,),
        "z",
        "wrong only at index 1 of axis 1",
    ),
    "not a number": Planted(
        spoiled(ops.relu, lambda d, g: np.where(g == 0, np.nan, g)), (F,), "z", "entries are NaN or infinite"
    ),
    "digits lost": Planted(other_epsilon, (normal(4, 5),), "x", "nearly right, off by"),
    "float32 only": Planted(
        overflowing, ((9 * normal(3, 4)).astype("float32"),), "x", "right in float64, wrong in float32"
    ),
    "accumulates": Planted(accumulating, (F,), "z", "a second backward with the same d_out gives another gradient"),
    "input modified": Planted(in_place, (F.copy(),), "z", "op or backward changes z in place"),
    "d_out modified": Planted(in_place_on_d_out, (F,), "d_out", "op or backward changes d_out in place"),
    "dtype": Planted(
        spoiled(ops.sigmoid, lambda d, g: g.astype("float64")),
        (F.astype("float32"),),
        "z",
        "expected library, dtype and device of the input, numpy float32 on cpu, got numpy float64 on cpu",
    ),
    "none": Planted(spoiled(ops.gate, lambda d, m, f: (m, None)), (M, F), "f", "backward returns no gradient"),
}


@pytest.mark.parametrize("mistake", PLANTED)
def test_each_mistake_gets_its_own_diagnosis_below_the_table(mistake: str) -> None:
    op, inputs, name, diagnosis = PLANTED[mistake]
    report = gradcheck(op, *(x.copy() if isinstance(x, np.ndarray) else x for x in inputs))
    assert not report.ok
    notes = {row.note for row in report.rows if row.input == name and row.verdict == "wrong"}
    assert {other for other in PLANTED for note in notes if PLANTED[other].diagnosis in note} == {mistake}

    text = str(report)
    table, _, below = text.rpartition("┘")
    assert "NOT OK" in table
    assert max(map(len, text.splitlines())) <= 120
    (line,) = [line for line in report.notes() if diagnosis in line]
    assert name in line.partition(":")[0]
    assert " ".join(line.split()) in " ".join(below.split())


def test_each_mistake_is_described_differently() -> None:
    diagnoses = [planted.diagnosis for planted in PLANTED.values()]
    assert len(set(diagnoses)) == len(PLANTED) > 30


def test_an_error_in_the_eighth_digit_is_no_factor() -> None:
    (line,) = gradcheck(spoiled(ops.sigmoid, lambda d, g: g * (1 + 3e-8)), F).notes()
    assert line.startswith("z (complex step): nearly right, off by 3e-08: digits get lost, or an epsilon")


def test_a_mistake_without_a_trace_of_its_own_is_at_least_measured() -> None:
    """The kernel that should be flipped on the way back is not."""

    def not_flipped(x: Any, kernel: Any) -> tuple[Any, Callable[[Any], Any]]:
        out, backward = ops.conv2d(x, kernel)
        return out, lambda d_out: (ops.conv2d(x, kernel[:, :, ::-1, ::-1])[1](d_out)[0], backward(d_out)[1])

    (line,) = gradcheck(not_flipped, F, KERNEL).notes()
    assert line.startswith("x (differences, complex step): 180 of 180 entries are wrong, by")
    assert line.endswith("of the gradient's norm: perhaps one of several paths is missing or counted twice")


def test_a_large_gradient_is_diagnosed_from_some_of_its_entries() -> None:
    large = normal(2, 3, 20, 30)
    for spoil, diagnosis in (
        (lambda d, g: -g, "the sign is wrong"),
        (lambda d, g: 600 * g, "600 times what it should be, the size of axes (2, 3)"),
        (lambda d, g: d, "wrong exactly where the input is negative"),
        (lambda d, g: g + 5e-4 * g.max() * (large == large[1, 2, 3, 4]), "1 of 21 entries is wrong"),
    ):
        (line,) = gradcheck(spoiled(ops.relu, spoil), large, max_entries=20).notes()
        assert diagnosis in line


@pytest.mark.parametrize("size", [4, 2000])
def test_a_shape_that_nothing_explains_is_named(size: int) -> None:
    report = gradcheck(spoiled(ops.sigmoid, lambda d, g: np.zeros(3)), normal(size))
    assert report.rows[0].note == f"expected the shape of the input, ({size},), got (3,)"
