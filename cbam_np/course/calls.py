"""Which operations of the file the learner's function calls, with what, and what it hands to their backwards."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

import numpy as np

from cbam_np.course.exercise import Case, Exercise, Function, copied
from cbam_np.course.exercises import EXERCISES

AGAIN = "Does each backward have a name of its own, and is each of them called?"
APART = "It holds several things. Which one do you need here, and how do you take a tuple apart?"
SHAPES = "Compare the shapes. Which line makes the one that doesn't fit?"


@dataclass
class Call:
    """Of one operation: what it got, the output if it has a backward, and what that backward got each time."""

    name: str
    arguments: tuple[Any, ...]
    out: Any = None
    upstream: list[Any] = field(default_factory=list)


def misuse(exercise: Exercise, function: Function) -> tuple[str, tuple[str, ...]]:
    """A fact about the first call that doesn't fit, and hints; "" if all fit."""
    for case in exercise.cases:
        with _noted(function, (*exercise.uses, exercise.name), case) as (calls, found), suppress(Exception):
            backward = function(*copied(case.inputs))[1]
            backward(exercise.upstream(case))
        often = [call for call in calls if len(call.upstream) > 1]
        never = [call for call in calls if call.out is not None and not call.upstream]
        if often and never:
            other = "another call" if never[0].name == often[0].name else never[0].name
            times = f"is called {len(often[0].upstream)} times, that of {other} never"
            found.append((f"the backward of {often[0].name} {times}", "the same backward twice", AGAIN))
        for fact, key, hint in found:
            return fact, tuple(exercise.hints.get(key, (hint,)))
    return "", ()


Misfit: TypeAlias = tuple[str, str, str]  # a fact, the key of the exercise's hints for it, and a hint for all others


@contextmanager
def _noted(function: Function, names: tuple[str, ...], case: Case) -> Iterator[tuple[list[Call], list[Misfit]]]:
    """Within this block, all calls of `names` by the function itself, and what doesn't fit, in order of time."""
    calls: list[Call] = []
    found: list[Misfit] = []
    depth = 0  # of calls within calls: these are the other functions' business
    scope = getattr(function, "__globals__", {})
    before = {name: scope[name] for name in names if callable(scope.get(name))}

    def inside(operation: Function, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        nonlocal depth
        depth += 1
        try:
            return operation(*arguments, **keywords)
        finally:
            depth -= 1

    def watched(name: str) -> Function:
        def operation(*arguments: Any, **keywords: Any) -> Any:
            if depth:
                return before[name](*arguments, **keywords)
            call = Call(name, arguments)
            calls.append(call)
            found.extend(misfits(name, arguments, case))
            result = inside(before[name], arguments, keywords)
            if not isinstance(result, tuple) or len(result) != 2 or not callable(result[1]):
                return result
            call.out = result[0]

            def backward(*upstream: Any) -> Any:
                if not depth:
                    call.upstream += upstream
                    found.extend(_misfit_upstream(call, case))
                return inside(result[1], upstream, {})

            return call.out, backward

        return operation

    scope.update({name: watched(name) for name in before})
    try:
        yield calls, found
    finally:
        scope.update(before)


def _misfit_upstream(call: Call, case: Case) -> Iterator[Misfit]:
    key = f"the backward of {call.name}"
    d_out = call.upstream[-1] if call.upstream else None
    if isinstance(d_out, (tuple, list)):
        yield f"{key} gets a {type(d_out).__name__} of {len(d_out)}, not one array", key, APART
    elif isinstance(d_out, np.ndarray) and d_out.shape != np.shape(call.out):
        have, want = case.shape(d_out.shape), case.shape(np.shape(call.out))
        yield f"{key} gets an array of shape {have}; the output of {call.name} is {want}", key, SHAPES


def misfits(name: str, arguments: tuple[Any, ...], case: Case) -> Iterator[Misfit]:
    """What `name` got and what its stub says, if the two don't go together."""
    exercise = EXERCISES[name]
    if len(arguments) != len(exercise.arguments):
        return
    pairs = list(zip(exercise.arguments, arguments, strict=True))
    for argument, value in pairs:
        if argument == "k" and value != case.sizes.get("k", value):
            yield f"{name} gets k = {value}; here k is {case.sizes['k']}", name, SHAPES
        if isinstance(value, tuple) and any(map(callable, value)):
            yield f"{name} gets a tuple for {argument}: an output and its backward", f"a tuple for {name}", APART
    if "any shape" not in exercise.source and not any(_fits(arguments, sample) for sample in exercise.cases):
        have = ", ".join(
            f"{argument}: {_described(value, case)}" for argument, value in pairs if not isinstance(value, int)
        )
        alike = [sample for sample in exercise.cases if sample.sizes == exercise.cases[0].sizes]  # gate has two
        asked = zip(exercise.arguments, *(sample.inputs for sample in alike), strict=True)
        want = ", ".join(
            f"{argument}: {' or '.join(dict.fromkeys(map(_described, values, alike)))}"
            for argument, *values in asked
            if not isinstance(values[0], int)
        )
        yield f"{name} gets {have}; it is made for {want}", name, SHAPES


def _described(value: Any, case: Case) -> str:
    shape = _shape(value)
    return f"a {type(value).__name__}" if shape is None else case.shape(shape)


def _shape(value: Any) -> tuple[int, ...] | None:
    """Of an array; a tuple of numbers is a shape itself."""
    if isinstance(value, np.ndarray):
        return value.shape
    numbers = isinstance(value, (tuple, list)) and all(isinstance(n, (int, np.integer)) for n in value)
    return tuple(value) if numbers else None


def _fits(arguments: tuple[Any, ...], sample: Case) -> bool:
    """Whether the arguments' shapes are those of `sample`, with other sizes for its symbols."""
    sizes: dict[str, int] = {}
    products: list[tuple[str, int]] = []
    for value, model in zip(arguments, sample.inputs, strict=True):
        shape, pattern = _shape(value), _shape(model)
        if pattern is None:
            continue
        if shape is None or len(shape) != len(pattern):
            return False
        for size, symbol in zip(shape, map(sample.symbol, pattern), strict=True):
            if re.search("[·²]", symbol):
                products.append((symbol, size))
            elif size != (int(symbol) if symbol.isdigit() else sizes.setdefault(symbol, size)):
                return False
    return all(
        size == prod(sizes.get(part.rstrip("²"), 0) ** (2 if part.endswith("²") else 1) for part in symbol.split("·"))
        for symbol, size in products
        if all(part.rstrip("²") in sizes for part in symbol.split("·"))
    )
