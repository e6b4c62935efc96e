"""Cross-layer equalization on a copy: the same function, with weights and activations of other ranges."""

from __future__ import annotations

from dlclint.analysis.cle.absorption import HighBias
from dlclint.analysis.cle.matching import match
from dlclint.analysis.cle.plan import EqualizedChain, gained, planned_chains
from dlclint.analysis.cle.rewriting import Rewriter
from dlclint.analysis.cle.scaling import TIMES, Effort
from dlclint.analysis.view import ModelView
from dlclint.model.applying import apply_to_draft
from dlclint.model.draft import draft_of
from dlclint.model.edits import ModelEdit
from dlclint_schemas.record import record


@record
class Equalized:
    """An equalized copy, the pairs of layers that were scaled, and the predicted gain of the weights (dB)."""

    view: ModelView
    pairs: int
    predicted: float


def equalized(view: ModelView, bitwidth: int, extended: bool = True) -> Equalized | None:
    """What `dlclint equalize` makes of a model, in memory; None where no pair can be scaled.

    ReLU6 is not changed and biases are absorbed exactly, so that the function stays the same. `bitwidth` is
    that of the weights.
    """
    draft = draft_of(view.model)
    source = ModelView(draft.model(check=False), view.target)
    matching = match(source.model, source.folded, extended)
    rewriter = Rewriter(source.model)
    edits: list[ModelEdit] = []
    pairs = 0
    before: list[float] = []
    after: list[float] = []
    for chain in planned_chains(matching.pairs, False, HighBias.EXACT, bitwidth, Effort(TIMES)):
        if isinstance(chain, EqualizedChain) and chain.changes:
            edits.extend(rewriter.edits(chain))
            pairs += len(chain.links)
            before += [figures.chain_sqnr for figures in chain.before]
            after += [figures.chain_sqnr for figures in chain.after]
    if not edits:
        return None
    return Equalized(
        ModelView(apply_to_draft(draft, [edits]).draft.model(check=False), view.target),
        pairs,
        gained(before, after),
    )
