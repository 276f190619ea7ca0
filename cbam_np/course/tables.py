"""The tables of chapter 0 as Markdown. Links lead from the folder of the notebooks."""

from collections.abc import Sequence

from cbam_np.course.glossary import GLOSSARY
from cbam_np.reference.formulas import FORMULAS


def formula_table() -> str:
    """The eleven formulas as they must be read, each with its shape, and links to chapters, code and test."""
    rows = []
    for formula in FORMULAS:
        chapters = ", ".join(f"[{int(name[:2])}]({name}.ipynb)" for name in formula.chapters)
        module, function = formula.functions[0].rsplit(".", maxsplit=1)
        code = f"[`{function}`](../{module.replace('.', '/')}.py)"
        test = f"[test](../{formula.test.split('::')[0]})"
        name, shape = f"{formula.name} {formula.chinese}", ", ".join(formula.shape)
        rows.append((f"({formula.number})", name, f"${formula.as_read}$", shape, chapters, f"{code}, {test}"))
    return _table(("no.", "name", "formula", "shape", "chapter", "code and test"), rows)


def glossary_table() -> str:
    """English, Chinese, and the number of the chapter where the term comes first; two columns of terms."""
    terms = sorted(GLOSSARY, key=lambda term: term.english.lower())
    cells = [(term.english, term.chinese, str(term.chapter)) for term in terms]
    half = (len(cells) + 1) // 2
    right = [*cells[half:], ("", "", "")]  # one more for an odd number of terms
    return _table(("English", "中文", "chapter") * 2, [(*a, *b) for a, b in zip(cells[:half], right, strict=False)])


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
