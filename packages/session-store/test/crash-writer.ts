/**
 * Run as a process of its own: opens the LMDB store in the folder `argv[2]`, or with `records` as `argv[3]` the record
 * file there, says `open`, and does what each line of its input says: a batch to write, answered by `kept` or the code of
 * the error. It never closes the store: its end is always a crash.
 */
import { createInterface } from "node:readline";
import { LmdbSessionStore } from "../src/nodejs/lmdb.ts";
import { RecordFile } from "../src/nodejs/record-file.ts";

const [, , folder = "", kind] = process.argv;
const opening = kind === "records" ? RecordFile.open(folder, { sync: "flush" }) : LmdbSessionStore.open(folder);
const store = await opening.catch((error) => {
  console.log(error.code);
  process.exit(1);
});
console.log("open");
for await (const line of createInterface({ input: process.stdin })) {
  const batch = JSON.parse(line) as [string, string | null][];
  try {
    await store.write(batch.map(([key, hex]) => [key, hex === null ? undefined : Buffer.from(hex, "hex")]));
    console.log("kept");
  } catch (error) {
    console.log((error as { code: string }).code);
  }
}
