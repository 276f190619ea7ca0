"""Networks with a mistake in their backward pass."""

from functools import cache
from typing import Any

from cbam_np.checking.mutants import Mutant, load


@cache
def nets_with(file: str, original: str, replacement: str) -> Any:
    """A second copy of `cbam_np.nets`, in memory, from a package in which `original` became `replacement`."""
    return load(Mutant("", file, original, replacement, ""), "cbam_np.nets").nets
