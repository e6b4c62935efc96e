"""Models with contradictory shapes or types: how many of those that ONNX Runtime refuses get an error.

    python -m benchmarks.contradictions FOLDER [FOLDER ...] [--mutants N] [--seed S] [--soc SOC] [--list FILE]

Every model below the folders is changed in N ways by chance: a size of an input or of a stored tensor, an
element type, an attribute, the tensor that a node reads. ONNX Runtime (CPU, no optimizations) is asked to
load each, and to run those that it loads. Printed is how many of each outcome got an error that says that the
model cannot be (family `shapes` and the like, nothing about what a converter takes), and how many got one
although Qualcomm's backend takes them whole; the latter needs the extra `qnn`. Each model is checked in a
process that may die.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
from benchmarks.agreement import models_in
from benchmarks.figures import told as tell
from onnx import numpy_helper

LEAST_TOLD = 0.95
"""Share of the models that ONNX Runtime refuses for shapes or types that should get an error."""
LARGEST = 40_000_000
"""Bytes of a model that is changed."""
TYPES = ("FLOAT", "FLOAT16", "DOUBLE", "INT64", "INT32", "BOOL", "UINT8", "INT8")
REFUSED = re.compile(
    r"ShapeInferenceError|TypeInferenceError|Type Error|type inference failed|inconsistent type"
    r"|Mismatch|does not match|Node \(.*\) Op \(|shape|Shape|rank|dimension|Dimension|broadcast"
)
"""What ONNX Runtime writes where shapes or types are why it refuses."""
ABSENT = re.compile(
    r"NOT_IMPLEMENTED|Could not find an implementation|is not a registered function|No Op registered"
)
"""Where it merely has no kernel."""
COUNTED = (
    "shapes/",
    "ops/attribute-type",
    "model/dangling-input",
    "model/missing-opset",
    "model/unsorted-nodes",
)
"""Rules that say that a model cannot be, whatever reads it."""


KINDS = {
    "refused": "refused at load for shapes or types",
    "refused otherwise": "refused at load for other reasons",
    "fails": "fail for shapes when run on ones",
    "loads": "load, and run where tried",
}


@dataclass
class Answer:
    """What was found of one model."""

    model: str
    change: str
    loads: bool = False
    runs: bool | None = None
    words: str = ""
    errors: tuple[str, ...] = ()
    whole: bool | None = None

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        about_shapes = REFUSED.search(self.words) and not ABSENT.search(self.words)
        if not self.loads:
            return "refused" if about_shapes else "refused otherwise"
        return "fails" if self.runs is False and about_shapes else "loads"


def mutants(
    model: onnx.ModelProto, count: int, chance: random.Random
) -> Iterator[tuple[str, onnx.ModelProto]]:
    """The model in as many changed forms, and how each was changed."""
    for _ in range(count):
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        change = chance.choice((_input_size, _stored_size, _type, _attribute, _reader, _rank))(
            changed.graph, chance
        )
        if change:
            if chance.random() < 0.5:
                del changed.graph.value_info[:]
            yield change, changed


def _inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    stored = {tensor.name for tensor in graph.initializer}
    return [v for v in graph.input if v.name not in stored and v.type.HasField("tensor_type")]


def _input_size(graph: onnx.GraphProto, chance: random.Random) -> str:
    sized = [v for v in _inputs(graph) if v.type.tensor_type.shape.dim]
    if not sized:
        return ""
    value = chance.choice(sized)
    dim = chance.choice(list(value.type.tensor_type.shape.dim))
    before, dim.dim_value = (
        dim.dim_value,
        chance.choice((1, 2, 3, 5, dim.dim_value + 1, dim.dim_value * 2 or 7)),
    )
    return f"size {before} -> {dim.dim_value} of input {value.name}" if before != dim.dim_value else ""


def _rank(graph: onnx.GraphProto, chance: random.Random) -> str:
    sized = [v for v in _inputs(graph) if v.type.tensor_type.shape.dim]
    if not sized:
        return ""
    value = chance.choice(sized)
    dims = value.type.tensor_type.shape.dim
    if chance.random() < 0.5:
        del dims[chance.randrange(len(dims))]
        return f"a dimension less of input {value.name}"
    dims.add().dim_value = chance.choice((1, 2, 3))
    return f"a dimension more of input {value.name}"


def _stored_size(graph: onnx.GraphProto, chance: random.Random) -> str:
    stored = [t for t in graph.initializer if t.dims and 0 < int(np.prod(t.dims)) < 2_000_000]
    if not stored:
        return ""
    tensor = chance.choice(stored)
    values = numpy_helper.to_array(tensor)
    axis = chance.randrange(values.ndim)
    how = chance.choice(("longer", "shorter", "swapped", "flat"))
    if how == "longer":
        values = np.concatenate([values, np.take(values, [0], axis)], axis)
    elif how == "shorter":
        values = np.take(values, range(max(1, values.shape[axis] - 1)), axis)
    elif how == "swapped":
        values = np.swapaxes(values, 0, -1)
    else:
        values = values.reshape(-1)
    if list(values.shape) == list(tensor.dims):
        return ""
    text = f"stored {tensor.name} {list(tensor.dims)} -> {list(values.shape)}"
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), tensor.name))
    for value in graph.input:
        if value.name == tensor.name:
            del value.type.tensor_type.shape.dim[:]
            for size in values.shape:
                value.type.tensor_type.shape.dim.add().dim_value = size
    return text


def _type(graph: onnx.GraphProto, chance: random.Random) -> str:
    kind = onnx.TensorProto.DataType.Value(chance.choice(TYPES))
    casts = [node for node in graph.node if node.op_type == "Cast"]
    if casts and chance.random() < 0.3:
        node = chance.choice(casts)
        del node.attribute[:]
        node.attribute.append(onnx.helper.make_attribute("to", kind))
        return f"Cast {node.output[0]} to {onnx.TensorProto.DataType.Name(kind)}"
    stored = [t for t in graph.initializer if t.dims and 0 < int(np.prod(t.dims)) < 200_000]
    if stored and chance.random() < 0.5:
        tensor = chance.choice(stored)
        wanted = onnx.helper.tensor_dtype_to_np_dtype(kind)
        with np.errstate(all="ignore"):
            tensor.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(tensor).astype(wanted), tensor.name)
            )
        return f"type of stored {tensor.name} -> {onnx.TensorProto.DataType.Name(kind)}"
    inputs = _inputs(graph)
    if not inputs:
        return ""
    value = chance.choice(inputs)
    if value.type.tensor_type.elem_type == kind:
        return ""
    value.type.tensor_type.elem_type = kind
    return f"type of input {value.name} -> {onnx.TensorProto.DataType.Name(kind)}"


def _attribute(graph: onnx.GraphProto, chance: random.Random) -> str:
    written = [
        (node, attribute)
        for node in graph.node
        for attribute in node.attribute
        if attribute.type in (onnx.AttributeProto.INT, onnx.AttributeProto.INTS) and attribute.name != "to"
    ]
    if not written:
        return ""
    node, attribute = chance.choice(written)
    if attribute.type == onnx.AttributeProto.INT:
        before, attribute.i = (
            str(attribute.i),
            chance.choice((attribute.i + 1, attribute.i + 4, attribute.i - 1, attribute.i * 2)),
        )
        return (
            f"{node.op_type}.{attribute.name} {before} -> {attribute.i}" if before != str(attribute.i) else ""
        )
    before = str(list(attribute.ints))
    if attribute.ints and chance.random() < 0.7:
        attribute.ints[chance.randrange(len(attribute.ints))] += chance.choice((1, 2, 7, -1))
    else:
        attribute.ints.append(1)
    return f"{node.op_type}.{attribute.name} {before} -> {list(attribute.ints)}"


def _reader(graph: onnx.GraphProto, chance: random.Random) -> str:
    nodes = [node for node in graph.node if any(node.input)]
    if not nodes:
        return ""
    node = chance.choice(nodes)
    before = {v.name for v in _inputs(graph)} | {t.name for t in graph.initializer}
    for other in graph.node:
        if other is node:
            break
        before |= set(other.output)
    names = sorted(before - {""})
    at = chance.choice([i for i, name in enumerate(node.input) if name])
    if not names:
        return ""
    old, node.input[at] = node.input[at], chance.choice(names)
    return f"{node.op_type} reads {node.input[at]} for {old}" if old != node.input[at] else ""


def asked(path: str, model: str, change: str, soc: str) -> Answer:
    """Load, run, lint, and ask the backend where that decides."""
    import onnxruntime as ort

    from dlclint.engine.job import Job
    from dlclint.engine.run import lint_file
    from dlclint.target import Target

    ort.set_default_logger_severity(4)
    answer = Answer(model, change)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        answer.loads = True
        feeds = {i.name: _values(i) for i in session.get_inputs()}
        if all(value is not None for value in feeds.values()):
            session.run(None, feeds)
            answer.runs = True
    except Exception as error:  # whatever ONNX Runtime raises is its answer
        answer.words = " ".join(str(error).split())[:400]
        answer.runs = False if answer.loads else None
    outcome = lint_file(Job(Path(path), Target()))
    answer.errors = tuple(
        f"{finding.rule}: {finding.message}"
        for finding in outcome.diagnostics
        if finding.severity.value == "error" and finding.rule.startswith(COUNTED)
    )
    if answer.errors and answer.loads:
        answer.whole = _taken_whole(path, soc)
    return answer


def _values(value: object) -> np.ndarray | None:
    kinds = {"float": "f4", "double": "f8", "float16": "f2", "int64": "i8", "int32": "i4", "bool": "?"}
    kind = kinds.get(str(getattr(value, "type", ""))[7:-1], "")
    shape = getattr(value, "shape", None) or []
    if not kind:
        return None
    sizes = [size if isinstance(size, int) and size >= 0 else 2 for size in shape]
    return np.ones(sizes, kind) if np.prod(sizes) < 20_000_000 else None


def _taken_whole(path: str, soc: str) -> bool | None:
    from dlclint.analysis.view import ModelView
    from dlclint.confirm.asking import ConfirmRequest, asked_target, compare_with_backend
    from dlclint.confirm.process import NotAvailable, QuestionLimits, backend
    from dlclint.confirm.socs import asked_soc
    from dlclint.model.reading import read
    from dlclint.socs import resolve_soc
    from dlclint.target import DlcKind, Target

    chip = resolve_soc(soc)
    target = asked_target(Target(soc=chip, kind=DlcKind(quantize=False, stated=True)))
    try:
        with backend(QuestionLimits(60)) as there:
            file = compare_with_backend(
                there, path, ModelView(read(Path(path)), target), (), ConfirmRequest(asked_soc(chip))
            )
    except NotAvailable:
        return None
    return not (file.could_not_ask or file.failure or file.refuses)


def answers(paths: list[Path], count: int, seed: int, soc: str) -> Iterator[Answer]:
    """One answer for each model as it is, and for each of its mutants."""
    executor = ProcessPoolExecutor(1)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / "model.onnx"
        for number, path in enumerate(paths):
            if path.stat().st_size > LARGEST:
                continue
            model = onnx.load(path)
            chance = random.Random(f"{seed} {number}")
            for change, changed in (("", model), *mutants(model, count, chance)):
                scratch.write_bytes(changed.SerializeToString())
                shown = "/".join(path.parts[-2:])
                try:
                    yield executor.submit(asked, str(scratch), shown, change, soc).result()
                except BrokenProcessPool:
                    print(f"{shown}: {change}: the process died", file=sys.stderr)
                    executor = ProcessPoolExecutor(1)
    executor.shutdown()


def share(part: int, whole: int) -> str:
    """A number and its share."""
    return f"{part} ({part / whole:.2%})" if whole else str(part)


def main(arguments: list[str]) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contradictions", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--mutants", type=int, default=5, metavar="N", help="changed forms of each model")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--soc", default="SM8550", help="asked about models that load in spite of an error")
    parser.add_argument("--list", type=Path, metavar="FILE", help="every answer, one JSON object a line")
    args = parser.parse_args(arguments)
    models: Counter[str] = Counter()
    told: Counter[str] = Counter()
    whole = fails = 0
    lines = []
    paths = [path for folder in args.folders for path in models_in(folder)]
    for answer in answers(paths, args.mutants, args.seed, args.soc):
        lines.append(json.dumps(asdict(answer)))
        models[answer.kind] += 1
        told[answer.kind] += bool(answer.errors)
        whole += bool(answer.errors and answer.whole)
        fails += bool(answer.errors and answer.whole and answer.runs is False)
    if args.list:
        args.list.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{models.total()} models")
    for kind, text in KINDS.items():
        print(f"{text}: {models[kind]}, with an error: {share(told[kind], models[kind])}")
    named = told["refused"]
    tell(
        f"with an error of those refused at load for shapes or types: {share(named, models['refused'])}, "
        f"at least {LEAST_TOLD:.0%}",
        named >= LEAST_TOLD * models["refused"],
    )
    tell(f"with an error, and taken whole by the backend: {whole}, at most 0", whole == 0)
    print(
        f"of these ONNX Runtime fails to run {fails}: their shapes cannot be, though the backend takes them"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
