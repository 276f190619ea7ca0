"""The short answers of chapters 0 to 6: each function returns None if the value is right, else what differs."""

from typing import Any

import numpy as np


def _differs(value: Any, expected: Any, question: str, tolerance: float = 1e-9) -> str | None:
    """None if the numbers agree; else a fact about the first that does not, and a question that helps."""
    value, expected = np.asarray(value, dtype=float), np.asarray(expected, dtype=float)
    if value.shape != expected.shape:
        wanted = "one number" if expected.ndim == 0 else f"{expected.size} numbers"
        got = "one number" if value.ndim == 0 else f"{value.size} numbers"
        return f"Expected {wanted}, got {got}."
    wrong = np.flatnonzero(~(np.abs(value - expected) <= tolerance))
    if not wrong.size:
        return None
    which = "" if value.ndim == 0 else f"Number {wrong[0] + 1} of {value.size} is not {value.ravel()[wrong[0]]:g}. "
    return which + question


def a_0_1(value: Any) -> str | None:
    """The number of gates in M_c and in M_s."""
    return _differs(value, (128, 420), "How many pictures are there, and how many gates does each of them have?")


def a_0_2(value: Any) -> str | None:
    """D_x for x = 1, w = -ln 3, dy = 16."""
    exact = 4 - 3 * np.log(3)
    paths = {"the direct path": 4.0, "the map path": -3 * np.log(3)}
    for name, part in paths.items():
        if abs(float(value) - part) < 0.006:
            return f"{part:.2f} is what arrives on {name}. Does x have another way to y?"
    return _differs(value, exact, "Write down s, g, dg and ds, one after the other. What is g for s = -ln 3?", 0.006)


def a_1_1(value: Any) -> str | None:
    """The bottom right entry of F″ in both channels."""
    return _differs(value, (6, 1.5), "Start from F at the bottom right. Which gate of M_c, and which of M_s, meet it?")


def a_2_1(value: Any) -> str | None:
    """The gradients of the largest pixel, and of another one."""
    return _differs(value, (13, 1), "What does this pixel get through the average, and what through the maximum?")


def a_2_2(value: Any) -> str | None:
    """Which channel wins after the gates."""
    return _differs(value, 1, "Formula (9) reads F′. What are the two values there?")


def a_3_1(value: Any) -> str | None:
    """The number of weights of the MLP."""
    return _differs(value, 512, "How many rows and columns has W1 for C = 64 and r = 16? And W2?")


def a_3_2(value: Any) -> str | None:
    """The gradient of the average through the MLP."""
    return _differs(value, (4, 0, 4, 0), "What is dh? Which of the hidden units was on, so that dh gets through to dz?")


def a_4_1(value: Any) -> str | None:
    """The axis along which M_s is repeated."""
    return _differs(value, 1, "Along which axis has M_s the length 1? Count from 0.")


def a_4_2(value: Any) -> str | None:
    """The gradient of the two gates."""
    return _differs(
        value, (16, -16), "Multiply dF′ and F pixel by pixel. What do the products of one channel add up to?"
    )


def a_5_1(value: Any) -> str | None:
    """Two entries of the convolution on paper."""
    return _differs(value, (4, 5), "Which number is above it, and which is to its right? Outside there are zeros.")


def a_5_2(value: Any) -> str | None:
    """The column where the pixel 7 is."""
    return _differs(value, 9, "Find i and j first. How many columns does each row of the picture take?")


def a_6_1(value: Any) -> str | None:
    """The gradient of the kernel's middle entry."""
    return _differs(value, 11, "Next to which entry of x is K[1] in each of the three lines? What is du of that line?")


def a_6_2(value: Any) -> str | None:
    """The gradient of an entry of x."""
    return _differs(value, -5, "In which of the three lines does x[3] occur, and next to which entry of K?")
