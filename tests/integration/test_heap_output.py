# SPDX-License-Identifier: BSD-2-Clause
"""What a heap run tells: JSON, text, comments; what is partial is marked; what it costs is
said."""
import json
import re
import time

import pytest

import pprof_reader
from harness import cprof, cprofd, to_text
from heap_harness import (
    INTERVAL,
    SETTLE_S,
    Heap,
    HeapLoad,
    amounts_of,
    arguments,
    check_heap,
    measure,
    measure_pid,
    outputs,
)
from test_output import in_pty


@pytest.fixture(name="run", scope="module")
def run_once(tmp_path_factory):
    """One run at the default interval in every format."""
    directory = tmp_path_factory.mktemp("heap")
    more = [a for s in ("txt", "folded") for a in ("-o", directory / f"heap.{s}")]
    run = measure_pid(directory, "heap_truth", "60", "16", interval=INTERVAL, args=more)
    run.directory = directory
    return run


COLUMNS = [("alloc_objects", 0), ("alloc_space", 1), ("inuse_objects", 2), ("inuse_space", 3)]


def test_json_agrees_with_the_profile(run):
    report, totals = run.report, run.report["totals"]
    assert report["mode"] == "live" and report["interval_bytes"] == INTERVAL
    assert report["sources"] == ["uprobe"] and not report["is_partial"]
    for column, value in COLUMNS:
        assert totals[column] == pytest.approx(run.profile.total(value=value), rel=1e-3), column
    for column in [c for c, _ in COLUMNS] + ["alloc_samples", "inuse_samples"]:
        parts = sum(site[column] for site in report["sites"])
        assert parts == pytest.approx(totals[column], rel=1e-3), column
    assert totals["alloc_samples"] == run.counters["profiled"]


def test_json_has_intervals(run):
    """Sites are what a function allocates; 19 in 20 true values should lie in their intervals."""
    truth = run.truth.amounts()
    hits = misses = 0
    for site in run.report["sites"]:
        name = site["function"].split("(")[0]
        for kind in ("alloc", "inuse"):
            low, high = site[f"{kind}_space_low"], site[f"{kind}_space_high"]
            assert low <= site[f"{kind}_space"] <= high
            if name in truth and site[f"{kind}_samples"] >= 10:
                is_hit = low <= getattr(truth[name], f"{kind}_space") <= high
                hits, misses = hits + is_hit, misses + (not is_hit)
    assert hits >= 10 and misses <= max(3, 0.2 * hits), (hits, misses)


def test_ages_add_up(run):
    ages = run.report["ages"]
    assert [a["below_s"] for a in ages] == [1, 10, 60, 600, None]
    assert sum(a["inuse_space"] for a in ages) == pytest.approx(
        run.report["totals"]["inuse_space"], rel=1e-3)


def test_processes_beside_their_rss(run):
    (process,) = run.report["processes"]
    assert process["rss_bytes"] > 1 << 20 and process["rss_start_bytes"] > 1 << 20
    for column, _ in COLUMNS:
        assert process[column] == run.report["totals"][column]


def test_cost_is_told(run):
    cost = run.report["cost"]
    counters = run.counters
    assert cost["alloc_hits"] == counters["fired"] - counters["filtered"], (cost, counters)
    assert 0 < cost["cpu_percent"] <= 100, cost
    assert cost["free_hits"] > 0
    assert 50 < cost["ns_per_hit"] < 100000
    text = run.result.err + to_text(run.result.out)
    assert re.search(r"ns (per|a) hit", text), text
    assert any("ns" in c and "hit" in c for c in run.profile.comments), run.profile.comments


def test_text(run):
    """The view on the terminal and in a .txt file."""
    for text in (to_text(run.result.out), (run.directory / "heap.txt").read_text()):
        for word in ("inuse_space", "alloc_space", "RSS", "alloc_"):
            assert word in text, f"'{word}' in: {text}"
    shown = to_text(run.result.out) + run.result.err
    assert re.search(r"not (the )?RSS|is not RSS", shown), shown
    assert "before" in shown, "that older blocks are not seen"


def test_folded(run):
    """VALUE is the default sample type's."""
    total = sum(int(line.rpartition(" ")[2])
                for line in (run.directory / "heap.folded").read_text().splitlines())
    assert total == run.profile.total(value=3)


def test_cprof_reads_it(run):
    path = outputs(run.directory)[0]
    for sample_type in ("inuse_space", "alloc_objects"):
        shown = cprof("top", f"--sample-type={sample_type}", path)
        if shown.status == 2:
            shown = cprof("top", path)
        assert shown.status == 0, shown.err
        assert "alloc_" in shown.text or "malloc" in shown.text


def test_progress_tells_the_cost(tmp_path):
    with HeapLoad("heap_life", "paced", "100", "20") as load:
        load.go()
        shown = in_pty("--pid", load.pid, "--heap", "3s", "-o", tmp_path / "x.pb.gz")[1]
    assert re.search(rb"lost  probes take [\d.e+]+ % of its CPU", shown), shown


def test_an_empty_window(tmp_path):
    """Nothing was allocated: still a profile, without a division by nothing."""
    more = ["-o", tmp_path / "x.txt", "-o", tmp_path / "x.json", "-o", tmp_path / "x.pb.gz"]
    with HeapLoad("heap_life", "sleep") as load:
        with Heap("--pid", load.pid, "--heap", "500ms", *more) as running:
            running.end_by_itself()
    profile = pprof_reader.read(tmp_path / "x.pb.gz")
    check_heap(profile, INTERVAL)
    assert not profile.samples
    report = json.loads((tmp_path / "x.json").read_text())
    assert report["totals"]["inuse_space"] == 0 and not report["sites"]


def test_beside_another_kind(tmp_path):
    """Two kinds of one run; the CPU profile is that of the same target."""
    with HeapLoad("heap_sum", "2") as load:
        result = cprofd("--pid", load.pid, "--heap", "1s", "--cpu", "1s", "-F", "999", "-o",
                        f"{tmp_path}/")
        assert result.status == 0, result.err
        load.go()
        assert load.end() == 42
    heap = pprof_reader.read(tmp_path / "heap.pb.gz")
    check_heap(heap, INTERVAL)
    cpu = pprof_reader.read(tmp_path / "cpu.pb.gz")
    assert cpu.total() > 100 and heap.total() > 0
    assert {s.pid for s in cpu.samples} == {load.pid}


def test_sites_that_grow(tmp_path):
    """A leak is told from what only comes and goes."""
    argv = ["--heap", "2s", *arguments(tmp_path, "64K")]
    with HeapLoad("heap_life", "grow") as load:
        with Heap("--pid", load.pid, *argv) as running:
            running.wait_probed(load.pid)
            load.go()
            result = running.end_by_itself()
        load.stop()
    report = json.loads(outputs(tmp_path)[1].read_text())
    grown = [s["function"] for s in report["sites"] if s["has_grown"]]
    assert grown and grown[0].startswith("alloc_grow"), report["sites"][:2]
    assert "grew" in to_text(result.out) + result.err or "grown" in to_text(result.out)


# --- partial --------------------------------------------------------------------------------------

LIVE_MAX = 1 << 18


def test_live_set_full(tmp_path):
    """More is kept than there is room for: counted, and marked wherever one looks."""
    argv = ["--heap", "0", *arguments(tmp_path, 1)]
    with HeapLoad("heap_life", "fill", LIVE_MAX + 40000, "60") as load:
        with Heap("--pid", load.pid, *argv) as running:
            running.wait_probed(load.pid)
            time.sleep(SETTLE_S)
            load.work()
            result = running.end()
        assert load.end() == 0
    profile = pprof_reader.read(outputs(tmp_path)[0])
    check_heap(profile, 1)
    report = json.loads(outputs(tmp_path)[1].read_text())
    assert profile.total(value=2) < LIVE_MAX + 30000
    assert report["is_partial"] and report["live_full"] > 0
    assert any("partial" in c for c in profile.comments), profile.comments
    assert "partial" in result.err + to_text(result.out)


FOLLOWED_MAX = (1 << 19) + (1 << 16) + (1 << 12)  # daemon/preload/heap_live_set.h


def test_process_set_full(tmp_path):
    """The same where the process itself has no room left to follow its blocks: none is missing in
    what was allocated, and all that are not followed are counted."""
    kept = FOLLOWED_MAX + 100000
    result = measure(tmp_path, "preload", "heap_life", "fill", kept, "60")
    report, counters = result.report, result.counters
    allocated = result.truth.amounts()["alloc_fill"].alloc_objects
    ours = amounts_of(result.profile)["alloc_fill"]
    lost = sum(v for k, v in counters.items() if k.startswith("dropped."))
    assert allocated == kept and 0 <= allocated - ours.alloc_objects <= lost
    assert report["is_partial"] and "partial" in result.result.err
    assert abs(report["live_full"] - (ours.alloc_objects - ours.inuse_objects)) <= lost
