"""Addresses of remote files: which are read, how they are shown, and those of neighboring files."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from dlclint.diagnostic import plain

HTTP = ("http", "https")
STORES = ("s3", "gs", "gcs", "az", "abfs", "hf")
SCHEMES = (*HTTP, *STORES)
GLOB = re.compile(r"[*?\[]")
_UNQUOTED = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def scheme_of(text: str) -> str:
    """The scheme of an address; "" for a local path."""
    match = _SCHEME.match(text)
    return match[1].lower() if match else ""


def is_whole(url: str) -> bool:
    """Whether an address can be parsed: a bracketed host must end, and a port must be a number."""
    try:
        return urlsplit(url).port != -1
    except ValueError:
        return False


def public_address(url: str) -> str:
    """An address without user, password and query, which may contain credentials."""
    if scheme_of(url) not in HTTP:
        return plain(url, 500)
    scheme, _, rest = re.split(r"[?#]", url, maxsplit=1)[0].partition("://")
    host, slash, path = rest.partition("/")
    return plain(f"{scheme.lower()}://{host.rpartition('@')[2]}{slash}{unquote(path)}", 500)


def path_of(url: str) -> PurePosixPath:
    """Host and path of an address, which sections of a configuration match and file names come from."""
    return PurePosixPath(public_address(url).partition("://")[2])


def file_name(url: str) -> str:
    """The name of the file."""
    return path_of(url).name


def overrides_beside(url: str) -> str:
    """The address of the override file that belongs to a model."""
    return address_beside(url, PurePosixPath(path_of(url).with_suffix(".encodings").name))


def quoted(text: str) -> str:
    """A path or query with invalid characters quoted, and existing quoting unchanged."""
    return quote(_UNQUOTED.sub("%25", text), safe="/?%:@!$&'()*+,;=~-._")


def address_beside(url: str, relative: PurePosixPath) -> str:
    """The address of a file by its path relative to the folder of another; it keeps host and query.

    `relative` is neither absolute nor leaves the folder, which `dlclint.model.external` ensures.
    """
    if scheme_of(url) not in HTTP:
        return f"{url.rpartition('/')[0]}/{relative}"
    parts = urlsplit(url)
    folder = parts.path.rpartition("/")[0]
    return urlunsplit((parts.scheme, parts.netloc, f"{folder}/{quote(str(relative))}", parts.query, ""))
