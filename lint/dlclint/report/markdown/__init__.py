"""Format `markdown`, one module a command."""
