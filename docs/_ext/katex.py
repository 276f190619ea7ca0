"""Mathematics as HTML while the site is built, by KaTeX in a small JavaScript engine: no page needs a script for it.

LaTeX that KaTeX cannot read is a warning at its place, which fails the build.
"""

import json
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import quickjs
from docutils import nodes
from sphinx.util import logging

SCRIPT = Path(__file__).parents[1] / "_vendor" / "katex.min.js"
logger = logging.getLogger(__name__)


class LatexError(ValueError):
    """What KaTeX says about LaTeX that it cannot read."""


@cache
def _engine() -> Any:
    context = quickjs.Context()
    context.eval(SCRIPT.read_text(encoding="utf-8"))
    options = 'displayMode: display, throwOnError: true, strict: "ignore"'  # the document has Unicode in its formulas
    return context.eval(f"(latex, display) => JSON.stringify(katex.renderToString(latex, {{ {options} }}))")


@cache
def render(latex: str, display: bool) -> str:
    """`latex` as HTML and MathML. Raises LatexError."""
    try:
        return str(json.loads(_engine()(latex, display)))
    except quickjs.JSException as error:
        raise LatexError(str(error).split("\n")[0].removeprefix("ParseError: ")) from None


def _html(node: nodes.Element, display: bool) -> str:
    try:
        return render(node.astext(), display)
    except LatexError as error:
        logger.warning("%s", error, location=node, type="katex")
        return f"<code>{escape(node.astext())}</code>"


def visit_inline(translator: Any, node: nodes.math) -> None:
    """Write $...$."""
    translator.body.append(f'<span class="math">{_html(node, display=False)}</span>')
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.math_block) -> None:
    """Write $$...$$, with the formula's number at its right if it has one (see formula_numbers)."""
    number = f'<span class="number">({node["formula"]})</span>' if "formula" in node else ""
    start = translator.starttag(node, "div", CLASS="math", ids=[] if node.parent.get("ids") else node["ids"])
    translator.body.append(f'{start}<div class="scroll">{_html(node, display=True)}</div>{number}</div>\n')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_html_math_renderer("katex", inline_renderers=(visit_inline, None), block_renderers=(visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
