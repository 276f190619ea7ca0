"""The command `cbam-np`, also `python -m cbam_np`."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from cbam_np import __version__
from cbam_np.commands import train


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(prog="cbam-np", description="CBAM from scratch, forward and backward, checked.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True)

    check = commands.add_parser("check", help="check every gradient against every oracle on this machine")
    check.add_argument("--backend", default="numpy", help="array library: numpy (default), cupy, torch, ...")
    check.add_argument("--channels", type=int, default=6, help="C of the inputs (default %(default)s)")
    check.add_argument("--size", type=int, default=9, help="H of the inputs, W is H + 1 (default %(default)s)")
    check.add_argument("--seed", type=int, default=0, help="of the inputs and upstream gradients (default %(default)s)")

    tour = commands.add_parser("tour", help="a photograph through the eleven formulas, with a picture at the end")
    tour.add_argument("--output", type=Path, default=Path("tour.png"), help="the picture (default %(default)s)")
    tour.add_argument("--dark", action="store_true", help="draw the picture on a dark background")
    tour.add_argument("--seed", type=int, default=0, help="of the gradient check (default %(default)s)")

    bench = commands.add_parser("bench", help="time the block against PyTorch, one thread, side by side")
    bench.add_argument("--rounds", type=int, default=15, help="timed rounds per size (default %(default)s)")
    bench.add_argument("--seed", type=int, default=0, help="of the inputs (default %(default)s)")

    gpu = commands.add_parser("gpu-test", help="tests, gradient checks and timings on a GPU, into one results file")
    gpu.add_argument("--output", type=Path, default=Path("docs/gpu-results.json"), help="(default %(default)s)")
    gpu.add_argument("--rounds", type=int, default=20, help="timed rounds per size (default %(default)s)")

    train.add_arguments(commands.add_parser("train", help="train a network with attention on digits among clutter"))

    commands.add_parser("doctor", help="what is installed, and which array libraries can be used here")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if all went well, 1 if a check failed, 2 if it could not be run."""
    options = parser().parse_args(arguments)
    console = Console()
    try:
        if options.command == "check":
            from cbam_np.commands import check

            ok = check.run(options.backend, options.channels, options.size, options.seed, console)
        elif options.command == "tour":
            from cbam_np.commands import tour

            ok = tour.run(options.output, seed=options.seed, dark=options.dark, console=console)
        elif options.command == "bench":
            from cbam_np.commands import bench

            ok = bench.run(options.rounds, options.seed, console)
        elif options.command == "gpu-test":
            from cbam_np.commands import gpu_test

            ok = gpu_test.run(options.output, options.rounds, console)
        elif options.command == "train":
            given = {name: value for name, value in vars(options).items() if name != "command"}
            ok = train.run(console=console, **given)
        else:
            from cbam_np.commands import doctor

            ok = doctor.run(console)
    except ImportError as error:
        extra = {"tour": "tour", "bench": "torch", "train": "train"}.get(options.command)
        if extra is None:
            raise
        print(f'cbam-np {options.command}: {error}. Install it with: pip install "cbam-np[{extra}]"', file=sys.stderr)
        return 2
    except (RuntimeError, ValueError) as error:
        print(f"cbam-np {options.command}: {error}", file=sys.stderr)
        return 2
    return 0 if ok else 1
