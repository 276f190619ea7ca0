"""What the timings of `bench_inside` say. Without PyTorch, since the site shows them, too."""

from statistics import median, quantiles
from typing import Any

WITHOUT, EAGER = "without CBAM", "autograd"
SIDES = (EAGER, "hand", "fused")
HEAD = ("gradient", "network, ms", "times faster", "blocks in it, ms", "times faster")


def ratios(found: dict[str, Any], what: str, side: str) -> list[float]:
    """How many times as long autograd takes in each round: "whole", or the "blocks" in it. Quartiles, in order."""
    return quantiles([a / b for a, b in zip(found[what][EAGER], found[what][side], strict=True)], n=4)


def rows(found: dict[str, Any]) -> list[list[str]]:
    """A row a side: milliseconds of the network, how many times faster than with autograd; the same of the blocks."""
    table = []
    for side in (*SIDES, WITHOUT):
        row = [side]
        for what in ("whole", "blocks") if side != WITHOUT else ("whole",):
            low, middle, high = ratios(found, what, side)
            row.append(f"{1e3 * median(found[what][side]):.0f}")
            row.append("" if side == EAGER else f"{middle:.2f} ({low:.2f} to {high:.2f})")
        table.append([*row, *[""] * (len(HEAD) - len(row))])
    return table


def in_words(found: dict[str, Any]) -> str:
    """What share the blocks have of the network, by hooks and by the difference to the network without them."""
    share = median(a / b for a, b in zip(found["blocks"][EAGER], found["whole"][EAGER], strict=True))
    less = median(1 - a / b for a, b in zip(found["whole"][WITHOUT], found["whole"][EAGER], strict=True))
    return (
        f"With autograd the blocks take {share:.0%} of the network's time, by hooks before and after each; the network "
        f"without them takes {less:.0%} less."
    )
