"""Runs the README from a wheel: `python tests/wheel_alone.py FOLDER WHEEL`.

The wheel is installed into a new environment, in FOLDER, that sees the packages of the
environment which runs this, but not this checkout.  So nothing is downloaded again, and
a file that the wheel lacks is missed.
"""

from __future__ import annotations

import os
import site
import subprocess
import sys
import venv
from pathlib import Path

TESTS = Path(__file__).resolve().parent
WHERE = "import jaxconv; print(jaxconv.__file__)"


def main(folder: Path, wheel: Path) -> int:
    venv.create(folder, with_pip=True)
    python = folder.resolve() / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", wheel.resolve()], check=True)
    (libraries,) = folder.resolve().glob("lib/python*/site-packages")
    (libraries / "others.pth").write_text("\n".join(site.getsitepackages()))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}

    def run(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
        command = [str(python), *map(str, words)]
        return subprocess.run(
            command, cwd=folder, env=environment, text=True, **options
        )

    found = run("-c", WHERE, capture_output=True, check=True).stdout.strip()
    if not Path(found).is_relative_to(libraries):
        print(f"jaxconv is imported from {found}, not from the wheel", file=sys.stderr)
        return 1
    test = TESTS / "test_readme.py"
    settings = ("-c", TESTS.parent / "pyproject.toml", "-p", "no:cacheprovider")
    return run("-m", "pytest", *settings, "-q", test).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
