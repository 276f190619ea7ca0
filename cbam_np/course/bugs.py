"""Ten broken CBAMs: `plain_block.py`, each with one line changed to a mistake that people make. For chapter 10.

This file names every mistake. If you want to find them yourself, read it afterwards.
"""

import ast
import inspect
from dataclasses import dataclass
from functools import cached_property
from textwrap import indent
from typing import Any

from cbam_np.arrays import Array, Backward, Params
from cbam_np.course import plain_block

PARAMETERS = ("channel.w1", "channel.w2", "spatial.kernel")


@dataclass(frozen=True)
class Block:
    """A block that is known by its source. Call it like `cbam_np.cbam`: `out, backward = block(f, params)`."""

    source: str

    def __call__(self, f: Array, params: Params, maps: Params | None = None) -> tuple[Array, Backward]:
        """F″ and its backward; M_c and M_s are stored in `maps`, if it is given."""
        out, backward = self.part("cbam")(f, params, maps)
        return out, backward

    @cached_property
    def names(self) -> dict[str, Any]:
        """What the source defines."""
        namespace: dict[str, Any] = {"__name__": "block"}
        exec(compile(self.source, "<block>", "exec"), namespace)
        return namespace

    def part(self, name: str) -> Any:
        """One function of it: "relu", "maximum", "convolution", "spatial_map", ..."""
        return self.names[name]

    def show(self, *parts: str) -> None:
        """Print these functions, or all of them, with the numbers of their lines."""
        lines = self.source.splitlines()
        for function in ast.parse(self.source).body:
            if isinstance(function, ast.FunctionDef) and (not parts or function.name in parts):
                last = function.end_lineno or function.lineno
                print("\n".join(f"{i:4}  {lines[i - 1]}".rstrip() for i in range(function.lineno, last + 1)), "\n")

    def mended(self, line: int, to: str) -> "Block":
        """The block with line number `line` replaced; the new one is indented like the old one."""
        lines = self.source.splitlines()
        if not 1 <= line <= len(lines) or not lines[line - 1].strip():
            raise ValueError(f"line: expected the number of a line of code, got {line}")
        old = lines[line - 1]
        lines[line - 1] = indent(to.strip(), old[: len(old) - len(old.lstrip())])
        return Block("\n".join(lines))

    def run(self, f: Array, params: Params, d_f2: Array) -> tuple[Array, ...]:
        """f2, and from the upstream gradient d_f2 the gradients d_f, d_w1, d_w2, d_kernel."""
        f2, backward = self(f, params)
        d_f, grads = backward(d_f2)
        return f2, d_f, *(grads[name] for name in PARAMETERS)


RIGHT = Block(inspect.getsource(plain_block))


def line_of(original: str) -> int:
    """The number of the line that reads `original` in the right block. Raises ValueError unless there is one."""
    numbers = [i for i, line in enumerate(RIGHT.source.splitlines(), 1) if line.strip() == original]
    if len(numbers) != 1:
        raise ValueError(f"original: expected a line that occurs once, got {original!r}, {len(numbers)} times")
    return numbers[0]


def broken(original: str, mistake: str) -> Block:
    """The block with one line replaced."""
    return RIGHT.mended(line_of(original), mistake)


# 1 The spatial gate without its sigmoid: M_s may be any number.
block_1 = broken("m_s, sigmoid_backward = sigmoid(z)", "m_s, sigmoid_backward = z, lambda d_m_s: d_m_s")

# 2 The sigmoid of the sigmoid: a map that was gated already is gated again, and only one of them is differentiated.
block_2 = broken("m_c, sigmoid_backward = sigmoid(z)", "m_c, sigmoid_backward = sigmoid(sigmoid(z)[0])")

# 3 The mask of ReLU, taken from its output with >=. No output of ReLU is negative: it is always true.
block_3 = broken("return d_h * (h > 0)", "return d_h * (h >= 0)")

# 4 The map as a constant: what dM_c sends back to F is dropped.
block_4 = broken("d_f = m_c * d_f1 + d_f_map", "d_f = m_c * d_f1")

# 5 The kernel not flipped on the way back.
block_5 = broken("flipped = kernel[:, :, ::-1, ::-1]", "flipped = kernel[:, :, :, :]")

# 6 The shared MLP as if there were two: its gradient is that of the branch that came last.
block_6 = broken("d_w1 += d_w1_pool", "d_w1 = d_w1_pool")

# 7 The upstream gradient forgotten in one of the two paths, as if dF″ were ones.
block_7 = broken("d_f1 = m_s * d_f2 + d_f1_map", "d_f1 = m_s + d_f1_map")

# 8 The branch of the maximum is fed the average. Forward and backward agree with each other.
block_8 = broken("for pool in (average, maximum):  # (3), (4)", "for pool in (average, average):  # (3), (4)")

# 9 [max; avg] for [avg; max]. Forward and backward agree with each other.
block_9 = broken("for pool in (average, maximum):  # (8), (9)", "for pool in (maximum, average):  # (8), (9)")

# 10 The full gradient to every entry that ties.
block_10 = broken("np.put_along_axis(d_x, place, d_max, axis)", "d_x += d_max * (x == largest)")

BLOCKS = (block_1, block_2, block_3, block_4, block_5, block_6, block_7, block_8, block_9, block_10)
