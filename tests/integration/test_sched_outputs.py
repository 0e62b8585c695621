# SPDX-License-Identifier: BSD-2-Clause
"""The same totals in every format of the scheduler kind, its options, and what they refuse."""
import os
import re
import shutil
import signal
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from harness import GO, WORKLOADS, Workload, check_accounting, cprofd, run, wait_until, which
from sched_harness import REASONS, Load, Report, Scheduled
import pprof_reader

NS = Decimal(10) ** 9
SUFFIXES = ("json", "pb.gz", "prom", "txt", "folded")
SAMPLE_TYPES = [
    ("waits", "count"),
    ("preempted", "nanoseconds"),
    ("delayed", "nanoseconds"),
    ("runnable", "nanoseconds"),
    ("latency", "nanoseconds"),
]
TRACE = re.compile(
    rb"sched:sched_latency_trace: comm=([^\s=]+) pid=(\d+) "
    rb"preempted=(\d+)us delayed=(\d+)us runnable=(\d+)us"
)


class Run:
    """One window with an -o for each format."""

    def __init__(self, directory, *args, mode="waker", seconds=1.0, target=True):
        self.paths = {suffix: directory / f"sched.{suffix}" for suffix in SUFFIXES}
        outputs = [word for path in self.paths.values() for word in ("-o", path)]
        with Load(mode, seconds) as load:
            self.load = load
            argv = ["--sched", "0", *outputs, *args, *(["--pid", load.pid] if target else [])]
            with Scheduled(*argv) as running:
                running.wait_attached()
                load.go()
                load.wait_done()
                load.accounts_at_rest()
                self.result = running.end()
        self.report = Report(self.paths["json"])
        self.profile = pprof_reader.read(self.paths["pb.gz"])
        check_accounting(self.profile, "sched")

    def trace(self):
        """[(comm, tid, (preempted, delayed, runnable) in microseconds)]"""
        lines = self.paths["txt"].read_bytes().splitlines()
        found = [TRACE.fullmatch(line) for line in lines]
        assert lines and all(found), lines[:3]
        return [(m[1], int(m[2]), tuple(int(m[i]) for i in (3, 4, 5))) for m in found]

    def metrics(self):
        """{name: {labels: value}}"""
        out = {}
        for line in self.paths["prom"].read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                name, labels, value = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line).groups()
                pairs = frozenset(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""))
                assert pairs not in out.setdefault(name, {}), f"twice: {line}"
                out[name][pairs] = value
        return out


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    return Run(tmp_path_factory.mktemp("sched"))


def test_pprof_has_the_same_totals(window):
    profile, totals = window.profile, window.report.totals
    assert profile.sample_types == SAMPLE_TYPES and profile.default_type == "latency"
    for index, (name, unit) in enumerate(SAMPLE_TYPES):
        key = name if unit == "count" else f"{name}_ns"
        assert profile.total(value=index) == totals[key], name
    for sample in profile.samples:
        assert sample.values[4] == sum(sample.values[1:4]) and min(sample.values) >= 0


def test_pprof_has_the_same_threads(window):
    """Rows of stacks, scaled, add up to the exact sums of each thread."""
    names = {t["tid"]: t["thread"] for t in window.report.data["threads"]}
    for role in ("main", "waker"):
        (tid,) = window.load.tids(role)
        rows = [s for s in window.profile.samples if s.labels.get("thread") == names.get(tid)]
        want = window.report.threads[window.load.pid, tid]
        if list(names.values()).count(names[tid]) == 1:
            assert rows, (names, [s.labels for s in window.profile.samples][:5])
            assert sum(s.values[0] for s in rows) == want["waits"]
            for index, reason in enumerate(REASONS, 1):
                assert sum(s.values[index] for s in rows) == want[f"{reason}_ns"]


def test_stacks_are_of_the_thread_that_waits(window):
    latency = window.profile.total(value=4)
    spinning = window.profile.total(lambda s: "spin" in s.names, value=4)
    assert spinning > 0.5 * latency, window.profile.functions()
    with_main = window.profile.total(lambda s: "thread_main" in s.names, value=4)
    assert with_main > 0.8 * latency


def test_prometheus_has_the_same_totals(window):
    metrics, data = window.metrics(), window.report.data
    names = {r: ("cprofd_sched_latency_seconds", frozenset({("reason", r)})) for r in REASONS}
    names["latency"] = ("cprofd_sched_wait_seconds", frozenset())
    for what, (name, labels) in names.items():
        histogram = data["histograms"][what]
        assert int(metrics[f"{name}_count"][labels]) == histogram["cnt"], what
        assert Decimal(metrics[f"{name}_sum"][labels]) * NS == histogram["sum_ns"], what
        buckets = {}
        for pairs, value in metrics[f"{name}_bucket"].items():
            (le,) = [v for k, v in pairs if k == "le"]
            if pairs - {("le", le)} == labels:
                buckets[float(le)] = int(value)
        counts = [buckets[bound] for bound in sorted(buckets)]
        assert counts == sorted(counts) and buckets[float("inf")] == histogram["cnt"], what
        for bound, count in buckets.items():
            below = [b["cnt"] for b in histogram["buckets"]
                     if b["le"] is None or Decimal(b["le"]) <= NS * Decimal(bound)]
            assert count == sum(below), f"{what}: le={bound}"


def check_metrics(path):
    """promtool's verdict; it also lints."""
    promtool = which("promtool")
    with open(path, "rb") as text:
        result = run(promtool, "check", "metrics", stdin=text)
    assert result.status == 0, result.text + result.err


def test_promtool_accepts(window):
    check_metrics(window.paths["prom"])


def test_trace_lines_are_truncated_microseconds(window):
    lines = window.trace()
    want = {
        tid: tuple(row[f"{r}_ns"] // 1000 for r in REASONS)
        for (_, tid), row in window.report.threads.items()
        if row["waits"] and tid
    }
    assert {tid: sums for _, tid, sums in lines} == want and len(lines) == len(want)
    assert {comm for comm, _, _ in lines} >= {b"sched_load"}


def test_names_of_threads_are_escaped(window):
    """A thread may call itself anything: lines stay lines, words words, labels labels."""
    (waker,) = window.load.tids("waker")
    (comm,) = [comm for comm, tid, _ in window.trace() if tid == waker]
    assert re.fullmatch(rb"[!-<>-~]+", comm), comm
    for suffix in ("json", "prom", "txt", "folded"):
        raw = window.paths[suffix].read_bytes()
        assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", raw), suffix
        raw.decode("utf-8")


def test_folded_is_latency(window):
    lines = window.paths["folded"].read_text(encoding="utf-8").splitlines()
    total = sum(int(line.rpartition(" ")[2]) for line in lines)
    assert total == window.report.total("latency")


def test_summary_shows_all_of_it(window):
    """The view is for people; it goes where the top table of --cpu goes."""
    text = window.result.out.decode("utf-8")
    for word in ("latency", *REASONS, "p50", "p90", "p99", "p99.9", "max"):
        assert word in text, (word, text)
    assert text.index("latency") < text.index("preempted"), "latency comes first"
    assert max(len(line) for line in text.splitlines()) <= 100, text


def test_go_tool_pprof_opens(window, tmp_path):
    if not os.path.exists(GO):
        pytest.skip(f"{GO} is not installed (Debian: golang-go)")
    environment = {**os.environ, "HOME": str(tmp_path), "PPROF_TMPDIR": str(tmp_path)}
    for index in ("latency", "preempted"):
        result = run(GO, "tool", "pprof", "-top", f"-sample_index={index}", "-symbolize=none",
                     window.paths["pb.gz"], env=environment)
        assert result.status == 0, result.err
        assert f"Type: {index}" in result.text and "spin" in result.text, result.text


# --- options --------------------------------------------------------------------------------------


def test_intervals_add_up(tmp_path):
    window = Run(tmp_path, "--interval", "200ms", seconds=1.2)
    per_tid, lines = {}, {}
    for _, tid, sums in window.trace():
        lines[tid] = lines.get(tid, 0) + 1
        per_tid[tid] = tuple(a + b for a, b in zip(per_tid.get(tid, (0, 0, 0)), sums))
    for (_, tid), row in window.report.threads.items():
        for reason, got in zip(REASONS, per_tid.get(tid, (0, 0, 0))):
            short = row[f"{reason}_ns"] // 1000 - got
            assert 0 <= short <= lines.get(tid, 0) + 1, (tid, reason, short)
    assert max(lines.values()) >= 5, "a line in each interval in which it waited"


@pytest.mark.parametrize("by", ["cgroup", "comm", "pid", "cpu"])
def test_grouped(tmp_path, by):
    window = Run(tmp_path, "--by", by, seconds=0.5, target=by != "pid")
    check_metrics(window.paths["prom"])
    metrics = window.metrics()
    for what in REASONS:
        own = [int(v) for k, v in metrics["cprofd_sched_latency_seconds_count"].items()
               if ("reason", what) in k and len(k) == 2]
        assert sum(own) == window.report.data["histograms"][what]["cnt"], what
    labels = {dict(k)[by] for k in metrics["cprofd_sched_wait_seconds_count"]}
    assert 1 <= len(labels) <= 51
    if by == "cpu":
        assert all(label.isdigit() for label in labels), labels
    if by == "pid":
        assert str(window.load.pid) in labels


def test_worst_waits_are_as_many_as_asked_for(tmp_path):
    for count in (0, 3):
        window = Run(tmp_path, "--worst", str(count), seconds=0.4)
        assert len(window.report.data["worst"]) == count
    default = Run(tmp_path, seconds=0.4).report.data["worst"]
    assert len(default) == 10
    for worst in default:
        assert worst["victim"]["pid"] and worst["reason"] in REASONS and worst["cpu"] >= 0
        assert worst["cause"] in window.report.data["causes"]["waits"]


def test_targets_are_who_waits(tmp_path):
    """Others wait for the same CPU: only the target's threads are counted, whoever woke them."""
    program = tmp_path / f"load{os.getpid()}"  # a name that nobody else has
    shutil.copy(WORKLOADS / "sched_load", program)
    with Load("spin2", 30, program) as other:
        other.go()
        for args in ([], ["--by", "comm"]):
            window = Run(tmp_path, *args, seconds=0.5)
            assert window.report.pids() <= {window.load.pid}
        path = tmp_path / "comm.json"
        with Load("spin2", 30) as beside:
            beside.go()
            result = cprofd("--comm", program.name, "--sched", "0.4", "-v", "-o", path)
        assert result.status == 0, result.err
        assert Report(path).pids() == {other.pid}, result.err


def test_target_cgroup(tmp_path, cgroup):
    path = tmp_path / "sched.json"
    with Load("spin2", 30) as inside, Load("spin2", 30) as outside:
        (cgroup / "inner" / "cgroup.procs").write_text(str(inside.pid), encoding="ascii")
        inside.go()
        outside.go()
        result = cprofd("--cgroup", cgroup, "--sched", "0.4", "-o", path)
    assert result.status == 0, result.err
    assert Report(path).pids() == {inside.pid}


@pytest.mark.parametrize("slo, status", [("p50=1us", 7), ("p99=1us", 7), ("p99.9=100s", 0)])
def test_objective(tmp_path, slo, status):
    with Load("spin2", 30) as load:
        load.go()
        result = cprofd("--pid", load.pid, "--sched", "0.3", "--sched-slo", slo,
                        "-o", tmp_path / "sched.json")
    assert result.status == status, result.err
    if status:
        told = [line for line in result.err_lines if slo.split("=", maxsplit=1)[0] in line]
        assert told and "over 1.00us" in told[0], result.err
    Report(tmp_path / "sched.json")


def test_two_kinds_into_a_directory(tmp_path):
    with Load("spin2", 30) as load:
        load.go()
        result = cprofd("--pid", load.pid, "--cpu", "1s", "--sched", "1s", "-o", f"{tmp_path}/")
    assert result.status == 0, result.err
    assert {p.name for p in tmp_path.iterdir()} == {"cpu.pb.gz", "sched.pb.gz"}
    cpu, sched = (pprof_reader.read(tmp_path / f"{k}.pb.gz") for k in ("cpu", "sched"))
    assert cpu.total() > 0 and sched.total(value=4) > 0.5e9
    assert sched.sample_types == SAMPLE_TYPES


def test_formats_are_those_of_the_kind(tmp_path):
    with Workload("burn") as burn:
        done = cprofd("--pid", burn.pid, "--sched", "0.2", "-o", "-", "--format", "prom")
        assert done.status == 0, done.err
        (tmp_path / "stdout.prom").write_bytes(done.out)
        check_metrics(tmp_path / "stdout.prom")
        refused = cprofd("--pid", burn.pid, "--cpu", "0.2", "-o", tmp_path / "cpu.prom")
        assert refused.status == 2 and ".pb.gz" in refused.err, refused.err


USAGE = [
    ("no duration", ["--sched"], "--sched"),
    ("bad duration", ["--sched", "1x"], "1x"),
    ("objective without a value", ["--sched", "1s", "--sched-slo", "p99"], "p99"),
    ("objective beyond 100", ["--sched", "1s", "--sched-slo", "p101=1ms"], "p101"),
    ("objective without a unit it knows", ["--sched", "1s", "--sched-slo", "p99=1lightyear"],
     "1lightyear"),
    ("objective of words", ["--sched", "1s", "--sched-slo", "fast"], "fast"),
    ("objective without its kind", ["--cpu", "1s", "--sched-slo", "p99=1ms"], "--sched"),
    ("interval of zero", ["--sched", "1s", "--interval", "0"], "0"),
    ("interval of words", ["--sched", "1s", "--interval", "often"], "often"),
    ("grouped by nothing known", ["--sched", "1s", "--by", "colour"], "colour"),
    ("too many worst waits", ["--sched", "1s", "--worst", "65"], "65"),
    ("worst waits of words", ["--sched", "1s", "--worst", "bad"], "bad"),
    ("unknown suffix", ["--sched", "1s", "-o", "x.svg"], ".prom"),
    ("two kinds into a file", ["--sched", "1s", "--cpu", "1s", "-o", "x.pb.gz"], "directory"),
]


@pytest.mark.parametrize("args, word", [u[1:] for u in USAGE], ids=[u[0] for u in USAGE])
def test_usage(tmp_path, args, word):
    result = cprofd(*args, cwd=tmp_path)
    assert result.status == 2, f"status {result.status}: {result.err}"
    assert len(result.err_lines) == 1 and word in result.err, result.err
    assert result.out == b"" and not list(tmp_path.iterdir())


def test_command_that_ends_first(tmp_path):
    """Its status is ours; the window is as long as it lived."""
    path = tmp_path / "sched.json"
    result = cprofd("--sched", "60s", "-o", path, "--", "sh", "-c", "sleep 0.2; exit 3")
    assert result.status == 3, result.err
    assert Report(path).data["duration_ns"] < 20e9


def test_many_names_stay_bounded(tmp_path):
    """More threads and names than anybody wants to see: bounded, and nothing is missing."""
    window = Run(tmp_path, "--by", "comm", mode="names")
    threads = window.report.data["threads"]
    assert len(threads) >= 10000 and window.report.data["notes"]["names_full"] > 0
    check_metrics(window.paths["prom"])
    text = window.paths["prom"].read_text(encoding="utf-8")
    labels = set(re.findall(r'comm="([^"]*)"', text))
    assert "__other__" in labels and len(labels) <= 51, len(labels)
    assert max(len(line) for line in window.result.out.decode().splitlines()) <= 100
    assert window.result.out.count(b"\n") < 150, "the view is not longer for it"


def programs_of(pid):
    """Ids of the BPF programs that a process has open."""
    ids = set()
    for fd in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            ids.update(re.findall(r"^prog_id:\s+(\d+)", fd.read_text(), re.M))
        except OSError:
            continue  # closed meanwhile
    return ids


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ended", "killed"])
def test_probe_is_gone_afterwards(tmp_path, number):
    bpftool = which("bpftool")

    def left():
        show = subprocess.run([bpftool, "prog", "show"], stdout=subprocess.PIPE, check=True)
        return set(re.findall(r"^(\d+):", show.stdout.decode(), re.M)) & programs

    with Scheduled("--sched", "0", "-o", tmp_path / "sched.json") as running:
        running.wait_attached()
        programs = programs_of(running.pid)
        assert programs and left() == programs
        os.killpg(running.pid, number)
        running.finish()
    wait_until(lambda: not left(), 5, "the kernel to free what nobody holds")
