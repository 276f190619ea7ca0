"""Write `manifest.json`: what the real CuPy has, and what it answers to the snippets as far as it gets without a GPU.

    python -m venv wheel && wheel/bin/pip install cupy-cuda13x
    wheel/bin/python cbam_np/checking/cupy_standin/dump_manifest.py

The wheel can be imported on any machine. An array on a made-up address can even be constructed there: what checks
its arguments first then raises the real error, and what gets past its checks fails when it touches the device.
"""

import inspect
import json
import re
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from snippets import SNIPPETS, host, inputs  # type: ignore[import-not-found]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # CuPy says that it finds no CUDA
    import cupy
    import cupy.lib.stride_tricks

WHEEL = "cupy-cuda13x"


def parameters(function: Any) -> str | None:
    """The parameters as in a `def` line; Cython methods tell them in the first line of their docstring."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        found = re.match(r"\w+\.\w+\(self,? ?(.*?)\)", function.__doc__ or "")
        return re.sub(r"\b[\w.]+ (?=\w+(,|=|$))", "", found[1]) if found else None
    plain = [plainly(p) for name, p in signature.parameters.items() if name != "self"]
    return str(signature.replace(parameters=plain, return_annotation=signature.empty))[1:-1]


def plainly(parameter: inspect.Parameter) -> inspect.Parameter:
    """Without annotation; None for a default that is no literal: only whether there is one matters."""
    literal = parameter.default is parameter.empty or isinstance(parameter.default, str | int)
    return parameter.replace(annotation=parameter.empty, default=parameter.default if literal else None)


def describe(module: Any, name: str, twin: Any) -> Any:
    """A word for NumPy's own object, a dict for a ufunc, a string of parameters for a function, else None."""
    value = getattr(module, name)
    if value is getattr(twin, name, None) or isinstance(value, int | float | complex):
        return "numpy" if hasattr(twin, name) else None
    if isinstance(value, cupy.ufunc):  # E is bfloat16, which NumPy does not have and CuPy only beside ml_dtypes
        loops = [loop(kind, op) for kind, op in zip(value.types, value._ops.ops, strict=True) if "E" not in kind]
        return {"nin": value.nin, "loops": " ".join(loops), "at": value._scatter_op}
    return parameters(value) if callable(value) and not isinstance(value, type) else None


def loop(kind: str, op: Any) -> str:
    """A dtype loop, "dd->d"; one that only raises, like -x for bool, loses its result: "?->"."""
    return kind.split(">")[0] + ">" if op.error_func else kind


def contents(module: Any, twin: Any) -> dict[str, Any]:
    return {name: describe(module, name, twin) for name in dir(module) if not name.startswith("_")}


def methods() -> dict[str, Any]:
    names = [name for name in dir(cupy.ndarray) if not name.startswith("_")]
    return {n: parameters(getattr(cupy.ndarray, n)) if callable(getattr(cupy.ndarray, n)) else None for n in names}


def array_at_no_address(shape: tuple[int, ...], dtype: str) -> Any:
    memory = cupy.cuda.UnownedMemory(1 << 30, 1 << 20, None, device_id=0)
    return cupy.ndarray(shape, dtype, memptr=cupy.cuda.MemoryPointer(memory, 0))


def answer(code: str) -> str:
    """The name of the error; "ok"; or "device", when CuPy accepts the arguments and then misses the GPU."""
    arrays = {name: array_at_no_address(x.shape, x.dtype.str) for name, x in inputs().items()}
    try:
        exec(code, {"cp": cupy, "np": np, "n": host(), **arrays})
    except (cupy.cuda.runtime.CUDARuntimeError, ImportError):  # ImportError: cuBLAS is loaded on first use
        return "device"
    except Exception as error:
        return type(error).__name__
    return "ok"


if __name__ == "__main__":
    manifest = {
        "wheel": f"{WHEEL} {version(WHEEL)}",
        "version": cupy.__version__,
        "numpy": np.__version__,
        "cupy": contents(cupy, np),
        "cupy.linalg": contents(cupy.linalg, np.linalg),
        "cupy.lib.stride_tricks": contents(cupy.lib.stride_tricks, np.lib.stride_tricks),
        "cupy.fft": contents(cupy.fft, np.fft),
        "cupy.random": contents(cupy.random, np.random),
        "ndarray": methods(),
        "answers": {snippet.code: answer(snippet.code) for snippet in SNIPPETS},
    }
    text = json.dumps(manifest, indent=0, separators=(",", ":"), ensure_ascii=False)
    Path(__file__).with_name("manifest.json").write_text(text + "\n", "utf-8")
