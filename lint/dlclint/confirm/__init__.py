"""Asking Qualcomm's own HTP backend, through the optional package onnxruntime-qnn."""
