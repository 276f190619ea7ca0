"""Under which names, and in which order, trained weights of CBAM come: one row a layout.

A layout says where each parameter of the block is, in which order its convolution sees the two pooled maps, who gets
the gradient where entries tie for a maximum, and ε and momentum of its batch norm. The keys alone don't say the rest.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cbam_np.arrays import Params
from cbam_np.inputs import Ties
from cbam_np.pytorch.weight_files import Content, Entry

NORM = ("weight", "bias", "running_mean", "running_var")  # γ, β, μ and v
REQUIRED = ("w1", "w2", "kernel")


@dataclass(frozen=True)
class Layout:
    """Where the parameters are; each name ends one of the keys of a checkpoint, and what comes before is the block's.

    norm: the batch norm after the convolution, of which NORM are the parameters.
    """

    name: str
    w1: str
    w2: str
    b1: str
    b2: str
    kernel: str
    bias: str
    norm: str
    max_first: bool = False
    ties: Ties = "first"
    eps: float = 1e-5
    momentum: float = 0.1

    def keys(self) -> dict[str, str]:
        """The end of a key for each part of a block."""
        plain = {part: getattr(self, part) for part in ("w1", "w2", "b1", "b2", "kernel", "bias")}
        return plain | {f"norm.{part}": f"{self.norm}.{part}" for part in NORM}


def layout(name: str, first: str, second: str, conv: str, norm: str, **options: Any) -> Layout:
    """A layout of PyTorch's own layers, whose parameters are called weight and bias."""
    layers = [f"{layer}.{part}" for part in ("weight", "bias") for layer in (first, second, conv)]
    w1, w2, kernel, b1, b2, bias = layers
    return Layout(name, w1, w2, b1, b2, kernel, bias, norm, **options)


CBAM_NP = "channel.w1", "channel.w2", "channel.b1", "channel.b2", "spatial.kernel", "spatial.bias", "spatial.bn"
AUTHORS = "ChannelGate.mlp.1", "ChannelGate.mlp.3", "SpatialGate.spatial.conv", "SpatialGate.spatial.bn"
MMYOLO = "channel_attention.fc.0.conv", "channel_attention.fc.1.conv", "spatial_attention.conv.conv"
LAYOUTS = (
    Layout("cbam_np", *CBAM_NP),
    layout("authors", *AUTHORS, max_first=True, momentum=0.01),
    layout("timm", "channel.fc1", "channel.fc2", "spatial.conv.conv", "spatial.conv.bn", ties="split"),
    layout("luuuyi", "ca.fc.0", "ca.fc.2", "sa.conv1", "sa.bn"),
    layout("luuuyi (old)", "ca.fc1", "ca.fc2", "sa.conv1", "sa.bn"),
    layout("mmyolo", *MMYOLO, "spatial_attention.conv.bn"),
)

LIKELY = ("cbam", "attention", "attn", "channelgate", "spatialgate", "channel.", "spatial.", "ca.", "sa.")


class Found(NamedTuple):
    """A block as it is in the checkpoint: its layout, and its arrays by part, in the layout's own shapes and order."""

    layout: Layout
    parts: dict[str, np.ndarray]
    ties: Ties

    def params(self) -> Params:
        """The parameters under our names, in our shapes, and with the kernel's inputs in the order [avg, max]."""
        p = self.parts
        kernel = p["kernel"][:, ::-1] if self.layout.max_first else p["kernel"]
        ours = {"channel.w1": p["w1"].reshape(p["w1"].shape[:2]), "channel.w2": p["w2"].reshape(p["w2"].shape[:2])}
        ours |= {f"channel.{part}": p[part] for part in ("b1", "b2") if part in p}
        ours |= {"spatial.kernel": np.ascontiguousarray(kernel)}
        return ours | ({"spatial.bias": p["bias"]} if "bias" in p else {})

    def norm(self) -> Params:
        """γ, β, μ and v of the batch norm, under PyTorch's names; empty if there is none."""
        return {part: self.parts[f"norm.{part}"] for part in NORM if f"norm.{part}" in self.parts}


def find(content: Content, ties: dict[str, Ties]) -> dict[str, Found]:
    """All blocks of a checkpoint by their prefix. ties: of blocks whose file says so.

    Raises ValueError if there is none, or if a part of one is missing or has a wrong shape, dtype or value.
    """
    named = without_wrapper(content.entries)
    found: dict[str, tuple[Layout, dict[str, str]]] = {}
    for row in LAYOUTS:
        for prefix, keys in blocks_of(row, named).items():
            found.setdefault(prefix, (row, keys))
    if not found:
        raise ValueError(f"source: expected a CBAM in one of the layouts {known()}, got {nearly(named)}")
    for prefix, (row, keys) in found.items():
        missing = [row.keys()[part] for part in needed(keys) if part not in keys]
        if missing:
            raise ValueError(
                f"source: {prefix or 'the block'} looks like the layout {row.name}, by {', '.join(keys.values())}, but "
                f"has no {', '.join(missing)}"
            )
    return {
        prefix: Found(
            row, read(row, {part: (key, named[key]) for part, key in keys.items()}), ties.get(prefix, row.ties)
        )
        for prefix, (row, keys) in found.items()
    }


def without_wrapper(entries: dict[str, Entry]) -> dict[str, Entry]:
    """The entries without the "module." in front that nn.DataParallel leaves."""
    wrapped = all(name.startswith("module.") for name in entries)
    return {name.removeprefix("module.") if wrapped else name: entry for name, entry in entries.items()}


def blocks_of(row: Layout, named: dict[str, Entry]) -> dict[str, dict[str, str]]:
    """The blocks of one layout: for each prefix, the keys by part. At least two of the required parts are there."""
    blocks: dict[str, dict[str, str]] = {}
    for part, end in row.keys().items():
        for key in named:
            if key == end or key.endswith(f".{end}"):
                blocks.setdefault(key[: -len(end)].rstrip("."), {})[part] = key
    return {prefix: keys for prefix, keys in blocks.items() if len(keys.keys() & set(REQUIRED)) >= 2}


def needed(keys: dict[str, str]) -> list[str]:
    """The parts that a block with these needs: the weights, and of a batch norm all."""
    return [*REQUIRED, *(f"norm.{part}" for part in NORM if any(key.startswith("norm.") for key in keys))]


def known() -> str:
    """The names of the layouts."""
    return ", ".join(row.name for row in LAYOUTS)


def nearly(named: dict[str, Entry]) -> str:
    """What there is instead, in words: keys that look like attention, and what each layout would need."""
    like = [key for key in named if any(word in f".{key.lower()}" for word in LIKELY)]
    if not like:
        return f"{len(named)} keys, and none that looks like attention"
    shown = ", ".join(like[:8]) + (f" and {len(like) - 8} more" if len(like) > 8 else "")
    wanted = "; ".join(f"{row.name}: {row.w1}, {row.w2}, {row.kernel}" for row in LAYOUTS)
    return f"keys that look like one, {shown}, but none of the sets that a layout needs ({wanted})"


def read(row: Layout, entries: dict[str, tuple[str, Entry]]) -> dict[str, np.ndarray]:
    """The arrays by part, with one dtype. Shapes are compared before anything is read."""
    check_shapes({part: (key, entry.shape) for part, (key, entry) in entries.items()})
    arrays = {part: entry.read() for part, (_, entry) in entries.items()}
    variance = arrays.get("norm.running_var")
    if variance is not None and (variance < 0).any():
        raise ValueError(f"{entries['norm.running_var'][0]}: expected a variance, got {variance.min():.3g}")
    dtype = np.result_type(*arrays.values())
    return {part: x.astype(dtype, copy=False) for part, x in arrays.items()}


def check_shapes(shapes: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    """Raise ValueError unless the parts fit each other. A 1×1 convolution has two more axes than a linear layer."""
    key, w1 = shapes["w1"]
    if w1[2:] not in ((), (1, 1)) or len(w1) < 2 or w1[1] == 0:
        raise ValueError(f"{key}: expected (C/r, C), or (C/r, C, 1, 1), got {w1}")
    hidden, C = w1[:2]
    expected = {"w2": (C, hidden, *w1[2:]), "b1": (hidden,), "b2": (C,), "bias": (1,)}
    expected |= {f"norm.{part}": (1,) for part in NORM}
    for part, shape in expected.items():
        if part in shapes and shapes[part][1] != shape:
            raise ValueError(f"{shapes[part][0]}: expected {shape}, as {key} has {w1}, got {shapes[part][1]}")
    key, kernel = shapes["kernel"]
    if kernel == (1, 1, *kernel[2:]):
        raise ValueError(
            f"{key}: expected two pooled maps, got one: this is timm's light variant, or another attention"
        )
    if len(kernel) != 4 or kernel[:2] != (1, 2) or kernel[2] != kernel[3] or kernel[2] % 2 == 0:
        raise ValueError(f"{key}: expected (1, 2, k, k) with odd k, got {kernel}")
