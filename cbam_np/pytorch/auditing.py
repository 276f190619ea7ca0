"""Is this module a CBAM? Somebody's module beside the formulas, forward and every gradient, and the deviations by name.

The module gets random parameters and random features. Its layers are recognised by their shapes, and `variants.block`
computes with the same numbers. The audit looks for the fewest switches with which that gives the module's own output,
then for those with which it gives its gradients. So a deviation is not guessed from symptoms: with it our formulas
agree with the module to the last digits, and without it they don't.
"""

from __future__ import annotations  # the site is built without PyTorch, where types can't be joined by |

import inspect
import re
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from cbam_np.pytorch.halves import MOST, Case, by_halves, channel_gates_explained
from cbam_np.pytorch.variants import (
    CHOICES,
    GRADIENT_ONLY,
    RIGHT,
    Layer,
    Norm,
    Parts,
    Switches,
    block,
    in_training,
    names,
)

TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-4}
# of computing, whatever else the machine does: for the search of three deviations at once, and of three in each half
SECONDS = 20.0
SAMPLES = 6  # enough that no path is shut by the ReLU in all of them
DRAWS = 4  # of random parameters, until the layers make sense in two
RARE = ("padding", "activation", "dilation", "spatial max over", "channel max over", "output")
COMMON = (
    "none",
    "replicate",
    "residual",
    (1, 1),
    (-1, -1),
    (3, 3),
    (-3, -3),
    (3, 0),
    (-3, 0),
    (0, 3),
    (0, -3),
)  # the values of these that are not rare
# What released code does and a block of ours can do too: named, but no fault
KNOWN = (
    "concat order",
    "bias in the MLP",
    "bias of the convolution",
    "batch norm after the convolution",
    "ties shared (over space)",
    "ties shared (over channels)",
)


@dataclass(frozen=True)
class Deviation:
    """What differs from the formulas, by a short name; the evidence in one line; and how much it changes.

    Parameters
    ----------
    name, evidence : str
    output, gradient : float, or None
        The relative change of F″ and of dF, None if it can't be switched off.
    """

    name: str
    evidence: str
    output: float | None = None
    gradient: float | None = None


@dataclass(frozen=True)
class Audit:
    """What an audit found. `str` of it says so in words.

    `ok`: it computes the formulas, or what known releases make of them (`KNOWN`).

    Parameters
    ----------
    cbam : bool, or None
        Whether it is a CBAM; None if that can't be told.
    found : tuple of Deviation
    unsure : tuple of str
        What could not be told, in sentences.
    agreement : two floats, or None
        How far the formulas with these deviations are from the module, relative, in the output and in the worst
        gradient; None if no such formulas were found.
    checked : str
    """

    cbam: bool | None
    found: tuple[Deviation, ...] = ()
    unsure: tuple[str, ...] = ()
    agreement: tuple[float, float] | None = None
    checked: str = ""

    @property
    def deviations(self) -> list[str]:
        """The short names."""
        return [deviation.name for deviation in self.found]

    @property
    def mistakes(self) -> tuple[Deviation, ...]:
        """What no known release does."""
        return tuple(deviation for deviation in self.found if deviation.name not in KNOWN)

    @property
    def variations(self) -> tuple[Deviation, ...]:
        """What some known release does too."""
        return tuple(deviation for deviation in self.found if deviation.name in KNOWN)

    @property
    def groups(self) -> dict[str, tuple[Deviation, ...]]:
        """Both, by what they are called; only those that there are. What is no CBAM has one group, without a name."""
        if self.cbam is False:
            return {"": self.found}
        both = {"mistakes": self.mistakes, "known variations (of released code)": self.variations}
        return {name: found for name, found in both.items() if found}

    @property
    def ok(self) -> bool:
        """Whether it is a CBAM, by the formulas or by a known release."""
        return bool(self.cbam) and not self.unsure and all(name in KNOWN for name in self.deviations)

    def __str__(self) -> str:
        lines = [self._verdict()]
        for name, found in self.groups.items():
            lines += [f"  {name}:"] * bool(name)
            lines += [f"{'    ' if name else '  '}{deviation.name}: {deviation.evidence}" for deviation in found]
        lines += [f"  not sure: {sentence}" for sentence in self.unsure]
        return "\n".join([*lines, *([f"  {self.checked}"] if self.checked else [])])

    def _verdict(self) -> str:
        if self.cbam is False:
            return "Not a CBAM."
        if self.cbam is None:
            return "It can't be told whether this is a CBAM."
        if self.unsure:
            return "A CBAM, but not all of it could be compared with the formulas."
        if self.ok:
            return "This is CBAM" + (", in a form that is known." if self.found else ", by the formulas.")
        counts = (count(len(self.mistakes), "mistake"), count(len(self.variations), "known variation"))
        return f"A CBAM with {' and '.join(filter(None, counts))}."


def count(number: int, what: str) -> str:
    """1 mistake, 2 mistakes; empty if there is none."""
    return f"{number} {what}{'s' * (number > 1)}" if number else ""


class NotOneError(Exception):
    """Why a module is no CBAM."""


class UnknownError(Exception):
    """Why it can't be told."""


class NoGradientError(Exception):
    """Why autograd fails."""


def audit(
    module: Any,
    channels: int = 64,
    reduction: int | None = None,
    kernel_size: int = 7,
    size: tuple[int, int] = (9, 8),
    seed: int = 0,
) -> Audit:
    """Compare somebody's PyTorch module with the formulas, forward and every gradient, and name what differs.

    The comparison is made in float64, with other parameters than the module's own: initial biases are often 0 and
    initial batch norms do nothing, so a module's own could hide what it does. The search is made in evaluation; what it
    finds is compared again in training, where batch norm goes by the batch, and on features of two other sizes.

    An exception of the module is no error of the audit, which says then what it was.

    Parameters
    ----------
    module : PyTorch module, or what makes one, such as a class
        Takes f (N, C, H, W) and returns as much. What makes one is called with `channels`, and whether it heeds a
        reduction is tried as well. It is copied and not changed, but its code runs.
    channels : int
        C of the features.
    reduction : int, optional
        r that it should have, if you know.
    kernel_size : int
        k that it should have.
    size : (H, W)
        Of the features, two ints.
    seed : int
        Of everything random.

    Returns
    -------
    audit : Audit
    """
    given = module
    try:
        if not isinstance(module, nn.Module):
            module = made(module, channels)
        subjects = on_the_table(module, channels, size, seed)
        subject = subjects[0]
        extra = [*reduction_of(given, channels), *expected_sizes(subject.parts, channels, reduction, kernel_size)]
        found = compare(subjects)
    except NotOneError as reason:
        return Audit(False, (Deviation("not a CBAM", str(reason)),))
    except UnknownError as reason:
        return Audit(None, (), (str(reason),))
    every = (*extra, *subject.noticed, *found.found)
    return replace(found, found=tuple({deviation.name: deviation for deviation in every}.values()))


# --- the module on the table ----------------------------------------------------------------------------------------


class Subject:
    """A copy of the module with random parameters, and what it does to random features."""

    def __init__(self, module: nn.Module, channels: int, size: tuple[int, int], seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.module = deepcopy(module).eval()
        self.noticed: list[Deviation] = []
        f = torch.randn((SAMPLES, channels, *size), generator=self.generator, dtype=torch.float64)
        f += torch.randn((SAMPLES, channels, 1, 1), generator=self.generator, dtype=f.dtype)  # an average that is not 0
        f[:2] *= 20  # for what differs only where numbers are large
        self.f = self._in_the_widest_dtype(f)
        self.tolerance = TOLERANCES[self.f.dtype]
        randomise(self.module, self.generator)
        self.out = self._run(self.f)
        self._look_at_output()
        self.layers = [layer for layer in layers_of(self.module) if self._is_used(layer.weight)]
        try:
            self.parts = parts_of(self.layers, channels)
        except UnknownError as reason:
            if not self.gated_in():
                raise NotOneError(
                    f"{reason}. And it does not multiply F by a gate for channels and one for pixels"
                ) from None
            raise

    def gated_in(self) -> str:
        """What is multiplied by one gate a channel and one a pixel: "F", or "F, plus F" with a residual; or else ""."""
        for what, rest in (("F", self.out), ("F, plus F", self.out - self.f)):
            if is_product_of_gates(rest / self.f):
                return what
        return ""

    def _run(self, f: Tensor) -> Tensor:
        """The output for a copy of f."""
        try:
            with torch.no_grad():
                out = self.module(f.clone())
        except Exception as error:
            raise UnknownError(f"it could not be run on {tuple(f.shape)}: {one_line(error)}") from None
        if not isinstance(out, Tensor):
            raise NotOneError(f"it returns {type(out).__name__}, not features")
        return out

    def _in_the_widest_dtype(self, f: Tensor) -> Tensor:
        """f in float64, or in float32 if the module insists on it."""
        self.module.double()
        try:
            self._run(f)
        except UnknownError:
            self.module.float()
            f = f.float()
        self._run(f)  # it may make layers as it runs
        return f

    def _look_at_output(self) -> None:
        if self.out.shape != self.f.shape:
            raise NotOneError(f"it makes {tuple(self.out.shape)} of {tuple(self.f.shape)}")
        if not torch.equal(self.out, self._run(self.f)):
            raise UnknownError("it gives another result every time, in evaluation too")
        with torch.no_grad():
            handed = self.f.clone()
            self.module(handed)
        if not torch.equal(handed, self.f):
            share = (handed != self.f).double().mean()
            self.noticed.append(
                Deviation("input changed in place", f"{share:.0%} of F is other numbers after the call")
            )

    def _is_used(self, parameter: Tensor) -> bool:
        """Whether the output depends on a parameter."""
        kept = parameter.detach().clone()
        with torch.no_grad():
            parameter.copy_(kept * torch.randn(kept.shape, generator=self.generator, dtype=kept.dtype))
            changed = not torch.equal(self._run(self.f), self.out)
            parameter.copy_(kept)
        return changed

    def gradients(self, f: Tensor, d_out: Tensor, wanted: list[Tensor]) -> list[Tensor]:
        """d_f, then those of `wanted`; zeros where there is no path."""
        leaf = f.clone().requires_grad_()
        try:
            out = self.module(leaf.clone())
            return list(torch.autograd.grad(out, [leaf, *wanted], d_out, materialize_grads=True))
        except RuntimeError as error:
            raise NoGradientError(one_line(error)) from None


def on_the_table(module: nn.Module, channels: int, size: tuple[int, int], seed: int) -> list[Subject]:
    """The module with random parameters, twice.

    With some parameters a ReLU shuts a whole path, whose layers and deviations are not seen then. Two draws tell.
    """
    found: list[Subject] = []
    reason = UnknownError("it could not be run")
    for draw in range(DRAWS):
        try:
            found.append(Subject(module, channels, size, seed + draw))
        except UnknownError as error:
            reason = error
        if len(found) == 2:
            break
    if not found:
        raise reason
    return found


def made(maker: Any, channels: int, **options: Any) -> nn.Module:
    """A module from a class or function that takes the number of channels."""
    try:
        module = maker(channels, **options)
    except Exception as error:
        raise UnknownError(
            f"it could not be made by {getattr(maker, '__name__', maker)}({channels}): {one_line(error)}"
        ) from None
    if not isinstance(module, nn.Module):
        raise NotOneError(f"it is no nn.Module but {type(module).__name__}")
    return module


def one_line(error: Exception) -> str:
    """An exception, shortened."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Give every parameter and running average random numbers, of the size that they have after a training.

    The rows of W1 add up to 0. F^c_max is nearly the same number for all channels, so else it would shut or open a
    hidden unit in every sample alike, and a path that is shut everywhere can't be compared.
    """
    with torch.no_grad():
        for name, x in module.state_dict(keep_vars=True).items():
            if not x.is_floating_point() or isinstance(x, nn.parameter.UninitializedParameter):
                continue
            fan_in = x[0].numel() if x.ndim > 1 and x.shape[0] else 1
            value = torch.randn(x.shape, generator=generator, dtype=x.dtype) * (
                1.5 * fan_in**-0.5 if x.ndim > 1 else 0.5
            )
            if x.ndim > 1 and 0 < x.shape[0] < x.shape[1] == x[0].numel():
                value -= value.mean(dim=1, keepdim=True)
            x.copy_(value.abs() + 0.3 if name.endswith("running_var") else value)


# --- its layers -----------------------------------------------------------------------------------------------------


def layers_of(module: nn.Module) -> list[Layer]:
    """The layers in the order in which they are registered, each with the batch norm that fits it best, behind it."""
    layers: list[Layer] = []
    for m in module.modules():
        own = dict(m.named_parameters(recurse=False))
        if isinstance(m, nn.modules.batchnorm._BatchNorm):
            add_norm(layers, m)
        elif "weight" in own and isinstance(m, nn.Linear | nn.modules.conv._ConvNd):
            layers.append(Layer(own["weight"], own.get("bias")))
        elif isinstance(m, nn.PReLU):
            continue
        elif "weight" in own:
            raise UnknownError(f"it has a layer that the audit does not know: {type(m).__name__}")
        else:
            for x in own.values():
                add_bare(layers, x)
    return layers


def add_norm(layers: list[Layer], norm: nn.modules.batchnorm._BatchNorm) -> None:
    """Put a batch norm behind the last layer that has as many outputs."""
    if norm.running_mean is None or norm.running_var is None:
        raise UnknownError("it has a batch norm that goes by the batch even in evaluation")
    gamma = torch.ones_like(norm.running_mean) if norm.weight is None else norm.weight
    beta = torch.zeros_like(norm.running_mean) if norm.bias is None else norm.bias
    for i in reversed(range(len(layers))):
        if layers[i].norm is None and layers[i].weight.shape[0] == norm.num_features:
            layers[i] = replace(layers[i], norm=Norm(gamma, beta, norm.running_mean, norm.running_var, norm.eps))
            return


def add_bare(layers: list[Layer], x: Tensor) -> None:
    """A parameter that belongs to no layer of PyTorch: a weight, or the bias of the last layer that it fits."""
    if x.ndim > 1:
        layers.append(Layer(x))
        return
    for i in reversed(range(len(layers))):
        if layers[i].bias is None and layers[i].weight.shape[0] == x.numel():
            layers[i] = replace(layers[i], bias=x)
            return


def parts_of(layers: list[Layer], C: int) -> Parts:
    """What each layer is for, by its shape: (h, C) and then (C, h) are an MLP, (1, m, k, k) is the convolution."""
    flat = [layer for layer in layers if all(n == 1 for n in layer.weight.shape[2:]) and is_in_mlp(layer, layers, C)]
    rest = [layer for layer in layers if not any(layer is other for other in flat)]
    mlps = []
    for first, second in zip(flat[::2], flat[1::2], strict=False):
        h = first.weight.shape[0]
        if first.weight.shape[:2] != (h, C) or second.weight.shape[:2] != (C, h):
            raise UnknownError(f"its MLP has layers {shapes(flat)}, not (h, C) and (C, h)")
        mlps.append((squeezed(first), squeezed(second)))
    if len(flat) % 2 or len(mlps) > 2:
        raise UnknownError(f"its MLP has layers {shapes(flat)}, not two, or two for each pooled vector")
    if len(rest) > 1:
        raise UnknownError(f"it has more than one convolution: {shapes(rest)}")
    conv = rest[0] if rest else None
    if conv is not None and (
        conv.weight.ndim != 4 or conv.weight.shape[0] != 1 or conv.weight.shape[1] not in (1, 2, C)
    ):
        raise UnknownError(f"its convolution is {tuple(conv.weight.shape)}, not (1, 2, k, k)")
    return Parts(mlps, conv)


def is_in_mlp(layer: Layer, layers: list[Layer], C: int) -> bool:
    """Whether a layer that is no k×k convolution belongs to an MLP: there are two of them, from C and to C."""
    o, i = layer.weight.shape[:2]
    if o == 1 and layer.weight.ndim == 4:  # one hidden unit, or the convolution of a spatial gate
        return i == C and any(other.weight.shape[:2] == (C, 1) for other in layers)
    return True


def squeezed(layer: Layer) -> Layer:
    """A 1×1 convolution as a linear layer."""
    return replace(layer, weight=layer.weight.flatten(1))


def shapes(layers: list[Layer]) -> str:
    """The shapes of layers in words."""
    return ", ".join(str(tuple(layer.weight.shape)) for layer in layers)


# --- what the shapes say --------------------------------------------------------------------------------------------


REDUCTION = re.compile(r"r|ratio|reduc\w*|\w*_reduction|\w*_ratio|\w*reduction_ratio|squeeze\w*", re.IGNORECASE)


def reduction_of(maker: Any, channels: int) -> Iterator[Deviation]:
    """Whether a class heeds the reduction that it takes: made with two of them, the hidden sizes have to differ."""
    if isinstance(maker, nn.Module):
        return
    try:
        parameters = inspect.signature(maker).parameters.values()
    except (TypeError, ValueError):
        return
    for name, default in ((p.name, p.default) for p in parameters if REDUCTION.fullmatch(p.name)):
        values = [1 / r if isinstance(default, float) and default < 1 else r for r in (2, 4)]
        try:
            modules = [made(maker, channels, **{name: value}) for value in values]
            hidden = [parts_of(layers_of(m), channels).mlps[0][0].weight.shape[0] for m in modules]
        except (UnknownError, NotOneError, IndexError):
            return
        if hidden[0] == hidden[1]:
            yield Deviation(
                "reduction ignored", f"with {name} = {values[0]} and {values[1]} alike, {hidden[0]} hidden units"
            )
        return


def expected_sizes(parts: Parts, C: int, reduction: int | None, kernel_size: int) -> Iterator[Deviation]:
    """What the shapes alone show."""
    for first, second in parts.mlps[:1]:
        h = first.weight.shape[0]
        if reduction is not None and h != C // reduction:
            yield Deviation("reduction ignored", f"{h} hidden units, where C/r is {C // reduction}")
        biases = [name for name, layer in (("b1", first), ("b2", second)) if layer.bias is not None]
        if biases:
            sizes = " and ".join(f"{name} ({n},)" for name, n in (("b1", h), ("b2", C)) if name in biases)
            yield Deviation("bias in the MLP", f"it has {sizes}; the formulas have none. b2 enters M_c twice")
        if first.norm is not None or second.norm is not None:
            where = " and ".join(f"layer {i}" for i, layer in ((1, first), (2, second)) if layer.norm is not None)
            yield Deviation("batch norm in the MLP", f"after {where}; the formulas have none")
    if len(parts.mlps) == 2:
        yield Deviation("MLP not shared", "it has two MLPs, one for each pooled vector; the formulas have one for both")
    if parts.conv is not None:
        k = tuple(parts.conv.weight.shape[2:])
        if k != (kernel_size, kernel_size):
            yield Deviation("kernel size", f"{k[0]}×{k[1]}, where {kernel_size}×{kernel_size} was expected")
        if parts.conv.bias is not None:
            yield Deviation(
                "bias of the convolution", "one number is added to every logit of M_s; the formulas have none"
            )
        if parts.conv.norm is not None:
            yield Deviation(
                "batch norm after the convolution",
                "between the convolution and the sigmoid of M_s; the formulas have none",
            )


# --- the search -----------------------------------------------------------------------------------------------------


def compare(subjects: list[Subject]) -> Audit:
    """Find the switches with which the formulas give the module's output and gradients."""
    subject = subjects[0]
    if not subject.parts.mlps or subject.parts.conv is None:
        raise NotOneError(half_in_words(subject))
    forward = search(subjects)
    if forward is None:
        return Audit(*unexplained(subjects))
    try:
        switches, at_ties = like_gradients(subject, forward)
    except NoGradientError as reason:
        return without_gradients(subject, forward, str(reason))
    unsure = []
    if switches is None:
        switches = forward
        unsure.append(
            "its output is explained, and its gradients are not: they differ from autograd's for the same formulas"
        )
    elif at_ties is None:
        unsure.append("where entries tie for a maximum, its gradient goes neither to the first nor to all alike")
    switches = {**switches, **(at_ties or {})}
    agreement = distance(subject, switches)
    elsewhere = [in_other_sizes(subject, switches), in_training_too(subject, switches)]
    unsure += [more for more in elsewhere if isinstance(more, str)]
    found = (*explained(subject, switches, agreement), *(more for more in elsewhere if isinstance(more, Deviation)))
    sizes = " and ".join(f"{H}×{W}" for H, W in other_sizes(subject))
    also = f", on {sizes} too, and in training" if elsewhere == [None, None] else ""
    checked = (
        f"Compared on F {tuple(subject.f.shape)} in {str(subject.f.dtype).removeprefix('torch.')}{also}. "
        f"{'With what is named here, the' if found else 'The'} formulas agree with it to {agreement[0]:.0e} in the "
        f"output and to {agreement[1]:.0e} in the gradients of F and of every weight."
    )
    return Audit(True, found, tuple(unsure), agreement, checked)


def other_sizes(subject: Subject) -> list[tuple[int, int]]:
    """H and W of the features on which the comparison is made again: larger, and smaller than a kernel of 7×7."""
    H, W = subject.f.shape[2:]
    return [(H + 5, W + 3), (4, 5)]


def in_other_sizes(subject: Subject, switches: Switches) -> Deviation | None:
    """What differs if the features have another size."""
    for H, W in other_sizes(subject):
        shape = (*subject.f.shape[:2], H, W)
        f = torch.randn(shape, generator=subject.generator, dtype=subject.f.dtype)
        try:
            out = subject._run(f)
        except UnknownError as reason:
            return Deviation("one size only", str(reason))
        if out.shape != f.shape:
            return Deviation("one size only", f"on {H}×{W} it makes {tuple(out.shape)} of {shape}")
        with torch.no_grad():
            off = relative(block(f, subject.parts, switches), out)
        if off > subject.tolerance:
            return Deviation("other formulas for other sizes", f"on {H}×{W} the formulas found are off by {off:.1%}")
    return None


def in_training_too(subject: Subject, switches: Switches) -> Deviation | str | None:
    """What differs in training: a deviation; or, if it can't be told what, a sentence."""
    module, parts = subject.module, in_training(subject.parts)
    before = {name: x.clone() for name, x in module.state_dict().items()}
    try:
        module.train()
        out = subject._run(subject.f)
        if not torch.equal(out, subject._run(subject.f)):
            return Deviation(
                "random in training", "the output is another one every time, as with dropout; in evaluation not"
            )
        with torch.no_grad():
            off = relative(block(subject.f, parts, switches), out)
            frozen = relative(block(subject.f, subject.parts, switches), out)
        if off < subject.tolerance:
            off = gradient_distance(subject, switches, subject.f, parts)
            return None if off < subject.tolerance else f"in training its gradients are off by {off:.1%}"
        if frozen < subject.tolerance:
            return Deviation(
                "batch norm in evaluation, always",
                f"in training, too, it goes by the running averages; else {off:.1%} differ",
            )
        return f"what explains its output in evaluation does not in training: there it is off by {off:.1%}"
    except (UnknownError, NoGradientError) as reason:
        return f"in training: {reason}"
    finally:
        module.eval()
        module.load_state_dict(before)


def without_gradients(subject: Subject, switches: dict[str, Any], reason: str) -> Audit:
    """What was found of a module whose backward fails; of its gradients nothing."""
    with torch.no_grad():
        output = relative(block(subject.f, subject.parts, switches), subject.out)
    found = [Deviation("no backward pass", f"autograd fails: {reason}")]
    found += [
        Deviation(name, f"fixing it changes the output{detail(switch, switches[switch])}")
        for switch, name in names(switches).items()
    ]
    return Audit(
        True, tuple(found), (), (output, float("nan")), f"Only the output was compared: it agrees to {output:.0e}."
    )


def candidates(parts: Parts) -> dict[str, list[Any]]:
    """The values of each switch that the layers allow, the most likely first."""
    assert parts.conv is not None
    inputs, C = parts.conv.weight.shape[1], parts.mlps[0][0].weight.shape[1]
    two = ["average, max", "max, average", "average, average", "max, max"]
    one = ["average", "max", "sum", "half of the sum", "product"]
    allowed = {switch: list(values) for switch, values in CHOICES.items() if switch not in GRADIENT_ONLY}
    allowed["spatial pooling"] = two * (inputs == 2) + one * (inputs == 1) + ["all channels"] * (inputs == C)
    if len(parts.mlps) == 1:
        allowed["MLPs"] = ["in order"]
    if max(parts.conv.weight.shape[2:]) == 1:
        allowed["padding"], allowed["dilation"] = [(0, 0)], [1]
    return allowed


def search(subjects: list[Subject]) -> dict[str, Any] | None:
    """The fewest switches that give the module's output; None if there are none."""
    allowed = candidates(subjects[0].parts)
    start = {**RIGHT, **{switch: values[0] for switch, values in allowed.items()}}
    every = [(switch, value) for switch, values in allowed.items() for value in values[1:]]
    likely = [(switch, value) for switch, value in every if switch not in RARE or value in COMMON]

    def fewest(count: int, changes: list[tuple[str, Any]], seconds: float = float("inf")) -> dict[str, Any] | None:
        end = time.thread_time() + seconds
        for combination in combinations(changes, count):
            if len({switch for switch, _ in combination}) == count and fits(subjects, start | dict(combination)):
                return start | dict(combination)
            if time.thread_time() > end:
                break
        return None

    return (
        fewest(0, [])
        or fewest(1, every)
        or fewest(2, likely)
        or search_by_halves(subjects, allowed, start)
        or fewest(2, every)
        or fewest(3, likely, SECONDS)
    )


def search_by_halves(
    subjects: list[Subject], allowed: dict[str, list[Any]], start: dict[str, Any]
) -> dict[str, Any] | None:
    """The fewest switches, where the output is F times two gates, see `halves`."""
    cases = [Case(subject.f, subject.out, subject.parts) for subject in subjects]
    tolerance = 10 * subjects[0].tolerance
    return by_halves(cases, allowed, start, tolerance, lambda found: fits(subjects, found), SECONDS)


def fits(subjects: list[Subject], switches: Switches) -> bool:
    """Whether the formulas with these switches give the module's output, in every draw."""
    return all(fits_one(subject, switches) for subject in subjects)


def fits_one(subject: Subject, switches: Switches) -> bool:
    """Whether they do in one."""
    try:
        with torch.no_grad():
            out = block(subject.f, subject.parts, switches)
    except RuntimeError:  # such as a border that is wider than the features
        return False
    return out.shape == subject.out.shape and relative(out, subject.out) < subject.tolerance


def like_gradients(subject: Subject, forward: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The switches with which the gradients agree too, apart from ties; then those that say what happens at ties."""
    switches = next(
        (
            forward | {"detached": value}
            for value in CHOICES["detached"]
            if gradient_distance(subject, forward | {"detached": value}, subject.f) < subject.tolerance
        ),
        None,
    )
    if switches is None:
        return None, None
    tied = with_ties(subject)
    for over_channels in CHOICES["ties over channels"]:
        for in_space in CHOICES["ties in space"]:
            ties = {"ties in space": in_space, "ties over channels": over_channels}
            if max(gradient_distance(subject, switches | ties, f) for f in tied) < subject.tolerance:
                return switches, ties
    return switches, None


def with_ties(subject: Subject) -> list[Tensor]:
    """Features whose maxima are ties: over space, of another number in each channel; and of zeros.

    Zeros stay a tie when the features are gated first, whatever the gates are. In the second features a third of the
    pixels is 0 in all channels; every other channel has no larger entry, and those between give the MLP something.
    """
    generator = torch.Generator().manual_seed(2)
    two = torch.randint(0, 2, subject.f.shape, generator=generator).to(subject.f.dtype)
    scale = torch.randn((*two.shape[:2], 1, 1), generator=generator).to(two.dtype)
    zeros = -two
    zeros[:, 1::2] = 0.5 + torch.rand(zeros[:, 1::2].shape, generator=generator).to(two.dtype)
    zeros *= torch.rand((len(two), 1, *two.shape[2:]), generator=generator) > 1 / 3
    return [scale * (two + 0.5), zeros]


def gradient_distance(subject: Subject, switches: Switches, f: Tensor, parts: Parts | None = None) -> float:
    """How far the gradients of F and of every weight are from the module's, the worst of them."""
    theirs, ours = both_gradients(subject, switches, f, parts)
    return max(relative(a, b) for a, b in zip(ours, theirs, strict=True))


def both_gradients(
    subject: Subject, switches: Switches, f: Tensor, parts: Parts | None = None
) -> tuple[list[Tensor], list[Tensor]]:
    """The module's gradients and ours for one random upstream gradient: of F, then of every weight and bias."""
    d_out = torch.randn(f.shape, generator=torch.Generator().manual_seed(1), dtype=f.dtype)
    wanted = [x for layer in subject.layers for x in (layer.weight, layer.bias) if x is not None and x.requires_grad]
    return subject.gradients(f, d_out, wanted), our_gradients(parts or subject.parts, switches, f, d_out, wanted)


def our_gradients(parts: Parts, switches: Switches, f: Tensor, d_out: Tensor, wanted: list[Tensor]) -> list[Tensor]:
    """Autograd's for `variants.block`: of F, then of `wanted`."""
    leaf = f.clone().requires_grad_()
    out = block(leaf, parts, switches)
    return list(torch.autograd.grad(out, [leaf, *wanted], d_out, materialize_grads=True))


def distance(subject: Subject, switches: Switches) -> tuple[float, float]:
    """How far the formulas with these switches are from the module: output, and worst gradient."""
    with torch.no_grad():
        out = relative(block(subject.f, subject.parts, switches), subject.out)
    return out, gradient_distance(subject, switches, subject.f)


def relative(got: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest entry."""
    if expected.numel() == 0:
        return 0.0
    largest = max(expected.detach().abs().max().item(), 1e-30)
    difference = (got.detach() - expected.detach()).abs().max().item() / largest
    return difference if difference == difference else float("inf")


# --- what was found, in words ---------------------------------------------------------------------------------------


def explained(subject: Subject, switches: dict[str, Any], agreement: tuple[float, float]) -> Iterator[Deviation]:
    """Each deviation, with what changes if it alone is put right."""
    for switch, name in names(switches).items():
        without = {**switches, switch: RIGHT[switch]}
        if switch.startswith("ties"):
            gradient = max(changes(subject, without, f)[1] for f in with_ties(subject))
            yield Deviation(
                name,
                f"the gradient at a tie is that of amax, not of the first entry; there dF differs by {gradient:.1%}",
                0.0,
                gradient,
            )
            continue
        try:
            output, gradient = changes(subject, without, subject.f)
        except RuntimeError:  # the right one has another kernel
            assert subject.parts.conv is not None
            kernel = tuple(subject.parts.conv.weight.shape)
            yield Deviation(name, f"its kernel is {kernel}; with this the formulas agree with it to {agreement[0]:.0e}")
            continue
        if output == 0:
            evidence = f"the output is right; fixing it changes the gradient by {gradient:.1%}"
        else:
            undoing = "undoing" if name in KNOWN else "fixing"
            evidence = f"{undoing} it changes the output by {output:.1%}, and a gradient by {gradient:.1%}"
        yield Deviation(name, evidence + detail(switch, switches[switch]), output, gradient)


def detail(switch: str, value: Any) -> str:
    """What the name of a deviation leaves open."""
    if switch == "padding" and isinstance(value, tuple):
        return f"; the map lies {value[0]} rows and {value[1]} columns further down and right"
    if switch.endswith("over"):
        return f"; over the axes {value} of (N, C, H, W)"
    return f"; dilation {value}" if switch == "dilation" else ""


def changes(subject: Subject, without: Switches, f: Tensor) -> tuple[float, float]:
    """By how much the output, and the worst gradient, change with other switches; at most 2, if they turn around."""
    with torch.no_grad():
        output = change(block(f, subject.parts, without), subject.module(f.clone()))
    theirs, ours = both_gradients(subject, without, f)
    return output, max(map(change, ours, theirs))


def change(a: Tensor, b: Tensor) -> float:
    """The largest difference, relative to the largest entry of either."""
    return max(relative(a, b) if b.abs().max() > a.abs().max() else relative(b, a), 0.0)


def half_in_words(subject: Subject) -> str:
    """What a module without an MLP or without a convolution is."""
    ratio = subject.out / subject.f
    over_pixels = relative(ratio, ratio[:, :, :1, :1].expand_as(ratio)) < 1e-6
    over_channels = relative(ratio, ratio[:, :1].expand_as(ratio)) < 1e-6
    if over_pixels and over_channels:
        return "all of F is multiplied by one number for each sample"
    if over_pixels:
        return "it gates the channels and not the pixels, as squeeze-and-excitation does"
    if over_channels:
        return "it gates the pixels and not the channels"
    missing = "no MLP (h, C), (C, h)" if not subject.parts.mlps else "no convolution (1, 2, k, k)"
    return f"it has {missing} that its output depends on; its layers are {shapes(subject.layers) or 'none'}"


def unexplained(subjects: list[Subject]) -> tuple[bool | None, tuple[Deviation, ...], tuple[str, ...]]:
    """What can be said of a module that no switches explain."""
    tried = (
        f"it has the layers of a CBAM. No combination of up to {MOST} known deviations, nor of {MOST} in each half, "
        "explains its output"
    )
    what = subjects[0].gated_in()
    if not what:
        return None, (), (f"{tried}, which isn't one gate per channel times one gate per pixel",)
    begins = f"{tried}. It multiplies {what} by one gate per channel and one gate per pixel, as CBAM does"
    return True, (), (f"{begins}. {first_to_differ(subjects, 'residual' if 'plus' in what else 'F″')}",)


def first_to_differ(subjects: list[Subject], output: str) -> str:
    """Which of the two gates the known deviations don't explain, where they are taken from the output."""
    cases = [Case(subject.f, subject.out, subject.parts) for subject in subjects]
    allowed = candidates(subjects[0].parts)
    start = {**RIGHT, **{switch: values[0] for switch, values in allowed.items()}}
    if channel_gates_explained(cases, allowed, start, output, 10 * subjects[0].tolerance):
        return "M_c can be explained (up to a factor for each sample), so M_s is the first that can't"
    return "M_c is the first that can't be explained"


def is_product_of_gates(ratio: Tensor) -> bool:
    """Whether ratio[n, c, i, j] = a[n, c] b[n, i, j]."""
    product = ratio[:, :, :1, :1] * ratio[:, :1]
    return relative(product, ratio * ratio[:, :1, :1, :1]) < 1e-6
