"""The one schema for editors: no error in good files of any layout, and misspelled keys found.

`vscode-json-languageservice` is VS Code's own checker; its tests skip where npm is absent or offline.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from npm import installed

HERE = Path(__file__).parent
FIXTURES = HERE.parent / "fixtures"
SAMPLES = HERE.parent.parent.parent / "shared" / "samples" / "encodings"
PACKAGE = "vscode-json-languageservice@5"
GOOD = sorted(
    path for path in FIXTURES.glob("*/*/good*.json") if path.parts[-3] in ("encodings", "precision")
)
LEGACY = {
    "version": "0.6.1",
    "activation_encodings": {},
    "param_encodings": {
        "w": [
            {
                "bitwidth": 8,
                "dtype": "int",
                "is_symmetric": "True",
                "min": -1,
                "max": 1,
                "scale": 0.1,
                "offset": -128,
            }
        ]
    },
}
LIST = {
    "version": "1.0.0",
    "activation_encodings": [],
    "param_encodings": [
        {
            "name": "w",
            "dtype": "INT",
            "bw": 8,
            "enc_type": "PER_TENSOR",
            "is_sym": True,
            "scale": [0.1],
            "offset": [-128],
        }
    ],
}
FLAT = {"version": "2.0.0", "encodings": [{"name": "w", "output_dtype": "int8", "y_scale": 0.1}]}


@pytest.fixture(scope="module")
def schema() -> Any:
    return json.loads(files("dlclint_schemas").joinpath("encodings.schema.json").read_text("utf-8"))


def renamed(value: Any, old: str, new: str) -> Any:
    return json.loads(json.dumps(value).replace(f'"{old}"', f'"{new}"'))


MISSPELLED = [
    renamed(LEGACY, "bitwidth", "bitwith"),
    renamed(LEGACY, "is_symmetric", "is_symetric"),
    renamed(LEGACY, "param_encodings", "parameter_encodings"),
    renamed(LIST, "bw", "bitwidth"),
    renamed(LIST, "enc_type", "encoding_type"),
    renamed(FLAT, "y_scale", "scale"),
    renamed(FLAT, "version", "versoin"),
]


def test_good_files_have_no_error(schema: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert len(GOOD) > 20
    for value in (LEGACY, LIST, FLAT, *(json.loads(path.read_text("utf-8")) for path in GOOD)):
        closed = [
            error for error in validator.iter_errors(value) if error.validator == "additionalProperties"
        ]
        assert not closed, value
    for value in (LEGACY, LIST, FLAT):
        assert list(validator.iter_errors(value)) == []


@pytest.mark.parametrize("value", MISSPELLED)
def test_misspelled_keys_are_found(schema: Any, value: Any) -> None:
    assert not jsonschema.Draft202012Validator(schema).is_valid(value)


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of VS Code's checker, installed from the npm registry."""
    folder = installed(tmp_path_factory.mktemp("checker"), PACKAGE, "VS Code's own checker", 120)
    shutil.copy(HERE / "validate.mjs", folder)
    return folder


def test_as_vs_code_sees_them(checker: Path, tmp_path: Path, schema: Any) -> None:
    written = tmp_path / "schema.json"
    written.write_text(json.dumps(schema), "utf-8")
    good, bad = [], []
    for index, value in enumerate((LEGACY, LIST, FLAT)):
        good.append(tmp_path / f"good{index}.encodings")
        good[-1].write_text(json.dumps(value), "utf-8")
    for index, value in enumerate(MISSPELLED):
        bad.append(tmp_path / f"bad{index}.encodings")
        bad[-1].write_text(json.dumps(value), "utf-8")
    if SAMPLES.is_dir():
        good += sorted(SAMPLES.glob("*.encodings"))
    line = ["node", "validate.mjs", str(written), *map(str, good + bad)]
    done = subprocess.run(line, cwd=checker, capture_output=True, text=True, check=True)
    data = json.loads(done.stdout)
    assert {path.name: data[str(path)] for path in good} == {path.name: [] for path in good}
    assert all(data[str(path)] for path in bad)
