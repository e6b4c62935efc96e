"""`dlclint check` with `--on` or `--results`: where files are linted, and where results are kept."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from dlclint.cli.errors import UsageError
from dlclint.diagnostic import counted, plain
from dlclint.engine.cluster import LOCAL, SCHEME, Cluster, ClusterError
from dlclint.engine.job import Job
from dlclint.engine.keeping import Asking, linted_here
from dlclint.engine.results import NoResults, Results, Stored
from dlclint.remote.images import remove_dead
from dlclint.report.progress import with_progress

_PREFIX = "dlclint-results-"
"""Prefix of the folders that hold the results of a run that does not keep them."""


def refuse_unusable(args: argparse.Namespace) -> None:
    """Reject options that do not go together, before anything is read.

    Raises:
        UsageError: such options are given.
    """
    if args.resume and not args.results:
        raise UsageError("--resume goes with --results, which names the folder to go on from")
    if not args.on:
        return
    if args.on != LOCAL and not (args.on.startswith(SCHEME) and args.on != SCHEME):
        raise UsageError(f"--on {plain(args.on)}: give dask for a local cluster, or dask://HOST:PORT")
    if args.confirm:
        raise UsageError("--confirm asks the backend of this machine; leave out --on")
    if args.on != LOCAL and args.jobs is not None:
        raise UsageError("--jobs goes with --on dask; another cluster has the workers that it has")


@contextmanager
def scratch_of(args: argparse.Namespace) -> Iterator[Path | None]:
    """A folder for results that are not kept, which remains if the block ends without an error; else None."""
    if args.results:
        yield None
        return
    remove_dead(_PREFIX)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def linted(args: argparse.Namespace, jobs: Sequence[Job], scratch: Path | None) -> Stored:
    """Lint jobs, with results in the folder that the user names, or in `scratch`.

    Raises:
        UsageError: the cluster or the folder cannot be used.
    """
    folder = scratch or Path(args.results)
    workers = args.jobs or os.cpu_count() or 1
    again = 0
    try:
        with Results(folder, jobs, bool(args.results), args.resume) as results:
            asking = Asking(jobs, results, not args.no_cache)
            with Cluster(args.on, workers) if args.on else nullcontext() as cluster:
                arriving = linted_here(asking, workers) if cluster is None else cluster.linted(asking)
                for number, body in with_progress(arriving, len(jobs)):
                    results.keep(number, body)
                    again += body is None
    except ClusterError as problem:
        more = f"; --results {plain(str(folder))} --resume goes on" if args.results else ""
        raise UsageError(f"--on {plain(args.on)}: {problem}{more}") from None
    except NoResults as problem:
        raise UsageError(f"--results {plain(str(folder))}: {problem}") from None
    except OSError as problem:
        if not args.results or problem.filename is None:
            raise
        raise UsageError(f"--results {plain(str(folder))}: {problem.strerror or problem}") from None
    if args.resume:
        print(f"dlclint: {counted(again, 'file')} of {len(jobs)} unchanged", file=sys.stderr)
    return results.stored
