"""The pictures of chapters 7 to 12 and the appendices; what is drawn is computed there, or was measured."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cbam_np.arrays import Array
from cbam_np.course import hunt
from cbam_np.course.measured import Interval, chosen

FORWARD, BACKWARD = "#1b1f24", "#c2410c"  # arrows
BLUE, ORANGE, GREEN, GREY = "#2f6db5", "#d97706", "#1a7f37", "#8a8f98"
CHANNEL_BOX, SPATIAL_BOX, LEAF_BOX = "#dbe9f6", "#fdebd0", "#e2efda"
SIGNED: dict[str, Any] = {"cmap": "RdBu_r", "interpolation": "nearest"}
GATES: dict[str, Any] = {"cmap": "viridis", "vmin": 0, "vmax": 1, "interpolation": "nearest"}


def subplots(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Figure, Any]:
    """A figure on white, so that it is legible on a dark page too."""
    return plt.subplots(rows, columns, figsize=size, layout="constrained", facecolor="white", dpi=110, **options)


def bare(ax: Axes, title: str = "", **options: Any) -> None:
    """Axes without ticks."""
    ax.set(xticks=[], yticks=[], **options)
    ax.set_title(title, fontsize=9.5)


def signed(ax: Axes, image: Array, limit: float | None = None) -> Any:
    """An image with colours on both sides of 0, which is white."""
    limit = limit or float(np.abs(image).max()) or 1.0
    return ax.imshow(image, vmin=-limit, vmax=limit, **SIGNED)


def only_left_and_bottom(ax: Axes) -> None:
    """Axes with two of their four lines."""
    ax.spines[["top", "right"]].set_visible(False)


# --- chapter 9 --------------------------------------------------------------------------------------------------------

QUIZ = ("path through the map dropped", "", "maximum dropped", "kernel not flipped")


def which_is_right() -> None:
    """Four trainings, one of them right, without titles that tell."""
    _, axes = subplots(1, len(QUIZ), (9.5, 2.4), sharey=True)
    for number, (ax, mistake) in enumerate(zip(axes, QUIZ, strict=True), start=1):
        for run in chosen("bugs", mistake=mistake):
            losses = run["found"]["losses"]
            ax.plot(range(1, len(losses) + 1), losses, color=BLUE, linewidth=1)
        ax.set(title=f"network {number}", xlabel="epoch", ylim=(0, 2.6), xticks=[1, 5, 10])
        only_left_and_bottom(ax)
    axes[0].set_ylabel("loss, one line a seed")
    plt.show()


def sees(block: hunt.Block) -> dict[str, bool]:
    """For each tool, whether it says that the block is wrong."""
    inputs, d_f2 = hunt.example()
    out, backward = block(*inputs)
    shapes = [x.shape for x in (out, *backward(d_f2))] != [x.shape for x in (inputs[0], *inputs)]

    def check(d_out: Array) -> bool:
        pairs = enumerate(block(*inputs)[1](d_out))
        return any(hunt.off_by(d, hunt.slopes(block, inputs, i, d_out)) > hunt.AS_GOOD_AS_MEASURED for i, d in pairs)

    random, tied = (block.errors(hunt.pytorch, ties) for ties in (False, True))
    wrong = {name for name, off in random.items() if off > hunt.AS_GOOD_AS_EQUAL}
    return {
        "shapes": shapes,
        "gradient check, $dF''$ = 1": check(np.ones(d_f2.shape)),
        "gradient check": check(d_f2),
        "output, PyTorch": "f2" in wrong,
        "gradients, PyTorch": bool(wrong - {"f2"}),
        "gradients, PyTorch, ties": any(off > hunt.AS_GOOD_AS_EQUAL for name, off in tied.items() if name != "f2"),
    }


def who_sees_what(seen: Mapping[str, Mapping[str, bool]]) -> None:
    """The table of blocks and tools."""
    tools = list(seen["A"])
    _, ax = subplots(1, 1, (8.5, 4.2))
    for y, row in enumerate(seen.values()):
        for x, found in enumerate(row.values()):
            ax.plot(x, y, "o", markersize=12, color=GREEN if found else "none", markeredgecolor=GREY)
    ax.set_xticks(range(len(tools)), tools, rotation=25, ha="left")
    ax.set_yticks(range(len(seen)), [f"{name}   {hunt.CASES[name].title}" for name in seen])
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.set(xlim=(-0.6, len(tools) - 0.4), ylim=(len(seen) - 0.4, -0.6))
    ax.spines[:].set_visible(False)
    plt.show()


def error_of_d_f(name: str) -> Array:
    """Wrong minus right, one channel of dF; block G on features with ties."""
    inputs, d_f2 = hunt.example(tied=name == "G")
    d_f, right = (block(*inputs)[1](d_f2)[0] for block in (hunt.block(name), hunt.RIGHT))
    return np.asarray(d_f - right)[0, 1]


def errors_of_d_f(errors: Mapping[str, Array]) -> None:
    """One image a block."""
    figure, axes = subplots(1, len(errors), (9.5, 1.9))
    for ax, (name, error) in zip(axes, errors.items(), strict=True):
        image = signed(ax, error)
        bare(ax, f"block {name}" + (", ties" if name == "G" else ""))
        figure.colorbar(image, ax=ax, shrink=0.9)
    axes[0].set_ylabel("error of dF[0, 1]")
    plt.show()


# --- chapter 10 -------------------------------------------------------------------------------------------------------


def scenes_and_labels(images: Array, labels: Array, masks: Array | None = None) -> None:
    """A row of scenes; below it, where their digits are."""
    rows = 1 if masks is None else 2
    _, axes = subplots(rows, len(images), (9.5, 1.25 * rows + 0.1), squeeze=False)
    for i, ax in enumerate(axes[0]):
        ax.imshow(images[i, 0], cmap="gray", interpolation="nearest")
        bare(ax, f"a {labels[i]}")
    for i, ax in enumerate(axes[1] if masks is not None else ()):
        ax.imshow(masks[i, 0] if masks is not None else None, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        bare(ax)
    axes[0, 0].set_ylabel("scene")
    if masks is not None:
        axes[1, 0].set_ylabel("its digit")
    plt.show()


def maps_over_time(images: Array, labels: Array, maps: Mapping[str, Array]) -> None:
    """A row a scene: the scene, its spatial map at several times, and the scene times the last of them."""
    columns = ["scene", *maps, "scene × the last"]
    figure, axes = subplots(len(images), len(columns), (1.45 * len(columns) + 0.7, 1.4 * len(images) + 0.3))
    for row, image, label, *history in zip(axes, images[:, 0], labels, *maps.values(), strict=True):
        row[0].imshow(image, cmap="gray", interpolation="nearest")
        row[0].set_ylabel(f"a {label}")
        for ax, m_s in zip(row[1:-1], history, strict=True):
            heat = ax.imshow(m_s, **GATES)
        times = image.shape[0] // history[-1].shape[0]
        gated = image * np.kron(history[-1], np.ones((times, times)))
        row[-1].imshow(gated, cmap="gray", vmin=0, vmax=image.max(), interpolation="nearest")
    for i, ax in enumerate(axes.flat):
        ax.set(xticks=[], yticks=[])
        if i < len(columns):
            ax.set_title(columns[i], fontsize=9.5)
    figure.colorbar(heat, ax=axes[:, -1], shrink=0.5, label="$M_s$", ticks=[0, 0.5, 1])
    plt.show()


def curves(losses: Mapping[str, Sequence[float]], accuracies: Mapping[str, Sequence[float]]) -> None:
    """The loss of each step, averaged over 20 of them, and the accuracy after each epoch."""
    _, (left, right) = subplots(1, 2, (9.5, 2.9))
    for (name, values), colour in zip(losses.items(), (GREY, BLUE, ORANGE), strict=False):
        smooth = np.convolve(values, np.ones(20) / 20, mode="valid")
        left.plot(np.arange(len(smooth)) + 20, smooth, color=colour, linewidth=1.2, label=name)
        ends = 100 * np.array(accuracies[name])
        right.plot(range(1, len(ends) + 1), ends, "o-", color=colour, markersize=4, label=name)
    left.set(xlabel="step", title="loss, mean of 20 batches", ylim=(0, None))
    right.set(xlabel="epoch", title="accuracy on scenes it hasn't seen, %", ylim=(0, 100))
    left.legend(fontsize=8)
    for ax in (left, right):
        only_left_and_bottom(ax)
        ax.title.set_fontsize(9.5)
    plt.show()


def openness(opened: Mapping[str, Mapping[str, float]]) -> None:
    """Bars: the mean of M_s on the digit, on the pieces and on the background, at several times."""
    _, ax = subplots(1, 1, (7, 2.6))
    places = list(next(iter(opened.values())))
    for i, (name, means) in enumerate(opened.items()):
        at = np.arange(len(places)) + 0.26 * (i - (len(opened) - 1) / 2)
        bars = ax.bar(at, [means[place] for place in places], 0.24, label=name, color=(GREY, ORANGE, BLUE)[i])
        ax.bar_label(bars, fmt="%.2f", fontsize=8)
    ax.set_xticks(range(len(places)), places)
    ax.set(ylim=(0, 1.1), ylabel="mean of $M_s$")
    ax.legend(fontsize=8, loc="upper right")
    only_left_and_bottom(ax)
    plt.show()


# --- chapter 7 --------------------------------------------------------------------------------------------------------


def node(ax: Axes, x: float, y: float, text: str, colour: str) -> Any:
    """A rounded box with a text in it."""
    style = {"boxstyle": "round,pad=0.4", "facecolor": colour, "edgecolor": FORWARD}
    return ax.text(x, y, text, ha="center", va="center", fontsize=11, color=FORWARD, bbox=style, zorder=3)


def both_ways(ax: Axes, start: Any, end: Any, line: str) -> None:
    """A dark arrow forward, and beside it a coloured one backward with the number of its line."""
    a, b = np.array(start.get_position()), np.array(end.get_position())
    dx, dy = b - a
    aside = 0.12 * np.array([-dy, dx]) / np.hypot(dx, dy)
    for tail, head, first, last, colour, shift in (
        (a, b, start, end, FORWARD, aside),
        (b, a, end, start, BACKWARD, -aside),
    ):
        style: dict[str, Any] = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
        style |= {"patchA": first.get_bbox_patch(), "patchB": last.get_bbox_patch()}
        ax.annotate("", tuple(head + shift), tuple(tail + shift), arrowprops=style)
    circle = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": BACKWARD}
    x, y = (a + b) / 2 - aside
    ax.text(x, y, line, color=BACKWARD, ha="center", va="center", fontsize=9, bbox=circle, zorder=4)


STAGES = (
    ("channel attention", "F", "c", "F'", "3 4 6 7", {"avg": "15", "max": "16", "in": "14", "s": "10", "m": "8"}, "9"),
    ("spatial attention", "F'", "s", "F''", "8 9 10 11", {"avg": "6", "max": "7", "in": "5", "s": "3", "m": "1"}, "2"),
)


def whole_backward() -> None:
    """Both stages as graphs, forward and backward, with the numbers of the sixteen lines."""
    _, axes = subplots(2, 1, (10, 8))
    for ax, (title, before, sort, after, numbers, lines, gate_line) in zip(axes, STAGES, strict=True):
        avg_no, max_no, map_no, gate_no = numbers.split()
        ax.set(xlim=(-0.5, 11), ylim=(-0.6, 4.6), aspect="equal")
        ax.axis("off")
        ax.set_title(title, fontsize=11, loc="left", color=FORWARD)
        features = node(ax, 0, 0, f"\n    ${before}$    \n", CHANNEL_BOX)
        result = node(ax, 10.4, 0, f"${after}$", CHANNEL_BOX)
        times = node(ax, 8.6, 0, f"⊗\n({gate_no})", "white")
        avg = node(ax, 1.5, 3.2, f"$F^{sort}_{{avg}}$\n({avg_no})", SPATIAL_BOX)
        largest = node(ax, 2.3, 1.5, f"$F^{sort}_{{max}}$\n({max_no})", SPATIAL_BOX)
        logits = node(ax, 6.2, 2.3, "$s$" if sort == "c" else "$u$", SPATIAL_BOX)
        m = node(ax, 8.6, 2.3, f"$M_{sort}$\n({map_no})", SPATIAL_BOX)
        if sort == "c":
            hidden = node(ax, 4.2, 2.3, "$h$\n(5)", SPATIAL_BOX)
            both_ways(ax, hidden, logits, "12")
            both_ways(ax, node(ax, 4.2, 4.1, "$W_1$", LEAF_BOX), hidden, "13")
            both_ways(ax, node(ax, 6.2, 4.1, "$W_2$", LEAF_BOX), logits, "11")
        else:
            hidden = logits
            both_ways(ax, node(ax, 6.2, 4.1, "$K$", LEAF_BOX), logits, "4")
        for pooled, line in ((avg, lines["avg"]), (largest, lines["max"])):
            both_ways(ax, features, pooled, line)
            both_ways(ax, pooled, hidden, lines["in"])
        both_ways(ax, logits, m, lines["s"])
        both_ways(ax, m, times, lines["m"])
        both_ways(ax, features, times, gate_line)
        both_ways(ax, times, result, f"$d{after}$")
    plt.show()


def table_of_routes(tables: Mapping[str, Array], names: Sequence[str]) -> None:
    """How much of dF each of nine routes carries, a table for each case."""
    figure, axes = subplots(1, len(tables), (9, 3.9), sharey=True)
    for ax, (title, table) in zip(axes, tables.items(), strict=True):
        picture = ax.imshow(table, cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
        for (row, column), value in np.ndenumerate(table):
            colour = "black" if value > 0.6 else "white"
            ax.text(column, row, f"{value:.1%}", ha="center", va="center", color=colour)
        ax.set_xticks(range(3), names)
        ax.set_yticks(range(3), names)
        ax.set(xlabel="then from $F'$ to $F$")
        ax.set_title(title, fontsize=10)
    axes[0].set_ylabel("first from $F''$ to $F'$")
    figure.colorbar(picture, ax=axes, label="length of the route / length of dF")
    plt.show()


# --- chapter 8 --------------------------------------------------------------------------------------------------------


def errors_over_steps(steps: Sequence[float], errors: Mapping[str, Sequence[float]]) -> None:
    """The error of each method as its step shrinks."""
    _, ax = subplots(1, 1, (8, 4))
    styles = zip(errors.items(), (("o", GREY), ("s", BLUE), ("^", ORANGE)), strict=False)
    for (name, values), (marker, colour) in styles:
        ax.loglog(steps, values, marker + "-", markersize=4, color=colour, label=name)
    ax.loglog(steps, [2.2e-16 / step for step in steps], ":", color=FORWARD, label="rounding, $2.2·10^{-16}/ε$")
    ax.set(xlabel="step ε", ylabel="relative error of the slope", ylim=(3e-18, 1e4))
    ax.annotate("truncation ~ ε", (1e-4, 6e-5), (3e-6, 3e-3), arrowprops={"arrowstyle": "->"})
    ax.annotate("truncation ~ ε²", (1e-4, 3e-9), (2e-3, 2e-11), arrowprops={"arrowstyle": "->"})
    ax.legend(fontsize=8, loc="upper center", ncol=2)
    only_left_and_bottom(ax)
    plt.show()


def slopes_at_a_corner(places: Array, seen: Mapping[float, Array]) -> None:
    """The slope of ReLU near 0, and what central differences see of it."""
    _, ax = subplots(1, 1, (7, 2.7))
    ax.plot(places, places > 0, color=GREY, linewidth=3, alpha=0.5, label="the slope of ReLU")
    for (step, values), colour in zip(seen.items(), (BLUE, ORANGE), strict=True):
        ax.plot(places, values, color=colour, label=f"central difference, ε = {step:g}")
    ax.set(xlabel="x", ylabel="slope", xticks=[-2e-4, -1e-4, 0, 1e-4, 2e-4])
    ax.legend(fontsize=8)
    only_left_and_bottom(ax)
    plt.show()


def lost_paths(lost: Mapping[str, Sequence[float]]) -> None:
    """For each path a row of dots: how wrong dF is without it, in each block."""
    _, ax = subplots(1, 1, (8, 2.6))
    for y, values in enumerate(lost.values()):
        ax.semilogx(values, np.full(len(values), y), "o", color=BLUE, alpha=0.5, clip_on=False)
    ax.axvline(1e-2, color=BACKWARD, linestyle="--")
    ax.text(1.05e-2, -0.7, "tolerance 0.01", color=BACKWARD, fontsize=9)
    ax.set_yticks(range(len(lost)), [f"without the {name}" for name in lost])
    ax.set(xlabel="error of dF, relative", ylim=(3.5, -1.1), xlim=(1e-3, 1))
    only_left_and_bottom(ax)
    plt.show()


# --- chapter 11 -------------------------------------------------------------------------------------------------------


def dots_and_intervals(rows: Mapping[str, tuple[Sequence[float], Interval]], label: str, line: float) -> None:
    """A row for each name: one dot a seed, and the mean with its interval; a dotted line to compare with."""
    _, ax = subplots(1, 1, (8, 0.42 * len(rows) + 0.9))
    for y, (values, (mean, half)) in enumerate(rows.values()):
        ax.errorbar(mean, y, xerr=half, fmt="s", color=BLUE, capsize=4, markersize=6)
        ax.plot(values, np.full(len(values), y + 0.22), "o", color=GREY, markersize=4)
    ax.axvline(line, color=FORWARD, linewidth=0.8, linestyle=":")
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(xlabel=label, ylim=(len(rows) - 0.4, -0.6))
    only_left_and_bottom(ax)
    plt.show()


def looks_over_epochs(runs: Mapping[str, Sequence[Mapping[str, Sequence[float]]]], best: Interval) -> None:
    """For each block of a network, how much of its map lies on the digit after each epoch, one line a seed."""
    blocks = list(next(iter(runs.values()))[0])
    _, axes = subplots(len(runs), len(blocks), (9, 2.2 * len(runs)), sharex=True, sharey=True, squeeze=False)
    for row, (name, seeds) in zip(axes, runs.items(), strict=True):
        for ax, part in zip(row, blocks, strict=True):
            for seed in seeds:
                ax.plot(range(len(seed[part])), seed[part], color=BLUE, linewidth=1)
            ax.axhline(1, color=FORWARD, linewidth=0.8, linestyle=":")
            ax.axhline(best.mean, color=ORANGE, linewidth=1, linestyle="--")
            ax.set_title(f"{name}: $M_s$ of {part}", fontsize=9)
            only_left_and_bottom(ax)
        row[0].set_ylabel("share on the digit,\n1 is chance", fontsize=9)
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    axes[0, -1].text(10, best.mean + 0.05, "Grad-CAM", color=ORANGE, fontsize=8, ha="right")
    plt.show()


def losses_beside_the_right_one(
    runs: Mapping[str, Sequence[Sequence[float]]], right: Sequence[Sequence[float]]
) -> None:
    """A panel for each mistake: its losses over those of the right backward pass, one line a seed."""
    _, axes = subplots(2, 3, (9, 4.4), sharex=True, sharey=True)
    for ax, (name, seeds) in zip(axes.flat, runs.items(), strict=True):
        for losses, colour in [*((each, GREY) for each in right), *((each, BACKWARD) for each in seeds)]:
            ax.plot(range(1, len(losses) + 1), np.clip(losses, 0, 4), color=colour, linewidth=1)
        ax.set_title(name, fontsize=9)
        ax.set_ylim(0, 4)
        ended_early = sum(len(losses) < len(right[0]) for losses in seeds)
        if ended_early:
            ax.text(
                0.5, 0.9, f"{ended_early} of {len(seeds)} diverged", color=BACKWARD, ha="center", transform=ax.transAxes
            )
        only_left_and_bottom(ax)
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    for ax in axes[:, 0]:
        ax.set_ylabel("loss")
    plt.show()


# --- chapter 12 -------------------------------------------------------------------------------------------------------


def box(ax: Axes, x: float, y: float, text: str, colour: str) -> Any:
    """A small rounded box with a text in it."""
    style = {"boxstyle": "round,pad=0.35", "facecolor": colour, "edgecolor": FORWARD}
    return ax.text(x, y, text, ha="center", va="center", fontsize=9, color=FORWARD, bbox=style)


def arrow(ax: Axes, start: Any, end: Any, colour: str, route: str = "arc3") -> None:
    """From one box to another."""
    style = {"patchA": start.get_bbox_patch(), "patchB": end.get_bbox_patch(), "connectionstyle": route}
    style |= {"arrowstyle": "-|>", "color": colour, "shrinkA": 1, "shrinkB": 1}
    ax.annotate("", end.get_position(), start.get_position(), arrowprops=style)


def canvas(size: tuple[float, float], xlim: tuple[float, float], ylim: tuple[float, float]) -> Axes:
    """Axes without a frame."""
    _, ax = subplots(1, 1, size)
    ax.set(xlim=xlim, ylim=ylim)
    ax.axis("off")
    axes: Axes = ax
    return axes


LEAF = "AccumulateGrad"
RESHAPES = {"ViewBackward0", "UnsqueezeBackward0", "TBackward0", "SliceBackward0", "AliasBackward0"}
STEPS = (  # autograd's name, ours, where to draw it; in the order in which `walk` meets the nodes
    ("Mul", "gate (11)", (0, 0)),
    ("Sigmoid", "sigmoid (10)", (1.4, 1.3)),
    ("Convolution", "conv2d (10)", (3.1, 1.3)),
    ("Cat", "concat (10)", (4.9, 1.3)),
    ("Mean", "avg pool (8)", (6.7, 1.9)),
    ("Mul", "gate (7)", (8.5, 3)),
    ("Sigmoid", "sigmoid (6)", (7.5, 4.6)),
    ("Add", "+ (6)", (6.1, 4.6)),
    ("Mm", "W2 (5)", (4.9, 5.4)),
    ("Relu", "relu (5)", (3.8, 5.4)),
    ("Mm", "W1 (5)", (2.7, 5.4)),
    ("Mean", "avg pool (3)", (1.35, 5.4)),
    (LEAF, "dF", (0, 3)),
    (LEAF, "dW1", (2.7, 4.6)),
    (LEAF, "dW2", (4.9, 4.6)),
    ("Mm", "W2 (5)", (4.9, 3.8)),
    ("Relu", "relu (5)", (3.8, 3.8)),
    ("Mm", "W1 (5)", (2.7, 3.8)),
    ("Max", "max pool (4)", (1.35, 3.8)),
    ("Max", "max pool (9)", (6.7, 0.75)),
    (LEAF, "dK", (3.1, 2.2)),
)


def before(node: Any) -> list[Any]:
    """The nodes of autograd's graph that `node` sends gradient to, past those that only reshape."""
    children = [child for child, _ in node.next_functions if child is not None]
    return [end for child in children for end in (before(child) if child.name() in RESHAPES else [child])]


def walk(node: Any, seen: list[Any]) -> list[Any]:
    """All nodes, each once: a node, then all that its first child leads to, then its second."""
    if node not in seen:
        seen.append(node)
        for child in before(node):
            walk(child, seen)
    return seen


def autograd_graph(f2: Any) -> dict[str, int]:
    """Draw the graph behind the tensor f2, each node with our step in it; how many arrows end at each leaf.

    Raises ValueError if a node isn't the one that our step would be.
    """
    nodes = walk(f2.grad_fn, [])
    for at, (theirs, ours, _) in zip(nodes, STEPS, strict=True):
        if theirs not in at.name():
            raise ValueError(f"f2: expected a node {theirs} for {ours}, got {at.name()}")
    ax = canvas((10, 5.6), (-0.6, 9.1), (-0.6, 5.8))
    boxes = {}
    for at, (theirs, ours, (x, y)) in zip(nodes, STEPS, strict=True):
        colour = LEAF_BOX if theirs == LEAF else SPATIAL_BOX if y < 2 else CHANNEL_BOX
        boxes[at] = box(ax, x, y, ours if theirs == LEAF else f"{theirs}\n{ours}", colour)
    ends = []
    for at in nodes:
        for child in before(at):
            around = at is nodes[0] and child is nodes[5]  # from gate (11) straight to gate (7)
            arrow(ax, boxes[at], boxes[child], BACKWARD, "angle,angleA=0,angleB=90,rad=12" if around else "arc3")
            ends.append(boxes[child].get_text())
    ax.text(0, -0.5, "dF″ comes in here", ha="center", color=BACKWARD, fontsize=9)
    plt.show()
    return {name: ends.count(name) for name in ("dF", "dW1", "dW2", "dK")}


def residual_block() -> None:
    """A branch with CBAM at its end, and the shortcut around it."""
    ax = canvas((10, 1.7), (-0.4, 10.4), (-0.5, 1.5))
    labels = ("x", "conv 3×3", "batch\nnorm", "relu", "conv 3×3", "batch\nnorm", "CBAM", "+", "relu", "out")
    at = np.linspace(0, 10, len(labels))
    colours = {"CBAM": SPATIAL_BOX, "x": "white", "out": "white"}
    boxes = [box(ax, x, 0, label, colours.get(label, CHANNEL_BOX)) for x, label in zip(at, labels, strict=True)]
    for start, end in pairwise(boxes):
        arrow(ax, start, end, FORWARD)
    arrow(ax, boxes[0], boxes[7], FORWARD, "bar,fraction=-0.11")
    shortcut = "shortcut: x, or a 1×1 convolution where the shape changes"
    ax.text((at[0] + at[7]) / 2, 1.1, shortcut, ha="center", fontsize=9, color=FORWARD)
    plt.show()


# --- the appendices ---------------------------------------------------------------------------------------------------


def two_curves(x: Array, curves: Mapping[str, Array]) -> None:
    """Functions of one number, side by side."""
    _, axes = subplots(1, len(curves), (8, 2.3))
    for ax, (name, y), colour in zip(axes, curves.items(), (BLUE, ORANGE), strict=True):
        ax.plot(x, y, color=colour, linewidth=2)
        ax.axhline(0, color=GREY, linewidth=0.6)
        ax.set_title(name, fontsize=10)
        only_left_and_bottom(ax)
    plt.show()


def spread(parts: Mapping[str, Array]) -> None:
    """Where a gradient arrives: a column for each path, a row for each channel."""
    channels = next(iter(parts.values())).shape[1]
    figure, axes = subplots(channels, len(parts), (7, 6.8))
    for column, (name, part) in zip(axes.T, parts.items(), strict=True):
        limit = float(np.abs(part).max())
        for c, ax in enumerate(column):
            picture = signed(ax, part[0, c], limit)
            bare(ax)
        column[0].set_title(f"{name} path", fontsize=10)
        figure.colorbar(picture, ax=list(column), orientation="horizontal", shrink=0.8, aspect=15)
    for c, ax in enumerate(axes[:, 0]):
        ax.set_ylabel(f"dF′, channel {c}")
    plt.show()


HOST, DEVICE = ("#b03a2e", SPATIAL_BOX), ("#1f618d", CHANNEL_BOX)


def host_and_device(bytes_params: int, bytes_f: int) -> None:
    """What crosses from the host to the device and back, and how many bytes that is."""
    ax = canvas((10, 3.6), (0, 11), (0, 4))
    for x, width, colour, title in ((0.1, 2.6, HOST[1], "host (NumPy)"), (6.4, 4.5, DEVICE[1], "device (CuPy)")):
        ax.add_patch(Rectangle((x, 0.1), width, 3.8, facecolor=colour, edgecolor=FORWARD))
        ax.text(x + width / 2, 3.5, title, ha="center", fontsize=11, weight="bold")
    here = ((1.4, 2.8, "parameters"), (1.4, 1.8, "a batch F"), (1.4, 0.5, "a number, a picture"))
    for x, y, text in (*here, (7.2, 2.8, "parameters"), (7.2, 1.8, "F")):
        ax.text(x, y, text, ha="center", va="center")
    stays = "forward: F′, M_c, M_s, F″\nbackward: dF, gradients\nupdate of the parameters\n\nall of this stays here"
    ax.text(9.4, 1.8, stays, ha="center", va="center", bbox={"facecolor": "white", "boxstyle": "round,pad=0.5"})
    ax.annotate("", (8.0, 1.8), (7.4, 1.8), arrowprops={"arrowstyle": "-|>"})
    for y, start, end, thickness, text in (
        (2.8, 2.75, 6.35, 1, f'block.to("cupy"): once, {bytes_params / 1e3:.1f} kB'),
        (1.8, 2.75, 6.35, 5, f'asarray(f, "cupy"): once a batch, {bytes_f / 1e6:.1f} MB'),
        (0.5, 6.35, 2.75, 1, "to_numpy(x): as little as you can"),
    ):
        ax.annotate(
            "", (end, y), (start, y), arrowprops={"arrowstyle": "-|>", "linewidth": thickness, "color": HOST[0]}
        )
        ax.text(4.55, y + 0.22, text, ha="center", fontsize=8.5)
    plt.show()


def host_waits() -> None:
    """A drawing of two lanes over time: launches on the host, kernels on the device."""
    _, ax = subplots(1, 1, (9.5, 2.9))
    kernels = [(0.3, 2.6), (2.95, 2.6), (5.6, 2.6)]
    ax.broken_barh([(0.0, 0.3), (0.35, 0.3), (0.7, 0.3)], (1.6, 0.7), color=HOST[0])
    ax.broken_barh([(1.05, 7.2)], (1.6, 0.7), facecolor="white", edgecolor=HOST[0], hatch="//")
    ax.broken_barh(kernels, (0.4, 0.7), color=[DEVICE[0], BLUE, DEVICE[0]])
    waits = {"facecolor": "white", "edgecolor": "white"}
    ax.text(4.6, 1.95, "float(x): the host waits", ha="center", va="center", bbox=waits)
    for (start, width), text in zip(kernels, ("exp", "multiply", "sum"), strict=True):
        ax.text(start + width / 2, 0.75, text, ha="center", va="center", color="white")
    for read, text in ((1.03, "clock read here:\n“it takes no time”"), (8.27, "clock read here:\nright")):
        ax.axvline(read, color=FORWARD, linestyle=":")
        ax.text(read + 0.06, 2.75, text, va="center", fontsize=9)
    ax.set(xlim=(-0.05, 9.8), ylim=(0.2, 3.1), yticks=[0.75, 1.95], yticklabels=["device", "host"], xticks=[])
    ax.set_xlabel("time →     (a drawing, not a measurement)")
    plt.show()


def timings(entries: Array, milliseconds: Mapping[str, Sequence[float]], where: str) -> None:
    """Milliseconds over the number of entries, a line for each library."""
    _, ax = subplots(1, 1, (8, 3.8))
    for (library, values), marker, colour in zip(milliseconds.items(), "osD", (BLUE, ORANGE, GREEN), strict=False):
        ax.loglog(entries, values, marker=marker, color=colour, label=f"cbam_np on {library}")
        ax.text(entries[0] * 0.8, values[0], f"{values[0]:.2g}", ha="right", va="center", fontsize=8)
        ax.text(entries[-1] * 1.25, values[-1], f"{values[-1]:.3g}", va="center", fontsize=8)
    slope = milliseconds["numpy"][-1] / entries[-1] / 2
    ax.loglog(entries[3:], slope * entries[3:], color=GREY, linestyle=":", label="proportional to the size")
    ax.set(xlabel="N·C·H·W, the entries of F", ylabel="milliseconds, forward + backward", xlim=(200, 6e6))
    ax.set_title(f"float32, C = 32, one thread of the CPU, median\n{where}", fontsize=9)
    ax.legend()
    plt.show()
