"""The inputs that a model is run on: given files, or random values, which are reported as random."""
