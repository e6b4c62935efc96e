"""Rules found through entry points.

Rules on models and rules on override files stand in groups of their own, because the packages of
the ones need not be imported where only the others are needed, and importing is most of what a
short run does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import entry_points

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
        try:
            module = point.load()
        except Exception as error:  # a plugin may fail in any way at import
            raise BrokenRules(
                f"rules of entry point {point.name!r} ({point.value}) cannot be imported: {error}"
            ) from error
        for value in vars(module).values():
            if isinstance(value, Rule) and f"{value.check.__module__}.".startswith(f"{module.__name__}."):
                group = ENCODINGS_GROUP if value.subject is Subject.ENCODINGS else GROUP
                if point.group != group:
                    # It would run or not by what else is linted, for only the groups needed are loaded.
                    raise BrokenRules(
                        f"rule {value.id} ({point.value}) belongs to entry-point group {group}, "
                        f"not {point.group}"
                    )
                if value.id in found:
                    raise BrokenRules(f"two rules have the id {value.id}")
                found[value.id] = value
    return tuple(found[id] for id in sorted(found))


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
