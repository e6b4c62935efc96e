"""What small tensors will hold, as far as it follows from the model alone.

Sizes are bounded by a limit on elements before anything is computed: what a model declares never
decides an allocation.
"""
