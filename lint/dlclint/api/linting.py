"""dlclint from Python: the findings of `dlclint check` as objects.

    import dlclint

    report = dlclint.lint("model.onnx", soc="sm8650", quantize=True)
    for finding in report.errors:
        print(finding.rule, finding.location.node, finding.message)

Notebooks show a report as a table.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence

from dlclint.api.errors import CannotLint
from dlclint.api.html import paragraph, table
from dlclint.cli.errors import UsageError
from dlclint.cli.jobs import jobs_of, refuse_unknown, rules_of
from dlclint.cli.main import parser
from dlclint.diagnostic import Diagnostic, Location, Severity
from dlclint.engine.config import KIND, Config, ModelSection
from dlclint.engine.registry import ENCODINGS_GROUP, GROUP, broken_plugins
from dlclint.engine.run import run
from dlclint.outcome import FileOutcome, Outcome
from dlclint.report.render import render
from dlclint.version import __version__
from dlclint_schemas.record import record

Paths = str | os.PathLike[str]
_HEAD = ("", "rule", "where", "finding")
_COLORS = {Severity.ERROR: "#c62828", Severity.WARNING: "#b26a00", Severity.INFO: "#00738a"}


@record
class Report:
    """The findings in a model, and in the override file that belongs to it."""

    outcome: Outcome

    @property
    def files(self) -> tuple[FileOutcome, ...]:
        """Each file with its findings, summary, support matrix and precision table."""
        return tuple(self.outcome.files)

    @property
    def findings(self) -> tuple[Diagnostic, ...]:
        """Every finding, file by file, the worst first."""
        return tuple(finding for file in self.files for finding in file.diagnostics)

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The findings of severity error."""
        return self._of(Severity.ERROR)

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """The findings of severity warning."""
        return self._of(Severity.WARNING)

    def _of(self, severity: Severity) -> tuple[Diagnostic, ...]:
        return tuple(finding for finding in self.findings if finding.severity is severity)

    def text(self, form: str = "concise") -> str:
        """The report as `dlclint check --format FORM` writes it: rich, concise, json, sarif, ...

        Raises:
            ValueError: there is no such format.
        """
        return render("check", form, self.outcome, None)

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __bool__(self) -> bool:
        return True  # a report without findings is true as well

    def __str__(self) -> str:
        return self.text().rstrip("\n")

    def _repr_html_(self) -> str:
        """The report as notebooks show it. Names of the model can run nothing: all texts are escaped."""
        files = ", ".join(file.path for file in self.files)
        count = str(self).splitlines()[-1]
        rows = map(_row, self.findings)
        colors = (_COLORS[finding.severity] for finding in self.findings)
        return f"<div>{paragraph(f'{files}: {count}')}{table(_HEAD, rows, colors)}</div>"


def _row(finding: Diagnostic) -> tuple[str, ...]:
    help = f"\nhelp: {finding.help}" if finding.help else ""
    return finding.severity.value, finding.rule, _where(finding.location), f"{finding.message}{help}"


def _where(location: Location) -> str:
    if location.node_index is not None:
        return (
            f"{location.graph + '/' if location.graph else ''}{location.op}"
            f" {location.node or location.node_index}"
        )
    return f"line {location.line}" if location.line is not None else location.tensor


def lint(
    path: Paths,
    *,
    soc: str | Sequence[str] = (),
    runtime: str | Sequence[str] = (),
    encodings: Paths | None = None,
    quantize: bool = False,
    act_bitwidth: int | None = None,
    weights_bitwidth: int | None = None,
    bias_bitwidth: int | None = None,
    float_bitwidth: int | None = None,
    per_channel: bool = False,
    input_dims: Mapping[str, Sequence[int]] | None = None,
    symbols: Mapping[str, int] | None = None,
    batch: int | None = None,
    simplify: bool = True,
    sdk: str = "",
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> Report:
    """Lint a model, with a given override file or the one next to it; or lint an override file.

    The arguments are those of `dlclint check`; no configuration file is read. `path` may be a folder.

    Raises:
        CannotLint: an unknown path, chip, runtime, width, input or rule.
    """
    kind: dict[str, int | bool] = {
        name: value
        for name, value in (
            ("quantize", quantize),
            ("act_bitwidth", act_bitwidth),
            ("weights_bitwidth", weights_bitwidth),
            ("bias_bitwidth", bias_bitwidth),
            ("float_bitwidth", float_bitwidth),
            ("per_channel", per_channel),
        )
        if value is not None and value is not False
    }
    if "float_bitwidth" in kind and not quantize:
        kind["float"] = True
    assert kind.keys() <= set(KIND.values())
    section = ModelSection(
        "*",
        (runtime,) if isinstance(runtime, str) else tuple(runtime),
        (soc,) * bool(soc) if isinstance(soc, str) else tuple(soc),
        kind,
        os.fspath(encodings) if encodings is not None else "",
        simplify,
        sdk=sdk,
    )
    try:
        args = parser("check").parse_args(["check", "--isolated", "--", os.fspath(path)])
        # As options and not in the section: a name that the model does not have is then an error, not a
        # finding.
        args.input_dim = [(name, ",".join(map(str, dims))) for name, dims in (input_dims or {}).items()]
        args.symbol = [(name, str(size)) for name, size in (symbols or {}).items()]
        args.batch = batch
        jobs = list(jobs_of(args, Config(models=(section,)), tuple(select), tuple(ignore)))
        rules = rules_of(tuple(select), tuple(ignore), (GROUP, ENCODINGS_GROUP))
        for plugin in broken_plugins(select, ignore, (GROUP, ENCODINGS_GROUP)):
            warnings.warn(str(plugin), stacklevel=2)
        files = list(run(jobs, 1))
        refuse_unknown(files)
    except UsageError as error:
        raise CannotLint(str(error)) from None
    docs = {rule.id: rule.page for rule in rules}
    pages = frozenset(rule.id for rule in rules if not rule.origin)
    return Report(Outcome(__version__, tuple(files), Severity.ERROR, docs, pages=pages))
