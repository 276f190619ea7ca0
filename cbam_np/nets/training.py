"""Training by hand: the step of the optimiser, the schedule of its learning rate, and the loop around them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from math import cos, pi
from typing import Any, TypeAlias

import numpy as np
from array_api_compat import array_namespace

from cbam_np import ops
from cbam_np.arrays import Array, Params, asarray, dtype_name, library_name, to_numpy
from cbam_np.inputs import check_integer
from cbam_np.nets.data import batches
from cbam_np.nets.faults import first_fault
from cbam_np.nets.mpi import World
from cbam_np.nets.network import Network

Pictures: TypeAlias = tuple[np.ndarray, np.ndarray]  # images (N, C, H, W) and their labels (N,)
ALONE = World()


def sgd_step(
    params: Params, grads: Params, velocity: Params, lr: float, momentum: float, weight_decay: float
) -> tuple[Params, Params]:
    """One step of stochastic gradient descent: new parameters w and new velocities v.

        g = d_w + weight_decay · w        (for weights: arrays with two axes or more)
        g = d_w                           (for biases, and for γ and β of batch norm)
        v ← momentum · v + g
        w ← w - lr · v

    weight_decay · w is the gradient of ½ weight_decay ‖w‖², a price for large weights. A bias or a γ costs nothing.
    Where a gradient g stays the same, v grows to g / (1 - momentum); where it changes sign, v hardly moves.

    params, grads: the same keys. velocity: the same, or {} before the first step, when v = 0. Nothing is changed in
    place. Source: PyTorch's `torch.optim.SGD`, which this equals with two groups of parameters.
    """
    new_params, new_velocity = {}, {}
    for name, w in params.items():
        g = grads[name] + weight_decay * w if w.ndim >= 2 else grads[name]
        v = momentum * velocity[name] + g if velocity else g
        new_params[name], new_velocity[name] = w - lr * v, v
    return new_params, new_velocity


def cosine(step: int, steps: int, warm_up: int, peak: float) -> float:
    """The learning rate of a step, of 0, ..., steps - 1: up in a straight line, then down half a cosine.

        step < warm_up:    peak · (step + 1) / (warm_up + 1)
        then:              peak · ½ (1 + cos(π t)),    t = (step - warm_up) / (steps - warm_up)

    It begins low, because the first gradients are those of random weights, and ends near 0, so that the last batches
    no longer push the weights about. Source: Loshchilov, Hutter, "SGDR", ICLR 2017, equation (5).
    """
    if step < warm_up:
        return peak * (step + 1) / (warm_up + 1)
    return peak / 2 * (1 + cos(pi * (step - warm_up) / (steps - warm_up)))


@dataclass(frozen=True)
class Recipe:
    """How to train. The same recipe on the same data gives the same network, to the last bit.

    peak: the largest learning rate, reached after `warm_up` epochs. flip, shift: see `batches`.
    parts: into how many parts every batch is cut. Batch norm sees one part at a time. See `gradient`.
    """

    epochs: int = 6
    batch_size: int = 64
    peak: float = 0.1
    warm_up: int = 1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    flip: bool = False
    shift: int = 0
    seed: int = 0
    parts: int = 1

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("warm_up", 0), ("shift", 0), ("seed", 0), ("parts", 1)):
            check_integer(name, getattr(self, name), least)
        if not self.peak > 0:
            raise ValueError(f"peak: expected a positive number, got {self.peak}")


@dataclass
class State:
    """How far a training is. With the network's parameters and buffers it is all that is needed to go on."""

    step: int = 0
    velocity: Params = field(default_factory=dict)


def train(
    net: Network, data: Pictures, validation: Pictures, recipe: Recipe, state: State, world: World = ALONE
) -> Iterator[dict[str, Any]]:
    """Train `net` from `state` to the end of the recipe; after every step, `net` and `state` are changed and a record
    comes: step, epoch, rate, loss, and after the last step of an epoch the accuracy on the validation pictures.

    The order of the pictures depends on the seed and the epoch alone, so a training that goes on in the middle
    of an epoch sees the very batches that it would have seen.

    Raises RuntimeError that names the step and the layer if the loss or a gradient is not finite; then `net.params` and
    `state` are still those before the step.
    """
    per_epoch = -(-len(data[0]) // recipe.batch_size)  # rounded up: the last batch of an epoch may be smaller
    steps, warm_up = recipe.epochs * per_epoch, min(recipe.warm_up, recipe.epochs - 1) * per_epoch
    net.train()
    for epoch in range(state.step // per_epoch, recipe.epochs):
        start = state.step % per_epoch
        augmentation = {"flip": recipe.flip, "shift": recipe.shift}
        for x, labels in batches(*data, recipe.batch_size, seed=recipe.seed, epoch=epoch, start=start, **augmentation):
            lr = cosine(state.step, steps, warm_up, recipe.peak)
            try:
                loss, grads = gradient(net, x, labels, recipe.parts, world)
            except FloatingPointError as error:
                raise RuntimeError(f"step {state.step + 1}: {error}; try a smaller learning rate") from error
            net.params, state.velocity = sgd_step(
                net.params, grads, state.velocity, lr, recipe.momentum, recipe.weight_decay
            )
            state.step += 1
            record = {"step": state.step, "epoch": epoch + 1, "rate": lr, "loss": loss}
            if state.step % per_epoch == 0:
                record["accuracy"] = accuracy(net, *validation, world)
            yield record


def gradient(
    net: Network, x: np.ndarray, labels: np.ndarray, parts: int = 1, world: World = ALONE
) -> tuple[float, Params]:
    """The mean loss of a batch of B pictures, and its gradient with respect to the parameters.

        loss = 1/B Σ_b loss_b           so every picture's loss has the upstream gradient 1/B

    The batch is cut into parts, and gradients are sums over pictures, so those of the parts add up. The processes
    share the parts out, and one `Allreduce` gives all of them the same sums. How many processes there are changes
    nothing but the order in which numbers are added.

    Batch norm is where parts are not the same as a whole batch: mean and variance are those of one part. Its running
    averages start each part where the last step left them, and end at the mean over the parts.

    Raises FloatingPointError that names the first layer at fault if the loss or a gradient is not finite.
    """
    B = len(x)
    before = net.buffers
    sums: Params = {}
    for part in range(world.rank, parts, world.size):
        ...
    return sums
