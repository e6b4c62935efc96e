"""Family `quantization`: what the weights and the graph say of accuracy before any calibration."""

from dlclint_rules.quantization.activations import bias_bits, fp16_overflow
from dlclint_rules.quantization.graph import already_quantized, mask_constant, standalone_batchnorm
from dlclint_rules.quantization.shared import shared_grid
from dlclint_rules.quantization.weights import (
    bit_width,
    channel_spread,
    dead_channel,
    long_tail,
    range_too_small,
)

__all__ = [
    "already_quantized",
    "bias_bits",
    "bit_width",
    "channel_spread",
    "dead_channel",
    "fp16_overflow",
    "long_tail",
    "mask_constant",
    "range_too_small",
    "shared_grid",
    "standalone_batchnorm",
]
