"""Configured ignores: each carries a reason, and an unused one is reported."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from dlclint.diagnostic import Diagnostic, Location, Severity, plain
from dlclint.own_rules import UNUSED_IGNORE
from dlclint_schemas.record import record


def path_matches(path: str, glob: str) -> bool:
    """Whether a glob matches a path as given, or the end of the absolute path from some folder on."""
    whole = Path(path).absolute().as_posix()
    return fnmatchcase(path, glob) or fnmatchcase(whole, f"*/{glob}")


@record
class Ignore:
    """Findings to silence: a rule id or family, and globs for path, node and tensor."""

    rule: str
    reason: str
    path: str = "*"
    node: str = "*"
    tensor: str = "*"
    carrier: tuple[str, int] | None = None
    """The path of a graph and the index of the node in it that carries the ignore."""
    where: str = "the configuration"

    def covers_path(self, path: str) -> bool:
        """Whether the ignore applies to a file."""
        return path_matches(path, self.path)

    def matches(self, diagnostic: Diagnostic) -> bool:
        """Whether the ignore applies to a finding."""
        location = diagnostic.location
        return (
            self.rule in (diagnostic.rule, diagnostic.rule.partition("/")[0])
            and self.covers_path(location.file)
            and fnmatchcase(location.node, self.node)
            and fnmatchcase(location.tensor, self.tensor)
            and self.carrier in (None, (location.graph, location.node_index))
        )


def apply_ignores(
    findings: Iterable[Diagnostic], ignores: tuple[Ignore, ...], file: str, used_before: Iterable[Ignore] = ()
) -> tuple[list[Diagnostic], int]:
    """The findings that remain (with one for each unused ignore), and how many were silenced."""
    kept: list[Diagnostic] = []
    used = set(used_before)
    silenced = 0
    for diagnostic in findings:
        matching = [ignore for ignore in ignores if ignore.matches(diagnostic)]
        used.update(matching)
        if matching:
            silenced += 1
        else:
            kept.append(diagnostic)
    for ignore in ignores:
        if ignore not in used and ignore.covers_path(file):
            kept.append(
                Diagnostic(
                    UNUSED_IGNORE,
                    Severity.WARNING,
                    plain(f"unused ignore of {ignore.rule} ({ignore.reason})", 500),
                    Location(file),
                    help=f"remove it from {ignore.where}",
                )
            )
    return kept, silenced
