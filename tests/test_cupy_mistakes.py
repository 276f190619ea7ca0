"""Mistakes that only CuPy punishes, planted in the operations one at a time: the tests notice each of them.

NumPy notices next to none: there the mistakes are not even mistakes. That is what the stand-in is for.
"""

import warnings
from typing import NamedTuple

import pytest
from backends import ALWAYS, CASES, compare, opened

from cbam_np.checking.mutants import Mutant, load


class Mistake(NamedTuple):
    """`right`, which occurs once in `file`, becomes `wrong`; `case` (of backends.CASES) runs through it."""

    file: str
    right: str
    wrong: str
    case: str


MISTAKES = {
    "np. for xp.": Mistake(
        "ops/activation.py",
        "    e = xp.exp(xp.where(positive, -z, z))",
        "    import numpy as np\n    e = np.exp(xp.where(positive, -z, z))",
        "sigmoid",
    ),
    "a list as operand": Mistake(
        "ops/pooling.py", "None, None] / H / W", "None, None] / [H] / [W]", "avg_pool_over_space"
    ),
    "a NumPy array as operand": Mistake(
        "ops/gating.py",
        "d_f = m * d_out",
        "import numpy as np; d_f = m * d_out * np.ones(f.shape[2:])",
        "gate by M_c",
    ),
    "np.asarray": Mistake(
        "ops/pooling.py",
        "winner = xp.argmax(real(x), axis=axis, keepdims=True)",
        "import numpy as np; winner = xp.asarray(np.argmax(np.asarray(x), axis=axis, keepdims=True))",
        "max_pool_over_space",
    ),
    ".item()": Mistake("ops/activation.py", "e) / (1 + e)", "e) / (xp.ones(()).item() + e)", "sigmoid"),
    "float()": Mistake("ops/activation.py", "real(z) >= 0", "real(z) >= float(xp.zeros(()))", "sigmoid"),
    "if on an array": Mistake(
        "ops/activation.py",
        "out = xp.where(off, xp.zeros_like(z), z)",
        "out = xp.where(off, xp.zeros_like(z), z) if xp.any(off) else z",
        "relu",
    ),
    "a boolean mask": Mistake(
        "ops/activation.py",
        "return xp.where(off, xp.zeros_like(d_out), d_out)",
        "d_z = d_out * 1.0; d_z[off] = 0.0; return d_z",
        "relu",
    ),
    "clip(min=)": Mistake("ops/activation.py", "xp.where(off, xp.zeros_like(z), z)", "xp.clip(z, min=0.0)", "relu"),
    "maximum.reduce": Mistake(
        "ops/pooling.py",
        "xp.max(x, axis=axis, keepdims=True)",
        "xp.maximum.reduce(x, axis=axis, keepdims=True)",
        "max_pool_over_channels",
    ),
    "sum(where=)": Mistake(
        "arrays.py", "keepdims=keepdims) / count", "keepdims=keepdims, where=x == x) / count", "avg_pool_over_space"
    ),
    "take(mode=)": Mistake(
        "ops/joining.py", "d_out[:, :A, ...]", 'xp.take(d_out, xp.arange(A), axis=1, mode="clip")', "concat"
    ),
    "take beyond the end": Mistake(
        "ops/joining.py",
        "d_out[:, A:, ...]",
        "xp.take(d_out, xp.arange(A, out.shape[1] + 1), axis=1)[:, :-1]",
        "concat",
    ),
    "one entry written twice": Mistake(
        "arrays.py",
        "xp.put_along_axis(out, index, values, axis)",
        "twice = xp.concat([index, index], axis=axis)\n"
        "        xp.put_along_axis(out, twice, xp.concat([values * 0, values], axis=axis), axis)",
        "max_pool_over_space",
    ),
    "unwritten memory": Mistake(
        "arrays.py",
        "xp.zeros(shape, dtype=values.dtype)",
        "xp.empty(shape, dtype=values.dtype) * 0",
        "max_pool_over_space",
    ),
}


def noticed(mistake: Mistake, name: str) -> bool:
    """Whether the comparison that every operation goes through on every array library fails; warnings don't count."""
    package = load(Mutant(mistake.case, f"cbam_np/{mistake.file}", mistake.right, mistake.wrong, ""))
    try:
        with opened(name) as backend, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compare(CASES[mistake.case], backend, package)
    except Exception:
        return True
    return False


@pytest.mark.parametrize("name", MISTAKES)
def test_the_standin_notices(name: str) -> None:
    assert noticed(MISTAKES[name], "cupy-standin")


NOTICED_ELSEWHERE = {
    "numpy": {"take beyond the end"},
    "torch": {"a list as operand", "maximum.reduce", "sum(where=)", "take(mode=)", "take beyond the end"},
    "array-api-strict": {
        *("a list as operand", "maximum.reduce", "sum(where=)", "take(mode=)", "take beyond the end"),
        *("np. for xp.", "a NumPy array as operand", ".item()", "a boolean mask"),
    },
}
NOTICED_ELSEWHERE["array-api-strict:device1"] = {*NOTICED_ELSEWHERE["array-api-strict"], "np.asarray"}


@pytest.mark.parametrize("backend", NOTICED_ELSEWHERE)
def test_the_other_libraries_notice_less(backend: str) -> None:
    by_chance = {"unwritten memory"}  # which may hold zeros, or anything
    found = {name for name in MISTAKES.keys() - by_chance if noticed(MISTAKES[name], backend)}
    assert found == NOTICED_ELSEWHERE[backend]


@pytest.mark.parametrize("backend", ALWAYS)
def test_nothing_is_noticed_where_nothing_is_wrong(backend: str) -> None:
    harmless = Mistake("ops/activation.py", "off = real(z) <= 0", "off = 0 >= real(z)", "relu")
    assert not noticed(harmless, backend)
