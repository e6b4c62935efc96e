"""A rule's finding: severity, confidence, place, evidence, help and source.

Nothing here depends on a rule, a model or a report. All texts of a `Diagnostic` are sanitized by `plain`,
because names come from untrusted models and are printed to terminals, HTML and CI logs.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import field
from itertools import islice

from dlclint_schemas.record import record

Number = int | float
Evidence = Mapping[str, Number | str | bool | list[int] | list[str]]


class Severity(enum.Enum):
    """How serious a finding is, according to the documents."""

    ERROR = "error"
    """Documented to fail, or undefined."""
    WARNING = "warning"
    """Costs accuracy, size, start-up time or speed."""
    INFO = "info"
    """What the tools will do silently."""

    @property
    def rank(self) -> int:
        """0 for error, 1 for warning, 2 for info: sorts the worst first."""
        return _RANK[self]


_RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


class Confidence(enum.Enum):
    """How certain the finding is, independent of its severity."""

    DOCUMENTED = "documented"
    FIELD_REPORTED = "field-reported"
    INFERRED = "inferred"
    CONFIRMED = "confirmed"
    """Qualcomm's own backend agrees."""
    CONTRADICTED = "contradicted"
    """Qualcomm's own backend accepts what the finding says is not supported."""


class About(enum.Enum):
    """What a rule's findings are about, which determines what they explain and what can confirm them."""

    FILE = "file"
    """The model or its dimensions: what fails before any runtime is involved."""
    SIZES = "sizes"
    """Sizes that the inputs lack, which the converter's command line can set."""
    CONVERSION = "conversion"
    """What the converter supports: an error at a node stops the conversion, whatever the runtime."""
    TARGET = "target"
    """The effect of the chip and the DLC kind on the whole model."""
    PRESENCE = "presence"
    """Whether a runtime has an op at all."""
    FORM = "form"
    """Which types, ranks, sizes and parameters of an op a runtime supports."""
    SETTINGS = "settings"
    """What the quantizer's settings should be, which a plan states in its own words."""
    ACCURACY = "accuracy"
    """The cost of quantization for the outputs, whatever the settings."""
    ADVICE = "advice"
    """Speed and size, and what tools do silently."""

    @property
    def stops_conversion(self) -> bool:
        """Whether an error at a node stops the conversion."""
        return self is About.CONVERSION

    @property
    def decides(self) -> bool:
        """Whether a finding can decide that a model does not convert or does not run."""
        return self in (About.FILE, About.SIZES, About.CONVERSION, About.TARGET, About.PRESENCE, About.FORM)

    @property
    def answers(self) -> bool:
        """Whether a finding can determine one of a verdict's answers, including that on accuracy."""
        return self.decides or self in (About.SETTINGS, About.ACCURACY)

    @property
    def speaks_of_runtime(self) -> bool:
        """Whether a finding states what a runtime cannot compute, which its backend can confirm or refute.

        Others are about the file, about speed and accuracy, or about the converter, whose translations a
        backend does not perform: it has a separate wrapper, with separate tables.
        """
        return self in (About.PRESENCE, About.FORM)

    @property
    def tells_of_failure(self) -> bool:
        """Whether a finding can be the reason why a node is refused, by a runtime or in an earlier step."""
        return self not in (About.SETTINGS, About.ACCURACY, About.ADVICE)


STOPS = (About.SIZES, About.FILE, About.CONVERSION)
"""What the converter checks before any runtime is involved."""


class Reach(enum.Enum):
    """How near to a finding another must be to be its cause."""

    HERE = "here"
    """At the same node, tensor or entry, or at an op with both as inputs or outputs."""
    BEFORE = "before"
    """Here, or at a node whose results this one depends on."""
    FILE = "file"
    """Anywhere in the file."""


class Safety(enum.Enum):
    """How safe a fix is."""

    SAFE = "safe"
    """The function computed is unchanged, or the file only becomes consistent with its own numbers."""
    UNSAFE = "unsafe"
    """The function may change a little, as the fix's title states; applied only on request."""
    DISPLAY = "display"
    """Advice: nothing that a program should do automatically."""


@record
class FixNote:
    """A fix as a report describes it: what it would do, and how safe that is."""

    title: str
    safety: Safety


@record
class Source:
    """Where a claim is documented: a document and the table row, option or section in it."""

    document: str
    row: str = ""

    def __str__(self) -> str:
        return f"{self.document}, {self.row}" if self.row else self.document


@record
class Location:
    """The location of a finding in a file. Empty fields do not apply.

    `graph` is the path of a subgraph or function from the main graph, which is "". A node is identified by
    its index in that graph and its first output as well as by its name, because names may be empty or
    repeated. `pointer` (RFC 6901), `line` and `column` (both from 1) identify a place in a JSON file.
    """

    file: str
    graph: str = ""
    node: str = ""
    node_index: int | None = None
    op: str = ""
    tensor: str = ""
    pointer: str | None = None
    line: int | None = None
    column: int | None = None


@record
class Related:
    """Another place of a finding, and its description: the other end of an edge, the other file."""

    description: str
    location: Location
    holds: bool = False
    """Whether the finding applies there too, so that others may follow from it there."""


@record
class Cause:
    """The finding that another follows from, by its rule and its place."""

    rule: str
    location: Location


@record
class Diagnostic:
    """One finding, ready for any report."""

    rule: str
    severity: Severity
    message: str
    location: Location
    confidence: Confidence = Confidence.DOCUMENTED
    source: Source | None = None
    help: str = ""
    evidence: Evidence = field(default_factory=dict)
    fix: FixNote | None = None
    """What `dlclint fix` can do about it."""
    about: About = About.ADVICE
    """The topic of the rule."""
    socs: tuple[str, ...] = ()
    """The chips that it applies to, where the run is about others as well."""
    related: tuple[Related, ...] = ()
    follows: Mapping[str, Reach] = field(default_factory=dict)
    """The rules whose findings may be the cause of this one, and how near they must be."""
    cause: Cause | None = None
    """What this finding follows from: once that is fixed, it disappears, or must be checked again."""

    def sort_key(self) -> tuple[object, ...]:
        """Stable order within a report: file, severity, rule, then place."""
        location = self.location
        return (
            location.file,
            self.severity.rank,
            self.rule,
            location.graph,
            -1 if location.node_index is None else location.node_index,
            location.line or 0,
            location.column or 0,
            location.tensor,
            self.message,
        )


RAW_BYTE = 0x10FF00
"""The character that represents byte 0 where a model's text is not UTF-8 (see `dlclint.model.text`)."""
_QUOTED_BYTE = re.compile(r"\\U0010ff([89a-f][0-9a-f])")


def plain(text: str, limit: int = 200) -> str:
    """`text` as one line that cannot control a terminal, markup or log.

    Control and format characters (among them escape, newline, bidirectional overrides) become visible escapes
    like `\\x1b`, and so do bytes that are not UTF-8 and the start of what GitHub treats as a command: `::` at
    the start of a line, `##[` anywhere in it. A text longer than `limit` characters is cut in the middle.
    """
    if text.lstrip().startswith("::") or "##[" in text:
        text = text.replace("::", "\\x3a:", 1) if text.lstrip().startswith("::") else text
        text = text.replace("##[", "\\x23#[")
    if "\\U0010ff" in text:  # a name that a message quotes with repr()
        text = _QUOTED_BYTE.sub(r"\\x\1", text)
    if len(text) > limit:
        half = (limit - 1) // 2
        text = f"{text[:half]}…{text[-half:]}"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def counted(count: int, noun: str, rest: str = "") -> str:
    """A number with its noun, such as `1 node` and `2 nodes`; `rest` follows the noun."""
    return f"{count} {noun}{'s' * (count != 1)}{f' {rest}' if rest else ''}"


def first_few(texts: Iterable[str], total: int, most: int = 3, separator: str = ", ") -> str:
    """The first `most` of `total` texts, and how many more there are, such as `a, b, c and 4 more`."""
    named = list(islice(texts, most))
    end = "" if separator == ", " else separator.rstrip()
    return separator.join(named) + (f"{end} and {total - len(named)} more" if total > len(named) else "")


def size_text(count: int) -> str:
    """A number of bytes for people, such as 12.5 MB (powers of 1000)."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def _visible(character: str) -> str:
    if unicodedata.category(character)[0] not in "CZ" or character == " ":
        return character
    code = ord(character)
    if code >= RAW_BYTE + 0x80:
        return f"\\x{code - RAW_BYTE:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
