"""Which operations of the file the learner's function calls, with what, and what it hands to their backwards."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from cbam_np.course.exercise import Case, Exercise, Function, copied
from cbam_np.course.exercises import EXERCISES

AGAIN = "the same backward twice"  # keys of hints, besides "conv2d" and "the backward of conv2d"


@dataclass
class Call:
    """Of one operation: what it got, the output if it has a backward, and what that backward got each time."""

    name: str
    arguments: tuple[Any, ...]
    out: Any = None
    upstream: list[Any] = field(default_factory=list)


def misuse(exercise: Exercise, function: Function) -> tuple[str, str]:
    """A fact about the first call that doesn't fit, and the key of the hints that go with it; "" if all fit."""
    for case in exercise.cases:
        with _noted(function, (*exercise.uses, exercise.name)) as (calls, found), suppress(Exception):
            found.case = case
            backward = function(*copied(case.inputs))[1]
            backward(exercise.upstream(case))
        if found.fact:
            return found.fact, found.key
        often = [call for call in calls if len(call.upstream) > 1]
        never = [call for call in calls if call.out is not None and not call.upstream]
        if often and never:
            times = f"is called {len(often[0].upstream)} times, that of {never[0].name} never"
            return f"the backward of {often[0].name} {times}", AGAIN
    return "", ""


@dataclass
class _Found:
    case: Case
    fact: str = ""
    key: str = ""

    def note(self, fact: str, key: str) -> None:
        if fact and not self.fact:
            self.fact, self.key = fact, key


@contextmanager
def _noted(function: Function, names: tuple[str, ...]) -> Iterator[tuple[list[Call], _Found]]:
    """Within this block, all calls of `names` by the function itself, and the first of them that doesn't fit."""
    calls: list[Call] = []
    found = _Found(Case((), {}))
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
            found.note(misfit(name, arguments, found.case), name)
            result = inside(before[name], arguments, keywords)
            if not isinstance(result, tuple) or len(result) != 2 or not callable(result[1]):
                return result
            call.out = result[0]

            def backward(*upstream: Any) -> Any:
                if not depth:
                    call.upstream += upstream
                    found.note(_misfit_upstream(call, found.case), f"the backward of {name}")
                return inside(result[1], upstream, {})

            return call.out, backward

        return operation

    scope.update({name: watched(name) for name in before})
    try:
        yield calls, found
    finally:
        scope.update(before)


def _misfit_upstream(call: Call, case: Case) -> str:
    d_out = call.upstream[-1] if call.upstream else None
    if isinstance(d_out, (tuple, list)):
        return f"the backward of {call.name} gets a {type(d_out).__name__} of {len(d_out)}, not one array"
    if isinstance(d_out, np.ndarray) and d_out.shape != np.shape(call.out):
        have, want = case.shape(d_out.shape), case.shape(np.shape(call.out))
        return f"the backward of {call.name} gets an array of shape {have}; the output of {call.name} is {want}"
    return ""


def misfit(name: str, arguments: tuple[Any, ...], case: Case) -> str:
    """What `name` got and what its stub says, if the two don't go together; "" if they do."""
    exercise = EXERCISES[name]
    if len(arguments) != len(exercise.arguments) or "any shape" in exercise.source:
        return ""
    for argument, value in zip(exercise.arguments, arguments, strict=True):
        if argument == "k" and value != case.sizes.get("k", value):
            return f"{name} gets k = {value}; here k is {case.sizes['k']}"
        if isinstance(value, tuple) and any(map(callable, value)):
            return f"{name} gets a tuple for {argument}: an output and its backward"
    if any(_fits(arguments, sample) for sample in exercise.cases):
        return ""
    got = zip(exercise.arguments, arguments, strict=True)
    have = ", ".join(f"{argument}: {_described(value, case)}" for argument, value in got if not isinstance(value, int))
    asked = zip(exercise.arguments, exercise.cases[0].inputs, strict=True)
    want = [f"{argument}: {_described(value, exercise.cases[0])}" for argument, value in asked if np.ndim(value)]
    return f"{name} gets {have}; it is made for {', '.join(want)}"


def _described(value: Any, case: Case) -> str:
    shape = _shape(value)
    return f"a {type(value).__name__}" if shape is None else case.shape(shape)


def _shape(value: Any) -> tuple[int, ...] | None:
    """Of an array; a tuple of numbers is a shape itself."""
    if isinstance(value, np.ndarray):
        return value.shape
    return value if isinstance(value, tuple) and all(isinstance(n, (int, np.integer)) for n in value) else None


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
