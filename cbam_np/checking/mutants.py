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


def load(mutant: Mutant) -> Any:
    """A second copy of the package, with the mistake in it. The real one and its files stay as they are."""
    source = sources()[mutant.file]
    if source.count(mutant.original) != 1:
        raise ValueError(f"{mutant.name}: expected {mutant.original!r} once in {mutant.file}")
    finder = _Sources(sources() | {mutant.file: source.replace(mutant.original, mutant.replacement)})
    real = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "cbam_np"}
    sys.meta_path.insert(0, finder)
    try:
        return import_module("cbam_np")
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.split(".")[0] == "cbam_np"]:
            del sys.modules[name]
        sys.modules.update(real)


# the checks

_rng = np.random.default_rng(0)


def _normal(*shape: int) -> np.ndarray:
    return _rng.standard_normal(shape)


def _no_ties(*shape: int) -> np.ndarray:
    """Values in (-2, 2), no two of them and none of them and 0 so close that a difference steps over it."""
    size = int(np.prod(shape))
    return (4 * _rng.permutation(size).reshape(shape) + 2.0) / size - 2


F = _no_ties(2, 3, 2, 4)
SMALL_F = _no_ties(2, 3, 1, 4)
TIED = _rng.integers(1, 4, (2, 3, 4, 5)) / 2.0  # three values: nearly every maximum is attained more than once
ONE_TIE = np.array([[[[3.0, 1.0], [0.5, 3.0]], [[3.0, 1.5], [2.0, 2.5]]]])  # of two pixels, and of two channels
CHANNEL_GATES, PIXEL_GATES = _normal(2, 3, 1, 1), _normal(2, 1, 2, 4)
ONE_CHANNEL, ANOTHER_CHANNEL = _normal(2, 1, 2, 3), _normal(2, 1, 2, 3)
COLUMNS = _normal(1, 9, 6)
IMAGE, KERNEL, BIAS = _normal(2, 2, 3, 4), _normal(3, 2, 3, 3), _normal(3)  # at stride 2 one column is left over
VECTORS, MORE_VECTORS = _normal(4, 3), _normal(4, 3)
MLP = _normal(3, 3), _normal(3, 3), _normal(3), _normal(3)  # square: a transposed d_w1 or d_w2 keeps its shape
# One hidden unit is on for the maxima only, the other for the averages only: else both branches send back the same.
W1, B1 = np.array([[1.0, 0.7, 0.9], [-0.8, -1.1, -0.6]]), np.array([-1.5, 0.8])
W2, K = _normal(3, 2), _normal(1, 2, 3, 3)
CHANNEL = {"channel.w1": W1, "channel.w2": W2, "channel.b1": B1, "channel.b2": _normal(3)}
SPATIAL = {"spatial.kernel": K, "spatial.bias": _normal(1)}
BLOCK = {"channel.w1": W1, "channel.w2": W2, "spatial.kernel": K}

# the package -> an operation and its inputs, for gradcheck
GRADIENTS: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "relu": lambda cb: (cb.ops.relu, F[0, 0]),
    "sigmoid": lambda cb: (cb.ops.sigmoid, F[0, 0]),
    "avg_pool_over_space": lambda cb: (cb.ops.avg_pool_over_space, F),
    "max_pool_over_space": lambda cb: (cb.ops.max_pool_over_space, F),
    "max_pool_over_space, split": lambda cb: (partial(cb.ops.max_pool_over_space, ties="split"), F),
    "avg_pool_over_channels": lambda cb: (cb.ops.avg_pool_over_channels, F),
    "max_pool_over_channels": lambda cb: (cb.ops.max_pool_over_channels, F),
    "max_pool_over_channels at ties": lambda cb: (cb.ops.max_pool_over_channels, ONE_TIE),
    "max_pool_over_space, split at ties": lambda cb: (partial(cb.ops.max_pool_over_space, ties="split"), ONE_TIE),
    "concat": lambda cb: (cb.ops.concat, ONE_CHANNEL, ANOTHER_CHANNEL),
    "im2col": lambda cb: (partial(cb.ops.im2col, k=3, padding=1), F[:1, :2]),
    "col2im": lambda cb: (partial(cb.ops.col2im, size=(2, 3), k=3, padding=1), COLUMNS),
    "conv2d": lambda cb: (cb.ops.conv2d, IMAGE, KERNEL, BIAS),
    "conv2d, stride 2": lambda cb: (partial(cb.ops.conv2d, stride=2), IMAGE, KERNEL, BIAS),
    "mlp": lambda cb: (cb.ops.mlp, VECTORS, *MLP),
    "shared_mlp": lambda cb: (cb.ops.shared_mlp, VECTORS, MORE_VECTORS, *MLP),
    "gate by channel": lambda cb: (cb.ops.gate, CHANNEL_GATES, F),
    "gate by pixel": lambda cb: (cb.ops.gate, PIXEL_GATES, F),
    "channel_map": lambda cb: (cb.channel_map, SMALL_F, CHANNEL),
    "channel_attention": lambda cb: (cb.channel_attention, SMALL_F, CHANNEL),
    "spatial_map": lambda cb: (cb.spatial_map, SMALL_F, SPATIAL),
    "spatial_attention": lambda cb: (cb.spatial_attention, SMALL_F, SPATIAL),
    "cbam": lambda cb: (cb.cbam, SMALL_F, BLOCK),
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
            "gate by channel",
            "mean for sum",
            "xp.sum(x, axis=axis, dtype=accumulator(x), keepdims=keepdims), x.dtype",
            "xp.mean(x, axis=axis, keepdims=keepdims), x.dtype",
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
        ("mlp", "upstream ignored", "check_gradient(d_out, out)", "d_out = 0 * d_out + 1"),
        ("mlp", "d_w2 zero", "d_out.T @ h", "0 * w2"),
        ("mlp", "d_w2 transposed", "d_out.T @ h", "h.T @ d_out"),
        ("mlp", "d_w2 from z, before the ReLU", "d_out.T @ h", "d_out.T @ z"),
        ("mlp", "d_w1 transposed", "d_z.T @ x", "x.T @ d_z"),
        ("mlp", "d_w1 averaged over the batch", "d_z.T @ x", "d_z.T @ x / x.shape[0]"),
        ("mlp", "w2 transposed on the way back", "relu_backward(d_out @ w2)", "relu_backward(d_out @ w2.T)"),
        ("mlp", "w1 transposed on the way back", "d_z @ w1", "d_z @ w1.T"),
        ("mlp", "ReLU forgotten on the way back", "relu_backward(d_out @ w2)", "d_out @ w2"),
        ("mlp", "d_w1 and d_w2 swapped", "return d_x, d_w1, d_w2, d_b1, d_b2", "return d_x, d_w2, d_w1, d_b1, d_b2"),
        ("mlp", "d_b1 taken after the ReLU", "total(d_z, axis=0)", "total(d_out @ w2, axis=0)"),
        ("mlp", "d_b2 averaged over the batch", "total(d_out, axis=0)", "total(d_out, axis=0) / d_out.shape[0]"),
        ("shared_mlp", "upstream ignored", "d_avg_c, *through", "d_z = 0 * d_z + 1\n        d_avg_c, *through"),
        ("shared_mlp", "weights from the average only", "else a + m for", "else a for"),
        ("shared_mlp", "weights from the maximum only", "else a + m for", "else m for"),
        ("shared_mlp", "mean of both branches for their sum", "else a + m for", "else (a + m) / 2 for"),
        (
            "shared_mlp",
            "bias b2 counted once",
            "return d_avg_c, d_max_c, *d_weights",
            "return d_avg_c, d_max_c, *d_weights[:3], through_avg[3]",
        ),
        ("shared_mlp", "maximum sent back through the average", "max_backward(d_z)", "avg_backward(d_z)"),
        ("shared_mlp", "branches swapped", "return d_avg_c, d_max_c,", "return d_max_c, d_avg_c,"),
    ),
    *_planted(
        "cbam_np/ops/conv.py",
        (
            "im2col",
            "windows read column by column",
            "v : v + right : stride] for u in range(k) for v in range(k)]",
            "v : v + right : stride] for v in range(k) for u in range(k)]",
        ),
        (
            "col2im",
            "upstream ignored",
            "im2col(d_x, k, stride, padding)",
            "im2col(xp.ones_like(d_x), k, stride, padding)",
        ),
        ("im2col", "upstream ignored", "col2im(d_columns, (H, W)", "col2im(xp.ones_like(d_columns), (H, W)"),
        ("im2col", "sign of the vertical shift", "slice(k - 1 - u, k - 1 - u + H_padded)", "slice(u, u + H_padded)"),
        ("im2col", "sign of the horizontal shift", "slice(k - 1 - v, k - 1 - v + W_padded)", "slice(v, v + W_padded)"),
        ("im2col", "the last window overwrites", "total(xp.stack(slices), axis=0)", "slices[-1]"),
        (
            "im2col",
            "padding cut off wrong by one",
            "[:, :, padding : padding + H, padding : padding + W]",
            "[:, :, padding - 1 : padding - 1 + H, padding - 1 : padding - 1 + W]",
        ),
        (
            "conv2d",
            "upstream ignored",
            "check_gradient(d_out, out)",
            "d_out = xp.ones_like(d_out)",
        ),
        ("conv2d", "kernel not flipped", "xp.flip(kernel, axis=(2, 3))", "kernel"),
        ("conv2d", "kernel flipped vertically only", "xp.flip(kernel, axis=(2, 3))", "xp.flip(kernel, axis=(2,))"),
        ("conv2d", "kernel flipped horizontally only", "xp.flip(kernel, axis=(2, 3))", "xp.flip(kernel, axis=(3,))"),
        ("conv2d", "kernel transposed too", "(1, 0, 2, 3)", "(1, 0, 3, 2)"),
        ("conv2d", "input and output channels not swapped", "(1, 0, 2, 3)", "(0, 1, 2, 3)"),
        ("conv2d", "padding cut off wrong by one", "p : p + H, p : p + W]", "p - 1 : p - 1 + H, p - 1 : p - 1 + W]"),
        ("conv2d", "padding not cut off in front", "p : p + H, p : p + W]", ":H, :W]"),
        ("conv2d, stride 2", "stride forgotten", "_spread(d_out, H, W, k, stride, p)", "_spread(d_out, H, W, k, 1, p)"),
        (
            "conv2d, stride 2",
            "zeros before each row instead of after",
            "xp.concat([y[:, :, :, None, :], zeros], axis=3)",
            "xp.concat([zeros, y[:, :, :, None, :]], axis=3)",
        ),
        (
            "conv2d, stride 2",
            "columns left over put on the wrong side",
            "_pad(y, k - 1, bottom, k - 1, right)",
            "_pad(y, k - 1, bottom, right, k - 1)",
        ),
        (
            "conv2d",
            "rows and columns of d_out mixed up",
            "d_out_matrix = xp.reshape(d_out,",
            "d_out_matrix = xp.reshape(xp.permute_dims(d_out, (0, 1, 3, 2)),",
        ),
        ("conv2d", "d_kernel from one sample", "d_K = total(", "d_K = (lambda products, axis: products[0])("),
        (
            "conv2d",
            "d_kernel flipped",
            "xp.reshape(d_K, kernel.shape)",
            "xp.flip(xp.reshape(d_K, kernel.shape), axis=(2, 3))",
        ),
        (
            "conv2d",
            "d_kernel with height and width swapped",
            "xp.reshape(d_K, kernel.shape)",
            "xp.permute_dims(xp.reshape(d_K, kernel.shape), (0, 1, 3, 2))",
        ),
        ("conv2d", "d_bias not summed over the batch", "total(d_out, axis=(0, 2, 3))", "total(d_out, axis=(2, 3))[0]"),
        (
            "conv2d",
            "d_bias averaged over the batch",
            "total(d_out, axis=(0, 2, 3))",
            "total(d_out, axis=(0, 2, 3)) / N",
        ),
    ),
    *_planted(
        "cbam_np/ops/joining.py",
        ("concat", "upstream ignored", "check_gradient(d_out, out)", "d_out = xp.ones_like(d_out)"),
        (
            "concat",
            "order swapped",
            "d_out[:, :A, ...], d_out[:, A:, ...]",
            "d_out[:, A:, ...], d_out[:, :A, ...]",
        ),
        ("concat", "both get the first part", "d_out[:, A:, ...]", "d_out[:, :A, ...]"),
        ("concat", "second part dropped", "d_out[:, A:, ...]", "0 * b"),
    ),
    *_planted(
        "cbam_np/ops/gating.py",
        ("gate by channel", "upstream ignored", "check_gradient(d_out, out)", "d_out = 0 * d_out + 1"),
        ("gate by channel", "path into the map dropped", "total(d_out * f,", "total(0 * f,"),
        ("gate by channel", "path into the features dropped", "d_f = m * d_out", "d_f = 0 * f"),
        ("gate by channel", "features get d_out ungated", "d_f = m * d_out", "d_f = d_out"),
        ("gate by channel", "features for map", "d_f = m * d_out", "d_f = f * d_out"),
        ("gate by pixel", "d_m for m", "d_f = m * d_out", "d_f = d_m * d_out"),
        ("gate by pixel", "output for features in d_m", "total(d_out * f,", "total(d_out * out,"),
        ("gate by pixel", "features forgotten in d_m", "total(d_out * f,", "total(d_out,"),
        ("gate by channel", "d_m not summed over W", "axis=broadcast_axes,", "axis=broadcast_axes[:1],"),
        ("gate by pixel", "d_m summed over W too", "axis=broadcast_axes,", "axis=(*broadcast_axes, 3),"),
        (
            "gate by pixel",
            "d_m summed over the wrong axis",
            "total(d_out * f, axis=broadcast_axes, keepdims=True)",
            "total(d_out * f, axis=0, keepdims=True)[:, :1] + 0 * m",
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
        ("channel_attention", "upstream ignored", "gate_backward(d_f1)", "gate_backward(0 * d_f1 + 1)"),
        ("channel_attention", "path through the map dropped", "return d_f_gate + d_f_map,", "return d_f_gate,"),
        ("channel_attention", "path through the gate dropped", "return d_f_gate + d_f_map,", "return d_f_map,"),
        ("channel_attention", "gate forgotten", "return d_f_gate + d_f_map,", "return d_f1 + d_f_map,"),
    ),
    *_planted(
        "cbam_np/attention/spatial.py",
        ("spatial_map", "upstream ignored", "sigmoid_backward(d_m_s)", "sigmoid_backward(0 * d_m_s + 1)"),
        ("spatial_map", "average dropped", "avg_backward(d_avg_s) + max_backward(d_max_s)", "max_backward(d_max_s)"),
        ("spatial_map", "maximum dropped", "avg_backward(d_avg_s) + max_backward(d_max_s)", "avg_backward(d_avg_s)"),
        ("spatial_map", "average's gradient into the maximum", "max_backward(d_max_s)", "max_backward(d_avg_s)"),
        ("spatial_map", "order [max, avg] in backward", "d_avg_s, d_max_s = concat", "d_max_s, d_avg_s = concat"),
        ("spatial_map", "sigmoid forgotten", "sigmoid_backward(d_m_s)", "d_m_s"),
        ("spatial_attention", "upstream ignored", "gate_backward(d_f2)", "gate_backward(0 * d_f2 + 1)"),
        ("spatial_attention", "path through the map dropped", "return d_f1_gate + d_f1_map,", "return d_f1_gate,"),
        ("spatial_attention", "path through the gate dropped", "return d_f1_gate + d_f1_map,", "return d_f1_map,"),
        ("spatial_attention", "gate forgotten", "return d_f1_gate + d_f1_map,", "return d_f2 + d_f1_map,"),
    ),
    *_planted(
        "cbam_np/attention/block.py",
        ("cbam", "upstream ignored", "spatial_backward(d_f2)", "spatial_backward(0 * d_f2 + 1)"),
        ("cbam", "spatial attention dropped", "channel_backward(d_f1)", "channel_backward(d_f2)"),
        ("cbam", "channel attention dropped", "return d_f, channel_grads", "return d_f1, channel_grads"),
        (
            "cbam",
            "channel before spatial on the way back",
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
]
