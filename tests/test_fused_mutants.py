"""Mistakes planted in the compiled block, one at a time: each is noticed by the check that has to notice it.

The loops run as plain Python here, see `plain_fused`: compiling each mutant would take minutes.
"""

from collections import Counter
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from plain_fused import mutated, plain
from support import OPERATIONS, deviation, random_params, torch_gradients

import cbam_np as cb
from cbam_np.inputs import Ties

SHAPE = (3, 5, 3, 4)


class Mutant(NamedTuple):
    """`original`, which occurs once in `file`, becomes `replacement`; the check named `check` must then fail."""

    check: str
    name: str
    original: str
    replacement: str
    file: str = "loops"


# The checks: a module with the function `cbam` -> whether it is right


def as_autograd(block: ModuleType) -> bool:
    """Output and every gradient, for a random upstream, as PyTorch has them."""
    rng = np.random.default_rng(0)
    f, d_f2, params = rng.normal(size=SHAPE), rng.normal(size=SHAPE), random_params(SHAPE[1], rng, 3, biases=True)
    case = OPERATIONS["cbam, biases"]
    order = tuple(case.row.shapes(*SHAPE)["params"])
    inputs = [f, *(params[key] for key in order)]
    f2, backward = block.cbam(f, params)
    d_f, grads = backward(d_f2)
    expected = case.oracle(*map(torch.tensor, inputs)).numpy(), *torch_gradients(case.oracle, inputs, d_f2)
    got = f2, d_f, *(grads[key] for key in order)
    return all(deviation(a, b) < 1e-11 for a, b in zip(got, expected, strict=True))


def by_differences(block: ModuleType) -> bool:
    """What the package's own gradient check says: it knows nothing but what forward returns."""
    rng = np.random.default_rng(1)
    f, params = rng.permutation(24).reshape(2, 3, 2, 2) / 6 - 2, random_params(3, rng, 3, biases=True)
    params |= {"channel.w1": rng.normal(size=(4, 3)), "channel.w2": rng.normal(size=(3, 4)), "channel.b1": np.zeros(4)}
    return cb.gradcheck(block.cbam, f, params, max_entries=3).ok


def like(
    block: ModuleType, f: np.ndarray, params: dict[str, np.ndarray], d_f2: np.ndarray, ties: Ties = "first"
) -> bool:
    """Everything as in the composed form, NaN included."""
    results = []
    with np.errstate(all="ignore"):
        for op in (block.cbam, cb.cbam):
            maps: dict[str, np.ndarray] = {}
            f2, backward = op(f, params, ties, maps)
            d_f, grads = backward(d_f2)
            results.append([f2, d_f, *grads.values(), *maps.values()])
    return all(np.allclose(a, b, rtol=1e-10, atol=1e-12, equal_nan=True) for a, b in zip(*results, strict=True))


def at_ties(ties: Ties) -> Callable[[ModuleType], bool]:
    def check(block: ModuleType) -> bool:
        rng = np.random.default_rng(2)
        f, d_f2, params = rng.choice([0.5, 1.5], size=SHAPE), rng.normal(size=SHAPE), random_params(5, rng, 3)
        equal = params | {"channel.w2": 0 * params["channel.w2"]}  # equal gates, so that channels tie in F′ as well
        return like(block, f, equal, d_f2, ties) and like(block, f, params, d_f2, ties)

    return check


def with_special_values(block: ModuleType) -> bool:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        f, d_f2 = rng.normal(size=(2, *SHAPE))
        f.flat[rng.integers(f.size, size=2)] = rng.choice([np.nan, np.inf, -np.inf])
        if not like(block, f, random_params(5, rng, 3, biases=True), d_f2, ("first", "split")[seed % 2]):
            return False
    return True


def with_steep_gates(block: ModuleType) -> bool:
    rng = np.random.default_rng(3)
    f, d_f2 = rng.normal(size=(2, *SHAPE))
    params = {key: 300 * w for key, w in random_params(5, rng, 3).items()}
    maps: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    try:
        with np.errstate(over="raise"):
            for op, into in zip((block.cbam, cb.cbam), maps, strict=True):
                op(f, params, maps=into)[1](d_f2)
    except FloatingPointError:
        return False
    return all(np.allclose(maps[0][key], maps[1][key], rtol=1e-9, atol=0) for key in maps[0])


def with_short_rows(block: ModuleType) -> bool:
    """Four pixels and nine hidden units: five samples share one reading of the weights, and seven are two shares."""
    rng = np.random.default_rng(4)
    f, d_f2, params = rng.normal(size=(7, 18, 2, 2)), rng.normal(size=(7, 18, 2, 2)), random_params(18, rng, 3)
    return like(block, f, params, d_f2)


def with_dead_units(block: ModuleType) -> bool:
    """Hidden units that are exactly 0 before ReLU, and without a channel that is larger than any other."""
    rng = np.random.default_rng(5)
    f, d_f2, params = rng.normal(size=SHAPE), rng.normal(size=SHAPE), random_params(5, rng, 3)
    params["channel.w1"][0] = 0
    return like(block, f, params, d_f2)


def called_twice(block: ModuleType) -> bool:
    rng = np.random.default_rng(7)
    f, d_f2, params = rng.normal(size=SHAPE), rng.normal(size=SHAPE), random_params(5, rng, 3)
    before = d_f2.copy()
    _, backward = block.cbam(f, params)
    first, second = backward(d_f2)[0], backward(d_f2)[0]
    return np.array_equal(first, second) and np.array_equal(d_f2, before)


CHECKS: dict[str, Callable[[ModuleType], bool]] = {
    "output": as_autograd,
    "gradient": as_autograd,
    "ties, first": at_ties("first"),
    "ties, split": at_ties("split"),
    "special values": with_special_values,
    "steep gates": with_steep_gates,
    "short rows": with_short_rows,
    "dead units": with_dead_units,
    "called twice": called_twice,
}

MUTANTS = [
    # forward: what the formulas say
    Mutant("output", "(3) divides by P - 1", "pooled[0, c] = total / P", "pooled[0, c] = total / (P - 1)"),
    Mutant("output", "(3) sums instead of averaging", "pooled[0, c] = total / P", "pooled[0, c] = total"),
    Mutant("output", "(4) average and maximum swapped", "pooled[1, c] = largest", "pooled[1, c] = total / P"),
    Mutant("output", "(5) without b1", "z += b1[j]", "z += 0 * b1[j]"),
    Mutant("output", "(5) without ReLU", "hidden[n, i, j] = 0 if z <= 0 else z", "hidden[n, i, j] = z"),
    Mutant(
        "output", "(5) average for both paths", "z += w1[j, c] * pooled[n, i, c]", "z += w1[j, c] * pooled[n, 0, c]"
    ),
    Mutant("output", "(6) b2 once for two paths", "z_avg + z_max + 2 * b2[c]", "z_avg + z_max + b2[c]"),
    Mutant("output", "(6) without the maximum's path", "m_c[n, c] = z_avg + z_max", "m_c[n, c] = z_avg"),
    Mutant("output", "(6) σ of -z", "(one if z[i] >= 0 else e)", "(one if z[i] < 0 else e)"),
    Mutant(
        "output",
        "(8) of F instead of F′",
        "f1 = m_c[c] * f[c, p]\n            pooled",
        "f1 = f[c, p]\n            pooled",
    ),
    Mutant(
        "output",
        "(8) without the first channel",
        "for p in range(P):\n        pooled[0, p] = pooled[1, p] =",
        "for p in range(P):\n        pooled[0, p], pooled[1, p] = 0.0,",
    ),
    Mutant("output", "(8) sums instead of averaging", "pooled[0, p] /= C", "pooled[0, p] /= 1"),
    Mutant("output", "(10) without the bias", "z[:] = bias", "z[:] = 0"),
    Mutant(
        "output",
        "(10) a kernel's two halves swapped",
        "z[q] += k_avg * avg_s[q] + k_max * max_s[q]",
        "z[q] += k_max * avg_s[q] + k_avg * max_s[q]",
    ),
    Mutant(
        "output",
        "(10) kernel transposed",
        "k_avg, k_max = kernel[0, u, v], kernel[1, u, v]",
        "k_avg, k_max = kernel[0, v, u], kernel[1, v, u]",
    ),
    Mutant(
        "output",
        "(10) map one pixel off",
        "padded[k // 2 * (row + 1) :], row, H, W)",
        "padded[k // 2 * (row + 1) - 1 :], row, H, W)",
    ),
    Mutant(
        "output",
        "(11) M_s twice",
        "m_s[p] * (m_c[c] * f[c, p])\n\n\n# Backward",
        "m_s[p] * (m_s[p] * f[c, p])\n\n\n# Backward",
    ),
    # backward: a term, a factor, an index
    Mutant(
        "gradient",
        "(11) dM_s from F instead of F′",
        "d_m_s[p] += d_f2[c, p] * f1",
        "d_m_s[p] += d_f2[c, p] * f[c, p]",
    ),
    Mutant("gradient", "(11) dM_s without upstream", "d_m_s[p] += d_f2[c, p] * f1", "d_m_s[p] += f1"),
    Mutant(
        "gradient",
        "(7) first part without M_s",
        "total += m_s[p] * d_f2[c, p] * f[c, p]",
        "total += d_f2[c, p] * f[c, p]",
    ),
    Mutant(
        "gradient",
        "(7) first part from F′",
        "total += m_s[p] * d_f2[c, p] * f[c, p]",
        "total += m_s[p] * d_f2[c, p] * f1",
    ),
    Mutant("gradient", "(7) second part missing", "d_m_c[c] += total", "d_m_c[c] += 0"),
    Mutant("gradient", "(7) second part from F′", "total += a[p] * f[c, p]", "total += a[p] * f[c, p] / 2"),
    Mutant("gradient", "(7) second part replaces the first", "d_m_c[c] += total", "d_m_c[c] = total"),
    Mutant(
        "gradient",
        "(7) third part missing",
        "d_m_c[winner_s[p]] += b[p] * f[winner_s[p], p]",
        "d_m_c[winner_s[p]] += 0",
    ),
    Mutant(
        "gradient",
        "(7) third part without F",
        "d_m_c[winner_s[p]] += b[p] * f[winner_s[p], p]",
        "d_m_c[winner_s[p]] += b[p]",
    ),
    Mutant("gradient", "(8) not divided by C", "a[p] /= C", "a[p] /= 1"),
    Mutant("gradient", "(10) without σ′", "d_m[i] *= slope[i]", "d_m[i] *= 1"),
    Mutant(
        "gradient",
        "(10) gradient of the bias before σ′",
        "d_m[i] *= slope[i]\n        total += d_m[i]",
        "total += d_m[i]\n        d_m[i] *= slope[i]",
    ),
    Mutant(
        "gradient",
        "(10) kernel not flipped",
        "kernel[0, k - 1 - u, k - 1 - v], kernel[1, k - 1 - u, k - 1 - v]",
        "kernel[0, u, v], kernel[1, u, v]",
    ),
    Mutant(
        "gradient",
        "(10) kernel flipped in one direction only",
        "kernel[0, k - 1 - u, k - 1 - v]",
        "kernel[0, k - 1 - u, v]",
    ),
    Mutant(
        "gradient", "(10) dK of the other map", "d_k_max += inside[q] * max_s[q]", "d_k_max += inside[q] * avg_s[q]"
    ),
    Mutant(
        "gradient",
        "(10) dK transposed",
        "d_kernel[0, u, v], d_kernel[1, u, v] = d_k_avg, d_k_max",
        "d_kernel[0, v, u], d_kernel[1, v, u] = d_k_avg, d_k_max",
    ),
    Mutant(
        "gradient",
        "(10) dK from where the map is padded",
        "inside = d_z[k // 2 * (row + 1) :]",
        "inside = d_z[k // 2 * row :]",
    ),
    Mutant("gradient", "(6) without σ′", "d_z[n, c] = d_m_c[n, c] * slope_c[n, c]", "d_z[n, c] = d_m_c[n, c]"),
    Mutant("gradient", "(5) without the mask of ReLU", "if hidden[n, i, j] == 0:", "if False:"),
    Mutant("gradient", "(5) one path masked as the other", "if hidden[n, i, j] == 0:", "if hidden[n, 0, j] == 0:"),
    Mutant("gradient", "(5) dx replaced instead of summed", "d_x[c] += d * w[c]", "d_x[c] = d * w[c]"),
    Mutant("gradient", "(3) not divided by P", "share = d_avg_c[c] / d_avg_c.dtype.type(P)", "share = d_avg_c[c]"),
    Mutant("gradient", "(3) missing", "(m_s[p] * d_f2[c, p] + a[p]) + share", "(m_s[p] * d_f2[c, p] + a[p])"),
    Mutant("gradient", "(8) missing in dF", "m_c[c] * (m_s[p] * d_f2[c, p] + a[p])", "m_c[c] * (m_s[p] * d_f2[c, p])"),
    Mutant(
        "gradient",
        "(8) not scaled by M_c",
        "m_c[c] * (m_s[p] * d_f2[c, p] + a[p])",
        "(m_c[c] * m_s[p] * d_f2[c, p] + a[p])",
    ),
    Mutant(
        "gradient",
        "(9) not scaled by M_c",
        "d_f[winner_s[p], p] += m_c[winner_s[p]] * b[p]",
        "d_f[winner_s[p], p] += b[p]",
    ),
    Mutant(
        "gradient", "(9) missing in dF", "d_f[winner_s[p], p] += m_c[winner_s[p]] * b[p]", "d_f[winner_s[p], p] += 0"
    ),
    Mutant("gradient", "(4) missing", "d_f[c, winner_c[c]] += d_max_c[c]", "d_f[c, winner_c[c]] += 0"),
    Mutant(
        "gradient",
        "(4) as if it were the average",
        "d_f[c, winner_c[c]] += d_max_c[c]",
        "d_f[c] += d_max_c[c] / len(winner_s)",
    ),
    Mutant(
        "gradient",
        "the winner of each pixel is the last",
        "winner[p] = min(winner[p], last if f1 < max_s[p] else k)",
        "winner[p] = last",
    ),
    Mutant(
        "gradient",
        "the winner of each channel is the first",
        "first = min(first, last if f[c, p] < max_c[c] else np.int32(p))",
        "first = np.int32(0)",
    ),
    Mutant("gradient", "dbias of the first sample", "d.d_bias.sum(axis=0, keepdims=True)", "d.d_bias[:1]", "block"),
    # backward: the parameters, put together from all samples
    Mutant(
        "gradient",
        "dW2 of the average alone",
        "d, h, row = d_z[n, c], hidden[n, i], d_w2[c]",
        "d, h, row = d_z[n, c], hidden[n, 0], d_w2[c]",
    ),
    Mutant(
        "gradient",
        "dW2 of the last sample",
        "row[j] += d * h[j]",
        "row[j] = d * h[j]",
    ),
    Mutant("gradient", "dW1 without the maximum", "d_avg * avg_c[c] + d_max * max_c[c]", "d_avg * avg_c[c]"),
    Mutant("gradient", "dW1 of the same vector for both", "d_max * max_c[c]", "d_max * avg_c[c]"),
    Mutant("gradient", "db1 of the first sample", "d.d_hidden.sum(axis=(0, 1))", "d.d_hidden[0].sum(axis=0)", "block"),
    Mutant("gradient", "db2 counts one path", "2 * d.d_z_c.sum(axis=0)", "d.d_z_c.sum(axis=0)", "block"),
    Mutant("gradient", "dK of the first sample", "d.d_kernel.sum(axis=0)[None]", "d.d_kernel[:1]", "block"),
    Mutant(
        "gradient",
        "dbias with the wrong sign",
        '"spatial.bias": d.d_bias.sum',
        '"spatial.bias": -d.d_bias.sum',
        "block",
    ),
    # what no difference sees: conventions, values, sizes, memory
    Mutant(
        "ties, first",
        "(9) last channel of those that tie",
        "min(winner[p], last if f1 < max_s[p] else k)",
        "winner[p] if f1 < max_s[p] else k",
    ),
    Mutant(
        "ties, first",
        "(4) last pixel of those that tie",
        "first = min(first, last if f[c, p] < max_c[c] else np.int32(p))",
        "first = first if f[c, p] < max_c[c] else np.int32(p)",
    ),
    Mutant("ties, split", "(9) full gradient to every tied channel", "b[p] /= ties", "b[p] /= 1"),
    Mutant("ties, split", "(4) full gradient to every tied pixel", "d_max_c[c] / ties", "d_max_c[c]"),
    Mutant(
        "ties, split",
        "ties in F instead of F′",
        "ties += not m_c[c] * f[c, p] < max_s[p]",
        "ties += not f[c, p] < max_s[p]",
    ),
    Mutant(
        "ties, split", "(7) third part of the first channel only", "d_m_c[c] += b[p] * (not", "d_m_c[0] += b[p] * (not"
    ),
    Mutant("ties, split", "first for split", 'split = ties == "split"', "split = False", "block"),
    Mutant("ties, first", "split for first", 'split = ties == "split"', "split = True", "block"),
    Mutant(
        "special values",
        "ReLU of NaN is 0",
        "hidden[n, i, j] = 0 if z <= 0 else z",
        "hidden[n, i, j] = z if z > 0 else 0",
    ),
    Mutant("steep gates", "σ that overflows", "np.exp(-abs(z[i]))", "np.exp(-z[i])"),
    Mutant(
        "steep gates",
        "σ without its lower tail",
        "(one if z[i] >= 0 else e) / (one + e)",
        "one - (e if z[i] >= 0 else one) / (one + e)",
    ),
    Mutant("dead units", "ReLU passes a gradient at 0", "if hidden[n, i, j] == 0:", "if hidden[n, i, j] < 0:"),
    Mutant(
        "short rows",
        "gates of the first sample of a share only",
        "channel_gates(kept.pooled_c[some],",
        "channel_gates(kept.pooled_c[some][:1],",
    ),
    Mutant(
        "short rows",
        "dW from the wrong share",
        "gradients.d_z_c[some], gradients.d_hidden[some]",
        "gradients.d_z_c[: some.stop - start], gradients.d_hidden[: some.stop - start]",
    ),
    Mutant("called twice", "dF in the place of the upstream", "d_f = empty(N, C, H, W)", "d_f = d_f2", "block"),
    Mutant(
        "called twice", "backward uses up what forward kept", "d_m[i] *= slope[i]", "d_m[i] *= slope[i]; slope[i] = 0"
    ),
]


CONTROLS = [  # other ways to write the same
    Mutant(
        "output", "(11)", "m_s[p] * (m_c[c] * f[c, p])\n\n\n# Backward", "f[c, p] * (m_s[p] * m_c[c])\n\n\n# Backward"
    ),
    Mutant("gradient", "(7)", "total += m_s[p] * d_f2[c, p] * f[c, p]", "total += f[c, p] * m_s[p] * d_f2[c, p]"),
    Mutant(
        "ties, first",
        "(9)",
        "min(winner[p], last if f1 < max_s[p] else k)",
        "min(winner[p], k if f1 >= max_s[p] else last)",
    ),
    Mutant("short rows", "no sharing", "return 1 + 2 * units // P", "return 1"),
]


def named(mutant: Mutant) -> str:
    return f"{mutant.check}: {mutant.name}"


def load(mutant: Mutant) -> ModuleType:
    return mutated(mutant.file, mutant.original, mutant.replacement)


@pytest.mark.parametrize("mutant", MUTANTS, ids=named)
def test_mutant_is_killed(mutant: Mutant) -> None:
    assert not CHECKS[mutant.check](load(mutant))  # an exception is no kill: anybody would notice that


@pytest.mark.parametrize("mutant", [mutant for mutant in MUTANTS if mutant.check == "gradient"][::4], ids=named)
def test_the_gradient_check_notices_as_well(mutant: Mutant) -> None:
    """Every fourth, because differences call the loops many times."""
    assert not by_differences(load(mutant))


def test_the_gradient_check_passes_the_block_as_it_is() -> None:
    assert by_differences(plain())


@pytest.mark.parametrize("check", CHECKS)
def test_the_block_as_it_is_passes(check: str) -> None:
    assert CHECKS[check](plain())


@pytest.mark.parametrize("control", CONTROLS, ids=named)
def test_another_way_to_write_the_same_survives(control: Mutant) -> None:
    assert CHECKS[control.check](load(control))


def test_names_are_unique_and_there_are_many() -> None:
    assert max(Counter(map(named, MUTANTS)).values()) == 1
    assert len(MUTANTS) >= 40
    assert {mutant.check for mutant in MUTANTS} == {*CHECKS}


@pytest.mark.parametrize("original", ["a fragment that is not there", "d_m_c"], ids=["absent", "ambiguous"])
def test_a_fragment_that_does_not_occur_once_is_an_error(original: str) -> None:
    with pytest.raises(ValueError, match=r"expected '.*' once in loops\.py"):
        mutated("loops", original, "")
