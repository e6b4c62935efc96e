"""Family `runtime`: the chip, the DLC kind, precision, documented limits, and where execution is cut."""
