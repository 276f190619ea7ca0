"""CBAM in the wild: the modules of others that were audited."""

from collections import Counter
from statistics import median
from typing import Any

from generated.tables import machine, measured, table


def wild_summary() -> str:
    """How many agree, and which deviations there are."""
    found = measured("wild")["modules"]
    compared = [m for m in found if m["agreement"]]
    formulas = sum(m["ok"] and not m["found"] for m in compared)
    release = sum(m["ok"] and bool(m["found"]) for m in compared)
    told = sum(m["cbam"] is not False and not m["agreement"] for m in found)
    lines = [
        f"Of {len(found)} modules, {formulas} are the eleven formulas, to the last digits. {release} more are what the "
        "authors' release or another known one makes of them: a bias, batch norm after the convolution, [max; avg], or "
        f"ties that are shared. {len(compared) - formulas - release} differ in something else that the audit names. Of "
        f"{told} it can't say all, or they could not be run on these features, and {len(found) - len(compared) - told} "
        "give back something that can't be compared with the features, such as another shape.",
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


def wild_modules() -> str:
    """A row for each module."""
    return table(
        ["module", "as", "differs from the formulas in", "agreement"], list(map(wild_row, measured("wild")["modules"]))
    )


def wild_row(m: dict[str, Any]) -> list[str]:
    """One module: where it is, what it differs in with the evidence, and how well what was named explains it."""
    if "package" in m:
        where = f"{m['package']}<br>`{m['path']}`"
    else:
        where = f"[{m['repository']}](https://github.com/{m['repository']}/blob/{m['commit']}/{m['path']})<br>{m['commit'][:10]}"
    said = [f"**{x['name'].replace('not a CBAM', 'not comparable')}**: {x['evidence']}" for x in m["found"]] + [
        f"not sure: {line}" for line in m["unsure"]
    ]
    cells = "<br>".join(line.replace("|", "\\|").replace("*args", "args") for line in said) or "nothing"
    numbers = [f"{x:.0e}" if x is not None else "–" for x in m["agreement"] or []]
    return [where, f"`{m['make']}`", cells, ", ".join(numbers) or "–"]
