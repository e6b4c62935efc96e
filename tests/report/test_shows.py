"""The reports that the documentation shows: each decides the next step on its first screen."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dlclint.chains import Stage

ROOT = Path(__file__).parent.parent.parent
SHOWS = ROOT / "docs" / "shows"
NAMES = ("clean", "flawed", "transformer", "detector")
SCREEN = 24
HEADS = {f"  {stage.value}" for stage in Stage}


@pytest.mark.parametrize("name", NAMES)
def test_the_first_screen_decides(name: str) -> None:
    lines = (SHOWS / f"{name}.txt").read_text("utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line in HEADS)
    assert first <= SCREEN
    screen = "\n".join(lines[:first])
    for answer in ("converts", "runs", "accuracy", "next"):
        assert re.search(rf"^  {answer} +\S", screen, re.M), answer
    assert max(map(len, lines)) <= 110


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_the_first_screen_and_loads_nothing(name: str) -> None:
    text = (SHOWS / f"{name}.svg").read_text("utf-8")
    root = ElementTree.fromstring(text)
    shown = " ".join("".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text"))
    assert "converts" in shown.replace("\xa0", " ")
    assert "url(http" not in text and "@import" not in text and "<script" not in text
    lines = {node.get("y") for node in root.iter("{http://www.w3.org/2000/svg}text") if node.get("clip-path")}
    assert len(lines) <= SCREEN


def test_the_networks_are_what_their_names_say() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from pages._networks import NETWORKS
    finally:
        sys.path.pop(0)
    assert set(NETWORKS) == set(NAMES)
    assert len(NETWORKS["transformer"][0]().graph.node) > 700
    assert any(dim.dim_param for dim in NETWORKS["detector"][0]().graph.input[0].type.tensor_type.shape.dim)
