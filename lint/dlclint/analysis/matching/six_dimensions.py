"""Chains through a tensor of six dimensions that ONNX Runtime's provider for HTP merges into one op.

Measured with QNN 2.51 on x86.
"""

from __future__ import annotations

from collections.abc import Callable

from dlclint.analysis.folding import NodeKey
from dlclint.analysis.matching.terms import LONGEST, equation_of, maker_behind
from dlclint.model.evaluation.bounds import whole_numbers
from dlclint.model.graph import Graph, Node
from dlclint.model.op_facts import ELEMENTWISE, LAYOUT_SENSITIVE, REDUCTIONS, SOFTMAXES
from dlclint.model.types import Dim

SPACE_TO_DEPTH = ([0, 1, 3, 5, 2, 4], [0, 3, 5, 1, 2, 4])
"""Permutations that the provider treats as a space to depth, and refuses where they are not."""
_PERMUTING = ("Transpose", "Einsum")
_DEPTH_TO_SPACE = [0, 5, 1, 3, 2, 4]
"""The permutation of patches, channels last, to an image, which the provider knows as an Einsum in float."""
_TURNED_SPACE_TO_DEPTH = ([0, 2, 4, 1, 3, 5], [0, 4, 1, 2, 3, 5])
"""Permutations that become those where the channels of what is reshaped are turned to the last place."""


def first_of_six(graph: Graph, tensor: str) -> Node | None:
    """The Reshape or Gather to six dimensions that may begin a chain with this tensor."""
    first = maker_behind(graph, tensor, ("Identity",))
    if first is not None and first.op_type in _PERMUTING:
        first = maker_behind(graph, first.input(0), ("Identity",))
    if first is None or first.op_type not in ("Reshape", "Gather") or graph.rank(first.outputs[0]) != 6:
        return None
    return first


def merged_chain(
    folded: frozenset[NodeKey], is_float: bool, turned: Callable[[Graph], frozenset[str]], first: Node
) -> tuple[Node, ...]:
    """The nodes of a chain from a node to six dimensions on, where the provider for HTP merges it.

    `folded` are the nodes that the converter folds, `turned` gives the tensors of `turned_tensors`.
    """
    graph, chain = first.graph, [first]
    for ops in (_PERMUTING if is_float else _PERMUTING[:1], ("Reshape",)):
        while True:
            output = chain[-1].outputs[0]
            # The provider does not fold a Size.
            readers = [r for r in graph.consumers(output) if r.key not in folded or r.op_type == "Size"]
            if output in graph.outputs or len(readers) != 1 or readers[0].op_type not in (*ops, "Identity"):
                return ()
            if len(chain) > LONGEST:  # an invalid model may have a cycle
                return ()
            chain.append(readers[0])
            if readers[0].op_type in ops:
                break
    ends = (graph.rank(first.input(0)), graph.rank(chain[-1].outputs[0]))
    low = all(rank is not None and rank <= 5 for rank in ends)
    known = graph.type_of(first.outputs[0])
    sizes = () if known is None or known.shape is None else known.shape
    middle = next(node for node in chain if node.op_type in _PERMUTING)
    if middle.op_type == "Einsum":
        return tuple(chain) if low and _is_depth_to_space(first, middle, chain[-1], sizes) else ()
    order = middle.attribute("perm") or []
    in_place = any(size == 1 for axis, size in enumerate(sizes) if order[axis : axis + 1] == [axis])
    if order in (*SPACE_TO_DEPTH, *_TURNED_SPACE_TO_DEPTH):
        # The change to channels last goes through a Reshape that leaves the channels.
        is_turned = _keeps_channels(graph, first.input(0), sizes) and first.input(0) in turned(graph)
        if order in (_TURNED_SPACE_TO_DEPTH if is_turned else SPACE_TO_DEPTH):
            in_place = not is_turned and _is_space_to_depth(
                graph, first.input(0), sizes, chain[-1].outputs[0]
            )
    if first.op_type == "Gather":
        in_place = _takes_each_once(first)
    return tuple(chain) if low and in_place else ()


def _is_depth_to_space(first: Node, middle: Node, last: Node, sizes: tuple[Dim, ...]) -> bool:
    """Whether a Reshape, Einsum, Reshape makes an image `[n,c,h*p,w*q]` of patches `[n,h,w,p,q,c]`."""
    after = first.graph.type_of(last.outputs[0])
    left, _, right = equation_of(middle).partition("->")
    order = [left.find(letter) for letter in right]
    if first.op_type != "Reshape" or order != _DEPTH_TO_SPACE or after is None:
        return False
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) != 6:
        return False
    count, rows, columns, down, across, channels = known
    return after.static_shape == (count, channels, rows * down, columns * across)


def _takes_each_once(gather: Node) -> bool:
    """Whether a Gather reads, or may read, each place of its axis once: an unfold without overlaps does."""
    indices = gather.graph.model.values.whole(gather.graph, gather.input(1))
    before = gather.graph.type_of(gather.input(0))
    axis = gather.attribute("axis", 0)
    if indices is None or before is None or before.shape is None or axis is None:
        return True
    places, size = whole_numbers(indices), next(iter(before.shape[axis:]), None)
    if places is None or size != len(places):
        return False
    return sorted(place % len(places) for place in places) == list(range(len(places)))


def turned_tensors(graph: Graph) -> frozenset[str]:
    """The tensors that follow from an op that the provider turns to channels last.

    The layout goes on through elementwise ops, a softmax, a reduction that keeps the dimension, and a Concat
    of such tensors only.
    """
    tensors: set[str] = set()
    for node in graph.in_order:
        if node.domain:
            continue
        if node.op_type == "Concat":
            is_turned = tensors.issuperset(node.inputs)
        elif node.op_type in REDUCTIONS:
            is_turned = node.input(0) in tensors and node.attribute("keepdims", 1) == 1
        elif node.op_type in SOFTMAXES:
            is_turned = node.input(0) in tensors
        else:
            elementwise = node.op_type in ELEMENTWISE and not tensors.isdisjoint(node.inputs)
            is_turned = elementwise or node.op_type in LAYOUT_SENSITIVE
        if is_turned:
            tensors.update(filter(None, node.outputs))
    return frozenset(tensors)


def _keeps_channels(graph: Graph, before: str, sizes: tuple[Dim, ...]) -> bool:
    """Whether a Reshape to these sizes splits height and width, and leaves batch and channels."""
    tensor_type = graph.type_of(before)
    shape = None if tensor_type is None else tensor_type.static_shape
    return shape is not None and len(shape) == 4 and shape[:2] == sizes[:2]


def _is_space_to_depth(graph: Graph, before: str, sizes: tuple[Dim, ...], after: str) -> bool:
    """Whether a chain is a space to depth of whole images, and not all of its graph."""
    ends = [tensor_type and tensor_type.static_shape for tensor_type in map(graph.type_of, (before, after))]
    if not all(isinstance(size, int) for size in sizes):
        return False
    count, channels, rows, down, columns, across = (size for size in sizes if isinstance(size, int))
    wanted = [
        (count, channels, rows * down, columns * across),
        (count, channels * down * across, rows, columns),
    ]
    return ends == wanted and not (before in graph.inputs and after in graph.outputs)
