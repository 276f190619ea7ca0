"""Inputs to try functions on: seeded, without ties unless ties are the subject, all sizes different in the first."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cbam_np.course.exercise import Case

# Sizes that come up by mistake, such as H - 2 or W + 4, aren't those of another axis either: what has a name, has it
# rightly.
SIZES: tuple[Mapping[str, int], ...] = (
    {"N": 3, "C": 8, "H": 11, "W": 14},
    {"N": 1, "C": 2, "H": 2, "W": 3},
    {"N": 5, "C": 3, "H": 1, "W": 4},
    {"N": 4, "C": 5, "H": 3, "W": 1},
)
KERNELS = (5, 3, 3, 7)  # k with each of the sizes
HIDDEN = (4, 1, 2, 3)
W1_SEEDS = (12, 11, 21, 11)  # chosen so that some hidden units are on and, if there are several, some are off


def normal(seed: int, *shape: int) -> np.ndarray:
    """Random numbers."""
    return np.random.default_rng(seed).normal(size=shape)


def nchw(sizes: Mapping[str, int]) -> tuple[int, int, int, int]:
    """The shape of f."""
    return sizes["N"], sizes["C"], sizes["H"], sizes["W"]


def features(*extra: Case) -> tuple[Case, ...]:
    """f of every size."""
    return *(Case((normal(i, *nchw(s)),), s) for i, s in enumerate(SIZES)), *extra


def ties(seed: int = 9) -> Case:
    """f of whole numbers, with many ties."""
    sizes = {"N": 2, "C": 4, "H": 3, "W": 5}
    f = np.random.default_rng(seed).integers(1, 4, size=nchw(sizes)).astype(np.float64)
    return Case((f,), sizes, "with ties")


def block_inputs(*names: str) -> tuple[Case, ...]:
    """Any of f, w1, w2, kernel, of every size."""
    cases = []
    for i, (sizes, k, hidden) in enumerate(zip(SIZES, KERNELS, HIDDEN, strict=True)):
        N, C, H, W = nchw(sizes)
        arrays: dict[str, Any] = {
            "f": normal(i, N, C, H, W) + 0.3,
            "w1": normal(W1_SEEDS[i], hidden, C),
            "w2": normal(20 + i, C, hidden),
            "kernel": normal(30 + i, 1, 2, k, k) / k,
        }
        own = {"hidden": hidden} if "w1" in names else {}
        own |= {"k": k} if "kernel" in names else {}
        cases.append(Case(tuple(arrays[name] for name in names), {**sizes, **own}))
    return tuple(cases)
