"""Take the picture of an HTML report that the documentation shows: docs/pictures/page.png.

Run manually when the page looks different; a picture is not the same byte for byte on every machine, so
nothing checks whether it is up to date. Needs playwright and a Chromium.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import onnx
from playwright.sync_api import sync_playwright

from pages._networks import NETWORKS

PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "page.png"
CHROMIUM = os.environ.get("DLCLINT_CHROMIUM") or shutil.which("chromium")
TARGET = ("--soc", "sm8650", "--quantize", "-d", "images", "1,3,640,640")


def main() -> None:
    """Report the detector as a page, select its first finding, and take the picture."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        onnx.save(NETWORKS["detector"][0](), Path(folder, "detector.onnx"))
        command = ["check", "--isolated", "--no-cache", *TARGET, "--format", "html", "-o", "page.html"]
        line = [sys.executable, "-m", "dlclint", *command, "detector.onnx"]
        subprocess.run(line, cwd=folder, check=False)
        browser = driver.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.goto(Path(folder, "page.html").as_uri())
        page.wait_for_selector(".stage canvas[data-painted]")
        page.locator("button.finding").first.click()
        page.wait_for_timeout(500)
        page.screenshot(path=PICTURE, full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
