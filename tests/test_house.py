"""Imports point one way: rules on lint on schemas, and inside lint from the command line down."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = {
    ".".join(path.relative_to(ROOT / folder).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in ("lint", "rules", "schemas")
    for path in (ROOT / folder).rglob("*.py")
}
"""Every module of the three packages by its name."""


def test_import_direction() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_test_modules_have_names_of_their_own() -> None:
    """Pytest imports test files by their bare names, so that two of one name cannot run together."""
    names = [path.name for path in Path(__file__).parent.rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))


def _imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import of a module, those in functions too, without those for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child
        else:
            yield from _imports(child)


def _imported(source: str) -> set[str]:
    """The modules of the three packages that a module imports."""
    names: set[str] = set()
    for node in _imports(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        else:
            for alias in node.names:
                member = f"{node.module}.{alias.name}"
                names.add(member if member in SOURCES else str(node.module))
    return names & SOURCES.keys()


def test_no_import_circles() -> None:
    graph = {name: _imported(path.read_text("utf-8")) - {name} for name, path in SOURCES.items()}
    assert len(graph) > 150
    TopologicalSorter(graph).prepare()
    graph["dlclint_schemas.record"].add("dlclint.cli.main")
    with pytest.raises(CycleError):
        TopologicalSorter(graph).prepare()


def _unmarked(source: str) -> Iterator[str]:
    """The imports in functions without a comment above them."""
    lines, tree = source.splitlines(), ast.parse(source)
    top = {id(node) for node in tree.body}
    top |= {id(child) for node in tree.body if isinstance(node, ast.If) for child in ast.walk(node)}
    for node in _imports(tree):
        if id(node) not in top:
            line = node.lineno - 1
            while lines[line - 1].lstrip().startswith(("import ", "from ")):
                line -= 1
            if not lines[line - 1].lstrip().startswith("# "):
                yield ast.unparse(node)


def test_imports_in_functions_say_what_they_save() -> None:
    """Everything else is imported at the top, where a reader sees what a module stands on."""
    assert list(_unmarked("import a\ndef f():\n  # Imported here\n  import b\n  from c import d")) == []
    assert list(_unmarked("def f():\n  import b")) == ["import b"]
    unmarked = {name: list(_unmarked(path.read_text("utf-8"))) for name, path in SOURCES.items()}
    assert {name: found for name, found in unmarked.items() if found} == {}


def _frozen_dataclasses(source: str) -> Iterator[str]:
    """Classes of frozen data that are no records though they could be: with slots, inheriting nothing."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and not node.bases:
            marks = {ast.unparse(mark) for mark in node.decorator_list}
            if any(mark.endswith("dataclass(frozen=True, slots=True)") for mark in marks):
                yield node.name


def test_frozen_data_are_records() -> None:
    """`dlclint_schemas.record` says why; its own model of a dataclass is the one exception."""
    found = {name: list(_frozen_dataclasses(path.read_text("utf-8"))) for name, path in SOURCES.items()}
    assert {name: classes for name, classes in found.items() if classes} == {
        "dlclint_schemas.record": ["_Genuine"]
    }
    assert list(_frozen_dataclasses("@dataclass(frozen=True, slots=True)\nclass A: x: int")) == ["A"]
