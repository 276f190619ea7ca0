"""Whether a function runs on the arrays of any library: for the appendix on CuPy.

The check can't ask for a GPU. It runs a function that is right on NumPy on two kinds of arrays that every machine has
and that refuse bad habits: PyTorch tensors on the device "meta", which have a shape and no values, so
that nobody can look at one; and array-api-strict, which has the array-API standard and nothing else.
"""

import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import array_api_compat as compat
import numpy as np

from cbam_np.arrays import describe, library_name

Function: TypeAlias = Callable[..., Any]

# --- what is not portable ---------------------------------------------------------------------------------------------

NUMPY = "A function of NumPy was handed an array of another library. Take the one from xp."
ASKED = (
    "The host asks for a number: float(), bool(), .item(), max() and if do that. On a GPU this line waits until the "
    "device is done. Leave the number in an array, and choose with xp.where."
)
MASK = (
    "A boolean mask as an index: how many entries it picks is known only after looking at the values. xp.where keeps "
    "the shape."
)
ELSEWHERE = "A new array was made in ordinary memory. What makes an array takes dtype= and device=."
METHOD = "Libraries differ in the methods of their arrays. The functions of xp are the same everywhere."
UNKNOWN = "Not every library has this function: it is not in the array-API standard. Build it from some that are."
WRITE = "The standard has no writing at integer indices: not every library can. Compare, and choose with xp.where."
OPERAND = "One operand is a list or a NumPy array. Both sides must be arrays of one library, or Python numbers."

HINTS = {  # what the errors say -> what was done
    r"\.item\(\) cannot be called": ASKED,
    r"register_meta function for torch.nonzero|boolean_indexing|data_dependent": MASK,
    r"is not on the expected device|two different devices": ELSEWHERE,
    r"meta device type tensor to numpy|no data!": NUMPY,
    r"module .* has no attribute": UNKNOWN,
    r"Fancy indexing __setitem__": WRITE,
    r"Expected Array or Python scalar|can be converted to an index": OPERAND,
}
METHOD_ERRORS = r"object has no attribute|argument 'dim' must be|unexpected keyword argument"


@contextmanager
def other_libraries() -> Iterator[dict[str, Function]]:
    """How to take a NumPy array to "torch, without values" and to "array_api_strict"; numbers stay as they are."""
    import array_api_strict as strict
    import torch

    def without_values(x: Any) -> Any:
        return torch.from_numpy(x).to("meta") if isinstance(x, np.ndarray) else x

    def by_the_standard(x: Any) -> Any:
        return strict.asarray(x) if isinstance(x, np.ndarray) else x

    with strict.ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False):
        yield {"torch, without values": without_values, "array_api_strict": by_the_standard}


def not_portable(function: Function, inputs: tuple[Any, ...]) -> str:
    """Why `function`, which is right on NumPy, does not run on the arrays of other libraries; "" if it does."""
    expected = function(*inputs)
    with other_libraries() as libraries:
        for name, convert in libraries.items():
            given = [convert(x) for x in inputs]
            home = next(x for x in given if compat.is_array_api_obj(x))
            try:
                got = function(*given)
                came = describe(got) if compat.is_array_api_obj(got) else type(got).__name__
            except Exception as error:
                return _report(name, *_seen(error, function))
            wanted = describe(convert(expected))
            if came != wanted:
                left = not compat.is_array_api_obj(got) or library_name(got) != library_name(home)
                return _report(name, ("expected", wanted), ("got", came), ("hint", NUMPY if left else ELSEWHERE))
    return ""


def _report(library: str, *lines: tuple[str, str]) -> str:
    details = "".join(f"\n   {name:10}{text}" for name, text in (("on", library), *lines))
    return f"Right on NumPy, but not on other arrays.{details}"


def _seen(error: Exception, function: Function) -> Iterator[tuple[str, str]]:
    """The error's first line, the line of `function` that raised it, and a hint if the error is known."""
    message = str(error).strip().splitlines()[0]
    lines = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == function.__code__.co_filename]
    line = str(lines[-1].line) if lines else ""
    yield type(error).__name__, message
    if line:
        yield "in line", f"{lines[-1].lineno}:  {line}"
    hints = [hint for pattern, hint in HINTS.items() if re.search(pattern, str(error))]
    if not hints and re.search(r"\bnp\.\w+\(", line):
        hints = [NUMPY]  # it may call a method of the foreign array, which then complains
    elif not hints and re.search(METHOD_ERRORS, message):
        hints = [METHOD]
    if hints:
        yield "hint", hints[0]
