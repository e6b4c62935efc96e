"""Quantization-override files: the grid's arithmetic, reading with positions, edits and conversion."""
