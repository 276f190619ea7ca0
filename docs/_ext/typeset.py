r"""The formulas of docstrings, which are written to be read in the code, as LaTeX.

    F^c_avg[n,c] = 1/(HW) Σ_{i,j} F[n,c,i,j]   ->   F^c_{\text{avg}}[n,c] = \frac{1}{HW} \sum_{i,j} F[n,c,i,j]

KaTeX reads Greek letters, ⊗ and · as they stand. What is left: words, names with an index, and a few signs.
"""

import re

RELATION = re.compile(r" +(=|\+=|→) ")
APART = re.compile(r" {3,}")  # between two formulas on one line
FRACTION = re.compile(r"(?<!\S)1/(?:\((\w+)\)|(\w²?))(?= )")
SQUARE_ROOT = re.compile(r"√\(([^()]*)\)")
SIGNS = {
    "x̂": r"\hat{x}",
    "Σ": r"\sum ",
    "′": "'",
    "″": "''",
    "ᵀ": r"^{\top}",
    "²": "^2",
    "*": "^*",
    ":": "{:}",
    "+=": r"\mathrel{+}=",
}
NO_WORD = r"(?:d[A-Za-z]|HW|log|sign)(?![A-Za-z])|max[_(]"  # dF, H·W, and functions
WORD = rf"(?<![A-Za-z])(?!{NO_WORD})[A-Za-z]{{2,}}(?:'s|\d[a-z]+|_[a-z]{{2,}})*(?![A-Za-z])"
PIECE = re.compile(
    rf"""(?P<latex>\\[a-z]+)
    | d_(?P<of>\\hat{{x}}|[A-Za-zα-ω]\w*)                                        # d_x, d_out, d_x_padded
    | (?P<function>\b(?:log\b|sign\b|max(?=[_(])))
    | (?<![A-Za-z])(?P<name>d?[A-Za-z])(?P<up>\^[cs])?(?:_(?P<down>[a-z]{{2,}})|(?P<digit>\d))  # x_padded, F^c_avg, w1
    | (?P<words>(?:(?<=[\w)\]}}',;|])[ ])?{WORD}(?:[ ]{WORD})*(?:[ ](?=[\w(\\[|]))?)  # " if ", "kernel"
    """,
    re.VERBOSE,
)


def is_formula(paragraph: str) -> bool:
    """Whether all its lines are: no code with a comment, no table."""
    return "#" not in paragraph and all(RELATION.search(line) for line in paragraph.splitlines())


def latex(paragraph: str) -> str:
    """Its lines, aligned at the first sign of equality."""
    lines = [one_line(line.strip()) for line in paragraph.splitlines()]
    if len(lines) == 1:
        return lines[0]
    return r"\begin{aligned}" + r"\\ ".join(line.replace("=", "&=", 1) for line in lines) + r"\end{aligned}"


def one_line(line: str) -> str:
    """One or more formulas on a line."""
    return r" \qquad ".join(map(formula, APART.split(RELATION.sub(r" \1 ", line))))


def formula(text: str) -> str:
    """One formula."""
    text = re.sub("  +", " ", text)
    text = SQUARE_ROOT.sub(r"\\sqrt{\1}", FRACTION.sub(lambda found: rf"\frac{{1}}{{{found[1] or found[2]}}}", text))
    for sign, there in SIGNS.items():
        text = text.replace(sign, there)
    return PIECE.sub(piece, text)


def piece(found: re.Match[str]) -> str:
    """A name, or words with the spaces around them."""
    if found["of"]:
        return f"d_{{{PIECE.sub(piece, found['of'])}}}"
    if found["function"]:
        return rf"\operatorname{{{found['function']}}}" if found["function"] == "sign" else rf"\{found['function']} "
    if found["name"]:
        below = rf"\text{{{found['down']}}}" if found["down"] else found["digit"]
        return f"{found['name']}{found['up'] or ''}_{{{below}}}"
    if found["words"]:
        return r"\text{" + found["words"].replace("_", r"\_") + "}"
    return found[0]
