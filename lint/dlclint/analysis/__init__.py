"""Analyses of a model: what folds, which patterns it has, which layers and runtimes support it."""
