"""Files of a training that outlive a kill: a checkpoint that is whole at any moment, and a log that is cut to fit it.

A checkpoint is written under another name, forced onto the disk, and then takes the place of the last one in one go. So
at any moment there is one that is whole. Its format is safetensors: arrays and text, nothing that runs when it is read.
Needs the extra "train".
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from cbam_np.arrays import Params, asarray, library_name, to_numpy
from cbam_np.nets.network import Network
from cbam_np.nets.training import State

VELOCITY = ".velocity"  # after the name of a parameter: its velocity


def save(path: Path, net: Network, state: State, about: dict[str, Any], others: Params | None = None) -> None:
    """Write all that a training needs to go on.

    Parameters and buffers have their own names, so anything that reads safetensors can read the network.

    Parameters
    ----------
    path : Path
    net : Network
    state : State
    about : dict
        What else is to be known, in JSON's types.
    others : dict of arrays, optional
    """
    velocity = {name + VELOCITY: v for name, v in state.velocity.items()}
    others = others or {}
    about = {"step": state.step, "others": list(others), **about}
    write(path, {**net.params, **net.buffers, **velocity, **others}, about)


def restore(net: Network, arrays: Params, about: dict[str, Any]) -> tuple[State, Params]:
    """Put what `read` gave into `net`; the state to go on from, and the other arrays.

    Raises ValueError if the checkpoint is one of another network.

    Parameters
    ----------
    net : Network
    arrays : dict of arrays
    about : dict
    """
    library = library_name(next(iter(net.params.values())))
    try:
        others = {name: arrays[name] for name in about["others"]}
        velocity = {name: asarray(arrays[name + VELOCITY], library) for name in net.params}
        apart = others.keys() | {name + VELOCITY for name in velocity}
        net.load_state({name: x for name, x in arrays.items() if name not in apart})
        return State(about["step"], velocity), others
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"checkpoint: expected one of {net}, got another ({error})") from error


def write(path: Path, arrays: Params, about: dict[str, Any]) -> None:
    """Write arrays of any library, and what is to be known about them: whole or not at all.

    Parameters
    ----------
    path : Path
    arrays : dict of arrays
    about : dict
        In JSON's types.
    """
    from safetensors.numpy import save

    # safetensors takes the memory as it lies, and would store a transposed array wrongly
    in_order = {name: np.asarray(to_numpy(x), order="C") for name, x in arrays.items()}
    # one entry: several would come in another order in every run
    content = save(in_order, {"about": json.dumps(about, allow_nan=False)})
    put(path, content)


def put(path: Path, content: bytes) -> None:
    """Write a file: whole or not at all, whatever happens to this process or this machine.

    Parameters
    ----------
    path : Path
    content : bytes
    """
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    if os.name == "posix":  # the new name has to reach the disk too; elsewhere a folder can't be opened
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def read(path: Path) -> tuple[Params, dict[str, Any]]:
    """The arrays, on NumPy, and what is known about them. Raises ValueError if the file is damaged or another one.

    Parameters
    ----------
    path : Path
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            about = json.loads(file.metadata()["about"])
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118, it is no dict
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"checkpoint: expected a whole one of cbam-np train, got {path} ({reason})") from None


class Log:
    """A file of JSON lines, one a record.

    Raises ValueError if the file is shorter than `length`.

    Parameters
    ----------
    path : Path
    length : int
        Of the log that a checkpoint belongs to, in bytes. What was written after it is cut off, and written again as
        the training repeats these steps. 0 begins a new log.
    """

    def __init__(self, path: Path, length: int = 0) -> None:
        self._file = path.open("ab")
        found = self._file.tell()
        if found < length:
            self._file.close()
            raise ValueError(f"log: expected {length} bytes or more, as at the checkpoint, got {found} in {path}")
        self._file.truncate(length)

    def append(self, record: dict[str, Any]) -> None:
        """Add one line. It outlives this process at once, and the machine after `length`.

        Parameters
        ----------
        record : dict
            In JSON's types.
        """
        self._file.write(json.dumps(record, allow_nan=False).encode() + b"\n")
        self._file.flush()

    def length(self) -> int:
        """How many bytes there are, now that all of them are on the disk."""
        os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Nothing can be added any more."""
        self._file.close()
