"""`cbam-np inspect FILE`: which CBAM blocks a checkpoint has, and what they have learned. Needs the extra "inspect"."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from cbam_np import ops
from cbam_np.arrays import Params
from cbam_np.attention.block import CBAM
from cbam_np.commands import terminal
from cbam_np.commands.files import RESULTS, output_file
from cbam_np.commands.whole_numbers import add_seed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cbam_np.pytorch.layouts import Found

FORMATS = (".png", ".svg", ".pdf", ".jpg", ".webp")
SAMPLES, SIZE = 16, 14  # of the random features
ROWS = 6  # blocks in the picture; --block picks others
SHUT, OPEN = 0.01, 0.99  # a gate below or above is saturated
ASLEEP = 1e-3  # |γ| below which batch norm lets nothing of the convolution through
UNUSED = 0.01  # the size of one half of the kernel, relative to the other, below which it does nothing
SYMMETRIC = 0.1  # the size of a kernel minus its mirror image, relative to the kernel
MANY = 0.5  # a share of dead units, or of saturated gates, that is worth a warning
IDLE = 0.01  # the distance from ½ below which gates do nothing but halve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    path = RESULTS / "inspect.png"
    parser.add_argument("file", type=Path, help="a checkpoint: .safetensors, .npz, or .pt, .pth, ... of PyTorch")
    parser.add_argument("--block", default="", help="only blocks whose name begins like this, such as layer4")
    parser.add_argument("--image", type=Path, help="a photograph, whose features go through the blocks")
    parser.add_argument("--output", type=Path, default=path, help="file for the picture (default %(default)s)")
    parser.add_argument("--dark", action="store_true", help="draw the picture on a dark background")
    add_seed(parser, "the random features, and of the filters for --image")


@dataclass(frozen=True)
class Seen:
    """What a block does to some features. distance: of M_c and M_s from ½, on average; saturated: share of the gates.

    dead: hidden units that stay shut for all features. m_s: the map of the first sample, (H, W); m_c: (C,).
    """

    distance: tuple[float, float]
    saturated: float
    dead: int
    m_c: np.ndarray
    m_s: np.ndarray


def run(console: Console, file: Path, block: str, image: Path | None, output: Path, dark: bool, seed: int) -> bool:
    """Print a table of the blocks in `file` and what is remarkable about them, and write a picture of their weights.

    Returns True: a block that is worth a warning is no failure. Raises ValueError or OSError if a file can't be read.
    """
    from cbam_np.pytorch.weights import block_of, find_blocks

    if output.suffix.lower() not in FORMATS:
        raise ValueError(f"--output: expected a name that ends in {', '.join(FORMATS)}, got {output}")
    photo = None if image is None else photograph(image)
    with output_file(output) as target:
        found = {prefix: x for prefix, x in find_blocks(file).items() if prefix.startswith(block)}
        if not found:
            raise ValueError(f"--block: expected the beginning of a block's name in {file}, got {block}")
        seen: dict[str, Seen] = {}
        for prefix, x in found.items():
            if hidden_units(x):
                seen[prefix] = looked_at(block_of(prefix, x), features(x.parts["w1"].shape[1], photo, seed))
        console.print(f"{escape(str(file))}: {len(found)} CBAM block(s)", highlight=False, soft_wrap=True)
        show_table(console, found, seen, "the photograph" if photo is not None else "random features")
        show_warnings(console, found, seen)
        draw(found, seen, photo, dark).savefig(target)
    console.print(f"The picture: {output.resolve()}", markup=False, highlight=False, soft_wrap=True)
    return True


# --- features -------------------------------------------------------------------------------------------------------


def photograph(path: Path) -> np.ndarray:
    """A colour image (H, W, 3) in [0, 1], of at most about 200 pixels a side. Raises ValueError if it can't be read."""
    from matplotlib.image import imread

    if not path.is_file():
        raise ValueError(f"--image: expected a file, got {path}")
    try:
        pixels = np.asarray(imread(path), dtype=np.float64)
    except Exception as error:  # whatever the readers of pictures raise
        raise ValueError(f"--image: {path} can't be read: {error}") from None
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or min(pixels.shape[:2]) < 8:
        raise ValueError(f"--image: expected a picture of 8×8 pixels or more, got {pixels.shape}")
    step = -(-max(pixels.shape[:2]) // 200)
    pixels = pixels[::step, ::step, :3]
    return pixels / 255 if pixels.max() > 1 else pixels


def features(channels: int, photo: np.ndarray | None, seed: int) -> np.ndarray:
    """F for a block of so many channels: random and behind a ReLU; or random 5×5 filters of a photograph, likewise.

    The block's own network is not at hand, so these are not the features that it was trained on.
    """
    rng = np.random.default_rng(seed)
    if photo is None:
        f = rng.normal(size=(SAMPLES, channels, SIZE, SIZE)) + rng.normal(size=(SAMPLES, channels, 1, 1)) / 2
    else:
        kernel = rng.normal(size=(channels, 3, 5, 5))
        kernel -= kernel.mean(axis=(2, 3), keepdims=True)
        f, _ = ops.conv2d((photo - photo.mean(axis=(0, 1))).transpose(2, 0, 1)[None], kernel)
        f /= f.std(axis=(0, 2, 3), keepdims=True) + 1e-12
    return np.maximum(f, 0.0)


def looked_at(block: CBAM, f: np.ndarray) -> Seen:
    """What the block does to f (N, C, H, W)."""
    block.params = {name: x.astype(np.float64) for name, x in block.params.items()}
    block(f)
    m_c, m_s = block.maps["channel"], block.maps["spatial"]
    gates = np.concatenate([m_c.ravel(), m_s.ravel()])
    saturated = float(np.mean((gates < SHUT) | (gates > OPEN)))
    distance = float(np.abs(m_c - 0.5).mean()), float(np.abs(m_s - 0.5).mean())
    return Seen(distance, saturated, dead_units(block.params, f), m_c[0, :, 0, 0], m_s[0, 0])


def dead_units(params: Params, f: np.ndarray) -> int:
    """How many hidden units stay at 0 for the average and the maximum of every sample."""
    pooled = np.concatenate([f.mean(axis=(2, 3)), f.max(axis=(2, 3))])
    h = pooled @ params["channel.w1"].T + params.get("channel.b1", 0.0)
    return int(np.sum((h <= 0).all(axis=0)))


# --- in words -------------------------------------------------------------------------------------------------------


def hidden_units(found: "Found") -> int:
    """The size of the hidden layer."""
    return int(found.parts["w1"].shape[0])


def show_table(console: Console, found: dict[str, "Found"], seen: dict[str, Seen], on: str) -> None:
    """One row a block."""
    table = terminal.new_table(console, f"Blocks, and their gates on {on}")
    for head in ("block", "layout", "C", "C/r", "k", "dtype", "|M_c-½|", "|M_s-½|", "dead", "saturated"):
        left = head in ("block", "layout", "dtype")
        table.add_column(head, justify="left" if left else "right", no_wrap=True)
    for prefix, x in found.items():
        hidden, C = x.parts["w1"].shape[:2]
        row = [escape(prefix or "(root)"), x.layout.name, str(C), str(hidden), str(x.parts["kernel"].shape[-1])]
        row.append(str(x.parts["w1"].dtype))
        if prefix in seen:
            s = seen[prefix]
            row += [f"{s.distance[0]:.3f}", f"{s.distance[1]:.3f}", f"{s.dead}/{hidden}", f"{s.saturated:.0%}"]
        table.add_row(*row)
    terminal.show(console, table)
    console.print(
        "|M-½|: how far the gates are from ½; dead: hidden units that stay shut; saturated: gates near 0 or 1"
    )


def show_warnings(console: Console, found: dict[str, "Found"], seen: dict[str, Seen]) -> None:
    """What is remarkable, a line each."""
    lines = [(prefix or "(root)", line) for prefix, x in found.items() for line in warnings_of(x, seen.get(prefix))]
    for prefix, line in lines:
        console.print(f"[yellow]{escape(prefix)}[/]: {escape(line)}", highlight=False, soft_wrap=True)
    if not lines:
        console.print("Nothing about them is out of the ordinary.", highlight=False)


def warnings_of(found: "Found", seen: Seen | None) -> Iterator[str]:
    """What is remarkable about one block, in plain words."""
    hidden, C = found.parts["w1"].shape[:2]
    if hidden == 0:
        yield f"hidden size 0: {C} channels are fewer than r, so the channel gate is the same for every input"
    norm, kernel = found.norm(), found.params()["spatial.kernel"].astype(np.float64)[0]
    if norm and abs(float(norm["weight"][0])) < ASLEEP:
        yield f"γ = {float(norm['weight'][0]):.2g}: the spatial gate is still asleep, the same number at every pixel"
    sizes = np.linalg.norm(kernel, axis=(1, 2))
    for name, size, other in (("average", sizes[0], sizes[1]), ("maximum", sizes[1], sizes[0])):
        if size <= UNUSED * other:
            halves = f"its half of the kernel is {size:.1e} in size, the other {other:.1e}"
            yield f"the spatial gate hardly sees the {name}: {halves}"
    for what, mirrored in (("left and right", kernel[:, :, ::-1]), ("above and below", kernel[:, ::-1])):
        difference = np.linalg.norm(kernel - mirrored) / (np.linalg.norm(kernel) + 1e-30)
        if difference < SYMMETRIC and kernel.shape[-1] > 1:
            yield f"the kernel is nearly symmetric: it treats {what} alike (they differ by {difference:.1%})"
    if seen is None:
        return
    if seen.dead > MANY * hidden:
        yield f"{seen.dead} of {hidden} hidden units stay shut for all of these features"
    if seen.saturated > MANY:
        yield f"{seen.saturated:.0%} of the gates are below {SHUT} or above {OPEN}: hardly any gradient passes them"
    for name, distance in zip(("channel", "spatial"), seen.distance, strict=True):
        if distance < IDLE:
            yield f"the {name} gates stay near ½ (by {distance:.4f} on average): they halve, and choose nothing"


# --- the picture ----------------------------------------------------------------------------------------------------


def draw(found: dict[str, "Found"], seen: dict[str, Seen], photo: np.ndarray | None, dark: bool) -> "Figure":
    """A row for each block: both halves of the kernel, W2 W1, M_c in order of size, and M_s."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    shown = dict(list(found.items())[:ROWS])
    paper, ink = ("#0d1117", "#e6edf3") if dark else ("#ffffff", "#1f2328")
    inked = "text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"
    style: dict[Any, Any] = dict.fromkeys(inked, ink)
    style |= {"figure.facecolor": paper, "axes.facecolor": paper, "font.family": "DejaVu Sans", "axes.titlesize": 9.5}
    columns = 5 if photo is None else 6
    with mpl.rc_context(style):
        figure = Figure(figsize=(2.3 * columns, 2.5 * len(shown) + 0.3), dpi=125, layout="constrained")
        grid = figure.subplots(len(shown), columns, squeeze=False)
        for axes, (prefix, x) in zip(grid, shown.items(), strict=True):
            params = x.params()
            kernel = params["spatial.kernel"][0].astype(np.float64)
            weights = params["channel.w2"].astype(np.float64) @ params["channel.w1"].astype(np.float64)
            for ax, name, values in zip(
                axes, ("kernel on the average", "kernel on the maximum", "$W_2 W_1$"), (*kernel, weights), strict=False
            ):
                limit = np.abs(kernel if "kernel" in name else weights).max() or 1.0
                heat = ax.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
                ax.set(title=name, xticks=[], yticks=[])
                figure.colorbar(heat, ax=ax, shrink=0.75, ticks=[-limit, 0, limit], format="%.2g")
            axes[0].set_ylabel(prefix or "(root)")
            draw_gates(axes[3:], seen.get(prefix), photo)
        if len(found) > ROWS:
            figure.suptitle(f"The first {ROWS} of {len(found)} blocks; --block picks others", fontsize=10)
    return figure


def draw_gates(axes: Any, seen: Seen | None, photo: np.ndarray | None) -> None:
    """M_c in order of size, M_s, and M_s over the photograph."""
    if seen is None:
        for ax in axes:
            ax.set_axis_off()
        return
    first = axes[0]
    first.plot(np.sort(seen.m_c)[::-1], color="#d4880f", linewidth=1.5)
    first.set(title="$M_c$, in order of size", ylim=(0, 1), yticks=[0, 0.5, 1], xlabel="channels")
    first.spines[["top", "right"]].set_visible(False)
    heat = axes[1].imshow(seen.m_s, vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
    axes[1].figure.colorbar(heat, ax=axes[1], shrink=0.75, ticks=[0, 0.5, 1])
    axes[1].set(title="$M_s$", xticks=[], yticks=[])
    if photo is not None:
        axes[2].imshow(photo * seen.m_s[:, :, None], interpolation="nearest")
        axes[2].set(title="$M_s$ over the photograph", xticks=[], yticks=[])
