"""Exercises of chapter 8, spatial attention and the whole block: formulas (11), (2) and (1)."""

from collections.abc import Callable
from typing import Any

import numpy as np

from cbam_np.attention.block import cbam
from cbam_np.attention.channel import channel_map
from cbam_np.attention.spatial import spatial_attention, spatial_map
from cbam_np.course.checker import SHAPES, Exercise, Mistake
from cbam_np.ops import (
    avg_pool_over_channels,
    concat,
    conv2d,
    max_pool_over_channels,
    sigmoid,
)


def _same(x: Any) -> Any:
    return x


def _nothing(x: Any) -> Any:
    return 0 * x


# 8.1


def _spatial_inputs(seed: int) -> tuple[Any, ...]:
    """An upstream gradient and f1, both (N, C, H, W), and a kernel (1, 2, 3, 3)."""
    rng = np.random.default_rng(seed)
    shape = SHAPES[seed]
    return rng.normal(size=shape), rng.normal(size=shape), rng.normal(size=(1, 2, 3, 3))


def _spatial_backward(d_f2: Any, f1: Any, kernel: Any) -> Any:
    d_f1, grads = spatial_attention(f1, {"spatial.kernel": kernel})[1](d_f2)
    return d_f1, grads["spatial.kernel"]


def _d_m_s(d_f2: Any, f1: Any, m_s: Any) -> Any:
    return np.sum(d_f2 * f1, axis=1, keepdims=True)


def _spatial_with(
    gate_path: Callable[[Any], Any] = _same,
    sigmoid_slope: bool = True,
    swapped: bool = False,
    avg_path: Callable[[Any], Any] = _same,
    max_path: Callable[[Any], Any] = _same,
    map_path: Callable[[Any, Any], Any] = lambda d_f1_map, m_s: d_f1_map,
    gate_to_map: Callable[[Any, Any, Any], Any] = _d_m_s,
) -> Callable[..., Any]:
    """The right backward, but for what is given."""

    def backward(d_f2: Any, f1: Any, kernel: Any) -> Any:
        avg_s, avg_backward = avg_pool_over_channels(f1)
        max_s, max_backward = max_pool_over_channels(f1)
        z, conv_backward = conv2d(concat(avg_s, max_s)[0], kernel)
        m_s, sigmoid_backward = sigmoid(z)
        d_m_s = gate_to_map(d_f2, f1, m_s)
        d_z = sigmoid_backward(d_m_s) if sigmoid_slope else d_m_s
        d_pooled, d_kernel, _ = conv_backward(d_z)
        d_avg_s, d_max_s = (d_pooled[:, 1:], d_pooled[:, :1]) if swapped else (d_pooled[:, :1], d_pooled[:, 1:])
        d_f1_map = avg_path(avg_backward(d_avg_s)) + max_path(max_backward(d_max_s))
        return gate_path(m_s * d_f2) + map_path(d_f1_map, m_s), d_kernel

    return backward


def _undivided(d_f2: Any, f1: Any, kernel: Any) -> Any:
    """The average's share without 1/C."""
    return _spatial_with(avg_path=lambda d: d * f1.shape[1])(d_f2, f1, kernel)


exercise_8_1 = Exercise(
    "8.1",
    "Spatial attention, backward",
    returns="d_f1, d_kernel",
    inputs=_spatial_inputs,
    solution=_spatial_backward,
    mistakes=(
        Mistake(
            _spatial_with(avg_path=_nothing, max_path=_nothing),
            "d_kernel is right, but d_f1 has the gate's path only. F' enters twice: M_s was computed from it, and "
            "d_m_s has to be sent back through the map.",
        ),
        Mistake(
            _spatial_with(gate_path=_nothing),
            "d_kernel is right, but d_f1 has the map's path only. F' is also the thing that is gated: that path is "
            "missing.",
        ),
        Mistake(
            _spatial_with(max_path=_nothing),
            "The path through the maximum is missing: the second channel of d_pooled goes nowhere.",
        ),
        Mistake(
            _spatial_with(avg_path=_nothing),
            "The path through the average is missing: the first channel of d_pooled goes nowhere.",
        ),
        Mistake(
            _spatial_with(swapped=True),
            "The two channels of d_pooled are exchanged. Forward, the average came first.",
        ),
        Mistake(
            _undivided,
            "The average has handed its whole gradient to every channel. Each of the C channels gets one share of C.",
        ),
        Mistake(
            _spatial_with(sigmoid_slope=False),
            "The sigmoid is missing on the way back: what goes into the convolution's backward is d_z, not d_m_s.",
        ),
        Mistake(
            _spatial_with(gate_to_map=lambda d_f2, f1, m_s: _d_m_s(d_f2, m_s * f1, m_s)),
            "d_m_s is taken with F'' in place of F'. In M_s · F' the partner of M_s is F'.",
        ),
        Mistake(
            _spatial_with(gate_to_map=lambda d_f2, f1, m_s: _d_m_s(d_f2, f1, m_s) / f1.shape[1]),
            "d_m_s is a mean over the channels. M_s occurs in C products, and their shares add: sum.",
        ),
        Mistake(
            _spatial_with(gate_to_map=lambda d_f2, f1, m_s: _d_m_s(d_f2, np.ones_like(f1), m_s)),
            "d_m_s is the sum of d_f2 alone. In M_s · F' the partner of M_s is F': multiply with it first.",
        ),
        Mistake(
            _spatial_with(map_path=lambda d_f1_map, m_s: m_s * d_f1_map),
            "You multiplied the map's path with M_s too. Only the gate's path gets the factor M_s.",
        ),
    ),
)

# 8.2


def _block_inputs(seed: int) -> tuple[Any, ...]:
    """An upstream gradient and f, both (N, C, H, W); w1 (3, C), w2 (C, 3) and a kernel (1, 2, 3, 3)."""
    rng = np.random.default_rng(seed)
    C = SHAPES[seed][1]
    d_f2, f = rng.normal(size=(2, *SHAPES[seed]))
    return d_f2, f, rng.normal(size=(3, C)), rng.normal(size=(C, 3)), rng.normal(size=(1, 2, 3, 3))


def _block_backward(d_f2: Any, f: Any, w1: Any, w2: Any, kernel: Any) -> Any:
    d_f, grads = cbam(f, {"channel.w1": w1, "channel.w2": w2, "spatial.kernel": kernel})[1](d_f2)
    return d_f, grads["channel.w1"], grads["channel.w2"], grads["spatial.kernel"]


def _block_with(
    spatial_gate_path: Callable[[Any], Any] = _same,
    spatial_map_path: Callable[[Any], Any] = _same,
    channel_gate_path: Callable[[Any], Any] = _same,
    channel_map_path: Callable[[Any], Any] = _same,
    channel_upstream: str = "d_f1",
    gate_upstream: str = "d_f1",
    partner_of_m_c: str = "f",
    partner_of_m_s: str = "f1",
) -> Callable[..., Any]:
    """The right backward, but for what is given."""

    def backward(d_f2: Any, f: Any, w1: Any, w2: Any, kernel: Any) -> Any:
        params = {"channel.w1": w1, "channel.w2": w2, "spatial.kernel": kernel}
        m_c, channel_map_backward = channel_map(f, params)
        f1 = m_c * f
        m_s, spatial_map_backward = spatial_map(f1, params)
        features = {"f": f, "f1": f1}
        d_f1_map, spatial_grads = spatial_map_backward(_d_m_s(d_f2, features[partner_of_m_s], m_s))
        d_f1 = spatial_gate_path(m_s * d_f2) + spatial_map_path(d_f1_map)
        upstream = {"d_f1": d_f1, "d_f2": d_f2, "gate": m_s * d_f2}
        d_m_c = np.sum(upstream[channel_upstream] * features[partner_of_m_c], axis=(2, 3), keepdims=True)
        d_f_map, channel_grads = channel_map_backward(d_m_c)
        d_f = channel_gate_path(m_c * upstream[gate_upstream]) + channel_map_path(d_f_map)
        return d_f, channel_grads["channel.w1"], channel_grads["channel.w2"], spatial_grads["spatial.kernel"]

    return backward


exercise_8_2 = Exercise(
    "8.2",
    "The whole block, backward",
    returns="d_f, d_w1, d_w2, d_kernel",
    inputs=_block_inputs,
    solution=_block_backward,
    mistakes=(
        Mistake(
            _block_with(spatial_map_path=_nothing),
            "d_f1 has the gate's path only, so what arrives at the channel stage is too little. F' enters the second "
            "stage twice.",
        ),
        Mistake(
            _block_with(channel_map_path=_nothing),
            "The weights are right, but d_f has the gate's path only. M_c was computed from F.",
        ),
        Mistake(
            _block_with(spatial_map_path=_nothing, channel_map_path=_nothing),
            "Both stages have the gate's path only: d_f is M_c · M_s · d_f2. Both maps were computed from features, "
            "and both send something back.",
        ),
        Mistake(
            _block_with(channel_upstream="d_f2", gate_upstream="d_f2"),
            "The channel stage got d_f2. Its output is F', so its upstream gradient is d_f1.",
        ),
        Mistake(
            _block_with(channel_upstream="gate"),
            "d_m_c is taken before d_f1 is complete: the part that comes back through the spatial map is missing in "
            "it. Add both paths first.",
        ),
        Mistake(
            _block_with(partner_of_m_c="f1"),
            "d_m_c is taken with F' in place of F. In M_c · F the partner of M_c is F.",
        ),
        Mistake(
            _block_with(partner_of_m_s="f"),
            "d_m_s is taken with F in place of F'. In M_s · F' the partner of M_s is F'.",
        ),
        Mistake(
            _block_with(spatial_gate_path=_nothing),
            "d_f1 has the map's path only. F' is also the thing that is gated: M_s · d_f2 is missing.",
        ),
        Mistake(
            _block_with(channel_gate_path=_nothing),
            "The weights are right, but d_f has the map's path only: M_c · d_f1 is missing.",
        ),
        Mistake(
            _block_with(gate_upstream="gate"),
            "The weights are right, but the gate's path of d_f has only a part of d_f1 in it. It is M_c times the "
            "whole d_f1, with both of its paths.",
        ),
        Mistake(
            _block_with(gate_upstream="d_f2"),
            "The gate's path of d_f is M_c · d_f2. The channel stage's output is F': M_c · d_f1.",
        ),
        Mistake(
            _block_with(channel_upstream="d_f2"),
            "d_m_c is taken with d_f2. The channel stage's output is F', so its upstream gradient is d_f1.",
        ),
    ),
)
