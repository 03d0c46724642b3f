"""docs/reference/command-line.md, from the parser of `python -m jaxconv`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from jaxconv._cli.arguments import parser

OPENING = """\
# Command line

`python -m jaxconv COMMAND`, or `jaxconv COMMAND` where it is installed. Sizes are
written 5 for one axis and 5x4 for two. {epilog}
"""


def page() -> str:
    top = parser()
    lines = [OPENING.format(epilog=top.epilog)]
    for name, about, command in _commands(top):
        lines += _section(name, about, command, 2)
    return "\n".join(lines)


def _commands(
    command: argparse.ArgumentParser,
) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """A parser's subcommands with their names and what is said about them."""
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            for listed in action._choices_actions:
                yield listed.dest, listed.help or "", action.choices[listed.dest]


def _section(
    name: str, about: str, command: argparse.ArgumentParser, level: int
) -> list[str]:
    lines = [f"{'#' * level} {name}", "", f"{_sentence(about)}.", ""]
    options = [_row(action) for action in command._actions if _is_shown(action)]
    if options:
        lines += ["| option | | default |", "| --- | --- | --- |", *options, ""]
    for inner, words, call in _commands(command):
        lines += _section(f"{name} {inner}", words, call, level + 1)
    return lines


def _sentence(about: str) -> str:
    return about[:1].upper() + about[1:]


def _is_shown(action: argparse.Action) -> bool:
    ours = (argparse._HelpAction, argparse._SubParsersAction)
    return not isinstance(action, ours)


def _row(action: argparse.Action) -> str:
    names = ", ".join(action.option_strings) or str(action.metavar or action.dest)
    takes = action.nargs != 0 and action.option_strings
    value = action.metavar or "|".join(map(str, action.choices or ()))
    written = f"{names} {value or action.dest.upper()}" if takes else names
    default = "needed" if action.required else _default(action)
    cells = (
        f"`{written}`".replace("|", "\\|"),
        (action.help or "").replace("|", "\\|"),
    )
    return f"| {' | '.join(cells)} | {default} |"


def _default(action: argparse.Action) -> str:
    if action.default is None or action.nargs == 0:
        return ""
    return f"`{action.default}`"
