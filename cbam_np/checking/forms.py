"""The forms in which `gradcheck` takes an operation: a function, a pair of functions, a `torch.autograd.Function`."""

import inspect
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeAlias

from cbam_np.arrays import Array, Backward

Op: TypeAlias = Callable[..., tuple[Array, Backward]]  # out, backward = op(*inputs)
AnyOp: TypeAlias = Op | tuple[Callable[..., Any], Callable[..., Any]] | type  # (forward, backward); autograd.Function


def as_op(op: AnyOp) -> Op:
    """`op` so that it is called as `out, backward = op(*inputs)`."""
    torch = sys.modules.get("torch")
    if torch and isinstance(op, type) and issubclass(op, torch.autograd.Function):
        return _from_torch(op, torch)
    if isinstance(op, tuple) and len(op) == 2 and all(map(callable, op)):
        return _from_pair(*op)
    if not callable(op):
        raise TypeError(f"op: expected a function, got {type(op).__name__}; a pair (forward, backward) will do as well")
    return op


def _from_pair(forward: Callable[..., Any], backward: Callable[..., Any]) -> Op:
    """If forward returns (out, cache), backward takes (d_out, cache); if it returns out, (d_out, *inputs)."""

    @wraps(forward)
    def op(*inputs: Any) -> tuple[Array, Backward]:
        out = forward(*inputs)
        if isinstance(out, tuple) and len(out) == 2:
            return out[0], lambda d_out: backward(d_out, out[1])
        return out, lambda d_out: backward(d_out, *inputs)

    return op


def _from_torch(function: Any, torch: Any) -> Op:
    """Forward and backward of a `torch.autograd.Function` as PyTorch calls them."""

    def op(*inputs: Any) -> tuple[Array, Backward]:
        if not any(map(torch.is_tensor, inputs)):
            got = ", ".join(type(x).__name__ for x in inputs) or "none"
            raise TypeError(f"inputs: expected PyTorch tensors, for a torch.autograd.Function, got {got}")
        given = [x.detach().requires_grad_(x.is_floating_point()) if torch.is_tensor(x) else x for x in inputs]
        leaves = {i: x for i, x in enumerate(given) if torch.is_tensor(x) and x.requires_grad}
        out = function.apply(*given)

        def backward(d_out: Any) -> tuple[Any, ...]:
            gradients = torch.autograd.grad(out, tuple(leaves.values()), d_out, retain_graph=True, allow_unused=True)
            return tuple(dict(zip(leaves, gradients, strict=True)).get(i) for i in range(len(given)))

        return out.detach(), backward

    own = list(inspect.signature(function.forward).parameters.values())
    with_context = function.setup_context is torch.autograd.Function.setup_context  # forward's first parameter
    op.__signature__ = inspect.Signature(own[1:] if with_context else own)  # type: ignore[attr-defined]
    op.__name__ = function.__name__
    return op
