"""The data of the networks: scenes as described, batches that can be repeated, files that are never trusted."""

import gc
import gzip
import hashlib
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import astuple
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pooch
import pytest
from sklearn.datasets import load_digits

from cbam_np.nets.data import DataError, FashionMNIST, Scenes, batches, cluttered_digits, digits, fashion, fashion_mnist

SPLITS = ("train", "validation", "test")
rng = np.random.default_rng(0)


def equal(a: Scenes, b: Scenes) -> bool:
    return all(map(np.array_equal, astuple(a), astuple(b)))


def test_importing_the_data_imports_no_optional_library() -> None:
    code = "import cbam_np.nets.data, sys; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True).stdout
    assert "cbam_np.nets.data.fashion" in loaded.split()
    assert not {"sklearn", "scipy", "pooch", "requests"} & set(loaded.split())


# --- cluttered digits: what a scene is ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [24, 48, 50])
def test_scenes_have_the_shapes_and_dtypes_they_promise(size: int) -> None:
    scenes = cluttered_digits(count=7, size=size)
    parts = (scenes.images, scenes.labels, scenes.boxes, scenes.masks, scenes.originals)
    assert [part.shape for part in parts] == [(7, 1, size, size), (7,), (7, 4), (7, 1, size, size), (7,)]
    assert [part.dtype.name for part in parts] == ["float32", "int64", "int64", "bool", "int64"]
    assert scenes.images.min() >= 0
    assert 0.9 < scenes.images.max() <= 1


def enlarged(image: np.ndarray) -> np.ndarray:
    """Linear interpolation by NumPy: pixel i of the three times larger image lies at (i - 1) / 3 of the small one."""
    at = (np.arange(3 * len(image)) - 1) / 3  # np.interp repeats the edges
    rows = [np.interp(at, np.arange(len(image)), row) for row in image.astype(float)]
    return np.array([np.interp(at, np.arange(len(image)), column) for column in np.array(rows).T]).T


def test_enlarging_is_linear_interpolation() -> None:
    image = rng.integers(17, size=(8, 8)).astype(np.uint8)
    np.testing.assert_allclose(digits.enlarge(image), 9 * enlarged(image), rtol=1e-14, atol=1e-12)


def test_a_scene_shows_its_original_on_top_where_the_mask_says_so() -> None:
    data = load_digits()
    scenes = cluttered_digits(count=30, clutter=16)
    assert np.array_equal(scenes.labels, data.target[scenes.originals])
    for image, mask, original in zip(scenes.images[:, 0], scenes.masks[:, 0], scenes.originals, strict=True):
        digit = enlarged(data.images[original]) / 16
        ink = digit > 0.25 - 1e-9
        y, x = np.argwhere(mask).min(axis=0) - np.argwhere(ink).min(axis=0)
        expected = np.zeros_like(mask)
        expected[y : y + 24, x : x + 24] = ink
        assert np.array_equal(mask, expected)
        np.testing.assert_allclose(image[mask], digit[ink], atol=1e-7)


def test_a_box_is_the_smallest_half_open_one_around_the_mask() -> None:
    scenes = cluttered_digits(count=100)
    for mask, (x0, y0, x1, y1) in zip(scenes.masks[:, 0], scenes.boxes, strict=True):
        points = [(x, y) for y, x in product(range(48), repeat=2) if mask[y, x]]
        assert x0 == min(x for x, _ in points)
        assert y0 == min(y for _, y in points)
        assert x1 == max(x for x, _ in points) + 1
        assert y1 == max(y for _, y in points) + 1


def test_without_clutter_there_is_dark_texture_around_the_digit() -> None:
    scenes = cluttered_digits(count=50, clutter=0)
    around = scenes.images[~scenes.masks]
    assert around.max() <= 4 / 16
    assert around.std() > 0.03
    assert not np.array_equal(scenes.images[0, 0, :5, :5], scenes.images[1, 0, :5, :5])


def test_the_digit_covers_what_is_under_its_ink_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "texture", lambda size, rng: np.full((size, size), 9))
    scenes = cluttered_digits(count=20, clutter=0)
    assert (scenes.images[~scenes.masks] == np.float32(9 / 144)).all()


def test_more_clutter_adds_pieces_and_changes_nothing_else() -> None:
    none, few, many = (cluttered_digits(count=50, clutter=clutter) for clutter in (0, 4, 10))
    for less, more in ((none, few), (few, many)):
        assert np.array_equal(less.boxes, more.boxes)
        assert np.array_equal(less.masks, more.masks)
        assert np.array_equal(less.originals, more.originals)
        assert (less.images <= more.images).all()
        assert ((less.images < more.images).sum(axis=(1, 2, 3)) > 0).all()


def test_one_piece_is_a_square_half_as_wide_as_a_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = np.full((1797, 8, 8), 16, np.uint8)  # digits all ink: a piece is as light as its square
    monkeypatch.setattr(digits, "originals", lambda: (flat, np.zeros(1797, np.int64)))
    lit = [cluttered_digits(count=40, clutter=clutter, size=60).images > 0.5 for clutter in (0, 1)]
    added = (lit[1] & ~lit[0])[:, 0]
    apart = [piece for piece in added if piece.sum() == 12 * 12]  # those that do not touch the digit
    assert len(apart) > 10
    for piece in apart:
        ys, xs = piece.nonzero()
        assert np.ptp(ys) == np.ptp(xs) == 11


def test_the_digit_is_placed_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = np.full((1797, 8, 8), 16, np.uint8)
    monkeypatch.setattr(digits, "originals", lambda: (flat, np.zeros(1797, np.int64)))
    boxes = cluttered_digits(count=400, clutter=0, size=28).boxes
    assert {(x0, y0) for x0, y0, _, _ in boxes.tolist()} == set(product(range(5), repeat=2))
    assert np.array_equal(boxes[:, 2:] - boxes[:, :2], np.full((400, 2), 24))


# --- cluttered digits: seeds and splits -----------------------------------------------------------------------------


def test_a_scene_depends_on_split_seed_and_number_only() -> None:
    scenes = cluttered_digits(count=20, seed=3)
    assert equal(scenes, cluttered_digits(count=20, seed=3))
    shorter = cluttered_digits(count=7, seed=3)
    assert equal(shorter, Scenes(*(part[:7] for part in astuple(scenes))))
    assert len({scene.tobytes() for scene in scenes.images}) == 20
    for other in (cluttered_digits(count=20, seed=4), cluttered_digits("test", count=20, seed=3)):
        assert not np.array_equal(scenes.boxes, other.boxes)
        assert not np.array_equal(scenes.images, other.images)


def test_equal_numbers_in_two_splits_are_different_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = np.full((1797, 8, 8), 16, np.uint8)
    monkeypatch.setattr(digits, "originals", lambda: (flat, np.zeros(1797, np.int64)))
    validation, test = (cluttered_digits(split, count=20).boxes for split in ("validation", "test"))
    assert (validation != test).any(axis=1).sum() > 15


def test_the_scenes_are_the_same_bits_on_every_machine() -> None:
    """If a new NumPy or scikit-learn changes this, results of studies made before can no longer be compared."""
    digest = hashlib.sha256()
    for split in SPLITS:
        for part in astuple(cluttered_digits(split, count=20)):
            digest.update(part.tobytes())
    assert digest.hexdigest() == "ed0256214d6e6b15dc066879f7b5429f5888628aad1cb5a484475b93d33d70dd"


def test_no_original_is_in_two_splits() -> None:
    used = {split: set(cluttered_digits(split, count=3000, clutter=0).originals.tolist()) for split in SPLITS}
    assert [len(used[split]) for split in SPLITS] == [pytest.approx(1197, abs=150), 300, 300]
    assert not used["train"] & used["validation"]
    assert not used["train"] & used["test"]
    assert not used["validation"] & used["test"]
    divided = digits.split_of_originals(1797)
    assert sorted(np.concatenate(list(divided.values()))) == list(range(1797))


@pytest.mark.parametrize("split", SPLITS)
def test_pieces_are_cut_from_originals_of_the_same_split(split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = digits.split_of_originals(1797)[split]
    images = np.full((1797, 8, 8), 16, np.uint8)
    images[own] = 8
    monkeypatch.setattr(digits, "originals", lambda: (images, np.zeros(1797, np.int64)))
    assert cluttered_digits(split, count=100, clutter=16).images.max() == 0.5


def test_no_piece_is_cut_from_the_digit_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.full((2, 8, 8), 8, np.uint8)
    images[1] = 16
    monkeypatch.setattr(digits, "originals", lambda: (images, np.arange(2)))
    monkeypatch.setattr(digits, "split_of_originals", lambda count: {"train": np.arange(count)})
    scenes = cluttered_digits(count=30)
    assert set(scenes.originals) == {0, 1}
    for image, mask, original in zip(scenes.images, scenes.masks, scenes.originals, strict=True):
        assert image[mask].max() == (0.5, 1)[original]
        assert image[~mask].max() == (1, 0.5)[original]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"split": "eval"}, "split: expected one of train, validation, test, got 'eval'"),
        ({"count": -1}, "count: expected at least 0, got -1"),
        ({"clutter": -1}, "clutter: expected at least 0, got -1"),
        ({"size": 23}, "size: expected at least 24, got 23"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
    ],
)
def test_cluttered_digits_name_the_argument_that_is_wrong(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        cluttered_digits(**arguments)


def test_no_scenes_are_an_empty_set() -> None:
    assert cluttered_digits(count=0).images.shape == (0, 1, 48, 48)


# --- batches --------------------------------------------------------------------------------------------------------

IMAGES = rng.random((23, 2, 5, 7)).astype(np.float32)
LABELS = np.arange(23)


def epoch_of(**arguments: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(batches(IMAGES, LABELS, 4, **{"seed": 0, **arguments}))


def order_of(epoch: list[tuple[np.ndarray, np.ndarray]]) -> list[int]:
    return np.concatenate([labels for _, labels in epoch]).tolist()


def test_an_epoch_goes_through_everything_once_in_random_order() -> None:
    epoch = epoch_of()
    assert [len(labels) for _, labels in epoch] == [4, 4, 4, 4, 4, 3]
    assert sorted(order_of(epoch)) == LABELS.tolist()
    for images, labels in epoch:
        assert np.array_equal(images, IMAGES[labels])
    orders = [order_of(epoch_of(seed=seed, epoch=number)) for seed, number in product(range(3), repeat=2)]
    assert len({*map(tuple, orders), tuple(LABELS)}) == 10


@pytest.mark.parametrize("start", [0, 1, 5, 6])
def test_an_interrupted_epoch_continues_with_the_same_batches(start: int) -> None:
    whole = epoch_of(epoch=2, flip=True, shift=2)
    rest = epoch_of(epoch=2, flip=True, shift=2, start=start)
    assert len(rest) == 6 - start
    for (images, labels), (again, labels_again) in zip(whole[start:], rest, strict=True):
        assert np.array_equal(images, again)
        assert np.array_equal(labels, labels_again)


def test_flips_and_shifts_leave_the_order_alone() -> None:
    assert order_of(epoch_of(flip=True, shift=2)) == order_of(epoch_of())


def test_without_a_seed_a_batch_is_a_slice() -> None:
    epoch = list(batches(IMAGES, LABELS, 10, seed=None))
    assert [labels.tolist() for _, labels in epoch] == [list(range(10)), list(range(10, 20)), [20, 21, 22]]
    assert np.array_equal(np.concatenate([images for images, _ in epoch]), IMAGES)


def moved(image: np.ndarray, down: int, right: int, mirror: bool) -> np.ndarray:
    """Mirrored, padded with its edges, and cut out again."""
    image = image[:, :, ::-1] if mirror else image
    _, H, W = image.shape
    padded = np.pad(image, ((0, 0), (3, 3), (3, 3)), mode="edge")
    return padded[:, 3 - down : 3 - down + H, 3 - right : 3 - right + W]


@pytest.mark.parametrize(("flip", "shift"), [(False, 2), (True, 0), (True, 1)])
def test_images_are_mirrored_and_moved_in_every_way_asked_for_and_no_other(flip: bool, shift: int) -> None:
    steps = range(-shift, shift + 1)
    ways = list(product(steps, steps, {False, flip}))
    seen: list[tuple[int, int, bool]] = []
    for epoch in range(30):
        for images, labels in batches(IMAGES, LABELS, 8, seed=0, epoch=epoch, flip=flip, shift=shift):
            assert images.dtype == IMAGES.dtype
            for image, label in zip(images, labels, strict=True):
                (way,) = [way for way in ways if np.array_equal(image, moved(IMAGES[label], *way))]
                seen.append(way)
        assert len(set(seen[-len(LABELS) :][:8])) > 1  # each image of a batch goes its own way
    counts = np.array([seen.count(way) for way in ways])
    assert (np.abs(counts / counts.mean() - 1) < 0.6).all()  # each about equally often


def test_a_batch_is_a_copy() -> None:
    before = IMAGES.copy()
    for arguments in ({}, {"flip": True}, {"seed": None}):
        for images, _ in epoch_of(**arguments):
            images[:] = 0
    assert np.array_equal(IMAGES, before)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"labels": LABELS[1:]}, "labels: expected one for each of the 23 images, got 22"),
        ({"batch_size": 0}, "batch_size: expected at least 1, got 0"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
        ({"epoch": -1}, "epoch: expected at least 0, got -1"),
        ({"start": -1}, "start: expected at least 0, got -1"),
        ({"shift": -1}, "shift: expected at least 0, got -1"),
        ({"seed": None, "flip": True}, "seed: expected a number, .* got None"),
        ({"seed": None, "shift": 1}, "seed: expected a number, .* got None"),
    ],
)
def test_batches_name_the_argument_that_is_wrong_at_once(arguments: dict[str, Any], words: str) -> None:
    good = {"images": IMAGES, "labels": LABELS, "batch_size": 4, "seed": 0}
    with pytest.raises(ValueError, match=words):
        batches(**{**good, **arguments})


# --- Fashion-MNIST: tiny files of the same format -------------------------------------------------------------------

TRAIN, TEST = 24, 6
NAMES = list(fashion.FILES)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


PIXELS = {
    "train": rng.integers(256, size=(TRAIN, 28, 28), dtype=np.uint8),
    "t10k": rng.integers(256, size=(TEST, 28, 28), dtype=np.uint8),
}
KINDS = {"train": np.arange(TRAIN, dtype=np.uint8), "t10k": np.arange(TEST, dtype=np.uint8)}  # each image its own
CONTENTS = {name: idx((PIXELS if "images" in name else KINDS)[name[:5].strip("-")]) for name in NAMES}
PACKED = {name: gzip.compress(content, mtime=0) for name, content in CONTENTS.items()}


def known(name: str) -> fashion.File:
    count = TRAIN if name.startswith("train") else TEST
    shape = (count, 28, 28) if "images" in name else (count,)
    content, packed = (hashlib.sha256(each[name]).hexdigest() for each in (CONTENTS, PACKED))
    return fashion.File(shape, content, packed)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A world in which Fashion-MNIST has 24 + 6 images, Debian's folder and the cache are empty, nothing is online."""
    monkeypatch.setattr(fashion, "FILES", {name: known(name) for name in NAMES})
    monkeypatch.setattr(fashion, "VALIDATION", 4)
    monkeypatch.setattr(fashion, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(fashion, "cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(fashion, "URL", "http://127.0.0.1:9/nothing-listens-here")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def filled(folder: Path, **changed: bytes) -> Path:
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(PACKED[name])
    for name, content in changed.items():
        (folder / name).write_bytes(content)
    return folder


def same(data: FashionMNIST, pixels: np.ndarray, kinds: np.ndarray) -> bool:
    scaled = (pixels[:, None].astype(float) - fashion.MEAN) / fashion.STD
    return np.allclose(data.images, scaled, atol=1e-6) and np.array_equal(data.labels, kinds)


def test_a_split_is_scaled_and_labelled(tmp_path: Path) -> None:
    data = fashion_mnist("test", folder=filled(tmp_path / "mine"))
    assert data.images.shape == (TEST, 1, 28, 28)
    assert (data.images.dtype.name, data.labels.dtype.name) == ("float32", "int64")
    assert same(data, PIXELS["t10k"], KINDS["t10k"])
    assert len(data.classes) == 10
    assert data.classes[9] == "ankle boot"


def test_validation_is_a_fixed_random_part_of_the_training_images(tmp_path: Path) -> None:
    folder = filled(tmp_path / "mine")
    train, validation = fashion_mnist("train", folder=folder), fashion_mnist("validation", folder=str(folder))
    assert (len(train.labels), len(validation.labels)) == (20, 4)
    for data in (train, validation):
        assert same(data, PIXELS["train"][data.labels], data.labels)
    assert sorted([*train.labels, *validation.labels]) == list(range(TRAIN))
    assert sorted(validation.labels) != list(range(20, TRAIN))
    assert np.array_equal(validation.labels, fashion_mnist("validation", folder=folder).labels)


def refused(words: str, split: str = "test", **arguments: Any) -> str:
    """The message of the DataError, which must hold `words` and all three remedies."""
    with pytest.raises(DataError, match=words) as caught:
        fashion_mnist(split, **arguments)
    message = str(caught.value)
    assert "folder=" in message
    assert "apt install dataset-fashion-mnist" in message
    assert "fetch=True" in message
    return message


LABELS_NAME, IMAGES_NAME = "t10k-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz"
GOOD = CONTENTS[LABELS_NAME]
EXPECTED = len(GOOD)
DAMAGE: dict[str, tuple[bytes, str]] = {
    "truncated": (PACKED[LABELS_NAME][:-9], "expected 14 bytes after decompression, got a file that is cut off"),
    "html": (b"<!DOCTYPE html><title>Not found</title>", "expected a sound gzip file, got b'<!DOCTYPE html>"),
    "empty": (b"", "expected an IDX file, .* got b''"),
    "bad deflate": (PACKED[LABELS_NAME][:10] + b"\xff" * 20, "expected a sound gzip file, .*invalid block type"),
    "bad crc": (PACKED[LABELS_NAME][:-8] + b"\0" * 4 + PACKED[LABELS_NAME][-4:], "sound gzip file, .*CRC check failed"),
    "three axes": (gzip.compress(b"\0\0\x08\x03" + GOOD[4:]), r"b'\\x00\\x00\\x08\\x01', got b'\\x00\\x00\\x08\\x03'"),
    "floats": (gzip.compress(b"\0\0\x0d\x01" + GOOD[4:]), r"got b'\\x00\\x00\\r\\x01'"),
    "another size": (gzip.compress(idx(np.arange(5, dtype=np.uint8))), r"expected the shape \(6,\), got \(5,\)"),
    "header only": (gzip.compress(GOOD[:6]), r"expected the shape \(6,\), got \(0,\)"),
    "too short": (gzip.compress(GOOD[:-1]), "expected 14 bytes after decompression, got 13"),
    "too long": (gzip.compress(GOOD + b"\0"), "expected 14 bytes after decompression, got more"),
    "one label changed": (gzip.compress(GOOD[:-1] + b"\x07"), "expected contents with SHA-256 [0-9a-f]{64}, got"),
    "a pickle": (b"\x80\x04cos\nsystem\n(S'touch /tmp/x'\ntR.", "expected a sound gzip file"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_named_with_what_was_expected_and_what_to_do(kind: str, tmp_path: Path) -> None:
    content, words = DAMAGE[kind]
    folder = filled(tmp_path / "mine", **{LABELS_NAME: content})
    message = refused(words, folder=folder)
    assert message.startswith(f"{folder / LABELS_NAME}: expected")
    assert len(fashion_mnist("train", folder=folder).labels) == 20  # whose files are sound


def test_damaged_images_are_found_too(tmp_path: Path) -> None:
    folder = filled(tmp_path / "mine", **{IMAGES_NAME: gzip.compress(CONTENTS[IMAGES_NAME][:-1] + b"\0")})
    assert refused("SHA-256", folder=folder).startswith(f"{folder / IMAGES_NAME}")


def test_a_small_file_that_unpacks_to_a_huge_one_is_not_unpacked(tmp_path: Path) -> None:
    bomb = gzip.compress(GOOD + bytes(50_000_000))
    folder = filled(tmp_path / "mine", **{LABELS_NAME: bomb})
    tracemalloc.start()
    refused("expected 14 bytes after decompression, got more", folder=folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize("split", ["validation", "train", "test"])
def test_a_missing_file_is_named(split: str, tmp_path: Path) -> None:
    folder = filled(tmp_path / "mine")
    name = LABELS_NAME if split == "test" else "train-labels-idx1-ubyte.gz"
    (folder / name).unlink()
    assert f"got no {folder / name}.\n" in refused("in one folder", split, folder=folder)
    (folder / name).mkdir()
    refused("in one folder", split, folder=folder)


def test_with_nothing_anywhere_every_place_searched_is_named(tmp_path: Path) -> None:
    message = refused("in one folder")
    for place in ("debian", "cache"):
        assert str(tmp_path / place / IMAGES_NAME) in message


def test_debian_s_files_are_taken_before_the_cache_and_a_folder_before_both(tmp_path: Path) -> None:
    damaged = {LABELS_NAME: b"damaged"}
    cache = filled(tmp_path / "cache")
    assert len(fashion_mnist("test").labels) == TEST
    debian = filled(tmp_path / "debian", **damaged)
    assert refused("sound gzip").startswith(str(debian))
    mine = filled(tmp_path / "mine")
    assert len(fashion_mnist("test", folder=mine).labels) == TEST
    (debian / LABELS_NAME).unlink()  # half a package is none
    assert len(fashion_mnist("test").labels) == TEST
    (cache / LABELS_NAME).write_bytes(b"damaged")
    assert refused("sound gzip").startswith(str(cache))


def test_a_folder_is_the_only_place_that_is_searched(tmp_path: Path) -> None:
    filled(tmp_path / "debian")
    filled(tmp_path / "cache")
    assert "debian" not in refused("in one folder", folder=tmp_path / "mine").split("\n")[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"split": "all"}, "split: expected one of train, validation, test, got 'all'"),
        ({"folder": "x", "fetch": True}, "fetch: expected False when folder is given, got True"),
    ],
)
def test_fashion_mnist_names_the_argument_that_is_wrong(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fashion_mnist(**arguments)


# --- Fashion-MNIST: downloading, from a server on this machine ------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, list[str]]]:
    """A folder served over HTTP at fashion.URL, and the list of what was asked for."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            asked.append(self.path.rsplit("/", 1)[-1])

    folder = filled(tmp_path / "served")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as http:
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setattr(fashion, "URL", f"http://127.0.0.1:{http.server_port}")
        yield folder, asked
        http.shutdown()
        thread.join()


Server = tuple[Path, list[str]]


def test_fetch_downloads_once_and_later_calls_find_the_files(server: Server, tmp_path: Path) -> None:
    _, asked = server
    refused("in one folder")
    assert asked == []
    assert same(fashion_mnist("test", fetch=True), PIXELS["t10k"], KINDS["t10k"])
    assert asked == [IMAGES_NAME, LABELS_NAME]
    fashion_mnist("test", fetch=True)
    assert asked == [IMAGES_NAME, LABELS_NAME]
    assert same(fashion_mnist("test"), PIXELS["t10k"], KINDS["t10k"])
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == sorted([IMAGES_NAME, LABELS_NAME])


def test_a_download_is_announced(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(pooch.get_logger(), "info", lambda text, *args: said.append(text % args))
    fashion_mnist("test", fetch=True)
    assert [line.startswith("Downloading data from 'http://127.0.0.1:") for line in said] == [True, True]


def test_without_fetch_nothing_is_ever_downloaded(server: Server, tmp_path: Path) -> None:
    _, asked = server
    refused("in one folder")
    refused("sound gzip", folder=filled(tmp_path / "mine", **{LABELS_NAME: b"damaged"}))
    filled(tmp_path / "cache", **{LABELS_NAME: b"damaged"})
    refused("sound gzip")
    assert asked == []


def test_fetch_replaces_a_damaged_file_in_the_cache(server: Server, tmp_path: Path) -> None:
    _, asked = server
    cache = filled(tmp_path / "cache", **{LABELS_NAME: b"damaged"})
    assert len(fashion_mnist("test", fetch=True).labels) == TEST
    assert asked == [LABELS_NAME]
    assert (cache / LABELS_NAME).read_bytes() == PACKED[LABELS_NAME]


BAD_DOWNLOADS: dict[str, tuple[Callable[[Path], object], str]] = {
    "html": (lambda file: file.write_bytes(b"<!DOCTYPE html>"), "ValueError: .*hash"),
    "cut off": (lambda file: file.write_bytes(file.read_bytes()[:-1]), "ValueError: .*hash"),
    "other packing": (lambda file: file.write_bytes(gzip.compress(GOOD, 1, mtime=1)), "ValueError: .*hash"),
    "not there": (lambda file: file.unlink(), "HTTPError: 404"),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # pooch does not close the answer when it is an error
@pytest.mark.parametrize("kind", BAD_DOWNLOADS)
def test_a_bad_download_leaves_nothing_behind(kind: str, server: Server, tmp_path: Path) -> None:
    damage, words = BAD_DOWNLOADS[kind]
    damage(server[0] / LABELS_NAME)
    message = refused(words, fetch=True)
    assert message.startswith(f"{LABELS_NAME}: expected a download from http://127.0.0.1:")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [IMAGES_NAME]
    gc.collect()  # here, where the warning of the open answer is ignored


def test_no_connection_is_the_same_clear_error() -> None:
    assert refused("ConnectionError", fetch=True).startswith(IMAGES_NAME)


def test_the_cache_is_a_folder_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the real function
    assert fashion.cache() == Path(pooch.os_cache("cbam-np")) / "fashion-mnist"
