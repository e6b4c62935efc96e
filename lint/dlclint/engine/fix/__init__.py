"""Fixing files: the fixes that findings carry, applied round by round, proved and written."""
