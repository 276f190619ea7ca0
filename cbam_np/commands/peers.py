"""Who takes part in `cbam-np bench`: the table of sides, what each needs, and how many threads all of them get."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any

from cbam_np.commands import extras, sides, timing

COMPOSED, FUSED, COPY = "cbam_np", "cbam_np, fused", "a copy of F"
ENTRIES = {
    COMPOSED: timing.Entry(partial(sides.ours, "numpy"), 1e-5),
    FUSED: timing.Entry(sides.fused, 1e-5),
    "PyTorch eager": timing.Entry(partial(sides.pytorch, "cpu"), 1e-4),  # less precise in the gradient of the kernel
    "torch.compile": timing.Entry(partial(sides.pytorch, "cpu", compiled=True), 1e-4),
    "fused in PyTorch": timing.Entry(partial(sides.pytorch, "cpu", gradient="fused"), 1e-5),
    "JAX jit": timing.Entry(sides.jax, 1e-4),
    COPY: timing.Entry(sides.copy, None),
}
NEEDS = {  # the packages that a side needs, each with the extra that brings it
    FUSED: {"numba": "fast"},
    "PyTorch eager": {"torch": "torch"},
    "torch.compile": {"torch": "torch"},
    "fused in PyTorch": {"numba": "fast", "torch": "torch"},
    "JAX jit": {"jax": "jax"},
}


# who takes part


def available() -> list[str]:
    """The sides whose packages are installed."""
    return [name for name in ENTRIES if name not in missing()]


def missing() -> dict[str, str]:
    """The sides that can't take part: name -> what is missing, and how to install it."""
    found = {}
    for name, packages in NEEDS.items():
        lacking = [package for package in packages if not importable(package)]
        if lacking:
            lines = " and ".join(extras.install_line(packages[package]) for package in lacking)
            found[name] = f"which needs {' and '.join(lacking)}: {lines}"
    return found


def importable(package: str) -> bool:
    """Whether a package is installed."""
    try:
        return find_spec(package) is not None
    except ValueError:  # Python's word for a module that was kept from being imported
        return False


# threads


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """So many threads for NumPy, Numba, PyTorch and JAX; afterwards as many as before."""
    from threadpoolctl import threadpool_limits

    lacking = [package for package in ("torch", "numba", "jax") if not importable(package)]
    before: list[Any] = []
    if "numba" not in lacking:
        import numba

        before.append(partial(numba.set_num_threads, numba.get_num_threads()))
        config: Any = numba.config
        numba.set_num_threads(min(threads, config.NUMBA_NUM_THREADS))
    if "torch" not in lacking:  # after Numba: both may share one OpenMP, and the last word counts
        import torch

        before.append(partial(torch.set_num_threads, torch.get_num_threads()))
        torch.set_num_threads(threads)
    if "jax" not in lacking:
        import jax.extend

        before.append(jax.extend.backend.clear_backends)
        os.environ["NPROC"] = str(threads)  # read by JAX when it starts its threads, that is, anew after this line
        before[-1]()
    try:
        with threadpool_limits(limits=threads):
            yield
    finally:
        os.environ.pop("NPROC", None)
        for undo in before:
            undo()
