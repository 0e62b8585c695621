# SPDX-License-Identifier: BSD-2-Clause
"""The process that parses what others wrote: it can do nothing, and may die."""
import os
import re
import signal
import time
from pathlib import Path

import pytest

import pprof_reader
from harness import IS_SANITIZED, Started, as_under_a_shell, check_accounting, wait_until

# The leak sanitizer needs a process of its own, which a full cgroup refuses.
ENV_WITHOUT_LSAN = {
    **os.environ,
    "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0",
}


def children_of(pid):
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def worker_of(running):
    """The worker, which lives only as long as names are looked up: no pause in the waiting."""
    end = time.monotonic() + 30
    while time.monotonic() < end and running.popen.poll() is None:
        for child in children_of(running.pid):
            try:
                if b"--worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return child
            except OSError:
                continue
    raise AssertionError("no worker was seen")


@pytest.fixture
def running(tmp_path, burn):
    argv = ["--pid", burn.pid, "--cpu", "2s", "-F", "999", "-o", tmp_path / "cpu.pb.gz"]
    with Started(*argv) as started:
        started.wait_attached()
        yield started


def last_of(worker):
    """status and limits as they were when the worker was seen last: it has locked itself in."""
    status = limits = ""
    while True:
        try:
            now = Path(f"/proc/{worker}/status").read_text()
            limits = Path(f"/proc/{worker}/limits").read_text() or limits
        except OSError:
            return status, limits
        if "State:\tZ" not in now:
            status = now


def test_worker_has_no_privilege(running):
    status, limits = last_of(worker_of(running))
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert re.search(rf"{name}:\t0+\n", status), f"{name} of the worker: {status}"
    assert "NoNewPrivs:\t1\n" in status
    assert re.search(r"Uid:\t65534\t65534\t65534", status), status
    limit = re.search(r"Max data size +(\S+)", limits).group(1)
    assert limit == "unlimited" if IS_SANITIZED else int(limit) == 512 << 20
    assert running.finish().status == 0


def link_of(fd):
    try:
        return os.readlink(fd)
    except OSError:
        return ""  # closed meanwhile


def test_worker_holds_no_probe(running):
    """Nothing that would keep a probe alive after the collector."""
    worker = worker_of(running)
    for fd in Path(f"/proc/{worker}/fd").iterdir():
        target = link_of(fd)
        assert "bpf" not in target and "perf_event" not in target, target
    assert running.finish().status == 0


def test_workers_that_are_killed_cost_names_at_most(running, tmp_path):
    """Each one as soon as it appears: the profile is written, and its accounting holds."""
    killed = 0
    while running.popen.poll() is None:
        for child in children_of(running.pid):
            try:
                # Not what a sanitizer forks when the program ends.
                if b"--worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(child, signal.SIGKILL)
                    killed += 1
            except OSError:
                continue  # ended meanwhile
    result = running.finish()
    assert killed > 0
    assert result.status == 0, result.err
    check_accounting(pprof_reader.read(tmp_path / "cpu.pb.gz"))


def test_worker_that_is_killed_once_is_replaced(running, tmp_path):
    os.kill(worker_of(running), signal.SIGKILL)
    result = running.finish()
    assert result.status == 0, result.err
    profile = pprof_reader.read(tmp_path / "cpu.pb.gz")
    check_accounting(profile)
    assert profile.total(lambda s: any(f.is_named for f in s.frames)) > 0


def pids_controller():
    """Where the pids controller is mounted, by itself or as part of version 2."""
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[2] == "cgroup" and "pids" in words[3].split(","):
            return Path(words[1])
        if words[2] == "cgroup2":
            control = Path(words[1]) / "cgroup.subtree_control"
            if "pids" in control.read_text().split():
                return Path(words[1])
    return None


@pytest.fixture
def full_cgroup():
    """A cgroup in which no process can be started."""
    root = pids_controller()
    if not root:
        pytest.skip("the pids cgroup controller is not available")
    group = root / f"cprofd-test-{os.getpid()}"
    group.mkdir()
    (group / "pids.max").write_text("0")
    yield group
    wait_until(lambda: not (group / "cgroup.procs").read_text(), what="the cgroup is empty")
    group.rmdir()


def test_worker_that_cannot_be_started(burn, tmp_path, full_cgroup):
    """A profile without names and a warning, not a lost profile."""

    def enter():
        as_under_a_shell()
        (full_cgroup / "cgroup.procs").write_text("0")  # whoever writes

    argv = ["--pid", burn.pid, "--cpu", "1s", "-F", "999", "-o", tmp_path / "cpu.pb.gz"]
    with Started(*argv, env=ENV_WITHOUT_LSAN, preexec_fn=enter) as started:
        result = started.finish()
    assert result.status == 0, result.err
    assert [line for line in result.err_lines if "worker" in line], result.err
    profile = pprof_reader.read(tmp_path / "cpu.pb.gz")
    check_accounting(profile)
    assert profile.total() > 0
    assert "[burn]" in profile.functions() and "burn_fifty" not in profile.functions()
