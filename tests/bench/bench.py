# SPDX-License-Identifier: BSD-2-Clause
"""make bench: what cprofd costs, beside its budgets and beside perf in the same run.

A figure is the minimum of at least five interleaved repeats. As root, on a machine that has nothing
else to do.

    bench.py [--quick] [--only SECTION]...
"""
import argparse
import os
import subprocess
import sys
from pathlib import Path

from measure import (
    BPF_STATS,
    BPFTOOL,
    CPROFD,
    PERF,
    Workload,
    bpf_stats,
    counters_of,
    drops_of,
    run_cprofd,
    run_perf,
    two_busy_processes,
)

LOW_HZ, HIGH_HZ = 999, 4999


class Table:
    """Rows are printed when a section is done; a verdict only where there is a budget."""

    def __init__(self):
        self.failed = 0

    def header(self, title):
        print(f"\n{title}")
        print(f"  {'what':58} {'measured':>12}  {'budget':>10}")

    def row(self, what, value, unit, budget=None):
        verdict = ""
        if budget is not None:
            verdict = "ok" if value <= budget else "OVER"
            self.failed += value > budget
        limit = f"{budget:g} {unit}" if budget is not None else ""
        print(f"  {what:58} {value:9.2f} {unit:>3}  {limit:>10}  {verdict}", flush=True)

    def note(self, text):
        print(f"  {text}", flush=True)


def slope_us(low, high):
    """Microseconds that one more sample costs."""
    return (high.total_s - low.total_s) / (high.samples - low.samples) * 1e6


def bench_sample(table, repeats):
    """One more sample of a stack of 20 frames."""
    seconds = 4
    runners = {"cprofd": lambda pids, hz: run_cprofd(
        "--pid", ",".join(map(str, pids)), seconds=seconds, freq=hz)}
    if PERF:
        for graph in ("fp", "dwarf"):
            runners[f"perf {graph}"] = lambda pids, hz, graph=graph: run_perf(
                graph, pids, seconds=seconds, freq=hz)
    slopes = {name: [] for name in runners}
    bpf_ns, own_us = [], []
    with two_busy_processes() as pids:
        for _ in range(repeats):
            for name, runner in runners.items():
                low, high = runner(pids, LOW_HZ), runner(pids, HIGH_HZ)
                slopes[name].append(slope_us(low, high))
                if name == "cprofd":
                    bpf_ns.append(high.bpf_ns_per_run)
                    own_us.append((high.cpu_s - low.cpu_s) / (high.samples - low.samples) * 1e6)
    best = {name: min(values) for name, values in slopes.items()}
    table.header(f"One more sample, 20 frames: slope between {LOW_HZ} and {HIGH_HZ} Hz")
    table.row("cprofd, own CPU + BPF run time", best["cprofd"], "us", 3.5)
    table.row("  of it own CPU (collector and worker)", min(own_us), "us")
    table.row("  of it BPF program, per tick", min(bpf_ns) / 1000, "us")
    for graph in ("fp", "dwarf"):
        if f"perf {graph}" in best:
            yardstick = best[f"perf {graph}"]
            table.row(f"perf record --call-graph {graph} + perf script", yardstick, "us")
    if "perf dwarf" in best:
        ratio = best["cprofd"] / best["perf dwarf"]
        table.row("ratio to perf dwarf", ratio, "", 0.2)
    else:
        table.note("perf is not installed: ./scripts/install-deps.sh bench")


def bench_start(table, repeats):
    """CPU time until sampling begins, time until the first sample."""
    with two_busy_processes() as pids:
        runs = [run_cprofd("--pid", pids[0], seconds=0.5, freq=99, with_bpf=False)
                for _ in range(repeats)]
        hosts = [run_cprofd(seconds=0.5, freq=99, with_bpf=False) for _ in range(repeats)]
    table.header("Start-up (a process, and the whole host)")
    for what, these in (("--pid", runs), ("host", hosts)):
        table.row(f"CPU to start, {what}", min(r.told["startup_cpu_ms"] for r in these), "ms", 60)
        table.row(f"first sample after, {what}",
                  min(r.told["first_sample_ms"] for r in these), "ms", 150)


def bench_end(table, repeats):
    """From the end of the window to the file, many processes alive."""
    with Workload("many", "200"):
        run_cprofd(seconds=1, freq=LOW_HZ, with_bpf=False)  # warms the page cache
        runs = [run_cprofd(seconds=5, freq=LOW_HZ, with_bpf=False) for _ in range(repeats)]
    table.header("From end of window to file, whole host, 200 processes alive, names, warm")
    best = min(runs, key=lambda r: r.told["window_to_file_ms"])
    table.row("window to file", best.told["window_to_file_ms"], "ms", 300)
    pids = {s.pid for s in best.profile.samples}
    table.note(f"{len(pids)} processes, {best.samples} samples, {len(best.profile.samples)} rows, "
               f"{best.profile.locations_cnt} locations in the file")


def bench_busy(table, repeats):
    """The slope between a short and a long window: start and end are excluded."""
    short_s, long_s = 2, 10
    shares = []
    with two_busy_processes():
        for _ in range(repeats):
            short = run_cprofd(seconds=short_s, freq=99)
            long = run_cprofd(seconds=long_s, freq=99)
            shares.append(100 * (long.total_s - short.total_s) / (long_s - short_s))
    table.header("Own CPU at 99 Hz, whole host busy (percent of one CPU, BPF included)")
    table.row("own CPU", min(shares), "%", 0.5)


def bench_memory(table, _repeats):
    """Peak resident memory of both processes."""
    with Workload("many", "200"), two_busy_processes():
        runs = {hz: run_cprofd(seconds=10, freq=hz, with_bpf=False) for hz in (99, HIGH_HZ)}
    table.header("Peak RSS, whole host, 200 processes alive, 10 s (mapped rings included)")
    for hz, run in runs.items():
        for process, peak in run.rss_mb.items():
            budget = 40 if process == "collector" else None
            table.row(f"{process} at {hz} Hz", peak, "MB", budget)


def bench_highest_rate(table, _repeats, seconds=60):
    """The identity over a long window at the highest rate."""
    with two_busy_processes():
        cost = run_cprofd(seconds=seconds, freq=HIGH_HZ)
    counters = counters_of(cost.profile)
    table.header(f"{HIGH_HZ} Hz for {seconds} s on every CPU, all of them busy")
    expected = seconds * HIGH_HZ * os.sysconf("SC_NPROCESSORS_ONLN")
    table.row("ticks that fired, of those expected", 100 * counters["fired"] / expected, "%")
    lost = sum(drops_of(counters).values())
    table.row("lost, of those that fired", 100 * lost / counters["fired"], "%")
    table.row("own CPU and BPF, of one CPU", 100 * cost.total_s / seconds, "%")
    table.note("identities hold exactly: " + " ".join(f"{k}={v}" for k, v in counters.items()))


SECTIONS = {
    "sample": bench_sample,
    "start": bench_start,
    "end": bench_end,
    "busy": bench_busy,
    "memory": bench_memory,
    "rate": bench_highest_rate,
}


def describe_machine():
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), "unknown CPU")
    load = os.getloadavg()[0]
    version = subprocess.run([CPROFD, "--version"], stdout=subprocess.PIPE, text=True, check=True)
    print(f"{version.stdout.strip()} · {os.uname().release} · {os.sysconf('SC_NPROCESSORS_ONLN')} "
          f"CPUs, {model} · load {load:.2f}")
    if load > 0.5:
        print("the machine is not idle: figures will be too high")


def main():
    parser = argparse.ArgumentParser(description="what cprofd costs, beside its budgets and perf")
    parser.add_argument("--quick", action="store_true", help="one repeat instead of five")
    parser.add_argument("--only", action="append", choices=SECTIONS, help="this section")
    args = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: needs root: run it with sudo")
    if not BPFTOOL or not BPF_STATS.exists():
        sys.exit("bench: needs bpftool and kernel.bpf_stats_enabled (5.1 and later)")
    describe_machine()
    table = Table()
    with bpf_stats():
        for name in args.only or SECTIONS:
            SECTIONS[name](table, 1 if args.quick else 5)
    print(f"\n{table.failed} over budget" if table.failed else "\nall within budget")


if __name__ == "__main__":
    main()
