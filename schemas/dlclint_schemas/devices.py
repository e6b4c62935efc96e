"""The device table: 80-63442-2 Rev BL, Overview (45 rows)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from dlclint_schemas.resource import frozen, load


@cache
def device_table() -> tuple[Mapping[str, Any], ...]:
    """The rows as printed, read once."""
    return tuple(frozen(row) for row in load("snpe_devices")["devices"])
