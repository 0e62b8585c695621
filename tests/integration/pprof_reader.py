# SPDX-License-Identifier: BSD-2-Clause
"""A pprof decoder of the tests' own: the wire format as published, nothing of cprofd's.

It is strict where pprof is: ids, indices, value counts, one gzip member.
"""
import gzip
import os
import zlib
from dataclasses import dataclass, field

USER_PSEUDO_FILES = ("[vdso]", "[JIT]", "[vsyscall]", "[heap]", "[stack]")


class BadProfile(Exception):
    """What was read is no valid profile."""


def fields_of(data):
    """Yields (field number, value): int for varints, bytes for length-delimited fields."""
    pos = 0

    def varint():
        nonlocal pos
        value = shift = 0
        while True:
            if pos >= len(data) or shift > 63:
                raise BadProfile("varint runs over the end")
            byte = data[pos]
            pos += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while pos < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 2:
            size = varint()
            if pos + size > len(data):
                raise BadProfile("field runs over the end")
            yield key >> 3, data[pos : pos + size]
            pos += size
        else:
            raise BadProfile(f"wire type {key & 7} does not occur in profile.proto")


def signed(value):
    return value - (1 << 64) if value >> 63 else value


def message(data, repeated=()):
    """Fields of one message as a dict; repeated ones as lists, packed or not."""
    out = {number: [] for number in repeated}
    for number, value in fields_of(data):
        if number not in repeated:
            out[number] = value
        elif isinstance(value, bytes) and repeated[number] == "packed":
            out[number] += [v for _, v in fields_of_packed(value)]
        else:
            out[number].append(value)
    return out


def fields_of_packed(data):
    # A packed list is a run of varints: put a key before each to read it with the same code.
    pos = 0
    while pos < len(data):
        end = pos
        while end < len(data) and data[end] & 0x80:
            end += 1
        yield next(fields_of(b"\x08" + data[pos : end + 1]))
        pos = end + 1


@dataclass
class Mapping:
    start: int
    limit: int
    offset: int
    file: str
    build_id: str
    has_functions: bool
    has_filenames: bool
    has_lines: bool
    has_inlines: bool

    @property
    def is_kernel(self):
        return self.file.startswith("[") and self.file not in USER_PSEUDO_FILES


@dataclass
class Frame:
    """One function in a stack; inlined ones are frames of their own."""

    name: str  # "[basename]" where no name is known
    system_name: str
    mapping: Mapping
    address: int
    is_named: bool

    @property
    def is_kernel(self):
        return self.mapping is not None and self.mapping.is_kernel

    @property
    def is_synthetic(self):
        return self.mapping is None

    @property
    def module(self):
        return os.path.basename(self.mapping.file) if self.mapping else ""


@dataclass
class Sample:
    values: list
    frames: list  # leaf first
    labels: dict  # key → string, or (number, unit)

    @property
    def names(self):
        return [frame.name for frame in self.frames]

    @property
    def user_frames(self):
        return [f for f in self.frames if not f.is_kernel and not f.is_synthetic]

    @property
    def kernel_frames(self):
        return [f for f in self.frames if f.is_kernel]

    @property
    def is_lost(self):
        return self.frames[-1].name == "[lost]"

    @property
    def pid(self):
        return self.labels["pid"][0] if "pid" in self.labels else None


@dataclass
class Profile:
    sample_types: list  # (type, unit)
    samples: list
    mappings: list
    comments: list
    strings: list
    period_type: tuple
    period: int
    time_ns: int
    duration_ns: int
    default_type: str
    stdout: str = ""
    stderr: str = ""
    locations_cnt: int = 0
    raw: bytes = field(default=b"", repr=False)

    def total(self, where=lambda sample: True, value=0):
        return sum(s.values[value] for s in self.samples if where(s))

    def share(self, where, among=lambda sample: True):
        """Percent of the samples 'among' for which 'where' holds."""
        base = self.total(among)
        assert base > 0, "no samples to take a share of"
        return 100.0 * self.total(lambda s: among(s) and where(s)) / base

    def functions(self):
        return {frame.name for sample in self.samples for frame in sample.frames}

    def flat(self):
        """Function → samples whose leaf it is."""
        out = {}
        for sample in self.samples:
            name = sample.frames[0].name
            out[name] = out.get(name, 0) + sample.values[0]
        return out


def inflate(data):
    """The one gzip member of a file; more than one, or bytes behind it, are an error."""
    inflater = zlib.decompressobj(wbits=31)
    raw = inflater.decompress(data) + inflater.flush()
    if not inflater.eof or inflater.unused_data:
        raise BadProfile("not exactly one gzip member")
    return raw


TOP_REPEATED = {1: "", 2: "", 3: "", 4: "", 5: "", 6: "", 13: "packed"}


def by_id(items, what):
    out = {}
    for item in items:
        if item.get(1, 0) == 0 or item[1] in out:
            raise BadProfile(f"{what} id {item.get(1, 0)} is 0 or taken")
        out[item[1]] = item
    return out


def decode(data, is_gzip=True):
    raw = inflate(data) if is_gzip else data
    top = message(raw, TOP_REPEATED)
    strings = [s.decode("utf-8") for s in top[6]]  # proto3: must be valid UTF-8
    if not strings or strings[0] != "":
        raise BadProfile("string 0 is not empty")
    if len(set(strings)) != len(strings):
        raise BadProfile("a string occurs twice")

    mappings = {}
    for number, item in by_id([message(m) for m in top[3]], "mapping").items():
        mappings[number] = Mapping(
            start=item.get(2, 0),
            limit=item.get(3, 0),
            offset=item.get(4, 0),
            file=strings[item.get(5, 0)],
            build_id=strings[item.get(6, 0)],
            has_functions=bool(item.get(7)),
            has_filenames=bool(item.get(8)),
            has_lines=bool(item.get(9)),
            has_inlines=bool(item.get(10)),
        )
    functions = by_id([message(f) for f in top[5]], "function")
    locations = {}
    for number, item in by_id([message(m, {4: ""}) for m in top[4]], "location").items():
        locations[number] = frames_of(item, mappings, functions, strings)

    types = [value_type(t, strings) for t in top[1]]
    samples = [sample_of(s, locations, strings, len(types)) for s in top[2]]
    return Profile(
        sample_types=types,
        samples=samples,
        mappings=list(mappings.values()),
        comments=[strings[i] for i in top[13]],
        strings=strings,
        period_type=value_type(top[11], strings) if 11 in top else None,
        period=signed(top.get(12, 0)),
        time_ns=signed(top.get(9, 0)),
        duration_ns=signed(top.get(10, 0)),
        default_type=strings[top.get(14, 0)],
        locations_cnt=len(locations),
        raw=raw,
    )


def value_type(data, strings):
    item = message(data)
    return strings[item.get(1, 0)], strings[item.get(2, 0)]


def frames_of(item, mappings, functions, strings):
    mapping = mappings[item[2]] if item.get(2) else None
    address = item.get(3, 0)
    if mapping and mapping.limit and not mapping.start <= address < mapping.limit:
        raise BadProfile(f"address {address:#x} is outside of its mapping {mapping.file}")
    frames = []
    for line in item[4]:
        function = functions[message(line)[1]]
        name, system_name = strings[function.get(2, 0)], strings[function.get(3, 0)]
        if not name:
            raise BadProfile("a function without a name")
        frames.append(Frame(name, system_name, mapping, address, True))
    if not frames:
        if mapping is None:
            raise BadProfile("a location without mapping and lines")
        base = os.path.basename(mapping.file)
        name = base if base.startswith("[") else f"[{base}]"
        frames = [Frame(name, "", mapping, address, False)]
    return frames


def sample_of(data, locations, strings, types_cnt):
    item = message(data, {1: "packed", 2: "packed", 3: ""})
    if len(item[2]) != types_cnt:
        raise BadProfile(f"a sample with {len(item[2])} values of {types_cnt}")
    labels = {}
    for raw in item[3]:
        label = message(raw)
        key = strings[label.get(1, 0)]
        if key in labels:
            raise BadProfile(f"two values for label {key}")
        if label.get(2):
            labels[key] = strings[label[2]]
        else:
            labels[key] = (signed(label.get(3, 0)), strings[label.get(4, 0)])
    frames = [frame for number in item[1] for frame in locations[number]]
    if not frames:
        raise BadProfile("a sample without a stack")
    return Sample([signed(v) for v in item[2]], frames, labels)


def read(path):
    with open(path, "rb") as file:
        return decode(file.read())


def read_plain(path):
    """Gzipped or not, as go tool pprof accepts it."""
    with open(path, "rb") as file:
        data = file.read()
    return decode(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data, is_gzip=False)
