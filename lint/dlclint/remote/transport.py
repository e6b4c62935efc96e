"""Requests over HTTP by the standard library, with redirects, persistent connections, and a time limit.

A client package takes longer to import than a small model takes to lint.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from dlclint.diagnostic import plain
from dlclint.remote import urls
from dlclint.remote.at_once import is_late
from dlclint.remote.errors import RemoteError
from dlclint.version import __version__

REDIRECTS = 5
_MOVED = frozenset({301, 302, 303, 307, 308})
_CHUNK = 1 << 16
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9_.:%-]+")
_TAKEN = ("headers", "cookies", "trust_env")
"""The keys of `client_kwargs` in fsspec's configuration that are used."""
_NOT_TAKEN = ("auth", "params", "proxy_auth", "proxy_headers", "get_client")
"""Keys of it that change the request, and are not supported here."""


class Refused(Exception):
    """A request that fails whenever it is repeated; the argument states why, after the address."""

    def __init__(self, message: str, help: str = "check the address, and try again later") -> None:
        super().__init__(message)
        self.help = help


class HttpAnswer:
    """The head of an answer, and its body as it arrives."""

    def __init__(self, response: http.client.HTTPResponse, url: str, hops: int) -> None:
        self._response = response
        self.url = url
        """The address after redirects."""
        self.hops = hops
        self.status = response.status
        length = self.header("Content-Length")
        self.length = int(length) if length.isdecimal() else None
        self.kind = self.header("Content-Type").partition(";")[0].strip().lower()

    def header(self, name: str) -> str:
        """The value of a field; "" if there is none."""
        return str(self._response.headers.get(name, ""))

    def chunks(self) -> Iterator[bytes]:
        """The body.

        Raises:
            http.client.IncompleteRead: the connection ended before the body did.
        """
        while chunk := self._response.read1(_CHUNK):
            yield chunk
            if is_late():
                raise TimeoutError
        if self._response.length:
            raise http.client.IncompleteRead(b"")
        self._response.close()  # this leaves the connection to the next request


class Client:
    """Keeps connections, and the settings of fsspec's configuration for a scheme."""

    def __init__(self, scheme: str) -> None:
        options = dict(_configured())
        try:
            client = dict(options.get("client_kwargs") or {})
            both = [{**dict(client.get(name) or {}), **dict(options.get(name) or {})} for name in _TAKEN[:2]]
        except (TypeError, ValueError):
            raise RemoteError(
                f"fsspec's configuration of {scheme} has text where an object must be",
                "give headers, cookies and client_kwargs as JSON objects",
            ) from None
        self._headers, cookies = both
        if cookies:
            self._headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        unknown = [*(name for name in client if name not in _TAKEN), *options.keys() & set(_NOT_TAKEN)]
        if unknown:
            names = plain(", ".join(sorted(map(str, unknown))))
            raise RemoteError(
                f"fsspec's configuration of {scheme} sets {names}, which dlclint does not know",
                "give headers, cookies or trust_env in client_kwargs, or download the files",
            )
        self._verifies = options.get("ssl", True) is not False
        self._proxy = str(options.get("proxy") or "")
        self._trusts_environment = bool(client.get("trust_env"))
        self._idle: dict[tuple[str, str, int], list[http.client.HTTPConnection]] = {}
        self._lock = threading.Lock()
        self._context: Any = None

    @contextmanager
    def get(
        self, url: str, origin: str, headers: Mapping[str, str], seconds: float, count: Callable[[], None]
    ) -> Iterator[HttpAnswer]:
        """Request the body at an address, and follow redirects.

        Credentials are sent only to the host of `origin`, which is the address that the user gave.

        Args:
            url: the address.
            origin: the address whose credentials are known.
            headers: of this request.
            seconds: limit of connecting, and of each wait for bytes.
            count: called for each request that is made.

        Raises:
            Refused: the address is invalid, or its redirects are.
            OSError: the connection fails.
            http.client.HTTPException: the server does not use HTTP.
        """
        home = _place(_split(origin))
        for hops in range(REDIRECTS + 1):
            parts = _split(url)
            connection = response = None
            try:
                count()
                sent = {**headers, **(self._credentials(origin) if _place(parts) == home else {})}
                connection, response = self._asked(parts, sent, seconds)
                target = response.headers.get("Location") if response.status in _MOVED else None
                if target is None:
                    yield HttpAnswer(response, url, hops)
                    return
                response.read(_CHUNK)
                url = _followed(parts, str(target))
            finally:
                self._put_back(parts, connection, response)
        raise Refused("leads from one address to the next without end")

    def _credentials(self, origin: str) -> dict[str, str]:
        parts = _split(origin)
        headers = {str(name): str(value) for name, value in self._headers.items()}
        user, password = parts.username, parts.password
        if user is None and self._trusts_environment:
            # Imported here because only a configuration needs it.
            import netrc

            try:
                user, _, password = netrc.netrc().authenticators(parts.hostname or "") or (None, "", None)
            except (OSError, netrc.NetrcParseError):
                user = None
        if user is not None:
            headers["Authorization"] = _basic(user, password or "")
        return headers

    def _asked(
        self, parts: SplitResult, headers: Mapping[str, str], seconds: float
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """A connection and the answer on it; a kept connection may have ended since, and is replaced."""
        own = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": f"dlclint/{__version__}"}
        proxy = self._proxy_of(parts)
        through = bool(proxy) and parts.scheme == "http"
        beginning = (parts.scheme, parts.netloc.rpartition("@")[2]) if through else ("", "")
        address = urlunsplit((*beginning, *parts[2:4], ""))
        if through:
            own.update(_proxy_credentials(proxy))
        with self._lock:
            kept = self._idle.get(_place(parts), [])
            connection = kept.pop() if kept else None
        while True:
            is_kept = connection is not None
            if connection is None:
                connection = self._connection(parts, proxy, seconds)
            elif connection.sock is not None:
                connection.sock.settimeout(seconds)
            try:
                connection.request("GET", address, headers={**own, **headers})
                return connection, connection.getresponse()
            except (http.client.HTTPException, OSError, ValueError) as error:
                connection.close()
                if not is_kept or isinstance(error, TimeoutError):
                    raise
                connection = None

    def _connection(self, parts: SplitResult, proxy: str, seconds: float) -> http.client.HTTPConnection:
        _, host, port = _place(parts)
        _, name, number = _place(_split(proxy)) if proxy else _place(parts)
        if parts.scheme == "http":
            return http.client.HTTPConnection(name, number, timeout=seconds)
        connection = http.client.HTTPSConnection(name, number, timeout=seconds, context=self._safety())
        if proxy:
            connection.set_tunnel(host, port, _proxy_credentials(proxy))
        return connection

    def _safety(self) -> Any:
        # Imported here because plain HTTP does not need it.
        import ssl

        with self._lock:
            if self._context is None:
                self._context = ssl.create_default_context()
                if not self._verifies:
                    self._context.check_hostname = False
                    self._context.verify_mode = ssl.CERT_NONE
            return self._context

    def _proxy_of(self, parts: SplitResult) -> str:
        proxy = self._proxy
        if not proxy and self._trusts_environment:
            # Imported here because only a configuration needs it.
            from urllib.request import getproxies, proxy_bypass

            proxy = "" if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme, "")
        return f"http://{proxy}" if proxy and "://" not in proxy else proxy

    def _put_back(
        self,
        parts: SplitResult,
        connection: http.client.HTTPConnection | None,
        response: http.client.HTTPResponse | None,
    ) -> None:
        """Keep a connection for the next request, if its answer was read to the end."""
        if connection is None or response is None:
            return
        if response.isclosed() and connection.sock is not None:
            with self._lock:
                self._idle.setdefault(_place(parts), []).append(connection)
        else:
            response.close()
            connection.close()


_clients: dict[tuple[str, int], Client] = {}
"""By scheme and process: two processes must not use one connection."""


def client_of(scheme: str) -> Client:
    """The client of this process for http or https.

    Raises:
        ImportError: fsspec's configuration exists, but fsspec is not installed.
        RemoteError: the configuration needs what is not supported here.
    """
    key = (scheme, os.getpid())
    if key not in _clients:
        _clients[key] = Client(scheme)
    return _clients[key]


def _configured() -> Mapping[str, Any]:
    """fsspec's configuration for http and https, which it treats as one."""
    folder = Path(os.environ.get("FSSPEC_CONFIG_DIR") or "~/.config/fsspec")
    try:
        is_there = folder.expanduser().is_dir()
    except (OSError, RuntimeError):  # there is no home directory
        is_there = False
    if not is_there and not any(name.startswith("FSSPEC_") for name in os.environ):
        return {}
    # Imported here because it takes longer than a small model takes to lint.
    from fsspec.config import conf

    return {**conf.get("http", {}), **conf.get("https", {})}


def _split(url: str) -> SplitResult:
    """The parts of an address, each of characters that a request may contain."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except ValueError:
        raise Refused("is not an address", "check its spelling") from None
    if parts.scheme not in _PORTS or not _HOST.fullmatch(host):
        raise Refused("is not an address", "check its spelling")
    user = parts.netloc.rpartition("@")[0]
    name = f"[{host}]" if ":" in host else host
    at = f"{user}@" if user else ""
    netloc = f"{at}{name}" if port is None else f"{at}{name}:{port}"
    return SplitResult(parts.scheme, netloc, urls.quoted(parts.path) or "/", urls.quoted(parts.query), "")


def _place(parts: SplitResult) -> tuple[str, str, int]:
    return parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme]


def _basic(user: str, password: str) -> str:
    # Imported here because few addresses contain a password.
    import base64

    return f"Basic {base64.b64encode(f'{unquote(user)}:{unquote(password)}'.encode()).decode('ascii')}"


def _proxy_credentials(proxy: str) -> dict[str, str]:
    parts = _split(proxy)
    return (
        {}
        if parts.username is None
        else {"Proxy-Authorization": _basic(parts.username, parts.password or "")}
    )


def _followed(parts: SplitResult, target: str) -> str:
    """The target of a redirect."""
    try:
        url = urljoin(urlunsplit(parts), target)
    except ValueError:
        raise Refused("leads to what is not an address", "give the address of the file itself") from None
    scheme = urls.scheme_of(url)
    if scheme not in _PORTS:
        raise Refused("leads to an address that is not read over HTTP", "give the address that it leads to")
    if parts.scheme == "https" and scheme == "http":
        raise Refused("leads from https to http", "give the address that it leads to")
    return url


def cause_of(error: Exception) -> str:
    """Why a connection failed, if repeating does not help; else ""."""
    if isinstance(error, socket.gaierror):
        return "there is no such host"
    # By name, because plain HTTP does not import ssl.
    if type(error).__name__ == "SSLCertVerificationError":
        return "the server's certificate is not trusted"
    return ""
