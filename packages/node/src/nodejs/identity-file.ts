/**
 * An identity in a file that only its owner can read: three lines of text, the second the secret seed in hexadecimal, the
 * third the peer ID, by which a damaged file is found out.
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, link, open, realpath, unlink } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { createIdentity, type Identity, identityFromSeed } from "@egtp/mesgen";
import { FolderLock } from "@egtp/session-store/folder-lock";
import { EgtpError, fromHex, toHex } from "@egtp/wire";

const firstLine = "EGTP identity, secret: whoever has this file can be you";
/** A little more than the file takes. */
const maxFileBytes = 512;

const texts = {
  EGTP_IDENTITY_FILE_BAD: [
    "does not hold an identity",
    "Name the file that loadIdentity made, or one that does not exist yet: a new identity has another peer ID.",
  ],
  EGTP_IDENTITY_FILE_EXPOSED: [
    "may be read or changed by others than its owner",
    "Close it with chmod 600. If others did read it, make a new identity.",
  ],
  EGTP_IDENTITY_FILE_IN_USE: [
    "is the identity of a node that runs, in this process or another one",
    "Stop that one, or give each node an identity of its own. This never outlives a process: there is nothing to delete.",
  ],
  EGTP_IDENTITY_FILE_IO: [
    "cannot be read or made",
    "Check that its folder exists and that you may read and write there. See the cause.",
  ],
} as const;

/** Every code an {@link IdentityFileError} can carry. */
export type IdentityFileErrorCode = keyof typeof texts;

/** The file of an identity cannot be used. */
export class IdentityFileError extends EgtpError {
  override readonly name: string = "IdentityFileError";
  declare readonly code: IdentityFileErrorCode;
  readonly path: string;

  constructor(code: IdentityFileErrorCode, path: string, options: { cause?: unknown } = {}) {
    const [sentence, hint] = texts[code];
    super(code, `${path} ${sentence}`, { cause: options.cause, hint });
    this.path = path;
  }
}

/**
 * Reads an identity from a file, or makes both when there is no such file (mode 0600, on disk before it is returned). One node at
 * a time runs with it: another's `start` rejects with `EGTP_IDENTITY_FILE_IN_USE`.
 *
 * @throws {@link IdentityFileError}.
 */
export async function loadIdentity(path: string): Promise<Identity> {
  try {
    const identity = (await readIdentity(path)) ?? (await makeIdentity(path));
    return { ...identity, claim: () => claim(path) };
  } catch (error) {
    if (error instanceof EgtpError) throw error;
    throw new IdentityFileError("EGTP_IDENTITY_FILE_IO", path, { cause: error });
  }
}

/** Takes a lock that lies beside the file. */
async function claim(path: string): Promise<() => Promise<void>> {
  let lock: FolderLock | undefined;
  try {
    const file = await realpath(path);
    lock = await FolderLock.take(dirname(file), `${basename(file)}.lock`);
  } catch {
    // A key may lie where nothing can be made, as a mounted secret does. Then peers and relays must tell, as for one that was copied.
    return async () => {};
  }
  if (lock === undefined) throw new IdentityFileError("EGTP_IDENTITY_FILE_IN_USE", path);
  return () => lock.release();
}

async function readIdentity(path: string): Promise<Identity | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile() || stat.size > maxFileBytes) throw new IdentityFileError("EGTP_IDENTITY_FILE_BAD", path);
    if (process.platform !== "win32" && (stat.mode & 0o077) !== 0) {
      throw new IdentityFileError("EGTP_IDENTITY_FILE_EXPOSED", path);
    }
    const lines = (await file.readFile("utf8")).split("\n");
    const [first, seed, peer, rest] = lines;
    if (lines.length !== 4 || first !== firstLine || rest !== "" || !/^[0-9a-f]{64}$/.test(seed ?? "")) {
      throw new IdentityFileError("EGTP_IDENTITY_FILE_BAD", path);
    }
    const identity = identityFromSeed(fromHex(seed!));
    if (identity.peer !== peer) throw new IdentityFileError("EGTP_IDENTITY_FILE_BAD", path);
    return identity;
  } finally {
    await file.close();
  }
}

/** Of several processes that make it at once, one wins and the others read what it made. */
async function makeIdentity(path: string): Promise<Identity> {
  const identity = createIdentity();
  const draft = `${path}.${randomBytes(6).toString("hex")}.new`;
  try {
    const file = await open(draft, "wx", 0o600);
    try {
      await file.writeFile(`${firstLine}\n${toHex(identity.exportSeed())}\n${identity.peer}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    // Unlike a rename, a link never takes the place of a file that is there.
    await link(draft, path);
    await syncFolder(dirname(path));
    return identity;
  } catch (error) {
    const made = codeOf(error) === "EEXIST" ? await readIdentity(path) : undefined;
    if (made === undefined) throw error;
    return made;
  } finally {
    await unlink(draft).catch(() => {});
  }
}

/** A new name of a file is not on disk because the file is. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return; // no folder can be opened there
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | undefined)?.code;
}
