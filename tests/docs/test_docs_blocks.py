"""Every block of code in the documents runs: what it shows is printed, and files that it shows are valid."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from docs_blocks import PAGES, ROOT, Block, Command, agrees, blocks_of, commands_of, indented
from docs_files import write_files

from dlclint.cli.main import main, parser

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RULES = ROOT / "docs" / "rules"
HAND = [path for path in PAGES if RULES not in path.parents]
FOREIGN = {"snpe-net-run", "snpe-onnx-to-dlc", "git", "docker", "uvx", "pipx", "gh", "mkdocs"}
"""Programs that no test can run here."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    # No terminal, no colors, and the width that the documents are written for.
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


@pytest.mark.parametrize("page", HAND, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_blocks(page: Path, folder: Path) -> None:
    text = page.read_text("utf-8")
    assert indented(text) == [], "fence code, and name its language"
    for block in blocks_of(text):
        if page.name == "writing-rules.md" and block.language == "python":
            continue  # tests/testing makes a package of them
        run = RUN.get(block.language)
        assert run is not None, f"{page.name}:{block.line}: nothing runs a block of {block.language!r}"
        try:
            run(block)
        except AssertionError as error:
            raise AssertionError(f"{page.name}:{block.line}: {error}") from error


def test_examples_of_rules_are_the_fixtures() -> None:
    """The snapshots, which other tests keep, pin what the rules report on the fixtures."""
    fixtures = {
        path.read_text("utf-8").rstrip()
        for path in (ROOT / "tests" / "fixtures").glob("*/*/*")
        if path.suffix in (".json", ".onnxtxt")
    }
    fixtures |= {re.sub(r"\A#[^\n]*\n", "", text) for text in fixtures}
    pages = list(RULES.glob("*/*.md"))
    assert len(pages) > 130
    for page in pages:
        text = page.read_text("utf-8")
        assert indented(text) == []
        snapshot = (ROOT / "tests" / "snapshots" / "fixtures" / page.relative_to(RULES)).with_suffix(".txt")
        for block in blocks_of(text):
            if block.language == "text":
                message = block.text.partition(": ")[2].partition(f" [{page.parent.name}/")[0]
                assert message in snapshot.read_text("utf-8"), page.name
            else:
                assert block.language in ("onnx", "json") and block.text in fixtures, page.name


def _console(block: Block) -> None:
    for command in commands_of(block):
        _run(command)


def _run(command: Command) -> None:
    words = shlex.split(command.line, comments=True)
    program = words[0]
    if "|" in words:
        # What feeds dlclint is foreign; the log that it would print is available.
        assert words[words.index("|") + 1] == "dlclint" and words[-1] == "-"
        with _input("convert.log"):
            return _run(Command(shlex.join(words[words.index("|") + 1 :]), command.output, command.status))
    if "&&" in words:
        line = command.line.partition("#")[0]
        for part in line.split("&&"):
            _run(Command(part.strip(), "", None))
    elif program == "dlclint":
        _dlclint(words[1:], command)
    elif program == "pip":
        _pip(words[1:])
    elif program == "make":
        targets = re.findall(r"(?m)^(\w+):", (ROOT / "Makefile").read_text("utf-8"))
        assert set(words[1:]) <= set(targets), command.line
    elif program in ("python", "pytest"):
        _known_script(words)
    elif program == "pre-commit":
        assert words[1] in ("run", "install", "autoupdate"), command.line
    else:
        assert program in FOREIGN or program.startswith("."), f"who is {program}?"
    return None


@contextlib.contextmanager
def _input(name: str) -> Any:
    before = sys.stdin
    with Path(name).open(encoding="utf-8") as sys.stdin:
        try:
            yield
        finally:
            sys.stdin = before


def _dlclint(arguments: list[str], command: Command) -> None:
    qnn = arguments[0] == "confirm" or "--confirm" in arguments
    qnn |= "--engine" in arguments and arguments[arguments.index("--engine") + 1] in ("htp", "both")
    elsewhere = any("://" in argument or argument.startswith("/path/to/") for argument in arguments)
    elsewhere |= "--judge" in arguments  # which an SDK answers
    if arguments[0] == "server" or elsewhere or (qnn and find_spec("onnxruntime_qnn") is None):
        assert not command.output, "what is not run here has no output to compare"
        parser(arguments[0]).parse_args(arguments)
        return
    target = None
    if ">" in arguments:
        target = Path(arguments[arguments.index(">") + 1])
        arguments = arguments[: arguments.index(">")]
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            status = main(arguments)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 2
    printed = output.getvalue()
    if target is not None:
        target.write_text(printed, "utf-8")
        printed = ""
    said = f"{command.line}\nexit status {status}\n{printed}{errors.getvalue()}"
    assert status in ((0, 1) if command.status is None else (command.status,)), said
    if command.output:
        assert agrees(command.output, errors.getvalue() + printed), said


def _pip(words: list[str]) -> None:
    """What is installed exists: extras of ours, in quotes, because a shell would expand the brackets."""
    assert words[0] in ("install", "download"), words
    for word in words:
        match = re.fullmatch(r"(?:dlclint|\.)\[([\w,]+)\]", word)
        if match:
            assert set(match[1].split(",")) <= set(PROJECT["project"]["optional-dependencies"]), word


def _known_script(words: list[str]) -> None:
    """A script of the repository exists and knows its options; how long it takes is why it is not run."""
    if words[0] == "pytest":
        assert all((ROOT / word.partition("::")[0]).exists() for word in words[1:] if "/" in word)
        return
    if words[1] == "-m":
        if words[2] in ("venv", "zipfile", "pip", "build", "pre_commit", "mkdocs"):
            return
        path = ROOT / Path(*words[2].split("."))
        if words[2].startswith("dlclint_schemas"):
            path = ROOT / "schemas" / Path(*words[2].split("."))
        file = next((p for p in (path.with_suffix(".py"), path / "__main__.py") if p.is_file()), None)
    else:
        file = ROOT / words[1]
    assert file is not None and file.is_file(), words
    source = "".join(
        p.read_text("utf-8") for p in ([file] if file.name != "__main__.py" else file.parent.glob("*.py"))
    )
    for word in words[2:]:
        if word.startswith("--"):
            assert f'"{word.partition("=")[0]}"' in source, f"{file.name} has no {word}"


def _toml(block: Block) -> None:
    data = tomllib.loads(block.text)
    if "language-server" in data:
        for server in data["language-server"].values():
            parser("server").parse_args(_ours(server["command"], *server["args"]))
        names = set(data["language-server"]) | {"vscode-json-language-server", "taplo"}
        assert {name for language in data["language"] for name in language["language-servers"]} <= names
        return
    project = data.pop("project", {})
    if project:
        groups = {f"{group}" for group in project.get("entry-points", {})}
        ours = {name for name in PROJECT["project"]["entry-points"] if name.startswith("dlclint.")}
        assert groups <= ours, "an entry-point group that nobody reads"
    data.pop("build-system", None)
    tool = data.pop("tool", {})
    schema = json.loads(files("dlclint_schemas").joinpath("config.schema.json").read_text("utf-8"))
    for settings in (data, tool.get("dlclint", {})):
        jsonschema.validate(settings, schema)


def _ours(*words: str) -> list[str]:
    assert words[0] == "dlclint"
    return list(words[1:])


def _json(block: Block) -> None:
    data = json.loads(block.text)
    for entry in data.get("json.schemas", ()):
        assert (ROOT / entry["url"]).is_file()
    if {"activation_encodings", "encodings"} & data.keys():
        schema = json.loads(files("dlclint_schemas").joinpath("encodings.schema.json").read_text("utf-8"))
        jsonschema.validate(data, schema)


def _yaml(block: Block) -> None:
    data = yaml.safe_load(block.text)
    repositories = data if isinstance(data, list) else data.get("repos", ())
    hooks = {
        hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    }
    for hook in (hook for repository in repositories for hook in repository["hooks"]):
        entry = hooks[hook["id"]]["entry"].split()
        parser(entry[1]).parse_args([*_ours(*entry), *hook.get("args", ()), "x.onnx"])
        re.compile(hook.get("files", ""))
    if isinstance(data, dict):
        for job in data.get("jobs", {}).values():
            assert True in data, "a workflow says when it runs: YAML 1.1 reads `on` as true"
            for step in job["steps"]:
                _step(step)
        for job in data.values():
            for line in job.get("script", ()) if isinstance(job, dict) else ():
                _run(Command(line, "", None))


def _step(step: dict[str, Any]) -> None:
    """A step of a workflow: what is run, or what our own action is given."""
    for line in step.get("run", "").splitlines():
        _run(Command(line, "", None))
    if "/dlclint@" in step.get("uses", ""):
        inputs = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))["inputs"]
        assert step["with"].keys() <= inputs.keys()
        words = shlex.split(step["with"].get("args", ""), comments=True)
        parser("check").parse_args(["check", *words, "."])


def _python(block: Block) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(ast.parse(block.text), "block", "exec"), {"__name__": "block"})


def _lua(block: Block) -> None:
    words = re.search(r"cmd = \{([^}]*)\}", block.text)
    assert words is not None
    parser("server").parse_args(_ours(*re.findall(r'"([^"]*)"', words[1])))
    compiler = shutil.which("luac") or shutil.which("luac5.4")
    if compiler:
        subprocess.run([compiler, "-p", "-"], input=block.text, text=True, check=True)


def _shell(block: Block) -> None:
    """Lines for a shell's own start-up files, which the tests of completions run."""
    for word in re.findall(r"dlclint [^|>\n)&]+", block.text):
        _run(Command(word.strip(), "", None))


def _text(block: Block) -> None:
    """Drawings and messages: no command hides in them."""
    assert not re.search(r"(?m)^\s*(\$|dlclint|pip|python) ", block.text)


RUN: dict[str, Callable[[Block], None]] = {
    "console": _console,
    "toml": _toml,
    "json": _json,
    "yaml": _yaml,
    "python": _python,
    "lua": _lua,
    "sh": _shell,
    "text": _text,
}


def test_what_a_document_shows_is_compared() -> None:
    assert agrees("a\n...\nd", "a\nb\nc\nd\n") and agrees("a ... c\n...", "a b c\nx\ny")
    assert not agrees("a\nb", "a\nc") and not agrees("a", "a\nb") and not agrees("a ... c", "a b\nc")
    block = blocks_of("x\n\n```console\n$ dlclint check \\\n>   x\nout\n$ echo $?\n1\n```\n")[0]
    assert list(commands_of(block)) == [Command("dlclint check x", "out", 1)]
    assert indented("a\n\n    dlclint check x\n") and not indented("```text\n\n    x\n```\n")


def test_installing_names_extras_in_quotes() -> None:
    """Messages and documents alike: a shell such as zsh stops at brackets without quotes."""
    extras = set(PROJECT["project"]["optional-dependencies"])
    places = [*PAGES, *(ROOT / "lint").rglob("*.py"), ROOT / "CHANGELOG.md"]
    count = 0
    for path in places:
        for match in re.finditer(r"(.)(?:dlclint|\.)\[(\w+(?:,\w+)*)\](.)", path.read_text("utf-8")):
            count += 1
            assert match[1] == match[3] == "'", f"{path.name}: {match[0]}"
            assert set(match[2].split(",")) <= extras, match[0]
    assert count > 5
