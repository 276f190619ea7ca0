"""Every Python file of the project as a page, and links that lead to it; a mark on the solved notebooks.

A link leads to a path, `code:cbam_np/ops/conv.py`, or to the line of a dotted name, `code:cbam_np.ops.conv.conv2d`.
A relative link to a .py file, as the notebooks have them, is turned into the first form.
"""

import inspect
from collections.abc import Iterator
from importlib import import_module
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


def place(target: str) -> str:
    """Path and line, "cbam_np/attention/block.py#L-17", of a dotted name. Raises LookupError if there is none."""
    parts = target.split(".")
    for count in range(len(parts) - 1, 0, -1):
        try:
            return place_in(import_module(".".join(parts[:count])), parts[count:])
        except ImportError:
            continue
    raise LookupError(target)


def place_in(found: Any, names: list[str]) -> str:
    """The same for a name inside a module."""
    try:
        for name in names:
            found = getattr(found, name)
        found = inspect.unwrap(found.fget if isinstance(found, property) else found)
        path = Path(inspect.getsourcefile(found) or "").resolve().relative_to(ROOT)
        return f"{path.as_posix()}#L-{inspect.getsourcelines(found)[1]}"
    except (AttributeError, OSError, TypeError, ValueError):  # ValueError: the file is not ours
        raise LookupError(".".join(names)) from None


def linkcode_resolve(domain: str, info: dict[str, str]) -> str | None:
    """Where the [source] link beside a documented name leads."""
    try:
        return "code:" + place_in(import_module(info["module"]), info["fullname"].split("."))
    except LookupError:
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


class SolvedTitles(SphinxTransform):
    """A ✓ before the title of a solved notebook: it has the same title as the chapter."""

    default_priority = 460

    def apply(self) -> None:
        """Do it for the document that was just read."""
        if "/solutions/" in self.env.docname:
            title = next(self.document.findall(nodes.title))
            title.insert(0, nodes.Text("✓ "))


def resolve(app: Any, doctree: nodes.document, docname: str) -> None:
    """Turn code: into the addresses of pages, seen from the page with the link."""
    if app.builder.format != "html":
        return
    for link in doctree.findall(nodes.reference):
        if link.get("refuri", "").startswith("code:"):
            target = link["refuri"].removeprefix("code:")
            try:
                target = target if "/" in target else place(target)
            except LookupError:
                logger.warning("there is no %s in the package", target, location=link)
                continue
            path, _, line = target.partition("#")
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
    app.add_transform(SolvedTitles)
    app.connect("doctree-resolved", resolve)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
