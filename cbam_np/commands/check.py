"""`cbam-np check`: every operation and the block, against every oracle there is on this machine."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cbam_np.arrays import Array, asarray, describe, dtype_name, library_name, to_numpy
from cbam_np.checking.thorough import Op, Report, gradcheck
from cbam_np.reference.operations import OPERATIONS, converted, leaves

DTYPES = ("float64", "float32")
HEADS = ("diff", "cplx", "torch")
TORCH_TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
COMPLEX_TOLERANCE = 1e-12  # in float64; gradcheck itself allows 1e-9, for operations that cancel more than these
ENTRIES = 40  # of each input that are checked one by one; random directions cover the rest


@dataclass(frozen=True)
class Case:
    """An operation, the formula it stands for, and float64 inputs to check it with."""

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


def against_torch(case: Case, inputs: tuple[Any, ...], function: Callable[..., Any], seed: int) -> Cell:
    """Output and every gradient next to autograd's, for a random upstream gradient."""
    import torch

    dtype = dtype_name(arrays_in(inputs)[0])
    leaves = converted(inputs, lambda x: torch.from_numpy(to_numpy(x).copy()).requires_grad_())
    expected_out = function(*leaves)
    rng = np.random.default_rng([seed, 1])  # the inputs may come from the seed alone: d_out would be the very x
    d_out = rng.standard_normal(tuple(expected_out.shape)).astype(dtype)
    expected = torch.autograd.grad(expected_out, arrays_in(leaves), torch.from_numpy(d_out))

    out, backward = case.op(*inputs)
    result = backward(asarray(d_out, library_name(out)))
    got = arrays_in(result if isinstance(result, tuple) else (result,))
    pairs = [(out, expected_out), *zip(got, expected, strict=True)]
    error = float(np.max([_relative_error(to_numpy(a), b.detach().numpy()) for a, b in pairs]))
    return Cell(error, error <= TORCH_TOLERANCE[dtype])


def _relative_error(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(got - expected).max() / (np.abs(expected).max() or 1.0))


def summary(report: Report, method: str) -> Cell:
    """The worst row of one method; of a float32 input also how far that is from the float64 that was measured."""
    rows = [row for row in report.rows if row.method in (method, "contract")]
    if all(row.verdict == "not compared" for row in rows):
        return Cell(None, True, rows[0].note)
    rows = [row for row in report.rows if row.method in (method, "contract", "float32")]
    errors = [row.error for row in rows if row.verdict != "not compared"]
    notes = [row.note for row in rows if row.note]
    return Cell(max(errors), all(row.verdict != "wrong" for row in rows), "; ".join(notes))


def check(case: Case, dtype: str, backend: str, functions: dict[str, Callable[..., Any]], seed: int) -> list[Cell]:
    """One cell for each method: differences, complex step, PyTorch."""
    inputs = converted(case.inputs, lambda x: asarray(x.astype(dtype), backend))
    report = gradcheck(case.op, *inputs, seed=seed, max_entries=ENTRIES)
    differences, exact = summary(report, "differences"), summary(report, "complex step")
    if dtype == "float64" and exact.error is not None and not exact.error <= COMPLEX_TOLERANCE:
        exact = Cell(exact.error, False, exact.note or f"{exact.error:.0e} from the slope by the complex step")
    cells = [differences, exact]
    if case.name in functions:
        return [*cells, against_torch(case, inputs, functions[case.name], seed)]
    return [*cells, Cell(None, True, "PyTorch is not installed")]


def run(
    backend: str = "numpy", channels: int = 6, size: int = 9, seed: int = 0, console: Console | None = None
) -> bool:
    """Print the table; True if nothing in it is wrong.

    backend: an array library, "numpy", "cupy", ... channels, size: C and H of the inputs (W = H + 1, N = 2). Raises
    ValueError for a channels or size below 1, RuntimeError if CuPy is asked for and cannot be used.
    """
    for name, value in (("channels", channels), ("size", size)):
        if value < 1:
            raise ValueError(f"{name}: expected a positive integer, got {value}")
    console = console or Console()
    functions = torch_functions() if find_spec("torch") else {}
    where = describe(asarray(np.zeros(1), backend))
    title = f"Largest relative error of any gradient ({where.replace(' float64', '')})"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("operation", no_wrap=True)
    table.add_column("formula", no_wrap=True)
    for dtype in DTYPES:
        for head in HEADS:
            table.add_column(f"{dtype[0]}{dtype[-2:]}\n{head}", justify="right", no_wrap=True)
    problems = []
    count = 0
    with console.status("checking") as status:
        for case in cases(channels, size, seed):
            status.update(f"checking {case.name}")
            cells = [cell for dtype in DTYPES for cell in check(case, dtype, backend, functions, seed)]
            table.add_row(case.name, case.formula, *(_coloured(cell) for cell in cells))
            problems += [f"{case.name}: {cell.note}" for cell in cells if not cell.ok]
            count += sum(cell.error is not None for cell in cells)
    console.print(table)
    console.print(
        "diff and cplx: the slope itself, by central differences and by the complex step, in float64.\n"
        "torch: autograd. f64 passes at 1e-7, 1e-12, 1e-12; f32 at 1e-5. Upstream gradients are random."
    )
    if not functions:
        console.print('[yellow]PyTorch is not installed, its columns are empty: pip install "cbam-np\\[torch]"')
    for problem in dict.fromkeys(problems):
        console.print(f"[bold red]wrong[/] {escape(problem)}")
    console.print(
        f"[bold red]{len(problems)} of {count} checks failed" if problems else f"[bold green]all {count} checks passed"
    )
    return not problems


def _coloured(cell: Cell) -> str:
    if cell.error is None:
        return "[yellow]–"
    return f"[green]{cell.error:.0e}" if cell.ok else f"[bold red]{cell.error:.0e} ✗"
