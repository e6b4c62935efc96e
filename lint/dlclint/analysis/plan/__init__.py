"""The quantization plan of a model for a chip: widths, options, commands and a first override file."""
