# SPDX-License-Identifier: BSD-2-Clause
"""make bench: what cprofd costs, beside its budgets and beside perf in the same run.

A figure is the minimum of at least five interleaved repeats. As root, on a machine that has nothing
else to do.

    bench.py [--quick] [--only SECTION]...
"""
import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_heap import bench_heap
from bench_sched import bench_sched
from kernel_maps import TableWatch, code_address, maps_of, never_seen
from measure import (
    BPF_STATS,
    BPFTOOL,
    BUILD,
    CPROFD,
    PERF,
    WORKLOADS,
    Started,
    Workload,
    bpf_stats,
    busy,
    counters_of,
    drops_of,
    run_cprofd,
    run_perf,
    told_by_cprofd,
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

    def row(self, what, value, unit, budget=None, at_least=None):
        verdict = limit = ""
        if budget is not None:
            is_missed = value > budget
            verdict, limit = "OVER" if is_missed else "ok", f"{budget:g} {unit}"
            self.failed += is_missed
        elif at_least is not None:
            is_missed = value < at_least
            verdict, limit = "BELOW" if is_missed else "ok", f">= {at_least:g} {unit}"
            self.failed += is_missed
        print(f"  {what:58} {value:9.2f} {unit:>4} {limit:>10}  {verdict}", flush=True)

    def note(self, text):
        print(f"  {text}", flush=True)


def slope_us(low, high):
    """Microseconds that one more sample costs."""
    return (high.total_s - low.total_s) / (high.samples - low.samples) * 1e6


def bench_sample(table, repeats):
    """One more sample of a stack of 20 frames without frame pointers."""
    seconds = 4
    shares = []
    runners = {"cprofd": lambda pids, hz: run_cprofd(
        "--pid", ",".join(map(str, pids)), seconds=seconds, freq=hz)}
    if PERF:
        for graph in ("fp", "dwarf"):
            runners[f"perf {graph}"] = lambda pids, hz, graph=graph: run_perf(
                graph, pids, seconds=seconds, freq=hz)
    slopes = {name: [] for name in runners}
    bpf_ns, own_us = [], []
    with two_busy_processes("nofp_deep") as pids:
        for _ in range(repeats):
            for name, runner in runners.items():
                low, high = runner(pids, LOW_HZ), runner(pids, HIGH_HZ)
                slopes[name].append(slope_us(low, high))
                if name == "cprofd":
                    bpf_ns.append(high.bpf_ns_per_run)
                    shares.append(100 * high.samples / counters_of(high.profile)["fired"])
                    own_us.append((high.cpu_s - low.cpu_s) / (high.samples - low.samples) * 1e6)
    best = {name: min(values) for name, values in slopes.items()}
    table.header("One more sample, 20 frames without frame pointers: slope between "
                 f"{LOW_HZ} and {HIGH_HZ} Hz")
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
    table.note(f"at least {min(shares):.0f} % of the ticks hit the workload: the BPF run time of "
               "the others is in its figure too")


def mean_user_frames(profile):
    return profile.total() and sum(
        s.values[0] * len(s.user_frames) for s in profile.samples) / profile.total()


def bench_frame(table, repeats):
    """One more user frame: slope of the BPF run time of a sample between two depths."""
    depths = (16, 80)
    best, frames = {}, {}
    for _ in range(repeats):
        for depth in depths:
            with busy("nofp_recurse", depth) as pids:
                run = run_cprofd("--pid", ",".join(map(str, pids)), seconds=3, freq=HIGH_HZ)
            best[depth] = min(best.get(depth, run.warm_ns_per_sample), run.warm_ns_per_sample)
            frames[depth] = mean_user_frames(run.profile)
    low, high = depths
    table.header(f"A user frame without frame pointer in BPF, warm tables, {HIGH_HZ} Hz")
    for depth in depths:
        table.row(f"a sample of {frames[depth]:.1f} user frames", best[depth] / 1000, "us")
    if frames[high] - frames[low] < 0.9 * (high - low):
        raise RuntimeError(f"stacks are not as deep as they should be: {frames}")
    slope = (best[high] - best[low]) / (frames[high] - frames[low])
    table.row("one more user frame", slope, "ns", 100)


def bench_rows(table, repeats):
    """Rows from .eh_frame, one thread."""
    program = BUILD / "tests" / "bench" / "unwind_rows"
    library = next(iter(sorted(Path("/usr/lib").glob("*/libLLVM-14.so.1"))), None)
    table.header("Unwind rows, one thread")
    if library:
        told = subprocess.run([program, "-r", str(max(repeats, 3)), library],
                              stdout=subprocess.PIPE, text=True, check=True).stdout
        rows, size_mb, took_ms, speed = re.search(
            r" (\d+) rows .* ([\d.]+) MB +([\d.]+) ms +([\d.]+) rows/us", told).groups()
        table.row(f"{library.name}: {rows} rows, {took_ms} ms", float(speed), "r/us", at_least=8)
        table.row("  size of its table", float(size_mb), "MB")
    else:
        table.note("libLLVM-14.so.1 is not installed: ./scripts/install-deps.sh bench")
    places = ["/usr/bin", f"/usr/lib/{platform.machine()}-linux-gnu"]
    files = subprocess.run(["find", *places, "-type", "f"], stdout=subprocess.PIPE, check=True)
    told = subprocess.run([program, "-q", "-r", str(max(repeats, 3))], input=files.stdout,
                          stdout=subprocess.PIPE, check=True).stdout.decode()
    with_rows = re.search(r"(\d+) with rows", told).group(1)
    rows, size_mb = re.search(r", (\d+) rows .*? ([\d.]+) MB", told).groups()
    took_ms, speed = re.search(r"^([\d.]+) ms, ([\d.]+) rows/us", told, re.M).groups()
    table.row(f"{with_rows} files of {' '.join(places)}", float(speed), "r/us", at_least=8)
    table.note(f"{rows} rows in {took_ms} ms, {size_mb} MB")


def bench_first_stack(table, repeats):
    """From exec of a program that nobody has seen until the kernel has the table of its code."""
    took_ms = {}
    directory = Path(tempfile.mkdtemp(prefix="cprofd-bench-"))
    try:
        for hz in (99, HIGH_HZ):
            with Started("--cpu", "0", "-F", hz, "-o", directory / "cpu.pb.gz") as profiler:
                profiler.wait_attached()
                time.sleep(1)  # what else runs has its tables by now
                watch = TableWatch(maps_of(BPFTOOL, profiler.pid))
                took_ms[hz] = [first_stack_ms(watch, directory) for _ in range(repeats)]
                watch.close()
                profiler.interrupt()
                profiler.finish()
    finally:
        shutil.rmtree(directory)
    table.header("From exec of a never-seen program until the kernel walks it by its table")
    for hz, values in took_ms.items():
        table.row(f"at {hz} Hz (seen by polling the maps)", min(values), "ms")
    table.note("until then its stacks are copied, as far as the budget goes, and walked outside it")


def first_stack_ms(watch, directory):
    """A copy of its own for each: neither file nor build-id has been seen."""
    with tempfile.TemporaryDirectory(dir=directory) as own:
        program = never_seen(WORKLOADS / "nofp_deep", Path(own) / "never_seen")
        start_s = time.monotonic()
        with Workload(program, "30", "1") as workload:
            address = code_address(workload.pid, program)
            return (watch.wait(workload.pid, address) - start_s) * 1000


def bench_start(table, repeats):
    """CPU time until what was asked for runs, time until the first sample: of every kind."""
    with two_busy_processes() as pids:
        target = ("--pid", pids[0])
        starts = {
            "--cpu --pid": ("--cpu", "0.5", *target),
            "--cpu": ("--cpu", "0.5"),
            "--sched --pid": ("--sched", "0.5", *target),
            "--sched": ("--sched", "0.5"),
            "--heap --pid": ("--heap", "0.5", *target),
        }
        told = {what: [] for what in starts}
        for _ in range(repeats):
            for what, args in starts.items():
                told[what].append(told_by_cprofd(*args))
    table.header("Start-up: a process, and the whole host")
    for what, runs in told.items():
        table.row(f"CPU to start, {what}", min(t["startup_cpu_ms"] for t in runs), "ms", 60)
    for what, runs in told.items():
        if "--heap" not in what:  # the workload may not allocate
            table.row(f"first sample after, {what}",
                      min(t["first_sample_ms"] for t in runs), "ms", 150)


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
    """Peak resident memory of both processes, and what the kernel holds for them."""
    with Workload("many", "200"), two_busy_processes("nofp_deep"):
        runs = {hz: run_cprofd(seconds=10, freq=hz, with_bpf=False, with_maps=True)
                for hz in (99, HIGH_HZ)}
    table.header("Memory, whole host, 200 processes alive, 10 s")
    for hz, run in runs.items():
        if not run.own_mb or not run.maps:
            raise RuntimeError("the collector's memory was not seen")
        table.row(f"collector's peak RSS without mapped BPF maps, {hz} Hz", run.own_mb, "MB", 40)
        for process, peak in run.rss_mb.items():
            table.row(f"  {process}'s peak RSS, all of it", peak, "MB")
    maps = runs[HIGH_HZ].maps
    row_tables = [m for name, m in maps.items() if name in ("unwind_leaf", "unwind_block")]
    rows_mb = sum(m["max_entries"] * m["bytes_value"] for m in row_tables) / 2**20
    total_mb = sum(m["bytes_memlock"] for m in maps.values()) / 2**20
    table.row(f"{len(maps)} BPF maps", total_mb, "MB", 32 + 24)
    table.row("  of them row tables (--unwind-memory)", rows_mb, "MB", 32)
    table.row("  all others", total_mb - rows_mb, "MB", 24)


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
    "frame": bench_frame,
    "sample": bench_sample,
    "rows": bench_rows,
    "first": bench_first_stack,
    "start": bench_start,
    "end": bench_end,
    "busy": bench_busy,
    "memory": bench_memory,
    "rate": bench_highest_rate,
    "sched": bench_sched,
    "heap": bench_heap,
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
