# SPDX-License-Identifier: BSD-2-Clause
"""What scheduler latency costs a switch: beside nothing, an empty program and runqlat's shape."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from kernel_maps import ids_of, maps_of
from measure import (
    BPFTOOL,
    BUILD,
    PERF,
    bpf_programs,
    bpf_stats,
    children_of,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from sched_harness import Scheduled  # noqa: E402
import pprof_reader  # noqa: E402

PROBE = BUILD / "tests" / "bench" / "sched_probe"
ROUND_TRIPS = {"same CPU": 400000, "across CPUs": 50000}
ADDED_NS_MAX, RATIO_MAX, MAPS_MB_MAX = 450, 0.45, 6


@contextmanager
def nothing():
    yield None


@contextmanager
def probe(what):
    """Yields the pid of the process that has the programs."""
    with subprocess.Popen([PROBE, what], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as popen:
        if popen.stdout.readline() != b"ready\n":
            raise RuntimeError(f"sched_probe {what} did not start")
        yield popen.pid
        popen.communicate()


class Ours:
    """cprofd --sched of the whole host as anybody runs it; what it took and found is kept."""

    def __init__(self):
        self.maps_mb, self.with_stack = {}, 0

    @contextmanager
    def __call__(self):
        directory = Path(tempfile.mkdtemp(prefix="cprofd-bench-"))
        path = directory / "sched.pb.gz"
        try:
            with Scheduled("--sched", "0", "-o", path) as running:
                running.wait_attached()
                time.sleep(0.3)
                yield running.pid
                self.maps_mb = {name: told["bytes_memlock"] / 2**20
                                for name, told in maps_of(BPFTOOL, running.pid).items()}
                running.end()
            profile = pprof_reader.read(path)
            self.with_stack += profile.total(lambda s: bool(s.user_frames))
        finally:
            shutil.rmtree(directory)


def switches_of_host():
    """Context switches since boot, of all CPUs, to and from idle too."""
    return int(re.search(r"^ctxt (\d+)", Path("/proc/stat").read_text(), re.M).group(1))


def pipe(place):
    """perf bench sched pipe: (seconds, switches)."""
    cpus = sorted(os.sched_getaffinity(0))
    own, other = cpus[-1], cpus[-1 if place == "same CPU" else 0]
    before = switches_of_host()
    popen = subprocess.Popen(
        [PERF, "bench", "sched", "pipe", "-l", str(ROUND_TRIPS[place])],
        stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.sched_setaffinity(0, {own}),
    )
    while popen.poll() is None and not children_of(popen.pid):
        time.sleep(0.0005)
    for child in children_of(popen.pid):
        os.sched_setaffinity(child, {other})
    out, _ = popen.communicate()
    took = re.search(r"Total time: ([\d.]+)", out)
    if popen.returncode or not took:
        raise RuntimeError(f"perf bench sched pipe ended with {popen.returncode}: {out}")
    return float(took.group(1)), switches_of_host() - before


def added_ns(runs, base):
    """Per switch, of the fastest run of each."""
    seconds, switches = min(runs)
    return (seconds - min(base)[0]) / switches * 1e9


def run_ns(context, place):
    """Run time of the programs themselves, of one switch."""
    def time_of(pid):
        programs = bpf_programs()
        return sum(programs[i][0] for i in ids_of(pid, "prog") if i in programs)

    with bpf_stats(), context() as pid:
        before = time_of(pid)
        _, switches = pipe(place)
        return (time_of(pid) - before) / switches


def bench_place(table, place, repeats, ours):
    contexts = {
        "nothing": nothing,
        "empty": lambda: probe("empty"),
        "runqlat": lambda: probe("runqlat"),
        "ours": ours,
    }
    runs = {name: [] for name in contexts}
    for _ in range(repeats):
        for name, context in contexts.items():
            with context():
                runs[name].append(pipe(place))
    seconds, switches = min(runs["nothing"])
    cost = {name: added_ns(these, runs["nothing"]) for name, these in runs.items()}
    table.header(f"perf bench sched pipe, {place}: added to one switch ({switches} switches, "
                 f"{seconds / switches * 1e9:.0f} ns each)")
    table.row("an empty program", cost["empty"], "ns")
    table.row("runqlat's shape: wake-ups, hash, log2", cost["runqlat"], "ns")
    table.row("cprofd --sched, stacks included", cost["ours"], "ns", ADDED_NS_MAX)
    # Waking an idle CPU takes 20 times as long and never the same time.
    if place == "same CPU":
        table.row("ratio to runqlat's shape", cost["ours"] / cost["runqlat"], "", RATIO_MAX)
    timed = {name: min(run_ns(contexts[name], place) for _ in range(repeats))
             for name in ("runqlat", "ours")}
    table.row("run time of its programs: runqlat's shape", timed["runqlat"], "ns")
    table.row("run time of its programs: cprofd --sched", timed["ours"], "ns", ADDED_NS_MAX)
    table.row("ratio of these", timed["ours"] / timed["runqlat"], "", RATIO_MAX)
    for name, these in runs.items():
        spread = " ".join(f"{s:.3f}" for s, _ in sorted(these))
        table.note(f"  {name}: {spread} s")


def bench_sched(table, repeats):
    """One more switch, on one CPU and between two; what the maps take."""
    if not PERF:
        table.header("Scheduler latency: what it adds to one switch")
        table.note("perf is not installed: ./scripts/install-deps.sh bench")
        return
    ours = Ours()
    with bpf_stats("0"):
        for place in ROUND_TRIPS:
            if place == "same CPU" or len(os.sched_getaffinity(0)) > 1:
                bench_place(table, place, repeats, ours)
    table.header("Scheduler latency: memory")
    own = {name: size for name, size in ours.maps_mb.items() if name.startswith("sched")}
    if not own:
        raise RuntimeError(f"no map of the scheduler probe was seen: {sorted(ours.maps_mb)}")
    table.row(f"{len(own)} BPF maps of the kind", sum(own.values()), "MB", MAPS_MB_MAX)
    table.note(", ".join(f"{n} {s:.2f}" for n, s in sorted(own.items(), key=lambda m: -m[1])))
    if not ours.with_stack:
        raise RuntimeError("no wait had a stack")
