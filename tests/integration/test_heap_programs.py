# SPDX-License-Identifier: BSD-2-Clause
"""Heaps of programs as they are: what a process lives through, real programs with complete stacks,
and what go tool pprof makes of the files."""
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

import pprof_reader
from harness import CPROFD, GO, WORKLOADS, Workload, need, run, wait_until, which
from heap_harness import (
    INTERVAL,
    SETTLE_S,
    Heap,
    HeapCommand,
    HeapLoad,
    amounts_of,
    arguments,
    check_exact,
    check_heap,
    check_unprobed,
    code_changed,
    complete_share,
    library,
    measure,
    measure_pid,
    outputs,
    read_run,
)

COMPLETE_PERCENT = 99.0

# --- what a process lives through -----------------------------------------------------------------


@pytest.mark.parametrize("source", ["command", "preload"])
@pytest.mark.parametrize("mode", ["fork", "fork_ended", "vfork", "spawn"])
def test_children_of_a_command(tmp_path, source, mode):
    """A child starts with an empty live set; what it frees of its parent's is its own copy. Whether
    one that shares its parent's memory until it calls exec is probed is a matter of luck."""
    result = measure(tmp_path, source, "heap_life", mode)
    check_exact(result.profile, result.truth, ["alloc_in_child"] if mode == "vfork" else [])


@pytest.mark.parametrize("mode", ["fork", "fork_ended", "vfork", "spawn"])
def test_children_of_a_process(tmp_path, mode):
    """They are no targets, and change nothing of what their parent has."""
    result = measure_pid(tmp_path, "heap_life", mode)
    check_exact(result.profile, result.truth, ignore=["alloc_in_child"])
    assert "alloc_in_child" not in amounts_of(result.profile)


@pytest.mark.parametrize("how", ["large", "limit"])
@pytest.mark.parametrize("allocator", ["", "libjemalloc.so.2", "libtcmalloc_minimal.so.4"])
def test_operator_new_throws(tmp_path, allocator, how):
    """No exception gets past a return address that somebody has put another in place of."""
    need(WORKLOADS / "heap_throws")
    env = {**os.environ, "LD_PRELOAD": library(allocator)} if allocator else None
    with Workload("heap_throws", how, "2500", env=env, stderr=subprocess.DEVNULL) as load:
        result = run(CPROFD, "--pid", load.pid, "--heap", "1s", *arguments(tmp_path, 1))
        assert result.status == 0, result.err
        said = load.popen.stdout.read().split()
        assert load.popen.wait() == 0
    assert said[0] == b"caught" and int(said[1]) > 10
    check_heap(pprof_reader.read(outputs(tmp_path)[0]), 1)


def test_operator_new_of_the_program_throws(tmp_path):
    """For reasons of its own, that nobody else can know."""
    need(WORKLOADS / "heap_throws_own")
    with Workload("heap_throws_own", "small", "2500", stderr=subprocess.DEVNULL) as load:
        result = run(CPROFD, "--pid", load.pid, "--heap", "1s", *arguments(tmp_path, 1))
        assert result.status == 0, result.err
        assert load.popen.stdout.read().startswith(b"caught")
        assert load.popen.wait() == 0
    profile = pprof_reader.read(outputs(tmp_path)[0])
    check_heap(profile, 1)
    assert profile.samples


@pytest.mark.parametrize("how", ["large", "limit"])
@pytest.mark.parametrize("allocator", ["libjemalloc.so.2", "libtcmalloc_minimal.so.4"])
def test_operator_new_throws_in_two(tmp_path, allocator, how):
    """The kernel does not cancel a return for which there is another process's session, too."""
    need(WORKLOADS / "heap_throws")
    options = {"env": {**os.environ, "LD_PRELOAD": library(allocator)},
               "stderr": subprocess.DEVNULL}
    with Workload("heap_throws", how, "2500", **options) as one:
        with Workload("heap_throws", how, "2500", **options) as two:
            result = run(CPROFD, "--pid", f"{one.pid},{two.pid}", "--heap", "1s",
                         *arguments(tmp_path, INTERVAL))
            assert result.status == 0, result.err
            for load in (one, two):
                assert load.popen.stdout.read().startswith(b"caught")
                assert load.popen.wait() == 0


@pytest.mark.parametrize("order", ["alone", "first", "last"])
def test_operator_new_throws_at_the_allocators_limit(tmp_path, order):
    """Which only the process's own environment tells; also where others have none, who are probed
    by the same link."""
    need(WORKLOADS / "heap_throws")
    env = {**os.environ, "LD_PRELOAD": library("libtcmalloc_minimal.so.4")}
    limited = {**env, "TCMALLOC_HEAP_LIMIT_MB": "100"}
    with Workload("heap_throws", "fill", "3500", env=limited, stderr=subprocess.DEVNULL) as load:
        with Workload("heap_throws", "large", "3500", env=env,
                      stderr=subprocess.DEVNULL) as other:
            pids = {"alone": f"{load.pid}", "first": f"{load.pid},{other.pid}",
                    "last": f"{other.pid},{load.pid}"}[order]
            result = run(CPROFD, "-v", "--pid", pids, "--heap", "1s", *arguments(tmp_path, 1))
            assert result.status == 0, result.err
            said = load.popen.stdout.read().split()
            assert load.popen.wait() == 0 and other.popen.wait() == 0
    assert said[0] == b"caught" and int(said[1]) > 10
    assert f"pid {load.pid} limits the memory" in result.err, result.err
    check_heap(pprof_reader.read(outputs(tmp_path)[0]), 1)


@pytest.mark.parametrize("source", ["command", "preload"])
def test_operator_new_throws_at_the_limit_of_a_command(tmp_path, source):
    """Of the program that a command becomes."""
    need(WORKLOADS / "heap_throws")
    choice = "preload" if source == "preload" else "uprobe"
    # Behind what is preloaded already; not in the environment of cprofd itself.
    setting = f"LD_PRELOAD=$LD_PRELOAD:{library('libtcmalloc_minimal.so.4')}"
    script = f"TCMALLOC_HEAP_LIMIT_MB=100 {setting} exec {WORKLOADS / 'heap_throws'} fill 1500"
    result = run(CPROFD, "--heap", "0", "--heap-source", choice, *arguments(tmp_path, 1), "--",
                 "sh", "-c", script)
    assert result.status == 0, result.err
    assert re.search(rb"caught \d\d+", result.out), result.out
    check_heap(pprof_reader.read(outputs(tmp_path)[0]), 1)


@pytest.mark.parametrize("mode", ["exec", "thread_exec"])
@pytest.mark.parametrize("source", ["pid", "command", "preload"])
def test_another_program(tmp_path, source, mode):
    """exec ends what was there; the new program is probed again, whichever thread has become it."""
    result = measure(tmp_path, source, "heap_life", mode)
    check_exact(result.profile, result.truth, ignore=["alloc_before"])
    before = amounts_of(result.profile)["alloc_before"]
    assert (before.alloc_objects, before.inuse_objects, before.inuse_space) == (64, 0, 0)


@pytest.mark.parametrize("source", ["pid", "preload"])
def test_coroutines(tmp_path, source):
    result = measure(tmp_path, source, "heap_life", "coroutines")
    check_exact(result.profile, result.truth)


@pytest.mark.parametrize("source", ["pid", "preload"])
def test_a_library_that_is_gone(tmp_path, source):
    """Its stacks were taken while it was there: they still have names."""
    plugin = WORKLOADS / "libheap_plugin.so"
    result = measure(tmp_path, source, "heap_dlopen", plugin, "alloc_in_plugin", "free_in_plugin", "3")
    check_exact(result.profile, result.truth)


@pytest.mark.parametrize("name", ["libmimalloc.so.2", "libtcmalloc_minimal.so.4"])
def test_an_allocator_that_comes_and_goes(tmp_path, name):
    """Probed as it is loaded, unloaded with the probes in it: its blocks are not malloc()'s."""
    allocator = library(name)
    argv = ["--heap", "0", *arguments(tmp_path, 1)]
    with HeapLoad("heap_dlopen", allocator, "malloc", "free", "3") as load:
        with Heap("--pid", load.pid, *argv) as running:
            running.wait_probed(load.pid)
            time.sleep(SETTLE_S)
            load.work()
            result = running.end()
        assert load.end() == 0
    result = read_run(tmp_path, load, result, 1)
    modules = {f.module for s in result.profile.samples for f in s.frames}
    assert any(m.startswith(name.split(".")[0]) for m in modules), modules


def test_killed_in_the_window(tmp_path):
    """The last of a process is still a profile: what it had."""
    argv = ["--heap", "30s", *arguments(tmp_path, 1)]
    with HeapLoad("heap_life", "fill", "400", "2") as load:
        with Heap("--pid", load.pid, *argv) as running:
            running.wait_probed(load.pid)
            time.sleep(SETTLE_S)
            load.work()
            os.kill(load.pid, signal.SIGKILL)
            result = running.end_by_itself()
    check_exact(read_run(tmp_path, load, result, 1).profile, load.truth)


@pytest.fixture
def memory_limit():
    """limit(pid, bytes): a cgroup, of whichever version has the memory controller here."""
    made = []

    def limit(pid, size):
        for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
            _, where, kind, options = line.split()[:4]
            root = Path(where)
            is_v1 = kind == "cgroup" and "memory" in options.split(",")
            if not is_v1 and (kind != "cgroup2" or "memory" not in (
                    root / "cgroup.subtree_control").read_text(encoding="ascii").split()):
                continue
            group = root / f"cprofd-heap-{os.getpid()}"
            group.mkdir()
            made.append(group)
            name = "memory.limit_in_bytes" if is_v1 else "memory.max"
            (group / name).write_text(str(size), encoding="ascii")
            (group / "cgroup.procs").write_text(str(pid), encoding="ascii")
            return
        pytest.skip("no cgroup here limits memory")

    yield limit
    for group in made:
        wait_until(lambda g=group: not (g / "cgroup.procs").read_text(encoding="ascii"), 20, "end")
        group.rmdir()


def test_killed_for_its_memory(tmp_path, memory_limit):
    """What a process had when the kernel ended it is the profile one wants most."""
    argv = ["--heap", "60s", *arguments(tmp_path, "64K")]
    with HeapLoad("heap_life", "grow") as load:
        memory_limit(load.pid, 48 << 20)
        with Heap("--pid", load.pid, *argv) as running:
            running.wait_probed(load.pid)
            load.go()
            assert load.popen.wait(timeout=60) == -signal.SIGKILL
            result = running.end_by_itself()
    profile = read_run(tmp_path, load, result, 64 << 10).profile
    kept = amounts_of(profile)["alloc_grow"]
    assert kept.inuse_space == kept.alloc_space and 24 << 20 < kept.inuse_space < 64 << 20, kept
    assert profile.total(value=3) < 1.1 * kept.inuse_space


# --- real programs --------------------------------------------------------------------------------


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Redis:
    """A server that keeps nothing on disk, and its own benchmark as its client."""

    def __init__(self, directory):
        # All of them are links to one program, which goes by its name.
        which("redis-server", "redis-benchmark")
        self.client = "redis-benchmark"
        self.port = free_port()
        self.load = Workload("redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                             "--appendonly", "no", "--dir", directory, is_command=True,
                             silent=True)
        self.pid = self.load.pid
        wait_until(lambda: can_connect(self.port), 20, "redis listens")

    def set_many(self, requests=40000, keys=20000, size=200):
        return subprocess.run(
            [self.client, "-p", str(self.port), "-t", "set", "-n", str(requests), "-r", str(keys),
             "-d", str(size), "-q", "-c", "20"], stdout=subprocess.PIPE, check=True, timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.load.stop()


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def check_complete(profile, record_property, program):
    """Of objects allocated, and of bytes in use."""
    shares = [complete_share(profile, value) for value in (0, 3)]
    record_property(f"complete stacks of {program}", [round(s, 2) for s in shares])
    print(f"{program}: {shares[0]:.2f} % of the objects and {shares[1]:.2f} % of the bytes in use "
          f"have complete stacks, {len(profile.samples)} rows")
    assert min(shares) >= COMPLETE_PERCENT, shares


def top(profile, value, count=10):
    """Functions by what is in use below them."""
    by = {}
    for sample in profile.samples:
        for name in {f.name.split("(")[0] for f in sample.user_frames}:
            by[name] = by.get(name, 0) + sample.values[value]
    return sorted(by, key=by.get, reverse=True)[:count]


def test_redis(tmp_path, record_property):
    argv = ["--heap", "0", *arguments(tmp_path, "32K")]
    with Redis(tmp_path) as redis:
        with Heap("--pid", redis.pid, *argv) as running:
            running.wait_probed(redis.pid)
            time.sleep(SETTLE_S)
            redis.set_many(200000, 100000)
            result = running.end()
        assert redis.load.popen.poll() is None
        redis.set_many(1000)
    profile = pprof_reader.read(outputs(tmp_path)[0])
    check_heap(profile, 32 << 10)
    check_complete(profile, record_property, "redis-server")
    # 86 % of 100,000 values of 200 bytes and their keys: 23.5 MB, give or take 0.9.
    assert profile.total(value=3) > 20e6, profile.total(value=3)
    modules = {f.module for s in profile.samples for f in s.user_frames}
    assert any("redis" in m for m in modules), modules
    assert result.status == 0


PYTHON_OBJECTS = """
import sys
print("ready", flush=True)
sys.stdin.readline()
def build(n):
    return [{"number": i, "name": "object %d" % i, "bytes": b"x" * (600 + i % 64)} for i in range(n)]
kept = build(20000)
print("done", flush=True)
sys.stdin.readline()
"""


def test_python3(tmp_path, record_property):
    python = which("/usr/bin/python3", "python3")
    argv = ["--heap", "0", *arguments(tmp_path, "64K")]
    with HeapLoad(Path(python), "-c", PYTHON_OBJECTS) as load:
        with Heap("--pid", load.pid, *argv) as running:
            running.wait_probed(load.pid)
            time.sleep(SETTLE_S)
            load.work()
            running.end()
        assert load.end() == 0
    profile = pprof_reader.read(outputs(tmp_path)[0])
    check_heap(profile, 64 << 10)
    check_complete(profile, record_property, "python3")
    # 20,000 objects of more than 600 bytes; what is smaller lies in Python's own arenas.
    assert 0.8 * 20000 * 650 < profile.total(value=3) < 2 * 20000 * 650
    names = top(profile, 3, 20)
    assert "_PyEval_EvalFrameDefault" in names, names


def test_cpp(tmp_path, record_property):
    # Some hundred samples of what is in use: enough to tell the largest from the next.
    run_ = measure_pid(tmp_path, "heap_new", "30", "16", "40", interval=INTERVAL // 128)
    check_complete(run_.profile, record_property, "a C++ program")
    expected = max(run_.truth.amounts().items(), key=lambda a: a[1].inuse_space)[0]
    ours = [n for n in top(run_.profile, 3) if n.startswith("alloc_")]
    assert ours[0] == expected, (ours, expected)


@pytest.mark.parametrize("program", ["java", "node"])
def test_smoke(tmp_path, program):
    """Runtimes with heaps of their own still call malloc(), and live through it."""
    if program == "java":
        if not (WORKLOADS / "RealJava.class").exists():
            pytest.skip("RealJava was not built: no javac")
        argv = [which("java"), "-Xmx256m", "-XX:+UseSerialGC", "-cp", WORKLOADS, "RealJava"]
    else:
        argv = [which("node"), Path(__file__).parents[1] / "workloads" / "real_node.js"]
    with Workload(*argv) as load:
        with Heap("--pid", load.pid, "--heap", "2s", "--heap-interval", "16K",
                  "-o", tmp_path / "x.pb.gz") as running:
            running.end_by_itself()
        assert load.popen.poll() is None
        check_unprobed(load.pid)
    check_heap(pprof_reader.read(tmp_path / "x.pb.gz"), 16 << 10)


def test_cycles_on_python_and_redis(tmp_path):
    """Attached and detached under load; what they answer is right all the time."""
    script = PYTHON_OBJECTS.replace("kept = build(20000)", """
import select
first = repr(build(300))
while not select.select([sys.stdin], [], [], 0)[0]:
    assert repr(build(300)) == first""")
    with Redis(tmp_path) as redis, HeapLoad(Path(which("/usr/bin/python3")), "-c", script) as python:
        python.go()
        client = subprocess.Popen(
            [redis.client, "-p", str(redis.port), "-t", "set,get", "-n", "100000000", "-r", "1000",
             "-q"], stdout=subprocess.DEVNULL)
        try:
            for i in range(8):
                for pid in (redis.pid, python.pid):
                    with Heap("--pid", pid, "--heap", "100ms", "-q",
                              "-o", tmp_path / "x.pb.gz") as running:
                        running.end_by_itself()
                assert redis.load.popen.poll() is None, f"cycle {i}"
                assert python.popen.poll() is None, f"cycle {i}"
        finally:
            client.kill()
            client.wait()
        check_unprobed(redis.pid)
        check_unprobed(python.pid)
        reply = run("redis-cli", "-p", redis.port, "ping")
        assert reply.out == b"PONG\n"
        python.go()
        python.read_until("done")
        assert python.end() == 0


# --- go tool pprof --------------------------------------------------------------------------------


def pprof(*args):
    if not os.path.exists(GO):
        pytest.skip(f"no {GO}")
    result = run(GO, "tool", "pprof", "-symbolize=none", *args)
    assert result.status == 0, result.err
    return result.text


def column(text, function):
    """flat of a function in the listing of -top."""
    for line in text.splitlines():
        words = line.split()
        if words and words[-1] == function:
            return words[3] if len(words) > 5 else None
    return None


def test_go_tool_pprof(tmp_path):
    first = measure_pid(tmp_path, "heap_life", "fill", "100", "2", name="first")
    second = measure_pid(tmp_path, "heap_life", "fill", "350", "2", name="second")
    paths = [outputs(tmp_path, name)[0] for name in ("first", "second")]
    shown = pprof("-inuse_space", "-unit=bytes", "-top", "-cum", paths[0])
    assert "Type: inuse_space" in shown and re.search(r"2400B .*alloc_fill", shown), shown
    shown = pprof("-alloc_objects", "-top", "-cum", paths[1])
    assert "Type: alloc_objects" in shown and re.search(r"\b350 .*alloc_fill", shown), shown
    shown = pprof("-inuse_objects", "-top", "-cum", f"-diff_base={paths[0]}", paths[1])
    assert re.search(r"\b250 .*alloc_fill", shown), shown
    shown = pprof("-top", paths[0])
    assert "Type: inuse_space" in shown, "the default"
    assert first.profile.period == second.profile.period == 1


def test_a_cpp_compile_by_preload(tmp_path):
    """Children of children, none of which lives long: the compiler driver's."""
    source = tmp_path / "x.cc"
    source.write_text("#include <map>\n#include <string>\n"
                      "std::map<std::string, int> m;\nint f() { return m[\"x\"]; }\n")
    compiler = which("g++")
    for source_of in ("preload", "uprobe"):
        argv = ["--heap-source", source_of, "--heap", "0", "--heap-interval", "64K", "-o",
                tmp_path / f"{source_of}.pb.gz", "--", compiler, "-O1", "-c", source, "-o",
                tmp_path / "x.o"]
        with Heap(*argv) as running:
            running.end_by_itself()
        assert (tmp_path / "x.o").stat().st_size > 1000
        (tmp_path / "x.o").unlink()
        profile = pprof_reader.read(tmp_path / f"{source_of}.pb.gz")
        check_heap(profile, 64 << 10)
        by = {s.labels.get("comm") for s in profile.samples}
        assert "cc1plus" in by, by
