"""A user's own SDK as the source of verdicts: where its tools are, and one bounded dry run of its converter.

The converters list what they do not support without converting when `--dry_run` is given (80-63442-2 Rev BL,
Tools). No SDK was available when this was written: it is tested with a program that replaces one.
"""

from __future__ import annotations

import argparse
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dlclint.confirm.process import NotAvailable, QuestionLimits
from dlclint.contained.watching import resident
from dlclint.diagnostic import plain
from dlclint_schemas.record import record

CONVERTERS = ("qairt-converter", "snpe-onnx-to-dlc")
"""The converters that are looked for; the first one found is used."""
CPU_LIBRARY = "libQnnCpu.so"
MOST_OUTPUT = 4 << 20
"""Bytes of a converter's output that are read; a tool that writes more is stopped."""
_ROOTS = ("QAIRT_SDK_ROOT", "QNN_SDK_ROOT", "SNPE_ROOT")
"""Variables in which the SDK's own scripts keep its root; the tools need them."""
_BUILD = re.compile(r"(?:\D+-)?(\d+\.\d+(?:\.\d+){0,2})")
"""A build number as a folder's name, also after the product's name (snpe-1.68.0.3932)."""
_MOST_UNREADABLE = 0.1
"""Share of characters that no text in UTF-8 has: such output reports nothing, whatever the exit status."""
_TICK = 0.1


@record
class Sdk:
    """An unpacked SDK: its root, its converter, and its build if the folder's name has it ("": unknown)."""

    root: Path
    converter: Path
    build: str

    @property
    def tool(self) -> str:
        """The converter's name, such as qairt-converter."""
        return self.converter.stem


@record
class DryRun:
    """The result of a dry run: exit status (None: it was stopped), output, and why it was stopped."""

    status: int | None
    text: str
    ended: str = ""


def sdk_root(args: argparse.Namespace) -> Path:
    """The folder from the command line or the environment.

    Raises:
        NotAvailable: neither names one.
    """
    named = args.sdk_root or os.environ.get(_ROOTS[0], "")
    if not named:
        raise NotAvailable(f"give the SDK's folder by --sdk-root or {_ROOTS[0]}")
    return Path(named)


def find_sdk(root: Path) -> Sdk:
    """The SDK in a folder.

    Raises:
        NotAvailable: the folder has no SDK, or the SDK no converter.
    """
    if not root.is_dir():
        raise NotAvailable(f"--sdk-root {root}: not a folder; give that of an unpacked SDK, with bin and lib")
    root = root.resolve()  # the tool runs in another folder
    for name in CONVERTERS:
        paths = sorted(path for path in root.glob(f"bin/*/{name}") if path.is_file())
        if paths:
            build = _BUILD.fullmatch(root.name)
            return Sdk(root, _of_host(paths), build[1] if build else "")
    names = " nor ".join(CONVERTERS)
    raise NotAvailable(
        f"--sdk-root {root}: neither {names} lies under bin; "
        + _which_instead(root, [f"bin/*/{name}" for name in CONVERTERS])
    )


def _which_instead(root: Path, patterns: Sequence[str]) -> str:
    """What to give where a folder is not that of an SDK: the SDK above or close below it, if there is one."""
    near = [root.parent, root.parent.parent, *sorted(root.glob("*")), *sorted(root.glob("*/*"))]
    for folder in near:
        if any(path.is_file() for pattern in patterns for path in folder.glob(pattern)):
            return f"give {folder}"
    return "give the folder of an unpacked SDK"


def cpu_library(root: Path) -> Path:
    """The SDK's CPU backend for this machine.

    Raises:
        NotAvailable: the SDK has none.
    """
    paths = sorted(path for path in root.glob(f"lib/*/{CPU_LIBRARY}") if path.is_file())
    if not paths:
        raise NotAvailable(
            f"--sdk-root {root}: no {CPU_LIBRARY} lies under lib; "
            + _which_instead(root.resolve(), [f"lib/*/{CPU_LIBRARY}"])
        )
    return _of_host(paths).resolve()


def _of_host(paths: Sequence[Path]) -> Path:
    """The path that is for x86-64 Linux, where there are several."""
    return next((path for path in paths if path.parent.name.startswith("x86_64-linux")), paths[0])


def dry_run(sdk: Sdk, model: Path, options: Sequence[str], folder: Path, limits: QuestionLimits) -> DryRun:
    """Check a model with the converter.

    Args:
        sdk: the SDK.
        model: the model's file, which the tool reads itself.
        options: further options of the tool.
        folder: the folder in which the tool runs and may write.
        limits: seconds and memory of the run.

    Raises:
        NotAvailable: the tool cannot be started.
    """
    words = [
        *(
            [str(sdk.converter)]
            if os.access(sdk.converter, os.X_OK)
            else [sys.executable, str(sdk.converter)]
        ),
        "--input_network",
        str(model.resolve()),
        "--output_path",
        str(folder / "model.dlc"),
        *options,
        "--dry_run",
    ]
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=_environment(sdk),
            start_new_session=True,
        )
    except OSError as error:
        reason = _why_not(sdk.converter, error)
        raise NotAvailable(f"{sdk.converter} cannot be started: {reason}") from None
    text, ended = _read(process, limits)
    if ended:
        _end(process)
    elif "\0" in text or text.count("\ufffd") > len(text) * _MOST_UNREADABLE:
        ended = "wrote binary output"
    status = process.wait()
    assert process.stdout is not None
    process.stdout.close()
    return DryRun(None if ended else status, text, ended)


def _why_not(converter: Path, error: OSError) -> str:
    """Why a program cannot be started; the system says the same of a missing interpreter."""
    if isinstance(error, FileNotFoundError) and converter.exists():
        with converter.open("rb") as stream:
            first = stream.readline(200)
        if first.startswith(b"#!"):
            named = first[2:].decode("utf-8", "replace").strip()
            return f"its first line names {plain(named)!r}, which this machine does not have"
    return error.strerror or str(error)


def _environment(sdk: Sdk) -> dict[str, str]:
    """The environment of this process, with the SDK's folders where its own scripts would add them."""
    root, target = str(sdk.root), sdk.converter.parent.name
    environment = dict(os.environ)
    environment.update(dict.fromkeys(_ROOTS, root))
    for name, folder in (("PYTHONPATH", "python"), ("LD_LIBRARY_PATH", target), ("PATH", "")):
        where = f"{root}/lib/{folder}" if folder else str(sdk.converter.parent)
        environment[name] = os.pathsep.join(filter(None, (where, environment.get(name, ""))))
    return environment


def _read(process: subprocess.Popen[bytes], limits: QuestionLimits) -> tuple[str, str]:
    """The output of the process, and why it must be stopped ("" if it ended by itself)."""
    assert process.stdout is not None
    said = bytearray()
    ended = ""
    deadline = time.monotonic() + limits.seconds
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not ended:
            if selector.select(_TICK):
                received = os.read(process.stdout.fileno(), 1 << 16)
                if not received:
                    break
                said += received
            if len(said) > MOST_OUTPUT:
                ended = f"printed more than {MOST_OUTPUT >> 20} MiB"
            elif time.monotonic() > deadline:
                ended = f"took longer than {limits.seconds:g} s"
            elif resident(process.pid) > limits.memory:
                ended = f"took more than {limits.memory / (1 << 30):g} GiB of memory"
    return said[:MOST_OUTPUT].decode("utf-8", "replace"), ended


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and the processes that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
