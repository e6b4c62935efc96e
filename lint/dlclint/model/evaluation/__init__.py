"""The values of small tensors, as far as they follow from the model alone.

A limit on elements bounds sizes before anything is computed: what a model declares never determines an
allocation.
"""
