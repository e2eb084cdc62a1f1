/** What an attacker makes of an envelope that it saw, without anybody's keys. */

import { maxEnvelopeBytes, peerIdBytes, sealedSenderBytes } from "@egtp/wire";
import type { Random } from "./random.ts";

/** Where the sender's ID begins, and what follows it: session or offer ID, counter. */
const senderAt = 2;
const idBytes = 16;
const counterBytes = 8;

/**
 * @param others - Envelopes that it saw, too.
 * @param names - IDs of those whom it may pretend to be.
 * @returns Something that was not sent, or the same again: a replay.
 */
export function falsify(
  random: Random,
  envelope: Uint8Array,
  others: readonly Uint8Array[],
  names: readonly Uint8Array[],
): Uint8Array {
  const bytes = envelope.slice();
  const idAt = senderAt + (bytes[1] === 1 ? sealedSenderBytes : peerIdBytes);
  const bodyAt = idAt + idBytes + counterBytes;
  switch (random.below(11)) {
    case 0:
      bytes[random.below(bytes.length)] = random.u32();
      return bytes;
    case 1:
      // Under another name.
      if (bytes.length >= senderAt + peerIdBytes) bytes.set(random.pick(names), senderAt);
      return bytes;
    case 2:
      return bytes.slice(0, 1 + random.below(bytes.length));
    case 3:
      // Of a session that nobody knows: its recipient is to believe that it forgot one.
      if (bytes.length < bodyAt) return bytes;
      bytes[0] = (bytes[0]! & 0xf0) | 1;
      bytes.set(random.bytes(idBytes), idAt);
      return bytes;
    case 4:
      // Far ahead: its recipient is to move the replay window.
      if (bytes.length < bodyAt) return bytes;
      bytes.set([0, 0, 0, 0, random.below(2), random.u32(), random.u32(), random.u32()], idAt + idBytes);
      return bytes;
    case 5: {
      // The header of one and the body of another.
      const other = random.pick(others);
      const body = other.subarray(Math.min(bodyAt, other.length));
      return joined(bytes.subarray(0, bodyAt), body).slice(0, maxEnvelopeBytes);
    }
    case 6:
      return random.bytes(1 + random.below(random.chance(0.1) ? maxEnvelopeBytes : 500));
    default:
      return bytes;
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
