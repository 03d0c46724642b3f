"""`python -m jaxconv`."""

from __future__ import annotations

import sys

from jaxconv._cli.arguments import main as main

if __name__ == "__main__":
    sys.exit(main())
