"""Fixing files: the fixes that findings carry, made round by round, proved and written."""
