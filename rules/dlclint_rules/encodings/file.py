"""The file as a whole: JSON, keys, version, layout and sections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dlclint.diagnostic import About, Confidence, Safety, Severity, Source
from dlclint.encodings.document import (
    ACTIVATIONS,
    ENCODINGS,
    FLOAT,
    PARAMS,
    VERSIONS,
    Layout,
)
from dlclint.encodings.edits import InsertTop, RenameTop, SetValue
from dlclint.fix import Fix
from dlclint.rule import EncodingsContext, Finding
from dlclint_rules.encodings.reporting import (
    AIMET,
    FORMAT,
    JSON,
    OVERRIDES,
    Rows,
    at,
    at_offset,
    by_tensor,
    capped,
    encodings_rule,
    reported,
    text_fix,
    text_place,
)

_KNOWN = tuple(version for versions in VERSIONS.values() for version in versions)
_READ_BY_AIMET = ("0.6.1", "1.0.0", "2.0.0", "2.1.0")


@encodings_rule(about=About.FILE)
def syntax(context: EncodingsContext) -> Iterator[Finding]:
    """The file is not JSON.

    Why: every reader of override files is a JSON parser; comments, curly quotes, trailing commas, NaN,
    byte-order marks and cut-off files end the conversion before it starts. The code blocks of AIMET's own
    format specification contain curly quotes.
    What to do: fix the text at the position shown; dlclint still lints the text before it.
    Fix: safe for comments, curly quotes, trailing commas, byte-order marks and UTF-16.
    """
    for finding, flaw in zip(
        reported(context, "syntax", JSON),
        (flaw for flaw in context.document.flaws if flaw.kind == "syntax"),
        strict=False,
    ):
        yield replace(finding, fix=text_fix(context, flaw.offset or 0))


@encodings_rule(about=About.FILE)
def duplicate_key(context: EncodingsContext) -> Iterator[Finding]:
    """A key or a tensor's name appears twice.

    Why: JSON parsers silently keep the last one, so an encoding is lost; AIMET's loader refuses names that
    repeat in a list or appear in both sections.
    What to do: keep one.
    """
    yield from reported(context, "duplicate-key", Source(AIMET, "repeated names"))


@encodings_rule(about=About.FILE)
def version(context: EncodingsContext) -> Iterator[Finding]:
    """The version is missing, unknown, or does not match the layout.

    Why: AIMET's loader only accepts 0.6.1, 1.0.0, 2.0.0 and 2.1.0; without a version, QNN reads a file as
    legacy, which fails for 1.0.0 entries ("Bitwidth must be present").
    What to do: write the version that matches the shape of the entries.
    Fix: unsafe, the version of the layout.
    """
    document = context.document
    layout = document.layout
    if not document.whole or not document.top_offsets:
        return
    stated = document.top.get("version")
    if stated is None:
        if layout is not None and "version" not in document.top_offsets:
            yield _missing_version(context, layout)
        elif "version" in document.top_offsets:
            yield _at_version(context, "version is null", Severity.ERROR)
        return
    if not isinstance(stated, str):
        yield _at_version(context, f"version is {stated!r}, not text", Severity.ERROR)
    elif stated not in _KNOWN:
        known = ", ".join(_READ_BY_AIMET)
        yield _at_version(context, f"unknown version {stated!r}; known versions are {known}", Severity.ERROR)
    elif layout is not None and stated not in VERSIONS[layout]:
        message = f"version {stated!r} contradicts the entries, which are shaped as in {layout.value}"
        finding = _at_version(context, message, Severity.ERROR)
        first = document.sections[0]
        yield replace(finding, related=(text_place(context, first.start, "the entries begin"),))
    elif stated == "2.0.0" and document.quantized_scales:
        tensor = document.quantized_scales[0]
        message = "y_scale is an object, which is of 2.1.0, while the version says 2.0.0"
        finding = Finding(
            f"{document.tensors.names[tensor]!r}: {message}",
            Severity.WARNING,
            Source(FORMAT, "meta encoding"),
            help='write "version": "2.1.0"',
        )
        yield at(context, tensor, ("y_scale",), finding)
    elif stated not in _READ_BY_AIMET:
        message = f"AIMET's loader does not take version {stated!r}; converters read it as legacy"
        yield _at_version(context, message, Severity.INFO)


def _at_version(context: EncodingsContext, message: str, severity: Severity) -> Finding:
    layout = context.document.layout
    finding = Finding(
        message,
        severity,
        Source(AIMET, "version"),
        Confidence.FIELD_REPORTED,
        f'write "version": "{layout.value}"' if layout else "write the version of the layout",
    )
    return at_offset(context, context.document.top_offsets["version"][1], ("version",), finding)


def _missing_version(context: EncodingsContext, layout: Layout) -> Finding:
    fix = Fix(f"add version {layout.value}", Safety.UNSAFE, (InsertTop("version", f'"{layout.value}"'),))
    if layout is Layout.LEGACY:
        finding = Finding(
            "there is no version: converters read the file as legacy, AIMET's loader refuses it",
            Severity.INFO,
            Source(FORMAT, "0.4.0"),
            Confidence.FIELD_REPORTED,
            'add "version": "0.6.1" if every entry has dtype and is_symmetric',
            fix=fix,
        )
    else:
        finding = Finding(
            f"there is no version, so a file shaped as {layout.value} is read as legacy and rejected",
            Severity.ERROR,
            Source("qualcomm/aimet#4046", "Bitwidth must be present"),
            Confidence.FIELD_REPORTED,
            f'add "version": "{layout.value}"',
            fix=fix,
        )
    return at_offset(context, 0, (), finding)


@encodings_rule(about=About.FILE)
def layout(context: EncodingsContext) -> Iterator[Finding]:
    """The shape of the entries does not match any format.

    Why: converters and loaders index the file by its documented shape; any other shape causes a KeyError or
    is read as something else. Torch-nested files (save_encodings_to_json) name modules, not tensors of the
    ONNX graph.
    What to do: export for ONNX, or reshape the entries as the help says.
    Fix: safe, a bare entry is put into a list.
    """
    document = context.document
    if any(flaw.kind == "torch" for flaw in document.flaws):
        yield at_offset(
            context,
            document.sections[0].start,
            document.sections[0].pointer,
            Finding(
                "this is a torch-nested file: entries are keyed by module, then input or output",
                Severity.ERROR,
                Source(FORMAT, "save_encodings_to_json"),
                help="give the converter the .encodings file of the ONNX export instead",
            ),
        )
    for finding, flaw in zip(
        reported(context, "layout", Source(FORMAT)),
        (flaw for flaw in document.flaws if flaw.kind == "layout"),
        strict=False,
    ):
        if flaw.tensor is not None and flaw.lacks_list:
            entry = document.spelling(flaw.tensor)
            edit = SetValue(flaw.tensor, (), f"[{entry}]")
            finding = replace(finding, fix=Fix("put the entry into a list", Safety.SAFE, (edit,)))
        yield finding
    if len({section.layout for section in document.sections}) > 1:
        finding = Finding(
            "the sections are of different layouts: "
            + ", ".join(f"{s.name} as in {s.layout.value}" for s in document.sections),
            Severity.ERROR,
            Source(FORMAT),
            help="export again with one version",
            related=tuple(
                text_place(context, section.start, f"{section.name} begins")
                for section in document.sections[:-1]
            ),
        )
        yield at_offset(context, document.sections[-1].start, document.sections[-1].pointer, finding)
    yield from _floats_per_channel(context)
    yield from _foreign_fields(context)
    yield from _dialect(context)


def _floats_per_channel(context: EncodingsContext) -> Iterator[Finding]:
    document = context.document
    # The small floats of 2.x are quantized types, with a scale for each channel or block.
    scaled = document.tensors.dtype.where(lambda name: name.startswith(("float8", "float4")))
    several = ((document.tensors.count > 1) & ~scaled)[document.elements.tensor]

    def finding(tensor: int, rows: Rows) -> Finding:
        count = int(document.tensors.count[tensor])
        unplaced = Finding(
            f"{document.tensors.names[tensor]!r}: {count} entries, {len(rows)} of them float; a float tensor"
            " has one",
            Severity.ERROR,
            Source(AIMET, "float entries"),
            help="leave one float entry",
        )
        return at(context, tensor, document.field_path(int(rows[0]), ""), unplaced)

    yield from by_tensor(context, several & (document.elements.kind == FLOAT), finding)


def _foreign_fields(context: EncodingsContext) -> Iterator[Finding]:
    """Fields of another layout, which are not read here; `bw` in 2.x makes AIMET refuse the entry."""
    document = context.document
    for number, section in enumerate(document.sections):
        strange = _FOREIGN[section.layout]
        here = (document.tensors.section == number)[document.elements.tensor]
        for field in sorted(strange):

            def finding(
                tensor: int, rows: Rows, field: str = field, layout: Layout = section.layout
            ) -> Finding:
                refused = layout is Layout.FLAT and field == "bw"
                unplaced = Finding(
                    f"{document.tensors.names[tensor]!r}: {field} is not a field of {layout.value} entries"
                    + (", AIMET refuses it" if refused else " and not read"),
                    Severity.ERROR if refused else Severity.INFO,
                    Source(AIMET, "fields of another version") if refused else Source(FORMAT, layout.value),
                    help="remove it, or export again with one version",
                )
                path = (*document.field_path(int(rows[0]), ""), field)
                return at(context, tensor, path, unplaced)

            yield from by_tensor(context, here & document.has(field), finding)


_FOREIGN = {
    Layout.LEGACY: {"axis", "block_size", "enc_type", "output_dtype", "y_scale", "y_zero_point"},
    Layout.LIST: {
        "axis",
        "bitwidth",
        "is_symmetric",
        "max",
        "min",
        "output_dtype",
        "y_scale",
        "y_zero_point",
    },
    Layout.FLAT: {"bitwidth", "bw", "dtype", "enc_type", "is_sym", "is_symmetric", "max", "min", "offset"},
}


def _dialect(context: EncodingsContext) -> Iterator[Finding]:
    document = context.document
    if document.layout is not Layout.LEGACY or "version" in document.top or not document.signatures:
        return
    shapes = [shape for shape in document.signatures if shape and None not in shape]
    if not shapes:
        return
    said = set().union(*shapes)
    if {"offset", "scale"} <= said and not said & {"dtype", "is_symmetric"}:
        signs = document.elements.offset
        if (signs > 0).any() and not (signs < 0).any():
            message = "this looks like PPQ's QNN exporter: offset is a positive zero point, no dtype"
            yield _tool(context, message, "run dlclint fix: offsets are recomputed from min and max")
    elif said <= {"bitwidth", "min", "max", "scale", "offset"} and {"min", "max"} <= said:
        message = "this looks like MQBench's clip ranges: bitwidth, min and max only"
        yield _tool(context, message, "no action needed if only a range is meant")


def _tool(context: EncodingsContext, message: str, help: str) -> Finding:
    section = context.document.sections[0]
    finding = Finding(message, Severity.INFO, OVERRIDES, Confidence.INFERRED, help)
    return at_offset(context, section.start, section.pointer, finding)


@encodings_rule(about=About.FILE)
def missing_section(context: EncodingsContext) -> Iterator[Finding]:
    """A section is missing.

    Why: activation_encodings and param_encodings are both required (they may be empty); 2.x has encodings
    instead.
    What to do: add the section; a section with another name is not read.
    Fix: safe, an empty section is added or a misspelled one renamed.
    """
    document = context.document
    if not document.whole or (not document.top_offsets and document.flaws):
        return
    have = {section.name for section in document.sections} | set(document.top) & {ACTIVATIONS, PARAMS}
    if ENCODINGS in document.top_offsets:
        return
    empty = "[]" if document.layout is Layout.LIST else "{}"

    def finding(name: str) -> Finding:
        for near in _NEAR[name]:
            if near in document.top:
                result = Finding(
                    f"there is no {name}; {near} is not read",
                    Severity.ERROR,
                    OVERRIDES,
                    help=f"call it {name}",
                    fix=Fix(f"rename {near} to {name}", Safety.SAFE, (RenameTop(near, name),)),
                )
                return at_offset(context, document.top_offsets[near][0], (near,), result)
        result = Finding(
            f"there is no {name}; it is required, and may be empty",
            Severity.ERROR,
            OVERRIDES,
            help=f'add "{name}": {empty}',
            fix=Fix(f"add an empty {name}", Safety.SAFE, (InsertTop(name, empty),)),
        )
        return at_offset(context, 0, (), result)

    missing = [name for name in (ACTIVATIONS, PARAMS) if name not in have]
    if len(missing) == 2 and not any(near in document.top for near in (*_NEAR[ACTIVATIONS], *_NEAR[PARAMS])):
        if not (document.version or "").startswith("2"):
            unplaced = Finding(
                "there is no section: neither activation_encodings and param_encodings nor encodings",
                Severity.ERROR,
                OVERRIDES,
                help="is this an override file?",
            )
            yield at_offset(context, 0, (), unplaced)
            return
        missing = [ENCODINGS]
        empty = "[]"
    yield from capped(context, missing, finding, "sections")


_NEAR = {
    ACTIVATIONS: ("activations_encodings", "act_encodings", "activations", "activation_encoding"),
    PARAMS: ("parameter_encodings", "params_encodings", "weight_encodings", "params", "param_encoding"),
    ENCODINGS: ("encoding",),
}
