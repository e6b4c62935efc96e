"""Format `rich`, for people: one module a command."""
