"""Family `encodings`: quantization-override files, alone and with their model."""

from dlclint_rules.encodings.carried import float_between
from dlclint_rules.encodings.consumers import (
    block_quantization,
    channel_count,
    per_channel_consumer,
    weights_clipped,
)
from dlclint_rules.encodings.entries import (
    bit_width,
    dtype,
    field_type,
    float_with_range,
)
from dlclint_rules.encodings.file import duplicate_key, layout, missing_section, syntax, version
from dlclint_rules.encodings.missing import missing_field
from dlclint_rules.encodings.names import coverage, unknown_tensor, wrong_section
from dlclint_rules.encodings.offsets import (
    fractional_offset,
    offset_sign,
    per_channel_asymmetric,
    symmetric_offset,
)
from dlclint_rules.encodings.outputs import (
    bound_lost,
    moved_grid,
    one_sided_symmetric,
    range_cut,
    range_not_fixed,
    range_wasted,
)
from dlclint_rules.encodings.ranges import inconsistent, inverted_range, range_too_small, zero_off_grid
from dlclint_rules.encodings.shared import shared_grid

__all__ = [
    "bit_width",
    "block_quantization",
    "bound_lost",
    "channel_count",
    "coverage",
    "dtype",
    "duplicate_key",
    "field_type",
    "float_between",
    "float_with_range",
    "fractional_offset",
    "inconsistent",
    "inverted_range",
    "layout",
    "missing_field",
    "missing_section",
    "moved_grid",
    "offset_sign",
    "one_sided_symmetric",
    "per_channel_asymmetric",
    "per_channel_consumer",
    "range_cut",
    "range_not_fixed",
    "range_too_small",
    "range_wasted",
    "shared_grid",
    "symmetric_offset",
    "syntax",
    "unknown_tensor",
    "version",
    "weights_clipped",
    "wrong_section",
    "zero_off_grid",
]
