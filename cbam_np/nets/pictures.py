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


def draw(scenes: np.ndarray, maps: np.ndarray | None, records: list[dict[str, Any]], dark: bool = False) -> "Figure":
    """The curve on top; below, one row a scene: the scene, M_s after some epochs, and the last M_s over the scene.

    scenes: (S, 1, H, W). maps: (epochs + 1, S, h, w), the first of them before training; None if there are none.
    records: of `train`, all steps so far.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    paper, ink = DARK if dark else LIGHT
    style: dict[Any, Any] = dict.fromkeys(
        ["text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"], ink
    )
    style |= {"figure.facecolor": paper, "axes.facecolor": paper, "font.family": "DejaVu Sans", "axes.titlesize": 11}
    rows = 0 if maps is None else len(scenes)
    with mpl.rc_context(style):
        layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06)
        figure = Figure(figsize=(10, 2.8 + 1.75 * rows), dpi=125, layout=layout)
        if maps is None:
            draw_curve(figure.subplots(1, 2), records)
            return figure
        top, bottom = figure.subfigures(2, 1, height_ratios=(2.8, 1.75 * rows), squeeze=False)[:, 0]
        draw_curve(top.subplots(1, 2), records)
        draw_maps(bottom.subplots(rows, 2 + len(epochs_to_show(len(maps) - 1)), squeeze=False), scenes, maps)
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


def draw_maps(axes: Any, scenes: np.ndarray, maps: np.ndarray) -> None:
    """One row of `axes` for each scene."""
    shown = epochs_to_show(len(maps) - 1)
    H, W = scenes.shape[2:]
    frame = {"extent": (0, W, H, 0)}  # a map is stretched to the size of its scene
    for s, row in enumerate(axes):
        scene, *columns, over = row
        show(scene, scenes[s, 0], cmap="gray", **frame)
        for ax, epoch in zip(columns, shown, strict=True):
            heat = show(ax, maps[epoch, s], cmap="viridis", vmin=0, vmax=1, **frame)
        gated = scenes[s, 0] * np.kron(maps[-1, s], np.ones((H // maps.shape[2], W // maps.shape[3])))
        show(over, gated, cmap="gray", vmin=0, vmax=scenes[s, 0].max(), **frame)
        over.figure.colorbar(heat, cax=over.inset_axes((1.06, 0, 0.05, 1)), ticks=[0, 0.5, 1])
    axes[0, 0].set_title("Scene")
    for ax, epoch in zip(axes[0, 1:-1], shown, strict=True):
        ax.set_title(f"$M_s$ after epoch {epoch}" if epoch else "$M_s$ before training")
    axes[0, -1].set_title("$M_s$ ⊗ scene")


def show(ax: "Axes", image: np.ndarray, **options: Any) -> Any:
    """An image without ticks, pixels as they are."""
    ax.set(xticks=[], yticks=[])
    return ax.imshow(image, interpolation="nearest", **options)
