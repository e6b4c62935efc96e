"""`dlclint confirm` with the verdicts of an SDK.

No SDK of Qualcomm's was available: STAND_IN is a program of ours that replaces its converters. It keeps
how it was called, and says what a test gives it, of which the errors are lines from public threads.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from onnx import parser

from dlclint.cli.main import main
from dlclint.confirm.process import NotAvailable, QuestionLimits
from dlclint.confirm.sdk import cpu_library, dry_run, find_sdk

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script with a first line of POSIX")
SCHEMA = json.loads(files("dlclint_schemas").joinpath("confirm-v1.schema.json").read_text("utf-8"))
STAND_IN = """#!{python}
# A STAND-IN for a converter of Qualcomm's SDK, made by dlclint's tests. It converts nothing.
import json, os, pathlib, sys, time
root = pathlib.Path(__file__).resolve().parents[2]
names = ("PYTHONPATH", "LD_LIBRARY_PATH", "QAIRT_SDK_ROOT", "SNPE_ROOT")
record = {{"arguments": sys.argv[1:], "folder": os.getcwd(), **{{name: os.environ[name] for name in names}}}}
(root / "called.json").write_text(json.dumps(record))
answer = json.loads((root / "answer.json").read_text())
sys.stdout.write(answer.get("says", "") * answer.get("times", 1))
sys.stdout.flush()
time.sleep(answer.get("sleeps", 0))
if "signal" in answer:
    os.kill(os.getpid(), answer["signal"])
sys.exit(answer.get("status", 0))
"""
MODEL = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,8,8] x) => (float[1,3,8,8] y) {
  h = HardSigmoid(x)
  e = Erf(h)
  y = Relu(e)
}"""
HARD = (
    "KeyError: 'No translation registered for op type onnx_hardsigmoid. Op is most likely not supported by "
    "the converter.'\n"
)
ERF = "KeyError: \"Converter does not support 'Erf' op type\"\n"


def stand_in(folder: Path, name: str = "qairt-converter", **answer: object) -> Path:
    """An SDK whose converter is the stand-in, in a folder that is named like a build."""
    root = folder / "2.47.0.260515"
    tool = root / "bin" / "x86_64-linux-clang" / name
    tool.parent.mkdir(parents=True)
    tool.write_text(STAND_IN.format(python=sys.executable), "utf-8")
    tool.chmod(0o755)
    (root / "answer.json").write_text(json.dumps(answer), "utf-8")
    return root


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QAIRT_SDK_ROOT", raising=False)
    path = Path("m.onnx")
    path.write_bytes(parser.parse_model(MODEL).SerializeToString())
    return path


def asked(
    capsys: pytest.CaptureFixture[str], root: Path, *options: str, model: str = "m.onnx"
) -> tuple[int, dict[str, Any]]:
    status = main(["confirm", "--format", "json", "--sdk-root", str(root), *options, model])
    report_json = json.loads(capsys.readouterr().out)
    jsonschema.validate(report_json, SCHEMA)
    return status, report_json["files"][0]


def test_a_verdict_for_each_node(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = stand_in(tmp_path, says=f"INFO: reading\n{HARD}{ERF}", status=1)
    status, file = asked(capsys, root)
    assert status == 1
    assert [(node["op"], node["said"], node["relation"]) for node in file["nodes"]] == [
        ("HardSigmoid", "refused", "missed"),
        ("Erf", "refused", "agreed"),
        ("Relu", "unasked", "unjudged"),
    ]
    assert file["nodes"][0]["reason"] == "the converter has no translation for hardsigmoid"
    assert (file["judge"], file["backend"], file["failure"]) == ("qairt-converter", "2.47.0.260515", "")
    called = json.loads((root / "called.json").read_text("utf-8"))
    assert called["arguments"][:2] == ["--input_network", str(model.resolve())]
    assert called["arguments"][-1] == "--dry_run"
    assert called["LD_LIBRARY_PATH"].startswith(f"{root}/lib/x86_64-linux-clang")
    assert called["PYTHONPATH"].startswith(f"{root}/lib/python")
    assert called["QAIRT_SDK_ROOT"] == called["SNPE_ROOT"] == str(root)
    assert not Path(called["folder"]).exists()  # it ran in a folder of its own, which is gone
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2.47.0.260515", "m.onnx"]


def test_all_is_taken(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model.write_bytes(parser.parse_model(MODEL.replace("e = Erf(h)", "e = Tanh(h)")).SerializeToString())
    status, file = asked(capsys, stand_in(tmp_path, says="done\n"))
    assert status == 0
    assert {node["said"] for node in file["nodes"]} == {"taken"}
    assert {node["relation"] for node in file["nodes"]} == {"agreed"}


def test_an_error_of_dlclint_that_the_converter_does_not_share(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, file = asked(capsys, stand_in(tmp_path))
    assert status == 0
    assert [node["relation"] for node in file["nodes"]] == ["agreed", "false-alarm", "agreed"]
    main(["confirm", "--sdk-root", "2.47.0.260515", "m.onnx"])
    shown = capsys.readouterr().out
    assert "checked by qairt-converter 2.47.0.260515: dry run, nothing converted" in shown
    assert "dlclint says qairt-converter does not take it: ops/pattern-only (error)" in shown


@pytest.mark.parametrize(
    ("name", "options", "wanted"),
    [
        ("qairt-converter", ["-s", "n", "2"], ["--source_model_input_shape", "x", "2,3,8,8"]),
        ("snpe-onnx-to-dlc", ["-s", "n", "2"], ["-d", "x", "2,3,8,8"]),
        ("qairt-converter", ["-n", "-b", "1"], ["--onnx_skip_simplification"]),
        ("snpe-onnx-to-dlc", ["-n", "-b", "1"], ["--no_simplification"]),
    ],
)
def test_what_the_converter_gets(
    name: str,
    options: list[str],
    wanted: list[str],
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model.write_bytes(parser.parse_model(MODEL.replace("[1,3,8,8]", "[n,3,8,8]")).SerializeToString())
    root = stand_in(tmp_path, name)
    _, file = asked(capsys, root, *options)
    assert file["judge"] == name
    words = json.loads((root / "called.json").read_text("utf-8"))["arguments"]
    assert " ".join(wanted) in " ".join(words)


def test_the_environment_names_it(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["confirm", "--judge", "converter", "m.onnx"]) == 2
    assert "give the SDK's folder by --sdk-root or QAIRT_SDK_ROOT" in capsys.readouterr().err
    monkeypatch.setenv("QAIRT_SDK_ROOT", str(stand_in(tmp_path)))
    assert main(["confirm", "--judge", "converter", "m.onnx"]) == 0


@pytest.mark.parametrize(
    ("answer", "options", "status", "says"),
    [
        ({"status": 3, "says": "\x1b[31mModuleNotFoundError: no yaml\n"}, [], 2, "ended with status 3: "),
        ({"status": 5}, [], 2, "ended with status 5: it says nothing"),
        ({"sleeps": 60}, ["--timeout", "0.5"], 2, "qairt-converter took longer than 0.5 s"),
        ({"says": "x" * 1023 + "\n", "times": 5000}, [], 2, "qairt-converter printed more than 4 MiB"),
        ({"says": "\x00\x01\x02\n"}, [], 2, "qairt-converter wrote binary output"),
        ({"signal": 9}, [], 2, "qairt-converter was ended by signal 9: it says nothing"),
    ],
)
def test_what_goes_wrong_is_one_line(
    answer: dict[str, object],
    options: list[str],
    status: int,
    says: str,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    count, file = asked(capsys, stand_in(tmp_path, **answer), *options)
    assert count == status
    assert says in f"{file['failure']}{file['stopped']}"
    assert {node["said"] for node in file["nodes"]} <= {"unasked", "taken"}
    assert "\x1b" not in json.dumps(file, ensure_ascii=False)


def test_no_sdk(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for root, says in (
        (tmp_path / "nowhere", "not a folder; give that of an unpacked SDK"),
        (tmp_path, "neither qairt-converter nor snpe-onnx-to-dlc lies under bin"),
    ):
        assert main(["confirm", "--sdk-root", str(root), "m.onnx"]) == 2
        shown = capsys.readouterr().err
        assert says in shown
        assert shown.count("\n") == 1
    assert main(["confirm", "--sdk-root", str(stand_in(tmp_path)), "--dlc", "o.dlc", "m.onnx"]) == 2
    assert "--dlc" in capsys.readouterr().err


def test_a_folder_near_an_sdk_is_shown_the_sdk(tmp_path: Path) -> None:
    root = stand_in(tmp_path / "qairt").resolve()
    for near in (tmp_path, tmp_path / "qairt", root / "bin", root / "bin" / "x86_64-linux-clang"):
        with pytest.raises(NotAvailable, match=re.escape(f"; give {root}")):
            find_sdk(near)
    (tmp_path / "other").mkdir()
    with pytest.raises(NotAvailable, match="give the folder of an unpacked SDK"):
        find_sdk(tmp_path / "other")


@pytest.mark.parametrize(
    ("name", "build"),
    [("2.47.0.260515", "2.47.0.260515"), ("snpe-1.68.0.3932", "1.68.0.3932"), ("qairt", "")],
)
def test_the_build_is_that_of_the_folder(name: str, build: str, tmp_path: Path) -> None:
    root = stand_in(tmp_path, "snpe-onnx-to-dlc").rename(tmp_path / name)
    assert find_sdk(root).build == build


def test_a_converter_whose_interpreter_is_missing(tmp_path: Path) -> None:
    root = stand_in(tmp_path)
    (root / "bin" / "x86_64-linux-clang" / "qairt-converter").write_text("#!/nowhere/python3.10 -s\n")
    with pytest.raises(
        NotAvailable, match=r"its first line names '/nowhere/python3\.10 -s', which this machine"
    ):
        dry_run(find_sdk(root), tmp_path / "m.onnx", [], tmp_path, QuestionLimits(5.0))


def test_a_file_that_is_not_a_program(tmp_path: Path) -> None:
    root = stand_in(tmp_path)
    (root / "bin" / "x86_64-linux-clang" / "qairt-converter").write_bytes(b"\x7fELF damaged")
    with pytest.raises(NotAvailable, match="cannot be started"):
        dry_run(find_sdk(root), tmp_path / "m.onnx", [], tmp_path, QuestionLimits(5.0))


def test_the_cpu_backend_of_the_sdk(tmp_path: Path) -> None:
    """Found for this machine's kind; asking it needs the library itself, which no test has."""
    with pytest.raises(NotAvailable, match=r"no libQnnCpu\.so lies under lib"):
        cpu_library(tmp_path)
    for target in ("aarch64-android", "x86_64-linux-clang"):
        path = tmp_path / "lib" / target / "libQnnCpu.so"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    assert cpu_library(tmp_path).parent.name == "x86_64-linux-clang"


@pytest.mark.parametrize(
    ("library", "says"), [("", "file too short"), ("libm.so.6", "QNN providers"), ("libQnnIr.so", "")]
)
def test_asking_a_cpu_backend(
    library: str, says: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No CPU backend is public, so another backend of Qualcomm's package replaces one that works."""
    package = pytest.importorskip("onnxruntime_qnn")
    model.write_bytes(parser.parse_model(MODEL.replace("e = Erf(h)", "e = Tanh(h)")).SerializeToString())
    path = tmp_path / "lib" / "x86_64-linux-clang" / "libQnnCpu.so"
    path.parent.mkdir(parents=True)
    if library == "libQnnIr.so":
        (library_file,) = Path(package.__file__).parent.rglob(library)
        path.symlink_to(library_file)
    elif library:
        shutil.copy(next(Path("/lib").rglob(library)), path)
    else:
        path.write_bytes(b"")
    status, file = asked(capsys, tmp_path, "--judge", "cpu")
    assert says in file["unasked"]
    assert status == (2 if says else 0)
    assert bool(says) == file["unasked"].startswith("the backend cannot be loaded: ")
    assert {node["said"] for node in file["nodes"]} == (set() if says else {"taken"})
