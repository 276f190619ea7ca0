"""Pictures of chapters 5 and 6: windows, im2col and col2im, and the gradients of the convolution."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from cbam_np.course.pictures_a import BLUE, ORANGE, RED, frame, lines, numbers_in_boxes, picture

YELLOW = "#ffd92f"
FIRST, SECOND = "#c0392b", "#2f6fb0"  # two frames that can be told apart in grey as well: the second one is dashed


def grid(
    ax: Any, values: np.ndarray, title: str = "", grey: np.ndarray | None = None, yellow: float | None = None
) -> None:
    """Numbers in white boxes; grey ones are padding, and those of the value `yellow` are marked, on dark pages too."""
    for (i, j), value in np.ndenumerate(values):
        padding, marked = grey is not None and grey[i, j], value == yellow
        face = YELLOW if marked else "#e4e4e4" if padding else "white"
        ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=face, gid="kept" if marked else None))
        text = ax.text(j, i, f"{value:g}".replace("-", "−"), ha="center", va="center", fontsize=10)
        text.set(color="grey" if padding else "black", gid="kept" if marked else None)
    ax.set(xlim=(-0.5, values.shape[1] - 0.5), ylim=(values.shape[0] - 0.5, -0.5), aspect="equal")
    lines(ax, *values.shape)
    ax.set_title(title, fontsize=10)


# --- chapter 5 -------------------------------------------------------------------------------------------------------


def one_pixel(
    avg_s: np.ndarray, max_s: np.ndarray, kernel: np.ndarray, m_s: np.ndarray, place: tuple[int, int]
) -> None:
    """The two pooled maps with the window of one pixel, the windows, the kernel, their products, and the gate."""
    k = kernel.shape[-1]
    p, (i, j) = k // 2, place
    figure, axes = plt.subplots(2, 5, figsize=(10.4, 4.3), layout="constrained", width_ratios=(1.3, 1, 1, 1, 1.3))
    total = 0.0
    for row, (x, weights, name) in enumerate(((avg_s, kernel[0], "avg"), (max_s, kernel[1], "max"))):
        window = np.pad(x, p)[i : i + k, j : j + k]
        product = weights * window
        total += product.sum()
        for ax, values, title in zip(
            axes[row],
            (x, window, weights, product),
            (f"$F^s_{{\\mathrm{{{name}}}}}$", "its window", f"$K$ for {name}", f"product, sum {product.sum():.2f}"),
            strict=False,
        ):
            limit = float(np.abs(values).max())
            picture(ax, values, title, "RdBu_r", (-limit, limit))
        frame(axes[row, 0], i - p, j - p, k, k, "black")
        axes[row, 0].plot(j, i, "s", color="black", markersize=4)
    shown = picture(axes[0, 4], m_s, "$M_s$")
    axes[0, 4].plot(j, i, "s", color=RED, markersize=5)
    figure.colorbar(shown, ax=axes[0, 4], shrink=0.8, ticks=[0, 0.5, 1])
    axes[1, 4].axis("off")
    gate = 1 / (1 + np.exp(-total))
    axes[1, 4].text(
        0.5, 0.5, f"$u$ = {total:.2f}\n\ngate σ($u$) = {gate:.2f}".replace("-", "−"), ha="center", va="center"
    )
    plt.show()


def windows(x: np.ndarray, kernel: np.ndarray, u: np.ndarray) -> None:
    """The padded input with two windows, the kernel, and the two entries that the windows make."""
    k = len(kernel)
    p = k // 2
    _, axes = plt.subplots(1, 3, figsize=(8.2, 2.9), layout="constrained", width_ratios=(5, 3, 3))
    grid(axes[0], np.pad(x, p), "$x$, padded with zeros", np.pad(np.zeros(x.shape), p, constant_values=1))
    grid(axes[1], kernel, "$K$")
    grid(axes[2], u, "$u$")
    for i, j, colour, style in ((0, 0, FIRST, "-"), (2, 1, SECOND, "--")):
        frame(axes[0], i, j, k, k, colour, style)
        frame(axes[2], i, j, 1, 1, colour, style)
    plt.show()


def every_window_a_column(x: np.ndarray, columns: np.ndarray, k: int, pixel: int) -> None:
    """The padded picture and the matrix of its windows: one column, one row, and all copies of one pixel."""
    H, W = x.shape
    p = k // 2
    _, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained", width_ratios=(6, 13))
    padded = np.pad(x, p)
    for ax, values, title in ((left, padded, "the picture, padded"), (right, columns, "columns")):
        grid(ax, values, title, values == 0, yellow=pixel)
    frame(left, 1, 1, k, k, FIRST)
    frame(right, 0, W + 1, k * k, 1, FIRST)
    frame(left, 0, 2, H, W, SECOND, "--")
    frame(right, 2, 0, 1, H * W, SECOND, "--")
    right.set_xticks(range(H * W), [f"{i},{j}" for i, j in np.ndindex(H, W)], fontsize=8)
    right.set_yticks(range(k * k), [f"{a},{b}" for a, b in np.ndindex(k, k)], fontsize=8)
    right.grid(visible=False)
    right.set_xlabel("i, j: which pixel of the result")
    right.set_ylabel("a, b: which place in the window")
    plt.show()


def right_and_swapped(scene: np.ndarray, right: np.ndarray, swapped: np.ndarray) -> None:
    """M_s with the kernel as it was trained, and with its two input channels in the other order."""
    figure, axes = plt.subplots(1, 3, figsize=(8, 2.7), layout="constrained")
    picture(axes[0], scene, "the picture", "gray", (0, 200))
    picture(axes[1], right, "$M_s$, order [avg; max]")
    shown = picture(axes[2], swapped, "$M_s$, the kernel's channels swapped")
    figure.colorbar(shown, ax=axes[2], shrink=0.8, ticks=[0, 0.5, 1])
    plt.show()


# --- chapter 6 -------------------------------------------------------------------------------------------------------


def line_matrix(colours: tuple[str, ...] = (ORANGE, "#d5f0dc", BLUE)) -> None:
    """The convolution of five numbers with three weights, as a matrix: rows go forward, columns go back."""
    _, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    ax.set(xlim=(-0.5, 4.5), ylim=(2.5, -0.5), aspect="equal")
    for i, j in np.ndindex(3, 5):
        inside = 0 <= j - i <= 2
        face = colours[j - i] if inside else "white"
        ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=face, edgecolor="lightgrey"))
        text, colour = (f"$K_{j - i}$", "black") if inside else ("0", "grey")
        ax.text(j, i, text, ha="center", va="center", color=colour, fontsize=12)
    frame(ax, 0, 0, 1, 3, "black")
    frame(ax, 0, 2, 3, 1, RED)
    ax.xaxis.tick_top()
    ax.set_xticks(range(5), [f"$x_{j}$" for j in range(5)], fontsize=12)
    ax.set_yticks(range(3), [f"$u_{i}$" for i in range(3)], fontsize=12)
    ax.tick_params(length=0)
    ax.set_xlabel("forward: along a row      backward: down a column (red)")
    plt.show()


def gradient_of_one_weight(x: np.ndarray, d_u: np.ndarray, d_kernel: np.ndarray, place: tuple[int, int]) -> None:
    """dK at one place: the part of x_pad that this weight meets, times du, summed."""
    (a, b), (H, W) = place, x.shape
    padded = np.pad(x, len(d_kernel) // 2)
    met = padded[a : a + H, b : b + W]
    _, axes = plt.subplots(1, 4, figsize=(11, 2.7), layout="constrained", width_ratios=(6, 4, 4, 3))
    grid(
        axes[0],
        padded,
        f"$x$, padded: what $K$[{a},{b}] meets",
        np.pad(np.zeros(x.shape), len(d_kernel) // 2, constant_values=1),
    )
    frame(axes[0], a, b, H, W, FIRST)
    numbers_in_boxes(axes[1], d_u, "times $du$", 4)
    numbers_in_boxes(axes[2], met * d_u + 0.0, "the products", 10)
    numbers_in_boxes(axes[3], d_kernel, "$dK$: their sum", 1.3 * np.abs(d_kernel).max())
    frame(axes[3], a, b, 1, 1, FIRST)
    plt.show()


def windows_added_up(columns: np.ndarray, size: int, k: int) -> None:
    """Each column laid back into its window (no padding), and the sum of all."""
    places = list(np.ndindex(size - k + 1, size - k + 1))
    _, axes = plt.subplots(1, len(places) + 1, figsize=(10.4, 2.4), layout="constrained")
    total = np.zeros((size, size))
    for ax, (number, (i, j)) in zip(axes, enumerate(places), strict=False):
        window = columns[:, number].reshape(k, k)
        total[i : i + k, j : j + k] += window
        ax.imshow(np.zeros((size, size)), cmap="RdBu_r", vmin=-1, vmax=1)
        for (a, b), value in np.ndenumerate(window):
            text = f"{value:g}".replace("-", "−")
            ax.text(j + b, i + a, text, ha="center", va="center")
        lines(ax, size, size)
        frame(ax, i, j, k, k, FIRST)
        ax.set_title(f"column {number}", fontsize=10)
    numbers_in_boxes(axes[-1], total, "their sum", 1.4 * np.abs(total).max())
    plt.show()


def kernel_seen_from_a_pixel(kernel: np.ndarray, met: np.ndarray) -> None:
    """The numbered kernel, two windows that contain one pixel, and what each output multiplied that pixel with."""
    _, axes = plt.subplots(1, 3, figsize=(8.6, 3), width_ratios=(3, 5, 3), layout="constrained")
    grid(axes[0], kernel, "the kernel $K$[a, b]")
    ax = axes[1]
    ax.set(xlim=(-0.5, 4.5), ylim=(4.5, -0.5), aspect="equal")
    lines(ax, 5, 5)
    ax.add_patch(Rectangle((1.5, 1.5), 1, 1, facecolor=YELLOW, gid="kept"))
    for i, colour, style in ((0, FIRST, "-"), (2, SECOND, "--")):
        frame(ax, i, i, 3, 3, colour, style)
        at = 0.5 if i == 0 else 3.5
        ax.text(at, at, f"window\nof u[{i}, {i}]", ha="center", va="center", color=colour, fontsize=9)
    ax.set_title("the yellow pixel is in nine windows;\nthe first and the last are drawn", fontsize=10)
    grid(axes[2], met, "what each $u$[i, j]\nmultiplied it with")
    frame(axes[2], 0, 0, 1, 1, FIRST)
    frame(axes[2], 2, 2, 1, 1, SECOND, "--")
    plt.show()
