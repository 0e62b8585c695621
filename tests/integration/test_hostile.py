# SPDX-License-Identifier: BSD-2-Clause
"""Names that other processes choose come out escaped, wherever they come out."""
import json
import os
import re
import shutil
import subprocess

from harness import WORKLOADS, RAW_BYTES, Workload, check_accounting, cprof, cprofd
import pprof_reader

# Bytes of a terminal's control language, in ASCII and as C1 code points in UTF-8.
C1 = re.compile("[\u0080-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
BAD_FILE = b"evil\x1b[31m\n\xff\xc2\x9b;\"<b>%s\\ x"


def check_clean(data, what):
    """Valid UTF-8 without control characters except line feeds and tabs."""
    text = data.decode("utf-8")
    raw = RAW_BYTES.search(data)
    assert not raw, f"{what}: {data[max(0, raw.start() - 40) : raw.end() + 40]!r}"
    assert not C1.search(text), f"{what}: a C1 or bidirectional control"
    return text


def run_all_sinks(directory, *target):
    suffixes = ("pb.gz", "folded", "json", "txt")
    outputs = [a for s in suffixes for a in ("-o", directory / f"cpu.{s}")]
    result = cprofd(*target, "--cpu", "1s", "-F", "999", "-v", *outputs)
    assert result.status == 0, result.err
    check_clean(result.out, "top table")
    check_clean(result.err.encode("utf-8", "surrogateescape"), "stderr")
    for suffix in suffixes[1:]:
        check_clean((directory / f"cpu.{suffix}").read_bytes(), suffix)
    profile = pprof_reader.read(directory / "cpu.pb.gz")
    check_accounting(profile)
    top = cprof("top", directory / "cpu.pb.gz")
    assert top.status == 0, top.err
    check_clean(top.out, "cprof top")
    as_json = cprof("top", "--json", directory / "cpu.pb.gz")
    json.loads(check_clean(as_json.out, "cprof top --json"))
    json.loads((directory / "cpu.json").read_text())
    for line in (directory / "cpu.folded").read_text().splitlines():
        assert re.fullmatch(r".+ \d+", line), line
    return profile


def test_hostile_comm_thread_and_symbol(tmp_path):
    with Workload("hostile") as hostile:
        profile = run_all_sinks(tmp_path, "--pid", hostile.pid)
    for line in (tmp_path / "cpu.folded").read_text().splitlines():
        # The ';' of the name must not look like one more frame.
        assert line.split(";")[0].startswith("\\x1b[31mc\\x0d\\x0a"), line
    named = [n for n in profile.functions() if n.startswith("evil")]
    assert named, profile.functions()
    for string in profile.strings:
        check_clean(string.encode(), "pprof string")


def test_hostile_file_names(tmp_path):
    directory = os.fsencode(tmp_path) + b"/" + BAD_FILE
    os.mkdir(directory)
    path = directory + b"/" + BAD_FILE
    shutil.copy(WORKLOADS / "burn", path)
    with Workload(path) as workload:
        out = tmp_path / "out"
        out.mkdir()
        profile = run_all_sinks(out, "--pid", workload.pid)
    assert profile.share(lambda s: "run_shift" in s.names) > 90, "found and opened all the same"
    for mapping in profile.mappings:
        check_clean(mapping.file.encode(), "mapping")


def test_very_long_path(tmp_path):
    """Close to the 4,096 bytes the kernel can tell, and beyond them."""
    home = os.getcwd()
    for depth, is_named in ((15, True), (20, None)):
        top = tmp_path / f"deep{depth}"
        top.mkdir()
        os.chdir(top)
        try:
            for _ in range(depth):
                os.mkdir("d" * 250)
                os.chdir("d" * 250)
            shutil.copy(WORKLOADS / "burn", "burn")
            with Workload(b"./burn") as workload:
                out = tmp_path / f"out{depth}"
                out.mkdir()
                profile = run_all_sinks(out, "--pid", workload.pid)
        finally:
            os.chdir(home)
            subprocess.run(["rm", "-rf", top], check=True)
        if is_named:
            assert profile.share(lambda s: "run_shift" in s.names) > 90


def test_hostile_target_names(tmp_path):
    """What comes from the command line is quoted with the same care."""
    bad = "x\x1b[31m\ny"
    for argv in (["--comm", bad, "--cpu", "1s"], ["--cgroup", f"/{bad}", "--cpu", "1s"],
                 ["--pid", bad, "--cpu", "1s"], ["--cpu", bad], [f"--{bad}"], [bad],
                 ["--cpu", "1s", "-o", f"/nonexistent/{bad}.pb.gz"],
                 ["--cpu", "1s", "--", f"/nonexistent/{bad}"]):
        result = cprofd(*argv, cwd=tmp_path)
        assert result.status in (1, 2, 3, 127), result.err
        assert len(result.err_lines) == 1, result.err
        check_clean(result.err.encode("utf-8", "surrogateescape"), f"error for {argv}")


def test_hostile_tag(tmp_path, burn):
    result = cprofd("--pid", burn.pid, "--cpu", "300ms", "--tag", "k=\x1b[31m\nx", "-o",
                    tmp_path / "x.pb.gz")
    check_clean(result.err.encode("utf-8", "surrogateescape"), "stderr")
    if result.status == 0:
        for comment in pprof_reader.read(tmp_path / "x.pb.gz").comments:
            check_clean(comment.encode(), "comment")
            assert "\n" not in comment
    else:
        assert result.status == 2


def broken_elf(path, change):
    data = bytearray((WORKLOADS / "burn").read_bytes())
    change(data)
    path.write_bytes(data)
    path.chmod(0o755)


def test_broken_elf_files(tmp_path):
    """Section tables that lie, in programs that run: no names perhaps, but a profile."""
    def wipe_sections(data):
        offset = int.from_bytes(data[40:48], "little")
        data[offset:] = b"\xff" * (len(data) - offset)

    def sections_beyond_the_end(data):
        data[40:48] = (1 << 62).to_bytes(8, "little")

    def no_section_names(data):
        data[62:64] = b"\xfe\xff"

    def huge_symbol_table(data):
        start = int.from_bytes(data[40:48], "little")
        for at in range(start, len(data) - 63, 64):
            if int.from_bytes(data[at + 4 : at + 8], "little") in (2, 11):  # SYMTAB, DYNSYM
                data[at + 32 : at + 40] = (1 << 60).to_bytes(8, "little")

    def entry_size_zero(data):
        start = int.from_bytes(data[40:48], "little")
        for at in range(start, len(data) - 63, 64):
            data[at + 56 : at + 64] = bytes(8)

    for number, change in enumerate((wipe_sections, sections_beyond_the_end, no_section_names,
                                     huge_symbol_table, entry_size_zero)):
        path = tmp_path / f"broken{number}"
        broken_elf(path, change)
        with Workload(path) as workload:
            result = cprofd("--pid", workload.pid, "--cpu", "300ms", "-F", "999", "-o",
                            tmp_path / f"x{number}.pb.gz")
        assert result.status == 0, f"{change.__name__}: {result.err}"
        profile = pprof_reader.read(tmp_path / f"x{number}.pb.gz")
        check_accounting(profile)
        assert profile.total() > 0
