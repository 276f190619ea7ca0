"""Mistakes that people make in backward passes, planted one at a time: who notices?

A mutant is the package with one fragment of one file replaced. It is loaded beside the real package, in memory
(`load`), and handed to the check that has to notice it. Nearly all are left to `gradcheck`. A few choose
another convention at a kink, where ReLU has its corner or a maximum is attained twice: what they return is still a
subgradient, so differences cannot object, and a comparison with PyTorch has to.

`verdicts()` says for every mutant whether it was killed, and whether it would have been by the same check with
an upstream gradient of ones, which is what most teaching code does. `survivors_with_ones()` are those that
would not.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial, wraps
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch

import cbam_np
from cbam_np.checking.thorough import gradcheck
from cbam_np.reference.operations import OPERATIONS, Operation

Op = Callable[..., Any]
ROOT = Path(cbam_np.__file__).parent


class Mutant(NamedTuple):
    """`original`, which occurs once in `file`, becomes `replacement`; the check named `check` must then fail."""

    name: str
    file: str
    original: str
    replacement: str
    check: str


class Verdict(NamedTuple):
    """Whether the check fails, and whether it would with an upstream of ones (None if it is no gradient check)."""

    mutant: Mutant
    killed: bool
    killed_with_ones: bool | None


# loading


class _Sources(MetaPathFinder, Loader):
    """Imports modules from a dict of sources, file name -> source, instead of from disk."""

    def __init__(self, sources: dict[str, str]) -> None:
        self.sources = sources

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        stem = fullname.replace(".", "/")
        for file, is_package in ((f"{stem}.py", False), (f"{stem}/__init__.py", True)):
            if file in self.sources:
                return spec_from_loader(fullname, self, origin=file, is_package=is_package)
        return None

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        file = str(module.__spec__.origin)
        exec(_compiled(file, self.sources[file]), module.__dict__)


@cache
def _compiled(file: str, source: str) -> CodeType:
    """The name in <> keeps a mutant's lines out of the coverage of the real file."""
    return compile(source, f"<{file}>", "exec")


@cache
def sources() -> dict[str, str]:
    """The package as it is on disk: file name -> source."""
    return {file.relative_to(ROOT.parent).as_posix(): file.read_text("utf-8") for file in ROOT.rglob("*.py")}


def load(mutant: Mutant, module: str = "cbam_np") -> Any:
    """A second copy of the package, with the mistake in it. The real one and its files stay as they are.

    module: what to import, for a part of the package that does not come with it.
    """
    source = sources()[mutant.file]
    if source.count(mutant.original) != 1:
        raise ValueError(f"{mutant.name}: expected {mutant.original!r} once in {mutant.file}")
    finder = _Sources(sources() | {mutant.file: source.replace(mutant.original, mutant.replacement)})
    real = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "cbam_np"}
    sys.meta_path.insert(0, finder)
    try:
        import_module(module)
        return sys.modules["cbam_np"]
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.split(".")[0] == "cbam_np"]:
            del sys.modules[name]
        sys.modules.update(real)


# the checks

SHAPE = 3, 5, 4, 6  # all different, so that swapped axes show; none is 2, so that a half isn't one over a size
TIED = np.random.default_rng(0).integers(1, 4, (2, 3, 4, 5)) / 2.0  # three values: nearly every maximum is tied
UNTIED = np.random.default_rng(0).permutation(30).reshape(2, 3, 1, 5) / 10
ONE_TIE = np.array([[[[3.0, 1.0], [0.5, 3.0]], [[3.0, 1.5], [2.0, 2.5]]]])  # of two pixels, and of two channels


def _row(row: Operation) -> Callable[[Any], tuple[Any, ...]]:
    """The operation of a row and sample inputs; in `F` no two entries are so close that a difference steps over one."""

    def of(package: Any) -> tuple[Any, ...]:
        first, *others = row.sample(SHAPE, seed=1).values()
        rank = np.argsort(np.argsort(first, axis=None)).reshape(first.shape)
        return row.op(package), 4 * (rank + 0.5) / first.size - 2, *others

    return of


# the package -> an operation and its inputs, for gradcheck
GRADIENTS: dict[str, Callable[[Any], tuple[Any, ...]]] = {row.name: _row(row) for row in OPERATIONS} | {
    "max_pool_over_space, split": lambda cb: (partial(cb.ops.max_pool_over_space, ties="split"), UNTIED),
    "concat, alike": lambda cb: (cb.ops.concat, TIED[:, :, :2, :3] + 0.1, TIED[:, :, 2:, 2:]),
    "max_pool_over_channels at ties": lambda cb: (cb.ops.max_pool_over_channels, ONE_TIE),
    "max_pool_over_space, split at ties": lambda cb: (partial(cb.ops.max_pool_over_space, ties="split"), ONE_TIE),
}


def _as_torch(op: Op, reference: Callable[[torch.Tensor], torch.Tensor], x: np.ndarray) -> bool:
    """Whether `op` has the output and the gradient of `reference`."""
    out, backward = op(x)
    d_out = np.random.default_rng(1).standard_normal(out.shape)
    t = torch.tensor(x, requires_grad=True)
    expected = reference(t)
    (d_x,) = torch.autograd.grad(expected, t, torch.from_numpy(d_out))
    return np.allclose(out, expected.detach()) and np.allclose(backward(d_out), d_x, rtol=1e-12)


# the package -> whether it does at a kink what PyTorch does there
KINKS: dict[str, Callable[[Any], bool]] = {
    "relu at 0, as PyTorch": lambda cb: _as_torch(cb.ops.relu, torch.relu, np.array([-1.0, 0.0, 1.0, 0.0])),
    "max over space at ties, as PyTorch": lambda cb: _as_torch(
        cb.ops.max_pool_over_space, lambda t: t.flatten(2).max(dim=2).values, TIED
    ),
    "max over channels at ties, as PyTorch": lambda cb: _as_torch(
        cb.ops.max_pool_over_channels, lambda t: t.max(dim=1, keepdim=True).values, TIED
    ),
}
MAX_ENTRIES = 8  # of each input one by one; random directions move all of them anyway


def passes(package: Any, check: str) -> bool:
    """Whether `package` passes that check."""
    if check in KINKS:
        return KINKS[check](package)
    op, *inputs = GRADIENTS[check](package)
    return gradcheck(op, *inputs, max_entries=MAX_ENTRIES).ok


def passes_with_ones(package: Any, check: str) -> bool:
    """Whether `package` passes that gradient check if the upstream gradient is ones."""
    op, *inputs = GRADIENTS[check](package)
    return gradcheck(_sum_of(op), *inputs, max_entries=MAX_ENTRIES).ok


def _sum_of(op: Op) -> Op:
    """The sum of all outputs of `op`: its gradient is that of `op` for an upstream of ones."""

    @wraps(op)
    def summed(*inputs: Any) -> tuple[Any, Callable[[np.ndarray], Any]]:
        out, backward = op(*inputs)
        return np.sum(out)[None], lambda d_sum: _scaled(backward(np.ones_like(out)), d_sum[0])

    return summed


def _scaled(gradients: Any, factor: float) -> Any:
    if isinstance(gradients, tuple):
        return tuple(_scaled(d, factor) for d in gradients)
    if isinstance(gradients, dict):
        return {key: _scaled(d, factor) for key, d in gradients.items()}
    return None if gradients is None else factor * gradients


def verdicts(mutants: Iterable[Mutant] | None = None) -> list[Verdict]:
    """The fate of `mutants`, by default of all there are (half a minute)."""
    fates = []
    for mutant in MUTANTS if mutants is None else mutants:
        package = load(mutant)
        ones = None if mutant.check in KINKS else not passes_with_ones(package, mutant.check)
        fates.append(Verdict(mutant, not passes(package, mutant.check), ones))
    return fates


def survivors_with_ones(mutants: Iterable[Mutant] | None = None) -> list[Mutant]:
    """The mutants that the gradient check kills, and that live if its upstream gradient is ones."""
    return [mutant for mutant, killed, killed_with_ones in verdicts(mutants) if killed and killed_with_ones is False]


# the mistakes


def _planted(file: str, *mistakes: tuple[str, str, str, str]) -> list[Mutant]:
    """Mutants of one file from (check, name, original, replacement)."""
    return [
        Mutant(f"{check}: {name}", file, original, replacement, check)
        for check, name, original, replacement in mistakes
    ]


MUTANTS = [
    *_planted(
        "cbam_np/arrays.py",
        ("avg_pool_over_space", "forward sums, backward averages", "keepdims=keepdims) / count", "keepdims=keepdims)"),
        (
            "avg_pool_over_channels",
            "forward divides by the size of F",
            "prod(x.shape[i] for i in axis)",
            "prod(x.shape)",
        ),
        (
            "mlp, biases",
            "mean for sum",
            "xp.sum(x, axis=axis, dtype=accumulator(x), keepdims=keepdims), x.dtype",
            "xp.mean(x, axis=axis, keepdims=keepdims), x.dtype",
        ),
        (
            "gate by M_c",
            "mean for sum of products",
            "np.expand_dims(summed, axis)",
            "np.expand_dims(summed, axis) / prod(a.shape[i] for i in axis)",
        ),
        (
            "max_pool_over_channels",
            "winner counted from the wrong end",
            "xp.put_along_axis(out, index, values, axis)",
            "xp.put_along_axis(out, size - 1 - index, values, axis)",
        ),
    ),
    *_planted(
        "cbam_np/ops/activation.py",
        ("relu", "gradient zero", "xp.zeros_like(d_out), d_out)", "xp.zeros_like(d_out), 0 * d_out)"),
        ("relu", "upstream ignored", "xp.zeros_like(d_out), d_out)", "xp.zeros_like(d_out), xp.ones_like(d_out))"),
        ("relu", "mask always true", "return xp.where(off, xp.zeros_like(d_out), d_out)", "return d_out"),
        (
            "relu",
            "mask inverted",
            "xp.where(off, xp.zeros_like(d_out), d_out)",
            "xp.where(off, d_out, xp.zeros_like(d_out))",
        ),
        (
            "relu",
            "mask from the sign of d_out",
            "xp.where(off, xp.zeros_like(d_out), d_out)",
            "xp.where(d_out <= 0, xp.zeros_like(d_out), d_out)",
        ),
        ("relu at 0, as PyTorch", ">= for >", "real(z) <= 0", "real(z) < 0"),
        ("sigmoid", "gradient zero", "d_out * (e / (1 + e) ** 2)", "0 * d_out"),
        ("sigmoid", "upstream ignored", "d_out * (e / (1 + e) ** 2)", "e / (1 + e) ** 2"),
        ("sigmoid", "without the factor 1 - s", "d_out * (e / (1 + e) ** 2)", "d_out * out"),
        ("sigmoid", "square forgotten", "(1 + e) ** 2", "(1 + e)"),
        ("sigmoid", "z (1 - z) for s (1 - s)", "d_out * (e / (1 + e) ** 2)", "d_out * z * (1 - z)"),
        ("sigmoid", "derivative of tanh", "d_out * (e / (1 + e) ** 2)", "d_out * (1 - out**2)"),
        (
            "sigmoid",
            "applied twice",
            "d_out * (e / (1 + e) ** 2)",
            "d_out * xp.exp(-out) / (1 + xp.exp(-out)) ** 2",
        ),
    ),
    *_planted(
        "cbam_np/ops/pooling.py",
        ("avg_pool_over_space", "gradient zero", "d_avg_c[:, :, None, None] / H / W", "0 * d_avg_c[:, :, None, None]"),
        (
            "avg_pool_over_space",
            "upstream ignored",
            "d_avg_c[:, :, None, None] / H / W",
            "xp.ones_like(d_avg_c)[:, :, None, None] / H / W",
        ),
        ("avg_pool_over_space", "sum for mean", "/ H / W, f.shape)", ", f.shape)"),
        ("avg_pool_over_space", "1/C for 1/(HW)", "/ H / W, f.shape)", "/ f.shape[1], f.shape)"),
        ("avg_pool_over_space", "1/H² for 1/(HW)", "/ H / W, f.shape)", "/ H / H, f.shape)"),
        (
            "max_pool_over_space",
            "gradient zero",
            "max_backward(d_max_c[:, :, None])",
            "max_backward(0 * d_max_c[:, :, None])",
        ),
        (
            "max_pool_over_space",
            "upstream ignored",
            "max_backward(d_max_c[:, :, None])",
            "max_backward(xp.ones_like(largest))",
        ),
        (
            "max_pool_over_space",
            "every entry gets the gradient",
            "xp.reshape(max_backward(d_max_c[:, :, None]), f.shape)",
            "xp.broadcast_to(d_max_c[:, :, None, None], f.shape)",
        ),
        (
            "max_pool_over_space",
            "height and width swapped",
            "xp.reshape(max_backward(d_max_c[:, :, None]), f.shape)",
            "xp.permute_dims(xp.reshape(max_backward(d_max_c[:, :, None]), (N, C, W, H)), (0, 1, 3, 2))",
        ),
        ("avg_pool_over_channels", "gradient zero", "d_avg_s / C", "0 * d_avg_s"),
        ("avg_pool_over_channels", "upstream ignored", "d_avg_s / C", "xp.ones_like(d_avg_s) / C"),
        ("avg_pool_over_channels", "sum for mean", "d_avg_s / C", "d_avg_s"),
        ("avg_pool_over_channels", "1/(HW) for 1/C", "d_avg_s / C", "d_avg_s / (f1.shape[2] * f1.shape[3])"),
        ("max_pool_over_channels", "gradient zero", "put_along_axis(d_largest,", "put_along_axis(0 * d_largest,"),
        (
            "max_pool_over_channels",
            "upstream ignored",
            "put_along_axis(d_largest,",
            "put_along_axis(xp.ones_like(d_largest),",
        ),
        ("max_pool_over_channels", "smallest for largest", "xp.argmax(real(x)", "xp.argmin(real(x)"),
        (
            "max_pool_over_channels",
            "winner searched along the wrong axis",
            "winner = xp.argmax(real(x), axis=axis, keepdims=True)",
            "winner = xp.argmax(real(x), axis=axis + 1, keepdims=True) % x.shape[axis]",
        ),
        (
            "max_pool_over_space, split",
            "upstream ignored",
            "d_largest * xp.astype(share,",
            "xp.astype(share,",
        ),
        (
            "max_pool_over_space, split",
            "every entry gets the gradient",
            "d_largest * xp.astype(share,",
            "d_largest + 0 * xp.astype(share,",
        ),
        ("max over space at ties, as PyTorch", "split for first", 'if ties == "first" else', 'if ties == "split" else'),
        (
            "max over channels at ties, as PyTorch",
            "last index for first",
            "xp.argmax(real(x), axis=axis, keepdims=True)",
            "x.shape[axis] - 1 - xp.argmax(xp.flip(real(x), axis=axis), axis=axis, keepdims=True)",
        ),
        (
            "max_pool_over_channels at ties",
            "full gradient to every tied entry",
            "return put_along_axis(d_largest, winner, x.shape[axis], axis)",
            "return d_largest * (x == largest)",
        ),
        (
            "max_pool_over_space, split at ties",
            "full gradient to every tied entry",
            "share = share / xp.sum(share, axis=axis, keepdims=True)",
            "",
        ),
    ),
    *_planted(
        "cbam_np/ops/perceptron.py",
        ("mlp, biases", "upstream ignored", "d_w2 = d_out.T @ h", "d_out = 0 * d_out + 1\n        d_w2 = d_out.T @ h"),
        ("mlp, biases", "d_w2 zero", "d_out.T @ h", "0 * w2"),
        ("mlp, biases", "d_w2 transposed", "d_out.T @ h", "h.T @ d_out"),
        ("mlp, biases", "d_w2 from z, before the ReLU", "d_out.T @ h", "d_out.T @ z"),
        ("mlp, biases", "d_w1 transposed", "d_z.T @ x", "x.T @ d_z"),
        ("mlp, biases", "d_w1 averaged over the batch", "d_z.T @ x", "d_z.T @ x / x.shape[0]"),
        (
            "mlp, biases",
            "w2 transposed in the backward pass",
            "relu_backward(d_out @ w2)",
            "relu_backward(d_out @ w2.T)",
        ),
        ("mlp, biases", "w1 transposed in the backward pass", "d_z @ w1", "d_z @ w1.T"),
        ("mlp, biases", "ReLU forgotten in the backward pass", "relu_backward(d_out @ w2)", "d_out @ w2"),
        (
            "mlp, biases",
            "d_w1 and d_w2 swapped",
            "return d_x, d_w1, d_w2, d_b1, d_b2",
            "return d_x, d_w2, d_w1, d_b1, d_b2",
        ),
        ("mlp, biases", "d_b1 taken after the ReLU", "total(d_z, axis=0)", "total(d_out @ w2, axis=0)"),
        (
            "mlp, biases",
            "d_b2 averaged over the batch",
            "total(d_out, axis=0)",
            "total(d_out, axis=0) / d_out.shape[0]",
        ),
        ("shared_mlp, biases", "upstream ignored", "d_avg_c, *through", "d_z = 0 * d_z + 1\n        d_avg_c, *through"),
        ("shared_mlp, biases", "weights from the average only", "else a + m for", "else a for"),
        ("shared_mlp, biases", "weights from the maximum only", "else a + m for", "else m for"),
        ("shared_mlp, biases", "mean of both branches for their sum", "else a + m for", "else (a + m) / 2 for"),
        (
            "shared_mlp, biases",
            "bias b2 counted once",
            "return d_avg_c, d_max_c, *d_weights",
            "return d_avg_c, d_max_c, *d_weights[:3], through_avg[3]",
        ),
        ("shared_mlp, biases", "maximum sent back through the average", "max_backward(d_z)", "avg_backward(d_z)"),
        ("shared_mlp, biases", "branches swapped", "return d_avg_c, d_max_c,", "return d_max_c, d_avg_c,"),
    ),
    *_planted(
        "cbam_np/ops/conv.py",
        (
            "im2col",
            "windows read in reverse order",
            "for window in _windows(H_out, W_out, k, stride)]",
            "for window in _windows(H_out, W_out, k, stride)[::-1]]",
        ),
        (
            "col2im",
            "upstream ignored",
            "im2col(d_x, k, stride, padding)",
            "im2col(xp.ones_like(d_x), k, stride, padding)",
        ),
        ("im2col", "upstream ignored", "col2im(d_columns, (H, W)", "col2im(xp.ones_like(d_columns), (H, W)"),
        (
            "im2col",
            "windows added in reverse order",
            "enumerate(_windows(H_out, W_out, k, stride))",
            "enumerate(_windows(H_out, W_out, k, stride)[::-1])",
        ),
        ("im2col", "the last window overwrites", "*window] += slices", "*window] = slices"),
        ("im2col", "every window gets the first slice", "+= slices[:, :, i]", "+= slices[:, :, 0]"),
        (
            "im2col",
            "padding cut off wrong by one",
            "    x = x_padded[:, :, p : p + H, p : p + W]",
            "    x = x_padded[:, :, p - 1 : p - 1 + H, p - 1 : p - 1 + W]",
        ),
        (
            "conv2d 3×3, bias",
            "upstream ignored",
            "d_out_matrix = xp.reshape(d_out,",
            "d_out = xp.ones_like(d_out)\n        d_out_matrix = xp.reshape(d_out,",
        ),
        ("conv2d 3×3, bias", "kernel not flipped", "xp.flip(kernel, axis=(2, 3))", "kernel"),
        (
            "conv2d 3×3, bias",
            "kernel flipped vertically only",
            "xp.flip(kernel, axis=(2, 3))",
            "xp.flip(kernel, axis=(2,))",
        ),
        (
            "conv2d 3×3, bias",
            "kernel flipped horizontally only",
            "xp.flip(kernel, axis=(2, 3))",
            "xp.flip(kernel, axis=(3,))",
        ),
        ("conv2d 3×3, bias", "kernel transposed too", "(1, 0, 2, 3)", "(1, 0, 3, 2)"),
        ("conv2d 3×3, bias", "input and output channels not swapped", "(1, 0, 2, 3)", "(0, 1, 2, 3)"),
        (
            "conv2d 3×3, bias",
            "padding cut off wrong by one",
            "d_x_padded[:, :, p : p + H, p : p + W]",
            "d_x_padded[:, :, p - 1 : p - 1 + H, p - 1 : p - 1 + W]",
        ),
        (
            "conv2d 3×3, bias",
            "padding not cut off in front",
            "d_x_padded[:, :, p : p + H, p : p + W]",
            "d_x_padded[:, :, :H, :W]",
        ),
        (
            "conv2d 3×3, stride 2",
            "kernel flipped, as at stride 1",
            "xp.matrix_transpose(K) @ d_out_matrix",
            "xp.flip(xp.matrix_transpose(K), axis=0) @ d_out_matrix",
        ),
        (
            "conv2d 3×3, stride 2",
            "input gradient from the first output channel only",
            "xp.matrix_transpose(K) @ d_out_matrix",
            "xp.matrix_transpose(K[:1, ...]) @ d_out_matrix[:, :1, :]",
        ),
        (
            "conv2d 3×3, stride 2",
            "input gradient flipped",
            "@ d_out_matrix, (H, W), k, stride, p)",
            "@ d_out_matrix, (H, W), k, stride, p)\n            d_x = xp.flip(d_x, axis=(2, 3))",
        ),
        (
            "conv2d 3×3, bias",
            "rows and columns of d_out mixed up",
            "d_out_matrix = xp.reshape(d_out,",
            "d_out_matrix = xp.reshape(xp.permute_dims(d_out, (0, 1, 3, 2)),",
        ),
        ("conv2d 3×3, bias", "d_kernel from one sample", "d_K = total(", "d_K = (lambda products, axis: products[0])("),
        (
            "conv2d 3×3, bias",
            "d_kernel flipped",
            "xp.reshape(d_K, kernel.shape)",
            "xp.flip(xp.reshape(d_K, kernel.shape), axis=(2, 3))",
        ),
        (
            "conv2d 3×3, bias",
            "d_kernel with height and width swapped",
            "xp.reshape(d_K, kernel.shape)",
            "xp.permute_dims(xp.reshape(d_K, kernel.shape), (0, 1, 3, 2))",
        ),
        (
            "conv2d 3×3, bias",
            "d_bias not summed over the batch",
            "total(d_out, axis=(0, 2, 3))",
            "total(d_out, axis=(2, 3))[0]",
        ),
        (
            "conv2d 3×3, bias",
            "d_bias averaged over the batch",
            "total(d_out, axis=(0, 2, 3))",
            "total(d_out, axis=(0, 2, 3)) / N",
        ),
    ),
    *_planted(
        "cbam_np/ops/joining.py",
        (
            "concat, alike",
            "upstream ignored",
            "return d_out[:, :A",
            "d_out = xp.ones_like(d_out)\n        return d_out[:, :A",
        ),
        (
            "concat, alike",
            "order swapped",
            "d_out[:, :A, ...], d_out[:, A:, ...]",
            "d_out[:, A:, ...], d_out[:, :A, ...]",
        ),
        ("concat, alike", "both get the first part", "d_out[:, A:, ...]", "d_out[:, :A, ...]"),
        ("concat, alike", "second part dropped", "d_out[:, A:, ...]", "0 * b"),
    ),
    *_planted(
        "cbam_np/ops/gating.py",
        ("gate by M_c", "upstream ignored", "d_m = total_of", "d_out = 0 * d_out + 1\n        d_m = total_of"),
        ("gate by M_c", "path into the map dropped", "(d_out, f,", "(0 * d_out, f,"),
        ("gate by M_c", "path into the features dropped", "d_f = m * d_out", "d_f = 0 * f"),
        ("gate by M_c", "features get d_out ungated", "d_f = m * d_out", "d_f = d_out"),
        ("gate by M_c", "features for map", "d_f = m * d_out", "d_f = f * d_out"),
        ("gate by M_s", "d_m for m", "d_f = m * d_out", "d_f = d_m * d_out"),
        ("gate by M_s", "output for features in d_m", "(d_out, f,", "(d_out, out,"),
        ("gate by M_s", "features forgotten in d_m", "(d_out, f,", "(d_out, 0 * f + 1,"),
        ("gate by M_c", "d_m not summed over W", "axis=broadcast_axes)", "axis=broadcast_axes[:1])"),
        ("gate by M_s", "d_m summed over W too", "axis=broadcast_axes)", "axis=(*broadcast_axes, 3))"),
        (
            "gate by M_s",
            "d_m summed over the wrong axis",
            "total_of_products(d_out, f, axis=broadcast_axes)",
            "total_of_products(d_out, f, axis=(0,))[:, :1] + 0 * m",
        ),
    ),
    *_planted(
        "cbam_np/attention/channel.py",
        ("channel_map", "upstream ignored", "xp.reshape(d_m_c, gates.shape)", "xp.ones_like(gates)"),
        (
            "channel_map",
            "samples and channels mixed up",
            "xp.reshape(d_m_c, gates.shape)",
            "xp.reshape(xp.permute_dims(d_m_c, (1, 0, 2, 3)), gates.shape)",
        ),
        ("channel_map", "average dropped", "avg_backward(d_avg_c) + max_backward(d_max_c)", "max_backward(d_max_c)"),
        ("channel_map", "maximum dropped", "avg_backward(d_avg_c) + max_backward(d_max_c)", "avg_backward(d_avg_c)"),
        ("channel_map", "average's gradient into the maximum", "max_backward(d_max_c)", "max_backward(d_avg_c)"),
        (
            "channel_map",
            "sigmoid forgotten",
            "sigmoid_backward(xp.reshape(d_m_c, gates.shape))",
            "xp.reshape(d_m_c, gates.shape)",
        ),
        ("channel_attention, biases", "upstream ignored", "gate_backward(d_f1)", "gate_backward(0 * d_f1 + 1)"),
        ("channel_attention, biases", "map path dropped", "return d_f_direct + d_f_map,", "return d_f_direct,"),
        ("channel_attention, biases", "direct path dropped", "return d_f_direct + d_f_map,", "return d_f_map,"),
        ("channel_attention, biases", "gate forgotten", "return d_f_direct + d_f_map,", "return d_f1 + d_f_map,"),
    ),
    *_planted(
        "cbam_np/attention/spatial.py",
        ("spatial_map", "upstream ignored", "sigmoid_backward(d_m_s)", "sigmoid_backward(0 * d_m_s + 1)"),
        ("spatial_map", "average dropped", "avg_backward(d_avg_s) + max_backward(d_max_s)", "max_backward(d_max_s)"),
        ("spatial_map", "maximum dropped", "avg_backward(d_avg_s) + max_backward(d_max_s)", "avg_backward(d_avg_s)"),
        ("spatial_map", "average's gradient into the maximum", "max_backward(d_max_s)", "max_backward(d_avg_s)"),
        ("spatial_map", "order [max, avg] in backward", "d_avg_s, d_max_s = concat", "d_max_s, d_avg_s = concat"),
        ("spatial_map", "sigmoid forgotten", "sigmoid_backward(d_m_s)", "d_m_s"),
        ("spatial_attention, bias", "upstream ignored", "gate_backward(d_f2)", "gate_backward(0 * d_f2 + 1)"),
        (
            "spatial_attention, bias",
            "map path dropped",
            "return d_f1_direct + d_f1_map,",
            "return d_f1_direct,",
        ),
        (
            "spatial_attention, bias",
            "direct path dropped",
            "return d_f1_direct + d_f1_map,",
            "return d_f1_map,",
        ),
        ("spatial_attention, bias", "gate forgotten", "return d_f1_direct + d_f1_map,", "return d_f2 + d_f1_map,"),
    ),
    *_planted(
        "cbam_np/attention/block.py",
        ("cbam", "upstream ignored", "spatial_backward(d_f2)", "spatial_backward(0 * d_f2 + 1)"),
        ("cbam", "spatial attention dropped", "channel_backward(d_f1)", "channel_backward(d_f2)"),
        ("cbam", "channel attention dropped", "return d_f, channel_grads", "return d_f1, channel_grads"),
        (
            "cbam",
            "channel before spatial in the backward pass",
            "d_f1, spatial_grads = spatial_backward(d_f2)\n        d_f, channel_grads = channel_backward(d_f1)",
            "d_f1, channel_grads = channel_backward(d_f2)\n        d_f, spatial_grads = spatial_backward(d_f1)",
        ),
        (
            "cbam",
            "spatial gradient taken at F instead of F′",
            "return f2, backward",
            "spatial_backward = spatial_attention(f, params, ties)[1]\n    return f2, backward",
        ),
        (
            "cbam",
            "forward in parallel, backward in sequence",
            "spatial_attention(f1, params, ties, maps)",
            "spatial_attention(f, params, ties, maps)",
        ),
    ),
    *_planted(
        "cbam_np/ops/normalisation.py",
        (
            "batch_norm",
            "upstream ignored",
            "d_wide = xp.astype(d_out, accumulator(x), copy=False)\n        d_beta = total(d_wide, axis=(0, 2, 3))\n"
            "        d_gamma = total(d_wide * x_hat, axis=(0, 2, 3))\n        through_v",
            "d_wide = xp.ones_like(x)\n        d_beta = total(d_wide, axis=(0, 2, 3))\n"
            "        d_gamma = total(d_wide * x_hat, axis=(0, 2, 3))\n        through_v",
        ),
        ("batch_norm", "path through the mean dropped", "d_wide - (d_beta / M)[:, None, None] - ", "d_wide - "),
        ("batch_norm", "path through the variance dropped", "[:, None, None] - through_v)", "[:, None, None])"),
        ("batch_norm", "variance's path not through x̂", "through_v = x_hat * (", "through_v = 1 * ("),
        ("batch_norm", "M forgotten in the mean's path", "(d_beta / M)[:, None, None]", "d_beta[:, None, None]"),
        ("batch_norm", "N for M", "x_hat * (d_gamma / M)", "x_hat * (d_gamma / N)"),
        ("batch_norm", "γ forgotten in d_x", "(gamma_wide * s)[:, None, None] * (", "s[:, None, None] * ("),
        ("batch_norm", "1/√v forgotten in d_x", "(gamma_wide * s)[:, None, None] * (", "gamma_wide[:, None, None] * ("),
        (
            "batch_norm",
            "d_γ from x before it is normalised",
            "d_gamma = total(d_wide * x_hat, axis=(0, 2, 3))\n        through_v",
            "d_gamma = total(d_wide * wide, axis=(0, 2, 3))\n        through_v",
        ),
        ("batch_norm", "d_γ and d_β swapped", "for d in (d_x, d_gamma, d_beta))", "for d in (d_x, d_beta, d_gamma))"),
        (
            "batch_norm",
            "unbiased variance forward, biased backward",
            "v = total(centred * centred, axis=(0, 2, 3)) / M",
            "v = total(centred * centred, axis=(0, 2, 3)) / (M - 1)",
        ),
        (
            "batch_norm",
            "ε outside the square root",
            "s = 1 / xp.sqrt(v + eps)\n    x_hat = centred",
            "s = 1 / (xp.sqrt(v) + 1e3 * eps)\n    x_hat = centred",
        ),
        (
            "batch_norm_evaluation",
            "upstream ignored",
            "d_wide = xp.astype(d_out, accumulator(x), copy=False)\n        d_beta = total(d_wide, axis=(0, 2, 3))\n"
            "        d_gamma = total(d_wide * x_hat, axis=(0, 2, 3))\n        d_x",
            "d_wide = xp.ones_like(x)\n        d_beta = total(d_wide, axis=(0, 2, 3))\n"
            "        d_gamma = total(d_wide * x_hat, axis=(0, 2, 3))\n        d_x",
        ),
        (
            "batch_norm_evaluation",
            "gradient as in training",
            "d_x = (gamma_wide * s)[:, None, None] * d_wide",
            "d_x = (gamma_wide * s)[:, None, None] * (d_wide - xp.mean(d_wide, axis=(0, 2, 3), keepdims=True))",
        ),
        ("batch_norm_evaluation", "γ forgotten in d_mean", "d_mean = -gamma_wide * s", "d_mean = -s"),
        ("batch_norm_evaluation", "d_mean with the wrong sign", "d_mean = -gamma_wide", "d_mean = gamma_wide"),
        ("batch_norm_evaluation", "2 forgotten in d_variance", "* s * s * d_gamma / 2", "* s * s * d_gamma"),
        ("batch_norm_evaluation", "d_variance by s, not s²", "* s * s * d_gamma / 2", "* s * d_gamma / 2"),
    ),
    *_planted(
        "cbam_np/ops/windows.py",
        (
            "max_pool2d 3×3, stride 2",
            "upstream ignored",
            "max_backward(xp.reshape(d_out, largest.shape))",
            "max_backward(xp.ones_like(largest))",
        ),
        (
            "max_pool2d 3×3, stride 2",
            "gradient one pixel off",
            "d_x_padded[:, :, p : p + H, p : p + W]",
            "d_x_padded[:, :, p - 1 : p - 1 + H, p : p + W]",
        ),
        (
            "max_pool2d 3×3, stride 2",
            "every entry of a window gets the gradient",
            "d_windows = max_backward(xp.reshape(d_out, largest.shape))",
            "d_windows = xp.reshape(d_out, largest.shape) + xp.zeros((N * C, k * k, H_out, W_out))",
        ),
        (
            "max_pool2d 3×3, stride 2",
            "an entry that won twice collects once",
            "d_x_padded = columns_backward(xp.reshape(d_windows, columns.shape))\n        return",
            "d_columns = xp.reshape(d_windows, columns.shape)\n"
            "        wins = columns_backward(xp.astype(d_columns != 0, x.dtype))\n"
            "        d_x_padded = columns_backward(d_columns) / xp.where(wins > 1, wins, xp.ones_like(wins))\n"
            "        return",
        ),
        (
            "avg_pool2d 3×3, stride 2",
            "upstream ignored",
            "avg_backward(xp.reshape(d_out, average.shape))",
            "avg_backward(xp.ones_like(average))",
        ),
        (
            "avg_pool2d 3×3, stride 2",
            "sum for average",
            "avg_backward(xp.reshape(d_out, average.shape))",
            "k * k * avg_backward(xp.reshape(d_out, average.shape))",
        ),
        (
            "avg_pool2d 3×3, stride 2",
            "height and width swapped",
            "avg_backward(xp.reshape(d_out, average.shape))",
            "avg_backward(xp.reshape(xp.permute_dims(d_out, (0, 1, 3, 2)), average.shape))",
        ),
    ),
    *_planted(
        "cbam_np/ops/residual.py",
        ("add", "upstream ignored", "return d_out, d_out", "return 0 * d_out + 1, 0 * d_out + 1"),
        ("add", "shortcut's gradient dropped", "return d_out, d_out", "return d_out, 0 * d_out"),
        ("add", "gradient shared out", "return d_out, d_out", "return d_out / 2, d_out / 2"),
    ),
    *_planted(
        "cbam_np/ops/dense.py",
        ("linear, bias", "upstream ignored", "d_w = d_out.T @ x", "d_out = 0 * d_out + 1\n        d_w = d_out.T @ x"),
        ("linear, bias", "d_w transposed", "d_out.T @ x", "x.T @ d_out"),
        ("linear, bias", "w transposed in the backward pass", "d_x = d_out @ w", "d_x = d_out @ w.T"),
        ("linear, bias", "d_bias averaged over the batch", "total(d_out, axis=0)", "total(d_out, axis=0) / x.shape[0]"),
        ("linear, bias", "d_w averaged over the batch", "d_out.T @ x", "d_out.T @ x / x.shape[0]"),
    ),
    *_planted(
        "cbam_np/ops/excitation.py",
        ("squeeze_excitation, biases", "upstream ignored", "gate_backward(d_out)", "gate_backward(0 * d_out + 1)"),
        (
            "squeeze_excitation, biases",
            "map path dropped",
            "return d_f_direct + avg_backward(d_avg_c),",
            "return d_f_direct,",
        ),
        (
            "squeeze_excitation, biases",
            "direct path dropped",
            "return d_f_direct + avg_backward(d_avg_c),",
            "return 0 * d_f_direct + avg_backward(d_avg_c),",
        ),
        (
            "squeeze_excitation, biases",
            "sigmoid forgotten",
            "mlp_backward(sigmoid_backward(d_s[:, :, 0, 0]))",
            "mlp_backward(d_s[:, :, 0, 0])",
        ),
    ),
    *_planted(
        "cbam_np/ops/losses.py",
        ("softmax_cross_entropy", "upstream ignored", "d = d_out[:, None]", "d = 0 * d_out[:, None] + 1"),
        ("softmax_cross_entropy", "labels forgotten", "keepdims=True) - t)", "keepdims=True))"),
        ("softmax_cross_entropy", "wrong sign", "keepdims=True) - t)", "keepdims=True) + t)"),
        ("softmax_cross_entropy", "logits for probabilities", "d * (xp.exp(log_p) *", "d * (z *"),
        (
            "softmax_cross_entropy",
            "averaged over the batch",
            "d = d_out[:, None]",
            "d = d_out[:, None] / d_out.shape[0]",
        ),
        (
            "softmax_cross_entropy",
            "normalised over the batch",
            "log_p = z - xp.log(total(xp.exp(z), axis=1, keepdims=True))",
            "log_p = z - xp.log(total(xp.exp(z), axis=0, keepdims=True))",
        ),
        ("smooth_l1", "upstream ignored", "d_predictions = d_out * xp.where", "d_predictions = xp.where"),
        (
            "smooth_l1",
            "e twice as steep where it is near",
            "xp.where(far, sign, e / beta)",
            "xp.where(far, sign, 2 * e / beta)",
        ),
        ("smooth_l1", "straight everywhere", "xp.where(far, sign, e / beta)", "sign"),
        ("smooth_l1", "squared everywhere", "xp.where(far, sign, e / beta)", "e / beta"),
        (
            "smooth_l1",
            "target's sign forgotten",
            "return d_predictions, -d_predictions",
            "return d_predictions, d_predictions",
        ),
        (
            "binary_cross_entropy",
            "upstream ignored",
            "return d_out * (probability - targets), -d_out * logits",
            "return probability - targets, -logits",
        ),
        ("binary_cross_entropy", "targets forgotten", "d_out * (probability - targets)", "d_out * probability"),
        (
            "binary_cross_entropy",
            "the sigmoid's derivative once more",
            "d_out * (probability - targets)",
            "d_out * (probability - targets) * probability * (1 - probability)",
        ),
        (
            "binary_cross_entropy",
            "σ(|z|) for σ(z)",
            "probability = xp.where(positive, xp.ones_like(e), e) / (1 + e)",
            "probability = 1 / (1 + e)",
        ),
    ),
]
