"""How each family of tools reads the raw files of the model's inputs, and which options determine it.

SNPE's converter assumes that a 4-D input is NCHW and makes it NHWC, and the calibration inputs of its
quantizer have the layout of the DLC's inputs; qairt-converter keeps the layout of the model (80-63442-2 Rev
BL, Tools, and Qairt Converter, Input/Output Layouts). Raw files are read as float32 unless
--use_native_input_files is given.
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from dlclint.analysis.layout import image_tensors
from dlclint.diagnostic import first_few
from dlclint.model.graph import Graph, Node
from dlclint.model.op_facts import CONVOLUTIONS, GLOBAL_POOLS, POOLS
from dlclint.target import Target
from dlclint_schemas.record import record
from dlclint_schemas.releases import has_option

_TO_LAST = {4: (0, 2, 3, 1), 5: (0, 2, 3, 4, 1)}
_TO_FIRST = {4: (0, 3, 1, 2), 5: (0, 4, 1, 2, 3)}
_FIRST, _LAST = {4: "NCHW", 5: "NCDHW"}, {4: "NHWC", 5: "NDHWC"}
_WIDE = frozenset({onnx.TensorProto.INT64, onnx.TensorProto.UINT64})
_WHOLE = frozenset({onnx.TensorProto.INT32, onnx.TensorProto.UINT32}) | _WIDE


@record
class RawInput:
    """One input as a family of tools reads it: layout ("" where it has none), sizes, element type."""

    name: str
    layout: str
    shape: tuple[str, ...]
    element: str


@record
class SourceInput:
    """One input of the model: its layout in the model, and its element type.

    `layout` is "" where the input is not an image, and `is_whole` means that its elements are integers.
    """

    name: str
    layout: str
    shape: tuple[str, ...]
    is_whole: bool
    is_wide: bool

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)


@record
class TruncatedTensor:
    """An input or output of 64-bit integers, which has 32 bits in the DLC; `kind` is input or output."""

    name: str
    kind: str


def truncated(graph: Graph) -> tuple[TruncatedTensor, ...]:
    """The inputs and outputs that AI Hub's --truncate_64bit_io is about, in the model's order."""
    return (
        *(TruncatedTensor(name, "input") for name in _wide(graph, graph.inputs)),
        *(TruncatedTensor(name, "output") for name in _wide(graph, graph.outputs)),
    )


def source_inputs(graph: Graph, sizes: dict[str, str]) -> tuple[SourceInput, ...]:
    """The inputs of a graph; `sizes` are the dimensions that the command line gives, by name."""
    images = image_tensors(graph, assumed=False)
    inputs = []
    for name in graph.inputs:
        kind = graph.type_of(name)
        if kind is None or kind.shape is None:
            continue
        shape = sizes[name].split(",") if name in sizes else [str(dim) for dim in kind.shape]
        inputs.append(
            SourceInput(
                name,
                _layout(graph, name, len(shape), images),
                tuple(shape),
                kind.data_type in _WHOLE,
                kind.data_type in _WIDE,
            )
        )
    return tuple(inputs)


def _layout(graph: Graph, name: str, rank: int, images: frozenset[str]) -> str:
    if rank not in _FIRST:
        return ""
    readers = graph.consumers(name)
    if readers and all(_turns(node, rank) for node in readers):
        return _LAST[rank]
    is_image = name in images if rank == 4 else any(node.op_type in _VOLUMES for node in readers)
    return _FIRST[rank] if is_image else ""


_VOLUMES = (*CONVOLUTIONS, *POOLS, *GLOBAL_POOLS)


def _turns(node: Node, rank: int) -> bool:
    """Whether a node is the Transpose that exporters put after an NHWC input."""
    return node.op_type == "Transpose" and tuple(node.attribute("perm") or ()) == _TO_FIRST[rank]


def snpe_reads(source: SourceInput) -> RawInput:
    """As SNPE's tools read it: channels last, unless --input_layout states otherwise."""
    shape = source.shape
    if source.layout in _FIRST.values():
        shape = tuple(shape[axis] for axis in _TO_LAST[source.rank])
    layout = _LAST[source.rank] if source.layout else ""
    return RawInput(source.name, layout, shape, _element(source))


def qairt_reads(source: SourceInput) -> RawInput:
    """As the QAIRT tools read it: in the model's layout."""
    return RawInput(source.name, source.layout, source.shape, _element(source))


def _element(source: SourceInput) -> str:
    return "int32" if source.is_whole else "float32"


def snpe_options(sources: tuple[SourceInput, ...]) -> list[tuple[str, ...]]:
    """The options of snpe-onnx-to-dlc for the inputs."""
    options: list[tuple[str, ...]] = []
    for source in sources:
        if source.rank in _FIRST and source.layout != _FIRST[source.rank]:
            options.append(("--input_layout", source.name, source.layout or "NONTRIVIAL"))
        if source.is_wide:
            options.append(("--input_dtype", source.name, "int32"))
    return options


def qairt_options(sources: tuple[SourceInput, ...]) -> list[tuple[str, ...]]:
    """The options of qairt-converter for the inputs."""
    options: list[tuple[str, ...]] = []
    for source in sources:
        if source.layout in _LAST.values():
            options.append(("--source_model_input_layout", source.name, source.layout))
        if source.is_wide:
            options.append(("--source_model_input_datatype", source.name, "int32"))
    return options


def unused_inputs(graph: Graph) -> tuple[str, ...]:
    """Inputs that no node reads."""
    return tuple(name for name in graph.inputs if not graph.consumers(name) and name not in graph.outputs)


def notes(graph: Graph, sources: tuple[SourceInput, ...], target: Target) -> list[str]:
    """What the user must know about inputs and outputs before writing raw files, one sentence each."""
    sentences = []
    turned = [source for source in sources if snpe_reads(source).shape != qairt_reads(source).shape]
    if turned:
        one = turned[0]
        named = first_few([repr(one.name)], len(turned), 1)
        sentences.append(
            f"one set of raw files cannot serve both: SNPE reads {named} as {snpe_reads(one).layout}"
            f" ({','.join(snpe_reads(one).shape)}), QAIRT as the model has it, {one.layout}"
            f" ({','.join(one.shape)}); --preserve_io layout of snpe-onnx-to-dlc keeps the model's layout, of"
            " outputs too"
        )
        images = image_tensors(graph, assumed=False)
        outputs = [name for name in graph.outputs if name in images]
        if outputs:
            sentences.append(
                f"SNPE may give output {outputs[0]!r} channels last as well, QAIRT gives it as the model does"
            )
    sentences += _about_integers(graph, sources)
    unused = unused_inputs(graph)
    if unused:
        sentences.append(_about_unused(unused, target))
    if len(graph.outputs) > 1:
        order = has_option("snpe-onnx-to-dlc", "--preserve_onnx_output_order", target.release)
        if order is not True:
            known = "is not known of" if order is None else "is not in"
            sentences.append(
                f"snpe-onnx-to-dlc may reorder the {len(graph.outputs)} outputs; --preserve_onnx_output_order"
                f" {known} SDK {target.release.name}: take outputs by name"
            )
    return sentences


def _about_integers(graph: Graph, sources: tuple[SourceInput, ...]) -> list[str]:
    """How to write raw inputs and read raw outputs of integers, which are never of 64 bits in a DLC."""
    sentences = []
    narrow = [source.name for source in sources if source.is_whole and not source.is_wide]
    if narrow:
        sentences.append(
            f"write the raw files of {_named(narrow)} as int32: the quantizers read float32 without"
            " --use_native_input_files"
        )
    wide = [source.name for source in sources if source.is_wide]
    if wide:
        sentences.append(
            f"{_become('input', wide)} int32 in the DLC: write the raw files as int32, 4 bytes an element,"
            " because a file of 64-bit integers has twice the bytes that are read; the quantizers and net-run"
            " read float32 without --use_native_input_files"
        )
    results = _wide(graph, graph.outputs)
    if results:
        sentences.append(
            f"{_become('output', results)} int32 in the DLC: read the raw files as int32, 4 bytes an element;"
            " net-run writes float32 without --use_native_output_files"
        )
    if wide or results:
        sentences.append(
            "AI Hub makes the same change only with --truncate_64bit_io (qualcomm/ai-hub-models#68); values"
            " beyond 32 bits cannot be passed"
        )
    return sentences


def _wide(graph: Graph, names: Iterable[str]) -> list[str]:
    """Those of 64-bit integers."""
    kinds = ((name, graph.type_of(name)) for name in names)
    return [name for name, kind in kinds if kind is not None and kind.data_type in _WIDE]


def _become(kind: str, names: list[str]) -> str:
    if len(names) == 1:
        return f"64-bit {kind} {names[0]!r} becomes"
    return f"64-bit {kind}s {_named(names)} become"


def _named(names: list[str]) -> str:
    return first_few(map(repr, names), len(names))


def _about_unused(unused: tuple[str, ...], target: Target) -> str:
    has = has_option("qairt-converter", "--remove_unused_inputs", target.release)
    shown = _named(list(unused))
    if has:
        return (
            f"qairt-quantizer fails on inputs that no node reads ({shown}), so the converter removes them;"
            " leave them out of the list of inputs too"
        )
    known = "it is not known whether" if has is None else "not"
    return (
        f"qairt-quantizer fails on inputs that no node reads ({shown}); {known} SDK {target.release.name} has"
        " --remove_unused_inputs: dlclint fix takes them out of the model"
    )
