"""Verdicts of Qualcomm's HTP backend, through the optional package onnxruntime-qnn."""
