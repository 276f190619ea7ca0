"""The files that commands write: tried before the work begins, whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RESULTS = Path("cbam-np-results")  # where commands write if they are not told where: in the working directory


@contextmanager
def output_file(path: Path) -> Iterator[Path]:
    """A new file to write to, which takes the place of `path` at the end of the `with`, or vanishes if that fails.

    The folder `RESULTS` is made if need be. Raises ValueError at once if `path` cannot be written.
    """
    try:
        if path.parent == RESULTS:
            make_folder(RESULTS)
        if path.exists():
            path.open("ab").close()
        target = path.resolve()
        part = target.with_name(f".{target.name}.{os.getpid()}{target.suffix}")
        part.touch(exist_ok=False)
    except OSError as error:
        raise ValueError(f"--output: {path} cannot be written: {error.strerror}") from error
    try:
        if target.exists() and not target.is_file():
            raise ValueError(f"--output: expected a file, got {path}")
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder if need be; the folder `RESULTS` with a .gitignore that hides it from git."""
    if RESULTS in (folder, *folder.parents) and not RESULTS.exists():
        RESULTS.mkdir()
        (RESULTS / ".gitignore").write_text("*\n", encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
