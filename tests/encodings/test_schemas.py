"""The published JSON Schemas take every good file of their layout and refuse broken ones."""

from __future__ import annotations

import copy
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

TESTS = Path(__file__).parent.parent
FIXTURES = TESTS / "fixtures"
SAMPLES = TESTS.parent.parent / "shared" / "samples" / "encodings"
IDS = {
    "legacy": "urn:dlclint:schema:encodings-legacy",
    "1.0.0": "urn:dlclint:schema:encodings-1.0.0",
    "2.0.0": "urn:dlclint:schema:encodings-2.0.0",
}
LAYOUT = {"0.4.0": "legacy", "0.5.0": "legacy", "0.6.1": "legacy", "2.1.0": "2.0.0"}
GOOD = sorted(
    path for path in FIXTURES.glob("*/*/good*.json") if path.parts[-3] in ("encodings", "precision")
)
BROKEN = sorted(
    path
    for rule in ("missing-section", "missing-field", "field-type", "dtype", "float-with-range")
    for path in (FIXTURES / "encodings" / rule).glob("bad*.json")
)
BEYOND = {
    "bad_lengths.json",
    "bad_nested_blocks.json",
    "bad_no_range.json",
    "bad_too_large.json",
    "bad_scale_of_scale.json",
    "bad_type.json",
}
"""Broken in a way that readers survive, or that a schema cannot say."""


def validator(layout: str) -> Any:
    text = files("dlclint_schemas").joinpath(f"encodings-{layout}.schema.json").read_text("utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))


def complaints(value: Any) -> list[str]:
    """What the schema of the file's shape says against it."""
    version = value.get("version", "0.4.0")
    if "encodings" in value:
        version = "2.0.0"
    elif isinstance(value.get("param_encodings", value.get("activation_encodings")), list):
        version = "1.0.0"
    return [error.message for error in validator(LAYOUT.get(version, version)).iter_errors(value)]


@pytest.mark.parametrize("layout", IDS)
def test_schema_is_valid_and_has_its_id(layout: str) -> None:
    schema = validator(layout).schema
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == IDS[layout]
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("path", GOOD, ids=lambda path: "/".join(path.parts[-2:]))
def test_good_fixtures(path: Path) -> None:
    assert complaints(json.loads(path.read_text("utf-8"))) == []


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: "/".join(path.parts[-2:]))
def test_broken_fixtures(path: Path) -> None:
    assert bool(complaints(json.loads(path.read_text("utf-8")))) == (path.name not in BEYOND)


@pytest.mark.parametrize(
    "name",
    [
        *("rfb320_w16a16_v79_1.0.0.encodings", "yunet_n_w8a16_v73_0.6.1.encodings"),
        *("yunet_n_w8a16_v73_2.0.0.encodings", "fastforward_legacy.json", "fastforward_v1.json"),
        *("fastforward_v1_perblock.json", "fastforward_v2.json", "fastforward_v2_perblock_3d.json"),
        *("aimet_pr_3901_nulls_before.json", "aimet_pr_3901_nulls_after.json", "v2_uint16_zp.json"),
        *("perchannel_v2_axis1.json", "luxonis_bitwidth_only.json", "powerserve_w4a16_bitwidth_only.json"),
    ],
)
def test_genuine_files(name: str) -> None:
    if not SAMPLES.is_dir():
        pytest.skip("no samples beside this checkout")
    value = json.loads((SAMPLES / name).read_text("utf-8"))
    assert complaints(value) == []
    for section, entries in value.items():
        if section.endswith("encodings") and entries:
            broken = copy.deepcopy(value)
            held = broken[section]
            first = held[next(iter(held))] if isinstance(held, dict) else held
            first[0] = None
            assert complaints(broken)


def test_the_editors_page_names_every_schema() -> None:
    page = TESTS.parent.joinpath("docs", "editors.md").read_text("utf-8")
    for layout in IDS:
        assert f"encodings-{layout}.schema.json" in page


@pytest.mark.parametrize(
    ("entry", "taken"),
    [
        ({"output_dtype": "int2", "y_scale": [0.1, 0.2], "y_zero_point": [-0.5, -0.5], "axis": 0}, True),
        ({"output_dtype": "int4", "y_scale": 0.1, "y_zero_point": -0.5}, False),
        ({"output_dtype": "float8e4m3fn", "y_scale": [0.1, 0.2], "axis": 0}, True),
        ({"output_dtype": "int4", "y_scale": {"x": [[3, 5]], "x_scale": [0.1], "axis": 0}, "axis": 1}, True),
        ({"output_dtype": "int4", "y_scale": {"x_scale": 0.1}, "axis": 1, "block_size": 4}, False),
    ],
)
def test_small_types_and_quantized_scales(entry: dict[str, Any], taken: bool) -> None:
    value = {"encodings": [{"name": "w", **entry}], "version": "2.1.0"}
    assert (not complaints(value)) == taken
