"""The page in a real Chromium: it opens, filters, selects, folds, prints, and can be used without a mouse."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from dlclint.cli.main import main
from dlclint.engine.job import Job
from dlclint.engine.run import lint_file
from dlclint.outcome import Outcome
from dlclint.report.render import render
from dlclint.socs import resolve_soc
from dlclint.target import DlcKind, Target
from npm import installed

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = os.environ.get("DLCLINT_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: install it, or set DLCLINT_CHROMIUM")
FLAGS = (
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"


def network() -> onnx.ModelProto:
    """Three blocks of two modules each, with an op that no runtime has in the last, and a hostile name."""
    nodes, stored, data = [], [], "image"
    for block in range(3):
        for part in ("attention", "mlp"):
            weight = f"w{block}{part}"
            values = np.random.default_rng(block).standard_normal((3, 3, 1, 1)).astype(np.float32)
            stored.append(numpy_helper.from_array(values, weight))
            scope = f"/encoder/layer.{block}/{part}"
            nodes.append(helper.make_node("Conv", [data, weight], [f"{scope}/c"], f"{scope}/Conv"))
            nodes.append(helper.make_node("Relu", [f"{scope}/c"], [f"{scope}/r"], f"{scope}/Relu"))
            data = f"{scope}/r"
    nodes.append(helper.make_node("Erf", [data], ["result"], f"/head/{HOSTILE}"))
    shape = [1, 3, 8, 8]
    kind = onnx.TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(name, kind, shape) for name in ("image", "result")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    onnx.save(network(), folder / "net.onnx")
    target = Target((), resolve_soc("SM8550"), DlcKind(quantize=True, stated=True))
    outcome = Outcome("0", (lint_file(Job(folder / "net.onnx", target, drawn=True)),), None, {})
    page = folder / "page.html"
    page.write_text(render("check", "html", outcome, None), "utf-8")
    return page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    # Not for the whole session: playwright's event loop would be in the way of tests with one of their own.
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, file: Path) -> Iterator[Any]:
    """The page, open; afterwards nothing was loaded and nothing complained."""
    browser_page = browser.new_page(viewport={"width": 1500, "height": 900})
    said: list[str] = []
    browser_page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    browser_page.on("pageerror", lambda error: said.append(str(error)))
    browser_page.on("dialog", lambda dialog: said.append("dialog"))
    asked: list[str] = []
    browser_page.on("request", lambda request: asked.append(request.url))
    opened(browser_page, file)
    yield browser_page
    assert said == [] and asked == [file.as_uri()]
    browser_page.close()


def opened(page: Any, file: Path) -> None:
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]")
    page.wait_for_selector(".stage canvas[data-painted]")


def details(page: Any) -> str:
    return str(page.inner_text(".details"))


def painted(page: Any) -> int:
    """How many colors the middle of the network's canvas has."""
    return int(
        page.evaluate(
            """() => {
                const canvas = document.querySelector('.stage canvas');
                const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
                const found = new Set();
                for (let at = 0; at < data.length; at += 4) found.add(data.slice(at, at + 3).join());
                return found.size;
            }"""
        )
    )


def test_it_opens_with_the_verdict_first_and_names_can_run_nothing(page: Any) -> None:
    assert page.title() != "owned" and page.locator("img").count() == 0
    text = page.inner_text("main")
    places = [text.index(word) for word in ("Converts", "Runs", "Accuracy", "Findings", "Network", "Charts")]
    assert places == sorted(places)
    assert painted(page) > 8
    assert page.locator(".chart canvas").count() >= 2


def test_the_policy_lets_run_nothing_else(browser: Any, file: Path) -> None:
    browser_page = browser.new_page()
    opened(browser_page, file)
    assert browser_page.evaluate(
        """() => {
            const script = document.createElement('script');
            try { script.textContent = "document.title = 'owned'"; document.body.append(script); } catch {}
            try { document.body.insertAdjacentHTML('beforeend', '<img src=x>'); } catch {}
            return document.title !== 'owned' && !document.querySelector('img');
        }"""
    )
    browser_page.close()


def test_findings_are_filtered_by_rule_severity_and_place(page: Any) -> None:
    status = page.locator(".findings .count")
    total = int(re.sub(r"\D", "", status.inner_text()))
    assert total > 2
    page.select_option(".filters select", "ops/pattern-only")
    assert status.inner_text() == f"1 of {total} findings"
    assert page.locator("button.finding").count() == 1
    page.locator(".severity.error input").uncheck()
    assert "No finding is left" in page.inner_text(".list")
    page.locator(".severity.error input").check()
    page.select_option(".filters select", "")
    page.fill(".filters input[type=search]", "/head/")
    shown = page.locator("button.finding").all_inner_texts()
    assert 0 < len(shown) < total and all("/head/" in text for text in shown)


def test_a_finding_shows_its_node_and_the_node_its_finding(page: Any) -> None:
    page.locator("details[data-rule='ops/pattern-only'] summary").focus()
    if page.locator("details[data-rule='ops/pattern-only']").get_attribute("open") is None:
        page.keyboard.press("Enter")
    page.locator("details[data-rule='ops/pattern-only'] button").first.wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    shown = details(page)
    assert shown.startswith("Erf") and HOSTILE in shown and "ops/pattern-only" in shown
    # Back, even where the filters leave the finding out.
    page.locator(".severity.error input").uncheck()
    page.locator("text=Show in the list").focus()
    page.keyboard.press("Enter")
    focused = page.evaluate("document.activeElement.className")
    assert focused == "finding"
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.click(".details .links button >> nth=0")
    assert details(page).startswith("Relu")


def test_blocks_open_and_close_by_keyboard_and_by_mouse(page: Any) -> None:
    page.click("text=Close all")
    canvas = page.locator(".stage canvas")
    canvas.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    said = page.locator(".stage [aria-live]")
    assert re.match(r"Block encoder, 12 nodes, closed", said.inner_text())
    before = canvas.get_attribute("data-painted")
    page.keyboard.press("Enter")
    assert "12 nodes, open" in said.inner_text()
    page.keyboard.press("ArrowDown")
    assert "Block layer.0, 4 nodes, closed" in said.inner_text()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert "12 nodes, closed" in said.inner_text()
    page.wait_for_selector(f".stage canvas:not([data-painted='{before}'])")
    box = canvas.bounding_box()
    page.keyboard.press("0")
    canvas.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    assert "Block" in said.inner_text() or "Conv" in said.inner_text()


def test_it_is_colored_by_runtime_and_by_precision(page: Any) -> None:
    options = page.locator(".tools select option").all_inner_texts()
    assert {"Findings", "Runtime htp", "Precision"} <= set(options)
    page.select_option(".tools select", label="Runtime htp")
    assert "runs here" in page.inner_text(".tools .legend")
    page.select_option(".tools select", label="Precision")
    assert "a8w8" in page.inner_text(".tools .legend")


def test_a_chart_is_read_and_leads_to_its_layer(page: Any) -> None:
    chart = page.locator("[data-chart=sqnr]")
    chart.locator("summary").click()
    chart.locator("tbody tr").nth(5).wait_for()  # rows come with the event that reports the opening
    assert chart.locator("tbody tr").count() == 6
    plot = chart.locator(".u-over")
    plot.scroll_into_view_if_needed()
    plot.hover(position={"x": 4, "y": 20})
    chart.locator(".reading", has_text="per tensor").wait_for()
    chart.locator("tbody button").first.click()
    assert details(page).startswith("Conv")


def test_it_prints_everything_in_the_colors_of_paper(page: Any) -> None:
    page.emulate_media(color_scheme="dark")
    pdf = page.pdf()
    assert pdf.startswith(b"%PDF") and len(pdf) > 30_000
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 2
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator(".filters").is_visible()
    total = int(re.sub(r"\D", "", page.inner_text(".findings .count")))
    assert page.locator("button.finding:visible").count() == total


def test_dark_is_dark_and_light_is_light(page: Any) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    assert sum(map(int, re.findall(r"\d+", light))) > 600 > 200 > sum(map(int, re.findall(r"\d+", dark)))


def test_a_screen_reader_finds_its_way(page: Any) -> None:
    tree = page.locator("body").aria_snapshot()
    for line in (
        "- banner:",
        "- main:",
        "- contentinfo",
        "- heading",
        '- region "Findings"',
        '- search "Filter',
    ):
        assert line in tree, tree
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(e => +e.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, a, input, select, canvas[tabindex], [role=region]')]
            .filter(e => !(e.textContent || e.getAttribute('aria-label') || e.labels?.length
                || document.getElementById(e.getAttribute('aria-labelledby')))).length"""
    )
    assert nameless == 0
    assert page.evaluate("document.documentElement.lang") == "en"


@pytest.mark.external
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier(page: Any, scheme: str, tmp_path: Path) -> None:
    folder = installed(tmp_path, "axe-core@4", "axe", 60)
    page.emulate_media(color_scheme=scheme)
    page.locator("button.finding").first.click()
    # By the debugger's door, as the page's policy runs no script but its own.
    page.evaluate((folder / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8"))
    values = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert len(values["passes"]) > 15
    assert {flaw["id"]: flaw["nodes"][0]["html"][:200] for flaw in values["violations"]} == {}


def test_the_tab_key_goes_everywhere_in_order(page: Any) -> None:
    passed = []
    for _ in range(60):
        page.keyboard.press("Tab")
        values = page.evaluate(
            """(() => { const e = document.activeElement; return e === document.body ? '' :
                e.closest('#charts') ? 'charts' : e.closest('.network') ? 'network' :
                e.closest('.findings') ? 'findings' : 'top'; })()"""
        )
        if values == "":
            break
        if not passed or passed[-1] != values:
            passed.append(values)
    assert [section for section in passed if section != "top"][:3] == ["findings", "network", "charts"]


def test_a_simulation_is_colored_by_the_error_of_each_layer(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = network()
    del model.graph.node[-1]
    model.graph.output[0].name = model.graph.node[-1].output[0]
    onnx.save(model, "net.onnx")
    words = ["--isolated", "--samples", "1", "--format", "html", "-o", "page.html", "net.onnx"]
    assert main(["simulate", *words]) == 0
    browser_page = browser.new_page()
    opened(browser_page, tmp_path / "page.html")
    assert browser_page.locator(".tools select").input_value() == "error"
    assert browser_page.locator("[data-chart=error] canvas").count() == 1
    browser_page.locator("button.finding").first.click()
    assert "alone" in details(browser_page) and "dB" in details(browser_page)
    browser_page.close()
