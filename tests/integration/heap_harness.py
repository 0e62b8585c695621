# SPDX-License-Identifier: BSD-2-Clause
"""Runs cprofd --heap beside programs that know what they allocate, and checks what holds for every
heap profile."""
import json
import math
import os
import re
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import pprof_reader
from harness import (
    BUILD,
    CPROFD,
    KERNEL_DROPS,
    WORKLOADS,
    ProcessGroup,
    Result,
    Started,
    as_under_a_shell,
    check_sane,
    counters_of,
    drops_of,
    need,
    to_text,
    wait_until,
)

INTERVAL = 512 << 10
PRELOAD = BUILD / "libcprof-heap.so"
LIVE_TYPES = [("alloc_objects", "count"), ("alloc_space", "bytes"),
              ("inuse_objects", "count"), ("inuse_space", "bytes")]
SETTLE_S = 0.2
KERNEL = tuple(int(n) for n in re.match(r"(\d+)\.(\d+)", os.uname().release).groups())


def library(name):
    """The path of a shared library as the dynamic linker finds it, or a skip."""
    listing = subprocess.run(["/sbin/ldconfig", "-p"], stdout=subprocess.PIPE, text=True,
                             check=True).stdout
    found = re.search(rf"^\s{re.escape(name)} .*x86-64.*=> (\S+)", listing, re.M)
    if not found:
        pytest.skip(f"{name} is not installed")
    return found.group(1)


def preloaded(name):
    """An environment in which programs use that allocator."""
    return {**os.environ, "LD_PRELOAD": library(name)}


# --- truth ----------------------------------------------------------------------------------------


@dataclass
class Amount:
    """In the order of the sample types."""

    alloc_objects: int = 0
    alloc_space: int = 0
    inuse_objects: int = 0
    inuse_space: int = 0

    def add(self, values):
        self.alloc_objects += values[0]
        self.alloc_space += values[1]
        if len(values) > 2:
            self.inuse_objects += values[2]
            self.inuse_space += values[3]


class Truth:
    """What a program says of itself: function → (size, allocated, kept)."""

    def __init__(self, text):
        data = json.loads(text)
        self.failed = data["failed"]
        # Of no bytes and of one: both count as one.
        self.functions = {
            name: [(max(int(size), 1), *counts) for size, counts in sizes.items()]
            for name, sizes in data["functions"].items()
        }

    def amounts(self):
        out = {}
        for name, sizes in self.functions.items():
            rows = [(n, n * k, kept, kept * k) for k, n, kept in sizes]
            out[name] = Amount(*(sum(column) for column in zip(*rows)))
        return out

    def errors(self, name, interval):
        """Standard errors of the estimates of a function, by independent selection."""
        variances = [0.0] * 4
        for k, allocated, kept in self.functions[name]:
            p = selection(k, interval)
            for i, count in ((0, allocated), (2, kept)):
                variances[i] += count * (1 - p) / p
                variances[i + 1] += count * k * k * (1 - p) / p
        return Amount(*(math.sqrt(v) for v in variances))

    def expected_samples(self, name, interval):
        return sum(n * selection(k, interval) for k, n, _ in self.functions[name])


def selection(size, interval):
    """With what probability an allocation is sampled."""
    return 1.0 if interval == 1 else -math.expm1(-size / interval)


def own_function(sample):
    """Who of the program allocated: its innermost function that is counted."""
    for frame in sample.frames:
        name = frame.name.split("(")[0]
        if name.startswith("alloc_"):
            return name
    return None


def amounts_of(profile, where=lambda sample: True):
    out = {}
    for sample in profile.samples:
        name = own_function(sample)
        if name and where(sample):
            out.setdefault(name, Amount()).add(sample.values)
    return out


def check_exact(profile, truth, ignore=()):
    """To the object and byte, and nothing was lost on the way."""
    counters = counters_of(profile, "heap")
    lost = {k: v for k, v in counters.items() if "dropped" in k and v}
    assert not lost, f"lost: {lost}"
    ours, expected = amounts_of(profile), truth.amounts()
    if len(profile.sample_types) == 2:
        expected = {n: Amount(a.alloc_objects, a.alloc_space) for n, a in expected.items()}
    off = {}
    for name in (ours.keys() | expected.keys()) - set(ignore):
        mine, true = ours.get(name, Amount()), expected.get(name, Amount())
        if mine != true:
            off[name] = f"{mine}, truth {true}"
    assert not off, "\n".join(f"{n}: {o}" for n, o in sorted(off.items()))
    assert any(a.alloc_objects for a in ours.values()), "nothing was seen"


# --- accounting -----------------------------------------------------------------------------------


def check_heap(profile, interval=None):
    """Every identity of the kind, exactly; what holds for each row."""
    c = counters_of(profile, "heap")
    in_kernel = sum(c.get(f"dropped.{r}", 0) for r in KERNEL_DROPS | {"no_return"})
    dropped = sum(drops_of(c).values())
    assert c["fired"] == (c["filtered"] + c["nested"] + c["unsampled"] + c["failed"]
                          + c["unfinished"] + c["submitted"] + in_kernel), c
    assert c["submitted"] == c["consumed"], c
    assert c["consumed"] == c["aggregated"] + dropped - in_kernel, c
    assert c["profiled"] == c["aggregated"] + dropped, c
    check_stacks(c)
    is_live = len(profile.sample_types) == 4
    assert profile.sample_types == (LIVE_TYPES if is_live else LIVE_TYPES[:2])
    assert profile.default_type == ("inuse_space" if is_live else "alloc_space")
    assert profile.period_type == ("space", "bytes")
    if interval:
        assert profile.period == interval, profile.period
    if not is_live:
        assert any("mode=alloc" in comment for comment in profile.comments), profile.comments
    for sample in profile.samples:
        check_row(sample.values)
    if profile.period == 1:
        # Every allocation is a sample and stands for itself.
        assert profile.total(value=0) == c["profiled"], (profile.total(value=0), c)
        assert c["unsampled"] == 0, c
    return c


def check_stacks(c):
    stacks = {k.removeprefix("stacks."): v for k, v in c.items() if k.startswith("stacks.")}
    drops = drops_of(stacks)
    in_kernel = sum(v for k, v in drops.items() if k in KERNEL_DROPS)
    in_user = sum(v for k, v in drops.items() if k not in KERNEL_DROPS)
    assert stacks["fired"] == stacks["submitted"] + in_kernel, c
    assert stacks["submitted"] == stacks["consumed"], c
    assert stacks["consumed"] == stacks["aggregated"] + in_user, c


def check_row(values):
    objects, space, *inuse = values
    assert objects >= 0 and space >= 0 and (objects or space), values
    if inuse:
        assert 0 <= inuse[0] <= objects and 0 <= inuse[1] <= space, values


def complete_share(profile, value=0):
    """Percent of the values whose user stacks are complete."""
    return profile.share(lambda s: not s.frames[-1].name.startswith("[truncated"),
                         lambda s: not s.is_lost) if value == 0 else (
        100 * profile.total(lambda s: not s.frames[-1].name.startswith("[truncated"), value)
        / profile.total(value=value))


# --- programs to profile --------------------------------------------------------------------------


class HeapLoad(ProcessGroup):
    """A program that works after a line and then tells its truth (heap_truth.h)."""

    def __init__(self, *argv, env=None, stderr=None):
        program = argv[0] if os.path.isabs(str(argv[0])) else WORKLOADS / argv[0]
        if program.parent == WORKLOADS:
            need(program)
        self.start([program, *argv[1:]], env=env, stderr=stderr)

    def start(self, argv, **kwargs):
        self.truth, self.said = None, []
        self.popen = subprocess.Popen(
            [str(a) for a in argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=as_under_a_shell,
            **kwargs,
        )
        self.pid = self.popen.pid
        self.read_until("ready")

    def read_until(self, last, timeout=60):
        """What it says, until that; who says nothing for too long is killed."""
        watchdog = threading.Timer(timeout, self.popen.kill)
        watchdog.start()
        try:
            self.read_lines_until(last)
        finally:
            watchdog.cancel()

    def read_lines_until(self, last):
        for raw in self.popen.stdout:
            line = to_text(raw).rstrip("\n")
            self.said.append(line)
            if line == last:
                return
            if line.startswith("truth "):
                self.truth = Truth(line.removeprefix("truth "))
            elif line.startswith("refused "):
                self.stop()
                pytest.skip(f"not on this host: {line.removeprefix('refused ')}")
        raise AssertionError(f"it ended before it was {last}: {self.said[-5:]}{self.errors()}")

    def errors(self):
        return to_text(self.popen.stderr.read()) if self.popen.stderr else ""

    def go(self):
        self.popen.stdin.write(b"\n")
        self.popen.stdin.flush()

    def work(self):
        """Its whole work; it stays alive."""
        self.go()
        self.read_until("done")
        return self.truth

    def end(self, timeout=60):
        """The status it ends with once its input has ended."""
        self.popen.stdin.close()
        self.popen.stdin = None
        out, _ = self.popen.communicate(timeout=timeout)
        self.said += to_text(out or b"").splitlines()
        return self.popen.returncode


def code_changed(pid):
    """{file: offsets} of code in a process's memory that is not the file's: probes."""
    out = {}
    mappings = re.findall(r"^(\w+)-(\w+) r.xp (\w+) \S+ [1-9]\d* +(/.*)$",
                          Path(f"/proc/{pid}/maps").read_text(errors="replace"), re.M)
    with open(f"/proc/{pid}/mem", "rb") as memory:
        for start, end, offset, path in mappings:
            start, end, offset = int(start, 16), int(end, 16), int(offset, 16)
            try:
                with open(f"/proc/{pid}/root{path}", "rb") as file:
                    file.seek(offset)
                    original = file.read(end - start)
            except OSError:
                continue  # deleted meanwhile
            memory.seek(start)
            now = memory.read(len(original))
            for i in range(0, len(now), 4096):
                if now[i:i + 4096] != original[i:i + 4096]:
                    out.setdefault(path, []).extend(
                        offset + i + j for j, (a, b) in enumerate(
                            zip(now[i:i + 4096], original[i:i + 4096])) if a != b)
    return out


def check_unprobed(pid, timeout=20):
    """No probe is in its code. Others on this host may probe the same files for a while."""
    wait_until(lambda: not code_changed(pid), timeout, "no probes are left")


class Heap(Started):
    """cprofd --heap of a process that runs."""

    def links(self, pid):
        """Its links to the process's code; None where the kernel has no such (before 6.6; 6.10's
        does not see all threads)."""
        if KERNEL < (6, 6) or KERNEL == (6, 10):
            return None
        mine = []
        for fd in Path(f"/proc/{self.pid}/fdinfo").iterdir():
            try:
                text = fd.read_text()
            except OSError:
                continue  # closed meanwhile
            if re.search(rf"^pid:\s+(0|{pid})$", text, re.M) and "uprobe_multi" in text:
                mine.append(re.search(r"^link_id:\s+(\d+)$", text, re.M).group(1))
        return sorted(mine)

    def wait_probed(self, pid, timeout=60):
        """Until there are probes of its in the process's code, and no more are added."""
        seen = []

        def is_probed():
            assert self.popen.poll() is None, f"{self.popen.returncode}: {self.popen.stderr.read()}"
            links, code = self.links(pid), code_changed(pid)
            seen.append((links, len(code)))
            is_there = code and (links is None or links)
            return len(seen) > 3 and is_there and all(s == seen[-1] for s in seen[-4:])

        end = time.monotonic() + timeout
        while not is_probed():
            assert time.monotonic() < end, "timed out: probes"
            time.sleep(0.05)

    def end(self, status=0):
        self.interrupt()
        return self.end_by_itself(status)

    def end_by_itself(self, status=0):
        result = self.finish()
        assert result.status == status, f"status {result.status}: {result.err}"
        return result


class HeapCommand(HeapLoad):
    """cprofd --heap DURATION -- PROGRAM: speaks for the program."""

    def __init__(self, args, *argv, duration="0", env=None):
        program = argv[0] if os.path.isabs(str(argv[0])) else WORKLOADS / argv[0]
        self.start([CPROFD, *args, "--heap", duration, "--", program, *argv[1:]], env=env,
                   stderr=subprocess.PIPE)

    def finish(self, timeout=60):
        self.popen.stdin.close()
        self.popen.stdin = None
        out, err = self.popen.communicate(timeout=timeout)
        check_sane(to_text(err))
        return Result(self.popen.returncode, out, to_text(err))


@dataclass
class Run:
    """One profile of one program."""

    profile: object
    truth: Truth
    result: Result
    said: list
    report: dict = field(default_factory=dict)
    counters: dict = field(default_factory=dict)


def outputs(directory, name="heap"):
    return Path(directory) / f"{name}.pb.gz", Path(directory) / f"{name}.json"


def read_run(directory, load, result, interval, name="heap"):
    profile_path, report_path = outputs(directory, name)
    profile = pprof_reader.read(profile_path)
    profile.stdout, profile.stderr = to_text(result.out), result.err
    report = json.loads(report_path.read_text(encoding="utf-8"))
    counters = check_heap(profile, interval)
    return Run(profile, load.truth, result, load.said, report, counters)


def arguments(directory, interval, name="heap"):
    profile_path, report_path = outputs(directory, name)
    return ["--heap-interval", interval, "-o", profile_path, "-o", report_path]


def measure_pid(directory, *program, args=(), interval=1, env=None, settle=SETTLE_S, name="heap"):
    """Probes a program that runs, lets it work, ends when it is done; it must not notice."""
    argv = ["--heap", "0", *arguments(directory, interval, name), *args]
    with HeapLoad(*program, env=env) as load:
        with Heap("--pid", load.pid, *argv) as running:
            running.wait_probed(load.pid)
            time.sleep(settle)
            load.work()
            result = running.end()
        check_unprobed(load.pid)
        assert load.end() == 0
    return read_run(directory, load, result, interval, name)


def measure_command(directory, *program, args=(), interval=1, env=None, settle=SETTLE_S,
                    name="heap"):
    """Runs a program under cprofd; the profile is that of its end."""
    argv = [*arguments(directory, interval, name), *args]
    with HeapCommand(argv, *program, env=env) as load:
        time.sleep(settle)
        load.work()
        result = load.finish()
    assert result.status == 0, f"status {result.status}: {result.err}"
    return read_run(directory, load, result, interval, name)


def measure(directory, source, *program, args=(), **kwargs):
    """source: pid or command (by uprobes), preload (a command with the library)."""
    if source == "pid":
        return measure_pid(directory, *program, args=args, **kwargs)
    if source == "preload":
        need(PRELOAD)
    choice = "preload" if source == "preload" else "uprobe"
    return measure_command(directory, *program, args=["--heap-source", choice, *args], **kwargs)


def wait_for_end(pid, timeout=20):
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), timeout, f"end of {pid}")
