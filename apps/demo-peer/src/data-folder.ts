/**
 * What a peer keeps in its folder: who it is (`identity.key`) and its sessions (`sessions/`).
 *
 * The second can be lost at any time: the peer is then the same to everybody, and its sessions heal.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Identity } from "@egtp/node";
import { loadIdentity } from "@egtp/node/files";
import { MemorySessionStore, type SessionStore, StoreError } from "@egtp/session-store";
import { LmdbSessionStore, type SetAside } from "@egtp/session-store/lmdb";
import { DemoError } from "./errors.ts";

export interface OpenedSessions {
  readonly sessions: SessionStore;
  readonly kind: "lmdb" | "memory";
  /** What was there and could not be used. */
  readonly setAside: SetAside | undefined;
}

export class DataFolder {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Makes the folder, for its owner alone, when it is not there. */
  static async open(path: string): Promise<DataFolder> {
    try {
      await mkdir(path, { recursive: true, mode: 0o700 });
    } catch (cause) {
      throw new DemoError("EGTP_DEMO_DATA", `The folder ${path} cannot be made`, { cause });
    }
    return new DataFolder(path);
  }

  join(name: string): string {
    return join(this.path, name);
  }

  /** Makes the identity when there is none. */
  identity(): Promise<Identity> {
    return loadIdentity(this.join("identity.key"));
  }

  /** On disk where the native part `lmdb` loads; else in memory, which works as well until the process ends. */
  async openSessions(): Promise<OpenedSessions> {
    try {
      const sessions = await LmdbSessionStore.open(this.join("sessions"));
      return { sessions, kind: "lmdb", setAside: sessions.report.setAside };
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== "EGTP_STORE_MISSING_PART") throw error;
      return { sessions: new MemorySessionStore(), kind: "memory", setAside: undefined };
    }
  }

  /** The total loss. */
  async deleteSessions(): Promise<void> {
    await rm(this.join("sessions"), { recursive: true, force: true });
  }
}
