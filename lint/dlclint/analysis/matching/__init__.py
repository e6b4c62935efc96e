"""Nodes that together form one op, recognized by form or by what they compute.

`terms` reads single nodes, `patterns` finds what the converter makes one layer, `gates` names x * f(x), and
`computed` finds a function however it is spelled.
"""
