"""How the loops are compiled, and the two numbers that need help on the way."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir
from numba import njit
from numba.extending import intrinsic, overload

from cbam_np.arrays import Array

Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(loop: Loop) -> Loop:
    """`loop`, compiled by Numba at its first call and kept on disk; as it is if NUMBA_DISABLE_JIT is set.

    A sum may be added up in any order and a product may be fused with it: that lets a sum run over many entries at
    a time. Nothing else of "fast math" is allowed: NaN and infinities stay what they are. Threads may run a loop side
    by side.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz"}}
    try:
        return njit(cache=True, **options)(loop)
    except RuntimeError:  # no folder where it could be kept can be written to
        return njit(**options)(loop)


@compiled
def zero(x: Array) -> Any:
    """0 in the dtype of `x`, to start a sum with: a plain 0 would turn a sum over float32 into a slow float64 one."""
    return x.dtype.type(0)


def maximum(a: Any, b: Any) -> Any:
    """The larger of two numbers; NaN if one of them is."""
    return np.maximum(a, b)


def _emit_maximum(context: Any, a: Any, b: Any) -> Any:
    """LLVM's own maximum: unlike a comparison, it is known to give the same in any order, so many run at a time."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = arguments[0].type
        function = builder.module.declare_intrinsic("llvm.maximum", [kind], ir.FunctionType(kind, [kind, kind]))
        return builder.call(function, arguments, fastmath=["nsz"])

    return a(a, b), emit


_maximum: Any = intrinsic(_emit_maximum)
overload(maximum)(lambda a, b: lambda a, b: _maximum(a, b))
