"""Ask Qualcomm's HTP backend which SoCs it knows, and compare them with the data, or write the data again.

    python scripts/measure_socs.py [--write] [--first 1] [--last 130]

Needs the extra `qnn` (Linux x86-64). For each number of the option `soc_model` a float and an 8-bit Relu
are compiled; name, Hexagon version and float16 are what the backend prints in its own verbose log. Fields
that no log holds (VTCM) are kept from the data. Exit status 1 where the data differ.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from onnx import parser

DATA = Path(__file__).parent.parent / "schemas/dlclint_schemas/data/measured_socs.json"
FLOAT = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,8,8] x) => (float[1,3,8,8] y) { y = Relu(x) }"""
QUANTIZED = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,8,8] x) => (float[1,3,8,8] y)
  <float s = {0.02}, uint8 z = {0}> {
  q = QuantizeLinear(x, s, z)
  d = DequantizeLinear(q, s, z)
  r = Relu(d)
  p = QuantizeLinear(r, s, z)
  y = DequantizeLinear(p, s, z)
}"""
NAME = re.compile(r"SoC model name is (\S+)")
ARCHITECTURE = re.compile(r"arch associated with SoC (\d+), will overwrite it to (\d+)")
UNKNOWN = re.compile(r"UNKNOWN", re.IGNORECASE)


class Backend:
    """The backend in this process, with its log."""

    def __init__(self) -> None:
        import onnxruntime
        import onnxruntime_qnn

        self.runtime = onnxruntime
        # The level is fixed when the library is registered.
        onnxruntime.set_default_logger_severity(0)
        onnxruntime.register_execution_provider_library(
            "QNNExecutionProvider", onnxruntime_qnn.get_library_path()
        )
        devices = onnxruntime.get_ep_devices()
        self.devices = [device for device in devices if device.ep_name == "QNNExecutionProvider"][:1]

    def compile(self, text: str, soc: int) -> tuple[bool, str]:
        """Whether a model compiles completely for a SoC, and the log."""
        options = self.runtime.SessionOptions()
        options.log_severity_level = 0
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        options.add_provider_for_devices(
            self.devices,
            {"backend_type": "htp", "soc_model": str(soc), "offload_graph_io_quantization": "0"},
        )
        model = parser.parse_model(text).SerializeToString()
        with tempfile.TemporaryFile() as log:
            kept = os.dup(2)
            os.dup2(log.fileno(), 2)
            try:
                self.runtime.InferenceSession(model, options)
                compiled = True
            except Exception:  # a refusal; the log states why
                compiled = False
            finally:
                os.dup2(kept, 2)
                os.close(kept)
            log.seek(0)
            return compiled, log.read().decode("utf-8", "replace")


def measured(backend: Backend, numbers: range) -> dict[int, dict[str, Any]]:
    """The backend's data on each number for which it has a name."""
    socs = {}
    for number in numbers:
        floats, log = backend.compile(FLOAT, number)
        _, other = backend.compile(QUANTIZED, number)
        name = NAME.search(log + other)
        if name is None or UNKNOWN.search(name[1]):
            continue
        version = next((int(m[2]) for m in ARCHITECTURE.finditer(log + other) if int(m[1]) == number), 68)
        # The log has one name in small letters, qcm4325.
        socs[number] = {"id": number, "soc": name[1].upper(), "hexagon": version or None, "fp16": floats}
    return socs


def main() -> int:
    """Print what differs; exit status 1 if anything does and nothing was written."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--write", action="store_true", help="write the data again")
    arguments.add_argument("--first", type=int, default=1, metavar="N")
    arguments.add_argument("--last", type=int, default=130, metavar="N")
    args = arguments.parse_args()
    data = json.loads(DATA.read_text("utf-8"))
    known = {soc["id"]: soc for soc in data["socs"]}
    fresh = measured(Backend(), range(args.first, args.last + 1))
    differing = 0
    for number in sorted(known.keys() | fresh.keys()):
        old, new = known.get(number), fresh.get(number)
        kept = {} if old is None else {key: old.get(key) for key in ("id", "soc", "hexagon", "fp16")}
        if new is None and args.first <= number <= args.last:
            print(f"{number}: the backend does not name it any more, or compiles nothing for it: {kept}")
            differing += 1
        elif new is not None and kept != new:
            print(f"{number}: {new}, the data have {kept or 'nothing'}")
            known[number] = {**(old or {}), **new}
            differing += 1
    print(f"{len(fresh)} SoCs named, {differing} differ from the data")
    if args.write:
        data["socs"] = [known[number] for number in sorted(known)]
        rows = ",\n".join(f"  {json.dumps(soc)}" for soc in data["socs"])
        head = json.dumps({"source": data["source"]}, indent=1).removesuffix("\n}")
        DATA.write_text(f'{head},\n "socs": [\n{rows}\n ]\n}}\n', "utf-8")
    return 1 if differing and not args.write else 0


if __name__ == "__main__":
    sys.exit(main())
