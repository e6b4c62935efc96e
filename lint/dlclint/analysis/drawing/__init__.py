"""A model as a page draws it: its nodes, the blocks that contain them, and their colors."""
