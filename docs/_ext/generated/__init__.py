"""Parts of pages that come from the code or from a measured run.

The directive {generated} takes the name of a function and shows the MyST that it returns.
"""

from typing import Any

from docutils import nodes
from gallery import gallery
from sphinx.util.docutils import SphinxDirective

from generated.cost import cost
from generated.for_teachers import course_json, sessions
from generated.formulas import formulas, overview
from generated.proof import all_mutants, gradients, mutants, tests
from generated.speed import fused, gpu, speed
from generated.studies import study_bugs, study_everywhere, study_features, study_in_short, study_light
from generated.trained import audit_output, inspect_output, layouts
from generated.training import inside, scaling, training_speed
from generated.wild import wild_summary
from generated.wild_table import wild_modules
from generated.wrong_gradient import wrong_average

FORMULAS = overview, formulas, cost
MISTAKES = wrong_average, gallery
PROOF = gradients, mutants, all_mutants, tests
SPEED = speed, fused, gpu, training_speed, inside, scaling
STUDIES = study_in_short, study_light, study_features, study_everywhere, study_bugs
OF_OTHERS = inspect_output, audit_output, layouts, wild_summary, wild_modules
FOR_TEACHERS = sessions, course_json
PARTS = {part.__name__: part for part in (*FORMULAS, *MISTAKES, *PROOF, *SPEED, *STUDIES, *OF_OTHERS, *FOR_TEACHERS)}


class Generated(SphinxDirective):
    """```{generated} name```."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """What the function returns, parsed as part of the page."""
        name = self.arguments[0]
        if name not in PARTS:
            raise self.error(f"generated: expected one of {', '.join(PARTS)}, got {name}")
        return self.parse_text_to_nodes(PARTS[name](), allow_section_headings=True)


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("generated", Generated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
