"""The language server: the kind of each file, and the requests of the protocol.

The contents in the editor are linted, a moment after the last key stroke and in a thread, so that typing
never waits.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from dlclint.cli.errors import UsageError
from dlclint.cli.jobs import job_for
from dlclint.cli.main import parser
from dlclint.contained.deaths import Died
from dlclint.contained.standing import Beside
from dlclint.diagnostic import plain
from dlclint.encodings.recognition import model_beside
from dlclint.engine.config import Config, ConfigError, find_config, load_config
from dlclint.engine.job import Job
from dlclint.engine.registry import broken_plugins
from dlclint.own_rules import CRASHED
from dlclint.server.asking import Opened, answer
from dlclint.server.configuration import ConfigurationFile
from dlclint.server.positions import Positions
from dlclint.server.wording import SOURCE
from dlclint.version import __version__

PAUSE = 0.2
"""Seconds without a key stroke before a file is linted again."""
CONFIGURATION = "dlclint.toml"
OVERRIDES = (".encodings", ".json", ".jsonc")
"""Suffixes of files that are treated as override files; the client decides which of them it sends."""


class Server(LanguageServer):
    """The server's state: cached models, and the last analysis of each open override file."""

    def __init__(self) -> None:
        super().__init__(SOURCE, __version__)
        self.worker = Beside()
        self.open: set[str] = set()
        """The override files that requests were about."""
        self.pending: dict[str, asyncio.Task[None]] = {}

    @property
    def units(self) -> str:
        """The units that client and server count columns in."""
        return str(getattr(self.workspace.position_encoding, "value", self.workspace.position_encoding))

    def ask(self, uri: str, question: str, *arguments: object) -> Any:
        """As `answered`; None where the process ended, which the findings report."""
        with suppress(Died):
            return self.answered(uri, question, *arguments)
        return None

    def answered(self, uri: str, question: str, *arguments: object) -> Any:
        """The answer about an open override file, by a process that its model may end; None for other files.

        Raises:
            UsageError, ConfigError: the configuration is invalid.
            Died: the process ended whichever step was left out.
        """
        path = _path(uri)
        if path is None or path.suffix.lower() not in OVERRIDES:
            return None
        self.open.add(uri)
        text = self.workspace.get_text_document(uri)
        opened = Opened(uri, text.version, text.source, self.units, _job(path))
        return self.worker.ask(_state(opened.job.model), answer, question, opened, *arguments)

    def configuration_file(self, uri: str) -> ConfigurationFile | None:
        """An open configuration; None for other files."""
        path = _path(uri)
        if path is None or path.name != CONFIGURATION:
            return None
        return ConfigurationFile(self.workspace.get_text_document(uri).source, self.units)

    def findings(self, uri: str) -> list[types.Diagnostic]:
        """The findings to show for a file."""
        configuration = self.configuration_file(uri)
        if configuration is not None:
            return configuration.diagnostics()
        try:
            diagnostics: list[types.Diagnostic] = self.answered(uri, "diagnostics") or []
            return diagnostics
        except (UsageError, ConfigError) as problem:
            return [_of_file(f"the configuration cannot be followed: {plain(str(problem), 400)}", "config")]
        except Died as died:
            return [_of_file(f"linting {died.how} on this file with its model", CRASHED)]

    def lint_soon(self, uri: str, pause: float = PAUSE) -> None:
        """Lint a file after a pause, unless it changes before."""
        waiting = self.pending.pop(uri, None)
        if waiting is not None:
            waiting.cancel()
        self.pending[uri] = asyncio.ensure_future(self._lint(uri, pause))

    async def _lint(self, uri: str, pause: float) -> None:
        await asyncio.sleep(pause)
        version = self.workspace.get_text_document(uri).version
        diagnostics = await asyncio.get_running_loop().run_in_executor(None, self.findings, uri)
        if self.workspace.get_text_document(uri).version == version:
            self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, diagnostics, version))

    def forget(self, uri: str) -> None:
        """Forget a file that was closed."""
        self.open.discard(uri)
        waiting = self.pending.pop(uri, None)
        if waiting is not None:
            waiting.cancel()
        self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, []))


def _path(uri: str) -> Path | None:
    parts = urlsplit(uri)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def _of_file(message: str, code: str) -> types.Diagnostic:
    """A finding on a file as a whole."""
    span = Positions("").token(0)
    return types.Diagnostic(span, message, types.DiagnosticSeverity.Error, code=code, source=SOURCE)


def _state(model: Path | None) -> tuple[str, int, int]:
    """A model's path, and what changes when its file does."""
    try:
        state = None if model is None else model.stat()
    except OSError:
        state = None
    return (str(model), 0, 0) if state is None else (str(model), state.st_mtime_ns, state.st_size)


def _job(path: Path) -> Job:
    """The settings for an override file: those of `dlclint check FILE` with the nearest configuration."""
    config_path = find_config(path.parent)
    config = Config() if config_path is None else load_config(config_path)
    model = model_beside(path)
    args = parser("check").parse_args(["check", str(path)])
    job = job_for(model or path, args, config, (), (), True)
    return Job(
        path, job.target, job.dimensions, job.select, job.ignore, job.ignores, kind="encodings", model=model
    )


def create() -> Server:
    """A server with every feature."""
    server = Server()

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: types.DidOpenTextDocumentParams) -> None:
        server.lint_soon(params.text_document.uri, 0.0)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: types.DidChangeTextDocumentParams) -> None:
        server.lint_soon(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def saved(params: types.DidSaveTextDocumentParams) -> None:
        # The configuration affects the findings in other files.
        path = _path(params.text_document.uri)
        if path is not None and path.name == CONFIGURATION:
            for uri in list(server.open):
                server.lint_soon(uri, 0.0)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: types.DidCloseTextDocumentParams) -> None:
        server.forget(params.text_document.uri)

    @server.feature(
        types.TEXT_DOCUMENT_CODE_ACTION,
        types.CodeActionOptions([types.CodeActionKind.QuickFix, types.CodeActionKind.SourceFixAll]),
    )
    def actions(params: types.CodeActionParams) -> list[types.CodeAction]:
        code_actions = server.ask(params.text_document.uri, "actions", params.range) or []
        wanted = params.context.only
        return [action for action in code_actions if not wanted or _is_wanted(action, wanted)]

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    def hover(params: types.HoverParams) -> types.Hover | None:
        uri = params.text_document.uri
        configuration = server.configuration_file(uri)
        if configuration is not None:
            told = configuration.hover(configuration.positions.offset(params.position))
            return None if told is None else types.Hover(told)
        text = server.ask(uri, "hover", params.position)
        return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, text)) if text else None

    @server.feature(
        types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=['"', "/", "."])
    )
    def completion(params: types.CompletionParams) -> types.CompletionList:
        uri = params.text_document.uri
        configuration = server.configuration_file(uri)
        if configuration is not None:
            items = configuration.completions(configuration.positions.offset(params.position))
            return types.CompletionList(False, items)
        items = server.ask(uri, "completions", params.position) or []
        # The list is incomplete; another letter may lead to other items.
        return types.CompletionList(True, items)

    @server.feature(types.TEXT_DOCUMENT_DEFINITION)
    def related(params: types.DefinitionParams) -> list[types.Location]:
        locations: list[types.Location] = (
            server.ask(params.text_document.uri, "related", params.position) or []
        )
        return locations

    return server


def _is_wanted(action: types.CodeAction, wanted: Sequence[types.CodeActionKind | str]) -> bool:
    kind = str(getattr(action.kind, "value", action.kind))
    return any(
        kind == one or kind.startswith(f"{one}.") for one in (str(getattr(w, "value", w)) for w in wanted)
    )


def serve_editor(_: argparse.Namespace) -> int:
    """Serve the protocol on standard input and output until the client ends it."""
    for plugin in broken_plugins(
        groups=()
    ):  # before there are threads, because a plugin is tried in a separate process
        print(f"dlclint: error: {plugin}", file=sys.stderr)
    server = create()  # first, so that its workers do not hold the client's streams open
    # Whatever else writes to standard output, native code included, must not mix with the messages.
    with os.fdopen(os.dup(1), "wb") as answers, os.fdopen(os.dup(0), "rb") as requests:
        os.dup2(2, 1)
        server.start_io(requests, answers)
    return 0
