// SPDX-License-Identifier: BSD-2-Clause
//
// Keeps node busy in its own code: parsing, regular expressions, sorting, garbage collection.
// real_node.js [SECONDS]
const end = Date.now() + 1000 * Number(process.argv[2] || 3600);
const text = JSON.stringify([...Array(2000).keys()].map((i) => ({ id: i, name: `n${i * 7919}` })));

console.log('ready');
let sum = 0;
while (Date.now() < end) {
  const rows = JSON.parse(text);
  rows.sort((a, b) => (a.name < b.name ? -1 : 1));
  sum += (JSON.stringify(rows).match(/"id":\d*7,/g) || []).length;
}
process.exit(sum > 0 ? 0 : 1);
