"""`cbam-np audit package.module:Class`: is this class a CBAM? Needs the extra "torch"."""

import argparse
import ast
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from cbam_np.commands import terminal
from cbam_np.commands.whole_numbers import add_seed, positive

CHANNELS = object()  # in a call: the number of channels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("target", help="package.module:Class, or path/to/file.py:Class. Its code is run: read it first")
    parser.add_argument("--channels", type=positive, default=64, help="C of the features (default %(default)s)")
    parser.add_argument("--reduction", type=positive, help="r that it should have, if you know")
    parser.add_argument("--kernel-size", type=positive, default=7, help="k that it should have (default %(default)s)")
    parser.add_argument(
        "--call", default="channels", help='what to call Class with: "channels, reduction=8" (default %(default)s)'
    )
    add_seed(parser, "parameters, features and upstream gradient")


def run(
    console: Console, target: str, channels: int, reduction: int | None, kernel_size: int, call: str, seed: int
) -> bool:
    """Print the verdict and every deviation with its evidence; True if it is a CBAM by the formulas or a known release.

    Raises ValueError if the class can't be found, or `call` is not a list of values.
    """
    from cbam_np.pytorch.auditing import audit

    maker = with_arguments(class_of(target), call)
    report = audit(maker, channels, reduction, kernel_size, seed=seed)
    colour = "green" if report.ok else "red" if report.cbam is False else "yellow"
    verdict, *_ = str(report).splitlines()
    console.print(f"{escape(target)}: [bold {colour}]{escape(verdict)}", highlight=False, soft_wrap=True)
    if report.found:
        table = terminal.new_table(console)
        table.add_column("deviation", min_width=max(len(deviation.name) for deviation in report.found))
        table.add_column("evidence")
        for name, found in report.groups.items():
            what, _, whose = name.partition(" (")
            if what:
                table.add_row(f"[bold]{what}:", whose.rstrip(")"))
            for deviation in found:
                table.add_row(escape(deviation.name), escape(deviation.evidence))
        terminal.show(console, table)
    for sentence in [*(f"Not sure: {line}." for line in report.unsure), report.checked]:
        if sentence:
            console.print(escape(sentence), highlight=False)
    return report.ok


def class_of(target: str) -> Any:
    """What `target` names: in a module that can be imported, or in a file. Raises ValueError if there is none."""
    where, _, name = target.rpartition(":")
    if not where or not name.isidentifier():
        raise ValueError(f"target: expected package.module:Class, or path/to/file.py:Class, got {target}")
    try:
        module = file_as_module(Path(where)) if where.endswith(".py") else in_this_folder(where)
    except Exception as error:  # anything may happen in code that is imported
        raise ValueError(f"target: {where} can't be imported: {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        raise ValueError(f"target: expected a class in {where}, got {name}, which is not in it")
    return getattr(module, name)


def in_this_folder(name: str) -> Any:
    """A module, which may also lie in the working directory, as with python -m."""
    sys.path.insert(0, "")
    try:
        return import_module(name)
    finally:
        sys.path.remove("")


def file_as_module(path: Path) -> Any:
    """A file as a module of its own."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    spec = spec_from_file_location("audited", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["audited"] = module  # where classes look for their own module
    spec.loader.exec_module(module)
    return module


def with_arguments(maker: Any, call: str) -> Callable[..., Any]:
    """`maker` as a function of the channels, called as `call` says. Raises ValueError unless these are plain values."""
    if call.strip() == "channels":
        return maker
    try:
        tree = ast.parse(f"f({call})", mode="eval").body
        assert isinstance(tree, ast.Call)
        fixed = [value_of(x) for x in tree.args]
        named = {str(keyword.arg): value_of(keyword.value) for keyword in tree.keywords}
    except (SyntaxError, ValueError, AssertionError):
        raise ValueError(f'--call: expected values such as "channels, reduction=8", got {call}') from None

    def made(channels: int) -> Any:
        def filled(value: Any) -> Any:
            return channels if value is CHANNELS else value

        return maker(*map(filled, fixed), **{name: filled(value) for name, value in named.items()})

    made.__name__ = getattr(maker, "__name__", "it")
    return made


def value_of(x: ast.expr) -> Any:
    """A plain value, or `CHANNELS` for the word channels. Raises ValueError for anything else."""
    return CHANNELS if isinstance(x, ast.Name) and x.id == "channels" else ast.literal_eval(x)
