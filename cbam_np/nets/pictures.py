"""What a training has learned, as a picture: its curve, and where the network looks, from the first epoch to the last.

Needs the extra "train".
"""

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


def spatial_maps(net: Network, images: np.ndarray) -> Params:
    """M_s (N, H, W) of every block that has one, for images (N, C, H, W), with the network in evaluation."""
    training, net.training = net.training, False
    net(on_arrays_of(net, images, np.zeros(len(images), np.int64))[0])
    net.training = training
    return {block: to_numpy(maps["spatial"])[:, 0] for block, maps in net.maps.items() if "spatial" in maps}


def epochs_to_show(epochs: int) -> list[int]:
    """Before the first one, after it, in the middle, after the last; each once."""
    return sorted({0, min(1, epochs), epochs // 2, epochs})


def draw(
    scenes: np.ndarray, names: list[str], maps: Params, records: list[dict[str, Any]], dark: bool = False
) -> "Figure":
    """The curve; below it a row for each scene: M_s of the middle block as it learns, and of all blocks in the end.

    scenes: (S, 1, H, W), names: what is to be seen in each. records: of `train`, all steps so far.
    maps: (epochs + 1, S, h, w) for each block, the first of them before training; {} if no block has any.
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


def show(ax: "Axes", image: np.ndarray, **options: Any) -> Any:
    """An image without ticks, pixels as they are."""
    ax.set(xticks=[], yticks=[])
    return ax.imshow(image, interpolation="nearest", **options)
