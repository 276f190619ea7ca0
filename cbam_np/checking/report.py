"""What a gradient check has found, as rows, and as a table for people."""

from dataclasses import dataclass
from io import StringIO
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Verdict = Literal["ok", "wrong", "not compared"]
COLOURED = {"ok": "[green]ok", "wrong": "[bold red]wrong", "not compared": "[yellow]not compared"}


@dataclass(frozen=True)
class Row:
    """One input, checked by one method.

    Parameters
    ----------
    input : str
    method : str
        "differences" or "complex step" (both in float64); "float32" or "float16" (the gradient in the input's own dtype
        against the one in float64); "contract" (what a gradient has to be before its numbers are looked at).
    verdict : str
    error : float
        The largest abs(got - expected) as a fraction of the largest abs(expected).
    compared : int
        How many entries and directions.
    kinks : int
        How many entries were left out because op has a kink there.
    where : tuple of ints, or None
        The worst entry; None if only all entries at kinks together are wrong.
    got, expected : float
        Of the worst entry.
    note : str
        Why nothing was compared, or what is likely wrong.
    """

    input: str
    method: str
    verdict: Verdict
    error: float = float("nan")
    compared: int = 0
    kinks: int = 0
    where: tuple[int, ...] | None = None
    got: float = float("nan")
    expected: float = float("nan")
    note: str = ""


@dataclass(frozen=True)
class Report:
    """What `gradcheck` found; `str(report)` is a table with the diagnosis below it.

    Parameters
    ----------
    name : str
        Of the operation.
    rows : tuple of Row
    """

    name: str
    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """True if nothing is wrong and the slopes of every input were compared by at least one method."""
        slopes = [row for row in self.rows if row.method in ("differences", "complex step")]
        compared = {row.input for row in slopes if row.verdict == "ok"}
        return all(row.verdict != "wrong" and row.input in compared for row in self.rows)

    @property
    def max_error(self) -> float:
        """The largest error of any row that was compared; inf if nothing could be compared."""
        return max((row.error for row in self.rows if row.verdict != "not compared"), default=float("inf"))

    @property
    def verdict(self) -> str:
        """ "ok" or "NOT OK", and whether something was not compared, or not in full."""
        if self.ok:
            partly = any(row.note or row.kinks for row in self.rows)
            return "ok, but not everything was compared" if partly else "ok"
        wrong = any(row.verdict == "wrong" for row in self.rows)
        return "NOT OK" if wrong else "NOT OK, because too little was compared"

    def notes(self) -> list[str]:
        """What the rows have to say, each thing once, with the inputs and the methods it is about."""
        notes = []
        for note in dict.fromkeys(row.note for row in self.rows if row.note):
            about = [row for row in self.rows if row.note == note]
            inputs, methods = dict.fromkeys(row.input for row in about), dict.fromkeys(row.method for row in about)
            notes.append(f"{', '.join(inputs)} ({', '.join(methods)}): {note}")
        return notes

    def table(self) -> Table:
        """The rows as a rich table."""
        table = Table(title=escape(f"gradient check of {self.name}: {self.verdict}"))
        table.title_justify = table.caption_justify = "left"
        for column in ("input", "method", "compared", "max error", "worst at", "got", "expected", "verdict"):
            numeric = column in ("compared", "got", "expected")
            table.add_column(column, justify="right" if numeric else "left", overflow="fold")
        for row in self.rows:
            where = "kinks together" if row.where is None else str(row.where)
            numbers = str(row.compared), f"{row.error:.1e}", where, f"{row.got:.7g}", f"{row.expected:.7g}"
            verdict = COLOURED[row.verdict] + (f", {row.kinks} at kinks" if row.kinks else "")
            table.add_row(escape(row.input), row.method, *(numbers if row.compared else [""] * 5), verdict)
        table.caption = escape("\n".join(self.notes())) or None
        return table

    def __str__(self) -> str:
        console = Console(file=StringIO(), width=120, color_system=None, force_jupyter=False)
        with console.capture() as text:
            console.print(self.table())
        return "\n".join(line.rstrip() for line in text.get().splitlines())
