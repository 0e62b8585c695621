# SPDX-License-Identifier: BSD-2-Clause
"""The scripts a newcomer meets first: what they say where they cannot work."""
import shutil

import pytest

from harness import TREE, run

SCRIPTS = TREE / "scripts"


@pytest.mark.parametrize("script", ["check-layers.sh", "check-limits.sh"])
def test_checks_catch_what_they_are_for(script):
    result = run(SCRIPTS / script, "--self-test")
    assert result.status == 0, result.text + result.err


@pytest.mark.parametrize("script", ["quickstart.sh", "test.sh"])
def test_not_root(public_dir, script):
    shutil.copytree(SCRIPTS, public_dir / "scripts")
    result = run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                 public_dir / "scripts" / script)
    assert result.status == 1 and len(result.err_lines) == 1 and "root" in result.err


@pytest.mark.parametrize("script", ["quickstart.sh", "test.sh"])
def test_no_btf(public_dir, script):
    shutil.copytree(SCRIPTS, public_dir / "scripts")
    inner = 'mount --bind /dev/null /sys/kernel/btf/vmlinux && exec "$0"'
    result = run("unshare", "-m", "sh", "-c", inner, public_dir / "scripts" / script)
    assert result.status == 1 and len(result.err_lines) == 1 and "BTF" in result.err


def without_apt(directory):
    """A PATH with what the scripts need before they ask for apt-get, and no apt-get."""
    path = directory / "bin"
    path.mkdir()
    for tool in ("bash", "dirname", "readlink", "id", "basename", "env"):
        (path / tool).symlink_to(shutil.which(tool))
    return path


@pytest.mark.parametrize("script", ["quickstart.sh", "test.sh"])
def test_no_apt(public_dir, script):
    shutil.copytree(SCRIPTS, public_dir / "scripts")
    result = run(public_dir / "scripts" / script, env={"PATH": str(without_apt(public_dir))})
    assert result.status == 1 and len(result.err_lines) == 1 and "apt-get" in result.err


def test_install_deps_has_nothing_to_do():
    result = run(SCRIPTS / "install-deps.sh", "build")
    assert result.status == 0 and "is installed" in result.text, result.err


def test_install_deps_without_root(public_dir):
    """Something is missing as far as it can see, and it may not install it."""
    shutil.copytree(SCRIPTS, public_dir / "scripts")
    fake = public_dir / "fake"
    fake.mkdir()
    (fake / "dpkg-query").write_text("#!/bin/sh\nexit 1\n")
    (fake / "dpkg-query").chmod(0o755)
    result = run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                 public_dir / "scripts" / "install-deps.sh", "build",
                 env={"PATH": f"{fake}:/usr/bin:/bin", "HOME": "/"})
    assert result.status == 1 and len(result.err_lines) == 1 and "root" in result.err


def test_install_deps_usage():
    assert run(SCRIPTS / "install-deps.sh").status == 2


def test_kernels_usage():
    result = run(SCRIPTS / "kernels.sh", "2.6")
    assert result.status == 2 and len(result.err_lines) == 1 and "5.10" in result.err


def test_kernels_without_emulator(public_dir):
    path = without_apt(public_dir)
    (path / "uname").symlink_to(shutil.which("uname"))
    result = run(SCRIPTS / "kernels.sh", env={"PATH": str(path)})
    lines = result.text.splitlines()
    assert result.status == 0 and lines[-1] == "0 passed, 0 failed, 3 skipped"
    assert all("skipped: no qemu-system-x86_64" in line for line in lines[:-1])
