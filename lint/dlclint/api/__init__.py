"""dlclint from Python: what the commands find and measure, as objects that show as tables in notebooks."""
