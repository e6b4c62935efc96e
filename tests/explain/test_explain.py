"""`dlclint explain`: every message of the catalog on its own text, whole reports, models, bad input."""

from __future__ import annotations

import io
import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import parser

from dlclint.cli.main import main
from dlclint.engine.registry import all_rules
from dlclint.explain.model import Explained
from dlclint.explain.places import located
from dlclint.explain.reading import explain_lines
from dlclint.model.reading import read
from dlclint_schemas.log_messages import log_messages

HERE = Path(__file__).parent
SNAPSHOT = HERE / "report.txt"
MODEL = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,8,8] x, float[3] s) => (float[1,3,8,8] y) {
  n = InstanceNormalization(x, s, s)
  t = Tanh(n)
  y = Relu(t)
}"""
LOG = """loading
[ERROR]QnnDsp <E> [4294967295] has incorrect Value 68, expected >= 73.
[ERROR]QnnDsp <E> QnnBackend_validateOpConfig failed 3110
[ERROR]QnnDsp <E> Failed to validate op /blocks/norm with error 0xc26
WARNING_OP_VERSION_NOT_SUPPORTED: Operation Relu Not Supported. Expected operator version: [1, 6], instead \
got version: [14]
WARNING_OP_VERSION_NOT_SUPPORTED: Operation Relu Not Supported. Expected operator version: [1, 6], instead \
got version: [14]
\x1b[31mFailed to finalize graph (id: 1) with err 1002\x1b[0m
done
"""


def examples() -> list[tuple[str, str, dict[str, str]]]:
    rows = []
    for line in (HERE / "examples.txt").read_text("utf-8").splitlines():
        id, text, groups = (part.strip() for part in line.split("|"))
        rows.append((id, text, dict(pair.split("=", 1) for pair in groups.split())))
    return rows


@pytest.mark.parametrize(("id", "text", "groups"), examples())
def test_each_message_is_recognized(id: str, text: str, groups: dict[str, str]) -> None:
    explained = {
        finding.message.id: finding for finding in explain_lines([f"2026-01-01 12:00:00 - ERROR - {text}"])
    }
    assert id in explained
    parts = {name: value.replace(" ", "") for name, value in explained[id].groups.items()}
    for name, value in groups.items():
        assert parts[name].startswith(value), parts
    assert "{" not in explained[id].says


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-29 20:15:02,123 - 240 - ERROR - {}",
        "     12.3ms [ ERROR ] <E> {}",
        "\x1b[1;31m2026-11-29 19:53:23.273 [E:onnxruntime:, qnn.cc:12 GetCapability] {}\x1b[m",
        "{}\r\n",
        "\t> {}",
        "11-29 20:00:00.123  1234  1250 E snpe    : {}",
        "2026-11-29T20:00:00.1234567Z ##[error]{}",
        "app_1  | qti.aisw.converters.common.Error: {}",
    ],
)
def test_each_message_is_recognized_as_logs_write_it(written: str) -> None:
    for id, text, _ in examples():
        lines = [
            "Traceback (most recent call last):",
            '  File "convert", line 5, in main',
            written.format(text),
        ]
        assert id in {finding.message.id for finding in explain_lines(lines)}, text


def test_text_copied_from_a_page_is_recognized() -> None:
    line = (
        "KeyError: \u2018No translation registered for  op type onnx_einsum. Op is most  likely not supported"
    )
    assert [finding.message.id for finding in explain_lines([line])] == ["no-translation"]


@pytest.mark.parametrize(
    ("code", "component", "name"),
    [
        ("201", "Dl System", "DLSYSTEM_TENSOR_CAST_FAILED"),
        ("500", "Host Runtime", "HOST_RUNTIME_TARGET_UNAVAILABLE"),
        ("802", "GPU Runtime", "GPU_LAYER_PARAM_INVALID"),
        ("910", "Dsp Runtime", "DSP_RUNTIME_SYSTEM_ERROR"),
        ("1002", "Model Validation", "MODEL_VALIDATION_LAYER_PARAM_INVALID"),
    ],
)
def test_codes_of_snpe_have_the_names_of_its_header(code: str, component: str, name: str) -> None:
    (explained,) = explain_lines([f"error_code={code}; error_message=It failed; error_component={component}"])
    assert explained.code == f"SNPE_ERRORCODE_{name} (DlError.h)"


def test_numbers_of_qnn_are_not_taken_for_those_of_snpe() -> None:
    (explained,) = explain_lines(["Failed to finalize graph (id: 1) with err 1002"])
    assert "cannot be prepared" in explained.code
    (explained,) = explain_lines(["error_code=7005; error_message=addNode failed; error_component=QNN"])
    assert explained.code == "the backend refuses an op when the DLC is loaded"


def test_every_message_has_an_example() -> None:
    assert {message.id for message in log_messages()} == {id for id, _, _ in examples()}


def test_every_rule_that_a_message_names_exists() -> None:
    known = {rule.id for rule in all_rules()}
    assert {message.rule for message in log_messages() if message.rule} <= known


@pytest.mark.parametrize(
    "line",
    [
        "QnnDsp <I> QnnBackend_create done successfully. backend = 0x5b75208",
        "QnnDsp <W> Initializing HtpProvider",
        "QnnDsp <W> Cost Based unsupported on soc QCS6490",
        "[Qnn ExecuTorch]: Caching: Caching is in RESTORE MODE.",
        "[Qnn ExecuTorch]: QnnContextCustomProtocol expected magic number: 0x5678abcd but get: 0x2000000",
        "rpcmem_init_internal: opened ION device fd 5, configured heap IDs: system (0x2000000)",
        "fopen failed for testsig-0x3256cf24.so. (No such file or directory)",
        "235 - INFO - INFO_CONVERSION_SUCCESS: Conversion completed successfully",
        "245 - INFO - INFO_STATIC_RESHAPE: Applying static reshape to /Concat_28_output_0: new shape [-1, 2]",
        "PF_VALIDATOR: DEBUG: Success in executing the sum function",
        "SNPE is supported for runtime DSP on the device.",
        "[INFO] InitializeStderr: DebugLog initialized.",
        "Invalid key: graph_configs/0/graph_priority",
        "Backend kHtpBackend library version 5.24.0 is used. The version is tested against 5.22.0.",
        "Traceback (most recent call last):",
        'KeyError: u"Constant339"',
    ],
)
def test_lines_of_real_logs_that_say_nothing_wrong_are_left_alone(line: str) -> None:
    assert explain_lines([line]) == []


def test_the_first_message_that_matches_a_place_is_reported() -> None:
    line = "has incorrect Value 68, expected >= 73."
    assert [finding.message.id for finding in explain_lines([line])] == ["needs-architecture"]


def test_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    log, model = tmp_path / "convert.log", tmp_path / "model.onnx"
    log.write_text(LOG, "utf-8")
    proto = parser.parse_model(MODEL)
    proto.graph.node[0].name = "blocks_norm"
    model.write_bytes(proto.SerializeToString())
    assert main(["explain", str(log), str(model)]) == 1
    text = capsys.readouterr().out.replace(str(tmp_path), "FOLDER")
    if request.config.getoption("--update-snapshots"):
        SNAPSHOT.write_text(text, "utf-8")
    assert text == SNAPSHOT.read_text("utf-8")


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    schema = json.loads(files("dlclint_schemas").joinpath("explain-v1.schema.json").read_text("utf-8"))
    model = tmp_path / "model.onnx"
    model.write_bytes(parser.parse_model(MODEL).SerializeToString())
    stdin = io.TextIOWrapper(io.BytesIO(f"{LOG}No translation registered for op type onnx_tanh.".encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert main(["explain", "-", str(model), "--format", "json"]) == 1
    report = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(schema).validate(report)
    messages = {message["id"]: message for message in report["messages"]}
    assert messages["op-version"]["count"] == 2
    assert messages["needs-architecture"]["named"] == "/blocks/norm"
    # The log's op is in lower case; the model has one such node.
    assert messages["no-translation"]["node"]["op"] == "Tanh"
    assert [message["consequence"] for message in report["messages"]][-2:] == [True, True]


def test_two_names_that_the_converter_spells_alike_are_not_distinguished(tmp_path: Path) -> None:
    text = (
        '<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) { u = Tanh(x) y = Tanh(u) }'
    )
    proto = parser.parse_model(text)
    proto.graph.node[0].name, proto.graph.node[1].name = "a/b", "a.b"
    model = tmp_path / "model.onnx"
    model.write_bytes(proto.SerializeToString())

    def explained_name(name: str) -> Explained:
        return next(located(explain_lines([f'"{name}" generated: could not create op']), read(model)))

    assert explained_name("_a_b").node is None
    exact = explained_name("a.b").node
    assert exact is not None and exact.index == 1


SEVERAL = """<ir_version: 8, opset_import: ["" : 22]>
g (float[2] x) => (float[2] y) {
  a = Mish(x)
  b = Relu(a)
  c = Mish(b)
  d = Mish(c)
  e = Mish(d)
  y = Mish(e)
}"""


def test_each_node_that_may_be_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The converters' log names the op alone; several nodes have it."""
    log, model = tmp_path / "convert.log", tmp_path / "model.onnx"
    log.write_text("No translation registered for op type onnx_mish.\n", "utf-8")
    model.write_bytes(parser.parse_model(SEVERAL).SerializeToString())
    assert main(["explain", str(log), str(model)]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "at one of 5 nodes: node 0 (Mish, tensor a), node 2 (Mish, tensor c), node 3" in text
    assert "node 4 (Mish, tensor e) and 1 more" in text
    assert (
        "help: write it as x * Tanh(Softplus(x)), or Softplus as Log(Exp(x) + 1); `dlclint ops mish`" in text
    )
    assert main(["explain", str(log), str(model), "--format", "json"]) == 1
    report = json.loads(capsys.readouterr().out)
    schema = json.loads(files("dlclint_schemas").joinpath("explain-v1.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(report)
    (message,) = report["messages"]
    assert message["node"] is None
    assert message["alike"]["count"] == 5
    assert [place["index"] for place in message["alike"]["nodes"]] == [0, 2, 3, 4, 5]


def test_an_op_without_a_remedy_gets_the_general_one() -> None:
    (explained,) = explain_lines(["No translation registered for op type onnx_newop"])
    assert explained.help == (
        "rewrite it with listed ops, or use a newer SDK; `dlclint ops newop` says whether a table lists it"
    )


def test_nothing_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "x.log"
    log.write_text("all is well\n", "utf-8")
    assert main(["explain", str(log)]) == 0
    assert (
        "0 messages recognized in 1 line; the log holds no message that dlclint knows"
        in capsys.readouterr().out
    )


def test_a_log_in_utf_16_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "x.log"
    log.write_text("Bad quantization: zero scale!\n", "utf-16")
    assert main(["explain", str(log)]) == 1
    assert "a tensor's range has no width" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["nosuch.log"], ["."], ["x.log", "nosuch.onnx"]])
def test_what_cannot_be_read_is_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.log").write_text("", "utf-8")
    assert main(["explain", *arguments]) == 2
    message = capsys.readouterr()
    assert message.out == "" and message.err.count("\n") == 1


def test_an_explanation_replaces_no_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "x.log"
    log.write_text("Bad quantization: zero scale!\n", "utf-8")
    assert main(["explain", str(log), "-o", str(log)]) == 2
    assert "is an input" in capsys.readouterr().err
    assert log.read_text("utf-8") == "Bad quantization: zero scale!\n"


@given(st.lists(st.text(max_size=80)), st.sampled_from(log_messages()))
def test_any_text_is_taken_and_nothing_of_it_steers_a_terminal(lines: list[str], message: object) -> None:
    contains = getattr(message, "contains", "")
    damaged = [f"\x1b]0;x\x07{contains} {line} \u202e{contains}" for line in lines]
    for explained in explain_lines(damaged):
        assert (explained.text + explained.says + explained.help).isprintable()
