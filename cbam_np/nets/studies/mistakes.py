"""Networks with a mistake in their backward pass."""

import sys
from functools import cache
from importlib import import_module
from typing import Any

from cbam_np.checking.mutants import Mutant, load_module


@cache
def nets_with(file: str, original: str, replacement: str) -> Any:
    """A second copy of `cbam_np.nets`, in memory, from a package in which `original` became `replacement`."""
    return load_module(Mutant("", file, original, replacement, ""), "cbam_np.nets")
