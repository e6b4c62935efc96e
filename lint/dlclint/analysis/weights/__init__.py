"""Analyses of the weights: statistics read in one pass, and the quantization noise that follows from them."""
