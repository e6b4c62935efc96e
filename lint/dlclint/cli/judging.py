"""`dlclint confirm` with a user's own SDK: what its converter reports for each node in a dry run."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from dlclint.analysis.folding import NodeKey
from dlclint.analysis.options import shape_options
from dlclint.analysis.view import ModelView
from dlclint.cli.errors import UsageError
from dlclint.cli.jobs import comma_separated, config_of, inputs_of, jobs_of, refuse_unknown, rules_of
from dlclint.cli.output import OutputFile, deliver, guard
from dlclint.confirm.compare import Confirmation, ConfirmOutcome, converter_relation, rows_of
from dlclint.confirm.process import QuestionLimits
from dlclint.confirm.sdk import DryRun, Sdk, dry_run, find_sdk
from dlclint.confirm.verdict import NodeVerdict, Said
from dlclint.diagnostic import plain
from dlclint.engine.job import Job
from dlclint.engine.run import lint_file
from dlclint.explain.model import Explained
from dlclint.explain.places import located
from dlclint.explain.reading import explain_lines
from dlclint.model.reading import Unreadable, read
from dlclint.outcome import FileOutcome
from dlclint.report.progress import with_progress
from dlclint.report.render import render
from dlclint.version import __version__

_SHAPE = {"qairt-converter": "--source_model_input_shape", "snpe-onnx-to-dlc": "-d"}
_UNSIMPLIFIED = {"qairt-converter": "--onnx_skip_simplification", "snpe-onnx-to-dlc": "--no_simplification"}


def judge(args: argparse.Namespace, root: Path, limits: QuestionLimits, started: float) -> int:
    """Lint, get the verdict of the SDK's converter, and report; returns the exit status.

    Raises:
        UsageError: the arguments are invalid.
        NotAvailable: no SDK is found, or its converter cannot be started.
    """
    sdk = find_sdk(root)
    if args.dlc:
        raise UsageError("--dlc writes the HTP backend's DLC; leave it out with --judge converter")
    config = config_of(args)
    chosen = comma_separated(args.select) or list(config.select)
    ignored = [*comma_separated(args.ignore), *config.ignore]
    rules_of(chosen, ignored)
    jobs = [job for job in jobs_of(args, config, chosen, ignored) if job.kind == "model"]
    if not jobs:
        raise UsageError("there is no model among these paths; give a model, or a folder with one")
    guard(args.output, OutputFile.REPORT, inputs_of(args, jobs), args.overwrite)
    files = [lint_file(job) for job in jobs]
    refuse_unknown(files)
    confirmations = tuple(with_progress(_judged(sdk, jobs, files, limits), len(jobs)))
    versions = {sdk.tool: sdk.build or "unknown build"}
    outcome = ConfirmOutcome(__version__, confirmations, versions, time.perf_counter() - started)
    text = render("confirm", args.format, outcome, sys.stdout if args.output is None else None)
    deliver(text, args.output)
    return outcome.status


def _judged(
    sdk: Sdk, jobs: Sequence[Job], files: Sequence[FileOutcome], limits: QuestionLimits
) -> Iterator[Confirmation]:
    for job, linted in zip(jobs, files, strict=True):
        yield _one(sdk, job, linted, limits)


def _one(sdk: Sdk, job: Job, linted: FileOutcome, limits: QuestionLimits) -> Confirmation:
    try:
        view = ModelView(read(job.path, job.dimensions), job.target)
    except Unreadable as problem:
        reason = plain(f"{problem.message}; {problem.help}", 400)
        return Confirmation(linted.path, "", sdk.tool, False, unasked=reason, judge=sdk.tool, dry_run=True)
    started = time.perf_counter()
    with TemporaryDirectory(prefix="dlclint-sdk-") as folder:
        run = dry_run(sdk, job.path, _options(sdk, view, job), Path(folder), limits)
    said = list(located(explain_lines(run.text.splitlines()), view.model))
    refused = dict(_refusals(view, said, sdk.tool))
    whole = run.status == 0
    failed = not (whole or refused or run.ended)
    default = NodeVerdict(Said.TAKEN if whole else Said.UNASKED, by=sdk.tool)
    verdicts = {
        node.key: refused.get(node.key, default) for graph in view.model.graphs() for node in graph.nodes
    }
    return Confirmation(
        linted.path,
        "" if view.target.soc is None else str(view.target.soc),
        sdk.tool,
        False,
        rows=tuple(rows_of(view, verdicts, linted.diagnostics, converter_relation)),
        failure=_failure(run, said, sdk) if failed and any(map(_is_cause, said)) else "",
        stopped=f"{sdk.tool} {run.ended}"
        if run.ended
        else _failure(run, said, sdk) * (failed and not any(map(_is_cause, said))),
        notes=tuple(_notes(said)),
        build=plain(sdk.build),
        seconds=time.perf_counter() - started,
        judge=sdk.tool,
        dry_run=True,
    )


def _options(sdk: Sdk, view: ModelView, job: Job) -> list[str]:
    """The converter's options, from the command line or the configuration."""
    words = [
        word
        for name, sizes in shape_options(view, job.dimensions)
        if all(size.isdigit() for size in sizes.split(","))
        for word in (_SHAPE[sdk.tool], name, sizes)
    ]
    if job.overrides is not None:
        words += ["--quantization_overrides", str(job.overrides.resolve())]
    elif not job.target.simplify:
        words.append(_UNSIMPLIFIED[sdk.tool])
    return words


def _is_cause(explained: Explained) -> bool:
    return explained.message.severity == "error" and not explained.message.consequence


def _refusals(view: ModelView, said: Iterable[Explained], tool: str) -> Iterator[tuple[NodeKey, NodeVerdict]]:
    """The nodes that an error names: by node name or tensor, otherwise every node of the op that it names."""
    for explained in filter(_is_cause, said):
        verdict = NodeVerdict(Said.REFUSED, plain(explained.says, 300), by=tool)
        if explained.node is not None:
            yield (explained.node.graph, explained.node.index), verdict
            continue
        op = explained.groups.get("op", "").lower()
        for graph in view.model.graphs():
            for node in graph.nodes:
                if op and node.op_type.lower() == op:
                    yield node.key, verdict


def _failure(run: DryRun, said: Iterable[Explained], sdk: Sdk) -> str:
    """Why the tool failed where it names no node, in one sentence."""
    cause = next((explained.says for explained in said if _is_cause(explained)), "")
    lines = [line.strip() for line in run.text.splitlines() if line.strip()]
    last = cause or (lines[-1] if lines else "it says nothing")
    status = run.status or 0
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    return plain(f"{sdk.tool} {how}: {last}", 400)


def _notes(said: Iterable[Explained]) -> Iterator[str]:
    """The tool's warnings, one sentence each."""
    for explained in said:
        if explained.message.severity != "error":
            yield plain(f"{explained.message.tool} {explained.message.severity}: {explained.says}", 300)
