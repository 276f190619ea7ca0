"""The learner's desk: a copy of the course to write in. A new edition of the course never costs what was written there.

    python -m cbam_np.course.desk        copies notebooks/ to my-course/, or brings a new edition to the copy

A notebook shows by itself what a person wrote in it. `notebooks/build.py` gives each cell a hash of its source as its
id, and Jupyter keeps the id when the cell is edited: so an edited cell doesn't fit its id any more, and an added cell
never did.
"""

import copy
import hashlib
import json
import os
import sys
from difflib import SequenceMatcher
from itertools import count
from pathlib import Path
from uuid import uuid4

import nbformat
from nbformat import NotebookNode

import cbam_np

CLONE = Path(cbam_np.__file__).parents[1]
SHIPPED = CLONE / "notebooks"
DESK = CLONE / "my-course"  # beside `notebooks`, so that relative links lead to the same files
RECORD = ".editions.json"  # in the desk: the hash of the shipped file that each notebook was last brought up to
EARLIER = "earlier"  # in the desk: notebooks as they were before something else was written in their place


# --- what a person wrote ------------------------------------------------------------------------------------------


def digest(cell: NotebookNode) -> str:
    """What the id of `cell` begins with as long as nobody edits it."""
    return hashlib.sha256(f"{cell.cell_type} {cell.source}".encode()).hexdigest()[:8]


def as_shipped(cell: NotebookNode) -> bool:
    """Whether `cell` still fits its id. Outputs and metadata don't count."""
    return str(cell.get("id", "")).partition("-")[0] == digest(cell)


def written(mine: NotebookNode, edition: NotebookNode) -> list[NotebookNode]:
    """The cells of `mine` that a person wrote: not as shipped, not blank, and not to be found in `edition`."""
    found = {digest(cell) for cell in edition.cells}
    return [c for c in mine.cells if c.source.strip() and not as_shipped(c) and digest(c) not in found]


def merge(mine: NotebookNode, edition: NotebookNode) -> NotebookNode:
    """The new `edition` with all the cells that a person wrote in `mine`, and with their outputs.

    An edited cell takes the place of the cell it was made from. If the new edition has changed that cell too, it comes
    after the new one, so that the answer is run last and counts. An added cell stays where it was added.
    """
    by_hand = {id(cell) for cell in written(mine, edition)}
    old = [cell.get("id") or digest(cell) for cell in mine.cells]
    new = [cell.id for cell in edition.cells]
    cells: list[NotebookNode] = []
    for kind, i, i_end, j, j_end in SequenceMatcher(None, old, new).get_opcodes():
        if kind == "equal":
            pairs = zip(mine.cells[i:i_end], edition.cells[j:j_end], strict=True)
            cells += [a if id(a) in by_hand else b for a, b in pairs]
        else:
            cells += edition.cells[j:j_end]
            cells += [cell for cell in mine.cells[i:i_end] if id(cell) in by_hand]
    taken = {None} | {cell.id for cell in cells if id(cell) not in by_hand}
    merged = copy.deepcopy(edition)
    merged.metadata = copy.deepcopy(mine.metadata)
    merged.cells = [copy.deepcopy(cell) for cell in cells]
    for before, cell in zip(cells, merged.cells, strict=True):
        if id(before) in by_hand and cell.get("id") in taken:  # two cells can't have the same id
            cell.id = uuid4().hex[:8]
    return merged


# --- files --------------------------------------------------------------------------------------------------------


def write(path: Path, content: bytes) -> None:
    """Write all of `content` or nothing, even if the machine stops half-way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)


def keep(file: Path, name: str, desk: Path) -> Path:
    """Copy `file` into the folder of earlier notebooks, as `name` with the first number that is free."""
    places = (desk / EARLIER / f"{name}.{number}.ipynb" for number in count(1))
    kept = next(place for place in places if not place.exists())
    write(kept, file.read_bytes())
    return kept


class UnreadableNotebookError(Exception):
    """A file that should hold a notebook doesn't; the message names it."""


def read(path: Path) -> NotebookNode:
    """The notebook in the file at `path`. Raises UnreadableNotebookError, and FileNotFoundError."""
    text = path.read_text("utf-8", errors="replace")
    try:
        notebook = nbformat.reads(text, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # whatever a broken file leads to, deep inside nbformat
        reason = str(error).partition("\n")[0]
        raise UnreadableNotebookError(f"{path} can't be read as a notebook ({reason})") from error
    return notebook


def lay_out(shipped: Path = SHIPPED, desk: Path = DESK) -> list[str]:
    """Copy the notebooks of `shipped`, solutions included, to `desk`. Returns what there is to say, in lines.

    A notebook that is there already stays as it is. If a new edition of it was shipped since the last call, it becomes
    that edition with all that was written in it, see `merge`; the file as it was before is kept, see `keep`.
    Raises FileNotFoundError if there are no notebooks in `shipped`.
    """
    record = desk / RECORD
    try:
        editions = json.loads(record.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        editions = {}  # every notebook is then compared with the one that is shipped
    sources = sorted([*shipped.glob("[0-9]*.ipynb"), *shipped.glob("solutions/[0-9]*.ipynb")])
    if not sources:
        raise FileNotFoundError(f"{shipped}: expected the notebooks of the course, found none; run this in a clone")
    copied, renewed, kept, said = 0, 0, 0, []
    for source in sources:
        name = source.relative_to(shipped).with_suffix("").as_posix()
        mine, edition = desk / f"{name}.ipynb", _hash(source)
        if not mine.exists():
            write(mine, source.read_bytes())
            copied += 1
        elif edition not in (editions.get(name), _hash(mine)):
            try:
                content, by_hand = renewed_content(mine, source)
            except UnreadableNotebookError as error:
                said.append(f"{error}. It stays as it is; rename it to get the new edition")
                continue
            if _hash(mine) != editions.get(name):
                keep(mine, name, desk)
                kept += 1
            write(mine, content)
            renewed += 1
            if by_hand:
                said.append(f"{name}: the new edition has the cells that you wrote ({by_hand})")
        editions[name] = edition
    write(record, json.dumps(editions, indent=1).encode())
    head = {
        "{} notebooks copied to {}/. They are yours to write in, and git ignores them": copied,
        "new edition of {} notebooks": renewed,
        "as you left them: {} notebooks, in {}/earlier/": kept,
    }
    said[:0] = [line.format(f"{number} of {len(sources)}", desk.name) for line, number in head.items() if number]
    return said or [f"{desk.name}/ is as you left it"]


def renewed_content(mine: Path, source: Path) -> tuple[bytes, int]:
    """The content of the file `mine` with the new edition in `source`, and the number of cells that a person wrote."""
    written_in, edition = read(mine), read(source)
    by_hand = len(written(written_in, edition))
    return (to_json(merge(written_in, edition)).encode() if by_hand else source.read_bytes()), by_hand


def to_json(notebook: NotebookNode) -> str:
    """The content of the .ipynb file."""
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    try:
        print(*lay_out(), sep="\n")
    except FileNotFoundError as error:
        sys.exit(str(error))
