"""What `import jaxconv` brings along: little beyond jax itself.

Modules are counted in place of seconds, which would depend on the machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Each takes long to import and is needed by a few functions only, or by none.
HEAVY = {
    *("scipy", "matplotlib", "PIL", "rich", "flax", "equinox", "haiku", "keras"),
    *("torch", "sklearn", "pandas"),
}
BEYOND_JAX = 40  # modules of others, of which jax.extend has most

PROGRAM = """
import json, sys
import jax
before = set(sys.modules)
import jaxconv
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_importing_is_light() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        **{"capture_output": True, "text": True, "check": True, "cwd": ROOT},
    )
    modules: list[str] = json.loads(done.stdout)
    assert "jaxconv" in modules
    assert not HEAVY & {name.partition(".")[0] for name in modules}
    assert not [name for name in modules if name.startswith("jax.experimental.sparse")]
    others = [name for name in modules if name.partition(".")[0] != "jaxconv"]
    assert len(others) <= BEYOND_JAX, others
