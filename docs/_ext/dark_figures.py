"""The pictures of the notebooks come in pairs: on dark pages the theme shows the one from notebooks/dark."""

import os
import re
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

DARK = Path(__file__).resolve().parents[2] / "notebooks" / "dark"
OUTPUT = re.compile(r"[0-9a-f]{64}\.png")  # myst-nb names a picture by its hash, and so does notebooks/build.py
logger = logging.getLogger(__name__)


MOVING = re.compile(r'<img alt="(.+?)" src="data:image/gif;base64,(.+?)">')


class Pairs(SphinxTransform):
    """A picture that a cell has put out is followed by its partner."""

    default_priority = 450

    def apply(self) -> None:
        """Do it for the document that was just read."""
        for light in list(self.document.findall(nodes.image)):
            name = Path(light["uri"]).name
            if OUTPUT.fullmatch(name):
                self.pair(light, name, light.get("alt", ""))
                light["loading"] = "lazy"
                light["classes"].append("only-light")
        for light in list(self.document.findall(nodes.raw)):
            moving = MOVING.fullmatch(light.astext())
            if moving:
                self.pair(light, f"{sha256(b64decode(moving[2])).hexdigest()}.gif", moving[1])
                light[0] = nodes.Text(moving[0].replace("<img", '<img class="only-light"', 1))

    def pair(self, light: nodes.Element, name: str, alt: str) -> None:
        """Put the partner of that name behind it."""
        if (DARK / name).exists():
            uri = "/" + os.path.relpath(DARK / name, self.env.srcdir)
            dark = nodes.image(uri=uri, alt=alt, classes=["only-dark"], loading="lazy")
            light.parent.insert(light.parent.index(light) + 1, dark)
        else:
            command = f"python notebooks/build.py run {Path(self.env.docname).name}"
            logger.warning("a picture has no partner for dark pages: %s", command, location=light)


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_transform(Pairs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
