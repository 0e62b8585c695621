# SPDX-License-Identifier: BSD-2-Clause
"""Programs with sanitizers, those linked with musl and those with a malloc of their own, as a
command or its children, which inherit libcprof-heap.so: they start, say what they say without us,
and are profiled."""
import json
import os
import re
import shutil
from pathlib import Path

import pytest

import pprof_reader
from harness import CPROFD, Workload, run, to_text
from heap_harness import PRELOAD, amounts_of, arguments, check_heap, outputs

SOURCE = Path(__file__).parents[1] / "workloads" / "sanitized.cpp"
WAIT_MS = 700  # who is new is probed by then
SHARED = ["-shared-libasan"]
BUILDS = [
    ("g++", "address", []),
    ("g++", "leak", []),
    ("g++", "thread", []),
    ("g++", "undefined", []),
    ("g++", "address", ["-static-libasan"]),
    ("clang++", "address", []),
    ("clang++", "address", SHARED),
    ("clang++", "leak", []),
    ("clang++", "thread", []),
    ("clang++", "undefined", []),
]


def compiler(name):
    for candidate in (name, *(f"{name}-{version}" for version in range(22, 10, -1))):
        if shutil.which(candidate):
            return candidate
    pytest.skip(f"no {name}")


def build(directory, name, sanitizer, more):
    cxx, program = compiler(name), directory / "sanitized"
    options = list(more)
    if more == SHARED:
        runtime = run(cxx, "-print-file-name=libclang_rt.asan-x86_64.so").out.decode().strip()
        options.append(f"-Wl,-rpath,{os.path.dirname(runtime)}")
    built = run(cxx, "-std=c++17", "-g", "-O1", "-w", f"-fsanitize={sanitizer}", *options, "-o",
                program, SOURCE, "-pthread", "-ldl")
    if built.status or run(program, "ok").status:
        pytest.skip(f"{cxx} has no -fsanitize={sanitizer} {' '.join(more)}")
    return program


@pytest.fixture(name="program", scope="module", params=BUILDS,
                ids=lambda b: "_".join([b[0], b[1], *b[2]]))
def build_program(request, tmp_path_factory):
    return build(tmp_path_factory.mktemp("sanitized"), *request.param)


def said(result):
    """What a program said, without numbers that are others each time."""
    text = to_text(result.out)
    for pattern in (r"0x[0-9a-f]+", r"==\d+==", r"pid[= ]\d+", r"tid=\d+", r"BuildId: \w+"):
        text = re.sub(pattern, "X", text)
    return result.status, text


def cprofd(*args):
    """Not the harness's: what a sanitizer reports is the program's."""
    return run(CPROFD, "-q", *args)


def in_a_shell(program, mode, wait_ms=0):
    """Not by an exec of the shell's own process, and apart from what cprofd says."""
    return ["sh", "-c", f"{program} {mode} {wait_ms} 2>&1; exit $?"]


@pytest.mark.parametrize("mode", ["ok", "leak", "bad"])
def test_beside_the_library(program, mode):
    """Nothing of the library shows: no leak is hidden by it, no stack is other."""
    env = {**os.environ, "LD_PRELOAD": str(PRELOAD), "CPROF_HEAP_INTERVAL": "1"}
    argv = in_a_shell(program, mode)
    assert said(run(*argv, env=env)) == said(run(*argv))


@pytest.mark.parametrize("source", ["uprobe", None])
def test_under_cprofd(tmp_path, program, source):
    """Who calls a sanitizer's malloc is seen by it, also where the call is probed."""
    argv = in_a_shell(program, "leak", WAIT_MS)
    choice = ["--heap-source", source] if source else []
    result = cprofd("--heap", "20s", *choice, *arguments(tmp_path, 1), "--", *argv)
    assert said(result) == said(run(*argv))
    check_heap(pprof_reader.read(outputs(tmp_path)[0]), 1)


def functions_of(profile):
    return {frame.name.split("(")[0] for sample in profile.samples for frame in sample.frames}


@pytest.mark.parametrize("name, more", [("g++", []), ("clang++", []), ("clang++", SHARED)])
def test_is_seen(tmp_path, name, more):
    """By uprobes, also where the library is there first; what is in use is not known."""
    program = build(tmp_path, name, "address", more)
    result = cprofd("--heap", "20s", *arguments(tmp_path, 1), "--",
                    *in_a_shell(program, "ok", WAIT_MS))
    assert result.status == 0, result.err
    profile = pprof_reader.read(outputs(tmp_path)[0])
    assert "work" in functions_of(profile)
    assert json.loads(outputs(tmp_path)[1].read_text())["is_partial"]
    assert "a sanitizer" in result.err


def test_by_its_pid(tmp_path):
    program = build(tmp_path, "g++", "address", [])
    alone = run(program, "leak", 2 * WAIT_MS)
    with Workload(program, "leak", str(2 * WAIT_MS), silent=True) as load:
        result = cprofd("--pid", load.pid, "--heap", "10s", *arguments(tmp_path, 1))
        assert result.status == 0, result.err
        assert load.popen.wait() == alone.status
    assert "work" in functions_of(pprof_reader.read(outputs(tmp_path)[0]))


@pytest.fixture(name="musl", scope="module")
def build_musl(tmp_path_factory):
    if not shutil.which("musl-gcc"):
        pytest.skip("no musl-gcc")
    directory = tmp_path_factory.mktemp("musl")
    source, program = directory / "musl.c", directory / "musl"
    source.write_text("""
        #include <stdio.h>
        #include <stdlib.h>
        #include <unistd.h>
        __attribute__((noinline)) static void *alloc_all(size_t n)
        {
            void *p = n % 3 ? malloc(n) : n % 2 ? calloc(1, n) : aligned_alloc(64, 64 * n);
            return n % 5 ? p : realloc(p, 100 * n);
        }
        int main(int argc, char **argv)
        {
            int status = 7;
            usleep(700000);
            for (size_t i = 1; i < 1000; i++) {
                void *volatile p = alloc_all(i);
                if (!p)
                    return 1;
                free(p);
            }
            puts("done");
            return status;
        }
    """)
    assert run("musl-gcc", "-g", "-O1", "-o", program, source).status == 0
    return program


def test_musl_beside_the_library(musl):
    env = {**os.environ, "LD_PRELOAD": str(PRELOAD), "CPROF_HEAP_INTERVAL": "1"}
    assert said(run(*in_a_shell(musl, ""), env=env)) == (7, "done\n")


@pytest.mark.parametrize("is_child", [False, True])
def test_musl_under_cprofd(tmp_path, musl, is_child):
    """A command that is linked with musl, and a child that is."""
    argv = in_a_shell(musl, "") if is_child else [musl]
    result = cprofd("--heap", "20s", *arguments(tmp_path, 1), "--", *argv)
    assert said(result) == (7, "done\n")
    assert is_child or re.search("uprobes.*musl", result.err), result.err
    profile = pprof_reader.read(outputs(tmp_path)[0])
    check_heap(profile, 1)
    assert profile.total(value=0) > 900  # by whom not: musl has no call frame information


def test_child_with_its_own_malloc(tmp_path):
    """The library is never called where the program defines malloc itself, and calls none of what
    the program lacks."""
    source, program = tmp_path / "own.c", tmp_path / "own"
    source.write_text("""
        #include <stddef.h>
        #include <string.h>
        #include <unistd.h>
        static char memory[1 << 20];
        static size_t used;
        __attribute__((noinline)) void *malloc(size_t n)
        {
            void *p = memory + used;
            used += (n + 15) & ~(size_t)15;
            return used > sizeof(memory) ? NULL : p;
        }
        __attribute__((noinline)) void free(void *p)
        {
            __asm__ volatile("" : : "r"(p));
        }
        __attribute__((noinline)) static void *alloc_own(size_t n)
        {
            void *volatile p = malloc(n);
            return p;
        }
        int main(void)
        {
            usleep(700000);
            for (int i = 0; i < 1000; i++)
                alloc_own(100);
            return 7;
        }
    """)
    assert run("gcc", "-g", "-O1", "-fno-builtin", "-o", program, source).status == 0
    result = cprofd("--heap", "20s", *arguments(tmp_path, 1), "--", *in_a_shell(program, ""))
    assert result.status == 7, result.err
    profile = pprof_reader.read(outputs(tmp_path)[0])
    check_heap(profile, 1)
    assert "alloc_own" in amounts_of(profile) and profile.total(value=0) >= 1000
