"""Selection, configuration, ignores, crashes and order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
from onnx import parser

from dlclint.cli.main import main
from dlclint.engine import models, registry, run
from dlclint.engine.config import ConfigError, load_config
from dlclint.engine.job import Job
from dlclint.engine.plugins import Broken
from dlclint.engine.registry import all_rules, select
from dlclint.own_rules import CRASHED, OWN_DOCS
from dlclint.report.progress import with_progress
from dlclint.rule import Finding, ModelContext, Rule, Subject

FLAWED = """<ir_version: 8, opset_import: ["" : 17]>
g (float[N,3,3] x) => (float[N] y) { a = Relu(x)
 y = Det(a) }"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c"):
        Path(f"{name}.onnx").write_bytes(parser.parse_model(FLAWED).SerializeToString())


def rules_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    main(["check", "--format", "json", *arguments, "a.onnx"])
    (file,) = json.loads(capsys.readouterr().out)["files"]
    return [finding["rule"] for finding in file["findings"]]


def test_longer_selector_wins() -> None:
    chosen = {rule.id for rule in select(all_rules(), ["ops"], ["ops/unsupported"])}
    assert "ops/rank" in chosen
    assert "ops/unsupported" not in chosen
    assert [rule.id for rule in select(all_rules(), ["ops/rank"], ["ops"])] == ["ops/rank"]
    assert not select(all_rules(), ["ops"], ["ops"])


RULE = """from dlclint.rule import rule
@rule()
def {name}(context):
    \"\"\"A flaw.\"\"\"
    yield from ()
"""


Installed = Callable[[EntryPoint], tuple[list[str], list[Broken]]]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    """The rules where an entry point is the only one, and the messages about it."""

    def forget() -> None:
        for cached in (registry._installed, registry.rule_points, registry._loaded):
            cached.cache_clear()

    def look(point: EntryPoint) -> tuple[list[str], list[Broken]]:
        monkeypatch.setattr(registry, "entry_points", lambda: EntryPoints([point]))
        forget()
        every = (registry.GROUP, registry.ENCODINGS_GROUP)
        return [rule.id for rule in registry.all_rules()], registry.broken_plugins(groups=every)

    yield look
    forget()


def test_a_package_of_rules_is_walked(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The family is the entry point's name; what a module imports counts where it is defined."""
    Path("ours/inner").mkdir(parents=True)
    Path("ours/__init__.py").write_text(RULE.format(name="at_the_top"))
    Path("ours/one.py").write_text("from ours import at_the_top\n" + RULE.format(name="odd_name"))
    Path("ours/inner/__init__.py").write_text("")
    Path("ours/inner/two.py").write_text(RULE.format(name="deep"))
    monkeypatch.syspath_prepend(Path.cwd())
    point = EntryPoint("house", "ours", registry.GROUP)
    assert installed(point)[0] == ["house/at-the-top", "house/deep", "house/odd-name"]
    Path("ours/inner/three.py").write_text(RULE.format(name="deep"))
    for module in [name for name in sys.modules if name.startswith("ours")]:
        del sys.modules[module]
    ids, broken = installed(point)
    assert ids == ["house/at-the-top", "house/deep", "house/odd-name"]
    assert [str(plugin) for plugin in broken] == [
        "rule house/deep of plugin ours (ours) is left out: ours has a rule of that id; fix it, or "
        "uninstall the plugin"
    ]


def test_what_is_reported_on_a_broken_plugin(installed: Installed) -> None:
    point = EntryPoint("house", "nosuch", registry.GROUP)
    ids, broken = installed(point)
    assert ids == []
    assert [str(plugin) for plugin in broken] == [
        "plugin nosuch (entry point 'house', nosuch) is left out: ModuleNotFoundError: No module named "
        "'nosuch'; fix or uninstall it, or --ignore house"
    ]
    # Its selectors are not misspellings, and it is reported where it is requested.
    assert registry.chosen_rules(["house/deep"], []) == ()
    assert registry.broken_plugins(["house/deep"]) == registry.broken_plugins(["ALL"]) == broken
    assert registry.broken_plugins(["batch"]) == registry.broken_plugins([], ["house"]) == []


def test_a_rule_in_the_wrong_group_is_left_out(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("strays.py").write_text(RULE.format(name="deep"))
    monkeypatch.syspath_prepend(Path.cwd())
    ids, broken = installed(EntryPoint("house", "strays", registry.ENCODINGS_GROUP))
    assert ids == []
    assert f"belongs to entry-point group {registry.GROUP}, not" in broken[0].why
    with pytest.raises(registry.BrokenRules, match=f"to entry-point group {registry.ENCODINGS_GROUP}, not"):
        installed(EntryPoint("precision", "dlclint_rules.precision", registry.GROUP))


def test_only_rules_of_the_groups_that_are_needed() -> None:
    groups = (registry.ENCODINGS_GROUP,)
    families = {rule.family for rule in registry.chosen_rules([], [], groups)}
    assert families == {"encodings", "precision"}
    # Selectors of rules that were left out are known all the same, and change nothing.
    chosen = registry.chosen_rules(["ops", "precision/bias-bits"], ["cle"], groups)
    assert [rule.id for rule in chosen] == ["precision/bias-bits"]
    with pytest.raises(ValueError, match="did you mean"):
        registry.chosen_rules(["oops"], [], groups)


def test_select_and_ignore(capsys: pytest.CaptureFixture[str]) -> None:
    assert rules_of(capsys) == ["batch/symbolic", "ops/unsupported", "ops/version-not-listed"]
    assert rules_of(capsys, "--select", "ops") == ["ops/unsupported", "ops/version-not-listed"]
    assert rules_of(capsys, "--ignore", "ops,batch") == []


@pytest.mark.parametrize(("threshold", "status"), [("error", 0), ("warning", 0), ("info", 1), ("never", 0)])
def test_fail_on(threshold: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--ignore", "ops/unsupported,batch", "--fail-on", threshold, "a.onnx"]) == status


def test_config(capsys: pytest.CaptureFixture[str]) -> None:
    Path("dlclint.toml").write_text(
        """
        [[models]]
        path = "a.onnx"
        runtime = ["htp"]
        define-symbol = { N = 1 }
        [[ignores]]
        rule = "ops/unsupported"
        reason = "the op package is ours"
        [[ignores]]
        rule = "model"
        reason = "never needed"
        """
    )
    assert rules_of(capsys) == ["config/unused-ignore", "ops/version-not-listed"]
    assert rules_of(capsys, "--isolated") == ["batch/symbolic", "ops/unsupported", "ops/version-not-listed"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[ignores]]\nrule = 'ops'", "'reason' is a required property"),
        ("[[ignores]]\nrule = 'ops'\nreason = ' '", "ignores[0].reason"),
        ("fail_on = 'error'", "fail_on"),
        ("[[models]]\npath = 'x'\nruntime = ['hta']", "models[0].runtime[0]"),
        ("x =", "not valid TOML"),
    ],
)
def test_bad_config(text: str, expected: str) -> None:
    Path("dlclint.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(Path("dlclint.toml"))
    assert expected in str(caught.value)
    assert "dlclint.toml" in str(caught.value)


def test_pyproject_is_used_only_with_a_section(capsys: pytest.CaptureFixture[str]) -> None:
    Path("pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert len(rules_of(capsys)) == 3
    Path("pyproject.toml").write_text("[tool.dlclint]\nselect = ['batch']\n")
    assert rules_of(capsys) == ["batch/symbolic"]


def test_the_matrix_counts_what_the_rules_refuse(capsys: pytest.CaptureFixture[str]) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[1,4] x) => (int64[1,1] y) { y = ArgMax<axis = 1, select_last_index = 1>(x) }"""
    Path("a.onnx").write_bytes(parser.parse_model(text).SerializeToString())
    for options in ([], ["--ignore", "ops/attribute"], ["--select", "model"]):
        main(["check", "--format", "json", *options, "a.onnx"])
        (file,) = json.loads(capsys.readouterr().out)["files"]
        assert {row["whole"] for row in file["support"]} == {False}
    assert main(["check", "--format", "json", "a.onnx"]) == 1
    (file,) = json.loads(capsys.readouterr().out)["files"]
    (blocker,) = file["support"][0]["blockers"]
    assert blocker["reason"] == "the converter refuses it: ops/attribute"


def test_a_crashing_rule_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(context: ModelContext) -> Iterator[Finding]:
        raise RuntimeError("\x1b[31mbad luck")
        yield

    rules = (Rule("odd/broken", Subject.MODEL, broken, "Broken."), *all_rules())
    monkeypatch.setattr(models, "chosen_rules", lambda *_: rules)
    findings = run.lint_file(Job(Path("a.onnx"))).diagnostics
    (crashed,) = (finding for finding in findings if finding.rule == CRASHED)
    assert crashed.message == "rule odd/broken failed: RuntimeError: \\x1b[31mbad luck"
    assert {finding.rule for finding in findings} > {"ops/unsupported"}


def test_order_does_not_depend_on_jobs() -> None:
    def lint(jobs: str) -> str:
        command = [sys.executable, "-m", "dlclint", "check", "--format", "json", "-j", jobs, "."]
        return subprocess.run(command, capture_output=True, text=True).stdout

    assert lint("1") == lint("3")
    assert [file["path"] for file in json.loads(lint("3"))["files"]] == ["a.onnx", "b.onnx", "c.onnx"]


def test_output_is_written_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--format", "concise", "-o", "report.txt", "a.onnx"]) == 1
    assert capsys.readouterr().out == ""
    assert "2 errors, 0 warnings, 1 note in 1 file" in Path("report.txt").read_text()
    assert sorted(p.name for p in Path().iterdir()) == ["a.onnx", "b.onnx", "c.onnx", "report.txt"]


def die(job: Job) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_a_finding_of_its_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "lint_file", die)
    assert main(["check", "--jobs", "2", "--format", "concise", "."]) == 1
    assert capsys.readouterr().out.count("linting failed: the process was killed, as the system does") == 3


def test_progress_is_for_terminals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(with_progress([1, 2], 2)) == [1, 2]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert list(with_progress([1, 2], 2)) == [1, 2]
    assert "linting" in capsys.readouterr().err


def test_version_imports_nothing_heavy() -> None:
    code = (
        "import sys; from dlclint.cli.main import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'onnx', 'numpy', 'rich', 'jsonschema', 'importlib.metadata'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[1] == "[]"


def test_an_override_file_alone_needs_no_onnx() -> None:
    tensor = {"bitwidth": 8, "dtype": "int", "is_symmetric": "False", "min": 0.0, "max": 1e-6}
    text = json.dumps({"version": "0.6.1", "activation_encodings": {"y": [tensor]}, "param_encodings": {}})
    Path("alone.encodings").write_text(text)
    code = (
        "import sys; from dlclint.cli.check import check; from dlclint.cli.main import parser\n"
        "from dlclint.cli.apart import function_of\n"
        "from dlclint.contained.guard import JOURNAL, Guard, put_guard\n"
        "put_guard(Guard(bytearray(JOURNAL), {}))\n"
        "rest = check(parser().parse_args(['check', '--format', sys.argv[1], sys.argv[2]]))\n"
        "function_of(rest.function)(*rest.arguments)\n"
        "print('\\n', sorted({'onnx', 'google.protobuf', 'jsonschema'} & set(sys.modules)))"
    )
    Path("with.encodings").write_text(text)
    Path("with.onnx").write_bytes(Path("a.onnx").read_bytes())
    loaded = {}
    for form in ("rich", "concise", "json", "sarif"):
        for name in ("alone", "with"):
            command = [sys.executable, "-c", code, form, f"{name}.encodings"]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            assert "encodings/range-too-small" in output
            loaded[form, name] = output.splitlines()[-1].strip()
    assert {loaded[form, "alone"] for form in ("rich", "concise", "json", "sarif")} == {"[]"}
    # With its model next to it, the same file needs what reads models, so the test above can fail.
    assert loaded["json", "with"] == "['google.protobuf', 'onnx']"


@pytest.mark.parametrize("command", [[], ["check"], ["rule"], ["ops"]])
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("usage: dlclint")


def test_rule_and_ops(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rule", "ops/unsupported"]) == 0
    assert "What to do:" in capsys.readouterr().out
    assert main(["rule", "ops/unsuported"]) == 2
    assert "did you mean ops/unsupported?" in capsys.readouterr().err
    assert main(["ops", "gemm"]) == 0
    assert "listed versions: 1, 6, 7, 9, 11, 13" in capsys.readouterr().out
    assert main(["ops", "Det"]) == 2
    assert main(["ops"]) == 0
    assert main(["rule"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 122 + len(all_rules()) + len(OWN_DOCS)


def test_path_globs_hold_from_every_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("models").mkdir()
    Path("a.onnx").rename("models/a.onnx")
    Path("dlclint.toml").write_text(
        "[[models]]\npath = 'models/a.onnx'\nbatch = 1\n"
        "[[ignores]]\nrule = 'ops/unsupported'\npath = 'models/*'\nreason = 'ours'\n"
    )
    monkeypatch.chdir("models")
    assert rules_of(capsys) == ["ops/version-not-listed"]


def test_an_override_file_is_found_from_the_configuration(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("models").mkdir()
    Path("a.onnx").rename("models/a.onnx")
    Path("ranges.json").write_text('{"version": "0.6.1", "activation_encodings": {}, "param_encodings": {}}')
    Path("dlclint.toml").write_text("[[models]]\npath = 'models/a.onnx'\nencodings = 'ranges.json'\n")
    monkeypatch.chdir("models")
    main(["check", "--format", "json", "a.onnx"])
    model, overrides = json.loads(capsys.readouterr().out)["files"]
    assert (model["path"], overrides["path"]) == ("a.onnx", "../ranges.json")
    assert not model["target"]["simplify"]
