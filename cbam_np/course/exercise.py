"""What an exercise is: a function of the learner's file, inputs to try it on, and the mistakes that have a name."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, TypeAlias

import numpy as np

from cbam_np.course import my_file, solved

Function: TypeAlias = Callable[..., Any]
PRODUCTS = ("H·W", "N·C", "k²", "C·k²", "N·H·W", "C·H·W")  # sizes that come up when axes are joined


@dataclass(frozen=True)
class Case:
    """Inputs, and what their sizes are called: {"N": 3, "C": 8, ...}.

    note: what is special about them. corner: looked at only if all other cases are right; the last ones of an exercise.
    """

    inputs: tuple[Any, ...]
    sizes: Mapping[str, int]
    note: str = ""
    corner: bool = False

    def symbol(self, size: int) -> str:
        """What a number in a shape is called; the number itself if it has no name, or two."""
        names = [name for name, value in self.sizes.items() if value == size]
        if not names:
            products = [text.split("·") for text in PRODUCTS]
            known = [parts for parts in products if all(part.rstrip("²") in self.sizes for part in parts)]
            names = ["·".join(parts) for parts in known if prod(map(self.size, parts)) == size]
        return names[0] if len(names) == 1 and size > 1 else str(size)

    def size(self, name: str) -> int:
        """The number that "C" or "k²" stands for."""
        return self.sizes[name.rstrip("²")] ** (2 if name.endswith("²") else 1)

    def shape(self, shape: tuple[int, ...]) -> str:
        """A shape in symbols: (N, C, 1, 1)."""
        return f"({', '.join(map(self.symbol, shape))}{',' * (len(shape) == 1)})"


@dataclass(frozen=True)
class Finding:
    """What is wrong: a headline, facts with labels, hints in stages, and what the mistake is if that is known.

    open: it isn't known. There is no more than Python's error, or in what the numbers differ.
    """

    head: str
    lines: tuple[tuple[str, str], ...] = ()
    hints: tuple[str, ...] = ()
    named: str = ""
    open: bool = False


@dataclass(frozen=True)
class Mistake:
    """A wrong version of the solution: the solution with lines replaced, and how to go on after "what you get if ...".

    changes: pairs of a line, or a part of one that occurs once in the function, and what was written in its place.
    more: the second stage of the hint.
    """

    what: str
    changes: tuple[tuple[str, str], ...]
    more: str = ""


def mistake(what: str, *lines: str, more: str = "") -> Mistake:
    """A mistake from lines in turn: right, wrong, right, wrong, ..."""
    return Mistake(what, tuple(zip(lines[::2], lines[1::2], strict=True)), more)


@dataclass(frozen=True)
class Exercise:
    """A function to be written.

    results: what forward returns, then the gradients in order. cases: the first has sizes that are all different.
    hints: for each result questions in stages, for wrong answers that nothing else explains. plain: the function
    returns an array alone. uses: the learner's other functions that it may call. places: named masks, such as the
    entries that tie, from the inputs. quiet: a warning of NumPy's is a fault.
    """

    number: int
    name: str
    chapter: int
    formula: str
    results: tuple[str, ...]
    cases: tuple[Case, ...]
    mistakes: tuple[Mistake, ...] = ()
    hints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    plain: bool = False
    uses: tuple[str, ...] = ()
    places: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    quiet: bool = False
    tolerance: float = 1e-9  # relative to the largest entry
    look: Callable[[Function], "Finding | None"] | None = None  # for what can't be seen from the results

    @property
    def solution(self) -> Function:
        """The right function."""
        function: Function = getattr(solved, self.name)
        return function

    @property
    def arguments(self) -> tuple[str, ...]:
        """Their names."""
        code = self.solution.__code__
        return code.co_varnames[: code.co_argcount]

    @cached_property
    def source(self) -> str:
        """Of the solution."""
        source = my_file.source_of_solution()
        node = my_file.functions(source)[self.name]
        return "\n".join(source.splitlines()[node.lineno - 1 : node.end_lineno])

    def mistaken(self, mistake: Mistake) -> Function:
        """The wrong function. Raises ValueError if the lines to be replaced aren't there."""
        source = self.source
        for right, wrong in mistake.changes:
            if source.count(right) != 1:
                raise ValueError(f"{self.name}: expected {right!r} once, got it {source.count(right)} times")
            source = source.replace(right, wrong)
        namespace = dict(vars(solved))
        exec(compile(source, f"<{self.name} with a mistake>", "exec"), namespace)
        function: Function = namespace[self.name]
        return function

    def upstream(self, case: Case) -> np.ndarray:
        """A random upstream gradient for a case; the same each time."""
        shape = self._shapes.get(id(case)) or np.shape(self.outputs(self.solution, case))
        return np.random.default_rng(len(self.name)).normal(size=shape)

    @cached_property
    def _shapes(self) -> dict[int, tuple[int, ...]]:
        """Of the outputs, case by case: a search asks for them thousands of times."""
        return {id(case): np.shape(self.outputs(self.solution, case)) for case in self.cases}

    @cached_property
    def _expected(self) -> dict[int, tuple[Any, ...]]:
        return {id(case): self.all_results(self.solution, case) for case in self.cases}

    def expected(self, case: Case) -> tuple[Any, ...]:
        """The right results in one of the exercise's own cases."""
        return self._expected[id(case)]

    def outputs(self, function: Function, case: Case) -> Any:
        """What forward returns."""
        result = function(*copied(case.inputs))
        return result if self.plain else result[0]

    def all_results(self, function: Function, case: Case) -> tuple[Any, ...]:
        """What forward and backward return, as a tuple in the order of `results`."""
        return tuple(self.each_result(function, case))

    def each_result(self, function: Function, case: Case) -> Iterator[Any]:
        """The same one by one: backward isn't called before a gradient is asked for."""
        result = function(*copied(case.inputs))
        if self.plain:
            yield result
            return
        yield result[0]
        gradients = result[1](self.upstream(case))
        yield from gradients if isinstance(gradients, tuple) else (gradients,)


def copied(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arrays copied, in tuples too, everything else as it is."""

    def copy(x: Any) -> Any:
        return copied(x) if isinstance(x, tuple) else np.array(x) if isinstance(x, np.ndarray) else x

    return tuple(map(copy, inputs))
