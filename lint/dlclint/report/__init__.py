"""One folder per output format, in it one module per command; `render` knows which is which."""
