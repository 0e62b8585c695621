# SPDX-License-Identifier: BSD-2-Clause
"""Runs a profiler once: its CPU time, the run time of its BPF programs, its memory."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
import pprof_reader  # noqa: E402
from kernel_maps import ids_of, mapped_kb, maps_of  # noqa: E402
from harness import (  # noqa: E402,F401
    BUILD,
    CPROFD,
    WORKLOADS,
    Started,
    Workload,
    check_accounting,
    counters_of,
    drops_of,
)

BPFTOOL = shutil.which("bpftool", path=os.environ["PATH"] + ":/usr/sbin")
PERF = shutil.which("perf")
BPF_STATS = Path("/proc/sys/kernel/bpf_stats_enabled")


@dataclass
class Cost:
    """Of one run of a profiler."""

    samples: int
    cpu_s: float  # user + system time of all its processes
    bpf_s: float = 0.0  # run time of its BPF programs
    bpf_ns_per_run: float = 0.0
    warm_ns_per_sample: float = 0.0  # the same, of a sample, without the first half second
    rss_mb: dict = field(default_factory=dict)  # process → peak
    own_mb: float = 0.0  # peak of the collector, without the BPF maps it has mapped
    maps: dict = field(default_factory=dict)  # name → what bpftool tells
    told: dict = field(default_factory=dict)  # what cprofd -v prints about itself, in ms and MB
    profile: object = None

    @property
    def total_s(self):
        return self.cpu_s + self.bpf_s


@contextmanager
def bpf_stats(switch="1"):
    """The kernel times BPF programs while this is on, which has a cost of its own."""
    before = BPF_STATS.read_text(encoding="ascii")
    BPF_STATS.write_text(switch, encoding="ascii")
    try:
        yield
    finally:
        BPF_STATS.write_text(before, encoding="ascii")


def run_text(*argv):
    """Its output; what fails is an error."""
    return subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=True).stdout


def wait_for(popen):
    """Waits like popen.wait(), returns user + system seconds of the process and its children."""
    _, status, usage = os.wait4(popen.pid, 0)
    popen.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def bpf_programs():
    listing = subprocess.run(
        [BPFTOOL, "prog", "show", "-j"], stdout=subprocess.PIPE, check=True
    ).stdout
    return {p["id"]: (p.get("run_time_ns", 0), p.get("run_cnt", 0)) for p in json.loads(listing)}


def peak_mb(pid):
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return None
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found.group(1)) / 1024 if found else None


def children_of(pid):
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


class Watcher(threading.Thread):
    """Reads what is gone when the profiler has ended: its BPF programs, its peak memory."""

    def __init__(self, pid, with_bpf, with_maps):
        super().__init__()
        self.pid, self.with_bpf, self.with_maps = pid, with_bpf, with_maps
        self.first_bpf = self.bpf = (0, 0)
        self.rss, self.own_mb, self.maps = {}, 0.0, {}
        self.done = threading.Event()

    def run(self):
        rounds = 0
        while not self.done.wait(0.02):
            rounds += 1
            self.watch_memory()
            if self.with_bpf and rounds % 25 == 0:
                self.watch_bpf()
            if self.with_maps and rounds % 10 == 0:
                self.watch_maps()

    def watch_memory(self):
        for name, pid in [("collector", self.pid)] + [("worker", c) for c in children_of(self.pid)]:
            peak = peak_mb(pid)
            if peak is not None:
                self.rss[name] = max(self.rss.get(name, 0), peak)

    def watch_bpf(self):
        programs, ours = bpf_programs(), ids_of(self.pid, "prog")
        now = tuple(sum(programs[p][i] for p in ours if p in programs) for i in (0, 1))
        if now[1] >= self.bpf[1]:
            self.bpf = now
        if not self.first_bpf[1]:
            self.first_bpf = now

    def watch_maps(self):
        try:
            self.own_mb = max(self.own_mb, mapped_kb(self.pid)[0] / 1024)
        except OSError:
            return  # ended meanwhile
        self.maps = maps_of(BPFTOOL, self.pid) or self.maps

    def warm_ns_per_run(self):
        run_ns, runs = (last - first for last, first in zip(self.bpf, self.first_bpf))
        return run_ns / runs if runs else 0.0


def run_cprofd(*args, seconds, freq, with_bpf=True, with_maps=False):
    """One window; accounting is checked as everywhere."""
    directory = Path(tempfile.mkdtemp(prefix="cprofd-bench-"))
    try:
        path = directory / "cpu.pb.gz"
        argv = [CPROFD, *args, "--cpu", f"{seconds}s", "-F", freq, "-v", "-o", path]
        popen = subprocess.Popen(
            [str(a) for a in argv], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        watcher = Watcher(popen.pid, with_bpf, with_maps)
        watcher.start()
        told = popen.stderr.read()
        cpu_s = wait_for(popen)
        watcher.done.set()
        watcher.join()
        if popen.returncode:
            raise RuntimeError(f"cprofd ended with {popen.returncode}: {told}")
        profile = pprof_reader.read(path)
    finally:
        shutil.rmtree(directory)
    check_accounting(profile)
    counters = counters_of(profile)
    run_ns, runs = watcher.bpf
    per_run = run_ns / runs if runs else 0.0
    return Cost(
        samples=counters["aggregated"],
        cpu_s=cpu_s,
        bpf_s=per_run * counters["fired"] / 1e9,
        bpf_ns_per_run=per_run,
        warm_ns_per_sample=(
            watcher.warm_ns_per_run() * counters["fired"] / max(counters["aggregated"], 1)),
        rss_mb=watcher.rss,
        own_mb=watcher.own_mb,
        maps=watcher.maps,
        told=numbers_told(told),
        profile=profile,
    )


def told_by_cprofd(*args):
    """What one run says of itself."""
    with tempfile.TemporaryDirectory(prefix="cprofd-bench-") as directory:
        argv = [CPROFD, *args, "-v", "-o", f"{directory}/profile.pb.gz"]
        return numbers_told(subprocess.run(
            [str(a) for a in argv], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            check=True).stderr)


def numbers_told(text):
    patterns = {
        "startup_cpu_ms": r"start-up CPU ([\d.]+) ms",
        "first_sample_ms": r"first sample after ([\d.]+) ms",
        "window_to_file_ms": r"window to file ([\d.]+) ms",
    }
    found = {name: re.search(pattern, text) for name, pattern in patterns.items()}
    return {name: float(match.group(1)) for name, match in found.items() if match}


def run_perf(call_graph, pids, *, seconds, freq):
    """perf record of the same processes, and perf script of what it recorded."""
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    directory = Path(tempfile.mkdtemp(prefix="cprofd-bench-", dir=place))
    try:
        data = directory / "perf.data"
        record = subprocess.Popen(
            [PERF, "record", "-e", "cpu-clock", "-F", str(freq), "--call-graph", call_graph,
             "-p", ",".join(map(str, pids)), "-o", data, "--", "sleep", str(seconds)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        told = record.stderr.read()
        cpu_s = wait_for(record)
        found = re.search(r"\((\d+) samples\)", told)
        if record.returncode or not found:
            raise RuntimeError(f"perf record ended with {record.returncode}: {told}")
        script = subprocess.Popen(
            [PERF, "script", "--no-inline", "-i", data],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        cpu_s += wait_for(script)
        if script.returncode:
            raise RuntimeError(f"perf script ended with {script.returncode}")
    finally:
        shutil.rmtree(directory)
    return Cost(samples=int(found.group(1)), cpu_s=cpu_s)


@contextmanager
def busy(name, *args):
    """A workload that forks one process per CPU; yields their pids."""
    with Workload(name, *map(str, args), str(os.sysconf("SC_NPROCESSORS_ONLN"))) as workload:
        time.sleep(0.2)
        yield [workload.pid, *children_of(workload.pid)]


def two_busy_processes(name="deep"):
    """Stacks of twenty frames: deep has frame pointers, nofp_deep none."""
    return busy(name, "3600")
