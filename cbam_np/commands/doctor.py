"""`cbam-np doctor`: what is installed, how to install the rest, and which array libraries can be used here."""

import argparse
import platform

from rich.console import Console
from rich.markup import escape

from cbam_np import __version__
from cbam_np.arrays import array_library, asarray, to_numpy
from cbam_np.attention.block import CBAM
from cbam_np.commands import extras, terminal

LIBRARIES = ("numpy", "cupy", "torch", "jax", "array_api_strict")
EITHER = {"cupy12x": "cupy13x", "cupy13x": "cupy12x"}  # extras of which only one can be installed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(console: Console) -> bool:
    """Print what is here and what is missing; True if NumPy, which everything needs, works."""
    console.print(f"cbam_np {__version__}, Python {platform.python_version()}, {platform.platform()}", highlight=False)
    show_extras(console)

    table = terminal.new_table(console, "Array libraries: can the block run on them here?")
    table.add_column("library")
    table.add_column("usable")
    reasons = {library: diagnosis(library) for library in LIBRARIES}
    for library, reason in reasons.items():
        table.add_row(library, f"[yellow]no: {escape(reason)}" if reason else "[green]yes")
    terminal.show(console, table)
    return not reasons["numpy"]


def show_extras(console: Console) -> None:
    """The versions of the packages that are installed, the extras that lack some, and the line that installs each."""
    wanted = extras.packages()
    versions = {package: extras.installed(package) for package in sorted(set().union(*wanted.values()))}
    console.print(", ".join(f"{package} {found}" for package, found in versions.items() if found), highlight=False)
    missing = {extra: [p for p in packages if not versions[p]] for extra, packages in wanted.items() if extra}

    table = terminal.new_table(console, "Extras")
    for head in ("extra", "for", "here"):
        table.add_column(head)
    for extra, packages in missing.items():
        here = f"[yellow]missing: {', '.join(packages)}" if packages else "[green]installed"
        table.add_row(extra, extras.PURPOSES.get(extra, ""), here)
    terminal.show(console, table)
    if not wanted:
        console.print("cbam_np is not installed but only on the path, so its extras are not known: pip install -e .")
    complete = {extra for extra, packages in missing.items() if not packages}
    for extra in missing:
        if extra not in complete and EITHER.get(extra) not in complete:
            line = f"To install {extra}: {extras.install_line(extra)}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def diagnosis(library: str) -> str:
    """ "" if the block runs forward and backward on arrays of this library here; else the reason and the remedy."""
    try:
        array_library(library)
        block = CBAM(2, reduction=1, kernel_size=3).to(library)
        f = asarray(CBAM(2, reduction=1, kernel_size=3).params["spatial.kernel"], library)
        to_numpy(block.backward(block(f)))
    except Exception as error:
        return str(error)
    return ""
