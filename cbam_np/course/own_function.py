"""The learner's own cbam as a function, for chapter 12."""

from collections.abc import Callable
from typing import Any

from cbam_np.arrays import Array, Backward
from cbam_np.attention.block import cbam
from cbam_np.course import my_file
from cbam_np.course.progress import UnusableFileError, verdicts

KEYS = ("channel.w1", "channel.w2", "spatial.kernel")


def own_function(name: str = "cbam") -> Callable[..., Any]:
    """Your function of my_cbam.py if it is right; until then the package's block, and that is said."""
    try:
        verdict = verdicts(my_file.find())[name]
        problem = "" if verdict.done else f"your {name} is {verdict.state}"
    except UnusableFileError as error:
        problem = str(error)
    if problem:
        print(f"{problem}. Until it is right, the package's own block takes its place.")
        return package_cbam
    function: Callable[..., Any] = getattr(my_file.load(my_file.find()), name)
    return function


def package_cbam(f: Array, w1: Array, w2: Array, kernel: Array) -> tuple[Array, Backward]:
    """The package's block in the form of the course: backward returns d_f, d_w1, d_w2, d_kernel."""
    f2, block_backward = cbam(f, dict(zip(KEYS, (w1, w2, kernel), strict=True)))

    def backward(d_f2: Array) -> tuple[Array, ...]:
        d_f, grads = block_backward(d_f2)
        return d_f, *(grads[key] for key in KEYS)

    return f2, backward
