# SPDX-License-Identifier: BSD-2-Clause
"""What burns CPU time is shown with its share, its stack and its names."""
import os
import re

import pytest

from harness import GO, WORKLOADS, Workload, comm_of, need, record, run, symbols_of


def is_user(sample):
    """Not an interrupt or system call that happened to be running."""
    return not sample.frames[0].is_kernel and not sample.is_lost


def test_three_functions_share_50_30_20(tmp_path, burn):
    profile = record(tmp_path, "--pid", burn.pid, seconds=10)
    assert profile.total() > 1000, "a busy process must be sampled at about 999 Hz"
    for name, percent in burn.expected("flat"):
        share = profile.share(lambda s, n=name: n in s.names)
        assert abs(share - float(percent)) <= 2.0, f"{name}: {share:.1f} %, expected {percent} %"


def test_stack_is_complete_and_callers_in_order(tmp_path, burn):
    profile = record(tmp_path, "--pid", burn.pid)
    leaves = [name for name, _ in burn.expected("flat")]
    # What calls main in libc has no name there.
    callers = ["run_shift", "main", "[libc.so.6]", "__libc_start_main", "_start"]

    def is_whole(sample):
        return sample.names[0] in leaves and sample.names[1:] == callers

    # Besides, main asks for the time.
    assert profile.share(is_whole, is_user) >= 99.0
    assert profile.share(lambda s: s.names[-1] == "_start") >= 99.5


def test_twenty_frames(tmp_path):
    with Workload("deep") as deep:
        (chain,) = deep.expected("chain")
        profile = record(tmp_path, "--pid", deep.pid, seconds=1)
    leaf_first = chain[::-1]
    whole = profile.share(lambda s: [f.name for f in s.user_frames][: len(chain)] == leaf_first)
    assert whole >= 99.0, f"{whole:.1f} % of the stacks hold all {len(chain)} frames"


def test_deeper_than_what_is_kept(tmp_path):
    """The innermost frames are there, and that the rest is missing is said."""
    with Workload("recurse", "1000") as recurse:
        profile = record(tmp_path, "--pid", recurse.pid, seconds=1)
    for sample in profile.samples:
        assert sample.frames[-1].name.startswith("[truncated: "), sample.names[-3:]
        assert sample.frames[-1].is_synthetic
    assert profile.share(lambda s: s.names.count("recurse") > 100) >= 97
    assert "main" not in profile.functions()


def test_threads_carry_their_names(tmp_path):
    with Workload("threads") as threads:
        profile = record(tmp_path, "--pid", threads.pid)
    functions = dict(threads.expected("thread"))
    for sample in profile.samples:
        assert sample.labels["comm"] == "threads"
        assert sample.labels["pid"] == (threads.pid, "pid")
        own = functions.get(sample.labels["thread"])
        others = set(functions.values()) - {own}
        assert not others & set(sample.names), sample
    for thread, function in functions.items():
        share = profile.share(lambda s, t=thread: s.labels["thread"] == t)
        assert share > 15.0, f"thread {thread} has only {share:.1f} %"
        named = profile.share(
            lambda s, f=function: f in s.names,
            among=lambda s, t=thread: is_user(s) and s.labels["thread"] == t,
        )
        assert named >= 97.0, f"{function}: {named:.1f} % of its thread"


def test_kernel_stacks(tmp_path):
    with Workload("syscalls") as syscalls:
        folded = tmp_path / "cpu.folded"
        profile = record(tmp_path, "--pid", syscalls.pid, "-o", folded)
    ((function, percent),) = syscalls.expected("kernel")
    in_kernel = profile.share(lambda s: s.frames[0].is_kernel and function in s.names)
    assert in_kernel >= float(percent), f"{in_kernel:.1f} % in kernel functions below {function}"
    for sample in profile.samples:
        for frame in sample.kernel_frames:
            assert frame.mapping.start == 0
            assert frame.address < 1 << 48, f"{frame.name}: {frame.address:#x} is no offset"
    named = profile.share(lambda s: all(f.is_named for f in s.kernel_frames))
    assert named >= 99.0, f"{named:.1f} % of the kernel stacks have names"
    lines = folded.read_text().splitlines()
    kernel_leaf = [line for line in lines if line.rsplit(" ", 1)[0].endswith("_[k]")]
    weight = sum(int(line.rsplit(" ", 1)[1]) for line in kernel_leaf)
    assert weight == profile.total(lambda s: s.frames[0].is_kernel)
    assert all(line.startswith("syscalls;") for line in lines)


def test_vdso_is_named(tmp_path):
    with Workload("vdso") as vdso:
        profile = record(tmp_path, "--pid", vdso.pid)
    leaves = [s.frames[0] for s in profile.samples]
    names = {leaf.name for leaf in leaves if leaf.module == "[vdso]"}
    assert any("clock_gettime" in name for name in names), names


def test_addresses_and_names_agree_with_nm(tmp_path, burn):
    """Addresses are the file's own: what nm says of an address is what the profile says."""
    profile = record(tmp_path, "--pid", burn.pid)
    symbols = symbols_of(WORKLOADS / "burn")
    checked = 0
    for sample in profile.samples:
        for frame in sample.user_frames:
            if frame.module != "burn":
                continue
            names = [n for start, end, n in symbols if start <= frame.address < end]
            if frame.is_named:
                assert any(frame.name in n for n in names), f"{frame.name} {frame.address:#x}"
                checked += 1
            else:
                assert not names, f"{frame.address:#x} has no name but is in {names}"
    assert checked > 10


def test_mapping_is_that_of_the_file(tmp_path, burn):
    profile = record(tmp_path, "--pid", burn.pid, seconds=1)
    (mapping,) = [m for m in profile.mappings if m.file == str(WORKLOADS / "burn")]
    headers = run("readelf", "-lW", WORKLOADS / "burn").text
    (load,) = re.findall(r"LOAD +(\S+) (\S+) \S+ \S+ (\S+) R E", headers)
    offset, vaddr, memsz = (int(v, 16) for v in load)
    assert mapping.start == vaddr & ~0xFFF
    assert mapping.offset == offset & ~0xFFF
    assert mapping.limit == (vaddr + memsz + 0xFFF) & ~0xFFF
    notes = run("readelf", "-n", WORKLOADS / "burn").text
    assert mapping.build_id == re.search(r"Build ID: (\w+)", notes).group(1)


def test_half_named_mapping_survives_pprof(tmp_path):
    """pprof symbolizes again what does not claim to have functions; our names must survive that."""
    with Workload("stripped") as stripped:
        profile = record(tmp_path, "--pid", stripped.pid, seconds=1)
    mappings = {os.path.basename(m.file): m for m in profile.mappings}
    assert mappings["stripped"].has_functions, "every location of it has a name"
    assert not any(m.has_filenames or m.has_lines or m.has_inlines for m in profile.mappings)
    if not os.path.exists(GO):
        pytest.skip(f"{GO} is not installed (Debian: golang-go)")
    environment = {**os.environ, "HOME": str(tmp_path), "PPROF_TMPDIR": str(tmp_path)}
    shown = run(GO, "tool", "pprof", "-top", tmp_path / "cpu.pb.gz", env=environment)
    assert " foo_exported" in shown.text and " [libfoo.so]" in shown.text, shown.text


def test_stripped_library_keeps_exported_names_only(tmp_path):
    with Workload("stripped") as stripped:
        profile = record(tmp_path, "--pid", stripped.pid)
    for name, percent in stripped.expected("flat"):
        share = profile.share(lambda s, n=name: s.user_frames and s.user_frames[0].name == n)
        assert abs(share - float(percent)) <= 5.0, f"{name}: {share:.1f} %, expected {percent} %"
    assert "foo_hidden" not in profile.functions()


def check_demangled(tmp_path, name):
    need(WORKLOADS / name)
    with Workload(name) as workload:
        profile = record(tmp_path, "--pid", workload.pid)
    flat = profile.flat()
    for words in workload.expected("name"):
        wanted = " ".join(words)
        found = [n for n in flat if wanted in n]
        assert found, f"no function like '{wanted}' among {sorted(flat)}"
    mangled = [n for n in profile.functions() if n.startswith(("_Z", "_R"))]
    assert not mangled, mangled
    linked = {f.system_name for s in profile.samples for f in s.user_frames if f.module == name}
    assert any(n.startswith(("_Z", "_R")) for n in linked), "system_name is the name as linked"


def test_cpp_names(tmp_path):
    check_demangled(tmp_path, "names_cpp")


@pytest.mark.parametrize("scheme", ["legacy", "v0"])
def test_rust_names(tmp_path, scheme):
    check_demangled(tmp_path, f"names_rust_{scheme}")


def test_whole_host(tmp_path, burn):
    profile = record(tmp_path, seconds=2)
    share = profile.total(lambda s: s.pid == burn.pid)
    assert share > 0
    assert {s.labels["comm"] for s in profile.samples if s.pid == burn.pid} == {"burn"}
    assert comm_of(burn.pid) == b"burn"
    assert profile.mappings[0].file.endswith("(all processes)")
    assert not any(s.pid == 0 for s in profile.samples), "the idle task is counted, not shown"


def test_cpu_time_is_what_the_kernel_charged(tmp_path):
    """From its exec to its end: as many nanoseconds as getrusage() says, within 5 % and 20 ms."""
    profile = record(tmp_path, seconds=0, command=[WORKLOADS / "timed", "2"])
    charged_ns = int(re.search(r"used (\d+) us", profile.stdout).group(1)) * 1000
    sampled_ns = profile.total(value=1)
    assert abs(sampled_ns - charged_ns) <= 0.05 * charged_ns + 20e6, (sampled_ns, charged_ns)


def test_values_and_times(tmp_path, burn):
    profile = record(tmp_path, "--pid", burn.pid, seconds=1, freq=100)
    assert profile.period == 10_000_000
    assert profile.default_type in ("cpu", "")
    assert 0.9e9 <= profile.duration_ns <= 3e9
    # One thread has at most one tick per period.
    assert profile.total() <= 105
