/**
 * Run as a process of its own: opens the directory in the folder `argv[2]`, says `open`, and puts each record that a line of
 * its input holds, answered by `kept`. It never closes the store: its end is always a crash.
 */
import { createInterface } from "node:readline";
import type { KeptRecord } from "../src/directory-store.ts";
import { LmdbDirectoryStore } from "../src/nodejs/lmdb.ts";

const [, , folder = ""] = process.argv;
const store = await LmdbDirectoryStore.open(folder).catch((error) => {
  console.log(error.code);
  process.exit(1);
});
console.log("open");
for await (const line of createInterface({ input: process.stdin })) {
  const { bytes, ...fields } = JSON.parse(line) as Omit<KeptRecord, "bytes"> & { bytes: string };
  console.log(
    store.put({ ...fields, bytes: new Uint8Array(Buffer.from(bytes, "hex")) }) === undefined ? "kept" : "other",
  );
}
