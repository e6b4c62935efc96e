"""Format `rich`, for people: one module per command."""
