/** What was sent, how it ended, and how often it was handed over: the books of a run, kept outside all protocol code. */

import type { PeerId } from "@egtp/wire";

export interface Handover {
  /** Which process life of the recipient took it. */
  readonly life: number;
  /** Which life of the recipient's store. */
  readonly storeLife: number;
  /** How often the recipient's store had been rolled back by then. */
  readonly rollbacks: number;
  readonly messageId: string;
  readonly at: number;
  /** Its handler has done what it does. */
  isFinished: boolean;
}

export interface Entry {
  readonly serial: number;
  readonly from: PeerId;
  readonly to: PeerId;
  readonly sentAt: number;
  readonly body: Uint8Array;
  readonly isRequest: boolean;
  /** It must not travel as early data. */
  readonly needsSession: boolean;
  /** How it ended for its sender, if it did. */
  outcome: string | undefined;
  endedAt: number | undefined;
  /** Its sender's process is gone, and the outbox with it. */
  orphaned: boolean;
  readonly handovers: Handover[];
}

export class Ledger {
  readonly entries: Entry[] = [];

  enter(from: PeerId, to: PeerId, sentAt: number, size: number, isRequest: boolean, needsSession: boolean): Entry {
    const serial = this.entries.length;
    const body = bodyOf(serial, size);
    const entry: Entry = {
      serial,
      from,
      to,
      sentAt,
      body,
      isRequest,
      needsSession,
      outcome: undefined,
      endedAt: undefined,
      orphaned: false,
      handovers: [],
    };
    this.entries.push(entry);
    return entry;
  }

  /** The entry that a body belongs to; `undefined` for a body that nobody sent. */
  find(body: Uint8Array): Entry | undefined {
    if (body.length < 4) return undefined;
    const serial = new DataView(body.buffer, body.byteOffset).getUint32(0);
    const entry = this.entries[serial];
    if (entry === undefined || entry.body.length !== body.length) return undefined;
    for (let i = 0; i < body.length; i++) if (body[i] !== entry.body[i]) return undefined;
    return entry;
  }
}

/** Serial number first, then bytes that follow from it. */
function bodyOf(serial: number, size: number): Uint8Array {
  const body = new Uint8Array(Math.max(4, size));
  new DataView(body.buffer).setUint32(0, serial);
  for (let i = 4; i < body.length; i++) body[i] = serial * 31 + i * 7 + (i >> 8);
  return body;
}
