"""Markdown tables, and the files of measured figures that fill them."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]


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
