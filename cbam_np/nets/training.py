"""Training by hand: the step of the optimiser, the schedule of its learning rate, and the loop around them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import cos, pi
from typing import Any, TypeAlias

import numpy as np
from array_api_compat import array_namespace

from cbam_np.arrays import Array, Params, asarray, dtype_name, library_name, to_numpy
from cbam_np.inputs import check_integer
from cbam_np.nets.data import batches
from cbam_np.nets.faults import all_finite, first_fault
from cbam_np.nets.heads import class_loss
from cbam_np.nets.mpi import World
from cbam_np.nets.network import Network

Pictures: TypeAlias = tuple[np.ndarray, np.ndarray]  # images (N, C, H, W) and their labels (N,)
ALONE = World()


def sgd_step(
    params: Params, grads: Params, velocity: Params, lr: float, momentum: float, weight_decay: float
) -> tuple[Params, Params]:
    """One step of stochastic gradient descent with momentum: new parameters w and new velocities v.

        g = d_w + weight_decay · w        for weights, which have two axes or more
        g = d_w                           for biases, and for γ and β of batch norm
        v ← momentum · v + g              (v = 0 at the start)
        w ← w - lr · v

    weight_decay · w is the gradient of ½ weight_decay ‖w‖²: large weights have a price, a bias or a γ has none.
    Along a direction in which the gradient stays the same, v grows to g / (1 - momentum); where it keeps changing its
    sign, v stays small.

    Nothing is changed in place.
    Source: PyTorch's `torch.optim.SGD`, which does the same with two groups of parameters.

    Parameters
    ----------
    params, grads, velocity : dicts of arrays
        With the same keys.
    lr, momentum, weight_decay : float

    Returns
    -------
    params, velocity : dicts of arrays
    """
    new_params, new_velocity = {}, {}
    for name, w in params.items():
        g = grads[name] + weight_decay * w if w.ndim >= 2 else grads[name]
        v = momentum * velocity[name] + g
        new_params[name], new_velocity[name] = w - lr * v, v
    return new_params, new_velocity


def cosine(step: int, steps: int, warm_up: int, peak: float) -> float:
    """The learning rate of a step: up in a straight line, then down along half a cosine.

        step < warm_up:    peak · (step + 1) / (warm_up + 1)
        afterwards:        peak · ½ (1 + cos(π t)),        t = (step - warm_up) / (steps - warm_up)

    It starts low, because the first gradients are those of random weights, and ends near 0, so that the noise of single
    batches dies down. Source: Loshchilov, Hutter, "SGDR", ICLR 2017, equation (5).

    Parameters
    ----------
    step : int
        From 0 to steps - 1.
    steps, warm_up : int
    peak : float
        The largest rate.
    """
    if step < warm_up:
        return peak * (step + 1) / (warm_up + 1)
    return peak / 2 * (1 + cos(pi * (step - warm_up) / (steps - warm_up)))


@dataclass(frozen=True)
class Recipe:
    """How to train. One recipe on one data set gives one network, to the last bit.

    Raises ValueError for a number out of range.

    Parameters
    ----------
    epochs, batch_size : int
    peak : float
        The largest learning rate.
    warm_up : int
        Epochs until it is reached.
    momentum, weight_decay : float
        See `sgd_step`.
    flip : bool
    shift : int
        See `batches`.
    seed : int
    parts : int
        See `gradient`.
    """

    epochs: int = 6
    batch_size: int = 32
    peak: float = 0.2
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
        if not 0 < self.peak < float("inf"):
            raise ValueError(f"peak: expected a positive number, got {self.peak}")
        for name in ("momentum", "weight_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a number from 0 to less than 1, got {getattr(self, name)}")


@dataclass
class State:
    """How far a training has come. With the network's parameters and buffers, this is all it needs to go on.

    Parameters
    ----------
    step : int
    velocity : dict of arrays
        See `sgd_step`.
    """

    step: int
    velocity: Params


def at_rest(net: Network) -> State:
    """The state before the first step.

    Parameters
    ----------
    net : Network
    """
    return State(0, {name: array_namespace(w).zeros_like(w) for name, w in net.params.items()})


def train(
    net: Network, data: Pictures, validation: Pictures, recipe: Recipe, state: State, world: World = ALONE
) -> Iterator[dict[str, Any]]:
    """Train `net` from `state` to the end of the recipe, and give a record after every step.

    A record has step, epoch, lr and loss, and after the last step of an epoch the accuracy on `validation`. By
    then `net` and `state` are those after the step. The batches depend on the seed, the epoch and their number alone,
    so a training that goes on in the middle of an epoch sees the batches that it would have seen.

    Raises RuntimeError that names the step and the layer if the loss or a gradient is not finite. Then `net` and
    `state` are those before the step.

    Parameters
    ----------
    net : Network
    data, validation : Pictures
    recipe : Recipe
    state : State
    world : World
    """
    per_epoch = -(-len(data[0]) // recipe.batch_size)  # rounded up: the last batch may be smaller
    steps, warm_up = recipe.epochs * per_epoch, min(recipe.warm_up, recipe.epochs - 1) * per_epoch
    net.train()
    for epoch in range(state.step // per_epoch, recipe.epochs):
        start, flip, shift = state.step % per_epoch, recipe.flip, recipe.shift
        for x, labels in batches(
            *data, recipe.batch_size, seed=recipe.seed, epoch=epoch, start=start, flip=flip, shift=shift
        ):
            lr = cosine(state.step, steps, warm_up, recipe.peak)
            try:
                loss, grads = gradient(net, x, labels, recipe.parts, world)
            except FloatingPointError as error:
                raise RuntimeError(f"step {state.step + 1}: {error}; try a lower peak of the learning rate") from error
            net.params, state.velocity = sgd_step(
                net.params, grads, state.velocity, lr, recipe.momentum, recipe.weight_decay
            )
            state.step += 1
            record = {"step": state.step, "epoch": epoch + 1, "lr": lr, "loss": loss}
            if state.step % per_epoch == 0:
                record["accuracy"] = accuracy(net, *validation, world=world)
            yield record


def gradient(
    net: Network, x: np.ndarray, labels: np.ndarray, parts: int = 1, world: World = ALONE
) -> tuple[float, Params]:
    """The mean loss of a batch of B pictures, and its gradient with respect to the parameters.

        loss = 1/B Σ_b loss_b = Σ_part share(part) · loss(part),        share(part) = (pictures in it) / B

    where loss(part) is the mean over one part of the batch. The gradient of a sum is the sum of the gradients. So the
    processes take turns at the parts, and one sum over all processes gives every one of them the gradient of the whole
    batch. How many processes there are only changes the order in which numbers are added.

    How many parts there are changes more: batch norm sees one part at a time, its mean and its variance. Its running
    averages go on from the last step in each part alike, and the mean of the results is kept, weighted by share.

    Raises ValueError if the processes cannot take turns evenly, FloatingPointError that names the first layer
    at fault if the loss or a gradient is not finite.

    Parameters
    ----------
    net : Network
    x : floats (B, C, H, W)
    labels : integers (B,) or probabilities (B, K)
    parts : int
    world : World

    Returns
    -------
    loss : float
    grads : dict of arrays
    """
    if parts % world.size:
        raise ValueError(f"parts: expected a multiple of the {world.size} processes, got {parts}")
    running = net.buffers
    sums: Params = {}
    try:
        for part in range(world.rank, parts, world.size):
            net.buffers = dict(running)
            with np.errstate(over="ignore", invalid="ignore"):  # the sums are checked, so no warnings
                terms = _part(net, x[part::parts], labels[part::parts], len(x))
            sums = {name: sums[name] + term for name, term in terms.items()} if sums else terms
        sums = world.total(sums)
        if not all_finite(*sums.values()):  # backward comes to the last layer first
            name = next(name for name in reversed([*running, *net.params]) if not all_finite(sums[name]))
            raise FloatingPointError(f"the gradient of {name} is not finite")
    except FloatingPointError:
        net.buffers = running
        raise
    net.buffers = {name: sums[name] for name in running}
    return float(to_numpy(sums["loss"])), {name: sums[name] for name in net.params}


def _part(net: Network, x: np.ndarray, labels: np.ndarray, B: int) -> Params:
    """What one part adds to the loss, the gradients and the running averages."""
    share = len(x) / B
    x, labels = on_arrays_of(net, x, labels)
    loss, d_logits = class_loss(net(x), labels)
    if not all_finite(loss):
        raise FloatingPointError(f"the loss is not finite; the first layer at fault is {first_fault(net, x)}")
    net.backward(share * d_logits)
    return {"loss": share * loss, **net.grads, **{name: share * value for name, value in net.buffers.items()}}


def accuracy(
    net: Network, images: np.ndarray, labels: np.ndarray, batch_size: int = 128, world: World = ALONE
) -> float:
    """The share of pictures that `net`, in evaluation, puts into their class. The processes take turns at the batches.

    Leaves the network in training or evaluation, as it was.

    Parameters
    ----------
    net : Network
    images : floats (M, C, H, W)
    labels : integers (M,)
    batch_size : int
    world : World
    """
    training, net.training = net.training, False
    right = 0
    for x, y in islice(batches(images, labels, batch_size, seed=None), world.rank, None, world.size):
        x, y = on_arrays_of(net, x, y)
        logits = net(x)
        xp = array_namespace(logits)
        right += int(xp.count_nonzero(xp.argmax(logits, axis=1) == y))
    net.training = training
    return int(world.total({"right": np.asarray(right)})["right"]) / len(images)


def on_arrays_of(net: Network, images: np.ndarray, labels: np.ndarray) -> tuple[Array, Array]:
    """A batch in the network's dtype and array library."""
    w = next(iter(net.params.values()))
    library = library_name(w)
    return asarray(images.astype(dtype_name(w)), library), asarray(labels, library)
