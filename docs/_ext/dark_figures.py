"""The pictures of the notebooks come in pairs: on dark pages the theme shows the one from notebooks/dark."""

import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

DARK = Path(__file__).resolve().parents[2] / "notebooks" / "dark"
OUTPUT = re.compile(r"[0-9a-f]{64}\.png")  # myst-nb names a picture by its hash, and so does notebooks/build.py
logger = logging.getLogger(__name__)


class Pairs(SphinxTransform):
    """A picture that a cell has put out is followed by its partner."""

    default_priority = 450

    def apply(self) -> None:
        """Do it for the document that was just read."""
        for light in list(self.document.findall(nodes.image)):
            partner = DARK / Path(light["uri"]).name
            if not OUTPUT.fullmatch(partner.name):
                continue
            if not partner.exists():
                command = f"python notebooks/build.py run {Path(self.env.docname).name}"
                logger.warning("a picture has no partner for dark pages: %s", command, location=light)
                continue
            dark = light.deepcopy()
            dark["uri"] = "/" + os.path.relpath(partner, self.env.srcdir)
            light["loading"] = dark["loading"] = "lazy"
            light["classes"].append("only-light")
            dark["classes"].append("only-dark")
            light.parent.insert(light.parent.index(light) + 1, dark)


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_transform(Pairs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
