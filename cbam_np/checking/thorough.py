"""Is this backward right? Finite differences, the complex step, and what is likely wrong if it is not.

A backward computes, for an upstream gradient d_out, the gradient g of the number

    L(x) = Σ d_out ⊙ op(x)

so along every direction v the slope of φ(t) = L(x + t v) at t = 0 has to be ⟨g, v⟩. It is measured in two
independent ways, by central differences and by the complex step. d_out is random: with d_out = 1 many true
gradients are zero or symmetric, and wrong ones pass.

Slopes are measured in float64 and compared with what backward returns in float64. The gradient of a
float32 or float16 input is then compared with that one, entry by entry.

Read `simple` first: it is the same check without all that makes this one long. What is added here: inputs of any size,
scale, dtype and library, the complex step, kinks, what else a backward promises, where a gradient is wrong, and why.
The work is done in the modules beside this one, see `cbam_np.checking`.
"""

from numbers import Real
from typing import Any

import numpy as np

from cbam_np.checking.comparison import Input
from cbam_np.checking.forms import AnyOp, Op, as_op
from cbam_np.checking.operation import Operation
from cbam_np.checking.report import COLOURED, Report, Row
from cbam_np.inputs import check_integer

__all__ = ["COLOURED", "Op", "Report", "Row", "gradcheck"]

STREAM = 2018  # random numbers of our own, or d_out would be the very x that a caller drew from the same seed


def gradcheck(op: AnyOp, *inputs: Any, seed: int = 0, max_entries: int = 256, tolerance: float | None = None) -> Report:
    """Check the backward of any `out, backward = op(*inputs)`.

    Also checked: shape, dtype and library of every gradient; that there are no others; that inputs, output and d_out
    stay as they are; that a second backward gives the same and leaves the first one's gradients alone.

    Where op has a kink (a tie in a maximum, the corner of ReLU) there is no derivative to compare with. Such an
    entry is counted and left out, unless its gradient is neither 0 nor between the slopes to both sides; where several
    kinks meet there are more slopes than these, and nothing is said. Entries at a kink are also moved together, along
    which a maximum has a slope again: each of them getting the full gradient is found.

    What no gradient check can see: which side is taken at a kink; branches that these inputs do not reach;
    a forward that computes the wrong thing, with a backward that agrees.

    Raises TypeError or ValueError, with the argument's name, for what cannot be checked: among others numbers below
    1e-150 or above 1e150.

    Parameters
    ----------
    op : function, pair of functions, or `torch.autograd.Function`
        A function that returns (out, backward). Or a pair (forward, backward): if forward returns (out, cache),
        backward takes (d_out, cache); if it returns out, backward takes (d_out, *inputs). It has to work in float64 as
        well, and to give the same output every time. `backward(d_out)` returns one gradient for each input, in order;
        a single gradient needs no tuple.
    *inputs : floats of any shape and library, or dicts, lists and tuples of them, nested
        Their gradients come back in the same structure. Anything else (None, a number, labels) is passed on to `op`
        and not differentiated. Use a lambda or functools.partial for keyword arguments.
    seed : int
        Of d_out and of the random directions.
    max_entries : int
        Inputs up to this size are checked entry by entry, larger ones at that many random entries; random directions
        through all entries are added in both cases.
    tolerance : float, optional
        Relative, instead of 1e-7 by differences, 1e-9 by the complex step, 1e-5 in float32, 1e-2 in float16.

    Returns
    -------
    report : Report
        Its first line says if something was not compared.
    """
    check_integer("seed", seed, least=0)
    check_integer("max_entries", max_entries, least=1)
    is_number = isinstance(tolerance, Real) and not isinstance(tolerance, bool)
    if tolerance is not None and not (is_number and 0 < tolerance < np.inf):
        raise ValueError(f"tolerance: expected a positive number such as 1e-7, or None, got {tolerance!r}")
    operation = Operation(as_op(op), inputs, np.random.default_rng([seed, STREAM]))
    about_others = {name: note for name, note in operation.broken.items() if name not in operation.leaves}
    rows = [Row(name, "contract", "wrong", np.inf, note=note) for name, note in about_others.items()]
    for name in operation.leaves:
        rows += Input(operation, name, max_entries, tolerance).rows()
    return Report(operation.name, tuple(rows))
