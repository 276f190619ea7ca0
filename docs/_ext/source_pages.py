"""Every Python file of the project as a page, and links that lead to it, `code:tests/test_ops.py`.

A relative link to a .py file, as the notebooks have them, is turned into such a link, too, and what is in the reference
has a [source] by Sphinx's linkcode. Viewcode would make pages of the reference's modules alone, without tests and
notebooks, and its links back are dead where a name is documented in the package that hands it on.
"""

import inspect
from collections.abc import Iterator
from importlib import import_module
from operator import attrgetter
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


def linkcode_resolve(domain: str, info: dict[str, str]) -> str | None:
    """Where the [source] link beside a documented name leads."""
    try:
        found = attrgetter(info["fullname"])(import_module(info["module"]))
        found = inspect.unwrap(found.fget if isinstance(found, property) else found)
        path = Path(inspect.getsourcefile(found) or "").resolve().relative_to(ROOT)
        return f"code:{path.as_posix()}#L-{inspect.getsourcelines(found)[1]}"
    except (AttributeError, OSError, TypeError, ValueError):  # ValueError: the file is not ours
        return None


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
