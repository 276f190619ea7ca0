"""The gradient check notices mistakes: each mutant is killed, and what is right is left alone."""

import sys
from collections import Counter
from itertools import combinations
from math import prod

import pytest

import cbam_np
from cbam_np import gradcheck
from cbam_np.checking import mutants
from cbam_np.checking.mutants import (
    GRADIENTS,
    KINKS,
    MUTANTS,
    SHAPE,
    Mutant,
    load,
    passes,
    passes_with_ones,
    survivors_with_ones,
)
from cbam_np.reference.operations import OPERATIONS

UPSTREAM_IGNORED = [mutant for mutant in MUTANTS if mutant.name.endswith("upstream ignored")]
SUBGRADIENTS = [mutant for mutant in MUTANTS if mutant.check in KINKS]


def unchanged_by(original: str, replacement: str, file: str, check: str) -> Mutant:
    return Mutant(f"{check}: nothing wrong", file, original, replacement, check)


CONTROLS = [
    unchanged_by("d_f = m * d_out", "d_f = d_out * m", "cbam_np/ops/gating.py", "gate by M_c"),
    unchanged_by(
        "return d_f_direct + d_f_map",
        "return d_f_map + d_f_direct",
        "cbam_np/attention/channel.py",
        "channel_attention, biases",
    ),
    unchanged_by("d_out * (e / (1 + e) ** 2)", "d_out * out * (1 - out)", "cbam_np/ops/activation.py", "sigmoid"),
    unchanged_by("real(z) <= 0", "~(real(z) > 0)", "cbam_np/ops/activation.py", "relu at 0, as PyTorch"),
]


def named(mutant: Mutant) -> str:
    return mutant.name


@pytest.mark.parametrize("mutant", MUTANTS, ids=named)
def test_mutant_is_killed(mutant: Mutant) -> None:
    assert not passes(load(mutant), mutant.check)  # an exception is no kill: anybody would notice that


@pytest.mark.parametrize("check", [*GRADIENTS, *KINKS])
def test_package_as_it_is_passes(check: str) -> None:
    assert passes(cbam_np, check)


@pytest.mark.parametrize("control", CONTROLS, ids=named)
def test_another_way_to_write_the_same_survives(control: Mutant) -> None:
    assert passes(load(control), control.check)


@pytest.mark.parametrize("mutant", SUBGRADIENTS, ids=named)
def test_differences_cannot_tell_one_subgradient_from_another(mutant: Mutant) -> None:
    package = load(mutant)
    assert all(passes(package, check) for check in GRADIENTS if check.startswith(("relu", "max_pool_over_")))


# an upstream gradient of ones


@pytest.mark.parametrize("check", GRADIENTS)
def test_package_as_it_is_passes_with_ones_too(check: str) -> None:
    assert passes_with_ones(cbam_np, check)


@pytest.mark.parametrize("mutant", UPSTREAM_IGNORED, ids=named)
def test_ones_do_not_notice_that_the_upstream_is_ignored(mutant: Mutant) -> None:
    assert passes_with_ones(load(mutant), mutant.check)


def test_ones_miss_other_mistakes_as_well_and_notice_some() -> None:
    candidates = [
        mutant for mutant in MUTANTS if mutant.file == "cbam_np/ops/joining.py" and mutant not in UPSTREAM_IGNORED
    ]
    survivors = survivors_with_ones(candidates)
    assert survivors
    assert len(survivors) < len(candidates)


def test_every_operation_has_a_mutant_that_ignores_the_upstream() -> None:
    ignored = {mutant.check.removesuffix(", alike") for mutant in UPSTREAM_IGNORED}
    assert {row.function for row in OPERATIONS if row.name in ignored} == {row.function for row in OPERATIONS}


# the inputs


def test_sizes_are_all_different_and_so_are_their_products() -> None:
    """So a factor names its axes, and 1/2, as of one path of two, names none."""
    products = [prod(sizes) for count in (1, 2) for sizes in combinations(SHAPE, count)]
    assert len({2, *products}) == 1 + len(products)


def test_a_sum_for_a_mean_over_space_is_said_to_be_over_the_axes_of_space() -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "avg_pool_over_space: sum for mean")
    op, *inputs = GRADIENTS[mutant.check](load(mutant))
    (note,) = gradcheck(op, *inputs).notes()
    assert "the size of axes (2, 3)" in note


# the mechanism


def test_names_are_unique_and_checks_are_all_used() -> None:
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1
    assert {mutant.check for mutant in MUTANTS} <= {*GRADIENTS, *KINKS}
    assert len(MUTANTS) >= 40


@pytest.mark.parametrize("original", ["a fragment that is not there", "d_out"], ids=["absent", "ambiguous"])
def test_a_fragment_that_does_not_occur_once_is_an_error(original: str) -> None:
    with pytest.raises(ValueError, match=r"gate: expected '.*' once in cbam_np/ops/gating\.py"):
        load(Mutant("gate", "cbam_np/ops/gating.py", original, "", "gate by M_c"))


@pytest.mark.parametrize("replacement", ["d_f = 0 * f", "d_f = = f"], ids=["mistake", "syntax error"])
def test_the_real_package_and_its_files_stay_as_they_are(replacement: str) -> None:
    def state() -> tuple[object, ...]:
        files = {file: file.read_bytes() for file in mutants.ROOT.rglob("*.py")}
        modules = {name: module for name, module in sys.modules.items() if name.startswith("cbam_np")}
        contents = {(name, key): id(value) for name, module in modules.items() for key, value in vars(module).items()}
        return files, modules, contents, list(sys.meta_path)

    before = state()
    mutant = Mutant("gate", "cbam_np/ops/gating.py", "d_f = m * d_out", replacement, "gate by M_c")
    try:
        package = load(mutant)
    except SyntaxError:
        pass
    else:
        assert package is not cbam_np
        assert package.ops.gate is not cbam_np.ops.gate
    assert state() == before
    assert passes(cbam_np, "gate by M_c")
