"""Ids and documentation of the findings that come from dlclint itself and not from a rule's function.

This is the only place that names them: no rule package has one of these ids, and reports and `dlclint rule`
read their documentation here. Findings about the backend's verdict are `confirm/` and the verdict's own word.
"""

from __future__ import annotations

CRASHED = "engine/crashed-rule"
UNKNOWN_NAME = "config/unknown-name"
OTHER_RANK = "config/other-rank"
IGNORE_WITHOUT_REASON = "config/ignore-without-reason"
UNUSED_IGNORE = "config/unused-ignore"
GIVEN_DIMENSIONS = "config/given-dimensions"
COULD_NOT_ASK = "confirm/could-not-ask"
NO_GRAPH = "confirm/no-graph"

LINT_DOCS = {
    CRASHED: "A rule failed with an exception.\n\nThe other rules ran. Report it; use --ignore until then.",
    UNKNOWN_NAME: (
        "An option or a configured section names an input or symbol that the model does not have.\n\n"
        "The converter stops at an unknown name after -d; for the other options this is not documented. "
        "A name that none of the models has is an error with status 2."
    ),
    OTHER_RANK: (
        "-d gives an input another number of dimensions than the model declares.\n\n"
        "dlclint uses them as given, so shapes after the input may be unknown, and findings may be missing."
    ),
    GIVEN_DIMENSIONS: (
        "The given dimensions are not in the model.\n\n"
        "`dlclint fix` writes those of -d, -s, -b and the configuration into the model."
    ),
    IGNORE_WITHOUT_REASON: (
        "An ignore in a model's metadata is invalid.\n\n"
        "Write one per line, with its reason: `RULE: REASON`, or `RULE node=GLOB tensor=GLOB: REASON`."
    ),
    UNUSED_IGNORE: "A configured ignore is unused.\n\nRemove it, or correct its rule or globs.",
}
CONFIRM_DOCS = {
    "confirm/refused": "Hexagon's validator refuses the node.\n\n"
    "`dlclint check --confirm` reports it for a node without a finding; the message gives the validator's "
    "reason and code. Change the op's type, rank or form, or let it run elsewhere.",
    "confirm/not-compiled": "The node passes validation and cannot be compiled.\n\n"
    "`dlclint check --confirm` reports it for a node without a finding. Try another precision or chip, or "
    "let the op run elsewhere.",
    "confirm/crashed": "The backend's process died while it evaluated the node.\n\n"
    "`dlclint check --confirm` reports it for a node without a finding. The converter's own backend may "
    "die as well; express the node with other ops.",
    "confirm/not-offered": "ONNX Runtime's wrapper refuses the node; this does not apply to Hexagon.",
    "confirm/taken": "The backend takes a node about which dlclint has a finding, or computes it in float.",
    COULD_NOT_ASK: "The backend gave no verdict, or an incomplete one.",
    NO_GRAPH: "The nodes were evaluated, but no graph could be built from them.",
}
OWN_DOCS = LINT_DOCS | CONFIRM_DOCS
"""Id to documentation, the flaw in the first line."""
