"""Text in Markdown that is not markup, whatever names a model has."""

from __future__ import annotations

from dlclint.diagnostic import plain


def cell(text: str) -> str:
    """Text that is not markup, in a table or elsewhere."""
    safe = plain(text, 400).replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`")
    for mark in "<>[]*_":
        safe = safe.replace(mark, f"\\{mark}")
    # A name must not become a person or an issue of a service.
    return safe.replace("@", "@\u200b").replace("#", "\\#")
