"""The cost of the page of a large network: its size, and how soon it is interactive in a browser.

    python -m benchmarks.html_report [--nodes N]

A transformer of about N nodes (default 5,000), whose modules are written into the names of its nodes as
exporters do, is reported by `dlclint check --format html`. The page is opened in a headless Chromium in a
fresh profile; it counts as interactive once the network is painted, a finding was clicked, and its node is
shown. The limits: 5 MB, and 2 s.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import onnx
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))
from pages._networks import transformer  # the generator of the networks that the documentation shows

LIMIT_BYTES, LIMIT_SECONDS = 5e6, 2.0
_PER_LAYER = 15
"""Nodes of a layer."""
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main() -> int:
    """Exit 0 where both limits are kept."""
    args = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    args.add_argument("--nodes", type=int, default=5000)
    args.add_argument("--page", help="keep the page in this file")
    asked = args.parse_args()
    chromium = os.environ.get("DLCLINT_CHROMIUM") or next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if chromium is None:
        print("no Chromium here: install it, or set DLCLINT_CHROMIUM")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        model = transformer(layers=-(-asked.nodes // _PER_LAYER))
        for node in model.graph.node:
            node.name = "/" + node.name.replace(".", "/")
        path, page = Path(folder, "model.onnx"), Path(asked.page or Path(folder, "page.html"))
        onnx.save(model, path)
        command = ["check", "--isolated", "--no-cache", "--soc", "sm8650", "--quantize", "--format", "html"]
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "dlclint", *command, "-o", str(page), str(path)], check=False)
        elapsed = time.perf_counter() - started
        size = page.stat().st_size
        times = [_interactive(chromium, page.resolve().as_uri()) for _ in range(3)]
    seconds = statistics.median(times)
    kept = size < LIMIT_BYTES and seconds <= LIMIT_SECONDS
    print(
        f"{len(model.graph.node)} nodes: {size / 1e6:.2f} MB, interactive in {seconds:.2f} s (median of 3);"
        f" the run took {elapsed:.1f} s; limits 5 MB and 2 s, {'kept' if kept else 'MISSED'}"
    )
    return 0 if kept else 1


def _interactive(chromium: str, address: str) -> float:
    """Seconds from asking for the page until a clicked finding shows its node."""
    flags = ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        started = time.perf_counter()
        page.goto(address)
        page.wait_for_selector(".stage canvas[data-painted]")
        page.locator("button.finding").first.click()
        page.wait_for_selector(".details .facts")
        seconds = time.perf_counter() - started
        browser.close()
    return seconds


if __name__ == "__main__":
    sys.exit(main())
