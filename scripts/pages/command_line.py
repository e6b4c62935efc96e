"""Every option of every command, read from the parsers.

Python's own help text differs between Python versions and terminal widths, so this is laid out here.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from dlclint.cli.main import parser
from pages._markdown import table


def files() -> dict[str, str]:
    """docs/reference/command-line.md."""
    top = parser()
    blocks = [f"# Command line\n\n{top.description}\n\n{top.epilog}\n"]
    for title, about, command in commands_below(top, "dlclint"):
        blocks.append(f"## {title}\n\n{about}\n\n{_tables(command)}".rstrip() + "\n")
    return {"docs/reference/command-line.md": "\n".join(blocks)}


def commands_below(
    parent: argparse.ArgumentParser, name: str
) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Title, one sentence and parser of every command below one, including those with own actions."""
    for action in parent._actions:
        if isinstance(action, argparse._SubParsersAction):
            about = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for choice, command in action.choices.items():
                sentence = about.get(choice, "")
                yield f"{name} {choice}", f"{sentence[:1].upper()}{sentence[1:]}.", command
                yield from commands_below(command, f"{name} {choice}")


def _tables(command: argparse.ArgumentParser) -> str:
    blocks = []
    for group in command._action_groups:
        rows = [(_spelled(action), meaning(action)) for action in shown_actions(group)]
        if rows:
            # Python's own titles of these two groups differ between its versions.
            own = group in (command._positionals, command._optionals)
            title = "" if own else group.title or ""
            head = "argument" if group is command._positionals else "option"
            caption = f"{title[:1].upper()}{title[1:]}:\n\n" if title else ""
            blocks.append(caption + table((head, "meaning"), rows))
    return "\n".join(blocks)


def shown_actions(group: argparse._ArgumentGroup) -> Iterator[argparse.Action]:
    """The arguments and options of a group, without help, commands and options kept only for old scripts."""
    for action in group._group_actions:
        hidden = action.help == argparse.SUPPRESS
        if not hidden and not isinstance(action, (argparse._HelpAction, argparse._SubParsersAction)):
            yield action


def _spelled(action: argparse.Action) -> str:
    value = value_of(action)
    if not action.option_strings:
        return f"`{value}`"
    return ", ".join(f"`{option} {value}`" if value else f"`{option}`" for option in action.option_strings)


def value_of(action: argparse.Action) -> str:
    """The value after an option, or the name of an argument; "" for a switch."""
    if action.nargs == 0:
        return ""
    value = action.metavar or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else "")
    shown = " ".join(value) if isinstance(value, tuple) else value
    if action.option_strings:
        return shown
    shown = f"{shown} ..." if action.nargs in ("+", "*") else shown
    return f"[{shown}]" if action.nargs in ("?", "*") else shown


def meaning(action: argparse.Action) -> str:
    """What an option does, with its choices."""
    text = (action.help or "") % vars(action)
    if action.choices and action.metavar:
        text += f" ({', '.join(map(str, action.choices))})"
    if action.required and action.option_strings:
        text += " (required)"
    return text
