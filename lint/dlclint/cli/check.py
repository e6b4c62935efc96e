"""`dlclint check`: from arguments and configuration to jobs, and from their outcome to a report."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from dlclint import __version__
from dlclint.cli.errors import UsageError
from dlclint.cli.targets import target_of
from dlclint.diagnostic import Severity, plain
from dlclint.encodings.recognition import (
    ENCODINGS_SUFFIXES,
    encodings_beside,
    is_encodings,
    model_beside,
)
from dlclint.engine.config import Config, ConfigError, ModelSection, find_config, load_config
from dlclint.engine.registry import BrokenRules, all_rules, select
from dlclint.engine.run import Job, WorkerKilled, run
from dlclint.model.dimensions import Dimensions
from dlclint.model.reading import MODEL_SUFFIXES
from dlclint.outcome import Outcome
from dlclint.report.progress import with_progress
from dlclint.report.render import render, write_whole


def check(given: argparse.Namespace) -> int:
    """Run the command; returns the exit status.

    Raises:
        UsageError: the arguments or the configuration cannot be followed.
    """
    started = time.perf_counter()
    config = _config(given)
    chosen = _listed(given.select) or list(config.select)
    ignored = [*_listed(given.ignore), *config.ignore]
    try:
        rules = select(all_rules(), chosen, ignored)
    except (ValueError, BrokenRules) as error:
        raise UsageError(str(error)) from None
    jobs = list(_jobs(given, config, chosen, ignored))
    if given.jobs is not None and given.jobs < 1:
        raise UsageError(f"--jobs {given.jobs}: give a number of at least 1")
    try:
        files = list(with_progress(run(jobs, given.jobs or os.cpu_count() or 1), len(jobs)))
    except WorkerKilled:
        raise UsageError("a worker process was killed (out of memory?); try again with --jobs 1") from None
    fail_on = given.fail_on or config.fail_on or "error"
    outcome = Outcome(
        __version__,
        tuple(files),
        None if fail_on == "never" else Severity(fail_on),
        {rule.id: rule.title for rule in rules},
        {rule.id: rule.docs for rule in rules},
        time.perf_counter() - started,
    )
    text = render(outcome, given.format, sys.stdout if given.output is None else None)
    if given.output is None:
        sys.stdout.write(text)
    else:
        try:
            write_whole(Path(given.output), text)
        except OSError as error:
            raise UsageError(f"cannot write {plain(given.output)}: {error.strerror}") from None
    return 1 if outcome.failed else 0


def _listed(values: Sequence[str]) -> list[str]:
    return [item.strip() for value in values for item in value.split(",") if item.strip()]


def _config(given: argparse.Namespace) -> Config:
    if given.isolated:
        return Config()
    try:
        path = Path(given.config) if given.config else find_config(Path.cwd())
        return Config() if path is None else load_config(path)
    except ConfigError as error:
        raise UsageError(str(error)) from None


def _jobs(given: argparse.Namespace, config: Config, chosen: list[str], ignored: list[str]) -> Iterator[Job]:
    """One job per model and one per override file; a pair that belongs together is linted together."""
    paths = list(_files(given.paths))
    models = [path for path in paths if not is_encodings(path)]
    if given.encodings and len(models) != 1:
        raise UsageError("--encodings goes with one model; give one, or name both files alike")
    done: set[Path] = set()
    for path in models:
        section = config.section_for(path)
        named = given.encodings or section.encodings
        overrides = Path(named) if named else encodings_beside(path)
        if overrides is not None and not overrides.is_file():
            raise UsageError(f"override file {plain(str(overrides))} does not exist; check the path")
        job = _job(path, given, config, chosen, ignored, overrides is not None)
        yield job
        if overrides is not None:
            done.add(overrides.resolve())
            yield replace(job, path=overrides, kind="encodings", model=path)
    for path in paths:
        if is_encodings(path) and path.resolve() not in done:
            model = model_beside(path)
            job = _job(model or path, given, config, chosen, ignored, True)
            yield replace(job, path=path, kind="encodings", model=model)


def _files(paths: Sequence[str]) -> Iterator[Path]:
    for text in paths:
        path = Path(text)
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix in (".onnx", ".encodings") and p.is_file())
            if not found:
                raise UsageError(f"no .onnx file in folder {plain(text)}; give a model or another folder")
            yield from found
        elif not path.exists():
            raise UsageError(f"{plain(text)} does not exist; check the path")
        elif not path.is_file():
            raise UsageError(f"{plain(text)} is no regular file; give a model file")
        elif path.suffix.lower() not in (*MODEL_SUFFIXES, *ENCODINGS_SUFFIXES):
            known = ", ".join(dict.fromkeys((*MODEL_SUFFIXES, *ENCODINGS_SUFFIXES)))
            raise UsageError(f"{plain(text)}: no model format has this ending; known are {known}")
        else:
            yield path


def _job(
    path: Path,
    given: argparse.Namespace,
    config: Config,
    chosen: list[str],
    ignored: list[str],
    overridden: bool,
) -> Job:
    section = config.section_for(path)
    target = target_of(given, section, overridden)
    return Job(path, target, _dimensions(given, section), tuple(chosen), tuple(ignored), config.ignores)


def _dimensions(given: argparse.Namespace, section: ModelSection) -> Dimensions:
    inputs = dict(section.input_dims)
    for name, text in given.input_dim:
        inputs[name] = tuple(_size(part, "--input-dim") for part in text.split(","))
    symbols = dict(section.symbols)
    symbols.update({symbol: _size(value, "--define-symbol") for symbol, value in given.symbol})
    batch = given.batch if given.batch is not None else section.batch
    if batch is not None and batch < 1:
        raise UsageError(f"--batch {batch}: give a number of at least 1")
    return Dimensions(inputs, symbols, batch)


def _size(text: str, option: str) -> int:
    try:
        size = int(text)
    except ValueError:
        size = 0
    if not 1 <= size < 1 << 31:
        raise UsageError(f"{option}: {plain(text)!r} is no dimension; give whole numbers such as 1,3,224,224")
    return size
