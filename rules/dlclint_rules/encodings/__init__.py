"""Family `encodings`: quantization-override files, alone and with their model."""
