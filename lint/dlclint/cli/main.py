"""The command line: the parser of all commands, and running the one that the user names."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from dlclint.cli.apart import finish_command, function_of, run_apart
from dlclint.cli.ends import INTERRUPTED, TERMINATED, Terminated, internal_error
from dlclint.cli.errors import UsageError
from dlclint.cli.options import (
    cache,
    check,
    completions,
    confirm,
    encodings,
    equalize,
    explain,
    fix,
    init,
    ops,
    plan,
    rule,
    server,
    simulate,
    soc,
    zoo,
)
from dlclint.cli.options.helps import HELPS, epilog
from dlclint.cli.streams import drop_output, prepare_streams, refuse_closed_output
from dlclint.diagnostic import plain
from dlclint.version import __version__

COMMANDS = (
    check,
    fix,
    equalize,
    plan,
    simulate,
    confirm,
    encodings,
    explain,
    zoo,
    rule,
    ops,
    soc,
    init,
    cache,
    server,
    completions,
)
"""In the order in which `--help` lists them."""
_NAMES = tuple(command.__name__.rpartition(".")[2] for command in COMMANDS)
REPLACED = {
    "--bitwidth": "--act-bitwidth, --weights-bitwidth and --bias-bitwidth",
    "--axis-quant": "--use-per-channel-quantization",
    "--float-bw": "--float-bitwidth",
}
"""Options that the quantizer and the converter deprecate (80-63442-2 Rev BL, Tools), and their replacements.
"""


_NEGATIVE_SIZES = re.compile(r"-[0-9]+(?:,-?[0-9]+)+$")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with the nearest spelling of an unknown option."""

    def __init__(self, **settings: Any) -> None:
        # An abbreviation that is unique today may match a second option in a later release.
        super().__init__(allow_abbrev=False, **settings)

    def parse_known_args(self, *arguments: Any) -> Any:  # type: ignore[override]
        """As the parent does, but a word that a command does not know is an error at once."""
        words = arguments[0] if arguments else None
        for word in words or ():
            if _NEGATIVE_SIZES.match(word):  # argparse takes such a word for an option, and counts arguments
                self.error(f"{plain(word)} has sizes below 1; give numbers such as 1,3,224,224")
        namespace, rest = super().parse_known_args(*arguments)
        if rest:
            if rest[0].startswith("-"):
                self.error(f"unknown option {plain(rest[0])} of {self.prog}{self._near(rest[0])}")
            self.error(f"unexpected argument {plain(rest[0])!r} of {self.prog} (see {self.prog} --help)")
        return namespace, rest

    def _near(self, text: str) -> str:
        # Imported here because only a misspelling needs it.
        import difflib

        option = text.partition("=")[0]
        replaced = REPLACED.get(option.replace("_", "-"))
        if replaced:
            return f"; it is deprecated, give {replaced}"
        near = difflib.get_close_matches(option, list(self._option_string_actions), 1, 0.6)
        return f"; did you mean {near[0]}?" if near else f" (see {self.prog} --help)"

    def _print_message(self, message: str, file: Any = None) -> None:
        """As the parent does, which prints nothing where help or version cannot be written."""
        if message and file is not None:
            file.write(message)

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with status 2."""
        self.exit(2, f"dlclint: error: {message}\n")


class Paragraphs(argparse.HelpFormatter):
    """Help that keeps the line breaks of a text that has some."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" not in text:
            return super()._fill_text(text, width, indent)
        blocks = text.split("\n\n")
        return "\n\n".join(
            block if "\n" in block else super(Paragraphs, self)._fill_text(block, width, indent)
            for block in blocks
        )


def parser(asked: str = "") -> argparse.ArgumentParser:
    """The whole command line, or only the part that the named command needs."""
    top = Parser(
        prog="dlclint",
        description="Lint ONNX models before Qualcomm's DLC converters see them.",
        epilog="Exit status: 0 clean, 1 findings at or above --fail-on, 2 could not run, 70 internal error "
        "(DLCLINT_DEBUG=1 shows its traceback), 130 and 143 interrupted.",
    )
    top.add_argument("--version", action="version", version=f"dlclint {__version__}")
    # Whether a command runs in a process that native code may end, what is loaded here meanwhile, and whether
    # the command prints even if -o is given.
    top.set_defaults(apart=False, meanwhile="", prints=False, output=None)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    named = {command.__name__.rpartition(".")[2]: command for command in COMMANDS}
    for command in (named[asked],) if asked in named else COMMANDS:
        command.add(commands)
    for name, subparser in commands.choices.items():
        _explain(subparser, name)
        for action in subparser._actions if name == "encodings" else ():
            if isinstance(action, argparse._SubParsersAction):
                for inner, part in action.choices.items():
                    _explain(part, f"{name} {inner}")
    return top


def _explain(command: argparse.ArgumentParser, name: str) -> None:
    """Give a command its description, examples and exit statuses."""
    command.description = HELPS[name].about or command.description
    command.epilog, command.formatter_class = epilog(name), Paragraphs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    words = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    prepare_streams()
    if words[0].startswith("-") and words[0] not in ("-h", "--help", "--version"):
        name = plain(words[0].partition("=")[0])
        print(f"dlclint: error: {name} goes after a command: dlclint check {name} ...", file=sys.stderr)
        return 2
    if not words[0].startswith("-") and words[0] not in _NAMES:
        print(f"dlclint: error: {_unknown_command(words[0])}", file=sys.stderr)
        return 2
    try:
        args = _parsed(words)
        if args.prints or args.output is None:
            refuse_closed_output()
        status = _run(args)
        sys.stdout.flush()
        return status
    except UsageError as error:
        print(f"dlclint: error: {error}", file=sys.stderr)
        return 2
    except Terminated:
        return TERMINATED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        drop_output()
        return 141  # the status of a closed pipe in shells (128 + SIGPIPE): never mistaken for clean
    except OSError as error:
        drop_output()
        name = "the output" if error.filename is None else plain(str(error.filename))
        print(f"dlclint: error: cannot read or write {name}: {error.strerror or error}", file=sys.stderr)
        return 2
    except MemoryError:
        print("dlclint: error: memory ran out; give it more, or lint fewer files at once", file=sys.stderr)
        return 2
    except Exception as error:
        return internal_error(error)


def _run(args: argparse.Namespace) -> int:
    if not args.apart:
        return finish_command(function_of(args.run)(args))
    if not args.meanwhile:
        return run_apart(args.run, args)
    return run_apart(args.run, args, meanwhile=lambda: function_of(args.meanwhile)(args))


def _unknown_command(name: str) -> str:
    # Imported here because only a misspelling needs it.
    import difflib

    near = difflib.get_close_matches(name, _NAMES, 1, 0.6)
    known = f"did you mean {near[0]}?" if near else f"commands are {', '.join(_NAMES)}"
    return f"unknown command {plain(name)!r}; {known}"


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    try:
        return parser(words[0] if words else "").parse_args(words)
    except SystemExit:
        sys.stdout.flush()  # what --help and --version print must be written too
        raise
