"""How fast the block is, on a processor and on a GPU."""

import json
from statistics import median
from typing import Any

from cbam_np.commands.timing import PASSES, milliseconds, spread
from generated.tables import ROOT, machine, measured, table


def speed() -> str:
    """The table of `cbam-np bench`."""
    found = measured("speed")
    load = found["machine"]["load"]
    quiet = (
        "The machine was quiet."
        if load is not None and load < 0.5
        else f"**The machine was not quiet**: in the minute before, the load was {load}."
    )
    return f"{machine(found)} {quiet}\n\n{timings(found)}"


def fused() -> str:
    """What the compiled loops gain over each peer, in time and memory, and how their time grows."""
    found = measured("speed")
    kinds, comparisons = list(PASSES.values()), [found, *found["all cores"]]
    rows = []
    for side in found["means"]:
        cells = [1 / median(comparison["means"][side][kind]) for comparison in comparisons for kind in kinds]
        rows.append([side, *(f"{cell:.1f}" if cell > 0.95 else f"{cell:.2f}" for cell in cells)])
    words = ["one thread" if c["threads"] == 1 else f"{c['threads']} threads" for c in comparisons]
    faster = table(
        ["peer", *(f"{kind}, {count}" for count in words for kind in kinds)], rows, "l" + "r" * (len(rows[0]) - 1)
    )
    peaks = [[side, f"{factor:.2f}"] for side, factor in found["memory"]["peaks"].items()]
    size = ", ".join(map(str, found["memory"]["size"]))
    growth = [[row["side"], row["axis"], f"{row['exponent']:.2f}"] for row in found["growth"]]
    return (
        f"{machine(found)} In the minute before, the load was {found['machine']['load']}. "
        f"Geometric means over the five sizes, medians of {found['runs']} runs of {found['rounds']} rounds.\n\n"
        f"How many times as long each peer takes as `{found['ours']}`:\n\n{faster}\n\n"
        f"Memory at its peak, beyond inputs and results, in multiples of $F$, at N, C, H=W = {size}:\n\n"
        f"{table(['side', 'times F'], peaks, 'lr')}\n\n"
        "How the time of forward and backward grows, fitted to four sizes along each axis: a · size^exponent.\n\n"
        f"{table(['side', 'axis', 'exponent'], growth, 'llr')}"
    )


def timings(found: dict[str, Any]) -> str:
    """What was timed, side by side, with the spread over the rounds and the runs."""
    ours, rows = found["ours"], []
    for t in found["timings"]:
        row = [", ".join(map(str, t["size"])), t["side"]]
        for name in PASSES.values():
            row += [milliseconds(t[f"{name} ms"]), "" if t["side"] == ours else spread(t[f"{name} ratio"])]
        rows.append(row)
    head = ["N, C, H=W", "side", *(cell for name in PASSES.values() for cell in (f"{name}, ms", "ratio"))]
    means = [
        f"`{ours}` to {side}: "
        + "; ".join(f"{name} {', '.join(f'{mean:.2f}' for mean in figures)}" for name, figures in passes.items())
        for side, passes in found["means"].items()
    ]
    return (
        f"Medians over {found['runs']} runs of {found['rounds']} rounds each; in parentheses the quartiles.\n\n"
        f"{table(head, rows, 'llrrrr')}\n\n"
        f"Geometric means of the ratios over the sizes, one figure for each run. {'. '.join(means)}."
    )


def gpu() -> str:
    """The results of `make gpu-test`, or that there are none."""
    path = ROOT / "docs" / "gpu-results.json"
    if not path.exists():
        return "**This project has not yet run on a GPU.** There is no results file, so there is no table here."
    found = json.loads(path.read_text(encoding="utf-8"))
    facts = "; ".join(f"{key} {value}" for key, value in found["machine"].items())
    verdicts = [f"{what}: {'passed' if found[what]['passed'] else '**failed**'}" for what in ("tests", "gradients")]
    summary = f"{', '.join(verdicts)} ({' '.join(found['tests']['summary'])})"
    return f"Measured on: {facts}.\n\n{summary}.\n\n{timings(found)}"
