"""What is to be run: a study is a list of runs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import groupby
from types import MappingProxyType
from typing import Any

CBAM: dict[str, Any] = {"attention": "cbam"}
OPEN = "as released, gates open"  # its biases start so that every gate is near 1; see `running.opened`

# the options of `cbam_np.nets.resnet`; reduction 4, as the stages have 8 to 32 channels
VARIANTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "none": {"attention": "none"},
        "SE": {"attention": "se"},
        "channel": {"attention": "channel"},
        "spatial": {"attention": "spatial"},
        "CBAM": CBAM,
        "channel, max only": {"attention": "channel", "pooling": "max"},
        "spatial k=3": CBAM | {"kernel_size": 3},
        "spatial average only": CBAM | {"spatial_pooling": "avg"},
        "spatial max only": CBAM | {"spatial_pooling": "max"},
        "spatial 1×1 conv, k=3": CBAM | {"spatial_pooling": "conv", "kernel_size": 3},
        "spatial 1×1 conv, k=7": CBAM | {"spatial_pooling": "conv"},
        "spatial first": CBAM | {"order": "spatial-channel"},
        "parallel": CBAM | {"order": "parallel"},
        "as released": CBAM | {"variant": "released"},
        OPEN: CBAM | {"variant": "released"},
    }
)
KINDS = ("none", "SE", "channel", "spatial", "CBAM")

# the paper's ablations: the variants that each table compares, the first being what the others are compared with
ABLATIONS = {
    "attention": KINDS,
    "pooling": ("none", "SE", "channel, max only", "channel"),
    "spatial branch": (
        "channel",
        "spatial 1×1 conv, k=3",
        "spatial 1×1 conv, k=7",
        "spatial k=3",
        "CBAM",
        "spatial average only",
        "spatial max only",
    ),
    "order": ("CBAM", "spatial first", "parallel"),
    "how the gates start": ("CBAM", "as released", OPEN, "none"),
}

# wrong backwards: what is done wrong -> file of the package, fragment, what it becomes
MISTAKES = {
    "path through the map dropped": (
        "cbam_np/nets/attention.py",
        "return d_f_direct + d_f_map, grads",
        "return d_f_direct, grads",
    ),
    "path through the features dropped": (
        "cbam_np/nets/attention.py",
        "return d_f_direct + d_f_map, grads",
        "return d_f_map, grads",
    ),
    "maximum dropped": (
        "cbam_np/attention/spatial.py",
        "avg_backward(d_avg_s) + max_backward(d_max_s)",
        "avg_backward(d_avg_s)",
    ),
    "sigmoid's derivative forgotten": ("cbam_np/ops/activation.py", "d_out * (e / (1 + e) ** 2)", "d_out"),
    "upstream ignored": ("cbam_np/ops/activation.py", "d_out * (e / (1 + e) ** 2)", "e / (1 + e) ** 2"),
    "kernel not flipped": ("cbam_np/ops/conv.py", "xp.flip(kernel, axis=(2, 3))", "kernel"),
}

# how those are called where they are told, if not by their names, which are also names of files
SAID = {
    "path through the map dropped": "map path dropped",
    "path through the features dropped": "direct path dropped",
    "maximum dropped": "spatial maximum path dropped",
}

# where the study "everywhere" puts attention: network and head
PLACES = ("resnet8", "box"), ("resnet8", "mask"), ("vgg11", "class")

STUDIES = ("light", "features", "everywhere", "bugs")
PEAKS = (0.03, 0.1, 0.3)  # learning rates to choose from
SHORT, PLATEAU = 10, 40  # epochs
SEEDS, MORE = range(5), range(5, 10)  # the more, the smaller a difference that can be seen
QUICK: dict[str, Any] = {"epochs": 4, "count": 1000}


@dataclass(frozen=True)
class Run:
    """One training, or for the study "light" one network that is counted and timed.

    study: one of `STUDIES`. variant: one of `VARIANTS`. mistake: one of `MISTAKES`, or "" for none.
    data: "digits" among `clutter` pieces of others, or "fashion", where clutter is 0. net: "resnet8" or "vgg11";
    for "light" also "resnet50" and "vgg16". head: "class", "box" or "mask". peak: the largest learning rate.
    purpose: "test" is measured on the test split; "validation" serves to choose the learning rate, on scenes and seeds
    of its own. library: "numpy", or "torch" to repeat a run in PyTorch. count: pictures to train on.
    """

    study: str
    variant: str = "CBAM"
    mistake: str = ""
    data: str = "digits"
    clutter: int = 4
    net: str = "resnet8"
    head: str = "class"
    peak: float = 0.1
    epochs: int = SHORT
    seed: int = 0
    purpose: str = "test"
    library: str = "numpy"
    count: int = 2000

    def __post_init__(self) -> None:
        known = {
            "study": STUDIES,
            "variant": VARIANTS,
            "mistake": ("", *MISTAKES),
            "data": ("digits", "fashion"),
            "net": ("resnet8", "vgg11", "resnet50", "vgg16"),
            "head": ("class", "box", "mask"),
            "purpose": ("test", "validation"),
            "library": ("numpy", "torch"),
        }
        for name, choices in known.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {getattr(self, name)!r}")

    @property
    def name(self) -> str:
        """A name for its file: the study, and what differs from a run in which nothing was chosen."""
        if self.study == "light":
            return self.net
        chosen = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("study", "variant", "seed")}
        parts = [self.variant, *(f"{k}={v}" for k, v in chosen.items() if v != getattr(Run(self.study), k))]
        text = " ".join([*parts, f"seed={self.seed}"])
        kept = {" ": "_", "×": "x", ",": "", "'": ""}
        return "".join(kept.get(letter, letter) for letter in text)


def light(quick: bool = False) -> list[Run]:
    """Claim 1: each network without attention, with SE and with CBAM, in turns."""
    nets = ("resnet8", "vgg11") if quick else ("resnet8", "vgg11", "resnet50", "vgg16")
    return [Run("light", net=net) for net in nets]


def searches(runs: Iterable[Run]) -> list[Run]:
    """What has to be run to choose the learning rate of these runs: each variant on each data set, with each peak."""
    cells = dict.fromkeys(replace(run, epochs=SHORT, seed=0, peak=0.1, library="numpy") for run in runs)
    return [replace(cell, purpose="validation", seed=100, peak=peak) for cell in cells for peak in PEAKS]


def features(quick: bool = False) -> list[Run]:
    """Claim 2: the ablations, for every amount of clutter and for clothes, trained for a short time and to a plateau.

    What says most comes first, so that a study that is stopped has something to say. The peaks are still to be chosen.
    Without attention there are longer trainings too, to compare at equal time.
    """
    if quick:
        return [Run("features", variant, seed=seed, **QUICK) for seed in range(2) for variant in KINDS]
    first, rest = ("digits", 4), [("digits", 8), ("digits", 2), ("fashion", 0)]
    return list(
        dict.fromkeys(
            [
                *ablations(*first, VARIANTS),
                *(Run("features", variant, library="torch") for variant in ("none", "CBAM")),
                *ablations(*first, (*KINDS, "as released", OPEN), seeds=MORE),
                *(run for where in rest for run in ablations(*where, KINDS)),
                *(run for where in (first, *rest) for run in ablations(*where, KINDS, PLATEAU)),
                *(run for where in rest for run in ablations(*where, VARIANTS)),
            ]
        )
    )


def ablations(
    data: str, clutter: int, variants: Iterable[str], epochs: int = SHORT, seeds: Iterable[int] = SEEDS
) -> list[Run]:
    """Each variant with each seed; with short trainings, one twice as long without attention."""
    return [
        Run("features", variant, data=data, clutter=clutter, epochs=how_long, seed=seed)
        for seed in seeds
        for variant, how_long in [*((v, epochs) for v in variants), *([("none", 2 * SHORT)] if epochs == SHORT else [])]
    ]


def everywhere(quick: bool = False) -> list[Run]:
    """Claim 3: with and without CBAM, in two kinds of network, and with three heads."""
    options: dict[str, Any] = QUICK if quick else {}
    runs = [
        Run("everywhere", variant, net=net, head=head, seed=seed, **options)
        for net, head in PLACES
        for seed in (range(2) if quick else SEEDS)
        for variant in ("none", "CBAM")
    ]
    return runs + ([] if quick else [Run("everywhere", "CBAM", net="resnet8", head="box", library="torch")])


def bugs(quick: bool = False) -> list[Run]:
    """What a wrong backward costs: CBAM trained rightly, and with each of the six mistakes."""
    options: dict[str, Any] = QUICK if quick else {}
    return [
        Run("bugs", mistake=mistake, seed=seed, **options)
        for seed in (range(2) if quick else SEEDS)
        for mistake in ("", *MISTAKES)
    ]


PLANS = {"light": light, "features": features, "everywhere": everywhere, "bugs": bugs}
SEARCHED = ("features", "everywhere")  # the studies in which each variant has its own learning rate


def stages(study: str, quick: bool = False) -> Iterator[tuple[list[Run], list[Run]]]:
    """The runs of a study in the order in which they are made: those that choose learning rates, those they are for."""
    for _, stage in groupby(PLANS[study](quick), key=lambda run: (run.data, run.clutter, run.net, run.head)):
        runs = list(stage)
        yield (searches(runs) if study in SEARCHED and not quick else []), runs


def every_run(study: str) -> list[Run]:
    """The full plan of a study, each run once."""
    return list(dict.fromkeys(run for stage in stages(study) for part in stage for run in part))
