"""Edits of an override file: what to change, resolved to spans of its text.

An edit names what it changes; everything else keeps its key order, number spelling and indentation, because
only the named spans are replaced.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby

from dlclint.encodings import json_text
from dlclint.encodings.document import EncodingsDocument, Path_
from dlclint.encodings.json_text import Member, NotJson
from dlclint_schemas.record import record


@record
class SetValue:
    """Set the value (JSON text) of a member of an entry; the member is inserted if it is absent."""

    tensor: int
    path: Path_
    value: str


@record
class InsertMembers:
    """Add members, written as in JSON without the braces, to the object at a path of an entry."""

    tensor: int
    path: Path_
    members: str


@record
class RemoveMembers:
    """Remove members of the object at a path of an entry; absent ones are ignored."""

    tensor: int
    path: Path_
    names: tuple[str, ...]


@record
class RenameKey:
    """Rename a member of an object in an entry; with an empty path, the entry itself."""

    tensor: int
    path: Path_
    name: str


@record
class RenameTop:
    """Rename a top-level member."""

    old: str
    new: str


@record
class InsertTop:
    """Add a top-level member with a value (JSON text)."""

    name: str
    value: str


@record
class ReplaceText:
    """Replace a span of text that is not JSON."""

    start: int
    end: int
    text: str


DocumentEdit = SetValue | InsertMembers | RemoveMembers | RenameKey | RenameTop | InsertTop | ReplaceText


@record
class Splice:
    """A span of text and its replacement."""

    start: int
    end: int
    text: str


def number(value: float, spelled_like: str = "") -> str:
    """A JSON number; a whole number has a fraction if the old spelling had one."""
    if value == int(value) and abs(value) < 2**53 and "." not in spelled_like:
        return str(int(value))
    return repr(float(value))


def apply_to_document(
    document: EncodingsDocument, fixes: Sequence[Sequence[DocumentEdit]]
) -> tuple[str, tuple[int, ...]]:
    """The new text, and the numbers of the applied fixes; others overlap with these or name something absent.

    Fixes may share an edit; a fix that would change the same span in another way is not applied.
    """
    taken: dict[tuple[int, int], str] = {}
    busy: list[tuple[int, int]] = []
    applied: list[int] = []
    for number, edits in enumerate(fixes):
        try:
            wanted = splices(document, edits)
        except (NotJson, LookupError):
            continue
        fresh = {span: text for span, text in wanted.items() if taken.get(span) != text}
        if any(_touches(span, busy) for span in fresh):
            continue
        for span in fresh:
            insort(busy, span)
        taken.update(fresh)
        applied.append(number)
    replaced = [Splice(start, end, text) for (start, end), text in taken.items()]
    return splice_text(document.source.original, replaced), tuple(applied)


def splices(document: EncodingsDocument, edits: Iterable[DocumentEdit]) -> dict[tuple[int, int], str]:
    """The replacement of each span; members inserted after the same one follow each other.

    Raises:
        LookupError: an edit names something absent.
        NotJson: the text is broken there.
    """
    wanted: dict[tuple[int, int], str] = {}
    for splice in dict.fromkeys(chain.from_iterable(replaced_spans(document, edit) for edit in edits)):
        span = (splice.start, splice.end)
        wanted[span] = wanted.get(span, "") + splice.text if splice.start == splice.end else splice.text
    return wanted


def _touches(span: tuple[int, int], busy: list[tuple[int, int]]) -> bool:
    """Whether a span overlaps one of these sorted, disjoint spans, or inserts at the same position."""
    at = bisect_left(busy, span)
    for other in busy[max(0, at - 1) : at + 1]:
        if span[0] == other[0] or (span[0] < other[1] and other[0] < span[1]):
            return True
    return False


def splice_text(text: str, splices: Iterable[Splice]) -> str:
    """The text with every span replaced; the spans must not overlap."""
    parts: list[str] = []
    end = 0
    for splice in sorted(splices, key=lambda splice: (splice.start, splice.end)):
        parts.append(text[end : splice.start])
        parts.append(splice.text)
        end = splice.end
    parts.append(text[end:])
    return "".join(parts)


def replaced_spans(document: EncodingsDocument, edit: DocumentEdit) -> list[Splice]:
    """The spans of text that an edit replaces.

    Raises:
        LookupError: it names something absent.
        NotJson: the text is broken there.
    """
    if isinstance(edit, ReplaceText):
        return [Splice(edit.start, edit.end, edit.text)]
    if isinstance(edit, RenameTop):
        return [_renamed(document, document.top_offsets[edit.old][0], edit.new)]
    if isinstance(edit, InsertTop):
        start = document.source.text.index("{")
        return [_inserted(document, start, _member(edit.name, edit.value))]
    if isinstance(edit, RenameKey):
        return [_rename(document, edit)]
    member, steps = document.find(edit.tensor, edit.path)
    there = steps == len(edit.path)
    is_object = document.source.text[member.start] == "{"
    if isinstance(edit, InsertMembers) and there and is_object:
        return [_inserted(document, member.start, edit.members)]
    if isinstance(edit, RemoveMembers) and there and is_object:
        return list(_removed(document, member.start, edit.names))
    if isinstance(edit, SetValue) and there:
        return [Splice(member.start, _end(document, member), edit.value)]
    if isinstance(edit, SetValue) and steps == len(edit.path) - 1 and is_object:
        return [_inserted(document, member.start, _member(str(edit.path[-1]), edit.value))]
    raise LookupError(edit.path)


def _end(document: EncodingsDocument, member: Member) -> int:
    if member.end > member.start:
        return member.end
    return json_text.parse_value(json_text.PLAIN, document.source.text, member.start)[1]


def _renamed(document: EncodingsDocument, start: int, name: str) -> Splice:
    _, end = json_text.scan_string(document.source.text, start + 1, True)
    return Splice(start, end, json.dumps(name, ensure_ascii=False))


def _rename(document: EncodingsDocument, edit: RenameKey) -> Splice:
    if edit.path:
        member, steps = document.find(edit.tensor, edit.path)
        if steps < len(edit.path) or member.key_start < 0:
            raise LookupError(edit.path)
        return _renamed(document, member.key_start, edit.name)
    entry = document.places[edit.tensor]
    if entry.key_start >= 0:
        return _renamed(document, entry.key_start, edit.name)
    member, steps = document.find(edit.tensor, ("name",))
    if steps == 0:
        raise LookupError("name")
    return _renamed(document, member.start, edit.name)


def _member(key: str, value: str) -> str:
    return f"{json.dumps(key, ensure_ascii=False)}: {value}"


def _inserted(document: EncodingsDocument, start: int, member: str) -> Splice:
    """Members after the last one of an object, with the same indentation."""
    text = document.source.text
    held = list(json_text.members(text, start))
    last = held[-1] if held else None
    if last is None:
        return Splice(start + 1, start + 1, member)
    begin = last.key_start if last.key_start >= 0 else last.start
    margin = re.search(r"[ \t]*\r?\n[ \t]*$|[ \t]*$", text[max(0, begin - 200) : begin])
    between = margin.group() if margin else " "
    if "\n" in between:
        between = between.lstrip(" \t")
    return Splice(last.end, last.end, f",{between or ' '}{member}")


def _removed(document: EncodingsDocument, start: int, names: tuple[str, ...]) -> Iterator[Splice]:
    """Adjacent members with the comma after them, or before them where they are the last."""
    held = list(json_text.members(document.source.text, start))
    end: int | None = None
    for goes, group in groupby(held, lambda member: member.key in names):
        members = list(group)
        if not goes:
            end = members[-1].end
            continue
        following = next((member for member in held if member.start > members[-1].start), None)
        if following is not None:
            yield Splice(members[0].key_start, following.key_start, "")
        elif end is not None:
            yield Splice(end, members[-1].end, "")
        else:
            yield Splice(members[0].key_start, members[-1].end, "")
