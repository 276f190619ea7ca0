"""Residual networks, from 8 to 101 layers."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from cbam_np import ops
from cbam_np.inputs import check_integer
from cbam_np.nets.attention import Attention
from cbam_np.nets.heads import head_layers
from cbam_np.nets.layers import BatchNorm, Chain, Conv, Layer, Plain, Residual
from cbam_np.nets.network import Network
from cbam_np.nets.on_numpy import relu


@dataclass(frozen=True)
class Plan:
    """blocks: how many in each stage. expansion: 4 for bottlenecks, else 1. imagenet: which stem, which width."""

    blocks: tuple[int, ...]
    expansion: int = 1
    imagenet: bool = True


PLANS = {
    8: Plan((1, 1, 1), imagenet=False),
    14: Plan((2, 2, 2), imagenet=False),
    18: Plan((2, 2, 2, 2)),
    34: Plan((3, 4, 6, 3)),
    50: Plan((3, 4, 6, 3), expansion=4),
    101: Plan((3, 4, 23, 3), expansion=4),
}


def resnet(
    depth: int,
    attention: str = "none",
    classes: int = 1000,
    channels: int = 3,
    width: int | None = None,
    head: str = "class",
    seed: int = 0,
    dtype: Any = "float32",
    **options: Any,
) -> Network:
    """A residual network. Attention sits in every block, after the last batch norm and before the addition.

        out = ReLU(attention(BN(conv(... x))) + shortcut(x))

    Parameters have PyTorch's names and shapes ("layer1.0.conv1.weight"); those of attention come after the name of
    their block: "layer1.0.cbam.channel.w1", "layer1.0.se.channel.w1". Convolutions start from
    `cbam_np.nets.layers.he`, batch norm from γ = 1 and β = 0, the head from `cbam_np.nets.layers.uniform`.
    Raises ValueError for what is no such network.
    Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016.

    Parameters
    ----------
    depth : int
        18, 34, 50 or 101 for large images: a 7×7 convolution and a max pool of stride 2 each, then four stages; 8 or 14
        for images of 28×28 to 64×64: one 3×3 convolution, then three stages. Each stage after the first halves H and W
        and doubles the channels. From 50 on a block is a bottleneck of 1×1, 3×3 (with the stride) and 1×1.
    attention : str
        See `cbam_np.nets.attention.Attention`.
    classes : int
    channels : int
        Of the images.
    width : int, optional
        Channels of the first stage; None means 64, or 16 for the small ones.
    head : str
        See `cbam_np.nets.heads.head_layers`.
    seed : int
        Of the initial weights, drawn on the host, for each parameter from its name. Two networks of one seed start with
        the same numbers wherever they have the same parameter, with attention or without.
    dtype : "float32" or "float64"
    **options : as in `cbam_np.nets.attention.Attention`

    Returns
    -------
    net : Network
    """
    if depth not in PLANS:
        raise ValueError(f"depth: expected one of {', '.join(map(str, PLANS))}, got {depth!r}")
    plan = PLANS[depth]
    width = (64 if plan.imagenet else 16) if width is None else width
    for name, value in (("classes", classes), ("channels", channels), ("width", width)):
        check_integer(name, value, least=1)
    chosen = Attention(attention, **options)

    k, stride = (7, 2) if plan.imagenet else (3, 1)
    layers: list[Layer] = [Conv("conv1", channels, width, k, stride), BatchNorm("bn1", width), Plain(relu)]
    if plan.imagenet:
        layers.append(Plain(partial(ops.max_pool2d, k=3, stride=2, padding=1)))
    C = width
    for stage, blocks in enumerate(plan.blocks):
        for i in range(blocks):
            name, inner = f"layer{stage + 1}.{i}", width * 2**stage
            stride = 2 if stage > 0 and i == 0 else 1
            layers.append(_block(name, C, inner, stride, plan.expansion, chosen))
            C = inner * plan.expansion
    layers += head_layers(head, C, classes)
    what = f"resnet({depth}, attention={attention!r}, width={width}, head={head!r})"
    return Network(Chain(tuple(layers)), what, channels, None, seed, dtype)


def _block(name: str, C: int, inner: int, stride: int, expansion: int, attention: Attention) -> Residual:
    """Two 3×3 convolutions; or, with expansion, 1×1, 3×3 and 1×1."""
    out = inner * expansion
    sizes = [(C, inner, 3, stride), (inner, out, 3, 1)]  # channels in and out, k, stride
    if expansion > 1:
        sizes = [(C, inner, 1, 1), (inner, inner, 3, stride), (inner, out, 1, 1)]
    branch: list[Layer] = []
    for i, size in enumerate(sizes, start=1):
        branch += [Conv(f"{name}.conv{i}", *size), BatchNorm(f"{name}.bn{i}", size[1]), Plain(relu)]
    branch[-1:] = attention.layers(name, out)  # in place of the last ReLU, which comes after the addition
    shortcut: tuple[Layer, ...] = ()
    if stride > 1 or out != C:
        shortcut = (Conv(f"{name}.downsample.0", C, out, 1, stride), BatchNorm(f"{name}.downsample.1", out))
    return Residual(Chain(tuple(branch)), Chain(shortcut))
