"""1 and 2: slopes by central differences, and the gradient check."""

from collections.abc import Callable
from typing import Any

import numpy as np

from cbam_np.course.exercise import Case, Exercise, Finding, Function, Mistake
from cbam_np.course.exercises.inputs import normal

Op = Callable[..., tuple[Any, Callable[..., Any]]]


def curved(x: Any) -> Any:
    """e^{3x}, entry by entry."""
    return np.exp(3 * x), lambda d_out: 3 * np.exp(3 * x) * d_out


def scaled(x: Any, w: Any) -> Any:
    """A matrix product, squared."""
    d_y = 2 * (x @ w)
    return (x @ w) ** 2, lambda d_out: ((d_out * d_y) @ w.T, x.T @ (d_out * d_y))


for function in (curved, scaled):  # Python's errors are to name what the learner knows
    function.__qualname__ = "op"


SIZES = {"rows": 3, "columns": 4, "outputs": 2}
SLOPES = (
    Case((scaled, (normal(0, 3, 4), normal(1, 4, 2)), 1, normal(2, 3, 2)), SIZES),
    Case((scaled, (normal(0, 3, 4), normal(1, 4, 2)), 0, normal(2, 3, 2)), SIZES),
    Case((curved, (normal(3, 2, 1, 3) / 2,), 0, normal(4, 2, 1, 3)), {"N": 2, "W": 3}),
    Case((curved, (normal(3, 5) / 2,), 0, normal(4, 5)), {"N": 5}),
)


def look_at_slopes(function: Function) -> Finding | None:
    """Where L is evaluated, seen from inside `op`."""
    x = np.array([[0.5, -0.7, 0.2], [0.1, 0.4, -0.3]])
    seen: list[np.ndarray] = []

    def op(x: Any) -> Any:
        seen.append(np.array(x))
        return np.exp(3 * x), lambda d_out: 3 * np.exp(3 * x) * d_out

    function(op, (x.copy(),), 0, normal(7, 2, 3))
    if not seen:
        return Finding("op is never called", hints=("L is measured, not derived: which call gives you `out`?",), named="op is never called")
    steps = [s - x for s in seen if s.shape == x.shape and not np.iscomplexobj(s)]
    moved = [np.abs(step) > 1e-15 for step in steps]
    counts = [int(m.sum()) for m in moved]
    if not any(counts):
        return _seen(
            f"op is called {len(seen)} times, always with the same x",
            "Does what you move reach op? A copy of x that nobody passes on changes nothing; op(*inputs) takes what is in "
            "inputs.", "the moved x isn't what op gets",
        )
    if max(counts) > 1:
        if set(counts) <= {0, x.size}:
            return _seen(
                f"all {x.size} entries are moved at the same time", "Which slope do you get if everything moves at once? "
                "A loop over the entries moves one at a time.", "all entries are moved at once",
            )
        return _seen(
            "when the second entry is moved, the first is not back where it was",
            "What has to happen to an entry before the next one is moved?", "an entry isn't put back",
        )
    sizes = np.array([step.ravel()[np.argmax(np.abs(step))] for step, n in zip(steps, counts, strict=True) if n])
    never = [tuple(map(int, i)) for i in np.argwhere(~np.any(moved, axis=0))]
    if never:
        return _seen(
            f"these entries are never moved: {', '.join(map(str, never[:4]))}",
            "Over which indices does the loop run? np.ndindex(x.shape) gives them all.", "some entries are never moved",
        )
    h = float(np.abs(sizes).max())
    if (sizes > 0).all() or (sizes < 0).all():
        return _seen(
            "every entry is moved to one side only" + f", by {sizes[0]:.2g}",
            "The slope between x and x + h belongs to the middle of the two, not to x. Which two points have x in the middle?",
            "one-sided difference",
        )
    if h > 9e-4:
        return _seen(f"the step is h = {h:.2g}", "A large step measures a chord, not a slope: its error grows like h². Try 1e-5.", "h is too large")
    if h < 3e-10:
        return _seen(f"the step is h = {h:.2g}", "L(x + h) and L(x - h) agree in nearly all their digits then, and only rounding errors are left. Try 1e-5.", "h is too small")
    return None


def _seen(fact: str, hint: str, named: str) -> Finding:
    return Finding("the slopes are wrong", (("note", fact),), (hint,), named)


SLOPE_HINTS = (
    "Take one entry i. What is L with this entry a little larger, and a little smaller? What is L in the first place?",
    "L = np.sum(d_out * op(*inputs)[0]) is one number. For each i: keep x[i], move it up, compute L, move it down, compute L, "
    "put it back.",
    "The two L are 2h apart, so their difference is divided by 2h. np.ndindex(x.shape) runs over all entries.",
)

slopes = Exercise(
    1, "slopes", 1, "", ("slopes",), SLOPES,
    mistakes=(
        Mistake("if d_out is left out: the slopes of Σ out", (("np.sum(d_out * op(*inputs)[0])\n        x[i] = x_i - h", "np.sum(op(*inputs)[0])\n        x[i] = x_i - h"), ("below = np.sum(d_out * op(*inputs)[0])", "below = np.sum(op(*inputs)[0])")),
                "L is Σ d_out ⊙ out. Where does d_out enter?"),
        Mistake("if the difference is divided by h", (("(above - below) / (2 * h)", "(above - below) / h"),), "How far are the two points from each other?"),
        Mistake("if the difference isn't divided at all", (("(above - below) / (2 * h)", "above - below"),), "A slope is a difference divided by a distance."),
        Mistake("with the two terms exchanged: below - above", (("(above - below)", "(below - above)"),), "Which of the two L belongs to the larger x?"),
        Mistake("if 'above - below / (2h)' divides only the second term", (("(above - below) / (2 * h)", "above - below / (2 * h)"),), "Brackets: what is divided?"),
        Mistake("if '/ 2 * h' divides by 2 and multiplies by h", (("(above - below) / (2 * h)", "(above - below) / 2 * h"),), "Python goes from left to right: (a / 2) * h. Where are brackets missing?"),
        Mistake("if the sign is lost", (("(above - below) / (2 * h)", "np.abs(above - below) / (2 * h)"),), "A slope may be negative."),
        Mistake("if inputs[0] is moved whatever `which` says", (("x = inputs[which]", "x = inputs[0]"),), "Which input does the third argument name?"),
        Mistake("if the result is added up into one number for all entries", (("return result", "return result.sum()"),), "One slope for every entry."),
    ),
    hints={"slopes": SLOPE_HINTS},
    plain=True, tolerance=1e-6, look=look_at_slopes,
)


# --- 2 --------------------------------------------------------------------------------------------------------------

ERROR = 0.1  # that the wrong gradients below have where they are wrong


def tangent(x: Any) -> Any:
    """One input, and a right backward."""
    out = np.tanh(x)
    return out, lambda d_out: d_out * (1 - out * out)


def product(x: Any, y: Any) -> Any:
    """Two inputs, and a right backward."""
    return x * y, lambda d_out: (d_out * y, d_out * x)


def _product_with(first: Callable[[Any], Any], second: Callable[[Any], Any]) -> Op:
    def op(x: Any, y: Any) -> Any:
        return x * y, lambda d_out: (d_out * y + first(x), d_out * x + second(y))

    return op


def _nothing(x: Any) -> Any:
    return 0.0


def _at_one_entry(x: Any) -> Any:
    off = np.zeros(x.shape)
    off[1, 2] = ERROR
    return off


def _ignores_upstream(x: Any, y: Any) -> Any:
    return x * y, lambda d_out: (y + 0 * d_out, x + 0 * d_out)


def look_at_largest_error(function: Function) -> Finding | None:
    """Whether right gradients pass, and whether each wrong one is noticed."""
    x, y = normal(0, 3, 4), normal(1, 3, 4)
    for op, inputs in ((product, (x, y)), (tangent, (x,)), (tangent, (normal(2, 2, 3, 2),))):
        given = tuple(a.copy() for a in inputs)
        try:
            error = function(op, *given)
        except NotImplementedError:
            raise
        except Exception as stop:
            if op is product:
                raise
            return Finding(
                "stops with an error for an operation with one input", (("stopped", f"{type(stop).__name__}: {stop}"),),
                ("With one input backward returns the array itself, not a tuple. What does your loop over the gradients run over then?",),
                "a single gradient isn't put into a tuple",
            )
        if isinstance(error, (bool, np.bool_)) or not isinstance(error, (int, float, np.floating)):
            got = "None" if error is None else f"an array of shape {error.shape}" if isinstance(error, np.ndarray) else f"a {type(error).__name__}"
            return Finding("returns something else", (("expected", "one number"), ("got", got)), (
                "How do you get one number from all entries of all inputs?",), f"returns {got}")
        if any(not np.array_equal(a, b) for a, b in zip(given, inputs, strict=True)) and any(
            not np.allclose(a, b, rtol=1e-12) for a, b in zip(given, inputs, strict=True)
        ):
            return Finding("changes its inputs", hints=("Whoever passed the arrays still needs them.",), named="changes its inputs")
        if not 0 <= error < 1e-6:
            how = "one input" if op is tangent else "two inputs"
            return Finding(
                f"an operation with {how} and right gradients is said to be wrong", (("expected", "below 1e-6"), ("got", f"{error:.3g}")),
                ("What do you compare with what? Do both belong to the same d_out and to the same input?",
                 "Both have to belong to the same d_out: the gradients that backward(d_out) returns, and the slopes for this d_out. "
                 "With one input backward returns the array itself; a loop over it would run over its rows."),
                "right gradients are rejected",
            )
    up, down = (lambda x: ERROR), (lambda x: -ERROR)
    for what, op, hint, named in (
        ("a backward that ignores d_out", _ignores_upstream, "Which d_out makes Σ d_out ⊙ out the same as Σ out? What should d_out be, so that nobody can do without it?", "d_out is ones, or not used"),
        ("a gradient that is wrong for the second of two inputs", _product_with(_nothing, up), "Which inputs do you look at, and what happens to the errors of the earlier ones?", "only the first input is checked"),
        ("a gradient that is wrong for the first of two inputs", _product_with(up, _nothing), "Which inputs do you look at, and what happens to the errors of the earlier ones?", "only the last input is checked"),
        ("a gradient that is too small everywhere", _product_with(down, down), "gradient - slope is negative there. What is the largest of negative numbers?", "the sign isn't dropped"),
        ("a gradient that is too large everywhere", _product_with(up, up), "slope - gradient is negative there. What is the largest of negative numbers?", "the sign isn't dropped"),
        ("a gradient that is wrong at a single entry", _product_with(_at_one_entry, _nothing), "Does one wrong entry show among many right ones, in what you do with the errors?", "the mean hides a wrong entry"),
    ):
        error = float(function(op, x.copy(), y.copy()))
        if not abs(error) >= ERROR / 10:
            return Finding(
                f"{what} passes", (("expected", f"{ERROR:g}: so far off it is"), ("got", f"{error:.3g}")), (hint,), named
            )
        if error < 0:
            return Finding("the error is negative", (("got", f"{error:.3g}"),), ("The largest difference without its sign.",), "negative error")
        if error > 10 * ERROR and op is not _ignores_upstream:
            return Finding(
                f"for {what} the error is too large", (("expected", f"{ERROR:g}"), ("got", f"{error:.3g}")),
                ("The largest of the errors is asked for. What did you do with them?",), "the errors are added up",
            )
    once, again = (float(function(_ignores_upstream, x.copy(), y.copy(), seed=5)) for _ in range(2))
    if once != again:
        return Finding("two calls with the same seed give two results", (("got", f"{once:.6g}, then {again:.6g}"),), (
            "np.random.default_rng(seed) draws the same numbers each time.",), "the seed isn't used")
    return None


largest_error = Exercise(
    2, "largest_error", 1, "", ("error",), (),
    hints={"error": ("Write down in words what is compared: which two arrays, for which inputs? What is one number from all of it?",)},
    plain=True, uses=("slopes",), look=look_at_largest_error,
)
