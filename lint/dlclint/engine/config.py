"""Configuration: `dlclint.toml`, or `[tool.dlclint]` in `pyproject.toml`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from dlclint.diagnostic import Severity, plain
from dlclint.engine.ignores import Ignore, path_matches
from dlclint.engine.registry import suggest
from dlclint_schemas.record import record
from dlclint_schemas.thresholds import thresholds

KIND = {
    "float": "float",
    "quantize": "quantize",
    "act-bitwidth": "act_bitwidth",
    "weights-bitwidth": "weights_bitwidth",
    "bias-bitwidth": "bias_bitwidth",
    "float-bitwidth": "float_bitwidth",
    "float-bias-bitwidth": "float_bias_bitwidth",
    "use-per-channel-quantization": "per_channel",
}
"""Keys of a model section about the DLC kind, and the command line's name for each."""


class ConfigError(Exception):
    """The configuration is invalid; the argument names the file, the key and what to do."""


@record
class ModelSection:
    """Settings for the models whose path matches."""

    path: str = "*"
    runtimes: tuple[str, ...] = ()
    socs: tuple[str, ...] = ()
    kind: Mapping[str, int | bool] = field(default_factory=dict)
    """What the section sets of the DLC kind, by the command line's names: float, quantize, act_bitwidth,
    weights_bitwidth, bias_bitwidth, float_bitwidth, float_bias_bitwidth, per_channel.
    """
    encodings: str = ""
    simplify: bool = True
    input_dims: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    symbols: Mapping[str, int] = field(default_factory=dict)
    batch: int | None = None
    input_encodings: Mapping[str, str] = field(default_factory=dict)
    input_types: Mapping[str, str] = field(default_factory=dict)
    sdk: str = ""


@record
class Exclude:
    """A pattern as in .gitignore, and the folder that it starts from."""

    pattern: str
    folder: Path


class ConfigSearch:
    """The configurations of folders and their parents, each read once in a run."""

    def __init__(self) -> None:
        self._files: dict[Path, Path | None] = {}
        self._configs: dict[Path, Config] = {}

    def nearest(self, folder: Path) -> Config | None:
        """The configuration of a folder: the nearest one in it or above it.

        Raises:
            ConfigError: the configuration is invalid.
        """
        if folder not in self._files:
            self._files[folder] = find_config(folder)
        file = self._files[folder]
        if file is None:
            return None
        if file not in self._configs:
            self._configs[file] = load_config(file)
        return self._configs[file]


@record
class Config:
    """A whole configuration; empty where there is no file."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    fail_on: str | None = None
    models: tuple[ModelSection, ...] = ()
    ignores: tuple[Ignore, ...] = ()
    severities: Mapping[str, Severity] = field(default_factory=dict)
    """Severity by rule id or family."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    exclude: tuple[Exclude, ...] = ()
    """What a search of folders leaves out."""
    gitignore: bool = True
    """Whether the search also leaves out what .gitignore names."""
    baseline: Path | None = None
    path: Path | None = None
    """The file; None where there is none."""
    search: ConfigSearch | None = None
    """Finds the file next to a model, or in a folder above it, which takes precedence over this one."""

    def beside(self, path: Path) -> Config:
        """The configuration for a model: the nearest in its folder or above it, otherwise this one."""
        config = None if self.search is None else self.search.nearest(path.absolute().parent)
        return config or self

    def section_for(self, path: Path) -> ModelSection:
        """The last section whose glob matches the path, or an empty one."""
        for section in reversed(self.models):
            if path_matches(path.as_posix(), section.path):
                return section
        return ModelSection()


def find_config(folder: Path) -> Path | None:
    """The nearest `dlclint.toml`, or `pyproject.toml` with a `[tool.dlclint]`, in a folder or above it."""
    for path in (folder, *folder.parents):
        own = path / "dlclint.toml"
        if own.is_file():
            return own
        project = path / "pyproject.toml"
        if project.is_file() and "dlclint" in _parse(project).get("tool", {}):
            return project
    return None


def _parse(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        # Imported here because most runs have no configuration to parse.
        import tomllib
    else:
        # For the same reason.
        import tomli as tomllib
    try:
        parsed: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        return parsed
    except OSError as error:
        raise ConfigError(f"{plain(str(path))} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{plain(str(path))} is not valid TOML: {plain(str(error))}") from None


def load_config(path: Path) -> Config:
    """Read and validate a configuration, including those that it extends.

    Raises:
        ConfigError: it is unreadable, not TOML, or violates the published schema; or it extends itself.
    """
    config, chain, current = Config(), [], path.absolute()
    while True:
        chain.append(current)
        table = _table(current)
        config = _over(_read(table, current), config)
        if "extend" not in table:
            return replace(config, path=path)
        current = Path(os.path.normpath(current.parent / table["extend"]))
        if current in chain:
            raise ConfigError(
                f"{plain(str(path))}: extend leads back to {plain(str(current))}; remove it there"
            )
        if not current.is_file():
            raise ConfigError(
                f"{plain(str(chain[-1]))}: extend names {plain(str(current))}, which does not exist"
            )


def _table(path: Path) -> dict[str, Any]:
    try:
        table = _parse(path)
        if path.name == "pyproject.toml":
            table = table.get("tool", {}).get("dlclint", {})
        _validate(table, path)
    except RecursionError:
        raise ConfigError(f"{plain(str(path))} nests deeper than it can be read") from None
    return table


def _read(table: Mapping[str, Any], path: Path) -> Config:
    off = tuple(rule for rule, severity in table.get("severity", {}).items() if severity == "off")
    return Config(
        tuple(table.get("select", ())),
        (*table.get("ignore", ()), *off),
        table.get("fail-on"),
        tuple(_section(section, path.parent) for section in table.get("models", ())),
        tuple(Ignore(**section) for section in table.get("ignores", ())),
        {rule: Severity(word) for rule, word in table.get("severity", {}).items() if word != "off"},
        _thresholds(table.get("thresholds", {}), path),
        tuple(Exclude(pattern, path.parent) for pattern in table.get("exclude", ())),
        table.get("respect-gitignore", True),
        path.parent / table["baseline"] if "baseline" in table else None,
    )


def _over(base: Config, config: Config) -> Config:
    """A configuration merged into the one that it extends: values replace, lists and tables are added."""
    return Config(
        config.select or base.select,
        (*base.ignore, *config.ignore),
        config.fail_on or base.fail_on,
        (*base.models, *config.models),  # the last section that matches applies
        (*base.ignores, *config.ignores),
        {**base.severities, **config.severities},
        {**base.thresholds, **config.thresholds},
        (*base.exclude, *config.exclude),
        base.gitignore and config.gitignore,
        config.baseline or base.baseline,
    )


def _thresholds(values: Mapping[str, float], path: Path) -> Mapping[str, float]:
    if values:
        known = thresholds()
        for name in values:
            if name not in known:
                near = suggest(name, set(known)) or "; docs/tables/thresholds.md lists them"
                raise ConfigError(f"{plain(str(path))}: unknown threshold {plain(name)!r}{near}")
    return dict(values)


def _validate(table: dict[str, Any], path: Path) -> None:
    # Imported here because it takes as long as linting a small model, and most runs have no configuration.
    import jsonschema

    schema = json.loads(files("dlclint_schemas").joinpath("config.schema.json").read_text("utf-8"))
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(table))
    if error is not None:
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path)
        raise ConfigError(
            f"{plain(str(path))}: {plain(where.lstrip('.') or 'top level')}: {plain(error.message)}"
        )


def _section(table: Mapping[str, Any], folder: Path) -> ModelSection:
    return ModelSection(
        table["path"],
        tuple(table.get("runtime", ())),
        (table["soc"],) if isinstance(table.get("soc"), str) else tuple(table.get("soc", ())),
        {field: table[key] for key, field in KIND.items() if key in table},
        os.path.relpath(folder / table["encodings"]) if "encodings" in table else "",
        table.get("simplify", True),
        {name: tuple(dims) for name, dims in table.get("input-dim", {}).items()},
        table.get("define-symbol", {}),
        table.get("batch"),
        table.get("input-encoding", {}),
        table.get("input-type", {}),
        table.get("sdk", ""),
    )
