"""Which nodes a drawing shows as one: modules by the names of the nodes, else sections of the network.

Exporters write where in the module tree a node comes from: into its name (`/encoder/layer.0/MatMul`), or into
its metadata (`pkg.torch.onnx.name_scopes`). A block with more members than a reader can follow is divided
into sections where the fewest edges cross.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from dlclint.analysis.drawing.model import NetworkBlock

MOST = 40
"""Members of a block that are shown side by side."""
_DEEPEST = 12
_SCOPES = "pkg.torch.onnx.name_scopes"
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'")
_KNOWN_SHARE = 0.5
"""The share of the nodes with a module from which a node without one gets its neighbor's."""

Scope = tuple[str, ...]


def scope_of(name: str, op: str, metadata: Mapping[str, str]) -> Scope:
    """The modules that contain a node, outermost first; empty where they are unknown."""
    scopes = _QUOTED.findall(metadata.get(_SCOPES, "")[:4096])
    if len(scopes) > 1:
        return _parts(scopes[-2], ".")  # the last is the node itself
    separator = "/" if "/" in name else "."
    modules = _parts(name.rpartition(separator)[0], separator)
    # Some exporters number the nodes of each op, as in `p2o.Conv.12`: an op is not a module.
    return modules[:-1] if modules and modules[-1] == op else modules


def _parts(text: str, separator: str) -> Scope:
    return tuple(part for part in text.split(separator) if part)[:_DEEPEST]


def blocks_of(
    scopes: Sequence[Scope], sources: Sequence[Sequence[int]]
) -> tuple[list[NetworkBlock], list[int]]:
    """The blocks, the whole model first, each after its parent; and the block of each node.

    Args:
        scopes: the modules of each node, in the order of the network.
        sources: the indices of the nodes that each node reads.
    """
    tree = _Tree(_filled(scopes, sources))
    tree.cut(sources)
    return tree.blocks()


def _filled(scopes: Sequence[Scope], sources: Sequence[Sequence[int]]) -> list[Scope]:
    """The scopes, with that of a neighbor where a node has none and most have one.

    The neighbor is a node that it reads, else one that reads it: nodes that an exporter adds are next to
    those of modules.
    """
    known = sum(map(bool, scopes))
    if known < _KNOWN_SHARE * len(scopes):
        return list(scopes)
    filled = list(scopes)
    for position, read in enumerate(sources):
        if not filled[position]:
            filled[position] = next((filled[source] for source in read if filled[source]), ())
    for position in reversed(range(len(filled))):
        for source in sources[position]:
            filled[source] = filled[source] or filled[position]
    return filled


class _Tree:
    """Members of each block by their first node: a block's number is negative, a node's is its index."""

    def __init__(self, scopes: Sequence[Scope]) -> None:
        self.names: list[str] = [""]
        self.parents: list[int] = [-1]
        self.own: list[int] = []
        """The block of each node."""
        known: dict[Scope, int] = {(): 0}
        for scope in scopes:
            for depth in range(1, len(scope) + 1):
                if scope[:depth] not in known:
                    known[scope[:depth]] = self._add(scope[depth - 1], known[scope[: depth - 1]])
            self.own.append(known[scope])

    def _add(self, name: str, parent: int) -> int:
        self.names.append(name)
        self.parents.append(parent)
        return len(self.names) - 1

    def _members(self) -> list[list[int]]:
        """The members of each block in the order of the network: -1 - N for a block N, else a node."""
        members: list[list[int]] = [[] for _ in self.names]
        seen = {0}
        for node, block in enumerate(self.own):
            members[block].append(node)
            while block not in seen:
                seen.add(block)
                parent = self.parents[block]
                members[parent].append(-1 - block)
                block = parent
        # A block is placed where its first node is.
        first = self._firsts()
        for group in members:
            group.sort(key=lambda member: member if member >= 0 else first[-1 - member])
        return members

    def _firsts(self) -> list[int]:
        first = [len(self.own)] * len(self.names)
        for node, block in enumerate(self.own):
            while block >= 0 and node < first[block]:
                first[block] = node
                block = self.parents[block]
        return first

    def cut(self, sources: Sequence[Sequence[int]]) -> None:
        """Divide every block with too many members into sections, which are blocks themselves."""
        pending = [True]
        while pending:
            pending = []
            members = self._members()
            crossing = self._crossing(members, sources)
            for block, group in enumerate(members):
                if len(group) <= MOST:
                    continue
                pending.append(True)
                parts = list(stretches(crossing[block]))
                for number, (start, end) in enumerate(parts, 1):
                    section = self._add(f"part {number} of {len(parts)}", block)
                    for member in group[start:end]:
                        if member >= 0:
                            self.own[member] = section
                        else:
                            self.parents[-1 - member] = section

    def _crossing(
        self, members: Sequence[Sequence[int]], sources: Sequence[Sequence[int]]
    ) -> list[list[int]]:
        """For each block and each gap after a member, the number of edges among members that cross it."""
        positions: dict[int, int] = {member: n for group in members for n, member in enumerate(group)}
        changes = [[0] * (len(group) + 1) for group in members]
        chains = [list(self._chain(block)) for block in range(len(self.names))]
        for node, read in enumerate(sources):
            above = chains[self.own[node]]
            for source in read:
                block, one, other = self._meet(node, source, above, chains[self.own[source]])
                low, high = sorted((positions[one], positions[other]))
                changes[block][low] += 1
                changes[block][high] -= 1
        return [list(accumulate(change))[:-1] for change in changes]

    def _chain(self, block: int) -> Iterator[int]:
        """A block and all enclosing ones, innermost first."""
        blocks = []
        while block >= 0:
            blocks.append(block)
            block = self.parents[block]
        return reversed(blocks)

    @staticmethod
    def _meet(one: int, other: int, above: list[int], around: list[int]) -> tuple[int, int, int]:
        """The innermost block around two nodes, and the members of it that contain them."""
        depth = 0
        while depth < len(above) and depth < len(around) and above[depth] == around[depth]:
            depth += 1
        return (
            above[depth - 1],
            -1 - above[depth] if depth < len(above) else one,
            -1 - around[depth] if depth < len(around) else other,
        )

    def blocks(self) -> tuple[list[NetworkBlock], list[int]]:
        """Blocks without those of a single member, which add nothing; parents come before children."""
        members = self._members()
        parents, names = list(self.parents), list(self.names)
        gone: dict[int, int] = {}
        for block in range(1, len(names)):
            if len(members[block]) != 1:
                continue
            gone[block] = parents[block]
            (only,) = members[block]
            if only < 0:  # the inner one takes the names of both
                names[-1 - only] = f"{names[block]}/{names[-1 - only]}"

        def kept(block: int) -> int:
            while block in gone:
                block = gone[block]
            return block

        numbers: dict[int, int] = {}
        pending = [0]
        below: list[list[int]] = [[] for _ in names]
        for block in range(1, len(names)):
            if block not in gone and members[block]:
                below[kept(parents[block])].append(block)
        for block in pending:  # which grows in the loop
            numbers[block] = len(numbers)
            pending += below[block]
        network_blocks = [NetworkBlock(numbers[kept(parents[b])] if b else -1, names[b]) for b in pending]
        return network_blocks, [numbers[kept(block)] for block in self.own]


def stretches(crossing: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Sections of some members each, which end where the fewest edges cross.

    `crossing` is for each member the number of edges that cross after it.
    """
    count = len(crossing)
    size = max(MOST * 2 // 3, -(-count // MOST))
    start = 0
    while count - start > size * 3 // 2:
        window = range(start + size // 2, start + size * 3 // 2)
        end = min(window, key=lambda position: (crossing[position - 1], abs(position - start - size)))
        yield start, end
        start = end
    yield start, count
