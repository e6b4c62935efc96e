"""The limitations, and which rule checks each."""

from __future__ import annotations

from dlclint_rules.runtime.limits import CHECKED_BY, evaluated
from dlclint_schemas.limitations import limit_effects, limit_table
from pages._markdown import table


def files() -> dict[str, str]:
    """docs/tables/limits.md."""
    entries = limit_table()
    rows = (
        (
            id,
            ",".join(entry.get("runtimes", ("all",))),
            entry.get("layer", ", ".join(entry.get("onnx", ())) or entry["scope"]),
            entry["limit"],
            entry["effect"],
            _checked(id),
        )
        for id, entry in entries.items()
    )
    stale = ", ".join(id for id, entry in entries.items() if entry["effect"] == "stale")
    effects = "".join(f"- {name}: {meaning}\n" for name, meaning in limit_effects().items())
    documents = "".join(
        f"- {document}\n"
        for document in dict.fromkeys(f"{entry['document']}, {entry['title']}" for entry in entries.values())
    )
    return {
        "docs/tables/limits.md": (
            f"# Documented limits\n\nSources:\n\n{documents}\nEffects:\n\n{effects}\n"
            f"Stale entries, which a newer page contradicts and dlclint skips: {stale}. DSP entries apply to "
            "Hexagon v66 and to AIP; the page has no section on HTP. MaxPerGPUSize is only known for Adreno "
            "330, 430 and 530: dlclint uses 16384, and these findings are inferred.\n\n"
            + table(("id", "runtime", "layer", "limit", "effect", "checked by"), rows)
        )
    }


def _checked(id: str) -> str:
    if id in CHECKED_BY:
        return CHECKED_BY[id]
    if evaluated(id):
        return "runtime/layer-limit"
    entry = limit_table()[id]
    if entry["effect"] == "definition":
        return f"defines {entry['machine']['name']}, which other entries use"
    stale = entry["effect"] == "stale"
    return "nothing: stale" if stale else "nothing: not visible in an ONNX model"
