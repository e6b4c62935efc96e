"""Format `json`, one module per command; each is version 1 of a published schema in `dlclint_schemas`."""
