# SPDX-License-Identifier: BSD-2-Clause
"""Others read our files and get out of them what we say is in them; cprof reads theirs."""
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from harness import GO, NPM, WORKLOADS, Workload, cprof, cprofd, record, run
import pprof_reader

ROW = re.compile(
    r"^\s*(\S+)\s+([\d.]+%)\s+([\d.]+%)\s+(\S+)\s+([\d.]+%)\s+(.*?)(?: \(inline\))?$", re.M
)


@pytest.fixture(scope="module")
def profiles(tmp_path_factory):
    """Two of burn, one of the whole host."""
    directory = tmp_path_factory.mktemp("interop")
    with Workload("burn") as burn, Workload("names_cpp"), Workload("syscalls"):
        return {
            "directory": directory,
            "one": record(directory, "--pid", burn.pid, name="one.pb.gz"),
            "two": record(directory, "--pid", burn.pid, name="two.pb.gz", seconds=1),
            "host": record(directory, name="host.pb.gz"),
        }


@pytest.fixture
def go_pprof(tmp_path):
    if not Path(GO).exists():
        pytest.skip(f"{GO} is not installed (Debian: golang-go)")
    environment = {**os.environ, "HOME": str(tmp_path), "PPROF_TMPDIR": str(tmp_path)}

    def go(*args):
        result = run(GO, "tool", "pprof", *args, env=environment)
        assert result.status == 0, result.err
        return result

    return go


def rows_of(text):
    """(flat, flat%, cum, cum%, name) of each row of a -top listing."""
    return [(m[0], m[1], m[3], m[4], m[5].strip()) for m in ROW.findall(text)]


def test_go_opens(profiles, go_pprof):
    shown = go_pprof("-top", "-symbolize=none", profiles["directory"] / "one.pb.gz")
    assert "File: burn" in shown.text
    assert re.search(r"Type: cpu", shown.text)
    assert re.search(r"Duration: .*s, Total samples = ", shown.text)
    names = {row[-1] for row in rows_of(shown.text)}
    assert {"burn_fifty", "burn_thirty", "burn_twenty", "run_shift", "main"} <= names


def test_go_agrees_with_our_reader(profiles, go_pprof):
    """Units of nanoseconds, all nodes: the same number for each function."""
    for which in ("one", "host"):
        profile = profiles[which]
        shown = go_pprof(
            "-top", "-unit=ns", "-symbolize=none", "-nodecount=100000", "-nodefraction=0",
            "-functions", profiles["directory"] / f"{which}.pb.gz",
        )
        theirs = {}
        for flat, _, _, _, name in rows_of(shown.text):
            theirs[name] = theirs.get(name, 0) + int(flat.removesuffix("ns"))
        named = {n: c * profile.period for n, c in profile.flat().items() if not n.startswith("[")}
        for name, value in named.items():
            assert theirs.get(name) == value, name


def test_go_merges(profiles, go_pprof, tmp_path):
    merged_path = tmp_path / "merged.pb.gz"
    files = [profiles["directory"] / f"{n}.pb.gz" for n in ("one", "two")]
    go_pprof("-proto", "-symbolize=none", f"-output={merged_path}", *files)
    merged = pprof_reader.read_plain(merged_path)
    one, two = profiles["one"], profiles["two"]
    assert merged.total() == one.total() + two.total()
    assert merged.total(value=1) == one.total(value=1) + two.total(value=1)
    both = {m.file for m in one.mappings} | {m.file for m in two.mappings}
    assert sorted(m.file for m in merged.mappings) == sorted(both), "same files are one mapping"


def test_go_diffs(profiles, go_pprof):
    files = [profiles["directory"] / f"{n}.pb.gz" for n in ("one", "two")]
    same = go_pprof("-top", "-symbolize=none", f"-diff_base={files[0]}", files[0])
    assert all(row[0] in ("0", "0s") for row in rows_of(same.text)), same.text
    shown = go_pprof("-top", "-unit=ns", "-symbolize=none", f"-diff_base={files[1]}", files[0])
    flat = {name: int(value.removesuffix("ns")) for value, _, _, _, name in rows_of(shown.text)}
    expected = profiles["one"].flat()["burn_fifty"] * profiles["one"].period
    expected -= profiles["two"].flat()["burn_fifty"] * profiles["two"].period
    assert flat["burn_fifty"] == expected


def test_go_focuses_on_labels(profiles, go_pprof):
    host = profiles["host"]
    pid = next(s.pid for s in host.samples if s.labels["comm"] == "burn")
    path = profiles["directory"] / "host.pb.gz"
    shown = go_pprof("-top", "-symbolize=none", f"-tagfocus=pid={pid}", path)
    names = {row[-1] for row in rows_of(shown.text)}
    assert "burn_fifty" in names and not any("outer::" in n for n in names)
    tags = go_pprof("-tags", "-symbolize=none", path).text
    assert "comm" in tags and "names_cpp" in tags


def test_go_shows_the_comments(profiles, go_pprof):
    shown = go_pprof("-comments", "-symbolize=none", profiles["directory"] / "one.pb.gz").text
    assert "#cpu " in shown


def test_go_raises_no_warning(profiles, go_pprof):
    result = go_pprof("-top", profiles["directory"] / "one.pb.gz")
    assert "missing" not in result.err and "Main binary" not in result.err, result.err


@pytest.mark.parametrize("which", ["one", "host"])
@pytest.mark.parametrize("flags", [[], ["--cum"]])
def test_cprof_top_equals_go(profiles, go_pprof, which, flags):
    """flat and cum, to the digit it prints, in the same order where values differ."""
    path = profiles["directory"] / f"{which}.pb.gz"
    order = ["-cum"] if flags else []
    theirs = rows_of(
        go_pprof("-top", "-symbolize=none", "-functions", "-nodecount=40", *order, path).text
    )
    ours = rows_of(cprof("top", *flags, "-n", "40", path).text)
    theirs_by_name = {row[-1]: row[:4] for row in theirs}
    compared = 0
    for *numbers, name in ours:
        key = next((n for n in theirs_by_name if name == n or name.startswith(n + "  ")), None)
        if key is not None:
            assert tuple(numbers) == theirs_by_name[key], name
            compared += 1
    assert compared >= min(4, len(theirs))


def test_cprof_reads_a_profile_of_go(go_pprof, tmp_path):
    program = WORKLOADS / "go_profile"
    if not program.exists():
        pytest.skip("go_profile was not built: Go is not installed")
    path = tmp_path / "go.pb.gz"
    assert run(program, path).status == 0
    theirs = {r[-1]: r[:4] for r in rows_of(go_pprof("-top", "-symbolize=none", path).text)}
    ours = {r[-1].split()[0]: r[:4] for r in rows_of(cprof("top", path).text)}
    assert "main.goSpin" in ours
    for name in ("main.goSpin", "main.goSpinTwice", "main.main"):
        if name in theirs:
            assert ours[name] == theirs[name], name


def test_cprof_reads_what_go_wrote_of_ours(profiles, go_pprof, tmp_path):
    path = tmp_path / "again.pb.gz"
    go_pprof("-proto", "-symbolize=none", f"-output={path}", profiles["directory"] / "one.pb.gz")
    again = json.loads(cprof("top", "--json", path).text)
    before = json.loads(cprof("top", "--json", profiles["directory"] / "one.pb.gz").text)
    assert again["total"] == before["total"]
    for name in ("burn_fifty", "run_shift"):
        pick = [
            next((f["flat"], f["cum"]) for f in table["functions"] if f["name"] == name)
            for table in (again, before)
        ]
        assert pick[0] == pick[1]


def test_cprof_top_json(profiles):
    table = json.loads(cprof("top", "--json", profiles["directory"] / "one.pb.gz").text)
    one = profiles["one"]
    assert (table["sample_type"], table["unit"]) == ("cpu", "nanoseconds")
    assert table["total"] == one.total(value=1)
    flats = {f["name"]: f["flat"] for f in table["functions"]}
    assert flats["burn_fifty"] == one.flat()["burn_fifty"] * one.period


def test_cprof_top_of_several_files(profiles):
    files = [profiles["directory"] / f"{n}.pb.gz" for n in ("one", "two")]
    table = json.loads(cprof("top", "--json", *files).text)
    assert table["total"] == profiles["one"].total(value=1) + profiles["two"].total(value=1)


def test_cprof_needs_no_privilege(profiles, public_dir):
    path = public_dir / "one.pb.gz"
    shutil.copy(profiles["directory"] / "one.pb.gz", path)
    path.chmod(0o644)
    result = run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                 public_dir / "cprof", "top", path)
    assert result.status == 0 and "burn_fifty" in result.text, result.err


def test_pprof_format_agrees(profiles):
    """An encoder and decoder of other people, in another language."""
    if not (NPM / "node_modules" / "pprof-format").is_dir():
        pytest.skip(f"npm's pprof-format is not installed in {NPM}")
    node = shutil.which("node")
    if not node:
        pytest.skip("node is not installed")
    script = Path(__file__).with_name("pprof_format.js")
    for which in ("one", "host"):
        profile = profiles[which]
        result = run(node, script, NPM, profiles["directory"] / f"{which}.pb.gz")
        assert result.status == 0, result.err
        theirs = json.loads(result.text)
        assert [tuple(t) for t in theirs["sampleTypes"]] == profile.sample_types
        assert theirs["total"] == [profile.total(), profile.total(value=1)]
        assert theirs["samples"] == len(profile.samples)
        assert theirs["mappings"] == [m.file for m in profile.mappings]
        assert theirs["comments"] == profile.comments
        assert theirs["period"] == profile.period
        assert theirs["timeNanos"] == str(profile.time_ns)
        for name, count in profile.flat().items():
            if not name.startswith("["):
                assert theirs["flat"][name] == count, name


def test_our_files_have_one_time_stamp(profiles):
    for name in ("one", "host"):
        profile = profiles[name]
        assert profile.time_ns > 1_600_000_000 * 10**9
        assert profile.strings[0] == ""
    assert cprofd("--version").status == 0
