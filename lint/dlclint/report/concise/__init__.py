"""Format `concise`, one line per finding."""
