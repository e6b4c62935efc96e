"""Models read without their weight bytes: structure, types, and lazy views of the tensors."""
