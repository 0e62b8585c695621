# SPDX-License-Identifier: BSD-2-Clause
"""Runs cprofd, cprof and the workloads, and checks what holds for every profile."""
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

import pprof_reader

BUILD = Path(os.environ.get("CPROFD_BUILD", "build")).resolve()
TREE = Path(__file__).resolve().parents[2]
CPROFD = BUILD / "cprofd"
CPROF = BUILD / "cprof"
WORKLOADS = BUILD / "tests" / "workloads"
NPM = Path(os.environ.get("CPROFD_NPM", BUILD / "npm"))
GO = "/usr/bin/go"
# What only its compiler writes: cprofd itself knows sanitizers of others by name.
IS_SANITIZED = b"__asan_report_load8" in CPROFD.read_bytes() if CPROFD.exists() else False

# Everything a terminal, a log or a parser of lines could stumble over.
RAW_BYTES = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass
class Result:
    status: int
    out: bytes
    err: str

    @property
    def text(self):
        return self.out.decode("utf-8")

    @property
    def err_lines(self):
        return self.err.splitlines()


def check_sane(err):
    """No sanitizer spoke, nothing raw reached stderr."""
    assert "Sanitizer" not in err and "runtime error:" not in err, err


def to_text(data):
    return data.decode("utf-8", errors="surrogateescape")


def run(*argv, timeout=120, **kwargs):
    """Runs a program to its end; stdout as bytes, stderr as text."""
    kwargs.setdefault("stdin", subprocess.DEVNULL)
    kwargs.setdefault("stdout", subprocess.PIPE)
    done = subprocess.run(
        [str(a) if not isinstance(a, bytes) else a for a in argv],
        stderr=subprocess.PIPE,
        timeout=timeout,
        check=False,
        **kwargs,
    )
    return Result(done.returncode, done.stdout or b"", to_text(done.stderr))


def cprofd(*args, **kwargs):
    result = run(CPROFD, *args, **kwargs)
    check_sane(result.err)
    return result


def cprof(*args, **kwargs):
    result = run(CPROF, *args, **kwargs)
    check_sane(result.err)
    return result


def as_under_a_shell():
    """Whoever runs the tests may ignore signals (nohup, &), which children inherit."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Started:
    """cprofd running beside the test, in a process group of its own as under a shell."""

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("preexec_fn", as_under_a_shell)
        self.popen = subprocess.Popen(
            [str(a) for a in (CPROFD, *args)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **kwargs,
        )
        self.pid = self.popen.pid

    def wait_attached(self):
        """Until sampling is on: the clock of every CPU is open, which comes after the side band."""

        def events():
            count = 0
            for fd in Path(f"/proc/{self.pid}/fd").iterdir():
                try:
                    count += os.readlink(fd) == "anon_inode:[perf_event]"
                except OSError:
                    pass  # closed meanwhile
            return count

        assert self.popen.poll() is None, self.popen.stderr.read()
        # Two for the side band and one for the ticks of each CPU.
        wait_until(lambda: events() >= 3 * os.sysconf("SC_NPROCESSORS_ONLN"), 60, "sampling")

    def interrupt(self):
        """What ^C does: the whole foreground group gets it."""
        os.killpg(self.pid, signal.SIGINT)

    def finish(self, timeout=60):
        try:
            out, err = self.popen.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self.popen.communicate()
            raise
        check_sane(to_text(err))
        return Result(self.popen.returncode, out, to_text(err))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.popen.poll() is None:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.popen.communicate()


class ProcessGroup:
    """What runs beside the test as self.popen and leads a group: killed with it at the end."""

    popen = pid = None

    def stop(self):
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Workload(ProcessGroup):
    """A program of tests/workloads, by name or path: started, expectations read, ready.

    is_command: argv[0] is looked up in PATH. silent: it never says that it is ready.
    """

    def __init__(self, *argv, is_command=False, silent=False, cwd=None, **kwargs):
        if not is_command:
            argv = (WORKLOADS / argv[0] if isinstance(argv[0], str) else argv[0], *argv[1:])
        self.expect = []
        self.popen = subprocess.Popen(
            [a if isinstance(a, bytes) else str(a) for a in argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            cwd=cwd,
            **kwargs,
        )
        self.pid = self.popen.pid
        if silent:
            return
        for line in self.popen.stdout:
            if line == b"ready\n":
                return
            if line.startswith(b"expect "):
                self.expect.append(line.decode().split()[1:])
        raise AssertionError(f"{argv}: ended before it was ready")

    def expected(self, kind):
        """Arguments of the lines "expect KIND …"."""
        return [words[1:] for words in self.expect if words[0] == kind]

    def finish(self, timeout=60):
        out, _ = self.popen.communicate(timeout=timeout)
        assert self.popen.returncode == 0, f"workload ended with {self.popen.returncode}"
        return out.decode()


def record(directory, *args, seconds=2, freq=999, name="cpu.pb.gz", command=(), status=0, **kwargs):
    """Profiles, checks the accounting, returns the profile."""
    path = Path(directory) / name
    argv = [*args, "--cpu", f"{seconds}s" if seconds else "0", "-F", str(freq), "-o", path]
    if command:
        argv += ["--", *command]
    result = cprofd(*argv, **kwargs)
    assert result.status == status, f"status {result.status}: {result.err}"
    profile = pprof_reader.read(path)
    profile.stdout, profile.stderr = to_text(result.out), result.err
    check_accounting(profile)
    return profile


def record_beside(directory, start, *args, seconds=3, freq=999):
    """Profiles, calls start() once sampling is on; the profile and what start() returned."""
    path = Path(directory) / "cpu.pb.gz"
    argv = [*args, "--cpu", f"{seconds}s", "-F", str(freq), "-o", path]
    with Started(*argv) as running:
        running.wait_attached()
        result = start()
        done = running.finish()
    assert done.status == 0, done.err
    profile = pprof_reader.read(path)
    check_accounting(profile)
    return profile, result


def which(*names):
    for name in names:
        path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
        if path:
            return os.path.realpath(path)
    pytest.skip(f"{names[0]} is not installed")


def need(path):
    """What is built only where its compiler is installed, and on x86-64."""
    if not path.exists():
        pytest.skip(f"{path.name} was not built")


# --- accounting -----------------------------------------------------------------------------------


# Where a drop is counted decides in which identity it stands.
KERNEL_DROPS = {"ring_full", "scratch_busy"}


def counters_of(profile, kind="cpu"):
    """The '#cpu name=value …' comments as a dict."""
    out = {}
    for comment in profile.comments:
        if not comment.startswith(f"#{kind} "):
            continue
        for name, value in re.findall(r"([\w.]+)=(\d+)(?!\S)", comment):
            assert name not in out, f"{name} is told twice: {profile.comments}"
            out[name] = int(value)
    assert out, f"no accounting among the comments: {profile.comments}"
    return out


def drops_of(counters):
    return {k.split(".", 1)[1]: v for k, v in counters.items() if k.startswith("dropped.")}


def check_accounting(profile, kind="cpu"):
    """Every identity of the kind, exactly."""
    c = counters_of(profile, kind)
    drops = drops_of(c)
    in_kernel = sum(v for k, v in drops.items() if k in KERNEL_DROPS)
    in_user = sum(v for k, v in drops.items() if k not in KERNEL_DROPS)
    uncounted = c.get("unsampled", 0) + c.get("unaccounted", 0)
    assert c["fired"] == c["filtered"] + c["idle"] + uncounted + c["submitted"] + in_kernel, c
    assert c["submitted"] == c["consumed"], c
    assert c["consumed"] == c["aggregated"] + in_user, c
    if kind == "sched":
        check_accounting_of_waits(profile, c, in_kernel)
        return
    assert profile.total() == c["aggregated"] + in_kernel + in_user, (profile.total(), c)
    assert profile.total(lambda s: s.is_lost) == in_kernel + in_user, "lost ones outside [lost]"
    for reason, count in drops.items():
        shown = profile.total(lambda s, r=reason: s.is_lost and s.frames[-2].name == f"[{r}]")
        assert shown == count, f"[lost] [{reason}] has {shown}, counted {count}"
    assert profile.sample_types == [("samples", "count"), ("cpu", "nanoseconds")]
    assert profile.period_type == ("cpu", "nanoseconds")
    assert profile.total(value=1) == profile.total() * profile.period


def check_accounting_of_waits(profile, c, in_kernel):
    """Every wait is in the profile, sampled or not; stacks have counters of their own."""
    assert c["waits"] == c["unsampled"] + c["submitted"] + in_kernel, c
    assert profile.total() == c["profiled"] == c["waits"], (profile.total(), c)
    assert profile.total(value=4) == c["profiled_ns"] == c["latency_ns"], c
    stacks = {k.removeprefix("stacks."): v for k, v in c.items() if k.startswith("stacks.")}
    drops = drops_of(stacks)
    stacks_in_kernel = sum(v for k, v in drops.items() if k in KERNEL_DROPS)
    stacks_in_user = sum(v for k, v in drops.items() if k not in KERNEL_DROPS)
    assert stacks["fired"] == stacks["submitted"] + stacks_in_kernel, c
    assert stacks["submitted"] == stacks["consumed"], c
    assert stacks["consumed"] == stacks["aggregated"] + stacks_in_user, c
    assert not profile.period, profile.period


# --- processes ------------------------------------------------------------------------------------


def wait_until(condition, timeout=10.0, what="condition"):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"timed out: {what}"
        time.sleep(0.02)


def comm_of(pid):
    return Path(f"/proc/{pid}/comm").read_bytes().rstrip(b"\n")


def is_worker(pid, parent):
    """Whether pid is a child of parent."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return int(stat.rsplit(")", 1)[1].split()[1]) == parent


def symbols_of(path):
    """nm's view of a file: [(start, end, names)] of functions with a size."""
    by_range = {}
    for flags in (["-S"], ["-S", "-D"]):
        listing = run("nm", *flags, "--defined-only", path).text
        for line in listing.splitlines():
            words = line.split()
            if len(words) >= 4 and words[2] in "tTwWiIuV":
                start, size = int(words[0], 16), int(words[1], 16)
                by_range.setdefault((start, start + size), set()).add(words[3].split("@")[0])
    return [(start, end, names) for (start, end), names in sorted(by_range.items())]
