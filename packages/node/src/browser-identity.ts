/**
 * An identity in a browser's IndexedDB: what `@egtp/node/files` is for Node.js.
 *
 * The secret seed lies there as bytes that every script of this origin can read. Keys that a browser refuses to hand out
 * (`extractable: false`) belong to its own cryptography, and the portable provider computes with bytes.
 */
import { createIdentity, type Identity, identityFromSeed, identitySeedBytes } from "@egtp/mesgen";
import { hasWebLocks, takeWebLock } from "@egtp/session-store/web-lock";
import { EgtpError } from "@egtp/wire";
import { type IDBPDatabase, openDB } from "idb";

const databaseName = "egtp-identities";
const table = "identities";

interface KeptIdentity {
  readonly seed: Uint8Array;
  /** By which damage is found out. */
  readonly peer: string;
}
type Database = IDBPDatabase<{ [table]: { key: string; value: KeptIdentity } }>;

const texts = {
  EGTP_IDENTITY_STORE_BAD: [
    "is not an identity that loadIdentity kept",
    "Delete it with deleteIdentity, or use another name: a new identity has another peer ID.",
  ],
  EGTP_IDENTITY_STORE_IN_USE: [
    "is that of a node that runs, in this tab or another one",
    "Use the tab that is open, close it, or give each tab an identity of its own.",
  ],
  EGTP_IDENTITY_STORE_IO: [
    "cannot be read or kept in this browser",
    "Private windows and settings may forbid storage, or give no more room. See the cause.",
  ],
} as const;

/** Every code an {@link IdentityStoreError} can carry. */
export type IdentityStoreErrorCode = keyof typeof texts;

/** The identity of that name cannot be used. */
export class IdentityStoreError extends EgtpError {
  override readonly name: string = "IdentityStoreError";
  declare readonly code: IdentityStoreErrorCode;
  readonly identityName: string;

  constructor(code: IdentityStoreErrorCode, identityName: string, options: { cause?: unknown } = {}) {
    const [sentence, hint] = texts[code];
    super(code, `The identity ${identityName} ${sentence}`, { cause: options.cause, hint });
    this.identityName = identityName;
  }
}

/**
 * Reads the identity of that name within this origin, or makes one and keeps it before it is returned. Tabs that make it at
 * once get the same. One node at a time runs with it: the `start` of another one, in whatever tab, rejects with
 * `EGTP_IDENTITY_STORE_IN_USE`.
 *
 * @throws {@link IdentityStoreError}.
 */
export async function loadIdentity(name: string): Promise<Identity> {
  const identity = await keptIdentity(name);
  return hasWebLocks() ? { ...identity, claim: () => claim(name, identity) } : identity;
}

/** Two names may have one key. */
async function claim(name: string, { peer }: Identity): Promise<() => Promise<void>> {
  const release = await takeWebLock(`egtp-identity:${peer}`).catch((cause: unknown) => {
    throw new IdentityStoreError("EGTP_IDENTITY_STORE_IO", name, { cause });
  });
  if (release === undefined) throw new IdentityStoreError("EGTP_IDENTITY_STORE_IN_USE", name);
  return release;
}

function keptIdentity(name: string): Promise<Identity> {
  return withDatabase(name, async (database) => {
    const { store, done } = database.transaction(table, "readwrite", { durability: "strict" });
    const kept = await store.get(name);
    if (kept === undefined) {
      const made = createIdentity();
      await Promise.all([store.add({ seed: made.exportSeed(), peer: made.peer }, name), done]);
      return made;
    }
    if (!(kept.seed instanceof Uint8Array && kept.seed.length === identitySeedBytes)) {
      throw new IdentityStoreError("EGTP_IDENTITY_STORE_BAD", name);
    }
    const identity = identityFromSeed(kept.seed);
    if (identity.peer !== kept.peer) throw new IdentityStoreError("EGTP_IDENTITY_STORE_BAD", name);
    return identity;
  });
}

/**
 * Forgets the identity of that name for good; deleting what is not there does no harm.
 *
 * @throws {@link IdentityStoreError} `EGTP_IDENTITY_STORE_IO`.
 */
export function deleteIdentity(name: string): Promise<void> {
  return withDatabase(name, (database) => database.delete(table, name));
}

async function withDatabase<T>(name: string, use: (database: Database) => Promise<T>): Promise<T> {
  let database: Database | undefined;
  try {
    database = await openDB(databaseName, 1, { upgrade: (opened) => void opened.createObjectStore(table) });
    return await use(database);
  } catch (error) {
    if (error instanceof EgtpError) throw error;
    throw new IdentityStoreError("EGTP_IDENTITY_STORE_IO", name, { cause: error });
  } finally {
    database?.close();
  }
}
