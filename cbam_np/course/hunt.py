"""The bug hunt of chapter 9: eight blocks from eight desks, each judged by what it computes.

This file names every mistake. If you want to find them yourself, read it afterwards.
"""

import ast
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from textwrap import fill, indent
from typing import Any, TypeAlias

import numpy as np

from cbam_np.arrays import Array, Backward
from cbam_np.course import hunt_block

Slopes: TypeAlias = Callable[[Any, tuple[Array, ...], int, Array], Array]

NAMES = ("d_f", "d_w1", "d_w2", "d_kernel")
AS_GOOD_AS_EQUAL = 1e-12  # two exact computations, relative to the largest entry
AS_GOOD_AS_MEASURED = 1e-6  # a computation and central differences


def slopes(op: Any, inputs: tuple[Array, ...], which: int, d_out: Array) -> Array:
    """The slope of L = Σ d_out ⊙ out along every entry of inputs[which], by central differences."""
    moved, h = [np.array(x) for x in inputs], 6e-6
    measured = np.zeros(moved[which].shape)
    for i in np.ndindex(measured.shape):
        sides = []
        for step in (h, -h):
            moved[which][i] = inputs[which][i] + step
            sides.append(np.sum(d_out * op(*moved)[0]))
        moved[which][i] = inputs[which][i]
        measured[i] = (sides[0] - sides[1]) / (2 * h)
    return measured


def off_by(got: Array, expected: Array) -> float:
    """The largest difference, relative to the largest entry that is expected."""
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def example(tied: bool = False) -> tuple[tuple[Array, ...], Array]:
    """f, w1, w2, kernel; and d_f2. With `tied`, f has four different values, so that its maxima tie."""
    rng = np.random.default_rng(5)
    f, d_f2 = rng.normal(size=(2, 2, 4, 3, 5))
    w1, w2, kernel = (rng.normal(size=shape) / 2 for shape in ((3, 4), (4, 3), (1, 2, 3, 3)))
    if tied:
        f = rng.choice([-0.5, 0.5, 1.25, 2.0], size=f.shape)
    return (f, w1, w2, kernel), d_f2


@dataclass(frozen=True)
class Block:
    """A block that is known by its source. Call it as your own: `out, backward = block(f, w1, w2, kernel)`."""

    name: str
    source: str

    def __call__(self, f: Array, w1: Array, w2: Array, kernel: Array) -> tuple[Array, Backward]:
        """F″ and its backward."""
        out, backward = self.part("cbam")(f, w1, w2, kernel)
        return out, backward

    @cached_property
    def names(self) -> dict[str, Any]:
        """What the source defines."""
        namespace: dict[str, Any] = {"__name__": "block"}
        exec(compile(self.source, f"<block {self.name}>", "exec"), namespace)
        return namespace

    def part(self, name: str) -> Any:
        """One function of it: "relu", "maximum", "conv2d", "spatial_map", ..."""
        return self.names[name]

    # --- looking at it ------------------------------------------------------------------------------------------------

    def read(self, *parts: str) -> None:
        """Print the source with the numbers of its lines: all of it, or these functions."""
        lines = self.source.splitlines()
        for function in ast.parse(self.source).body:
            if isinstance(function, ast.FunctionDef) and (not parts or function.name in parts):
                last = function.end_lineno or function.lineno
                print("\n".join(f"{i:4}  {lines[i - 1]}".rstrip() for i in range(function.lineno, last + 1)), "\n")

    def check(self, slopes: Slopes = slopes, ones: bool = False) -> None:
        """Compare each of its gradients with the slopes of its own forward pass; d_out is random, or ones."""
        inputs, d_out = example()
        d_out = np.ones(d_out.shape) if ones else d_out
        print(f"block {self.name}, its gradients against its own slopes, d_out {'ones' if ones else 'random'}")
        for which, (name, gradient) in enumerate(zip(NAMES, self(*inputs)[1](d_out), strict=True)):
            off = off_by(gradient, slopes(self, inputs, which, d_out))
            print(f"   {name:9}", "right" if off < AS_GOOD_AS_MEASURED else f"wrong, off by {off:.0%}")

    def compare(self, tied: bool = False) -> None:
        """Compare its output and its gradients with those of PyTorch; with `tied`, on features whose maxima tie."""
        print(f"block {self.name} against PyTorch, features {'with ties' if tied else 'random'}")
        for name, off in self.errors(pytorch, tied).items():
            print(f"   {name:9}", "equal" if off < AS_GOOD_AS_EQUAL else f"off by {off:.0%}")

    def errors(self, other: Callable[..., tuple[Array, Backward]], tied: bool = False) -> dict[str, float]:
        """How far its output and its gradients are from those of another block."""
        inputs, d_f2 = example(tied)
        both = []
        for block in (self, other):
            out, backward = block(*inputs)
            both.append((out, *backward(d_f2)))
        return {name: off_by(got, expected) for name, got, expected in zip(("f2", *NAMES), *both, strict=True)}

    # --- the verdict --------------------------------------------------------------------------------------------------

    def repair(self, lines: Any) -> None:
        """Replace lines, {number: "text"}, and print whether the block is right now; {} says that it always was."""
        if lines is ...:
            print(f'{self.name}: not repaired yet. hunt.hint("{self.name}") gives a first hint.')
            return
        try:
            repaired = self.with_lines(lines)
        except (ValueError, TypeError) as error:
            print(f"{self.name}: {error}")
            return
        try:
            wrong = repaired.wrong()
            same = not (repaired.differs(self, tied=False) or repaired.differs(self, tied=True))
        except Exception as error:
            print(f"{self.name}: with your lines it stops with an error, {type(error).__name__}: {error}")
            return
        if wrong:
            print(fill(f"{self.name}: {'' if lines else 'not so: '}it differs from the right block: {wrong}.", 100))
            if lines and same:
                print("   Your change makes no difference to any result.")
        else:
            verdict = "repaired" if self.wrong() else "right, and it was right all along"
            print(fill(f"{self.name}: {verdict}. {CASES[self.name].story}", 100))

    def with_lines(self, lines: Mapping[int, str]) -> "Block":
        """The block with these lines replaced; each new one is indented like the old one."""
        if not isinstance(lines, Mapping) or not all(isinstance(text, str) for text in lines.values()):
            raise TypeError(f'lines: expected numbers and texts such as {{17: "return d_h"}}, got {lines!r}')
        source = self.source.splitlines()
        for number, text in lines.items():
            if not 1 <= number <= len(source) or not source[number - 1].strip():
                raise ValueError(f"lines: expected numbers of lines of code, got {number}; read() prints them")
            old = source[number - 1]
            source[number - 1] = indent(text.strip(), old[: len(old) - len(old.lstrip())])
        return Block(self.name, "\n".join(source))

    def wrong(self) -> str:
        """Which results differ from those of the right block, on random features and on features with ties."""
        found = {"random features": self.differs(RIGHT), "features with ties": self.differs(RIGHT, tied=True)}
        return "; ".join(f"{', '.join(names)} on {where}" for where, names in found.items() if names)

    def differs(self, other: "Block", tied: bool = False) -> list[str]:
        """Which results differ from those of another block."""
        return [name for name, off in self.errors(other, tied).items() if not off < AS_GOOD_AS_EQUAL]


def pytorch(f: Array, w1: Array, w2: Array, kernel: Array) -> tuple[Array, Backward]:
    """The same formulas, written with PyTorch's functions; the gradients are those of its autograd."""
    import torch
    from torch.nn import functional

    leaves = [torch.tensor(x, requires_grad=True) for x in (f, w1, w2, kernel)]
    x, v1, v2, weight = leaves
    vectors = x.mean(dim=(2, 3)), functional.adaptive_max_pool2d(x, 1).flatten(1)
    s_avg, s_max = (torch.relu(pooled @ v1.T) @ v2.T for pooled in vectors)
    m_c = torch.sigmoid(s_avg + s_max)
    f1 = m_c[:, :, None, None] * x
    maps = torch.cat([f1.mean(dim=1, keepdim=True), f1.max(dim=1, keepdim=True).values], dim=1)
    f2 = torch.sigmoid(functional.conv2d(maps, weight, padding=weight.shape[-1] // 2)) * f1

    def backward(d_f2: Array) -> Any:
        return tuple(d.numpy() for d in torch.autograd.grad(f2, leaves, torch.tensor(d_f2), retain_graph=True))

    return f2.detach().numpy(), backward


# --- the cases --------------------------------------------------------------------------------------------------------

RIGHT = Block("right", inspect.getsource(hunt_block))


def line_of(original: str) -> int:
    """The number of the line that reads `original` in the right block. Raises ValueError unless there is one."""
    numbers = [i for i, line in enumerate(RIGHT.source.splitlines(), 1) if line.strip() == original]
    if len(numbers) != 1:
        raise ValueError(f"original: expected a line that occurs once, got {original!r}, {len(numbers)} times")
    return numbers[0]


@dataclass(frozen=True)
class Case:
    """What was done to a block {the right line: what became of it}, the stages of its hint, and what to tell after."""

    changed: Mapping[str, str]
    hints: tuple[str, ...]
    story: str
    title: str

    def block(self, name: str) -> Block:
        """The block with the mistake in it."""
        return Block(name, RIGHT.with_lines({line_of(old): new for old, new in self.changed.items()}).source)

    @property
    def answer(self) -> dict[int, str]:
        """The lines as they should be."""
        return {line_of(old): old for old in self.changed}


# What others' modules differ from the paper in: how many do, and one that does. A test counts again, in the results
# that the page "CBAM in the wild" shows.
AUDITED, COMPARED = 46, 39  # modules; those whose gradients could be compared
IN_THE_WILD = {
    "concat order": (15, "the code that the paper's authors released, and what follows it"),
    "F instead of F′ into the spatial branch": (1, "DhinanjayaFernando/Biofusion_team_PULSE_PIRATES"),
    "no max branch (the average twice)": (1, "BobMcDear/attention-in-vision"),
}


def in_the_wild(name: str) -> str:
    """How many modules on the page "CBAM in the wild" differ from the paper in this, and an example."""
    count, example = IN_THE_WILD[name]
    differ = "differs" if count == 1 else "differ"
    return f"{count} of the {AUDITED} modules on the page CBAM in the wild {differ} from the paper in this: {example}"


CASES = {
    "A": Case(
        {"return d_h * (h > 0)": "return d_h * (h >= 0)"},
        (
            "A backward pass meets d_kernel first, then d_w2, then d_w1, then d_f. Which is the last right one?",
            "d_w2 is right and d_w1 is wrong. One function has its backward between the two.",
            "h is the output of a ReLU. Is it ever negative?",
        ),
        "No output of a ReLU is negative, so h >= 0 is always true and the mask stops nothing. Seen in a tutorial of "
        "the NumPy project itself, Deep learning on MNIST: its relu2deriv(output) is output >= 0.",
        "the ReLU's mask is always true",
    ),
    "B": Case(
        {
            "return m_c * d_f1 + d_f_map, d_w1, d_w2, d_kernel": "return m_c * d_f1, d_w1, d_w2, d_kernel",
        },
        (
            "All gradients of the parameters are right. What is left after the last of them?",
            "F is used twice in (1). Are there two contributions to d_f?",
            "Look at the last line of the backward of cbam. What has become of d_f_map?",
        ),
        "The map was treated as a constant, so one of the two paths to F is missing. Nothing crashes, and all "
        "parameters of this block learn as they should; what suffers is every layer before it. A path is lost "
        f"this easily only when you derive by hand: the {COMPARED} modules on the page CBAM in the wild whose "
        "gradients could be compared have both, since PyTorch derives them.",
        "the path through M_c is dropped",
    ),
    "C": Case(
        {"d_f1 = m_s * d_f2 + d_f1_map": "d_f1 = m_s + d_f1_map"},
        (
            "With ones all is right, with a random d_out it isn't. What can tell ones from random numbers?",
            "d_kernel is right, so the way to the map is. Which other path comes back from F″ to F′?",
            "Each term of a gradient has the upstream gradient as a factor. Find one that hasn't.",
        ),
        "One path forgot to multiply by d_f2. With d_f2 = 1 that can't be seen, and a test that adds up all outputs "
        "and differentiates the sum has d_f2 = 1.",
        "one path forgets d_out",
    ),
    "D": Case(
        {
            "for pool in (average, maximum):": "for pool in (maximum, average):",
            "u, conv2d_backward = conv2d(np.concatenate(maps, axis=1), kernel)": "u, conv2d_backward = conv2d("
            "np.concatenate(maps, axis=1), kernel[:, ::-1])",
            "return first(d_maps[:, :1]) + second(d_maps[:, 1:]), d_kernel": "return first(d_maps[:, :1]) + "
            "second(d_maps[:, 1:]), d_kernel[:, ::-1]",
        },
        (
            "Before you look for a reason, make sure that there is something to explain.",
            "Which tool knows the formulas? What does it say, with ties and without?",
            "The maximum comes first, that is true. And what happens to the kernel's two channels?",
        ),
        "The maximum comes first and the kernel's two channels are swapped too, so the sum is the same. It is ugly, "
        "and it is right: what looks wrong has to be measured as well.",
        "innocent: swapped twice",
    ),
    "E": Case(
        {"max_c, maximum_backward = maximum(pixels, axis=2)": "max_c, maximum_backward = average(pixels, axis=2)"},
        (
            "Every gradient fits its slopes, and the output differs from PyTorch. Then the backward pass isn't "
            "to blame.",
            "Halve the block: does its channel_map give what the right one gives? Then does its spatial_map?",
            "The name on the left of a line promises something. Does the right side keep it?",
        ),
        "The average is taken twice, once under the name of the maximum. All shapes fit, all gradients are right, and "
        f"it trains. {in_the_wild('no max branch (the average twice)')}.",
        "the average twice, no maximum",
    ),
    "F": Case(
        {
            "m_s, spatial_map_backward = spatial_map(f1, kernel)": "m_s, spatial_map_backward = spatial_map(f, kernel)",
            "d_f1 = m_s * d_f2 + d_f1_map": "d_f1 = m_s * d_f2",
            "return m_c * d_f1 + d_f_map, d_w1, d_w2, d_kernel": "return m_c * d_f1 + d_f_map + d_f1_map, d_w1, d_w2, "
            "d_kernel",
        },
        (
            "Each of its parts gives what the right one gives. So how are they put together?",
            "It is the right gradient of a wrong function. Compare the forward pass of cbam with (1) and (2).",
            "(2) is M_s(F′) ⊗ F′. What is the spatial map computed from here? Three lines belong together.",
        ),
        "The spatial stage pools F where (2) says F′. Forward and backward agree with each other, so no gradient "
        "check can see it. Seen in the document itself: its formulas (8) and (9) have F. And "
        f"{in_the_wild('F instead of F′ into the spatial branch')}.",
        "the spatial map is made from F",
    ),
    "G": Case(
        {"np.put_along_axis(d_x, winner, d_max, axis)": "d_x += d_max * (x == largest)"},
        (
            "On random features everything is equal. What do images have that random numbers never have?",
            "compare(tied=True) shows it. Which function asks who is the largest?",
            "If two entries are both the largest, what do their gradients add up to here?",
        ),
        "Every tied entry got the full gradient; their shares have to add up to it. Seen in Chainer's maximum, "
        "chainer/functions/math/minmax.py. Flat parts of an image, and zeros behind a ReLU, are full of ties.",
        "ties get the full gradient each",
    ),
    "H": Case(
        {"for pool in (average, maximum):": "for pool in (maximum, average):"},
        (
            "The gradients fit the slopes. Look at the output.",
            "Is the channel map the same as that of the right block? Then what about the spatial map?",
            "The kernel has one channel for each pooled map. Which of the two comes first in (10)?",
        ),
        "[max; avg] in place of [avg; max]. Trained from the start, this block is as good as yours: its kernel has its "
        "two channels the other way round. With weights from the other order it is wrong, and nothing says so. "
        f"{in_the_wild('concat order')}.",
        "[max; avg] in place of [avg; max]",
    ),
}


def block(name: str) -> Block:
    """One of the eight, "A" to "H"."""
    return CASES[name].block(name)


def hint(name: str, stage: int = 1) -> None:
    """Print a hint: stage 1 is a nudge, stage 3 points at the place, stage 4 is the answer."""
    case = CASES[name]
    last = len(case.hints) + 1
    if not 1 <= stage <= last:
        raise ValueError(f"stage: expected a number from 1 to {last}, got {stage}")
    if stage < last:
        print(fill(f"{name}, hint {stage} of {last}: {case.hints[stage - 1]}", 100))
    elif block(name).wrong():
        lines = "\n".join(f"   {number:4}  {text}" for number, text in case.answer.items())
        print(f"{name}, the answer: {case.title}. As it should be:\n{lines}")
    else:
        print(f"{name}, the answer: {case.title}.")
