"""The options of each command, one light module a command, and what several of them share.

Nothing here imports what a command needs to run: `dlclint --help` and `--version` stay instant.
"""
