# SPDX-License-Identifier: BSD-2-Clause
"""Signals at every moment of a run, and descriptors and limits a shell may leave us with."""
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import pprof_reader
from harness import (
    CPROFD,
    Started,
    Workload,
    as_under_a_shell,
    check_accounting,
    cprofd,
    run,
    wait_until,
)


def ignoring(number):
    def ignore():
        as_under_a_shell()
        signal.signal(number, signal.SIG_IGN)

    return ignore


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_ignored_at_the_start_stays_ignored(tmp_path, number):
    """nohup, and what a shell without job control starts with &."""
    path = tmp_path / "cpu.pb.gz"
    with Started("--cpu", "2s", "-o", path, preexec_fn=ignoring(number)) as running:
        running.wait_attached()
        os.kill(running.pid, number)
        result = running.finish()
    assert result.status == 0, result.err
    profile = pprof_reader.read(path)
    check_accounting(profile)
    assert profile.duration_ns >= 2e9


def test_signal_during_start(tmp_path):
    """Nothing half made is left, whenever it comes."""
    for delay_ms in range(0, 60, 6):
        directory = tmp_path / f"out{delay_ms}"
        popen = subprocess.Popen(
            [CPROFD, "--cpu", "60s", "-o", f"{directory}/"], stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, start_new_session=True, preexec_fn=as_under_a_shell,
        )
        time.sleep(delay_ms / 1000)
        os.killpg(popen.pid, signal.SIGINT)
        status = popen.wait(timeout=30)
        if directory.exists():
            assert status == 0 and os.listdir(directory) == ["cpu.pb.gz"], (delay_ms, status)
        else:
            assert status in (130, -signal.SIGINT), (delay_ms, status)


def test_interrupt_after_the_window_is_commands(tmp_path):
    path = tmp_path / "cpu.pb.gz"
    script = "trap 'sleep 1; exit 5' INT; while :; do sleep 0.1; done"
    with Started("--cpu", "300ms", "-o", path, "--", "sh", "-c", script) as running:
        wait_until(path.exists, what="the profile is written")
        running.interrupt()
        result = running.finish()
    assert result.status == 5, result.err
    assert "aborted" not in result.err


def test_profile_is_titled_by_command(tmp_path):
    path = tmp_path / "cpu.pb.gz"
    result = cprofd("--cpu", "0", "-F", "999", "-o", path, "--", "/usr/bin/python3", "-c",
                    "sum(i * i for i in range(2000000))")
    assert result.status == 0, result.err
    profile = pprof_reader.read(path)
    assert profile.mappings[0].file.startswith("/usr/bin/python3"), profile.mappings[0]
    assert f"File: {Path(profile.mappings[0].file).name}" in result.text


def test_json_and_profile_cannot_share_stdout(tmp_path):
    result = cprofd("--cpu", "1s", "--json", "-o", "-", "--format", "folded", cwd=tmp_path)
    assert result.status == 2 and len(result.err_lines) == 1, result.err


def test_file_size_limit_is_a_failed_write(tmp_path):
    command = f"ulimit -f 0; exec {CPROFD} --cpu 200ms -q -o {tmp_path}/cpu.pb.gz"
    with Workload("burn"):
        result = run("sh", "-c", command)
    assert result.status == 1, (result.status, result.err)
    assert "File too large" in result.err
    assert os.listdir(tmp_path) == []


def test_closed_standard_descriptors(tmp_path):
    """What is printed must not end up in a file that took the number."""
    with Workload("burn"):
        result = run("sh", "-c", f"exec {CPROFD} --cpu 300ms -o {tmp_path}/cpu.pb.gz <&- >&- 2>&-")
    assert result.status == 0
    check_accounting(pprof_reader.read(tmp_path / "cpu.pb.gz"))


def test_share_of_complete_stacks_is_the_profiles(tmp_path):
    path = tmp_path / "cpu.pb.gz"
    result = cprofd("--cpu", "1s", "-F", "999", "-o", path, "--", "sh", "-c", "ls -R /usr/share/doc")
    assert result.status == 0
    profile = pprof_reader.read(path)

    def cut(sample):
        return any(n.startswith("[truncated: ") or n == "[unknown]" for n in sample.names)

    stacks = profile.total(lambda s: cut(s) or (s.frames and not s.frames[-1].is_kernel))
    share = 100 - 100 * profile.total(cut) / stacks
    said = [line for line in result.err_lines if "user stacks are complete" in line]
    assert len(said) == 1 and f"{share:.2f} % of {stacks} " in said[0], (share, stacks, result.err)
