# SPDX-License-Identifier: BSD-2-Clause
"""--heap-budget: what it costs is kept to it, and what was allocated is still estimated without
bias, of who is slowed by the probes and of who is not."""
import json
import os
import re
import shutil
from dataclasses import dataclass

import pytest

import pprof_reader
from heap_harness import (
    INTERVAL,
    Heap,
    HeapLoad,
    amounts_of,
    arguments,
    check_heap,
    library,
    measure_pid,
    outputs,
    own_function,
)

BUDGET, RUNS, SECONDS = 5, 5, 10


@dataclass
class Estimate:
    ratio: float  # of the truth
    error: float  # half of the interval, of the truth
    share: float  # of the target's CPU time since slices began, percent


def own_libc(directory):
    """An environment in which nobody else's probes are in the allocator's code."""
    shutil.copy(library("libc.so.6"), directory / "libc.so.6")
    return {**os.environ, "LD_LIBRARY_PATH": str(directory)}


def estimate(directory, name, *load):
    argv = ["--heap", "0", "--heap-budget", BUDGET, *arguments(directory, "512K", name)]
    with HeapLoad("heap_life", *load, SECONDS, env=own_libc(directory)) as running:
        with Heap("--pid", running.pid, *argv) as heap:
            heap.wait_probed(running.pid)
            running.work()
            result = heap.end()
        assert running.end() == 0
    profile = pprof_reader.read(outputs(directory, name)[0])
    check_heap(profile)
    assert [t for t, _ in profile.sample_types] == ["alloc_objects", "alloc_space"]
    assert any("mode=alloc" in c for c in profile.comments), profile.comments
    assert "frees are not followed" in result.err and "random part" in result.err, result.err
    report = json.loads(outputs(directory, name)[1].read_text())
    assert report["mode"] == "alloc"
    assert report["cost"]["on_percent"] < 90, report["cost"]
    true = int(next(s for s in running.said if s.startswith("bytes ")).split()[1])
    total, ours = report["totals"], amounts_of(profile)["alloc_paced"].alloc_space
    processes = sum(p["alloc_space"] for p in report["processes"])
    assert abs(processes - total["alloc_space"]) <= 0.01 * total["alloc_space"]
    half = (total["alloc_space_high"] - total["alloc_space_low"]) / 2
    found = re.search(r"sliced_cpu_percent=([\d.e+-]+)", " ".join(profile.comments))
    out = Estimate(ours / true, half / true, float(found.group(1)))
    print(f"{load}: {ours / 1e9:.2f} GB of {true / 1e9:.2f}: {out}")
    return out


@pytest.mark.parametrize("load", [("busy", "300"), ("paced", "300")], ids=lambda load: load[0])
def test_estimates_within_a_budget(tmp_path, load):
    runs = [estimate(tmp_path, f"run{i}", *load) for i in range(RUNS)]
    for run in runs:
        assert abs(run.ratio - 1) <= 2 * run.error, runs
        assert run.share <= 1.5 * BUDGET, runs
    mean = sum(run.ratio for run in runs) / RUNS
    assert 0.85 < mean < 1.15, runs


def test_a_budget_that_suffices(tmp_path):
    run = measure_pid(tmp_path, "heap_life", "paced", "5", "2", interval=INTERVAL,
                      args=["--heap-budget", "90"])
    assert run.report["mode"] == "live" and run.report["cost"]["on_percent"] == 100
    assert own_function(run.profile.samples[0]) or run.profile.samples
