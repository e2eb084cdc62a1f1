/** Mails whose bytes are found nowhere else, made from a number. */
import { createHash } from "node:crypto";
import { equalBytes, type PeerId, peerIdFromTrustedBytes } from "@egtp/wire";
import type { Deposit } from "../src/mailbox-store.ts";

/** The mailbox store does not look at whether an ID is a point on the curve. */
export const anyPeer = (n: number): PeerId => peerIdFromTrustedBytes(new Uint8Array(32).fill(n));

/** 960 bytes. */
export function envelopeOf(content: number): Uint8Array {
  const pieces = Array.from({ length: 15 }, (_, i) => createHash("sha512").update(`${content} ${i}`).digest());
  const envelope = Uint8Array.from(Buffer.concat(pieces));
  new DataView(envelope.buffer).setUint32(0, content);
  return envelope;
}

/** What an envelope was made from; -1 when it differs in a single bit. */
export function contentOf(envelope: Uint8Array): number {
  const content = new DataView(envelope.buffer, envelope.byteOffset).getUint32(0);
  return equalBytes(envelope, envelopeOf(content)) ? content : -1;
}

export function mailOf(content: number): Deposit {
  const envelope = envelopeOf(content);
  const body = new Uint8Array(16 + envelope.length);
  body.set(envelope, 16);
  return { sender: anyPeer(1 + (content % 5)), isStranger: content % 2 === 0, body };
}
