"""What was measured in this project, read for chapters 9 and 11 from docs/_generated.

There are the results of the studies, files of `cbam-np study`, and the audits of the page "CBAM in the wild".
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# what 95 % of Student's t keeps below, two-sided, for n values (n - 1 degrees of freedom)
T = {2: 12.7062, 3: 4.3027, 4: 3.1824, 5: 2.7764, 6: 2.5706, 7: 2.4469, 8: 2.3646, 9: 2.3060, 10: 2.2622}


def results(study: str) -> list[dict[str, Any]]:
    """The results of a study in this project: dicts with "run", "found" and "machine"."""
    paths = sorted(generated(f"studies/{study}").glob("*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def generated(name: str) -> Path:
    """A file or folder in docs/_generated of the project around the working directory."""
    start = Path.cwd()
    paths = [folder / "docs" / "_generated" / name for folder in (start, *start.parents)]
    found = next((path for path in paths if path.exists()), None)
    if found is None:
        raise FileNotFoundError(f"expected {name} in docs/_generated above {start}; open the chapter in the project")
    return found


def in_the_wild() -> list[dict[str, Any]]:
    """The modules of the page "CBAM in the wild": dicts with "ok", "cbam", "found", "unsure" and "agreement"."""
    modules: list[dict[str, Any]] = json.loads(generated("wild.json").read_text(encoding="utf-8"))["modules"]
    return modules


def deviations(modules: Sequence[dict[str, Any]]) -> Counter[str]:
    """In how many of these modules each deviation was found."""
    names = [{deviation["name"] for deviation in module["found"]} for module in modules]
    return Counter(name.replace("not a CBAM", "not comparable") for found in names for name in found)


def told_of_the_wild(names: str) -> str:
    """How many modules differ from the paper in one of these: "concat order" -> "15 of the 46 modules"; "all" -> "46".

    Several names have "or" between them. Raises ValueError for one that no module has.
    """
    modules = in_the_wild()
    if names == "all":
        return str(len(modules))
    wanted, counts = set(names.split(" or ")), deviations(modules)
    if not wanted <= counts.keys():
        raise ValueError(
            f"names: expected what some module differs in, got {', '.join(sorted(wanted - counts.keys()))}"
        )
    count = sum(bool(wanted & {deviation["name"] for deviation in module["found"]}) for module in modules)
    return f"{count} of the {len(modules)} modules"


def chosen(study: str, **wanted: Any) -> list[dict[str, Any]]:
    """Those results whose run has these options, by seed; trainings of 10 epochs on digits, unless something else is
    wanted.
    """
    plain = {"data": "digits", "clutter": 4, "epochs": 10, "net": "resnet8", "head": "class"}
    wanted = plain | {"purpose": "test", "library": "numpy"} | wanted
    found = [r for r in results(study) if all(r["run"][key] == value for key, value in wanted.items())]
    return sorted(found, key=lambda r: int(r["run"]["seed"]))


def accuracies(study: str, **wanted: Any) -> dict[int, float]:
    """Test score in per cent by seed, accuracy or overlap, of the runs that came to their end."""
    runs = chosen(study, **wanted)
    return {
        r["run"]["seed"]: 100 * next(iter(r["found"]["scores"].values())) for r in runs if not r["found"]["diverged"]
    }


class Interval(NamedTuple):
    """A mean with its 95 % interval, mean - half to mean + half."""

    mean: float
    half: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {self.half:.1f}"


def interval(values: Sequence[float]) -> Interval:
    """Student's: half = t · s / √n. Needs 2 to 10 values."""
    x = np.array(values)
    return Interval(float(x.mean()), float(T[len(x)] * x.std(ddof=1) / np.sqrt(len(x))))


def difference(a: dict[int, float], b: dict[int, float]) -> Interval:
    """b minus a, seed by seed, for the seeds that both have."""
    return interval([b[seed] - a[seed] for seed in a if seed in b])
