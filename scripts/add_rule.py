"""Start a rule: its function, and a bad and a good fixture, which fail the tests until they are written.

    python scripts/add_rule.py FAMILY/NAME [MODULE]

MODULE is a module of the family's package, such as chip in `python scripts/add_rule.py runtime/too-old chip`;
a family that is one module needs none.
"""

from __future__ import annotations

import ast
import keyword
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
OVERRIDES = ("encodings", "precision")
"""Families of override files."""

FUNCTION = '''

{decorator}
def {name}(context: {context}) -> Iterator[Finding]:
    """TODO: the flaw in one sentence, not the remedy.

    Why: TODO: what becomes of it on the way to a good DLC, and who says so.
    What to do: TODO: what the reader does next.
    """
    raise NotImplementedError("{id} is only a scaffold")
'''
MODEL = """<ir_version: 8, opset_import: ["" : 17]>
scaffold (float[1,3,8,8] x) => (float[1,3,8,8] y) { y = Relu(x) }
"""
ENCODINGS = '{"activation_encodings": {}, "param_encodings": {}}\n'
NEXT = """
Next:
1. Write the rule and its docstring. Each claim names its source (dlclint_rules.sources), each number where
   it is from.
2. Make the fixtures real and name them for what they show: bad_*, good_*. A first line `# OPTIONS` gives
   the command line's options.
3. python -m pytest tests/test_rules.py -k {id}   (fails until both are done)
4. Run it over every model that you can reach, and read what it says: is it true, and ours to say?
5. python -m pytest tests/test_rules.py --update-snapshots, and read the diff
6. python scripts/generate.py; make check
"""


class Refused(Exception):
    """The rule cannot be started; the argument is one line for the author."""


def add_rule(root: Path, id: str, module: str = "") -> list[Path]:
    """Write the function and the fixtures of a rule; returns the files, all new or changed.

    Raises:
        Refused: no such family or module, or a name that is not valid or is taken. Nothing was written.
    """
    family, _, name = id.partition("/")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise Refused(f"{id!r}: give FAMILY/NAME, the name in kebab case, such as ops/too-many-inputs")
    path = _module(root, family, module)
    function = name.replace("-", "_")
    others = path.parent.glob("*.py") if path.parent.name == family else ()
    taken = [path] if keyword.iskeyword(function) or function in _bound(path) else []
    taken += [file for file in sorted(others) if function in _functions(file)]
    if taken:
        raise Refused(
            f"{function} means something in {taken[0].relative_to(root)} already; choose another name"
        )
    decorator, context = _style(path, root)
    scaffold = FUNCTION.format(decorator=decorator, name=function, context=context, id=id)
    changes = {path: path.read_text("utf-8") + scaffold}
    folder = root / "tests" / "fixtures" / family / name
    for kind in ("bad", "good"):
        end, text = ("json", ENCODINGS) if family in OVERRIDES else ("onnxtxt", MODEL)
        changes[folder / f"{kind}_scaffold.{end}"] = text
    for file, text in changes.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    return list(changes)


def _module(root: Path, family: str, module: str) -> Path:
    rules = root / "rules" / "dlclint_rules"
    families = sorted(folder.name for folder in (root / "tests" / "fixtures").iterdir() if folder.is_dir())
    if family not in families:
        raise Refused(f"no family is called {family!r}; there are {', '.join(families)}")
    package, path = rules / family, rules / f"{family}.py"
    if path.is_file():
        if module:
            raise Refused(f"{family} is one module; leave out {module!r}")
        return path
    known = sorted(file.stem for file in package.glob("*.py") if any(_rules(file)))
    if module not in known:
        problem = f"{family} has no module {module!r} with rules" if module else f"{family} is a package"
        raise Refused(f"{problem}; give one of {', '.join(known)}")
    return package / f"{module}.py"


def _functions(path: Path) -> set[str]:
    """The functions of a module, of which one may be a rule of that name."""
    return {
        node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)
    }


def _bound(path: Path) -> set[str]:
    """The names at the top level of a module."""
    names: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return names


def _rules(path: Path) -> Iterator[tuple[ast.Call, str]]:
    """Decorator and context of each rule of a module."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and "rule" in mark.func.id:
                    context = node.args.args[0].annotation
                    yield mark, context.id if isinstance(context, ast.Name) else ""


def _style(path: Path, root: Path) -> tuple[str, str]:
    """How most rules of a module are marked, without fixes, and their parameter."""
    styles: Counter[tuple[str, str]] = Counter()
    for mark, context in _rules(path):
        mark.keywords = [keyword for keyword in mark.keywords if keyword.arg != "fix"]
        styles[f"@{ast.unparse(mark)}".replace("'", '"'), context] += 1
    if not styles:
        raise Refused(f"{path.relative_to(root)} has no rule to go by")
    return styles.most_common(1)[0][0]


def main(arguments: list[str]) -> int:
    """Exit 2 where the rule cannot be started."""
    if len(arguments) not in (1, 2) or arguments[0].startswith("-"):
        print("usage: python scripts/add_rule.py FAMILY/NAME [MODULE]", file=sys.stderr)
        return 2
    try:
        written = add_rule(ROOT, *arguments)
    except Refused as reason:
        print(f"add_rule: {reason}", file=sys.stderr)
        return 2
    for path in written:
        print(path.relative_to(ROOT))
    print(NEXT.format(id=arguments[0]), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
