"""Pictures of chapters 5 and 6: windows, im2col and col2im, and the gradients of the convolution."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from cbam_np.course.pictures_a import BLUE, ORANGE, RED, arrow, box, canvas, frame, lines, numbers_in_boxes, picture

FIRST, SECOND = "#c0392b", "#2f6fb0"  # two frames that can be told apart in grey as well: the second one is dashed


def grid(ax: Any, values: np.ndarray, title: str = "", grey: np.ndarray | None = None, size: float = 10) -> None:
    """Numbers in white boxes; grey ones are padding."""
    for (i, j), value in np.ndenumerate(values):
        padding = grey is not None and grey[i, j]
        ax.add_patch(plt.Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor="#e4e4e4" if padding else "white"))
        text = f"{value:g}".replace("-", "−")
        ax.text(j, i, text, ha="center", va="center", color="grey" if padding else "black", fontsize=size)
    ax.set(xlim=(-0.5, values.shape[1] - 0.5), ylim=(values.shape[0] - 0.5, -0.5), aspect="equal")
    lines(ax, *values.shape)
    ax.set_title(title, fontsize=10)


# --- chapter 5 -------------------------------------------------------------------------------------------------------


def one_pixel(avg_s: np.ndarray, max_s: np.ndarray, kernel: np.ndarray, m_s: np.ndarray, place: tuple[int, int]) -> None:
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
    axes[1, 4].text(0.5, 0.5, f"$u$ = {total:.2f}\n\ngate σ($u$) = {gate:.2f}".replace("-", "−"), ha="center", va="center")
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
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained", width_ratios=(6, 13))
    padded = np.pad(x, p)
    for ax, values, title in ((left, padded, "the picture, padded"), (right, columns, "columns")):
        grid(ax, values, title, values == 0)
        for i, j in np.argwhere(values == pixel):
            ax.add_patch(plt.Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor="#ffd92f", zorder=1.5))
            ax.text(j, i, f"{pixel}", ha="center", va="center", zorder=2)
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
