# SPDX-License-Identifier: BSD-2-Clause
"""Every TARGET: what is asked for is sampled, nothing else is."""
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from harness import (
    WORKLOADS,
    Started,
    Workload,
    check_accounting,
    comm_of,
    counters_of,
    cprofd,
    record,
    wait_until,
)
from test_processes import record_beside
import pprof_reader


def runs_in_group_of(running, comm):
    """Whether a process of that name is in cprofd's process group: not just any such process."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if comm_of(entry.name) == comm and os.getpgid(int(entry.name)) == running.pid:
                return True
        except OSError:
            continue  # ended meanwhile
    return False


def pids_in(profile):
    return {s.pid for s in profile.samples if not s.is_lost}


def test_list_of_pids(tmp_path):
    with Workload("burn") as one, Workload("burn") as two, Workload("burn"):
        profile = record(tmp_path, "-p", f"{one.pid},{two.pid}", seconds=1)
    assert pids_in(profile) == {one.pid, two.pid}


def test_pid_leaves_children_out(tmp_path):
    with Workload("family", "20") as family:
        profile = record(tmp_path, "--pid", family.pid, seconds=1)
    assert pids_in(profile) == {family.pid}
    assert "parent_spin" in profile.functions()
    assert not {"child_spin", "grandchild_spin"} & profile.functions()


def test_others_are_filtered_in_the_kernel(tmp_path):
    """What is not the target's is counted, and no sample of it is taken."""
    with Workload("burn") as target, Workload("burn"), Workload("burn"):
        profile = record(tmp_path, "--pid", target.pid, seconds=1)
    counters = counters_of(profile)
    assert counters["filtered"] > 500
    assert counters["submitted"] < 1100


def under_own_name(directory, workload):
    """A copy whose name no other process of this host has."""
    path = Path(directory) / f"{workload[:5]}{os.getpid()}"
    shutil.copy(WORKLOADS / workload, path)
    return path


def test_comm(tmp_path):
    program = under_own_name(tmp_path, "burn")
    with Workload(program) as one, Workload("burn"):

        def start_another():
            time.sleep(1)
            return Workload(program)

        profile, late = record_beside(tmp_path, start_another, "--comm", program.name)
        late.stop()
    assert pids_in(profile) == {one.pid, late.pid}


def test_comm_is_that_of_the_leader(tmp_path):
    """Threads with other names belong to it."""
    program = under_own_name(tmp_path, "threads")
    with Workload(program) as threads:
        profile = record(tmp_path, "--comm", program.name, seconds=1)
    assert {s.labels["thread"] for s in profile.samples} >= {"alpha", "beta", "gamma"}
    assert pids_in(profile) == {threads.pid}


def test_cgroup_with_descendants(tmp_path, cgroup):
    with Workload("burn") as inside, Workload("burn") as nested, Workload("burn"):
        (cgroup / "cgroup.procs").write_text(str(inside.pid))
        (cgroup / "inner" / "cgroup.procs").write_text(str(nested.pid))
        by_path = record(tmp_path, "--cgroup", cgroup, seconds=1)
        by_name = record(tmp_path, "--cgroup", f"/{cgroup.name}/inner", seconds=1)
    assert pids_in(by_path) == {inside.pid, nested.pid}
    assert pids_in(by_name) == {nested.pid}


def test_command_and_its_children(tmp_path):
    profile = record(tmp_path, seconds=0, command=[WORKLOADS / "family", "1"])
    assert {"parent_spin", "child_spin", "grandchild_spin"} <= profile.functions()
    assert len(pids_in(profile)) == 3
    assert {s.labels["comm"] for s in profile.samples} == {"family"}


def test_command_is_counted_from_its_exec_on(tmp_path):
    """Never cprofd's own child before it: no sample has cprofd's name or code."""
    for _ in range(3):
        command = [WORKLOADS / "twin_a", "50"]
        profile = record(tmp_path, seconds=0, freq=4999, command=command)
        assert {s.labels["comm"] for s in profile.samples} == {"twin_a"}
        assert not any(m.file.endswith("/cprofd") for m in profile.mappings)


def test_others_do_not_count_with_command(tmp_path, burn):
    profile = record(tmp_path, seconds=0, command=[WORKLOADS / "deep", "1"])
    assert burn.pid not in pids_in(profile)


@pytest.mark.parametrize(
    "script, status",
    [
        ("exit 0", 0),
        ("exit 7", 7),
        ("kill -9 $$", 128 + signal.SIGKILL),
        ("kill -TERM $$", 128 + signal.SIGTERM),
    ],
)
def test_status_of_command(tmp_path, script, status):
    record(tmp_path, seconds=0, command=["sh", "-c", script], status=status)


def test_command_that_does_not_exist(tmp_path):
    result = cprofd("--cpu", "0", "-o", tmp_path / "x.pb.gz", "--", "/nonexistent/program")
    assert result.status == 127
    assert len(result.err_lines) == 1 and "/nonexistent/program" in result.err
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("what", ["file", "directory"])
def test_command_that_cannot_be_run(tmp_path, what):
    path = tmp_path / "thing"
    path.mkdir() if what == "directory" else path.write_text("no program\n")
    result = cprofd("--cpu", "0", "-o", tmp_path / "x.pb.gz", "--", path)
    assert result.status == 126
    assert len(result.err_lines) == 1 and str(path) in result.err
    assert os.listdir(tmp_path) == ["thing"]


def test_command_is_found_in_path_and_gets_its_streams(tmp_path):
    result = cprofd(
        "--cpu", "0", "-q", "-o", tmp_path / "x.pb.gz", "--", "sh", "-c", "cat; echo err >&2",
        stdin=None, input=b"through\n",
    )
    assert result.status == 0
    assert b"through\n" in result.out
    assert "err" in result.err_lines


def test_user(tmp_path):
    script = "id -u; id -G; cat /proc/self/status"
    result = cprofd(
        "--cpu", "0", "-o", tmp_path / "x.pb.gz", "--user", "nobody", "--", "sh", "-c", script
    )
    assert result.status == 0, result.err
    lines = result.text.splitlines()
    assert lines[0] == "65534" and lines[1] == "65534"
    assert "CapEff:\t0000000000000000" in lines
    assert (tmp_path / "x.pb.gz").stat().st_uid == 0


def test_user_that_does_not_exist(tmp_path):
    result = cprofd("--cpu", "0", "-o", tmp_path / "x.pb.gz", "--user", "no_such", "--", "true")
    assert result.status in (1, 2)
    assert len(result.err_lines) == 1 and "no_such" in result.err
    assert not os.listdir(tmp_path)


def test_user_without_command():
    result = cprofd("--cpu", "1s", "--user", "nobody")
    assert result.status == 2


def test_window_ends_before_command(tmp_path):
    """The profile is there while COMMAND runs on; its status is still passed on."""
    path = tmp_path / "cpu.pb.gz"
    start = time.monotonic()
    with Started("--cpu", "500ms", "-o", path, "--", "sh", "-c", "sleep 4; exit 9") as running:
        wait_until(path.exists, timeout=4, what="the profile is written")
        assert running.popen.poll() is None, "cprofd waits for COMMAND"
        check_accounting(pprof_reader.read(path))
        result = running.finish()
    assert result.status == 9
    assert time.monotonic() - start >= 4


def test_command_ends_before_window(tmp_path):
    start = time.monotonic()
    record(tmp_path, seconds=60, command=["sleep", "0.3"])
    assert time.monotonic() - start < 20


def test_target_ends(tmp_path):
    path = tmp_path / "cpu.pb.gz"
    with Workload("burn", "2") as burn:
        with Started("--cpu", "0", "--pid", burn.pid, "-o", path) as running:
            result = running.finish(timeout=30)
    assert result.status == 0, result.err
    profile = pprof_reader.read(path)
    check_accounting(profile)
    assert profile.share(lambda s: "run_shift" in s.names) > 90


def test_interrupt_ends_early_and_writes(tmp_path, burn):
    path = tmp_path / "cpu.pb.gz"
    with Started("--cpu", "60s", "--pid", burn.pid, "-o", path) as running:
        running.wait_attached()
        time.sleep(1)
        running.interrupt()
        result = running.finish()
    assert result.status == 0, result.err
    profile = pprof_reader.read(path)
    check_accounting(profile)
    assert 0.5e9 < profile.duration_ns < 10e9, "the duration is that of the window as it was"
    assert profile.total() > 10


def test_terminate_ends_early_and_writes(tmp_path, burn):
    path = tmp_path / "cpu.pb.gz"
    with Started("--cpu", "60s", "--pid", burn.pid, "-o", path) as running:
        running.wait_attached()
        os.kill(running.pid, signal.SIGTERM)
        running.finish()
    check_accounting(pprof_reader.read(path))


def test_interrupt_reaches_command(tmp_path):
    path = tmp_path / "cpu.pb.gz"
    with Started("--cpu", "0", "-o", path, "--", WORKLOADS / "burn", "60") as running:
        running.wait_attached()
        wait_until(lambda: runs_in_group_of(running, b"burn"), what="COMMAND runs")
        running.interrupt()
        result = running.finish()
    assert result.status == 128 + signal.SIGINT
    check_accounting(pprof_reader.read(path))


def test_second_interrupt_aborts(tmp_path):
    """COMMAND ignores ^C: the first ends the window, the second the waiting."""
    path = tmp_path / "cpu.pb.gz"
    script = "trap '' INT; sleep 60"
    with Started("--cpu", "0", "-o", path, "--", "sh", "-c", script) as running:
        running.wait_attached()
        wait_until(lambda: runs_in_group_of(running, b"sleep"), what="COMMAND runs")
        running.interrupt()
        wait_until(path.exists, what="the profile is written")
        assert running.popen.poll() is None, "COMMAND runs on"
        running.interrupt()
        result = running.popen.wait(timeout=10)
        os.killpg(running.pid, signal.SIGKILL)  # the COMMAND that would not end
    assert result != 0


def test_killed_leaves_nothing(tmp_path, burn):
    """SIGKILL in the middle: no file, no probe, no process."""
    path = tmp_path / "cpu.pb.gz"
    with Started("--cpu", "60s", "--pid", burn.pid, "-o", path) as running:
        running.wait_attached()
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        running.popen.kill()
        running.popen.communicate()
        wait_until(
            lambda: not any(Path(f"/proc/{c}").exists() for c in children), what="the worker ends"
        )
    assert not os.listdir(tmp_path)
