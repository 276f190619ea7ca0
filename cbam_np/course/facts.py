"""What can be said for certain about wrong numbers: how they are related to the right ones, on every input tried."""

from collections.abc import Collection, Iterator, Sequence
from itertools import combinations, permutations
from typing import Any

import numpy as np

from cbam_np.course.exercise import Case

Arrays = Sequence[np.ndarray]
PRODUCTS = (
    "N",
    "C",
    "H",
    "W",
    "H·W",
    "C·H·W",
    "N·H·W",
    "N·C",
    "N·C·H·W",
    "C·H",
    "C·W",
    "N·H",
    "N·W",
    "hidden",
    "k",
    "k·k",
    "C·k·k",
    "N·hidden",
)
CONSTANTS = {-1.0: "-1", 2.0: "2", 0.5: "1/2", -2.0: "-2", -0.5: "-1/2", 4.0: "4", 0.25: "1/4", 3.0: "3"}


def close(got: Any, expected: np.ndarray, tolerance: float = 1e-9) -> np.ndarray:
    """Entry by entry, for two arrays of the same shape."""
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
    return np.isclose(got, expected, rtol=tolerance, atol=tolerance * largest, equal_nan=True)


def same(got: Any, expected: np.ndarray, tolerance: float = 1e-9) -> bool:
    """Shape and all entries."""
    return np.shape(got) == np.shape(expected) and bool(close(got, expected, tolerance).all())


def multiple(name: str, got: Arrays, expected: Arrays, cases: Sequence[Case]) -> str:
    """Whether every entry is the same multiple of what it should be; "" if not, or if the factor has no name."""
    ratios = []
    for g, e in zip(got, expected, strict=True):
        if g.shape != e.shape or not np.isfinite(g).all():
            return ""
        norm = np.sum(e * e)
        ratio = np.sum(g * e) / norm if norm else None
        if ratio is not None and not same(g, ratio * e, 1e-8):
            return ""
        ratios.append(ratio)
    known = [(r, case) for r, case in zip(ratios, cases, strict=True) if r is not None]
    for value, text in CONSTANTS.items():
        if known and all(np.isclose(r, value, rtol=1e-8) for r, _ in known):
            return f"your {name} is {text} times the expected one, at every entry"
    for text, values in factors([case for _, case in known]):
        for sign in (1, -1):
            if len(set(values)) > 1 and all(
                np.isclose(r, sign * value, rtol=1e-8) for (r, _), value in zip(known, values, strict=True)
            ):
                return f"your {name} is {'-' * (sign < 0)}{text} times the expected one, at every entry"
    return ""


def factors(cases: Sequence[Case]) -> Iterator[tuple[str, list[float]]]:
    """Products of sizes and their quotients, simple ones first: what each is called, and what it is in every case."""
    products: dict[str, list[float]] = {"1": [1.0] * len(cases)}
    for text in PRODUCTS:
        parts = text.split("·")
        if all(part in case.sizes for part in parts for case in cases):
            products[text] = [float(np.prod([case.sizes[part] for part in parts])) for case in cases]
    for below, divisors in products.items():
        for above, values in products.items():
            if above != below and not set(above.split("·")) & set(below.split("·")):
                text = above if below == "1" else f"{above}/{below}" if "·" not in below else f"{above}/({below})"
                yield text, [a / b for a, b in zip(values, divisors, strict=True)]
    for text, values in products.items():
        yield f"({text})²" if "·" in text else f"{text}²", [value**2 for value in values]


def shape(name: str, got: np.ndarray, expected: np.ndarray, case: Case) -> str:
    """Of an array of the wrong shape: what would make it right; "" if nothing simple does."""
    have, want = case.shape(got.shape), case.shape(expected.shape)
    for axes in permutations_of(got.ndim):
        if same(got.transpose(axes), expected):
            return f"transposed, from {have} to {want}, your {name} would be right"
    if got.size == expected.size and same(got.reshape(expected.shape), expected):
        return (
            f"the numbers in your {name} are right, in the shape {have} in place of {want}{_axes_of_one(got, expected)}"
        )
    try:
        if got.size < expected.size and same(np.broadcast_to(got, expected.shape), expected):
            return f"broadcast from {have} to {want}, your {name} would be right: NumPy didn't have to do it here"
    except ValueError:
        pass
    for axes in subsets(got.ndim):
        for word, total in (("summed", np.sum), ("averaged", np.mean)):
            for keep in (False, True):
                reduced = total(got, axis=axes, keepdims=keep)
                if same(reduced, expected) or (
                    reduced.size == expected.size and same(reduced.reshape(expected.shape), expected)
                ):
                    return f"{word} over {axis_names(got.shape, axes, case)}, your {name} would be right"
    for axes in subsets(expected.ndim):
        for word, total in (("summed", np.sum), ("averaged", np.mean)):
            reduced = total(expected, axis=axes)
            if reduced.size == got.size and same(got.reshape(reduced.shape), reduced):
                return f"your {name} is the expected one {word} over {axis_names(expected.shape, axes, case)}"
    if got.ndim == 1 and same(got, expected[expected != 0]):
        return f"your {name} has the entries that aren't 0 in the expected one, in one row, and no others"
    if got.ndim == expected.ndim == 4 and got.shape[:2] == expected.shape[:2]:
        p, q = ((g - e) // 2 for g, e in zip(got.shape[2:], expected.shape[2:], strict=True))
        H, W = expected.shape[2:]
        if p > 0 and q > 0 and same(got[:, :, p : p + H, q : q + W], expected):
            return f"without {p} rows and {q} columns on each side your {name} would be right"
    moved = [axis for axis, (a, b) in enumerate(zip(got.shape, expected.shape, strict=False)) if a != b]
    if got.ndim == expected.ndim and len(moved) == 2 and got.shape == _exchanged(expected.shape, *moved):
        return f"in the shape of your {name} {axis_names(expected.shape, tuple(moved), case)} are exchanged"
    return ""


def _axes_of_one(got: np.ndarray, expected: np.ndarray) -> str:
    """What two arrays of as many entries differ in, if it is axes of length 1, or axes that are joined."""
    have, want = ([n for n in x.shape if n > 1] for x in (got, expected))
    if have == want:
        return f": axes of length 1 too {'many' if got.ndim > expected.ndim else 'few'}" * (got.ndim != expected.ndim)
    if len(have) < len(want):
        return ": it isn't reshaped yet" if got.ndim < expected.ndim else ": axes are joined"
    return ""


def _exchanged(shape: tuple[int, ...], a: int, b: int) -> tuple[int, ...]:
    exchanged = list(shape)
    exchanged[a], exchanged[b] = exchanged[b], exchanged[a]
    return tuple(exchanged)


def contrast(cases: Sequence[Case], wrong: Sequence[int]) -> str:
    """In which of the cases tried it is right, and in which it isn't; "" if there is nothing to tell them apart."""
    right, bad = ([case for i, case in enumerate(cases) if (i in wrong) == it] for it in (False, True))
    if not right or not bad:
        return ""
    kinds, others = {case.note for case in right}, {case.note for case in bad}
    if len(kinds) == len(others) == 1 and kinds != others and all((*kinds, *others)):
        return f"right for {kinds.pop()}, wrong for {others.pop()}"
    known = set[str].intersection(*(set(case.sizes) for case in cases))
    ones = [
        s
        for s in cases[0].sizes
        if s in known and all((case.sizes[s] == 1) == (i not in wrong) for i, case in enumerate(cases))
    ]
    if ones and len(right) > 1:
        are, they = ("is", "it is") if len(ones) == 1 else ("are", "they are")
        return f"right where {' and '.join(ones)} {are} 1, wrong where {they} larger"
    pairs = [(sizes(a), sizes(b)) for a in right for b in bad]
    return next((f"right for {a}, wrong for {b}" for a, b in pairs if a != b), "")


def sizes(case: Case) -> str:
    """In words, with what is special about the case."""
    return ", ".join([*(f"{name} = {size}" for name, size in case.sizes.items()), *([case.note] if case.note else [])])


def relations(name: str, got: np.ndarray, expected: np.ndarray, case: Case) -> Iterator[str]:
    """Of an array of the right shape: what is true of it in this case."""
    shape = expected.shape
    for axes in subsets(expected.ndim):
        if all(shape[axis] > 1 for axis in axes) and same(np.flip(got, axes), expected):
            yield f"mirrored along {axis_names(shape, axes, case)}, your {name} would be right"
            return
    for axes in permutations_of(expected.ndim):
        turned = expected.transpose(axes)
        if turned.shape == shape and same(got, turned):
            yield f"your {name} is the expected one with its axes in the order {axes}"
            return
    for axes in subsets(expected.ndim):
        if all(shape[axis] > 1 for axis in axes):
            for word, total in (("summed", np.sum), ("averaged", np.mean)):
                if same(got, np.broadcast_to(total(expected, axis=axes, keepdims=True), shape)):
                    names = axis_names(shape, axes, case)
                    yield f"your {name} is the expected one {word} over {names}, the same everywhere"
                    return
    off = ~close(got, expected)
    if off.sum() < off.size and not got[off].any():
        yield f"wherever your {name} is wrong, it is 0"
        return
    if same(np.sort(got, axis=None), np.sort(expected, axis=None)) and expected.size > 2:
        orders = (axes for axes in permutations_of(expected.ndim) if same(got, expected.transpose(axes).reshape(shape)))
        order = next((case.shape(tuple(shape[axis] for axis in axes)) for axes in orders), "")
        where = f"in the order of an array {order}, read as {case.shape(shape)}" if order else "in other places"
        yield f"the numbers in your {name} are right, but {where}"
        return
    for axis in range(expected.ndim):
        if shape[axis] > 1:
            moved = np.moveaxis(close(got, expected), axis, 0).reshape(shape[axis], -1)
            right = [int(i) for i in np.flatnonzero(moved.all(axis=1))]
            trivial = not np.moveaxis(expected, axis, 0)[right].any()
            if 0 < len(right) <= 2 and len(right) < shape[axis] and not trivial:
                which = " and ".join(map(str, right))
                end = ", the first," if right == [0] else ", the last," if right == [shape[axis] - 1] else ""
                yield f"along the axis {case.symbol(shape[axis])} your {name} is right at index {which}{end} only"
                return
            wrong = [i for i in range(shape[axis]) if i not in right]
            if 0 < len(wrong) <= 2 < shape[axis]:
                which = " and ".join(map(str, wrong))
                yield f"along the axis {case.symbol(shape[axis])} your {name} is wrong at index {which} only"
                return


HINTS = (  # how a fact begins or what is in it, what the code must have for the question, or "", and the question
    ("is wrong only", "", "What is special about these entries? Work out one of them by hand."),
    ("in one row, and no others", "", "A mask as an index throws entries away. Where do the others go?"),
    ("on each side your", "", "Is the padding still there?"),
    ("wherever your", "[] =", "Is each of these entries written to, and kept?"),
    ("wherever your", "", "What should be there, and why is it 0 in yours? Work out one of them by hand."),
    ("read as", "reshape", "A reshape moves no entry; a transpose does. Which one is needed here?"),
    ("but in other places", "", "Where does each of them belong? Follow one of them."),
    (
        "axes of length 1 too many",
        "",
        "Which line makes an axis of length 1? (keepdims=True, None in an index, a reshape.)",
    ),
    (
        "axes of length 1 too few",
        "",
        "Which line should keep, or make, an axis of length 1? (keepdims=True, None in an index, a slice in place of a "
        "number.)",
    ),
    ("reshaped yet", "", "A reshape is missing. Are the entries in its order?"),
    ("axes are joined", "", "Which line joins these axes?"),
    (
        "the numbers in your",
        "",
        "Which line gives the array this shape? Compare with the one in the stub, axis by axis.",
    ),
    ("are exchanged", "", "Which line gives the array this shape, and in what order are its axes there?"),
    ("with ties", "", "Some entries are equally large there. Which of them does each step of your code take?"),
    ("right where", "", "Where this axis has the length 1 the mistake doesn't show. What does your code do along it?"),
    (
        "broadcast from",
        "",
        "The numbers are right. np.broadcast_to, or a product with ones of the right shape, repeats them.",
    ),
    ("transposed, from", "", "Which line gives the axes this order?"),
    (
        "your {} is the expected one summed",
        "sum",
        "Which axes are left in the shape that the stub gives? Those are not summed over.",
    ),
    (
        "your {} is the expected one averaged",
        "mean",
        "Which axes are left in the shape that the stub gives? Over those there is no average.",
    ),
    ("your {} is the expected one with its axes", "", "Which line puts the axes in this order?"),
    (
        "your {} is the expected one",
        "",
        "What should tell the entries along this axis apart, and where does it get lost?",
    ),
    ("summed over", "", "Which line should sum over it? (What is used many times gets the sum of the gradients.)"),
    ("averaged over", "", "Which axes are left in the shape that the stub gives?"),
    ("mirrored along", "", "In which direction does each index run, in forward and in backward?"),
    ("times the expected", "", "Where does this factor come from, or where did it get lost?"),
    ("same for every d_out", "", "Where does d_out enter? The chain rule multiplies the slope with it."),
    (
        "zero everywhere",
        "[] =",
        "Is the array that you return the one that is written to? flatten() and an index array make copies of it.",
    ),
    ("zero everywhere", "", "Which line should make the array that you return something other than zero?"),
    (
        "entries that are nan",
        "",
        "nan comes from 0/0, inf/inf, inf - inf and 0 · inf. For which inputs does one of these happen?",
    ),
    (
        "the last, only",
        "for",
        "Does each round of the loop leave its result, or does the last one write over the others?",
    ),
    ("the first, only", "return in for", "When does the loop return: after its last round, or in the first?"),
    ("at index", "", "What differs between these entries and the others? Work out one that is wrong by hand."),
)


def question(fact: str, name: str, words: Collection[str]) -> str:
    """A hint that goes with a fact and with code that has these words; "" if there is none."""
    fits = (hint for start, word, hint in HINTS if start.format(name) in fact and (not word or word in words))
    return next(fits, "")


def subsets(count: int) -> Iterator[tuple[int, ...]]:
    """Of 0 .. count - 1, without the empty one, small ones first."""
    for size in range(1, count + 1):
        yield from combinations(range(count), size)


def permutations_of(count: int) -> list[tuple[int, ...]]:
    """All orders of 0 .. count - 1 but their own, those with two exchanged first."""
    orders = list(permutations(range(count)))[1:]
    return sorted(orders, key=lambda axes: sum(i != axis for i, axis in enumerate(axes)))


def axis_names(shape: tuple[int, ...], axes: tuple[int, ...], case: Case) -> str:
    """The axes in words: the axes H and W."""
    names = [case.symbol(shape[axis]) for axis in axes]
    named = [f"axis {axis}" if name.isdigit() else name for name, axis in zip(names, axes, strict=True)]
    plural = "the axes " if len(named) > 1 else ("" if named[0].startswith("axis") else "the axis ")
    return plural + " and ".join(named)
