"""What networks cost: parameters and multiply-adds, counted; time and memory, measured."""

import tracemalloc
from collections.abc import Callable
from copy import copy
from math import prod
from time import process_time
from typing import Any

import numpy as np

from cbam_np.nets import Network, resnet, vgg
from cbam_np.nets.attention import Gated
from cbam_np.nets.faults import outputs
from cbam_np.nets.layers import Conv, Linear
from cbam_np.reference.cost import cbam_cost, se_cost

# name -> the network, the shape of a batch, rounds in which it is timed
NETS: dict[str, tuple[Callable[..., Network], tuple[int, ...], int]] = {
    "resnet8": (
        lambda attention: resnet(8, attention, classes=10, channels=1, width=8, reduction=4),
        (25, 1, 16, 16),
        30,
    ),
    "vgg11": (
        lambda attention: vgg(11, attention, 10, 1, width=8, size=32, hidden=64, batch_norm=True, reduction=4),
        (25, 1, 32, 32),
        30,
    ),
    "resnet50": (lambda attention: resnet(50, attention), (1, 3, 224, 224), 3),
    "vgg16": (lambda attention: vgg(16, attention), (1, 3, 224, 224), 3),
}
KINDS = {"none": "none", "SE": "se", "CBAM": "cbam"}


def count_and_time(name: str) -> dict[str, Any]:
    """A network without attention, with SE and with CBAM, in turns; for each a dict.

    parameters, multiply-adds (for one image). batch: how many images are timed. inference s, training s: seconds of
    the processor for a batch, one figure a round: forward in evaluation, and forward and backward in training.
    inference MB, training MB: the most memory that NumPy held for it, parameters included.
    """
    make, shape, rounds = NETS[name]
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    nets = {kind: make(option) for kind, option in KINDS.items()}
    found: dict[str, Any] = {
        kind: {
            "parameters": sum(w.size for w in net.params.values()),
            "multiply-adds": multiply_adds(net, x[:1]),
            "batch": len(x),
            "inference MB": megabytes(net, x, inference),
            "training MB": megabytes(net, x, one_step),
            "inference s": [],
            "training s": [],
        }
        for kind, net in nets.items()
    }
    for _ in range(rounds):
        for kind, net in nets.items():
            for what, work in (("inference s", inference), ("training s", one_step)):
                start = process_time()
                work(net, x)
                found[kind][what].append(process_time() - start)
                release(net)
    return found


def inference(net: Network, x: np.ndarray) -> None:
    """A forward pass in evaluation."""
    net.eval()(x)


def one_step(net: Network, x: np.ndarray) -> None:
    """A forward and a backward pass in training."""
    net.train()
    net.backward(np.ones_like(net(x)))


def release(net: Network) -> None:
    """Give back what a pass has left behind."""
    net.grads, net.maps, net._backward = {}, {}, None


def megabytes(net: Network, x: np.ndarray, work: Callable[[Network, np.ndarray], None]) -> float:
    """The most memory that Python and NumPy ask for during `work`, and the parameters, in 10⁶ bytes."""
    work(net, x)  # rooms that are made once
    release(net)
    tracemalloc.start()
    work(net, x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    release(net)
    return (peak + sum(w.nbytes for w in net.params.values())) / 1e6


def multiply_adds(net: Network, x: np.ndarray) -> int:
    """Products that are added up in convolutions, linear layers and attention, for one image x (1, C, H, W).

    Batch norm, poolings, activations and the gates' products are not counted, as in `cbam_np.reference.cost`.
    """
    trial = copy(net)
    trial.training, trial.maps = False, {}
    return sum(_products(layer, out.shape[1:], trial) for layer, out in outputs(net.layers, x, trial))


def _products(layer: Any, shape: tuple[int, ...], net: Network) -> int:
    match layer:
        case Conv(channels=C, k=k):
            return prod(shape) * C * k * k
        case Linear(channels=C):
            return prod(shape) * C
        case Gated(block=block, kind=kind):
            C, H, W = shape
            names = {name.removeprefix(f"{block}."): w for name, w in net.params.items() if name.startswith(block)}
            se = next((w for name, w in names.items() if name == "se.channel.w1"), None)
            if se is not None:
                return se_cost(C, C // len(se)).multiply_adds
            if kind == "channel":
                return 2 * se_cost(C, C // len(names["cbam.channel.w1"])).multiply_adds
            k = names["cbam.spatial.kernel"].shape[-1]
            return cbam_cost(C, H, W, C, k).multiply_adds - 2 * se_cost(C, C).multiply_adds
    return 0
