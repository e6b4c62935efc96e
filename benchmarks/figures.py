"""Figures and the bounds that they must keep, as every benchmark prints them."""

from __future__ import annotations

from collections.abc import Iterable


def told(text: str, met: bool) -> bool:
    """Print whether a requirement is met; returns whether it is."""
    print(f"{'met' if met else 'MISSED'}: {text}", flush=True)
    return met


def all_met(figures: Iterable[tuple[str, float, float]]) -> bool:
    """Print each figure by label, value and upper bound; returns whether all are met."""
    met = [
        told(f"{name}: {value:.3g} (at most {bound:.3g})", value <= bound) for name, value, bound in figures
    ]
    return all(met)  # every figure is printed, whatever is missed
