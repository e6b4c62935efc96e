"""From paths, arguments and configuration to jobs, for all commands that lint."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from dlclint.cli.errors import UsageError
from dlclint.cli.folders import files
from dlclint.cli.targets import target_of, targets_of
from dlclint.diagnostic import plain
from dlclint.encodings.recognition import (
    encodings_beside,
    is_encodings,
    model_beside,
)
from dlclint.engine.config import Config, ConfigError, ConfigSearch, ModelSection, find_config, load_config
from dlclint.engine.job import Job, Named
from dlclint.engine.registry import GROUP, BrokenRules, broken_plugins, chosen_rules
from dlclint.model.dimensions import Dimensions
from dlclint.outcome import FileOutcome
from dlclint.own_rules import OWN_DOCS, UNKNOWN_NAME
from dlclint.remote import is_address
from dlclint.rule import Rule
from dlclint.target import Target


def comma_separated(values: Sequence[str]) -> list[str]:
    """The items of comma-separated values of a repeatable option."""
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def config_of(args: argparse.Namespace) -> Config:
    """The named configuration or the nearest one; an empty one if `--isolated` is given or there is none.

    Raises:
        UsageError: the configuration is invalid.
    """
    if args.isolated:
        return Config()
    try:
        path = Path(args.config) if args.config else find_config(Path.cwd())
        config = Config() if path is None else load_config(path)
        return config if args.config else replace(config, search=ConfigSearch())
    except ConfigError as error:
        raise UsageError(str(error)) from None


def inputs_of(args: argparse.Namespace, jobs: Iterable[Job]) -> Iterator[Path | None]:
    """The files that a command reads: none of its outputs may be one of them."""
    for job in jobs:
        yield from (job.path, job.model)
    if not args.isolated:
        yield Path(args.config) if args.config else find_config(Path.cwd())


def rules_of(
    chosen: Sequence[str], ignored: Sequence[str], groups: tuple[str, ...] = (GROUP,)
) -> tuple[Rule, ...]:
    """The selected rules of the groups.

    Raises:
        UsageError: a selector matches no rule, or a rule package is broken.
    """
    try:
        return chosen_rules(chosen, ignored, groups)
    except (ValueError, BrokenRules) as error:
        raise UsageError(plain(str(error), 400)) from None


def rules_of_jobs(jobs: Sequence[Job], groups: tuple[str, ...] = (GROUP,)) -> tuple[Rule, ...]:
    """Every rule of the groups that one of the jobs selects, sorted by id.

    Raises:
        UsageError: a selector or a rule with an overridden severity matches no rule, or a package is broken.
    """
    rules: dict[str, Rule] = {}
    for select, ignore in dict.fromkeys((job.select, job.ignore) for job in jobs):
        rules.update((rule.id, rule) for rule in rules_of(select, ignore, groups))
    named = dict.fromkeys(name for job in jobs for name, _ in job.severities)
    if named:
        rules_of(tuple(name for name in named if name not in OWN_DOCS), ())
    return tuple(rules[id] for id in sorted(rules))


def tell_broken_plugins(jobs: Sequence[Job], groups: tuple[str, ...] = (GROUP,)) -> bool:
    """Report on standard error which plugins cannot be loaded; returns whether there are any."""
    selectors = dict.fromkeys((job.select, job.ignore) for job in jobs)
    broken = dict.fromkeys(
        plugin for select, ignore in selectors for plugin in broken_plugins(select, ignore, groups)
    )
    for plugin in broken:
        print(f"dlclint: error: {plugin}", file=sys.stderr)
    return bool(broken)


def config_for(config: Config, path: Path) -> Config:
    """The configuration that applies to a model.

    Raises:
        UsageError: the configuration next to the model is invalid.
    """
    try:
        return config.beside(path)
    except ConfigError as error:
        raise UsageError(str(error)) from None


def jobs_of(
    args: argparse.Namespace,
    config: Config,
    chosen: Sequence[str],
    ignored: Sequence[str],
    problems: list[str] | None = None,
) -> Iterator[Job]:
    """One job per model and one per override file; a model and its override file are linted together.

    `chosen` and `ignored` are the rule selectors of the command line. Invalid paths are added to `problems`.

    Raises:
        UsageError: an option is invalid, or a path is and `problems` is None.
    """
    remote = [text for text in args.paths if is_address(text)]
    paths = sorted(
        set(files([text for text in args.paths if not is_address(text)], config, problems))
    )  # a report must not depend on the order in which a shell lists the paths
    models = [path for path in paths if not is_encodings(path)]
    if args.encodings and len(models) + len(remote) != 1:
        raise UsageError("--encodings goes with one model; give one, or name both files alike")
    done: set[Path] = set()
    for path in models:
        section = config_for(config, path).section_for(path)
        named = args.encodings or section.encodings
        overrides = Path(named) if named else encodings_beside(path)
        if overrides is not None and not overrides.is_file():
            raise UsageError(f"override file {plain(str(overrides))} does not exist; check the path")
        job = job_for(path, args, config, chosen, ignored, overrides is not None)
        yield replace(job, overrides=overrides)
        if overrides is not None:
            done.add(overrides.resolve())
            yield replace(job, path=overrides, kind="encodings", model=path, names=())
    for path in paths:
        if is_encodings(path) and path.resolve() not in done:
            model = model_beside(path)
            job = job_for(model or path, args, config, chosen, ignored, True)
            yield replace(job, path=path, kind="encodings", model=model)
    if remote:
        # Imported here because most files are local.
        from dlclint.cli.remote import remote_jobs

        def job_at(path: Path, overridden: bool) -> Job:
            return job_for(path, args, config, chosen, ignored, overridden)

        yield from remote_jobs(remote, args, config, job_at)


def shard_of(jobs: Sequence[Job], text: str) -> list[Job]:
    """The jobs of one part out of several; a model and its override file stay together.

    `text` is `K/N`. The part of a file depends only on its position among the files, so that the parts of the
    same paths do not overlap and cover every file.

    Raises:
        UsageError: the text is not such a part.
    """
    number, slash, count = text.partition("/")
    whole = bool(slash) and number.isascii() and count.isascii() and number.isdecimal() and count.isdecimal()
    if not whole or not 1 <= int(number) <= int(count):
        raise UsageError(f"--shard {plain(text)}: give K/N with K from 1 to N, such as 1/4")
    units: list[list[Job]] = []
    for job in jobs:
        follows = job.kind == "encodings" and units and units[-1][0].kind == "model"
        if follows and (job.model == units[-1][0].path or (job.url and job.beside == units[-1][0].url)):
            units[-1].append(job)
        else:
            units.append([job])
    return [job for unit in units[int(number) - 1 :: int(count)] for job in unit]


def job_for(
    path: Path,
    args: argparse.Namespace,
    config: Config,
    chosen: Sequence[str],
    ignored: Sequence[str],
    overridden: bool,
) -> Job:
    """The job of a model.

    Raises:
        UsageError: the target or a dimension is invalid.
    """
    config = config_for(config, path)
    section = config.section_for(path)
    several = getattr(args, "several", False)
    targets = (targets_of if several else _one_target)(args, section, overridden)
    return Job(
        path,
        targets[0],
        dimensions_of(args, section),
        tuple(chosen or config.select),
        (*ignored, *config.ignore),
        config.ignores,
        severities=tuple(config.severities.items()),
        thresholds=tuple(config.thresholds.items()),
        names=tuple(names_of(args, section)),
        others=targets[1:],
    )


def _one_target(args: argparse.Namespace, section: ModelSection, overridden: bool) -> tuple[Target, ...]:
    return (target_of(args, section, overridden),)


def names_of(args: argparse.Namespace, section: ModelSection) -> Iterator[Named]:
    """What is stated about the model by name; the command line overrides the configuration."""
    for option, field, configured in (
        ("--dims", "dims", {}),
        ("--input-dim", "input_dim", section.input_dims),
        ("--define-symbol", "symbol", section.symbols),
        ("--input-encoding", "input_encoding", section.input_encodings),
        ("--input-type", "input_type", section.input_types),
        ("--input-moments", "input_moments", {}),
    ):
        named = dict.fromkeys(name for name, *_ in getattr(args, field, ()))
        yield from (Named(option, name) for name in named)
        yield from (Named(option, name, section.path) for name in configured if name not in named)


def refuse_unknown(files: Sequence[FileOutcome]) -> None:
    """Stop where the command line names an input or symbol that none of the models has.

    Raises:
        UsageError: it does so.
    """
    if any(finding.rule == UNKNOWN_NAME for file in files for finding in file.diagnostics):
        models = [file for file in files if file.kind == "model"] or files
        findings = [file.diagnostics for file in models]
        # Imported here because names are seldom wrong.
        from dlclint.engine.names import unknown_names

        message = unknown_names(findings)
        if message:
            raise UsageError(message)


def dimensions_of(args: argparse.Namespace, section: ModelSection) -> Dimensions:
    """The dimension overrides of a model.

    Raises:
        UsageError: a given value is not a dimension.
    """
    inputs, symbols = dict(section.input_dims), dict(section.symbols)
    for name, text in getattr(args, "dims", ()):
        inputs[name] = tuple(size(part, "--dims") for part in text.split(","))
        if len(inputs[name]) == 1:
            symbols[name] = inputs[name][0]
    for name, text in getattr(args, "input_dim", ()):
        inputs[name] = tuple(size(part, "--input-dim") for part in text.split(","))
    symbols.update({symbol: size(value, "--define-symbol") for symbol, value in getattr(args, "symbol", ())})
    batch = getattr(args, "batch", None)
    batch = section.batch if batch is None else batch
    if batch is not None and not 1 <= batch < 1 << 31:
        raise UsageError(f"--batch {plain(str(batch))}: give a number of at least 1, in 32 bits")
    return Dimensions(inputs, symbols, batch)


def size(text: str, option: str) -> int:
    """A dimension given on the command line.

    Raises:
        UsageError: the text is not a dimension.
    """
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number < 1 << 31:
        raise UsageError(f"{option}: {plain(text)!r} is not a dimension; give numbers such as 1,3,224,224")
    return number
