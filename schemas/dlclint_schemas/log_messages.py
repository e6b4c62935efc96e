"""Error messages of converters, quantizers, runtimes and backends, and their meaning."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from dlclint_schemas.record import record
from dlclint_schemas.resource import load


@record
class LogMessage:
    """A message by its text, and its meaning.

    `contains` is a literal part of every line that `pattern` (a regular expression with named groups)
    matches. `says` may name the groups in braces. `consequence`: the message follows from another one, which
    names the cause. `names_node_later`: the log names the node some lines later. `rule` is the rule that
    reports the same before conversion, "" where none does.
    """

    id: str
    tool: str
    severity: str
    contains: str
    pattern: str
    says: str
    why: str
    action: str
    rule: str
    source: str
    consequence: bool = False
    names_node_later: bool = False


@cache
def log_messages() -> tuple[LogMessage, ...]:
    """Every known message, in the order in which they are tried on a line."""
    return tuple(LogMessage(**row) for row in load("log_messages")["messages"])


@cache
def error_codes() -> Mapping[str, str]:
    """The meaning of the numbers in such messages."""
    return MappingProxyType(dict(load("log_messages")["codes"]))
