"""The batches of an epoch, in random order, with random flips and shifts: drawn on the host, repeatable, resumable."""

from collections.abc import Iterator

import numpy as np


def batches(
    images: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    *,
    seed: int | None,
    epoch: int = 0,
    start: int = 0,
    flip: bool = False,
    shift: int = 0,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Go once through `images` (N, C, H, W) and `labels` (N,), `batch_size` at a time; the last batch may be smaller.

    The order depends on `seed` and `epoch` only, the flips and shifts of a batch on these and its number. So an epoch
    that was interrupted after `start` batches continues with the very batches that it would have had. `seed=None` goes
    through the images in their stored order, as you want it for measuring accuracy.

    flip   mirrors each image left to right with probability one half. Right for clothes, wrong for digits: a mirrored
           2 is no digit, and a mirrored 6 is not one either.
    shift  moves each image by up to this many pixels along each axis, independently; where the image would leave
           a gap, its edge is repeated.

    Raises ValueError if `images` and `labels` differ in length, if `batch_size` is below 1, if `seed`, `epoch`, `start`
    or `shift` is negative, or if `flip` or `shift` is asked for without a seed.
    """
    if len(images) != len(labels):
        raise ValueError(f"labels: expected one for each of the {len(images)} images, got {len(labels)}")
    at_least = (("batch_size", batch_size, 1), ("seed", seed, 0), ("epoch", epoch, 0))
    for name, value, least in (*at_least, ("start", start, 0), ("shift", shift, 0)):
        if value is not None and value < least:
            raise ValueError(f"{name}: expected at least {least}, got {value}")
    if seed is None and (flip or shift):
        raise ValueError("seed: expected a number, because flip and shift are random, got None; pass one, e.g. seed=0")
    return _batches(images, labels, batch_size, seed, epoch, start, flip, shift)


def _batches(
    images: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    seed: int | None,
    epoch: int,
    start: int,
    flip: bool,
    shift: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The generator behind `batches`: a function of its own, so that `batches` checks its arguments when called."""
    order = np.arange(len(images)) if seed is None else np.random.default_rng([seed, epoch]).permutation(len(images))
    for number in range(start, -(-len(images) // batch_size)):
        chosen = order[number * batch_size : (number + 1) * batch_size]
        batch = images[chosen]
        if seed is not None and (flip or shift):
            batch = flipped_and_shifted(batch, np.random.default_rng([seed, epoch, number]), flip, shift)
        yield batch, labels[chosen]


def flipped_and_shifted(images: np.ndarray, rng: np.random.Generator, flip: bool, shift: int) -> np.ndarray:
    """Each image (N, C, H, W) mirrored with probability 1/2 if `flip`, and moved by up to `shift` pixels; a new array.

    Both are a choice of where each new row and column comes from. A source beyond the edge is replaced by the edge.
    """
    N, _, H, W = images.shape
    down, right = rng.integers(-shift, shift + 1, size=(2, N, 1))
    rows = np.clip(np.arange(H) - down, 0, H - 1)  # (N, H)
    columns = np.clip(np.arange(W) - right, 0, W - 1)  # (N, W)
    if flip:
        mirrored = rng.random((N, 1)) < 0.5
        columns = np.where(mirrored, W - 1 - columns, columns)
    images = np.take_along_axis(images, rows[:, None, :, None], axis=2)
    return np.take_along_axis(images, columns[:, None, None, :], axis=3)
