"""The solved notebooks: a ✓ before the title, which is that of the chapter, and no place among the search results."""

from typing import Any

from docutils import nodes
from sphinx.transforms import SphinxTransform


class Solved(SphinxTransform):
    """Marks a solved notebook."""

    default_priority = 460

    def apply(self) -> None:
        """Do it for the document that was just read."""
        if "/solutions/" in self.env.docname:
            self.env.metadata[self.env.docname]["nosearch"] = True
            next(self.document.findall(nodes.title)).insert(0, nodes.Text("✓ "))


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_transform(Solved)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
