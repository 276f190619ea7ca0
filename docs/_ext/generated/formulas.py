"""All formulas on one page."""

from docstrings import PUBLIC

from cbam_np.reference.formulas import FORMULAS, Formula
from generated.tables import table


def overview() -> str:
    """One line for each formula."""
    rows = [
        [f"{{formula}}`{f.number}`", f"[{f.name}](#formula-on-this-page-{f.number})", f.chinese, f"${f.as_read}$"]
        for f in FORMULAS
    ]
    return table(["no.", "name", "中文", "formula"], rows)


def formulas() -> str:
    """One section for each formula."""
    return "\n\n".join(map(formula_section, FORMULAS))


def formula_section(formula: Formula) -> str:
    """Everything about one formula."""
    chapters = ", ".join(f"[](/notebooks/{name}.ipynb)" for name in formula.chapters)
    functions = ", ".join(f"{{py:func}}`~{PUBLIC[name.rpartition('.')[2]]}`" for name in formula.functions)
    gradient = "\n\n".join(f"$${part}$$" for part in formula.gradient.split(r"\qquad"))
    file, test = formula.test.split("::", 1)
    return f"""
(formula-on-this-page-{formula.number})=
## ({formula.number}) {formula.name[0].upper()}{formula.name[1:]} · {formula.chinese}

As the document has it:

$${formula.document}$$

As it should be read, {{formula}}`{formula.number}`, with the shape ({", ".join(formula.shape)}) on the left:

$${formula.as_read}$$

Its gradient:

{gradient}

:Chapter: {chapters}
:Code: {functions}
:Test: [`{test}`](code:{file})
"""
