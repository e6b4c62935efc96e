"""The parts of the site that mkdocs cannot derive: its home, the rules' pages in the menu, and the schemas.

mkdocs calls the functions by their names (hooks in mkdocs.yml).
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
ADDED = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files at the repository's root that are pages of the site."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """A section of rules for each family, and pages that the menu does not name."""
    rules = ROOT / "docs" / "rules"
    menu: list[Any] = [{"All rules": "rules/index.md"}]
    for family in sorted(path for path in rules.iterdir() if path.is_dir()):
        pages = sorted(path.stem for path in family.glob("*.md"))
        menu.append({family.name: [{name: f"rules/{family.name}/{name}.md"} for name in pages]})
    assert config.nav is not None
    named = set(re.findall(r"[\w/-]+\.md", str(config.nav)))
    docs = ROOT / "docs"
    pages = sorted(
        path.relative_to(docs).as_posix() for path in docs.rglob("*.md") if rules not in path.parents
    )
    for entry in config.nav:
        if "Rules" in entry:
            entry["Rules"] = menu
        if "Reference" in entry:
            entry["Reference"] += [page for page in pages if page not in named]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages at the repository's root, and each JSON Schema under `schemas/`."""
    for name, page in ADDED.items():
        text = (ROOT / name).read_text("utf-8")
        files.append(File.generated(config, page, content=_linked(text)))
    for schema in sorted((ROOT / "schemas" / "dlclint_schemas").glob("*.schema.json")):
        address = f"schemas/{schema.name.replace('.schema', '')}"
        files.append(File.generated(config, address, abs_src_path=str(schema)))
    return files


def _linked(text: str) -> str:
    """Links of a file at the root, relative to the site's root."""

    def turned(match: re.Match[str]) -> str:
        target = match[1]
        return f"]({ADDED.get(target) or posixpath.relpath(target, 'docs')})"

    return re.sub(r"\]\(((?!https?:|#)[^)]+)\)", turned, text)
