"""llms.txt: all pages of the site with their titles, for programs that read it."""

from pathlib import Path
from typing import Any

SUMMARY = """# cbam_np

> The Convolutional Block Attention Module (CBAM) on plain arrays: eleven formulas, each a short function with its
> hand-derived gradient beside it, a course that derives them, and a gradient check that says what is likely wrong.
"""


def write(app: Any, exception: Exception | None) -> None:
    """Beside the first page of the site."""
    if exception or app.builder.format != "html":
        return
    env, lines = app.env, [SUMMARY, "## Pages", ""]
    for name in sorted(env.found_docs):
        if "/solutions/" not in name and name in env.titles:
            lines.append(f"- [{env.titles[name].astext()}]({app.builder.get_target_uri(name)})")
    Path(app.outdir, "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
