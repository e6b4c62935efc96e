"""How often dlclint and Qualcomm's HTP backend agree, over folders of models, node by node.

    python -m benchmarks.agreement FOLDER [FOLDER ...] [--soc SM8550] [--quantize] [--list FILE] [--page FILE]
    python -m benchmarks.agreement FOLDER --sweep [--keep FILE] [--rows N] [--per-op N] [--page FILE]

Each folder becomes one row. `--quantize` asks about every model as an 8-bit one. `--sweep` makes a row of
each pair of widths and Hexagon version instead: 8-bit, 16-bit activations, 16-bit both, and 4-bit weights per
channel, on a chip each of v68 to v81; `--per-op N` takes of the models with a float input only those with an
op that fewer than N models before them contain, in the order of their names, and `--every N` of these each
Nth. An interrupt ends a sweep with the complete rows; `--keep FILE` keeps them there, asks only about the
missing ones, and `--rows N` about at most N of these.

`--size N` gives the dimensions that a model leaves open a size (1 for the first of an input): the backend
takes no open ones, and little of such a model can be compared.

Last come the share of false alarms and of Hexagon's refusals that dlclint reports, each with its target.
`--list` writes every disagreement as one JSON object per line; `--page` puts the table between the marks of a
Markdown page. It needs the extra `qnn`.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.figures import told
from onnx import TensorProto

from dlclint.analysis.view import ModelView
from dlclint.confirm.asking import ConfirmRequest, asked_target, compare_with_backend
from dlclint.confirm.compare import Confirmation, Relation
from dlclint.confirm.package import package_versions
from dlclint.confirm.process import WORKER, Backend, BackendAnswer, NotAvailable, QuestionLimits
from dlclint.confirm.ranges import kind_words
from dlclint.confirm.socs import asked_soc
from dlclint.engine.job import Job
from dlclint.engine.run import lint_file
from dlclint.model.dimensions import Dimensions
from dlclint.model.reading import Unreadable, read
from dlclint.socs import UnknownSoc, resolve_soc
from dlclint.target import DlcKind, Target

BEGIN, END = "<!-- agreement: begin -->", "<!-- agreement: end -->"
SWEEP_BEGIN, SWEEP_END = "<!-- sweep: begin -->", "<!-- sweep: end -->"
SWEEP = {
    "a8w8": DlcKind(True, stated=True),
    "a16w8": DlcKind(True, 16, stated=True),
    "a16w16": DlcKind(True, 16, 16, stated=True),
    "a8w4": DlcKind(True, 8, 4, per_channel=True, stated=True),
}
"""The kinds of DLC that a sweep asks about."""
SWEEP_SOCS = ("SM8350", "SM8550", "SM8850", "SM8450", "SM8650", "SM8750")
"""One chip of each Hexagon version, v68 to v81."""
MOST_ALARMS = 0.0002
"""Share of compared nodes that may be false alarms."""
LEAST_TOLD = 0.95
"""Share of the backend's refusals that dlclint should report."""
SHOWN = (
    Relation.AGREED,
    Relation.FALSE_ALARM,
    Relation.MISSED,
    Relation.WARNED,
    Relation.IN_FLOAT,
    Relation.CONVERTER,
    Relation.WRAPPER,
)
TITLES = {
    Relation.AGREED: "agree",
    Relation.FALSE_ALARM: "false alarm",
    Relation.MISSED: "miss",
    Relation.WARNED: "only warned",
    Relation.IN_FLOAT: "in float",
    Relation.CONVERTER: "converter only",
    Relation.WRAPPER: "wrapper only",
}


class Remembering(Backend):
    """A backend that answers once where widths make no difference, as for a model without weights."""

    def __init__(self, folder: Path, limits: QuestionLimits) -> None:
        super().__init__(folder, limits, WORKER)
        self._soc = ""
        self._answers: dict[bytes, BackendAnswer] = {}

    def ask(self, model: bytes, folder: Path, soc: str, **options: Any) -> BackendAnswer:
        """As `Backend.ask`; the answers about one chip are cached."""
        if soc != self._soc:
            self._soc = soc
            self._answers.clear()
        key = hashlib.sha256(model + repr((folder, sorted(options.items()))).encode()).digest()
        if key not in self._answers:
            answer = super().ask(model, folder, soc, **options)
            if answer.ended:
                return answer  # what ended the process once may not do so again
            self._answers[key] = answer
        return self._answers[key]


@dataclass
class Tally:
    """The results for a folder's models."""

    name: str
    models: int = 0
    clean: int = 0
    """Models whose session was made, or would have been after validation."""
    whole: int = 0
    """Models of which the backend accepts every node."""
    unasked: Counter[str] = field(default_factory=Counter)
    all: Counter[Relation] = field(default_factory=Counter)
    """Compared nodes of all models."""
    told: int = 0
    """Nodes that the backend refuses by code, and for which dlclint reports a failure."""
    in_clean: Counter[Relation] = field(default_factory=Counter)
    by_op: dict[str, Counter[Relation]] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """All counts as plain data."""
        return {
            "name": self.name,
            "counts": [self.models, self.clean, self.whole],
            "told": self.told,
            "unasked": dict(self.unasked),
            "all": _plain(self.all),
            "in_clean": _plain(self.in_clean),
            "by_op": {op: _plain(counts) for op, counts in self.by_op.items()},
        }

    @classmethod
    def of_json(cls, kept: dict[str, Any]) -> Tally:
        """The tally that `as_json` returned."""
        by_op = {op: _counter(counts) for op, counts in kept["by_op"].items()}
        return cls(
            kept["name"],
            *kept["counts"],
            Counter(kept["unasked"]),
            _counter(kept["all"]),
            kept.get("told", 0),
            _counter(kept["in_clean"]),
            by_op,
        )

    def add(self, file: Confirmation) -> None:
        """Count one model."""
        self.models += 1
        if file.could_not_ask:
            self.unasked[file.unasked or file.stopped] += 1
        clean = not file.could_not_ask and not file.failure
        self.clean += clean
        self.whole += clean and not file.refuses
        for row in file.rows:
            if row.relation is not Relation.UNJUDGED:
                self.all[row.relation] += 1
                self.told += row.verdict.said.is_backends_no and row.relation is Relation.AGREED
                self.in_clean[row.relation] += clean
                self.by_op.setdefault(row.op, Counter())[row.relation] += 1


def _plain(counts: Counter[Relation]) -> dict[str, int]:
    return {relation.value: number for relation, number in counts.items()}


def _counter(kept: dict[str, int]) -> Counter[Relation]:
    return Counter({Relation(value): number for value, number in kept.items()})


def models_in(folder: Path) -> list[Path]:
    """Every ONNX model below a folder, or the file itself."""
    return [folder] if folder.is_file() else sorted(folder.rglob("*.onnx"))


def sampled(paths: Iterable[Path], per_op: int | None) -> Iterator[Path]:
    """The models with a float input that contain an op which fewer than `per_op` earlier ones contain.

    All of them where `per_op` is None.
    """
    taken: Counter[str] = Counter()
    for path in paths:
        try:
            graph = read(path).graph
        except Unreadable:
            continue
        kinds = (graph.type_of(name) for name in graph.inputs)
        if per_op is not None and not any(k is not None and k.data_type == TensorProto.FLOAT for k in kinds):
            continue
        ops = {node.op_type for node in graph.nodes}
        if per_op is None or any(taken[op] < per_op for op in ops):
            taken.update(ops)
            yield path


@dataclass
class Kept:
    """Whole rows of a sweep, in a file if there is one: a line of JSON each, with its disagreements."""

    path: Path | None
    question: str
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def open(self) -> None:
        """Read the existing rows of the same question."""
        if self.path is not None and self.path.exists():
            for line in self.path.read_text("utf-8").splitlines():
                row = json.loads(line)
                if row["question"] == self.question:
                    self.rows[row["tally"]["name"]] = row

    def add(self, tally: Tally, build: str, listed: list[str]) -> None:
        """Keep a row."""
        row = {"question": self.question, "tally": tally.as_json(), "build": build, "listed": listed}
        self.rows[tally.name] = row
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")


def sweep(
    asked: Backend, paths: Sequence[Path], kept: Kept, most: int | None, listed: list[str]
) -> tuple[list[Tally], str]:
    """A tally of each pair of chip and kind, and the backend's version; at most `most` new ones."""
    build = ""
    fresh = 0
    with suppress(KeyboardInterrupt):
        for soc, words in product(map(resolve_soc, SWEEP_SOCS), SWEEP):
            tally = Tally(f"{soc.name} (v{soc.hexagon}), {words}")
            if tally.name in kept.rows:
                continue
            if fresh == most:
                break
            fresh += 1
            rows: list[str] = []
            target = asked_target(Target(soc=soc, kind=SWEEP[words]))
            for file in confirmations(asked, paths, target, ConfirmRequest(asked_soc(soc))):
                tally.add(file)
                build = file.build or build
                rows += [
                    json.dumps({"asked": tally.name, **disagreement}) for disagreement in disagreements(file)
                ]
            kept.add(tally, build, rows)
            print(table([tally])[-1], file=sys.stderr, flush=True)
    names = [f"{s.name} (v{s.hexagon}), {words}" for s, words in product(map(resolve_soc, SWEEP_SOCS), SWEEP)]
    rows_kept = [kept.rows[name] for name in names if name in kept.rows]
    for row in rows_kept:
        listed += row["listed"]
    return [Tally.of_json(row["tally"]) for row in rows_kept], build or next(
        (r["build"] for r in rows_kept), ""
    )


def confirmations(
    asked: Backend, paths: Iterable[Path], target: Target, wish: ConfirmRequest, size: int | None = None
) -> Iterator[Confirmation]:
    """Lint and ask about one model after the other; unreadable ones are left out."""
    for path in paths:
        try:
            sizes = Dimensions() if size is None else closed(path, size)
            view = ModelView(read(path, sizes), target)
        except Unreadable as problem:
            print(f"{path}: {problem.message}", file=sys.stderr)
            continue
        findings = lint_file(Job(path, target, dimensions=sizes)).diagnostics
        yield compare_with_backend(asked, str(path), view, findings, wish)


def closed(path: Path, size: int) -> Dimensions:
    """A size for each dimension that a model leaves open: 1 for the first of an input, else the given one.

    Raises:
        Unreadable: the model cannot be read.
    """
    graph = read(path).graph
    shapes = {name: kind.shape for name in graph.inputs if (kind := graph.type_of(name)) is not None}
    return Dimensions(
        {
            name: tuple(
                dim if isinstance(dim, int) else size if axis else 1 for axis, dim in enumerate(shape)
            )
            for name, shape in shapes.items()
            if shape is not None and not all(isinstance(dim, int) for dim in shape)
        }
    )


def disagreements(file: Confirmation) -> Iterator[dict[str, object]]:
    """Every row with a disagreement, as plain data."""
    for row in file.rows:
        if row.relation not in (Relation.AGREED, Relation.UNJUDGED):
            yield {
                "model": file.path,
                "clean": not (file.failure or file.could_not_ask),
                "node": row.node_index,
                "graph": row.graph,
                "op": row.op,
                "relation": row.relation.value,
                "reason": row.verdict.reason,
                "code": row.verdict.code,
                "claims": [claim.rule for claim in row.claims],
            }


def table(tallies: Iterable[Tally]) -> list[str]:
    """One Markdown row per folder."""
    lines = [
        "| models | number | session clean | taken whole | judged nodes | "
        + " | ".join(TITLES[relation] for relation in SHOWN)
        + " | misses in clean sessions |",
        "|" + " --- |" * (6 + len(SHOWN)),
    ]
    for tally in tallies:
        judged = sum(tally.all.values())
        cells = [f"{tally.all[relation]} ({tally.all[relation] / max(1, judged):.2%})" for relation in SHOWN]
        cells.append(str(tally.in_clean[Relation.MISSED]))
        numbers = (tally.name, tally.models, tally.clean, tally.whole, judged)
        lines.append(f"| {' | '.join((*map(str, numbers), *cells))} |")
    return lines


def shares(tallies: Sequence[Tally]) -> None:
    """Print whether two shares reach their targets: false alarms of compared nodes, reported refusals."""
    judged = sum(sum(tally.all.values()) for tally in tallies)
    alarms = sum(tally.all[Relation.FALSE_ALARM] for tally in tallies)
    known = sum(tally.told for tally in tallies)
    refused = known + sum(tally.all[Relation.MISSED] for tally in tallies)
    told(
        f"false alarms: {alarms} of {judged} judged nodes ({alarms / max(1, judged):.3%}), "
        f"at most {MOST_ALARMS:.2%}",
        alarms <= MOST_ALARMS * judged,
    )
    told(
        f"refusals told: {known} of {refused} ({known / max(1, refused):.1%}), at least {LEAST_TOLD:.0%}",
        known >= LEAST_TOLD * refused,
    )


def op_table(tallies: Iterable[Tally]) -> list[str]:
    """One Markdown row per op on which the two disagree anywhere."""
    by_op: dict[str, Counter[Relation]] = {}
    for tally in tallies:
        for op, counts in tally.by_op.items():
            by_op.setdefault(op, Counter()).update(counts)
    lines = [
        "| op | judged | " + " | ".join(TITLES[relation] for relation in SHOWN) + " |",
        "|" + " --- |" * (2 + len(SHOWN)),
    ]
    for op, counts in sorted(by_op.items()):
        if any(counts[relation] for relation in SHOWN[1:-1]):
            cells = " | ".join(str(counts[relation]) for relation in SHOWN)
            lines.append(f"| {op} | {sum(counts.values())} | {cells} |")
    return lines


def main(arguments: list[str]) -> int:
    """Exit 2 if the backend is not available, else 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agreement", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--soc", default="SM8550")
    parser.add_argument("--quantize", action="store_true", help="ask about 8-bit DLCs in place of float ones")
    parser.add_argument("--sweep", action="store_true", help="every kind of DLC on every Hexagon version")
    parser.add_argument("--per-op", type=int, metavar="N", help="of a sweep: how many models for each op")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="of these, each Nth")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="rows of a sweep that are whole already")
    parser.add_argument("--rows", type=int, metavar="N", help="new rows of a sweep, at most")
    parser.add_argument("--size", type=int, metavar="N", help="of the dimensions that a model leaves open")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="S", help="seconds for one model")
    parser.add_argument(
        "--list", type=Path, metavar="FILE", help="every disagreement, one JSON object a line"
    )
    parser.add_argument("--page", type=Path, metavar="FILE", help="a Markdown page to put the table into")
    args = parser.parse_args(arguments)
    try:
        soc = resolve_soc(args.soc)
        wish = ConfirmRequest(asked_soc(soc))
        packages = package_versions()
    except (NotAvailable, UnknownSoc) as error:
        print(f"agreement: {error}", file=sys.stderr)
        return 2
    kind = DlcKind(quantize=args.quantize, stated=True)
    target = asked_target(Target(soc=soc, kind=kind))
    tallies: list[Tally] = []
    listed: list[str] = []
    build = ""
    ends = (SWEEP_BEGIN, SWEEP_END) if args.sweep else (BEGIN, END)
    about = ""
    with ExitStack() as stack:
        folder_of_worker = stack.enter_context(TemporaryDirectory(prefix="dlclint-agreement-"))
        asked = Remembering(Path(folder_of_worker), QuestionLimits(args.timeout))
        asked.start()
        stack.callback(asked.stop)
        if args.sweep:
            paths = list(sampled(models_in(args.folders[0]), args.per_op))[:: args.every]
            which = f"{args.per_op} with a float input for each op" if args.per_op else "all"
            which += f", each {args.every}th of them" if args.every > 1 else ""
            about = f"Asked about {len(paths)} models of `{args.folders[0].name}` ({which})"
            kept = Kept(args.keep, f"{about} {sorted(packages.items())}")
            kept.open()
            tallies, build = sweep(asked, paths, kept, args.rows, listed)
        for folder in [] if args.sweep else args.folders:
            tally = Tally(folder.name)
            tallies.append(tally)
            for file in confirmations(asked, models_in(folder), target, wish, args.size):
                tally.add(file)
                build = file.build or build
                listed += [json.dumps(row) for row in disagreements(file)]
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    today = datetime.datetime.now(tz=datetime.timezone.utc).date()
    how = about or f"Asked for {soc}, {kind_words(kind) if kind.quantize else 'float'}"
    text = [
        f"{how}, compiled; {versions}; backend {build}; {today}.",
        "",
        *table(tallies),
        "",
        *op_table(tallies),
    ]
    for tally in tallies:
        for why, count in tally.unasked.most_common():
            print(f"{tally.name}: could not ask about {count}: {why}", file=sys.stderr)
    print("\n".join(text))
    shares(tallies)
    if args.list is not None:
        args.list.write_text("".join(f"{line}\n" for line in listed), "utf-8")
    if args.page is not None:
        page = args.page.read_text("utf-8")
        before, after = page.partition(ends[0])[0], page.partition(ends[1])[2]
        args.page.write_text(f"{before}{ends[0]}\n\n" + "\n".join(text) + f"\n\n{ends[1]}{after}", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
