"""CBAM as it is known from four places, written for these tests from their descriptions; timm's is its own."""

import sys
from collections.abc import Callable
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Named(nn.Module):
    """A layer under another name, since a layout is a matter of names."""

    def __init__(self, **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x


class AuthorsChannel(nn.Module):
    """Linear layers with biases, on the average first."""

    def __init__(self, C: int, r: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(C, C // r), nn.ReLU(), nn.Linear(C // r, C))

    def forward(self, x: Tensor) -> Tensor:
        pooled = [pool(x, x.shape[2:]) for pool in (F.avg_pool2d, F.max_pool2d)]
        return x * torch.sigmoid(self.mlp(pooled[0]) + self.mlp(pooled[1]))[:, :, None, None]


class AuthorsSpatial(nn.Module):
    """[max, mean], a convolution without bias, and batch norm."""

    def __init__(self, k: int) -> None:
        super().__init__()
        conv = nn.Conv2d(2, 1, k, padding=k // 2, bias=False)
        self.spatial = Named(conv=conv, bn=nn.BatchNorm2d(1, eps=1e-5, momentum=0.01))

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([torch.max(x, 1)[0].unsqueeze(1), torch.mean(x, 1).unsqueeze(1)], dim=1)
        return x * torch.sigmoid(self.spatial(pooled))


class Authors(nn.Module):
    """The authors' release."""

    def __init__(self, channels: int, r: int = 16, k: int = 7) -> None:
        super().__init__()
        self.ChannelGate, self.SpatialGate = AuthorsChannel(channels, r), AuthorsSpatial(k)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.SpatialGate(self.ChannelGate(x))
        return out


class Map(nn.Module):
    """A gate's map from two pooled tensors that its first argument makes."""

    def __init__(self, pool: Callable[[Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.pool = pool
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(x)
        for layer in self.children():
            x = layer(x)
        return x


class SumOfTwo(Map):
    """σ(MLP(avg) + MLP(max))."""

    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros(())
        for pooled in (F.adaptive_avg_pool2d(x, 1), F.adaptive_max_pool2d(x, 1)):
            for layer in self.children():
                pooled = layer(pooled)
            total = total + pooled
        return torch.sigmoid(total)


def mean_and_max(x: Tensor) -> Tensor:
    return torch.cat([x.mean(1, keepdim=True), torch.max(x, 1, keepdim=True)[0]], 1)


class TwoMaps(nn.Module):
    """Two maps under two names, each times what it is made of."""

    def __init__(self, **maps: nn.Module) -> None:
        super().__init__()
        for name, layer in maps.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x) * x
        return x


def luuuyi(channels: int, r: int = 16, k: int = 7) -> nn.Module:
    """1×1 convolutions, and no bias anywhere."""
    first, second = (
        nn.Conv2d(*sizes, 1, bias=False) for sizes in ((channels, channels // r), (channels // r, channels))
    )
    conv = nn.Conv2d(2, 1, k, padding=k // 2, bias=False)
    ca = SumOfTwo(mean_and_max, fc=nn.Sequential(first, nn.ReLU(), second))
    return TwoMaps(ca=ca, sa=Map(mean_and_max, conv1=conv, sigmoid=nn.Sigmoid()))


def luuuyi_before(channels: int, r: int = 16, k: int = 7) -> nn.Module:
    """The same with its layers one by one."""
    first, second = (
        nn.Conv2d(*sizes, 1, bias=False) for sizes in ((channels, channels // r), (channels // r, channels))
    )
    conv = nn.Conv2d(2, 1, k, padding=k // 2, bias=False)
    ca = SumOfTwo(mean_and_max, fc1=first, relu1=nn.ReLU(), fc2=second)
    return TwoMaps(ca=ca, sa=Map(mean_and_max, conv1=conv, sigmoid=nn.Sigmoid()))


def mmyolo(channels: int, r: int = 16, k: int = 7) -> nn.Module:
    """1×1 convolutions, each with its bias and activation in one module."""
    sizes = (channels, channels // r), (channels // r, channels)
    first, second = (nn.Conv2d(*size, 1) for size in sizes)
    conv = nn.Conv2d(2, 1, k, padding=k // 2)
    fc = nn.Sequential(Named(conv=first, activate=nn.ReLU()), Named(conv=second))
    spatial = Map(mean_and_max, conv=Named(conv=conv, activate=nn.Sigmoid()))
    return TwoMaps(channel_attention=SumOfTwo(mean_and_max, fc=fc), spatial_attention=spatial)


def timm(channels: int, r: int = 16, k: int = 7, **options: Any) -> nn.Module:
    """timm's own, from the package that is installed."""
    module: nn.Module = timm_module().CbamModule(channels, rd_ratio=1 / r, spatial_kernel_size=k, **options)
    return module


def timm_module() -> Any:
    """timm.layers.cbam without the rest of timm, which needs torchvision for models that nobody builds here."""
    if "timm" not in sys.modules:
        spec = find_spec("timm")
        assert spec is not None, "timm is missing: pip install --no-deps -c constraints.txt timm"
        package = ModuleType("timm")
        package.__path__ = list(spec.submodule_search_locations or ())
        sys.modules["timm"] = package
        for name in ("torchvision", "torchvision.ops", "torchvision.ops.misc"):
            sys.modules[name] = ModuleType(name)
        sys.modules["torchvision.ops.misc"].FrozenBatchNorm2d = nn.BatchNorm2d  # type: ignore[attr-defined]
    from timm.layers import cbam

    return cbam


KNOWN: dict[str, Callable[..., nn.Module]] = {
    "authors": Authors,
    "timm": timm,
    "luuuyi": luuuyi,
    "luuuyi (old)": luuuyi_before,
    "mmyolo": mmyolo,
}


def trained(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module with parameters and running averages as after a training: random ones, in float64."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double()
    for name, x in module.state_dict().items():
        if x.is_floating_point():
            scale = x[0].numel() ** -0.5 if x.ndim > 1 else 0.5
            x.copy_(scale * torch.randn(x.shape, generator=generator, dtype=x.dtype))
            if name.endswith("running_var"):
                x.copy_(x.abs() + 0.3)
    return module
