"""Format `markdown`, one module per command."""
