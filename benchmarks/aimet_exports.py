"""dlclint's findings on AIMET's own exports: each error and warning is justified here, or it is wrong.

    python -m benchmarks.aimet_exports [--aimet DIR] [--make-aimet] [--keep FOLDER] [MODEL ...]

AIMET is in a separate environment (`--make-aimet` builds it); without it nothing runs. It quantizes the
networks below (random weights) and the given models with its default configuration and those for Hexagon v66,
v73, v79 and v81, with 8 and 16 bits, 4-bit weights, blocks (LPBQ) and float16, and exports every format. Each
file is linted with its model, for a chip of its configuration, and so is the model with its file. The script
prints the justified findings, with a sentence and a count, and those that are not; 1 if there are any. The
sentences are about the networks below: the user must check other findings on a given model.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import venv
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, parser

from dlclint.diagnostic import Diagnostic, Severity
from dlclint.engine.job import Job
from dlclint.engine.run import lint_file
from dlclint.socs import resolve_soc
from dlclint.target import Runtime, Target
from dlclint_schemas.record import record

HERE = Path(__file__).parent
WORKER = HERE / "aimet_exports_worker.py"
WIDTHS = ("w8a8", "w8a16", "w4a16", "lpbq", "fp16")
TARGETS = {
    "default": ("SM8550", Runtime.HTP),
    "htp_v66": ("SM8250", Runtime.DSP),
    "htp_v73": ("SM8550", Runtime.HTP),
    "htp_v79": ("SM8750", Runtime.HTP),
    "htp_v81": ("SM8850", Runtime.HTP),
}
"""AIMET's configurations, and the chip and runtime for which their files are linted."""
NETWORKS = {
    "residual": """<ir_version: 8, opset_import: ["" : 13]>
    residual (float[1,3,32,32] x) => (float[1,10] y)
    <float zero = {0.0}, float six = {6.0}> {
      a = Conv <pads = [1,1,1,1], strides = [2,2]> (x, wa[16,3,3,3], ba[16])  a6 = Clip(a, zero, six)
      b = Conv <pads = [1,1,1,1], group = 16> (a6, wb[16,1,3,3], bb[16])  b6 = Clip(b, zero, six)
      c = Conv(b6, wc[16,16,1,1], bc[16])  s = Add(c, a6)  r = Relu(s)
      p = MaxPool <kernel_shape = [2,2], strides = [2,2]> (r)  g = GlobalAveragePool(p)
      f = Flatten(g)  y = Gemm <transB = 1> (f, wd[10,16], bd[10])
    }""",
    "encoder": """<ir_version: 8, opset_import: ["" : 17]>
    encoder (float[1,16,32] x) => (float[1,16,32] y)
    <int64[4] heads = {1,16,2,16}, int64[3] flat = {1,16,32}, float root = {0.25}, float two = {1.41421356},
     float one = {1.0}, float half = {0.5}> {
      n = LayerNormalization <axis = -1> (x, gamma[32], beta[32])
      q0 = MatMul(n, wq[32,32])  q1 = Add(q0, bq[32])  q2 = Reshape(q1, heads)
      k0 = MatMul(n, wk[32,32])  k1 = Add(k0, bk[32])  k2 = Reshape(k1, heads)
      v0 = MatMul(n, wv[32,32])  v1 = Add(v0, bv[32])  v2 = Reshape(v1, heads)
      q = Transpose <perm = [0,2,1,3]> (q2)  k = Transpose <perm = [0,2,3,1]> (k2)
      v = Transpose <perm = [0,2,1,3]> (v2)  s0 = MatMul(q, k)  s1 = Mul(s0, root)
      s = Softmax <axis = -1> (s1)
      o0 = MatMul(s, v)  o1 = Transpose <perm = [0,2,1,3]> (o0)  o2 = Reshape(o1, flat)
      o = MatMul(o2, wo[32,32])  r = Add(o, x)
      h0 = MatMul(r, wh[32,64])  h = Add(h0, bh[64])
      e0 = Div(h, two)  e1 = Erf(e0)  e2 = Add(e1, one)  e3 = Mul(h, e2)  e = Mul(e3, half)
      z0 = MatMul(e, wz[64,32])  z1 = Add(z0, bz[32])  y = Add(z1, r)
    }""",
    "detector": """<ir_version: 8, opset_import: ["" : 13]>
    detector (float[1,16,8,8] x) => (float[1,6,64] y)
    <int64[4] bins = {1,4,4,64}, int64[3] line = {1,2,64}, int64[3] box = {1,4,64}, float stride = {32.0}> {
      c = Conv(x, wc[2,16,1,1], bc[2])  c1 = Reshape(c, line)  scores = Sigmoid(c1)
      d = Conv(x, wd[16,16,1,1], bd[16])  d1 = Reshape(d, bins)  d2 = Transpose <perm = [0,2,1,3]> (d1)
      d3 = Softmax <axis = 1> (d2)  d4 = Conv(d3, distance[1,4,1,1])  d5 = Reshape(d4, box)
      boxes = Mul(d5, stride)  y = Concat <axis = 1> (boxes, scores)
    }""",
    "gates": """<ir_version: 8, opset_import: ["" : 13]>
    gates (float[1,8,16,16] x) => (float[1,4,32,32] y)
    <float[0] roi = {}, float[4] twice = {1.0,1.0,2.0,2.0}, int64[8] pads = {0,0,1,1,0,0,1,1},
     int64[2] halves = {4,4}> {
      a = Conv <pads = [1,1,1,1]> (x, wa[8,8,3,3], ba[8])  p = PRelu(a, slope[8,1,1])
      g = GlobalAveragePool(p)  s = Conv(g, ws[8,8,1,1], bs[8])  h = HardSigmoid(s)  m = Mul(p, h)
      t = Conv(m, wt[8,8,1,1], bt[8])  u, v = Split <axis = 1> (t, halves)  tu = Tanh(u)  sv = Sigmoid(v)
      w = Mul(tu, sv)  d = Pad(w, pads)  e = AveragePool <kernel_shape = [3,3]> (d)
      i = Concat <axis = 1> (e, u)  z = Resize <mode = "linear"> (i, roi, twice)
      k = ConvTranspose <kernel_shape = [3,3], pads = [1,1,1,1]> (z, wk[8,4,3,3], bk[4])  l = LeakyRelu(k)
      y = Transpose <perm = [0,1,3,2]> (l)
    }""",
    "unfolded": """<ir_version: 8, opset_import: ["" : 13]>
    unfolded (float[1,4,16,16] x) => (float[1,8,16,16] y) {
      a = Conv <pads = [1,1,1,1]> (x, wa[8,4,3,3])
      n = BatchNormalization(a, gamma[8], beta[8], mean[8], variance[8])  r = Relu(n)
      y = Conv <pads = [1,1,1,1]> (r, wb[8,8,3,3], bb[8])
    }""",
    "spelled": """<ir_version: 8, opset_import: ["" : 13]>
    spelled (float[1,16,32] x) => (float[1,16,32] y)
    <float two = {2.0}, float small = {0.00001}> {
      s = Pow(x, two)  m = ReduceMean <axes = [-1], keepdims = 1> (s)  a = Add(m, small)  r = Sqrt(a)
      n = Div(x, r)  g = Mul(n, gamma[32])  u = MatMul(g, wu[32,64])  v = MatMul(g, wv[32,64])
      i = Sigmoid(v)  w = Mul(v, i)  z = Mul(u, w)  o = MatMul(z, wo[64,32])  y = Add(o, x)
    }""",
    "recurrent": """<ir_version: 8, opset_import: ["" : 13]>
    recurrent (float[12,1,16] x) => (float[12,1,1] y)
    <int64[3] rows = {12,1,16}> {
      h, last, cell = LSTM <hidden_size = 16> (x, w[1,64,16], r[1,64,16], b[1,128])
      f = Reshape(h, rows)  d = MatMul(f, wd[16,1])  e = Add(d, bd[1])  y = Sigmoid(e)
    }""",
}
"""Small networks with what AIMET treats specially; `name[shape]` is a random weight."""
_WEIGHT = re.compile(r"(\w+)\[([\d,]+)\](?=[,)])")


def network(text: str) -> onnx.ModelProto:
    """A network of the table with its weights; gamma and variance are larger than 0."""
    chance = np.random.default_rng(0)
    model = parser.parse_model(_WEIGHT.sub(r"\1", text))
    for name, sizes in _WEIGHT.findall(text):
        shape = [int(size) for size in sizes.split(",")]
        values = chance.normal(0, 1 / np.sqrt(max(1, np.prod(shape[1:]))), shape)
        if name in ("gamma", "variance"):
            values = np.exp(chance.normal(0, 1, shape))
        if name == "distance":
            values = np.arange(np.prod(shape)).reshape(shape)
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"  # AIMET looks nodes up by name
    return model


@record
class Defended:
    """Why findings of a rule are right, in files of these configurations, widths and networks."""

    rule: str
    why: str
    pattern: str = ""
    configs: tuple[str, ...] = ()
    widths: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()


DSP = ("htp_v66",)
DEFENDED = (
    Defended(
        "encodings/bit-width",
        "Hexagon v66 runs 8-bit tensors alone, and these files say 16 or 4 bits: no chip of theirs runs them",
        configs=DSP,
        widths=("w8a16", "w4a16", "lpbq"),
    ),
    Defended(
        "encodings/range-not-fixed",
        "no configuration gives HardSigmoid its whole range, and a calibrated one left MobileNetV3-small 2 %"
        " top-1 on HTP (onnxruntime-qnn#473)",
        "HardSigmoid|more outputs",
    ),
    Defended(
        "encodings/range-not-fixed",
        "the default configuration is for no chip: it calibrates Sigmoid, Softmax and Tanh, and gives what a"
        " Concat joins the Concat's range; those for HTP give the whole range",
        configs=("default",),
    ),
    Defended(
        "encodings/bound-lost",
        "the default configuration gives the Relu behind a batch normalization that was not folded the grid"
        " of what it cuts, with more than half of it below 0",
        configs=("default",),
        networks=("unfolded",),
    ),
    Defended(
        "encodings/weights-clipped",
        "batch normalization was not folded before the export, and the converter folds it: AIMET's own guide"
        " says to fold first",
        networks=("unfolded",),
    ),
    Defended(
        "encodings/block-quantization",
        "LPBQ is documented for HTP, and the configuration is for Hexagon v66",
        configs=DSP,
        widths=("lpbq",),
    ),
    Defended(
        "encodings/shared-grid",
        "at 8 bits the step of boxes up to 93 leaves scores three values: what a detector loses so was"
        " measured",
        widths=("w8a8",),
        networks=("detector",),
    ),
    Defended(
        "encodings/side-input",
        "a slope of PRelu with unsigned 16 bits validates on HTP and does not compile (measured on three"
        " chips)",
        "slope of PRelu",
        widths=("w8a16", "w4a16", "lpbq"),
    ),
    Defended(
        "ops/no-runtime",
        "the op table has no DSP column entry for them, whatever the encodings say",
        "Gelu|LayerNormalization",
        configs=DSP,
        networks=("encoder",),
    ),
    Defended(
        "runtime/partition",
        "execution changes processor around those ops",
        configs=DSP,
        networks=("encoder",),
    ),
    Defended(
        "runtime/layer-limit",
        "the limitations table says so of depthwise convolutions on the DSP, whatever the encodings say",
        "Depthwise",
        configs=DSP,
        networks=("residual",),
    ),
)
"""Every error and warning on the exports, and why it is correct."""


@record
class Export:
    """A file that AIMET wrote, and the model that it belongs to."""

    path: Path
    model: Path
    config: str
    widths: str

    @property
    def network(self) -> str:
        """The network's name."""
        return self.model.stem


def exports(folder: Path) -> Iterator[Export]:
    """What AIMET wrote."""
    for path in sorted(folder.glob("*/*/*.encodings")):
        if not path.stem.endswith("_torch"):
            model = path.with_name(f"{path.stem.rpartition('-')[0]}.onnx")
            yield Export(path, model, path.parent.parent.name, path.parent.name)


def findings(export: Export) -> Iterator[Diagnostic]:
    """Errors and warnings about the file, and about its model quantized so."""
    soc, runtime = TARGETS[export.config]
    target = Target((runtime,), soc=resolve_soc(soc))
    jobs = (
        Job(export.path, target, kind="encodings", model=export.model),
        Job(export.model, target, overrides=export.path),
    )
    for job in jobs:
        yield from (
            finding for finding in lint_file(job).diagnostics if finding.severity is not Severity.INFO
        )


def defence(export: Export, finding: Diagnostic) -> Defended | None:
    """The sentence that applies to a finding."""
    for each in DEFENDED:
        if (
            each.rule == finding.rule
            and re.search(each.pattern, finding.message)
            and (not each.configs or export.config in each.configs)
            and (not each.widths or export.widths in each.widths)
            and (not each.networks or export.network in each.networks)
        ):
            return each
    return None


def main(arguments: list[str]) -> int:
    """Export, lint, and print what is justified and what is not."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.aimet_exports", description=__doc__)
    options.add_argument(
        "models", nargs="*", type=Path, metavar="MODEL", help="beside the networks of the table"
    )
    options.add_argument("--aimet", type=Path, default=HERE / "aimet", metavar="DIR")
    options.add_argument("--make-aimet", action="store_true")
    options.add_argument("--keep", type=Path, metavar="FOLDER", help="where exports lie or are to be written")
    options.add_argument("--configs", default=",".join(TARGETS))
    options.add_argument("--widths", default=",".join(WIDTHS))
    args = options.parse_args(arguments)
    python = args.aimet / "bin" / "python"
    if args.make_aimet and not python.exists():
        venv.create(args.aimet, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "aimet-onnx"], check=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        if not any(exports(folder)):
            if not python.exists():
                print("not run: no aimet-onnx; --make-aimet installs it, or --aimet names where it is")
                return 0
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in NETWORKS.items():
                onnx.save(network(text), folder / f"{name}.onnx")
            for path in args.models:
                onnx.save(onnx.load(path), folder / path.with_suffix(".onnx").name)
            subprocess.run([python, WORKER, folder, args.configs, args.widths], check=True)
        return judged(list(exports(folder)))


def judged(files: list[Export]) -> int:
    """Print the findings on the files; 1 where one is not justified."""
    counts: dict[Defended, int] = defaultdict(int)
    open_: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for export in files:
        for finding in findings(export):
            reason = defence(export, finding)
            if reason is not None:
                counts[reason] += 1
                continue
            alike = re.sub(r"'[^']*'|[\d.e+-]+", "#", finding.message)
            said = f"{export.path.name}: {finding.severity.value} {finding.message}"
            open_[finding.rule, alike].setdefault(f"{export.config} {export.widths} {export.path.name}", said)
    for reason, count in counts.items():
        print(f"{count} times {reason.rule}: {reason.why}")
    for (rule, _), told in sorted(open_.items()):
        kinds = ", ".join(dict.fromkeys(where.rpartition(" ")[0] for where in told))
        print(f"NOT DEFENDED, {rule} in {len(told)} files ({kinds}): {next(iter(told.values()))}")
    undefended = sum(map(len, open_.values()))
    print(
        f"{len(files)} files of {len({each.network for each in files})} networks:"
        f" {sum(counts.values())} errors and warnings defended, {undefended} not"
    )
    return int(bool(undefended))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
