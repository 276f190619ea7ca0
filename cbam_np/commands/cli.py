"""The command `cbam-np`, also `python -m cbam_np`.

A command's file is imported when that command is called, so `cbam-np --help` is quick and needs no extra.
"""

import argparse
import sys
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

from cbam_np import __version__
from cbam_np.commands import extras, terminal

OK, FAILED, NOT_RUN = 0, 1, 2
INTERRUPTED, PIPE_CLOSED = 130, 141  # as a shell reports a program that SIGINT or SIGPIPE ended


class Command(NamedTuple):
    """A row of the table: what the command does, and the extra it needs besides the package itself."""

    summary: str
    extra: str = ""


COMMANDS = {
    "tour": Command("follow a photograph through the eleven formulas, with a picture at the end", extra="tour"),
    "train": Command("train a network with attention on digits among clutter, and show where it looks", extra="train"),
    "study": Command("put the document's claims to the test: what attention costs, and what it gains", extra="study"),
    "check": Command("check every gradient in every way on this machine"),
    "inspect": Command("show which CBAM blocks a checkpoint has, and what they have learned", extra="inspect"),
    "audit": Command("compare somebody's PyTorch class with the formulas, and name what differs", extra="torch"),
    "bench": Command("time the block beside PyTorch and JAX, if installed, with tables and pictures"),
    "course": Command("show how far you have got with my_cbam.py, or judge one function"),
    "doctor": Command("show what is installed, how to install the rest, and which array libraries work here"),
    "gpu-test": Command("run the tests, the gradient checks and timings on a GPU, and write one file of results"),
}


def module_of(name: str) -> ModuleType:
    """The module of a command."""
    return import_module(f"cbam_np.commands.{name.replace('-', '_')}")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Raise a ValueError."""
        raise ValueError(f"{message} (see {self.prog} --help)")


def parser(names: Iterable[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """All commands, and the options of those in `names`."""
    top = Parser(prog="cbam-np", description="CBAM from scratch, forward and backward, checked.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        sub = commands.add_parser(
            name, help=command.summary, description=f"{command.summary[0].upper()}{command.summary[1:]}."
        )
        if name in names:
            module_of(name).add_arguments(sub)
    return top


def options_in(arguments: list[str], name: str) -> dict[str, Any] | None:
    """The options of the command `name`; None if --help or --version have already printed what was asked for."""
    try:
        return vars(parser([name]).parse_args(arguments))
    except SystemExit:
        return None


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if all went well, 1 if a check failed, 2 if it could not be run."""
    arguments = sys.argv[1:] if arguments is None else arguments
    name = next((word for word in arguments if word in COMMANDS), "")
    terminal.fall_back_to_plain_characters()
    try:
        options = options_in(arguments, name)
        ok = options is None or module_of(options.pop("command")).run(console=terminal.Screen(), **options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        terminal.discard_unwritten()
        return PIPE_CLOSED
    except ModuleNotFoundError as error:
        if not COMMANDS[name].extra or str(error.name).startswith("cbam_np"):
            raise
        return not_run(name, f"{error}. In the folder of your clone: {extras.install_line(COMMANDS[name].extra)}")
    except (ValueError, RuntimeError, OSError, MemoryError) as error:
        return not_run(name, str(error))
    return OK if ok else FAILED


def not_run(name: str, reason: str) -> int:
    """Say in one line why a command could not be run."""
    print(" ".join(f"cbam-np {name}".split()) + f": {' '.join(reason.split())}", file=sys.stderr)
    terminal.discard_unwritten()
    return NOT_RUN
