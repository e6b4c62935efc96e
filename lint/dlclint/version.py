"""The version, which the package's metadata use too, and the address of the repository."""

__version__ = "0.1.0"
REPOSITORY = ""
"""The repository's address, such as `https://github.com/OWNER/NAME`; "" while it is not published.

SARIF links to it, and nothing else contains an address, so that no link leads elsewhere. `scripts/stamp.py`
writes it here and into `[project.urls]` when the workflow of the publishing repository builds a release.
"""
