"""dlclint from Python: the results of the commands as objects, which notebooks show as tables."""
