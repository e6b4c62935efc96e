"""Format `html` of `dlclint plan`: the choices, the commands, and the network in its planned widths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TextIO

from dlclint.analysis.plan.commands import line
from dlclint.analysis.plan.model import Plan
from dlclint.diagnostic import counted, plain
from dlclint.report.html.network import NetworkDrawing, Texts
from dlclint.report.html.report import report_page
from dlclint.report.html.sheets import Commands, Sheet, Shown, Table, drawing_of, findings_sheet
from dlclint.report.plan_words import (
    ALL,
    FAILS,
    INPUTS,
    LAYERS,
    columns,
    notes_of,
    plan_commands,
    raw_text,
    said,
    settings,
    target_text,
)


def render(plan: Plan, stream: TextIO | None) -> str:
    """The page."""
    texts = Texts()
    network, notes = drawing_of(plan.drawing)
    data: dict[str, Any] = {"color": "precision", "findings": findings_sheet(plan.findings, network, texts)}
    if network is not None:
        data |= {"network": network.data(texts, _precision(plan, network)), "charts": network.charts(texts)}
    raw = [raw_text(read) for chain in plan.toolchains for read in chain.inputs[:INPUTS]]
    sheet = Sheet(
        plain(plan.path, 500),
        f"For {target_text(plan)}",
        tuple(_answers(plan)),
        tuple(_commands(plan)),
        tuple(_tables(plan)),
        (
            *notes_of(plan),
            *raw,
            *notes,
        ),
        (),
        data,
    )
    heading = f"{counted(len(plan.advice), 'setting')}, and the commands that make them"
    verdict = FAILS if plan.fails else heading
    return report_page("dlclint plan", "Quantization plan", verdict, (), [sheet], texts)


def _answers(plan: Plan) -> Iterator[Shown]:
    errors = [each for each in plan.obstacles if each.is_error]
    if errors:
        lines = [line for obstacle in errors for line in (said(obstacle), obstacle.help) if line]
        yield Shown("Converts", "no", tuple(lines), "bad")
    else:
        yield Shown("Converts", "yes", ("no rule finds anything that stops it",), "good")
    choice = plan.choice
    if not choice.quantize:
        yield Shown("Settings", f"float{choice.float_bitwidth}", (f"for {choice.runtime.value}",))
        return
    how = "per channel" if choice.per_channel else "per tensor"
    some = [
        (len(plan.wide), "at 16 bits"),
        (len(plan.in_float), "in float"),
    ]
    more = tuple(f"{counted(count, 'activation')} {effect}" for count, effect in some if count)
    yield Shown(
        "Settings",
        f"a{choice.act_bitwidth}w{choice.weights_bitwidth}",
        (f"for {choice.runtime.value}, weights {how}, {choice.bias_bitwidth}-bit biases", *more),
    )
    if plan.layers:
        worst = plan.layers[0]
        yield Shown("Worst weight", f"{worst.chosen:.1f} dB", (worst.weight, "predicted from the weights"))


def _commands(plan: Plan) -> Iterator[Commands]:
    for chain in plan.toolchains:
        yield Commands(
            plan_commands(plan, chain.title), tuple(plain(line(command), 4000) for command in chain.commands)
        )
    if plan.obstacles:
        yield Commands(ALL.capitalize(), (plain(plan.check, 4000),))


def _tables(plan: Plan) -> Iterator[Table]:
    if plan.first:
        rows = tuple((advice.topic.value, advice.choice, advice.reason) for advice in plan.first)
        yield Table("Before quantizing", ("what", "do", "why"), rows)
    yield Table("Settings", columns(plan), tuple(settings(plan)))
    if plan.narrow:
        ranges = tuple(
            (n.tensor, f"{n.low:.3g} to {n.high:.3g}", f"{n.sqnr8:.1f}", f"{n.sqnr16:.1f}", n.basis)
            for n in plan.narrow[:LAYERS]
        )
        head = ("tensor", "range", "dB at 8 bits", "at 16", "basis")
        yield Table("Activations that 8 bits suit worst (estimated ranges; no data was seen)", head, ranges)


def _precision(plan: Plan, network: NetworkDrawing) -> dict[int, str]:
    """The precision of some nodes according to the override file."""
    by_node = {}
    for tensors, word in ((plan.wide, "a16"), (plan.in_float, "float")):
        for tensor in tensors:
            position = network.of_tensor(plain(tensor))
            if position is not None:
                own = network.drawing.nodes[position].precision
                _, w, weight = own.partition("w")
                by_node[position] = word if word == "float" else f"{word}{w}{weight}"
    return by_node
