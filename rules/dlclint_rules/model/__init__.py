"""Family `model`: whether the file is a valid ONNX model."""
