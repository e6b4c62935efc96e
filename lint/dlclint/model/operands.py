"""Operands that do not fit each other but pass onnx's shape inference.

Each check names its op's rule in the ONNX operator documents. Only known sizes are compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from dlclint.model.graph import Node
from dlclint.model.op_facts import GATES, RECURRENT, Role, positions
from dlclint.model.types import Dim


def misfit(node: Node) -> str:
    """What is wrong with the sizes of a node's operands, in one line, or ""."""
    check = _CHECKS.get(node.op_type)
    if check is None or any(attribute.ref_attr_name for attribute in node.proto.attribute):
        return ""  # by a reference, the caller of a function determines it, and elsewhere nothing does
    return check(node)


def _shape(node: Node, position: int) -> tuple[Dim, ...] | None:
    name = node.input(position)
    tensor_type = node.graph.type_of(name) if name else None
    return None if tensor_type is None else tensor_type.shape


def _of_role(node: Node, wanted: Role) -> tuple[Dim, ...] | None:
    """The shape of the input with a role, which is at another position in a quantized op."""
    return next((_shape(node, position) for position in positions(node.op_type, wanted)), None)


def _differ(one: Dim, other: Dim) -> bool:
    return isinstance(one, int) and isinstance(other, int) and one != other


def _convolution(node: Node) -> str:
    data = _shape(node, 0)
    weight, bias = (_of_role(node, wanted) for wanted in (Role.WEIGHT, Role.BIAS))
    if data is None or weight is None or len(data) < 3 or len(weight) != len(data):
        return ""
    kernel = node.attribute("kernel_shape")
    if kernel and any(_differ(*pair) for pair in zip(weight[2:], kernel, strict=False)):
        return f"kernel_shape is {kernel}, the weight {_text(weight)}"
    group = node.attribute("group", 1)
    transposed = node.op_type == "ConvTranspose"
    channels, rest, outputs = data[1], weight[0 if transposed else 1], weight[1 if transposed else 0]
    taken = rest if transposed or not isinstance(rest, int) else rest * group
    if _differ(channels, taken):
        of_groups = f" ({rest} in each of {group} groups)" if group != 1 and not transposed else ""
        return f"the input has {channels} channels, the weight takes {taken}{of_groups}"
    split = channels if transposed else outputs
    if isinstance(split, int) and group > 0 and split % group:
        return f"{split} {'channels' if transposed else 'filters'} do not divide into {group} groups"
    output_channels = outputs * group if transposed and isinstance(outputs, int) else outputs
    if bias is not None and (len(bias) != 1 or _differ(bias[0], output_channels)):
        return f"the bias {_text(bias)} is not one number for each of {output_channels} output channels"
    return _remains(node, data, weight[2:]) if transposed else _window(node, data, weight[2:])


def _remains(node: Node, data: tuple[Dim, ...], kernel: tuple[Dim, ...]) -> str:
    """The pads of a ConvTranspose must leave a part of its output."""
    axes = len(kernel)
    if node.attribute("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or node.has("output_shape"):
        return ""
    pads = node.attribute("pads") or [0] * (2 * axes)
    per_axis = [node.attribute(name) or [each] * axes for name, each in _STRETCH.items()]
    if len(pads) != 2 * axes or any(len(values) != axes for values in per_axis):
        return ""
    strides, dilations, further = per_axis
    for axis, (size, width) in enumerate(zip(data[2:], kernel, strict=False)):
        if not isinstance(size, int) or not isinstance(width, int) or size <= 0:
            continue
        full_size = strides[axis] * (size - 1) + (width - 1) * dilations[axis] + 1 + further[axis]
        taken = pads[axis] + pads[axis + axes]
        if full_size <= taken:
            return f"it makes {full_size} places in axis {axis + 2}, and the pads take {taken}"
    return ""


_STRETCH = {"strides": 1, "dilations": 1, "output_padding": 0}
"""Attributes of a ConvTranspose with a number for each axis, and their defaults."""


def _window(node: Node, data: tuple[Dim, ...], kernel: tuple[Dim, ...]) -> str:
    """The window, with its dilation, must fit into the padded input; a separate rule checks pooling."""
    axes = len(kernel)
    if node.attribute("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return ""
    pads = node.attribute("pads") or [0] * (2 * axes)
    dilations = node.attribute("dilations") or [1] * axes
    if len(pads) != 2 * axes or len(dilations) != axes:
        return ""
    for axis, (size, width) in enumerate(zip(data[2:], kernel, strict=False)):
        if not isinstance(size, int) or not isinstance(width, int) or size <= 0:
            continue
        window, padded = (width - 1) * dilations[axis] + 1, size + pads[axis] + pads[axis + axes]
        if window > padded:
            dilated = f" (kernel {width}, dilation {dilations[axis]})" if dilations[axis] != 1 else ""
            return f"a window of {window}{dilated} exceeds the padded input of {padded} in axis {axis + 2}"
    return ""


def _reshape(node: Node) -> str:
    """Reshape: as many elements in the output as in the input."""
    before, asked = _shape(node, 0), node.graph.model.values.whole(node.graph, node.input(1))
    if before is None or asked is None or asked.ndim != 1 or asked.dtype.kind not in "iu":
        return ""
    if not all(isinstance(size, int) for size in before):
        return ""
    sizes = [size for size in before if isinstance(size, int)]
    wanted = [int(size) for size in asked]
    if not node.attribute("allowzero", 0):
        if any(size == 0 and axis >= len(sizes) for axis, size in enumerate(wanted)):
            return f"{wanted} copies an axis that the input of rank {len(sizes)} does not have"
        wanted = [sizes[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    count, known = math.prod(sizes), math.prod(size for size in wanted if size >= 0)
    if wanted.count(-1) > 1 or any(size < -1 for size in wanted):
        return f"{[int(size) for size in asked]} is not a shape"
    fits = (known > 0 and count % known == 0) or count == 0 if -1 in wanted else count == known
    return "" if fits else f"{count} elements do not fill {[int(size) for size in asked]}"


def _expand(node: Node) -> str:
    """Expand: sizes from 0; -1 is invalid, unlike in a Reshape."""
    value = node.graph.model.values.partly(node.graph, node.input(1)) if node.input(1) else None
    if value is None or value.elements.dtype.kind not in "iu":
        return ""
    unknown = [False] * value.elements.size if value.unknown is None else value.unknown.reshape(-1)
    sizes = tuple(
        None if open else int(size) for size, open in zip(value.elements.flat, unknown, strict=True)
    )
    negative = next((size for size in sizes if size is not None and size < 0), None)
    return "" if negative is None else f"{negative} in {_text(sizes)} is not a size"


def _batch_normalization(node: Node) -> str:
    """BatchNormalization: one scale, bias, mean and variance for each channel."""
    data = _shape(node, 0)
    if data is None or len(data) < 2:
        return ""
    for position in range(1, 5):
        shape = _shape(node, position)
        if shape is not None and (len(shape) != 1 or _differ(shape[0], data[1])):
            return f"input {position} {_text(shape)} is not one number for each of {data[1]} channels"
    return ""


def _broadcasts(small: tuple[Dim, ...], large: tuple[Dim, ...]) -> bool:
    """Whether one shape can be broadcast to another without changing it."""
    if len(small) > len(large):
        return False
    pairs = zip(reversed(small), reversed(large), strict=False)
    return not any(_differ(one, other) and one != 1 for one, other in pairs)


def _text(shape: tuple[Dim, ...]) -> str:
    return f"[{','.join('?' if size is None else str(size) for size in shape)}]"


def _gemm(node: Node) -> str:
    """Gemm: C broadcasts to A' x B'."""
    first, second, bias = (_shape(node, position) for position in range(3))
    if first is None or second is None or bias is None or len(first) != 2 or len(second) != 2:
        return ""
    rows = first[1 if node.attribute("transA", 0) else 0]
    columns = second[0 if node.attribute("transB", 0) else 1]
    fits = _broadcasts(bias, (rows, columns))
    return "" if fits else f"the bias {_text(bias)} does not broadcast to {_text((rows, columns))}"


def _slope(node: Node) -> str:
    """PRelu: the slope broadcasts to the input, in one direction (version 7 and later)."""
    data, slope = _shape(node, 0), _shape(node, 1)
    if data is None or slope is None or (node.version or 0) < 7:
        return ""
    return "" if _broadcasts(slope, data) else f"the slope {_text(slope)} does not broadcast to {_text(data)}"


def _layer_normalization(node: Node) -> str:
    """LayerNormalization, RMSNormalization: scale and bias broadcast to the axes that are normalized."""
    data = _shape(node, 0)
    axis = node.attribute("axis", -1)
    if data is None:
        return ""
    if not -len(data) <= axis < len(data):
        return f"axis {axis} does not exist in the input {_text(data)}"
    for label, position in (("scale", 1), ("bias", 2)):
        shape = _shape(node, position)
        if shape is not None and not _broadcasts(shape, data):
            return f"the {label} {_text(shape)} does not broadcast to {_text(data)}"
    return ""


def _instance_normalization(node: Node) -> str:
    """InstanceNormalization: an input with spatial axes, and one scale and bias for each channel."""
    data = _shape(node, 0)
    if data is None:
        return ""
    if len(data) < 3:
        return f"the input {_text(data)} has no axes after batch and channels"
    for label, position in (("scale", 1), ("bias", 2)):
        shape = _shape(node, position)
        if shape is not None and (len(shape) != 1 or _differ(shape[0], data[1])):
            return f"the {label} {_text(shape)} is not one number for each of {data[1]} channels"
    return ""


def _loss(node: Node) -> str:
    """SoftmaxCrossEntropyLoss, NegativeLogLikelihoodLoss: one label for each position, weights by class."""
    scores, labels, weights = (_shape(node, position) for position in range(3))
    if scores is None or labels is None or len(scores) < 2:
        return ""
    wanted = (scores[0], *scores[2:])
    if len(labels) != len(wanted) or any(_differ(a, b) for a, b in zip(labels, wanted, strict=True)):
        return f"the labels {_text(labels)} are not of shape {_text(wanted)}"
    if weights is not None and (len(weights) != 1 or _differ(weights[0], scores[1])):
        return f"the weights {_text(weights)} are not one number for each of {scores[1]} classes"
    return ""


def _recurrent(node: Node) -> str:
    """LSTM, GRU, RNN: every weight and state by gates, hidden, input and batch, states by directions too.

    A weight for more directions than are run is accepted: backends read the first ones.
    """
    data, hidden = _shape(node, 0), node.attribute("hidden_size")
    if data is None or len(data) != 3 or not hidden:
        return ""
    directions = 2 if node.attribute("direction", "forward") == "bidirectional" else 1
    gates = GATES[node.op_type] * hidden
    first, second = data[0], data[1]
    batch = first if node.attribute("layout", 0) else second
    state = (batch, directions, hidden) if node.attribute("layout", 0) else (directions, batch, hidden)
    wanted: dict[int, tuple[Dim, ...]] = {
        1: (None, gates, data[2]),
        2: (None, gates, hidden),
        3: (None, 2 * gates),
        5: state,
        6: state,
        7: (None, 3 * hidden),
    }
    for position, shape in wanted.items():
        actual = _shape(node, position)
        if actual is not None and (
            len(actual) != len(shape) or any(_differ(a, b) for a, b in zip(actual, shape, strict=True))
        ):
            return f"input {position} is {_text(actual)}, hidden_size {hidden} asks for {_text(shape)}"
    return ""


def _scatter_nd(node: Node) -> str:
    """ScatterND: updates are as many slices of the data as there are indices."""
    data, indices, updates = (_shape(node, position) for position in range(3))
    if data is None or not indices or updates is None or not isinstance(indices[-1], int):
        return ""
    if indices[-1] > len(data):
        return f"indices {_text(indices)} address more axes than {_text(data)} has"
    wanted = (*indices[:-1], *data[indices[-1] :])
    if len(wanted) == len(updates) and not any(_differ(a, b) for a, b in zip(wanted, updates, strict=True)):
        return ""
    return f"updates {_text(updates)} are not of shape {_text(wanted)}"


def _same_rank(node: Node) -> str:
    """GatherElements, ScatterElements: indices (and updates) have the rank of the data."""
    data = _shape(node, 0)
    for position in (1, 2) if node.op_type == "ScatterElements" else (1,):
        shape = _shape(node, position)
        if data is not None and shape is not None and len(shape) != len(data):
            return f"input {position} {_text(shape)} has another rank than the data {_text(data)}"
    return ""


_CHECKS: Mapping[str, Callable[[Node], str]] = MappingProxyType(
    {
        **dict.fromkeys(("Conv", "ConvTranspose", "QLinearConv", "ConvInteger", "DeformConv"), _convolution),
        "Reshape": _reshape,
        "Expand": _expand,
        "BatchNormalization": _batch_normalization,
        "Gemm": _gemm,
        "PRelu": _slope,
        **dict.fromkeys(("LayerNormalization", "RMSNormalization"), _layer_normalization),
        "InstanceNormalization": _instance_normalization,
        "ScatterND": _scatter_nd,
        **dict.fromkeys(("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"), _loss),
        **dict.fromkeys(("GatherElements", "ScatterElements"), _same_rank),
        **dict.fromkeys(RECURRENT, _recurrent),
    }
)
