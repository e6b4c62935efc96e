"""Finding the rules, running them, configuration and ignores."""
