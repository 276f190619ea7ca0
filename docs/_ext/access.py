"""What the theme leaves out for those who listen to a page: found by axe-core, see tests/test_docs.py."""

from typing import Any


def improve(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """A heading in the sidebar has a level."""
    navigation = context.get("furo_navigation_tree")
    if navigation:  # False on a site of one page
        context["furo_navigation_tree"] = navigation.replace('role="heading"', 'role="heading" aria-level="2"')


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx, after the theme."""
    app.connect("html-page-context", improve, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
