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
    matches. `says` may name the groups in braces, and `action` the op and, as `{remedy}`, what replaces it.
    `consequence`: the message follows from another one, which names the cause. `names_node_later`: the log
    names the node some lines later. `rule` is the rule that reports the same before conversion, "" where none
    does.
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
    snpe_code: bool = False
    """Whether the group `code` is one of SNPE's numbers, which mean other things than QNN's."""
    implied_by: str = ""
    """The message that states the same and more: where a log has it, this one is left out."""


@cache
def log_messages() -> tuple[LogMessage, ...]:
    """Every known message, in the order in which they are tried on a line."""
    return tuple(LogMessage(**row) for row in load("log_messages")["messages"])


@cache
def error_codes() -> Mapping[str, str]:
    """The meaning of QNN's numbers in such messages."""
    return MappingProxyType(dict(load("log_messages")["codes"]))


@cache
def snpe_error_codes() -> Mapping[str, str]:
    """The name of each of SNPE's numbers, as in its header DlError.h."""
    codes = load("snpe_error_codes")["codes"]
    return MappingProxyType({code: f"SNPE_ERRORCODE_{name} (DlError.h)" for code, name in codes.items()})


def code_meaning(message: LogMessage, code: str) -> str:
    """The meaning of the code in a message, "" where it is not known."""
    names = snpe_error_codes() if message.snpe_code else {}
    return names.get(code) or error_codes().get(code, "")
