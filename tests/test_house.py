"""Imports point one way: rules on lint on schemas, and inside lint from the command line down."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from dlclint.engine.registry import all_rules
from dlclint.own_rules import OWN_DOCS

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


def _constants(source: str) -> Iterator[str]:
    """The literal texts of a module, those within formatted texts too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _collections(source: str) -> Iterator[set[object]]:
    """The collections of literals that a module spells, of two or more."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Set, ast.Tuple, ast.List)) and len(node.elts) > 1:
            values = {item.value if isinstance(item, ast.Constant) else None for item in node.elts}
            if None not in values:
                yield values


def test_nothing_below_the_rules_knows_a_rule_by_name() -> None:
    """What a rule is about stands on the rule; ids that dlclint itself makes stand in one table."""
    ids = {rule.id for rule in all_rules()}
    families = {rule.family for rule in all_rules()}
    known = re.compile("|".join(rf"(?<![\w/]){re.escape(id)}(?![\w/-])" for id in ids))
    found: dict[str, list[str]] = {}
    for name, path in SOURCES.items():
        if name.partition(".")[0] == "dlclint_rules":
            continue
        source = path.read_text("utf-8")
        named = [text for text in _constants(source) if known.search(text)]
        named += [text for text in _constants(source) if text in {f"{family}/" for family in families}]
        named += [str(names) for names in _collections(source) if names <= families]
        if name != "dlclint.own_rules":
            own = re.compile("|".join(rf"^{re.escape(id)}$" for id in OWN_DOCS))
            named += [text for text in _constants(source) if own.match(text)]
        if named:
            found[name] = named
    assert found == {}
    assert known.search("see ops/rank, please") and not known.search("ops/rank-of-all")


def test_text_is_chosen_and_not_multiplied() -> None:
    """`f"..." * flag` hides a condition; `f"..." if flag else ""` says it."""
    multiplied = [
        f"{module}:{node.lineno}"
        for module, path in SOURCES.items()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)
        if any(isinstance(side, ast.JoinedStr) for side in (node.left, node.right))
    ]
    assert multiplied == []
