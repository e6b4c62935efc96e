"""Every key of the configuration, read from its JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files as resources
from typing import Any

from pages._markdown import table

INTRODUCTION = """# Configuration

dlclint reads `dlclint.toml`, or the table `[tool.dlclint]` in `pyproject.toml`. It uses the nearest one from
the model's folder upward, unless `--config FILE` names a file or `--isolated` disables configuration. The
command line takes precedence over the file; `ignore` is combined. In globs, `*` also matches `/`. A path glob
may match any suffix of the complete path, so `models/*.onnx` works from every working folder.

The JSON Schema is `schemas/dlclint_schemas/config.schema.json`; dlclint refuses an invalid file with a
one-line error that names the key.

Names in a section must exist: an input or symbol that the model does not have is the finding
`config/unknown-name`, a warning if the section applies to one file, a note if its path is a glob. An
unused ignore is the finding `config/unused-ignore`. Both can be ignored like any finding, with a reason.
"""


def files() -> dict[str, str]:
    """docs/reference/configuration.md."""
    schema = json.loads(resources("dlclint_schemas").joinpath("config.schema.json").read_text("utf-8"))
    blocks = [INTRODUCTION, table(("key", "value", "meaning"), _rows(schema))]
    for name, part in schema["properties"].items():
        if "properties" in part.get("items", {}):
            body = table(("key", "value", "meaning"), _rows(part["items"]))
            blocks.append(f"## [[{name}]]\n\n{part['description']}\n\n{body}")
    return {"docs/reference/configuration.md": "\n".join(blocks)}


def _rows(schema: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    required = schema.get("required", ())
    for key, part in schema["properties"].items():
        must = " Required." if key in required else ""
        yield f"`{key}`", _value(part), f"{part['description']}{must}"


def _value(part: dict[str, Any]) -> str:
    """A value's form, in words."""
    if "enum" in part:
        return ", ".join(f"`{json.dumps(choice)}`" for choice in part["enum"])
    if "anyOf" in part:
        return " or ".join(map(_value, part["anyOf"]))
    kind = part["type"]
    if kind == "array":
        inner = part["items"]
        return "tables" if "properties" in inner else f"list of {_value(inner)}"
    if kind == "object":
        return f"table of {_value(part['additionalProperties'])}"
    if kind == "integer" and "minimum" in part:
        return f"whole number, at least {part['minimum']}"
    return {"string": "text", "boolean": "`true` or `false`", "integer": "whole number", "number": "number"}[
        kind
    ]
