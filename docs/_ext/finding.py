"""What the search finds: each formula by its number and its names, each exercise, and formulas in results once."""

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

from cbam_np.reference.formulas import FORMULAS

# what somebody types -> the page; where a page's title or its words say it already, no entry is needed
WORDS = {
    "docs/install": ("install", "pip", "安装"),
    "docs/reference/gradcheck": ("gradcheck", "gradient check", "梯度检查"),
    "docs/annotated/formula_04": ("max pool", "maximum pooling"),
    "docs/annotated/formula_03": ("average pool",),
    "docs/annotated/formula_07": ("通道", "channel attention"),
    "docs/annotated/formula_11": ("空间", "spatial attention"),
    "docs/annotated/formula_10": ("convolution", "卷积"),
    "docs/gpu": ("cupy", "cuda"),
}
for formula in FORMULAS:
    page = f"docs/annotated/formula_{formula.number:02}"
    WORDS[page] = (*WORDS.get(page, ()), f"({formula.number})", formula.chinese)


QUESTION = re.compile(r"[\dA]\d?\.\d+")  # in bold before a question of a chapter
BUILD = re.compile(r"Builds? (\d+)(?: and (\d+))? of \d+")  # the heading above what the reader writes


def enter(section: nodes.section, *words: str) -> None:
    """Put words into the index that lead to the section."""
    entries = [("single", word, section["ids"][0], "main", None) for word in words]
    section.insert(1, addnodes.index(entries=entries))


def section_of(node: Any) -> nodes.section:
    """The innermost one that it is in."""
    while not isinstance(node, nodes.section):
        node = node.parent
    return node


class Words(SphinxTransform):
    """Entries of the index, which the search puts first."""

    default_priority = 840  # before the entries are collected

    def apply(self) -> None:
        """Do it for the document that was just read."""
        page = self.env.docname
        if "/solutions/" in page:
            return
        chapter = page.startswith("notebooks/")
        for title in list(self.document.findall(nodes.title)) if chapter else ():
            build = BUILD.match(title.astext())
            if build:
                enter(section_of(title), *(f"build {number}" for number in build.groups() if number))
        for bold in list(self.document.findall(nodes.strong)) if chapter else ():
            if QUESTION.fullmatch(bold.astext()):
                enter(section_of(bold), f"exercise {bold.astext()}")
        if page in WORDS:
            enter(next(self.document.findall(nodes.section)), *WORDS[page])


def plain_results(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """A script on the page of results only."""
    if page == "search":
        app.add_js_file("results.js", loading_method="defer")


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_transform(Words)
    app.connect("html-page-context", plain_results)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
