"""The text of `--help` around the options of each command: description, examples, exit statuses."""

from __future__ import annotations

from dlclint_schemas.record import record

DID = "0 done, 2 could not run"
"""Exit statuses of commands that show or write something."""


@record
class Help:
    """Exit statuses, examples, and the description if the command's parser has none."""

    statuses: str
    examples: tuple[str, ...]
    about: str = ""


HELPS = {
    "check": Help(
        "0 clean, 1 findings at or above --fail-on, 2 could not run (the other files are still linted)",
        (
            "dlclint check model.onnx",
            "dlclint check --soc sm8650 --quantize -d input 1,3,224,224 model.onnx",
            "dlclint check models/ -q --output-format sarif=dlclint.sarif",
            "dlclint check models/ --on dask --results results/",
        ),
        "Lint models and override files for a chip and a DLC: whether they convert, where they run, what "
        "quantization costs, and what to do.",
    ),
    "fix": Help(
        "0 no errors remain, 1 errors remain, 2 could not fix",
        (
            "dlclint fix model.onnx -o fixed.onnx --verify",
            "dlclint fix --in-place --unsafe -b 1 model.onnx",
            "dlclint fix over.encodings --diff",
        ),
        "Apply the fixes of findings. Without --unsafe, only safe fixes are applied.",
    ),
    "equalize": Help(
        "0 done, 1 the models differ and nothing was written, 2 could not run",
        ("dlclint equalize model.onnx -o out.onnx --verify",),
        "Apply cross-layer equalization to the model: neighboring convolutions get the same weight range. "
        "Chains that would lose precision stay unchanged; the report ends with a verdict.",
    ),
    "plan": Help(
        "0 planned, 1 the conversion will fail, 2 could not run",
        (
            "dlclint plan --soc sm8650 model.onnx",
            "dlclint plan --soc sm8650 model.onnx --emit-overrides over.encodings",
        ),
        "Plan the quantization of a model for a chip: widths, the quantizer's options, the commands.",
    ),
    "simulate": Help(
        "0 measured, 1 a target is not reached, 2 could not measure",
        (
            "dlclint simulate model.onnx --inputs list.txt",
            "dlclint simulate model.onnx --inputs f --target 30dB",
        ),
    ),
    "confirm": Help(
        "0 the backend takes every node, 1 it refuses some, 2 could not ask it",
        ("dlclint confirm --soc sm8550 model.onnx",),
    ),
    "encodings": Help(
        "0 done, 1 something would be lost or differs, 2 could not run",
        (
            "dlclint encodings show over.encodings",
            "dlclint encodings convert over.encodings --to 1.0.0 -o new.encodings",
        ),
        "Convert, show and compare override files of any version, or extract them from a QDQ model.",
    ),
    "encodings convert": Help(
        "0 converted, 1 something would be lost without --lossy, 2 could not run",
        ("dlclint encodings convert over.encodings --to 2.0.0 --model model.onnx -o new.encodings",),
        "Write an override file in another format version, and say what that version cannot express.",
    ),
    "encodings extract": Help(
        "0 written, 1 something would be lost without --lossy, 2 could not run",
        ("dlclint encodings extract qdq.onnx -o float.onnx",),
        "Split a QDQ model into a float model and an override file, which the converters read.",
    ),
    "encodings show": Help(
        DID,
        ("dlclint encodings show over.encodings --tensor 'conv*'",),
        "Print the entries of an override file, or those that a QDQ model carries, as a table.",
    ),
    "encodings diff": Help(
        "0 alike, 1 they differ, 2 could not run",
        ("dlclint encodings diff old.encodings new.encodings",),
        "Compare two override files of any format versions, or QDQ models, entry by entry.",
    ),
    "explain": Help(
        "0 no error recognized, 1 errors recognized, 2 could not run",
        ("dlclint explain convert.log model.onnx",),
    ),
    "zoo": Help(DID, ("dlclint zoo results/", "dlclint zoo part1 part2 --format parquet -o zoo.parquet")),
    "rule": Help(DID, ("dlclint rule ops", "dlclint rule --format json")),
    "ops": Help(DID, ("dlclint ops Gemm",)),
    "soc": Help(DID, ("dlclint soc SM8650",)),
    "init": Help(DID, ("dlclint init models/",)),
    "cache": Help(DID, ("dlclint cache clean",)),
    "completions": Help(DID, ("dlclint completions bash",)),
    "server": Help("0 shut down on request, 1 otherwise, 2 could not run", ("dlclint server",)),
}


def epilog(name: str) -> str:
    """Examples and exit statuses of a command, at the end of its help."""
    told = HELPS[name]
    examples = "\n".join(f"  {example}" for example in told.examples)
    return (
        f"Examples:\n{examples}\n\nExit status: {told.statuses}; 70 internal error, 130 and 143 interrupted."
    )
