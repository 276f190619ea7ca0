"""The whole block, formulas (1) to (11), computed by compiled loops."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from cbam_np.arrays import Array, Backward, Params, describe
from cbam_np.attention.checks import check_block
from cbam_np.inputs import CHANNEL, SPATIAL, Ties, check_params, checked

DTYPES = (np.float32, np.float64)
REMEDY = "take cbam_np.cbam, or CBAM(...) without fused=True"
WORTH_A_THREAD = 2**16  # entries of F


@cache
def compiled_loops() -> ModuleType:
    """The module `cbam_np.fused.loops`. Importing it imports Numba: raises RuntimeError if that cannot be imported."""
    try:
        return import_module("cbam_np.fused.loops")
    except ImportError as error:
        raise RuntimeError(
            f'the compiled loops need Numba, which cannot be imported ({error}): pip install -e ".[fast]", or {REMEDY}'
        ) from error


def check_usable(dtype: Any) -> None:
    """Raise RuntimeError without Numba, ValueError unless there are compiled loops for a block of this dtype."""
    compiled_loops()
    if np.dtype(dtype) not in DTYPES:
        raise ValueError(f"dtype: expected float32 or float64 with fused=True, got {dtype!r}")


def check_fused(f: Array, params: Params, ties: Ties = "first", maps: Params | None = None) -> None:
    """Raise TypeError or ValueError unless these are inputs of the block, and NumPy arrays of float32 or float64."""
    check_block(f, params, ties, maps)
    if not isinstance(f, np.ndarray):
        raise TypeError(f"f: expected NumPy arrays for the compiled loops, got {describe(f)}; {REMEDY}")
    if f.dtype not in DTYPES:
        raise TypeError(
            f"f: expected float32 or float64 for the compiled loops, got {describe(f)}; "
            f'cast f and all parameters: f.astype("float32"), or {REMEDY}'
        )


@checked(check_fused)
def cbam(f: Array, params: Params, ties: Ties = "first", maps: Params | None = None) -> tuple[Array, Backward]:
    """What `cbam_np.cbam` computes, several times faster: F is read three times forward and twice backward.

        F′ = M_c(F) ⊗ F
        F″ = M_s(F′) ⊗ F′

    F′ is not stored, and backward needs only F, the two maps and a few vectors besides; `cbam_np.fused.loops` derives
    why. f and d_f2 are copied if they are not contiguous, or read-only.
    `numba.get_num_threads()` threads share the samples; the result is the same for any number of them.
    Raises TypeError also for arrays of another library or dtype, RuntimeError without Numba.

    Parameters
    ----------
    f : float32 or float64 NumPy array (N, C, H, W)
    params : dict of such arrays
        As in `cbam_np.cbam`.
    ties : "first" or "split"
        Which entry gets the gradient where several tie for a maximum, see `max_pool_over_space`.
    maps : dict, optional
        M_c (N, C, 1, 1) and M_s (N, 1, H, W) are stored in it as "channel" and "spatial".

    Returns
    -------
    f2 : same dtype, (N, C, H, W)
    backward : d_f2 -> d_f, grads
        grads is a dict with the gradient of every parameter.
    """
    loops = compiled_loops()
    N, C, H, W = f.shape
    given = check_params(params, CHANNEL + SPATIAL)
    units, k = params["channel.w1"].shape[0], params["spatial.kernel"].shape[-1]

    def empty(*shape: int) -> np.ndarray:
        return np.empty(shape, f.dtype)

    def parameter(key: str, *shape: int) -> np.ndarray:
        return _plain(params[key]).reshape(shape) if key in given else np.zeros(shape, f.dtype)

    features = _plain(f).reshape(N, C, H * W)
    weights = loops.Weights(
        w1=parameter("channel.w1", units, C),
        w2=parameter("channel.w2", C, units),
        b1=parameter("channel.b1", units),
        b2=parameter("channel.b2", C),
        kernel=parameter("spatial.kernel", 2, k, k),
        bias=parameter("spatial.bias", 1),
    )
    kept = loops.Kept(
        pooled_c=empty(N, 2, C),
        hidden=empty(N, 2, units),
        m_c=empty(N, C),
        slope_c=empty(N, C),
        pooled_s=empty(N, 2, H * W),
        m_s=empty(N, H * W),
        slope_s=empty(N, H * W),
    )
    f2 = empty(N, C, H, W)

    def forward_of(some: slice) -> None:
        loops.forward(features[some], W, weights, _of(kept, some), f2.reshape(features.shape)[some])

    _share_out(forward_of, f)
    if maps is not None:
        maps["channel"] = kept.m_c[:, :, None, None]
        maps["spatial"] = kept.m_s.reshape(N, 1, H, W)

    def backward(d_f2: Array) -> tuple[Array, Params]:
        d_features2 = _plain(d_f2).reshape(features.shape)
        d = loops.Gradients(d_z_c=empty(N, C), d_hidden=empty(N, 2, units), d_kernel=empty(N, 2, k, k), d_bias=empty(N))
        d_f = empty(N, C, H, W)

        def backward_of(some: slice) -> None:
            d_features = d_f.reshape(features.shape)[some]
            split = ties == "split"
            loops.backward(
                features[some], d_features2[some], W, weights, _of(kept, some), split, _of(d, some), d_features
            )

        _share_out(backward_of, f)
        d_w1, d_w2 = empty(units, C), empty(C, units)
        loops.weights_backward(d.d_z_c, d.d_hidden, kept.pooled_c, kept.hidden, d_w1, d_w2)
        grads = {
            "channel.w1": d_w1,
            "channel.w2": d_w2,
            "channel.b1": d.d_hidden.sum(axis=(0, 1)),
            "channel.b2": 2 * d.d_z_c.sum(axis=0),
            "spatial.kernel": d.d_kernel.sum(axis=0)[None],
            "spatial.bias": d.d_bias.sum(axis=0, keepdims=True),
        }
        return d_f, {key: grads[key] for key in given}

    return f2, backward


def _plain(x: Array) -> np.ndarray:
    """`x` itself if it is contiguous and can be written to, the one kind of array that is compiled for; or a copy."""
    return np.require(x, requirements=["C", "A", "W", "E"])


def _of(arrays: Any, some: slice) -> Any:
    """Some of the samples of each array in a named tuple."""
    return type(arrays)(*(x[some] for x in arrays))


def _share_out(work: Callable[[slice], None], f: Array) -> None:
    """work(some) for all samples of f, in about equal shares, a thread each."""
    from numba import get_num_threads

    threads = min(get_num_threads(), len(f), 1 + f.size // WORTH_A_THREAD)
    shares = [slice(len(f) * i // threads, len(f) * (i + 1) // threads) for i in range(threads)]
    if threads < 2:
        for some in shares:
            work(some)
    else:
        with ThreadPoolExecutor(threads - 1) as pool:
            others = [pool.submit(work, some) for some in shares[1:]]
            work(shares[0])
        for other in others:
            other.result()
