"""Long runs: ``python -m tests.fuzz 20000 --seed 3``; one: ``--call "check(...)"``.

A child process does the work, so that a call which kills the process is a find like
any other, and the run goes on behind it.  A find is made as small as it gets and
printed as the line of Python that repeats it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
LOST = -1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after these")
    parser.add_argument(
        "--subject", default="all", help="conv, lax, accelerate, deform or all"
    )
    parser.add_argument("--engine", default="mixed", help="numpy, xla, eager or mixed")
    parser.add_argument("--call", help="check one call, as a find prints it")
    parser.add_argument(
        "--onednn", metavar="ROLE", help="geometries of oneDNN's: output, input, kernel"
    )
    parser.add_argument("--note", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.call is not None:
        return _one(given.call)
    if given.onednn is not None:
        from fuzz import onednn

        numbers = given.count, given.seed
        return onednn.parent(*numbers, given.onednn, given.seconds)
    return _parent(given) if given.note is None else _child(given)


def _one(line: str) -> int:
    import fuzz.settings  # noqa: F401
    from fuzz import subjects

    exec(line, vars(subjects))
    print("right")
    return 0


def _parent(given: argparse.Namespace) -> int:
    """Starts children until all calls are done; one that dies leaves its last call."""
    done, finds, start = 0, 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder, "call")
        while done < given.count:
            left = given.seconds - (time.monotonic() - start)
            if left <= 0:
                break
            command = [sys.executable, "-m", "tests.fuzz", str(given.count - done)]
            command += ["--seed", str(given.seed + done), "--note", str(note)]
            command += ["--subject", given.subject, "--engine", given.engine]
            command += ["--seconds", str(left)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
                assert child.stdout is not None
                before = done
                for line in child.stdout:
                    kind, _, rest = line.partition(" ")
                    if kind == "done":
                        done = before + int(rest)
                    else:
                        finds += kind == "FOUND"
                        print(line, end="", flush=True)
            if child.returncode:
                finds, done = finds + 1, done + 1
                last = note.read_text() if note.exists() else "before the first call"
                print(f"FOUND the process died ({child.returncode}):\n  {last}")
            elif left < given.seconds or done >= given.count:
                break
    print(f"{done} calls in {time.monotonic() - start:.0f} s, {finds} finds")
    return 1 if finds else 0


def _child(given: argparse.Namespace) -> int:
    import fuzz.settings  # noqa: F401
    from fuzz import runner, subjects

    strategy = subjects.drawn(given.subject, given.engine)
    start = time.monotonic()
    found = runner.blocks(
        strategy, given.seed, given.count, seconds=given.seconds, note=given.note
    )
    for done, find in found:
        print(f"done {done}")
        if find is not None:
            print(f"FOUND {find.error}\n  {find.line}")
        rate = done / (time.monotonic() - start)
        print(f"{done} calls, {rate:.1f}/s: {runner.summary()}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
