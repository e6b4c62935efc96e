"""One file and the settings with which it is linted, fixed or confirmed."""

from __future__ import annotations

from dataclasses import field, replace
from pathlib import Path

from dlclint.diagnostic import Severity, plain
from dlclint.engine.ignores import Ignore
from dlclint.model.dimensions import Dimensions
from dlclint.target import Target
from dlclint_schemas.record import record


@record
class Named:
    """A name of an input or symbol from the command line or from a section of the configuration."""

    option: str
    """The option in the command line's spelling, such as `--input-dim`."""
    name: str
    section: str = ""
    """The section's path glob; "" for the command line."""


@record
class Job:
    """One file and the settings with which it is linted.

    `model` is the model of an override file (`kind` encodings) where it is known, and `overrides` the
    override file of a model that has one. `names` must be names of the model; empty for an override file
    whose model is linted too, because the model's job checks them.
    """

    path: Path
    target: Target = field(default_factory=Target)
    dimensions: Dimensions = field(default_factory=Dimensions)
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    ignores: tuple[Ignore, ...] = ()
    kind: str = "model"
    model: Path | None = None
    overrides: Path | None = None
    names: tuple[Named, ...] = ()
    listed: int | None = None
    """Findings of one rule that are listed; further ones are only counted (None: all are listed)."""
    severities: tuple[tuple[str, Severity], ...] = ()
    """Rule ids and families whose findings get another severity; the verdict uses the rule's own."""
    thresholds: tuple[tuple[str, float], ...] = ()
    """Names of thresholds and their values."""
    others: tuple[Target, ...] = ()
    """The targets of further chips that the file is checked for; they differ from `target` only in the chip.
    """
    url: str = ""
    """The address of a remote file; `path` is then its host and path."""
    beside: str = ""
    """The address of its override file or its model, if that is remote too."""
    weights: bool = True
    """Whether weights may be read."""
    drawn: bool = False
    """Whether a report draws the model."""

    def for_each(self) -> tuple[Job, ...]:
        """One job for each chip."""
        return tuple(replace(self, target=target, others=()) for target in (self.target, *self.others))

    @property
    def shown(self) -> str:
        """The file as reports show it."""
        if not self.url:
            return plain(str(self.path), 500)
        # Imported here because most files are local.
        from dlclint.remote.urls import public_address

        return public_address(self.url)
