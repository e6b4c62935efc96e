"""A plugin, built and installed as users do, that fails in every way it can: no run breaks of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import parser

from dlclint.version import __version__

pytest.importorskip("hatchling", reason="hatchling, of the dependency group dev, builds the plugin")

BUILD = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "acme-rules"
version = "1.2"

[project.entry-points."dlclint.rules"]
"""
RULES = '''
import os, sys, time
from dlclint.fix import Fix
from dlclint.model.edits import RenameNode
from dlclint.rule import Finding, Safety, Severity, rule

print("printed at import")
os.write(1, b"written at import")

@rule()
def sound(context):
    """A flaw."""
    print("printed by a rule")
    sys.stderr.write("printed by a rule")
    os.write(1, b"written by a rule")
    yield Finding("found by a plugin", Severity.WARNING)

@rule(fix=[Safety.SAFE])
def nameless(context):
    """A node without a name."""
    for node in context.view.model.graph.nodes:
        if not node.name:
            fix = Fix("name it", Safety.SAFE, (RenameNode(node, f"acme_{node.index}"),))
            yield Finding("it has no name", Severity.WARNING, node=node, fix=fix)

@rule(fix=[Safety.SAFE])
def fixed_badly(context):
    """A flaw."""
    yield Finding("cannot be fixed", Severity.WARNING, fix=Fix("fix it", Safety.SAFE, lambda: 1 / 0))

@rule()
def raises(context):
    """A flaw."""
    raise ValueError("on purpose")

@rule()
def leaves(context):
    """A flaw."""
    sys.exit(0)

@rule()
def dies(context):
    """A flaw."""
    os._exit(0)

@rule()
def loops(context):
    """A flaw."""
    while True:
        pass

@rule()
def waits(context):
    """A flaw."""
    time.sleep(3600)

@rule()
def never_ends(context):
    """A flaw."""
    while True:
        yield Finding("again", Severity.INFO)

@rule()
def text(context):
    """A flaw."""
    yield "found by a plugin"

@rule()
def unfit(context):
    """A flaw."""
    yield Finding("found by a plugin", "warning")

@rule()
def opaque(context):
    """A flaw."""
    yield Finding("found by a plugin", Severity.WARNING, evidence={"what": object()})
'''
CLASHES = '''
from dlclint.rule import rule

@rule()
def unsupported(context):
    """A flaw."""
    yield from ()

@rule(about="conversion")
def misdeclared(context):
    """A flaw."""
    yield from ()
'''
OVERRIDES = '''
from dlclint.rule import Finding, Severity, Subject, rule

@rule(Subject.ENCODINGS)
def any_entry(context):
    """A flaw."""
    yield Finding("found by a plugin", Severity.WARNING, pointer="/version", line=1, column=2)

@rule(Subject.ENCODINGS)
def raises(context):
    """A flaw."""
    raise ValueError("on purpose")
'''
MODULES = {
    "acme": RULES,
    "over": OVERRIDES,
    "ops": CLASHES,
    "raises": "import nosuch",
    "exits": "import sys; sys.exit(3)",
    "dies": "import os; os._exit(0)",
    "loops": "while True: pass",
}
MODEL = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,4] x) => (float[1,4] y) { y = Det(x) }
"""
RUN = """
import dlclint.engine.plugins as plugins
plugins.IMPORT_SECONDS, plugins.RULE_SECONDS = 0.5, 0.25
from dlclint.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models, where the plugin is installed under `installed`."""
    folder = tmp_path_factory.mktemp("plugin")
    package = folder / "source" / "acme_rules"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", "utf-8")
    for name, text in MODULES.items():
        (package / f"of_{name}.py").write_text(text, "utf-8")
    points = {name: f'{name} = "acme_rules.of_{name}"\n' for name in MODULES}
    group = f'\n[project.entry-points."dlclint.rules.encodings"]\n{points.pop("over")}'
    (package.parent / "pyproject.toml").write_text(BUILD + "".join(points.values()) + group, "utf-8")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(folder / "installed"), str(package.parent)], check=True)
    (folder / "a.onnxtxt").write_text(MODEL, "utf-8")
    (folder / "b.onnxtxt").write_text(MODEL, "utf-8")
    return folder


def run(folder: Path, *words: str, code: str = RUN) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, (str(folder / "installed"), os.environ.get("PYTHONPATH", ""))))
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def complaints(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """What is reported on each plugin or rule that is left out."""
    lines = done.stderr.splitlines()
    assert all(line.startswith("dlclint: error: ") and " is left out: " in line for line in lines), lines
    return dict(line.removeprefix("dlclint: error: ").split(" is left out: ", 1) for line in lines)


def plugin(name: str) -> str:
    return f"plugin acme-rules 1.2 (entry point '{name}', acme_rules.of_{name})"


LEFT_OUT = {
    "rule ops/misdeclared of plugin acme-rules 1.2 (acme_rules.of_ops)": "@rule got an unfit about; fix it, "
    "or uninstall the plugin",
    "rule ops/unsupported of plugin acme-rules 1.2 (acme_rules.of_ops)": "dlclint has a rule of that id; "
    "fix it, or uninstall the plugin",
    plugin(
        "raises"
    ): "ModuleNotFoundError: No module named 'nosuch'; fix or uninstall it, or --ignore raises",
    plugin("exits"): "SystemExit: 3; fix or uninstall it, or --ignore exits",
    plugin("dies"): "its import ends with status 0; fix or uninstall it, or --ignore dies",
    plugin("loops"): "its import takes more than 0.5 s; fix or uninstall it, or --ignore loops",
}


def test_a_run_goes_on(folder: Path) -> None:
    done = run(
        folder, "check", "--format", "json", "--output-format", "sarif=r.sarif", "a.onnxtxt", "b.onnxtxt"
    )
    assert complaints(done) == LEFT_OUT
    assert done.returncode == 2
    report = json.loads(done.stdout)
    assert [file["path"] for file in report["files"]] == ["a.onnxtxt", "b.onnxtxt"]
    for file in report["files"]:
        findings = file["findings"]
        rules = [finding["rule"] for finding in findings]
        assert "acme/sound" in rules and "ops/unsupported" in rules
        failed = {finding["message"] for finding in findings if finding["rule"] == "engine/crashed-rule"}
        assert failed == {
            f"rule acme/{name} of plugin acme-rules 1.2 failed: {how}"
            for name, how in (
                ("raises", "ValueError: on purpose"),
                ("leaves", "SystemExit: 0"),
                ("dies", "the process ends with status 0"),
                ("loops", "the process takes more than 0.25 s"),
                ("waits", "the process takes more than 0.25 s"),
                ("never-ends", "the process takes more than 0.25 s"),
                ("text", "TypeError: it yields str, not Finding"),
                ("unfit", "TypeError: severity of a finding is str"),
                ("opaque", "TypeError: Object of type object is not JSON serializable"),
            )
        }
    helps = {finding["help"] for finding in findings if finding["rule"] == "engine/crashed-rule"}
    assert "report it to the makers of acme-rules 1.2; until then --ignore acme/raises" in helps
    log = json.loads((folder / "r.sarif").read_text("utf-8"))
    assert "acme/sound" in {result["ruleId"] for result in log["runs"][0]["results"]}


def test_rules_are_listed_with_their_origin(folder: Path) -> None:
    done = run(folder, "rule", "--format", "json")
    assert complaints(done) == LEFT_OUT and done.returncode == 2
    origins = {parsed["id"]: parsed["origin"] for parsed in json.loads(done.stdout)}
    assert origins["acme/raises"] == {"package": "acme-rules", "version": "1.2"}
    assert origins["ops/unsupported"] == {"package": "dlclint", "version": __version__}
    done = run(folder, "rule", "ops")
    assert set(complaints(done)) == {name for name in LEFT_OUT if name.startswith("rule ops/")}
    done = run(folder, "rule", "acme")
    assert (done.returncode, done.stderr) == (0, "")
    assert "acme/sound        A flaw. [acme-rules 1.2]\n" in done.stdout


USE = """
import json, sys, warnings
from pathlib import Path
import dlclint.engine.plugins as plugins
plugins.IMPORT_SECONDS, plugins.RULE_SECONDS = 0.5, 0.25
import dlclint
from dlclint.engine.job import Job
from dlclint.server.overrides import OpenOverrides, Views
from dlclint.target import Target

with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    report = dlclint.lint("a.onnxtxt")
job = Job(Path("over.encodings"), Target(), kind="encodings")
opened = OpenOverrides(job, Path("over.encodings").read_text(), "file:///over.encodings", Views(), "utf-16")
json.dump({
    "rules": sorted({item.rule for item in report.findings}),
    "told": len(told),
    "editor": sorted((item.code, item.message) for item in opened.diagnostics()),
}, sys.stdout)
"""


def test_python_and_the_editor_hear_of_them(folder: Path) -> None:
    (folder / "over.encodings").write_text('{"version": "0.6.1", "activation_encodings": {}}', "utf-8")
    done = run(folder, code=USE)
    data = json.loads(done.stdout)
    assert {"acme/sound", "acme/nameless", "ops/unsupported", "engine/crashed-rule"} <= set(data["rules"])
    assert data["told"] == len(LEFT_OUT)
    told = dict(data["editor"])
    assert told["over/any-entry"].startswith("found by a plugin")
    assert told["engine/crashed-rule"].startswith("rule over/raises of plugin acme-rules 1.2 failed")


def test_a_plugin_fixes_and_cannot_break_the_others(folder: Path) -> None:
    model = MODEL.replace("y = Det(x)", "y = Relu(x)")
    onnx.save(parser.parse_model(model), folder / "fixed.onnx")
    done = run(folder, "fix", "--in-place", "--select", "acme", "fixed.onnx")
    assert (done.returncode, done.stderr) == (1, "")  # what raises is an error that is left
    assert "fixed acme/nameless: name it" in done.stdout
    assert onnx.load(folder / "fixed.onnx").graph.node[0].name == "acme_0"
    assert "not fixed acme/fixed-badly: fix it: its fix failed in acme-rules 1.2" in done.stdout
