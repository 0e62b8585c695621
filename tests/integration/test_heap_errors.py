# SPDX-License-Identifier: BSD-2-Clause
"""What cannot be probed: a named reason on one line, an exit status, a target that did not notice."""
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

import pprof_reader
from harness import WORKLOADS, Workload, cprofd, need, run, symbols_of, wait_until, which
from heap_harness import (
    PRELOAD,
    SETTLE_S,
    Heap,
    HeapLoad,
    amounts_of,
    arguments,
    check_exact,
    check_heap,
    check_unprobed,
    code_changed,
    measure_command,
    outputs,
    read_run,
)
from test_errors import check_refused, free_pid

USAGE = [
    ("no TARGET", ["--heap", "1s"], "--heap-host-wide"),
    ("host-wide with a target", ["--heap", "1s", "--heap-host-wide", "--pid", "1"], "--pid"),
    ("no duration", ["--heap"], "--heap"),
    ("bad duration", ["--pid", "1", "--heap", "10x"], "10x"),
    ("interval of zero", ["--pid", "1", "--heap", "1s", "--heap-interval", "0"], "0"),
    ("negative interval", ["--pid", "1", "--heap", "1s", "--heap-interval", "-1"], "-1"),
    ("interval is a word", ["--pid", "1", "--heap", "1s", "--heap-interval", "small"], "small"),
    ("interval above the limit", ["--pid", "1", "--heap", "1s", "--heap-interval", "2G"], "2G"),
    ("interval overflows", ["--pid", "1", "--heap", "1s", "--heap-interval",
                            "99999999999999999999"], "99999999999999999999"),
    ("empty interval", ["--pid", "1", "--heap", "1s", "--heap-interval", ""], "heap-interval"),
    ("unknown mode", ["--pid", "1", "--heap", "1s", "--heap-mode", "dead"], "dead"),
    ("unknown source", ["--pid", "1", "--heap", "1s", "--heap-source", "ptrace"], "ptrace"),
    ("budget of zero", ["--pid", "1", "--heap", "1s", "--heap-budget", "0"], "0"),
    ("negative budget", ["--pid", "1", "--heap", "1s", "--heap-budget", "-3"], "-3"),
    ("budget above 100", ["--pid", "1", "--heap", "1s", "--heap-budget", "101"], "101"),
    ("budget is a word", ["--pid", "1", "--heap", "1s", "--heap-budget", "low"], "low"),
    ("interval without --heap", ["--cpu", "1s", "--heap-interval", "1M"], "--heap"),
    ("mode without --heap", ["--cpu", "1s", "--heap-mode", "live"], "--heap"),
    ("source without --heap", ["--cpu", "1s", "--heap-source", "uprobe"], "--heap"),
    ("budget without --heap", ["--cpu", "1s", "--heap-budget", "1"], "--heap"),
    ("a format of another kind", ["--pid", "1", "--heap", "1s", "-o", "x.prom"], ".prom"),
]


@pytest.mark.parametrize("args, word", [case[1:] for case in USAGE], ids=[c[0] for c in USAGE])
def test_usage(tmp_path, args, word):
    check_refused(cprofd(*args, cwd=tmp_path), 2, word)
    assert not os.listdir(tmp_path)


def test_nobody_has_the_pid(tmp_path):
    pid = free_pid()
    check_refused(cprofd("--pid", pid, "--heap", "1s", cwd=tmp_path), 3, str(pid))
    assert not os.listdir(tmp_path)


def check_cannot(tmp_path, pid, *words):
    """One line says of which process and why; nothing is written."""
    result = cprofd("--pid", pid, "--heap", "300ms", "-q", cwd=tmp_path)
    assert result.status not in (0, 2), result.err
    assert len(result.err_lines) == 1, result.err
    for word in (str(pid), *words):
        assert re.search(word, result.err), f"'{word}' in: {result.err}"
    assert not os.listdir(tmp_path)
    return result


def test_go(tmp_path):
    need(WORKLOADS / "go_profile")
    with Workload("truth_go", "3600", silent=True) as load:
        time.sleep(0.3)
        check_cannot(tmp_path, load.pid, r"\bGo\b")
        assert load.popen.poll() is None
        check_unprobed(load.pid)


def test_stripped_static(tmp_path):
    with HeapLoad("heap_truth_stripped", "1") as load:
        check_cannot(tmp_path, load.pid, "static|stripped|symbol")
        load.work()
        assert load.end() == 0


def test_first_thread_has_ended(tmp_path):
    with Workload("heap_life", "lead_ended", silent=True) as load:
        status = Path(f"/proc/{load.pid}/status")
        wait_until(lambda: "\nState:\tZ" in status.read_text(), what="its first thread ends")
        check_cannot(tmp_path, load.pid, "first thread")
        assert load.popen.poll() is None


def test_no_allocator(tmp_path):
    """The C library is all there is, and it calls nobody: a program without one."""
    source = tmp_path / "bare.c"
    source.write_text("void _start(void) { for (;;) __asm__ volatile(\"pause\"); }\n")
    program = tmp_path / "bare"
    done = run(which("gcc"), "-O1", "-nostdlib", "-static", "-o", program, source)
    assert done.status == 0, done.err
    out = tmp_path / "out"
    out.mkdir()
    with Workload(program, silent=True) as load:
        check_cannot(out, load.pid, "allocator|malloc")
        assert load.popen.poll() is None


def test_32_bit(tmp_path):
    need(WORKLOADS / "compat32")
    with Workload("compat32") as load:
        check_cannot(tmp_path, load.pid, "32-bit")
        assert load.popen.poll() is None


def test_preload_that_cannot_be(tmp_path):
    """Static, set-uid, without the library: uprobes, and the reason is said."""
    need(PRELOAD)
    result = measure_command(tmp_path, "heap_truth_static", "1", "1", "3")
    assert re.search("static", result.result.err) and "uprobe" in result.result.err
    check_exact(result.profile, result.truth)


OWN_ALLOCATOR = """
#include <stddef.h>
static char pool[1 << 26];
static size_t used;
void *malloc(size_t size)
{
	void *ptr = pool + __atomic_fetch_add(&used, (size + 15) & ~15UL, __ATOMIC_RELAXED);

	return ptr;
}
void free(void *ptr)
{
	__asm__ volatile("" : : "r"(ptr) : "memory");
}
__attribute__((noinline)) void *alloc_kept(size_t size)
{
	void *volatile ptr = malloc(size);

	return ptr;
}
int main(void)
{
	for (int i = 0; i < 1000; i++)
		alloc_kept(100);
	return 7;
}
"""


def test_preload_of_who_has_malloc_itself(tmp_path):
    """The linker gives everybody that one: behind it a library would see nothing."""
    source, program = tmp_path / "own.c", tmp_path / "own"
    source.write_text(OWN_ALLOCATOR)
    done = run(which("gcc"), "-O1", "-fno-builtin", "-fno-optimize-sibling-calls", "-o", program,
               source)
    assert done.status == 0, done.err
    path = tmp_path / "x.pb.gz"
    result = cprofd("--heap", "0", "--heap-interval", "1", "-o", path, "--", program)
    assert result.status == 7, result.err
    assert "allocator of its own" in result.err and "uprobe" in result.err, result.err
    profile = pprof_reader.read(path)
    check_heap(profile, 1)
    assert amounts_of(profile)["alloc_kept"].alloc_objects > 100
    # It ends before there are tables: most have no stack.
    assert 1000 <= sum(sample.values[0] for sample in profile.samples) < 1100


def test_preload_before_asan(tmp_path):
    """Its library ends the program where another comes first."""
    source = tmp_path / "asan.c"
    source.write_text("int main(void) { return 7; }\n")
    program = tmp_path / "asan"
    if run(which("gcc"), "-fsanitize=address", "-o", program, source).status:
        pytest.skip("gcc has no AddressSanitizer")
    result = cprofd("--heap", "0", "-o", tmp_path / "x.pb.gz", "--", program)
    assert result.status == 7, result.err
    assert re.search("libasan", result.err) and "uprobe" in result.err


def test_preload_is_not_in_the_process(tmp_path):
    with HeapLoad("heap_life", "sleep") as load:
        result = cprofd("--pid", load.pid, "--heap", "300ms", "--heap-source", "preload", "-q",
                        cwd=tmp_path)
        assert result.status not in (0, 2) and len(result.err_lines) == 1, result.err
        assert "libcprof-heap" in result.err or "preload" in result.err
        assert load.end() == 0


# --- those who may not be disturbed ---------------------------------------------------------------


@pytest.mark.parametrize("interval", ["1", "512K"])
def test_seccomp_strict(tmp_path, interval):
    """A system call too many would end it, and a return probe may be one: it lives on, probed or
    not, and if not that is said."""
    argv = ["--heap", "0", "--heap-interval", interval, "-o", tmp_path / "x.pb.gz"]
    with HeapLoad("heap_seccomp") as load:
        with Heap("--pid", load.pid, *argv) as running:
            try:
                running.wait_probed(load.pid, timeout=5)
            except AssertionError:
                pass  # refused, or by the first thing that it finds
            for _ in range(20):
                load.go()
                load.read_until("alive")
            if running.popen.poll() is None:
                running.interrupt()
            result = running.finish()
        load.go()
        load.read_until("alive")
        assert load.end() == 0, load.said
    if result.status:
        assert "seccomp" in result.err and len(result.err_lines) == 1, result.err
    else:
        profile = pprof_reader.read(tmp_path / "x.pb.gz")
        counters = check_heap(profile)
        assert counters["fired"] > counters["filtered"]


def test_under_valgrind(tmp_path):
    """It takes the instructions from memory: with a probe among them it ends the program."""
    argv = [which("valgrind"), "--tool=none", "-q", "--log-file=/dev/null"]
    script = "read go; echo alive $go$go"
    with subprocess.Popen([*argv, "sh", "-c", script], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as target:
        wait_until(lambda: "libc.so" in Path(f"/proc/{target.pid}/maps").read_text())
        time.sleep(SETTLE_S)
        check_cannot(tmp_path, target.pid, "valgrind")
        assert target.communicate(b"x\n", timeout=60)[0] == b"alive xx\n"
        assert target.returncode == 0
    result = cprofd("--heap", "0", "--heap-interval", "1", "-o", tmp_path / "x.pb.gz", "--", *argv,
                    "sh", "-c", "echo alive")
    assert result.status == 0 and result.out.startswith(b"alive\n"), result.err


def test_children_that_ended_too_soon(tmp_path):
    """Before they were found, and so before they could be probed: that is said."""
    script = "i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i+1)); done"
    argv = ["-q", "-o", tmp_path / "x.pb.gz", "--", "sh", "-c", script]
    result = cprofd("--heap", "0", "--heap-source", "uprobe", *argv)
    assert result.status == 0 and len(result.err_lines) == 1, result.err
    assert re.search(r"\d+ processes ended before they could be probed", result.err), result.err
    result = cprofd("--heap", "0", *argv)
    assert result.status == 0 and not result.err, result.err


class Debugged:
    """heap_debug attached to a process, with a breakpoint if there is an address."""

    def __init__(self, pid, address=None):
        argv = [WORKLOADS / "heap_debug", str(pid), *([hex(address)] if address else [])]
        self.popen = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True)
        line = self.popen.stdout.readline()
        if line.startswith("refused"):
            pytest.skip(f"not on this host: {line}")
        assert line == "ready\n", line

    def end(self):
        """How often it stopped the target."""
        out, _ = self.popen.communicate("\n", timeout=20)
        assert self.popen.returncode == 0, out
        return int(out.split()[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.popen.kill()
        self.popen.communicate()


def address_of(pid, name):
    """Of a function of the C library, in a process."""
    maps = Path(f"/proc/{pid}/maps").read_text(errors="replace")
    start, path = re.search(r"^(\w+)-\S+ r--p 00000000 \S+ \d+ +(/\S*/libc\.so\.6)$", maps,
                            re.M).groups()
    offset = next(s for s, _, names in symbols_of(path) if name in names)
    return int(start, 16) + offset


def test_under_a_debugger(tmp_path):
    """Who is traced is probed all the same, and stops for nothing of ours."""
    argv = ["--heap", "0", *arguments(tmp_path, 1)]
    with HeapLoad("heap_life", "fill", "300", "1") as load, Debugged(load.pid) as debugger:
        with Heap("--pid", load.pid, *argv) as running:
            running.wait_probed(load.pid)
            time.sleep(SETTLE_S)
            load.work()
            result = running.end()
        assert debugger.end() == 0
        assert load.end() == 0
    check_exact(read_run(tmp_path, load, result, 1).profile, load.truth)


def test_under_a_debugger_with_a_breakpoint(tmp_path):
    """Where we would probe there is one: it keeps its breakpoint, the target its life."""
    argv = ["--heap", "0", *arguments(tmp_path, 1)]
    with HeapLoad("heap_life", "fill", "300", "1") as load:
        with Debugged(load.pid, address_of(load.pid, "malloc")) as debugger:
            with Heap("--pid", load.pid, *argv) as running:
                time.sleep(2 * SETTLE_S)
                load.work()
                if running.popen.poll() is None:
                    running.interrupt()
                result = running.finish()
            assert debugger.end() >= 1, "its breakpoint was hit"
        check_unprobed(load.pid)
        assert load.end() == 0
    if result.status:
        assert len(result.err_lines) == 1, result.err
    else:
        check_heap(pprof_reader.read(outputs(tmp_path)[0]), 1)


def test_a_debugger_that_comes_later(tmp_path):
    """It sets and takes away its breakpoint where ours is."""
    argv = ["--heap", "0", *arguments(tmp_path, 1)]
    with HeapLoad("heap_life", "fill", "300", "1") as load:
        with Heap("--pid", load.pid, *argv) as running:
            running.wait_probed(load.pid)
            time.sleep(SETTLE_S)
            with Debugged(load.pid, address_of(load.pid, "malloc")) as debugger:
                load.work()
                debugger.end()
            running.end()
        assert load.popen.poll() is None
        assert load.end() == 0


# --- those who are gone ---------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0, 0.02, 0.05, 0.1, 0.2, 0.3])
def test_gone_while_attaching(tmp_path, delay):
    """Killed at any moment: a profile, or a line that says so."""
    with HeapLoad("heap_sum", "2") as load:
        with Heap("--pid", load.pid, "--heap", "5s", "-o", tmp_path / "x.pb.gz") as running:
            time.sleep(delay)
            os.kill(load.pid, signal.SIGKILL)
            result = running.finish()
    if (tmp_path / "x.pb.gz").exists():
        check_heap(pprof_reader.read(tmp_path / "x.pb.gz"))
    else:
        assert result.status in (1, 3) and result.err_lines, result.err
        assert str(load.pid) in result.err


@pytest.mark.parametrize("source", ["uprobe", "preload"])
def test_a_storm_of_short_lives(tmp_path, source):
    """fork, exec and exit faster than anybody attaches."""
    if source == "preload":
        need(PRELOAD)
    script = "i=0; while [ $i -lt 150 ]; do /bin/true; (exit 3); i=$((i+1)); done; exit 9"
    result = cprofd("--heap", "0", "--heap-source", source, "--heap-interval", "4K", "-o",
                    tmp_path / "x.pb.gz", "--", "/bin/sh", "-c", script)
    assert result.status == 9, result.err
    check_heap(pprof_reader.read(tmp_path / "x.pb.gz"), 4096)


def test_targets_by_name_that_come_and_go(tmp_path):
    script = f"while :; do {WORKLOADS}/heap_life fill 200 < /dev/null > /dev/null; done"
    shell = subprocess.Popen(["/bin/sh", "-c", script], start_new_session=True)
    try:
        time.sleep(0.2)
        result = cprofd("--comm", "heap_life", "--heap", "2s", "--heap-interval", "1K", "-o",
                        tmp_path / "x.pb.gz")
        # Of those that are there at one moment all may be gone at the next.
        assert result.status in (0, 3), result.err
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    if result.status == 0:
        check_heap(pprof_reader.read(tmp_path / "x.pb.gz"), 1024)


def test_exec_into_what_cannot_be_probed(tmp_path):
    """It was probed until then; what it becomes is not, and that is said."""
    need(WORKLOADS / "truth_go")
    script = f"x=1; exec {WORKLOADS}/truth_go 1"
    result = cprofd("--heap", "2s", "--heap-source", "uprobe", "--heap-interval", "1K", "-o",
                    tmp_path / "x.pb.gz", "--", "/bin/sh", "-c", script)
    assert result.status in (0, 1, 5), result.err
    assert re.search(r"\bGo\b", result.err), result.err


def test_beside_somebody_who_probes_everybody(tmp_path):
    """Of whose breakpoints the process is full, the file is not, and their return probes are in the
    way of stacks."""
    other = ["--heap-host-wide", "--heap", "0", "--heap-interval", "1G", "-o",
             tmp_path / "host.pb.gz"]
    argv = ["--heap", "0", *arguments(tmp_path, 1)]
    with HeapLoad("heap_truth", "1", "1", "3") as load, Heap(*other) as host:
        host.wait_probed(load.pid)
        with Heap("--pid", load.pid, *argv) as running:
            running.wait_probed(load.pid)
            time.sleep(SETTLE_S)
            load.work()
            result = running.end()
        host.end()
        check_unprobed(load.pid)
        assert load.end() == 0
    check_exact(read_run(tmp_path, load, result, 1).profile, load.truth)


# --- too much -------------------------------------------------------------------------------------


def test_whole_host(tmp_path):
    """Only when asked for, and then everybody."""
    with HeapLoad("heap_life", "fill", "3000", "20") as load:
        with Heap("--heap-host-wide", "--heap", "0", *arguments(tmp_path, "1K")) as running:
            running.wait_probed(load.pid)
            time.sleep(SETTLE_S)
            load.work()
            running.interrupt()
            assert running.finish().status == 0
        check_unprobed(load.pid)
        assert load.end() == 0
    profile = pprof_reader.read(outputs(tmp_path)[0])
    check_heap(profile, 1024)
    assert "alloc_fill" in amounts_of(profile)
