"""The documentation site: it builds without a warning, and needs nothing from a network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import pytest

from dlclint.engine.registry import all_rules
from dlclint.version import REPOSITORY, __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("material") is None:
        pytest.skip("mkdocs-material is not installed (dependency group docs)")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_page_for_each_rule_and_a_schema_for_each_id(site: Path) -> None:
    for rule in all_rules():
        page = (site / "rules" / rule.id / "index.html").read_text("utf-8")
        assert rule.id in page and "<h2" in page
    for path in (ROOT / "schemas" / "dlclint_schemas").glob("*.schema.json"):
        published = site / "schemas" / path.name.replace(".schema", "")
        assert published.read_bytes() == path.read_bytes()


def test_search_and_pages_need_no_network(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text("utf-8"))
    places = {doc["location"] for doc in index["docs"]}
    assert "rules/quantization/shared-grid/" in places and len(places) > 300
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        # What a browser loads by itself; links are followed by readers.
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*\bsrc=\"([^\"]+)\"", text)
        loaded += re.findall(
            r"<link[^>]*\brel=\"?(?:stylesheet|preload|icon)\"?[^>]*\bhref=\"([^\"]+)\"", text
        )
        assert [source for source in loaded if "//" in source] == []


def test_what_names_a_release_names_this_one() -> None:
    for path in (ROOT / "README.md", ROOT / "docs" / "reference" / "pre-commit.md"):
        assert set(re.findall(r"rev: (.+)", path.read_text("utf-8"))) == {f"v{__version__}"}


def test_one_address_or_none() -> None:
    """Of the repository: what the package links to and what an index shows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project.get("urls", {}).get("Repository", "") == REPOSITORY


def test_every_rule_says_since_when() -> None:
    since = json.loads((ROOT / "docs" / "rules" / "since.json").read_text("utf-8"))
    known = [id for ids in since.values() for id in ids]
    assert sorted(known) == [rule.id for rule in all_rules()]
    assert __version__ in since or len(since) > 1


@pytest.mark.external
def test_search_answers_without_a_network(site: Path) -> None:
    """In a browser, from a server of this machine; any other request is an error."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    chromium = os.environ.get("DLCLINT_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not chromium:
        pytest.skip("no Chromium here: install it, or set DLCLINT_CHROMIUM")
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, playwright.sync_playwright() as driver:
        Thread(target=server.serve_forever, daemon=True).start()
        page = driver.chromium.launch(executable_path=chromium).new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        here = f"http://127.0.0.1:{server.server_port}/"
        page.goto(here)
        page.fill("input[name=query]", "shared grid")
        page.wait_for_selector(".md-search-result__link[href*='quantization/shared-grid']")
        page.context.browser.close()
        server.shutdown()
    assert [url for url in asked if not url.startswith((here, f"blob:{here}"))] == []
