#!/usr/bin/env node
/**
 * The stores on a real disk, in a process that is killed: `story-stores FOLDER process|power work|check`. It looks whether all
 * that was promised there is true, says so, and then writes until its end, with a word now and then; with `check` it closes the stores instead.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { LmdbDirectoryStore } from "@egtp/metatracker/lmdb";
import { LmdbMailboxStore } from "@egtp/relay/lmdb";
import { LmdbSessionStore } from "@egtp/session-store/lmdb";
import { RecordFile } from "@egtp/session-store/record-file";
import { DirectoryTrial } from "./stores/directory.ts";
import { MailboxesTrial } from "./stores/mailboxes.ts";
import { Promises } from "./stores/promises.ts";
import { RecordsTrial } from "./stores/records.ts";
import { unsyncedFile, unsyncedStore } from "./unsynced.ts";

interface Trial {
  /** @throws when something is not as it was promised. */
  check(): void | Promise<void>;
  /** Goes on until the process ends. */
  work(): Promise<never>;
  close(): Promise<void>;
}

/** Promises from one word to the next. */
const progressEvery = 100;

const [, , folder = "", loss, what] = process.argv;
mkdirSync(folder, { recursive: true, mode: 0o700 });
const isPower = loss === "power";
const onDamage = ({ reason }: { readonly reason: string }): void => {
  throw new Error(`a file was set aside: ${reason}`);
};
const promises = new Promises(join(folder, "promises.log"), (count) => {
  if (count % progressEvery === 0) process.send!("progress");
});
const sessions = await LmdbSessionStore.open(join(folder, "sessions"), { sync: "flush", onDamage });
const mailboxes = await LmdbMailboxStore.open(join(folder, "mailboxes"), {
  onDamage,
  ...(isPower && { seams: { openFile: async (path, options) => unsyncedFile(await RecordFile.open(path, options)) } }),
});
const trials: Trial[] = [
  new RecordsTrial(isPower ? unsyncedStore(sessions) : sessions, promises, "batch"),
  new MailboxesTrial(mailboxes, promises),
];
// These count as lost as a whole when the power was cut.
if (!isPower) {
  const plain = await LmdbSessionStore.open(join(folder, "plain-sessions"), { onDamage });
  trials.push(new RecordsTrial(plain, promises, "plain-batch"));
  trials.push(new DirectoryTrial(await LmdbDirectoryStore.open(join(folder, "directory"), { onDamage }), promises));
}
for (const trial of trials) await trial.check();
process.send!("ready");
if (what === "check") {
  for (const trial of trials) await trial.close();
  process.disconnect();
} else await Promise.race(trials.map((trial) => trial.work()));
