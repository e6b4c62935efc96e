"""What follows from a model: what folds, which patterns it holds, which layers and runtimes take it."""
