"""How often the compiled loops pass over F, counted in the loops themselves.

Each loop runs as plain Python on arrays that note which of their entries are read and written.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from cbam_np.attention.block import CBAM
from cbam_np.fused.block import cbam, compiled_loops

LARGE = {"f": "F", "d_f2": "dF″", "f2": "F″", "d_f": "dF"}  # the arrays with C·P entries a sample


class Pass(NamedTuple):
    """What one loop does to one large array: the shares of its entries that it reads and writes, from 0 to 1."""

    direction: str  # "forward" or "backward"
    loop: str
    formula: str
    array: str
    read: float
    written: float


class Noting(np.ndarray):
    """An array that notes the entries that are read and written one by one."""

    reads: set[Any]
    writes: set[Any]

    def __getitem__(self, index: Any) -> Any:
        """The entry, noted."""
        self.reads.add(index)
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        """Set the entry, noted."""
        self.writes.add(index)
        super().__setitem__(index, value)


def passes(C: int = 4, H: int = 5, W: int = 3) -> list[Pass]:
    """Forward and backward for one sample (1, C, H, W): what every loop does to F, F″, dF″ and dF, in order."""
    f, d_f2 = np.random.default_rng(0).normal(size=(2, 1, C, H, W))
    params = CBAM(C, reduction=2, kernel_size=3, dtype="float64").params
    found: list[Pass] = []
    with noting("forward", found):
        _, backward = cbam(f, params)
    with noting("backward", found):
        backward(d_f2)
    return found


@contextmanager
def noting(direction: str, found: list[Pass]) -> Iterator[None]:
    """For the length of a `with`, the loops run as Python and append to `found`."""
    loops = compiled_loops()
    compiled = {name: loop for name, loop in vars(loops).items() if hasattr(loop, "py_func")}
    outer = {name: compiled[name].py_func for name in ("forward", "backward")}
    inner = {name: noted(loop.py_func, direction, found) for name, loop in compiled.items() if name not in outer}
    with patch.dict(vars(loops), inner | outer):
        yield


def noted(loop: Callable[..., Any], direction: str, found: list[Pass]) -> Callable[..., Any]:
    """`loop`, with its large arrays as `Noting`."""
    formula = (loop.__doc__ or "").partition(":")[0]

    def run(*given: Any) -> Any:
        arrays = dict(zip(signature(loop).parameters, given, strict=True))
        large = {name: arrays[name].view(Noting) for name in LARGE.keys() & arrays.keys()}
        for x in large.values():
            x.reads, x.writes = set(), set()
        result = loop(*(arrays | large).values())
        for name, x in sorted(large.items()):
            shares = (len(x.reads) / x.size, len(x.writes) / x.size)
            found.append(Pass(direction, loop.__name__, formula, LARGE[name], *shares))
        return result

    return run
