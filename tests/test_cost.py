"""The counts of `reference.cost`, against the real parameters, against counting, and against published figures."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import cbam_np as cb
from cbam_np.reference import in_pytorch
from cbam_np.reference.cost import Cost, cbam_cost, se_cost


@pytest.mark.parametrize(("channels", "reduction", "kernel_size"), [(64, 16, 7), (30, 4, 3), (5, 5, 1), (2048, 16, 7)])
def test_parameters_are_those_of_the_block(channels: int, reduction: int, kernel_size: int) -> None:
    params = cb.CBAM(channels, reduction, kernel_size).params
    assert cbam_cost(channels, 7, 9, reduction, kernel_size).parameters == sum(w.size for w in params.values())
    assert se_cost(channels, reduction).parameters == params["channel.w1"].size + params["channel.w2"].size


@pytest.mark.parametrize(("C", "r", "k", "H", "W"), [(6, 2, 3, 4, 5), (32, 16, 7, 9, 8), (7, 3, 5, 1, 6)])
def test_multiply_adds_are_those_that_pytorch_counts_while_it_runs(C: int, r: int, k: int, H: int, W: int) -> None:
    f = torch.ones(1, C, H, W, dtype=torch.float64)
    params = cb.CBAM(C, r, k, "float64").to("torch").params
    with FlopCounterMode(display=False) as block:
        in_pytorch.cbam(f, params)
    assert cbam_cost(C, H, W, r, k).multiply_adds == block.get_total_flops() // 2  # an addition for each product
    with FlopCounterMode(display=False) as squeeze_and_excite:
        in_pytorch.mlp(in_pytorch.avg_pool_over_space(f), params["channel.w1"], params["channel.w2"])
    assert se_cost(C, r).multiply_adds == squeeze_and_excite.get_total_flops() // 2


@pytest.mark.parametrize(
    ("channels", "size", "se", "cbam"),
    [
        (64, 56, Cost(512, 512), Cost(610, 308_352)),
        (256, 56, Cost(8_192, 8_192), Cost(8_290, 323_712)),
        (512, 28, Cost(32_768, 32_768), Cost(32_866, 142_368)),
        (1024, 14, Cost(131_072, 131_072), Cost(131_170, 281_352)),
        (2048, 7, Cost(524_288, 524_288), Cost(524_386, 1_053_378)),
    ],
)
def test_the_stages_of_a_resnet(channels: int, size: int, se: Cost, cbam: Cost) -> None:
    assert se_cost(channels) == se
    assert cbam_cost(channels, size, size) == cbam
    # the document's claim that CBAM needs less computation than SE
    assert not cbam.multiply_adds < se.multiply_adds
    assert not cbam.parameters < se.parameters


def test_sizes_that_make_no_block_are_named() -> None:
    with pytest.raises(ValueError, match="reduction: expected at most 8 for channels=8, got 16"):
        se_cost(8)
    with pytest.raises(ValueError, match="height: expected an integer of at least 1, got 0"):
        cbam_cost(64, 0, 7)
    with pytest.raises(ValueError, match="channels: expected an integer of at least 1, got -1"):
        cbam_cost(-1, 7, 7)
    with pytest.raises(ValueError, match=r"reduction: expected an integer of at least 1, got 16\.0"):
        cbam_cost(64, 7, 7, reduction=16.0)  # type: ignore[arg-type]
    assert cbam_cost(np.int64(64), 7, 7) == cbam_cost(64, 7, 7)  # type: ignore[arg-type]
