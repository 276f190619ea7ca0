"""The table of all modules on the page "CBAM in the wild": what differs in a word, the evidence folded below it."""

from html import escape
from typing import Any

from generated.tables import measured, table
from generated.wild import shown


def wild_modules() -> str:
    """A row for each module."""
    rows = [row_of(m) for m in measured("wild")["modules"]]
    return table(["module", "differs from the formulas in", "agreement"], rows)


def row_of(m: dict[str, Any]) -> list[str]:
    """One module: where it is, what it differs in with the evidence, and how well what was named explains it."""
    if "package" in m:
        where, version = m["package"], m["path"]
    else:
        where = f"[{m['repository']}](https://github.com/{m['repository']}/blob/{m['commit']}/{m['path']})"
        version = m["commit"][:10]
    numbers = [f"{x:.0e}" for x in m["agreement"] or [] if x is not None]
    return [f"{where}<br><small>{version}, `{m['make']}`</small>", differs(m), "<br>".join(numbers) or "–"]


def differs(m: dict[str, Any]) -> str:
    """The names, and the evidence in a part that is closed at first; "nothing" if it is the formulas."""
    names = [shown(x["name"]) for x in m["found"]] + ["not sure"] * bool(m["unsure"])
    if not names:
        return "nothing"
    said = [f"<b>{name}</b>: {in_cell(x['evidence'])}" for name, x in zip(names, m["found"], strict=False)]
    said += [f"<b>not sure</b>: {in_cell(sentence)}" for sentence in m["unsure"]]
    return f"<details><summary>{'; '.join(names)}</summary>{'<br>'.join(said)}</details>"


def in_cell(text: str) -> str:
    """As text in a cell of a table."""
    return escape(text).replace("|", "&#124;").replace("*", "&#42;").replace("_", "&#95;")
