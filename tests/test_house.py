"""Imports point one way: rules on lint on schemas, and inside lint from the command line down."""

from __future__ import annotations

import ast
import functools
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import onnx
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


@functools.cache
def _tree(source: str) -> ast.Module:
    return ast.parse(source)


@functools.cache
def _nodes(source: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(_tree(source)))


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
    for node in _imports(_tree(source)):
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
    lines, tree = source.splitlines(), _tree(source)
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
    assert {name: classes for name, classes in unmarked.items() if classes} == {}


def _frozen_dataclasses(source: str) -> Iterator[str]:
    """Classes of frozen data that are not records but could be: with slots, inheriting nothing."""
    for node in _nodes(source):
        if isinstance(node, ast.ClassDef) and not node.bases:
            marks = {ast.unparse(mark) for mark in node.decorator_list}
            if any(mark.endswith("dataclass(frozen=True, slots=True)") for mark in marks):
                yield node.name


def test_frozen_data_are_records() -> None:
    """`dlclint_schemas.record` says why; its own model of a dataclass is the one exception."""
    classes_of = {name: list(_frozen_dataclasses(path.read_text("utf-8"))) for name, path in SOURCES.items()}
    assert {name: classes for name, classes in classes_of.items() if classes} == {
        "dlclint_schemas.record": ["_Genuine"]
    }
    assert list(_frozen_dataclasses("@dataclass(frozen=True, slots=True)\nclass A: x: int")) == ["A"]


def _constants(source: str) -> Iterator[str]:
    """The literal texts of a module, those within formatted texts too."""
    for node in _nodes(source):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _collections(source: str) -> Iterator[set[object]]:
    """The collections of literals that a module spells, of two or more."""
    for node in _nodes(source):
        if isinstance(node, (ast.Set, ast.Tuple, ast.List)) and len(node.elts) > 1:
            values = {element.value if isinstance(element, ast.Constant) else None for element in node.elts}
            if None not in values:
                yield values


def test_nothing_below_the_rules_knows_a_rule_by_name() -> None:
    """A rule itself states what it is about; ids that dlclint itself makes are in one table."""
    ids = {rule.id for rule in all_rules()}
    families = {rule.family for rule in all_rules()}
    known = re.compile("|".join(rf"(?<![\w/]){re.escape(id)}(?![\w/-])" for id in ids))
    prefixes = {f"{family}/" for family in families}
    groups: dict[str, list[str]] = {}
    for name, path in SOURCES.items():
        if name.partition(".")[0] == "dlclint_rules":
            continue
        source = path.read_text("utf-8")
        texts = [text for text in _constants(source) if "/" in text]
        named = [text for text in texts if text in prefixes or known.search(text)]
        named += [str(names) for names in _collections(source) if names <= families]
        if name != "dlclint.own_rules":
            named += [text for text in texts if text in OWN_DOCS]
        if named:
            groups[name] = named
    assert groups == {}
    assert known.search("see ops/rank, please") and not known.search("ops/rank-of-all")


def test_text_is_chosen_and_not_multiplied() -> None:
    """`f"..." * flag` hides a condition; `f"..." if flag else ""` says it."""
    multiplied = [
        f"{module}:{node.lineno}"
        for module, path in SOURCES.items()
        for node in _nodes(path.read_text("utf-8"))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)
        if any(isinstance(side, ast.JoinedStr) for side in (node.left, node.right))
    ]
    assert multiplied == []


def test_every_docstring_belongs_to_something() -> None:
    """A text after a definition documents it; one that its definition has left behind documents nothing."""
    stray = [
        f"{module}:{text.lineno}"
        for module, path in SOURCES.items()
        for node in _nodes(path.read_text("utf-8"))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        for before, text in itertools.pairwise(node.body)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(text.value.value, str) and not isinstance(before, (ast.Assign, ast.AnnAssign))
    ]
    assert stray == []


def test_no_file_is_long() -> None:
    """A file that a reader cannot hold in mind is two files."""
    folders = ("lint", "rules", "schemas", "tests", "benchmarks", "scripts")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(paths) > 400
    long = {path.name: lines for path in paths if (lines := path.read_text("utf-8").count("\n")) > 500}
    assert long == {}


OPS = frozenset(schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain)
"""Every op of ONNX's default domain."""


def _is_dispatch(node: ast.AST, parent: ast.AST | None) -> bool:
    """Whether a collection of ops says which function serves which op: code, and no fact."""
    if isinstance(node, ast.Dict):
        values = [value for key, value in zip(node.keys, node.values, strict=True) if key is not None]
        return all(isinstance(value, (ast.Name, ast.Attribute, ast.Lambda, ast.Call)) for value in values)
    is_keys = isinstance(parent, ast.Call) and ast.unparse(parent.func) == "dict.fromkeys"
    return is_keys and isinstance(parent, ast.Call) and isinstance(parent.args[-1], ast.Name)


def _op_sets(source: str) -> Iterator[frozenset[str]]:
    """The sets, tuples, lists and maps of two or more ops that a module spells, without dispatch tables."""
    tree = _tree(source)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        elements: list[ast.expr | None] = []
        if isinstance(node, (ast.Set, ast.Tuple, ast.List)):
            elements = [*node.elts]
        elif isinstance(node, ast.Dict):
            elements = [*node.keys]
        words = [element.value for element in elements if isinstance(element, ast.Constant)]
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            called = parents[node]
            words = node.value.split() if isinstance(called, ast.Attribute) and called.attr == "split" else []
        ops = frozenset(word for word in words if isinstance(word, str) and word in OPS)
        if len(ops) > 1 and not _is_dispatch(node, parents.get(node)):
            yield ops


PRIVATE_OP_SETS = {
    # What one walk over the arithmetic of ranges handles, in addition to the facts it uses.
    "dlclint.analysis.activations.certain": ["Abs Clip Neg Resize", "Concat Where"],
    "dlclint.analysis.activations.ranges": [
        "BatchNormalization InstanceNormalization",
        "GlobalAveragePool GlobalMaxPool",
        "LeakyRelu PRelu",
        "ReduceMax ReduceMean ReduceMin Upsample",
    ],
    "dlclint.verify": ["Erf Sigmoid Tanh"],
    # Which layers of Qualcomm's an op becomes by its rank.
    "dlclint.analysis.layers": [
        "AveragePool ConvTranspose GlobalAveragePool GlobalMaxPool MaxPool",
        "Conv QLinearConv",
        "MatMul QLinearMatMul",
    ],
    # The steps of one pattern, or of one way through a graph.
    "dlclint.analysis.masks": ["Cast CastLike Div Neg Trilu"],
    "dlclint.analysis.matching.computed": [
        "Clip Erf HardSigmoid HardSwish Pow Reciprocal Sqrt",
        "Clip HardSigmoid ReduceMean",
    ],
    "dlclint.analysis.matching.gates": ["Add Div HardSigmoid Sigmoid Softplus Tanh"],
    "dlclint.analysis.matching.patterns": ["Pow Sqrt"],
    "dlclint.analysis.matching.six_dimensions": ["Einsum Transpose", "Gather Reshape"],
    "dlclint.analysis.qdq.rewriting": ["Constant Identity"],
    "dlclint.analysis.resizing": ["Expand Tile"],
    "dlclint.analysis.spectra": ["AveragePool Cast Clip ReduceSum Sqrt Sum", "ReduceL2 Sqrt"],
    "dlclint.simulate.inputs.drawn": ["Add Sub", "Cast Expand Identity Transpose", "GatherND RoiAlign"],
    "dlclint.simulate.scores": ["Exp ReduceSum", "HardSigmoid Sigmoid"],
    "dlclint_rules.batch": ["Cast Identity"],
    # What onnx itself does: which inference replaces a missing one, and how lengths propagate.
    "dlclint.model.inference": ["GreaterOrEqual GroupNormalization LessOrEqual MeanVarianceNormalization"],
    "dlclint.model.propagation": [
        "Add Mul Sub",
        "Cast Identity Slice",
        "Concat Constant Gather Shape",
        "ConstantOfShape Expand Reshape Tile",
    ],
    # The subject of one rule.
    "dlclint_rules.encodings.side_inputs": ["Sigmoid Softmax"],
    "dlclint_rules.graph": ["BatchNormalization Dropout MaxPool"],
    "dlclint_rules.htp.advice": ["Gather LogSoftmax"],
    "dlclint_rules.ops.runtimes": ["Erf If Shape"],
}
"""The sets of ops outside `dlclint.model.op_facts`, each the private subject of one matcher, walk or rule."""


def test_facts_about_ops_are_in_one_place() -> None:
    """A new set of ops is a fact for `dlclint.model.op_facts`, unless only its own function can use it."""
    sets = {name: list(_op_sets(path.read_text("utf-8"))) for name, path in SOURCES.items()}
    facts = sets.pop("dlclint.model.op_facts")
    private = {name: sorted(" ".join(sorted(ops)) for ops in each) for name, each in sets.items() if each}
    assert private == {name: sorted(texts) for name, texts in PRIVATE_OP_SETS.items()}
    every = [*facts, *(ops for each in sets.values() for ops in each)]
    assert [sorted(ops) for ops in set(every) if every.count(ops) > 1] == []


def test_sets_of_ops_are_found() -> None:
    source = """A = {"Add", "Mul"}; B = "Add Mul".split(); C = {"Add": 1, "Mul": 2}; D = {"Add": f, "Mul": f}
E = dict.fromkeys(("Add", "Mul"), f); F = dict.fromkeys(["Add", "Mul"], 1); G = x in ("Add", *H, "Mul")"""
    assert list(_op_sets(source)) == [frozenset({"Add", "Mul"})] * 5


SHARED_NAMES = {
    "add": "each module of `dlclint.cli.options` adds one command",
    "render": "each module of a report's folder renders one command",
    "main": "the entry points of processes",
    "check": "the command, and what `dlclint.testing` offers to authors of rules",
}
"""Public names that may be in several modules, and what they have in common."""


def _public(source: str) -> Iterator[str]:
    """The public classes and functions of a module; a rule's function is known by its family as well."""
    for node in _tree(source).body:
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef)) or node.name.startswith("_"):
            continue
        if not any("rule(" in ast.unparse(mark) for mark in node.decorator_list):
            yield node.name


def test_a_public_name_means_one_thing() -> None:
    homes: dict[str, list[str]] = {}
    for name, path in SOURCES.items():
        for public in _public(path.read_text("utf-8")):
            homes.setdefault(public, []).append(name)
    several = {public: modules for public, modules in homes.items() if len(modules) > 1}
    assert several.keys() - SHARED_NAMES.keys() == set(), several
    assert several.keys() == SHARED_NAMES.keys()
    assert list(_public("class A: ...\ndef b(): ...\ndef _c(): ...\n@rule()\ndef d(): ...")) == ["A", "b"]
