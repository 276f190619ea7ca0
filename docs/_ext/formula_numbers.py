r"""Formula numbers. `$$ ... \tag{7} $$` in a chapter is the place, and the role {formula}`7` is a link to it.

A number without a formula fails the build, and so does one that is given twice. The solved notebooks repeat the
chapters and are not counted.
"""

import re
from typing import Any

from docutils import nodes
from sphinx.environment import BuildEnvironment
from sphinx.roles import XRefRole
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

from cbam_np.reference.formulas import FORMULAS

TAG = re.compile(r"\s*\\tag\{(\w+)\}\s*$")
NUMBERS = {str(formula.number) for formula in FORMULAS}
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
            if found[1] not in NUMBERS:
                logger.warning("there is no formula (%s)", found[1], location=block)
            if "/solutions/" in self.env.docname:
                continue
            if name in labels.anonlabels:
                other = labels.anonlabels[name][0]
                logger.warning("formula (%s) is given here and in %s", found[1], other, location=block)
            block["ids"].append(name)
            labels.anonlabels[name] = self.env.docname, name
            labels.labels[name] = self.env.docname, name, f"({found[1]})"


class FormulaRole(XRefRole):
    """Sphinx's {ref} to that anchor, shown as (7)."""

    def process_link(
        self, env: BuildEnvironment, refnode: nodes.Element, has_explicit_title: bool, title: str, target: str
    ) -> tuple[str, str]:
        """What is shown, and where it leads."""
        refnode.attributes.update({"refdomain": "std", "reftype": "ref", "refexplicit": True})
        return f"({title})", f"formula-{target}"


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_transform(Tags)
    app.add_role("formula", FormulaRole(innernodeclass=nodes.inline, warn_dangling=True))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
