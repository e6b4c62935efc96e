"""Ranges of activations estimated without data, from what normalizations say of their outputs."""
