"""The version, in the one place that the package's metadata are built from too, and where the site lies."""

__version__ = "0.1.0"
SITE = "https://dlclint.dev/"
"""The documentation's address, which schemas, SARIF and the site itself name."""
