"""What every timing here shares: the sizes, taking turns, and comparing results before believing a time."""

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from cbam_np.attention.block import CBAM, cbam

SIZES = ((8, 64, 56), (8, 256, 56), (8, 512, 28), (8, 1024, 14), (8, 2048, 7))  # N, C, H = W: the stages of a ResNet-50
WARM_UP = 3


def interleaved(functions: list[Callable[[], Any]], rounds: int) -> list[float]:
    """The median seconds of each function; in every round each of them runs once."""
    seconds: list[list[float]] = [[] for _ in functions]
    for i in range(WARM_UP + rounds):
        for function, times in zip(functions, seconds, strict=True):
            start = perf_counter()
            function()
            if i >= WARM_UP:
                times.append(perf_counter() - start)
    return [median(times) for times in seconds]


def in_float64(block: CBAM, f: np.ndarray, d_out: np.ndarray) -> list[np.ndarray]:
    """Output, d_f and the parameters' gradients, computed by `block` in float64: what float32 is compared with."""
    out, backward = cbam(f.astype(np.float64), {key: w.astype(np.float64) for key, w in block.params.items()})
    d_f, grads = backward(d_out.astype(np.float64))
    return [out, d_f, *grads.values()]


def largest_error(got: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """Over all arrays, |got - expected| as a fraction of the array's largest entry."""
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(got, expected, strict=True))
