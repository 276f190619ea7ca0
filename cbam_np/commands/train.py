"""`cbam-np train`: a small network with attention learns, and shows where it looks. Needs the extra "train".

It keeps a log (JSON lines, one a step), a checkpoint, a picture and an animation in a folder. Under mpirun several
processes train one network, and the first of them keeps the files.
"""

import argparse
import json
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cbam_np import ops
from cbam_np.arrays import Params
from cbam_np.commands.files import RESULTS, make_folder
from cbam_np.commands.whole_numbers import positive
from cbam_np.inputs import check_integer
from cbam_np.nets import Network, checkpoints, mpi, pictures, resnet, training
from cbam_np.nets.data import cluttered_digits, fashion, fashion_mnist
from cbam_np.nets.training import Pictures, Recipe, State

LOG, CHECKPOINT, PICTURE, ANIMATION = "log.jsonl", "checkpoint.safetensors", "maps.png", "maps.gif"
SCENES = 4  # that the picture shows
MAPS = "maps "  # before the name of a block: its spatial maps of these scenes, after each of `steps_to_look`

CLASSES = {"digits": [f"a {digit}" for digit in range(10)], "fashion": list(fashion.CLASSES)}

Given: TypeAlias = dict[str, Any]  # the settings that were asked for


@dataclass(frozen=True)
class Settings(Recipe):
    """What is trained, on what, and how: together with the data, all that the result depends on."""

    peak: float = 0.1
    data: str = "digits"
    count: int = 3000
    clutter: int = 4
    attention: str = "cbam"
    reduction: int = 4
    depth: int = 8
    width: int = 16
    dtype: str = "float32"
    backend: str = "numpy"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data not in CLASSES:
            raise ValueError(f"data: expected one of {', '.join(CLASSES)}, got {self.data!r}")
        check_integer("count", self.count, least=5)


HELP = {
    "data": "digits, each to be found among pieces of others, made here; or fashion, Fashion-MNIST",
    "count": "pictures to train on; a fifth as many are kept apart to measure the accuracy on",
    "clutter": "pieces of other digits in each picture of a digit",
    "attention": "none, se, channel, spatial or cbam, in every block",
    "reduction": "r of the attention's MLP",
    "depth": "layers of the residual network: 8 or 14",
    "width": "channels of its first stage",
    "dtype": "float32 or float64",
    "backend": "array library: numpy or cupy",
    "epochs": "how often the network sees every picture",
    "batch_size": "pictures per step",
    "peak": "the largest learning rate",
    "warm_up": "epochs in which the learning rate rises; then it falls along a cosine",
    "momentum": "of the optimiser",
    "weight_decay": "of the weights; biases and batch norm have none",
    "flip": "mirror pictures left to right at random",
    "shift": "move pictures at random, by up to this many pixels",
    "seed": "of the initial weights, of pictures made here, of order, flips and shifts",
    "parts": "into how many parts a batch is cut: batch norm sees one at a time (default one for each process)",
}


class Setting(argparse.Action):
    """Collects the settings that were asked for in one dict."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        """Add one."""
        name = self.option_strings[0].removeprefix("--").replace("-", "_")
        namespace.settings = {**namespace.settings, name: True if self.nargs == 0 else values}


def option(name: str) -> str:
    """What a setting is called on the command line."""
    return f"--{name.replace('_', '-')}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: of the files, and one for each setting."""
    parser.add_argument(
        "--output", type=Path, default=RESULTS / "train", help="the folder for the files (default %(default)s)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the training in that folder, with its settings"
    )
    parser.add_argument(
        "--save-every", type=positive, default=50, help="steps from checkpoint to checkpoint (default %(default)s)"
    )
    parser.add_argument("--dark", action="store_true", help="draw the picture on a dark background")
    parser.add_argument("--folder", type=Path, help="where the four files of Fashion-MNIST are")
    defaults = {setting.name: setting.default for setting in fields(Settings)}
    for name, text in HELP.items():
        default = defaults[name]
        kind: dict[str, Any] = {"nargs": 0} if default is False else {"type": type(default), "metavar": name.upper()}
        said = default is False or "default" in text
        help_text = text if said else f"{text} (default {default})"
        parser.add_argument(option(name), dest="settings", action=Setting, default={}, help=help_text, **kind)


def run(
    console: Console, output: Path, resume: bool, save_every: int, dark: bool, folder: Path | None, settings: Given
) -> bool:
    """Train, or go on with it; True. Raises ValueError or RuntimeError with a line that says why it can't be done."""
    import_module("matplotlib")  # if it is missing, say so before the training, not after it
    world = mpi.world()
    with world.all_or_none(), world.sharing_cores():
        arrays, about = world.from_first(found(output, resume) if world.rank == 0 else None)
        chosen = settled(settings, about, world.size)
        net, data, validation = prepared(chosen, folder)
        state, maps = checkpoints.restore(net, arrays, about) if about else (training.at_rest(net), {})
        records = training.train(net, data, validation, chosen, state, world)
        if world.rank > 0:
            deque(records, maxlen=0)  # takes part in every step
            return True

        console.print(f"{net}; {len(data[0])} pictures of {chosen.data}", highlight=False, soft_wrap=True)
        scenes, labels = validation[0][:SCENES], validation[1][:SCENES]
        steps = pictures.steps_to_look(chosen.epochs, -(-len(data[0]) // chosen.batch_size))
        with closing(checkpoints.Log(output / LOG, about.get("log", 0))) as log:

            def save() -> None:
                known = {"settings": asdict(chosen), "log": log.length()}
                checkpoints.save(output / CHECKPOINT, net, state, known, maps)

            if not about:
                maps = with_new_maps(maps, net, scenes)
                save()
            for record in shown(console, records, state, chosen, len(data[0])):
                log.append(record)
                if state.step in steps:
                    maps = with_new_maps(maps, net, scenes)
                if "accuracy" in record or state.step % save_every == 0:
                    save()
        names = [CLASSES[chosen.data][label] for label in labels]
        draw(output, scenes, names, {key.removeprefix(MAPS): x for key, x in maps.items()}, steps, dark)
        console.print(f"The log, the checkpoint and the pictures: {output.resolve()}", highlight=False, soft_wrap=True)
    return True


def found(output: Path, resume: bool) -> tuple[Params, dict[str, Any]]:
    """The checkpoint in the folder to go on from; nothing for a new training, whose folder is made if need be."""
    path = output / CHECKPOINT
    if resume and not path.exists():
        raise ValueError(f"--resume: expected a training in {output}, got none; leave out --resume to begin one")
    if resume:
        return checkpoints.read(path)
    if path.exists():
        raise ValueError(f"--output: {output} holds a training; add --resume to go on with it, or name another folder")
    make_folder(output)
    return {}, {}


def settled(given: Given, about: dict[str, Any], processes: int) -> Settings:
    """What was asked for and the defaults; or what a checkpoint was begun with, if nothing that was asked differs."""
    if not about:
        every: Given = {"parts": processes} | given
        return Settings(**every)
    try:
        kept = Settings(**about["settings"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"checkpoint: expected the settings that cbam-np train has today, got others ({error})"
        ) from None
    for name, value in given.items():
        if value != getattr(kept, name):
            raise ValueError(
                f"{option(name)}: expected {getattr(kept, name)}, as this training was begun, got {value}; leave it "
                "out, or begin another training in another folder"
            )
    return kept


def prepared(s: Settings, folder: Path | None) -> tuple[Network, Pictures, Pictures]:
    """The network as it starts, the pictures to train on, and those to measure the accuracy on."""

    def taken(split: str, count: int) -> Pictures:
        if s.data == "fashion":
            clothes = fashion_mnist(split, folder=folder)
            return clothes.images[:count], clothes.labels[:count]
        scenes = cluttered_digits(split, count, clutter=s.clutter, seed=s.seed)
        return ops.avg_pool2d(scenes.images, k=2, stride=2)[0], scenes.labels  # 24×24: enough to read a digit

    choice: Given = {"attention": s.attention, "width": s.width, "seed": s.seed, "dtype": s.dtype}
    net = resnet(s.depth, channels=1, classes=10, reduction=s.reduction, **choice)
    return net.to(s.backend), taken("train", s.count), taken("validation", s.count // 5)


def with_new_maps(maps: Params, net: Network, scenes: np.ndarray) -> Params:
    """`maps` with those of the network as it is now added at the end."""
    now = {MAPS + block: m_s[None] for block, m_s in pictures.spatial_maps(net, scenes).items()}
    return {key: np.concatenate([maps[key], m_s]) if key in maps else m_s for key, m_s in now.items()}


def shown(
    console: Console, records: Iterator[dict[str, Any]], state: State, settings: Settings, count: int
) -> Iterator[dict[str, Any]]:
    """The records as they come, with a bar that moves, and one line an epoch."""
    steps = settings.epochs * -(-count // settings.batch_size)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("training", total=steps, completed=state.step)
        losses: list[float] = []
        start = perf_counter()
        for record in records:
            yield record
            losses.append(record["loss"])
            progress.update(bar, completed=record["step"], description=f"loss {record['loss']:.3f}")
            if "accuracy" in record:
                seconds = perf_counter() - start
                console.print(
                    f"epoch {record['epoch']} of {settings.epochs}: loss {np.mean(losses):.3f}, "
                    f"accuracy {record['accuracy']:.1%}, {seconds:.0f} s",
                    highlight=False,
                )
                losses, start = [], perf_counter()


def draw(output: Path, scenes: np.ndarray, names: list[str], maps: Params, steps: list[int], dark: bool) -> None:
    """Write the picture, of the curve in the log and of the maps after each epoch; and the animation of all maps."""
    records = [json.loads(line) for line in (output / LOG).read_text(encoding="utf-8").splitlines()]
    ends = [0, *(r["step"] for r in records if "accuracy" in r)]
    by_epoch = {block: x[[steps.index(step) for step in ends]] for block, x in maps.items()}
    pictures.draw(scenes, names, by_epoch, records, dark).savefig(image := BytesIO(), format="png")
    checkpoints.put(output / PICTURE, image.getvalue())
    if maps:
        checkpoints.put(output / ANIMATION, pictures.animate(scenes, names, maps, steps, dark))
