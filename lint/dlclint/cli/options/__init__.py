"""The options of each command, one light module per command, and the options that several commands share.

Nothing here imports what a command needs to run: `dlclint --help` and `--version` stay fast.
"""
