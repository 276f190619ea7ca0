"""The sides of a comparison of speed: who computes the block, and on which device.

Each function here makes a side for one size: forward, and forward + backward, as two functions without arguments. They
return their results when the device has finished, since a GPU is still at work when the call that started it returns.
A new side is one more function like these, and a row in the command that compares it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from cbam_np.arrays import Array, asarray, usable_cupy
from cbam_np.attention.block import CBAM, cbam

Pass = Callable[[], list[Array]]


class Side(NamedTuple):
    """forward: -> [F″]. both: -> [d_f, the gradient of each parameter], in the order of `block.params`."""

    forward: Pass
    both: Pass


Maker = Callable[[CBAM, np.ndarray, np.ndarray], Side]  # block, f, d_out, all float32 on the host


def ours(library: str, block: CBAM, f: np.ndarray, d_out: np.ndarray) -> Side:
    """`cbam_np` on arrays of a library: "numpy", "cupy" or "torch" (on the CPU)."""
    params = block.to(library).params
    f, d_out = asarray(f, library), asarray(d_out, library)
    wait = usable_cupy().cuda.Device().synchronize if library == "cupy" else _nothing

    def forward() -> list[Array]:
        out, _ = cbam(f, params)
        wait()
        return [out]

    def both() -> list[Array]:
        _, backward = cbam(f, params)
        d_f, grads = backward(d_out)
        wait()
        return [d_f, *grads.values()]

    return Side(forward, both)


def pytorch(device: str, block: CBAM, f: np.ndarray, d_out: np.ndarray, compiled: bool = False) -> Side:
    """The PyTorch module with its autograd, on "cpu" or "cuda", eager or through torch.compile."""
    import torch

    from cbam_np.pytorch import from_arrays

    module = from_arrays(block).to(device)
    run: Any = module
    if compiled:
        torch.compiler.reset()  # after eight compilations of one function it would run eagerly, and only log that
        run = torch.compile(module, fullgraph=True)
    torch_f = torch.from_numpy(f).to(device).requires_grad_()
    torch_d_out = torch.from_numpy(d_out).to(device)
    leaves = [torch_f, *module.parameters()]
    wait = torch.cuda.synchronize if device == "cuda" else _nothing

    def forward() -> list[Array]:
        with torch.no_grad():
            out = run(torch_f)
        wait()
        return [out]

    def both() -> list[Array]:
        grads = torch.autograd.grad(run(torch_f), leaves, torch_d_out)
        wait()
        return list(grads)

    return Side(forward, both)


def _nothing() -> None:
    """A CPU has finished when its function returns."""
