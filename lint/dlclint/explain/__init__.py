"""Logs of the converters, the quantizer and the runtimes, explained."""
