"""Figures beside the bounds that they are to keep, as every benchmark tells them."""

from __future__ import annotations

from collections.abc import Iterable


def told(text: str, met: bool) -> bool:
    """Print whether something asked for is there; returns whether it is."""
    print(f"{'met' if met else 'MISSED'}: {text}", flush=True)
    return met


def all_met(figures: Iterable[tuple[str, float, float]]) -> bool:
    """Print each of some figures, by label, value and upper bound; returns whether all are met."""
    met = [
        told(f"{name}: {value:.3g} (at most {bound:.3g})", value <= bound) for name, value, bound in figures
    ]
    return all(met)  # every figure is printed, whatever is missed
