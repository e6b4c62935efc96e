"""Rules found through entry points: the name of one is a family, and its module or package holds the rules.

Rules on models and rules on override files stand in groups of their own, because the packages of
the ones need not be imported where only the others are needed, and importing is most of what a
short run does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import walk_packages

from dlclint.rule import Rule, Subject

GROUP = "dlclint.rules"
"""Rules on models, and on files that could not be read as one."""
ENCODINGS_GROUP = "dlclint.rules.encodings"
"""Rules on override files, alone or with their model."""


class BrokenRules(Exception):
    """A rule package cannot be used; the argument says which and why."""


def all_rules() -> tuple[Rule, ...]:
    """Every rule of every installed rule package, sorted by id.

    Raises:
        BrokenRules: a package cannot be imported, a rule stands in the wrong group, or two rules
            have the same id.
    """
    return _rules((GROUP, ENCODINGS_GROUP))


@cache
def _rules(groups: tuple[str, ...]) -> tuple[Rule, ...]:
    found: dict[str, Rule] = {}
    for point in sorted(point for group in groups for point in entry_points(group=group)):
        for value in _rules_of(point):
            rule = replace(value, id=f"{point.name}/{value.id}")
            group = ENCODINGS_GROUP if rule.subject is Subject.ENCODINGS else GROUP
            if point.group != group:
                # It would run or not by what else is linted, for only the groups needed are loaded.
                raise BrokenRules(
                    f"rule {rule.id} ({point.value}) belongs to entry-point group {group}, not {point.group}"
                )
            if rule.id in found:
                raise BrokenRules(f"two rules have the id {rule.id}")
            found[rule.id] = rule
    return tuple(found[id] for id in sorted(found))


def _rules_of(point: EntryPoint) -> Iterator[Rule]:
    """The rules that an entry point's module defines, or the modules of its package; not those it imports.

    Raises:
        BrokenRules: one of the modules cannot be imported.
    """
    try:
        first = point.load()
        inner = walk_packages(getattr(first, "__path__", ()), f"{first.__name__}.", onerror=_raise)
        for module in (first, *(import_module(found.name) for found in inner)):
            for value in vars(module).values():
                if isinstance(value, Rule) and value.check.__module__ == module.__name__:
                    yield value
    except Exception as error:  # a plugin may fail in any way at import
        raise BrokenRules(
            f"rules of entry point {point.name!r} ({point.value}) cannot be imported: {error}"
        ) from error


def _raise(name: str) -> None:
    """Raise what `walk_packages` would pass over: a package that cannot be imported."""
    raise


def select(rules: tuple[Rule, ...], chosen: list[str], ignored: list[str]) -> tuple[Rule, ...]:
    """Rules chosen by id or family (all if none), without those ignored; the longer selector wins.

    Raises:
        ValueError: a selector matches no rule.
    """
    ids = {rule.id for rule in rules}
    families = {rule.family for rule in rules}
    for selector in (*chosen, *ignored):
        if selector != "ALL" and selector not in ids and selector not in families:
            raise ValueError(f"no rule or family is called {selector!r}{suggest(selector, ids | families)}")

    def strength(rule: Rule, selectors: list[str]) -> int:
        return (
            3 if rule.id in selectors else 2 if rule.family in selectors else 1 if "ALL" in selectors else 0
        )

    return tuple(r for r in rules if strength(r, chosen or ["ALL"]) > strength(r, ignored))


def chosen_rules(
    chosen: Sequence[str], ignored: Sequence[str], groups: tuple[str, ...] = (GROUP,)
) -> tuple[Rule, ...]:
    """The selected rules of the groups that are needed.

    Raises:
        ValueError: a selector matches no rule of any group.
        BrokenRules: as `all_rules`.
    """
    try:
        return select(_rules(groups), list(chosen), list(ignored))
    except ValueError:
        # The selector may be of a rule that was left out.
        every = select(all_rules(), list(chosen), list(ignored))
    kept = {rule.id for rule in _rules(groups)}
    return tuple(rule for rule in every if rule.id in kept)


def suggest(given: str, known: set[str]) -> str:
    """A hint at the nearest known spelling, or ""."""
    # Imported here because only a misspelling needs it.
    import difflib

    near = difflib.get_close_matches(given, sorted(known), 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""
