"""Every Python file of the project as a page, and links that lead to it, `code:tests/test_ops.py`.

What stands in the reference has its [source] from Sphinx's viewcode, which knows nothing of tests, notebooks and inner
modules. A relative link to a .py file, as the notebooks have them, is turned into such a link, too.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = "cbam_np", "docs", "notebooks", "tests"
logger = logging.getLogger(__name__)


class FileLinks(SphinxTransform):
    """Links to .py files lead to their pages instead of downloading them."""

    default_priority = 450

    def apply(self) -> None:
        """Do it for the document that was just read."""
        for link in list(self.document.findall(addnodes.download_reference)):
            if link["reftarget"].endswith(".py"):
                path, _ = self.env.relfn2path(link["reftarget"], self.env.docname)
                page = nodes.reference("", "", *link.children, refuri=f"code:{path}", internal=True)
                page.source, page.line = link.source, link.line
                link.parent.replace(link, page)


def resolve(app: Any, doctree: nodes.document, docname: str) -> None:
    """Turn code: into the addresses of pages, seen from the page with the link."""
    if app.builder.format != "html":
        return
    for link in doctree.findall(nodes.reference):
        if link.get("refuri", "").startswith("code:"):
            path, _, line = link["refuri"].removeprefix("code:").partition("#")
            if not (ROOT / path).is_file() or path.split("/")[0] not in FOLDERS:
                logger.warning("there is no page of code for %s", path, location=link)
                continue
            link["refuri"] = app.builder.get_relative_uri(docname, f"code/{path}") + (line and f"#{line}")
            link["internal"] = True


def pages(app: Any) -> Iterator[tuple[str, dict[str, Any], str]]:
    """One page for each Python file."""
    form = HtmlFormatter(linenos="inline", lineanchors="L", anchorlinenos=True, wrapcode=True)
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            code = highlight(path.read_text(encoding="utf-8"), PythonLexer(), form)
            yield f"code/{name}", {"title": name, "body": f"<h1>{name}</h1>{code}"}, "page.html"


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_transform(FileLinks)
    app.connect("doctree-resolved", resolve)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
