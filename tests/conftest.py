"""Options of the test run, and the machine formats' schemas."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, settings

from dlclint.engine.job import Job
from dlclint.engine.run import lint_file
from dlclint.socs import resolve_soc
from dlclint.target import DlcKind, Runtime, Target

os.environ["DLCLINT_CACHE_DIR"] = ""  # no test reads what another one left, nor the user's results
SARIF = Path(__file__).parent / "report" / "sarif-2.1.0" / "sarif-schema-2.1.0.json"
"""Source, license and hash: NOTICE.md next to it."""
FORMATS = jsonschema.FormatChecker(())

# No test depends on how busy the machine is.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


WARM = Path(__file__).parent / "fixtures" / "model" / "custom-op" / "good_relu.onnxtxt"


@pytest.fixture(scope="session", autouse=True)
def warm() -> None:
    """Read tables and import rules once: commands work in processes that are forked from this one."""
    kind = DlcKind(quantize=True, stated=True)
    for target in (Target(), Target((Runtime.HTP,), resolve_soc("SM8650"), kind)):
        lint_file(Job(WARM, target))
    lint_file(Job(WARM.with_suffix(".json"), kind="encodings", model=WARM))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-snapshots", action="store_true", help="write the snapshots again")


@FORMATS.checks("uri")
@FORMATS.checks("uri-reference")
def is_uri(value: object) -> bool:
    """The characters of RFC 3986, escapes whole."""
    return not isinstance(value, str) or bool(
        re.fullmatch(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-F]{2})*", value)
    )


@pytest.fixture(scope="session")
def validate() -> Callable[[str, Any], None]:
    """Check a parsed report against the schema of its format: json ours, sarif the official one."""
    ours = json.loads(files("dlclint_schemas").joinpath("report-v1.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(ours)
    validators = {
        "json": jsonschema.Draft202012Validator(ours),
        "sarif": jsonschema.Draft4Validator(json.loads(SARIF.read_bytes()), format_checker=FORMATS),
    }
    return lambda form, report: validators[form].validate(report)
