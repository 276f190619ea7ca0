"""Cluttered digits: one digit to find among pieces of others, with its class, its box and its mask.

The digits are the 1,797 handwritten ones that scikit-learn ships, 8×8 with grey levels 0 to 16, so nothing is
downloaded. The task follows Mnih, Heess, Graves and Kavukcuoglu, "Recurrent Models of Visual Attention", 2014, who
hid MNIST digits among 8×8 pieces of others. A scene is built in four steps:

1. one original is chosen, and a place for it, each with equal chances, wholly inside the canvas;
2. the canvas is filled with texture: dark noise, as coarse as the digits;
3. `clutter` square pieces, half as wide as a digit, cut at random from other originals of the same split, are laid
   down anywhere (the lighter pixel wins);
4. the digit is laid on top of all of this, so that none of its ink is hidden.

Everything is enlarged three times and counted in whole numbers: grey levels 0 to 16 become 0 to 144. Only at the very
end are they divided by 144, so a seed gives the same bits on every machine.
"""

from dataclasses import dataclass

import numpy as np

SPLITS = ("train", "validation", "test")
HELD_OUT = 300  # originals for validation, and as many for the test; the other 1,197 are for training
SPLIT_SEED = 0  # fixed: were it an argument, two calls could disagree about who is held out

SCALE = 3
DIGIT = 8 * SCALE  # the side of an enlarged digit, in pixels
PIECE = DIGIT // 2  # the side of a piece
FULL = 16 * SCALE**2  # the lightest grey level after enlarging
INK = FULL // 4  # from here on, a pixel of the digit belongs to its mask
TEXTURE = 5  # the texture's grey levels, before enlarging, are 0, ..., 4 of 16


@dataclass(frozen=True)
class Scenes:
    """N scenes of one split, `size` pixels high and wide.

    Pixel (y, x) is row y, column x, counted from the upper left corner. A box is half-open, as a slice is: the digit
    is inside `image[0, y0:y1, x0:x1]`, it is x1 - x0 pixels wide, and no smaller box holds its mask.
    """

    images: np.ndarray  # (N, 1, size, size) float32 in [0, 1]
    labels: np.ndarray  # (N,) int64, the digit: 0, ..., 9
    boxes: np.ndarray  # (N, 4) int64: x0, y0, x1, y1
    masks: np.ndarray  # (N, 1, size, size) bool, true on the digit's ink
    originals: np.ndarray  # (N,) int64, which of scikit-learn's digits it is


def cluttered_digits(
    split: str = "train", count: int = 6000, *, clutter: int = 10, size: int = 48, seed: int = 0
) -> Scenes:
    """Make the scenes 0, ..., count - 1 of a split ("train", "validation" or "test"); 6,000 take about a second.

    Scene i depends on `split`, `seed` and i, not on `count`: a longer set begins with the shorter one. With more
    `clutter`, a scene keeps its digit, place, texture and pieces, and further pieces are added, so that amounts of
    clutter can be compared scene by scene. The three splits share no original, whatever the seed.

    Raises ValueError if `split` is none of the three, if `count`, `clutter` or `seed` is negative, or if `size` is
    below 24, the side of a digit.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    for name, value, least in (("count", count, 0), ("clutter", clutter, 0), ("size", size, DIGIT), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"{name}: expected at least {least}, got {value}")
    digits, classes = originals()
    allowed = split_of_originals(len(digits))[split]
    digits = enlarge(digits)

    canvases = np.empty((count, size, size), np.uint8)
    masks = np.zeros((count, size, size), np.bool_)
    chosen = np.empty(count, np.int64)
    boxes = np.empty((count, 4), np.int64)
    for i in range(count):
        rng = np.random.default_rng([seed, SPLITS.index(split), i])
        pick = rng.integers(len(allowed))
        x, y = rng.integers(size - DIGIT + 1, size=2)

        canvas = canvases[i]
        canvas[:] = texture(size, rng)
        add_pieces(canvas, digits, np.delete(allowed, pick), clutter, rng)

        chosen[i] = allowed[pick]
        digit = digits[chosen[i]]
        ink = digit >= INK
        canvas[y : y + DIGIT, x : x + DIGIT][ink] = digit[ink]
        masks[i, y : y + DIGIT, x : x + DIGIT] = ink
        boxes[i] = bounding_box(masks[i])
    images = canvases[:, None] / np.float32(FULL)
    return Scenes(images, classes[chosen], boxes, masks[:, None], chosen)


def originals() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's handwritten digits: images (1797, 8, 8) uint8 with levels 0 to 16, classes (1797,) int64."""
    from sklearn.datasets import load_digits  # an extra; it reads a text file inside the package

    data = load_digits()
    return data.images.astype(np.uint8), data.target.astype(np.int64)


def split_of_originals(count: int) -> dict[str, np.ndarray]:
    """Which of the originals 0, ..., count - 1 belong to each split: a random division, always the same."""
    order = np.random.default_rng(SPLIT_SEED).permutation(count)
    train, validation, test = np.split(order, [count - 2 * HELD_OUT, count - HELD_OUT])
    return {"train": train, "validation": validation, "test": test}


def enlarge(images: np.ndarray) -> np.ndarray:
    """Three times as high and wide by linear interpolation, in whole numbers: U X Uᵀ, which is 9 times the grey level.

    (..., m, m) uint8 with levels up to 16 becomes (..., 3m, 3m) uint8 with levels up to 144. Each old pixel becomes
    three: the middle one lies on it, the outer ones a third of the way to its neighbours, from which they take one
    third, and two thirds from the old pixel itself. With thirds counted as whole numbers, for m = 2,

        Uᵀ = [3 3 2 1 0 0]
             [0 0 1 2 3 3]
    """
    m = images.shape[-1]
    new, old = np.arange(SCALE * m), np.arange(m)
    at = np.clip(new - SCALE // 2, 0, SCALE * (m - 1))  # where new pixels lie, in thirds of an old one
    u = np.maximum(SCALE - np.abs(at[:, None] - SCALE * old), 0)
    return (u @ images.astype(np.int64) @ u.T).astype(np.uint8)


def texture(size: int, rng: np.random.Generator) -> np.ndarray:
    """Dark noise (size, size), as coarse as the digits: random grey levels 0 to 4 of 16, enlarged like them."""
    cells = -(-size // SCALE)  # rounded up
    return enlarge(rng.integers(TEXTURE, size=(cells, cells)))[:size, :size]


def add_pieces(
    canvas: np.ndarray, digits: np.ndarray, others: np.ndarray, clutter: int, rng: np.random.Generator
) -> None:
    """Lay `clutter` pieces of `digits[others]` (M, 24, 24) on the canvas, in place; the lighter pixel wins."""
    size = len(canvas)
    ranges = [len(others), DIGIT - PIECE + 1, DIGIT - PIECE + 1, size - PIECE + 1, size - PIECE + 1]
    # one row of random numbers a piece: more pieces leave the earlier ones as they were
    for which, v, u, y, x in (rng.random((clutter, 5)) * ranges).astype(np.int64):
        piece = digits[others[which], v : v + PIECE, u : u + PIECE]
        place = canvas[y : y + PIECE, x : x + PIECE]
        np.maximum(place, piece, out=place)


def bounding_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The smallest half-open box x0, y0, x1, y1 around the true entries of a mask (H, W) that has some."""
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return xs[0], ys[0], xs[-1] + 1, ys[-1] + 1
