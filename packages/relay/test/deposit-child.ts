/**
 * Run as a process of its own: opens the mailboxes in the folder `argv[2]`, registers the owner `argv[3]`, says `open`, and
 * leaves mails for it, 64 at a time, `argv[4]` in all: says the content and number of each once it is stored. It never closes
 * the store: its end is always a crash.
 */
import type { PeerId } from "@egtp/wire";
import { LmdbMailboxStore } from "../src/nodejs/lmdb.ts";
import { mailOf } from "./mails.ts";

const now = 1_800_000_000_000;
const [, , folder = "", owner, count] = process.argv;
const store = await LmdbMailboxStore.open(folder).catch((error) => {
  console.log(error.code);
  process.exit(1);
});
await store.register(owner as PeerId, { id: "01", isFirst: true }, now);
console.log("open");
let next = 0;
const deposit = async (): Promise<void> => {
  while (next < Number(count)) {
    const content = next++;
    const deposited = await store.deposit(owner as PeerId, mailOf(content), false, now);
    console.log(deposited.state === "stored" ? `${content} ${deposited.number}.` : JSON.stringify(deposited));
  }
};
await Promise.all(Array.from({ length: 64 }, deposit));
console.log("done");
setInterval(() => {}, 1_000);
