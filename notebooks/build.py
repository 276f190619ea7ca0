"""Execute the notebooks, and check that what is stored is what they print.

A notebook is edited as text, `NN_name.py` or `A1_name.py`: cells start with `# %%`, Markdown cells with `# %% [markdown]`
and are triple-quoted strings. Two notebooks with outputs are made from it and committed:

- the learner's, `NN_name.ipynb`, executed with the stubs of `my_cbam.py`. What stands between `### BEGIN SOLUTION` and
  `### END SOLUTION` is replaced by a line that says "not written yet";
- `solutions/NN_name.ipynb`, executed with `solutions/my_cbam.py`, and with everything in place. In a line such as
  `answer("3.1", ...)  # solved: 0.5` the solution stands in place of the dots. Without a `check`, an `answer` or a mark
  there is nothing to solve, and no such notebook.

Cells with the tag `hide-input` are folded, in JupyterLab and on the site. Of cells with the tag `varies`, whose numbers
hang on the last digit of every sum (a training of many steps), `check` compares the sources and not the outputs. Both my_cbam.py are made from
`cbam_np/course/solved.py`.

Each picture has a partner in `dark/`, drawn in the same run, which the site shows on dark pages. Its name is the hash of
the picture it belongs to. `check` names a picture without a partner and a partner without a picture.

    python notebooks/build.py run              execute all, two at a time, and write the .ipynb files and dark/
    python notebooks/build.py run 03_the_shared_mlp      the same for one chapter
    python notebooks/build.py check            execute all and compare with the .ipynb files
    python notebooks/build.py check --quick    execute nothing, compare the texts with what the files were made from

What `run` writes depends on nothing but the text and its outputs: two runs give the same bytes.

What somebody wrote into an .ipynb file is never lost (`make learn` opens a copy to write in, but a file invites writing).
`run` refuses to write over it, `run --overwrite` keeps the file as it was. `check --quick`, a part of `make test`, names
it and goes on; it does not look at outputs. `check` is strict about everything.
"""

import argparse
import asyncio
import base64
import copy
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import unified_diff
from hashlib import sha256
from io import BytesIO
from itertools import zip_longest
from pathlib import Path

import jupytext
import nbformat
import numpy as np
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from PIL import Image
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cbam_np.course import dark, desk, my_file

HERE = Path(__file__).parent
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
DARK = "dark"  # the folder with pictures for dark pages
AT_A_TIME = 2
CELL_TIMEOUT = 600  # seconds
PICTURE_TOLERANCE = 1.0  # root mean square over all pixels, on the scale 0 to 255; one changed digit is about 2


SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION\n(.*?)^ *### END SOLUTION$", re.DOTALL | re.MULTILINE)
ANSWER = re.compile(r"^( *(?:answer\(.+, |\w+\.repair\())\.\.\.\)  # solved: (.+)$", re.MULTILINE)
ASKED = re.compile(r"^ *(check|answer|\w+\.repair)\(", re.MULTILINE)
FOLDED, VARYING = "hide-input", "varies"  # tags
STUB = r'\1raise NotImplementedError("not written yet")  # your code here'
MOVING = re.compile(r'src="data:image/gif;base64,(.+?)"')
RELATIVE_LINK = re.compile(r"(?<=\]\()(?=[\w./-]+\.(?:ipynb|py|md)[#)])")

# --- text -> notebook ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Version:
    """One of the two notebooks that are made from the text at `path`."""

    path: Path
    solved: bool = False

    @property
    def stored(self) -> Path:
        """The .ipynb file."""
        return self.path.parent / ("solutions" if self.solved else "") / f"{self.path.stem}.ipynb"

    @property
    def my_cbam(self) -> Path:
        """The learner's file that it is executed with."""
        return self.stored.parent.resolve() / my_file.NAME

    @property
    def name(self) -> str:
        """What it is called in messages: `stored` without its folder and suffix."""
        return f"{'solutions/' if self.solved else ''}{self.path.stem}"


def versions(path: Path) -> list[Version]:
    """The learner's notebook, and the solved one if there is anything to solve."""
    text = path.read_text(encoding="utf-8")
    solvable = SOLUTION.search(text) or ASKED.search(text)
    return [Version(path), Version(path, solved=True)] if solvable else [Version(path)]


def read_text(path: Path, solved: bool = False) -> NotebookNode:
    """The notebook that the text at `path` describes, without outputs, for the learner or `solved`.

    A cell's id is a hash of its source, so that inserting a cell leaves the others alone. The solved notebook lies one
    folder deeper, and its links say so.
    """
    notebook = jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent")
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = SOLUTION.sub(lambda m: m[2].rstrip("\n") if solved else m.expand(STUB), cell.source)
            cell.source = ANSWER.sub(lambda m: f"{m[1]}{m[2] if solved else '...'})", cell.source)
        elif solved:
            cell.source = RELATIVE_LINK.sub("../", cell.source)
        digest = desk.digest(cell)
        seen[digest] += 1
        for key in ("cell_marker", "lines_to_next_cell"):  # how the text is laid out, not what it says
            cell.metadata.pop(key, None)
        if FOLDED in cell.metadata.get("tags", ()):
            cell.metadata["jupyter"] = {"source_hidden": True}
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
    return notebook


# --- notebook -> executed notebook --------------------------------------------------------------------------------


class NotebookError(Exception):
    """Execution stopped; the message says in which notebook, and where."""


async def execute(version: Version, progress: Progress, dark_too: bool = False) -> NotebookNode:
    """The notebook of `version` with the outputs of a fresh kernel of this very interpreter.

    With `dark_too` each picture is there for dark pages as well, until `take_dark_pictures`.
    Raises NotebookError if a cell raises, takes too long, or ends the kernel.
    """
    notebook = read_text(version.path, version.solved)
    task = progress.add_task(version.name, total=len(notebook.cells))
    client = NotebookClient(
        notebook,
        km=AsyncKernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[])),  # no kernel but our own
        resources={"metadata": {"path": str(version.path.parent)}},
        timeout=CELL_TIMEOUT,
        shutdown_kernel="immediate",
        extra_arguments=["--log-level=ERROR", *([f"--ext={dark.__name__}"] if dark_too else [])],
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,  # otherwise the number of pieces is a matter of timing
        on_cell_start=lambda cell, cell_index: progress.update(task, completed=cell_index),
    )
    environment = os.environ | {"PYTHONHASHSEED": "0", "COLUMNS": "100", "MPLBACKEND": "inline"}
    environment[my_file.VARIABLE] = str(version.my_cbam)
    try:
        await client.async_execute(cleanup_kc=True, env=environment)
    except CellExecutionError as error:
        number, cell = next((i, c) for i, c in enumerate(notebook.cells, 1) if error_outputs(c))
        trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error_outputs(cell)[0].traceback))
        raise NotebookError(f"{version.name}: cell {number} raised {error.ename}: {error.evalue}\n{trace}") from None
    except (CellTimeoutError, DeadKernelError) as error:
        raise NotebookError(f"{version.name}: {error}") from None
    progress.update(task, completed=len(notebook.cells))
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        for data in tables(cell) if version.solved else ():
            data["text/markdown"] = RELATIVE_LINK.sub("../", data["text/markdown"])
        for data in pictures(cell):
            data["image/png"] = base64.b64encode(without_text(base64.b64decode(data["image/png"]))).decode()
    return notebook


async def execute_all(chosen: list[Version], dark_too: bool = False) -> list[NotebookNode | NotebookError]:
    """`execute` for each of them, a few at a time, under one progress bar; an error in one does not stop the others."""
    import matplotlib.font_manager  # noqa: F401  on a fresh machine its cache would be announced inside a notebook

    turn = asyncio.Semaphore(AT_A_TIME)

    async def execute_in_turn(version: Version) -> NotebookNode | NotebookError:
        async with turn:
            try:
                return await execute(version, progress, dark_too)
            except NotebookError as error:
                return error

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns) as progress:
        return await asyncio.gather(*map(execute_in_turn, chosen))


def error_outputs(cell: NotebookNode) -> list[NotebookNode]:
    """The errors among the outputs of `cell`."""
    return [output for output in cell.get("outputs", []) if output.output_type == "error"]


def compared(cell: NotebookNode) -> list[NotebookNode]:
    """The outputs of `cell` that have to be the same whenever it is executed."""
    return [] if VARYING in cell.metadata.get("tags", ()) else cell.get("outputs", [])


def tables(cell: NotebookNode) -> list[NotebookNode]:
    """The data of those outputs of `cell` that are Markdown."""
    return [output.data for output in cell.get("outputs", []) if "text/markdown" in output.get("data", {})]


def pictures(cell: NotebookNode) -> list[NotebookNode]:
    """The data of those outputs of `cell` that hold a PNG picture."""
    return [output.data for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]


def without_text(png: bytes) -> bytes:
    """`png` without the chunks that hold text: they name the time or the version of the program that drew it."""
    kept, start = [png[:8]], 8
    while start < len(png):
        end = start + 12 + int.from_bytes(png[start : start + 4], "big")
        if png[start + 4 : start + 8] not in (b"tEXt", b"zTXt", b"iTXt", b"tIME"):
            kept.append(png[start:end])
        start = end
    return b"".join(kept)


# --- pictures for dark pages --------------------------------------------------------------------------------------


def partner(data: NotebookNode) -> str | None:
    """The name of the file with the same picture for dark pages; None if these data of an output hold no picture."""
    moving = MOVING.search(data.get("text/html", ""))
    if "image/png" not in data and not moving:
        return None
    coded, kind = (moving[1], "gif") if moving else (data["image/png"], "png")
    return f"{sha256(base64.b64decode(coded)).hexdigest()}.{kind}"


def partners(cells: Iterable[NotebookNode]) -> set[str]:
    """The names of all that these cells need."""
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return {name for output in outputs if (name := partner(output.get("data", {})))}


def take_dark_pictures(notebook: NotebookNode) -> dict[str, bytes]:
    """Remove them from the outputs of `notebook`, and return them by the names of their files."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    found = [output.data for output in outputs if dark.MIME in output.get("data", {})]
    taken = {partner(data): base64.b64decode(data.pop(dark.MIME)) for data in found}
    return {name: with_fewer_colours(picture) for name, picture in taken.items() if name}


def with_fewer_colours(image: bytes) -> bytes:
    """A PNG with at most 256 colours, which takes a third of the space; a GIF has no more anyway."""
    if image.startswith(b"GIF"):
        return image
    picture = Image.open(BytesIO(image)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(file := BytesIO(), "PNG", optimize=True)
    return file.getvalue()


def without_partner(version: Version, stored: NotebookNode) -> Iterator[str]:
    """Which pictures of the stored notebook have none, in words. Those that somebody else drew needn't have one."""
    for number, cell in enumerate(stored.cells if as_run_left_it(stored) else (), 1):
        if not all((version.path.parent / DARK / name).exists() for name in partners([cell])):
            yield f"the picture of cell {number} has no partner for dark pages: python notebooks/build.py run {version.path.stem}"


def without_picture(folder: Path) -> list[Path]:
    """Partners for dark pages of pictures that are in no notebook any more; unknown once somebody else drew some."""
    try:
        stored = [desk.read(path) for path in folder.rglob("*.ipynb")]
    except desk.UnreadableNotebookError:
        return []
    needed = {name for notebook in stored for name in partners(notebook.cells)}
    there = sorted((folder / DARK).glob("*.*")) if all(map(as_run_left_it, stored)) else []
    return [path for path in there if path.name not in needed]


def as_run_left_it(stored: NotebookNode) -> bool:
    """Whether nobody has executed and saved it since: Jupyter would say which Python it was."""
    return bool(stored.metadata == METADATA)


# --- comparing ----------------------------------------------------------------------------------------------------


def source_lines(notebook: NotebookNode) -> list[str]:
    """Everything that comes from the text: each cell's type, metadata and source. Not what is folded: a tag says it."""
    lines = []
    for cell in notebook.cells:
        metadata = {key: value for key, value in cell.metadata.items() if key != "jupyter"}
        lines += [f"--- {cell.cell_type} cell {json.dumps(metadata, sort_keys=True)}", *cell.source.split("\n")]
    return lines


def output_lines(notebook: NotebookNode) -> list[str]:
    """Everything that the cells put out, as text; a picture is one line that holds its place."""
    lines = []
    for number, cell in enumerate(notebook.cells, 1):
        lines.append(f"--- outputs of cell {number}")
        for output in compared(cell):
            content = {output.name: output.text} if output.output_type == "stream" else output.get("data", {})
            for kind, text in sorted(content.items()):
                lines += [f"[{kind}]", *([] if kind == "image/png" else str(text).split("\n"))]
    return lines


def picture_distance(stored: str, got: str) -> float:
    """Root mean square difference of two base64-coded pictures, 0 to 255; infinite if their sizes differ."""
    a, b = (np.asarray(Image.open(BytesIO(base64.b64decode(x))).convert("RGBA"), np.float64) for x in (stored, got))
    return float(np.sqrt(np.mean((a - b) ** 2))) if a.shape == b.shape else float("inf")


def diff(stored: list[str], got: list[str], came_from: str) -> list[str]:
    """What has to change in `stored` to give `got`; empty if they are equal."""
    return list(unified_diff(stored, got, "stored", came_from, n=1, lineterm=""))


def as_made(stored: NotebookNode, text: NotebookNode) -> NotebookNode:
    """`stored` as `run` left it: without what somebody wrote into it since, and without what Jupyter adds when it saves.

    The id of a cell tells, see `cbam_np.course.desk`.
    """
    origins = {cell.id: cell for cell in text.cells}
    ours = {"mystnb", "tags"}.union(*(cell.metadata for cell in text.cells))
    made = copy.deepcopy(stored)
    for cell in made.cells:
        cell.metadata = {key: value for key, value in cell.metadata.items() if key in ours}
    shipped = [cell if desk.as_shipped(cell) else origins.get(cell.get("id")) for cell in made.cells]
    made.cells = [cell for cell in shipped if cell]  # without those that somebody added
    return made


def stored_problems(stored: NotebookNode) -> Iterator[str]:
    """What `run` doesn't leave in a notebook; nothing if all is well."""
    if not any(cell.get("outputs") for cell in stored.cells):
        yield "no cell has an output"
    for number, cell in enumerate(stored.cells, 1):
        if cell.cell_type == "code" and cell.execution_count is None:
            yield f"cell {number} has not been executed"
        for error in error_outputs(cell):
            yield f"cell {number} holds an error: {error.ename}: {error.evalue}"


def output_problems(stored: NotebookNode, got: NotebookNode) -> Iterator[str]:
    """Where the outputs of two notebooks with the same sources differ; nothing if they agree."""
    yield from diff(output_lines(stored), output_lines(got), "executed now")
    for number, (old, new) in enumerate(zip(stored.cells, got.cells, strict=True), 1):
        if VARYING in old.metadata.get("tags", ()):
            continue
        for a, b in zip(pictures(old), pictures(new), strict=False):  # a missing one is in the diff above
            distance = picture_distance(a["image/png"], b["image/png"])
            if distance > PICTURE_TOLERANCE:
                yield f"the picture of cell {number} differs: RMS {distance:.2f} > {PICTURE_TOLERANCE}"


# --- files beside the notebooks -------------------------------------------------------------------------------------


def own_files(folder: Path) -> dict[Path, str]:
    """The learner's file with stubs, and solved: what should be in them."""
    source = my_file.source_of_solution()
    return {folder / my_file.NAME: my_file.without_answers(source), folder / "solutions" / my_file.NAME: source}


def retired(folder: Path) -> list[Path]:
    """Notebooks whose text is gone, or has nothing to solve any more."""
    current = {version.stored for path in folder.glob(f"{desk.CHAPTERS}.py") for version in versions(path)}
    return [path for path in sorted(folder.rglob(f"{desk.CHAPTERS}.ipynb")) if path not in current]


def tidy(folder: Path) -> None:
    """Write both files, and remove retired notebooks. What was there and differs is kept as a copy on the desk."""
    on_desk = folder.resolve().parent / desk.DESK.name
    for path, text in own_files(folder).items():
        if path.exists() and path.read_text(encoding="utf-8") != text:
            kept = desk.keep(path, path.relative_to(folder).with_suffix("").as_posix(), on_desk)
            print(f"{path.name}: as it was before: {kept}")
        desk.write(path, text.encode())
    for path in retired(folder):
        kept = desk.keep(path, path.relative_to(folder).with_suffix("").as_posix(), on_desk)
        path.unlink()
        print(f"{path.name}: no longer in the course; as it was: {kept}")


def untidy(folder: Path) -> list[str]:
    """What `tidy` would change, in words."""
    differing = [
        path
        for path, text in own_files(folder).items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    return [
        *(f"{path.relative_to(folder)}: differs from what cbam_np/course/solved.py gives" for path in differing),
        *(f"{path.relative_to(folder)}: there is no text for this notebook" for path in retired(folder)),
        *(f"{path.relative_to(folder)}: no notebook has this picture" for path in without_picture(folder)),
    ]


# --- the two verbs ------------------------------------------------------------------------------------------------


def written_into(version: Version) -> str:
    """What somebody wrote into the stored notebook and what is not in the text, in words; empty if nothing."""
    try:
        cells = desk.written(desk.read(version.stored), read_text(version.path, version.solved))
    except FileNotFoundError:
        return ""
    except desk.UnreadableNotebookError as error:
        return str(error)
    first = next((cell.source.strip().partition("\n")[0] for cell in cells), "")
    return f"{version.name}: somebody wrote in {len(cells)} of its cells, the first is: {first}" if cells else ""


def run(chosen: list[Version], dry: bool, overwrite: bool) -> int:
    """Execute, and write the result unless `dry`. Returns the number of notebooks that failed.

    Where somebody wrote into a notebook, nothing is executed unless it is to `overwrite`, and then the file is kept.
    """
    refused = [version for version in chosen if written_into(version)]
    if refused and not dry and not overwrite:
        print(*map(written_into, refused), sep="\n", file=sys.stderr)
        print(
            "Nothing has been executed, and nothing is lost. If it belongs to the course, copy it to the text. If it is yours,",
            f"`make learn` brings it to {desk.DESK.name}/. After that, write the notebooks anew with",
            "    python notebooks/build.py run --overwrite",
            f"which also keeps these files as they are, in {desk.DESK.name}/{desk.EARLIER}/.",
            sep="\n",
            file=sys.stderr,
        )
        return len(refused)
    failed = []
    for version, got in zip(chosen, asyncio.run(execute_all(chosen, dark_too=not dry)), strict=True):
        if isinstance(got, NotebookError):
            failed.append(version.name)
            print(got, file=sys.stderr)
        elif not dry:
            if written_into(version):  # also if it was saved while the notebooks were executed
                kept = desk.keep(version.stored, version.name, version.path.resolve().parents[1] / desk.DESK.name)
                print(f"{version.name}: as it was before: {kept}")
            for name, png in take_dark_pictures(got).items():
                desk.write(version.path.parent / DARK / name, png)
            desk.write(version.stored, desk.to_json(got).encode())
    for path in {path for version in chosen for path in without_picture(version.path.parent)} if not dry else ():
        path.unlink()
    if failed:
        print(f"{len(failed)} of {len(chosen)} notebooks failed: {', '.join(failed)}")
    else:
        print(f"All {len(chosen)} notebooks ran to the end{', nothing was written' if dry else ' and are stored'}.")
    return len(failed)


def check(chosen: list[Version], quick: bool) -> int:
    """Compare with what is stored. Returns the number of notebooks where something is wrong."""
    executed = [] if quick else asyncio.run(execute_all(chosen))
    failed, written = 0, []
    for version, got in zip_longest(chosen, executed):
        problems = list(problems_of(version, got))
        failed += bool(problems)
        written += [note for note in [written_into(version)] if note]
        print(f"{version.name}: {'differs' if problems else 'ok'}", *problems, sep="\n  ")
    if written:
        print(*written, "It is safe there, but `make learn` opens a copy of the course to write in.", sep="\n")
    if failed:
        print(f"{failed} of {len(chosen)} notebooks differ.")
        print("If the text is right, write the outputs anew: python notebooks/build.py run")
    return failed


def problems_of(version: Version, got: NotebookNode | NotebookError | None) -> Iterator[str]:
    """All that is wrong with the stored notebook; `got` is the executed one, None if it was not."""
    try:
        stored = desk.read(version.stored)
    except FileNotFoundError:
        yield "there is no .ipynb file"
        return
    except desk.UnreadableNotebookError as error:
        yield str(error)
        return
    text = read_text(version.path, version.solved)
    if got is None:
        yield from diff(source_lines(as_made(stored, text)), source_lines(text), "text")
        yield from without_partner(version, stored)
        return
    differences = diff(source_lines(stored), source_lines(text), "text")
    yield from differences
    yield from stored_problems(stored)
    yield from without_partner(version, stored)
    if isinstance(got, NotebookError):
        yield from str(got).split("\n")
    elif not differences:
        yield from output_problems(stored, got)


def main(argv: list[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    run_parser = verbs.add_parser("run", help="execute, and write the .ipynb files")
    run_parser.add_argument("--dry-run", action="store_true", help="execute, write nothing")
    run_parser.add_argument(
        "--overwrite", action="store_true", help="also write over notebooks that somebody wrote in, and keep a copy"
    )
    check_parser = verbs.add_parser("check", help="execute, and compare with the .ipynb files")
    check_parser.add_argument("--quick", action="store_true", help="execute nothing, compare the texts only")
    for verb in (run_parser, check_parser):
        verb.add_argument(
            "names", metavar="NAME", nargs="*", help="a notebook's text, such as 01_the_block.py; all if none"
        )
    args = parser.parse_args(argv)
    given = [Path(name).with_suffix(".py") for name in args.names] or sorted(HERE.glob(f"{desk.CHAPTERS}.py"))
    paths = [path if path.exists() else HERE / path for path in given]
    missing = [str(path) for path in paths if not path.exists()]
    if missing or not paths:
        parser.error(f"no such notebook: {', '.join(missing) or HERE / 'NN_name.py'}")
    chosen = [version for path in paths for version in versions(path)]
    everything = not args.names
    if args.verb == "run":
        if everything and not args.dry_run:
            tidy(HERE)
        return 1 if run(chosen, args.dry_run, args.overwrite) else 0
    problems = untidy(HERE) if everything else []
    print(*problems, sep="\n", end="\n" * bool(problems))
    return 1 if check(chosen, args.quick) + len(problems) else 0


if __name__ == "__main__":
    sys.exit(main())
