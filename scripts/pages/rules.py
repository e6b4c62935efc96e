"""One page per rule, with what the tests check about it: severity, source, smallest good and bad fixtures.

`docs/rules/since.json` records the version that added a rule; a rule that is not in it yet is added by this
one.
"""

from __future__ import annotations

import difflib
import json
import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dlclint.engine.registry import all_rules
from dlclint.own_rules import OWN_DOCS
from dlclint.rule import Rule
from dlclint.version import __version__
from pages._markdown import fence, table

TESTS = Path(__file__).parents[2] / "tests"
SINCE = Path(__file__).parents[2] / "docs" / "rules" / "since.json"
SEVERITIES = ("error", "warning", "info")
_LONGEST = 3000
"""Characters of a fixture that a page shows."""
_FINDING = re.compile(r"  (\w+), ([\w-]+), at .*")
_REPAIR = re.compile(r"    fix: .*safety \"(\w+)\"")
_SOURCE = re.compile(r"    source: document (\".*?\"), row (\".*?\")(?:, sdk (\".*?\"))?.*")


@dataclass(frozen=True)
class Found:
    """A finding of a fixture, as the snapshot has it."""

    fixture: str
    severity: str
    confidence: str
    message: str
    help: str


@dataclass(frozen=True)
class Fixture:
    """A model or override file of the tests, and the model next to an override file."""

    path: Path
    model: Path | None = None

    @property
    def text(self) -> str:
        return self.path.read_text("utf-8").rstrip()

    @property
    def size(self) -> int:
        return self.path.stat().st_size + (self.model.stat().st_size if self.model is not None else 0)


def files() -> dict[str, str]:
    """docs/rules."""
    rules = all_rules()
    since = _since(rules)
    pages = {f"docs/rules/{rule.id}.md": _page(rule, since[rule.id]) for rule in rules}
    by_family: dict[str, list[Rule]] = {}
    for rule in rules:
        by_family.setdefault(rule.family, []).append(rule)
    blocks = [
        "# Rules\n\nThese are the rules of `dlclint check`. `dlclint rule ID` prints a page in a terminal.\n"
    ]
    for family, members in by_family.items():
        rows = ((f"[{r.id}]({r.id}.md)", _severities(r), _fix(r), r.title) for r in members)
        blocks.append(f"## {family}\n\n" + table(("rule", "severity", "fix", "what is wrong"), rows))
    rows = ((f"`{id}`", text.partition("\n")[0]) for id, text in sorted(OWN_DOCS.items()))
    blocks.append("## dlclint's own\n\n" + table(("id", "what it says"), rows))
    pages["docs/rules/index.md"] = "\n".join(blocks)
    versions: dict[str, list[str]] = {}
    for id, version in since.items():
        versions.setdefault(version, []).append(id)
    pages["docs/rules/since.json"] = json.dumps(versions, indent=1) + "\n"
    return pages


def _since(rules: tuple[Rule, ...]) -> dict[str, str]:
    known: dict[str, list[str]] = json.loads(SINCE.read_text("utf-8")) if SINCE.exists() else {}
    versions = {id: version for version, ids in known.items() for id in ids}
    return {rule.id: versions.get(rule.id, __version__) for rule in rules}


def _page(rule: Rule, since: str) -> str:
    findings = _findings(rule.id)
    confidences = sorted({finding.confidence for finding in findings})
    rows = [
        ("severity", _severities(rule)),
        ("confidence", ", ".join(confidences)),
        ("fix", _fix(rule) or "none"),
        ("source", "; ".join(_sources(rule.id)) or "as told below"),
        ("since", since),
    ]
    # The sections of a docstring become paragraphs with their name in bold.
    docs = re.sub(r"\n+(Why|What to do|Fix): ", r"\n\n**\1:** ", rule.page)
    return f"# {rule.id}\n\n{docs}\n\n{table(('', ''), rows)}\n## Example\n\n{_example(rule, findings)}"


def _severities(rule: Rule) -> str:
    said = {finding.severity for finding in _findings(rule.id)}
    return ", ".join(severity for severity in SEVERITIES if severity in said)


def _fix(rule: Rule) -> str:
    """How safe the fixes are: as rules on models declare it, and as findings on override files have it."""
    safety = {safety.value for safety in rule.fix}
    safety |= {match[1] for line in _snapshot(rule.id) if (match := _REPAIR.fullmatch(line))}
    return ", ".join(sorted(safety))


@cache
def _snapshot(id: str) -> tuple[str, ...]:
    return tuple((TESTS / "snapshots" / "fixtures" / f"{id}.txt").read_text("utf-8").splitlines())


@cache
def _findings(id: str) -> tuple[Found, ...]:
    """The findings of a rule on its bad fixtures."""
    results: list[Found] = []
    fixture = ""
    lines = _snapshot(id)
    for number, line in enumerate(lines):
        match = _FINDING.fullmatch(line)
        if match:
            rest = lines[number + 2] if number + 2 < len(lines) else ""
            help = rest.removeprefix("    help: ") if rest.startswith("    help: ") else ""
            results.append(Found(fixture, match[1], match[2], lines[number + 1].strip(), help))
        elif not line.startswith(" "):
            fixture = line
    return tuple(results)


def _sources(id: str) -> list[str]:
    """The documents that its findings cite."""
    named = (_SOURCE.match(line) for line in _snapshot(id))
    return list(dict.fromkeys(json.loads(match[1]) for match in named if match))


def _example(rule: Rule, findings: tuple[Found, ...]) -> str:
    folder = TESTS / "fixtures" / rule.id
    bad = _smallest(folder, "bad")
    if bad is None:
        return f"Its fixtures are long or binary: `tests/fixtures/{rule.id}`.\n"
    said = next(finding for finding in findings if finding.fixture == bad.path.name)
    help = f"\n  help: {said.help}" if said.help else ""
    text = f"Bad:\n\n{_shown(bad)}\n" + fence("text", f"{said.severity}: {said.message} [{rule.id}]{help}")
    good = _smallest(folder, "good", like=bad.text)
    if good is None:
        return f"{text}\nGood ones are long or binary: `tests/fixtures/{rule.id}`.\n"
    return f"{text}\nGood:\n\n{_shown(good)}"


def _smallest(folder: Path, kind: str, like: str = "") -> Fixture | None:
    """The smallest text fixture, or the one most similar to a text."""
    fixtures: list[Fixture] = []
    for path in sorted(folder.glob(f"{kind}*")):
        model = path.with_suffix(".onnxtxt")
        overrides = path.with_suffix(".json")
        fixture = Fixture(path, model if path.suffix == ".json" and model.exists() else None)
        beside = path.suffix == ".onnxtxt" and overrides.exists()
        if path.suffix in (".json", ".onnxtxt") and not beside and fixture.size <= _LONGEST:
            fixtures.append(fixture)
    if not like:
        return min(fixtures, key=lambda fixture: (fixture.size, fixture.path.name), default=None)

    def unlike(fixture: Fixture) -> float:
        return 1 - difflib.SequenceMatcher(None, like, fixture.text, autojunk=False).ratio()

    return min(fixtures, key=unlike, default=None)


def _shown(fixture: Fixture) -> str:
    """The fixture in a block, after the options with which it is linted."""
    model = fixture.model or fixture.path
    first, _, rest = model.read_text("utf-8").partition("\n")
    options = ""
    if model.suffix == ".onnxtxt" and first.startswith("#"):
        options = f"With `{shlex.join(shlex.split(first[1:]))}`:\n\n"
    blocks = []
    for path in filter(None, (fixture.path, fixture.model)):
        text = rest if path == model and options else path.read_text("utf-8")
        blocks.append(fence("json" if path.suffix == ".json" else "onnx", text.rstrip()))
    return options + "\nwith the model\n\n".join(blocks)
