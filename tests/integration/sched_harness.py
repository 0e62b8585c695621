# SPDX-License-Identifier: BSD-2-Clause
"""Runs cprofd --sched beside loads whose waits the kernel accounts for, and reads its reports."""
import json
import os
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import BUILD, WORKLOADS, ProcessGroup, Started, wait_until

PROBE = BUILD / "tests" / "bench" / "sched_probe"
REASONS = ("preempted", "delayed", "runnable")


@dataclass(frozen=True)
class Account:
    """What the kernel says of a thread in schedstat."""

    run_delay_ns: int
    pcount: int


def schedstat(pid, tid):
    words = Path(f"/proc/{pid}/task/{tid}/schedstat").read_text(encoding="ascii").split()
    return Account(int(words[1]), int(words[2]))


def state_of(pid, tid):
    stat = Path(f"/proc/{pid}/task/{tid}/stat").read_text(errors="replace")
    return stat.rsplit(")", 1)[1].split()[0]


class Load(ProcessGroup):
    """tests/workloads/sched_load: ready means that all its threads sleep on a barrier."""

    def __init__(self, mode, seconds=1.0, program=WORKLOADS / "sched_load"):
        self.popen = subprocess.Popen(
            [program, mode, str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = self.popen.pid
        self.roles, self.delayed, self.ended, self.yields = {}, {}, {}, 0
        self.bandwidth = None
        self.read_until("ready")

    def read_until(self, last):
        for line in self.popen.stdout:
            words = line.split()
            if words == [last]:
                return
            if words[0] == "thread":
                self.roles[int(words[1])] = words[2]
            elif words[0] == "delayed":
                self.delayed[int(words[1])] = tuple(map(int, words[2:]))
            elif words[0] == "ended":
                self.ended[int(words[1])] = int(words[2])
            elif words[0] == "yields":
                self.yields = int(words[1])
            elif words[0] == "refused":
                self.stop()
                pytest.skip(f"this host does not permit {words[1]}")
        raise AssertionError(f"sched_load ended before it was {last}")

    def tids(self, role):
        return [tid for tid, name in self.roles.items() if name == role]

    def accounts(self):
        return {tid: schedstat(self.pid, tid) for tid in self.roles}

    def accounts_at_rest(self):
        """Once every thread sleeps and the kernel adds nothing to any account."""
        seen = []

        def is_at_rest():
            if any(state_of(self.pid, tid) != "S" for tid in self.roles):
                return False
            seen.append(self.accounts())
            return len(seen) > 1 and seen[-1] == seen[-2]

        wait_until(is_at_rest, 20, "threads asleep")
        return seen[-1]

    def go(self):
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()

    def wait_done(self):
        self.read_until("done")


class Scheduled(Started):
    """cprofd --sched, until it is interrupted unless 'args' say how long."""

    def is_attached(self):
        for fd in Path(f"/proc/{self.pid}/fdinfo").iterdir():
            try:
                if re.search(r"^tp_name:\s+sched_switch$", fd.read_text(), re.M):
                    return True
            except OSError:
                pass  # closed meanwhile
        return False

    def wait_attached(self):
        def is_attached():
            assert self.popen.poll() is None, self.popen.stderr.read()
            return self.is_attached()

        wait_until(is_attached, 60, "the probe")

    def end(self, status=0):
        self.interrupt()
        result = self.finish()
        assert result.status == status, f"status {result.status}: {result.err}"
        return result


class Ended:
    """The kernel's final account of threads that end meanwhile: {tid: (run_delay_ns, comm)}."""

    def __init__(self):
        if not PROBE.exists():
            pytest.skip("sched_probe was not built: make check-integration builds it")
        self.rows = {}
        self.popen = subprocess.Popen(
            [PROBE, "ended"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.popen.stdout.readline() == "ready\n"
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.popen.stdout:
            words = line.split()
            if words[0] == "ended":
                self.rows[int(words[1])] = (int(words[4]), words[6])

    def wait_for(self, tids):
        wait_until(lambda: tids <= self.rows.keys(), 20, "accounts of threads that ended")
        return {tid: self.rows[tid] for tid in tids}

    def wait_for_comm(self, prefix, count):
        def tids():
            return {tid for tid, (_, comm) in self.rows.copy().items() if comm.startswith(prefix)}

        wait_until(lambda: len(tids()) >= count, 20, f"accounts of {count} threads of {prefix}")
        return {tid: self.rows[tid] for tid in tids()}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.popen.stdin.close()
        self.reader.join(10)
        self.popen.kill()
        self.popen.wait()


# --- reports --------------------------------------------------------------------------------------


class Report:
    """A .json of the sched kind; what holds for each of them is checked on reading."""

    def __init__(self, path):
        self.data = json.loads(Path(path).read_text(encoding="utf-8"))
        self.totals = self.data["totals"]
        self.threads = {}
        for thread in self.data["threads"]:
            # Numbers come round again: two threads of one number are two rows.
            key = thread["pid"], thread["tid"]
            if key not in self.threads:
                self.threads[key] = dict(thread)
                continue
            for column in ("waits", *(f"{r}_ns" for r in REASONS)):
                self.threads[key][column] += thread[column]
        check_report(self)

    def sums(self, pid, tid):
        """(preempted, delayed, runnable) of a thread; zeros if it did not wait."""
        row = self.threads.get((pid, tid))
        return tuple(row[f"{r}_ns"] if row else 0 for r in REASONS)

    def pids(self):
        """Of the threads told apart; what is not (tid 0) has its reason among the notes."""
        notes = self.data["notes"]
        assert (0, 0) not in self.threads or notes["no_state"] or notes["threads_lost"], notes
        return {pid for pid, tid in self.threads if tid}

    def waited(self, pid, tid):
        return sum(self.sums(pid, tid))

    def total(self, reason):
        return self.totals[f"{reason}_ns"]


def check_report(report):
    """Sums of threads are the totals; the totals are those of the histograms, causes and matrix."""
    totals, data = report.totals, report.data
    for name in ("waits", *(f"{r}_ns" for r in REASONS)):
        got = sum(t[name] for t in data["threads"])
        assert got == totals[name], f"{name}: threads {got}, totals {totals[name]}"
    assert sum(totals[f"{r}_ns"] for r in REASONS) == totals["latency_ns"], totals
    for name, histogram in data["histograms"].items():
        check_histogram(name, histogram)
        assert histogram["sum_ns"] == totals[f"{name}_ns"], (name, histogram["sum_ns"], totals)
    histograms = data["histograms"]
    counts = {name: histogram["cnt"] for name, histogram in histograms.items()}
    assert counts["latency"] == totals["waits"]
    assert counts["preempted"] + counts["runnable"] == totals["waits"], "one of both"
    assert counts["delayed"] <= counts["runnable"]
    for group in data.get("groups", {}).get("values", []):
        for name, histogram in group["histograms"].items():
            check_histogram(f"{group['name']} {name}", histogram)
    for name, histogram in histograms.items() if "groups" in data else ():
        for key in ("cnt", "sum_ns"):
            parts = [g["histograms"][name][key] for g in data["groups"]["values"]]
            assert sum(parts) == histogram[key], f"{name}: groups {parts}, all {histogram[key]}"
    check_causes(data["causes"], totals)
    check_matrix(data["matrix"], totals)
    check_worst(data)


def check_histogram(name, histogram):
    buckets, most = histogram["buckets"], histogram["max_ns"]
    assert sum(b["cnt"] for b in buckets) == histogram["cnt"], name
    bounds = [b["le"] for b in buckets]
    assert all(b["cnt"] > 0 for b in buckets) and None not in bounds[:-1], name
    assert bounds == sorted(set(bounds), key=lambda le: le or float("inf")), f"{name}: {bounds}"
    if buckets and bounds[-1] is not None:
        below = bounds[-2] if bounds[1:] else -1
        assert below < most <= bounds[-1], f"{name}: {most} is not in the last bucket"
    quantiles = histogram["quantiles_ns"]
    assert list(quantiles) == ["p50", "p90", "p99", "p99.9"]
    rising = [*quantiles.values(), most]
    assert rising == sorted(rising), f"{name}: {quantiles}"
    for quantile, value in quantiles.items():
        rank = float(quantile[1:]) / 100 * histogram["cnt"]
        below = sum(b["cnt"] for b in buckets if b["le"] and b["le"] <= value)
        before = sum(b["cnt"] for b in buckets if b["le"] and b["le"] < value)
        assert value == most or before - 1e-6 <= rank <= below + 1e-6, f"{name}: {quantile} is {value}"
    assert check_sum(buckets, histogram), name


def check_sum(buckets, histogram):
    """The sum lies between what the buckets' lower and upper bounds allow."""
    high = sum(b["cnt"] * (b["le"] or histogram["max_ns"]) for b in buckets)
    low = sum(b["cnt"] * int((b["le"] or 128e9) / 2 ** 0.125 - 2) for b in buckets)
    return low <= histogram["sum_ns"] <= high


def check_causes(causes, totals):
    got = {r: sum(causes[r].values()) for r in REASONS}
    assert got == {r: totals[f"{r}_ns"] for r in REASONS}, causes
    assert sum(causes["waits"].values()) == totals["waits"], causes


def check_matrix(matrix, totals):
    cells, unknown = matrix["cells"], matrix["unknown"]
    assert sum(c["ns"] for c in cells) + unknown["ns"] == totals["latency_ns"], matrix
    assert sum(c["waits"] for c in cells) + unknown["waits"] == totals["waits"], matrix
    assert matrix["total"] == {"ns": totals["latency_ns"], "waits": totals["waits"]}, matrix


def check_worst(data):
    lengths = [w["wait_ns"] for w in data["worst"]]
    assert lengths == sorted(lengths, reverse=True), "the longest first"
    longest = data["histograms"]["latency"]["max_ns"]
    assert all(0 < length <= longest for length in lengths), (lengths, longest)
    assert not lengths or lengths[0] == longest, (lengths[0], longest)
    for worst in data["worst"]:
        assert sum(worst[f"{r}_ns"] for r in REASONS) == worst["wait_ns"], worst


def check_identity(report, load, before, after):
    """Every thread of the load, to the nanosecond."""
    off = {}
    for tid, role in load.roles.items():
        kernel = after[tid].run_delay_ns - before[tid].run_delay_ns
        ours = report.waited(load.pid, tid)
        if kernel != ours:
            off[f"{role} {tid}"] = f"kernel {kernel}, ours {ours}: {ours - kernel:+d} ns"
    assert not off, off
    assert any(after[t].run_delay_ns > before[t].run_delay_ns for t in load.roles)


def cause_ns(report, cause):
    return sum(report.data["causes"][r][cause] for r in REASONS)


def measure(tmp_path, mode, *args, seconds=1.0, target=True, prepare=None, during=None):
    """One load under cprofd --sched, judged against the kernel's account: (report, load)."""
    path = tmp_path / f"{mode}.json"
    with Load(mode, seconds) as load:
        if prepare:
            prepare(load)
        before = load.accounts_at_rest()
        argv = ["--sched", "0", "-o", path, *args]
        with Scheduled(*argv, *(["--pid", load.pid] if target else [])) as running:
            running.wait_attached()
            load.go()
            if during:
                during(load)
            load.wait_done()
            after = load.accounts_at_rest()
            running.end()
        assert load.accounts() == after, "it slept until the probe was gone"
    report = Report(path)
    check_identity(report, load, before, after)
    return report, load


# --- CPU bandwidth --------------------------------------------------------------------------------


class Bandwidth:
    """A cgroup with a limit, of whichever version has the cpu controller here."""

    def __init__(self, path, is_v1):
        self.path, self.is_v1 = path, is_v1

    def limit(self, quota_us, period_us):
        if self.is_v1:
            self.write("cpu.cfs_period_us", period_us)
            self.write("cpu.cfs_quota_us", quota_us)
        else:
            self.write("cpu.max", f"{quota_us} {period_us}")

    def lift(self):
        if self.is_v1:
            self.write("cpu.cfs_quota_us", -1)
        else:
            self.write("cpu.max", "max")

    def add(self, pid):
        self.write("cgroup.procs", pid)

    def write(self, name, value):
        (self.path / name).write_text(str(value), encoding="ascii")

    def throttled_ns(self):
        """How long its queues had no bandwidth, by the kernel's own account."""
        stat = (self.path / "cpu.stat").read_text(encoding="ascii")
        if self.is_v1:
            return int(re.search(r"^throttled_time (\d+)", stat, re.M).group(1))
        return int(re.search(r"^throttled_usec (\d+)", stat, re.M).group(1)) * 1000


def make_bandwidth():
    """(the group, what to do afterwards), or a skip."""
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, where, kind, options = line.split()[:4]
        is_v1 = kind == "cgroup" and "cpu" in options.split(",")
        if not is_v1 and kind != "cgroup2":
            continue
        root = Path(where)
        if not is_v1:
            if "cpu" not in (root / "cgroup.controllers").read_text(encoding="ascii").split():
                continue
            (root / "cgroup.subtree_control").write_text("+cpu", encoding="ascii")
        path = root / f"cprofd-test-{os.getpid()}"
        path.mkdir()
        if not (path / ("cpu.cfs_quota_us" if is_v1 else "cpu.max")).exists():
            path.rmdir()
            continue
        return Bandwidth(path, is_v1), root
    pytest.skip("no cgroup here limits CPU bandwidth")
    return None


def remove_bandwidth(group, root):
    group.lift()
    for pid in (group.path / "cgroup.procs").read_text(encoding="ascii").split():
        try:
            (root / "cgroup.procs").write_text(pid, encoding="ascii")
        except ProcessLookupError:
            pass
    for _ in range(50):
        try:
            group.path.rmdir()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"{group.path} cannot be removed")
