/** What runs where nothing is broken on purpose. */

import { metatrackers } from "@egtp/metatracker";
import { MemoryDirectoryStore, metatrackerServer } from "@egtp/metatracker/server";
import { createNode } from "@egtp/node";
import { relayClient } from "@egtp/relay";
import { LmdbMailboxStore } from "@egtp/relay/lmdb";
import { relayServer, SharedMailboxStore } from "@egtp/relay/server";
import type { Stack } from "./stack-world.ts";

export const realStack: Stack = {
  createNode,
  relayClient,
  relayServer,
  openMailboxes: (folder, options) => LmdbMailboxStore.open(folder, options),
  SharedMailboxStore,
  metatrackers,
  metatrackerServer,
  MemoryDirectoryStore,
};
