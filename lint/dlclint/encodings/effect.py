"""The converter and quantizer options that make an override file take effect.

Source: 80-63442-2 Rev BL, Tools. SNPE's quantizer uses overrides only with an option, QAIRT's unless an
option prevents it.
"""

from __future__ import annotations

from dlclint.encodings.document import EncodingsDocument
from dlclint_schemas.quantization import tool_options


def tool_commands(document: EncodingsDocument, model: str) -> tuple[str, ...]:
    """One line for each pair of tools, and one on float fallback; none for a file without entries."""
    if not document.tensors.names:
        return ()
    snpe, qairt = tool_options("snpe-dlc-quant"), tool_options("qairt-quantizer")
    file = document.path.name
    lines = [
        f"SNPE: snpe-onnx-to-dlc --input_network {model} --quantization_overrides {file}, then"
        f" snpe-dlc-quant --input_list LIST --override_params"
        f" (default {snpe['--override_params']['default']}: without it the file has no effect)",
        f"QAIRT: qairt-converter --input_network {model} --quantization_overrides {file}, then"
        " qairt-quantizer --input_list LIST, without --ignore_quantization_overrides",
        "once encodings are given qairt-converter makes float16 of what stays float, by default;"
        " --float_bitwidth 32 keeps float32",
    ]
    needs = " and ".join(snpe["--float_fallback"]["requires"])
    forbids = " and ".join(snpe["--float_fallback"]["conflicts_with"])
    forbids_qairt = " and ".join(qairt["--enable_float_fallback"]["conflicts_with"])
    lines.append(
        f"for tensors without an entry to stay float: snpe-dlc-quant --float_fallback (needs {needs},"
        f" excludes {forbids}) or qairt-quantizer --enable_float_fallback (excludes {forbids_qairt})"
    )
    return tuple(lines)
