"""The search of `dlclint simulate`: its target, its journal, and what the chip supports."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

from dlclint.analysis.op_precision import lacking_on_htp
from dlclint.cli.errors import UsageError
from dlclint.diagnostic import plain
from dlclint.engine.job import Job
from dlclint.report.progress import counting
from dlclint.simulate.outcome import SearchOutcome
from dlclint.simulate.search.searching import SearchState
from dlclint.simulate.search.trials import Goal, Journal, Trials, question_fingerprint
from dlclint.simulate.simulating import Prepared
from dlclint.simulate.versions import runtime_versions
from dlclint.version import __version__

_EVALUATIONS = 400
"""About how many schemes a search of a network with two hundred layers tries; used only by the progress bar.
"""


def goal_of(args: argparse.Namespace) -> Goal | None:
    """The target of the search, if one is given.

    Raises:
        UsageError: the target is not a number, or cannot be reached.
    """
    sqnr = None
    if args.target is not None:
        try:
            sqnr = float(args.target.lower().removesuffix("db"))
        except ValueError:
            sqnr = math.nan
        if not 0 < sqnr < 200:
            raise UsageError(f"--target {plain(args.target)}: give decibels above 0, such as 30dB")
    if args.agreement is not None and not 0 < args.agreement <= 1:
        raise UsageError(f"--agreement {args.agreement:g}: give a rate above 0, at most 1, such as 0.99")
    if args.resume is not None and sqnr is None and args.agreement is None:
        raise UsageError("--resume goes with --target or --agreement")
    return None if sqnr is None and args.agreement is None else Goal(sqnr, args.agreement)


def run_search(
    args: argparse.Namespace, job: Job, prepared: Prepared, goal: Goal
) -> tuple[SearchOutcome, Prepared]:
    """Search; returns the result, and the model with the grids of the result.

    Raises:
        UsageError: the model has no scores to compare, or the journal cannot be used.
    """
    journal = Journal(None if args.resume is None else Path(args.resume), _question(args, job, prepared))
    try:
        journal.open()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--resume {plain(args.resume)}: {plain(str(error), 200)}") from None
    view = prepared.network.view
    wide = replace(job.target, kind=replace(job.target.kind, act_bitwidth=16))
    with counting("searching", _EVALUATIONS) as tick:
        trials = Trials(prepared.evaluator, prepared.pieces, prepared.samples, goal, journal, tick)
        if goal.agreement is not None and not trials.has_scores:
            raise UsageError(
                "--agreement: no output of the model holds scores that dlclint recognizes; give --target"
            )
        soc = job.target.soc
        search = SearchState(
            prepared,
            trials,
            goal,
            frozenset(lacking.op for lacking in lacking_on_htp(view.aimed(wide), "int16") if lacking.agreed),
            None if soc is None else soc.hexagon,
            soc is None or soc.fp16 is not False,
        )
        search_outcome = search.run()
    searched = search.prepared
    searched.scheme, searched.settings, searched.notes = search.scheme, search.settings, prepared.notes
    return search_outcome, searched


def _question(args: argparse.Namespace, job: Job, prepared: Prepared) -> str:
    """The settings that identify the measurements of a journal."""
    status = job.path.stat()
    return question_fingerprint(
        {
            "dlclint": __version__,
            "versions": sorted(runtime_versions().items()),
            "model": f"{job.path.resolve()} {status.st_size} {status.st_mtime_ns}",
            "settings": prepared.settings,
            "inputs": f"{args.inputs} {prepared.samples.words} {args.samples} {args.seed}",
            "layouts": args.input_layout,
            "dimensions": job.dimensions,
            "encodings": args.encodings,
            "agreement": args.agreement is not None,
            "soc": job.target.soc,
        }
    )
