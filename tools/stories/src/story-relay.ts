#!/usr/bin/env node
/** A relay as `egtp-relay` runs it, on a disk that keeps nothing before it was synced. */
import {
  readOptions,
  runAsProcess,
  type ServerPlace,
  type Service,
  serve,
  serverSchemaWith,
  serverSpecs,
  serverUsage,
} from "@egtp/metatracker/command";
import { gauge } from "@egtp/node/metrics";
import { LmdbMailboxStore } from "@egtp/relay/lmdb";
import { relayServer } from "@egtp/relay/server";
import { RecordFile } from "@egtp/session-store/record-file";
import { unsyncedFile } from "./unsynced.ts";

const defaults = { data: "./egtp-relay-data", port: 0 };

async function open({ data, closers }: ServerPlace): Promise<Service> {
  const store = await LmdbMailboxStore.open(data.join("mailboxes"), {
    seams: { openFile: async (folder, options) => unsyncedFile(await RecordFile.open(folder, options)) },
  });
  closers.add(() => store.close());
  return {
    name: "relay",
    part: relayServer({ store }),
    limits: { maxLinks: 64, idleMs: 180_000 },
    metrics: () => [
      gauge("egtp_relay_waiting", "Stored envelopes that wait for their owners.", store.counts().waiting),
    ],
    problems: () => [],
    bootRecords: () => [],
  };
}

const run = (args: readonly string[]): Promise<number> =>
  serve(readOptions(args, serverSpecs, serverSchemaWith(defaults)).options, open);

await runAsProcess({ main: { usage: serverUsage(defaults), run }, subcommands: {} });
