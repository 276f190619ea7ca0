"""Parts of pages that come from the code or from a measured run.

The directive {generated} takes the name of a function in this file and shows the MyST that it returns.
"""

import argparse
import json
from collections import Counter
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from docutils import nodes
from for_teachers import course_json, sessions
from gallery import gallery
from sphinx.util.docutils import SphinxDirective
from wild_table import wild_modules

from cbam_np.commands import inside as inside_net
from cbam_np.commands.cli import parser
from cbam_np.commands.timing import PASSES, milliseconds, spread
from cbam_np.nets.studies import store
from cbam_np.nets.studies.plan import STUDIES
from cbam_np.nets.studies.summary import in_short, report
from cbam_np.reference.cost import cbam_cost, se_cost
from cbam_np.reference.formulas import FORMULAS, Formula

ROOT = Path(__file__).resolve().parents[2]


def table(head: list[str], rows: list[list[str]], align: str = "") -> str:
    """A Markdown table. align: one letter a column, l or r."""
    rule = ["--:" if letter == "r" else "---" for letter in align.ljust(len(head), "l")]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])


def measured(name: str) -> Any:
    """What `docs/measure.py name` wrote."""
    return json.loads((ROOT / "docs" / "_generated" / f"{name}.json").read_text(encoding="utf-8"))


def machine(found: dict[str, Any]) -> str:
    """One sentence on where the figures come from."""
    m = found["machine"]
    return (
        f"Measured on {m['date']}: {m['processor']}, {m['cores']} cores, Python {m['python']}, NumPy {m['numpy']}, "
        f"PyTorch {m['torch']}."
    )


# --- all formulas on one page -------------------------------------------------------------------------------------


def overview() -> str:
    """One line for each formula."""
    rows = [
        [f"({f.number})", f"[{f.name}](#formula-on-this-page-{f.number})", f.chinese, f"${f.as_read}$"]
        for f in FORMULAS
    ]
    return table(["no.", "name", "中文", "formula"], rows)


def formulas() -> str:
    """One section for each formula."""
    return "\n\n".join(map(formula_section, FORMULAS))


def formula_section(formula: Formula) -> str:
    """Everything about one formula."""
    chapters = ", ".join(f"[](/notebooks/{name}.ipynb)" for name in formula.chapters)
    functions = ", ".join(f"[`{name.rsplit('.', 1)[1]}`](code:{name})" for name in formula.functions)
    gradient = "\n\n".join(f"$${part}$$" for part in formula.gradient.split(r"\qquad"))
    file, test = formula.test.split("::", 1)
    return f"""
(formula-on-this-page-{formula.number})=
## ({formula.number}) {formula.name[0].upper()}{formula.name[1:]} · {formula.chinese}

As the document has it:

$${formula.document}$$

As it should be read, ({formula.number}), with the shape ({", ".join(formula.shape)}) on the left:

$${formula.as_read}$$

Its gradient:

{gradient}

:Chapter: {chapters}
:Code: {functions}
:Test: [`{test}`](code:{file})
"""


# --- the document, read critically --------------------------------------------------------------------------------


SIZES = (64, 56), (256, 56), (512, 28), (1024, 14), (2048, 7)  # C, H = W: the stages of a ResNet-50


def cost() -> str:
    """SE against CBAM."""
    rows = []
    for channels, size in SIZES:
        se, cbam = se_cost(channels), cbam_cost(channels, size, size)
        counts = se.parameters, cbam.parameters, se.multiply_adds, cbam.multiply_adds
        ratio = f"{cbam.multiply_adds / se.multiply_adds:.1f}"
        rows.append([f"{channels}, {size}", *(f"{count:,}".replace(",", " ") for count in counts), ratio])
    head = ["C, H=W", "parameters, SE", "CBAM", "multiply-adds, SE", "CBAM", "CBAM / SE"]
    return table(head, rows, "rrrrrr")


# --- a wrong gradient ---------------------------------------------------------------------------------------------

WRONG_AVERAGE = """\
import numpy as np
import cbam_np as cb

def average(f):
    return f.mean(axis=(2, 3)), lambda d_out: np.broadcast_to(d_out[:, :, None, None], f.shape)

f = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
print(cb.gradcheck(average, f))
"""


def wrong_average() -> str:
    """A backward with a mistake, and what gradcheck prints about it now."""
    with redirect_stdout(StringIO()) as printed:
        exec(WRONG_AVERAGE, {})
    return f"```python\n{WRONG_AVERAGE}```\n\n```text\n{printed.getvalue()}```"


# --- the commands -------------------------------------------------------------------------------------------------


def commands() -> str:
    """The help of every command, from argparse itself."""
    top = parser()
    found = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    helps = {choice.dest: choice.help or "" for choice in found._choices_actions}
    return "\n\n".join(command_section(name, helps[name], sub) for name, sub in found.choices.items())


def command_section(name: str, summary: str, sub: argparse.ArgumentParser) -> str:
    """One command: what it is for, and its options as a table."""
    form = sub._get_formatter()
    options = [action for action in sub._actions if action.dest != "help"]
    rows = [[f"`{', '.join(a.option_strings) or a.dest.upper()}`", form._expand_help(a)] for a in options]
    text = f"## `cbam-np {name}`\n\n{summary[0].upper()}{summary[1:]}."
    return text + ("\n\n" + table(["option", "meaning"], rows) if rows else " It has no options.")


# --- how it is proved ---------------------------------------------------------------------------------------------


def gradients() -> str:
    """The table of `cbam-np check`."""
    found = measured("proof")
    rows = []
    for row in found["gradients"]:
        errors = [cell["error"] for cell in row["cells"].values()]
        verdict = "ok" if all(cell["ok"] for cell in row["cells"].values()) else "**wrong**"
        shown = ["–" if error is None else f"{error:.0e}" for error in errors]
        rows.append([f"`{row['operation']}`", row["formula"].replace("-", "–"), *shown, verdict])
    head = ["operation", "formula"]
    head += [f"{name.split()[0].replace('float', 'f')} {name.split()[1]}" for name in found["gradients"][0]["cells"]]
    passes = ", ".join(f"{name} {tolerance:.0e}" for name, tolerance in found["tolerances"].items())
    limits = f"A gradient passes if its relative error is at most: {passes}."
    return f"{machine(found)}\n\n{table([*head, ''], rows, 'llrrrrrr')}\n\n{limits}"


def mutants() -> str:
    """How many planted mistakes were noticed, by file."""
    found = measured("proof")
    rows = []
    for file in dict.fromkeys(m["file"] for m in found["mutants"]):
        here = [m for m in found["mutants"] if m["file"] == file]
        rows.append([f"[`{file}`](code:{file})", *counts(here)])
    rows.append(["**all**", *counts(found["mutants"])])
    head = [
        "file",
        "planted",
        "noticed by differences",
        "noticed by PyTorch",
        "missed",
        "missed with ones",
    ]
    return machine(found) + "\n\n" + table(head, rows, "lrrrrr")


def counts(mutants: list[dict[str, Any]]) -> list[str]:
    """Of some mutants: all, killed by each check, survivors, and survivors if the upstream gradient were ones."""
    by = Counter(m["by"] for m in mutants if m["killed"])
    numbers = len(mutants), by["gradcheck"], by["PyTorch"], sum(not m["killed"] for m in mutants)
    return [*map(str, numbers), str(sum(m["killed with ones"] is False for m in mutants))]


def all_mutants() -> str:
    """Every planted mistake."""
    answer = {True: "noticed", False: "**missed**", None: "–"}
    rows = [
        [f"`{m['check']}`", m["mistake"], m["by"], answer[m["killed"]], answer[m["killed with ones"]]]
        for m in measured("proof")["mutants"]
    ]
    return table(["operation", "mistake", "checked by", "verdict", "with ones"], rows)


def tests() -> str:
    """How the test suite ended when it was last measured."""
    found = measured("suite")
    return (
        f"On {found['machine']['date']}, a run of the whole suite ended with: {found['summary']}. The tests that were "
        f"skipped need CuPy and a GPU. The suite ran {found['coverage']} of the lines and branches of the package."
    )


# --- how fast -----------------------------------------------------------------------------------------------------


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


def training_speed() -> str:
    """ResNet-8 trained on NumPy, beside PyTorch eager."""
    found = measured("training")
    load, rows = found["machine"]["load"], []
    quiet = load is not None and load < 1
    for t in found["timings"]:
        if t["cores"] > 1 and not quiet:
            continue
        low, middle, high = quantiles([a / b for a, b in zip(t["ours"], t["torch"], strict=True)], n=4)
        epochs = [f"{median(t[side]) * found['images'] / t['batch']:.0f} s" for side in ("ours", "torch")]
        shares = [f"{100 * share:.0f} %" for share in t["shares"].values()]
        rows.append([t["attention"], str(t["cores"]), f"{middle:.2f} ({low:.2f} to {high:.2f})", *epochs, *shares])
    head = ["attention", "cores", "ratio", f"{found['images']:,} images".replace(",", " "), "PyTorch"]
    head += ["of our time: convolutions", "batch norm", "ReLU"]
    left_out = "" if quiet else " So what was measured on several cores says nothing, and is left out."
    return (
        f"{machine(found)} In the minute before, the load was {load}.{left_out} Medians "
        f"over {found['rounds']} rounds; in parentheses the quartiles.\n\n{table(head, rows, 'lrrrrrrr')}"
    )


def inside() -> str:
    """The block inside a PyTorch network, with each gradient."""
    found = measured("inside")
    widths = ", ".join(map(str, found["widths"]))
    return (
        f"{machine(found)} In the minute before, the load was {found['machine']['load']}. "
        f"Batches of {found['batch']} images of {found['size']}×{found['size']}, stages of {widths} channels, float32, "
        f"one thread. Medians over {found['rounds']} rounds; in parentheses the quartiles. "
        f"{inside_net.in_words(found)}\n\n{table(list(inside_net.HEAD), inside_net.rows(found), 'lrrrr')}"
    )


def scaling() -> str:
    """A step of training by one process and by two."""
    found = measured("scaling")
    one, two = (found["seconds"][n] for n in "12")
    low, *_, high = sorted(found["speedups"])
    flops = 6 * found["multiply-adds"] * found["batch"]
    latency = two["sum of 4 bytes"] / 2
    bandwidth = 32e6 / two["sum of 32000000 bytes"]
    predicted = one["step"] / 2 + 2 * latency + found["message"] / bandwidth
    rows = [
        ["a step of one process", f"{1e3 * one['step']:.0f} ms"],
        ["two processes, times as fast (least, most)", f"{median(found['speedups']):.2f} ({low:.2f}, {high:.2f})"],
        ["flops of a step", f"{flops / 1e9:.2f} · 10⁹"],
        ["its message", f"{found['message'] / 1e6:.2f} MB"],
        ["flops a second of one process", f"{flops / one['step'] / 1e9:.1f} · 10⁹"],
        ["seconds to start a message", f"{1e6 * latency:.0f} µs"],
        ["bytes a second between two processes", f"{bandwidth / 1e6:.0f} MB"],
        ["two processes by the model, times as fast", f"{one['step'] / predicted:.2f}"],
    ]
    load = found["machine"]["load"]
    return (
        f"{machine(found)} In the minute before, the load was {load}. Medians over "
        f"{found['runs']} runs of {found['rounds']} steps, of {found['batch']} pictures each.\n\n"
        f"{table(['what', 'measured'], rows, 'lr')}"
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


# --- what was measured --------------------------------------------------------------------------------------------


def study(name: str) -> str:
    """The tables and verdicts of a study, from the results there are."""
    return report(name, store.read(ROOT / "docs" / "_generated" / "studies"))


def study_in_short() -> str:
    """What each study has found, in a sentence or two."""
    results = store.read(ROOT / "docs" / "_generated" / "studies")
    claims = ["1. light", "2. better features", "3. fits and helps everywhere", "4. “it trains, only worse”"]
    rows = [[claim, in_short(study, results)] for claim, study in zip(claims, STUDIES, strict=True)]
    return table(["claim", "measured here"], rows)


def study_light() -> str:
    """Claim 1."""
    return study("light")


def study_features() -> str:
    """Claim 2."""
    return study("features")


def study_everywhere() -> str:
    """Claim 3."""
    return study("everywhere")


def study_bugs() -> str:
    """Claim 4."""
    return study("bugs")


# --- other people's CBAM ------------------------------------------------------------------------------------------


def inspect_output() -> str:
    """What `cbam-np inspect` prints."""
    return f"```text\n{measured('weights')['inspect'].rstrip()}\n```"


def audit_output() -> str:
    """What `cbam-np audit` prints."""
    return f"```text\n{measured('weights')['audit'].rstrip()}\n```"


def layouts() -> str:
    """The table of layouts."""
    rows = [
        [
            row["name"],
            f"`{row['w1']}`, `{row['w2']}`",
            f"`{row['kernel']}`",
            "[max; avg]" if row["max_first"] else "[avg; max]",
            "shared alike" if row["ties"] == "split" else "first",
        ]
        for row in measured("weights")["layouts"]
    ]
    return table(["layout", "MLP", "convolution", "order", "ties"], rows)


def wild_summary() -> str:
    """How many agree, and which deviations there are."""
    found = measured("wild")["modules"]
    compared = [m for m in found if m["agreement"]]
    formulas = sum(m["ok"] and not m["found"] for m in compared)
    release = sum(m["ok"] and bool(m["found"]) for m in compared)
    told = sum(m["cbam"] is not False and not m["agreement"] for m in found)
    rest = len(found) - len(compared) - told
    lines = [
        f"Of {len(found)} modules, {formulas} are the eleven formulas, to the last digits. {release} more are what the "
        "authors' release or another known one makes of them: a bias, batch norm after the convolution, [max; avg], or "
        f"ties that are shared. {len(compared) - formulas - release} differ in something else that the audit names. "
        f"It can't fully explain or run {told}, and {rest} {'returns' if rest == 1 else 'return'} something that "
        "can't be compared with the features, such as another shape.",
        machine(measured("wild")),
    ]
    counts = Counter(x["name"] for m in found for x in m["found"])
    rows = []
    for name, count in counts.most_common():
        changes = [x["gradient"] for m in found for x in m["found"] if x["name"] == name and x["gradient"] is not None]
        outputs = [x["output"] for m in found for x in m["found"] if x["name"] == name and x["output"] is not None]
        shown = name.replace("not a CBAM", "not comparable")
        rows.append([shown, str(count), *(f"{median(values):.0%}" if values else "–" for values in (outputs, changes))])
    return "\n\n".join([*lines, table(["differs in", "modules", "output changes", "gradient changes"], rows, "lrrr")])


# --- the directive ------------------------------------------------------------------------------------------------

PARTS = {
    part.__name__: part
    for part in (
        *(
            overview,
            formulas,
            cost,
            wrong_average,
            gallery,
            commands,
            gradients,
            mutants,
            all_mutants,
            tests,
            speed,
            fused,
            training_speed,
            inside,
            scaling,
            gpu,
        ),
        *(study_in_short, study_light, study_features, study_everywhere, study_bugs),
        *(sessions, course_json),
        *(inspect_output, audit_output, layouts, wild_summary, wild_modules),
    )
}


class Generated(SphinxDirective):
    """```{generated} name```."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """What the function returns, parsed as part of the page."""
        name = self.arguments[0]
        if name not in PARTS:
            raise self.error(f"generated: expected one of {', '.join(PARTS)}, got {name}")
        return self.parse_text_to_nodes(PARTS[name](), allow_section_headings=True)


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("generated", Generated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
