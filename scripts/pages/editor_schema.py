"""One JSON Schema for override files of every layout, for editors: the three published ones joined.

Readers ignore unknown keys, so the published schemas allow any further key. An editor should report a
misspelled one, so here the objects take only the keys of the layout.
"""

from __future__ import annotations

import json
from importlib.resources import files as resources
from typing import Any

LAYOUTS = ("legacy", "1.0.0", "2.0.0")
NAME = "schemas/dlclint_schemas/encodings.schema.json"


def files() -> dict[str, str]:
    """The schema, whole."""
    definitions: dict[str, Any] = {}
    for layout in LAYOUTS:
        text = resources("dlclint_schemas").joinpath(f"encodings-{layout}.schema.json").read_text("utf-8")
        whole = json.loads(text)
        prefix = layout.partition(".")[0]
        definitions |= {
            f"{prefix}-{name}": definition
            for name, definition in _renamed(whole.pop("$defs"), prefix).items()
        }
        for key in ("$schema", "$id"):
            whole.pop(key)
        definitions[prefix] = _renamed(whole, prefix)
    is_list = {"type": "array"}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:dlclint:schema:encodings",
        "title": "Quantization overrides for SNPE and QAIRT, as AIMET writes them",
        "description": "Made by scripts/generate.py from the schemas of the layouts 0.6.1, 1.0.0 and 2.0.0.",
        "type": "object",
        "if": {"required": ["encodings"]},
        "then": {"$ref": "#/$defs/2"},
        "else": {
            "if": {
                "anyOf": [
                    {"properties": {name: is_list}, "required": [name]}
                    for name in ("activation_encodings", "param_encodings")
                ]
            },
            "then": {"$ref": "#/$defs/1"},
            "else": {"$ref": "#/$defs/legacy"},
        },
        "$defs": {name: _closed(definition) for name, definition in definitions.items()},
    }
    return {NAME: json.dumps(schema, indent=2) + "\n"}


def _renamed(node: Any, prefix: str) -> Any:
    """A schema whose references point to the definitions of one layout."""
    if isinstance(node, dict):
        return {
            key: value.replace("#/$defs/", f"#/$defs/{prefix}-") if key == "$ref" else _renamed(value, prefix)
            for key, value in node.items()
        }
    return [_renamed(element, prefix) for element in node] if isinstance(node, list) else node


def _closed(definition: dict[str, Any]) -> dict[str, Any]:
    """A definition of an object that has keys, restricted to those keys."""
    keys = _keys(definition)
    if definition.get("type") != "object" or not keys or "additionalProperties" in definition:
        return definition
    # Keys that only a condition names belong to the object too.
    named = dict.fromkeys(sorted(keys - definition.get("properties", {}).keys()), True)
    return {
        **definition,
        "properties": {**definition.get("properties", {}), **named},
        "additionalProperties": False,
    }


def _keys(node: Any) -> set[str]:
    """The keys of the object itself that a schema and its conditions name."""
    if isinstance(node, list):
        return set().union(*map(_keys, node)) if node else set()
    if not isinstance(node, dict):
        return set()
    keys = set(node.get("properties", {}))
    for part in ("allOf", "anyOf", "oneOf", "if", "then", "else"):
        keys |= _keys(node.get(part, []))
    return keys
