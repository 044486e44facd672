// What the Node.js scripts share: checks that are sentences, and one key for every slot.
//
// A script is called with the port of a server that may be emptied, and the major version of the library it is to find
// (its modules come from NODE_PATH). It prints a line per check, `ok` and the sentence, and ends at the first that fails
// with its name and status 1. The same scripts pass against a plain redis-server (the cluster ones against one in
// cluster mode): what they ask for is what Redis does.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

export const host = '127.0.0.1';
export const port = Number(process.argv[2]);
export const major = process.argv[3];
export const SLOTS = 16384;

// The library under the name that package.json gave to this major version.
export function library(name) {
  const require = createRequire(import.meta.url);
  const { version } = require(`${name}${major}/package.json`);
  assert.equal(version.split('.')[0], major, `this is ${name} ${version}`);
  console.log(`${name} ${version}, Node.js ${process.versions.node}`);
  return { ...require(`${name}${major}`), version };
}

export class Checks {
  #known = [];

  check(sentence, work) {
    this.#known.push({ sentence, work });
  }

  // Runs every check with the same arguments; `before` says what is special about them.
  async run(before, ...given) {
    for (const { sentence, work } of this.#known) {
      const began = performance.now();
      try {
        await within(30_000, work(...given));
      } catch (error) {
        console.log(error);
        console.log(`FAILED  ${before}${sentence}`);
        process.exit(1);
      }
      console.log(`ok  ${before}${sentence}  (${Math.round(performance.now() - began)} ms)`);
    }
  }
}

async function within(patience, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end within ${patience} ms`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export const equal = (found, wanted) => assert.deepStrictEqual(plain(found), wanted);
export const yes = (found, meaning) => assert.ok(found, `not true: ${meaning}`);

// Libraries give hashes as objects without a prototype.
function plain(value) {
  const bare = value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === null;
  return bare ? { ...value } : value;
}

// The error is of the kind `kind` and its text begins with `start`.
export async function rejects(kind, start, promise) {
  const error = await promise.then(
    (found) => assert.fail(`no error but ${found}`),
    (error) => error,
  );
  yes(kind(error), `${error?.constructor?.name} (${error}) is an error of this kind`);
  yes(error.message.startsWith(start), `'${error.message}' starts with '${start}'`);
  return error;
}

// Waits for what happens by itself, such as the end of a key's life.
export async function eventually(condition, meaning, patience = 10_000) {
  const deadline = performance.now() + patience;
  while (!(await condition())) {
    yes(performance.now() < deadline, `within ${patience} ms: ${meaning}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

// CRC16 (XMODEM) of a key without a hash tag.
export function slot(key) {
  let crc = 0;
  for (const byte of Buffer.from(key)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1) & 0xffff;
  }
  return crc % SLOTS;
}

// 16384 keys, in the order of a counter, that is: of no order of slots.
export function aKeyForEverySlot() {
  const found = new Map();
  for (let number = 0; found.size < SLOTS; number += 1) {
    const key = `every:${number}`;
    const at = slot(key);
    if (!found.has(at)) found.set(at, key);
  }
  return [...found.values()];
}

export function fields(count) {
  return Object.fromEntries(Array.from({ length: count }, (_, at) => [`field ${at}`, `value ${at}`]));
}

export const everyByte = Buffer.from(Array.from({ length: 256 }, (_, at) => at));
