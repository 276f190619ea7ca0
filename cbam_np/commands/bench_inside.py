"""The block inside a larger PyTorch network, timed: `python -m cbam_np.commands.bench_inside`.

The network is a ResNet-50 cut down to one bottleneck in each stage, with CBAM in each, forward, loss and backward on
images of 224×224. It is timed with each gradient of `cbam_np.pytorch.CBAM`, and without attention, in turns. Two things
come out: how long the blocks take inside it, by hooks before and after each of them, forward and backward; and what the
whole network gains, which is less, since convolutions take most of its time.
"""

import argparse
import json
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from cbam_np.commands import bench, inside, peers, terminal, timing
from cbam_np.commands.whole_numbers import positive
from cbam_np.pytorch import CBAM
from cbam_np.pytorch.by_hand import GRADIENTS, Gradient

WIDTHS = (256, 512, 1024, 2048)  # of the stages of a ResNet-50
BATCH, SIZE, CLASSES = 8, 224, 10
TOLERANCE = 1e-9  # of the gradients in float64, relative to the largest entry of each


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions with batch norm, CBAM if there is one, and the residual."""

    def __init__(self, inputs: int, width: int, stride: int, attention: nn.Module) -> None:
        super().__init__()
        inner = width // 4
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(),
            nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(),
            nn.Conv2d(inner, width, 1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip
        self.attention = attention
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, width, H/stride, W/stride)."""
        return F.relu(self.attention(self.layers(x)) + self.shortcut(x))


def network(gradient: Gradient | None, widths: tuple[int, ...] = WIDTHS) -> nn.Sequential:
    """The same network with the same weights for every gradient; or without attention."""
    torch.manual_seed(0)
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    stages, inputs = [], 64
    for i, width in enumerate(widths):
        attention = nn.Identity() if gradient is None else CBAM(width, seed=i, gradient=gradient)
        stages.append(Bottleneck(inputs, width, 1 if i == 0 else 2, attention))
        inputs = width
    return nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, CLASSES))


class Stopwatch:
    """The seconds that the blocks of a network take, forward and backward."""

    def __init__(self, net: nn.Module) -> None:
        self.seconds = 0.0
        self.start = 0.0
        for block in net.modules():
            if isinstance(block, CBAM):
                block.register_forward_pre_hook(self.begin)
                block.register_forward_hook(self.end)
                block.register_full_backward_pre_hook(self.begin)
                block.register_full_backward_hook(self.end)

    def begin(self, *_: Any) -> None:
        """Before a block."""
        self.start = perf_counter()

    def end(self, *_: Any) -> None:
        """After it."""
        self.seconds += perf_counter() - self.start


def step_of(net: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], float]:
    """One step, which returns the seconds that the blocks took."""
    watch = Stopwatch(net)

    def step() -> float:
        net.zero_grad()
        watch.seconds = 0.0
        F.cross_entropy(net(images), labels).backward()  # type: ignore[no-untyped-call]
        return watch.seconds

    return step


def measured(
    rounds: int, threads: int = 1, size: int = SIZE, batch: int = BATCH, widths: tuple[int, ...] = WIDTHS
) -> dict[str, Any]:
    """The seconds of the whole network and of the blocks in it, one a round, for each side; all sides in turns."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn((batch, 3, size, size), generator=generator)
    labels = torch.randint(0, CLASSES, (batch,), generator=generator)
    with peers.limited_threads(threads):
        errors = compared(images.double(), labels, widths)
        sides = {inside.WITHOUT: step_of(network(None, widths), images, labels)}
        sides |= {gradient: step_of(network(gradient, widths), images, labels) for gradient in GRADIENTS}
        whole: dict[str, list[float]] = {name: [] for name in sides}
        blocks: dict[str, list[float]] = {name: [] for name in sides}
        order = list(sides)
        for i in range(timing.WARM_UP + rounds):
            for name in order:
                start = perf_counter()
                own = sides[name]()
                if i >= timing.WARM_UP:
                    whole[name].append(perf_counter() - start)
                    blocks[name].append(own)
            order.reverse()
    about = {"batch": batch, "size": size, "widths": list(widths), "threads": threads, "rounds": rounds}
    return {**about, "errors": errors, "whole": whole, "blocks": blocks}


def compared(images: Tensor, labels: Tensor, widths: tuple[int, ...]) -> dict[str, float]:
    """How far the gradients with each side are from those with autograd, the worst of all parameters; in float64.

    In float32 the order of a sum decides which unit of a ReLU is on, somewhere in all these layers.
    """

    def gradients(gradient: Gradient) -> list[np.ndarray]:
        net = network(gradient, widths).double()
        step_of(net, images, labels)()
        return [x.grad.numpy() for x in net.parameters() if x.grad is not None]

    expected = gradients("autograd")
    return {side: timing.largest_error(gradients(side), expected) for side in GRADIENTS if side != inside.EAGER}


def run(rounds: int = 15, threads: int = 1, console: Console | None = None, **sizes: Any) -> bool:
    """Time it and say so; True if all sides computed the same gradients."""
    console = console or Console()
    found = measured(rounds, threads, **sizes)
    table = terminal.new_table(console, "CBAM inside a PyTorch network, forward + backward, float32")
    for i, head in enumerate(inside.HEAD):
        table.add_column(head, justify="right" if i else "left", no_wrap=True)
    for row in inside.rows(found):
        table.add_row(*row)
    terminal.show(console, table)
    console.print(f"{inside.in_words(found)} Medians, and in parentheses quartiles, over {rounds} rounds.")
    console.print(f"{json.dumps(bench.machine())}", highlight=False, soft_wrap=True)
    return all(error <= TOLERANCE for error in found["errors"].values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=positive, default=15)
    parser.add_argument("--threads", type=positive, default=1)
    raise SystemExit(0 if run(**vars(parser.parse_args())) else 1)
