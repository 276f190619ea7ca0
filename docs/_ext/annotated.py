"""One page a formula: the formula, its derivation, the loops, the array code, and the mistakes planted in it.

The pages in docs/annotated are empty. Their text is written here from the table of formulas, the source of
`cbam_loops` and of the package's functions, and the table of mutants with what `docs/measure.py proof` found.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from textwrap import dedent
from typing import Any, NamedTuple

from generated.tables import measured, table
from sphinx.ext.autodoc.mock import mock
from typeset import is_formula, latex

from cbam_np.reference import loops
from cbam_np.reference.formulas import FORMULAS, Formula
from cbam_np.reference.operations import OPERATIONS

with mock(["torch"]):  # the table needs no PyTorch, only its checks do
    from cbam_np.checking.mutants import MUTANTS, Mutant

PAGE = re.compile(r"docs/annotated/formula_(\d+)")
SAME = {1: 7, 2: 11}  # the document gives these twice, once from outside
Lines = list[str]


def python(text: str) -> str:
    """As a block of code."""
    return f"```python\n{dedent(text).strip(chr(10))}\n```"


# --- the loops ----------------------------------------------------------------------------------------------------


@cache
def parts_of_the_loops() -> tuple[dict[int, Lines], dict[int, Lines]]:
    """The lines of `cbam_loops`, forward and backward, by the numbers in the comments that they are under."""
    forward, _, backward = inspect.getsource(loops.cbam_loops).partition("    def backward(")
    return by_number(forward), by_number(backward)


def by_number(source: str) -> dict[int, Lines]:
    """The paragraphs that start with a comment with formula numbers, for each of these numbers."""
    found: dict[int, Lines] = {}
    for paragraph in re.split(r"\n\s*\n", source):
        comment = paragraph.strip().partition("\n")[0]
        if comment.startswith("# ("):
            for number in re.findall(r"\((\d+)\)", comment):
                found.setdefault(int(number), []).append(dedent(paragraph))
    return found


# --- the array code -----------------------------------------------------------------------------------------------


class Code(NamedTuple):
    """A function of the package without its docstring: what it does forward, and its backward (or more than one)."""

    name: str
    first: int
    last: int
    file: str
    derivation: str
    forward: str
    backward: str


def code_of(name: str) -> Code:
    """The function with that dotted name."""
    module_name, _, short = name.rpartition(".")
    module = import_module(module_name)
    function = inspect.unwrap(getattr(module, short))
    lines = inspect.getsource(module).splitlines()
    node = next(n for n in ast.parse("\n".join(lines)).body if isinstance(n, ast.FunctionDef) and n.name == short)
    inner = [p for p in node.body if isinstance(p, ast.FunctionDef) and p.name.startswith("backward")]
    text = node.body[0].end_lineno if ast.get_docstring(node) else node.body[0].lineno - 1
    assert text is not None
    body = {k for part in inner for k in range(part.lineno, (part.end_lineno or 0) + 1)}
    head = lines[node.lineno - 1 : node.body[0].lineno - 1]
    rest = [line for k, line in enumerate(lines[text : node.end_lineno], start=text + 1) if k not in body]
    forward = re.sub(r"\n\n\n+", "\n\n", "\n".join([*head, *rest]))
    backward = "\n\n".join(dedent("\n".join(lines[p.lineno - 1 : p.end_lineno])) for p in inner)
    start = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    file = f"{module_name.replace('.', '/')}.py"
    return Code(name, start, node.end_lineno or 0, file, inspect.getdoc(function) or "", forward, backward)


def helpers(code: Code) -> Iterator[Code]:
    """The functions of the same file that it calls and that no formula has a page for, such as im2col."""
    name = code.name.rpartition(".")[0]
    module, elsewhere = import_module(name), {function for formula in FORMULAS for function in formula.functions}
    for called in dict.fromkeys(re.findall(r"\b(\w+)\(", code.forward + code.backward)):
        found = getattr(module, called, None)
        if inspect.isfunction(found) and found.__module__ == name and f"{name}.{called}" not in elsewhere:
            yield code_of(f"{name}.{called}")


def derivation(code: Code) -> str:
    """The docstring as MyST: what is indented is a formula, the rest is text, where only `names` are marked."""
    blocks = []
    text = code.derivation.partition("\nParameters\n---")[0].rstrip()
    for paragraph in re.split(r"\n\s*\n", text):
        if all(line.startswith("    ") for line in paragraph.splitlines()):
            blocks.append(f"$${latex(paragraph)}$$" if is_formula(paragraph) else f"```text\n{dedent(paragraph)}\n```")
        else:
            pieces = paragraph.split("`")
            pieces[::2] = [re.sub(r"([\\*_\[\]<>$|{}])", r"\\\1", piece) for piece in pieces[::2]]
            blocks.append("`".join(pieces))
    return "\n\n".join(blocks)


# --- the planted mistakes -----------------------------------------------------------------------------------------


def mistakes(codes: list[Code]) -> list[tuple[Mutant, dict[str, Any]]]:
    """The mutants in the lines of these functions, or whose check calls one of them, each with its verdict."""
    names = {code.name.rpartition(".")[2] for code in codes}
    checks = {operation.name for operation in OPERATIONS if operation.function.rpartition(".")[2] in names}
    both = list(zip(MUTANTS, measured("proof")["mutants"], strict=True))
    return [(m, verdict) for m, verdict in both if m.check in checks or any(lies_in(m, code) for code in codes)]


def lies_in(mutant: Mutant, code: Code) -> bool:
    """Whether the mistake is planted between the first and the last line of that function."""
    if mutant.file != code.file:
        return False
    source = inspect.getsource(import_module(code.name.rpartition(".")[0]))
    line = source[: source.index(mutant.original)].count("\n") + 1
    return code.first <= line <= code.last


def literal(text: str) -> str:
    """Code in a cell of a table, on one line."""
    return "`" + " ".join(text.split()).replace("|", "\\|") + "`"


def mistakes_table(found: list[tuple[Mutant, dict[str, Any]]]) -> str:
    """One line for each mistake."""
    answer = {True: "yes", False: "**no**", None: "–"}
    rows = [
        [
            verdict["mistake"],
            literal(mutant.original),
            literal(mutant.replacement) if mutant.replacement.strip() else "nothing",
            verdict["by"] if verdict["killed"] else "**nobody**",
            answer[verdict["killed with ones"]],
        ]
        for mutant, verdict in found
    ]
    return table(["mistake", "instead of", "it says", "noticed by", "with ones, too?"], rows)


# --- the page -----------------------------------------------------------------------------------------------------


def beside(left: str, right: str) -> str:
    """Two columns, below each other on a phone."""
    return (
        "::::::{grid} 1 1 2 2\n:gutter: 3\n:class-container: beside\n\n"
        f":::::{{grid-item}}\n:columns: 12 12 5 5\n\n{left}\n:::::\n\n"
        f":::::{{grid-item}}\n:columns: 12 12 7 7\n\n{right}\n:::::\n::::::"
    )


def display(latex: str) -> str:
    """One formula a line."""
    return "\n\n".join(f"$${part}$$" for part in latex.split(r"\qquad"))


def page(formula: Formula) -> str:
    """The whole page as MyST."""
    first, *others = [code_of(name) for name in formula.functions]
    codes = [first, *others]
    codes += [helper for code in codes for helper in helpers(code)]
    n = formula.number
    in_loops = [
        "\n\n".join(python(part) for part in parts.get(n, parts.get(SAME.get(n, n), [])))
        for parts in parts_of_the_loops()
    ]
    if "conv2d_loops" in in_loops[0]:
        forward, _, backward = inspect.getsource(loops.conv2d_loops).partition("    def backward(")
        in_loops[0] += "\n\n" + python(forward.rpartition('"""')[2])
        in_loops[1] += "\n\n" + python("    def backward(" + backward.rpartition("    return out, backward")[0])
    arrays = [
        "\n\n".join(
            f"[`{c.name.rpartition('.')[2]}`](code:{c.file}#L-{c.first}):\n\n{python(text)}"
            for c, text in texts
            if text
        )
        for texts in ([(c, c.forward) for c in codes], [(c, c.backward) for c in codes])
    ]
    derivations = "\n\n".join(f"**`{c.name.rpartition('.')[2]}`:** {derivation(c)}" for c in others)
    right = [f"In loops:\n\n{loop}\n\nOn whole arrays, {array}" for loop, array in zip(in_loops, arrays, strict=True)]
    chapters = ", ".join(f"[](/notebooks/{name}.ipynb)" for name in formula.chapters)
    file, test = formula.test.split("::", 1)
    found = mistakes(codes)
    seen = sum(verdict["killed"] for _, verdict in found)
    return f"""---
hide-toc: true
---

# ({n}) {formula.name[0].upper()}{formula.name[1:]} · {formula.chinese}

:Chapter: {chapters}
:Test: [`{test}`](code:{file})

## Forward

{beside(f"$${formula.as_read}$$" + chr(10) * 2 + derivation(first), right[0])}

## Backward

{beside(display(formula.gradient) + chr(10) * 2 + derivations, right[1])}

## Planted mistakes

{len(found)} mistakes were planted here, one at a time, and {seen} of them were noticed. The last column says whether
the same check would have noticed it with an upstream gradient of ones.

{mistakes_table(found)}
"""


def write(app: Any, docname: str, content: list[str]) -> None:
    """Put the page in the place of the empty file."""
    found = PAGE.fullmatch(docname)
    if found:
        content[0] = page(FORMULAS[int(found[1]) - 1])


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
