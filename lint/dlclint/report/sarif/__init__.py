"""Format `sarif` 2.1.0, one module per command."""
