"""The inputs that a model is run on: files that are given, or random values that are called random."""
