# SPDX-License-Identifier: BSD-2-Clause
"""Who runs: processes that come, go, change their image or hide in namespaces."""
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness import (
    CPROFD,
    WORKLOADS,
    Started,
    Workload,
    check_accounting,
    comm_of,
    counters_of,
    record,
    record_beside,
    wait_until,
)
import pprof_reader


def share_in_user(profile, function):
    """Percent of the samples taken outside of the kernel that have it in their stack."""
    return profile.share(lambda s: function in s.names, lambda s: not s.frames[0].is_kernel)


def test_storm_of_short_processes(tmp_path):
    """Processes of 1 to 5 ms: every sample accounted for, the right name, the right function."""
    command = [WORKLOADS / "storm", "3"]
    profile = record(tmp_path, seconds=0, freq=999, command=command)
    children, cpu_ms = re.search(r"ran (\d+) children (\d+) ms", profile.stdout).groups()

    def is_child(sample):
        return sample.labels["comm"] == "storm_child"

    pids = {s.pid for s in profile.samples if is_child(s)}
    assert len(pids) >= 0.5 * int(children), "more than half of them burn longer than a tick"
    sampled_ms = profile.total(is_child, value=1) / 1e6
    assert 0.6 * int(cpu_ms) <= sampled_ms <= 1.15 * int(cpu_ms), (sampled_ms, cpu_ms)
    own = [s for s in profile.samples if is_child(s) and s.frames[0].module == "storm_child"]
    named = sum(s.values[0] for s in own if "storm_spin" in s.names)
    total = sum(s.values[0] for s in own)
    assert total > 0 and named >= 0.99 * total, f"{named} of {total} in storm_spin"
    # What else ran there lies in Debian's stripped loader and libc or in the PLT, and is known to.
    elsewhere = {
        s.frames[0].name for s in profile.samples if is_child(s) and not s.frames[0].is_named
    }
    assert elsewhere <= {"[ld-linux-x86-64.so.2]", "[libc.so.6]", "[storm_child]"}, elsewhere


def test_exec_in_place(tmp_path):
    """Two images with the same addresses take turns in one process every 20 ms."""
    first, second = WORKLOADS / "twin_a", WORKLOADS / "twin_b"
    with Workload(first, "20", second, is_command=True, silent=True) as twins:
        profile = record(tmp_path, "--pid", twins.pid, seconds=2)
    assert {s.pid for s in profile.samples if not s.is_lost} == {twins.pid}
    for own, other in (("spin_of_a", "spin_of_b"), ("spin_of_b", "spin_of_a")):
        comm = own.replace("spin_of", "twin")
        with_comm = [s for s in profile.samples if s.labels.get("comm") == comm]
        assert sum(s.values[0] for s in with_comm if own in s.names) > 100
        assert not [s for s in with_comm if other in s.names], f"{other} under {comm}"


def test_exec_during_the_window_from_another_program(tmp_path):
    script = f"while :; do {WORKLOADS}/twin_a 15; {WORKLOADS}/twin_b 15; done"
    command = ["timeout", "1.5", "sh", "-c", script]
    profile = record(tmp_path, seconds=2, command=command, status=124)
    for own, other in (("spin_of_a", "spin_of_b"), ("spin_of_b", "spin_of_a")):
        comm = own.replace("spin_of", "twin")
        assert profile.total(lambda s, n=own: n in s.names) > 50
        assert not [s for s in profile.samples if other in s.names and s.labels["comm"] == comm]


def test_main_thread_that_exits_first(tmp_path):
    with Workload("main_exits") as workload:
        ((thread, function),) = workload.expected("thread")
        wait_until(lambda: "Z" in Path(f"/proc/{workload.pid}/stat").read_text().rsplit(")")[1])
        profile = record(tmp_path, "--pid", workload.pid, seconds=1)
    assert profile.share(lambda s: s.labels["thread"] == thread) == 100.0
    assert share_in_user(profile, function) >= 97


@pytest.mark.parametrize("whole_host", [False, True])
def test_dlopen_during_the_window(tmp_path, whole_host):
    with Workload("late_dlopen", WORKLOADS / "libplugin.so") as workload:

        def load():
            time.sleep(1)
            os.kill(workload.pid, signal.SIGUSR1)

        target = [] if whole_host else ["--pid", workload.pid]
        profile, _ = record_beside(tmp_path, load, *target)
        symbols = [name for (name,) in workload.expected("symbol")]
    for name in symbols:
        count = profile.total(lambda s, n=name: s.pid == workload.pid and n in s.names)
        assert count > 50, f"{name}: {count} samples"
    unnamed = profile.total(lambda s: s.pid == workload.pid and "[libplugin.so]" in s.names)
    assert unnamed <= 5, "no more than what its PLT, which no symbol covers, can take"


@pytest.mark.parametrize("while_running", [False, True])
def test_return_address_in_data(tmp_path, while_running):
    """What a wild frame pointer leads to is no function, whenever the library was mapped."""
    with Workload("late_dlopen", WORKLOADS / "libwild.so") as workload:

        def load():
            os.kill(workload.pid, signal.SIGUSR1)
            time.sleep(0.5)

        if while_running:
            profile, _ = record_beside(tmp_path, load, "--pid", workload.pid, seconds=1)
        else:
            load()
            profile = record(tmp_path, "--pid", workload.pid, seconds=1)
    spinning = [s for s in profile.samples if "plugin_spin" in s.names]
    assert spinning
    for sample in spinning:
        above = sample.names[sample.names.index("plugin_spin") + 1 :]
        assert all(name.startswith("[") or name == "main" for name in above), above


def test_other_mount_and_pid_namespace(tmp_path):
    """The binary exists only in a file system that no other process has mounted."""
    hidden = "/mnt/only_here"
    script = (
        f"mount -t tmpfs none /mnt && cp {WORKLOADS}/burn {hidden} && "
        f"cp {WORKLOADS}/libfoo.so /mnt/ && exec {hidden}"
    )
    with Workload("unshare", "-mpf", "--mount-proc", "sh", "-c", script, is_command=True):
        wait_until(lambda: pid_of("only_here"), what="the hidden program runs")
        pid = pid_of("only_here")
        assert not Path(hidden).exists()
        assert "\t1\n" in re.search(r"NSpid:.*\n", Path(f"/proc/{pid}/status").read_text()).group()
        profile = record(tmp_path, "--pid", pid)
        on_host = record(tmp_path, seconds=1)
    for got in (profile, on_host):
        share = got.share(
            lambda s: "run_shift" in s.names,
            lambda s: s.pid == pid and not s.frames[0].is_kernel,
        )
        assert share >= 97.0, f"{share:.1f} %"
    assert any(m.file == hidden for m in profile.mappings)


def pid_of(comm):
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if comm_of(entry.name) == comm.encode():
                    return int(entry.name)
            except OSError:
                continue
    return None


def test_chroot(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    shutil.copy(WORKLOADS / "twin_a", root / "inside")  # static: needs nothing else
    with Workload("chroot", root, "/inside", "60000", is_command=True, silent=True) as workload:
        wait_until(lambda: comm_of(workload.pid) == b"inside")
        profile = record(tmp_path, "--pid", workload.pid, seconds=1)
    assert share_in_user(profile, "spin_of_a") >= 97


def test_deleted_binary(tmp_path):
    path = tmp_path / "gone"
    shutil.copy(WORKLOADS / "burn", path)
    with Workload(path) as workload:
        path.unlink()
        profile = record(tmp_path, "--pid", workload.pid, seconds=1)
    assert share_in_user(profile, "run_shift") >= 97
    assert not any("(deleted)" in m.file for m in profile.mappings)


def test_replaced_binary_is_not_taken_for_the_old_one(tmp_path):
    """Another file under the same path: no name at all rather than a wrong one."""
    path = tmp_path / "twin"
    shutil.copy(WORKLOADS / "twin_a", path)
    with Workload(path, "60000", silent=True) as workload:
        wait_until(lambda: comm_of(workload.pid) == b"twin")
        path.unlink()
        shutil.copy(WORKLOADS / "twin_b", path)
        profile = record(tmp_path, "--pid", workload.pid, seconds=1)
    assert "spin_of_b" not in profile.functions()


def test_pid_reuse(tmp_path, knob):
    """Two programs with the same addresses churn until at least 100 pids were given out again."""
    live = len(list(Path("/proc").glob("[0-9]*/task/[0-9]*")))
    knob("/proc/sys/kernel/pid_max", 301 + live + 700)

    def churn():
        done = subprocess.run(
            [WORKLOADS / "churn", "7", "2", WORKLOADS / "twin_a", WORKLOADS / "twin_b"],
            stdout=subprocess.PIPE,
            check=True,
        )
        return [int(n) for n in re.findall(rb"reused (\d+) of (\d+)", done.stdout)[0]]

    profile, (reused, started) = record_beside(tmp_path, churn, seconds=8)
    assert reused >= 100, f"only {reused} of {started} pids were used before"
    crossed = [
        s
        for s in profile.samples
        if (s.labels.get("comm") == "twin_a" and "spin_of_b" in s.names)
        or (s.labels.get("comm") == "twin_b" and "spin_of_a" in s.names)
    ]
    assert not crossed, f"{sum(s.values[0] for s in crossed)} samples with the other's symbol"
    right = profile.total(lambda s: "spin_of_a" in s.names or "spin_of_b" in s.names)
    assert right > 1000, f"{right} samples of either program"


def test_kernel_threads(tmp_path):
    """Only kernel stacks; a file that is written and synced keeps some of them busy."""
    kthreads = [
        int(p.name)
        for p in Path("/proc").iterdir()
        if p.name.isdigit() and is_kernel_thread(p.name)
    ]
    assert kthreads
    script = f"while :; do dd if=/dev/zero of={tmp_path}/load bs=1M count=32 conv=fsync; done"
    with Workload("sh", "-c", f"echo ready; {script} 2>/dev/null", is_command=True):
        profile = record(tmp_path, "--pid", ",".join(map(str, kthreads)), seconds=2, freq=4999)
    for sample in profile.samples:
        assert sample.pid in kthreads
        assert not sample.user_frames, sample.names
    if not profile.samples:
        pytest.skip("no kernel thread ran during the window")
    assert profile.share(lambda s: all(f.is_named for f in s.kernel_frames)) >= 99.0


def is_kernel_thread(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return int(stat.rsplit(")", 1)[1].split()[6]) & 0x00200000 != 0  # PF_KTHREAD


def test_cpu_going_offline_and_back(tmp_path, knob):
    online = Path("/sys/devices/system/cpu/cpu1/online")
    if not online.exists():
        pytest.skip("there is no second CPU that can be taken offline")
    knob(online, 1)

    def flip():
        time.sleep(1)
        try:
            online.write_text("0")
        except OSError as error:
            return error.strerror
        time.sleep(1)
        online.write_text("1")
        return None

    with Workload("deep", "60", "2"):
        profile, why = record_beside(tmp_path, flip, "--labels", "cpu", seconds=4)
    if why:
        pytest.skip(f"CPU 1 cannot be taken offline: {why}")
    per_cpu = [
        profile.total(lambda s, c=cpu: "cpu" in s.labels and s.labels["cpu"][0] == c)
        for cpu in (0, 1)
    ]
    # CPU 1 was there for 3 of 4 s: without its coming back it would have 1 s.
    assert per_cpu[1] > 1.7 * 999, per_cpu
    assert per_cpu[1] < 0.9 * per_cpu[0], per_cpu
    assert counters_of(profile)["fired"] > 6 * 999


def test_nothing_stays_behind(tmp_path, burn):
    """Processes, files: after a run there is what was there before."""
    record(tmp_path, "--pid", burn.pid, seconds=1)
    wait_until(lambda: not processes_of(CPROFD), what="no process of ours is left")
    assert os.listdir(tmp_path) == ["cpu.pb.gz"]


def processes_of(program):
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "exe") == str(program):
                found.append(entry.name)
        except OSError:
            continue  # ended meanwhile
    return found
