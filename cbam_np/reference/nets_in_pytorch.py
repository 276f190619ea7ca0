"""The networks of `cbam_np.nets` once more in torch.nn, with torchvision's names: autograd says what they have to do.

Written from their description. `copy_into_torch` gives them our numbers. Needs the extra "torch".
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cbam_np.arrays import Params


class SE(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, C: int, r: int, biases: bool) -> None:
        super().__init__()
        self.fc1 = nn.Linear(C, C // r, bias=biases)
        self.fc2 = nn.Linear(C // r, C, bias=biases)

    def forward(self, f: Tensor) -> Tensor:
        """See the class."""
        s = torch.sigmoid(self.fc2(F.relu(self.fc1(f.mean(dim=(2, 3))))))
        return f * s[:, :, None, None]


class CBAM(nn.Module):
    """Either variant of CBAM, with any of the paper's ablations."""

    def __init__(self, C: int, r: int, k: int, released: bool, pooling: str, spatial_pooling: str, order: str) -> None:
        super().__init__()
        self.pooling, self.spatial_pooling, self.order = pooling, spatial_pooling, order
        self.fc1 = nn.Linear(C, C // r, bias=released)
        self.fc2 = nn.Linear(C // r, C, bias=released)
        if spatial_pooling == "conv":
            self.pool = nn.Conv2d(C, 1, 1, bias=False)
        self.conv = nn.Conv2d(2 if spatial_pooling == "both" else 1, 1, k, padding=k // 2, bias=False)
        self.bn = nn.BatchNorm2d(1, momentum=0.01) if released else nn.Identity()

    def channel_map(self, f: Tensor) -> Tensor:
        """Formula (6): (N, C, 1, 1)."""
        avg, largest = f.mean(dim=(2, 3)), f.flatten(2).max(dim=2).values
        vectors = {"both": [avg, largest], "avg": [avg], "max": [largest]}[self.pooling]
        z = torch.stack([self.fc2(F.relu(self.fc1(vector))) for vector in vectors]).sum(dim=0)
        return torch.sigmoid(z)[:, :, None, None]

    def spatial_map(self, f: Tensor) -> Tensor:
        """Formula (10): (N, 1, H, W)."""
        if self.spatial_pooling == "conv":
            pooled = self.pool(f)
        else:
            avg, largest = f.mean(dim=1, keepdim=True), f.max(dim=1, keepdim=True).values
            pooled = torch.cat({"both": [avg, largest], "avg": [avg], "max": [largest]}[self.spatial_pooling], dim=1)
        return torch.sigmoid(self.bn(self.conv(pooled)))

    def forward(self, f: Tensor) -> Tensor:
        """See the class."""
        if self.order == "parallel":
            return f * self.channel_map(f) * self.spatial_map(f)
        if self.order == "channel-spatial":
            f = f * self.channel_map(f)
            return f * self.spatial_map(f)
        f = f * self.spatial_map(f)
        return f * self.channel_map(f)


def gates(kind: str, C: int, options: Mapping[str, Any]) -> nn.Module:
    """What sits in a block with C channels; kind: "none", "se" or "cbam", options as in `cbam_np.nets.resnet`."""
    o: dict[str, Any] = {"reduction": 16, "kernel_size": 7, "variant": "document", "order": "channel-spatial"}
    o |= {"pooling": "both", "spatial_pooling": "both", **options}
    r, k, released = o["reduction"], o["kernel_size"], o["variant"] == "released"
    if kind == "none":
        return nn.Identity()
    if kind == "se":
        return SE(C, r, released)
    return CBAM(C, r, k, released, o["pooling"], o["spatial_pooling"], o["order"])


class Block(nn.Module):
    """A residual block, plain or a bottleneck; `attention` before the addition."""

    def __init__(self, C: int, inner: int, out: int, stride: int, bottleneck: bool, gate: nn.Module) -> None:
        super().__init__()
        if bottleneck:
            self.conv1, self.bn1 = nn.Conv2d(C, inner, 1, bias=False), nn.BatchNorm2d(inner)
            self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner)
            self.conv3, self.bn3 = nn.Conv2d(inner, out, 1, bias=False), nn.BatchNorm2d(out)
        else:
            self.conv1, self.bn1 = nn.Conv2d(C, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner)
            self.conv2, self.bn2 = nn.Conv2d(inner, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.bottleneck = bottleneck
        self.attention = gate
        self.downsample = nn.Sequential()
        if stride > 1 or out != C:
            self.downsample = nn.Sequential(nn.Conv2d(C, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        z = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.bottleneck:
            z = self.bn3(self.conv3(F.relu(z)))
        return F.relu(self.attention(z) + self.downsample(x))


class ResNet(nn.Module):
    """blocks in each stage; large: the stem of ImageNet."""

    def __init__(
        self, blocks: list[int], large: bool, bottleneck: bool, width: int, channels: int, classes: int,
        kind: str = "none", **options: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        k = 7 if large else 3
        self.conv1, self.bn1 = (
            nn.Conv2d(channels, width, k, 2 if large else 1, k // 2, bias=False),
            nn.BatchNorm2d(width),
        )
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        C, expansion = width, 4 if bottleneck else 1
        self.stages = len(blocks)
        for stage, count in enumerate(blocks):
            rows = []
            for i in range(count):
                inner = width * 2**stage
                out = inner * expansion
                rows.append(Block(C, inner, out, 2 if stage and not i else 1, bottleneck, gates(kind, out, options)))
                C = out
            setattr(self, f"layer{stage + 1}", nn.Sequential(*rows))
        self.fc = nn.Linear(C, classes)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        out: Tensor = self.fc(x.mean(dim=(2, 3)))
        return out


class VGG11(nn.Module):
    """Without batch norm and without dropout; images of size 224 reach the classifier as 7×7, as in torchvision."""

    def __init__(self, width: int, classes: int, size: int, hidden: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        C = 3
        for out in (width, "M", 2 * width, "M", 4 * width, 4 * width, "M", 8 * width, 8 * width, "M"):
            if out == "M":
                layers.append(nn.MaxPool2d(2, 2))
            else:
                layers += [nn.Conv2d(C, int(out), 3, padding=1), nn.ReLU()]
                C = int(out)
        layers += [
            nn.Conv2d(C, C, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(C, C, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2, 2),
        ]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(C * (size // 32) ** 2, hidden), nn.ReLU(), nn.Identity(),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Identity(),
            nn.Linear(hidden, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = self.classifier(self.features(x).flatten(1))
        return out


NAMES = {
    ".attention.fc1.weight": ".cbam.channel.w1",
    ".attention.fc2.weight": ".cbam.channel.w2",
    ".attention.fc1.bias": ".cbam.channel.b1",
    ".attention.fc2.bias": ".cbam.channel.b2",
    ".attention.pool.weight": ".cbam.spatial.pool",
    ".attention.conv.weight": ".cbam.spatial.kernel",
    ".attention.bn.": ".cbam.spatial.bn.",
}


def our_name(name: str, se: bool) -> str:
    """Our name for a parameter or buffer of these modules."""
    for theirs, ours in NAMES.items():
        name = name.replace(theirs, ours.replace(".cbam.", ".se.") if se else ours)
    return name


def by_our_names(module: nn.Module, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """`tensors` of a module, by name, under our names."""
    se = any(isinstance(part, SE) for part in module.modules())
    return {our_name(name, se): value for name, value in tensors.items()}


def copy_into_torch(state: Params, module: nn.Module) -> None:
    """Give `module` the numbers of a network, its `state()` on NumPy. Raises ValueError if one finds no place."""
    own = dict(state)
    with torch.no_grad():
        for name, tensor in by_our_names(module, module.state_dict()).items():
            if not name.endswith("num_batches_tracked"):
                tensor.copy_(torch.from_numpy(np.asarray(own.pop(name))))
    if own:
        raise ValueError(f"state: expected the names of the module, got {sorted(own)} besides")


def gradients(module: nn.Module) -> dict[str, np.ndarray]:
    """What `backward()` left at the parameters, under our names."""
    return by_our_names(module, {name: p.grad.numpy() for name, p in module.named_parameters() if p.grad is not None})
