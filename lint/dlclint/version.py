"""The version, which the package's metadata are built from too, and where the repository lies."""

__version__ = "0.1.0"
REPOSITORY = ""
"""The repository's address, such as `https://github.com/OWNER/NAME`; "" as long as it is published nowhere.

SARIF links to it and nothing else names an address, so that none is told that leads elsewhere. A release is
not published without it, nor without the same address in `[project.urls]` (`.github/workflows/release.yml`).
"""
