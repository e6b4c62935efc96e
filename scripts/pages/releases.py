"""The releases of the SDK, and what each one added."""

from __future__ import annotations

from dlclint_schemas.releases import changes, option_times, releases, table_source
from pages._markdown import table

_TOOLS = ("snpe-onnx-to-dlc", "qairt-converter", "snpe-dlc-quant", "qairt-quantizer")


def files() -> dict[str, str]:
    """docs/tables/releases.md."""
    known = list(releases().values())
    stated = [sdk for sdk in known if sdk.is_stated]
    ceilings = table(
        ("since", "newest opset", "table of ops", "source"),
        [(sdk.name, str(sdk.opset), sdk.table, table_source(sdk.table)) for sdk in stated],
    )
    came = table(
        ("since", "on", "op", "what", "source"),
        [
            (change.since_text, change.runtime, ", ".join(change.ops), change.says, change.source)
            for change in changes()
        ],
    )
    options = table(
        ("tool", "option", "since", "until", "source"),
        [
            (
                tool,
                time.option,
                f"{time.not_before} to {time.since}" if time.not_before else time.since,
                time.until,
                time.source,
            )
            for tool in _TOOLS
            for time in option_times(tool).values()
        ],
    )
    text = (
        f"# Releases of the SDK\n\ndlclint knows {known[0].name} to {known[-1].name}. If an entry names "
        "several releases, the exact one is not known.\n\n"
        f"## The converter\n\n{ceilings}\n## Ops\n\n{came}\n## Options of the tools\n\n{options}"
    )
    return {"docs/tables/releases.md": text}
