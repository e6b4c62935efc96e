"""The page: whole in itself, every name in it text, and the network in blocks that can be followed."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import parser

from dlclint.analysis.drawing import blocks, making
from dlclint.analysis.drawing.blocks import blocks_of, scope_of, stretches
from dlclint.cli.main import main
from dlclint.engine.job import Job
from dlclint.engine.run import lint_file
from dlclint.outcome import FileOutcome, Outcome
from dlclint.report.html.shell import island, policy
from dlclint.report.render import render
from dlclint.socs import resolve_soc
from dlclint.target import DlcKind, Runtime, Target

ROOT = Path(__file__).parent.parent.parent
HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>",
    "]]></style>{{ 7*7 }}{% raw %}",
    '" onmouseover="alert(1)" \'',
    "javascript:alert(1)",
    "\u2028\u202e&lt;b&gt;",
)
TEXT = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,8,8] x) => (float[1,3,8,8] y) { a = Relu(x) b = Erf(a) y = Sigmoid(b) }"""


def hostile_model(path: Path) -> Path:
    """A model whose every name would be markup if anything let it."""
    model = parser.parse_model(TEXT)
    names = dict(zip(("x", "a", "b", "y"), HOSTILE, strict=False))
    for node, name in zip(model.graph.node, HOSTILE[2:], strict=False):
        node.name = name
        node.input[:] = [names[tensor] for tensor in node.input]
        node.output[:] = [names[tensor] for tensor in node.output]
    for value in (*model.graph.input, *model.graph.output):
        value.name = names[value.name]
    onnx.save(model, path)
    return path


def linted(path: Path, *targets: Target) -> Outcome:
    first, *others = targets or (Target(),)
    outcome = lint_file(Job(path, first, others=tuple(others), drawn=True))
    return Outcome("0", (outcome,), None, {})


LEAF = st.text() | st.floats() | st.none()
JSON = st.recursive(LEAF, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


class Tags(HTMLParser):
    """What a page consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": []}
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data: str) -> None:
        if self.inside in self.texts:
            self.texts[self.inside].append(data)

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""


def data_of(text: str) -> dict[str, Any]:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert match is not None
    data: dict[str, Any] = json.loads(match[1])
    return data


def test_a_page_loads_nothing_and_names_of_a_model_are_text(tmp_path: Path) -> None:
    text = render("check", "html", linted(hostile_model(tmp_path / "a&'b.onnx")), None)
    tags = Tags(text)
    assert {tag for tag, _ in tags.found} <= {
        *("html", "head", "meta", "title", "style", "body", "a", "header", "p", "h1", "h2", "h3", "main"),
        *(
            "article",
            "section",
            "dl",
            "div",
            "dt",
            "dd",
            "strong",
            "span",
            "ol",
            "ul",
            "li",
            "code",
            "button",
        ),
        *("table", "thead", "tbody", "tr", "th", "td", "noscript", "footer", "script"),
    }
    named = {name for _, attributes in tags.found for name in attributes}
    assert not named & {"src", "style", "srcset"} and not any(name.startswith("on") for name in named)
    assert all(str(a["href"]).startswith("#") for _, a in tags.found if "href" in a)
    assert "sourceMappingURL" not in text and "url(" not in text
    data = data_of(text)
    assert set(HOSTILE[:2]) <= {name.replace("\\x3a", ":") for name in data["texts"]}


def test_the_policy_knows_every_script_and_style_by_its_hash(tmp_path: Path) -> None:
    text = render("check", "html", linted(hostile_model(tmp_path / "a.onnx")), None)
    tags = Tags(text)
    said = next(str(a["content"]) for tag, a in tags.found if tag == "meta" and "http-equiv" in a)
    code = [text for text in tags.texts["script"] if not text.startswith("{")]
    for kind, texts in (("script", code), ("style", tags.texts["style"])):
        digests = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts}
        directive = next(part for part in said.split("; ") if part.startswith(f"{kind}-src"))
        assert digests and digests == set(re.findall(r"'sha256-([^']+)'", directive))
    assert "unsafe" not in said and said.startswith("default-src 'none'")
    assert "script-src 'none'" in policy([], []) and "style-src 'none'" in policy([], [])


@given(JSON)
def test_data_comes_back_and_ends_no_script(data: object) -> None:
    text = island(data)
    assert not set(text) & set("<>&\u2028\u2029")

    def finite(value: Any) -> Any:
        if isinstance(value, float):
            return value if value - value == 0 else None
        if isinstance(value, dict):
            return {name: finite(element) for name, element in value.items()}
        return [finite(element) for element in value] if isinstance(value, list) else value

    assert json.loads(text) == finite(data)


def test_findings_and_layers_are_at_their_nodes(tmp_path: Path) -> None:
    model = parser.parse_model(TEXT)
    onnx.save(model, tmp_path / "a.onnx")
    kind = DlcKind(quantize=True, stated=True)
    targets = [Target((), resolve_soc(name), kind) for name in ("SM8550", "SM8150")]
    data = data_of(render("check", "html", linted(tmp_path / "a.onnx", *targets), None))
    (file,) = data["files"]
    texts, nodes = data["texts"], file["network"]["nodes"]
    assert [texts[node[0]] for node in nodes] == ["Input", "Relu", "Erf", "Sigmoid", "Output"]
    assert [node[5] for node in nodes] == [[], [0], [1], [2], [3]]
    assert "SM8550 htp" in file["network"]["runtimes"] and "SM8150 dsp" in file["network"]["runtimes"]
    assert {texts[node[9]] for node in nodes[1:4]} == {"a8"}
    fields = data["finding"]
    rules = {texts[row[fields.index("rule")]]: row[fields.index("node")] for row in file["findings"]}
    assert rules["ops/pattern-only"] == 2


def test_a_network_beyond_the_limit_is_said_not_to_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx.save(parser.parse_model(TEXT), tmp_path / "a.onnx")
    monkeypatch.setattr(making, "MOST", 2)
    text = render("check", "html", linted(tmp_path / "a.onnx"), None)
    assert "network" not in data_of(text)["files"][0]
    assert "the network is not drawn: it has 3 nodes" in text


def test_a_job_that_is_not_to_be_drawn_costs_no_drawing(tmp_path: Path) -> None:
    onnx.save(parser.parse_model(TEXT), tmp_path / "a.onnx")
    assert lint_file(Job(tmp_path / "a.onnx")).drawing is None


def test_several_files_are_in_one_table_without_what_is_not_there() -> None:
    file = FileOutcome("a.onnx", "model", Target(), ())
    text = render("check", "html", Outcome("0", (file, replace(file, path="b.onnx")), None, {}), None)
    assert text.count('<a href="#file-') == 2 and "network" not in data_of(text)["files"][0]


SCOPES = st.lists(st.lists(st.sampled_from("abc"), max_size=4).map(tuple), max_size=300)


@given(SCOPES, st.randoms(use_true_random=False))
def test_blocks_hold_every_node_once_and_no_more_than_can_be_followed(scopes: list[Any], random: Any) -> None:
    sources = [tuple(random.sample(range(n), min(n, 2))) if n else () for n in range(len(scopes))]
    grouped, homes = blocks_of(scopes, sources)
    assert len(homes) == len(scopes) and grouped[0].parent == -1
    assert all(0 <= block.parent < number for number, block in enumerate(grouped) if number)
    members = [0] * len(grouped)
    for home in homes:
        members[home] += 1
    for block in grouped[1:]:
        members[block.parent] += 1
    assert max(members) <= blocks.MOST
    assert all(count > 1 for count in members[1:])


@given(st.lists(st.integers(0, 9), min_size=blocks.MOST + 1, max_size=2000))
def test_stretches_cover_all_and_are_fewer(crossing: list[int]) -> None:
    parts = list(stretches(crossing))
    assert parts[0][0] == 0 and parts[-1][1] == len(crossing)
    assert all(one[1] == other[0] for one, other in pairwise(parts))
    assert 1 < len(parts) < len(crossing)


def test_modules_are_read_from_names_and_from_metadata() -> None:
    scopes = {"pkg.torch.onnx.name_scopes": "['', 'model', 'model.layers.0', 'node_add']"}
    assert scope_of("node_add", "Add", scopes) == ("model", "layers", "0")
    assert scope_of("/encoder/layer.0/MatMul", "MatMul", {}) == ("encoder", "layer.0")
    assert scope_of("p2o.Conv.12", "Conv", {}) == ("p2o",)
    assert scope_of("Conv_3", "Conv", {}) == ()


def vendoring() -> ModuleType:
    spec = importlib.util.spec_from_file_location("vendor", ROOT / "scripts" / "vendor.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_vendored_files_are_those_that_were_fetched(tmp_path: Path) -> None:
    script = vendoring()
    assert script.flaws() == []
    folder = tmp_path / "vendor"
    shutil.copytree(script.FOLDER, folder)
    (folder / "dagre.min.js").write_text("other")
    (folder / "more.js").write_text("")
    (folder / "uPlot.LICENSE").unlink()
    assert script.flaws(folder) == [
        "more.js is in no package",
        "dagre.min.js is not the file that was fetched",
        "uPlot.LICENSE is not the file that was fetched",
    ]


def test_runtimes_color_by_what_takes_a_node(tmp_path: Path) -> None:
    onnx.save(parser.parse_model(TEXT), tmp_path / "a.onnx")
    drawing = lint_file(Job(tmp_path / "a.onnx", Target((Runtime.HTP,)), drawn=True)).drawing
    assert drawing is not None and drawing.runtimes == ("htp",)
    assert [node.placed for node in drawing.nodes] == ["-", "y", "x", "y", "-"]


def test_a_plan_and_a_simulation_are_pages_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[1,3,8,8] x) => (float[1,4,8,8] y) <float[4,3,1,1] w = {1,2,3,4,5,6,7,8,9,10,11,12}>
        { a = Conv(x, w) y = Relu(a) }"""
    )
    onnx.save(model, "a.onnx")
    words = ["--isolated", "--soc", "sm8550", "a.onnx"]
    assert (
        main(["plan", *words, "--format", "html", "-o", "plan.html", "--output-format", "json=p.json"]) == 0
    )
    text = Path("plan.html").read_text("utf-8")
    (file,) = data_of(text)["files"]
    assert "SNPE commands" in text and "snpe-dlc-quant" in text and file["network"]["nodes"]
    assert json.loads(Path("p.json").read_text("utf-8"))["version"] == 1
    assert main(["simulate", *words, "--samples", "1", "--output-format", "html=s.html"]) == 0
    text = Path("s.html").read_text("utf-8")
    data = data_of(text)
    (engine,) = data["files"][0]["charts"]["engines"]
    assert engine["engine"] == "reference" and [row[0] for row in engine["layers"]] == [2, 1]
    assert data["files"][0]["words"]["title"] == "Layers" and "Worst output, reference" in text
    capsys.readouterr()
    for command in ("plan", "simulate"):
        assert main([command, *words, "--output-format", "sarif=x"]) == 2
        assert "formats are rich" in capsys.readouterr().err
        assert main([command, *words, "--output-format", "html=a.onnx"]) == 2
        assert "is an input" in capsys.readouterr().err
    assert main(["plan", *words, "--output-format", "html=o", "--emit-overrides", "o"]) == 2
    assert "the plan and the override file" in capsys.readouterr().err
