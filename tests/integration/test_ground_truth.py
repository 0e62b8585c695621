# SPDX-License-Identifier: BSD-2-Clause
"""Our stacks against those libdw's unwinder makes of the same registers and stack bytes."""
import json
import shutil
import time
from pathlib import Path

import pytest

from harness import BUILD, WORKLOADS, Workload, run

SCRIPTS = Path(__file__).resolve().parents[1] / "workloads"
GROUND_TRUTH = BUILD / "tests" / "bench" / "ground_truth"

SAMPLES = 1500
STEPS = 3  # of single instructions after each stop: prologues and epilogues
WARM_UP_S = 1.5  # until everything is loaded: libdw is told what is mapped once
SHARE_MIN = 99.9

PERL_LOAD = "while (1) { my @a = sort map { $_ * 7919 } 1 .. 3000; $h{$_}++ for @a; %h = () }"

# What proves something about the tables of a program that is not there? Nothing: skipped, by name.
PROGRAMS = {
    "cpp": [WORKLOADS / "truth_cpp"],
    "rust": [WORKLOADS / "truth_rust"],
    "go": [WORKLOADS / "truth_go"],
    "python3": ["/usr/bin/python3", SCRIPTS / "real_python.py"],
    "node": ["node", SCRIPTS / "real_node.js"],
    "java": ["java", "-Xmx256m", "-cp", WORKLOADS, "RealJava"],
    "openssl": ["openssl", "speed", "-seconds", "60", "-evp", "aes-256-gcm"],
    "perl": ["perl", "-e", PERL_LOAD],
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_frames_are_those_of_libdw(program, record_property):
    argv = PROGRAMS[program]
    if not GROUND_TRUTH.exists():
        pytest.skip("ground_truth was not built: no libdw")
    if not shutil.which(str(argv[0])):
        pytest.skip(f"{argv[0]} is not there")
    if program == "java" and not (WORKLOADS / "RealJava.class").exists():
        pytest.skip("RealJava was not built: no javac")
    with Workload(*argv, is_command=True, silent=True) as workload:
        time.sleep(WARM_UP_S)
        result = run(GROUND_TRUTH, "-v", "-n", str(SAMPLES), "-s", str(STEPS), str(workload.pid))
    assert result.status == 0, result.err
    found = json.loads(result.text)
    share = 100 * found["equal"] / max(found["frames"], 1)
    record_property(f"frames of {program} equal to libdw's", round(share, 3))
    print(f"{program}: {share:.3f} % of {found['frames']} frames equal, {found}")
    assert found["samples"] >= SAMPLES
    assert found["frames"] > SAMPLES, "hardly anything was compared"
    assert share >= SHARE_MIN, result.err
    assert found["ends_equal"] >= found["ends"] * SHARE_MIN / 100, result.err
