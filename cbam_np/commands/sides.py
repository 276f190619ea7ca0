"""The sides of a comparison of speed: who computes the block, and on which device.

Each function here makes a side for one size: forward, and forward + backward, as two functions without arguments. They
return their results when the device has finished, since a GPU is still at work when the call that started it returns.
A new side is one more function like these, and a row in the command that compares it.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from cbam_np.arrays import Array, asarray, usable_cupy
from cbam_np.attention.block import CBAM, cbam

Pass = Callable[[], list[Array]]


class Side(NamedTuple):
    """forward: -> [F″]. both: -> [d_f, the gradient of each parameter], in the order of `block.params`."""

    forward: Pass
    both: Pass


Maker = Callable[[CBAM, np.ndarray, np.ndarray], Side]  # block, f, d_out, all of one dtype on the host


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


def fused(block: CBAM, f: np.ndarray, d_out: np.ndarray) -> Side:
    """The compiled loops of `cbam_np.fused`."""
    from cbam_np.fused import cbam as fused_cbam

    def forward() -> list[Array]:
        return [fused_cbam(f, block.params)[0]]

    def both() -> list[Array]:
        _, backward = fused_cbam(f, block.params)
        d_f, grads = backward(d_out)
        return [d_f, *grads.values()]

    return Side(forward, both)


def copy(block: CBAM, f: np.ndarray, d_out: np.ndarray) -> Side:
    """F read once and written once, which is no block, but the least that one can do to F. It returns nothing."""
    out = np.empty_like(f)

    def once() -> list[Array]:
        np.copyto(out, f)
        return []

    return Side(once, once)


def pytorch(
    device: str, block: CBAM, f: np.ndarray, d_out: np.ndarray, compiled: bool = False, gradient: str = "autograd"
) -> Side:
    """The PyTorch module on "cpu" or "cuda", eager or through torch.compile. gradient: see `cbam_np.pytorch.CBAM`."""
    import torch

    from cbam_np.pytorch import from_arrays

    module = from_arrays(block, gradient).to(device)  # type: ignore[arg-type]
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


def jax(block: CBAM, f: np.ndarray, d_out: np.ndarray) -> Side:
    """The formulas in JAX's functions, compiled by `jax.jit`, with the gradient of `jax.vjp`."""
    jax: Any = import_module("jax")
    jnp: Any = import_module("jax.numpy")
    jax.config.update("jax_enable_x64", f.dtype == np.float64)

    def op(f: Any, w1: Any, w2: Any, kernel: Any) -> Any:
        def mlp(x: Any) -> Any:
            return jax.nn.relu(x @ w1.T) @ w2.T

        m_c = jax.nn.sigmoid(mlp(f.mean((2, 3))) + mlp(f.max((2, 3))))
        f1 = m_c[:, :, None, None] * f
        pooled = jnp.stack([f1.mean(1), f1.max(1)], axis=1)
        m_s = jax.nn.sigmoid(jax.lax.conv_general_dilated(pooled, kernel, (1, 1), "SAME"))
        return m_s * f1

    def output_and_gradients(d_out: Any, *inputs: Any) -> Any:
        out, backward = jax.vjp(op, *inputs)
        return out, backward(d_out)  # the output as well: a network needs it for what comes after the block

    inputs = [jnp.asarray(x) for x in (f, *block.params.values())]
    upstream = jnp.asarray(d_out)
    forward, both = jax.jit(op), jax.jit(output_and_gradients)
    return Side(
        lambda: [jax.block_until_ready(forward(*inputs))],
        lambda: list(jax.block_until_ready(both(upstream, *inputs))[1]),
    )


def _nothing() -> None:
    """A CPU has finished when its function returns."""
