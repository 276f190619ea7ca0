r"""Counts from the page "CBAM in the wild", in text: {wild}`concat order` becomes "15 of the 46 modules".

Several names, with "or" between them, are counted together; {wild}`all` is the number of modules. A name that no module
has fails the build, so that no sentence outlives what it says.
"""

from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxRole

from cbam_np.course.measured import told_of_the_wild


class Wild(SphinxRole):
    """{wild}`concat order`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The count as text, or an error that fails the build."""
        try:
            return [nodes.Text(told_of_the_wild(self.text))], []
        except ValueError as error:
            return [], [self.inliner.reporter.error(str(error), line=self.lineno)]  # type: ignore[attr-defined]


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_role("wild", Wild())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
