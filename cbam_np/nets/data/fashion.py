"""Fashion-MNIST: 70,000 grey pictures of clothes, 28×28, in ten classes (Xiao, Rasul and Vollgraf, arXiv:1708.07747).

The four files come from a folder of yours, from Debian's package, or, if you ask for it, from the internet. A file is
only ever read as numbers, and used only if its contents have the SHA-256 known here.
"""

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
MEAN, STD = 72.9404, 90.0212  # of all pixels of the 60,000 training images, grey levels 0 to 255
VALIDATION = 5000  # of the 60,000 training images
SPLIT_SEED = 0

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
# the authors' repository at one commit, so that what is there cannot change
URL = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/55506a91af88bac38da7169389bdffed53be3621/data/fashion"


@dataclass(frozen=True)
class File:
    """What is known of a file. Debian compresses the same contents to other bytes, hence two checksums."""

    shape: tuple[int, ...]
    sha256: str  # of the contents, after decompression
    sha256_gz: str  # of the compressed file that the authors published


FILES = {
    "train-images-idx3-ubyte.gz": File(
        (60_000, 28, 28),
        sha256="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        sha256_gz="3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    "train-labels-idx1-ubyte.gz": File(
        (60_000,),
        sha256="bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        sha256_gz="a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    "t10k-images-idx3-ubyte.gz": File(
        (10_000, 28, 28),
        sha256="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        sha256_gz="346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    "t10k-labels-idx1-ubyte.gz": File(
        (10_000,),
        sha256="0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        sha256_gz="67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
}


class DataError(RuntimeError):
    """A file of Fashion-MNIST is missing or damaged; the message names it and the three ways to get a good one."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"{problem}\n"
            "Do one of these:\n"
            f"  - pass folder=..., a folder with the four files {', '.join(FILES)}\n"
            f"  - on Debian: apt install dataset-fashion-mnist, which puts them into {DEBIAN}\n"
            "  - pass fetch=True, which downloads them (31 MB) into your cache folder and checks them"
        )


@dataclass(frozen=True)
class FashionMNIST:
    """One split of Fashion-MNIST."""

    images: np.ndarray  # (N, 1, 28, 28) float32: (grey level - MEAN) / STD
    labels: np.ndarray  # (N,) int64: 0, ..., 9
    classes: tuple[str, ...] = CLASSES  # the class names, by label


def fashion_mnist(split: str = "train", *, folder: str | Path | None = None, fetch: bool = False) -> FashionMNIST:
    """A split of Fashion-MNIST: "train" (55,000), "validation" (5,000) or "test" (10,000, the authors' own).

    The authors' 60,000 training images are put in a random order, always the same, and the last 5,000 are for
    validation. Grey levels are scaled with MEAN and STD: all 60,000 images together have mean 0 and variance 1.

    The files are read from `folder` if you name one. Otherwise they are Debian's, if that package is installed, or the
    ones downloaded earlier. Nothing is downloaded unless you pass `fetch=True`, which looks only at those downloaded
    earlier, and downloads what is not there or damaged.

    Raises ValueError if `split` is none of the three or both `folder` and `fetch` are given, and DataError if a file
    is missing, damaged or cannot be downloaded.
    """
    if split not in ("train", "validation", "test"):
        raise ValueError(f"split: expected one of train, validation, test, got {split!r}")
    if folder is not None and fetch:
        raise ValueError("fetch: expected False when folder is given, got True; leave out one of them")
    names = [name for name in FILES if name.startswith("t10k" if split == "test" else "train")]
    images, labels = (read_idx(path) for path in locate(names, folder, fetch))
    if split != "test":
        order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
        chosen = order[:-VALIDATION] if split == "train" else order[-VALIDATION:]
        images, labels = images[chosen], labels[chosen]
    scaled = (images[:, None].astype(np.float32) - np.float32(MEAN)) / np.float32(STD)
    return FashionMNIST(scaled, labels.astype(np.int64))


def locate(names: list[str], folder: str | Path | None, fetch: bool) -> list[Path]:
    """The paths of the files `names`, all in one folder; raises DataError if there is none or a download fails."""
    if fetch:
        return [download(name) for name in names]
    places = [Path(folder)] if folder is not None else [DEBIAN, cache()]
    for place in places:
        if all((place / name).is_file() for name in names):
            return [place / name for name in names]
    missing = [str(place / name) for place in places for name in names if not (place / name).is_file()]
    raise DataError(f"Fashion-MNIST: expected {' and '.join(names)} in one folder, got no {' and no '.join(missing)}.")


def cache() -> Path:
    """Where downloaded files are kept: the user's cache folder, as the system has it."""
    import pooch  # an extra

    return Path(pooch.os_cache("cbam-np")) / "fashion-mnist"


def download(name: str) -> Path:
    """The file `name` in the cache, downloaded with a message unless it is there with the right checksum already."""
    import pooch  # an extra

    try:  # pooch writes to a temporary file, and gives it its name only if the checksum is right
        return Path(pooch.retrieve(f"{URL}/{name}", f"sha256:{FILES[name].sha256_gz}", fname=name, path=cache()))
    except (OSError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}".rstrip(".")
        raise DataError(f"{name}: expected a download from {URL}, got {reason}.") from error


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array in a gzip file of the format IDX; raises DataError unless it is exactly the one known.

    IDX is two zero bytes, one byte for the type of the entries (8: unsigned bytes), one for the number of axes, then
    the length of each axis, in four bytes with the most significant first, and then the entries.
    """
    known = FILES[path.name]
    header = 4 + 4 * len(known.shape)
    expected = header + prod(known.shape)
    try:
        with gzip.open(path) as file:
            content = file.read(expected + 1)  # not more: a small file may unpack to a huge one
    except EOFError:
        raise DataError(f"{path}: expected {expected} bytes after decompression, got a file that is cut off.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        with path.open("rb") as file:
            begin = file.read(20)
        raise DataError(f"{path}: expected a sound gzip file, got {begin!r}... ({error}).") from None
    except OSError as error:
        raise DataError(f"{path}: expected a file that can be read, got {error}.") from error
    magic = bytes([0, 0, 8, len(known.shape)])
    if content[:4] != magic:
        raise DataError(f"{path}: expected an IDX file, which begins with {magic!r}, got {content[:4]!r}.")
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, header, 4))
    if shape != known.shape:
        raise DataError(f"{path}: expected the shape {known.shape}, got {shape}.")
    if len(content) != expected:
        got = f"{len(content)}" if len(content) < expected else "more"
        raise DataError(f"{path}: expected {expected} bytes after decompression, got {got}.")
    digest = hashlib.sha256(content).hexdigest()
    if digest != known.sha256:
        raise DataError(f"{path}: expected contents with SHA-256 {known.sha256}, got {digest}.")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
