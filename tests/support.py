"""What several test files need: the table of operations, with inputs and gradients laid out flat, and small helpers."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cbam_np.reference import in_pytorch
from cbam_np.reference.operations import OPERATIONS as TABLE
from cbam_np.reference.operations import Operation, Shape, leaves

torch.set_num_threads(1)  # tests run side by side, and a fixed number keeps the order of sums fixed


def deviation(got: Any, expected: Any) -> float:
    """The largest difference, relative to the largest entry of `expected`; infinite if the shapes differ."""
    got, expected = np.asarray(got), np.asarray(expected)
    if got.shape != expected.shape:
        return np.inf
    if got.size == 0:
        return 0.0
    wide = np.float64
    largest = np.abs(expected.astype(wide)).max() or 1.0
    difference = np.abs(got.astype(wide) - expected.astype(wide)).max()
    return float(difference / largest) if np.isfinite(difference) else np.inf


def as_tuple(gradients: Any) -> tuple[Any, ...]:
    return gradients if isinstance(gradients, tuple) else (gradients,)


def torch_gradients(function: Callable[..., Tensor], inputs: list[np.ndarray], d_out: np.ndarray) -> list[np.ndarray]:
    """What autograd says; zeros for an input that the output doesn't depend on."""
    return in_pytorch.output_and_gradients(function, inputs, lambda _: d_out)[1]


class Case(NamedTuple):
    """A row of the table whose inputs, gradients and oracle take and give arrays one by one, dicts opened."""

    row: Operation

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which an error speaks of the inputs."""
        return tuple(name for name, _ in leaves(self.row.sample((2, 4, 5, 7))))

    def inputs(self, shape: Shape, seed: int | np.random.Generator = 0) -> list[np.ndarray]:
        return [x for _, x in leaves(self.row.sample(shape, seed))]

    def nested(self, arrays: tuple[Any, ...]) -> list[Any]:
        rest = iter(arrays)
        shapes = self.row.shapes(2, 4, 5, 7).values()
        return [{key: next(rest) for key in x} if isinstance(x, Mapping) else next(rest) for x in shapes]

    def op(self, *arrays: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
        out, backward = self.row.op()(*self.nested(arrays))

        def flat_backward(d_out: Any) -> tuple[Any, ...]:
            gradients: list[Any] = []
            for d, given in zip(as_tuple(backward(d_out)), self.nested(arrays), strict=False):
                if isinstance(given, dict):
                    assert d.keys() == given.keys()
                    gradients += [d[key] for key in given]
                else:
                    gradients.append(d)
            return *gradients, *as_tuple(backward(d_out))[len(self.nested(arrays)) :]

        return out, flat_backward

    def oracle(self, *tensors: Tensor) -> Tensor:
        out: Tensor = self.row.in_pytorch()(*self.nested(tensors))
        return out


OPERATIONS = {row.name: Case(row) for row in TABLE}


def scaled_normal(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Weights of moderate size. In a gate near 1 PyTorch's σ′ = σ(1 - σ) has lost digits, and ours has not."""
    return rng.normal(size=shape) / prod(shape[1:]) ** 0.5


def hidden(C: int) -> int:
    return max(C // 2, 1)


def random_params(C: int, rng: np.random.Generator, k: int = 7, biases: bool = False) -> dict[str, np.ndarray]:
    """Parameters of a block for C channels, float64."""
    shapes: dict[str, Shape] = {
        "channel.w1": (hidden(C), C),
        "channel.w2": (C, hidden(C)),
        "spatial.kernel": (1, 2, k, k),
    }
    if biases:
        shapes |= {"channel.b1": (hidden(C),), "channel.b2": (C,), "spatial.bias": (1,)}
    return {key: scaled_normal(shape, rng) for key, shape in shapes.items()}
