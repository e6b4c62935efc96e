"""Family `quantization`: what the weights and the graph say of accuracy before any calibration."""
