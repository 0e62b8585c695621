# SPDX-License-Identifier: BSD-2-Clause
"""Nothing is lost in silence: the identities hold exactly, also when a lot is lost."""
import copy
import os
import re
import signal
import time
from pathlib import Path

import pytest

from harness import Started, Workload, check_accounting, counters_of, drops_of, record
import pprof_reader


def test_whole_host_at_the_highest_rate(tmp_path):
    with Workload("deep", "60", "2"):
        profile = record(tmp_path, seconds=3, freq=4999)
    counters = counters_of(profile)
    cpus = os.sysconf("SC_NPROCESSORS_ONLN")
    assert counters["fired"] >= 0.8 * 3 * 4999 * min(cpus, 2)
    assert counters["fired"] <= 1.3 * 3 * 4999 * cpus
    assert counters["filtered"] == 0


def idle_ticks():
    """Of all CPUs, in 1/100 s."""
    return int(Path("/proc/stat").read_text().split()[4])


def test_idle_is_counted_and_not_shown(tmp_path):
    before = idle_ticks()
    profile = record(tmp_path, seconds=2)
    if idle_ticks() - before < 20:
        pytest.skip("no CPU of this host had time to be idle: others keep them busy")
    assert counters_of(profile)["idle"] > 0
    assert not any(s.pid == 0 for s in profile.samples)


@pytest.fixture
def overflown(tmp_path):
    """A profile of large records, of a run that was stopped so long that the ring overflows."""
    path = tmp_path / "cpu.pb.gz"
    argv = ["--cpu", "8s", "-F", "4999", "--strict", "1", "-o", path]
    with Workload("recurse", "200", "4"), Started(*argv) as running:
        running.wait_attached()
        os.kill(running.pid, signal.SIGSTOP)
        time.sleep(6)
        os.kill(running.pid, signal.SIGCONT)
        result = running.finish(timeout=60)
    profile = pprof_reader.read(path)
    profile.stderr = result.err
    return result, profile


def test_losses_are_named_weighted_and_told(overflown):
    result, profile = overflown
    check_accounting(profile)
    drops = drops_of(counters_of(profile))
    assert drops["ring_full"] > 0, "stopped for 6 s at 4,999 Hz: the ring must have been full"
    assert result.status == 6, "--strict 1 with more than 1 % lost"
    assert re.search(rf"\b{sum(drops.values())}\b", result.err.replace(",", "")), result.err
    assert "ring_full" in result.err


def tampered(profile, change):
    other = copy.deepcopy(profile)
    change(other)
    return other


def bump(name):
    def change(profile):
        profile.comments = [
            re.sub(rf"(?<!\S){re.escape(name)}=(\d+)", lambda m: f"{name}={int(m[1]) + 1}", c)
            for c in profile.comments
        ]

    return change


def add_a_sample(profile):
    profile.samples[0].values[0] += 1
    profile.samples[0].values[1] += profile.period


def add_a_nanosecond(profile):
    profile.samples[0].values[1] += 1


NAMES = ["fired", "filtered", "idle", "submitted", "consumed", "aggregated", "dropped.ring_full",
         "dropped.bad_record"]


def test_checks_notice_an_identity_that_is_off_by_one(tmp_path, burn):
    profile = record(tmp_path, "--pid", burn.pid, seconds=1)
    for change in [bump(name) for name in NAMES] + [add_a_sample, add_a_nanosecond]:
        other = tampered(profile, change)
        with pytest.raises(AssertionError):
            check_accounting(other)


def test_identities_at_every_end_of_a_window(tmp_path, burn):
    """Interrupted, ended by the target, of no length: nothing is in flight afterwards."""
    path = tmp_path / "cpu.pb.gz"
    for delay in (0, 0.05, 0.4):
        with Started("--cpu", "30s", "-F", "4999", "-o", path) as running:
            running.wait_attached()
            time.sleep(delay)
            running.interrupt()
            assert running.finish().status == 0
        check_accounting(pprof_reader.read(path))
    record(tmp_path, seconds="0.001", freq=4999)
