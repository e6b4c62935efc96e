"""From arguments and a configuration's section to a `Target`; one line reports each contradiction."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from dlclint.cli.errors import UsageError
from dlclint.cli.options.shared import RUNTIMES
from dlclint.diagnostic import plain
from dlclint.engine.config import ModelSection
from dlclint.engine.registry import suggest
from dlclint.socs import UnknownSoc, resolve_soc
from dlclint.target import DlcKind, Runtime, Soc, Target
from dlclint_schemas.quantization import tool_options, widths
from dlclint_schemas.releases import UnknownRelease, release

_ALLOWED = {
    "act_bitwidth": "activations",
    "weights_bitwidth": "weights",
    "bias_bitwidth": "bias",
    "float_bitwidth": "float",
    "float_bias_bitwidth": "float_bias",
}
"""Option to its row of the documented bit widths."""
_QUANTIZER_ONLY = ("act_bitwidth", "weights_bitwidth", "bias_bitwidth", "per_channel")
_FLOAT_WIDTHS = ("float_bitwidth", "float_bias_bitwidth")


def target_of(args: argparse.Namespace, section: ModelSection, overridden: bool = False) -> Target:
    """The one target of `targets_of`.

    Raises:
        UsageError: as there, or several chips are named.
    """
    targets = targets_of(args, section, overridden)
    if len(targets) > 1:
        chips = ", ".join(str(target.soc) for target in targets)
        raise UsageError(f"this command takes one chip, and the configuration names {chips}; give --soc")
    return targets[0]


def targets_of(
    args: argparse.Namespace, section: ModelSection, overridden: bool = False
) -> tuple[Target, ...]:
    """The targets that the options of `shared.add_target` and a section of the configuration specify.

    There is one for each chip that is named, or one without a chip. An option of the command line overrides
    the section's. `overridden`: the model has quantization overrides, with which the converter does not
    simplify. The options of `shared.add_converter` are read where the command has them.

    Raises:
        UsageError: an unknown name, a value that the quantizer does not take, or contradictory options.
    """
    simplify = not (getattr(args, "no_simplification", False) or not section.simplify or overridden)
    target = Target(
        _runtimes(args.runtime, section),
        None,
        _kind(args, section),
        simplify,
        _inputs("--input_encoding", getattr(args, "input_encoding", ()), section.input_encodings),
        _inputs("--input_type", getattr(args, "input_type", ()), section.input_types),
        _moments(getattr(args, "input_moments", ())),
        sdk_of(args.sdk or section.sdk),
    )
    named = [args.soc] if isinstance(args.soc, str) else args.soc
    socs = dict.fromkeys(_soc(name) for name in list(filter(None, named or ())) or section.socs)
    return tuple(replace(target, soc=soc) for soc in socs) or (target,)


def sdk_of(text: str) -> str:
    """The name of the release that a text names; "" if neither the options nor the configuration name one.

    Raises:
        UsageError: the text names no release.
    """
    try:
        return release(text).name if text else ""
    except UnknownRelease as problem:
        raise UsageError(f"--sdk {plain(text)}: {problem}") from None


def _moments(options: Sequence[Sequence[str]]) -> tuple[tuple[str, float, float], ...]:
    """Input names with mean and standard deviation."""
    moments = []
    for name, *texts in options:
        try:
            mean, deviation = map(float, texts)
        except ValueError:
            mean = deviation = math.nan
        if not (math.isfinite(mean) and math.isfinite(deviation) and deviation >= 0.0):
            said = " ".join(map(plain, texts))
            raise UsageError(
                f"--input-moments {plain(name)} {said}: give a mean and a standard deviation such as 0 1"
            )
        moments.append((name, mean, deviation))
    return tuple(moments)


def _inputs(
    option: str, options: Sequence[Sequence[str]], section: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """Input names with a keyword of the converter's option."""
    allowed = tool_options("snpe-onnx-to-dlc")[option]["allowed_values"]
    by_input = dict(section)
    by_input.update((name, word) for name, word in options)
    for name, word in by_input.items():
        if word not in allowed:
            near = suggest(word, set(allowed)) or f"; known are {', '.join(allowed)}"
            spelling = option.replace("_", "-")
            raise UsageError(
                f"{spelling} {plain(name)} {plain(word)}: the converter does not know this value{near}"
            )
    return tuple(by_input.items())


def _runtimes(options: Sequence[str], section: ModelSection) -> tuple[Runtime, ...]:
    listed = [part.strip() for value in options for part in value.split(",") if part.strip()]
    names = [name.lower() for name in listed] or list(section.runtimes)
    for name in names:
        if name not in RUNTIMES:
            near = suggest(name, set(RUNTIMES)) or f"; known are {', '.join(RUNTIMES)}"
            raise UsageError(f"unknown runtime {plain(name)!r}{near}")
    return tuple(dict.fromkeys(Runtime(name) for name in names))


def _soc(name: str) -> Soc:
    try:
        return resolve_soc(name)
    except UnknownSoc as problem:
        near = problem.candidates
        did = f"; did you mean {' or '.join(near)}?" if near else "; `dlclint soc` lists them"
        raise UsageError(f"--soc {plain(name)}: {problem}{did}") from None


def _kind(args: argparse.Namespace, section: ModelSection) -> DlcKind:
    asked = {
        name: value
        for name in ("float", "quantize", *_ALLOWED, "per_channel")
        if (value := getattr(args, name)) not in (None, False)
    }
    said: dict[str, object] = {name: value for name, value in section.kind.items() if value is not False}
    if asked.keys() & {"float", "quantize"}:
        # The command line determines the kind, so the section's value for the other kind is dropped.
        said.pop("float", None)
        said.pop("quantize", None)
        if "float" in asked:
            said = {name: value for name, value in said.items() if name not in _QUANTIZER_ONLY}
    said |= asked
    if "float" in said and "quantize" in said:
        raise UsageError("--float and --quantize contradict each other; give one")
    for name in _QUANTIZER_ONLY:
        if name in said and "quantize" not in said:
            why = "a float DLC has no such width" if "float" in said else "give --quantize too"
            raise UsageError(f"{_option(name)} is an option of the quantizer; {why}")
    for name in _FLOAT_WIDTHS:
        if name in said and not said.keys() & {"float", "quantize"}:
            raise UsageError(
                f"{_option(name)} goes with --float, or with --quantize for the ops that stay float; give one"
            )
    bits = {name: _width(name, said[name]) for name in _ALLOWED if name in said}
    quantize = "quantize" in said
    return DlcKind(
        quantize,
        **{**_defaults(), **bits},
        per_channel="per_channel" in said,
        stated=quantize or "float" in said,
    )


def _defaults() -> Mapping[str, int]:
    options = tool_options("snpe-dlc-quant")
    stated = {name: options[f"--{name}"]["default"] for name in _ALLOWED}
    # The default of --float_bias_bitwidth is not a number: it is the width of the overriding float tensor.
    return {name: default for name, default in stated.items() if isinstance(default, int)}


def _option(name: str) -> str:
    return "--use-per-channel-quantization" if name == "per_channel" else f"--{name.replace('_', '-')}"


def _width(name: str, value: object) -> int:
    allowed = sorted(widths(_ALLOWED[name]))
    try:
        bits = int(str(value))
    except ValueError:
        bits = -1
    if bits not in allowed:
        shown = " or ".join(filter(None, (", ".join(map(str, allowed[:-1])), str(allowed[-1]))))
        raise UsageError(f"{_option(name)} {plain(str(value))}: the quantizer takes {shown}")
    return bits
