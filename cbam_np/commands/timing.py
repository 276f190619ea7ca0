"""How sides are timed, for `cbam-np bench` and `cbam-np gpu-test`: in turns, in several runs, with the spread.

Machines are shared and noisy, so milliseconds from different minutes can't be compared. In each round every side runs
once, and what counts is the ratio of two sides in the same round. A single run still says little: its arrays lie
where they happen to lie, and something else may keep the machine busy. So there are several, each over all sizes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter, sleep
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track

from cbam_np.arrays import to_numpy
from cbam_np.attention.block import CBAM, cbam
from cbam_np.commands import terminal
from cbam_np.commands.sides import Maker

Size = tuple[int, int, int]  # N, C, H = W
SIZES: tuple[Size, ...] = ((8, 64, 56), (8, 256, 56), (8, 512, 28), (8, 1024, 14), (8, 2048, 7))  # as in a ResNet-50
WARM_UP = 3  # rounds that don't count
PASSES = {"forward": "forward", "both": "forward + backward"}


PAUSE = 0.005  # seconds between two turns on several threads: OpenMP's idle threads go on spinning for a while
FLOAT64 = 1e-10  # the tolerance for every side in float64


class Entry(NamedTuple):
    """A side that takes part, and the largest error of its float32 results with which its times mean something.

    tolerance: None for a side that computes no block, such as a copy.
    """

    make: Maker
    tolerance: float | None


@dataclass(frozen=True)
class Timing:
    """The seconds of one side at one size, (runs, rounds) for each pass, and the error of what it computed.

    error: the largest of the output and of all gradients, each relative to its largest entry, against the block in
    float64. ok: whether that is within the side's tolerance.
    """

    size: Size
    side: str
    forward: np.ndarray
    both: np.ndarray
    error: float
    ok: bool


def timings(
    entries: Mapping[str, Entry],
    rounds: int,
    runs: int,
    seed: int,
    console: Console,
    dtype: str = "float32",
    pause: float = 0,
) -> list[Timing]:
    """Every side at every size, in `runs` runs of `rounds` rounds each, with a `pause` in seconds before each turn."""
    steps = track(SIZES * runs, "timing", console=console, transient=True)
    found = [one_run(entries, size, rounds, seed, dtype, pause) for size in steps]
    return [
        Timing(
            size=same[0].size,
            side=same[0].side,
            forward=np.concatenate([timing.forward for timing in same]),
            both=np.concatenate([timing.both for timing in same]),
            error=max(timing.error for timing in same),
            ok=all(timing.ok for timing in same),
        )
        for i in range(len(SIZES))
        for same in zip(*found[i :: len(SIZES)], strict=True)
    ]


def one_run(
    entries: Mapping[str, Entry], size: Size, rounds: int, seed: int, dtype: str = "float32", pause: float = 0
) -> list[Timing]:
    """Every side at one size. Its results are compared with float64 before it is timed."""
    N, C, H = size
    f, d_out = np.random.default_rng(seed).standard_normal((2, N, C, H, H), dtype=np.dtype(dtype))
    block = CBAM(C, dtype=dtype, seed=seed)
    exact = in_float64(block, f, d_out)
    sides = [entry.make(block, f, d_out) for entry in entries.values()]
    errors, within = [], []
    for side, entry in zip(sides, entries.values(), strict=True):
        results = [to_numpy(x) for x in side.forward() + side.both()]
        errors.append(0.0 if entry.tolerance is None else largest_error(results, exact))
        within.append(entry.tolerance is None or errors[-1] <= (entry.tolerance if dtype == "float32" else FLOAT64))
    seconds = interleaved([side.forward for side in sides] + [side.both for side in sides], rounds, pause)[:, None]
    return [
        Timing(size, name, seconds[i], seconds[len(sides) + i], errors[i], within[i]) for i, name in enumerate(entries)
    ]


def interleaved(functions: list[Callable[[], Any]], rounds: int, pause: float = 0) -> np.ndarray:
    """The seconds of each function, (len(functions), rounds). In every round each runs once, in alternating order."""
    seconds = np.zeros((len(functions), WARM_UP + rounds))
    order = list(range(len(functions)))
    for i in range(WARM_UP + rounds):
        for j in order:
            sleep(pause)
            start = perf_counter()
            functions[j]()
            seconds[j, i] = perf_counter() - start
        order.reverse()
    return seconds[:, WARM_UP:]


def in_float64(block: CBAM, f: np.ndarray, d_out: np.ndarray) -> list[np.ndarray]:
    """Output, d_f and the parameters' gradients, computed by `block` in float64: what float32 is compared with."""
    out, backward = cbam(f.astype(np.float64), {key: w.astype(np.float64) for key, w in block.params.items()})
    d_f, grads = backward(d_out.astype(np.float64))
    return [out, d_f, *grads.values()]


def largest_error(got: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """Over all arrays, |got - expected| as a fraction of the array's largest entry; NaN counts as infinitely wrong."""
    return max(error_of(a, b) for a, b in zip(got, expected, strict=True))


def error_of(got: np.ndarray, expected: np.ndarray) -> float:
    """One array's share of `largest_error`. Where all is 0, as the gradients of a dead hidden unit, 0 has to be got."""
    error, largest = float(np.abs(got - expected).max()), float(np.abs(expected).max())
    if np.isnan(error) or (largest == 0 < error):
        return np.inf
    return error / largest if largest else 0.0


# what the timings say


def summary(found: list[Timing], ours: str) -> dict[str, Any]:
    """The figures of a comparison, for the screen and for JSON.

    timings: for each size and side the median milliseconds of each pass, and the ratio of `ours` to this side, below 1
    where `ours` is faster, as [lower quartile, median, upper quartile] over all rounds of all runs. means: for each
    other side the geometric mean over the sizes of the run's median ratios, one for each run.
    """
    own = {timing.size: timing for timing in found if timing.side == ours}
    rows: list[dict[str, Any]] = []
    medians: dict[str, dict[str, list[np.ndarray]]] = {}
    for timing in found:
        row: dict[str, Any] = {"size": list(timing.size), "side": timing.side}
        for attribute, name in PASSES.items():
            seconds = getattr(timing, attribute)
            ratios = getattr(own[timing.size], attribute) / seconds
            row[f"{name} ms"] = round(1e3 * float(np.median(seconds)), 4)
            row[f"{name} ratio"] = [round(float(q), 4) for q in np.quantile(ratios, (0.25, 0.5, 0.75))]
            medians.setdefault(timing.side, {}).setdefault(name, []).append(np.median(ratios, axis=1))
        rows.append({**row, "error": timing.error, "ok": timing.ok})
    means = {
        side: {name: np.exp(np.mean(np.log(ratios), axis=0)).round(4).tolist() for name, ratios in passes.items()}
        for side, passes in medians.items()
        if side != ours
    }
    runs, rounds = found[0].forward.shape
    return {"ours": ours, "runs": runs, "rounds": rounds, "timings": rows, "means": means}


def show(console: Console, summary: dict[str, Any], title: str) -> None:
    """Print a summary as a table, and below it what its columns mean."""
    ours, rows = summary["ours"], summary["timings"]
    table = terminal.new_table(console, title)
    table.add_column("N, C, H=W", justify="right", no_wrap=True)
    table.add_column("side", no_wrap=True)
    for head in ("forward", "ratio", "fwd+bwd", "ratio"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        cells = [
            cell
            for name in PASSES.values()
            for cell in (milliseconds(row[f"{name} ms"]), "" if row["side"] == ours else spread(row[f"{name} ratio"]))
        ]
        table.add_row(", ".join(map(str, row["size"])), row["side"], *cells)
    terminal.show(console, table)
    console.print(
        f"ratio: the time of {ours} divided by that of the side in this row; below 1, {ours} is faster. Median and, in "
        f"parentheses, quartiles (runs: {summary['runs']}, rounds in each: {summary['rounds']})."
    )
    for side, passes in summary["means"].items():
        words = "; ".join(f"{name} {', '.join(f'{mean:.2f}' for mean in means)}" for name, means in passes.items())
        console.print(f"{ours} / {side}, geometric mean over the sizes, one figure a run: {words}")
    for side in dict.fromkeys(row["side"] for row in rows):
        error = max(row["error"] for row in rows if row["side"] == side)
        if error > 0:  # a copy has none
            console.print(f"largest relative error of {side} against float64: {error:.0e}")
    for row in rows:
        if not row["ok"]:
            console.print(f"[bold red]wrong[/]: {row['side']} at {row['size']}; its times mean nothing")


def milliseconds(time: float) -> str:
    """Three digits: "0.123", "12.3", "123", "1234"."""
    return f"{time:#.3g}".rstrip(".") if time < 999.5 else f"{time:.0f}"


def spread(quartiles: list[float]) -> str:
    """A median with its quartiles: "0.95 (0.91–1.02)"."""
    low, median, high = quartiles
    return f"{median:.2f} ({low:.2f}–{high:.2f})"
