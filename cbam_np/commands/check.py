"""`cbam-np check`: every operation and the block, checked in every way that this machine has."""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from cbam_np.arrays import Array, asarray, describe, dtype_name, library_name, to_numpy
from cbam_np.checking.comparison import TOLERANCES
from cbam_np.checking.thorough import Op, Report, gradcheck
from cbam_np.commands import extras, terminal
from cbam_np.commands.whole_numbers import add_seed, positive
from cbam_np.reference.operations import OPERATIONS, converted, leaves

CHANNELS, SIZE = 6, 9  # of the inputs, unless others are asked for
DTYPES = ("float64", "float32")
HEADS = ("diff", "cplx", "torch")
TORCH_TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
COMPLEX_TOLERANCE = 1e-12  # in float64; gradcheck itself allows 1e-9, for operations that cancel more than these
ENTRIES = 40  # of each input that are checked one by one; random directions cover the rest
SWITCHES = {"jax": "JAX_ENABLE_X64=1"}  # the environment variable that lets a library have float64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--backend", default="numpy", help="array library: numpy (default), cupy, torch, jax, ...")
    parser.add_argument("--channels", type=positive, default=CHANNELS, help="C of the inputs (default %(default)s)")
    parser.add_argument("--size", type=positive, default=SIZE, help="H of the inputs; W is H + 1 (default %(default)s)")
    add_seed(parser, "the inputs and of the upstream gradients")


@dataclass(frozen=True)
class Case:
    """An operation, the formula it computes, and float64 inputs to check it with."""

    name: str
    formula: str
    op: Op
    inputs: tuple[Any, ...]


@dataclass(frozen=True)
class Cell:
    """One comparison: its largest relative error, or why there is none."""

    error: float | None
    ok: bool
    note: str = ""


def cases(channels: int, size: int, seed: int) -> Iterator[Case]:
    """All operations in the document's order, with N = 2, H = size, W = size + 1."""
    for row in OPERATIONS:
        inputs = row.sample((2, channels, size, size + 1), seed)
        yield Case(row.name, row.formula, row.op(), tuple(inputs.values()))


def torch_functions() -> dict[str, Callable[..., Any]]:
    """The same functions written with PyTorch's own, by the name of the case. ImportError without PyTorch."""
    return {row.name: row.in_pytorch() for row in OPERATIONS}


def arrays_in(inputs: tuple[Any, ...]) -> list[Array]:
    """The arrays of `inputs` in order, dicts opened."""
    return [array for _, array in leaves(inputs) if array is not None]


def has_float64(library: str) -> bool:
    """Whether arrays of this library can be float64. JAX turns it into float32 without a word, unless told not to."""
    return dtype_name(asarray(np.zeros(1), library)) == "float64"


def check(case: Case, dtype: str, backend: str, functions: dict[str, Callable[..., Any]], seed: int) -> list[Cell]:
    """One cell for each method: differences, complex step, PyTorch.

    A library without float64 gives float32 results, but no slopes precise enough to judge them. Then the slopes are
    measured on NumPy, where they judge the gradient in float64, and the library's gradient is compared with that one.
    """
    if dtype == "float64" and not has_float64(backend):
        return [Cell(None, True, f"{backend} has no float64 here")] * len(HEADS)
    inputs = converted(case.inputs, lambda x: asarray(x.astype(dtype), backend))
    if has_float64(backend):
        report = gradcheck(case.op, *inputs, seed=seed, max_entries=ENTRIES)
        slopes = [summary(report, method) for method in ("differences", "complex step")]
    else:
        in_float64 = converted(inputs, lambda x: to_numpy(x).astype(np.float64))
        report = gradcheck(case.op, *in_float64, seed=seed, max_entries=ENTRIES)
        result = against_numpy(case, inputs, in_float64, seed)
        slopes = [worse(summary(report, method), result) for method in ("differences", "complex step")]
    differences, exact = slopes
    if dtype == "float64" and exact.error is not None and not exact.error <= COMPLEX_TOLERANCE:
        exact = Cell(exact.error, False, exact.note or f"{exact.error:.0e} from the slope by the complex step")
    if case.name not in functions:
        return [differences, exact, Cell(None, True, "PyTorch is not installed")]
    return [differences, exact, against_torch(case, inputs, functions[case.name], seed)]


def summary(report: Report, method: str) -> Cell:
    """The worst row of one method; of a float32 input also how far that is from the float64 that was measured."""
    rows = [row for row in report.rows if row.method in (method, "contract")]
    if all(row.verdict == "not compared" for row in rows):
        return Cell(None, True, rows[0].note)
    rows = [row for row in report.rows if row.method in (method, "contract", "float32")]
    errors = [row.error for row in rows if row.verdict != "not compared"]
    notes = [row.note for row in rows if row.note]
    return Cell(max(errors), all(row.verdict != "wrong" for row in rows), "; ".join(notes))


def worse(first: Cell, second: Cell) -> Cell:
    """Two comparisons of which neither may fail; only the second one if the first could not be made."""
    if first.error is None or second.error is None:
        return first
    return Cell(max(first.error, second.error), first.ok and second.ok, first.note or second.note)


def against_torch(case: Case, inputs: tuple[Any, ...], function: Callable[..., Any], seed: int) -> Cell:
    """Output and every gradient next to autograd's, for a random upstream gradient."""
    import torch

    leaves = converted(inputs, lambda x: torch.from_numpy(to_numpy(x).copy()).requires_grad_())
    out = function(*leaves)
    d_out = upstream(tuple(out.shape), inputs, seed)
    expected = out, *torch.autograd.grad(out, arrays_in(leaves), torch.from_numpy(d_out))
    return compared(case, inputs, d_out, [x.detach().numpy() for x in expected], "PyTorch's")


def against_numpy(case: Case, inputs: tuple[Any, ...], in_float64: tuple[Any, ...], seed: int) -> Cell:
    """Output and every gradient next to those of the same operation on NumPy in float64."""
    out, backward = case.op(*in_float64)
    d_out = upstream(out.shape, inputs, seed)
    return compared(case, inputs, d_out, [out, *gradients(backward(d_out.astype(np.float64)))], "NumPy's in float64")


def upstream(shape: tuple[int, ...], inputs: tuple[Any, ...], seed: int) -> np.ndarray:
    """A random upstream gradient in the dtype of the inputs."""
    rng = np.random.default_rng([seed, 1])  # inputs come from the seed alone: d_out would be the very x
    return rng.standard_normal(shape).astype(dtype_name(arrays_in(inputs)[0]))


def gradients(result: Any) -> list[Array]:
    """What a backward returned, as a list of arrays."""
    return arrays_in(result if isinstance(result, tuple) else (result,))


def compared(case: Case, inputs: tuple[Any, ...], d_out: np.ndarray, expected: list[np.ndarray], whose: str) -> Cell:
    """The largest relative error of the output and of any gradient; infinity for another shape, library or dtype."""
    home = arrays_in(inputs)[0]
    out, backward = case.op(*inputs)
    got = [out, *gradients(backward(asarray(d_out, library_name(out))))]
    errors = [
        np.abs(to_numpy(x) - y).max() / (np.abs(y).max() or 1.0)
        if tuple(x.shape) == y.shape and describe(x) == describe(home)
        else np.inf
        for x, y in zip(got, expected, strict=True)
    ]
    error = float(np.max(errors))
    ok = error <= TORCH_TOLERANCE[dtype_name(home)]
    return Cell(error, ok, "" if ok else f"{error:.0e} from {whose} output or gradients")


def run(console: Console, backend: str, channels: int, size: int, seed: int) -> bool:
    """Print the table; True if nothing in it is wrong.

    backend: an array library, "numpy", "cupy", ... channels, size: C and H of the inputs (W = H + 1, N = 2). Raises
    ValueError for a library that is not installed, RuntimeError if CuPy is asked for and cannot be used.
    """
    try:
        where = describe(asarray(np.zeros(1, np.float32), backend)).replace(" float32", "")
    except ValueError as error:
        raise ValueError(f"--backend: expected an installed array library such as numpy, got {backend}") from error
    functions = torch_functions() if find_spec("torch") else {}
    table = terminal.new_table(console, f"Largest relative error of any gradient ({where})")
    table.add_column("operation", no_wrap=True)
    table.add_column("formula", no_wrap=True)
    for dtype in DTYPES:
        for head in HEADS:
            table.add_column(f"{short(dtype)}\n{head}", justify="right", no_wrap=True)
    wrong, missing = [], []
    count = 0
    with console.status("checking") as status:
        for case in cases(channels, size, seed):
            status.update(f"checking {case.name}")
            cells = [cell for dtype in DTYPES for cell in check(case, dtype, backend, functions, seed)]
            table.add_row(case.name, case.formula, *(_coloured(cell) for cell in cells))
            wrong += [f"{case.name}: {cell.note}" for cell in cells if not cell.ok]
            missing += [cell.note for cell in cells if cell.error is None]
            count += sum(cell.error is not None for cell in cells)
    terminal.show(console, table)
    console.print(
        "diff and cplx compare with the slope itself, measured in float64 by central differences and by the complex "
        "step. torch compares with PyTorch's autograd. The upstream gradients are random."
    )
    console.print(f"Allowed: {', '.join(f'{name} {limit:.0e}' for name, limit in limits().items())}.")
    for reason, times in Counter(missing).items():
        console.print(f"[yellow]–[/] {times} of {count + len(missing)} could not be compared: {escape(reason)}")
    if not functions:
        console.print(f"To compare with PyTorch: {extras.install_line('torch')}", markup=False, highlight=False)
    if not has_float64(backend):
        console.print(
            f"[yellow]{backend} is in 32-bit mode:[/] float64 can't be had. Its float32 results were compared with "
            "NumPy's in float64, and the slopes were measured there."
        )
        if backend in SWITCHES:
            console.print(f"To check float64 too: {SWITCHES[backend]} cbam-np check --backend {backend}")
    for problem in dict.fromkeys(wrong):
        console.print(f"[bold red]wrong[/] {escape(problem)}")
    console.print(
        f"[bold red]{len(wrong)} of {count} checks failed" if wrong else f"[bold green]all {count} checks passed"
    )
    return not wrong


def short(dtype: str) -> str:
    """f64 for float64."""
    return dtype.replace("float", "f")


def limits() -> dict[str, float]:
    """The relative error up to which each column of the table passes."""
    return {
        "f64 diff": TOLERANCES["differences"][0],
        "f64 cplx": COMPLEX_TOLERANCE,
        "f64 torch": TORCH_TOLERANCE["float64"],
        "f32": TOLERANCES["float32"][0],
    }


def _coloured(cell: Cell) -> str:
    if cell.error is None:
        return "[yellow]–"
    error = f"{cell.error:.0e}" if cell.error else "0"
    return f"[green]{error}" if cell.ok else f"[bold red]{error} ✗"
