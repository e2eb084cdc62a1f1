/**
 * Run as a process of its own: opens the LMDB store in the folder `argv[2]`, says `open`, and does what each line of
 * its input says: a batch to write, answered by `kept` or the code of the error. It never closes the store: its end is always a crash.
 */
import { createInterface } from "node:readline";
import { LmdbSessionStore } from "../src/nodejs/lmdb.ts";

const store = await LmdbSessionStore.open(process.argv[2]!).catch((error) => {
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
