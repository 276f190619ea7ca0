"""The two pictures of `cbam-np bench`, each for a light and for a dark page."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cbam_np.commands.timing import PASSES

COLOURS = {
    "cbam_np": "#8a8a8a",
    "cbam_np, fused": "#d1495b",
    "fused in PyTorch": "#e6949f",
    "PyTorch eager": "#edae49",
    "torch.compile": "#b07d1a",
    "JAX jit": "#3d8bb5",
    "a copy of F": "#5fa777",
}
PAGES = {"light": ("white", "#222222"), "dark": ("#131416", "#dddddd")}  # background, and everything drawn on it
ON_PAPER = 9  # passes over F that the fused block makes: 4 forward, 5 backward; see cbam_np.fused.loops
COPY = "a copy of F"


def draw(found: dict[str, Any], folder: Path) -> None:
    """Draw both pictures of the first comparison for both pages."""
    for name, picture in ("bars", bars), ("roofline", roofline):
        for page, (background, ink) in PAGES.items():
            figure = picture(found["comparisons"][0], ink)
            figure.savefig(folder / f"bench_{name}_{page}.png", facecolor=background, dpi=150)


def bars(comparison: dict[str, Any], ink: str) -> Figure:
    """A bar for each side at each size, forward above forward + backward: its time as a multiple of ours."""
    ours, rows = comparison["ours"], comparison["timings"]
    sizes = list(dict.fromkeys(tuple(row["size"]) for row in rows))
    names = list(dict.fromkeys(row["side"] for row in rows))
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    for ax, kind in zip(figure.subplots(2, 1, sharex=True), PASSES.values(), strict=True):
        style(ax, ink)
        for i, name in enumerate(names):
            own = {tuple(row["size"]): row for row in rows if row["side"] == name}
            ratios = [own[size][f"{kind} ratio"] for size in sizes]
            heights = np.array([1 / median for _, median, _ in ratios])
            spread = np.array([[1 / median - 1 / high, 1 / low - 1 / median] for low, median, high in ratios]).T
            x = np.arange(len(sizes)) + (i - (len(names) - 1) / 2) * 0.8 / len(names)
            ax.bar(x, heights, 0.75 / len(names), color=COLOURS[name], label=name)
            ax.errorbar(x, heights, yerr=abs(spread), fmt="none", ecolor=ink, elinewidth=0.8)
            for place, height, top in zip(x, heights, spread[1], strict=True):
                label = f"{height:.1f}" if height >= 0.095 else f"{height:.2f}"
                ax.text(place, height + top + 0.06, label, ha="center", va="bottom", fontsize=7, color=ink)
        ax.axhline(1, color=ink, linewidth=0.8, linestyle=":")
        ax.set_ylabel(f"{kind}\ntime / time of {ours}")
        ax.set_xticks(range(len(sizes)), [f"({N}, {C}, {H}, {H})" for N, C, H in sizes])
    ax.set_xlabel("shape of F: (N, C, H, W)")
    threads = "one thread" if comparison["threads"] == 1 else f"{comparison['threads']} threads"
    top = figure.axes[0]
    top.set_title(
        f"Time as a multiple of that of {ours}; {comparison['dtype']}, {threads}; shorter is faster", color=ink
    )
    legend = figure.legend(*top.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    for text in legend.get_texts():
        text.set_color(ink)
    return figure


def roofline(comparison: dict[str, Any], ink: str) -> Figure:
    """What memory allows: reading or writing F takes half as long as copying it, so passes over F bound the speed.

    A side with a throughput of y entries a second is as fast as if it passed over F x times and did nothing else.
    """
    rows = comparison["timings"]
    kind = PASSES["both"]
    copies = {tuple(row["size"]): row[f"{kind} ms"] for row in rows if row["side"] == COPY}
    figure = Figure(figsize=(9, 6), layout="constrained")
    ax = figure.subplots()
    style(ax, ink)
    best = max(N * C * H * H / (ms / 2e3) for (N, C, H), ms in copies.items())
    worst = min(N * C * H * H / (ms / 2e3) for (N, C, H), ms in copies.items())
    x = np.geomspace(1, 200, 100)
    ax.fill_between(x, worst / x, best / x, color=ink, alpha=0.15, linewidth=0)
    ax.text(1.15, worst / 5, "what memory allows\n(the copy, at each size)", color=ink, fontsize=9)
    for name in dict.fromkeys(row["side"] for row in rows):
        own = [row for row in rows if row["side"] == name and name != COPY]
        entries = np.array([row["size"][0] * row["size"][1] * row["size"][2] ** 2 for row in own])
        seconds = np.array([row[f"{kind} ms"] / 1e3 for row in own])
        passes = np.array([2e3 * s / copies[tuple(row["size"])] for s, row in zip(seconds, own, strict=True)])
        if own:
            ax.scatter(passes, entries / seconds, s=45, color=COLOURS[name], label=name, zorder=3)
    ax.axvline(ON_PAPER, color=COLOURS["cbam_np, fused"], linestyle="--", linewidth=1)
    words: dict[str, Any] = {"rotation": 90, "ha": "right", "va": "top", "color": ink, "fontsize": 9}
    ax.text(ON_PAPER * 0.96, best, f"{ON_PAPER} passes on paper", **words)
    ax.set(xscale="log", yscale="log", xlabel="time, in passes over F (half the time of a copy of F)")
    ax.set_ylabel("entries of F per second")
    ax.set_xticks([1, 2, 5, 10, 20, 50, 100, 200], ["1", "2", "5", "10", "20", "50", "100", "200"])
    ax.set_title(f"{kind}: a dot for each shape; left is faster", color=ink)
    legend = ax.legend(frameon=False, loc="upper right")
    for text in legend.get_texts():
        text.set_color(ink)
    return figure


def style(ax: Any, ink: str) -> None:
    """Transparent, with axes and words in one colour."""
    ax.set_facecolor("none")
    ax.tick_params(colors=ink, which="both")
    ax.xaxis.label.set_color(ink)
    ax.yaxis.label.set_color(ink)
    for edge, spine in ax.spines.items():
        spine.set_color(ink)
        spine.set_visible(edge in ("left", "bottom"))
