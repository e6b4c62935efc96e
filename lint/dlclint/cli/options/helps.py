"""What `--help` of each command says beside its options: what it does, examples, exit statuses."""

from __future__ import annotations

from dlclint_schemas.record import record

DID = "0 done, 2 could not run"
"""Exit statuses of what shows or writes something."""


@record
class Help:
    """Exit statuses, examples, and what the command does where its parser does not say."""

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
        "Lint models and override files for the chip and the DLC that they are for: whether they convert, "
        "where they run, what quantization costs, and what to do.",
    ),
    "fix": Help(
        "0 no error is left, 1 errors are left, 2 could not fix",
        (
            "dlclint fix model.onnx -o fixed.onnx --verify",
            "dlclint fix --in-place --unsafe -b 1 model.onnx",
            "dlclint fix over.encodings --diff",
        ),
        "Make the fixes that findings carry, the safe ones alone unless --unsafe says otherwise.",
    ),
    "equalize": Help(
        "0 done, 1 both models differ and nothing was written, 2 could not run",
        ("dlclint equalize model.onnx -o out.onnx --verify",),
        "Cross-layer equalization on the model itself: neighboring convolutions get weights of one range. It "
        "ends with a verdict, and leaves alone what would lose.",
    ),
    "plan": Help(
        "0 planned, 1 the conversion is known to fail, 2 could not run",
        (
            "dlclint plan --soc sm8650 model.onnx",
            "dlclint plan --soc sm8650 model.onnx --emit-overrides over.encodings",
        ),
        "Plan the quantization of a model for a chip: widths, the quantizer's options, the commands.",
    ),
    "simulate": Help(
        "0 measured, 1 a target is not reached, 2 it could not be measured",
        (
            "dlclint simulate model.onnx --inputs list.txt",
            "dlclint simulate model.onnx --inputs f --target 30dB",
        ),
    ),
    "confirm": Help(
        "0 the backend takes every node, 1 it refuses some, 2 it could not be asked",
        ("dlclint confirm --soc sm8550 model.onnx",),
    ),
    "encodings": Help(
        "0 done, 1 something would be lost or differs, 2 could not run",
        (
            "dlclint encodings show over.encodings",
            "dlclint encodings convert over.encodings --to 1.0.0 -o new.encodings",
        ),
        "Convert, show and compare override files of any version, or take them out of a QDQ model.",
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
    "server": Help("0 shut down as asked, 1 not, 2 could not run", ("dlclint server",)),
}


def epilog(name: str) -> str:
    """Examples and exit statuses of a command, as its help ends."""
    told = HELPS[name]
    examples = "\n".join(f"  {example}" for example in told.examples)
    return (
        f"Examples:\n{examples}\n\nExit status: {told.statuses}; 70 internal error, 130 and 143 interrupted."
    )
