"""The addresses of the documents that findings cite, as far as the data have them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from dlclint_schemas.resource import citation, load

_TABLES = ("snpe_onnx_ops", "snpe_network_layers", "snpe_quantization", "qairt_onnx_ops")
"""The data files whose source has an address."""
_THREAD = re.compile(r"([A-Za-z0-9-]+/[A-Za-z0-9._-]+)#([0-9]+)\b")
"""An issue or pull request on GitHub, as findings cite it."""


@cache
def _published() -> Mapping[str, str]:
    sources = (load(name)["source"] for name in _TABLES)
    return {citation(source): str(source["url"]) for source in sources}


def address_of(document: str) -> str:
    """The address of a document, or of the first cited discussion; "" where none is known."""
    known = _published().get(document)
    if known is not None:
        return known
    thread = _THREAD.match(document)
    # GitHub redirects from an issue's address to the pull request of that number.
    return f"https://github.com/{thread[1]}/issues/{thread[2]}" if thread else ""
