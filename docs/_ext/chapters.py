"""The chapters on the page of the course, as they describe themselves; and the notebooks to download.

```{chapters} notebooks/[0-9]*      a card for each of these notebooks
{whole-course}`all of it`           a link to a zip file with all of them
"""

import json
import os
import re
from base64 import b64decode
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from docutils import nodes
from PIL import Image
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective, SphinxRole

ROOT = Path(__file__).resolve().parents[2]
COURSE = ROOT / "notebooks"
SAYS = re.compile(r"^\| \*\*(.+?)\*\* \| (.*) \|$", re.MULTILINE)
THUMBNAIL = 520, 230  # pixels at most; shown at half this size


class Chapter(NamedTuple):
    """What a notebook says of itself, and its first picture."""

    title: str
    question: str
    says: dict[str, str]  # Time, You need, You build
    picture: bytes
    alt: str


def chapter(path: Path) -> Chapter:
    """Read from the .ipynb file."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    data = [(cell, output.get("data", {})) for cell in cells for output in cell.get("outputs", [])]
    drawn, picture = next((cell, shown["image/png"]) for cell, shown in data if "image/png" in shown)
    (title,) = re.findall(r"\A# (.+)$", text, re.MULTILINE)
    question = re.findall(r"^> \*\*(.+)\*\*$", text, re.MULTILINE)[0]
    alt = drawn["metadata"]["mystnb"]["image"]["alt"]
    return Chapter(title, question, dict(SAYS.findall(text)), b64decode(picture), alt)


def thumbnail(png: bytes) -> bytes:
    """The picture, small."""
    picture = Image.open(BytesIO(png)).convert("RGB")
    picture.thumbnail(THUMBNAIL, Image.Resampling.LANCZOS)
    picture.quantize(32, dither=Image.Dither.NONE).save(file := BytesIO(), "PNG", optimize=True)
    return file.getvalue()


def whole_course() -> bytes:
    """A zip file with all notebooks, and with my_cbam.py, to be filled and solved; always the same bytes."""
    with ZipFile(file := BytesIO(), "w") as archive:
        for pattern in ("*.ipynb", "my_cbam.py", "solutions/*.ipynb", "solutions/my_cbam.py"):
            for path in sorted(COURSE.glob(pattern)):
                entry = ZipInfo(f"cbam_np_course/{path.relative_to(COURSE).as_posix()}")
                entry.compress_type = ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())
    return file.getvalue()


class Made:
    """A directive or role that makes files, beside the site, which Sphinx then copies into it."""

    env: Any
    folder: Path  # set by `setup`

    def made(self, name: str, content: bytes) -> str:
        """Write the file. Returns its path, seen from the source folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return "/" + os.path.relpath(path, self.env.srcdir)


class Chapters(Made, SphinxDirective):
    """A grid of cards."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The cards, parsed as part of the page."""
        cards = "\n\n".join(self.card(path) for path in sorted(ROOT.glob(f"{self.arguments[0]}.ipynb")))
        return self.parse_text_to_nodes(
            f"::::{{grid}} 1 2 2 2\n:gutter: 3\n:class-container: chapters\n\n{cards}\n::::"
        )

    def card(self, path: Path) -> str:
        """Thumbnail, title, question, time and outcome, and the downloads."""
        self.env.note_dependency(path)
        found = chapter(path)
        missing = [name for name in ("Time", "You build") if name not in found.says]
        if missing:
            raise self.error(f"{path.name}: expected a row for {', '.join(missing)} in the table at its beginning")
        dark = COURSE / "dark" / f"{sha256(found.picture).hexdigest()}.png"
        pair = {"light": found.picture, "dark": found.picture}  # a missing partner: dark_figures.py says so
        if dark.exists():
            pair["dark"] = dark.read_bytes()
        pictures = "\n".join(
            f"```{{image}} {self.made(f'{path.stem}_{colours}.png', thumbnail(png))}\n:alt: {found.alt}\n"
            f":class: thumbnail only-{colours}\n:loading: lazy\n```"
            for colours, png in pair.items()
        )
        files = {"to work in": path, "solved": COURSE / "solutions" / path.name}
        downloads = " · ".join(
            f"[{name}](path:/{file.relative_to(ROOT).as_posix()})" for name, file in files.items() if file.exists()
        )
        return f""":::{{grid-item-card}}
{pictures}
**[{found.title}](/{path.relative_to(ROOT).as_posix()})**

{found.question}

Time
: {found.says["Time"]}

You build
: {found.says["You build"]}

Notebook
: {downloads}
:::"""


class WholeCourse(Made, SphinxRole):
    """A link to the zip file."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The link."""
        target = self.made("cbam_np_course.zip", whole_course())
        return [
            addnodes.download_reference("", "", nodes.Text(self.text), reftarget=target, refdoc=self.env.docname)
        ], []


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    Made.folder = Path(app.outdir).parent / "course"
    app.add_directive("chapters", Chapters)
    app.add_role("whole-course", WholeCourse())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
