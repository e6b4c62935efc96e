"""What a request carries, whom it reaches, and what of fsspec's configuration it follows."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from range_server import Handler, serving
from served_models import layered

from dlclint.engine.job import Job
from dlclint.engine.run import lint_file
from dlclint.outcome import FileOutcome
from dlclint.remote import transport, urls

config = pytest.importorskip("fsspec.config", reason="dlclint[remote] is not installed")


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], None]:
    """Sets fsspec's configuration of https."""

    def put(options: dict[str, Any]) -> None:
        monkeypatch.setenv("FSSPEC_HTTPS", "{}")
        monkeypatch.setitem(config.conf, "https", options)
        monkeypatch.setattr(transport, "_clients", {})

    monkeypatch.setattr(transport, "_clients", {})
    return put


def lint(url: str) -> FileOutcome:
    return lint_file(Job(Path(urls.path_of(url)), url=url, weights=False))


def refusal(outcome: FileOutcome) -> str:
    (finding,) = outcome.diagnostics
    assert finding.rule == "model/unreadable"
    return finding.message


def test_credentials_reach_the_host_that_was_named_alone(
    root: Path, configured: Callable[[dict[str, Any]], None]
) -> None:
    configured({"headers": {"X-Token": "secret"}, "client_kwargs": {"cookies": {"session": "secret"}}})
    layered(root / "m.onnx", layers=20)
    seen: dict[str, list[tuple[str | None, ...]]] = {"named": [], "other": []}

    def noted(name: str, handler: Handler) -> None:
        seen[name].append(tuple(handler.headers.get(one) for one in ("Authorization", "X-Token", "Cookie")))

    def elsewhere(handler: Handler, _: int) -> bool:
        noted("other", handler)
        return False

    with serving(root, fault=elsewhere) as other:

        def moves(handler: Handler, _: int) -> bool:
            noted("named", handler)
            handler.answer(307, b"", "text/plain", Location=f"{other.url}/m.onnx")
            return True

        with serving(root, fault=moves) as named:
            outcome = lint(named.url.replace("://", "://user:p%40ss@") + "/m.onnx")
    assert outcome.summary is not None
    assert set(seen["named"]) == {("Basic dXNlcjpwQHNz", "secret", "session=secret")}
    assert set(seen["other"]) == {(None, None, None)}


@pytest.mark.parametrize(
    "options",
    [{"auth": "x"}, {"client_kwargs": {"auth": "x"}}, {"headers": "x"}],
    ids=["auth", "client", "no object"],
)
def test_a_configuration_that_is_not_known_is_not_passed_over(
    root: Path, configured: Callable[[dict[str, Any]], None], options: dict[str, Any]
) -> None:
    configured(options)
    layered(root / "m.onnx", layers=1)
    with serving(root) as served:
        assert "fsspec's configuration of http " in refusal(lint(f"{served.url}/m.onnx"))
    assert served.requests == []


def test_connections_are_kept(root: Path) -> None:
    layered(root / "m.onnx", layers=60, size=400)
    ports: list[int] = []

    def counted(handler: Handler, _: int) -> bool:
        ports.append(handler.client_address[1])
        return False

    with serving(root, fault=counted) as served:
        lint(f"{served.url}/m.onnx")
    assert len(ports) > len(set(ports)) == 1


def test_a_compressed_answer_is_not_a_file(root: Path) -> None:
    def compresses(handler: Handler, _: int) -> bool:
        handler.answer(200, bytes(100), "application/octet-stream", Content_Encoding="gzip")
        return True

    layered(root / "m.onnx", layers=1)
    with serving(root, fault=compresses) as served:
        assert "sends it compressed" in refusal(lint(f"{served.url}/m.onnx"))


@pytest.mark.parametrize("trusted", [True, False])
def test_https(
    root: Path, tmp_path: Path, configured: Callable[[dict[str, Any]], None], trusted: bool
) -> None:
    """A certificate must be trusted, and nothing is requested without a certificate that the user named."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))
    if trusted:
        configured({"ssl": False})
    layered(root / "m.onnx", layers=1)
    with serving(root) as plain:

        def moves(handler: Handler, _: int) -> bool:
            if handler.path != "/moved.onnx":
                return False
            handler.answer(302, b"", "text/plain", Location=f"{plain.url}/m.onnx")
            return True

        with serving(root, fault=moves, safety=context) as served:
            outcome = lint(f"{served.url}/m.onnx")
            if trusted:
                assert outcome.summary is not None
                assert "leads from https to http" in refusal(lint(f"{served.url}/moved.onnx"))
            else:
                assert "certificate is not trusted" in refusal(outcome)
    assert plain.requests == []


def certificate(folder: Path) -> Path:
    """A key and a certificate that it signed itself."""
    pytest.importorskip("cryptography", reason="makes the certificate of a server")
    from datetime import datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "127.0.0.1")])
    begin = datetime(2020, 1, 1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begin)
    signed = builder.not_valid_after(begin + timedelta(36500)).sign(key, hashes.SHA256())
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path
