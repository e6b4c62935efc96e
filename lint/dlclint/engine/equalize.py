"""Equalize a model: match, plan, rewrite a draft, write it, and compare both models by running them."""

from __future__ import annotations

import enum
from dataclasses import field, replace
from pathlib import Path

from dlclint.analysis.cle.absorption import HighBias, absorbed
from dlclint.analysis.cle.cutting import cuts
from dlclint.analysis.cle.matching import Matching, Pair, match
from dlclint.analysis.cle.outcome import (
    Checked,
    ConvolutionRow,
    EqualizeOutcome,
    LeftAlone,
    equalization_verdict,
)
from dlclint.analysis.cle.plan import EqualizedChain, Refusal, planned_chains
from dlclint.analysis.cle.rewriting import Rewriter
from dlclint.analysis.cle.scaling import TIMES, Effort
from dlclint.analysis.qdq.lifting import holds_quantization
from dlclint.analysis.view import ModelView
from dlclint.diagnostic import plain
from dlclint.engine.job import Job, Named
from dlclint.engine.names import misfits, unknown_names
from dlclint.model.applying import apply_to_draft
from dlclint.model.dimensions import Dimensions
from dlclint.model.draft import open_draft
from dlclint.model.edits import ModelEdit
from dlclint.model.graph import Model, Node
from dlclint.model.writing import write_model
from dlclint.target import Target
from dlclint.verify import ROUNDS, ComparisonResult, verify
from dlclint.version import __version__
from dlclint_schemas.record import record


class EqualizedDiffers(Exception):
    """The equalized model computes something else, or cannot be compared; the argument states which."""


class QuantizedAlready(Exception):
    """The model carries encodings, which would be wrong for other weights; the argument states what to do."""


class UnknownName(Exception):
    """An input or symbol of `Options.names` is not in the model; the argument is for the user."""


class Relu6(enum.Enum):
    """What is done with pairs across ReLU6, which does not scale."""

    KEEP = "keep"
    """They are left alone."""
    REPLACE = "replace"
    """Relu replaces it, where running both models finds no difference."""
    ANYWAY = "replace-anyway"
    """Relu replaces it."""


@record
class Options:
    """What may be done. `bitwidth` is that of the weights, for the figures; `runs` that of the comparison.

    `dimensions` apply to the matching and the comparison and are not written; `names` must be names of the
    model. `sdk` is the release that the model is for ("": the newest known).
    """

    extended: bool = False
    relu6: Relu6 = Relu6.KEEP
    high_bias: HighBias = HighBias.EXACT
    bitwidth: int = 8
    runs: int = 0
    dimensions: Dimensions = field(default_factory=Dimensions)
    names: tuple[Named, ...] = ()
    sdk: str = ""

    @property
    def keeps_function(self) -> bool:
        """Whether outputs must agree up to rounding."""
        return self.relu6 is not Relu6.ANYWAY and self.high_bias is not HighBias.ABSORB

    @property
    def replaces_relu6(self) -> bool:
        """Whether Relu replaces ReLU6."""
        return self.relu6 is not Relu6.KEEP


def write_equalized(source: Path, output: Path, options: Options) -> EqualizeOutcome:
    """Equalize a model and write it whole or not at all.

    Raises:
        Unreadable: the source is not a readable model.
        UnknownName: a name in `options.names` is not in the model.
        QuantizedAlready: see the class.
        CannotWrite: the output cannot be written.
        NotTheSame: `options.runs` requests a comparison, or ReLU6 is replaced only where that changes
            nothing, and the comparison fails.
    """
    draft = open_draft(source)
    view = ModelView(draft.model(check=False, dimensions=options.dimensions), Target(sdk=options.sdk))
    unfit = _misfits(view.model, source, options)
    if holds_quantization(view.model):
        raise QuantizedAlready(
            "the model holds QuantizeLinear or DequantizeLinear, whose scales would not hold for other"
            " weights: equalize before quantizing; dlclint encodings extract takes the float model out"
        )
    matching = match(view.model, view.folded, options.extended)
    rewriter = Rewriter(view.model)
    edits: list[ModelEdit] = []
    chains: list[_ChainRows] = []
    refusals: list[Refusal] = []
    clipped: list[Pair] = []
    effort = Effort(TIMES)
    for chain in planned_chains(
        matching.pairs, options.replaces_relu6, options.high_bias, options.bitwidth, effort
    ):
        if isinstance(chain, Refusal):
            refusals.append(chain)
        else:
            edits.extend(rewriter.edits(chain))
            chains.append(_ChainRows.of(len(chains) + 1, chain))
            clipped.extend(link.pair for link in chain.links if link.pair.relu6)
    if clipped and options.relu6 is Relu6.REPLACE:
        options = replace(options, runs=options.runs or ROUNDS)
        _refuse_destruction(clipped)
    outcome = _outcome(source, output, options, matching, chains, refusals)
    more = matching if options.extended else match(view.model, view.folded, extended=True)
    outcome = replace(
        outcome,
        extended_pairs=len(more.pairs),
        changed=bool(edits),
        notes=tuple(plain(note) for note in (*draft.notes, *unfit)),
    )
    outcome = replace(outcome, verdict=equalization_verdict(outcome))
    changed = apply_to_draft(draft, [edits]).draft if edits else draft
    checked: list[Checked] = []
    inputs = (view.model.graph.type_of(name) for name in view.model.graph.inputs)
    is_open = any(tensor_type is not None and tensor_type.static_shape is None for tensor_type in inputs)
    hint = "; give the sizes of its inputs with -d or -s" if is_open else ""

    def accept(candidate: Path) -> None:
        if options.runs:
            checked.append(_compare(source, candidate, options, hint))

    write_model(changed, output, accept)
    return replace(outcome, checked=checked[0] if checked else None)


def _refuse_destruction(clipped: list[Pair]) -> None:
    """Continue only where batch normalization does not show that Relu destroys what ReLU6 computes.

    Raises:
        NotTheSame: batch normalization shows it.
    """
    clip_cuts = cuts(clipped)
    if clip_cuts.destroyed:
        worst = clip_cuts.known[0]
        name = _name(worst.pair.activation or worst.pair.first)
        raise EqualizedDiffers(
            f"Relu in place of ReLU6 destroys the network: at {name} {worst.share:.1%} of the values lie"
            f" above the bound, and Relu keeps {worst.kept:.1f} dB of its output (predicted from batch"
            " normalization); --relu6 keep takes the other pairs, --relu6 replace-anyway takes these too"
        )


def _misfits(model: Model, source: Path, options: Options) -> list[str]:
    """The problems that the dimensions given for a model have, in words."""
    shown = plain(str(source))
    findings = list(misfits(model, Job(source, dimensions=options.dimensions, names=options.names), shown))
    refusal = unknown_names([findings])
    if refusal:
        raise UnknownName(refusal)
    return [finding.message for finding in findings]


def _compare(source: Path, candidate: Path, options: Options, hint: str) -> Checked:
    result = verify(source, candidate, True, options.runs, options.dimensions)
    replacing = options.relu6 is Relu6.REPLACE
    if result.verdict is ComparisonResult.UNKNOWN:
        unseen = (
            "--relu6 replace-anyway writes it unverified" if replacing else "without --verify it is written"
        )
        raise EqualizedDiffers(f"the models could not be compared: {result.reason}{hint}; {unseen}")
    worst = max(result.outputs, key=lambda difference: difference.relative, default=None)
    if result.verdict is ComparisonResult.DIFFERENT and replacing and worst is not None:
        raise EqualizedDiffers(
            f"with Relu in place of ReLU6 output {worst.output!r} changes by up to {worst.relative:.2g} of"
            f" its size ({result.runs} random inputs); if accuracy holds, pass --relu6 replace-anyway"
        )
    if result.verdict is ComparisonResult.DIFFERENT and (options.keeps_function or worst is None):
        raise EqualizedDiffers(f"the equalized model computes something else: {result.reason}")
    assert worst is not None
    return Checked(result.runs, worst.relative, plain(worst.output))


@record
class _ChainRows:
    """What is kept of a chain after its numbers are released."""

    rows: tuple[ConvolutionRow, ...]
    pairs: int
    relu6: int
    absorbed: int
    absorbable: int
    converged: bool

    @classmethod
    def of(cls, number: int, chain: EqualizedChain) -> _ChainRows:
        rows = []
        for position, layer in enumerate(chain.layers):
            before, after = chain.before[position], chain.after[position]
            link = chain.links[position] if position < len(chain.links) else None
            rows.append(
                ConvolutionRow(
                    number,
                    layer.conv.op_type,
                    _name(layer.conv),
                    before.spread,
                    after.spread,
                    before.sqnr,
                    after.sqnr,
                    before.chain_sqnr,
                    after.chain_sqnr,
                    None if link is None else link.range_before,
                    None if link is None else link.range_after,
                )
            )
        taken = sum(int((link.constants != 0).sum()) for link in chain.links)
        possible = sum(
            int((absorbed(link.pair, layer, HighBias.ABSORB) != 0).sum())
            for link, layer in zip(chain.links, chain.layers, strict=False)
        )
        relu6 = sum(link.pair.relu6 for link in chain.links)
        return cls(tuple(rows), len(chain.links), relu6, taken, possible - taken, chain.scaled.converged)


def _outcome(
    source: Path,
    output: Path,
    options: Options,
    matching: Matching,
    chains: list[_ChainRows],
    refusals: list[Refusal],
) -> EqualizeOutcome:
    reasons: dict[str, list[str]] = {}
    for refusal in refusals:
        reasons.setdefault(plain(refusal.reason, 400), []).append(_pair(refusal.pair))
    return EqualizeOutcome(
        __version__,
        plain(str(source), 500),
        plain(str(output), 500),
        options.extended,
        options.relu6.value,
        options.high_bias.value,
        options.bitwidth,
        len(matching.convolutions),
        sum(chain.pairs for chain in chains),
        0,
        False,
        sum(chain.relu6 for chain in chains),
        sum(chain.absorbed for chain in chains),
        sum(chain.absorbable for chain in chains),
        sum(not chain.converged for chain in chains),
        tuple(row for chain in chains for row in chain.rows),
        tuple(LeftAlone(reason, tuple(pairs)) for reason, pairs in reasons.items()),
    )


def _pair(pair: Pair) -> str:
    return f"{_name(pair.first)} -> {_name(pair.second)}"


def _name(node: Node) -> str:
    return plain(node.name or next(filter(None, node.outputs), ""))
