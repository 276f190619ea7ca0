"""The extras of the package: what each is for, what it asks for, and how to install it."""

import re
from importlib.metadata import PackageNotFoundError, requires, version

PURPOSES = {
    "fast": "CBAM(..., fused=True) and cbam_np.fused: the block as compiled loops",
    "torch": "cbam_np.pytorch, cbam-np audit, PyTorch's columns in cbam-np check, PyTorch in cbam-np bench",
    "inspect": "cbam-np inspect",
    "tour": "cbam-np tour",
    "notebooks": "the course in JupyterLab",
    "cupy12x": "a GPU with CUDA 12",
    "cupy13x": "a GPU with CUDA 13",
    "train": "cbam-np train",
    "study": "cbam-np study",
    "mpi": "cbam-np train and study in several processes, on one machine or more",
    "jax": "JAX arrays, JAX in cbam-np bench",
    "docs": "building the site",
    "docs-check": "testing the site in a browser",
    "test": "the tests",
}


def install_line(extra: str) -> str:
    """What to type in the folder of your clone to get an extra."""
    return f'pip install -e ".[{extra}]"'


def packages() -> dict[str, list[str]]:
    """The packages that each extra asks for; those that the package itself asks for under "".

    Empty if the package is not installed but only on the path: then there is no record of them.
    """
    try:
        lines = requires("cbam-np") or []
    except PackageNotFoundError:
        return {}
    found: dict[str, list[str]] = {}
    for line in lines:  # such as: torch>=2.4; extra == 'torch'
        extra = re.search(r"extra == ['\"]([\w-]+)", line)
        found.setdefault(extra[1] if extra else "", []).append(re.split(r"[^\w.-]", line)[0])
    return found


def installed(package: str) -> str:
    """The version of a package, or "" if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
