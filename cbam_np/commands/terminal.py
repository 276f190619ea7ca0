"""What every command needs of the terminal: plain characters where others can't be shown, tables that fit."""

import codecs
import io
import os
import sys
import unicodedata

from rich.box import SIMPLE_HEAD, Box
from rich.columns import Columns
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

PLAIN = dict(zip("×⊗⊙·✗′″‖│─–—╱╲⟨⟩", "x***x'\"||---/\\<>", strict=True))
PLAIN |= {"…": "...", "±": "+-", "Σ": "sum", "σ": "sigmoid", "φ": "phi", "←": "<-", "→": "->"}
PLAIN |= {"½": "1/2", "≈": "~", "β": "beta", "γ": "gamma", "ε": "epsilon", "√": "sqrt", "\u0302": "^"}
PLAIN_HEAD = Box(str(SIMPLE_HEAD).replace("─", "-"), ascii=True)


def plain(error: UnicodeError) -> tuple[str, int]:
    """A handler of encoding errors: the character that could not be encoded in ASCII, or "?"."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(PLAIN.get(c) or _without_accents(c) for c in characters), error.end


def _without_accents(character: str) -> str:
    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or "?"


def fall_back_to_plain_characters() -> None:
    """From now on, print what the encoding of the terminal does not have in plain characters, instead of failing."""
    codecs.register_error("plain", plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")


class Screen(Console):
    """A console that leaves a closed pipe to its caller."""

    def on_broken_pipe(self) -> None:
        """Raise the BrokenPipeError again."""
        raise


def discard_unwritten() -> None:
    """If what was printed can't be written, to a closed pipe or a full disk, drop it: Python would fail as it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def new_table(console: Console, title: str = "") -> Table:
    """An empty table in the style of all commands."""
    box = SIMPLE_HEAD if console.encoding.startswith("utf") else PLAIN_HEAD
    return Table(
        title=title or None, title_justify="left", box=box, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False
    )


def show(console: Console, table: Table) -> None:
    """Print `table`; where the screen is too narrow for it, print "head value" for each value, row by row."""
    unbounded = console.options.update_width(10_000)
    for column in table.columns:
        if column.no_wrap:
            cells = [column.header, *column.cells]
            column.min_width = max(console.measure(cell, options=unbounded).maximum for cell in cells)
    if console.measure(table, options=unbounded).minimum <= console.width:
        console.print(table)
        return
    heads = [" ".join(str(column.header).split()) for column in table.columns]
    console.print(table.title or "", style="table.title")
    for row in zip(*(column.cells for column in table.columns), strict=True):
        console.print(f"[bold]{row[0]}")
        values = [f"{head} {cell}" for head, cell in zip(heads[1:], row[1:], strict=True) if cell]
        console.print(Padding(Columns(values, padding=(0, 2)), (0, 0, 0, 2)))
