# SPDX-License-Identifier: BSD-2-Clause
"""Looks into the BPF maps of a running cprofd: what they take, whose code has a table by now."""
import ctypes
import json
import os
import platform
import re
import struct
import subprocess
import time
from pathlib import Path

BPF_MAP_LOOKUP_ELEM, BPF_MAP_GET_FD_BY_ID = 1, 14
BPF_SYSCALLS = {"x86_64": 321, "aarch64": 280}
ABI = Path(__file__).resolve().parents[2] / "bpf" / "abi" / "unwind_table.h"


def ids_of(pid, kind):
    """Ids of the BPF objects (kind: prog, map) a process has open."""
    found = set()
    for fd in Path(f"/proc/{pid}/fdinfo").glob("*"):
        try:
            found.update(int(n) for n in re.findall(rf"^{kind}_id:\s+(\d+)", fd.read_text(), re.M))
        except OSError:
            continue  # closed meanwhile
    return found


def maps_of(bpftool, pid):
    """What bpftool tells of the maps of a process, by name."""
    ours = ids_of(pid, "map")
    told = subprocess.run([bpftool, "map", "show", "-j"], stdout=subprocess.PIPE, check=True).stdout
    return {m["name"]: m for m in json.loads(told) if m["id"] in ours}


def mapped_kb(pid):
    """Resident kB of a process: (of its own, of BPF maps it has mapped)."""
    own = maps = 0
    in_map = False
    for line in Path(f"/proc/{pid}/smaps").read_text(errors="replace").splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            in_map = "anon_inode:bpf-map" in line or "anon_inode:bpf_map" in line
        elif line.startswith("Rss:"):
            resident = int(line.split()[1])
            own, maps = (own, maps + resident) if in_map else (own + resident, maps)
    return own, maps


def abi_number(name):
    """A number that the BPF programs and the daemon share."""
    found = re.search(rf"#define {name}\s+(0x[0-9a-fA-F]+|\d+)", ABI.read_text(encoding="utf-8"))
    if not found:
        raise RuntimeError(f"{ABI.name} has no {name}")
    return int(found.group(1), 0)


def bpf(command, attributes):
    number = BPF_SYSCALLS.get(platform.machine())
    if number is None:
        raise RuntimeError(f"the number of bpf(2) on {platform.machine()} is not known here")
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes, 128)
    result = libc.syscall(number, command, buffer, 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    return result


class OpenMap:
    """A map by its description from maps_of(), keys are u32."""

    def __init__(self, told):
        self.fd = bpf(BPF_MAP_GET_FD_BY_ID, struct.pack("=I", told["id"]))
        self.value = ctypes.create_string_buffer(told["bytes_value"])

    def lookup(self, key):
        number = ctypes.c_uint32(key)
        try:
            bpf(BPF_MAP_LOOKUP_ELEM, struct.pack(
                "=IIQQQ", self.fd, 0, ctypes.addressof(number), ctypes.addressof(self.value), 0))
        except FileNotFoundError:
            return None
        return self.value.raw

    def close(self):
        os.close(self.fd)


class TableWatch:
    """Waits until the kernel walks a process by the tables of a file it maps."""

    def __init__(self, maps):
        self.processes = OpenMap(maps["unwind_processe"])  # the kernel keeps 15 characters
        self.slots = OpenMap(maps["unwind_slots"])
        self.mappings_cnt = abi_number("UNWIND_MAPPINGS")
        self.files_max = abi_number("UNWIND_FILES_MAX")  # from there on it says why there is none

    def files_at(self, pid, address):
        """Indices of the tables for the address; none as long as the process has no slot."""
        value = self.processes.lookup(pid)
        slot = value and self.slots.lookup(struct.unpack_from("=QI", value)[1])
        if not slot:
            return []
        cnt = self.mappings_cnt
        starts = struct.unpack_from(f"={cnt}Q", slot)
        ends = struct.unpack_from(f"={cnt}Q", slot, 8 * cnt)
        files = struct.unpack_from(f"={cnt}I", slot, 24 * cnt)
        return [f for s, e, f in zip(starts, ends, files) if s <= address < e]

    def wait(self, pid, address, timeout_s=10):
        """Moment (time.monotonic) at which the code at the address had a table."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            if any(f < self.files_max for f in self.files_at(pid, address)):
                return time.monotonic()
            time.sleep(0.0002)
        raise RuntimeError(f"process {pid} got no table within {timeout_s} s")

    def close(self):
        self.processes.close()
        self.slots.close()


def code_address(pid, path):
    """Where the process has the file mapped as code."""
    for line in Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines():
        words = line.split(maxsplit=5)
        if len(words) == 6 and words[5] == str(path) and "x" in words[1]:
            return int(words[0].split("-")[0], 16)
    raise RuntimeError(f"process {pid} does not map {path} as code")


def never_seen(path, copy):
    """The same program under a build-id that nobody has seen."""
    data = bytearray(path.read_bytes())
    note = struct.pack("=III4s", 4, 20, 3, b"GNU\0")
    at = data.find(note)
    if at < 0:
        raise RuntimeError(f"{path} has no build-id")
    data[at + len(note) : at + len(note) + 20] = os.urandom(20)
    copy.write_bytes(data)
    copy.chmod(0o755)
    return copy
