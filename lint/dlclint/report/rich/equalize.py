"""Format `rich` of an equalization: what was changed, what was not, and the gain."""

from __future__ import annotations

from typing import TextIO

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dlclint.analysis.cle.outcome import EqualizeOutcome
from dlclint.diagnostic import counted, plain
from dlclint.report.rich.console import paper, printed

_ROWS = 12
"""Convolutions in the table: those with the most to gain."""
_REASONS = 4
"""Reasons for leaving pairs alone that are listed individually."""
_WIDTH = 52
"""Characters of a convolution's name."""


def render(outcome: EqualizeOutcome, stream: TextIO | None) -> str:
    """The outcome; colored only if the stream is a terminal."""
    console = paper(stream)
    console.print(Text(f"{outcome.source} -> {outcome.output}", "bold"))
    for line in _lines(outcome):
        console.print(Padding(Text(line), (0, 0, 0, 2)))
    if outcome.layers:
        console.print(Padding(_table(outcome), (1, 0, 1, 2)))
    for note in outcome.notes:
        console.print(Padding(Text(f"note: {note}", "italic"), (0, 0, 0, 2)))
    console.print(Padding(Text(f"verdict: {outcome.verdict}", "bold"), (0, 0, 0, 2)))
    return printed(console, stream)


def _lines(outcome: EqualizeOutcome) -> list[str]:
    chains = len({row.chain for row in outcome.layers})
    lines = [
        f"{len(outcome.layers)} of {counted(outcome.convolutions, 'convolution')}: "
        f"{counted(outcome.pairs, 'pair')} in {counted(chains, 'chain')}"
        if outcome.layers
        else f"no pair to equalize among {counted(outcome.convolutions, 'convolution')}"
    ]
    if not outcome.changed:
        lines.append("nothing to equalize: the output is the model as it was")
    total = outcome.pairs + sum(len(left.pairs) for left in outcome.left_alone)
    if outcome.extended_pairs > total:
        lines.append(f"--extended finds {counted(outcome.extended_pairs - total, 'pair')} more")
    for left in outcome.left_alone[:_REASONS]:
        more = f", and {len(left.pairs) - 1} more" if len(left.pairs) > 1 else ""
        lines.append(f"left alone: {left.reason} ({left.pairs[0]}{more})")
    rest = sum(len(left.pairs) for left in outcome.left_alone[_REASONS:])
    if rest:
        lines.append(f"left alone for reasons of their own: {counted(rest, 'pair')} (--format json tells)")
    if any("ReLU6" in left.reason for left in outcome.left_alone):
        lines.append("--relu6 replace takes those across ReLU6 too, and changes what exceeds 6")
    if outcome.relu6_replaced:
        lines.append(
            f"ReLU6 became Relu in {counted(outcome.relu6_replaced, 'pair')}: what exceeds 6 changes"
        )
    if outcome.absorbed:
        lines.append(f"high biases of {counted(outcome.absorbed, 'channel')} moved into the next convolution")
    if outcome.absorbable:
        lines.append(
            f"--high-bias absorb would move those of {counted(outcome.absorbable, 'channel')} more, "
            "and change the function a little"
        )
    if outcome.unconverged:
        lines.append(f"{counted(outcome.unconverged, 'chain')} did not settle; a second run gets nearer")
    lines += _grown(outcome)
    if outcome.checked is not None:
        checked = outcome.checked
        lines.append(
            f"compared on {counted(checked.runs, 'random input')}: largest difference "
            f"{checked.largest_relative:.1e} of the size of output {checked.output!r}"
        )
    return lines


def _grown(outcome: EqualizeOutcome) -> list[str]:
    """The cost of equalization: wider activations, estimated from batch normalization."""
    if not outcome.grown:
        return []
    known, worst = sum(row.range_before is not None for row in outcome.layers), outcome.grown[0]
    return [
        f"activations grow more than twofold after {len(outcome.grown)} of {known} convolutions"
        f" (estimated), most after {worst.node}: {worst.range_before:.3g} to {worst.range_after:.3g}"
    ]


def _table(outcome: EqualizeOutcome) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("convolution", overflow="fold")
    for title in ("range ratio", "SQNR dB", "SQNR in chain dB"):
        table.add_column(title, justify="right", no_wrap=True)
    worst = sorted(outcome.layers, key=lambda row: row.chain_sqnr_before)
    for row in worst[:_ROWS]:
        table.add_row(
            Text(plain(row.node, _WIDTH)),
            Text(f"{row.spread_before:.3g} -> {row.spread_after:.3g}"),
            Text(f"{row.sqnr_before:.1f} -> {row.sqnr_after:.1f}"),
            Text(f"{row.chain_sqnr_before:.1f} -> {row.chain_sqnr_after:.1f}"),
        )
    if len(worst) > _ROWS:
        table.add_row(Text(f"+ {len(worst) - _ROWS} that stood better (--format json lists all)"))
    table.caption = f"weights of {outcome.bitwidth} bits per tensor; the worst first"
    table.caption_justify = "left"
    return table
