"""What theme and writer leave out for those who use a keyboard or listen: found by axe-core, see tests/test_docs.py."""

from typing import Any


def improve(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """A heading in the sidebar has a level; code that is wider than its place can be scrolled with the keyboard."""
    navigation = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = navigation.replace('role="heading"', 'role="heading" aria-level="2"')
    context["body"] = context.get("body", "").replace("<pre>", '<pre tabindex="0">')


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx, after the theme."""
    app.connect("html-page-context", improve, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
