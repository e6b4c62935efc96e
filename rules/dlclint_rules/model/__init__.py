"""Family `model`: whether the file is a sound ONNX model at all."""
