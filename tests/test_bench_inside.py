"""The block timed inside a PyTorch network: the same gradients for all sides, and what the figures say."""

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from cbam_np.commands import bench_inside, inside
from cbam_np.pytorch import CBAM
from cbam_np.pytorch.by_hand import GRADIENTS

ROOT = Path(__file__).parents[1]
TINY: dict[str, Any] = {"size": 32, "batch": 2, "widths": (16, 32)}


def test_the_sides_are_the_gradients_that_the_module_knows() -> None:
    assert set(inside.SIDES) == set(GRADIENTS)


def test_every_side_computes_the_same_and_is_timed_in_every_round() -> None:
    found = bench_inside.measured(rounds=3, **TINY)
    assert found["errors"].keys() == {"hand", "fused"}
    assert max(found["errors"].values()) < bench_inside.TOLERANCE
    for side in (*inside.SIDES, inside.WITHOUT):
        assert len(found["whole"][side]) == len(found["blocks"][side]) == 3
    for side in inside.SIDES:
        assert all(0 < own < whole for own, whole in zip(found["blocks"][side], found["whole"][side], strict=True))
    assert found["blocks"][inside.WITHOUT] == [0, 0, 0]


def test_another_gradient_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    network = bench_inside.network

    def off(gradient: Any, widths: Any) -> Any:
        net = network(gradient, widths)
        if gradient == "hand":
            next(net.parameters()).register_hook(lambda d: 1.01 * d)  # type: ignore[no-untyped-call]
        return net

    monkeypatch.setattr(bench_inside, "network", off)
    console = Console(file=StringIO(), width=120)
    assert not bench_inside.run(rounds=2, console=console, **TINY)


def test_the_watch_takes_the_time_of_the_blocks_forward_and_backward_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr(bench_inside, "perf_counter", lambda: clock[0])

    class Taking(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor, forward: float, backward: float) -> torch.Tensor:
            clock[0] += forward
            ctx.seconds = backward
            return x.clone()

        @staticmethod
        def backward(ctx: Any, d: torch.Tensor) -> tuple[torch.Tensor, None, None]:
            clock[0] += ctx.seconds
            return d, None, None

    class Block(CBAM):
        def forward(self, f: torch.Tensor) -> torch.Tensor:
            return Taking.apply(f, 1.0, 10.0)  # type: ignore[no-untyped-call]

    class Layer(torch.nn.Module):
        def forward(self, f: torch.Tensor) -> torch.Tensor:
            return Taking.apply(f, 100.0, 1000.0)  # type: ignore[no-untyped-call]

    net = torch.nn.Sequential(Layer(), Block(4, 2), Layer(), Block(4, 2))
    watch = bench_inside.Stopwatch(net)
    net(torch.ones(1, 4, 2, 2, requires_grad=True)).sum().backward()
    assert (watch.seconds, clock[0]) == (22.0, 2222.0)


def test_the_figures_are_ratios_of_the_same_round() -> None:
    found = {
        "whole": {"autograd": [4.0, 8.0, 6.0], "hand": [4.0, 8.0, 6.0], "fused": [2.0, 4.0, 3.0]}
        | {inside.WITHOUT: [3.0, 6.0, 4.5]},
        "blocks": {"autograd": [1.0, 2.0, 1.5], "hand": [2.0, 4.0, 3.0], "fused": [0.25, 0.5, 0.375]},
    }  # fmt: skip
    assert inside.rows(found) == [
        ["autograd", "6000", "", "1500", ""],
        ["hand", "6000", "1.00 (1.00 to 1.00)", "3000", "0.50 (0.50 to 0.50)"],
        ["fused", "3000", "2.00 (2.00 to 2.00)", "375", "4.00 (4.00 to 4.00)"],
        ["without CBAM", "4500", "1.33 (1.33 to 1.33)", "", ""],
    ]
    assert "the blocks take 25% of the network's time" in inside.in_words(found)
    assert "without them takes 25% less" in inside.in_words(found)


def test_the_page_shows_what_was_measured_and_how_busy_the_machine_was() -> None:
    found = json.loads((ROOT / "docs" / "_generated" / "inside.json").read_text(encoding="utf-8"))
    assert found["machine"]["load"] is not None
    assert max(found["errors"].values()) < bench_inside.TOLERANCE
    assert {len(x) for x in (*found["whole"].values(), *found["blocks"].values())} == {found["rounds"]}


def test_the_figures_can_be_shown_without_pytorch() -> None:
    code = "import sys; sys.modules['torch'] = None; import cbam_np.commands.inside"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
