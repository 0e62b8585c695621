# SPDX-License-Identifier: BSD-2-Clause
"""Judges what a guest of scripts/kernels.sh sent: check_results.py SERIES RESULTS_DIR BUDGET_FILE.

Prints the kernel's line, its verifier instructions and everything that is wrong; exit status 1 if
anything is.
"""
import json
import re
import sys
from pathlib import Path

HZ = 99
PROFILES = ("pid", "command", "host", "comm", "cgroup", "service")
SCHED_RUNS = ("sched", "sched_moved")
HEAP_RUNS = ("heap_live", "heap_alloc", "heap_static", "heap_children", "heap_preload")
KERNEL_SUFFIX = "_[k]"
# An emulator on a busy host gets no time for some ticks; fewer than these would prove nothing.
SHARE_OF_TICKS = 1 / 3
# Of the stacks of programs without frame pointers: reached their thread's start, show every caller.
COMPLETE_PERCENT = 99.5
KERNEL_FAULT = re.compile(r"\bBUG: (?!soft lockup|workqueue)|\bOops\b|WARNING: CPU|"
                          r"general protection fault")
# Loaded by libbpf and by cprofd to find out what the kernel has.
PROBES = ("libbpf_", "cprof_feature", "det_arg_ctx", "test")


class Run:
    """One run of cprofd in the guest: its status, what it said, its samples."""

    def __init__(self, results, name):
        self.name = name
        self.status = int((results / f"{name}.status").read_text())
        self.out = (results / f"{name}.out").read_text(errors="replace")
        self.err = (results / f"{name}.err").read_text(errors="replace")
        folded = results / f"{name}.folded"
        self.stacks = []
        for line in folded.read_text().splitlines() if folded.exists() else []:
            frames, _, count = line.rpartition(" ")
            self.stacks.append((frames.split(";"), int(count)))

    def samples(self, wanted=lambda frames: True):
        return sum(count for frames, count in self.stacks if wanted(frames))

    def counters(self):
        """The accounting of -v, in its order."""
        for line in self.err.splitlines():
            if " fired=" in line:
                return [(k, int(v)) for k, v in re.findall(r"([\w.]+)=(\d+)", line)]
        return []


class Judge:
    def __init__(self):
        self.faults = []
        self.quoted = set()

    def expect(self, truth, run, why):
        if not truth:
            lines = why.splitlines()
            if run.name not in self.quoted:
                lines += run.err.strip().splitlines()[-12:]
                self.quoted.add(run.name)
            self.faults.append("\n      ".join([f"{run.name}: {lines[0]}", *lines[1:]]))
        return truth


def expectations(said, kind):
    """The arguments of the lines "expect KIND …" that a workload printed."""
    return [line.split()[2:] for line in said.splitlines() if line.startswith(f"expect {kind} ")]


def has_chain(frames, chain):
    frames = [f for f in frames if not f.endswith(KERNEL_SUFFIX)]
    return any(frames[i:i + len(chain)] == chain for i in range(len(frames)))


def enters_kernel_from(frames, function):
    callers = [f for f in frames if not f.endswith(KERNEL_SUFFIX)]
    return len(callers) < len(frames) and callers[-1] == function


def is_complete(frames):
    return not any(frame.startswith("[truncated") for frame in frames)


def check_accounting(judge, run):
    counters = run.counters()
    names = [name for name, _ in counters]
    if not judge.expect("consumed" in names, run, "no accounting"):
        return
    of = dict(counters)
    before = [v for n, v in counters[:names.index("consumed")] if n != "fired" and n != "in_ring"]
    after = counters[names.index("consumed") + 1:]
    dropped_after = sum(v for n, v in after if n.startswith("dropped."))
    judge.expect(of["fired"] == sum(before), run, f"fired {of['fired']}, ended {sum(before)}")
    judge.expect(of["submitted"] == of["consumed"], run, "submitted is not consumed")
    judge.expect(of["consumed"] == of["aggregated"] + dropped_after, run,
                 "consumed is not aggregated and dropped")
    dropped = {n: v for n, v in counters if n.startswith("dropped.") and v}
    judge.expect(not dropped, run, f"samples were lost: {dropped}")


def check_profile(judge, run, seconds, comm=None):
    """What holds for every profile; false when there is nothing to look at."""
    if not judge.expect(run.status == 0, run, f"exit status {run.status}"):
        return False
    check_accounting(judge, run)
    if comm:
        others = run.samples(lambda frames: frames[0] != comm)
        judge.expect(others == 0, run, f"{others} samples are not of {comm}")
    least = int(HZ * seconds * SHARE_OF_TICKS)
    return judge.expect(run.samples() >= least, run, f"{run.samples()} samples, {least} expected")


def check_share(judge, run, comm, percent, what, wanted):
    mine = run.samples(lambda frames: frames[0] == comm)
    good = run.samples(lambda frames: frames[0] == comm and wanted(frames))
    judge.expect(mine and good * 100 >= mine * percent, run,
                 f"{what}: {good} of {mine} samples of {comm}, {percent} % expected")


def missing_line(run):
    """The first thing that doctor found missing."""
    return next((line for line in run.out.splitlines() if line.startswith("missing")), "")


def check_doctors(judge, results, series):
    """root has everything; CAP_BPF and CAP_PERFMON are told what else this kernel wants."""
    doctor = Run(results, "doctor")
    judge.expect(doctor.status == 0, doctor, f"exit status {doctor.status}\n{doctor.out}")
    doctor = Run(results, "doctor_service")
    limit = "RLIMIT_MEMLOCK" if series == "5.10" else "perf_event_paranoid=2"
    judge.expect(doctor.status == 4 and limit in missing_line(doctor), doctor,
                 f"{limit} should be missing:\n{doctor.out}")


def check_complete(judge, run):
    """Elsewhere than on one process, others start and end within a few hundred samples (busybox, whose
    assembly has no call frame information, cprofd itself while it starts): 5 % of them may miss."""
    misses = run.samples() - run.samples(is_complete)
    share = 100 - COMPLETE_PERCENT if run.name == "pid" else 5
    allowed = max(1, run.samples() * share / 100)
    judge.expect(misses <= allowed, run, f"{misses} of {run.samples()} stacks are cut short")


def check_runs(judge, results):
    runs = {name: Run(results, name) for name in PROFILES}

    chain = expectations((results / "nofp_deep.said").read_text(), "chain")[0]
    if check_profile(judge, runs["pid"], 3, "nofp_deep"):
        check_share(judge, runs["pid"], "nofp_deep", COMPLETE_PERCENT,
                    "whole chain from main to its leaf", lambda frames: has_chain(frames, chain))
    for run in runs.values():
        if run.samples():
            check_complete(judge, run)

    if check_profile(judge, runs["command"], 2, "family"):
        for (symbol,) in expectations(runs["command"].out, "symbol"):
            check_share(judge, runs["command"], "family", 5, symbol,
                        lambda frames, symbol=symbol: symbol in frames)

    function, percent = expectations((results / "syscalls.said").read_text(), "kernel")[0]
    for name, seconds in (("host", 2), ("comm", 1), ("cgroup", 1)):
        if check_profile(judge, runs[name], seconds, None if name == "host" else "syscalls"):
            check_share(judge, runs[name], "syscalls", int(percent),
                        f"kernel entered from {function}",
                        lambda frames: enters_kernel_from(frames, function))
    if check_profile(judge, runs["service"], 1):
        check_share(judge, runs["service"], "syscalls", 50, f"samples in {function}",
                    lambda frames: function in frames)
    return list(runs.values())


def read_accounts(path):
    """{tid: run_delay} of lines "TID RUN_TIME RUN_DELAY TIMESLICES"."""
    return {int(words[0]): int(words[2]) for words in map(str.split, path.read_text().splitlines())}


def check_sched(judge, results, name):
    """Each thread's waits are the kernel's own, to the nanosecond; returns how long they were."""
    run = Run(results, name)
    report = results / f"{name}.json"
    if not judge.expect(run.status == 0 and report.exists(), run, f"exit status {run.status}"):
        return 0
    data = json.loads(report.read_text())
    before, after = (read_accounts(results / f"{name}.{when}") for when in ("before", "after"))
    reasons = ("preempted_ns", "delayed_ns", "runnable_ns")
    ours = {t["tid"]: sum(t[r] for r in reasons) for t in data["threads"]}
    kernel = {tid: after[tid] - before[tid] for tid in before}
    off = {tid: ours.get(tid, 0) - ns for tid, ns in kernel.items() if ours.get(tid, 0) != ns}
    judge.expect(not off, run, f"waits are off by {off} ns of {kernel}")
    judge.expect(set(ours) <= set(kernel), run, f"threads of others: {set(ours) - set(kernel)}")
    latency = data["totals"]["latency_ns"]
    judge.expect(latency == sum(kernel.values()), run, f"total {latency}, {sum(kernel.values())}")
    for group in ("preempted", "delayed", "runnable", "latency"):
        parts = [g["histograms"][group]["sum_ns"] for g in data.get("groups", {}).get("values", [])]
        judge.expect(not parts or sum(parts) == data["totals"][f"{group}_ns"], run,
                     f"{group} of groups: {parts}")
    judge.expect(latency > 1e9, run, f"threads waited {latency} ns, more than a second expected")
    return latency


def check_disturbed(judge, results, name):
    told = Run(results, f"{name}.disturb")
    judge.expect(told.status == 0, told, "the CPU was not unplugged")


def truth_of_heap(said):
    """Function → what a program says that it allocated and has kept, in the report's columns."""
    line = next(s for s in said.splitlines() if s.startswith("truth "))
    out = {}
    for name, sizes in json.loads(line.removeprefix("truth "))["functions"].items():
        rows = [(n, n * max(int(k), 1), kept, kept * max(int(k), 1))
                for k, (n, kept) in sizes.items()]
        out[name] = tuple(sum(column) for column in zip(*rows))
    return out


def check_heap(judge, results, name):
    """To the object and byte, as the program counts; returns how many were counted."""
    run = Run(results, name)
    if not judge.expect(run.status == 0, run, f"exit status {run.status}"):
        return 0
    judge.expect((results / f"{name}.load").read_text() == "0\n", run, "the program failed")
    counters = dict(run.counters())
    before = ("filtered", "nested", "unsampled", "failed", "unfinished", "submitted",
              "dropped.ring_full", "dropped.scratch_busy", "dropped.no_return")
    judge.expect(counters["fired"] == sum(counters[n] for n in before), run, f"{counters}")
    judge.expect(counters["submitted"] == counters["aggregated"], run, f"{counters}")
    dropped = {n: v for n, v in counters.items() if "dropped" in n and v}
    judge.expect(not dropped, run, f"samples were lost: {dropped}")
    report = json.loads((results / f"{name}.json").read_text())
    columns = ["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"]
    if report["mode"] == "alloc":
        columns = columns[:2]
    ours = {s["function"]: tuple(s[c] for c in columns) for s in report["sites"]}
    truth = truth_of_heap((results / f"{name}.said").read_text())
    # libc's own strdup() is the one that allocates.
    off = {n: (ours.get(n), t[:len(columns)]) for n, t in truth.items()
           if n != "alloc_strdup" and ours.get(n) != t[:len(columns)] and any(t)}
    judge.expect(not off, run, f"(found, true) {columns}: {off}")
    return sum(t[0] for t in truth.values())


def check_kernel_log(results):
    """The faults the kernel found in itself; that it got no time is the emulator's doing."""
    log = (results / "dmesg.out").read_text(errors="replace")
    return [f"kernel log: {line}" for line in log.splitlines() if KERNEL_FAULT.search(line)]


def read_insns(results):
    """Program → the most that any load of it took: rodata decides what the verifier walks."""
    insns = {}
    for line in (results / "insns").read_text().splitlines():
        program, count = line.split()
        if not program.startswith(PROBES):
            insns[program] = max(insns.get(program, 0), int(count))
    return insns


def read_budgets(path, series):
    """Lines "PROGRAM BUDGET…", a column for each series named in the first; "-": not loaded."""
    rows = [line.split() for line in path.read_text().splitlines()
            if line.strip() and not line.startswith("#")]
    column = rows[0].index(series)
    return {row[0]: int(row[column]) for row in rows[1:] if row[column] != "-"}


def check_insns(insns, budgets):
    """The faults; every program has a budget and every budget a program."""
    faults = []
    for program in sorted(insns.keys() | budgets.keys()):
        if program not in insns:
            faults.append(f"insns: {program} has a budget and was never loaded")
        elif program not in budgets:
            faults.append(f"insns: {program} took {insns[program]}, it has no budget")
        elif insns[program] > budgets[program]:
            faults.append(f"insns: {program} took {insns[program]}, "
                          f"its budget is {budgets[program]}")
    return faults


def main(series, results, budget_file):
    results = Path(results)
    judge = Judge()
    check_doctors(judge, results, series)
    runs = check_runs(judge, results)
    waited_ns = sum(check_sched(judge, results, name) for name in SCHED_RUNS)
    check_disturbed(judge, results, "sched_moved")
    allocations = sum(check_heap(judge, results, name) for name in HEAP_RUNS)
    insns = read_insns(results)
    faults = (judge.faults + check_insns(insns, read_budgets(Path(budget_file), series))
              + check_kernel_log(results))
    release = (results / "release").read_text().strip()
    samples = sum(run.samples() for run in runs)
    complete = sum(run.samples(is_complete) for run in runs)
    print(f"kernel {release}: {'FAILED' if faults else 'ok'}, {samples} samples "
          f"({complete} complete), {waited_ns / 1e9:.1f} s of waits, {allocations} allocations, "
          f"{sum(insns.values())} insns: "
          + ", ".join(f"{program} {count}" for program, count in sorted(insns.items())))
    for fault in faults:
        print(f"  {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except (OSError, ValueError, IndexError) as error:
        print(f"kernel {sys.argv[1]}: FAILED: results are incomplete: {error}")
        sys.exit(1)
