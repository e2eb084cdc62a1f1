/** The store's own suite on IndexedDB, and the calls that storage.slow.test.ts makes beside it. */
import { createNode, type EgtpNode } from "@egtp/node";
import { deleteIdentity, loadIdentity } from "@egtp/node/browser-identity";
import type { StoreEntry } from "@egtp/session-store";
import { describeSessionStore } from "@egtp/session-store/conformance";
import { IndexedDbSessionStore } from "@egtp/session-store/indexeddb";
import { runner } from "./run-tests.ts";

type PlainBatch = [key: string, value: number[] | undefined][];

let places = 0;
describeSessionStore(
  "IndexedDB",
  () => {
    const name = `place-${++places}`;
    return {
      open: () => IndexedDbSessionStore.open(name),
      writeAndCrash: async (batches) => {
        const plain = batches.map((batch) =>
          batch.map(([key, value]): PlainBatch[number] => [key, value && [...value]]),
        );
        await globalThis.writeInTabThatCloses(name, plain);
        await navigator.locks.request(`egtp-sessions:${name}`, () => {}); // until the browser has put that tab away
      },
      dispose: () => IndexedDbSessionStore.delete(name),
    };
  },
  runner,
);

const nodes = new Map<string, EgtpNode>();
const stores = new Map<string, IndexedDbSessionStore>();

globalThis.storage = {
  open: (name: string) =>
    resultOf(async () => {
      const store = await IndexedDbSessionStore.open(name);
      stores.set(name, store);
      return [...store.load()].map(([key, value]) => [key, [...value]]);
    }),
  close: (name: string) => resultOf(() => stores.get(name)!.close()),
  delete: (name: string) => resultOf(() => IndexedDbSessionStore.delete(name)),
  write: (name: string, batches: PlainBatch[]) =>
    resultOf(async () => {
      for (const batch of batches) await stores.get(name)!.write(batch.map(entryOf));
    }),
  writeAtOnce: (name: string, batches: PlainBatch[]) =>
    resultOf(async () => {
      await Promise.all(batches.map((batch) => stores.get(name)!.write(batch.map(entryOf))));
    }),
  loadIdentity: (name: string) =>
    resultOf(async () => {
      const identity = await loadIdentity(name);
      return { peer: identity.peer, isNew: identity.isNew, seed: [...identity.exportSeed()] };
    }),
  startNode: (name: string) =>
    resultOf(async () => {
      const node = await createNode({ identity: await loadIdentity(name) });
      await node.start();
      nodes.set(name, node);
      return node.peerId;
    }),
  stopNode: (name: string) => resultOf(() => nodes.get(name)!.stop()),
  deleteIdentity: (name: string) => resultOf(() => deleteIdentity(name)),
};

function entryOf([key, value]: PlainBatch[number]): StoreEntry {
  return [key, value && Uint8Array.from(value)];
}

/** What came of it, for errors lose their fields on the way to Node.js. */
async function resultOf<T>(run: () => Promise<T>): Promise<T | Failed> {
  try {
    return await run();
  } catch (thrown) {
    const { name, code, message, hint } = thrown as ErrorFacts;
    return { error: { name, code, message, hint } };
  }
}

interface Failed {
  readonly error: ErrorFacts;
}

interface ErrorFacts {
  readonly name: string;
  readonly code?: string | undefined;
  readonly message: string;
  readonly hint?: string | undefined;
}

declare global {
  var writeInTabThatCloses: (name: string, batches: PlainBatch[]) => Promise<void>;
  var storage: {
    open(name: string): Promise<[key: string, value: number[]][] | Failed>;
    close(name: string): Promise<unknown>;
    delete(name: string): Promise<unknown>;
    write(name: string, batches: PlainBatch[]): Promise<unknown>;
    writeAtOnce(name: string, batches: PlainBatch[]): Promise<unknown>;
    loadIdentity(name: string): Promise<{ peer: string; isNew: boolean; seed: number[] } | Failed>;
    startNode(name: string): Promise<string | Failed>;
    stopNode(name: string): Promise<unknown>;
    deleteIdentity(name: string): Promise<unknown>;
  };
}
