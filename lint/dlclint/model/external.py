"""External tensor data: where it may be located, and what is wrong with a location."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

import onnx

from dlclint.model.types import bits_per_element
from dlclint.remote.errors import RemoteError
from dlclint.remote.images import provide
from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.model.graph import Model


@record
class ExternalData:
    """A resolved location: file, byte offset and size."""

    file: Path
    offset: int
    size: int


class ExternalDataMissing(Exception):
    """The file does not exist, is not a regular file, or is shorter than the tensor."""


class ExternalDataEscapes(Exception):
    """The location is outside the model's folder."""


class ExternalDataSize(Exception):
    """Offset or length is not a number, or the length is not that of the tensor."""


FLAWS = (ExternalDataMissing, ExternalDataEscapes, ExternalDataSize)
"""All that `resolve_location` raises."""
_NUMBER = re.compile("[0-9]{1,19}")
"""What ONNX Runtime reads (parse_string.h): ASCII digits, no sign, no spaces, up to 63 bits."""
_LARGEST = (1 << 63) - 1


def resolve_location(tensor: onnx.TensorProto, folder: Path) -> ExternalData:
    """Resolve a tensor's external location, never leaving `folder`.

    The size is that of the tensor, whatever length the file declares.

    Args:
        tensor: a tensor whose data_location is EXTERNAL.
        folder: the folder of the model file.

    Raises:
        ExternalDataEscapes: absolute path, `..`, drive letter, or a symbolic link leading out.
        ExternalDataSize: see the class.
        ExternalDataMissing: no file, or fewer bytes in it than the tensor has.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if not location or "\0" in location:
        raise ExternalDataMissing("the tensor is external but names no location")
    parts = PurePosixPath(location.replace("\\", "/"))
    if parts.is_absolute() or PureWindowsPath(location).drive or ".." in parts.parts:
        raise ExternalDataEscapes(f"location {location!r} lies outside the model's folder")
    file = folder / parts
    offset = _number(entries, "offset")
    length = _number(entries, "length")
    if min(tensor.dims, default=0) < 0:
        raise ExternalDataSize(f"the shape {list(tensor.dims)} has a negative size")
    bits = bits_per_element(tensor.data_type)
    if not bits:
        raise ExternalDataSize(f"element type {tensor.data_type} has no size in bytes")
    size = (math.prod(tensor.dims) * bits + 7) // 8
    # Some writers use a length of 0 for an unknown one, and ONNX Runtime accepts that.
    if length not in (0, size):
        raise ExternalDataSize(
            f"a length of {length} bytes is declared, type and shape {list(tensor.dims)} ask for {size}"
        )
    try:
        provide(folder, parts)
        resolved = file.resolve()
        if not resolved.is_relative_to(folder.resolve()):
            raise ExternalDataEscapes(f"location {location!r} is a link that lies outside the model's folder")
        if not resolved.is_file():
            raise ExternalDataMissing(f"{location!r} not found next to the model")
        available = resolved.stat().st_size
    except RemoteError as error:
        raise ExternalDataMissing(f"{location!r}: {error.message}") from None
    except OSError as error:
        raise ExternalDataMissing(f"{location!r} cannot be read: {error.strerror}") from None
    except RuntimeError:  # Python up to 3.12 raises it for circular links
        raise ExternalDataMissing(f"{location!r} is a symbolic link to itself") from None
    if offset + size > available:
        raise ExternalDataMissing(
            f"{location!r} holds {available} bytes, bytes {offset} to {offset + size} are declared"
        )
    return ExternalData(resolved, offset, size)


def files_read(model: Model) -> tuple[str, ...] | None:
    """The files of external data that a model names, existing or not; None where native code ended on it.

    Whether a model ends native code may depend on the machine's memory and speed.
    """
    if model.crashes:
        return None
    named = (
        entry.value
        for graph in model.graphs()
        for tensor in graph.stored
        if tensor.proto.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.proto.external_data
        if entry.key == "location"
    )
    return tuple(str(model.path.parent / name) for name in dict.fromkeys(named) if "\0" not in name)


def _number(entries: Mapping[str, str], key: str) -> int:
    text = entries.get(key)
    if text is None:
        return 0
    if not _NUMBER.fullmatch(text) or int(text) > _LARGEST:
        raise ExternalDataSize(f"{key} {text!r} is not a number that ONNX Runtime reads")
    return int(text)
