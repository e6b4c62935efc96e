"""What mends a model's findings: graph rewrites, one small function each.

A rewrite takes what its rule found and returns a `Fix`, or None where it does not apply. Its edits
are worked out only when the fix is made.
"""
