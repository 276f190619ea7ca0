"""What the results say."""

from collections import defaultdict
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np

from cbam_np.nets.studies.plan import Run
from cbam_np.nets.studies.store import Result

Cell: TypeAlias = tuple[str, str, int, str, str]


def cell_of(run: Run) -> Cell:
    """What has a learning rate of its own: variant, data, clutter, network and head."""
    return run.variant, run.data, run.clutter, run.net, run.head


def best_peaks(results: Iterable[Result]) -> dict[Cell, float]:
    """For each cell the learning rate with the best score on the validation split; of equals, the smaller."""
    scores: dict[Cell, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run, found, _ in results:
        if run.purpose == "validation":
            score = next(iter(found["scores"].values()), -1.0)  # a training that diverged has none
            scores[cell_of(run)][run.peak].append(score)
    return {cell: max(sorted(by), key=lambda peak: np.mean(by[peak])) for cell, by in scores.items()}
