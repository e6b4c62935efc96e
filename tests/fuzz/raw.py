"""Mutations of bytes, of text, and of protobuf's wire format."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

INTERESTING = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x80" * 9 + b"\x01",
)
NAMES = (
    "",
    "x",
    "y",
    "w",
    "ghost",
    "\x1b[31mred",
    "a\nb",
    "\r",
    "[bold]b[/]",
    "\u202eevil",
    "\x9b31m",
    "::error title=t::m",
    "##[error]m",
    "<script>",
    "|",
    "\u2028",
    "\0",
    "é" * 40,
    "\U0001f600",
    "n" * 5000,
    "/a/b/c",
    "../../w",
    "%s%n{0}",
    "None",
    "`x`",
)
"""What a name may hold to steer a terminal, a log, a table or a path."""
_ODD_BYTES = (
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    b"\x80",
    b"a\xffb",
    b"\xf4\x90\x80\x80",
    b"\x1b[1m",
    b"\xc2\x9b",
)
"""Names that are not UTF-8, and some that are."""


def bytes_of(data: bytes, random: random.Random, other: bytes) -> bytes:
    """A few changes to the bytes: flips, cuts, repeats, a piece of another input."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        at = random.randrange(len(out) + 1)
        choice = random.randrange(7)
        if choice == 0 and at < len(out):
            out[at] ^= 1 << random.randrange(8)
        elif choice == 1 and at < len(out):
            out[at] = random.randrange(256)
        elif choice == 2:
            out[at:at] = random.choice(INTERESTING)
        elif choice == 3:
            del out[at : at + random.choice((1, 2, 4, 16, 64))]
        elif choice == 4:
            out[at:at] = out[at : at + random.choice((1, 4, 16, 256))] * random.choice((1, 2, 30))
        elif choice == 5:
            start = random.randrange(len(other) + 1)
            out[at:at] = other[start : start + random.choice((4, 32, 256))]
        else:
            del out[max(at, len(out) // 2) :]
    return bytes(out[:200_000])


@dataclass
class Field:
    """A field of the wire format; a length-delimited one holds bytes, or fields where it parses as such."""

    number: int
    kind: int
    value: int | bytes = 0
    inner: list[Field] | None = None
    declared: int | None = field(default=None)
    """A length other than the true one."""

    def encoded(self) -> bytes:
        """Its bytes."""
        head = varint(self.number << 3 | self.kind)
        if self.kind == 0:
            return head + varint(self.value if isinstance(self.value, int) else len(self.value))
        if self.inner is not None and self.kind == 2:
            body = b"".join(node.encoded() for node in self.inner)
        else:
            body = self.value if isinstance(self.value, bytes) else b""
        if self.kind == 2:
            return head + varint(len(body) if self.declared is None else self.declared) + body
        return head + body

    def flat(self) -> Field:
        """The same field, its content as bytes."""
        if self.inner is None or self.kind != 2:
            return Field(self.number, self.kind, self.value)
        return Field(self.number, 2, b"".join(node.encoded() for node in self.inner))


def varint(value: int) -> bytes:
    """Base-128, negative numbers as 64 bits."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        value |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
        shift += 7
    raise ValueError("no varint")


def fields_of(data: bytes, depth: int = 12) -> list[Field]:
    """The fields that bytes hold.

    Raises:
        ValueError: they are not a message.
    """
    fields, at = [], 0
    while at < len(data):
        key, at = _number(data, at)
        number, kind = key >> 3, key & 7
        if not 0 < number < 1 << 29:
            raise ValueError("no field number")
        if kind == 0:
            value, at = _number(data, at)
            fields.append(Field(number, kind, value))
            continue
        if kind not in (1, 2, 5):
            raise ValueError("no wire type that messages use")
        size = 8 if kind == 1 else 4
        if kind == 2:
            size, at = _number(data, at)
        if at + size > len(data):
            raise ValueError("cut off")
        body = data[at : at + size]
        at += size
        inner = None
        if kind == 2 and depth and body:
            try:
                inner = fields_of(body, depth - 1)
            except ValueError:
                inner = None
        fields.append(Field(number, kind, body, inner))
    return fields


def all_lists(fields: list[Field]) -> list[list[Field]]:
    """Every list of fields in a tree, the outermost first."""
    lists = [fields]
    for member in fields:
        if member.inner is not None:
            lists += all_lists(member.inner)
    return lists


def wire(data: bytes, random: random.Random) -> bytes:
    """Changes to fields: number, wire type, length, value; dropped, repeated, moved, nested."""
    try:
        tree = fields_of(data)
    except ValueError:
        return data
    for _ in range(random.choice((1, 1, 2, 3))):
        places = [nested for nested in all_lists(tree) if nested]
        if not places:
            break
        siblings = random.choice(places)
        at = random.randrange(len(siblings))
        chosen = siblings[at]
        choice = random.randrange(10)
        if choice == 0:
            chosen.number = random.choice((chosen.number + 1, random.randrange(1, 30), 1 << 28))
        elif choice == 1:
            chosen.kind = random.choice((0, 1, 2, 3, 4, 5, 6, 7))
        elif choice == 2:
            chosen.declared = random.choice((0, 1, 1 << 31, (1 << 63) - 1, random.randrange(300)))
        elif choice == 3:
            chosen.value = random.choice((0, 1, -1, 1 << 31, 1 << 63, (1 << 63) - 1, random.randrange(64)))
            if chosen.kind == 2:
                chosen.value, chosen.inner = random.choice(_ODD_BYTES), None
        elif choice == 4:
            del siblings[at]
        elif choice == 5:
            siblings[at:at] = [chosen] * random.choice((1, 1, 2, 20))
        elif choice == 6:
            random.choice(places).append(chosen.flat())
        elif choice == 7 and chosen.kind == 2:
            for _ in range(random.choice((1, 3, 60))):
                chosen = Field(chosen.number, 2, b"", [chosen])
            siblings[at] = chosen
        elif choice == 8:
            random.shuffle(siblings)
        else:
            chosen.kind, chosen.inner = 2, None
            chosen.value = random.choice((*_ODD_BYTES, *(name.encode() for name in NAMES)))
    return b"".join(member.encoded() for member in tree)[:400_000]


def rename(data: bytes, random: random.Random) -> bytes:
    """Some name of the model, wherever it stands, becomes an odd one; often one that is not UTF-8."""
    try:
        tree = fields_of(data)
    except ValueError:
        return data
    leaves = [
        member
        for nested in all_lists(tree)
        for member in nested
        if member.kind == 2 and isinstance(member.value, bytes) and 0 < len(member.value) < 40
        if member.value.isascii() and member.value.decode("ascii").isprintable()
    ]
    if not leaves:
        return data
    old = random.choice(leaves).value
    new = random.choice((random.choice(_ODD_BYTES), random.choice(NAMES).encode()))
    everywhere = random.random() < 0.7
    for leaf in leaves if everywhere else [random.choice(leaves)]:
        if leaf.value == old or not everywhere:
            leaf.value, leaf.inner = new, None
    return b"".join(member.encoded() for member in tree)
