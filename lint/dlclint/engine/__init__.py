"""Finding and running the rules, configuration and ignores."""
