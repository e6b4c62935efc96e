"""A language server for override files and the configuration (`dlclint server`)."""
