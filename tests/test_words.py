"""Messages, help, documents and docstrings keep to the words and the spelling that the field uses."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLACES = ("lint", "rules", "schemas", "scripts", "docs", "action.yml", *(p.name for p in ROOT.glob("*.md")))
WORDS = {
    r"foret(?:old|ells?)": "predicted",
    # Not the key "mended", which version 1 of the JSON report of `dlclint fix` keeps.
    r"(?<![\"\w])(?:un)?mend(?:s|ed|ing)?(?![\w\"])": "fix",
    r"(?:dis)?colour\w*": "color",
    r"neighbour\w*": "neighbor",
    r"(?:behavi|fav|hon|lab)our\w*": "behavior, favor, honor, labor",
    r"analys(?:e|ed|er|ing)\b": "analyze",
    r"\w*(?:normal|recogn|sanit|initial|optim|quant|equal|organ|minim|maxim|serial|summar|general|special|material"
    r"|real|custom|synchron|token|vector)is(?:ed?|e[rs]|ers|ing|ations?)": "-ize",
    r"no such word": "unknown, and what is known",
    r"(?<!there )(?:is|are) no (?!longer\b|more\b)": "is not a; there is no",
    r"silences nothing": "unused ignore",
    r"for want of": "without, because ... lacks",
    r"in vain\b": "without effect",
    r"(?:thus|upon|whilst)\b": "so, on, while",
    r"be it\b": "whether",
    r"anew\b": "again",
    r"without a word": "silently",
    r"works? out\b|worked out": "compute",
    r"(?:tells?|speaks?|says? nothing) of\b": "report, be about, not apply to",
    r"(?:told|taken?) apart": "distinguish, split",
    r"nothing (?:is|was) said\b": "nothing is reported, is known",
    r"g(?:ives?|ave) back\b": "return",
    r"in the wild\b": "in practice",
}
"""What is not written, as regular expressions, and what is written instead."""
BANNED = re.compile(rf"\b(?:{'|'.join(WORDS)})", re.IGNORECASE)


def banned(text: str) -> list[str]:
    """The banned words in a text, whether or not a line ends in them."""
    return [match.group() for match in BANNED.finditer(re.sub(r"\s+", " ", text))]


def test_words_and_spelling() -> None:
    found: dict[str, list[str]] = {}
    paths = [path for place in PLACES for path in (ROOT / place, *(ROOT / place).rglob("*"))]
    texts = [path for path in paths if path.suffix in {".py", ".md", ".json", ".yml", ".toml"}]
    assert len(texts) > 400
    for path in texts:
        words = banned(path.read_text("utf-8"))
        if words:
            found[path.relative_to(ROOT).as_posix()] = words
    assert found == {}


def test_the_list_finds_what_it_bans() -> None:
    wrong = "A foretold\ncolour is no\noption; Mended, normalised, recognises: Neighbours have no such word"
    assert len(banned(wrong)) == 8
    right = 'There is no such file; it is no longer color; "mended": a mendacious precise analysis, realism'
    assert banned(right) == []
