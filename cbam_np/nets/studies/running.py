"""One run: a network is trained, and what it does is measured."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from time import process_time
from typing import Any, NamedTuple

import numpy as np

from cbam_np import ops
from cbam_np.nets import box_loss, class_loss, mask_loss, resnet, training, vgg
from cbam_np.nets.data import batches, cluttered_digits, fashion_mnist
from cbam_np.nets.layers import Chain
from cbam_np.nets.network import Network
from cbam_np.nets.pictures import epochs_to_show, spatial_maps
from cbam_np.nets.studies.counting import count_and_time
from cbam_np.nets.studies.plan import MISTAKES, OPEN, VARIANTS, Run
from cbam_np.nets.training import Recipe

BATCH, TEST, SHOWN, LOOKED_AT = 25, 1500, 4, 200  # LOOKED_AT: scenes whose maps are compared with their masks
FIRST = 20  # steps whose losses are kept one by one
TEST_SEED = 1000  # of the test scenes, which are the same for all runs
SIZES = {"resnet8": (48, 3), "vgg11": (64, 2)}  # side of a scene, and by how much it is made smaller


class Scenes(NamedTuple):
    """N pictures (N, 1, H, W) with what is known of them; boxes as fractions of the side; clothes have neither."""

    images: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray | None = None
    masks: np.ndarray | None = None


@cache
def scenes(run_data: str, clutter: int, net: str, split: str, count: int, seed: int) -> Scenes:
    """The pictures of a run."""
    if run_data == "fashion":
        clothes = fashion_mnist(split)
        images = np.pad(clothes.images[:count], [(0, 0), (0, 0), (2, 2), (2, 2)], mode="edge")  # 28×28 -> 32×32
        return Scenes(images if net == "vgg11" else ops.avg_pool2d(images, k=2, stride=2)[0], clothes.labels[:count])
    size, s = SIZES[net]
    found = cluttered_digits(split, count, clutter=clutter, size=size, seed=seed)
    images, masks = (ops.avg_pool2d(x.astype(np.float32), k=s, stride=s)[0] for x in (found.images, found.masks))
    return Scenes(images, found.labels, (found.boxes / size).astype(np.float32), masks)


def of(run: Run, split: str, count: int, seed: int) -> Scenes:
    """The pictures of a run from one split."""
    return scenes(run.data, run.clutter, run.net, split, count, seed)


def run_one(run: Run) -> dict[str, Any]:
    """Make a run; what was found, in JSON's types."""
    if run.study == "light":
        return count_and_time(run.net)
    train_on = of(run, "train", run.count, run.seed)
    measure_on = of(run, run.purpose, TEST if run.purpose == "test" else TEST // 3, TEST_SEED)
    if run.library == "torch":
        return import_module("cbam_np.nets.studies.in_pytorch").trained(network(run), run, train_on, measure_on)
    wrong = {"gradient error": gradient_error(run, train_on)} if run.mistake else {}
    return trained(network(run), run, train_on, measure_on) | wrong


def gradient_error(run: Run, train_on: Scenes) -> float:
    """How wrong the mistake makes the gradient of the first batch: ‖wrong - right‖ / ‖right‖ over all parameters."""
    batch = train_on.images[:BATCH], train_on.labels[:BATCH]
    wrong, right = (training.gradient(network(each), *batch)[1] for each in (run, replace(run, mistake="")))
    off = sum(float(np.sum((wrong[name] - g).astype(np.float64) ** 2)) for name, g in right.items())
    return float(np.sqrt(off / sum(float(np.sum(g.astype(np.float64) ** 2)) for g in right.values())))


def network(run: Run) -> Network:
    """The network as it starts; with a mistake, from a copy of the package that has it planted."""
    package: Any = None
    if run.mistake:
        from cbam_np.nets.studies.mistakes import nets_with

        package = nets_with(*MISTAKES[run.mistake])
    options: dict[str, Any] = dict(VARIANTS[run.variant]) | {
        "channels": 1, "classes": 10, "width": 8, "reduction": 4, "head": run.head, "seed": run.seed,
    }  # fmt: skip
    if run.net == "vgg11":
        return (package.vgg if package else vgg)(11, size=32, hidden=64, batch_norm=True, **options)
    net = (package.resnet if package else resnet)(8, **options)
    return opened(net) if run.variant == OPEN else net


def opened(net: Network, gate: float = 4.0) -> Network:
    """The same with biases such that every gate starts near σ(4) = 0.98: a fresh block hands its input on.

    In the released variant b2 is added twice, once for each pooled vector; and γ = 0 leaves β alone before the sigmoid.
    """
    biases = {"channel.b2": gate / 2, "spatial.bn.bias": gate}
    for name, w in net.params.items():
        for ending, value in biases.items():
            if name.endswith(ending):
                net.params[name] = np.full_like(w, value)
    return net


def recipe(run: Run) -> Recipe:
    """How it is trained."""
    return Recipe(epochs=run.epochs, batch_size=BATCH, peak=run.peak, warm_up=1, seed=run.seed)


def trained(net: Network, run: Run, train_on: Scenes, measure_on: Scenes) -> dict[str, Any]:
    """Train, and measure: the losses and seconds of each epoch, the scores at the end, where maps look meanwhile.

    seconds: of the processor, for training alone. A training whose loss is no number any more ends there: `diverged`.
    """
    looked_at = of(run, "validation", LOOKED_AT, TEST_SEED)
    first: list[float] = []
    losses: list[float] = []
    seconds: list[float] = []
    looks = [look(net, looked_at)]
    shown = {0: shown_maps(net, looked_at)}
    diverged = False
    start, spent, batch_losses = process_time(), 0.0, []
    per_epoch = -(-run.count // BATCH)
    try:
        for step, loss in enumerate(steps(net, run, train_on), start=1):
            batch_losses.append(loss)
            first += [loss] * (step <= FIRST)
            if step % per_epoch == 0:
                spent += process_time() - start
                losses.append(float(np.mean(batch_losses)))
                seconds.append(spent)
                looks.append(look(net, looked_at))
                if step // per_epoch in epochs_to_show(run.epochs):
                    shown[step // per_epoch] = shown_maps(net, looked_at)
                start, batch_losses = process_time(), []
    except RuntimeError:
        diverged = True
    found: dict[str, Any] = {"losses": losses, "first": first, "seconds": seconds, "diverged": diverged}
    found["scores"] = {} if diverged else scores(net, run.head, measure_on)
    if looks[0]:
        found["looks"] = looks
    if not diverged and measure_on.masks is not None and run.head == "class" and run.net == "resnet8":
        found["grad-cam"] = share_inside(grad_cam(net, looked_at), np.asarray(looked_at.masks))
    if run.seed == 0 and shown[0]:
        found["maps"] = {str(epoch): maps for epoch, maps in shown.items()}
    return found


def steps(net: Network, run: Run, train_on: Scenes) -> Iterator[float]:
    """Train step by step, and give the loss of each. Raises RuntimeError if it is not finite."""
    how, state = recipe(run), training.at_rest(net)
    if run.head == "class":
        nothing = train_on.images[:1], train_on.labels[:1]  # accuracies are measured here, not there
        for record in training.train(net, train_on[:2], nothing, how, state):
            yield record["loss"]
        return
    loss_of: Callable[..., Any] = box_loss if run.head == "box" else mask_loss
    goals = train_on.boxes if run.head == "box" else train_on.masks
    assert goals is not None
    total = how.epochs * -(-run.count // BATCH)
    for epoch in range(how.epochs):
        for x, chosen in batches(train_on.images, np.arange(len(goals)), BATCH, seed=how.seed, epoch=epoch):
            loss, d_out = loss_of(net(x), goals[chosen])
            if not np.isfinite(loss):
                raise RuntimeError("the loss is not finite")
            net.backward(d_out)
            lr = training.cosine(state.step, total, min(1, how.epochs - 1) * total // how.epochs, how.peak)
            net.params, state.velocity = training.sgd_step(
                net.params, net.grads, state.velocity, lr, how.momentum, how.weight_decay
            )
            state.step += 1
            yield float(loss)


def outputs(net: Network, images: np.ndarray) -> np.ndarray:
    """What the network, in evaluation, makes of the images."""
    training_now, net.training = net.training, False
    out = [net(x) for x, _ in batches(images, np.zeros(len(images), np.int64), 250, seed=None)]
    net.training = training_now
    return np.concatenate(out)


def scores(net: Network, head: str, at: Scenes) -> dict[str, float]:
    """class: accuracy and loss. box: mean IoU. mask: mean IoU of what is above one half, at the size of the output."""
    return scores_of(outputs(net, at.images), head, at)


def scores_of(out: np.ndarray, head: str, at: Scenes) -> dict[str, float]:
    """The same from outputs, which may be another library's."""
    if head == "class":
        right = float(np.mean(out.argmax(axis=1) == at.labels))
        loss = float(class_loss(out, at.labels)[0])
        return {"accuracy": right} | ({"loss": loss} if np.isfinite(loss) else {})
    if head == "box":
        return {"IoU": float(np.mean(box_iou(out, np.asarray(at.boxes))))}
    found, truth = out > 0, resized(np.asarray(at.masks), out.shape[2]) > 0.5
    either = np.sum(found | truth, axis=(1, 2, 3))
    return {"IoU": float(np.mean(np.where(either, np.sum(found & truth, axis=(1, 2, 3)) / np.maximum(either, 1), 1)))}


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes x0, y0, x1, y1: (N, 4), (N, 4) -> (N,). An inside-out box has no area."""
    sides = np.maximum(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0)
    both = sides.prod(axis=1)
    area_a, area_b = (np.maximum(x[:, 2:] - x[:, :2], 0).prod(axis=1) for x in (a, b))
    return np.asarray(both / np.maximum(area_a + area_b - both, 1e-12))


def resized(masks: np.ndarray, h: int) -> np.ndarray:
    """The share of each of h×h pixels that the masks (N, 1, H, H) cover."""
    s = masks.shape[2] // h
    return np.asarray(masks if s == 1 else ops.avg_pool2d(masks, k=s, stride=s)[0])


def share_inside(maps: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """How far maps (N, h, w) look at masks (N, 1, H, W), compared with chance: 1 is chance.

    inside: the part of a map's sum that lies in the mask, over the part of the picture that the mask covers.
    pointing: how much of the map's highest pixel the mask covers, over the same.
    """
    covered = resized(masks, maps.shape[1])[:, 0]
    flat, cover = maps.reshape(len(maps), -1).astype(np.float64), covered.reshape(len(maps), -1).astype(np.float64)
    chance = cover.mean(axis=1)
    sums = flat.sum(axis=1)
    inside = np.where(sums > 0, (flat * cover).sum(axis=1) / np.maximum(sums, 1e-12), chance)
    top = cover[np.arange(len(flat)), flat.argmax(axis=1)]
    top = np.where(flat.max(axis=1) > flat.min(axis=1), top, chance)  # a flat map points nowhere
    return {"inside": float(np.mean(inside / chance)), "pointing": float(np.mean(top / chance))}


def look(net: Network, at: Scenes) -> dict[str, dict[str, float]]:
    """For each block with a spatial map: how far it looks at the digit."""
    if at.masks is None:
        return {}
    return {block: share_inside(m_s, at.masks) for block, m_s in spatial_maps(net, at.images).items()}


def shown_maps(net: Network, at: Scenes) -> dict[str, Any]:
    """The spatial maps of the first scenes, to be drawn."""
    return {block: np.round(m_s, 3).tolist() for block, m_s in spatial_maps(net, at.images[:SHOWN]).items()}


def grad_cam(net: Network, at: Scenes) -> np.ndarray:
    """Grad-CAM of the last block for the true class: (N, h, w).

        ReLU(Σ_c α_c F_c),     α_c = 1/(HW) Σ_{i,j} ∂logit/∂F_c[i,j]

    Behind the last block come an average over H and W and a linear layer with weights w, so ∂logit/∂F_c = w_c / (HW).
    Source: Selvaraju et al., "Grad-CAM", ICCV 2017, equations (1) and (2).
    """
    chain: Any = net.layers
    training_now, net.training = net.training, False
    f, _ = Chain(chain.layers[:-2])(at.images, net)
    net.training = training_now
    alpha = net.params["fc.weight"][at.labels] / (f.shape[2] * f.shape[3])
    return np.maximum(np.einsum("nc,nchw->nhw", alpha, f), 0)
