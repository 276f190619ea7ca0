"""The check a student reads: what it kills, and what it cannot do."""

import re
from pathlib import Path

import numpy as np
import pytest

import cbam_np
from cbam_np import ops
from cbam_np.checking import simple
from cbam_np.checking.mutants import GRADIENTS, KINKS, MUTANTS, load
from cbam_np.checking.simple import simple_gradcheck

PASSES = 1e-6
PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "gradcheck.md").read_text(encoding="utf-8")
WITH_TIES = {"max_pool_over_channels at ties"}  # where a maximum is attained twice there is no slope to compare with


@pytest.mark.parametrize("check", GRADIENTS)
def test_right_gradients_pass_except_at_ties(check: str) -> None:
    op, *inputs = GRADIENTS[check](cbam_np)
    error = simple_gradcheck(op, *inputs)
    assert (error < PASSES / 100) == (check not in WITH_TIES)


@pytest.mark.long
def test_all_mistakes_that_differences_can_see_are_found() -> None:
    """The others pick another subgradient at a kink, where they are right as well."""
    visible = [mutant for mutant in MUTANTS if mutant.check not in KINKS]
    assert len(MUTANTS) - len(visible) == 3
    survivors = []
    for mutant in visible:
        op, *inputs = GRADIENTS[mutant.check](load(mutant))
        if simple_gradcheck(op, *inputs) < 100 * PASSES:  # no mistake is near the limit
            survivors.append(mutant.name)
    assert not survivors
    assert f"Of the {len(visible)} mistakes planted" in PAGE


def test_the_page_says_how_long_it_is() -> None:
    text = Path(simple.__file__).read_text(encoding="utf-8")
    code = re.sub('""".*?"""', "", text[text.index("def simple_gradcheck") :], flags=re.DOTALL)
    lines = [line for line in code.splitlines() if line.strip()]
    assert f"it takes {len(lines)} lines of code" in PAGE


def test_inputs_stay_as_they_are() -> None:
    params = {"channel.w1": np.ones((2, 3)), "channel.w2": np.ones((3, 2))}
    f = np.random.default_rng(0).standard_normal((2, 3, 2, 2))
    before = f.copy()
    assert simple_gradcheck(cbam_np.channel_attention, f, params) < PASSES
    assert (f == before).all()
    assert all((w == 1).all() for w in params.values())


def test_an_optional_input_may_be_none() -> None:
    x, kernel = np.random.default_rng(0).standard_normal((2, 1, 1, 3, 3))
    assert simple_gradcheck(ops.conv2d, x, kernel, None) < PASSES


@pytest.mark.parametrize("seed", range(3))
def test_the_upstream_gradient_is_random(seed: int) -> None:
    """With ones, or with only positive numbers, these would pass."""
    z = np.random.default_rng(0).standard_normal((3, 4))
    for upstream in (np.ones_like, np.abs):
        assert (
            simple_gradcheck(lambda z, u=upstream: (ops.sigmoid(z)[0], lambda d: ops.sigmoid(z)[1](u(d))), z, seed=seed)
            > PASSES
        )


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_nan_is_no_pass(wrong: float) -> None:
    x = np.ones(3)
    assert not simple_gradcheck(lambda x: (x * x, lambda d: 2 * x * d + np.array([0, wrong, 0])), x) < PASSES


def test_a_gradient_of_another_shape_is_no_pass() -> None:
    b = np.ones((1, 3))
    assert simple_gradcheck(lambda b: (b + np.zeros((2, 3)), lambda d: d.sum(axis=0)), b) == np.inf


def test_a_gradient_of_zero_passes_if_the_slope_is_zero() -> None:
    assert simple_gradcheck(lambda x: (0 * x, lambda d: 0 * d), np.ones(3)) == 0
    assert simple_gradcheck(lambda x: (0 * x, lambda d: 1e-3 * d), np.ones(3)) > PASSES
