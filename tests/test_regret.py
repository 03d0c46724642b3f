"""The plan's choices against the times of every lowering, in the committed tables."""

import json
import math

import pytest

from benchmarks import regret
from benchmarks.layers import MEASURED
from benchmarks.summary import geometric_mean
from benchmarks.workloads import ROLES
from jaxconv._lowerings import LOWERINGS
from jaxconv._plan.choose import RULES

MEAN, MOST = 1.05, 1.5  # of the regrets of a table
TABLES = {path.name: json.loads(path.read_text()) for path in regret.tables()}

over_tables = pytest.mark.parametrize("name", TABLES)
with_and_without = pytest.mark.parametrize("onednn", [True, False])


@over_tables
@with_and_without
def test_the_plan_chooses_nearly_the_quickest(name, onednn):
    found = list(regret.regrets(TABLES[name], onednn=onednn))
    assert len(found) >= (200 if onednn else 250)
    far = [r for r in found if not r.ratio <= MOST]
    assert not far, "\n".join(map(str, far))
    assert geometric_mean([r.ratio for r in found]) <= MEAN


@over_tables
@with_and_without
def test_nothing_is_much_slower_than_lax(name, onednn):
    """`xla` is lax's own convolution: what differs there is the noise of the table."""
    found = list(regret.regrets(TABLES[name], onednn=onednn))
    over = {r: v for r in found if r.chosen != "xla" and (v := r.over("lax"))}
    assert len(over) > 100
    assert not {r.workload: v for r, v in over.items() if v < 0.85}
    assert geometric_mean(list(over.values())) > 2


@over_tables
def test_a_table_says_what_it_was_measured_on(name):
    table = TABLES[name]
    assert {"name", "cores", "features"} <= set(table["device"])
    assert {"jax", "jaxlib", "python"} <= set(table["versions"])
    layers = {w.name: w for w in MEASURED}
    for cell in table["cells"]:
        assert cell["role"] in ROLES
        # What is measured under a name does not change once it stands in a table.
        described = json.loads(json.dumps(layers[cell["workload"]].described()))
        assert described == cell["arguments"]
        assert all(0 < s < math.inf for s in cell["seconds"].values())


def test_every_planned_lowering_is_best_somewhere():
    """By some table, in some cell; but for what keeps a NaN in its group."""
    best = set()
    for table in TABLES.values():
        for onednn in (True, False):
            best |= {r.best for r in regret.regrets(table, onednn=onednn)}
    planned = {rule.name for rule in RULES if "cpu" in rule.platforms}
    planned -= {rule.name for rule in RULES if rule.partitioned} | {"separate"}
    assert planned <= {name.split(",")[0] for name in best} | {"xla"}
    assert planned <= set(LOWERINGS)
