"""`dlclint fix MODEL`: what it prints, writes and refuses."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from dlclint.cli.main import main
from dlclint.diagnostic import Safety, Severity, Source
from dlclint.engine.fix import model as fixing
from dlclint.fix import Fix
from dlclint.model.constants import add_constant
from dlclint.rule import Finding, ModelContext, Rule, Subject
from dlclint.verify import ComparisonResult, Difference, Verification

GEMM = """<ir_version: 8, opset_import: ["" : 13]>
g (float[1,3] x, float[1,3] unused) => (float[1,4] y)
<float[3,4] w = {1,2,3,4,5,6,7,8,9,10,11,12}> { y = Gemm(x, w) }"""
DROPOUT = """<ir_version: 8, opset_import: ["" : 12]>
g (float[1,3] x) => (float[1,3] y) <float r = {0.5}, bool t = {1}> { y = Dropout(x, r, t) }"""
INVALID = """<ir_version: 8, opset_import: ["" : 13]>
g (float[1,3] x, float[1,3] unused) => (float[1,3] y) { y = Relu(x, x) }"""


def save(path: Path, text: str = GEMM) -> Path:
    path.write_bytes(parser.parse_model(text).SerializeToString())
    return path


def run(*arguments: object) -> int:
    return main(["fix", "--isolated", *map(str, arguments)])


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nothing_is_written_unless_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save(tmp_path / "m.onnx")
    before = model.read_bytes()
    assert run(model) == 0
    output = capsys.readouterr().out
    assert "fixed ops/pattern-only: transpose the weight, as Gemm is documented" in output
    assert "fixed model/unused-input: remove 'unused' from the inputs" in output
    assert "wrote nothing; give -o OUT.onnx or --in-place" in output
    assert model.read_bytes() == before
    assert files_in(tmp_path) == ["m.onnx"]


def test_in_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save(tmp_path / "m.onnx")
    assert run(model, "--in-place", "--exit-non-zero-on-fix") == 1
    output = capsys.readouterr().out
    assert "before 0 errors, 0 warnings, 2 notes; after 0 errors, 0 warnings, 0 notes" in output
    assert "verified with ONNX Runtime on 2 random inputs: outputs agree" in output
    graph = onnx.load(model).graph
    assert [value.name for value in graph.input] == ["x"]
    whole = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
    assert np.array_equal(numpy_helper.to_array(graph.initializer[0]), whole.T)
    after = model.read_bytes()
    assert run(model, "--in-place", "--exit-non-zero-on-fix") == 0
    assert "nothing to fix" in capsys.readouterr().out
    assert model.read_bytes() == after


def test_select_and_ignore(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save(tmp_path / "m.onnx")
    run(model, "--select", "model")
    assert "pattern-only" not in capsys.readouterr().out
    run(model, "--ignore", "model/unused-input")
    assert "unused-input" not in capsys.readouterr().out


def test_diff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save(tmp_path / "m.onnx")
    assert run(model, "--diff") == 0
    output = capsys.readouterr()
    assert "-input unused: float[1,3]\n" in output.out
    assert "-initializer w: float[3,4]\n" in output.out
    assert "+initializer w: float[4,3]\n" in output.out
    assert "-y = Gemm(x, w)\n" in output.out
    assert "+y = Gemm <transB = 1>(x, w)\n" in output.out
    assert "fixed ops/pattern-only" in output.err
    assert files_in(tmp_path) == ["m.onnx"]


@pytest.mark.parametrize("arguments", [[], ["-o", "out.onnx"], ["--unsafe", "--diff"]])
@pytest.mark.parametrize("text", [GEMM, DROPOUT])
def test_json(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("m.onnx"), text)
    run("m.onnx", "--format", "json", *arguments)
    report = json.loads(capsys.readouterr().out)
    schema = json.loads(files("dlclint_schemas").joinpath("fix-v1.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(report, schema)
    if text is GEMM:
        edits = [edit["kind"] for fix in report["mended"] for edit in fix["edits"]]
        assert sorted(edits) == ["put-initializer", "remove-input", "set-attribute"]
    else:
        assert len(report["possible"]) == (0 if "--unsafe" in arguments else 1)


def test_unsafe_only_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save(tmp_path / "m.onnx", DROPOUT)
    assert run(model, "--in-place") == 1  # the error is left
    output = capsys.readouterr().out
    assert "with --unsafe ops/attribute: run Dropout in inference mode" in output
    assert run(model, "--in-place", "--unsafe") == 0
    assert "fixed (unsafe) ops/attribute" in capsys.readouterr().out
    assert not onnx.load(model).graph.initializer[1:]


def test_differing_safe_fix_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    proof = Verification(
        ComparisonResult.DIFFERENT,
        "output 'y' differs by 0.5 of its size",
        (Difference("y", 1, 0.5, 1e-4),),
        2,
    )
    monkeypatch.setattr("dlclint.engine.fix.proof.verify", lambda *_, **__: proof)
    model = save(tmp_path / "m.onnx")
    before = model.read_bytes()
    assert run(model, "--in-place") == 0  # no error is left in the model, and it is as it was
    output = capsys.readouterr().out
    assert "  fixed nothing\n" in output
    for rule in ("model/unused-input", "ops/pattern-only"):
        assert f"  left out {rule}: with its fixes the model does not compute the same (output 'y'" in output
    assert "--no-verify fixes anyway" in output
    assert model.read_bytes() == before
    assert run(model, "-o", tmp_path / "out.onnx") == 0
    assert "out.onnx, a copy of the file as it was" in capsys.readouterr().out
    assert (tmp_path / "out.onnx").read_bytes() == before
    (tmp_path / "out.onnx").unlink()
    open_text = '<ir_version: 8, opset_import: ["" : 17]> g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }'
    model = save(tmp_path / "m.onnx", open_text)
    assert run(model, "--dims", "N=2", "--in-place") == 2
    error = capsys.readouterr().err
    assert f"{model}: with the given dimensions it computes something else (output 'y' differs" in error
    assert error.count("\n") == 1 and files_in(tmp_path) == ["m.onnx"]
    assert run(model, "--in-place", "--no-verify") == 0
    assert "not verified: not asked for (--no-verify)" in capsys.readouterr().out


def test_rule_to_blame_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def transposed_is_wrong(original: Path, changed: Path, **_: object) -> Verification:
        if onnx.load(changed).graph.node[0].attribute:
            return Verification(ComparisonResult.DIFFERENT, "output 'y' differs", runs=2)
        return Verification(ComparisonResult.EQUAL, runs=2)

    monkeypatch.setattr("dlclint.engine.fix.proof.verify", transposed_is_wrong)
    model = save(tmp_path / "m.onnx")
    assert run(model, "--in-place") == 0
    output = capsys.readouterr().out
    assert "left out ops/pattern-only: with its fixes the model does not compute the same" in output
    assert "fixed model/unused-input" in output
    graph = onnx.load(model).graph
    assert [value.name for value in graph.input] == ["x"]
    assert not graph.node[0].attribute
    assert files_in(tmp_path) == ["m.onnx"]


def test_without_onnxruntime(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlclint.engine.fix.proof.is_available", lambda: False)
    monkeypatch.setattr("dlclint.verify.is_available", lambda: False)
    model = save(tmp_path / "m.onnx")
    assert run(model, "-o", tmp_path / "out.onnx") == 0
    assert "not verified: ONNX Runtime is not installed" in capsys.readouterr().out
    assert run(model, "-o", tmp_path / "other.onnx", "--verify") == 2
    assert "cannot be verified: ONNX Runtime is not installed" in capsys.readouterr().err
    assert files_in(tmp_path) == ["m.onnx", "out.onnx"]


def read_only(folder: Path) -> None:
    folder.chmod(0o555)


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        (GEMM, ["-o", "absent/out.onnx"], "cannot write absent/out.onnx: No such file or directory"),
        (GEMM, ["-o", "out.txt"], "models are written as .onnx"),
        (GEMM, ["--dims", "x"], "give NAME=DIMS"),
        (GEMM, ["--dims", "x=1,0"], "'0' is not a dimension"),
        (
            GEMM,
            ["--dims", "z=1,3"],
            "not an input or symbol of the model; its inputs are x, unused",
        ),
        (GEMM, ["-d", "z", "1,3"], "--input-dim names 'z', which is not an input of the model"),
        (GEMM, ["-s", "N", "1"], "--define-symbol names 'N', which is not a dimension of any input"),
        (GEMM, ["--dims", "x=1,3,4"], "input 'x' has 2 dimensions, 3 are given"),
        (GEMM, ["--dims", "x=1,5", "-o", "out.onnx"], "the model would not be sound"),
        (GEMM, ["--select", "opps"], "did you mean ops?"),
        (INVALID, ["-o", "out.onnx"], "the model is not sound, and no fix makes it so"),
    ],
)
def test_refusals(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    arguments: list[str],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = save(Path("m.onnx"), text).read_bytes()
    assert run("m.onnx", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("dlclint: error: ")
    assert error.count("\n") == 1
    assert expected in error
    assert Path("m.onnx").read_bytes() == before
    assert files_in(tmp_path) == ["m.onnx"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into read-only folders")
def test_read_only_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save(tmp_path / "m.onnx")
    tmp_path.chmod(0o555)
    try:
        assert run(model, "--in-place") == 2
    finally:
        tmp_path.chmod(0o755)
    assert "cannot write" in capsys.readouterr().err


def test_folder_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("dlclint.writing.tempfile.mkstemp", refuse)
    model = save(tmp_path / "m.onnx")
    before = model.read_bytes()
    assert run(model, "--in-place") == 2
    assert f"cannot write {model}: Permission denied" in capsys.readouterr().err
    assert model.read_bytes() == before


def test_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = parser.parse_model(GEMM)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(100_000, np.float32), "large"))
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    before = path.read_bytes()
    resource = pytest.importorskip("resource", reason="Windows limits no file sizes")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
    try:
        assert run(path, "--in-place", "--select", "model/unused-input") == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert "File too large" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert files_in(tmp_path) == ["m.onnx"]


def test_output_is_the_input(tmp_path: Path) -> None:
    model = save(tmp_path / "m.onnx")
    before = model.read_bytes()
    assert run(model, "-o", model) == 2  # --in-place says that it is meant
    assert model.read_bytes() == before
    assert run(model, "-o", model, "--overwrite") == 0
    assert [value.name for value in onnx.load(model).graph.input] == ["x"]


def test_fix_that_breaks_the_model_is_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints = fixing.soundness_complaints

    def complain(draft: fixing.Draft) -> frozenset[str]:
        more = {"shape inference: no"} if draft.proto.graph.node[0].attribute else set[str]()
        return complaints(draft) | more

    monkeypatch.setattr(fixing, "soundness_complaints", complain)
    model = save(tmp_path / "m.onnx")
    assert run(model, "--in-place") == 0
    output = capsys.readouterr().out
    assert "fixed model/unused-input" in output
    assert "not fixed ops/pattern-only" in output
    assert "its result would not be sound: shape inference: no" in output
    assert not onnx.load(model).graph.node[0].attribute


def test_fix_that_does_not_help_is_given_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fix whose finding comes back is made three times, and the finding is then left with that reason."""

    def stubborn(context: ModelContext) -> Iterator[Finding]:
        graph = context.view.model.graph
        number = len(graph.initializers)
        edit = add_constant(graph, f"spare{number}", np.zeros(1, np.float32))
        fix = Fix("add a constant", Safety.SAFE, lambda: (edit,))
        source = Source("a test", "row")
        yield Finding("it is always there", Severity.INFO, source, help="nothing", fix=fix)

    rule = Rule("odd/stubborn", Subject.MODEL, stubborn, "Stubborn.", frozenset({Safety.SAFE}))
    monkeypatch.setattr(fixing, "chosen_rules", lambda *_: (rule,))
    monkeypatch.setattr("dlclint.cli.fix.rules_of_jobs", lambda *_: (rule,))
    model = save(tmp_path / "m.onnx")
    assert run(model, "--in-place", "--format", "json") == 0
    report = json.loads(capsys.readouterr().out)
    assert json.dumps(report).count("it was made 3 times and the finding remains") == 1
    assert [finding["rule"] for finding in report["mended"]] == ["odd/stubborn"] * 3


OPEN = """<ir_version: 8, opset_import: ["" : 13]>
g (float[N,3,4,C] x, float[N,8] z) => (float[N,3,4,C] y, float[N,8] w) { y = Relu(x)
 w = Relu(z) }"""


def input_dims(path: Path) -> dict[str, list[int | str]]:
    return {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in onnx.load(path).graph.input
    }


@pytest.mark.parametrize(
    ("options", "config", "expected"),
    [
        (["-d", "x", "1,3,4,5"], "", {"x": [1, 3, 4, 5], "z": [1, 8]}),
        (["-s", "N", "2", "--define-symbol", "C", "5"], "", {"x": [2, 3, 4, 5], "z": [2, 8]}),
        (["-b", "2"], "", {"x": [2, 3, 4, "C"], "z": [2, 8]}),
        (["--dims", "x=2,3,4,5"], "", {"x": [2, 3, 4, 5], "z": [2, 8]}),
        (["--dims", "N=2", "--dims", "C=5"], "", {"x": [2, 3, 4, 5], "z": [2, 8]}),
        ([], "input-dim = { x = [1, 3, 4, 5] }", {"x": [1, 3, 4, 5], "z": [1, 8]}),
        ([], "define-symbol = { C = 5 }\nbatch = 2", {"x": [2, 3, 4, 5], "z": [2, 8]}),
        (["-b", "4"], "define-symbol = { C = 5 }\nbatch = 2", {"x": [4, 3, 4, 5], "z": [4, 8]}),
        (["--isolated"], "batch = 2", {"x": ["N", 3, 4, "C"], "z": ["N", 8]}),
    ],
)
def test_dimensions(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    config: str,
    expected: dict[str, list[int | str]],
) -> None:
    """Those of the options and of the configuration are written into the model."""
    monkeypatch.chdir(tmp_path)
    save(Path("m.onnx"), OPEN)
    if config:
        Path("dlclint.toml").write_text(f'[[models]]\npath = "m.onnx"\n{config}\n')
    main(["fix", "m.onnx", "-o", "out.onnx", "--select", "model", *options])
    assert input_dims(Path("out.onnx")) == expected
    assert ("fixed config/given-dimensions" in capsys.readouterr().out) == ("N" not in expected["z"])


def test_a_model_without_a_named_input_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("a.onnx"))
    save(Path("b.onnx"), OPEN)
    assert run("a.onnx", "b.onnx", "--in-place", "-d", "z", "1,8", "-s", "C", "5") == 0
    output = capsys.readouterr()
    assert "note: --input-dim names 'z', which is not an input of the model" in output.out
    assert output.err == ""
    assert input_dims(Path("b.onnx")) == {"x": [1, 3, 4, 5], "z": [1, 8]}
    assert input_dims(Path("a.onnx")) == {"x": [1, 3]}
    assert run("a.onnx", "b.onnx", "--in-place", "-d", "absent", "1,8") == 2
    assert "names 'absent', which is an input of none of the 2 models" in capsys.readouterr().err


def test_a_model_that_cannot_be_fixed_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("a.onnx"), INVALID)
    Path("b.onnx").write_bytes(b"no model")
    save(Path("c.onnx"))
    assert run("a.onnx", "b.onnx", "c.onnx", "--in-place") == 2
    output = capsys.readouterr()
    assert output.err.splitlines()[0].startswith("dlclint: error: a.onnx: the model is not sound")
    assert output.err.splitlines()[1].startswith("dlclint: error: b.onnx: ")
    assert len(output.err.splitlines()) == 2
    assert input_dims(Path("c.onnx")) == {"x": [1, 3]}


@pytest.mark.parametrize("command", ["check", "plan", "equalize", "confirm", "fix"])
def test_dimensions_have_the_same_options_everywhere(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    # Since Python 3.13 the metavariables stand once, after the last name.
    for short, long, values in (
        ("-d", "--input-dim", "NAME DIMS"),
        ("-s", "--define-symbol", "SYMBOL VALUE"),
        ("-b", "--batch", "N"),
    ):
        assert re.search(rf"{short}( {values})?, {long}(, --\w+)? {values}", shown)
    assert "--batch N batch of every input" in shown
    assert "--dims" not in shown
