# SPDX-License-Identifier: BSD-2-Clause
"""cprof top and go tool pprof -top print the same figures and names, line by line."""
import gzip
import json
import os
import random
import subprocess
from pathlib import Path

import pytest

from harness import CPROF, GO, RAW_BYTES, TREE, cprof, run

GOLDEN = TREE / "tests" / "golden" / "cpu.pb"
GO_PROFILES = ("cpu1", "cpu2", "heap", "allocs", "mutex", "block", "goroutine", "threadcreate")
HEAP_TYPES = ("alloc_objects", "alloc_space", "inuse_objects", "inuse_space")


@pytest.fixture(scope="module")
def go_environment(tmp_path_factory):
    if not Path(GO).exists():
        pytest.skip(f"{GO} is not installed (Debian: golang-go)")
    home = tmp_path_factory.mktemp("go")
    return {**os.environ, "HOME": str(home), "GOPATH": str(home), "GOFLAGS": "-mod=mod",
            "GOTOOLCHAIN": "local", "PPROF_TMPDIR": str(home), "TZ": "UTC"}


@pytest.fixture(scope="module")
def go_profiles(go_environment, tmp_path_factory):
    """A directory with profiles that runtime/pprof wrote."""
    directory = tmp_path_factory.mktemp("go-profiles")
    program = directory / "write_profiles"
    built = run(GO, "build", "-o", program, TREE / "tests" / "integration" / "write_profiles.go",
                env=go_environment, cwd=directory, timeout=300)
    assert built.status == 0, built.err
    wrote = run(program, directory)
    assert wrote.status == 0, wrote.err
    return directory


# --- the comparison ------------------------------------------------------------------------------


def lines_of_go(environment, args, files):
    result = run(GO, "tool", "pprof", "-top", *args, *files, env=environment)
    assert result.status == 0, result.err
    # Where a file is named "[JIT]", pprof brackets it once more.
    return [line.replace("[[", "[").replace("]]", "]") for line in result.text.splitlines()
            if not line.startswith("Time: ")]


def lines_of_cprof(args, files):
    result = cprof("top", *args, *files, env={**os.environ, "TZ": "UTC"})
    assert result.status == 0, result.err
    return [line for line in result.text.splitlines() if not line.startswith("Time: ")]


def is_same_line(theirs, ours):
    """Ours is theirs and, after two blanks at least, the module or a title."""
    return ours == theirs or (ours.startswith(theirs) and ours[len(theirs):].startswith("  "))


def compare(environment, files, go_args=(), our_args=()):
    theirs = lines_of_go(environment, go_args, files)
    ours = lines_of_cprof(our_args, files)
    for a, b in zip(theirs, ours):
        assert is_same_line(a, b), f"\npprof: {a}\nours:  {b}"
    assert len(theirs) == len(ours)
    return ours


@pytest.mark.parametrize("name", GO_PROFILES)
def test_go_profiles(go_environment, go_profiles, name):
    files = [go_profiles / f"{name}.pb.gz"]
    compare(go_environment, files)
    compare(go_environment, files, ["-cum"], ["--cum"])
    compare(go_environment, files, ["-nodecount=7"], ["-n", "7"])
    compare(go_environment, files, ["-cum", "-nodecount=3"], ["--cum", "-n3"])


@pytest.mark.parametrize("sample_type", HEAP_TYPES)
def test_heap_sample_types(go_environment, go_profiles, sample_type):
    for name in ("heap", "allocs"):
        files = [go_profiles / f"{name}.pb.gz"]
        lines = compare(go_environment, files, [f"-sample_index={sample_type}"],
                        ["--sample-type", sample_type])
        assert f"Type: {sample_type}" in lines
        index = str(HEAP_TYPES.index(sample_type))
        assert lines_of_cprof(["--sample-type", index], files) == lines


def test_inlined_calls_are_marked(go_environment, go_profiles):
    lines = compare(go_environment, [go_profiles / "cpu1.pb.gz"])
    assert any("(inline)" in line for line in lines)


def test_merged(go_environment, go_profiles):
    cpu = [go_profiles / "cpu1.pb.gz", go_profiles / "cpu2.pb.gz"]
    compare(go_environment, cpu)
    compare(go_environment, cpu, ["-cum"], ["--cum"])
    compare(go_environment, [go_profiles / "heap.pb.gz"] * 3)
    both = [go_profiles / "heap.pb.gz", go_profiles / "allocs.pb.gz"]
    compare(go_environment, both)
    compare(go_environment, both[::-1])


def test_our_own(go_environment, tmp_path):
    ours = tmp_path / "ours.pb.gz"
    ours.write_bytes(gzip.compress(GOLDEN.read_bytes()))
    for files in ([ours], [GOLDEN], [ours, GOLDEN]):
        compare(go_environment, files)
        compare(go_environment, files, ["-cum"], ["--cum"])
        compare(go_environment, files, ["-sample_index=samples"], ["--sample-type", "samples"])


# --- made-up profiles: whatever the format allows --------------------------------------------------


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def message(field, *parts):
    data = b"".join(parts)
    return varint(field << 3 | 2) + varint(len(data)) + data


class Strings:
    def __init__(self):
        self.index = {"": 0}

    def __call__(self, text):
        return self.index.setdefault(text, len(self.index))

    def encode(self):
        return b"".join(message(6, text.encode()) for text in self.index)


UNITS = ("nanoseconds", "count", "bytes", "microseconds", "ms", "GCU", "widgets", "B")
FILES = ("/opt/x/prog", "/usr/lib/libx.so.1", "/a/libx.so.1", "[vdso]", "[kernel.kallsyms]", "")
NAMES = ("main", "f", "g", "a::b(int)", "operator()(x)", "vector<a<b>>::at(int)", "main.(*T).f",
         "pkg.(*L[...]).push", "apply[...]", "malloc", "new_thing", "", "caf\u00e9", "Foo.<init>", "[lost]")


def random_values(rng, types, style):
    if style == "signed":
        return [rng.randint(-10**6, 10**6) for _ in range(types)]
    if style == "spread":
        return [int(10 ** rng.uniform(0, 10)) for _ in range(types)]
    return [rng.choice((0, 1, 1, 2, 5, 1000, 12345678)) for _ in range(types)]


def random_location(rng, strings, i):
    functions = [rng.randint(1, 40) for _ in range(rng.choice((0, 1, 1, 1, 2, 3)))]
    return message(4, number(1, i), number(2, rng.randint(0, len(FILES))), number(3, 4096 + 7 * i),
                   *(message(4, number(1, f), number(2, rng.randint(0, 99))) for f in functions))


def random_function(rng, strings, i):
    name = rng.choice(NAMES) + rng.choice(("", "", str(i % 10)))
    system_name = rng.choice((name, name, "", f"_sys{i}"))
    return message(5, number(1, i), number(2, strings(name)), number(3, strings(system_name)),
                   number(4, strings(rng.choice(("", "/src/a.c", "b.c")))))


def random_sample(rng, strings, types, style, locations):
    depth = rng.randint(0, 12)
    stack = [rng.randint(1, locations) for _ in range(depth)]
    labels = [message(3, number(1, strings("pid")), number(3, rng.randint(1, 3)),
                      number(4, strings("pid")))] if rng.random() < 0.5 else []
    return message(2, message(1, *map(varint, stack)),
                   message(2, *map(varint, random_values(rng, types, style))), *labels)


def random_profile(seed):
    """A valid profile, as bytes, and the names of its sample types."""
    rng = random.Random(seed)
    strings = Strings()
    types = [(f"type{i}", rng.choice(UNITS)) for i in range(rng.randint(1, 4))]
    style = rng.choice(("plain", "signed", "spread"))
    locations = rng.choice((5, 30, 300))
    parts = [message(1, number(1, strings(t)), number(2, strings(u))) for t, u in types]
    parts += [random_sample(rng, strings, len(types), style, locations)
              for _ in range(rng.choice((0, 1, 20, 400)))]
    # Files that do not exist, and flags set: pprof is not to look for names of its own.
    parts += [message(3, number(1, i + 1), number(2, i << 20), number(3, i + 1 << 20),
                      number(5, strings(file)), number(6, strings(f"id{seed}{i}" if file else "")),
                      number(7, 1))
              for i, file in enumerate(FILES)]
    parts += [random_location(rng, strings, i + 1) for i in range(locations)]
    parts += [random_function(rng, strings, i + 1) for i in range(40)]
    if rng.random() < 0.4:
        parts.append(number(7, strings("malloc.*|new_.*")))
        parts.append(number(8, strings("malloc3|(?:new_thing5)")))
    parts.append(number(9, 10**18 + seed))
    parts.append(number(10, rng.choice((0, 10**9, 123456789))))
    parts.append(message(13, varint(strings("a comment")), varint(strings("#hidden"))))
    if rng.random() < 0.5:
        parts.append(number(14, strings(types[0][0])))
    return b"".join(parts) + strings.encode(), [t for t, _ in types]


@pytest.mark.parametrize("seed", range(24))
def test_random_profiles(go_environment, tmp_path, seed):
    data, types = random_profile(seed)
    path = tmp_path / "random.pb"
    path.write_bytes(data)
    compare(go_environment, [path])
    compare(go_environment, [path], ["-cum", f"-sample_index={types[0]}"],
            ["--cum", "--sample-type", types[0]])
    compare(go_environment, [path], ["-nodecount=5"], ["-n", "5"])


# --- json, arguments, bad input ------------------------------------------------------------------


def test_json():
    result = cprof("top", "--json", GOLDEN)
    table = json.loads(result.out)
    assert result.status == 0
    assert (table["sample_type"], table["unit"], table["total"]) == ("cpu", "nanoseconds", 1010101000)
    assert table["functions"][0] == {"name": "app::helper(int)", "file": "/src/app/helper.hpp",
                                     "flat": 616161610, "cum": 676767670}
    assert sum(f["flat"] for f in table["functions"]) == table["total"]
    by_cum = json.loads(cprof("top", "--json", "--cum", "-n", "2", GOLDEN).out)
    assert [f["name"] for f in by_cum["functions"]] == ["_start", "main"]


def test_standard_input():
    expected = cprof("top", GOLDEN).out
    with open(GOLDEN, "rb") as file:
        assert cprof("top", "-", stdin=file).out == expected


def test_names_are_harmless():
    result = cprof("top", GOLDEN)
    assert rb"ev\x1b[31mil\x0a" in result.out
    assert not RAW_BYTES.search(result.out)


def test_colours_only_on_request(tmp_path):
    """A terminal gets colours, unless NO_COLOR or --no-color says otherwise; a file never does."""
    def on_terminal(*args, **environment):
        output = subprocess.run(
            ["script", "-qec", " ".join([str(CPROF), "top", *args, str(GOLDEN)]), "/dev/null"],
            env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
        return b"\x1b[" in output.stdout

    assert b"\x1b" not in cprof("top", GOLDEN).out
    assert on_terminal()
    assert not on_terminal("--no-color")
    assert not on_terminal(NO_COLOR="1")
    assert not on_terminal(TERM="dumb")


@pytest.mark.parametrize("args", (["-h"], ["--help"], ["top", "-h"], ["top", "--help"],
                                  ["--version"], ["top", "--version"]))
def test_help_and_version(args):
    result = cprof(*args)
    assert result.status == 0 and result.err == ""
    assert result.text.startswith("cprof " if "--version" in args else "Usage: cprof")


@pytest.mark.parametrize("args, said", (
    ([], "--help"),
    (["tpo"], "'top'"),
    (["--cum"], "'--cum'"),
    (["top"], "no file"),
    (["top", "--cmu", GOLDEN], "'--cum'"),
    (["top", "--sampel-type=cpu", GOLDEN], "'--sample-type'"),
    (["top", "--zzz", GOLDEN], "'--zzz'"),
    (["top", "-x", GOLDEN], "'-x'"),
    (["top", "-n"], "'-n' needs a value"),
    (["top", "-n", "0", GOLDEN], "'0'"),
    (["top", "-n", "-3", GOLDEN], "'-3'"),
    (["top", "-n", "many", GOLDEN], "'many'"),
    (["top", "--json=yes", GOLDEN], "no value"),
    (["top", "--sample-type", "wall", GOLDEN], "samples, cpu"),
    (["top", "--sample-type", "2", GOLDEN], "samples, cpu"),
))
def test_wrong_arguments(args, said):
    result = cprof(*args)
    assert (result.status, result.out) == (2, b"")
    assert len(result.err_lines) == 1 and said in result.err, result.err


def bad_files(directory):
    data = GOLDEN.read_bytes()
    packed = gzip.compress(data)
    yield "missing", None
    yield "empty", b""
    yield "text", b"heap profile: 1: 2 [3: 4] @ heapprofile\n"
    yield "elf", Path(CPROF).read_bytes()[:4096]
    yield "truncated", data[:-1]
    yield "truncated-gzip", packed[:-9]
    yield "gzip-of-nothing", gzip.compress(b"")
    yield "broken-gzip", packed[:40] + bytes(20) + packed[60:]
    yield "length-past-end", data + b"\x12\xff\xff\xff\xff\x0f"
    yield "twice", data + data
    yield "bomb", gzip.compress(bytes(1 << 30), 1)


def test_bad_files(tmp_path):
    for name, content in bad_files(tmp_path):
        path = tmp_path / f"{name}\x1b[31m.pb.gz"
        if content is not None:
            path.write_bytes(content)
        for args in ([path], ["--json", path], [GOLDEN, path]):
            result = cprof("top", *args)
            assert (result.status, result.out) == (1, b""), name
            assert len(result.err_lines) == 1 and name in result.err, result.err
            assert "\x1b" not in result.err
    result = cprof("top", tmp_path)
    assert result.status == 1 and "Is a directory" in result.err


def test_other_kinds_are_not_merged(go_profiles):
    result = cprof("top", go_profiles / "cpu1.pb.gz", go_profiles / "heap.pb.gz")
    assert (result.status, result.out) == (1, b"")
    assert len(result.err_lines) == 1 and "heap.pb.gz" in result.err


def test_full_output():
    with open("/dev/full", "wb") as full:
        result = cprof("top", GOLDEN, stdout=full)
    assert result.status == 1
    assert len(result.err_lines) == 1 and "No space left" in result.err
