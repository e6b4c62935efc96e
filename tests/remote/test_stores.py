"""Models in an object store: a real S3 server, read through fsspec's file system for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served_models import layered

from dlclint.cli.main import main
from dlclint.engine.job import Job
from dlclint.engine.run import lint_file
from dlclint.remote import opening, urls

pytest.importorskip("s3fs", reason="dlclint[remote] is not installed")
server = pytest.importorskip("moto.server", reason="moto is not installed")

NAME = "models"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A bucket with nothing in it; the credentials are those that the store's own tools read."""
    import boto3

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secretsecret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    storage = boto3.resource("s3").Bucket(NAME)
    storage.create()
    yield storage
    storage.objects.all().delete()


def put(bucket: Any, path: Path, key: str) -> None:
    bucket.put_object(Key=key, Body=path.read_bytes())


def job(key: str, **settings: Any) -> Job:
    url = f"s3://{NAME}/{key}"
    return Job(Path(urls.path_of(url)), url=url, **settings)


def test_findings_are_those_of_the_local_file(bucket: Any, root: Path) -> None:
    path = layered(root / "m.onnx", external=True)
    put(bucket, path, "zoo/m.onnx")
    put(bucket, root / "m.onnx.data", "zoo/m.onnx.data")
    here, there = lint_file(Job(path)), lint_file(job("zoo/m.onnx"))
    assert [(finding.rule, finding.message) for finding in there.diagnostics] == [
        (finding.rule, finding.message) for finding in here.diagnostics
    ]
    assert there.summary == here.summary


def test_a_folder_with_overrides(bucket: Any, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(bucket, layered(root / "a.onnx", layers=1), "zoo/a.onnx")
    put(bucket, layered(root / "b.onnx", layers=1), "zoo/deep/b.onnx")
    (root / "a.encodings").write_text('{"activation_encodings": {"nosuch": []}, "param_encodings": {}}')
    put(bucket, root / "a.encodings", "zoo/a.encodings")
    for address in (f"s3://{NAME}/zoo/", f"s3://{NAME}/zoo/**"):
        main(["check", "--isolated", "--format", "json", address])
        report = json.loads(capsys.readouterr().out)
        paths = [file["path"].removeprefix(f"s3://{NAME}/zoo/") for file in report["files"]]
        assert paths == ["a.onnx", "a.encodings", "deep/b.onnx"]


def test_what_is_not_there(bucket: Any) -> None:
    (finding,) = lint_file(job("nosuch.onnx")).diagnostics
    assert finding.rule == "model/unreadable"
    assert finding.message == f"s3://{NAME}/nosuch.onnx does not exist"


def test_an_empty_folder(bucket: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--isolated", f"s3://{NAME}/empty/"]) == 2
    assert "no model is there" in capsys.readouterr().err


def test_a_file_that_changes_while_it_is_read(
    bucket: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dlclint.remote.stores import StoreReader

    put(bucket, layered(root / "m.onnx", layers=20), "m.onnx")
    read = StoreReader.read

    def changing(self: StoreReader, *arguments: Any) -> None:
        read(self, *arguments)
        put(bucket, layered(root / "other.onnx", layers=20, size=201), "m.onnx")

    monkeypatch.setattr(StoreReader, "read", changing)
    (finding,) = lint_file(job("m.onnx", weights=False)).diagnostics
    assert "changed while it was read" in finding.message


def test_a_store_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secretsecret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv(opening.TIMEOUT, "1")
    (finding,) = lint_file(job("m.onnx")).diagnostics
    assert finding.rule == "model/unreadable"
    assert "secretsecret" not in repr(finding)
