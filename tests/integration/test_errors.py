# SPDX-License-Identifier: BSD-2-Clause
"""Bad input: one clear line, the documented status, nothing written."""
import os
import subprocess
from pathlib import Path

import pytest

from harness import CPROFD, Workload, check_sane, cprof, cprofd, run, to_text, Result


def check_refused(result, status, *words):
    assert result.status == status, f"status {result.status}: {result.err}"
    assert len(result.err_lines) == 1, result.err
    assert result.out == b""
    for word in words:
        assert word in result.err, f"'{word}' in: {result.err}"


def free_pid():
    pid_max = int(Path("/proc/sys/kernel/pid_max").read_text())
    return next(p for p in range(pid_max - 1, 1, -1) if not Path(f"/proc/{p}").exists())


USAGE = [
    ("no kind", [], "kind"),
    ("no kind but a target", ["--pid", "1"], "kind"),
    ("pid is a word", ["--pid", "abc", "--cpu", "1s"], "abc"),
    ("pid is negative", ["--pid", "-5", "--cpu", "1s"], "-5"),
    ("pid is zero", ["--pid", "0", "--cpu", "1s"], "0"),
    ("pid overflows", ["--pid", "99999999999999999999", "--cpu", "1s"], "99999999999999999999"),
    ("pid list with a hole", ["--pid", "1,,2", "--cpu", "1s"], "pid"),
    ("pid with a tail", ["--pid", "12x", "--cpu", "1s"], "12x"),
    ("bad unit", ["--cpu", "30x"], "30x"),
    ("negative duration", ["--cpu", "-1"], "-1"),
    ("duration without number", ["--cpu", "s"], "'s'"),
    ("empty duration", ["--cpu", ""], "cpu"),
    ("duration overflows", ["--cpu", "999999999999999999999s"], "999999999999999999999s"),
    ("duration overflows in ns", ["--cpu", "18446744074s"], "18446744074s"),
    ("missing duration", ["--cpu"], "--cpu"),
    ("missing duration before a flag", ["--cpu", "--pid", "1"], "--cpu"),
    ("rate of zero", ["--cpu", "1s", "-F", "0"], "0"),
    ("rate above the limit", ["--cpu", "1s", "-F", "5000"], "5000"),
    ("negative rate", ["--cpu", "1s", "-F", "-99"], "-99"),
    ("rate is a word", ["--cpu", "1s", "-F", "fast"], "fast"),
    ("rate overflows", ["--cpu", "1s", "-F", "4294967395"], "4294967395"),
    ("unknown flag", ["--cpu", "1s", "--outptu", "x.pb.gz"], "--output"),
    ("unknown flag near pid", ["--cpu", "1s", "--pdi", "1"], "--pid"),
    ("unknown flag near freq", ["--cpu", "1s", "--frq=3"], "--freq"),
    ("unknown letter", ["--cpu", "1s", "-Z"], "-Z"),
    ("kind that does not exist", ["--gpu", "1s"], "--cpu"),
    ("kind twice", ["--cpu", "1s", "--cpu", "2s"], "cpu"),
    ("a word", ["1234", "--cpu", "1s"], "1234"),
    ("two targets", ["--pid", "1", "--comm", "x", "--cpu", "1s"], "comm"),
    ("target and command", ["--pid", "1", "--cpu", "1s", "--", "true"], "pid"),
    ("nothing after --", ["--cpu", "1s", "--"], "--"),
    ("unknown suffix", ["--cpu", "1s", "-o", "x.svg"], ".pb.gz"),
    ("no suffix", ["--cpu", "1s", "-o", "profile"], ".folded"),
    ("unknown format", ["--cpu", "1s", "-o", "-", "--format", "xml"], "xml"),
    ("unknown label", ["--cpu", "1s", "--labels", "pid,colour"], "colour"),
    ("tag without value", ["--cpu", "1s", "--tag", "novalue"], "novalue"),
    ("strict is a word", ["--cpu", "1s", "--strict", "very"], "very"),
    ("strict above 100", ["--cpu", "1s", "--strict", "101"], "101"),
    ("empty comm", ["--cpu", "1s", "--comm", ""], "comm"),
]


@pytest.mark.parametrize("args, word", [case[1:] for case in USAGE], ids=[c[0] for c in USAGE])
def test_usage(tmp_path, args, word):
    check_refused(cprofd(*args, cwd=tmp_path), 2, word)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("args", [["--pid", "{pid}"], ["--pid", "{own},{pid}"]])
def test_pid_that_does_not_exist(tmp_path, args):
    pid = free_pid()
    filled = [a.format(pid=pid, own=os.getpid()) for a in args]
    check_refused(cprofd(*filled, "--cpu", "1s", cwd=tmp_path), 3, str(pid))
    assert not os.listdir(tmp_path)


def test_zombie_is_no_target(tmp_path):
    """It exists but has ended: nothing can be attached to."""
    child = subprocess.Popen(["true"])
    while "Z" not in Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1]:
        pass
    result = cprofd("--pid", child.pid, "--cpu", "1s", cwd=tmp_path)
    child.wait()
    check_refused(result, 3, str(child.pid))


def test_thread_id_is_not_a_process(tmp_path):
    with Workload("threads") as threads:
        tids = sorted(int(t) for t in os.listdir(f"/proc/{threads.pid}/task"))
        result = cprofd("--pid", tids[1], "--cpu", "1s", cwd=tmp_path)
    check_refused(result, 3, str(tids[1]))


def test_comm_of_nobody(tmp_path):
    check_refused(cprofd("--comm", "no_such_comm", "--cpu", "1s", cwd=tmp_path), 3, "no_such_comm")


@pytest.mark.parametrize("path", ["/no/such/cgroup", "/tmp", "/etc/passwd"])
def test_cgroup_that_is_none(tmp_path, path):
    check_refused(cprofd("--cgroup", path, "--cpu", "1s", cwd=tmp_path), 3, path)


def unprivileged(directory, *setpriv):
    out = directory / "out"
    out.mkdir()
    out.chmod(0o777)
    argv = ["setpriv", *setpriv, directory / "cprofd", "--cpu", "1s", "-o", out / "x.pb.gz"]
    result = run(*argv)
    check_sane(result.err)
    return result


def test_not_root(public_dir):
    result = unprivileged(public_dir, "--reuid", "65534", "--regid", "65534", "--clear-groups")
    assert result.status == 4 and len(result.err_lines) == 1, result.err
    assert "CAP_BPF" in result.err or "CAP_PERFMON" in result.err


def test_root_without_cap_bpf(public_dir):
    result = unprivileged(public_dir, "--bounding-set", "-bpf,-sys_admin")
    assert result.status == 4 and len(result.err_lines) == 1, result.err
    assert "CAP_BPF" in result.err


def test_root_without_cap_perfmon(public_dir, knob):
    """The capability that lets a process pass perf_event_paranoid."""
    knob("/proc/sys/kernel/perf_event_paranoid", 2)
    result = unprivileged(public_dir, "--bounding-set", "-perfmon,-sys_admin")
    assert result.status == 4 and len(result.err_lines) == 1, result.err
    assert "CAP_PERFMON" in result.err or "perf_event_paranoid" in result.err


def test_kernel_without_btf(tmp_path):
    script = 'mount --bind /dev/null /sys/kernel/btf/vmlinux && exec "$0" "$@"'
    result = run("unshare", "-m", "sh", "-c", script, CPROFD, "--cpu", "1s", cwd=tmp_path)
    check_refused(result, 5, "BTF", "/sys/kernel/btf/vmlinux")
    empty = tmp_path / "empty"
    empty.touch()
    script = f'mount --bind {empty} /sys/kernel/btf/vmlinux && exec "$0" "$@"'
    result = run("unshare", "-m", "sh", "-c", script, CPROFD, "--cpu", "1s", cwd=tmp_path)
    check_refused(result, 5, "BTF")


def test_doctor_without_btf(tmp_path):
    script = 'mount --bind /dev/null /sys/kernel/btf/vmlinux && exec "$0" doctor'
    result = run("unshare", "-m", "sh", "-c", script, CPROFD)
    assert result.status == 5
    assert "BTF" in result.text


def test_other_pid_namespace(tmp_path):
    result = run("unshare", "-pf", "--mount-proc", CPROFD, "--cpu", "1s", cwd=tmp_path)
    check_refused(result, 5, "PID namespace")


def test_missing_worker_binary_is_no_crash(tmp_path, burn):
    """No files may be opened beyond a few: fails or works, with a line and no debris."""
    script = 'ulimit -n 12; exec "$0" "$@"'
    argv = ["--pid", burn.pid, "--cpu", "500ms", "-o", tmp_path / "x.pb.gz"]
    result = run("sh", "-c", script, CPROFD, *argv)
    check_sane(result.err)
    assert result.status in (0, 1), result.err
    if result.status == 1:
        assert result.err_lines and not os.listdir(tmp_path)


def test_closed_stdout(tmp_path, burn):
    """A reader that went away: no crash, an error status, the file is still written."""
    argv = [CPROFD, "--pid", str(burn.pid), "--cpu", "500ms", "-o", tmp_path / "x.pb.gz"]
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [str(a) for a in argv], stdout=write_end, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(write_end)
    result = Result(done.returncode, b"", to_text(done.stderr))
    check_sane(result.err)
    assert result.status in (0, 1), result.err
    assert (tmp_path / "x.pb.gz").exists()


# --- cprof ----------------------------------------------------------------------------------------

CPROF_USAGE = [
    ("no command", []),
    ("unknown command", ["tpo", "x.pb.gz"]),
    ("no file", ["top"]),
    ("unknown flag", ["top", "--cmu", "x.pb.gz"]),
    ("rows not a number", ["top", "-n", "many", "x.pb.gz"]),
]


@pytest.mark.parametrize("args", [c[1] for c in CPROF_USAGE], ids=[c[0] for c in CPROF_USAGE])
def test_cprof_usage(args):
    result = cprof(*args)
    assert result.status == 2 and result.err_lines and result.out == b"", result.err


@pytest.mark.parametrize(
    "name, content",
    [
        ("empty", b""),
        ("text", b"this is no profile\n" * 100),
        ("gzip_of_text", None),
        ("truncated", None),
        ("directory", None),
        ("missing", None),
    ],
)
def test_cprof_top_of_what_is_no_profile(tmp_path, burn, name, content):
    import gzip

    path = tmp_path / f"{name}.pb.gz"
    if name == "gzip_of_text":
        content = gzip.compress(b"this is no profile\n" * 100)
    elif name == "truncated":
        cprofd("--pid", burn.pid, "--cpu", "300ms", "-q", "-o", tmp_path / "good.pb.gz")
        content = (tmp_path / "good.pb.gz").read_bytes()[:-20]
    if name == "directory":
        path.mkdir()
    elif name != "missing":
        path.write_bytes(content)
    result = cprof("top", path)
    check_refused(result, 1, str(path))
