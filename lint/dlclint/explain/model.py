"""The parts of an explained log."""

from __future__ import annotations

from dlclint.diagnostic import plain
from dlclint_schemas.log_messages import LogMessage
from dlclint_schemas.record import record
from dlclint_schemas.remedies import remedy_in_any_case


@record
class LogPlace:
    """A node of the model that a message is about: graph path, index, name, op and first output."""

    graph: str
    index: int
    name: str
    op: str
    tensor: str


@record
class Explained:
    """A message in a log: its first line (from 1), how often it occurs, its words.

    `groups` are the parts of the line that the message's pattern names. `node` is the node that it is about,
    where a model was given and has it.
    """

    message: LogMessage
    line: int
    count: int
    text: str
    says: str
    groups: dict[str, str]
    node: LogPlace | None = None
    alike: tuple[LogPlace, ...] = ()
    """The nodes with the op of the message, if the log does not say which of several it is about."""
    code: str = ""
    """The meaning of the line's error code, "" where it has none that is known."""

    @property
    def help(self) -> str:
        """What to do, with the op of the line and what replaces it filled in."""
        op = self.groups.get("op", "NAME")
        remedy = remedy_in_any_case(op) or "rewrite it with listed ops, or use a newer SDK"
        return self.message.action.replace("{remedy}", remedy).replace("{op}", plain(op))


@record
class Explanation:
    """A whole log: its name, its lines, the messages that were recognized, causes first."""

    log: str
    lines: int
    explained: tuple[Explained, ...]
    model: str = ""
    cut: bool = False
    """Whether the log is longer than the part that is read."""

    @property
    def failed(self) -> bool:
        """Whether any message is an error."""
        return any(explained.message.severity == "error" for explained in self.explained)
