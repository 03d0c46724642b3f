"""Arguments, exit codes and one-line errors of `python -m jaxconv`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import jaxconv
from jaxconv._cli import check, demo
from jaxconv._cli.errors import UserError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, without the usage before them."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; `python -m jaxconv --help` lists what there is")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
      argv: the arguments after the program's name; None reads those of the process.

    Returns:
      0 if all is well, 1 if a result is wrong, 2 if the arguments are.
    """
    try:
        arguments = parser().parse_args(argv)
        return arguments.run(arguments)
    except UserError as error:
        print(f"jaxconv: {error}", file=sys.stderr)
        return 2
    except SystemExit as end:  # argparse, after --help and --version
        return int(end.code or 0)
    except KeyboardInterrupt:
        print("jaxconv: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, as `head`, has seen enough
        sys.stdout = open(os.devnull, "w")
        return 0


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="jaxconv",
        description="Convolutions and transposed convolutions for JAX.",
        epilog="Exit code: 0 all is well, 1 a result is wrong, 2 the arguments are.",
    )
    version = f"jaxconv {jaxconv.__version__}"
    top.add_argument("--version", action="version", version=version)
    commands = top.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=Parser
    )
    add = commands.add_parser
    _add_demo(add)
    _add_check(add)
    return top


def _add_demo(add: Callable[..., argparse.ArgumentParser]) -> None:
    about = "every implementation on a photo against a reference, and pictures"
    command = add("demo", help=about, description=about)
    _add_image(command)
    command.add_argument(
        "--out",
        type=Path,
        default=Path("out"),
        metavar="DIR",
        help="folder for the pictures, made if missing (default: out)",
    )
    command.set_defaults(run=lambda given: demo.run(given.image, given.out))


def _add_check(add: Callable[..., argparse.ArgumentParser]) -> None:
    about = "the same comparison without pictures"
    command = add("check", help=about, description=about)
    _add_image(command)
    command.add_argument(
        "--json", action="store_true", help="one JSON document on standard output"
    )
    command.set_defaults(run=lambda given: check.run(given.image, as_json=given.json))


def _add_image(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--image",
        type=Path,
        metavar="PATH",
        help="a picture to use in place of matplotlib's sample photo",
    )
