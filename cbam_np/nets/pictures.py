"""What a training has learned, as a picture: its curve, and where the network looks, from the first epoch to the last.

Needs the extra "train".
"""

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from cbam_np.arrays import Params, to_numpy
from cbam_np.nets.network import Network
from cbam_np.nets.training import on_arrays_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LIGHT, DARK = ("#ffffff", "#1f2328"), ("#0d1117", "#e6edf3")  # paper and ink
LINE = "#3b82c4"  # legible on both
FRAMES, SECONDS, LAST = 24, 0.35, 3.0  # of an animation: how many after the first, how long each, how long the last
TILE, GAP, SHADES = 72, 6, 24  # pixels of a map in it, and between two; shades of a map: fewer make a smaller file


def spatial_maps(net: Network, images: np.ndarray) -> Params:
    """M_s of every block that has one, with the network in evaluation.

    Parameters
    ----------
    net : Network
    images : floats (N, C, H, W)

    Returns
    -------
    maps : dict of floats (N, H, W)
    """
    training, net.training = net.training, False
    with np.errstate(over="ignore", invalid="ignore"):  # a training that comes to grief says so itself
        net(on_arrays_of(net, images, np.zeros(len(images), np.int64))[0])
    net.training = training
    return {block: to_numpy(maps["spatial"])[:, 0] for block, maps in net.maps.items() if "spatial" in maps}


def epochs_to_show(epochs: int) -> list[int]:
    """Before the first one, after it, in the middle, after the last; each once."""
    return sorted({0, min(1, epochs), epochs // 2, epochs})


def steps_to_look(epochs: int, steps: int) -> list[int]:
    """After which steps the maps are kept: none yet, the last of each epoch, and some between; each once.

    steps: of an epoch.
    """
    total = epochs * steps
    return sorted({*range(0, total + 1, steps), *(round(total * k / FRAMES) for k in range(FRAMES + 1))})


def draw(
    scenes: np.ndarray, names: list[str], maps: Params, records: list[dict[str, Any]], dark: bool = False
) -> "Figure":
    """The curve; below it a row for each scene: M_s of the middle block as it learns, and of all blocks in the end.

    Parameters
    ----------
    scenes : floats (S, 1, H, W)
    names : list of str
        What is to be seen in each.
    maps : dict of floats (epochs + 1, S, h, w)
        For each block, the first of them before training; {} if no block has any.
    records : list of dicts
        Of `train`, all steps so far.
    dark : bool
        Light lines on a dark page.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    paper, ink = DARK if dark else LIGHT
    style: dict[Any, Any] = dict.fromkeys(
        ["text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"], ink
    )
    style |= {"figure.facecolor": paper, "axes.facecolor": paper, "font.family": "DejaVu Sans", "axes.titlesize": 10.5}
    rows = len(scenes) if maps else 0
    with mpl.rc_context(style):
        layout = ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.05)
        figure = Figure(figsize=(12, 2.8 + 1.5 * rows), dpi=110, layout=layout)
        if not maps:
            draw_curve(figure.subplots(1, 2), records)
            return figure
        top, bottom = figure.subfigures(2, 1, height_ratios=(2.8, 1.5 * rows), squeeze=False)[:, 0]
        draw_curve(top.subplots(1, 2), records)
        draw_maps(bottom, scenes, names, maps)
    return figure


def draw_curve(axes: Any, records: list[dict[str, Any]]) -> None:
    """The loss of every step, and the accuracy after every epoch."""
    loss, accuracy = axes
    loss.plot([r["step"] for r in records], [r["loss"] for r in records], color=LINE, linewidth=0.8)
    loss.set(title="Loss of each batch", xlabel="step", ylim=(0, None))
    ends = [r for r in records if "accuracy" in r]
    accuracy.plot([r["epoch"] for r in ends], [100 * r["accuracy"] for r in ends], color=LINE, marker="o")
    accuracy.set(title="Accuracy on pictures that are not trained on, %", xlabel="epoch", ylim=(0, 100))
    accuracy.xaxis.get_major_locator().set_params(integer=True)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)


def draw_maps(figure: Any, scenes: np.ndarray, names: list[str], maps: Params) -> None:
    """The rows: scene, middle block before training, after some epochs, over the scene; then the other blocks."""
    middle = list(maps)[len(maps) // 2]
    last = len(maps[middle]) - 1
    columns = [(middle, epoch) for epoch in epochs_to_show(last)]
    others = [(block, last) for block in maps if block != middle]
    axes = figure.subplots(len(scenes), len(columns) + 2 + len(others), squeeze=False)
    H, W = scenes.shape[2:]
    for s, row in enumerate(axes):
        scene, *gates, over = row[: len(columns) + 2]
        frame: dict[str, Any] = {"extent": (0, W, H, 0)}  # a map is stretched to the size of its scene
        show(scene, scenes[s, 0], cmap="gray", **frame)
        scene.set_ylabel(names[s])
        for ax, (block, epoch) in zip([*gates, *row[len(columns) + 2 :]], columns + others, strict=True):
            heat = show(ax, maps[block][epoch, s], cmap="viridis", vmin=0, vmax=1, **frame)
        m_s = maps[middle][last, s]
        gated = np.kron(m_s, np.ones((H // m_s.shape[0], W // m_s.shape[1]))) * scenes[s, 0]
        show(over, gated, cmap="gray", vmin=scenes[s].min(), vmax=scenes[s].max(), **frame)
    titles = [f"$M_s$ of {middle}\n" + (f"after epoch {epoch}" if epoch else "before training") for _, epoch in columns]
    titles += ["scene times\nthe last of these", *(f"$M_s$ of {block}\nafter epoch {epoch}" for block, epoch in others)]
    for ax, title in zip(axes[0], ["scene", *titles], strict=True):
        ax.set_title(title)
    figure.colorbar(heat, ax=axes[:, -1], shrink=0.6, ticks=[0, 0.5, 1])


def animate(scenes: np.ndarray, names: list[str], maps: Params, steps: list[int], dark: bool = False) -> bytes:
    """The maps as they evolve, an animated GIF: a column for each scene, and below it M_s of each block.

    scenes, names: as for `draw`. maps: (len(steps), S, h, w) for each block, those after each of the steps.
    """
    from matplotlib import colormaps
    from matplotlib.font_manager import findfont
    from PIL import Image, ImageDraw, ImageFont

    paper, ink = DARK if dark else LIGHT
    font = ImageFont.truetype(findfont("DejaVu Sans"), 13)
    margin, top = 80, 44
    grey, colours = colormaps["gray"].resampled(SHADES), colormaps["viridis"].resampled(SHADES)
    rows = {"scene": [grey((scenes[:, 0] - scenes.min()) / max(np.ptp(scenes), 1e-12))] * len(steps)}
    rows |= {f"gates of\n{block}": [colours(m_s) for m_s in by_step] for block, by_step in maps.items()}

    def frame(t: int) -> Any:
        size = margin + len(scenes) * (TILE + GAP), top + len(rows) * (TILE + GAP)
        canvas = Image.new("RGB", size, paper)
        pen = ImageDraw.Draw(canvas)
        pen.text((4, 3), f"after {steps[t]} steps" if steps[t] else "before training", ink, font)
        pen.text((margin + 2 * (TILE + GAP), 3), "gates: dark 0, yellow 1", ink, font)
        for s, name in enumerate(names):
            pen.text((margin + s * (TILE + GAP), 22), name, ink, font)
        for r, (name, tiles) in enumerate(rows.items()):
            y = top + r * (TILE + GAP)
            pen.multiline_text((4, y + TILE // 3), name, ink, font)
            for s, rgba in enumerate(tiles[t]):
                tile = Image.fromarray((255 * rgba[..., :3]).astype(np.uint8)).resize((TILE, TILE), 0)  # as they are
                canvas.paste(tile, (margin + s * (TILE + GAP), y))
        return canvas.quantize(128)  # a GIF has a palette

    first, *others = map(frame, range(len(steps)))
    durations = [1000 * SECONDS] * len(others) + [1000 * LAST]
    first.save(out := BytesIO(), "GIF", save_all=True, append_images=others, duration=durations, loop=0)
    return out.getvalue()


def show(ax: "Axes", image: np.ndarray, **options: Any) -> Any:
    """An image without ticks, pixels as they are."""
    ax.set(xticks=[], yticks=[])
    return ax.imshow(image, interpolation="nearest", **options)
