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
    Case((scaled, (normal(0, 3, 4), normal(1, 4, 2)), 1, normal(2, 3, 2)), SIZES, "which = 1"),
    Case((scaled, (normal(0, 3, 4), normal(1, 4, 2)), 0, normal(2, 3, 2)), SIZES, "which = 0"),
    Case((curved, (normal(3, 2, 1, 3) / 2,), 0, normal(4, 2, 1, 3)), {"N": 2, "W": 3}),
    Case((curved, (normal(3, 5) / 2,), 0, normal(4, 5)), {"N": 5}),
)


def look_at_slopes(function: Function) -> Finding | None:
    """Where L is evaluated, seen from inside `op`."""
    x = np.array([[0.5, -0.7, 0.2], [0.0, 0.4, -0.3]])  # with a 0, as a step may not depend on the entry's size
    d_out = normal(7, 2, 3)
    given = x.copy()
    seen: list[np.ndarray] = []

    same: list[bool] = []

    def op(moved: Any) -> Any:
        seen.append(np.array(moved))
        same.append(np.shares_memory(moved, given))
        return curved(moved)

    result = function(op, (given,), 0, d_out)
    if coarse := next((s.dtype for s in seen if s.dtype.kind in "iub" or s.dtype.itemsize < 8), None):
        return _seen(f"op gets an array of {coarse}, not of float64", f"{coarse} rounds a step of 1e-5 away. With which dtype is your copy made?", f"op gets {coarse}")
    if not seen:
        return Finding("op is never called", hints=("L is measured, not derived: which call gives you `out`?",), named="op is never called")
    if any(np.iscomplexobj(s) for s in seen):  # another way to measure a slope
        return None
    steps = [s - x for s in seen if s.shape == x.shape]
    moved = [np.abs(step) > 1e-15 for step in steps]
    counts = [int(m.sum()) for m in moved]
    if not any(counts):
        if len(seen) == 1:
            return _seen("op is called once, with x as it is", "A slope needs L at two places. For which two x is op to be called, for each entry?", "op is called once")
        fact = f"op is called {len(seen)} times, always with the same x"
        given.flags.writeable = False
        try:
            function(op, (given,), 0, d_out)
        except ValueError:
            if all(same):
                return _seen(f"{fact}, the input itself, which is written to", "Are + h and - h both written into it before op is called, so "
                             "that they cancel, or is the entry put back too early? list(inputs) copies no array.", "op gets the input itself, unmoved")
        return _seen(fact, "Is what you move handed to op? If it is: are + h and - h written into one and the same array, where they cancel? "
                     "b = a copies nothing.", "op never gets a moved x", unsure=True)
    if (first := next(filter(None, counts))) > 1:
        what = f"all {x.size}" if first == x.size else f"{first} of the {x.size}"
        return _seen(
            f"{what} entries are moved at the same time", "Which slope do you get if several move at once? np.ndindex(x.shape) gives one "
            "entry after the other.", "all entries are moved at once" if first == x.size else "several entries are moved at once", unsure=True,
        )
    if max(counts) > 1:
        return _seen(
            "when the second entry is moved, the first is not back where it was",
            "What has to happen to an entry before the next one is moved?", "an entry isn't put back",
        )
    sizes = np.array([step.ravel()[np.argmax(np.abs(step))] for step, n in zip(steps, counts, strict=True) if n])
    moves = [tuple(map(int, i)) for i in np.argwhere(np.any(moved, axis=0))]
    if len(moves) < x.size:
        fact = f"op gets a moved x {sum(counts)} times; of the {x.size} entries only {', '.join(map(str, moves))} {'are' if len(moves) > 1 else 'is'} moved"
        hint = "Which entries are left out: by the loop, by what ends it early, or because the step is 0 there?"
        if sum(counts) >= 2 * x.size:
            hint = "Which i does each of these calls use? (A function made in a loop looks i up when it is called.)"
        return _seen(fact, hint, "some entries are never moved", unsure=True)
    h = float(np.abs(sizes).max())
    if shifted := _without_brackets(result, x, d_out, h):
        return shifted
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


def _without_brackets(result: Any, x: np.ndarray, d_out: np.ndarray, h: float) -> Finding | None:
    """Whether the two L of each entry are put together in another way. h is the learner's own."""
    above, below = (np.full(x.shape, np.sum(d_out * curved(x)[0])) + d_out * (curved(x + step)[0] - curved(x)[0]) for step in (h, -h))
    for form, value, hint in (
        ("(above - below) / 2 * h", (above - below) / 2 * h, "Python goes from left to right: (a / 2) * h. Where are brackets missing?"),
        ("above - below / (2 * h)", above - below / (2 * h), "Only the second term is divided. Where are brackets missing?"),
        ("above - below / 2 * h", above - below / 2 * h, "Only the second term is divided, by 2, and multiplied by h. Where are brackets missing?"),
        ("above - below", above - below, "A slope is a difference divided by a distance. How far are the two points from each other?"),
    ):
        if np.shape(result) == x.shape and np.allclose(result, value, rtol=1e-5, atol=1e-7 * np.abs(value).max()):
            return _seen(f"your slopes are {form}", hint, f"the slopes are {form}")
    return None


def _seen(fact: str, hint: str, named: str, *, unsure: bool = False) -> Finding:
    return Finding("the slopes are wrong", (("note", fact),), (hint,), named, unsure)


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
        Mistake("with the two terms exchanged: below - above", (("(above - below)", "(below - above)"),), "Which of the two L belongs to the larger x?"),
        Mistake("if the sign is lost", (("(above - below) / (2 * h)", "np.abs(above - below) / (2 * h)"),), "A slope may be negative."),
        Mistake("if inputs[0] is moved whatever `which` says", (("x = inputs[which]", "x = inputs[0]"),), "Which input does the third argument name?"),
        Mistake("if the loop runs over the entries of d_out, and the result has its shape", (("result = np.zeros(x.shape)", "result = np.zeros(d_out.shape)"), ("np.ndindex(x.shape)", "np.ndindex(d_out.shape)")), "One slope for every entry of inputs[which]."),
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


def _at_two_entries(x: Any) -> Any:
    off = np.zeros(x.shape)
    off[1, 2], off[2, 0] = ERROR, -ERROR
    return off


def _up_and_down(x: Any) -> Any:
    return ERROR * (-1.0) ** np.arange(x.size).reshape(x.shape)


def _up(x: Any) -> Any:
    off = np.full(x.shape, ERROR)
    off[0, 1] = -ERROR / 2
    return off


def _down(x: Any) -> Any:
    return -_up(x)


tangent.__qualname__ = product.__qualname__ = "op"


def _ignores_upstream(x: Any, y: Any) -> Any:
    return x * y, lambda d_out: (y + 0 * d_out, x + 0 * d_out)


def _with_the_wrong_sign(x: Any, y: Any) -> Any:
    return x * y, lambda d_out: (-d_out * y, -d_out * x)


def look_at_largest_error(function: Function) -> Finding | None:
    """Whether right gradients pass, and whether each wrong one is noticed."""
    x, y, w = normal(40, 3, 4), normal(41, 3, 4), normal(43, 4, 2)  # not what the seed 0 draws for d_out
    for right, inputs in ((product, (x, y)), (tangent, (x,)), (tangent, (normal(42, 2, 3, 2),)), (scaled, (x, w))):
        given = tuple(a.copy() for a in inputs)
        upstream: list[Any] = []

        def op(*moved: Any, right: Op = right, upstream: list[Any] = upstream) -> Any:
            out, backward = right(*moved)

            def noted(d_out: Any) -> Any:
                upstream.append(d_out)
                return backward(d_out)

            return out, noted

        op.__qualname__ = "op"
        stopped: Exception | None = None
        try:
            error = function(op, *given)
        except NotImplementedError:
            raise
        except Exception as stop:
            stopped = stop
        shape = np.shape(right(*inputs)[0])
        if upstream and np.shape(upstream[0]) != shape:
            got = np.shape(upstream[0])
            return Finding("d_out has the wrong shape", (("expected", f"{shape}, the shape of out"), ("got", f"{got}{', the shape of the first input' * (got == x.shape)}")), (
                "d_out is the gradient of L with respect to out. Whose shape does it need, and is it drawn with size=...?",), "d_out hasn't the shape of out")
        if stopped and right is product:
            raise stopped
        if stopped:
            what = "with one input" if right is tangent else "in which out and both inputs differ in shape"
            hint = (
                "With one input backward returns the array itself, not a tuple. What does your code do with it?"
                if right is tangent else
                "out is (3, 2) here, the inputs are (3, 4) and (4, 2), and so are their gradients. Which line needs two of them to be alike?"
            )
            return Finding(
                f"stops with an error for an operation {what}", (("stopped", f"{type(stopped).__name__}: {str(stopped).partition('. ')[0]}"),), (hint,),
                "a single gradient isn't put into a tuple" if right is tangent else "stops where the shapes differ",
            )
        if isinstance(error, (bool, np.bool_)) or not isinstance(error, (int, float, np.floating)):
            got = "None" if error is None else f"an array of shape {error.shape}" if isinstance(error, np.ndarray) else f"a {type(error).__name__}"
            hint = "How do you get one number from all entries of all inputs?"
            if error is None:
                hint = "Is there a `return`, at the end and not only in a branch? print shows a number, and gives none back."
            return Finding("returns something else", (("expected", "one number"), ("got", got)), (hint,), f"returns {got}")
        if any(not np.array_equal(a, b) for a, b in zip(given, inputs, strict=True)) and any(
            not np.allclose(a, b, rtol=1e-12) for a, b in zip(given, inputs, strict=True)
        ):
            return Finding("changes its inputs", hints=("The caller still needs the arrays.",), named="changes its inputs")
        if not 0 <= error < 1e-6:
            how = "one input" if right is tangent else "two inputs"
            named, hint = _compared(right, inputs, upstream, error)
            return Finding(
                f"an operation with {how} and right gradients is said to be wrong", (("expected", "below 1e-6"), ("got", f"{error:.3g}")),
                (hint, "Take one entry of one gradient. Which slope is it compared with, and for which d_out?"),
                named,
            )
        if upstream and np.size(upstream[0]) > 1 and not np.ptp(upstream[0]):
            return Finding("d_out isn't random enough", (("note", f"all entries of your d_out are the same: {np.ravel(upstream[0])[0]:.4g}"),), (
                "Which wrong gradients pass if they are all the same? Every entry needs a random number of its own: size=...",), "all entries of d_out are the same")
    errors = [abs(float(function(_product_with(_up, _up), scale * (1 + abs(x)), scale * (1 + abs(y))))) for scale in (1, 1000)]
    if errors[1] < errors[0] / 5:
        return Finding("the error isn't the largest difference", (("expected", f"{ERROR:g}: so far off are the gradients"), ("got", f"{errors[0]:.3g}; with inputs 1000 times as large {errors[1]:.3g}")), (
            "By what do you divide the difference? The stub asks for the difference itself.",), "a relative error")
    alike = "Is each entry of a gradient compared with its own slope, and what becomes of the differences?"
    halves = (_product_with(_nothing, _up_and_down), _product_with(_up_and_down, _nothing))
    blind = all(abs(float(function(half, x.copy(), y.copy()))) < 0.99 * ERROR for half in halves)  # to both inputs
    for what, wrong, hint, named in (
        ("a backward that ignores d_out", _ignores_upstream, "Which d_out makes Σ d_out ⊙ out the same as Σ out? What should d_out be, so that nobody can do without it?", "d_out doesn't count"),
        ("a gradient that is wrong for the second of two inputs", halves[0], "Which inputs do you look at, and what happens to the errors of the earlier ones?", "only the first input is checked"),
        ("a gradient that is wrong for the first of two inputs", halves[1], "Which inputs do you look at, and what happens to the errors of the earlier ones?", "only the last input is checked"),
        ("a gradient that is wrong at two entries only", _product_with(_at_two_entries, _nothing), alike, "two wrong entries don't show"),
        ("a gradient that is too small at nearly all entries", _product_with(_down, _down), "gradient - slope is negative nearly everywhere. Is the sign dropped before the largest is taken?", "the sign isn't dropped"),
        ("a gradient that is too large at nearly all entries", _product_with(_up, _up), "slope - gradient is negative nearly everywhere. Is the sign dropped before the largest is taken?", "the sign isn't dropped"),
        ("a gradient with the wrong sign", _with_the_wrong_sign, "2 and -2 are 4 apart. What happens to the signs before you take the difference?", "the sign of a gradient doesn't count"),
    ):
        error = float(function(wrong, x.copy(), y.copy()))
        unlike = "sign" in named and not np.isclose(error, ERROR / 2, rtol=1e-3)
        if unlike or ("input" in named and blind):
            hint, named = alike, f"{what} passes"
        if np.isclose(error, [r * ERROR for n in (x.size, 2 * x.size) for r in (2 / n, (2 / n) ** 0.5)], rtol=1e-3).any():
            hint, named = "Does a wrong entry show among many right ones, in a mean?", "the mean hides a wrong entry"
        far = wrong in (_ignores_upstream, _with_the_wrong_sign)  # far more wrong than by ERROR
        if not abs(error) >= (0.1 if far else 0.99) * ERROR:
            return Finding(
                f"{what} passes" if abs(error) < 1e-6 else f"for {what} the error is too small", (("expected", f"{ERROR:g}: so far off it is"), ("got", f"{error:.3g}")), (hint,), named
            )
        if error < 0:
            return Finding("the error is negative", (("got", f"{error:.3g}"),), ("The largest difference without its sign.",), "negative error")
        if error > 1.01 * ERROR and not far:
            return Finding(
                f"for {what} the error is too large", (("expected", f"{ERROR:g}"), ("got", f"{error:.3g}")),
                ("The largest of the errors is asked for. What did you do with them?",), "the error is too large",
            )
    if not np.isclose(error := float(function(_product_with(_up, _up), x, y)), ERROR, rtol=0.01):
        return Finding("the error isn't the largest difference", (("expected", f"{ERROR:g}: so far off are the gradients"), ("got", f"{error:.3g}")), (
            "What is done to the differences, after they are taken?",), "not the largest difference")
    once, again = (float(function(_ignores_upstream, x.copy(), y.copy(), seed=5)) for _ in range(2))
    if once != again:
        return Finding("two calls with the same seed give two results", (("got", f"{once:.6g}, then {again:.6g}"),), (
            "np.random.default_rng(seed) draws the same numbers each time.",), "the seed isn't used")
    return None


def _compared(op: Op, inputs: tuple[Any, ...], upstream: list[Any], error: Any) -> tuple[str, str]:
    """Why right gradients are rejected, if the number says so: a name, and a first hint."""
    if len(upstream) == 1 and op is tangent:
        gradient = op(*inputs)[1](upstream[0])
        if np.isclose(error, np.abs(gradient[0] - gradient).max(), rtol=1e-6):
            return "a single gradient isn't put into a tuple", (
                "The error is that between the first row of the gradient and all slopes. With one input backward returns the array itself: "
                "gradients[0], or a loop, then takes its rows. How do you make a tuple of one?")
    if len(upstream) == 1 and op is product:
        first, second = op(*inputs)[1](upstream[0])
        if np.isclose(error, np.abs(first - second).max(), rtol=1e-6):
            return "all gradients are compared with the slopes of one input", (
                "The error is that between the gradients of the two inputs. Which input are the slopes of, for each gradient? (A lambda "
                "takes the index that the loop ended with.)")
    return "right gradients are rejected", "What do you compare with what? Do both belong to the same d_out and to the same input?"


largest_error = Exercise(
    2, "largest_error", 1, "", ("error",), (),
    hints={"error": ("Write down in words what is compared: which two arrays, for which inputs? What is one number from all of it?",)},
    plain=True, uses=("slopes",), look=look_at_largest_error,
)
