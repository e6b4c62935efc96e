"""Ranges of activations estimated without data, from what normalisations say of their outputs."""
