"""How the time of forward and backward grows with N, C and H·W, for `cbam-np bench`: time = a · size^exponent."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console

from cbam_np.attention.block import CBAM
from cbam_np.commands import terminal
from cbam_np.commands.timing import Entry, interleaved

START = {"N": 2, "C": 64, "H·W": 28**2}
FACTORS = (1, 2, 4, 8)
AXES = ("N", "C", "H·W")


def measured(entries: Mapping[str, Entry], rounds: int = 7) -> list[dict[str, Any]]:
    """For each axis and side: the sizes, the shortest time at each in milliseconds, and the exponent fitted to them."""
    found = []
    for axis in AXES:
        sizes = [START[axis] * factor for factor in FACTORS]
        functions = [side for size in sizes for side in functions_at(entries, START | {axis: size})]
        shortest = 1e3 * interleaved(functions, rounds).min(axis=1).reshape(len(sizes), len(entries))
        for name, times in zip(entries, shortest.T, strict=True):
            row = {"axis": axis, "side": name, "sizes": sizes, "ms": times.round(4).tolist()}
            found.append({**row, "exponent": round(exponent(sizes, times), 2)})
    return found


def functions_at(entries: Mapping[str, Entry], size: dict[str, int]) -> list[Any]:
    """Forward + backward of each side at one size; pixels in rows of 28."""
    shape = size["N"], size["C"], size["H·W"] // 28, 28
    f, d_out = np.random.default_rng(0).standard_normal((2, *shape), dtype=np.float32)
    block = CBAM(size["C"])
    return [entry.make(block, f, d_out).both for entry in entries.values()]


def exponent(sizes: list[int], times: Any) -> float:
    """The slope of log(time) over log(size): 1 if twice the size takes twice the time."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def show(console: Console, found: list[dict[str, Any]]) -> None:
    """Print the exponents as a table."""
    start = ", ".join(f"{axis} = {size}" for axis, size in START.items())
    table = terminal.new_table(console, f"Growth of forward + backward from {start}: time = a · size^exponent")
    for head in ("axis", "side", "sizes", "milliseconds", "exponent"):
        table.add_column(head, no_wrap=head in ("axis", "exponent"))
    for row in found:
        times = ", ".join(f"{ms:.2f}" for ms in row["ms"])
        table.add_row(row["axis"], row["side"], ", ".join(map(str, row["sizes"])), times, f"{row['exponent']:.2f}")
    terminal.show(console, table)
