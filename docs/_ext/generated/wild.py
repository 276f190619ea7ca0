"""CBAM in the wild: the modules of others that were audited."""

from collections import Counter
from statistics import median

from generated.tables import machine, measured, table


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
        rows.append(
            [shown(name), str(count), *(f"{median(values):.0%}" if values else "–" for values in (outputs, changes))]
        )
    return "\n\n".join([*lines, table(["differs in", "modules", "output changes", "gradient changes"], rows, "lrrr")])


def shown(name: str) -> str:
    """The name of a deviation, as courteous as it can be."""
    return name.replace("not a CBAM", "not comparable")
