/**
 * Copies the records of an LMDB file that may be damaged into a new one, in a process of its own. LMDB maps its file
 * into memory and trusts it: a file cut short or with flipped bits can end the process that reads it, or later the one
 * that writes to it, by way of a broken list of free pages. Here only a child reads the old file, its end is the
 * answer, and nothing but records comes over; those carry checksums of their own.
 */

import { spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { StoreError } from "../errors.ts";

const timeoutMs = 120_000;
const damagedExitCode = 3;
const refusedExitCode = 4;
/** How a process ends that touched memory it should not, or that found its own structures broken. */
const faultSignals = new Set(["SIGBUS", "SIGSEGV", "SIGABRT", "SIGILL", "SIGFPE", "SIGTRAP"]);
/** The same as exit codes of Windows: access violation, in-page error, fast fail. */
const faultExitCodes = new Set([0xc0000005, 0xc0000006, 0xc0000409]);

/**
 * Runs in the child. What fails while reading is damage; what fails while writing is the system's refusal. The new
 * file is lengthened before LMDB writes to it, see disk-room.ts, and cut to what is used afterwards.
 */
const script = `
const fs = require("node:fs");
const { open } = require(process.argv[1]);
const options = JSON.parse(process.argv[2]);
const into = process.argv[3];
const end = (code, error) => process.stdout.write(String((error && error.message) || error), () => process.exit(code));

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
  records = readAll();
} catch (error) {
  end(${damagedExitCode}, error);
}
if (records) writeAll(records).then(() => process.exit(0), (error) => end(${refusedExitCode}, error));
`;

/**
 * @param options - Of the old file, as `open` of lmdb takes them.
 * @param into - Where the new file goes. What is there is replaced; it is there only if all went well.
 * @returns `undefined` when every record was copied, else what is wrong with the old file.
 * @throws {@link StoreError} `EGTP_STORE_UNCHECKED` when that could not be found out.
 */
export async function rescueRecords(options: { readonly path: string }, into: string): Promise<string | undefined> {
  await removeFile(into);
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
  }, timeoutMs);
  const end = await new Promise<{ code: number | null; signal: string | null } | Error>((resolve) => {
    child.on("error", resolve);
    child.on("close", (code, signal) => resolve({ code, signal }));
  });
  clearTimeout(timer);
  if (!(end instanceof Error) && end.code === 0) {
    await rm(`${into}-lock`, { force: true });
    return undefined;
  }
  await removeFile(into);
  if (end instanceof Error) throw unchecked(options.path, end.message, end);
  if (end.code === damagedExitCode) return said;
  if (timedOut) return `reading it did not end within ${timeoutMs / 1000} s`;
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
