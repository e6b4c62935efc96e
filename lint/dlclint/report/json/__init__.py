"""Format `json`, one module a command; each is version 1 of a published schema in `dlclint_schemas`."""
