"""Puts the explorer's files together into one page that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

SCRIPTS = (
    "chinese.js",
    "rules.js",
    "arithmetic.js",
    "words.js",
    "code.js",
    "gif.js",
    "channels.js",
    "state.js",
    "drawing.js",
    "saving.js",
    "page.js",
    "player.js",
)


def page() -> str:
    """The whole explorer as one HTML document.

    Its content security policy names the hashes of its own style and scripts and allows
    nothing else: whatever else found its way in would neither run nor load.
    """
    style, scripts = read("style.css"), [read(name) for name in SCRIPTS]
    script_hashes = " ".join(map(_hash, scripts))
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {script_hashes}",
            f"style-src {_hash(style)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    parts = {
        "policy": policy,
        "style": style,
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    document = read("page.html")
    for name, part in parts.items():
        document = document.replace("{{" + name + "}}", part)
    return document


def read(name: str) -> str:
    """One of the explorer's own files."""
    return (
        resources.files("jaxconv._explorer").joinpath(name).read_text(encoding="utf-8")
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
