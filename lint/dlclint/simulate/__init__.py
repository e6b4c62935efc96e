"""The cost of quantization, measured by running the model: float compared with quantized, layer by layer."""
