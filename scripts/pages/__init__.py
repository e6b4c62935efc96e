"""The generated files by subject: every module here has `files() -> dict[str, str]`.

Its keys are paths from the repository's root, its values whole texts. To add a page, add a module.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules


def all_files() -> dict[str, str]:
    """Every generated file by its path from the repository's root.

    Raises:
        ValueError: two modules make the same file.
    """
    by_path: dict[str, str] = {}
    for module in iter_modules(__path__):
        if module.name.startswith("_"):
            continue
        texts: dict[str, str] = import_module(f"{__name__}.{module.name}").files()
        twice = by_path.keys() & texts.keys()
        if twice:
            raise ValueError(f"pages.{module.name} makes what another page makes: {', '.join(sorted(twice))}")
        by_path |= texts
    return by_path
