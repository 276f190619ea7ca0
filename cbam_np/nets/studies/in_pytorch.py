"""A run once more in PyTorch: its own functions, its autograd, its optimiser. Only the layers' names are ours.

Numbers start alike, and the batches are the same, so the losses of the first steps have to agree to rounding. Later
they drift apart, as rounding errors grow in training. Needs the extra "torch".
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cbam_np import ops
from cbam_np.nets.attention import Gated, MapOf
from cbam_np.nets.data import batches
from cbam_np.nets.layers import BatchNorm, Chain, Conv, Linear, Plain, Residual
from cbam_np.nets.network import Network
from cbam_np.nets.studies import running
from cbam_np.nets.studies.plan import Run
from cbam_np.nets.training import cosine
from cbam_np.reference import in_pytorch

PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "avg_pool_over_space": in_pytorch.avg_pool_over_space,
    "sigmoid": torch.sigmoid,
    "relu": F.relu,
}


class TorchNetwork:
    """The layers of `net`, with PyTorch's functions and PyTorch's tensors."""

    def __init__(self, net: Network) -> None:
        self.layers = net.layers
        self.params = {name: torch.tensor(w, requires_grad=True) for name, w in net.params.items()}
        self.buffers = {name: torch.tensor(value) for name, value in net.buffers.items()}
        self.training = True

    def __call__(self, x: Tensor) -> Tensor:
        """Forward."""
        return self.run(self.layers, x)

    def run(self, layer: Any, x: Tensor) -> Tensor:
        """One layer."""
        p = self.params
        match layer:
            case Chain(layers):
                for inner in layers:
                    x = self.run(inner, x)
                return x
            case Residual(branch, shortcut):
                return F.relu(self.run(branch, x) + self.run(shortcut, x))
            case Conv(name=name, k=k, stride=stride, weight=weight):
                return F.conv2d(x, p[f"{name}.{weight}"], p.get(f"{name}.bias"), stride, k // 2)
            case BatchNorm(name=name, momentum=momentum):
                mean, var = self.buffers[f"{name}.running_mean"], self.buffers[f"{name}.running_var"]
                return F.batch_norm(x, mean, var, p[f"{name}.weight"], p[f"{name}.bias"], self.training, momentum)
            case Linear(name=name):
                return F.linear(x, p[f"{name}.weight"], p[f"{name}.bias"])
            case Gated(map=MapOf(name=name, op=op, shapes=shapes)) if hasattr(op, "__name__"):
                own = {key: p[f"{name}.{key}"] for key in shapes}
                return x * getattr(in_pytorch, op.__name__)(x, own)
            case Plain(op=op) if getattr(op, "__name__", "") in PLAIN:
                return PLAIN[op.__name__](x)
        raise ValueError(f"library: expected a network that is repeated in PyTorch, got one with {layer}; use numpy")


def trained(net: Network, run: Run, train_on: running.Scenes, measure_on: running.Scenes) -> dict[str, Any]:
    """As `running.trained`: the losses of each epoch and of the first steps, and the scores."""
    model, how = TorchNetwork(net), running.recipe(run)
    weights = [w for w in model.params.values() if w.ndim >= 2]
    others = [w for w in model.params.values() if w.ndim < 2]
    groups = [{"params": weights, "weight_decay": how.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.SGD(groups, lr=how.peak, momentum=how.momentum)
    per_epoch = -(-len(train_on.images) // how.batch_size)
    losses: list[float] = []
    for epoch in range(how.epochs):
        indices = np.arange(len(train_on.images))
        for x, chosen in batches(train_on.images, indices, how.batch_size, seed=how.seed, epoch=epoch):
            warm_up = min(how.warm_up, how.epochs - 1) * per_epoch
            lr = cosine(len(losses), how.epochs * per_epoch, warm_up, how.peak)
            for group in optimiser.param_groups:
                group["lr"] = lr
            loss = loss_of(model(torch.from_numpy(x)), run.head, train_on, chosen)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(loss.item())
    model.training = False
    with torch.no_grad():
        out = model(torch.from_numpy(measure_on.images)).numpy()
    by_epoch = np.reshape(losses, (how.epochs, per_epoch)).mean(axis=1).tolist()
    return {
        "losses": by_epoch,
        "first": losses[: running.FIRST],
        "scores": running.scores_of(out, run.head, measure_on),
    }


def loss_of(out: Tensor, head: str, at: running.Scenes, chosen: np.ndarray) -> Tensor:
    """PyTorch's own loss for a head."""
    if head == "class":
        return F.cross_entropy(out, torch.from_numpy(at.labels[chosen]))
    if head == "box":
        return F.smooth_l1_loss(out, torch.from_numpy(np.asarray(at.boxes)[chosen]))
    masks = np.asarray(at.masks)[chosen]
    s = masks.shape[2] // out.shape[2]
    targets = masks if s == 1 else ops.avg_pool2d(masks, k=s, stride=s)[0]
    return F.binary_cross_entropy_with_logits(out, torch.from_numpy(targets))
