"""dlclint: what a Qualcomm DLC converter will make of an ONNX model, before it is asked."""

__version__ = "0.1.0"
