"""A self-contained page: templates, styles, scripts and data in one file, in which nothing else can run.

Every page extends `page/base.html.j2`. Data from a model reaches the page in one of two ways, and both make
it text: through a template, which escapes it, or through the data of the page's scripts, which is JSON
without a character that ends a script, and which they insert into the page as text. In both, control and
format characters become visible. The policy in the page's head allows only the scripts and styles written
here, by their hash, loads nothing, and makes the browser refuse markup from scripts.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from dlclint.diagnostic import plain

_FOLDER = "dlclint.report.html"
_LIBRARIES = {"dagre.min.js": "dagre.LICENSE", "uPlot.iife.min.js": "uPlot.LICENSE"}
"""Vendored scripts, and the license of each (`scripts/vendor.py`)."""
_MAP = re.compile(r"\n//# sourceMappingURL=\S*")
_NONE = "'none'"
_ESCAPES = str.maketrans({mark: f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"})


def page(template: str, shown: Mapping[str, object], data: object, scripts: Sequence[str] = ()) -> str:
    """A page that needs no other file and no network.

    Args:
        template: the name of a template in `page/`, which extends `base.html.j2`.
        shown: the template's values; every text is escaped.
        data: the scripts' data, limited to what JSON can express; infinite and undefined numbers become null.
        scripts: vendored libraries by their files' names, then scripts in `page/`, which run in this order in
            a separate scope, after the page's content, with the data as `DATA`.
    """
    libraries = [_library(name) for name in scripts if name in _LIBRARIES]
    own = "\n".join(_read("page", name) for name in scripts if name not in _LIBRARIES)
    code = [*libraries, *([_in_a_scope(own)] if own else [])]
    styles = [_read("vendor", "uPlot.min.css")] if "uPlot.iife.min.js" in scripts else []
    styles.append(_read("page", "style.css"))
    return (
        _environment()
        .get_template(template)
        .render(
            shown,
            policy=policy(code, styles),
            styles=[Markup(text) for text in styles],
            scripts=[Markup(text) for text in code],
            data=Markup(island(_guarded(data))),
        )
    )


def policy(scripts: Sequence[str], styles: Sequence[str]) -> str:
    """The content security policy that allows these scripts and styles, and nothing else."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(map(_source, scripts)) or _NONE}",
            f"style-src {' '.join(map(_source, styles)) or _NONE}",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def island(data: object) -> str:
    """Data as JSON that is text wherever it is in a page."""
    text = json.dumps(_finite(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES)


def _harmless(value: Any) -> Any:
    """Text without control characters; everything else unchanged."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "\n".join(plain(line, 1 << 30) for line in value.split("\n"))


def _guarded(value: Any) -> Any:
    """What JSON can express, with harmless texts."""
    if isinstance(value, dict):
        return {_harmless(name): _guarded(element) for name, element in value.items()}
    return [_guarded(element) for element in value] if isinstance(value, (list, tuple)) else _harmless(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {name: _finite(element) for name, element in value.items()}
    return [_finite(element) for element in value] if isinstance(value, (list, tuple)) else value


def _source(text: str) -> str:
    """How a policy identifies an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _in_a_scope(code: str) -> str:
    data = 'const DATA = JSON.parse(document.getElementById("data").textContent);'
    return f'(() => {{\n"use strict";\n{data}\n{code}}})();\n'


def _library(name: str) -> str:
    """A vendored script with its license, without the address of a source map."""
    return f"/*\n{_read('vendor', _LIBRARIES[name])}*/\n{_MAP.sub('', _read('vendor', name))}"


@cache
def _read(folder: str, name: str) -> str:
    return (resources.files(_FOLDER) / folder / name).read_text("utf-8").replace("\r\n", "\n")


def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(lambda name: _read("page", name)),
        autoescape=True,
        finalize=_harmless,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
