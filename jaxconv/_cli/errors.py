"""What a user of the command line got wrong."""

from __future__ import annotations


class UserError(Exception):
    """One line: what is wrong and what to write instead."""


def missing(package: str, purpose: str) -> UserError:
    """The error for a package that an extra of jaxconv brings."""
    remedy = "install it with: pip install 'jaxconv[viz]'"
    return UserError(f"{purpose} needs {package}, which is not installed; {remedy}")
