"""One folder per output format, with one module per command; `render` selects the module."""
