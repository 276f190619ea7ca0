"""Pictures of chapters 0 to 4, one function each. They draw what they are given and compute nothing that is taught."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Circle, Polygon, Rectangle

BLUE, ORANGE, GREEN, RED = "#dbe9f6", "#fdebd0", "#d5f0dc", "#c0392b"  # boxes of arrays, of operations; backward is red
BACKWARD = {"color": RED, "weight": "bold"}


# --- parts that pictures share ---------------------------------------------------------------------------------------


def numbers_in_boxes(ax: Any, values: np.ndarray, title: str = "", limit: float | None = None, **options: Any) -> None:
    """A small matrix with its numbers in it: blue below 0, red above; white boxes without a limit."""
    values = np.asarray(values, dtype=float)
    shown = values if limit else np.zeros(values.shape)
    ax.imshow(shown, cmap=options.get("cmap", "RdBu_r"), vmin=-(limit or 1), vmax=limit or 1)
    for (i, j), value in np.ndenumerate(values):
        dark = limit is not None and abs(value) > 0.65 * limit
        text = f"{value:.3g}".replace("-", "−")
        ax.text(j, i, text, ha="center", va="center", color="white" if dark else "black", fontsize=options.get("size"))
    lines(ax, *values.shape)
    ax.set_title(title, fontsize=10)


def lines(ax: Any, rows: int, columns: int) -> None:
    """Thin lines between the cells, and no ticks."""
    ax.set_xticks(np.arange(columns + 1) - 0.5, [])
    ax.set_yticks(np.arange(rows + 1) - 0.5, [])
    ax.grid(color="lightgrey")
    ax.tick_params(length=0)


def frame(ax: Any, i: float, j: float, rows: float, columns: float, colour: str, style: str = "-") -> None:
    """A frame around rows × columns cells, the first of them (i, j)."""
    box = Rectangle(
        (j - 0.46, i - 0.46), columns - 0.08, rows - 0.08, fill=False, edgecolor=colour, lw=2.5, ls=style, zorder=3
    )
    ax.add_patch(box)


def picture(ax: Any, values: np.ndarray, title: str = "", cmap: str = "viridis", limits: Any = (0, 1)) -> Any:
    """A map, pixels as they are, without ticks."""
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=10)
    return ax.imshow(values, cmap=cmap, vmin=limits[0], vmax=limits[1], interpolation="nearest")


def box(ax: Any, x: float, y: float, text: str, colour: str = ORANGE, round_: bool = False, size: float = 10) -> Any:
    """A box with a text; an operation on one sign is round."""
    shape = "circle,pad=0.35" if round_ else "round,pad=0.45"
    style = {"boxstyle": shape, "facecolor": colour, "edgecolor": "black"}
    return ax.text(x, y, text, ha="center", va="center", bbox=style, zorder=3, fontsize=size)


def arrow(ax: Any, start: Any, end: Any, colour: str = "black", bend: float = 0.0, aside: float = 0.0) -> None:
    """From box to box; `aside` moves it to its left."""
    (x, y), (x2, y2) = start.get_position(), end.get_position()
    length = np.hypot(x2 - x, y2 - y)
    dx, dy = aside * (y - y2) / length, aside * (x2 - x) / length
    style = {
        "arrowstyle": "-|>",
        "color": colour,
        "linewidth": 1.4,
        "shrinkA": 2,
        "shrinkB": 2,
        "patchA": start.get_bbox_patch(),
        "patchB": end.get_bbox_patch(),
        "connectionstyle": f"arc3,rad={bend}",
    }
    ax.annotate("", (x2 + dx, y2 + dy), (x + dx, y + dy), arrowprops=style)


def canvas(width: float, height: float, x: Sequence[float], y: Sequence[float]) -> Any:
    """A figure to draw boxes on."""
    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    ax.set(xlim=x, ylim=y)
    ax.axis("off")
    return ax


# --- chapter 0 -------------------------------------------------------------------------------------------------------


def learning(data: dict[str, np.ndarray], scene: int) -> None:
    """M_s of one scene at four moments; the mean gate on the digit and elsewhere, and the accuracy, at every step."""
    _, axes = plt.subplots(1, 6, figsize=(10.6, 2.3), layout="constrained", width_ratios=(1, 1, 1, 1, 1, 2.6))
    picture(axes[0], data["scenes"][scene], f"a {data['labels'][scene]}", "gray", (0, 230))
    for ax, t in zip(axes[1:5], np.linspace(0, len(data["step"]) - 1, 4).astype(int), strict=True):
        picture(ax, data["maps"][t, scene] / 255, f"step {data['step'][t]}")
    for name, label, style in (
        ("on", "gate on the digit", {"color": "#c65911"}),
        ("off", "gate elsewhere", {"color": "#2f6fb0"}),
        ("accuracy", "read correctly", {"color": "grey", "linestyle": ":"}),
    ):
        axes[5].plot(data["step"], data[name], label=label, **style)
    axes[5].set(ylim=(0, 1), xlabel="step", yticks=[0, 0.5, 1])
    axes[5].legend(fontsize=8, loc="lower right")
    plt.show()


def scalar_graph() -> None:
    """y = g x with g = σ(w x): values forward in black, gradients backward in red."""
    ax = canvas(8.6, 3.1, (-0.7, 8.9), (-0.6, 3.2))
    places = {"x": (0, 0.3), "w": (0, 2.3), "s": (2.9, 2.3), "g": (5.6, 2.3), "y": (8, 0.3)}
    values = {"x": "x = 3", "w": "w = 0.366", "s": "s = w x\n= ln 3", "g": "g = σ(s)\n= 0.75", "y": "y = g x\n= 2.25"}
    boxes = {name: box(ax, *place, values[name], BLUE) for name, place in places.items()}
    for start, end, gradient, where in (
        ("w", "s", "27", (1.55, 2.78)),
        ("x", "s", "3.296", (1.05, 1.6)),
        ("s", "g", "9", (4.3, 2.78)),
        ("g", "y", "48", (7.2, 1.75)),
        ("x", "y", "12", (4.0, 0.72)),
    ):
        arrow(ax, boxes[start], boxes[end], aside=-0.09)
        arrow(ax, boxes[end], boxes[start], RED, aside=-0.09)
        ax.text(*where, gradient, ha="center", va="center", **BACKWARD)
    ax.text(8, -0.45, "dy = 16", ha="center", **BACKWARD)
    ax.text(0, -0.3, "dx = 12 + 3.296", ha="center", **BACKWARD)
    ax.text(0, 2.85, "dw = 27", ha="center", **BACKWARD)
    plt.show()


def two_tangents(curve: Any, x: float, right: float, wrong: float) -> None:
    """The curve y(x) with a line of each slope through its point at x."""
    t = np.linspace(x - 1.4, x + 1.4, 200)
    _, ax = plt.subplots(figsize=(5.6, 3), layout="constrained")
    ax.plot(t, curve(t), linewidth=6, color="#b8c4d0", label="y")
    ax.plot(t, curve(x) + (t - x) * right, "k--", label=f"both paths: slope {right:.3f}")
    ax.plot(t, curve(x) + (t - x) * wrong, "--", color=RED, label=f"direct path alone: slope {wrong:.3f}")
    ax.plot(x, curve(x), "ko")
    ax.set(xlabel="x", ylabel="y")
    ax.legend(fontsize=9)
    plt.show()


# --- chapter 1 -------------------------------------------------------------------------------------------------------


def block_diagram() -> None:
    """F, its map, their product; and the same again."""
    ax = canvas(10, 2.8, (0, 10), (0, 3))
    f, f1, f2 = (box(ax, x, 0.5, f"${name}$\nN, C, H, W", BLUE) for x, name in ((0.8, "F"), (5, "F'"), (9.2, "F''")))
    for before, after, text, label in (
        (f, f1, "which channel?\n(3) to (6)", "$M_c$   N, C, 1, 1"),
        (f1, f2, "which place?\n(8) to (10)", "$M_s$   N, 1, H, W"),
    ):
        x = before.get_position()[0]
        the_map, product = box(ax, x + 1.25, 2.4, text), box(ax, x + 2.6, 0.5, "⊗", "white", round_=True)
        for start, end in ((before, the_map), (the_map, product), (before, product), (product, after)):
            arrow(ax, start, end)
        ax.text(x + 2.15, 1.5, label, va="center", fontsize=10)
    plt.show()


def stages(f: np.ndarray, m_c: np.ndarray, f1: np.ndarray, m_s: np.ndarray, f2: np.ndarray) -> None:
    """The numbers of both channels, from F to F″; maps repeated along their axes of length 1."""
    C = len(f)
    columns = (
        ("$F$", f, 24),
        ("$M_c$, repeated", m_c, 1.6),
        ("$F'$", f1, 24),
        ("$M_s$, repeated", m_s, 1.6),
        ("$F''$", f2, 24),
    )
    _, axes = plt.subplots(C, len(columns), figsize=(9, 3.8), layout="constrained")
    for column, (title, values, limit) in zip(axes.T, columns, strict=True):
        cmap = "PuOr" if "M" in title else "RdBu_r"
        for c, ax in enumerate(column):
            numbers_in_boxes(ax, np.broadcast_to(values, f.shape)[c], title if c == 0 else "", limit, cmap=cmap)
    for c, ax in enumerate(axes[:, 0]):
        ax.set_ylabel(f"channel {c}")
    plt.show()


def walk(scene: np.ndarray, f: np.ndarray, m_c: np.ndarray, f1: np.ndarray, m_s: np.ndarray, f2: np.ndarray) -> None:
    """Above: picture, M_c as bars, M_s. Below: six channels, from open to shut, of F, F′ and F″."""
    gates = m_c.ravel()
    order = np.argsort(-gates)
    chosen: list[int] = []
    for wanted in (1.0, 0.9, 0.75, 0.5, 0.1, 0.0):
        chosen += [min(set(range(len(gates))) - set(chosen), key=lambda c: abs(gates[c] - wanted))]
    figure = plt.figure(figsize=(9, 6.6), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(1.05, 2))
    top, bottom = halves
    scene_ax, bars, map_ax = top.subplots(1, 3, width_ratios=(1, 2.2, 1.25))
    picture(scene_ax, scene, "the picture", "gray", (0, 200))
    bars.bar(range(len(gates)), gates[order], color=["#c65911" if c in chosen else "#9db4c8" for c in order])
    bars.set(ylim=(0, 1), xticks=[], xlabel="the 32 channels, sorted; orange ones below")
    bars.set_title("$M_c$: which channel?", fontsize=10)
    shown = picture(map_ax, m_s[0], "$M_s$: which place?")
    top.colorbar(shown, ax=map_ax, ticks=[0, 0.5, 1], shrink=0.8)
    axes = bottom.subplots(3, 6)
    limit = np.quantile(np.abs(f[chosen]), 0.98)
    for row, (name, x) in zip(axes, (("$F$", f), ("$F'$", f1), ("$F''$", f2)), strict=True):
        for ax, c in zip(row, chosen, strict=True):
            title = f"gate {gates[c]:.2f}" if name == "$F$" else ""
            picture(ax, x[c], title, "RdBu_r", (-limit, limit))
        row[0].set_ylabel(name, fontsize=12)
    plt.show()


# --- chapter 2 -------------------------------------------------------------------------------------------------------


def two_directions() -> None:
    """A stack of three maps, pooled over space (left) and over channels (right)."""
    H, W, C = 3, 4, 3

    def plane(ax: Any, level: float, coloured: Any, label: str, colour: str) -> None:
        for i, j in np.ndindex(H, W):
            place = [
                (j + b + 0.5 * (H - i - a), 0.4 * (H - i - a) + level) for a, b in ((0, 0), (0, 1), (1, 1), (1, 0))
            ]
            face = colour if coloured(i, j) else "white"
            ax.add_patch(Polygon(place, facecolor=face, edgecolor="black", linewidth=0.8))
        ax.text(-0.2, level + 0.2, label, ha="right", va="center", fontsize=9)

    _, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.9), layout="constrained")
    for c in range(C):
        level = 1.7 * (C - c)
        plane(left, level, lambda i, j, c=c: c == 1, f"channel {c}", "#f4a261")
        plane(right, level, lambda i, j: (i, j) == (1, 2), f"channel {c}", "#6aa5d8")
        style = {"boxstyle": "round", "facecolor": "#f4a261" if c == 1 else "white"}
        left.text(7.8, level + 0.6, "one\nnumber", ha="center", va="center", bbox=style, fontsize=8)
        left.annotate("", (7.0, level + 0.6), (5.4, level + 0.6), arrowprops={"arrowstyle": "-|>"})
    plane(right, -0.6, lambda i, j: (i, j) == (1, 2), "result", "#6aa5d8")
    right.annotate("", (3.25, 0.1), (3.25, 1.7 * C + 0.6), arrowprops={"arrowstyle": "-|>", "linewidth": 1.5})
    left.set_title("over space, (3) and (4): (N, C)", fontsize=11)
    right.set_title("over channels, (8) and (9): (N, 1, H, W)", fontsize=11)
    for ax in (left, right):
        ax.set(xlim=(-1.6, 8.6), ylim=(-0.8, 6.6))
        ax.axis("off")
    plt.show()


def where_it_goes(f: np.ndarray, d_avg: np.ndarray, d_max: np.ndarray, d_pooled: np.ndarray) -> None:
    """For each channel: F, and the gradient through the average and through the maximum."""
    _, axes = plt.subplots(len(f), 3, figsize=(8, 3.6), layout="constrained")
    limit = np.abs(d_max).max()
    for c, row in enumerate(axes):
        numbers_in_boxes(row[0], f[c], f"channel {c} of F")
        upstream = f"{d_pooled[c]:g} through".replace("-", "−")
        numbers_in_boxes(row[1], d_avg[c], f"{upstream} the average", limit)
        numbers_in_boxes(row[2], d_max[c], f"{upstream} the maximum", limit)
    plt.show()


def tie(x: np.ndarray, both: np.ndarray, promised: dict[str, float]) -> None:
    """The maximum of x while its first entry moves, and while both tied ones do; what each convention promises."""
    t = np.linspace(-1, 1, 201)
    _, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3), sharey=True, layout="constrained")
    first = np.eye(len(x))[0]
    left.plot(t, [(x + step * first).max() for step in t], color="#4a7fb0", linewidth=3)
    left.set_title("one of the two moves: a kink", fontsize=10)
    right.plot(t, [(x + step * both).max() for step in t], color="#b8c4d0", linewidth=9, label="the maximum")
    lines_of = (("first", "-", "#2f6fb0", 4), ("split", (0, (2, 2)), "#f4a261", 4), ("full to each", "--", RED, 1.8))
    for name, style, colour, width in lines_of:
        right.plot(t, x.max() + t * promised[name], linestyle=style, color=colour, linewidth=width, label=name)
    right.set_title("both move: what each convention promises", fontsize=10)
    right.legend(fontsize=9)
    for ax in (left, right):
        ax.axvline(0, color="grey", linewidth=0.8, linestyle=":")
        ax.set(xlabel="t", xticks=[-0.5, 0, 0.5])
    left.set_ylabel("maximum")
    plt.show()


def pooled_over_channels(scene: np.ndarray, avg_s: np.ndarray, max_s: np.ndarray, changed: np.ndarray) -> None:
    """The picture, both pooled maps, and the pixels with another winner."""
    figure, axes = plt.subplots(1, 4, figsize=(10, 2.7), layout="constrained")
    picture(axes[0], scene, "the picture", "gray", (0, 200))
    limit = np.abs(avg_s).max()
    shown = picture(axes[1], avg_s, "average over channels (8)", "RdBu_r", (-limit, limit))
    figure.colorbar(shown, ax=axes[1], shrink=0.7)
    shown = picture(axes[2], max_s, "maximum over channels (9)", "viridis", (0, max_s.max()))
    figure.colorbar(shown, ax=axes[2], shrink=0.7)
    picture(axes[3], changed, "another winner in F′")
    plt.show()


# --- chapter 3 -------------------------------------------------------------------------------------------------------


def mlp_forward(inputs: dict[str, np.ndarray], w1: np.ndarray, w2: np.ndarray) -> None:
    """The MLP for each input: values in circles, weights as lines; hidden units that are off are grey."""
    _, axes = plt.subplots(1, len(inputs), figsize=(10, 4.2), layout="constrained")
    for ax, (name, x) in zip(axes, inputs.items(), strict=True):
        z = w1 @ x
        h = np.maximum(z, 0)
        out = w2 @ h
        columns = [(0.0, x), (2.0, h), (4.0, out)]
        heights = [np.linspace(1.5, -1.5, len(v)) * (1 if len(v) > 2 else 0.55) for _, v in columns]
        for (left, values), at, weights, at2 in (
            (columns[0], heights[0], w1, heights[1]),
            (columns[1], heights[1], w2, heights[2]),
        ):
            for (to, of), w in np.ndenumerate(weights):
                if w:
                    off = left == 2.0 and values[of] == 0
                    colour = "#8a8a8a" if off else ("#c65911" if w > 0 else "#2f6fb0")
                    style = {"color": colour, "linewidth": 1.3 * abs(w), "zorder": 1}
                    ax.plot([left, left + 2], [at[of], at2[to]], **style)
                    y = at[of] + 0.3 * (at2[to] - at[of])
                    label = {"fontsize": 8, "color": colour, "ha": "center", "va": "center", "zorder": 2}
                    ax.text(left + 0.6, y, f"{w:g}".replace("-", "−"), **label, backgroundcolor="white")
        for (left, values), at in zip(columns, heights, strict=True):
            for number, (value, y) in enumerate(zip(values, at, strict=True)):
                off = left == 2.0 and z[number] <= 0
                face = "#d9d9d9" if off else (ORANGE if left == 2.0 else BLUE)
                ax.add_patch(Circle((left, y), 0.3, facecolor=face, edgecolor="black", zorder=3))
                ax.text(left, y, f"{value:g}".replace("-", "−"), ha="center", va="center", zorder=4)
                if left == 2.0:
                    text = f"z = {z[number]:g}".replace("-", "−") + (", off" if off else "")
                    ax.text(left, y + 0.42, text, ha="center", fontsize=9, zorder=4)
        for left, text in ((0, "$x$"), (2, "$h$"), (4, "out")):
            ax.text(left, -2.15, text, ha="center", fontsize=11)
        ax.set(xlim=(-0.5, 4.5), ylim=(-2.3, 2.1), aspect="equal")
        ax.set_title(f"x: the {name} of four channels", fontsize=10)
        ax.axis("off")
    plt.show()


def sum_of_two(through_avg: np.ndarray, through_max: np.ndarray) -> None:
    """d_w1 through the average, through the maximum, and their sum."""
    _, axes = plt.subplots(1, 3, figsize=(9.6, 1.9), layout="constrained", gridspec_kw={"wspace": 0.1})
    both = through_avg + through_max
    titles = "$dW_1^{avg}$", "$dW_1^{max}$", "$dW_1$, their sum"
    for ax, values, title in zip(axes, (through_avg, through_max, both), titles, strict=True):
        numbers_in_boxes(ax, values, title, 1.3 * np.abs(both).max())
        ax.set_yticks(range(len(values)), [f"unit {q}" for q in range(len(values))], fontsize=9)
        ax.grid(visible=False)
    plt.show()


def hidden_units(h_avg: np.ndarray, h_max: np.ndarray, labels: np.ndarray) -> None:
    """The hidden layer of each picture, for averages and for maxima; 0 is white."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 2.9), layout="constrained")
    for ax, h, name in zip(axes, (h_avg, h_max), ("averages", "maxima"), strict=True):
        shown = ax.imshow(np.ma.masked_equal(h, 0), cmap="YlOrBr", vmin=0, vmax=h.max())
        ax.set_xticks([])
        ax.set_yticks(range(len(h)), [f"a {label}" for label in labels])
        ax.tick_params(length=0)
        ax.set_title(f"$h$ from the {name}", fontsize=10)
        ax.set_xlabel("the eight hidden units")
        figure.colorbar(shown, ax=ax, shrink=0.8)
    plt.show()


# --- chapter 4 -------------------------------------------------------------------------------------------------------


def branch(features: str, gates: str, out: str, steps: tuple[str, str, str, str], slope: str) -> None:
    """Features, two poolings, what follows, the product: forward in black, backward in red, side by side."""
    ax = canvas(10, 3.3, (0, 10.4), (-0.2, 3.6))
    ax.add_patch(Rectangle((0.3, 0.05), 0.7, 3.35, facecolor=BLUE, edgecolor="black"))
    ax.text(0.65, 1.7, f"${features}$", ha="center", va="center", fontsize=13)
    leaves = {y: ax.text(0.98, y, " ", bbox={"alpha": 0, "pad": 0}) for y in (3.0, 1.7, 0.4)}  # where arrows leave
    avg, largest = box(ax, 3.1, 3.0, steps[0]), box(ax, 3.1, 1.7, steps[1])
    product, result = box(ax, 8.6, 0.4, "⊗", "white", round_=True), box(ax, 10, 0.4, f"${out}$", BLUE)
    middle, sigmoid = box(ax, 5.2, 2.35, steps[2]), box(ax, 7.0, 2.35, steps[3])
    the_map = box(ax, 8.6, 2.35, f"${gates}$", BLUE)
    pairs = [(leaves[3.0], avg), (leaves[1.7], largest), (leaves[0.4], product), (avg, middle), (largest, middle)]
    for start, end in [*pairs, (middle, sigmoid), (sigmoid, the_map), (the_map, product), (product, result)]:
        arrow(ax, start, end, aside=0.09)
        arrow(ax, end, start, RED, aside=0.09)
    for x, y, text in (
        (1.75, 2.68, "average path"),
        (1.7, 1.38, "maximum path"),
        (4.8, 0.08, "direct path"),
        (6.15, 2.05, f"${slope}$"),
        (7.75, 2.05, f"$d{gates}$"),
        (9.4, 0.08, f"$d{out}$"),
    ):
        ax.text(x, y, text, ha="center", va="center", color=RED, fontsize=10)
    plt.show()


def channel_branch() -> None:
    """Channel attention."""
    branch("F", "M_c", "F'", ("average (3)", "maximum (4)", "shared\nMLP (5)", "σ (6)"), "ds")


def sigmoid_and_slope(s: np.ndarray, gates: np.ndarray, slope: np.ndarray) -> None:
    """σ and σ′ side by side."""
    _, axes = plt.subplots(1, 2, figsize=(8, 2.6), layout="constrained")
    for ax, values, title in ((axes[0], gates, "the gate σ(s)"), (axes[1], slope, "its slope σ′(s)")):
        ax.plot(s, values, linewidth=2.5, color="#2f6fb0")
        ax.axvline(0, color="grey", linewidth=0.8, linestyle=":")
        ax.set(xlabel="s", title=title, ylim=(-0.02, 1.02), xticks=range(-8, 9, 4), yticks=[0, 0.25, 0.5, 0.75, 1])
        ax.grid(alpha=0.3)
    plt.show()


def sum_of_paths(paths: dict[str, np.ndarray]) -> None:
    """For each channel: the three paths to d_f, and their sum."""
    parts = {**paths, "$dF$, their sum": np.sum(list(paths.values()), axis=0)}
    _, axes = plt.subplots(2, 4, figsize=(10, 3.6), layout="constrained")
    limit = 1.3 * max(float(np.abs(values).max()) for values in parts.values())
    for column, (title, values) in zip(axes.T, parts.items(), strict=True):
        for c, ax in enumerate(column):
            numbers_in_boxes(ax, values[c], title if c == 0 else "", limit, size=9)
    for c, ax in enumerate(axes[:, 0]):
        ax.set_ylabel(f"channel {c}")
    plt.show()


def gates_of_pictures(m_c: np.ndarray, labels: np.ndarray) -> None:
    """The gates of every channel, one row a picture; sorted by how much they differ."""
    figure, ax = plt.subplots(figsize=(9, 2.2), layout="constrained")
    order = np.argsort(m_c.mean(axis=0))
    shown = picture(ax, m_c[:, order])
    ax.set_yticks(range(len(m_c)), [f"a {label}" for label in labels])
    ax.set_xlabel("the 32 channels, from the most shut on average to the most open")
    ax.set_title("$M_c$ of five pictures", fontsize=10)
    figure.colorbar(shown, ax=ax, ticks=[0, 0.5, 1])
    plt.show()
