"""The findings of a file in format `rich`: by what they stop or cost, each with its consequences."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from dlclint.chains import FindingChain, Stage
from dlclint.diagnostic import Confidence, Diagnostic, Safety, Severity
from dlclint.outcome import FileOutcome
from dlclint.report.counts import following_line, unlisted_line
from dlclint.report.places import place_text, related_texts

STYLE = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_HEADS = {
    Stage.CONVERSION: "bold red",
    Stage.RUNNING: "bold red",
    Stage.DOUBT: "bold yellow",
    Stage.ACCURACY: "bold yellow",
    Stage.SPEED: "bold yellow",
    Stage.NOTES: "bold cyan",
}
_SURE = {
    Confidence.DOCUMENTED: "documented",
    Confidence.FIELD_REPORTED: "reported from the field",
    Confidence.INFERRED: "inferred, not documented",
    Confidence.CONFIRMED: "confirmed by Qualcomm's backend",
    Confidence.CONTRADICTED: "contradicted by Qualcomm's backend, which takes it",
}
_FIX = {Safety.SAFE: "fix", Safety.UNSAFE: "fix (unsafe)", Safety.DISPLAY: "by hand"}
_SHOWN = 3
"""Messages and places that are shown for a rule; further ones are only counted."""


def print_findings(console: Console, file: FileOutcome, whole: bool) -> None:
    """All findings of a file; `whole` folds none."""
    unlisted = {(rule.severity, rule.rule): rule.count for rule in file.unlisted}
    for stage, group in groupby(file.chains, key=lambda chain: chain.stage):
        _line(console, Text(stage.value, _HEADS[stage]), 2, after=1)
        for chain in group:
            more = unlisted.pop((chain.severity, chain.rule), 0)
            _Printer(console, whole).chain(chain, more, 2)
            console.print()
    for rule in file.unlisted:
        if (rule.severity, rule.rule) in unlisted:
            _line(console, Text(unlisted_line(rule)), 2, after=1)
    if not file.diagnostics:
        _line(console, Text("no findings" if not file.hidden else "no findings shown", "green"), 2, after=1)


def _line(console: Console, text: Text, indent: int, after: int = 0) -> None:
    console.print(Padding(text, (0, 0, after, indent)))


class _Printer:
    """A console, and how many places of a rule are shown on it."""

    def __init__(self, console: Console, whole: bool) -> None:
        self._console = console
        self._whole = whole

    def _print(self, text: str, indent: int, style: str = "") -> None:
        _line(self._console, Text(text, style), indent)

    def _limit(self, count: int) -> int:
        return count if self._whole else _SHOWN

    def chain(self, chain: FindingChain, unlisted: int, indent: int) -> None:
        """The findings of a rule, and their consequences."""
        findings = chain.findings
        head = Text.assemble((chain.severity.value, STYLE[chain.severity]), " ", (chain.rule, "bold"))
        if len(findings) + unlisted > 1:
            head.append(f"  {len(findings) + unlisted} times")
        _line(self._console, head, indent)
        self._messages(findings, unlisted, indent + 2)
        self._advice(findings, indent + 2)
        if chain.following:
            self._print(f"{following_line(chain)}:", indent + 2)
            for behind in chain.following:
                self._following(behind, indent + 4)

    def _messages(self, diagnostics: tuple[Diagnostic, ...], unlisted: int, indent: int) -> None:
        by_message: dict[str, list[Diagnostic]] = {}
        for finding in diagnostics:
            by_message.setdefault(finding.message, []).append(finding)
        for number, (message, items) in enumerate(by_message.items()):
            if number == self._limit(len(by_message)):
                rest = sum(len(group) for group in list(by_message.values())[number:]) + unlisted
                self._print(f"+ {rest} more like these (--all lists them)", indent)
                break
            self._print(message, indent)
            self._print(self._places(items), indent + 2, "dim")
            others = list(dict.fromkeys(text for diagnostic in items for text in related_texts(diagnostic)))
            for other in others[: self._limit(len(others))]:
                self._print(other, indent + 2, "dim")
            if len(others) > self._limit(len(others)):
                self._print(f"+ {len(others) - _SHOWN} more places", indent + 2, "dim")

    def _places(self, items: list[Diagnostic]) -> str:
        limit = self._limit(len(items))
        shown = [place_text(finding.location) or "the model" for finding in items[:limit]]
        if len(items) > limit:
            shown.append(f"+ {len(items) - limit} more")
        return "at " + "; ".join(shown)

    def _advice(self, diagnostics: tuple[Diagnostic, ...], indent: int) -> None:
        helps = list(dict.fromkeys(each.help for each in diagnostics if each.help))
        for help in helps[: self._limit(len(helps))]:
            self._print(f"help: {help}", indent)
        fixes = list(dict.fromkeys((each.fix.title, each.fix.safety) for each in diagnostics if each.fix))
        limit = self._limit(len(fixes))
        for title, safety in fixes[:limit]:
            self._print(f"{_FIX[safety]}: {title}", indent)
        if len(fixes) > limit:
            self._print(f"+ {len(fixes) - limit} more fixes", indent)
        sources = list(
            dict.fromkeys(
                str(diagnostic.source) for diagnostic in diagnostics if diagnostic.source is not None
            )
        )
        sure = " / ".join(dict.fromkeys(_SURE[finding.confidence] for finding in diagnostics))
        source = "; ".join(sources[:2]) + ("; ..." if len(sources) > 2 else "")
        self._print(f"{sure}: {source}" if source else sure, indent, "dim")

    def _following(self, chain: FindingChain, indent: int) -> None:
        """A consequence in short: the remedy is that of its cause."""
        findings = chain.findings
        times = f"  {len(findings)} times" if len(findings) > 1 else ""
        head = Text.assemble((chain.severity.value, STYLE[chain.severity]), " ", (chain.rule, "bold"), times)
        _line(self._console, head, indent)
        limit = self._limit(len(findings)) if self._whole else 1
        for finding in findings[:limit]:
            where = place_text(finding.location)
            self._print(f"{finding.message}{f' (at {where})' if where else ''}", indent + 2)
        if len(findings) > limit:
            self._print(f"+ {len(findings) - limit} more (--all lists them)", indent + 2)
        for behind in chain.following:
            self._following(behind, indent + 2)
