"""What the real CuPy has: names, parameters and dtype loops, as `dump_manifest.py` read them off the wheel."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

MANIFEST: dict[str, Any] = json.loads(Path(__file__).with_name("manifest.json").read_text("utf-8"))


def checked(name: str, parameters: str | None, run: Callable[..., Any]) -> Callable[..., Any]:
    """`run` behind CuPy's parameters: an argument that CuPy does not know is a TypeError, as it is there.

    parameters: as in a `def` line, or None for the few functions whose parameters the wheel does not tell.
    """
    if parameters is None:
        return run
    signature: inspect.Signature = inspect.signature(eval(f"lambda {parameters}: None"))

    def function(*args: Any, **kwargs: Any) -> Any:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name}: {error}; CuPy has {name}({parameters})") from None
        return run(*args, **kwargs)

    function.__name__ = name
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


def unknown_to_the_standin(name: str) -> Callable[..., Any]:
    """What stands for a function that CuPy has and the stand-in does not: no verdict at all rather than a wrong one."""

    def function(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"CuPy has {name}, the stand-in does not know it yet: add it there")

    return function
