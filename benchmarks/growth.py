"""How the cost of dlclint grows with what a file holds: time and memory of whole processes, as powers.

    python benchmarks/growth.py [--kind NAME ...] [--size N] [--steps N] [--timeout S]

The work is that of the command, in one process: where a command hands it to workers, their memory and time
are not the command's own. For each kind files of N, N/2, N/4 ... pieces are made and linted. Printed are the
seconds and megabytes of each, and the power with which both grow: the slope of the logarithms, less what a
file of one piece costs. Linear is 1.0. Ends with status 1 where a power exceeds `--limit` (1.2).
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
SHAPE = (1, 4, 8, 8)


@dataclass(frozen=True)
class Kind:
    """What a file contains many of, and what is done with it: check, fix or plan."""

    make: Callable[[int], bytes]
    size: int = 100_000
    suffix: str = ".onnx"
    task: str = "check"


def graph(
    nodes: Sequence[NodeProto],
    outputs: Iterable[str],
    initializers: Sequence[TensorProto] = (),
    inputs: Iterable[str] = ("x0",),
) -> onnx.GraphProto:
    def values(names: Iterable[str]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, FLOAT, SHAPE) for name in names]

    return helper.make_graph(nodes, "g", values(inputs), values(outputs), initializers)


def model(body: onnx.GraphProto, functions: Sequence[onnx.FunctionProto] = ()) -> bytes:
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    proto = helper.make_model(body, opset_imports=imports, ir_version=8, functions=functions)
    return bytes(proto.SerializeToString())


def chain(count: int, op: str = "Relu", domain: str = "") -> list[NodeProto]:
    return [helper.make_node(op, [f"x{i}"], [f"x{i + 1}"], name=f"n{i}", domain=domain) for i in range(count)]


def chain_of(source: str, result: str) -> list[NodeProto]:
    return [helper.make_node("Relu", [source], [result])]


def nodes(count: int) -> bytes:
    return model(graph(chain(count), [f"x{count}"]))


def reversed_nodes(count: int) -> bytes:
    return model(graph(chain(count)[::-1], [f"x{count}"]))


def functions(count: int) -> bytes:
    """Functions that are called once each."""
    protos = [
        helper.make_function(
            "local", f"f{i}", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], IMPORTS
        )
        for i in range(count)
    ]
    calls = [
        helper.make_node(f"f{i}", [f"x{i}"], [f"x{i + 1}"], name=f"n{i}", domain="local")
        for i in range(count)
    ]
    return model(graph(calls, [f"x{count}"]), protos)


def nested_functions(count: int) -> bytes:
    """Functions that call one another in a chain."""
    bodies = [
        helper.make_node("Relu", ["a"], ["b"])
        if i == count - 1
        else helper.make_node(f"f{i + 1}", ["a"], ["b"], domain="local")
        for i in range(count)
    ]
    protos = [
        helper.make_function("local", f"f{i}", ["a"], ["b"], [body], IMPORTS) for i, body in enumerate(bodies)
    ]
    return model(graph([helper.make_node("f0", ["x0"], ["x1"], domain="local")], ["x1"]), protos)


IMPORTS = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]


def weight(name: str, *dims: int) -> TensorProto:
    count = math.prod(dims)
    values = [((i * 2654435761 + len(name) * 40503) % 997 - 498) / 997 for i in range(count)]
    return helper.make_tensor(name, FLOAT, dims, values)


def convolutions(count: int) -> bytes:
    """A straight chain of small convolutions with an activation between, all of which CLE can scale."""
    layers: list[NodeProto] = []
    for i in range(count):
        layers.append(helper.make_node("Conv", [f"x{i}", f"w{i}", f"b{i}"], [f"c{i}"], name=f"conv{i}"))
        layers.append(helper.make_node("Relu", [f"c{i}"], [f"x{i + 1}"], name=f"relu{i}"))
    weights = [tensor for i in range(count) for tensor in (weight(f"w{i}", 4, 4, 1, 1), weight(f"b{i}", 4))]
    return model(graph(layers, [f"x{count}"], weights))


def initializers(count: int) -> bytes:
    """Initializers that nothing reads."""
    return model(graph(chain(1), ["x1"], [weight(f"w{i}", 1) for i in range(count)]))


def repeated_initializers(count: int) -> bytes:
    """Initializers of which each two have one name."""
    return model(graph(chain(1), ["x1"], [weight(f"w{i // 2}", 1) for i in range(count)]))


def repeated_names(count: int) -> bytes:
    """Nodes of one name."""
    chained = chain(count)
    for node in chained:
        node.name = "n"
    return model(graph(chained, [f"x{count}"]))


def inputs(count: int) -> bytes:
    """Inputs that nothing reads."""
    return model(graph(chain(1), ["x1"], inputs=[f"x{i}" if not i else f"unread{i}" for i in range(count)]))


def outputs(count: int) -> bytes:
    """Nodes whose results are all outputs."""
    relus = [helper.make_node("Relu", ["x0"], [f"y{i}"], name=f"n{i}") for i in range(count)]
    return model(graph(relus, [f"y{i}" for i in range(count)]))


def constants(count: int) -> bytes:
    """Constant nodes, each added to what is before it."""
    chained: list[NodeProto] = []
    for i in range(count):
        chained.append(helper.make_node("Constant", [], [f"k{i}"], value_float=1.0))
        chained.append(helper.make_node("Add", [f"x{i}", f"k{i}"], [f"x{i + 1}"], name=f"n{i}"))
    return model(graph(chained, [f"x{count}"]))


def shapes(count: int) -> bytes:
    """Shape arithmetic: the size of each result reshapes the next."""
    chained: list[NodeProto] = []
    for i in range(count):
        chained.append(helper.make_node("Shape", [f"x{i}"], [f"s{i}"], name=f"shape{i}"))
        chained.append(helper.make_node("Reshape", [f"x{i}", f"s{i}"], [f"x{i + 1}"], name=f"reshape{i}"))
    return model(graph(chained, [f"x{count}"]))


def doublings(count: int) -> bytes:
    """A value that grows to twice its size with each node, in many chains of 20."""
    chained: list[NodeProto] = []
    for i in range(count // 20):
        chained.append(helper.make_node("Constant", [], [f"d{i}_0"], value_ints=[1, 2, 3, 4]))
        for j in range(19):
            chained.append(helper.make_node("Concat", [f"d{i}_{j}"] * 2, [f"d{i}_{j + 1}"], axis=0))
    chained.append(helper.make_node("Relu", ["x0"], ["x1"]))
    return model(graph(chained, ["x1"]))


def branches(count: int) -> bytes:
    """Ifs one after the other."""
    ifs = []
    for i in range(count):
        bodies = {
            branch: helper.make_graph(
                [helper.make_node("Relu", [f"x{i}"], [f"{branch}{i}"])],
                branch,
                [],
                [helper.make_tensor_value_info(f"{branch}{i}", FLOAT, SHAPE)],
            )
            for branch in ("then_branch", "else_branch")
        }
        ifs.append(helper.make_node("If", ["c"], [f"x{i + 1}"], name=f"if{i}", **bodies))
    flag = helper.make_tensor("c", TensorProto.BOOL, [], [True])
    return model(graph(ifs, [f"x{count}"], [flag]))


def ghosts(count: int) -> bytes:
    """Nodes that read what nothing produces."""
    additions = [helper.make_node("Add", [f"x{i}", f"ghost{i}"], [f"x{i + 1}"]) for i in range(count)]
    return model(graph(additions, [f"x{count}"]))


def fan(count: int) -> bytes:
    """One tensor that every node reads, and one that sums them all up."""
    relus = [helper.make_node("Relu", ["x0"], [f"y{i}"], name=f"n{i}") for i in range(count)]
    relus.append(helper.make_node("Sum", [f"y{i}" for i in range(count)], ["z"]))
    return model(graph(relus, ["z"]))


def joined(count: int) -> bytes:
    """One Concat of as many channels as there are nodes before it, between two convolutions."""
    weights = [
        numpy_helper.from_array(np.ones(shape, np.float32), name)
        for name, shape in (("v", (4, 4, 1, 1)), ("w", (4, 4 * count, 1, 1)))
    ]
    nodes = [helper.make_node("Conv", ["x0", "v"], ["x"])]
    nodes.extend(helper.make_node("Sigmoid", ["x"], [f"y{i}"], name=f"n{i}") for i in range(count))
    nodes.append(helper.make_node("Concat", [f"y{i}" for i in range(count)], ["j"], axis=1))
    nodes.append(helper.make_node("Conv", ["j", "w"], ["z"]))
    return model(graph(nodes, ["z"], weights))


def text(body: str) -> bytes:
    return body.encode()


def quotes(count: int) -> bytes:
    return text('{"a": "' + '\\"' * count + "\n")


def comments(count: int) -> bytes:
    return text('{"a": ' + "/* " * count)


def commas(count: int) -> bytes:
    return text('{"a": [' + ", " * count + "\n")


def repeated_keys(count: int) -> bytes:
    entry = '"t": [{"bitwidth": 8, "min": 0.0, "max": 1.0}]'
    section = ", ".join([entry] * count)
    return text(f'{{"activation_encodings": {{{section}}}, "param_encodings": {{}}}}')


def bad_entries(count: int) -> bytes:
    entries = {f"t{i}": [{"bitwidth": "eight", "min": 2.0, "max": 1.0}] for i in range(count)}
    return text(json.dumps({"activation_encodings": entries, "param_encodings": {}}))


def good_entries(count: int) -> bytes:
    scale = 1 / 255
    entry = {"bitwidth": 8, "is_symmetric": "False", "max": 1.0, "min": 0.0, "offset": 0, "scale": scale}
    entries = {f"t{i}": [entry] for i in range(count)}
    return text(json.dumps({"activation_encodings": entries, "param_encodings": {}, "version": "0.6.1"}))


def nested_keys(count: int) -> bytes:
    """A repeated key in each of many nested objects, with a large value inside."""
    depth = 400
    inner = json.dumps(list(range(count)))
    return text('{"x": ' + '{"a": 1, "a": ' * depth + inner + "}" * depth + "}")


OVERRIDES = ".encodings"
KINDS = {
    "nodes": Kind(nodes),
    "reversed": Kind(reversed_nodes),
    "functions": Kind(functions),
    "nested-functions": Kind(nested_functions),
    "convolutions": Kind(convolutions),
    "initializers": Kind(initializers),
    "repeated-initializers": Kind(repeated_initializers),
    "repeated-names": Kind(repeated_names),
    "inputs": Kind(inputs),
    "outputs": Kind(outputs),
    "constants": Kind(constants, 50_000),
    "shapes": Kind(shapes, 50_000),
    "doublings": Kind(doublings),
    "branches": Kind(branches, 20_000),
    "ghosts": Kind(ghosts),
    "fan": Kind(fan),
    "quotes": Kind(quotes, suffix=OVERRIDES),
    "comments": Kind(comments, suffix=OVERRIDES),
    "commas": Kind(commas, suffix=OVERRIDES),
    "repeated-keys": Kind(repeated_keys, suffix=OVERRIDES),
    "nested-keys": Kind(nested_keys, suffix=OVERRIDES),
    "bad-entries": Kind(bad_entries, suffix=OVERRIDES),
    "good-entries": Kind(good_entries, suffix=OVERRIDES),
    "fix-reversed": Kind(reversed_nodes, 20_000, task="fix"),
    "fix-initializers": Kind(initializers, task="fix"),
    "fix-repeated-names": Kind(repeated_names, 20_000, task="fix"),
    "fix-repeated-keys": Kind(repeated_keys, 20_000, OVERRIDES, task="fix"),
    "plan-nodes": Kind(nodes, task="plan"),
    "plan-fan": Kind(fan, 50_000, task="plan"),
    "plan-joined": Kind(joined, 20_000, task="plan"),
}


@dataclass(frozen=True)
class Cost:
    """Of one process: seconds of processor time, and megabytes at most."""

    seconds: float
    megabytes: float


def cost(command: Sequence[str], timeout: float) -> Cost | None:
    """The cost of a command; None where it exceeds its limit of processor time.

    Raises:
        RuntimeError: it was ended by a signal.
    """

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(timeout), math.ceil(timeout)))

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=limit) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if (
        process.returncode in (-signal.SIGXCPU, -signal.SIGKILL)
        and usage.ru_utime + usage.ru_stime >= timeout - 1
    ):
        return None
    if process.returncode < 0:
        raise RuntimeError(f"{' '.join(command)} was ended by signal {-process.returncode}")
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ends with status {process.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)


def power(sizes: Sequence[int], values: Sequence[float], base: float, least: float) -> float | None:
    """The slope of the logarithms by least squares; None where too few values exceed the base."""
    points = [
        (math.log(size), math.log(value - base))
        for size, value in zip(sizes, values, strict=True)
        if value - base > least
    ]
    if len(points) < 2:
        return None
    middle = (sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points))
    along = sum((x - middle[0]) ** 2 for x, _ in points)
    return sum((x - middle[0]) * (y - middle[1]) for x, y in points) / along


def run(kind: Kind, path: Path) -> None:
    """Do what the command does with a file: lint it and render the report, fix it, or plan it for HTP."""
    # Imported here because the process that measures must stay small.
    from dlclint.analysis.plan.model import PlanRequest
    from dlclint.cli.check import LISTED
    from dlclint.engine.fix.rounds import FixRequest
    from dlclint.engine.fix.run import fix_file
    from dlclint.engine.job import Job
    from dlclint.engine.plan import OverrideRequest, plan_model
    from dlclint.engine.run import lint_file
    from dlclint.outcome import Outcome
    from dlclint.report.render import render
    from dlclint.target import Runtime, Target

    gc.set_threshold(100_000, 20, 20)
    job = Job(path, kind="model" if kind.suffix == ".onnx" else "encodings", listed=LISTED)
    if kind.task == "fix":
        fix_file(job, FixRequest(None, False, False))
    elif kind.task == "plan":
        job = replace(job, target=Target((Runtime.HTP,)))
        plan_model(job, PlanRequest(job.dimensions), OverrideRequest())
    else:
        render("check", "json", Outcome("", (lint_file(job),), None), None)


def shown(figure: float | None) -> str:
    return "none" if figure is None else f"{figure:.2f}"


def measure(name: str, kind: Kind, size: int, steps: int, timeout: float, folder: Path) -> float:
    """Print a kind's figures; returns the power of its time."""
    sizes = [max(1, size >> step) for step in reversed(range(steps))]
    costs: list[Cost] = []
    done: list[int] = []
    for count in (1, *sizes):
        path = folder / f"{name}{kind.suffix}"
        # In a separate process: a child's peak includes what its parent holds.
        subprocess.run((sys.executable, __file__, "--make", name, str(count), str(path)), check=True)
        taken = cost((sys.executable, __file__, "--run", name, str(path)), timeout)
        if taken is None:
            print(f"{name:22} {count:>8}  longer than {timeout:g} s", flush=True)
            return math.inf
        costs.append(taken)
        done.append(count)
        print(f"{name:22} {count:>8}  {taken.seconds:7.2f} s  {taken.megabytes:7.0f} MB", flush=True)
    base, rest = costs[0], costs[1:]
    time_power = power(done[1:], [each.seconds for each in rest], base.seconds, 0.05)
    memory_power = power(done[1:], [each.megabytes for each in rest], base.megabytes, 5)
    print(f"{name:22} power of time {shown(time_power)}, of memory {shown(memory_power)}", flush=True)
    return time_power or 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="repeatable (default: all)")
    parser.add_argument("--size", type=int, help="of the largest file (default: by kind, most 100000)")
    parser.add_argument("--steps", type=int, default=4, help="sizes, each twice the one before (default 4)")
    parser.add_argument(
        "--timeout", type=float, default=120, help="seconds of processor time for one file (default 120)"
    )
    parser.add_argument("--limit", type=float, default=1.2, help="power that is still taken (default 1.2)")
    parser.add_argument("--make", nargs=3, metavar=("KIND", "N", "FILE"), help="only write such a file")
    parser.add_argument("--run", nargs=2, metavar=("KIND", "FILE"), help="only do the work on such a file")
    args = parser.parse_args()
    if args.run:
        run(KINDS[args.run[0]], Path(args.run[1]))
        return 0
    if args.make:
        name, count, file = args.make
        Path(file).write_bytes(KINDS[name].make(int(count)))
        return 0
    powers = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.kind or KINDS:
            kind = KINDS[name]
            size = args.size or kind.size
            powers[name] = measure(name, kind, size, args.steps, args.timeout, Path(folder))
    print()
    for name, found in powers.items():
        print(f"{name:22} {found:5.2f}{'' if found <= args.limit else f'  above {args.limit:g}'}")
    return int(any(found > args.limit for found in powers.values()))


if __name__ == "__main__":
    sys.exit(main())
