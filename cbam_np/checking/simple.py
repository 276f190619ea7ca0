"""The gradient check as one writes it on a blackboard: move one entry, see how far L moves, compare.

For an upstream gradient d_out, `backward` computes the gradient of L = Σ d_out ⊙ op(x). The slope of L along one entry
is measured by a central difference,

    ∂L/∂xᵢ ≈ (L(x + h eᵢ) - L(x - h eᵢ)) / (2h)

and that is done for every entry of every input. Three things make it a check: d_out is random, for with ones a wrong
backward often passes; every entry is measured; and it is done in float64, with h near the cube root of its precision.

What it lacks is in `cbam_np.gradcheck`: larger inputs, float32, steps that fit the inputs, kinks (at a tie it raises a
false alarm), a second method, what else a backward promises (nothing changed in place, the right dtype), and a guess at
what is wrong.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np


def simple_gradcheck(op: Callable[..., Any], *inputs: Any, seed: int = 0, h: float = 6e-6) -> float:
    """The largest error of the gradients of `out, backward = op(*inputs)`, relative to the largest slope of an input.

    A right gradient has an error of about 1e-9; a wrong one is rarely below 1e-3, so
    `simple_gradcheck(op, x) < 1e-6` is the test.

    Parameters
    ----------
    op : function that returns out, backward
    *inputs : float64 NumPy arrays of any shape, dicts of them, or None
        With entries of about size 1.
    seed : int
        Of d_out.
    h : float
        How far an entry is moved.
    """
    inputs = deepcopy(inputs)
    out, backward = op(*inputs)
    d_out = np.random.default_rng(seed).standard_normal(out.shape)
    gradients = backward(d_out)
    errors = [0.0]
    for x, d_x in _pairs(inputs, gradients if isinstance(gradients, tuple) else (gradients,)):
        slopes = np.zeros(x.shape)
        for i in np.ndindex(x.shape):
            x_i = x[i]
            x[i] = x_i + h
            above = np.sum(d_out * op(*inputs)[0])
            x[i] = x_i - h
            below = np.sum(d_out * op(*inputs)[0])
            x[i] = x_i
            slopes[i] = (above - below) / (2 * h)
        off = np.abs(d_x - slopes).max() if np.shape(d_x) == x.shape else np.inf
        errors.append(off / (np.abs(slopes).max() or 1.0))
    return float(np.max(errors))  # unlike Python's max, it returns NaN if any is NaN


def _pairs(inputs: tuple[Any, ...], gradients: tuple[Any, ...]) -> Iterator[tuple[Any, Any]]:
    """Every array with its gradient."""
    for x, d_x in zip(inputs, gradients, strict=False):
        if isinstance(x, dict):
            yield from ((x[key], d_x[key]) for key in x)
        elif x is not None:
            yield x, d_x
