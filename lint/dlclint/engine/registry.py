"""Rules found through entry points: an entry point's name is a family, and its module holds the rules.

Rules on models and rules on override files have separate groups, because the packages of one need not be
imported where only the other is needed, and importing is most of what a short run does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import walk_packages
from typing import NamedTuple

from dlclint.contained.deaths import Died
from dlclint.contained.guard import Ended, is_guarded
from dlclint.diagnostic import plain
from dlclint.engine.plugins import Broken, flaw, importing, is_plugin, plugin_origin
from dlclint.rule import Rule, Subject

GROUP = "dlclint.rules"
"""Rules on models, and on files that could not be read as models."""
ENCODINGS_GROUP = "dlclint.rules.encodings"
"""Rules on override files, alone or with their model."""


class BrokenRules(Exception):
    """dlclint's own rules cannot be used; the argument states which and why."""


class Installed(NamedTuple):
    """The rules of some groups, sorted by id, and the plugins and rules that cannot be used."""

    rules: tuple[Rule, ...]
    broken: tuple[Broken, ...]


def all_rules() -> tuple[Rule, ...]:
    """Every rule of every installed rule package, sorted by id.

    Raises:
        BrokenRules: dlclint's own cannot be imported. For other packages see `broken_plugins`.
    """
    return _installed((GROUP, ENCODINGS_GROUP)).rules


def broken_plugins(
    chosen: Sequence[str] = (), ignored: Sequence[str] = (), groups: tuple[str, ...] = (GROUP,)
) -> list[Broken]:
    """The plugins and rules that a run with these selectors leaves out.

    Raises:
        BrokenRules: as `all_rules`.
    """
    unusable = dict.fromkeys(_installed(groups).broken)
    # The rules of the other group also check a model that carries encodings.
    for point in rule_points():
        loaded = _loaded(point) if is_plugin(point) else ()
        if isinstance(loaded, Broken):
            unusable[loaded] = None
    families = {selector.partition("/")[0] for selector in chosen} - {"ALL"}
    return [
        broken
        for broken in unusable
        if broken.family not in ignored and (not families or broken.family in families)
    ]


@cache
def _installed(groups: tuple[str, ...]) -> Installed:
    rules: dict[str, Rule] = {}
    broken: list[Broken] = []
    for point in (point for point in rule_points() if point.group in groups):
        loaded = _loaded(point)
        if isinstance(loaded, Broken):
            broken.append(loaded)
            continue
        for rule in loaded:
            why = _misplaced(rule, point, rules)
            if not why:
                rules[rule.id] = rule
            elif is_plugin(point):
                label = f"rule {plain(rule.id)} of plugin {rule.origin} ({point.value})"
                broken.append(Broken(point.name, label, why, "fix it, or uninstall the plugin"))
            else:
                raise BrokenRules(f"rule {rule.id} ({point.value}): {why}")
    return Installed(tuple(rules[id] for id in sorted(rules)), tuple(broken))


def _misplaced(rule: Rule, point: EntryPoint, rules: Mapping[str, Rule]) -> str:
    """Why a rule cannot be used in addition to those that were found, or ""."""
    if rule.origin and (why := flaw(rule)):
        return why
    group = ENCODINGS_GROUP if rule.subject is Subject.ENCODINGS else GROUP
    if point.group != group:
        # Whether it runs would depend on what else is linted, because only the needed groups are loaded.
        return f"it belongs to entry-point group {group}, not {point.group}"
    other = rules.get(rule.id)
    if other is not None:
        return f"{other.origin or 'dlclint'} has a rule of that id"
    return ""


@cache
def rule_points() -> tuple[EntryPoint, ...]:
    """The entry points of both groups, dlclint's own first, so that no other replaces them."""
    every = entry_points()  # once: it reads a file of each package that is installed
    points = [point for group in (GROUP, ENCODINGS_GROUP) for point in every.select(group=group)]
    return tuple(sorted(points, key=lambda point: (is_plugin(point), point.name, point.value)))


@cache
def _loaded(point: EntryPoint) -> tuple[Rule, ...] | Broken:
    """The rules of an entry point, or what is broken where a plugin's cannot be imported.

    Raises:
        BrokenRules: dlclint's own cannot be imported.
    """
    if not is_plugin(point):
        try:
            return tuple(replace(rule, id=f"{point.name}/{rule.id}") for rule in _rules_of(point))
        except Exception as error:
            raise BrokenRules(
                f"rules of entry point {point.name!r} ({point.value}) cannot be imported: {error}"
            ) from error
    try:
        whence = plugin_origin(point)
        broken = None if is_guarded() else _tried_apart(point)
        if broken is not None:
            return broken
        with importing(point):
            rules = tuple(_rules_of(point))
        return tuple(replace(rule, id=f"{point.name}/{rule.id}", origin=whence) for rule in rules)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may fail in any way, even by `sys.exit`
        ended = isinstance(error, (Ended, Died))
        why = f"its import {error}" if ended else f"{type(error).__name__}: {error}"
        is_ours = any(other.name == point.name for other in rule_points() if not is_plugin(other))
        advice = "fix or uninstall it" + ("" if is_ours else f", or --ignore {point.name}")
        label = f"plugin {_named(point)} (entry point {point.name!r}, {point.value})"
        return Broken(point.name, plain(label), plain(why), plain(advice))


def _named(point: EntryPoint) -> str:
    try:
        return plugin_origin(point)
    except Exception:  # dlclint cannot fix unreadable metadata
        return point.value


def _tried_apart(point: EntryPoint) -> Broken | None:
    """The error that importing a plugin causes, tried in a process that the import may end.

    Raises:
        Died: it ends the process.
    """
    # Imported here because commands on models run in such a process anyway.
    from dlclint.contained.process import in_worker

    return in_worker(_problem, point)


def _problem(point: EntryPoint) -> Broken | None:
    loaded = _loaded(point)
    return loaded if isinstance(loaded, Broken) else None


def _rules_of(point: EntryPoint) -> Iterator[Rule]:
    """The rules that an entry point's module or its package's modules define, not those that they import.

    Raises:
        Exception: one of the modules cannot be imported.
    """
    first = point.load()
    inner = walk_packages(getattr(first, "__path__", ()), f"{first.__name__}.", onerror=_raise)
    for module in (first, *(import_module(module_info.name) for module_info in inner)):
        for value in vars(module).values():
            if isinstance(value, Rule) and value.check.__module__ == module.__name__:
                yield value


def _raise(name: str) -> None:
    """Raise the error that `walk_packages` would ignore: a package cannot be imported."""
    raise


def select(
    rules: tuple[Rule, ...], chosen: list[str], ignored: list[str], broken: Iterable[Broken] = ()
) -> tuple[Rule, ...]:
    """Rules selected by id or family (all if none), without those ignored; the longer selector wins.

    A selector of a broken plugin's rules selects none.

    Raises:
        ValueError: a selector matches no rule.
    """
    if not chosen and not ignored:
        return rules
    ids = {rule.id for rule in rules}
    families = {rule.family for rule in rules}
    lost = {plugin.family for plugin in broken}
    for selector in (*chosen, *ignored):
        is_known = selector in ids or selector in families or selector.partition("/")[0] in lost
        if selector != "ALL" and not is_known:
            raise ValueError(f"unknown rule or family {selector!r}{suggest(selector, ids | families)}")

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
    some = _installed(groups)
    try:
        return select(some.rules, list(chosen), list(ignored), some.broken)
    except ValueError:
        # The selector may name a rule that was left out.
        whole = _installed((GROUP, ENCODINGS_GROUP))
        every = select(whole.rules, list(chosen), list(ignored), whole.broken)
    kept = {rule.id for rule in some.rules}
    return tuple(rule for rule in every if rule.id in kept)


def suggest(word: str, known: set[str]) -> str:
    """A hint at the nearest known spelling, or ""."""
    # Imported here because only a misspelling needs it.
    import difflib

    near = difflib.get_close_matches(word, sorted(known), 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""
