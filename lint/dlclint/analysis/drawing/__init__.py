"""A model as a page draws it: its nodes, the blocks they lie in, and what each is colored by."""
