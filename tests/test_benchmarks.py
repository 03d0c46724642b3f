"""The benchmarks measure what they say: shapes, agreement, ratios, one run in full."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import driver, lowerings, regret, report, run, summary
from benchmarks.layers import LAYERS, MEASURED
from benchmarks.lowerings_worker import Lowerings, contraction
from benchmarks.peers import build, jax_cell, jaxconv_cell, to_numpy
from benchmarks.table import FURTHER, KNOWN, WORKLOADS, in_turn
from benchmarks.worker import sketch
from benchmarks.workloads import (
    FAMILIES,
    ROLES,
    TITLES,
    described_workload,
    workload,
)

ROOT = Path(__file__).parent.parent
COUNTS = {
    "dense": 9,
    "depthwise": 6,
    "grouped": 4,
    "transposed": 9,
    "3d": 1,
    "1d": 1,
}

# Small, with pairwise different sizes; one for every way through the peers.
SMALL = (
    workload("dense", 2, (9, 8), 3, 5, (3, 2), (2, 1), (1, 0), (1, 2)),
    workload("1d causal", 2, 11, 4, 6, 3, 1, ((2, 0),), groups=2),
    workload("dense bf16", 2, (6, 7), 3, 5, 2, dtype="bfloat16"),
    workload("dense f64", 2, (6, 7), 3, 5, 2, dtype="float64"),
    workload("dense scan", 2, (6, 7), 3, 5, 2, context="scan", count=4),
    workload("dense vmap", 2, (6, 7), 3, 5, 2, context="vmap", count=4),
    workload("transposed", 2, (5, 4), 6, 9, 3, 2, 1, 1, 3, (1, 0)),
    workload("transposed 3d", 2, (2, 3, 4), 3, 2, 2, (1, 2, 3), 0, (2, 1, 1)),
    workload(
        *("grouped last", 2, (9, 8), 6, 4, (3, 2), (2, 1), (1, 0), 1, 2),
        layout="channels_last",
    ),
    workload(
        *("transposed last", 2, (5, 4), 6, 9, 3, 2, 1, 1, 3, (1, 0)),
        layout="channels_last",
    ),
    workload("dense periodic", 2, (6, 7), 3, 5, 3, 1, 1, padding_mode="circular"),
    workload(
        *("dense periodic last", 2, (6, 7), 3, 5, 3, 1, 1),
        **{"padding_mode": "circular", "layout": "channels_last"},
    ),
)


# The table ----------------------------------------------------------------------------


def test_names_are_unique_and_every_family_is_there():
    names = [w.name for w in WORKLOADS]
    assert len(set(names)) == len(names)
    assert {f: sum(w.family == f for w in KNOWN) for f in FAMILIES} == COUNTS
    assert len(KNOWN) == 30
    assert len(FURTHER) >= 15
    order = in_turn(WORKLOADS)
    assert sorted(names) == sorted(w.name for w in order)
    assert [w.family for w in order[: len(FAMILIES)]] == list(FAMILIES)


def test_the_layers_are_many_and_of_every_kind():
    names = [w.name for w in (*WORKLOADS, *LAYERS)]
    assert len(set(names)) == len(names)
    assert len(ROLES) * len(MEASURED) >= 250
    assert {w.batch for w in LAYERS} >= {1, 2, 4, 8, 16, 32, 64}
    for family in FAMILIES:
        members = [w for w in LAYERS if w.family == family]
        assert {w.layout for w in members} == {"channels_first", "channels_last"}
        assert len(members) >= 8


@pytest.mark.parametrize("w", [*WORKLOADS, *LAYERS], ids=lambda w: w.name)
def test_names_say_the_arguments(w):
    found = dict(re.findall(r"\b(s|d|g|k|op)(\d+)\b", w.name))
    window = re.search(r"(?<![-@\d])(\d+(?:x\d+)+)\b", w.name)
    channels = re.search(r"(\d+)(?:-(\d+))?@(\d+)", w.name)
    if window:
        assert w.kernel == tuple(map(int, window[1].split("x")))
    if "k" in found:
        assert w.kernel == (int(found["k"]),) * len(w.space)
    assert window or "k" in found
    assert w.stride == (int(found.get("s", 1)),) * len(w.space)
    assert w.dilation == (int(found.get("d", 1)),) * len(w.space)
    assert w.output_padding == (int(found.get("op", 0)),) * len(w.space)
    assert w.groups == (w.c_in if "depthwise" in w.name else int(found.get("g", 1)))
    assert (w.layout == "channels_last") == w.name.endswith(" last")
    if channels:
        c_in, c_out, space = channels.groups()
        assert (w.c_in, w.c_out) == (int(c_in), int(c_out or c_in))
        assert w.space[0] == int(space)
    assert w.transposed == (w.family == "transposed")
    assert {"1d": 1, "3d": 3}.get(re.findall(r"\d+d\b|$", w.name)[0], 2) == len(w.space)


@pytest.mark.parametrize("w", [*WORKLOADS, *LAYERS], ids=lambda w: w.name)
def test_jaxconv_admits_every_cell(w):
    with jax.enable_x64(w.dtype == "float64"):
        operands = {k: jax.ShapeDtypeStruct(s, w.dtype) for k, s in w.shapes.items()}
        for role, letter in zip(ROLES, "yxw", strict=True):
            got = jax.eval_shape(jaxconv_cell(w, role), **operands)
            assert (got.shape, got.dtype) == (w.shapes[letter], jnp.dtype(w.dtype))


# The peers ----------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("w", SMALL, ids=lambda w: w.name)
def test_peers_agree(w, role):
    wanted = to_numpy(build("lax", w, role).call())
    ready = build("jaxconv", w, role)
    assert driver.difference(to_numpy(ready.call()), wanted) < driver.tolerance(w, role)
    roles = {"forward": "output", "input": "input", "kernel": "kernel"}
    if w.transposed:
        roles |= {"forward": "input", "input": "output"}
    assert ready.lowering is not None
    assert ready.lowering.split(".")[0] == roles[role]
    assert ready.temp_bytes is not None


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("w", SMALL, ids=lambda w: w.name)
def test_torch_agrees(w, role):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    wanted = to_numpy(build("lax", w, role).call())
    got = to_numpy(build("torch", w, role).call())
    assert driver.difference(got, wanted) < driver.tolerance(w, role)


def test_a_vmapped_kernel_is_not_shared():
    """The context matters: with one kernel for all, the values would differ."""
    (w,) = (w for w in SMALL if w.context == "vmap")
    arrays = {k: jnp.asarray(v) for k, v in w.arrays().items()}
    cell = jax_cell(lambda x, k: x.sum() * k.sum(), w, "forward")
    assert cell(**arrays).shape == (w.count,)


@pytest.mark.parametrize("size", [7, 70_000, 200_003])
def test_a_sketch_shows_every_element(size, rng):
    values = rng.standard_normal(size)
    assert driver.difference(sketch(values), sketch(values)) == 0
    for position in (0, size // 2, size - 1):
        changed = values.copy()
        changed[position] += 0.5
        assert driver.difference(sketch(changed), sketch(values)) > 0.1


def test_difference_refuses_other_shapes_and_nans():
    values = np.array([1.0, -2.0])
    assert driver.difference(values[:1], values) == math.inf
    assert driver.difference(values * np.nan, values) == math.inf
    assert driver.difference(values + np.eye(2)[1], values) == pytest.approx(0.4**0.5)


# Ratios and report --------------------------------------------------------------------


def synthetic() -> dict:
    """jaxconv, lax, torch in ms; the last jaxconv failed."""
    times = [
        ("dense a", "forward", 2.0, 8.0, 1.0),
        ("dense a", "kernel", 4.0, 2.0, 16.0),
        ("dense b", "forward", 3.0, 3.0, 12.0),
        ("grouped c", "input", 5.0, 500.0, None),
        ("grouped c", "kernel", None, 7.0, 9.0),
    ]
    cells = []
    for name, role, *milliseconds in times:
        peers = {
            peer: {"error": "died"} if ms is None else {"min_s": ms / 1e3}
            for peer, ms in zip(("jaxconv", "lax", "torch"), milliseconds, strict=True)
        }
        family = name.split()[0]
        cells.append({"workload": name, "family": family, "role": role, "peers": peers})
    return {
        "date": "2030-01-02",
        "device": {"name": "A processor", "cores": 2},
        "versions": {"jax": "9.8.7"},
        "left_out": [
            {"workload": "dense z", "role": role, "reason": "out of time"}
            for role in ("input", "kernel")
        ],
        "cells": cells,
    }


def test_ratios_and_geometric_means():
    result = synthetic()
    assert summary.ratios(result["cells"], "lax") == pytest.approx([4, 0.5, 1, 100])
    head, lines = summary.mean_table(result)
    assert head[1:] == [*TITLES.values(), "all"]
    assert lines == [
        ["dense", "2.00× / 1.41×", "- / -", "0.500× / 4.00×", "1.26× / 2.00×"],
        ["grouped", "- / -", "100× / -", "- / -", "100× / -"],
        ["all", "2.00× / 1.41×", "100× / -", "0.500× / 4.00×", "3.76× / 2.00×"],
    ]
    assert [c["role"] for c in summary.behind(result, "lax")] == ["kernel"]
    assert [c["role"] for c in summary.behind(result, "torch")] == ["forward"]


def test_report_replaces_what_stands_between_its_markers(tmp_path):
    source, page = tmp_path / "result.json", tmp_path / "page.md"
    source.write_text(json.dumps(synthetic()))
    marks = "".join(
        f"<!-- {name}:begin -->\nold\n<!-- {name}:end -->\nafter\n"
        for name in ("benchmarks", "cells")
    )
    page.write_text(f"before\n{marks}")
    picture = tmp_path / "img" / "bars.png"
    arguments = [str(source), "--picture", str(picture), "--write", str(page)]
    assert report.main(arguments) == 0
    text = page.read_text()
    assert report.main(arguments) == 0
    assert page.read_text() == text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "](img/bars.png)" in text
    assert "A processor, 2 cores; jax 9.8.7; 2030-01-02" in text
    assert "| dense a | 2.00 (4.00× / 0.500×) |  | 4.00 (0.500× / 4.00×) |" in text
    assert "| grouped c |  | 5.00 (100× / -) | failed |" in text
    assert "1 of 4 cells: dense a (kernel gradient)." in text
    assert "jaxconv: failed in 1 cells" in text
    assert "Not measured (out of time): 2 cells of dense z." in text
    assert picture.stat().st_size > 10_000


def test_report_wants_its_markers():
    with pytest.raises(ValueError, match="one line"):
        report.insert("<!-- cells:begin --> and no end", {"cells": "block"})
    with pytest.raises(ValueError, match="no marker lines for cells"):
        report.insert("neither", {"cells": "block"})


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0.01234, "0.0123"), (1.0, "1.00"), (99.96, "100"), (1234.5, "1234")],
)
def test_numbers_have_three_digits(value, shown):
    assert summary.number(value) == shown


# A run --------------------------------------------------------------------------------


def test_slow_cells_are_left_out_unless_asked_for():
    quick, left_out = run._tasks(None, full=False)
    every, nothing = run._tasks(None, full=True)
    assert len(every) == 3 * len(WORKLOADS)
    assert nothing == []
    assert all(w.default and role not in w.slow for w, role in quick)
    assert len(left_out) == sum(len(w.slow) for w in WORKLOADS if w.default) > 0


def test_rounds():
    assert [driver._most_rounds(s) for s in (0.1, 2.1, 5.1)] == [driver.ROUNDS[1], 2, 1]
    got = driver.statistic([4.0, 1.0, 3.0, 2.0, 5.0])
    assert got == {"min_s": 1, "median_s": 3, "spread": 2 / 3, "rounds": 5}
    assert driver.statistic([2.5])["spread"] is None


class FakePeer:
    """Answers as a worker does, from given values and times."""

    def __init__(self, log, name, values, first_s):
        self.log, self.name, self.values, self.first_s = log, name, values, first_s

    def ask(self, do, timeout, **arguments):
        self.log.append((do, self.name))
        if do == "run":
            return {"seconds": self.first_s / 2}
        np.save(arguments["path"], self.values)
        return {"first_s": self.first_s}


def test_peers_take_turns_and_a_wrong_one_is_not_timed(tmp_path, rng):
    right, log = rng.standard_normal(100), []
    peers = {
        "jaxconv": FakePeer(log, "jaxconv", right + 1e-9, 0.3),
        "lax": FakePeer(log, "lax", right, 3.0),
        "torch": FakePeer(log, "torch", right + np.eye(100)[99] / 10, 0.1),
    }
    limits = driver.Limits(cell_s=0.0, build_s=1.0)
    cell = driver.measure(SMALL[0], "kernel", peers, tmp_path, limits)
    assert log[0] == ("build", "lax")  # the reference comes first
    turns = [name for do, name in log if do == "run"]
    assert turns == ["lax", *["jaxconv"] * driver.ROUNDS[0]]
    assert cell["peers"]["lax"]["rounds"] == 2  # with the long first run
    assert cell["peers"]["lax"]["min_s"] == 1.5
    assert "wrong values" in cell["peers"]["torch"]["error"]
    assert "min_s" not in cell["peers"]["torch"]
    assert list(cell["peers"]) == list(peers)
    assert cell["arguments"]["kernel"] == SMALL[0].kernel


def test_a_worker_that_dies_is_told_and_replaced():
    handle = driver.Handle("lax", 1)
    try:
        with pytest.raises(driver.WorkerError, match="died with status"):
            handle.ask("no_such_method", 60)
        assert "jax" in handle.ask("describe", 60)["versions"]
    finally:
        handle.stop()


def test_one_cell_in_full(tmp_path):
    path = tmp_path / "result.json"
    command = [sys.executable, "-m", "benchmarks.run", "--peers", "jaxconv,lax"]
    command += ["--only", "dense lenet.*forward", "--cores", "1", "--minutes", "0.1"]
    done = subprocess.run(
        [*command, "--before", str(ROOT), "--json", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(path.read_text())
    (cell,) = result["cells"]
    assert (cell["workload"], cell["role"]) == ("dense lenet 5x5 1-32@28", "forward")
    assert set(cell["peers"]) == {"jaxconv", "lax", "before"}
    for entry in cell["peers"].values():
        assert entry["rounds"] >= driver.ROUNDS[0]
        assert 0 < entry["min_s"] <= entry["median_s"]
        assert entry["lower_s"] > 0
        assert entry["compile_s"] > 0
    assert cell["peers"]["jaxconv"]["lowering"].startswith("output.")
    assert result["versions"]["jax"] == jax.__version__
    assert result["device"]["cores"] == 1
    assert "dense lenet 5x5 1-32@28" in done.stdout
    assert "cells" in done.stdout
    assert "Against the other checkout:" in done.stdout


# Every lowering -----------------------------------------------------------------------


@pytest.mark.parametrize("w", SMALL, ids=lambda w: w.name)
def test_a_workload_is_read_back_from_a_result_file(w):
    again = described_workload(w.name, json.loads(json.dumps(w.described())))
    assert again == w
    for role, wanted in zip(ROLES, ("output", "input", "kernel"), strict=True):
        case = contraction(w, role)
        swapped = {"output": "input", "input": "output"} if w.transposed else {}
        assert case.role == swapped.get(wanted, wanted)
        assert case.spec.layout == w.layout
        assert case.dtype == jnp.dtype(w.dtype)


def timed_cell(tmp_path, only, **known):
    """Measures in a process of its own, on from what is known; the file's cells."""
    path = tmp_path / "lowerings.json"
    command = [sys.executable, "-m", "benchmarks.run", "--all-lowerings"]
    command += ["--peers", "jaxconv", "--cores", "1", "--only", only]
    done = subprocess.run(
        [*command, "--json", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return path, json.loads(path.read_text())


def test_every_lowering_of_a_cell_is_timed_and_a_second_run_adds_what_lacks(tmp_path):
    only = "dense resnet18 3x3 512@7 last, forward"
    path, result = timed_cell(tmp_path, only)
    (cell,) = result["cells"]
    assert cell["arguments"]["layout"] == "channels_last"
    assert {"xla", "lax", "taps", cell["chosen"]} <= set(cell["seconds"])
    assert not {"window", "matrix", "cudnn"} & set(cell["seconds"])
    assert all(0 < s < 60 for s in cell["seconds"].values())
    assert result["versions"]["jax"] == jax.__version__
    assert result["device"]["features"] == lowerings.features()
    # What is known stays, what is missing is measured.
    cell["seconds"] |= {"xla": 1e-9}
    del cell["seconds"]["taps"]
    lowerings.write(path, result)
    (again,) = timed_cell(tmp_path, only)[1]["cells"]
    assert again["seconds"]["xla"] == 1e-9
    assert again["seconds"]["taps"] > 1e-6
    assert again["seconds"]["lax"] == cell["seconds"]["lax"]


def test_lowerings_that_differ_are_told(monkeypatch):
    """The worker compares each with the first, and the driver does not time it."""
    worker = Lowerings()
    asked = {"workload": "dense dcgan 4x4 512-1@4 last", "role": "forward"}
    assert worker.build(**asked, name="xla")["difference"] == 0
    worker.reference = worker.reference + 1
    assert worker.build(**asked, name="lax")["difference"] > 0.01


class FakeLowerings:
    """A worker with given times, whose second lowering is wrong and third stops it."""

    running = True

    def __init__(self, seconds):
        self.seconds, self.log = seconds, []

    def ask(self, do, timeout, **arguments):
        self.log.append((do, arguments.get("name") or arguments.get("names")))
        if do == "names":
            return {"names": [*self.seconds, "stuck"], "chosen": "a"}
        if do == "turn":
            return {name: self.seconds[name] for name in arguments["names"]}
        name = arguments["name"]
        if name == "stuck":
            self.running = False
            raise driver.WorkerError("no answer")
        off = 1.0 if name == "wrong" else 0.0
        told = {"first_s": self.seconds.get(name, 0.3), "compile_s": 0.5}
        return told | {"difference": off}


def test_slow_lowerings_are_cut_and_wrong_ones_are_not_timed(tmp_path):
    fake = FakeLowerings(
        {"a": 0.1, "near": 0.12, "far": 0.2, "hopeless": 3.0, "wrong": 0.01, "lax": 0.1}
    )
    cell = lowerings.measure(SMALL[0], "forward", {"lowerings": fake}, tmp_path, None)
    assert cell["seconds"] == {k: v for k, v in fake.seconds.items() if k != "wrong"}
    assert cell["once"] == ["hopeless"]
    assert set(cell["not_timed"]) == {"wrong", "stuck"}
    turns = [names for do, names in fake.log if do == "turn"]
    assert ["far" in names for names in turns[:4]] == [True, True, True, False]
    assert all("near" in names and "hopeless" not in names for names in turns)
    # The process that was stopped had lost those built before.
    builds = [name for do, name in fake.log if do == "build"]
    after = builds[builds.index("stuck") + 1 :]
    assert after[: builds.index("stuck")] == builds[: builds.index("stuck")]
    again = lowerings.measure(SMALL[0], "forward", {"lowerings": fake}, tmp_path, cell)
    assert again is None


def test_regret_is_the_chosen_time_over_the_least(tmp_path):
    w = SMALL[0]
    case = contraction(w, "forward")
    chosen = regret.label(case, regret.place(False))
    seconds = {chosen: 0.3, "quicker": 0.2, "onednn": 0.1, "lax": 0.6, "torch": 0.15}
    cell = {"workload": w.name, "role": "forward", "arguments": w.described()}
    table = {"cells": [cell | {"seconds": seconds}]}
    (found,) = regret.regrets(table, onednn=False)
    assert (found.best, found.ratio) == ("quicker", pytest.approx(1.5))
    assert found.over("lax") == pytest.approx(2)
    assert found.over("torch") == pytest.approx(0.5)
    cell["seconds"] = {"quicker": 0.2}
    (found,) = regret.regrets({"cells": [cell]}, onednn=False)
    assert found.ratio == math.inf


def test_the_tables_of_the_pages_come_from_a_committed_result():
    """And the README's has a time of PyTorch in each of its at most eight rows."""
    readme = (report.ROOT / "README.md").read_text(encoding="utf-8")
    page = (report.ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    made = []
    for path in (report.ROOT / "benchmarks" / "results").glob("*.json"):
        result = json.loads(path.read_text())
        if "cells" not in result or path in regret.tables():
            continue
        if summary.rivals(result):
            made.append((report.layers(result), report.cells(result)))
    (table,) = {rows for rows, cells in made if rows in readme and cells in page}
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    assert 5 < len(rows) <= 8
    assert all(re.fullmatch(r".*\| [\d.]+ \|", row) for row in rows)
