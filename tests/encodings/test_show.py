"""The table of a file, and the differences of two, whatever their formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dlclint.cli.main import main

INT = {"bitwidth": 8, "dtype": "int", "is_symmetric": "False", "max": 1.28, "min": -1.27}
SYM = {"bitwidth": 4, "dtype": "int", "is_symmetric": "True"}
LEGACY: dict[str, Any] = {
    "activation_encodings": {
        "/a/Conv_output_0": [{**INT, "offset": -127, "scale": 0.01}],
        "y": [{"bitwidth": 16, "dtype": "float"}],
    },
    "param_encodings": {
        "w": [
            {**SYM, "max": 0.7, "min": -0.8, "offset": -8, "scale": 0.1},
            {**SYM, "max": 1.4, "min": -1.6, "offset": -8, "scale": 0.2},
        ],
        "\u001b[31mb": [{"bitwidth": 32, "dtype": "int"}],
    },
    "version": "0.6.1",
}
FLAT = {
    "encodings": [
        {"name": "w", "output_dtype": "int4", "y_scale": [0.1, 0.2], "axis": 0},
        {"name": "/a/Conv_output_0", "output_dtype": "uint8", "y_scale": 0.02, "y_zero_point": 127},
        {"name": "new", "output_dtype": "int8", "y_scale": 0.5},
    ],
    "version": "2.0.0",
}
TABLE = r"""
tensor            section     type     elements  symmetric  min         max       scale     offset
/a/Conv_output_0  activation  int8     1         no         -1.27       1.28      0.01      -127
y                 activation  float16  1         -          -           -         -         -
w                 param       int4     2         yes        -1.6..-0.8  0.7..1.4  0.1..0.2  -8
\x1b[31mb         param       int32    1         -          -           -         -         -
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.encodings").write_text(json.dumps(LEGACY))
    Path("b.encodings").write_text(json.dumps(FLAT))


@pytest.mark.usefixtures("files")
def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encodings", "show", "a.encodings"]) == 0
    assert capsys.readouterr().out == TABLE.lstrip()
    assert main(["encodings", "show", "a.encodings", "--tensor", "/a/*"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "tensor",
        "/a/Conv_output_0",
    ]


@pytest.mark.usefixtures("files")
def test_diff(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encodings", "diff", "a.encodings", "a.encodings"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["encodings", "diff", "a.encodings", "b.encodings"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "- y",
        r"- \x1b[31mb",
        "+ new",
        "~ /a/Conv_output_0: scale 0.01 -> 0.02, minimum -1.27 -> -2.54, maximum 1.28 -> 2.56",
    ]
