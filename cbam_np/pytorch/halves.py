"""The search of the audit, each half of the block for itself.

Divided by F, the output of a CBAM is a gate for each channel times a gate for each pixel:

    F″[n,c,p] = a[n,c] b[n,p] F[n,c,p]

One column of that quotient is a, and one row is b, each up to a factor for each sample. So the switches of the first
half can be looked for without those of the second: the combinations of the two halves are added up, not multiplied,
and three deviations in each are found in a second. It does not work where F″ is no such product: gated features added
up, or a ReLU after the block.
"""

from __future__ import annotations  # the site is built without PyTorch, where types can't be joined by |

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from time import thread_time
from typing import Any

import torch
from torch import Tensor

from cbam_np.pytorch.variants import Parts, Switches, gated, m_c_of, m_s_of

MOST = 3  # deviations in one half
HALVES = {
    "channel first": (
        "channel pooling", "channel average over", "channel max over", "MLPs", "activation", "channel gate",
        "channel gated",
    ),
    "spatial first": (
        "spatial pooling", "spatial average over", "spatial max over", "padding", "dilation", "spatial gate",
        "spatial gated",
    ),
}  # fmt: skip
OTHER = {"channel first": "spatial first", "spatial first": "channel first"}


@dataclass(frozen=True)
class Case:
    """A module with some parameters: features (N, C, H, W), the output for them, and the layers."""

    f: Tensor
    out: Tensor
    parts: Parts


def by_halves(
    cases: list[Case],
    allowed: Mapping[str, list[Any]],
    start: Switches,
    tolerance: float,
    fits: Callable[[Switches], bool],
    seconds: float,
) -> dict[str, Any] | None:
    """The fewest switches that `fits` accepts, of those that differ from `start` in at most three places a half.

    None if there are none, or none was found in that many seconds of computing. Each half has to agree in all cases.
    """
    end = thread_time() + seconds
    places = []
    for output in ("F″", "residual", "gate"):
        factors = [column_and_row(quotient(case, output), tolerance) for case in cases]
        for order in HALVES:
            if all(factors):
                whole = dict(start) | {"output": output, "order": order}
                places.append(Place(cases, allowed, whole, [pair for pair in factors if pair], tolerance))
    for total in range(2 * MOST + 4):  # three in each half, and where the output, the order and F′ differ
        for place in places:
            for switches in place.with_deviations(total, start, end):
                if fits(switches):
                    return switches
    return None


def channel_gates_explained(
    cases: list[Case], allowed: Mapping[str, list[Any]], start: Switches, output: str, tolerance: float
) -> bool:
    """Whether some switches give the gates of the channels, where these come first and the output is a product."""
    factors = [column_and_row(quotient(case, output), tolerance) for case in cases]
    if not all(factors):
        return False
    whole = dict(start) | {"output": output, "order": "channel first"}
    place = Place(cases, allowed, whole, [pair for pair in factors if pair], tolerance)
    return any(place.first_halves(many) for many in range(MOST + 1))


def quotient(case: Case, output: str) -> Tensor:
    """The product of the gates, if that is what the module does with them."""
    if output == "gate":
        return case.out
    return (case.out - case.f if output == "residual" else case.out) / case.f


class Place:
    """The output divided by F, if it is a product, with one way to take it: which half comes first, and what is added.

    factors: for each case the column (N, C, 1, 1) and the row (N, 1, H, W).
    """

    def __init__(
        self,
        cases: list[Case],
        allowed: Mapping[str, list[Any]],
        whole: dict[str, Any],
        factors: list[tuple[Tensor, Tensor]],
        tolerance: float,
    ) -> None:
        self.cases, self.allowed, self.whole, self.tolerance = cases, allowed, whole, tolerance
        self.targets = {half: [pair[i] for pair in factors] for i, half in enumerate(HALVES)}
        self.first, self.second = whole["order"], OTHER[whole["order"]]
        self.found: list[list[dict[str, Any]]] = []  # of the first half, with no deviation, with one, ...
        self.gates: list[Tensor] = []

    def with_deviations(self, total: int, start: Switches, end: float) -> Iterator[dict[str, Any]]:
        """The switches with so many deviations in all, whose halves agree each for itself; none after `end`."""
        for spatial_input in self.allowed["spatial input"]:
            if (spatial_input, self.first) == ("F", "spatial first"):  # where both halves see F, their order is nothing
                continue
            between = {**self.whole, "spatial input": spatial_input}
            rest = total - sum(between[switch] != start[switch] for switch in between)
            for many in range(max(0, rest - MOST), min(rest, MOST) + 1):
                for first in self.first_halves(many) if thread_time() < end else ():
                    if thread_time() > end:
                        return
                    xs = [
                        case.f if spatial_input == "F" else gate_of(self.first, case.f, case.parts, first) * case.f
                        for case in self.cases
                    ]
                    yield from self.matching(first | {"spatial input": spatial_input}, self.second, xs, rest - many)

    def first_halves(self, many: int) -> list[dict[str, Any]]:
        """Those with `many` deviations in the first half, each of other gates than any with fewer."""
        xs = [case.f for case in self.cases]
        while len(self.found) <= many:
            new = []
            for switches in self.matching(self.whole, self.first, xs, len(self.found)):
                gates = torch.cat([gate_of(self.first, case.f, case.parts, switches) for case in self.cases])
                if not any(distance(gates, known) < self.tolerance for known in self.gates):
                    self.gates.append(gates)
                    new.append(switches)
            self.found.append(new)
        return self.found[many]

    def matching(self, start: dict[str, Any], half: str, xs: list[Tensor], many: int) -> Iterator[dict[str, Any]]:
        """The switches with `many` changes in a half that make its gates of xs the targets, up to a factor a sample."""
        values = [(switch, value) for switch in HALVES[half] for value in self.allowed[switch]]
        values = [(switch, value) for switch, value in values if value not in (start[switch], "sum of both")]
        for chosen in combinations([pair for pair in values if many < MOST or is_likely(*pair)], many):
            switches = start | dict(chosen)
            if len(dict(chosen)) == many and all(
                is_parallel(half, x, case.parts, switches, target, self.tolerance)
                for x, case, target in zip(xs, self.cases, self.targets[half], strict=True)
            ):
                yield switches


def is_likely(switch: str, value: Any) -> bool:
    """Whether it is tried together with two more: a map that is shifted by a little is not."""
    return switch != "padding" or isinstance(value, str) or {abs(value[0]), abs(value[1])} <= {0, 3}


def is_parallel(half: str, x: Tensor, parts: Parts, switches: Switches, target: Tensor, near: float) -> bool:
    """Whether the gate of this half is `target` up to a factor for each sample."""
    try:
        gate = gate_of(half, x, parts, switches)
    except RuntimeError:  # such as a border that is wider than the features
        return False
    gate, target = gate.flatten(1), target.flatten(1)
    if gate.shape != target.shape:
        return False
    shown = target.abs().amax(dim=1) > 0  # if the other half shuts a sample, nothing is seen of this one's gate
    gate, target = gate[shown], target[shown]
    factor = (gate * target).sum(dim=1, keepdim=True) / (target * target).sum(dim=1, keepdim=True)
    return not len(gate) or distance(factor * target, gate) < 10 * near


def gate_of(half: str, x: Tensor, parts: Parts, switches: Switches) -> Tensor:
    """What this half multiplies its features by, (N, C, 1, 1) or (N, 1, H, W); with a residual around it, 1 more."""
    with torch.no_grad():
        if half == "channel first":
            return gated(m_c_of(x, parts, switches), torch.ones_like(x[:, :, :1, :1]), switches["channel gated"])
        assert parts.conv is not None
        return gated(m_s_of(x, parts.conv, switches), torch.ones_like(x[:, :1]), switches["spatial gated"])


def column_and_row(gates: Tensor, tolerance: float) -> tuple[Tensor, Tensor] | None:
    """The factors of a product, through the largest entry of each sample: (N, C, 1, 1) and (N, 1, H, W).

    Each is known up to a number for each sample. None if it is no product.
    """
    N, C, H, W = gates.shape
    flat = gates.flatten(2)
    place = flat.flatten(1).abs().argmax(dim=1)
    column = flat.gather(2, (place % (H * W)).view(N, 1, 1).expand(N, C, 1))
    row = flat.gather(1, (place // (H * W)).view(N, 1, 1).expand(N, 1, H * W))
    largest = flat.flatten(1).gather(1, place[:, None])[..., None]
    if distance(column * row, flat * largest) > tolerance:
        return None
    return column[..., None], row.view(N, 1, H, W)


def distance(got: Tensor, expected: Tensor) -> float:
    """The largest difference in a sample, relative to its largest entry; infinite for NaN."""
    largest = expected.flatten(1).abs().amax(dim=1).clamp_min(1e-300)
    found = float(((got - expected).flatten(1).abs().amax(dim=1) / largest).max())
    return found if found == found else float("inf")
