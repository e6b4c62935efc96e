"""Family `runtime`: the chip, the DLC kind, precision, documented limits, and where execution is cut."""

from dlclint_rules.runtime.chip import quantizer_mandatory, soc_lacks_runtime
from dlclint_rules.runtime.forms import element_type, parameter, window_beyond_input
from dlclint_rules.runtime.kind import dequantized_at_load, dlc_kind, quantized_at_load
from dlclint_rules.runtime.limits import layer_limit
from dlclint_rules.runtime.precision import precision
from dlclint_rules.runtime.subnets import partition

__all__ = [
    "dequantized_at_load",
    "dlc_kind",
    "element_type",
    "layer_limit",
    "parameter",
    "partition",
    "precision",
    "quantized_at_load",
    "quantizer_mandatory",
    "soc_lacks_runtime",
    "window_beyond_input",
]
