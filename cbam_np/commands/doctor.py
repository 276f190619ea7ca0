"""`cbam-np doctor`: what is installed, and which array libraries can be used here."""

import platform
from importlib.metadata import PackageNotFoundError, version

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cbam_np import __version__
from cbam_np.arrays import array_library, asarray, to_numpy
from cbam_np.attention.block import CBAM

PACKAGES = (
    "numpy",
    "array-api-compat",
    "rich",
    "torch",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "jax",
    "array-api-strict",
    "matplotlib",
    "scikit-image",
    "jupyterlab",
    "pytest",
)
LIBRARIES = ("numpy", "cupy", "torch", "jax.numpy", "array_api_strict")


def installed(package: str) -> str:
    """The version of a package, or "" if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


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


def run(console: Console | None = None) -> bool:
    """Print both tables; True if NumPy, which everything needs, works."""
    console = console or Console()
    console.print(f"cbam_np {__version__}, Python {platform.python_version()}, {platform.platform()}")
    packages = Table(box=box.SIMPLE_HEAD, title="packages", title_justify="left")
    packages.add_column("package")
    packages.add_column("version")
    for package in PACKAGES:
        packages.add_row(package, installed(package) or "[yellow]not installed")
    libraries = Table(
        box=box.SIMPLE_HEAD, title="array libraries: can the block run on them here?", title_justify="left"
    )
    libraries.add_column("library")
    libraries.add_column("usable")
    found = {library: diagnosis(library) for library in LIBRARIES}
    for library, reason in found.items():
        libraries.add_row(library, f"[yellow]no: {escape(reason)}" if reason else "[green]yes")
    console.print(packages)
    console.print(libraries)
    return not found["numpy"]
