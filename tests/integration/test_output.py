# SPDX-License-Identifier: BSD-2-Clause
"""Where profiles go: names, formats, directories, stdout, terminals, full disks."""
import json
import os
import pty
import re
import stat
import time
from pathlib import Path

import pytest

from harness import WORKLOADS, Started, Workload, cprofd, record, run, CPROFD, check_accounting
import pprof_reader

TIME = r"\d{8}T\d{6}Z"


def only_file(directory):
    (name,) = os.listdir(directory)
    return name


@pytest.mark.parametrize("target", ["host", "pid", "pids", "comm", "command"])
def test_default_names(tmp_path, burn, target):
    args, name = {
        "host": ([], "host"),
        "pid": (["--pid", burn.pid], f"pid{burn.pid}"),
        "pids": (["--pid", f"{burn.pid},{os.getpid()}"], "pids"),
        "comm": (["--comm", "burn"], "comm-burn"),
        "command": (["--", "sleep", "0.2"], "cmd-sleep"),
    }[target]
    result = cprofd("--cpu", "200ms", *args, cwd=tmp_path)
    assert result.status == 0, result.err
    file = only_file(tmp_path)
    assert re.fullmatch(rf"cprof\.{name}\.cpu\.{TIME}\.pb\.gz", file), file
    check_accounting(pprof_reader.read(tmp_path / file))
    assert f"cprof top {file}" in result.err + result.text
    assert f"go tool pprof -http=: {file}" in result.err + result.text


def test_default_name_of_a_cgroup_is_clean(tmp_path, cgroup):
    result = cprofd("--cpu", "100ms", "--cgroup", cgroup, cwd=tmp_path)
    assert result.status == 0, result.err
    last = re.sub(r"[^A-Za-z0-9._-]", "_", cgroup.name)
    assert re.fullmatch(rf"cprof\.cgroup-{last}\.cpu\.{TIME}\.pb\.gz", only_file(tmp_path))


def test_default_name_of_a_hostile_command_is_clean(tmp_path):
    program = tmp_path / "a b\n\x1b[31m;é"
    program.symlink_to("/bin/true")
    out = tmp_path / "out"
    out.mkdir()
    result = cprofd("--cpu", "0", "--", program, cwd=out)
    assert result.status == 0, result.err
    assert re.fullmatch(rf"cprof\.cmd-[A-Za-z0-9._-]+\.cpu\.{TIME}\.pb\.gz", only_file(out))


def test_mode_and_owner(tmp_path, burn):
    environment = {**os.environ, "SUDO_UID": "65534", "SUDO_GID": "65534"}
    record(tmp_path, "--pid", burn.pid, seconds=1, env=environment)
    status = (tmp_path / "cpu.pb.gz").stat()
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert (status.st_uid, status.st_gid) == (65534, 65534)


def test_all_formats_of_one_run_agree(tmp_path, burn):
    others = [tmp_path / f"cpu.{suffix}" for suffix in ("folded", "json", "txt")]
    outputs = [arg for path in others for arg in ("-o", path)]
    profile = record(tmp_path, "--pid", burn.pid, *outputs)
    folded, table, text = (path.read_text() for path in others)

    stacks = {}
    for line in folded.splitlines():
        stack, value = line.rsplit(" ", 1)
        stacks[tuple(stack.split(";"))] = int(value)
    assert len(stacks) == len(folded.splitlines()), "every stack once"
    assert sum(stacks.values()) == profile.total()
    for sample in profile.samples:
        assert sample.labels["comm"] == "burn"
    whole = sum(v for s, v in stacks.items() if s[-3:-1] == ("main", "run_shift"))
    assert whole == profile.total(lambda s: s.names[1:3] == ["run_shift", "main"])

    table = json.loads(table)
    assert table["sample_type"] == "cpu" and table["unit"] == "nanoseconds"
    assert table["total"] == profile.total(value=1)
    flat = {f["name"]: f["flat"] for f in table["functions"]}
    for name, count in profile.flat().items():
        assert flat[name] == count * profile.period, name
    cum = {f["name"]: f["cum"] for f in table["functions"]}
    assert cum["run_shift"] == profile.total(lambda s: "run_shift" in s.names, value=1)

    for name in ("burn_fifty", "burn_thirty", "burn_twenty", "run_shift"):
        assert re.search(rf"^\s*\S+ +[\d.]+% +[\d.]+% +\S+ +[\d.]+% +{name}\b", text, re.M), text


def test_directories(tmp_path, burn):
    existing = tmp_path / "existing"
    existing.mkdir()
    for output in (existing, f"{existing}/"):
        result = cprofd("--pid", burn.pid, "--cpu", "300ms", "-o", output)
        assert result.status == 0, result.err
        assert only_file(existing) == "cpu.pb.gz"
        (existing / "cpu.pb.gz").unlink()
    result = cprofd("--pid", burn.pid, "--cpu", "300ms", "-o", existing, "--format", "folded")
    assert result.status == 0, result.err
    assert only_file(existing) == "cpu.folded"


@pytest.mark.parametrize(
    "name, start", [("pprof", b"\x1f\x8b"), ("folded", b"burn;"), ("json", b"{")]
)
def test_stdout(burn, name, start):
    result = cprofd("--pid", burn.pid, "--cpu", "500ms", "-F", "999", "-o", "-", "--format", name)
    assert result.status == 0, result.err
    assert result.out.startswith(start)
    assert "burn_fifty" in result.err, "the top table is on stderr"
    if name == "pprof":
        check_accounting(pprof_reader.decode(result.out))


def test_top_table_on_stdout(tmp_path, burn):
    path = tmp_path / "x.pb.gz"
    result = cprofd("--pid", burn.pid, "--cpu", "1s", "-o", path)
    assert "flat" in result.text and "burn_fifty" in result.text
    assert "burn_fifty" not in result.err


def test_json_table(tmp_path, burn):
    result = cprofd("--pid", burn.pid, "--cpu", "1s", "--json", "-o", tmp_path / "x.pb.gz")
    table = json.loads(result.text)
    assert {"sample_type", "unit", "total", "functions"} <= table.keys()
    assert {"name", "file", "flat", "cum"} <= table["functions"][0].keys()


def test_quiet(tmp_path, burn):
    result = cprofd("--pid", burn.pid, "--cpu", "300ms", "-q", "-o", tmp_path / "x.pb.gz")
    assert result.status == 0 and result.err == ""


def test_verbose_shows_the_accounting(tmp_path, burn):
    profile = record(tmp_path, "--pid", burn.pid, "-v", seconds=1)
    from harness import counters_of

    for name, value in counters_of(profile).items():
        assert f"{name}={value}" in profile.stderr, f"{name} in the summary: {profile.stderr}"


def test_tags_and_comments(tmp_path, burn):
    tags = ["--tag", "env=staging", "--tag", "rev=a b"]
    profile = record(tmp_path, "--pid", burn.pid, *tags, seconds=1)
    comments = "\n".join(profile.comments)
    assert "env=staging" in comments and "rev=a b" in comments
    assert os.uname().release in comments
    assert re.search(r"\b999\b", comments), "the rate"


@pytest.mark.parametrize("labels", ["pid", "comm,thread", "tid,cpu", "none"])
def test_labels(tmp_path, labels):
    with Workload("threads") as threads:
        profile = record(tmp_path, "--pid", threads.pid, "--labels", labels, seconds=1)
    wanted = set() if labels == "none" else set(labels.split(","))
    for sample in profile.samples:
        assert set(sample.labels) == wanted
        for key in wanted & {"pid", "tid", "cpu"}:
            number, unit = sample.labels[key]
            assert unit == key and number >= 0
    stacks = {
        (tuple((f.mapping and f.mapping.file, f.address, f.name) for f in s.frames),
         tuple(sorted(s.labels.items())))
        for s in profile.samples
    }
    assert len(stacks) == len(profile.samples), "equal stacks and labels are one row"


def in_pty(*args, seconds=30):
    """Runs cprofd on a terminal; returns its status and all that appeared there."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(CPROFD, [str(a) for a in (CPROFD, *args)])
    shown = b""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        shown += data
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


def test_binary_is_not_written_to_a_terminal():
    status, shown = in_pty("--cpu", "1s", "-o", "-")
    assert status == 2, shown
    assert b"\x1f\x8b" not in shown and b"terminal" in shown
    assert len(shown.strip().splitlines()) == 1, shown


def test_text_may_go_to_a_terminal(burn):
    status, shown = in_pty("--pid", burn.pid, "--cpu", "500ms", "-o", "-", "--format", "folded")
    assert status == 0 and b"run_shift;burn_fifty" in shown


def test_progress_on_a_terminal(tmp_path, burn):
    path = tmp_path / "x.pb.gz"
    status, shown = in_pty("--pid", burn.pid, "--cpu", "2s", "-o", path)
    assert status == 0, shown
    assert b"\r" in shown.replace(b"\r\n", b""), "a bar is redrawn in place"
    assert b"samples" in shown
    status, plain = in_pty("--pid", burn.pid, "--cpu", "1s", "-q", "-o", path)
    assert status == 0 and b"\r" not in plain.replace(b"\r\n", b"")


def test_no_color(tmp_path, burn):
    path = tmp_path / "x.pb.gz"
    status, shown = in_pty("--pid", burn.pid, "--cpu", "1s", "--no-color", "-o", path)
    assert status == 0
    assert not re.search(rb"\x1b\[[\d;]*m", shown), shown


def test_no_progress_without_a_terminal(tmp_path, burn):
    profile = record(tmp_path, "--pid", burn.pid, seconds=2)
    assert "\r" not in profile.stderr and "\x1b" not in profile.stderr


@pytest.mark.parametrize("path", ["/nonexistent/x.pb.gz", "/proc/x.pb.gz"])
def test_unwritable_place_is_told_before_profiling(path):
    start = time.monotonic()
    result = cprofd("--cpu", "30s", "-o", path)
    assert result.status == 1
    assert time.monotonic() - start < 10
    assert len(result.err_lines) == 1 and path in result.err


def test_full_file_system(tmpfs):
    """No half-written file, no temporary one, the old file as it was."""
    place = tmpfs("64k")
    (place / "filler").write_bytes(b"x" * 56 * 1024)
    old = place / "host.pb.gz"
    old.write_bytes(b"old")
    with Workload("many", "30"):
        result = cprofd("--cpu", "2s", "-F", "4999", "-o", old)
    assert result.status == 1, "the file system has no room for it"
    assert [line for line in result.err_lines if str(old) in line and "No space left" in line]
    assert old.read_bytes() == b"old"
    assert sorted(os.listdir(place)) == ["filler", "host.pb.gz"]


def test_full_stdout(burn):
    argv = ["--pid", burn.pid, "--cpu", "500ms", "-o", "-", "--format", "folded"]
    with open("/dev/full", "wb") as full:
        result = cprofd(*argv, stdout=full)
    assert result.status == 1
    assert "No space left" in result.err


def test_one_failed_output_does_not_cost_the_others(tmp_path, tmpfs, burn):
    place = tmpfs("4k")
    (place / "filler").write_bytes(b"x" * 4096)
    good = tmp_path / "cpu.pb.gz"
    result = cprofd("--pid", burn.pid, "--cpu", "500ms", "-o", place / "a.folded", "-o", good)
    assert result.status == 1
    check_accounting(pprof_reader.read(good))
    assert os.listdir(place) == ["filler"]


def test_file_appears_whole(tmp_path):
    """Whoever looks at the path at any time sees no file or a valid one."""
    path = tmp_path / "cpu.pb.gz"
    with Workload("many", "50"), Started("--cpu", "1s", "-F", "999", "-o", path) as running:
        while not path.exists():
            assert running.popen.poll() is None
        check_accounting(pprof_reader.read(path))
        assert running.finish().status == 0
    assert os.listdir(tmp_path) == ["cpu.pb.gz"]


def test_existing_file_is_replaced(tmp_path, burn):
    path = tmp_path / "cpu.pb.gz"
    path.write_bytes(b"something else")
    record(tmp_path, "--pid", burn.pid, seconds=1)
    assert path.read_bytes()[:2] == b"\x1f\x8b"


def test_strict(tmp_path, burn):
    record(tmp_path, "--pid", burn.pid, "--strict", "0", seconds=1)


def test_help_names_every_part_and_version():
    shown = run(CPROFD, "--help")
    assert shown.status == 0 and shown.err == ""
    for word in ("--pid", "--comm", "--cgroup", "--cpu", "--freq", "--output", "--labels", "--tag",
                 "--json", "--strict", "--user", "doctor", "COMMAND"):
        assert word in shown.text, word
    version = run(CPROFD, "--version")
    assert version.status == 0 and re.fullmatch(r"cprofd \d+\.\d+\.\d+\n", version.text)


def test_doctor():
    result = cprofd("doctor")
    assert result.status == 0, result.text + result.err
    lines = result.text.splitlines()
    assert len(lines) >= 5
    for word in ("BTF", "CAP_BPF", "CAP_PERFMON"):
        assert any(word in line for line in lines), word


def test_man_pages_show_every_flag():
    page = (Path(__file__).parents[2] / "daemon" / "cprofd.8").read_text().replace("\\-", "-")
    flags = re.findall(r"--([a-z-]+)", run(CPROFD, "--help").text)
    missing = [f for f in set(flags) - {"port"} if f not in page.replace("Fl -", "--")]
    assert not missing, f"cprofd(8) does not tell of {missing}"
    assert "EXAMPLES" in page and WORKLOADS.exists()
