"""Short answers typed into a notebook: `answer("3.1", value)`.

An answer is registered as a function `a_3_1(value)` in `answers_a` or `answers_b`. It returns None if the value is
right, and otherwise what differs, in a sentence.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import EllipsisType

MODULES = ("cbam_np.course.answers_a", "cbam_np.course.answers_b")


def registered() -> dict[str, Callable[[object], str | None]]:
    """All of them by number."""
    modules = [import_module(name) for name in MODULES if find_spec(name)]
    found = {name: value for module in modules for name, value in vars(module).items() if name.startswith("a_")}
    return {name.removeprefix("a_").replace("_", "."): function for name, function in found.items()}


def answer(number: str, value: object) -> None:
    """Say whether `value` is the answer to question `number`, and if not, what differs. Never raises.

    `...` counts as not answered yet, and so does a function that raises NotImplementedError.
    """
    known = registered()
    if number not in known:
        print(f"{number}: there is no such question; there are {', '.join(sorted(known))}")
    elif isinstance(value, EllipsisType):
        print(f"{number}: not answered yet")
    else:
        try:
            problem = known[number](value)
        except NotImplementedError:
            print(f"{number}: not written yet")
            return
        except Exception as error:  # a value of a kind that nobody expected
            problem = f"this can't be compared with the answer ({type(error).__name__}: {error})"
        print(f"{number}: {'right' if problem is None else f'not right yet. {problem}'}")
