"""VGG: nothing but 3×3 convolutions and poolings, then three linear layers."""

from functools import partial
from typing import Any

from cbam_np import ops
from cbam_np.inputs import check_integer
from cbam_np.nets.attention import Attention
from cbam_np.nets.heads import head_layers
from cbam_np.nets.layers import BatchNorm, Chain, Conv, Layer, Linear, Plain, flatten
from cbam_np.nets.network import Network
from cbam_np.nets.on_numpy import relu

PLANS = {11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3)}  # convolutions in each stage


def vgg(
    depth: int,
    attention: str = "none",
    classes: int = 1000,
    channels: int = 3,
    width: int = 64,
    head: str = "class",
    size: int = 224,
    hidden: int = 4096,
    batch_norm: bool = False,
    seed: int = 0,
    dtype: Any = "float32",
    **options: Any,
) -> Network:
    """A VGG network. Attention sits at the end of every stage, after its last ReLU and before the pooling.

    There is no dropout. Parameters have PyTorch's names and shapes ("features.0.weight", "classifier.0.weight"); those
    of attention come after the name of their stage, "stage1.cbam.channel.w1". Biases start from 0.
    Raises ValueError for what is no such network.
    Source: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015.

    Parameters
    ----------
    depth : int
        11 or 16.
    attention : str
        See `cbam_np.nets.attention.Attention`.
    classes : int
    channels : int
        Of the images.
    width : int
        Channels of the first stage; the second has twice as many, the third four, the others eight times.
    head : str
        "class" are VGG's three linear layers; for others see `cbam_np.nets.heads.head_layers`.
    size : int
        H = W of the images, a multiple of 32: five stages, each of which ends in a 2×2 max pool.
    hidden : int
        Of the two linear layers before the last.
    batch_norm : bool
        Whether each convolution is followed by one.
    seed : int
        As in `resnet`.
    dtype : "float32" or "float64"
    **options : as in `cbam_np.nets.attention.Attention`

    Returns
    -------
    net : Network
    """
    if depth not in PLANS:
        raise ValueError(f"depth: expected one of {', '.join(map(str, PLANS))}, got {depth!r}")
    for name, value in (("classes", classes), ("channels", channels), ("width", width), ("hidden", hidden)):
        check_integer(name, value, least=1)
    check_integer("size", size, least=32)
    if size % 32:
        raise ValueError(f"size: expected a multiple of 32, as five poolings halve it, got {size}")
    chosen = Attention(attention, **options)

    layers: list[Layer] = []
    C = channels
    place = 0  # PyTorch numbers convolutions, batch norms, ReLUs and poolings in one row
    for stage, convolutions in enumerate(PLANS[depth]):
        out = width * min(2**stage, 8)
        for _ in range(convolutions):
            layers.append(Conv(f"features.{place}", C, out, 3, bias=True))
            if batch_norm:
                layers.append(BatchNorm(f"features.{place + 1}", out))
            layers.append(Plain(relu))
            place += 3 if batch_norm else 2
            C = out
        layers += chosen.layers(f"stage{stage + 1}", C)
        layers.append(Plain(partial(ops.max_pool2d, k=2, stride=2)))
        place += 1
    if head == "class":
        layers.append(Plain(flatten))
        layers += [Linear("classifier.0", C * (size // 32) ** 2, hidden), Plain(relu)]
        layers += [Linear("classifier.3", hidden, hidden), Plain(relu), Linear("classifier.6", hidden, classes)]
    else:
        layers += head_layers(head, C, classes)
    what = f"vgg({depth}, attention={attention!r}, width={width}, head={head!r})"
    return Network(Chain(tuple(layers)), what, channels, size, seed, dtype)
