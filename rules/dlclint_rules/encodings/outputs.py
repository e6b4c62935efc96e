"""The range of an output compared with what its op can produce, and with its input's range."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from dlclint.analysis.activations.certain import Interval, interval
from dlclint.analysis.matching.terms import clip_bounds, sole_reader
from dlclint.analysis.moving import hands_on_all, moved_inputs, origin
from dlclint.analysis.needed import needed_range
from dlclint.diagnostic import About, Confidence, Severity, Source
from dlclint.encodings.entry_grids import EntryGrid, entry_grids
from dlclint.model.op_facts import CLIPPING, UNCHANGED
from dlclint.rule import EncodingsContext, Finding, Place
from dlclint.target import Runtime
from dlclint_rules.causes import here
from dlclint_rules.encodings.repairs import regridded, regridded_as
from dlclint_rules.encodings.reporting import at, capped, encodings_rule, entry
from dlclint_schemas.outputs import OutputRange, fused_behind, op_outputs
from dlclint_schemas.record import record
from dlclint_schemas.thresholds import threshold

if TYPE_CHECKING:
    from dlclint.analysis.view import ModelView
    from dlclint.model.graph import Node

CONFIGURATION = Source("AIMET 2.42 quantsim configurations", "encoding_constraints")


@record
class EncodedOutput:
    """An output with its grid and the possible range of its values."""

    node: Node
    grid: EntryGrid
    values: Interval | None
    """None where neither end is guaranteed."""

    @property
    def fixed(self) -> OutputRange | None:
        """The range that HTP expects, where it expects a fixed one."""
        known = op_outputs().get(self.node.op_type)
        return known if known is not None and known.fixed else None

    @property
    def left(self) -> float:
        """The number of the grid's values that an output can have."""
        if self.values is None:
            return self.grid.steps
        low, high = max(self.values.minimum, self.grid.low), min(self.values.maximum, self.grid.high)
        # A tiny step gives infinity.
        steps = max(-1.0, min((high - low) / self.grid.scale + 1e-3, self.grid.steps - 1.0))
        return math.floor(steps) + 1.0

    @property
    def inside(self) -> tuple[float, float]:
        """The part of the grid's range that an output can have."""
        if self.values is None:
            return self.grid.low, self.grid.high
        return max(self.values.minimum, self.grid.low), min(self.values.maximum, self.grid.high)


def made_on(view: ModelView, grids: Mapping[str, EntryGrid]) -> Iterator[tuple[Node, EntryGrid]]:
    """Every op output that has a grid, in the order of the grids."""
    # A quantized model may have its ops in the bodies of an If, where names can repeat.
    graphs = [*view.model.graphs()]
    for name, grid in grids.items():
        for graph in graphs:
            node = graph.producer(name) if graph.makes(name) else None
            if node is not None:
                yield node, grid


def _outputs(context: EncodingsContext) -> Iterator[EncodedOutput]:
    """Every output of an op that the file gives one integer grid."""
    if context.view is None:
        return
    grids = entry_grids(context.document)
    for node, grid in made_on(context.view, grids):
        maker = _maker(node, grids)
        if not maker.domain and node.graph.constant(grid.name) is None:
            yield EncodedOutput(maker, grid, context.view.certain(node.graph).get(grid.name))


def _maker(node: Node, grids: Mapping[str, EntryGrid]) -> Node:
    """The node, or the producer of a tensor that it only moves and that has no grid before."""
    passed = {node.key}
    while len(moved := moved_inputs(node)) == 1 and hands_on_all(node) and moved[0] not in grids:
        before = node.graph.producer(moved[0])
        if before is None or before.output(0) != moved[0] or before.key in passed:
            break
        node = before
        passed.add(node.key)
    return node


def _text(low: float, high: float) -> str:
    return f"{low:.4g} to {high:.4g}"


def _bounds(values: Interval) -> str:
    """A text for a range of which one end may be infinite."""
    low, high = values.minimum, values.maximum
    if math.isfinite(low + high):
        return _text(low, high)
    return f"{low:.4g} and more" if math.isfinite(low) else f"at most {high:.4g}"


def _is_off(output: EncodedOutput) -> bool:
    """Whether an output with a fixed range has a different one."""
    fixed = output.fixed
    if fixed is None:
        return False
    slack = threshold("range_slack") * (fixed.high - fixed.low)
    return abs(output.grid.low - fixed.low) > slack or abs(output.grid.high - fixed.high) > slack


@encodings_rule(about=About.ACCURACY, follows=here("encodings/shared-grid"))
def range_not_fixed(context: EncodingsContext) -> Iterator[Finding]:
    """An output for which HTP expects a fixed range has another one.

    Why: HTP expects the outputs of Sigmoid, Softmax and HardSigmoid on 0 to 1, and the outputs of Tanh, Sin
    and Cos on -1 to 1, in steps of that range by 2^bits; AIMET's configurations for v73 and newer write these
    ranges. A calibrated or a symmetric range compiles and loses accuracy: MobileNetV3-small kept about 2 %
    instead of 66.7 % top-1 (HardSigmoid), YOLOv10 near 0 mAP (Softmax). For v68 and v69, AIMET calibrates
    Sigmoid and Softmax, so a calibrated range is only a note there.
    What to do: give the complete range, whatever the calibration found.
    Fix: unsafe, the range becomes the fixed one.
    """
    if Runtime.HTP not in context.target.considered:
        return

    def finding(output: EncodedOutput) -> Finding:
        grid, fixed = output.grid, output.fixed
        assert fixed is not None
        lost = [
            end
            for end, out in ((fixed.low, grid.low > fixed.low), (fixed.high, grid.high < fixed.high))
            if out
        ]
        narrow = grid.high - grid.low < (fixed.high - fixed.low) * (1 - threshold("range_slack"))
        wide = f"{output.left:.0f} of {grid.steps} steps lie in {_text(fixed.low, fixed.high)}"
        effect = f"values beyond are lost, up to {max(lost, key=abs):g}" if narrow and lost else wide
        step = (fixed.high - fixed.low) / grid.steps
        soc = context.target.soc
        # For older versions AIMET leaves the range to calibration, and a calibrated one covers all observed
        # values.
        older = soc is not None and soc.hexagon is not None and soc.hexagon < fixed.since
        within = grid.low >= fixed.low - grid.scale and grid.high <= fixed.high + grid.scale
        unplaced = Finding(
            f"{grid.name!r}: {output.node.op_type} with the range {_text(grid.low, grid.high)}, where HTP"
            f" expects {fixed.low:g} to {fixed.high:g}: {effect}",
            Severity.INFO if older and within else Severity.WARNING,
            Source("onnxruntime/onnxruntime-qnn#473 and #558", fixed.source),
            Confidence.FIELD_REPORTED,
            f"give it {fixed.low:g} to {fixed.high:g} (steps of {step:.4g})",
            output.node,
            evidence={"min": grid.low, "max": grid.high, "steps_left": output.left, "steps": grid.steps},
            fix=regridded(
                context.document,
                grid,
                (fixed.low, fixed.high - step),
                f"give it the fixed range, {fixed.low:g} to {fixed.high:g}",
            ),
        )
        return at(context, grid.row, (), unplaced)

    yield from capped(context, filter(_is_off, _outputs(context)), finding, "outputs")


def _beyond(output: EncodedOutput) -> tuple[float, float]:
    """How far a grid extends below and above the range of a Relu or Clip inside another op."""
    if output.node.op_type not in CLIPPING or output.values is None:
        return 0.0, 0.0
    if _runs_inside(output.node) is None:
        return 0.0, 0.0
    own = _own_bounds(output.node)
    least = max(1.5 * output.grid.scale, threshold("range_slack") * (output.grid.high - output.grid.low))
    below, above = own.minimum - output.grid.low, output.grid.high - own.maximum
    return (below if below > least else 0.0), (above if above > least else 0.0)


def _runs_inside(node: Node) -> Node | None:
    """The op that a Relu or Clip is fused into, possibly through ops that pass all values on."""
    graph, name = node.graph, node.input(0)
    for _ in range(len(graph.nodes)):
        maker = graph.producer(name)
        if maker is None or maker.domain or sole_reader(graph, name) is None:
            return None
        if maker.op_type not in UNCHANGED:
            return maker if maker.op_type in fused_behind() else None
        name = maker.input(0)
    return None


def _own_bounds(node: Node) -> Interval:
    """The range to which a Relu or Clip itself cuts."""
    low, high = clip_bounds(node)
    return interval(-math.inf if low is None else low, math.inf if high is None else high)


@encodings_rule(about=About.ACCURACY, weights=True)
def bound_lost(context: EncodingsContext) -> Iterator[Finding]:
    """A Relu or Clip that is fused away has a range beyond its bound.

    Why: after a convolution, a Gemm or an Add, HTP runs Relu and Clip inside that op, and only the output's
    grid keeps the bound. If the grid starts below 0, or ends above the bound, values pass that the op would
    have cut: YOLOv6 kept 28.9 instead of 42.6 mAP on target.
    What to do: start the range at the lower bound, and end it at the upper one.
    Fix: unsafe, the range is cut to the bounds, with the same number of bits.
    """

    def lost() -> Iterator[tuple[EncodedOutput, float, float]]:
        for output in _outputs(context):
            below, above = _beyond(output)
            if below or above:
                yield output, below, above

    def finding(entry: tuple[EncodedOutput, float, float]) -> Finding:
        output, below, above = entry
        grid, own = output.grid, _own_bounds(output.node)
        maker = _runs_inside(output.node)
        assert maker is not None
        kept = max(grid.low, own.minimum), min(grid.high, own.maximum)
        unplaced = Finding(
            f"{grid.name!r}: the range is {_text(grid.low, grid.high)}, though {output.node.op_type} cuts to"
            f" {_bounds(own)}; it runs inside {maker.op_type}, and of its bound only the range is left",
            Severity.WARNING,
            Source("onnxruntime/onnxruntime-qnn#478", "a fused Relu"),
            Confidence.FIELD_REPORTED,
            f"give it {_text(*kept)}",
            output.node,
            evidence={"min": grid.low, "max": grid.high, "below": below, "above": above},
            related=(Place("it runs inside", maker),),
            fix=regridded(context.document, grid, kept, f"cut the range to {_text(*kept)}"),
        )
        return at(context, grid.row, (), unplaced)

    yield from capped(context, lost(), finding, "outputs")


def _is_one_sided(output: EncodedOutput) -> bool:
    """Whether a symmetric grid is on values of one sign, and no other finding reports it."""
    values = output.values
    if values is None or not output.grid.symmetric or output.fixed is not None or any(_beyond(output)):
        return False
    return (values.minimum >= 0.0 or values.maximum <= 0.0) and not _second_of_wide_product(output)


def _second_of_wide_product(output: EncodedOutput) -> bool:
    """Whether it is the second operand of a MatMul at 16 bits, where HTP needs a symmetric grid."""
    name = output.grid.name
    if output.grid.bitwidth != 16:
        return False
    return any(
        node.op_type == "MatMul" and node.input(1) == name for node in output.node.graph.consumers(name)
    )


@encodings_rule(about=About.ACCURACY)
def one_sided_symmetric(context: EncodingsContext) -> Iterator[Finding]:
    """An output of one sign has a symmetric range.

    Why: half of the steps represent numbers that the op never produces, which wastes one bit of width.
    What to do: quantize activations asymmetrically; the quantizers' default does.
    Fix: unsafe, the range becomes the half that is used.
    """

    def finding(output: EncodedOutput) -> Finding:
        grid = output.grid
        assert output.values is not None
        sign = "negative" if output.values.minimum >= 0 else "positive"
        unplaced = Finding(
            f"{grid.name!r}: symmetric, {_text(grid.low, grid.high)}, though {output.node.op_type} produces"
            f" nothing {sign}: {output.left:.0f} of {grid.steps} steps are left",
            Severity.WARNING if output.left < threshold("ample_steps") else Severity.INFO,
            CONFIGURATION,
            Confidence.INFERRED,
            f"give it {_text(*output.inside)}, asymmetric",
            output.node,
            evidence={"min": grid.low, "max": grid.high, "steps_left": output.left, "steps": grid.steps},
            fix=regridded(
                context.document, grid, output.inside, f"make it asymmetric, {_text(*output.inside)}"
            ),
        )
        return at(context, grid.row, (), unplaced)

    yield from capped(context, filter(_is_one_sided, _outputs(context)), finding, "outputs")


def _is_wasted(output: EncodedOutput) -> bool:
    if output.values is None or output.fixed is not None or any(_beyond(output)) or _is_one_sided(output):
        return False
    if output.left > threshold("wasted_share") * output.grid.steps or _second_of_wide_product(output):
        return False
    grid = output.grid
    # Every range includes 0, and HTP computes some ops wrongly with the range that they can produce.
    low, high = needed_range(output.node, grid.name, *output.inside, grid.bitwidth)
    return (high - low) / grid.scale <= threshold("wasted_share") * grid.steps


@encodings_rule(about=About.ACCURACY)
def range_wasted(context: EncodingsContext) -> Iterator[Finding]:
    """The range is far wider than what the op can produce.

    Why: steps beyond what the op can produce are never used, so the values share the rest: half of the steps
    are one bit of width. What an op can produce depends on its definition, on the bounds of Clip, and on the
    possible values of its inputs.
    What to do: give the range that the op can produce; if several tensors share one range, give this one its
    own.
    Fix: unsafe, the range is cut to what the op can produce.
    """

    def finding(output: EncodedOutput) -> Finding:
        grid, values = output.grid, output.values
        assert values is not None
        unplaced = Finding(
            f"{grid.name!r}: the range is {_text(grid.low, grid.high)}, but {output.node.op_type} produces"
            f" {_bounds(values)}: {output.left:.0f} of {grid.steps} steps are left",
            Severity.WARNING if output.left < threshold("ample_steps") else Severity.INFO,
            CONFIGURATION,
            Confidence.INFERRED,
            f"give it {_text(*output.inside)}",
            output.node,
            evidence={"min": grid.low, "max": grid.high, "steps_left": output.left, "steps": grid.steps},
            fix=regridded(context.document, grid, output.inside, f"cut the range to {_text(*output.inside)}")
            if output.inside[1] > output.inside[0]
            else None,
        )
        return at(context, grid.row, (), unplaced)

    yield from capped(context, filter(_is_wasted, _outputs(context)), finding, "outputs")


@record
class CutOutput:
    """An output whose range excludes a part of the range of an input whose values it holds."""

    node: Node
    grid: EntryGrid
    source: EntryGrid
    low: float
    high: float
    """The possible range of the input's values."""

    @property
    def share(self) -> float:
        """The share of the input's range that is beyond the output's."""
        out = max(0.0, self.grid.low - self.low) + max(0.0, self.high - self.grid.high)
        return out / (self.high - self.low) if self.high > self.low else 0.0


def _cuts(context: EncodingsContext) -> Iterator[CutOutput]:
    """Outputs of ops that pass on or join all elements of their inputs, with the input that loses most."""
    if context.view is None:
        return
    grids = entry_grids(context.document)
    for node, grid in made_on(context.view, grids):
        if not hands_on_all(node) or node.output(0) != grid.name:
            continue
        certain = context.view.certain(node.graph)
        worst: CutOutput | None = None
        for moved in (origin(node.graph, moved, grids) for moved in moved_inputs(node)):
            source = grids.get(moved)
            if source is None or _is_of_fixed_range(node, moved) or _is_of_whole(node, source, grids):
                continue
            values = certain.get(moved)
            low = source.low if values is None else max(source.low, values.minimum)
            high = source.high if values is None else min(source.high, values.maximum)
            if source.symmetric and (grid.low < low + grid.scale or grid.high > high - grid.scale):
                # One end of a symmetric range may only mirror the other.
                continue
            cut = CutOutput(node, grid, source, low, high)
            if low < high and (worst is None or cut.share > worst.share):
                worst = cut
        slack = threshold("range_slack")
        if worst is not None and worst.share > slack + grid.scale / (worst.high - worst.low):
            yield worst


def _is_of_fixed_range(node: Node, name: str) -> bool:
    """Whether a tensor's range was not calibrated but is the whole range that its op can produce."""
    maker = node.graph.producer(name)
    known = None if maker is None or maker.domain else op_outputs().get(maker.op_type)
    return known is not None and known.fixed


def _is_of_whole(node: Node, grid: EntryGrid, grids: Mapping[str, EntryGrid]) -> bool:
    """Whether a tensor is a part of another one and has its grid, which does not describe the part's values.

    AIMET writes the grids that it computes for Split and Slice in 2.0.0 like this.
    """
    maker = node.graph.producer(grid.name)
    moved = () if maker is None or hands_on_all(maker) else moved_inputs(maker)
    return any(
        whole is not None and whole.same(grid)
        for whole in (grids.get(origin(node.graph, name, grids)) for name in moved)
    )


@encodings_rule(about=About.ACCURACY)
def range_cut(context: EncodingsContext) -> Iterator[Finding]:
    """An output that holds its input's values has a narrower range than the input.

    Why: ops that move or join elements (Reshape, Slice, MaxPool, Concat, ...) compute nothing, so clamping
    values beyond the output's range gains nothing.
    What to do: give the output the input's range, and the output of a Concat the range of all its inputs.
    Fix: unsafe, the output's range is widened to the input's.
    """

    def finding(cut: CutOutput) -> Finding:
        grid = cut.grid
        low, high = min(grid.low, cut.low), max(grid.high, cut.high)
        lost = cut.low if cut.grid.low - cut.low > cut.high - cut.grid.high else cut.high
        unplaced = Finding(
            f"{grid.name!r}: {cut.node.op_type} passes on {cut.source.name!r}, {_text(cut.low, cut.high)},"
            f" but its range is {_text(grid.low, grid.high)}: values up to {lost:.4g} are clamped"
            f" ({cut.share:.0%} of the input's range)",
            Severity.WARNING,
            Source("ONNX operator definition", cut.node.op_type),
            Confidence.INFERRED,
            f"give it {_text(low, high)}",
            cut.node,
            evidence={"lost_share": cut.share, "min": grid.low, "max": grid.high},
            related=(entry(context, cut.source.row, "its input"),),
            fix=regridded(context.document, grid, (low, high), f"widen the range to {_text(low, high)}"),
        )
        return at(context, grid.row, (), unplaced)

    yield from capped(context, _cuts(context), finding, "outputs")


@encodings_rule(about=About.ACCURACY)
def moved_grid(context: EncodingsContext) -> Iterator[Finding]:
    """An op that only moves data has another grid after it than before.

    Why: Reshape, Transpose, Slice, Pad, MaxPool and the like compute nothing, and neither does a Concat of
    inputs with one grid, so their output can keep the input's grid. Another grid costs an op that requantizes
    every value and rounds it once more.
    What to do: give the output the input's numbers.
    Fix: unsafe, the output gets the input's grid.
    """
    if context.view is None:
        return
    view, grids = context.view, entry_grids(context.document)
    cut = {cut.grid.name for cut in _cuts(context)}

    def differing() -> Iterator[tuple[Node, EntryGrid, EntryGrid]]:
        for node, output in made_on(view, grids):
            moved = moved_inputs(node)
            sources = [grids.get(origin(node.graph, name, grids)) for name in moved]
            source = sources[0] if sources else None
            # An op that joins inputs with one grid moves them; with different grids it must compute a new
            # one.
            if source is None or any(other is None or not source.same(other) for other in sources[1:]):
                continue
            # Another width is an intended Convert, and precision/convert-inserted reports it.
            if output.name in cut or source.bitwidth != output.bitwidth:
                continue
            if not source.same(output):
                yield node, source, output

    def finding(hit: tuple[Node, EntryGrid, EntryGrid]) -> Finding:
        node, source, grid = hit
        unplaced = Finding(
            f"{grid.name!r}: {node.op_type} moves {source.name!r} and has another grid,"
            f" {_text(grid.low, grid.high)} for {_text(source.low, source.high)}: every value is"
            " requantized",
            Severity.INFO,
            Source("microsoft/onnxruntime#22676", "Pad and Slice"),
            Confidence.FIELD_REPORTED,
            "give it the input's numbers",
            node,
            evidence={"scale": grid.scale, "input_scale": source.scale},
            related=(entry(context, source.row, "its input"),),
            fix=regridded_as(context.document, grid, source),
        )
        return at(context, grid.row, (), unplaced)

    yield from capped(context, differing(), finding, "outputs")
