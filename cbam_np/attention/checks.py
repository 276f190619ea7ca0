"""What the block and its two halves ask of their inputs, so that the files with the formulas hold formulas."""

from cbam_np.arrays import Array, Params
from cbam_np.inputs import (
    CHANNEL,
    SPATIAL,
    Ties,
    check_channels,
    check_maps,
    check_nchw,
    check_params,
    check_shape,
    check_ties,
    namespace,
)


def check_channel(f: Array, params: Params, ties: Ties = "first", maps: Params | None = None) -> None:
    """Raise TypeError or ValueError unless these are the inputs of channel attention."""
    weights = check_params(params, CHANNEL)
    namespace(f=f, **weights)
    check_nchw("f", f)
    check_channel_shapes(f, weights)
    check_ties(ties)
    check_maps(maps)


def check_channel_shapes(f: Array, weights: Params) -> None:
    """Raise ValueError unless the weights fit each other, and f (N, C, H, W) fits them."""
    w1 = weights["channel.w1"]
    if w1.ndim != 2 or w1.shape[0] == 0:  # without a hidden unit the gate is constant, and nobody would notice
        raise ValueError(f"channel.w1: expected (C/r, C) with at least one hidden unit, got {tuple(w1.shape)}")
    hidden, C = w1.shape
    check_channels("f", f, C, f"as channel.w1 {(hidden, C)} has")
    for key, shape in ("channel.w2", (C, hidden)), ("channel.b1", (hidden,)), ("channel.b2", (C,)):
        if key in weights:
            check_shape(key, weights[key], shape)


def check_channel_map(f: Array, params: Params, ties: Ties = "first") -> None:
    """The same without maps."""
    check_channel(f, params, ties)


def check_spatial(f1: Array, params: Params, ties: Ties = "first", maps: Params | None = None) -> None:
    """Raise TypeError or ValueError unless these are the inputs of spatial attention."""
    weights = check_params(params, SPATIAL)
    namespace(f1=f1, **weights)
    check_nchw("f1", f1)
    check_spatial_shapes(weights)
    check_ties(ties)
    check_maps(maps)


def check_spatial_shapes(weights: Params) -> None:
    """Raise ValueError unless the kernel is one of k×k over two maps, with odd k, and the bias one number."""
    kernel = weights["spatial.kernel"]
    k = kernel.shape[-1] if kernel.ndim else 0
    if tuple(kernel.shape) != (1, 2, k, k) or k % 2 == 0:
        raise ValueError(
            f"spatial.kernel: expected (1, 2, k, k), k odd so that a window has a centre, got {tuple(kernel.shape)}"
        )
    if "spatial.bias" in weights:
        check_shape("spatial.bias", weights["spatial.bias"], (1,))


def check_spatial_map(f1: Array, params: Params, ties: Ties = "first") -> None:
    """The same without maps."""
    check_spatial(f1, params, ties)


def check_block(f: Array, params: Params, ties: Ties = "first", maps: Params | None = None) -> None:
    """Raise TypeError or ValueError unless these are the inputs of the block."""
    weights = check_params(params, CHANNEL + SPATIAL)
    namespace(f=f, **weights)
    check_nchw("f", f)
    check_channel_shapes(f, weights)
    check_spatial_shapes(weights)
    check_ties(ties)
    check_maps(maps)
