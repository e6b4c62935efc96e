"""Configuration: `dlclint.toml`, or `[tool.dlclint]` in `pyproject.toml`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import field
from importlib.resources import files
from pathlib import Path
from typing import Any

from dlclint.diagnostic import plain
from dlclint.engine.ignores import Ignore, path_matches
from dlclint_schemas.record import record

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
"""Keys of a model section that speak of the DLC kind, and the command line's name of each."""


class ConfigError(Exception):
    """The configuration cannot be followed; the argument names the file, the key and what to do."""


@record
class ModelSection:
    """Settings for the models whose path matches."""

    path: str = "*"
    runtimes: tuple[str, ...] = ()
    socs: tuple[str, ...] = ()
    kind: Mapping[str, int | bool] = field(default_factory=dict)
    """What the section says of the DLC kind, by the command line's names: float, quantize,
    act_bitwidth, weights_bitwidth, bias_bitwidth, float_bitwidth, float_bias_bitwidth, per_channel."""
    encodings: str = ""
    simplify: bool = True
    input_dims: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    symbols: Mapping[str, int] = field(default_factory=dict)
    batch: int | None = None
    input_encodings: Mapping[str, str] = field(default_factory=dict)
    input_types: Mapping[str, str] = field(default_factory=dict)
    sdk: str = ""


@record
class Config:
    """A whole configuration; empty where no file is."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    fail_on: str | None = None
    models: tuple[ModelSection, ...] = ()
    ignores: tuple[Ignore, ...] = ()

    def section_for(self, path: Path) -> ModelSection:
        """The last section whose glob matches the path, or an empty one."""
        for section in reversed(self.models):
            if path_matches(path.as_posix(), section.path):
                return section
        return ModelSection()


def find_config(folder: Path) -> Path | None:
    """The nearest `dlclint.toml`, or `pyproject.toml` with a `[tool.dlclint]`, from a folder upward."""
    for place in (folder, *folder.parents):
        own = place / "dlclint.toml"
        if own.is_file():
            return own
        project = place / "pyproject.toml"
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
    """Read and validate a configuration.

    Raises:
        ConfigError: unreadable, no TOML, or against the published schema.
    """
    try:
        table = _parse(path)
        if path.name == "pyproject.toml":
            table = table.get("tool", {}).get("dlclint", {})
        _validate(table, path)
    except RecursionError:
        raise ConfigError(f"{plain(str(path))} nests deeper than it can be read") from None
    return Config(
        tuple(table.get("select", ())),
        tuple(table.get("ignore", ())),
        table.get("fail-on"),
        tuple(_section(item, path.parent) for item in table.get("models", ())),
        tuple(Ignore(**item) for item in table.get("ignores", ())),
    )


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


def _section(item: Mapping[str, Any], folder: Path) -> ModelSection:
    return ModelSection(
        item["path"],
        tuple(item.get("runtime", ())),
        (item["soc"],) if isinstance(item.get("soc"), str) else tuple(item.get("soc", ())),
        {field: item[key] for key, field in KIND.items() if key in item},
        os.path.relpath(folder / item["encodings"]) if "encodings" in item else "",
        item.get("simplify", True),
        {name: tuple(dims) for name, dims in item.get("input-dim", {}).items()},
        item.get("define-symbol", {}),
        item.get("batch"),
        item.get("input-encoding", {}),
        item.get("input-type", {}),
        item.get("sdk", ""),
    )
