# SPDX-License-Identifier: BSD-2-Clause
"""libcprof-heap.so in other programs: they do what they do without it, and what is reported is what
they did. Without cprofd: a build of the library for the tests keeps a ledger in the process."""
import os
import platform
import re
import shutil
from pathlib import Path

import pytest

import harness

LIBRARY = harness.BUILD / "libcprof-heap.so"
LEDGER = harness.WORKLOADS / "libcprof-heap-ledger.so"

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the library is x86-64 only")

ALLOCATORS = ["", "_jemalloc", "_tcmalloc_minimal", "_tcmalloc_minimal_debug", "_mimalloc"]
INTERVALS = [None, "1", "4096", "nonsense"]


def program(name, allocator=""):
    path = harness.WORKLOADS / (name + allocator)
    if not path.exists():
        pytest.skip(f"{allocator[1:]} is not installed")
    return path


def run(*argv, libraries=(), interval=None):
    env = {k: v for k, v in os.environ.items() if k != "CPROF_HEAP_INTERVAL"}
    if libraries:
        env["LD_PRELOAD"] = " ".join(str(library) for library in libraries)
    if interval:
        env["CPROF_HEAP_INTERVAL"] = interval
    return harness.run(*argv, env=env)


def messages(result):
    """Of ours: tcmalloc tells of large allocations, with addresses."""
    return [line for line in result.err_lines if not line.startswith("tcmalloc: ")]


def check_unchanged(*argv, interval, library=LIBRARY):
    alone = run(*argv)
    with_it = run(*argv, libraries=[library], interval=interval)
    assert (with_it.status, with_it.out, messages(with_it)) == (
        alone.status,
        alone.out,
        messages(alone),
    )
    return with_it


def check_ledger(*argv, interval):
    result = check_unchanged(*argv, interval=interval, library=LEDGER)
    assert result.status == 0, result.err


# --- the file ----------------------------------------------------------------------------------


def test_exports():
    """Only what it interposes, and what says which version it is."""
    out = harness.run("nm", "-D", "--defined-only", LIBRARY).out.decode()
    names = {line.split()[-1].split("@")[0] for line in out.splitlines()}
    operators = {n for n in names if re.match("_Z(nw|na|dl|da)", n)}
    assert len(operators) == 8 + 12
    assert names - operators == set(
        "malloc calloc realloc reallocarray posix_memalign aligned_alloc memalign valloc pvalloc "
        "free cfree free_sized free_aligned_sized dl_iterate_phdr cprof_heap_preload".split()
    )


def test_probes():
    """As any reader of SystemTap's notes finds them: a nop of one byte (heap_usdt.h says why), its
    arguments in registers, a semaphore in writable memory."""
    out = harness.run("readelf", "-n", "-W", LIBRARY).out.decode()
    notes = re.findall(
        r"Provider: (\w+)\s+Name: (\w+)\s+Location: (\w+), Base: (\w+), Semaphore: (\w+)\s+"
        r"Arguments: ([^\n]+)",
        out,
    )
    assert sorted((n[0], n[1], n[5].strip()) for n in notes) == [
        ("otel_memory", "alloc", "8@%rdi 8@%rsi 8@%rdx"),
        ("otel_memory", "free", "8@%rdi"),
    ]
    sections = harness.run("readelf", "-S", "-W", LIBRARY).out.decode()
    base = re.search(r"\.stapsdt\.base +PROGBITS +(\w+)", sections).group(1)
    probes = re.search(r"\.probes +PROGBITS +(\w+) \w+ (\w+) \w+ +(\w+)", sections)
    start, size = int(probes.group(1), 16), int(probes.group(2), 16)
    assert probes.group(3) == "WA" and size == 4
    for _, name, location, note_base, semaphore, _ in notes:
        assert int(note_base, 16) == int(base, 16)
        assert start <= int(semaphore, 16) < start + size
        code = harness.run(
            "objdump", "-d", f"--start-address={location}", LIBRARY
        ).out.decode()
        assert re.search(r"^ +%x:\t90 +\tnop" % int(location, 16), code, re.M), name


def test_needs_libc_only():
    out = harness.run("readelf", "-d", "-W", LIBRARY).out.decode()
    assert re.findall(r"\(NEEDED\).*\[(.*)\]", out) == ["libc.so.6"]
    assert "BIND_NOW" in out and "TEXTREL" not in out


# --- every function, and all at once -----------------------------------------------------------


@pytest.mark.parametrize("allocator", ALLOCATORS)
@pytest.mark.parametrize("interval", INTERVALS)
def test_functions_are_unchanged(allocator, interval):
    check_unchanged(program("preload_functions", allocator), interval=interval)


@pytest.mark.parametrize("allocator", ALLOCATORS)
def test_functions_are_reported(allocator):
    """Each exactly once, whichever way it takes through the allocator."""
    check_ledger(program("preload_functions", allocator), interval="1")


@pytest.mark.parametrize("allocator", ALLOCATORS)
@pytest.mark.parametrize("interval", INTERVALS)
def test_storm_is_unchanged(allocator, interval):
    count = 20000 if "debug" in allocator else 200000
    check_unchanged(program("preload_storm", allocator), count, 4, interval=interval)


@pytest.mark.parametrize("allocator", ALLOCATORS)
@pytest.mark.parametrize("interval", ["1", "4096", "524288"])
def test_storm_is_reported(allocator, interval):
    count = 20000 if "debug" in allocator else 200000
    check_ledger(program("preload_storm", allocator), count, 4, interval=interval)


def test_million():
    check_ledger(program("preload_storm"), 1000000, 4, interval="4096")


def test_more_than_can_be_followed():
    """What finds no room in the process's own set is reported all the same, as such."""
    result = run(program("preload_keep"), 1000000, libraries=[LEDGER], interval="1")
    assert result.status == 0, result.err
    assert int(result.err.split()[1]) > 300000, result.err
    check_unchanged(program("preload_keep"), 1000000, interval="1")


def test_listener_comes_and_goes():
    result = run(program("preload_listen"), libraries=[LEDGER])
    assert result.status == 0, result.out.decode()


# --- processes, libraries, early and late ------------------------------------------------------


@pytest.mark.parametrize("interval", INTERVALS)
def test_fork(interval):
    check_ledger(program("preload_fork"), 50, interval=interval)


@pytest.mark.parametrize("interval", [None, "1"])
def test_before_main(interval):
    check_unchanged(program("preload_early"), interval=interval)


@pytest.mark.parametrize("interval", [None, "1"])
@pytest.mark.parametrize("name", ["preload_early", "preload_fork"])
def test_dlsym_allocates(name, interval):
    stand_in = harness.WORKLOADS / "libpreload_dlsym.so"
    alone = run(program(name), interval=interval)
    with_it = run(program(name), libraries=[LIBRARY, stand_in], interval=interval)
    assert (with_it.status, with_it.out) == (alone.status, alone.out), with_it.err
    assert set(with_it.err_lines) == {"dlsym allocated"}


@pytest.mark.parametrize("interval", [None, "1"])
@pytest.mark.parametrize("module", ["libpreload_module.so", "libpreload_module_static.so"])
def test_module_with_its_own_runtime(module, interval):
    """C++ in a C program: no operator new behind ours, bad_alloc is thrown all the same."""
    if not (harness.WORKLOADS / module).exists():
        pytest.skip("no C++ compiler")
    path = harness.WORKLOADS / module
    check_unchanged(program("preload_host"), "--", path, interval=interval)
    check_unchanged(program("preload_host"), "--", path, interval=interval, library=LEDGER)


@pytest.mark.parametrize("interval", [None, "1"])
def test_dlopen(interval):
    """Loaded late it sees nothing, and harms nobody; the same where it is preloaded already."""
    alone = run(program("preload_host"), LIBRARY, LIBRARY, interval=interval)
    assert (alone.status, alone.err) == (0, ""), alone.err
    assert alone.out.decode().splitlines() == ["loaded, with malloc"] * 2
    check_unchanged(program("preload_host"), LIBRARY, interval=interval)


WRAPPER = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
static void *(*next_malloc)(size_t);
static void (*next_free)(void *);
volatile long calls;
void *malloc(size_t size)
{
	if (!next_malloc)
		next_malloc = dlsym(RTLD_NEXT, "malloc");
	calls++;
	return next_malloc(size);
}
void free(void *ptr)
{
	if (!next_free)
		next_free = dlsym(RTLD_NEXT, "free");
	next_free(ptr);
	calls--;
}
"""


def test_in_front_of_a_wrapper(tmp_path):
    """One that looks up what it wraps at its first use, as most do: dlsym() frees what it has to
    say of a name that it did not find, by a call of free."""
    source, wrapper = tmp_path / "wrapper.c", tmp_path / "wrapper.so"
    source.write_text(WRAPPER)
    done = harness.run(harness.which("gcc"), "-O1", "-shared", "-fPIC", "-o", wrapper, source)
    assert done.status == 0, done.err
    argv = ["/bin/sh", "-c", "echo alive"]
    alone = run(*argv, libraries=[wrapper])
    with_it = run(*argv, libraries=[LIBRARY, wrapper])
    assert alone.status == 0 and alone.out == b"alive\n", alone.err
    assert (with_it.status, with_it.out) == (0, b"alive\n"), with_it.err


@pytest.mark.parametrize("interval", [None, "1", "4096"])
@pytest.mark.parametrize(
    "argv",
    [
        ("/usr/bin/python3", "-c", "import json, re; print(len(json.dumps(list(range(100000)))))"),
        ("node", "-e", "console.log([...Array(100000).keys()].map(String).join('').length)"),
        ("java", "-Xint", "-version"),
        ("bash", "-c", "for i in $(seq 200); do x+=$(echo $i); done; echo ${#x}"),
        ("perl", "-e", 'my %h; $h{$_} = "x" x ($_ % 100) for 1..50000; print scalar(%h)'),
    ],
    ids=lambda argv: Path(argv[0]).name,
)
def test_real_programs(argv, interval):
    if not shutil.which(argv[0]):
        pytest.skip(f"no {argv[0]}")
    check_unchanged(*argv, interval=interval)
