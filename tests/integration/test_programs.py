# SPDX-License-Identifier: BSD-2-Clause
"""Real programs under load: real function names wherever a symbol table covers the address."""
import http.client
import os
import re
import socket
import threading
from pathlib import Path

import pytest

from harness import Workload, record, run, wait_until, which

SCRIPTS = Path(__file__).resolve().parents[1] / "workloads"


def has_symtab(path):
    return ".symtab" in run("readelf", "-SW", path).text


def named_share(profile, file_pattern):
    """Percent of the samples in files like that whose leaf is named, and how many there are."""

    def is_in(sample):
        return bool(re.search(file_pattern, sample.frames[0].module))

    return profile.share(lambda s: s.frames[0].is_named, is_in), profile.total(is_in)


def report(record_property, program, profile, pattern):
    share, count = named_share(profile, pattern)
    record_property(f"named share of {program}", round(share, 1))
    print(f"{program}: {share:.1f} % of {count} samples in {pattern} are named")
    return share, count


def leaf_names(profile, pattern):
    return {
        s.frames[0].name
        for s in profile.samples
        if re.search(pattern, s.frames[0].module) and s.frames[0].is_named
    }


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def load(port, stop):
    client = http.client.HTTPConnection("127.0.0.1", port)
    while not stop.is_set():
        client.request("GET", "/")
        client.getresponse().read()


def test_nginx(tmp_path, record_property):
    nginx, port = which("nginx"), free_port()
    (tmp_path / "index.html").write_text("<html>hello</html>\n")
    tmp_path.chmod(0o755)
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"daemon off; user root; worker_processes 1; pid {tmp_path}/pid; error_log stderr;\n"
        "events { }\n"
        "http { access_log off; keepalive_requests 1000000; gzip on; gzip_types *;\n"
        "gzip_min_length 1;\n"
        f"server {{ listen 127.0.0.1:{port}; root {tmp_path}; }} }}\n"
    )
    stop = threading.Event()
    with Workload(nginx, "-c", config, "-p", tmp_path, silent=True) as server:
        wait_until(lambda: can_connect(port), what="nginx listens")
        threads = [threading.Thread(target=load, args=(port, stop)) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            profile = record(tmp_path, "--comm", "nginx", seconds=6)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert server.popen.poll() is None
    names = leaf_names(profile, "^nginx")
    assert any(n.startswith("ngx_") for n in names), names
    share, count = report(record_property, "nginx", profile, "^nginx")
    assert count > 20
    if has_symtab(nginx):
        assert share >= 95.0


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def test_python3(tmp_path, record_property):
    python = which("/usr/bin/python3", "python3")
    with Workload(python, SCRIPTS / "real_python.py") as workload:
        profile = record(tmp_path, "--pid", workload.pid)
    pattern = r"^(python3|libpython3)"
    names = leaf_names(profile, pattern)
    assert "_PyEval_EvalFrameDefault" in names, names
    share, count = report(record_property, "python3", profile, pattern)
    assert count > 500
    if not has_symtab(python):
        assert share < 100, "functions that no table names"
        assert any(re.match(r"\[(python3|libpython3)", n) for n in profile.functions())


def test_node(tmp_path, record_property):
    node = which("node")
    with Workload(node, SCRIPTS / "real_node.js") as workload:
        profile = record(tmp_path, "--pid", workload.pid)
    pattern = r"^(node|libnode\.so.*)$"
    names = leaf_names(profile, pattern)
    assert any("v8::internal::" in n for n in names), names
    share, count = report(record_property, "node", profile, pattern)
    assert count > 300
    assert "[JIT]" in profile.functions()
    if not has_symtab(node):
        pytest.skip(f"{node} is stripped: {share:.1f} % of {count} samples in it are named")
    assert share >= 95.0


def test_java(tmp_path, record_property):
    java = which("java")
    if not (Path(os.environ["CPROFD_BUILD"]) / "tests/workloads/RealJava.class").exists():
        pytest.skip("RealJava was not built: no javac")
    classes = Path(os.environ["CPROFD_BUILD"]) / "tests" / "workloads"
    with Workload(java, "-Xmx256m", "-XX:+UseSerialGC", "-cp", classes, "RealJava") as workload:
        profile = record(tmp_path, "--pid", workload.pid, seconds=3)
    pattern = r"^libjvm\.so$"
    share, count = report(record_property, "libjvm", profile, pattern)
    assert any("::" in n for n in leaf_names(profile, pattern))
    assert "[JIT]" in profile.functions()
    assert count > 300
    (libjvm,) = {m.file for m in profile.mappings if m.file.endswith("/libjvm.so")}
    if not has_symtab(libjvm):
        pytest.skip(f"{libjvm} is stripped: {share:.1f} % of {count} samples in it are named")
    assert share >= 95.0
