"""The surfaces: what is damaged, and with which commands it is run."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from . import entries, raw, seeds, structure
from .case import Case
from .crowds import crowd
from .extremes import extreme

Random = random.Random
TARGETS: tuple[tuple[str, ...], ...] = (
    (),
    ("--runtime", "htp", "--quantize"),
    ("--runtime", "htp,dsp,aip", "--quantize"),
    ("--runtime", "gpu_float16", "-b", "1"),
    ("--soc", "SM8650", "--runtime", "htp", "--float", "--float-bitwidth", "16"),
    ("-n", "-d", "x", "1,3,8,8", "-s", "N", "2"),
    ("--quantize",),
    ("--quantize", "--act-bitwidth", "16", "--use-per-channel-quantization"),
)
FORMS = (
    *("json", "json", "json", "json", "sarif", "concise", "concise", "rich", "rich"),
    *("html", "markdown", "junit", "github", "gitlab"),
)


def model(random: Random) -> tuple[bytes, str]:
    """A damaged .onnx file, and how it was damaged."""
    pool = seeds.models()
    data = random.choice(pool)
    choice = random.random()
    if choice < 0.02:  # which takes as long as sixteen others
        return crowd(random), "crowd"
    if choice < 0.3:
        return structure.damage(data, random), "structure"
    if choice < 0.6:
        return structure.single(random.choice(structure.schemas()), random), "operator"
    if choice < 0.78:
        return raw.wire(data, random), "wire"
    if choice < 0.9:
        return raw.rename(data, random), "names"
    return raw.bytes_of(data, random, random.choice(pool)), "bytes"


def check(random: Random) -> Case:
    """`dlclint check` on a model."""
    data, origin = model(random)
    name = "m.onnx"
    if random.random() < 0.04:
        name, data = _as_text(data, random)
    words = ("check", "--isolated", *random.choice(TARGETS), "--format", random.choice(FORMS), name)
    return Case({name: data, **_weights(data)}, words, origin)


def operators(random: Random, index: int) -> Case:
    """`dlclint check` on single nodes: every version of every operator in turn, damaged again each time."""
    known = structure.schemas()
    data = structure.swept(known[index % len(known)], index // len(known), random)
    words = ("check", "--isolated", *random.choice(TARGETS[:4]), "--format", random.choice(FORMS), "m.onnx")
    return Case({"m.onnx": data}, words, "operator")


def extremes(random: Random, index: int) -> Case:
    """A command on a sound model in which one field has an extreme value: each field and value in turn."""
    data = extreme(index, random)
    choice = random.random()
    if choice < 0.6:
        words = ("check", "--isolated", *random.choice(TARGETS), "--format", random.choice(FORMS))
    elif choice < 0.75:
        words = ("plan", "--isolated", "--runtime", random.choice(("htp", "dsp", "cpu")), "--format", "json")
    elif choice < 0.85:
        words = ("fix", "--isolated", "--no-verify", "--unsafe", "-o", "out.onnx", *random.choice(TARGETS))
    elif choice < 0.95:
        words = ("encodings", "extract", "-o", "o.onnx", "--encodings", "o.encodings")
    else:
        words = ("equalize", "--extended", "--high-bias", "absorb", "-o", "out.onnx")
    return Case({"m.onnx": data}, (*words, "m.onnx"), "extreme")


def _weights(data: bytes) -> dict[str, bytes]:
    return {"w.bin": bytes(range(64))} if b"w.bin" in data else {}


def _as_text(data: bytes, random: Random) -> tuple[str, bytes]:
    import onnx
    from google.protobuf import text_format
    from google.protobuf.json_format import MessageToJson

    name = random.choice(("m.onnxtxt", "m.textproto", "m.json"))
    try:
        proto = onnx.ModelProto.FromString(data)
        if name == "m.onnxtxt":
            text = onnx.printer.to_text(onnx.ModelProto.FromString(random.choice(seeds.models())))
        elif name == "m.json":
            text = MessageToJson(proto)
        else:
            text = text_format.MessageToString(proto)
    except Exception:  # what is too damaged to be printed stays as it is
        return name, data
    return name, raw.bytes_of(
        text.encode("utf-8", "surrogatepass"), random, text[::-1].encode("utf-8", "replace")
    )


def plan(random: Random) -> Case:
    """`dlclint plan` on a model."""
    data, origin = model(random)
    words = ["plan", "--isolated", "--format", random.choice(("json", "json", "rich", "markdown", "html"))]
    words += random.choice(
        (
            *(("--runtime", "htp"), ("--runtime", "dsp"), ("--runtime", "htp", "-b", "1")),
            *(("--soc", "SM8550"), ("--soc", "SM8650", "--float")),
        )
    )
    if random.random() < 0.3:
        words += ["--emit-overrides", "o.encodings"]
        words += ["--encodings-version", random.choice(("0.6.1", "1.0.0", "2.0.0"))]
        words += ["--estimated-activations"] * (random.random() < 0.5)
    return Case({"m.onnx": data, **_weights(data)}, (*words, "m.onnx"), origin)


def fix(random: Random) -> Case:
    """`dlclint fix` on a model; one in twenty is compared by running it."""
    data, origin = model(random)
    words = ["fix", "--isolated", "--format", random.choice(("rich", "json"))]
    words += random.choice((("-o", "out.onnx"), ("-o", "out.onnx"), ("--diff",), (), ("--in-place",)))
    words += ["--unsafe"] * (random.random() < 0.5)
    words += ["-n"] * (random.random() < 0.2)
    words += random.choice(((), ("--runtime", "htp", "--quantize"), ("--quantize",), ("--dims", "N=1")))
    words += ["--no-verify"] * (random.random() < 0.95)
    return Case({"m.onnx": data, **_weights(data)}, (*words, "m.onnx"), origin)


def equalize(random: Random) -> Case:
    """`dlclint equalize` on a model."""
    data, origin = model(random)
    if random.random() < 0.5:  # most fixtures have nothing to equalize
        import onnx

        chain = onnx.ModelProto.FromString(seeds.models()[-1])
        for _ in range(random.choice((1, 2, 4))):
            if chain.graph.node:
                random.choice(structure.CHANGES)(chain, random)
        data, origin = chain.SerializeToString(), "chain"
    words = ["equalize", "--format", random.choice(("json", "rich")), "-o", "out.onnx"]
    words += ["--extended"] * (random.random() < 0.5)
    words += random.choice(((), ("--relu6", "replace"), ("--high-bias", "absorb"), ("-b", "1")))
    return Case({"m.onnx": data, **_weights(data)}, (*words, "m.onnx"), origin)


_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 8, 16, 4, 255, 1 << 70, -(1 << 70), 0.0, -0.0, 1e308, -1e308, 1e-320),
    *("", "int", "float", "True", "False", "0.6.1", "1.0.0", "2.0.0", "PER_TENSOR", "PER_CHANNEL", "LPBQ"),
    *("uint8", "int16", "float16", "0.1", "NaN", [], {}, [[]], [{}], {"a": {"b": []}}),
)


def _places(value: Any) -> list[tuple[Any, Any]]:
    collected = []
    if isinstance(value, dict):
        collected = [(value, key) for key in value]
    elif isinstance(value, list):
        collected = [(value, index) for index in range(len(value))]
    return collected + [location for parent, key in list(collected) for location in _places(parent[key])]


def _json(random: Random) -> bytes:
    value = json.loads(json.dumps(random.choice(seeds.parsed_overrides())))
    for _ in range(random.choice((1, 1, 2, 4))):
        places = _places(value)
        if not places:
            break
        parent, key = random.choice(places)
        choice = random.randrange(7)
        if choice in (0, 1):
            parent[key] = copy.deepcopy(random.choice(_VALUES))  # which later damage must not reach
        elif choice == 2:
            del parent[key]
        elif choice == 3 and isinstance(parent, dict):
            parent[random.choice((*raw.NAMES, "min", "max", "scale", "offset", "bitwidth", "dtype"))] = (
                parent[key]
            )
        elif choice == 4 and isinstance(parent, list):
            parent[key:key] = [parent[key]] * random.choice((1, 3, 300))
        elif choice == 5:
            other, other_key = random.choice(places)
            parent[key] = json.loads(json.dumps(other[other_key])) if other_key in _keys(other) else None
        elif isinstance(parent[key], (int, float)) and not isinstance(parent[key], bool):
            parent[key] = parent[key] * random.choice((-1, 2, 1e300, 1e-300, 0.5)) + random.choice(
                (0, 1, 0.5)
            )
    return json.dumps(value, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")[:200_000]


def _keys(value: Any) -> Sequence[Any]:
    return list(value) if isinstance(value, dict) else range(len(value))


def _json_text(data: bytes, random: Random) -> bytes:
    pieces = (
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"//",
        b"/* ",
        b"NaN",
        b"-Infinity",
        b"\\u",
        b"1e999",
        b"'",
    )
    out = bytearray(data)
    for _ in range(random.choice((1, 2, 4))):
        at = random.randrange(len(out) + 1)
        choice = random.randrange(5)
        if choice == 0:
            out[at:at] = random.choice(pieces) * random.choice((1, 1, 2, 50, 3000))
        elif choice == 1:
            del out[at : at + random.choice((1, 3, 30))]
        elif choice == 2:
            del out[at:]
        elif choice == 3:
            out[at:at] = random.choice(
                (b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\xed\xa0\x80", b"\x1b[1m", b"\xc2\x9b")
            )
        else:
            end = min(len(out), at + random.choice((10, 100)))
            out[at:at] = out[at:end]
    return bytes(out)


def encodings(random: Random) -> Case:
    """Every command that reads an override file, and those that read one next to a model or inside it."""
    if random.random() < 0.2:
        model_data, origin = model(random)
        words = random.choice(
            (
                ("encodings", "extract", "m.onnx", "-o", "o.onnx", "--encodings", "o.encodings"),
                ("encodings", "show", "m.onnx"),
                ("encodings", "diff", "m.onnx", "e.encodings"),
                ("encodings", "convert", "e.encodings", "--to", "1.0.0", "--model", "m.onnx"),
                ("check", "--isolated", "m.onnx", "--encodings", "e.encodings", "--runtime", "htp"),
            )
        )
        files = {"m.onnx": model_data, "e.encodings": random.choice(seeds.overrides())[0]}
        return Case({**files, **_weights(model_data)}, words, origin)
    data, beside = random.choice(seeds.overrides())
    choice = random.random()
    if choice < 0.05:
        data, beside = entries.beside_a_model(random)
        origin = "entries"
    elif choice < 0.55:
        data, origin = _json(random), "json"
    elif choice < 0.85:
        data, origin = _json_text(data, random), "json text"
    else:
        data, origin = raw.bytes_of(data, random, random.choice(seeds.overrides())[0]), "bytes"
    files = {"e.encodings": data}
    if beside and random.random() < 0.5:
        files["e.onnx"] = beside
    fixes = ("fix", "e.encodings", "--isolated")
    convert = ("encodings", "convert", "e.encodings", "--to")
    words = random.choice(
        (
            ("check", "--isolated", "--format", random.choice(FORMS), "--runtime", "htp", "e.encodings"),
            ("check", "--isolated", "--format", random.choice(FORMS), "e.encodings"),
            (*fixes, *random.choice(((), ("--diff",), ("-o", "o.encodings"), ("--unsafe", "--in-place")))),
            (*convert, random.choice(("0.6.1", "1.0.0", "2.0.0")), "-o", "o.encodings"),
            ("encodings", "show", "e.encodings"),
            ("encodings", "diff", "e.encodings", "e.encodings"),
            ("check", "--isolated", "--format", "json", "--quantize", "."),
        )
    )
    return Case(files, words, origin)


_TOML = (
    *(
        '""',
        "[]",
        "{}",
        "0",
        "-1",
        "1.5",
        "true",
        '"*"',
        '["\\u001b"]',
        "1979-05-27",
        "nan",
        '"**/[a"',
        "[1, 2]",
    ),
    *('"../../x"', '"\\u0000"', "99999999999999999999999", '"""', "[[[[", "{a.b = 1}", "'\\'"),
)


def config(random: Random) -> Case:
    """Configurations, file names, and words of the command line."""
    files: dict[str, bytes] = {"m.onnx": random.choice(seeds.models())}
    form = ("--format", random.choice(FORMS))
    choice = random.random()
    if choice < 0.6:
        name = random.choice(("dlclint.toml", "dlclint.toml", "pyproject.toml"))
        files[name] = _toml(random, name == "pyproject.toml")
        return Case(files, ("check", *form, *random.choice(((), ("--quantize",))), "m.onnx"), "toml")
    if choice < 0.8:
        stem = text_name(random)
        data = model(random)[0] if random.random() < 0.5 else files["m.onnx"]
        plan = ("plan", "--isolated", "--runtime", "htp")
        command = random.choice((("check", "--isolated", *form), ("fix",), plan))
        return Case({f"{stem}.onnx": data}, (*command, f"{stem}.onnx"), "file name")
    words = ["check", "--isolated", *form, "m.onnx"]
    options = (
        "--runtime",
        "--soc",
        "--sdk",
        "-d",
        "-s",
        "-b",
        "-e",
        "-t",
        "--select",
        "--ignore",
        "--fail-on",
    )
    for _ in range(random.choice((1, 1, 2))):
        at = random.randrange(len(words) + 1)
        odd = tuple(name for name in raw.NAMES if "\0" not in name)
        words[at:at] = [
            random.choice((*options, "--", "--help", "fix", "-j", "--config", "@x")),
            *random.choices(odd),
        ]
    return Case(files, tuple(words), "words")


def text_name(random: Random) -> str:
    """A file name that a file system takes."""
    name = random.choice(
        (*raw.NAMES, "\udcff\udcfe", "\udc9b", "-o", "--help", "a b", "~", "$(x)", "x" * 200, "*")
    )
    name = name.replace("\0", "").replace("/", "_")[:200]
    return (name + random.choice(("", "", "a", " "))) or "e"


def _toml(random: Random, nested: bool) -> bytes:
    lines = seeds.CONFIGURATION.splitlines()
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(lines))
        key = lines[at].partition("=")[0]
        choice = random.randrange(6)
        if choice in (0, 1):
            lines[at] = f"{key} = {random.choice(_TOML)}"
        elif choice == 2:
            del lines[at]
        elif choice == 3:
            lines.insert(at, random.choice(lines))
        elif choice == 4:
            value = json.dumps(random.choice(raw.NAMES).replace("\0", ""))
            lines[at] = f"{key} = {value}"
        else:
            lines[at] = f"{json.dumps(random.choice(raw.NAMES))} = {random.choice(_TOML)}"
        if not lines:
            break
    text = "\n".join(lines) + "\n"
    if nested:
        text = "[tool.dlclint]\n" + text.replace("[[models]]", "[[tool.dlclint.models]]")
    data = text.encode("utf-8", "surrogatepass")
    return raw.bytes_of(data, random, data) if random.random() < 0.3 else data


def sound() -> list[Case]:
    """Undamaged inputs that make commands read their tables, registries and forms."""
    models = {"m.onnx": seeds.models()[-1], "n.onnx": seeds.models()[-2]}
    overrides = {"e.encodings": next(data for data, model in seeds.overrides() if model)}
    check = ("check", "--isolated", "--quantize", "--runtime", "htp,dsp,aip,gpu_float16")
    return [
        *(Case({**models, **overrides}, (*check, "--format", form, ".")) for form in dict.fromkeys(FORMS)),
        *(
            Case(models, ("plan", "--isolated", "--runtime", "htp", "--format", form, "m.onnx"))
            for form in ("json", "rich", "markdown", "html")
        ),
        Case(models, ("fix", "--isolated", "--diff", "--no-verify", "m.onnx")),
        Case(models, ("equalize", "-o", "out.onnx", "m.onnx")),
        Case(overrides, ("fix", "e.encodings", "--isolated", "--diff")),
        Case(overrides, ("encodings", "convert", "e.encodings", "--to", "2.0.0", "-o", "o.encodings")),
        Case({**models, "dlclint.toml": seeds.CONFIGURATION.encode()}, ("check", "m.onnx")),
    ]


SURFACES: dict[str, Callable[[Random], Case]] = {
    "check": check,
    "plan": plan,
    "fix": fix,
    "equalize": equalize,
    "encodings": encodings,
    "config": config,
}
SWEEPS: dict[str, Callable[[Random, int], Case]] = {"operators": operators, "extremes": extremes}
"""The surfaces whose inputs follow from their number more than from the seed."""


def build(surface: str, seed: int, index: int) -> Case:
    """The input of a surface with this number: the same in every process."""
    random = Random(f"{seed}/{surface}/{index}")
    return SWEEPS[surface](random, index) if surface in SWEEPS else SURFACES[surface](random)
