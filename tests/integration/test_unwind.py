# SPDX-License-Identifier: BSD-2-Clause
"""Stacks of code without frame pointers: whole, in order, up to main or the thread's start."""
import errno
import os
import re
import signal
import time
from pathlib import Path

import pytest

from harness import (
    WORKLOADS,
    Workload,
    cprof,
    counters_of,
    drops_of,
    record,
    record_beside,
    which,
)

SCRIPTS = Path(__file__).resolve().parents[1] / "workloads"

# Until a table stands a stack travels as a copy of at most 24 KiB: of a larger one, and of one that
# goes on elsewhere (an alternate stack), the first rounds see a part.
FIRST_ROUNDS = 100


def path_of(sample):
    """Names from the root to the leaf, in user space."""
    return [f.name for f in sample.user_frames][::-1]


def is_complete(sample):
    return bool(sample.user_frames) and not sample.frames[-1].is_synthetic


def has_user_stack(sample):
    return not sample.is_lost and not all(f.is_kernel for f in sample.frames)


def reasons_of(profile):
    """Root → samples, of those that are not complete."""
    out = {}
    for sample in profile.samples:
        if has_user_stack(sample) and not is_complete(sample):
            root = sample.frames[-1].name
            out[root] = out.get(root, 0) + sample.values[0]
    return out


def holds(names, chain):
    """Whether chain is in names, uninterrupted."""
    return any(names[i : i + len(chain)] == chain for i in range(len(names) - len(chain) + 1))


def leads(names, path):
    """Whether names has all of path in that order, others between them or not."""
    rest = iter(names)
    return all(name in rest for name in path)


def check_complete(record_property, profile, root="main", percent=99.5, first_rounds=0):
    """So many user stacks are complete and hold root; what the rest is, is said."""
    base = profile.total(has_user_stack)
    good = profile.total(lambda s: is_complete(s) and root in s.names)
    assert base >= 200, f"only {base} samples with a user stack"
    early = min(reasons_of(profile).get("[truncated: unreadable]", 0), first_rounds)
    share = 100.0 * good / (base - early)
    record_property("complete", round(share, 2))
    print(f"{share:.2f} % of {base - early} complete up to {root}, {early} in the first rounds")
    odd = [path_of(s) for s in profile.samples if is_complete(s) and root not in s.names]
    assert share >= percent, f"{share:.2f} %, rest: {reasons_of(profile)} {odd[:5]}"


def check_expected(profile, workload):
    """Complete stacks with the function that a chain or path ends in have all of it above."""
    expected = [(holds, words) for words in workload.expected("chain")]
    expected += [(leads, words) for words in workload.expected("path")]
    assert expected
    for is_in, words in expected:
        share = profile.share(
            lambda s, i=is_in, w=words: i(path_of(s), w),
            lambda s, w=words: is_complete(s) and w[-1] in s.names,
        )
        assert share >= 99.5, f"{share:.2f} % of what has {words[-1]} has {words}"


def profiled(tmp_path, *argv, seconds=1.5):
    with Workload(*argv) as workload:
        return record(tmp_path, "--pid", workload.pid, seconds=seconds), workload


def skip_unless_built(name, why):
    if not (WORKLOADS / name).exists():
        pytest.skip(f"{name} was not built: {why}")


@pytest.mark.parametrize(
    "argv",
    [
        ("nofp_deep",),
        ("nofp_sorts",),
        ("nofp_handler", "own"),
        ("nofp_jumps",),
        ("nofp_noreturn",),
        ("nofp_plt", "bound"),
        ("nofp_plt_ibt", "bound"),
    ],
    ids=" ".join,
)
def test_reaches_main(tmp_path, record_property, argv):
    profile, workload = profiled(tmp_path, *argv)
    check_complete(record_property, profile)
    check_expected(profile, workload)
    roots = {tuple(path_of(s)[:2]) for s in profile.samples if is_complete(s)}
    assert roots == {("_start", "__libc_start_main")}
    assert "wrong_neighbour" not in profile.functions()


@pytest.mark.parametrize(
    "name", ["nofp_frames", "nofp_frames_O3", "nofp_frames_static", "nofp_frames_static_pie"]
)
def test_frames_of_every_shape(tmp_path, record_property, name):
    profile, workload = profiled(tmp_path, name)
    check_complete(record_property, profile, first_rounds=FIRST_ROUNDS)
    check_expected(profile, workload)
    instants = profile.share(lambda s: s.names[0] == "saves_registers")
    assert instants >= 5, "prologues and epilogues have their share"


@pytest.mark.parametrize("name", ["nofp_recurse", "nofp_recurse_O3"])
def test_recursion_500_deep(tmp_path, record_property, name):
    profile, _ = profiled(tmp_path, name, "499")
    check_complete(record_property, profile, first_rounds=FIRST_ROUNDS)
    whole = profile.share(
        lambda s: holds(path_of(s), ["main", *["recurse"] * 500, "burn_below"]),
        lambda s: is_complete(s) and "burn_below" in s.names,
    )
    assert whole == 100.0


def test_handler_on_alternate_stack(tmp_path, record_property):
    profile, workload = profiled(tmp_path, "nofp_handler", "alternate")
    check_complete(record_property, profile, first_rounds=FIRST_ROUNDS)
    check_expected(profile, workload)
    handler = [s for s in profile.samples if "burn_in_handler" in s.names and is_complete(s)]
    below = sum(s.values[0] for s in handler if "interrupted" in s.names)
    assert below >= 100, "signals come while interrupted() runs"


def test_cpp_exceptions(tmp_path, record_property):
    """While libgcc moves to the frame that catches, return address and stack pointer belong to two
    different frames, which no call frame information says: 0.6 % of a program that only throws."""
    skip_unless_built("nofp_throws", "no C++ compiler")
    profile, workload = profiled(tmp_path, "nofp_throws", seconds=2)
    check_complete(record_property, profile)
    check_expected(profile, workload)
    in_unwinder = profile.share(lambda s: any("_Unwind_" in name for name in s.names))
    assert in_unwinder >= 25, "throwing is what it does"


def test_lazy_binding(tmp_path, record_property):
    """The loader's resolver keeps its frame in a register that its callees save: no rule follows
    it there, and that is said. In the resolver itself the stack is whole."""
    profile, workload = profiled(tmp_path, "nofp_plt", "lazy")
    check_complete(record_property, profile, percent=50)
    check_expected(profile, workload)
    assert set(reasons_of(profile)) <= {"[truncated: unsupported]"}, reasons_of(profile)
    for sample in profile.samples:
        if has_user_stack(sample) and not is_complete(sample):
            modules = {f.module for f in sample.user_frames}
            assert modules == {"ld-linux-x86-64.so.2"}, path_of(sample)


def test_what_is_said_is_what_is_there(tmp_path):
    """The summary, -v and cprof info count as the profile does."""
    with Workload("nofp_plt", "lazy") as workload:
        profile = record(tmp_path, "--pid", workload.pid, "-v", seconds=1)
    base = profile.total(has_user_stack)
    complete = profile.total(is_complete)
    reasons = reasons_of(profile)
    assert 0 < complete < base, "some of both"
    share = f"{100.0 * complete / base:.2f} %"
    assert f"{share} of {base} user stacks are complete" in profile.stderr, (share, profile.stderr)
    assert f" stack.complete={complete} " in profile.stderr
    for root, cnt in reasons.items():
        name = re.fullmatch(r"\[truncated: (\w+)\]", root).group(1)
        assert f" stack.{name}={cnt} " in profile.stderr
        loader = "/ld-linux-x86-64.so.2"
        assert re.search(rf"{cnt} {re.escape(root)} in \S+{re.escape(loader)}\n", profile.stderr)
    told = cprof("info", tmp_path / "cpu.pb.gz").text
    assert re.search(rf"complete +{complete} \({re.escape(share)}\)", told), told


def test_vdso_reaches_main(tmp_path, record_property):
    profile, _ = profiled(tmp_path, "nofp_vdso")
    check_complete(record_property, profile)
    assert profile.share(lambda s: s.user_frames[0].module == "[vdso]") >= 30


def test_threads_reach_their_start(tmp_path, record_property):
    profile, workload = profiled(tmp_path, "nofp_threads")
    functions = dict(workload.expected("thread"))
    check_complete(record_property, profile, root="[libc.so.6]")
    for thread, function in functions.items():
        of_thread = [s for s in profile.samples if s.labels["thread"] == thread and is_complete(s)]
        assert of_thread
        for sample in of_thread:
            # clone3 and start_thread have no name in a stripped libc.
            names = path_of(sample)
            assert [f.module for f in sample.user_frames[-2:]] == ["libc.so.6"] * 2, names
            assert len(names) == 2 or names[2] == function, names


def test_library_opened_after_attach(tmp_path, record_property):
    with Workload("nofp_late_dlopen", WORKLOADS / "nofp_libplugin.so") as workload:

        def load():
            time.sleep(0.5)
            os.kill(workload.pid, signal.SIGUSR1)

        profile, _ = record_beside(tmp_path, load, "--pid", workload.pid, seconds=2)
    check_complete(record_property, profile)
    for function in ("host_spin", "plugin_spin"):
        inside = [s for s in profile.samples if function in s.names]
        assert sum(s.values[0] for s in inside) >= 100
        assert all(leads(path_of(s), ["_start", "main", function]) for s in inside)


def test_fork_without_exec(tmp_path, record_property):
    profile = record(tmp_path, seconds=0, command=[WORKLOADS / "nofp_family", "1.5"])
    # Before main runs the loader does.
    check_complete(record_property, profile, root="_start", percent=99.0)
    pids = set()
    for function in ("parent_spin", "child_spin", "grandchild_spin"):
        inside = [s for s in profile.samples if function in s.names]
        pids |= {s.pid for s in inside}
        whole = sum(s.values[0] for s in inside if leads(path_of(s), ["_start", "main", function]))
        total = sum(s.values[0] for s in inside)
        assert total >= 100 and whole >= 0.995 * total, (function, whole, total)
    assert len(pids) == 3


@pytest.mark.parametrize(
    "kind, roots",
    [
        # glibc's __start_context says nothing about its caller: below it lies a pointer to data.
        ("context", {None, "[truncated: coroutine]", "[truncated: not_code]"}),
        ("zero", {None}),
        ("garbage", {"[truncated: not_code]"}),
        ("edge", {"[truncated: unreadable]"}),
    ],
)
def test_coroutines_reach_their_entry(tmp_path, record_property, kind, roots):
    # Slow enough that what ends in no code stays below the limit of stack copies.
    with Workload("nofp_coroutines", kind) as workload:
        profile = record(tmp_path, "--pid", workload.pid, seconds=3, freq=199)
    share = profile.share(lambda s: "coroutine_entry" in s.names, has_user_stack)
    record_property("reaches its entry", round(share, 2))
    assert share >= 99.5, f"{share:.2f} %: {reasons_of(profile)}"
    chain = [words for words in workload.expected("chain")][0]
    inside = lambda s: chain[-1] in s.names  # noqa: E731
    assert profile.share(lambda s: holds(path_of(s), chain), inside) == 100.0
    seen = {None if is_complete(s) else s.frames[-1].name for s in profile.samples if inside(s)}
    assert seen <= roots, seen


def test_32_bit_program(tmp_path):
    skip_unless_built("compat32", "the compiler has no -m32")
    try:
        workload = Workload("compat32")
    except OSError as error:
        if error.errno == errno.ENOEXEC:
            pytest.skip("this kernel runs no 32-bit programs")
        raise
    with workload:
        profile = record(tmp_path, "--pid", workload.pid, "-v", seconds=1)
    assert profile.total() >= 100
    assert f" stack.compat={profile.total()} " in profile.stderr
    for sample in profile.samples:
        assert sample.frames[-1].name == "[truncated: compat]"
        assert len(sample.user_frames) == 1, sample.names
    assert profile.share(lambda s: "burn_32" in s.names) >= 99


def test_storm_of_short_processes(tmp_path, record_property):
    """Never seen before, gone after 5 ms: every sample is delivered, nearly all are whole."""
    command = [WORKLOADS / "nofp_storm", "4", "5"]
    profile = record(tmp_path, seconds=0, command=command)
    counters = counters_of(profile)
    assert sum(drops_of(counters).values()) == 0, counters
    children, cpu_ms = re.search(r"ran (\d+) children (\d+) ms", profile.stdout).groups()

    def is_child(sample):
        return sample.labels["comm"].startswith("nofp_storm_chi")

    sampled_ms = profile.total(is_child, value=1) / 1e6
    assert 0.6 * int(cpu_ms) <= sampled_ms <= 1.15 * int(cpu_ms), (sampled_ms, cpu_ms)
    assert len({s.pid for s in profile.samples if is_child(s)}) >= 0.5 * int(children)
    base = profile.total(lambda s: has_user_stack(s) and is_child(s))
    share = 100.0 * profile.total(lambda s: is_child(s) and is_complete(s)) / base
    record_property("complete", round(share, 2))
    print(f"{share:.2f} % of {base} in {children} complete, rest: {reasons_of(profile)}")
    assert share >= 99.0, f"{share:.2f} %: {reasons_of(profile)}"
    # Whoever has no stack is about to leave it, or has not got it yet.
    moving = profile.share(
        lambda s: any(re.search("exit|exec|fork", name) for name in s.names),
        lambda s: is_child(s) and not has_user_stack(s),
    )
    assert moving >= 95.0
    spinning = lambda s: is_child(s) and is_complete(s) and "storm_spin" in s.names  # noqa: E731
    assert profile.share(lambda s: leads(path_of(s), ["_start", "main"]), spinning) == 100.0


@pytest.mark.parametrize("program, script", [("python3", "real_python.py"), ("node", "real_node.js")])
def test_real_programs(tmp_path, record_property, program, script):
    path = which(f"/usr/bin/{program}", program)
    with Workload(path, SCRIPTS / script) as workload:
        profile = record(tmp_path, "--pid", workload.pid, seconds=4)
    base = profile.total(has_user_stack)
    share = 100.0 * profile.total(is_complete) / base
    record_property("complete", round(share, 2))
    print(f"{program}: {share:.2f} % of {base} complete, rest: {reasons_of(profile)}")
    assert base >= 500
    assert share >= 99.5, f"{share:.2f} % of {base}: {reasons_of(profile)}"
    # Whoever is complete ends where a program or a thread begins.
    roots = {(s.user_frames[-1].name, s.user_frames[-1].module) for s in profile.samples
             if is_complete(s)}
    assert roots <= {("_start", os.path.basename(path)), ("[libc.so.6]", "libc.so.6")}, roots
