r"""Formula numbers as links. `$$ ... \tag{7} $$` in a chapter is the place, "(7)" in any text is a link to it.

A number without a formula fails the build, and so does one that is given twice. The solved notebooks repeat the
chapters and are not counted. Headings and code stay as they are.
"""

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

from cbam_np.reference.formulas import FORMULAS

TAG = re.compile(r"\s*\\tag\{(\w+)\}\s*$")
NUMBER = re.compile(r"(?<![^\s(,–-])\(([1-9]\d?)\)")  # not f(2), not (2, 3), not (2018)
VERBATIM = (nodes.literal, nodes.FixedTextElement, nodes.math, nodes.math_block, nodes.raw, nodes.comment)
NO_LINK = (*VERBATIM, nodes.title, nodes.reference, addnodes.pending_xref, addnodes.desc_signature)
logger = logging.getLogger(__name__)


class Tags(SphinxTransform):
    r"""Turns \tag{n} at the end of a formula into an anchor."""

    default_priority = 400

    def apply(self) -> None:
        """Do it for the document that was just read."""
        labels = self.env.domains.standard_domain
        for block in self.document.findall(nodes.math_block):
            found = TAG.search(block.astext())
            if found is None:
                continue
            block["formula"], name = found[1], f"formula-{found[1]}"
            block.children = [nodes.Text(block.astext()[: found.start()])]
            if found[1] not in {str(formula.number) for formula in FORMULAS}:
                logger.warning("there is no formula (%s)", found[1], location=block)
            if "/solutions/" in self.env.docname:
                continue
            if name in labels.anonlabels:
                other = labels.anonlabels[name][0]
                logger.warning("formula (%s) is given here and in %s", found[1], other, location=block)
            block["ids"].append(name)
            labels.anonlabels[name] = self.env.docname, name
            labels.labels[name] = self.env.docname, name, f"({found[1]})"


class Links(SphinxTransform):
    """Turns "(7)" in text into a link."""

    default_priority = 850

    def apply(self) -> None:
        """Do it for the document that was just read."""
        for text in list(self.document.findall(nodes.Text)):
            if NUMBER.search(text) and not any(isinstance(node, NO_LINK) for node in ancestors(text)):
                text.parent.replace(text, list(self.pieces(text)))

    def pieces(self, text: nodes.Text) -> Any:
        """The text, cut at its formula numbers."""
        end = 0
        for found in NUMBER.finditer(text):
            yield nodes.Text(text[end : found.start()])
            yield self.link(found[1], text)
            end = found.end()
        yield nodes.Text(text[end:])

    def link(self, number: str, text: nodes.Text) -> addnodes.pending_xref:
        """A reference that Sphinx resolves when all is read; it warns if there is no such formula."""
        link = addnodes.pending_xref(
            "",
            nodes.inline("", f"({number})"),
            refdomain="std",
            reftype="ref",
            reftarget=f"formula-{number}",
            refexplicit=True,
            refwarn=True,
            refdoc=self.env.docname,
        )
        place = next((node for node in ancestors(text) if node.line), self.document)
        link.source, link.line = place.source, place.line
        return link


def ancestors(node: nodes.Node) -> Any:
    """The parent of `node`, its parent, and so on."""
    while node.parent is not None:
        node = node.parent
        yield node


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_transform(Tags)
    app.add_transform(Links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
