"""Python's errors in the exercise's own symbols: which line, which shapes, and what NumPy could not do with them."""

import ast
import inspect
import linecache
import re
from collections.abc import Iterator
from itertools import product
from math import prod
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import numpy as np

from cbam_np.course.exercise import Case, Finding

INTO = re.compile(r"could not broadcast input array from shape (\([\d, ]*\)) into shape (\([\d, ]*\))")
NON_BROADCAST = re.compile(r"non-broadcastable output operand with shape (\([\d, ]*\)) .* shape (\([\d, ]*\))")
MATMUL = re.compile(r"matmul: .*\(size (\d+) is different from (\d+)\)")
ALIGNED = re.compile(r"not aligned: (\d+) \(dim \d\) != (\d+) \(dim \d\)")
MASKED = re.compile(r"cannot assign (\d+) input values to the (\d+) output values where the mask is true")
RESHAPE = re.compile(r"cannot reshape array of size (\d+) into shape (\([\d, ]*\))")
PADS_ALL = re.compile(r"np\.pad\((\w+), \w+(?: // 2)?\)")
TORCH = {  # names that NumPy doesn't know: what it has instead
    "cat": "np.concatenate(..., axis=...)",
    "unsqueeze": "x[:, :, None, None], or np.expand_dims",
    "permute": "x.transpose(...) with all axes in their new order",
    "dim": "axis=...; the number of axes is x.ndim",
    "keepdim": "keepdims",
    "amax": "x.max(axis=...)",
    "clone": "x.copy()",
    "detach": "nothing: an array keeps no gradients",
    "numel": "x.size",
    "expand": "np.broadcast_to",
    "expand_as": "np.broadcast_to",
    "scatter": "np.put_along_axis",
    "scatter_": "np.put_along_axis",
    "gather": "np.take_along_axis",
    "matmul": "np.matmul, or @",
    "t": "x.T",
    "mm": "@",
    "bmm": "@",
    "size": "x.shape; x.size is the number of entries",
    "view": "x.reshape; its x.view is about dtypes",
    "relu": "np.maximum(x, 0)",
    "clamp": "np.clip",
    "torch": "np, or your own functions",
}
FOREIGN = re.compile(r"(?:has no attribute|unexpected keyword argument|name) '(\w+)'")
SHAPE = re.compile(r"\([\d, ]*\)")


def finding(error: Exception, case: Case, files: tuple[str, ...], during: str) -> Finding:
    """What stopped the learner's function in one case. files: those whose lines are the learner's own."""
    frames = [f for f in _frames(error.__traceback__) if f[0].f_code.co_filename in files]
    message = str(error).partition("\n")[0]
    lines = [("stopped", f"{type(error).__name__}: {message}")]
    hints: tuple[str, ...] = ()
    exact = False
    if frames:
        frame, instruction = frames[-1]
        line, segment = _place(frame, instruction)
        called_in = _place(*frames[0])[0]
        lines += [("in line", called_in), ("and there", line)] if called_in != line else [("in line", line)]
        said, hints = _explained(error, message, case, segment, _values(segment, line.partition(":")[2].strip(), frame))
        lines += [("that is", text) for text in said]
        exact = hints == (_without_doubt(error, message, segment),)
        if _of_the_course(error.__traceback__, files) and hints and not exact:
            hints = ("It stops inside of a function that is called in this line. What does this function get here?",)
        if isinstance(error, ValueError) and (padded := _all_padded(frame)):
            exact = False
            hints = (f"{padded} pads all axes, N and C too. For H and W alone: ((0, 0), (0, 0), (p, p), (p, p)).",)
    elif isinstance(error, TypeError) and "argument" in message and during == "forward":
        hints = ("How many arguments does the stub have, and in which order?",)
    elif isinstance(error, TypeError) and "argument" in message:
        hints = ("backward is called with one argument, d_out. What is between the brackets where it is defined?",)
    named = hints[0] if hints else ""
    is_open = not (exact or isinstance(error, NameError))
    return Finding(f"{during} stops with an error", tuple(lines), hints, named, is_open)


def _frames(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while trace:
        yield trace.tb_frame, trace.tb_lasti
        trace = trace.tb_next


def _of_the_course(trace: TracebackType | None, files: tuple[str, ...]) -> bool:
    """Whether it stopped in a function of the course that the learner's function calls."""
    last = [frame.f_code for frame, _ in _frames(trace)][-1]
    return last.co_filename not in files and last.co_filename.startswith(str(Path(__file__).parent))


def _place(frame: FrameType, instruction: int) -> tuple[str, str]:
    """The line with its number, and the part of it that failed."""
    code = frame.f_code
    positions = list(code.co_positions())[instruction // 2]
    first, last, start, end = positions
    if first is None:
        return f"{frame.f_lineno}:  {linecache.getline(code.co_filename, frame.f_lineno).strip()}", ""
    rows = [linecache.getline(code.co_filename, i).rstrip("\n") for i in range(first, (last or first) + 1)]
    whole = f"{first}:  {' '.join(row.strip() for row in rows)}"
    if start is None or end is None:
        return whole, ""
    encoded = [row.encode() for row in rows]
    encoded[-1] = encoded[-1][:end]
    encoded[0] = encoded[0][start:]
    return whole, " ".join(row.decode(errors="replace").strip() for row in encoded)


def _all_padded(frame: FrameType) -> str:
    """The call of np.pad in this function that pads an array (N, C, H, W) along all its axes; "" if there is none."""
    try:
        found = PADS_ALL.search(inspect.getsource(frame.f_code))
    except (OSError, TypeError):
        return ""
    return found[0] if found and np.ndim(frame.f_locals.get(found[1], 0)) == 4 else ""


def _assigned(line: str) -> list[ast.expr]:
    """What is on the right of `line`, if it is an assignment."""
    try:
        statement = ast.parse(line).body[0]
    except (SyntaxError, IndexError):
        return []
    return [statement.value] if isinstance(statement, (ast.Assign, ast.AugAssign)) else []


def _values(segment: str, whole: str, frame: FrameType) -> dict[str, Any]:
    """The operands of what failed, as written, and their values: names, or expressions without a call."""
    try:
        tree = ast.parse(segment, mode="eval").body
    except SyntaxError:
        try:
            statement = ast.parse(segment).body[0]
        except (SyntaxError, IndexError):
            return {}
        if isinstance(statement, ast.AugAssign):
            tree = ast.BinOp(statement.target, statement.op, statement.value)
        else:
            tree = getattr(statement, "value", None) or ast.Constant(0)
    operands: list[ast.expr] = []
    if isinstance(tree, ast.BinOp):
        operands = [tree.left, tree.right]
    elif isinstance(tree, ast.Call):
        operands = [*tree.args, *([tree.func.value] if isinstance(tree.func, ast.Attribute) else [])]
        operands = [
            o for group in operands for o in (group.elts if isinstance(group, (ast.List, ast.Tuple)) else [group])
        ]
    elif isinstance(tree, (ast.Subscript, ast.Attribute)):
        operands = [tree.value, *_assigned(whole)]
    found = {}
    for operand in operands:
        text = ast.unparse(operand)
        try:
            found[text] = eval(text, frame.f_globals, dict(frame.f_locals))
        except Exception:
            continue
    return {text: value for text, value in found.items() if not isinstance(value, (type(np), type))}


def _without_doubt(error: Exception, message: str, segment: str) -> str:
    """A hint where the message has one cause only; "" if it may have several."""
    known = FOREIGN.search(message) or (
        re.search(r"\.(size|view)\(", segment) if isinstance(error, TypeError) else None
    )
    if (
        known
        and known[1] in TORCH
        and ("numpy" in message or "keyword" in message or known[1] in ("torch", "size", "view"))
    ):
        return f"{known[1]} is PyTorch's name. NumPy has {TORCH[known[1]]}."
    if "bitwise_xor" in message:
        return "In Python ^ isn't a power: x**2 is x squared."
    if "Cannot interpret" in message and "data type" in message:
        return "np.zeros takes the shape as one tuple, np.zeros((2, 3)): a second argument is the dtype."
    if re.search(r"repeat\(\) takes", message):
        return "x.repeat(1, C, 1, 1) is PyTorch's. NumPy has np.tile for it, and np.repeat(x, times, axis=...)."
    if "'NoneType' object" in message:
        return (
            "None comes from a function without a return, such as those that change an array and give nothing back: "
            "np.put_along_axis, np.add.at, list.append. What do you get this name from?"
        )
    if segment.startswith("np.pad(") and isinstance(error, ValueError):
        return "np.pad takes one pair for each axis, (before, after): ((0, 0), (0, 0), (p, p), (p, p)) pads H and W."
    if "'tuple' object cannot be interpreted as an integer" in message:
        example = " argmax takes one axis: reshape two into one first." if "arg" in segment else ""
        return f"Here one whole number is expected, not a tuple.{example}"
    if any(
        text in message
        for text in ("'float' object cannot be interpreted", "integral type", "only integers", "of integer")
    ):
        return "A whole number is expected here. / gives a float, also for 4 / 2; // gives whole numbers."
    return ""


def _explained(
    error: Exception, message: str, case: Case, segment: str, values: dict[str, Any]
) -> tuple[list[str], tuple[str, ...]]:
    """Sentences with facts, and hints in stages."""
    arrays = {text: value for text, value in values.items() if isinstance(value, np.ndarray) and value.ndim}
    facts = [f"{text} has the shape {case.shape(value.shape)}" for text, value in arrays.items()]
    if facts:
        facts = ["; ".join(facts)]
    pair = next((t for t, v in values.items() if isinstance(v, tuple) and any(map(callable, v))), None)
    if pair and "positional argument" not in message:
        return [f"{pair} is a tuple, what an operation returns: its output and its backward"], (
            f"{pair} holds two things. Which one do you need here, and how do you take a tuple apart?",
        )
    if exact := _without_doubt(error, message, segment):
        return facts, (exact,)
    shapes = [_shape(text) for text in SHAPE.findall(message)]
    if "could not be broadcast together" in message and len(shapes) > 1:
        return _broadcast(facts, shapes[-2:] if "requested" in message else shapes[:2], case, _cut(arrays))
    if match := INTO.search(message) or NON_BROADCAST.search(message):
        source, target = (match[1], match[2]) if "input array" in message else (match[2], match[1])
        have, want = case.shape(_shape(source)), case.shape(_shape(target))
        return [*facts, f"an array of shape {have} doesn't fit into a place of shape {want}"], (
            f"Which of the two shapes did you mean, {have} or {want}? What would make the other one the same?",
        )
    if match := MATMUL.search(message):
        return _matmul(facts, match[2], match[1], case, arrays)
    if match := ALIGNED.search(message):
        return _matmul(facts, match[1], match[2], case, arrays)
    if match := MASKED.search(message):
        return [*facts, f"the mask on the left picks {match[2]} places, and {match[1]} values stand on the right"], (
            "Which of the values on the right belong to the places that the mask picks?",
        )
    if "indexing result" in message:
        return [*facts, f"{case.shape(shapes[0])} was to go where {case.shape(shapes[1])} was picked"], (
            "An array as an index picks again for every place of a `:` beside it. With np.put_along_axis, or with an "
            "index array for every axis, each place gets one value."
            if ":" in segment
            else "Which of the two shapes did you mean? What makes the other one?",
        )
    if match := RESHAPE.search(message):
        wanted = _shape(match[2])
        return [*facts, f"{match[1]} entries don't fit into the shape {case.shape(wanted)} of {prod(wanted)}"], (
            "How many entries has the array at this place, and which axes are they? Is every axis in the new shape?",
        )
    if "inhomogeneous" in message or "must match exactly" in message or "same number of dim" in message:
        return facts, ("The arrays that are put together here differ in their shapes. Which shapes do they have?",)
    if "setting an array element with a sequence" in message:
        return facts, (
            "One place in an array takes one number, and here an array was to go there. Is a sum missing, or an index?",
        )
    if "truth value" in message:
        return facts, (
            "One answer, yes or no, is asked for here, by `if`, `and`, or Python's own max and min, and an array has "
            "many. np.where and np.maximum work entry by entry.",
        )
    if "'tuple' object does not support item assignment" in message:
        return facts, ("A tuple can't be changed. list(...) makes a list of it, with the same arrays.",)
    if "axis remapping" in message or "broadcast_to" in message or "requested shape" in message:
        return facts, ("Which shape does the function that is called here expect? Compare with the line above.",)
    if "math." in segment and ("only" in message or "real number" in message):
        return facts, ("A function of `math` takes one number. Which library has the same function for arrays?",)
    if "only integer" in message or "only length-1" in message or "only 0-dimensional" in message:
        return facts, ("A single number is expected here, and an array came. Is an index or a sum missing?",)
    if isinstance(error, np.exceptions.AxisError):
        return facts, ("How many axes has the array at this point? Counted from 0, the last one is ndim - 1.",)
    if isinstance(error, IndexError) and "too many indices" in message:
        return facts, ("How many axes has this array, and how many do you index?",)
    if isinstance(error, IndexError) and "boolean" in message:
        return facts, ("A mask picks from an array of its own shape. Which shapes have the two?",)
    if isinstance(error, IndexError) and "out of" in message:
        return facts, ("Indices run from 0 to length - 1. Which axis does this index belong to?",)
    if isinstance(error, UnboundLocalError):
        return facts, (
            "A name that is assigned to anywhere in a function belongs to that function, also on the lines before, and "
            "hides a name outside. Where is this one assigned to?",
        )
    if isinstance(error, NameError):
        name = getattr(error, "name", None) or "the name"
        return facts, (f"Python knows no {name} at this place. Is it spelt as where it was made, or made elsewhere?",)
    if "read-only" in message:
        return facts, (
            "np.broadcast_to gives a view that can't be written to, also if another function returns it. a += b writes "
            "into a; a + b is a new array.",
        )
    if "Cannot cast" in message or "casting rule" in message:
        return facts, ("The array that is written to can't hold such numbers. With which dtype was it made?",)
    if "not subscriptable" in message or "not callable" in message or "has no attribute" in message:
        return facts or [f"{t} is of type {type(v).__name__}" for t, v in values.items()], (
            "Is this what you think it is? Print its type just before this line.",
        )
    if "unpack" in message and segment.endswith(".shape"):
        return facts, ("How many axes has this array, and how many names stand on the left?",)
    if "unpack" in message:
        return facts, ("Count: how many things come back here, and how many names are on the left?",)
    handed = next((t for t, v in values.items() if isinstance(v, (tuple, list))), "")
    if "missing" in message and "positional argument" in message and handed:
        return facts, (
            f"{handed} holds several things and counts as one argument. What does the star in f(*{handed}) do?",
        )
    if "positional argument" in message or "keyword argument" in message:
        return facts, ("Compare the call with the first line of the function that is called.",)
    return facts, ()


def _cut(arrays: dict[str, Any]) -> tuple[str, ...]:
    """A hint if one of two arrays is a slice `a : a + H`, and shorter than the other."""
    for text, x in arrays.items():
        for y in arrays.values():
            if re.search(r"\[.*\w:\w+ \+ ", text) and x.ndim == y.ndim and any(map(int.__lt__, x.shape, y.shape)):
                return (
                    "A slice that runs past the end of its array is cut short. How long is the array there, and is it "
                    "padded?",
                )
    return ()


def _broadcast(
    facts: list[str], shapes: list[tuple[int, ...]], case: Case, cut: tuple[str, ...]
) -> tuple[list[str], tuple[str, ...]]:
    """Two shapes that don't go together, lined up from the right as NumPy does it."""
    a, b = shapes
    first, second = case.shape(a), case.shape(b)
    clash = [(x, y) for x, y in zip(reversed(a), reversed(b), strict=False) if x != y and 1 not in (x, y)]
    pairs = " and ".join(f"{case.symbol(x)} meets {case.symbol(y)}" for x, y in reversed(clash))
    facts = [*facts, f"{first} against {second}: lined up from the right, {pairs}"]
    if len(a) == len(b):
        return facts, (
            *cut,
            "Entry by entry, as + and * work, both need the same length along each axis, or one of them 1. Is this the "
            f"operation you mean? If so, what shapes should {first} and {second} have?",
        )
    short = first if len(a) < len(b) else second
    return facts, (
        f"Which axes is {short} missing, and where do they belong?",
        *_with_ones(short, second if short == first else first),
        "NumPy adds missing axes on the left only. On the right you add them yourself: x[:, :, None, None], or "
        "keepdims=True in the sum or the mean that took them away.",
    )


def _with_ones(short: str, long: str) -> tuple[str, ...]:
    """A hint with the shorter shape as it would fit, if its axes are some of those of the longer, in their order."""
    axes, wanted = (text.strip("(),").split(", ") for text in (short, long))
    spread = [name if name in axes else "1" for name in wanted]
    fits = [name for name in spread if name != "1"] == axes and len(set(wanted)) == len(wanted)
    return (f"With an axis of length 1 where it has none, {short} becomes ({', '.join(spread)}).",) if fits else ()


def _matmul(
    facts: list[str], left: str, right: str, case: Case, arrays: dict[str, Any]
) -> tuple[list[str], tuple[str, ...]]:
    """Two matrices whose product does not exist."""
    inner = f"{case.symbol(int(left))} and {case.symbol(int(right))}"
    facts = [*facts, f"the last axis of the left factor meets the last but one of the right: {inner}, not the same"]
    matrices = {text: x for text, x in arrays.items() if x.ndim > 1}
    fitting = list(_fitting(matrices)) if len(matrices) == 2 else []
    return facts, (
        "@ sums over an axis: the last one on the left, the last but one on the right. Does your formula sum here, and "
        "over which axis?",
        *([f"By their shapes these would go: {'; '.join(fitting)}."] if fitting else []),
    )


def _fitting(matrices: dict[str, Any]) -> Iterator[str]:
    """The products of two matrices that their shapes allow."""
    (a, x), (b, y) = matrices.items()
    for (left, first), (right, second) in (((a, x), (b, y)), ((b, y), (a, x))):
        for turn_left, turn_right in product((False, True), repeat=2):
            m = np.swapaxes(first, -1, -2) if turn_left else first
            n = np.swapaxes(second, -1, -2) if turn_right else second
            if m.shape[-1] == n.shape[-2] and m.ndim == n.ndim == 2:
                yield f"{_turned(left, turn_left)} @ {_turned(right, turn_right)}"


def _turned(text: str, turn: bool) -> str:
    return (text.removesuffix(".T") if text.endswith(".T") else f"{text}.T") if turn else text


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", text))
