"""The docstrings of the package, which are written to be read in the code, as reStructuredText for numpydoc.

An indented paragraph is a formula, which is typeset, or code. `a name` is code, and a link if it is a public function.
LaTeX with braces is code. Everything else is plain text, whatever its stars and bars would mean elsewhere.
"""

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from typeset import is_formula, latex

import cbam_np
import cbam_np.ops

PUBLIC = {name: f"cbam_np.{name}" for name in cbam_np.__all__} | {
    name: f"cbam_np.ops.{name}" for name in cbam_np.ops.__all__
}

LATEX = re.compile(r"\\[a-z]+(?:_?\{[^{}]*\})+")


def inline(text: str) -> str:
    """One line of prose."""
    pieces = re.split(r"`([^`]+)`", LATEX.sub(r"`\g<0>`", text))
    for i, piece in enumerate(pieces):
        if i % 2 == 0:
            pieces[i] = re.sub(r"([\\*|_])", r"\\\1", piece)
        elif piece in PUBLIC:
            pieces[i] = rf"\ :py:obj:`{piece} <{PUBLIC[piece]}>`\ "
        else:
            pieces[i] = rf"\ ``{piece}``\ "
    return "".join(pieces)


def converted(lines: list[str]) -> Iterator[str]:
    """The docstring's lines, paragraph by paragraph."""
    for empty, paragraph in groupby(lines, key=lambda line: not line.strip()):
        block = list(paragraph)
        if empty:
            yield ""
        elif all(line.startswith("    ") for line in block):
            if is_formula("\n".join(block)):
                yield from (".. math::", "", f"    {latex(chr(10).join(block))}", "")
            else:
                yield from (".. code-block:: text", "", *block, "")
        else:
            yield from map(inline, block)


def process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Convert in place, except what a module has imported from elsewhere: autodoc asks for that as well."""
    if (getattr(obj, "__module__", None) or name).startswith("cbam_np"):
        lines[:] = list(converted(lines))


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", process, priority=400)  # before numpydoc makes tables of the sections
    return {"parallel_read_safe": True, "parallel_write_safe": True}
