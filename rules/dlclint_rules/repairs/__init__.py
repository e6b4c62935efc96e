"""Fixes of a model's findings: graph rewrites, one small function each.

A rewrite takes what its rule found and returns a `Fix`, or None where it does not apply. Its edits
are computed only when the fix is made. The modules are imported when the first of their rewrites is
asked for: most models need few of them, and importing is most of what a short run does.
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
