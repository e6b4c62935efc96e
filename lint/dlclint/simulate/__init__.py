"""What quantization costs a model, measured by running it: float beside quantized, layer by layer."""
