"""The frozen result of a run, which the engine passes to the reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlclint.chains import FindingChain, chains
from dlclint.diagnostic import Diagnostic, Location, Safety, Severity, counted
from dlclint.target import Soc, Target
from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.analysis.drawing.model import Drawing
    from dlclint.analysis.subnets import Partition
    from dlclint.analysis.support import SupportMatrix
    from dlclint.verify import Verification


@record
class ModelSummary:
    """The contents of a model in numbers: nodes of all graphs, bytes of weights, opset imports.

    `folded` nodes are those that the converter removes before it converts. `newest_listed_opset`
    is the newest opset of the default domain at which every op of the model has a listed version,
    or None where there is none.
    """

    nodes: int
    folded: int
    weight_bytes: int
    opsets: dict[str, int]
    inputs: tuple[str, ...]
    """Each input as `name: type[dims]`."""
    newest_listed_opset: int | None
    unlisted_ops: bool = False
    """Whether a converted op has no listed version at all."""


@record
class PrecisionRow:
    """The precision in which one op will run, with an override file. "" where nothing is known."""

    op: str
    node: str
    node_index: int
    graph: str
    inputs: tuple[str, ...]
    output: str
    weight: str
    bias: str
    bias_runs: str
    """The precision of the bias, with or without an entry."""
    runs: str
    coverage: str
    """full, partial or none."""
    forced: bool
    """Whether one float entry made the others float."""


@record
class Unlisted:
    """Findings of a rule that are counted but not listed, and how many of them carry fixes."""

    rule: str
    severity: Severity
    count: int
    safe_fixes: int = 0
    unsafe_fixes: int = 0

    @property
    def message(self) -> str:
        """The text that replaces them in a list of findings."""
        return f"{counted(self.count, 'finding')} more of {self.rule}; --all lists them"


@record
class Answer:
    """One word of a verdict, why, and the rule that determines it ("" for none)."""

    word: str
    """yes, no, at risk or unknown."""
    reason: str
    rule: str = ""


@record
class RuntimeAnswer:
    """Whether a runtime supports a model: whole, split (its rest runs elsewhere) or no."""

    runtime: str
    word: str
    reason: str


@record
class ModelVerdict:
    """The verdict on a model for its target; the same whichever findings are shown."""

    judged_for: str
    converts: Answer
    runs: tuple[RuntimeAnswer, ...]
    accuracy: Answer
    next: tuple[str, ...]
    """Commands, the most useful first."""


@record
class ChipVerdict:
    """The verdict on a file for one of several chips, and its findings by severity."""

    soc: Soc
    verdict: ModelVerdict | None
    """None for an override file."""
    counts: Mapping[Severity, int]


@record
class FileOutcome:
    """One linted file. `kind` is `model` or `encodings`."""

    path: str
    kind: str
    target: Target
    diagnostics: tuple[Diagnostic, ...]
    ignored: int = 0
    """Findings that a configured ignore silenced."""
    notes: tuple[str, ...] = ()
    """Notes for the user that are not findings, such as a slower way of reading."""
    summary: ModelSummary | None = None
    support: SupportMatrix | None = None
    """Present where no runtime was chosen."""
    partitions: tuple[Partition, ...] = ()
    """One per chosen runtime except the CPU."""
    commands: tuple[str, ...] = ()
    """For an override file: the tools' options that make it take effect."""
    precision: tuple[PrecisionRow, ...] = ()
    """For an override file with its model: one row per op that the file covers."""
    unlisted: tuple[Unlisted, ...] = ()
    """Findings that are not in `diagnostics` because there are too many."""
    verdict: ModelVerdict | None = None
    """For a model; if it was checked for several chips, the worst of their answers."""
    chips: tuple[ChipVerdict, ...] = ()
    """One for each chip where there are several; `target` has the first."""
    hidden: tuple[Unlisted, ...] = ()
    """Findings that are not in `diagnostics` because they are less severe than requested."""
    baselined: int = 0
    """Findings that the baseline knows."""
    read: tuple[str, ...] | None = ()
    """Files other than the job's own that the result depends on; None: it depends on more than files."""
    drawing: Drawing | None = None
    """Present where a report draws the model."""
    pins: tuple[tuple[str, str], ...] = ()
    """For a remote file: what identifies its version and that of each file that was looked for next to it
    ("": it does not exist), by their paths from its folder; empty where their server does not report it.
    """

    def from_severity(self, lowest: Severity) -> FileOutcome:
        """The outcome with only the findings from a severity on; the others are still counted."""
        kept = tuple(diagnostic for diagnostic in self.diagnostics if diagnostic.severity.rank <= lowest.rank)
        unlisted = tuple(
            counted_rule for counted_rule in self.unlisted if counted_rule.severity.rank <= lowest.rank
        )
        if len(kept) == len(self.diagnostics) and len(unlisted) == len(self.unlisted):
            return self
        left = Counter(
            (finding.rule, finding.severity, None if finding.fix is None else finding.fix.safety)
            for finding in self.diagnostics
            if finding.severity.rank > lowest.rank
        )
        hidden = [counted_rule for counted_rule in self.unlisted if counted_rule.severity.rank > lowest.rank]
        for (rule, severity, safety), count in left.items():
            safe, unsafe = safety is Safety.SAFE, safety is Safety.UNSAFE
            hidden.append(Unlisted(rule, severity, count, count * safe, count * unsafe))
        return replace(self, diagnostics=kept, unlisted=unlisted, hidden=tuple(hidden))

    @property
    def chains(self) -> tuple[FindingChain, ...]:
        """`diagnostics` by what they stop or cost, each with its consequences."""
        return chains(self.diagnostics)

    @property
    def shown(self) -> tuple[Diagnostic, ...]:
        """`diagnostics`, and after the last of its rule one finding for all that are not listed."""
        findings: list[Diagnostic] = list(self.diagnostics)
        for unlisted in self.unlisted:
            stand_in = Diagnostic(unlisted.rule, unlisted.severity, unlisted.message, Location(self.path))
            places = [
                n
                for n, d in enumerate(findings)
                if (d.rule, d.severity) == (unlisted.rule, unlisted.severity)
            ]
            findings.insert(places[-1] + 1 if places else len(findings), stand_in)
        return tuple(findings)

    def count(self, severity: Severity) -> int:
        """Findings of a severity, whether listed or not."""
        listed = sum(finding.severity is severity for finding in self.diagnostics)
        counted_only = (*self.unlisted, *self.hidden)
        return listed + sum(unlisted.count for unlisted in counted_only if unlisted.severity is severity)


def changed(
    files: Sequence[FileOutcome], change: Callable[[FileOutcome], FileOutcome]
) -> Sequence[FileOutcome]:
    """Changed outcomes of files: computed at once, or for those on disk when they are read."""
    later: Sequence[FileOutcome] | None = getattr(files, "changed", lambda _: None)(change)
    return tuple(map(change, files)) if later is None else later


@record
class Outcome:
    """A whole run. `seconds` is wall time, which reports for people show and machine formats do not."""

    version: str
    files: Sequence[FileOutcome]
    """In order; if there are very many they may be on disk, so that readers should iterate over them once."""
    fail_on: Severity | None
    """None: never fail."""
    rule_docs: Mapping[str, str] = field(default_factory=dict)
    """Rule id to documentation, the flaw in the first line, for every rule that ran."""
    seconds: float = 0.0
    whole: bool = False
    """Whether reports for people list every place, and every finding that follows from another."""
    quiet: bool = False
    """Whether reports for people show only the summary and no finding."""
    pages: frozenset[str] = frozenset()
    """Ids of the rules that have a page in the documentation: dlclint's own, not those of plugins."""

    @property
    def failed(self) -> bool:
        """Whether any finding reaches the threshold."""
        if self.fail_on is None:
            return False
        reached = [severity for severity in Severity if severity.rank <= self.fail_on.rank]
        return any(file.count(severity) for file in self.files for severity in reached)

    def reaches(self, finding: Diagnostic) -> bool:
        """Whether a finding is at least as severe as the threshold."""
        return self.fail_on is not None and finding.severity.rank <= self.fail_on.rank


@record
class AppliedFix:
    """A fix that was applied."""

    rule: str
    title: str
    safety: Safety
    location: Location
    edits: tuple[dict[str, Any], ...]


@record
class LeftFinding:
    """A finding that remains, and why: its fix is unsafe, was refused, or does not exist ("")."""

    rule: str
    severity: Severity
    message: str
    location: Location
    title: str = ""
    safety: Safety | None = None
    reason: str = ""


@record
class WrittenFile:
    """A fixed file that was written, its bytes, and the new file of external data, if there is one."""

    path: Path
    size: int
    data: Path | None = None


@record
class FixOutcome:
    """The result of fixing one file. `kind` is `model` or `encodings`.

    `before` and `after` count findings by severity; `text_before` and `text_after` are the text of an
    override file, or the graphs of a model as text.
    """

    path: str
    kind: str
    applied: tuple[AppliedFix, ...]
    possible: tuple[LeftFinding, ...]
    """What `--unsafe` would fix."""
    remaining: tuple[LeftFinding, ...]
    before: Mapping[Severity, int]
    after: Mapping[Severity, int]
    text_before: str
    text_after: str
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Rules whose fixes make a model compute something else, and how."""
    written: WrittenFile | None = None
    proof: Verification | None = None
    """None for an override file, which is not run."""
