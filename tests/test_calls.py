"""What is said about the operations that a learner's function calls: both sides, what fits and what doesn't."""

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
import pytest

from cbam_np.course import solved
from cbam_np.course.calls import misfits, misuse
from cbam_np.course.exercises import EXERCISES
from cbam_np.course.judge import judge

CASE = EXERCISES["spatial_attention"].cases[0]  # N = 3, C = 8, H = 10, W = 13, k = 5
x, maps, kernel = np.zeros((3, 8, 10, 13)), np.zeros((3, 2, 10, 13)), np.zeros((1, 2, 5, 5))


def of_the_file(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as if it were in a file with all the others, right."""
    return FunctionType(function.__code__, {**vars(solved), "Any": Any}, function.__name__)


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_right_functions_call_others_as_these_are_made(exercise: Any) -> None:
    assert misuse(exercise, of_the_file(exercise.solution)) == ("", ())


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("conv2d", (maps, kernel), ""),
        ("conv2d", (x, kernel), "conv2d gets x: (N, C, H, W), kernel: (1, 2, k, k); it is made for x: (N, C, H, W)"),
        ("conv2d", (maps[:, :, None], kernel), "conv2d gets x: (N, 2, 1, H, W)"),
        ("gate", (maps[:, :1], x), ""),
        ("gate", (x[:, :, :1, :1], x), ""),
        ("gate", (x, maps[:, :1]), "gate gets m: (N, C, H, W), f: (N, 1, H, W)"),
        ("sigmoid", (np.zeros((3, 8, 1, 1)),), ""),
        ("relu", (np.zeros(2),), ""),
        ("im2col", (maps, 5), ""),
        ("im2col", (maps, 2), "im2col gets k = 2; here k is 5"),
        ("col2im", (np.zeros((3, 50, 130)), (3, 2, 10, 13), 5), ""),
        ("col2im", (np.zeros((3, 50, 130)), [3, 2, 10, 13], 5), ""),
        ("col2im", (np.zeros((3, 50, 130)), (3, 2, 14, 17), 5), "shape: (N, 2, 14, 17)"),
        ("mlp", ((x, misuse), kernel, kernel), "mlp gets a tuple for x: an output and its backward"),
    ],
)
def test_arguments_fit_by_their_shapes(name: str, arguments: tuple[Any, ...], said: str) -> None:
    facts = [fact for fact, _, _ in misfits(name, arguments, CASE)]
    assert said in facts[0] if said else facts == []


def overwritten(f: Any, w1: Any, w2: Any, kernel: Any) -> Any:
    f1, back = channel_attention(f, w1, w2)  # type: ignore[name-defined] # noqa: F821
    f2, back = spatial_attention(f1, kernel)  # type: ignore[name-defined] # noqa: F821

    def backward(d_f2: Any) -> Any:
        d_f1, d_kernel = back(d_f2)
        d_f, d_w1, d_w2 = back(d_f1)
        return d_f, d_w1, d_w2, d_kernel

    return f2, backward


def test_a_backward_that_is_called_twice_in_place_of_another_is_told() -> None:
    finding = judge(EXERCISES["cbam"], of_the_file(overwritten)).finding
    assert finding.named == "the backward of spatial_attention is called 2 times, that of channel_attention never"
    assert "writes over the first" in finding.hints[0]


def test_the_file_is_as_it_was_afterwards() -> None:
    function = of_the_file(overwritten)
    before = dict(function.__globals__)
    misuse(EXERCISES["cbam"], function)
    assert function.__globals__ == before
