"""Files of a training that survive a kill: a checkpoint that is whole at any moment, and a log that it cuts to length.

A checkpoint is written under another name, forced onto the disk, and then takes the place of the last one in a single
step. So there is always one that is whole. Its format is safetensors: arrays and text, and nothing that runs when read.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from cbam_np.arrays import Params, to_numpy


def write(path: Path, arrays: Params, about: dict[str, Any]) -> None:
    """Write arrays of any library, and what is to be known about them, in JSON's types; all or nothing."""
    from safetensors.numpy import save  # an extra

    # safetensors takes the memory as it lies, and would store a transposed array wrongly
    in_order = {name: np.asarray(to_numpy(x), order="C") for name, x in arrays.items()}
    # a single entry: the order of several would not be the same in every run
    content = save(in_order, {"about": json.dumps(about, allow_nan=False)})
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        force_to_disk(file.fileno())
    part.replace(path)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            force_to_disk(folder)
        finally:
            os.close(folder)


def read(path: Path) -> tuple[Params, dict[str, Any]]:
    """The arrays, NumPy, and what is known about them. Raises ValueError if the file is damaged or not one of these."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            about = json.loads(file.metadata()["about"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"checkpoint: expected a whole one in the format safetensors, got {path} ({reason})") from None
    return arrays, about


class Log:
    """A file of JSON lines, one a record. Use it in a `with`.

    length: of an earlier training's log, the bytes to keep; what was written after that is cut off, and will be
    written again. 0 begins an empty one. Raises ValueError if the file is shorter.
    """

    def __init__(self, path: Path, length: int = 0) -> None:
        present = path.stat().st_size if path.exists() else 0
        if present < length:
            raise ValueError(f"log: expected {path} with at least the {length} bytes of the checkpoint, got {present}")
        self._file = path.open("ab")
        self._file.truncate(length)

    def append(self, record: dict[str, Any]) -> None:
        """Add one line. It survives the end of this process, but not yet that of the machine."""
        self._file.write(json.dumps(record, allow_nan=False).encode() + b"\n")
        self._file.flush()

    def length(self) -> int:
        """How many bytes there are, all of them on the disk now."""
        force_to_disk(self._file.fileno())
        return self._file.tell()

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def force_to_disk(descriptor: int) -> None:
    """Wait until what was written to an open file, or to a folder, outlives a power cut."""
    os.fsync(descriptor)
