"""`cbam-np tour`: a photograph through the eleven formulas. Needs the extra "tour".

Sixteen fixed filters turn the photograph into feature maps F, and the block runs on them. Its weights are set by
hand: initial weights open the gates at random, which shows nothing, and training is another chapter.
"""

import argparse
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cbam_np.arrays import Params
from cbam_np.attention.block import cbam
from cbam_np.attention.channel import channel_attention
from cbam_np.attention.spatial import spatial_attention
from cbam_np.checking.thorough import COLOURED, gradcheck
from cbam_np.commands import terminal
from cbam_np.commands.files import RESULTS, output_file
from cbam_np.commands.whole_numbers import add_seed
from cbam_np.ops import (
    avg_pool_over_channels,
    avg_pool_over_space,
    concat,
    conv2d,
    gate,
    max_pool_over_channels,
    max_pool_over_space,
    mlp,
    relu,
    sigmoid,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# One row of W1 is one question about the whole picture: does the first group of channels outweigh the second?
# The same row, transposed, in W2 acts on the answer: it opens the first group and shuts the second.
QUESTIONS = {
    "warm rather than cool": (["red", "yellow"], ["green", "blue"]),
    "detail rather than tone": (
        ["line ─", "line │", "line ╱", "line ╲", "light spot", "dark spot"],
        ["bright", "dark"],
    ),
    "upright rather than level": (["line │", "edge │"], ["line ─", "edge ─"]),
    "falling rather than rising": (["line ╲", "edge ╲"], ["line ╱", "edge ╱"]),
}

SECTIONS = {1: "The block, from outside", 3: "Channel attention", 8: "Spatial attention"}
FORMATS = (".png", ".svg", ".pdf", ".jpg", ".webp")
SHOWN = ["dark", "red", "blue", "line │", "edge ╲"]  # the channels of F and F″ in the picture


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    path = RESULTS / "tour.png"
    parser.add_argument("--output", type=Path, default=path, help="file for the picture (default %(default)s)")
    parser.add_argument("--dark", action="store_true", help="draw the picture on a dark background")
    add_seed(parser, "the gradient check")


@dataclass(frozen=True)
class Step:
    """One formula on the walk: its left side, and what there is to see in it."""

    number: int
    formula: str
    value: np.ndarray
    remark: str


def photograph() -> np.ndarray:
    """Chelsea the cat, a photograph by Stéfan van der Walt (CC0) that scikit-image ships: (150, 225, 3) in [0, 1]."""
    from matplotlib.image import imread

    # read as a file: importing skimage.data would set up its downloads
    image = imread(str(files("skimage") / "data" / "chelsea.png"))[:, :450].astype(np.float64)
    return image.reshape(150, 2, 225, 2, 3).mean(axis=(1, 3))


def filters() -> dict[str, np.ndarray]:
    """The sixteen filters by name, each (3, 9, 9): a weight for each colour times a pattern in space.

    bright, dark, red, green, yellow, blue: a blob, on lightness or on the difference of two colours. line, edge: an
    even or an odd Gabor wavelet along one of four directions. spot: a narrow blob minus a wide one.
    """
    v, u = np.mgrid[-4:5, -4:5]

    def blob(width: float) -> np.ndarray:
        g = np.exp(-(u**2 + v**2) / (2 * width**2))
        return g / g.sum()

    def wave(degrees: int, width: float, length: float, phase: float) -> np.ndarray:
        across = u * np.sin(np.deg2rad(degrees)) + v * np.cos(np.deg2rad(degrees))
        g = blob(width) * np.cos(2 * np.pi * across / length + phase)
        return g - g.sum() * blob(width)

    lightness, red_green, yellow_blue = np.array([[0.299, 0.587, 0.114], [1, -1, 0], [0.5, 0.5, -1]])
    spot = blob(1) - blob(2)
    directions = {"─": 0, "│": 90, "╱": 45, "╲": 135}
    patterns = {
        "bright": (lightness, blob(1)),
        "dark": (-lightness, blob(1)),
        "red": (red_green, blob(1)),
        "green": (-red_green, blob(1)),
        "yellow": (yellow_blue, blob(1)),
        "blue": (-yellow_blue, blob(1)),
        **{f"line {stroke}": (lightness, wave(a, 1.5, 5, 0)) for stroke, a in directions.items()},
        **{f"edge {stroke}": (lightness, wave(a, 2, 8, np.pi / 2)) for stroke, a in directions.items()},
        "light spot": (lightness, spot),
        "dark spot": (-lightness, spot),
    }
    return {name: colour[:, None, None] * pattern for name, (colour, pattern) in patterns.items()}


def features(image: np.ndarray) -> np.ndarray:
    """The feature maps F of a colour image (H, W, 3): filters, ReLU, unit variance -> (1, 16, H, W), float64.

    The image is centred first, so that "red" means redder than this picture is on average, and continued by its own
    border, so that the frame is no edge. Unit variance is what a batch norm would see to.
    """
    kernel = np.stack(list(filters().values()))
    p = kernel.shape[-1] // 2
    x = np.pad(image - image.mean(axis=(0, 1)), ((p, p), (p, p), (0, 0)), mode="edge")
    response, _ = conv2d(x.transpose(2, 0, 1)[None], kernel, padding=0)
    f, _ = relu(response)
    return f / f.std(axis=(0, 2, 3), keepdims=True)


def weights_by_hand() -> Params:
    """Parameters that make the picture show something: w1 (4, 16), w2 (16, 4), kernel (1, 2, 7, 7).

    w1 and w2 put the `QUESTIONS`. The kernel weighs the strongest channel (a blob on F^s_max) against how busy all
    channels are around it (a box on F^s_avg): a gate opens where one channel stands out.
    """
    names = list(filters())
    w1 = np.zeros((len(QUESTIONS), len(names)))
    for row, (more, less) in zip(w1, QUESTIONS.values(), strict=True):
        row[[names.index(name) for name in more]] = 1 / len(more)
        row[[names.index(name) for name in less]] = -1 / len(less)
    v, u = np.mgrid[-3:4, -3:4]
    box, blob = np.ones((7, 7)), np.exp(-(u**2 + v**2) / 6)
    kernel = np.stack([-15 * box / box.sum(), 3 * blob / blob.sum()])
    return {"channel.w1": w1, "channel.w2": 1.5 * w1.T, "spatial.kernel": kernel[None]}


def walk(f: np.ndarray, params: Params) -> list[Step]:
    """The eleven formulas on `f` (1, 16, H, W), in the document's order: the block from outside, then its parts."""
    names = list(filters())

    def largest(values: np.ndarray, count: int = 3) -> str:
        order = np.argsort(-values.ravel())[:count]
        return ", ".join(f"{names[c]} {values.ravel()[c]:.2f}" for c in order)

    def where(m: np.ndarray) -> str:
        row, column = np.unravel_index(np.argmax(m), m.shape)[2:]
        return f"row {row}, column {column}"

    f1, _ = channel_attention(f, params)
    f2, _ = spatial_attention(f1, params)

    avg_c, _ = avg_pool_over_space(f)
    max_c, _ = max_pool_over_space(f)
    z_avg, _ = mlp(avg_c, params["channel.w1"], params["channel.w2"])
    z_max, _ = mlp(max_c, params["channel.w1"], params["channel.w2"])
    gates, _ = sigmoid(z_avg + z_max)
    m_c = gates[:, :, None, None]
    scaled, _ = gate(m_c, f)
    avg_s, _ = avg_pool_over_channels(scaled)
    max_s, _ = max_pool_over_channels(scaled)
    pooled, _ = concat(avg_s, max_s)
    z_s, _ = conv2d(pooled, params["spatial.kernel"])
    m_s, _ = sigmoid(z_s)
    out, _ = gate(m_s, scaled)

    answers, _ = relu(max_c @ params["channel.w1"].T)
    strongest = list(QUESTIONS)[int(np.argmax(answers))]
    wins = np.bincount(np.argmax(scaled, axis=1).ravel()) / max_s.size
    lines = [
        ("F′ = M_c(F) ⊗ F", f1, f"each channel is scaled by its gate; {kept(f1, f)} of F is left"),
        ("F″ = M_s(F′) ⊗ F′", f2, f"each pixel is scaled by its gate; {kept(f2, f)} of F is left"),
        ("F^c_avg = 1/(HW) Σ_ij F", avg_c, f"largest: {largest(avg_c)}"),
        ("F^c_max = max_ij F", max_c, f"largest: {largest(max_c)}"),
        (
            "MLP(x) = W2 ReLU(W1 x)",
            z_max,
            f"for F^c_avg {span(z_avg)}; for F^c_max {span(z_max)}\nstrongest answer: {strongest}, {answers.max():.2f}",
        ),
        (
            "M_c = σ(MLP(F^c_avg) + MLP(F^c_max))",
            m_c,
            f"most open: {largest(gates)}; most closed: {names[int(np.argmin(gates))]} {gates.min():.2f}",
        ),
        ("F′ = M_c ⊗ F", scaled, f"the largest difference from (1) is {np.abs(scaled - f1).max():g}"),
        ("F^s_avg = 1/C Σ_k F′", avg_s, f"{span(avg_s)}; largest at {where(avg_s)}"),
        (
            "F^s_max = max_k F′",
            max_s,
            f"{span(max_s)}; {names[int(np.argmax(wins))]} is the largest at {wins.max():.0%} of the pixels",
        ),
        (
            "M_s = σ(Conv_7×7([F^s_avg; F^s_max]))",
            m_s,
            f"{span(m_s)}, on average {m_s.mean():.2f}; largest at {where(m_s)}",
        ),
        ("F″ = M_s ⊗ F′", out, f"the largest difference from (2) is {np.abs(out - f2).max():g}"),
    ]
    return [Step(number, *line) for number, line in enumerate(lines, 1)]


def span(x: np.ndarray) -> str:
    """The smallest and the largest entry in words."""
    return f"from {x.min():.2f} to {x.max():.2f}"


def kept(out: np.ndarray, f: np.ndarray) -> str:
    """Σ|out| as a share of Σ|f|."""
    return f"{np.abs(out).sum() / np.abs(f).sum():.1%}"


def draw(image: np.ndarray, f: np.ndarray, steps: list[Step], dark: bool = False) -> "Figure":
    """The photograph (H, W, 3), M_s, M_s over it, M_c as bars, and some channels of F with what F″ keeps of them."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    names = list(filters())
    m_c, m_s, f2 = steps[5].value.ravel(), steps[9].value[0, 0], steps[10].value
    paper, ink = ("#0d1117", "#e6edf3") if dark else ("#ffffff", "#1f2328")
    style: dict[Any, Any] = dict.fromkeys(["text.color", "axes.edgecolor", "xtick.color", "ytick.color"], ink)
    style |= {"figure.facecolor": paper, "axes.facecolor": paper, "font.family": "DejaVu Sans", "axes.titlesize": 11.5}
    with mpl.rc_context(style):
        figure = Figure(figsize=(11, 8.7), dpi=125, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
        top, middle, bottom = figure.subfigures(3, 1, height_ratios=(2.7, 2.2, 3.8), squeeze=False)[:, 0]

        photo, gates, over = top.subplots(1, 3)
        show(photo, image, "The photograph")
        heat = show(gates, m_s, "(10)  $M_s$: one gate for each pixel", vmin=0, vmax=1, cmap="viridis")
        show(over, image * m_s[:, :, None], "$M_s$ over the photograph")
        top.colorbar(heat, cax=over.inset_axes((1.03, 0, 0.03, 1)), ticks=[0, 0.5, 1])

        bars = middle.subplots()
        drawn = bars.bar(names, m_c, color=mpl.colormaps["viridis"](m_c))
        bars.bar_label(drawn, fmt="%.2f", padding=2, fontsize=9)
        bars.set_title("(6)  $M_c$: one gate for each channel")
        bars.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names])
        bars.set(ylim=(0, 1.1), yticks=[0, 0.5, 1], xlim=(-0.6, len(names) - 0.4))
        bars.spines[["top", "right"]].set_visible(False)

        axes = bottom.subplots(2, len(SHOWN))
        for name, (before, after) in zip(SHOWN, axes.T, strict=True):
            c = names.index(name)
            scale = {"vmin": 0, "vmax": np.quantile(f[0, c], 0.99), "cmap": "gray"}
            show(before, f[0, c], f"$F$: {name}", **scale)
            show(after, f2[0, c], f"(11)  $F'' = {m_c[c]:.2f}\\ M_s\\, F$", **scale)
    return figure


def show(ax: "Axes", image: np.ndarray, title: str, **scale: Any) -> Any:
    """An image without ticks under its title, pixels as they are."""
    ax.set_title(title)
    ax.set(xticks=[], yticks=[])
    return ax.imshow(image, interpolation="nearest", **scale)


def run(console: Console, output: Path, dark: bool, seed: int) -> bool:
    """Walk the eleven formulas in the terminal, check the block's gradient, and write the picture.

    output: a file whose ending names the format. dark: the picture has a dark background. seed: of the gradient check.
    Returns whether the check passed. Raises ValueError if the picture cannot be written, before anything else.
    """
    if output.suffix.lower() not in FORMATS:
        raise ValueError(f"--output: expected a name that ends in {', '.join(FORMATS)}, got {output}")
    with output_file(output) as file:
        image = photograph()
        f, params = features(image), weights_by_hand()
        steps = walk(f, params)
        tell(console, f, steps)
        ok = check_gradient(console, f, params, seed)
        draw(image, f, steps, dark).savefig(file)
    console.print(f"The picture: {output.resolve()}", markup=False, highlight=False, soft_wrap=True)
    return ok


def tell(console: Console, f: np.ndarray, steps: list[Step]) -> None:
    """Print the formulas, each with the shape of its left side and a remark."""
    _, C, H, W = f.shape
    console.print(
        f"A photograph of {H}×{W} pixels goes through {C} fixed filters and a ReLU. That gives the feature maps F, "
        f"1×{C}×{H}×{W}. The weights of the block (C = {C}, r = {C // len(QUESTIONS)}, k = 7) are set by hand, so "
        "that the picture shows something; training is another chapter.",
        highlight=False,
    )
    for step in steps:
        if step.number in SECTIONS:
            console.rule(f"[bold]{SECTIONS[step.number]}", align="left")
        shape = "×".join(str(size) for size in step.value.shape)
        line = Table.grid(padding=(0, 2))
        line.add_column(min_width=4, justify="right")
        line.add_row(f"({step.number})", f"[bold]{step.formula}[/]\n[cyan]{shape}[/]  {step.remark}")
        console.print(line, highlight=False)


def check_gradient(console: Console, f: np.ndarray, params: Params, seed: int) -> bool:
    """Check the block's gradient on some of the pixels of F, and print what came out."""
    stride = max(1, min(f.shape[2:]) // 8)
    report = gradcheck(cbam, f[:, :, ::stride, ::stride], params, seed=seed, max_entries=64)
    console.rule("[bold]The gradient", align="left")
    console.print(f"The same block, forward and backward, on one in {stride} rows and columns of F:", highlight=False)
    table = terminal.new_table(console)
    for head in ("input", "method", "slopes", "largest error", "verdict"):
        table.add_column(head, justify="right" if head in ("slopes", "largest error") else "left", no_wrap=True)
    for row in report.rows:
        verdict = COLOURED[row.verdict]
        table.add_row(escape(row.input), row.method, str(row.compared), f"{row.error:.0e}", verdict)
    terminal.show(console, table)
    if not report.ok:
        console.print(report.table())
    return report.ok
