"""The version, which the package's metadata are built from too, and where the repository lies."""

__version__ = "0.1.0"
REPOSITORY = ""
"""The repository's address, such as `https://github.com/OWNER/NAME`; "" as long as it is published nowhere.

SARIF links to it, and nothing else names an address, so that no link leads elsewhere. `scripts/stamp.py`
writes it here and into `[project.urls]` when the workflow of the publishing repository builds a release.
"""
