# SPDX-License-Identifier: BSD-2-Clause
"""What following the heap costs a malloc() and free(), beside the usual recipe, heaptrack and the
samplers that allocators have; and what it costs programs as they are."""
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from measure import BUILD, CPROFD, WORKLOADS, bpf_stats, run_text

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
import pprof_reader  # noqa: E402
from harness import symbols_of  # noqa: E402
from heap_harness import PRELOAD, Heap, check_heap, code_changed  # noqa: E402

RECIPE = BUILD / "tests" / "bench" / "heap_recipe"
COMPILED = Path(__file__).with_name("heap_compile.cpp")
HEAPTRACK = Path("/usr/lib/heaptrack/libheaptrack_preload.so")
KINDS = {"small": "64 B", "mixed": "mixed sizes"}
LIVE_NS_MAX, RATIO_MAX, PRELOAD_NS_MAX = 1700, 1 / 6, 2.5
MEASURE_MS = 150
MIXED_MEAN_BYTES = 784  # of heap_pairs
INTERVAL = str(512 << 10)

PYTHON = """
import sys, time
def build(n):
    return [{"number": i, "name": "object %d" % i, "parts": [i, i + 1]} for i in range(n)]
start = time.perf_counter()
for _ in range(30):
    build(60000)
print("took", time.perf_counter() - start, flush=True)
"""


def find_library(name):
    listing = run_text("/sbin/ldconfig", "-p")
    found = re.search(rf"^\s{re.escape(name)} .*x86-64.*=> (\S+)", listing, re.M)
    return found.group(1) if found else None


class Pairs:
    """heap_pairs in one environment, for the whole run."""

    def __init__(self, **env):
        self.popen = subprocess.Popen(
            [WORKLOADS / "heap_pairs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.PIPE, env={**os.environ, **{k: str(v) for k, v in env.items()}})
        self.pid = self.popen.pid
        line = self.popen.stdout.readline()
        if line != "ready\n":
            raise RuntimeError(f"heap_pairs with {env}: {line} {self.popen.stderr.read()}")

    def measure(self, kind):
        """Nanoseconds of a pair."""
        self.popen.stdin.write(f"{kind} {MEASURE_MS}\n")
        self.popen.stdin.flush()
        return float(self.popen.stdout.readline().split()[1])

    def end(self):
        """What it, or its allocator, complained about."""
        return self.popen.communicate()[1]


@contextmanager
def unprobed(_pairs):
    yield


@contextmanager
def recipe(pairs):
    """entry, return and free, as bcc's memleak has made usual."""
    maps = Path(f"/proc/{pairs.pid}/maps").read_text(errors="replace")
    path = re.search(r" r-xp .* (/\S*/libc\.so\.6)$", maps, re.M).group(1)
    at = {n: s for s, _, names in symbols_of(path) for n in names if n in ("malloc", "free")}
    argv = [RECIPE, str(pairs.pid), path, hex(at["malloc"]), hex(at["free"])]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as popen:
        if popen.stdout.readline() != b"ready\n":
            raise RuntimeError("heap_recipe did not start")
        yield
        popen.stdin.close()


def ours(mode):
    @contextmanager
    def probed(pairs):
        directory = Path(tempfile.mkdtemp(prefix="cprofd-bench-"))
        try:
            path = directory / "x.pb.gz"
            with Heap("--pid", pairs.pid, "--heap", "0", "--heap-mode", mode, "-q", "-o",
                      path) as running:
                running.wait_probed(pairs.pid)
                time.sleep(0.3)
                yield
                running.end()
            check_heap(pprof_reader.read(path))
        finally:
            shutil.rmtree(directory)

    return probed


def configurations(directory):
    """name → (which process, how it is watched); None: not on this host."""
    out = {
        "bare": (Pairs(), unprobed),
        "uprobes, alloc": (Pairs(), ours("alloc")),
        "uprobes, live": (Pairs(), ours("live")),
        "entry + return + free": (Pairs(), recipe),
    }
    if PRELOAD.exists():
        out["libcprof-heap, idle"] = (Pairs(LD_PRELOAD=PRELOAD), unprobed)
        for mode in ("alloc", "live"):
            own = Pairs(LD_PRELOAD=PRELOAD, CPROF_HEAP_INTERVAL=INTERVAL)
            name = "sampling" if mode == "alloc" else "live"
            out[f"libcprof-heap, {name}"] = (own, ours(mode))
    if HEAPTRACK.exists():
        out["heaptrack"] = (Pairs(LD_PRELOAD=HEAPTRACK, DUMP_HEAPTRACK_OUTPUT=directory / "track"),
                            unprobed)
    tcmalloc, jemalloc = find_library("libtcmalloc.so.4"), find_library("libjemalloc.so.2")
    if tcmalloc:
        out["tcmalloc"] = (Pairs(LD_PRELOAD=tcmalloc), unprobed)
        out["tcmalloc, sampling"] = (
            Pairs(LD_PRELOAD=tcmalloc, TCMALLOC_SAMPLE_PARAMETER=INTERVAL), unprobed)
    if jemalloc:
        out["jemalloc"] = (Pairs(LD_PRELOAD=jemalloc), unprobed)
        out["jemalloc, prof"] = (
            Pairs(LD_PRELOAD=jemalloc, MALLOC_CONF="prof:true,prof_active:true,lg_prof_sample:19"),
            unprobed)
    return out


def base_of(name):
    return name.split(",")[0] if name.split(",")[0] in ("tcmalloc", "jemalloc") else "bare"


def budget_of(name):
    if name == "uprobes, live":
        return LIVE_NS_MAX
    return PRELOAD_NS_MAX if name.startswith("libcprof-heap") else None


def note_samples(table, added):
    """What a sample costs, where they are so many that they can be told from the rest."""
    per_sample = (512 << 10) / MIXED_MEAN_BYTES
    for name in ("libcprof-heap, sampling", "libcprof-heap, live"):
        if name in added:
            cost_us = (added[name] - added["libcprof-heap, idle"]) * per_sample / 1000
            table.note(f"  {name}: one pair in {per_sample:.0f} is sampled, for {cost_us:.1f} us")


def bench_pairs(table, repeats):
    directory = Path(tempfile.mkdtemp(prefix="cprofd-bench-"))
    try:
        measured, complaints = measure_pairs(directory, repeats)
    finally:
        shutil.rmtree(directory)
    best = {name: {k: min(v) for k, v in by.items()} for name, by in measured.items()}
    for kind, title in KINDS.items():
        table.header(f"malloc() + free(), {title}: a pair, and what is added to it")
        added = {n: best[n][kind] - best[base_of(n)][kind] for n in best}
        for name, by in best.items():
            if name == base_of(name):
                table.row(name, by[kind], "ns")
                continue
            table.row(f"  added by {name}", added[name], "ns", budget_of(name))
        if "entry + return + free" in added:
            ratio = added["uprobes, live"] / added["entry + return + free"]
            table.row("uprobes, live: ratio to entry + return + free", ratio, "", RATIO_MAX)
        if kind == "mixed":
            note_samples(table, added)
        for name, by in measured.items():
            table.note(f"  {name}: " + " ".join(f"{v:.1f}" for v in sorted(by[kind])) + " ns")
    for name, complaint in complaints.items():
        table.note(f"{name} says: {complaint.strip().splitlines()[0]}")
    if not PRELOAD.exists():
        table.note("libcprof-heap.so was not built")


def measure_pairs(directory, repeats):
    configs = configurations(directory)
    measured = {name: {k: [] for k in KINDS} for name in configs}
    try:
        for _ in range(repeats):
            for name, (pairs, watch) in configs.items():
                with watch(pairs):
                    for kind in KINDS:
                        measured[name][kind].append(pairs.measure(kind))
                if code_changed(pairs.pid):
                    raise RuntimeError(f"{name}: probes are left")
    finally:
        ends = {name: pairs.end() for name, (pairs, _) in configs.items()}
    return measured, {name: text for name, text in ends.items() if text}


# --- programs as they are -------------------------------------------------------------------------

WATCHED = {
    "alone": None,
    "uprobes, alloc": ["--heap-source", "uprobe", "--heap-mode", "alloc"],
    "uprobes, live": ["--heap-source", "uprobe"],
    "libcprof-heap, live": ["--heap-source", "preload"],
}


def under_cprofd(directory, args, argv):
    """Runs a command, alone or under cprofd, and returns what it says that it took."""
    path = directory / "x.pb.gz"
    if args is not None:
        argv = [CPROFD, *args, "--heap", "0", "-q", "-o", path, "--", *argv]
    text = run_text(*argv)
    if args is not None:
        check_heap(pprof_reader.read(path))
    return float(re.search(r"^took ([\d.]+)$", text, re.M).group(1))


def python_objects(directory, args):
    return under_cprofd(directory, args, ["/usr/bin/python3", "-c", PYTHON])


def cpp_compile(directory, args):
    argv = ["g++", "-O2", "-c", "-o", str(directory / "x.o"), str(COMPILED)]
    script = ("import subprocess, time; start = time.perf_counter(); "
              f"subprocess.run({argv!r}, check=True); "
              "print('took', time.perf_counter() - start)")
    return under_cprofd(directory, args, ["/usr/bin/python3", "-c", script])


def redis_set(directory, args):
    """Seconds for 100,000 SETs, by its own benchmark."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    env = dict(os.environ)
    argv = []
    if args is not None and "preload" in args:
        env.update(LD_PRELOAD=str(PRELOAD), CPROF_HEAP_INTERVAL=INTERVAL)
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly",
         "no", "--dir", str(directory)], stdout=subprocess.DEVNULL, env=env)
    try:
        wait_listens(port)
        redis_requests(port, 2000)
        if args is None:
            return 1e5 / redis_requests(port, 100000)
        argv = ["--pid", server.pid, "--heap", "0", "-q", "-o", directory / "x.pb.gz", *args]
        with Heap(*argv) as running:
            running.wait_probed(server.pid)
            seconds = 1e5 / redis_requests(port, 100000)
            running.end()
        check_heap(pprof_reader.read(directory / "x.pb.gz"))
        return seconds
    finally:
        server.kill()
        server.wait()


def redis_requests(port, count):
    """Requests a second."""
    text = run_text("redis-benchmark", "-p", str(port), "-t", "set", "-n", str(count), "-r",
                    "100000", "-d", "200", "-q")
    return float(re.findall(r"SET: ([\d.]+) requests per second", text)[-1])


def wait_listens(port):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("redis-server does not listen")


PROGRAMS = {
    "python3 building objects": (python_objects, "/usr/bin/python3"),
    "g++ -O2 of a file full of templates": (cpp_compile, "g++"),
    "redis-server, 100,000 SETs": (redis_set, "redis-server"),
}


def bench_programs(table, repeats):
    table.header("Programs as they are: their time with the heap followed, as a multiple")
    for title, (measure, command) in PROGRAMS.items():
        if not shutil.which(command):
            table.note(f"{title}: {command} is not installed")
            continue
        took = {name: [] for name in WATCHED}
        for _ in range(repeats):
            for name, args in WATCHED.items():
                if args and "preload" in args and not PRELOAD.exists():
                    continue
                directory = Path(tempfile.mkdtemp(prefix="cprofd-bench-"))
                try:
                    took[name].append(measure(directory, args))
                finally:
                    shutil.rmtree(directory)
        alone = min(took["alone"])
        table.row(f"{title}, alone", alone, "s")
        for name, these in took.items():
            if name != "alone" and these:
                table.row(f"  with {name}", min(these) / alone, "x")


def bench_heap(table, repeats):
    with bpf_stats("0"):
        bench_pairs(table, repeats)
        bench_programs(table, repeats)
