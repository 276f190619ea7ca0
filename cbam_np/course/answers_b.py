"""The short answers of chapters 7 to 12: each function says what differs, or None if the value is right."""

from typing import Any

import numpy as np

from cbam_np.course.portable import not_portable


def _number(value: Any, right: float, tolerance: float, hints: dict[float, str], otherwise: str) -> str | None:
    """None if the value is right; else the hint for the known mistake that gives just this value, or `otherwise`."""
    got = float(value)
    if abs(got - right) <= tolerance:
        return None
    return next((hint for wrong, hint in hints.items() if abs(got - wrong) <= tolerance), otherwise)


def a_10_1(value: Any) -> str | None:
    """W1 (4, 16), W2 (16, 4) and a kernel (1, 2, 7, 7): 2C²/r + 2k²."""
    return _number(
        value,
        226,
        0,
        {
            128: "That is W1 and W2. What else does the block learn?",
            177: "The kernel has one channel for the average and one for the maximum.",
            290: "The MLP is shared: W1 and W2 are there once for both pooled vectors.",
            354: "The MLP is shared: W1 and W2 are there once for both pooled vectors.",
        },
        f"Got {value}. Write down the three shapes: W1 (C/r, C), W2 (C, C/r), kernel (1, 2, 7, 7).",
    )


def a_10_2(value: Any) -> str | None:
    """-ln(1/10)."""
    return _number(
        value,
        float(np.log(10)),
        0.006,
        {
            1.0: "That is the logarithm to base 10. The loss has the natural one.",
            -float(np.log(10)): "Only the sign: the loss is minus the logarithm.",
            0.1: "That is the probability. What is -ln of it?",
        },
        f"Got {value}. Each class has the probability 1/10. What is -ln(1/10)?",
    )


def a_10_3(value: Any) -> str | None:
    """v = 0.9 · 0.2 + 0.5, w = 1 - 0.1 · v."""
    if not isinstance(value, tuple) or len(value) != 2:
        return f"Expected two numbers, the new w and the new v, got {value!r}."
    w, v = (float(x) for x in value)
    if np.allclose([w, v], [0.932, 0.68]):
        return None
    if np.allclose([w, v], [0.68, 0.932]):
        return "Both numbers are right; return w first, then v."
    if not np.isclose(v, 0.68):
        return f"v: expected 0.9 · 0.2 + 0.5 = 0.68, got {v:.4g}."
    if np.isclose(w, 0.98):
        return "v is right. But w took its step with the old v; the new one comes first."
    if np.isclose(w, 1.068):
        return "v is right. The step goes against the gradient: which sign?"
    return f"v is right. w: expected 1 - 0.1 · v with the new v, got {w:.4g}."


def a_10_4(value: Any) -> str | None:
    """A step with momentum for arrays, after the step before it, which left a velocity."""
    w, d_w, v = np.random.default_rng(0).normal(size=(3, 2, 3))
    before = w.copy(), d_w.copy(), v.copy()
    got = value(w, d_w, v, 0.1)
    if not isinstance(got, tuple) or len(got) != 2:
        return f"Expected two arrays, the new w and the new v, got {describe_value(got)}."
    if not all(np.array_equal(x, y) for x, y in zip((w, d_w, v), before, strict=True)):
        return "It changes what it is given. Write v = ... and not v += ..., which changes the caller's array."
    new_v = 0.9 * v + d_w
    if not np.allclose(got[1], new_v):
        return "v: expected 0.9 · v + dw, in every entry."
    if np.allclose(got[0], w - 0.1 * v):
        return "v is right. But w took its step with the old v; the new one comes first."
    return None if np.allclose(got[0], w - 0.1 * new_v) else "v is right. w: expected w - lr · v with the new v."


def a_7_1(value: Any) -> str | None:
    """(56 · 56) rows and (64 · 56 · 56) columns."""
    rows, columns = 56 * 56, 64 * 56 * 56
    return _number(
        value,
        rows * columns,
        0,
        {
            rows: "That is the number of rows.",
            columns: "That is the number of columns.",
            columns**2: "Are there 64 channels in M_s, too?",
            rows + columns: "A matrix has rows times columns entries.",
        },
        f"Got {value}. M_s of one sample has 56 · 56 entries, F′ has 64 times as many.",
    )


def a_7_2(value: Any) -> str | None:
    """Three paths from F″ to F′, then three from F′ to F."""
    return _number(
        value,
        9,
        0,
        {6: "After each of the three paths to F′, there are three to F. They multiply."},
        f"Got {value}. Count the paths from F″ to F′, and the paths from F′ to F. Each may follow each.",
    )


def a_8_1(value: Any) -> str | None:
    """3e-9 against 3e-12, to a power of ten."""
    got = float(value)
    if 300 < got < 3000:
        return None
    return f"Got {value}. Read the lowest points of both V shapes on the axis on the left, and divide them."


def a_8_2(value: Any) -> str | None:
    """|x + iε| is real."""
    return _number(
        value,
        0,
        1e-9,
        {1.0: "That is the true slope. What is the imaginary part of a real number?"},
        f"Got {value}. |2 + iε| is a real number. What is its imaginary part?",
    )


def a_8_3(value: Any) -> str | None:
    """Only "d" is right."""
    if not isinstance(value, str):
        return f'Expected letters such as "bf", got {value!r}.'
    got = set(value.lower()) - set(" ,")
    if got == {"d"}:
        return None
    if "d" not in got:
        return (
            '"d" is the right one, and your check rejects it. How large is its error, and what do you compare it with?'
        )
    missed = {
        "a": "all entries 0.3 % too large",
        "b": "d_out ignored",
        "c": "the right numbers in the wrong places",
        "e": "no signs",
        "f": "one entry wrong by 0.001",
    }
    return "; ".join(f'"{name}" is wrong: {missed[name]}' for name in sorted(got - {"d"}) if name in missed) + "."


def a_11_1(value: Any) -> str | None:
    """2k²."""
    return _number(
        value,
        98,
        0,
        {
            49: "The kernel has two input channels, the average and the maximum.",
            100: "The convolution has no bias.",
            99: "The convolution has no bias.",
        },
        f"Got {value}. Subtract the two formulas of the table.",
    )


def a_12_1(value: Any) -> str | None:
    """g = 3/2, kernel 0.75, bias 1 - 4.5."""
    if not isinstance(value, tuple) or len(value) != 2:
        return f"Expected a pair, the kernel entry and the bias, got {value!r}."
    entry, bias = (float(x) for x in value)
    if np.allclose([entry, bias], [0.75, -3.5]):
        return None
    if np.isclose(entry, 0.375):
        return "g = γ/√v, and not γ/v. The variance is a square."
    if not np.isclose(entry, 0.75):
        return f"The kernel entry: expected g times 0.5 with g = γ/√v, got {entry:g}."
    if np.isclose(bias, -2):
        return "The entry is right. In the bias the mean is multiplied by g, too."
    if np.isclose(bias, 5.5):
        return "The entry is right. The mean is subtracted before β is added: check the sign."
    return f"The entry is right. The bias: expected β - g·μ, got {bias:g}."


def a_A2_1(value: Any) -> str | None:
    """One entry; 7 · 7 pixels in all 3 channels; 7 · 7 pixels in the largest channel of each."""
    if not isinstance(value, tuple) or len(value) != 3:
        return f"Expected three numbers, for direct, average and maximum path, got {value!r}."
    direct, average, maximum = (int(x) for x in value)
    if direct != 1:
        return (
            f"The direct path: got {direct}. F″ is a product entry by entry: how many entries of F′ does one of F″ see?"
        )
    if average != 147:
        return f"The average path: got {average}. The gate of a pixel sees 7·7 pixels. In how many channels?"
    if maximum != 49:
        return f"The maximum path: got {maximum}. At each of the 7·7 pixels, how many channels get something?"
    return None


def a_A1_1(value: Any) -> str | None:
    """A map of each sample stretched to [0, 1], on any array, without looking at a value."""
    m = np.random.default_rng(0).normal(size=(3, 1, 4, 5))
    m[1] = 2.0
    low = m.min(axis=(1, 2, 3), keepdims=True)
    span = m.max(axis=(1, 2, 3), keepdims=True) - low
    expected = (m - low) / np.where(span > 0, span, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        got = value(m.copy())
    if not isinstance(got, np.ndarray) or got.shape != m.shape:
        return f"On a NumPy array of shape {m.shape}: expected an array of that shape, got {describe_value(got)}."
    if np.isnan(got[1]).any():
        return "On NumPy: sample 1 is constant, and 0/0 is NaN there. Divide by 1 where the span is 0."
    if not np.allclose(got, expected, rtol=1e-12, atol=1e-12):
        sample = next(n for n in range(3) if not np.allclose(got[n], expected[n], rtol=1e-12, atol=1e-12))
        ends = f"{got[sample].min():.3g} to {got[sample].max():.3g}"
        return f"On NumPy: sample {sample} runs from {ends}. Each sample has its own minimum and maximum."
    return not_portable(value, (m,)) or None


def describe_value(value: Any) -> str:
    """Its shape if it is an array, else its type."""
    return f"shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
