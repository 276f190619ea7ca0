"""Exercises of chapter 11, From NumPy to CuPy: functions that run on the arrays of any library.

The checker cannot ask for a GPU. It runs the function on NumPy arrays for the numbers, then on two kinds of arrays that
every machine has and that refuse bad habits: PyTorch tensors on the device "meta", which have a shape and no values, so
that nobody can look at one; and array-api-strict, which has the array-API standard and nothing else.
"""

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import array_api_compat as compat
import numpy as np

from cbam_np.arrays import describe, library_name
from cbam_np.course.checker import SHAPES, Exercise, Function, Mistake, _block
from cbam_np.inputs import namespace
from cbam_np.ops import max_pool_over_space

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
    return "right on NumPy, but not on other arrays\n" + _block(("on", library), *lines)


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


@dataclass(frozen=True)
class PortableExercise(Exercise):
    """An exercise whose function must also run on other libraries' arrays, without looking at a value."""

    def problem(self, function: Function) -> str:
        """What is wrong with `function`, the numbers first; "" if nothing is."""
        return super().problem(function) or not_portable(function, self.inputs(1))


# --- 11.1 -------------------------------------------------------------------------------------------------------------

PER_SAMPLE = (1, 2, 3)


def _map(seed: int) -> tuple[Any, ...]:
    N, _, H, W = SHAPES[seed]
    return (np.random.default_rng(seed).normal(size=(N, 1, H, W)),)


def _stretch(m: Any) -> Any:
    xp = namespace(m=m)
    low = xp.min(m, axis=PER_SAMPLE, keepdims=True)
    span = xp.max(m, axis=PER_SAMPLE, keepdims=True) - low
    return (m - low) / xp.where(span > 0, span, xp.ones_like(span))


def _stretch_unguarded(m: Any) -> Any:
    low, high = m.min(axis=PER_SAMPLE, keepdims=True), m.max(axis=PER_SAMPLE, keepdims=True)
    with np.errstate(invalid="ignore"):
        return (m - low) / (high - low)


def _stretch_without_low(m: Any) -> Any:
    span = np.ptp(m, axis=PER_SAMPLE, keepdims=True)
    return m / np.where(span > 0, span, 1.0)


def _stretch_by_rows(m: Any) -> Any:
    low, span = m.min(axis=3, keepdims=True), np.ptp(m, axis=3, keepdims=True)
    return (m - low) / np.where(span > 0, span, 1.0)


exercise_11_1 = PortableExercise(
    "11.1",
    "A map stretched to [0, 1], on any array",
    returns="out",
    inputs=_map,
    solution=_stretch,
    mistakes=(
        Mistake(
            lambda m: (m - m.min()) / np.where(np.ptp(m) > 0, np.ptp(m), 1.0),
            "The darkest and the brightest pixel are searched in the whole batch. Each sample has its own.",
        ),
        Mistake(
            _stretch_unguarded,
            "A map that is constant gives 0/0 = NaN. Divide by 1 where the span is 0.",
        ),
        Mistake(
            lambda m: (
                (m - m.min(axis=PER_SAMPLE, keepdims=True))
                / np.where(np.ptp(m, axis=PER_SAMPLE, keepdims=True) > 0, m.max(axis=PER_SAMPLE, keepdims=True), 1.0)
            ),
            "Divided by the maximum. After the minimum is taken away the largest value is maximum - minimum.",
        ),
        Mistake(_stretch_without_low, "The minimum has not been taken away from the map: the darkest pixel is not 0."),
        Mistake(
            lambda m: (m - m.min(axis=PER_SAMPLE, keepdims=True)) / (np.ptp(m, axis=PER_SAMPLE, keepdims=True) + 1e-8),
            "A small number was added to the span. It moves every pixel a little, and only a span of 0 needs care.",
        ),
        Mistake(_stretch_by_rows, "Each row has been stretched by itself. Reduce over channel, rows and columns."),
    ),
)

# --- 11.2 -------------------------------------------------------------------------------------------------------------


def _tied(seed: int) -> tuple[Any, ...]:
    """Small integers, so that maxima tie."""
    N, C, H, W = SHAPES[seed]
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, C)), rng.integers(-2, 2, size=(N, C, H, W)).astype(float)


def _max_backward(d_max_c: Any, f: Any) -> Any:
    xp = namespace(d_max_c=d_max_c, f=f)
    N, C, H, W = f.shape
    winner = xp.argmax(xp.reshape(f, (N, C, H * W)), axis=2, keepdims=True)
    positions = xp.arange(H * W, dtype=winner.dtype, device=compat.device(f))
    d = d_max_c[:, :, None]
    return xp.reshape(xp.where(positions == winner, d, xp.zeros_like(d)), f.shape)


def _largest(f: Any) -> Any:
    return f == f.max(axis=(2, 3), keepdims=True)


def _ones_for_upstream(d_max_c: Any, f: Any) -> Any:
    return max_pool_over_space(f)[1](np.ones_like(d_max_c))


def _split(d_max_c: Any, f: Any) -> Any:
    return max_pool_over_space(f, ties="split")[1](d_max_c)


def _last(d_max_c: Any, f: Any) -> Any:
    return max_pool_over_space(f[:, :, ::-1, ::-1])[1](d_max_c)[:, :, ::-1, ::-1]


def _one_in_each_row(d_max_c: Any, f: Any) -> Any:
    winner = f.argmax(axis=3, keepdims=True)
    return np.where(np.arange(f.shape[3]) == winner, d_max_c[:, :, None, None], 0.0)


exercise_11_2 = PortableExercise(
    "11.2",
    "The max over space, backward, without writing into an array",
    returns="d_f",
    inputs=_tied,
    solution=_max_backward,
    mistakes=(
        Mistake(
            lambda d_max_c, f: np.where(_largest(f), d_max_c[:, :, None, None], 0.0),
            "Every entry that equals the maximum got the whole gradient. At a tie only the first one gets it: compare "
            "positions, not values.",
        ),
        Mistake(
            _split, "The gradient is shared among tied entries. That is a convention too; here the first gets all."
        ),
        Mistake(_last, "At a tie the last entry got the gradient. The first one gets it; argmax finds that one."),
        Mistake(_ones_for_upstream, "The right places, but what arrives there is 1 and not d_max_c."),
        Mistake(
            _one_in_each_row,
            "Every row has a winner of its own. There is one winner in the whole H×W picture: make it one axis first.",
        ),
    ),
)
