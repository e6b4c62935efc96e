"""Models over HTTP, from servers that behave and from those that do not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import onnx
import pytest
from range_server import Handler, Served, serving
from served_models import layered

from dlclint.cli.main import main
from dlclint.engine.job import Job
from dlclint.engine.run import lint_file
from dlclint.outcome import FileOutcome
from dlclint.remote import opening, urls

pytest.importorskip("aiohttp", reason="dlclint[remote] is not installed")

SECONDS = 1.0


@pytest.fixture(autouse=True)
def in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(opening.TIMEOUT, str(SECONDS))


def job(url: str, **settings: Any) -> Job:
    return Job(Path(urls.path_of(url)), url=url, **settings)


def essence(outcome: FileOutcome) -> list[tuple[str, str, str]]:
    """The findings without the file they are in."""
    return [(finding.rule, finding.message, finding.location.tensor) for finding in outcome.diagnostics]


def refusal(outcome: FileOutcome) -> str:
    """The one finding on a file that could not be read."""
    (finding,) = outcome.diagnostics
    assert finding.rule == "model/unreadable"
    assert finding.help
    return finding.message


def traffic(outcome: FileOutcome) -> str:
    return next(note for note in outcome.notes if note.startswith("read "))


@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize(
    "settings", [{}, {"several": False}, {"ranges": False}], ids=["ranges", "one range at once", "no ranges"]
)
def test_findings_are_those_of_the_local_file(root: Path, settings: dict[str, Any], weights: bool) -> None:
    path = layered(root / "m.onnx")
    here = lint_file(Job(path, weights=weights))
    with serving(root, **settings) as served:
        there = lint_file(job(f"{served.url}/m.onnx", weights=weights))
    assert essence(there) == essence(here)
    assert there.summary == here.summary
    assert there.path == f"{served.url}/m.onnx"
    assert any("cannot be read by ranges" in note for note in there.notes) == (
        not settings.get("ranges", True)
    )


def test_the_structure_alone_is_a_small_part(root: Path) -> None:
    path = layered(root / "m.onnx", layers=60, size=400)  # 38 MB in 60 large weights
    with serving(root) as served:
        lint_file(job(f"{served.url}/m.onnx", weights=False))
    assert served.sent < path.stat().st_size / 8
    assert len(served.requests) <= 20  # of 60 large weights


def test_external_data_and_overrides_are_found_next_to_the_model(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layered(root / "m.onnx", external=True)
    (root / "m.encodings").write_text('{"activation_encodings": {"nosuch": []}, "param_encodings": {}}')
    with serving(root) as served:
        status = main(["check", "--isolated", "--format", "json", f"{served.url}/m.onnx"])
    report = json.loads(capsys.readouterr().out)
    assert status == 1
    assert [(file["path"], file["kind"]) for file in report["files"]] == [
        (f"{served.url}/m.onnx", "model"),
        (f"{served.url}/m.encodings", "encodings"),
    ]
    rules = {finding["rule"] for file in report["files"] for finding in file["findings"]}
    assert "encodings/unknown-tensor" in rules
    assert "model/external-data-missing" not in rules


def test_external_data_that_are_not_there(root: Path) -> None:
    layered(root / "m.onnx", external=True)
    (root / "m.onnx.data").unlink()
    with serving(root) as served:
        outcome = lint_file(job(f"{served.url}/m.onnx"))
    assert {finding.rule for finding in outcome.diagnostics} >= {"model/external-data-missing"}
    assert sum(request.endswith(".data") for request in served.requests) == 1


@pytest.mark.parametrize(
    "location",
    [
        "http://elsewhere.invalid/data",
        "//elsewhere.invalid/data",
        "/data",
        "../data",
        "@elsewhere.invalid/data",
    ],
)
def test_no_path_of_a_model_reaches_another_host(root: Path, location: str) -> None:
    layered(root / "m.onnx", layers=1, external=True)
    model = onnx.load(root / "m.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    (root / "m.onnx").write_bytes(model.SerializeToString())
    hosts: list[str] = []

    def seen(handler: Handler, _: int) -> bool:
        hosts.append(handler.headers["Host"])
        return False

    with serving(root, fault=seen) as served:
        outcome = lint_file(job(f"{served.url}/m.onnx"))
    assert {finding.rule for finding in outcome.diagnostics} & {
        "model/external-data-missing",
        "model/external-data-escapes",
    }
    assert set(hosts) == {served.url.removeprefix("http://")}


def test_folders_and_patterns(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "zoo" / "deep").mkdir(parents=True)
    layered(root / "zoo" / "a.onnx", layers=1)
    layered(root / "zoo" / "deep" / "b.onnx", layers=1)
    (root / "zoo" / "readme.txt").write_text("nothing")
    with serving(root) as served:
        for address, names in (("zoo/", ["a.onnx", "deep/b.onnx"]), ("zoo/*.onnx", ["a.onnx"])):
            main(["check", "--isolated", "--format", "json", f"{served.url}/{address}"])
            report = json.loads(capsys.readouterr().out)
            assert [file["path"] for file in report["files"]] == [
                f"{served.url}/zoo/{name}" for name in names
            ]


def stalls(handler: Handler, _: int) -> bool:
    handler.served.lock.acquire(timeout=4 * SECONDS)
    return True


def drips(handler: Handler, _: int) -> bool:
    handler.send_response(206)
    handler.send_header("Content-Range", "bytes 0-262143/1000000")
    handler.send_header("Content-Length", "262144")
    handler.end_headers()
    try:
        for _ in range(1000):
            handler.wfile.write(b"\x08")
            handler.served.lock.acquire(timeout=0.05)
    except OSError:
        pass
    return True


def redirects_in_a_circle(handler: Handler, number: int) -> bool:
    handler.answer(302, b"", "text/plain", Location=f"/m.onnx?{number}")
    return True


def answers_with_a_page(handler: Handler, _: int) -> bool:
    handler.answer(200, b"<html>sign in</html>", "text/html; charset=utf-8")
    return True


def denies(handler: Handler, _: int) -> bool:
    handler.answer(403, b"secret reason", "text/plain")
    return True


def truncates(handler: Handler, _: int) -> bool:
    handler.close_connection = True
    handler.send_response(206)
    handler.send_header("Content-Range", "bytes 0-99999/1000000")
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    handler.wfile.write(bytes(5000))
    return True


def lies_about_the_range(handler: Handler, _: int) -> bool:
    handler.answer(206, bytes(100), "application/octet-stream", Content_Range="bytes 500-599/1000")
    return True


def lies_about_the_size(handler: Handler, _: int) -> bool:
    handler.answer(206, bytes(100), "application/octet-stream", Content_Range=f"bytes 0-99/{10**15}")
    return True


def says_no_range(handler: Handler, _: int) -> bool:
    handler.answer(206, bytes(100), "application/octet-stream")
    return True


def sends_too_much(handler: Handler, _: int) -> bool:
    handler.answer(206, bytes(4 << 20), "application/octet-stream", Content_Range="bytes 0-99/100")
    return True


def fails(handler: Handler, _: int) -> bool:
    handler.answer(503, b"", "text/plain")
    return True


def hangs_up(handler: Handler, _: int) -> bool:
    handler.close_connection = True
    return True


FAULTS: list[tuple[Callable[[Handler, int], bool], str]] = [
    (stalls, "no answer within 1 s"),
    (drips, "no answer within 1 s"),
    (redirects_in_a_circle, "leads from one address to the next without end"),
    (answers_with_a_page, "is a web page"),
    (denies, "is denied (403)"),
    (truncates, "the connection ended before the answer did, after"),
    (lies_about_the_range, "another range than the requested one"),
    (lies_about_the_size, "another range than the requested one"),
    (says_no_range, "does not say which bytes"),
    (sends_too_much, "sends more than it was asked for"),
    (fails, "the server answers 503, after"),
    (hangs_up, "the connection failed"),
]


@pytest.mark.parametrize(("fault", "words"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_a_server_that_misbehaves_costs_its_file_alone(
    root: Path,
    fault: Callable[[Handler, int], bool],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if fault not in (stalls, drips):
        monkeypatch.setenv(opening.TIMEOUT, "30")  # a busy machine is not a server that stalls
    layered(root / "m.onnx", layers=1)
    good = layered(root / "good.onnx", layers=1)
    with serving(root, fault=fault) as served:
        status = main(["check", "--isolated", "--format", "json", f"{served.url}/m.onnx", str(good)])
    report = json.loads(capsys.readouterr().out)
    by_path = {file["path"]: [finding["rule"] for finding in file["findings"]] for file in report["files"]}
    message = next(file for file in report["files"] if file["path"] != str(good))["findings"][0]["message"]
    assert words in message
    assert "secret reason" not in message
    assert by_path[f"{served.url}/m.onnx"] == ["model/unreadable"]
    assert "model/unreadable" not in by_path[str(good)]
    assert status == 1


@pytest.mark.parametrize("change", ["etag", "size"])
def test_a_file_that_changes_while_it_is_read(root: Path, change: str) -> None:
    path = layered(root / "m.onnx", layers=30, size=300)

    def changes(handler: Handler, number: int) -> bool:
        if number == 1:
            if change == "etag":
                os.utime(path, (1, 1))
            else:
                path.write_bytes(path.read_bytes() + b"\0" * 10)
        return False

    with serving(root, fault=changes) as served:
        outcome = lint_file(job(f"{served.url}/m.onnx"))
    assert "changed while it was read" in refusal(outcome)


def test_a_failure_that_passes_is_tried_again(root: Path) -> None:
    path = layered(root / "m.onnx", layers=1)
    with serving(root, fault=lambda handler, number: number < 2 and fails(handler, number)) as served:
        outcome = lint_file(job(f"{served.url}/m.onnx"))
    assert essence(outcome) == essence(lint_file(Job(path)))


def test_a_redirect_is_followed_once(root: Path) -> None:
    layered(root / "real.onnx", layers=30, size=300)

    def moved(handler: Handler, _: int) -> bool:
        if handler.path != "/m.onnx":
            return False
        handler.answer(302, b"", "text/plain", Location="/real.onnx")
        return True

    with serving(root, fault=moved) as served:
        outcome = lint_file(job(f"{served.url}/m.onnx"))
    assert outcome.summary is not None
    assert served.requests.count("GET /m.onnx") == 1
    assert served.requests.count("GET /real.onnx") > 1


def test_without_ranges_a_large_file_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlclint.remote.http.LARGEST_WHOLE", 1000)
    layered(root / "m.onnx", layers=1)
    with serving(root, ranges=False) as served:
        outcome = lint_file(job(f"{served.url}/m.onnx"))
    assert "cannot be read by ranges; at most 1000" in refusal(outcome)


@pytest.mark.parametrize(
    "url", ["http://user:secret@{host}/nosuch.onnx?token=secret", "http://{host}/nosuch.onnx"]
)
def test_credentials_are_in_no_message(root: Path, url: str) -> None:
    with serving(root) as served:
        outcome = lint_file(job(url.format(host=served.url.removeprefix("http://"))))
    assert "nosuch.onnx does not exist" in refusal(outcome)
    assert "secret" not in repr(replace(outcome, target=Job(Path()).target))


def test_a_host_that_is_not_there() -> None:
    outcome = lint_file(job("http://nosuch.invalid/m.onnx"))
    assert "nosuch.invalid/m.onnx" in refusal(outcome)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ftp://host/m.onnx"], "ftp:// is not read; known are http://"),
        (["http://127.0.0.1:9/m.pt"], "no model format has this ending"),
        (["http://user:secret@[::1/m.onnx"], "http://[::1/m.onnx is not an address; check its spelling"),
        (["https://host:port/m.onnx"], "https://host:port/m.onnx is not an address"),
        (["--confirm", "--soc", "SM8650", "http://127.0.0.1:9/m.onnx"], "--confirm reads files at hand"),
    ],
)
def test_addresses_that_are_invalid(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--isolated", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_other_commands_say_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--isolated", "http://127.0.0.1:9/m.onnx"]) == 2
    assert "download the file" in capsys.readouterr().err


def test_nothing_is_left_behind(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    layered(root / "m.onnx", external=True)
    with serving(root) as served:
        lint_file(job(f"{served.url}/m.onnx"))
        lint_file(job(f"{served.url}/nosuch.onnx"))
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "relative", "expected"),
    [
        ("https://u:p@h/a/m.onnx?t=1", "w.bin", "https://u:p@h/a/w.bin?t=1"),
        ("https://h/a/m.onnx", "x?y#z/é.bin", "https://h/a/x%3Fy%23z/%C3%A9.bin"),
        ("s3://bucket/a/m.onnx", "d/w.bin", "s3://bucket/a/d/w.bin"),
    ],
)
def test_addresses_next_to_a_model(url: str, relative: str, expected: str) -> None:
    assert urls.address_beside(url, PurePosixPath(relative)) == expected


def test_what_served_counts(root: Path) -> None:
    """The server that the figures rest on counts what it sends."""
    (root / "file").write_bytes(bytes(1000))
    with serving(root) as served:
        opened = opening.opened(f"{served.url}/file", 100)
        taken: list[tuple[int, bytes]] = []
        opened.read([(200, 250), (900, 1000)], lambda offset, data: taken.append((offset, data)))
    assert isinstance(served, Served)
    assert opened.size == 1000
    assert sorted((offset, len(data)) for offset, data in taken) == [(200, 50), (900, 100)]
    assert opened.traffic.requests == len(served.requests) == 2
    assert opened.traffic.bytes == served.sent


def test_a_run_goes_on_with_what_has_not_changed(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(opening.TIMEOUT, "30")  # a busy machine is not a server that stalls
    for name in ("a", "b", "c"):
        layered(root / f"{name}.onnx", layers=2)
    command = ["check", "--isolated", "--no-weights", "--format", "json", "--results", str(tmp_path / "kept")]
    with serving(root) as served:
        main([*command, f"{served.url}/"])
        first = capsys.readouterr().out
        layered(root / "b.onnx", layers=3)
        served.requests.clear()
        main([*command, "--resume", f"{served.url}/"])
        told = capsys.readouterr()
        assert told.err == "dlclint: 2 files of 3 unchanged\n"
        assert [one for one in served.requests if "a.onnx" in one] == ["GET /a.onnx"]  # its ETag
        (root / "c.encodings").write_text('{"activation_encodings": {}, "param_encodings": {}}')
        main([*command, "--resume", f"{served.url}/"])
        assert capsys.readouterr().err == "dlclint: 2 files of 4 unchanged\n"
        served.etag = lambda _: ""
        main([*command, "--resume", f"{served.url}/"])
        assert capsys.readouterr().err == "dlclint: 0 files of 4 unchanged\n"
    before, after = json.loads(first)["files"], json.loads(told.out)["files"]
    assert before[0] == after[0] and before[2] == after[2] and before[1] != after[1]
