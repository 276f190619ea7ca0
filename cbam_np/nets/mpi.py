"""The processes that train together: one, or as many as `mpirun -n 4 cbam-np train ...` starts.

Each process has the whole network and a part of every batch. All they exchange is one sum a step.

Needs the extra "mpi" (mpi4py, and an MPI: the wheel of MPICH or your cluster's own), but not to train in one process.
"""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from math import prod
from time import sleep
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from threadpoolctl import threadpool_limits

from cbam_np.arrays import Array, Params, asarray, library_name, to_numpy

RANKS = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")  # one of these is how mpirun numbers its processes
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")  # and how some tell them how many they are
OF_PRODUCTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")  # threads, if set


class World:
    """The processes that train together, seen from one of them. `World()` is a process alone.

    Parameters
    ----------
    communicator : mpi4py's, or None

    Attributes
    ----------
    rank : int
        The number of this process, from 0.
    size : int
        How many there are.
    """

    def __init__(self, communicator: Any = None) -> None:
        self._communicator = communicator
        self.rank: int = communicator.Get_rank() if communicator else 0
        self.size: int = communicator.Get_size() if communicator else 1

    def total(self, arrays: Params) -> Params:
        """Each array, added up over all processes; all of them get the sums.

        The arrays travel end to end in one message: the time to start a message is paid once.

        Parameters
        ----------
        arrays : dict of arrays
            NumPy arrays, or CuPy arrays, which go by way of the host unless this MPI reads the memory of a GPU.
        """
        if self.size == 1:
            return arrays
        values = list(arrays.values())
        xp = array_namespace(*values)
        message = self._summed(xp.concat([xp.reshape(x, (-1,)) for x in values]))
        ends = np.cumsum([prod(x.shape) for x in values]).tolist()
        starts = [0, *ends[:-1]]
        return {
            name: xp.reshape(message[start:end], x.shape)
            for (name, x), start, end in zip(arrays.items(), starts, ends, strict=True)
        }

    def _summed(self, message: Array) -> Array:
        xp, library = array_namespace(message), library_name(message)
        if library == "cupy" and self.reads_gpu_memory():
            sums = xp.empty_like(message)
            xp.cuda.get_current_stream().synchronize()  # MPI knows nothing of what CuPy has still to compute
            self._communicator.Allreduce(message, sums)
            return sums
        message = to_numpy(message)
        self._communicator.Allreduce(message, sums := np.empty_like(message))
        return asarray(sums, library)

    def from_first(self, value: Any) -> Any:
        """The value that process 0 has, for all of them; the others' are ignored.

        Parameters
        ----------
        value : anything that can be pickled
        """
        return value if self.size == 1 else self._communicator.bcast(value)

    def cores_each(self) -> int:
        """The cores for this process: those that the processes on its machine may use, divided by their number.

        They tell each other, so all of them have to ask.
        """
        own = usable_cores()
        if self.size == 1:
            return len(own)
        from mpi4py.MPI import COMM_TYPE_SHARED

        here = self._communicator.Split_type(COMM_TYPE_SHARED)
        together = set().union(*here.allgather(own))
        count = here.Get_size()
        here.Free()
        return max(1, min(len(own), len(together) // count))

    @contextmanager
    def sharing_cores(self) -> Iterator[None]:
        """Inside, matrix products and compiled loops (`fused=True`) have `cores_each()` threads, and not a thread for
        every core in every process. What you have set yourself stays: OMP_NUM_THREADS, which the loops then follow as
        well, and NUMBA_NUM_THREADS. A process alone has all cores.
        """
        if self.size == 1:
            yield
            return
        threads, asked = self.cores_each(), [name for name in OF_PRODUCTS if name in os.environ]
        with threadpool_limits(None if asked else threads, user_api="blas"):
            if find_spec("numba") is None or "NUMBA_NUM_THREADS" in os.environ:
                yield
                return
            import numba

            config: Any = numba.config
            before, wanted = numba.get_num_threads(), os.environ.get("OMP_NUM_THREADS", "")
            numba.set_num_threads(min(int(wanted) if wanted.isdecimal() else threads, config.NUMBA_NUM_THREADS))
            try:
                yield
            finally:
                numba.set_num_threads(before)

    def reads_gpu_memory(self) -> bool:
        """Whether this MPI is CUDA-aware, which since MPI 4.1 it says itself."""
        return "cuda" in (self._communicator.Get_info().Get("mpi_memory_alloc_kinds") or "")

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """An error inside ends all processes: the others would wait for this one's sums forever."""
        try:
            yield
        except BaseException as error:
            if self.size == 1:
                raise
            known = isinstance(error, ValueError | RuntimeError | OSError)
            story = "" if known else "".join(traceback.format_exception(error))
            print(f"{story}process {self.rank} of {self.size} ended all of them: {error}", file=sys.stderr, flush=True)
            sleep(0.5)  # mpirun drops what it has not passed on by the time it hears of the end
            self._communicator.Abort(2)


def usable_cores() -> set[int]:
    """The numbers of the cores that this process may run on."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def world() -> World:
    """The processes that mpirun started; one alone if there was no mpirun. Only then MPI is loaded.

    Raises RuntimeError if mpi4py is missing, or does not see all processes because it belongs to another MPI.
    """
    if not any(name in os.environ for name in RANKS):
        return World()
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise RuntimeError(
            f"mpirun: expected mpi4py with an MPI, got {error}; install both with: pip install mpi4py mpich"
        ) from error
    found = World(MPI.COMM_WORLD)
    told = max(int(os.environ.get(name, 1)) for name in SIZES)
    if found.size < told:
        library = MPI.Get_library_version().split("\n")[0]
        raise RuntimeError(
            f"mpirun: expected {told} processes that see each other, got {found.size}: mpirun is of another MPI than "
            f"mpi4py, which uses {library}; call that one's mpirun"
        )
    return found
