"""Exercises of chapter 12, CBAM in PyTorch: a backward of one's own inside autograd, and weights in another order."""

from typing import Any

import numpy as np

from cbam_np.course.checker import SHAPES, Exercise, Mistake
from cbam_np.ops import gate

# 12.1


def _gate_inputs(seed: int) -> tuple[Any, ...]:
    """An upstream gradient (N, C, H, W), a map, by turns (N, C, 1, 1) and (N, 1, H, W), and f (N, C, H, W)."""
    rng = np.random.default_rng(seed)
    N, C, H, W = SHAPES[seed]
    shape = (N, 1, H, W) if seed % 2 else (N, C, 1, 1)
    return rng.normal(size=(N, C, H, W)), rng.uniform(0.1, 0.9, size=shape), rng.normal(size=(N, C, H, W))


def _gate_backward(d_out: Any, m: Any, f: Any) -> Any:
    return gate(m, f)[1](d_out)


exercise_12_1 = Exercise(
    "12.1",
    "The gate as a function of autograd, backward",
    returns="d_m, d_f",
    inputs=_gate_inputs,
    solution=_gate_backward,
    mistakes=(
        Mistake(
            lambda d_out, m, f: (_gate_backward(d_out, m, np.ones_like(f))[0], m * d_out),
            "In d_m the factor f is missing. How much does m·f move when m moves by 1?",
        ),
        Mistake(
            lambda d_out, m, f: (_gate_backward(d_out, m, f)[0], d_out),
            "In d_f the gate is missing. What reaches a feature is turned down by its gate, on the way back as well.",
        ),
        Mistake(
            lambda d_out, m, f: (_gate_backward(d_out, m, f)[0], f * d_out),
            "d_f has the wrong factor. In a product each factor's gradient holds the other one.",
        ),
        Mistake(
            lambda d_out, m, f: (_gate_backward(d_out, m, f)[0] * m.size / f.size, m * d_out),
            "You took the mean along the axes where m was repeated. The shares of one gate add up.",
        ),
        Mistake(
            lambda d_out, m, f: _gate_backward(np.ones_like(d_out), m, f),
            "The derivatives are right, but the upstream gradient d_out does not occur.",
        ),
    ),
)

# 12.2


def _kernel(seed: int) -> tuple[Any, ...]:
    """A kernel (1, 2, k, k) for several k."""
    k = (3, 7, 5, 1)[seed]
    return (np.random.default_rng(seed).normal(size=(1, 2, k, k)),)


def _from_authors(kernel: Any) -> Any:
    return kernel[:, [1, 0]]


exercise_12_2 = Exercise(
    "12.2",
    "A kernel in the authors' order",
    returns="ours",
    inputs=_kernel,
    solution=_from_authors,
    mistakes=(
        Mistake(
            lambda kernel: kernel.copy(),
            "The kernel came back as it was. Its first input channel still stands for the maximum.",
        ),
        Mistake(
            lambda kernel: kernel[:, ::-1, ::-1, ::-1].copy(),
            "You turned the kernel around in space as well. Only the two input channels trade places.",
        ),
        Mistake(
            lambda kernel: kernel[:, :, ::-1, ::-1].copy(),
            "You flipped the rows and the columns. That is what the convolution's backward does; here only the two "
            "input channels trade places.",
        ),
        Mistake(
            lambda kernel: kernel[:, [1, 1]],
            "Both channels are the same now. Did you overwrite the first before you had read it?",
        ),
    ),
)
