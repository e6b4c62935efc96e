"""Cross-layer equalization: which convolutions it takes, and what it makes of their weights.

`matching` finds pairs of convolutions on the graph and says for every other one why it is in none;
`cells` and `measuring` read what the arithmetic needs of the weights, piece by piece; `scaling` iterates
to the equalized state, `figures` says what that gains, `rewriting` makes edits of it.

Sources: 80-63442-2 Rev BL, Quantized vs Non-Quantized Models, CLE (the patterns and their limits);
Nagel et al. 2019, arXiv 1906.04721 (the method).
"""
