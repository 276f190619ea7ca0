"""Exercises of chapter 9, how to check a gradient."""

from collections.abc import Callable
from typing import Any

import numpy as np

from cbam_np.course.checker import SHAPES, Exercise, Mistake

Number = Callable[[np.ndarray], Any]  # from an array to a number

H = 0.01  # large on purpose: what a method gets wrong shows


def cubic(a: np.ndarray) -> Number:
    """x ↦ Σ a x³ + (Σ x)², which depends on every entry, and on products of entries."""

    def function(x: np.ndarray) -> Any:
        return np.sum(a * x**3) + np.sum(x) ** 2

    return function


def _inputs(seed: int) -> tuple[Any, ...]:
    """A function, an array and a step."""
    a, x = np.random.default_rng(seed).normal(size=(2, *SHAPES[seed]))
    return cubic(a), x, H


def _entries(x: np.ndarray) -> np.ndarray:
    """The unit arrays, one for each entry of x."""
    return np.eye(x.size).reshape(-1, *x.shape)


# 9.1


def central_differences(function: Number, x: np.ndarray, h: float) -> np.ndarray:
    """The gradient of `function` at x, measured: (function(x + h e) - function(x - h e)) / 2h for each entry e."""
    slopes = [(function(x + h * e) - function(x - h * e)) / (2 * h) for e in _entries(x)]
    return np.array(slopes).reshape(x.shape)


def _one_sided(function: Number, x: np.ndarray, h: float) -> np.ndarray:
    return np.array([(function(x + h * e) - function(x)) / h for e in _entries(x)]).reshape(x.shape)


def _all_at_once(function: Number, x: np.ndarray, h: float) -> np.ndarray:
    return np.full(x.shape, (function(x + h) - function(x - h)) / (2 * h))


def _sample_by_sample(function: Number, x: np.ndarray, h: float) -> np.ndarray:
    d_x = np.zeros(x.shape)
    for n in range(len(x)):
        e = np.zeros(x.shape)
        e[n] = h
        d_x[n] = (function(x + e) - function(x - e)) / (2 * h)
    return d_x


def _never_put_back(function: Number, x: np.ndarray, h: float) -> np.ndarray:
    x, d_x = x.copy(), np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        x[place] += h
        upper = function(x)
        x[place] -= 2 * h
        d_x[place] = (upper - function(x)) / (2 * h)
    return d_x


exercise_9_1 = Exercise(
    "9.1",
    "Central differences",
    returns="d_x",
    inputs=_inputs,
    solution=central_differences,
    mistakes=(
        Mistake(
            _one_sided,
            "This is the one-sided difference. Its error is proportional to h. Go to both sides of x.",
        ),
        Mistake(
            lambda function, x, h: 2 * central_differences(function, x, h),
            "Twice too large. How far apart are x + h and x - h?",
        ),
        Mistake(
            _all_at_once,
            "You moved all entries together. That gives one slope, the sum of all. Move one entry at a time.",
        ),
        Mistake(
            _sample_by_sample,
            "You moved x[0], x[1], ...: each is a whole sample. An entry has as many indices as x has axes.",
        ),
        Mistake(
            _never_put_back,
            "Only the first entry is right. Did you put an entry back before you moved the next one?",
        ),
        Mistake(
            lambda function, x, h: -central_differences(function, x, h),
            "The sign is wrong. Which of the two values comes first?",
        ),
    ),
)

# 9.2

COMPLEX_STEP = 1e-20


def _analytic(seed: int) -> tuple[Any, ...]:
    """A function and an array."""
    a, x = np.random.default_rng(seed).normal(size=(2, *SHAPES[seed]))

    def function(x: np.ndarray) -> Any:
        return np.sum(a * np.exp(x)) * np.sum(np.cos(x) / (2 + x**2))

    return function, x


def complex_step(function: Number, x: np.ndarray) -> np.ndarray:
    """The gradient of `function` at x, measured: Im function(x + ih e) / h for each entry e."""
    h = COMPLEX_STEP
    return np.array([function(x + 1j * h * e).imag / h for e in _entries(x)]).reshape(x.shape)


def _too_large(function: Number, x: np.ndarray) -> np.ndarray:
    h = 1e-3
    return np.array([function(x + 1j * h * e).imag / h for e in _entries(x)]).reshape(x.shape)


exercise_9_2 = Exercise(
    "9.2",
    "The complex step",
    returns="d_x",
    inputs=_analytic,
    solution=complex_step,
    mistakes=(
        Mistake(
            lambda function, x: COMPLEX_STEP * complex_step(function, x),
            "This is the imaginary part itself, about 1e-20. It is h times the slope.",
        ),
        Mistake(
            lambda function, x: np.array([function(x + COMPLEX_STEP * e) - function(x) for e in _entries(x)]).reshape(
                x.shape
            ),
            "All zero. A real step of 1e-20 is lost when it is added to x. Where is the i?",
        ),
        Mistake(
            lambda function, x: np.full(x.shape, function(x) / COMPLEX_STEP),
            "You took the real part. It is the value of the function, and the slope is in the other part.",
        ),
        Mistake(
            _too_large,
            "Nearly: the step is too large, and the error of about h² shows. Nothing is subtracted here, so h may be "
            "as small as 1e-20.",
        ),
        Mistake(
            lambda function, x: np.full(x.shape, complex_step(function, x).sum()),
            "You moved all entries together. That gives one slope, the sum of all. Move one entry at a time.",
        ),
    ),
)

# 9.3

Op = Callable[[np.ndarray], tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]]


def swish(x: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """x σ(x), entry by entry, and its backward, which is right."""
    s = 1 / (1 + np.exp(-x))
    return x * s, lambda d_out: d_out * (s + x * s * (1 - s))


def with_mistake(mistake: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Op:
    """`swish` whose gradient is changed to mistake(gradient, d_out)."""

    def op(x: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        out, backward = swish(x)
        return out, lambda d_out: mistake(backward(d_out), d_out)

    return op


def _first_entry_wrong(d_x: np.ndarray, d_out: np.ndarray) -> np.ndarray:
    d_x = d_x.copy()
    d_x.flat[0] += 0.1 * np.abs(d_x).max()
    return d_x


OPS: tuple[Op, ...] = (
    swish,
    with_mistake(lambda d_x, d_out: 1.003 * d_x),  # a small path forgotten
    with_mistake(lambda d_x, d_out: d_x / d_out),  # the upstream gradient ignored
    with_mistake(lambda d_x, d_out: np.flip(d_x)),  # the right numbers in the wrong places
    with_mistake(lambda d_x, d_out: np.abs(d_x)),
    with_mistake(_first_entry_wrong),
)


def _ops(seed: int) -> tuple[Any, ...]:
    """Operations, an array and an upstream gradient."""
    x, d_out = np.random.default_rng(seed).normal(size=(2, *SHAPES[seed]))
    return OPS, x, d_out


def _judge(accept: Callable[[np.ndarray, np.ndarray], Any], ones: bool = False) -> Callable[..., np.ndarray]:
    """A check that accepts an op if accept(gradient, measured gradient) is true."""

    def accepted(ops: tuple[Op, ...], x: np.ndarray, d_out: np.ndarray) -> np.ndarray:
        if ones:
            d_out = np.ones(d_out.shape)
        verdicts = []
        for op in ops:
            measured = central_differences(lambda x, op=op: np.sum(d_out * op(x)[0]), x, 1e-5)  # type: ignore[misc]
            verdicts.append(int(accept(op(x)[1](d_out), measured)))
        return np.array(verdicts)

    return accepted


def _close(tolerance: float) -> Callable[[np.ndarray, np.ndarray], Any]:
    return lambda got, measured: np.abs(got - measured).max() <= tolerance * np.abs(measured).max()


def _measured_without_upstream(ops: tuple[Op, ...], x: np.ndarray, d_out: np.ndarray) -> np.ndarray:
    measured = central_differences(lambda x: np.sum(swish(x)[0]), x, 1e-5)
    return np.array([int(_close(1e-6)(op(x)[1](d_out), measured)) for op in ops])


exercise_9_3 = Exercise(
    "9.3",
    "A check that can fail",
    returns="accepted",
    inputs=_ops,
    solution=_judge(_close(1e-6)),
    mistakes=(
        Mistake(
            _judge(lambda got, measured: True),
            "Everything is accepted, whatever is wrong with it. Is the gradient compared with a measured one, or with "
            "itself?",
        ),
        Mistake(
            lambda ops, x, d_out: np.zeros(len(ops), int),
            "Nothing is accepted, not even the right op. Differences have an error, too: is your tolerance above it?",
        ),
        Mistake(
            _measured_without_upstream,
            "The right op is not accepted. backward(d_out) is the gradient of the sum of d_out times the output. Did "
            "you measure that sum?",
        ),
        Mistake(
            _judge(_close(1e-2)),
            "An op passed whose gradient is wrong by a third of a percent. Which error do differences have here, and "
            "how far above it is your tolerance?",
        ),
        Mistake(
            _judge(_close(1e-6), ones=True),
            "An op passed that ignores its upstream gradient. With which upstream gradient can you not see that?",
        ),
        Mistake(
            _judge(lambda got, measured: abs(got.sum() - measured.sum()) <= 1e-6 * abs(measured.sum())),
            "An op passed that has the right numbers in the wrong places. A sum of all entries doesn't see places.",
        ),
        Mistake(
            _judge(lambda got, measured: np.median(np.abs(got - measured)) <= 1e-6 * np.abs(measured).max()),
            "An op passed with a single wrong entry. The largest error counts, not a typical one.",
        ),
    ),
)
