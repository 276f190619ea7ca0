"""How it is proved: gradients checked, mistakes planted, tests run."""

import re
from collections import Counter
from typing import Any

from generated.tables import machine, measured, table

NUMBER = re.compile(r"\((\d+)\)")


def gradients() -> str:
    """The table of `cbam-np check`."""
    found = measured("proof")
    rows = []
    for row in found["gradients"]:
        errors = [cell["error"] for cell in row["cells"].values()]
        verdict = "ok" if all(cell["ok"] for cell in row["cells"].values()) else "**wrong**"
        shown = ["–" if error is None else f"{error:.0e}" for error in errors]
        rows.append(
            [f"`{row['operation']}`", NUMBER.sub(r"{formula}`\1`", row["formula"].replace("-", "–")), *shown, verdict]
        )
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
