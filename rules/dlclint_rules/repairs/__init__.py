"""Fixes of a model's findings: graph rewrites, one small function each.

A rewrite takes the nodes that its rule found and returns a `Fix`, or None where it does not apply. Its edits
are computed only when the fix is applied. A module is imported when one of its rewrites is first needed: most
models need few of them, and importing is most of what a short run does.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlclint_rules.repairs import folding, layers, masks, patterns, sizes, tidying, versions

__all__ = ["folding", "layers", "masks", "patterns", "sizes", "tidying", "versions"]


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(name)
    return import_module(f"{__name__}.{name}")
