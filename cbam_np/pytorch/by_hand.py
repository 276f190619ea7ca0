"""Our gradient inside PyTorch's autograd: the whole block is one node of its graph.

PyTorch asks a node for two things, what it computes and how a gradient goes back through it, and that is what

    f2, backward = cbam(f, params)
    d_f, grads = backward(d_f2)

have always returned. What is left to do here is to look at the same numbers as arrays: on the CPU as NumPy arrays, on a
GPU as CuPy arrays. Nothing is copied for that. Needs the extra "torch".
"""

from importlib import import_module
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from cbam_np.arrays import Array, usable_cupy
from cbam_np.attention.block import cbam
from cbam_np.inputs import Ties

Gradient = Literal["autograd", "hand", "fused"]
GRADIENTS: tuple[Gradient, ...] = ("autograd", "hand", "fused")
DTYPES = (torch.float64, torch.float32, torch.float16)


def block(gradient: Gradient, f: Tensor, params: dict[str, Tensor], ties: Ties = "first") -> Tensor:
    """F″ of `cbam_np.cbam` ("hand") or `cbam_np.fused.cbam` ("fused"), with a gradient for f and all parameters.

    f: (N, C, H, W), on the CPU, or for "hand" on a GPU, where CuPy computes. Raises TypeError for a dtype that NumPy
    hasn't got, and for "fused" anywhere but on the CPU; RuntimeError if CuPy or Numba is needed and can't be used, and
    when a second derivative is asked for.
    """
    for name, x in {"f": f, **params}.items():
        if x.dtype not in DTYPES:
            raise TypeError(
                f"{name}: expected float64, float32 or float16 with gradient={gradient!r}, got {x.dtype}; "
                f'cast it: {name}.float(), or take gradient="autograd"'
            )
        if gradient == "fused" and x.device.type != "cpu":
            raise TypeError(
                f'{name}: expected a tensor on the CPU with gradient="fused", got one on {x.device}; '
                'take gradient="hand" or "autograd"'
            )
    # torch.compile can't look into NumPy's functions: it compiles what comes before and after
    apply: Any = _Block.apply
    if torch.compiler.is_compiling():
        apply = torch.compiler.disable(apply)  # type: ignore[no-untyped-call]
    f2: Tensor = apply(gradient, ties, tuple(params), f, *params.values())
    return f2


class _Block(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Gradient, ties: Ties, keys: tuple[str, ...], f: Tensor, *weights: Tensor) -> Tensor:
        op = cbam if gradient == "hand" else import_module("cbam_np.fused").cbam
        params = {key: as_array(weight) for key, weight in zip(keys, weights, strict=True)}
        f2, ctx.by_hand = op(as_array(f), params, ties)
        ctx.gradient, ctx.keys = gradient, keys
        ctx.save_for_backward(f, *weights)  # so that PyTorch notices if one of them is changed before backward
        return as_tensor(f2)

    @staticmethod
    def backward(ctx: Any, d_f2: Tensor) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                f"backward: expected create_graph=False with gradient={ctx.gradient!r}, since only the first "
                'derivative is derived by hand; for a second one take gradient="autograd"'
            )
        _ = ctx.saved_tensors  # raises if they were changed
        d_f, grads = ctx.by_hand(as_array(d_f2))
        return None, None, None, as_tensor(d_f), *(as_tensor(grads[key]) for key in ctx.keys)


def as_array(x: Tensor) -> Array:
    """The same memory as an array: of NumPy if `x` is on the CPU, else of CuPy."""
    x = x.detach()
    return x.numpy() if x.device.type == "cpu" else usable_cupy().from_dlpack(x)


def as_tensor(x: Array) -> Tensor:
    """The same memory as a tensor."""
    return from_dlpack(x)
