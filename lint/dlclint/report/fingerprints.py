"""What identifies a finding across reports: its rule, and its place by names and structure.

Indexes and numbers are not included, so that the fingerprint does not change when a node is inserted before
the place, or a weight is trained further. Findings that are equal in all of these are distinguished by their
order.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from dlclint.diagnostic import Diagnostic

_NUMBER = re.compile(r"\d[\d.,]*(?:e[-+]?\d+)?")
_INDEX = re.compile(r"(?<=/)\d+(?=/|$)")


def fingerprints(findings: Iterable[Diagnostic]) -> Iterator[str]:
    """64 hexadecimal digits for each finding, in the order given."""
    seen: Counter[str] = Counter()
    for finding in findings:
        location = finding.location
        mark = "\0".join(
            (
                finding.rule,
                location.file.replace("\\", "/"),
                location.graph,
                location.op,
                location.node or location.tensor,
                _INDEX.sub("#", location.pointer or ""),
                _NUMBER.sub("#", finding.message),
            )
        )
        seen[mark] += 1
        yield hashlib.sha256(f"{mark}\0{seen[mark]}".encode()).hexdigest()
