"""Models that carry their quantization as QuantizeLinear and DequantizeLinear (QDQ)."""
