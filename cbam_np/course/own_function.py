"""The learner's own functions, to be called in chapters 7, 10 and 12."""

from collections.abc import Callable
from typing import Any

from cbam_np.arrays import Array, Backward
from cbam_np.attention.block import cbam
from cbam_np.course import my_file, solved
from cbam_np.course.judge import FORWARD, WAITS
from cbam_np.course.progress import UnusableFileError, verdicts

SAID = {WAITS: "right by itself, but it calls others of yours that aren't right yet", FORWARD: "no backward yet"}
KEYS = ("channel.w1", "channel.w2", "spatial.kernel")


def own_function(name: str = "cbam") -> Callable[..., Any]:
    """Your function of my_cbam.py if it is right; until then the package's block or check, and that is said."""
    function: Callable[..., Any]
    try:
        verdict = verdicts(my_file.find())[name]
        problem = "" if verdict.done else f"Your {name}: {SAID.get(verdict.state, verdict.state)}"
    except UnusableFileError as error:
        problem = str(error)
    if problem:
        print(f"{problem}. Until it is right, the package's takes its place.")
        function = package_cbam if name == "cbam" else getattr(solved, name)
        return function
    function = getattr(my_file.load(my_file.find()), name)
    return function


def package_cbam(f: Array, w1: Array, w2: Array, kernel: Array) -> tuple[Array, Backward]:
    """The package's block in the form of the course: backward returns d_f, d_w1, d_w2, d_kernel."""
    f2, block_backward = cbam(f, dict(zip(KEYS, (w1, w2, kernel), strict=True)))

    def backward(d_f2: Array) -> tuple[Array, ...]:
        d_f, grads = block_backward(d_f2)
        return d_f, *(grads[key] for key in KEYS)

    return f2, backward
