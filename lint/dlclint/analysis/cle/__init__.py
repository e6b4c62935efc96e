"""Cross-layer equalization: which convolutions it applies to, and how it changes their weights.

`matching` finds pairs of convolutions in the graph and states for every other one why it is in none; `cells`
and `measuring` read from the weights what the arithmetic needs, piece by piece; `scaling` iterates to the
equalized state, `figures` computes the gain, `rewriting` makes the edits.

Sources: 80-63442-2 Rev BL, Quantized vs Non-Quantized Models, CLE (the patterns and their limits);
Nagel et al. 2019, arXiv 1906.04721 (the method).
"""
