"""The pre-commit hooks, from one catalog: the file for pre-commit and the page for people."""

from __future__ import annotations

from dataclasses import dataclass

from dlclint.version import REPOSITORY, __version__
from pages._markdown import table


@dataclass(frozen=True)
class Hook:
    """A hook; `pattern` is the regular expression of the paths it is run on."""

    id: str
    name: str
    about: str
    entry: str
    pattern: str


HOOKS = (
    Hook(
        "dlclint",
        "dlclint (ONNX models)",
        "Lint ONNX models, each with the override file of the same name next to it.",
        "dlclint check --skip-lfs-pointers --format concise",
        r"\.onnx$",
    ),
    Hook(
        "dlclint-encodings",
        "dlclint (quantization overrides)",
        "Lint quantization-override files, each with the model of the same name next to it.",
        "dlclint check --skip-lfs-pointers --format concise",
        r"\.encodings$",
    ),
    Hook(
        "dlclint-fix",
        "dlclint fix (ONNX models)",
        "Apply safe fixes to ONNX models in place; fails if it changes one.",
        "dlclint fix --in-place --exit-non-zero-on-fix",
        r"\.onnx$",
    ),
    Hook(
        "dlclint-encodings-fix",
        "dlclint fix (quantization overrides)",
        "Apply safe fixes to quantization-override files in place; fails if it changes one.",
        "dlclint fix --in-place --exit-non-zero-on-fix",
        r"\.encodings$",
    ),
)

TEXT = """# pre-commit hooks

```yaml
repos:
  - repo: URL-OF-THIS-REPOSITORY
    rev: vVERSION
    hooks:
      - id: dlclint
        args: [--runtime, htp, --quantize]
      - id: dlclint-encodings
        files: ^overrides/.*\\.(encodings|json)$
```

`args` takes every option of `dlclint check`; a `dlclint.toml` in the repository applies as well. `files`
selects the files of a hook: override files may end in `.encodings`, `.json`, `.jsonc` or `.txt`.
`dlclint-fix` and `dlclint-encodings-fix` take the options of `dlclint fix`. They verify changes of a model
only if ONNX Runtime is installed: add `additional_dependencies: [onnxruntime]`. Put them before `dlclint`,
which then lints the result. A hook fails if a finding reaches `--fail-on` (default `error`). It runs once for
all changed files.

The hooks skip a Git LFS pointer, which replaces a model that was not fetched, with one note, because
a commit without the fetched model cannot have changed it. `dlclint check` reports an error unless
`--skip-lfs-pointers` is given.

"""


def files() -> dict[str, str]:
    """.pre-commit-hooks.yaml and docs/reference/pre-commit.md."""
    rows = ((f"`{hook.id}`", f"`{hook.pattern}`", hook.about) for hook in HOOKS)
    return {
        ".pre-commit-hooks.yaml": "# Made by scripts/generate.py from scripts/pages/hooks.py.\n"
        + "".join(map(_yaml, HOOKS)),
        "docs/reference/pre-commit.md": TEXT.replace(
            "URL-OF-THIS-REPOSITORY", REPOSITORY or "URL-OF-THIS-REPOSITORY"
        ).replace("VERSION", __version__)
        + table(("hook", "files", "what it does"), rows),
    }


def _yaml(hook: Hook) -> str:
    # dlclint distributes files over processes itself, so pre-commit need not.
    return (
        f"- id: {hook.id}\n"
        f"  name: {hook.name}\n"
        f"  description: {hook.about}\n"
        f"  entry: {hook.entry}\n"
        f"  language: python\n"
        f"  files: {hook.pattern}\n"
        f"  types: [file]\n"
        f"  require_serial: true\n"
    )
