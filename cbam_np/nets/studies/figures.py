"""Pictures of the studies: every mean with its interval, every seed a dot, maps over the images as they evolve."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cbam_np.nets.checkpoints import put
from cbam_np.nets.pictures import DARK, LIGHT, show
from cbam_np.nets.studies import running, summary
from cbam_np.nets.studies.plan import MISTAKES, SAID, VARIANTS
from cbam_np.nets.studies.statistics import interval
from cbam_np.nets.studies.store import Result

COLOURS = ("#3b82c4", "#d1632a", "#3f9b63")  # legible on both papers


def write_all(results: list[Result], folder: Path) -> list[Path]:
    """Draw what there are results for, each picture on light and on dark paper. Returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for paper, (ground, ink) in (("light", LIGHT), ("dark", DARK)):
        keys = "text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"
        style: dict[Any, Any] = dict.fromkeys(keys, ink) | {
            "figure.facecolor": ground, "axes.facecolor": ground, "font.family": "DejaVu Sans", "axes.titlesize": 10.5,
            "legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False,
        }  # fmt: skip
        with mpl.rc_context(style):
            for name, draw in PICTURES.items():
                figure = draw(results, ink)
                if figure is not None:
                    figure.savefig(image := BytesIO(), format="png", dpi=110)
                    path = folder / f"study_{name}_{paper}.png"
                    put(path, image.getvalue())
                    written.append(path)
    return written


def light(results: list[Result], ink: str) -> Figure | None:
    """Time and memory beside the network without attention."""
    found = {r.run.net: r.found for r in summary.of_study(results, "light")}
    if not found:
        return None
    figure = Figure(figsize=(10, 1.4 + 0.5 * len(found)), layout="constrained")
    titles = {"inference s": "Time, inference", "training s": "Time, training", "training MB": "Memory, training"}
    for ax, (what, title) in zip(figure.subplots(1, 3, sharey=True), titles.items(), strict=True):
        ax.axvline(1, color=ink, linewidth=0.8)
        for k, kind in enumerate(("SE", "CBAM")):
            for y, costs in enumerate(found.values()):
                ratios = np.divide(costs[kind][what], costs["none"][what])
                low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
                label = kind if y == 0 else None
                ax.errorbar(
                    middle, y + 0.24 * (k - 0.5), xerr=[[middle - low], [high - middle]], fmt="o", capsize=3,
                    color=COLOURS[k], label=label,
                )  # fmt: skip
        ax.set(title=title, xlabel="times that without attention", xlim=(0.9, None))
        ax.set_yticks(range(len(found)), list(found))
        ax.set_ylim(len(found) - 0.5, -0.5)
    ax.legend(loc="best")
    return figure


def features(results: list[Result], ink: str) -> Figure | None:
    """Accuracy of every variant: one column a kind of data, one row a length of training."""
    chosen = summary.of_study(results, "features")
    settings = summary.settings(chosen)
    if not settings:
        return None
    places = sorted({(s["data"], s["clutter"]) for s in settings})
    lengths = sorted({s["epochs"] for s in settings})
    names = {
        n: [v for v in VARIANTS if any(v in variants_of(chosen, s) for s in settings if s["epochs"] == n)]
        for n in lengths
    }
    heights = [len(names[n]) for n in lengths]
    figure = Figure(figsize=(2.2 + 1.9 * len(places), 1.4 + sum(0.34 * h + 0.7 for h in heights)), layout="constrained")
    grid = figure.subplots(len(lengths), len(places), squeeze=False, height_ratios=heights)
    for row, length in zip(grid, lengths, strict=True):
        for ax, (data, clutter) in zip(row, places, strict=True):
            what = "Fashion-MNIST" if data == "fashion" else f"clutter {clutter}"
            ax.set_title(f"{what},\n{length} epochs", fontsize=12)
            ax.set_ylim(len(names[length]) - 0.4, -0.6)
            ax.set_yticks(range(len(names[length])), names[length] if ax is row[0] else [], fontsize=12)
            ax.xaxis.set_major_locator(MaxNLocator(3))
            ax.tick_params("x", labelsize=12)
            where = {"data": data, "clutter": clutter, "epochs": length}
            setting = next((s for s in settings if where.items() <= s.items()), None)
            for y, variant in enumerate(names[length]):
                values = list(summary.scores(chosen, variant=variant, **setting).values()) if setting else []
                dots_and_interval(ax, y, [100 * value for value in values], COLOURS[0], ink)
            low, high = ax.get_xlim()
            ax.set_xlim(max(low, 0), min(high, 100))  # the interval of very few seeds reaches beyond
    figure.supxlabel("test accuracy, %; a dot is a seed, the bar their mean with its 95 % interval", fontsize=12)
    return figure


def variants_of(chosen: list[Result], setting: dict[str, Any]) -> list[str]:
    """Those that were trained in a setting."""
    return [variant for variant in VARIANTS if summary.matching(chosen, variant, setting)]


def dots_and_interval(ax: Any, y: float, values: list[float], colour: str, ink: str) -> None:
    """The seeds of one row, and below them their mean with its interval."""
    if not values:
        return
    ax.plot(values, [y - 0.14] * len(values), "o", color=colour, markersize=3.5, alpha=0.8)
    mean = interval(values)
    ax.errorbar(mean.mean, y + 0.14, xerr=0 if np.isnan(mean.half) else mean.half, fmt="|", capsize=3, color=ink)


def looks(results: list[Result], ink: str) -> Figure | None:
    """How far each block looks at the digit, epoch by epoch."""
    chosen = summary.of_study(results, "features")
    variants = [v for v in ("spatial", "CBAM") if any(r.run.variant == v and r.found.get("looks") for r in chosen)]
    if not variants:
        return None
    figure = Figure(figsize=(1.2 + 4.4 * len(variants), 3.4), layout="constrained")
    top = 1.0
    for ax, variant in zip(figure.subplots(1, len(variants), sharey=True, squeeze=False)[0], variants, strict=True):
        setting = next(s for s in summary.settings(chosen) if summary.matching(chosen, variant, s))
        runs = summary.matching(chosen, variant, setting)
        for block, colour in zip(runs[0].found["looks"][0], COLOURS, strict=False):
            curves = np.array([[at[block]["inside"] for at in r.found["looks"]] for r in runs])
            means = [interval(column) for column in curves.T.tolist()]
            middle, half = np.array([m.mean for m in means]), np.nan_to_num([m.half for m in means])
            ax.plot(middle, color=colour, marker="o", markersize=3, label=f"$M_s$ of {block}")
            ax.fill_between(range(len(middle)), middle - half, middle + half, color=colour, alpha=0.2, linewidth=0)
            top = max(top, float(middle.max()))
        cams = [r.found["grad-cam"]["inside"] for r in runs if "grad-cam" in r.found]
        if cams:
            top = max(top, max(cams))
            ax.errorbar(
                setting["epochs"], np.mean(cams), yerr=np.nan_to_num(interval(cams).half), fmt="s", capsize=3,
                color=ink, label="Grad-CAM",
            )  # fmt: skip
        ax.axhline(1, color=ink, linewidth=0.8, linestyle=":")
        ax.set(title=f"{variant}, {len(runs)} seeds, {summary.in_words(setting)}", xlabel="epoch")
        ax.title.set_fontsize(8.5)
    figure.axes[0].set_ylim(0, 1.3 * top)
    figure.axes[0].set_ylabel("share of the map on the digit,\nin units of chance")
    figure.axes[0].legend(fontsize=8, loc="upper left", ncols=2)
    return figure


def maps(results: list[Result], ink: str) -> Figure | None:
    """The spatial maps of one network over four scenes, as they evolve."""
    there = [r for r in summary.of_study(results, "features") if r.run.variant == "CBAM" and r.found.get("maps")]
    shown = sorted((r for r in there if r.run.data == "digits"), key=lambda r: (r.run.epochs, abs(r.run.clutter - 4)))
    if not shown:
        return None
    run, found, _ = shown[0]
    at = running.of(run, "validation", running.LOOKED_AT, running.TEST_SEED)
    epochs, blocks = list(found["maps"]), list(found["maps"]["0"])[:2]
    last = found["maps"][epochs[-1]]
    columns = [(block, epoch) for block in blocks for epoch in epochs]
    figure = Figure(figsize=(1.35 * (len(columns) + 2) + 0.8, 1.3 * running.SHOWN + 0.5), layout="constrained")
    axes = figure.subplots(running.SHOWN, len(columns) + 2)
    H, W = at.images.shape[2:]
    frame: dict[str, Any] = {"extent": (0, W, H, 0)}  # a map is stretched to the size of its scene
    for s, row in enumerate(axes):
        show(row[0], at.images[s, 0], cmap="gray", **frame)
        row[0].set_ylabel(f"a {at.labels[s]}")
        for ax, (block, epoch) in zip(row[1:-1], columns, strict=True):
            heat = show(ax, np.array(found["maps"][epoch][block][s]), cmap="viridis", vmin=0, vmax=1, **frame)
        show(row[-1], at.images[s, 0], cmap="gray", **frame)
        m_s = np.array(last[blocks[0]][s])
        row[-1].imshow(m_s, cmap="viridis", vmin=0, vmax=1, alpha=0.55, interpolation="nearest", **frame)
    titles = [f"$M_s$, {block}\n" + (f"after epoch {e}" if e != "0" else "before training") for block, e in columns]
    for ax, title in zip(axes[0], ["scene", *titles, f"{blocks[0]}\nover the scene"], strict=True):
        ax.set_title(title, fontsize=8.5)
    figure.colorbar(heat, ax=axes[:, -1], shrink=0.6, ticks=[0, 0.5, 1])
    return figure


def everywhere(results: list[Result], ink: str) -> Figure | None:
    """Scores with and without CBAM, one panel a place."""
    chosen = summary.of_study(results, "everywhere")
    places = sorted({(r.run.net, r.run.head) for r in chosen})
    if not places:
        return None
    figure = Figure(figsize=(1 + 3.2 * len(places), 2), layout="constrained")
    for ax, (net, head) in zip(figure.subplots(1, len(places), sharey=True, squeeze=False)[0], places, strict=True):
        for y, variant in enumerate(("none", "CBAM")):
            values = list(summary.scores(chosen, variant=variant, net=net, head=head).values())
            dots_and_interval(ax, y, [100 * value for value in values], COLOURS[0], ink)
        ax.set(title=f"{net}, {head} head", xlabel="accuracy, %" if head == "class" else "mean IoU, %")
        ax.set_yticks([0, 1], ["none", "CBAM"])
        ax.set_ylim(1.6, -0.6)
    return figure


def bugs(results: list[Result], ink: str) -> Figure | None:
    """The loss of each wrong backward beside the right one, and the accuracy that it ends with."""
    chosen = summary.of_study(results, "bugs")
    there = [m for m in ("", *MISTAKES) if any(r.run.mistake == m for r in chosen)]
    if not there:
        return None
    figure = Figure(figsize=(12, 5.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(3, 2), squeeze=False)[0]
    panels = left.subplots(2, 3, sharex=True, sharey=True).ravel()
    for ax, mistake in zip(panels, [m for m in there if m], strict=False):
        for which, colour in (("", ink), (mistake, COLOURS[1])):
            for r in chosen:
                if r.run.mistake == which:
                    epochs = range(1, len(r.found["losses"]) + 1)
                    ax.plot(epochs, np.clip(r.found["losses"], 0, 4), color=colour, linewidth=1, alpha=0.8)
        ended = sum(r.found["diverged"] for r in chosen if r.run.mistake == mistake)
        if ended:
            ax.text(0.5, 0.9, f"{ended} diverged", ha="center", color=COLOURS[1], transform=ax.transAxes)
        ax.set_title(SAID.get(mistake, mistake), fontsize=9)
        ax.set_ylim(0, 4)
    left.supxlabel("epoch", fontsize=9)
    left.supylabel("loss, one line a seed, cut off at 4", fontsize=9)
    ax = right.subplots()
    for y, mistake in enumerate(there):
        values = list(summary.scores(chosen, mistake=mistake).values())
        dots_and_interval(ax, y, [100 * value for value in values], COLOURS[1] if mistake else ink, ink)
    ax.axvline(10, color=ink, linewidth=0.8, linestyle=":")
    ax.set(xlabel="test accuracy, %", title="dotted: guessing", xlim=(0, None))
    ax.set_yticks(range(len(there)), [SAID.get(m, m) or "the right backward" for m in there])
    ax.invert_yaxis()
    return figure


PICTURES: dict[str, Callable[[list[Result], str], Figure | None]] = {
    "light": light,
    "features": features,
    "looks": looks,
    "maps": maps,
    "everywhere": everywhere,
    "bugs": bugs,
}
