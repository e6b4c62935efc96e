"""Ranges of activations estimated without data, from the statistics of normalizations."""
