"""Family `quantization`: what the weights and the graph show about accuracy before any calibration."""
