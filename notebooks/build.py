"""Execute the notebooks, and check that what is stored is what they print.

A notebook is edited as text, `NN_name.py`: cells start with `# %%`, Markdown cells with `# %% [markdown]` and are
triple-quoted strings. Two notebooks with outputs are made from it and committed: the learner's, `NN_name.ipynb`, where
what stands between `### BEGIN SOLUTION` and `### END SOLUTION` is replaced by a line that says "not written yet", and
`solutions/NN_name.ipynb` with everything in place. A text without these marks gives the first one only.

    python notebooks/build.py run              execute all, two at a time, and write the .ipynb files
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
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
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

from cbam_np.course import desk

HERE = Path(__file__).parent
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
AT_A_TIME = 2
CELL_TIMEOUT = 600  # seconds
PICTURE_TOLERANCE = 1.0  # root mean square over all pixels, on the scale 0 to 255; one changed digit is about 2


SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION\n(.*?)^ *### END SOLUTION$", re.DOTALL | re.MULTILINE)
STUB = r'\1raise NotImplementedError("not written yet")  # your code here'
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
    def name(self) -> str:
        """What it is called in messages: `stored` without its folder and suffix."""
        return f"{'solutions/' if self.solved else ''}{self.path.stem}"


def versions(path: Path) -> list[Version]:
    """The learner's notebook, and the solved one if there is anything to solve."""
    solvable = SOLUTION.search(path.read_text(encoding="utf-8"))
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
        elif solved:
            cell.source = RELATIVE_LINK.sub("../", cell.source)
        digest = desk.digest(cell)
        seen[digest] += 1
        for key in ("cell_marker", "lines_to_next_cell"):  # how the text is laid out, not what it says
            cell.metadata.pop(key, None)
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
    return notebook


# --- notebook -> executed notebook --------------------------------------------------------------------------------


class NotebookError(Exception):
    """Execution stopped; the message says in which notebook, and where."""


async def execute(version: Version, progress: Progress) -> NotebookNode:
    """The notebook of `version` with the outputs of a fresh kernel of this very interpreter.

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
        extra_arguments=["--log-level=ERROR"],
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,  # otherwise the number of pieces is a matter of timing
        on_cell_start=lambda cell, cell_index: progress.update(task, completed=cell_index),
    )
    environment = os.environ | {"PYTHONHASHSEED": "0", "COLUMNS": "100", "MPLBACKEND": "inline"}
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


async def execute_all(chosen: list[Version]) -> list[NotebookNode | NotebookError]:
    """`execute` for each of them, a few at a time, under one progress bar; an error in one does not stop the others."""
    import matplotlib.font_manager  # noqa: F401  on a fresh machine its cache would be announced inside a notebook

    turn = asyncio.Semaphore(AT_A_TIME)

    async def execute_in_turn(version: Version) -> NotebookNode | NotebookError:
        async with turn:
            try:
                return await execute(version, progress)
            except NotebookError as error:
                return error

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns) as progress:
        return await asyncio.gather(*map(execute_in_turn, chosen))


def error_outputs(cell: NotebookNode) -> list[NotebookNode]:
    """The errors among the outputs of `cell`."""
    return [output for output in cell.get("outputs", []) if output.output_type == "error"]


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


# --- comparing ----------------------------------------------------------------------------------------------------


def source_lines(notebook: NotebookNode) -> list[str]:
    """Everything that comes from the text: each cell's type, metadata and source."""
    lines = []
    for cell in notebook.cells:
        lines += [f"--- {cell.cell_type} cell {json.dumps(cell.metadata, sort_keys=True)}", *cell.source.split("\n")]
    return lines


def output_lines(notebook: NotebookNode) -> list[str]:
    """Everything that the cells put out, as text; a picture is one line that holds its place."""
    lines = []
    for number, cell in enumerate(notebook.cells, 1):
        lines.append(f"--- outputs of cell {number}")
        for output in cell.get("outputs", []):
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
        for a, b in zip(pictures(old), pictures(new), strict=False):  # a missing one is in the diff above
            distance = picture_distance(a["image/png"], b["image/png"])
            if distance > PICTURE_TOLERANCE:
                yield f"the picture of cell {number} differs: RMS {distance:.2f} > {PICTURE_TOLERANCE}"


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
    for version, got in zip(chosen, asyncio.run(execute_all(chosen)), strict=True):
        if isinstance(got, NotebookError):
            failed.append(version.name)
            print(got, file=sys.stderr)
        elif not dry:
            if written_into(version):  # also if it was saved while the notebooks were executed
                kept = desk.keep(version.stored, version.name, version.path.resolve().parents[1] / desk.DESK.name)
                print(f"{version.name}: as it was before: {kept}")
            desk.write(version.stored, desk.to_json(got).encode())
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
        return
    differences = diff(source_lines(stored), source_lines(text), "text")
    yield from differences
    yield from stored_problems(stored)
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
    given = [Path(name).with_suffix(".py") for name in args.names] or sorted(HERE.glob("[0-9]*.py"))
    paths = [path if path.exists() else HERE / path for path in given]
    missing = [str(path) for path in paths if not path.exists()]
    if missing or not paths:
        parser.error(f"no such notebook: {', '.join(missing) or HERE / 'NN_name.py'}")
    chosen = [version for path in paths for version in versions(path)]
    failed = run(chosen, args.dry_run, args.overwrite) if args.verb == "run" else check(chosen, args.quick)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
