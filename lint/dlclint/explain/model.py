"""The parts of an explained log."""

from __future__ import annotations

from dlclint.diagnostic import plain
from dlclint_schemas.log_messages import LogMessage
from dlclint_schemas.record import record


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
    code: str = ""
    """The meaning of the line's error code, "" where it has none that is known."""

    @property
    def help(self) -> str:
        """What to do, with the op of the line filled in."""
        return self.message.action.replace("{op}", plain(self.groups.get("op", "NAME")))


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
