"""From a QDQ model to the float model in it and an override file, checked by running both."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from dlclint.analysis.placement import placements
from dlclint.analysis.qdq.encodings import encodings_text
from dlclint.analysis.qdq.inserting import quantized_again
from dlclint.analysis.qdq.lifting import Lifted, holds_quantization, lift
from dlclint.encodings.convert import convert
from dlclint.encodings.reading import read_bytes
from dlclint.model.draft import open_draft
from dlclint.model.graph import Model
from dlclint.model.types import is_float
from dlclint.model.writing import write_model
from dlclint.verify import ComparisonResult, verify
from dlclint_schemas.record import record

NATIVE = "2.0.0"
"""The format version that expresses what QuantizeLinear expresses, without a model."""


class NothingToExtract(Exception):
    """The model holds no quantization that can be extracted; the argument states that in a sentence."""


class ExtractedDiffers(Exception):
    """The float model with the encodings applied computes something else; the argument states what."""


@record
class Extracted:
    """What was extracted from a model, and how well that is confirmed."""

    encodings: int
    kept: tuple[str, ...]
    """Quantizing nodes that remain, one sentence each."""
    apart: tuple[str, ...]
    """Tensors that Identity makes because they have a grid that their source does not have, one sentence
    each.
    """
    proof: str
    """The result of running both models, or why they were not run."""


def extract(source: Path, output: Path, version: str, lossy: bool, put: Callable[[str], None]) -> Extracted:
    """Write the float model of a QDQ model, and pass the text of its override file to `put`.

    Both are written or neither: `put` is called when the model is written whole, before it gets its name.

    Raises:
        Unreadable: the source is not a readable model.
        NothingToExtract: see the class.
        CannotConvert: the format version cannot express what the model expresses.
        CannotWrite: the output cannot be written.
        NotTheSame: see the class.
    """
    draft = open_draft(source)
    model = draft.model(check=False)
    if not holds_quantization(model):
        raise NothingToExtract("the model holds no QuantizeLinear and no DequantizeLinear")
    lifted = lift(draft, model)
    left = tuple(
        f"{kept_quantizer.node.op_type} {kept_quantizer.node.name or kept_quantizer.node.output(0)!r}"
        f" stays: {kept_quantizer.reason}"
        for kept_quantizer in lifted.kept
    )
    if not lifted.encoded:
        raise NothingToExtract(f"none of its quantization can be removed; {left[0]}")
    text = encodings_text(lifted.encoded)
    if version != NATIVE:
        document = read_bytes(text.encode("utf-8", "surrogatepass"), source)
        text = convert(document, version, placements(lifted.draft.model(check=False)), lossy)
    proof = _prove(source, model, lifted)
    write_model(lifted.draft, output, lambda candidate: put(f"{text}\n"))
    apart = tuple(
        f"{split_tensor.name!r} is {split_tensor.source!r} on a grid that not all readers of"
        f" {split_tensor.source!r} see: an Identity separates them, which the converter may remove"
        for split_tensor in lifted.apart
    )
    return Extracted(len(lifted.encoded), left, apart, proof)


def _prove(source: Path, model: Model, lifted: Lifted) -> str:
    """Quantize the float model again by its encodings, and compare its outputs with those of the source.

    Raises:
        NotTheSame: see the class.
    """
    graph = model.graph
    kinds = [graph.type_of(name) for name in (*graph.inputs, *graph.outputs)]
    again = quantized_again(lifted)
    new = again.model(check=False).graph
    changed = [new.type_of(name) for name in (*new.inputs, *new.outputs)]
    if [kind and is_float(kind.data_type) for kind in kinds] != [
        kind and is_float(kind.data_type) for kind in changed
    ]:
        return "not compared: inputs or outputs that held integers are float now"
    with tempfile.TemporaryDirectory() as folder:
        candidate = Path(folder) / "quantized_again.onnx"
        write_model(again, candidate)
        verification = verify(source, candidate)
    if verification.verdict is ComparisonResult.DIFFERENT:
        raise ExtractedDiffers(
            f"the float model with its encodings computes something else: {verification.reason}"
        )
    if verification.verdict is ComparisonResult.UNKNOWN:
        return f"not compared: {verification.reason}"
    worst = max((difference.relative for difference in verification.outputs), default=0.0)
    return (
        f"the float model with its encodings computes what the source computes: largest difference"
        f" {worst:.2g} of the output's magnitude, {verification.runs} random inputs, ONNX Runtime on the CPU"
    )
