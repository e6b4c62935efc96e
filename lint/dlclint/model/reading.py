"""From a path to a `Model`, or to the reason why it cannot be read."""

from __future__ import annotations

import codecs
import mmap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import onnx
from google.protobuf.message import DecodeError, Message

from dlclint.contained.guard import Ended, call
from dlclint.model import dimensions as overrides
from dlclint.model import wire
from dlclint.model.checking import complaints
from dlclint.model.dimensions import Dimensions
from dlclint.model.evaluation.values import Values
from dlclint.model.formats import LFS_POINTER, TEXT_FORMATS
from dlclint.model.graph import Model
from dlclint.model.inference import infer, infer_strictly, refine
from dlclint.model.native import PARSER, Crashes
from dlclint.model.protos import WirePath
from dlclint.model.text import escaped
from dlclint.remote import images
from dlclint.remote.errors import RemoteError

if TYPE_CHECKING:
    from dlclint.remote.buffer import ImageBuffer

_OTHER_FORMATS = (
    (0, b"PK\x03\x04", "a zip archive (a PyTorch checkpoint or a DLC)"),
    (0, b"\x89HDF", "an HDF5 file (Keras)"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (4, b"ORTM", "an ONNX Runtime ORT-format model"),
    (0, b"\x1f\x8b", "a gzip archive"),
)


class Unreadable(Exception):
    """A path that is not a readable model. `kind` is `lfs-pointer` or `unreadable`."""

    def __init__(self, message: str, help: str, kind: str = "unreadable") -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        self.kind = kind

    def __reduce__(self) -> tuple[type[Unreadable], tuple[str, str, str]]:
        return Unreadable, (self.message, self.help, self.kind)


def read(path: Path, dimensions: Dimensions | None = None) -> Model:
    """Read a model's structure, apply dimension overrides, check it and infer its shapes.

    Raises:
        Unreadable: with a sentence that states why, and one that states what to do.
    """
    proto, payloads, notes = parse(path)
    crashes = Crashes()
    messages = complaints(proto, _tensors_to_empty(proto, payloads), crashes)
    overrides.clear_negative(proto.graph)
    applied = overrides.write_dimensions(dimensions or Dimensions(), proto.graph)
    inferred = infer_strictly(proto, crashes)
    consistent = inferred is not None
    if inferred is None:
        inferred = infer(proto, crashes)
    del proto  # two structures at once are the peak of the memory that reading needs
    model = Model(inferred, path, payloads, notes, Values())
    model.complaints = messages
    model.crashes = crashes
    model.consistent = consistent
    model.overridden = applied
    refine(model)
    if crashes:
        # Imported here because few models crash anything.
        from dlclint.model.blame import blame

        blame(model)
    return model


def parse(path: Path) -> tuple[onnx.ModelProto, dict[WirePath, wire.Payload], tuple[str, ...]]:
    """A file's structure as it is, the payloads that remain in the file, and notes on how it was read.

    Raises:
        Unreadable: as `read`.
    """
    proto, payloads, notes = _parse(path)
    if not proto.HasField("graph"):
        raise Unreadable("the file holds no graph, so it is not an ONNX model", "export the model again")
    return proto, payloads, notes


def _parse(path: Path) -> tuple[onnx.ModelProto, dict[WirePath, wire.Payload], tuple[str, ...]]:
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
            _refuse_other_formats(head)
            text_format = TEXT_FORMATS.get(path.suffix.lower())
            if text_format is not None:
                return _load(path, text_format), {}, ()
            with _bytes_of(stream, path) as data:
                return _parse_binary(data, path, head)
    except RemoteError as error:
        raise Unreadable(error.message, error.help) from None
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}", "check the path") from None


def _bytes_of(stream: BinaryIO, path: Path) -> mmap.mmap | ImageBuffer:
    """The file as bytes that are read when they are accessed."""
    image = images.image_of(path)
    if image is None:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    # Imported here because most models are local.
    from dlclint.remote.buffer import ImageBuffer

    return ImageBuffer(image)


def _refuse_other_formats(head: bytes) -> None:
    if not head:
        raise Unreadable("the file is empty", "export or download the model again")
    if head.startswith(LFS_POINTER):
        raise Unreadable(
            "the file is a Git LFS pointer, not the model itself", "run `git lfs pull`", "lfs-pointer"
        )
    for offset, magic, name in _OTHER_FORMATS:
        if head[offset : offset + len(magic)] == magic:
            raise Unreadable(f"this is {name}, not an ONNX model", "give the exported .onnx file")


def _parse_binary(
    data: wire.Buffer, path: Path, head: bytes
) -> tuple[onnx.ModelProto, dict[WirePath, wire.Payload], tuple[str, ...]]:
    again = "export or download the model again"
    try:
        skimmed = wire.skim(data)
        return _parsed(escaped(skimmed.structure)), skimmed.payloads, ()
    except Ended as ended:
        raise Unreadable(f"protobuf's parser {ended} on it", again) from None
    except wire.Unusual as unusual:
        if _is_text(head):
            raise Unreadable("the file is text, not an ONNX model", again) from None
        note = f"read slowly, with its weights: {unusual}"
        return _load(path, "protobuf"), {}, (note,)
    except wire.Truncated as error:
        raise Unreadable(f"the model is cut off: {error}", again) from None
    except wire.TooDeep:
        raise Unreadable(
            f"subgraphs nest deeper than protobuf reads ({wire.MAX_DEPTH} messages)", again
        ) from None
    except wire.TooLarge:
        raise Unreadable(
            f"the structure without weights exceeds {wire.MAX_STRUCTURE >> 20} MiB", again
        ) from None
    except (wire.MalformedMessage, DecodeError) as error:
        looks = "text" if _is_text(head) else "binary data other than protobuf"
        raise Unreadable(f"the file is {looks}, not an ONNX model ({error})", again) from None


def _parsed(structure: bytes) -> onnx.ModelProto:
    proto: onnx.ModelProto = call(PARSER, onnx.ModelProto.FromString, structure, size=len(structure))
    return proto


def _is_text(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut off
    except UnicodeDecodeError:
        return False
    return all(byte >= 0x20 or byte in b"\t\n\r\f" for byte in head)


def _load(path: Path, form: str) -> onnx.ModelProto:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # onnx calls its own text form experimental
            images.ensure_whole(path)
            if form == "protobuf":
                body = path.read_bytes()
            else:
                size = path.stat().st_size
                loaded = call(PARSER, onnx.load, path, format=form, load_external_data=False, size=size)
                body = loaded.SerializeToString()
            return _parsed(escaped(body))
    except RemoteError:
        raise
    except Ended as ended:
        raise Unreadable(f"the parser of {form} {ended} on it", "export the model again") from None
    except Exception as error:  # each text format has a separate parser, with errors of its own
        first = str(error).strip().partition("\n")[0]
        raise Unreadable(f"cannot be parsed as {form}: {first}", "export the model again") from None


def _tensors_to_empty(
    proto: onnx.ModelProto, payloads: dict[WirePath, wire.Payload]
) -> Iterator[onnx.TensorProto]:
    """The tensors whose data are not in the structure, and which a checker would call incomplete."""
    for path in payloads:
        yield message_at(proto, path)
    yield from (t for t in proto.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL)


def message_at(proto: onnx.ModelProto, path: WirePath) -> Any:
    """The message at a path of the wire form."""
    message: Message = proto
    for field, occurrence in zip(path[::2], path[1::2], strict=True):
        descriptor = message.DESCRIPTOR.fields_by_number[field]
        value = getattr(message, descriptor.name)
        message = value if isinstance(value, Message) else value[occurrence]
    return message
