"""How much memory forward and backward take beyond their inputs and results, for `cbam-np bench`.

The operating system counts: what a process has held at most. So each side gets a process of its own. It warms up at a
small size, and then computes the block once at the size that counts.
"""

import ctypes
import gc
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from cbam_np.arrays import to_numpy
from cbam_np.attention.block import CBAM
from cbam_np.commands import terminal
from cbam_np.commands.peers import ENTRIES, limited_threads
from cbam_np.commands.timing import Size

SIZE: Size = (8, 256, 56)
SMALL: Size = (1, 256, 14)
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peaks(names: list[str], seed: int, size: Size = SIZE) -> dict[str, Any]:
    """For each side of `peers.ENTRIES` the peak as a multiple of the size of F; nothing where Linux doesn't count."""
    if not CLEAR.exists():
        return {"size": list(size), "peaks": {}}
    found = {}
    for name in names:
        code = f"from {__name__} import peak; print(peak({name!r}, {seed}, {size}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"memory of {name}: expected a number, got {done.stderr.strip()[-300:]}")
        found[name] = float(done.stdout.split()[-1])
    return {"size": list(size), "peaks": found}


def peak(name: str, seed: int, size: Size) -> float:
    """The largest amount of memory during forward and backward, beyond inputs and results, as a multiple of F."""
    with limited_threads(1):
        N, C, H = size
        block = CBAM(C, seed=seed)
        rng = np.random.default_rng(seed)
        n, _, h = SMALL
        small = rng.standard_normal((2, n, C, h, h), dtype=np.float32)
        ENTRIES[name].make(block, *small).both()  # compiles, and fetches what is fetched once
        f, d_out = rng.standard_normal((2, N, C, H, H), dtype=np.float32)
        side = ENTRIES[name].make(block, f, d_out)
        if name in ("torch.compile", "JAX jit"):  # compiled for every size
            side.both()
        gc.collect()
        return_to_system()
        CLEAR.write_text("5")  # forget the peak so far
        before = held("VmRSS")
        results = side.both()
        after = held("VmHWM")
    # results: F″, which forward returns, and the gradients
    given_back = f.nbytes + sum(to_numpy(x).nbytes for x in results)
    return round((after - before - given_back) / f.nbytes, 3)


def return_to_system() -> None:
    """Give memory that was freed back to the system, which would else not see that it is used again."""
    ctypes.CDLL(None).malloc_trim(0)


def held(what: str) -> int:
    """Bytes that this process holds now (VmRSS), or has held at most (VmHWM)."""
    found = re.search(rf"^{what}:\s*(\d+) kB$", STATUS.read_text(encoding="ascii"), flags=re.MULTILINE)
    assert found
    return 1024 * int(found[1])


def show(console: Console, found: dict[str, Any]) -> None:
    """Print the peaks as a table."""
    if not found["peaks"]:
        console.print("memory: measured on Linux only")
        return
    N, C, H = found["size"]
    table = terminal.new_table(console, f"Memory beyond inputs and results at {N}, {C}, {H}, float32, one thread")
    table.add_column("side", no_wrap=True)
    table.add_column("times F", justify="right")
    for name, factor in found["peaks"].items():
        table.add_row(name, f"{factor:.2f}")
    terminal.show(console, table)
