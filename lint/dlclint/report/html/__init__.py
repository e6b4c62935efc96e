"""Format `html`: one page that opens offline, in which names from a model can run nothing."""
