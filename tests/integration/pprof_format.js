// SPDX-License-Identifier: BSD-2-Clause
//
// Decodes a profile with npm's pprof-format and prints what it holds as JSON: a second opinion.
// pprof_format.js MODULE_DIRECTORY PROFILE
const fs = require('fs');
const path = require('path');
const zlib = require('zlib');

const { Profile } = require(path.join(process.argv[2], 'node_modules', 'pprof-format'));
const profile = Profile.decode(zlib.gunzipSync(fs.readFileSync(process.argv[3])));
const text = (index) => profile.stringTable.strings[Number(index)];
const functions = new Map(profile.function.map((f) => [f.id, f]));
const locations = new Map(profile.location.map((l) => [l.id, l]));
const flat = {};
const total = profile.sampleType.map(() => 0n);

for (const sample of profile.sample) {
  sample.value.forEach((value, i) => { total[i] += BigInt(value); });
  const leaf = locations.get(sample.locationId[0]);
  const name = leaf.line.length ? text(functions.get(leaf.line[0].functionId).name) : '';
  flat[name] = (flat[name] || 0) + Number(sample.value[0]);
}
console.log(JSON.stringify({
  sampleTypes: profile.sampleType.map((t) => [text(t.type), text(t.unit)]),
  total: total.map(Number),
  samples: profile.sample.length,
  mappings: profile.mapping.map((m) => text(m.filename)),
  comments: profile.comment.map(text),
  period: Number(profile.period),
  timeNanos: String(profile.timeNanos),
  flat,
}));
