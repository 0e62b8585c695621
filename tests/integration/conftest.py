# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures: what a test changes on the host is put back whatever happens."""
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

import harness


def pytest_collection_modifyitems(items):
    why = None
    if os.geteuid() != 0:
        why = "profiling needs root"
    elif not Path("/sys/kernel/btf/vmlinux").exists():
        why = "this kernel has no BTF"
    elif not harness.CPROFD.exists():
        raise pytest.UsageError(f"{harness.CPROFD} does not exist: set CPROFD_BUILD, run make")
    if why:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=why))


def write_knob(path, value):
    Path(path).write_text(str(value), encoding="ascii")


@pytest.fixture
def knob():
    """knob(path, value): writes a file below /proc/sys or /sys, restores it afterwards."""
    before = []

    def write(path, value):
        old = Path(path).read_text(encoding="ascii").strip()
        try:
            write_knob(path, value)
        except OSError as error:
            pytest.skip(f"cannot write {path}: {error.strerror}")
        before.append((path, old))

    yield write
    for path, old in reversed(before):
        write_knob(path, old)


@pytest.fixture
def public_dir():
    """A directory every user may enter, with copies of the programs."""
    path = Path(tempfile.mkdtemp(prefix="cprofd-test-"))
    path.chmod(0o755)
    for program in (harness.CPROFD, harness.CPROF):
        shutil.copy(program, path / program.name)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def tmpfs(tmp_path):
    """tmpfs(size): a small file system of its own."""
    mounted = []

    def mount(size):
        path = tmp_path / f"tmpfs{len(mounted)}"
        path.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path],
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"cannot mount a tmpfs: {done.stderr.decode().strip()}")
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", path], check=False)


def cgroup2_mount():
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[2] == "cgroup2":
            return Path(words[1])
    return None


@pytest.fixture
def cgroup(tmp_path_factory):
    """A new cgroup (v2) with a child cgroup "inner"."""
    root = cgroup2_mount()
    own_mount = None
    if root is None:
        own_mount = root = tmp_path_factory.mktemp("cgroup2")
        if subprocess.run(["mount", "-t", "cgroup2", "none", root], check=False).returncode:
            pytest.skip("no cgroup v2 hierarchy and none can be mounted")
    path = root / f"cprofd test:{os.getpid()}"
    try:
        (path / "inner").mkdir(parents=True)
    except OSError as error:
        pytest.skip(f"cannot make a cgroup below {root}: {error.strerror}")
    yield path
    for group in (path / "inner", path):
        for pid in (group / "cgroup.procs").read_text(encoding="ascii").split():
            write_knob(root / "cgroup.procs", pid)
        group.rmdir()
    if own_mount:
        subprocess.run(["umount", own_mount], check=False)


@pytest.fixture
def burn():
    with harness.Workload("burn") as workload:
        yield workload
