"""What the results say: tables, and verdicts in words, in Markdown. All of it comes from the results."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import isnan, log, nan
from typing import Any, TypeAlias

import numpy as np

from cbam_np.nets.studies import plan
from cbam_np.nets.studies.plan import ABLATIONS, KINDS, MISTAKES, OPEN, PLACES, SAID, SHORT, Run
from cbam_np.nets.studies.statistics import ENOUGH, LIMIT, Difference, Interval, against, difference, interval, verdict
from cbam_np.nets.studies.store import Result

Cell: TypeAlias = tuple[str, str, int, str, str]

# top-1 error % on ImageNet with a ResNet-50: the paper's, as notes on it by others quote them; not read off the paper
PAPER = {
    "none": 24.56,
    "SE": 23.14,
    "channel, max only": 23.20,
    "channel": 22.80,
    "spatial 1×1 conv, k=3": 22.96,
    "spatial 1×1 conv, k=7": 22.90,
    "spatial k=3": 22.68,
    "CBAM": 22.66,
    "spatial first": 22.78,
    "parallel": 22.95,
}
UNBROKEN = "\N{NO-BREAK SPACE}"
AGREES = 1e-3  # PyTorch's losses of the first steps: the largest relative difference that rounding explains
FALLS = 0.95  # a loss has fallen if the last epoch's mean is below so much of the first's


# --- which results --------------------------------------------------------------------------------------------------


def cell_of(run: Run) -> Cell:
    """What has a learning rate of its own: variant, data, clutter, network and head."""
    return run.variant, run.data, run.clutter, run.net, run.head


def best_peaks(results: Iterable[Result]) -> dict[Cell, float]:
    """For each cell the learning rate with the best score on the validation split; of equals, the smaller."""
    scores: dict[Cell, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run, found, _ in results:
        if run.purpose == "validation":
            score = next(iter(found["scores"].values()), -1.0)  # a training that diverged has none
            scores[cell_of(run)][run.peak].append(score)
    return {cell: max(sorted(by), key=lambda peak: np.mean(by[peak])) for cell, by in scores.items()}


def of_study(results: Iterable[Result], study: str) -> list[Result]:
    """Those of a study that count: with the best learning rate where one was chosen, measured on the test split."""
    results = list(results)
    best = best_peaks(r for r in results if r.run.study == study)
    return [
        r
        for r in results
        if r.run.study == study and r.run.purpose == "test" and r.run.peak == best.get(cell_of(r.run), r.run.peak)
    ]


def scores(results: Iterable[Result], **choice: Any) -> dict[int, float]:
    """Seed -> score of the NumPy runs with this choice; without those that diverged."""
    choice = {"library": "numpy", **choice}
    return {
        run.seed: next(iter(found["scores"].values()))
        for run, found, _ in results
        if found.get("scores") and all(getattr(run, name) == value for name, value in choice.items())
    }


def settings(results: Iterable[Result]) -> list[dict[str, Any]]:
    """The settings in which variants of the study "features" were compared, in the plan's order."""
    names = "data", "clutter", "epochs", "count"
    found = {tuple(getattr(run, name) for name in names) for run, _, _ in results if run.variant != "none"}
    return [dict(zip(names, values, strict=True)) for values in sorted(found)]


# --- Markdown -------------------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; columns other than the first are aligned to the right."""
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])


def percent(x: Interval, scale: float = 100) -> str:
    """A mean and its interval in percent."""
    if x.n == 0:
        return "–"
    return f"{scale * x.mean:.1f}" + ("" if isnan(x.half) else f" ± {scale * x.half:.1f}")


def points(x: Difference) -> str:
    """A difference in percentage points; not shown if there are too few pairs."""
    return f"{100 * x.mean:+.1f} ± {100 * x.half:.1f}" if x.n >= ENOUGH else "–"


def pairs(x: Difference) -> str:
    """How many pairs there are, and how many it takes."""
    return f"{x.n} of {ENOUGH} pairs"


def p_value(x: Difference) -> str:
    """Two figures are enough."""
    return "–" if x.n < ENOUGH else "< 0.001" if x.p < 0.001 else f"{x.p:.2g}"


# --- what was run ---------------------------------------------------------------------------------------------------


def group_of(run: Run) -> str:
    """What a run belongs to, in words."""
    if run.study == "light":
        return run.net
    if run.purpose == "validation":
        return "choice of learning rates"
    if run.library == "torch":
        return "repeated in PyTorch"
    if run.study == "bugs":
        return "right backward, and six wrong ones"
    if run.study == "everywhere":
        return f"{run.net}, {run.head} head"
    what = "Fashion-MNIST" if run.data == "fashion" else f"digits, clutter {run.clutter}"
    return f"{what}, {run.epochs} epochs" + (", equal time" if run.epochs == 2 * SHORT else "")


def progress(study: str, results: Iterable[Result]) -> str:
    """How many runs of the full plan have been made; what is still to be run."""

    def key(run: Run) -> Run:
        return replace(run, peak=0.1) if run.purpose == "test" else run

    planned = plan.every_run(study)
    made = {key(run) for run, _, _ in results if run.study == study}
    total, done = Counter(map(group_of, planned)), Counter(group_of(run) for run in planned if key(run) in made)
    rows = [[group, str(done[group]), str(count)] for group, count in total.items()]
    head = f"{sum(done.values())} of {sum(total.values())} runs of the plan have been made."
    return f"{head}\n\n{table(['runs', 'made', 'planned'], rows)}"


def machines(results: Sequence[Result]) -> str:
    """When and where, in one sentence; empty if there is nothing."""
    if not results:
        return ""
    dates = sorted({r.machine["date"] for r in results})
    places = sorted({f"{m['processor']}, {m['cores']} cores" for _, _, m in results})
    versions = sorted({f"Python {m['python']}, NumPy {m['numpy']}, threads: {m['threads']}" for _, _, m in results})
    loads = [r.machine["load"] for r in results if r.machine["load"] is not None]
    seeds = ", ".join(map(str, sorted({r.run.seed for r in results})))
    busy = f" Other programs kept the machine busy: its load was {min(loads)} to {max(loads)}." if loads else ""
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"Measured on {when}: {'; '.join(places)}; {'; '.join(versions)}; seeds {seeds}.{busy}"


# --- 1. light? ------------------------------------------------------------------------------------------------------


def light(results: list[Result]) -> str:
    """Counts, and times and memory beside the network without attention."""
    rows, said = [], []
    for run, found, _ in sorted(results, key=lambda r: str(r.run.net)):
        base = found["none"]
        for kind, cost in found.items():
            ratios = [
                quartiles([a / b for a, b in zip(cost[what], base[what], strict=True)])
                for what in ("inference s", "training s")
            ]
            memory = [f"{cost[f'{what} MB'] / base[f'{what} MB']:.2f}" for what in ("inference", "training")]
            counts = [f"{cost[what]:,}".replace(",", UNBROKEN) for what in ("parameters", "multiply-adds")]
            rows.append([f"{run.net}, {kind}", *counts, *ratios, *memory])
        said.append(light_verdict(run.net, found))
    head = ["network", "parameters", "multiply-adds", "time, inference", "training", "memory, inference", "training"]
    return f"{table(head, rows)}\n\n{paragraphs(said)}"


def quartiles(ratios: Sequence[float]) -> str:
    """Median, and quartiles in parentheses."""
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return f"{middle:.2f} ({low:.2f}{UNBROKEN}to{UNBROKEN}{high:.2f})"


def light_verdict(net: str, found: dict[str, Any]) -> str:
    """CBAM beside SE, and beside no attention; "negligible" is below one percent."""
    none, se, cbam = found["none"], found["SE"], found["CBAM"]
    parts = []
    for what in ("parameters", "multiply-adds"):
        more = 100 * (cbam[what] / none[what] - 1)
        than_se = "more than" if cbam[what] > se[what] else "no more than"
        size = "negligible" if more < 1 else "not negligible"
        parts.append(f"{more:.2f} % more {what} ({size}; {than_se} SE)")
    return f"**{net}**: CBAM adds {' and '.join(parts)}. {longer(np.divide(cbam['training s'], none['training s']))}."


def longer(ratios: Sequence[float]) -> str:
    """What times of a training step, as multiples of that without attention, say: nothing if a quarter is below 1."""
    low, middle = np.quantile(ratios, [0.25, 0.5])
    return f"A training step takes {middle:.2f} times as long" if low > 1 else "A longer training step isn't shown"


# --- 2. better features? --------------------------------------------------------------------------------------------


def features(results: list[Result]) -> str:
    """The ablations, one table for each setting of which there are results."""
    parts = []
    for setting in settings(results):
        for name, variants in ABLATIONS.items():
            rows, said = ablation(results, variants, setting)
            if len(rows) > (1 if name == "attention" else 2):  # CBAM beside none is what that table is about
                head = [
                    "variant",
                    "seeds",
                    "accuracy %",
                    "minus the first",
                    "p",
                    "verdict",
                    "s",
                    "paper (quoted), top-1 error %",
                ]
                parts += [f"**{name.capitalize()}**, {in_words(setting)}:", table(head, rows), said]
        parts.append(equal_time(results, setting))
    return paragraphs([*parts, in_pytorch(results)])


def in_words(setting: dict[str, Any]) -> str:
    """A setting."""
    return f"{place_in_words(setting)}, {setting['count']} pictures, {setting['epochs']} epochs"


def place_in_words(setting: dict[str, Any]) -> str:
    """The pictures of a setting."""
    return "Fashion-MNIST" if setting["data"] == "fashion" else f"digits with clutter {setting['clutter']}"


def ablation(results: list[Result], variants: Sequence[str], setting: dict[str, Any]) -> tuple[list[list[str]], str]:
    """Rows of a table, and what they say in words. Each variant is compared with the first.

    The limit for p counts the comparisons that are planned, of which some may not have been run yet.
    """
    by_variant = {variant: scores(results, variant=variant, **setting) for variant in variants}
    there = {variant: found for variant, found in by_variant.items() if found}
    if variants[0] not in there:
        return [], ""
    first, rows, groups = there[variants[0]], [], defaultdict(list)
    for variant, found in there.items():
        d = difference(first, found)
        answer = "" if variant == variants[0] else verdict(d, len(variants) - 1)
        seconds = [r.found["seconds"][-1] for r in matching(results, variant, setting)]
        shown = ["", "", ""] if variant == variants[0] else [points(d), p_value(d), answer]
        paper = f"{PAPER[variant]:.2f}" if variant in PAPER else "–"
        mean = interval(list(found.values()))
        rows.append([variant, str(mean.n), percent(mean), *shown, f"{np.median(seconds):.0f}", paper])
        if answer:
            groups[answer].append(f"{variant} ({pairs(d) if answer == 'too few runs' else f'{points(d)} points'})")
    words = {"better": "better than", "worse": "worse than", "no difference shown": "no difference shown from"}
    words["too few runs"] = "incomplete, so nothing is said beside"
    said = [f"{words.get(answer, answer)} {variants[0]}: {', '.join(who)}" for answer, who in groups.items()]
    return rows, f"Verdict: {'; '.join(said)}." if said else ""


def matching(results: list[Result], variant: str, setting: dict[str, Any]) -> list[Result]:
    """The NumPy results of a variant in a setting."""
    setting = {**setting, "variant": variant, "library": "numpy"}
    return [r for r in results if all(getattr(r.run, k) == v for k, v in setting.items()) and r.found["scores"]]


def equal_time(results: list[Result], setting: dict[str, Any]) -> str:
    """CBAM against the longer training without attention whose time is nearest to it; empty if there are no results."""

    def seconds(variant: str, epochs: int) -> float:
        runs = matching(results, variant, {**setting, "epochs": epochs})
        return float(np.median([r.found["seconds"][-1] for r in runs])) if runs else nan

    limit = seconds("CBAM", setting["epochs"])
    ratios = {epochs: seconds("none", epochs) / limit for epochs in {r.run.epochs for r in results}}
    ratios = {epochs: ratio for epochs, ratio in ratios.items() if epochs > setting["epochs"] and not isnan(ratio)}
    if not ratios:
        return ""
    epochs = min(ratios, key=lambda e: abs(log(ratios[e])))
    without = scores(results, variant="none", **{**setting, "epochs": epochs})
    d = difference(without, scores(results, variant="CBAM", **setting))
    head = (
        f"At about equal time: without attention, {epochs} epochs take {ratios[epochs]:.2f} times as long as these "
        f"{setting['epochs']} with CBAM."
    )
    if d.n < ENOUGH:
        return f"{head} The comparison of their accuracies is incomplete ({pairs(d)})."
    return f"{head} CBAM's accuracy minus that one is {points(d)} points (p {p_value(d)}): {verdict(d)}."


def in_pytorch(results: list[Result]) -> str:
    """Runs that were made twice: do the losses of the first steps agree, and the scores at the end?"""
    ours = {r.run: r.found for r in results if r.run.library == "numpy"}
    rows, moved = [], []
    for run, theirs, _ in results:
        mine = ours.get(replace(run, library="numpy"))
        if run.library == "torch" and mine and "first" in mine:
            apart = float(np.max(np.abs(np.divide(mine["first"], theirs["first"]) - 1)))
            scored = [next(iter(found["scores"].values())) for found in (mine, theirs)]
            what, both = f"{run.variant}, {run.net}, {run.head}", [f"{score:.3f}" for score in scored]
            rows.append([what, f"{apart:.0e}", *both, "agrees" if apart <= AGREES else "**differs**"])
            if apart <= AGREES:
                moved.append(100 * abs(scored[0] - scored[1]))
    head = ["repeated in PyTorch", "losses apart, first 20 steps", "score here", "score there", "verdict"]
    said = f"Rounding alone moved a score by up to {max(moved):.1f} points by the end of a training." if moved else ""
    return paragraphs([table(head, rows), said]) if rows else ""


# --- 3. fits and helps everywhere? ----------------------------------------------------------------------------------


def everywhere(results: list[Result]) -> str:
    """With and without CBAM, in each place."""
    places = sorted({(r.run.net, r.run.head, r.run.epochs, r.run.count) for r in results})
    rows = []
    for net, head, epochs, count in places:
        place: dict[str, Any] = {"net": net, "head": head, "epochs": epochs, "count": count}
        without, with_cbam = (scores(results, variant=variant, **place) for variant in ("none", "CBAM"))
        d = difference(without, with_cbam)
        means = [percent(interval(list(found.values()))) for found in (without, with_cbam)]
        rows.append([f"{net}, {head}", *means, points(d), p_value(d), verdict(d, len(PLACES))])
    return paragraphs([table(["place", "none", "CBAM", "CBAM - none", "p", "verdict"], rows), in_pytorch(results)])


def where_it_looks(results: list[Result]) -> str:
    """How far M_s lies inside the digit's mask, before and after training, and Grad-CAM beside it."""
    parts = []
    for setting in settings(results):
        for variant in ("spatial", "CBAM"):
            runs = [r for r in matching(results, variant, setting) if r.found.get("looks")]
            if not runs:
                continue
            looks = [r.found["looks"] for r in runs]
            rows = [
                looking_row(f"M_s of {block}", [x[0][block] for x in looks], [x[-1][block] for x in looks])
                for block in looks[0][0]
            ]
            grad_cams = [r.found["grad-cam"] for r in runs if "grad-cam" in r.found]
            if grad_cams:
                rows.append(looking_row("Grad-CAM", [], grad_cams))
            head = [
                "map",
                *(f"{what}{when}" for what in ("inside", "pointing") for when in (", before", ", after", "")),
            ]
            parts += [f"**{variant}**, {in_words(setting)}, {len(runs)} seeds; 1 is chance:", table(head, rows)]
    return paragraphs(parts)


def looking_row(name: str, before: list[dict[str, float]], after: list[dict[str, float]]) -> list[str]:
    """One map: how far it looked at the digit before and after training, in units of chance, and what that says."""
    row = [name]
    for what in ("inside", "pointing"):
        values = [[x[what] for x in looks] for looks in (before, after)]
        row += [*(percent(interval(v), scale=1) for v in values), looking_verdict(values[1], comparisons=8)]
    return row


def looking_verdict(inside: list[float], comparisons: int = 1) -> str:
    """Whether a map lies on the digit more than chance would have it, or less. comparisons: of its table."""
    p = against(inside, 1.0)
    if len(inside) < ENOUGH:
        return "too few runs"
    if not p < 0.05 / comparisons:
        return "chance not ruled out"
    return "on the digit" if np.mean(inside) > 1 else "off the digit"


# --- 4. the bugs ----------------------------------------------------------------------------------------------------


def bugs(results: list[Result]) -> str:
    """What each wrong backward does to the loss and to the accuracy."""
    right = scores(results, mistake="")
    falls_right = fallen(r for r in results if not r.run.mistake)
    rows, groups = [], defaultdict(list)
    for mistake in ("", *MISTAKES):
        runs = [r for r in results if r.run.mistake == mistake]
        if not runs:
            continue
        falls, ended = fallen(runs), sum(r.found["diverged"] for r in runs)
        error = f"{100 * float(np.median([r.found['gradient error'] for r in runs])):.3g}" if mistake else "0"
        found = scores(results, mistake=mistake)
        d = difference(right, found)
        answer = bug_verdict(d, falls, len(runs), falls_right > 0, len(MISTAKES)) if mistake else ""
        if mistake:
            groups[answer].append(SAID.get(mistake, mistake))
        rows.append(
            [
                SAID.get(mistake, mistake) or "none: the right backward",
                error,
                f"{falls} of {len(runs)}" + (f", {ended} diverged" if ended else ""),
                percent(interval(list(found.values()))),
                points(d) if mistake else "",
                p_value(d) if mistake else "",
                answer,
            ]
        )
    head = ["mistake", "gradient wrong by %", "loss falls", "accuracy %", "minus right", "p", "verdict"]
    said = [f"{answer}: {', '.join(mistakes)}" for answer, mistakes in groups.items()]
    return paragraphs([table(head, rows), f"Verdict: {'. '.join(s[0].upper() + s[1:] for s in said)}." if said else ""])


def fallen(runs: Iterable[Result]) -> int:
    """In how many runs the loss has fallen; never in one that diverged."""
    return sum(not found["diverged"] and found["losses"][-1] < FALLS * found["losses"][0] for _, found, _ in runs)


def bug_verdict(d: Difference, falls: int, runs: int, right_trains: bool, comparisons: int) -> str:
    """In words: does it still train, and is it worse for it?"""
    if not right_trains:
        return "too short a training to say"
    if falls < runs:
        return "doesn't train" if falls == 0 else "doesn't always train"
    words = {
        "worse": "trains, only worse",
        "better": "trains, and better",
        "no difference shown": "trains, no loss shown",
        "too few runs": "trains, too few runs to say more",
    }
    return words[verdict(d, comparisons)]


# --- in one sentence each --------------------------------------------------------------------------------------------


def in_short(study: str, results: Iterable[Result]) -> str:
    """What a study has found so far, in a sentence or two."""
    chosen = of_study(results, study)
    tell = {"light": light_short, "features": features_short, "everywhere": everywhere_short, "bugs": bugs_short}[study]
    return tell(chosen) if chosen else "Not run yet."


def light_short(results: list[Result]) -> str:
    """CBAM beside SE in all networks, and what it adds to ResNet-50, or to the largest there is."""
    counts = "parameters", "multiply-adds"
    more = sum(all(r.found["CBAM"][what] > r.found["SE"][what] for what in counts) for r in results)
    run, found, _ = max(results, key=lambda r: (r.run.net == "resnet50", float(r.found["none"]["multiply-adds"])))
    added = [f"{100 * (found['CBAM'][what] / found['none'][what] - 1):.2g} % more {what}" for what in counts]
    step = longer(np.divide(found["CBAM"]["training s"], found["none"]["training s"]))
    return (
        f"CBAM has more parameters and more multiply-adds than SE in {more} of {len(results)} networks. In {run.net} "
        f"it adds {' and '.join(added)}. {step}."
    )


def features_short(results: list[Result]) -> str:
    """CBAM against no attention in all settings with enough runs."""
    lengths: dict[int, list[str]] = {}
    for setting in settings(results):
        d = difference(*(scores(results, variant=variant, **setting) for variant in ("none", "CBAM")))
        said_here = f"{place_in_words(setting)}, {points_and_verdict(d, len(KINDS) - 1)}"
        lengths.setdefault(setting["epochs"], []).append(said_here)
    found = [f"after {epochs} epochs on {'; on '.join(rows)}" for epochs, rows in lengths.items()]
    said = [f"Accuracy with CBAM minus that without attention: {'. And '.join(found) or 'not compared yet'}."]
    closed, opened = (scores(results, variant=v, data="digits", clutter=4, epochs=SHORT) for v in ("CBAM", OPEN))
    d = difference(closed, opened)
    if d.n:
        limits = len(ABLATIONS["how the gates start"]) - 1
        said.append(f"Released CBAM whose gates start open, minus CBAM: {points_and_verdict(d, limits)}.")
    return " ".join(said)


def everywhere_short(results: list[Result]) -> str:
    """The same for the places."""
    places, said = sorted({(r.run.net, r.run.head) for r in results}), []
    for net, head in places:
        d = difference(*(scores(results, variant=variant, net=net, head=head) for variant in ("none", "CBAM")))
        if d.n:
            said.append(f"{head} head of {net}, {points_and_verdict(d, len(PLACES))}")
    return f"The score with CBAM minus that without: {'; '.join(said) or 'not compared yet'}."


def points_and_verdict(d: Difference, comparisons: int) -> str:
    """A difference, with what its p is held against; if there are too few pairs, only that it is incomplete."""
    if d.n < ENOUGH:
        return f"incomplete ({pairs(d)})"
    return f"{points(d)} points (p {p_value(d)}, limit {LIMIT / comparisons:.2g}): {verdict(d, comparisons)}"


def bugs_short(results: list[Result]) -> str:
    """How many of the wrong backwards can be told from the loss."""
    right = scores(results, mistake="")
    falls_right = fallen(r for r in results if not r.run.mistake) > 0
    answers: Counter[str] = Counter()
    for mistake in MISTAKES:
        runs = [r for r in results if r.run.mistake == mistake]
        d = difference(right, scores(results, mistake=mistake))
        if runs:
            answers[bug_verdict(d, fallen(runs), len(runs), falls_right, len(MISTAKES))] += 1
    said = [f"{count} “{answer}”" for answer, count in answers.most_common()]
    return f"Of {answers.total()} wrong backwards: {', '.join(said)}."


# --- all together ---------------------------------------------------------------------------------------------------


def report(study: str, results: list[Result], quick: bool = False) -> str:
    """What a study has found so far, with date and machine; for a full study, also what is still to be run."""
    chosen = of_study(results, study)
    tell = {"light": light, "features": features, "everywhere": everywhere, "bugs": bugs}[study]
    parts = [machines(chosen), tell(chosen) if chosen else "Nothing has been run yet, so nothing can be said."]
    if study == "everywhere":
        parts.append(where_it_looks(of_study(results, "features")))
    if not quick:
        parts.append(progress(study, results))
    return paragraphs(parts)


def paragraphs(parts: Iterable[str]) -> str:
    """What there is of the parts, one below the other."""
    return "\n\n".join(part for part in parts if part)
