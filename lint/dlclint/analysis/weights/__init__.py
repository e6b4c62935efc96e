"""What the weights say: statistics read in one pass, and the quantization noise that follows from them."""
