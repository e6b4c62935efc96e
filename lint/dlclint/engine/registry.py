"""Rules found through entry points.

Rules on override files alone stand in a group of their own, because their packages need not be
imported where only models are linted, and importing is most of what a short run does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import entry_points

from dlclint.rule import Rule

GROUP = "dlclint.rules"
"""Rules on models and on anything else."""
ENCODINGS_GROUP = "dlclint.rules.encodings"
"""Rules on override files alone."""


class BrokenRules(Exception):
    """A rule package cannot be used; the argument says which and why."""


def all_rules() -> tuple[Rule, ...]:
    """Every rule of every installed rule package, sorted by id.

    Raises:
        BrokenRules: a package cannot be imported, or two rules have the same id.
    """
    return _rules((GROUP, ENCODINGS_GROUP))


def model_rules() -> tuple[Rule, ...]:
    """The rules of group `dlclint.rules`, which are all that a run without override files needs.

    Raises:
        BrokenRules: as `all_rules`.
    """
    return _rules((GROUP,))


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


def chosen_rules(chosen: Sequence[str], ignored: Sequence[str], overrides: bool = False) -> tuple[Rule, ...]:
    """The selected rules, without those on override files alone unless there are some to lint.

    Raises:
        ValueError: a selector matches no rule.
        BrokenRules: as `all_rules`.
    """
    if not overrides:
        try:
            return select(model_rules(), list(chosen), list(ignored))
        except ValueError:
            pass  # the selector may be of a rule that was left out
    return select(all_rules(), list(chosen), list(ignored))


def suggest(given: str, known: set[str]) -> str:
    """A hint at the nearest known spelling, or ""."""
    import difflib

    near = difflib.get_close_matches(given, sorted(known), 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""
