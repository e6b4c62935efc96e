"""Names of inputs and symbols that options or the configuration give and the model does not have.

The converter stops after such names of its --input_dim (`ValueError: input_dim command input name(s) not
found`), so a report must not look like one for the intended dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dlclint.diagnostic import Confidence, Diagnostic, Location, Severity, counted, first_few, plain
from dlclint.engine.job import Job, Named
from dlclint.engine.registry import suggest
from dlclint.model.dimensions import Dimensions
from dlclint.model.graph import Model
from dlclint.own_rules import OTHER_RANK, UNKNOWN_NAME

_SHOWN = 8
"""Names of the model that a message lists."""
_WILD = "*?["


def misfits(model: Model, job: Job, file: str) -> Iterator[Diagnostic]:
    """A finding for each name that the model does not have, and for dimensions of another rank than declared.

    A section for one file must fit it. A glob, or options for several files, may name what only some of them
    have; `unknown_names` reports those that no file has.
    """
    inputs = model.graph.inputs
    known_by = {"--define-symbol": _symbols(model), "--dims": (*inputs, *_symbols(model))}
    for named in job.names:
        symbol = named.option == "--define-symbol"
        known = known_by.get(named.option, inputs)
        if named.name in known:
            continue
        said = f"{named.option[2:]} of section {named.section!r}" if named.section else named.option
        lacks = "which is not a dimension of any input" if symbol else "which is not an input of the model"
        if named.option == "--dims":
            lacks = "which is not an input or symbol of the model"
        exact = named.section and not any(mark in named.section for mark in _WILD)
        yield Diagnostic(
            UNKNOWN_NAME,
            Severity.WARNING if exact else Severity.INFO,
            plain(f"{said} names {named.name!r}, {lacks}", 400),
            Location(file),
            help=plain(_advice(named, known), 400),
            evidence={"option": named.option, "name": plain(named.name), "section": plain(named.section)},
        )
    for name, sizes, declared in model.overridden.other_ranks if job.names else ():
        yield Diagnostic(
            OTHER_RANK,
            Severity.WARNING,
            plain(
                f"--input-dim gives {name!r} {counted(sizes, 'dimension')}, the model declares {declared}",
                400,
            ),
            Location(file, tensor=plain(name)),
            Confidence.INFERRED,
            help="give each of its dimensions; shapes after it may be unknown, and findings missing",
        )


def fitting(model: Model, dimensions: Dimensions) -> Dimensions:
    """The dimension overrides whose names the model has."""
    symbols = _symbols(model)
    return Dimensions(
        {name: sizes for name, sizes in dimensions.input_dims.items() if name in model.graph.inputs},
        {symbol: size for symbol, size in dimensions.symbols.items() if symbol in symbols},
        dimensions.batch,
    )


def _symbols(model: Model) -> tuple[str, ...]:
    """The symbols that the model's inputs declare as dimensions."""
    types = map(model.graph.type_of, model.graph.inputs)
    open_dims = (dim for known in types if known is not None for dim in known.shape or ())
    symbols = (dim for dim in open_dims if isinstance(dim, str))
    return tuple(dict.fromkeys((*model.overridden.symbols, *symbols)))


def _advice(named: Named, known: Sequence[str]) -> str:
    near = suggest(named.name, set(known)).lstrip("; ")
    listed = first_few(known, len(known), _SHOWN)
    if named.option == "--define-symbol":
        has = f"its symbols are {listed}" if known else "its inputs have no symbols"
    else:
        has = f"its inputs are {listed}" if known else "it has no inputs"
    return f"{near} {has}".lstrip()


def unknown_names(files: Sequence[Sequence[Diagnostic]]) -> str:
    """Why names of the command line are rejected, in one line: no file has them. "" if one has.

    Args:
        files: the findings of each linted model.
    """
    lacking = [
        {
            (diagnostic.evidence["option"], diagnostic.evidence["name"]): diagnostic
            for diagnostic in findings
            if diagnostic.rule == UNKNOWN_NAME and not diagnostic.evidence["section"]
        }
        for findings in files
    ]
    if not lacking:
        return ""
    for key, finding in lacking[0].items():
        if all(key in other for other in lacking):
            if len(files) == 1:
                return f"{finding.location.file}: {finding.message}; {finding.help}"
            has = "is a dimension of an input" if key[0] == "--define-symbol" else "is an input"
            return f"{key[0]} names {key[1]!r}, which {has} of none of the {len(files)} models"
    return ""
