"""Files of weights, read without trust: the tensors of a checkpoint by name, each on demand.

A file may come from anywhere. So nothing in it is run, what it says is compared with its size before memory is asked
for, and whatever is wrong with it is one ValueError. Its kind is told by its first bytes, not by its name:

    safetensors     a header in JSON, then the numbers
    .npz            a zip of .npy files, read without pickle
    .pt, .pth       a pickle. It is read by torch.load(weights_only=True), and only after a look at its opcodes:
                    even with weights_only a pickle may ask for an array of any size
"""

from __future__ import annotations  # the site is built without PyTorch, where types can't be joined by |

import io
import json
import math
import pickletools
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

MOST = 100  # an archive may unpack to as many times its size; trained weights hardly shrink at all
LEVELS = 3  # of dicts inside dicts that are searched for tensors, as in {"state_dict": {...}}

T = TypeVar("T")

# What a checkpoint's pickle may name. None of it takes memory but for tensors, whose storages are looked at apart.
HARMLESS = {
    "collections.OrderedDict",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_tensor_v2",
    "torch.Size",
    "torch.device",
    "torch.storage.UntypedStorage",
    *(f"torch.{kind}Storage" for kind in ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char")),
    *(f"torch.{kind}Storage" for kind in ("Byte", "Bool")),
    *(f"torch.{dtype}" for dtype in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool")),
}


class Entry(NamedTuple):
    """A tensor of a file: its shape, and how to get it as a NumPy array of floating point."""

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


class Content(NamedTuple):
    """What was found: the tensors by name, and the text beside them, which only safetensors has."""

    entries: dict[str, Entry]
    metadata: dict[str, str]


def content_of(source: Any) -> Content:
    """The tensors of a state dict, a module, or a file. For the errors see `cbam_np.pytorch.load_weights`."""
    if isinstance(source, torch.nn.Module):
        source = source.state_dict()
    if isinstance(source, Mapping):
        return Content(entries_in(source, most=math.inf), {})
    if not isinstance(source, str | PathLike):
        raise TypeError(f"source: expected a path, a state dict or a module, got {type(source).__name__}")
    path = Path(source)
    if not path.is_file():  # a link to nowhere, a folder, a pipe that never ends
        raise FileNotFoundError(f"source: {f'{path} is no file' if path.exists() else f'there is no file {path}'}")
    size = path.stat().st_size
    with path.open("rb"):  # an OSError from here on is the content's fault
        entries, metadata = readable(path, lambda: reader_of(path)(path, size))

    def guarded(entry: Entry) -> Entry:
        return Entry(entry.shape, lambda: readable(path, entry.read))

    return Content({name: guarded(entry) for name, entry in entries.items()}, metadata)


def readable(path: Path, read: Callable[[], T]) -> T:
    """What `read` returns. Whatever the readers of three formats raise on such bytes becomes a ValueError."""
    try:
        return read()
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"source: {path} can't be read: {reason.removeprefix('ValueError: ')}") from None


def reader_of(path: Path) -> Callable[[Path, int], Content]:
    """The reader for the first bytes of a file."""
    with path.open("rb") as file:
        start = file.read(9)
    if start[:2] == b"PK":
        with zipfile.ZipFile(path) as archive:
            return zipped_pickle if any(name.endswith("/data.pkl") for name in archive.namelist()) else npz
    if start[8:] == b"{":
        return safetensors
    if start[:1] == b"\x80":
        return pickle_of_old
    raise ValueError("expected safetensors, .npz or a checkpoint of PyTorch, got none of them by its first bytes")


# --- the three formats ----------------------------------------------------------------------------------------------


def safetensors(path: Path, size: int) -> Content:
    """A file of safetensors. Its library reads it; a name that comes twice is what the library lets pass."""
    from safetensors import safe_open

    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > size - 8:
            raise ValueError(f"its header claims {length} bytes, and the file has {size}")
        header = json.loads(file.read(length), object_pairs_hook=each_once)

    def read(name: str) -> np.ndarray:
        with safe_open(path, "pt") as file:
            return as_array(name, file.get_tensor(name))

    with safe_open(path, "pt") as file:  # it raises unless the header fits the file
        names = file.keys()
    entries = {name: Entry(tuple(header[name]["shape"]), partial(read, name)) for name in names}
    return Content(entries, dict(header.get("__metadata__") or {}))


def npz(path: Path, size: int) -> Content:
    """NumPy's archive. A header is read before its array, and no pickle at all."""
    with zipfile.ZipFile(path) as archive:
        check_archive(archive, size)
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if not all(name.endswith(".npy") for name in archive.namelist()):
            raise ValueError("expected nothing but arrays in it, as numpy.savez writes, got a zip of something else")
        entries = {name: npy_entry(path, archive, name) for name in names}
    return Content(entries, {})


def npy_entry(path: Path, archive: zipfile.ZipFile, name: str) -> Entry:
    """One array of a .npz, of which only the header has been read."""
    with archive.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
        rest = archive.getinfo(f"{name}.npy").file_size - file.tell()
    if dtype.hasobject or rest != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name}: its header claims {shape} of {dtype}, and {rest} bytes follow")

    def read() -> np.ndarray:
        with np.load(path, allow_pickle=False) as arrays:
            return as_array(name, arrays[name])

    return Entry(shape, read)


def zipped_pickle(path: Path, size: int) -> Content:
    """What torch.save writes: a zip with one pickle and the numbers beside it, all as they are.

    It is packed anew from the entries that were looked at, so that no second directory in the file can show PyTorch
    other ones.
    """
    anew = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(anew, "w") as packed:
        check_archive(archive, size)
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            raise ValueError("expected entries that are stored as they are, as torch.save writes, got compressed ones")
        for info in archive.infolist():
            content = archive.read(info)
            if info.filename.endswith("data.pkl"):
                check_pickle(io.BytesIO(content), size)
            packed.writestr(info.filename, content)
    return loaded(anew, size)


def pickle_of_old(path: Path, size: int) -> Content:
    """What torch.save wrote before version 1.6: five pickles, then the numbers."""
    content = path.read_bytes()
    file = io.BytesIO(content)
    for _ in range(5):
        check_pickle(file, size)
    return loaded(io.BytesIO(content), size)


def loaded(file: io.BytesIO, size: int) -> Content:
    """The tensors of a pickle that was looked at."""
    file.seek(0)
    found = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(found, Mapping):
        raise ValueError(f"expected a dict of tensors in it, got {type(found).__name__}")
    return Content(entries_in(found, most=size), {})


# --- what is looked at ----------------------------------------------------------------------------------------------


def check_archive(archive: zipfile.ZipFile, size: int) -> None:
    """Raise ValueError if a name comes twice, or if it would unpack to far more than it is."""
    twice = [name for name, count in Counter(archive.namelist()).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]} is in it twice")
    unpacked = sum(info.file_size for info in archive.infolist())
    if unpacked > MOST * size:
        raise ValueError(f"its {size} bytes unpack to {unpacked}, more than {MOST} times as many")


def check_pickle(file: io.BytesIO, size: int) -> None:
    """Raise ValueError if the next pickle names anything but parts of tensors, or a storage larger than the file.

    Nothing is unpickled here: the opcodes are read, and what follows is left to torch.load(weights_only=True).
    """
    last_number = 0
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ("GLOBAL", "INST"):
            name = str(argument).replace(" ", ".")
            if name not in HARMLESS:
                raise ValueError(f"expected tensors and plain values in it, got {name}; nothing was run")
        elif opcode.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "NEWOBJ_EX", "OBJ"):
            raise ValueError(f"expected what torch.save writes, got the opcode {opcode.name}; nothing was run")
        elif isinstance(argument, int) and opcode.name in (
            "BININT",
            "BININT1",
            "BININT2",
            "LONG1",
            "LONG4",
            "INT",
            "LONG",
        ):
            last_number = argument
        elif opcode.name == "BINPERSID" and not 0 <= last_number <= size:  # of a storage, whose length comes last
            raise ValueError(f"a tensor claims {last_number} numbers, and the file has {size} bytes")


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of JSON with these pairs. Raises ValueError if a name comes twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"{twice} is in it twice")
    return found


# --- tensors --------------------------------------------------------------------------------------------------------


def entries_in(state: Mapping[Any, Any], most: float) -> dict[str, Entry]:
    """The tensors of a state dict, or of the dict in it that has the most, as {"state_dict": {...}, "epoch": 3}.

    most: as many bytes as a tensor may have. A tensor in a file can repeat a number for free, but its copy can't.
    """
    tensors = max(dicts(state), key=len)
    return {name: entry(name, x, most) for name, x in tensors.items()}


def dicts(state: Mapping[Any, Any], levels: int = LEVELS) -> Iterator[dict[str, Any]]:
    """The tensors by name, of this dict and of those inside."""
    yield {name: x for name, x in state.items() if isinstance(name, str) and isinstance(x, torch.Tensor | np.ndarray)}
    for value in state.values():
        if isinstance(value, Mapping) and levels:
            yield from dicts(value, levels - 1)


def entry(name: str, x: Any, most: float) -> Entry:
    """A tensor or an array in memory."""

    def read() -> np.ndarray:
        if math.prod(x.shape) * x.dtype.itemsize > most:
            raise ValueError(f"{name}: {tuple(x.shape)} of {x.dtype} has more bytes than the file")
        return as_array(name, x)

    return Entry(tuple(x.shape), read)


def as_array(name: str, x: Any) -> np.ndarray:
    """A copy on NumPy; bfloat16, which NumPy lacks, becomes float32. Raises ValueError unless it is finite floats."""
    if isinstance(x, torch.Tensor):
        if x.layout != torch.strided or x.is_quantized or x.is_meta:
            raise ValueError(f"{name}: expected a plain tensor, got one that is sparse, quantised or without numbers")
        x = x.detach().cpu()
        x = (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    if x.dtype not in (np.float64, np.float32, np.float16):
        raise ValueError(f"{name}: expected float64, float32, float16 or bfloat16, got {x.dtype}")
    x = np.array(x, dtype=x.dtype.newbyteorder("="), order="C")
    if not np.isfinite(x).all():
        raise ValueError(f"{name}: expected finite numbers, got {np.count_nonzero(~np.isfinite(x))} that are not")
    return x
