"""How a batch is taken apart: a share for each core, and in it pieces that the core's cache can hold."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

T = TypeVar("T")
R = TypeVar("R")

CACHE = 2**21  # bytes to work on at a time: about a core's second-level cache
COLUMNS = 512  # of a matrix product, at least: with fewer, a core waits for the other matrix


def shares(N: int) -> list[slice]:
    """N samples in equal parts, one for each core that matrix products may use (OMP_NUM_THREADS, threadpoolctl)."""
    allowed = max((library["num_threads"] for library in _matrix_products().info()), default=1)
    count = max(1, min(N, allowed))
    return [slice(i * N // count, (i + 1) * N // count) for i in range(count)]


def pieces(samples: slice, size: int, least: int = 1) -> list[slice]:
    """The samples in pieces that take up `CACHE` if a sample takes up `size` bytes; but of `least` samples, if many."""
    n = max(1, least, CACHE // max(size, 1))
    return [slice(first, min(first + n, samples.stop)) for first in range(samples.start, samples.stop, n)]


def side_by_side(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """work(item) for each item, on a core each. A product inside then has one core, or cores would wait in line.

    The caller's own thread takes the first item: it is awake, and to wake another one for it takes time.
    """
    first, *others = items
    if not others:
        return [work(first)]
    with _matrix_products().limit(limits=1):
        # np.errstate is a matter of the context, and a thread begins with an empty one
        waiting = [_workers(len(others)).submit(copy_context().run, work, item) for item in others]
        try:
            return [work(first), *(result.result() for result in waiting)]
        finally:
            wait(waiting)


@cache
def _matrix_products() -> Any:
    return ThreadpoolController().select(user_api="blas")


@cache
def _workers(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="cbam_np.nets")


if hasattr(os, "register_at_fork"):  # a forked process has no threads but one
    os.register_at_fork(after_in_child=_workers.cache_clear)
