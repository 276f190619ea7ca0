"""A stand-in for CuPy, so that tests on a machine without a GPU notice what would fail on one with it.

It computes with NumPy, but behind CuPy's door: `installed()` puts a module under the name `cupy` whose arrays are a
class of their own, which

- has CuPy's names, parameters and dtype loops and no others (`manifest.json`, dumped from the real wheel),
- refuses to become a NumPy array, and NumPy arrays as operands, as CuPy does,
- refuses `np.` functions, which CuPy takes over silently,
- refuses indices that CuPy would silently wrap around, and writing one entry twice, which CuPy leaves undefined,
- fills unwritten memory with NaN,
- gives 0-d arrays where NumPy gives scalars, and notes in `syncs` whatever makes the host wait for the device, and in
  `uploads` whatever copies to it.

It says nothing about kernels, speed, memory or the order of floating-point sums: passing here is not passing on CuPy.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import array_api_compat
import array_api_compat.common._helpers as compat_helpers

from cbam_np.checking.cupy_standin.device_array import StandinError, syncs, uploads
from cbam_np.checking.cupy_standin.manifest import MANIFEST
from cbam_np.checking.cupy_standin.namespace import MODULES

__all__ = ["MANIFEST", "StandinError", "installed", "syncs", "uploads"]

_ADAPTER: dict[str, ModuleType] = {}  # array_api_compat.cupy, made for the stand-in once


@contextmanager
def installed() -> Iterator[Any]:
    """The stand-in as `cupy`, for array_api_compat as well; everything is put back afterwards, a real CuPy included."""
    real = _exchange({**MODULES, **_ADAPTER})
    syncs.clear()
    uploads.clear()
    try:
        yield MODULES["cupy"]
    finally:
        ours = _exchange(real)
        _ADAPTER.update({name: ours[name] for name in ours if name.startswith("array_api_compat")})


def _exchange(modules: dict[str, ModuleType]) -> dict[str, ModuleType]:
    """Put `modules` in the place of all that belong to CuPy; returns those."""
    names = [name for name in sys.modules if f"{name}.".startswith(("cupy.", "array_api_compat.cupy."))]
    removed = {name: sys.modules.pop(name) for name in names}
    sys.modules.update(modules)
    vars(array_api_compat).pop("cupy", None)
    if "array_api_compat.cupy" in modules:
        vars(array_api_compat)["cupy"] = modules["array_api_compat.cupy"]
    for helper in vars(compat_helpers).values():
        if hasattr(helper, "cache_clear"):  # it remembers for each class which library the class belongs to
            helper.cache_clear()
    return removed
