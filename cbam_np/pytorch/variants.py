"""CBAM with switches: the eleven formulas, and at each place what other implementations do there.

The audit looks for the switches with which these lines give what somebody's module gives. What is right comes first
in each list; every other value is a deviation and has its name. The formulas themselves are tested elsewhere: with all
switches at their first value these lines are those of `reference.in_pytorch`, which a test says.
"""

from __future__ import annotations  # the site is built without PyTorch, where types can't be joined by |

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from cbam_np.reference import in_pytorch

Switches = Mapping[str, Any]  # the value of each switch


@dataclass(frozen=True)
class Norm:
    """A batch norm: γ, β, μ, v, each (C,), and ε. by_batch: as in training, where μ and v are those of the batch."""

    gamma: Tensor
    beta: Tensor
    mean: Tensor
    variance: Tensor
    eps: float
    by_batch: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        """x: (N, C) or (N, C, H, W)."""
        if self.by_batch:
            return F.batch_norm(x, None, None, self.gamma, self.beta, training=True, eps=self.eps)
        shape = (1, -1, *([1] * (x.ndim - 2)))
        scale = self.gamma / torch.sqrt(self.variance + self.eps)
        return x * scale.view(shape) + (self.beta - self.mean * scale).view(shape)


@dataclass(frozen=True)
class Layer:
    """A linear layer or a convolution, with the batch norm after it if there is one."""

    weight: Tensor
    bias: Tensor | None = None
    norm: Norm | None = None

    def normed(self, x: Tensor) -> Tensor:
        """After the batch norm."""
        return x if self.norm is None else self.norm(x)


@dataclass(frozen=True)
class Parts:
    """The layers of a module by what they are for: one MLP, or one for each pooled vector; and the convolution."""

    mlps: list[tuple[Layer, Layer]] = field(default_factory=list)
    conv: Layer | None = None


def in_training(parts: Parts) -> Parts:
    """The same layers, with every batch norm as it is in training."""

    def of(layer: Layer) -> Layer:
        return layer if layer.norm is None else replace(layer, norm=replace(layer.norm, by_batch=True))

    return Parts([(of(a), of(b)) for a, b in parts.mlps], None if parts.conv is None else of(parts.conv))


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "ReLU": F.relu,
    "none": lambda x: x,
    "SiLU": F.silu,
    "GELU": F.gelu,
    "leaky ReLU, 0.01": F.leaky_relu,
    "leaky ReLU, 0.1": lambda x: F.leaky_relu(x, 0.1),
    "leaky ReLU, 0.2": lambda x: F.leaky_relu(x, 0.2),
    "ELU": F.elu,
    "Hardswish": F.hardswish,
    "ReLU6": F.relu6,
    "Mish": F.mish,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "SELU": F.selu,
    "PReLU, 0.25": lambda x: F.leaky_relu(x, 0.25),
}
GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "none": lambda z: z,
    "sigmoid twice": lambda z: torch.sigmoid(torch.sigmoid(z)),
    "ReLU, then sigmoid": lambda z: torch.sigmoid(F.relu(z)),
    "hard sigmoid": F.hardsigmoid,
    "tanh": torch.tanh,
    "1 + tanh": lambda z: 1 + torch.tanh(z),
    "ReLU": F.relu,
}

# Each switch, its values with the right one first, and the deviation that each of the others is.
SHIFTS = [(a, b) for a in range(-3, 4) for b in range(-3, 4) if (a, b) != (0, 0)]
CHOICES: dict[str, dict[Any, str]] = {
    "order": {"channel first": "", "spatial first": "spatial before channel"},
    "channel pooling": {
        "both": "",
        "average": "no max branch",
        "max": "no average branch",
        "average twice": "no max branch (the average twice)",
        "max twice": "no average branch (the max twice)",
        "sum": "pooled vectors added before the MLP",
        "half of the sum": "pooled vectors averaged before the MLP",
    },
    "channel average over": {
        (2, 3): "",
        (0, 2, 3): "mean over the wrong axes (M_c)",
        (1, 2, 3): "mean over the wrong axes (M_c)",
    },
    "channel max over": {
        (2, 3): "",
        (0, 2, 3): "max over the wrong axes (M_c)",
        (1, 2, 3): "max over the wrong axes (M_c)",
    },
    "MLPs": {"in order": "", "in reverse": ""},
    "activation": {
        name: "" if name == "ReLU" else "ReLU missing" if name == "none" else f"another activation ({name})"
        for name in ACTIVATIONS
    },
    "channel gate": {
        "sigmoid": "",
        "none": "sigmoid missing (M_c)",
        "sigmoid twice": "sigmoid twice (M_c)",
        "sigmoid before the sum": "sigmoid before the sum",
        "sigmoid before the sum, and after": "sigmoid before the sum, and again after it",
        "sigmoid before the product": "sigmoid before the sum, and a product for it",
        "average of sigmoids": "sigmoid before the sum, and an average for it",
        "average": "logits averaged, not added (M_c)",
        "softmax": "softmax for the sigmoid (M_c)",
        "ReLU, then sigmoid": "ReLU before the sigmoid (M_c)",
        "hard sigmoid": "hard sigmoid (M_c)",
        "tanh": "tanh for the sigmoid (M_c)",
        "ReLU": "ReLU for the sigmoid (M_c)",
    },
    "channel gated": {"product": "", "residual": "residual added (M_c ⊗ F + F)"},
    "spatial input": {"F′": "", "F": "F instead of F′ into the spatial branch"},
    "spatial pooling": {
        "average, max": "",
        "max, average": "concat order",
        "average, average": "no max branch (M_s)",
        "max, max": "no average branch (M_s)",
        "average": "1-channel pooling (average only)",
        "max": "1-channel pooling (max only)",
        "sum": "1-channel pooling (average + max)",
        "half of the sum": "1-channel pooling (half of average + max)",
        "product": "1-channel pooling (average · max)",
        "all channels": "no pooling: the convolution sees all channels",
    },
    "spatial average over": {
        (1,): "",
        (0, 1): "mean over the wrong axes (M_s)",
        (1, 2): "mean over the wrong axes (M_s)",
        (1, 3): "mean over the wrong axes (M_s)",
        (1, 2, 3): "mean over the wrong axes (M_s)",
    },
    "spatial max over": {(1,): "", (0, 1): "max over the wrong axes (M_s)", (1, 2, 3): "max over the wrong axes (M_s)"},
    "padding": {
        (0, 0): "",
        "replicate": "padding repeats the border",
        "reflect": "padding mirrors the border",
        "circular": "padding wraps around",
        **dict.fromkeys(SHIFTS, "padding shifts the map"),
    },
    "dilation": {1: "", 2: "dilated convolution", 3: "dilated convolution"},
    "spatial gate": {
        "sigmoid": "",
        "none": "sigmoid missing (M_s)",
        "sigmoid twice": "sigmoid twice (M_s)",
        "ReLU, then sigmoid": "ReLU before the sigmoid (M_s)",
        "softmax": "softmax for the sigmoid (M_s)",
        "hard sigmoid": "hard sigmoid (M_s)",
        "tanh": "tanh for the sigmoid (M_s)",
        "ReLU": "ReLU for the sigmoid (M_s)",
    },
    "spatial gated": {
        "product": "",
        "residual": "residual added (M_s ⊗ F′ + F′)",
        "sum of both": "gated features added, not in sequence (M_c ⊗ F + M_s ⊗ F)",
    },
    "output": {
        "F″": "",
        "residual": "residual added (F″ + F)",
        "residual, then ReLU": "residual added, then ReLU (F″ + F)",
        "ReLU": "ReLU after the block",
        "gate": "returns the gate, not the gated features",
    },
    "detached": {
        "nothing": "",
        "M_c": "detached gate (M_c)",
        "M_s": "detached gate (M_s)",
        "both": "detached gates (M_c and M_s)",
    },
    "ties in space": {"first": "", "split": "ties shared (over space)"},
    "ties over channels": {"first": "", "split": "ties shared (over channels)"},
}
RIGHT = {switch: next(iter(values)) for switch, values in CHOICES.items()}
GRADIENT_ONLY = ("detached", "ties in space", "ties over channels")  # switches that no output shows


def names(switches: Switches) -> dict[str, str]:
    """The deviations of these switches by switch, in the order of the table."""
    found = {switch: CHOICES[switch][switches[switch]] for switch in CHOICES}
    return {switch: name for switch, name in found.items() if name}


# --- the block ------------------------------------------------------------------------------------------------------


def block(f: Tensor, parts: Parts, s: Switches) -> Tensor:
    """F″ with these switches: (N, C, H, W) -> (N, C, H, W)."""
    assert parts.conv is not None
    channel_map, spatial_map = with_detached(s)
    if s["order"] == "channel first":
        m_c = channel_map(f, parts, s)
        f1 = gated(m_c, f, s["channel gated"])
        m_s = spatial_map(f1 if s["spatial input"] == "F′" else f, parts.conv, s)
        f2 = m_c * f + m_s * f if s["spatial gated"] == "sum of both" else gated(m_s, f1, s["spatial gated"])
    else:
        m_s = spatial_map(f, parts.conv, s)
        f1 = gated(m_s, f, s["spatial gated"])
        m_c = channel_map(f1 if s["spatial input"] == "F′" else f, parts, s)
        f2 = gated(m_c, f1, s["channel gated"])
    match s["output"]:
        case "residual":
            return f2 + f
        case "residual, then ReLU":
            return F.relu(f2 + f)
        case "ReLU":
            return F.relu(f2)
        case "gate":
            return m_c * m_s
    return f2


def with_detached(s: Switches) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """M_c and M_s as functions, without their gradient where the switch says so."""
    no_m_c, no_m_s = s["detached"] in ("M_c", "both"), s["detached"] in ("M_s", "both")
    return (
        (lambda *args: m_c_of(*args).detach()) if no_m_c else m_c_of,
        (lambda *args: m_s_of(*args).detach()) if no_m_s else m_s_of,
    )


def gated(m: Tensor, f: Tensor, how: str) -> Tensor:
    """Formula (7) or (11)."""
    return m * f + f if how == "residual" else m * f


def m_c_of(f: Tensor, parts: Parts, s: Switches) -> Tensor:
    """Formulas (3) to (6): one gate a channel, (N, C, 1, 1)."""
    avg_c, max_c = pooled_over(f, s["channel average over"], s["channel max over"], s["ties in space"])
    avg_c, max_c = (x.expand(f.shape[0], f.shape[1], 1, 1).flatten(1) for x in (avg_c, max_c))
    vectors = {
        "both": [avg_c, max_c],
        "average": [avg_c],
        "max": [max_c],
        "average twice": [avg_c, avg_c],
        "max twice": [max_c, max_c],
        "sum": [avg_c + max_c],
        "half of the sum": [(avg_c + max_c) / 2],
    }[s["channel pooling"]]
    mlps = parts.mlps if s["MLPs"] == "in order" else parts.mlps[::-1]
    z = [mlp(x, *mlps[i % len(mlps)], ACTIVATIONS[s["activation"]]) for i, x in enumerate(vectors)]
    return channel_gate(z, s["channel gate"])[:, :, None, None]


def channel_gate(z: list[Tensor], how: str) -> Tensor:
    """Formula (6), for the outputs of the MLP."""
    total = sum(z[1:], start=z[0])
    open_ = [torch.sigmoid(x) for x in z]
    match how:
        case "sigmoid before the sum":
            return sum(open_[1:], start=open_[0])
        case "sigmoid before the sum, and after":
            return torch.sigmoid(sum(open_[1:], start=open_[0]))
        case "sigmoid before the product":
            return open_[0] * open_[-1]
        case "average of sigmoids":
            return sum(open_[1:], start=open_[0]) / len(z)
        case "average":
            return torch.sigmoid(total / len(z))
        case "softmax":
            return torch.softmax(total, dim=1)
    return GATES[how](total)


def mlp(x: Tensor, first: Layer, second: Layer, activation: Callable[[Tensor], Tensor]) -> Tensor:
    """Formula (5)."""
    h = activation(first.normed(F.linear(x, first.weight, first.bias)))
    return second.normed(F.linear(h, second.weight, second.bias))


def m_s_of(x: Tensor, conv: Layer, s: Switches) -> Tensor:
    """Formulas (8) to (10): one gate a pixel, (N, 1, H, W)."""
    N, _, H, W = x.shape
    avg_s, max_s = pooled_over(x, s["spatial average over"], s["spatial max over"], s["ties over channels"])
    avg_s, max_s = (m.expand(N, 1, H, W) for m in (avg_s, max_s))
    maps = {
        "average, max": [avg_s, max_s],
        "max, average": [max_s, avg_s],
        "average, average": [avg_s, avg_s],
        "max, max": [max_s, max_s],
        "average": [avg_s],
        "max": [max_s],
        "sum": [avg_s + max_s],
        "half of the sum": [(avg_s + max_s) / 2],
        "product": [avg_s * max_s],
        "all channels": [x],
    }[s["spatial pooling"]]
    z = conv.normed(convolution(torch.cat(maps, dim=1), conv, s["padding"], s["dilation"]))
    if s["spatial gate"] == "softmax":
        return torch.softmax(z.flatten(1), dim=1).view(z.shape)
    return GATES[s["spatial gate"]](z)


def convolution(x: Tensor, conv: Layer, padding: Any, dilation: int) -> Tensor:
    """The convolution of (10). padding: by how many rows and columns the result is shifted, or PyTorch's mode."""
    p, q = (dilation * (k - 1) for k in conv.weight.shape[2:])  # in all, above and below together
    if isinstance(padding, str):
        sides, mode = (q // 2, q - q // 2, p // 2, p - p // 2), padding
    else:
        down, right = padding
        sides, mode = (q // 2 + right, q - q // 2 - right, p // 2 + down, p - p // 2 - down), "constant"
    return F.conv2d(F.pad(x, sides, mode), conv.weight, conv.bias, dilation=dilation)


def pooled_over(x: Tensor, average: tuple[int, ...], largest: tuple[int, ...], ties: str) -> tuple[Tensor, Tensor]:
    """The average and the maximum over these axes, which stay as axes of length 1."""
    avg = x.mean(dim=average, keepdim=True)
    if largest == (2, 3):
        return avg, in_pytorch.max_pool_over_space(x, "first" if ties == "first" else "split")[:, :, None, None]
    if largest == (1,):
        return avg, in_pytorch.max_pool_over_channels(x, "first" if ties == "first" else "split")
    return avg, x.amax(dim=largest, keepdim=True)
