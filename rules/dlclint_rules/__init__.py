"""The rules, one module per family, one small function per rule."""
