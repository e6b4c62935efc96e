"""Messages, help, documents, docstrings and names of tests use the words and spelling of the field."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLACES = (
    *("lint", "rules", "schemas", "scripts", "benchmarks", "tests", "docs", "action.yml"),
    *(p.name for p in ROOT.glob("*.md")),
)
SUFFIXES = {".py", ".md", ".json", ".yml", ".toml", ".onnxtxt", ".encodings"}
"""Not .txt: those are snapshots of what dlclint prints, and its words are checked where they are written."""
EXEMPT = {
    Path(__file__): "the list itself",
    ROOT / "tests" / "cli" / "test_targets.py": "--quantise, a misspelling that dlclint corrects",
}
"""Files whose text is not checked, and why; their docstrings and comments are."""
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
CODE = ("lint", "rules", "schemas", "scripts", "benchmarks", "tests")
PROSE_WORDS = {
    r"judg(?:e|ed|es|ing)\b": "check, evaluate, measure",
    r"beside\b": "next to, compared with, in addition to",
    r"(?:stands?|stood) (?:in|for|apart|above|beside)\b": "be in, represent, replace, precede",
    r"(?:is|are|was|were) told\b": "be reported, get",
    r"tells?\b": "report, state, show, determine",
    r"speaks?\b": "report, be about",
    r"(?:lies|lay|lain)\b": "be, be located",
    r"(?:no|some)body\b": "nothing, the user",
    r"(?:says?|said) of\b": "state about",
    r"(?:goes|go|went) by\b": "depend on, use",
    r"at hand\b": "local, available",
    r"asked for\b(?! its)": "requested, needed",
    r"cannot be followed\b": "is invalid",
    r"hand(?:s|ed)? on\b": "pass on",
    r"comes? to\b(?! a report)": "result, total",
    r"what it (?:is|was) worth\b": "what it gains",
    r"gives? way\b": "be replaced",
}
"""What docstrings and comments of the code and its tests do not use, and what they use instead."""
BANNED_IN_PROSE = re.compile(rf"\b(?:{'|'.join(PROSE_WORDS)})", re.IGNORECASE)


def banned(text: str, words: re.Pattern[str] = BANNED) -> list[str]:
    """The banned words in a text, whether or not a line ends in them."""
    return [match.group() for match in words.finditer(re.sub(r"\s+", " ", text))]


def prose(source: str) -> Iterator[str]:
    """The docstrings and comments of a module, without what is quoted in them."""
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        for part in body if isinstance(body, list) else ():
            if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant):
                yield re.sub(r"`[^`]*`|\"[^\"]*\"", "", str(part.value.value))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def test_words_and_spelling() -> None:
    wrong: dict[str, list[str]] = {}
    paths = [path for folder in PLACES for path in (ROOT / folder, *(ROOT / folder).rglob("*"))]
    texts = [path for path in paths if path.suffix in SUFFIXES and path not in EXEMPT]
    assert len(texts) > 1500
    for path in texts:
        words = banned(path.read_text("utf-8"))
        if words:
            wrong[path.relative_to(ROOT).as_posix()] = words
    assert wrong == {}


def test_words_of_docstrings_and_comments() -> None:
    wrong: dict[str, list[str]] = {}
    for path in (path for folder in CODE for path in (ROOT / folder).rglob("*.py")):
        texts = list(prose(path.read_text("utf-8")))
        patterns = (BANNED, BANNED_IN_PROSE)
        words = [word for text in texts for pattern in patterns for word in banned(text, pattern)]
        if words:
            wrong[path.relative_to(ROOT).as_posix()] = words
    assert wrong == {}


def test_words_of_the_names_of_tests() -> None:
    names = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    assert len(names) > 1000
    texts = [name.replace("_", " ") for name in sorted(names)]
    assert [text for text in texts if banned(text) or banned(text, BANNED_IN_PROSE)] == []


def test_prose_is_docstrings_and_comments() -> None:
    source = '''"""Beside `beside` it."""\nx = "beside"  # stands for it\n"""Tells more."""\n'''
    assert [banned(text, BANNED_IN_PROSE) for text in prose(source)] == [
        ["Beside"],
        ["Tells"],
        ["stands for"],
    ]
    assert banned("it applies to what comes to a report", BANNED_IN_PROSE) == []


def test_the_list_finds_what_it_bans() -> None:
    wrong = "A foretold\ncolour is no\noption; Mended, normalised, recognises: Neighbours have no such word"
    assert len(banned(wrong)) == 8
    right = 'There is no such file; it is no longer color; "mended": a mendacious precise analysis, realism'
    assert banned(right) == []
