// Real Baileys over its own files, for benchmarks/storage/node.py. Run as `node baileys_files.mjs MODULES`; reads one JSON request a line.
// {"load": DIRECTORY, "keys": {TYPE: [ID, …]}, "oneByOne": bool}: the state and every key of it, as Baileys reads them.
// {"write": DIRECTORY, "keys": {TYPE: [ID, …]}}: those keys, read before, written again into it as Baileys writes them (no fsync).
// Answers {"ms": N, "keys": N} or {"error": TEXT}. Ends with its standard input.

import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

console.log = console.info = console.error; // libsignal prints to standard output, which must stay clean for answers
const loaded = await import(pathToFileURL(join(process.argv[2], "node_modules/baileys/lib/index.js")));
const { useMultiFileAuthState } = loaded.useMultiFileAuthState ? loaded : loaded.default;

const count = (found) => Object.values(found).reduce((sum, of) => sum + Object.values(of).filter(Boolean).length, 0);

async function load({ load: directory, keys, oneByOne }) {
  const began = performance.now();
  const { state } = await useMultiFileAuthState(directory);
  const found = {};
  for (const [type, ids] of Object.entries(keys)) {
    found[type] = {};
    for (const some of oneByOne ? ids.map((id) => [id]) : [ids]) {
      Object.assign(found[type], await state.keys.get(type, some));
    }
  }
  return { ms: performance.now() - began, keys: count(found), found };
}

async function write({ write: directory, keys }) {
  const { found } = await load({ load: directory, keys });
  const { state } = await useMultiFileAuthState(directory);
  const began = performance.now();
  await state.keys.set(found);
  return { ms: performance.now() - began, keys: count(found) };
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  try {
    const { ms, keys } = await (request.load ? load(request) : write(request));
    process.stdout.write(`${JSON.stringify({ ms, keys })}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ error: String(error?.stack ?? error) })}\n`);
  }
}
