"""The strip: a network's subnets in order, each as wide as its share of the nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from dlclint.diagnostic import counted, size_text

if TYPE_CHECKING:
    from dlclint.analysis.subnets import Partition, Subnet

_WIDTH = 72
_NAMED = 8
"""Subnets that are named below the strip; further ones are only counted."""
_ON, _OFF = ("█", "green"), ("░", "yellow")


def strip_lines(partition: Partition) -> Iterator[Text]:
    """The lines for a partition: a headline, and the strip if execution changes processor."""
    name = partition.runtime.value
    if not partition.cuts:
        whole = sum(subnet.nodes for subnet in partition.subnets) - partition.nowhere
        yield Text.assemble((name, "bold"), f"  one subnet, {counted(whole, 'node')}{_beside(partition)}")
        return
    yield Text.assemble(
        (name, "bold"),
        f"  {counted(len(partition.subnets), 'subnet')}, {_changes(partition)},"
        f" {size_text(partition.bytes)} cross{_beside(partition)}",
    )
    drawn = Text("  ")
    for subnet, width in zip(partition.subnets, _widths(partition.subnets), strict=True):
        mark, style = _ON if subnet.on_runtime else _OFF
        drawn.append(mark * width, style)
    yield drawn
    named = [_named(subnet, name) for subnet in partition.subnets[:_NAMED]]
    if len(partition.subnets) > _NAMED:
        named.append(f"+ {len(partition.subnets) - _NAMED} more (--format json lists all)")
    yield Text(f"  {' | '.join(named)}")


def _changes(partition: Partition) -> str:
    return counted(partition.cuts, "change", "of processor")


def _beside(partition: Partition) -> str:
    unclear = f"; {counted(partition.unclear, 'node')} unclear" if partition.unclear else ""
    return unclear + (f"; {counted(partition.nowhere, 'node')} on no runtime" if partition.nowhere else "")


def _named(subnet: Subnet, runtime: str) -> str:
    if subnet.on_runtime:
        return f"{runtime} {subnet.nodes}"
    ops = ", ".join(f"{op} x{count}" if count > 1 else op for op, count in subnet.ops[:2])
    return f"cpu {ops}{', ...' if len(subnet.ops) > 2 else ''}"


def _widths(subnets: tuple[Subnet, ...]) -> list[int]:
    """At least one column each; the remaining ones are distributed by the number of nodes."""
    total = sum(subnet.nodes for subnet in subnets)
    spare = max(0, _WIDTH - len(subnets))
    return [1 + subnet.nodes * spare // total for subnet in subnets]
