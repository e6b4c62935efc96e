"""The contract between rules and engine: the input of a rule and what it yields.

A rule is one small function in its family's module or package, marked with `@rule`. Its id is
`family/name`: the entry point's name and the function's, in kebab case. Its docstring is its
documentation: the first line names the flaw; sections follow (see `dlclint rule`).
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from dlclint.diagnostic import About, Confidence, Evidence, Reach, Safety, Severity, Source
from dlclint.fix import Fix
from dlclint.target import Target
from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.analysis.precision import PrecisionMap
    from dlclint.analysis.view import ModelView
    from dlclint.encodings.document import EncodingsDocument
    from dlclint.model.graph import Graph, Node
    from dlclint.model.reading import Unreadable


class Subject(enum.Enum):
    """The input of a rule, and therefore the context it is called with."""

    FILE = "file"
    """A path that could not be read as a model: `FileContext`."""
    MODEL = "model"
    """A model that was read: `ModelContext`."""
    ENCODINGS = "encodings"
    """A quantization-override file, alone or with its model, or the encodings of a QDQ model:
    `EncodingsContext`.
    """


@record
class Place:
    """Another place of a finding, and its description, such as "makes it" or "'boxes', 0 to 320".

    Give `node`, with the tensor in question, for a node of the model; `tensor` and `graph` for a tensor that
    no node produces; `pointer`, `line` and `column` for an entry of the override file. `holds` means that the
    finding applies there too, so that others may follow from it there.
    """

    description: str
    node: Node | None = None
    tensor: str = ""
    graph: Graph | None = None
    pointer: str | None = None
    line: int | None = None
    column: int | None = None
    holds: bool = False


@record
class Finding:
    """What a rule yields. The engine adds the rule's id and the file, and sanitizes the texts.

    Give `node` for a finding about a node (its graph, index and name follow from it), `tensor` for one about
    a tensor, `graph` only for a graph that is neither that of a node nor the main graph. `pointer`, `line`
    and `column` locate places in override files.
    """

    message: str
    severity: Severity
    source: Source | None = None
    confidence: Confidence = Confidence.DOCUMENTED
    help: str = ""
    node: Node | None = None
    tensor: str = ""
    graph: Graph | None = None
    evidence: Evidence = field(default_factory=dict)
    pointer: str | None = None
    line: int | None = None
    column: int | None = None
    fix: Fix | None = None
    """The fix, if there is one: for an override file, or for a model."""
    related: tuple[Place, ...] = ()
    """Other places of the finding: the other end of an edge, the entry that it contradicts."""


@record
class FileContext:
    """A path that is not a readable model, with the reason."""

    path: Path
    problem: Unreadable


@record
class ModelContext:
    """A model with its analyses, and its target."""

    path: Path
    view: ModelView
    target: Target


@record
class EncodingsContext:
    """An override file, with its model (None: alone), and their target.

    A model that carries its quantization is treated like such a file: `view` is then of the float model in
    it, and `nodes` has the node that defines each encoding.

    `limit` is the number of tensors that a rule reports individually; further ones are only counted. None:
    all.
    """

    path: Path
    document: EncodingsDocument
    view: ModelView | None
    target: Target
    limit: int | None
    precision: PrecisionMap | None = None
    """The precision of each op of the model; None without a model or entries."""
    nodes: tuple[Node, ...] = ()


@record
class Rule:
    """A rule as the engine runs it."""

    id: str
    """`family/name`; only the name until the registry, which knows the family, adds the rule."""
    subject: Subject
    check: Callable[..., Iterator[Finding]]
    docs: str
    fix: frozenset[Safety] = frozenset()
    """The safety of the fixes that its findings may carry; empty if they carry none."""
    about: About = About.ADVICE
    follows: Mapping[str, Reach] = field(default_factory=dict)
    """Rules whose findings may be the cause of its own, and how near they must be."""
    weights: bool = False
    """Whether it reads weights, without which it reports less or nothing."""
    origin: str = ""
    """Name and version of its plugin, which the registry adds; "": it is dlclint's own."""

    @property
    def family(self) -> str:
        """The part of the id before the slash."""
        return self.id.partition("/")[0]

    @property
    def title(self) -> str:
        """The first line of the docstring: the flaw in one sentence."""
        return self.docs.partition("\n")[0]

    @property
    def page(self) -> str:
        """The docstring, and what `dlclint fix` does about the flaw."""
        if not self.fix:
            return self.docs
        safe, unsafe = Safety.SAFE in self.fix, Safety.UNSAFE in self.fix
        how = "`dlclint fix` fixes it" if safe else "`dlclint fix --unsafe` fixes it"
        if safe and unsafe:
            how = "`dlclint fix` fixes it where that is safe, and elsewhere with `--unsafe`"
        return f"{self.docs}\nFix: {how}."


def rule(
    subject: Subject = Subject.MODEL,
    fix: Iterable[Safety] = (),
    about: About = About.ADVICE,
    follows: Mapping[str, Reach] | None = None,
    weights: bool = False,
) -> Callable[[Callable[..., Iterator[Finding]]], Rule]:
    """Mark a function as a rule.

    `fix` is the safety of the model fixes that its findings may carry, `about` the topic of the findings,
    `follows` the rules whose findings may be their cause: reports group and count them with their cause.
    `weights` is whether it reads weights.

    Raises:
        ValueError: the function has no docstring; a rule without documentation is not a rule.
    """

    def mark(check: Callable[..., Iterator[Finding]]) -> Rule:
        docs = inspect.getdoc(check)
        if not docs:
            raise ValueError(f"rule {check.__qualname__} has no docstring")
        name = check.__name__.replace("_", "-")
        return Rule(name, subject, check, docs, frozenset(fix), about, follows or {}, weights)

    return mark
