/**
 * Looks at an LMDB file that may be damaged, in a process of its own. LMDB maps its file into memory and trusts it: a file
 * cut short or with flipped bits can end the process that reads it, or later the one that writes to it, by way of a broken
 * list of free pages. Here only a child reads it, and its end is the answer.
 *
 * A small file is copied, and nothing but records comes over; those carry checksums of their own. A large one is walked
 * through, key by key: that finds a file cut short and a broken tree, but no broken list of free pages.
 */

import { spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { StoreError } from "../errors.ts";

const timeoutMs = 120_000;
/** A large file gets more time, by the pace of a slow disk. */
const bytesPerMs = 10_000;
const damagedExitCode = 3;
const refusedExitCode = 4;
/** How a process ends that touched memory it should not, or that found its own structures broken. */
const faultSignals = new Set(["SIGBUS", "SIGSEGV", "SIGABRT", "SIGILL", "SIGFPE", "SIGTRAP"]);
/** The same as exit codes of Windows: access violation, in-page error, fast fail. */
const faultExitCodes = new Set([0xc0000005, 0xc0000006, 0xc0000409]);

/**
 * Runs in the child. What fails while reading is damage; what fails while writing is the system's refusal. The new
 * file is lengthened before LMDB writes to it, see disk-room.ts, and cut to what is used afterwards. Without a new file
 * it only walks.
 */
const script = `
const fs = require("node:fs");
const { open } = require(process.argv[1]);
const options = JSON.parse(process.argv[2]);
const into = process.argv[3];
const end = (code, error) => process.stdout.write(String((error && error.message) || error), () => process.exit(code));

const walk = () => {
  const db = open({ ...options, readOnly: true });
  const { entryCount, lastPageNumber, pageSize } = db.getStats();
  if (fs.statSync(options.path).size < (lastPageNumber + 1) * pageSize) throw new Error("it was cut short");
  let count = 0;
  let previous = "";
  for (const key of db.getKeys({})) {
    if (typeof key !== "string" || key <= previous) throw new Error("its keys are out of order");
    previous = key;
    count++;
  }
  if (count !== entryCount) throw new Error("it should hold " + entryCount + " records and shows " + count);
};

const readAll = () => {
  const db = open({ ...options, readOnly: true });
  const records = [];
  let previous = "";
  for (const { key, value } of db.getRange({})) {
    if (typeof key !== "string" || key <= previous) throw new Error("its keys are out of order");
    records.push([key, Uint8Array.from(value)]);
    previous = key;
  }
  const { entryCount } = db.getStats();
  if (records.length !== entryCount) {
    throw new Error("it should hold " + entryCount + " records and shows " + records.length);
  }
  return records;
};

const writeAll = async (records) => {
  const db = open({ ...options, path: into });
  const file = fs.openSync(into, "r+");
  let need = 2 ** 20;
  for (const [, value] of records) need += 4 * (value.length + 104);
  const zeros = new Uint8Array(2 ** 18);
  for (let at = fs.fstatSync(file).size; at < need; ) at += fs.writeSync(file, zeros, 0, zeros.length, at);
  db.transactionSync(() => {
    for (const [key, value] of records) db.put(key, value);
  });
  const { lastPageNumber, pageSize } = db.getStats();
  await db.close();
  fs.ftruncateSync(file, (lastPageNumber + 1) * pageSize);
  fs.fsyncSync(file);
};

let records;
try {
  if (into) records = readAll();
  else walk();
} catch (error) {
  end(${damagedExitCode}, error);
}
if (records) writeAll(records).then(() => process.exit(0), (error) => end(${refusedExitCode}, error));
`;

/**
 * Copies the records into a new file.
 *
 * @param options - Of the old file, as `open` of lmdb takes them.
 * @param into - Where the new file goes. What is there is replaced; it is there only if all went well.
 * @returns `undefined` when every record was copied, else what is wrong with the old file.
 * @throws {@link StoreError} `EGTP_STORE_UNCHECKED` when that could not be found out.
 */
export async function rescueRecords(options: { readonly path: string }, into: string): Promise<string | undefined> {
  await removeFile(into);
  let sound = false;
  try {
    const reason = await askChild(options, into, timeoutMs);
    sound = reason === undefined;
    return reason;
  } finally {
    if (sound) await rm(`${into}-lock`, { force: true });
    else await removeFile(into);
  }
}

/**
 * Walks through a file without copying it.
 *
 * @param size - Of the file, in bytes.
 * @returns `undefined` when nothing is wrong with it as far as that shows.
 * @throws {@link StoreError} `EGTP_STORE_UNCHECKED` when that could not be found out.
 */
export function probeRecords(options: { readonly path: string }, size: number): Promise<string | undefined> {
  return askChild(options, "", timeoutMs + size / bytesPerMs);
}

async function askChild(
  options: { readonly path: string },
  into: string,
  limitMs: number,
): Promise<string | undefined> {
  const lmdb = createRequire(import.meta.url).resolve("lmdb");
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn(process.execPath, ["-e", script, lmdb, JSON.stringify(options), into], {
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...env, ELECTRON_RUN_AS_NODE: "1" },
    windowsHide: true,
  });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    if (said.length < 500) said += text;
  });
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, limitMs);
  const end = await new Promise<{ code: number | null; signal: string | null } | Error>((resolve) => {
    child.on("error", resolve);
    child.on("close", (code, signal) => resolve({ code, signal }));
  });
  clearTimeout(timer);
  if (end instanceof Error) throw unchecked(options.path, end.message, end);
  if (end.code === 0) return undefined;
  if (end.code === damagedExitCode) return said;
  if (timedOut) return `reading it did not end within ${Math.ceil(limitMs / 1000)} s`;
  if (end.signal !== null && faultSignals.has(end.signal)) return `reading it ended in ${end.signal}`;
  if (end.code !== null && faultExitCodes.has(end.code >>> 0)) return `reading it ended with code ${end.code}`;
  throw unchecked(options.path, said || `the process ended with ${end.signal ?? `code ${end.code}`}`);
}

async function removeFile(path: string): Promise<void> {
  for (const each of [path, `${path}-lock`]) await rm(each, { force: true });
}

function unchecked(path: string, reason: string, cause?: unknown): StoreError {
  return new StoreError("EGTP_STORE_UNCHECKED", `${path} could not be checked after an unclean stop: ${reason}`, {
    cause,
    hint: "See that the disk has room and that this program may start processes, and start again. Or move the file away: peers heal.",
  });
}
